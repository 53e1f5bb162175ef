//! What a trainer and a loader add to a step: W1 by a loop by hand and by [`Trainer`], from one loader, in turn; and a small
//! ResNet with crops and mirror images, on images from a loader with two threads, on batches that lie on the device,
//! and from a set that lives there.

use std::time::Instant;
use wgrad::data::{Array, DataLoader, LoaderOptions, Resident};
use wgrad::nn::{
    AdaptiveAvgPool2d, BatchNorm2d, Conv2d, Ctx, Flatten, Init, Layer, Linear, Module, RandomCropFlip, Relu, Sequential,
};
use wgrad::optim::{Adam, AdamOptions, Optimizer, Sgd, SgdOptions};
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
    // What a run costs once, its capture above all, is in both and drops out.
    in_turn(|way| {
        let run = [by_hand, by_trainer][way];
        let start = Instant::now();
        run(&loader, 1, device)?;
        let short = start.elapsed().as_secs_f64();
        run(&loader, 5, device)?;
        Ok((start.elapsed().as_secs_f64() - 2.0 * short) / (4 * BATCHES) as f64)
    })
}

/// Median seconds of some ways, by number, that are measured one after the other.
fn in_turn<const WAYS: usize>(mut measured: impl FnMut(usize) -> Result<f64>) -> Result<[f64; WAYS]> {
    let mut seconds = [const { Vec::new() }; WAYS];
    for _ in 0..ROUNDS {
        for (way, seconds) in seconds.iter_mut().enumerate() {
            seconds.push(measured(way)?);
        }
    }
    Ok(seconds.map(|mut seconds| {
        seconds.sort_by(f64::total_cmp);
        seconds[ROUNDS / 2]
    }))
}

/// Median seconds of a step of the ResNet on batches that lie on the device, from the loader, and from a set that lives there.
pub fn loaded(device: &Device) -> Result<[f64; 3]> {
    const STEPS: usize = 8;
    let pixels =
        |row: usize| (0..3 * 32 * 32).map(|at| ((row * 31 + at * 7919) % 256) as f32 / 255.0).collect::<Vec<_>>();
    let items: Vec<(Array, i32)> =
        (0..BATCH * STEPS).map(|row| (Array::new(pixels(row), [3, 32, 32]), (row % 10) as i32)).collect();
    let options = LoaderOptions { batch_size: BATCH, shuffle: Some(7), workers: 2, ..LoaderOptions::default() };
    let resident =
        DataLoader::new(Resident::new(items.clone(), device)?, LoaderOptions { workers: 0, ..options.clone() })?;
    let loader = DataLoader::new(items, options)?;
    let init = &mut Init::new(0, device);
    let model = Sequential::new()
        .push(RandomCropFlip::new(4, init))
        .push(Conv2d::new(3, 32, 3, init).padding(1))
        .push(Block::new(32, init))
        .push(Conv2d::new(32, 64, 3, init).padding(1).stride(2))
        .push(Block::new(64, init))
        .push(AdaptiveAvgPool2d::new([1, 1]))
        .push(Flatten::new())
        .push(Linear::new(64, 10, init));
    let mut optimizer = Sgd::new(&model, SgdOptions::default())?;
    let mut replay = Replay::new();
    let there: Vec<[Tensor; 2]> = loader.epoch(0).map(|batch| Ok(batch?.to(device))).collect::<Result<_>>()?;
    in_turn(|way| {
        let start = Instant::now();
        let batches: Box<dyn Iterator<Item = Result<[Tensor; 2]>>> = match way {
            0 => Box::new(there.iter().cloned().map(Ok)),
            2 => Box::new(resident.epoch(1).map(|batch| Ok(batch?.to(device)))),
            _ => Box::new(loader.epoch(1).map(|batch| Ok(batch?.to(device)))),
        };
        for batch in batches {
            let [x, labels] = batch?;
            replay.run([&x, &labels], |[x, labels]| {
                let loss = model.forward(x, &Ctx::train()).cross_entropy(labels);
                optimizer.step(&loss.backward());
                Ok(())
            })?;
        }
        device.wait()?;
        Ok(start.elapsed().as_secs_f64() / STEPS as f64)
    })
}

/// Two convolutions with batch norm beside the way around them.
#[derive(Module)]
struct Block {
    body: Sequential,
}

impl Block {
    fn new(channels: usize, init: &mut Init) -> Block {
        let body = Sequential::new()
            .push(Conv2d::new(channels, channels, 3, init).padding(1))
            .push(BatchNorm2d::new(channels, init))
            .push(Relu::new())
            .push(Conv2d::new(channels, channels, 3, init).padding(1))
            .push(BatchNorm2d::new(channels, init));
        Block { body }
    }
}

impl Layer for Block {
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        (x + &self.body.forward(x, ctx)).relu()
    }
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
