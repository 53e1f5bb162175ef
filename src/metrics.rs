//! Figures of predictions: summed up on the device, batch by batch, or counted on the host.
//!
//! A [`Trainer`](crate::train::Trainer) is given metrics by [`metric`](crate::train::Trainer::metric); a loop by hand has a
//! [`Meter`]. Nothing is read while a set runs through, and the last, smaller batch counts as it should.
//!
//! | | |
//! |---|---|
//! | classes | [`Accuracy`], [`TopK`], [`Precision`], [`Recall`], [`F1`], [`MatthewsCorrelation`], [`CohenKappa`], [`ConfusionCounts`] |
//! | probabilities | [`LogLoss`], [`Perplexity`] |
//! | rankings | [`RocAuc`], [`AveragePrecision`], which need all scores of a set: they are told of validation alone |
//! | numbers | [`MeanSquaredError`], [`RootMeanSquaredError`], [`MeanAbsoluteError`], [`MeanAbsolutePercentageError`], [`R2`], [`ExplainedVariance`] |
//! | curves | [`Scores`], of which [`Scored`] draws ROC and precision over recall, tells calibration and the worst mistakes |
//! | on the host | [`ConfusionMatrix`], [`Bleu`] |
//!
//! Definitions, and what is told where one divides by nothing, are those of [scikit-learn](https://scikit-learn.org/stable/modules/model_evaluation.html).
//! Metrics of classes take logits `[.., classes]` and labels `[..]` of i32, or, where they are made by `binary`, logits of
//! class 1 and labels of their shape, 0 and 1 of either type. Labels of -100 count nothing, as in
//! [`cross_entropy`](Tensor::cross_entropy); a label that is no class makes a figure NaN.
//!
//! Sums are f32: counts are exact up to 2^24 = 16,777,216 items, other sums to about 1e-7 for each of their batches at worst.

mod classification;
mod confusion;
mod labels;
mod likelihood;
mod meter;
mod ranking;
mod regression;
mod scores;
mod text;

pub use classification::{Accuracy, Average, CohenKappa, F1, MatthewsCorrelation, Precision, Recall, TopK};
pub use confusion::{ConfusionCounts, ConfusionMatrix};
pub use likelihood::{LogLoss, Perplexity};
pub use meter::Meter;
pub(crate) use meter::Rows;
pub use ranking::{AveragePrecision, RocAuc};
pub use regression::{
    ExplainedVariance, MeanAbsoluteError, MeanAbsolutePercentageError, MeanSquaredError, R2, RootMeanSquaredError,
};
pub use scores::{CalibrationBin, Mistake, Scored, Scores};
pub use text::Bleu;

use crate::dtype::DType;
use crate::optim::schedule::Better;
use crate::tensor::Tensor;

/// What metrics are given: elements of half size as f32, since counts need its digits.
pub(crate) fn in_f32(x: &Tensor) -> Tensor {
    if x.dtype().is_half() { x.cast(DType::F32) } else { x.clone() }
}

/// A figure of predictions that sums of batches tell, so that it is exact over a set of any size, the last and smaller batch
/// counted right.
///
/// ```
/// use wgrad::Tensor;
/// use wgrad::metrics::{Meter, Metric};
///
/// /// The part of predictions that are at most 1 from their target.
/// struct Near;
///
/// impl Metric for Near {
///     fn name(&self) -> String {
///         "near".into()
///     }
///
///     fn len(&self) -> usize {
///         2
///     }
///
///     fn batch(&self, output: &Tensor, target: &Tensor) -> Tensor {
///         let near = (output - target).abs().le(&Tensor::ones([], output.device()));
///         Tensor::stack(&[&near.sum(), &Tensor::full([], near.numel() as f32, near.device())], 0)
///     }
///
///     fn value(&self, sums: &[f64]) -> f64 {
///         sums[0] / sums[1]
///     }
/// }
///
/// # fn main() -> wgrad::Result<()> {
/// let device = wgrad::Device::cpu();
/// let mut meter = Meter::new(Near, &device);
/// let zeros = Tensor::zeros([2], &device);
/// meter.update(&Tensor::from_slice(&[0.5f32, 3.0], [2], &device), &zeros);
/// assert_eq!(meter.value()?, 0.5);
/// # Ok(())
/// # }
/// ```
pub trait Metric: Send {
    /// Its name in a history.
    fn name(&self) -> String;

    /// Which of two values is better.
    fn better(&self) -> Better {
        Better::Larger
    }

    /// How many sums it keeps.
    fn len(&self) -> usize;

    /// Whether it keeps none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What a batch adds to the sums, `[len]`, made by tensor operations: nothing may be read on the host, since the step is
    /// replayed.
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    fn batch(&self, output: &Tensor, target: &Tensor) -> Tensor;

    /// The sums with another batch: by default what it adds is added.
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    fn update(&self, sums: &Tensor, output: &Tensor, target: &Tensor) -> Tensor {
        sums + self.batch(output, target)
    }

    /// The sums over two sets, from those of each: how the ranks of a [group](crate::train::Trainer::parallel) come to one figure.
    /// By default they are added, as those are that [`update`](Metric::update) adds up: who writes an `update` of another kind
    /// writes this too. Sums of nothing are zeros.
    fn merge(&self, a: &[f64], b: &[f64]) -> Vec<f64> {
        a.iter().zip(b).map(|(a, b)| a + b).collect()
    }

    /// Whether no sums tell the figure, so that what [`batch`](Metric::batch) gives, of any shape, is kept whole: values and
    /// figures are then made of all of it, one batch behind the other. Such a metric is told of validation alone.
    fn collects(&self) -> bool {
        false
    }

    /// The figure, from the sums.
    fn value(&self, sums: &[f64]) -> f64;

    /// The names of all its figures, where it has several: of each class, say.
    fn names(&self) -> Vec<String> {
        vec![self.name()]
    }

    /// All its figures in the order of their names, from the sums.
    fn values(&self, sums: &[f64]) -> Vec<f64> {
        vec![self.value(sums)]
    }
}

/// A metric that is chosen while a program runs.
impl<M: Metric + ?Sized> Metric for Box<M> {
    fn name(&self) -> String {
        (**self).name()
    }

    fn better(&self) -> Better {
        (**self).better()
    }

    fn len(&self) -> usize {
        (**self).len()
    }

    #[track_caller]
    fn batch(&self, output: &Tensor, target: &Tensor) -> Tensor {
        (**self).batch(output, target)
    }

    #[track_caller]
    fn update(&self, sums: &Tensor, output: &Tensor, target: &Tensor) -> Tensor {
        (**self).update(sums, output, target)
    }

    fn merge(&self, a: &[f64], b: &[f64]) -> Vec<f64> {
        (**self).merge(a, b)
    }

    fn collects(&self) -> bool {
        (**self).collects()
    }

    fn value(&self, sums: &[f64]) -> f64 {
        (**self).value(sums)
    }

    fn names(&self) -> Vec<String> {
        (**self).names()
    }

    fn values(&self, sums: &[f64]) -> Vec<f64> {
        (**self).values(sums)
    }
}
