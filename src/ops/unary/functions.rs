//! Logarithms, angles and their inverses, by `shaders/prelude/functions.wgsl`.

use super::{BACKWARD, Function, Saves, backward, cost, flat, flat_backward, forward, pass, slope};
use crate::kernel::functions as fast;
use crate::kernel::{Access, Kernel, Shader, Variant, shader};
use crate::tensor::Tensor;
use std::f32::consts::{LN_2, LN_10};
use std::f64::consts::FRAC_2_SQRT_PI;

static FORWARD: Shader =
    shader!("unary", ["circle", "angles", "hyperbolic", "functions", "halves"], &[Access::Read, Access::Write]);

functions! {
    LOG1P: "log1p", |x, _| x.ln_1p(), "log_of_one_and4(x)",
        saves X, |x, _, dy| dy / (1.0 + x), "dy / (1.0 + x)",
        again |x, _, dy| dy.div(&x.affine(1.0, 1.0)),
        host |x, _| fast::ln_1p(x);
    EXPM1: "expm1", |x, _| x.exp_m1(), "exp_less_one4(x)",
        saves Y, |y, _, dy| dy * (y + 1.0), "dy * (y + 1.0)",
        again |y, _, dy| dy.mul(&y.affine(1.0, 1.0)),
        host |x, _| fast::exp_m1(x);
    LOG2: "log2", |x, _| x.log2(), "1.442695 * log4(x)",
        saves X, |x, _, dy| dy / (LN_2 * x), "dy / (0.6931472 * x)",
        again |x, _, dy| dy.div(&x.affine(LN_2, 0.0));
    LOG10: "log10", |x, _| x.log10(), "0.43429448 * log4(x)",
        saves X, |x, _, dy| dy / (LN_10 * x), "dy / (2.3025851 * x)",
        again |x, _, dy| dy.div(&x.affine(LN_10, 0.0));
    TAN: "tan", |x, _| x.tan(), "sin4(x) / cos4(x)",
        saves Y, |y, _, dy| dy * (1.0 + y * y), "dy * (1.0 + y * y)",
        again |y, _, dy| dy.mul(&y.square().affine(1.0, 1.0));
    ASIN: "asin", |x, _| x.asin(), "asin4(x)",
        saves X, |x, _, dy| dy / ((1.0 - x) * (1.0 + x)).sqrt(), "dy / root4((1.0 - x) * (1.0 + x))",
        again |x, _, dy| dy.mul(&x.square().affine(-1.0, 1.0).rsqrt());
    ACOS: "acos", |x, _| x.acos(), "acos4(x)",
        saves X, |x, _, dy| -dy / ((1.0 - x) * (1.0 + x)).sqrt(), "-dy / root4((1.0 - x) * (1.0 + x))",
        again |x, _, dy| dy.mul(&x.square().affine(-1.0, 1.0).rsqrt()).neg();
    ATAN: "atan", |x, _| x.atan(), "atan4(x)",
        saves X, |x, _, dy| dy / (1.0 + x * x), "dy / (1.0 + x * x)",
        again |x, _, dy| dy.div(&x.square().affine(1.0, 1.0));
    SINH: "sinh", |x, _| x.sinh(), "sinh4(x)",
        saves X, |x, _, dy| dy * x.cosh(), "dy * cosh4(x)",
        again |x, _, dy| dy.mul(&x.cosh());
    COSH: "cosh", |x, _| x.cosh(), "cosh4(x)",
        saves X, |x, _, dy| dy * x.sinh(), "dy * sinh4(x)",
        again |x, _, dy| dy.mul(&x.sinh());
    ASINH: "asinh", |x, _| f64::from(x).asinh() as f32, "asinh4(x)",
        saves X, |x, _, dy| dy / (1.0 + x * x).sqrt(), "dy / sqrt(1.0 + x * x)",
        again |x, _, dy| dy.mul(&x.square().affine(1.0, 1.0).rsqrt());
    ACOSH: "acosh", |x, _| f64::from(x).acosh() as f32, "acosh4(x)",
        saves X, |x, _, dy| dy / ((x - 1.0) * (x + 1.0)).sqrt(), "dy / root4((x - 1.0) * (x + 1.0))",
        again |x, _, dy| dy.mul(&x.square().affine(1.0, -1.0).rsqrt());
    ATANH: "atanh", |x, _| f64::from(x).atanh() as f32, "atanh4(x)",
        saves X, |x, _, dy| dy / ((1.0 - x) * (1.0 + x)), "dy / ((1.0 - x) * (1.0 + x))",
        again |x, _, dy| dy.div(&x.square().affine(-1.0, 1.0));
    ERFINV: "erfinv", |x, _| erfinv(x), "erfinv4(x)",
        saves Y, |y, _, dy| dy * (((f64::from(y) * f64::from(y)).exp() / FRAC_2_SQRT_PI) as f32), "dy * 0.88622693 * exp4(y * y)",
        again |y, _, dy| dy.mul(&y.square().exp()).affine(1.0 / FRAC_2_SQRT_PI as f32, 0.0);
}

/// Newton's steps from an estimate (Winitzki, 2008) to what has this value of the error function.
fn erfinv(x: f32) -> f32 {
    let x = f64::from(x);
    if x.abs() >= 1.0 {
        return if x.abs() == 1.0 { (x * f64::INFINITY) as f32 } else { f32::NAN };
    }
    let log = ((1.0 - x) * (1.0 + x)).ln();
    let a = 4.330_746_750_8 + log / 2.0;
    let mut y = ((a * a - log / 0.147).sqrt() - a).max(0.0).sqrt().copysign(x);
    for _ in 0..4 {
        // Near 1 what is missing there has more digits.
        let off = if x.abs() > 0.5 { (1.0 - x.abs() - libm::erfc(y.abs())) * x.signum() } else { libm::erf(y) - x };
        y -= off / (FRAC_2_SQRT_PI * (-y * y).exp());
    }
    y as f32
}

/// # Logarithms, angles and their inverses
impl Tensor {
    /// `log(1 + x)`, to all digits near 0.
    #[track_caller]
    pub fn log1p(&self) -> Tensor {
        self.function(&LOG1P, 0.0, 0.0)
    }

    /// `e^x - 1`, to all digits near 0.
    #[track_caller]
    pub fn expm1(&self) -> Tensor {
        self.function(&EXPM1, 0.0, 0.0)
    }

    /// The logarithm to the base of 2.
    #[track_caller]
    pub fn log2(&self) -> Tensor {
        self.function(&LOG2, 0.0, 0.0)
    }

    /// The logarithm to the base of 10.
    #[track_caller]
    pub fn log10(&self) -> Tensor {
        self.function(&LOG10, 0.0, 0.0)
    }

    /// The tangent.
    #[track_caller]
    pub fn tan(&self) -> Tensor {
        self.function(&TAN, 0.0, 0.0)
    }

    /// The angle whose sine it is, from -pi/2 to pi/2; NaN past 1.
    #[track_caller]
    pub fn asin(&self) -> Tensor {
        self.function(&ASIN, 0.0, 0.0)
    }

    /// The angle whose cosine it is, from 0 to pi; NaN past 1.
    #[track_caller]
    pub fn acos(&self) -> Tensor {
        self.function(&ACOS, 0.0, 0.0)
    }

    /// The angle whose tangent it is, from -pi/2 to pi/2.
    #[track_caller]
    pub fn atan(&self) -> Tensor {
        self.function(&ATAN, 0.0, 0.0)
    }

    /// The hyperbolic sine.
    #[track_caller]
    pub fn sinh(&self) -> Tensor {
        self.function(&SINH, 0.0, 0.0)
    }

    /// The hyperbolic cosine.
    #[track_caller]
    pub fn cosh(&self) -> Tensor {
        self.function(&COSH, 0.0, 0.0)
    }

    /// The inverse of the hyperbolic sine.
    #[track_caller]
    pub fn asinh(&self) -> Tensor {
        self.function(&ASINH, 0.0, 0.0)
    }

    /// The inverse of the hyperbolic cosine; NaN below 1.
    #[track_caller]
    pub fn acosh(&self) -> Tensor {
        self.function(&ACOSH, 0.0, 0.0)
    }

    /// The inverse of the hyperbolic tangent; infinite at 1, NaN past it.
    #[track_caller]
    pub fn atanh(&self) -> Tensor {
        self.function(&ATANH, 0.0, 0.0)
    }

    /// The inverse of the error function; infinite at 1, NaN past it.
    #[track_caller]
    pub fn erfinv(&self) -> Tensor {
        self.function(&ERFINV, 0.0, 0.0)
    }
}
