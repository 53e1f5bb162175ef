//! A captured step gives the bits of the code that it was captured from, and refuses what it cannot replay.

use super::curves::first_difference;
use super::recipes::{BATCH_NORM, CLIPPED, CNN, DROPOUT, MLP, RECURRENT, Trainer};
use crate::devices::{devices, gpu};
use crate::gpt::Gpt;
use crate::models;
use wgrad::nn::{Ctx, Dropout, Init, Layer, Linear, Values};
use wgrad::optim::{Adam, AdamOptions, Optimizer};
use wgrad::plan::{Captured, Replay};
use wgrad::{Device, Error, Tensor};

/// The losses of some steps, each loss read at once. Every fifth batch is a smaller one, and the rate falls.
fn losses(trainer: &mut Trainer, mut replay: Option<&mut Replay>) -> Vec<u32> {
    (0..14)
        .map(|step| {
            let [x, labels] = trainer.next();
            let rows = if step % 5 == 4 { 9 } else { 32 };
            let (x, labels) = (x.narrow(0, 0, rows), labels.narrow(0, 0, rows));
            if step > 3 {
                trainer.optimizer.set_lr(0.01 / step as f32).expect("a good rate");
            }
            let loss = match &mut replay {
                None => trainer.train(&x, &labels),
                Some(replay) => {
                    let mut work = |inputs: &[Tensor]| Ok(vec![trainer.train(&inputs[0], &inputs[1])]);
                    replay.run(&[&x, &labels], &mut work).expect("it can be replayed")[0].clone()
                }
            };
            loss.item().expect("the device works").to_bits()
        })
        .collect()
}

#[test]
fn replayed_steps_have_the_bits_of_eager_ones() {
    for (name, device) in devices() {
        for recipe in [MLP, CNN, DROPOUT, BATCH_NORM, CLIPPED, RECURRENT] {
            let (mut eager, mut replayed) = (Trainer::new(&recipe, &device), Trainer::new(&recipe, &device));
            let mut replay = Replay::new();
            let want = losses(&mut eager, None);
            let got = losses(&mut replayed, Some(&mut replay));
            assert_eq!(got, want, "{} on {name}", recipe.name);
            assert_eq!(first_difference(&eager.weights(), &replayed.weights()), None, "{} on {name}", recipe.name);
            let state = |trainer: &Trainer| trainer.optimizer.state().expect("the device works");
            assert_eq!(first_difference(&state(&eager), &state(&replayed)), None, "{} on {name}", recipe.name);
            assert_eq!(eager.generator.position(), replayed.generator.position(), "{} on {name}", recipe.name);
        }
    }
}

fn captured(trainer: &mut Trainer) -> Captured {
    let device = trainer.device().clone();
    let [x, labels] = trainer.next();
    let step = device.capture(&[&x, &labels], |inputs| Ok(vec![trainer.train(&inputs[0], &inputs[1])]));
    step.expect("it can be captured")
}

#[test]
fn a_replay_makes_nothing_new() {
    for (name, device) in devices() {
        for recipe in [CNN, DROPOUT, BATCH_NORM] {
            let mut trainer = Trainer::new(&recipe, &device);
            let step = captured(&mut trainer);
            let mut run = || {
                let [x, labels] = trainer.next();
                step.run(&[&x, &labels]).expect("the shapes fit")[0].item().expect("the device works")
            };
            for _ in 0..3 {
                run();
            }
            let before = device.counters();
            run();
            let after = device.counters();
            let made = [
                after.buffers - before.buffers,
                after.bind_groups - before.bind_groups,
                after.pipelines - before.pipelines,
                after.bytes - before.bytes,
            ];
            assert_eq!(made, [0; 4], "{} on {name}", recipe.name);
            if name == "gpu" {
                assert_eq!(after.submits - before.submits, 1, "{} on {name}", recipe.name);
            }
        }
    }
}

/// The memory of a step falls towards what is live at once, and gradients need no copies.
#[test]
fn a_plan_is_shorter_and_smaller_than_what_was_recorded() {
    let device = Device::null();
    let mut trainer = Trainer::new(&CNN, &device);
    let step = captured(&mut trainer);
    let [x, labels] = trainer.next();
    let (_, plain) = device.record(|| trainer.train(&x, &labels));
    assert!(plain.dispatches().iter().any(|d| d.kernel.name == "copy_into"));
    assert!(step.plan().dispatches().iter().all(|d| d.kernel.name != "copy_into"), "{}", step.plan());
    assert!(step.plan().dispatches().len() + 8 <= plain.dispatches().len(), "{}", step.plan());
    let all: u64 = plain.dispatches().iter().flat_map(|d| &d.bindings).map(|b| b.bytes).sum();
    assert!(step.planned_bytes() * 4 < all, "{} of {all}", step.planned_bytes());
}

/// The passes of a step as a driver sees them, for the workloads of the bench of steps.
#[test]
fn gpu_a_replayed_step_is_few_passes() {
    if let Some(device) = gpu() {
        let image = |sizes: [usize; 4]| Tensor::zeros(sizes, &device);
        let init = &mut Init::new(0, &device);
        type Row = (&'static str, Box<dyn Layer>, Tensor, usize, u64);
        let all: [Row; 4] = [
            ("w1", Box::new(models::mlp(init)), Tensor::zeros([64, 784], &device), 64, 10),
            ("w2", Box::new(models::convolutional(1, 28, init)), image([64, 1, 28, 28]), 64, 24),
            ("w3", Box::new(models::convolutional(3, 32, init)), image([64, 3, 32, 32]), 64, 24),
            ("w4", Box::new(Gpt::new(init)), Tensor::from_vec(vec![0i32; 1024], [8, 128], &device), 1024, 110),
        ];
        for (name, model, x, labels, most) in all {
            let labels = Tensor::from_vec(vec![0i32; labels], [labels], &device);
            let mut adam = Adam::new(&*model, AdamOptions::default()).expect("the options are in range");
            let step = device.capture(&[&x, &labels], |inputs| {
                let loss = model.forward(&inputs[0], &Ctx::train()).cross_entropy(&inputs[1]);
                adam.step(&loss.backward());
                Ok(vec![loss])
            });
            let step = step.expect("it can be captured");
            let before = device.counters().passes;
            step.run(&[&x, &labels]).expect("the shapes fit");
            let passes = device.counters().passes - before;
            assert!(passes <= most, "{name}: {passes} passes, not {most}:\n{}", step.plan());
        }
    }
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: wgrad::Result<T>, part: &str) {
    match result {
        Err(Error::Capture(text)) => assert!(text.contains(part), "{text}"),
        other => panic!("{other:?} and not an error of the capture with `{part}`"),
    }
}

#[test]
fn what_cannot_be_replayed_is_refused() {
    for (_, device) in devices() {
        let x = Tensor::from_slice(&[1.0f32, 2.0], [2], &device);
        let double = |inputs: &[Tensor]| Ok(vec![&inputs[0] * 2.0]);
        // A read.
        refused(device.capture(&[&x], |inputs| inputs[0].sum().item().map(|_| vec![])), "was read inside the step");
        refused(device.capture(&[&x], |inputs| Ok(vec![inputs[0].to(&Device::cpu())?])), "was read inside the step");
        // A write.
        let written = |inputs: &[Tensor]| Ok(vec![&inputs[0] + Tensor::from_slice(&[1.0f32, 2.0], [2], &device)]);
        refused(device.capture(&[&x], written), "written from the host");
        // A capture within another.
        refused(device.capture(&[&x], |inputs| device.capture(&[&inputs[0]], double).map(|_| vec![])), "do not nest");
        let step = device.capture(&[&x], double).expect("it can be captured");
        refused(device.capture(&[&x], |inputs| step.run(&[&inputs[0]])), "inside another");
        // What another thread makes.
        let elsewhere = |inputs: &[Tensor]| {
            let y = std::thread::scope(|scope| scope.spawn(|| inputs[0].exp()).join()).expect("no panic");
            Ok(vec![&y + &inputs[0]])
        };
        refused(device.capture(&[&x], elsewhere), "another thread made while the step was captured");
        // A tensor from before that ends in the step.
        let mut state = Some(Tensor::ones([2], &device));
        let replaced = |inputs: &[Tensor]| {
            let next = &inputs[0] + state.take().expect("it is there");
            state = Some(next.clone());
            Ok(vec![next])
        };
        refused(device.capture(&[&x], replaced), "was dropped in it");
        // Other shapes, other numbers of inputs, the step's own result.
        let long = Tensor::ones([3], &device);
        refused(step.run(&[&long]), "inputs of f32 [3] do not fit the captured step, which takes f32 [2]");
        refused(step.run(&[]), "do not fit");
        refused(step.run(&[&step.outputs()[0]]), "that the step itself writes");
        // After all that the device works, and so does the step.
        let again = step.run(&[&step.outputs()[0].copy()]).expect("a copy is no result");
        assert_eq!(again[0].to_vec::<f32>().expect("the device works"), [4.0, 8.0]);
    }
}

#[test]
fn a_panic_in_a_captured_step_leaves_the_device_in_order() {
    for (_, device) in devices() {
        let x = Tensor::from_slice(&[1.0f32, 2.0], [2], &device);
        let fails = || device.capture(&[&x], |_| panic!("as it is meant to"));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(fails)).is_err());
        assert_eq!(x.exp().to_vec::<f32>().expect("the device works").len(), 2);
        assert!(device.capture(&[&x], |inputs| Ok(vec![inputs[0].exp()])).is_ok());
    }
}

/// What the host counted in a step that could not be captured is taken back: the next step has the number it would have had.
#[test]
fn a_step_that_is_not_captured_is_not_counted() {
    for (name, device) in devices() {
        let mut init = Init::new(0, &device);
        let (line, dropout) = (Linear::new(2, 1, &mut init), Dropout::new(0.5, &mut init));
        let mut optimizer = Adam::new(&line, AdamOptions::default()).expect("the options are in range");
        let (x, ctx, generator) = (Tensor::ones([3, 2], &device), Ctx::train(), &init.generator);
        let mut fail = |panics: bool| {
            let work = |inputs: &[Tensor]| {
                let loss = line.forward(&dropout.forward(&inputs[0], &ctx), &ctx).sum();
                optimizer.step(&loss.backward());
                assert!(!panics, "as it is meant to");
                loss.item().map(|_| vec![])
            };
            device.capture(&[&x], work).map(drop)
        };
        assert!(fail(false).is_err());
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| fail(true))).is_err());
        let state = optimizer.state().expect("the device works");
        assert_eq!((state["step"].values.clone(), generator.position()), (Values::I64(vec![0]), 0), "on {name}");
        let work = |inputs: &[Tensor]| {
            let loss = line.forward(&dropout.forward(&inputs[0], &ctx), &ctx).sum();
            optimizer.step(&loss.backward());
            Ok(vec![loss])
        };
        device.capture(&[&x], work).expect("it can be captured").run(&[&x]).expect("the shapes fit");
        let state = optimizer.state().expect("the device works");
        assert_eq!((state["step"].values.clone(), generator.position()), (Values::I64(vec![2]), 2), "on {name}");
    }
}

/// Weights and constants stay alive with the plan, whatever becomes of the handles outside.
#[test]
fn a_step_keeps_what_it_reads() {
    for (_, device) in devices() {
        let x = Tensor::from_slice(&[1.0f32, 2.0], [2], &device);
        let step = {
            let weight = Tensor::from_slice(&[10.0f32, 20.0], [2], &device);
            let work = |inputs: &[Tensor]| Ok(vec![&inputs[0] * &weight + Tensor::scalar(1.0f32, &device)]);
            device.capture(&[&x], work).expect("it can be captured")
        };
        // These would take the places of what was freed.
        let others: Vec<Tensor> = (0..8).map(|_| Tensor::from_slice(&[-1.0f32, -1.0], [2], &device)).collect();
        let y = step.run(&[&x]).expect("the shapes fit");
        assert_eq!(y[0].to_vec::<f32>().expect("the device works"), [11.0, 41.0]);
        assert_eq!(others[7].to_vec::<f32>().expect("the device works"), [-1.0, -1.0]);
    }
}

#[test]
fn each_replay_draws_masks_of_its_own() {
    for (_, device) in devices() {
        let [one, two] = [0, 1].map(|_| Dropout::new(0.5, &mut Init::new(3, &device)));
        let x = Tensor::ones([500], &device);
        // Twice, so that a step draws more than once.
        let pass = |layer: &Dropout, x: &Tensor| layer.forward(&layer.forward(x, &Ctx::train()), &Ctx::train());
        let bits = |y: &Tensor| y.to_vec::<f32>().expect("the device works");
        let eager: Vec<_> = (0..4).map(|_| bits(&pass(&one, &x))).collect();
        let mut replay = Replay::new();
        let mut draw = || bits(&replay.run(&[&x], |x| Ok(vec![pass(&two, &x[0])])).expect("it can be replayed")[0]);
        assert_eq!((0..4).map(|_| draw()).collect::<Vec<_>>(), eager);
        assert_ne!(eager[1], eager[2]);
    }
}
