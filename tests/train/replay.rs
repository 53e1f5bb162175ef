//! A captured step gives the bits of the code that it was captured from, and refuses what it cannot replay.

use super::curves::first_difference;
use super::recipes::{BATCH_NORM, CLIPPED, CNN, DROPOUT, MLP, RECURRENT, Trainer};
use crate::devices::{devices, gpu};
use crate::gpt::{Gpt, Size};
use crate::models;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use wgrad::kernel::Class;
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
                    let work = |[x, labels]: [&Tensor; 2]| Ok(trainer.train(x, labels));
                    replay.run([&x, &labels], work).expect("it can be replayed")
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

fn captured(trainer: &mut Trainer) -> Captured<Tensor> {
    let device = trainer.device().clone();
    let [x, labels] = trainer.next();
    let step = device.capture([&x, &labels], |[x, labels]| Ok(trainer.train(x, labels)));
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
                step.run([&x, &labels]).expect("the shapes fit").item().expect("the device works")
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
        // Without eight lanes or more that stand for a workgroup, pictures of one channel go by a matrix of columns, and those of
        // three are laid out by fours first, as is what comes back.
        let info = device.info();
        let is_by_lanes = info.class == Class::Software && info.subgroup.is_some_and(|lanes| lanes >= 8);
        let more = if is_by_lanes { 0 } else { 3 };
        type Row = (&'static str, Box<dyn Layer>, Tensor, usize, u64);
        let all: [Row; 4] = [
            ("w1", Box::new(models::mlp(init)), Tensor::zeros([64, 784], &device), 64, 10),
            ("w2", Box::new(models::convolutional(1, 28, init)), image([64, 1, 28, 28]), 64, 24 + more),
            ("w3", Box::new(models::convolutional(3, 32, init)), image([64, 3, 32, 32]), 64, 24 + more),
            (
                "w4",
                Box::new(Gpt::new(Size::W4, init)),
                Tensor::from_vec(vec![0i32; 1024], [8, 128], &device),
                1024,
                110,
            ),
        ];
        for (name, model, x, labels, most) in all {
            let labels = Tensor::from_vec(vec![0i32; labels], [labels], &device);
            let mut adam = Adam::new(&*model, AdamOptions::default()).expect("the options are in range");
            let step = device.capture([&x, &labels], |[x, labels]| {
                let loss = model.forward(x, &Ctx::train()).cross_entropy(labels);
                adam.step(&loss.backward());
                Ok(loss)
            });
            let step = step.expect("it can be captured");
            let before = device.counters().passes;
            step.run([&x, &labels]).expect("the shapes fit");
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
        let double = |x: &Tensor| Ok(x * 2.0);
        // A read.
        refused(device.capture(&x, |x| x.sum().item().map(drop)), "was read inside the step");
        refused(device.capture(&x, |x| x.to(&Device::cpu())), "was read inside the step");
        // A write.
        let written = |x: &Tensor| Ok(x + Tensor::from_slice(&[1.0f32, 2.0], [2], &device));
        refused(device.capture(&x, written), "written from the host");
        // A capture within another.
        refused(device.capture(&x, |x| device.capture(x, double).map(drop)), "do not nest");
        let step = device.capture(&x, double).expect("it can be captured");
        refused(device.capture(&x, |x| step.run(x)), "inside another");
        // What another thread makes.
        let elsewhere = |x: &Tensor| {
            let y = std::thread::scope(|scope| scope.spawn(|| x.exp()).join()).expect("no panic");
            Ok(&y + x)
        };
        refused(device.capture(&x, elsewhere), "another thread made while the step was captured");
        // A tensor from before that ends in the step.
        let mut state = Some(Tensor::ones([2], &device));
        let replaced = |x: &Tensor| {
            let next = x + state.take().expect("it is there");
            state = Some(next.clone());
            Ok(next)
        };
        refused(device.capture(&x, replaced), "was dropped in it");
        // Other shapes, other numbers of inputs, the step's own result.
        let long = Tensor::ones([3], &device);
        refused(step.run(&long), "inputs of f32 [3] do not fit the captured step, which takes f32 [2]");
        refused(step.run([]), "do not fit");
        refused(step.run(&step.outputs()), "that the step itself writes");
        // After all that the device works, and so does the step.
        let again = step.run(&step.outputs().copy()).expect("a copy is no result");
        assert_eq!(again.to_vec::<f32>().expect("the device works"), [4.0, 8.0]);
    }
}

#[test]
fn a_panic_in_a_captured_step_leaves_the_device_in_order() {
    for (_, device) in devices() {
        let x = Tensor::from_slice(&[1.0f32, 2.0], [2], &device);
        let fails = || device.capture(&x, |_| -> wgrad::Result<()> { panic!("as it is meant to") });
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(fails)).is_err());
        assert_eq!(x.exp().to_vec::<f32>().expect("the device works").len(), 2);
        assert!(device.capture(&x, |x| Ok(x.exp())).is_ok());
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
            let work = |x: &Tensor| {
                let loss = line.forward(&dropout.forward(x, &ctx), &ctx).sum();
                optimizer.step(&loss.backward());
                assert!(!panics, "as it is meant to");
                loss.item().map(drop)
            };
            device.capture(&x, work).map(drop)
        };
        assert!(fail(false).is_err());
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| fail(true))).is_err());
        let state = optimizer.state().expect("the device works");
        assert_eq!((state["step"].values.clone(), generator.position()), (Values::I64(vec![0]), 0), "on {name}");
        let work = |x: &Tensor| {
            let loss = line.forward(&dropout.forward(x, &ctx), &ctx).sum();
            optimizer.step(&loss.backward());
            Ok(loss)
        };
        device.capture(&x, work).expect("it can be captured").run(&x).expect("the shapes fit");
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
            let work = |x: &Tensor| Ok(x * &weight + Tensor::scalar(1.0f32, &device));
            device.capture(&x, work).expect("it can be captured")
        };
        // These would take the places of what was freed.
        let others: Vec<Tensor> = (0..8).map(|_| Tensor::from_slice(&[-1.0f32, -1.0], [2], &device)).collect();
        let y = step.run(&x).expect("the shapes fit");
        assert_eq!(y.to_vec::<f32>().expect("the device works"), [11.0, 41.0]);
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
        let mut draw = || bits(&replay.run(&x, |x| Ok(pass(&two, x))).expect("it can be replayed"));
        assert_eq!((0..4).map(|_| draw()).collect::<Vec<_>>(), eager);
        assert_ne!(eager[1], eager[2]);
    }
}

/// Two shapes in turn are replayed both, with the bits of eager steps; what one leaves the other goes on from.
#[test]
fn shapes_that_take_turns_are_replayed_both() {
    for (name, device) in devices() {
        for recipe in [CLIPPED, DROPOUT] {
            let (mut eager, mut replayed) = (Trainer::new(&recipe, &device), Trainer::new(&recipe, &device));
            let (mut replay, mut asked) = (Replay::checked(), 0);
            for step in 0..8 {
                let rows = [32, 9][step % 2];
                let part = |[x, labels]: [Tensor; 2]| [x.narrow(0, 0, rows), labels.narrow(0, 0, rows)];
                let ([x, labels], [own, own_labels]) = (part(eager.next()), part(replayed.next()));
                let want = eager.train(&x, &labels).item().expect("the device works");
                let dispatches = device.counters().dispatches;
                let got = replay.run([&own, &own_labels], |[x, labels]| {
                    asked += 1;
                    Ok(replayed.train(x, labels))
                });
                let got = got.expect("it can be replayed").item().expect("the device works");
                assert_eq!(got.to_bits(), want.to_bits(), "{} on {name}, step {step}", recipe.name);
                if step > 3 {
                    let dispatches = device.counters().dispatches - dispatches;
                    let plan = replay.captures().last().expect("it ran last").plan().dispatches().len() as u64;
                    assert_eq!(dispatches, plan, "{} on {name}, step {step}", recipe.name);
                }
            }
            assert_eq!((replay.captures().len(), asked), (2, 8));
            assert_eq!(first_difference(&eager.weights(), &replayed.weights()), None, "{} on {name}", recipe.name);
        }
    }
}

/// The sizes of the captures after each of some runs, and how often the step's code ran.
fn sizes(device: &Device, all: impl IntoIterator<Item = usize>) -> (Vec<usize>, usize) {
    let (mut replay, mut asked) = (Replay::new(), 0);
    for n in all {
        let y = replay.run(&Tensor::full([n], 0.5, device), |x| {
            asked += 1;
            Ok(x.square().sum())
        });
        assert_eq!(y.expect("it runs").item().expect("the device works"), 0.25 * n as f32);
    }
    let size = |captured: &Captured| captured.plan().dispatches()[0].bindings[0].bytes as usize / 4;
    (replay.captures().iter().map(size).collect(), asked)
}

#[test]
fn shapes_are_captured_when_they_come_again() {
    let device = Device::cpu();
    // A last, smaller batch, from the second epoch on.
    assert_eq!(sizes(&device, [32, 32, 9, 32, 32, 9]).0, [32, 9]);
    // Shapes that do not come again cost nothing.
    let (captured, asked) = sizes(&device, 1..100);
    assert_eq!((captured, asked), (vec![1], 99));
    // Of many in turn some are replayed, and none pushes another out.
    let (captured, asked) = sizes(&device, (0..400).map(|i| 1 + i % 20));
    assert_eq!(captured, [1, 2, 3, 4, 5, 6, 7, 8]);
    let checks = if cfg!(debug_assertions) { 8 } else { 0 };
    assert_eq!(asked, 12 * 20 + 1 + 7 * 2 + checks);
    // Others take over when those do not come any more.
    let (captured, _) = sizes(&device, (0..40).map(|i| 1 + i % 8).chain((0..40).map(|i| 11 + i % 8)));
    assert_eq!(captured, [11, 12, 13, 14, 15, 16, 17, 18]);
}

#[test]
fn captures_of_one_step_share_memory_and_their_results_end_together() {
    for (name, device) in devices() {
        let mut replay = Replay::new();
        let mut run = |n: usize| {
            let step = |x: &Tensor| Ok((x.exp().matmul(&x.t()) + x.square().matmul(&x.t())).sum());
            replay.run(&Tensor::full([n, 1 << 20], 1e-4, &device), step).expect("it can be replayed")
        };
        for n in [8, 1, 2, 3, 4, 5, 6, 7].into_iter().cycle().take(16) {
            run(n);
        }
        let before = device.counters().bytes;
        let kept = [run(8), run(7)];
        let after = device.counters().bytes;
        assert!(after <= before + 4096, "{before} and then {after} bytes on {name}");
        assert!(matches!(kept[0].item(), Err(Error::Capture(_))), "a later run has ended it, on {name}");
        assert!(kept[1].item().is_ok(), "on {name}");
        // Of its own each would take two inner tensors of n times 4 MiB: 224 MiB more.
        assert_eq!(replay.captures().len(), 8, "on {name}");
        assert!(before < 256 << 20, "{before} bytes on {name}");
    }
}

#[test]
fn a_step_gives_what_it_was_captured_with() {
    let device = Device::cpu();
    let (mut replay, x) = (Replay::new(), Tensor::ones([2], &device));
    let [y, z] = replay.run([&x, &x], |[a, b]| Ok([a + b, a * b])).expect("it can be captured");
    assert_eq!([y, z].map(|y| y.sum().item()), [Ok(4.0), Ok(2.0)]);
    let all: Vec<Tensor> = replay.run([&x, &x], |[a, b]| Ok(vec![a + b, a * b])).expect("as many results");
    assert_eq!(all.len(), 2);
    refused(replay.run([&x, &x], |[a, b]| Ok(a + b)), "captured with 2 results");
}

/// The gradient is changed on the host between `backward` and the update, in its place each time.
#[test]
fn the_host_works_in_its_place_of_a_replayed_step() {
    for (name, device) in devices() {
        let run = |replayed: bool| {
            let line = Linear::new(3, 2, &mut Init::new(0, &device));
            let weight = line.weight.tensor().detach().requires_grad();
            let (mut replay, calls) = (Replay::checked(), Arc::new(AtomicUsize::new(0)));
            let step = |[x, scale]: [&Tensor; 2]| {
                let y = x.linear(&weight, None);
                let loss = y.square().mean();
                let gradient = loss.backward().of(&weight).expect("it depends on it").copy();
                let calls = calls.clone();
                device.host(&[scale], &[&gradient], move |call| {
                    calls.fetch_add(1, Ordering::Relaxed);
                    let scale = call.read::<f32>(0)[0];
                    call.write::<f32>(1).iter_mut().for_each(|g| *g = g.round() * scale);
                    Ok(())
                })?;
                weight.assign(&(&weight.detach() - &gradient * 0.5));
                // Nothing reads what it writes here.
                device.host(&[], &[&y.detach().copy()], |_| Ok(()))?;
                Ok([loss, gradient.square().sum()])
            };
            let mut all = Vec::new();
            for i in 0..5 {
                let x = Tensor::from_slice(&[1.0f32, 2.0 + i as f32, -3.0], [1, 3], &device);
                let scale = Tensor::full([1], 0.25 + i as f32, &device);
                let inputs = [&x, &scale];
                let results = if replayed { replay.run(inputs, step) } else { step(inputs) };
                all.extend(results.expect("it runs").map(|y| y.item().expect("the device works").to_bits()));
            }
            all.extend(weight.to_vec::<f32>().expect("the device works").iter().map(|w| w.to_bits()));
            if replayed {
                let plan = replay.captures()[0].plan().to_string();
                assert_eq!(plan.matches("host").count(), 2, "{plan}");
            }
            (all, calls.load(Ordering::Relaxed))
        };
        assert_eq!(run(true), run(false), "on {name}");
        assert_eq!(run(true).1, 5, "on {name}");
    }
}

#[test]
fn an_error_of_the_host_is_that_of_the_run() {
    for (name, device) in devices() {
        let x = Tensor::from_slice(&[1.0f32, 2.0], [2], &device);
        let mut replay = Replay::new();
        let mut run = |x: &Tensor| {
            replay.run(x, |x| {
                let y = x * 2.0;
                device.host(&[x], &[&y], |call| match call.read::<f32>(0)[0] > 0.0 {
                    true => Ok(()),
                    false => Err(Error::Option("a peer is gone".into())),
                })?;
                Ok(y.exp())
            })
        };
        for _ in 0..2 {
            let fails = run(&x.neg()).expect_err("the host refuses it").to_string();
            assert!(fails.contains("a peer is gone"), "{fails} on {name}");
            let y = run(&x).expect("it goes on").to_vec::<f32>().expect("the device works");
            assert!((y[0] - 2f32.exp()).abs() < 1e-4, "{y:?} on {name}");
        }
    }
}

#[test]
fn work_on_a_second_device_is_refused() {
    for (name, device) in devices() {
        let other = Device::new_cpu();
        let (x, z) = (Tensor::ones([2], &device), Tensor::ones([2], &other));
        let step = other.capture(&z, |z| Ok(z * 2.0)).expect("it is captured");
        let works: [(&str, &dyn Fn() -> wgrad::Result<()>); 5] = [
            ("a kernel", &|| {
                z.assign(&(&z * 2.0));
                Ok(())
            }),
            ("elements", &|| {
                drop(Tensor::from_slice(&[1.0f32], [1], &other));
                Ok(())
            }),
            ("a read", &|| z.to_vec::<f32>().map(drop)),
            ("a capture", &|| other.capture(&z, |z| Ok(z * 3.0)).map(drop)),
            ("a run", &|| step.run(&z).map(drop)),
        ];
        for (what, work) in works {
            let run = |x: &Tensor| {
                work()?;
                Ok(x.sin())
            };
            let due =
                format!("a step on {device} works on a second device too, {other}, and no replay would do that again");
            for told in [Replay::new().run(&x, run).map(drop), device.estimate(&x, run).map(drop)] {
                let told = told.map_or_else(|told| told.to_string(), |()| "nothing".to_string());
                assert!(told.contains(&due), "{what} on {name}: {told}");
            }
        }
        // Another thread may, and so may this one outside of the step.
        let y = Replay::new().run(&x, |x| {
            std::thread::scope(|scope| scope.spawn(|| (&z * 1.0).to_vec::<f32>()).join().expect("no panic"))?;
            Ok(x.sin())
        });
        assert_eq!(y.and_then(|y| y.to_vec::<f32>()).map(|y| y.len()), Ok(2), "on {name}");
        assert_eq!(step.run(&z).and_then(|y| y.to_vec::<f32>()).map(|y| y.len()), Ok(2), "on {name}");
    }
}
