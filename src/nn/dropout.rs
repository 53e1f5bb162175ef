//! Dropout as a layer.

use super::ctx::{Ctx, Mode};
use super::module::{Init, Layer, Module, Visitor};
use crate::tensor::Tensor;

/// In training, zeroes elements with a probability and scales the others up; else passes through.
#[derive(Debug)]
pub struct Dropout {
    /// The probability.
    pub p: f32,
    stream: u32,
}

impl Dropout {
    /// # Panics
    /// If `p` is not in 0..1.
    #[track_caller]
    pub fn new(p: f32, init: &mut Init) -> Dropout {
        assert!((0.0..1.0).contains(&p), "Dropout: a probability of {p} is not in 0..1");
        Dropout { p, stream: init.rng.layer_stream() }
    }
}

impl Module for Dropout {
    fn visit(&self, _visitor: &mut Visitor) {}
}

impl Layer for Dropout {
    #[track_caller]
    fn forward(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let drops = ctx.mode() == Mode::Train && self.p > 0.0;
        let y = if drops { x.dropout(self.p, &ctx.draw(self.stream, x.device())) } else { x.clone() };
        ctx.seen(self, || format!("Dropout({})", self.p), y)
    }
}
