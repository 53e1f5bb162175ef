//! Captured steps whose parameters and buffers lie elsewhere since: a replay sees it, a captured step refuses.

use crate::devices::devices;
use wgrad::autograd::Grads;
use wgrad::nn::{BatchNorm1d, Ctx, Init, Layer, Linear, Module, Relu, Sequential, parameters};
use wgrad::optim::{Adam, AdamOptions, Optimizer, Sgd, SgdOptions};
use wgrad::plan::Replay;
use wgrad::{DType, Device, Result, Tensor};

fn model(device: &Device) -> Sequential {
    let mut init = Init::new(3, device);
    let first = Sequential::new().push(Linear::new(4, 6, &mut init)).push(BatchNorm1d::new(6, &mut init));
    first.push(Relu::new()).push(Linear::new(6, 3, &mut init))
}

fn some(device: &Device) -> Tensor {
    Tensor::normal([6, 4], 0.0, 1.0, &mut wgrad::Rng::new(1), device)
}

/// Ways to move what a model holds.
type Move = fn(&Sequential, &Device) -> Result<()>;

const MOVES: [(&str, Move); 5] = [
    ("an optimizer", |model, device| {
        let mut optimizer = Adam::new(model, AdamOptions { lr: 0.1, ..Default::default() })?;
        let loss = model.forward(&some(device), &Ctx::train()).square().mean();
        optimizer.step(&loss.backward());
        Ok(())
    }),
    ("a second one", |model, device| MOVES[0].1(model, device)),
    ("a cast", |model, _| {
        model.cast(DType::BF16);
        model.cast(DType::F32);
        Ok(())
    }),
    ("another device", |model, device| {
        model.to(&Device::new_cpu())?;
        model.to(device)?;
        parameters(model).iter().for_each(|(_, p)| p.tensor().detach().assign(&(p.tensor().detach() * 2.0)));
        Ok(())
    }),
    ("bytes", |model, _| model.quantize_int8()),
];

#[test]
fn a_replay_sees_that_what_it_reads_has_moved() -> Result<()> {
    for (name, device) in devices() {
        let (model, x) = (model(&device), some(&device));
        let eager = || model.forward(&x, &Ctx::eval()).to_vec::<f32>();
        // Names are told by a visit.
        assert_eq!(parameters(&model).len(), 6);
        let mut evaluation = Replay::new();
        let mut replayed =
            || -> Result<Vec<f32>> { evaluation.run(&x, |x| Ok(model.forward(x, &Ctx::eval())))?.to_vec() };
        for (what, go) in MOVES {
            for _ in 0..3 {
                assert_eq!(replayed()?, eager()?, "before {what} on {name}");
            }
            let step = device.capture(&x, |x| Ok(model.forward(x, &Ctx::eval())))?;
            step.run(&x)?;
            go(&model, &device)?;
            for _ in 0..3 {
                assert_eq!(replayed()?, eager()?, "after {what} on {name}");
            }
            let told = step.run(&x).expect_err("it would read the old values").to_string();
            let due = "lie elsewhere than when the step was captured, which would read the old ones: capture it anew after an \
                       optimizer was made or the model was cast, moved or quantized";
            assert!(told.ends_with(due) && told.contains("run: the values of 0."), "{what} on {name}: {told}");
        }
        assert_eq!(evaluation.captures().len(), 1, "on {name}");
    }
    Ok(())
}

#[test]
fn gradients_of_a_replay_are_those_of_moved_parameters() -> Result<()> {
    for (name, device) in devices() {
        let (model, x) = (Linear::new(4, 3, &mut Init::new(3, &device)), some(&device));
        let mut replay = Replay::new();
        let mut pass = || {
            replay.run(&x, |x| {
                let loss = model.forward(x, &Ctx::train()).square().mean();
                let leaves: Vec<Tensor> = parameters(&model).iter().map(|(_, p)| p.tensor()).collect();
                let mut all = loss.backward().to_vec(&leaves);
                all.push(loss);
                Ok(all)
            })
        };
        pass()?;
        pass()?;
        let mut optimizer = Sgd::new(&model, SgdOptions { lr: 0.05, ..Default::default() })?;
        let mut losses = Vec::new();
        for _ in 0..4 {
            let mut all = pass()?;
            losses.push(all.pop().expect("a loss").item()?);
            let leaves = parameters(&model).into_iter().map(|(_, p)| p.tensor());
            optimizer.step(&leaves.zip(all).collect::<Grads>());
        }
        assert!(losses.windows(2).all(|two| two[1] < two[0]), "{losses:?} on {name}");
    }
    Ok(())
}

#[test]
fn a_training_step_goes_on_with_the_optimizer_that_it_has() -> Result<()> {
    for (name, device) in devices() {
        let (eager, replayed, x) = (model(&device), model(&device), some(&device));
        let (mut replay, mut losses) = (Replay::new(), [Vec::new(), Vec::new()]);
        for lr in [0.1, 0.01] {
            let options = AdamOptions { lr, ..Default::default() };
            let [mut own, mut other] = [Adam::new(&eager, options)?, Adam::new(&replayed, options)?];
            let train = |model: &Sequential, optimizer: &mut Adam, x: &Tensor| {
                let loss = model.forward(x, &Ctx::train()).square().mean();
                optimizer.step(&loss.backward());
                loss
            };
            for _ in 0..4 {
                losses[0].push(train(&eager, &mut own, &x).item()?);
                losses[1].push(replay.run(&x, |x| Ok(train(&replayed, &mut other, x)))?.item()?);
            }
        }
        assert_eq!(losses[0], losses[1], "on {name}");
        assert_eq!(replay.captures().len(), 1, "on {name}");
    }
    Ok(())
}

#[test]
fn a_handle_from_before_is_refused_in_a_replay_too() -> Result<()> {
    for (name, device) in devices() {
        let (model, x) = (Linear::new(4, 3, &mut Init::new(3, &device)), some(&device));
        let weight = model.weight.tensor();
        let mut replay = Replay::new();
        let mut run = || replay.run(&x, |x| Ok(x.matmul(&weight.t()))).map(drop);
        run()?;
        run()?;
        let _optimizer = Sgd::new(&model, SgdOptions::default())?;
        let told = super::rules::panics(run);
        assert!(told.contains("is from before an optimizer was made"), "{told} on {name}");
    }
    Ok(())
}

#[test]
fn what_does_not_move_is_not_captured_anew() -> Result<()> {
    for (name, device) in devices() {
        let (model, head, x) = (model(&device), Linear::new(3, 2, &mut Init::new(4, &device)), some(&device));
        let _all = Sgd::new(&(&model, &head), SgdOptions::default())?;
        let mut ran = 0;
        let mut replay = Replay::new();
        let mut run = |ran: &mut i32| {
            replay.run(&x, |x| {
                *ran += 1;
                // What is only looked at is not read.
                let sizes = head.weight.shape();
                Ok(model.forward(x, &Ctx::eval()) * sizes[0] as f32)
            })
        };
        for _ in 0..4 {
            run(&mut ran)?;
        }
        // Once to be captured, once to be checked.
        assert_eq!(ran, 2, "on {name}");
        let other = Linear::new(3, 2, &mut Init::new(4, &device));
        let _other = Sgd::new(&other, SgdOptions::default())?;
        model.cast(DType::F32);
        run(&mut ran)?;
        assert_eq!(ran, 2, "on {name}");
    }
    Ok(())
}
