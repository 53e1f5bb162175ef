//! Networks of real sizes, which are planned and never run here.

use super::batches;
use super::gpt::{Gpt, Size};
use super::networks::{Unet, Unit};
use super::workload::Training;
use wgrad::nn::recurrent::RecurrentOptions;
use wgrad::nn::{Ctx, Init, Layer, Linear, Lstm, MaxPool2d, Module};
use wgrad::optim::{Adam, AdamOptions, AdamW, AdamWOptions, Momentum, Sgd, SgdOptions};
use wgrad::{Device, KeepDims, MaxPool2dOptions, Result, Tensor};

/// A network's name and how it starts.
pub type Start = (&'static str, fn(&Device) -> Result<Training>);

/// All of them.
pub const REAL: [Start; 4] = [
    ("ResNet-50, 32 x 3x224x224, SGD with momentum", resnet),
    ("GPT, 12 layers of 768, vocabulary 50,257, 1 x 1,024 tokens, AdamW", gpt),
    ("LSTM, 2 layers of 1,024, 64 x 50 x 1,024, Adam", lstm),
    ("U-Net of the widths above, 16 x 1x256x256, Adam", unet),
];

/// 1x1, 3x3 and 1x1 with batch normalisation, around a short way.
#[derive(Module)]
struct Bottleneck {
    units: [Unit; 3],
    short: Option<Unit>,
}

impl Bottleneck {
    fn new(inputs: usize, width: usize, stride: usize, init: &mut Init) -> Bottleneck {
        let outputs = 4 * width;
        let units = [
            Unit::new(inputs, width, 1, 1, init),
            Unit::new(width, width, 3, stride, init),
            Unit::new(width, outputs, 1, 1, init),
        ];
        let short = (inputs != outputs).then(|| Unit::new(inputs, outputs, 1, stride, init));
        Bottleneck { units, short }
    }
}

impl Layer for Bottleneck {
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let [first, second, third] = &self.units;
        let y = third.forward(&second.forward(&first.forward(x, ctx).relu(), ctx).relu(), ctx);
        let short = self.short.as_ref().map_or_else(|| x.clone(), |short| short.forward(x, ctx));
        y.add(&short).relu()
    }
}

/// As in torchvision.
#[derive(Module)]
struct Resnet50 {
    stem: Unit,
    pool: MaxPool2d,
    blocks: Vec<Bottleneck>,
    fc: Linear,
}

impl Layer for Resnet50 {
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let x = self.pool.forward(&self.stem.forward(x, ctx).relu(), ctx);
        let x = self.blocks.iter().fold(x, |x, block| block.forward(&x, ctx));
        self.fc.forward(&x.mean_dims(&[2, 3], KeepDims::No), ctx)
    }
}

fn resnet(device: &Device) -> Result<Training> {
    let init = &mut Init::new(0, device);
    let mut blocks = Vec::new();
    let mut inputs = 64;
    for (width, count, stride) in [(64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)] {
        for at in 0..count {
            blocks.push(Bottleneck::new(inputs, width, if at == 0 { stride } else { 1 }, init));
            inputs = 4 * width;
        }
    }
    let pool = MaxPool2dOptions { stride: [2, 2], padding: [1, 1], ..MaxPool2dOptions::new(3) };
    let (stem, pool, fc) = (Unit::new(3, 64, 7, 2, init), MaxPool2d::with(pool), Linear::new(inputs, 1000, init));
    let model = Resnet50 { stem, pool, blocks, fc };
    let options = SgdOptions { momentum: Momentum::HeavyBall(0.9), ..SgdOptions::default() };
    let optimizer = Box::new(Sgd::new(&model, options)?);
    Ok(Training {
        model: Box::new(model),
        optimizer,
        batches: vec![batches::classified_by(1, &[32, 3, 224, 224], 1000)],
    })
}

fn gpt(device: &Device) -> Result<Training> {
    let size = Size { vocabulary: 50_257, width: 768, layers: 12, heads: 12, context: 1024 };
    let model = Gpt::new(size, &mut Init::new(0, device));
    let optimizer = Box::new(AdamW::new(&model, AdamWOptions::default())?);
    let batches = batches::tokens_of([1, 1024], size.vocabulary, 1024, size.vocabulary);
    Ok(Training { model: Box::new(model), optimizer, batches })
}

/// The class of a sequence from the last step.
#[derive(Module)]
struct Sequences {
    rnn: Lstm,
    fc: Linear,
}

impl Layer for Sequences {
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let y = self.rnn.forward(x, ctx);
        self.fc.forward(&y.narrow(1, x.size(1) - 1, 1).squeeze(1), ctx)
    }
}

fn lstm(device: &Device) -> Result<Training> {
    let init = &mut Init::new(0, device);
    let options = RecurrentOptions { layers: 2, ..Default::default() };
    let model = Sequences { rnn: Lstm::with(1024, 1024, options, init), fc: Linear::new(1024, 10, init) };
    let optimizer = Box::new(Adam::new(&model, AdamOptions::default())?);
    Ok(Training { model: Box::new(model), optimizer, batches: vec![batches::classified_by(1, &[64, 50, 1024], 10)] })
}

fn unet(device: &Device) -> Result<Training> {
    let model = Unet::new(&mut Init::new(0, device));
    let optimizer = Box::new(Adam::new(&model, AdamOptions::default())?);
    Ok(Training { model: Box::new(model), optimizer, batches: vec![batches::mapped_by(1, &[16, 1, 256, 256])] })
}
