//! Loss curves over the first steps: the same on every device, with one seed.

use super::model::{Classifier, Net, ResNet};
use super::photographs;
use crate::devices::devices;
use wgrad::data::{DataLoader, LoaderOptions};
use wgrad::nn::{Ctx, Init, Layer};
use wgrad::optim::schedule::{OneCycleLr, Scheduler};
use wgrad::optim::{Momentum, Optimizer, Sgd, SgdOptions};
use wgrad::plan::Replay;
use wgrad::{Device, Tensor};

const STEPS: usize = 30;
const BATCH: usize = 64;

/// How far two devices may lie apart, relative to the loss.
const APART: f32 = 1e-3;

/// A network, the highest rate and the steps of its schedule, and the number of images: few are soon known.
type Recipe = (fn(&mut Init) -> Classifier, f32, u64, usize);

/// The losses of a run that replays its first step.
fn losses((make, lr, steps, images): Recipe, device: &Device) -> Vec<f32> {
    let model = make(&mut Init::new(3, device));
    let options = SgdOptions { lr, momentum: Momentum::Nesterov(0.9), weight_decay: 5e-4, ..SgdOptions::default() };
    let mut optimizer = Sgd::new(&model, options).expect("a rate");
    let mut scheduler =
        Scheduler::new(OneCycleLr { momentum: None, ..OneCycleLr::new(lr.into(), steps) }, &mut optimizer)
            .expect("rates");
    let options = LoaderOptions { batch_size: BATCH, shuffle: Some(3), ..LoaderOptions::default() };
    let loader = DataLoader::new(photographs().take(images), options).expect("a full set");
    let mut step = Replay::new();
    let run = |batch: wgrad::Result<wgrad::data::Batch<_>>| {
        let [x, labels] = batch.expect("images in memory").to(device);
        let loss = step.run([&x, &labels], |[x, labels]| {
            let loss = model.forward(x, &Ctx::train()).cross_entropy(labels);
            optimizer.step(&loss.backward());
            Ok(loss)
        });
        scheduler.step(&mut optimizer).expect("a rate");
        loss.expect("the step runs").item().expect("the device works")
    };
    (0..).flat_map(|epoch| loader.epoch(epoch)).take(STEPS).map(run).collect()
}

fn judge(name: &str, recipe: Recipe) {
    let mut first: Option<Vec<f32>> = None;
    for (place, device) in devices() {
        let losses = losses(recipe, &device);
        assert_eq!(losses.len(), STEPS);
        let mean = |part: &[f32]| part.iter().sum::<f32>() / part.len() as f32;
        let (start, end) = (mean(&losses[..4]), mean(&losses[STEPS - 4..]));
        assert!(end < start, "{name} on {place} does not learn: {losses:?}");
        let reference = first.get_or_insert_with(|| losses.clone());
        let apart: Vec<f32> = reference.iter().zip(&losses).map(|(a, b)| (a - b).abs() / a.abs()).collect();
        println!("{name} on {place}: {losses:?}, apart by {apart:?}");
        // Written so that NaN is apart.
        let near = apart.iter().all(|off| *off <= APART);
        assert!(near, "{name} on {place}: {losses:?}, elsewhere {reference:?}");
    }
}

#[test]
fn the_residual_network_learns_alike_everywhere() {
    // As the example trains it.
    judge("ResNet", (|init| Classifier::new(ResNet::new(16, init), init), 0.1, 775, 7 * BATCH));
}

#[test]
fn the_network_of_the_tutorial_learns_alike_everywhere() {
    judge("Net", (|init| Classifier::new(Net::new(init), init), 0.05, 100, 2 * BATCH));
}

/// Images before the network, in two replays and in an evaluation.
#[test]
fn every_replay_draws_crops_of_its_own_and_all_devices_the_same() {
    let mut first: Option<Vec<Vec<f32>>> = None;
    for (place, device) in devices() {
        let layer = wgrad::nn::RandomCropFlip::new(4, &mut Init::new(0, &device));
        let pixels: Vec<f32> = photographs().take(8).pixels().iter().map(|&p| f32::from(p) + 1.0).collect();
        let x = Tensor::from_slice(&pixels, [8, 3, 32, 32], &device);
        let mut step = Replay::new();
        let mut seen = Vec::new();
        for _ in 0..3 {
            let y = step.run(&x, |x| Ok(layer.forward(x, &Ctx::train())));
            seen.push(y.expect("the step runs").to_vec::<f32>().expect("the device works"));
        }
        assert_eq!(layer.forward(&x, &Ctx::eval()).to_vec::<f32>().expect("the device works"), pixels);
        for (i, y) in seen.iter().enumerate() {
            assert!(*y != pixels && !seen[..i].contains(y), "{place}: pass {i} draws nothing new");
            // At most 4 of 32 rows and columns are empty, and all that is left comes from the image.
            for (y, x) in y.chunks(1024).zip(pixels.chunks(1024)) {
                assert!(y.iter().filter(|&&y| y == 0.0).count() <= 1024 - 28 * 28, "{place}: too much is cut off");
                assert!(y.iter().all(|y| *y == 0.0 || x.contains(y)), "{place}: a pixel is of another image");
            }
        }
        let reference = first.get_or_insert_with(|| seen.clone());
        assert!(*reference == seen, "the crops on {place} are others");
    }
}
