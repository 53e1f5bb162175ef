//! The incomplete gamma functions: `shaders/binary.wgsl` with `shaders/prelude/gamma.wgsl`.

use super::binary::floating;
use crate::dtype::DType;
use crate::kernel::elementwise::{self, BINARY, binary_variants, with_gamma};
use crate::kernel::{Dispatch, Kernel, Tolerance};
use crate::tensor::Tensor;

/// Some hundred operations each, of series and fractions that end early.
fn flops(d: &Dispatch) -> crate::kernel::Cost {
    d.cost(100 * elementwise::count(d) as u64)
}

macro_rules! functions {
    ($($constant:ident: $name:literal, $value:expr, $wgsl:literal;)*) => {
        $(static $constant: Kernel =
            Kernel::new($name, BINARY, |call| elementwise::definition::<f32, f32>(call, $value), flops)
                .host(|call| elementwise::host::<f32, f32>(call, $value))
                .tolerance(Tolerance { relative: 3e-5, absolute: 1e-7 })
                .variants(binary_variants!($wgsl, with_gamma));)*
    };
}

functions! {
    IGAMMA: "igamma", |a, x| parts(a, x)[0], "incomplete4(a, b, false)";
    IGAMMAC: "igammac", |a, x| parts(a, x)[1], "incomplete4(a, b, true)";
}

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&IGAMMA, &IGAMMAC];

/// The lower and the upper part of the Gamma function's integral, divided by the whole (DLMF 8.7.1 and 8.9.2).
fn parts(a: f32, x: f32) -> [f32; 2] {
    let (a, x) = (f64::from(a), f64::from(x));
    let lower = match () {
        () if a.is_nan() || x.is_nan() || a < 0.0 || x < 0.0 => f64::NAN,
        () if a == 0.0 && x == 0.0 || a.is_infinite() && x.is_infinite() => f64::NAN,
        () if a == 0.0 || x.is_infinite() => 1.0,
        () if x == 0.0 || a.is_infinite() => 0.0,
        () => {
            // x^a e^-x / Gamma(a + 1)
            let weight = (a * x.ln() - x - libm::lgamma(a + 1.0)).exp();
            if x >= a + 1.0 {
                let upper = weight * a * fraction(a, x);
                return [(1.0 - upper) as f32, upper as f32];
            }
            weight * series(a, x)
        }
    };
    [lower as f32, (1.0 - lower) as f32]
}

/// `1 + x / (a + 1) + x^2 / ((a + 1) (a + 2)) + ..`
fn series(a: f64, x: f64) -> f64 {
    let (mut term, mut sum, mut n) = (1.0, 1.0, a);
    while term > 1e-17 * sum {
        n += 1.0;
        term *= x / n;
        sum += term;
    }
    sum
}

/// `1 / (x + 1 - a - 1 (1 - a) / (x + 3 - a - 2 (2 - a) / (x + 5 - a - ..)))` by the rule of Lentz (1976).
fn fraction(a: f64, x: f64) -> f64 {
    let (mut b, mut c) = (x + 1.0 - a, 1e300);
    let mut d = 1.0 / b;
    let mut y = d;
    for i in (1..100_000).map(f64::from) {
        let numerator = -i * (i - a);
        b += 2.0;
        d = 1.0 / (numerator * d + b);
        c = b + numerator / c;
        y *= c * d;
        if (c * d - 1.0).abs() < 1e-16 {
            break;
        }
    }
    y
}

/// # Incomplete gamma functions
impl Tensor {
    /// The share of the Gamma function's integral up to `x`, of `a` from 0 up, which this tensor holds: `P(a, x)`, broadcast. It has
    /// a gradient for `x` alone. PyTorch's `igamma`, SciPy's `gammainc`.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::cpu();
    /// let [a, x] = [1.0f32, 2.0].map(|value| Tensor::scalar(value, &device));
    /// assert!((a.igamma(&x).item()? - (1.0 - (-2.0f32).exp())).abs() < 1e-6);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// If the shapes do not broadcast, these are no floats, or a gradient is asked for `a`.
    #[doc(alias = "gammainc")]
    #[track_caller]
    pub fn igamma(&self, x: &Tensor) -> Tensor {
        self.incomplete(&IGAMMA, x, 1.0)
    }

    /// What is left of 1 above [`Tensor::igamma`], to its own digits where that is small: `Q(a, x)`.
    ///
    /// # Panics
    /// As [`Tensor::igamma`].
    #[doc(alias = "gammaincc")]
    #[track_caller]
    pub fn igammac(&self, x: &Tensor) -> Tensor {
        self.incomplete(&IGAMMAC, x, -1.0)
    }

    #[track_caller]
    fn incomplete(&self, kernel: &'static Kernel, x: &Tensor, sign: f32) -> Tensor {
        let name = kernel.name;
        assert!(!self.is_tracked(), "{name}: it has no gradient for its first argument: call `detach` on that");
        if self.dtype().is_half() || x.dtype().is_half() {
            return Tensor::in_f32(name, [self, x], |[a, x]| a.incomplete(kernel, x, sign));
        }
        let types = [self.dtype(), x.dtype()];
        assert!(types == [DType::F32; 2], "{name}: {} x {}: expected floats", types[0], types[1]);
        let y = floating(kernel, self, x);
        let (a, at) = (self.saved(), x.saved());
        y.tracked(name, &[self, x], move |dy, needs| {
            // x^(a - 1) e^-x / Gamma(a)
            let slope = || {
                let log = a.affine(1.0, -1.0).mul(&at.log()).sub(&at).sub(&a.lgamma());
                dy.mul(&log.exp().affine(sign, 0.0)).sum_to(at.shape())
            };
            vec![None, needs[1].then(slope)]
        })
    }
}
