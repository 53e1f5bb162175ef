//! Pooling by windows whose places chance decides (Graham, 2014): made of gathering.

use crate::dtype::DType;
use crate::ops::reduce::KeepDims;
use crate::shape::Shape;
use crate::tensor::Tensor;

/// # Pooling by chance
impl Tensor {
    /// The largest of windows of images `[n, c, h, w]`, or of one, that lie as far apart as gives images of `size`, here closer
    /// and there wider by chance; and the place of each in its image, `row * width + column` (i32). `samples` `[n, c, 2]`, from 0
    /// to below 1, shift the columns and then the rows of each channel: `draw.uniform([n, c, 2], 0.0, 1.0)`. PyTorch's
    /// `fractional_max_pool2d` with `return_indices` and `_random_samples`. Each window is copied.
    ///
    /// ```
    /// use wgrad::nn::Generator;
    /// let device = wgrad::Device::cpu();
    /// let x = wgrad::Tensor::arange(0, 25, &device).cast(wgrad::DType::F32).reshape([1, 1, 5, 5]);
    /// let samples = Generator::new(0).draw(&device).uniform([1, 1, 2], 0.0, 1.0);
    /// let (y, _) = x.fractional_max_pool2d_indices([2, 2], [3, 3], &samples);
    /// assert_eq!(y.i((0, 0, 2, 2)).item()?, 24.0);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// If the shapes do not fit, or windows are larger than the images.
    #[track_caller]
    pub fn fractional_max_pool2d_indices(
        &self,
        kernel_size: [usize; 2],
        size: [usize; 2],
        samples: &Tensor,
    ) -> (Tensor, Tensor) {
        self.by_fractions("fractional_max_pool2d", kernel_size, size, [1, 0], samples)
    }

    /// [`Tensor::fractional_max_pool2d_indices`] without the places.
    ///
    /// # Panics
    /// As that.
    #[track_caller]
    pub fn fractional_max_pool2d(&self, kernel_size: [usize; 2], size: [usize; 2], samples: &Tensor) -> Tensor {
        self.fractional_max_pool2d_indices(kernel_size, size, samples).0
    }

    /// [`Tensor::fractional_max_pool2d_indices`] of volumes `[n, c, d, h, w]`, or of one, by samples `[n, c, 3]` for depth, rows
    /// and columns; places are counted through all three.
    ///
    /// # Panics
    /// If the shapes do not fit, or windows are larger than the volumes.
    #[track_caller]
    pub fn fractional_max_pool3d_indices(
        &self,
        kernel_size: [usize; 3],
        size: [usize; 3],
        samples: &Tensor,
    ) -> (Tensor, Tensor) {
        self.by_fractions("fractional_max_pool3d", kernel_size, size, [0, 1, 2], samples)
    }

    /// [`Tensor::fractional_max_pool3d_indices`] without the places.
    ///
    /// # Panics
    /// As that.
    #[track_caller]
    pub fn fractional_max_pool3d(&self, kernel_size: [usize; 3], size: [usize; 3], samples: &Tensor) -> Tensor {
        self.fractional_max_pool3d_indices(kernel_size, size, samples).0
    }

    /// `order` tells which of the samples shifts a dimension.
    #[track_caller]
    fn by_fractions<const N: usize>(
        &self,
        op: &str,
        kernel: [usize; N],
        size: [usize; N],
        order: [usize; N],
        samples: &Tensor,
    ) -> (Tensor, Tensor) {
        if let Some(batch) = self.batch_of_one(N + 2) {
            let (y, index) = batch.by_fractions(op, kernel, size, order, samples);
            return (y.squeeze(0), index.squeeze(0));
        }
        let (x, s) = (self.shape(), samples.shape());
        let fits = x.rank() == N + 2 && s.numel() == x[0] * x[1] * N && s.ends_with(&[N]);
        assert!(fits, "{op}: {x} x {s}: expected [n, c] and {N} sizes, and samples [n, c, {N}]");
        let fits = (0..N).all(|d| kernel[d] > 0 && size[d] > 0 && kernel[d] + size[d] - 1 <= x[d + 2]);
        assert!(fits, "{op}: {x}: {size:?} windows of {kernel:?} do not fit");
        let (n, c) = (x[0], x[1]);
        let samples = samples.detach().reshape_to(Shape::from([n, c, N]));
        let count = |n: usize| Tensor::arange(0, n as i32, self.device());
        // The places of all windows' elements, [n, c, windows, elements], dimension by dimension.
        let mut places: Option<Tensor> = None;
        for d in 0..N {
            let (out, taps, last) = (size[d], kernel[d], (x[d + 2] - kernel[d]) as i32);
            let shift = samples.narrow(2, order[d], 1);
            let step = last as f32 / (out.max(2) - 1) as f32;
            let steps = count(out - 1).cast(DType::F32);
            let starts = shift.add(&steps).affine(step, 0.0).floor().sub(&shift.affine(step, 0.0).floor());
            let end = Tensor::full([n, c, 1], last, self.device());
            let starts = Tensor::cat(&[&starts.cast(DType::I32), &end], 2);
            let own = starts.unsqueeze(3).add(&count(taps));
            places = Some(match places {
                None => own,
                Some(all) => {
                    let (windows, elements) = (all.size(2), all.size(3));
                    let all = all.reshape_to(Shape::from([n, c, windows, 1, elements, 1])) * x[d + 2] as i32;
                    let own = own.reshape_to(Shape::from([n, c, 1, out, 1, taps]));
                    all.add(&own).reshape_to(Shape::from([n, c, windows * out, elements * taps]))
                }
            });
        }
        let places = places.unwrap_or_else(|| count(1));
        let shape = places.shape();
        let flat = self.reshape_to(Shape::from([n, c, x[2..].iter().product()]));
        let seen = flat.gather(2, &places.reshape_to(Shape::from([n, c, shape[2] * shape[3]]))).reshape_to(shape);
        let (y, tap) = seen.max_dim(3, KeepDims::Yes);
        let out = Shape::from([&[n, c][..], &size].concat());
        (y.reshape_to(out), places.gather(3, &tap).reshape_to(out))
    }
}
