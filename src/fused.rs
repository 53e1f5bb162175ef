//! Operations whose kernels do in one go what several primitives could do.

pub mod cross_entropy;
pub mod softmax;

use crate::kernel::Kernel;

/// Every kernel of this floor.
pub static KERNELS: &[&[&Kernel]] = &[cross_entropy::KERNELS, softmax::KERNELS];
