//! Elements by the intervals that they lie in.

use super::reduce::KeepDims;
use crate::dtype::DType;
use crate::shape::Shape;
use crate::tensor::Tensor;

/// # Intervals
impl Tensor {
    /// For each element how many of the boundaries, which rise along the last dimension, lie below it (or not above it, where
    /// `right`): i32. The boundaries are a vector, or have the elements' other dimensions. Each element is compared with all
    /// of them.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::cpu();
    /// let ages = Tensor::from_slice(&[3.0f32, 18.0, 70.0], [3], &device);
    /// let borders = Tensor::from_slice(&[18.0f32, 65.0], [2], &device);
    /// assert_eq!(ages.bucketize(&borders, false).to_vec::<i32>()?, [0, 0, 2]);
    /// assert_eq!(ages.bucketize(&borders, true).to_vec::<i32>()?, [0, 1, 2]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// If the boundaries are a scalar, or have other dimensions than the elements.
    #[doc(alias = "digitize")]
    #[track_caller]
    pub fn bucketize(&self, boundaries: &Tensor, right: bool) -> Tensor {
        let (x, b) = (self.shape(), boundaries.shape());
        let fits = b.rank() == 1 || b.rank() > 1 && x.rank() == b.rank() && x[..x.rank() - 1] == b[..b.rank() - 1];
        assert!(fits, "bucketize: {x} x {b}: expected a vector of boundaries, or one for each row of the elements");
        let (each, all) = (self.detach().unsqueeze(x.rank()), boundaries.detach());
        let all = if b.rank() == 1 { all } else { all.unsqueeze(b.rank() - 1) };
        // NaN is above all boundaries.
        let below = if right { all.le(&each) } else { all.lt(&each) };
        below.maximum(each.isnan()).cast(DType::F32).sum_dims(&[-1], KeepDims::No).cast(DType::I32)
    }

    /// For each of `values` its place among these elements, which rise along the last dimension: [`Tensor::bucketize`] with the
    /// boundaries first, as in PyTorch; `right` is its `side="right"`.
    ///
    /// # Panics
    /// As [`Tensor::bucketize`].
    #[track_caller]
    pub fn searchsorted(&self, values: &Tensor, right: bool) -> Tensor {
        values.bucketize(self, right)
    }

    /// 1 where an element is one of others, and 0 elsewhere. Each is compared with all of them.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::cpu();
    /// let labels = Tensor::from_slice(&[0, 3, 7, 3], [4], &device);
    /// let wanted = Tensor::from_slice(&[3, 5], [2], &device);
    /// assert_eq!(labels.isin(&wanted).to_vec::<f32>()?, [0.0, 1.0, 0.0, 1.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn isin(&self, elements: &Tensor) -> Tensor {
        let all = elements.detach().reshape_to(Shape::from([elements.numel()]));
        let same = self.detach().unsqueeze(self.rank()).eq(&all).cast(DType::F32);
        same.sum_dims(&[-1], KeepDims::No).gt(0).cast(self.mask_type())
    }

    /// How many elements lie in each of so many intervals between two numbers: f32 `[bins]`. The last interval holds its upper
    /// end, and what is outside counts nowhere.
    ///
    /// # Panics
    /// If there are no bins, or the lower end is not below the upper one.
    #[track_caller]
    pub fn histc(&self, bins: usize, min: f32, max: f32) -> Tensor {
        assert!(
            bins > 0 && min < max,
            "histc: {bins} bins from {min} to {max}: expected some, and a number below another"
        );
        let x = self.detach().cast(DType::F32).reshape_to(Shape::from([self.numel()]));
        let is_in = x.ge(min).mul(&x.le(max));
        let place = x.affine(1.0, -min).affine(bins as f32 / (max - min), 0.0).floor();
        let place = place.masked_fill(&is_in.eq(0), 0.0).clamp(0.0, bins as f32 - 1.0).cast(DType::I32);
        Tensor::zeros([bins], self.device()).index_add(0, &place, &is_in)
    }

    /// How many elements lie between each two of `edges`, which rise: f32, one fewer than edges, or the sum of the elements'
    /// weights. The last interval holds its upper end, and what is outside counts nowhere. PyTorch's `histogram`, whose `density` is
    /// this by its sum and by the intervals' lengths.
    ///
    /// # Panics
    /// If there are fewer than two edges, or not as many weights as elements.
    #[track_caller]
    pub fn histogram(&self, edges: &Tensor, weights: Option<&Tensor>) -> Tensor {
        let (shape, e) = (self.shape(), edges.shape());
        assert!(e.rank() == 1 && e[0] > 1, "histogram: {shape} x {e}: expected a vector of at least two edges");
        let flat = |x: &Tensor| x.detach().cast(DType::F32).reshape_to(Shape::from([x.numel()]));
        let (x, edges, bins) = (flat(self), flat(edges), e[0] - 1);
        let weighs = match weights {
            Some(weights) => {
                assert!(
                    weights.shape() == shape,
                    "histogram: {shape} x {}: expected a weight for each",
                    weights.shape()
                );
                flat(weights)
            }
            None => Tensor::ones(x.shape(), x.device()),
        };
        let is_in = x.ge(edges.narrow(0, 0, 1)).mul(&x.le(edges.narrow(0, bins, 1)));
        let place = x.bucketize(&edges, true).cast(DType::F32).affine(1.0, -1.0).clamp(0.0, bins as f32 - 1.0);
        Tensor::zeros([bins], x.device()).index_add(0, &place.cast(DType::I32), &weighs.masked_fill(&is_in.eq(0), 0.0))
    }
}
