//! Tables of vectors as a layer.

use super::ctx::Ctx;
use super::module::{Init, Layer, Module, Parameter, Visitor};
use crate::dtype::DType;
use crate::tensor::Tensor;

/// A vector for each of a number of things, such as tokens or positions: [`Tensor::embedding`].
#[derive(Debug)]
pub struct Embedding {
    /// `[size, width]`, normally distributed at first.
    pub weight: Parameter,
}

impl Embedding {
    /// `size` vectors of `width` elements.
    pub fn new(size: usize, width: usize, init: &mut Init) -> Embedding {
        let weight = Tensor::normal([size, width], 0.0, 1.0, &mut init.rng, &init.device);
        Embedding { weight: Parameter::new(weight) }
    }
}

impl Module for Embedding {
    fn visit(&self, visitor: &mut Visitor) {
        visitor.child("weight", &self.weight);
    }
}

impl Layer for Embedding {
    #[track_caller]
    fn forward(&self, ids: &Tensor, ctx: &Ctx) -> Tensor {
        let weight = ctx.param(&self.weight);
        let (path, table) = (weight.name().unwrap_or("Embedding"), weight.shape());
        assert!(
            ids.dtype() == DType::I32,
            "{path}: {} x {table}: indices of i32 are due, not of {}",
            ids.shape(),
            ids.dtype()
        );
        ctx.seen(self, || format!("Embedding({}, {})", table[0], table[1]), weight.embedding(ids))
    }
}
