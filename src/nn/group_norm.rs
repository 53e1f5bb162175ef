//! Normalisation of channels by groups of them, by each item's own, and by their neighbours, as layers.

use super::ctx::Ctx;
use super::fits::{misfit, misfit_at};
use super::module::{Init, Layer, Module, Path};
use super::parameter::Parameter;
use crate::tensor::Tensor;

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
#[doc(alias = "nn.GroupNorm")]
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

    /// The same, but nothing is scaled or shifted: PyTorch's `affine=False`.
    pub fn without_affine(self) -> GroupNorm {
        GroupNorm { weight: None, bias: None, ..self }
    }

    /// The same, but nothing is shifted: PyTorch's `bias=False`.
    pub fn without_bias(self) -> GroupNorm {
        GroupNorm { bias: None, ..self }
    }

    /// The same with another number that is added to the variance.
    pub fn eps(self, eps: f32) -> GroupNorm {
        GroupNorm { eps, ..self }
    }

    /// Each channel by itself, neither scaled nor shifted, of any rank; see also [`InstanceNorm2d`](super::InstanceNorm2d).
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
