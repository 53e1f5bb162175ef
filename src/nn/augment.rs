//! Augmentation as a layer.

use super::ctx::{Ctx, Mode};
use super::fits::{misfit_behind, refuse};
use super::module::{Init, Layer, Module, Visitor};
use crate::tensor::Tensor;

/// In training, moves and mirrors each image at random ([`Tensor::random_crop_flip`]); else passes through.
#[derive(Debug)]
pub struct RandomCropFlip {
    /// Pixels that an image is moved by at most.
    pub padding: usize,
    stream: u32,
}

impl RandomCropFlip {
    /// Draws from a stream of its own.
    #[track_caller]
    pub fn new(padding: usize, init: &mut Init) -> RandomCropFlip {
        RandomCropFlip { padding, stream: init.rng.layer_stream() }
    }
}

impl Module for RandomCropFlip {
    fn visit(&self, _visitor: &mut Visitor) {}
}

impl Layer for RandomCropFlip {
    #[track_caller]
    fn forward(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        refuse(self.misfit(x, ctx));
        let y = match ctx.mode() {
            Mode::Train => x.random_crop_flip(self.padding, &ctx.draw(self.stream, x.device())),
            Mode::Eval => x.clone(),
        };
        ctx.seen(self, || format!("RandomCropFlip({})", self.padding), y)
    }

    fn misfit(&self, x: &Tensor, ctx: &Ctx) -> Option<String> {
        misfit_behind(x.rank() == 4, "RandomCropFlip", x, ctx, || "images [n, c, h, w] are due".into())
    }
}
