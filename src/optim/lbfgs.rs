//! The method of Broyden, Fletcher, Goldfarb and Shanno with limited memory (Liu and Nocedal, 1989), as PyTorch has it.

mod search;

use super::{at_least_0, checked_lr};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::nn::{Module, Parameter, StateDict, StateTensor, Values, distinct};
use crate::tensor::Tensor;
use std::collections::VecDeque;

/// PyTorch's arguments and defaults.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LbfgsOptions {
    /// The learning rate.
    pub lr: f32,
    /// The most iterations of a step.
    pub max_iter: usize,
    /// The most losses that a step asks for; a quarter more than iterations where nothing is said.
    pub max_eval: Option<usize>,
    /// A step ends where no gradient is larger.
    pub tolerance_grad: f64,
    /// A step ends where neither loss nor parameters change by more.
    pub tolerance_change: f64,
    /// Directions that are remembered.
    pub history_size: usize,
    /// Whether each iteration looks for a length that fulfils the strong conditions of Wolfe: PyTorch's
    /// `line_search_fn="strong_wolfe"`.
    pub strong_wolfe: bool,
}

impl Default for LbfgsOptions {
    fn default() -> LbfgsOptions {
        LbfgsOptions {
            lr: 1.0,
            max_iter: 20,
            max_eval: None,
            tolerance_grad: 1e-7,
            tolerance_change: 1e-9,
            history_size: 100,
            strong_wolfe: false,
        }
    }
}

/// A loss and its gradient at some place.
#[derive(Clone)]
struct Found {
    loss: f64,
    gradient: Tensor,
}

/// An optimizer for smooth losses of all data at once: each step asks for the loss several times, and reads numbers on the host,
/// so that it cannot be replayed.
///
/// ```
/// use wgrad::Tensor;
/// use wgrad::nn::Parameter;
/// use wgrad::optim::{Lbfgs, LbfgsOptions};
/// let device = wgrad::Device::cpu();
/// // The valley of Rosenbrock.
/// let x = Parameter::new(Tensor::from_slice(&[-1.2f32, 1.0], [2], &device));
/// let mut optimizer = Lbfgs::new(&x, LbfgsOptions { strong_wolfe: true, max_iter: 100, ..LbfgsOptions::default() })?;
/// optimizer.step(|| {
///     let (a, b) = (x.tensor().i(0), x.tensor().i(1));
///     (1.0 - &a).square() + (b - a.square()).square() * 100.0
/// })?;
/// let found = x.tensor().to_vec::<f32>()?;
/// assert!(found.iter().all(|value| (value - 1.0).abs() < 1e-3), "{found:?}");
/// # Ok::<(), wgrad::Error>(())
/// ```
#[doc(alias = "LBFGS")]
pub struct Lbfgs {
    parameters: Vec<Parameter>,
    options: LbfgsOptions,
    /// Changes of gradients, steps, and one by their products; the oldest first.
    history: VecDeque<(Tensor, Tensor, f64)>,
    /// What the newest of them says of the curvature.
    scale: f64,
    /// The last direction and its length, with the gradient before.
    last: Option<(Tensor, f64, Tensor)>,
}

fn dot(a: &Tensor, b: &Tensor) -> Result<f64> {
    a.mul(b).sum().item().map(f64::from)
}

fn largest(x: &Tensor) -> Result<f64> {
    x.abs().max().item().map(f64::from)
}

impl Lbfgs {
    /// Of the parameters of a model.
    ///
    /// # Errors
    /// [`Error::Option`] if an option is out of range, or the model has no parameters.
    pub fn new(model: &dyn Module, options: LbfgsOptions) -> Result<Lbfgs> {
        checked_lr(options.lr)?;
        at_least_0("tolerance_grad", options.tolerance_grad as f32)?;
        at_least_0("tolerance_change", options.tolerance_change as f32)?;
        let mut own: Vec<Parameter> = Vec::new();
        for (path, parameter) in distinct(model) {
            super::trained("Lbfgs", &path, &parameter)?;
            own.push(parameter);
        }
        match own.iter().all(|parameter| parameter.shape().numel() == 0) || options.history_size == 0 {
            true => Err(Error::Option("Lbfgs: expected parameters, and a history of at least 1".into())),
            false => Ok(Lbfgs { parameters: own, options, history: VecDeque::new(), scale: 1.0, last: None }),
        }
    }

    /// The learning rate.
    pub fn lr(&self) -> f32 {
        self.options.lr
    }

    /// Sets the learning rate of the next steps.
    ///
    /// # Errors
    /// [`Error::Option`] if it is no number from 0 up.
    pub fn set_lr(&mut self, lr: f32) -> Result<()> {
        self.options.lr = checked_lr(lr)?;
        Ok(())
    }

    /// Iterations along directions that the last gradients suggest, until one of the options says that it is enough; gives the
    /// loss at the start. `loss` computes it with the parameters as they are when it is called.
    ///
    /// # Errors
    /// The device's first failure; [`Error::Capture`] inside a step that is being captured.
    #[track_caller]
    pub fn step(&mut self, mut loss: impl FnMut() -> Tensor) -> Result<f32> {
        let LbfgsOptions { max_iter, tolerance_grad, tolerance_change, .. } = self.options;
        let max_eval = self.options.max_eval.unwrap_or(max_iter * 5 / 4);
        let mut now = self.at_here(&mut loss)?;
        let first = now.loss as f32;
        let mut evaluated = 1;
        if largest(&now.gradient)? <= tolerance_grad {
            return Ok(first);
        }
        for iteration in 1..=max_iter {
            let is_new = self.last.is_none();
            let direction = self.direction(&now.gradient)?;
            let length = f64::from(self.options.lr);
            let length =
                if is_new { (1.0 / f64::from(now.gradient.abs().sum().item()?)).min(1.0) * length } else { length };
            let before = now.clone();
            let slope = dot(&now.gradient, &direction)?;
            if slope > -tolerance_change {
                self.last = Some((direction, length, before.gradient));
                break;
            }
            let start = self.flat();
            let mut at = |own: &Lbfgs, length: f64| {
                own.put(&(&start + &direction * length as f32));
                own.at_here(&mut loss)
            };
            let mut length = length;
            if self.options.strong_wolfe {
                let width = largest(&direction)?;
                let along = |found: &Found| dot(&found.gradient, &direction);
                let most = max_eval.saturating_sub(evaluated);
                let looked = search::strong_wolfe(&mut |t| at(self, t), &along, length, &now, slope, width, most)?;
                (now, length) = (looked.found, looked.length);
                evaluated += looked.evaluated;
                self.put(&(&start + &direction * length as f32));
            } else if iteration < max_iter {
                now = at(self, length)?;
                evaluated += 1;
            } else {
                self.put(&(&start + &direction * length as f32));
            }
            let moved = largest(&direction)? * length.abs();
            self.last = Some((direction, length, before.gradient));
            let is_done = largest(&now.gradient)? <= tolerance_grad
                || moved <= tolerance_change
                || (now.loss - before.loss).abs() < tolerance_change;
            if iteration == max_iter || evaluated >= max_eval || is_done {
                break;
            }
        }
        Ok(first)
    }

    /// The direction from here, with what the last step says taken in.
    fn direction(&mut self, gradient: &Tensor) -> Result<Tensor> {
        let Some((direction, length, before)) = self.last.take() else {
            (self.history, self.scale) = (VecDeque::new(), 1.0);
            return Ok(gradient.neg());
        };
        let (change, step) = (gradient - &before, direction * length as f32);
        let product = dot(&change, &step)?;
        if product > 1e-10 {
            if self.history.len() == self.options.history_size {
                self.history.pop_front();
            }
            self.scale = product / dot(&change, &change)?;
            self.history.push_back((change, step, 1.0 / product));
        }
        let mut direction = gradient.neg();
        let mut shares = Vec::with_capacity(self.history.len());
        for (change, step, one) in self.history.iter().rev() {
            let share = dot(step, &direction)? * one;
            direction -= change * share as f32;
            shares.push(share);
        }
        direction *= self.scale as f32;
        for ((change, step, one), share) in self.history.iter().zip(shares.iter().rev()) {
            let other = dot(change, &direction)? * one;
            direction += step * (share - other) as f32;
        }
        Ok(direction)
    }

    /// The loss here and its gradient; of parameters that it does not depend on 0.
    #[track_caller]
    fn at_here(&self, loss: &mut dyn FnMut() -> Tensor) -> Result<Found> {
        let loss = loss();
        let grads = loss.backward();
        let part = |parameter: &Parameter| {
            let x = parameter.tensor();
            let gradient = grads.of(&x).map_or_else(|| x.detach().zeros_like(), Tensor::clone);
            gradient.detach().cast(DType::F32).reshape([-1])
        };
        let parts: Vec<Tensor> = self.parameters.iter().map(part).collect();
        let gradient = Tensor::cat(&parts, 0);
        Ok(Found { loss: loss.item()?.into(), gradient })
    }

    /// All parameters as one vector.
    fn flat(&self) -> Tensor {
        let part = |parameter: &Parameter| parameter.tensor().detach().cast(DType::F32).copy().reshape([-1]);
        let parts: Vec<Tensor> = self.parameters.iter().map(part).collect();
        Tensor::cat(&parts, 0)
    }

    fn put(&self, flat: &Tensor) {
        let mut first = 0;
        for parameter in &self.parameters {
            let x = parameter.tensor().detach();
            let own = flat.narrow(0, first, x.numel()).reshape_to(x.shape());
            x.assign(&own.cast(x.dtype()));
            first += x.numel();
        }
    }

    /// What it remembers, to go on from later.
    ///
    /// # Errors
    /// The device's first failure.
    pub fn state(&self) -> Result<StateDict> {
        let number = |value: f64| StateTensor { shape: vec![], values: Values::F32(vec![value as f32]) };
        let mut tensors = Vec::new();
        for (at, (change, step, _)) in self.history.iter().enumerate() {
            tensors.extend([(format!("old_dirs.{at}"), change), (format!("old_stps.{at}"), step)]);
        }
        if let Some((direction, _, before)) = &self.last {
            tensors.extend([("d".into(), direction), ("prev_flat_grad".into(), before)]);
        }
        let mut all = StateTensor::all(tensors)?;
        all.extend(self.last.iter().map(|(_, length, _)| ("t".into(), number(*length))));
        all.insert("lr".into(), number(self.options.lr.into()));
        Ok(all)
    }

    /// Goes on from a saved state, with its rate.
    ///
    /// # Errors
    /// [`Error::Weights`] if it does not fit; then nothing was changed.
    pub fn load_state(&mut self, state: &StateDict) -> Result<()> {
        let device = self.parameters[0].tensor().device().clone();
        let count: usize = self.parameters.iter().map(|parameter| parameter.shape().numel()).sum();
        let vector = |name: &str| match state.get(name) {
            Some(value) if value.shape == [count] => Ok(value.to(&device)),
            _ => Err(Error::Weights(format!("the optimizer's state has no `{name}` of {count} elements"))),
        };
        let number = |name: &str| match state.get(name).map(|value| &value.values) {
            Some(Values::F32(values)) if values.len() == 1 => Ok(f64::from(values[0])),
            _ => Err(Error::Weights(format!("the optimizer's state has no number `{name}`"))),
        };
        let (mut history, mut scale) = (VecDeque::new(), 1.0);
        while state.contains_key(&format!("old_dirs.{}", history.len())) {
            let at = history.len();
            let (change, step) = (vector(&format!("old_dirs.{at}"))?, vector(&format!("old_stps.{at}"))?);
            let product = dot(&change, &step)?;
            scale = product / dot(&change, &change)?;
            history.push_back((change, step, 1.0 / product));
        }
        let last = match state.contains_key("d") {
            true => Some((vector("d")?, number("t")?, vector("prev_flat_grad")?)),
            false => None,
        };
        let lr = checked_lr(number("lr")? as f32).map_err(|error| Error::Weights(error.to_string()))?;
        (self.history, self.scale, self.last, self.options.lr) = (history, scale, last, lr);
        Ok(())
    }
}
