//! Parts of a pass that are computed again for their gradient: the same bits, masks and running statistics, in less memory.

use super::mixed::stepped;
use super::rules::panics;
use crate::devices::devices;
use std::sync::Arc;
use wgrad::nn::{
    BatchNorm1d, Checkpoint, Ctx, Dropout, Gelu, Generator, Init, Layer, Linear, Module, NormPlace, Precision, Relu,
    Sequential, StateDict, TransformerEncoderLayer, TransformerOptions, parameters, state,
};
use wgrad::optim::{Adam, AdamOptions, Optimizer, Sgd, SgdOptions};
use wgrad::{DType, Device, Rng, Tensor, autograd};

fn normal(shape: &[usize], seed: u64, device: &Device) -> Tensor {
    Tensor::normal(shape, 0.0, 1.0, &mut Rng::new(seed), device)
}

/// A layer as it is, or one that runs again.
fn pushed(all: Sequential, layer: impl Layer + 'static, again: bool) -> Sequential {
    if again { all.push(Checkpoint::new(layer)) } else { all.push(layer) }
}

/// Blocks with chance and running statistics, one of them within another.
fn network(again: bool, device: &Device) -> Sequential {
    let init = &mut Init::new(5, device);
    let block = |init: &mut Init, again: bool| {
        let inner = Sequential::new().push(Dropout::new(0.3, init)).push(Linear::new(12, 12, init)).push(Gelu::new());
        let norm = BatchNorm1d::new(12, init);
        pushed(Sequential::new().push(norm).push(Relu::new()), inner, again).push(Dropout::new(0.2, init))
    };
    let all = Sequential::new().push(Linear::new(6, 12, init));
    let all = pushed(all, block(init, again), again);
    pushed(all, block(init, again), again).push(Linear::new(12, 3, init))
}

fn trained(again: bool, precision: Precision, replayed: bool, device: &Device) -> (Vec<f32>, StateDict) {
    let x = normal(&[16, 6], 1, device);
    let labels = Tensor::from_vec((0..16).map(|i| i % 3).collect::<Vec<i32>>(), [16], device);
    stepped(&network(again, device), [&x, &labels], 8, precision, replayed)
}

#[test]
fn no_bit_changes() {
    for (name, device) in devices() {
        for precision in [Precision::F32, Precision::F16Mixed, Precision::Bf16Mixed] {
            let kept = trained(false, precision, false, &device);
            for replayed in [false, true] {
                let again = trained(true, precision, replayed, &device);
                assert_eq!(again, kept, "{precision:?} on {name}, replayed {replayed}");
            }
        }
    }
}

/// What a closure reads beside its arguments has its gradient too, and weights that are used outside as well.
#[test]
fn gradients_reach_all_that_is_read() {
    for (name, device) in devices() {
        let layer = Arc::new(Linear::new(4, 4, &mut Init::new(1, &device)));
        let [x, other] = [1, 2].map(|seed| normal(&[3, 4], seed, &device).requires_grad());
        let loss = |again: bool| {
            let (ctx, h, own) = (Ctx::train(), other.sin(), layer.clone());
            let beside = h.clone();
            let work = move |[x]: [&Tensor; 1], ctx: &Ctx| {
                own.forward(&own.forward(&x.mul(&beside), ctx).tanh().add(x), ctx).mul(&beside)
            };
            let y = if again { ctx.checkpoint([&x], work) } else { work([&x], &ctx) };
            layer.forward(&y.add(&h).add(&x), &ctx).square().mean()
        };
        let [kept, again] = [false, true].map(|again| {
            let grads = loss(again).backward();
            let leaves: Vec<Tensor> =
                parameters(&*layer).iter().map(|(_, own)| own.tensor()).chain([x.clone(), other.clone()]).collect();
            grads
                .to_vec(&leaves)
                .iter()
                .map(|gradient| gradient.to_vec::<f32>().expect("the device works"))
                .collect::<Vec<_>>()
        });
        assert_eq!(again, kept, "on {name}");
        // Each is told as soon as it is whole, the same one last.
        let order = |again: bool| {
            let mut told = Vec::new();
            loss(again).backward_each(|tensor, _| told.push(tensor.shape().to_vec()));
            told
        };
        assert_eq!(order(true), order(false), "on {name}");
        // Twice from one graph, and gradients of gradients.
        let y = loss(true);
        let twice = [y.backward(), y.backward()].map(|grads| grads.of(&x).expect("it has one").to_vec::<f32>());
        assert_eq!(twice[0], twice[1], "on {name}");
        let curved = |again: bool| {
            loss(again).grad(&x).square().sum().backward().of(&other).expect("it has one").to_vec::<f32>()
        };
        let [kept, again] = [false, true].map(|again| curved(again).expect("the device works"));
        assert!(
            kept.iter().zip(&again).all(|(a, b)| (a - b).abs() <= 1e-6 + 1e-5 * a.abs()),
            "on {name}: {again:?} for {kept:?}"
        );
    }
}

#[test]
fn what_has_changed_in_between_is_refused() {
    let device = Device::cpu();
    let layer = Arc::new(Linear::new(2, 2, &mut Init::new(1, &device)));
    let mut sgd = Sgd::new(&*layer, SgdOptions { lr: 0.1, ..SgdOptions::default() }).expect("in range");
    let x = normal(&[3, 2], 1, &device);
    let own = layer.clone();
    let y = Ctx::train().checkpoint([&x], move |[x], ctx| own.forward(x, ctx).tanh());
    sgd.step(&layer.forward(&x, &Ctx::train()).sum().backward());
    let text = panics(|| y.sum().backward());
    assert!(text.starts_with("checkpoint: a tensor (") && text.ends_with("was changed in place since"), "{text}");
    // Without a graph nothing is kept.
    let untracked = Ctx::eval().checkpoint([&x], |[x], _| x.exp());
    assert!(!untracked.is_tracked());
    assert!(!autograd::checkpoint(&[&x], |x, _| x[0].exp()).is_tracked());
}

#[test]
fn what_does_something_else_the_second_time_is_refused() {
    type Work = fn(&Linear, &Generator, &Tensor, &Ctx) -> Tensor;
    let part: Work = |layer, _, x, c| layer.forward(x, c);
    let cases: [(Work, &str); 6] = [
        (
            |_, _, x, c| x.cast(if c.runs_again() { DType::BF16 } else { DType::F32 }).exp(),
            "gave [3, 2] of f32 first, and [3, 2] of bf16 as it ran again",
        ),
        (
            |_, _, x, c| x.exp().narrow(0, 0, if c.runs_again() { 1 } else { 3 }),
            "gave [3, 2] of f32 first, and [1, 2] of f32 as it ran again",
        ),
        (|layer, _, x, c| if c.runs_again() { layer.forward(x, c).detach() } else { layer.forward(x, c) }, OTHERS),
        (|layer, _, x, c| if c.runs_again() { x.exp() } else { layer.forward(x, c) }, OTHERS),
        (|_, _, x, c| if c.runs_again() { x.clone() } else { x.exp() }, OTHERS),
        (
            |_, generator, x, c| {
                let draws = if c.runs_again() { 1 } else { 2 };
                (0..draws).fold(x.exp(), |x, _| x.dropout(0.5, &c.draw(generator, x.device())))
            },
            "the second run draws fewer numbers than the 2 of the first",
        ),
    ];
    const OTHERS: &str = "led to other tensors that have a gradient as it ran again than it did first";
    for (name, device) in devices() {
        let x = normal(&[3, 2], 1, &device).requires_grad();
        let told = |work: Work, higher: bool| {
            let (layer, generator) = (Linear::new(2, 2, &mut Init::new(1, &device)), Generator::new(4));
            let y = Ctx::train().checkpoint([&x], move |[x], c| work(&layer, &generator, x, c));
            if higher { drop(y.sum().grad(&x)) } else { drop(y.sum().backward()) }
        };
        for (work, due) in cases {
            for higher in [false, true] {
                let said = panics(|| told(work, higher));
                assert!(said.contains(due) && said.ends_with("both runs have to do the same"), "{said} on {name}");
            }
        }
        told(part, false);
        told(part, true);
    }
}

/// Twelve layers of a Transformer on 1,024 tokens.
#[test]
fn activations_are_kept_for_one_block_at_a_time() {
    let device = Device::null();
    let planned = |again: bool, layers: usize| {
        let init = &mut Init::new(0, &device);
        let options = || TransformerOptions { norm: NormPlace::Before, ..TransformerOptions::default() };
        let block = |init: &mut Init| TransformerEncoderLayer::new(256, 8, options(), init);
        let blocks = (0..layers).fold(Sequential::new(), |all, _| pushed(all, block(init), again));
        let mut adam = Adam::new(&blocks, AdamOptions::default()).expect("in range");
        let step = device.capture(&Tensor::empty([4, 256, 256], DType::F32, &device), |x| {
            let loss = blocks.forward(x, &Ctx::train()).square().mean();
            adam.step(&loss.backward());
            Ok(loss)
        });
        step.expect("it can be captured").planned_bytes()
    };
    let (kept, again) = (planned(false, 12), planned(true, 12));
    println!("12 layers: {kept} bytes kept, {again} again");
    assert!(3 * again <= kept, "{again} of {kept} bytes");
    // One more block costs its input alone.
    assert!(planned(true, 13) - again < 3 << 20);
}

/// Told before the first step, of which nothing has run then.
#[test]
fn memory_is_told_before_the_first_step() {
    let train = |asks: bool| {
        let device = Device::cpu();
        let model = network(true, &device);
        let mut adam = Adam::new(&model, AdamOptions::default()).expect("in range");
        let x = normal(&[16, 6], 1, &device);
        let mut step = |x: &Tensor| {
            let loss = model.forward(x, &Ctx::train()).square().mean();
            adam.step(&loss.backward());
            Ok(loss)
        };
        let told = asks.then(|| device.estimate(&x, &mut step).expect("it can be recorded"));
        let captured = device.capture(&x, &mut step).expect("it can be captured");
        if let Some(told) = told {
            assert_eq!(told.planned, captured.planned_bytes());
            assert_eq!(told.inputs, 16 * 6 * 4);
            assert_eq!(told.total(), told.inputs + told.kept + told.planned);
            let weights: usize = parameters(&model).iter().map(|(_, own)| own.tensor().numel() * 4).sum();
            assert!(told.kept > 4 * weights as u64, "{told}");
        }
        (captured.run(&x).and_then(|loss| loss.item()), state(&model).expect("the device works"))
    };
    assert_eq!(train(true), train(false));
}

#[test]
fn paths_stay_what_they_are() {
    let device = Device::cpu();
    let names =
        |again: bool| parameters(&network(again, &device)).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names(true), names(false));
    let _: &dyn Module = &network(true, &device);
}
