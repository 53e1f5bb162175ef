//! Quotients that are whole numbers, what they leave, and angles of points.

use super::binary::integers;
use super::binary::{ATAN2, Comparand, FMOD, REMAINDER, arithmetic, floating};
use crate::autograd::Op;
use crate::kernel::Kernel;
use crate::shape::Shape;
use crate::tensor::Tensor;

/// How a quotient becomes a whole number: PyTorch's `rounding_mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// Down, as Python's `//` does.
    Floor,
    /// Towards 0, as Rust's `/` of whole numbers does.
    Trunc,
}

/// # Quotients and what they leave
impl Tensor {
    /// What whole multiples of `other` leave, with the sign of `other`, broadcast: Python's `%`. Both are f32 or both i32,
    /// of which 0 leaves 0; `other` may be a number.
    ///
    /// ```
    /// let x = wgrad::Tensor::from_slice(&[5, -5], [2], &wgrad::Device::cpu());
    /// assert_eq!(x.remainder(3).to_vec::<i32>()?, [2, 1]);
    /// assert_eq!(x.floor_divide(3).to_vec::<i32>()?, [1, -2]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn remainder(&self, other: impl Comparand) -> Tensor {
        self.left_of(&other.beside(self), [&REMAINDER, &integers::REMAINDER], Rounding::Floor)
    }

    /// What whole multiples of `other` leave, with the sign of `self`, broadcast: Rust's `%`. Both are f32 or both i32, of
    /// which 0 leaves 0; `other` may be a number.
    #[track_caller]
    pub fn fmod(&self, other: impl Comparand) -> Tensor {
        self.left_of(&other.beside(self), [&FMOD, &integers::FMOD], Rounding::Trunc)
    }

    #[track_caller]
    fn left_of(&self, other: &Tensor, kernels: [&'static Kernel; 2], rounding: Rounding) -> Tensor {
        let (a, b) = (self.saved(), other.saved());
        arithmetic(kernels, self, other).tracked(kernels[0].name, &[self, other], move |dy, needs| {
            let of_b = || dy.mul(&a.div_rounded(&b, rounding)).neg().sum_to(b.shape());
            vec![needs[0].then(|| dy.sum_to(a.shape())), needs[1].then(of_b)]
        })
    }

    /// [`Tensor::div`] to whole numbers, broadcast; the gradient is 0. Both are f32, or both i32, where a quotient by 0 is 0.
    #[track_caller]
    pub fn div_rounded(&self, other: &Tensor, rounding: Rounding) -> Tensor {
        if !self.dtype().is_float() && !other.dtype().is_float() {
            let kernel = match rounding {
                Rounding::Floor => &integers::FLOOR_DIVIDE,
                Rounding::Trunc => &integers::TRUNC_DIVIDE,
            };
            return arithmetic([kernel; 2], self, other).noted(kernel.name, &[self, other]);
        }
        if let Some([a, b]) = Tensor::beside_floats("div_rounded", [self, other]) {
            return a.div_rounded(&b, rounding);
        }
        if let Some(([a, b], dtype)) = Tensor::widened("div_rounded", [self, other]) {
            return a.div_rounded(&b, rounding).cast(dtype);
        }
        let (a, b) = (self.detach(), other.detach());
        let quotient = a.div(&b);
        let whole = match rounding {
            Rounding::Trunc => quotient.trunc(),
            Rounding::Floor => {
                // What is left is exact, where a quotient may have been rounded up to a whole number.
                let left = a.fmod(&b);
                let below = a.sub(&left).div(&b).round().sub(&a.remainder(&b).ne(&left));
                Tensor::where_(&b.eq(0), &quotient, &below)
            }
        };
        let shapes = [a.shape(), b.shape()];
        let op = move || Op::new("div_rounded").with("rounding", format!("{rounding:?}"));
        whole.tracked(op, &[self, other], move |dy, needs| {
            let zeros = |(shape, needed): (&Shape, &bool)| needed.then(|| Tensor::zeros(*shape, dy.device()));
            shapes.iter().zip(needs).map(zeros).collect()
        })
    }

    /// The largest whole numbers that are not above the quotients, broadcast: Python's `//`; the gradient is 0. Both are f32, or
    /// both i32, where a quotient by 0 is 0; `other` may be a number.
    #[track_caller]
    pub fn floor_divide(&self, other: impl Comparand) -> Tensor {
        self.div_rounded(&other.beside(self), Rounding::Floor)
    }

    /// The angles of the points whose coordinates are `other` (to the right) and `self` (up), from -pi to pi, broadcast.
    #[track_caller]
    pub fn atan2(&self, other: &Tensor) -> Tensor {
        if let Some([y, x]) = Tensor::beside_floats("atan2", [self, other]) {
            return y.atan2(&x);
        }
        let (a, b) = (self.saved(), other.saved());
        floating(&ATAN2, self, other).tracked("atan2", &[self, other], move |dy, needs| {
            let size = a.square().add(&b.square());
            let zero = Tensor::zeros([], a.device());
            let share = Tensor::where_(&size.eq(0), &zero, &dy.div(&size));
            vec![
                needs[0].then(|| share.mul(&b).sum_to(a.shape())),
                needs[1].then(|| share.mul(&a).neg().sum_to(b.shape())),
            ]
        })
    }
}
