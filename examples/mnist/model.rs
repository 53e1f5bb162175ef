//! The networks.

use wgrad::nn::{Conv2d, Ctx, Init, Layer, Linear, Module};
use wgrad::{MaxPool2dOptions, Tensor};

/// Two convolutions, each halved by pooling, then two fully connected layers. The fields are named as in a PyTorch
/// model, so that saved weights load there.
#[derive(Module)]
pub struct Cnn {
    conv1: Conv2d,
    conv2: Conv2d,
    fc1: Linear,
    fc2: Linear,
}

impl Cnn {
    pub fn new(init: &mut Init) -> Cnn {
        Cnn {
            conv1: Conv2d::new(1, 32, 3, init).padding(1),
            conv2: Conv2d::new(32, 64, 3, init).padding(1),
            fc1: Linear::new(64 * 7 * 7, 128, init),
            fc2: Linear::new(128, 10, init),
        }
    }
}

impl Layer for Cnn {
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let half = MaxPool2dOptions::new(2);
        let x = self.conv1.forward(x, ctx).relu().max_pool2d(half);
        let x = self.conv2.forward(&x, ctx).relu().max_pool2d(half);
        let x = self.fc1.forward(&x.flatten(1), ctx).relu();
        self.fc2.forward(&x, ctx)
    }
}

/// One hidden layer.
#[derive(Module)]
pub struct Mlp {
    fc1: Linear,
    fc2: Linear,
}

impl Mlp {
    pub fn new(init: &mut Init) -> Mlp {
        Mlp { fc1: Linear::new(784, 128, init), fc2: Linear::new(128, 10, init) }
    }
}

impl Layer for Mlp {
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        self.fc2.forward(&self.fc1.forward(&x.flatten(1), ctx).relu(), ctx)
    }
}
