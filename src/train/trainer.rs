//! A run's options, and what is asked of it.

use super::batches::{Batches, Parts};
use super::callback::Callback;
use super::checkpoints::{Checkpoints, gathered_state, load_task};
use super::fit::Fit;
use super::history::{Figures, History};
use super::memory::{Fitted, Memory};
use super::task::{Outcome, StepOptions, Supervised, Task};
use super::totals::Totals;
use crate::checkpoint;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::metrics::Metric;
use crate::nn::{Ctx, Module, Precision};
use crate::optim::schedule::{ReduceLrOnPlateau, Schedule, Scheduler};
use crate::optim::{Ema, GradScaler, Optimizer};
use crate::parallel::{Compression, DataParallel, DiLoCo, DiLoCoOptions, Group};
use crate::plan::Replay;
use crate::profile::Profile;
use crate::tensor::Tensor;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

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
pub(super) type Told = Box<dyn FnOnce(&Profile) -> Result<()> + Send>;

/// The schedule of an optimizer, which is the first where it has no name.
pub(super) type Scheduled = (Option<String>, Scheduler);

/// Batches of everything in a [`fast_dev_run`](Trainer::fast_dev_run).
const FEW: usize = 2;

/// Trains by batches of N tensors: see [the module](super).
pub struct Trainer<'a, const N: usize> {
    pub(super) device: Device,
    pub(super) task: Box<dyn Task<N> + 'a>,
    pub(super) epochs: usize,
    pub(super) max_steps: Option<u64>,
    pub(super) time_limit: Option<Duration>,
    pub(super) limits: Limits,
    pub(super) schedules: Vec<Scheduled>,
    pub(super) plateau: Option<(String, ReduceLrOnPlateau)>,
    /// The first optimizer's rates before the first run by a plateau.
    pub(super) rates: Option<Vec<f32>>,
    pub(super) callbacks: Vec<Box<dyn Callback + 'a>>,
    pub(super) checkpoints: Option<Checkpoints>,
    pub(super) stop: Stop,
    pub(super) profile: Option<(u64, Told)>,
    pub(super) options: StepOptions,
    pub(super) memory: Memory,
    /// Paths that are frozen before an epoch, or always.
    pub(super) frozen: Vec<(String, usize)>,
    pub(super) training: Kind,
    pub(super) evaluation: Kind,
    pub(super) group: Option<Arc<dyn Group>>,
    pub(super) compression: Compression,
    pub(super) diloco: Option<DiLoCoOptions>,
    /// The outer steps of ranks that train by themselves.
    pub(super) outer: Option<DiLoCo>,
}

/// What is left out of a run, to try whether everything runs, or whether a model can learn at all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Batches of an epoch.
    pub train: usize,
    pub validation: usize,
    /// Whether each epoch is the first one over again.
    pub repeats: bool,
    /// Batches of validation before the first step.
    pub sanity: usize,
    pub fast: bool,
}

impl Limits {
    /// Batches of an epoch, in this run.
    pub fn train(&self) -> usize {
        if self.fast { FEW } else { self.train }
    }

    /// Batches of a validation, in this run.
    pub fn validation(&self) -> usize {
        if self.fast { FEW } else { self.validation }
    }
}

/// Steps of one kind, of training or of evaluation: their captures, and the sums that they add to.
pub(super) struct Kind {
    pub replay: Replay,
    pub totals: Totals,
}

impl Kind {
    fn new(device: &Device, evaluates: bool) -> Kind {
        Kind { replay: Replay::new(), totals: Totals::new(device, evaluates) }
    }
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
        let all = usize::MAX;
        Trainer {
            device: device.clone(),
            task: Box::new(task),
            epochs: 1,
            max_steps: None,
            time_limit: None,
            limits: Limits { train: all, validation: all, repeats: false, sanity: 0, fast: false },
            schedules: Vec::new(),
            plateau: None,
            rates: None,
            callbacks: Vec::new(),
            checkpoints: None,
            stop: Stop::default(),
            profile: None,
            options: StepOptions::default(),
            memory: Memory::default(),
            frozen: Vec::new(),
            training: Kind::new(device, false),
            evaluation: Kind::new(device, true),
            group: None,
            compression: Compression::None,
            diloco: None,
            outer: None,
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
    pub fn limit_batches(mut self, batches: usize) -> Self {
        (self.limits.train, self.limits.validation) = (batches.max(1), batches.max(1));
        self
    }

    /// Trains on the same first batches in every epoch, in the order of the first: a model that cannot learn these by heart has
    /// a fault.
    #[must_use]
    pub fn overfit_batches(mut self, batches: usize) -> Self {
        (self.limits.train, self.limits.repeats) = (batches.max(1), true);
        self
    }

    /// Two batches of everything, for one epoch, whatever else is asked for, and no checkpoint, log or page: whether a program runs
    /// to its end is known in seconds, and files of other runs stay as they are. What else is asked for holds again once this is
    /// told `false`.
    #[must_use]
    pub fn fast_dev_run(mut self, fast: bool) -> Self {
        self.limits.fast = fast;
        self
    }

    /// Validates by so many batches before the first step, and forgets the figures: a fault in validation is told now, and not
    /// after an epoch.
    #[doc(alias = "num_sanity_val_steps")]
    #[must_use]
    pub fn sanity_batches(mut self, batches: usize) -> Self {
        self.limits.sanity = batches;
        self
    }

    /// Cuts each batch into so many parts, whose gradients are added up before the optimizer's step: the memory of a part for
    /// the step of the whole. Where the loss is a mean over items, the gradient is that of the whole batch, up to rounding;
    /// dropout draws other masks, and batch normalisation sees parts.
    #[doc(alias("accumulate_grad_batches", "gradient accumulation"))]
    #[must_use]
    pub fn micro_batches(mut self, parts: usize) -> Self {
        self.options.micro_batches = parts.max(1);
        self
    }

    /// Has a step of training take at most so many bytes, by what its plan says ([`Device::estimate`]): the batch, weights and what
    /// belongs to them, and activations. Where the step as it is takes more, batches are cut into
    /// [parts](Trainer::micro_batches), or parts of the model [run again](Ctx::recompute) for their gradients, or both: what costs
    /// least of what fits, by the operations and bytes of the plan. Of a model with running statistics, which would see parts, the
    /// fewest parts. It is chosen before the first step, and again for larger batches; [`fitted`](Trainer::fitted) tells what was
    /// chosen, and so does [`Progress`](super::Progress).
    ///
    /// Running parts again changes no bit, and parts of a batch give the same up to rounding. Validation keeps no activations, and is
    /// not counted.
    ///
    /// ```
    /// # use wgrad::data::{DataLoader, LoaderOptions};
    /// # use wgrad::nn::{Gelu, Init, Layer, Linear, Sequential};
    /// # use wgrad::optim::{Sgd, SgdOptions};
    /// # use wgrad::train::Trainer;
    /// # fn main() -> wgrad::Result<()> {
    /// # let device = wgrad::Device::cpu();
    /// # let set: Vec<([f32; 2], i32)> = (0..256).map(|i| ([(i as f32).sin(), 1.0], i32::from((i as f32).sin() > 0.0))).collect();
    /// # let train = DataLoader::new(set, LoaderOptions { batch_size: 256, ..LoaderOptions::default() })?;
    /// # let init = &mut Init::new(0, &device);
    /// # let model = Sequential::new().push(Linear::new(2, 64, init)).push(Gelu::new()).push(Linear::new(64, 2, init));
    /// # let optimizer = Sgd::new(&model, SgdOptions::default())?;
    /// let step = |[x, labels]: [&wgrad::Tensor; 2], ctx: &wgrad::nn::Ctx| Ok(model.forward(x, ctx).cross_entropy(labels).into());
    /// let mut trainer = Trainer::new(&device, &model, optimizer, step).max_memory(100 << 10);
    /// trainer.fit(&train, None)?;
    /// assert!(trainer.fitted().is_some_and(|fitted| fitted.micro_batches > 1 && fitted.memory.total() <= 100 << 10));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// [`fit`](Trainer::fit) answers with [`Error::Option`] where nothing fits, and says what the least is.
    #[doc(alias("auto_scale_batch_size", "set_per_process_memory_fraction"))]
    #[must_use]
    pub fn max_memory(mut self, bytes: u64) -> Self {
        self.options.max_memory = Some(bytes);
        self
    }

    /// The way in which steps fit into [`max_memory`](Trainer::max_memory), as it was chosen last.
    pub fn fitted(&self) -> Option<&Fitted> {
        self.memory.last()
    }

    /// Tells the norm of all gradients, before any clipping, as the figure `grad_norm`: the mean of an epoch's steps.
    #[must_use]
    pub fn grad_norm(mut self) -> Self {
        self.options.grad_norm = true;
        self
    }

    /// Looks in each step for numbers that are not finite, and ends the run with where they began: the array of the batch, the
    /// layer, by its path, or the parameter whose gradient it is. For finding a fault, not for training: steps are not replayed,
    /// and what each layer gives is read. Whether a kernel is wrong is told by [`Device::checked`].
    #[doc(alias("set_detect_anomaly", "TerminateOnNaN"))]
    #[must_use]
    pub fn detect_anomaly(mut self, look: bool) -> Self {
        self.options.anomaly = look.then(Arc::default);
        self
    }

    /// Computes in another precision, in training and in validation: its [`Ctx`] has the closure's model do so. Losses and
    /// metrics stay f32. With [`Precision::F16Mixed`] comes a [`GradScaler`], which is saved in checkpoints, and whose scale is
    /// told as the figure `loss_scale`, the mean of an epoch's steps.
    #[doc(alias("autocast", "amp"))]
    #[must_use]
    pub fn precision(mut self, precision: Precision) -> Self {
        self.options.precision = precision;
        self.options.scaler = (precision == Precision::F16Mixed).then(|| GradScaler::new(&self.device));
        self
    }

    /// The same with a scaler of other numbers, or none.
    #[must_use]
    pub fn precision_with(mut self, precision: Precision, scaler: impl Into<Option<GradScaler>>) -> Self {
        (self.options.precision, self.options.scaler) = (precision, scaler.into());
        self
    }

    /// Leaves parameters as they are before an epoch, counted from 0; [`usize::MAX`] never lets them move. A path names a
    /// parameter, or a layer with all that is in it: `body` or `body.0.weight`.
    #[must_use]
    pub fn freeze(mut self, path: &str, until_epoch: usize) -> Self {
        self.frozen.push((path.to_string(), until_epoch));
        self
    }

    /// Tells a metric of training and of validation; of validation alone where it [collects](Metric::collects).
    #[must_use]
    pub fn metric(mut self, metric: impl Metric + 'static) -> Self {
        let metric: Rc<dyn Metric> = Rc::new(metric);
        self.training.totals.tell(metric.clone());
        self.evaluation.totals.tell(metric);
        self
    }

    /// Sets the first optimizer's rates by a schedule, step by step.
    #[must_use]
    pub fn schedule(mut self, schedule: impl Schedule + 'static) -> Self {
        self.schedules.push((None, Scheduler::waiting(schedule)));
        self
    }

    /// The same of another optimizer, by [its name](super::Trained::optimizers).
    #[must_use]
    pub fn schedule_of(mut self, optimizer: &str, schedule: impl Schedule + 'static) -> Self {
        self.schedules.push((Some(optimizer.to_string()), Scheduler::waiting(schedule)));
        self
    }

    /// Lowers the first optimizer's rates where a figure of the epochs gets no better. Beside a [schedule](Trainer::schedule) it
    /// lowers what that [goes on from](crate::optim::schedule::Scheduler). Its `mode` is to say what is better of the figure: a run
    /// is refused where a metric or the figure's name tells otherwise.
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

    /// Has the run end where this handle asks for it: one may end several runs.
    #[must_use]
    pub fn stop_by(self, stop: &Stop) -> Self {
        Trainer { stop: stop.clone(), ..self }
    }

    /// A handle that ends the run from outside.
    pub fn stop_handle(&self) -> Stop {
        self.stop.clone()
    }

    /// Trains as a rank of a group, each of which runs this program: batches are dealt out, so that the batch size is that of the
    /// whole group; gradients, figures and what is decided are those of the group; rank 0 writes checkpoints and tells what is told
    /// ([`Callback::on_every_rank`]). All ranks begin with the weights of rank 0. [`fit`](Trainer::fit),
    /// [`evaluate`](Trainer::evaluate) and [`measure`](Trainer::measure) are called on all of them.
    ///
    /// See [`DataParallel`], and [parallel training](crate::guide::parallel).
    #[doc(alias("DistributedDataParallel", "strategy", "devices"))]
    #[must_use]
    pub fn parallel(self, group: impl Group + 'static) -> Self {
        Trainer { group: Some(Arc::new(group)), ..self }
    }

    /// The form in which gradients go from rank to rank, where the run is [parallel](Trainer::parallel): see [`Compression`].
    #[doc(alias("fp16_compress_hook", "register_comm_hook"))]
    #[must_use]
    pub fn compress(self, compression: Compression) -> Self {
        Trainer { compression, ..self }
    }

    /// Has the ranks of a [parallel](Trainer::parallel) run train by themselves, and meet every so many steps: see [`DiLoCo`].
    /// An outer step is also taken where an epoch ends, before it is validated, and where the run ends; checkpoints that are due
    /// wait for the next one. They hold the outer momentum, and the moments of rank 0, with which all ranks go on.
    ///
    /// [`fit`](Trainer::fit) refuses it with [`Error::Option`] beside what needs all ranks at each step: a
    /// [sharded](crate::optim::Stepper::sharded) optimizer, [`sync_batch_norm`](Trainer::sync_batch_norm), and an average of the
    /// weights, which would be another on each rank. It does nothing to a run of one rank.
    #[doc(alias("PostLocalSGDOptimizer", "local SGD"))]
    #[must_use]
    pub fn diloco(self, options: DiLoCoOptions) -> Self {
        Trainer { diloco: Some(options), ..self }
    }

    /// Has batch normalisation take its statistics over the parts of all ranks: see
    /// [`DataParallel::synced`].
    #[doc(alias = "sync_batchnorm")]
    #[must_use]
    pub fn sync_batch_norm(mut self) -> Self {
        self.options.synced = true;
        self
    }

    /// Meets the other ranks, and takes over all that rank 0 begins with.
    pub(super) fn join(&mut self) -> Result<()> {
        let Some(group) = self.group.take().filter(|group| group.size() > 1) else { return Ok(()) };
        let mut parallel = DataParallel::of(group).compress(self.compression);
        parallel.meet(&self.task.modules())?;
        parallel.agree("options", &DiLoCoOptions::told(self.diloco.as_ref()))?;
        let own = gathered_state(&mut *self.task, parallel.is_first())?;
        let own = own.map_or_else(|| Ok(Vec::new()), |own| checkpoint::to_bytes(&own))?;
        let first = parallel.group().broadcast(0, own)?;
        load_task(&mut *self.task, &checkpoint::from_bytes(&first)?)?;
        parallel.check(&self.task.modules())?;
        let parallel = Arc::new(parallel);
        if let Some(options) = self.diloco {
            self.can_be_local()?;
            self.outer = Some(DiLoCo::of(parallel.clone(), &self.task.modules(), options, self.compression)?);
            self.options.local = true;
        }
        self.options.parallel = Some(parallel);
        Ok(())
    }

    /// Whether nothing needs all ranks at each step.
    fn can_be_local(&mut self) -> Result<()> {
        let sharded = self.task.optimizers().iter().any(|(_, optimizer)| optimizer.is_sharded());
        let averaged = !self.task.averages().is_empty();
        let all = [
            (sharded, "a sharded optimizer gives away its values at each step"),
            (self.options.synced, "`sync_batch_norm` takes statistics of all ranks at each step"),
            (averaged, "an average of the weights would be another on each rank"),
        ];
        let text = |why| Err(Error::Option(format!("diloco: the ranks take steps of their own, and {why}")));
        all.into_iter().find_map(|(found, why)| found.then_some(why)).map_or(Ok(()), text)
    }

    /// Trains, and after each epoch validates where there is a set for it.
    ///
    /// A second `fit` is another run, from the weights and moments that the first has left: epochs and steps are counted from 0,
    /// and schedules, a plateau and [`EarlyStopping`](super::EarlyStopping) begin anew, from the rates that the first run began
    /// with. Without a schedule or a plateau, rates are as the first has left them.
    ///
    /// # Errors
    /// What the step, a callback or the data gives; [`Error::Data`] where a set has no batch; [`Error::Training`] where a loss
    /// is no finite number any more, or a parameter that a checkpoint would hold; [`Error::File`] and [`Error::Weights`] where a
    /// run cannot be saved or resumed; the device's first failure. Where there are checkpoints, the last stays.
    pub fn fit(&mut self, train: &dyn Batches<N>, validation: Option<&dyn Batches<N>>) -> Result<History> {
        if let (None, Some(metric)) = (validation, self.training.totals.metrics().find(|metric| metric.collects())) {
            let text = "needs all outputs of a set, so that it is told of validation alone: give `fit` a set for that";
            return Err(Error::Option(format!("the metric `{}` {text}", metric.name())));
        }
        let mut fit = Fit::new(self, train)?;
        let ended = fit.resume().and_then(|()| fit.run(validation));
        let closed = fit.tell(|callback, run| callback.ended(run, ended.as_ref().err()));
        let history = fit.into_history();
        ended.and(closed).map(|()| history)
    }

    /// The loss and the metrics of a set.
    ///
    /// # Errors
    /// As [`fit`](Trainer::fit).
    pub fn evaluate(&mut self, set: &dyn Batches<N>) -> Result<Figures> {
        self.join()?;
        let figures = self.with_averages(|trainer| trainer.evaluated(set, "", trainer.limits.validation()));
        Ok(figures?.into_iter().collect())
    }

    /// What a metric sums up, or collects, over a set, whether it is a metric of this run or not: of
    /// [`ConfusionCounts`](crate::metrics::ConfusionCounts), what a matrix is made of.
    ///
    /// # Errors
    /// As [`fit`](Trainer::fit).
    pub fn measure(&mut self, metric: impl Metric + 'static, set: &dyn Batches<N>) -> Result<Vec<f64>> {
        let mut alone = Kind::new(&self.device, true);
        alone.totals.tell(Rc::new(metric));
        let own = std::mem::replace(&mut self.evaluation, alone);
        let ended = self.evaluate(set);
        let mut alone = std::mem::replace(&mut self.evaluation, own);
        ended?;
        Ok(alone.totals.sums()?.1.pop().unwrap_or_default())
    }

    /// A step of training: its loss, and the other means that it tells.
    pub(super) fn train_on(&mut self, batch: &[Tensor; N]) -> Result<Vec<Tensor>> {
        // What reads its numbers cannot be estimated.
        let chosen = if self.options.anomaly.is_some() { None } else { self.fit_memory(batch)? };
        let (task, options) = (&mut self.task, chosen.as_ref().unwrap_or(&self.options));
        let Kind { replay, totals } = &mut self.training;
        let mut step = |batch: [&Tensor; N]| {
            let outcome = task.train_as(batch, options)?;
            totals.add(&outcome, items(batch))?;
            let others = outcome.others.into_iter().map(|(_, value)| value);
            Ok(std::iter::once(outcome.loss).chain(others).collect())
        };
        if options.anomaly.is_some() { step(batch.each_ref()) } else { replay.run(batch.each_ref(), step) }
    }

    /// Does something while the averages of weights, where there are any, stand in the place of the weights: saves the model, or
    /// predicts with it.
    pub fn with_averages<R>(&mut self, work: impl FnOnce(&mut Self) -> R) -> R {
        self.task.averages().into_iter().for_each(|(_, average)| average.swap());
        let result = work(self);
        self.task.averages().into_iter().for_each(|(_, average)| average.swap());
        result
    }

    /// The figures of a set's first batches.
    pub(super) fn evaluated(&mut self, set: &dyn Batches<N>, prefix: &str, limit: usize) -> Result<Vec<(String, f64)>> {
        let Kind { replay, totals } = &mut self.evaluation;
        let parallel = self.options.parallel.as_deref();
        totals.reset();
        let mut batches = 0;
        for part in parts(set, parallel, 0, 0).take(limit) {
            batches += 1;
            let (batch, 1..) = part? else {
                totals.skip();
                continue;
            };
            let batch = batch.map(|array| array.to(&self.device));
            let task = &mut self.task;
            let options = &self.options;
            let step = |batch: [&Tensor; N]| totals.add(&task.evaluate_as(batch, options)?, items(batch));
            let collected = replay.run(batch.each_ref(), step)?;
            totals.collect(&collected)?;
            self.device.submit();
        }
        match totals.read(prefix, parallel)? {
            (0, _) if batches == 0 => Err(Error::Data("the set that is evaluated has no batch".into())),
            (_, figures) => Ok(figures),
        }
    }
}

/// The batches of an epoch from one on; of a group, this rank's parts.
pub(super) fn parts<'b, const N: usize>(
    set: &'b dyn Batches<N>,
    parallel: Option<&DataParallel>,
    epoch: u64,
    first: usize,
) -> Parts<'b, N> {
    match parallel.map(DataParallel::group) {
        None => Box::new(set.epoch_from(epoch, first).map(|batch| Ok((batch?, 1)))),
        Some(group) => set.part_from(epoch, first, (group.rank(), group.size())),
    }
}

/// The items of a batch.
pub(super) fn items<const N: usize>(batch: [&Tensor; N]) -> usize {
    batch.first().and_then(|tensor| tensor.shape().first().copied()).unwrap_or(0)
}
