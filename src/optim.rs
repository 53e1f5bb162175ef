//! Optimizers: each owns its parameters as few stretches of memory, and moves all of a stretch at once.
//!
//! A step has three acts. Gradients are *gathered* into buckets, stretches of memory that lie as the parameters do; buckets
//! are *reduced*, that is clipped, exchanged between processes, or given up ([`Optimizer::step_with`]); and the parameters
//! are *updated*.
//!
//! An optimizer is a [`Rule`] and what all have in common, [`Stepper`]: groups of parameters with options of their own,
//! clipping, penalties, rates and their schedules, saved states. A rule is defined in tensor operations, some twenty lines
//! outside of the crate too; a kernel that does all of it at once is a matter of speed. The gradients of several batches are
//! added up by [`Grads`] itself; [`Ema`] keeps an average of the weights.
//!
//! | Family | |
//! |---|---|
//! | **Optimizers** | [`Sgd`], [`Adam`], [`AdamW`], [`RmsProp`], [`Adagrad`], [`Adadelta`], [`Adafactor`], [`Lion`], [`Lamb`], [`Muon`], [`NAdam`], [`RAdam`], [`Adamax`], [`Asgd`], [`Rprop`], [`SparseAdam`]; [`Lbfgs`], which asks for the loss several times |
//! | **Their options** | [`SgdOptions`], [`AdamOptions`], [`AdamWOptions`], [`RmsPropOptions`], [`AdagradOptions`], [`AdadeltaOptions`], [`AdafactorOptions`], [`LbfgsOptions`], [`LionOptions`], [`LambOptions`], [`MuonOptions`], [`NAdamOptions`], [`RAdamOptions`], [`AdamaxOptions`], [`AsgdOptions`], [`RpropOptions`], [`SparseAdamOptions`] |
//! | **Around others** | [`Split`] (two for the parts of a model), [`Lookahead`], [`LookaheadOptions`] |
//! | **Steps** | [`Optimizer`], [`Decision`], [`GradScaler`], [`GradScalerOptions`], [`schedule`], [`Ema`] |
//! | **Rules of one's own** | [`Rule`], [`Stepper`], [`Now`], [`Bucket`], [`Sparse`], [`RowBucket`], [`RowsPlace`] |
//!
//! [Optimizers](crate::guide::optimizers) is the guide's page about all of them.

mod adadelta;
mod adafactor;
mod adagrad;
pub mod adam;
mod asgd;
mod bucket;
mod ema;
mod gathered;
mod hyper;
mod lamb;
mod lbfgs;
mod lion;
mod lookahead;
mod muon;
mod norms;
mod penalty;
mod rmsprop;
mod rows;
mod rprop;
mod rule;
mod scaler;
pub mod schedule;
pub mod sgd;
mod shards;
mod slab;
mod sparse_adam;
mod split;
mod stepper;
mod variants;

pub use adadelta::{Adadelta, AdadeltaOptions};
pub use adafactor::{Adafactor, AdafactorOptions};
pub use adagrad::{Adagrad, AdagradOptions};
#[doc(inline)]
pub use adam::{Adam, AdamFamily, AdamOptions, AdamW, AdamWOptions, SecondMoment};
pub use asgd::{Asgd, AsgdOptions};
pub use bucket::{Bucket, Place};
pub use ema::Ema;
pub use lamb::{Lamb, LambOptions};
pub use lbfgs::{Lbfgs, LbfgsOptions};
pub use lion::{Lion, LionOptions};
pub use lookahead::{Lookahead, LookaheadOptions};
pub use muon::{Muon, MuonOptions, MuonRate};
pub use rmsprop::{Centering, RmsProp, RmsPropOptions};
pub use rows::{RowBucket, RowsPlace, Sparse};
pub use rprop::{Rprop, RpropOptions};
pub use rule::{Now, Rule};
pub use scaler::{GradScaler, GradScalerOptions};
#[doc(inline)]
pub use sgd::{Momentum, Sgd, SgdOptions};
pub(crate) use shards::Peers;
pub use sparse_adam::{SparseAdam, SparseAdamOptions};
pub use split::Split;
pub use stepper::Stepper;
pub use variants::{Adamax, AdamaxOptions, NAdam, NAdamOptions, RAdam, RAdamOptions};

use crate::autograd::Grads;
use crate::dtype::decimal;
use crate::error::{Error, Result};
use crate::kernel::Kernel;
use crate::nn::{Parameter, StateDict};
use crate::tensor::Tensor;

/// Every kernel of this floor.
pub static KERNELS: &[&[&Kernel]] = &[
    adadelta::KERNELS,
    variants::KERNELS,
    adagrad::KERNELS,
    adam::KERNELS,
    ema::KERNELS,
    hyper::KERNELS,
    lamb::KERNELS,
    lion::KERNELS,
    norms::KERNELS,
    penalty::KERNELS,
    rmsprop::KERNELS,
    scaler::KERNELS,
    sgd::KERNELS,
    sparse_adam::KERNELS,
];

/// An optimizer: it moves parameters against their gradients.
///
/// A [`Stepper`] is one for any [`Rule`]. One of another kind, such as one around another, says how it steps, its rates and
/// its state; all else follows.
#[doc(alias = "torch.optim.Optimizer")]
pub trait Optimizer: Send {
    /// Moves every parameter that `grads` has a gradient for; the others and their moments stay.
    ///
    /// # Panics
    /// If `grads` has a gradient for none of them, or one was cast or moved to another device since.
    #[doc(alias("zero_grad", "apply_gradients"))]
    #[track_caller]
    fn step(&mut self, grads: &Grads);

    /// A step in which `reduce` sees all gradients once they are gathered, and before they are clipped: tensors that it may
    /// change in place, whose elements are the gradients' and else 0. It says whether the parameters are moved. Of a gradient of
    /// [rows](crate::autograd::Rows) it sees the values of these rows, each once: what exchanges gradients between processes, which have
    /// other rows, does so before.
    ///
    /// An optimizer that is no [`Stepper`] and has none of its own reads the answer on the host: it waits for the device, and a
    /// step that is captured refuses it.
    ///
    /// ```
    /// use wgrad::nn::{Init, Linear};
    /// use wgrad::optim::{Decision, Optimizer, Sgd, SgdOptions};
    /// let device = wgrad::Device::cpu();
    /// let model = Linear::new(2, 1, &mut Init::new(0, &device));
    /// let mut optimizer = Sgd::new(&model, SgdOptions { lr: 0.1, ..SgdOptions::default() })?;
    /// // Of a loss that was scaled up; a step whose gradients are not all numbers is left out.
    /// let scaled = model.weight.tensor().square().sum() * 1024.0;
    /// optimizer.step_with(&scaled.backward(), &mut |buckets| {
    ///     let mut sum = wgrad::Tensor::scalar(0.0f32, &device);
    ///     for bucket in buckets {
    ///         bucket.assign(&(bucket / 1024.0));
    ///         sum = sum + bucket.square().sum();
    ///     }
    ///     Decision::UpdateIf(sum.lt(&wgrad::Tensor::scalar(f32::INFINITY, &device)))
    /// });
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// As [`step`](Optimizer::step).
    #[track_caller]
    fn step_with(&mut self, grads: &Grads, reduce: &mut dyn FnMut(&[Tensor]) -> Decision) {
        let own: Grads = grads.iter().map(|(tensor, gradient)| (tensor, gradient.copy())).collect();
        let buckets: Vec<Tensor> = own.iter().map(|(_, gradient)| gradient.clone()).collect();
        let update = match reduce(&buckets) {
            Decision::Update => true,
            Decision::Skip => false,
            Decision::UpdateIf(flag) => {
                let device = flag.device();
                let refused = device.refuse_in_capture(|| {
                    "step_with: this optimizer reads on the host whether it is to update, which no replay can do: step by it \
                     outside of a replayed step, or give it a `step_with` of its own"
                        .into()
                });
                // A refusal is told by the capture.
                let read = |()| flag.item().inspect_err(|error| device.missed(error));
                refused.and_then(read).is_ok_and(|flag| flag != 0.0)
            }
        };
        if update {
            self.step(&own);
        }
    }

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
    #[doc(alias = "param_groups")]
    fn set_lr(&mut self, lr: f32) -> Result<()> {
        self.set_lrs(&vec![lr; self.lrs().len()])
    }

    /// The momentum of the first group, where it has one: that of SGD and RMSprop, or Adam's first beta.
    fn momentum(&self) -> Option<f32> {
        None
    }

    /// Sets the momentum of all groups for the next steps.
    ///
    /// # Errors
    /// [`Error::Option`] if it is below 0 or, where it weighs a mean as Adam's does, not below 1, or if a group has none; [`Error::Capture`] inside a step that is being captured.
    fn set_momentum(&mut self, momentum: f32) -> Result<()> {
        Err(Error::Option(format!("momentum: the optimizer has none, so {momentum} cannot be set")))
    }

    /// The global norm of the last step's gradients before they were clipped, where they are clipped by it.
    fn grad_norm(&self) -> Option<Tensor> {
        None
    }

    /// Whether the last step was made, 1 or 0 on the device, where the optimizer itself may give one up
    /// ([`Stepper::skip_nonfinite`]). What goes around another optimizer counts by it.
    fn made(&self) -> Option<Tensor> {
        None
    }

    /// Moments, counts of steps, rates and the rule's name, to go on from later.
    ///
    /// # Errors
    /// The device's first failure.
    #[doc(alias = "state_dict")]
    fn state(&self) -> Result<StateDict>;

    /// Goes on from a saved state, with its rates.
    ///
    /// # Errors
    /// [`Error::Weights`] if a name is missing, a shape or the number of groups differs, or it is another rule's state;
    /// [`Error::Capture`] inside a step that is being captured; then nothing was changed.
    #[doc(alias = "load_state_dict")]
    fn load_state(&mut self, state: &StateDict) -> Result<()>;

    /// Whether its moments are dealt out to several ranks ([`Stepper::sharded`]): then all of them call [`state`](Optimizer::state)
    /// together, and rank 0 gets the whole of it.
    fn is_sharded(&self) -> bool {
        false
    }
}

macro_rules! through {
    ($($optimizer:ty),*) => {$(
        impl<O: Optimizer + ?Sized> Optimizer for $optimizer {
            #[track_caller]
            fn step(&mut self, grads: &Grads) {
                (**self).step(grads);
            }

            #[track_caller]
            fn step_with(&mut self, grads: &Grads, reduce: &mut dyn FnMut(&[Tensor]) -> Decision) {
                (**self).step_with(grads, reduce);
            }

            fn lrs(&self) -> Vec<f32> {
                (**self).lrs()
            }

            fn set_lrs(&mut self, lrs: &[f32]) -> Result<()> {
                (**self).set_lrs(lrs)
            }

            fn base_lrs(&self) -> Vec<f32> {
                (**self).base_lrs()
            }

            fn momentum(&self) -> Option<f32> {
                (**self).momentum()
            }

            fn set_momentum(&mut self, momentum: f32) -> Result<()> {
                (**self).set_momentum(momentum)
            }

            fn grad_norm(&self) -> Option<Tensor> {
                (**self).grad_norm()
            }

            fn made(&self) -> Option<Tensor> {
                (**self).made()
            }

            fn state(&self) -> Result<StateDict> {
                (**self).state()
            }

            fn load_state(&mut self, state: &StateDict) -> Result<()> {
                (**self).load_state(state)
            }

            fn is_sharded(&self) -> bool {
                (**self).is_sharded()
            }
        }
    )*};
}

through!(&mut O, Box<O>);

/// Whether a step moves the parameters, as its gradients are known. [`GradScaler`] answers with one.
#[derive(Debug, Clone)]
pub enum Decision {
    /// It does.
    Update,
    /// It does not, nor does it count.
    Skip,
    /// It does where this scalar is not 0, which the device alone reads. Elsewhere values and moments stay what they were, and
    /// the step is not counted, of each parameter for the first 63 times that it would have moved.
    UpdateIf(Tensor),
}

fn checked(what: &str, value: f32, fits: impl Fn(f32) -> bool, range: &str) -> Result<f32> {
    if fits(value) { Ok(value) } else { Err(Error::Option(format!("{what}: {value} is not {range}"))) }
}

/// What a value that is saved is part of, in messages.
const STATE: &str = "the optimizer's state";

/// Refuses learning rates that are not one for each of the groups.
fn for_groups(lrs: &[f32], groups: usize) -> Result<()> {
    let have = lrs.len();
    let text = || format!("{have} learning rates for {groups} groups: expected one for each group");
    if have == groups { Ok(()) } else { Err(Error::Option(text())) }
}

fn checked_lr(lr: f32) -> Result<f32> {
    at_least_0("learning rate", lr)
}

fn at_least_0(what: &str, value: f32) -> Result<f32> {
    checked(what, value, |value| value.is_finite() && value >= 0.0, "a number from 0 up")
}

/// Refuses a parameter that has no gradient.
fn trained(optimizer: &str, path: &str, parameter: &Parameter) -> Result<()> {
    let dtype = parameter.tensor().dtype();
    let text = "is held in int8, which is for inference: expected floats";
    if dtype.is_float() { Ok(()) } else { Err(Error::Option(format!("{optimizer}: {path} {text}, got {dtype}"))) }
}

/// In 0..1, as what moments forget by.
fn share(what: &str, value: f32) -> Result<f32> {
    checked(what, value, |value| (0.0..1.0).contains(&value), "in 0..1")
}

/// The part of its whole size that a moment has which began at 0. In f64: 1 - 0.999 would lose half its digits in f32.
fn unbiased(beta: f32, steps: u64) -> f64 {
    1.0 - decimal(beta).powf(steps as f64)
}

/// `1 - beta` to the last bit: in f32, 1 - 0.999 is off by 1e-5 of itself, and so would every step be.
fn rest(beta: f32) -> f32 {
    (1.0 - decimal(beta)) as f32
}
