//! Operations: each page has its kernels, their meanings and their gradients.
//!
//! Programs call them as methods of [`Tensor`](crate::Tensor). Pages of element-wise functions, reductions, copies and matrix
//! products are what others may be made of; the rest do in one kernel what several of these could do.

pub mod algebra;
pub mod attention;
mod autocast;
pub mod bag;
pub mod binary;
mod bins;
pub mod cast;
mod channels_last;
pub(crate) mod coalesce;
pub mod composed;
pub mod conv;
pub mod copy;
pub mod cross_entropy;
pub mod cumsum;
mod distances;
pub mod division;
pub mod dropout;
mod einsum;
pub mod embedding;
pub mod fill;
pub mod gamma;
pub mod gather;
pub mod grid_sample;
pub mod group_norm;
pub mod index;
pub mod layer_norm;
mod logic;
mod mask;
pub mod matmul;
pub mod norm;
mod operators;
mod order;
pub mod padding;
mod patches;
mod pieces;
pub mod pool;
pub mod prelu;
pub mod random;
pub mod random_crop_flip;
pub mod recurrent;
pub mod reduce;
pub mod reduction;
mod repeat;
pub mod scan;
pub mod scatter;
pub mod select;
mod shared;
pub mod softmax;
pub mod sort;
mod special;
mod stacks;
pub mod topk;
pub mod unary;
pub mod unique;
pub mod upsample;

use crate::kernel::Kernel;

/// Every kernel of the operations.
pub static KERNELS: &[&[&Kernel]] = &[
    attention::KERNELS,
    binary::KERNELS,
    cast::KERNELS,
    coalesce::KERNELS,
    conv::KERNELS,
    conv::depthwise::KERNELS,
    copy::KERNELS,
    cross_entropy::KERNELS,
    cumsum::KERNELS,
    dropout::KERNELS,
    embedding::KERNELS,
    fill::KERNELS,
    gamma::KERNELS,
    gather::KERNELS,
    group_norm::KERNELS,
    binary::integers::KERNELS,
    layer_norm::KERNELS,
    matmul::KERNELS,
    matmul::linear::KERNELS,
    norm::KERNELS,
    padding::KERNELS,
    pool::KERNELS,
    prelu::KERNELS,
    random::KERNELS,
    random_crop_flip::KERNELS,
    recurrent::KERNELS,
    reduce::KERNELS,
    reduce::integers::KERNELS,
    unary::rounding::KERNELS,
    scan::KERNELS,
    scatter::KERNELS,
    select::KERNELS,
    softmax::KERNELS,
    topk::KERNELS,
    unary::KERNELS,
    unary::TABLE,
    unary::functions::TABLE,
    upsample::KERNELS,
];
