//! Whole numbers near the elements, and their signs. Their gradients are 0, as in PyTorch.

use super::{FORWARD, UnaryParams, cost, flat, forward};
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

    /// What is left of the elements without their whole numbers, with their signs: `x - x.trunc()`.
    #[track_caller]
    pub fn frac(&self) -> Tensor {
        self.sub(&self.trunc())
    }
}
