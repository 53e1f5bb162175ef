//! Tensors: a shape and strides over a device's buffer.

mod display;
mod mixed;
mod values;

use crate::autograd::{Node, is_differentiated};
use crate::backend::Purpose;
use crate::device::{Device, Handle};
use crate::dtype::{DType, Element};
use crate::error::{Error, Result};
use crate::kernel::{Access, Binding, BufferId, Dispatch, Kernel, Params, Uniform};
use crate::shape::{Int, Layout, Shape};
use std::panic::Location;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// An n-dimensional array on a device.
///
/// Cloning is cheap and shares the elements. Operations take tensors by reference, check shapes at once (a mismatch
/// is a bug and panics with both shapes) and queue kernels; only reading values waits for them.
///
/// ```
/// use wgrad::{Device, KeepDims, Tensor};
/// let device = Device::best();
/// let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0], [2, 2], &device);
/// let y = (&x * 2.0).matmul(&x.t()).sum_dims(&[-1], KeepDims::No);
/// assert_eq!(y.to_vec::<f32>()?, [32.0, 72.0]);
/// println!("{y}");
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// There are up to six dimensions. Those of a method's arguments count from the end where they are negative, and are of any
/// whole type. Binary operations broadcast as PyTorch's do. `+`, `-`, `*` and `/` take tensors, their references, and
/// numbers. Results are of the type of the operands, indices `i32`, comparisons 1 and 0.
///
/// # Methods by family
///
#[doc = include_str!("tensor/methods.md")]
///
/// What is drawn at random on the device is made by a [`Draw`](crate::Draw).
#[doc(alias("array", "ndarray", "torch.tensor"))]
#[derive(Clone)]
pub struct Tensor {
    buffer: Arc<Buffer>,
    layout: Layout,
    dtype: DType,
    /// Elements of the buffer up to which nothing lies behind this tensor's last one but padding.
    room: usize,
    node: Option<Arc<Node>>,
    name: Option<Arc<str>>,
    /// The buffer's version when this handle was saved for a gradient.
    saved: Option<u64>,
    /// Whether it is a gradient or was made of one, without a history of its own.
    gradient: bool,
    /// The run of a captured step that it is a result of.
    run: Option<Run>,
    /// The pass in mixed precision that it belongs to.
    mixed: Option<mixed::Mixed>,
}

/// A run of a captured step, whose results the next run overwrites.
#[derive(Clone)]
pub(crate) struct Run {
    number: u64,
    last: Arc<AtomicU64>,
}

impl Run {
    /// The one that gave the step's results first.
    pub fn first() -> Run {
        Run { number: 0, last: Arc::default() }
    }

    /// The next one, by which the results of all before are lost.
    pub fn next(&self) -> Run {
        Run { number: self.last.fetch_add(1, Ordering::Relaxed) + 1, last: self.last.clone() }
    }
}

struct Buffer {
    device: Device,
    id: BufferId,
    version: AtomicU64,
    /// Whether a kernel wrote it from tracked tensors in a pass whose gradients are differentiated.
    unknown: AtomicBool,
}

impl Handle for Buffer {
    fn changed(&self) {
        self.version.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.device.free(self.id);
    }
}

/// Two devices in a message that refuses to mix them.
pub(crate) fn apart(a: &Device, b: &Device) -> String {
    let (a, b) = (a.to_string(), b.to_string());
    if a == b {
        return format!(
            "on two devices of one kind, {a}: each call that opens a device gives another; clone the first"
        );
    }
    format!("on {a} and on {b}")
}

/// Bindings start at multiples of so many bytes.
const ALIGN: usize = 256;

/// Elements that kernels store at once: four, and the words of a vec4.
const fn quad(dtype: DType) -> usize {
    if dtype.bytes() < 4 { 16 / dtype.bytes() } else { 4 }
}

/// # Memory
impl Tensor {
    #[track_caller]
    fn alloc(layout: Layout, dtype: DType, device: &Device, purpose: Purpose) -> Tensor {
        let len = layout.span().end.max(1);
        let id = device.alloc((len * dtype.bytes()) as u64, purpose);
        let buffer = Arc::new(Buffer {
            device: device.clone(),
            id,
            version: AtomicU64::new(0),
            unknown: AtomicBool::new(false),
        });
        let room = len.next_multiple_of(quad(dtype));
        Tensor {
            buffer,
            layout,
            dtype,
            room,
            node: None,
            name: None,
            saved: None,
            gradient: false,
            run: None,
            mixed: None,
        }
    }

    /// A tensor with any content, for a kernel to write.
    #[track_caller]
    pub fn empty(shape: impl Into<Shape>, dtype: DType, device: &Device) -> Tensor {
        Tensor::alloc(Layout::contiguous(shape.into()), dtype, device, Purpose::Result)
    }

    /// A tensor with any content, for the host to write.
    #[track_caller]
    pub(crate) fn staged(shape: impl Into<Shape>, dtype: DType, device: &Device) -> Tensor {
        Tensor::alloc(Layout::contiguous(shape.into()), dtype, device, Purpose::Upload)
    }

    /// A tensor of this one's type on its device, with any content, for a kernel to write.
    #[track_caller]
    pub fn new_empty(&self, shape: impl Into<Shape>) -> Tensor {
        Tensor::empty(shape, self.dtype, self.device())
    }

    /// A tensor like this one, in the memory order of its layout, with any content, for a kernel to write.
    #[track_caller]
    pub(crate) fn new_like(&self) -> Tensor {
        Tensor::empty_like(&self.layout, self.dtype, self.device())
    }

    /// A tensor with any content in a given dense layout.
    #[track_caller]
    pub(crate) fn empty_like(layout: &Layout, dtype: DType, device: &Device) -> Tensor {
        Tensor::alloc(layout.dense_like(), dtype, device, Purpose::Result)
    }
}

/// # Creation from values
impl Tensor {
    /// A tensor of these elements, which stand in row-major order.
    ///
    /// # Panics
    /// If their number is not that of the shape.
    #[doc(alias("tensor", "as_tensor"))]
    #[track_caller]
    pub fn from_slice<T: Element>(data: &[T], shape: impl Into<Shape>, device: &Device) -> Tensor {
        let shape = shape.into();
        assert!(data.len() == shape.numel(), "from_slice: {} elements do not fill {shape}", data.len());
        let out = Tensor::staged(shape, T::DTYPE, device);
        out.store(data);
        out
    }

    /// A tensor of these elements, which stand in row-major order.
    ///
    /// # Panics
    /// If their number is not that of the shape.
    #[doc(alias = "from_numpy")]
    #[track_caller]
    pub fn from_vec<T: Element>(data: Vec<T>, shape: impl Into<Shape>, device: &Device) -> Tensor {
        Tensor::from_slice(&data, shape, device)
    }

    /// Elements that are the same whenever the code that makes them runs: a captured step may hold them.
    #[track_caller]
    pub(crate) fn constant<T: Element>(data: &[T], shape: impl Into<Shape>, device: &Device) -> Tensor {
        let out = device.aside(|| Tensor::from_slice(data, shape, device));
        device.keep(out.buffer(), bytemuck::cast_slice(data), || out.buffer.clone());
        out
    }

    /// A tensor without dimensions.
    #[track_caller]
    pub fn scalar<T: Element>(value: T, device: &Device) -> Tensor {
        Tensor::constant(&[value], [], device)
    }

    /// `start`, `start + 1` .. up to `end`, which is left out.
    #[doc(alias = "range")]
    #[track_caller]
    pub fn arange(start: i32, end: i32, device: &Device) -> Tensor {
        let data: Vec<i32> = (start..end).collect();
        Tensor::constant(&data, [data.len()], device)
    }

    /// `start`, `start + step` .. up to `end`, which is left out: PyTorch's `arange` of floats.
    ///
    /// ```
    /// use wgrad::Tensor;
    /// let x = Tensor::arange_step(1.0, 0.0, -0.25, &wgrad::Device::cpu());
    /// assert_eq!(x.to_vec::<f32>()?, [1.0, 0.75, 0.5, 0.25]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// If the steps do not lead to the end.
    #[track_caller]
    pub fn arange_step(start: f64, end: f64, step: f64, device: &Device) -> Tensor {
        let count = (end - start) / step;
        let fits = count.is_finite() && (0.0..1e9).contains(&count);
        assert!(fits, "arange_step: from {start} by {step} never comes to {end}");
        let data: Vec<f32> = (0..count.ceil() as usize).map(|at| (start + at as f64 * step) as f32).collect();
        Tensor::constant(&data, [data.len()], device)
    }
}

/// # What it is
impl Tensor {
    /// The sizes of its dimensions.
    pub fn shape(&self) -> Shape {
        self.layout.shape
    }

    /// The size of one dimension; negative numbers count from the end.
    ///
    /// # Panics
    /// If there is no such dimension.
    #[track_caller]
    pub fn size(&self, dim: impl Int) -> usize {
        let dim = dim.int();
        let dim = self.shape().dim("size", dim);
        self.shape()[dim]
    }

    /// The number of elements.
    #[doc(alias("nelement", "len"))]
    pub fn numel(&self) -> usize {
        self.layout.shape.numel()
    }

    /// The number of dimensions.
    #[doc(alias("dim", "ndim"))]
    pub fn rank(&self) -> usize {
        self.layout.shape.rank()
    }

    /// The type of its elements.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The device that it lives on.
    pub fn device(&self) -> &Device {
        &self.buffer.device
    }

    /// Its shape, strides and offset in its buffer.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The path of the parameter that it is, where it is one.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The same tensor under a parameter's path, which labels the kernels that read it.
    pub fn named(mut self, name: impl Into<Arc<str>>) -> Tensor {
        self.name = Some(name.into());
        self
    }
}

/// # Tracking
impl Tensor {
    /// Whether gradients flow to it or through it.
    pub fn is_tracked(&self) -> bool {
        self.node().is_some_and(|node| node.flows())
    }

    /// The same elements without their history: no gradient flows through.
    #[doc(alias("stop_gradient", "no_grad"))]
    pub fn detach(&self) -> Tensor {
        let y = Tensor { node: None, gradient: false, ..self.clone() };
        let noted = self.node().is_some_and(|node| !node.is_leaf());
        if noted { y.noted("detach", &[self]) } else { y }
    }

    /// The same elements without their history, and still a gradient where they are one or were made of one.
    pub(crate) fn without_history(&self) -> Tensor {
        let gradient = self.gradient || self.node().is_some_and(|node| node.reads().is_some());
        Tensor { node: None, gradient, ..self.clone() }
    }

    /// Whether it is a gradient or was made of one, without a history of its own.
    pub(crate) fn is_gradient(&self) -> bool {
        self.gradient
    }

    /// The same elements as a gradient, or as what was made of one.
    pub(crate) fn into_gradient(self) -> Tensor {
        Tensor { gradient: true, ..self }
    }

    /// A handle for a gradient to use later, which notices if the elements change in the meantime. It is detached but where
    /// the gradient of that gradient is asked for.
    pub fn saved(&self) -> Tensor {
        let version = self.buffer.version.load(Ordering::Relaxed);
        // A gradient is computed in the types that the pass has chosen.
        Tensor { saved: Some(version), mixed: None, ..self.clone() }
    }

    /// The saved elements of a copy of `other`, in its place.
    pub(crate) fn saved_as(&self, other: &Tensor) -> Tensor {
        self.saved().with_node(other.node().cloned())
    }
}

impl Tensor {
    /// The step that made it; of what was saved, only where a gradient's gradient is asked for.
    pub(crate) fn node(&self) -> Option<&Arc<Node>> {
        self.node.as_ref().filter(|_| self.saved.is_none() || is_differentiated())
    }

    /// Whether a kernel made it of tracked tensors, and no operation has told how since.
    pub(crate) fn is_unknown(&self) -> bool {
        self.node().is_none() && self.buffer.unknown.load(Ordering::Relaxed)
    }

    /// An operation tells how it was made.
    pub(crate) fn known(&self) {
        self.buffer.unknown.store(false, Ordering::Relaxed);
    }

    /// A gradient on its way: with its history where it is to be differentiated again.
    pub(crate) fn as_sent(&self) -> Tensor {
        if is_differentiated() { Tensor { saved: None, ..self.clone() } } else { self.detach() }
    }

    /// Tells the start of its graph that gradients are those of this tensor.
    pub(crate) fn tell_leaf(&self) {
        self.node.iter().for_each(|node| node.move_to(self));
    }

    /// The same elements as the start of a graph.
    pub(crate) fn into_leaf(mut self) -> Tensor {
        self.node = Some(Node::leaf(self.detach()));
        (self.gradient, self.saved) = (false, None);
        self
    }

    /// The node that is this tensor's alone.
    pub(crate) fn node_mut(&mut self) -> Option<&mut Node> {
        self.node.as_mut().and_then(Arc::get_mut)
    }

    pub(crate) fn with_node(mut self, node: Option<Arc<Node>>) -> Tensor {
        self.node = node;
        self
    }

    pub(crate) fn with_name(mut self, name: Option<Arc<str>>) -> Tensor {
        self.name = name;
        self
    }

    /// The same buffer under another layout, without history.
    pub(crate) fn with_layout(&self, layout: Layout) -> Tensor {
        let end = layout.span().end;
        let room = if end == self.layout.span().end { self.room } else { end };
        Tensor { layout, room, node: None, name: self.name.clone(), ..self.clone() }
    }

    /// The same bytes as elements of another type, of a tensor that is alone in its buffer.
    pub(crate) fn reread(self, dtype: DType, shape: impl Into<Shape>) -> Tensor {
        let layout = Layout::contiguous(shape.into());
        let [own, other] = [self.numel() * self.dtype.bytes(), layout.shape.numel() * dtype.bytes()];
        assert!(
            self.layout.offset == 0 && self.layout.is_contiguous() && own == other,
            "reread: {own} bytes as {other}"
        );
        Tensor { room: self.room * self.dtype.bytes() / dtype.bytes(), layout, dtype, ..self }
    }

    /// The same elements, with padding behind them up to this element of the buffer.
    pub(crate) fn padded_to(self, room: usize) -> Tensor {
        Tensor { room, ..self }
    }

    /// The same place in the buffer of a tensor that is laid out alike.
    pub(crate) fn placed_in(&self, other: &Tensor) -> Tensor {
        Tensor { buffer: other.buffer.clone(), room: other.room.min(self.room), run: other.run.clone(), ..self.clone() }
    }

    /// The same elements as a result of a run, which the next run overwrites.
    pub(crate) fn result_of(&self, run: &Run) -> Tensor {
        Tensor { run: Some(run.clone()), ..self.clone() }
    }

    /// Refuses what a later run of its step has overwritten.
    pub(crate) fn current(&self, op: &str) -> Result<()> {
        let lost = self.run.as_ref().filter(|run| run.number < run.last.load(Ordering::Relaxed));
        lost.map_or(Ok(()), |run| {
            Err(Error::Capture(format!(
                "{op}: the tensor is a result of run {} of a replayed step, and run {} has overwritten it: read it before the \
                 next run, or keep a copy (Tensor::copy)",
                run.number + 1,
                run.last.load(Ordering::Relaxed) + 1
            )))
        })
    }

    /// Whether a kernel that writes all of it may store whole vec4.
    pub(crate) fn is_padded(&self) -> bool {
        self.binding().padded
    }

    /// Tells the handles that were saved for gradients that the elements are others now.
    pub(crate) fn changed(&self) {
        self.buffer.changed();
    }

    /// Whether it is kept for a gradient.
    pub(crate) fn is_saved(&self) -> bool {
        self.saved.is_some()
    }

    /// Whether its elements have changed since it was saved.
    pub(crate) fn is_stale(&self) -> bool {
        self.saved.is_some_and(|saved| saved != self.buffer.version.load(Ordering::Relaxed))
    }

    /// Whether both are the same elements of one buffer.
    pub(crate) fn is_at(&self, other: &Tensor) -> bool {
        self.buffer.id == other.buffer.id && self.device() == other.device() && self.layout == other.layout
    }

    /// Its buffer with what keeps it alive.
    pub(crate) fn handle(&self) -> (BufferId, Weak<dyn Handle>) {
        let handle: Weak<dyn Handle> = Arc::<Buffer>::downgrade(&self.buffer);
        (self.buffer.id, handle)
    }

    /// The elements of a contiguous tensor, and nothing before them.
    pub(crate) fn elements(&self) -> Binding {
        let [offset, bytes] = [self.layout.offset, self.numel()].map(|count| (count * self.dtype.bytes()) as u64);
        Binding { buffer: self.buffer.id, offset, bytes, dtype: self.dtype, padded: false }
    }

    /// The buffer that holds its elements.
    pub(crate) fn buffer(&self) -> BufferId {
        self.buffer.id
    }
}

/// # For kernels of one's own
impl Tensor {
    /// Elements between the start of its binding and its first element; 0 where there is none.
    pub fn base(&self) -> usize {
        if self.numel() == 0 { 0 } else { self.layout.offset % (ALIGN / self.dtype.bytes()) }
    }

    /// Whether its sizes and strides are numbers that kernels count with.
    fn is_counted(&self) -> bool {
        let walks =
            |(size, stride): (&usize, &usize)| *size <= 1 || [size, stride].iter().all(|n| u32::try_from(**n).is_ok());
        self.layout.shape.iter().zip(self.layout.strides()).all(walks)
    }

    /// Why its elements could not be computed.
    pub(crate) fn lost(&self) -> Option<Error> {
        self.device().lost(&self.binding())
    }

    fn binding(&self) -> Binding {
        // Where a view of nothing starts there may be no memory.
        let (start, end) =
            if self.numel() == 0 { (0, 1) } else { (self.layout.offset - self.base(), self.layout.span().end) };
        let [offset, bytes] = [start, end - start].map(|count| (count * self.dtype.bytes()) as u64);
        let padded = self.numel() == 0 || end.next_multiple_of(quad(self.dtype)) <= self.room;
        Binding { buffer: self.buffer.id, offset, bytes, dtype: self.dtype, padded }
    }

    /// Queues a kernel on `args`, one per binding, if it has anything to write. A kernel that knows strides takes them, and each argument's
    /// [`base`](Tensor::base), in its parameters; any other needs arguments that are dense with a base of 0.
    ///
    /// # Panics
    /// If the arguments live on several devices, one that was saved for a gradient has changed since or is a result that
    /// a later run of a captured step has overwritten, a buffer is bound both to be read and to be written, or one that
    /// is written as a whole is a view with other elements right behind it.
    #[track_caller]
    pub fn run<P: Uniform>(kernel: &'static Kernel, args: &[&Tensor], params: &P) {
        Tensor::queue(kernel, args, Params::new(params));
    }

    /// [`Tensor::run`], once for all types of parameters.
    #[track_caller]
    fn queue(kernel: &'static Kernel, args: &[&Tensor], params: Params) {
        assert!(
            args.len() == kernel.access.len(),
            "{}: {} arguments, not {}",
            kernel.name,
            args.len(),
            kernel.access.len()
        );
        let device = args[0].device();
        for (arg, access) in args.iter().zip(kernel.access) {
            assert!(arg.device() == device, "{}: tensors {}", kernel.name, apart(device, arg.device()));
            if let Err(lost) = arg.current(kernel.name) {
                panic!("{lost}");
            }
            let version = &arg.buffer.version;
            if *access == Access::Read {
                if arg.saved.is_some_and(|saved| saved != version.load(Ordering::Relaxed)) {
                    let name = arg.name().map_or(String::new(), |name| format!(" ({name})"));
                    crate::autograd::refuse(format!(
                        "{}: a tensor{name} that was saved for this gradient was changed in place since",
                        kernel.name
                    ));
                }
            } else {
                arg.buffer.changed();
                let alone = args.iter().filter(|other| Arc::ptr_eq(&other.buffer, &arg.buffer)).count() == 1;
                assert!(alone, "{}: a buffer is written and bound a second time", kernel.name);
            }
        }
        let bindings: Vec<Binding> = args.iter().map(|arg| arg.binding()).collect();
        for (binding, access) in bindings.iter().zip(kernel.access) {
            assert!(
                *access != Access::Write || binding.padded,
                "{}: other elements lie right behind a view that is written as a whole: write a tensor of its own, and assign \
                 it to the view",
                kernel.name
            );
        }
        let mut written = args.iter().zip(kernel.access).filter(|(_, access)| **access != Access::Read);
        if is_differentiated() && args.iter().any(|arg| arg.is_tracked() || arg.is_unknown()) {
            written.clone().for_each(|(arg, _)| arg.buffer.unknown.store(true, Ordering::Relaxed));
        }
        if written.all(|(arg, _)| arg.numel() == 0) {
            return;
        }
        device.hold(args.iter().map(|arg| arg.handle()));
        let label = args.iter().find_map(|arg| arg.name.clone());
        let dispatch = Dispatch { kernel, bindings, params, label };
        match args.iter().find(|arg| !arg.is_counted()) {
            None => device.dispatch(dispatch, Location::caller()),
            Some(arg) => {
                let (title, shape, most) = (dispatch.title(), arg.shape(), u32::MAX);
                let text = format!("{title}: {shape}: kernels count the elements of a dimension up to {most}");
                device.refuse(&dispatch, Error::Limit(text));
            }
        }
    }
}
