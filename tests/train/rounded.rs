//! Weights of a pass in mixed precision: a replayed step rounds each of them once, wherever it is read.

use crate::devices::devices;
use crate::gpt::{Gpt, Size};
use wgrad::nn::{Ctx, Init, Layer, Linear, Module, Precision, parameters};
use wgrad::optim::{AdamW, AdamWOptions, Optimizer, Sgd, SgdOptions};
use wgrad::plan::Captured;
use wgrad::{DType, Device, Rng, Tensor};

/// The parameters that casts of a step are for, in their order.
fn rounded<O>(step: &Captured<O>) -> Vec<String> {
    let casts = step.plan().dispatches().iter().filter(|d| d.kernel.name == "cast" && d.label.is_some());
    casts.filter_map(|d| d.label.as_deref().map(str::to_string)).collect()
}

/// Forward and backward, however many kernels read it.
#[test]
fn a_weight_is_rounded_once_a_step() {
    let device = Device::null();
    let model = Gpt::new(Size::W4, &mut Init::new(0, &device));
    let mut adam = AdamW::new(&model, AdamWOptions::default()).expect("in range");
    let [x, y] = [vec![8, 128], vec![8 * 128]].map(|shape| Tensor::empty(shape, DType::I32, &device));
    let step = device.capture([&x, &y], |[x, y]| {
        let loss = model.forward(x, &Ctx::train().precision(Precision::Bf16Mixed)).cross_entropy(y);
        adam.step(&loss.backward());
        Ok(loss)
    });
    let labels = rounded(&step.expect("it can be captured"));
    let mut once = labels.clone();
    once.sort();
    once.dedup();
    assert_eq!(labels.len(), once.len(), "{labels:?}");
    let weights =
        parameters(&model).into_iter().filter(|(name, weight)| weight.shape().rank() == 2 && !name.starts_with('w'));
    assert_eq!(labels.len(), weights.count(), "{labels:?}");
}

/// A network that goes on by itself, whose weight is moved half way.
#[derive(Module)]
struct Recurring {
    cell: Linear,
}

/// A layer that runs step by step reads one rounded weight, until the weight is another; the bits are those of eager work.
#[test]
fn a_weight_that_many_steps_read_is_rounded_once() {
    for (name, device) in devices() {
        let run = |replayed: bool| {
            let model = Recurring { cell: Linear::new(6, 6, &mut Init::new(1, &device)) };
            let mut sgd = Sgd::new(&model, SgdOptions { lr: 0.1, ..SgdOptions::default() }).expect("in range");
            let x = Tensor::normal([4, 6], 0.0, 1.0, &mut Rng::new(2), &device);
            let mut pass = |x: &Tensor| {
                let ctx = Ctx::train().precision(Precision::F16Mixed);
                let forward = || (0..5).fold(x.clone(), |x, _| model.cell.forward(&x, &ctx).tanh());
                sgd.step(&forward().square().mean().backward());
                // By the weights that were just moved.
                forward().cast(DType::F32)
            };
            if !replayed {
                pass(&x);
                return (pass(&x).to_vec::<f32>().expect("the device works"), Vec::new());
            }
            // It runs for the first time here.
            let step = device.capture([&x], |[x]| Ok(pass(x))).expect("it can be captured");
            let labels = rounded(&step);
            let y = step.run([&x]).expect("it runs");
            (y.to_vec::<f32>().expect("the device works"), labels)
        };
        let (replayed, labels) = run(true);
        assert_eq!(labels, ["cell.weight", "cell.weight"], "on {name}");
        assert_eq!(replayed, run(false).0, "on {name}");
    }
}
