//! Which of two values of a figure is better, where no metric tells.

use super::again::Tells;
use super::trainer::{loader, network, outcome};
use std::sync::{Arc, Mutex};
use wgrad::optim::schedule::Better;
use wgrad::optim::{Sgd, SgdOptions};
use wgrad::train::{Callback, Checkpoints, EarlyStopping, History, Run, Trainer};
use wgrad::{Device, Error, Result, Tensor, checkpoint};

/// Notes what a run answers of each name.
struct Asks(&'static [&'static str], Arc<Mutex<Vec<Option<Better>>>>);

impl Callback for Asks {
    fn name(&self) -> &str {
        "asks"
    }

    fn started(&mut self, run: &mut Run) -> Result<()> {
        self.1.lock().expect("no panic").extend(self.0.iter().map(|name| run.better(name).ok()));
        Ok(())
    }
}

/// A run whose `val_NAME` is one number after the other.
fn run(name: &str, numbers: &[f32], make: impl for<'a> Fn(Trainer<'a, 2>) -> Trainer<'a, 2>) -> Result<History> {
    let device = Device::cpu();
    let (model, says) = (network(&device), Tensor::zeros([1], &device));
    let sgd = Sgd::new(&model, SgdOptions { lr: 0.1, ..SgdOptions::default() })?;
    let step = |batch: [&Tensor; 2], ctx: &wgrad::nn::Ctx| Ok(outcome(&model, batch, ctx).and(name, &(&says * 1.0)));
    let tells = Tells { says: says.clone(), numbers: numbers.to_vec() };
    let trainer = Trainer::new(&device, &model, sgd, step).epochs(numbers.len()).callback(tells);
    make(trainer).fit(&loader(64, 0), Some(&loader(64, 0)))
}

#[test]
fn names_of_losses_and_errors_want_to_be_small() {
    let table: [(&'static [&'static str], Option<Better>); 3] = [
        (
            &[
                "loss",
                "val_loss",
                "nll",
                "val_nll",
                "bce",
                "val_kl",
                "wer",
                "cer",
                "ece",
                "brier",
                "err",
                "val_error_rate",
                "val_loss_kl",
                "grad_norm",
                "perplexity",
                "dice_loss",
                "logloss",
                "cross_entropy",
                "rmse",
                "errors",
            ],
            Some(Better::Smaller),
        ),
        (&["accuracy", "val_top5_acc", "auc", "f1_macro", "recall_3", "mean_iou", "bleu", "r2"], Some(Better::Larger)),
        (&["size", "lr", "acc_norm", "temperature", "real", "val_", "entropy"], None),
    ];
    for (names, wanted) in table {
        let asked: Arc<Mutex<Vec<Option<Better>>>> = Arc::default();
        run("size", &[1.0], |trainer| trainer.epochs(0).callback(Asks(names, asked.clone()))).expect("it runs");
        for (name, found) in names.iter().zip(asked.lock().expect("no panic").iter()) {
            assert_eq!(*found, wanted, "{name}");
        }
    }
}

#[test]
fn a_run_is_stopped_and_kept_by_a_figure_that_falls() {
    // It gets better and better, and then no more.
    let numbers = [0.75, 0.73, 0.71, 0.72, 0.74, 0.75];
    for (name, says) in [("nll", None), ("breadth", Some(Better::Smaller))] {
        let figure = format!("val_{name}");
        let folder = tempfile::tempdir().expect("a folder");
        let history = run(name, &numbers, |trainer| {
            let (mut stopping, mut kept) =
                (EarlyStopping::new(&figure, 2), Checkpoints::in_folder(folder.path()).best(&figure));
            if let Some(better) = says {
                (stopping, kept) = (stopping.by(better), kept.by(better));
            }
            trainer.callback(stopping).checkpoints(kept)
        });
        let history = history.expect("it runs");
        assert_eq!(history.stopped, Some(format!("{figure} was no better than 0.7100 for 2 epochs")));
        let best = |steps: u64| {
            let folder = tempfile::tempdir().expect("a folder");
            let all = Checkpoints::in_folder(folder.path()).best("val_loss").by(Better::Larger);
            // The best of the only epoch that is validated.
            run(name, &numbers, |trainer| trainer.max_steps(steps).checkpoints(all.clone())).expect("it runs");
            checkpoint::read(folder.path().join(format!("step-{steps:09}.safetensors"))).expect("it is there")
        };
        let (kept, third) = (checkpoint::read(folder.path().join("best.safetensors")).expect("it is there"), best(6));
        assert!(kept.iter().all(|(path, value)| third[&format!("module.{path}")] == *value), "{figure}");
    }
}

#[test]
fn what_cannot_be_told_is_refused_before_the_first_step() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = |make: &dyn for<'a> Fn(Trainer<'a, 2>) -> Trainer<'a, 2>| match run("size", &[1.0], make) {
        Err(Error::Option(text)) => text,
        other => panic!("{other:?}"),
    };
    for text in [
        refused(&|trainer| trainer.callback(EarlyStopping::new("val_size", 2))),
        refused(&|trainer| trainer.checkpoints(Checkpoints::in_folder(folder.path()).best("val_size"))),
    ] {
        assert!(text.contains("which of two values of `val_size` is better"), "{text}");
        assert!(text.contains("say `by(Better::Smaller)` or `by(Better::Larger)`"), "{text}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0, "nothing was written");
}
