//! What lies around a convolution's input: other elements than zeros, and as many as keep the size.

use crate::nn::fits::misfit;
use crate::ops::padding::Padding;
use crate::tensor::Tensor;

/// How many elements lie before and after each dimension: the padding, or as many as keep the size of an input that taps
/// reach over so far, the larger half behind.
fn widths<const N: usize>(same: bool, padding: [usize; N], reach: [usize; N]) -> [[usize; 2]; N] {
    std::array::from_fn(|d| if same { [reach[d] / 2, reach[d] - reach[d] / 2] } else { [padding[d]; 2] })
}

/// The input of a convolution that pads nothing by itself.
#[track_caller]
pub(super) fn surrounded<const N: usize>(
    x: &Tensor,
    mode: Padding,
    same: bool,
    padding: [usize; N],
    reach: [usize; N],
) -> Tensor {
    let signed = |[before, after]: [usize; 2]| (before as isize, after as isize);
    let pairs: Vec<(isize, isize)> = widths(same, padding, reach).into_iter().rev().map(signed).collect();
    x.pad_with(&pairs, mode)
}

/// The fault of an input that is too small for its padding, or with it for the kernel.
#[must_use]
pub(super) fn enough<const N: usize>(
    layer: &str,
    x: &Tensor,
    weight: &Tensor,
    mode: Padding,
    around: [[usize; N]; 2],
    same: bool,
) -> Option<String> {
    let [padding, reach] = around;
    let widths = widths(same, padding, reach);
    let least: [usize; N] = std::array::from_fn(|d| {
        let most = widths[d][0].max(widths[d][1]);
        let taken = match mode {
            Padding::Reflect if most > 0 => most + 1,
            Padding::Circular => most,
            Padding::Replicate if most > 0 => 1,
            _ => 0,
        };
        taken.max((reach[d] + 1).saturating_sub(widths[d][0] + widths[d][1]))
    });
    let fits = x.shape()[2..].iter().zip(&least).all(|(size, least)| size >= least);
    let kind = match N {
        1 => "a length",
        2 => "images",
        _ => "volumes",
    };
    let sizes = || least.map(|size| size.to_string()).join(" x ");
    misfit(fits, layer, x, weight, || format!("expected {kind} of at least {}", sizes()))
}
