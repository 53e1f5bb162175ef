//! Dropout as layers.

use super::ctx::{Ctx, Mode};
use super::fits::{misfit_behind, no_float, refuse};
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
    /// If `p` is not in 0..=1.
    #[track_caller]
    pub fn new(p: f32, init: &mut Init) -> Dropout {
        assert!((0.0..=1.0).contains(&p), "Dropout: a probability of {p} is not in 0..=1");
        Dropout { p, stream: init.rng.layer_stream() }
    }
}

impl Module for Dropout {
    fn visit(&self, _visitor: &mut Visitor) {}
}

impl Layer for Dropout {
    #[track_caller]
    fn forward(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        refuse(self.misfit(x, ctx));
        let drops = ctx.mode() == Mode::Train && self.p > 0.0;
        let y = if drops { x.dropout(self.p, &ctx.draw(self.stream, x.device())) } else { x.clone() };
        ctx.seen(self, || format!("Dropout({})", self.p), y)
    }

    fn misfit(&self, x: &Tensor, ctx: &Ctx) -> Option<String> {
        no_float("Dropout", x, ctx)
    }
}

/// Dropout of whole channels of `[n, c, ..]`, whose neighbours tell much the same (Tompson et al., 2015): PyTorch's
/// `Dropout1d`, `Dropout2d` and `Dropout3d`.
#[derive(Debug)]
pub struct ChannelDropout(pub Dropout);

impl ChannelDropout {
    /// # Panics
    /// If `p` is not in 0..=1.
    #[track_caller]
    pub fn new(p: f32, init: &mut Init) -> ChannelDropout {
        ChannelDropout(Dropout::new(p, init))
    }
}

impl Module for ChannelDropout {
    fn visit(&self, _visitor: &mut Visitor) {}
}

impl Layer for ChannelDropout {
    #[track_caller]
    fn forward(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        refuse(self.misfit(x, ctx));
        let Dropout { p, stream } = self.0;
        let y = if ctx.mode() == Mode::Train && p > 0.0 {
            let mut sizes = vec![1; x.rank()];
            sizes[..2].copy_from_slice(&x.shape()[..2]);
            x.mul(&Tensor::ones(sizes, x.device()).dropout(p, &ctx.draw(stream, x.device())))
        } else {
            x.clone()
        };
        ctx.seen(self, || format!("ChannelDropout({p})"), y)
    }

    fn misfit(&self, x: &Tensor, ctx: &Ctx) -> Option<String> {
        misfit_behind(x.rank() >= 2, "ChannelDropout", x, ctx, || "a batch [n, c, ..] is due".into())
    }
}
