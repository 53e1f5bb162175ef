//! What a step costs on a GPU: one submit, and nothing new once the first steps have made it.

use super::recipes::{BATCH_NORM, CNN, DROPOUT, Trainer};
use crate::devices::gpu;
use wgrad::backend::Counters;
use wgrad::nn::{Ctx, Init, Layer, Linear, Relu, Sequential};
use wgrad::optim::{Adam, AdamOptions, Optimizer};
use wgrad::{Device, Tensor};

fn since(before: Counters, device: &Device) -> Counters {
    let now = device.counters();
    Counters {
        dispatches: now.dispatches - before.dispatches,
        passes: now.passes - before.passes,
        submits: now.submits - before.submits,
        buffers: now.buffers - before.buffers,
        bind_groups: now.bind_groups - before.bind_groups,
        pipelines: now.pipelines - before.pipelines,
        bytes: now.bytes - before.bytes,
    }
}

#[test]
fn gpu_a_step_is_one_submit_and_makes_nothing_new() {
    let Some(device) = gpu() else { return };
    for recipe in [CNN, DROPOUT, BATCH_NORM] {
        let mut trainer = Trainer::new(&recipe, &device);
        trainer.steps(3);
        let mut first = None;
        for step in 4..9 {
            let before = device.counters();
            trainer.steps(1);
            let made = since(before, &device);
            let first = *first.get_or_insert(made);
            println!("{}, step {step}: {made:?}", recipe.name);
            assert!(made.dispatches > 10 && made.passes >= made.dispatches, "{}: {made:?}", recipe.name);
            let Counters { dispatches, passes, .. } = first;
            let lean = Counters { dispatches, passes, submits: 1, ..Counters::default() };
            assert_eq!(made, lean, "{}, step {step}", recipe.name);
        }
    }
}

/// Many steps of a network so small that its numbers cost nothing, the loss read every `interval` steps.
fn many_steps(device: &Device, interval: usize, mut at: impl FnMut(usize)) {
    let mut init = Init::new(1, device);
    let model =
        Sequential::new().push(Linear::new(8, 16, &mut init)).push(Relu::new()).push(Linear::new(16, 4, &mut init));
    let mut optimizer = Adam::new(&model, AdamOptions::default()).expect("good options");
    for step in 1..=1000 {
        let x: Vec<f32> = (0..64).map(|i| ((i * step) % 17) as f32 / 17.0).collect();
        let labels: Vec<i32> = (0..8).map(|i| ((i + step) % 4) as i32).collect();
        let (x, labels) = (Tensor::from_vec(x, [8, 8], device), Tensor::from_vec(labels, [8], device));
        let loss = model.forward(&x, &Ctx::train()).cross_entropy(&labels);
        optimizer.step(&loss.backward());
        if step % interval == 0 {
            assert!(loss.item().expect("the device works").is_finite());
        }
        at(step);
    }
}

#[test]
fn gpu_a_thousand_steps_that_read_their_loss_stay_flat() {
    let Some(device) = gpu() else { return };
    let mut before = device.counters();
    many_steps(&device, 1, |step| match step {
        3 => before = device.counters(),
        _ if step > 3 => {
            let Counters { submits, buffers, bind_groups, pipelines, bytes, .. } = since(before, &device);
            assert_eq!((submits, buffers, bind_groups, pipelines, bytes), (step as u64 - 3, 0, 0, 0, 0), "step {step}");
        }
        _ => (),
    });
}

/// Without a read nothing waits, yet nothing piles up: the optimizer's write of its step's numbers sends out the step
/// before, so that at most one step is pending, and its batch has buffers of its own.
#[test]
fn gpu_a_thousand_steps_that_seldom_read_stay_bounded() {
    let Some(device) = gpu() else { return };
    let (mut third, mut hundredth) = (device.counters(), device.counters());
    many_steps(&device, 50, |step| match step {
        3 => third = device.counters(),
        100 => hundredth = device.counters(),
        _ => (),
    });
    let (late, all) = (since(hundredth, &device), since(third, &device));
    println!("after step 3: {all:?}\nafter step 100: {late:?}");
    assert_eq!((late.buffers, late.bind_groups, late.pipelines, late.bytes), (0, 0, 0, 0), "{late:?}");
    assert_eq!(late.submits, 900, "one for each step, with or without a read");
    // The second set of a batch's buffers: images, labels, and the 1 that a gradient starts from.
    assert!(all.buffers <= 3 && all.bytes <= 3 * 512, "{all:?}");
}
