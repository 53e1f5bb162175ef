//! Whole numbers near the elements, and their signs. Their gradients are 0, as in PyTorch.

use super::{FORWARD, UnaryParams, cost, flat, forward};
use crate::dtype::DType;
use crate::kernel::{Kernel, Tolerance, Variant};
use crate::tensor::Tensor;

macro_rules! functions {
    ($($constant:ident: $name:literal, $value:expr, $wgsl:literal;)*) => {
        $(static $constant: Kernel = Kernel::new($name, FORWARD.access, |call| forward(call, |x, _| $value(x)), cost)
            .tolerance(Tolerance::EXACT)
            .variants(&[Variant::new("flat", |_, d| flat(&FORWARD, $wgsl, d))]);)*

        /// The kernels of this page.
        pub static KERNELS: &[&Kernel] = &[$(&$constant),*];
    };
}

functions! {
    SIGN: "sign", super::sign, "slope_of_abs4(x)";
    ROUND: "round", f32::round_ties_even, "round(x)";
    FLOOR: "floor", f32::floor, "floor(x)";
    CEIL: "ceil", f32::ceil, "ceil(x)";
    TRUNC: "trunc", f32::trunc, "trunc(x)";
    EXPONENT: "frexp_exponent", |x| parts(x).1, "exponent4(x)";
    MANTISSA: "frexp_mantissa", |x| parts(x).0, "mantissa4(x)";
}

/// `m` from 1/2 to below 1 and a whole `e` of which `x = m 2^e`; what is 0 or no number is its own `m`.
fn parts(x: f32) -> (f32, f32) {
    if x == 0.0 || !x.is_finite() {
        return (x, 0.0);
    }
    let (m, e) = libm::frexpf(x);
    (m, e as f32)
}

/// # Whole numbers and signs
impl Tensor {
    #[track_caller]
    fn stepped(&self, kernel: &'static Kernel) -> Tensor {
        let x = self.packed(kernel.name);
        let y = x.new_like();
        Tensor::run(kernel, &[&x, &y], &UnaryParams { n: x.numel() as u32, a: 0.0, b: 0.0 });
        y.tracked(kernel.name, &[&x], |dy, _| vec![Some(dy.zeros_like())])
    }

    /// 1 where positive, -1 where negative, else 0, of NaN too; its gradient is 0.
    #[track_caller]
    pub fn sign(&self) -> Tensor {
        self.stepped(&SIGN)
    }

    /// The nearest whole number, of two the even one; its gradient is 0.
    #[track_caller]
    pub fn round(&self) -> Tensor {
        self.stepped(&ROUND)
    }

    /// The largest whole number that is not above; its gradient is 0.
    #[track_caller]
    pub fn floor(&self) -> Tensor {
        self.stepped(&FLOOR)
    }

    /// The smallest whole number that is not below; its gradient is 0.
    #[track_caller]
    pub fn ceil(&self) -> Tensor {
        self.stepped(&CEIL)
    }

    /// The whole number towards 0; its gradient is 0.
    #[track_caller]
    pub fn trunc(&self) -> Tensor {
        self.stepped(&TRUNC)
    }

    /// Each element as `m 2^e`, `m` from 1/2 to below 1 with its sign, and a whole `e` (i32); 0, infinities and NaN are their own
    /// `m`. The gradient of `m` is `2^-e`.
    ///
    /// ```
    /// let x = wgrad::Tensor::from_slice(&[6.0f32, -0.25], [2], &wgrad::Device::cpu());
    /// let (m, e) = x.frexp();
    /// assert_eq!((m.to_vec::<f32>()?, e.to_vec::<i32>()?), (vec![0.75, -0.5], vec![3, -1]));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn frexp(&self) -> (Tensor, Tensor) {
        let x = self.detach();
        let exponent = x.stepped(&EXPONENT);
        let scale = exponent.neg().saved();
        let m = x.stepped(&MANTISSA).tracked("frexp", &[self], move |dy, _| vec![Some(dy.mul(&scale.exp2()))]);
        (m, exponent.cast(DType::I32))
    }

    /// What is left of the elements without their whole numbers, with their signs: `x - x.trunc()`.
    #[track_caller]
    pub fn frac(&self) -> Tensor {
        self.sub(&self.trunc())
    }
}
