//! The activations of `torch.nn` that are seldom met.

use super::{
    CELU, HARDSHRINK, HARDSIGMOID, HARDSWISH, HARDTANH, LOGSIGMOID, MISH, SELU, SOFTSHRINK, SOFTSIGN, THRESHOLD,
};
use crate::tensor::Tensor;

/// # Rarer activations
impl Tensor {
    /// `x` held between two bounds (PyTorch's defaults are -1 and 1); the gradient at a bound is 0.
    ///
    /// # Panics
    /// If the lower bound is above the upper one; [`Tensor::clamp`] takes such a pair.
    #[track_caller]
    pub fn hardtanh(&self, min: f32, max: f32) -> Tensor {
        assert!(min <= max, "hardtanh: {min}..{max} is no range: give the lower bound first");
        self.function(&HARDTANH, min, max)
    }

    /// `x` held between 0 and 6.
    #[track_caller]
    pub fn relu6(&self) -> Tensor {
        self.hardtanh(0.0, 6.0)
    }

    /// `x * hardsigmoid(x)` (Howard et al., 2019).
    #[track_caller]
    pub fn hardswish(&self) -> Tensor {
        self.function(&HARDSWISH, 0.0, 0.0)
    }

    /// `x / 6 + 1 / 2` held between 0 and 1.
    #[track_caller]
    pub fn hardsigmoid(&self) -> Tensor {
        self.function(&HARDSIGMOID, 0.0, 0.0)
    }

    /// `x / (1 + |x|)`.
    #[track_caller]
    pub fn softsign(&self) -> Tensor {
        self.function(&SOFTSIGN, 0.0, 0.0)
    }

    /// `x * tanh(log(1 + e^x))` (Misra, 2020).
    #[track_caller]
    pub fn mish(&self) -> Tensor {
        self.function(&MISH, 0.0, 0.0)
    }

    /// The exponential unit whose outputs keep mean 0 and variance 1 (Klambauer et al., 2017).
    #[track_caller]
    pub fn selu(&self) -> Tensor {
        self.function(&SELU, 0.0, 0.0)
    }

    /// `x` where positive, else `alpha * (e^(x / alpha) - 1)` (PyTorch's default alpha is 1).
    ///
    /// # Panics
    /// If alpha is 0.
    #[track_caller]
    pub fn celu(&self, alpha: f32) -> Tensor {
        assert!(alpha != 0.0, "celu: an alpha of 0 divides by it");
        self.function(&CELU, alpha, 0.0)
    }

    /// `log(1 / (1 + e^-x))`, without underflow.
    #[track_caller]
    pub fn logsigmoid(&self) -> Tensor {
        self.function(&LOGSIGMOID, 0.0, 0.0)
    }

    /// `log(1 + e^(beta x)) / beta`, and `x` itself where `beta x` is above the threshold (PyTorch's is 20).
    #[track_caller]
    pub fn softplus_with(&self, beta: f32, threshold: f32) -> Tensor {
        if let Some(([x], dtype)) = Tensor::widened("softplus", [self]) {
            return x.softplus_with(beta, threshold).cast(dtype);
        }
        let scaled = self.affine(beta, 0.0);
        Tensor::where_(&scaled.gt(threshold), self, &scaled.softplus().affine(1.0 / beta, 0.0))
    }

    /// `x` above a threshold, else a value.
    #[track_caller]
    pub fn threshold(&self, threshold: f32, value: f32) -> Tensor {
        self.function(&THRESHOLD, threshold, value)
    }

    /// `x` where farther than `lambda` from 0, else 0 (PyTorch's default is 0.5).
    #[track_caller]
    pub fn hardshrink(&self, lambda: f32) -> Tensor {
        self.function(&HARDSHRINK, lambda, 0.0)
    }

    /// `x` drawn towards 0 by `lambda`, and 0 where nearer (PyTorch's default is 0.5).
    ///
    /// # Panics
    /// If lambda is below 0 or NaN.
    #[track_caller]
    pub fn softshrink(&self, lambda: f32) -> Tensor {
        assert!(lambda >= 0.0, "softshrink: a lambda of {lambda}: expected a number from 0 up");
        self.function(&SOFTSHRINK, lambda, 0.0)
    }

    /// `x - tanh(x)`.
    #[track_caller]
    pub fn tanhshrink(&self) -> Tensor {
        self.sub(&self.tanh())
    }

    /// The first half along a dimension times the logistic function of the second (Dauphin et al., 2017).
    ///
    /// # Panics
    /// If there is no such dimension, or it is of odd size.
    #[track_caller]
    pub fn glu(&self, dim: isize) -> Tensor {
        let size = self.size(dim);
        assert!(size.is_multiple_of(2), "glu: {}: {size} elements along {dim} do not halve", self.shape());
        let half = |start| self.narrow(dim, start, size / 2);
        half(0).mul(&half(size / 2).sigmoid())
    }
}
