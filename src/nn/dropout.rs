//! Dropout as layers.

use super::ctx::{Ctx, Mode};
use super::fits::{misfit_at, no_float};
use super::generator::Generator;
use super::module::{Init, Layer, Module, Path};
use crate::device::Device;
use crate::ops::random::Draw;
use crate::tensor::Tensor;

/// In training, zeroes elements with a probability and scales the others up; else passes through.
#[derive(Debug, Module)]
pub struct Dropout {
    /// The probability.
    #[module(skip)]
    pub p: f32,
    generator: Generator,
    path: Path,
}

impl Dropout {
    /// # Panics
    /// If `p` is not in 0..=1.
    #[track_caller]
    pub fn new(p: f32, init: &mut Init) -> Dropout {
        assert!((0.0..=1.0).contains(&p), "Dropout: a probability of {p} is not in 0..=1");
        Dropout { p, generator: init.generator.clone(), path: Path::new() }
    }

    /// The next numbers of its generator.
    #[track_caller]
    pub(super) fn draw(&self, device: &Device, ctx: &Ctx) -> Draw {
        ctx.draw(&self.generator, device)
    }

    #[track_caller]
    fn masked(&self, x: &Tensor, ctx: &Ctx) -> Option<Tensor> {
        let drops = ctx.mode() == Mode::Train && self.p > 0.0;
        drops.then(|| self.path.of(x).dropout(self.p, &ctx.draw(&self.generator, x.device())))
    }
}

impl Layer for Dropout {
    #[track_caller]
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        self.masked(x, ctx).unwrap_or_else(|| x.clone())
    }

    fn misfit(&self, x: &Tensor, _ctx: &Ctx) -> Option<String> {
        no_float(&self.path, "Dropout", x)
    }

    fn title(&self) -> String {
        format!("Dropout({})", self.p)
    }
}

/// Dropout that keeps mean and variance of what [`Selu`](super::Selu) gives: [`Tensor::alpha_dropout`].
#[derive(Debug, Module)]
pub struct AlphaDropout(#[module(name = "")] pub Dropout);

impl AlphaDropout {
    /// # Panics
    /// If `p` is not in 0..=1.
    #[track_caller]
    pub fn new(p: f32, init: &mut Init) -> AlphaDropout {
        AlphaDropout(Dropout::new(p, init))
    }
}

impl Layer for AlphaDropout {
    #[track_caller]
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let Dropout { p, generator, path } = &self.0;
        match ctx.mode() {
            Mode::Train if *p > 0.0 => path.of(x).alpha_dropout(*p, &ctx.draw(generator, x.device())),
            _ => x.clone(),
        }
    }

    fn misfit(&self, x: &Tensor, _ctx: &Ctx) -> Option<String> {
        no_float(&self.0.path, "AlphaDropout", x)
    }

    fn title(&self) -> String {
        format!("AlphaDropout({})", self.0.p)
    }
}

/// [`AlphaDropout`] of whole channels of `[n, c, ..]`: [`Tensor::feature_alpha_dropout`].
#[derive(Debug, Module)]
pub struct FeatureAlphaDropout(#[module(name = "")] pub Dropout);

impl FeatureAlphaDropout {
    /// # Panics
    /// If `p` is not in 0..=1.
    #[track_caller]
    pub fn new(p: f32, init: &mut Init) -> FeatureAlphaDropout {
        FeatureAlphaDropout(Dropout::new(p, init))
    }
}

impl Layer for FeatureAlphaDropout {
    #[track_caller]
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let Dropout { p, generator, path } = &self.0;
        match ctx.mode() {
            Mode::Train if *p > 0.0 => path.of(x).feature_alpha_dropout(*p, &ctx.draw(generator, x.device())),
            _ => x.clone(),
        }
    }

    fn misfit(&self, x: &Tensor, _ctx: &Ctx) -> Option<String> {
        let fits = x.rank() >= 2 && x.dtype().is_float();
        misfit_at(&self.0.path, fits, "FeatureAlphaDropout", x, || "expected a batch [n, c, ..] of floats".into())
    }

    fn title(&self) -> String {
        format!("FeatureAlphaDropout({})", self.0.p)
    }
}

/// Dropout of whole channels of `[n, c, ..]`, whose neighbours tell much the same (Tompson et al., 2015): PyTorch's
/// `Dropout1d`, `Dropout2d` and `Dropout3d`, told apart by the rank of the input.
#[derive(Debug, Module)]
pub struct Dropout2d(#[module(name = "")] pub Dropout);

/// [`Dropout2d`], which takes any rank.
pub type Dropout1d = Dropout2d;

/// [`Dropout2d`], which takes any rank.
pub type Dropout3d = Dropout2d;

impl Dropout2d {
    /// # Panics
    /// If `p` is not in 0..=1.
    #[track_caller]
    pub fn new(p: f32, init: &mut Init) -> Dropout2d {
        Dropout2d(Dropout::new(p, init))
    }
}

impl Layer for Dropout2d {
    #[track_caller]
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let mut sizes = vec![1; x.rank()];
        sizes[..2].copy_from_slice(&x.shape()[..2]);
        // The channels' masks, of a tensor that is only made where it is used.
        match ctx.mode() {
            Mode::Train => self.0.masked(&x.new_full(sizes, 1.0), ctx).map_or(x.clone(), |mask| x.mul(&mask)),
            Mode::Eval => x.clone(),
        }
    }

    fn misfit(&self, x: &Tensor, _ctx: &Ctx) -> Option<String> {
        misfit_at(&self.0.path, x.rank() >= 2, "Dropout2d", x, || "expected a batch [n, c, ..]".into())
    }

    fn title(&self) -> String {
        format!("Dropout2d({})", self.0.p)
    }
}

/// Stochastic depth (Huang et al., 2016): in training, zeroes whole samples with a probability and scales the others up. It
/// stands where a residual block ends, before what came in is added: timm's `DropPath`, torchvision's `StochasticDepth`.
#[doc(alias = "StochasticDepth")]
#[derive(Debug, Module)]
pub struct DropPath(#[module(name = "")] pub Dropout);

impl DropPath {
    /// # Panics
    /// If `p` is not in 0..=1.
    #[track_caller]
    pub fn new(p: f32, init: &mut Init) -> DropPath {
        DropPath(Dropout::new(p, init))
    }
}

impl Layer for DropPath {
    #[track_caller]
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let mut sizes = vec![1; x.rank()];
        sizes[..1].copy_from_slice(&x.shape()[..1]);
        match ctx.mode() {
            Mode::Train => self.0.masked(&x.new_full(sizes, 1.0), ctx).map_or(x.clone(), |mask| x.mul(&mask)),
            Mode::Eval => x.clone(),
        }
    }

    fn misfit(&self, x: &Tensor, _ctx: &Ctx) -> Option<String> {
        misfit_at(&self.0.path, x.rank() >= 1, "DropPath", x, || "expected a batch [n, ..]".into())
    }

    fn title(&self) -> String {
        format!("DropPath({})", self.0.p)
    }
}
