//! Batch and group normalisation as layers.

use super::ctx::{Ctx, Mode};
use super::fits::{misfit, misfit_at};
use super::module::{Init, Layer, Module, Path};
use super::parameter::{Buffer, Parameter};
use crate::dtype::DType;
use crate::ops::reduce::KeepDims;
use crate::tensor::Tensor;

/// Batch normalisation with running statistics: what [`BatchNorm1d`], [`BatchNorm2d`] and [`BatchNorm3d`] share.
#[derive(Debug, Module)]
pub struct BatchNormState {
    /// `[c]`, 1 at first.
    pub weight: Parameter,
    /// `[c]`, 0 at first.
    pub bias: Parameter,
    /// `[c]`, 0 at first.
    pub running_mean: Buffer,
    /// `[c]`, 1 at first.
    pub running_var: Buffer,
    /// i32 [], the number of batches that the running statistics saw.
    pub num_batches_tracked: Buffer,
    /// Added to the variance.
    #[module(skip)]
    pub eps: f32,
    /// The part of the way that running statistics move at each batch.
    #[module(skip)]
    pub momentum: f32,
}

impl BatchNormState {
    #[track_caller]
    fn new(channels: usize, init: &Init) -> BatchNormState {
        let device = &init.device;
        BatchNormState {
            weight: Parameter::new(Tensor::ones([channels], device)),
            bias: Parameter::new(Tensor::zeros([channels], device)),
            running_mean: Buffer::new(Tensor::zeros([channels], device)),
            running_var: Buffer::new(Tensor::ones([channels], device)),
            num_batches_tracked: Buffer::new(Tensor::full([], 0i32, device)),
            eps: 1e-5,
            momentum: 0.1,
        }
    }

    #[track_caller]
    fn forward(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let (weight, bias) = (ctx.param(&self.weight), ctx.param(&self.bias));
        let [mean, var, count] = [&self.running_mean, &self.running_var, &self.num_batches_tracked].map(Buffer::tensor);
        if ctx.mode() == Mode::Eval {
            return x.batch_norm_eval(&mean, &var, Some(&weight), Some(&bias), self.eps);
        }
        if let Some(sum) = ctx.sum() {
            return self.over_ranks(x, [&weight, &bias], [&mean, &var, &count], sum, ctx.runs_again());
        }
        let normalised = x.batch_norm(Some(&weight), Some(&bias), self.eps);
        if !ctx.runs_again() {
            normalised.update_running(&mean, &var, &count, self.momentum);
        }
        normalised.output
    }

    /// By the statistics of all ranks' parts, in the operations that they are made of.
    #[track_caller]
    fn over_ranks(
        &self,
        x: &Tensor,
        [weight, bias]: [&Tensor; 2],
        [mean, var, count]: [&Tensor; 3],
        sum: &(dyn Fn(&Tensor) -> Tensor + Send + Sync),
        runs_again: bool,
    ) -> Tensor {
        let (channels, wide) = (weight.numel(), x.cast(DType::F32));
        let dims: Vec<isize> = (0..x.rank() as isize).filter(|dim| *dim != 1).collect();
        let mut column = vec![1; x.rank() - 1];
        column[0] = channels;
        let column = |t: &Tensor| t.cast(DType::F32).reshape(&column[..]);
        let own = Tensor::full([1], (x.numel() / channels.max(1)) as f32, x.device());
        let all = sum(&Tensor::cat(&[&wide.sum_dims(&dims, KeepDims::No), &own], 0));
        let n = all.narrow(0, channels, 1).detach();
        let m = all.narrow(0, 0, channels) / &n;
        let centred = wide - column(&m);
        let v = sum(&centred.square().sum_dims(&dims, KeepDims::No)) / &n;
        let moved = |old: &Tensor, new: Tensor| {
            old.assign(&(old * (1.0 - self.momentum) + new * self.momentum).cast(old.dtype()))
        };
        if !runs_again {
            moved(mean, m.detach());
            moved(var, v.detach() * (&n / (&n - 1.0)));
            count.assign(&count.add(&Tensor::full([], 1i32, x.device())));
        }
        (centred * column(&v.affine(1.0, self.eps).rsqrt()) * column(weight) + column(bias)).cast(x.dtype())
    }
}

macro_rules! layers {
    ($($(#[$doc:meta])* $name:ident: $ranks:pat, $shape:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Module)]
        pub struct $name(#[module(name = "")] pub BatchNormState);

        impl $name {
            /// With PyTorch's eps of 1e-5 and momentum of 0.1.
            #[track_caller]
            pub fn new(channels: usize, init: &mut Init) -> $name {
                $name(BatchNormState::new(channels, init))
            }
        }

        impl Layer for $name {
            #[track_caller]
            fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
                self.0.forward(x, ctx)
            }

            fn misfit(&self, x: &Tensor, ctx: &Ctx) -> Option<String> {
                let weight = self.0.weight.tensor();
                let channels = weight.shape()[0];
                let fits = matches!(x.rank(), $ranks) && x.shape()[1] == channels;
                let name = stringify!($name);
                let expected = || format!("expected a batch {} of {channels} channels", $shape);
                misfit(fits, name, x, &weight, expected).or_else(|| {
                    let counts = ctx.mode() == Mode::Eval || ctx.sum().is_some() || x.numel() != channels;
                    misfit(counts, name, x, &weight, || "in training, expected more than one value a channel".into())
                })
            }

            fn title(&self) -> String {
                format!("{}({})", stringify!($name), self.0.weight.shape()[0])
            }
        }
    )*};
}

layers! {
    /// Batch normalisation of [n, c] or [n, c, length].
    BatchNorm1d: 2 | 3, "[n, c] or [n, c, length]";
    /// Batch normalisation of images [n, c, h, w].
    #[doc(alias = "BatchNormalization")]
    BatchNorm2d: 4, "[n, c, h, w]";
    /// Batch normalisation of volumes [n, c, d, h, w].
    BatchNorm3d: 5, "[n, c, d, h, w]";
}

/// Normalisation by neighbouring channels: [`Tensor::local_response_norm`].
#[derive(Debug, Clone, PartialEq, Module)]
pub struct LocalResponseNorm {
    /// The channels that count.
    #[module(skip)]
    pub size: usize,
    /// The factor of their mean square; 1e-4.
    #[module(skip)]
    pub alpha: f32,
    /// The power; 0.75.
    #[module(skip)]
    pub beta: f32,
    /// What is added; 1.
    #[module(skip)]
    pub k: f32,
    path: Path,
}

impl LocalResponseNorm {
    /// With PyTorch's defaults.
    ///
    /// # Panics
    /// If the size is 0.
    #[track_caller]
    pub fn new(size: usize) -> LocalResponseNorm {
        assert!(size > 0, "LocalResponseNorm: expected a size above 0");
        LocalResponseNorm { size, alpha: 1e-4, beta: 0.75, k: 1.0, path: Path::new() }
    }
}

impl Layer for LocalResponseNorm {
    #[track_caller]
    fn call(&self, x: &Tensor, _ctx: &Ctx) -> Tensor {
        self.path.of(x).local_response_norm(self.size, self.alpha, self.beta, self.k)
    }

    fn misfit(&self, x: &Tensor, _ctx: &Ctx) -> Option<String> {
        let fits = x.rank() >= 2 && x.dtype().is_float();
        misfit_at(&self.path, fits, "LocalResponseNorm", x, || "expected a batch [n, c, ..] of floats".into())
    }

    fn title(&self) -> String {
        format!("LocalResponseNorm({})", self.size)
    }
}

/// Normalisation of groups of neighbouring channels: [`Tensor::group_norm`].
#[doc(alias("InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d"))]
#[derive(Debug, Module)]
pub struct GroupNorm {
    /// `[c]`, 1 at first; none where nothing is scaled.
    pub weight: Option<Parameter>,
    /// `[c]`, 0 at first; none where nothing is shifted.
    pub bias: Option<Parameter>,
    /// The groups.
    #[module(skip)]
    pub groups: usize,
    /// The channels.
    #[module(skip)]
    pub channels: usize,
    /// Added to the variance: 1e-5 as PyTorch does, unless it is set.
    #[module(skip)]
    pub eps: f32,
    /// Its path in the model.
    pub path: Path,
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
            path: Path::new(),
        }
    }

    /// Each channel by itself, neither scaled nor shifted: PyTorch's `InstanceNorm1d`, `InstanceNorm2d` and `InstanceNorm3d`.
    pub fn instance(channels: usize) -> GroupNorm {
        GroupNorm { weight: None, bias: None, groups: channels, channels, eps: 1e-5, path: Path::new() }
    }
}

impl Layer for GroupNorm {
    #[track_caller]
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let [weight, bias] = [&self.weight, &self.bias].map(|part| part.as_ref().map(|part| ctx.param(part)));
        self.path.of(x).group_norm(self.groups, weight.as_ref(), bias.as_ref(), self.eps)
    }

    fn misfit(&self, x: &Tensor, _ctx: &Ctx) -> Option<String> {
        let fits = x.rank() >= 2 && x.shape()[1] == self.channels;
        let expected = || format!("expected a batch [n, {}, ..]", self.channels);
        match &self.weight {
            Some(weight) => misfit(fits, "GroupNorm", x, &weight.tensor(), expected),
            None => misfit_at(&self.path, fits, "GroupNorm", x, expected),
        }
    }

    fn title(&self) -> String {
        format!("GroupNorm({}, {})", self.groups, self.channels)
    }
}
