//! Means that are not over the items: labels that are left out, and weights of classes.

use super::parallel::{apart, several};
use crate::devices::devices;
use wgrad::data::{DataLoader, LoaderOptions};
use wgrad::nn::{Ctx, Init, Layer, Linear, StateDict, state};
use wgrad::ops::cross_entropy::CrossEntropyOptions;
use wgrad::optim::{Adam, AdamOptions};
use wgrad::parallel::{Alone, Group, Threads};
use wgrad::train::{History, Outcome, Trainer};
use wgrad::{Device, Result, Tensor};

/// Of each eight items the first four have labels that count nothing; of each 16 those behind `most` too, and then all from the
/// 24th on: a half of the second batch, and the third.
fn items(most: usize) -> Vec<([f32; 2], i32)> {
    let label = |i: usize| if i % 8 < 4 || i % 16 > most || most < 15 && i >= 24 { -100 } else { (i * i % 3) as i32 };
    (0..48).map(|i| ([(i as f32 * 2.4).sin(), (i as f32 * 2.4).cos()], label(i))).collect()
}

/// How a loss is made.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Made {
    Plain,
    Weighed,
    /// By hand, with a gradient that is no number where nothing counts.
    Masked,
}

fn run(
    group: impl Group + 'static,
    device: &Device,
    made: Made,
    [micro, most]: [usize; 2],
) -> Result<(History, StateDict)> {
    let model = Linear::new(2, 3, &mut Init::new(3, device));
    let classes = Tensor::from_slice(&[0.5f32, 2.0, 1.5], [3], device);
    let step = |[x, labels]: [&Tensor; 2], ctx: &Ctx| {
        let logits = model.forward(x, ctx);
        let counts = labels.ne(-100);
        let (loss, over) = match made {
            Made::Plain => (logits.cross_entropy(labels), counts.sum()),
            Made::Weighed => {
                let options = CrossEntropyOptions { weight: Some(classes.clone()), ..CrossEntropyOptions::default() };
                let over = labels.one_hot(3).mul(&classes).sum();
                (logits.cross_entropy_with(labels, &options), over)
            }
            Made::Masked => {
                let own = logits.square().mean_dims(&[1], wgrad::ops::reduce::KeepDims::No);
                (own.mul(&counts).sum().div(&counts.sum()), counts.sum())
            }
        };
        let twice = &loss * 2.0;
        Ok(Outcome::of(loss).and("twice", &twice).over(&over))
    };
    let set = || DataLoader::new(items(most), LoaderOptions { batch_size: 16, ..LoaderOptions::default() });
    let adam = Adam::new(&model, AdamOptions { lr: 0.1, ..AdamOptions::default() })?;
    let mut trainer = Trainer::new(device, &model, adam, step).epochs(3).micro_batches(micro).parallel(group);
    let history = trainer.fit(&set()?, Some(&set()?))?;
    drop(trainer);
    Ok((history, state(&model)?))
}

#[test]
fn parts_of_a_batch_weigh_by_what_counts_in_them() {
    for (name, device) in devices() {
        for made in [Made::Plain, Made::Weighed, Made::Masked] {
            let whole = run(Alone, &device, made, [1, 10]).expect("it trains");
            for micro in [2, 4, 5, 16] {
                let parts = run(Alone, &device, made, [micro, 10]).expect("it trains");
                assert!(apart(&whole.1, &parts.1) < 1e-4, "{made:?} in {micro} parts on {name}");
                for figure in ["loss", "val_loss", "twice", "val_twice"] {
                    let [a, b] = [&whole.0, &parts.0].map(|history| history.of(figure));
                    let is_near = a.len() == 3 && a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-4 * a.abs());
                    assert!(is_near, "{figure} of {made:?} in {micro} parts on {name}: {a:?} {b:?}");
                }
            }
        }
        // As many labels count on each rank.
        let whole = run(Alone, &device, Made::Plain, [1, 15]).expect("it trains");
        let all = Threads::run(&several(&device, 2), |group, device| run(group, device, Made::Plain, [2, 15]));
        for rank in all.expect("they train") {
            assert!(apart(&whole.1, &rank.1) < 1e-4, "two ranks on {name}");
        }
    }
}

#[test]
fn what_an_epoch_tells_is_a_mean_over_what_counts() {
    let device = Device::cpu();
    let model = Linear::new(2, 3, &mut Init::new(3, &device));
    let step = |[x, labels]: [&Tensor; 2], ctx: &Ctx| {
        Ok(Outcome::of(model.forward(x, ctx).cross_entropy(labels)).over(&labels.ne(-100).sum()))
    };
    let adam = Adam::new(&model, AdamOptions::default()).expect("good options");
    let mut trainer = Trainer::new(&device, &model, adam, step);
    let of = |batch_size| {
        DataLoader::new(items(10), LoaderOptions { batch_size, ..LoaderOptions::default() }).expect("items")
    };
    let losses = [32, 16, 5, 1].map(|size| trainer.evaluate(&of(size)).expect("it can").get("loss").expect("a loss"));
    assert!(losses.iter().all(|loss| (loss - losses[0]).abs() < 1e-5), "{losses:?}");
    let adam = Adam::new(&model, AdamOptions::default()).expect("good options");
    let wrong = |[x, labels]: [&Tensor; 2], ctx: &Ctx| {
        Ok(Outcome::of(model.forward(x, ctx).cross_entropy(labels)).over(&labels.ne(-100)))
    };
    let told = Trainer::new(&device, &model, adam, wrong).evaluate(&of(16)).expect_err("one for each item").to_string();
    assert!(told.contains("what a loss is a mean over has the shape [16]: expected one number"), "{told}");
}

#[test]
fn a_first_batch_in_which_nothing_counts_ends_no_run() {
    for (name, device) in devices() {
        let fit = |labels: fn(usize) -> i32| {
            let model = Linear::new(2, 3, &mut Init::new(3, &device));
            let set: Vec<([f32; 2], i32)> =
                (0..16).map(|i| ([(i as f32).sin(), (i as f32).cos()], labels(i))).collect();
            let set = DataLoader::new(set, LoaderOptions { batch_size: 4, ..LoaderOptions::default() })?;
            let step = |[x, labels]: [&Tensor; 2], ctx: &Ctx| {
                // Long enough for a look at the figures after the first step.
                std::thread::sleep(std::time::Duration::from_millis(220));
                Ok(Outcome::of(model.forward(x, ctx).cross_entropy(labels)).over(&labels.ne(-100).sum()))
            };
            let adam = Adam::new(&model, AdamOptions::default())?;
            Trainer::new(&device, &model, adam, step).fit(&set, None)
        };
        let history = fit(|i| if i < 8 { -100 } else { (i % 3) as i32 }).expect("it trains");
        assert!(history.last("loss").is_some_and(f64::is_finite), "{name}: {history}");
        let told = fit(|_| -100).expect_err("nothing counts at all").to_string();
        assert!(told.starts_with("the loss became NaN in epoch 1, by step 4"), "{name}: {told}");
    }
}
