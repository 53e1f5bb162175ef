//! Special functions, made of elementary ones.

use crate::tensor::Tensor;
use std::f32::consts::PI;

/// The coefficients of a polynomial from the highest power down, at `x`.
#[track_caller]
fn polynomial(x: &Tensor, coefficients: &[f32]) -> Tensor {
    let first = x.affine(coefficients[0], coefficients[1]);
    coefficients[2..].iter().fold(first, |sum, &c| sum.mul(x).affine(1.0, c))
}

/// The logarithm of the Gamma function from 1/2 to 5/2, whose zeros at 1 and 2 are differences of larger terms elsewhere: by the
/// series of log Gamma(2 + d), whose coefficients are those of zeta(k) - 1 (DLMF 5.7.3).
#[track_caller]
fn lgamma_near_its_zeros(x: &Tensor) -> Tensor {
    const SERIES: [f32; 10] = [
        0.000_099_457_51,
        -0.000_223_154_76,
        0.000_509_669_53,
        -0.001_192_753_9,
        0.002_890_510_3,
        -0.007_385_551,
        0.020_580_808,
        -0.067_352_3,
        0.322_467_03,
        0.422_784_34,
    ];
    let is_near_1 = x.lt(1.5);
    let d = x.sub(&is_near_1.affine(-1.0, 2.0));
    let y = polynomial(&d, &SERIES).mul(&d);
    y.sub(&Tensor::where_(&is_near_1, &d.log1p(), &x.new_full([], 0.0)))
}

/// Where Stirling's series is short: from there on the functions of the Gamma function go by it, below by a shift up to it.
const SHIFT: u8 = 8;

/// # Special functions
impl Tensor {
    /// The size of this tensor with the sign of another, of zeros and infinities too; broadcast.
    #[track_caller]
    pub fn copysign(&self, other: &Tensor) -> Tensor {
        // What lies below 0, or whose reciprocal does: -0.
        let negative = |x: &Tensor| x.lt(0).maximum(x.eq(0).mul(&x.reciprocal().lt(0)));
        let flipped = negative(&self.detach()).ne(negative(&other.detach()));
        Tensor::where_(&flipped, &self.neg(), self).flat_in("copysign", &[other])
    }

    /// 0 below 0, 1 above, and `values` at 0; broadcast. It has no gradient.
    #[track_caller]
    pub fn heaviside(&self, values: &Tensor) -> Tensor {
        let x = self.detach();
        Tensor::where_(&x.eq(0), &values.detach(), &Tensor::where_(&x.isnan(), &x, &x.gt(0)))
    }

    /// `2^x`.
    #[track_caller]
    pub fn exp2(&self) -> Tensor {
        if let Some(([x], dtype)) = Tensor::widened("exp2", [self]) {
            return x.exp2().cast(dtype);
        }
        // A product with log(2) would round, and that by more the larger the power is.
        self.new_full([], 2.0).pow(self)
    }

    /// Degrees as radians.
    #[track_caller]
    pub fn deg2rad(&self) -> Tensor {
        self.affine(PI / 180.0, 0.0)
    }

    /// Radians as degrees.
    #[track_caller]
    pub fn rad2deg(&self) -> Tensor {
        self.affine(180.0 / PI, 0.0)
    }

    /// Rounded to so many places behind the point, or before it where negative; halves to even. Its gradient is 0.
    #[track_caller]
    pub fn round_to(&self, decimals: i32) -> Tensor {
        Tensor::in_f32("round_to", [self], |[x]| {
            let scale = x.new_full([], 10f32.powi(decimals.abs()));
            if decimals >= 0 { x.mul(&scale).round().div(&scale) } else { x.div(&scale).round().mul(&scale) }
        })
    }

    /// `1 - erf(x)`, to its own digits where that is small: by the fit of Press et al., Numerical Recipes, 6.2, whose error
    /// is 1.2e-7 of the value.
    #[track_caller]
    pub fn erfc(&self) -> Tensor {
        if self.dtype().is_half() {
            return Tensor::in_f32("erfc", [self], |[x]| x.erfc());
        }
        const FIT: [f32; 10] = [
            0.170_872_77,
            -0.822_152_23,
            1.488_515_9,
            -1.135_204,
            0.278_868_07,
            -0.186_288_06,
            0.096_784_18,
            0.374_091_96,
            1.000_023_7,
            -1.265_512_2,
        ];
        let size = self.detach().abs();
        let t = size.affine(0.5, 1.0).reciprocal();
        let y = t.mul(&polynomial(&t, &FIT).sub(&size.square()).exp());
        let y = Tensor::where_(&self.detach().lt(0), &y.affine(-1.0, 2.0), &y);
        let x = self.saved();
        y.tracked("erfc", &[self], move |dy, _| {
            vec![Some(dy.mul(&x.square().neg().exp().affine(-2.0 / PI.sqrt(), 0.0)))]
        })
    }

    /// The modified Bessel function of the first kind and order 0, by the fits of Abramowitz and Stegun, 9.8.1 and 9.8.2, whose
    /// error is 2e-7 of the value.
    #[track_caller]
    pub fn i0(&self) -> Tensor {
        if self.dtype().is_half() {
            return Tensor::in_f32("i0", [self], |[x]| x.i0());
        }
        const NEAR: [f32; 7] = [0.004_581_3, 0.036_076_8, 0.265_973_2, 1.206_749_2, 3.089_942_4, 3.515_622_9, 1.0];
        let y = bessel(&self.detach(), &NEAR, |inner| inner.clone(), &FAR_0);
        let x = self.saved();
        y.tracked("i0", &[self], move |dy, _| vec![Some(dy.mul(&x.i1()))])
    }

    /// The modified Bessel function of the first kind and order 1, the slope of [`Tensor::i0`], by 9.8.3 and 9.8.4.
    #[track_caller]
    pub fn i1(&self) -> Tensor {
        if self.dtype().is_half() {
            return Tensor::in_f32("i1", [self], |[x]| x.i1());
        }
        const NEAR: [f32; 7] =
            [0.000_324_11, 0.003_015_32, 0.026_587_33, 0.150_849_34, 0.514_988_69, 0.878_905_94, 0.5];
        let x = self.detach();
        let size = bessel(&x, &NEAR, |inner| inner.mul(&x.abs()), &FAR_1);
        let y = Tensor::where_(&x.lt(0), &size.neg(), &size);
        let x = self.saved();
        y.tracked("i1", &[self], move |dy, _| {
            // At 0, where the quotient has no value, the slope is 1/2.
            let is_zero = x.detach().eq(0);
            let safe = Tensor::where_(&is_zero, &x.new_full([], 1.0), &x);
            let slope = safe.i0().sub(&safe.i1().div(&safe));
            vec![Some(dy.mul(&Tensor::where_(&is_zero, &x.new_full([], 0.5), &slope)))]
        })
    }

    /// The logarithm of the size of the Gamma function: `log((x - 1)!)`, by Stirling's series.
    #[track_caller]
    pub fn lgamma(&self) -> Tensor {
        if self.dtype().is_half() {
            return Tensor::in_f32("lgamma", [self], |[x]| x.lgamma());
        }
        let below = self.detach().lt(0.5);
        // Below, by the reflection at 1/2, and not by both ways.
        let x = Tensor::where_(&below, &self.detach().affine(-1.0, 1.0), &self.detach());
        let (far, product) = shifted(&x, |product, x| product.mul(x));
        let (log, inverse) = (far.log(), far.reciprocal());
        let series = polynomial(&inverse.square(), &[1.0 / 1260.0, -1.0 / 360.0, 1.0 / 12.0]).mul(&inverse);
        let y = log.affine(1.0, -1.0).mul(&far).sub(&log.affine(0.5, -0.5 * (2.0 * PI).ln())).add(&series);
        // x (log x - 1) of infinity is no number's.
        let y = Tensor::where_(&far.isinf(), &far, &y).sub(&product.log());
        let y = Tensor::where_(&x.lt(2.5), &lgamma_near_its_zeros(&x), &y);
        let mirrored = self.detach().sub(&self.detach().round()).affine(PI, 0.0).sin().abs().log();
        let mirrored = mirrored.add(&y).affine(-1.0, PI.ln());
        let whole = Tensor::where_(&self.detach().eq(f32::NEG_INFINITY), &self.detach().neg(), &mirrored);
        let y = Tensor::where_(&below, &whole, &y);
        let x = self.saved();
        y.tracked("lgamma", &[self], move |dy, _| vec![Some(dy.mul(&x.digamma()))])
    }

    /// The slope of [`Tensor::lgamma`]: the logarithmic derivative of the Gamma function; minus
    /// infinity of 0, and NaN of whole numbers below.
    #[track_caller]
    pub fn digamma(&self) -> Tensor {
        if self.dtype().is_half() {
            return Tensor::in_f32("digamma", [self], |[x]| x.digamma());
        }
        let below = self.detach().lt(0.5);
        let x = Tensor::where_(&below, &self.affine(-1.0, 1.0), self);
        let (far, steps) = shifted(&x, |sum, x| sum.add(&x.reciprocal()));
        // The shift begins with a 1, of products.
        let steps = steps.affine(1.0, -1.0);
        let inverse = far.reciprocal();
        let square = inverse.square();
        let series = polynomial(&square, &[1.0 / 252.0, -1.0 / 120.0, 1.0 / 12.0]).mul(&square);
        let y = far.log().sub(&inverse.affine(0.5, 0.0)).sub(&series).sub(&steps);
        let turn = self.sub(&self.detach().round()).affine(PI, 0.0);
        // Off the other side, whose gradient would be NaN.
        let turn = Tensor::where_(&below, &turn, &self.new_full([], 1.0));
        let y = Tensor::where_(&below, &y.sub(&turn.tan().reciprocal().affine(PI, 0.0)), &y);
        // A pole has no sign of its own, but 0 that of its side.
        let still = self.detach();
        let pole = still.le(0).mul(&still.eq(still.round()));
        let end = still.new_full([], f32::NEG_INFINITY).masked_fill(&still.lt(0), f32::NAN);
        Tensor::where_(&pole, &end, &y)
    }
}

/// Powers of 3.75 / x, of i0 and of i1.
const FAR_0: [f32; 9] = [
    0.003_923_77,
    -0.016_476_33,
    0.026_355_37,
    -0.020_577_06,
    0.009_162_81,
    -0.001_575_65,
    0.002_253_19,
    0.013_285_92,
    0.398_942_3,
];
const FAR_1: [f32; 9] = [
    -0.004_200_59,
    0.017_876_54,
    -0.028_953_12,
    0.022_829_67,
    -0.010_315_55,
    0.001_638_01,
    -0.003_620_18,
    -0.039_880_24,
    0.398_942_3,
];

/// A modified Bessel function of |x|: powers of (x / 3.75)^2 up to there, and e^x / sqrt(x) times powers of 3.75 / x beyond.
#[track_caller]
fn bessel(x: &Tensor, near: &[f32], end: impl Fn(&Tensor) -> Tensor, far: &[f32]) -> Tensor {
    let size = x.abs();
    let inner = end(&polynomial(&size.clamp(0.0, 3.75).affine(1.0 / 3.75, 0.0).square(), near));
    let outer = size.maximum(size.new_full([], 3.75));
    let grown = outer.exp().mul(&outer.rsqrt()).mul(&polynomial(&outer.reciprocal().affine(3.75, 0.0), far));
    // Of infinity, e^x / sqrt(x) would be no number.
    let grown = Tensor::where_(&size.isinf(), &size, &grown);
    Tensor::where_(&size.gt(3.75), &grown, &inner)
}

/// `x` moved up by [`SHIFT`] where it is below, and 1 joined by `join` with each step on the way.
#[track_caller]
fn shifted(x: &Tensor, join: fn(&Tensor, &Tensor) -> Tensor) -> (Tensor, Tensor) {
    let near = x.detach().lt(f32::from(SHIFT));
    let one = x.new_full([], 1.0);
    let held = Tensor::where_(&near, x, &one);
    let steps = (0..SHIFT).fold(one.clone(), |all, step| join(&all, &held.affine(1.0, f32::from(step))));
    (Tensor::where_(&near, &x.affine(1.0, f32::from(SHIFT)), x), Tensor::where_(&near, &steps, &one))
}
