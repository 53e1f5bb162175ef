//! Moments that are kept in bf16: right on average, half the bytes, and to the bit where a run goes on.

use crate::devices::devices;
use wgrad::nn::{Ctx, Init, Layer, Linear, Module, Parameter, Relu, Sequential, StateDict, Values, Visitor, state};
use wgrad::optim::{Adam, AdamFamily, AdamOptions, AdamW, AdamWOptions, Optimizer, SecondMoment, Stepper};
use wgrad::plan::Replay;
use wgrad::{DType, Device, Error, Rng, Tensor};

struct One(Parameter);

impl Module for One {
    fn visit(&self, visitor: &mut Visitor) {
        visitor.parameter("x", &self.0);
    }
}

fn numbers(state: &StateDict, name: &str) -> Vec<f32> {
    match &state[name].values {
        Values::F32(values) => values.clone(),
        Values::BF16(values) => values.iter().map(|value| value.to_f32()).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn moments_are_right_on_average() {
    const N: usize = 4096;
    for (name, device) in devices() {
        let after = |state_dtype: DType, defined: bool| {
            let one = One(Parameter::new(Tensor::zeros([N], &device)));
            let adam = Adam::new(&one, AdamOptions { state_dtype, ..AdamOptions::default() }).expect("good options");
            let mut adam = if defined { adam.by_definition() } else { adam };
            let t = Tensor::normal([N], 0.0, 1.0, &mut Rng::new(1), &device);
            let mut step = Replay::new();
            for _ in 0..800 {
                let run = |t: &Tensor| {
                    adam.step(&one.0.tensor().mul(t).sum().backward());
                    Ok(t.sum())
                };
                let _: Tensor = step.run(&t, run).expect("it trains");
            }
            adam.state().expect("the device works")
        };
        let (kept, halved) = (after(DType::F32, false), after(DType::BF16, false));
        for moment in ["exp_avg.x", "exp_avg_sq.x"] {
            let ratios =
                numbers(&halved, moment).into_iter().zip(numbers(&kept, moment)).map(|(a, b)| f64::from(a / b));
            let mean = ratios.sum::<f64>() / N as f64;
            println!("{name}: {moment} is {mean:.5} of what it is in f32");
            assert!((mean - 1.0).abs() < 2e-3, "{name}: {moment}: {mean}");
        }
        // Which the nearest are not: a second moment stands still where a step is less than half of a digit.
        let stands = numbers(&after(DType::BF16, true), "exp_avg_sq.x").into_iter().zip(numbers(&kept, "exp_avg_sq.x"));
        let mean = stands.map(|(a, b)| f64::from(a / b)).sum::<f64>() / N as f64;
        assert!(mean < 0.9, "{name}: {mean}");
    }
}

fn network(seed: u64, device: &Device) -> Sequential {
    let init = &mut Init::new(seed, device);
    Sequential::new().push(Linear::new(2, 33, init)).push(Relu::new()).push(Linear::new(33, 1, init))
}

/// Waves over a plane.
fn points(seed: u64, device: &Device) -> [Tensor; 2] {
    let rng = &mut Rng::new(seed);
    let x: Vec<f32> = (0..256).map(|_| rng.within(-2.0, 2.0)).collect();
    let y = x.chunks(2).map(|p| (2.0 * p[0]).sin() * p[1]).collect::<Vec<f32>>();
    [Tensor::from_vec(x, [128, 2], device), Tensor::from_vec(y, [128, 1], device)]
}

/// Steps from one on, each on points of its own; the last losses.
fn steps(model: &Sequential, optimizer: &mut dyn Optimizer, range: std::ops::Range<u64>, device: &Device) -> Vec<f32> {
    let mut step = Replay::new();
    let losses = range.map(|at| {
        let [x, y] = points(at, device);
        let run = |[x, y]: [&Tensor; 2]| {
            let loss = model.forward(x, &Ctx::train()).sub(y).square().mean();
            optimizer.step(&loss.backward());
            Ok(loss)
        };
        let loss: Tensor = step.run([&x, &y], run).expect("it trains");
        loss.item().expect("the device works")
    });
    losses.collect()
}

#[test]
fn a_network_learns_as_well_as_with_f32() {
    for (name, device) in devices() {
        let end = |state_dtype: DType, seed: u64| {
            let model = network(seed, &device);
            let options = AdamWOptions { lr: 0.01, state_dtype, ..AdamWOptions::default() };
            let mut adam = AdamW::new(&model, options).expect("good options");
            let losses = steps(&model, &mut adam, 0..240, &device);
            losses[200..].iter().sum::<f32>() / 40.0
        };
        let [kept, halved] = [DType::F32, DType::BF16].map(|dtype| [1, 2, 3, 4].map(|seed| end(dtype, seed)));
        let mean = |all: [f32; 4]| all.iter().sum::<f32>() / 4.0;
        let ends = |all: [f32; 4]| (all.into_iter().fold(f32::MAX, f32::min), all.into_iter().fold(0.0, f32::max));
        let (least, most) = ends(kept);
        println!("{name}: {kept:?} in f32, {halved:?} in bf16");
        assert!(most < 0.5, "{name}: {kept:?}");
        assert!((least..=most).contains(&mean(halved)), "{name}: {halved:?} beside {kept:?}");
    }
}

#[test]
fn a_run_goes_on_to_the_bit_in_half_the_bytes() {
    for (name, device) in devices() {
        let make = |state_dtype: DType| {
            let model = network(5, &device);
            let options = AdamOptions { lr: 0.01, state_dtype, ..AdamOptions::default() };
            let adam = Adam::new(&model, options).expect("good options");
            (model, adam)
        };
        let bits = |model: &Sequential| state(model).expect("the device works");
        let (whole, mut adam) = make(DType::BF16);
        steps(&whole, &mut adam, 0..20, &device);
        let (model, mut first) = make(DType::BF16);
        steps(&model, &mut first, 0..9, &device);
        let saved = first.state().expect("the device works");
        assert!(matches!(saved["exp_avg.0.weight"].values, Values::BF16(_)), "{name}");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state.safetensors");
        wgrad::checkpoint::write(&saved, &path).expect("it can be written");
        let loaded = wgrad::checkpoint::read(&path).expect("it can be read");
        assert_eq!(loaded, saved, "{name}");
        let mut second =
            Adam::new(&model, AdamOptions { lr: 0.01, state_dtype: DType::BF16, ..AdamOptions::default() })
                .expect("good options");
        second.load_state(&loaded).expect("it fits");
        assert_eq!(second.state().expect("the device works"), saved, "{name}");
        steps(&model, &mut second, 9..20, &device);
        assert_eq!(bits(&model), bits(&whole), "{name}");
        assert_eq!(second.state().expect("the device works"), adam.state().expect("the device works"), "{name}");

        // A state in f32 is taken, and rounded.
        let (model, mut kept) = make(DType::F32);
        steps(&model, &mut kept, 0..3, &device);
        let values = kept.state().expect("the device works");
        let (_other, mut halved) = make(DType::BF16);
        halved.load_state(&values).expect("it fits");
        let apart = numbers(&halved.state().expect("the device works"), "exp_avg.0.weight").into_iter();
        let close = |(a, b): (f32, f32)| (a - b).abs() <= b.abs() / 256.0;
        assert!(apart.zip(numbers(&values, "exp_avg.0.weight")).all(close), "{name}");

        // Half the bytes, by the optimizer and by the step's plan.
        let [kept, halved] = [DType::F32, DType::BF16].map(|state_dtype| {
            let one = One(Parameter::new(Tensor::zeros([4096], &device)));
            let mut adam =
                Adam::new(&one, AdamOptions { state_dtype, ..AdamOptions::default() }).expect("good options");
            let step = |t: &Tensor| {
                adam.step(&one.0.tensor().mul(t).sum().backward());
                Ok(())
            };
            let told = device.estimate(&Tensor::ones([4096], &device), step).expect("it can be recorded");
            (adam.state_bytes(), told.kept)
        });
        assert_eq!((kept.0, halved.0, kept.1 - halved.1), (8 * 4096, 4 * 4096, 4 * 4096), "{name}");
    }
}

#[test]
fn values_in_halves_and_groups_and_what_is_refused() {
    for (name, device) in devices() {
        let run = |state_dtype: DType| {
            let model = network(5, &device);
            model.cast(DType::BF16);
            let options = |path: &str| AdamOptions {
                lr: if path.ends_with("bias") { 0.1 } else { 0.05 },
                state_dtype,
                ..AdamOptions::default()
            };
            let mut adam = Stepper::grouped(&model, |path, _| options(path)).expect("good options");
            let [x, y] = points(1, &device).map(|tensor| tensor.cast(DType::BF16));
            let mut last = 0.0;
            for _ in 0..60 {
                let loss = model.forward(&x, &Ctx::train()).sub(&y).square().mean();
                adam.step(&loss.backward());
                last = loss.cast(DType::F32).item().expect("the device works");
            }
            last
        };
        let [kept, halved] = [DType::F32, DType::BF16].map(run);
        assert!(halved < 0.6 && (kept - halved).abs() < 0.2, "{name}: {kept} and {halved}");
    }
    let model = network(1, &Device::cpu());
    let refused = |options: AdamFamily<false>| match Adam::new(&model, options) {
        Err(Error::Option(said)) => said,
        other => panic!("{:?}", other.err()),
    };
    let with = |state_dtype: DType| AdamOptions { state_dtype, ..AdamOptions::default() };
    assert_eq!(refused(with(DType::F16)), "state_dtype: expected f32 or bf16, got f16");
    let largest = AdamOptions { second_moment: SecondMoment::Largest, ..with(DType::BF16) };
    assert!(refused(largest).starts_with("state_dtype: the largest second moment is kept in f32"));
}
