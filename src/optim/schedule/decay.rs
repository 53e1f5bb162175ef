//! Rates that fall by factors.

use super::{Annealing, At, Schedule, inside, some_steps};
use crate::error::Result;

/// Multiplies the rate by `gamma` every `step_size` steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepLr {
    /// Steps between two changes.
    pub step_size: u64,
    /// The factor; PyTorch's default is 0.1.
    pub gamma: f64,
}

impl Schedule for StepLr {
    fn check(&self) -> Result<()> {
        some_steps("StepLr: step_size", self.step_size)?;
        inside("StepLr: gamma", self.gamma, f64::MIN..=f64::MAX)
    }

    fn rate(&self, at: At) -> f64 {
        let changes = at.step > 0 && at.step.is_multiple_of(self.step_size);
        if changes { at.last * self.gamma } else { at.last }
    }
}

/// Multiplies the rate by `gamma` at each milestone.
#[derive(Debug, Clone, PartialEq)]
pub struct MultiStepLr {
    /// The steps at which it changes; one that is named twice counts twice.
    pub milestones: Vec<u64>,
    /// The factor; PyTorch's default is 0.1.
    pub gamma: f64,
}

impl Schedule for MultiStepLr {
    fn check(&self) -> Result<()> {
        inside("MultiStepLr: gamma", self.gamma, f64::MIN..=f64::MAX)
    }

    fn rate(&self, at: At) -> f64 {
        let times = self.milestones.iter().filter(|milestone| **milestone == at.step).count();
        at.last * self.gamma.powi(times as i32)
    }
}

/// Multiplies the rate by `gamma` at each step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExponentialLr {
    /// The factor.
    pub gamma: f64,
}

impl Schedule for ExponentialLr {
    fn check(&self) -> Result<()> {
        inside("ExponentialLr: gamma", self.gamma, f64::MIN..=f64::MAX)
    }

    fn rate(&self, at: At) -> f64 {
        if at.step == 0 { at.last } else { at.last * self.gamma }
    }
}

/// The rate times `factor` for `total_iters` steps, and then whole; after a factor of 0 it is the base again, whatever
/// other schedules did to it meanwhile.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConstantLr {
    /// The factor; PyTorch's default is 1/3.
    pub factor: f64,
    /// Steps that it holds for; PyTorch's default is 5.
    pub total_iters: u64,
}

impl Schedule for ConstantLr {
    fn check(&self) -> Result<()> {
        inside("ConstantLr: factor", self.factor, 0.0..=f64::MAX)
    }

    fn rate(&self, at: At) -> f64 {
        match at.step {
            step if step == 0 && self.total_iters > 0 => at.last * self.factor,
            // From a rate of 0 there is no way back but to the base.
            step if step > 0 && step == self.total_iters && self.factor == 0.0 => at.base,
            step if step > 0 && step == self.total_iters => at.last / self.factor,
            _ => at.last,
        }
    }
}

/// The rate times a factor that goes in a straight line, over `total_iters` steps: a warm-up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinearLr {
    /// The factor of the first step; PyTorch's default is 1/3. From 0, which PyTorch refuses, the second step's rate is told
    /// from the base.
    pub start_factor: f64,
    /// The factor at the end; PyTorch's default is 1.
    pub end_factor: f64,
    /// Steps that it takes; PyTorch's default is 5. In 0 steps it is at its end at once.
    pub total_iters: u64,
}

impl Schedule for LinearLr {
    fn check(&self) -> Result<()> {
        inside("LinearLr: start_factor", self.start_factor, 0.0..=f64::MAX)?;
        inside("LinearLr: end_factor", self.end_factor, 0.0..=f64::MAX)
    }

    fn rate(&self, at: At) -> f64 {
        if at.step == 0 {
            return at.last * if self.total_iters == 0 { self.end_factor } else { self.start_factor };
        }
        if at.step > self.total_iters {
            return at.last;
        }
        let way = self.end_factor - self.start_factor;
        let before = self.total_iters as f64 * self.start_factor + (at.step - 1) as f64 * way;
        if before == 0.0 {
            return at.base * (self.start_factor + way * at.step as f64 / self.total_iters as f64);
        }
        at.last * (1.0 + way / before)
    }
}

/// From the rate that there is to one that stays, for an [average of equal weights](crate::optim::Ema::equal): PyTorch's `SWALR`, whose
/// epochs are steps of the [`Scheduler`](super::Scheduler) here: `SwaLr { anneal_steps: 5, ..SwaLr::new(0.05) }`.
#[doc(alias = "SWALR")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SwaLr {
    /// The rate in the end.
    pub swa_lr: f64,
    /// Steps that the way takes; PyTorch's default is 10 epochs. In 0 steps it is at its end at once.
    pub anneal_steps: u64,
    /// The way's form; PyTorch's default is the cosine.
    pub annealing: Annealing,
}

impl SwaLr {
    /// To this rate by PyTorch's defaults: in 10 steps, along a cosine.
    pub fn new(swa_lr: f64) -> SwaLr {
        SwaLr { swa_lr, anneal_steps: 10, annealing: Annealing::Cos }
    }
}

impl Schedule for SwaLr {
    fn check(&self) -> Result<()> {
        inside("SwaLr: swa_lr", self.swa_lr, 0.0..=f64::MAX)
    }

    fn rate(&self, At { step, last, .. }: At) -> f64 {
        let step = if self.anneal_steps == 0 { step.max(1) } else { step };
        // The part of the way at a step; the last rate tells where the way begins.
        let gone = |step: u64| {
            let share = (step as f64 / self.anneal_steps.max(1) as f64).min(1.0);
            if share == 1.0 { 1.0 } else { self.annealing.between(0.0, 1.0, share) }
        };
        let (before, now) = (gone(step.saturating_sub(1)), gone(step));
        let start = if before == 1.0 { self.swa_lr } else { (last - before * self.swa_lr) / (1.0 - before) };
        self.swa_lr * now + start * (1.0 - now)
    }

    fn takes_over(&self, at: At) -> f64 {
        self.rate(at)
    }
}

/// The rate times `(1 - step / total_iters)^power`, and 0 from then on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PolynomialLr {
    /// Steps that it takes; PyTorch's default is 5.
    pub total_iters: u64,
    /// The power; PyTorch's default is 1.
    pub power: f64,
}

impl Schedule for PolynomialLr {
    fn check(&self) -> Result<()> {
        some_steps("PolynomialLr: total_iters", self.total_iters)?;
        inside("PolynomialLr: power", self.power, 0.0..=f64::MAX)
    }

    fn rate(&self, at: At) -> f64 {
        if at.step == 0 || at.step > self.total_iters {
            return at.last;
        }
        let left = |step: u64| 1.0 - step as f64 / self.total_iters as f64;
        at.last * (left(at.step) / left(at.step - 1)).powf(self.power)
    }
}

/// The base times a function of the step.
///
/// ```
/// use wgrad::nn::{Init, Linear};
/// use wgrad::optim::schedule::{LambdaLr, Scheduler};
/// use wgrad::optim::{Optimizer, Sgd, SgdOptions};
/// let model = Linear::new(2, 1, &mut Init::new(0, &wgrad::Device::cpu()));
/// let mut optimizer = Sgd::new(&model, SgdOptions { lr: 0.5, ..SgdOptions::default() })?;
/// // A warm-up of four steps, and the inverse square root from then on.
/// let factor = |step: u64| f64::min((step + 1) as f64 / 4.0, 2.0 / ((step + 1) as f64).sqrt());
/// let mut scheduler = Scheduler::new(LambdaLr(factor), &mut optimizer)?;
/// assert_eq!(optimizer.lr(), 0.125);
/// scheduler.step(&mut optimizer)?;
/// assert_eq!(optimizer.lr(), 0.25);
/// # Ok::<(), wgrad::Error>(())
/// ```
pub struct LambdaLr<F>(pub F);

impl<F: Fn(u64) -> f64 + Send + Sync> Schedule for LambdaLr<F> {
    fn rate(&self, at: At) -> f64 {
        at.base * (self.0)(at.step)
    }
}

/// The last rate times a function of the step, from the base on.
pub struct MultiplicativeLr<F>(pub F);

impl<F: Fn(u64) -> f64 + Send + Sync> Schedule for MultiplicativeLr<F> {
    fn rate(&self, at: At) -> f64 {
        if at.step == 0 { at.last } else { at.last * (self.0)(at.step) }
    }

    fn takes_over(&self, at: At) -> f64 {
        at.last * (self.0)(0)
    }
}
