//! Layers one after another, and layers that give their input another shape.

use super::ctx::{Ctx, Recompute};
use super::fits::misfit_at;
use super::module::{Layer, Module, Path, Visitor};
use crate::shape::Shape;
use crate::tensor::Tensor;
use std::ops::Index;
use std::sync::Arc;

/// Layers that each take the output of the one before; their paths are their numbers.
///
/// ```
/// use wgrad::nn::{Ctx, Init, Layer, Linear, Relu, Sequential};
/// let device = wgrad::Device::cpu();
/// let mut init = Init::new(0, &device);
/// let model = Sequential::new().push(Linear::new(4, 8, &mut init)).push(Relu::new()).push(Linear::new(8, 2, &mut init));
/// let y = model.forward(&wgrad::Tensor::zeros([3, 4], &device), &Ctx::eval());
/// assert_eq!(*y.shape(), [3, 2]);
/// ```
#[doc(alias("nn.Sequential", "ModuleList"))]
#[derive(Default, Module)]
pub struct Sequential {
    #[module(name = "")]
    layers: Vec<Arc<dyn Layer>>,
}

impl Sequential {
    /// No layers: the identity.
    pub fn new() -> Sequential {
        Sequential::default()
    }

    /// With one more layer at the end.
    pub fn push(mut self, layer: impl Layer + 'static) -> Sequential {
        self.layers.push(Arc::new(layer));
        self
    }

    /// The number of layers.
    pub fn len(&self) -> usize {
        self.layers.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// Each layer in order.
    pub fn iter(&self) -> impl Iterator<Item = &dyn Layer> {
        self.layers.iter().map(|layer| &**layer)
    }
}

/// One layer: `model[0].forward(&x, &ctx)`, or as the part that an optimizer trains.
///
/// ```
/// use wgrad::nn::{Ctx, Init, Layer, Linear, Relu, Sequential};
/// let device = wgrad::Device::cpu();
/// let mut init = Init::new(0, &device);
/// let model = Sequential::new().push(Linear::new(4, 8, &mut init)).push(Relu::new()).push(Linear::new(8, 2, &mut init));
/// let (x, ctx) = (wgrad::Tensor::ones([3, 4], &device), Ctx::eval());
/// let features = model.iter().take(2).fold(x, |x, layer| layer.forward(&x, &ctx));
/// assert_eq!(*model[2].forward(&features, &ctx).shape(), [3, 2]);
/// ```
impl Index<usize> for Sequential {
    type Output = dyn Layer;

    #[track_caller]
    fn index(&self, at: usize) -> &(dyn Layer + 'static) {
        assert!(at < self.len(), "Sequential: there is no layer {at} of {}", self.len());
        &*self.layers[at]
    }
}

/// One layer after the other.
#[track_caller]
fn run(layers: &[Arc<dyn Layer>], x: &Tensor, ctx: &Ctx) -> Tensor {
    let mut x = x.clone();
    for layer in layers {
        x = layer.forward(&x, ctx);
    }
    x
}

impl Layer for Sequential {
    #[track_caller]
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let count = self.layers.len().max(1);
        let segments = match ctx.recomputes() {
            None => return run(&self.layers, x, ctx),
            Some((parts, outer @ 1..)) => return run(&self.layers, x, &ctx.within(Some((parts, outer - 1)))),
            Some((Recompute::Layers, 0)) => count,
            Some((Recompute::Segments, 0)) => (count - 1).isqrt() + 1,
        };
        let (ctx, size) = (ctx.within(None), count.div_ceil(segments));
        // What the last one keeps is due at once.
        let (first, last) = self.layers.split_at(self.layers.len().saturating_sub(1) / size * size);
        let x = first.chunks(size).fold(x.clone(), |x, segment| {
            let segment = segment.to_vec();
            ctx.checkpoint([&x], move |[x], ctx| run(&segment, x, ctx))
        });
        run(last, &x, &ctx)
    }

    fn batched_rank(&self) -> Option<usize> {
        self.layers.first().and_then(|layer| layer.batched_rank())
    }

    fn misfit(&self, x: &Tensor, ctx: &Ctx) -> Option<String> {
        self.layers.first().and_then(|layer| layer.misfit(x, ctx))
    }
}

/// A layer that keeps nothing for its gradient, and runs a second time for it: [`Ctx::checkpoint`].
///
/// ```
/// use wgrad::nn::{Checkpoint, Gelu, Init, Linear, Sequential};
/// let device = wgrad::Device::cpu();
/// let init = &mut Init::new(0, &device);
/// let block = |init: &mut Init| Sequential::new().push(Linear::new(8, 32, init)).push(Gelu::new()).push(Linear::new(32, 8, init));
/// // Of the activations within, one block's are there at a time.
/// let model = Sequential::new().push(Checkpoint::new(block(init))).push(Checkpoint::new(block(init)));
/// ```
#[doc(alias("torch.utils.checkpoint", "checkpoint_sequential"))]
#[derive(Debug)]
pub struct Checkpoint<L> {
    layer: Arc<L>,
    /// Whether it only runs again where the pass asks for it.
    asked: bool,
}

impl<L: Layer + 'static> Checkpoint<L> {
    /// Around this layer, whose paths stay what they are.
    pub fn new(layer: L) -> Checkpoint<L> {
        Checkpoint { layer: Arc::new(layer), asked: false }
    }

    /// The same, but only where a pass asks for it ([`Ctx::recompute`]); elsewhere it is the layer alone. So a model names its blocks,
    /// and [`Trainer::max_memory`](crate::train::Trainer::max_memory) decides.
    pub fn where_asked(layer: L) -> Checkpoint<L> {
        Checkpoint { layer: Arc::new(layer), asked: true }
    }
}

impl<L: Layer> Module for Checkpoint<L> {
    fn visit(&self, visitor: &mut Visitor) {
        self.layer.visit(visitor);
    }
}

impl<L: Layer + 'static> Layer for Checkpoint<L> {
    #[track_caller]
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        if self.asked && ctx.recomputes().is_none() {
            return self.layer.forward(x, ctx);
        }
        let (layer, ctx) = (self.layer.clone(), ctx.within(None));
        ctx.checkpoint([x], move |[x], ctx| layer.forward(x, ctx))
    }

    fn batched_rank(&self) -> Option<usize> {
        self.layer.batched_rank()
    }

    fn misfit(&self, x: &Tensor, ctx: &Ctx) -> Option<String> {
        self.layer.misfit(x, ctx)
    }
}

/// All dimensions after the first as one.
#[derive(Debug, Clone, Default, Module)]
pub struct Flatten {
    path: Path,
}

impl Flatten {
    /// From `[n, ..]` to `[n, all others]`.
    pub fn new() -> Flatten {
        Flatten::default()
    }
}

impl Layer for Flatten {
    #[track_caller]
    fn call(&self, x: &Tensor, _ctx: &Ctx) -> Tensor {
        self.path.of(x).flatten(1)
    }

    fn misfit(&self, x: &Tensor, _ctx: &Ctx) -> Option<String> {
        misfit_at(&self.path, x.rank() > 0, "Flatten", x, || "expected a batch [n, ..]".into())
    }
}

/// One dimension as several.
#[derive(Debug, Clone, PartialEq, Module)]
pub struct Unflatten {
    /// The dimension; from the end where it is negative.
    #[module(skip)]
    pub dim: isize,
    /// The sizes that take its place.
    #[module(skip)]
    pub sizes: Vec<usize>,
    path: Path,
}

impl Unflatten {
    /// Dimension `dim` as these sizes.
    pub fn new(dim: isize, sizes: impl Into<Vec<usize>>) -> Unflatten {
        Unflatten { dim, sizes: sizes.into(), path: Path::new() }
    }

    /// The dimension counted from the start; past the rank where there is none.
    fn place(&self, x: &Tensor) -> usize {
        (if self.dim < 0 { self.dim + x.rank() as isize } else { self.dim }) as usize
    }
}

impl Layer for Unflatten {
    #[track_caller]
    fn call(&self, x: &Tensor, _ctx: &Ctx) -> Tensor {
        let (shape, dim) = (x.shape(), self.place(x));
        self.path.of(x).reshape_to(Shape::from([&shape[..dim], &self.sizes, &shape[dim + 1..]].concat()))
    }

    fn misfit(&self, x: &Tensor, _ctx: &Ctx) -> Option<String> {
        let (dim, size) = (self.place(x), self.sizes.iter().product::<usize>());
        let fits = dim < x.rank() && x.shape()[dim] == size;
        misfit_at(&self.path, fits, "Unflatten", x, || format!("expected {size} elements along {}", self.dim))
    }

    fn title(&self) -> String {
        format!("Unflatten({}, {:?})", self.dim, self.sizes)
    }
}

/// Its input: a place where there is nothing to do.
#[derive(Debug, Clone, Default, Module)]
pub struct Identity {
    path: Path,
}

impl Identity {
    /// Nothing to set.
    pub fn new() -> Identity {
        Identity::default()
    }
}

impl Layer for Identity {
    fn call(&self, x: &Tensor, _ctx: &Ctx) -> Tensor {
        x.clone()
    }
}
