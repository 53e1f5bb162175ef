//! Trains a convolutional network on MNIST, on a GPU where there is one.
//!
//!     cargo run --release --example mnist
//!
//! On the CPU backend with two threads it prints, between a summary of the model and a confusion matrix:
//!
//!     epoch    loss  train accuracy  test accuracy  images/s  seconds
//!         1  0.5520          83.15%         93.75%      3614      2.8
//!         2  0.1497          95.49%         96.15%      3698      2.7
//!         3  0.0939          97.25%         96.55%      3705      2.7
//!         4  0.0658          97.93%         97.40%      3606      2.8
//!         5  0.0487          98.50%         97.85%      3714      2.7
//!         6  0.0358          99.04%         97.85%      3805      2.6
//!         7  0.0294          99.27%         97.90%      3689      2.7
//!         8  0.0262          99.37%         97.90%      3594      2.8
//!     ..
//!     test accuracy 97.90%

mod args;
mod download_bar;
mod input;
mod losses;
mod model;
mod picture;
mod report;
mod start;

use args::{Args, ModelChoice, OptimizerChoice};
use clap::Parser;
use losses::Losses;
use model::{Cnn, Mlp};
use start::{DeviceChoice, note, say, start};
use std::process::ExitCode;
use wgrad::backend::WgpuOptions;
use wgrad::data::{DataLoader, ImageSet, LoaderOptions};
use wgrad::metrics::ConfusionMatrix;
use wgrad::nn::{Ctx, Init, Layer, Strictness, Summary};
use wgrad::optim::{Adam, AdamOptions, AdamW, AdamWOptions, Momentum, Optimizer, Sgd, SgdOptions};
use wgrad::plan::Replay;
use wgrad::{Device, Result, Tensor, checkpoint, tuning};

/// Steps from one look at the loss to the next.
const READ_EVERY: usize = 10;

/// The step that `--profile` times: everything that the first ones make is there.
const PROFILED: usize = 5;

fn main() -> ExitCode {
    start(|| run(&Args::parse()))
}

fn run(args: &Args) -> Result<()> {
    let device = match &args.tune {
        None => args.device.open()?,
        Some(_) if args.device == DeviceChoice::Cpu => {
            return Err(wgrad::Error::Option("--tune chooses among shaders, and --device cpu runs none".into()));
        }
        Some(folder) => tuning::open(&WgpuOptions::from_env(), folder)?,
    };
    note!("device: {device}: {}", device.why());

    let mut init = Init::new(args.seed, &device);
    let model: Box<dyn Layer> = match args.model {
        ModelChoice::Cnn => Box::new(Cnn::new(&mut init)),
        ModelChoice::Mlp => Box::new(Mlp::new(&mut init)),
    };
    if let Some(path) = &args.load {
        checkpoint::load(&model, path, Strictness::Strict)?;
    }
    if let Some(path) = &args.predict {
        return predict(&model, path, &device);
    }
    // Better to hear of a wrong path now than after the last epoch.
    if let Some(path) = &args.save {
        checkpoint::check_writable(path)?;
    }
    if let Some(folder) = &args.tune {
        tuning::keep(&device, folder)?;
    }

    let mut losses = Losses::new(args.losses.as_deref())?;

    let (train, test) = input::mnist(args)?;
    say!("{}", Summary::of(&model, [1, 1, 28, 28], &device))?;
    say!("{} training images, {} test images\n", train.len(), test.len())?;
    let options = LoaderOptions { batch_size: args.batch_size, shuffle: Some(args.seed), ..LoaderOptions::default() };
    let loader = DataLoader::new(train, options)?;
    let test = DataLoader::new(test, LoaderOptions { batch_size: 500, ..LoaderOptions::default() })?;
    let mut optimizer = optimizer(&model, args)?;

    let steps = (loader.len() * args.epochs) as f32;
    let mut epochs = report::Epochs::new()?;
    // Captured when it first runs, and replayed from then on.
    let mut step = Replay::new();
    // The sum of losses and the number of right answers so far, on the device: reading them is what waits for it.
    let totals = Tensor::zeros([2], &device);
    for epoch in 0..args.epochs {
        let mut bar = report::Progress::new(epoch, args.epochs, loader.len());
        totals.upload(&[0.0f32, 0.0]);
        let mut images = 0;
        for (i, batch) in loader.epoch(epoch as u64).enumerate() {
            // The rate falls to 0 along half a cosine, which ends on a better model than a constant one.
            let done = (epoch * loader.len() + i) as f32 / steps;
            optimizer.set_lr(args.lr() * 0.5 * (1.0 + (std::f32::consts::PI * done).cos()))?;

            let [x, labels] = batch?.to(&device);
            let rows = x.shape()[0];
            let mut run = || {
                step.run([&x, &labels], |[x, labels]| {
                    let logits = model.forward(x, &Ctx::train());
                    let loss = logits.cross_entropy(labels);
                    optimizer.step(&loss.backward());
                    let right = logits.detach().argmax(1).eq(labels).sum();
                    totals.assign(&(&totals + Tensor::stack(&[&(loss.detach() * rows as f32), &right], 0)));
                    Ok(loss)
                })
            };
            let loss = match &args.profile {
                Some(trace) if epoch == 0 && i + 1 == PROFILED => {
                    let (ran, profile) = device.profile(run)?;
                    report::profile(&profile, trace.as_deref(), &bar)?;
                    ran?
                }
                _ => run()?,
            };
            losses.add("loss", &loss)?;
            images += rows;
            if (i + 1).is_multiple_of(READ_EVERY) || i + 1 == loader.len() {
                let sums = totals.to_vec::<f32>()?;
                if !sums[0].is_finite() {
                    let text = format!("the loss became {} in epoch {}: use a smaller --lr", sums[0], epoch + 1);
                    return Err(wgrad::Error::Option(text));
                }
                bar.show(i + 1, sums[0], sums[1], images);
            } else {
                // The device works on this step while the host makes the next batch.
                device.submit();
            }
        }
        let accuracy = evaluate(&model, &test, &device)?.accuracy();
        epochs.add(epoch, bar.finish(), accuracy)?;
    }

    // The weights first: what they took is more than what the choices did.
    if let Some(path) = &args.save {
        checkpoint::save(&model, path)?;
        note!("weights saved to {}", path.display());
    }
    if let Some(folder) = &args.tune {
        tuning::keep(&device, folder)?;
    }
    let matrix = evaluate(&model, &test, &device)?;
    say!("{matrix}")?;
    say!("test accuracy {:.2}%", 100.0 * matrix.accuracy())
}

fn optimizer(model: &dyn Layer, args: &Args) -> Result<Box<dyn Optimizer>> {
    let lr = args.lr();
    let sgd = |momentum| Sgd::new(model, SgdOptions { lr, momentum, ..SgdOptions::default() });
    Ok(match args.optimizer {
        OptimizerChoice::Adam => Box::new(Adam::new(model, AdamOptions { lr, ..AdamOptions::default() })?),
        OptimizerChoice::Adamw => Box::new(AdamW::new(model, AdamWOptions { lr, ..AdamWOptions::default() })?),
        OptimizerChoice::Sgd => Box::new(sgd(Momentum::None)?),
        OptimizerChoice::Momentum => Box::new(sgd(Momentum::HeavyBall(0.9))?),
    })
}

fn evaluate(model: &impl Layer, loader: &DataLoader<ImageSet>, device: &Device) -> Result<ConfusionMatrix> {
    let mut matrix = ConfusionMatrix::new(10);
    for batch in loader.epoch(0) {
        let [x, labels] = batch?.columns;
        let predicted = model.forward(&x.to(device), &Ctx::eval()).argmax(1).to_vec::<i32>()?;
        matrix.add(labels.i32s(), &predicted);
    }
    Ok(matrix)
}

fn predict(model: &impl Layer, path: &std::path::Path, device: &Device) -> Result<()> {
    let x = Tensor::from_vec(picture::png(path)?, [1, 1, 28, 28], device);
    let probabilities = model.forward(&x, &Ctx::eval()).softmax(1).to_vec::<f32>()?;
    report::prediction(&probabilities)
}
