//! Metrics against what scikit-learn tells, in one batch and in several, eager and replayed; what they say where there is
//! nothing to divide by; and what a run does with them.
//!
//! `WGRAD_METRICS` names another folder of cases.

use crate::devices::{devices, say};
use safetensors::{Dtype, SafeTensors};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use wgrad::data::Array;
use wgrad::metrics::{
    Accuracy, Average, AveragePrecision, CohenKappa, ConfusionCounts, ConfusionMatrix, ExplainedVariance, F1, LogLoss,
    MatthewsCorrelation, MeanAbsoluteError, MeanAbsolutePercentageError, MeanSquaredError, Meter, Metric, Perplexity,
    Precision, R2, Recall, RocAuc, RootMeanSquaredError, Scored, Scores, TopK,
};
use wgrad::nn::{Init, Linear};
use wgrad::optim::schedule::Better;
use wgrad::optim::{Sgd, SgdOptions};
use wgrad::train::{Batches, Callback, Checkpoints, EarlyStopping, Outcome, Run, Trainer};
use wgrad::{Device, Tensor};

/// Scores or predictions with their targets, in batches of which the last may be smaller.
struct Set {
    output: (Vec<f32>, Vec<usize>),
    target: Target,
    batches: usize,
}

enum Target {
    Labels(Vec<i32>),
    Numbers(Vec<f32>),
}

impl Set {
    fn new(output: &[f32], width: &[usize], target: Target, batches: usize) -> Set {
        Set { output: (output.to_vec(), width.to_vec()), target, batches }
    }

    fn items(&self) -> usize {
        match &self.target {
            Target::Labels(labels) => labels.len(),
            Target::Numbers(numbers) => numbers.len(),
        }
    }
}

impl Batches<2> for Set {
    fn len(&self) -> usize {
        let items = self.items();
        items.div_ceil(items.div_ceil(self.batches))
    }

    fn epoch_from(&self, _: u64, first: usize) -> Box<dyn Iterator<Item = wgrad::Result<[Array; 2]>> + '_> {
        let (items, (output, width)) = (self.items(), &self.output);
        let (size, row) = (items.div_ceil(self.batches), width.iter().product::<usize>());
        Box::new((first..Batches::len(self)).map(move |batch| {
            let (start, end) = (batch * size, items.min((batch + 1) * size));
            let shape: Vec<usize> = std::iter::once(end - start).chain(width.iter().copied()).collect();
            let target = match &self.target {
                Target::Labels(labels) => Array::new(labels[start..end].to_vec(), vec![end - start]),
                Target::Numbers(numbers) => Array::new(numbers[start..end].to_vec(), vec![end - start]),
            };
            Ok([Array::new(output[start * row..end * row].to_vec(), shape), target])
        }))
    }

    fn fingerprint(&self) -> String {
        self.items().to_string()
    }
}

/// A trainer whose model is not asked: what is judged is the batch.
fn trainer<'a>(device: &Device, model: &'a Linear) -> Trainer<'a, 2> {
    let sgd = Sgd::new(model, SgdOptions::default()).expect("a rate");
    Trainer::new(device, model, sgd, |[output, target], _| {
        Ok(Outcome::of(model.weight.tensor().square().sum()).judged(output, target))
    })
}

fn model(device: &Device) -> Linear {
    Linear::new(1, 1, &mut Init::new(0, device))
}

/// The figure over a set in a loop by hand.
fn by_hand<M: Metric>(metric: M, set: &Set, device: &Device) -> Vec<f64> {
    let mut meter = Meter::new(metric, device);
    for batch in set.epoch_from(0, 0) {
        let [output, target] = batch.expect("it is there").map(|array| array.to(device));
        meter.update(&output, &target);
    }
    meter.figures().expect("the device works").into_iter().map(|(_, value)| value).collect()
}

fn labelled(scores: &[f32], width: &[usize], labels: &[i32], batches: usize) -> Set {
    Set::new(scores, width, Target::Labels(labels.to_vec()), batches)
}

fn numbers(output: &[f32], target: &[f32], batches: usize) -> Set {
    Set::new(output, &[], Target::Numbers(target.to_vec()), batches)
}

/// A case as it lies in its file.
struct Case {
    op: String,
    attrs: serde_json::Value,
    near: [f64; 2],
    floats: BTreeMap<String, (Vec<f32>, Vec<usize>)>,
    labels: Vec<i32>,
}

impl Case {
    fn load(path: &PathBuf) -> Case {
        let bytes = std::fs::read(path).expect("a readable file");
        let (_, header) = SafeTensors::read_metadata(&bytes).expect("safetensors");
        let notes = header.metadata().clone().expect("metadata");
        let note = |name: &str| notes.get(name).unwrap_or_else(|| panic!("{path:?} has no {name}"));
        let near = ["rtol", "atol"].map(|name| note(name).parse().expect("a number"));
        let attrs = serde_json::from_str(note("attrs")).expect("JSON");
        let (mut floats, mut labels) = (BTreeMap::new(), Vec::new());
        for (name, view) in SafeTensors::deserialize(&bytes).expect("safetensors").iter() {
            match view.dtype() {
                Dtype::I64 => labels = bytemuck::pod_collect_to_vec::<u8, i64>(view.data()),
                _ => {
                    let values = bytemuck::pod_collect_to_vec(view.data());
                    floats.insert(name.to_string(), (values, view.shape().to_vec()));
                }
            }
        }
        let labels = labels.into_iter().map(|label| label as i32).collect();
        Case { op: note("op").clone(), attrs, near, floats, labels }
    }

    fn set(&self, batches: usize) -> Set {
        if self.op == "metrics:regression" {
            return numbers(&self.floats["in.prediction"].0, &self.floats["in.target"].0, batches);
        }
        let (scores, shape) = &self.floats["in.scores"];
        labelled(scores, &shape[1..], &self.labels, batches)
    }

    fn size(&self, name: &str, default: u64) -> usize {
        self.attrs[name].as_u64().unwrap_or(default) as usize
    }

    /// What tells a figure of the file.
    fn metric(&self, name: &str) -> Box<dyn Metric> {
        if self.op == "metrics:regression" {
            return match name {
                "mse" => Box::new(MeanSquaredError::new()),
                "rmse" => Box::new(RootMeanSquaredError::new()),
                "mae" => Box::new(MeanAbsoluteError::new()),
                "mape" => Box::new(MeanAbsolutePercentageError::new()),
                "r2" => Box::new(R2::new()),
                "explained_variance" => Box::new(ExplainedVariance::new()),
                _ => panic!("nothing tells `{name}` of numbers"),
            };
        }
        if self.op == "metrics:binary" {
            return match name {
                "roc_auc" => Box::new(RocAuc::binary()),
                "average_precision" => Box::new(AveragePrecision::binary()),
                "precision" => Box::new(Precision::binary()),
                "recall" => Box::new(Recall::binary()),
                "f1" => Box::new(F1::binary()),
                "mcc" => Box::new(MatthewsCorrelation::binary()),
                "kappa" => Box::new(CohenKappa::binary()),
                "log_loss" => Box::new(LogLoss::binary()),
                _ => panic!("nothing tells `{name}` of two classes"),
            };
        }
        assert_eq!(self.op, "metrics:multiclass", "an unknown kind of case");
        let classes = self.floats["in.scores"].1[1];
        let (base, end) = name.rsplit_once('_').unwrap_or((name, ""));
        let average = match end {
            "micro" => Average::Micro,
            "weighted" => Average::Weighted,
            "none" => Average::Each,
            _ => Average::Macro,
        };
        match (name, base) {
            ("accuracy", _) => Box::new(Accuracy::new()),
            ("top_k", _) => Box::new(TopK::new(self.size("k", 1))),
            ("mcc", _) => Box::new(MatthewsCorrelation::new(classes)),
            ("kappa", _) => Box::new(CohenKappa::new(classes)),
            ("log_loss", _) => Box::new(LogLoss::new()),
            ("perplexity", _) => Box::new(Perplexity::new()),
            (_, "precision") => Box::new(Precision::new(classes).average(average)),
            (_, "recall") => Box::new(Recall::new(classes).average(average)),
            (_, "f1") => Box::new(F1::new(classes).average(average)),
            (_, "roc_auc") => Box::new(RocAuc::new(classes).average(average)),
            (_, "average_precision") => Box::new(AveragePrecision::new(classes).average(average)),
            _ => panic!("nothing tells `{name}` of classes"),
        }
    }

    fn judge(&self, what: &str, found: &[f64], wanted: &[f32]) {
        let near = |a: f64, b: f64| (a - b).abs() <= self.near[1] + self.near[0] * b.abs() || a.is_nan() && b.is_nan();
        let same = found.len() == wanted.len() && found.iter().zip(wanted).all(|(&a, &b)| near(a, f64::from(b)));
        assert!(same, "{what}: expected {wanted:?}, got {found:?}");
    }
}

#[test]
fn all_cases_are_as_scikit_learn_has_them() {
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/metrics");
    let folder = std::env::var_os("WGRAD_METRICS").map_or(own, PathBuf::from);
    let entries = std::fs::read_dir(&folder).expect("a folder of cases").flatten().map(|entry| entry.path());
    let mut paths: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|end| end == "safetensors")).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{folder:?}: no cases");
    let mut judged = 0;
    for path in &paths {
        let case = Case::load(path);
        let outs = case.floats.iter().filter_map(|(name, value)| Some((name.strip_prefix("out.")?, &value.0)));
        let outs: Vec<(&str, &Vec<f32>)> = outs.collect();
        assert!(!outs.is_empty(), "{path:?} asks nothing");
        for (device_name, device) in devices() {
            let what = |name: &str, how: &str| format!("{}, {name}, {how} on {device_name}", path.display());
            let parts = case.size("batches", 3);
            for batches in [1, parts] {
                let (set, model) = (case.set(batches), model(&device));
                let mut trainer = trainer(&device, &model);
                for (name, wanted) in &outs {
                    let how = format!("{batches} batches");
                    if *name == "confusion_matrix" {
                        let classes = case.floats["in.scores"].1[1];
                        let sums = trainer.measure(ConfusionCounts::new(classes), &set).expect("it is counted");
                        let matrix = ConfusionMatrix::of_sums(&sums).expect("whole counts");
                        let cells =
                            (0..classes * classes).map(|cell| matrix.count(cell / classes, cell % classes) as f64);
                        case.judge(&what(name, &how), &cells.collect::<Vec<_>>(), wanted);
                    } else {
                        case.judge(&what(name, &how), &by_hand(case.metric(name), &set, &device), wanted);
                        trainer = trainer.metric(case.metric(name));
                    }
                    judged += 1;
                }
                // The last batch is captured the second time, and replayed the third.
                for pass in 0..3 {
                    let figures = trainer.evaluate(&set).expect("it evaluates");
                    for (name, wanted) in outs.iter().filter(|(name, _)| *name != "confusion_matrix") {
                        let names = case.metric(name).names();
                        let found: Vec<f64> = names.iter().map(|own| figures.get(own).expect("it is told")).collect();
                        case.judge(&what(name, &format!("pass {pass} of {batches} batches")), &found, wanted);
                    }
                }
            }
        }
    }
    say(&format!("{judged} figures of {} cases", paths.len()));
}

fn one<M: Metric>(metric: M, set: &Set, device: &Device) -> f64 {
    by_hand(metric, set, device)[0]
}

#[test]
fn what_is_undefined_is_told_as_scikit_learn_does() {
    for (_, device) in devices() {
        let device = &device;
        // Class 2 never was, class 1 was never predicted.
        let set = labelled(&[3.0, 1.0, 0.0, 0.0, 1.0, 2.0], &[3], &[0, 1], 1);
        assert_eq!(by_hand(Precision::new(3).average(Average::Each), &set, device), [1.0, 0.0, 0.0]);
        assert_eq!(by_hand(Recall::new(3).average(Average::Each), &set, device), [1.0, 0.0, 0.0]);
        assert_eq!(by_hand(F1::new(3).average(Average::Each), &set, device), [1.0, 0.0, 0.0]);
        assert_eq!(one(F1::new(3), &set, device), 1.0 / 3.0);
        // All of one class.
        let ones = labelled(&[1.0, 2.0], &[], &[1, 1], 1);
        assert!(one(RocAuc::binary(), &ones, device).is_nan());
        assert_eq!(one(AveragePrecision::binary(), &ones, device), 1.0);
        assert_eq!(one(AveragePrecision::binary(), &labelled(&[1.0, 2.0], &[], &[0, 0], 1), device), 0.0);
        assert_eq!(one(MatthewsCorrelation::binary(), &ones, device), 0.0);
        assert!(one(CohenKappa::binary(), &ones, device).is_nan());
        // Equal scores all: neither order is right.
        let tied = labelled(&[0.0, -0.0, 0.0, 0.0], &[], &[0, 1, 1, 0], 2);
        assert_eq!(one(RocAuc::binary(), &tied, device), 0.5);
        assert_eq!(one(AveragePrecision::binary(), &tied, device), 0.5);
        assert!(one(RocAuc::binary(), &labelled(&[f32::NAN, 1.0], &[], &[0, 1], 1), device).is_nan());
        // A NaN is no right answer.
        assert_eq!(one(TopK::new(2), &labelled(&[f32::NAN; 3], &[3], &[1], 1), device), 0.0);
        let level = [0.1f32; 70];
        assert_eq!(one(R2::new(), &numbers(&level, &level, 3), device), 1.0);
        assert_eq!(one(R2::new(), &numbers(&[0.2; 70], &level, 3), device), 0.0);
        assert_eq!(one(ExplainedVariance::new(), &numbers(&[0.2; 70], &level, 3), device), 1.0);
        assert!(one(R2::new(), &numbers(&[1.0], &[1.0], 1), device).is_nan());
        let percent = one(MeanAbsolutePercentageError::new(), &numbers(&[1.0, 2.0], &[0.0, 1.0], 1), device);
        assert!((percent / 2_251_799_813_685_248.5 - 1.0).abs() < 1e-6, "{percent}");
    }
}

#[test]
fn labels_that_are_ignored_count_nothing_and_those_of_no_class_are_noticed() {
    for (_, device) in devices() {
        let device = &device;
        let all: [fn() -> Box<dyn Metric>; 10] = [
            || Box::new(Accuracy::new()),
            || Box::new(TopK::new(2)),
            || Box::new(Precision::new(3)),
            || Box::new(Recall::new(3).average(Average::Micro)),
            || Box::new(F1::new(3).average(Average::Each)),
            || Box::new(MatthewsCorrelation::new(3)),
            || Box::new(CohenKappa::new(3)),
            || Box::new(LogLoss::new()),
            || Box::new(RocAuc::new(3)),
            || Box::new(AveragePrecision::new(3).average(Average::Micro)),
        ];
        let scores: Vec<f32> = (0..21).map(|i| (i as f32 * 1.7).sin()).collect();
        let wanted = labelled(&scores, &[3], &[0, 1, 2, 2, 1, 0, 0], 2);
        let more: Vec<f32> = scores[..9].iter().chain(&[9.0, 0.0, 1.0]).chain(&scores[9..]).copied().collect();
        let ignored = labelled(&more, &[3], &[0, 1, 2, -100, 2, 1, 0, 0], 2);
        let foreign = labelled(&scores, &[3], &[0, 1, 2, 3, 1, 0, 0], 2);
        let below = labelled(&scores, &[3], &[0, 1, 2, 2, -3, 0, 0], 2);
        for metric in all {
            let name = metric().name();
            let near = |a: f64, b: f64| (a - b).abs() < 1e-6;
            let pairs = by_hand(metric(), &wanted, device).into_iter().zip(by_hand(metric(), &ignored, device));
            pairs.for_each(|(a, b)| assert!(near(a, b), "{name}: {a} {b}"));
            for foreign in [&foreign, &below] {
                assert!(by_hand(metric(), foreign, device)[0].is_nan(), "{name}");
            }
        }
        let other = labelled(&more, &[3], &[0, 1, 2, 7, 2, 1, 0, 0], 2);
        let own = [F1::new(3).ignore_index(7), F1::new(3)].map(|metric| one(metric, &other, device));
        assert!(own[0].is_finite() && own[1].is_nan());
        let top = [TopK::new(2).ignore_index(7).of_probabilities(), TopK::new(2)];
        let top = top.map(|metric| one(metric, &other, device));
        assert!(top[0] == one(TopK::new(2), &ignored, device) && top[1].is_nan());
        let mut counts = Meter::new(ConfusionCounts::new(3), device);
        for batch in foreign.epoch_from(0, 0) {
            let [output, target] = batch.expect("it is there").map(|array| array.to(device));
            counts.update(&output, &target);
        }
        let told = ConfusionMatrix::of_sums(&counts.sums().expect("it works")).expect_err("3 is no class").to_string();
        assert!(told.contains("1 of 7 labels are not in 0..3"), "{told}");
    }
}

#[test]
fn more_rows_than_f32_counts_change_a_figure_by_rounding_alone() {
    let device = &Device::cpu();
    let [wide, high] = [2_000_000, 1_000_001];
    let row = |scores: [f32; 2], rows| Tensor::from_slice(&scores, [1, 2], device).expand([rows, 2]).contiguous();
    let scores = Tensor::cat(&[&row([0.0, 1.0], wide), &row([1.0, 0.0], high)], 0);
    let labels = Tensor::cat(&[&Tensor::full([1_500_000], 1, device), &Tensor::full([1_500_001], 0, device)], 0);
    let all: [Box<dyn Metric>; 7] = [
        Box::new(Accuracy::new()),
        Box::new(F1::new(2).average(Average::Micro)),
        Box::new(Precision::new(2)),
        Box::new(Recall::new(2)),
        Box::new(MatthewsCorrelation::new(2)),
        Box::new(CohenKappa::new(2)),
        Box::new(ConfusionCounts::new(2)),
    ];
    for metric in all {
        let (name, batch) = (metric.name(), metric.batch(&scores, &labels));
        let value = |sums: &Tensor| {
            let sums = sums.to_vec::<f32>().expect("the device works");
            metric.value(&sums.into_iter().map(f64::from).collect::<Vec<_>>())
        };
        let (mut sums, one) = (batch.clone(), value(&batch));
        (1..12).for_each(|_| sums = &sums + &batch);
        let found = value(&sums);
        assert!(one > 0.4 && (found - one).abs() < 1e-6, "{name}: {found} of 36 million, {one} of 3 million");
    }
}

#[test]
fn scores_of_a_label_that_is_no_class_are_an_error_and_those_that_are_ignored_are_left_out() {
    for (name, device) in devices() {
        let logits = Tensor::from_slice(&[2.0f32, 0.0, 0.0, 3.0, 1.0, 0.0], [3, 2], &device);
        let scored = |scores: Scores, labels: [i32; 3]| {
            let mut meter = Meter::new(scores, &device);
            meter.update(&logits, &Tensor::from_slice(&labels, [3], &device));
            Scored::of_sums(&meter.sums().expect("the device works"))
        };
        let left = scored(Scores::new(2), [0, -100, 1]).expect("classes");
        assert_eq!((left.len(), left.worst(3)[0].item), (2, 2), "{name}");
        assert_eq!(scored(Scores::new(2).ignore_index(-1), [0, -1, 1]), Ok(left), "{name}");
        for label in [-1, 2, -(1 << 24), i32::MIN] {
            let told = scored(Scores::new(2), [0, label, 1]).expect_err("no class").to_string();
            assert!(told.contains(&format!("item 1 has the label {label}")), "{name}: {told}");
        }
    }
}

#[test]
fn two_classes_are_judged_by_one_score_of_either_kind() {
    let device = &Device::cpu();
    let logits = [2.0f32, -1.0, 0.3, -0.2, 0.0];
    let likely = logits.map(|x| 1.0 / (1.0 + (-x).exp()));
    let labels = [1, 0, 0, 1, -100];
    let (set, same) = (labelled(&logits, &[1], &labels, 2), labelled(&likely, &[], &labels, 2));
    assert_eq!(one(Precision::binary(), &set, device), 0.5);
    assert_eq!(one(Precision::binary().of_probabilities(), &same, device), 0.5);
    assert_eq!(one(Precision::binary().threshold(1.0), &set, device), 1.0);
    assert_eq!(one(Recall::binary(), &set, device), 0.5);
    let losses = [one(LogLoss::binary(), &set, device), one(LogLoss::binary().of_probabilities(), &same, device)];
    assert!((losses[0] - losses[1]).abs() < 1e-6, "{losses:?}");
    for (accuracy, set, want) in [
        (Accuracy::binary(), &set, 0.5),
        (Accuracy::binary().of_probabilities(), &same, 0.5),
        (Accuracy::binary().threshold(1.0), &set, 0.75),
        (Accuracy::binary().ignore_index(1), &labelled(&logits, &[1], &[1, 0, 0, 1, 0], 2), 2.0 / 3.0),
    ] {
        assert_eq!(one(accuracy, set, device), want);
    }
    let foreign = labelled(&logits, &[1], &[1, 0, 2, 1, 0], 2);
    for metric in [LogLoss::binary(), LogLoss::binary().of_probabilities()] {
        assert!(one(metric, &foreign, device).is_nan());
    }
    assert!(one(Accuracy::binary(), &foreign, device).is_nan());
    assert!(one(Perplexity::binary(), &foreign, device).is_nan());
    // Labels of f32, as a binary cross-entropy takes them.
    let floats = numbers(&logits[..4], &[1.0, 0.0, 0.0, 1.0], 2);
    assert_eq!(one(RocAuc::binary(), &floats, device), one(RocAuc::binary(), &set, device));
    assert!((one(LogLoss::binary(), &floats, device) - losses[0]).abs() < 1e-6);
    // Two columns say the same as one.
    let pairs: Vec<f32> = logits.iter().flat_map(|x| [0.0, *x]).collect();
    let pairs = labelled(&pairs, &[2], &labels, 2);
    assert!((one(LogLoss::new(), &pairs, device) - losses[0]).abs() < 1e-6);
    assert_eq!(one(CohenKappa::new(2), &pairs, device), one(CohenKappa::binary(), &set, device));
}

#[test]
fn a_large_mean_takes_no_digits() {
    for (name, device) in devices() {
        for (mean, items) in [(1e4f32, 5000), (1e6, 3000), (-3e5, 40_000)] {
            let y: Vec<f32> = (0..items).map(|i| mean + 2.0 * (i as f32 * 0.37).sin()).collect();
            let p: Vec<f32> = y.iter().enumerate().map(|(i, y)| y + 0.5 * (i as f32 * 1.3).cos() + 0.25).collect();
            let wide = |of: &dyn Fn(usize) -> f64| {
                let mean = (0..items).map(of).sum::<f64>() / items as f64;
                (0..items).map(|i| (of(i) - mean).powi(2)).sum::<f64>()
            };
            let residue = |i: usize| f64::from(y[i]) - f64::from(p[i]);
            let spread = wide(&|i| f64::from(y[i]));
            let r2 = 1.0 - (0..items).map(|i| residue(i).powi(2)).sum::<f64>() / spread;
            let explained = 1.0 - wide(&residue) / spread;
            let set = numbers(&p, &y, 77);
            let found = [one(R2::new(), &set, &device), one(ExplainedVariance::new(), &set, &device)];
            let far = [found[0] - r2, found[1] - explained].map(f64::abs);
            assert!(far.iter().all(|far| *far < 1e-5), "{name}, mean {mean}: {found:?}, expected {r2} {explained}");
        }
    }
}

#[test]
fn several_numbers_a_row_have_each_their_own_coefficient() {
    let device = &Device::cpu();
    let y = [0.5f32, 100.0, -1.0, 120.0, 7.0, 90.0, 2.0, 130.0];
    let p = [0.0f32, 104.0, -1.0, 119.0, 8.0, 95.0, 2.5, 128.0];
    let column = |of: &[f32], at: usize| of.iter().skip(at).step_by(2).copied().collect::<Vec<_>>();
    let each = [0, 1].map(|at| one(R2::new(), &numbers(&column(&p, at), &column(&y, at), 2), device));
    let mut both = Meter::new(R2::outputs(2), device);
    for rows in [0..4, 4..8] {
        let [p, y] = [&p, &y].map(|of| Tensor::from_slice(&of[rows.clone()], [2, 2], device));
        both.update(&p, &y);
    }
    let found = both.value().expect("the device works");
    assert!((found - (each[0] + each[1]) / 2.0).abs() < 1e-6, "{found} {each:?}");
}

/// What a call says where it panics, and in which file.
fn panics(call: impl FnOnce() + std::panic::UnwindSafe) -> String {
    let caught = std::panic::catch_unwind(call).expect_err("it must panic");
    caught.downcast_ref::<String>().cloned().unwrap_or_default()
}

#[test]
fn wrong_shapes_are_told() {
    let device = Device::cpu();
    let tensor = |shape: &[usize]| Tensor::zeros(shape, &device);
    let (scores, wide, row) = (tensor(&[4, 3]), tensor(&[4, 5]), tensor(&[4]));
    let labels = Tensor::from_slice(&[0, 1, 2, 0], [4], &device);
    let told = |metric: &dyn Metric, output: &Tensor, target: &Tensor| {
        panics(std::panic::AssertUnwindSafe(|| drop(metric.batch(output, target))))
    };
    for (text, wanted) in [
        (
            told(&F1::new(3), &wide, &labels),
            "F1: expected scores [.., 3] of f32 and labels [..] of i32, got [4, 5] of f32",
        ),
        (told(&Accuracy::new(), &scores, &row), "Accuracy: expected scores [.., classes]"),
        (told(&Accuracy::new(), &scores, &row), "got [4, 3] of f32 and [4] of f32"),
        (told(&RocAuc::binary(), &scores, &labels), "RocAuc: expected a score of f32 and a label for each item"),
        (told(&MeanSquaredError::new(), &scores, &row), "MeanSquaredError: expected predictions and targets"),
        (told(&R2::new(), &scores, &scores), "R2: expected 1 outputs a row, got [4, 3]: say `R2::outputs(3)`"),
        (told(&R2::outputs(2), &scores, &scores), "R2: expected 2 outputs a row"),
    ] {
        assert!(text.contains(wanted), "{text}");
    }
    let told = ConfusionMatrix::of_sums(&[1.0; 7]).expect_err("7 sums are no matrix").to_string();
    assert!(told.contains("expected classes x classes + 1 sums of `ConfusionCounts`, got 7"), "{told}");
}

#[test]
fn a_matrix_on_the_host_tells_the_same() {
    let mut matrix = ConfusionMatrix::new(3);
    matrix.add(&[0, 0, 1, 1, 1, 2], &[0, 1, 1, 1, 0, 0]);
    assert_eq!((matrix.classes(), matrix.precision(0), matrix.recall(1), matrix.f1(2)), (3, 1.0 / 3.0, 2.0 / 3.0, 0.0));
    // By hand: (3 * 6 - (3 * 2 + 3 * 3)) / sqrt((36 - 18) (36 - 14)), and the same above 36 - 15.
    assert!((matrix.matthews_correlation() - 3.0 / (18.0f64 * 22.0).sqrt()).abs() < 1e-12);
    assert!((matrix.cohen_kappa() - 3.0 / 21.0).abs() < 1e-12);
}

/// Notes which of two values of a figure a run holds for better.
struct Asks<'a>(&'a RefCell<Vec<Option<Better>>>);

impl Callback for Asks<'_> {
    fn name(&self) -> &str {
        "asks"
    }

    fn started(&mut self, run: &mut Run) -> wgrad::Result<()> {
        let names = ["val_log_loss", "r2", "val_recall_1", "val_up", "val_down", "loss", "size"];
        self.0.borrow_mut().extend(names.map(|name| run.better(name).ok()));
        Ok(())
    }
}

/// A mean whose name says nothing of which is better.
struct Named(&'static str, Better);

impl Metric for Named {
    fn name(&self) -> String {
        self.0.into()
    }

    fn better(&self) -> Better {
        self.1
    }

    fn len(&self) -> usize {
        2
    }

    fn batch(&self, output: &Tensor, _: &Tensor) -> Tensor {
        Tensor::stack(&[&output.sum(), &Tensor::full([], output.numel() as f32, output.device())], 0)
    }

    fn value(&self, sums: &[f64]) -> f64 {
        sums[0] / sums[1]
    }
}

#[test]
fn a_run_tells_all_figures_and_asks_metrics_which_is_better() {
    for (name, device) in devices() {
        let model = model(&device);
        let scores: Vec<f32> = (0..40).map(|i| (i as f32 * 1.7).sin()).collect();
        let labels: Vec<i32> = (0..20).map(|i| i % 2).collect();
        let set = labelled(&scores, &[2], &labels, 3);
        let asked = RefCell::default();
        let folder = tempfile::tempdir().expect("a folder");
        let mut trainer = trainer(&device, &model)
            .epochs(4)
            .metric(Recall::new(2).average(Average::Each))
            .metric(RocAuc::new(2))
            .metric(LogLoss::new())
            .metric(Named("down", Better::Smaller))
            .metric(Named("up", Better::Larger))
            .callback(EarlyStopping::new("val_down", 9))
            .checkpoints(Checkpoints::in_folder(folder.path()).best("val_down"))
            .callback(Asks(&asked));
        let history = trainer.fit(&set, Some(&set)).expect("it trains");
        let wanted = [
            "loss",
            "recall_0",
            "recall_1",
            "log_loss",
            "down",
            "up",
            "val_loss",
            "val_recall_0",
            "val_recall_1",
            "val_roc_auc_macro",
            "val_log_loss",
            "val_down",
            "val_up",
        ];
        assert_eq!(history.epochs[0].figures.names(), wanted, "{name}");
        for figure in ["recall_0", "recall_1", "log_loss"] {
            assert_eq!(history.of(figure), history.of(&format!("val_{figure}")), "{name}: {figure}");
        }
        assert!(history.of("val_roc_auc_macro").windows(2).all(|pair| pair[0] == pair[1]), "{name}: {history}");
        let [smaller, larger] = [Better::Smaller, Better::Larger].map(Some);
        assert_eq!(*asked.borrow(), [smaller, larger, larger, larger, smaller, smaller, None], "{name}");
        drop(trainer);
        let told = self::trainer(&device, &model).metric(RocAuc::new(2)).fit(&set, None).expect_err("no set for it");
        assert!(told.to_string().contains("the metric `roc_auc_macro` needs all outputs of a set"), "{told}");
    }
}
