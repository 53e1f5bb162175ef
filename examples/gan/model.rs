//! The two networks.

use wgrad::Tensor;
use wgrad::nn::init::normal;
use wgrad::nn::{BatchNorm2d, Conv2d, ConvTranspose2d, Ctx, Init, Layer, Linear, Module, parameters};

/// Numbers of the noise that a picture is drawn from.
pub const NOISE: usize = 64;

/// The sides of an image at its smallest; two strides of 2 lie between it and 28.
const SMALL: usize = 7;

/// Draws images from noise: a linear layer makes small images of many channels, and each transposed convolution doubles
/// their sides and halves their channels.
#[derive(Module)]
pub struct Generator {
    project: Linear,
    bn1: BatchNorm2d,
    up1: ConvTranspose2d,
    bn2: BatchNorm2d,
    up2: ConvTranspose2d,
}

impl Generator {
    /// `width` channels at first.
    pub fn new(width: usize, init: &mut Init) -> Generator {
        // A kernel of 4 covers each pixel as often as any other at a stride of 2; one of 3 would print a chessboard.
        let up = |from, to, init: &mut Init| ConvTranspose2d::new(from, to, 4, init).stride(2).padding(1);
        let generator = Generator {
            // What comes before a normalisation needs no bias: the mean is taken off again.
            project: Linear::without_bias(NOISE, width * SMALL * SMALL, init),
            bn1: BatchNorm2d::new(width, init),
            up1: up(width, width / 2, init).without_bias(),
            bn2: BatchNorm2d::new(width / 2, init),
            up2: up(width / 2, 1, init),
        };
        start_small(&generator, init);
        generator
    }
}

impl Layer for Generator {
    /// Noise `[n, NOISE]` to images `[n, 1, 28, 28]` in -1..1.
    fn call(&self, noise: &Tensor, ctx: &Ctx) -> Tensor {
        let x = self.project.forward(noise, ctx);
        let x = x.reshape((x.size(0), -1, SMALL, SMALL));
        let x = self.bn1.forward(&x, ctx).relu();
        let x = self.bn2.forward(&self.up1.forward(&x, ctx), ctx).relu();
        self.up2.forward(&x, ctx).tanh()
    }
}

/// Tells real images from drawn ones: the generator the other way round.
#[derive(Module)]
pub struct Discriminator {
    conv1: Conv2d,
    conv2: Conv2d,
    bn2: BatchNorm2d,
    fc: Linear,
}

impl Discriminator {
    /// `width` channels at last.
    pub fn new(width: usize, init: &mut Init) -> Discriminator {
        // Strides and not pooling make images smaller: the gradient reaches every pixel, not one in four.
        let down = |from, to, init: &mut Init| Conv2d::new(from, to, 4, init).stride(2).padding(1);
        let discriminator = Discriminator {
            // No normalisation here, as none stands behind the generator's last layer: brightness and contrast are seen.
            conv1: down(1, width / 2, init),
            conv2: down(width / 2, width, init).without_bias(),
            bn2: BatchNorm2d::new(width, init),
            fc: Linear::new(width * SMALL * SMALL, 1, init),
        };
        start_small(&discriminator, init);
        discriminator
    }
}

impl Layer for Discriminator {
    /// Images `[n, 1, 28, 28]` to logits `[n]`, above 0 for what looks real.
    fn call(&self, images: &Tensor, ctx: &Ctx) -> Tensor {
        // A slope on either side: where a relu is 0, the generator would learn nothing.
        let x = self.conv1.forward(images, ctx).leaky_relu(0.2);
        let x = self.bn2.forward(&self.conv2.forward(&x, ctx), ctx).leaky_relu(0.2);
        self.fc.forward(&x.flatten(1), ctx).squeeze(1)
    }
}

/// The paper's first weights, which are smaller than PyTorch's: neither network is sure of anything at first.
fn start_small(model: &dyn Module, init: &mut Init) {
    for (_, weight) in parameters(model).iter().filter(|(_, parameter)| parameter.shape().rank() > 1) {
        normal(weight, 0.0, 0.02, &mut init.rng);
    }
}
