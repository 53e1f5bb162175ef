//! Long sequences: the memory of a step grows with the tokens, not with their square.

use crate::defined;
use crate::devices::devices;
use wgrad::nn::{Ctx, Init, TransformerEncoderLayer, TransformerOptions, parameters};
use wgrad::optim::{Optimizer, Sgd, SgdOptions};
use wgrad::{AttentionOptions, DType, Device, Rng, Tensor};

const TOKENS: usize = 4096;
const WIDTH: usize = 64;
const HEADS: usize = 4;
const MOST_BYTES: u64 = 100_000_000;

/// A causal mask beside one that hides the end.
fn options(lengths: &Tensor) -> AttentionOptions {
    AttentionOptions::causal().padded(lengths, TOKENS)
}

/// Rows, and how many of them are there.
fn inputs(device: &Device) -> [Tensor; 2] {
    let mut rng = Rng::new(4);
    let rows: Vec<f32> = (0..TOKENS * WIDTH).map(|_| rng.normal()).collect();
    [Tensor::from_vec(rows, [1, TOKENS, WIDTH], device), Tensor::from_slice(&[4001], [1], device)]
}

/// The losses of two steps of a Transformer's layer and its weights behind them.
fn trained(name: &str, device: &Device) -> (Vec<f32>, Vec<f32>) {
    let kinds = TransformerOptions { feedforward: WIDTH, dropout: 0.0, ..TransformerOptions::default() };
    let layer = TransformerEncoderLayer::new(WIDTH, HEADS, kinds, &mut Init::new(3, device));
    let mut sgd = Sgd::new(&layer, SgdOptions { lr: 0.5, ..SgdOptions::default() }).expect("the options are in range");
    let inputs = inputs(device);
    let step = |[x, lengths]: [&Tensor; 2]| {
        let y = layer.encode(x, &options(lengths), &Ctx::train());
        let loss = y.mul(x).mean();
        sgd.step(&loss.backward());
        Ok(loss)
    };
    let inputs = [&inputs[0], &inputs[1]];
    let captured = device.capture(inputs, step).expect("the step can be captured");
    let item = |loss: &Tensor| loss.item().expect("the device works");
    let first = item(&captured.outputs());
    let losses = vec![first, item(&captured.run(inputs).expect("the step runs"))];
    let (planned, all) = (captured.planned_bytes(), device.counters().bytes);
    println!("{name}: {planned} bytes are planned, {all} in all; losses {losses:?}");
    assert!(planned < MOST_BYTES && all < 2 * MOST_BYTES, "{name}: {planned} bytes are planned, {all} in all");
    let mut weights = Vec::new();
    for (_, parameter) in parameters(&layer) {
        weights.extend(parameter.tensor().to_vec::<f32>().expect("the device works"));
    }
    (losses, weights)
}

#[test]
fn tokens_by_the_thousand_train_in_little_memory() {
    let all: Vec<_> = devices().into_iter().map(|(name, device)| (name, trained(name, &device))).collect();
    let (_, (want_losses, want)) = &all[0];
    for (name, (losses, weights)) in &all[1..] {
        for (got, want) in losses.iter().zip(want_losses).chain(weights.iter().zip(want)) {
            assert!((got - want).abs() <= 1e-4 * want.abs() + 1e-5, "{name}: {got} is not {want}");
        }
    }
}

#[test]
fn the_plain_form_would_take_a_gigabyte() {
    let device = Device::null();
    // A single head, since all of them are more than a device binds at once.
    let [q, k, v] = [0, 1, 2].map(|_| Tensor::empty([1, 1, TOKENS, WIDTH / HEADS], DType::F32, &device));
    let lengths = Tensor::from_slice(&[4001], [1], &device);
    let step = |[q, k, v, lengths]: [&Tensor; 4]| {
        let [q, k, v] = [q, k, v].map(|x| x.clone().requires_grad());
        let options = AttentionOptions::default().padded(lengths, TOKENS);
        let grads = defined::attention(&q, &k, &v, &options).sum().backward();
        Ok([q, k, v].map(|x| grads.of(&x).expect("the sum depends on it").clone()))
    };
    let captured = device.capture([&q, &k, &v, &lengths], step).expect("the step can be captured");
    let bytes = HEADS as u64 * captured.planned_bytes();
    assert!(bytes > 1 << 30, "{bytes} bytes");
}
