//! What a trainer adds to a step: W1 by a loop by hand and by [`Trainer`], from one loader, in turn.

use std::time::Instant;
use wgrad::data::{DataLoader, LoaderOptions};
use wgrad::nn::{Ctx, Init, Layer, Linear, Relu, Sequential};
use wgrad::optim::{Adam, AdamOptions, Optimizer};
use wgrad::plan::Replay;
use wgrad::train::{Outcome, Trainer};
use wgrad::{Device, Result, Tensor};

type Loader = DataLoader<Vec<([f32; 784], i32)>>;

const BATCH: usize = 64;
const BATCHES: usize = 100;
const ROUNDS: usize = 9;

/// Median seconds of a step by the loop and by the trainer.
pub fn steps(device: &Device) -> Result<[f64; 2]> {
    let pixel = |i: usize| (i * 7919 % 256) as f32 / 255.0;
    let item = |row: usize| (std::array::from_fn(|at| pixel(row * 784 + at)), (row % 10) as i32);
    let items: Vec<([f32; 784], i32)> = (0..BATCH * BATCHES).map(item).collect();
    let options = LoaderOptions { batch_size: BATCH, shuffle: Some(7), ..LoaderOptions::default() };
    let loader = DataLoader::new(items, options)?;
    let mut seconds = [const { Vec::new() }; 2];
    for _ in 0..ROUNDS {
        for (seconds, run) in seconds.iter_mut().zip([by_hand, by_trainer]) {
            // What a run costs once, its capture above all, is in both and drops out.
            let start = Instant::now();
            run(&loader, 1, device)?;
            let short = start.elapsed();
            run(&loader, 5, device)?;
            let long = start.elapsed() - short;
            seconds.push((long.as_secs_f64() - short.as_secs_f64()) / (4 * BATCHES) as f64);
        }
    }
    Ok(seconds.map(|mut seconds| {
        seconds.sort_by(f64::total_cmp);
        seconds[ROUNDS / 2]
    }))
}

fn model(device: &Device) -> Sequential {
    let init = &mut Init::new(0, device);
    Sequential::new().push(Linear::new(784, 128, init)).push(Relu::new()).push(Linear::new(128, 10, init))
}

/// The mean loss of each epoch is read, as the trainer reads it.
fn by_hand(loader: &Loader, epochs: u64, device: &Device) -> Result<()> {
    let model = model(device);
    let mut optimizer = Adam::new(&model, AdamOptions::default())?;
    let mut replay = Replay::new();
    for epoch in 0..epochs {
        let total = Tensor::zeros([], device);
        for batch in loader.epoch(epoch) {
            let [x, labels] = batch?.to(device);
            replay.run([&x, &labels, &total], |[x, labels, total]| {
                let loss = model.forward(x, &Ctx::train()).cross_entropy(labels);
                optimizer.step(&loss.backward());
                total.assign(&(total + &loss.detach()));
                Ok(())
            })?;
        }
        total.item()?;
    }
    Ok(())
}

fn by_trainer(loader: &Loader, epochs: u64, device: &Device) -> Result<()> {
    let model = model(device);
    let optimizer = Adam::new(&model, AdamOptions::default())?;
    let mut trainer = Trainer::new(device, &model, optimizer, |[x, labels], ctx| {
        Ok(Outcome::of(model.forward(x, ctx).cross_entropy(labels)))
    })
    .epochs(epochs as usize);
    trainer.fit(loader, None).map(drop)
}
