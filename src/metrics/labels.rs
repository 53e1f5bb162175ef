//! Scores and labels of a batch, as all metrics of classes take them.

use crate::dtype::DType;
use crate::tensor::Tensor;

/// What metrics say of labels.
macro_rules! labelled {
    ($Name:ident, $probabilities:literal) => {
        impl $Name {
            #[doc = $probabilities]
            #[must_use]
            pub fn of_probabilities(mut self) -> $Name {
                self.labels = self.labels.of_probabilities();
                self
            }

            /// The label of rows that count nothing; -100.
            #[must_use]
            pub fn ignore_index(mut self, label: i32) -> $Name {
                self.labels.ignore = label;
                self
            }
        }
    };
}
pub(super) use labelled;

/// How scores are read, and which labels count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Labels {
    /// How many classes there are, where that is known.
    pub classes: Option<usize>,
    /// For one score an item, that of class 1: what it must be above.
    pub threshold: Option<f32>,
    /// Whether each of the classes is a label of its own, of which an item may have several: then classes are a last dimension of
    /// labels of 0 and 1.
    pub several: bool,
    /// Whether scores are probabilities, not logits.
    pub probabilities: bool,
    pub ignore: i32,
}

/// A batch in rows.
pub(super) struct Rows {
    /// `[rows, classes]`, or `[rows]` of class 1.
    pub scores: Tensor,
    /// `[rows]` of i32.
    pub labels: Tensor,
    /// 1 for each row that counts, else 0: `[rows]`.
    pub counted: Tensor,
}

impl Labels {
    pub fn of(classes: usize) -> Labels {
        Labels { classes: Some(classes), ..Labels::any() }
    }

    /// As many classes as there are scores.
    pub fn any() -> Labels {
        Labels { classes: None, threshold: None, several: false, probabilities: false, ignore: -100 }
    }

    pub fn binary() -> Labels {
        Labels { classes: Some(2), threshold: Some(0.0), ..Labels::any() }
    }

    pub fn several(labels: usize) -> Labels {
        Labels { classes: Some(labels), threshold: Some(0.0), several: true, ..Labels::any() }
    }

    pub fn of_probabilities(self) -> Labels {
        Labels { threshold: self.threshold.map(|_| 0.5), probabilities: true, ..self }
    }

    pub fn is_binary(&self) -> bool {
        self.threshold.is_some()
    }

    /// The batch in rows.
    #[track_caller]
    pub fn rows(&self, metric: &str, output: &Tensor, target: &Tensor) -> Rows {
        let (x, t) = (output.shape(), target.shape());
        let (got, labels) = (format!("got {x} of {} and {t} of {}", output.dtype(), target.dtype()), target.numel());
        let (scores, labels) = if self.is_binary() {
            if let (true, Some(own)) = (self.several, self.classes) {
                assert!(x == t && t.last() == Some(&own), "{metric}: expected scores and labels [.., {own}], {got}");
            }
            assert!(
                one_shape(&x, &t) && output.dtype() == DType::F32,
                "{metric}: expected a score of f32 and a label for each item, both of one shape, {got}"
            );
            (output.detach().reshape([labels]), whole(&target.detach()).reshape([labels]))
        } else {
            let classes = x.last().copied().unwrap_or(0);
            let wanted = self.classes.map_or("classes".into(), |classes| classes.to_string());
            let fits = x.rank() > 0 && x[..x.rank() - 1] == t[..] && self.classes.is_none_or(|own| own == classes);
            assert!(
                fits && output.dtype() == DType::F32 && !target.dtype().is_float(),
                "{metric}: expected scores [.., {wanted}] of f32 and labels [..] of i32, {got}"
            );
            (output.detach().reshape([labels, classes]), target.detach().cast(DType::I32).reshape([labels]))
        };
        let counted = labels.ne(Tensor::full([], self.ignore, labels.device()));
        Rows { scores, labels, counted }
    }

    /// 1 for each row that counts and is of no class, else 0: `[rows]`.
    #[track_caller]
    pub fn foreign(&self, rows: &Rows) -> Tensor {
        let classes = if self.is_binary() { 2 } else { rows.scores.size(1) };
        let known = rows.labels.ge(0).mul(&rows.labels.lt(classes as i32));
        rows.counted.gt(known)
    }

    /// How many rows count; NaN where one of them is of no class.
    #[track_caller]
    pub fn count(&self, rows: &Rows) -> Tensor {
        let none = Tensor::full([], f32::NAN, rows.counted.device());
        self.foreign(rows).where_(&none, &rows.counted).sum()
    }

    /// The class that each row is taken for, `[rows]` of i32.
    pub fn predicted(&self, rows: &Rows) -> Tensor {
        match self.threshold {
            Some(threshold) => rows.scores.gt(Tensor::full([], threshold, rows.scores.device())).cast(DType::I32),
            None => rows.scores.argmax(-1),
        }
    }
}

/// Labels of any type as i32: those between whole numbers, and NaN, are of no class.
fn whole(target: &Tensor) -> Tensor {
    let labels = target.cast(DType::I32);
    if !target.dtype().is_float() {
        return labels;
    }
    let is_whole = target.eq(target.floor());
    Tensor::where_(&is_whole, &labels, &Tensor::full([], FOREIGN, target.device()))
}

/// A label of no class, and not one that is left out.
const FOREIGN: i32 = i32::MIN;

/// Whether two shapes are one, but for a last dimension of 1.
pub(super) fn one_shape(x: &[usize], t: &[usize]) -> bool {
    x == t || x.strip_suffix(&[1]) == Some(t) || t.strip_suffix(&[1]) == Some(x)
}

/// Two sums in a tensor.
pub(super) fn pair(sum: &Tensor, count: &Tensor) -> Tensor {
    Tensor::stack(&[sum, count], 0)
}
