//! The parameters of element-wise kernels that walk strided operands.

use super::{Uniform, parallel};
use crate::shape::{Layout, MAX_RANK, collapse};
use bytemuck::{Pod, Zeroable};

/// A walk of up to three operands in the order of one dense result: the struct of the same name in `shaders/prelude.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable, Uniform)]
pub struct Strided {
    /// Elements of the result.
    pub n: u32,
    /// Dimensions in use.
    pub rank: u32,
    /// The first element of each operand.
    pub base: [u32; 3],
    /// Of a walk by [blocks](Strided::blocks), the vec4 from a row of one to the next: in the operand, and in the result.
    pub rows: [u32; 2],
    pad: u32,
    /// Of each dimension, the size and one stride per operand; the first varies fastest.
    pub dims: [[u32; 4]; MAX_RANK],
}

impl Strided {
    /// Walks `operands`, all of the shape of `order`, in the memory order of `order`. `base` is where each starts.
    pub fn new<const N: usize>(order: &Layout, operands: [(&Layout, usize); N]) -> Strided {
        // In the order of memory, whatever the order of dimensions: the result is written from its start to its end.
        let walk = order.memory_order();
        let sizes = order.permute(&walk).shape;
        let strides = operands.map(|(layout, _)| layout.permute(&walk));
        // Dimensions that all operands walk as one are one: fewer divisions for each element.
        let collapsed = collapse::<N>(&sizes, std::array::from_fn(|k| strides[k].strides()));
        let mut out = Strided {
            n: order.shape.numel() as u32,
            rank: collapsed.len() as u32,
            base: [0; 3],
            rows: [0; 2],
            pad: 0,
            dims: [[1, 0, 0, 0]; MAX_RANK],
        };
        for (to, (_, base)) in out.base.iter_mut().zip(operands) {
            *to = base as u32;
        }
        for (to, (size, steps)) in out.dims.iter_mut().zip(collapsed.into_iter().rev()) {
            to[0] = size as u32;
            for (to, step) in to[1..].iter_mut().zip(steps) {
                *to = step as u32;
            }
        }
        out
    }

    /// Walks one operand of the shape of the row-major `order`, backwards along `dims`.
    pub fn flipped(order: &Layout, operand: &Layout, dims: &[usize]) -> Strided {
        let rank = order.shape.rank();
        let mut out = Strided::new(order, [(order, 0)]);
        out.rank = rank as u32;
        for d in 0..rank {
            let step = operand.strides[d] as u32;
            out.dims[rank - 1 - d] =
                [order.shape[d] as u32, if dims.contains(&d) { step.wrapping_neg() } else { step }, 0, 0];
        }
        out
    }

    /// Walks one operand from `base` by `steps` along dimensions of `sizes`, the last varying fastest; steps may wrap.
    pub fn over<const N: usize>(sizes: [u32; N], base: u32, steps: [u32; N]) -> Strided {
        let mut out = Strided {
            n: sizes.iter().product(),
            rank: N as u32,
            base: [base, 0, 0],
            rows: [0; 2],
            pad: 0,
            dims: [[1, 0, 0, 0]; MAX_RANK],
        };
        for (to, (size, step)) in out.dims.iter_mut().zip(sizes.into_iter().zip(steps).rev()) {
            (to[0], to[1]) = (size, step);
        }
        out
    }

    /// Whether every one of the first `operands` is walked element by element from its start.
    pub fn is_flat(&self, operands: usize) -> bool {
        let one_run = self.rank == 0 || self.rank == 1 && self.dims[0][1..=operands].iter().all(|&s| s == 1);
        one_run && self.base[..operands].iter().all(|&b| b == 0)
    }

    /// Whether the first operand is walked element by element from its start, and the second is one row of whole
    /// vec4 that all rows of the first meet.
    pub fn is_row(&self) -> bool {
        let [inner, outer, ..] = self.dims;
        self.rank == 2
            && self.base[..2] == [0, 0]
            && inner[1..3] == [1, 1]
            && outer[1..3] == [inner[0], 0]
            && inner[0] % 4 == 0
    }

    /// The same walk in steps of whole vec4, for the first `operands` and a dense result, where they have them: four
    /// elements side by side in each, all else in steps of 4. A walk without gaps may end within the last vec4.
    pub fn quads(&self, operands: usize) -> Option<Strided> {
        let mut out = *self;
        if self.is_flat(operands) {
            out.n = self.n.div_ceil(4);
            out.rank = 1;
            out.dims[0] = [out.n, 1, 1, 1];
            return Some(out);
        }
        let whole = |words: &[u32]| words.iter().all(|word| word.is_multiple_of(4));
        let (inner, outer) = self.dims[..self.rank as usize].split_first()?;
        let fits = whole(&inner[..1]) && inner[1..=operands].iter().all(|&step| step == 1);
        if !fits || !whole(&self.base[..operands]) || !outer.iter().all(|dim| whole(&dim[1..=operands])) {
            return None;
        }
        out.n /= 4;
        out.base = self.base.map(|base| base / 4);
        out.dims[0][0] /= 4;
        for dim in &mut out.dims[1..self.rank as usize] {
            // Steps back wrap around in 32 bits.
            dim[1..].iter_mut().for_each(|step| *step = (*step as i32 / 4) as u32);
        }
        Some(out)
    }

    /// [`Strided::quads`] where any of the operands may repeat one element along the first dimension instead: which do. Those
    /// are walked in elements still.
    pub fn spread<const N: usize>(&self) -> Option<(Strided, [bool; N])> {
        let is_one: [bool; N] = std::array::from_fn(|k| self.rank > 0 && self.dims[0][k + 1] == 0);
        // A walk of the others alone.
        let mut whole = *self;
        for k in (0..N).filter(|k| is_one[*k]) {
            whole.base[k] = 0;
            for (at, dim) in whole.dims[..self.rank as usize].iter_mut().enumerate() {
                dim[k + 1] = u32::from(at == 0);
            }
        }
        let mut out = whole.quads(N)?;
        for k in (0..N).filter(|k| is_one[*k]) {
            out.base[k] = self.base[k];
            for (to, from) in out.dims.iter_mut().zip(&self.dims) {
                to[k + 1] = from[k + 1];
            }
        }
        Some((out, is_one))
    }

    /// The same walk of one operand and a dense result in blocks of 4 x 4 elements, where other ones are neighbours in the operand
    /// than in the result, and both lie by whole vec4.
    pub fn blocks(&self) -> Option<Strided> {
        let dims = &self.dims[..self.rank as usize];
        let other = (1..dims.len()).find(|&d| dims[d][1] == 1)?;
        let whole = |word: u32| word.is_multiple_of(4);
        let steps = dims.iter().enumerate().all(|(d, dim)| d == other || whole(dim[1]));
        if !steps || !whole(dims[0][0]) || !whole(dims[other][0]) || !whole(self.base[0]) {
            return None;
        }
        let mut out = *self;
        let mut dense = 1;
        for (d, (to, [size, step, ..])) in out.dims.iter_mut().zip(dims).enumerate() {
            // Steps back wrap around in 32 bits.
            let quads = (*step as i32 / 4) as u32;
            let size_there = if d == 0 || d == other { size / 4 } else { *size };
            *to = [size_there, if d == 0 { *step } else { quads }, dense / 4, 0];
            if d == other {
                (to[1], to[2]) = (1, dense);
                out.rows = [(dims[0][1] as i32 / 4) as u32, dense / 4];
            }
            dense *= size;
        }
        out.dims[0][2] = 1;
        (out.n, out.base[0]) = (self.n / 16, self.base[0] / 4);
        Some(out)
    }

    /// Sets each element of `y` from those of `a` and `b`, the first two operands, one by one.
    pub fn each2<X: Copy, Y>(&self, y: &mut [Y], a: &[X], b: &[X], f: impl Fn(X, X) -> Y) {
        y.iter_mut().zip(self.offsets()).for_each(|(y, [at_a, at_b, _])| *y = f(a[at_a], b[at_b]));
    }

    /// The same on all cores, several elements at a time.
    #[inline(always)]
    pub fn map2<X: Copy + Sync, Y: Send>(&self, y: &mut [Y], a: &[X], b: &[X], f: impl Fn(X, X) -> Y + Sync) {
        if self.is_flat(2) {
            return parallel::map2(y, a, b, f);
        }
        let [_, a_step, b_step, _] = self.dims[0].map(|word| word as usize);
        parallel::chunks(
            y,
            parallel::GRAIN,
            #[inline(always)]
            |piece, mut y| {
                for ([a_at, b_at, _], run) in self.runs(piece * parallel::GRAIN, y.len()) {
                    let (now, later) = std::mem::take(&mut y).split_at_mut(run);
                    y = later;
                    // The usual steps, each as a loop that takes several elements at a time.
                    match (a_step, b_step) {
                        (1, 1) => now.iter_mut().zip(&a[a_at..]).zip(&b[b_at..]).for_each(|((y, a), b)| *y = f(*a, *b)),
                        (1, 0) => now.iter_mut().zip(&a[a_at..]).for_each(|(y, a)| *y = f(*a, b[b_at])),
                        (0, 1) => now.iter_mut().zip(&b[b_at..]).for_each(|(y, b)| *y = f(a[a_at], *b)),
                        _ => {
                            for (i, y) in now.iter_mut().enumerate() {
                                *y = f(a[a_at + i * a_step], b[b_at + i * b_step]);
                            }
                        }
                    }
                }
            },
        );
    }

    /// [`Strided::map2`] of three operands.
    #[inline(always)]
    pub fn map3<X: Copy + Sync, Y: Send>(&self, y: &mut [Y], [a, b, c]: [&[X]; 3], f: impl Fn(X, X, X) -> Y + Sync) {
        let steps: [usize; 3] = std::array::from_fn(|k| self.dims[0][k + 1] as usize);
        parallel::chunks(
            y,
            parallel::GRAIN,
            #[inline(always)]
            |piece, mut y| {
                for ([a_at, b_at, c_at], run) in self.runs(piece * parallel::GRAIN, y.len()) {
                    let (now, later) = std::mem::take(&mut y).split_at_mut(run);
                    y = later;
                    // The usual steps, each as a loop that takes several elements at a time.
                    match steps {
                        [1, 1, 1] => {
                            let all = now.iter_mut().zip(&a[a_at..]).zip(&b[b_at..]).zip(&c[c_at..]);
                            all.for_each(|(((y, a), b), c)| *y = f(*a, *b, *c));
                        }
                        [1, 1, 0] => {
                            let pairs = now.iter_mut().zip(&a[a_at..]).zip(&b[b_at..]);
                            pairs.for_each(|((y, a), b)| *y = f(*a, *b, c[c_at]));
                        }
                        [1, 0, 1] => {
                            let pairs = now.iter_mut().zip(&a[a_at..]).zip(&c[c_at..]);
                            pairs.for_each(|((y, a), c)| *y = f(*a, b[b_at], *c));
                        }
                        _ => {
                            for (i, y) in now.iter_mut().enumerate() {
                                *y = f(a[a_at + i * steps[0]], b[b_at + i * steps[1]], c[c_at + i * steps[2]]);
                            }
                        }
                    }
                }
            },
        );
    }

    /// The operands' offsets, in the order of the result.
    pub fn offsets(&self) -> impl Iterator<Item = [usize; 3]> + '_ {
        self.offsets_from(0)
    }

    /// The index in each dimension of the result's element `first`, and the operands' offsets there.
    fn place(&self, first: usize) -> ([u32; MAX_RANK], [u32; 3]) {
        let mut index = [0; MAX_RANK];
        let mut at = self.base;
        let mut rest = first as u32;
        for (index, [size, steps @ ..]) in index.iter_mut().zip(&self.dims[..self.rank as usize]) {
            *index = rest % size;
            rest /= size;
            for (at, step) in at.iter_mut().zip(steps) {
                *at = at.wrapping_add(step.wrapping_mul(*index));
            }
        }
        (index, at)
    }

    /// The runs along the dimension that varies fastest, of `len` elements of the result from `first` on: the
    /// operands' offsets where one starts, and its elements. Along it the operands go by the steps of `dims[0]`.
    pub fn runs(&self, first: usize, len: usize) -> impl Iterator<Item = ([usize; 3], usize)> + '_ {
        let rank = self.rank as usize;
        let (mut index, mut at) = self.place(first);
        let mut left = len as u32;
        std::iter::from_fn(move || {
            if left == 0 {
                return None;
            }
            let here = at.map(|a| a as usize);
            let run = left.min(self.dims[0][0] - index[0]);
            left -= run;
            // Past the end of a dimension the next one goes a step on, as an odometer does; steps may be negative and wrap.
            let mut moved = run;
            for (index, [size, steps @ ..]) in index.iter_mut().zip(&self.dims[..rank]) {
                *index += moved;
                for (at, step) in at.iter_mut().zip(steps) {
                    *at = at.wrapping_add(step.wrapping_mul(moved));
                }
                if *index < *size {
                    break;
                }
                for (at, step) in at.iter_mut().zip(steps) {
                    *at = at.wrapping_sub(step.wrapping_mul(*size));
                }
                (*index, moved) = (0, 1);
            }
            Some((here, run as usize))
        })
    }

    /// The operands' offsets from the result's element `first` on.
    pub fn offsets_from(&self, first: usize) -> impl Iterator<Item = [usize; 3]> + '_ {
        let rank = self.rank as usize;
        let (mut index, mut at) = self.place(first);
        (first..self.n as usize).map(move |_| {
            let here = at.map(|a| a as usize);
            for (index, [size, steps @ ..]) in index.iter_mut().zip(&self.dims[..rank]) {
                *index += 1;
                for (at, step) in at.iter_mut().zip(steps) {
                    *at = at.wrapping_add(*step);
                }
                if *index < *size {
                    break;
                }
                for (at, step) in at.iter_mut().zip(steps) {
                    *at = at.wrapping_sub(step.wrapping_mul(*size));
                }
                *index = 0;
            }
            here
        })
    }
}
