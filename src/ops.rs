//! Primitive operations: each page has its kernels, their meanings and their gradients.

pub mod binary;
pub mod copy;
pub mod cumsum;
mod einsum;
pub mod fill;
pub mod gather;
mod mask;
pub mod matmul;
mod operators;
mod pieces;
pub mod reduce;
pub mod select;
pub mod topk;
pub mod unary;

use crate::kernel::Kernel;

/// Every kernel of this floor.
pub static KERNELS: &[&[&Kernel]] = &[
    binary::KERNELS,
    copy::KERNELS,
    cumsum::KERNELS,
    fill::KERNELS,
    gather::KERNELS,
    matmul::KERNELS,
    matmul::linear::KERNELS,
    reduce::KERNELS,
    select::KERNELS,
    topk::KERNELS,
    unary::KERNELS,
];
