//! What is told of a set that is looked through: batches of one item, labels of no class, sets without a batch, and the order of
//! items on several ranks.

use super::parallel::several;
use super::trainer::{loader, network, outcome, plain};
use crate::devices::devices;
use std::cell::Cell;
use std::path::Path;
use wgrad::data::{DataLoader, LoaderOptions};
use wgrad::metrics::{
    Accuracy, Average, ConfusionCounts, F1, LogLoss, MeanSquaredError, Meter, Metric, R2, RocAuc, Scored, Scores,
};
use wgrad::nn::{Ctx, Generator, Mode};
use wgrad::optim::schedule::{Better, ReduceLrOnPlateau};
use wgrad::optim::{Sgd, SgdOptions};
use wgrad::parallel::{Alone, Group, Threads};
use wgrad::train::{Callback, Checkpoints, EarlyStopping, Report, Run, Streamed, Trainer};
use wgrad::{Device, Error, Result, Tensor};

/// The figure of batches of so many items, where outputs or targets have a last dimension of 1.
fn in_batches(
    metric: impl Metric,
    [x_one, t_one]: [bool; 2],
    is_number: bool,
    sizes: &[usize],
    device: &Device,
) -> f64 {
    let mut meter = Meter::new(metric, device);
    let mut start = 0;
    for &size in sizes {
        let rows = start..start + size;
        let shape = |one: bool| if one { vec![size, 1] } else { vec![size] };
        let x: Vec<f32> = rows.clone().map(|at| (at as f32 * 2.4).sin()).collect();
        let x = Tensor::from_vec(x, shape(x_one), device);
        let t = match is_number {
            true => Tensor::from_vec(rows.map(|at| (at as f32).cos()).collect::<Vec<f32>>(), shape(t_one), device),
            false => Tensor::from_vec(rows.map(|at| (at % 3 % 2) as i32).collect::<Vec<i32>>(), shape(t_one), device),
        };
        meter.update(&x, &t);
        start += size;
    }
    meter.value().expect("the device works")
}

#[test]
fn a_last_batch_of_one_item_counts_as_others_do() {
    for (name, device) in devices() {
        for forms in [[true, false], [false, true], [true, true], [false, false]] {
            let same = |what: &str, of: &dyn Fn(&[usize]) -> f64| {
                let (whole, parts) = (of(&[9]), of(&[8, 1]));
                assert!((whole - parts).abs() < 1e-5, "{what} of {forms:?} on {name}: {parts}, not {whole}");
            };
            same("f1", &|sizes| in_batches(F1::binary(), forms, false, sizes, &device));
            same("log_loss", &|sizes| in_batches(LogLoss::binary(), forms, false, sizes, &device));
            same("auc", &|sizes| in_batches(RocAuc::binary(), forms, false, sizes, &device));
            same("scores", &|sizes| in_batches(Scores::binary(), forms, false, sizes, &device));
            same("confusion", &|sizes| in_batches(ConfusionCounts::binary(), forms, false, sizes, &device));
            same("mse", &|sizes| in_batches(MeanSquaredError::new(), forms, true, sizes, &device));
            same("r2", &|sizes| in_batches(R2::new(), forms, true, sizes, &device));
        }
    }
}

#[test]
fn a_label_of_no_class_in_validation_ends_no_run_that_is_reported() {
    let (device, folder) = (Device::cpu(), tempfile::tempdir().expect("a folder"));
    let page = folder.path().join("page.html");
    let model = network(&device);
    let fit = |labels: [i32; 2]| {
        let items = vec![([0.5f32, 0.2], labels[0]), ([-0.5, 0.2], labels[1])];
        let validation = DataLoader::new(items, LoaderOptions::default()).expect("items");
        let mut trainer = plain(&device, &model, 0.1)
            .epochs(2)
            .metric(ConfusionCounts::new(2))
            .metric(Scores::new(2))
            .callback(Report::new(&page).classes(&["left", "right"]));
        let history = trainer.fit(&loader(64, 0), Some(&validation)).expect("it goes on");
        let page = std::fs::read_to_string(&page).expect("it was written");
        (history, page.contains("<table class=\"matrix\">"))
    };
    let (history, shows) = fit([7, 1]);
    assert!(history.epochs.len() == 2 && history.epochs[1].figures.get("val_loss").is_some_and(f64::is_nan));
    assert!(!shows);
    assert!(fit([0, 1]).1);
}

#[test]
fn a_set_without_a_batch_has_no_figures() {
    let device = Device::cpu();
    let model = network(&device);
    let empty = Streamed::new(4, |_| Ok(std::iter::empty::<Result<([f32; 2], i32)>>()));
    let mut trainer = plain(&device, &model, 0.1);
    for error in [trainer.evaluate(&empty).err(), trainer.fit(&loader(64, 0), Some(&empty)).err()] {
        assert_eq!(error, Some(Error::Data("the set that is evaluated has no batch".into())));
    }
}

#[test]
fn two_callbacks_of_one_name_go_on_each_from_its_own_state() {
    let (device, folder) = (Device::cpu(), tempfile::tempdir().expect("a folder"));
    let fit = |name: &str, steps: u64| {
        let model = network(&device);
        let stopping = |patience, better| EarlyStopping::new("val_loss", patience).by(better);
        let mut trainer = plain(&device, &model, 0.05)
            .epochs(9)
            .max_steps(steps)
            .checkpoints(Checkpoints::in_folder(folder.path().join(name)).resume())
            .callback(stopping(4, Better::Smaller))
            .callback(stopping(3, Better::Larger));
        let history = trainer.fit(&loader(320, 0), Some(&loader(70, 0))).expect("it goes on");
        (history.epochs.len(), history.stopped)
    };
    let whole = fit("whole", u64::MAX);
    assert!(whole.0 == 4 && whole.1.as_ref().is_some_and(|why| why.contains("no better")), "{whole:?}");
    fit("parts", 20);
    assert_eq!(fit("parts", u64::MAX), whole);
    // And it stays ended.
    assert_eq!(fit("parts", u64::MAX), whole);
}

/// What is collected of a set whose last batch has fewer items than there are ranks.
fn collected(group: impl Group + 'static, device: &Device) -> Result<Vec<f64>> {
    let item = |i: usize| {
        let (y, x) = (i as f32 * 2.4).sin_cos();
        ([x, y], i32::from(i * i % 7 < 3))
    };
    let options = LoaderOptions { batch_size: 16, ..LoaderOptions::default() };
    let set = DataLoader::new((0..97).map(item).collect::<Vec<_>>(), options)?;
    let model = network(device);
    plain(device, &model, 0.1).parallel(group).measure(Scores::new(2), &set)
}

#[test]
fn what_ranks_collect_is_in_the_order_of_the_set() {
    for (name, device) in devices() {
        let alone = collected(Alone, &device).expect("it runs");
        let mistakes = |sums: &[f64]| -> Vec<usize> {
            Scored::of_sums(sums).expect("scores").worst(6).iter().map(|own| own.item).collect()
        };
        for ranks in [2, 3] {
            let all = Threads::run(&several(&device, ranks), collected);
            for own in all.expect("they run") {
                let is_near = own.len() == alone.len() && own.iter().zip(&alone).all(|(a, b)| (a - b).abs() < 1e-5);
                assert!(is_near, "{ranks} ranks on {name}");
                assert_eq!(mistakes(&own), mistakes(&alone), "{ranks} ranks on {name}");
            }
        }
    }
}

fn judged(metric: impl Metric, scores: &Tensor, labels: &Tensor) -> f64 {
    let mut meter = Meter::new(metric, scores.device());
    meter.update(scores, labels);
    meter.value().expect("the device works")
}

#[test]
fn labels_between_classes_are_of_none_and_two_metrics_of_one_name_are_both_told() {
    for (name, device) in devices() {
        for labels in [[0.9, 0.0], [f32::NAN, 0.0], [1.0, 0.0]] {
            let is_class = labels == [1.0, 0.0];
            let [scores, labels] = [[5.0, -5.0], labels].map(|values| Tensor::from_slice(&values, [2], &device));
            let is_right = |value: f64| if is_class { value == 1.0 } else { value.is_nan() };
            assert!(is_right(judged(Accuracy::binary(), &scores, &labels)), "on {name}");
            assert!(is_right(judged(F1::binary(), &scores, &labels)), "on {name}");
            assert!(is_right(judged(RocAuc::binary(), &scores, &labels)), "on {name}");
        }
        let model = network(&device);
        let mut twice = plain(&device, &model, 0.1).metric(Accuracy::new()).metric(Accuracy::new());
        let figures = twice.evaluate(&loader(64, 0)).expect("it can");
        assert!(figures.get("accuracy").is_some() && figures.get("accuracy_2") == figures.get("accuracy"), "on {name}");
    }
}

/// The checkpoints in a folder.
fn saved(folder: &Path) -> usize {
    let files = std::fs::read_dir(folder).expect("a folder").flatten();
    files.filter(|file| file.file_name().to_string_lossy().starts_with("step-")).count()
}

#[test]
fn what_a_plateau_is_asked_for_is_judged_before_an_epoch_is_trained() {
    let device = Device::cpu();
    let model = network(&device);
    let fit = |figure: &str, plateau: ReduceLrOnPlateau, folder: &Path| {
        let checkpoints = Checkpoints::in_folder(folder);
        let trainer = plain(&device, &model, 0.1).metric(Accuracy::new()).plateau(figure, plateau).epochs(1);
        trainer.checkpoints(checkpoints).fit(&loader(64, 0), Some(&loader(64, 0)))
    };
    let folder = tempfile::tempdir().expect("a folder");
    let rises = fit("val_accuracy", ReduceLrOnPlateau::default(), folder.path()).expect_err("it rises").to_string();
    assert!(rises.contains("`val_accuracy` is better where it is Larger"), "{rises}");
    let wrong = ReduceLrOnPlateau { factor: 2.0, ..ReduceLrOnPlateau::default() };
    assert!(fit("val_loss", wrong, folder.path()).is_err() && saved(folder.path()) == 0);
    let unknown =
        fit("val_los", ReduceLrOnPlateau::default(), folder.path()).expect_err("a slip of the pen").to_string();
    let names = "plateau: the epochs have no figure `val_los`: choose among loss, size, accuracy, val_loss, val_size, val_accuracy";
    assert!(unknown == names && saved(folder.path()) == 0, "{unknown}");
    let larger = ReduceLrOnPlateau { mode: Better::Larger, ..ReduceLrOnPlateau::default() };
    let another = tempfile::tempdir().expect("a folder");
    fit("val_accuracy", larger, another.path()).expect("it trains");
}

/// Counts the steps that it is told of, and can end a run after an epoch.
#[derive(Default)]
struct Looks<'c> {
    steps: Option<&'c Cell<usize>>,
    fails: bool,
}

impl Callback for Looks<'_> {
    fn name(&self) -> &str {
        "looks"
    }

    fn step(&mut self, _run: &mut Run) -> Result<()> {
        self.steps.iter().for_each(|steps| steps.set(steps.get() + 1));
        Ok(())
    }

    fn epoch(&mut self, _run: &mut Run) -> Result<()> {
        if self.fails { Err(Error::Data("no room".into())) } else { Ok(()) }
    }
}

#[test]
fn a_callback_that_fails_after_an_epoch_loses_no_epoch() {
    let (device, folder) = (Device::cpu(), tempfile::tempdir().expect("a folder"));
    let model = network(&device);
    let trainer = plain(&device, &model, 0.1).callback(Looks { fails: true, ..Looks::default() });
    let told = trainer.checkpoints(Checkpoints::in_folder(folder.path())).fit(&loader(64, 0), None);
    assert_eq!((told.err(), saved(folder.path())), (Some(Error::Data("no room".into())), 1));
}

/// A run that draws in validation too, and has a mean of validation alone: the values of that, and what was drawn.
fn by(figure: &str, validates: bool) -> Result<(Vec<f64>, u64)> {
    let device = Device::cpu();
    let (model, generator) = (network(&device), Generator::new(1));
    let sgd = Sgd::new(&model, SgdOptions { lr: 0.1, ..SgdOptions::default() })?;
    let both = (&model, &generator);
    let step = |batch: [&Tensor; 2], ctx: &Ctx| {
        let outcome = outcome(&model, batch, ctx);
        let alone = ctx.draw(&generator, &device).uniform([], 0.0, 1.0);
        Ok(if ctx.mode() == Mode::Eval { outcome.and("alone", &alone) } else { outcome })
    };
    let stopping = EarlyStopping::new(figure, 9).by(Better::Smaller);
    let mut trainer = Trainer::new(&device, &both, sgd, step).epochs(2).callback(stopping);
    let history = trainer.fit(&loader(64, 0), validates.then(|| loader(64, 0)).as_ref().map(|set| set as _))?;
    Ok((history.of("val_alone"), generator.position()))
}

#[test]
fn a_figure_that_there_is_not_is_told_after_the_first_step() {
    let folder = tempfile::tempdir().expect("a folder");
    let usual = by("val_loss", true).expect("it trains");
    assert_eq!(usual.0.len(), 2);
    // What is of validation alone is found, and draws what it would have drawn.
    assert_eq!(by("val_alone", true).expect("it trains"), usual);
    let told =
        |figure: &'static str, validates: bool| by(figure, validates).expect_err("a slip of the pen").to_string();
    let all = "choose among loss, size, val_loss, val_size, val_alone";
    assert_eq!(told("val_los", true), format!("early_stopping: the epochs have no figure `val_los`: {all}"));
    assert_eq!(
        told("val_loss", false),
        "early_stopping: the epochs have no figure `val_loss`: choose among loss, size"
    );

    // Nobody is told of a second step, and nothing is kept.
    let (device, steps) = (Device::cpu(), Cell::new(0));
    let model = network(&device);
    let best = Checkpoints::in_folder(folder.path()).every_steps(1).best("val_f1");
    let mut trainer = plain(&device, &model, 0.1).checkpoints(best);
    trainer = trainer.callback(Looks { steps: Some(&steps), ..Looks::default() });
    let error = trainer.fit(&loader(64, 0), Some(&loader(64, 0))).expect_err("no metric tells it").to_string();
    assert!(error.starts_with("Checkpoints::best: the epochs have no figure `val_f1`"), "{error}");
    assert_eq!((steps.get(), saved(folder.path())), (0, 0));
}

#[test]
fn each_label_of_items_that_have_several_is_judged_by_itself() {
    for (name, device) in devices() {
        const COUNT: usize = 40;
        let scores: Vec<f32> = (0..COUNT * 3).map(|at| (at as f32 * 1.7).sin() - 0.2 * (at % 3) as f32).collect();
        // Some are left out.
        let labels: Vec<i32> =
            (0..COUNT * 3).map(|at| if at % 11 == 3 { -100 } else { (at * at % 7 < 3) as i32 }).collect();
        let scores = Tensor::from_vec(scores, [COUNT, 3], &device);
        let labels = Tensor::from_vec(labels, [COUNT, 3], &device);
        let column = |x: &Tensor, at: usize| x.narrow(1, at, 1).reshape([COUNT]).contiguous();
        let one = |metric: F1, x: &Tensor, t: &Tensor| judged(metric, x, t);
        let each: Vec<f64> = (0..3).map(|at| one(F1::binary(), &column(&scores, at), &column(&labels, at))).collect();
        let mut meter = Meter::new(F1::multilabel(3).average(Average::Each), &device);
        for rows in [0..30, 30..COUNT] {
            let [x, t] = [&scores, &labels].map(|own| own.narrow(0, rows.start, rows.len()));
            meter.update(&x, &t);
        }
        let figures = meter.figures().expect("the device works");
        for (at, (label, value)) in figures.iter().enumerate() {
            assert_eq!(*label, format!("f1_{at}"));
            assert!((value - each[at]).abs() < 1e-6, "{label} on {name}: {value}, not {}", each[at]);
        }
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-6, "on {name}: {a}, not {b}");
        near(one(F1::multilabel(3), &scores, &labels), each.iter().sum::<f64>() / 3.0);
        let micro = F1::multilabel(3).average(Average::Micro);
        near(one(micro, &scores, &labels), one(F1::binary(), &scores, &labels));
        near(one(micro.of_probabilities(), &scores.sigmoid(), &labels), one(F1::binary(), &scores, &labels));
        assert!(one(F1::multilabel(3), &scores, &(labels.eq(1) * 2.0)).is_nan(), "on {name}");
    }
}
