//! Tables of true and predicted classes.

use super::Metric;
use super::classification::{Counts, shares};
use super::labels::{Labels, labelled};
use crate::error::{Error, Result};
use crate::tensor::Tensor;
use std::fmt;

/// Counts of (true class, predicted class).
///
/// ```
/// let mut matrix = wgrad::metrics::ConfusionMatrix::new(2);
/// matrix.add(&[0, 1, 1], &[0, 1, 0]);
/// assert_eq!(matrix.count(1, 0), 1);
/// assert_eq!(matrix.accuracy(), 2.0 / 3.0);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfusionMatrix {
    classes: usize,
    counts: Vec<u64>,
}

impl ConfusionMatrix {
    /// No predictions yet.
    pub fn new(classes: usize) -> ConfusionMatrix {
        ConfusionMatrix { classes, counts: vec![0; classes * classes] }
    }

    /// Counts pairs of a true class and a predicted one.
    ///
    /// # Panics
    /// If the lengths differ or a class is out of range.
    #[track_caller]
    pub fn add(&mut self, truth: &[i32], predicted: &[i32]) {
        assert!(
            truth.len() == predicted.len(),
            "ConfusionMatrix: {} labels, {} predictions",
            truth.len(),
            predicted.len()
        );
        let inside = |class: i32| usize::try_from(class).ok().filter(|&c| c < self.classes);
        for (&t, &p) in truth.iter().zip(predicted) {
            let (Some(row), Some(column)) = (inside(t), inside(p)) else {
                panic!("ConfusionMatrix: class {t} or {p} is not in 0..{}", self.classes)
            };
            self.counts[row * self.classes + column] += 1;
        }
    }

    /// The number of times that `truth` was taken for `predicted`.
    pub fn count(&self, truth: usize, predicted: usize) -> u64 {
        self.counts[truth * self.classes + predicted]
    }

    /// From the sums of [`ConfusionCounts`].
    ///
    /// # Errors
    /// [`Error::Option`] if they are of something else, or a label was no class.
    pub fn of_sums(sums: &[f64]) -> Result<ConfusionMatrix> {
        let classes = sums.len().isqrt();
        let wrong = |text: String| Err(Error::Option(format!("ConfusionMatrix: {text}")));
        let Some((foreign, counts)) = sums.split_last().filter(|(_, counts)| counts.len() == classes * classes) else {
            return wrong(format!("expected classes x classes + 1 sums of `ConfusionCounts`, got {}", sums.len()));
        };
        if *foreign != 0.0 {
            let all = counts.iter().sum::<f64>() + foreign;
            return wrong(format!("{foreign} of {all} labels are not in 0..{classes}"));
        }
        Ok(ConfusionMatrix { classes, counts: counts.iter().map(|&count| count as u64).collect() })
    }

    /// How many classes there are.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Of the predictions of a class, the part that is right; 0 if there are none.
    pub fn precision(&self, class: usize) -> f64 {
        self.with_counts(|counts| shares::each(shares::precision, counts)[class])
    }

    /// Of the rows of a class, the part that is found; 0 if there are none.
    pub fn recall(&self, class: usize) -> f64 {
        self.with_counts(|counts| shares::each(shares::recall, counts)[class])
    }

    /// The harmonic mean of a class's precision and recall; 0 if it never was and never was predicted.
    pub fn f1(&self, class: usize) -> f64 {
        self.with_counts(|counts| shares::each(shares::f1, counts)[class])
    }

    /// The correlation coefficient of [`MatthewsCorrelation`](super::MatthewsCorrelation).
    pub fn matthews_correlation(&self) -> f64 {
        self.with_counts(shares::matthews)
    }

    /// Cohen's kappa: [`CohenKappa`](super::CohenKappa).
    pub fn cohen_kappa(&self) -> f64 {
        self.with_counts(shares::kappa)
    }

    fn with_counts<T>(&self, of: impl Fn(&Counts) -> T) -> T {
        let classes = || 0..self.classes;
        let count = |t: usize, p: usize| self.count(t, p) as f64;
        let right: Vec<f64> = classes().map(|c| count(c, c)).collect();
        let predicted: Vec<f64> = classes().map(|p| classes().map(|t| count(t, p)).sum()).collect();
        let truth: Vec<f64> = classes().map(|t| classes().map(|p| count(t, p)).sum()).collect();
        of(&Counts { right: &right, predicted: &predicted, truth: &truth })
    }

    /// The part of all predictions that are right; 0 if there are none.
    pub fn accuracy(&self) -> f64 {
        let right: u64 = (0..self.classes).map(|c| self.count(c, c)).sum();
        right as f64 / self.counts.iter().sum::<u64>().max(1) as f64
    }
}

/// Counts on the device of which a [`ConfusionMatrix`] is made. By [`Trainer::measure`](crate::train::Trainer::measure), or:
///
/// ```
/// use wgrad::Tensor;
/// use wgrad::metrics::{ConfusionCounts, ConfusionMatrix, Meter};
/// # fn main() -> wgrad::Result<()> {
/// let device = wgrad::Device::cpu();
/// let mut counts = Meter::new(ConfusionCounts::new(2), &device);
/// let logits = Tensor::from_slice(&[2.0f32, 1.0, 0.0, 3.0], [2, 2], &device);
/// counts.update(&logits, &Tensor::from_slice(&[0, 0], [2], &device));
/// let matrix = ConfusionMatrix::of_sums(&counts.sums()?)?;
/// assert_eq!((matrix.count(0, 1), matrix.recall(0)), (1, 0.5));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConfusionCounts {
    labels: Labels,
}

impl ConfusionCounts {
    /// Of scores `[.., classes]` and labels `[..]`.
    pub fn new(classes: usize) -> ConfusionCounts {
        ConfusionCounts { labels: Labels::of(classes) }
    }

    /// Of logits of class 1 and labels of 0 and 1, both of one shape.
    pub fn binary() -> ConfusionCounts {
        ConfusionCounts { labels: Labels::binary() }
    }
}

labelled!(ConfusionCounts, "Of probabilities, not logits: class 1 is predicted where its own is above 0.5.");

impl Metric for ConfusionCounts {
    fn name(&self) -> String {
        "confusion".into()
    }

    fn len(&self) -> usize {
        self.labels.classes.map_or(0, |classes| classes * classes + 1)
    }

    #[track_caller]
    fn batch(&self, output: &Tensor, target: &Tensor) -> Tensor {
        let rows = self.labels.rows("ConfusionCounts", output, target);
        let classes = self.labels.classes.unwrap_or_default();
        let truth = rows.labels.one_hot(classes).mul(&rows.counted.unsqueeze(1));
        let counts = truth.t().matmul(&self.labels.predicted(&rows).one_hot(classes));
        let foreign = self.labels.foreign(&rows).sum();
        Tensor::cat(&[&counts.reshape([classes * classes]), &foreign.reshape([1])], 0)
    }

    /// The accuracy; the matrix tells more.
    fn value(&self, sums: &[f64]) -> f64 {
        ConfusionMatrix::of_sums(sums).map_or(f64::NAN, |matrix| matrix.accuracy())
    }

    /// None: a history has no table.
    fn names(&self) -> Vec<String> {
        Vec::new()
    }

    fn values(&self, _: &[f64]) -> Vec<f64> {
        Vec::new()
    }
}

impl fmt::Display for ConfusionMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width =
            self.counts.iter().map(|c| c.to_string().len()).max().unwrap_or(1).max(self.classes.to_string().len()) + 1;
        write!(f, "true \\ predicted")?;
        for c in 0..self.classes {
            write!(f, "{c:>width$}")?;
        }
        for t in 0..self.classes {
            write!(f, "\n{t:>16}")?;
            for p in 0..self.classes {
                match self.count(t, p) {
                    0 => write!(f, "{:>width$}", "·")?,
                    n => write!(f, "{n:>width$}")?,
                }
            }
        }
        Ok(())
    }
}
