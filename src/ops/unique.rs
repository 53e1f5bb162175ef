//! Elements and slices without repeats: found on the host.

use crate::dtype::DType;
use crate::error::Result;
use crate::shape::{Int, Shape};
use crate::tensor::Tensor;
use std::cmp::Ordering;

/// What [`Tensor::unique`] and its kin find.
#[derive(Debug, Clone)]
pub struct Unique {
    /// What is there without repeats.
    pub values: Tensor,
    /// Of each element, or of each slice, which of the values it is; i32, of the shape that was asked, or a vector.
    pub inverse: Tensor,
    /// How often each value is there, or of runs how long each is; i32.
    pub counts: Tensor,
}

/// # Without repeats
impl Tensor {
    /// The elements without repeats, in order, NaN last and each by itself. It reads the elements, and so waits for the
    /// device: a captured step cannot.
    ///
    /// # Errors
    /// The device's first failure.
    ///
    /// # Panics
    /// If the elements are not floats or i32.
    #[track_caller]
    pub fn unique(&self) -> Result<Unique> {
        self.distinct(None, true)
    }

    /// The slices along a dimension without repeats, ordered by their first elements that differ: PyTorch's `unique` with `dim`.
    /// It reads the elements, and so waits for the device: a captured step cannot.
    ///
    /// ```
    /// let device = wgrad::Device::cpu();
    /// let x = wgrad::Tensor::from_slice(&[2, 1, 0, 3, 2, 1], [3, 2], &device);
    /// let all = x.unique_dim(0)?;
    /// assert_eq!(all.values.to_vec::<i32>()?, [0, 3, 2, 1]);
    /// assert_eq!(all.inverse.to_vec::<i32>()?, [1, 0, 1]);
    /// assert_eq!(all.counts.to_vec::<i32>()?, [1, 2]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// The device's first failure.
    ///
    /// # Panics
    /// If there is no such dimension, or the elements are not floats or i32.
    #[track_caller]
    pub fn unique_dim(&self, dim: impl Int) -> Result<Unique> {
        self.distinct(Some(self.shape().dim("unique_dim", dim.int())), true)
    }

    /// The elements without those that are equal to the one before; `inverse` tells which of them each was. It reads the
    /// elements, and so waits for the device: a captured step cannot.
    ///
    /// # Errors
    /// The device's first failure.
    ///
    /// # Panics
    /// If the elements are not floats or i32.
    #[track_caller]
    pub fn unique_consecutive(&self) -> Result<Unique> {
        self.distinct(None, false)
    }

    /// The slices along a dimension without those that are equal to the one before: PyTorch's `unique_consecutive` with `dim`. It
    /// reads the elements, and so waits for the device: a captured step cannot.
    ///
    /// # Errors
    /// The device's first failure.
    ///
    /// # Panics
    /// If there is no such dimension, or the elements are not floats or i32.
    #[track_caller]
    pub fn unique_consecutive_dim(&self, dim: impl Int) -> Result<Unique> {
        self.distinct(Some(self.shape().dim("unique_consecutive_dim", dim.int())), false)
    }

    /// Of slices along a dimension, or of single elements; of all, in order, or of runs as they come.
    #[track_caller]
    fn distinct(&self, dim: Option<usize>, ordered: bool) -> Result<Unique> {
        let (device, shape) = (self.device(), self.shape());
        let x = self.detach();
        let lines = match dim {
            Some(dim) => x.transpose(0, dim),
            None => x.reshape([-1]),
        };
        let keys: Vec<f64> = match self.dtype().is_float() {
            true => lines.cast(DType::F32).to_vec::<f32>()?.into_iter().map(f64::from).collect(),
            false => lines.integers().to_vec::<i32>()?.into_iter().map(f64::from).collect(),
        };
        let count = lines.size(0);
        let width = keys.len().checked_div(count).unwrap_or(0);
        let line = |at: usize| &keys[at * width..][..width];
        let by_value = |a: f64, b: f64| a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()));
        let by_line = |a: &[f64], b: &[f64]| {
            let all = a.iter().zip(b).map(|(&a, &b)| by_value(a, b));
            all.fold(Ordering::Equal, Ordering::then)
        };
        let mut order: Vec<usize> = (0..count).collect();
        if ordered {
            order.sort_by(|&a, &b| by_line(line(a), line(b)));
        }
        let (mut firsts, mut counts, mut inverse) = (Vec::<i32>::new(), Vec::<i32>::new(), vec![0i32; count]);
        let mut last: Option<usize> = None;
        for at in order {
            if last.is_none_or(|last| line(last) != line(at)) {
                firsts.push(at as i32);
                counts.push(0);
            }
            last = Some(at);
            inverse[at] = firsts.len() as i32 - 1;
            *counts.last_mut().expect("one was pushed") += 1;
        }
        let index = Tensor::from_slice(&firsts, [firsts.len()], device);
        let told = if dim.is_some() { Shape::from([count]) } else { shape };
        Ok(Unique {
            values: match dim {
                Some(dim) => x.index_select(dim, &index),
                None => lines.index_select(0, &index),
            },
            inverse: Tensor::from_slice(&inverse, told, device),
            counts: Tensor::from_slice(&counts, [counts.len()], device),
        })
    }
}
