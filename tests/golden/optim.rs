//! Optimizers, with PyTorch's arguments and defaults.

use crate::attrs::Attrs;
use crate::trial::Trial;
use wgrad::Tensor;
use wgrad::nn::{Module, Parameter};
use wgrad::optim::{Adam, AdamOptions, Momentum, Optimizer, Sgd, SgdOptions, WeightDecay};

/// A new optimizer by PyTorch's name in lower case.
pub fn optimizer(name: &str, a: &Attrs, model: &dyn Module) -> Box<dyn Optimizer> {
    match name {
        "sgd" => Box::new(Sgd::new(model, sgd_options(a)).expect("the options are in range")),
        "adam" => Box::new(Adam::new(model, adam_options(a, 0.0, WeightDecay::Coupled)).expect("in range")),
        "adamw" => Box::new(Adam::new(model, adam_options(a, 0.01, WeightDecay::Decoupled)).expect("in range")),
        other => panic!("the crate has no optimizer `{other}`"),
    }
}

fn sgd_options(a: &Attrs) -> SgdOptions {
    a.only("dampening", 0.0);
    a.only("maximize", false);
    let momentum = match (a.float("momentum", 0.0), a.flag("nesterov", false)) {
        (0.0, false) => Momentum::None,
        (momentum, false) => Momentum::HeavyBall(momentum),
        (momentum, true) => Momentum::Nesterov(momentum),
    };
    SgdOptions { lr: a.float("lr", 1e-3), momentum, weight_decay: a.float("weight_decay", 0.0) }
}

fn adam_options(a: &Attrs, decay: f32, kind: fn(f32) -> WeightDecay) -> AdamOptions {
    a.only("amsgrad", false);
    a.only("maximize", false);
    let betas = a.floats("betas", [0.9, 0.999]).into();
    let weight_decay = kind(a.float("weight_decay", decay));
    AdamOptions { lr: a.float("lr", 1e-3), betas, eps: a.float("eps", 1e-8), weight_decay }
}

/// The parameter after each step with the file's gradients.
fn steps(t: &Trial, name: &str) -> Tensor {
    let parameter = Parameter::new(t.input("param").clone());
    let mut optimizer = optimizer(name, t.attrs(), &parameter);
    let grads = t.input("grads");
    let after = (0..grads.size(0)).map(|step| {
        // The gradient of this sum is the file's, to the bit.
        let loss = parameter.tensor().mul(&grads.narrow(0, step, 1).squeeze(0)).sum();
        optimizer.step(&loss.backward());
        parameter.tensor().detach().copy()
    });
    let after: Vec<Tensor> = after.collect();
    Tensor::stack(&after.iter().collect::<Vec<_>>(), 0)
}

pub fn sgd(t: &Trial) -> Tensor {
    steps(t, "sgd")
}

pub fn adam(t: &Trial) -> Tensor {
    steps(t, "adam")
}

pub fn adamw(t: &Trial) -> Tensor {
    steps(t, "adamw")
}
