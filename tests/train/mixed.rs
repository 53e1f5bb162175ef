//! Passes in mixed precision: which types things have, that small networks learn as in f32, eager and replayed to the same
//! bits, and what an overflow does.

use super::trainer::{loader, network, outcome};
use crate::devices::devices;
use crate::gpt::{Gpt, Size};
use crate::models::convolutional;
use std::path::Path;
use wgrad::autograd::Grads;
use wgrad::metrics::Accuracy;
use wgrad::nn::{
    AdaptiveAvgPool2d, BatchNorm2d, Conv1d, Conv2d, ConvTranspose2d, Ctx, Embedding, Flatten, GroupNorm, Gru, Init,
    Layer, LayerNorm, Linear, Lstm, MaxPool2d, Mode, Module, MultiheadAttention, NormPlace, PRelu, Parameter,
    Positions, Precision, Relu, RmsNorm, Sequential, Silu, StateDict, StateTensor, TransformerEncoderLayer,
    TransformerOptions, Values, parameters, sinusoidal_positions, state,
};
use wgrad::optim::{Adam, AdamOptions, AdamW, AdamWOptions, GradScaler, GradScalerOptions, Optimizer, Sgd, SgdOptions};
use wgrad::plan::Replay;
use wgrad::train::{Checkpoints, History, Outcome, Trainer};
use wgrad::{DType, Device, KeepDims, Reduction, Rng, Tensor};

const MIXED: [(Precision, DType); 2] = [(Precision::F16Mixed, DType::F16), (Precision::Bf16Mixed, DType::BF16)];

fn normal(shape: &[usize], seed: u64, device: &Device) -> Tensor {
    Tensor::normal(shape, 0.0, 1.0, &mut Rng::new(seed), device)
}

fn words(shape: &[usize], most: u32, seed: u64, device: &Device) -> Tensor {
    let mut rng = Rng::new(seed);
    let all: Vec<i32> = (0..shape.iter().product()).map(|_| rng.below(most) as i32).collect();
    Tensor::from_vec(all, shape, device)
}

/// A layer of one's own, of parameters and operations alone.
#[derive(Module)]
struct Own {
    weight: Parameter,
    scale: Parameter,
    token: Parameter,
}

impl Layer for Own {
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let y = x.matmul(&ctx.param(&self.weight)) * ctx.param(&self.scale);
        let token = ctx.param(&self.token).expand([x.size(0), 1, 8]);
        Tensor::cat(&[&token, &y], 1) + ctx.cast(&sinusoidal_positions(x.size(1) + 1, 8, x.device()))
    }
}

/// Every layer that has parameters gives the half type, and gets gradients of f32.
#[test]
fn layers_keep_the_half_type_between_them() {
    for (name, device) in devices() {
        let init = &mut Init::new(3, &device);
        let rows = normal(&[4, 6, 8], 1, &device);
        let images = normal(&[4, 8, 8, 8], 2, &device);
        let ids = words(&[4, 6], 10, 3, &device);
        let own = Own {
            weight: Parameter::new(normal(&[8, 8], 4, &device)),
            scale: Parameter::new(normal(&[8], 5, &device)),
            token: Parameter::new(normal(&[1, 1, 8], 6, &device)),
        };
        let still = TransformerOptions { dropout: 0.0, norm: NormPlace::Before, ..TransformerOptions::default() };
        let all: Vec<(&str, Box<dyn Layer>, &Tensor)> = vec![
            ("linear", Box::new(Linear::new(8, 5, init)), &rows),
            ("linear without bias", Box::new(Linear::without_bias(8, 5, init)), &rows),
            ("conv1d", Box::new(Conv1d::new(6, 4, 3, init)), &rows),
            ("conv2d", Box::new(Conv2d::new(8, 4, 3, init)), &images),
            ("conv_transpose2d", Box::new(ConvTranspose2d::new(8, 4, 2, init).stride(2)), &images),
            ("attention", Box::new(MultiheadAttention::new(8, 2, init)), &rows),
            ("transformer", Box::new(TransformerEncoderLayer::new(8, 2, still, init)), &rows),
            ("lstm", Box::new(Lstm::new(8, 6, init)), &rows),
            ("gru", Box::new(Gru::new(8, 4, init)), &rows),
            ("embedding", Box::new(Embedding::new(10, 8, init)), &ids),
            ("narrow embedding", Box::new(Embedding::new(10, 3, init)), &ids),
            ("own", Box::new(own), &rows),
        ];
        for (what, layer, x) in &all {
            for (precision, half) in MIXED {
                let what = format!("{what} in {half} on {name}");
                let y = layer.forward(x, &Ctx::train().precision(precision));
                assert_eq!(y.dtype(), half, "{what}");
                let loss = y.square().mean();
                assert_eq!(loss.dtype(), DType::F32, "{what}");
                let grads = loss.backward();
                let plain = layer.forward(x, &Ctx::train()).square().mean().backward();
                for (path, parameter) in parameters(&**layer) {
                    let [got, want] = [&grads, &plain].map(|grads| of(grads, &parameter));
                    assert_eq!(got.dtype(), DType::F32, "{path} of {what}");
                    assert!(apart(&got, &want) < 0.04, "{path} of {what}: {} from f32's", apart(&got, &want));
                }
                let judged = layer.forward(x, &Ctx::eval().precision(precision));
                assert_eq!(judged.dtype(), half, "{what}");
            }
        }
    }
}

fn of(grads: &Grads, parameter: &Parameter) -> Tensor {
    grads.of(&parameter.tensor()).expect("it has a gradient").clone()
}

/// The distance of two, relative to the second.
fn apart(got: &Tensor, want: &Tensor) -> f32 {
    let length = |x: &Tensor| x.detach().square().sum().item().expect("the device works").sqrt();
    length(&got.sub(want)) / length(want).max(1e-6)
}

/// Norms, activations and pooling keep what they get; losses and sums of it are f32.
#[test]
fn between_layers_types_stay_and_losses_are_f32() {
    for (name, device) in devices() {
        let init = &mut Init::new(3, &device);
        let images = normal(&[4, 8, 4, 4], 2, &device);
        let first = Conv2d::new(8, 8, 1, init);
        let norms: Vec<Box<dyn Layer>> = vec![
            Box::new(BatchNorm2d::new(8, init)),
            Box::new(GroupNorm::new(2, 8, init)),
            Box::new(LayerNorm::new([4], init)),
            Box::new(RmsNorm::new([4], init)),
            Box::new(PRelu::new(8, init)),
            Box::new(MaxPool2d::new(2)),
        ];
        for (precision, half) in MIXED {
            for ctx in [Ctx::train(), Ctx::eval()].map(|ctx| ctx.precision(precision)) {
                let x = first.forward(&images, &ctx);
                for norm in &norms {
                    let what = format!("{} in {half} on {name}", norm.title());
                    let y = norm.forward(&x, &ctx);
                    assert_eq!(y.dtype(), half, "{what}");
                    let wide = norm.forward(&x.detach().cast(DType::F32), &Ctx::train());
                    let mode = ctx.mode();
                    assert!(mode == Mode::Eval || apart(&y.cast(DType::F32), &wide) < 0.01, "{what}");
                }
                let (rows, target) = (x.flatten(1), Tensor::zeros([4, 128], &device));
                for (what, wide) in [
                    ("sum", rows.sum()),
                    ("mean", rows.mean_dims(&[1], KeepDims::No)),
                    ("softmax", rows.softmax(-1)),
                    ("log_softmax", rows.log_softmax(-1)),
                    ("exp", rows.exp()),
                    ("square", rows.square()),
                    ("norm", rows.norm(&[1], KeepDims::No)),
                    ("mse", rows.mse_loss(&target, Reduction::Mean)),
                    ("huber", rows.huber_loss(&target, 1.0, Reduction::None)),
                    ("cross_entropy", rows.cross_entropy(&words(&[4], 9, 1, &device))),
                ] {
                    assert_eq!(wide.dtype(), DType::F32, "{what} in {half} on {name}");
                }
                for (what, y) in [
                    ("relu", rows.relu()),
                    ("gelu", rows.gelu()),
                    ("silu", rows.silu()),
                    ("tanh", rows.tanh()),
                    ("affine", rows.affine(2.0, 1.0)),
                    ("add", rows.add(&rows)),
                    ("cat", Tensor::cat(&[&rows, &rows], 0)),
                ] {
                    assert_eq!(y.dtype(), half, "{what} in {half} on {name}");
                }
            }
        }
    }
}

/// A model, its batch, and whether that is of words.
type Made = (Box<dyn Layer>, Tensor, Tensor);

fn cnn(device: &Device) -> Made {
    let init = &mut Init::new(1, device);
    let net = Sequential::new()
        .push(Conv2d::new(1, 8, 3, init).padding(1).without_bias())
        .push(BatchNorm2d::new(8, init))
        .push(Relu::new())
        .push(MaxPool2d::new(2))
        .push(Flatten::new())
        .push(Linear::new(8 * 16, 5, init));
    (Box::new(net), normal(&[20, 1, 8, 8], 7, device), words(&[20], 5, 8, device))
}

fn gpt(device: &Device) -> Made {
    let size = Size { vocabulary: 12, width: 16, layers: 2, heads: 2, context: 8 };
    let net = Gpt::new(size, &mut Init::new(1, device));
    (Box::new(net), words(&[4, 8], 12, 7, device), words(&[32], 12, 8, device))
}

/// Words to the class of a sequence.
#[derive(Module)]
struct Reader {
    table: Embedding,
    places: Positions,
    lstm: Lstm,
    fc: Linear,
}

impl Layer for Reader {
    fn call(&self, ids: &Tensor, ctx: &Ctx) -> Tensor {
        let x = self.places.forward(&self.table.forward(ids, ctx), ctx);
        let y = self.lstm.forward(&x, ctx);
        self.fc.forward(&y.narrow(1, y.size(1) - 1, 1).squeeze(1), ctx)
    }
}

fn lstm(device: &Device) -> Made {
    let init = &mut Init::new(1, device);
    let (table, places) = (Embedding::new(12, 8, init), Positions::new(6, 8, init));
    let net = Reader { table, places, lstm: Lstm::new(8, 12, init), fc: Linear::new(12, 4, init) };
    (Box::new(net), words(&[16, 6], 12, 7, device), words(&[16], 4, 8, device))
}

/// The losses of steps on one batch, and the weights at the end.
pub(crate) fn stepped(
    model: &dyn Layer,
    [x, y]: [&Tensor; 2],
    count: usize,
    precision: Precision,
    replayed: bool,
) -> (Vec<f32>, StateDict) {
    let mut adam = Adam::new(model, AdamOptions { lr: 0.02, ..AdamOptions::default() }).expect("in range");
    let scaler = (precision == Precision::F16Mixed).then(|| GradScaler::new(x.device()));
    let (ctx, mut replay) = (Ctx::train().precision(precision), Replay::new());
    let losses = (0..count).map(|_| {
        let mut step = |[x, y]: [&Tensor; 2]| {
            let loss = model.forward(x, &ctx).cross_entropy(y);
            match &scaler {
                None => adam.step(&loss.backward()),
                Some(scaler) => {
                    scaler.step(&mut adam, &scaler.scale(&loss).backward());
                    scaler.update();
                }
            }
            Ok(loss)
        };
        let loss = if replayed { replay.run([x, y], step) } else { step([x, y]) };
        loss.and_then(|loss| loss.item()).expect("the step runs")
    });
    (losses.collect(), state(model).expect("the device works"))
}

fn trained(make: fn(&Device) -> Made, precision: Precision, replayed: bool, device: &Device) -> (Vec<f32>, StateDict) {
    let (model, x, y) = make(device);
    stepped(&*model, [&x, &y], 60, precision, replayed)
}

#[test]
fn small_networks_learn_as_in_f32_and_replay_to_the_bit() {
    for (name, device) in devices() {
        for (what, make) in [("cnn", cnn as fn(&Device) -> Made), ("gpt", gpt), ("lstm", lstm)] {
            let (plain, _) = trained(make, Precision::F32, true, &device);
            for (precision, half) in MIXED {
                let (losses, weights) = trained(make, precision, true, &device);
                let eager = trained(make, precision, false, &device);
                assert_eq!(eager, (losses.clone(), weights), "{what} in {half} on {name}");
                let [first, last] = [0, 59].map(|at| (plain[at], losses[at]));
                println!("{what} in {half} on {name}: {first:?} .. {last:?}");
                assert!((first.0 - first.1).abs() < 0.02 * first.0, "{what} in {half} on {name}: {first:?}");
                assert!(last.1 < 0.1 * first.1 + 0.02, "{what} in {half} on {name}: {losses:?} for {plain:?}");
            }
        }
    }
}

/// A residual block of convolutions and batch normalisation.
#[derive(Module)]
struct Residual(Sequential);

impl Residual {
    fn new(channels: usize, init: &mut Init) -> Residual {
        let conv = |init: &mut Init| Conv2d::new(channels, channels, 3, init).padding(1).without_bias();
        let first = Sequential::new().push(conv(init)).push(BatchNorm2d::new(channels, init)).push(Relu::new());
        Residual(first.push(conv(init)).push(BatchNorm2d::new(channels, init)))
    }
}

impl Layer for Residual {
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        self.0.forward(x, ctx).add(x).relu()
    }
}

fn resnet(init: &mut Init) -> Sequential {
    let stem = Sequential::new().push(Conv2d::new(3, 32, 3, init).padding(1)).push(BatchNorm2d::new(32, init));
    let all = stem.push(Relu::new()).push(Residual::new(32, init));
    let all = all.push(Conv2d::new(32, 64, 3, init).padding(1).stride(2)).push(Residual::new(64, init));
    all.push(AdaptiveAvgPool2d::new([1, 1])).push(Flatten::new()).push(Linear::new(64, 10, init))
}

/// Down and up again, with a skip; classes at the end.
#[derive(Module)]
struct Unet {
    enter: Sequential,
    down: Sequential,
    up: ConvTranspose2d,
    leave: Sequential,
}

impl Unet {
    fn new(init: &mut Init) -> Unet {
        let conv = |i: usize, o: usize, init: &mut Init| Conv2d::new(i, o, 3, init).padding(1);
        let part = |all: Sequential, i: usize, o: usize, init: &mut Init| {
            all.push(GroupNorm::new(8, i, init)).push(Silu::new()).push(conv(i, o, init))
        };
        let enter = Sequential::new().push(conv(1, 32, init));
        let down = Sequential::new().push(conv(32, 64, init).stride(2));
        let leave = part(Sequential::new(), 64, 32, init).push(AdaptiveAvgPool2d::new([1, 1])).push(Flatten::new());
        Unet {
            enter: part(enter, 32, 32, init),
            down: part(down, 64, 64, init),
            up: ConvTranspose2d::new(64, 32, 2, init).stride(2),
            leave: leave.push(Linear::new(32, 10, init)),
        }
    }
}

impl Layer for Unet {
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let first = self.enter.forward(x, ctx);
        let up = self.up.forward(&self.down.forward(&first, ctx), ctx);
        self.leave.forward(&Tensor::cat(&[&up, &first], 1), ctx)
    }
}

/// At most 60% of the bytes, where activations are most of them.
#[test]
fn a_step_plans_less_memory() {
    let planned = |precision: Precision, model: &dyn Layer, x: Tensor, y: Tensor, optimizer: &mut dyn Optimizer| {
        let device = x.device().clone();
        let scaler = (precision == Precision::F16Mixed).then(|| GradScaler::new(&device));
        let step = device.capture([&x, &y], |[x, y]| {
            let loss = model.forward(x, &Ctx::train().precision(precision)).cross_entropy(y);
            match &scaler {
                None => optimizer.step(&loss.backward()),
                Some(scaler) => {
                    scaler.step(optimizer, &scaler.scale(&loss).backward());
                    scaler.update();
                }
            }
            Ok(loss)
        });
        step.expect("it can be captured").planned_bytes()
    };
    let device = Device::null();
    let all = [Precision::F32, Precision::F16Mixed, Precision::Bf16Mixed];
    let gpt = |size: Size, batch: usize| {
        all.map(|precision| {
            let model = Gpt::new(size, &mut Init::new(0, &device));
            let mut adam = AdamW::new(&model, AdamWOptions::default()).expect("in range");
            let tokens = [vec![batch, size.context], vec![batch * size.context]];
            let [x, y] = tokens.map(|shape| Tensor::empty(shape, DType::I32, &device));
            planned(precision, &model, x, y, &mut adam)
        })
    };
    let large = Size { vocabulary: 1000, width: 256, heads: 8, context: 256, ..Size::W4 };
    let of = |make: &dyn Fn(&mut Init) -> Box<dyn Layer>, shape: [usize; 4]| {
        all.map(|precision| {
            let model = make(&mut Init::new(0, &device));
            let mut adam = Adam::new(&*model, AdamOptions::default()).expect("in range");
            let (x, y) = (Tensor::empty(shape, DType::F32, &device), Tensor::empty([shape[0]], DType::I32, &device));
            planned(precision, &*model, x, y, &mut adam)
        })
    };
    let cnn = of(&|init| Box::new(convolutional(1, 28, init)), [64, 1, 28, 28]);
    let resnet = of(&|init| Box::new(resnet(init)), [32, 3, 32, 32]);
    let unet = of(&|init| Box::new(Unet::new(init)), [32, 1, 28, 28]);
    let all =
        [("gpt", gpt(Size::W4, 8)), ("large gpt", gpt(large, 4)), ("cnn", cnn), ("resnet", resnet), ("unet", unet)];
    for (what, bytes) in all {
        println!("{what} {bytes:?}: {:?}", [1, 2].map(|at| bytes[at] as f64 / bytes[0] as f64));
    }
    for (what, bytes) in all {
        assert!(bytes[1..].iter().all(|mixed| *mixed * 100 <= bytes[0] * 60), "{what}: {bytes:?}");
    }
}

/// An infinite gradient gives one step up, and halves the scale; nothing is read for it.
#[test]
fn an_overflow_gives_one_step_up() {
    for (name, device) in devices() {
        let run = |replayed: bool, factors: &[f32]| {
            let model = Linear::new(3, 2, &mut Init::new(1, &device));
            let mut adam = Adam::new(&model, AdamOptions { lr: 0.1, ..AdamOptions::default() }).expect("in range");
            let scaler = GradScaler::new(&device);
            let (x, mut replay) = (normal(&[4, 3], 2, &device), Replay::new());
            let mut after = Vec::new();
            for factor in factors {
                let factor = Tensor::from_slice(&[*factor], [], &device);
                let mut step = |[x, factor]: [&Tensor; 2]| {
                    let y = model.forward(x, &Ctx::train().precision(Precision::F16Mixed));
                    let loss = y.square().mean() * factor;
                    scaler.step(&mut adam, &scaler.scale(&loss).backward());
                    scaler.update();
                    Ok(())
                };
                if replayed { replay.run([&x, &factor], step) } else { step([&x, &factor]) }.expect("it runs");
                let scale = scaler.current_scale().expect("the device works");
                after.push((scale, model.weight.tensor().to_vec::<f32>().expect("the device works")));
            }
            let mut kept = adam.state().expect("the device works");
            let skipped = kept.remove("skipped");
            assert_eq!(skipped.is_some(), scaler.skipped() != Ok(0), "on {name}");
            (after, kept)
        };
        let (after, kept) = run(false, &[1.0, 1.0, 1e30, 1.0, 1.0]);
        assert_eq!(run(true, &[1.0, 1.0, 1e30, 1.0, 1.0]), (after.clone(), kept.clone()), "on {name}");
        let scales: Vec<f32> = after.iter().map(|(scale, _)| *scale).collect();
        assert_eq!(scales, [65536.0, 65536.0, 32768.0, 32768.0, 32768.0], "on {name}");
        assert_eq!(after[1].1, after[2].1, "on {name}");
        // As if it had never been, but for the scale, which rounds as before.
        let (without, same) = run(false, &[1.0; 4]);
        assert_eq!((&after[4].1, &kept), (&without[3].1, &same), "on {name}");
    }
}

#[test]
fn a_scale_grows_and_takes_options_in_range() {
    for (name, device) in devices() {
        let options = GradScalerOptions { init_scale: 8.0, growth_interval: 2, ..GradScalerOptions::default() };
        let scaler = GradScaler::with(&device, options).expect("in range");
        let model = Linear::new(3, 2, &mut Init::new(1, &device));
        let mut sgd = Sgd::new(&model, SgdOptions::default()).expect("in range");
        let x = normal(&[4, 3], 2, &device);
        let mut scales = Vec::new();
        for _ in 0..5 {
            let loss = model.forward(&x, &Ctx::train()).square().mean();
            scaler.step(&mut sgd, &scaler.scale(&loss).backward());
            scaler.update();
            scales.push(scaler.current_scale().expect("the device works"));
        }
        assert_eq!(scales, [8.0, 16.0, 16.0, 32.0, 32.0], "on {name}");
        let saved = scaler.state().expect("the device works");
        let other = GradScaler::new(&device);
        other.load_state(&saved).expect("they are whole");
        assert_eq!(other.state(), Ok(saved.clone()), "on {name}");
        assert!(other.load_state(&StateDict::new()).is_err());
        // Saved after more good steps than it now takes.
        let sooner = GradScaler::with(&device, GradScalerOptions { growth_interval: 1, ..options }).expect("in range");
        sooner.load_state(&saved).expect("they are whole");
        let loss = model.forward(&x, &Ctx::train()).square().mean();
        sooner.step(&mut sgd, &sooner.scale(&loss).backward());
        sooner.update();
        assert_eq!(sooner.current_scale(), Ok(64.0), "on {name}");
        let nothing = StateTensor { shape: vec![], values: Values::F32(vec![0.0]) };
        let told =
            other.load_state(&[saved.clone(), [("scale".into(), nothing)].into()].into_iter().flatten().collect());
        assert!(told.is_err_and(|told| told.to_string().ends_with("no number `scale` above 0")));
        for wrong in [
            GradScalerOptions { init_scale: 0.0, ..options },
            GradScalerOptions { growth_factor: 1.0, ..options },
            GradScalerOptions { backoff_factor: 1.0, ..options },
            GradScalerOptions { growth_interval: 0, ..options },
        ] {
            assert!(GradScaler::with(&device, wrong).is_err(), "{wrong:?}");
        }
    }
}

/// Products of another pass, or of none, are not touched.
#[test]
fn other_passes_stay_f32() {
    let device = Device::cpu();
    let model = Linear::new(3, 2, &mut Init::new(1, &device));
    let x = normal(&[4, 3], 2, &device);
    let mixed = model.forward(&x, &Ctx::eval().precision(Precision::Bf16Mixed));
    assert_eq!((mixed.dtype(), model.forward(&x, &Ctx::eval()).dtype()), (DType::BF16, DType::F32));
    assert_eq!(x.matmul(&x.t()).dtype(), DType::F32);
    assert_eq!(Tensor::cat(&[&x, &x.cast(DType::F16)], 0).dtype(), DType::F32);
}

/// A run by the trainer up to a step; its figures and what it has learned.
fn run(precision: Precision, device: &Device, folder: &Path, until: Option<u64>) -> (History, StateDict) {
    let model = network(device);
    let adam = AdamOptions { lr: 0.03, ..AdamOptions::default() };
    let optimizer = Adam::new(&model, adam).and_then(|adam| adam.clip_grad_norm(1.0)).expect("good options");
    let step = |batch: [&Tensor; 2], ctx: &Ctx| -> wgrad::Result<Outcome> { Ok(outcome(&model, batch, ctx)) };
    let mut trainer = Trainer::new(device, &model, optimizer, step)
        .epochs(4)
        .metric(Accuracy::new())
        .micro_batches(2)
        .grad_norm()
        .precision(precision)
        .checkpoints(Checkpoints::in_folder(folder).every_steps(3).resume());
    if let Some(until) = until {
        trainer = trainer.max_steps(until);
    }
    let history = trainer.fit(&loader(300, 0), Some(&loader(70, 0))).expect("the run goes on");
    drop(trainer);
    (history, state(&model).expect("the device works"))
}

#[test]
fn a_run_in_mixed_precision_is_resumed_to_the_bit() {
    for (name, device) in devices() {
        for (precision, half) in MIXED {
            let folder = |which: &str| {
                let folder =
                    std::env::temp_dir().join(format!("wgrad-mixed-{half}-{which}-{name}-{}", std::process::id()));
                let _ = std::fs::remove_dir_all(&folder);
                folder
            };
            let (at_once, in_parts) = (folder("whole"), folder("parts"));
            let (history, weights) = run(precision, &device, &at_once, None);
            run(precision, &device, &in_parts, Some(7));
            let (again, same) = run(precision, &device, &in_parts, None);
            assert_eq!(weights, same, "{half} on {name}");
            let figures = |history: &History| -> Vec<_> {
                history
                    .epochs
                    .iter()
                    .map(|epoch| epoch.figures.iter().map(|(n, v)| (n.to_string(), v)).collect::<Vec<_>>())
                    .collect()
            };
            assert_eq!(figures(&history), figures(&again), "{half} on {name}");
            let last = &history.epochs.last().expect("an epoch").figures;
            assert_eq!(last.get("loss_scale"), (precision == Precision::F16Mixed).then_some(65536.0), "on {name}");
            assert!(last.get("val_accuracy").is_some_and(|accuracy| accuracy > 0.8), "{half} on {name}: {last:?}");
            for folder in [at_once, in_parts] {
                let _ = std::fs::remove_dir_all(folder);
            }
        }
    }
}

#[test]
fn what_a_mixed_pass_has_made_is_taken_out_by_a_context_in_f32() {
    for (name, device) in devices() {
        let init = &mut Init::new(4, &device);
        let (body, head) = (Linear::new(4, 16, init), Linear::new(16, 3, init));
        let x = Tensor::normal([8, 4], 0.0, 200.0, &mut Rng::new(1), &device);
        for (pass, half) in [(Precision::F16Mixed, DType::F16), (Precision::Bf16Mixed, DType::BF16)] {
            let (mixed, wide) = (Ctx::train().precision(pass), Ctx::train());
            let made = body.forward(&x, &mixed);
            assert!(made.dtype() == half && made.matmul(&made.t()).dtype() == half, "{half} on {name}");
            let out = wide.cast(&made);
            assert_eq!(out.dtype(), DType::F32);
            // Products of 16 squares of hundreds are above the range of f16.
            let products = out.matmul(&out.t());
            assert_eq!(products.dtype(), DType::F32, "{half} on {name}");
            assert!(products.to_vec::<f32>().unwrap().iter().all(|x| x.is_finite()), "{half} on {name}");
            let y = head.forward(&made, &wide);
            assert_eq!(y.dtype(), DType::F32, "{half} on {name}");
            let grads = y.square().mean().backward();
            assert!(grads.of(&head.weight.tensor()).is_some() && grads.of(&body.weight.tensor()).is_some());
            // Within the pass, a block in f32 and the pass again.
            let back = body.forward(&head.forward(&made, &wide).pad(&[(0, 1)], 0.0), &mixed);
            assert_eq!(back.dtype(), half, "{half} on {name}");
        }
    }
}
