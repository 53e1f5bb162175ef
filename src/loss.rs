//! Losses under PyTorch's names, each in the form that neither overflows nor loses digits.
//!
//! They are methods of [`Tensor`], where its page lists them by family; here are their options. Cross-entropy
//! from logits, the loss of a classifier, is [`Tensor::cross_entropy`](crate::Tensor::cross_entropy).

mod binary;
mod ctc;
mod distance;
mod margin;
pub mod pairs;

pub use binary::BinaryOptions;
pub use ctc::CtcOptions;
pub use distance::{GaussianConstant, PoissonNllOptions, TripletMarginOptions};
pub use margin::MultiMarginOptions;
pub use pairs::KlTarget;

use crate::kernel::Kernel;
use crate::ops::reduction::Reduction;
use crate::tensor::Tensor;

/// Every kernel of this floor.
pub static KERNELS: &[&[&Kernel]] = &[ctc::KERNELS, pairs::KERNELS];

/// The reduction of losses that stand apart, by primitives.
fn reduced(losses: &Tensor, reduction: Reduction) -> Tensor {
    match reduction {
        Reduction::Mean => losses.mean(),
        Reduction::Sum => losses.sum(),
        Reduction::BatchMean => losses.sum().affine(1.0 / batch(losses) as f32, 0.0),
        Reduction::None => losses.clone(),
    }
}

/// The size of the first dimension; a tensor without dimensions is a batch of one.
fn batch(x: &Tensor) -> usize {
    x.shape().first().copied().unwrap_or(1)
}
