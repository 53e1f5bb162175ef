//! Normalisation of rows as layers.

use super::ctx::Ctx;
use super::fits::{misfit, refuse};
use super::module::{Init, Layer, Module, Parameter, Visitor};
use crate::shape::Shape;
use crate::tensor::Tensor;

#[must_use]
fn check(x: &Tensor, weight: &Tensor, layer: &str) -> Option<String> {
    let sizes = weight.shape();
    misfit(x.shape().ends_with(&sizes), layer, x, weight, || format!("last sizes of {sizes} are due"))
}

/// Layer normalisation over the last dimensions: [`Tensor::layer_norm`].
#[derive(Debug)]
pub struct LayerNorm {
    /// Of the sizes that are normalised over, 1 at first.
    pub weight: Parameter,
    /// Of the same sizes, 0 at first; none where nothing is added.
    pub bias: Option<Parameter>,
    /// Added to the variance: 1e-5 as PyTorch does, unless it is set.
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

impl Module for LayerNorm {
    fn visit(&self, visitor: &mut Visitor) {
        visitor.child("weight", &self.weight);
        visitor.child("bias", &self.bias);
    }
}

impl Layer for LayerNorm {
    #[track_caller]
    fn forward(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        refuse(self.misfit(x, ctx));
        let (weight, bias) = (ctx.param(&self.weight), self.bias.as_ref().map(|bias| ctx.param(bias)));
        let y = x.layer_norm(&weight.shape(), Some(&weight), bias.as_ref(), self.eps);
        ctx.seen(self, || format!("LayerNorm({})", weight.shape()), y)
    }

    fn misfit(&self, x: &Tensor, _ctx: &Ctx) -> Option<String> {
        check(x, &self.weight.tensor(), "LayerNorm")
    }
}

/// Division by the root of the mean square over the last dimensions: [`Tensor::rms_norm`]. PyTorch's `RMSNorm`.
#[derive(Debug)]
pub struct RmsNorm {
    /// Of the sizes that are normalised over, 1 at first.
    pub weight: Parameter,
    /// Added to the mean square: that of f32 as PyTorch does, unless it is set.
    pub eps: f32,
}

impl RmsNorm {
    /// Over the last dimensions, of these sizes.
    #[track_caller]
    pub fn new(sizes: impl Into<Shape>, init: &mut Init) -> RmsNorm {
        RmsNorm { weight: Parameter::new(Tensor::ones(sizes, &init.device)), eps: f32::EPSILON }
    }
}

impl Module for RmsNorm {
    fn visit(&self, visitor: &mut Visitor) {
        visitor.child("weight", &self.weight);
    }
}

impl Layer for RmsNorm {
    #[track_caller]
    fn forward(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        refuse(self.misfit(x, ctx));
        let weight = ctx.param(&self.weight);
        let y = x.rms_norm(&weight.shape(), Some(&weight), self.eps);
        ctx.seen(self, || format!("RmsNorm({})", weight.shape()), y)
    }

    fn misfit(&self, x: &Tensor, _ctx: &Ctx) -> Option<String> {
        check(x, &self.weight.tensor(), "RmsNorm")
    }
}
