//! The tensors of a model: parameters, which gradients train, and buffers, which layers change by themselves.

use crate::device::{Device, Moves};
use crate::dtype::DType;
use crate::error::Result;
use crate::kernel::BufferId;
use crate::shape::Shape;
use crate::tensor::Tensor;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// A place that holds a tensor, and can be told to hold another.
#[derive(Clone)]
struct Place(Arc<Held>);

struct Held {
    tensor: RwLock<Tensor>,
    moves: Moves,
}

impl Place {
    fn new(tensor: Tensor) -> Place {
        Place(Arc::new(Held { tensor: RwLock::new(tensor), moves: Moves::default() }))
    }

    /// The tensor, which a step that is being captured reads where it is now.
    fn tensor(&self) -> Tensor {
        let held = self.read();
        let (tensor, moves) = (held.clone(), self.0.moves.count());
        drop(held);
        tensor.device().watch(tensor.buffer(), tensor.name(), &self.0.moves, moves);
        tensor
    }

    fn read(&self) -> RwLockReadGuard<'_, Tensor> {
        self.0.tensor.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Tensor> {
        self.0.tensor.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has what `new` makes of the tensor in its place; tells the steps that were captured before if it lies elsewhere.
    fn put(&self, new: impl FnOnce(&Tensor) -> Tensor) {
        let mut tensor = self.write();
        let new = new(&tensor);
        let stays = new.buffer() == tensor.buffer() && new.layout() == tensor.layout();
        if !stays || new.device() != tensor.device() {
            self.0.moves.moved();
        }
        *tensor = new;
        tensor.tell_leaf();
    }

    /// Has the values elsewhere, under the same name and with the same node.
    fn move_to(&self, new: Tensor) {
        self.put(|old| new.with_node(old.node().cloned()).with_name(old.name().map(Arc::from)));
    }

    /// Takes a path as its name, unless it has a better one, and tells its name.
    fn set_name(&self, path: &str) -> Arc<str> {
        let mut tensor = self.write();
        if tensor.name().is_none_or(|name| is_end(name, path)) {
            *tensor = tensor.clone().named(path);
            tensor.tell_leaf();
        }
        tensor.name().map_or_else(|| path.into(), Arc::from)
    }
}

/// Whether a name is the end of a path: then a part of the model was visited alone, before the whole.
pub(super) fn is_end(name: &str, path: &str) -> bool {
    path.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'))
}

/// A tensor that training changes. Clones share it, so that two layers can be tied.
///
/// After [`quantize_int8`](method@super::Module::quantize_int8) it holds bytes, which [`Ctx::param`](super::Ctx::param) widens.
#[doc(alias = "nn.Parameter")]
#[derive(Clone)]
pub struct Parameter(Place, Arc<Int8>);

/// How a parameter is held in bytes.
#[derive(Default)]
struct Int8 {
    /// Whether it is the weight of a layer that gives a channel for each of its first dimension.
    by_channel: AtomicBool,
    /// The value of a step of each channel, where it is held so.
    scale: RwLock<Option<Buffer>>,
}

impl Parameter {
    /// Takes `tensor`'s elements as the first value.
    #[track_caller]
    pub fn new(tensor: Tensor) -> Parameter {
        Parameter(Place::new(tensor.detach().requires_grad()), Arc::default())
    }

    /// Notes that it is the weight of a layer that gives a channel for each of its first dimension.
    pub(super) fn goes_by_channel(&self) {
        self.1.by_channel.store(true, Ordering::Relaxed);
    }

    /// Whether it can be held in bytes.
    pub(super) fn is_by_channel(&self) -> bool {
        self.1.by_channel.load(Ordering::Relaxed)
    }

    /// The value of a step of each channel, where it is held in bytes.
    pub(super) fn scale(&self) -> Option<Buffer> {
        self.1.scale.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Holds bytes from now on, with the value of a step of each channel.
    pub(super) fn hold(&self, bytes: Tensor, scale: Tensor) {
        self.0.put(|old| bytes.with_name(old.name().map(Arc::from)));
        *self.1.scale.write().unwrap_or_else(PoisonError::into_inner) = Some(Buffer::new(scale));
    }

    /// The tensor that gradients flow to. An optimizer, as it is made, moves the values to a place of its own: a handle from before
    /// does not see them change, and an operation on it is refused. Take it anew where it is used.
    pub fn tensor(&self) -> Tensor {
        self.0.tensor()
    }

    /// Whether gradients flow to it: of a new one they do.
    #[doc(alias = "is_frozen")]
    pub fn requires_grad(&self) -> bool {
        self.0.read().is_tracked()
    }

    /// Freezes it, or lets gradients flow to it again. A frozen one stays what it is: no gradient of it is computed, what passes
    /// through its layer goes on to have one, and an optimizer moves the others alone.
    /// [`Module::set_requires_grad`](super::Module::set_requires_grad) does so to all of a layer. One that is held in int8 stays
    /// frozen.
    #[doc(alias("requires_grad_", "freeze", "unfreeze"))]
    pub fn set_requires_grad(&self, requires_grad: bool) {
        if self.requires_grad() == requires_grad || !self.0.read().dtype().is_float() {
            return;
        }
        self.0.put(|old| if requires_grad { old.detach().requires_grad() } else { old.detach() });
        // Steps that were captured before would go on as if nothing had happened.
        self.0.0.moves.moved();
    }

    /// The sizes.
    pub fn shape(&self) -> Shape {
        self.tensor().shape()
    }

    /// The bytes of its elements, and of the value of a step of each channel where it is held in bytes.
    pub(super) fn bytes(&self) -> u64 {
        let of = |x: &Tensor| (x.numel() * x.dtype().bytes()) as u64;
        of(&self.tensor()) + self.scale().map_or(0, |scale| of(&scale.tensor()))
    }

    /// The sentence about a step that was captured before.
    pub(super) fn frozen_since(&self) -> String {
        let tensor = self.tensor();
        let now = if tensor.is_tracked() { "trained" } else { "frozen" };
        format!(
            "run: {} is {now} since the step was captured, which goes on as before: capture it anew",
            tensor.name().unwrap_or("a parameter")
        )
    }

    /// Puts the values elsewhere; gradients go on to flow to the same parameter.
    pub(crate) fn move_to(&self, place: Tensor) {
        self.0.move_to(place);
    }

    /// Whether its values lie in `buffer`.
    pub(crate) fn lies_in(&self, buffer: BufferId) -> bool {
        self.0.read().buffer() == buffer
    }

    /// Whether both are one parameter.
    pub fn is(&self, other: &Parameter) -> bool {
        self.key() == other.key()
    }

    /// What tells it from all others that are there.
    pub(crate) fn key(&self) -> impl Eq + Hash + use<> {
        Arc::as_ptr(&self.0.0)
    }
}

impl std::fmt::Debug for Parameter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(&self.tensor(), f)
    }
}

/// A tensor that is saved with a model and changed by the layer itself, such as running statistics: PyTorch's
/// `register_buffer`. Clones share it.
#[doc(alias = "register_buffer")]
#[derive(Clone)]
pub struct Buffer(Place);

impl Buffer {
    /// Holds `tensor`.
    pub fn new(tensor: Tensor) -> Buffer {
        Buffer(Place::new(tensor.detach()))
    }

    /// The tensor, to be read or written in place.
    pub fn tensor(&self) -> Tensor {
        self.0.tensor()
    }
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(&self.tensor(), f)
    }
}

/// A parameter or a buffer that a visitor meets.
#[derive(Debug, Clone, Copy)]
pub enum Entry<'a> {
    /// Trained by gradients.
    Parameter(&'a Parameter),
    /// Changed in place by the layer itself.
    Buffer(&'a Buffer),
}

impl Entry<'_> {
    /// Its tensor.
    pub fn tensor(&self) -> Tensor {
        self.place().tensor()
    }

    fn place(&self) -> &Place {
        match self {
            Entry::Parameter(Parameter(place, _)) | Entry::Buffer(Buffer(place)) => place,
        }
    }

    pub(super) fn set_name(&self, path: &str) -> Arc<str> {
        self.place().set_name(path)
    }

    /// Its values in another type; as a parameter, the start of other graphs than before.
    pub(super) fn cast(&self, dtype: DType) {
        self.place().put(|old| {
            let new = old.detach().cast(dtype).with_name(old.name().map(Arc::from));
            if old.is_tracked() { new.requires_grad() } else { new }
        });
    }

    pub(super) fn move_to(&self, device: &Device) -> Result<()> {
        self.place().move_to(self.tensor().detach().to(device)?);
        Ok(())
    }
}
