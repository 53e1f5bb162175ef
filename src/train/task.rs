//! Tasks of runs: models, their optimizers, and steps of training and of validation.

use super::anomaly::Anomaly;
use super::trainer::items;
use crate::autograd::Grads;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::metrics::in_f32;
use crate::nn::{Ctx, Module, Precision, Recompute, parameters};
use crate::optim::{Ema, GradScaler, Optimizer};
use crate::parallel::DataParallel;
use crate::tensor::Tensor;
use std::sync::Arc;

/// The result of a batch.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The mean loss of the batch, a scalar.
    pub loss: Tensor,
    /// The output and the target, for metrics.
    pub judged: Option<(Tensor, Tensor)>,
    /// Further means to be told, each a scalar with its name.
    pub others: Vec<(String, Tensor)>,
    /// Whether the step was made, 1 or 0 on the device ([`Optimizer::made`]), where it may be given up: then means that are no
    /// numbers are left out of those of the epoch.
    pub made: Option<Tensor>,
    /// What its means are over, where that is not its items: see [`over`](Outcome::over).
    pub over: Option<Tensor>,
}

impl Outcome {
    /// A loss alone.
    pub fn of(loss: Tensor) -> Outcome {
        Outcome { loss, judged: None, others: Vec::new(), made: None, over: None }
    }

    /// With what metrics compare: logits and labels, predictions and targets.
    #[must_use]
    pub fn judged(self, output: &Tensor, target: &Tensor) -> Outcome {
        Outcome { judged: Some((output.detach(), target.detach())), ..self }
    }

    /// And another mean, told under its name: a part of the loss, say.
    #[must_use]
    pub fn and(mut self, name: &str, value: &Tensor) -> Outcome {
        self.others.push((name.to_string(), value.detach()));
        self
    }

    /// Says what the loss and the other means are over where that is not the items of the batch: how many labels count, or the
    /// sum of their weights, a scalar. Then the [parts](super::Trainer::micro_batches) of a batch give what the whole gives, and
    /// the batches of an epoch what all its labels give; a part or a batch in which nothing counts is left out, whose mean is no
    /// number. Several ranks still weigh their gradients by their items.
    ///
    /// ```
    /// # use wgrad::{Tensor, nn::{Ctx, Layer}, train::Outcome};
    /// # fn step(model: &dyn Layer, [x, labels]: [&Tensor; 2], ctx: &Ctx) -> Outcome {
    /// // Labels of -100 are left out of the mean.
    /// let count = labels.ne(-100).sum();
    /// Outcome::of(model.forward(x, ctx).cross_entropy(labels)).over(&count)
    /// # }
    /// ```
    #[doc(alias("num_items_in_batch", "ignore_index"))]
    #[must_use]
    pub fn over(self, weight: &Tensor) -> Outcome {
        Outcome { over: Some(weight.detach()), ..self }
    }

    /// What the means are over, in f32, and whether that is nothing.
    pub(super) fn weight(&self) -> Result<Option<(Tensor, Tensor)>> {
        let Some(over) = &self.over else { return Ok(None) };
        if over.numel() != 1 {
            let text = format!("what a loss is a mean over has the shape {}: expected one number", over.shape());
            return Err(Error::Option(text));
        }
        let weight = over.detach().reshape(()).cast(DType::F32);
        let nothing = weight.eq(0.0);
        Ok(Some((weight, nothing)))
    }
}

impl From<Tensor> for Outcome {
    fn from(loss: Tensor) -> Outcome {
        Outcome::of(loss)
    }
}

/// The parts of a run that are saved with it.
pub trait Trained {
    /// The models with their names, as `("model", &self.model)`.
    fn modules(&self) -> Vec<(&str, &dyn Module)>;

    /// The optimizers with their names. A schedule sets the rates of the first.
    fn optimizers(&mut self) -> Vec<(&str, &mut dyn Optimizer)>;

    /// Averages of weights with their names: models are evaluated and saved as the best with them.
    fn averages(&mut self) -> Vec<(&str, &mut Ema)> {
        Vec::new()
    }
}

/// Options of a [`Trainer`](super::Trainer) that are for each step.
#[derive(Debug, Clone, Default)]
pub struct StepOptions {
    pub(super) micro_batches: usize,
    /// What of a model runs again, where anything does.
    pub(super) recompute: Option<(Recompute, u8)>,
    /// The bytes that a step may take.
    pub(super) max_memory: Option<u64>,
    pub(super) grad_norm: bool,
    /// Paths whose parameters are not to move.
    pub(super) frozen: Vec<String>,
    pub(super) parallel: Option<Arc<DataParallel>>,
    /// Whether gradients stay with their ranks.
    pub(super) local: bool,
    pub(super) precision: Precision,
    pub(super) scaler: Option<GradScaler>,
    pub(super) synced: bool,
    /// What looks for numbers that are not finite.
    pub(super) anomaly: Option<Arc<Anomaly>>,
}

impl StepOptions {
    /// The first that is asked for.
    fn asked(&self) -> Option<&'static str> {
        let all = [
            (self.max_memory.is_some(), "max_memory"),
            (self.micro_batches > 1, "micro_batches"),
            (self.grad_norm, "grad_norm"),
            (!self.frozen.is_empty(), "freeze"),
            (self.exchanging().is_some(), "parallel"),
            (self.precision != Precision::F32, "precision"),
            (self.anomaly.is_some(), "detect_anomaly"),
        ];
        all.into_iter().find_map(|(asked, name)| asked.then_some(name))
    }

    /// The ranks that gradients are means over.
    fn exchanging(&self) -> Option<&DataParallel> {
        self.parallel.as_deref().filter(|_| !self.local)
    }

    /// The loss that a backward pass starts from.
    fn scaled(&self, loss: &Tensor) -> Tensor {
        self.scaler.as_ref().map_or(loss.clone(), |scaler| scaler.scale(loss))
    }

    /// The gradients of a loss; where the trainer is [parallel](super::Trainer::parallel), means over the group, unless it is
    /// [local](super::Trainer::diloco).
    ///
    /// # Errors
    /// [`Error::Group`] if another rank is gone.
    ///
    /// # Panics
    /// As [`Tensor::backward`].
    #[track_caller]
    pub fn backward(&self, loss: &Tensor) -> Result<Grads> {
        let loss = &self.scaled(loss);
        match self.exchanging() {
            Some(parallel) => parallel.backward(loss),
            None => Ok(loss.backward()),
        }
    }

    /// The context of a step of training.
    pub fn ctx(&self) -> Ctx {
        let parallel = self.parallel.as_ref().filter(|_| self.synced);
        let ctx = parallel.map_or_else(Ctx::train, |parallel| parallel.synced()).precision(self.precision);
        let ctx = self.recompute.map_or(ctx.clone(), |(parts, within)| ctx.recompute(parts, within));
        self.anomaly.as_ref().map_or(ctx.clone(), |anomaly| ctx.traced(anomaly.clone()))
    }

    pub(super) fn freezes(&self, path: &str) -> bool {
        let within = |own: &String| path.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        self.frozen.iter().any(within)
    }
}

/// A run's own steps: for two networks against each other, for learning from rewards, for anything that is no model with one
/// optimizer. Both steps are captured when they first run, and replayed from then on.
pub trait Task<const N: usize>: Trained {
    /// A step of training, with everything that moves weights.
    ///
    /// # Errors
    /// Whatever ends the run.
    fn train(&mut self, batch: [&Tensor; N]) -> Result<Outcome>;

    /// The same as a [`Trainer`](super::Trainer) wants it. By default a task refuses what it does not know of.
    ///
    /// # Errors
    /// Whatever ends the run.
    fn train_as(&mut self, batch: [&Tensor; N], options: &StepOptions) -> Result<Outcome> {
        match options.asked() {
            None => self.train(batch),
            Some(asked) => Err(Error::Option(format!(
                "`{asked}` is for a trainer of a model, an optimizer and a closure: this task has steps of its own, and can do \
                 it there"
            ))),
        }
    }

    /// The same batch without training.
    ///
    /// # Errors
    /// Whatever ends the run.
    fn evaluate(&mut self, batch: [&Tensor; N]) -> Result<Outcome>;

    /// The same as a [`Trainer`](super::Trainer) wants it.
    ///
    /// # Errors
    /// Whatever ends the run.
    fn evaluate_as(&mut self, batch: [&Tensor; N], _options: &StepOptions) -> Result<Outcome> {
        self.evaluate(batch)
    }
}

/// A model, its optimizer, and a function from a batch to a loss.
pub(super) struct Supervised<'a, F> {
    pub model: &'a dyn Module,
    pub optimizer: Box<dyn Optimizer + 'a>,
    pub average: Option<Ema>,
    pub step: F,
}

impl<F> Trained for Supervised<'_, F> {
    fn modules(&self) -> Vec<(&str, &dyn Module)> {
        vec![("model", self.model)]
    }

    fn optimizers(&mut self) -> Vec<(&str, &mut dyn Optimizer)> {
        vec![("optimizer", &mut *self.optimizer)]
    }

    fn averages(&mut self) -> Vec<(&str, &mut Ema)> {
        self.average.iter_mut().map(|average| ("average", average)).collect()
    }
}

impl<F> Supervised<'_, F> {
    /// The outcome of a batch and its gradients, a part after the other, exchanged while the last is computed.
    fn in_parts<const N: usize>(&mut self, batch: [&Tensor; N], options: &StepOptions) -> Result<(Outcome, Grads)>
    where
        F: FnMut([&Tensor; N], &Ctx) -> Result<Outcome>,
    {
        let items = items(batch);
        let parts = options.micro_batches.min(items).max(1);
        let mut all: Vec<(f32, Outcome)> = Vec::with_capacity(parts);
        let (mut grads, mut over) = (Grads::new(), None);
        for part in 0..parts {
            let [from, to] = [part, part + 1].map(|at| at * items / parts);
            let cut = batch.map(|tensor| tensor.narrow(0, from, to - from));
            let outcome = (self.step)(cut.each_ref(), &options.ctx())?;
            let share = (to - from) as f32 / items as f32;
            let exchanging = options.exchanging().filter(|_| part + 1 == parts);
            match outcome.weight()? {
                Some(weight) => {
                    grads = added(grads, &outcome.loss, &weight, &mut over, options);
                    if let Some(parallel) = exchanging {
                        grads = parallel.average(grads)?;
                    }
                }
                None => {
                    let loss = &options.scaled(&(&outcome.loss * share));
                    match exchanging {
                        Some(parallel) => grads = parallel.backward_after(grads, loss)?,
                        None => grads += loss.backward(),
                    }
                }
            }
            all.push((share, Outcome { loss: outcome.loss.detach(), ..outcome }));
        }
        let mean = |of: &dyn Fn(&Outcome) -> Tensor| -> Result<Tensor> {
            let mut shares = Vec::with_capacity(all.len());
            for (share, outcome) in &all {
                let value = of(outcome).reshape(());
                shares.push(match outcome.weight()? {
                    Some((own, nothing)) => value.masked_fill(&nothing, 0.0) * own,
                    None => value * *share,
                });
            }
            let sum = Tensor::stack(&shares, 0).sum();
            Ok(over.as_ref().map_or(sum.clone(), |over| sum / over))
        };
        let mut outcome = Outcome::of(mean(&|outcome| outcome.loss.clone())?);
        let names = all.first().map_or(0, |(_, first)| first.others.len());
        for at in 0..names {
            outcome = outcome.and(&all[0].1.others[at].0, &mean(&|outcome| outcome.others[at].1.clone())?);
        }
        outcome.over = over;
        let judged: Option<Vec<&(Tensor, Tensor)>> = all.iter().map(|(_, part)| part.judged.as_ref()).collect();
        if let Some(judged) = judged {
            let outputs = Tensor::cat(&judged.iter().map(|(output, _)| output).collect::<Vec<_>>(), 0);
            let targets = Tensor::cat(&judged.iter().map(|(_, target)| target).collect::<Vec<_>>(), 0);
            outcome = outcome.judged(&outputs, &targets);
        }
        Ok((outcome, grads))
    }
}

/// The gradients of parts so far and those of one more: the mean of both by their weights, of which `over` is the sum. A part of
/// nothing adds nothing, whatever its loss.
fn added(
    mut grads: Grads,
    loss: &Tensor,
    (own, nothing): &(Tensor, Tensor),
    over: &mut Option<Tensor>,
    options: &StepOptions,
) -> Grads {
    let all = over.as_ref().map_or(own.clone(), |over| over + own);
    // Nothing of nothing is nothing.
    let share = own / all.masked_fill(&all.eq(0.0), 1.0);
    let kept = 1.0 - &share;
    grads.scale(|values| values * kept.cast(values.dtype()));
    let mut new = options.scaled(&(loss * &share)).backward();
    new.scale(|values| values.masked_fill(nothing, 0.0));
    grads += new;
    *over = Some(all);
    grads
}

impl<F: FnMut([&Tensor; N], &Ctx) -> Result<Outcome>, const N: usize> Task<N> for Supervised<'_, F> {
    fn train(&mut self, batch: [&Tensor; N]) -> Result<Outcome> {
        self.train_as(batch, &StepOptions::default())
    }

    fn train_as(&mut self, batch: [&Tensor; N], options: &StepOptions) -> Result<Outcome> {
        let anomaly = options.anomaly.as_deref();
        anomaly.map_or(Ok(()), |anomaly| anomaly.batch(&batch))?;
        let (mut outcome, mut grads) = match options.micro_batches {
            0 | 1 => {
                let outcome = (self.step)(batch, &options.ctx())?;
                let grads = match outcome.weight()? {
                    Some(weight) if options.exchanging().is_none() => {
                        added(Grads::new(), &outcome.loss, &weight, &mut None, options)
                    }
                    Some((_, nothing)) => options.backward(&outcome.loss.masked_fill(&nothing, 0.0))?,
                    None => options.backward(&outcome.loss)?,
                };
                (outcome, grads)
            }
            _ => self.in_parts(batch, options)?,
        };
        if let Some(anomaly) = anomaly {
            anomaly.loss(&outcome.loss)?;
            // Of a scaled loss gradients overflow now and then, and the scaler sees to it.
            options.scaler.as_ref().map_or_else(|| anomaly.grads(self.model, &grads), |_| Ok(()))?;
        }
        if !options.frozen.is_empty() {
            let mut found = false;
            for (path, parameter) in parameters(self.model) {
                if options.freezes(&path) {
                    found = true;
                    grads.leave_out(&parameter.tensor());
                }
            }
            if !found {
                let text = format!("freeze: the model has no parameter at {}", options.frozen.join(" or "));
                return Err(Error::Option(text));
            }
        }
        if options.grad_norm {
            let squares: Vec<Tensor> = grads.values().map(|values| in_f32(&values).square().sum()).collect();
            let all = Tensor::stack(&squares, 0);
            let norm = all.sum().sqrt();
            let norm = options.scaler.as_ref().map_or(norm.clone(), |scaler| scaler.unscale(&norm));
            outcome = outcome.and("grad_norm", &norm);
        }
        match &options.scaler {
            Some(scaler) => {
                outcome = outcome.and("loss_scale", &scaler.factor().copy());
                scaler.step(&mut *self.optimizer, &grads);
                scaler.update();
            }
            None => self.optimizer.step(&grads),
        }
        outcome.made = self.optimizer.made();
        if let Some(average) = &mut self.average {
            average.update();
        }
        Ok(outcome)
    }

    fn evaluate(&mut self, batch: [&Tensor; N]) -> Result<Outcome> {
        self.evaluate_as(batch, &StepOptions::default())
    }

    fn evaluate_as(&mut self, batch: [&Tensor; N], options: &StepOptions) -> Result<Outcome> {
        (self.step)(batch, &Ctx::eval().precision(options.precision))
    }
}
