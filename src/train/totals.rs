//! Sums over the batches of an epoch, on the device.

use super::task::Outcome;
use crate::backend::Pending;
use crate::device::Device;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::metrics::{Metric, Rows, in_f32};
use crate::nn::StateDict;
use crate::nn::StateTensor;
use crate::tensor::Tensor;

/// The sums of the means, and those of each metric that has any.
type Sums = (Vec<f32>, Vec<Option<Vec<f64>>>);

/// The most means that a step tells beside its loss.
const OTHERS: usize = 14;

/// Sums of losses and of what metrics count. They are tensors from before a step, which it changes in place: so a replayed step
/// adds to them too, and nothing is read until somebody looks.
pub(super) struct Totals {
    /// The items, their losses, and the other means.
    means: Tensor,
    names: Vec<String>,
    /// One for each metric that is made of sums.
    sums: Vec<Tensor>,
    /// One for each that collects; none in training, where they are not told.
    rows: Vec<Rows>,
}

impl Totals {
    /// Of a training epoch, or of a set that is evaluated.
    pub fn new(metrics: &[Box<dyn Metric>], device: &Device, evaluates: bool) -> Totals {
        let summed = metrics.iter().filter(|metric| !metric.collects());
        let sums = summed.map(|metric| Tensor::zeros([metric.len()], device)).collect();
        let collected = metrics.iter().filter(|metric| metric.collects() && evaluates);
        let rows = collected.map(|_| Rows::default()).collect();
        Totals { means: Tensor::zeros([2 + OTHERS], device), names: Vec::new(), sums, rows }
    }

    /// Adds a batch of so many items. What is to be [collected](Totals::collect) of it is returned, since nothing can be read
    /// while a step is captured.
    pub fn add(&mut self, outcome: &Outcome, metrics: &[Box<dyn Metric>], items: usize) -> Result<Vec<Tensor>> {
        if outcome.others.len() > OTHERS {
            let text = format!("a step tells {} means beside its loss: at most {OTHERS}", outcome.others.len());
            return Err(Error::Option(text));
        }
        self.names = outcome.others.iter().map(|(name, _)| name.clone()).collect();
        let loss = outcome.loss.detach();
        let weights = Tensor::full([], items as f32, loss.device());
        let scalars = std::iter::once(&loss).chain(outcome.others.iter().map(|(_, value)| value));
        let mut new = vec![weights.clone()];
        for scalar in scalars {
            if scalar.numel() != 1 {
                let text = format!("a loss or mean of a step has the shape {}: expected one number", scalar.shape());
                return Err(Error::Option(text));
            }
            new.push(&scalar.detach().reshape(()).cast(DType::F32) * items as f32);
        }
        let place = self.means.narrow(0, 0, new.len());
        place.assign(&(&place + Tensor::stack(&new.iter().collect::<Vec<_>>(), 0)));
        let mut collected = Vec::new();
        if let Some((output, target)) = &outcome.judged {
            let (output, target) = (&in_f32(output), &in_f32(target));
            let mut all = self.sums.iter();
            for metric in metrics {
                if !metric.collects() {
                    all.next().into_iter().for_each(|sums| sums.assign(&metric.update(sums, output, target)));
                } else if !self.rows.is_empty() {
                    collected.push(metric.batch(output, target));
                }
            }
        } else if let Some(metric) = metrics.first() {
            let text = format!(
                "the metric `{}` has nothing to judge: return `Outcome::of(loss).judged(&output, &target)` from the step",
                metric.name()
            );
            return Err(Error::Option(text));
        }
        Ok(collected)
    }

    /// Copies what a batch gave to those that collect.
    pub fn collect(&mut self, batch: &[Tensor]) -> Result<()> {
        self.rows.iter_mut().zip(batch).try_for_each(|(rows, batch)| rows.add(batch))
    }

    /// Begins anew.
    pub fn reset(&mut self) {
        self.rows.iter_mut().for_each(|rows| *rows = Rows::default());
        self.means.upload(&[0.0f32; 2 + OTHERS]);
        for sums in &self.sums {
            sums.upload(&vec![0.0f32; sums.numel()]);
        }
    }

    /// The means so far, under names with `prefix` before them, and the number of items.
    pub fn read(&mut self, metrics: &[Box<dyn Metric>], prefix: &str) -> Result<(usize, Vec<(String, f64)>)> {
        let (means, values) = self.sums(metrics)?;
        let items = f64::from(means[0]);
        let of = |sum: f32| f64::from(sum) / items.max(1.0);
        let mut figures = vec![(format!("{prefix}loss"), of(means[1]))];
        figures.extend(self.names.iter().zip(&means[2..]).map(|(name, sum)| (format!("{prefix}{name}"), of(*sum))));
        for (metric, values) in metrics.iter().zip(values) {
            let Some(values) = values else { continue };
            let named = metric.names().into_iter().zip(metric.values(&values));
            figures.extend(named.map(|(name, value)| (format!("{prefix}{name}"), value)));
        }
        Ok((items as usize, figures))
    }

    /// The sums of the means, and those of each metric, or all that it collected.
    pub fn sums(&mut self, metrics: &[Box<dyn Metric>]) -> Result<Sums> {
        let all = std::iter::once(&self.means).chain(&self.sums).map(|sums| sums.read::<f32>());
        let mut all = Pending::all(all).wait()?.into_iter();
        let means = all.next().unwrap_or_default();
        let mut rows = self.rows.iter_mut();
        let values = metrics.iter().map(|metric| match metric.collects() {
            true => rows.next().map(|rows| Ok(rows.all()?.to_vec())).transpose(),
            false => Ok(all.next().map(|sums| sums.into_iter().map(f64::from).collect())),
        });
        Ok((means, values.collect::<Result<_>>()?))
    }

    fn all(&self) -> impl Iterator<Item = (String, &Tensor)> {
        let sums = self.sums.iter().enumerate().map(|(at, sums)| (format!("metric{at}"), sums));
        std::iter::once(("means".to_string(), &self.means)).chain(sums)
    }

    pub fn state(&self) -> Result<StateDict> {
        self.all().map(|(name, sums)| Ok((name, StateTensor::of(sums)?))).collect()
    }

    pub fn load_state(&self, state: &StateDict) -> Result<()> {
        for (name, sums) in self.all() {
            let fits = |saved: &&StateTensor| saved.shape == *sums.shape();
            let Some(saved) = state.get(&name).filter(fits) else {
                return Err(Error::Weights(format!("the run's metrics are others than those saved: no `{name}` fits")));
            };
            saved.write_to(sums);
        }
        Ok(())
    }
}
