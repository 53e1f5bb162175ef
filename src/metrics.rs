//! How good predictions are, counted on the host.

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

    /// How often `truth` was taken for `predicted`.
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
