//! Runs after runs: what a second `fit` begins with, what the best of a run is, and what stays ended where it is resumed.

use super::trainer::{loader, network, outcome, plain};
use crate::devices::devices;
use std::path::Path;
use std::sync::Mutex;
use std::thread::{self, ThreadId};
use wgrad::data::{DataLoader, LoaderOptions};
use wgrad::nn::{StateDict, state};
use wgrad::optim::schedule::{ReduceLrOnPlateau, StepLr, Threshold};
use wgrad::optim::{Sgd, SgdOptions};
use wgrad::train::{Callback, Checkpoints, EarlyStopping, History, Run, Trainer};
use wgrad::{Device, Result, Tensor};

/// Has a figure be one number after the other, epoch by epoch.
pub struct Tells {
    pub says: Tensor,
    pub numbers: Vec<f32>,
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
        assert!(rates(&histories[0])[2] < 0.05, "{name}: {}", histories[0]);
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

/// A log that keeps what it is told, by thread.
struct Log(Mutex<Vec<(ThreadId, String)>>);

static LOG: Log = Log(Mutex::new(Vec::new()));

impl log::Log for Log {
    fn enabled(&self, metadata: &log::Metadata) -> bool {
        metadata.level() <= log::Level::Warn
    }

    fn log(&self, record: &log::Record) {
        if self.enabled(record.metadata()) {
            self.0.lock().expect("no panic").push((thread::current().id(), record.args().to_string()));
        }
    }

    fn flush(&self) {}
}

#[test]
fn labels_of_no_class_are_named_as_a_cause() {
    log::set_logger(&LOG).expect("there is no other");
    log::set_max_level(log::LevelFilter::Warn);
    let foreign = || {
        let points = vec![([0.5f32, 0.25], 2); 64];
        DataLoader::new(points, LoaderOptions { batch_size: 32, ..LoaderOptions::default() }).expect("points")
    };
    for (name, device) in devices() {
        let model = network(&device);
        let mut trainer = plain(&device, &model, 0.1).epochs(3);
        let told = trainer.fit(&foreign(), None).expect_err("2 is no class").to_string();
        let begins = told.starts_with("the loss became NaN in epoch 1, by step ");
        assert!(begins && told.contains("labels outside of the classes and NaN in the batch"), "{name}: {told}");
        // Where it is validation that has them, that is told once, and the run goes on.
        let model = network(&device);
        let history = plain(&device, &model, 0.1).epochs(3).fit(&loader(64, 0), Some(&foreign())).expect("it trains");
        let losses = history.of("val_loss");
        assert!(losses.len() == 3 && losses.iter().all(|loss| loss.is_nan()), "{name}: {history}");
        let mut all = LOG.0.lock().expect("no panic");
        let own =
            |(thread, text): &mut (ThreadId, String)| *thread == thread::current().id() && text.contains("val_loss");
        let told: Vec<String> = all.extract_if(.., own).map(|(_, text)| text).collect();
        assert!(told.len() == 1 && told[0].starts_with("val_loss became NaN in epoch 1"), "{name}: {told:?}");
    }
}

/// Ends a run after its second epoch.
struct Enough;

impl Callback for Enough {
    fn name(&self) -> &str {
        "enough"
    }

    fn epoch(&mut self, run: &mut Run) -> Result<()> {
        if run.epoch == 1 {
            run.stop("that is enough");
        }
        Ok(())
    }
}

#[test]
fn what_a_callback_has_ended_stays_ended() {
    for (name, device) in devices() {
        let folder = tempfile::tempdir().expect("a folder");
        // Of a patience, if there is any, and so many epochs.
        let run = |patience: Option<usize>, epochs: usize| {
            let (mut histories, learned) = runs(&device, &[1.0], 1, |trainer| {
                let trainer = trainer.epochs(epochs).checkpoints(Checkpoints::in_folder(folder.path()).resume());
                match patience {
                    Some(most) => trainer.callback(EarlyStopping::new("val_error", most).restore_best()),
                    None => trainer,
                }
            });
            let history = histories.remove(0);
            (history.epochs.len(), history.stopped, learned)
        };
        let ended = run(Some(2), 9);
        assert_eq!((ended.0, ended.1.is_some()), (3, true), "{name}");
        assert!(run(Some(2), 9) == ended && run(Some(2), 20) == ended, "{name}: it went on");
        let more = run(Some(4), 9);
        assert_eq!((more.0, more.1.is_some()), (5, true), "{name}");
        assert!(run(Some(3), 9) == more, "{name}: it went on");
        let (epochs, stopped, _) = run(None, 9);
        assert_eq!((epochs, stopped), (9, None), "{name}");

        let folder = tempfile::tempdir().expect("a folder");
        let checkpoints = || Checkpoints::in_folder(folder.path()).resume();
        let enough = || runs(&device, &[1.0], 1, |trainer| trainer.checkpoints(checkpoints()).callback(Enough));
        for _ in 0..3 {
            let history = enough().0.remove(0);
            let stopped = history.stopped.as_deref();
            assert_eq!((history.epochs.len(), stopped), (2, Some("that is enough")), "{name}");
        }
        // Steps that are over end a run for once, even where a callback ends it at the same time.
        let folder = tempfile::tempdir().expect("a folder");
        let checkpoints = || Checkpoints::in_folder(folder.path()).resume();
        let both = |most| {
            let trained =
                runs(&device, &[1.0], 1, |trainer| trainer.max_steps(most).checkpoints(checkpoints()).callback(Enough));
            trained.0[0].epochs.len()
        };
        assert_eq!([both(2), both(4), both(9)], [1, 2, 2], "{name}");
    }
}
