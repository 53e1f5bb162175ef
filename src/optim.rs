//! Optimizers: each owns its parameters as few stretches of memory and moves each by one kernel.
//!
//! An optimizer is a *rule* (its options, its kernel, what it keeps for each value) and what all have in common,
//! [`Fused`]: groups of parameters with options of their own, clipping, penalties, saved states. The gradients of several
//! batches are added up by [`Grads`] itself; [`Ema`] keeps an average of the weights.

mod adadelta;
mod adagrad;
pub mod adam;
mod ema;
mod fused;
mod hyper;
mod lamb;
mod lion;
mod norms;
mod penalty;
mod rmsprop;
mod rule;
pub mod schedule;
pub mod sgd;
mod slab;

pub use adadelta::{Adadelta, AdadeltaOptions};
pub use adagrad::{Adagrad, AdagradOptions};
pub use adam::{Adam, AdamOptions, SecondMoment, WeightDecay};
pub use ema::Ema;
pub use fused::Fused;
pub use lamb::{Lamb, LambOptions};
pub use lion::{Lion, LionOptions};
pub use rmsprop::{Centering, RmsProp, RmsPropOptions};
pub use rule::Rule;
pub use sgd::{Momentum, Sgd, SgdOptions};

use crate::autograd::Grads;
use crate::dtype::decimal;
use crate::error::{Error, Result};
use crate::kernel::Kernel;
use crate::nn::StateDict;
use crate::tensor::Tensor;

/// Every kernel of this floor.
pub static KERNELS: &[&[&Kernel]] = &[
    adadelta::KERNELS,
    adagrad::KERNELS,
    adam::KERNELS,
    ema::KERNELS,
    lamb::KERNELS,
    lion::KERNELS,
    norms::KERNELS,
    penalty::KERNELS,
    rmsprop::KERNELS,
    sgd::KERNELS,
];

/// What moves parameters against their gradients.
pub trait Optimizer {
    /// Moves every parameter that `grads` has a gradient for; the others and their moments stay.
    ///
    /// # Panics
    /// If `grads` has a gradient for none of them, or an optimizer that was made later took one of them over.
    #[track_caller]
    fn step(&mut self, grads: &Grads);

    /// The learning rate of each group of parameters.
    fn lrs(&self) -> Vec<f32>;

    /// Sets the learning rate of each group for the next steps.
    ///
    /// # Errors
    /// [`Error::Option`] if one is no number or negative, or their number is not that of the groups; [`Error::Capture`]
    /// inside a step that is being captured, which would set it once and never again.
    fn set_lrs(&mut self, lrs: &[f32]) -> Result<()>;

    /// The rates that schedules start from: those of the options, or those that were set last. A loaded state does not
    /// change them.
    fn base_lrs(&self) -> Vec<f32> {
        self.lrs()
    }

    /// The learning rate of the first group.
    fn lr(&self) -> f32 {
        self.lrs()[0]
    }

    /// Sets the learning rate of all groups for the next steps.
    ///
    /// # Errors
    /// As [`set_lrs`](Optimizer::set_lrs).
    fn set_lr(&mut self, lr: f32) -> Result<()> {
        self.set_lrs(&vec![lr; self.lrs().len()])
    }

    /// The momentum of the first group, where it has one: that of SGD and RMSprop, or Adam's first beta.
    fn momentum(&self) -> Option<f32>;

    /// Sets the momentum of all groups for the next steps.
    ///
    /// # Errors
    /// [`Error::Option`] if it is not in 0..1, or a group has none; [`Error::Capture`] inside a step that is being captured.
    fn set_momentum(&mut self, momentum: f32) -> Result<()>;

    /// The global norm of the last step's gradients before they were clipped, where they are clipped by it.
    fn grad_norm(&self) -> Option<Tensor>;

    /// An average of the weights from now on: see [`Ema`].
    ///
    /// # Errors
    /// [`Error::Option`] if `decay` is not in 0..=1.
    fn ema(&self, decay: f32) -> Result<Ema>;

    /// Moments, counts of steps, rates and the rule's name, to go on from later.
    ///
    /// # Errors
    /// The device's first failure.
    fn state(&self) -> Result<StateDict>;

    /// Goes on from a saved state, with its rates.
    ///
    /// # Errors
    /// [`Error::Weights`] if a name is missing, a shape or the number of groups differs, or it is another rule's state;
    /// [`Error::Capture`] inside a step that is being captured; then nothing was changed.
    fn load_state(&mut self, state: &StateDict) -> Result<()>;
}

fn checked(what: &str, value: f32, fits: impl Fn(f32) -> bool, range: &str) -> Result<f32> {
    if fits(value) { Ok(value) } else { Err(Error::Option(format!("{what}: {value} is not {range}"))) }
}

fn checked_lr(lr: f32) -> Result<f32> {
    at_least_0("learning rate", lr)
}

fn at_least_0(what: &str, value: f32) -> Result<f32> {
    checked(what, value, |value| value.is_finite() && value >= 0.0, "a number from 0 up")
}

/// In 0..1, as what moments forget by.
fn share(what: &str, value: f32) -> Result<f32> {
    checked(what, value, |value| (0.0..1.0).contains(&value), "in 0..1")
}

/// `1 - beta` to the last bit: in f32, 1 - 0.999 is off by 1e-5 of itself, and so would every step be.
fn rest(beta: f32) -> f32 {
    (1.0 - decimal(beta)) as f32
}
