//! Averages of weights in a run: what early stopping puts back.

use super::again::Tells;
use super::trainer::{loader, network, outcome};
use crate::devices::devices;
use std::path::Path;
use wgrad::nn::{Embedding, Init, StateDict, state};
use wgrad::optim::{Ema, Sgd, SgdOptions};
use wgrad::train::{Checkpoints, EarlyStopping, Trainer};
use wgrad::{Device, Tensor};

/// The weights, their averages, and the loss by these after a run of so many steps, whose `val_error` is given.
fn learned(device: &Device, numbers: &[f32], steps: u64, folder: Option<&Path>) -> (StateDict, StateDict, Option<f64>) {
    let (model, says) = (network(device), Tensor::zeros([1], device));
    let sgd = Sgd::new(&model, SgdOptions { lr: 0.1, ..SgdOptions::default() }).expect("a rate");
    let average = sgd.ema(0.9).expect("a good decay");
    let step = |batch: [&Tensor; 2], ctx: &wgrad::nn::Ctx| Ok(outcome(&model, batch, ctx).and("error", &(&says * 1.0)));
    let mut trainer = Trainer::averaged(device, &model, sgd, average, step)
        .epochs(9)
        .max_steps(steps)
        .callback(Tells { says: says.clone(), numbers: numbers.to_vec() })
        .callback(EarlyStopping::new("val_error", 2).restore_best());
    if let Some(folder) = folder {
        trainer = trainer.checkpoints(Checkpoints::in_folder(folder).resume());
    }
    trainer.fit(&loader(64, 0), Some(&loader(70, 0))).expect("it trains");
    let loss = trainer.evaluate(&loader(70, 0)).expect("it can").get("loss");
    let averages = trainer.with_averages(|_| state(&model).expect("the device works"));
    drop(trainer);
    (state(&model).expect("the device works"), averages, loss)
}

#[test]
fn early_stopping_puts_the_averages_back_too() {
    for (name, device) in devices() {
        // The second epoch of two steps is the best.
        let numbers = [0.5, 0.3, 0.4, 0.6, 0.2];
        let wanted = learned(&device, &numbers, 4, None);
        assert!(wanted.0 != wanted.1, "{name}: averages are no weights");
        let found = learned(&device, &numbers, 99, None);
        assert!(found == wanted, "{name}: {:?}, not {:?}", found.2, wanted.2);
        // What a checkpoint holds of the best is whole as well.
        let folder = tempfile::tempdir().expect("a folder");
        learned(&device, &numbers, 5, Some(folder.path()));
        let resumed = learned(&device, &numbers, 99, Some(folder.path()));
        assert!(resumed == wanted, "{name}: {:?}, not {:?}, resumed", resumed.2, wanted.2);
    }
}

#[test]
fn a_tied_weight_is_averaged_once() {
    for (name, device) in devices() {
        let embedding = Embedding::new(4, 3, &mut Init::new(0, &device)).padding(0);
        let head = Embedding::from(embedding.weight.clone()).padding(1);
        assert!(
            embedding.weight.tensor().to_vec::<f32>().expect("the device works")[..6] == [0.0; 6],
            "{name}: untied"
        );
        let model = (&embedding, &head);
        let mut average = Ema::new(&model, 0.5).expect("a good decay");
        let weight = embedding.weight.tensor().detach();
        weight.assign(&(&weight + 1.0));
        let moved = weight.to_vec::<f32>().expect("the device works");
        average.update();
        average.swap();
        assert!(weight.to_vec::<f32>().expect("the device works") != moved, "{name}: averages are no weights");
        average.swap();
        assert!(weight.to_vec::<f32>().expect("the device works") == moved, "{name}: the weights are gone");
    }
}
