//! Runs after runs: what a second `fit` begins with, what the best of a run is, and what stays ended where it is resumed.

use super::trainer::{loader, network, outcome, plain};
use crate::devices::devices;
use std::path::Path;
use wgrad::nn::{StateDict, state};
use wgrad::optim::schedule::{ReduceLrOnPlateau, StepLr, Threshold};
use wgrad::optim::{Sgd, SgdOptions};
use wgrad::train::{Callback, Checkpoints, EarlyStopping, History, Run, Trainer};
use wgrad::{Device, Result, Tensor};

/// Has the figure `val_error` be one number after the other, epoch by epoch.
struct Tells {
    says: Tensor,
    numbers: Vec<f32>,
}

impl Tells {
    fn say(&self, epoch: usize) {
        self.says.upload(&[self.numbers[epoch.min(self.numbers.len() - 1)]]);
    }
}

impl Callback for Tells {
    fn name(&self) -> &str {
        "tells"
    }

    fn started(&mut self, run: &mut Run) -> Result<()> {
        self.say(run.epoch);
        Ok(())
    }

    fn epoch(&mut self, run: &mut Run) -> Result<()> {
        self.say(run.epoch + 1);
        Ok(())
    }
}

/// Runs of one trainer that has been made more of, with these numbers as their `val_error`; and what was learned.
fn runs(
    device: &Device,
    numbers: &[f32],
    count: usize,
    make: impl for<'a> Fn(Trainer<'a, 2>) -> Trainer<'a, 2>,
) -> (Vec<History>, StateDict) {
    let model = network(device);
    let says = Tensor::zeros([1], device);
    let sgd = Sgd::new(&model, SgdOptions { lr: 0.1, ..SgdOptions::default() }).expect("a rate");
    let step = |batch: [&Tensor; 2], ctx: &wgrad::nn::Ctx| Ok(outcome(&model, batch, ctx).and("error", &(&says * 1.0)));
    let tells = Tells { says: says.clone(), numbers: numbers.to_vec() };
    let mut trainer = make(Trainer::new(device, &model, sgd, step).epochs(9).callback(tells));
    let mut fit = || trainer.fit(&loader(64, 0), Some(&loader(64, 0))).expect("it trains");
    let histories = (0..count).map(|_| fit()).collect();
    drop(trainer);
    (histories, state(&model).expect("the device works"))
}

#[test]
fn a_figure_that_is_no_number_is_never_the_best() {
    for (name, device) in devices() {
        let (whole, part) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let checkpoints = |folder: &Path| Checkpoints::in_folder(folder).best("val_error");
        let best = |folder: &Path| std::fs::read(folder.join("best.safetensors")).ok();
        let numbers = [f32::NAN, 0.5, 0.3, 0.4, f32::NAN, 0.6];
        let (histories, found) = runs(&device, &numbers, 1, |trainer| {
            let stopping = EarlyStopping::new("val_error", 3).restore_best();
            trainer.callback(stopping).checkpoints(checkpoints(whole.path()))
        });
        let stopped = histories[0].stopped.as_deref();
        assert_eq!(stopped, Some("val_error was no better than 0.3000 for 3 epochs"), "{name}: {}", histories[0]);
        assert_eq!(histories[0].epochs.len(), 6, "{name}");
        let (_, wanted) = runs(&device, &numbers, 1, |trainer| trainer.epochs(3).checkpoints(checkpoints(part.path())));
        assert!(found == wanted && best(whole.path()).is_some(), "{name}");
        assert!(best(whole.path()) == best(part.path()), "{name}");

        let none = tempfile::tempdir().expect("a folder");
        let (histories, _) = runs(&device, &[f32::NAN], 1, |trainer| {
            trainer.callback(EarlyStopping::new("val_error", 2)).checkpoints(checkpoints(none.path()))
        });
        let stopped = histories[0].stopped.as_deref();
        assert_eq!(stopped, Some("val_error was no number for 2 epochs"), "{name}: {}", histories[0]);
        assert_eq!(best(none.path()), None, "{name}");
    }
}

#[test]
fn a_second_run_begins_as_the_first_did() {
    for (name, device) in devices() {
        let rates = |history: &History| history.epochs.iter().map(|epoch| epoch.lr).collect::<Vec<_>>();
        let by = StepLr { step_size: 2, gamma: 0.5 };
        let (histories, _) = runs(&device, &[1.0], 3, |trainer| trainer.epochs(3).schedule(by));
        for history in &histories {
            assert_eq!(rates(history), [0.05, 0.025, 0.0125], "{name}");
        }
        let (histories, _) = runs(&device, &[1.0], 2, |trainer| {
            let threshold = Threshold::Absolute(9.0);
            let plateau = ReduceLrOnPlateau { patience: 0, threshold, ..ReduceLrOnPlateau::default() };
            trainer.epochs(3).plateau("val_error", plateau)
        });
        assert!(rates(&histories[0])[2] < 0.01, "{name}: {}", histories[0]);
        assert_eq!(rates(&histories[0]), rates(&histories[1]), "{name}");
        let (histories, _) = runs(&device, &[1.0], 2, |trainer| trainer.callback(EarlyStopping::new("val_error", 2)));
        assert_eq!([0, 1].map(|at| histories[at].epochs.len()), [3, 3], "{name}");
    }
}

#[test]
fn what_a_fast_run_leaves_out_is_not_left_out_after_it() {
    let device = Device::cpu();
    let folder = tempfile::tempdir().expect("a folder");
    let model = network(&device);
    let checkpoints = Checkpoints::in_folder(folder.path().join("run"));
    let mut trainer = plain(&device, &model, 0.1).epochs(3).fast_dev_run(true).checkpoints(checkpoints);
    let steps = |history: &History| history.epochs.iter().map(|epoch| epoch.step).collect::<Vec<_>>();
    for _ in 0..2 {
        let history = trainer.fit(&loader(300, 0), None).expect("it trains");
        assert_eq!(steps(&history), [2]);
        assert!(!folder.path().join("run").exists(), "it kept a checkpoint");
    }
    let history = trainer.fast_dev_run(false).fit(&loader(300, 0), None).expect("it trains");
    assert_eq!(steps(&history), [10, 20, 30]);
    assert!(folder.path().join("run/step-000000030.safetensors").exists());
}
