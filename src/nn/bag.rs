//! Bags of rows of a table, and products of two inputs, as layers.

use super::ctx::Ctx;
use super::fits::{refuse, told};
use super::module::{Init, Layer, Module};
use super::parameter::Parameter;
use crate::dtype::DType;
use crate::ops::bag::{BagMode, EmbeddingBagOptions};
use crate::tensor::Tensor;

/// A row for each bag of rows of a table: [`Tensor::embedding_bag`].
#[doc(alias = "nn.EmbeddingBag")]
#[derive(Debug, Module)]
pub struct EmbeddingBag {
    /// `[size, width]`, normally distributed at first.
    pub weight: Parameter,
    /// The row that a bag gives.
    #[module(skip)]
    pub mode: BagMode,
    /// The number of a row that counts nothing.
    #[module(skip)]
    pub padding: Option<i32>,
    /// Whether its gradient is the rows that were taken, and no whole table, as of an [`Embedding`](super::Embedding::sparse).
    #[module(skip)]
    pub sparse: bool,
}

impl EmbeddingBag {
    /// `size` vectors of `width` elements.
    #[track_caller]
    pub fn new(size: usize, width: usize, mode: BagMode, init: &mut Init) -> EmbeddingBag {
        let weight = Tensor::normal([size, width], 0.0, 1.0, &mut init.rng, &init.device);
        EmbeddingBag { weight: Parameter::new(weight), mode, padding: None, sparse: false }
    }

    /// Of indices `[items]` in bags that begin at `offsets`, `[bags]`, with a factor for each where there are weights.
    ///
    /// # Panics
    /// As [`Tensor::embedding_bag`].
    #[track_caller]
    pub fn bags(&self, ids: &Tensor, offsets: &Tensor, weights: Option<&Tensor>, ctx: &Ctx) -> Tensor {
        refuse(self.misfit(ids, ctx));
        ctx.enter(self, || self.title());
        let y = ctx.param(&self.weight).embedding_bag(ids, Some(offsets), &self.options(weights));
        ctx.leave(&y);
        y
    }

    fn options(&self, weights: Option<&Tensor>) -> EmbeddingBagOptions {
        let (mode, padding, sparse) = (self.mode, self.padding, self.sparse);
        EmbeddingBagOptions { mode, per_sample_weights: weights.cloned(), padding, sparse }
    }
}

/// Of indices `[bags, items]`.
impl Layer for EmbeddingBag {
    #[track_caller]
    fn call(&self, ids: &Tensor, ctx: &Ctx) -> Tensor {
        ctx.param(&self.weight).embedding_bag(ids, None, &self.options(None))
    }

    fn misfit(&self, ids: &Tensor, _ctx: &Ctx) -> Option<String> {
        let expected = || format!("expected indices of i32 or i64, got {}", ids.dtype());
        told(matches!(ids.dtype(), DType::I32 | DType::I64), "EmbeddingBag", ids, &self.weight.tensor(), expected)
    }

    fn title(&self) -> String {
        let table = self.weight.shape();
        format!("EmbeddingBag({}, {}, {:?})", table[0], table[1], self.mode)
    }
}

/// `y = a W b` for each output, of two inputs: [`Tensor::bilinear`].
#[doc(alias = "nn.Bilinear")]
#[derive(Debug, Module)]
pub struct Bilinear {
    /// `[out, in1, in2]`.
    pub weight: Parameter,
    /// `[out]`.
    pub bias: Option<Parameter>,
}

impl Bilinear {
    /// With a bias; weights and bias are uniform within 1 / sqrt(in1).
    #[track_caller]
    pub fn new(inputs: [usize; 2], outputs: usize, init: &mut Init) -> Bilinear {
        let weight = init.uniform([outputs, inputs[0], inputs[1]], inputs[0]);
        Bilinear { weight, bias: Some(init.uniform([outputs], inputs[0])) }
    }

    /// Of `a` `[.., in1]` and `b` `[.., in2]`, `[.., out]`.
    ///
    /// # Panics
    /// As [`Tensor::bilinear`].
    #[track_caller]
    pub fn forward(&self, a: &Tensor, b: &Tensor, ctx: &Ctx) -> Tensor {
        let weight = ctx.param(&self.weight);
        let bias = self.bias.as_ref().map(|bias| ctx.param(bias));
        let w = self.weight.shape();
        ctx.enter(self, || format!("Bilinear({}, {}, {})", w[1], w[2], w[0]));
        let y = a.bilinear(b, &weight, bias.as_ref());
        ctx.leave(&y);
        y
    }
}
