//! What a program does with its gradients: it returns them, an optimizer moves the weights by them, or both.

use wgrad::Tensor;
use wgrad::autograd::Grads;
use wgrad::nn::Parameter;
use wgrad::optim::{
    Adadelta, AdadeltaOptions, Adagrad, AdagradOptions, Adam, AdamOptions, AdamW, AdamWOptions, Lamb, LambOptions,
    Lion, LionOptions, Momentum, Optimizer, RmsProp, RmsPropOptions, Sgd, SgdOptions,
};

/// Which optimizer moves the tracked tensors that the program holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Update {
    Nothing,
    Sgd,
    Momentum,
    Clipped,
    Adam,
    AdamW,
    RmsProp,
    Adagrad,
    Adadelta,
    Lion,
    Lamb,
    /// By their definitions in tensor operations.
    AdamDefined,
    LambDefined,
}

pub static UPDATES: &[Update] = &[
    Update::Sgd,
    Update::Momentum,
    Update::Clipped,
    Update::Adam,
    Update::AdamW,
    Update::RmsProp,
    Update::Adagrad,
    Update::Adadelta,
    Update::Lion,
    Update::Lamb,
    Update::AdamDefined,
    Update::LambDefined,
];

impl Update {
    /// Whether it takes gradients of rows.
    pub fn takes_rows(self) -> bool {
        matches!(self, Update::Nothing | Update::Sgd | Update::Momentum | Update::Clipped | Update::Adagrad)
    }

    /// An optimizer of these weights.
    ///
    /// # Errors
    /// What it says about its options.
    pub fn optimizer(self, weights: &[Parameter]) -> wgrad::Result<Option<Box<dyn Optimizer>>> {
        let momentum = SgdOptions { lr: 0.1, momentum: Momentum::HeavyBall(0.5), ..SgdOptions::default() };
        let adam = AdamOptions { lr: 0.05, eps: 0.1, ..AdamOptions::default() };
        let lamb = LambOptions { lr: 0.05, eps: 0.1, ..LambOptions::default() };
        Ok(Some(match self {
            Update::Nothing => return Ok(None),
            Update::Sgd => Box::new(Sgd::new(&weights, SgdOptions { lr: 0.1, ..SgdOptions::default() })?),
            Update::Momentum => Box::new(Sgd::new(&weights, momentum)?),
            Update::Clipped => Box::new(Sgd::new(&weights, momentum)?.clip_grad_norm(0.5)?),
            Update::Adam => Box::new(Adam::new(&weights, adam)?),
            Update::AdamW => {
                let options = AdamWOptions { lr: 0.05, eps: 0.1, weight_decay: 0.1, ..AdamWOptions::default() };
                Box::new(AdamW::new(&weights, options)?)
            }
            Update::RmsProp => {
                Box::new(RmsProp::new(&weights, RmsPropOptions { lr: 0.05, eps: 0.1, ..RmsPropOptions::default() })?)
            }
            Update::Adagrad => {
                Box::new(Adagrad::new(&weights, AdagradOptions { lr: 0.05, eps: 0.1, ..AdagradOptions::default() })?)
            }
            Update::Adadelta => {
                Box::new(Adadelta::new(&weights, AdadeltaOptions { eps: 0.1, ..AdadeltaOptions::default() })?)
            }
            Update::Lion => Box::new(Lion::new(&weights, LionOptions { lr: 0.05, ..LionOptions::default() })?),
            Update::Lamb => Box::new(Lamb::new(&weights, lamb)?),
            Update::AdamDefined => Box::new(Adam::new(&weights, adam)?.by_definition().clip_grad_norm(0.5)?),
            Update::LambDefined => Box::new(Lamb::new(&weights, lamb)?.by_definition()),
        }))
    }
}

/// What an optimizer does with gradients.
pub type Step<'a> = &'a mut dyn FnMut(&Grads);

/// The gradients of the sums of some losses, added up.
fn gradients(losses: &[&Tensor]) -> Option<Grads> {
    let mut losses = losses.iter().filter(|loss| loss.is_tracked());
    let mut grads = losses.next()?.sum().backward();
    for loss in losses {
        grads += loss.sum().backward();
    }
    Some(grads)
}

/// Some values, behind a step of the optimizer.
pub fn moved(results: &[&Tensor], losses: &[&Tensor], step: Step) -> Vec<Tensor> {
    if let Some(grads) = gradients(losses) {
        step(&grads);
    }
    results.iter().map(|result| result.detach()).collect()
}

/// Some values, and the gradients with respect to all inputs that have one.
pub fn returned(results: &[&Tensor], losses: &[&Tensor], x: &[Tensor], step: Step) -> Vec<Tensor> {
    let mut all: Vec<Tensor> = results.iter().map(|result| result.detach()).collect();
    if let Some(grads) = gradients(losses) {
        step(&grads);
        all.extend(x.iter().filter_map(|leaf| grads.of(leaf).cloned()));
    }
    all
}
