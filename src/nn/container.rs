//! Layers one after another.

use super::ctx::Ctx;
use super::module::{Layer, Module, Visitor};
use crate::tensor::Tensor;

/// Layers that each take the output of the one before; their paths are their numbers.
///
/// ```
/// use wgrad::nn::{Ctx, Init, Layer, Linear, Relu, Sequential};
/// let device = wgrad::Device::cpu();
/// let mut init = Init::new(0, &device);
/// let model = Sequential::new().push(Linear::new(4, 8, &mut init)).push(Relu).push(Linear::new(8, 2, &mut init));
/// let y = model.forward(&wgrad::Tensor::zeros([3, 4], &device), &Ctx::eval());
/// assert_eq!(*y.shape(), [3, 2]);
/// ```
#[derive(Default)]
pub struct Sequential {
    layers: Vec<Box<dyn Layer>>,
}

impl Sequential {
    /// No layers: the identity.
    pub fn new() -> Sequential {
        Sequential::default()
    }

    /// With one more layer at the end.
    pub fn push(mut self, layer: impl Layer + 'static) -> Sequential {
        self.layers.push(Box::new(layer));
        self
    }
}

impl Module for Sequential {
    fn visit(&self, visitor: &mut Visitor) {
        self.layers.visit(visitor);
    }
}

impl Layer for Sequential {
    #[track_caller]
    fn forward(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        self.layers.iter().fold(x.clone(), |x, layer| layer.forward(&x, ctx))
    }
}

/// All dimensions after the first as one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Flatten;

impl Module for Flatten {
    fn visit(&self, _visitor: &mut Visitor) {}
}

impl Layer for Flatten {
    #[track_caller]
    fn forward(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        ctx.seen(self, || "Flatten".into(), x.flatten(1))
    }
}
