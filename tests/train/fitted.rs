//! Steps that fit into a limit of memory: what is chosen, that it changes nothing else, and what is said where nothing fits.

use super::trainer::{loader, outcome};
use crate::devices::devices;
use std::cell::RefCell;
use wgrad::nn::{
    BatchNorm1d, Checkpoint, Ctx, Dropout, Gelu, Init, Layer, Linear, Module, Recompute, Sequential, StateDict, Values,
    state,
};
use wgrad::optim::{Adam, AdamOptions, Optimizer};
use wgrad::train::{Callback, Fitted, Run, Task, Trained, Trainer};
use wgrad::{Device, Tensor};

/// Blocks of some layers, where asked with norms that see a batch.
fn network(norms: bool, device: &Device) -> Sequential {
    let init = &mut Init::new(3, device);
    let block = |init: &mut Init| {
        let all = Sequential::new().push(Linear::new(16, 48, init)).push(Gelu::new()).push(Dropout::new(0.1, init));
        let all = if norms { all.push(BatchNorm1d::new(48, init)) } else { all };
        all.push(Linear::new(48, 16, init))
    };
    let all = (0..9).fold(Sequential::new().push(Linear::new(2, 16, init)), |all, _| all.push(block(init)));
    all.push(Linear::new(16, 2, init))
}

/// What was chosen last, and what was learned.
fn trained(
    model: &impl Layer,
    device: &Device,
    with: impl for<'a> FnOnce(Trainer<'a, 2>) -> Trainer<'a, 2>,
) -> wgrad::Result<(Option<Fitted>, StateDict)> {
    let adam = Adam::new(model, AdamOptions { lr: 0.01, ..AdamOptions::default() }).expect("good options");
    let mut trainer = with(Trainer::new(device, model, adam, |batch, ctx| Ok(outcome(model, batch, ctx))));
    trainer.fit(&loader(100, 0), None)?;
    let fitted = trainer.fitted().cloned();
    drop(trainer);
    Ok((fitted, state(model)?))
}

fn near(a: &StateDict, b: &StateDict) -> bool {
    let numbers = |value: &Values| match value {
        Values::F32(values) => values.clone(),
        other => panic!("{other:?}"),
    };
    a.iter().all(|(path, value)| {
        numbers(&value.values).iter().zip(numbers(&b[path].values)).all(|(a, b)| (a - b).abs() < 2e-3)
    })
}

#[test]
fn a_limit_changes_what_a_step_takes_and_nothing_else() {
    for (name, device) in devices() {
        let run = |with: &dyn for<'a> Fn(Trainer<'a, 2>) -> Trainer<'a, 2>| {
            trained(&network(true, &device), &device, with).expect("it trains")
        };
        let (none, weights) = run(&|trainer| trainer);
        assert_eq!(none, None, "{name}");
        let (free, same) = run(&|trainer| trainer.max_memory(u64::MAX));
        let free = free.expect("it was asked for");
        assert_eq!((free.micro_batches, free.recompute, free.items), (1, None, 32), "{name}: {free}");
        assert_eq!(same, weights, "{name}");
        // With norms that see a batch it stays whole as long as that will do, and no bit changes.
        let may = free.memory.total() - free.memory.planned / 3;
        let (again, same) = run(&|trainer| trainer.max_memory(may));
        let again = again.expect("it was asked for");
        assert!(again.micro_batches == 1 && again.recompute.is_some(), "{name}: {again}");
        assert!(again.memory.total() <= may && again.max_memory == may, "{name}: {again}");
        assert_eq!(same, weights, "{name}: {again}");
    }
}

/// A network without chance, so that whole batches can be compared with parts.
fn plain(device: &Device) -> Sequential {
    let init = &mut Init::new(3, device);
    let block = |init: &mut Init| {
        Sequential::new().push(Linear::new(16, 48, init)).push(Gelu::new()).push(Linear::new(48, 16, init))
    };
    let all = (0..4).fold(Sequential::new().push(Linear::new(2, 16, init)), |all, _| all.push(block(init)));
    all.push(Linear::new(16, 2, init))
}

/// No container of layers, so that nothing of it runs again.
#[derive(Module)]
struct Waves {
    first: Linear,
    last: Linear,
}

impl Layer for Waves {
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let x = (0..16).fold(self.first.forward(x, ctx), |x, _| x.sin() * 1.2);
        self.last.forward(&x, ctx)
    }
}

/// What is chosen within smaller and smaller limits, each as if it had been asked for.
fn chosen(name: &str, device: &Device, make: &dyn Fn() -> Box<dyn Layer>) -> Vec<(usize, bool)> {
    let run = |with: &dyn for<'a> Fn(Trainer<'a, 2>) -> Trainer<'a, 2>| trained(&make(), device, with);
    let (free, whole) = run(&|trainer| trainer.max_memory(u64::MAX)).expect("it trains");
    let free = free.expect("it was asked for").memory;
    let mut all = Vec::new();
    for eighths in (1..8).rev() {
        let may = free.total() - free.planned + free.planned * eighths / 8;
        let Ok((fitted, weights)) = run(&|trainer| trainer.max_memory(may)) else { break };
        let fitted = fitted.expect("it was asked for");
        assert!(fitted.memory.total() <= may, "{name}: {fitted}");
        let asked = run(&|trainer| trainer.micro_batches(fitted.micro_batches)).expect("it trains").1;
        assert_eq!(weights, asked, "{name}: {fitted}");
        assert!(near(&weights, &whole), "{name}: {fitted}");
        all.push((fitted.micro_batches, fitted.recompute.is_some()));
    }
    let told = run(&|trainer| trainer.max_memory(1000)).expect_err("it cannot fit").to_string();
    assert!(told.starts_with("max_memory: a step on 32 items needs at least "), "{name}: {told}");
    assert!(told.ends_with("and 1000 bytes are allowed: take more, or a smaller model"), "{name}: {told}");
    println!("{name}: {all:?}");
    all
}

#[test]
fn what_is_chosen_is_what_could_have_been_asked_for() {
    for (name, device) in devices() {
        let again = chosen(name, &device, &|| Box::new(plain(&device)));
        assert!(again.len() >= 2 && again.iter().all(|(_, again)| *again), "{name}: {again:?}");
        let init = || Init::new(3, &device);
        let waves = || Waves { first: Linear::new(2, 64, &mut init()), last: Linear::new(64, 2, &mut init()) };
        let parts = chosen(name, &device, &|| Box::new(waves()));
        assert!(parts.len() >= 3 && parts.iter().all(|(parts, again)| *parts > 1 && !again), "{name}: {parts:?}");
        assert!(parts.windows(2).all(|pair| pair[0].0 <= pair[1].0), "{name}: {parts:?}");
    }
}

#[test]
fn a_part_that_runs_again_where_asked_does_so_only_there() {
    let device = Device::cpu();
    let make = |asked: bool| {
        let init = &mut Init::new(3, &device);
        let block = Sequential::new().push(Linear::new(8, 64, init)).push(Gelu::new()).push(Linear::new(64, 8, init));
        if asked { Checkpoint::where_asked(block) } else { Checkpoint::new(block) }
    };
    let planned = |layer: &dyn Layer, ctx: Ctx| {
        let step = |x: &Tensor| {
            let y = layer.forward(&x.sin(), &ctx);
            Ok(y.square().mean().backward().iter().map(|(_, gradient)| gradient.clone()).collect::<Vec<_>>())
        };
        let told = device.estimate(&Tensor::ones([64, 8], &device).requires_grad(), step);
        told.expect("it can be recorded").planned
    };
    let (always, asked) = (make(false), make(true));
    let again = || Ctx::train().recompute(Recompute::Layers, 0);
    assert_eq!(planned(&always, Ctx::train()), planned(&asked, again()));
    assert_eq!(planned(&always, Ctx::train()), planned(&always, again()));
    let _: &dyn Module = &asked;
}

#[test]
fn an_estimate_takes_no_memory() {
    for (name, device) in devices() {
        let x = Tensor::ones([1, 4], &device);
        device.wait().expect("the device works");
        let before = device.counters().bytes;
        let kept = RefCell::new(None);
        let told = device.estimate(&x, |x| {
            let large = x.expand([1 << 20, 4]).exp();
            *kept.borrow_mut() = Some(large.clone());
            Ok((0..40).fold(large, |y, _| y.sin()).sum())
        });
        assert!(told.expect("it can be recorded").total() >= 16 << 20, "{name}");
        assert!(device.counters().bytes < before + (1 << 20), "{name}: {:?}", device.counters());
        // What the closure has kept of it holds nothing, and says so.
        let kept = kept.into_inner().expect("it was kept");
        let said = (&kept + 1.0).to_vec::<f32>().expect_err("it was never computed").to_string();
        assert!(said.contains("while the memory of a step was estimated"), "{name}: {said}");
        drop(kept);
        assert_eq!((&x + 1.0).to_vec::<f32>(), Ok(vec![2.0; 4]), "{name}");
    }
}

struct Own(Linear, Adam);

impl Trained for Own {
    fn modules(&self) -> Vec<(&str, &dyn Module)> {
        vec![("model", &self.0)]
    }

    fn optimizers(&mut self) -> Vec<(&str, &mut dyn Optimizer)> {
        vec![("optimizer", &mut self.1)]
    }
}

impl Task<2> for Own {
    fn train(&mut self, batch: [&Tensor; 2]) -> wgrad::Result<wgrad::train::Outcome> {
        Ok(outcome(&self.0, batch, &Ctx::train()))
    }

    fn evaluate(&mut self, batch: [&Tensor; 2]) -> wgrad::Result<wgrad::train::Outcome> {
        Ok(outcome(&self.0, batch, &Ctx::eval()))
    }
}

#[test]
fn what_was_chosen_is_told_and_a_task_of_ones_own_is_refused() {
    #[derive(Default)]
    struct Told(std::rc::Rc<RefCell<Vec<String>>>);
    impl Callback for Told {
        fn name(&self) -> &str {
            "told"
        }

        fn step(&mut self, run: &mut Run) -> wgrad::Result<()> {
            self.0.borrow_mut().extend(run.fitted.map(ToString::to_string));
            Ok(())
        }
    }
    let device = Device::cpu();
    let told = Told::default();
    let lines = told.0.clone();
    trained(&plain(&device), &device, |trainer| trainer.max_memory(1 << 20).callback(told)).expect("it trains");
    let lines = lines.take();
    assert_eq!(lines.len(), 4);
    assert!(lines[0].starts_with("memory: batches of 32 whole: 0.") && lines[0].ends_with(" of 1.0 MiB"), "{lines:?}");

    let model = Linear::new(2, 2, &mut Init::new(0, &device));
    let adam = Adam::new(&model, AdamOptions::default()).expect("good options");
    let refused = Trainer::of(&device, Own(model, adam)).max_memory(1 << 30).fit(&loader(64, 0), None);
    let refused = refused.expect_err("it has steps of its own").to_string();
    assert!(refused.starts_with("`max_memory` is for a trainer of a model"), "{refused}");
}
