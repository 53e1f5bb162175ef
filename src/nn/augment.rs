//! Augmentation as a layer.

use super::ctx::{Ctx, Mode};
use super::fits::misfit_at;
use super::generator::Generator;
use super::module::{Init, Layer, Module, Path};
use crate::tensor::Tensor;

/// In training, moves and mirrors each image at random ([`Tensor::random_crop_flip`]); else passes through.
#[derive(Debug, Module)]
pub struct RandomCropFlip {
    /// Pixels that an image is moved by at most.
    #[module(skip)]
    pub padding: usize,
    generator: Generator,
    path: Path,
}

impl RandomCropFlip {
    /// Draws from the generator of `init`.
    #[track_caller]
    pub fn new(padding: usize, init: &mut Init) -> RandomCropFlip {
        RandomCropFlip { padding, generator: init.generator.clone(), path: Path::new() }
    }
}

impl Layer for RandomCropFlip {
    #[track_caller]
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        match ctx.mode() {
            Mode::Train => self.path.of(x).random_crop_flip(self.padding, &ctx.draw(&self.generator, x.device())),
            Mode::Eval => x.clone(),
        }
    }

    fn misfit(&self, x: &Tensor, _ctx: &Ctx) -> Option<String> {
        misfit_at(&self.path, x.rank() == 4, "RandomCropFlip", x, || "expected images [n, c, h, w]".into())
    }

    fn title(&self) -> String {
        format!("RandomCropFlip({})", self.padding)
    }
}
