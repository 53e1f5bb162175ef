//! What a training step runs, kernel by kernel: a change that adds three kernels a layer is seen in the review.
//!
//! The lists are made on the null device. `WGRAD_UPDATE=1 cargo test --test library plans` writes them anew.

use crate::{gpt, models};
use std::path::Path;
use wgrad::nn::{BatchNorm2d, Conv2d, Ctx, Dropout, Flatten, Init, Layer, Linear, MaxPool2d, Module, Relu, Sequential};
use wgrad::optim::{Adam, AdamOptions, AdamW, AdamWOptions, Momentum, Optimizer, Sgd, SgdOptions};
use wgrad::plan::Plan;
use wgrad::{DType, Device, KeepDims, Tensor};

/// Holds a plan against the list in `tests/plans`, or writes that list.
#[track_caller]
fn snapshot(name: &str, plan: &Plan) {
    kept(name, plan, "");
}

#[track_caller]
fn kept(name: &str, plan: &Plan, more: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plans").join(format!("{name}.txt"));
    let cost = plan.cost();
    let count = plan.dispatches().len();
    let text = format!("{plan}{count} kernels, {} operations, {} bytes{more}\n", cost.flops, cost.bytes);
    if std::env::var("WGRAD_UPDATE").is_ok_and(|value| value == "1") {
        std::fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        return;
    }
    let kept = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{name}: {error}; WGRAD_UPDATE=1 cargo test --test library plans writes it"))
        .replace("\r\n", "\n");
    if let Some(what) = difference(&kept, &text) {
        panic!(
            "{name}: {what}\nif this is meant, WGRAD_UPDATE=1 cargo test --test library plans writes the new list\n{text}"
        );
    }
}

/// The first line that differs.
fn difference(kept: &str, now: &str) -> Option<String> {
    if kept == now {
        return None;
    }
    let (mut old, mut new) = (kept.lines(), now.lines());
    for line in 1.. {
        match (old.next(), new.next()) {
            (Some(a), Some(b)) if a == b => {}
            (None, None) => break,
            (a, b) => return Some(format!("line {line} is `{}`, was `{}`", b.unwrap_or("none"), a.unwrap_or("none"))),
        }
    }
    Some("the ends of lines differ".into())
}

#[test]
fn a_difference_is_seen() {
    assert_eq!(difference("a\nb\n", "a\nb\n"), None);
    assert_eq!(difference("a\nb\n", "a\nc\n"), Some("line 2 is `c`, was `b`".into()));
    assert_eq!(difference("a\n", "a\nc\n"), Some("line 2 is `c`, was `none`".into()));
    assert!(difference("a\n", "a").is_some());
}

/// Two layers in primitives: forward, the mean of squares, backward.
#[test]
fn mlp_of_primitives() {
    let device = Device::null();
    let empty = |sizes: [usize; 2]| Tensor::empty(sizes, DType::F32, &device);
    let weight = |name: &str, sizes: [usize; 2]| empty(sizes).named(name).requires_grad();
    let (w1, b1) = (weight("fc1.weight", [128, 784]), weight("fc1.bias", [1, 128]));
    let (w2, b2) = (weight("fc2.weight", [10, 128]), weight("fc2.bias", [1, 10]));
    let (x, target) = (empty([64, 784]), empty([64, 10]));
    let (grads, plan) = device.record(|| {
        let hidden = x.matmul(&w1.t()).add(&b1).relu();
        let y = hidden.matmul(&w2.t()).add(&b2);
        y.sub(&target).square().mean().backward()
    });
    for parameter in [&w1, &b1, &w2, &b2] {
        assert_eq!(grads.of(parameter).map(Tensor::shape), Some(parameter.shape()), "{:?}", parameter.name());
    }
    snapshot("mlp_of_primitives", &plan);
}

/// One training step of a model: forward, cross-entropy, backward, optimizer.
fn step(model: &Sequential, optimizer: &mut dyn Optimizer, sizes: [usize; 4], device: &Device) -> Plan {
    let (x, labels) = (Tensor::empty(sizes, DType::F32, device), Tensor::empty([sizes[0]], DType::I32, device));
    let run = || optimizer.step(&model.forward(&x, &Ctx::train()).cross_entropy(&labels).backward());
    device.record(run).1
}

/// The two convolutions of the MNIST example, with Adam.
#[test]
fn mnist_cnn_adam() {
    let device = Device::null();
    let mut init = Init::new(0, &device);
    let model = Sequential::new()
        .push(Conv2d::new(1, 32, 3, &mut init).padding(1))
        .push(Relu::new())
        .push(MaxPool2d::new(2))
        .push(Conv2d::new(32, 64, 3, &mut init).padding(1))
        .push(Relu::new())
        .push(MaxPool2d::new(2))
        .push(Flatten::new())
        .push(Linear::new(3136, 128, &mut init))
        .push(Relu::new())
        .push(Linear::new(128, 10, &mut init));
    let mut adam = Adam::new(&model, AdamOptions::default()).expect("the options are in range");
    snapshot("mnist_cnn_adam", &step(&model, &mut adam, [64, 1, 28, 28], &device));
}

/// Batch normalisation, dropout and a momentum.
#[test]
fn bn_cnn_momentum() {
    let device = Device::null();
    let mut init = Init::new(0, &device);
    let model = Sequential::new()
        .push(Conv2d::new(3, 16, 3, &mut init).padding(1).without_bias())
        .push(BatchNorm2d::new(16, &mut init))
        .push(Relu::new())
        .push(Flatten::new())
        .push(Dropout::new(0.5, &mut init))
        .push(Linear::new(4096, 10, &mut init));
    let momentum = Momentum::HeavyBall(0.9);
    let mut sgd = Sgd::new(&model, SgdOptions { momentum, ..SgdOptions::default() }).expect("the options are in range");
    snapshot("bn_cnn_momentum", &step(&model, &mut sgd, [8, 3, 16, 16], &device));
}

/// Holds a step as it is replayed against the list in `tests/plans`, the bytes of its memory with it.
#[track_caller]
fn replayed(name: &str, model: &dyn Layer, optimizer: &mut dyn Optimizer, x: Tensor, labels: usize) {
    let device = x.device().clone();
    let labels = Tensor::empty([labels], DType::I32, &device);
    let step = device.capture([&x, &labels], |[x, labels]| {
        let loss = model.forward(x, &Ctx::train()).cross_entropy(labels);
        optimizer.step(&loss.backward());
        Ok(loss)
    });
    let step = step.expect("it can be captured");
    let (planned, least) = (step.planned_bytes(), step.plan().least_bytes());
    // What a kernel reads and what it writes lie in memory of their own, which costs a little.
    assert!(planned * 100 <= least * 108, "{planned} bytes, of which {least} are in use at once");
    kept(name, step.plan(), &format!(", {planned} bytes of memory"));
}

/// Convolutions with batch normalisation, and the way around them.
#[derive(Module)]
struct Block {
    stem: Conv2d,
    conv1: Conv2d,
    norm1: BatchNorm2d,
    conv2: Conv2d,
    norm2: BatchNorm2d,
    head: Linear,
}

impl Layer for Block {
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let x = self.stem.forward(x, ctx);
        let y = self.norm1.forward(&self.conv1.forward(&x, ctx), ctx).relu();
        let y = self.norm2.forward(&self.conv2.forward(&y, ctx), ctx);
        self.head.forward(&(x + y).relu().mean_dims(&[2, 3], KeepDims::No), ctx)
    }
}

/// The sum and both relus are a part of the normalisations.
#[test]
fn residual_block_replayed() {
    let device = Device::null();
    let [init, norms] = &mut [0, 1].map(|seed| Init::new(seed, &device));
    let mut conv = |channels| Conv2d::new(channels, 16, 3, init).padding(1).without_bias();
    let model = Block {
        stem: conv(3),
        conv1: conv(16),
        norm1: BatchNorm2d::new(16, norms),
        conv2: conv(16),
        norm2: BatchNorm2d::new(16, norms),
        head: Linear::new(16, 10, norms),
    };
    let mut sgd = Sgd::new(&model, SgdOptions::default()).expect("the options are in range");
    let x = Tensor::empty([8, 3, 16, 16], DType::F32, &device);
    replayed("residual_block_replayed", &model, &mut sgd, x, 8);
}

/// The workloads of the bench of steps.
#[test]
fn w1_replayed() {
    let device = Device::null();
    let model = models::mlp(&mut Init::new(0, &device));
    let mut adam = Adam::new(&model, AdamOptions::default()).expect("the options are in range");
    replayed("w1_replayed", &model, &mut adam, Tensor::empty([64, 784], DType::F32, &device), 64);
}

#[test]
fn w2_replayed() {
    let device = Device::null();
    let model = models::convolutional(1, 28, &mut Init::new(0, &device));
    let mut adam = Adam::new(&model, AdamOptions::default()).expect("the options are in range");
    replayed("w2_replayed", &model, &mut adam, Tensor::empty([64, 1, 28, 28], DType::F32, &device), 64);
}

#[test]
fn w3_replayed() {
    let device = Device::null();
    let model = models::convolutional(3, 32, &mut Init::new(0, &device));
    let options = SgdOptions { momentum: Momentum::HeavyBall(0.9), ..SgdOptions::default() };
    let mut sgd = Sgd::new(&model, options).expect("the options are in range");
    replayed("w3_replayed", &model, &mut sgd, Tensor::empty([64, 3, 32, 32], DType::F32, &device), 64);
}

#[test]
fn w4_replayed() {
    let device = Device::null();
    let model = gpt::Gpt::new(gpt::Size::W4, &mut Init::new(0, &device));
    let mut adam = AdamW::new(&model, AdamWOptions::default()).expect("the options are in range");
    replayed("w4_replayed", &model, &mut adam, Tensor::empty([8, 128], DType::I32, &device), 1024);
}
