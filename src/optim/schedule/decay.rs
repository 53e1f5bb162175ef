//! Rates that fall by factors.

use super::{At, Schedule};

/// Multiplies the rate by `gamma` every `step_size` steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepLr {
    /// Steps between two changes.
    pub step_size: u64,
    /// The factor; PyTorch's default is 0.1.
    pub gamma: f64,
}

impl Schedule for StepLr {
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
    fn rate(&self, at: At) -> f64 {
        let times = self.milestones.iter().filter(|milestone| **milestone == at.step).count();
        if at.step == 0 { at.last } else { at.last * self.gamma.powi(times as i32) }
    }
}

/// Multiplies the rate by `gamma` at each step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExponentialLr {
    /// The factor.
    pub gamma: f64,
}

impl Schedule for ExponentialLr {
    fn rate(&self, at: At) -> f64 {
        if at.step == 0 { at.last } else { at.last * self.gamma }
    }
}

/// The rate times `factor` for `total_iters` steps, and then whole.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConstantLr {
    /// The factor; PyTorch's default is 1/3.
    pub factor: f64,
    /// Steps that it holds for; PyTorch's default is 5.
    pub total_iters: u64,
}

impl Schedule for ConstantLr {
    fn rate(&self, at: At) -> f64 {
        match at.step {
            step if step == 0 && self.total_iters > 0 => at.last * self.factor,
            step if step > 0 && step == self.total_iters => at.last / self.factor,
            _ => at.last,
        }
    }
}

/// The rate times a factor that goes in a straight line, over `total_iters` steps: a warm-up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinearLr {
    /// The factor of the first step, above 0; PyTorch's default is 1/3.
    pub start_factor: f64,
    /// The factor at the end; PyTorch's default is 1.
    pub end_factor: f64,
    /// Steps that it takes; PyTorch's default is 5.
    pub total_iters: u64,
}

impl Schedule for LinearLr {
    fn rate(&self, at: At) -> f64 {
        if at.step == 0 {
            return at.last * self.start_factor;
        }
        if at.step > self.total_iters {
            return at.last;
        }
        let way = self.end_factor - self.start_factor;
        let before = self.total_iters as f64 * self.start_factor + (at.step - 1) as f64 * way;
        at.last * (1.0 + way / before)
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
    fn rate(&self, at: At) -> f64 {
        if at.step == 0 || at.step > self.total_iters {
            return at.last;
        }
        let left = |step: u64| 1.0 - step as f64 / self.total_iters as f64;
        at.last * (left(at.step) / left(at.step - 1)).powf(self.power)
    }
}

/// The base times a function of the step.
pub struct LambdaLr<F>(pub F);

impl<F: Fn(u64) -> f64 + Send + Sync> Schedule for LambdaLr<F> {
    fn rate(&self, at: At) -> f64 {
        at.base * (self.0)(at.step)
    }
}
