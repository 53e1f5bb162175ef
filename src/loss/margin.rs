//! Losses of scores for several classes, by what lies between them.

use super::reduced;
use crate::ops::reduce::KeepDims;
use crate::ops::reduction::Reduction;
use crate::tensor::Tensor;

/// PyTorch's arguments of `multi_margin_loss`, and its defaults.
#[derive(Debug, Clone)]
pub struct MultiMarginOptions {
    /// 1 or 2: the power of what is missing to the margin.
    pub p: f32,
    /// How far the label's score is to lie above all others.
    pub margin: f32,
    /// A weight for each class, `[classes]`.
    pub weight: Option<Tensor>,
    /// The reduction of the losses.
    pub reduction: Reduction,
}

impl Default for MultiMarginOptions {
    fn default() -> MultiMarginOptions {
        MultiMarginOptions { p: 1.0, margin: 1.0, weight: None, reduction: Reduction::Mean }
    }
}

/// # Losses of several classes
impl Tensor {
    #[track_caller]
    fn scores(&self, op: &str, target: &Tensor, of_rows: bool) {
        let (x, t) = (self.shape(), target.shape());
        let fits = x.rank() == 2 && t == if of_rows { x[..1].into() } else { x };
        let due = if of_rows { "labels [rows]" } else { "targets of that shape" };
        assert!(fits, "{op}: {x} x {t}: expected scores [rows, classes] and {due}");
        assert!(self.dtype().is_float(), "{op}: expected scores of floats, got {}", self.dtype());
    }

    /// How far scores `[rows, classes]`, or `[classes]`, of other classes come nearer to the label's (i32) than the margin, to a power, as a mean
    /// over classes.
    ///
    /// # Panics
    /// If the shapes do not fit, or the labels are not i32.
    #[doc(alias = "MultiMarginLoss")]
    #[track_caller]
    pub fn multi_margin_loss(&self, labels: &Tensor, options: &MultiMarginOptions) -> Tensor {
        let op = "multi_margin_loss";
        if self.rank() < 2 && labels.numel() == 1 {
            return self.reshape([1, self.numel()]).multi_margin_loss(&labels.reshape([1]), options).reshape(());
        }
        self.scores(op, labels, true);
        let (classes, index) = (self.size(1), labels.indices(op, "labels").unsqueeze(1));
        let own = self.gather(1, &index);
        let missing = self.sub(&own).affine(1.0, options.margin).relu();
        let missing = if options.p == 1.0 { missing } else { missing.pow_scalar(options.p) };
        let is_own = Tensor::arange(0, classes as i32, self.device()).eq(&index);
        let mut losses = missing.masked_fill(&is_own, 0.0);
        if let Some(weight) = &options.weight {
            let w = weight.shape();
            assert!(w[..] == [classes], "{op}: {} x {w}: expected a weight for each class", self.shape());
            losses = losses.mul(&weight.detach().gather(0, &index.squeeze(1)).unsqueeze(1));
        }
        reduced(&losses.mean_dims(&[1], KeepDims::No), options.reduction)
    }

    /// The mean over classes of the binary cross-entropy of scores `[rows, classes]` and 0 or 1 for each; or of one row `[classes]`.
    ///
    /// # Panics
    /// If the shapes do not fit, or the elements are no floats.
    #[doc(alias = "MultiLabelSoftMarginLoss")]
    #[track_caller]
    pub fn multilabel_soft_margin_loss(
        &self,
        target: &Tensor,
        weight: Option<&Tensor>,
        reduction: Reduction,
    ) -> Tensor {
        if self.rank() == 1 && target.rank() == 1 {
            let rows = [self, target].map(|t| t.unsqueeze(0));
            return rows[0].multilabel_soft_margin_loss(&rows[1], weight, reduction).reshape(());
        }
        self.scores("multilabel_soft_margin_loss", target, false);
        let losses = self.binary_cross_entropy_with_logits(target, Reduction::None);
        let losses = weight.map_or(losses.clone(), |weight| losses.mul(&weight.detach()));
        reduced(&losses.mean_dims(&[1], KeepDims::No), reduction)
    }

    /// How far scores `[rows, classes]` of classes that do not hold come nearer than 1 to those that do, divided by the number
    /// of classes. `target` has the numbers (i32) of those that hold, and -1 behind the last of a row.
    ///
    /// # Panics
    /// If the shapes do not fit, or the targets are not i32.
    #[doc(alias = "MultiLabelMarginLoss")]
    #[track_caller]
    pub fn multilabel_margin_loss(&self, target: &Tensor, reduction: Reduction) -> Tensor {
        let op = "multilabel_margin_loss";
        if self.rank() < 2 && target.rank() == self.rank() {
            let rows = [self, target].map(|t| t.reshape([1, t.numel()]));
            return rows[0].multilabel_margin_loss(&rows[1], reduction).reshape(());
        }
        self.scores(op, target, false);
        if self.dtype().is_half() {
            return Tensor::in_f32(op, [self], |[x]| x.multilabel_margin_loss(target, reduction));
        }
        let (classes, index) = (self.size(1), target.indices(op, "targets"));
        // Up to the first that is negative.
        let counts = index.lt(0).cumsum(1).eq(0.0);
        let named = index.maximum(Tensor::scalar(0i32, self.device()));
        let holds = counts.new_zeros(counts.shape()).scatter_reduce(
            1,
            &named,
            &counts,
            crate::ops::scatter::ScatterReduction::Amax,
            true,
        );
        let apart = self.gather(1, &named).unsqueeze(2).sub(&self.unsqueeze(1)).affine(-1.0, 1.0).relu();
        let pairs = counts.unsqueeze(2).mul(&holds.affine(-1.0, 1.0).unsqueeze(1));
        let losses = apart.mul(&pairs).sum_dims(&[1, 2], KeepDims::No).affine(1.0 / classes.max(1) as f32, 0.0);
        reduced(&losses, reduction)
    }
}
