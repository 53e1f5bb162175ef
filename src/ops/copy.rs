//! Moving elements, and views that move none: `shaders/copy.wgsl`.

mod host;

use super::index::{Index, Subscript};
use crate::autograd::Op;
use crate::dtype::Element;
use crate::kernel::rewrite::{Change, Rewrite, View};
use crate::kernel::strided::Strided;
use crate::kernel::{
    Access, Call, Constant, Cost, Dispatch, Kernel, Lowering, Pass, Shader, Tolerance, Variant, elementwise, groups,
    shader,
};
use crate::shape::{Int, Layout, MAX_RANK, Shape, Sizes, ints};
use crate::tensor::Tensor;
use bytemuck::Pod;
use host::{copied, copied_into};

pub(crate) static SHADER: Shader = shader!("copy", &[Access::Read, Access::Write]);

/// Calls a function for the size of a binding's elements.
macro_rules! by_size {
    ($call:ident, $function:ident) => {
        match $call.dtype(0).bytes() {
            1 => $function::<u8>($call),
            2 => $function::<u16>($call),
            4 => $function::<u32>($call),
            _ => $function::<[u32; 2]>($call),
        }
    };
}

static PACKED: Shader = shader!("copy_packed", &[Access::Read, Access::ReadWrite]);

/// y = x in another memory order; y is dense.
pub(crate) static COPY: Kernel =
    Kernel::new("copy", &[Access::Read, Access::Write], |call| by_size!(call, copy_definition), |d| d.cost(0))
        .host(|call| by_size!(call, copied))
        .tolerance(Tolerance::EXACT)
        .variants(&[
            Variant::new("flat", |_, d| {
                Pass::new(&SHADER, "copy_flat", groups(d.params::<Strided>().n as usize, 4 * 256)).alone()
            })
            .fits(|_, d| is_words(d) && d.params::<Strided>().is_flat(1)),
            Variant::new("quads", |_, d| quads("copy_quads", 1, d))
                .fits(|_, d| is_words(d) && d.params::<Strided>().quads(1).is_some()),
            Variant::new("blocks", |_, d| {
                let p: Strided = d.params();
                let p = p.blocks().unwrap_or(p);
                Pass::new(&SHADER, "copy_blocks", groups(p.n as usize, 256)).params(&p).alone()
            })
            .fits(|_, d| is_words(d) && d.params::<Strided>().blocks().is_some()),
            Variant::new("strided", |_, d| {
                Pass::new(&SHADER, "copy_strided", groups(d.params::<Strided>().n as usize, 256)).alone()
            })
            .fits(|_, d| is_words(d))
            .suits(elementwise::is_gpu),
            Variant::new("packed", |_, d| packed("copy_packed", d, 4 * 256)),
        ]);

/// Part of y = x; the rest of y keeps its values.
static COPY_INTO: Kernel = Kernel::new(
    "copy_into",
    &[Access::Read, Access::ReadWrite],
    |call| by_size!(call, copy_into_definition),
    |d| Cost { flops: 0, bytes: 2 * u64::from(d.params::<Strided>().n) * d.bindings[0].dtype.bytes() as u64 },
)
.tolerance(Tolerance::EXACT)
.host(|call| by_size!(call, copied_into))
.rewrites(&[Rewrite { name: "written in place", apply: written_in_place }])
.variants(&[
    Variant::new("quads", |_, d| quads("copy_into_quads", 2, d))
        // What lies behind the last element keeps its value.
        .fits(|_, d| {
            let p: Strided = d.params();
            is_words(d) && p.n.is_multiple_of(4) && p.quads(2).is_some()
        }),
    Variant::new("strided", |_, d| {
        Pass::new(&SHADER, "copy_into", groups(d.params::<Strided>().n as usize, 256)).alone()
    })
    .fits(|_, d| is_words(d)),
    Variant::new("packed", |_, d| packed("copy_into_packed", d, 256)).fits(|_, d| !is_words(d)),
]);

/// Whether elements are words.
fn is_words(d: &Dispatch) -> bool {
    d.bindings[0].dtype.bytes() == 4
}

/// The pass that moves elements of other sizes.
fn packed(entry: &'static str, d: &Dispatch, per_group: usize) -> Lowering {
    let pass = Pass::new(&PACKED, entry, groups(d.params::<Strided>().n as usize, per_group)).typed();
    pass.constant("BYTES", Constant::U32(d.bindings[0].dtype.bytes() as u32)).alone()
}

/// The pass that walks the operands by whole vec4, which `fits` has found.
fn quads(entry: &'static str, operands: usize, d: &Dispatch) -> Lowering {
    let p: Strided = d.params();
    let p = p.quads(operands).unwrap_or(p);
    Pass::new(&SHADER, entry, groups(p.n as usize, 256)).params(&p).alone()
}

/// Where a new dimension stands.
#[track_caller]
pub(super) fn new_place(op: &str, shape: Shape, dim: impl Int) -> usize {
    let (dim, rank) = (dim.int(), shape.rank() as isize);
    let place = if dim < 0 { dim + rank + 1 } else { dim };
    assert!((0..=rank).contains(&place), "{op}: {shape} has no place {dim}");
    place as usize
}

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&COPY, &COPY_INTO];

/// A kernel that writes a tensor only for it to be copied as it is writes it where the copy would: a gradient goes straight
/// into its place in an optimizer's slab.
fn written_in_place(view: &View, at: usize) -> Option<Change> {
    let copy = view.dispatch(at);
    let [from, to] = [copy.bindings[0], copy.bindings[1]];
    let writer = view.writer(from.buffer)?;
    let source = view.dispatch(writer);
    let mut outputs = source.bindings.iter().zip(source.kernel.access);
    let place = outputs.position(|(b, access)| *b == from && *access == Access::Write)?;
    let is_whole = copy.params::<Strided>().is_flat(2) && from.bytes == to.bytes;
    if !is_whole || view.reader(from.buffer) != Some(at) {
        return None;
    }
    let mut by = source.clone();
    by.bindings[place] = to;
    Some(Change { replace: vec![writer, at], by, picks: true })
}

fn copy_definition<W: Pod>(call: &mut Call) {
    let (p, x) = (call.params::<Strided>(), call.read_bits::<W>(0));
    call.write_bits::<W>(1).iter_mut().zip(p.offsets()).for_each(|(y, [from, ..])| *y = x[from]);
}

fn copy_into_definition<W: Pod>(call: &mut Call) {
    let (p, x, y) = (call.params::<Strided>(), call.read_bits::<W>(0), call.write_bits::<W>(1));
    p.offsets().for_each(|[from, to, _]| y[to] = x[from]);
}

/// # Shape, views and copies
impl Tensor {
    /// The same elements in row-major order from a binding's start; itself where they lie so already.
    pub fn contiguous(&self) -> Tensor {
        let packed = Layout::contiguous(self.shape());
        if self.layout().is_contiguous() && self.base() == 0 {
            // Sizes of 1 may have had any stride.
            let layout = Layout { offset: self.layout().offset, ..packed };
            return self.with_layout(layout).with_node(self.node().cloned());
        }
        self.copied(&packed)
    }

    /// A copy with elements of its own.
    #[doc(alias = "clone")]
    pub fn copy(&self) -> Tensor {
        self.copied(&self.layout().dense_like())
    }

    /// The same elements without gaps and from a binding's start, in the order in which they lie.
    #[track_caller]
    pub(crate) fn dense(&self) -> Tensor {
        if self.layout().is_dense() && self.base() == 0 { self.clone() } else { self.copy() }
    }

    #[track_caller]
    fn copied(&self, layout: &Layout) -> Tensor {
        let out = Tensor::empty_like(layout, self.dtype(), self.device());
        Tensor::run(&COPY, &[self, &out], &Strided::new(out.layout(), [(self.layout(), self.base())]));
        out.tracked("copy", &[self], |dy, _| vec![Some(dy.clone())])
    }

    /// The same elements in the memory order of a dense `other` of the same shape, from a binding's start.
    #[track_caller]
    pub(crate) fn in_layout_of(&self, other: &Tensor) -> Tensor {
        self.in_layout(&other.layout().dense_like())
    }

    /// The same elements in a layout without gaps, from a binding's start.
    #[track_caller]
    pub(crate) fn in_layout(&self, want: &Layout) -> Tensor {
        if self.layout().strides() == want.strides() && self.base() == 0 { self.clone() } else { self.copied(want) }
    }

    /// A tensor of other sizes in this one's memory order, so that channels stay neighbours; `make` gives it, of a shape in the
    /// order of memory. A dimension that grows from 1 has no place in that order: it stays behind the one before it in the shape.
    pub(crate) fn in_own_order(&self, sizes: &[usize], make: impl FnOnce(Vec<usize>) -> Tensor) -> Tensor {
        let mut order = self.layout().own_order();
        for grown in (0..sizes.len()).filter(|d| self.shape()[*d] == 1 && sizes[*d] > 1) {
            order.retain(|d| *d != grown);
            order.insert(order.iter().position(|d| d + 1 == grown).map_or(0, |at| at + 1), grown);
        }
        make(order.iter().map(|&d| sizes[d]).collect()).permuted_back(&order)
    }

    /// What [`Tensor::permute`] by `order` was made of.
    pub(super) fn permuted_back(&self, order: &[usize]) -> Tensor {
        let back = (0..order.len()).map(|d| order.iter().position(|&o| o == d).unwrap_or(d)).collect::<Vec<_>>();
        self.permute(&back)
    }

    /// Overwrites part of this tensor, from `start` along `dim`, with the elements of `part`.
    #[track_caller]
    pub(crate) fn write_part(&self, dim: usize, start: usize, part: &Tensor) {
        if part.numel() == 0 {
            return;
        }
        let mut target = *self.layout();
        target.offset = self.base() + start * target.strides[dim];
        target.shape = part.shape();
        let params = Strided::new(part.layout(), [(part.layout(), part.base()), (&target, target.offset)]);
        Tensor::run(&COPY_INTO, &[part, self], &params);
    }

    /// Overwrites a contiguous tensor's elements in place; handles that share them see the change.
    ///
    /// # Panics
    /// If the number of elements or their type differs, the tensor is not contiguous, or it was computed and has a history.
    #[doc(alias = "copy_")]
    #[track_caller]
    pub fn upload<T: Element>(&self, data: &[T]) {
        self.check_written("upload");
        assert!(data.len() == self.numel(), "upload: {} elements do not fill {}", data.len(), self.shape());
        assert!(T::DTYPE == self.dtype(), "upload: {} elements do not fit a tensor of {}", T::DTYPE, self.dtype());
        assert!(self.layout().is_contiguous(), "upload: the tensor is not contiguous");
        match self.fills_words() {
            true => self.store(data),
            // A kernel leaves what shares its first word or its last.
            false => self.overwrite(&Tensor::from_slice(data, self.shape(), self.device())),
        }
    }

    /// Overwrites the elements in place with those of a tensor of the same shape; handles that share them see the change. Of
    /// another type they are [cast](Tensor::cast) to this one's. A source that overlaps them gives what it holds before.
    ///
    /// No gradient flows through what is written. So a parameter, a tensor of [`requires_grad`](Tensor::requires_grad) and views
    /// of them take anything, as within PyTorch's `no_grad`; a tensor without a history takes what has none either
    /// ([`Tensor::detach`]), and one that was computed with a history takes nothing. Tensors with both are made by
    /// [`index_put`](Tensor::index_put), [`where_`](Tensor::where_), [`stack`](Tensor::stack) and [`cat`](Tensor::cat).
    ///
    /// # Panics
    /// If the shapes differ, several elements of this tensor are one ([`Tensor::expand`]), or a history would be lost.
    #[doc(alias = "copy_")]
    #[track_caller]
    pub fn assign(&self, source: &Tensor) {
        self.check_written("assign");
        assert!(
            self.is_tracked() || !source.is_tracked(),
            "assign: the source has a history, which is lost where it is written in place: detach() it where that is meant, or \
             make a tensor with both by index_put, stack or cat"
        );
        self.overwrite(&source.cast(self.dtype()));
    }

    /// Refuses a result with a history: gradients would go on to flow to what made it.
    #[track_caller]
    fn check_written(&self, op: &str) {
        self.check_place();
        let computed = self.node().is_some_and(|node| node.flows() && !node.is_within_leaf(self.buffer()));
        assert!(
            !computed,
            "{op}: the target was computed and has a history, by which gradients would still flow to what made it: write to its \
             detach() where that is meant, or make another tensor by index_put or where_"
        );
    }

    /// [`Tensor::assign`] whatever the histories, which the caller sees to.
    #[track_caller]
    pub(crate) fn overwrite(&self, source: &Tensor) {
        assert!(
            self.shape() == source.shape() && self.dtype() == source.dtype(),
            "assign: {} {} x {} {}: expected equal shapes",
            self.dtype(),
            self.shape(),
            source.dtype(),
            source.shape()
        );
        let repeats = |(size, step): (&usize, &usize)| *size > 1 && *step == 0;
        let repeats = self.numel() > 0 && self.shape().iter().zip(self.layout().strides()).any(repeats);
        assert!(
            !repeats,
            "assign: {}: several of its elements are one, as `expand` makes them: assign to a copy",
            self.shape()
        );
        if self.numel() > 0 && !source.is_at(self) {
            // No kernel reads what it writes.
            let apart = (source.buffer() == self.buffer()).then(|| source.copy());
            let source = apart.as_ref().unwrap_or(source);
            let target = Layout { offset: self.base(), ..*self.layout() };
            let params = Strided::new(source.layout(), [(source.layout(), source.base()), (&target, target.offset)]);
            Tensor::run(&COPY_INTO, &[source, self], &params);
        }
    }

    /// The same elements under another shape; one size may be -1, to be told from the others. A view where strides
    /// allow it, else a copy.
    ///
    /// ```
    /// let x = wgrad::Tensor::ones([6, 4], &wgrad::Device::cpu());
    /// assert_eq!(*x.reshape([3, -1]).shape(), [3, 8]);
    /// assert_eq!(*x.reshape((x.size(0), 2, -1)).shape(), [6, 2, 2]);
    /// assert_eq!(x.sum().reshape([1, 1]).reshape(()).rank(), 0);
    /// ```
    ///
    /// # Panics
    /// If the number of elements differs, or -1 stands beside a 0, where it could be anything.
    #[doc(alias("view", "unflatten"))]
    #[track_caller]
    pub fn reshape(&self, sizes: impl Sizes) -> Tensor {
        let sizes = sizes.sizes();
        let known: usize = sizes.iter().filter(|&&s| s >= 0).map(|&s| s as usize).product();
        let fits = sizes.iter().filter(|&&s| s < 0).count() <= 1 && sizes.iter().all(|&s| s >= -1);
        assert!(fits, "reshape: {sizes:?}: one size may be -1, the others are 0 or more");
        let told = known > 0 || sizes.iter().all(|&s| s >= 0);
        assert!(told, "reshape: {} x {sizes:?}: beside a size of 0, one of -1 could be anything", self.shape());
        let resolved: Vec<usize> =
            sizes.iter().map(|&s| if s < 0 { self.numel() / known.max(1) } else { s as usize }).collect();
        self.reshape_to(Shape::from(resolved))
    }

    /// [`Tensor::reshape`] to a shape that is known.
    ///
    /// # Panics
    /// If the number of elements differs.
    #[track_caller]
    pub fn reshape_to(&self, shape: Shape) -> Tensor {
        let from = self.shape();
        assert!(shape.numel() == from.numel(), "reshape: {from} x {shape}: {} elements do not fill it", from.numel());
        let Some(layout) = self.layout().reshape(shape) else {
            return self.copied(&self.layout().dense_for(&shape)).reshape_to(shape);
        };
        self.with_layout(layout).tracked(
            || Op::new("reshape").with("shape", shape),
            &[self],
            move |dy, _| vec![Some(dy.reshape_to(from))],
        )
    }

    /// All dimensions from `start` on as one, or those of a range: `x.flatten(1)` makes rows of a batch of images,
    /// `x.flatten(0..2)` is PyTorch's `x.flatten(0, 1)`.
    ///
    /// # Panics
    /// If there is no such dimension, or the range is empty.
    #[track_caller]
    pub fn flatten(&self, dims: impl Subscript) -> Tensor {
        let shape = self.shape();
        let (start, end) = match dims.index() {
            Index::At(start) | Index::Range { start, end: None, .. } => {
                (shape.dim_or_scalar("flatten", start), self.rank())
            }
            Index::Range { start, end: Some(end), .. } => {
                (shape.dim_or_scalar("flatten", start), shape.dim_or_scalar("flatten", end - 1) + 1)
            }
            other => panic!("flatten: {shape}: expected the first dimension or a range of them, got {other:?}"),
        };
        let (start, end) = (start.min(self.rank()), end.min(self.rank()));
        assert!(start < end || self.rank() == 0, "flatten: {shape}: {start}..{end} is no range of dimensions");
        let mut sizes = shape[..start].to_vec();
        sizes.push(shape[start..end].iter().product());
        sizes.extend(&shape[end..]);
        self.reshape_to(Shape::from(sizes))
    }

    /// Without all dimensions of size 1, as a view.
    #[track_caller]
    pub fn squeeze_all(&self) -> Tensor {
        self.reshape_to(Shape::from(self.shape().iter().copied().filter(|&size| size != 1).collect::<Vec<_>>()))
    }

    /// The dimensions in another order, as a view.
    ///
    /// # Panics
    /// If `order` does not name each dimension once; negative numbers count from the end.
    #[doc(alias = "movedim")]
    #[track_caller]
    pub fn permute(&self, order: &[impl Int]) -> Tensor {
        let rank = self.rank() as isize;
        let from_start = |dim: isize| if (-rank..0).contains(&dim) { (dim + rank) as usize } else { dim as usize };
        let order = &ints(order).into_iter().map(from_start).collect::<Vec<usize>>()[..];
        let mut inverse = [usize::MAX; MAX_RANK];
        for (to, &from) in order.iter().enumerate() {
            assert!(
                from < self.rank() && inverse[from] == usize::MAX,
                "permute: {order:?} does not order {}",
                self.shape()
            );
            inverse[from] = to;
        }
        assert!(order.len() == self.rank(), "permute: {order:?} does not order {}", self.shape());
        let back = inverse[..self.rank()].to_vec();
        self.with_layout(self.layout().permute(order)).tracked(
            || Op::new("permute").with("order", order),
            &[self],
            move |dy, _| vec![Some(dy.permute(&back))],
        )
    }

    /// Two dimensions exchanged, as a view; negative numbers count from the end.
    ///
    /// # Panics
    /// If there is no such dimension.
    #[doc(alias("swapaxes", "swapdims"))]
    #[track_caller]
    pub fn transpose(&self, a: impl Int, b: impl Int) -> Tensor {
        let a = a.int();
        let b = b.int();
        let (a, b) = (self.shape().dim_or_scalar("transpose", a), self.shape().dim_or_scalar("transpose", b));
        if self.rank() == 0 {
            return self.clone();
        }
        let mut order: Vec<usize> = (0..self.rank()).collect();
        order.swap(a, b);
        self.permute(&order)
    }

    /// A matrix's transpose, as a view.
    ///
    /// # Panics
    /// If there are not two dimensions.
    #[track_caller]
    pub fn t(&self) -> Tensor {
        assert!(self.rank() == 2, "t: {} is no matrix", self.shape());
        self.permute(&[1, 0])
    }

    /// Dimensions of size 1 repeated to `shape`, as a view; new ones lead.
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    #[doc(alias("broadcast_to", "expand_as", "repeat"))]
    #[track_caller]
    pub fn expand(&self, shape: impl Into<Shape>) -> Tensor {
        let (from, to) = (self.shape(), shape.into());
        let Some(layout) = self.layout().expand(to) else { panic!("expand: {from} x {to}: only sizes of 1 stretch") };
        self.with_layout(layout).tracked(
            || Op::new("expand").with("shape", to),
            &[self],
            move |dy, _| vec![Some(dy.sum_to(from))],
        )
    }

    /// `len` indices of a dimension from `start` on, as a view.
    ///
    /// # Panics
    /// If they do not lie inside.
    #[doc(alias("slice", "index", "select"))]
    #[track_caller]
    pub fn narrow(&self, dim: impl Int, start: usize, len: usize) -> Tensor {
        let dim = dim.int();
        let shape = self.shape();
        let dim = shape.dim("narrow", dim);
        let end = start.saturating_add(len);
        assert!(end <= shape[dim], "narrow: {shape}: {start}..{end} is outside dimension {dim}");
        let mut sizes = shape.to_vec();
        sizes[dim] = len;
        let mut layout = *self.layout();
        layout.offset += start * layout.strides[dim];
        layout.shape = Shape::from(sizes);
        self.with_layout(layout).tracked_part(
            || Op::new("narrow").with("dim", dim).with("start", start).with("len", len),
            self,
            (dim, start),
            move |dy, _| {
                let mut starts = vec![0; shape.rank()];
                starts[dim] = start;
                let dx = dy.boxed(&shape, &starts, 0.0);
                let again = move |ddx: &Tensor, _: &[bool]| vec![Some(ddx.narrow(dim, start, len))];
                vec![Some(dx.tracked("narrow_backward", &[dy], again))]
            },
        )
    }

    /// A new dimension of size 1 before `dim`, as a view; -1 puts it last.
    ///
    /// # Panics
    /// If `dim` is past the rank.
    #[doc(alias = "expand_dims")]
    #[track_caller]
    pub fn unsqueeze(&self, dim: impl Int) -> Tensor {
        let mut sizes = self.shape().to_vec();
        sizes.insert(new_place("unsqueeze", self.shape(), dim), 1);
        self.reshape_to(Shape::from(sizes))
    }

    /// Without a dimension where that is of size 1, as a view; a dimension of another size stays, as in PyTorch.
    ///
    /// # Panics
    /// If there is no such dimension.
    #[track_caller]
    pub fn squeeze(&self, dim: impl Int) -> Tensor {
        let dim = dim.int();
        let dim = self.shape().dim_or_scalar("squeeze", dim);
        if self.rank() == 0 || self.shape()[dim] != 1 {
            return self.clone();
        }
        let mut sizes = self.shape().to_vec();
        sizes.remove(dim);
        self.reshape_to(Shape::from(sizes))
    }

    /// The order of some dimensions reversed.
    ///
    /// # Panics
    /// If there is no such dimension, or one is named twice.
    #[doc(alias = "reverse")]
    #[track_caller]
    pub fn flip(&self, dims: &[impl Int]) -> Tensor {
        let dims = &ints(dims)[..];
        let mut places = Vec::with_capacity(dims.len());
        for &dim in dims {
            places.push(self.shape().dim_or_scalar("flip", dim));
        }
        let dims = places;
        let once = (1..dims.len()).all(|at| !dims[..at].contains(&dims[at]));
        assert!(once, "flip: {}: each of the dimensions {dims:?} may be named once", self.shape());
        if self.rank() == 0 {
            return self.clone();
        }
        let out = Tensor::empty(self.shape(), self.dtype(), self.device());
        // Steps backwards: strides wrap around in 32 bits, on the device as on the host.
        let mut source = Layout { offset: self.base(), ..*self.layout() };
        for &d in &dims {
            source.offset += source.strides[d] * source.shape[d].saturating_sub(1);
        }
        let mut params = Strided::flipped(out.layout(), &source, &dims);
        params.base[0] = source.offset as u32;
        Tensor::run(&COPY, &[self, &out], &params);
        let back: Vec<isize> = dims.iter().map(|&d| d as isize).collect();
        out.tracked(|| Op::new("flip").with("dims", &dims[..]), &[self], move |dy, _| vec![Some(dy.flip(&back))])
    }
}
