//! The models of the training cases, their sizes told by the weights in the file.

use crate::case::Case;
use wgrad::nn::{BatchNorm2d, Conv2d, Ctx, Init, Layer, Linear, Module, Visitor};
use wgrad::{KeepDims, MaxPool2dOptions, Tensor};

/// The first weights of a file.
pub struct Sizes<'a>(pub &'a Case);

impl<'a> Sizes<'a> {
    pub fn of(&self, name: &str) -> &'a [usize] {
        &self.0.value(&format!("init.{name}")).shape
    }

    pub fn linear(&self, name: &str, init: &mut Init) -> Linear {
        let weight = self.of(&format!("{name}.weight"));
        let bias = self.0.tensors.contains_key(&format!("init.{name}.bias"));
        if bias { Linear::new(weight[1], weight[0], init) } else { Linear::without_bias(weight[1], weight[0], init) }
    }

    fn conv(&self, name: &str, init: &mut Init) -> Conv2d {
        let weight = self.of(&format!("{name}.weight"));
        let conv = Conv2d::new(weight[1], weight[0], weight[2], init).padding(1);
        let bias = self.0.tensors.contains_key(&format!("init.{name}.bias"));
        if bias { conv } else { conv.without_bias() }
    }

    fn norm(&self, name: &str, init: &mut Init) -> BatchNorm2d {
        BatchNorm2d::new(self.of(&format!("{name}.weight"))[0], init)
    }
}

/// Layers `fc1`, `fc2` .. with relu between them.
struct Mlp(Vec<Linear>);

impl Module for Mlp {
    fn visit(&self, visitor: &mut Visitor) {
        for (i, layer) in self.0.iter().enumerate() {
            visitor.child(&format!("fc{}", i + 1), layer);
        }
    }
}

impl Layer for Mlp {
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let (first, rest) = self.0.split_first().expect("there is a layer");
        rest.iter().fold(first.forward(&x.flatten(1), ctx), |y, layer| layer.forward(&y.relu(), ctx))
    }
}

pub fn mlp(sizes: &Sizes, init: &mut Init) -> Box<dyn Layer> {
    let names = (1..).map(|i| format!("fc{i}"));
    let there = names.take_while(|name| sizes.0.tensors.contains_key(&format!("init.{name}.weight")));
    Box::new(Mlp(there.map(|name| sizes.linear(&name, init)).collect()))
}

/// Two convolutions, each halved by a pool, and two linear layers.
#[derive(Module)]
struct Cnn {
    conv1: Conv2d,
    conv2: Conv2d,
    fc1: Linear,
    fc2: Linear,
}

impl Layer for Cnn {
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let halved = |y: Tensor| y.relu().max_pool2d(MaxPool2dOptions::new(2));
        let y = halved(self.conv2.forward(&halved(self.conv1.forward(x, ctx)), ctx));
        self.fc2.forward(&self.fc1.forward(&y.flatten(1), ctx).relu(), ctx)
    }
}

pub fn cnn(sizes: &Sizes, init: &mut Init) -> Box<dyn Layer> {
    let [conv1, conv2] = ["conv1", "conv2"].map(|name| sizes.conv(name, init));
    let [fc1, fc2] = ["fc1", "fc2"].map(|name| sizes.linear(name, init));
    Box::new(Cnn { conv1, conv2, fc1, fc2 })
}

/// Two convolutions with batch normalization, the second of stride 2, then the mean over space.
#[derive(Module)]
struct NormalizedCnn {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    conv2: Conv2d,
    bn2: BatchNorm2d,
    fc: Linear,
}

impl Layer for NormalizedCnn {
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let y = self.bn1.forward(&self.conv1.forward(x, ctx), ctx).relu();
        let y = self.bn2.forward(&self.conv2.forward(&y, ctx), ctx).relu();
        self.fc.forward(&y.mean_dims(&[2, 3], KeepDims::No), ctx)
    }
}

pub fn normalized_cnn(sizes: &Sizes, init: &mut Init) -> Box<dyn Layer> {
    let [conv1, conv2] = ["conv1", "conv2"].map(|name| sizes.conv(name, init));
    let [bn1, bn2] = ["bn1", "bn2"].map(|name| sizes.norm(name, init));
    Box::new(NormalizedCnn { conv1, bn1, conv2: conv2.stride(2), bn2, fc: sizes.linear("fc", init) })
}
