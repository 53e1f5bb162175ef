//! Operations whose kernels do in one go what several primitives could do.

pub mod conv;
pub mod cross_entropy;
pub mod pool;
pub mod softmax;

use crate::kernel::Kernel;

/// Every kernel of this floor.
pub static KERNELS: &[&[&Kernel]] = &[conv::KERNELS, cross_entropy::KERNELS, pool::KERNELS, softmax::KERNELS];
