//! Metrics whose sums are not simply added: several ranks tell what one does.

use super::parallel::several;
use crate::devices::devices;
use std::path::Path;
use wgrad::data::{DataLoader, LoaderOptions};
use wgrad::metrics::{ExplainedVariance, Meter, Metric, R2};
use wgrad::nn::{Init, Layer, Linear};
use wgrad::optim::{Sgd, SgdOptions};
use wgrad::parallel::{Alone, Group, Threads};
use wgrad::train::{Checkpoints, Outcome, Trainer};
use wgrad::{Device, Result, Tensor};

const ROWS: usize = 400;

/// Targets that grow from row to row, far from 0, and what a line predicts for them.
fn row(at: usize) -> (f32, f32) {
    let x = at as f32 / ROWS as f32;
    (100.0 + 3.0 * x + 0.3 * (20.0 * x).sin(), 100.0 + 3.2 * x)
}

/// 1 - left / spread over all rows, of `R2` and of `ExplainedVariance`.
fn wanted() -> [f64; 2] {
    let rows: Vec<[f64; 2]> = (0..ROWS).map(row).map(|(y, p)| [f64::from(y), f64::from(y) - f64::from(p)]).collect();
    let mean = |of: &dyn Fn(&[f64; 2]) -> f64| rows.iter().map(of).sum::<f64>() / ROWS as f64;
    let [y, residue] = [0, 1].map(|at| mean(&|row| row[at]));
    let spread = mean(&|row| (row[0] - y).powi(2));
    [mean(&|row| row[1].powi(2)), mean(&|row| (row[1] - residue).powi(2))].map(|left| 1.0 - left / spread)
}

/// The largest target: the largest of two sets is no sum.
struct Largest;

impl Metric for Largest {
    fn name(&self) -> String {
        "largest".into()
    }

    fn len(&self) -> usize {
        1
    }

    fn batch(&self, _: &Tensor, target: &Tensor) -> Tensor {
        target.max().reshape([1])
    }

    fn update(&self, sums: &Tensor, output: &Tensor, target: &Tensor) -> Tensor {
        sums.maximum(self.batch(output, target))
    }

    fn merge(&self, a: &[f64], b: &[f64]) -> Vec<f64> {
        vec![a[0].max(b[0])]
    }

    fn value(&self, sums: &[f64]) -> f64 {
        sums[0]
    }
}

/// What a rank tells after an epoch, in training and in validation, with a checkpoint now and then.
fn told(group: impl Group + 'static, device: &Device, batch_size: usize, folder: &Path) -> Result<Vec<f64>> {
    let options = LoaderOptions { batch_size, shuffle: (batch_size < ROWS).then_some(3), ..LoaderOptions::default() };
    let set = DataLoader::new((0..ROWS).map(|at| (at as f32 / ROWS as f32, row(at).0)).collect::<Vec<_>>(), options)?;
    let model = Linear::new(1, 1, &mut Init::new(0, device));
    model.weight.tensor().detach().upload(&[3.2f32]);
    model.bias.as_ref().expect("it has one").tensor().detach().upload(&[100.0f32]);
    let sgd = Sgd::new(&model, SgdOptions { lr: 0.0, ..SgdOptions::default() })?;
    let step = |[x, y]: [&Tensor; 2], ctx: &wgrad::nn::Ctx| {
        let p = model.forward(&x.unsqueeze(1), ctx).squeeze(1);
        Ok(Outcome::of((&p - y).square().mean()).judged(&p, y))
    };
    let mut trainer = Trainer::new(device, &model, sgd, step)
        .metric(R2::new())
        .metric(ExplainedVariance::new())
        .metric(Largest)
        .checkpoints(Checkpoints::in_folder(folder).every_steps(2))
        .parallel(group);
    let history = trainer.fit(&set, Some(&set))?;
    let names = ["r2", "val_r2", "explained_variance", "val_explained_variance", "largest", "val_largest"];
    let mut told: Vec<f64> = names.iter().filter_map(|name| history.last(name)).collect();
    let r2 = R2::new();
    told.push(r2.value(&trainer.measure(r2, &set)?));
    Ok(told)
}

#[test]
fn ranks_tell_the_spread_of_all_rows() {
    let [r2, explained] = wanted();
    let largest = (0..ROWS).map(|at| f64::from(row(at).0)).fold(0.0, f64::max);
    let wanted = [r2, r2, explained, explained, largest, largest, r2];
    for (name, device) in devices() {
        for batch_size in [64, ROWS] {
            let new = || tempfile::tempdir().expect("a folder");
            let near = |told: &[f64], ranks: usize| {
                let near = told.len() == wanted.len() && told.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 2e-4);
                assert!(near, "{name}: {ranks} ranks tell {told:?}, not {wanted:?}, of batches of {batch_size}");
            };
            near(&told(Alone, &device, batch_size, new().path()).expect("it is told"), 1);
            for ranks in [2, 3] {
                let folder = new();
                let run = |group, device: &Device| told(group, device, batch_size, folder.path());
                let all = Threads::run(&several(&device, ranks), run).expect("they tell");
                all.iter().for_each(|told| near(told, ranks));
            }
        }
    }
}

#[test]
fn sums_of_two_sets_are_those_of_both() {
    let device = Device::cpu();
    let sums = |rows: std::ops::Range<usize>| {
        let [y, p]: [Vec<f32>; 2] =
            [rows.clone().map(|at| row(at).0).collect(), rows.clone().map(|at| row(at).1).collect()];
        let mut meter = Meter::new(ExplainedVariance::outputs(2), &device);
        if !rows.is_empty() {
            let shape = [rows.len() / 2, 2];
            meter.update(&Tensor::from_slice(&p, shape, &device), &Tensor::from_slice(&y, shape, &device));
        }
        meter.sums().expect("the device works")
    };
    let metric = ExplainedVariance::outputs(2);
    let whole = metric.value(&sums(0..ROWS));
    for cut in [0, 2, 100, ROWS] {
        let merged = metric.merge(&sums(0..cut), &sums(cut..ROWS));
        assert_eq!(merged[0], (ROWS / 2) as f64);
        let value = metric.value(&merged);
        assert!((value - whole).abs() < 1e-4, "{value}, not {whole}, of {cut} numbers and the others");
        // By way of a box too.
        let boxed: Box<dyn Metric> = Box::new(metric);
        assert_eq!(boxed.merge(&sums(0..cut), &sums(cut..ROWS)), merged);
    }
}
