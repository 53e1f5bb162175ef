//! Optimizers: each owns its parameters as one stretch of memory and moves them all by one kernel.

pub mod adam;
mod hyper;
pub mod sgd;
mod slab;

pub use adam::{Adam, AdamOptions, WeightDecay};
pub use sgd::{Momentum, Sgd, SgdOptions};

use crate::autograd::Grads;
use crate::error::{Error, Result};
use crate::kernel::Kernel;
use crate::nn::StateDict;

/// Every kernel of this floor.
pub static KERNELS: &[&[&Kernel]] = &[adam::KERNELS, sgd::KERNELS];

/// What moves parameters against their gradients.
pub trait Optimizer {
    /// Moves every parameter that `grads` has a gradient for; the others and their moments stay.
    ///
    /// # Panics
    /// If `grads` has a gradient for none of them.
    fn step(&mut self, grads: &Grads);

    /// The learning rate.
    fn lr(&self) -> f32;

    /// Sets the learning rate of the next steps.
    ///
    /// # Errors
    /// [`Error::Option`] if it is no number or negative.
    fn set_lr(&mut self, lr: f32) -> Result<()>;

    /// Moments and step count by name, to go on from later.
    ///
    /// # Errors
    /// The device's first failure.
    fn state(&self) -> Result<StateDict>;

    /// Goes on from a saved state.
    ///
    /// # Errors
    /// [`Error::Weights`] if a name is missing or a shape differs; then nothing was changed.
    fn load_state(&mut self, state: &StateDict) -> Result<()>;
}

fn checked(what: &str, value: f32, fits: impl Fn(f32) -> bool, range: &str) -> Result<f32> {
    if fits(value) { Ok(value) } else { Err(Error::Option(format!("{what}: {value} is not {range}"))) }
}

fn checked_lr(lr: f32) -> Result<f32> {
    checked("learning rate", lr, |lr| lr.is_finite() && lr >= 0.0, "a number from 0 up")
}
