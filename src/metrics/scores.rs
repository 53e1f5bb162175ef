//! All scores of a set, for what no single figure tells: curves, calibration, the worst mistakes.

use super::Metric;
use super::labels::{Labels, labelled};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// Keeps the probabilities of a set and its labels, of which [`Scored`] draws curves. A run that has it among its metrics has
/// them in its [report](crate::train::Report), too. By [`Trainer::measure`](crate::train::Trainer::measure), or:
///
/// ```
/// use wgrad::Tensor;
/// use wgrad::metrics::{Meter, Scored, Scores};
/// # fn main() -> wgrad::Result<()> {
/// let device = wgrad::Device::cpu();
/// let mut scores = Meter::new(Scores::new(2), &device);
/// let logits = Tensor::from_slice(&[2.0f32, 0.0, 0.0, 3.0, 1.0, 0.0], [3, 2], &device);
/// scores.update(&logits, &Tensor::from_slice(&[0, 1, 1], [3], &device));
/// let scored = Scored::of_sums(&scores.sums()?)?;
/// assert_eq!(scored.roc_curve(1), [(0.0, 0.0), (0.0, 0.5), (0.0, 1.0), (1.0, 1.0)]);
/// let worst = &scored.worst(1)[0];
/// assert_eq!((worst.item, worst.truth, worst.predicted), (2, 1, 0));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scores {
    labels: Labels,
}

impl Scores {
    /// Of logits `[.., classes]` and labels `[..]`.
    pub fn new(classes: usize) -> Scores {
        Scores { labels: Labels::of(classes) }
    }

    /// Of logits of class 1 and labels of 0 and 1, both of one shape.
    pub fn binary() -> Scores {
        Scores { labels: Labels::binary() }
    }
}

labelled!(Scores, "Of probabilities, not logits.");

/// Instead of the label of a row that counts nothing: no whole number of 32 bits is so small.
const NONE: f32 = f32::MIN;

impl Metric for Scores {
    fn name(&self) -> String {
        "scores".into()
    }

    fn len(&self) -> usize {
        0
    }

    fn collects(&self) -> bool {
        true
    }

    #[track_caller]
    fn batch(&self, output: &Tensor, target: &Tensor) -> Tensor {
        let rows = self.labels.rows("Scores", output, target);
        let probabilities = match (self.labels.is_binary(), self.labels.probabilities) {
            (true, true) => rows.scores.unsqueeze(1),
            (true, false) => rows.scores.sigmoid().unsqueeze(1),
            (false, true) => rows.scores,
            (false, false) => rows.scores.softmax(-1),
        };
        let probabilities = match self.labels.is_binary() {
            true => Tensor::cat(&[&probabilities.affine(-1.0, 1.0), &probabilities], 1),
            false => probabilities,
        };
        let none = Tensor::full([], NONE, rows.labels.device());
        let labels = Tensor::where_(&rows.counted, &rows.labels.cast(DType::F32), &none);
        let width = labels.new_full(labels.shape(), probabilities.size(1) as f32);
        // Each row says how many classes there are, since what is collected has no shape.
        Tensor::cat(&[&width.unsqueeze(1), &labels.unsqueeze(1), &probabilities], 1)
    }

    /// The accuracy.
    fn value(&self, sums: &[f64]) -> f64 {
        Scored::of_sums(sums).map_or(f64::NAN, |scored| scored.accuracy())
    }

    /// None: a history has no curves.
    fn names(&self) -> Vec<String> {
        Vec::new()
    }

    fn values(&self, _: &[f64]) -> Vec<f64> {
        Vec::new()
    }
}

/// Items with their labels and the probabilities of all classes, from [`Scores`].
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    classes: usize,
    /// Each an item's number, its label, and its probabilities.
    items: Vec<(usize, usize, Vec<f64>)>,
}

/// An item that was taken for something else.
#[derive(Debug, Clone, PartialEq)]
pub struct Mistake {
    /// Its number in the set, in the order in which it was looked through.
    pub item: usize,
    /// What it is.
    pub truth: usize,
    /// What it was taken for.
    pub predicted: usize,
    /// The probability that was given to that.
    pub confidence: f64,
    /// Minus the logarithm of the probability that was given to what it is.
    pub loss: f64,
}

/// Predictions of about one confidence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CalibrationBin {
    /// The mean probability that was given to what they were taken for.
    pub confidence: f64,
    /// The part of them that is right.
    pub accuracy: f64,
    /// Their number.
    pub items: usize,
}

impl Scored {
    /// From what [`Scores`] collected.
    ///
    /// # Errors
    /// [`Error::Option`] if it is of something else, or a label was no class.
    pub fn of_sums(sums: &[f64]) -> Result<Scored> {
        let wrong = |text: String| Error::Option(format!("Scored: {text}"));
        let classes = sums.first().map_or(0, |classes| *classes as usize);
        if !sums.len().is_multiple_of(classes + 2) || classes < 2 && !sums.is_empty() {
            return Err(wrong(format!("expected what `Scores` collected, got {} numbers", sums.len())));
        }
        let mut items = Vec::new();
        for (at, row) in sums.chunks_exact(classes + 2).enumerate() {
            let label = row[1];
            if label == f64::from(NONE) {
                continue;
            }
            if !(0.0..classes as f64).contains(&label) {
                return Err(wrong(format!("item {at} has the label {label}, which is not in 0..{classes}")));
            }
            items.push((at, label as usize, row[2..].to_vec()));
        }
        Ok(Scored { classes, items })
    }

    /// How many classes there are.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// How many items count.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether no item counts.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The part of items that are taken for what they are.
    pub fn accuracy(&self) -> f64 {
        let right = self.items.iter().filter(|(_, label, row)| best(row) == *label).count();
        right as f64 / self.items.len().max(1) as f64
    }

    /// At each threshold for a class, from the highest on: the part of other items above it, and the part of its own
    /// (scikit-learn's `roc_curve`, each threshold kept). NaN where there are none.
    ///
    /// # Panics
    /// If there is no such class.
    #[track_caller]
    pub fn roc_curve(&self, class: usize) -> Vec<(f64, f64)> {
        let counts = self.above(class);
        let (own, others) = counts.last().copied().unwrap_or_default();
        let share = |(a, b): (usize, usize)| (b as f64 / others as f64, a as f64 / own as f64);
        std::iter::once((0, 0)).chain(counts).map(share).collect()
    }

    /// At each threshold for a class, from the highest on: the part of its items above it, and the part that they are of all
    /// above it (scikit-learn's `precision_recall_curve`, from the other end). The first point is a recall of 0 and a precision
    /// of 1.
    ///
    /// # Panics
    /// If there is no such class.
    #[track_caller]
    pub fn precision_recall_curve(&self, class: usize) -> Vec<(f64, f64)> {
        let counts = self.above(class);
        let own = counts.last().map_or(0, |(own, _)| *own);
        let share = |(a, b): (usize, usize)| (a as f64 / own as f64, a as f64 / (a + b) as f64);
        std::iter::once((0.0, 1.0)).chain(counts.into_iter().map(share)).collect()
    }

    /// How many of a class and of others are at or above each score.
    #[track_caller]
    fn above(&self, class: usize) -> Vec<(usize, usize)> {
        assert!(class < self.classes, "there is no class {class} of {}", self.classes);
        let mut all: Vec<(f64, bool)> =
            self.items.iter().map(|(_, label, row)| (row[class], *label == class)).collect();
        all.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut sums = (0, 0);
        let of = |equal: &[(f64, bool)]| {
            let own = equal.iter().filter(|(_, own)| *own).count();
            sums = (sums.0 + own, sums.1 + equal.len() - own);
            sums
        };
        all.chunk_by(|a, b| a.0 == b.0).map(of).collect()
    }

    /// How often predictions are right, by the confidence that they were made with, in ranges of one width; ranges without a
    /// prediction are left out.
    #[doc(alias = "calibration_curve")]
    pub fn calibration(&self, bins: usize) -> Vec<CalibrationBin> {
        let mut sums = vec![(0.0, 0usize, 0usize); bins.max(1)];
        for (_, label, row) in &self.items {
            let class = best(row);
            let bin = ((row[class] * sums.len() as f64) as usize).min(sums.len() - 1);
            let (confidence, right, all) = &mut sums[bin];
            (*confidence, *right, *all) = (*confidence + row[class], *right + usize::from(class == *label), *all + 1);
        }
        let bin = |(confidence, right, items): (f64, usize, usize)| CalibrationBin {
            confidence: confidence / items as f64,
            accuracy: right as f64 / items as f64,
            items,
        };
        sums.into_iter().filter(|(.., items)| *items > 0).map(bin).collect()
    }

    /// The mean distance of confidence and accuracy over such ranges (Guo et al., 2017): 0 where probabilities are what they say.
    pub fn expected_calibration_error(&self, bins: usize) -> f64 {
        let distance = |bin: &CalibrationBin| (bin.confidence - bin.accuracy).abs() * bin.items as f64;
        self.calibration(bins).iter().map(distance).sum::<f64>() / self.items.len().max(1) as f64
    }

    /// The items that were taken for something else, those first whose own class was given the least probability; at most so
    /// many.
    pub fn worst(&self, count: usize) -> Vec<Mistake> {
        let mistake = |(item, truth, row): &(usize, usize, Vec<f64>)| {
            let predicted = best(row);
            let (confidence, loss) = (row[predicted], -row[*truth].max(f64::MIN_POSITIVE).ln());
            (predicted != *truth).then_some(Mistake { item: *item, truth: *truth, predicted, confidence, loss })
        };
        let mut all: Vec<Mistake> = self.items.iter().filter_map(mistake).collect();
        all.sort_by(|a, b| b.loss.total_cmp(&a.loss));
        all.truncate(count);
        all
    }
}

/// The class of the largest probability.
fn best(row: &[f64]) -> usize {
    (0..row.len()).fold(0, |best, class| if row[class] > row[best] { class } else { best })
}
