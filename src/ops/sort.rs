//! Elements in order, and those at a place in it, made of [`Tensor::topk`] and [`Tensor::argmax`].

use super::reduce::KeepDims;
use super::topk::Extreme;
use crate::shape::Int;
use crate::tensor::Tensor;

/// Which elements come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// The smallest, and NaN last.
    #[default]
    Ascending,
    /// The largest, and NaN before all.
    Descending,
}

/// # Order
impl Tensor {
    /// The elements along a dimension in order, and their indices (i32). NaN counts as larger than all else; equal ones stay
    /// in the order they are in.
    ///
    /// ```
    /// use wgrad::{Order, Tensor};
    /// let x = Tensor::from_slice(&[2.0f32, 3.0, 1.0], [3], &wgrad::Device::cpu());
    /// let (values, index) = x.sort(0, Order::Ascending);
    /// assert_eq!(values.to_vec::<f32>()?, [1.0, 2.0, 3.0]);
    /// assert_eq!(index.to_vec::<i32>()?, [2, 0, 1]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// If there is no such dimension.
    #[track_caller]
    pub fn sort(&self, dim: impl Int, order: Order) -> (Tensor, Tensor) {
        let dim = self.shape().dim_or_scalar("sort", dim.int());
        let n = self.shape().get(dim).copied().unwrap_or(1);
        let extreme = match order {
            Order::Ascending => Extreme::Smallest,
            Order::Descending => Extreme::Largest,
        };
        self.topk(n, dim, extreme)
    }

    /// The indices (i32) of [`Tensor::sort`].
    ///
    /// # Panics
    /// As [`Tensor::sort`].
    #[track_caller]
    pub fn argsort(&self, dim: impl Int, order: Order) -> Tensor {
        self.detach().sort(dim, order).1
    }

    /// The index of the smallest element along a dimension, the first of equals; i32.
    ///
    /// # Panics
    /// If there is no such dimension or it has no elements.
    #[track_caller]
    pub fn argmin(&self, dim: impl Int) -> Tensor {
        let dim = self.shape().dim_or_scalar("argmin", dim.int());
        let turned = if self.dtype().is_float() { self.detach().neg() } else { self.integers().bitwise_not() };
        turned.argmax(dim)
    }

    /// The largest element along a dimension and its index (i32), the first of equals, which has the whole gradient: PyTorch's
    /// `max(dim)`.
    ///
    /// ```
    /// use wgrad::{KeepDims, Tensor};
    /// let x = Tensor::from_slice(&[1.0f32, 5.0, 2.0, 7.0, 6.0, 7.0], [2, 3], &wgrad::Device::cpu());
    /// let (values, index) = x.max_dim(-1, KeepDims::No);
    /// assert_eq!(values.to_vec::<f32>()?, [5.0, 7.0]);
    /// assert_eq!(index.to_vec::<i32>()?, [1, 0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// If there is no such dimension or it has no elements.
    #[track_caller]
    pub fn max_dim(&self, dim: impl Int, keep: KeepDims) -> (Tensor, Tensor) {
        let dim = self.shape().dim_or_scalar("max_dim", dim.int());
        self.found_along(dim, &self.detach().argmax(dim), keep)
    }

    /// The smallest element along a dimension and its index (i32), as [`Tensor::max_dim`].
    ///
    /// # Panics
    /// If there is no such dimension or it has no elements.
    #[track_caller]
    pub fn min_dim(&self, dim: impl Int, keep: KeepDims) -> (Tensor, Tensor) {
        let dim = self.shape().dim_or_scalar("min_dim", dim.int());
        self.found_along(dim, &self.detach().argmin(dim), keep)
    }

    /// What an index without the dimension finds along it.
    #[track_caller]
    fn found_along(&self, dim: usize, index: &Tensor, keep: KeepDims) -> (Tensor, Tensor) {
        let x = if self.dtype().is_float() { self.clone() } else { self.integers() };
        if self.rank() == 0 {
            return (x.gather(0, index), index.clone());
        }
        let index = index.unsqueeze(dim);
        let values = x.gather(dim, &index);
        match keep {
            KeepDims::Yes => (values, index),
            KeepDims::No => (values.squeeze(dim), index.squeeze(dim)),
        }
    }

    /// The `k`-th smallest element along a dimension, counted from 1, and its index (i32).
    ///
    /// # Panics
    /// If there is no such dimension, or it has no `k` elements.
    #[track_caller]
    pub fn kthvalue(&self, k: usize, dim: impl Int, keep: KeepDims) -> (Tensor, Tensor) {
        let dim = self.shape().dim_or_scalar("kthvalue", dim.int());
        let n = self.shape().get(dim).copied().unwrap_or(1);
        assert!((1..=n).contains(&k), "kthvalue: {}: expected k from 1 to {n}, got {k}", self.shape());
        let index = self.detach().topk(k, dim, Extreme::Smallest).1;
        let index = if self.rank() == 0 { index } else { index.narrow(dim, k - 1, 1).squeeze(dim) };
        self.found_along(dim, &index, keep)
    }

    /// The middle one of the elements along a dimension, of two the smaller, and its index (i32); NaN where there is one.
    ///
    /// # Panics
    /// If there is no such dimension or it has no elements.
    #[track_caller]
    pub fn median_dim(&self, dim: impl Int, keep: KeepDims) -> (Tensor, Tensor) {
        let dim = self.shape().dim_or_scalar("median_dim", dim.int());
        let n = self.shape().get(dim).copied().unwrap_or(1);
        assert!(n > 0, "median_dim: {} has no elements along dimension {dim}", self.shape());
        let (_, middle) = self.detach().kthvalue(n.div_ceil(2), dim, KeepDims::No);
        // The largest is NaN where one is.
        let (largest, last) = self.detach().max_dim(dim, KeepDims::No);
        let nan = largest.isnan().cast(crate::DType::I32);
        let index = middle.mul(&nan.eq(0).cast(crate::DType::I32)).add(&last.mul(&nan));
        self.found_along(dim, &index, keep)
    }

    /// [`Tensor::median_dim`] of what is not NaN; NaN of nothing else.
    ///
    /// # Panics
    /// As [`Tensor::median_dim`].
    #[track_caller]
    pub fn nanmedian_dim(&self, dim: impl Int, keep: KeepDims) -> (Tensor, Tensor) {
        let dim = self.shape().dim_or_scalar("nanmedian_dim", dim.int());
        let n = self.shape().get(dim).copied().unwrap_or(1);
        assert!(n > 0, "nanmedian_dim: {} has no elements along dimension {dim}", self.shape());
        if self.rank() == 0 {
            return self.median_dim(0, keep);
        }
        // NaN comes last.
        let (sorted, order) = self.detach().sort(dim, Order::Ascending);
        let count = sorted.isnan().eq(0).cast(crate::DType::F32).sum_dims(&[dim], KeepDims::Yes);
        let place = count.affine(0.5, -0.5).floor().clamp(0.0, n as f32);
        let index = order.gather(dim, &place.cast(crate::DType::I32)).squeeze(dim);
        self.found_along(dim, &index, keep)
    }

    /// The element that is there most often along a dimension, of several the smallest, and the last index of it (i32). All
    /// elements of a row are compared with one another. NaN is no element's equal.
    ///
    /// # Panics
    /// If there is no such dimension or it has no elements.
    #[track_caller]
    pub fn mode(&self, dim: impl Int, keep: KeepDims) -> (Tensor, Tensor) {
        let dim = self.shape().dim_or_scalar("mode", dim.int());
        let n = self.shape().get(dim).copied().unwrap_or(1);
        assert!(n > 0, "mode: {} has no elements along dimension {dim}", self.shape());
        if self.rank() == 0 {
            return self.median_dim(0, keep);
        }
        let (sorted, order) = self.detach().sort(dim, Order::Ascending);
        let same = sorted.unsqueeze(dim + 1).eq(sorted.unsqueeze(dim)).cast(crate::DType::F32);
        let (most, first) = same.sum_dims(&[dim + 1], KeepDims::No).max_dim(dim, KeepDims::Yes);
        let last = first.cast(crate::DType::F32).add(&most.clamp(1.0, f32::INFINITY)).affine(1.0, -1.0);
        let index = order.gather(dim, &last.cast(crate::DType::I32)).squeeze(dim);
        self.found_along(dim, &index, keep)
    }

    /// [`Tensor::median`] of what is not NaN; NaN of nothing else. Elements that are equal to it share the gradient.
    ///
    /// # Panics
    /// If there are no elements.
    #[track_caller]
    pub fn nanmedian(&self) -> Tensor {
        self.detach().reshape([-1]).nanmedian_dim(0, KeepDims::No).0.found_among("nanmedian", self)
    }

    /// The middle one of all elements, of two the smaller; NaN if there is one. Elements that are equal to it share the gradient.
    ///
    /// # Panics
    /// If there are no elements.
    #[track_caller]
    pub fn median(&self) -> Tensor {
        self.detach().reshape([-1]).median_dim(0, KeepDims::No).0.found_among("median", self)
    }

    /// A value that is some of all elements of `all`, which share its gradient; NaN is that of all that are.
    fn found_among(&self, op: &'static str, all: &Tensor) -> Tensor {
        let (x, found) = (all.saved(), self.saved());
        self.clone().tracked(op, &[all], move |dy, _| {
            let (x, found) = (x.detach(), found.detach());
            let hit = x.eq(&found).maximum(x.isnan().mul(&found.isnan())).cast(crate::DType::F32);
            let share = dy.cast(crate::DType::F32).div(&hit.sum());
            vec![Some(hit.mul(&share).cast(x.dtype()))]
        })
    }
}
