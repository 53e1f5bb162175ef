//! Measures of predictions: counted on the host, or summed up on the device by a [`Trainer`](crate::train::Trainer).

use crate::optim::schedule::Better;
use crate::tensor::Tensor;
use std::fmt;

/// A figure of predictions that sums of batches tell, so that it is exact over a set of any size, the last and smaller batch
/// counted right.
pub trait Metric: Send {
    /// Its name in a history.
    fn name(&self) -> String;

    /// Which of two values is better.
    fn better(&self) -> Better {
        Better::Larger
    }

    /// The number of sums that it keeps.
    fn len(&self) -> usize;

    /// Whether it keeps none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The summands of a batch, `[len]`, made by tensor operations: nothing may be read on the host, since the step is
    /// replayed.
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    fn batch(&self, output: &Tensor, target: &Tensor) -> Tensor;

    /// The figure, from the sums.
    fn value(&self, sums: &[f64]) -> f64;
}

/// The part of rows whose largest score is that of their label.
#[derive(Debug, Clone, Copy, Default)]
pub struct Accuracy;

impl Accuracy {
    /// Of scores `[n, classes]` and labels `[n]`.
    pub fn new() -> Accuracy {
        Accuracy
    }
}

impl Metric for Accuracy {
    fn name(&self) -> String {
        "accuracy".into()
    }

    fn len(&self) -> usize {
        2
    }

    #[track_caller]
    fn batch(&self, output: &Tensor, target: &Tensor) -> Tensor {
        let right = output.argmax(-1).eq(target);
        let count = Tensor::full([], right.numel() as f32, right.device());
        Tensor::stack(&[&right.sum(), &count], 0)
    }

    fn value(&self, sums: &[f64]) -> f64 {
        sums[0] / sums[1].max(1.0)
    }
}

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

    /// The part of all predictions that are right; 0 if there are none.
    pub fn accuracy(&self) -> f64 {
        let right: u64 = (0..self.classes).map(|c| self.count(c, c)).sum();
        right as f64 / self.counts.iter().sum::<u64>().max(1) as f64
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
