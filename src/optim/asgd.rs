//! Averaged SGD (Polyak and Juditsky, 1992), by its definition.

use super::rule::{Now, Rule, with_decay};
use super::{Stepper, at_least_0};
use crate::dtype::decimal;
use crate::error::Result;
use crate::tensor::Tensor;

/// PyTorch's arguments and defaults.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AsgdOptions {
    /// The learning rate of the first step.
    pub lr: f32,
    /// The part of each weight, times the rate of a step, that the step takes off.
    pub lambd: f32,
    /// The power by which rates fall.
    pub alpha: f32,
    /// The step from which weights are averaged: before it, the average is the weights.
    pub t0: f32,
    /// The part of each weight that is added to its gradient.
    pub weight_decay: f32,
}

impl Default for AsgdOptions {
    fn default() -> AsgdOptions {
        AsgdOptions { lr: 1e-2, lambd: 1e-4, alpha: 0.75, t0: 1e6, weight_decay: 0.0 }
    }
}

/// SGD with rates that fall by themselves, and the mean of the weights since a step, as `ax` in its state. A rate that is set
/// between steps counts at once, where PyTorch's counts a step later.
///
/// ```
/// use wgrad::nn::{Init, Linear};
/// use wgrad::optim::{Asgd, AsgdOptions, Optimizer};
/// let model = Linear::new(1, 1, &mut Init::new(0, &wgrad::Device::cpu()));
/// let weight = || model.weight.tensor();
/// let mut optimizer = Asgd::new(&model, AsgdOptions { t0: 0.0, ..AsgdOptions::default() })?;
/// let mut weights = Vec::new();
/// for _ in 0..4 {
///     optimizer.step(&weight().square().sum().backward());
///     weights.push(weight().item()?);
/// }
/// // The mean of what the second step and those after it came to.
/// let mean = optimizer.state()?["ax.weight"].to(&wgrad::Device::cpu()).item()?;
/// assert!((mean - weights[1..].iter().sum::<f32>() / 3.0).abs() < 1e-6);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[doc(alias = "ASGD")]
pub type Asgd = Stepper<AsgdOptions>;

impl Rule for AsgdOptions {
    const NAME: &'static str = "ASGD";

    fn check(&self) -> Result<()> {
        at_least_0("lambd", self.lambd)?;
        at_least_0("alpha", self.alpha)?;
        at_least_0("t0", self.t0)?;
        at_least_0("weight decay", self.weight_decay).map(drop)
    }

    fn lr(&self) -> f32 {
        self.lr
    }

    fn update(&self, x: &Tensor, gradient: &Tensor, moments: &mut [Tensor], numbers: &[Tensor]) -> Tensor {
        let [rate, left, kept, share] = numbers else { unreachable!("the numbers are those below") };
        let slope = with_decay(gradient, self.weight_decay, x);
        let after = x * left - slope * rate;
        moments[0] = &moments[0] * kept + &after * share;
        after
    }

    fn moments(&self) -> Vec<(&'static str, f32)> {
        vec![("ax", 0.0)]
    }

    fn numbers(&self, Now { lr, steps, .. }: Now) -> Vec<f32> {
        let (lr, lambd, before) = (decimal(lr), decimal(self.lambd), steps.saturating_sub(1) as f64);
        let rate = lr / (1.0 + lambd * lr * before).powf(decimal(self.alpha));
        let share = 1.0 / (before - f64::from(self.t0)).max(1.0);
        [rate, 1.0 - lambd * rate, 1.0 - share, share].map(|number| number as f32).into()
    }
}
