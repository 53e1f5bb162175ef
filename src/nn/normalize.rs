//! Pixels brought to a common scale, as a layer.

use super::ctx::Ctx;
use super::fits::misfit_at;
use super::module::{Init, Layer, Module, Path};
use super::parameter::Buffer;
use crate::dtype::DType;
use crate::tensor::Tensor;

/// `(x - mean) / std` of each channel of images `[n, c, h, w]`; bytes are divided by 255 before. At the front of a model it is saved
/// with it, so that whoever loads the model gives it pixels as they are.
///
/// ```
/// use wgrad::nn::{Ctx, Init, Layer, Normalize};
/// # use wgrad::{Device, Tensor};
/// # let device = Device::cpu();
/// let layer = Normalize::new(&[0.5], &[0.25], &Init::new(0, &device));
/// let x = Tensor::from_slice(&[0u8, 255], [1, 1, 1, 2], &device);
/// assert_eq!(layer.forward(&x, &Ctx::eval()).to_vec::<f32>()?, [-2.0, 2.0]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[doc(alias("ToTensor", "Rescaling"))]
#[derive(Debug, Module)]
pub struct Normalize {
    /// `[c, 1, 1]`: the means.
    pub mean: Buffer,
    /// `[c, 1, 1]`: the deviations.
    pub std: Buffer,
    path: Path,
}

impl Normalize {
    /// By the means and deviations of channels, in parts of 255 where pixels are bytes: those of
    /// [`data::Normalization::of`](crate::data::Normalization::of), say.
    ///
    /// # Panics
    /// If there is not one mean and one positive deviation for each channel.
    #[track_caller]
    pub fn new(mean: &[f32], std: &[f32], init: &Init) -> Normalize {
        let fits = mean.len() == std.len() && !mean.is_empty() && std.iter().all(|std| *std > 0.0);
        assert!(fits, "Normalize: means {mean:?}, deviations {std:?}: expected as many of each, and these above 0");
        let [mean, std] = [mean, std].map(|all| Buffer::new(Tensor::from_slice(all, [all.len(), 1, 1], &init.device)));
        Normalize { mean, std, path: Path::new() }
    }
}

impl Layer for Normalize {
    #[track_caller]
    fn call(&self, x: &Tensor, _ctx: &Ctx) -> Tensor {
        let x = self.path.of(x);
        let x = if x.dtype() == DType::U8 { x.cast(DType::F32).affine(1.0 / 255.0, 0.0) } else { x };
        let [mean, std] = [&self.mean, &self.std].map(|all| all.tensor().cast(x.dtype()));
        x.sub(&mean).div(&std)
    }

    fn batched_rank(&self) -> Option<usize> {
        Some(4)
    }

    fn misfit(&self, x: &Tensor, _ctx: &Ctx) -> Option<String> {
        let channels = self.mean.tensor().size(0);
        let fits = x.rank() == 4 && x.size(1) == channels;
        misfit_at(&self.path, fits, "Normalize", x, || format!("expected images [n, {channels}, h, w]")).or_else(|| {
            let fits = x.dtype() == DType::U8 || x.dtype().is_float();
            misfit_at(&self.path, fits, "Normalize", x, || format!("expected bytes or floats, got {}", x.dtype()))
        })
    }

    fn title(&self) -> String {
        format!("Normalize({} channels)", self.mean.tensor().size(0))
    }
}
