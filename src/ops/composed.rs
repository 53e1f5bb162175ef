//! Functions that a line or two of others make up, under PyTorch's names.

use super::pool::AvgPool2dOptions;
use super::reduce::KeepDims;
use crate::dtype::DType;
use crate::shape::{Int, Shape, Sizes, ints};
use crate::tensor::Tensor;

/// # Functions made of others
impl Tensor {
    /// `log(e^a + e^b)` without overflow, broadcast.
    #[track_caller]
    pub fn logaddexp(&self, other: &Tensor) -> Tensor {
        // Equal ones, which may be infinite, are no distance apart.
        let apart = self.sub(other).masked_fill(&self.eq(other), 0.0).abs();
        self.maximum(other).add(&apart.neg().exp().log1p())
    }

    /// `log(cumsum(e^x))` along a dimension without overflow: each element is added to the larger of it and what was before, in
    /// as many steps as doublings lead to the size.
    ///
    /// # Panics
    /// If there is no such dimension.
    #[track_caller]
    pub fn logcumsumexp(&self, dim: impl Int) -> Tensor {
        let dim = self.shape().dim_or_scalar("logcumsumexp", dim.int());
        if self.rank() == 0 {
            return self.clone();
        }
        let (mut x, mut step, size) = (self.clone(), 1, self.shape()[dim]);
        while step < size {
            let later = x.narrow(dim, step, size - step).logaddexp(&x.narrow(dim, 0, size - step));
            x = Tensor::cat(&[&x.narrow(dim, 0, step), &later], dim as isize);
            step *= 2;
        }
        x
    }

    /// `x / (k + alpha * mean(x^2))^beta`, the mean over `size` neighbouring channels of `[n, c, ..]`, zeros beyond the ends:
    /// `torch.nn.functional.local_response_norm` (Krizhevsky et al., 2012), whose defaults are 1e-4, 0.75 and 1.
    ///
    /// # Panics
    /// If it is no batch [n, c, ..], or the size is 0.
    #[track_caller]
    pub fn local_response_norm(&self, size: usize, alpha: f32, beta: f32, k: f32) -> Tensor {
        let shape = self.shape();
        assert!(shape.rank() >= 2 && size > 0, "local_response_norm: {shape}: expected [n, c, ..] and a size above 0");
        let rest = shape[2..].iter().product::<usize>();
        let squares = self.square().reshape_to(Shape::from([shape[0], 1, shape[1], rest]));
        let padded = squares.pad(&[(0, 0), (size / 2, (size - 1) / 2)], 0.0);
        let window = AvgPool2dOptions { kernel_size: [size, 1], stride: [1, 1], ..AvgPool2dOptions::new(1) };
        let mean = padded.avg_pool2d(window).reshape_to(shape);
        self.div(&mean.affine(alpha, k).pow_scalar(beta))
    }

    /// `sqrt(a^2 + b^2)`, broadcast.
    #[track_caller]
    pub fn hypot(&self, other: &Tensor) -> Tensor {
        self.square().add(&other.square()).sqrt()
    }

    /// `a * log(b)`, and 0 where `a` is, broadcast.
    #[track_caller]
    pub fn xlogy(&self, other: &Tensor) -> Tensor {
        let unused = self.eq(0).mul(&other.le(0).maximum(&other.eq(f32::INFINITY)));
        self.mul(&Tensor::where_(&unused, &Tensor::ones([], self.device()), other).log())
    }

    /// `log(x / (1 - x))`, of `x` held between `eps` and `1 - eps`; with an `eps` of 0 it is not held.
    #[track_caller]
    pub fn logit(&self, eps: f32) -> Tensor {
        let x = if eps > 0.0 { self.clamp(eps, 1.0 - eps) } else { self.clone() };
        x.div(&x.affine(-1.0, 1.0)).log()
    }

    /// `sin(pi x) / (pi x)`, and 1 at 0.
    #[track_caller]
    pub fn sinc(&self) -> Tensor {
        let x = self.affine(std::f32::consts::PI, 0.0);
        // Near 0 the slope of the quotient would lose its digits.
        let square = x.square();
        let near = square.lt(0.25);
        let series = square.affine(-1.0 / 42.0, 1.0).mul(&square).affine(-1.0 / 20.0, 1.0);
        let far = x.masked_fill(&near, 1.0);
        Tensor::where_(&near, &series.mul(&square).affine(-1.0 / 6.0, 1.0), &far.sin().div(&far))
    }

    /// The larger of the two, broadcast, and of a number and NaN the number; of equal ones the first has the gradient.
    #[track_caller]
    pub fn fmax(&self, other: &Tensor) -> Tensor {
        Tensor::where_(&self.ge(other).maximum(&other.isnan()), self, other)
    }

    /// The smaller of the two, broadcast, and of a number and NaN the number; of equal ones the first has the gradient.
    #[track_caller]
    pub fn fmin(&self, other: &Tensor) -> Tensor {
        Tensor::where_(&self.le(other).maximum(&other.isnan()), self, other)
    }

    /// 1 where infinite and positive, else 0.
    #[track_caller]
    pub fn isposinf(&self) -> Tensor {
        self.detach().cast(DType::F32).eq(f32::INFINITY)
    }

    /// 1 where infinite and negative, else 0.
    #[track_caller]
    pub fn isneginf(&self) -> Tensor {
        self.detach().cast(DType::F32).eq(f32::NEG_INFINITY)
    }

    /// 1 where two are equal or no farther apart than `atol + rtol * |other|`, broadcast (PyTorch's defaults are 1e-5 and
    /// 1e-8); else 0, and of NaN.
    #[track_caller]
    pub fn isclose(&self, other: &Tensor, rtol: f32, atol: f32) -> Tensor {
        let (a, b) = (self.detach(), other.detach());
        let near = a.sub(&b).abs().le(b.abs().affine(rtol, atol)).mul(&b.isfinite());
        near.maximum(&a.eq(&b))
    }

    /// The difference of each element from the one before along a dimension.
    ///
    /// # Panics
    /// If there is no such dimension.
    #[track_caller]
    pub fn diff(&self, dim: impl Int) -> Tensor {
        let dim = self.shape().dim("diff", dim.int());
        let n = self.shape()[dim].saturating_sub(1);
        self.narrow(dim, self.shape()[dim] - n, n).sub(&self.narrow(dim, 0, n))
    }

    /// The length of order `p` of the difference of two, broadcast.
    #[track_caller]
    pub fn dist(&self, other: &Tensor, p: f32) -> Tensor {
        let difference = self.sub(other);
        difference.reshape([difference.numel()]).norm_of(p, &[0], KeepDims::No)
    }

    /// The sum over some dimensions of what is not NaN.
    ///
    /// # Panics
    /// If there is no such dimension, or one is named twice.
    #[track_caller]
    pub fn nansum(&self, dims: &[impl Int], keep: KeepDims) -> Tensor {
        self.masked_fill(&self.isnan(), 0.0).sum_dims(&ints(dims), keep)
    }

    /// The mean over some dimensions of what is not NaN; NaN of nothing.
    ///
    /// # Panics
    /// If there is no such dimension, or one is named twice.
    #[track_caller]
    pub fn nanmean(&self, dims: &[impl Int], keep: KeepDims) -> Tensor {
        let dims = ints(dims);
        self.nansum(&dims, keep).div(&self.isnan().eq(0).sum_dims(&dims, keep))
    }

    /// The smallest and the largest over some dimensions; equal ones share the gradient.
    ///
    /// # Panics
    /// If there is no such dimension, one is named twice, or one has no elements.
    #[track_caller]
    pub fn aminmax(&self, dims: &[impl Int], keep: KeepDims) -> (Tensor, Tensor) {
        let dims = ints(dims);
        (self.amin(&dims, keep), self.amax(&dims, keep))
    }

    /// Matrices with the last dimension on the diagonal, and 0 elsewhere.
    ///
    /// # Panics
    /// If it is a scalar.
    #[track_caller]
    pub fn diag_embed(&self) -> Tensor {
        let n = self.size(-1);
        let kept = Tensor::eye(n, n, self.device());
        Tensor::where_(&kept, &self.unsqueeze(self.rank()), &Tensor::zeros([], self.device()))
    }

    /// Turned by so many quarters in the plane of two dimensions, from the first to the second.
    ///
    /// # Panics
    /// If these are no two dimensions.
    #[track_caller]
    pub fn rot90(&self, quarters: isize, first: impl Int, second: impl Int) -> Tensor {
        let (a, b) = (self.shape().dim("rot90", first.int()), self.shape().dim("rot90", second.int()));
        assert!(a != b, "rot90: {}: {a} and {b} are no two dimensions", self.shape());
        match quarters.rem_euclid(4) {
            0 => self.clone(),
            1 => self.flip(&[b]).transpose(a, b),
            2 => self.flip(&[a, b]),
            _ => self.flip(&[a]).transpose(a, b),
        }
    }

    /// The elements at places counted through all of them; a place outside gives NaN.
    ///
    /// # Panics
    /// If the places are not i32.
    #[track_caller]
    pub fn take(&self, index: &Tensor) -> Tensor {
        let found = self.reshape([self.numel()]).index_select(0, &index.reshape([index.numel()]));
        found.reshape_to(index.shape())
    }

    /// [`Tensor::gather`], where sizes of 1 in the other dimensions stretch.
    ///
    /// # Panics
    /// If the ranks differ, the other dimensions do not broadcast, or the index is not i32.
    #[track_caller]
    pub fn take_along_dim(&self, index: &Tensor, dim: impl Int) -> Tensor {
        let (x, i) = (self.shape(), index.shape());
        let dim = x.dim_or_scalar("take_along_dim", dim.int());
        assert!(x.rank() == i.rank(), "take_along_dim: {x} x {i}: expected an index of {} dimensions", x.rank());
        let (mut from, mut at) = (x.to_vec(), i.to_vec());
        for d in (0..x.rank()).filter(|d| *d != dim) {
            assert!(x[d] == i[d] || x[d] == 1 || i[d] == 1, "take_along_dim: {x} x {i}: the shapes do not broadcast");
            let size = if x[d] == 1 { i[d] } else { x[d] };
            (from[d], at[d]) = (size, size);
        }
        self.expand(from).gather(dim, &index.expand(at))
    }

    /// So many parts along a dimension, as views; of what does not divide the first ones have one more.
    ///
    /// # Panics
    /// If there is no such dimension or no part is asked for.
    #[track_caller]
    pub fn tensor_split(&self, parts: usize, dim: impl Int) -> Vec<Tensor> {
        let dim = dim.int();
        assert!(parts > 0, "tensor_split: {}: 0 parts hold nothing", self.shape());
        let n = self.size(dim);
        let sizes: Vec<usize> = (0..parts).map(|at| n / parts + usize::from(at < n % parts)).collect();
        self.split_sizes(&sizes, dim)
    }

    /// A dimension as several, of which one size may be -1.
    ///
    /// # Panics
    /// If there is no such dimension, or the sizes do not fill it.
    #[track_caller]
    pub fn unflatten(&self, dim: impl Int, sizes: impl Sizes) -> Tensor {
        let dim = self.shape().dim("unflatten", dim.int());
        let mut all: Vec<isize> = self.shape().iter().map(|&size| size as isize).collect();
        all.splice(dim..=dim, sizes.sizes());
        self.reshape(&all[..])
    }

    /// The vector product along a dimension of size 3, broadcast.
    ///
    /// # Panics
    /// If there is no such dimension, or its size is another.
    #[track_caller]
    pub fn cross(&self, other: &Tensor, dim: impl Int) -> Tensor {
        let dim = dim.int();
        let fits = self.size(dim) == 3 && other.size(dim) == 3;
        assert!(fits, "cross: {} x {}: expected a dimension of size 3", self.shape(), other.shape());
        let part = |a: isize, b: isize| self.roll(a, dim).mul(&other.roll(b, dim));
        part(-1, -2).sub(&part(-2, -1))
    }

    /// The covariances of rows, whose columns are observations: `[n, m]` gives `[n, n]` (PyTorch's default correction is 1).
    ///
    /// # Panics
    /// If it is no matrix.
    #[track_caller]
    pub fn cov(&self, correction: usize) -> Tensor {
        assert!(self.rank() == 2, "cov: {} is no matrix", self.shape());
        let centred = self.sub(&self.mean_dims(&[1], KeepDims::Yes));
        let freedom = self.size(1) as f32 - correction as f32;
        centred.matmul(&centred.t()).affine(1.0 / freedom.max(0.0), 0.0)
    }

    /// Channels `[n, c, ..]` in an order in which those of the groups take turns.
    ///
    /// # Panics
    /// If there are no channels or the groups do not divide them.
    #[track_caller]
    pub fn channel_shuffle(&self, groups: usize) -> Tensor {
        let shape = self.shape();
        let fits = shape.rank() >= 2 && groups > 0 && shape[1].is_multiple_of(groups);
        assert!(fits, "channel_shuffle: {shape}: expected [n, c, ..] with channels for {groups} groups");
        let rest: usize = shape[2..].iter().product();
        let parts = self.reshape_to(Shape::from([shape[0], groups, shape[1] / groups, rest]));
        parts.transpose(1, 2).reshape_to(shape)
    }
}
