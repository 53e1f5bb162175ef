//! Figures of true and predicted classes.

use super::Metric;
use super::labels::{Labels, labelled, pair};
use crate::ops::reduce::KeepDims;
use crate::tensor::Tensor;

/// How scores are read, and which rows count.
macro_rules! scored {
    ($Name:ident) => {
        impl $Name {
            /// Class 1 is predicted where its score is above this.
            #[must_use]
            pub fn threshold(mut self, threshold: f32) -> $Name {
                self.labels.threshold = self.labels.threshold.map(|_| threshold);
                self
            }
        }

        labelled!($Name, "Of probabilities, not logits: class 1 is predicted where its own is above 0.5.");
    };
}

/// The part of rows whose largest score is that of their label, the first of equal scores.
///
/// ```
/// use wgrad::Tensor;
/// use wgrad::metrics::{Accuracy, Meter};
/// # fn main() -> wgrad::Result<()> {
/// let device = wgrad::Device::cpu();
/// // A model of two classes by one logit.
/// let mut accuracy = Meter::new(Accuracy::binary(), &device);
/// let logits = Tensor::from_slice(&[2.0f32, -1.0, 0.5, 3.0], [4, 1], &device);
/// accuracy.update(&logits, &Tensor::from_slice(&[1, 0, 0, 1], [4], &device));
/// assert_eq!(accuracy.value()?, 0.75);
/// # Ok(())
/// # }
/// ```
#[doc(alias("BinaryAccuracy", "torchmetrics.Accuracy", "accuracy_score"))]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Accuracy {
    labels: Labels,
}

impl Accuracy {
    /// Of scores `[.., classes]` and labels `[..]`.
    pub fn new() -> Accuracy {
        Accuracy { labels: Labels::any() }
    }

    /// Of logits of class 1 and labels of 0 and 1, both of one shape: it is predicted where its logit is above 0.
    pub fn binary() -> Accuracy {
        Accuracy { labels: Labels::binary() }
    }
}

scored!(Accuracy);

impl Default for Accuracy {
    fn default() -> Accuracy {
        Accuracy::new()
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
        let rows = self.labels.rows("Accuracy", output, target);
        let right = self.labels.predicted(&rows).eq(&rows.labels).mul(&rows.counted);
        pair(&right.sum(), &self.labels.count(&rows))
    }

    fn value(&self, sums: &[f64]) -> f64 {
        ratio(sums[0], sums[1])
    }
}

/// The part of rows whose label is among the k largest scores; of equal scores those of later classes come first, as in
/// scikit-learn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TopK {
    k: usize,
    labels: Labels,
}

impl TopK {
    /// Of scores `[.., classes]` and labels `[..]`.
    pub fn new(k: usize) -> TopK {
        TopK { k, labels: Labels::any() }
    }
}

labelled!(TopK, "Of probabilities, whose order is that of logits.");

impl Metric for TopK {
    fn name(&self) -> String {
        format!("top_{}", self.k)
    }

    fn len(&self) -> usize {
        2
    }

    #[track_caller]
    fn batch(&self, output: &Tensor, target: &Tensor) -> Tensor {
        let rows = self.labels.rows("TopK", output, target);
        let (n, classes, device) = (rows.scores.size(0), rows.scores.size(1), output.device());
        let label = rows.labels.reshape([n, 1]);
        let low = Tensor::full([], f32::NEG_INFINITY, device);
        let own = rows.labels.one_hot(classes).where_(&rows.scores, &low).amax(&[-1], KeepDims::Yes);
        // Those that come behind the label: a NaN does not, so that it is never taken for a small score.
        let earlier = Tensor::arange(0, classes as i32, device).reshape([1, classes]).le(&label);
        let behind = rows.scores.lt(&own).add(&rows.scores.eq(&own).mul(&earlier)).sum_dims(&[-1], KeepDims::No);
        let least = Tensor::full([], classes.saturating_sub(self.k) as f32, device);
        // The label itself is among those counted.
        pair(&behind.gt(&least).mul(&rows.counted).sum(), &self.labels.count(&rows))
    }

    fn value(&self, sums: &[f64]) -> f64 {
        ratio(sums[0], sums[1])
    }
}

/// How figures of classes become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Average {
    /// Their mean. A class that never was, and was never predicted, counts as 0.
    #[default]
    Macro,
    /// That of all classes' counts added up.
    Micro,
    /// Their mean, weighted by how often each class was.
    Weighted,
    /// None: a figure for each class, `recall_0`, `recall_1` and so on; the figure itself is their mean.
    Each,
    /// That of class 1 alone: what metrics of two classes by one score tell.
    Positive,
}

impl Average {
    /// One figure of each class's.
    pub(super) fn of(self, each: &[f64], support: &[f64], micro: impl Fn() -> f64) -> f64 {
        match self {
            Average::Macro | Average::Each => each.iter().sum::<f64>() / each.len() as f64,
            Average::Micro => micro(),
            Average::Weighted => {
                let all: f64 = support.iter().sum();
                ratio(each.iter().zip(support).map(|(value, weight)| value * weight).sum(), all)
            }
            Average::Positive => each.get(1).copied().unwrap_or(f64::NAN),
        }
    }

    pub(super) fn name(self, base: &str) -> String {
        match self {
            Average::Macro | Average::Each => format!("{base}_macro"),
            Average::Micro => format!("{base}_micro"),
            Average::Weighted => format!("{base}_weighted"),
            Average::Positive => base.to_string(),
        }
    }

    pub(super) fn names(self, base: &str, classes: usize) -> Vec<String> {
        match self {
            Average::Each => (0..classes).map(|class| format!("{base}_{class}")).collect(),
            _ => vec![self.name(base)],
        }
    }
}

/// A quotient, 0 where there is nothing to divide by.
pub(super) fn ratio(a: f64, b: f64) -> f64 {
    if b == 0.0 { 0.0 } else { a / b }
}

/// What is counted of each class.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counts<'s> {
    /// Rows of the class that were taken for it.
    pub right: &'s [f64],
    /// Rows that were taken for it.
    pub predicted: &'s [f64],
    /// Rows of it.
    pub truth: &'s [f64],
}

/// The same on the device, and behind it how many rows there are: `[3 classes + 1]`.
#[track_caller]
fn counts(labels: &Labels, metric: &str, output: &Tensor, target: &Tensor) -> Tensor {
    let rows = labels.rows(metric, output, target);
    let classes = labels.classes.unwrap_or_default();
    let [truth, predicted] = [&rows.labels, &labels.predicted(&rows)].map(|own| match labels.several {
        true => own.eq(1).mul(&rows.counted).reshape([own.numel() / classes.max(1), classes]),
        false => own.one_hot(classes).mul(&rows.counted.unsqueeze(1)),
    });
    let sum = |x: &Tensor| x.sum_dims(&[0], KeepDims::No);
    let [right, predicted, truth] = [sum(&truth.mul(&predicted)), sum(&predicted), sum(&truth)];
    Tensor::cat(&[&right, &predicted, &truth, &labels.count(&rows).reshape([1])], 0)
}

impl Counts<'_> {
    pub fn of(sums: &[f64]) -> Option<Counts<'_>> {
        let classes = sums.len() / 3;
        let (right, rest) = sums.split_at(classes);
        let (predicted, rest) = rest.split_at(classes);
        let (truth, all) = rest.split_at(classes);
        // Not compared with the sum over the classes, since sums of many rows are rounded.
        (!all[0].is_nan()).then_some(Counts { right, predicted, truth })
    }
}

/// Two times right, by all that was and was predicted: what precision, recall and F1 are made of.
pub(super) mod shares {
    use super::{Average, Counts, ratio};

    /// The figure of counts: right ones, predicted ones and true ones.
    pub type Share = fn(f64, f64, f64) -> f64;

    pub fn precision(right: f64, predicted: f64, _: f64) -> f64 {
        ratio(right, predicted)
    }

    pub fn recall(right: f64, _: f64, truth: f64) -> f64 {
        ratio(right, truth)
    }

    pub fn f1(right: f64, predicted: f64, truth: f64) -> f64 {
        ratio(2.0 * right, predicted + truth)
    }

    pub fn each(share: Share, counts: &Counts) -> Vec<f64> {
        let classes = 0..counts.right.len();
        classes.map(|class| share(counts.right[class], counts.predicted[class], counts.truth[class])).collect()
    }

    fn sum(of: &[f64]) -> f64 {
        of.iter().sum()
    }

    fn dot(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    /// All rows: predicted and true classes have one total, but for the rounding of many.
    fn all(counts: &Counts) -> f64 {
        (sum(counts.predicted) * sum(counts.truth)).sqrt()
    }

    pub fn one(share: Share, counts: &Counts, average: Average) -> f64 {
        let micro = || share(sum(counts.right), sum(counts.predicted), sum(counts.truth));
        average.of(&each(share, counts), counts.truth, micro)
    }

    pub fn matthews(counts: &Counts) -> f64 {
        let spread = |of: &[f64]| (sum(of) * sum(of) - dot(of, of)).sqrt();
        let (p, t) = (counts.predicted, counts.truth);
        ratio(sum(counts.right) * all(counts) - dot(t, p), spread(p) * spread(t))
    }

    pub fn kappa(counts: &Counts) -> f64 {
        let (chance, n) = (dot(counts.predicted, counts.truth), all(counts));
        (sum(counts.right) * n - chance) / (sum(counts.predicted) * sum(counts.truth) - chance)
    }
}

/// What all metrics of counted classes have by one score.
macro_rules! counted {
    ($Name:ident) => {
        impl $Name {
            /// Of logits of class 1 and labels of 0 and 1, both of one shape: it is predicted where its logit is above 0.
            pub fn binary() -> $Name {
                let mut out = $Name::new(2);
                out.labels = Labels::binary();
                out.positive()
            }
        }

        scored!($Name);
    };
}

/// Metrics that are a share of each class.
macro_rules! share {
    ($(#[$doc:meta])* $Name:ident, $name:literal, $share:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub struct $Name {
            labels: Labels,
            average: Average,
        }

        impl $Name {
            /// Of scores `[.., classes]` and labels `[..]`; the mean over the classes.
            pub fn new(classes: usize) -> $Name {
                $Name { labels: Labels::of(classes), average: Average::Macro }
            }

            /// Of logits and labels of 0 and 1 `[.., labels]`, of which an item may have several: a label is predicted where its
            /// logit is above 0. Classes are the labels then, and their figures become one, or [not](Average::Each), as theirs do.
            #[doc(alias("MultilabelPrecision", "MultilabelRecall", "MultilabelF1Score"))]
            pub fn multilabel(labels: usize) -> $Name {
                $Name { labels: Labels::several(labels), average: Average::Macro }
            }

            /// How the classes' figures become one.
            #[must_use]
            pub fn average(self, average: Average) -> $Name {
                $Name { average, ..self }
            }

            fn positive(self) -> $Name {
                self.average(Average::Positive)
            }
        }

        counted!($Name);

        impl Metric for $Name {
            fn name(&self) -> String {
                self.average.name($name)
            }

            fn len(&self) -> usize {
                3 * self.labels.classes.unwrap_or_default() + 1
            }

            #[track_caller]
            fn batch(&self, output: &Tensor, target: &Tensor) -> Tensor {
                counts(&self.labels, stringify!($Name), output, target)
            }

            fn value(&self, sums: &[f64]) -> f64 {
                Counts::of(sums).map_or(f64::NAN, |counts| shares::one($share, &counts, self.average))
            }

            fn names(&self) -> Vec<String> {
                self.average.names($name, self.labels.classes.unwrap_or_default())
            }

            fn values(&self, sums: &[f64]) -> Vec<f64> {
                match (self.average, Counts::of(sums)) {
                    (Average::Each, Some(counts)) => shares::each($share, &counts),
                    (Average::Each, None) => vec![f64::NAN; sums.len() / 3],
                    _ => vec![self.value(sums)],
                }
            }
        }
    };
}

share! {
    /// Of the rows that were taken for a class, the part that is of it: `tp / (tp + fp)`, 0 where none was.
    ///
    /// ```
    /// use wgrad::Tensor;
    /// use wgrad::metrics::{Average, Meter, Precision};
    /// # fn main() -> wgrad::Result<()> {
    /// let device = wgrad::Device::cpu();
    /// let mut each = Meter::new(Precision::new(2).average(Average::Each), &device);
    /// let logits = Tensor::from_slice(&[2.0f32, 1.0, 0.0, 3.0, 1.0, 2.0], [3, 2], &device);
    /// each.update(&logits, &Tensor::from_slice(&[0, 1, 0], [3], &device));
    /// assert_eq!(each.figures()?, [("precision_0".to_string(), 1.0), ("precision_1".to_string(), 0.5)]);
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias("torchmetrics.Precision", "precision_score"))]
    Precision, "precision", shares::precision
}

share! {
    /// Of the rows of a class, the part that was taken for it: `tp / (tp + fn)`, 0 where there is none.
    #[doc(alias("torchmetrics.Recall", "recall_score"))]
    Recall, "recall", shares::recall
}

share! {
    /// The harmonic mean of precision and recall: `2 tp / (2 tp + fp + fn)`, 0 where that divides by 0.
    #[doc(alias("F1Score", "f1_score"))]
    F1, "f1", shares::f1
}

/// Metrics that are one figure of the counts.
macro_rules! agreement {
    ($(#[$doc:meta])* $Name:ident, $name:literal, $of:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub struct $Name {
            labels: Labels,
        }

        impl $Name {
            /// Of scores `[.., classes]` and labels `[..]`.
            pub fn new(classes: usize) -> $Name {
                $Name { labels: Labels::of(classes) }
            }

            fn positive(self) -> $Name {
                self
            }
        }

        counted!($Name);

        impl Metric for $Name {
            fn name(&self) -> String {
                $name.into()
            }

            fn len(&self) -> usize {
                3 * self.labels.classes.unwrap_or_default() + 1
            }

            #[track_caller]
            fn batch(&self, output: &Tensor, target: &Tensor) -> Tensor {
                counts(&self.labels, stringify!($Name), output, target)
            }

            fn value(&self, sums: &[f64]) -> f64 {
                Counts::of(sums).map_or(f64::NAN, |counts| $of(&counts))
            }
        }
    };
}

agreement! {
    /// Matthews' correlation coefficient of classes and predictions, for any number of classes (Gorodkin, 2004): 1 where all
    /// are right, 0 for chance, and where there is one class alone.
    #[doc(alias("MatthewsCorrCoef", "matthews_corrcoef"))]
    MatthewsCorrelation, "mcc", shares::matthews
}

agreement! {
    /// Cohen's kappa (1960): how much more often predictions agree with the classes than by chance, `(p - e) / (1 - e)`. NaN
    /// where chance agrees always.
    #[doc(alias("torchmetrics.CohenKappa", "cohen_kappa_score"))]
    CohenKappa, "kappa", shares::kappa
}
