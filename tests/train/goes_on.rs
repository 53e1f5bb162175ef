//! Checkpoints that a run goes on from: what is never written, and what may be another when it is resumed.

use super::trainer::{loader, network, outcome, plain};
use crate::devices::devices;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use wgrad::data::{DataLoader, Dataset, LoaderOptions};
use wgrad::metrics::{Accuracy, LogLoss};
use wgrad::nn::{Init, Layer, Linear};
use wgrad::optim::{Sgd, SgdOptions};
use wgrad::parallel::Threads;
use wgrad::train::{Checkpoints, Figures, Outcome, Trainer};
use wgrad::{Device, Result, Tensor};

fn files(folder: &Path) -> Vec<String> {
    let name = |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    let mut all: Vec<String> = std::fs::read_dir(folder).expect("a folder").flatten().map(name).collect();
    all.retain(|name| name.starts_with("step-"));
    all.sort();
    all
}

#[test]
fn weights_that_are_no_numbers_are_not_saved() {
    for (name, device) in devices() {
        let folder = tempfile::tempdir().expect("a folder");
        let model = Linear::new(2, 2, &mut Init::new(0, &device));
        let sgd = Sgd::new(&model, SgdOptions { lr: 0.1, ..SgdOptions::default() }).expect("a rate");
        // The root of 0 has no slope, though the loss is a number: of the rows behind the first batch.
        let step = |[x]: [&Tensor; 1], ctx: &wgrad::nn::Ctx| {
            let y = model.forward(&x.narrow(1, 0, 2), ctx).mul(&x.narrow(1, 2, 1));
            Ok(Outcome::of(y.abs().sqrt().mean()))
        };
        let set: Vec<[f32; 3]> = (0..8).map(|at| [1.0, at as f32, if at < 4 { 1.0 } else { 0.0 }]).collect();
        let options = LoaderOptions { batch_size: 4, ..LoaderOptions::default() };
        let set = DataLoader::new(set, options).expect("rows");
        let checkpoints = Checkpoints::in_folder(folder.path()).every_steps(1).keep(1);
        let mut trainer = Trainer::new(&device, &model, sgd, step).max_steps(2).checkpoints(checkpoints.clone());
        let told = trainer.fit(&set, None).expect_err("the weights are lost").to_string();
        assert!(told.contains("` holds a number that is not finite after step 2: no checkpoint"), "{name}: {told}");
        assert_eq!(files(folder.path()), ["step-000000001.safetensors"], "{name}");
        // What never moves may be what it will.
        model.weight.tensor().detach().upload(&[f32::INFINITY; 4]);
        model.bias.as_ref().expect("it has one").tensor().detach().upload(&[0.5f32; 2]);
        let other = tempfile::tempdir().expect("a folder");
        let checkpoints = Checkpoints::in_folder(other.path());
        let sgd = Sgd::new(&model, SgdOptions { lr: 0.1, ..SgdOptions::default() }).expect("a rate");
        let step = |_: [&Tensor; 1], _: &wgrad::nn::Ctx| {
            Ok(Outcome::of(model.bias.as_ref().expect("it has one").tensor().square().mean()))
        };
        let mut trainer =
            Trainer::new(&device, &model, sgd, step).freeze("weight", usize::MAX).checkpoints(checkpoints);
        trainer.fit(&set, None).expect("it trains");
        assert_eq!(files(other.path()).len(), 1, "{name}");
    }
}

/// Points with noise that is another each time.
struct Noisy(AtomicU32, bool);

impl Dataset for Noisy {
    type Item = ([f32; 2], i32);

    fn len(&self) -> usize {
        96
    }

    fn get(&self, row: usize) -> Result<Self::Item> {
        assert!(row != 0 || !self.1, "a bad item");
        let drawn = self.0.fetch_add(1, Ordering::Relaxed);
        Ok(([row as f32 / 96.0, drawn as f32 / 1e6], (row % 2) as i32))
    }
}

fn noisy(start: u32, is_bad: bool, batch_size: usize) -> DataLoader<Noisy> {
    let options = LoaderOptions { batch_size, ..LoaderOptions::default() };
    DataLoader::new(Noisy(AtomicU32::new(start), is_bad), options).expect("points")
}

#[test]
fn a_set_that_draws_anew_is_gone_on_with() {
    let device = Device::cpu();
    let folder = tempfile::tempdir().expect("a folder");
    let fit = |set: &DataLoader<Noisy>, most: u64| {
        let model = network(&device);
        let checkpoints = Checkpoints::in_folder(folder.path()).resume();
        plain(&device, &model, 0.1).epochs(2).max_steps(most).checkpoints(checkpoints).fit(set, None)
    };
    fit(&noisy(0, false, 32), 2).expect("it trains");
    let history = fit(&noisy(5000, false, 32), 99).expect("it goes on");
    assert_eq!(history.epochs.iter().map(|epoch| epoch.step).collect::<Vec<_>>(), [3, 6]);
    let told = fit(&noisy(0, false, 16), 99).expect_err("batches of other sizes").to_string();
    assert!(
        told.contains("on other data: 96 items, 32 a batch, in order, items drawn anew; now 96 items, 16"),
        "{told}"
    );
    // Ranks draw what they will.
    let all = Threads::run(&[Device::cpu(), Device::cpu()], |group, device| {
        let model = network(device);
        let set = noisy(if wgrad::parallel::Group::rank(&group) == 0 { 0 } else { 7000 }, false, 32);
        plain(device, &model, 0.1).parallel(group).fit(&set, None)
    });
    assert_eq!(all.expect("they train").len(), 2);
}

#[test]
fn a_first_item_that_panics_is_told_like_any_other() {
    let device = Device::cpu();
    let model = network(&device);
    let told = plain(&device, &model, 0.1).fit(&noisy(0, true, 32), None).expect_err("no item 0").to_string();
    assert!(told.contains("item 0: it panicked: a bad item"), "{told}");
}

/// The figures of the first epoch, of a run that is stopped within it and goes on as another.
fn gone_on(
    first: impl for<'a> Fn(Trainer<'a, 2>) -> Trainer<'a, 2>,
    then: impl for<'a> Fn(Trainer<'a, 2>) -> Trainer<'a, 2>,
) -> Result<Figures> {
    let device = Device::cpu();
    let folder = tempfile::tempdir().expect("a folder");
    let fit = |most: u64, make: &dyn for<'a> Fn(Trainer<'a, 2>) -> Trainer<'a, 2>| {
        let model = network(&device);
        let checkpoints = Checkpoints::in_folder(folder.path()).resume();
        make(plain(&device, &model, 0.0)).max_steps(most).checkpoints(checkpoints).fit(&loader(320, 0), None)
    };
    fit(6, &|own| first(own))?;
    Ok(fit(10, &|own| then(own))?.epochs[0].figures.clone())
}

#[test]
fn metrics_may_be_others_when_a_run_goes_on() {
    let both = |own: &Figures, name: &str| own.get(name).unwrap_or_else(|| panic!("no {name} in {own:?}"));
    let whole = gone_on(
        |own| own.metric(Accuracy::new()).metric(LogLoss::new()),
        |own| own.metric(LogLoss::new()).metric(Accuracy::new()),
    );
    let whole = whole.expect("in another order");
    // Of class labels the loss is the same mean.
    assert!((both(&whole, "log_loss") - both(&whole, "loss")).abs() < 1e-5, "{whole:?}");
    let swapped = gone_on(|own| own.metric(Accuracy::new()), |own| own.metric(LogLoss::new())).expect("another");
    let added = gone_on(|own| own, |own| own.metric(Accuracy::new()).metric(LogLoss::new())).expect("more");
    for figures in [&swapped, &added] {
        assert_eq!(both(figures, "loss"), both(&whole, "loss"));
        // Of the batches since, which differ a little.
        let (a, b) = (both(figures, "log_loss"), both(&whole, "log_loss"));
        assert!((a - b).abs() < 0.2 * b && a != b, "{a} {b}");
    }
    let fewer = gone_on(|own| own.metric(Accuracy::new()), |own| own).expect("fewer");
    assert_eq!(fewer.names(), ["loss", "size"]);
    let twice = gone_on(|own| own.metric(Accuracy::new()).metric(Accuracy::new()), |own| own.metric(Accuracy::new()));
    assert_eq!(twice.expect("one of two").get("accuracy"), whole.get("accuracy"));
}

#[test]
fn means_may_be_others_when_a_run_goes_on() {
    let device = Device::cpu();
    let fit = |folder: &Path, most: u64, names: &[&str]| -> Result<Figures> {
        let model = network(&device);
        let sgd = Sgd::new(&model, SgdOptions { lr: 0.0, ..SgdOptions::default() })?;
        let step = |batch: [&Tensor; 2], ctx: &wgrad::nn::Ctx| {
            let outcome = Outcome::of(outcome(&model, batch, ctx).loss);
            let numbers = [("one", 1.0f32), ("two", 2.0), ("three", 3.0)];
            let told = numbers.into_iter().filter(|(name, _)| names.contains(name));
            let told = told.map(|(name, number)| (name, Tensor::full([], number, batch[0].device())));
            Ok(told.fold(outcome, |outcome, (name, value)| outcome.and(name, &value)))
        };
        let checkpoints = Checkpoints::in_folder(folder).resume();
        let mut trainer = Trainer::new(&device, &model, sgd, step).max_steps(most).checkpoints(checkpoints);
        let history = trainer.fit(&loader(320, 0), None)?;
        Ok(history.epochs.first().map(|epoch| epoch.figures.clone()).unwrap_or_default())
    };
    let all = ["one", "two", "three"];
    for (first, then) in [(&all[..], &["three"][..]), (&["two"], &all), (&[], &["one"]), (&["one", "three"], &["two"])]
    {
        let folder = tempfile::tempdir().expect("a folder");
        fit(folder.path(), 6, first).expect("it trains");
        // A checkpoint before any step keeps the names that it has.
        fit(folder.path(), 6, then).expect("it is done");
        let found = fit(folder.path(), 10, then).expect("it goes on");
        for name in then {
            let number = all.iter().position(|own| own == name).expect("it is there") as f64 + 1.0;
            let told = found.get(name).expect("it is told");
            assert!((told - number).abs() < 1e-4, "{name} is {told} after {first:?}");
        }
    }
}
