//! Tasks of runs: models, their optimizers, and steps of training and of validation.

use crate::error::Result;
use crate::nn::{Ctx, Module};
use crate::optim::{Ema, Optimizer};
use crate::tensor::Tensor;

/// The result of a batch.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The mean loss of the batch, a scalar.
    pub loss: Tensor,
    /// The output and the target, for metrics.
    pub judged: Option<(Tensor, Tensor)>,
    /// Further means to be told, each a scalar with its name.
    pub others: Vec<(String, Tensor)>,
}

impl Outcome {
    /// A loss alone.
    pub fn of(loss: Tensor) -> Outcome {
        Outcome { loss, judged: None, others: Vec::new() }
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

/// A run's own steps: for two networks against each other, for learning from rewards, for anything that is no model with one
/// optimizer. Both steps are captured when they first run, and replayed from then on.
pub trait Task<const N: usize>: Trained {
    /// A step of training, with everything that moves weights.
    ///
    /// # Errors
    /// Whatever ends the run.
    fn train(&mut self, batch: [&Tensor; N]) -> Result<Outcome>;

    /// The same batch without training.
    ///
    /// # Errors
    /// Whatever ends the run.
    fn evaluate(&mut self, batch: [&Tensor; N]) -> Result<Outcome>;
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

impl<F: FnMut([&Tensor; N], &Ctx) -> Result<Outcome>, const N: usize> Task<N> for Supervised<'_, F> {
    fn train(&mut self, batch: [&Tensor; N]) -> Result<Outcome> {
        let outcome = (self.step)(batch, &Ctx::train())?;
        self.optimizer.step(&outcome.loss.backward());
        if let Some(average) = &mut self.average {
            average.update();
        }
        Ok(outcome)
    }

    fn evaluate(&mut self, batch: [&Tensor; N]) -> Result<Outcome> {
        (self.step)(batch, &Ctx::eval())
    }
}
