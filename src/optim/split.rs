//! Two optimizers for the parts of a model.

use super::{Decision, Optimizer, for_groups};
use crate::autograd::Grads;
use crate::error::{Error, Result};
use crate::nn::{Module, Parameter, StateDict, Trainable, parameters};
use crate::shape::Shape;
use crate::tensor::Tensor;

/// Two optimizers that each move a part of a model's parameters, as one: [Muon](super::Muon) the matrices and AdamW all else, say.
/// Rates and states are those of the first and then those of the second; clipping goes by the norm of each part. A part that has no
/// gradient in a step stays as it is. What [`step_with`](Optimizer::step_with) asks sees the gradients of both at once, so that either
/// both move or none. A part of a part can be split again.
pub struct Split<A, B> {
    first: A,
    second: B,
    /// What each of them moves.
    parts: [Vec<Parameter>; 2],
}

impl<A: Optimizer, B: Optimizer> Split<A, B> {
    /// Gives the parameters of which `to_first` says so, by path and shape, to the first optimizer, and the others to the second.
    ///
    /// # Errors
    /// [`Error::Option`] if one of them gets none; as either optimizer.
    ///
    /// # Panics
    /// As either optimizer.
    #[track_caller]
    pub fn new(
        model: &dyn Module,
        to_first: impl Fn(&str, Shape) -> bool,
        first: impl FnOnce(&dyn Module) -> Result<A>,
        second: impl FnOnce(&dyn Module) -> Result<B>,
    ) -> Result<Split<A, B>> {
        let (ours, others): (Vec<_>, Vec<_>) =
            parameters(model).into_iter().partition(|(path, parameter)| to_first(path, parameter.shape()));
        for (part, name) in [(&ours, "first"), (&others, "second")] {
            if part.is_empty() {
                return Err(Error::Option(format!("Split: the {name} optimizer gets no parameter")));
            }
        }
        let parts = [&ours, &others].map(|part| part.iter().map(|(_, parameter)| parameter.clone()).collect());
        Ok(Split { first: first(&Trainable(ours))?, second: second(&Trainable(others))?, parts })
    }

    /// The gradients of each part.
    #[track_caller]
    fn dealt(&self, grads: &Grads) -> [Grads; 2] {
        let dealt = self.parts.each_ref().map(|part| grads.only(part.iter().map(Parameter::tensor)));
        assert!(
            dealt.iter().any(|part| !part.is_empty()),
            "Split: there is no gradient for any parameter of its two optimizers"
        );
        dealt
    }
}

/// The values under a part's name.
fn under(state: &StateDict, part: &str) -> StateDict {
    let own = |(name, value): (&String, &_)| Some((name.strip_prefix(part)?.to_string(), Clone::clone(value)));
    state.iter().filter_map(own).collect()
}

impl<A: Optimizer, B: Optimizer> Optimizer for Split<A, B> {
    #[track_caller]
    fn step(&mut self, grads: &Grads) {
        let [first, second] = self.dealt(grads);
        // Each gets all of them: nothing moves if one that is another's could not be computed.
        if !first.is_empty() {
            self.first.step(grads);
        }
        if !second.is_empty() {
            self.second.step(grads);
        }
    }

    #[track_caller]
    fn step_with(&mut self, grads: &Grads, reduce: &mut dyn FnMut(&[Tensor]) -> Decision) {
        let [ours, others] = self.dealt(grads);
        if others.is_empty() {
            return self.first.step_with(&ours, reduce);
        }
        if ours.is_empty() {
            return self.second.step_with(&others, reduce);
        }
        let second = &mut self.second;
        // The second gathers and is moved while the first, which has gathered, waits for the answer to both.
        self.first.step_with(&ours, &mut |first| {
            let mut decision = Decision::Skip;
            second.step_with(&others, &mut |second| {
                decision = reduce(&[first, second].concat());
                decision.clone()
            });
            decision
        });
    }

    fn lrs(&self) -> Vec<f32> {
        [self.first.lrs(), self.second.lrs()].concat()
    }

    fn set_lrs(&mut self, lrs: &[f32]) -> Result<()> {
        let count = self.first.lrs().len();
        for_groups(lrs, count + self.second.lrs().len())?;
        let (first, second) = lrs.split_at(count);
        self.first.set_lrs(first)?;
        self.second.set_lrs(second)
    }

    fn base_lrs(&self) -> Vec<f32> {
        [self.first.base_lrs(), self.second.base_lrs()].concat()
    }

    fn momentum(&self) -> Option<f32> {
        self.first.momentum().filter(|_| self.second.momentum().is_some())
    }

    fn set_momentum(&mut self, momentum: f32) -> Result<()> {
        self.first.set_momentum(momentum)?;
        self.second.set_momentum(momentum)
    }

    /// That of both parts, where both are clipped by their norms.
    fn grad_norm(&self) -> Option<Tensor> {
        let (a, b) = (self.first.grad_norm()?, self.second.grad_norm()?);
        Some((a.square() + b.square()).sqrt())
    }

    /// Where both parts made it.
    fn made(&self) -> Option<Tensor> {
        match (self.first.made(), self.second.made()) {
            (Some(first), Some(second)) => Some(first * second),
            (first, second) => first.or(second),
        }
    }

    fn state(&self) -> Result<StateDict> {
        let named = |part: &'static str, state: StateDict| {
            state.into_iter().map(move |(name, value)| (format!("{part}{name}"), value))
        };
        Ok(named("first.", self.first.state()?).chain(named("second.", self.second.state()?)).collect())
    }

    fn load_state(&mut self, state: &StateDict) -> Result<()> {
        // A second that refuses leaves the first as it was.
        let before = self.first.state()?;
        self.first.load_state(&under(state, "first."))?;
        self.second.load_state(&under(state, "second.")).inspect_err(|_| drop(self.first.load_state(&before)))
    }

    fn is_sharded(&self) -> bool {
        self.first.is_sharded() || self.second.is_sharded()
    }
}
