//! Parts of a tensor by numbers, ranges and tensors of indices, as PyTorch's `x[..]` has them.
//!
//! | PyTorch | here |
//! |---|---|
//! | `x[0]`, `x[-1]` | `x.i(0)`, `x.i(-1)` |
//! | `x[1:3]`, `x[:-1]`, `x[::2]` | `x.i(1..3)`, `x.i(..-1)`, `x.i(step(.., 2))` |
//! | `x[:, 0]`, `x[..., 0]` | `x.i((.., 0))`, `x.i((Rest, 0))` |
//! | `x[:, None]` | `x.i((.., NewAxis))` |
//! | `x[rows]`, `x[rows, columns]` | `x.i(&rows)`, `x.i((&rows, &columns))` |
//! | `x[:, 1:3] = y` | `x.index_put((.., 1..3), &y)`, or in place `x.i((.., 1..3)).assign(&y)` |
//! | `x[rows] += y`, each row as often as it is named | `x.index_put_add(&rows, &y)` |
//! | `x[mask]` | `x.masked_select(&mask)?` |
//! | `x[mask] = 0` | `x.masked_fill(&mask, 0.0)` |
//!
//! Numbers and ranges give views; tensors of indices (i32) give copies. All have gradients.

use crate::autograd::{Op, is_differentiated};
use crate::dtype::DType;
use crate::shape::{Layout, Shape};
use crate::tensor::Tensor;
use std::ops::{Range, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive};
use std::sync::Arc;

/// What is taken along a dimension; made of numbers, ranges and tensors by [`Subscript`].
#[derive(Debug, Clone)]
pub enum Index {
    /// One index, without its dimension; negative ones count from the end.
    At(isize),
    /// Every `step`-th index from `start` up to `end`, which is left out; where they are past the ends, up to these.
    Range {
        /// The first; negative ones count from the end.
        start: isize,
        /// The one past the last; negative ones count from the end, and without it there is no end.
        end: Option<isize>,
        /// The distance.
        step: usize,
    },
    /// The indices in a tensor of i32, whose dimensions take the place of the one. An index outside gives NaN.
    Tensor(Tensor),
    /// A new dimension of size 1.
    NewAxis,
    /// All dimensions that the others leave.
    Rest,
}

/// A new dimension of size 1: PyTorch's `None` in an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewAxis;

/// All dimensions that the others leave: PyTorch's `...` in an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rest;

/// What can stand for a dimension in [`Tensor::i`].
pub trait Subscript {
    /// What is taken.
    fn index(self) -> Index;
}

/// What can stand in [`Tensor::i`]: a subscript, a tuple of them, or a list.
pub trait Subscripts {
    /// What is taken along each dimension.
    fn indices(self) -> Vec<Index>;
}

impl<S: Subscript> Subscripts for S {
    fn indices(self) -> Vec<Index> {
        vec![self.index()]
    }
}

impl Subscripts for Vec<Index> {
    fn indices(self) -> Vec<Index> {
        self
    }
}

impl Subscripts for &[Index] {
    fn indices(self) -> Vec<Index> {
        self.to_vec()
    }
}

macro_rules! tuples {
    ($(($($name:ident $at:tt),*))*) => {$(
        impl<$($name: Subscript),*> Subscripts for ($($name,)*) {
            fn indices(self) -> Vec<Index> {
                vec![$(self.$at.index()),*]
            }
        }
    )*};
}

tuples! {
    (A 0)
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
    (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, F 5)
}

fn range(start: isize, end: Option<isize>) -> Index {
    Index::Range { start, end, step: 1 }
}

/// The one past an index that is included: past the last there is none.
fn past(last: isize) -> Option<isize> {
    if last == -1 { None } else { Some(last + 1) }
}

macro_rules! numbers {
    ($($int:ty),*) => {$(
        impl Subscript for $int {
            fn index(self) -> Index {
                Index::At(self as isize)
            }
        }
        impl Subscript for Range<$int> {
            fn index(self) -> Index {
                range(self.start as isize, Some(self.end as isize))
            }
        }
        impl Subscript for RangeInclusive<$int> {
            fn index(self) -> Index {
                range(*self.start() as isize, past(*self.end() as isize))
            }
        }
        impl Subscript for RangeFrom<$int> {
            fn index(self) -> Index {
                range(self.start as isize, None)
            }
        }
        impl Subscript for RangeTo<$int> {
            fn index(self) -> Index {
                range(0, Some(self.end as isize))
            }
        }
        impl Subscript for RangeToInclusive<$int> {
            fn index(self) -> Index {
                range(0, past(self.end as isize))
            }
        }
    )*};
}

numbers!(isize, usize, i32, u32);

impl Subscript for RangeFull {
    fn index(self) -> Index {
        range(0, None)
    }
}

impl Subscript for &Tensor {
    fn index(self) -> Index {
        Index::Tensor(self.clone())
    }
}

impl Subscript for Tensor {
    fn index(self) -> Index {
        Index::Tensor(self)
    }
}

impl Subscript for NewAxis {
    fn index(self) -> Index {
        Index::NewAxis
    }
}

impl Subscript for Rest {
    fn index(self) -> Index {
        Index::Rest
    }
}

impl Subscript for Index {
    fn index(self) -> Index {
        self
    }
}

/// Every so many indices of a range: PyTorch's `1:9:2` is `step(1..9, 2)`.
///
/// # Panics
/// If the number is 0, or it is no range.
#[track_caller]
pub fn step(range: impl Subscript, by: usize) -> Index {
    assert!(by > 0, "step: a step of 0 never ends");
    match range.index() {
        Index::Range { start, end, step } => Index::Range { start, end, step: step * by },
        other => panic!("step: {other:?} is no range"),
    }
}

/// A dimension of a view: where it lies in the source (none is new), its first index, its distance and its size.
#[derive(Clone, Copy)]
struct Walk {
    from: Option<usize>,
    step: usize,
    size: usize,
}

/// What numbers and ranges make of a tensor, and the tensors of indices with the dimensions of the view that they pick from.
struct Taken {
    /// The first index along each dimension of the source.
    starts: Vec<usize>,
    walks: Vec<Walk>,
    picks: Vec<(usize, Tensor)>,
}

impl Taken {
    #[track_caller]
    fn new(op: &str, shape: Shape, all: Vec<Index>) -> Taken {
        let takes = |index: &&Index| matches!(index, Index::At(_) | Index::Range { .. } | Index::Tensor(_));
        let named = all.iter().filter(takes).count();
        assert!(named <= shape.rank(), "{op}: {shape}: expected at most {} subscripts, got {named}", shape.rank());
        let rests = all.iter().filter(|index| matches!(index, Index::Rest)).count();
        assert!(rests <= 1, "{op}: {shape}: `Rest` can stand in one place only");
        let mut out = Taken { starts: vec![0; shape.rank()], walks: Vec::new(), picks: Vec::new() };
        let mut dim = 0;
        let ends = (rests == 0).then_some(Index::Rest);
        for index in all.into_iter().chain(ends) {
            match index {
                Index::NewAxis => out.walks.push(Walk { from: None, step: 0, size: 1 }),
                Index::Rest => {
                    let left = shape.rank() - named;
                    out.walks.extend((dim..dim + left).map(|d| Walk { from: Some(d), step: 1, size: shape[d] }));
                    dim += left;
                }
                Index::At(at) => {
                    let n = shape[dim] as isize;
                    assert!((-n..n).contains(&at), "{op}: {shape}: dimension {dim} has no index {at}");
                    out.starts[dim] = at.rem_euclid(n) as usize;
                    dim += 1;
                }
                Index::Range { start, end, step } => {
                    let n = shape[dim] as isize;
                    let inside = |at: isize| (if at < 0 { at + n } else { at }).clamp(0, n) as usize;
                    let (first, end) = (inside(start), end.map_or(n as usize, inside));
                    let size = end.saturating_sub(first).div_ceil(step);
                    // A start past the last element would lie outside of the memory.
                    out.starts[dim] = if size == 0 { 0 } else { first };
                    out.walks.push(Walk { from: Some(dim), step, size });
                    dim += 1;
                }
                Index::Tensor(tensor) => {
                    assert!(
                        matches!(tensor.dtype(), DType::I32 | DType::I64),
                        "{op}: expected indices of i32 or i64, got {}: a mask has masked_select, masked_fill and where_",
                        tensor.dtype()
                    );
                    out.picks.push((out.walks.len(), tensor.integers()));
                    out.walks.push(Walk { from: Some(dim), step: 1, size: shape[dim] });
                    dim += 1;
                }
            }
        }
        out
    }

    /// The view of a tensor that lies so.
    fn of(&self, layout: &Layout) -> Layout {
        let shape = Shape::from(self.walks.iter().map(|walk| walk.size).collect::<Vec<_>>());
        let mut out = Layout { shape, ..*layout };
        let starts = self.starts.iter().zip(layout.strides()).map(|(start, stride)| start * stride);
        out.offset += starts.sum::<usize>();
        for (to, walk) in out.strides.iter_mut().zip(&self.walks) {
            *to = walk.from.map_or(0, |from| walk.step * layout.strides[from]);
        }
        out
    }
}

/// The tensors of indices as one vector of indices into the dimensions that they pick from, as if these were one; where its
/// dimensions come, the order of the dimensions with those together, and the shape of the indices.
struct Picked {
    index: Tensor,
    place: usize,
    order: Vec<usize>,
    shape: Shape,
}

impl Picked {
    #[track_caller]
    fn new(op: &str, shape: Shape, picks: &[(usize, Tensor)]) -> Picked {
        let mut wide = picks[0].1.shape();
        for (_, index) in &picks[1..] {
            let Some(both) = wide.broadcast(&index.shape()) else {
                panic!("{op}: {wide} x {}: the shapes of the indices do not broadcast", index.shape())
            };
            wide = both;
        }
        let dims: Vec<usize> = picks.iter().map(|(dim, _)| *dim).collect();
        let together = dims.windows(2).all(|pair| pair[1] == pair[0] + 1);
        let place = if together { dims[0] } else { 0 };
        let mut order: Vec<usize> = (0..shape.rank()).filter(|dim| !dims.contains(dim)).collect();
        order.splice(place..place, dims.iter().copied());
        let mut all: Option<(Tensor, Tensor)> = None;
        for (dim, index) in picks {
            let size = shape[*dim] as i32;
            let index = index.detach();
            let from_start = index.add(&(index.lt(0).cast(DType::I32) * size));
            all = Some(match all {
                None => (from_start, Tensor::scalar(1i32, index.device())),
                Some((sum, valid)) => {
                    let is_in = |t: &Tensor| t.ge(0).mul(&t.lt(size)).cast(DType::I32);
                    ((sum * size).add(&from_start), valid.mul(&is_in(&from_start)))
                }
            });
        }
        let first = shape[dims[0]] as i32;
        let rest: i32 = dims[1..].iter().map(|dim| shape[*dim] as i32).product();
        let index = match (all, dims.len()) {
            (Some((index, _)), 1) => index,
            (Some((index, valid)), _) => {
                // Outside of one dimension is outside of all, which no sum tells.
                let valid = valid.mul(&index.ge(0).mul(&index.lt(first * rest)).cast(DType::I32));
                index.mul(&valid).add(&(valid - 1))
            }
            (None, _) => picks[0].1.clone(),
        };
        let index = index.expand(wide).reshape([-1]);
        Picked { index, place, order, shape: wide }
    }

    /// With the dimensions that are picked from as one.
    #[track_caller]
    fn joined(&self, x: &Tensor, count: usize) -> Tensor {
        let x = x.permute(&self.order);
        let picked: usize = x.shape()[self.place..self.place + count].iter().product();
        let mut sizes = x.shape().to_vec();
        sizes.splice(self.place..self.place + count, [picked]);
        x.reshape_to(Shape::from(sizes))
    }

    /// The shape with the dimensions of the indices where one was.
    fn spread(&self, shape: Shape) -> Shape {
        let mut sizes = shape.to_vec();
        sizes.splice(self.place..=self.place, self.shape.iter().copied());
        Shape::from(sizes)
    }
}

/// # Parts by indices
impl Tensor {
    /// Parts of the tensor, as [this table](crate::ops::index) has them: a view by numbers and ranges, a copy by tensors of
    /// indices.
    ///
    /// ```
    /// use wgrad::ops::index::{NewAxis, Rest, step};
    /// use wgrad::{Device, Tensor};
    /// let device = Device::cpu();
    /// let x = Tensor::arange(0, 12, &device).reshape([3, 4]);
    /// assert_eq!(x.i((1, -1)).to_vec::<i32>()?, [7]);
    /// assert_eq!(x.i((.., 1..3)).to_vec::<i32>()?, [1, 2, 5, 6, 9, 10]);
    /// assert_eq!(x.i((Rest, step(.., 3))).to_vec::<i32>()?, [0, 3, 4, 7, 8, 11]);
    /// assert_eq!(*x.i((0, NewAxis)).shape(), [1, 4]);
    /// let rows = Tensor::from_slice(&[2, 0, -1], [3], &device);
    /// assert_eq!(x.i((&rows, 0)).to_vec::<i32>()?, [8, 0, 8]);
    /// assert_eq!(x.i((&rows, &rows)).to_vec::<i32>()?, [10, 0, 11]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// If there are more subscripts than dimensions, a number is outside, or a tensor is not of i32.
    #[track_caller]
    pub fn i(&self, at: impl Subscripts) -> Tensor {
        let taken = Taken::new("i", self.shape(), at.indices());
        let view = self.viewed(&taken);
        if taken.picks.is_empty() {
            return view;
        }
        let picked = Picked::new("i", view.shape(), &taken.picks);
        let y = picked.joined(&view, taken.picks.len()).index_select(picked.place, &picked.index);
        y.reshape_to(picked.spread(y.shape()))
    }

    /// Another tensor, with values in the place of parts of this one: `y = x.clone(); y[at] = values`. They broadcast to
    /// what [`Tensor::i`] gives there; of a place that is named twice the last counts. The gradient goes to both, but in the
    /// values of such a place to all of them, as in PyTorch.
    ///
    /// # Panics
    /// As [`Tensor::i`], and if the values do not broadcast.
    #[track_caller]
    pub fn index_put(&self, at: impl Subscripts, values: &Tensor) -> Tensor {
        self.put("index_put", at.indices(), values, false)
    }

    /// Another tensor, with values added to parts of this one, as often as they are named: PyTorch's `index_put` with
    /// `accumulate`.
    ///
    /// # Panics
    /// As [`Tensor::i`], and if the values do not broadcast.
    #[track_caller]
    pub fn index_put_add(&self, at: impl Subscripts, values: &Tensor) -> Tensor {
        self.put("index_put_add", at.indices(), values, true)
    }

    #[track_caller]
    fn put(&self, op: &str, at: Vec<Index>, values: &Tensor, add: bool) -> Tensor {
        let taken = Taken::new(op, self.shape(), at);
        let view = self.viewed(&taken);
        let part = if taken.picks.is_empty() {
            let wide = values.spread_to(op, view.shape());
            if add { view.add(&wide) } else { wide }
        } else {
            let count = taken.picks.len();
            let picked = Picked::new(op, view.shape(), &taken.picks);
            let joined = picked.joined(&view, count);
            let mut sizes = joined.shape().to_vec();
            sizes[picked.place] = picked.index.numel();
            let lines = Shape::from(sizes);
            let values = values.spread_to(op, picked.spread(lines)).reshape_to(lines);
            let put = match add {
                true => joined.index_add(picked.place, &picked.index, &values),
                false => joined.index_copy(picked.place, &picked.index, &values),
            };
            let mut back = vec![0; picked.order.len()];
            picked.order.iter().enumerate().for_each(|(to, &from)| back[from] = to);
            put.reshape_to(view.permute(&picked.order).shape()).permute(&back)
        };
        self.with_part(taken, &part)
    }

    #[track_caller]
    fn spread_to(&self, op: &str, shape: Shape) -> Tensor {
        let fits = self.shape().broadcast(&shape) == Some(shape);
        assert!(
            fits,
            "{op}: values of {} do not broadcast to the {shape} that they are to take the place of",
            self.shape()
        );
        self.expand(shape)
    }

    /// What numbers and ranges take.
    #[track_caller]
    fn viewed(&self, taken: &Taken) -> Tensor {
        let shape = self.shape();
        let (starts, walks) = (taken.starts.clone(), taken.walks.clone());
        let taken = Arc::new(Taken { starts, walks, picks: Vec::new() });
        let told = taken.clone();
        let op = move || {
            let plain = told.of(&Layout::contiguous(shape));
            let strides = &plain.strides[..plain.shape.rank()];
            Op::new("index").with("shape", plain.shape).with("strides", strides).with("offset", plain.offset)
        };
        self.with_layout(taken.of(self.layout())).tracked(op, &[self], move |dy, _| {
            let dx = dy.new_zeros(shape);
            dx.with_layout(taken.of(dx.layout())).overwrite(dy);
            let taken = taken.clone();
            let again = move |ddx: &Tensor, _: &[bool]| vec![Some(ddx.viewed(&taken))];
            vec![Some(dx.tracked("index_backward", &[dy], again))]
        })
    }

    /// What numbers and ranges take, as a trace tells it: of a tensor without gaps.
    #[track_caller]
    pub(crate) fn viewed_as(&self, taken: Layout) -> Tensor {
        let (x, shape) = (self.contiguous(), self.shape());
        let place = x.with_layout(Layout { offset: x.layout().offset + taken.offset, ..taken });
        let strides = &taken.strides[..taken.shape.rank()];
        let op = || Op::new("index").with("shape", taken.shape).with("strides", strides).with("offset", taken.offset);
        place.tracked(op, &[&x], move |dy, _| {
            let dx = dy.new_zeros(shape);
            dx.with_layout(taken).overwrite(dy);
            vec![Some(dx)]
        })
    }

    /// A copy with other elements in the place of what numbers and ranges take.
    #[track_caller]
    fn with_part(&self, taken: Taken, part: &Tensor) -> Tensor {
        let (y, taken) = (self.detach().copy(), Arc::new(taken));
        y.with_layout(taken.of(y.layout())).assign(&part.detach().cast(y.dtype()));
        y.tracked("index_put", &[self, part], move |dy, needs| {
            let moved = || if is_differentiated() { dy.viewed(&taken) } else { dy.with_layout(taken.of(dy.layout())) };
            vec![needs[0].then(|| dy.without(&taken)), needs[1].then(moved)]
        })
    }

    /// 0 in the place of what numbers and ranges take; so is its gradient.
    fn without(&self, taken: &Arc<Taken>) -> Tensor {
        let (y, taken) = (self.detach().copy(), taken.clone());
        let place = y.with_layout(taken.of(y.layout()));
        place.assign(&place.zeros_like());
        y.tracked("index_put_backward", &[self], move |dy, _| vec![Some(dy.without(&taken))])
    }
}
