//! Modules: structs of layers whose parameters and buffers can be visited by name.

use super::ctx::Ctx;
use super::fits::refuse;
use crate::device::Device;
use crate::kernel::BufferId;
use crate::rng::Rng;
use crate::shape::Shape;
use crate::tensor::Tensor;
use std::sync::{Arc, PoisonError, RwLock};

/// Where new layers live, and what draws their first weights.
#[derive(Debug)]
pub struct Init {
    /// The device of the parameters.
    pub device: Device,
    /// Draws weights, and numbers the layers that draw on the device, in the order of construction.
    pub rng: Rng,
}

impl Init {
    /// Layers on `device`; one seed gives the same weights on every device.
    pub fn new(seed: u64, device: &Device) -> Init {
        Init { device: device.clone(), rng: Rng::new(seed) }
    }

    /// Uniform between -1 / sqrt(fan_in) and 1 / sqrt(fan_in): PyTorch's default for weights and biases alike.
    #[track_caller]
    pub fn uniform(&mut self, shape: impl Into<Shape>, fan_in: usize) -> Parameter {
        let bound = if fan_in == 0 { 0.0 } else { 1.0 / (fan_in as f32).sqrt() };
        Parameter::new(Tensor::uniform(shape, -bound, bound, &mut self.rng, &self.device))
    }
}

/// A tensor that training changes. Clones share it, so that two layers can be tied.
#[derive(Clone)]
pub struct Parameter(Arc<RwLock<Tensor>>);

impl Parameter {
    /// Takes `tensor`'s elements as the first value.
    #[track_caller]
    pub fn new(tensor: Tensor) -> Parameter {
        Parameter(Arc::new(RwLock::new(tensor.detach().requires_grad())))
    }

    /// The tensor that gradients flow to.
    pub fn tensor(&self) -> Tensor {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The sizes.
    pub fn shape(&self) -> Shape {
        self.tensor().shape()
    }

    /// Puts the values elsewhere; gradients go on to flow to the same parameter.
    pub(crate) fn move_to(&self, place: Tensor) {
        let mut tensor = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let place = place.with_node(tensor.node().cloned());
        *tensor = match tensor.name() {
            Some(name) => place.named(name),
            None => place,
        };
    }

    /// Whether its values lie in `buffer`.
    pub(crate) fn lies_in(&self, buffer: BufferId) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).buffer() == buffer
    }

    /// Gives the parameter its path, unless it has one.
    pub(crate) fn set_name(&self, path: &str) {
        let mut tensor = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if tensor.name().is_none() {
            *tensor = tensor.clone().named(path);
        }
    }

    /// Whether both are one parameter.
    pub fn is(&self, other: &Parameter) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl std::fmt::Debug for Parameter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(&self.tensor(), f)
    }
}

/// A struct of layers. [`module!`](crate::module) writes this for a list of fields; by hand it is a line a field.
///
/// ```
/// use wgrad::nn::{Ctx, Init, Linear, Module, Visitor};
/// struct Net {
///     fc1: Linear,
///     fc2: Linear,
/// }
/// impl Module for Net {
///     fn visit(&self, visitor: &mut Visitor) {
///         visitor.child("fc1", &self.fc1);
///         visitor.child("fc2", &self.fc2);
///     }
/// }
/// let mut init = Init::new(0, &wgrad::Device::cpu());
/// let net = Net { fc1: Linear::new(4, 3, &mut init), fc2: Linear::new(3, 2, &mut init) };
/// let names: Vec<String> = wgrad::nn::parameters(&net).into_iter().map(|(name, _)| name).collect();
/// assert_eq!(names, ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]);
/// ```
pub trait Module {
    /// Names every field that holds parameters or buffers, in PyTorch's order.
    fn visit(&self, visitor: &mut Visitor);
}

/// A module that maps one tensor to one tensor.
pub trait Layer: Module {
    /// The output for `x`.
    #[track_caller]
    fn forward(&self, x: &Tensor, ctx: &Ctx) -> Tensor;

    /// What is wrong with such an input, if anything. A layer behind `dyn` does not know its caller's line, so it is asked
    /// before its `forward` is called.
    #[doc(hidden)]
    fn misfit(&self, _x: &Tensor, _ctx: &Ctx) -> Option<String> {
        None
    }
}

/// What a visitor meets.
pub enum Entry<'a> {
    /// Trained by gradients.
    Parameter(&'a Parameter),
    /// Changed in place by the layer itself, such as running statistics.
    Buffer(&'a Tensor),
}

/// Walks a module's fields, keeping the path.
pub struct Visitor<'a> {
    path: String,
    each: &'a mut dyn FnMut(&str, Entry),
}

impl<'a> Visitor<'a> {
    /// Calls `each` with the path of everything that is met, such as `blocks.1.attn_qkv.weight`.
    pub fn new(each: &'a mut dyn FnMut(&str, Entry)) -> Visitor<'a> {
        Visitor { path: String::new(), each }
    }

    fn at(&mut self, name: &str, visit: impl FnOnce(&mut Self)) {
        let len = self.path.len();
        if len > 0 && !name.is_empty() {
            self.path.push('.');
        }
        self.path.push_str(name);
        visit(self);
        self.path.truncate(len);
    }

    /// A field that is a module.
    pub fn child(&mut self, name: &str, module: &dyn Module) {
        self.at(name, |v| module.visit(v));
    }

    /// A field that is a parameter.
    pub fn parameter(&mut self, name: &str, parameter: &Parameter) {
        self.at(name, |v| (v.each)(&v.path, Entry::Parameter(parameter)));
    }

    /// A field that the layer changes by itself.
    pub fn buffer(&mut self, name: &str, buffer: &Tensor) {
        self.at(name, |v| (v.each)(&v.path, Entry::Buffer(buffer)));
    }
}

/// The parameters of a module with their paths, which they know from now on.
pub fn parameters(module: &dyn Module) -> Vec<(String, Parameter)> {
    let mut found = Vec::new();
    let mut each = |path: &str, entry: Entry| {
        if let Entry::Parameter(parameter) = entry {
            parameter.set_name(path);
            found.push((path.to_string(), parameter.clone()));
        }
    };
    module.visit(&mut Visitor::new(&mut each));
    found
}

impl Module for Parameter {
    fn visit(&self, visitor: &mut Visitor) {
        visitor.parameter("", self);
    }
}

impl<M: Module> Module for Vec<M> {
    fn visit(&self, visitor: &mut Visitor) {
        for (i, module) in self.iter().enumerate() {
            visitor.child(&i.to_string(), module);
        }
    }
}

impl<M: Module> Module for Option<M> {
    fn visit(&self, visitor: &mut Visitor) {
        if let Some(module) = self {
            module.visit(visitor);
        }
    }
}

impl<M: Module + ?Sized> Module for Box<M> {
    fn visit(&self, visitor: &mut Visitor) {
        (**self).visit(visitor);
    }
}

impl<L: Layer + ?Sized> Layer for Box<L> {
    #[track_caller]
    fn forward(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        refuse(self.misfit(x, ctx));
        (**self).forward(x, ctx)
    }

    fn misfit(&self, x: &Tensor, ctx: &Ctx) -> Option<String> {
        (**self).misfit(x, ctx)
    }
}

/// Writes [`Module`](crate::nn::Module) for a struct from the fields that hold parameters.
///
/// ```
/// use wgrad::nn::Linear;
/// struct Net {
///     fc1: Linear,
///     fc2: Linear,
/// }
/// wgrad::module!(Net { fc1, fc2 });
/// ```
#[macro_export]
macro_rules! module {
    ($type:ty { $($field:ident),* $(,)? }) => {
        impl $crate::nn::Module for $type {
            fn visit(&self, visitor: &mut $crate::nn::Visitor) {
                $(visitor.child(stringify!($field), &self.$field);)*
            }
        }
    };
}
