//! Modules: structs of layers whose parameters and buffers can be visited by name.

use super::copies;
use super::ctx::Ctx;
use super::fits::refuse;
use super::generator::Generator;
use super::int8;
use super::parameter::{Buffer, Entry, Parameter, is_end};
use crate::device::Device;
use crate::dtype::DType;
use crate::error::Result;
use crate::rng::{Rng, streams};
use crate::shape::Shape;
use crate::tensor::Tensor;
use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// Visits every field of a struct under its name: see [`Module`](trait@Module).
pub use wgrad_derive::Module;

/// The device of new layers, and the source of their first weights.
#[doc(alias("VarBuilder", "manual_seed", "reset_parameters"))]
#[derive(Debug)]
pub struct Init {
    /// The device of the parameters.
    pub device: Device,
    /// Draws weights, in the order of construction.
    pub rng: Rng,
    /// The source of masks and other draws while layers train: they keep a clone of it.
    pub generator: Generator,
}

impl Init {
    /// Layers on `device`; one seed gives the same weights and the same masks on every device.
    pub fn new(seed: u64, device: &Device) -> Init {
        Init::with(&Generator::new(seed), device)
    }

    /// Layers whose weights come from this generator's seed, and which go on to draw from it.
    pub fn with(generator: &Generator, device: &Device) -> Init {
        let rng = Rng::stream(generator.seed(), streams::TENSORS);
        Init { device: device.clone(), rng, generator: generator.clone() }
    }

    /// Uniform between -1 / sqrt(fan_in) and 1 / sqrt(fan_in): PyTorch's default for weights and biases alike.
    #[track_caller]
    pub fn uniform(&mut self, shape: impl Into<Shape>, fan_in: usize) -> Parameter {
        let bound = if fan_in == 0 { 0.0 } else { 1.0 / (fan_in as f32).sqrt() };
        Parameter::new(Tensor::uniform(shape, -bound, bound, &mut self.rng, &self.device))
    }
}

/// A struct of layers. The derive visits every field under its name; a field that holds nothing to visit, such as a size, is
/// left out by `#[module(skip)]`, and one of another name in a file is visited by `#[module(name = "..")]` (the empty name
/// puts what the field holds in the place of the field).
///
/// ```
/// use wgrad::nn::{Init, Linear, Module, Sequential};
///
/// #[derive(Module)]
/// struct Net {
///     fc1: Linear,
///     fc2: Linear,
///     #[module(skip)]
///     scale: f32,
/// }
/// let mut init = Init::new(0, &wgrad::Device::cpu());
/// let net = Net { fc1: Linear::new(4, 3, &mut init), fc2: Linear::new(3, 2, &mut init), scale: 0.5 };
/// let names: Vec<String> = wgrad::nn::parameters(&net).into_iter().map(|(name, _)| name).collect();
/// assert_eq!(names, ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]);
/// ```
///
/// References, tuples, arrays, `Vec`, `Option`, `Box`, `Arc` and maps of modules are modules, too: `&(&net.fc1, &net.fc2)` is
/// what to train of a model.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no module: it has no parameters to visit",
    note = "a field of another kind is left out by `#[module(skip)]`; a tensor is held as a `Parameter` or a `Buffer`"
)]
#[doc(alias = "nn.Module")]
pub trait Module: Send + Sync {
    /// Names every field, in PyTorch's order.
    fn visit(&self, visitor: &mut Visitor);

    /// Overwrites all parameters and buffers by those of the same names in `other`, a model of the same kind.
    ///
    /// # Errors
    /// [`Error::Weights`](crate::Error::Weights) if their names or shapes differ; then nothing was changed.
    #[doc(alias("deepcopy", "load_state_dict"))]
    fn copy_from(&self, other: &dyn Module) -> Result<()>
    where
        Self: Sized,
    {
        copies::lerp(self, other, 1.0)
    }

    /// Moves all parameters and buffers the part `tau` of the way to those of `other`: `own + tau (other - own)`, as the
    /// targets of Q-learning follow. Whole numbers are copied.
    ///
    /// # Errors
    /// As [`copy_from`](Module::copy_from), and if a parameter is held in int8 and `tau` is neither 0 nor 1.
    #[doc(alias("soft_update", "polyak"))]
    fn lerp_from(&self, other: &dyn Module, tau: f32) -> Result<()>
    where
        Self: Sized,
    {
        copies::lerp(self, other, tau)
    }

    /// Makes all parameters and buffers of floats ones of another type of floats, rounded to the nearest; PyTorch's
    /// `model.to(dtype)`, `half()` and `bfloat16()`. Integers stay what they are. An optimizer is made after that: it keeps its
    /// moments in f32, and rounds the values at each step.
    ///
    /// ```
    /// use wgrad::{DType, Tensor, nn::{Ctx, Init, Layer, Linear, Module}};
    /// let device = wgrad::Device::cpu();
    /// let model = Linear::new(3, 2, &mut Init::new(0, &device));
    /// model.cast(DType::BF16);
    /// let y = model.forward(&Tensor::ones([4, 3], &device).cast(DType::BF16), &Ctx::eval());
    /// assert_eq!(y.dtype(), DType::BF16);
    /// ```
    ///
    /// # Panics
    /// If the type is none of floats.
    #[doc(alias = "half")]
    #[doc(alias = "bfloat16")]
    #[track_caller]
    fn cast(&self, dtype: DType)
    where
        Self: Sized,
    {
        copies::cast(self, dtype);
    }

    /// Holds the weights of all [`Linear`](super::Linear) and [`Conv2d`](super::Conv2d) layers within in bytes from now on: of each
    /// output channel, 127 steps each way from 0 to its largest value, and one number that says what a step is. They take a quarter
    /// of the memory, and are widened where a pass reads them, to within half a step of what they were. PyTorch's
    /// `quantize_(model, Int8WeightOnlyConfig())` of torchao.
    ///
    /// It is for inference: passes with gradients refuse such weights, and optimizers do. What is saved has the bytes, and beside
    /// `weight` a `weight_scale`; a model that loads it is quantized before, and one with its
    /// [description](crate::deploy::Description) is loaded as it is.
    ///
    /// ```
    /// use wgrad::{DType, Tensor, nn::{Ctx, Init, Layer, Linear, Module}};
    /// let device = wgrad::Device::cpu();
    /// let model = Linear::new(3, 2, &mut Init::new(0, &device));
    /// let x = Tensor::ones([4, 3], &device);
    /// let before = model.forward(&x, &Ctx::eval());
    /// model.quantize_int8()?;
    /// assert_eq!(model.weight.tensor().dtype(), DType::U8);
    /// assert!(model.forward(&x, &Ctx::eval()).sub(&before).abs().max().item()? < 0.01);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Weights`](crate::Error::Weights) where a weight holds infinities or NaN; then nothing was changed. The first failure
    /// of the device.
    #[doc(alias("quantize_dynamic", "Int8WeightOnlyConfig", "quantization"))]
    #[track_caller]
    fn quantize_int8(&self) -> Result<()>
    where
        Self: Sized,
    {
        int8::quantize(self)
    }

    /// The tensors of all parameters, each once: what [`Tensor::grad`] takes, and what a penalty or a sharpness-aware step goes
    /// over. PyTorch's `model.parameters()`. Take them anew where an optimizer was made since.
    ///
    /// ```
    /// use wgrad::nn::{Ctx, Init, Layer, Linear, Module};
    /// let device = wgrad::Device::cpu();
    /// let model = Linear::new(3, 1, &mut Init::new(0, &device));
    /// let loss = model.forward(&wgrad::Tensor::ones([4, 3], &device), &Ctx::train()).sum();
    /// let grads = loss.backward();
    /// let shapes: Vec<_> = model.tensors().iter().map(|x| grads.of(x).unwrap().shape()).collect();
    /// assert!(shapes[0] == [1, 3] && shapes[1] == [1]);
    /// ```
    #[doc(alias = "parameters")]
    fn tensors(&self) -> Vec<Tensor>
    where
        Self: Sized,
    {
        distinct(self).iter().map(|(_, parameter)| parameter.tensor()).collect()
    }

    /// Freezes all parameters, or lets gradients flow to them again, as
    /// [`Parameter::set_requires_grad`](super::Parameter::set_requires_grad) does: PyTorch's `layer.requires_grad_(False)`. An
    /// optimizer for what is left takes [`trainable`] of the model, and so keeps no moments of what is frozen.
    ///
    /// ```
    /// use wgrad::nn::{Ctx, Init, Layer, Linear, Module, trainable};
    /// use wgrad::optim::{Adam, AdamOptions, Optimizer};
    /// let device = wgrad::Device::cpu();
    /// let [body, head] = [3, 2].map(|n| Linear::new(n, n - 1, &mut Init::new(0, &device)));
    /// body.set_requires_grad(false);
    /// let mut optimizer = Adam::new(&trainable(&(&body, &head)), AdamOptions::default())?;
    /// let ctx = Ctx::train();
    /// let y = head.forward(&body.forward(&wgrad::Tensor::ones([4, 3], &device), &ctx), &ctx);
    /// let grads = y.sum().backward();
    /// assert_eq!(grads.len(), 2);
    /// optimizer.step(&grads);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[doc(alias("requires_grad_", "freeze", "unfreeze"))]
    fn set_requires_grad(&self, requires_grad: bool)
    where
        Self: Sized,
    {
        parameters(self).iter().for_each(|(_, parameter)| parameter.set_requires_grad(requires_grad));
    }

    /// Moves all parameters and buffers to another device, where they are the same parameters. An optimizer is made after
    /// that.
    ///
    /// # Errors
    /// The first failure of the device that they leave.
    fn to(&self, device: &Device) -> Result<()>
    where
        Self: Sized,
    {
        copies::to(self, device)
    }
}

/// A module that maps one tensor to one tensor.
///
/// ```
/// use wgrad::nn::{Ctx, Init, Layer, Linear, Module};
/// use wgrad::{Device, Tensor};
///
/// #[derive(Module)]
/// struct Net {
///     fc1: Linear,
///     fc2: Linear,
/// }
/// impl Layer for Net {
///     fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
///         self.fc2.forward(&self.fc1.forward(x, ctx).relu(), ctx)
///     }
/// }
/// let device = Device::cpu();
/// let mut init = Init::new(0, &device);
/// let net = Net { fc1: Linear::new(4, 8, &mut init), fc2: Linear::new(8, 2, &mut init) };
/// let y = net.forward(&Tensor::ones([3, 4], &device), &Ctx::eval());
/// # assert_eq!(*y.shape(), [3, 2]);
/// ```
#[doc(alias("nn.Module", "__call__"))]
pub trait Layer: Module {
    /// The layer's computation: written once, and run by [`forward`](Layer::forward).
    #[track_caller]
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor;

    /// The output for `x`: asks for a [`misfit`](Layer::misfit) first, and tells a pass that is
    /// [traced](Ctx::traced) of the output. One item without the dimension of the batch is a batch of one to a layer that
    /// tells its [`batched_rank`](Layer::batched_rank), and its output has none either. What a mixed pass has made is
    /// [cast](Ctx::cast) where this one is in f32.
    ///
    /// # Panics
    /// If `x` does not fit.
    #[track_caller]
    fn forward(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let misfit = self.misfit(x, ctx);
        if misfit.is_some() && self.batched_rank() == Some(x.rank() + 1) {
            let batch = x.unsqueeze(0);
            if self.misfit(&batch, ctx).is_none() {
                return self.forward(&batch, ctx).squeeze(0);
            }
        }
        refuse(misfit.map(|text| placed(self, text)));
        ctx.enter(self, || self.title());
        // A block in f32 within a mixed pass, or behind it.
        let y = if x.is_of_pass() && !ctx.is_mixed() { self.call(&ctx.cast(x), ctx) } else { self.call(x, ctx) };
        ctx.leave(&y);
        y
    }

    /// The fault of such an input, if there is one, in a sentence that says what would fit.
    fn misfit(&self, _x: &Tensor, _ctx: &Ctx) -> Option<String> {
        None
    }

    /// How many dimensions a batch has, of a layer that takes one item without that of the batch, too.
    fn batched_rank(&self) -> Option<usize> {
        None
    }

    /// Its name in a line of a summary: the type's unless it says more.
    fn title(&self) -> String {
        let name = std::any::type_name::<Self>();
        let end = name.find('<').unwrap_or(name.len());
        name[..end].rsplit("::").next().unwrap_or(name).to_string()
    }
}

/// Walks a module's fields, keeping the path. What is visited knows its path from then on.
pub struct Visitor<'a> {
    path: String,
    /// The path of the module that the visit began with, as soon as something tells it.
    root: Option<String>,
    /// The generators that were met, each once.
    generators: Vec<Generator>,
    each: &'a mut dyn FnMut(&str, Entry),
}

impl<'a> Visitor<'a> {
    /// Calls `each` with the path of everything that is met, such as `blocks.1.attn_qkv.weight`.
    pub fn new(each: &'a mut dyn FnMut(&str, Entry)) -> Visitor<'a> {
        Visitor { path: String::new(), root: None, generators: Vec::new(), each }
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
        self.met(name, Entry::Parameter(parameter));
        if let Some(scale) = parameter.scale() {
            let scaled = if name.is_empty() { self.path.clone() } else { name.to_string() };
            let end = scaled.rsplit('.').next().unwrap_or_default();
            self.beside(name, &format!("{end}_scale"), &scale);
        }
    }

    /// The weight of a layer that gives a channel for each of its first dimension.
    pub(super) fn weight(&mut self, name: &str, parameter: &Parameter) {
        parameter.goes_by_channel();
        self.parameter(name, parameter);
    }

    /// A buffer that belongs to a parameter, which stands here itself where it has no name of its own.
    fn beside(&mut self, name: &str, own: &str, buffer: &Buffer) {
        let path = self.path.clone();
        if name.is_empty() {
            self.path.truncate(path.rfind('.').unwrap_or(0));
        }
        self.buffer(own, buffer);
        self.path = path;
    }

    /// A field that the layer changes by itself.
    pub fn buffer(&mut self, name: &str, buffer: &Buffer) {
        self.met(name, Entry::Buffer(buffer));
    }

    /// A generator that layers draw from.
    pub(super) fn generator(&mut self, generator: &Generator) {
        if !self.generators.iter().any(|other| other.is(generator)) {
            self.generators.push(generator.clone());
        }
    }

    fn met(&mut self, name: &str, entry: Entry) {
        self.at(name, |v| {
            let name = entry.set_name(&v.path);
            v.root.get_or_insert_with(|| above(&name, &v.path));
            (v.each)(&v.path, entry);
        });
    }

    /// Visits a module, and tells its path, where anything in it knows its own.
    pub(super) fn walk<M: Module + ?Sized>(module: &M, each: &mut dyn FnMut(&str, Entry)) -> String {
        let mut visitor = Visitor::new(each);
        module.visit(&mut visitor);
        visitor.root.unwrap_or_default()
    }
}

/// A sentence about a layer, behind its path where that is known and the sentence has it not yet.
fn placed<M: Module + ?Sized>(layer: &M, text: String) -> String {
    let path = Visitor::walk(layer, &mut |_, _| ());
    if path.is_empty() || text.starts_with(&path) { text } else { format!("{path}: {text}") }
}

/// The generators that a module's layers draw from, each once: their positions are a part of what a run needs to go on.
pub fn generators(module: &dyn Module) -> Vec<Generator> {
    let mut each = |_: &str, _: Entry| ();
    let mut visitor = Visitor::new(&mut each);
    module.visit(&mut visitor);
    visitor.generators
}

/// The part of a path before its end.
fn above(path: &str, end: &str) -> String {
    path.strip_suffix(end).unwrap_or("").trim_end_matches('.').to_string()
}

/// The place of a layer without parameters in its model: known from the first visit of the model on, which an optimizer, a
/// state dict or a summary begins with. A layer that has one names its kernels by it.
///
/// ```
/// use wgrad::nn::{Ctx, Layer, Module, Path};
/// use wgrad::Tensor;
///
/// #[derive(Default, Module)]
/// struct Double {
///     path: Path,
/// }
/// impl Layer for Double {
///     fn call(&self, x: &Tensor, _ctx: &Ctx) -> Tensor {
///         let x = self.path.of(x);
///         &x + &x
///     }
/// }
/// ```
#[derive(Default)]
pub struct Path(RwLock<Option<Arc<str>>>);

impl Path {
    /// Not known yet.
    pub const fn new() -> Path {
        Path(RwLock::new(None))
    }

    /// The path, once it is known: `layers.0.pool`.
    pub fn get(&self) -> Option<Arc<str>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The same tensor as this layer's input: kernels that read it first are named after the layer.
    pub fn of(&self, x: &Tensor) -> Tensor {
        match self.get() {
            Some(path) => x.clone().named(format!("{path}.input")),
            None => x.clone(),
        }
    }
}

impl Clone for Path {
    /// A copy of a layer stands elsewhere.
    fn clone(&self) -> Path {
        Path::new()
    }
}

impl PartialEq for Path {
    /// Layers are compared by what they compute.
    fn eq(&self, _other: &Path) -> bool {
        true
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.get().as_deref().unwrap_or(""))
    }
}

impl Module for Path {
    /// It is that of the struct whose field it is.
    fn visit(&self, visitor: &mut Visitor) {
        let path = visitor.path.rsplit_once('.').map_or("", |(path, _)| path);
        let mut own = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if !path.is_empty() && own.as_deref().is_none_or(|own| is_end(own, path)) {
            *own = Some(path.into());
        }
        if let Some(own) = own.as_deref() {
            visitor.root.get_or_insert_with(|| above(own, path));
        }
    }
}

/// The parameters of a module with their paths, which they know from now on.
#[doc(alias = "named_parameters")]
pub fn parameters(module: &dyn Module) -> Vec<(String, Parameter)> {
    let mut found = Vec::new();
    let mut each = |path: &str, entry: Entry| {
        if let Entry::Parameter(parameter) = entry {
            found.push((path.to_string(), parameter.clone()));
        }
    };
    module.visit(&mut Visitor::new(&mut each));
    found
}

/// The parameters of a module, each once: one that is tied, under the first of its paths.
pub(crate) fn distinct(module: &dyn Module) -> Vec<(String, Parameter)> {
    let mut seen = HashSet::new();
    let mut all = parameters(module);
    all.retain(|(_, parameter)| seen.insert(parameter.key()));
    all
}

/// The parameters of a module that are not [frozen](Parameter::set_requires_grad), under their paths in it, as a module: what to
/// make an optimizer for. PyTorch's `filter(lambda p: p.requires_grad, model.parameters())`.
#[doc(alias = "filter")]
pub fn trainable(module: &dyn Module) -> Trainable {
    Trainable(parameters(module).into_iter().filter(|(_, parameter)| parameter.requires_grad()).collect())
}

/// What [`trainable`] gives.
#[derive(Debug, Clone)]
pub struct Trainable(pub(crate) Vec<(String, Parameter)>);

impl Module for Trainable {
    fn visit(&self, visitor: &mut Visitor) {
        self.0.iter().for_each(|(path, parameter)| visitor.parameter(path, parameter));
    }
}
