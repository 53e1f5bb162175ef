//! Elements put where indices say: `shaders/scatter.wgsl` for few indices, `order.rs` for many. What meets at one place is joined in
//! the order of the source, so that a run repeats to the bit.

use super::copy;
use super::gather::Outside;
use super::order::{Join, Lines, PART};
use super::shared::Shared;
use crate::autograd::Op;
use crate::dtype::DType;
use crate::kernel::strided::Strided;
use crate::kernel::{Access, Call, Dispatch, Kernel, Lowering, Pass, Shader, Slot, Tolerance, Variant, groups, shader};
use crate::shape::{Int, Shape};
use crate::tensor::Tensor;

const ACCESS: &[Access] = &[Access::Read, Access::Read, Access::Read, Access::Write];

static SHADER: Shader = shader!("scatter", ["lines"], ACCESS);

static SCATTER: Kernel = Kernel::new("scatter", ACCESS, definition, |d| d.cost(d.len(2) as u64))
    .host(host)
    .tolerance(Tolerance::SUMMED)
    .variants(&[
        Variant::new("sorted", |_, d| sorted(d))
            .fits(|info, d| d.params::<Lines>().fits(info))
            .suits(|_, d| d.params::<Lines>().is_long()),
        Variant::new("flat", |_, d| parts(d)),
    ]);

fn sorted(d: &Dispatch) -> Lowering {
    let (p, n) = (d.params::<Lines>(), d.len(3) as u32);
    let mut out = Lowering::default();
    let start = Pass::new(&copy::SHADER, "copy_flat", groups(n as usize, 4 * 256));
    out.passes.push(start.slots(&[Slot::Arg(0), Slot::Arg(3)]).params(&Strided::over([n], 0, [1])));
    p.joined(Join::of(p.join), [Slot::Arg(1), Slot::Arg(2), Slot::Arg(3)], &mut out);
    out
}

fn parts(d: &Dispatch) -> Lowering {
    let p: Lines = d.params();
    let pass = |first: u32| {
        let params = Lines { first, end: (first + PART).min(p.length), ..p };
        Pass::new(&SHADER, "scatter", groups(d.len(3), 256)).params(&params)
    };
    Lowering { passes: (0..p.length.max(1)).step_by(PART as usize).map(pass).collect(), ..Lowering::default() }
}

fn join(join: u32) -> fn(f32, f32) -> f32 {
    match Join::of(join) {
        Join::Set => |_, b| b,
        Join::Sum => |a, b| a + b,
        Join::Prod => |a, b| a * b,
        Join::Max => |a, b| if a.is_nan() || b.is_nan() { f32::NAN } else { a.max(b) },
        Join::Min => |a, b| if a.is_nan() || b.is_nan() { f32::NAN } else { a.min(b) },
    }
}

fn definition(call: &mut Call) {
    let p: Lines = call.params();
    let (x, index, src, y) = (call.read::<f32>(0), call.read::<i32>(1), call.read::<f32>(2), call.write::<f32>(3));
    let [size, inner, length] = [p.size, p.inner, p.length].map(|n| n as usize);
    y.copy_from_slice(&x[..y.len()]);
    let join = join(p.join);
    for (at, &value) in src.iter().enumerate().take(p.outer as usize * length * inner) {
        let (o, l, i) = (at / (inner * length), at / inner % length, at % inner);
        match usize::try_from(index[if p.each == 1 { at } else { l }]) {
            Ok(d) if d < size => {
                let to = &mut y[(o * size + d) * inner + i];
                *to = join(*to, value);
            }
            _ => (),
        }
    }
}

fn host(call: &mut Call) {
    let p: Lines = call.params();
    let (x, index, src) = (call.read::<f32>(0), call.read::<i32>(1), call.read::<f32>(2));
    let y = call.write::<f32>(3);
    let len = y.len();
    y.copy_from_slice(&x[..len]);
    match Join::of(p.join) {
        Join::Sum => p.put(index, src, y, |to, value| *to += value),
        Join::Set => p.put(index, src, y, |to, value| *to = value),
        _ => {
            let join = join(p.join);
            p.put(index, src, y, |to, value| *to = join(*to, value));
        }
    }
}

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&SCATTER];

/// What [`Tensor::scatter_reduce`] makes of all that meets at one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScatterReduction {
    /// The sum.
    Sum,
    /// The product.
    Prod,
    /// The mean.
    Mean,
    /// The largest; equal ones share the gradient.
    Amax,
    /// The smallest; equal ones share the gradient.
    Amin,
}

/// # Putting where indices say
impl Tensor {
    /// The kernel, on tensors without history whose sizes are checked.
    #[track_caller]
    fn joined_at(&self, dim: usize, index: &Tensor, src: &Tensor, join: Join) -> Tensor {
        self.joined(dim, index, src, join, 1)
    }

    /// With an index for each element (1) or for each line (0).
    #[track_caller]
    fn joined(&self, dim: usize, index: &Tensor, src: &Tensor, join: Join, each: u32) -> Tensor {
        let (dtype, other) = (self.dtype(), src.dtype());
        if matches!(join, Join::Set) && !dtype.is_float() && !other.is_float() {
            return self.set_whole(dim, index, src, each);
        }
        assert!(dtype.is_float() && other.is_float(), "scatter: expected tensors of floats, got {dtype} and {other}");
        let src = &src.cast(dtype);
        let (given, index) = (index, index.integers());
        if let Some(way) = (each == 1).then(|| Shared::of(given, dim, self.shape()[dim])).flatten() {
            let ((x, along), (src, _)) = (way.rows(&self.detach()), way.rows(&src.detach()));
            return way.restored(&x.joined(along, &way.index, &src, join, 0), self.shape());
        }
        let (x, index, src) = (self.detach().contiguous(), index.contiguous(), src.detach().contiguous());
        let shape = x.shape();
        let p = Lines { end: 0, join: join as u32, ..Lines::along(&shape, dim, src.shape()[dim], each) };
        if x.numel() == 0 || src.numel() == 0 {
            return x.copy();
        }
        let y = Tensor::empty(shape, dtype, x.device());
        Tensor::run(&SCATTER, &[&x, &index, &src, &y], &p);
        y
    }

    /// What comes back to a source from where its elements went, by an index for each of them (1) or for each line (0): 0 from
    /// nowhere.
    #[track_caller]
    fn back_from(&self, dim: usize, index: &Tensor, each: u32) -> Tensor {
        let op = if each == 1 { "gather" } else { "index_select" };
        self.picked(op, dim, index, each, Outside::Zero)
    }

    /// Whole numbers put where indices say: the kernel, which is for floats, tells which line of the source comes to each place.
    #[track_caller]
    fn set_whole(&self, dim: usize, index: &Tensor, src: &Tensor, each: u32) -> Tensor {
        let x = if self.dtype() == DType::I64 { self.integers() } else { self.detach() };
        let n = src.shape()[dim];
        assert!(n < 1 << 24, "scatter: {}: expected fewer than 16777216 lines of whole numbers, got {n}", src.shape());
        let mut along = vec![1; src.rank()];
        along[dim] = n;
        let lines =
            Tensor::arange(0, n as i32, x.device()).cast(DType::F32).reshape_to(along.into()).expand(src.shape());
        let line = Tensor::full(x.shape(), -1.0f32, x.device()).joined(dim, index, &lines, Join::Set, each);
        if n == 0 {
            return x.copy();
        }
        let found = src.detach().cast(x.dtype()).gather(dim, &line.clamp(0.0, f32::INFINITY).cast(DType::I32));
        Tensor::where_(&line.ge(0.0), &found, &x).cast(x.dtype())
    }

    /// The tensor and its source cut to the index in the other dimensions, and whether that is all of the tensor.
    #[track_caller]
    fn scattered(&self, op: &str, dim: isize, index: &Tensor, src: &Tensor) -> (usize, Tensor, Tensor) {
        let (x, i, s) = (self.shape(), index.shape(), src.shape());
        let dim = x.dim(op, dim);
        let is_index = matches!(index.dtype(), DType::I32 | DType::I64);
        assert!(is_index, "{op}: expected indices of i32 or i64, got {}", index.dtype());
        let ranks = i.rank() == x.rank() && s.rank() == x.rank();
        assert!(ranks, "{op}: {x} x {i} x {s}: expected an index and a source of {} dimensions", x.rank());
        let fits = (0..x.rank()).all(|d| i[d] <= s[d] && (d == dim || i[d] <= x[d]));
        assert!(fits, "{op}: {x} x {i} x {s}: the index is larger than what it picks");
        let cut = |t: Tensor, d: usize, n: usize| if t.size(d) == n { t } else { t.narrow(d, 0, n) };
        let src = (0..x.rank()).fold(src.clone(), |src, d| cut(src, d, i[d]));
        let part = (0..x.rank()).filter(|d| *d != dim).fold(self.clone(), |part, d| cut(part, d, i[d]));
        (dim, part, src)
    }

    /// This tensor with another one in the place of its first elements.
    #[track_caller]
    fn with_first(&self, part: Tensor) -> Tensor {
        if part.shape() == self.shape() {
            return part;
        }
        let ranges = part.shape().iter().map(|&n| super::index::Subscript::index(0..n)).collect::<Vec<_>>();
        self.index_put(ranges, &part)
    }

    /// The elements of `src` put along a dimension where `index` says: `out[index[i, j], j] = src[i, j]` for the first of
    /// two dimensions; the others are those of this tensor. Of several for one place the last counts, and an index outside
    /// puts nothing. The index may be smaller than the source. Both are floats, or both whole numbers: of i64 the result is i32.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::cpu();
    /// let (x, src) = (Tensor::zeros([4], &device), Tensor::from_slice(&[1.0f32, 2.0], [2], &device));
    /// let index = Tensor::from_slice(&[3, 0], [2], &device);
    /// assert_eq!(x.scatter(0, &index, &src).to_vec::<f32>()?, [2.0, 0.0, 0.0, 1.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// If the ranks differ, the index is larger than the source, or, in another dimension, than this tensor, or is not i32.
    #[track_caller]
    pub fn scatter(&self, dim: impl Int, index: &Tensor, src: &Tensor) -> Tensor {
        if let Some([x, index, src]) = vectors(self, index, src) {
            return x.scatter(dim, &index, &src).reshape(());
        }
        let (dim, part, src) = self.scattered("scatter", dim.int(), index, src);
        let y = part.joined_at(dim, index, &src, Join::Set);
        let (saved, shape) = (index.saved(), src.shape());
        let y = y.tracked(
            || Op::new("scatter").with("dim", dim),
            &[&part, &src],
            move |dy, needs| {
                let kept = || dy.scatter(dim, &saved, &Tensor::zeros(shape, dy.device()));
                vec![needs[0].then(kept), needs[1].then(|| dy.back_from(dim, &saved, 1))]
            },
        );
        self.with_first(y)
    }

    /// [`Tensor::scatter`] of one number.
    ///
    /// # Panics
    /// As [`Tensor::scatter`].
    #[track_caller]
    pub fn scatter_value(&self, dim: impl Int, index: &Tensor, value: f32) -> Tensor {
        self.scatter(dim, index, &self.new_full(index.shape(), value))
    }

    /// The elements of `src` added along a dimension where `index` says, in order: `out[index[i, j], j] += src[i, j]` for the
    /// first of two dimensions. An index outside adds nothing.
    ///
    /// # Panics
    /// As [`Tensor::scatter`].
    #[track_caller]
    pub fn scatter_add(&self, dim: impl Int, index: &Tensor, src: &Tensor) -> Tensor {
        if let Some([x, index, src]) = vectors(self, index, src) {
            return x.scatter_add(dim, &index, &src).reshape(());
        }
        let (dim, part, src) = self.scattered("scatter_add", dim.int(), index, src);
        let y = part.joined_at(dim, index, &src, Join::Sum);
        let saved = index.saved();
        let y = y.tracked(
            || Op::new("scatter_add").with("dim", dim),
            &[&part, &src],
            move |dy, needs| vec![needs[0].then(|| dy.clone()), needs[1].then(|| dy.back_from(dim, &saved, 1))],
        );
        self.with_first(y)
    }

    /// What meets at one place along a dimension, joined: PyTorch's `scatter_reduce`. Without `include_self` what was there
    /// counts only where nothing is put.
    ///
    /// # Panics
    /// As [`Tensor::scatter`].
    #[track_caller]
    pub fn scatter_reduce(
        &self,
        dim: impl Int,
        index: &Tensor,
        src: &Tensor,
        reduction: ScatterReduction,
        include_self: bool,
    ) -> Tensor {
        if let Some([x, index, src]) = vectors(self, index, src) {
            return x.scatter_reduce(dim, &index, &src, reduction, include_self).reshape(());
        }
        let (dim, part, src) = self.scattered("scatter_reduce", dim.int(), index, src);
        // How many meet at each place.
        let counts = || {
            let ones = Tensor::ones(src.shape(), self.device());
            Tensor::zeros(part.shape(), self.device()).joined_at(dim, index, &ones, Join::Sum)
        };
        let asked = !include_self || reduction == ScatterReduction::Mean;
        let counts = asked.then(counts);
        let neutral = match reduction {
            ScatterReduction::Sum | ScatterReduction::Mean => 0.0,
            ScatterReduction::Prod => 1.0,
            ScatterReduction::Amax => f32::NEG_INFINITY,
            ScatterReduction::Amin => f32::INFINITY,
        };
        let first = match &counts {
            Some(counts) if !include_self => part.masked_fill(counts, neutral),
            _ => part.clone(),
        };
        let y = match reduction {
            ScatterReduction::Sum => first.scatter_add(dim, index, &src),
            ScatterReduction::Mean => {
                let counts = counts.expect("a mean asks for them");
                let own = if include_self { counts + 1.0 } else { counts.clamp(1.0, f32::INFINITY) };
                first.scatter_add(dim, index, &src).div(&own.cast(first.dtype()))
            }
            ScatterReduction::Prod => first.multiplied_at(dim, index, &src),
            ScatterReduction::Amax => first.extreme_at(dim, index, &src, Join::Max),
            ScatterReduction::Amin => first.extreme_at(dim, index, &src, Join::Min),
        };
        self.with_first(y)
    }

    #[track_caller]
    fn extreme_at(&self, dim: usize, index: &Tensor, src: &Tensor, join: Join) -> Tensor {
        let y = self.joined_at(dim, index, src, join);
        let (x, src_saved, best, saved) = (self.saved(), src.saved(), y.saved(), index.saved());
        y.tracked(
            || Op::new("scatter_extreme").with("dim", dim),
            &[self, src],
            move |dy, needs| {
                let own = x.eq(&best);
                let theirs = src_saved.eq(best.gather(dim, &saved));
                let share = dy.div(&own.joined_at(dim, &saved, &theirs, Join::Sum));
                let zero = Tensor::zeros([], dy.device());
                vec![
                    needs[0].then(|| Tensor::where_(&own, &share, &zero)),
                    needs[1].then(|| Tensor::where_(&theirs, &share.back_from(dim, &saved, 1), &zero)),
                ]
            },
        )
    }

    #[track_caller]
    fn multiplied_at(&self, dim: usize, index: &Tensor, src: &Tensor) -> Tensor {
        let y = self.joined_at(dim, index, src, Join::Prod);
        let (x, src_saved, saved) = (self.saved(), src.saved(), index.saved());
        y.tracked(
            || Op::new("scatter_prod").with("dim", dim),
            &[self, src],
            move |dy, needs| {
                // The product of the others: where one factor is 0, that of all but this one.
                let (own, theirs) = (x.eq(0), src_saved.eq(0));
                let zeros = own.joined_at(dim, &saved, &theirs, Join::Sum);
                let (a, b) = (x.masked_fill(&own, 1.0), src_saved.masked_fill(&theirs, 1.0));
                let rest = dy.mul(&a.multiplied_at(dim, &saved, &b));
                let part = |zeros: &Tensor, is_zero: &Tensor, factor: &Tensor, rest: &Tensor| {
                    rest.div(factor).mul(&zeros.sub(is_zero).eq(0))
                };
                let of_src = || part(&zeros.back_from(dim, &saved, 1), &theirs, &b, &rest.back_from(dim, &saved, 1));
                vec![needs[0].then(|| part(&zeros, &own, &a, &rest)), needs[1].then(of_src)]
            },
        )
    }

    #[track_caller]
    fn at_lines(&self, op: &str, dim: isize, index: &Tensor, src: &Tensor) -> usize {
        let (x, i, s) = (self.shape(), index.shape(), src.shape());
        let dim = x.dim(op, dim);
        let is_index = matches!(index.dtype(), DType::I32 | DType::I64);
        assert!(is_index, "{op}: expected indices of i32 or i64, got {}", index.dtype());
        let fits = s.rank() == x.rank() && i.rank() == 1 && s[dim] == i[0];
        let fits = fits && (0..x.rank()).all(|d| d == dim || s[d] == x[d]);
        assert!(fits, "{op}: {x} x {i} x {s}: expected a vector with an index for each line of the source along {dim}");
        dim
    }

    /// The lines of `src` added along a dimension where a vector of indices says: `out[index[i]] += src[i]`. An index outside
    /// adds nothing.
    ///
    /// # Panics
    /// If the index is no vector of i32 with an index for each line, or other sizes differ.
    #[track_caller]
    pub fn index_add(&self, dim: impl Int, index: &Tensor, src: &Tensor) -> Tensor {
        if let Some([x, index, src]) = vectors(self, index, src) {
            return x.index_add(dim, &index, &src).reshape(());
        }
        let dim = self.at_lines("index_add", dim.int(), index, src);
        let y = self.joined(dim, index, src, Join::Sum, 0);
        let saved = index.saved();
        y.tracked(
            || Op::new("index_add").with("dim", dim).with("index", index),
            &[self, src],
            move |dy, needs| vec![needs[0].then(|| dy.clone()), needs[1].then(|| dy.back_from(dim, &saved, 0))],
        )
    }

    /// The lines of `src` put along a dimension where a vector of indices says: `out[index[i]] = src[i]`. Of several for one
    /// place the last counts, and an index outside puts nothing.
    ///
    /// # Panics
    /// As [`Tensor::index_add`].
    #[track_caller]
    pub fn index_copy(&self, dim: impl Int, index: &Tensor, src: &Tensor) -> Tensor {
        if let Some([x, index, src]) = vectors(self, index, src) {
            return x.index_copy(dim, &index, &src).reshape(());
        }
        let dim = self.at_lines("index_copy", dim.int(), index, src);
        let y = self.joined(dim, index, src, Join::Set, 0);
        let (saved, shape) = (index.saved(), src.shape());
        y.tracked(
            || Op::new("index_copy").with("dim", dim).with("index", index),
            &[self, src],
            move |dy, needs| {
                let zeros = Tensor::zeros(shape, dy.device());
                let kept = || dy.index_copy(dim, &saved, &zeros);
                vec![needs[0].then(kept), needs[1].then(|| dy.back_from(dim, &saved, 0))]
            },
        )
    }

    /// A number put along a dimension where a vector of indices says.
    ///
    /// # Panics
    /// If there is no such dimension, or the index is no vector of i32.
    #[track_caller]
    pub fn index_fill(&self, dim: impl Int, index: &Tensor, value: f32) -> Tensor {
        let dim = self.shape().dim_or_scalar("index_fill", dim.int());
        if self.rank() == 0 {
            return self.index_copy(0, index, &self.new_full(index.shape(), value));
        }
        let mut sizes = self.shape().to_vec();
        sizes[dim] = index.numel();
        self.index_copy(dim, index, &self.new_full(Shape::from(sizes), value))
    }
}

/// Scalars as vectors of one element.
#[track_caller]
fn vectors(x: &Tensor, index: &Tensor, src: &Tensor) -> Option<[Tensor; 3]> {
    let fits = x.rank() == 0 && index.rank() <= 1 && src.rank() <= 1;
    fits.then(|| [x, index, src].map(|t| t.reshape_to(Shape::from([t.numel()]))))
}
