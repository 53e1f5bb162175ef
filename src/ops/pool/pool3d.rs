//! Pooling of volumes: that of images, and then along the depth.

use super::{AvgPool2dOptions, MaxPool2dOptions};
use crate::shape::Shape;
use crate::tensor::Tensor;

/// PyTorch's arguments of `max_pool3d`: depth, height, width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxPool3dOptions {
    /// The window.
    pub kernel_size: [usize; 3],
    /// Distance between windows.
    pub stride: [usize; 3],
    /// Elements around the volume that never are the largest; at most half the window.
    pub padding: [usize; 3],
    /// Distance between the window's elements.
    pub dilation: [usize; 3],
    /// Whether a last window may reach past the end, if it begins before.
    pub ceil_mode: bool,
}

impl MaxPool3dOptions {
    /// Cubes side by side.
    pub fn new(kernel_size: usize) -> MaxPool3dOptions {
        let kernel_size = [kernel_size; 3];
        MaxPool3dOptions { kernel_size, stride: kernel_size, padding: [0; 3], dilation: [1; 3], ceil_mode: false }
    }
}

/// PyTorch's arguments of `avg_pool3d`: depth, height, width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AvgPool3dOptions {
    /// The window.
    pub kernel_size: [usize; 3],
    /// Distance between windows.
    pub stride: [usize; 3],
    /// Zeros around the volume; at most half the window.
    pub padding: [usize; 3],
    /// Whether a last window may reach past the end, if it begins before.
    pub ceil_mode: bool,
    /// Whether zeros of the padding count among the elements that a sum is divided by.
    pub count_include_pad: bool,
    /// What a sum is divided by, instead of the number of its elements.
    pub divisor_override: Option<usize>,
}

impl AvgPool3dOptions {
    /// Cubes side by side.
    pub fn new(kernel_size: usize) -> AvgPool3dOptions {
        let kernel_size = [kernel_size; 3];
        let (stride, padding) = (kernel_size, [0; 3]);
        let (ceil_mode, count_include_pad) = (false, true);
        AvgPool3dOptions { kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override: None }
    }
}

/// Pooling of images, along the depth and of slices.
enum Pool {
    Max([MaxPool2dOptions; 2]),
    Avg([AvgPool2dOptions; 2]),
    AdaptiveMax([usize; 3]),
    AdaptiveAvg([usize; 3]),
}

/// The part of options along the depth, beside what leaves the other dimension as it is, and the part of a slice.
fn parts(all: [usize; 3], still: usize) -> [[usize; 2]; 2] {
    [[all[0], still], [all[1], all[2]]]
}

/// # Pooling of volumes
impl Tensor {
    /// The largest of each window of volumes `[n, c, d, h, w]`, or of one `[c, d, h, w]`; the first of equals gets the gradient.
    ///
    /// # Panics
    /// If the shape does not fit the options.
    #[track_caller]
    pub fn max_pool3d(&self, options: MaxPool3dOptions) -> Tensor {
        let MaxPool3dOptions { kernel_size, stride, padding, dilation, ceil_mode } = options;
        let (kernels, strides) = (parts(kernel_size, 1), parts(stride, 1));
        let (paddings, dilations) = (parts(padding, 0), parts(dilation, 1));
        let options = [0, 1].map(|at| MaxPool2dOptions {
            kernel_size: kernels[at],
            stride: strides[at],
            padding: paddings[at],
            dilation: dilations[at],
            ceil_mode,
        });
        self.along_both("max_pool3d", &Pool::Max(options))
    }

    /// The mean of each window of volumes `[n, c, d, h, w]`, or of one `[c, d, h, w]`.
    ///
    /// # Panics
    /// If the shape does not fit the options.
    #[track_caller]
    pub fn avg_pool3d(&self, options: AvgPool3dOptions) -> Tensor {
        let AvgPool3dOptions { kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override } = options;
        let (kernels, strides, paddings) = (parts(kernel_size, 1), parts(stride, 1), parts(padding, 0));
        let options = [0, 1].map(|at| AvgPool2dOptions {
            kernel_size: kernels[at],
            stride: strides[at],
            padding: paddings[at],
            ceil_mode,
            count_include_pad,
            // Once for both.
            divisor_override: divisor_override.map(|divisor| if at == 0 { divisor } else { 1 }),
        });
        self.along_both("avg_pool3d", &Pool::Avg(options))
    }

    /// The means of volumes `[n, c, d, h, w]`, or of one `[c, d, h, w]`, over windows that cut them into `size` parts.
    ///
    /// # Panics
    /// If the shape is not that of volumes, or a size is 0.
    #[track_caller]
    pub fn adaptive_avg_pool3d(&self, size: [usize; 3]) -> Tensor {
        self.along_both("adaptive_avg_pool3d", &Pool::AdaptiveAvg(size))
    }

    /// The largest of volumes `[n, c, d, h, w]`, or of one `[c, d, h, w]`, in windows that cut them into `size` parts.
    ///
    /// # Panics
    /// If the shape is not that of volumes, or a size is 0.
    #[track_caller]
    pub fn adaptive_max_pool3d(&self, size: [usize; 3]) -> Tensor {
        self.along_both("adaptive_max_pool3d", &Pool::AdaptiveMax(size))
    }

    /// Pools slices (1) and then, where a slice is a row, the depth (0).
    #[track_caller]
    fn along_both(&self, op: &str, pool: &Pool) -> Tensor {
        if let Some(batch) = self.batch_of_one(5) {
            return batch.along_both(op, pool).squeeze(0);
        }
        let s = self.shape();
        assert!(s.rank() == 5, "{op}: {s}: expected volumes [n, c, d, h, w] or [c, d, h, w]");
        let slices = self.reshape_to(Shape::from([s[0], s[1] * s[2], s[3], s[4]])).pooled(pool, 1);
        let [h, w] = [2, 3].map(|d| slices.shape()[d]);
        let y = slices.reshape_to(Shape::from([s[0], s[1], s[2], h * w])).pooled(pool, 0);
        let depth = y.shape()[2];
        y.reshape_to(Shape::from([s[0], s[1], depth, h, w]))
    }

    #[track_caller]
    fn pooled(&self, pool: &Pool, part: usize) -> Tensor {
        let size = |all: &[usize; 3]| if part == 0 { [all[0], self.shape()[3]] } else { [all[1], all[2]] };
        match pool {
            Pool::Max(options) => self.max_pool2d(options[part]),
            Pool::Avg(options) => self.avg_pool2d(options[part]),
            Pool::AdaptiveMax(all) => self.adaptive_max_pool2d(size(all)),
            Pool::AdaptiveAvg(all) => self.adaptive_avg_pool2d(size(all)),
        }
    }
}
