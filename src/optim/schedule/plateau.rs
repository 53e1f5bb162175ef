//! Rates that fall when nothing gets better any more.

use super::{Optimizer, inside};
use crate::error::{Error, Result};

/// Which of two measures is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Better {
    /// The smaller, as of losses: PyTorch's `min`.
    #[default]
    Smaller,
    /// The larger, as of accuracies: PyTorch's `max`.
    Larger,
}

/// The least improvement that counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Threshold {
    /// By this part of the size of the best: PyTorch's `rel` for measures above 0.
    Relative(f64),
    /// By this much: PyTorch's `abs`.
    Absolute(f64),
}

/// Multiplies the rates by `factor` once `patience` measures in a row were no better than the best so far. The fields hold
/// PyTorch's arguments; `default()` its defaults.
///
/// ```
/// use wgrad::nn::{Init, Linear};
/// use wgrad::optim::schedule::ReduceLrOnPlateau;
/// use wgrad::optim::{Optimizer, Sgd, SgdOptions};
/// let model = Linear::new(2, 1, &mut Init::new(0, &wgrad::Device::cpu()));
/// let mut optimizer = Sgd::new(&model, SgdOptions { lr: 0.1, ..SgdOptions::default() })?;
/// let mut plateau = ReduceLrOnPlateau { patience: 1, ..ReduceLrOnPlateau::default() };
/// for loss in [1.0, 1.0, 1.0] {
///     plateau.step(loss, &mut optimizer)?;
/// }
/// assert_eq!(optimizer.lr(), 0.01);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReduceLrOnPlateau {
    /// Which of two measures is better.
    pub mode: Better,
    /// The factor of the rates.
    pub factor: f64,
    /// Measures that may be no better.
    pub patience: u64,
    /// The least improvement that counts.
    pub threshold: Threshold,
    /// Measures after a fall during which nothing is counted.
    pub cooldown: u64,
    /// The lowest rate.
    pub min_lr: f64,
    /// A fall of at most this much is not worth it.
    pub eps: f64,
    /// The best measure so far, which a saved run keeps.
    pub best: Option<f64>,
    /// Measures in a row that were no better.
    pub bad: u64,
    /// Measures left of the last cooldown.
    pub cooling: u64,
}

impl Default for ReduceLrOnPlateau {
    fn default() -> ReduceLrOnPlateau {
        ReduceLrOnPlateau {
            mode: Better::Smaller,
            factor: 0.1,
            patience: 10,
            threshold: Threshold::Relative(1e-4),
            cooldown: 0,
            min_lr: 0.0,
            eps: 1e-8,
            best: None,
            bad: 0,
            cooling: 0,
        }
    }
}

impl ReduceLrOnPlateau {
    pub(crate) fn check(&self) -> Result<()> {
        if !(0.0..1.0).contains(&self.factor) {
            return Err(Error::Option(format!("ReduceLrOnPlateau: factor: {} is not in 0..1", self.factor)));
        }
        let (Threshold::Relative(threshold) | Threshold::Absolute(threshold)) = self.threshold;
        inside("ReduceLrOnPlateau: threshold", threshold, 0.0..=f64::MAX)?;
        inside("ReduceLrOnPlateau: min_lr", self.min_lr, 0.0..=f64::MAX)?;
        inside("ReduceLrOnPlateau: eps", self.eps, 0.0..=f64::MAX)
    }

    fn is_better(&self, measure: f64) -> bool {
        let Some(best) = self.best else { return !measure.is_nan() };
        // A part of a measure below 0 is counted by its size, so that it asks for more and not for less.
        let signed = |part: f64| if best < 0.0 { -part } else { part };
        match (self.mode, self.threshold) {
            (Better::Smaller, Threshold::Relative(part)) => measure < best * (1.0 - signed(part)),
            (Better::Smaller, Threshold::Absolute(much)) => measure < best - much,
            (Better::Larger, Threshold::Relative(part)) => measure > best * (1.0 + signed(part)),
            (Better::Larger, Threshold::Absolute(much)) => measure > best + much,
        }
    }

    /// Takes a measure, such as an epoch's loss on held-out data, and sets the rates of the steps after it.
    ///
    /// # Errors
    /// [`Error::Option`](crate::Error::Option) if a field is out of range.
    pub fn step(&mut self, measure: f64, optimizer: &mut dyn Optimizer) -> Result<()> {
        self.check()?;
        if self.is_better(measure) {
            (self.best, self.bad) = (Some(measure), 0);
        } else {
            self.bad += 1;
        }
        if self.cooling > 0 {
            (self.cooling, self.bad) = (self.cooling - 1, 0);
        }
        if self.bad <= self.patience {
            return Ok(());
        }
        (self.cooling, self.bad) = (self.cooldown, 0);
        let lowered = |lr: f32| {
            let old = crate::optim::decimal(lr);
            let new = (old * self.factor).max(self.min_lr);
            if old - new > self.eps { new as f32 } else { lr }
        };
        let rates: Vec<f32> = optimizer.lrs().into_iter().map(lowered).collect();
        optimizer.set_lrs(&rates)
    }
}
