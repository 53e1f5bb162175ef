//! Where numbers stop being finite: the batch, a layer, a gradient.

use crate::autograd::Grads;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::metrics::in_f32;
use crate::nn::{Entered, Module, Trace, parameters};
use crate::tensor::Tensor;
use std::sync::{Mutex, PoisonError};

/// Follows the passes of a run ([`Trainer::detect_anomaly`](super::Trainer::detect_anomaly)).
#[derive(Debug, Default)]
pub struct Anomaly(Mutex<Found>);

#[derive(Debug, Default)]
struct Found {
    /// The layers that were entered and not left.
    open: Vec<String>,
    /// The first that gave a number that is not finite.
    first: Option<String>,
}

/// Whether all elements are finite.
fn is_finite(x: &Tensor) -> Result<bool> {
    Ok(!x.dtype().is_float() || in_f32(&x.detach()).isfinite().all().cast(DType::F32).item()? != 0.0)
}

impl Anomaly {
    fn found<R>(&self, with: impl FnOnce(&mut Found) -> R) -> R {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Refuses a batch with a number that is not finite.
    pub fn batch(&self, batch: &[&Tensor]) -> Result<()> {
        self.found(|found| *found = Found::default());
        for (at, array) in batch.iter().enumerate() {
            if !is_finite(array)? {
                let text = format!("array {at} of the batch, {}, has a number that is not finite", array.shape());
                return Err(Error::Training(format!("detect_anomaly: {text}: look at the data")));
            }
        }
        Ok(())
    }

    /// Refuses a loss that is not finite, and names where that began.
    pub fn loss(&self, loss: &Tensor) -> Result<()> {
        if is_finite(loss)? {
            return Ok(());
        }
        let from = match self.found(|found| found.first.take()) {
            Some(layer) => format!("the first layer whose output is not finite is `{layer}`"),
            None => "all layers gave finite numbers: look at the loss itself".into(),
        };
        Err(Error::Training(format!("detect_anomaly: the loss is {}, and {from}", loss.item()?)))
    }

    /// Refuses gradients that are not finite. They are made from the loss back, so that of the last layer is the cause.
    pub fn grads(&self, model: &dyn Module, grads: &Grads) -> Result<()> {
        for (path, parameter) in parameters(model).into_iter().rev() {
            if !grads.of(&parameter.tensor()).map_or(Ok(true), is_finite)? {
                return Err(Error::Training(format!(
                    "detect_anomaly: the loss is finite, and the gradient of `{path}` is not, the last parameter of which this is \
                     so: look at what lies between it and the loss (a root or a logarithm near 0, a division)"
                )));
            }
        }
        Ok(())
    }
}

impl Trace for Anomaly {
    fn entered(&self, layer: Entered) {
        self.found(|found| found.open.push(format!("{} ({})", layer.path, layer.title)));
    }

    fn left(&self, output: &Tensor) {
        // Reads that fail are told where the loss is read.
        let finite = is_finite(output).unwrap_or(true);
        self.found(|found| {
            let layer = found.open.pop().unwrap_or_default();
            if !finite {
                found.first.get_or_insert(layer);
            }
        });
    }
}
