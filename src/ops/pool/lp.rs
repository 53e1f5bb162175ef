//! Pooling by a norm: the roots of sums of powers, made of means.

use super::{AvgPool1dOptions, AvgPool2dOptions, AvgPool3dOptions};
use crate::tensor::Tensor;

/// PyTorch's arguments of `lp_pool1d`, `lp_pool2d` and `lp_pool3d`, N dimensions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LpPoolOptions<const N: usize> {
    /// The power: 1 gives sums, a large one the largest.
    pub norm_type: f32,
    /// The window.
    pub kernel_size: [usize; N],
    /// Distance between windows.
    pub stride: [usize; N],
    /// Whether a last window may reach past the end, if it begins before.
    pub ceil_mode: bool,
}

impl<const N: usize> LpPoolOptions<N> {
    /// Windows of one size in all directions, side by side.
    pub fn new(norm_type: f32, kernel_size: usize) -> LpPoolOptions<N> {
        let sizes = [kernel_size; N];
        LpPoolOptions { norm_type, kernel_size: sizes, stride: sizes, ceil_mode: false }
    }
}

/// # Pooling by a norm
impl Tensor {
    /// The norm of each window of `[n, c, length]`, or of one `[c, length]`: the root of order `norm_type` of the sum of
    /// `x^norm_type`, with the sign of that sum, as PyTorch has it. Where a sum is 0 the gradient is 0.
    ///
    /// # Panics
    /// If the shape does not fit the options.
    #[track_caller]
    pub fn lp_pool1d(&self, options: LpPoolOptions<1>) -> Tensor {
        let ([kernel_size], [stride], ceil_mode) = (options.kernel_size, options.stride, options.ceil_mode);
        let means = AvgPool1dOptions { stride, ceil_mode, ..AvgPool1dOptions::new(kernel_size) };
        self.rooted(options.norm_type, kernel_size, |x| x.avg_pool1d(means))
    }

    /// [`Tensor::lp_pool1d`] of images `[n, c, h, w]`, or of one.
    ///
    /// # Panics
    /// If the shape does not fit the options.
    #[track_caller]
    pub fn lp_pool2d(&self, options: LpPoolOptions<2>) -> Tensor {
        let LpPoolOptions { norm_type, kernel_size, stride, ceil_mode } = options;
        let means = AvgPool2dOptions { kernel_size, stride, ceil_mode, ..AvgPool2dOptions::new(1) };
        self.rooted(norm_type, kernel_size.iter().product(), |x| x.avg_pool2d(means))
    }

    /// [`Tensor::lp_pool1d`] of volumes `[n, c, d, h, w]`, or of one.
    ///
    /// # Panics
    /// If the shape does not fit the options.
    #[track_caller]
    pub fn lp_pool3d(&self, options: LpPoolOptions<3>) -> Tensor {
        let LpPoolOptions { norm_type, kernel_size, stride, ceil_mode } = options;
        let means = AvgPool3dOptions { kernel_size, stride, ceil_mode, ..AvgPool3dOptions::new(1) };
        self.rooted(norm_type, kernel_size.iter().product(), |x| x.avg_pool3d(means))
    }

    /// The root of means of powers, each times the window: of a window past the end, too.
    #[track_caller]
    fn rooted(&self, p: f32, window: usize, mean: impl FnOnce(&Tensor) -> Tensor) -> Tensor {
        if let Some(([x], dtype)) = Tensor::widened("pow_scalar", [self]) {
            return x.rooted(p, window, mean).cast(dtype);
        }
        let means = mean(&self.pow_scalar(p));
        // By relu, through which nothing of an infinite slope at 0 passes.
        let sums = means.detach().sign().mul(&means.abs().relu()).affine(window as f32, 0.0);
        sums.pow_scalar(1.0 / p)
    }
}
