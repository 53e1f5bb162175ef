//! Learning rates that change from step to step: PyTorch's schedulers, and its numbers at every step.
//!
//! A [`Schedule`] is a rule for the next rate; a [`Scheduler`] keeps an optimizer's rates by it. Schedules are joined by
//! [`SequentialLr`] (a warm-up, then something else) and [`ChainedLr`] (all at once).

mod cycle;
mod decay;
mod plateau;

pub use cycle::{Annealing, CosineAnnealingLr, CosineAnnealingWarmRestarts, CyclicLr, OneCycleLr, Phases, Waves};
pub use decay::{
    ConstantLr, ExponentialLr, LambdaLr, LinearLr, MultiStepLr, MultiplicativeLr, PolynomialLr, StepLr, SwaLr,
};
pub use plateau::{Better, ReduceLrOnPlateau, Threshold};

use super::Optimizer;
use crate::error::{Error, Result};

/// The place of a step in a schedule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct At {
    /// The number of this step, from 0.
    pub step: u64,
    /// The group's rate at the start.
    pub base: f64,
    /// The rate of the step before; of the first step, the base.
    pub last: f64,
}

/// A rule for the next rate.
pub trait Schedule: Send + Sync {
    /// The rate of a step.
    fn rate(&self, at: At) -> f64;

    /// The rate of a step for one of the optimizer's groups, where they do not go by one rule: see [`PerGroup`].
    fn group_rate(&self, _group: usize, at: At) -> f64 {
        self.rate(at)
    }

    /// Refuses arguments that give no rates: [`Scheduler::new`] asks.
    ///
    /// # Errors
    /// [`Error::Option`] with the argument and its range.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// The momentum of a step, where it changes too.
    fn momentum(&self, _step: u64) -> Option<f64> {
        None
    }

    /// The rate of its step 0 where it follows another in [`SequentialLr`], whose last rate is `at.last`: that of a new start from
    /// the base, unless it says otherwise.
    fn takes_over(&self, at: At) -> f64 {
        self.rate(At { last: at.base, ..at })
    }

    /// [`takes_over`](Schedule::takes_over) for one of the optimizer's groups.
    fn group_takes_over(&self, _group: usize, at: At) -> f64 {
        self.takes_over(at)
    }
}

/// Keeps an optimizer's rates, each group's from its own base, and its momentum where the schedule says it too.
///
/// A rate that something else has set since, such as [`ReduceLrOnPlateau`] or a program by hand, is the last one that the schedule
/// goes on from, as PyTorch's do: most change the last rate. Those that tell the rate of each step by itself ([`LambdaLr`],
/// [`CyclicLr`], [`OneCycleLr`], [`CosineAnnealingWarmRestarts`]) take no notice of it.
///
/// ```
/// use wgrad::nn::{Init, Linear};
/// use wgrad::optim::schedule::{CosineAnnealingLr, LinearLr, Scheduler, SequentialLr};
/// use wgrad::optim::{Optimizer, Sgd, SgdOptions};
/// let model = Linear::new(2, 1, &mut Init::new(0, &wgrad::Device::cpu()));
/// let mut optimizer = Sgd::new(&model, SgdOptions { lr: 0.1, ..SgdOptions::default() })?;
/// // Ten steps of warm-up, then half a wave down to 0.
/// let warm_up = LinearLr { start_factor: 0.1, end_factor: 1.0, total_iters: 10 };
/// let schedule = SequentialLr::new().until(10, warm_up).then(CosineAnnealingLr { t_max: 90, eta_min: 0.0 });
/// let mut scheduler = Scheduler::new(schedule, &mut optimizer)?;
/// assert_eq!(optimizer.lr(), 0.01);
/// for _ in 0..10 {
///     // .. a step of the optimizer, then:
///     scheduler.step(&mut optimizer)?;
/// }
/// assert_eq!(optimizer.lr(), 0.1);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[doc(alias("lr_scheduler", "LRScheduler"))]
pub struct Scheduler {
    schedule: Box<dyn Schedule>,
    bases: Vec<f64>,
    rates: Vec<f64>,
    step: u64,
    /// Whether something else has set a rate, so that the number of the step does not tell the rates.
    strayed: bool,
}

impl Scheduler {
    /// Starts from the optimizer's rates, those of a loaded state aside, and sets those of its first step.
    ///
    /// # Errors
    /// [`Error::Option`] if an argument of the schedule is out of range or it gives what is no rate.
    pub fn new(schedule: impl Schedule + 'static, optimizer: &mut dyn Optimizer) -> Result<Scheduler> {
        let mut out = Scheduler::waiting(schedule);
        out.start(optimizer)?;
        Ok(out)
    }

    /// Without an optimizer yet.
    pub(crate) fn waiting(schedule: impl Schedule + 'static) -> Scheduler {
        Scheduler { schedule: Box::new(schedule), bases: Vec::new(), rates: Vec::new(), step: 0, strayed: false }
    }

    /// Starts from the optimizer's rates; a second time from those of the first.
    pub(crate) fn start(&mut self, optimizer: &mut dyn Optimizer) -> Result<()> {
        self.schedule.check()?;
        if self.bases.is_empty() {
            self.bases = optimizer.base_lrs().iter().map(|lr| super::decimal(*lr)).collect();
        }
        self.go_to(0, optimizer)
    }

    /// Sets the rates of the next step.
    ///
    /// # Errors
    /// [`Error::Option`] if the schedule gives what is no rate, and
    /// [`Error::Capture`] inside a step that is being captured; then the scheduler is where it was.
    pub fn step(&mut self, optimizer: &mut dyn Optimizer) -> Result<()> {
        let before = self.rates.clone();
        self.follow(optimizer);
        self.step += 1;
        self.advance();
        self.set(optimizer).inspect_err(|_| {
            self.step -= 1;
            self.rates = before;
        })
    }

    /// The number of the current step, from 0: all that a saved run needs to keep, where nothing else sets rates.
    pub fn steps(&self) -> u64 {
        self.step
    }

    /// The rate of each group.
    pub fn rates(&self) -> &[f64] {
        &self.rates
    }

    /// Goes on from a step of a saved run in which something else had set rates: from its [`rates`](Scheduler::rates), with an
    /// optimizer whose state was loaded.
    pub fn go_on(&mut self, step: u64, rates: &[f64]) {
        (self.step, self.rates, self.strayed) = (step, rates.to_vec(), true);
    }

    /// The rates to [go on](Scheduler::go_on) from, where the number of the step does not tell them.
    pub(crate) fn strayed(&mut self, optimizer: &dyn Optimizer) -> Option<Vec<f64>> {
        self.follow(optimizer);
        self.strayed.then(|| self.rates.clone())
    }

    /// Takes over what something else has set.
    fn follow(&mut self, optimizer: &dyn Optimizer) {
        for (own, lr) in self.rates.iter_mut().zip(optimizer.lrs()) {
            if *own as f32 != lr {
                (*own, self.strayed) = (super::decimal(lr), true);
            }
        }
    }

    /// Goes on from a step of a saved run.
    ///
    /// # Errors
    /// [`Error::Option`] if the schedule gives what is no rate.
    pub fn go_to(&mut self, step: u64, optimizer: &mut dyn Optimizer) -> Result<()> {
        self.strayed = false;
        self.rates.clone_from(&self.bases);
        for step in 0..=step {
            self.step = step;
            self.advance();
        }
        self.set(optimizer)
    }

    fn advance(&mut self) {
        for (group, (last, &base)) in self.rates.iter_mut().zip(&self.bases).enumerate() {
            *last = self.schedule.group_rate(group, At { step: self.step, base, last: *last });
        }
    }

    fn set(&self, optimizer: &mut dyn Optimizer) -> Result<()> {
        let rates: Vec<f32> = self.rates.iter().map(|rate| *rate as f32).collect();
        if let Some(momentum) = self.schedule.momentum(self.step) {
            optimizer.set_momentum(momentum as f32)?;
        }
        optimizer.set_lrs(&rates)
    }
}

/// Refuses a number that is not in `range`, by the name of the schedule and its argument.
fn inside(what: &str, value: f64, range: std::ops::RangeInclusive<f64>) -> Result<()> {
    // Neither NaN nor infinity is in a range whose end is a number.
    if range.contains(&value) && value.is_finite() {
        return Ok(());
    }
    let (start, end) = range.into_inner();
    let due = match (start, end) {
        (f64::MIN, f64::MAX) => "a number".into(),
        (start, f64::MAX) => format!("a number from {start} up"),
        (start, end) => format!("in {start}..={end}"),
    };
    Err(Error::Option(format!("{what}: {value} is not {due}")))
}

/// Refuses 0 steps where there is nothing to go by.
fn some_steps(what: &str, steps: u64) -> Result<()> {
    if steps > 0 { Ok(()) } else { Err(Error::Option(format!("{what}: 0 is not a number of steps from 1 up"))) }
}

/// One schedule after another; each starts from the base when its turn comes, and [`SwaLr`] and [`MultiplicativeLr`] from the rate
/// that there is.
#[derive(Default)]
pub struct SequentialLr {
    parts: Vec<(u64, Box<dyn Schedule>)>,
}

impl SequentialLr {
    /// Nothing yet: the rate stays.
    pub fn new() -> SequentialLr {
        SequentialLr::default()
    }

    /// Then this schedule, up to a step that is counted from the very start and left out.
    #[must_use]
    pub fn until(mut self, milestone: u64, schedule: impl Schedule + 'static) -> SequentialLr {
        self.parts.push((milestone, Box::new(schedule)));
        self
    }

    /// Then this schedule for good.
    #[must_use]
    pub fn then(self, schedule: impl Schedule + 'static) -> SequentialLr {
        self.until(u64::MAX, schedule)
    }
}

impl Schedule for SequentialLr {
    fn check(&self) -> Result<()> {
        let ends: Vec<u64> = self.parts.iter().map(|(end, _)| *end).collect();
        if let Some(pair) = ends.windows(2).find(|pair| pair[0] > pair[1]) {
            return Err(Error::Option(format!(
                "SequentialLr: a part until {} cannot follow one until {}",
                pair[1], pair[0]
            )));
        }
        self.parts.iter().try_for_each(|(_, schedule)| schedule.check())
    }

    fn rate(&self, at: At) -> f64 {
        self.group_rate(0, at)
    }

    fn group_rate(&self, group: usize, at: At) -> f64 {
        let mut start = 0;
        for (end, schedule) in &self.parts {
            if at.step < *end {
                let here = At { step: at.step - start, ..at };
                return match here.step {
                    0 if start > 0 => schedule.group_takes_over(group, here),
                    0 => schedule.group_rate(group, At { last: at.base, ..here }),
                    _ => schedule.group_rate(group, here),
                };
            }
            start = *end;
        }
        at.last
    }

    fn group_takes_over(&self, group: usize, at: At) -> f64 {
        self.group_rate(group, At { last: at.base, ..at })
    }

    fn momentum(&self, step: u64) -> Option<f64> {
        let mut start = 0;
        for (end, schedule) in &self.parts {
            if step < *end {
                return schedule.momentum(step - start);
            }
            start = *end;
        }
        None
    }
}

/// All schedules at once: each changes what the one before it gives.
#[doc(alias = "ChainedScheduler")]
#[derive(Default)]
pub struct ChainedLr {
    parts: Vec<Box<dyn Schedule>>,
}

impl ChainedLr {
    /// Nothing yet: the rate stays.
    pub fn new() -> ChainedLr {
        ChainedLr::default()
    }

    /// And this one.
    #[must_use]
    pub fn and(mut self, schedule: impl Schedule + 'static) -> ChainedLr {
        self.parts.push(Box::new(schedule));
        self
    }
}

impl Schedule for ChainedLr {
    fn check(&self) -> Result<()> {
        self.parts.iter().try_for_each(Schedule::check)
    }

    fn rate(&self, at: At) -> f64 {
        self.group_rate(0, at)
    }

    fn group_rate(&self, group: usize, at: At) -> f64 {
        self.parts.iter().fold(at.last, |last, schedule| schedule.group_rate(group, At { last, ..at }))
    }

    fn group_takes_over(&self, group: usize, at: At) -> f64 {
        self.group_rate(group, At { last: at.base, ..at })
    }

    fn momentum(&self, step: u64) -> Option<f64> {
        self.parts.iter().rev().find_map(|schedule| schedule.momentum(step))
    }
}

/// A schedule for each of the optimizer's groups, in their order, the last for all that are left: PyTorch's lists of rates, as in
/// `OneCycleLR(optimizer, max_lr=[0.1, 0.01], ..)`. The momentum is that of the first.
///
/// ```
/// use wgrad::optim::schedule::{OneCycleLr, PerGroup};
/// let schedule = PerGroup::new([0.1, 0.01].map(|most| OneCycleLr::new(most, 1000)));
/// ```
pub struct PerGroup<S>(Vec<S>);

impl<S: Schedule> PerGroup<S> {
    /// These schedules. `Box<dyn Schedule>` is one, where they are of several types.
    pub fn new(schedules: impl IntoIterator<Item = S>) -> PerGroup<S> {
        PerGroup(schedules.into_iter().collect())
    }

    fn of(&self, group: usize) -> Option<&S> {
        self.0.get(group).or(self.0.last())
    }
}

impl<S: Schedule> Schedule for PerGroup<S> {
    fn check(&self) -> Result<()> {
        if self.0.is_empty() {
            return Err(Error::Option("PerGroup: expected a schedule for each group, got none".into()));
        }
        self.0.iter().try_for_each(Schedule::check)
    }

    fn rate(&self, at: At) -> f64 {
        self.group_rate(0, at)
    }

    fn group_rate(&self, group: usize, at: At) -> f64 {
        self.of(group).map_or(at.last, |schedule| schedule.group_rate(group, at))
    }

    fn takes_over(&self, at: At) -> f64 {
        self.group_takes_over(0, at)
    }

    fn group_takes_over(&self, group: usize, at: At) -> f64 {
        self.of(group).map_or(at.last, |schedule| schedule.group_takes_over(group, at))
    }

    fn momentum(&self, step: u64) -> Option<f64> {
        self.0.first().and_then(|schedule| schedule.momentum(step))
    }
}

impl Schedule for Box<dyn Schedule> {
    fn check(&self) -> Result<()> {
        (**self).check()
    }

    fn group_rate(&self, group: usize, at: At) -> f64 {
        (**self).group_rate(group, at)
    }

    fn rate(&self, at: At) -> f64 {
        (**self).rate(at)
    }

    fn momentum(&self, step: u64) -> Option<f64> {
        (**self).momentum(step)
    }

    fn takes_over(&self, at: At) -> f64 {
        (**self).takes_over(at)
    }

    fn group_takes_over(&self, group: usize, at: At) -> f64 {
        (**self).group_takes_over(group, at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rates from a base of 0.5, as PyTorch 2.15 gives them.
    #[track_caller]
    fn gives(schedule: &dyn Schedule, want: &[f64]) {
        let mut last = 0.5;
        for (step, want) in (0..).zip(want) {
            last = schedule.rate(At { step, base: 0.5, last });
            assert!((last - want).abs() < 1e-8, "step {step}: {last}, not {want}");
        }
    }

    #[test]
    fn schedules_follow_one_another() {
        let warm_up = LinearLr { start_factor: 0.25, end_factor: 1.0, total_iters: 4 };
        let wave = CosineAnnealingLr { t_max: 8, eta_min: 0.05 };
        let rates = [0.125, 0.21875, 0.3125, 0.40625, 0.5, 0.482872895, 0.434099026, 0.361103772, 0.275, 0.188896228];
        gives(&SequentialLr::new().until(4, warm_up).then(wave), &rates);
        let three = SequentialLr::new()
            .until(3, ConstantLr { factor: 0.1, total_iters: 20 })
            .until(6, ExponentialLr { gamma: 0.9 })
            .then(StepLr { step_size: 2, gamma: 0.5 });
        gives(&three, &[0.05, 0.05, 0.05, 0.5, 0.45, 0.405, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125]);
    }

    #[test]
    fn schedules_go_on_at_once() {
        let three = ChainedLr::new()
            .and(ConstantLr { factor: 0.1, total_iters: 4 })
            .and(ExponentialLr { gamma: 0.9 })
            .and(CosineAnnealingLr { t_max: 5, eta_min: 0.05 });
        let rates =
            [0.05, 0.045477458, 0.043436678, 0.044242592, 0.146235505, 0.05, 0.087971176, 0.155552736, 0.220493639];
        gives(&three, &rates);
    }

    #[test]
    fn a_function_gives_factors_of_the_base() {
        gives(&LambdaLr(|step| 1.0 / (step + 1) as f64), &[0.5, 0.25, 0.5 / 3.0]);
        gives(&MultiplicativeLr(|step| 1.0 / step as f64), &[0.5, 0.5, 0.25, 0.25 / 3.0]);
        gives(&MultiStepLr { milestones: vec![2, 0], gamma: 0.5 }, &[0.25, 0.25, 0.125, 0.125]);
    }
}
