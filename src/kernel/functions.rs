//! Functions for definitions and host paths. Those of numbers are without branches and calls, so that the compiler takes
//! several elements at a time; definitions take the standard library's instead.

use std::f32::consts::{FRAC_1_SQRT_2, LOG2_E};

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
    let scaled = if x < -87.336_54 { 0.0 } else { scaled };
    let scaled = if x > 88.722_83 { f32::INFINITY } else { scaled };
    if x.is_nan() { x } else { scaled }
}

/// 0 where x is negative, else x; NaN stays NaN.
#[inline(always)]
pub fn relu(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

/// The distribution function of the normal distribution, with a relative error of 1e-6 below 0 and an absolute one of
/// 1e-7 above: half of erfc by the Chebyshev fit of Press et al., "Numerical Recipes", 6.2.
#[inline(always)]
pub fn normal_cdf(x: f32) -> f32 {
    let z = x.abs() * FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.5 * z);
    let high = 0.278_868_07 + t * (-1.135_204 + t * (1.488_515_9 + t * (-0.822_152_2 + t * 0.170_872_77)));
    let fit = 1.000_023_7 + t * (0.374_091_96 + t * (0.096_784_18 + t * (-0.186_288_06 + t * high)));
    let tail = 0.5 * t * exp(-1.265_512_2 + t * fit - z * z);
    if x < 0.0 { tail } else { 1.0 - tail }
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

/// The sum of what may be nothing: that of an iterator is -0.0 then.
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
        assert!(exp(f32::NAN).is_nan() && normal_cdf(f32::NAN).is_nan());
        let ends = [0.0, -87.34, -103.0, -1e30, f32::NEG_INFINITY, 88.73, 1e30, f32::INFINITY].map(exp);
        assert_eq!(ends, [1.0, 0.0, 0.0, 0.0, 0.0, f32::INFINITY, f32::INFINITY, f32::INFINITY]);
        assert!(relu(f32::NAN).is_nan());
    }
}
