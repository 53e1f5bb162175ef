//! Looking for a learning rate, and for the size of a batch.

use super::batches::Batches;
use super::chart::Chart;
use super::checkpoints::{load_task, task_state};
use super::memory::Memory;
use super::trainer::{Trainer, parts};
use crate::backend::edge::Instant;
use crate::error::{Error, Result};
use crate::nn::StateDict;
use crate::optim::GradScaler;
use crate::parallel::DataParallel;
use crate::plan::Replay;

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
        let slopes = (FIRST..self.losses.len().saturating_sub(1)).map(slope);
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

/// What a search puts back.
struct Aside {
    task: StateDict,
    scaler: Option<StateDict>,
}

impl<const N: usize> Trainer<'_, N> {
    /// Trains for some steps at rates that grow from one to the next, tells the losses, and puts everything back as it was:
    /// weights, optimizers, averages, the scale of a loss, the place in random numbers. What is [frozen](Trainer::freeze) in the
    /// first epoch does not move here either. A rate where the loss still falls fast is a good one to
    /// begin with (Smith, 2017). Of a [group](Trainer::parallel), all ranks search together, each on its part of the batches.
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
        let aside = self.set_aside()?;
        let rates = self.task.optimizers().first().map(|(_, optimizer)| optimizer.lrs());
        let Some(rates) = rates else { return Err(Error::Option("find_lr: the task has no optimizer".into())) };
        let found = self.tried(train, |at| low * (high / low).powf(at as f64 / (steps - 1) as f64), steps);
        self.put_back(&aside)?;
        if let Some((_, optimizer)) = self.task.optimizers().into_iter().next() {
            optimizer.set_lrs(&rates)?;
        }
        found
    }

    /// All that a search changes, whose steps are those of the first epoch.
    fn set_aside(&mut self) -> Result<Aside> {
        self.thaw(0);
        let scaler = self.options.scaler.as_ref().map(GradScaler::state).transpose()?;
        Ok(Aside { task: task_state(&mut *self.task)?, scaler })
    }

    fn put_back(&mut self, aside: &Aside) -> Result<()> {
        load_task(&mut *self.task, &aside.task)?;
        let scaler = self.options.scaler.as_ref().zip(aside.scaler.as_ref());
        scaler.map_or(Ok(()), |(scaler, saved)| scaler.load_state(saved))
    }

    fn tried(&mut self, train: &dyn Batches<N>, rate: impl Fn(usize) -> f64, steps: usize) -> Result<LrFound> {
        let mut found = LrFound { rates: Vec::new(), losses: Vec::new() };
        let (mut sum, mut best) = (0.0, f64::INFINITY);
        // An epoch without a batch is the end.
        let parallel = self.options.parallel.clone();
        let epochs = (0..).map(|epoch| parts(train, parallel.as_deref(), epoch, 0).peekable());
        let mut batches = epochs.map_while(|mut epoch| epoch.peek().is_some().then_some(epoch)).flatten();
        for at in 0..steps {
            let Some(batch) = batches.next() else {
                if at == 0 {
                    return Err(Error::Data("find_lr: the set has no batch".into()));
                }
                break;
            };
            if let Some((_, optimizer)) = self.task.optimizers().into_iter().next() {
                optimizer.set_lr(rate(at) as f32)?;
            }
            let (batch, items) = batch?;
            parallel.iter().for_each(|own| own.weigh(items));
            let batch = batch.map(|array| array.to(&self.device));
            let loss = match self.train_on(&batch)?.first() {
                Some(loss) => f64::from(loss.item()?),
                None => break,
            };
            let loss = parallel.as_deref().map_or(Ok(loss), |own| mean(own, loss, items))?;
            sum = KEPT * sum + (1.0 - KEPT) * loss;
            // The mean begins with nothing, whose weight is taken off.
            let smooth = sum / (1.0 - KEPT.powi(at as i32 + 1));
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

/// The loss of a batch over a group, of a rank's: so all ranks end at one rate.
fn mean(parallel: &DataParallel, loss: f64, items: usize) -> Result<f64> {
    // What stands in the place of no item is not told.
    let own = if items == 0 { 0.0 } else { loss * items as f64 };
    let all = parallel.gather(&[own, items as f64], true)?;
    Ok(all[0] / all[1])
}

/// How [`Trainer::find_batch_size`] looks: from the smallest size on, each twice the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchSizes {
    /// The first size; 8.
    pub low: usize,
    /// The size that is not passed; 8,192.
    pub high: usize,
    /// The memory that the device may hold: a size that would need more, as far as those before it tell, is not tried. Without
    /// it, the search goes on until the device refuses.
    pub bytes: Option<u64>,
}

impl Default for BatchSizes {
    fn default() -> BatchSizes {
        BatchSizes { low: 8, high: 8192, bytes: None }
    }
}

/// The sizes of batches that fitted, with what they cost.
#[doc(alias("scale_batch_size", "BatchSizeFinder"))]
#[derive(Debug, Clone, PartialEq)]
pub struct BatchSizesFound {
    /// In order.
    pub sizes: Vec<usize>,
    /// Items a second with each.
    pub rates: Vec<f64>,
    /// Bytes that the device holds with each.
    pub bytes: Vec<u64>,
    /// Why the search ended.
    pub ended: String,
}

impl BatchSizesFound {
    /// The largest that fitted.
    pub fn largest(&self) -> Option<usize> {
        self.sizes.last().copied()
    }

    /// The smallest that is within a tenth of the fastest: larger ones cost memory and gain nothing.
    pub fn suggestion(&self) -> Option<usize> {
        let best = self.rates.iter().copied().fold(0.0, f64::max);
        self.sizes.iter().zip(&self.rates).find(|(_, rate)| **rate >= 0.9 * best).map(|(size, _)| *size)
    }
}

/// Steps of each size: of the first ones, which compile kernels and record the step, the time does not count.
const WARM: usize = 2;
const TIMED: usize = 3;

impl<const N: usize> Trainer<'_, N> {
    /// Trains for some steps with batches of sizes that double, tells how fast each is and what memory it takes, and puts
    /// everything back as it was. It ends where the memory, the set or the sizes end.
    ///
    /// ```
    /// # use wgrad::data::{DataLoader, LoaderOptions};
    /// # use wgrad::nn::{Init, Layer, Linear};
    /// # use wgrad::optim::{Sgd, SgdOptions};
    /// # use wgrad::train::{BatchSizes, Trainer};
    /// # fn main() -> wgrad::Result<()> {
    /// # let device = wgrad::Device::cpu();
    /// # let set: Vec<([f32; 2], i32)> = (0..100).map(|i| ([(i as f32).sin(), 1.0], i % 2)).collect();
    /// # let model = Linear::new(2, 2, &mut Init::new(0, &device));
    /// # let optimizer = Sgd::new(&model, SgdOptions::default())?;
    /// # let mut trainer = Trainer::new(&device, &model, optimizer, |[x, labels], ctx| {
    /// #     Ok(model.forward(x, ctx).cross_entropy(labels).into())
    /// # });
    /// let of = |batch_size| DataLoader::new(set.clone(), LoaderOptions { batch_size, ..LoaderOptions::default() });
    /// let found = trainer.find_batch_size(of, BatchSizes::default())?;
    /// println!("{:?}: {}", found.suggestion(), found.ended);
    /// # assert_eq!((found.largest(), &found.ended[..]), (Some(64), "the set has no 128 items"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Option`] if the sizes do not grow from 1 up, or there are several ranks; as [`fit`](Trainer::fit), but for a memory that does not suffice.
    pub fn find_batch_size<B: Batches<N>>(
        &mut self,
        batches: impl Fn(usize) -> Result<B>,
        range: BatchSizes,
    ) -> Result<BatchSizesFound> {
        let BatchSizes { low, high, .. } = range;
        if low == 0 || high < low {
            return Err(Error::Option(format!("find_batch_size: from {low} to {high}: expected sizes from 1 upwards")));
        }
        let joined = self.options.parallel.as_deref().map(DataParallel::group);
        if joined.or(self.group.as_deref()).is_some_and(|group| group.size() > 1) {
            let text = "find_batch_size: each of several ranks would come to sizes of its own: search before `Trainer::parallel`";
            return Err(Error::Option(text.into()));
        }
        let aside = self.set_aside()?;
        let found = self.sized(batches, range);
        // What was chosen for the largest is not for the run.
        (self.training.replay, self.memory) = (Replay::new(), Memory::default());
        self.put_back(&aside)?;
        found
    }

    fn sized<B: Batches<N>>(
        &mut self,
        batches: impl Fn(usize) -> Result<B>,
        range: BatchSizes,
    ) -> Result<BatchSizesFound> {
        let mut found =
            BatchSizesFound { sizes: Vec::new(), rates: Vec::new(), bytes: Vec::new(), ended: String::new() };
        let mut size = range.low;
        while size <= range.high {
            if let ([.., before, last], Some(most)) = (&found.bytes[..], range.bytes) {
                // Twice the size takes twice of what grew.
                let needed = last + 2 * last.saturating_sub(*before);
                if needed > most {
                    found.ended = format!("batches of {size} would take about {needed} bytes of {most}");
                    return Ok(found);
                }
            }
            let set = batches(size)?;
            let Some(first) = set.epoch_from(0, 0).next() else {
                found.ended = format!("the set has no batch of {size} items");
                return Ok(found);
            };
            let batch = first?.map(|array| array.to(&self.device));
            if super::trainer::items(batch.each_ref()) < size {
                found.ended = format!("the set has no {size} items");
                return Ok(found);
            }
            // The step of another size is forgotten with its memory.
            self.training.replay = Replay::new();
            let mut start = Instant::now();
            for at in 0..WARM + TIMED {
                if at == WARM {
                    start = Instant::now();
                }
                let loss = self.train_on(&batch).and_then(|told| told.first().map_or(Ok(0.0), |loss| loss.item()));
                match loss {
                    Err(error @ (Error::OutOfMemory { .. } | Error::Limit(_))) if !found.sizes.is_empty() => {
                        found.ended = format!("batches of {size} do not fit: {error}");
                        return Ok(found);
                    }
                    loss => drop(loss?),
                }
            }
            found.sizes.push(size);
            found.rates.push((size * TIMED) as f64 / start.elapsed().as_secs_f64().max(1e-9));
            found.bytes.push(self.device.counters().bytes);
            size *= 2;
        }
        found.ended = format!("batches of {size} were not asked for");
        Ok(found)
    }
}
