//! Batch and group normalisation as layers.

use super::ctx::{Ctx, Mode};
use super::fits::{misfit, misfit_behind, refuse};
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
    #[track_caller]
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
            #[track_caller]
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
                refuse(self.misfit(x, ctx));
                let channels = self.0.weight.tensor().shape()[0];
                ctx.seen(self, || format!("{}({channels})", stringify!($name)), self.0.forward(x, ctx))
            }

            fn misfit(&self, x: &Tensor, ctx: &Ctx) -> Option<String> {
                let weight = self.0.weight.tensor();
                let channels = weight.shape()[0];
                let fits = matches!(x.rank(), $ranks) && x.shape()[1] == channels;
                let name = stringify!($name);
                let due = || format!("a batch {} of {channels} channels is due", $shape);
                misfit(fits, name, x, &weight, due).or_else(|| {
                    let counts = ctx.mode() == Mode::Eval || x.numel() != channels;
                    misfit(counts, name, x, &weight, || "in training more than one value a channel is due".into())
                })
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

/// Normalisation of groups of neighbouring channels: [`Tensor::group_norm`].
#[derive(Debug)]
pub struct GroupNorm {
    /// `[c]`, 1 at first; none where nothing is scaled.
    pub weight: Option<Parameter>,
    /// `[c]`, 0 at first; none where nothing is shifted.
    pub bias: Option<Parameter>,
    /// The groups.
    pub groups: usize,
    /// The channels.
    pub channels: usize,
    /// Added to the variance: 1e-5 as PyTorch does, unless it is set.
    pub eps: f32,
}

impl GroupNorm {
    /// `groups` groups of `channels` channels in all.
    ///
    /// # Panics
    /// If the channels are no multiple of the groups.
    #[track_caller]
    pub fn new(groups: usize, channels: usize, init: &mut Init) -> GroupNorm {
        let whole = groups > 0 && channels.is_multiple_of(groups);
        assert!(whole, "GroupNorm: {channels} channels are no multiple of {groups} groups");
        GroupNorm {
            weight: Some(Parameter::new(Tensor::ones([channels], &init.device))),
            bias: Some(Parameter::new(Tensor::zeros([channels], &init.device))),
            groups,
            channels,
            eps: 1e-5,
        }
    }

    /// Each channel by itself, neither scaled nor shifted: PyTorch's `InstanceNorm1d` and `InstanceNorm2d`.
    pub fn instance(channels: usize) -> GroupNorm {
        GroupNorm { weight: None, bias: None, groups: channels, channels, eps: 1e-5 }
    }
}

impl Module for GroupNorm {
    fn visit(&self, visitor: &mut Visitor) {
        visitor.child("weight", &self.weight);
        visitor.child("bias", &self.bias);
    }
}

impl Layer for GroupNorm {
    #[track_caller]
    fn forward(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        refuse(self.misfit(x, ctx));
        let [weight, bias] = [&self.weight, &self.bias].map(|part| part.as_ref().map(|part| ctx.param(part)));
        let y = x.group_norm(self.groups, weight.as_ref(), bias.as_ref(), self.eps);
        ctx.seen(self, || format!("GroupNorm({}, {})", self.groups, self.channels), y)
    }

    fn misfit(&self, x: &Tensor, ctx: &Ctx) -> Option<String> {
        let fits = x.rank() >= 2 && x.shape()[1] == self.channels;
        let due = || format!("a batch [n, {}, ..] is due", self.channels);
        match &self.weight {
            Some(weight) => misfit(fits, "GroupNorm", x, &weight.tensor(), due),
            None => misfit_behind(fits, "GroupNorm", x, ctx, due),
        }
    }
}
