//! The network: what noise is there in an image, of which one knows how noisy it is?

use wgrad::Tensor;
use wgrad::nn::{Conv2d, ConvTranspose2d, Ctx, GroupNorm, Init, Layer, Linear, Module};

/// Two convolutions that the input also passes by, and between them the time, as a number for each channel.
#[derive(Module)]
struct Block {
    norm1: GroupNorm,
    conv1: Conv2d,
    time: Linear,
    norm2: GroupNorm,
    conv2: Conv2d,
    skip: Option<Conv2d>,
}

impl Block {
    fn new(from: usize, to: usize, time: usize, init: &mut Init) -> Block {
        Block {
            norm1: GroupNorm::new(8, from, init),
            conv1: Conv2d::new(from, to, 3, init).padding(1),
            time: Linear::new(time, to, init),
            norm2: GroupNorm::new(8, to, init),
            conv2: Conv2d::new(to, to, 3, init).padding(1),
            skip: (from != to).then(|| Conv2d::new(from, to, 1, init)),
        }
    }

    fn forward(&self, x: &Tensor, time: &Tensor, ctx: &Ctx) -> Tensor {
        let y = self.conv1.forward(&self.norm1.forward(x, ctx).silu(), ctx);
        let y = y + self.time.forward(time, ctx).unsqueeze(2).unsqueeze(3);
        let y = self.conv2.forward(&self.norm2.forward(&y, ctx).silu(), ctx);
        y + self.skip.as_ref().map_or(x.clone(), |skip| skip.forward(x, ctx))
    }
}

/// A U-Net (Ronneberger, Fischer and Brox, 2015): down to a quarter of the pixels, where it sees the digit as a whole, and up
/// again beside what it saw on its way down.
#[derive(Module)]
pub struct UNet {
    time1: Linear,
    time2: Linear,
    first: Conv2d,
    down: Block,
    smaller: Conv2d,
    middle1: Block,
    middle2: Block,
    larger: ConvTranspose2d,
    up: Block,
    norm: GroupNorm,
    last: Conv2d,
}

impl UNet {
    /// `width` channels where images are largest; the time comes as `waves` numbers.
    pub fn new(width: usize, waves: usize, init: &mut Init) -> UNet {
        let time = 4 * width;
        UNet {
            time1: Linear::new(waves, time, init),
            time2: Linear::new(time, time, init),
            // An image of 28 x 28 is one of 14 x 14 with four channels: nothing is lost, and a step costs a quarter.
            first: Conv2d::new(4, width, 3, init).padding(1),
            down: Block::new(width, width, time, init),
            smaller: Conv2d::new(width, 2 * width, 4, init).stride(2).padding(1),
            middle1: Block::new(2 * width, 2 * width, time, init),
            middle2: Block::new(2 * width, 2 * width, time, init),
            larger: ConvTranspose2d::new(2 * width, width, 4, init).stride(2).padding(1),
            up: Block::new(2 * width, width, time, init),
            norm: GroupNorm::new(8, width, init),
            last: Conv2d::new(width, 4, 3, init).padding(1),
        }
    }

    /// Noisy images `[n, 1, 28, 28]` and their times `[n, waves]` to the noise in them.
    pub fn forward(&self, x: &Tensor, waves: &Tensor, ctx: &Ctx) -> Tensor {
        let time = self.time1.forward(waves, ctx).silu();
        let time = self.time2.forward(&time, ctx).silu();
        let x = self.first.forward(&x.pixel_unshuffle(2), ctx);
        let fine = self.down.forward(&x, &time, ctx);
        let coarse = self.middle1.forward(&self.smaller.forward(&fine, ctx), &time, ctx);
        let coarse = self.middle2.forward(&coarse, &time, ctx);
        let x = Tensor::cat(&[&self.larger.forward(&coarse, ctx), &fine], 1);
        let x = self.up.forward(&x, &time, ctx);
        self.last.forward(&self.norm.forward(&x, ctx).silu(), ctx).pixel_shuffle(2)
    }
}
