//! The loop.

use super::batches::Batches;
use super::callback::{Callback, Run, better_of, is_better, last, weights};
use super::checkpoints::{Checkpoints, Folder, Place, load_task, task_state};
use super::history::{Figures, History, Record};
use super::task::{Outcome, Supervised, Task};
use super::totals::Totals;
use crate::backend::edge::Instant;
use crate::checkpoint;
use crate::data::Array;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::metrics::Metric;
use crate::nn::{Ctx, Module, StateDict};
use crate::optim::schedule::{ReduceLrOnPlateau, Schedule, Scheduler};
use crate::optim::{Ema, Optimizer};
use crate::plan::Replay;
use crate::profile::Profile;
use crate::tensor::Tensor;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Time from one look at the figures to the next: each waits for the device.
const READ_EVERY: Duration = Duration::from_millis(200);

/// Ends a run from outside, after the batch that it is at: from another thread, or when somebody presses Ctrl-C.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks for the end. The run writes its checkpoint, and `fit` returns.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody asked.
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The use that is made of a profile.
type Told = Box<dyn FnOnce(&Profile) -> Result<()> + Send>;

/// Trains by batches of N tensors: see [the module](super).
pub struct Trainer<'a, const N: usize> {
    device: Device,
    task: Box<dyn Task<N> + 'a>,
    epochs: usize,
    max_steps: Option<u64>,
    time_limit: Option<Duration>,
    limit_batches: Option<usize>,
    metrics: Vec<Box<dyn Metric>>,
    schedule: Option<Box<dyn Schedule>>,
    plateau: Option<(String, ReduceLrOnPlateau)>,
    callbacks: Vec<Box<dyn Callback + 'a>>,
    checkpoints: Option<Checkpoints>,
    stop: Stop,
    profile: Option<(u64, Told)>,
    /// Captures of a step and of a batch of validation, and the sums that they add to.
    replays: [Replay; 2],
    totals: Option<[Totals; 2]>,
}

impl<'a, const N: usize> Trainer<'a, N> {
    /// Of a model, its optimizer, and what makes a loss of a batch. The closure runs in training and in validation, told apart
    /// by its [`Ctx`]. It is captured when it first runs, and replayed from then on: see [`Replay`].
    pub fn new(
        device: &Device,
        model: &'a dyn Module,
        optimizer: impl Optimizer + 'a,
        step: impl FnMut([&Tensor; N], &Ctx) -> Result<Outcome> + 'a,
    ) -> Trainer<'a, N> {
        Trainer::of(device, Supervised { model, optimizer: Box::new(optimizer), average: None, step })
    }

    /// The same with an [average of the weights](Ema), which validation uses and checkpoints keep.
    pub fn averaged(
        device: &Device,
        model: &'a dyn Module,
        optimizer: impl Optimizer + 'a,
        average: Ema,
        step: impl FnMut([&Tensor; N], &Ctx) -> Result<Outcome> + 'a,
    ) -> Trainer<'a, N> {
        Trainer::of(device, Supervised { model, optimizer: Box::new(optimizer), average: Some(average), step })
    }

    /// Of a task of any kind.
    pub fn of(device: &Device, task: impl Task<N> + 'a) -> Trainer<'a, N> {
        Trainer {
            device: device.clone(),
            task: Box::new(task),
            epochs: 1,
            max_steps: None,
            time_limit: None,
            limit_batches: None,
            metrics: Vec::new(),
            schedule: None,
            plateau: None,
            callbacks: Vec::new(),
            checkpoints: None,
            stop: Stop::default(),
            profile: None,
            replays: Default::default(),
            totals: None,
        }
    }

    /// The number of epochs of the whole run; 1.
    #[must_use]
    pub fn epochs(self, epochs: usize) -> Self {
        Trainer { epochs, ..self }
    }

    /// Ends after so many steps of the whole run.
    #[must_use]
    pub fn max_steps(self, steps: u64) -> Self {
        Trainer { max_steps: Some(steps), ..self }
    }

    /// Ends after so much time.
    #[must_use]
    pub fn time_limit(self, time: Duration) -> Self {
        Trainer { time_limit: Some(time), ..self }
    }

    /// Takes only the first batches of each epoch, in training and in validation: to try whether everything runs.
    #[must_use]
    pub fn limit_batches(self, batches: usize) -> Self {
        Trainer { limit_batches: Some(batches.max(1)), ..self }
    }

    /// Tells a metric of training and of validation; of validation alone where it [collects](Metric::collects).
    #[must_use]
    pub fn metric(mut self, metric: impl Metric + 'static) -> Self {
        self.metrics.push(Box::new(metric));
        self
    }

    /// Sets the first optimizer's rates by a schedule, step by step.
    #[must_use]
    pub fn schedule(self, schedule: impl Schedule + 'static) -> Self {
        Trainer { schedule: Some(Box::new(schedule)), ..self }
    }

    /// Lowers the first optimizer's rates where a figure of the epochs gets no better.
    #[must_use]
    pub fn plateau(self, figure: &str, plateau: ReduceLrOnPlateau) -> Self {
        Trainer { plateau: Some((figure.to_string(), plateau)), ..self }
    }

    /// Has something look on.
    #[must_use]
    pub fn callback(mut self, callback: impl Callback + 'a) -> Self {
        self.callbacks.push(Box::new(callback));
        self
    }

    /// Writes checkpoints, from which a run goes on to the bit.
    #[must_use]
    pub fn checkpoints(self, checkpoints: Checkpoints) -> Self {
        Trainer { checkpoints: Some(checkpoints), ..self }
    }

    /// Times one step, told by its number from 1 on, kernel by kernel, and hands over what was found.
    #[must_use]
    pub fn profile_step(self, step: u64, tell: impl FnOnce(&Profile) -> Result<()> + Send + 'static) -> Self {
        Trainer { profile: Some((step, Box::new(tell))), ..self }
    }

    /// A handle that ends the run from outside.
    pub fn stop_handle(&self) -> Stop {
        self.stop.clone()
    }

    /// Trains, and after each epoch validates where there is a set for it.
    ///
    /// # Errors
    /// What the step, a callback or the data gives; [`Error::Training`] where a loss is no finite number any more;
    /// [`Error::File`] and [`Error::Weights`] where a run cannot be saved or resumed; the device's first failure. Where there
    /// are checkpoints, the last stays.
    pub fn fit(&mut self, train: &dyn Batches<N>, validation: Option<&dyn Batches<N>>) -> Result<History> {
        if let (None, Some(metric)) = (validation, self.metrics.iter().find(|metric| metric.collects())) {
            let text = "needs all outputs of a set, so that it is told of validation alone: give `fit` a set for that";
            return Err(Error::Option(format!("the metric `{}` {text}", metric.name())));
        }
        let mut fit = Fit::new(self, train)?;
        let ended = fit.resume().and_then(|()| fit.run(validation));
        let closed = fit.tell(|callback, run| callback.ended(run, ended.as_ref().err()));
        let history = fit.place.history;
        ended.and(closed).map(|()| history)
    }

    /// The loss and the metrics of a set.
    ///
    /// # Errors
    /// As [`fit`](Trainer::fit).
    pub fn evaluate(&mut self, set: &dyn Batches<N>) -> Result<Figures> {
        let averages = |task: &mut dyn Task<N>| task.averages().into_iter().for_each(|(_, average)| average.swap());
        averages(&mut *self.task);
        let figures = self.evaluated(set, "");
        averages(&mut *self.task);
        Ok(figures?.into_iter().collect())
    }

    /// Has sums for the metrics, which are all there when something runs.
    fn make_totals(&mut self) -> &mut [Totals; 2] {
        self.totals
            .get_or_insert_with(|| [false, true].map(|evaluates| Totals::new(&self.metrics, &self.device, evaluates)))
    }

    /// What a metric sums up, or collects, over a set, whether it is a metric of this run or not: of
    /// [`ConfusionCounts`](crate::metrics::ConfusionCounts), what a matrix is made of.
    ///
    /// # Errors
    /// As [`fit`](Trainer::fit).
    pub fn measure(&mut self, metric: impl Metric + 'static, set: &dyn Batches<N>) -> Result<Vec<f64>> {
        let metrics = std::mem::replace(&mut self.metrics, vec![Box::new(metric)]);
        let (totals, replays) = (self.totals.take(), std::mem::take(&mut self.replays));
        let ended = self.evaluate(set);
        let own = std::mem::replace(&mut self.metrics, metrics);
        let found = self.totals.take().map(|[_, mut totals]| totals.sums(&own));
        (self.totals, self.replays) = (totals, replays);
        ended?;
        Ok(found.transpose()?.and_then(|(_, mut sums)| sums.pop().flatten()).unwrap_or_default())
    }

    fn evaluated(&mut self, set: &dyn Batches<N>, prefix: &str) -> Result<Vec<(String, f64)>> {
        self.make_totals()[1].reset();
        for batch in set.epoch_from(0, 0).take(self.limit_batches.unwrap_or(usize::MAX)) {
            let batch = batch?.map(|array| array.to(&self.device));
            let (task, metrics) = (&mut self.task, &self.metrics);
            let [_, totals] = self.totals.as_mut().expect("they were made");
            let step = |batch: [&Tensor; N]| totals.add(&task.evaluate(batch)?, metrics, items(batch));
            let collected = self.replays[1].run(refs(&batch), step)?;
            totals.collect(&collected)?;
            self.device.submit();
        }
        let [_, totals] = self.totals.as_mut().expect("they were made");
        Ok(totals.read(&self.metrics, prefix)?.1)
    }
}

fn refs<const N: usize>(batch: &[Tensor; N]) -> [&Tensor; N] {
    batch.each_ref()
}

/// The items of a batch.
fn items<const N: usize>(batch: [&Tensor; N]) -> usize {
    batch.first().and_then(|tensor| tensor.shape().first().copied()).unwrap_or(0)
}

/// A run under way.
struct Fit<'f, 'a, const N: usize> {
    trainer: &'f mut Trainer<'a, N>,
    train: &'f dyn Batches<N>,
    scheduler: Option<Scheduler>,
    folder: Option<Folder>,
    figures: Figures,
    items: usize,
    loss: Option<Tensor>,
    place: Place,
    began: Instant,
    saved: Instant,
    stop: Option<String>,
}

impl<'f, 'a, const N: usize> Fit<'f, 'a, N> {
    fn new(trainer: &'f mut Trainer<'a, N>, train: &'f dyn Batches<N>) -> Result<Self> {
        let scheduler = match trainer.schedule.take() {
            None => None,
            Some(schedule) => match trainer.task.optimizers().into_iter().next() {
                Some((_, optimizer)) => Some(Scheduler::new(schedule, optimizer)?),
                None => return Err(Error::Option("a schedule needs an optimizer, and the task has none".into())),
            },
        };
        let folder = trainer.checkpoints.clone().map(Folder::open).transpose()?;
        trainer.make_totals();
        let place = Place { data: train.fingerprint(), ..Place::default() };
        let now = Instant::now();
        Ok(Fit {
            trainer,
            train,
            scheduler,
            folder,
            figures: Figures::default(),
            items: 0,
            loss: None,
            place,
            began: now,
            saved: now,
            stop: None,
        })
    }

    /// Goes to where the last checkpoint was written.
    fn resume(&mut self) -> Result<()> {
        let Some(loaded) = self.folder.as_ref().map(Folder::load).transpose()?.flatten() else { return Ok(()) };
        if loaded.place.data != self.place.data {
            let (had, has) = (&loaded.place.data, &self.place.data);
            let text = format!("was written by a run on other data: {had}; now {has}");
            return Err(Error::file(&loaded.path, text));
        }
        let task = &mut *self.trainer.task;
        load_task(task, &loaded.values)?;
        if let (Some(scheduler), Some((_, optimizer))) = (&mut self.scheduler, task.optimizers().into_iter().next()) {
            scheduler.go_to(loaded.place.schedule.unwrap_or(loaded.place.step), optimizer)?;
        }
        if let (Some((_, plateau)), Some(saved)) = (&mut self.trainer.plateau, loaded.place.plateau) {
            (plateau.best, plateau.bad, plateau.cooling) = saved;
        }
        for callback in &mut self.trainer.callbacks {
            if let Some(saved) = loaded.callback(callback.name()) {
                callback.load_state(saved)?;
            }
        }
        self.totals().load_state(&super::callback::under(&loaded.values, "totals"))?;
        self.place = loaded.place;
        Ok(())
    }

    fn run(&mut self, validation: Option<&dyn Batches<N>>) -> Result<()> {
        self.tell(|callback, run| callback.started(run))?;
        while self.place.epoch < self.trainer.epochs && !self.is_over() {
            let whole = self.epoch()?;
            if whole {
                self.end_epoch(validation)?;
            }
        }
        if self.stop.is_some() {
            self.save()?;
        }
        self.place.history.stopped = self.stop.clone();
        Ok(())
    }

    /// The sums of this epoch's training.
    fn totals(&mut self) -> &mut Totals {
        let [totals, _] = self.trainer.totals.as_mut().expect("they were made");
        totals
    }

    /// Batches in an epoch.
    fn batches(&self) -> usize {
        self.train.len().min(self.trainer.limit_batches.unwrap_or(usize::MAX))
    }

    /// Whether the run ends here, and why.
    fn is_over(&mut self) -> bool {
        let trainer = &self.trainer;
        let why = if trainer.stop.is_asked() {
            "it was asked to".to_string()
        } else if trainer.max_steps.is_some_and(|most| self.place.step >= most) {
            format!("{} steps are done", self.place.step)
        } else if trainer.time_limit.is_some_and(|most| self.began.elapsed() >= most) {
            format!("{:.0} seconds are over", self.began.elapsed().as_secs_f64())
        } else {
            return self.stop.is_some();
        };
        self.stop.get_or_insert(why);
        true
    }

    /// The rest of an epoch; whether it is whole.
    fn epoch(&mut self) -> Result<bool> {
        if self.place.batch == 0 {
            self.totals().reset();
        }
        let (before, start) = (self.place.seconds, Instant::now());
        let (train, first, batches) = (self.train, self.place.batch, self.batches());
        let mut read = Instant::now();
        let mut epoch = train.epoch_from(self.place.epoch as u64, first);
        while self.place.batch < batches {
            let Some(batch) = epoch.next() else { break };
            self.step(batch?)?;
            self.place.seconds = before + start.elapsed().as_secs_f64();
            let is_last = self.place.batch == batches;
            if is_last || read.elapsed() >= READ_EVERY {
                self.read()?;
                read = Instant::now();
            } else {
                // The device works on this step while the host makes the next batch.
                self.trainer.device.submit();
            }
            self.tell(|callback, run| callback.step(run))?;
            let over = self.is_over();
            if !is_last && (over || self.is_time_to_save()) {
                self.read()?;
                if !over {
                    self.save()?;
                }
            }
            if over {
                break;
            }
        }
        Ok(self.place.batch >= batches)
    }

    fn step(&mut self, batch: [Array; N]) -> Result<()> {
        let batch = batch.map(|array| array.to(&self.trainer.device));
        let trainer = &mut *self.trainer;
        let (task, metrics) = (&mut trainer.task, &trainer.metrics);
        let [totals, _] = trainer.totals.as_mut().expect("they were made");
        let replay = &mut trainer.replays[0];
        let mut run = || {
            replay.run(refs(&batch), |batch| {
                let outcome = task.train(batch)?;
                totals.add(&outcome, metrics, items(batch))?;
                Ok(outcome.loss)
            })
        };
        self.loss = Some(match trainer.profile.take_if(|(step, _)| *step == self.place.step + 1) {
            None => run()?,
            Some((_, tell)) => {
                let (loss, profile) = trainer.device.profile(run)?;
                tell(&profile)?;
                loss?
            }
        });
        if let (Some(scheduler), Some((_, optimizer))) = (&mut self.scheduler, task.optimizers().into_iter().next()) {
            scheduler.step(optimizer)?;
        }
        self.place.step += 1;
        self.place.batch += 1;
        Ok(())
    }

    /// Looks at the figures of the epoch so far.
    fn read(&mut self) -> Result<()> {
        let [totals, _] = self.trainer.totals.as_mut().expect("they were made");
        let (items, figures) = totals.read(&self.trainer.metrics, "")?;
        (self.items, self.figures) = (items, figures.into_iter().collect());
        if let Some(loss) = self.figures.get("loss").filter(|loss| !loss.is_finite()) {
            return Err(Error::Training(format!(
                "the loss became {loss} in epoch {}, by step {}: use a smaller learning rate, clip gradients, or look for the \
                 first bad kernel with `Device::checked`",
                self.place.epoch + 1,
                self.place.step
            )));
        }
        self.tell(|callback, run| callback.read(run))
    }

    fn is_time_to_save(&self) -> bool {
        self.folder.as_ref().is_some_and(|folder| {
            let by_steps = folder.options.every_steps.is_some_and(|every| self.place.step.is_multiple_of(every));
            by_steps || folder.options.every.is_some_and(|every| self.saved.elapsed() >= every)
        })
    }

    /// Validates, and writes the epoch down.
    fn end_epoch(&mut self, validation: Option<&dyn Batches<N>>) -> Result<()> {
        let trainer = &mut *self.trainer;
        let mut best = None;
        if let Some(set) = validation {
            trainer.task.averages().into_iter().for_each(|(_, average)| average.swap());
            let figures = trainer.evaluated(set, "val_");
            best = trainer.checkpoints.is_some().then(|| weights(&*trainer.task));
            trainer.task.averages().into_iter().for_each(|(_, average)| average.swap());
            for (name, value) in figures? {
                self.figures.set(&name, value);
            }
        }
        let lr = trainer.task.optimizers().first().map_or(0.0, |(_, optimizer)| optimizer.lr());
        let (epoch, step, seconds) = (self.place.epoch, self.place.step, self.place.seconds);
        let rate = self.items as f64 / seconds.max(1e-9);
        self.place.history.epochs.push(Record { epoch, step, seconds, rate, lr, figures: self.figures.clone() });
        if let Some((figure, plateau)) = &mut trainer.plateau {
            let value = last(&self.place.history, figure, "plateau")?;
            if let Some((_, optimizer)) = trainer.task.optimizers().into_iter().next() {
                plateau.step(value, optimizer)?;
            }
        }
        self.tell(|callback, run| callback.epoch(run))?;
        self.keep_best(best.transpose()?)?;
        (self.place.epoch, self.place.batch, self.place.seconds) = (epoch + 1, 0, 0.0);
        if self.stop.is_none() { self.save() } else { Ok(()) }
    }

    /// Keeps the weights of the best epoch so far.
    fn keep_best(&mut self, validated: Option<StateDict>) -> Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let Some(figure) = &folder.options.best else { return Ok(()) };
        let better = better_of(&self.trainer.metrics, figure);
        let new = last(&self.place.history, figure, "Checkpoints::best")?;
        if self.place.best.is_none_or(|best| is_better(better, new, best, 0.0)) {
            let values = validated.map_or_else(|| weights(&*self.trainer.task), Ok)?;
            checkpoint::write(&values, folder.options.folder.join("best.safetensors"))?;
            self.place.best = Some(new);
        }
        Ok(())
    }

    /// Writes a checkpoint, where there is a folder for it.
    fn save(&mut self) -> Result<()> {
        if self.folder.is_none() {
            return Ok(());
        }
        let mut values = task_state(&mut *self.trainer.task)?;
        values.extend(self.totals().state()?.into_iter().map(|(name, value)| (format!("totals.{name}"), value)));
        self.place.schedule = self.scheduler.as_ref().map(Scheduler::steps);
        self.place.plateau = self.trainer.plateau.as_ref().map(|(_, own)| (own.best, own.bad, own.cooling));
        let callbacks: Vec<_> =
            self.trainer.callbacks.iter().map(|own| (own.name().to_string(), own.state())).collect();
        let Some(folder) = &self.folder else { return Ok(()) };
        let path: PathBuf = folder.save(&self.place, &values, &callbacks)?;
        self.saved = Instant::now();
        self.tell(|callback, run| callback.saved(run, &path))
    }

    /// Tells every callback.
    fn tell(&mut self, mut event: impl FnMut(&mut dyn Callback, &mut Run) -> Result<()>) -> Result<()> {
        let batches = self.batches();
        let trainer = &mut *self.trainer;
        for callback in &mut trainer.callbacks {
            let mut run = Run {
                epoch: self.place.epoch,
                epochs: trainer.epochs,
                batch: self.place.batch,
                batches,
                step: self.place.step,
                seconds: self.place.seconds,
                rate: self.items as f64 / self.place.seconds.max(1e-9),
                figures: self.figures.clone(),
                loss: self.loss.as_ref(),
                history: &self.place.history,
                metrics: &trainer.metrics,
                task: &mut *trainer.task,
                stop: &mut self.stop,
            };
            event(&mut **callback, &mut run)?;
        }
        Ok(())
    }
}
