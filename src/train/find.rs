//! Looking for a learning rate.

use super::batches::Batches;
use super::chart::Chart;
use super::checkpoints::{load_task, task_state};
use super::trainer::Trainer;
use crate::error::{Error, Result};

/// How [`Trainer::find_lr`] looks: rates from the lowest to the highest, each a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LrRange {
    /// The first rate; 1e-6.
    pub low: f64,
    /// The last rate; 1.
    pub high: f64,
    /// Steps from one to the other; 100.
    pub steps: usize,
}

impl Default for LrRange {
    fn default() -> LrRange {
        LrRange { low: 1e-6, high: 1.0, steps: 100 }
    }
}

/// The losses at rates that grow.
#[doc(alias("lr_find", "LRFinder"))]
#[derive(Debug, Clone, PartialEq)]
pub struct LrFound {
    /// In order, to the last before the loss went up for good.
    pub rates: Vec<f64>,
    /// The loss at each, a mean that follows the last ten or so.
    pub losses: Vec<f64>,
}

/// The part that a smoothed loss keeps of what it was.
const KEPT: f64 = 0.9;
/// How far above its best the loss may come before the search is over.
const TOO_HIGH: f64 = 4.0;
/// Steps at the start that suggest nothing: their mean is of few losses.
const FIRST: usize = 10;

impl LrFound {
    /// The rate at which the loss falls fastest. None where it falls nowhere, or there are too few steps to tell.
    pub fn suggestion(&self) -> Option<f64> {
        let slope = |at: usize| (self.losses[at + 1] - self.losses[at - 1], self.rates[at]);
        let slopes = (FIRST.max(1)..self.losses.len().saturating_sub(1)).map(slope);
        let steepest = slopes.filter(|(slope, _)| *slope < 0.0).min_by(|a, b| a.0.total_cmp(&b.0));
        steepest.map(|(_, rate)| rate)
    }

    /// The losses over the rates, with the suggestion: [`Chart::save`] writes it.
    pub fn chart(&self) -> Chart {
        let points = self.rates.iter().copied().zip(self.losses.iter().copied());
        let chart = Chart::new("loss").over("learning rate").log_over().curve("", points);
        match self.suggestion() {
            Some(rate) => chart.mark(rate, &format!("{rate:.1e}")),
            None => chart,
        }
    }
}

impl<const N: usize> Trainer<'_, N> {
    /// Trains for some steps at rates that grow from one to the next, tells the losses, and puts everything back as it was:
    /// weights, optimizers, averages, the place in random numbers. A rate where the loss still falls fast is a good one to
    /// begin with (Smith, 2017).
    ///
    /// ```
    /// # use wgrad::data::{DataLoader, LoaderOptions};
    /// # use wgrad::nn::{Init, Layer, Linear};
    /// # use wgrad::optim::{Optimizer, Sgd, SgdOptions};
    /// # use wgrad::train::{LrRange, Outcome, Trainer};
    /// # fn main() -> wgrad::Result<()> {
    /// # let device = wgrad::Device::cpu();
    /// # let set: Vec<([f32; 2], i32)> = (0..256).map(|i| ([(i as f32).sin(), 1.0], i32::from((i as f32).sin() > 0.0))).collect();
    /// # let train = DataLoader::new(set, LoaderOptions::default())?;
    /// # let model = Linear::new(2, 2, &mut Init::new(0, &device));
    /// # let optimizer = Sgd::new(&model, SgdOptions::default())?;
    /// let mut trainer = Trainer::new(&device, &model, optimizer, |[x, labels], ctx| {
    ///     Ok(model.forward(x, ctx).cross_entropy(labels).into())
    /// });
    /// let found = trainer.find_lr(&train, LrRange { high: 100.0, ..LrRange::default() })?;
    /// println!("{:?}", found.suggestion());
    /// // found.chart().save("rates.svg")?;
    /// # assert!(found.suggestion().is_some_and(|rate| (1e-4..100.0).contains(&rate)), "{found:?}");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Option`] if the rates do not grow from above 0; as [`fit`](Trainer::fit).
    pub fn find_lr(&mut self, train: &dyn Batches<N>, range: LrRange) -> Result<LrFound> {
        let LrRange { low, high, steps } = range;
        if !(low > 0.0 && high > low && high.is_finite() && steps > FIRST) {
            let text = format!(
                "find_lr: {steps} steps from {low} to {high}: expected more than {FIRST}, from above 0 upwards"
            );
            return Err(Error::Option(text));
        }
        self.join()?;
        let saved = task_state(&mut *self.task)?;
        let rates = self.task.optimizers().first().map(|(_, optimizer)| optimizer.lrs());
        let Some(rates) = rates else { return Err(Error::Option("find_lr: the task has no optimizer".into())) };
        let found = self.tried(train, |at| low * (high / low).powf(at as f64 / (steps - 1) as f64), steps);
        load_task(&mut *self.task, &saved)?;
        if let Some((_, optimizer)) = self.task.optimizers().into_iter().next() {
            optimizer.set_lrs(&rates)?;
        }
        found
    }

    fn tried(&mut self, train: &dyn Batches<N>, rate: impl Fn(usize) -> f64, steps: usize) -> Result<LrFound> {
        let mut found = LrFound { rates: Vec::new(), losses: Vec::new() };
        let (mut mean, mut best) = (0.0, f64::INFINITY);
        let mut batches = (0..).flat_map(|epoch| train.epoch_from(epoch, 0));
        for at in 0..steps {
            let Some(batch) = batches.next() else { break };
            if let Some((_, optimizer)) = self.task.optimizers().into_iter().next() {
                optimizer.set_lr(rate(at) as f32)?;
            }
            let batch = batch?.map(|array| array.to(&self.device));
            let loss = match self.train_on(&batch)?.first() {
                Some(loss) => f64::from(loss.item()?),
                None => break,
            };
            mean = KEPT * mean + (1.0 - KEPT) * loss;
            // The mean begins with nothing, whose weight is taken off.
            let smooth = mean / (1.0 - KEPT.powi(at as i32 + 1));
            best = if smooth < best { smooth } else { best };
            if !smooth.is_finite() || (at > FIRST && smooth > TOO_HIGH * best.abs()) {
                break;
            }
            found.rates.push(rate(at));
            found.losses.push(smooth);
        }
        Ok(found)
    }
}
