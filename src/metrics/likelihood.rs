//! Figures of the probabilities that are given to the true classes.

use super::Metric;
use super::labels::{Labels, labelled, pair};
use crate::dtype::DType;
use crate::ops::cross_entropy::CrossEntropyOptions;
use crate::ops::reduction::Reduction;
use crate::optim::schedule::Better;
use crate::tensor::Tensor;

/// The sum of losses, and how many there are.
#[track_caller]
fn losses(labels: &Labels, metric: &str, output: &Tensor, target: &Tensor) -> Tensor {
    let rows = labels.rows(metric, output, target);
    // What scikit-learn keeps probabilities from 0 and 1 by.
    let clipped = |p: &Tensor| p.clamp(f32::EPSILON, 1.0 - f32::EPSILON);
    let sum = if labels.is_binary() {
        let truth = target.detach().cast(DType::F32).reshape([target.numel()]);
        let each = match labels.probabilities {
            true => clipped(&rows.scores).binary_cross_entropy(&truth, Reduction::None),
            false => rows.scores.binary_cross_entropy_with_logits(&truth, Reduction::None),
        };
        rows.counted.where_(&each, &Tensor::zeros([], each.device())).sum()
    } else {
        let options = CrossEntropyOptions {
            ignore_index: labels.ignore,
            reduction: Reduction::Sum,
            ..CrossEntropyOptions::default()
        };
        match labels.probabilities {
            true => clipped(&rows.scores).log().nll_loss_with(&rows.labels, &options),
            false => rows.scores.cross_entropy_with(&rows.labels, &options),
        }
    };
    pair(&sum, &labels.count(&rows))
}

macro_rules! likelihood {
    ($(#[$doc:meta])* $Name:ident, $name:literal, $of:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub struct $Name {
            labels: Labels,
        }

        impl $Name {
            /// Of logits `[.., classes]` and labels `[..]`.
            pub fn new() -> $Name {
                $Name { labels: Labels::any() }
            }

            /// Of logits of class 1 and labels of 0 and 1, both of one shape.
            pub fn binary() -> $Name {
                $Name { labels: Labels::binary() }
            }
        }

        labelled!($Name, "Of probabilities, not logits; they are kept 1.2e-7 from 0 and 1.");

        impl Default for $Name {
            fn default() -> $Name {
                $Name::new()
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
                losses(&self.labels, stringify!($Name), output, target)
            }

            fn value(&self, sums: &[f64]) -> f64 {
                let of: fn(f64) -> f64 = $of;
                of(sums[0] / sums[1])
            }
        }
    };
}

likelihood! {
    /// The mean of `-ln p`, of the probabilities that were given to the true classes: the cross-entropy, over all rows of a
    /// set that count. NaN where there are none.
    ///
    /// ```
    /// use wgrad::Tensor;
    /// use wgrad::metrics::{LogLoss, Meter};
    /// # fn main() -> wgrad::Result<()> {
    /// let device = wgrad::Device::cpu();
    /// let mut loss = Meter::new(LogLoss::new(), &device);
    /// loss.update(&Tensor::zeros([3, 4], &device), &Tensor::from_slice(&[0, 3, -100], [3], &device));
    /// assert!((loss.value()? - 4.0f64.ln()).abs() < 1e-6);
    /// # Ok(())
    /// # }
    /// ```
    LogLoss, "log_loss", |mean| mean
}

likelihood! {
    /// The exponential of [`LogLoss`]: of how many equally likely tokens a language model chooses at each place.
    #[doc(alias("torchmetrics.Perplexity"))]
    Perplexity, "perplexity", f64::exp
}
