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

    /// Those of images of one row.
    fn of_rows(self) -> MaxPool2dOptions {
        let MaxPool1dOptions { kernel_size, stride, padding, dilation, ceil_mode } = self;
        MaxPool2dOptions {
            kernel_size: [1, kernel_size],
            stride: [1, stride],
            padding: [0, padding],
            dilation: [1, dilation],
            ceil_mode,
        }
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
        self.as_row("max_pool1d").max_pooled("max_pool1d", options.of_rows()).squeeze(-2)
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

    /// [`Tensor::max_pool1d`] with the place of each largest element (i32); of equal ones the first: PyTorch's `return_indices`.
    ///
    /// # Panics
    /// As [`Tensor::max_pool1d`].
    #[track_caller]
    pub fn max_pool1d_indices(&self, options: MaxPool1dOptions) -> (Tensor, Tensor) {
        let (y, index) = self.as_row("max_pool1d").max_pool2d_indices(options.of_rows());
        (y.squeeze(-2), index.squeeze(-2))
    }

    /// [`Tensor::adaptive_max_pool1d`] with the place of each largest element (i32); of equal ones the first.
    ///
    /// # Panics
    /// As [`Tensor::adaptive_max_pool1d`].
    #[track_caller]
    pub fn adaptive_max_pool1d_indices(&self, size: usize) -> (Tensor, Tensor) {
        let (y, index) = self.as_row("adaptive_max_pool1d").adaptive_max_pool2d_indices([1, size]);
        (y.squeeze(-2), index.squeeze(-2))
    }

    /// Sequences of a length, `[n, c, length]`, that are 0 but at the places that [`Tensor::max_pool1d_indices`] told. Of several
    /// for one place the last counts.
    ///
    /// # Panics
    /// If the values and the places are no sequences of one shape, or the places are not i32 or i64.
    #[track_caller]
    pub fn max_unpool1d(&self, index: &Tensor, length: usize) -> Tensor {
        let (values, index) = (self.as_row("max_unpool1d"), index.as_row("max_unpool1d"));
        values.max_unpool2d(&index, [1, length]).squeeze(-2)
    }

    #[track_caller]
    fn as_row(&self, op: &str) -> Tensor {
        assert!([2, 3].contains(&self.rank()), "{op}: {}: expected [n, c, length] or [c, length]", self.shape());
        self.unsqueeze(self.rank() - 1)
    }
}
