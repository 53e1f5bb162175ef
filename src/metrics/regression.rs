//! Figures of predicted numbers.

use super::Metric;
use super::labels::{one_shape, pair};
use crate::dtype::DType;
use crate::ops::reduce::KeepDims;
use crate::optim::schedule::Better;
use crate::tensor::Tensor;

/// Predictions and targets of one shape; `[n, 1]` and `[n]` are one.
#[track_caller]
fn both(metric: &str, output: &Tensor, target: &Tensor) -> [Tensor; 2] {
    let (x, t) = (output.shape(), target.shape());
    assert!(
        one_shape(&x, &t) && output.dtype() == DType::F32 && target.dtype() == DType::F32,
        "{metric}: expected predictions and targets of f32 and of one shape, got {x} of {} and {t} of {}",
        output.dtype(),
        target.dtype()
    );
    [output.detach(), target.detach().reshape_to(x)]
}

macro_rules! mean {
    ($(#[$doc:meta])* $Name:ident, $name:literal, $each:expr, $of:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct $Name;

        impl $Name {
            /// Of predictions and targets of one shape, over all their elements.
            pub fn new() -> $Name {
                $Name
            }
        }

        impl Metric for $Name {
            fn name(&self) -> String {
                $name.into()
            }

            fn better(&self) -> Better {
                Better::Smaller
            }

            fn len(&self) -> usize {
                2
            }

            #[track_caller]
            fn batch(&self, output: &Tensor, target: &Tensor) -> Tensor {
                let [output, target] = both(stringify!($Name), output, target);
                let each: fn(&Tensor, &Tensor) -> Tensor = $each;
                pair(&each(&output, &target).sum(), &Tensor::full([], output.numel() as f32, output.device()))
            }

            fn value(&self, sums: &[f64]) -> f64 {
                let of: fn(f64) -> f64 = $of;
                of(sums[0] / sums[1])
            }
        }
    };
}

mean! {
    /// The mean of `(y - p)^2`, of targets y and predictions p. NaN where there are none, as all figures here.
    ///
    /// ```
    /// use wgrad::Tensor;
    /// use wgrad::metrics::{MeanSquaredError, Meter};
    /// # fn main() -> wgrad::Result<()> {
    /// let device = wgrad::Device::cpu();
    /// let mut mse = Meter::new(MeanSquaredError::new(), &device);
    /// mse.update(&Tensor::zeros([2], &device), &Tensor::from_slice(&[1.0f32, 3.0], [2], &device));
    /// mse.update(&Tensor::zeros([1], &device), &Tensor::from_slice(&[1.0f32], [1], &device));
    /// assert!((mse.value()? - 11.0 / 3.0).abs() < 1e-6);
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias("torchmetrics.MeanSquaredError"))]
    MeanSquaredError, "mse", |p, y| (p - y).square(), |mean| mean
}

mean! {
    /// The square root of [`MeanSquaredError`], over all elements; scikit-learn's, of several outputs, is the mean of each
    /// one's root.
    RootMeanSquaredError, "rmse", |p, y| (p - y).square(), f64::sqrt
}

mean! {
    /// The mean of `|y - p|`.
    #[doc(alias("torchmetrics.MeanAbsoluteError"))]
    MeanAbsoluteError, "mae", |p, y| (p - y).abs(), |mean| mean
}

mean! {
    /// The mean of `|y - p| / |y|`: 0.1 is ten percent. Where a target is 0 it is divided by 2.2e-16, as scikit-learn does.
    #[doc(alias("torchmetrics.MeanAbsolutePercentageError"))]
    MeanAbsolutePercentageError, "mape", |p, y| (p - y).abs() / y.abs().clamp(f64::EPSILON as f32, f32::INFINITY), |mean| mean
}

/// Predictions and targets as `[rows, outputs]`.
#[track_caller]
fn columns(metric: &str, outputs: usize, output: &Tensor, target: &Tensor) -> [Tensor; 2] {
    let both = both(metric, output, target);
    let x = both[0].shape();
    let is_wrong = if outputs == 1 { x.rank() > 1 && x.last() != Some(&1) } else { x.last() != Some(&outputs) };
    assert!(
        !is_wrong,
        "{metric}: expected {outputs} outputs a row, got {x}: say `{metric}::outputs({})`",
        x.last().copied().unwrap_or(1)
    );
    both.map(|x| x.reshape([x.numel() / outputs, outputs]))
}

/// Sums of columns about a number close to their mean, so that a large mean takes no digits from their spread: that number,
/// which is the first batch's mean, the sum, and the sum of squares; `[3 outputs]`.
struct Spread;

impl Spread {
    fn update(count: &Tensor, old: &Tensor, x: &Tensor) -> Tensor {
        let outputs = x.size(1);
        let [shift, sum, squares] = [0, 1, 2].map(|row| old.narrow(0, row * outputs, outputs));
        let is_first = count.eq_scalar(0.0);
        let shift = is_first.where_(&x.mean_dims(&[0], KeepDims::No), &shift);
        let d = x - &shift;
        let sum = sum + d.sum_dims(&[0], KeepDims::No);
        Tensor::cat(&[&shift, &sum, &(squares + d.square().sum_dims(&[0], KeepDims::No))], 0)
    }

    /// The same of two sets of so many rows, about the number of the first: in f64, where moving them there costs no digits.
    fn merge([a_count, b_count]: [f64; 2], a: &[f64], b: &[f64]) -> Vec<f64> {
        let outputs = a.len() / 3;
        let mut all = if a_count == 0.0 { b.to_vec() } else { a.to_vec() };
        if a_count == 0.0 || b_count == 0.0 {
            return all;
        }
        for at in 0..outputs {
            let (moved, sum) = (b[at] - a[at], b[outputs + at]);
            all[outputs + at] += sum + b_count * moved;
            all[2 * outputs + at] += b[2 * outputs + at] + 2.0 * moved * sum + b_count * moved * moved;
        }
        all
    }

    /// The sum of squares about the mean, for each output.
    fn of(count: f64, sums: &[f64]) -> Vec<f64> {
        let outputs = sums.len() / 3;
        let one = |at: usize| {
            let (sum, squares) = (sums[outputs + at], sums[2 * outputs + at]);
            let spread = squares - sum * sum / count;
            // All one number, but for the rounding of their mean.
            if spread <= 1e-6 * squares { 0.0 } else { spread }
        };
        (0..outputs).map(one).collect()
    }
}

/// The mean over outputs of `1 - left / spread`; where nothing is spread, 1 if nothing is left, else 0.
fn explained(left: &[f64], spread: &[f64]) -> f64 {
    let one = |(&left, &spread): (&f64, &f64)| match (left, spread) {
        (0.0, 0.0) => 1.0,
        (left, 0.0) if !left.is_nan() => 0.0,
        _ => 1.0 - left / spread,
    };
    left.iter().zip(spread).map(one).sum::<f64>() / left.len() as f64
}

macro_rules! coefficient {
    ($(#[$doc:meta])* $Name:ident, $name:literal, $sums:literal, $least:literal, |$old:ident, $count:ident, $residue:ident| $left:expr,
     $merge:expr, |$n:ident, $found:ident, $outputs:ident| $value:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $Name {
            outputs: usize,
        }

        impl $Name {
            /// Of one number a row, `[n]` or `[n, 1]`.
            pub fn new() -> $Name {
                $Name { outputs: 1 }
            }

            /// Of several numbers a row, `[.., outputs]`: the mean of each one's own.
            pub fn outputs(outputs: usize) -> $Name {
                $Name { outputs }
            }
        }

        impl Default for $Name {
            fn default() -> $Name {
                $Name::new()
            }
        }

        impl Metric for $Name {
            fn name(&self) -> String {
                $name.into()
            }

            fn len(&self) -> usize {
                1 + (3 + $sums) * self.outputs
            }

            #[track_caller]
            fn batch(&self, output: &Tensor, target: &Tensor) -> Tensor {
                self.update(&Tensor::zeros([self.len()], output.device()), output, target)
            }

            #[track_caller]
            fn update(&self, sums: &Tensor, output: &Tensor, target: &Tensor) -> Tensor {
                let [output, target] = columns(stringify!($Name), self.outputs, output, target);
                let $count = &sums.narrow(0, 0, 1);
                let spread = Spread::update($count, &sums.narrow(0, 1, 3 * self.outputs), &target);
                let $old = &sums.narrow(0, 1 + 3 * self.outputs, $sums * self.outputs);
                let $residue = &(&target - &output);
                Tensor::cat(&[&$count.affine(1.0, target.size(0) as f32), &spread, &$left], 0)
            }

            fn merge(&self, a: &[f64], b: &[f64]) -> Vec<f64> {
                let (counts, from) = ([a[0], b[0]], 1 + 3 * self.outputs);
                let left: fn([f64; 2], &[f64], &[f64]) -> Vec<f64> = $merge;
                let spread = Spread::merge(counts, &a[1..from], &b[1..from]);
                [vec![a[0] + b[0]], spread, left(counts, &a[from..], &b[from..])].concat()
            }

            fn value(&self, sums: &[f64]) -> f64 {
                let ($n, $outputs) = (sums[0], self.outputs);
                if $n < $least {
                    return f64::NAN;
                }
                let ($found, spread) = (&sums[1 + 3 * $outputs..], Spread::of($n, &sums[1..1 + 3 * $outputs]));
                explained(&$value, &spread)
            }
        }
    };
}

coefficient! {
    /// The coefficient of determination, `1 - sum (y - p)^2 / sum (y - mean y)^2`. Where all targets are one number it is 1
    /// if all predictions are right, else 0; of less than two rows NaN.
    ///
    /// Sums are taken about the first batch's mean, so that targets of 10,000 and a spread of 1 lose no digits.
    ///
    /// ```
    /// use wgrad::Tensor;
    /// use wgrad::metrics::{Meter, R2};
    /// # fn main() -> wgrad::Result<()> {
    /// let device = wgrad::Device::cpu();
    /// let mut r2 = Meter::new(R2::new(), &device);
    /// let predicted = Tensor::from_slice(&[2.5f32, 0.0, 2.0, 8.0], [4], &device);
    /// r2.update(&predicted, &Tensor::from_slice(&[3.0f32, -0.5, 2.0, 7.0], [4], &device));
    /// assert!((r2.value()? - 0.948_608).abs() < 1e-6);
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias("R2Score", "r2_score"))]
    R2, "r2", 1, 2.0,
    |old, count, residue| old + residue.square().sum_dims(&[0], KeepDims::No),
    |_, a, b| a.iter().zip(b).map(|(a, b)| a + b).collect(),
    |n, left, outputs| left
}

coefficient! {
    /// The part of the targets' variance that predictions explain, `1 - var(y - p) / var(y)`: [`R2`] without what a constant
    /// error costs.
    #[doc(alias("torchmetrics.ExplainedVariance"))]
    ExplainedVariance, "explained_variance", 3, 1.0,
    |old, count, residue| Spread::update(count, old, residue),
    Spread::merge,
    |n, left, outputs| Spread::of(n, left)
}
