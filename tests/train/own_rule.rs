//! A rule, an optimizer and a reduction that are written here, outside of the crate.

use super::rules::panics;
use crate::devices::devices;
use wgrad::autograd::Grads;
use wgrad::nn::{Ctx, Init, Layer, Linear, Module, Parameter, StateDict, Visitor, parameters, state};
use wgrad::optim::schedule::{CosineAnnealingLr, OneCycleLr, Scheduler};
use wgrad::optim::{
    Adam, AdamOptions, Bucket, Decision, Ema, Momentum, Now, Optimizer, Place, Rule, Sgd, SgdOptions, Stepper,
};
use wgrad::plan::Replay;
use wgrad::{Device, Error, Tensor};

/// Yogi (Zaheer et al., 2018): Adam whose second moment grows and falls by as much.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Yogi {
    lr: f32,
    betas: (f32, f32),
}

impl Rule for Yogi {
    const NAME: &'static str = "Yogi";

    fn lr(&self) -> f32 {
        self.lr
    }

    fn momentum(&self) -> Option<f32> {
        Some(self.betas.0)
    }

    fn moments(&self) -> Vec<(&'static str, f32)> {
        vec![("exp_avg", 0.0), ("exp_avg_sq", 1e-6)]
    }

    fn numbers(&self, Now { lr, momentum, steps }: Now) -> Vec<f32> {
        let unbiased = |beta: f32| 1.0 - f64::from(beta).powi(steps as i32);
        vec![(f64::from(lr) / unbiased(momentum)) as f32, unbiased(self.betas.1).sqrt() as f32, momentum]
    }

    fn update(&self, x: &Tensor, gradient: &Tensor, moments: &mut [Tensor], numbers: &[Tensor]) -> Tensor {
        let (square, zero) = (gradient.square(), Tensor::scalar(0.0f32, x.device()));
        let more = &square - &moments[1];
        moments[0] = gradient + (&moments[0] - gradient) * &numbers[2];
        moments[1] = &moments[1] + (more.gt(&zero) - more.lt(&zero)) * square * (1.0 - self.betas.1);
        x - &moments[0] * &numbers[0] / (moments[1].sqrt() / &numbers[1] + 1e-3)
    }
}

const YOGI: Yogi = Yogi { lr: 0.03, betas: (0.9, 0.99) };

/// The same on the host, for one value.
struct ByHand {
    x: f64,
    moments: [f64; 2],
    steps: i32,
}

impl ByHand {
    fn step(&mut self, gradient: f64) {
        let (beta1, beta2) = (f64::from(YOGI.betas.0), f64::from(YOGI.betas.1));
        self.steps += 1;
        let [m, v] = &mut self.moments;
        *m = beta1 * *m + (1.0 - beta1) * gradient;
        *v += (1.0 - beta2) * (gradient * gradient - *v).signum() * gradient * gradient;
        let [first, second] = [beta1, beta2].map(|beta| 1.0 - beta.powi(self.steps));
        self.x -= f64::from(YOGI.lr) / first * *m / ((*v / second).sqrt() + 1e-3);
    }
}

/// Sizes that leave padding between parameters.
struct Two {
    a: Parameter,
    b: Parameter,
}

impl Module for Two {
    fn visit(&self, visitor: &mut Visitor) {
        visitor.parameter("a", &self.a);
        visitor.parameter("b", &self.b);
    }
}

impl Two {
    fn new(device: &Device) -> Two {
        let [a, b] = [3, 130].map(|n| Parameter::new(Tensor::full([n], 0.5f32, device)));
        Two { a, b }
    }

    fn first(&self) -> [f32; 2] {
        [&self.a, &self.b].map(|p| p.tensor().to_vec::<f32>().expect("the device works")[0])
    }
}

#[test]
fn a_rule_moves_each_parameter_by_what_it_has_seen() {
    for (name, device) in devices() {
        let two = Two::new(&device);
        let mut yogi = Stepper::new(&two, YOGI).expect("the options are in range");
        let mut hand = [0, 1].map(|_| ByHand { x: 0.5, moments: [0.0, 1e-6], steps: 0 });
        for step in 0..8 {
            let factor = 1.0 + step as f32 / 4.0;
            let mut loss = two.a.tensor().square().sum() * factor;
            hand[0].step(2.0 * hand[0].x * f64::from(factor));
            if step % 3 == 1 {
                loss += two.b.tensor().sum() * 0.3;
                hand[1].step(0.3f32.into());
            }
            yogi.step(&loss.backward());
            for (got, want) in two.first().iter().zip(&hand) {
                assert!((f64::from(*got) - want.x).abs() < 1e-4, "step {step} on {name}: {got}, not {}", want.x);
            }
        }
    }
}

/// A network that learns a curve, with two groups of parameters, clipping, a schedule of rates, and saved states.
struct Curve {
    layers: [Linear; 2],
    optimizer: Stepper<Yogi>,
    scheduler: Scheduler,
    replay: Option<Replay>,
    device: Device,
}

impl Curve {
    fn new(replayed: bool, device: &Device) -> Curve {
        let init = &mut Init::new(7, device);
        let layers = [Linear::new(1, 21, init), Linear::new(21, 1, init)];
        let of = |_: &str, shape: wgrad::Shape| Yogi { lr: if shape.rank() > 1 { 0.03 } else { 0.01 }, ..YOGI };
        let optimizer = Stepper::grouped(&layers, of).and_then(|yogi| yogi.clip_grad_norm(1.0));
        let mut optimizer = optimizer.expect("the options are in range");
        let schedule = CosineAnnealingLr { t_max: 200, eta_min: 0.0 };
        let scheduler = Scheduler::new(schedule, &mut optimizer).expect("it gives rates");
        let replay = replayed.then(Replay::new);
        Curve { layers, optimizer, scheduler, replay, device: device.clone() }
    }

    fn steps(&mut self, steps: std::ops::Range<usize>) -> Vec<f32> {
        let mut losses = Vec::new();
        for step in steps {
            let x: Vec<f32> = (0..16).map(|i| ((i * 7 + step * 3) % 32) as f32 / 16.0 - 1.0).collect();
            let y: Vec<f32> = x.iter().map(|x| (3.0 * x).sin()).collect();
            let [x, y] = [x, y].map(|all| Tensor::from_vec(all, [16, 1], &self.device));
            let Curve { layers: [first, second], optimizer, .. } = self;
            let mut work = |[x, y]: [&Tensor; 2]| {
                let ctx = Ctx::train();
                let guess = second.forward(&first.forward(x, &ctx).tanh(), &ctx);
                let loss = (guess - y).square().mean();
                optimizer.step(&loss.backward());
                Ok(loss)
            };
            let loss = match &mut self.replay {
                Some(replay) => replay.run([&x, &y], work),
                None => work([&x, &y]),
            };
            losses.push(loss.expect("it can be replayed").item().expect("the device works"));
            self.scheduler.step(&mut self.optimizer).expect("it gives rates");
        }
        losses
    }

    fn saved(&self) -> [StateDict; 2] {
        [state(&self.layers), self.optimizer.state()].map(|state| state.expect("the device works"))
    }
}

#[test]
fn a_rule_learns_eager_and_replayed_and_goes_on_from_its_state() {
    for (name, device) in devices() {
        let [mut eager, mut replayed] = [false, true].map(|replayed| Curve::new(replayed, &device));
        let losses = eager.steps(0..200);
        assert_eq!(replayed.steps(0..100), losses[..100], "on {name}");
        let [weights, moments] = replayed.saved();
        assert_eq!(replayed.steps(100..200), losses[100..], "on {name}");
        assert_eq!(replayed.saved(), eager.saved(), "on {name}");
        let [early, late] = [&losses[..16], &losses[184..]].map(|all| all.iter().sum::<f32>() / 16.0);
        assert!(late < 0.03 && late < early / 10.0, "from {early} to {late} on {name}");

        let mut resumed = Curve::new(true, &device);
        wgrad::nn::load_state(&resumed.layers, &weights, wgrad::nn::Strictness::Strict).expect("they fit");
        resumed.optimizer.load_state(&moments).expect("it fits");
        resumed.scheduler.go_to(100, &mut resumed.optimizer).expect("it gives rates");
        assert_eq!(resumed.steps(100..200), losses[100..], "on {name}");
        assert!(moments.contains_key("rule.Yogi") && moments["lr"].shape == [2], "{:?}", moments.keys());
        assert!(eager.optimizer.grad_norm().expect("it is clipped").item().expect("the device works") > 0.0);

        // Its moments are called as Adam's are.
        let of = |_: &str, shape: wgrad::Shape| AdamOptions { lr: shape.rank() as f32, ..AdamOptions::default() };
        let mut adam = Adam::grouped(&eager.layers, of).expect("the options are in range");
        let Err(Error::Weights(text)) = adam.load_state(&moments) else { panic!("Adam took a state of Yogi's") };
        assert_eq!(text, "the optimizer's state is Yogi's, not Adam's");
        let mut unsaid = moments.clone();
        unsaid.remove("rule.Yogi");
        let mut heavy = Sgd::new(&eager.layers, SgdOptions::default()).expect("the options are in range");
        let Err(Error::Weights(text)) = heavy.load_state(&unsaid) else { panic!("Sgd took a state of Yogi's") };
        assert!(text.contains("`exp_avg.0.bias`, which Sgd does not keep"), "{text}");
    }
}

/// A rule by norms: each parameter moves by the rate along its normalized gradient. It keeps the values from before.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Normalized;

impl Rule for Normalized {
    const NAME: &'static str = "Normalized";

    fn lr(&self) -> f32 {
        0.5
    }

    fn moments(&self) -> Vec<(&'static str, f32)> {
        vec![("before", 0.0), ("same", 3.0)]
    }

    fn by_parameter(&self) -> bool {
        true
    }

    fn update(&self, x: &Tensor, gradient: &Tensor, moments: &mut [Tensor], numbers: &[Tensor]) -> Tensor {
        moments[0] = x.clone();
        x - gradient / gradient.square().sum().sqrt() * &numbers[0]
    }
}

#[test]
fn a_rule_by_parameter_sees_each_in_its_own_shape() {
    for (name, device) in devices() {
        let two = Two::new(&device);
        let mut optimizer = Stepper::new(&two, Normalized).expect("the options are in range");
        for _ in 0..2 {
            optimizer.step(&(two.a.tensor().sum() + two.b.tensor().sum() * 4.0).backward());
        }
        let [a, b] = two.first();
        let want = [0.5 - 2.0 * 0.5 / 3f32.sqrt(), 0.5 - 2.0 * 0.5 / 130f32.sqrt()];
        assert!((a - want[0]).abs() < 1e-5 && (b - want[1]).abs() < 1e-5, "{a} and {b}, not {want:?} on {name}");
        // What was kept are the values from before the last step, not those that took their place.
        let kept = optimizer.state().expect("the device works");
        let first = |name: &str| match &kept[name].values {
            wgrad::nn::Values::F32(all) => all[0],
            other => panic!("{other:?}"),
        };
        assert!((first("before.a") - (0.5 + a) / 2.0).abs() < 1e-5, "{kept:?}");
        assert_eq!(first("same.b"), 3.0);
    }
}

/// Its quick way is not what its definition says, so that one sees which was taken.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Halves;

impl Halves {
    fn quarter(&self, bucket: &Bucket) {
        let Place { first, n, .. } = bucket.place();
        let x = bucket.values().narrow(0, first as usize, n as usize);
        x.assign(&(&x * 0.25));
    }
}

impl Rule for Halves {
    const NAME: &'static str = "Halves";
    const FUSED: Option<fn(&Self, &Bucket)> = Some(Self::quarter);

    fn lr(&self) -> f32 {
        1.0
    }

    fn update(&self, x: &Tensor, _: &Tensor, _: &mut [Tensor], _: &[Tensor]) -> Tensor {
        x * 0.5
    }
}

#[test]
fn a_fused_way_is_taken_where_it_is_not_left_out() {
    for (name, device) in devices() {
        let two = Two::new(&device);
        let made = || Stepper::new(&two, Halves).expect("the options are in range");
        let grads = || two.a.tensor().sum().backward();
        made().step(&grads());
        assert_eq!(two.first(), [0.125, 0.5], "on {name}");
        made().by_definition().step(&grads());
        assert_eq!(two.first(), [0.0625, 0.5], "on {name}");
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Wrong(&'static str);

impl Rule for Wrong {
    const NAME: &'static str = "Wrong";

    fn lr(&self) -> f32 {
        if self.0 == "rate" { -1.0 } else { 1.0 }
    }

    fn moments(&self) -> Vec<(&'static str, f32)> {
        vec![("kept", 0.0), (self.0, 0.0)]
    }

    fn update(&self, x: &Tensor, _: &Tensor, _: &mut [Tensor], _: &[Tensor]) -> Tensor {
        x.sum()
    }
}

#[test]
fn rules_that_do_not_fit_are_told() {
    let two = Two::new(&Device::cpu());
    for name in ["step", "rule", "kept", "of.two"] {
        let text = panics(|| Stepper::new(&two, Wrong(name)).map(drop));
        assert_eq!(text, format!("Wrong: expected another name for the moment `{name}`, without a dot"));
    }
    assert!(
        matches!(Stepper::new(&two, Wrong("rate")), Err(Error::Option(text)) if text.starts_with("learning rate: -1"))
    );
    let mut wrong = Stepper::new(&two, Wrong("other")).expect("nothing is wrong so far");
    let text = panics(|| wrong.step(&two.a.tensor().sum().backward()));
    assert_eq!(text, "Wrong: expected values and moments of [1, 64], got []");
}

/// Makes an optimizer.
type Making<'a> = &'a dyn Fn(&Two) -> Box<dyn Optimizer>;

/// What a step does with these decisions, and what it leaves in a state.
fn decided(two: &Two, optimizer: &mut dyn Optimizer, decision: &Decision) -> StateDict {
    let grads = (two.a.tensor().square().sum() + two.b.tensor().sum()).backward();
    let mut calls = 0;
    optimizer.step_with(&grads, &mut |buckets| {
        calls += 1;
        assert_eq!(buckets.iter().map(|bucket| bucket.square().sum().item()).sum::<wgrad::Result<f32>>(), Ok(133.0));
        for bucket in buckets {
            bucket.assign(&(bucket * 2.0));
        }
        decision.clone()
    });
    assert_eq!(calls, 1);
    let mut all = state(two).expect("the device works");
    all.extend(optimizer.state().expect("the device works"));
    all
}

#[test]
fn a_reduction_changes_gradients_or_gives_a_step_up() {
    for (name, device) in devices() {
        let flag = |value: f32| Decision::UpdateIf(Tensor::scalar(value, &device));
        let run = |made: Making, decision: &Decision| {
            let two = Two::new(&device);
            let mut optimizer = made(&two);
            let mut before = state(&two).expect("the device works");
            before.extend(optimizer.state().expect("the device works"));
            (before, decided(&two, optimizer.as_mut(), decision), two.first())
        };
        let heavy = SgdOptions { lr: 0.25, momentum: Momentum::HeavyBall(0.5), ..SgdOptions::default() };
        let sgd = |two: &Two| -> Box<dyn Optimizer> { Box::new(Sgd::new(two, heavy).expect("in range")) };
        let yogi = |two: &Two| -> Box<dyn Optimizer> { Box::new(Stepper::new(two, YOGI).expect("in range")) };
        let plain = |two: &Two| -> Box<dyn Optimizer> { Box::new(Plain::new(two, 0.25)) };
        let all: [(&str, Making); 3] = [("sgd", &sgd), ("yogi", &yogi), ("plain", &plain)];
        for (which, made) in all {
            let (before, updated, values) = run(made, &Decision::Update);
            assert_ne!(before, updated, "{which} on {name}");
            if which != "yogi" {
                assert_eq!(values, [0.5 - 0.25 * 2.0; 2], "{which} on {name}");
            }
            assert_eq!(run(made, &flag(1.0)).1, updated, "{which} on {name}");
            let (before, skipped, _) = run(made, &Decision::Skip);
            assert_eq!(skipped, before, "{which} on {name}");
            let (before, mut left, _) = run(made, &flag(0.0));
            // It is not counted, but for how often that was so.
            left.remove("skipped");
            assert_eq!(left, before, "{which} on {name}");
        }
    }
}

/// Of a scaled loss, a step with an overflow is left out in its turn, replayed too.
#[test]
fn a_replayed_step_is_given_up_on_the_device() {
    for (name, device) in devices() {
        let run = |replayed: bool| {
            let two = Two::new(&device);
            let mut optimizer = Stepper::new(&two, YOGI).and_then(|yogi| yogi.clip_grad_norm(1.0)).expect("in range");
            let mut replay = Replay::new();
            let mut after = Vec::new();
            for factor in [1.0, 2.0, f32::INFINITY, 3.0, f32::NAN, 1.0] {
                let factor = Tensor::from_slice(&[factor], [], &device);
                let mut work = |factor: &Tensor| {
                    let loss = (two.a.tensor().square().sum() + two.b.tensor().square().sum()) * factor;
                    optimizer.step_with(&loss.backward(), &mut |buckets| {
                        let sum = buckets.iter().map(|bucket| bucket.square().sum()).reduce(|a, b| a + b);
                        let infinity = Tensor::scalar(f32::INFINITY, &device);
                        Decision::UpdateIf(sum.expect("there are gradients").lt(&infinity))
                    });
                    Ok(())
                };
                if replayed { replay.run(&factor, work) } else { work(&factor) }.expect("it can be replayed");
                after.push(two.first());
            }
            after
        };
        let after = run(false);
        assert_eq!(run(true), after, "on {name}");
        let moves: Vec<bool> = after.windows(2).map(|pair| pair[0] != pair[1]).collect();
        assert_eq!(moves, [true, false, true, false, true], "{after:?} on {name}");
    }
}

/// An optimizer from nothing: no rule, no slabs.
struct Plain {
    parameters: Vec<(String, Parameter)>,
    lr: f32,
    steps: i64,
}

impl Plain {
    fn new(model: &dyn Module, lr: f32) -> Plain {
        Plain { parameters: parameters(model), lr, steps: 0 }
    }
}

impl Optimizer for Plain {
    fn step(&mut self, grads: &Grads) {
        for (_, parameter) in &self.parameters {
            let x = parameter.tensor();
            if let Some(gradient) = grads.of(&x) {
                x.assign(&(x.detach() - gradient * self.lr));
            }
        }
        self.steps += 1;
    }

    fn lrs(&self) -> Vec<f32> {
        vec![self.lr]
    }

    fn set_lrs(&mut self, lrs: &[f32]) -> wgrad::Result<()> {
        self.lr = lrs[0];
        Ok(())
    }

    fn state(&self) -> wgrad::Result<StateDict> {
        let values = wgrad::nn::Values::I64(vec![self.steps]);
        Ok(StateDict::from([("step".into(), wgrad::nn::StateTensor { shape: vec![], values })]))
    }

    fn load_state(&mut self, _: &StateDict) -> wgrad::Result<()> {
        Ok(())
    }
}

#[test]
fn what_no_replay_can_do_is_told_once() {
    for (name, device) in devices() {
        let two = Two::new(&device);
        let mut plain = Plain::new(&two, 0.25);
        let one = Tensor::ones([], &device);
        let refused = Replay::new().run(&one, |one| {
            let loss = two.a.tensor().sum() * one;
            plain.step_with(&loss.backward(), &mut |_| Decision::UpdateIf(one.clone()));
            Ok(loss)
        });
        let text = refused.expect_err("it reads within").to_string();
        assert!(text.contains("step_with: this optimizer reads on the host"), "{text}");
        assert_eq!(Tensor::ones([1], &device).item(), Ok(1.0), "on {name}");
    }
}

#[test]
fn an_optimizer_of_ones_own_has_schedules_and_averages() {
    let device = Device::cpu();
    let two = Two::new(&device);
    let mut plain = Plain::new(&two, 1.0);
    let mut ema = Ema::new(&two, 0.5).expect("in range");
    let mut scheduler =
        Scheduler::new(CosineAnnealingLr { t_max: 2, eta_min: 0.0 }, &mut plain).expect("it gives rates");
    for _ in 0..2 {
        plain.step(&two.a.tensor().sum().backward());
        ema.update();
        scheduler.step(&mut plain).expect("it gives rates");
    }
    // By 1 and by a half; the average is a half and a quarter of the way behind.
    assert_eq!((two.first()[0], plain.lr()), (-1.0, 0.0));
    ema.swap();
    assert_eq!(two.first(), [-0.5, 0.5]);
    ema.swap();
    assert_eq!(two.first(), [-1.0, 0.5]);
    let cycle = Scheduler::new(OneCycleLr::new(0.1, 10), &mut plain);
    assert!(matches!(cycle.err(), Some(Error::Option(text)) if text.starts_with("momentum: the optimizer has none")));
}

#[test]
fn model_and_optimizer_go_into_a_thread() {
    for (name, device) in devices() {
        let train = |model: &Linear, optimizer: &mut dyn Optimizer, device: &Device| {
            let x = Tensor::ones([4, 3], device);
            for _ in 0..3 {
                optimizer.step(&model.forward(&x, &Ctx::train()).square().mean().backward());
            }
            state(model).expect("the device works")
        };
        let made = || -> (Linear, Vec<Box<dyn Optimizer>>) {
            let model = Linear::new(3, 2, &mut Init::new(0, &device));
            let adam = Box::new(Adam::new(&model, AdamOptions::default()).expect("in range"));
            (model, vec![adam])
        };
        let (model, mut optimizer) = made();
        let here = train(&model, optimizer[0].as_mut(), &device);
        let (model, mut optimizer) = made();
        let there = device.clone();
        let thread = std::thread::spawn(move || train(&model, optimizer[0].as_mut(), &there));
        assert_eq!(thread.join().expect("it ends well"), here, "on {name}");
    }
}
