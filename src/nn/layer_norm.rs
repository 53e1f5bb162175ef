//! Normalisation of rows as layers.

use super::ctx::Ctx;
use super::fits::misfit;
use super::module::{Init, Layer, Module};
use super::parameter::Parameter;
use crate::shape::Shape;
use crate::tensor::Tensor;

#[must_use]
fn check(x: &Tensor, weight: &Tensor, layer: &str) -> Option<String> {
    let sizes = weight.shape();
    misfit(x.shape().ends_with(&sizes), layer, x, weight, || format!("expected last sizes of {sizes}"))
}

/// Layer normalisation over the last dimensions: [`Tensor::layer_norm`].
#[derive(Debug, Module)]
pub struct LayerNorm {
    /// Of the sizes that are normalised over, 1 at first.
    pub weight: Parameter,
    /// Of the same sizes, 0 at first; none where nothing is added.
    pub bias: Option<Parameter>,
    /// Added to the variance: 1e-5 as PyTorch does, unless it is set.
    #[module(skip)]
    pub eps: f32,
}

impl LayerNorm {
    /// Over the last dimensions, of these sizes.
    #[track_caller]
    pub fn new(sizes: impl Into<Shape>, init: &mut Init) -> LayerNorm {
        let sizes = sizes.into();
        let bias = Some(Parameter::new(Tensor::zeros(sizes, &init.device)));
        LayerNorm { weight: Parameter::new(Tensor::ones(sizes, &init.device)), bias, eps: 1e-5 }
    }

    /// Without adding anything.
    pub fn without_bias(self) -> LayerNorm {
        LayerNorm { bias: None, ..self }
    }
}

impl Layer for LayerNorm {
    #[track_caller]
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let (weight, bias) = (ctx.param(&self.weight), self.bias.as_ref().map(|bias| ctx.param(bias)));
        x.layer_norm(&weight.shape(), Some(&weight), bias.as_ref(), self.eps)
    }

    fn misfit(&self, x: &Tensor, _ctx: &Ctx) -> Option<String> {
        check(x, &self.weight.tensor(), "LayerNorm")
    }

    fn title(&self) -> String {
        format!("LayerNorm({})", self.weight.shape())
    }
}

/// Division by the root of the mean square over the last dimensions: [`Tensor::rms_norm`]. PyTorch's `RMSNorm`.
#[derive(Debug, Module)]
pub struct RmsNorm {
    /// Of the sizes that are normalised over, 1 at first.
    pub weight: Parameter,
    /// Added to the mean square: that of f32 as PyTorch does, unless it is set.
    #[module(skip)]
    pub eps: f32,
}

impl RmsNorm {
    /// Over the last dimensions, of these sizes.
    #[track_caller]
    pub fn new(sizes: impl Into<Shape>, init: &mut Init) -> RmsNorm {
        RmsNorm { weight: Parameter::new(Tensor::ones(sizes, &init.device)), eps: f32::EPSILON }
    }
}

impl Layer for RmsNorm {
    #[track_caller]
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let weight = ctx.param(&self.weight);
        x.rms_norm(&weight.shape(), Some(&weight), self.eps)
    }

    fn misfit(&self, x: &Tensor, _ctx: &Ctx) -> Option<String> {
        check(x, &self.weight.tensor(), "RmsNorm")
    }

    fn title(&self) -> String {
        format!("RmsNorm({})", self.weight.shape())
    }
}
