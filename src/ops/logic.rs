//! Questions whose answers are 1 and 0, made of comparisons: there is no type for truth values, and a mask is f32.

use super::reduce::KeepDims;
use crate::dtype::DType;
use crate::shape::{Int, ints};
use crate::tensor::Tensor;

/// # Yes and no
impl Tensor {
    /// 1 where NaN, else 0.
    #[track_caller]
    pub fn isnan(&self) -> Tensor {
        self.ne(self)
    }

    /// 1 where infinite, else 0.
    #[track_caller]
    pub fn isinf(&self) -> Tensor {
        self.sized().eq(f32::INFINITY).cast(self.mask_type())
    }

    /// 1 where neither infinite nor NaN, else 0.
    #[track_caller]
    pub fn isfinite(&self) -> Tensor {
        self.sized().lt(f32::INFINITY).cast(self.mask_type())
    }

    /// The type of masks that a comparison of this tensor gives.
    pub(crate) fn mask_type(&self) -> DType {
        if self.dtype().is_float() { self.dtype() } else { DType::F32 }
    }

    /// The distance from 0, as f32.
    #[track_caller]
    fn sized(&self) -> Tensor {
        self.detach().cast(DType::F32).abs()
    }

    /// 1 where neither is 0, else 0; broadcast. Here and in all of these NaN counts as not 0, as in PyTorch.
    #[track_caller]
    pub fn logical_and(&self, other: &Tensor) -> Tensor {
        self.ne(0).mul(&other.ne(0))
    }

    /// 1 where one is not 0 or both are not, else 0; broadcast.
    #[track_caller]
    pub fn logical_or(&self, other: &Tensor) -> Tensor {
        self.ne(0).maximum(other.ne(0))
    }

    /// 1 where one is 0 and the other is not, else 0; broadcast.
    #[track_caller]
    pub fn logical_xor(&self, other: &Tensor) -> Tensor {
        self.ne(0).ne(other.ne(0))
    }

    /// 1 where 0, else 0.
    #[track_caller]
    pub fn logical_not(&self) -> Tensor {
        self.eq(0)
    }

    /// How many elements are not 0, over some dimensions: f32, whatever the elements are. An empty list tells it of each element.
    ///
    /// # Panics
    /// If there is no such dimension, or one is named twice.
    #[track_caller]
    pub fn count_nonzero(&self, dims: &[impl Int], keep: KeepDims) -> Tensor {
        self.ne(0).cast(DType::F32).sum_dims(&ints(dims), keep)
    }

    /// 1 if one element is not 0, else 0.
    #[track_caller]
    pub fn any(&self) -> Tensor {
        self.ne(0).sum().gt(0)
    }

    /// 1 if no element is 0, else 0: 1 of nothing.
    #[track_caller]
    pub fn all(&self) -> Tensor {
        self.eq(0).sum().eq(0)
    }

    /// [`Tensor::any`] over some dimensions. An empty list asks each element.
    ///
    /// ```
    /// use wgrad::{KeepDims, Tensor};
    /// let x = Tensor::from_slice(&[0.0f32, 0.0, 3.0, 1.0], [2, 2], &wgrad::Device::cpu());
    /// assert_eq!(x.any_dims(&[1], KeepDims::No).to_vec::<f32>()?, [0.0, 1.0]);
    /// assert_eq!(x.gt(0.5).all_dims(&[-1], KeepDims::Yes).to_vec::<f32>()?, [0.0, 1.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// If there is no such dimension, or one is named twice.
    #[track_caller]
    pub fn any_dims(&self, dims: &[impl Int], keep: KeepDims) -> Tensor {
        self.ne(0).sum_dims(&ints(dims), keep).gt(0)
    }

    /// [`Tensor::all`] over some dimensions. An empty list asks each element.
    ///
    /// # Panics
    /// If there is no such dimension, or one is named twice.
    #[track_caller]
    pub fn all_dims(&self, dims: &[impl Int], keep: KeepDims) -> Tensor {
        self.eq(0).sum_dims(&ints(dims), keep).eq(0)
    }
}
