//! Weights in bytes: what they stand for, how well a network does with them, and that they are not trained.

use super::rules::panics;
use crate::devices::devices;
use wgrad::data::{ImageSet, mnist};
use wgrad::nn::{
    Checkpoint, Conv2d, Ctx, Embedding, Flatten, Init, Layer, Linear, MaxPool2d, Module, Relu, Sequential, StateDict,
    Strictness, Summary, TransformerEncoderLayer, TransformerOptions, Values, load_state, parameters, state,
};
use wgrad::optim::{Adafactor, AdafactorOptions, Adam, AdamOptions, Lbfgs, LbfgsOptions, Optimizer};
use wgrad::plan::Replay;
use wgrad::{DType, Device, Error, KeepDims, Rng, Tensor};

fn normal(shape: &[usize], seed: u64, device: &Device) -> Tensor {
    Tensor::normal(shape, 0.0, 1.0, &mut Rng::new(seed), device)
}

fn values(x: &Tensor) -> Vec<f32> {
    x.cast(DType::F32).to_vec().expect("the device works")
}

/// The definition: of each channel, the nearest of 127 steps to either side.
fn rounded(weight: &Tensor) -> Vec<f32> {
    let row = weight.numel() / weight.size(0);
    let channel = |row: &[f32]| {
        let most = row.iter().fold(0.0f32, |most, x| most.max(x.abs()));
        let step = if most == 0.0 { 1.0 } else { most * (1.0 / 127.0) };
        row.iter().map(|x| (x / step).round_ties_even().clamp(-127.0, 127.0) * step).collect::<Vec<_>>()
    };
    values(weight).chunks(row).flat_map(channel).collect()
}

fn near(got: &[f32], want: &[f32]) -> bool {
    got.len() == want.len() && got.iter().zip(want).all(|(a, b)| (a - b).abs() <= 1e-6 * (1.0 + b.abs()))
}

#[test]
fn a_layer_computes_with_the_nearest_steps_of_each_channel() {
    for (name, device) in devices() {
        let init = &mut Init::new(1, &device);
        let (linear, conv) = (Linear::new(5, 3, init), Conv2d::new(2, 4, 3, init));
        // A channel of zeros stays one.
        linear.weight.tensor().narrow(0, 1, 1).assign(&Tensor::zeros([1, 5], &device));
        for (layer, weight, x) in [
            (&linear as &dyn Layer, &linear.weight, normal(&[7, 5], 2, &device)),
            (&conv, &conv.weight, normal(&[2, 2, 6, 5], 3, &device)),
        ] {
            let want = rounded(&weight.tensor());
            let kept = weight.tensor().detach().copy();
            weight.tensor().assign(&Tensor::from_vec(want.clone(), weight.shape(), &device));
            let expected = layer.forward(&x, &Ctx::eval());
            weight.tensor().assign(&kept);
            (&layer).quantize_int8().expect("it can be held");
            assert_eq!(weight.tensor().dtype(), DType::U8, "{name}");
            assert!(near(&values(&Ctx::eval().param(weight)), &want), "{name}");
            let got = layer.forward(&x, &Ctx::eval());
            let apart = values(&got.sub(&expected)).iter().fold(0.0f32, |most, x| most.max(x.abs()));
            assert!(apart < 1e-5, "{name}: {apart}");
            // Once more changes nothing, nor does a replay.
            let before = state(&layer).expect("the device works");
            (&layer).quantize_int8().expect("it is held");
            assert_eq!(state(&layer).expect("the device works"), before, "{name}");
            let step = device.capture(&x, |x| Ok(layer.forward(x, &Ctx::eval()))).expect("it can be captured");
            assert_eq!(values(&step.run(&x).expect("it runs")), values(&got), "{name}");
        }
    }
}

fn batch(set: &ImageSet, from: usize, count: usize, device: &Device) -> [Tensor; 2] {
    let pixels: Vec<f32> = set.pixels()[from * 784..][..count * 784].iter().map(|x| f32::from(*x) / 255.0).collect();
    let labels: Vec<i32> = set.labels()[from..][..count].iter().map(|x| i32::from(*x)).collect();
    [Tensor::from_vec(pixels, [count, 1, 28, 28], device), Tensor::from_vec(labels, [count], device)]
}

/// A network for digits.
fn network(seed: u64, device: &Device) -> Sequential {
    let init = &mut Init::new(seed, device);
    let half = || MaxPool2d::new(2);
    let all = Sequential::new().push(Conv2d::new(1, 8, 3, init).padding(1)).push(Relu::new()).push(half());
    let all = all.push(Conv2d::new(8, 16, 3, init).padding(1)).push(Relu::new()).push(half());
    all.push(Flatten::new()).push(Linear::new(784, 10, init))
}

/// One that was trained for a while, and digits that it has not seen.
fn trained() -> (StateDict, ImageSet) {
    let images = include_bytes!("../../examples/data/mnist/t10k-images-idx3-ubyte.gz");
    let labels = include_bytes!("../../examples/data/mnist/t10k-labels-idx1-ubyte.gz");
    let (train, test) = mnist::from_bytes(images, labels).and_then(|set| set.split(1400)).expect("the example's data");
    let device = Device::cpu();
    let model = network(2, &device);
    let mut adam = Adam::new(&model, AdamOptions { lr: 5e-3, ..AdamOptions::default() }).expect("good options");
    let mut step = Replay::new();
    for at in 0..84 {
        let [x, labels] = batch(&train, at % 28 * 50, 50, &device);
        let run = |[x, labels]: [&Tensor; 2]| {
            let loss = model.forward(x, &Ctx::train()).cross_entropy(labels);
            adam.step(&loss.backward());
            Ok(loss)
        };
        let _: Tensor = step.run([&x, &labels], run).expect("it trains");
    }
    (state(&model).expect("the device works"), test)
}

fn bytes(state: &StateDict) -> usize {
    let of = |values: &Values| match values {
        Values::F32(values) => 4 * values.len(),
        Values::U8(values) => values.len(),
        other => panic!("{other:?}"),
    };
    state.values().map(|value| of(&value.values)).sum()
}

#[test]
fn digits_are_told_apart_in_a_quarter_of_the_bytes() {
    let (weights, test) = trained();
    for (name, device) in devices() {
        let make = || network(0, &device);
        let model = make();
        load_state(&model, &weights, Strictness::Strict).expect("it fits");
        let right = |model: &Sequential| {
            let right = |at: usize| {
                let [x, labels] = batch(&test, at * 100, 100, &device);
                values(&model.forward(&x, &Ctx::eval()).argmax(1).eq(&labels)).iter().sum::<f32>()
            };
            (0..6).map(right).sum::<f32>() / 6.0
        };
        let before = right(&model);
        model.quantize_int8().expect("it can be held");
        let (after, small) = (right(&model), state(&model).expect("the device works"));
        let share = bytes(&small) as f64 / bytes(&weights) as f64;
        println!("{name}: {before:.2} of 100 in f32, {after:.2} in int8, {share:.4} of the bytes");
        assert!(before > 85.0 && (before - after).abs() <= 0.5, "{name}: {before} and {after}");
        assert!(share < 0.26, "{name}: {share}");
        // Saved and loaded, as it is.
        let other = make();
        let refused = load_state(&other, &small, Strictness::Strict).expect_err("it holds floats").to_string();
        assert!(refused.contains("extra: 0.weight_scale"), "{name}: {refused}");
        other.quantize_int8().expect("it can be held");
        load_state(&other, &small, Strictness::Strict).expect("it fits");
        assert_eq!(state(&other).expect("the device works"), small, "{name}");
        assert_eq!(right(&other), after, "{name}");
    }
}

#[test]
fn bytes_are_not_loaded_as_floats_nor_floats_as_bytes() {
    for (name, device) in devices() {
        let make = |seed| Sequential::new().push(Linear::new(3, 2, &mut Init::new(seed, &device)));
        let (floats, held) = (make(1), make(2));
        held.quantize_int8().expect("it can be held");
        let all = |model: &Sequential| state(model).expect("the device works");
        let (of_floats, of_bytes) = (all(&floats), all(&held));
        for (model, other, told) in [(&floats, &of_bytes, "u8, not f32"), (&held, &of_floats, "f32, not u8")] {
            let mut want = all(model);
            let refused = load_state(model, other, Strictness::Strict).expect_err("of another type").to_string();
            let said = format!("of a type that has no place here: `0.weight` holds {told}");
            assert!(refused.contains(&said), "{name}: {refused}");
            let report = load_state(model, other, Strictness::Partial).expect("what fits is loaded");
            assert_eq!(report.unread, [("0.weight".to_string(), told.to_string())], "{name}");
            assert_eq!(report.missing.len() + report.extra.len(), 1, "{name}: {report}");
            // The rest has come.
            want.insert("0.bias".into(), other["0.bias"].clone());
            assert_eq!(all(model), want, "{name}");
        }
    }
}

#[test]
fn what_is_held_in_bytes_is_not_trained() {
    for (name, device) in devices() {
        let init = &mut Init::new(1, &device);
        let model =
            Sequential::new().push(Conv2d::new(1, 2, 3, init)).push(Flatten::new()).push(Linear::new(8, 2, init));
        model.quantize_int8().expect("it can be held");
        // A byte for each weight, and four for the step of each channel and for each bias.
        assert_eq!(Summary::of(&model, [3, 1, 4, 4], &device).bytes, 18 + 16 + 4 * (2 + 2) + 4 * (2 + 2), "{name}");
        let x = normal(&[3, 1, 4, 4], 2, &device);
        let said = panics(|| model.forward(&x, &Ctx::train()));
        let want = "0.weight is held in int8, which has no gradient: expected a pass without";
        assert!(said.starts_with(want), "{name}: {said}");
        let refused = [
            Adam::new(&model, AdamOptions::default()).err(),
            Adafactor::new(&model, AdafactorOptions::default()).err(),
            Lbfgs::new(&model, LbfgsOptions::default()).err(),
        ];
        for (error, rule) in refused.into_iter().zip(["Adam", "Adafactor", "Lbfgs"]) {
            let Some(Error::Option(said)) = error else { panic!("{name}: {rule} takes it") };
            assert_eq!(
                said,
                format!("{rule}: 0.weight is held in int8, which is for inference: expected floats, got u8")
            );
        }
        // A gradient goes through such layers to what comes before.
        let x = x.requires_grad();
        let loss = model.forward(&x, &Ctx::train().untracked()).square().sum();
        assert!(values(loss.backward().of(&x).expect("it has one")).iter().any(|x| *x != 0.0), "{name}");
    }
    let model = Linear::new(3, 2, &mut Init::new(1, &Device::cpu()));
    model.weight.tensor().narrow(0, 1, 1).assign(&Tensor::full([1, 3], f32::INFINITY, &Device::cpu()));
    let said = model.quantize_int8().expect_err("it cannot be held").to_string();
    assert_eq!(said, "quantize_int8: weight holds values that are no finite numbers");
    assert_eq!(model.weight.tensor().dtype(), DType::F32);
}

/// A table that is a layer's weight too.
#[derive(Module)]
struct Tied {
    table: Embedding,
    blocks: Vec<Checkpoint<TransformerEncoderLayer>>,
    head: Linear,
}

#[test]
fn shared_weights_halves_and_other_devices() {
    for (name, device) in devices() {
        let init = &mut Init::new(1, &device);
        let options = || TransformerOptions { feedforward: 32, ..TransformerOptions::default() };
        let mut model = Tied {
            table: Embedding::new(11, 16, init),
            blocks: vec![Checkpoint::new(TransformerEncoderLayer::new(16, 2, options(), init))],
            head: Linear::without_bias(16, 11, init),
        };
        model.head.weight = model.table.weight.clone();
        let ids = Tensor::from_slice(&[1i32, 5, 10, 3], [1, 4], &device);
        let logits = |model: &Tied| {
            let x = model.table.forward(&ids, &Ctx::eval());
            let x = model.blocks.iter().fold(x, |x, block| block.forward(&x, &Ctx::eval()));
            values(&model.head.forward(&x, &Ctx::eval()))
        };
        let before = logits(&model);
        model.quantize_int8().expect("it can be held");
        let after = logits(&model);
        let apart = before.iter().zip(&after).fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
        assert!(apart > 0.0 && apart < 0.3, "{name}: {apart}");
        let held = parameters(&model).into_iter().filter(|(_, own)| own.tensor().dtype() == DType::U8).count();
        assert!(held >= 4, "{name}: {held}");

        // In halves it gives halves, as it did.
        let half = Linear::new(6, 4, &mut Init::new(3, &device));
        half.cast(DType::BF16);
        half.quantize_int8().expect("it can be held");
        let y = half.forward(&normal(&[2, 6], 4, &device).cast(DType::BF16), &Ctx::eval());
        assert_eq!(y.dtype(), DType::BF16, "{name}");
        half.to(&Device::cpu()).expect("the device works");
        let same = half.forward(
            &normal(&[2, 6], 4, &device).cast(DType::BF16).to(&Device::cpu()).expect("it moves"),
            &Ctx::eval(),
        );
        assert!(near(&values(&y), &values(&same)), "{name}");
        assert_eq!(values(&Ctx::eval().param(&half.weight).abs().amax(&[1], KeepDims::No)).len(), 4);
    }
}
