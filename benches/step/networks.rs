//! Networks of other kinds: residual, depthwise, recurrent, U-shaped, of embeddings.

use wgrad::nn::recurrent::RecurrentOptions;
use wgrad::nn::{
    BatchNorm2d, Conv2d, ConvTranspose2d, Ctx, Embedding, GroupNorm, Init, Layer, Linear, Lstm, Module, Relu,
    Sequential,
};
use wgrad::{Conv2dOptions, KeepDims, Tensor};

/// A convolution without bias, and batch normalisation.
#[derive(Module)]
pub struct Unit {
    conv: Conv2d,
    norm: BatchNorm2d,
}

impl Unit {
    pub fn new(inputs: usize, outputs: usize, kernel: usize, stride: usize, init: &mut Init) -> Unit {
        let conv = Conv2d::new(inputs, outputs, kernel, init).stride(stride).padding(kernel / 2).without_bias();
        Unit { conv, norm: BatchNorm2d::new(outputs, init) }
    }

    /// Each channel by itself.
    fn depthwise(channels: usize, stride: usize, init: &mut Init) -> Unit {
        let options = Conv2dOptions { stride: [stride; 2], padding: [1; 2], groups: channels, ..Default::default() };
        let conv = Conv2d::with(channels, channels, [3, 3], options, init).without_bias();
        Unit { conv, norm: BatchNorm2d::new(channels, init) }
    }
}

impl Layer for Unit {
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        self.norm.forward(&self.conv.forward(x, ctx), ctx)
    }
}

#[derive(Module)]
struct Residual {
    first: Unit,
    second: Unit,
    short: Option<Unit>,
}

impl Residual {
    fn new(inputs: usize, outputs: usize, stride: usize, init: &mut Init) -> Residual {
        let first = Unit::new(inputs, outputs, 3, stride, init);
        let second = Unit::new(outputs, outputs, 3, 1, init);
        let short = (stride > 1 || inputs != outputs).then(|| Unit::new(inputs, outputs, 1, stride, init));
        Residual { first, second, short }
    }
}

impl Layer for Residual {
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let y = self.second.forward(&self.first.forward(x, ctx).relu(), ctx);
        let short = self.short.as_ref().map_or_else(|| x.clone(), |short| short.forward(x, ctx));
        y.add(&short).relu()
    }
}

/// W5: three residual blocks, 32-64-128 channels.
#[derive(Module)]
pub struct Resnet {
    stem: Unit,
    blocks: Vec<Residual>,
    fc: Linear,
}

impl Resnet {
    pub fn new(init: &mut Init) -> Resnet {
        let stem = Unit::new(3, 32, 3, 1, init);
        let blocks = [(32, 32, 1), (32, 64, 2), (64, 128, 2)];
        let blocks = blocks.into_iter().map(|(i, o, stride)| Residual::new(i, o, stride, init)).collect();
        Resnet { stem, blocks, fc: Linear::new(128, 10, init) }
    }
}

impl Layer for Resnet {
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let x = self.stem.forward(x, ctx).relu();
        let x = self.blocks.iter().fold(x, |x, block| block.forward(&x, ctx));
        self.fc.forward(&x.mean_dims(&[2, 3], KeepDims::No), ctx)
    }
}

/// W6: depthwise 3x3 and pointwise convolutions.
#[derive(Module)]
pub struct Mobilenet {
    stem: Unit,
    blocks: Vec<(Unit, Unit)>,
    fc: Linear,
}

impl Mobilenet {
    pub fn new(init: &mut Init) -> Mobilenet {
        let stem = Unit::new(3, 32, 3, 1, init);
        let blocks = [(32, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2)];
        let block = |(i, o, stride)| (Unit::depthwise(i, stride, init), Unit::new(i, o, 1, 1, init));
        let blocks = blocks.into_iter().map(block).collect();
        Mobilenet { stem, blocks, fc: Linear::new(256, 10, init) }
    }
}

impl Layer for Mobilenet {
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let x = self.stem.forward(x, ctx).relu6();
        let x = self
            .blocks
            .iter()
            .fold(x, |x, (depthwise, pointwise)| pointwise.forward(&depthwise.forward(&x, ctx).relu6(), ctx).relu6());
        self.fc.forward(&x.mean_dims(&[2, 3], KeepDims::No), ctx)
    }
}

/// W7: two layers of LSTM, and the class of a sequence from the last step.
#[derive(Module)]
pub struct Sequences {
    rnn: Lstm,
    fc: Linear,
}

impl Sequences {
    pub fn new(init: &mut Init) -> Sequences {
        let options = RecurrentOptions { layers: 2, ..Default::default() };
        Sequences { rnn: Lstm::with(64, 128, options, init), fc: Linear::new(128, 10, init) }
    }
}

impl Layer for Sequences {
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let y = self.rnn.forward(x, ctx);
        self.fc.forward(&y.narrow(1, x.size(1) - 1, 1).squeeze(1), ctx)
    }
}

/// Group normalisation, SiLU and a convolution.
#[derive(Module)]
struct Part {
    norm: GroupNorm,
    conv: Conv2d,
}

impl Part {
    fn new(inputs: usize, outputs: usize, init: &mut Init) -> Part {
        Part { norm: GroupNorm::new(8, inputs, init), conv: Conv2d::new(inputs, outputs, 3, init).padding(1) }
    }
}

impl Layer for Part {
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        self.conv.forward(&self.norm.forward(x, ctx).silu(), ctx)
    }
}

/// W9: down and up again by strided and transposed convolutions, with skips.
#[derive(Module)]
pub struct Unet {
    enter: Conv2d,
    first: Part,
    down_1: Conv2d,
    second: Part,
    down_2: Conv2d,
    middle: Part,
    up_2: ConvTranspose2d,
    third: Part,
    up_1: ConvTranspose2d,
    fourth: Part,
    leave: Conv2d,
}

impl Unet {
    pub fn new(init: &mut Init) -> Unet {
        let down = |i, o, init: &mut Init| Conv2d::new(i, o, 3, init).stride(2).padding(1);
        let up = |i, o, init: &mut Init| ConvTranspose2d::new(i, o, 2, init).stride(2);
        Unet {
            enter: Conv2d::new(1, 32, 3, init).padding(1),
            first: Part::new(32, 32, init),
            down_1: down(32, 64, init),
            second: Part::new(64, 64, init),
            down_2: down(64, 128, init),
            middle: Part::new(128, 128, init),
            up_2: up(128, 64, init),
            third: Part::new(128, 64, init),
            up_1: up(64, 32, init),
            fourth: Part::new(64, 32, init),
            leave: Conv2d::new(32, 1, 3, init).padding(1),
        }
    }
}

impl Layer for Unet {
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let first = self.first.forward(&self.enter.forward(x, ctx), ctx);
        let second = self.second.forward(&self.down_1.forward(&first, ctx), ctx);
        let middle = self.middle.forward(&self.down_2.forward(&second, ctx), ctx);
        let third = Tensor::cat(&[&self.up_2.forward(&middle, ctx), &second], 1);
        let fourth = Tensor::cat(&[&self.up_1.forward(&self.third.forward(&third, ctx), ctx), &first], 1);
        self.leave.forward(&self.fourth.forward(&fourth, ctx), ctx)
    }
}

/// W10: eight rows of a large table for each item, and fully connected layers.
#[derive(Module)]
pub struct Recommender {
    table: Embedding,
    layers: Sequential,
}

impl Recommender {
    pub fn new(init: &mut Init) -> Recommender {
        let table = Embedding::new(super::batches::ITEMS, 32, init);
        Recommender { table, layers: dense(&[256, 256, 128, 2], init) }
    }
}

impl Layer for Recommender {
    fn call(&self, ids: &Tensor, ctx: &Ctx) -> Tensor {
        self.layers.forward(&self.table.forward(ids, ctx).flatten(1), ctx)
    }
}

/// Fully connected layers with ReLU between them; W11: 3072-1024-256-1024-3072.
pub fn dense(widths: &[usize], init: &mut Init) -> Sequential {
    let pairs = widths.windows(2).enumerate();
    pairs.fold(Sequential::new(), |layers, (at, pair)| {
        let layers = if at > 0 { layers.push(Relu::new()) } else { layers };
        layers.push(Linear::new(pair[0], pair[1], init))
    })
}
