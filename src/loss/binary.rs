//! Binary cross-entropy with weights, from its fused form and primitives.

use super::reduced;
use crate::ops::reduction::Reduction;
use crate::tensor::Tensor;

/// PyTorch's arguments of the binary cross-entropies, and its defaults.
#[derive(Debug, Clone, Default)]
pub struct BinaryOptions {
    /// A factor for each element's loss, of a shape that broadcasts.
    pub weight: Option<Tensor>,
    /// A factor for the loss of positive targets, of a shape that broadcasts; only for logits.
    pub pos_weight: Option<Tensor>,
    /// The reduction of the losses.
    pub reduction: Reduction,
}

/// # Weighted losses of two classes
impl Tensor {
    /// [`Tensor::binary_cross_entropy`] with weights.
    ///
    /// # Panics
    /// If the shapes differ or do not broadcast, or a `pos_weight` is given.
    #[track_caller]
    pub fn binary_cross_entropy_with(&self, target: &Tensor, options: &BinaryOptions) -> Tensor {
        let BinaryOptions { weight, pos_weight, reduction } = options;
        assert!(pos_weight.is_none(), "binary_cross_entropy: a pos_weight needs binary_cross_entropy_with_logits");
        match weight {
            None => self.binary_cross_entropy(target, *reduction),
            Some(weight) => reduced(&self.binary_cross_entropy(target, Reduction::None).mul(weight), *reduction),
        }
    }

    /// [`Tensor::binary_cross_entropy_with_logits`] with weights.
    ///
    /// # Panics
    /// If the shapes differ or do not broadcast.
    #[track_caller]
    pub fn binary_cross_entropy_with_logits_with(&self, target: &Tensor, options: &BinaryOptions) -> Tensor {
        let BinaryOptions { weight, pos_weight, reduction } = options;
        let losses = match (weight, pos_weight) {
            (None, None) => return self.binary_cross_entropy_with_logits(target, *reduction),
            (_, None) => self.binary_cross_entropy_with_logits(target, Reduction::None),
            (_, Some(positive)) => {
                // p t softplus(-x) + (1 - t) softplus(x), with softplus(x) = softplus(-x) + x.
                let share = target.mul(&positive.affine(1.0, -1.0)).affine(1.0, 1.0);
                target.affine(-1.0, 1.0).mul(self).add(&share.mul(&self.neg().softplus()))
            }
        };
        match weight {
            Some(weight) => reduced(&losses.mul(weight), *reduction),
            None => reduced(&losses, *reduction),
        }
    }
}
