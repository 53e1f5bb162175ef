//! Searches for a rate and for the size of a batch: they are of the run that follows, and leave it as it is.

use super::parallel::several;
use super::trainer::{loader, network, outcome, plain};
use crate::devices::devices;
use std::cell::Cell;
use wgrad::data::Array;
use wgrad::nn::{Ctx, Init, Layer, Linear, Precision, Relu, Sequential};
use wgrad::optim::{GradScaler, GradScalerOptions, Sgd, SgdOptions};
use wgrad::parallel::{Alone, Group, Threads};
use wgrad::train::{BatchSizes, Drawn, LrRange, Trainer};
use wgrad::{Device, Error, Result, Tensor};

/// The scale of the loss in a run, after a search of a kind.
fn scales(device: &Device, search: impl Fn(&mut Trainer<2>) -> Result<()>) -> Vec<f64> {
    let model = network(device);
    let sgd = Sgd::new(&model, SgdOptions { lr: 0.05, ..SgdOptions::default() }).expect("a rate");
    let options = GradScalerOptions { init_scale: 1.0, growth_interval: 5, ..GradScalerOptions::default() };
    let scaler = GradScaler::with(device, options).expect("in range");
    let step = |batch: [&Tensor; 2], ctx: &wgrad::nn::Ctx| Ok(outcome(&model, batch, ctx));
    let mut trainer = Trainer::new(device, &model, sgd, step).epochs(2).precision_with(Precision::F32, scaler);
    search(&mut trainer).expect("it searches");
    trainer.fit(&loader(300, 0), None).expect("it trains").of("loss_scale")
}

#[test]
fn a_search_leaves_the_scale_of_the_loss() {
    for (name, device) in devices() {
        let wanted = scales(&device, |_| Ok(()));
        assert!(wanted.len() == 2 && wanted[0] > 1.0, "{name}: {wanted:?}");
        let range = LrRange { low: 1e-5, high: 1e-2, steps: 40 };
        assert_eq!(scales(&device, |trainer| trainer.find_lr(&loader(300, 0), range).map(drop)), wanted, "{name}");
        let sizes = BatchSizes { high: 32, ..BatchSizes::default() };
        let sized = |trainer: &mut Trainer<2>| trainer.find_batch_size(|_| Ok(loader(300, 0)), sizes).map(drop);
        assert_eq!(scales(&device, sized), wanted, "{name}");
    }
}

#[test]
fn a_search_for_the_rate_moves_what_the_run_moves() {
    let device = Device::cpu();
    let losses = |frozen: &[(&str, usize)]| {
        let model = network(&device);
        let trainer = frozen.iter().fold(plain(&device, &model, 0.1), |own, (path, until)| own.freeze(path, *until));
        let range = LrRange { low: 1e-3, high: 1.0, steps: 20 };
        let mut trainer = trainer.epochs(2);
        trainer.find_lr(&loader(300, 0), range).expect("it searches").losses
    };
    let whole = losses(&[]);
    let head = losses(&[("0", usize::MAX), ("1", usize::MAX)]);
    assert!(whole[0] == head[0] && whole != head, "what is frozen has moved");
    // A layer that waits for the second epoch is not of the first, with which a search begins.
    assert_eq!(losses(&[("0", 1), ("1", 1)]), head);
    assert_eq!(losses(&[("0", 0)]), whole);
}

#[test]
fn a_set_without_batches_is_an_error_everywhere() {
    let device = Device::cpu();
    let model = network(&device);
    let mut trainer = plain(&device, &model, 0.1);
    let nothing = || Drawn::new(0, 1, |_| Ok([Array::new(vec![0.0f32], [1]), Array::new(vec![0i32], [1])]));
    let told = |error: Error| error.to_string();
    assert!(told(trainer.find_lr(&nothing(), LrRange::default()).expect_err("no batch")).contains("has no batch"));
    assert!(told(trainer.fit(&nothing(), None).expect_err("no batch")).contains("epoch 1 has no batch"));
    let found = trainer.find_batch_size(|_| Ok(nothing()), BatchSizes::default()).expect("it ends");
    assert_eq!(found.ended, "the set has no batch of 8 items");
}

/// A search for a rate as a rank of a group, by a model that sees each item alone; and the most items of a batch that it saw.
fn searched(group: impl Group + 'static, device: &Device) -> Result<(Vec<f64>, Vec<f64>, usize)> {
    let init = &mut Init::new(5, device);
    let model = Sequential::new().push(Linear::new(2, 16, init)).push(Relu::new()).push(Linear::new(16, 2, init));
    let most = Cell::new(0);
    let sgd = Sgd::new(&model, SgdOptions { lr: 0.05, ..SgdOptions::default() })?;
    let mut trainer = Trainer::new(device, &model, sgd, |[x, labels]: [&Tensor; 2], ctx: &Ctx| {
        most.set(most.get().max(x.size(0)));
        Ok(model.forward(x, ctx).cross_entropy(labels).into())
    });
    trainer = trainer.parallel(group);
    // The last batches have 12 items.
    let found = trainer.find_lr(&loader(300, 0), LrRange { low: 1e-3, high: 1e4, steps: 60 })?;
    Ok((found.rates, found.losses, most.get()))
}

#[test]
fn ranks_search_together_each_on_its_part() {
    for (name, device) in devices() {
        let (rates, losses, _) = searched(Alone, &device).expect("it searches");
        assert!(rates.len() > 20 && rates.len() < 60, "{name}: {}", rates.len());
        let all = Threads::run(&several(&device, 2), searched).expect("they search");
        assert_eq!((&all[0].0, &all[0].1), (&all[1].0, &all[1].1), "{name}");
        for (own, found, most) in all {
            assert_eq!(most, 16, "{name}: it trained on whole batches");
            let is_near = found.iter().zip(&losses).take(40).all(|(a, b)| (a - b).abs() < 1e-3 * b);
            assert!(is_near && own.len().abs_diff(rates.len()) <= 1, "{name}: {found:?}, not {losses:?}");
        }
        // Each would come to a size of its own, whether they have met or not.
        let sized = Threads::run(&several(&device, 2), |group, device| {
            let model = network(device);
            let mut trainer = plain(device, &model, 0.1).parallel(group);
            Ok(trainer.find_batch_size(|_| Ok(loader(300, 0)), BatchSizes::default()).map(drop))
        });
        for told in sized.expect("they end") {
            assert!(told.expect_err("refused").to_string().contains("search before `Trainer::parallel`"), "{name}");
        }
    }
}
