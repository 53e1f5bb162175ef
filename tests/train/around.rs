//! Optimizers around others and averages of equal weights: what they do to the weights, replayed too, and after a load.

use super::rules::panics;
use crate::devices::devices;
use wgrad::data::{Array, DataLoader, LoaderOptions};
use wgrad::nn::{Ctx, Init, Layer, Linear, Module, Parameter, Strictness, Visitor, load_state, state};
use wgrad::optim::schedule::{Annealing, At, Schedule, SwaLr};
use wgrad::optim::{
    Adafactor, AdafactorOptions, Adam, AdamOptions, AdamW, AdamWOptions, Decision, Ema, GradScaler, Lookahead,
    LookaheadOptions, Muon, MuonOptions, Optimizer, Sgd, SgdOptions, Split,
};
use wgrad::plan::Replay;
use wgrad::train::{Outcome, Trainer};
use wgrad::{Device, Reduction, Tensor};

fn value(parameter: &Parameter) -> f32 {
    parameter.tensor().item().expect("the device works")
}

/// Steps down by 1 each, in the order that a loop or replays make them.
fn lookahead(device: &Device, replayed: bool) -> Vec<f32> {
    let parameter = Parameter::new(Tensor::scalar(0.0f32, device).copy());
    let sgd = Sgd::new(&parameter, SgdOptions { lr: 1.0, ..SgdOptions::default() }).expect("options");
    let options = LookaheadOptions { k: 3, alpha: 0.5 };
    let mut optimizer = Lookahead::new(&parameter, sgd, options).expect("options");
    let mut replay = Replay::new();
    let one = Tensor::ones([], device);
    let mut step = |one: &Tensor| {
        let loss = parameter.tensor().mul(one);
        optimizer.step(&loss.backward());
        loss
    };
    let mut after = Vec::new();
    for _ in 0..7 {
        match replayed {
            true => drop(replay.run([&one], |[one]| Ok(step(one))).expect("it is replayed")),
            false => drop(step(&one)),
        }
        after.push(value(&parameter));
    }
    after
}

#[test]
fn lookahead_draws_weights_back() {
    for (name, device) in devices() {
        let want = [-1.0, -2.0, -1.5, -2.5, -3.5, -3.0, -4.0];
        assert_eq!(lookahead(&device, false), want, "on {name}");
        assert_eq!(lookahead(&device, true), want, "replayed on {name}");
    }
}

#[test]
fn lookahead_counts_the_steps_that_are_made_and_goes_on_from_its_state() {
    let device = Device::cpu();
    let new = || {
        let parameter = Parameter::new(Tensor::scalar(0.0f32, &device).copy());
        let sgd = Sgd::new(&parameter, SgdOptions { lr: 1.0, ..SgdOptions::default() }).expect("options");
        let optimizer = Lookahead::new(&parameter, sgd, LookaheadOptions { k: 2, alpha: 0.5 }).expect("options");
        (parameter, optimizer)
    };
    let (parameter, mut optimizer) = new();
    let grads = |parameter: &Parameter| parameter.tensor().sum().backward();
    for flag in [0.0f32, 1.0, 0.0, 1.0] {
        let flag = Tensor::scalar(flag, &device);
        optimizer.step_with(&grads(&parameter), &mut |_| Decision::UpdateIf(flag.clone()));
    }
    optimizer.step_with(&grads(&parameter), &mut |_| Decision::Skip);
    assert_eq!(value(&parameter), -1.0);
    optimizer.step(&grads(&parameter));
    let (other, mut resumed) = new();
    other.tensor().detach().upload(&[value(&parameter)]);
    resumed.load_state(&optimizer.state().expect("the device works")).expect("its own");
    for _ in 0..3 {
        optimizer.step(&grads(&parameter));
        resumed.step(&grads(&other));
        assert_eq!(value(&parameter), value(&other));
    }
    let (_, mut third) = new();
    let mut state = optimizer.state().expect("the device works");
    state.remove("lookahead.steps");
    let error = third.load_state(&state).expect_err("a part is missing").to_string();
    assert_eq!(error, "the optimizer's state has no `lookahead.steps`");
    let none = LookaheadOptions { k: 0, alpha: 0.5 };
    let sgd = Sgd::new(&other, SgdOptions::default()).expect("options");
    assert!(Lookahead::new(&other, sgd, none).is_err());
}

/// A matrix and a bias.
struct Two(Parameter, Parameter);

impl Module for Two {
    fn visit(&self, visitor: &mut Visitor) {
        visitor.parameter("matrix", &self.0);
        visitor.parameter("bias", &self.1);
    }
}

#[test]
fn a_split_gives_each_part_to_its_optimizer() {
    for (name, device) in devices() {
        let model = Linear::new(6, 4, &mut Init::new(0, &device));
        let error = Muon::new(&model, MuonOptions::default()).err().expect("a bias is no matrix").to_string();
        assert!(error.starts_with("Muon: `bias` is [4], and no matrix"), "{error}");
        let new = |model: &dyn Module| {
            Split::new(
                model,
                |_, shape| shape.rank() == 2,
                |part| Muon::new(part, MuonOptions { lr: 0.02, ..MuonOptions::default() }),
                |part| AdamW::new(part, AdamWOptions { lr: 0.1, ..AdamWOptions::default() }),
            )
        };
        let mut optimizer = new(&model).expect("both get parameters");
        assert_eq!(optimizer.lrs(), [0.02, 0.1]);
        let bias = model.bias.as_ref().expect("it has one");
        let loss = || model.weight.tensor().square().sum() + bias.tensor().sum();
        let before = bias.tensor().to_vec::<f32>().expect("the device works");
        let weight = model.weight.tensor().to_vec::<f32>().expect("the device works");
        optimizer.step(&loss().backward());
        // AdamW's first step is its rate, less the decay.
        for (now, before) in bias.tensor().to_vec::<f32>().expect("the device works").iter().zip(before) {
            assert!((now - (before * (1.0 - 0.1 * 0.01) - 0.1)).abs() < 1e-5, "on {name}");
        }
        // Muon's is a matrix whose singular values are all near 1.
        let now = model.weight.tensor().detach();
        let weight = Tensor::from_vec(weight, [4, 6], &device);
        let step = (weight.affine(1.0 - 0.02 * 0.1, 0.0) - &now) / 0.02;
        let gram = step.matmul(&step.t()).to_vec::<f32>().expect("the device works");
        for (at, value) in gram.iter().enumerate() {
            let is_near = if at % 5 == 0 { (0.4..1.6).contains(value) } else { value.abs() < 0.5 };
            assert!(is_near, "on {name}: {gram:?}");
        }
        let state = optimizer.state().expect("the device works");
        let other = Linear::new(6, 4, &mut Init::new(0, &device));
        let mut resumed = new(&other).expect("both get parameters");
        resumed.load_state(&state).expect("its own");
        let error = resumed.set_lrs(&[1.0]).expect_err("one rate for two").to_string();
        assert_eq!(error, "1 learning rates for 2 groups: expected one for each group");
        let all = Split::new(
            &model,
            |_, _| true,
            |part| Muon::new(part, MuonOptions::default()),
            |part| AdamW::new(part, AdamWOptions::default()),
        );
        assert!(all.is_err());
        let two = Two(Parameter::new(Tensor::ones([2, 2], &device)), Parameter::new(Tensor::ones([2], &device)));
        assert!(new(&two).is_ok());
    }
}

fn two(device: &Device) -> Two {
    Two(Parameter::new(Tensor::ones([2, 2], device)), Parameter::new(Tensor::ones([2], device)))
}

fn first(parameter: &Parameter) -> f32 {
    parameter.tensor().to_vec::<f32>().expect("the device works")[0]
}

/// Plain steps of the matrix by 1.
fn down(part: &dyn Module) -> wgrad::Result<Sgd> {
    Sgd::new(part, SgdOptions { lr: 1.0, ..SgdOptions::default() })
}

/// The first element of each part after each step under a loss scale; the gradients of the bias are infinite in the second.
fn guarded<B: Optimizer>(
    device: &Device,
    replayed: bool,
    second: impl Fn(&dyn Module) -> wgrad::Result<B>,
) -> Vec<[f32; 2]> {
    let two = two(device);
    let mut optimizer = Split::new(&two, |path, _| path == "matrix", down, second).expect("both get parameters");
    let scaler = GradScaler::new(device);
    let mut replay = Replay::new();
    let mut after = Vec::new();
    for factor in [1.0, f32::INFINITY, 1.0] {
        let factor = Tensor::from_slice(&[factor], [], device);
        let mut work = |factor: &Tensor| {
            let loss = two.0.tensor().sum() + two.1.tensor().sum() * factor;
            scaler.step(&mut optimizer, &scaler.scale(&loss).backward());
            scaler.update();
            Ok(())
        };
        if replayed { replay.run(&factor, work) } else { work(&factor) }.expect("it can be replayed");
        after.push([first(&two.0), first(&two.1)]);
    }
    assert_eq!((scaler.skipped(), scaler.current_scale()), (Ok(1), Ok(32768.0)));
    after
}

/// The second of two weights after each of its steps; it joins the first after four of these, of which so many are given up.
fn joined_late(device: &Device, lost: usize, replayed: bool, resumed: bool) -> Vec<f32> {
    let made = || {
        let two = two(device);
        let adam =
            Adam::new(&two, AdamOptions { lr: 0.1, ..AdamOptions::default() }).expect("options").skip_nonfinite();
        (two, adam)
    };
    let (mut two, mut adam) = made();
    let mut replays = [Replay::new(), Replay::new()];
    let mut after = Vec::new();
    for step in 0..8 {
        if resumed && step == 6 {
            let (weights, state) = (state(&two).expect("it is read"), adam.state().expect("it is read"));
            (two, adam) = made();
            load_state(&two, &weights, Strictness::Strict).expect("it fits");
            adam.load_state(&state).expect("it fits");
            replays = [Replay::new(), Replay::new()];
        }
        let factor = if step < lost { f32::INFINITY } else { 0.5 };
        let slope = if step == 4 { 1.0 } else { 0.1 };
        let numbers = Tensor::from_slice(&[factor, slope], [2], device);
        let mut work = |numbers: &Tensor| {
            let first = two.0.tensor().sum() * numbers.i(0);
            let loss = if step < 4 { first } else { first + two.1.tensor().sum() * numbers.i(1) };
            adam.step(&loss.backward());
            Ok(())
        };
        let replay = &mut replays[usize::from(step >= 4)];
        if replayed { replay.run(&numbers, work) } else { work(&numbers) }.expect("it can be replayed");
        if step >= 4 {
            after.push(first(&two.1));
        }
    }
    after
}

#[test]
fn steps_given_up_count_for_those_that_they_would_have_moved() {
    for (name, device) in devices() {
        for lost in [0, 2] {
            for (replayed, resumed) in [(false, false), (false, true), (true, false), (true, true)] {
                let after = joined_late(&device, lost, replayed, resumed);
                // PyTorch's, of the second alone.
                let want = [0.9, 0.825_916, 0.762_604, 0.705_258];
                let near = after.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-5);
                assert!(near, "{after:?}, not {want:?}, with {lost} given up, on {name}");
            }
        }
    }
}

#[test]
fn lookahead_counts_no_step_that_is_given_up_within() {
    for (name, device) in devices() {
        for replayed in [false, true] {
            let weight = Parameter::new(Tensor::ones([1], &device));
            let sgd = Sgd::new(&weight, SgdOptions { lr: 0.1, ..SgdOptions::default() }).expect("options");
            let options = LookaheadOptions { k: 3, alpha: 0.5 };
            let mut optimizer = Lookahead::new(&weight, sgd.skip_nonfinite(), options).expect("options");
            let mut replay = Replay::new();
            let mut after = Vec::new();
            for factor in [1.0, f32::NAN, 1.0, 1.0, f32::NAN] {
                let factor = Tensor::from_slice(&[factor], [1], &device);
                let mut work = |factor: &Tensor| {
                    optimizer.step(&(weight.tensor() * factor).sum().backward());
                    Ok(())
                };
                if replayed { replay.run(&factor, work) } else { work(&factor) }.expect("it can be replayed");
                after.push(first(&weight));
            }
            assert_eq!(after, [0.9, 0.9, 0.79999995, 0.84999996, 0.84999996], "on {name}, replayed: {replayed}");
        }
    }
}

#[test]
fn a_split_moves_both_parts_or_none() {
    for (name, device) in devices() {
        for replayed in [false, true] {
            let after = guarded(&device, replayed, down);
            assert_eq!(after, [[0.0; 2], [0.0; 2], [-1.0; 2]], "on {name}, replayed: {replayed}");
        }
        // Adafactor, which is no rule, too; its matrix comes first.
        let adafactor = |part: &dyn Module| Adafactor::new(part, AdafactorOptions::default());
        let after = guarded(&device, false, adafactor);
        assert_eq!(guarded(&device, true, adafactor), after, "on {name}");
        let [a, b, c] = after[..] else { panic!("three steps") };
        assert_eq!((a[0], b, c[0]), (0.0, a, -1.0), "on {name}");
        assert!(1.0 > a[1] && a[1] > c[1], "on {name}: {after:?}");
    }
}

#[test]
fn a_split_asks_once_about_the_gradients_of_both() {
    let device = Device::cpu();
    let two = two(&device);
    let mut optimizer = Split::new(&two, |path, _| path == "matrix", down, down).expect("both get parameters");
    let mut seen = Vec::new();
    let mut step = |loss: Tensor, decision: Decision| {
        optimizer.step_with(&loss.backward(), &mut |buckets| {
            seen.push(buckets.iter().map(|bucket| bucket.sum().item().expect("the device works")).sum::<f32>());
            decision.clone()
        });
        [first(&two.0), first(&two.1)]
    };
    let both = || two.0.tensor().sum() + two.1.tensor().sum();
    assert_eq!(step(both(), Decision::Skip), [1.0, 1.0]);
    assert_eq!(step(both(), Decision::Update), [0.0, 0.0]);
    assert_eq!(step(two.0.tensor().sum(), Decision::Update), [-1.0, 0.0]);
    assert_eq!(step(two.1.tensor().sum(), Decision::Update), [-1.0, -1.0]);
    assert_eq!(seen, [6.0, 6.0, 4.0, 2.0]);
}

#[test]
fn a_part_without_gradient_stays() {
    for (name, device) in devices() {
        let two = two(&device);
        let mut optimizer = Split::new(&two, |path, _| path == "matrix", down, down).expect("both get parameters");
        optimizer.step(&two.1.tensor().sum().backward());
        assert_eq!([first(&two.0), first(&two.1)], [1.0, 0.0], "on {name}");
        optimizer.step(&two.0.tensor().sum().backward());
        assert_eq!([first(&two.0), first(&two.1)], [0.0, 0.0], "on {name}");
        let other = Tensor::ones([2], &device).requires_grad();
        let text = panics(|| optimizer.step(&other.sum().backward()));
        assert_eq!(text, "Split: there is no gradient for any parameter of its two optimizers");
    }
}

#[test]
fn equal_weights_are_averaged_and_kept() {
    for (name, device) in devices() {
        let parameter = Parameter::new(Tensor::scalar(9.0f32, &device).copy());
        let mut average = Ema::equal(&parameter).expect("it has a parameter");
        let mut replay = Replay::new();
        let one = Tensor::ones([], &device);
        for step in 1..=4 {
            let updated = replay.run([&one], |[one]| {
                let weights = parameter.tensor().detach();
                weights.assign(&(&weights + one));
                average.update();
                Ok(one.copy())
            });
            updated.expect("it is replayed");
            assert_eq!(value(&parameter), 9.0 + step as f32);
        }
        average.swap();
        assert_eq!(value(&parameter), 11.5, "on {name}");
        average.swap();
        let state = average.state().expect("the device works");
        let mut other = Ema::equal(&parameter).expect("it has a parameter");
        other.load_state(&state).expect("its own");
        parameter.tensor().detach().upload(&[1.5f32]);
        other.update();
        other.swap();
        assert_eq!(value(&parameter), 9.5, "on {name}");
    }
}

#[test]
fn the_rate_of_averages_is_pytorchs() {
    let schedule = SwaLr { swa_lr: 0.05, anneal_steps: 4, annealing: Annealing::Linear };
    // Each from the rate before.
    let mut last = 0.25;
    let mut next = |step: u64| {
        last = schedule.rate(At { step, base: 0.25, last });
        last
    };
    let rates: Vec<f64> = (0..6).map(&mut next).collect();
    let want = [0.25, 0.2, 0.15, 0.1, 0.05, 0.05];
    assert!(rates.iter().zip(want).all(|(rate, want)| (rate - want).abs() < 1e-12), "{rates:?}");
    let cosine = SwaLr { anneal_steps: 4, ..SwaLr::new(0.05) };
    assert_eq!(SwaLr::new(0.05).anneal_steps, 10);
    assert!((cosine.rate(At { step: 1, base: 0.25, last: 0.25 }) - 0.220_710_678).abs() < 1e-8);
}

#[test]
fn a_run_goes_on_past_a_batch_that_its_step_gives_up() {
    for (name, device) in devices() {
        let model = Linear::new(1, 1, &mut Init::new(3, &device));
        let sgd = SgdOptions { lr: 0.05, ..SgdOptions::default() };
        let item = |i: usize| {
            let x = if i == 5 { f32::NAN } else { (i as f32 * 0.7).sin() };
            (Array::new(vec![x], [1]), Array::new(vec![x * 2.0], [1]))
        };
        let options = LoaderOptions { batch_size: 4, ..LoaderOptions::default() };
        let loader = DataLoader::new((0..22).map(item).collect::<Vec<_>>(), options).expect("options");
        let run = |skips: bool| {
            let sgd = Sgd::new(&model, sgd).expect("options");
            let step =
                |[x, y]: [&Tensor; 2], ctx: &Ctx| Ok(Outcome::of(model.forward(x, ctx).mse_loss(y, Reduction::Mean)));
            let sgd = if skips { sgd.skip_nonfinite() } else { sgd };
            Trainer::new(&device, &model, sgd, step).epochs(3).grad_norm().fit(&loader, None)
        };
        let history = run(true).expect("it goes on");
        let of = |figure: &str| -> Vec<f64> {
            history.epochs.iter().map(|epoch| epoch.figures.get(figure).expect("it is told")).collect()
        };
        let (losses, norms) = (of("loss"), of("grad_norm"));
        assert!(losses.iter().chain(&norms).all(|figure| figure.is_finite() && *figure > 0.0), "{losses:?} on {name}");
        assert!(losses[2] < losses[0] * 0.8, "{losses:?} on {name}");
        let told = run(false).expect_err("the weights are lost");
        assert!(told.to_string().contains("the loss became NaN in epoch 1"), "{told}");
    }
}
