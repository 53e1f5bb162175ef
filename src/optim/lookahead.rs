//! Lookahead (Zhang et al., 2019): slow weights that follow those of another optimizer.

use super::{Decision, Optimizer, STATE, checked};
use crate::autograd::Grads;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::nn::{Module, Parameter, StateDict, StateTensor, distinct, fitting};
use crate::tensor::Tensor;
use std::collections::BTreeSet;

/// The paper's arguments and defaults.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LookaheadOptions {
    /// Steps of the other optimizer between two of the slow weights.
    pub k: usize,
    /// The part of the way to the fast weights that the slow ones go.
    pub alpha: f32,
}

impl Default for LookaheadOptions {
    fn default() -> LookaheadOptions {
        LookaheadOptions { k: 5, alpha: 0.5 }
    }
}

/// Another optimizer, whose weights are drawn back to slow ones every few steps; the slow ones go a part of the way to them.
///
/// ```
/// use wgrad::nn::{Init, Linear};
/// use wgrad::optim::{Adam, AdamOptions, Lookahead, LookaheadOptions, Optimizer};
/// let model = Linear::new(3, 2, &mut Init::new(0, &wgrad::Device::cpu()));
/// let adam = Adam::new(&model, AdamOptions::default())?;
/// let mut optimizer = Lookahead::new(&model, adam, LookaheadOptions::default())?;
/// optimizer.step(&model.weight.tensor().square().sum().backward());
/// # Ok::<(), wgrad::Error>(())
/// ```
pub struct Lookahead<O> {
    inner: O,
    options: LookaheadOptions,
    /// Each parameter with its slow weights.
    slow: Vec<(String, Parameter, Tensor)>,
    /// Steps since the slow weights moved, on the device, so that a replayed step counts too.
    steps: Tensor,
}

impl<O: Optimizer> Lookahead<O> {
    /// Around an optimizer of the model's parameters.
    ///
    /// # Errors
    /// [`Error::Option`] if an option is out of range, or the model has no parameters.
    pub fn new(model: &dyn Module, inner: O, options: LookaheadOptions) -> Result<Lookahead<O>> {
        checked("alpha", options.alpha, |alpha| (0.0..=1.0).contains(&alpha), "in 0..=1")?;
        if options.k == 0 {
            return Err(Error::Option("k: expected a step at least, got 0".into()));
        }
        let with_slow = |(path, parameter): (String, Parameter)| {
            let value = parameter.tensor().detach().copy().cast(DType::F32);
            (path, parameter, value)
        };
        let slow: Vec<_> = distinct(model).into_iter().map(with_slow).collect();
        let Some((_, first, _)) = slow.first() else {
            return Err(Error::Option("Lookahead: the model has no parameters".into()));
        };
        let steps = Tensor::zeros([], first.tensor().device());
        Ok(Lookahead { inner, options, slow, steps })
    }

    /// The optimizer within.
    pub fn inner(&self) -> &O {
        &self.inner
    }

    /// What is saved beside the state of the optimizer within.
    fn named(&self) -> impl Iterator<Item = (String, &Tensor)> {
        let slow = self.slow.iter().map(|(path, _, slow)| (format!("{SLOW}{path}"), slow));
        slow.chain([(STEPS.into(), &self.steps)])
    }

    /// Counts a step, unless it was given up, and draws both weights together where it is time.
    #[track_caller]
    fn follow(&self, flag: Option<Tensor>) {
        let one = || Tensor::full([], 1.0f32, self.steps.device());
        let made = match (flag, self.inner.made()) {
            (Some(flag), Some(made)) => flag * made,
            (flag, made) => flag.or(made).unwrap_or_else(one),
        };
        let steps = &self.steps + &made;
        let is_time = steps.ge(self.options.k as f32);
        let share = &is_time * self.options.alpha;
        for (_, parameter, slow) in &self.slow {
            let fast = parameter.tensor().detach();
            let wide = fast.cast(DType::F32);
            slow.assign(&(slow + (&wide - slow) * &share));
            fast.assign(&Tensor::where_(&is_time, slow, &wide).cast(fast.dtype()));
        }
        self.steps.assign(&(&steps * is_time.affine(-1.0, 1.0)));
    }
}

impl<O: Optimizer> Optimizer for Lookahead<O> {
    #[track_caller]
    fn step(&mut self, grads: &Grads) {
        self.inner.step(grads);
        if grads.lost().is_none() {
            self.follow(None);
        }
    }

    #[track_caller]
    fn step_with(&mut self, grads: &Grads, reduce: &mut dyn FnMut(&[Tensor]) -> Decision) {
        let (mut flag, mut is_skipped) = (None, false);
        self.inner.step_with(grads, &mut |buckets| {
            let decision = reduce(buckets);
            match &decision {
                Decision::Update => (),
                Decision::Skip => is_skipped = true,
                Decision::UpdateIf(asked) => flag = Some(asked.detach().reshape(()).ne(0.0)),
            }
            decision
        });
        if !is_skipped && grads.lost().is_none() {
            self.follow(flag);
        }
    }

    fn lrs(&self) -> Vec<f32> {
        self.inner.lrs()
    }

    fn set_lrs(&mut self, lrs: &[f32]) -> Result<()> {
        self.inner.set_lrs(lrs)
    }

    fn base_lrs(&self) -> Vec<f32> {
        self.inner.base_lrs()
    }

    fn momentum(&self) -> Option<f32> {
        self.inner.momentum()
    }

    fn set_momentum(&mut self, momentum: f32) -> Result<()> {
        self.inner.set_momentum(momentum)
    }

    fn grad_norm(&self) -> Option<Tensor> {
        self.inner.grad_norm()
    }

    fn made(&self) -> Option<Tensor> {
        self.inner.made()
    }

    fn state(&self) -> Result<StateDict> {
        let mut all = self.inner.state()?;
        all.extend(StateTensor::all(self.named())?);
        Ok(all)
    }

    fn load_state(&mut self, state: &StateDict) -> Result<()> {
        let mut own = BTreeSet::new();
        for (name, place) in self.named() {
            fitting(state, STATE, &name, place.shape())?;
            own.insert(name);
        }
        let inner = state.iter().filter(|(name, _)| !own.contains(*name));
        self.inner.load_state(&inner.map(|(name, value)| (name.clone(), value.clone())).collect())?;
        self.named().for_each(|(name, place)| state[&name].write_to(place));
        Ok(())
    }

    fn is_sharded(&self) -> bool {
        self.inner.is_sharded()
    }
}

/// Names in a saved state.
const SLOW: &str = "lookahead.slow.";
const STEPS: &str = "lookahead.steps";
