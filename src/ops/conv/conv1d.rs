//! Convolution along one dimension: that of images of one row.

use super::{Conv2dOptions, ConvTranspose2dOptions};
use crate::tensor::Tensor;

/// PyTorch's arguments of `conv1d`, and its defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv1dOptions {
    /// Distance between positions of the kernel.
    pub stride: usize,
    /// Zeros at both ends.
    pub padding: usize,
    /// Distance between the kernel's taps.
    pub dilation: usize,
    /// Parts of the channels that do not see each other.
    pub groups: usize,
}

impl Default for Conv1dOptions {
    fn default() -> Conv1dOptions {
        Conv1dOptions { stride: 1, padding: 0, dilation: 1, groups: 1 }
    }
}

/// PyTorch's arguments of `conv_transpose1d`, and its defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvTranspose1dOptions {
    /// Distance between the results of neighbours.
    pub stride: usize,
    /// Elements that are cut off at both ends of the result.
    pub padding: usize,
    /// Elements more at the end.
    pub output_padding: usize,
    /// Distance between the kernel's taps.
    pub dilation: usize,
    /// Parts of the channels that do not see each other.
    pub groups: usize,
}

impl Default for ConvTranspose1dOptions {
    fn default() -> ConvTranspose1dOptions {
        ConvTranspose1dOptions { stride: 1, padding: 0, output_padding: 0, dilation: 1, groups: 1 }
    }
}

/// # Convolution of sequences
impl Tensor {
    /// Convolution of `[n, c, length]` with a weight `[o, c / groups, k]` and a bias `[o]`, to `[n, o, out]`. One
    /// input `[c, length]` gives `[o, out]`.
    ///
    /// # Panics
    /// If the shapes do not fit each other or the options.
    #[track_caller]
    pub fn conv1d(&self, weight: &Tensor, bias: Option<&Tensor>, options: Conv1dOptions) -> Tensor {
        if let Some(batch) = self.batch_of_one(3) {
            return batch.conv1d(weight, bias, options).squeeze(0);
        }
        let (x, w) = (self.shape(), weight.shape());
        let fits = x.rank() == 3 && w.rank() == 3;
        assert!(fits, "conv1d: {x} x {w}: expected [n, c, length] and weights [o, c, k]");
        let Conv1dOptions { stride, padding, dilation, groups } = options;
        let options = Conv2dOptions { stride: [1, stride], padding: [0, padding], dilation: [1, dilation], groups };
        self.unsqueeze(2).convolution("conv1d", &weight.unsqueeze(2), bias, options).squeeze(2)
    }

    /// [`Tensor::conv1d`] with as much padding as keeps the length, in the place of that of the options: PyTorch's
    /// `padding="same"`. Of an odd number, the larger half is behind.
    ///
    /// # Panics
    /// If the stride is not 1, or as [`Tensor::conv1d`].
    #[track_caller]
    pub fn conv1d_same(&self, weight: &Tensor, bias: Option<&Tensor>, options: Conv1dOptions) -> Tensor {
        let w = weight.shape();
        assert!(w.rank() == 3, "conv1d: {} x {w}: expected weights [o, c, k]", self.shape());
        assert!(
            options.stride == 1,
            "conv1d: padding that keeps the length takes a stride of 1, got {}",
            options.stride
        );
        let total = options.dilation * w[2].saturating_sub(1);
        let x = if total.is_multiple_of(2) { self.clone() } else { self.pad(&[(0, 1)], 0.0) };
        x.conv1d(weight, bias, Conv1dOptions { padding: total / 2, ..options })
    }

    /// Transposed convolution of `[n, c, length]` with a weight `[c, o / groups, k]` and a bias `[o]`, to `[n, o, out]`.
    /// One input `[c, length]` gives `[o, out]`.
    ///
    /// # Panics
    /// If the shapes do not fit each other or the options.
    #[track_caller]
    pub fn conv_transpose1d(&self, weight: &Tensor, bias: Option<&Tensor>, options: ConvTranspose1dOptions) -> Tensor {
        if let Some(batch) = self.batch_of_one(3) {
            return batch.conv_transpose1d(weight, bias, options).squeeze(0);
        }
        let (x, w) = (self.shape(), weight.shape());
        let fits = x.rank() == 3 && w.rank() == 3;
        assert!(fits, "conv_transpose1d: {x} x {w}: expected [n, c, length] and weights [c, o, k]");
        let ConvTranspose1dOptions { stride, padding, output_padding, dilation, groups } = options;
        let options = ConvTranspose2dOptions {
            stride: [1, stride],
            padding: [0, padding],
            output_padding: [0, output_padding],
            dilation: [1, dilation],
            groups,
        };
        self.unsqueeze(2).transposed("conv_transpose1d", &weight.unsqueeze(2), bias, options).squeeze(2)
    }
}
