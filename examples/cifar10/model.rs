//! The networks.

use wgrad::nn::{BatchNorm2d, Conv2d, Ctx, Init, Layer, Linear, Module, RandomCropFlip, Sequential, Visitor};
use wgrad::{MaxPool2dOptions, Tensor};

/// Mean and deviation of each colour over CIFAR-10's training images, scaled to 0..1.
const MEAN: [f32; 3] = [0.4914, 0.4822, 0.4465];
const STD: [f32; 3] = [0.2470, 0.2435, 0.2616];

/// A network and what becomes of its images before: they are cropped and mirrored in training, and normalised.
pub struct Classifier {
    augment: RandomCropFlip,
    mean: Tensor,
    std: Tensor,
    net: Box<dyn Layer>,
}

impl Classifier {
    pub fn new(net: impl Layer + 'static, init: &mut Init) -> Classifier {
        let colours = |values| Tensor::from_slice(values, [3, 1, 1], &init.device);
        let (mean, std) = (colours(&MEAN), colours(&STD));
        Classifier { augment: RandomCropFlip::new(4, init), mean, std, net: Box::new(net) }
    }
}

/// The weights are those of the network, under its own names.
impl Module for Classifier {
    fn visit(&self, visitor: &mut Visitor) {
        self.net.visit(visitor);
    }
}

impl Layer for Classifier {
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let x = (self.augment.forward(x, ctx) - &self.mean) / &self.std;
        self.net.forward(&x, ctx)
    }
}

/// The network of PyTorch's tutorial "Training a classifier".
#[derive(Module)]
pub struct Net {
    conv1: Conv2d,
    conv2: Conv2d,
    fc1: Linear,
    fc2: Linear,
    fc3: Linear,
}

impl Net {
    pub fn new(init: &mut Init) -> Net {
        Net {
            conv1: Conv2d::new(3, 6, 5, init),
            conv2: Conv2d::new(6, 16, 5, init),
            fc1: Linear::new(16 * 5 * 5, 120, init),
            fc2: Linear::new(120, 84, init),
            fc3: Linear::new(84, 10, init),
        }
    }
}

impl Layer for Net {
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let half = MaxPool2dOptions::new(2);
        let x = self.conv1.forward(x, ctx).relu().max_pool2d(half);
        let x = self.conv2.forward(&x, ctx).relu().max_pool2d(half);
        let x = self.fc1.forward(&x.flatten(1), ctx).relu();
        let x = self.fc2.forward(&x, ctx).relu();
        self.fc3.forward(&x, ctx)
    }
}

/// A residual network (He et al., 2016) of three blocks, each with twice the channels of the one before on a quarter of
/// the pixels.
#[derive(Module)]
pub struct ResNet {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    layer1: Block,
    layer2: Block,
    layer3: Block,
    fc: Linear,
}

impl ResNet {
    /// `width` channels in the first block.
    pub fn new(width: usize, init: &mut Init) -> ResNet {
        ResNet {
            conv1: Conv2d::new(3, width, 3, init).padding(1).without_bias(),
            bn1: BatchNorm2d::new(width, init),
            layer1: Block::new(width, width, 1, init),
            layer2: Block::new(width, 2 * width, 2, init),
            layer3: Block::new(2 * width, 4 * width, 2, init),
            fc: Linear::new(4 * width, 10, init),
        }
    }
}

impl Layer for ResNet {
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let x = self.bn1.forward(&self.conv1.forward(x, ctx), ctx).relu();
        let blocks = [&self.layer1, &self.layer2, &self.layer3];
        let x = blocks.iter().fold(x, |x, block| block.forward(&x, ctx));
        self.fc.forward(&x.adaptive_avg_pool2d([1, 1]).flatten(1), ctx)
    }
}

/// Two convolutions whose result is added to what they got.
#[derive(Module)]
struct Block {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    conv2: Conv2d,
    bn2: BatchNorm2d,
    /// Brings the input to the result's shape, where they differ.
    downsample: Option<Sequential>,
}

impl Block {
    fn new(inputs: usize, outputs: usize, stride: usize, init: &mut Init) -> Block {
        let conv = |inputs, stride, init: &mut Init| {
            Conv2d::new(inputs, outputs, 3, init).stride(stride).padding(1).without_bias()
        };
        let (conv1, bn1) = (conv(inputs, stride, init), BatchNorm2d::new(outputs, init));
        let (conv2, bn2) = (conv(outputs, 1, init), BatchNorm2d::new(outputs, init));
        let downsample = (stride > 1 || inputs != outputs).then(|| {
            let conv = Conv2d::new(inputs, outputs, 1, init).stride(stride).without_bias();
            Sequential::new().push(conv).push(BatchNorm2d::new(outputs, init))
        });
        Block { conv1, bn1, conv2, bn2, downsample }
    }
}

impl Layer for Block {
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let y = self.bn1.forward(&self.conv1.forward(x, ctx), ctx).relu();
        let y = self.bn2.forward(&self.conv2.forward(&y, ctx), ctx);
        let shortcut = self.downsample.as_ref().map_or_else(|| x.clone(), |layers| layers.forward(x, ctx));
        (y + shortcut).relu()
    }
}
