//! Functions for definitions and host paths. Those of numbers are without branches and calls, so that the compiler takes
//! several elements at a time; definitions take the standard library's instead.

// A branch would keep the compiler from taking several elements at a time.
use std::hint::select_unpredictable as pick;

use std::f32::consts::{FRAC_2_SQRT_PI, LOG2_E, SQRT_2};

/// e^x within 2 units in the last place; 0 where it is below the smallest normal number. NaN stays NaN.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // Adding and taking away this rounds to a whole number.
    const ROUND: f32 = 12_582_912.0;
    // 2^n e^r, ln 2 in two parts, the first with few digits.
    let n = x * LOG2_E + ROUND;
    let whole = n - ROUND;
    let r = (x - whole * 0.693_359_4) + whole * 2.121_944_4e-4;
    let series = 1.666_666_5e-1 + r * (4.166_579_6e-2 + r * (8.333_452e-3 + r * (1.398_2e-3 + r * 1.987_569_1e-4)));
    let e = 1.0 + (r + r * r * (0.5 + r * series));
    // Past the ends this is nothing of use.
    let scaled = f32::from_bits(e.to_bits().wrapping_add(n.to_bits() << 23));
    let scaled = pick(x < -87.336_54, 0.0, scaled);
    let scaled = pick(x > 88.722_83, f32::INFINITY, scaled);
    pick(x.is_nan(), x, scaled)
}

/// e^x - 1, with a small relative error near 0.
#[inline(always)]
pub fn exp_m1(x: f32) -> f32 {
    // Taylor's series.
    let high = 1.0 / 120.0 + x * (1.0 / 720.0 + x * (1.0 / 5040.0 + x * (1.0 / 40_320.0)));
    let near = x + x * x * (0.5 + x * (1.0 / 6.0 + x * (1.0 / 24.0 + x * high)));
    pick(x.abs() < 0.5, near, exp(x) - 1.0)
}

/// The natural logarithm within 2 units in the last place; -infinity of 0, NaN of what is less.
#[inline(always)]
pub fn ln(x: f32) -> f32 {
    const HALF_ROOT: u32 = 0x3f35_04f3;
    let is_subnormal = x < f32::MIN_POSITIVE;
    // 2^25 takes subnormal numbers among the others.
    let scaled = pick(is_subnormal, x * 33_554_432.0, x);
    let shift = pick(is_subnormal, -25.0, 0.0);
    // x = 2^n (1 + r), 1 + r between the root of 1/2 and that of 2.
    let n = (scaled.to_bits().wrapping_sub(HALF_ROOT) as i32) >> 23;
    let r = f32::from_bits(scaled.to_bits().wrapping_sub((n << 23) as u32)) - 1.0;
    let n = n as f32 + shift;
    let high = 1.166_76e-1 + r * (-1.151_461e-1 + r * 7.037_683_6e-2);
    let high = 1.424_932_3e-1 + r * (-1.242_014_1e-1 + r * high);
    let high = -2.499_999_4e-1 + r * (2.000_071_5e-1 + r * (-1.666_805_8e-1 + r * high));
    let tail = r * r * (r * (3.333_333e-1 + r * high) - 0.5) + n * -2.121_944_4e-4;
    let y = n * 0.693_359_4 + (r + tail);
    let y = pick(x == 0.0, f32::NEG_INFINITY, y);
    let y = pick(x < 0.0, f32::NAN, y);
    // Infinity and NaN.
    pick(x < f32::INFINITY, y, x)
}

/// ln(1 + x), with a small relative error near 0.
#[inline(always)]
pub fn ln_1p(x: f32) -> f32 {
    // What 1 + x loses of x is made good by the slope.
    let sum = 1.0 + x;
    let lost = pick(sum > 0.0 && sum < f32::INFINITY, (x - (sum - 1.0)) / sum, 0.0);
    pick(x == 0.0, x, ln(sum) + lost)
}

/// The numbers below it in size are those of which [`sin`] and [`cos`] are right: of others, a turn is no longer told exactly.
pub const ANGLES: f32 = 268_435_456.0;

/// The sine within one unit in the last place, of a number below [`ANGLES`] in size.
#[inline(always)]
pub fn sin(x: f32) -> f32 {
    turned(x, 0)
}

/// The cosine, as [`sin`].
#[inline(always)]
pub fn cos(x: f32) -> f32 {
    turned(x, 1)
}

/// The sine of x and so many quarter turns more, in f64.
#[inline(always)]
fn turned(x: f32, quarters: u64) -> f32 {
    // Adding and taking away this rounds to a whole number.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    let x = f64::from(x);
    let n = x * std::f64::consts::FRAC_2_PI + ROUND;
    let whole = n - ROUND;
    // A quarter turn in two parts, the first with 25 digits of two, so that its multiples are exact.
    let r = (x - whole * 1.570_796_310_901_641_8) - whole * 1.589_325_477_352_819_7e-8;
    let square = r * r;
    // Taylor's series up to an eighth of a turn.
    let high = -1.0 / 5040.0 + square * (1.0 / 362_880.0 + square * (-1.0 / 39_916_800.0));
    let sine = r * (1.0 + square * (-1.0 / 6.0 + square * (1.0 / 120.0 + square * high)));
    let high = -1.0 / 720.0 + square * (1.0 / 40_320.0 + square * (-1.0 / 3_628_800.0));
    let cosine = 1.0 + square * (-0.5 + square * (1.0 / 24.0 + square * high));
    let quarter = n.to_bits().wrapping_add(quarters);
    let y = pick(quarter & 1 == 0, sine, cosine);
    pick(quarter & 2 == 0, y, -y) as f32
}

/// 1 / (1 + e^-x).
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// ln(1 + e^x).
#[inline(always)]
pub fn softplus(x: f32) -> f32 {
    relu(x) + ln_1p(exp(-x.abs()))
}

/// The hyperbolic tangent, with a small relative error near 0.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let square = x * x;
    // The fit of Moshier's Cephes.
    let high = 1.333_144_2e-1 + square * (-5.373_971_6e-2 + square * (2.063_909e-2 + square * -5.704_988_7e-3));
    let near = x + x * square * (-3.333_328e-1 + square * high);
    let far = (1.0 - 2.0 / (1.0 + exp(2.0 * x.abs()))).copysign(x);
    pick(x.abs() < 0.625, near, far)
}

/// The error function, with a small relative error near 0.
#[inline(always)]
pub fn erf(x: f32) -> f32 {
    let square = x * x;
    // The fit of Moshier's Cephes.
    let high = 5.188_327_7e-3 + square * (-8.010_193_6e-4 + square * 7.853_861e-5);
    let high = -3.761_262_6e-1 + square * (1.128_358_5e-1 + square * (-2.685_381_2e-2 + square * high));
    let near = x * (FRAC_2_SQRT_PI + square * high);
    let far = (1.0 - 2.0 * normal_cdf(-SQRT_2 * x.abs())).copysign(x);
    pick(x.abs() < 1.0, near, far)
}

/// `x` held above one bound and then below another; NaN stays.
#[inline(always)]
pub fn held(x: f32, low: f32, high: f32) -> f32 {
    let above = pick(x < low, low, x);
    pick(above > high, high, above)
}

/// 0 where x is negative, else x; NaN stays NaN.
#[inline(always)]
pub fn relu(x: f32) -> f32 {
    pick(x < 0.0, 0.0, x)
}

/// The distribution function of the normal distribution within 1e-6 of itself down to x = -5, and e^(-x^2 / 2): the density's
/// bell, which its tail is a multiple of.
#[inline(always)]
pub fn normal(x: f32) -> [f32; 2] {
    let bell = exp(-0.5 * x * x);
    // The tail over the bell as a polynomial of 1 / (1 + 0.3 |x|): a minimax fit of our own up to |x| = 13.5.
    let t = 1.0 / (1.0 + 0.3 * x.abs());
    let low = 6.853_478e-6 + t * (0.119_493_05 + t * (0.121_882_14 + t * 0.094_832_66));
    let high = 0.142_185_94 + t * (-0.076_000_965 + t * (0.228_218_58 + t * (-0.168_952_61 + t * 0.038_334_407)));
    let tail = bell * (low + (t * t) * (t * t) * high);
    [pick(x < 0.0, tail, 1.0 - tail), bell]
}

/// The first of [`normal`].
#[inline(always)]
pub fn normal_cdf(x: f32) -> f32 {
    normal(x)[0]
}

/// Every index of an array of these sizes, the last varying fastest: nested loops in one.
pub fn indices<const N: usize>(sizes: [u32; N]) -> impl Iterator<Item = [usize; N]> {
    let mut left = sizes.iter().map(|&size| size as usize).product::<usize>();
    let mut next = [0; N];
    std::iter::from_fn(move || {
        left = left.checked_sub(1)?;
        let index = next;
        for (at, size) in next.iter_mut().zip(sizes).rev() {
            *at += 1;
            if *at < size as usize {
                break;
            }
            *at = 0;
        }
        Some(index)
    })
}

/// Elements of a row that its sums take at a time, each to a sum of its own.
pub const LANES: usize = 16;

/// A row joined to one value, several elements at a time: `each` takes an element up, `both` makes one of two values.
#[inline(always)]
pub fn fold<T: Copy, A: Copy>(row: &[T], start: A, each: impl Fn(A, T) -> A, both: impl Fn(A, A) -> A) -> A {
    let mut lanes = [start; LANES];
    let (whole, rest) = row.as_chunks::<LANES>();
    for elements in whole {
        for (lane, &x) in lanes.iter_mut().zip(elements) {
            *lane = each(*lane, x);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane = each(*lane, x);
    }
    joined(lanes, both)
}

/// [`fold`] of two rows side by side.
#[inline(always)]
pub fn fold2<A: Copy>(a: &[f32], b: &[f32], start: A, each: impl Fn(A, f32, f32) -> A, both: impl Fn(A, A) -> A) -> A {
    let mut lanes = [start; LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for ((lane, &a), &b) in lanes.iter_mut().zip(a).zip(b) {
            *lane = each(*lane, a, b);
        }
    }
    for ((lane, &a), &b) in lanes.iter_mut().zip(a_rest).zip(b_rest) {
        *lane = each(*lane, a, b);
    }
    joined(lanes, both)
}

#[inline(always)]
fn joined<A: Copy>(mut lanes: [A; LANES], both: impl Fn(A, A) -> A) -> A {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] = both(lanes[i], lanes[i + half]);
        }
        half /= 2;
    }
    lanes[0]
}

/// The sum of `f` over a row.
#[inline(always)]
pub fn sum(row: &[f32], f: impl Fn(f32) -> f64) -> f64 {
    fold(row, 0.0, |sum, x| sum + f(x), |a, b| a + b)
}

/// Elements whose sum f32 takes without a loss that f64 would show in the result.
const FEW: usize = 256;

/// The sum of `f` over a row, of each few elements in f32, and of these sums in f64.
#[inline(always)]
pub fn sum_by_few(row: &[f32], f: impl Fn(f32) -> f32) -> f64 {
    let (mut sum, mut values) = (0.0, [0.0; FEW]);
    // Loops, since the closures of iterators are compiled by themselves where they are long.
    for few in row.chunks(FEW) {
        for (value, x) in values.iter_mut().zip(few) {
            *value = f(*x);
        }
        sum += f64::from(fold(&values[..few.len()], 0.0, |sum, x| sum + x, |a, b| a + b));
    }
    sum
}

/// [`sum_by_few`] of two rows side by side.
#[inline(always)]
pub fn sum_by_few2(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> f64 {
    let mut sum = 0.0;
    for (a, b) in a.chunks(FEW).zip(b.chunks(FEW)) {
        sum += f64::from(fold2(a, b, 0.0, |sum, a, b| sum + f(a, b), |a, b| a + b));
    }
    sum
}

/// The largest of a row, without a look at NaN; -infinity of nothing.
#[inline(always)]
pub fn largest(row: &[f32]) -> f32 {
    fold(row, f32::NEG_INFINITY, |top, x| if x > top { x } else { top }, |a, b| if b > a { b } else { a })
}

/// The sum of what may be nothing: that of an iterator is -0.0 then.
#[inline(always)]
pub fn total(terms: impl Iterator<Item = f64>) -> f64 {
    terms.fold(0.0, |sum, term| sum + term)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_as_near_as_they_say() {
        for i in -8733..=8872 {
            let x = i as f32 / 100.0;
            let want = f64::from(x).exp();
            assert!((f64::from(exp(x)) - want).abs() <= 2.4e-7 * want, "{x}: {} is not {want}", exp(x));
        }
        for i in -900..=900 {
            let x = i as f32 / 100.0;
            let want = 0.5 * libm::erfc(-f64::from(x) * std::f64::consts::FRAC_1_SQRT_2);
            let allowed = if x < 0.0 { 1e-5 * want } else { 2.5e-7 };
            assert!((f64::from(normal_cdf(x)) - want).abs() <= allowed, "{x}: {} is not {want}", normal_cdf(x));
        }
        type Pair = (fn(f32) -> f32, fn(f64) -> f64);
        let near: [Pair; 5] = [
            (tanh, f64::tanh),
            (erf, libm::erf),
            (exp_m1, f64::exp_m1),
            (sigmoid, |x| 1.0 / (1.0 + (-x).exp())),
            (softplus, |x| x.exp().ln_1p()),
        ];
        for (f, want) in near {
            for x in (-8000..=8000).map(|i| i as f32 / 1000.0).chain([1e-6, -3e-10, 1e-30, -1e-38]) {
                let want = want(x.into());
                assert!((f64::from(f(x)) - want).abs() <= 4e-7 * want.abs(), "{x}: {} is not {want}", f(x));
            }
        }
        for x in (-9000..9000).map(|i| i as f32 / 100.0).chain([1e-30, -3e-10, 1e5, -3.3e6, 2.5e8, -1.234_567e8]) {
            for (found, want) in [(sin(x), f64::from(x).sin()), (cos(x), f64::from(x).cos())] {
                assert!((f64::from(found) - want).abs() <= 1e-7 * want.abs(), "{x}: {found} is not {want}");
            }
        }
        assert!(sin(-0.0).is_sign_negative() && sin(f32::NAN).is_nan() && cos(f32::NAN).is_nan());
        for x in (1..4000).map(|i| i as f32 / 1000.0).chain([1e-40, 1e-38, 3e-20, 1e20, f32::MAX]) {
            let want = f64::from(x).ln();
            assert!((f64::from(ln(x)) - want).abs() <= 2e-7 * want.abs(), "{x}: {} is not {want}", ln(x));
        }
        for x in (-999..4000).map(|i| i as f32 / 1000.0).chain([1e-40, -1e-38, 3e-20, 1e-5, -3e-4, 1e20, f32::MAX]) {
            let want = f64::from(x).ln_1p();
            assert!((f64::from(ln_1p(x)) - want).abs() <= 3e-7 * want.abs(), "{x}: {} is not {want}", ln_1p(x));
        }
        assert!(ln_1p(-1.5).is_nan() && ln_1p(f32::NEG_INFINITY).is_nan() && ln_1p(f32::NAN).is_nan());
        assert_eq!([-1.0, -0.0, f32::INFINITY].map(ln_1p), [f32::NEG_INFINITY, 0.0, f32::INFINITY]);
        for f in [exp, normal_cdf, tanh, erf, exp_m1, sigmoid, softplus, ln] {
            assert!(f(f32::NAN).is_nan());
        }
        assert!(ln(-1.0).is_nan() && ln(f32::NEG_INFINITY).is_nan());
        assert_eq!([0.0, -0.0, f32::INFINITY].map(ln), [f32::NEG_INFINITY, f32::NEG_INFINITY, f32::INFINITY]);
        assert_eq!([f32::NEG_INFINITY, f32::INFINITY].map(tanh), [-1.0, 1.0]);
        assert_eq!([f32::NEG_INFINITY, f32::INFINITY].map(erf), [-1.0, 1.0]);
        let ends = [0.0, -87.34, -103.0, -1e30, f32::NEG_INFINITY, 88.73, 1e30, f32::INFINITY].map(exp);
        assert_eq!(ends, [1.0, 0.0, 0.0, 0.0, 0.0, f32::INFINITY, f32::INFINITY, f32::INFINITY]);
        assert!(relu(f32::NAN).is_nan());
    }
}
