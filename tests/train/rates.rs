//! Schedules at the ends of their arguments' ranges, and rates that a saved run keeps.

use super::trainer::{loader, network, outcome};
use crate::devices::devices;
use std::path::Path;
use wgrad::nn::{Ctx, Init, Linear, StateDict, state};
use wgrad::optim::schedule::{
    Annealing, Better, ChainedLr, ConstantLr, CosineAnnealingLr, CosineAnnealingWarmRestarts, ExponentialLr, LambdaLr,
    LinearLr, MultiStepLr, OneCycleLr, PerGroup, PolynomialLr, ReduceLrOnPlateau, Schedule, Scheduler, SequentialLr,
    StepLr, SwaLr, Threshold,
};
use wgrad::optim::{Momentum, Optimizer, Sgd, SgdOptions};
use wgrad::train::{Checkpoints, Outcome, Trainer};
use wgrad::{Device, Error, Tensor};

fn sgd(lr: f32) -> Sgd {
    let model = Linear::new(2, 1, &mut Init::new(0, &Device::cpu()));
    let options = SgdOptions { lr, momentum: Momentum::HeavyBall(0.9), ..SgdOptions::default() };
    Sgd::new(&model, options).expect("the options are in range")
}

/// The rates of the first steps from a base of 1.
fn rates(schedule: impl Schedule + 'static, steps: usize) -> Vec<f32> {
    let mut optimizer = sgd(1.0);
    let mut scheduler = Scheduler::new(schedule, &mut optimizer).expect("its arguments fit");
    let mut rates = vec![optimizer.lr()];
    for _ in 1..steps {
        scheduler.step(&mut optimizer).expect("it gives rates");
        rates.push(optimizer.lr());
    }
    rates
}

fn near(got: &[f32], want: &[f32]) {
    assert!(
        got.len() == want.len() && got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-6),
        "{got:?}, not {want:?}"
    );
}

#[test]
fn limits_with_a_meaning_are_taken() {
    let steep = OneCycleLr { pct_start: 0.1, ..OneCycleLr::new(1.0, 10) };
    let cycle = rates(steep, 10);
    assert!(cycle[0] == 1.0 && cycle.windows(2).all(|pair| pair[1] < pair[0]), "{cycle:?}");
    near(&cycle[9..], &[1.0 / 25.0 / 1e4]);
    near(&rates(ConstantLr { factor: 0.0, total_iters: 2 }, 4), &[0.0, 0.0, 1.0, 1.0]);
    let warm_up = LinearLr { start_factor: 0.0, end_factor: 1.0, total_iters: 4 };
    near(&rates(warm_up, 6), &[0.0, 0.25, 0.5, 0.75, 1.0, 1.0]);
    near(&rates(LinearLr { total_iters: 0, ..warm_up }, 2), &[1.0, 1.0]);
    let joined = SequentialLr::new().until(4, warm_up).then(ExponentialLr { gamma: 0.5 });
    near(&rates(joined, 7), &[0.0, 0.25, 0.5, 0.75, 1.0, 0.5, 0.25]);
    near(&rates(ExponentialLr { gamma: 0.0 }, 3), &[1.0, 0.0, 0.0]);
    near(&rates(CosineAnnealingLr { t_max: 2, eta_min: 0.0 }, 7), &[1.0, 0.5, 0.0, 0.5, 1.0, 0.5, 0.0]);
    near(&rates(CosineAnnealingLr { t_max: 1, eta_min: 0.0 }, 4), &[1.0, 0.0, 1.0, 0.0]);
    near(&rates(CosineAnnealingWarmRestarts { t_0: 2, t_mult: 1, eta_min: 0.0 }, 5), &[1.0, 0.5, 1.0, 0.5, 1.0]);
    // Steps by the billion overflow nothing.
    let long = CosineAnnealingWarmRestarts { t_0: 1, t_mult: u64::MAX, eta_min: 0.0 };
    near(&rates(long, 3), &[1.0, 1.0, 1.0]);
    near(&rates(CosineAnnealingLr { t_max: u64::MAX, eta_min: 0.0 }, 3), &[1.0, 1.0, 1.0]);
}

#[test]
fn arguments_are_checked_when_a_schedule_is_made() {
    let refused = |schedule: Box<dyn Schedule>, part: &str| {
        let mut optimizer = sgd(0.5);
        match Scheduler::new(schedule, &mut optimizer) {
            Err(Error::Option(text)) => assert!(text.contains(part), "{text} lacks {part}"),
            other => panic!("{part}: {:?}", other.map(|scheduler| scheduler.rates().to_vec())),
        }
        assert_eq!(optimizer.lr(), 0.5, "{part}: the rate was set");
    };
    let nan = f64::NAN;
    refused(Box::new(StepLr { step_size: 0, gamma: 0.1 }), "StepLr: step_size: 0 is not a number of steps from 1 up");
    refused(Box::new(StepLr { step_size: 1, gamma: nan }), "StepLr: gamma: NaN is not a number");
    refused(Box::new(MultiStepLr { milestones: vec![1], gamma: nan }), "MultiStepLr: gamma: NaN");
    refused(Box::new(ExponentialLr { gamma: f64::INFINITY }), "ExponentialLr: gamma: inf");
    refused(Box::new(ConstantLr { factor: -0.5, total_iters: 1 }), "ConstantLr: factor");
    refused(Box::new(LinearLr { start_factor: nan, end_factor: 1.0, total_iters: 1 }), "LinearLr: start_factor");
    refused(Box::new(LinearLr { start_factor: 0.5, end_factor: -1.0, total_iters: 1 }), "LinearLr: end_factor");
    refused(Box::new(PolynomialLr { total_iters: 0, power: 1.0 }), "PolynomialLr: total_iters");
    refused(Box::new(PolynomialLr { total_iters: 5, power: -1.0 }), "PolynomialLr: power");
    refused(Box::new(CosineAnnealingLr { t_max: 0, eta_min: 0.0 }), "CosineAnnealingLr: t_max");
    refused(Box::new(CosineAnnealingLr { t_max: 1, eta_min: -1.0 }), "CosineAnnealingLr: eta_min");
    let restarts = CosineAnnealingWarmRestarts { t_0: 2, t_mult: 1, eta_min: 0.0 };
    refused(Box::new(CosineAnnealingWarmRestarts { t_0: 0, ..restarts }), "CosineAnnealingWarmRestarts: t_0");
    refused(Box::new(CosineAnnealingWarmRestarts { t_mult: 0, ..restarts }), "CosineAnnealingWarmRestarts: t_mult");
    let cycle = OneCycleLr::new(1.0, 10);
    refused(Box::new(OneCycleLr { total_steps: 0, ..cycle }), "OneCycleLr: total_steps");
    refused(Box::new(OneCycleLr { pct_start: 1.5, ..cycle }), "OneCycleLr: pct_start: 1.5 is not in 0..=1");
    refused(Box::new(OneCycleLr { div_factor: 0.0, ..cycle }), "OneCycleLr: div_factor");
    refused(Box::new(OneCycleLr { final_div_factor: nan, ..cycle }), "OneCycleLr: final_div_factor");
    refused(
        Box::new(OneCycleLr { max_lr: nan, ..cycle }),
        "learning rate: OneCycleLr's max_lr: NaN is not a number from 0 up",
    );
    refused(Box::new(OneCycleLr { momentum: Some((-0.1, 0.9)), ..cycle }), "OneCycleLr: momentum");
    // Parts are asked too.
    let broken = StepLr { step_size: 0, gamma: 0.1 };
    refused(Box::new(SequentialLr::new().until(2, ExponentialLr { gamma: 0.5 }).then(broken)), "step_size");
    refused(Box::new(ChainedLr::new().and(broken)), "step_size");
    let back = SequentialLr::new().until(5, ExponentialLr { gamma: 0.5 }).until(3, ExponentialLr { gamma: 0.5 });
    refused(Box::new(back), "a part until 3 cannot follow one until 5");
}

#[test]
fn a_plateau_is_seen_whatever_the_sign() {
    let falls = [0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.001, 0.001];
    for (mode, threshold) in [
        (Better::Smaller, Threshold::Relative(1e-4)),
        (Better::Larger, Threshold::Relative(1e-4)),
        (Better::Smaller, Threshold::Absolute(1e-4)),
        (Better::Larger, Threshold::Absolute(1e-4)),
    ] {
        for measure in [1.0, -1.0, 0.0] {
            let mut optimizer = sgd(0.1);
            let mut plateau = ReduceLrOnPlateau { mode, threshold, patience: 2, ..ReduceLrOnPlateau::default() };
            let step = |_| {
                plateau.step(measure, &mut optimizer).expect("its fields are in range");
                optimizer.lr()
            };
            near(&falls.map(step), &falls);
        }
    }
    let mut optimizer = sgd(0.1);
    for (wrong, part) in [
        (ReduceLrOnPlateau { factor: 1.0, ..ReduceLrOnPlateau::default() }, "factor: 1 is not in 0..1"),
        (ReduceLrOnPlateau { factor: f64::NAN, ..ReduceLrOnPlateau::default() }, "factor: NaN"),
        (ReduceLrOnPlateau { min_lr: -1.0, ..ReduceLrOnPlateau::default() }, "min_lr"),
    ] {
        let Err(Error::Option(text)) = { wrong }.step(1.0, &mut optimizer) else { panic!("{part} went in") };
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn a_plateau_asks_for_what_is_better_by_more_than_the_threshold() {
    let (relative, absolute) = (Threshold::Relative(0.25), Threshold::Absolute(0.25));
    let plain = ReduceLrOnPlateau { patience: 0, factor: 0.5, ..ReduceLrOnPlateau::default() };
    for (mode, threshold, [first, edge, beyond]) in [
        (Better::Smaller, relative, [1.0, 0.75, 0.5]),
        (Better::Smaller, relative, [-1.0, -1.25, -1.5]),
        (Better::Smaller, absolute, [1.0, 0.75, 0.5]),
        (Better::Larger, relative, [1.0, 1.25, 1.5]),
        (Better::Larger, relative, [-1.0, -0.75, -0.5]),
        (Better::Larger, absolute, [1.0, 1.25, 1.5]),
    ] {
        let mut optimizer = sgd(0.5);
        let mut plateau = ReduceLrOnPlateau { mode, threshold, ..plain };
        for (measure, best, rate) in [(first, first, 0.5), (edge, first, 0.25), (beyond, beyond, 0.25)] {
            plateau.step(measure, &mut optimizer).expect("its fields are in range");
            assert_eq!((plateau.best, optimizer.lr()), (Some(best), rate), "{mode:?} {threshold:?}: {measure}");
        }
    }
    // Nothing is counted for a while after a fall, and a fall that is not worth it is none.
    for (plateau, want) in [
        (ReduceLrOnPlateau { cooldown: 2, ..plain }, [0.5, 0.25, 0.25, 0.25, 0.125]),
        (ReduceLrOnPlateau { eps: 0.25, ..plain }, [0.5; 5]),
    ] {
        let (mut plateau, mut optimizer) = (plateau, sgd(0.5));
        for rate in want {
            plateau.step(1.0, &mut optimizer).expect("its fields are in range");
            assert_eq!(optimizer.lr(), rate, "{plateau:?}");
        }
    }
}

#[test]
fn one_schedule_after_another_sets_the_momentum_in_its_own_steps() {
    let cycle = OneCycleLr::new(1.0, 4);
    let alone: Vec<Option<f64>> = (0..4).map(|step| cycle.momentum(step)).collect();
    assert!(alone[0] == Some(0.95) && alone[1] != alone[0], "{alone:?}");
    let joined = SequentialLr::new().until(2, ExponentialLr { gamma: 0.5 }).until(6, cycle);
    let seen: Vec<Option<f64>> = (0..7).map(|step| joined.momentum(step)).collect();
    assert_eq!(seen, [[None, None].as_slice(), &alone, &[None]].concat());
    // Of several at once the one that has a momentum tells it.
    let chained = ChainedLr::new().and(ExponentialLr { gamma: 0.5 }).and(cycle);
    assert_eq!((0..4).map(|step| chained.momentum(step)).collect::<Vec<_>>(), alone);
}

#[test]
fn a_lowered_rate_is_saved_and_a_schedule_still_starts_from_the_base() {
    let mut optimizer = sgd(0.5);
    optimizer.set_lr(0.1).expect("a rate");
    let state = optimizer.state().expect("the device works");
    let mut resumed = sgd(0.5);
    resumed.load_state(&state).expect("it fits");
    assert_eq!(resumed.lr(), 0.1);
    // In either order of making a scheduler and loading, the run goes on by the rates that it had.
    let wave = CosineAnnealingLr { t_max: 10, eta_min: 0.0 };
    let mut whole = sgd(0.5);
    let mut scheduler = Scheduler::new(wave, &mut whole).expect("its arguments fit");
    for _ in 0..4 {
        scheduler.step(&mut whole).expect("it gives rates");
    }
    let state = whole.state().expect("the device works");
    for load_first in [true, false] {
        let mut resumed = sgd(0.5);
        if load_first {
            resumed.load_state(&state).expect("it fits");
        }
        let mut again = Scheduler::new(wave, &mut resumed).expect("its arguments fit");
        if !load_first {
            resumed.load_state(&state).expect("it fits");
        }
        again.go_to(scheduler.steps(), &mut resumed).expect("it gives rates");
        assert_eq!(resumed.lr(), whole.lr());
    }
}

#[test]
fn a_schedule_goes_on_from_a_rate_that_was_set() {
    let mut optimizer = sgd(0.1);
    let mut scheduler = Scheduler::new(StepLr { step_size: 2, gamma: 0.5 }, &mut optimizer).expect("it fits");
    optimizer.set_lr(0.05).expect("a rate");
    let mut after = Vec::new();
    for _ in 0..4 {
        scheduler.step(&mut optimizer).expect("it gives rates");
        after.push(optimizer.lr());
    }
    near(&after, &[0.05, 0.025, 0.025, 0.0125]);
    // A plateau amid a warm-up, as PyTorch has it.
    let warm_up = LinearLr { start_factor: 0.2, end_factor: 1.0, total_iters: 4 };
    let mut optimizer = sgd(0.5);
    let mut scheduler = Scheduler::new(warm_up, &mut optimizer).expect("it fits");
    let mut plateau = ReduceLrOnPlateau { patience: 0, ..ReduceLrOnPlateau::default() };
    let mut after = vec![optimizer.lr()];
    for measure in [1.0, 2.0, 0.5, 0.25, 0.125] {
        scheduler.step(&mut optimizer).expect("it gives rates");
        plateau.step(measure, &mut optimizer).expect("its fields are in range");
        after.push(optimizer.lr());
    }
    near(&after, &[0.1, 0.2, 0.03, 0.04, 0.05, 0.05]);
    // What is told for each step by itself takes no notice.
    let mut optimizer = sgd(0.5);
    let mut scheduler = Scheduler::new(LambdaLr(|_| 0.5), &mut optimizer).expect("it fits");
    optimizer.set_lr(0.05).expect("a rate");
    scheduler.step(&mut optimizer).expect("it gives rates");
    near(&[optimizer.lr()], &[0.25]);
}

#[test]
fn a_saved_run_goes_on_by_rates_that_were_set() {
    let wave = CosineAnnealingLr { t_max: 50, eta_min: 0.001 };
    let mut optimizer = sgd(0.5);
    let mut own = Scheduler::new(wave, &mut optimizer).expect("it fits");
    for step in 0..20 {
        own.step(&mut optimizer).expect("it gives rates");
        if step == 7 {
            optimizer.set_lr(0.123).expect("a rate");
        }
    }
    let mut resumed = sgd(0.5);
    let mut again = Scheduler::new(wave, &mut resumed).expect("it fits");
    resumed.load_state(&optimizer.state().expect("the device works")).expect("its own");
    again.go_on(own.steps(), own.rates());
    for _ in 0..20 {
        own.step(&mut optimizer).expect("it gives rates");
        again.step(&mut resumed).expect("it gives rates");
        assert_eq!(optimizer.lr().to_bits(), resumed.lr().to_bits());
    }
}

/// A run of a plateau beside a schedule, up to a step; the rates of its epochs and its weights.
fn lowered(device: &Device, folder: &Path, until: u64) -> (Vec<f32>, StateDict) {
    let model = network(device);
    let step = |batch: [&Tensor; 2], ctx: &Ctx| -> wgrad::Result<Outcome> { Ok(outcome(&model, batch, ctx)) };
    let sgd = Sgd::new(&model, SgdOptions { lr: 0.1, ..SgdOptions::default() }).expect("in range");
    let never = Threshold::Absolute(9.0);
    let mut trainer = Trainer::new(device, &model, sgd, step)
        .epochs(4)
        .max_steps(until)
        .schedule(LinearLr { start_factor: 0.5, end_factor: 1.0, total_iters: 6 })
        .plateau("loss", ReduceLrOnPlateau { patience: 0, threshold: never, ..ReduceLrOnPlateau::default() })
        .checkpoints(Checkpoints::in_folder(folder).resume());
    let history = trainer.fit(&loader(64, 0), None).expect("it trains");
    drop(trainer);
    (history.epochs.iter().map(|epoch| epoch.lr).collect(), state(&model).expect("the device works"))
}

#[test]
fn a_plateau_lowers_what_a_schedule_goes_on_from() {
    for (name, device) in devices() {
        let folder = |which: &str| {
            let folder = std::env::temp_dir().join(format!("wgrad-plateau-{which}-{name}-{}", std::process::id()));
            let _ = std::fs::remove_dir_all(&folder);
            folder
        };
        let (whole, parts) = (folder("whole"), folder("parts"));
        let (rates, weights) = lowered(&device, &whole, u64::MAX);
        // Two steps an epoch; the second epoch and the third are no better than the first.
        near(&rates, &[0.2 / 3.0, 0.25 / 3.0, 0.01, 0.001]);
        for until in [3, 4, 5] {
            lowered(&device, &parts, until);
        }
        let (again, same) = lowered(&device, &parts, u64::MAX);
        assert_eq!(again, rates, "on {name}");
        assert_eq!(same, weights, "on {name}");
        for folder in [whole, parts] {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

#[test]
fn each_group_has_a_schedule_of_its_own() {
    let model = Linear::new(2, 1, &mut Init::new(0, &Device::cpu()));
    let sgd = |name: &str, _| SgdOptions { lr: if name == "weight" { 0.5 } else { 0.25 }, ..SgdOptions::default() };
    let cycles = || [0.1, 0.01].map(|most| OneCycleLr { momentum: None, ..OneCycleLr::new(most, 10) });
    let ends = [0.2, 0.02].map(|swa_lr| SwaLr { swa_lr, anneal_steps: 2, annealing: Annealing::Linear });
    // Bare, among others, and boxed.
    let all: [Box<dyn Schedule>; 3] = [
        Box::new(PerGroup::new(cycles())),
        Box::new(ChainedLr::new().and(PerGroup::new(cycles()))),
        Box::new(SequentialLr::new().until(5, PerGroup::new(cycles())).then(PerGroup::new(ends))),
    ];
    for (at, schedule) in all.into_iter().enumerate() {
        let mut optimizer = Sgd::grouped(&model, sgd).expect("good options");
        let mut scheduler = Scheduler::new(schedule, &mut optimizer).expect("good schedules");
        for step in 0..10 {
            let rates = optimizer.lrs();
            assert!((rates[0] - 10.0 * rates[1]).abs() < 1e-6, "{at} in step {step}: {rates:?}");
            let want = [0.004, 0.1].map(|most| (rates[0] - most).abs() < 1e-6);
            assert!((step != 0 || want[0]) && (step != 2 || want[1]), "{at} in step {step}: {rates:?}");
            assert!(at != 2 || step < 7 || rates[0] == 0.2, "{at} in step {step}: {rates:?}");
            scheduler.step(&mut optimizer).expect("they are rates");
        }
    }
    let mut optimizer = Sgd::grouped(&model, sgd).expect("good options");
    assert!(Scheduler::new(PerGroup::<OneCycleLr>::new([]), &mut optimizer).is_err());
}
