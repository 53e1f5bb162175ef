//! Optimizers, with PyTorch's arguments and defaults.

use crate::attrs::Attrs;
use crate::trial::Trial;
use crate::ways::Way;
use wgrad::nn::{Module, Parameter, Visitor};
use wgrad::optim::schedule::{OneCycleLr, Phases, Scheduler};
use wgrad::optim::{
    Adadelta, AdadeltaOptions, Adafactor, AdafactorOptions, Adagrad, AdagradOptions, Adam, AdamFamily, AdamW, Adamax,
    AdamaxOptions, Asgd, AsgdOptions, Centering, Lbfgs, LbfgsOptions, Momentum, Muon, MuonOptions, MuonRate, NAdam,
    NAdamOptions, Optimizer, RAdam, RAdamOptions, RmsProp, RmsPropOptions, Rprop, RpropOptions, Rule, SecondMoment,
    Sgd, SgdOptions, SparseAdam, SparseAdamOptions, Stepper,
};
use wgrad::plan::Replay;
use wgrad::{EmbeddingOptions, Tensor};

/// A new optimizer by PyTorch's name in lower case.
pub fn optimizer(name: &str, a: &Attrs, model: &dyn Module) -> Box<dyn Optimizer> {
    of_kind(name, a, model, false)
}

/// The same; whether it goes by its rule's definition.
fn of_kind(name: &str, a: &Attrs, model: &dyn Module, defined: bool) -> Box<dyn Optimizer> {
    let made: wgrad::Result<Box<dyn Optimizer>> = (|| {
        let kind = [a.flag("maximize", false), defined];
        Ok(match name {
            "sgd" => boxed(Sgd::new(model, sgd_options(a))?, kind),
            "adam" => boxed(Adam::new(model, adam_options(a))?, kind),
            "adamw" => boxed(AdamW::new(model, adam_options(a))?, kind),
            "rmsprop" => boxed(RmsProp::new(model, rmsprop_options(a))?, kind),
            "adagrad" => boxed(Adagrad::new(model, adagrad_options(a))?, kind),
            "adadelta" => boxed(Adadelta::new(model, adadelta_options(a))?, kind),
            "adafactor" => {
                let eps = a.floats("eps", [1e-7, 1e-3]);
                let (lr, beta2_decay) = (a.float("lr", 1e-2), a.float("beta2_decay", -0.8));
                let (d, weight_decay) = (a.float("d", 1.0), a.float("weight_decay", 0.0));
                let options = AdafactorOptions { lr, beta2_decay, eps: (Some(eps[0]), eps[1]), d, weight_decay };
                let adafactor = Adafactor::new(model, options)?;
                Box::new(if kind[0] { adafactor.maximize() } else { adafactor })
            }
            "muon" => boxed(Muon::new(model, muon_options(a))?, kind),
            "nadam" => boxed(NAdam::new(model, nadam_options(a))?, kind),
            "sparse_adam" => {
                let betas = a.floats("betas", [0.9, 0.999]).into();
                let options = SparseAdamOptions { lr: a.float("lr", 1e-3), betas, eps: a.float("eps", 1e-8) };
                boxed(SparseAdam::new(model, options)?, kind)
            }
            "radam" => {
                let NAdamOptions { betas, eps, weight_decay, decoupled_weight_decay, .. } = nadam_options(a);
                let lr = a.float("lr", 1e-3);
                boxed(RAdam::new(model, RAdamOptions { lr, betas, eps, weight_decay, decoupled_weight_decay })?, kind)
            }
            "asgd" => boxed(Asgd::new(model, asgd_options(a))?, kind),
            "rprop" => {
                let (etas, sizes) = (a.floats("etas", [0.5, 1.2]), a.floats("step_sizes", [1e-6, 50.0]));
                let options = RpropOptions { lr: a.float("lr", 1e-2), etas: etas.into(), step_sizes: sizes.into() };
                boxed(Rprop::new(model, options)?, kind)
            }
            "adamax" => {
                let NAdamOptions { lr, betas, eps, weight_decay, .. } = nadam_options(a);
                boxed(Adamax::new(model, AdamaxOptions { lr, betas, eps, weight_decay })?, kind)
            }
            other => panic!("the crate has no optimizer `{other}`"),
        })
    })();
    made.expect("the options are in range")
}

fn boxed<R: Rule>(mut optimizer: Stepper<R>, [maximize, defined]: [bool; 2]) -> Box<dyn Optimizer> {
    if maximize {
        optimizer = optimizer.maximize();
    }
    Box::new(if defined { optimizer.by_definition() } else { optimizer })
}

fn sgd_options(a: &Attrs) -> SgdOptions {
    let momentum = match (a.float("momentum", 0.0), a.flag("nesterov", false)) {
        (0.0, false) => Momentum::None,
        (momentum, false) => Momentum::HeavyBall(momentum),
        (momentum, true) => Momentum::Nesterov(momentum),
    };
    let (lr, dampening) = (a.float("lr", 1e-3), a.float("dampening", 0.0));
    SgdOptions { lr, momentum, dampening, weight_decay: a.float("weight_decay", 0.0) }
}

fn adam_options<const DECOUPLED: bool>(a: &Attrs) -> AdamFamily<DECOUPLED> {
    let betas = a.floats("betas", [0.9, 0.999]).into();
    let weight_decay = a.float("weight_decay", AdamFamily::<DECOUPLED>::default().weight_decay);
    let second_moment = if a.flag("amsgrad", false) { SecondMoment::Largest } else { SecondMoment::Last };
    AdamFamily {
        lr: a.float("lr", 1e-3),
        betas,
        eps: a.float("eps", 1e-8),
        weight_decay,
        second_moment,
        ..AdamFamily::default()
    }
}

fn nadam_options(a: &Attrs) -> NAdamOptions {
    NAdamOptions {
        lr: a.float("lr", 2e-3),
        betas: a.floats("betas", [0.9, 0.999]).into(),
        eps: a.float("eps", 1e-8),
        weight_decay: a.float("weight_decay", 0.0),
        momentum_decay: a.float("momentum_decay", 4e-3),
        decoupled_weight_decay: a.flag("decoupled_weight_decay", false),
    }
}

fn asgd_options(a: &Attrs) -> AsgdOptions {
    AsgdOptions {
        lr: a.float("lr", 1e-2),
        lambd: a.float("lambd", 1e-4),
        alpha: a.float("alpha", 0.75),
        t0: a.float("t0", 1e6),
        weight_decay: a.float("weight_decay", 0.0),
    }
}

fn muon_options(a: &Attrs) -> MuonOptions {
    let rate = match &*a.text("adjust_lr_fn", "original") {
        "match_rms_adamw" => MuonRate::MatchRmsAdamW,
        "spectral_unclamped" => MuonRate::SpectralUnclamped,
        _ => MuonRate::Original,
    };
    MuonOptions {
        lr: a.float("lr", 1e-3),
        weight_decay: a.float("weight_decay", 0.1),
        momentum: a.float("momentum", 0.95),
        nesterov: a.flag("nesterov", true),
        ns_steps: a.size("ns_steps").unwrap_or(5),
        ns_coefficients: a.floats("ns_coefficients", [3.4445, -4.775, 2.0315]).into(),
        rate,
        ..MuonOptions::default()
    }
}

fn rmsprop_options(a: &Attrs) -> RmsPropOptions {
    RmsPropOptions {
        lr: a.float("lr", 1e-2),
        alpha: a.float("alpha", 0.99),
        eps: a.float("eps", 1e-8),
        weight_decay: a.float("weight_decay", 0.0),
        momentum: a.float("momentum", 0.0),
        centering: if a.flag("centered", false) { Centering::Mean } else { Centering::None },
    }
}

fn adagrad_options(a: &Attrs) -> AdagradOptions {
    AdagradOptions {
        lr: a.float("lr", 1e-2),
        lr_decay: a.float("lr_decay", 0.0),
        weight_decay: a.float("weight_decay", 0.0),
        initial_accumulator_value: a.float("initial_accumulator_value", 0.0),
        eps: a.float("eps", 1e-10),
    }
}

fn adadelta_options(a: &Attrs) -> AdadeltaOptions {
    AdadeltaOptions {
        lr: a.float("lr", 1.0),
        rho: a.float("rho", 0.9),
        eps: a.float("eps", 1e-6),
        weight_decay: a.float("weight_decay", 0.0),
    }
}

/// The parameter after each step with the file's gradients: by the fused kernels, and by the rule's definition.
pub fn steps(t: &Trial, name: &str) -> Vec<(String, Tensor)> {
    let of = |defined: bool| {
        let parameter = Parameter::new(t.input("param").copy());
        let mut optimizer = of_kind(name, t.attrs(), &parameter, defined);
        let mut replay = Replay::new();
        let after: Vec<Tensor> =
            gradients(t).map(|grad| step(t, &mut replay, &parameter, &grad, optimizer.as_mut())).collect();
        ("out".into(), Tensor::stack(&after.iter().collect::<Vec<_>>(), 0))
    };
    [false, true].map(of).into()
}

/// The gradient of each step, in memory of the same form.
fn gradients(t: &Trial) -> impl Iterator<Item = Tensor> {
    let (way, grads) = (t.way(), t.input("grads").clone());
    (0..grads.size(0)).map(move |step| {
        let grad = grads.narrow(0, step, 1).squeeze(0);
        if way == Way::Replayed { grad.copy() } else { grad }
    })
}

/// The parameter after a step with this gradient.
fn step(t: &Trial, replay: &mut Replay, parameter: &Parameter, grad: &Tensor, optimizer: &mut dyn Optimizer) -> Tensor {
    t.way().step(replay, grad, |grad| {
        // The gradient of this sum is the file's, to the bit.
        let loss = parameter.tensor().mul(grad).sum();
        optimizer.step(&loss.backward());
        loss
    });
    parameter.tensor().detach().copy()
}

/// A table after each step with the file's gradients of the rows that it takes.
pub fn rows(t: &Trial) -> Vec<(String, Tensor)> {
    let (a, ids, grads) = (t.attrs(), t.input("ids"), t.input("grads"));
    let padding = a.size("padding_idx").map(|row| row as i32);
    let of = |defined: bool| {
        let table = Parameter::new(t.input("param").copy());
        let mut optimizer = of_kind(&a.text("optimizer", ""), a, &table, defined);
        let (mut replay, mut after) = (Replay::new(), Vec::new());
        for at in 0..grads.size(0) {
            let [ids, grad] = [ids, grads].map(|all| all.narrow(0, at, 1).squeeze(0).copy());
            t.way().step(&mut replay, [&ids, &grad], |[ids, grad]| {
                let rows = table
                    .tensor()
                    .embedding_with(ids, &EmbeddingOptions { padding, sparse: true, ..EmbeddingOptions::default() });
                let loss = rows.mul(grad).sum();
                optimizer.step(&loss.backward());
                loss
            });
            after.push(table.tensor().detach().copy());
        }
        ("out".into(), Tensor::stack(&after.iter().collect::<Vec<_>>(), 0))
    };
    [false, true].map(of).into()
}

/// Steps down the valley of Rosenbrock and a bowl.
pub fn lbfgs(t: &Trial) -> Vec<(String, Tensor)> {
    let a = t.attrs();
    let parameter = Parameter::new(t.input("param").copy());
    let options = LbfgsOptions {
        lr: a.float("lr", 1.0),
        max_iter: a.size("max_iter").unwrap_or(20),
        history_size: a.size("history_size").unwrap_or(100),
        tolerance_grad: a.double("tolerance_grad", 1e-7),
        strong_wolfe: a.text("line_search_fn", "") == "strong_wolfe",
        ..LbfgsOptions::default()
    };
    let mut optimizer = Lbfgs::new(&parameter, options).expect("the options are in range");
    let scale = t.input("scale").clone();
    let mut after = Vec::new();
    for _ in 0..a.size("steps").unwrap_or(1) {
        let loss = || {
            let x = parameter.tensor();
            let (first, last) = (x.narrow(0, 0, x.size(0) - 1), x.narrow(0, 1, x.size(0) - 1));
            let loss = ((&last - first.square()).square() * &scale).sum() + (1.0 - first).square().sum();
            if a.flag("maximize", false) { -loss } else { loss }
        };
        optimizer.step(loss).expect("the device works");
        after.push(parameter.tensor().detach().copy());
    }
    vec![("out".into(), Tensor::stack(&after.iter().collect::<Vec<_>>(), 0))]
}

pub fn sgd(t: &Trial) -> Vec<(String, Tensor)> {
    steps(t, "sgd")
}

pub fn adam(t: &Trial) -> Vec<(String, Tensor)> {
    steps(t, "adam")
}

pub fn adamw(t: &Trial) -> Vec<(String, Tensor)> {
    steps(t, "adamw")
}

pub fn rmsprop(t: &Trial) -> Vec<(String, Tensor)> {
    steps(t, "rmsprop")
}

pub fn adagrad(t: &Trial) -> Vec<(String, Tensor)> {
    steps(t, "adagrad")
}

pub fn adadelta(t: &Trial) -> Vec<(String, Tensor)> {
    steps(t, "adadelta")
}

/// The parameter after each step of a cycle of rates and momenta, and these momenta.
pub fn one_cycle(t: &Trial) -> Vec<(String, Tensor)> {
    let a = t.attrs();
    let parameter = Parameter::new(t.input("param").clone());
    let mut optimizer = optimizer(&a.text("optimizer", "sgd"), a, &parameter);
    let schedule = OneCycleLr {
        phases: if a.flag("three_phase", false) { Phases::Three } else { Phases::Two },
        ..OneCycleLr::new(a.double("max_lr", f64::NAN), t.input("grads").size(0) as u64)
    };
    let mut scheduler = Scheduler::new(schedule, optimizer.as_mut()).expect("the rates are numbers");
    let (mut after, mut momenta, mut replay) = (Vec::new(), Vec::new(), Replay::new());
    for grad in gradients(t) {
        momenta.push(optimizer.momentum().expect("it has one"));
        after.push(step(t, &mut replay, &parameter, &grad, optimizer.as_mut()));
        scheduler.step(optimizer.as_mut()).expect("the rates are numbers");
    }
    let momenta = Tensor::from_slice(&momenta, [momenta.len()], t.device());
    vec![("out.0".into(), Tensor::stack(&after.iter().collect::<Vec<_>>(), 0)), ("out.1".into(), momenta)]
}

/// Parameters `0`, `1` ..
struct Numbered(Vec<Parameter>);

impl Module for Numbered {
    fn visit(&self, visitor: &mut Visitor) {
        self.0.iter().enumerate().for_each(|(i, parameter)| visitor.parameter(&i.to_string(), parameter));
    }
}

/// A step of rate 1 from 0 with the file's gradients ends where they are after clipping, with another sign; the norm comes
/// last.
pub fn clip_grad_norm(t: &Trial) -> Vec<(String, Tensor)> {
    let gradients = t.list();
    let model = Numbered(gradients.iter().map(|g| Parameter::new(g.zeros_like())).collect());
    let sgd = Sgd::new(&model, SgdOptions { lr: 1.0, ..SgdOptions::default() });
    let clipped = sgd.and_then(|sgd| {
        let (most, order) = (
            t.attrs().float("max_norm", f32::NAN),
            match t.attrs().is_word("norm_type", "inf") {
                true => f32::INFINITY,
                false => t.attrs().float("norm_type", 2.0),
            },
        );
        if order == 2.0 { sgd.clip_grad_norm(most) } else { sgd.clip_grad_norm_of(most, order) }
    });
    let mut sgd = clipped.expect("the options are in range");
    let mut step = |replay: &mut Replay, gradients: &[&Tensor]| {
        t.way().step(replay, gradients, |own| {
            let losses = model.0.iter().zip(own).map(|(p, g)| p.tensor().mul(g).sum());
            let loss = losses.reduce(|a, b| a.add(&b)).expect("there are gradients");
            sgd.step(&loss.backward());
            loss
        })
    };
    let mut replay = Replay::new();
    if t.way() == Way::Replayed {
        // Captured on zeros, after which the parameters are still 0.
        let zeros: Vec<Tensor> = gradients.iter().map(|g| g.zeros_like()).collect();
        step(&mut replay, &zeros.iter().collect::<Vec<_>>());
    }
    step(&mut replay, &gradients);
    let after = model.0.iter().enumerate().map(|(i, p)| (format!("out.{i}"), p.tensor().detach().neg()));
    let norm = sgd.grad_norm().expect("it is clipped by its norm").reshape([1]);
    after.chain([("norm".to_string(), norm)]).collect()
}
