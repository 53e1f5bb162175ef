//! Shapes, strides and what follows from them alone.

use std::fmt;
use std::ops::{Deref, Range};

/// The highest rank of a tensor.
pub const MAX_RANK: usize = 6;

/// A size or the number of a dimension, in any of the types that callers have: none needs a cast.
pub trait Int: Copy {
    /// The number.
    fn int(self) -> isize;
}

macro_rules! ints {
    ($($int:ty),*) => {$(
        impl Int for $int {
            fn int(self) -> isize {
                self as isize
            }
        }

        impl Sizes for $int {
            fn sizes(self) -> Vec<isize> {
                vec![self as isize]
            }
        }
    )*};
}

ints!(isize, usize, i32, u32, i64, u64);

/// Sizes of which one may be -1, to be told from the others: a number, an array, a slice or a `Vec`, or a tuple where types mix, as in
/// `(x.size(0), -1)`.
pub trait Sizes {
    /// The sizes.
    fn sizes(self) -> Vec<isize>;
}

impl<I: Int, const N: usize> Sizes for [I; N] {
    fn sizes(self) -> Vec<isize> {
        ints(&self)
    }
}

impl Sizes for Shape {
    fn sizes(self) -> Vec<isize> {
        ints(&self)
    }
}

impl<I: Int> Sizes for &[I] {
    fn sizes(self) -> Vec<isize> {
        ints(self)
    }
}

impl<I: Int> Sizes for Vec<I> {
    fn sizes(self) -> Vec<isize> {
        ints(&self)
    }
}

macro_rules! tuples {
    ($(($($name:ident $at:tt),*))*) => {$(
        impl<$($name: Int),*> Sizes for ($($name,)*) {
            fn sizes(self) -> Vec<isize> {
                vec![$(self.$at.int()),*]
            }
        }
    )*};
}

tuples! {
    ()
    (A 0)
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
    (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, F 5)
}

/// Numbers of dimensions, as the crate counts them.
pub(crate) fn ints(all: &[impl Int]) -> Vec<isize> {
    all.iter().map(|int| int.int()).collect()
}

/// The sizes of a tensor's dimensions; at most [`MAX_RANK`] of them. A scalar has none.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    sizes: [usize; MAX_RANK],
    rank: usize,
}

/// `assert_eq!(x.shape(), [2, 3])`.
impl<const N: usize> PartialEq<[usize; N]> for Shape {
    fn eq(&self, other: &[usize; N]) -> bool {
        self[..] == other[..]
    }
}

impl Shape {
    /// # Panics
    /// If there are more than [`MAX_RANK`] sizes, or more elements than a machine can count.
    #[track_caller]
    pub fn new(sizes: &[usize]) -> Shape {
        assert!(sizes.len() <= MAX_RANK, "shape {sizes:?}: rank {} is over the highest, {MAX_RANK}", sizes.len());
        let counted = sizes.iter().try_fold(8usize, |bytes, &size| bytes.checked_mul(size.max(1)));
        assert!(counted.is_some(), "shape {sizes:?}: no machine has memory for so many elements");
        let mut all = [0; MAX_RANK];
        all[..sizes.len()].copy_from_slice(sizes);
        Shape { sizes: all, rank: sizes.len() }
    }

    /// The number of elements; 1 for a scalar.
    pub fn numel(&self) -> usize {
        self.iter().product()
    }

    /// The number of dimensions.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// The shape that both broadcast to: dimensions are matched from the last, and a size of 1 stretches.
    pub fn broadcast(&self, other: &Shape) -> Option<Shape> {
        let rank = self.rank.max(other.rank);
        let mut sizes = [1; MAX_RANK];
        for (i, size) in sizes.iter_mut().enumerate().take(rank) {
            let of = |s: &Shape| (i + s.rank).checked_sub(rank).map_or(1, |at| s[at]);
            *size = match (of(self), of(other)) {
                (a, b) if a == b => a,
                (1, b) => b,
                (a, 1) => a,
                _ => return None,
            };
        }
        Some(Shape::new(&sizes[..rank]))
    }

    /// The dimension that `dim` names, where negative numbers count from the end.
    ///
    /// # Panics
    /// If there is no such dimension; a scalar has none.
    #[track_caller]
    pub fn dim(&self, op: &str, dim: isize) -> usize {
        assert!(self.rank > 0, "{op}: a scalar has no dimension {dim}");
        self.dim_or_scalar(op, dim)
    }

    /// [`Shape::dim`] by PyTorch's rule for reductions and functions along a dimension: a scalar counts as a vector of one
    /// element there, so that its dimensions 0 and -1 are 0.
    ///
    /// # Panics
    /// If there is no such dimension.
    #[track_caller]
    pub fn dim_or_scalar(&self, op: &str, dim: isize) -> usize {
        let rank = self.rank.max(1) as isize;
        assert!((-rank..rank).contains(&dim), "{op}: {self:?} has no dimension {dim}");
        (if dim < 0 { dim + rank } else { dim }) as usize
    }
}

impl Deref for Shape {
    type Target = [usize];
    fn deref(&self) -> &[usize] {
        &self.sizes[..self.rank]
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &**self)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &**self)
    }
}

macro_rules! shapes_from {
    ($($n:literal)*) => {$(
        impl From<[usize; $n]> for Shape {
            #[track_caller]
            fn from(sizes: [usize; $n]) -> Shape {
                Shape::new(&sizes)
            }
        }
    )*};
}
shapes_from!(0 1 2 3 4 5 6);

/// A scalar's, as of `reshape(())`.
impl From<()> for Shape {
    fn from((): ()) -> Shape {
        Shape::new(&[])
    }
}

/// One dimension of that size, as in PyTorch: `LayerNorm::new(128, ..)`.
impl From<usize> for Shape {
    fn from(size: usize) -> Shape {
        Shape::new(&[size])
    }
}

impl From<&[usize]> for Shape {
    #[track_caller]
    fn from(sizes: &[usize]) -> Shape {
        Shape::new(sizes)
    }
}

impl From<&Vec<usize>> for Shape {
    #[track_caller]
    fn from(sizes: &Vec<usize>) -> Shape {
        Shape::new(sizes)
    }
}

impl From<Vec<usize>> for Shape {
    #[track_caller]
    fn from(sizes: Vec<usize>) -> Shape {
        Shape::new(&sizes)
    }
}

/// The places of a tensor's elements in its buffer: element (i, j, ..) at offset + i * strides\[0\] + j * strides\[1\] ..
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// The sizes.
    pub shape: Shape,
    /// The distance, in elements, from one index of a dimension to the next; 0 where one element is repeated.
    pub strides: [usize; MAX_RANK],
    /// The first element.
    pub offset: usize,
}

impl Layout {
    /// Row-major from the buffer's start.
    pub fn contiguous(shape: Shape) -> Layout {
        let mut strides = [0; MAX_RANK];
        let mut step = 1;
        for (stride, size) in strides[..shape.rank()].iter_mut().zip(shape.iter()).rev() {
            *stride = step;
            step *= size;
        }
        Layout { shape, strides, offset: 0 }
    }

    /// The strides of the dimensions there are.
    pub fn strides(&self) -> &[usize] {
        &self.strides[..self.shape.rank()]
    }

    /// Whether elements lie in row-major order without gaps (sizes of 1 aside), from `offset` on.
    pub fn is_contiguous(&self) -> bool {
        let mut step = 1;
        self.shape.iter().zip(self.strides()).rev().all(|(&size, &stride)| {
            let fits = size == 1 || stride == step;
            step *= size;
            fits
        }) || self.shape.numel() == 0
    }

    /// The dimensions from the one that varies slowest in memory to the one that varies fastest.
    pub fn memory_order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.shape.rank()).collect();
        order.sort_by_key(|&d| std::cmp::Reverse(if self.shape[d] == 1 { usize::MAX } else { self.strides[d] }));
        order
    }

    /// Whether the elements fill one stretch of memory without gaps or repeats, in whatever order.
    pub fn is_dense(&self) -> bool {
        self.permute(&self.memory_order()).is_contiguous()
    }

    /// [`Layout::memory_order`] where elements are dense; else that of the dimensions.
    pub fn own_order(&self) -> Vec<usize> {
        if self.is_dense() { self.memory_order() } else { (0..self.shape.rank()).collect() }
    }

    /// That of two of one shape whose order a result takes: the first that is dense, since what is repeated has none of its own.
    pub fn leading<'a>(&'a self, other: &'a Layout) -> &'a Layout {
        if self.is_dense() || !other.is_dense() { self } else { other }
    }

    /// The same elements with the dimensions in another order.
    pub fn permute(&self, order: &[usize]) -> Layout {
        let mut out = *self;
        for (to, &from) in order.iter().enumerate() {
            out.shape.sizes[to] = self.shape[from];
            out.strides[to] = self.strides[from];
        }
        out
    }

    /// A fresh dense layout of the same shape whose memory order is that of `self`; row-major where elements are repeated, since
    /// strides of 0 say nothing about an order.
    pub fn dense_like(&self) -> Layout {
        if self.shape.iter().zip(self.strides()).any(|(&size, &stride)| size > 1 && stride == 0) {
            return Layout::contiguous(self.shape);
        }
        let order = self.memory_order();
        let packed = Layout::contiguous(self.permute(&order).shape);
        let mut out = Layout { shape: self.shape, strides: [0; MAX_RANK], offset: 0 };
        for (at, &dim) in order.iter().enumerate() {
            out.strides[dim] = packed.strides[at];
        }
        out
    }

    /// Repeats dimensions of size 1 (and new leading ones) to `shape` by strides of 0; `None` where that does not fit.
    pub fn expand(&self, shape: Shape) -> Option<Layout> {
        let lead = shape.rank().checked_sub(self.shape.rank())?;
        let mut out = Layout { shape, strides: [0; MAX_RANK], offset: self.offset };
        for (i, (&size, &stride)) in self.shape.iter().zip(self.strides()).enumerate() {
            if size == shape[lead + i] {
                out.strides[lead + i] = stride;
            } else if size != 1 {
                return None;
            }
        }
        Some(out)
    }

    /// The elements under another shape without moving them; `None` where strides do not allow it.
    pub fn reshape(&self, shape: Shape) -> Option<Layout> {
        if shape.numel() != self.shape.numel() {
            return None;
        }
        if self.is_contiguous() {
            return Some(Layout { offset: self.offset, ..Layout::contiguous(shape) });
        }
        // Old and new dimensions are consumed in groups of equal product; inside an old group, strides must chain.
        let mut out = Layout { shape, strides: [0; MAX_RANK], offset: self.offset };
        let old: Vec<(usize, usize)> =
            self.shape.iter().copied().zip(self.strides().iter().copied()).filter(|&(size, _)| size != 1).collect();
        let (mut i, mut j) = (0, 0);
        while i < old.len() {
            let (start, mut have, mut want, first) = (i, old[i].0, 1, j);
            while j < shape.rank() && (want < have || shape[j] == 1) {
                want *= shape[j];
                j += 1;
                while have < want && i + 1 < old.len() {
                    i += 1;
                    have *= old[i].0;
                }
            }
            if have != want || !old[start..=i].windows(2).all(|w| w[0].1 == w[1].0 * w[1].1) {
                return None;
            }
            let mut step = old[i].1;
            for d in (first..j).rev() {
                out.strides[d] = step;
                step *= shape[d];
            }
            i += 1;
        }
        Some(out)
    }

    /// A fresh dense layout of the same shape that can be [reshaped](Layout::reshape) to `shape`. Dimensions that become others
    /// together follow each other; where such groups lie one within the other, as behind a shuffle of channels that are
    /// neighbours, they stay in that order, else the layout is row-major.
    pub fn dense_for(&self, shape: &Shape) -> Layout {
        let plain = Layout::contiguous(self.shape);
        if shape.numel() != self.shape.numel() || shape.numel() == 0 {
            return plain;
        }
        // Each group, with its least and its largest stride.
        let mut groups: Vec<(Vec<usize>, usize, usize)> = Vec::new();
        let (mut have, mut want, mut sizes) = (1, 1, shape.iter());
        for (dim, &size) in self.shape.iter().enumerate().filter(|(_, size)| **size != 1) {
            let stride = self.strides[dim];
            match groups.last_mut() {
                Some((dims, least, most)) if have != want => {
                    dims.push(dim);
                    (*least, *most) = (stride.min(*least), stride.max(*most));
                }
                _ => groups.push((vec![dim], stride, stride)),
            }
            have *= size;
            while want < have {
                want *= sizes.next().copied().unwrap_or(have);
            }
        }
        groups.sort_by_key(|(_, least, _)| std::cmp::Reverse(*least));
        if groups.windows(2).any(|pair| pair[0].1 <= pair[1].2) {
            return plain;
        }
        let (mut out, mut step) = (plain, 1);
        for dim in groups.into_iter().flat_map(|(dims, ..)| dims).rev() {
            out.strides[dim] = step;
            step *= self.shape[dim];
        }
        out
    }

    /// The offsets of all elements in row-major order.
    pub fn offsets(&self) -> impl Iterator<Item = usize> + '_ {
        let mut index = [0; MAX_RANK];
        let mut at = self.offset;
        let rank = self.shape.rank();
        (0..self.shape.numel()).map(move |_| {
            let here = at;
            for d in (0..rank).rev() {
                index[d] += 1;
                at += self.strides[d];
                if index[d] < self.shape[d] {
                    break;
                }
                at -= self.strides[d] * self.shape[d];
                index[d] = 0;
            }
            here
        })
    }

    /// The elements from the first to the one past the last that the layout touches.
    pub fn span(&self) -> Range<usize> {
        let last: usize = self.shape.iter().zip(self.strides()).map(|(&n, &s)| n.saturating_sub(1) * s).sum();
        self.offset..self.offset + if self.shape.numel() == 0 { 0 } else { last + 1 }
    }
}

/// The most elements along a dimension with padding around: kernels count them in 31 bits.
pub(crate) const MAX_EXTENT: usize = i32::MAX as usize;

/// The walk of a window of `taps` elements along a dimension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Windows {
    pub taps: usize,
    pub stride: usize,
    pub padding: usize,
    pub dilation: usize,
}

impl Windows {
    /// The number of windows over `size` elements, and the same walk without numbers that do not matter: the distance from
    /// the only window or tap to the next.
    ///
    /// # Panics
    /// If a number is 0, or the window is larger than what there is.
    #[track_caller]
    pub fn over(self, op: &str, shapes: &dyn fmt::Display, size: usize) -> (usize, Windows) {
        let Windows { taps, stride, padding, dilation } = self;
        assert!(taps > 0, "{op}: {shapes}: a window of no elements sees nothing: take at least 1");
        assert!(stride > 0 && dilation > 0, "{op}: {shapes}: a stride or dilation is 0");
        let padded = padding.saturating_mul(2).saturating_add(size);
        assert!(
            padded <= MAX_EXTENT,
            "{op}: {shapes}: a padding of {padding} makes more than the {MAX_EXTENT} elements that a dimension may have"
        );
        let reach = dilation.saturating_mul(taps - 1).saturating_add(1);
        assert!(
            reach <= padded,
            "{op}: {shapes}: {taps} taps, {dilation} apart, reach over more than the {padded} elements there are"
        );
        let dilation = if taps == 1 { 1 } else { dilation };
        ((padded - reach) / stride + 1, Windows { stride: stride.min(padded), dilation, ..self })
    }
}

/// Merges neighbouring dimensions that every operand walks with one stride, and drops those of size 1: what is left
/// is the fewest dimensions a strided kernel must take apart. Each entry is (size, one stride per operand).
pub fn collapse<const N: usize>(shape: &[usize], strides: [&[usize]; N]) -> Vec<(usize, [usize; N])> {
    let mut out: Vec<(usize, [usize; N])> = Vec::with_capacity(shape.len());
    for (d, &size) in shape.iter().enumerate().filter(|&(_, &size)| size != 1) {
        let here: [usize; N] = std::array::from_fn(|k| strides[k][d]);
        match out.last_mut() {
            Some((outer, steps)) if (0..N).all(|k| steps[k] == here[k] * size) => {
                *outer *= size;
                *steps = here;
            }
            _ => out.push((size, here)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_of_any_numbers_are_counted_or_refused() {
        let one = Windows { taps: 3, stride: 2, padding: 1, dilation: 2 };
        assert_eq!(one.over("op", &"x", 9), (4, one));
        let huge = Windows { taps: 1, stride: usize::MAX, padding: 1, dilation: usize::MAX };
        assert_eq!(huge.over("op", &"x", 3), (1, Windows { stride: 5, dilation: 1, ..huge }));
        let refused = [
            Windows { taps: 0, ..one },
            Windows { stride: 0, ..one },
            Windows { dilation: 0, ..one },
            Windows { padding: usize::MAX, ..one },
            Windows { padding: MAX_EXTENT, ..one },
            Windows { dilation: usize::MAX, ..one },
            Windows { taps: usize::MAX, ..one },
        ];
        for windows in refused {
            let said = std::panic::catch_unwind(|| windows.over("op", &"[2, 3]", 9)).expect_err("it makes no sense");
            let said = said.downcast::<String>().expect("a sentence");
            assert!(said.starts_with("op: [2, 3]: "), "{said}");
        }
    }

    #[test]
    fn broadcasting_follows_the_last_dimensions() {
        let shape = |s: &[usize]| Shape::new(s);
        assert_eq!(shape(&[2, 3, 4]).broadcast(&shape(&[3, 1])), Some(shape(&[2, 3, 4])));
        assert_eq!(shape(&[]).broadcast(&shape(&[5])), Some(shape(&[5])));
        assert_eq!(shape(&[2]).broadcast(&shape(&[3])), None);
    }

    #[test]
    fn reshape_without_a_copy_where_strides_allow() {
        let x = Layout::contiguous(Shape::new(&[2, 3, 4]));
        assert_eq!(x.reshape(Shape::new(&[6, 4])).map(|l| l.strides[0]), Some(4));
        let t = x.permute(&[1, 0, 2]);
        assert!(t.reshape(Shape::new(&[6, 4])).is_none());
        let split = t.reshape(Shape::new(&[3, 2, 2, 2])).expect("the last dimension splits");
        assert_eq!(split.strides(), [4, 12, 2, 1]);
        let ones = t.reshape(Shape::new(&[3, 1, 2, 4, 1])).expect("sizes of 1 come and go");
        assert_eq!(ones.offsets().collect::<Vec<_>>(), t.offsets().collect::<Vec<_>>());
    }

    #[test]
    fn a_size_is_a_shape_of_one_dimension() {
        assert_eq!(Shape::from(7), [7]);
    }

    #[test]
    fn dense_in_any_order() {
        let x = Layout::contiguous(Shape::new(&[2, 3, 4, 5])).permute(&[0, 3, 1, 2]);
        assert!(x.is_dense() && !x.is_contiguous());
        assert_eq!(x.dense_like().strides(), x.strides());
        let repeated = x.expand(Shape::new(&[7, 2, 5, 3, 4])).expect("fits");
        assert!(!repeated.is_dense() && repeated.dense_like().is_contiguous());
        let row = Layout::contiguous(Shape::new(&[2, 1, 4])).expand(Shape::new(&[2, 3, 4])).expect("fits");
        assert_eq!(row.dense_like().strides(), [12, 4, 1]);
    }

    #[test]
    fn a_shuffle_of_channels_leaves_them_neighbours() {
        let last = |sizes: &[usize]| Layout::contiguous(Shape::new(sizes)).permute(&[0, 3, 1, 2]);
        let x = last(&[2, 4, 5, 6]).reshape(Shape::new(&[2, 2, 3, 4, 5])).expect("a view");
        let (turned, to) = (x.permute(&[0, 2, 1, 3, 4]), Shape::new(&[2, 6, 4, 5]));
        assert_eq!(turned.reshape(to), None);
        assert_eq!(turned.dense_for(&to).reshape(to), Some(last(&[2, 4, 5, 6])));
        // Heads that go back to their rows, a picture that becomes rows, and a walk over everything: row-major.
        for (sizes, order, to) in [
            (&[2, 3, 4, 5][..], &[0, 2, 1, 3][..], &[2, 4, 15][..]),
            (&[2, 4, 5, 3], &[0, 3, 1, 2], &[2, 60]),
            (&[2, 4, 5, 3], &[0, 3, 1, 2], &[6, 20]),
            (&[3, 4], &[1, 0], &[12]),
            (&[3, 4, 1], &[1, 2, 0], &[6, 2]),
        ] {
            let x = Layout::contiguous(Shape::new(sizes)).permute(order);
            assert!(x.dense_for(&Shape::new(to)).is_contiguous(), "{sizes:?} {order:?} {to:?}");
        }
        let none = Layout::contiguous(Shape::new(&[0, 3])).dense_for(&Shape::new(&[3, 0]));
        assert!(none.is_contiguous());
    }

    #[test]
    fn collapse_merges_what_all_operands_walk_alike() {
        let a = Layout::contiguous(Shape::new(&[2, 3, 4]));
        let b = Layout::contiguous(Shape::new(&[3, 4])).expand(a.shape).expect("fits");
        assert_eq!(collapse(&a.shape, [a.strides(), b.strides()]), vec![(2, [12, 0]), (12, [1, 1])]);
    }
}
