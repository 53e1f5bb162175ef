//! Fully connected layers.

use super::ctx::Ctx;
use super::fits::misfit;
use super::module::{Init, Layer, Module, Visitor};
use super::parameter::Parameter;
use crate::tensor::Tensor;

/// `y = x w^T + b` for x `[.., in]`, weight `[out, in]` and bias `[out]`.
#[doc(alias("nn.Linear", "Dense"))]
#[derive(Debug)]
pub struct Linear {
    /// `[out, in]`.
    pub weight: Parameter,
    /// `[out]`.
    pub bias: Option<Parameter>,
}

impl Linear {
    /// With a bias; weights and bias are uniform within 1 / sqrt(in).
    #[track_caller]
    pub fn new(inputs: usize, outputs: usize, init: &mut Init) -> Linear {
        let weight = init.uniform([outputs, inputs], inputs);
        Linear { weight, bias: Some(init.uniform([outputs], inputs)) }
    }

    /// Without a bias.
    #[track_caller]
    pub fn without_bias(inputs: usize, outputs: usize, init: &mut Init) -> Linear {
        Linear { weight: init.uniform([outputs, inputs], inputs), bias: None }
    }
}

impl Module for Linear {
    fn visit(&self, visitor: &mut Visitor) {
        visitor.weight("weight", &self.weight);
        visitor.child("bias", &self.bias);
    }
}

impl Layer for Linear {
    #[track_caller]
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let weight = ctx.param(&self.weight);
        let bias = self.bias.as_ref().map(|bias| ctx.param(bias));
        x.linear(&weight, bias.as_ref())
    }

    fn misfit(&self, x: &Tensor, ctx: &Ctx) -> Option<String> {
        let weight = self.weight.tensor();
        let shape = weight.shape();
        let [_, inputs] = shape[..] else {
            return misfit(false, "Linear", x, &weight, || format!("expected a weight [out, in], got {shape}"));
        };
        let have = x.shape().last().copied().unwrap_or(1);
        let fits = x.rank() > 0 && inputs == have;
        misfit(fits, "Linear", x, &weight, || format!("expected rows of {inputs}, got {have}"))
            .or_else(|| ctx.int8(&self.weight))
    }

    fn title(&self) -> String {
        let shape = self.weight.shape();
        format!("Linear({}, {})", shape[1], shape[0])
    }
}
