//! Sums, extremes and their indices over any dimensions: `shaders/reduce.wgsl`, `shaders/reduce_quads.wgsl`,
//! `shaders/argmax.wgsl`.

mod host;
pub mod integers;
mod statistics;

use crate::autograd::Op;
use crate::dtype::DType;
use crate::kernel::functions::total;
use crate::kernel::{
    Access, Call, Class, Constant, Dispatch, Info, Kernel, Lowering, Pass, Shader, Slot, Tolerance, Uniform, Variant,
    groups, parallel, shader,
};
use crate::shape::{Int, Layout, MAX_RANK, Shape, collapse, ints};
use crate::tensor::Tensor;
use bytemuck::{Pod, Zeroable};

/// Whether a reduced dimension stays, with size 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeepDims {
    /// It stays: the result broadcasts against what was reduced.
    Yes,
    /// It goes.
    No,
}

static SHADER: Shader = shader!("reduce", ["halves", "reduce"], &[Access::Read, Access::Write]);

static QUADS: Shader = shader!("reduce_quads", ["halves", "reduce"], &[Access::Read, Access::Write]);

static ARGMAX_SHADER: Shader = shader!("argmax", ["reduce"], &[Access::Read, Access::Read, Access::Write]);

#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Uniform)]
pub(crate) struct ReduceParams {
    n: u32,
    count: u32,
    chunk: u32,
    chunks: u32,
    base: u32,
    kept_rank: u32,
    reduced_rank: u32,
    scale: f32,
    /// Kept size, kept stride, reduced size, reduced stride.
    dims: [[u32; 4]; MAX_RANK],
}

impl ReduceParams {
    fn new(x: &Tensor, reduced: &[bool; MAX_RANK], scale: f32) -> ReduceParams {
        let layout = x.layout();
        let side = |take: bool| {
            let dims: Vec<usize> = (0..x.rank()).filter(|&d| reduced[d] == take).collect();
            let part = layout.permute(&dims);
            collapse::<1>(&part.shape[..dims.len()], [&part.strides[..dims.len()]])
        };
        let (kept, dropped) = (side(false), side(true));
        let product = |dims: &[(usize, [usize; 1])]| dims.iter().map(|d| d.0).product::<usize>() as u32;
        let mut p = ReduceParams {
            n: product(&kept),
            count: product(&dropped),
            chunk: 0,
            chunks: 1,
            base: x.base() as u32,
            kept_rank: kept.len() as u32,
            reduced_rank: dropped.len() as u32,
            scale,
            dims: [[1, 0, 1, 0]; MAX_RANK],
        };
        p.chunk = p.count;
        for (to, (size, [stride])) in p.dims.iter_mut().zip(kept) {
            to[..2].copy_from_slice(&[size as u32, stride as u32]);
        }
        for (to, (size, [stride])) in p.dims.iter_mut().zip(dropped) {
            to[2..].copy_from_slice(&[size as u32, stride as u32]);
        }
        p
    }

    /// The second stage over `chunks` results for each of `n` outputs, laid out [chunks, n].
    pub(crate) fn stage(n: u32, chunks: u32, scale: f32) -> ReduceParams {
        let mut dims = [[1, 0, 1, 0]; MAX_RANK];
        // A single output has no next one to step to.
        dims[0] = [n, u32::from(n > 1), chunks, n];
        ReduceParams { n, count: chunks, chunk: chunks, chunks: 1, base: 0, kept_rank: 1, reduced_rank: 1, scale, dims }
    }

    /// Offsets of the kept side's starts, then of the reduced side's elements, in order.
    fn walk(&self, side: usize, rank: u32) -> Vec<usize> {
        let mut offsets = vec![0];
        for dim in &self.dims[..rank as usize] {
            let (size, stride) = (dim[side] as usize, dim[side + 1] as usize);
            offsets = offsets.iter().flat_map(|&at| (0..size).map(move |i| at + i * stride)).collect();
        }
        offsets
    }
}

/// Elements of which none are taken twice.
const MANY: usize = 1 << 26;

/// Elements of one invocation's loop, and of one workgroup's.
const THREAD_CHUNK: u32 = 1024;
const TREE_CHUNK: u32 = 16 * 1024;

/// The function that joins elements: the shader's constant KIND.
#[derive(Clone, Copy)]
enum Kind {
    Sum = 0,
    Max = 1,
    Min = 2,
}

/// Whether one invocation or one workgroup takes a chunk; by whole vec4 of reduced elements, or of outputs.
#[derive(Clone, Copy, PartialEq)]
enum By {
    Threads,
    Tree,
    Rows,
    EachRow,
    Columns,
}

impl By {
    /// The way that suits the adapter, among those that fit.
    fn suiting(info: &Info, p: &ReduceParams) -> By {
        let all = [By::Columns, By::Rows, By::EachRow, By::Tree];
        all.into_iter().find(|by| by.fits(info, p) && by.suits(info, p)).unwrap_or(By::Threads)
    }

    fn fits(self, info: &Info, p: &ReduceParams) -> bool {
        let quads = |words: &[u32]| words.iter().all(|w| w.is_multiple_of(4));
        let (kept, reduced) = (&p.dims[..p.kept_rank as usize], &p.dims[..p.reduced_rank as usize]);
        let kept_steps = |dims: &[[u32; 4]]| dims.iter().all(|dim| dim[1].is_multiple_of(4));
        let reduced_steps = |dims: &[[u32; 4]]| dims.iter().all(|dim| dim[3].is_multiple_of(4));
        let has_threads = info.max_threads >= 256;
        match self {
            By::Threads => true,
            By::Tree => has_threads && p.count > 0,
            By::Rows | By::EachRow => {
                let Some(([_, _, size, step], outer)) = reduced.split_last() else { return false };
                let fits = *step == 1 && quads(&[*size, p.base]) && kept_steps(kept) && reduced_steps(outer);
                has_threads && p.count > 0 && reduced.len() <= 2 && fits
            }
            By::Columns => {
                let Some(([size, step, ..], outer)) = kept.split_last() else { return false };
                let fits = *step == 1 && quads(&[*size, p.base]) && kept_steps(outer) && reduced_steps(reduced);
                p.count > 0 && reduced.len() <= 2 && fits
            }
        }
    }

    /// A barrier costs a software adapter more than the loop it saves; a GPU wants many threads at work.
    fn suits(self, info: &Info, p: &ReduceParams) -> bool {
        match self {
            By::Rows => info.class == Class::Gpu && p.count >= 256,
            By::Tree => info.class == Class::Gpu && p.count >= 256 && p.n < 4096,
            By::Threads | By::EachRow | By::Columns => true,
        }
    }

    /// The entry point, and the workgroups that so many results take.
    fn entry(self, results: usize) -> (&'static Shader, &'static str, u64) {
        match self {
            By::Threads => (&SHADER, "reduce_threads", groups(results, 256)),
            By::Tree => (&SHADER, "reduce_tree", groups(results, 1)),
            By::Rows => (&QUADS, "reduce_rows", groups(results, 1)),
            By::EachRow => (&QUADS, "reduce_each_row", groups(results, 256)),
            By::Columns => (&QUADS, "reduce_columns", groups(results, 4 * 64)),
        }
    }

    /// Elements of a chunk: with whole vec4 few enough that all chunks fill a GPU.
    fn chunk(self, p: &ReduceParams) -> u32 {
        let filling = |results: u32, wanted: u32| p.count.div_ceil((wanted / results.max(1)).max(1));
        let chunk = match self {
            By::Threads => THREAD_CHUNK,
            By::Tree => TREE_CHUNK,
            By::Rows => filling(p.n, 1024).next_multiple_of(1024).min(TREE_CHUNK),
            By::EachRow => 4 * THREAD_CHUNK,
            By::Columns => filling(p.n / 4, 16 << 10).clamp(64, THREAD_CHUNK),
        };
        chunk.min(p.count.max(1))
    }
}

/// Adds stages of one chunk each, until one result is left for every output: from `from` into `to`. The first is done as
/// `by` says.
fn stages(out: &mut Lowering, info: &Info, first: ReduceParams, kind: Kind, by: By, [from, to]: [Slot; 2]) {
    let (scale, mut p, mut source, mut by) = (first.scale, first, from, by);
    loop {
        p.chunk = by.chunk(&p);
        p.chunks = p.count.div_ceil(p.chunk).max(1);
        let last = p.chunks == 1;
        p.scale = if last { scale } else { 1.0 };
        let results = p.n as usize * p.chunks as usize;
        let target = if last { to } else { out.scratch(results as u64 * 4) };
        let (shader, entry, groups) = by.entry(results);
        let pass = Pass::new(shader, entry, groups).elements(&["X"]).slots(&[source, target]).params(&p);
        out.passes.push(pass.constant("KIND", Constant::U32(kind as u32)));
        if last {
            return;
        }
        // What one stage leaves lies [chunks, n], whatever the strides it came from.
        source = target;
        p = ReduceParams::stage(p.n, p.chunks, scale);
        by = By::suiting(info, &p);
    }
}

/// Adds the passes that add up `parts` results for each of `n` outputs, laid out [parts, n], in a fixed order.
pub(crate) fn sum_parts(out: &mut Lowering, info: &Info, [n, parts]: [usize; 2], from: Slot, to: Slot) {
    let p = ReduceParams::stage(n as u32, parts as u32, 1.0);
    stages(out, info, p, Kind::Sum, By::suiting(info, &p), [from, to]);
}

/// A variant of the kernel that joins as `$kind` says.
macro_rules! variant {
    ($name:literal, $by:expr, $kind:expr) => {
        Variant::new($name, |info, d| {
            let mut out = Lowering::default();
            stages(&mut out, info, d.params(), $kind, $by, [Slot::Arg(0), Slot::Arg(1)]);
            out
        })
        .fits(|info, d| $by.fits(info, &d.params()))
        .suits(|info, d| By::suiting(info, &d.params()) == $by)
    };
}

macro_rules! reductions {
    ($($constant:ident: $name:literal, $kind:expr, $reduce:expr, host $host:path;)*) => {
        $(static $constant: Kernel = Kernel::new($name, &[Access::Read, Access::Write], |call| definition(call, $reduce), |d| d.cost(d.len(0) as u64))
            .host(|call| if !$host(call) { definition(call, $reduce) })
            .tolerance(Tolerance::SUMMED)
            .proportional_to(&[0])
            .variants(&[
                variant!("columns", By::Columns, $kind),
                variant!("rows", By::Rows, $kind),
                variant!("each_row", By::EachRow, $kind),
                variant!("tree", By::Tree, $kind),
                variant!("threads", By::Threads, $kind),
            ]);)*
    };
}

// Each row: the result of an iterator over the elements of one output.
reductions! {
    SUM: "sum", Kind::Sum, |xs: Elements, scale| (total(xs.map(f64::from)) * f64::from(scale)) as f32, host host::sum;
    AMAX: "amax", Kind::Max, |xs: Elements, _| xs.reduce(|a, b| if b > a || b.is_nan() { b } else { a }).unwrap_or(f32::NAN), host host::amax;
    AMIN: "amin", Kind::Min, |xs: Elements, _| xs.reduce(|a, b| if b < a || b.is_nan() { b } else { a }).unwrap_or(f32::NAN), host host::amin;
}

type Elements<'a, T = f32> = std::iter::Map<std::slice::Iter<'a, usize>, &'a dyn Fn(&usize) -> T>;

fn definition<T: crate::Element>(call: &mut Call, reduce: fn(Elements<T>, f32) -> T) {
    let (p, x) = (call.params::<ReduceParams>(), call.read::<T>(0));
    let (starts, steps) = (p.walk(0, p.kept_rank), p.walk(2, p.reduced_rank));
    let steps = if p.count == 0 { Vec::new() } else { steps };
    let grain = (parallel::GRAIN / steps.len().max(1)).max(1);
    parallel::chunks(&mut call.write::<T>(1)[..p.n as usize], grain, |piece, y| {
        for (y, start) in y.iter_mut().zip(&starts[piece * grain..]) {
            let element = |step: &usize| x[p.base as usize + start + step];
            *y = reduce(steps.iter().map(&element), p.scale);
        }
    });
}

static ARGMAX: Kernel =
    Kernel::new("argmax", &[Access::Read, Access::Write], argmax_definition, |d| d.cost(d.len(0) as u64))
        .tolerance(Tolerance::EXACT)
        .host(|call| {
            if !host::argmax(call) {
                argmax_definition(call)
            }
        })
        .variants(&[
            Variant::new("columns", |_, d| argmax_stages(d, By::Columns))
                .fits(|info, d| By::Columns.fits(info, &d.params())),
            Variant::new("each_row", |_, d| argmax_stages(d, By::EachRow))
                .fits(|info, d| By::EachRow.fits(info, &d.params())),
            Variant::new("threads", |_, d| argmax_stages(d, By::Threads)),
        ]);

fn argmax_stages(d: &Dispatch, by: By) -> Lowering {
    let mut out = Lowering::default();
    let mut p: ReduceParams = d.params();
    let mut source = None;
    loop {
        let by = if source.is_none() { by } else { By::Threads };
        p.chunk = by.chunk(&p);
        p.chunks = p.count.div_ceil(p.chunk).max(1);
        let last = p.chunks == 1;
        let results = p.n as usize * p.chunks as usize;
        let target = if last { Slot::Arg(1) } else { out.scratch(results as u64 * 4) };
        // The first stage has no candidates; something has to be bound.
        let (entry, per_group, candidates) = match (source, by) {
            (Some(from), _) => ("argmax_again", 256, from),
            (None, By::Columns) => ("argmax_columns", 4 * 64, Slot::Arg(0)),
            (None, By::EachRow) => ("argmax_rows", 256, Slot::Arg(0)),
            (None, _) => ("argmax_first", 256, Slot::Arg(0)),
        };
        let slots = [Slot::Arg(0), candidates, target];
        out.passes.push(Pass::new(&ARGMAX_SHADER, entry, groups(results, per_group)).slots(&slots).params(&p));
        if last {
            return out;
        }
        source = Some(target);
        p.count = p.chunks;
    }
}

fn argmax_definition(call: &mut Call) {
    let (p, x) = (call.params::<ReduceParams>(), call.read::<f32>(0));
    let (starts, steps) = (p.walk(0, p.kept_rank), p.walk(2, p.reduced_rank));
    for (y, start) in call.write::<i32>(1).iter_mut().zip(&starts) {
        let value = |r: usize| x[p.base as usize + start + steps[r]];
        let beats = |r: usize, best: usize| value(r) > value(best) || value(r).is_nan() && !value(best).is_nan();
        *y = (1..steps.len()).fold(0, |best, r| if beats(r, best) { r } else { best }) as i32;
    }
}

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&SUM, &AMAX, &AMIN, &ARGMAX];

/// Which dimensions are reduced, the shape with them as 1, and the shape that is asked for.
#[track_caller]
fn plan(op: &str, shape: Shape, dims: &[isize], keep: KeepDims) -> ([bool; MAX_RANK], Shape, Shape) {
    let mut reduced = [false; MAX_RANK];
    for &dim in dims {
        let dim = shape.dim_or_scalar(op, dim);
        assert!(!reduced[dim], "{op}: {shape}: dimension {dim} is named twice");
        reduced[dim] = true;
    }
    let kept: Vec<usize> = shape.iter().zip(reduced).map(|(&size, gone)| if gone { 1 } else { size }).collect();
    let dropped: Vec<usize> = shape.iter().zip(reduced).filter(|(_, gone)| !gone).map(|(&size, _)| size).collect();
    let kept = Shape::from(kept);
    (reduced, kept, if keep == KeepDims::Yes { kept } else { Shape::from(dropped) })
}

fn reduction(op: &'static str, dims: &[isize], keep: KeepDims) -> Op {
    Op::new(op).with("dims", dims).with("keep", keep == KeepDims::Yes)
}

/// The part of an extreme's gradient for elements that are none, which matters where that is infinite. PyTorch has both.
enum Others {
    Nothing,
    Times0,
}

/// # Reductions
impl Tensor {
    fn dims_of_all(&self) -> Vec<isize> {
        (0..self.rank() as isize).collect()
    }

    /// Without the repeats along the dimensions that are reduced, where a kernel would meet very many, and their number.
    fn once(&self, reduced: &[bool; MAX_RANK]) -> (Tensor, usize) {
        let (layout, mut sizes, mut repeats) = (self.layout(), self.shape().to_vec(), 1);
        for (d, size) in sizes.iter_mut().enumerate() {
            if reduced[d] && layout.strides[d] == 0 && *size > 1 {
                repeats *= std::mem::replace(size, 1);
            }
        }
        if self.numel() <= MANY {
            return (self.detach(), 1);
        }
        (self.with_layout(Layout { shape: Shape::from(sizes), ..*layout }), repeats)
    }

    #[track_caller]
    fn scaled_sum(&self, op: &'static str, dims: &[isize], keep: KeepDims, scale: f32, dtype: DType) -> Tensor {
        assert!(self.dtype().is_float(), "{op}: expected a tensor of floats, got {}: cast it first", self.dtype());
        let (reduced, kept, shape) = plan(op, self.shape(), dims, keep);
        let y = Tensor::empty(shape, dtype, self.device());
        let (x, repeats) = self.once(&reduced);
        Tensor::run(&SUM, &[&x, &y], &ReduceParams::new(&x, &reduced, (f64::from(scale) * repeats as f64) as f32));
        let from = self.shape();
        y.tracked(
            || reduction(op, dims, keep),
            &[self],
            move |dy, _| {
                let dy = if scale == 1.0 { dy.clone() } else { dy.affine(scale, 0.0) };
                vec![Some(dy.reshape_to(kept).expand(from))]
            },
        )
    }

    /// The sum of all elements; of whole numbers it is i32, and wraps around, where an i64 that is none counts as the nearest.
    #[track_caller]
    pub fn sum(&self) -> Tensor {
        self.sum_dims(&self.dims_of_all(), KeepDims::No)
    }

    /// The sum over some dimensions; negative numbers count from the end. Here and in all reductions, an empty list reduces
    /// nothing and gives the elements as they are, where PyTorch reads it as all dimensions: that is [`Tensor::sum`].
    ///
    /// # Panics
    /// If there is no such dimension, or one is named twice.
    #[doc(alias = "reduce_sum")]
    #[track_caller]
    pub fn sum_dims(&self, dims: &[impl Int], keep: KeepDims) -> Tensor {
        let dims = &ints(dims)[..];
        match self.dtype().is_float() {
            true => self.sum_as(dims, keep, self.result_dtype("sum")),
            false => self.integers().sum_of_integers(dims, keep),
        }
    }

    /// The sum of floats as a tensor of this type.
    #[track_caller]
    pub(crate) fn sum_as(&self, dims: &[isize], keep: KeepDims, dtype: DType) -> Tensor {
        self.scaled_sum("sum", dims, keep, 1.0, dtype)
    }

    /// The mean of all elements.
    #[track_caller]
    pub fn mean(&self) -> Tensor {
        self.mean_dims(&self.dims_of_all(), KeepDims::No)
    }

    /// The mean over some dimensions. An empty list gives the elements as they are.
    ///
    /// # Panics
    /// If there is no such dimension, or one is named twice.
    #[doc(alias = "reduce_mean")]
    #[track_caller]
    pub fn mean_dims(&self, dims: &[impl Int], keep: KeepDims) -> Tensor {
        let dims = &ints(dims)[..];
        let scale = 1.0 / self.counted("mean", dims) as f32;
        self.scaled_sum("mean", dims, keep, scale, self.result_dtype("mean"))
    }

    #[track_caller]
    fn counted(&self, op: &str, dims: &[isize]) -> usize {
        let mut count = 1;
        for &dim in dims {
            count *= self.shape().get(self.shape().dim_or_scalar(op, dim)).copied().unwrap_or(1);
        }
        count
    }

    /// Whether there is nothing to search, which is right only where no result is due: each reduced dimension has
    /// elements.
    #[track_caller]
    fn holds_nothing(&self, op: &str, reduced: &[bool]) -> bool {
        let shape = self.shape();
        let empty = (0..shape.rank()).find(|&dim| reduced[dim] && shape[dim] == 0);
        if let Some(dim) = empty {
            panic!("{op}: {shape} has no elements along dimension {dim}, and nothing has no extreme");
        }
        self.numel() == 0
    }

    #[track_caller]
    fn extreme(&self, kernel: &'static Kernel, dims: &[isize], keep: KeepDims, others: Others) -> Tensor {
        let op = kernel.name;
        // As the user called it.
        let called = match others {
            Others::Nothing => &op[1..],
            Others::Times0 => op,
        };
        let (reduced, kept, shape) = plan(called, self.shape(), dims, keep);
        let is_empty = self.holds_nothing(called, &reduced);
        if !self.dtype().is_float() {
            return self.extreme_of_integers(dims, keep, std::ptr::eq(kernel, &AMAX));
        }
        let y = self.new_empty(shape);
        if is_empty {
            let from = self.shape();
            let zeros = move |dy: &Tensor, _: &[bool]| vec![Some(dy.new_zeros(from))];
            return y.tracked(|| reduction(op, dims, keep), &[self], zeros);
        }
        let (x, _) = self.once(&reduced);
        Tensor::run(kernel, &[&x, &y], &ReduceParams::new(&x, &reduced, 1.0));
        let (x, best, over) = (self.saved(), y.saved(), dims.to_vec());
        y.tracked(
            || reduction(op, dims, keep),
            &[self],
            move |dy, _| {
                // Equal extremes share the gradient.
                // Counted in f32, which tells their number.
                let hit = x.eq(best.reshape_to(kept)).cast(DType::F32);
                let share = dy.reshape_to(kept).div(&hit.sum_dims(&over, KeepDims::Yes));
                vec![Some(match others {
                    Others::Nothing => Tensor::where_(&hit, &share, &Tensor::zeros([], x.device())),
                    Others::Times0 => hit.mul(&share),
                })]
            },
        )
    }

    /// The largest of all elements, NaN if there is one; equal ones share the gradient. Here and in [`Tensor::min`],
    /// [`Tensor::amax`], [`Tensor::amin`], [`Tensor::sort`], [`Tensor::topk`] and what is made of them whole numbers give i32, and an
    /// i64 that is none counts as the nearest.
    #[track_caller]
    pub fn max(&self) -> Tensor {
        self.extreme(&AMAX, &self.dims_of_all(), KeepDims::No, Others::Nothing)
    }

    /// The smallest of all elements, NaN if there is one; equal ones share the gradient.
    #[track_caller]
    pub fn min(&self) -> Tensor {
        self.extreme(&AMIN, &self.dims_of_all(), KeepDims::No, Others::Nothing)
    }

    /// The largest over some dimensions; equal ones share the gradient. An empty list gives the elements as they are.
    ///
    /// # Panics
    /// If there is no such dimension, one is named twice, or one has no elements.
    #[doc(alias = "reduce_max")]
    #[track_caller]
    pub fn amax(&self, dims: &[impl Int], keep: KeepDims) -> Tensor {
        let dims = &ints(dims)[..];
        self.extreme(&AMAX, dims, keep, Others::Times0)
    }

    /// The smallest over some dimensions; equal ones share the gradient. An empty list gives the elements as they are.
    ///
    /// # Panics
    /// If there is no such dimension, one is named twice, or one has no elements.
    #[doc(alias = "reduce_min")]
    #[track_caller]
    pub fn amin(&self, dims: &[impl Int], keep: KeepDims) -> Tensor {
        let dims = &ints(dims)[..];
        self.extreme(&AMIN, dims, keep, Others::Times0)
    }

    /// The index of the largest element along a dimension, the first of equals; i32.
    ///
    /// # Panics
    /// If there is no such dimension or it has no elements.
    #[track_caller]
    pub fn argmax(&self, dim: impl Int) -> Tensor {
        let dim = dim.int();
        if !self.dtype().is_float() {
            return self.lower_of_largest(&[dim]).argmax(dim);
        }
        let (reduced, _, shape) = plan("argmax", self.shape(), &[dim], KeepDims::No);
        let y = Tensor::empty(shape, DType::I32, self.device());
        if self.holds_nothing("argmax", &reduced) {
            return y;
        }
        let (x, _) = self.once(&reduced);
        Tensor::run(&ARGMAX, &[&x, &y], &ReduceParams::new(&x, &reduced, 1.0));
        y.noted(|| Op::new("argmax").with("dim", dim), &[self])
    }
}
