//! Losses of scores for several classes, by what lies between them.

use super::reduced;
use crate::dtype::DType;
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

/// PyTorch's arguments of `ctc_loss`, and its defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CtcOptions {
    /// The class that stands for no label.
    pub blank: i32,
    /// The reduction; a mean divides each loss by its labels first.
    pub reduction: Reduction,
    /// Whether sequences too short for their labels count nothing; else their loss is infinite.
    pub zero_infinity: bool,
}

impl Default for CtcOptions {
    fn default() -> CtcOptions {
        CtcOptions { blank: 0, reduction: Reduction::Mean, zero_infinity: false }
    }
}

/// # Sequences without alignment
impl Tensor {
    /// Connectionist temporal classification (Graves et al., 2006): minus the logarithm of the probability of label sequences
    /// in all their alignments. These are log-probabilities `[steps, batch, classes]`, as [`Tensor::log_softmax`] gives them, with
    /// labels (i32) `[batch, labels]` and the numbers (i32) `[batch]` of steps and of labels that count in each. The labels of all
    /// sequences may stand behind one another too, `[sum of the numbers]`. As in PyTorch, the gradient supposes that these are
    /// log-probabilities. Some thirty kernels for each step, with the gradient.
    ///
    /// # Panics
    /// If the shapes do not fit, or labels or numbers are not i32.
    #[doc(alias = "CTCLoss")]
    #[track_caller]
    pub fn ctc_loss(&self, labels: &Tensor, steps: &Tensor, counts: &Tensor, options: CtcOptions) -> Tensor {
        let op = "ctc_loss";
        if self.rank() == 2 && labels.rank() == 1 && steps.numel() == 1 && counts.numel() == 1 {
            // One sequence.
            let [steps, counts] = [steps, counts].map(|n| n.reshape([1]));
            let loss = self.unsqueeze(1).ctc_loss(&labels.unsqueeze(0), &steps, &counts, options);
            return loss.reshape(());
        }
        if self.rank() == 3 && labels.rank() == 1 && counts.rank() == 1 {
            // What has more labels than steps cannot be reached, however many more they are.
            let most = labels.numel().min(self.size(0) + 1);
            let counts = counts.indices(op, "numbers of labels").cast(DType::F32);
            let starts = counts.cumsum(0).sub(&counts).unsqueeze(1);
            let places = starts.add(&Tensor::arange(0, most as i32, self.device()).cast(DType::F32));
            let places = places.clamp(0.0, labels.numel().saturating_sub(1) as f32).cast(DType::I32).flatten(0);
            let rows = labels.indices(op, "labels").index_select(0, &places).reshape([counts.numel(), most]);
            return self.ctc_loss(&rows, steps, &counts.clamp(0.0, most as f32).cast(DType::I32), options);
        }
        let [x, l, s, c] = [self, labels, steps, counts].map(Tensor::shape);
        let fits = x.rank() == 3 && x[0] > 0 && l.rank() == 2 && l[0] == x[1] && s[..] == x[1..2] && c[..] == x[1..2];
        assert!(
            fits,
            "{op}: {x} x {l} x {s} x {c}: expected [steps, batch, classes], labels [batch, labels] or \
             [sum of numbers], and two numbers [batch]"
        );
        assert!(self.dtype().is_float(), "{op}: expected log-probabilities of floats, got {}", self.dtype());
        if self.dtype().is_half() {
            return Tensor::in_f32(op, [self], |[x]| x.ctc_loss(labels, steps, counts, options));
        }
        let [labels, steps, counts] = [(labels, "labels"), (steps, "numbers of steps"), (counts, "numbers of labels")]
            .map(|(x, what)| x.indices(op, what));
        let (time, batch, device) = (x[0], x[1], self.device());
        // A blank before and behind each label.
        let blank = Tensor::full([batch, l[1], 1], options.blank, device);
        let pairs = Tensor::cat(&[&blank, &labels.unsqueeze(2)], 2).reshape([batch, 2 * l[1]]);
        let path = Tensor::cat(&[&pairs, &Tensor::full([batch, 1], options.blank, device)], 1);
        let length = 2 * l[1] + 1;
        // As PyTorch's, the gradient is one that the logarithm of a softmax before it leaves as it is.
        let saved = self.saved();
        let x = self.detach().tracked("log_probabilities", &[self], move |dy, _| {
            vec![Some(dy.sub(&saved.exp().mul(&dy.sum_dims(&[-1], KeepDims::Yes))))]
        });
        let seen = x.permute(&[1, 0, 2]).gather(2, &path.unsqueeze(1).expand([batch, time, length]));
        let none = f32::NEG_INFINITY;
        let late = |x: &Tensor, by: usize| x.narrow(1, 0, length.saturating_sub(by)).pad(&[(by.min(length), 0)], none);
        // Two places on leads from a label to another one.
        let far = length.saturating_sub(2);
        let leaps = path
            .narrow(1, length - far, far)
            .ne(path.narrow(1, 0, far))
            .mul(&path.narrow(1, length - far, far).ne(options.blank));
        let stays = leaps.pad(&[(length - far, 0)], 0.0).eq(0.0);
        let places = Tensor::arange(0, length as i32, device);
        let at = |t: usize| seen.narrow(1, t, 1).squeeze(1);
        let mut reached = at(0).masked_fill(&places.gt(1).expand([batch, length]), none);
        for t in 1..time {
            let leapt = late(&reached, 2).masked_fill(&stays, none);
            let next = reached.logaddexp(&late(&reached, 1)).logaddexp(&leapt).add(&at(t));
            reached = Tensor::where_(&steps.gt(t as i32).unsqueeze(1), &next, &reached);
        }
        let last = counts.add(&counts).unsqueeze(1);
        let [whole, open] = [0, 1].map(|back: i32| {
            let place = last.sub(&Tensor::scalar(back, device)).maximum(Tensor::scalar(0i32, device));
            reached.gather(1, &place).squeeze(1)
        });
        let losses = whole.logaddexp(&open.masked_fill(&counts.eq(0), none)).neg();
        let losses = match options.zero_infinity {
            true => losses.masked_fill(&losses.detach().eq(f32::INFINITY), 0.0),
            false => losses,
        };
        match options.reduction {
            Reduction::Mean => losses.div(&counts.cast(DType::F32).clamp(1.0, f32::INFINITY)).mean(),
            reduction => reduced(&losses, reduction),
        }
    }
}
