//! A metric over a set, in a loop by hand.

use super::{Metric, in_f32};
use crate::backend::Pending;
use crate::device::Device;
use crate::error::Result;
use crate::tensor::Tensor;
use std::collections::VecDeque;

/// Copies of batches that may be on their way to the host at once.
const WAITING: usize = 8;

/// What a metric collects: copied from the device while it works on.
#[derive(Default)]
pub(crate) struct Rows {
    values: Vec<f64>,
    waiting: VecDeque<Pending<Vec<f32>>>,
    /// The numbers of each batch.
    pub sizes: Vec<f64>,
}

impl Rows {
    pub fn add(&mut self, batch: &Tensor) -> Result<()> {
        self.sizes.push(batch.numel() as f64);
        self.waiting.push_back(batch.read::<f32>());
        self.take(WAITING)
    }

    /// All that was added, one batch behind the other.
    pub fn all(&mut self) -> Result<&[f64]> {
        self.take(0)?;
        Ok(&self.values)
    }

    fn take(&mut self, left: usize) -> Result<()> {
        while self.waiting.len() > left {
            let Some(batch) = self.waiting.pop_front() else { break };
            self.values.extend(batch.wait()?.into_iter().map(f64::from));
        }
        Ok(())
    }
}

/// A metric and its sums so far, in a loop by hand.
///
/// ```
/// use wgrad::Tensor;
/// use wgrad::metrics::{Accuracy, Meter};
/// # fn main() -> wgrad::Result<()> {
/// let device = wgrad::Device::cpu();
/// let mut accuracy = Meter::new(Accuracy::new(), &device);
/// for labels in [[0, 1], [1, 1]] {
///     let logits = Tensor::from_slice(&[1.0f32, 0.0, 0.0, 1.0], [2, 2], &device);
///     accuracy.update(&logits, &Tensor::from_slice(&labels, [2], &device));
/// }
/// assert_eq!(accuracy.value()?, 0.75);
/// # Ok(())
/// # }
/// ```
pub struct Meter<M> {
    metric: M,
    sums: Tensor,
    rows: Rows,
    failed: Result<()>,
}

impl<M: Metric> Meter<M> {
    /// Of nothing yet.
    pub fn new(metric: M, device: &Device) -> Meter<M> {
        let sums = Tensor::zeros([if metric.collects() { 0 } else { metric.len() }], device);
        Meter { metric, sums, rows: Rows::default(), failed: Ok(()) }
    }

    /// Adds a batch. Nothing is waited for, unless the metric [collects](Metric::collects).
    ///
    /// # Panics
    /// If the shapes do not fit the metric.
    #[track_caller]
    pub fn update(&mut self, output: &Tensor, target: &Tensor) {
        let (output, target) = (&in_f32(output), &in_f32(target));
        if !self.metric.collects() {
            self.sums = self.metric.update(&self.sums, output, target);
            return;
        }
        let added = self.rows.add(&self.metric.batch(output, target));
        if self.failed.is_ok() {
            self.failed = added;
        }
    }

    /// The sums, or what was collected.
    ///
    /// # Errors
    /// The device's first failure; so of the others.
    pub fn sums(&mut self) -> Result<Vec<f64>> {
        std::mem::replace(&mut self.failed, Ok(()))?;
        match self.metric.collects() {
            true => Ok(self.rows.all()?.to_vec()),
            false => Ok(self.sums.to_vec::<f32>()?.into_iter().map(f64::from).collect()),
        }
    }

    /// The figure so far.
    ///
    /// # Errors
    /// The device's first failure.
    #[doc(alias("compute"))]
    pub fn value(&mut self) -> Result<f64> {
        let sums = self.sums()?;
        Ok(self.metric.value(&sums))
    }

    /// All figures with their names.
    ///
    /// # Errors
    /// The device's first failure.
    pub fn figures(&mut self) -> Result<Vec<(String, f64)>> {
        let sums = self.sums()?;
        let values = self.metric.values(&sums);
        Ok(self.metric.names().into_iter().zip(values).collect())
    }

    /// Begins anew.
    pub fn reset(&mut self) {
        (self.sums, self.rows, self.failed) = (self.sums.zeros_like(), Rows::default(), Ok(()));
    }
}
