//! What a replayed step would keep from its first run, and how one is told.

use super::recipes::{BATCH_NORM, CLIPPED, CNN, DROPOUT, Trainer};
use super::rules::panics;
use crate::devices::devices;
use wgrad::nn::{Ctx, Dropout, Init, Layer, Linear, Parameter};
use wgrad::optim::schedule::{ExponentialLr, Scheduler};
use wgrad::optim::{Optimizer, Sgd, SgdOptions};
use wgrad::plan::Replay;
use wgrad::{Device, Error, Result, Tensor};

/// What the second run of a step says, which gets the number of its run.
#[track_caller]
fn second(device: &Device, mut step: impl FnMut(usize, &Tensor) -> Result<Vec<Tensor>>) -> String {
    let mut replay = Replay::checked();
    let mut run = |i: usize| {
        let x = Tensor::full([2], i as f32, device);
        replay.run(&x, |x| step(i, x)).map(drop)
    };
    run(0).expect("it can be captured");
    match run(1) {
        Err(Error::Capture(text)) => text,
        other => panic!("{other:?} and not an error of the capture"),
    }
}

#[test]
fn a_checked_replay_names_what_has_changed() {
    for (_, device) in devices() {
        let text = second(&device, |i, x| Ok(vec![x.exp() * (i as f32 / 10.0)]));
        assert!(text.contains("affine (kernel 2 of 2, tests/train/frozen.rs:"), "{text}");
        assert!(text.contains("a number was 0 and is 0.1: a number of the host changed"), "{text}");
        let text = second(&device, |i, x| Ok(vec![if i == 0 { x.exp() } else { x.square() }]));
        assert!(text.contains("exp (kernel 1 of 1") && text.contains("it is square now: a branch"), "{text}");
        let text = second(&device, |i, x| Ok(vec![if i == 0 { x.exp() } else { x.exp().exp() }]));
        assert!(text.contains("it asked for 1 kernels then and for 2 now: a branch"), "{text}");
        let text = second(&device, |i, x| Ok(vec![if i == 0 { x.clone() } else { x + 1.0 }]));
        assert!(text.contains("it asked for 0 kernels then and for 1 now"), "{text}");
        let mut left = None;
        let text = second(&device, |_, x| {
            let y = x.exp();
            left = Some(y.clone());
            Ok(vec![y.square()])
        });
        assert!(text.contains("leaves what exp gives in a variable outside of it"), "{text}");
        let text = second(&device, |i, x| Ok((0..=i).map(|_| x.clone()).collect()));
        assert!(text.contains("it gave 1 results then and gives 2 now"), "{text}");
        let text = second(&device, |i, x| Ok(vec![x.narrow(0, i, 1)]));
        assert!(text.contains("result 0"), "{text}");
        let text = second(&device, |i, x| Ok(vec![x.narrow(0, i, 1).copy()]));
        assert!(text.contains("copy (kernel 1 of 1") && text.contains("was 0 and is 1"), "{text}");
        let scaled = |i: usize, x: &Tensor| Ok(vec![x * Tensor::scalar(i as f32 + 0.5, x.device())]);
        let text = second(&device, scaled);
        assert!(text.contains("an element of a tensor that the step makes was 0.5 and is 1.5"), "{text}");
        let others = [Tensor::ones([2], &device), Tensor::ones([2], &device)];
        let text = second(&device, |i, x| Ok(vec![x + &others[i]]));
        assert!(text.contains("add (kernel 1 of 1") && text.contains("was replaced by another"), "{text}");
        let text = second(&device, |i, _| Ok(vec![others[i].clone()]));
        assert!(text.contains("result 0: a tensor from outside of the step was replaced"), "{text}");
        let mut last = None;
        let text = second(&device, |_, x| {
            let y = last.as_ref().unwrap_or(x).exp();
            last = Some(y.clone());
            Ok(vec![y])
        });
        assert!(text.contains("exp (kernel 1 of 1") && text.contains("another tensor"), "{text}");
        let mut made = None;
        let text = second(&device, |_, x| Ok(vec![made.get_or_insert_with(|| x.exp()).square()]));
        assert!(text.contains("exp (kernel 1 of 2") && text.contains("it is square now"), "{text}");
    }
}

/// A `Ctx` holds nothing of a pass: one from before the loop freezes no mask.
#[test]
fn a_ctx_serves_a_whole_run() {
    for (name, device) in devices() {
        let (ctx, x) = (Ctx::train(), Tensor::ones([64], &device));
        let masks = |replayed: bool| {
            let layer = Dropout::new(0.5, &mut Init::new(0, &device));
            let mut replay = Replay::checked();
            let mut mask = || match replayed {
                true => replay.run(&x, |x| Ok(layer.forward(x, &ctx))).expect("it can be replayed"),
                false => layer.forward(&x, &ctx),
            };
            [0, 1, 2, 3].map(|_| mask().to_vec::<f32>().expect("the device works"))
        };
        let eager = masks(false);
        assert!((1..4).all(|at| !eager[..at].contains(&eager[at])), "on {name}");
        assert_eq!(masks(true), eager, "on {name}");
    }
}

/// A step that does not change is replayed as if it were not checked: nothing is counted twice.
#[test]
fn a_checked_replay_counts_nothing_twice() {
    for (name, device) in devices() {
        for recipe in [CNN, DROPOUT, BATCH_NORM, CLIPPED] {
            let (mut eager, mut replayed) = (Trainer::new(&recipe, &device), Trainer::new(&recipe, &device));
            let mut replay = Replay::checked();
            for step in 0..5 {
                let [x, labels] = eager.next();
                let want = eager.train(&x, &labels).item().expect("the device works");
                let [x, labels] = replayed.next();
                let work = |[x, labels]: [&Tensor; 2]| Ok(replayed.train(x, labels));
                let got = replay.run([&x, &labels], work).expect("it can be replayed").item();
                assert_eq!(got.expect("the device works"), want, "{} on {name}, step {step}", recipe.name);
            }
            let steps = |trainer: &Trainer| trainer.optimizer.state().expect("the device works")["step"].clone();
            assert_eq!(steps(&replayed), steps(&eager), "{} on {name}", recipe.name);
            assert_eq!(replayed.generator.position(), eager.generator.position(), "{} on {name}", recipe.name);
        }
    }
}

/// Debug builds look once, at the second run, and until it agrees.
#[test]
fn debug_builds_check_the_second_run() {
    for (_, device) in devices() {
        let (mut replay, mut asked) = (Replay::new(), 0);
        let x = Tensor::ones([1], &device);
        let mut run = |scale: f32| {
            let work = |x: &Tensor| {
                asked += 1;
                Ok(x * scale)
            };
            replay.run(&x, work).and_then(|y| y.item())
        };
        assert_eq!(run(2.0).expect("it can be captured"), 2.0);
        assert_eq!(run(3.0).is_err(), cfg!(debug_assertions));
        assert_eq!(run(2.0).expect("it is the same"), 2.0);
        assert_eq!(run(3.0).expect("it is not looked at any more"), 2.0);
        assert_eq!(asked, if cfg!(debug_assertions) { 3 } else { 1 });
    }
}

/// A model may make constants at its first pass, and keep them.
#[test]
fn constants_that_are_made_once_are_no_change() {
    for (_, device) in devices() {
        let (mut replay, mut kept) = (Replay::checked(), None);
        for i in 0..3 {
            let x = Tensor::full([3], i as f32, &device);
            let y = replay.run(&x, |x| {
                let places =
                    kept.get_or_insert_with(|| Tensor::arange(0, 3, x.device()).cast(wgrad::DType::F32).copy());
                let first = x.exp();
                Ok([places.clone(), first])
            });
            // What kernels made of it is no constant: it has to be made before the step.
            assert_eq!(y.is_ok(), i == 0, "{y:?}");
        }
        let (mut replay, mut kept) = (Replay::checked(), None);
        for i in 0..3 {
            let x = Tensor::full([3], i, &device);
            let y = replay.run(&x, |x| {
                let places: &Tensor = kept.get_or_insert_with(|| Tensor::arange(0, 3, x.device()));
                Ok([x.eq(places), x.cast(wgrad::DType::F32)])
            });
            let bits = y.expect("it can be replayed")[0].to_vec::<f32>().expect("the device works");
            assert_eq!(bits, std::array::from_fn::<f32, 3, _>(|at| if at as i32 == i { 1.0 } else { 0.0 }));
        }
    }
}

#[test]
fn rates_are_not_set_inside_a_step() {
    for (_, device) in devices() {
        let weight = Parameter::new(Tensor::zeros([1], &device));
        let mut sgd =
            Sgd::new(&weight, SgdOptions { lr: 1.0, ..SgdOptions::default() }).expect("the options are in range");
        let mut scheduler = Scheduler::new(ExponentialLr { gamma: 0.1 }, &mut sgd).expect("a good rate");
        let x = Tensor::ones([1], &device);
        let told = |result: Result<()>, what: &str| {
            let text = result.expect_err("it is refused").to_string();
            assert!(text.contains(&format!("an optimizer's {what} was set inside a step")), "{text}");
            assert!(text.contains("before or after `Replay::run`"), "{text}");
        };
        told(Replay::new().run(&x, |_| sgd.set_lr(0.5)), "rate");
        // Nor where nobody looks at the error.
        told(Replay::new().run(&x, |_| sgd.set_lr(0.5).or(Ok(()))), "rate");
        told(Replay::new().run(&x, |_| scheduler.step(&mut sgd)), "rate");
        let state = sgd.state().expect("the device works");
        told(Replay::new().run(&x, |_| sgd.load_state(&state)), "state");
        assert_eq!((sgd.lr(), scheduler.steps(), scheduler.rates()), (1.0, 0, &[1.0][..]));
        // Between the runs they are set as ever.
        let mut replay = Replay::checked();
        for want in [-1.0, -1.1, -1.11] {
            let step = replay.run(&x, |x| {
                sgd.step(&(Ctx::train().param(&weight) * x).sum().backward());
                Ok(())
            });
            step.expect("it can be replayed");
            let got = weight.tensor().item().expect("the device works");
            assert!((got - want).abs() < 1e-6, "{got}, not {want}");
            scheduler.step(&mut sgd).expect("a good rate");
        }
    }
}

/// Each group's rate counts in the next run.
#[test]
fn rates_of_groups_are_set_between_runs() {
    for (name, device) in devices() {
        let line = Linear::new(1, 1, &mut Init::new(0, &device));
        let of = |path: &str| SgdOptions { lr: if path == "bias" { 1.0 } else { 2.0 }, ..SgdOptions::default() };
        let mut sgd = Sgd::grouped(&line, |path, _| of(path)).expect("the options are in range");
        let (x, mut replay) = (Tensor::ones([1, 1], &device), Replay::checked());
        let now = || [&line.weight, line.bias.as_ref().expect("it has one")].map(|p| p.tensor().sum().item());
        for (at, rates) in [[2.0f32, 1.0], [0.5, 0.25], [0.0, 4.0]].into_iter().enumerate() {
            if at > 0 {
                sgd.set_lrs(&rates).expect("good rates");
            }
            let before = now();
            let step = replay.run(&x, |x| {
                sgd.step(&line.forward(x, &Ctx::train()).sum().backward());
                Ok(())
            });
            step.expect("it can be replayed");
            for ((was, is), rate) in before.into_iter().zip(now()).zip(rates) {
                let moved = was.expect("the device works") - is.expect("the device works");
                assert!((moved - rate).abs() < 1e-6, "moved by {moved}, not by {rate}, on {name}");
            }
        }
    }
}

#[test]
fn results_end_with_the_next_run() {
    for (_, device) in devices() {
        let (mut replay, mut kept, mut copies) = (Replay::new(), Vec::new(), Vec::new());
        for i in 0..4 {
            let y = replay.run(&Tensor::full([1], i as f32, &device), |x| Ok(x * 1.0)).expect("it runs");
            copies.push(y.copy());
            kept.push(y.reshape([1, 1]));
        }
        let items = |all: &[Tensor]| all.iter().map(Tensor::item).collect::<Vec<_>>();
        let copies: Vec<f32> = items(&copies).into_iter().map(|item| item.expect("the device works")).collect();
        assert_eq!(copies, [0.0, 1.0, 2.0, 3.0]);
        for (at, result) in items(&kept).into_iter().enumerate() {
            match result {
                Ok(value) => assert_eq!((at, value), (3, 3.0)),
                Err(Error::Capture(text)) => {
                    let want = format!("a result of run {} of a replayed step, and run 4 has overwritten it", at + 1);
                    assert!(at < 3 && text.contains(&want) && text.contains("Tensor::copy"), "{text}");
                }
                Err(other) => panic!("{other}"),
            }
        }
        // What computes with them is told too, and what is replayed on them.
        assert!(panics(|| &kept[0] + 1.0).contains("affine: the tensor is a result of run 1"));
        assert!(replay.run(&kept[0].reshape([1]), |x| Ok(x.clone())).is_err());
        assert!(kept[1].item_async().wait().is_err() && kept[1].read::<f32>().wait().is_err());
    }
}

/// Results that are inputs, views of them or tensors from before the step are those of each run.
#[test]
fn a_result_may_be_an_input() {
    for (name, device) in devices() {
        let weight = Tensor::ones([2], &device);
        let step = |[x, y]: [&Tensor; 2]| {
            weight.assign(&(&weight + x));
            y.assign(&x.square());
            Ok([x.reshape([2, 1]), x * 2.0, y.narrow(0, 1, 1), x.clone(), weight.clone()])
        };
        let mut replay = Replay::checked();
        let mut kept = Vec::new();
        for (i, [a, b]) in [[1.0f32, 2.0], [5.0, 6.0], [7.0, 8.0]].into_iter().enumerate() {
            let (x, y) = (Tensor::from_slice(&[a, b], [2], &device), Tensor::zeros([2], &device));
            let results = replay.run([&x, &y], step).expect("it can be replayed");
            let values: Vec<Vec<f32>> = results.iter().map(|y| y.to_vec().expect("the device works")).collect();
            let sum = [[2.0, 3.0], [7.0, 9.0], [14.0, 17.0]][i];
            let want = [vec![a, b], vec![2.0 * a, 2.0 * b], vec![b * b], vec![a, b], sum.to_vec()];
            assert_eq!(values, want, "run {i} on {name}");
            assert_eq!(results[0].shape(), [2, 1]);
            kept.push(results[0].clone());
        }
        // They are the inputs', and outlast the runs.
        let all: Vec<Vec<f32>> = kept.iter().map(|y| y.to_vec().expect("the device works")).collect();
        assert_eq!(all, [[1.0, 2.0], [5.0, 6.0], [7.0, 8.0]]);
    }
}

/// Where an input that the step writes has neighbours, a step that may write over padding does not take it.
#[test]
fn an_input_with_others_behind_it_is_written_within_its_bounds() {
    for (name, device) in devices() {
        let mut replay = Replay::new();
        for _ in 0..3 {
            for of in [3usize, 4] {
                let (x, y) = (Tensor::full([3], 2.0f32, &device), Tensor::full([of], 9.0f32, &device));
                let part = y.narrow(0, 0, 3);
                let step = |[x, y]: [&Tensor; 2]| {
                    y.assign(&x.square());
                    Ok(())
                };
                replay.run([&x, &part], step).expect("it runs");
                let got = y.to_vec::<f32>().expect("the device works");
                assert_eq!(got[..], [4.0, 4.0, 4.0, 9.0][..of], "on {name}");
            }
        }
    }
}
