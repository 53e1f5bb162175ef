//! Callbacks, which look at a run while it goes on.

use super::history::{Figures, History, shown};
use super::memory::Fitted;
use super::task::Trained;
use super::totals::Totals;
use crate::checkpoint::{join, part};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::nn::{StateDict, Strictness, load_state, state};
use crate::optim::schedule::Better;
use crate::profile::Profile;
use crate::tensor::Tensor;
use std::path::Path;

/// A run, as callbacks see it.
pub struct Run<'r> {
    /// The number of this epoch, from 0.
    pub epoch: usize,
    /// Epochs that the run is to have.
    pub epochs: usize,
    /// Batches of this epoch that are done.
    pub batch: usize,
    /// Batches in an epoch; `usize::MAX` of a set that does not know its length.
    pub batches: usize,
    /// Steps since the run began.
    pub step: u64,
    /// Seconds of this epoch's training so far.
    pub seconds: f64,
    /// Items a second in this epoch.
    pub rate: f64,
    /// The figures as they were read last; at the end of an epoch those of validation too.
    pub figures: Figures,
    /// The loss of the last step, on the device: reading it waits. None before the first step.
    pub loss: Option<&'r Tensor>,
    /// The way in which steps fit into the memory that is [allowed](super::Trainer::max_memory), once there was one.
    pub fitted: Option<&'r Fitted>,
    /// The other means of the last step ([`Outcome::and`](super::Outcome::and)), in the same way.
    pub others: &'r [(String, Tensor)],
    /// The epochs that are done.
    pub history: &'r History,
    /// Where it runs.
    pub device: &'r Device,
    /// A few words that tell its data from other data.
    pub data: &'r str,
    pub(super) totals: &'r Totals,
    pub(super) validated: &'r mut Totals,
    pub(super) task: &'r mut dyn Trained,
    pub(super) stop: &'r mut Option<String>,
}

impl Run<'_> {
    /// Ends the run after this batch or epoch, for a reason that its history tells. It stays ended where it is
    /// [resumed](super::Checkpoints::resume): see [`Callback::stays_ended`].
    pub fn stop(&mut self, why: impl Into<String>) {
        self.stop.get_or_insert_with(|| why.into());
    }

    /// Which of two values of a figure is better: what the metric says that tells it, in training or validation, and where
    /// none does, its name: the smaller of a `loss`, an `error`, `nll`, `kl`, `rmse`, `wer`, `grad_norm`, the larger of an
    /// `accuracy`, `auc`, `f1`, `bleu`, and so of those that have such a word among others.
    ///
    /// # Errors
    /// [`Error::Option`] where the name has no such word, or words of both kinds.
    pub fn better(&self, figure: &str) -> Result<Better> {
        self.totals.better(figure)
    }

    /// What a metric summed up, or collected, over the last validation: of
    /// [`ConfusionCounts`](crate::metrics::ConfusionCounts), named `confusion`, what a matrix is made of. None where the run has
    /// no such metric, or nothing was validated.
    ///
    /// # Errors
    /// The device's first failure.
    pub fn sums(&mut self, metric: &str) -> Result<Option<Vec<f64>>> {
        let at = self.validated.metrics().position(|own| own.name() == metric);
        let validated = self.history.epochs.last().is_some_and(|last| last.figures.get("val_loss").is_some());
        match at.filter(|_| validated) {
            Some(at) => Ok(self.validated.sums()?.1.into_iter().nth(at)),
            None => Ok(None),
        }
    }

    /// The learning rate of the first optimizer's first group.
    pub fn lr(&mut self) -> f32 {
        self.task.optimizers().first().map_or(0.0, |(_, optimizer)| optimizer.lr())
    }

    /// Sets the learning rate of all groups of all optimizers.
    ///
    /// # Errors
    /// [`Error::Option`] if it is no number from 0 up.
    pub fn set_lr(&mut self, lr: f32) -> Result<()> {
        self.task.optimizers().into_iter().try_for_each(|(_, optimizer)| optimizer.set_lr(lr))
    }

    /// The weights and buffers of all models, by `model.` and their paths: those that training goes on from, and not their
    /// [averages](Run::averages).
    ///
    /// # Errors
    /// The device's first failure.
    pub fn weights(&self) -> Result<StateDict> {
        weights(self.task)
    }

    /// Puts such weights back.
    ///
    /// # Errors
    /// [`Error::Weights`] if they do not fit.
    pub fn load_weights(&mut self, values: &StateDict) -> Result<()> {
        load_weights(self.task, values)
    }

    /// The averages of weights, by `average.` and the paths of the weights; none where the run [averages](super::Trainer::averaged)
    /// nothing.
    ///
    /// # Errors
    /// The device's first failure.
    pub fn averages(&mut self) -> Result<StateDict> {
        let parts = self.task.averages().into_iter().map(|(name, average)| Ok((name, average.state()?)));
        Ok(join(parts.collect::<Result<Vec<_>>>()?))
    }

    /// Puts such averages back.
    ///
    /// # Errors
    /// [`Error::Weights`] if they do not fit.
    pub fn load_averages(&mut self, values: &StateDict) -> Result<()> {
        self.task.averages().into_iter().try_for_each(|(name, average)| average.load_state(&part(values, name)))
    }
}

pub(super) fn weights(task: &dyn Trained) -> Result<StateDict> {
    let parts = task.modules().into_iter().map(|(name, module)| Ok((name, state(module)?)));
    Ok(join(parts.collect::<Result<Vec<_>>>()?))
}

pub(super) fn load_weights(task: &dyn Trained, values: &StateDict) -> Result<()> {
    for (name, module) in task.modules() {
        load_state(module, &part(values, name), Strictness::Strict)?;
    }
    Ok(())
}

/// The names of callbacks in a checkpoint: of several of one name, each has its own.
pub(super) fn names(callbacks: &[Box<dyn Callback + '_>]) -> Vec<String> {
    let name = |at: usize| {
        let name = callbacks[at].name();
        match callbacks[..at].iter().filter(|own| own.name() == name).count() {
            0 => name.to_string(),
            before => format!("{name}#{}", before + 1),
        }
    };
    (0..callbacks.len()).map(name).collect()
}

/// A callback is told of a run, and may change or end it. Every method may be left out.
pub trait Callback {
    /// Its name in saved runs: its state is found again by it; of several of one name, in their order.
    fn name(&self) -> &str;

    /// Whether every rank of a [group](super::Trainer::parallel) calls it, as what changes or ends a run needs; what only tells of
    /// the run says no, and rank 0 alone calls it.
    fn on_every_rank(&self) -> bool {
        true
    }

    /// Whether it writes what outlives the run, a log or a page: a [`fast_dev_run`](super::Trainer::fast_dev_run) tells it nothing,
    /// so that what is there stays.
    fn writes_files(&self) -> bool {
        false
    }

    /// The figure of epochs that it goes by, where it does: a run without such a figure ends after its first step, with the names
    /// of those it has.
    fn figure(&self) -> Option<&str> {
        None
    }

    /// Before the first step, or the first after a run was resumed.
    ///
    /// # Errors
    /// Whatever ends the run; so of all others.
    fn started(&mut self, _run: &mut Run) -> Result<()> {
        Ok(())
    }

    /// After each step. Nothing is read for it: [`Run::figures`] may be some steps old.
    ///
    /// # Errors
    /// Whatever ends the run.
    fn step(&mut self, _run: &mut Run) -> Result<()> {
        Ok(())
    }

    /// When figures of training were read: a few times a second, and at the end of the epoch.
    ///
    /// # Errors
    /// Whatever ends the run.
    fn read(&mut self, _run: &mut Run) -> Result<()> {
        Ok(())
    }

    /// After an epoch and its validation, which is the last entry of [`Run::history`].
    ///
    /// # Errors
    /// Whatever ends the run.
    fn epoch(&mut self, _run: &mut Run) -> Result<()> {
        Ok(())
    }

    /// The number of a step, counted from 1 where this process began, that is to be timed kernel by kernel.
    fn profiles(&self) -> Option<u64> {
        None
    }

    /// When a step was timed, for this callback or for another.
    ///
    /// # Errors
    /// Whatever ends the run.
    fn profiled(&mut self, _run: &mut Run, _profile: &Profile) -> Result<()> {
        Ok(())
    }

    /// When a checkpoint was written; of a group, on rank 0.
    ///
    /// # Errors
    /// Whatever ends the run.
    fn saved(&mut self, _run: &mut Run, _path: &Path) -> Result<()> {
        Ok(())
    }

    /// When the run has ended, with its last word where it failed.
    ///
    /// # Errors
    /// Whatever is to be told in the place of success.
    fn ended(&mut self, _run: &mut Run, _error: Option<&Error>) -> Result<()> {
        Ok(())
    }

    /// Whether a run that it has [ended](Run::stop) stays ended where it is resumed, asked once it has its state back: by default
    /// yes. Without the callback, the run goes on; and by [`EarlyStopping`], with more patience than the run has used up.
    fn stays_ended(&self) -> bool {
        true
    }

    /// The state that it needs where the run is resumed.
    fn state(&self) -> Saved {
        Saved::default()
    }

    /// Takes back what [`state`](Callback::state) gave.
    ///
    /// # Errors
    /// [`Error::Weights`] where it is of another kind.
    fn load_state(&mut self, _state: Saved) -> Result<()> {
        Ok(())
    }
}

/// The state of a callback in a checkpoint: a text of its own form, and tensors.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Saved {
    /// Numbers and words.
    pub text: String,
    /// Tensors by name.
    pub values: StateDict,
}

/// Ends a run that gets no better. Where that is resumed, it stays ended, unless there is more patience.
///
/// ```no_run
/// # use wgrad::train::EarlyStopping;
/// // Ends after three epochs without a lower loss in validation, and puts the best weights back.
/// let stopping = EarlyStopping::new("val_loss", 3).restore_best();
/// ```
#[derive(Debug, Clone)]
pub struct EarlyStopping {
    figure: String,
    better: Option<Better>,
    patience: usize,
    min_delta: f64,
    restore: bool,
    best: Option<f64>,
    bad: usize,
    kept: Option<Kept>,
}

/// The weights of an epoch, and their averages, by which its figures went.
#[derive(Debug, Clone)]
struct Kept {
    weights: StateDict,
    averages: StateDict,
}

/// What averages are saved under, beside the names of models.
const AVERAGES: &str = "averages of weights";

impl EarlyStopping {
    /// By a figure of the history, after so many epochs without a better one: see [`Run::better`] and
    /// [`by`](EarlyStopping::by).
    pub fn new(figure: &str, patience: usize) -> EarlyStopping {
        let figure = figure.to_string();
        let (min_delta, restore, best, bad, kept) = (0.0, false, None, 0, None);
        EarlyStopping { figure, better: None, patience, min_delta, restore, best, bad, kept }
    }

    /// Which of two values of the figure is better, where its [name](Run::better) does not say so.
    #[must_use]
    pub fn by(self, better: Better) -> EarlyStopping {
        EarlyStopping { better: Some(better), ..self }
    }

    /// The least improvement of a figure that counts.
    #[must_use]
    pub fn min_delta(self, min_delta: f64) -> EarlyStopping {
        EarlyStopping { min_delta, ..self }
    }

    /// Puts the weights of the best epoch back when the run ends, however it ends, and their
    /// [averages](super::Trainer::averaged) where there are any.
    #[must_use]
    pub fn restore_best(self) -> EarlyStopping {
        EarlyStopping { restore: true, ..self }
    }
}

/// Whether a figure is better than the best so far: NaN never is, and what is a number is better than none.
pub(super) fn is_better(better: Better, new: f64, best: Option<f64>, min_delta: f64) -> bool {
    let Some(best) = best.filter(|best| !best.is_nan()) else { return !new.is_nan() };
    match better {
        Better::Smaller => new < best - min_delta,
        Better::Larger => new > best + min_delta,
    }
}

/// A figure of the epoch that has just ended.
pub(super) fn last(history: &History, figure: &str, whose: &str) -> Result<f64> {
    let Some(record) = history.epochs.last() else { return Ok(f64::NAN) };
    record.figures.get(figure).ok_or_else(|| no_figure(whose, figure, &record.figures.names()))
}

/// What is told of a figure that there is not.
pub(super) fn no_figure(whose: &str, figure: &str, names: &[impl AsRef<str>]) -> Error {
    let names = names.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    Error::Option(format!("{whose}: the epochs have no figure `{figure}`: choose among {names}"))
}

impl Callback for EarlyStopping {
    fn name(&self) -> &str {
        "early_stopping"
    }

    fn figure(&self) -> Option<&str> {
        Some(&self.figure)
    }

    fn started(&mut self, run: &mut Run) -> Result<()> {
        if run.step == 0 {
            // Another run may have come before.
            (self.best, self.bad, self.kept) = (None, 0, None);
        }
        // Better to hear of it now than after an epoch.
        self.better.map_or_else(|| run.better(&self.figure), Ok).map(drop)
    }

    fn stays_ended(&self) -> bool {
        self.bad >= self.patience.max(1)
    }

    fn epoch(&mut self, run: &mut Run) -> Result<()> {
        let new = last(run.history, &self.figure, "EarlyStopping")?;
        let better = self.better.map_or_else(|| run.better(&self.figure), Ok)?;
        if is_better(better, new, self.best, self.min_delta) {
            (self.best, self.bad) = (Some(new), 0);
            if self.restore {
                self.kept = Some(Kept { weights: run.weights()?, averages: run.averages()? });
            }
            return Ok(());
        }
        self.bad += 1;
        if self.stays_ended() {
            let best = self.best.filter(|best| !best.is_nan());
            let was = best.map_or_else(|| "no number".into(), |best| format!("no better than {}", shown(best)));
            run.stop(format!("{} was {was} for {} epochs", self.figure, self.bad));
        }
        Ok(())
    }

    fn ended(&mut self, run: &mut Run, _error: Option<&Error>) -> Result<()> {
        let Some(Kept { weights, averages }) = self.kept.take() else { return Ok(()) };
        run.load_weights(&weights)?;
        if averages.is_empty() { Ok(()) } else { run.load_averages(&averages) }
    }

    fn state(&self) -> Saved {
        let best = self.best.map_or_else(|| "-".into(), |best| best.to_bits().to_string());
        let mut values = StateDict::new();
        if let Some(Kept { weights, averages }) = &self.kept {
            values.extend(join([(AVERAGES, averages.clone())]));
            values.extend(weights.clone());
        }
        Saved { text: format!("{best} {}", self.bad), values }
    }

    fn load_state(&mut self, state: Saved) -> Result<()> {
        let parsed = state.text.split_once(' ').and_then(|(best, bad)| {
            let best = if best == "-" { None } else { Some(f64::from_bits(best.parse().ok()?)) };
            Some((best, bad.parse().ok()?))
        });
        let Some((best, bad)) = parsed else {
            return Err(Error::Weights(format!("EarlyStopping: `{}` is no state of it", state.text)));
        };
        (self.best, self.bad) = (best, bad);
        let averages = part(&state.values, AVERAGES);
        let mut weights = state.values;
        weights.retain(|name, _| !name.starts_with(AVERAGES));
        self.kept = (self.restore && !weights.is_empty()).then_some(Kept { weights, averages });
        Ok(())
    }
}
