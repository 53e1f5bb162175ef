//! Variances, lengths and logarithms of sums, made of other reductions.

use super::{KeepDims, plan};
use crate::autograd::{is_differentiated, result_of};
use crate::shape::{Int, ints};
use crate::tensor::Tensor;

/// # Statistics
impl Tensor {
    /// The variance over some dimensions: squared distances from the mean, divided by their number less `correction`
    /// (PyTorch's default is 1), or by 0 where that is less. An empty list of dimensions gives 0 / (1 - correction).
    ///
    /// # Panics
    /// If there is no such dimension, or one is named twice.
    #[doc(alias = "std")]
    #[track_caller]
    pub fn var_dims(&self, dims: &[impl Int], correction: usize, keep: KeepDims) -> Tensor {
        let dims = &ints(dims)[..];
        if self.dtype().is_half() {
            return Tensor::in_f32("var", [self], |[x]| x.var_dims(dims, correction, keep));
        }
        let freedom = self.counted("var", dims) as f32 - correction as f32;
        self.variance(dims, freedom, keep, move |dy, centred| centred.mul(&dy.affine(2.0 / freedom, 0.0)))
    }

    /// The variance of all elements, as [`Tensor::var_dims`]. Of no more elements than `correction`, the gradient of each
    /// is infinite, and NaN where it is the mean.
    #[track_caller]
    pub fn var(&self, correction: usize) -> Tensor {
        if self.dtype().is_half() {
            return Tensor::in_f32("var", [self], |[x]| x.var(correction));
        }
        let dims = self.dims_of_all();
        let freedom = self.numel() as f32 - correction as f32;
        if freedom > 0.0 {
            return self.var_dims(&dims, correction, KeepDims::No);
        }
        self.variance(&dims, freedom, KeepDims::No, |dy, centred| {
            let [none, infinite] = [f32::NAN, f32::INFINITY].map(|value| Tensor::scalar(value, dy.device()));
            dy.mul(&Tensor::where_(&centred.eq_scalar(0.0), &none, &infinite))
        })
    }

    /// `slope` makes the gradient of x from that of the variance and from x less its mean.
    #[track_caller]
    fn variance(
        &self,
        dims: &[isize],
        freedom: f32,
        keep: KeepDims,
        slope: impl Fn(&Tensor, &Tensor) -> Tensor + Send + Sync + 'static,
    ) -> Tensor {
        let (_, kept, _) = plan("var", self.shape(), dims, keep);
        let x = self.detach();
        // Twice, since a mean that f32 adds up is some units in the last place beside many equal numbers; an infinite one is it.
        let near = x.sub(&x.mean_dims(dims, KeepDims::Yes));
        let slip = near.mean_dims(dims, KeepDims::Yes);
        let centred = near.sub(&Tensor::where_(&slip.isfinite(), &slip, &slip.zeros_like()));
        let y = centred.square().scaled_sum("var", dims, keep, 1.0 / freedom.max(0.0), self.dtype());
        let (centred, over) = (centred.saved_as(self), dims.to_vec());
        let op = || super::reduction("var", dims, keep).with("divisor", freedom);
        y.tracked(op, &[self], move |dy, _| {
            let dy = dy.reshape_to(kept);
            if is_differentiated() {
                let over = over.clone();
                let again = move |d: &Tensor, _: &[bool]| vec![Some(d.sub(&d.mean_dims(&over, KeepDims::Yes)))];
                return vec![Some(slope(&dy, &centred.detach().tracked("centred", &[&centred], again)))];
            }
            vec![Some(slope(&dy, &centred))]
        })
    }

    /// The standard deviation over some dimensions: the root of [`Tensor::var_dims`]; its gradient at 0 is 0.
    ///
    /// # Panics
    /// If there is no such dimension, or one is named twice.
    #[track_caller]
    pub fn std_dims(&self, dims: &[impl Int], correction: usize, keep: KeepDims) -> Tensor {
        let dims = &ints(dims)[..];
        if self.dtype().is_half() {
            return Tensor::in_f32("var", [self], |[x]| x.std_dims(dims, correction, keep));
        }
        self.var_dims(dims, correction, keep).root_of_variance()
    }

    /// The standard deviation of all elements: the root of [`Tensor::var`]; its gradient at 0 is 0.
    #[track_caller]
    pub fn std(&self, correction: usize) -> Tensor {
        if self.dtype().is_half() {
            return Tensor::in_f32("var", [self], |[x]| x.std(correction));
        }
        self.var(correction).root_of_variance()
    }

    #[track_caller]
    fn root_of_variance(&self) -> Tensor {
        let y = self.detach().sqrt();
        let root = y.saved();
        y.tracked("sqrt", &[self], move |dy, _| {
            let root = result_of(&root);
            vec![Some(Tensor::where_(&root.eq(0), &root.zeros_like(), &dy.div(&root).affine(0.5, 0.0)))]
        })
    }

    /// The Euclidean length over some dimensions, `sqrt(sum(x^2))`; its gradient at 0 is 0. An empty list gives each
    /// element's absolute value.
    ///
    /// # Panics
    /// If there is no such dimension, or one is named twice.
    #[doc(alias = "vector_norm")]
    #[track_caller]
    pub fn norm(&self, dims: &[impl Int], keep: KeepDims) -> Tensor {
        let dims = &ints(dims)[..];
        if self.dtype().is_half() {
            return Tensor::in_f32("norm", [self], |[x]| x.norm(dims, keep));
        }
        let (_, kept, shape) = plan("norm", self.shape(), dims, keep);
        let y = self.detach().square().sum_dims(dims, KeepDims::Yes).sqrt().reshape_to(shape);
        let (x, length) = (self.saved(), y.saved());
        y.tracked(
            || super::reduction("norm", dims, keep),
            &[self],
            move |dy, _| {
                let length = result_of(&length).reshape_to(kept);
                let share = dy.reshape_to(kept).div(&length);
                vec![Some(x.mul(&Tensor::where_(&length.eq_scalar(0.0), &length.zeros_like(), &share)))]
            },
        )
    }

    /// `log(sum(exp(x)))` over some dimensions, without overflow; that of nothing is -inf. An empty list gives the elements
    /// as they are.
    ///
    /// # Panics
    /// If there is no such dimension, or one is named twice.
    #[track_caller]
    pub fn logsumexp(&self, dims: &[impl Int], keep: KeepDims) -> Tensor {
        let dims = &ints(dims)[..];
        if self.dtype().is_half() {
            return Tensor::in_f32("logsumexp", [self], |[x]| x.logsumexp(dims, keep));
        }
        let (_, _, shape) = plan("logsumexp", self.shape(), dims, keep);
        if self.numel() == 0 {
            return self.exp().sum_dims(dims, keep).log();
        }
        let largest = self.detach().amax(dims, KeepDims::Yes);
        // An infinite maximum would turn the difference into NaN.
        let infinite = largest.abs().eq_scalar(f32::INFINITY);
        let shift = Tensor::where_(&infinite, &largest.zeros_like(), &largest);
        let sum = self.sub(&shift).exp().sum_dims(dims, KeepDims::Yes);
        sum.log().add(&shift).reshape_to(shape)
    }
}
