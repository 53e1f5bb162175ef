//! Elements around others as a layer.

use super::ctx::Ctx;
use super::fits::misfit_at;
use super::module::{Layer, Module, Path};
use crate::ops::padding::Padding;
use crate::tensor::Tensor;

/// Elements around others: [`Tensor::pad_with`].
///
/// ```
/// use wgrad::nn::{Ctx, Layer, Pad};
/// use wgrad::{Padding, Tensor};
/// // PyTorch's `nn.ReflectionPad2d((1, 1, 2, 0))`: left and right, then above and below.
/// let pad = Pad::new([(1, 1), (2, 0)], Padding::Reflect);
/// let x = Tensor::zeros([2, 3, 4, 4], &wgrad::Device::cpu());
/// assert_eq!(*pad.forward(&x, &Ctx::eval()).shape(), [2, 3, 6, 6]);
/// ```
#[doc(alias("ConstantPad1d", "ConstantPad2d", "ConstantPad3d", "ZeroPad1d", "ZeroPad2d", "ZeroPad3d"))]
#[doc(alias("ReflectionPad1d", "ReflectionPad2d", "ReflectionPad3d"))]
#[doc(alias("ReplicationPad1d", "ReplicationPad2d", "ReplicationPad3d"))]
#[doc(alias("CircularPad1d", "CircularPad2d", "CircularPad3d"))]
#[derive(Debug, Clone, PartialEq, Module)]
pub struct Pad {
    /// For the last dimension, then the one before, .. how many before and after; a negative number cuts off.
    #[module(skip)]
    pub widths: Vec<(isize, isize)>,
    /// What lies around.
    #[module(skip)]
    pub mode: Padding,
    path: Path,
}

impl Pad {
    /// So many before and after the last dimension, the one before, ..
    pub fn new(widths: impl Into<Vec<(isize, isize)>>, mode: Padding) -> Pad {
        Pad { widths: widths.into(), mode, path: Path::new() }
    }

    /// Zeros on all four sides of images.
    pub fn zeros(width: usize) -> Pad {
        Pad::new([(width as isize, width as isize); 2], Padding::Constant(0.0))
    }
}

impl Layer for Pad {
    #[track_caller]
    fn call(&self, x: &Tensor, _ctx: &Ctx) -> Tensor {
        self.path.of(x).pad_with(&self.widths, self.mode)
    }

    fn misfit(&self, x: &Tensor, _ctx: &Ctx) -> Option<String> {
        let count = self.widths.len();
        misfit_at(&self.path, x.rank() >= count, "Pad", x, || format!("expected at least {count} dimensions"))
    }

    fn title(&self) -> String {
        format!("Pad({:?}, {:?})", self.widths, self.mode)
    }
}
