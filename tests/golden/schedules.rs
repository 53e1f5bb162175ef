//! Learning rates, with PyTorch's arguments and defaults.

use crate::trial::Trial;
use wgrad::Tensor;
use wgrad::nn::Parameter;
use wgrad::optim::schedule::{
    Annealing, Better, ConstantLr, CosineAnnealingLr, CosineAnnealingWarmRestarts, CyclicLr, ExponentialLr, LinearLr,
    MultiStepLr, OneCycleLr, Phases, PolynomialLr, ReduceLrOnPlateau, Schedule, Scheduler, StepLr, Threshold, Waves,
};
use wgrad::optim::{Optimizer, Sgd, SgdOptions};

fn whole(t: &Trial, name: &str, default: u64) -> u64 {
    t.attrs().int(name, default as isize) as u64
}

fn schedule(t: &Trial, name: &str) -> Box<dyn Schedule> {
    let a = t.attrs();
    match name {
        "StepLR" => Box::new(StepLr { step_size: whole(t, "step_size", 0), gamma: a.double("gamma", 0.1) }),
        "MultiStepLR" => {
            let milestones = a.list("milestones").expect("MultiStepLR: expected `milestones`");
            let milestones = milestones.into_iter().map(|step| step as u64).collect();
            Box::new(MultiStepLr { milestones, gamma: a.double("gamma", 0.1) })
        }
        "ExponentialLR" => Box::new(ExponentialLr { gamma: a.double("gamma", f64::NAN) }),
        "ConstantLR" => {
            let (factor, total_iters) = (a.double("factor", 1.0 / 3.0), whole(t, "total_iters", 5));
            Box::new(ConstantLr { factor, total_iters })
        }
        "LinearLR" => Box::new(LinearLr {
            start_factor: a.double("start_factor", 1.0 / 3.0),
            end_factor: a.double("end_factor", 1.0),
            total_iters: whole(t, "total_iters", 5),
        }),
        "PolynomialLR" => {
            Box::new(PolynomialLr { total_iters: whole(t, "total_iters", 5), power: a.double("power", 1.0) })
        }
        "CosineAnnealingLR" => {
            Box::new(CosineAnnealingLr { t_max: whole(t, "T_max", 0), eta_min: a.double("eta_min", 0.0) })
        }
        "CosineAnnealingWarmRestarts" => Box::new(CosineAnnealingWarmRestarts {
            t_0: whole(t, "T_0", 0),
            t_mult: whole(t, "T_mult", 1),
            eta_min: a.double("eta_min", 0.0),
        }),
        "OneCycleLR" => {
            a.only("cycle_momentum", false);
            Box::new(OneCycleLr {
                momentum: None,
                pct_start: a.double("pct_start", 0.3),
                anneal_strategy: match a.text("anneal_strategy", "cos").as_str() {
                    "cos" => Annealing::Cos,
                    "linear" => Annealing::Linear,
                    other => panic!("OneCycleLR: no strategy `{other}` is known"),
                },
                div_factor: a.double("div_factor", 25.0),
                final_div_factor: a.double("final_div_factor", 1e4),
                phases: if a.flag("three_phase", false) { Phases::Three } else { Phases::Two },
                ..OneCycleLr::new(a.double("max_lr", f64::NAN), whole(t, "total_steps", 0))
            })
        }
        "CyclicLR" => {
            a.only("cycle_momentum", false);
            Box::new(CyclicLr {
                step_size_up: whole(t, "step_size_up", 2000),
                step_size_down: a.is_told("step_size_down").then(|| whole(t, "step_size_down", 0)),
                mode: match a.text("mode", "triangular").as_str() {
                    "triangular2" => Waves::Halved,
                    "exp_range" => Waves::Falling(a.double("gamma", 1.0)),
                    _ => Waves::Alike,
                },
                momentum: None,
                ..CyclicLr::new(a.double("base_lr", f64::NAN), a.double("max_lr", f64::NAN))
            })
        }
        other => panic!("the crate has no schedule `{other}`"),
    }
}

fn plateau(t: &Trial) -> ReduceLrOnPlateau {
    let a = t.attrs();
    let threshold = a.double("threshold", 1e-4);
    ReduceLrOnPlateau {
        mode: if a.text("mode", "min") == "min" { Better::Smaller } else { Better::Larger },
        factor: a.double("factor", 0.1),
        patience: whole(t, "patience", 10),
        threshold: match a.text("threshold_mode", "rel").as_str() {
            "rel" => Threshold::Relative(threshold),
            _ => Threshold::Absolute(threshold),
        },
        cooldown: whole(t, "cooldown", 0),
        min_lr: a.double("min_lr", 0.0),
        eps: a.double("eps", 1e-8),
        ..ReduceLrOnPlateau::default()
    }
}

/// The rate that is used at each step.
pub fn rates(t: &Trial) -> Tensor {
    let name = t.op().split_once(':').map_or("", |(_, name)| name);
    let parameter = Parameter::new(Tensor::ones([1], t.device()));
    let options = SgdOptions { lr: t.attrs().float("base_lr", f32::NAN), ..SgdOptions::default() };
    let mut sgd = Sgd::new(&parameter, options).expect("the rate is one");
    let mut rates = Vec::new();
    if name == "ReduceLROnPlateau" {
        let mut plateau = plateau(t);
        for measure in t.input("metric").to_vec::<f32>().expect("the device works") {
            rates.push(sgd.lr());
            plateau.step(measure.into(), &mut sgd).expect("the rates are such");
        }
    } else {
        let mut scheduler = Scheduler::new(schedule(t, name), &mut sgd).expect("the rates are such");
        for _ in 0..t.wanted() {
            rates.push(sgd.lr());
            scheduler.step(&mut sgd).expect("the rates are such");
        }
    }
    Tensor::from_slice(&rates, [rates.len()], t.device())
}
