//! Operations whose kernels do in one go what several primitives could do.

pub mod attention;
pub mod conv;
pub mod cross_entropy;
pub mod dropout;
pub mod embedding;
pub mod layer_norm;
pub mod norm;
pub mod pool;
pub mod random;
pub mod random_crop_flip;
pub mod recurrent;
pub mod softmax;
pub mod upsample;

use crate::kernel::Kernel;

/// Every kernel of this floor.
pub static KERNELS: &[&[&Kernel]] = &[
    attention::KERNELS,
    conv::KERNELS,
    conv::depthwise::KERNELS,
    cross_entropy::KERNELS,
    dropout::KERNELS,
    embedding::KERNELS,
    layer_norm::KERNELS,
    norm::KERNELS,
    pool::KERNELS,
    random::KERNELS,
    random_crop_flip::KERNELS,
    recurrent::KERNELS,
    softmax::KERNELS,
    upsample::KERNELS,
];
