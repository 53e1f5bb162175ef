//! Pooling along one dimension: that of images of one row.

use super::{AvgPool2dOptions, MaxPool2dOptions};
use crate::tensor::Tensor;

/// PyTorch's arguments of `max_pool1d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxPool1dOptions {
    /// The window.
    pub kernel_size: usize,
    /// Distance between windows.
    pub stride: usize,
    /// Elements at both ends that never are the largest; at most half the window.
    pub padding: usize,
    /// Distance between the window's elements.
    pub dilation: usize,
    /// Whether a last window may reach past the end, if it begins before.
    pub ceil_mode: bool,
}

impl MaxPool1dOptions {
    /// Windows side by side.
    pub fn new(kernel_size: usize) -> MaxPool1dOptions {
        MaxPool1dOptions { kernel_size, stride: kernel_size, padding: 0, dilation: 1, ceil_mode: false }
    }
}

/// PyTorch's arguments of `avg_pool1d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AvgPool1dOptions {
    /// The window.
    pub kernel_size: usize,
    /// Distance between windows.
    pub stride: usize,
    /// Zeros at both ends; at most half the window.
    pub padding: usize,
    /// Whether a last window may reach past the end, if it begins before.
    pub ceil_mode: bool,
    /// Whether zeros of the padding count among the elements that a sum is divided by.
    pub count_include_pad: bool,
}

impl AvgPool1dOptions {
    /// Windows side by side.
    pub fn new(kernel_size: usize) -> AvgPool1dOptions {
        AvgPool1dOptions { kernel_size, stride: kernel_size, padding: 0, ceil_mode: false, count_include_pad: true }
    }
}

/// # Pooling of sequences
impl Tensor {
    /// [`Tensor::max_pool2d`] of `[n, c, length]`, or of one `[c, length]`.
    ///
    /// # Panics
    /// If the shape does not fit the options.
    #[track_caller]
    pub fn max_pool1d(&self, options: MaxPool1dOptions) -> Tensor {
        let MaxPool1dOptions { kernel_size, stride, padding, dilation, ceil_mode } = options;
        let options = MaxPool2dOptions {
            kernel_size: [1, kernel_size],
            stride: [1, stride],
            padding: [0, padding],
            dilation: [1, dilation],
            ceil_mode,
        };
        self.as_row("max_pool1d").max_pooled("max_pool1d", options).squeeze(-2)
    }

    /// [`Tensor::avg_pool2d`] of `[n, c, length]`, or of one `[c, length]`.
    ///
    /// # Panics
    /// If the shape does not fit the options.
    #[track_caller]
    pub fn avg_pool1d(&self, options: AvgPool1dOptions) -> Tensor {
        let AvgPool1dOptions { kernel_size, stride, padding, ceil_mode, count_include_pad } = options;
        let options = AvgPool2dOptions {
            kernel_size: [1, kernel_size],
            stride: [1, stride],
            padding: [0, padding],
            ceil_mode,
            count_include_pad,
            divisor_override: None,
        };
        self.as_row("avg_pool1d").avg_pooled("avg_pool1d", options).squeeze(-2)
    }

    /// [`Tensor::adaptive_avg_pool2d`] of `[n, c, length]`, or of one `[c, length]`.
    ///
    /// # Panics
    /// If the shape is another, or the size is 0.
    #[track_caller]
    pub fn adaptive_avg_pool1d(&self, size: usize) -> Tensor {
        self.as_row("adaptive_avg_pool1d").adaptive_avg("adaptive_avg_pool1d", [1, size]).squeeze(-2)
    }

    /// [`Tensor::adaptive_max_pool2d`] of `[n, c, length]`, or of one `[c, length]`.
    ///
    /// # Panics
    /// If the shape is another, or the size is 0.
    #[track_caller]
    pub fn adaptive_max_pool1d(&self, size: usize) -> Tensor {
        self.as_row("adaptive_max_pool1d").adaptive_max("adaptive_max_pool1d", [1, size]).squeeze(-2)
    }

    #[track_caller]
    fn as_row(&self, op: &str) -> Tensor {
        assert!([2, 3].contains(&self.rank()), "{op}: {}: expected [n, c, length] or [c, length]", self.shape());
        self.unsqueeze(self.rank() - 1)
    }
}
