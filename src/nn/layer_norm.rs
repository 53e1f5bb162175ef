//! Normalisation of rows as layers.

use super::ctx::Ctx;
use super::fits::{misfit, misfit_at};
use super::module::{Init, Layer, Module, Path};
use super::parameter::Parameter;
use crate::shape::Shape;
use crate::tensor::Tensor;

#[must_use]
fn check(x: &Tensor, sizes: Shape, weight: &Option<Parameter>, path: &Path, layer: &str) -> Option<String> {
    let (fits, expected) = (x.shape().ends_with(&sizes), || format!("expected last sizes of {sizes}"));
    match weight {
        Some(weight) => misfit(fits, layer, x, &weight.tensor(), expected),
        None => misfit_at(path, fits && x.dtype().is_float(), layer, x, || format!("{} of floats", expected())),
    }
}

#[track_caller]
fn sized(sizes: impl Into<Shape>, layer: &str) -> Shape {
    let sizes = sizes.into();
    assert!(sizes.rank() > 0, "{layer}: expected the sizes of at least one dimension, got none");
    sizes
}

/// Layer normalisation over the last dimensions: [`Tensor::layer_norm`].
#[doc(alias = "nn.LayerNorm")]
#[derive(Debug, Module)]
pub struct LayerNorm {
    /// Of the sizes that are normalised over, 1 at first; none where nothing is scaled.
    pub weight: Option<Parameter>,
    /// Of the same sizes, 0 at first; none where nothing is added.
    pub bias: Option<Parameter>,
    /// The last sizes, which are normalised over.
    #[module(skip)]
    pub sizes: Shape,
    /// Added to the variance: 1e-5 as PyTorch does, unless it is set.
    #[module(skip)]
    pub eps: f32,
    path: Path,
}

impl LayerNorm {
    /// Over the last dimensions, of these sizes.
    ///
    /// # Panics
    /// If there are none.
    #[track_caller]
    pub fn new(sizes: impl Into<Shape>, init: &mut Init) -> LayerNorm {
        let sizes = sized(sizes, "LayerNorm");
        let [weight, bias] = [1.0f32, 0.0].map(|value| Some(Parameter::new(Tensor::full(sizes, value, &init.device))));
        LayerNorm { weight, bias, sizes, eps: 1e-5, path: Path::new() }
    }

    /// The same with another number that is added to the variance.
    pub fn eps(self, eps: f32) -> LayerNorm {
        LayerNorm { eps, ..self }
    }

    /// The same without adding anything.
    pub fn without_bias(self) -> LayerNorm {
        LayerNorm { bias: None, ..self }
    }

    /// The same, but nothing is scaled or added: PyTorch's `elementwise_affine=False`.
    pub fn without_affine(self) -> LayerNorm {
        LayerNorm { weight: None, bias: None, ..self }
    }
}

impl Layer for LayerNorm {
    #[track_caller]
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let [weight, bias] = [&self.weight, &self.bias].map(|part| part.as_ref().map(|part| ctx.param(part)));
        let x = if weight.is_some() { x.clone() } else { self.path.of(x) };
        x.layer_norm(&self.sizes, weight.as_ref(), bias.as_ref(), self.eps)
    }

    fn misfit(&self, x: &Tensor, _ctx: &Ctx) -> Option<String> {
        check(x, self.sizes, &self.weight, &self.path, "LayerNorm")
    }

    fn title(&self) -> String {
        format!("LayerNorm({})", self.sizes)
    }
}

/// Division by the root of the mean square over the last dimensions: [`Tensor::rms_norm`]. PyTorch's `RMSNorm`.
#[doc(alias = "nn.RMSNorm")]
#[derive(Debug, Module)]
pub struct RmsNorm {
    /// Of the sizes that are normalised over, 1 at first; none where nothing is scaled.
    pub weight: Option<Parameter>,
    /// The last sizes, which are normalised over.
    #[module(skip)]
    pub sizes: Shape,
    /// Added to the mean square: that of f32 as PyTorch does, unless it is set.
    #[module(skip)]
    pub eps: f32,
    path: Path,
}

impl RmsNorm {
    /// Over the last dimensions, of these sizes.
    ///
    /// # Panics
    /// If there are none.
    #[track_caller]
    pub fn new(sizes: impl Into<Shape>, init: &mut Init) -> RmsNorm {
        let sizes = sized(sizes, "RmsNorm");
        let weight = Some(Parameter::new(Tensor::ones(sizes, &init.device)));
        RmsNorm { weight, sizes, eps: f32::EPSILON, path: Path::new() }
    }

    /// The same with another number that is added to the mean square.
    pub fn eps(self, eps: f32) -> RmsNorm {
        RmsNorm { eps, ..self }
    }

    /// The same, but nothing is scaled: PyTorch's `elementwise_affine=False`.
    pub fn without_affine(self) -> RmsNorm {
        RmsNorm { weight: None, ..self }
    }
}

impl Layer for RmsNorm {
    #[track_caller]
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let weight = self.weight.as_ref().map(|weight| ctx.param(weight));
        let x = if weight.is_some() { x.clone() } else { self.path.of(x) };
        x.rms_norm(&self.sizes, weight.as_ref(), self.eps)
    }

    fn misfit(&self, x: &Tensor, _ctx: &Ctx) -> Option<String> {
        check(x, self.sizes, &self.weight, &self.path, "RmsNorm")
    }

    fn title(&self) -> String {
        format!("RmsNorm({})", self.sizes)
    }
}
