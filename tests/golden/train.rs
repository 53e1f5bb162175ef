//! Whole training runs on the file's batches: each loss, and where the parameters end.

use crate::attrs::Attrs;
use crate::case::{Case, Data, Value};
use crate::judge::Finding;
use crate::models::Sizes;
use crate::optim::optimizer;
use crate::ways::Way;
use wgrad::nn::{Ctx, Init, Layer, Precision, StateDict, StateTensor, Strictness, Values, load_state, state};
use wgrad::optim::{GradScaler, GradScalerOptions};
use wgrad::plan::Replay;
use wgrad::{Device, Tensor};

/// Makes a model of a file's sizes.
pub type Build = fn(&Sizes, &mut Init) -> Box<dyn Layer>;

/// The types that a run computes in, and what scales its loss.
fn precision(a: &Attrs, device: &Device) -> (Precision, Option<GradScaler>) {
    let precision = match &*a.text("precision", "f32") {
        "f16" => Precision::F16Mixed,
        "bf16" => Precision::Bf16Mixed,
        _ => Precision::F32,
    };
    let own = GradScalerOptions::default();
    let options = GradScalerOptions {
        init_scale: a.float("init_scale", own.init_scale),
        growth_factor: a.float("growth_factor", own.growth_factor),
        backoff_factor: a.float("backoff_factor", own.backoff_factor),
        growth_interval: a.int("growth_interval", own.growth_interval as isize) as u32,
    };
    let scaler = GradScaler::with(device, options).expect("the options are in range");
    (precision, (precision == Precision::F16Mixed).then_some(scaler))
}

/// Everything that is wrong with a run.
pub fn run(case: &Case, build: Build, way: Way, device: &Device) -> Vec<Finding> {
    let model = build(&Sizes(case), &mut Init::new(0, device));
    let first: StateDict = case.under("init.").map(|(name, value)| (name.to_string(), stored(value))).collect();
    load_state(&model, &first, Strictness::Strict).expect("the file's weights are the model's");
    let mut optimizer = optimizer(&case.attrs.text("optimizer", "sgd"), &case.attrs, &model);
    let want = case.value("loss").floats();
    let mut replay = Replay::new();
    let (precision, scaler) = precision(&case.attrs, device);
    let ctx = Ctx::train().precision(precision);
    let mut scales = Vec::new();
    let losses: Vec<Tensor> = (0..want.len())
        .map(|step| {
            let [x, y] = ["x", "y"].map(|name| way.upload(&batch(case.value(name), step), device));
            let loss = way.step(&mut replay, [&x, &y], |[x, y]| {
                let logits = model.forward(x, &ctx);
                let classes = logits.size(-1) as isize;
                let loss = logits.reshape([-1, classes]).cross_entropy(&y.reshape([-1]));
                match &scaler {
                    Some(scaler) => {
                        scaler.step(&mut *optimizer, &scaler.scale(&loss).backward());
                        scaler.update();
                    }
                    None => optimizer.step(&loss.backward()),
                }
                loss.detach()
            });
            scales.extend(scaler.iter().flat_map(GradScaler::current_scale));
            loss
        })
        .collect();
    let losses: Result<Vec<f32>, _> = losses.iter().map(Tensor::item).collect();
    match (losses, state(&model)) {
        (Ok(losses), Ok(last)) => {
            let mut found: Vec<Finding> = judge_losses(case, &losses).into_iter().collect();
            if scaler.is_some() && scales != case.value("scale").floats() {
                found.push(Finding::new("scale", format!("they are {scales:?}")));
            }
            let running = |name: &str| name.ends_with("running_mean") || name.ends_with("running_var");
            found.extend(judge_drift(case, &last, "parameters", |name| !running(name)));
            found.extend(judge_drift(case, &last, "running statistics", running));
            found
        }
        (Err(error), _) | (_, Err(error)) => vec![Finding::new("run", error.to_string())],
    }
}

fn stored(value: &Value) -> StateTensor {
    let values = match &value.data {
        Data::Float(data) => Values::F32(data.clone()),
        Data::Int(data) => Values::I64(data.clone()),
    };
    StateTensor { shape: value.shape.clone(), values }
}

/// One step's part of a tensor whose first axis is the step.
fn batch(all: &Value, step: usize) -> Value {
    let shape = all.shape[1..].to_vec();
    let len: usize = shape.iter().product();
    let part = step * len..(step + 1) * len;
    let data = match &all.data {
        Data::Float(data) => Data::Float(data[part].to_vec()),
        Data::Int(data) => Data::Int(data[part].to_vec()),
    };
    Value { shape, data }
}

fn judge_losses(case: &Case, got: &[f32]) -> Option<Finding> {
    let rtol = case.tolerance.rtol;
    let bad = |&(_, (&got, &want)): &(usize, (&f32, &f32))| {
        let off = (f64::from(got) - f64::from(want)).abs();
        off.is_nan() || off > rtol * f64::from(want).abs()
    };
    let (step, (got, want)) = got.iter().zip(case.value("loss").floats()).enumerate().find(bad)?;
    let fact = format!("[{step}] got {got}, want {want} within {:.1e}", rtol * f64::from(*want).abs());
    Some(Finding::new("loss", fact))
}

/// The distance from where PyTorch ended, held against the way it went, over all chosen tensors together.
fn judge_drift(case: &Case, last: &StateDict, what: &str, chosen: impl Fn(&str) -> bool) -> Option<Finding> {
    let (mut off, mut way) = (0.0, 0.0);
    let finals = case.under("final.").filter(|(name, value)| chosen(name) && matches!(value.data, Data::Float(_)));
    for (name, value) in finals {
        let Some(StateTensor { values: Values::F32(got), .. }) = last.get(name) else {
            return Some(Finding::new(format!("final.{name}"), "the model holds no such floats"));
        };
        let (init, want) = (case.value(&format!("init.{name}")).floats(), value.floats());
        off += distance(got, want);
        way += distance(want, init);
    }
    let drift = case.drift.expect("the metadata has `drift`");
    let (off, allowed) = (f64::sqrt(off), drift * f64::sqrt(way));
    // Written so that NaN is off.
    let good = off <= allowed;
    (!good).then(|| Finding::new(what, format!("they end {off:.3e} from PyTorch's, {allowed:.3e} is allowed")))
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    assert!(a.len() == b.len(), "tensors of one name have {} and {} elements", a.len(), b.len());
    a.iter().zip(b).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum()
}
