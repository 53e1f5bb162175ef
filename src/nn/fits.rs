//! Refusals of layers: one sentence with the layer's path, both shapes, and the shape that would fit.

use super::module::Path;
use crate::tensor::{Tensor, apart};

/// The fault of an input of a layer with a weight, if there is one: `blocks.1.attn_qkv: [2, 5] x [384, 128]:
/// expected rows of 128, got 5`.
#[must_use]
pub(super) fn misfit(
    fits: bool,
    layer: &str,
    x: &Tensor,
    weight: &Tensor,
    expected: impl FnOnce() -> String,
) -> Option<String> {
    let is_float = x.dtype().is_float();
    told(is_float && fits, layer, x, weight, || match is_float {
        true => expected(),
        false => format!("expected a tensor of floats, got {}", x.dtype()),
    })
}

/// The same for a layer that takes indices.
#[must_use]
pub(super) fn told(
    fits: bool,
    layer: &str,
    x: &Tensor,
    weight: &Tensor,
    expected: impl FnOnce() -> String,
) -> Option<String> {
    is_apart(layer, x, weight).or_else(|| (!fits).then(|| sentence(layer, x, weight, &expected())))
}

fn is_apart(layer: &str, x: &Tensor, weight: &Tensor) -> Option<String> {
    let told = || format!("{}: an input and a weight {}", path(weight, layer), apart(x.device(), weight.device()));
    (x.device() != weight.device()).then(told)
}

fn sentence(layer: &str, x: &Tensor, weight: &Tensor, expected: &str) -> String {
    format!("{}: {} x {}: {expected}", path(weight, layer), x.shape(), weight.shape())
}

/// The same for a layer without parameters: `layers.2: [2, 784]: expected images [n, c, h, w]`.
#[must_use]
pub(super) fn misfit_at(
    path: &Path,
    fits: bool,
    layer: &str,
    x: &Tensor,
    expected: impl FnOnce() -> String,
) -> Option<String> {
    (!fits).then(|| sentence_at(path, layer, x, &expected()))
}

fn sentence_at(path: &Path, layer: &str, x: &Tensor, expected: &str) -> String {
    format!("{}: {}: {expected}", path.get().as_deref().unwrap_or(layer), x.shape())
}

/// The same for a layer that takes any tensor of floats.
#[must_use]
pub(super) fn no_float(path: &Path, layer: &str, x: &Tensor) -> Option<String> {
    let is_float = x.dtype().is_float();
    misfit_at(path, is_float, layer, x, || format!("expected a tensor of floats, got {}", x.dtype()))
}

/// Refuses what does not fit.
#[track_caller]
pub(super) fn refuse(wrong: Option<String>) {
    if let Some(wrong) = wrong {
        panic!("{wrong}");
    }
}

/// The path of the layer that a parameter belongs to; what the layer is, where it is the whole model or nobody has asked
/// for paths yet.
pub(super) fn path<'a>(weight: &'a Tensor, layer: &'a str) -> &'a str {
    weight.name().and_then(|name| name.rsplit_once('.')).map_or(layer, |(path, _)| path)
}
