//! Batch normalisation as layers.

use super::ctx::{Ctx, Mode};
use super::module::{Init, Layer, Module, Parameter, Visitor};
use crate::tensor::Tensor;

/// Batch normalisation with running statistics: what [`BatchNorm1d`] and [`BatchNorm2d`] share.
#[derive(Debug)]
pub struct BatchNormState {
    /// `[c]`, 1 at first.
    pub weight: Parameter,
    /// `[c]`, 0 at first.
    pub bias: Parameter,
    /// `[c]`, 0 at first.
    pub running_mean: Tensor,
    /// `[c]`, 1 at first.
    pub running_var: Tensor,
    /// i32 [], the number of batches that the running statistics saw.
    pub num_batches_tracked: Tensor,
    /// Added to the variance.
    pub eps: f32,
    /// How far the running statistics move at each batch.
    pub momentum: f32,
}

impl BatchNormState {
    fn new(channels: usize, init: &Init) -> BatchNormState {
        let device = &init.device;
        BatchNormState {
            weight: Parameter::new(Tensor::ones([channels], device)),
            bias: Parameter::new(Tensor::zeros([channels], device)),
            running_mean: Tensor::zeros([channels], device),
            running_var: Tensor::ones([channels], device),
            num_batches_tracked: Tensor::full([], 0i32, device),
            eps: 1e-5,
            momentum: 0.1,
        }
    }

    #[track_caller]
    fn forward(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let (weight, bias) = (ctx.param(&self.weight), ctx.param(&self.bias));
        if ctx.mode() == Mode::Eval {
            return x.batch_norm_eval(&self.running_mean, &self.running_var, Some(&weight), Some(&bias), self.eps);
        }
        let normalised = x.batch_norm(Some(&weight), Some(&bias), self.eps);
        normalised.update_running(&self.running_mean, &self.running_var, &self.num_batches_tracked, self.momentum);
        normalised.output
    }
}

impl Module for BatchNormState {
    fn visit(&self, visitor: &mut Visitor) {
        visitor.child("weight", &self.weight);
        visitor.child("bias", &self.bias);
        visitor.buffer("running_mean", &self.running_mean);
        visitor.buffer("running_var", &self.running_var);
        visitor.buffer("num_batches_tracked", &self.num_batches_tracked);
    }
}

macro_rules! layers {
    ($($(#[$doc:meta])* $name:ident: $ranks:pat, $shape:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name(pub BatchNormState);

        impl $name {
            /// With PyTorch's eps of 1e-5 and momentum of 0.1.
            pub fn new(channels: usize, init: &mut Init) -> $name {
                $name(BatchNormState::new(channels, init))
            }
        }

        impl Module for $name {
            fn visit(&self, visitor: &mut Visitor) {
                self.0.visit(visitor);
            }
        }

        impl Layer for $name {
            #[track_caller]
            fn forward(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
                let weight = self.0.weight.tensor();
                let channels = weight.shape()[0];
                let fits = matches!(x.rank(), $ranks) && x.shape()[1] == channels;
                let path = weight.name().unwrap_or(stringify!($name));
                assert!(fits, "{path}: {} x {}: a batch {} of {channels} channels is due", x.shape(), weight.shape(), $shape);
                ctx.seen(self, || format!("{}({channels})", stringify!($name)), self.0.forward(x, ctx))
            }
        }
    )*};
}

layers! {
    /// Batch normalisation of [n, c] or [n, c, length].
    BatchNorm1d: 2 | 3, "[n, c] or [n, c, length]";
    /// Batch normalisation of images [n, c, h, w].
    BatchNorm2d: 4, "[n, c, h, w]";
}
