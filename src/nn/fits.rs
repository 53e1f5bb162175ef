//! What layers refuse: one sentence with the layer's path, both shapes, and what would fit.

use super::ctx::Ctx;
use crate::dtype::DType;
use crate::tensor::Tensor;

/// Refuses what does not fit a layer's weight: `blocks.1.attn_qkv: [2, 5] x [384, 128]: rows of 128 are due, not of 5`.
#[track_caller]
pub(super) fn fit(fits: bool, layer: &str, x: &Tensor, weight: &Tensor, due: impl FnOnce() -> String) {
    let is_float = x.dtype() == DType::F32;
    told(is_float, layer, x, weight, || format!("a tensor of f32 is due, not of {}", x.dtype()));
    told(fits, layer, x, weight, due);
}

/// The same for a layer that takes indices.
#[track_caller]
pub(super) fn told(fits: bool, layer: &str, x: &Tensor, weight: &Tensor, due: impl FnOnce() -> String) {
    assert!(fits, "{}: {} x {}: {}", path(weight, layer), x.shape(), weight.shape(), due());
}

/// Refuses what does not fit a layer without parameters, which has no path of its own: `MaxPool2d behind conv1: [2, 784]:
/// images [n, c, h, w] are due`.
#[track_caller]
pub(super) fn fit_behind(fits: bool, layer: &str, x: &Tensor, ctx: &Ctx, due: impl FnOnce() -> String) {
    assert!(fits, "{}: {}: {}", ctx.place(layer), x.shape(), due());
}

/// The path of the layer that a parameter belongs to; what the layer is, where it is the whole model or nobody has asked
/// for paths yet.
pub(super) fn path<'a>(weight: &'a Tensor, layer: &'a str) -> &'a str {
    weight.name().and_then(|name| name.rsplit_once('.')).map_or(layer, |(path, _)| path)
}
