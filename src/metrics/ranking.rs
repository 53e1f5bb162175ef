//! Figures of the order that scores put rows in.

use super::Metric;
use super::classification::{Average, ratio};
use super::labels::{Labels, labelled};
use crate::dtype::DType;
use crate::tensor::Tensor;
use std::borrow::Cow;

/// The rows, each a label and its scores behind it: `[n, 1 + classes]`, of one score `[n, 2]`.
#[track_caller]
fn collected(labels: &Labels, metric: &str, output: &Tensor, target: &Tensor) -> Tensor {
    let rows = labels.rows(metric, output, target);
    let scores = if labels.is_binary() { rows.scores.unsqueeze(1) } else { rows.scores };
    Tensor::cat(&[&rows.labels.cast(DType::F32).unsqueeze(1), &scores], 1)
}

/// The same rows with probabilities in the place of logits, in f64: in f32 more of them would be equal.
fn likely<'r>(labels: &Labels, rows: &'r [f64]) -> Cow<'r, [f64]> {
    if labels.is_binary() || labels.probabilities {
        return Cow::Borrowed(rows);
    }
    let mut all = rows.to_vec();
    for row in all.chunks_exact_mut(widths(labels).0) {
        let scores = &mut row[1..];
        let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        scores.iter_mut().for_each(|score| *score = (*score - largest).exp());
        let sum: f64 = scores.iter().sum();
        scores.iter_mut().for_each(|score| *score /= sum);
    }
    Cow::Owned(all)
}

/// Pairs of a score and whether it is of the class, the largest first; None where there is a NaN.
fn sorted(mut pairs: Vec<(f64, bool)>) -> Option<Vec<(f64, bool)>> {
    if pairs.iter().any(|(score, _)| score.is_nan()) {
        return None;
    }
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
    Some(pairs)
}

/// How many rows there are of the class and of others, at each score.
fn steps(pairs: &[(f64, bool)]) -> impl Iterator<Item = (f64, f64)> + '_ {
    pairs.chunk_by(|a, b| a.0 == b.0).map(|equal| {
        let own = equal.iter().filter(|(_, own)| *own).count();
        (own as f64, (equal.len() - own) as f64)
    })
}

/// The part of pairs of a row of the class and one of another that are in order; equal scores count half.
fn roc_auc(pairs: Vec<(f64, bool)>) -> f64 {
    let Some(pairs) = sorted(pairs) else { return f64::NAN };
    let (mut own, mut others, mut ordered) = (0.0, 0.0, 0.0);
    for (new, new_others) in steps(&pairs) {
        ordered += new_others * (own + new / 2.0);
        own += new;
        others += new_others;
    }
    ordered / (own * others)
}

/// The sum of precisions at each score, by the recall that it adds.
fn average_precision(pairs: Vec<(f64, bool)>) -> f64 {
    let Some(pairs) = sorted(pairs) else { return f64::NAN };
    let (mut own, mut all, mut sum) = (0.0, 0.0, 0.0);
    for (new, others) in steps(&pairs) {
        own += new;
        all += new + others;
        sum += new * own / all;
    }
    ratio(sum, own)
}

type Curve = fn(Vec<(f64, bool)>) -> f64;

/// The figure of each class against the others, and how many rows each has.
fn by_class(labels: &Labels, rows: &[f64], of: Curve) -> (Vec<f64>, Vec<f64>) {
    let (width, classes) = widths(labels);
    let one = |class: usize| {
        let column = if labels.is_binary() { 1 } else { 1 + class };
        let pairs: Vec<_> = kept(labels, rows, width).map(|row| (row[column], row[0] == class as f64)).collect();
        let support = pairs.iter().filter(|(_, own)| *own).count();
        (of(pairs), support as f64)
    };
    classes.map(one).unzip()
}

/// All scores of all classes as if they were of one.
fn pooled(labels: &Labels, rows: &[f64], of: Curve) -> f64 {
    let (width, classes) = widths(labels);
    let each = |class: usize| kept(labels, rows, width).map(move |row| (row[1 + class], row[0] == class as f64));
    of(classes.flat_map(each).collect())
}

/// Numbers in a row, and the classes that have a figure.
fn widths(labels: &Labels) -> (usize, std::ops::Range<usize>) {
    let classes = labels.classes.unwrap_or_default();
    if labels.is_binary() { (2, 1..2) } else { (classes + 1, 0..classes) }
}

/// The rows that count.
fn kept<'r>(labels: &Labels, rows: &'r [f64], width: usize) -> impl Iterator<Item = &'r [f64]> + use<'r> {
    let ignore = f64::from(labels.ignore);
    rows.chunks_exact(width).filter(move |row| row[0] != ignore)
}

/// Whether a row is of no class.
fn is_foreign(labels: &Labels, rows: &[f64]) -> bool {
    let classes = labels.classes.unwrap_or_default() as f64;
    kept(labels, rows, widths(labels).0).any(|row| !(0.0..classes).contains(&row[0]))
}

macro_rules! ranking {
    ($(#[$doc:meta])* $Name:ident, $name:literal, $of:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub struct $Name {
            labels: Labels,
            average: Average,
        }

        impl $Name {
            /// Of one score an item, logit or probability, and labels of 0 and 1 of their shape.
            pub fn binary() -> $Name {
                $Name { labels: Labels::binary(), average: Average::Positive }
            }

            /// Of logits `[.., classes]`, which become probabilities, and labels `[..]`: each class against the others, and
            /// the mean.
            pub fn new(classes: usize) -> $Name {
                $Name { labels: Labels::of(classes), average: Average::Macro }
            }

            /// How the classes' figures become one; nothing changes where there is one score an item.
            #[must_use]
            pub fn average(self, average: Average) -> $Name {
                $Name { average: if self.labels.is_binary() { Average::Positive } else { average }, ..self }
            }
        }

        labelled!($Name, "Of probabilities or any other scores, taken as they are.");

        impl Metric for $Name {
            fn name(&self) -> String {
                self.average.name($name)
            }

            /// None: all scores are collected.
            fn len(&self) -> usize {
                0
            }

            fn collects(&self) -> bool {
                true
            }

            #[track_caller]
            fn batch(&self, output: &Tensor, target: &Tensor) -> Tensor {
                collected(&self.labels, stringify!($Name), output, target)
            }

            fn value(&self, rows: &[f64]) -> f64 {
                if is_foreign(&self.labels, rows) {
                    return f64::NAN;
                }
                let rows = &*likely(&self.labels, rows);
                let (each, support) = by_class(&self.labels, rows, $of);
                match self.average {
                    Average::Positive if self.labels.is_binary() => each.last().copied().unwrap_or(f64::NAN),
                    average => average.of(&each, &support, || pooled(&self.labels, rows, $of)),
                }
            }

            fn names(&self) -> Vec<String> {
                self.average.names($name, self.labels.classes.unwrap_or_default())
            }

            fn values(&self, rows: &[f64]) -> Vec<f64> {
                match self.average {
                    Average::Each if is_foreign(&self.labels, rows) => vec![f64::NAN; self.names().len()],
                    Average::Each => by_class(&self.labels, &likely(&self.labels, rows), $of).0,
                    _ => vec![self.value(rows)],
                }
            }
        }
    };
}

ranking! {
    /// The area under the curve of true positives over false ones: how likely a row of the class has a larger score than one
    /// of another, equal scores counting half (Fawcett, 2006). NaN where all rows are of one class.
    ///
    /// All scores of a set are needed, so it is told of validation alone.
    ///
    /// ```
    /// use wgrad::Tensor;
    /// use wgrad::metrics::{Meter, RocAuc};
    /// # fn main() -> wgrad::Result<()> {
    /// let device = wgrad::Device::cpu();
    /// let mut auc = Meter::new(RocAuc::binary(), &device);
    /// let scores = Tensor::from_slice(&[0.1f32, 0.4, 0.35, 0.8], [4], &device);
    /// auc.update(&scores, &Tensor::from_slice(&[0, 0, 1, 1], [4], &device));
    /// assert_eq!(auc.value()?, 0.75);
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias("AUROC", "roc_auc_score"))]
    RocAuc, "roc_auc", roc_auc
}

ranking! {
    /// The sum of precisions at each score, weighted by the recall that it adds: `sum (R_n - R_(n-1)) P_n`, without
    /// interpolation. 0 where no row is of the class.
    ///
    /// All scores of a set are needed, so it is told of validation alone.
    #[doc(alias("torchmetrics.AveragePrecision", "average_precision_score"))]
    AveragePrecision, "average_precision", average_precision
}
