//! The networks whose step is put on paper.

use super::gpt::{Gpt, Size};
use super::networks::Unit;
pub use super::workload::Training;
use super::workload::Workload;
use std::path::Path;
use wgrad::nn::{Ctx, Init, Layer, Linear, MaxPool2d, Module};
use wgrad::optim::{AdamW, AdamWOptions, Momentum, Optimizer, Sgd, SgdOptions};
use wgrad::{Device, KeepDims, MaxPool2dOptions, Result, Tensor};

/// Inputs and labels.
pub type Batch = [Tensor; 2];

/// What is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    W1,
    W5,
    W8,
    Resnet50,
    Gpt2,
}

impl Network {
    pub const MEASURED: [Network; 3] = [Network::W1, Network::W5, Network::W8];
    pub const ON_PAPER: [Network; 4] = [Network::W5, Network::W8, Network::Resnet50, Network::Gpt2];

    pub fn name(self) -> &'static str {
        match self {
            Network::W1 => "W1",
            Network::W5 => "W5",
            Network::W8 => "W8",
            Network::Resnet50 => "ResNet-50",
            Network::Gpt2 => "GPT-2 small",
        }
    }

    /// A step's part of one rank.
    pub fn batch(self) -> &'static str {
        match self {
            Network::W1 => "64 images of 784",
            Network::W5 => "64 images of 3x32x32",
            Network::W8 => "4 x 256 tokens",
            Network::Resnet50 => "64 images of 3x224x224",
            Network::Gpt2 => "8 x 1,024 tokens",
        }
    }

    /// The same with less of a batch, for steps so short that some of them meet no other work on a machine.
    pub fn small(self, device: &Device) -> Result<(Training, Batch)> {
        let (training, [x, target]) = self.start(device)?;
        let batch = match self {
            Network::W5 => [x.narrow(0, 0, 2).copy(), target.narrow(0, 0, 2).copy()],
            Network::W8 => [x.narrow(0, 0, 1).narrow(1, 0, 32).copy(), target.narrow(0, 0, 32).copy()],
            _ => [x, target],
        };
        Ok((training, batch))
    }

    pub fn start(self, device: &Device) -> Result<(Training, Batch)> {
        let mnist = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/mnist"));
        let init = &mut Init::new(0, device);
        let of = |workload: Workload| -> Result<(Training, Batch)> {
            let training = workload.start(mnist, device)?;
            let (x, target) = training.batches[0].to(device);
            Ok((training, [x, target]))
        };
        let labels = |n: usize| Tensor::from_slice(&vec![0i32; n], [n], device);
        match self {
            Network::W1 => of(Workload::W1),
            Network::W5 => of(Workload::W5),
            Network::W8 => of(Workload::W8),
            Network::Resnet50 => {
                let model = Resnet50::new(init);
                let options = SgdOptions { momentum: Momentum::HeavyBall(0.9), ..SgdOptions::default() };
                let optimizer: Box<dyn Optimizer> = Box::new(Sgd::new(&model, options)?);
                let training = Training { model: Box::new(model), optimizer, batches: Vec::new() };
                Ok((training, [Tensor::zeros([64, 3, 224, 224], device), labels(64)]))
            }
            Network::Gpt2 => {
                let size = Size { vocabulary: 50_257, width: 768, layers: 12, heads: 12, context: 1024 };
                let mut model = Gpt::new(size, init);
                model.lm_head = Linear { weight: model.wte.weight.clone(), bias: None };
                let optimizer = Box::new(AdamW::new(&model, AdamWOptions::default())?.clip_grad_norm(1.0)?);
                let training = Training { model: Box::new(model), optimizer, batches: Vec::new() };
                let tokens = Tensor::from_slice(&[0i32; 8 * 1024], [8, 1024], device);
                Ok((training, [tokens, labels(8 * 1024)]))
            }
        }
    }
}

/// Three convolutions around a narrow middle (He et al., 2015), which takes the stride, as in torchvision.
#[derive(Module)]
struct Bottleneck {
    first: Unit,
    second: Unit,
    third: Unit,
    short: Option<Unit>,
}

impl Bottleneck {
    fn new(inputs: usize, width: usize, stride: usize, init: &mut Init) -> Bottleneck {
        let outputs = 4 * width;
        let [first, second] = [Unit::new(inputs, width, 1, 1, init), Unit::new(width, width, 3, stride, init)];
        let third = Unit::new(width, outputs, 1, 1, init);
        let short = (inputs != outputs).then(|| Unit::new(inputs, outputs, 1, stride, init));
        Bottleneck { first, second, third, short }
    }
}

impl Layer for Bottleneck {
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let y = self.second.forward(&self.first.forward(x, ctx).relu(), ctx).relu();
        let short = self.short.as_ref().map_or_else(|| x.clone(), |short| short.forward(x, ctx));
        self.third.forward(&y, ctx).add(&short).relu()
    }
}

/// 25,557,032 parameters, 4.09 billion multiply-adds for an image of 224x224.
#[derive(Module)]
struct Resnet50 {
    stem: Unit,
    pool: MaxPool2d,
    layer1: Vec<Bottleneck>,
    layer2: Vec<Bottleneck>,
    layer3: Vec<Bottleneck>,
    layer4: Vec<Bottleneck>,
    fc: Linear,
}

impl Resnet50 {
    fn new(init: &mut Init) -> Resnet50 {
        let stem = Unit::new(3, 64, 7, 2, init);
        let mut stage = |inputs: usize, width: usize, count: usize, stride: usize| -> Vec<Bottleneck> {
            let first = Bottleneck::new(inputs, width, stride, init);
            let rest = (1..count).map(|_| Bottleneck::new(4 * width, width, 1, init));
            let mut all = vec![first];
            all.extend(rest);
            all
        };
        let [layer1, layer2] = [stage(64, 64, 3, 1), stage(256, 128, 4, 2)];
        let [layer3, layer4] = [stage(512, 256, 6, 2), stage(1024, 512, 3, 2)];
        let pool = MaxPool2d::with(MaxPool2dOptions { stride: [2; 2], padding: [1; 2], ..MaxPool2dOptions::new(3) });
        Resnet50 { stem, pool, layer1, layer2, layer3, layer4, fc: Linear::new(2048, 1000, init) }
    }
}

impl Layer for Resnet50 {
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let x = self.pool.forward(&self.stem.forward(x, ctx).relu(), ctx);
        let blocks = [&self.layer1, &self.layer2, &self.layer3, &self.layer4].into_iter().flatten();
        let x = blocks.fold(x, |x, block| block.forward(&x, ctx));
        self.fc.forward(&x.mean_dims(&[2, 3], KeepDims::No), ctx)
    }
}
