//! Rates that go in waves.

use super::{At, Schedule, inside, some_steps};
use crate::error::Result;
use std::f64::consts::PI;

/// Half a wave from the base down to `eta_min` in `t_max` steps, and back up in as many (Loshchilov and Hutter, 2017).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CosineAnnealingLr {
    /// Steps to the lowest rate.
    pub t_max: u64,
    /// The lowest rate; PyTorch's default is 0.
    pub eta_min: f64,
}

impl Schedule for CosineAnnealingLr {
    fn check(&self) -> Result<()> {
        some_steps("CosineAnnealingLr: t_max", self.t_max)?;
        inside("CosineAnnealingLr: eta_min", self.eta_min, 0.0..=f64::MAX)
    }

    fn rate(&self, At { step, base, last }: At) -> f64 {
        let (t_max, eta_min) = (self.t_max, self.eta_min);
        if step == 0 {
            return last;
        }
        // At the lowest point there is no rate to multiply.
        if step > t_max && (step - 1 - t_max).is_multiple_of(t_max.saturating_mul(2)) {
            return last + (base - eta_min) * (1.0 - (PI / t_max as f64).cos()) / 2.0;
        }
        let height = |step: u64| 1.0 + (PI * step as f64 / t_max as f64).cos();
        height(step) / height(step - 1) * (last - eta_min) + eta_min
    }
}

/// Half a wave down to `eta_min`, over and over, each time from the base and `t_mult` times as long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CosineAnnealingWarmRestarts {
    /// Steps of the first wave.
    pub t_0: u64,
    /// The length of each wave by that of the one before; PyTorch's default is 1.
    pub t_mult: u64,
    /// The lowest rate; PyTorch's default is 0.
    pub eta_min: f64,
}

impl Schedule for CosineAnnealingWarmRestarts {
    fn check(&self) -> Result<()> {
        some_steps("CosineAnnealingWarmRestarts: t_0", self.t_0)?;
        inside("CosineAnnealingWarmRestarts: t_mult", self.t_mult as f64, 1.0..=f64::MAX)?;
        inside("CosineAnnealingWarmRestarts: eta_min", self.eta_min, 0.0..=f64::MAX)
    }

    fn rate(&self, at: At) -> f64 {
        let (mut step, mut length) = (at.step, self.t_0.max(1));
        if self.t_mult <= 1 {
            step %= length;
        }
        while step >= length {
            step -= length;
            length = length.saturating_mul(self.t_mult);
        }
        self.eta_min + (at.base - self.eta_min) * (1.0 + (PI * step as f64 / length as f64).cos()) / 2.0
    }
}

/// The curve of [`OneCycleLr`] from one rate to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Annealing {
    /// Along half a wave.
    #[default]
    Cos,
    /// In a straight line.
    Linear,
}

impl Annealing {
    pub(super) fn between(self, from: f64, to: f64, share: f64) -> f64 {
        match self {
            Annealing::Cos => to + (from - to) / 2.0 * (1.0 + (PI * share).cos()),
            Annealing::Linear => from + (to - from) * share,
        }
    }
}

/// The descent of [`OneCycleLr`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phases {
    /// From the highest rate to the lowest.
    #[default]
    Two,
    /// Back to the first rate as fast as it went up, and then to the lowest.
    Three,
}

/// Up to the highest rate, and down to nearly nothing (Smith and Topin, 2019), while the momentum goes the other way. It
/// says all rates itself, whatever the base; those of groups are given by [`PerGroup`](super::PerGroup).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OneCycleLr {
    /// The highest rate.
    pub max_lr: f64,
    /// All steps.
    pub total_steps: u64,
    /// The part of all steps that goes up.
    pub pct_start: f64,
    /// The curve from one rate to another.
    pub anneal_strategy: Annealing,
    /// The first rate is the highest divided by this.
    pub div_factor: f64,
    /// The lowest rate is the first divided by this.
    pub final_div_factor: f64,
    /// The descent.
    pub phases: Phases,
    /// The least and the most momentum; none where it is to stay, which in PyTorch is `cycle_momentum=False` and has to be
    /// said for an optimizer without momentum.
    pub momentum: Option<(f64, f64)>,
}

impl OneCycleLr {
    /// With PyTorch's defaults.
    pub fn new(max_lr: f64, total_steps: u64) -> OneCycleLr {
        OneCycleLr {
            max_lr,
            total_steps,
            pct_start: 0.3,
            anneal_strategy: Annealing::Cos,
            div_factor: 25.0,
            final_div_factor: 1e4,
            phases: Phases::Two,
            momentum: Some((0.85, 0.95)),
        }
    }
}

impl OneCycleLr {
    /// The value of a step that is `first`, then `most`, and in the end `least`.
    fn at(&self, step: u64, [first, most, least]: [f64; 3]) -> f64 {
        let (up, last) = (self.pct_start * self.total_steps as f64, self.total_steps as f64 - 1.0);
        // The step that each part ends at, and its values.
        let parts = match self.phases {
            Phases::Two => [(up - 1.0, first, most), (last, most, least), (last, least, least)],
            Phases::Three => [(up - 1.0, first, most), (2.0 * up - 2.0, most, first), (last, first, least)],
        };
        let (step, mut start) = (step as f64, 0.0);
        for (end, from, to) in parts {
            if step <= end {
                // A part that is over as it begins is at its end.
                if start >= end {
                    return to;
                }
                return self.anneal_strategy.between(from, to, (step - start) / (end - start));
            }
            start = end;
        }
        least
    }
}

impl Schedule for OneCycleLr {
    fn check(&self) -> Result<()> {
        some_steps("OneCycleLr: total_steps", self.total_steps)?;
        inside("learning rate: OneCycleLr's max_lr", self.max_lr, 0.0..=f64::MAX)?;
        inside("OneCycleLr: pct_start", self.pct_start, 0.0..=1.0)?;
        inside("OneCycleLr: div_factor", self.div_factor, f64::MIN_POSITIVE..=f64::MAX)?;
        inside("OneCycleLr: final_div_factor", self.final_div_factor, f64::MIN_POSITIVE..=f64::MAX)?;
        let (least, most) = self.momentum.unwrap_or((0.0, 0.0));
        [least, most].into_iter().try_for_each(|momentum| inside("OneCycleLr: momentum", momentum, 0.0..=1.0))
    }

    fn rate(&self, at: At) -> f64 {
        let first = self.max_lr / self.div_factor;
        self.at(at.step, [first, self.max_lr, first / self.final_div_factor])
    }

    fn momentum(&self, step: u64) -> Option<f64> {
        self.momentum.map(|(least, most)| self.at(step, [most, least, most]))
    }
}

/// What becomes of the height of [`CyclicLr`]'s waves: PyTorch's `mode`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Waves {
    /// It stays: `triangular`.
    #[default]
    Alike,
    /// Each is half as high as the one before: `triangular2`.
    Halved,
    /// It is multiplied by this at each step: `exp_range` with its `gamma`.
    Falling(f64),
}

/// Up and down in straight lines between two rates, over and over (Smith, 2017), while the momentum goes the other way. It says
/// all rates itself, whatever the base; those of groups are given by [`PerGroup`](super::PerGroup).
///
/// ```
/// use wgrad::nn::{Init, Linear};
/// use wgrad::optim::schedule::{CyclicLr, Scheduler};
/// use wgrad::optim::{Adam, AdamOptions, Optimizer};
/// let model = Linear::new(2, 1, &mut Init::new(0, &wgrad::Device::cpu()));
/// let mut optimizer = Adam::new(&model, AdamOptions::default())?;
/// let cycle = CyclicLr { step_size_up: 2, momentum: None, ..CyclicLr::new(0.1, 0.3) };
/// let mut scheduler = Scheduler::new(cycle, &mut optimizer)?;
/// scheduler.step(&mut optimizer)?;
/// assert_eq!(optimizer.lr(), 0.2);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CyclicLr {
    /// The lowest rate, that of the first step.
    pub base_lr: f64,
    /// The highest rate.
    pub max_lr: f64,
    /// Steps up.
    pub step_size_up: u64,
    /// Steps down; as many as up where nothing is said.
    pub step_size_down: Option<u64>,
    /// What becomes of the waves.
    pub mode: Waves,
    /// The least and the most momentum; none where it is to stay, which in PyTorch is `cycle_momentum=False` and has to be
    /// said for an optimizer without momentum.
    pub momentum: Option<(f64, f64)>,
}

impl CyclicLr {
    /// With PyTorch's defaults.
    pub fn new(base_lr: f64, max_lr: f64) -> CyclicLr {
        CyclicLr {
            base_lr,
            max_lr,
            step_size_up: 2000,
            step_size_down: None,
            mode: Waves::Alike,
            momentum: Some((0.8, 0.9)),
        }
    }

    /// How far up the wave of a step is.
    fn height(&self, step: u64) -> f64 {
        let (up, down) = (self.step_size_up, self.step_size_down.unwrap_or(self.step_size_up));
        let (cycle, within) = (step / (up + down), step % (up + down));
        let height = match within <= up {
            true => within as f64 / up as f64,
            false => (up + down - within) as f64 / down as f64,
        };
        height
            * match self.mode {
                Waves::Alike => 1.0,
                Waves::Halved => 0.5f64.powf(cycle as f64),
                Waves::Falling(gamma) => gamma.powf(step as f64),
            }
    }
}

impl Schedule for CyclicLr {
    fn check(&self) -> Result<()> {
        some_steps("CyclicLr: step_size_up", self.step_size_up)?;
        some_steps("CyclicLr: step_size_down", self.step_size_down.unwrap_or(self.step_size_up))?;
        inside("learning rate: CyclicLr's base_lr", self.base_lr, 0.0..=f64::MAX)?;
        inside("learning rate: CyclicLr's max_lr", self.max_lr, 0.0..=f64::MAX)?;
        if let Waves::Falling(gamma) = self.mode {
            inside("CyclicLr: gamma", gamma, 0.0..=f64::MAX)?;
        }
        let (least, most) = self.momentum.unwrap_or((0.0, 0.0));
        [least, most].into_iter().try_for_each(|momentum| inside("CyclicLr: momentum", momentum, 0.0..=1.0))
    }

    fn rate(&self, at: At) -> f64 {
        self.base_lr + (self.max_lr - self.base_lr) * self.height(at.step)
    }

    fn momentum(&self, step: u64) -> Option<f64> {
        self.momentum.map(|(least, most)| most - (most - least) * self.height(step))
    }
}
