//! Lengths and distances of any order.

use super::reduce::KeepDims;
use crate::autograd::result_of;
use crate::dtype::DType;
use crate::shape::{Int, Shape, ints};
use crate::tensor::Tensor;

/// From so many rows on, on one side, Euclidean distances go by a product of matrices, as in PyTorch.
const MANY_ROWS: usize = 26;

/// # Lengths and distances
impl Tensor {
    /// The length of order `p` over some dimensions, `sum(|x|^p)^(1/p)`; of infinity the largest size, of -infinity the
    /// smallest, of 0 the number of elements that are not 0. Its gradient at 0 is 0.
    ///
    /// # Panics
    /// If there is no such dimension, or one is named twice.
    #[track_caller]
    pub fn norm_of(&self, p: f32, dims: &[impl Int], keep: KeepDims) -> Tensor {
        let dims = &ints(dims)[..];
        if let Some(([x], dtype)) = Tensor::widened("norm", [self]) {
            return x.norm_of(p, dims, keep).cast(dtype);
        }
        if p == 2.0 {
            return self.norm(dims, keep);
        }
        if p == f32::INFINITY {
            return self.abs().amax(dims, keep);
        }
        if p == f32::NEG_INFINITY {
            return self.abs().amin(dims, keep);
        }
        if p == 1.0 {
            return self.abs().sum_dims(dims, keep);
        }
        if p == 0.0 {
            // Flat wherever it is defined.
            return self.sign().square().sum_dims(dims, keep).flat_in("norm", &[self]);
        }
        let size = self.detach().abs();
        let y = size.pow_scalar(p).sum_dims(dims, KeepDims::Yes).pow_scalar(1.0 / p);
        let kept = y.shape();
        let y = if keep == KeepDims::Yes { y } else { dropped(&y, dims) };
        let (x, length) = (self.saved(), y.saved());
        y.tracked("norm", &[self], move |dy, _| {
            let length = result_of(&length).reshape_to(kept);
            let share = dy.reshape_to(kept).div(&length.pow_scalar(p - 1.0));
            let slope = x.sign().mul(&x.abs().pow_scalar(p - 1.0)).mul(&share);
            let flat = x.eq(0).maximum(length.eq(0));
            vec![Some(slope.masked_fill(&flat, 0.0))]
        })
    }

    /// Divided by its length of order `p` along a dimension, or by `eps` where that is more (PyTorch's defaults are 2 and
    /// 1e-12).
    ///
    /// # Panics
    /// If there is no such dimension.
    #[track_caller]
    pub fn normalize(&self, p: f32, dim: impl Int, eps: f32) -> Tensor {
        let dim = dim.int();
        if let Some(([x], dtype)) = Tensor::widened("norm", [self]) {
            return x.normalize(p, dim, eps).cast(dtype);
        }
        self.div(&self.norm_of(p, &[dim], KeepDims::Yes).clamp(eps, f32::INFINITY))
    }

    /// The distances of order `p` between rows, each of `self` from each of `other`: `[.., n, k]` and `[.., m, k]` give
    /// `[.., n, m]`. Of order 2 and more than 25 rows on a side they are `sqrt(x^2 + y^2 - 2 x y)` by a product of matrices, as in
    /// PyTorch: less exact where rows are nearly equal. Of any other it holds the differences, `[.., n, m, k]`, for its
    /// gradient. That of equal rows is 0.
    ///
    /// # Panics
    /// If there are fewer than two dimensions or the rows are not as long.
    #[track_caller]
    pub fn cdist(&self, other: &Tensor, p: f32) -> Tensor {
        let (a, b) = (self.shape(), other.shape());
        let fits = a.rank() >= 2 && b.rank() >= 2 && a.last() == b.last();
        assert!(fits, "cdist: {a} x {b}: expected rows as long as one another");
        if let Some(([x, y], dtype)) = Tensor::widened("norm", [self, other]) {
            return x.cdist(&y, p).cast(dtype);
        }
        let [n, m] = [a, b].map(|shape| shape[shape.rank() - 2]);
        if p == 2.0 && n.max(m) >= MANY_ROWS && n * m * a[a.rank() - 1] > 0 && self.dtype().is_float() {
            let [from, to] = [a, b].map(|shape| Shape::new(&shape[..shape.rank() - 2]));
            let Some(batch) = from.broadcast(&to) else { panic!("cdist: {a} x {b}: the batches do not broadcast") };
            let wide = |x: &Tensor| {
                let shape = x.shape();
                x.expand(Shape::from([&batch[..], &shape[shape.rank() - 2..]].concat()))
            };
            return wide(self).distances_by_product(&wide(other));
        }
        let difference = self.unsqueeze(a.rank() - 1).sub(&other.unsqueeze(b.rank() - 2));
        difference.norm_of(p, &[-1], KeepDims::No)
    }

    /// The Euclidean distances between rows `[.., n, k]` and `[.., m, k]`, of the same batches.
    #[track_caller]
    fn distances_by_product(&self, other: &Tensor) -> Tensor {
        let (x, y) = (self.detach(), other.detach());
        let squares = |x: &Tensor| x.square().sum_dims(&[-1], KeepDims::Yes);
        let products = x.matmul_to(&y.transpose(-2, -1), DType::F32).affine(-2.0, 0.0);
        let length = products.add(&squares(&x)).add(&squares(&y).transpose(-2, -1)).relu().sqrt();
        let (x, y, saved) = (self.saved(), other.saved(), length.saved());
        length.tracked("cdist", &[self, other], move |dy, needs| {
            let length = result_of(&saved);
            let share = dy.div(&length).masked_fill(&length.eq(0), 0.0);
            let part = |share: &Tensor, x: &Tensor, y: &Tensor| {
                x.mul(&share.sum_dims(&[-1], KeepDims::Yes)).sub(&share.matmul_to(y, DType::F32))
            };
            vec![needs[0].then(|| part(&share, &x, &y)), needs[1].then(|| part(&share.transpose(-2, -1), &y, &x))]
        })
    }

    /// The distances of order `p` between the rows of `[n, k]`, each pair once: `[n (n - 1) / 2]`, those of the first row first.
    ///
    /// # Panics
    /// If it is no matrix.
    #[track_caller]
    pub fn pdist(&self, p: f32) -> Tensor {
        assert!(self.rank() == 2, "pdist: {}: expected rows [n, k]", self.shape());
        if let Some(([x], dtype)) = Tensor::widened("norm", [self]) {
            return x.pdist(p).cast(dtype);
        }
        let n = self.size(0) as i32;
        let pairs = || (0..n).flat_map(|i| (i + 1..n).map(move |j| (i, j)));
        let rows = |at: Vec<i32>| self.index_select(0, &Tensor::constant(&at, [at.len()], self.device()));
        rows(pairs().map(|(i, _)| i).collect()).sub(&rows(pairs().map(|(_, j)| j).collect())).norm_of(
            p,
            &[-1],
            KeepDims::No,
        )
    }

    /// The distance of order `p` between the rows of two, broadcast; `eps` is added to each difference (PyTorch's defaults are
    /// 2 and 1e-6).
    #[track_caller]
    pub fn pairwise_distance(&self, other: &Tensor, p: f32, eps: f32, keep: KeepDims) -> Tensor {
        if let Some(([x, y], dtype)) = Tensor::widened("norm", [self, other]) {
            return x.pairwise_distance(&y, p, eps, keep).cast(dtype);
        }
        self.sub(other).affine(1.0, eps).norm_of(p, &[-1], keep)
    }

    /// The length of order `p` of the difference of two, broadcast.
    #[track_caller]
    pub fn dist(&self, other: &Tensor, p: f32) -> Tensor {
        if let Some(([x, y], dtype)) = Tensor::widened("norm", [self, other]) {
            return x.dist(&y, p).cast(dtype);
        }
        let difference = self.sub(other);
        difference.reshape([difference.numel()]).norm_of(p, &[0], KeepDims::No)
    }

    /// Slices along a dimension, shortened to a length of order `p` where they are longer.
    ///
    /// # Panics
    /// If there is no such dimension.
    #[track_caller]
    pub fn renorm(&self, p: f32, dim: impl Int, max_norm: f32) -> Tensor {
        let dim = self.shape().dim("renorm", dim.int());
        if let Some(([x], dtype)) = Tensor::widened("norm", [self]) {
            return x.renorm(p, dim, max_norm).cast(dtype);
        }
        let others: Vec<usize> = (0..self.rank()).filter(|d| *d != dim).collect();
        let length = self.norm_of(p, &others, KeepDims::Yes);
        let scale = length.affine(1.0, 1e-7).reciprocal().affine(max_norm, 0.0);
        self.mul(&Tensor::where_(&length.gt(max_norm), &scale, &self.new_full([], 1.0)))
    }
}

/// Without the dimensions of size 1 that a reduction left.
fn dropped(y: &Tensor, dims: &[isize]) -> Tensor {
    let rank = y.rank() as isize;
    let gone = |d: usize| dims.iter().any(|&dim| dim.rem_euclid(rank) == d as isize);
    let sizes: Vec<usize> = (0..y.rank()).filter(|&d| !gone(d)).map(|d| y.shape()[d]).collect();
    y.reshape_to(Shape::from(sizes))
}
