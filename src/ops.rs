//! Primitive operations: each page has its kernels, their meanings and their gradients.

pub mod binary;
pub mod copy;
pub mod fill;
pub mod gather;
pub mod matmul;
mod operators;
pub mod reduce;
pub mod select;
pub mod unary;

use crate::kernel::Kernel;

/// Every kernel of this floor.
pub static KERNELS: &[&[&Kernel]] = &[
    binary::KERNELS,
    copy::KERNELS,
    fill::KERNELS,
    gather::KERNELS,
    matmul::KERNELS,
    matmul::linear::KERNELS,
    reduce::KERNELS,
    select::KERNELS,
    unary::KERNELS,
];
