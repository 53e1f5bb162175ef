//! Functions that a line or two of others make up, under PyTorch's names.

use super::pool::AvgPool2dOptions;
use super::reduce::KeepDims;
use crate::dtype::DType;
use crate::error::Result;
use crate::shape::{Int, Shape, Sizes, ints};
use crate::tensor::Tensor;

/// How far values lie apart in [`Tensor::gradient`] and [`Tensor::trapezoid`]: a distance, or their places, a vector.
pub trait Spacing {
    /// The distance of each of `n` from the next, `[n - 1]`, for values `like` these.
    fn steps(self, op: &str, n: usize, like: &Tensor) -> Tensor;
}

impl Spacing for f32 {
    #[track_caller]
    fn steps(self, _: &str, n: usize, like: &Tensor) -> Tensor {
        like.new_full([n.saturating_sub(1)], self)
    }
}

impl Spacing for &Tensor {
    #[track_caller]
    fn steps(self, op: &str, n: usize, like: &Tensor) -> Tensor {
        let (shape, got) = (like.shape(), self.shape());
        assert!(got.rank() == 1, "{op}: places of {got}: expected a vector");
        assert!(got[0] == n, "{op}: {shape}: expected {n} places for as many values, got {}", got[0]);
        self.diff(0)
    }
}

/// The steps between values along a dimension, as they broadcast with these.
#[track_caller]
fn steps_along(op: &str, spacing: impl Spacing, x: &Tensor, dim: usize) -> Tensor {
    let steps = spacing.steps(op, x.shape()[dim], x);
    let mut wide = vec![1; x.rank()];
    wide[dim] = steps.numel();
    steps.reshape_to(Shape::from(wide))
}

/// # Functions made of others
impl Tensor {
    /// `log2(2^a + 2^b)` without overflow, broadcast.
    #[track_caller]
    pub fn logaddexp2(&self, other: &Tensor) -> Tensor {
        if let Some(([a, b], dtype)) = Tensor::widened("logaddexp", [self, other]) {
            return a.logaddexp2(&b).cast(dtype);
        }
        let [a, b] = [self, other].map(|x| x.affine(std::f32::consts::LN_2, 0.0));
        a.logaddexp(&b).affine(std::f32::consts::LOG2_E, 0.0)
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
        if let Some(([x], dtype)) = Tensor::widened("logcumsumexp", [self]) {
            return x.logcumsumexp(dim).cast(dtype);
        }
        self.in_doublings(dim, Tensor::logaddexp)
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
        if let Some(([x], dtype)) = Tensor::widened("pow_scalar", [self]) {
            return x.local_response_norm(size, alpha, beta, k).cast(dtype);
        }
        let rest = shape[2..].iter().product::<usize>();
        let squares = self.square().reshape_to(Shape::from([shape[0], 1, shape[1], rest]));
        let padded = squares.pad(&[(0, 0), (size / 2, (size - 1) / 2)], 0.0);
        let window = AvgPool2dOptions { kernel_size: [size, 1], stride: [1, 1], ..AvgPool2dOptions::new(1) };
        let mean = padded.avg_pool2d(window).reshape_to(shape);
        self.div(&mean.affine(alpha, k).pow_scalar(beta))
    }

    /// `sqrt(a^2 + b^2)`, broadcast, where the squares are too large or too small as well; infinite where either is, be the other
    /// NaN.
    #[track_caller]
    pub fn hypot(&self, other: &Tensor) -> Tensor {
        if [self, other].iter().any(|x| x.dtype() != DType::F32) {
            return Tensor::in_f32("hypot", [self, other], |[a, b]| a.hypot(b));
        }
        // By powers of two, which round nothing: squares from 2^-124 to 2^124, and gradients with as much room.
        const LARGE: f32 = (1u64 << 60) as f32;
        const DOWN: f32 = 1.0 / (64.0 * LARGE);
        const UP: f32 = 16.0 * LARGE;
        let size = self.abs().maximum(other.abs());
        let (is_large, is_small) = (size.gt(LARGE), size.lt(1.0 / LARGE));
        let factor = |large: f32, small: f32| {
            let [large, small, one] = [large, small, 1.0].map(|value| size.new_full([], value));
            Tensor::where_(&is_large, &large, &Tensor::where_(&is_small, &small, &one))
        };
        let (to, back) = (factor(DOWN, UP), factor(1.0 / DOWN, 1.0 / UP));
        let y = self.mul(&to).square().add(&other.mul(&to).square()).sqrt().mul(&back);
        y.masked_fill(&self.isinf().maximum(other.isinf()), f32::INFINITY)
    }

    /// `a * log(b)`, and 0 where `a` is, broadcast.
    #[track_caller]
    pub fn xlogy(&self, other: &Tensor) -> Tensor {
        if let Some(([a, b], dtype)) = Tensor::widened("xlogy", [self, other]) {
            return a.xlogy(&b).cast(dtype);
        }
        let unused = self.eq(0).mul(&other.le(0).maximum(other.eq(f32::INFINITY)));
        self.mul(&Tensor::where_(&unused, &Tensor::ones([], self.device()), other).log())
    }

    /// `log(x / (1 - x))`, of `x` held between `eps` and `1 - eps`; with an `eps` of 0 it is not held.
    #[track_caller]
    pub fn logit(&self, eps: f32) -> Tensor {
        if let Some(([x], dtype)) = Tensor::widened("logit", [self]) {
            return x.logit(eps).cast(dtype);
        }
        let x = match eps {
            // Ends the other way round: what is below the first goes there.
            _ if eps > 0.5 => {
                let ends = [eps, 1.0 - eps].map(|end| self.new_full([], end));
                let x = Tensor::where_(&self.gt(1.0 - eps), &ends[1], self);
                Tensor::where_(&self.lt(eps), &ends[0], &x)
            }
            _ if eps > 0.0 => self.clamp(eps, 1.0 - eps),
            _ => self.clone(),
        };
        x.div(&x.affine(-1.0, 1.0)).log()
    }

    /// `sin(pi x) / (pi x)`, and 1 at 0.
    #[track_caller]
    pub fn sinc(&self) -> Tensor {
        if let Some(([x], dtype)) = Tensor::widened("sinc", [self]) {
            return x.sinc().cast(dtype);
        }
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
        Tensor::where_(&self.ge(other).maximum(other.isnan()), self, other)
    }

    /// The smaller of the two, broadcast, and of a number and NaN the number; of equal ones the first has the gradient.
    #[track_caller]
    pub fn fmin(&self, other: &Tensor) -> Tensor {
        Tensor::where_(&self.le(other).maximum(other.isnan()), self, other)
    }

    /// 1 where infinite and positive, else 0.
    #[track_caller]
    pub fn isposinf(&self) -> Tensor {
        self.detach().cast(DType::F32).eq(f32::INFINITY).cast(self.mask_type())
    }

    /// 1 where infinite and negative, else 0.
    #[track_caller]
    pub fn isneginf(&self) -> Tensor {
        self.detach().cast(DType::F32).eq(f32::NEG_INFINITY).cast(self.mask_type())
    }

    /// 1 where two are equal or no farther apart than `atol + rtol * |other|`, broadcast (PyTorch's defaults are 1e-5 and
    /// 1e-8); else 0, and of NaN.
    #[track_caller]
    pub fn isclose(&self, other: &Tensor, rtol: f32, atol: f32) -> Tensor {
        let (a, b) = (self.detach(), other.detach());
        let near = a.sub(&b).abs().le(b.abs().affine(rtol, atol)).mul(&b.isfinite());
        near.maximum(a.eq(&b))
    }

    /// Whether all are as near as [`Tensor::isclose`] asks. It waits for the device.
    ///
    /// # Errors
    /// What the device tells.
    #[track_caller]
    pub fn allclose(&self, other: &Tensor, rtol: f32, atol: f32) -> Result<bool> {
        Ok(self.isclose(other, rtol, atol).all().item()? != 0.0)
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

    /// The slope of values along a dimension, by the differences of their neighbours on both sides: at a distance, or at places
    /// along the dimension, a vector. At both ends it goes by two values (`edge_order` 1) or by three (2). PyTorch's `gradient`,
    /// of one dimension.
    ///
    /// ```
    /// let device = wgrad::Device::cpu();
    /// let x = wgrad::Tensor::from_slice(&[0.0f32, 1.0, 4.0, 9.0], [4], &device);
    /// assert_eq!(x.gradient(1.0, 0, 1).to_vec::<f32>()?, [1.0, 2.0, 4.0, 5.0]);
    /// assert_eq!(x.gradient(1.0, 0, 2).to_vec::<f32>()?, [0.0, 2.0, 4.0, 6.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// If there is no such dimension, it has not more than `edge_order` values or not a place for each, or the order is neither 1
    /// nor 2.
    #[track_caller]
    pub fn gradient(&self, spacing: impl Spacing, dim: impl Int, edge_order: usize) -> Tensor {
        let dim = self.shape().dim("gradient", dim.int());
        let (n, shape) = (self.shape()[dim], self.shape());
        let fits = (1..=2).contains(&edge_order) && n > edge_order;
        assert!(fits, "gradient: {shape}: expected an order of 1 or 2 and more values than that along dimension {dim}");
        let steps = steps_along("gradient", spacing, self, dim).detach();
        let (x, h) = (|at, len| self.narrow(dim, at, len), |at, len| steps.narrow(dim, at, len));
        // The slope at `at` of the parabola through three values, which lie h1 and h2 apart.
        let parabola = |at: usize, first: usize, len: usize| {
            let [h1, h2] = [h(first, len), h(first + 1, len)];
            let both = h1.add(&h2);
            let (a, b, c) = match at {
                0 => (both.add(&h1).neg().div(&h1.mul(&both)), both.div(&h1.mul(&h2)), h1.neg().div(&h2.mul(&both))),
                1 => (h2.neg().div(&h1.mul(&both)), h2.sub(&h1).div(&h1.mul(&h2)), h1.div(&h2.mul(&both))),
                _ => (h2.div(&h1.mul(&both)), both.neg().div(&h1.mul(&h2)), both.add(&h2).div(&h2.mul(&both))),
            };
            x(first, len).mul(&a).add(&x(first + 1, len).mul(&b)).add(&x(first + 2, len).mul(&c))
        };
        let line = |first: usize| x(first + 1, 1).sub(&x(first, 1)).div(&h(first, 1));
        let ends = match edge_order {
            1 => [line(0), line(n - 2)],
            _ => [parabola(0, 0, 1), parabola(2, n - 3, 1)],
        };
        if n == 2 {
            return Tensor::cat(&[&ends[0], &ends[1]], dim);
        }
        Tensor::cat(&[&ends[0], &parabola(1, 0, n - 2), &ends[1]], dim)
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
        if let Some(([x], dtype)) = Tensor::widened("mean", [self]) {
            return x.nanmean(&dims, keep).cast(dtype);
        }
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
        self.diag_embed_at(0, -2, -1)
    }

    /// [`Tensor::diag_embed`] on the diagonal whose second index is larger by `offset`, in the plane of two dimensions of the
    /// result.
    ///
    /// # Panics
    /// If it is a scalar, or these are no two dimensions.
    #[doc(alias("diag", "diagflat"))]
    #[track_caller]
    pub fn diag_embed_at(&self, offset: isize, first: impl Int, second: impl Int) -> Tensor {
        assert!(self.rank() > 0, "diag_embed: a scalar has no dimension for a diagonal");
        let rank = self.rank() + 1;
        let [a, b] = [first.int(), second.int()].map(|dim| {
            let at = if dim < 0 { dim + rank as isize } else { dim };
            usize::try_from(at).ok().filter(|at| *at < rank).unwrap_or(usize::MAX)
        });
        let fits = a.max(b) < rank && a != b;
        assert!(fits, "diag_embed: {}: expected two of the {rank} dimensions of the result", self.shape());
        let (above, below) = (offset.max(0) as usize, (-offset).max(0) as usize);
        let rows = self.pad(&[(below, above)], 0.0);
        let n = rows.size(-1) as i32;
        let at = Tensor::arange(0, n, self.device());
        let kept = at.sub(&at.unsqueeze(1)).eq(offset as i32);
        let y = Tensor::where_(&kept, &rows.unsqueeze(self.rank()), &self.new_zeros([]));
        y.movedim([-2, -1], [a as isize, b as isize])
    }

    /// Windows of `size` along a dimension, `step` apart, as a new last dimension: `torch.Tensor.unfold`.
    ///
    /// ```
    /// let x = wgrad::Tensor::arange(0, 5, &wgrad::Device::cpu()).cast(wgrad::DType::F32);
    /// assert_eq!(x.unfold_dim(0, 3, 2).to_vec::<f32>()?, [0.0, 1.0, 2.0, 2.0, 3.0, 4.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// If there is no such dimension, a window is larger, or the step is 0.
    #[doc(alias("unfold", "windows", "sliding_window"))]
    #[track_caller]
    pub fn unfold_dim(&self, dim: impl Int, size: usize, step: usize) -> Tensor {
        let (shape, dim) = (self.shape(), self.shape().dim_or_scalar("unfold_dim", dim.int()));
        if shape.rank() == 0 {
            return self.reshape([1]).unfold_dim(0, size, step).reshape([size]);
        }
        let n = shape[dim];
        assert!(
            size <= n && step > 0,
            "unfold_dim: {shape}: windows of {size}, {step} apart, do not fit dimension {dim}"
        );
        let count = (n - size) / step + 1;
        let places: Vec<i32> = (0..count * size).map(|at| (at / size * step + at % size) as i32).collect();
        let index = Tensor::constant(&places, [places.len()], self.device());
        let mut sizes = shape.to_vec();
        sizes.splice(dim..=dim, [count, size]);
        self.index_select(dim, &index).reshape_to(Shape::from(sizes)).movedim(dim as isize + 1, -1)
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

    /// The elements at places counted through all of them, from the end where negative; a place outside gives NaN.
    ///
    /// # Panics
    /// If the places are not i32.
    #[track_caller]
    pub fn take(&self, index: &Tensor) -> Tensor {
        let index = &from_the_end("take", index, self.numel());
        let found = self.reshape([self.numel()]).index_select(0, &index.reshape([index.numel()]));
        found.reshape_to(index.shape())
    }

    /// [`Tensor::gather`], where sizes of 1 in the other dimensions stretch, and negative indices count from the end.
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
        let index = from_the_end("take_along_dim", index, x.get(dim).copied().unwrap_or(1));
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

    /// The covariances of rows, whose columns are observations: `[n, m]` gives `[n, n]`, and one row or a vector its
    /// variance (PyTorch's default correction is 1).
    ///
    /// # Panics
    /// If it has more than two dimensions.
    #[track_caller]
    pub fn cov(&self, correction: usize) -> Tensor {
        self.cov_weighed(correction, None, None)
    }

    /// [`Tensor::cov`] of columns that count so many times each, and have a weight each: PyTorch's `fweights` and `aweights`.
    ///
    /// # Panics
    /// If it has more than two dimensions, or there is not a number for each column.
    #[track_caller]
    pub fn cov_weighed(&self, correction: usize, times: Option<&Tensor>, weights: Option<&Tensor>) -> Tensor {
        assert!(self.rank() <= 2, "cov: {} is no matrix", self.shape());
        if let Some(([x], dtype)) = Tensor::widened("cov", [self]) {
            return x.cov_weighed(correction, times, weights).cast(dtype);
        }
        let rows = self.reshape([-1, self.shape().last().copied().unwrap_or(1) as isize]);
        for w in [times, weights].into_iter().flatten() {
            let fits = w.rank() <= 1 && w.numel() == rows.size(1);
            assert!(fits, "cov: {} x {}: expected a weight for each column", self.shape(), w.shape());
        }
        let times = times.map(|times| times.detach().cast(DType::F32));
        let each = match (&times, weights) {
            (Some(times), Some(weights)) => Some(times.mul(weights)),
            (times, weights) => times.as_ref().or(weights).cloned(),
        };
        let count = || Tensor::full([], rows.size(1) as f32, self.device());
        let sum = each.as_ref().map_or_else(count, Tensor::sum);
        let weighed = |x: &Tensor| each.as_ref().map_or_else(|| x.clone(), |each| x.mul(each));
        let centred = rows.sub(&weighed(&rows).sum_dims(&[1], KeepDims::Yes).div(&sum));
        // The sum of weights, less what the correction takes of it.
        let freedom = match (weights, &each) {
            (Some(weights), Some(each)) if correction != 0 => {
                sum.sub(&weights.mul(each).sum().div(&sum).affine(correction as f32, 0.0))
            }
            _ => sum.affine(1.0, -(correction as f32)),
        };
        let y = centred.matmul(&weighed(&centred).t()).div(&freedom.clamp(0.0, f32::INFINITY));
        if y.numel() == 1 { y.reshape(()) } else { y }
    }

    /// The correlations of rows, whose columns are observations: `[n, m]` gives `[n, n]`, and one row or a vector 1.
    ///
    /// # Panics
    /// If it has more than two dimensions.
    #[track_caller]
    pub fn corrcoef(&self) -> Tensor {
        if let Some(([x], dtype)) = Tensor::widened("cov", [self]) {
            return x.corrcoef().cast(dtype);
        }
        let y = self.cov(1);
        if y.rank() < 2 {
            return y.div(&y);
        }
        let spread = y.diagonal(0, 1).sqrt();
        y.div(&spread.unsqueeze(1)).div(&spread).clamp(-1.0, 1.0)
    }

    /// The area under values along a dimension, by straight lines between them: they lie at a distance from one another (PyTorch's
    /// default is 1), or at places, a vector.
    ///
    /// # Panics
    /// If there is no such dimension, or not a place for each of its values.
    #[doc(alias = "trapz")]
    #[track_caller]
    pub fn trapezoid(&self, spacing: impl Spacing, dim: impl Int) -> Tensor {
        let dim = self.shape().dim("trapezoid", dim.int());
        self.areas("trapezoid", spacing, dim).sum_dims(&[dim], KeepDims::No)
    }

    /// [`Tensor::trapezoid`] up to each value behind the first.
    ///
    /// # Panics
    /// As [`Tensor::trapezoid`].
    #[track_caller]
    pub fn cumulative_trapezoid(&self, spacing: impl Spacing, dim: impl Int) -> Tensor {
        let dim = self.shape().dim("cumulative_trapezoid", dim.int());
        self.areas("cumulative_trapezoid", spacing, dim).cumsum(dim)
    }

    /// The areas between neighbours.
    #[track_caller]
    fn areas(&self, op: &str, spacing: impl Spacing, dim: usize) -> Tensor {
        let (n, steps) = (self.shape()[dim].saturating_sub(1), steps_along(op, spacing, self, dim));
        let both = self.narrow(dim, self.shape()[dim] - n, n).add(&self.narrow(dim, 0, n));
        both.mul(&steps.affine(0.5, 0.0))
    }

    /// The elements where the mask is not 0 replaced by those of `source` in order, on the device; it broadcasts.
    ///
    /// # Panics
    /// If the shapes do not broadcast, or to more than 2^24 elements, whose places are counted in f32. Where the source has too
    /// few elements the rest is NaN.
    #[track_caller]
    pub fn masked_scatter(&self, mask: &Tensor, source: &Tensor) -> Tensor {
        let Some(shape) = self.shape().broadcast(&mask.shape()) else {
            panic!("masked_scatter: {} x {}: the shapes do not broadcast", self.shape(), mask.shape())
        };
        let counted = shape.numel() <= 1 << 24;
        assert!(counted, "masked_scatter: {shape}: expected at most 16777216 elements, got {}", shape.numel());
        let mask = mask.detach().ne(0).cast(DType::F32).expand(shape);
        let place = mask.reshape([shape.numel()]).cumsum(0).affine(1.0, -1.0).clamp(0.0, f32::INFINITY);
        let found = source.reshape([source.numel()]).index_select(0, &place.cast(DType::I32));
        Tensor::where_(&mask, &found.reshape_to(shape), self)
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

/// Indices of which the negative ones count from the end.
#[track_caller]
fn from_the_end(op: &str, index: &Tensor, size: usize) -> Tensor {
    let index = index.indices(op, "indices");
    index.add(&index.lt(0).cast(DType::I32).mul(&Tensor::scalar(size as i32, index.device())))
}
