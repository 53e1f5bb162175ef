//! Losses of distances, ranks and distributions, in primitives.

use super::reduced;
use crate::ops::reduce::KeepDims;
use crate::ops::reduction::Reduction;
use crate::shape::Shape;
use crate::tensor::Tensor;
use std::f32::consts::PI;

/// # Losses of distances and distributions
impl Tensor {
    /// `x / max(|x|, eps) . y / max(|y|, eps)` along a dimension of what both broadcast to (PyTorch's default eps is 1e-8).
    /// The gradient is that of `|x|` where eps holds it, too.
    ///
    /// # Panics
    /// If the shapes do not broadcast or there is no such dimension.
    #[track_caller]
    pub fn cosine_similarity(&self, other: &Tensor, dim: isize, eps: f32) -> Tensor {
        let Some(shape) = self.shape().broadcast(&other.shape()) else {
            panic!("cosine_similarity: {} x {}: the shapes do not broadcast", self.shape(), other.shape())
        };
        let unit = |x: &Tensor| {
            let x = x.expand(shape);
            x.div(&raised(&x.norm(&[dim], KeepDims::Yes), eps))
        };
        let along = |[x, y]: [&Tensor; 2]| unit(x).mul(&unit(y)).sum_dims(&[dim], KeepDims::No);
        Tensor::in_f32("cosine_similarity", [self, other], along)
    }

    /// `1 - cos` of the rows of two tensors `[n, d]` where the target is 1, `max(0, cos - margin)` where it is -1, and 0
    /// elsewhere (PyTorch's default margin is 0). As in PyTorch, `cos` is `x . y / sqrt((|x|^2 + 1e-12) (|y|^2 + 1e-12))`.
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[doc(alias = "CosineEmbeddingLoss")]
    #[track_caller]
    pub fn cosine_embedding_loss(&self, other: &Tensor, target: &Tensor, margin: f32, reduction: Reduction) -> Tensor {
        let (x, t) = (self.shape(), target.shape());
        let fits = x.rank() >= 1 && x == other.shape() && x[..x.rank() - 1] == *t;
        assert!(fits, "cosine_embedding_loss: {x} x {} x {t}: expected [n, d], [n, d] and [n]", other.shape());
        let sum = |x: Tensor| x.sum_dims(&[-1], KeepDims::No);
        let squares = |x: &Tensor| sum(x.square()).affine(1.0, 1e-12);
        let [alike, unlike] = [1.0, -1.0].map(|value| target.detach().eq_scalar(value));
        Tensor::in_f32("cosine_embedding_loss", [self, other], |[x, y]| {
            let cos = sum(x.mul(y)).div(&squares(x).mul(&squares(y)).sqrt());
            let apart = cos.affine(1.0, -margin).relu();
            let apart = Tensor::where_(&unlike, &apart, &cos.zeros_like());
            reduced(&Tensor::where_(&alike, &cos.affine(-1.0, 1.0), &apart), reduction)
        })
    }

    /// `max(0, margin - t (x - y))`: x ranks higher where t is 1, y where it is -1 (PyTorch's default margin is 0).
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    #[doc(alias = "MarginRankingLoss")]
    #[track_caller]
    pub fn margin_ranking_loss(&self, other: &Tensor, target: &Tensor, margin: f32, reduction: Reduction) -> Tensor {
        broadcast("margin_ranking_loss", &[self, other, target]);
        reduced(&self.sub(other).mul(target).affine(-1.0, margin).relu(), reduction)
    }

    /// `max(0, |a - p| - |a - n| + margin)` of the rows of anchors, positives and negatives `[n, d]`, with Euclidean
    /// distances (PyTorch's defaults: a margin of 1, and 1e-6 added to each difference).
    ///
    /// # Panics
    /// If the shapes differ, or the margin is not above 0.
    #[track_caller]
    pub fn triplet_margin_loss(
        &self,
        positive: &Tensor,
        negative: &Tensor,
        margin: f32,
        reduction: Reduction,
    ) -> Tensor {
        let options = TripletMarginOptions { margin, reduction, ..TripletMarginOptions::default() };
        self.triplet_margin_loss_with(positive, negative, &options)
    }

    /// [`Tensor::triplet_margin_loss`] with all of PyTorch's arguments.
    ///
    /// # Panics
    /// If the shapes do not broadcast, or the margin is not above 0.
    #[doc(alias = "TripletMarginLoss")]
    #[track_caller]
    pub fn triplet_margin_loss_with(
        &self,
        positive: &Tensor,
        negative: &Tensor,
        options: &TripletMarginOptions,
    ) -> Tensor {
        let TripletMarginOptions { margin, p, swap, eps, reduction } = *options;
        let (a, b, c) = (self.shape(), positive.shape(), negative.shape());
        assert!(a == b && a == c, "triplet_margin_loss: {a} x {b} x {c}: expected three tensors of one shape");
        assert!(margin > 0.0, "triplet_margin_loss: a margin of {margin}: expected a number above 0");
        Tensor::in_f32("triplet_margin_loss", [self, positive, negative], |[x, positive, negative]| {
            let distance = |a: &Tensor, b: &Tensor| a.pairwise_distance(b, p, eps, KeepDims::No);
            let apart = distance(x, negative);
            let apart = if swap { apart.minimum(distance(positive, negative)) } else { apart };
            reduced(&distance(x, positive).sub(&apart).affine(1.0, margin).relu(), reduction)
        })
    }

    /// `e^x - t x`, less what does not depend on x: counts t of a Poisson distribution whose rate's logarithm is x.
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    #[track_caller]
    pub fn poisson_nll_loss(&self, target: &Tensor, reduction: Reduction) -> Tensor {
        self.poisson_nll_loss_with(target, &PoissonNllOptions { reduction, ..PoissonNllOptions::default() })
    }

    /// [`Tensor::poisson_nll_loss`] with all of PyTorch's arguments.
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    #[doc(alias = "PoissonNLLLoss")]
    #[track_caller]
    pub fn poisson_nll_loss_with(&self, target: &Tensor, options: &PoissonNllOptions) -> Tensor {
        broadcast("poisson_nll_loss", &[self, target]);
        let target = &if target.dtype().is_float() { target.clone() } else { target.cast(self.dtype()) };
        Tensor::in_f32("poisson_nll_loss", [self, target], |[x, target]| {
            let loss = match options.log_input {
                true => x.exp().sub(&target.mul(x)),
                false => x.sub(&target.mul(&x.affine(1.0, options.eps).log())),
            };
            if !options.full {
                return reduced(&loss, options.reduction);
            }
            // Stirling's approximation of log(t!), of counts above 1.
            let many = target.detach().gt(1);
            let t = Tensor::where_(&many, target, &Tensor::full([], 1.0f32, target.device()));
            let log = t.log();
            let rest = t.mul(&log).sub(&t).add(&log.affine(0.5, 0.5 * (2.0 * PI).ln()));
            reduced(&loss.add(&Tensor::where_(&many, &rest, &Tensor::zeros([], target.device()))), options.reduction)
        })
    }

    /// `(log(2 pi v) + (x - t)^2 / v) / 2` with variances v held above `eps` (PyTorch's default is 1e-6), as if they were not
    /// for the gradient; PyTorch adds the constant only if `full` is asked for, and so does [`GaussianConstant::Full`].
    /// Variances of the shape of x without its last dimension are those of its rows.
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    #[doc(alias = "GaussianNLLLoss")]
    #[track_caller]
    pub fn gaussian_nll_loss(
        &self,
        target: &Tensor,
        variance: &Tensor,
        constant: GaussianConstant,
        eps: f32,
        reduction: Reduction,
    ) -> Tensor {
        let x = self.shape();
        let of_rows = x.rank() > 0 && variance.shape() != x && x[..x.rank() - 1] == *variance.shape();
        let variance = &if of_rows { variance.unsqueeze(x.rank() - 1) } else { variance.clone() };
        broadcast("gaussian_nll_loss", &[self, target, variance]);
        let shift = if constant == GaussianConstant::Full { 0.5 * (2.0 * PI).ln() } else { 0.0 };
        Tensor::in_f32("gaussian_nll_loss", [self, target, variance], |[x, target, variance]| {
            let negative = variance.detach().lt(Tensor::scalar(0.0f32, variance.device()));
            let none = Tensor::scalar(f32::NAN, variance.device());
            let v = Tensor::where_(&negative, &none, &raised(variance, eps));
            reduced(&v.log().add(&x.sub(target).square().div(&v)).affine(0.5, shift), reduction)
        })
    }
}

/// Refuses shapes that do not broadcast.
#[track_caller]
fn broadcast(op: &str, tensors: &[&Tensor]) {
    let shapes: Vec<Shape> = tensors.iter().map(|x| x.shape()).collect();
    let whole = shapes[1..].iter().try_fold(shapes[0], |all, shape| all.broadcast(shape));
    let told: Vec<String> = shapes.iter().map(Shape::to_string).collect();
    assert!(whole.is_some(), "{op}: {}: the shapes do not broadcast", told.join(" x "));
}

/// `x` held above `least`; the gradient passes all the same.
fn raised(x: &Tensor, least: f32) -> Tensor {
    x.detach().clamp(least, f32::INFINITY).tracked("raised", &[x], |dy, _| vec![Some(dy.clone())])
}

/// PyTorch's arguments of `triplet_margin_loss`, and its defaults.
#[derive(Debug, Clone, Copy)]
pub struct TripletMarginOptions {
    /// How much farther the negative is to lie.
    pub margin: f32,
    /// The order of distances.
    pub p: f32,
    /// Whether the negative's distance from the positive counts where it is the shorter one (Balntas et al., 2016).
    pub swap: bool,
    /// What is added to each difference.
    pub eps: f32,
    /// The reduction of the losses.
    pub reduction: Reduction,
}

impl Default for TripletMarginOptions {
    fn default() -> TripletMarginOptions {
        TripletMarginOptions { margin: 1.0, p: 2.0, swap: false, eps: 1e-6, reduction: Reduction::Mean }
    }
}

/// PyTorch's arguments of `poisson_nll_loss`, and its defaults.
#[derive(Debug, Clone, Copy)]
pub struct PoissonNllOptions {
    /// Whether the input is the rate's logarithm, instead of the rate.
    pub log_input: bool,
    /// Whether what depends on the counts alone is added, by Stirling's approximation.
    pub full: bool,
    /// What is added to a rate before its logarithm is taken.
    pub eps: f32,
    /// The reduction of the losses.
    pub reduction: Reduction,
}

impl Default for PoissonNllOptions {
    fn default() -> PoissonNllOptions {
        PoissonNllOptions { log_input: true, full: false, eps: 1e-8, reduction: Reduction::Mean }
    }
}

/// Whether a Gaussian's negative log-likelihood holds the constant `log(2 pi) / 2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GaussianConstant {
    /// It is left out.
    #[default]
    Out,
    /// It is there.
    Full,
}
