//! What the three convolutions are made by.

use crate::nn::{Init, Parameter};

/// A weight `[outputs, inputs / groups, kernel..]` and a bias `[outputs]`, uniform within 1 / sqrt(fan_in).
///
/// # Panics
/// If the groups do not divide the channels, or a size of the kernel is 0.
#[track_caller]
pub fn initial(
    op: &str,
    [inputs, outputs]: [usize; 2],
    kernel: &[usize],
    groups: usize,
    init: &mut Init,
) -> [Parameter; 2] {
    let whole = groups > 0 && inputs.is_multiple_of(groups) && outputs.is_multiple_of(groups);
    assert!(whole, "{op}: {groups} groups do not divide {inputs} and {outputs} channels");
    let least = vec!["1"; kernel.len()].join(" x ");
    assert!(!kernel.contains(&0), "{op}: a kernel of {kernel:?} sees nothing: take at least {least}");
    let shape = [&[outputs, inputs / groups][..], kernel].concat();
    let fan_in = shape[1..].iter().product();
    [init.uniform(&shape[..], fan_in), init.uniform([outputs], fan_in)]
}

/// The methods that set an option of a convolution, whose options hold `$each` of a number for all dimensions.
macro_rules! builders {
    ($layer:ident, $title:literal, |$n:ident| $each:expr) => {
        impl $layer {
            /// The same with so many zeros at each end of each dimension.
            #[must_use]
            pub fn padding(mut self, padding: usize) -> $layer {
                let $n = padding;
                self.options.padding = $each;
                self
            }

            /// The same with other elements than zeros around: PyTorch's `padding_mode`.
            #[must_use]
            pub fn padding_mode(mut self, mode: Padding) -> $layer {
                self.padding_mode = mode;
                self
            }

            /// The same with as much padding as keeps the size: PyTorch's `padding="same"`.
            ///
            /// # Panics
            /// If a stride is not 1.
            #[track_caller]
            #[must_use]
            pub fn padding_same(mut self) -> $layer {
                let (stride, $n) = (self.options.stride, 1);
                assert!(stride == $each, "{}: padding that keeps the size takes strides of 1, got {stride:?}", $title);
                self.same = true;
                self
            }

            /// The same with another distance between positions.
            #[must_use]
            pub fn stride(mut self, stride: usize) -> $layer {
                let $n = stride;
                self.options.stride = $each;
                self
            }

            /// The same with another distance between taps.
            #[must_use]
            pub fn dilation(mut self, dilation: usize) -> $layer {
                let $n = dilation;
                self.options.dilation = $each;
                self
            }

            /// The same without the bias, as before batch normalisation.
            #[must_use]
            pub fn without_bias(mut self) -> $layer {
                self.bias = None;
                self
            }
        }
    };
}

pub(super) use builders;
