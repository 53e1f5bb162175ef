//! Layers one after another, and layers that give their input another shape.

use super::ctx::Ctx;
use super::fits::{misfit_behind, refuse};
use super::module::{Layer, Module, Visitor};
use crate::shape::Shape;
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
        let mut x = x.clone();
        for layer in &self.layers {
            x = layer.forward(&x, ctx);
        }
        x
    }

    fn misfit(&self, x: &Tensor, ctx: &Ctx) -> Option<String> {
        self.layers.first().and_then(|layer| layer.misfit(x, ctx))
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
        refuse(self.misfit(x, ctx));
        ctx.seen(self, || "Flatten".into(), x.flatten(1))
    }

    fn misfit(&self, x: &Tensor, ctx: &Ctx) -> Option<String> {
        misfit_behind(x.rank() > 0, "Flatten", x, ctx, || "a batch [n, ..] is due".into())
    }
}

/// One dimension as several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unflatten {
    /// The dimension; from the end where it is negative.
    pub dim: isize,
    /// The sizes that take its place.
    pub sizes: Vec<usize>,
}

impl Module for Unflatten {
    fn visit(&self, _visitor: &mut Visitor) {}
}

impl Layer for Unflatten {
    #[track_caller]
    fn forward(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        refuse(self.misfit(x, ctx));
        let (shape, dim) = (x.shape(), self.place(x));
        let sizes = [&shape[..dim], &self.sizes, &shape[dim + 1..]].concat();
        ctx.seen(self, || format!("Unflatten({}, {:?})", self.dim, self.sizes), x.reshape_to(Shape::from(sizes)))
    }

    fn misfit(&self, x: &Tensor, ctx: &Ctx) -> Option<String> {
        let (dim, size) = (self.place(x), self.sizes.iter().product::<usize>());
        let fits = dim < x.rank() && x.shape()[dim] == size;
        misfit_behind(fits, "Unflatten", x, ctx, || format!("{size} elements along {} are due", self.dim))
    }
}

impl Unflatten {
    /// The dimension counted from the start; past the rank where there is none.
    fn place(&self, x: &Tensor) -> usize {
        (if self.dim < 0 { self.dim + x.rank() as isize } else { self.dim }) as usize
    }
}

/// Its input: a place where there is nothing to do.
#[derive(Debug, Clone, Copy, Default)]
pub struct Identity;

impl Module for Identity {
    fn visit(&self, _visitor: &mut Visitor) {}
}

impl Layer for Identity {
    fn forward(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        ctx.seen(self, || "Identity".into(), x.clone())
    }
}
