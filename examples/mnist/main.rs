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
#[path = "../program/download_bar.rs"]
mod download_bar;
mod input;
#[path = "../program/losses.rs"]
mod losses;
mod model;
mod picture;
#[path = "../program/run.rs"]
mod run;
#[path = "../program/start.rs"]
mod start;

use args::{Args, ModelChoice, OptimizerChoice};
use clap::Parser;
use model::{Cnn, Mlp};
use start::{DeviceChoice, note, say, start};
use std::process::ExitCode;
use wgrad::backend::WgpuOptions;
use wgrad::data::{DataLoader, ImageSet, LoaderOptions};
use wgrad::metrics::{Accuracy, ConfusionMatrix};
use wgrad::nn::{Ctx, Init, Layer, Summary};
use wgrad::optim::schedule::CosineAnnealingLr;
use wgrad::optim::{Adam, AdamOptions, AdamW, AdamWOptions, Momentum, Optimizer, Sgd, SgdOptions};
use wgrad::train::{Outcome, Trainer};
use wgrad::{Device, Error, Result, tuning};

fn main() -> ExitCode {
    start(|| run(&Args::parse()))
}

fn run(args: &Args) -> Result<()> {
    let device = match &args.tune {
        None => args.run.device.open()?,
        Some(_) if args.run.device == DeviceChoice::Cpu => {
            return Err(Error::Option("--tune chooses among shaders, and --device cpu runs none".into()));
        }
        Some(folder) => tuning::open(&WgpuOptions::from_env(), folder)?,
    };
    note!("device: {device}: {}", device.why());

    let mut init = Init::new(args.run.seed, &device);
    let model: Box<dyn Layer> = match args.model {
        ModelChoice::Cnn => Box::new(Cnn::new(&mut init)),
        ModelChoice::Mlp => Box::new(Mlp::new(&mut init)),
    };
    args.run.begin(&model)?;
    if let Some(path) = &args.predict {
        return picture::predict(&model, path, &device);
    }

    let (train, test) = input::mnist(args)?;
    say!("{}", Summary::of(&model, [1, 1, 28, 28], &device))?;
    say!("{} training images, {} test images\n", train.len(), test.len())?;
    let (batch_size, shuffle) = (args.batch_size, Some(args.run.seed));
    let train = DataLoader::new(train, LoaderOptions { batch_size, shuffle, ..LoaderOptions::default() })?;
    let test = DataLoader::new(test, LoaderOptions { batch_size: 500, ..LoaderOptions::default() })?;

    let trainer = Trainer::new(&device, &model, optimizer(&model, args)?, |[x, labels], ctx| {
        let logits = model.forward(x, ctx);
        Ok(Outcome::of(logits.cross_entropy(labels)).judged(&logits, labels))
    });
    // The rate falls to 0 along half a cosine, which ends on a better model than a constant one.
    let fall = CosineAnnealingLr { t_max: (train.len() * args.run.epochs).max(1) as u64, eta_min: 0.0 };
    let history = args.run.apply(trainer)?.metric(Accuracy::new()).schedule(fall).fit(&train, Some(&test))?;
    args.run.finish(&history, &model)?;
    if let Some(folder) = &args.tune {
        tuning::keep(&device, folder)?;
    }
    let matrix = evaluate(&model, &test, &device)?;
    say!("{matrix}")?;
    say!("test accuracy {:.2}%", 100.0 * matrix.accuracy())
}

fn optimizer(model: &dyn Layer, args: &Args) -> Result<Box<dyn Optimizer>> {
    let lr = |default| args.lr.unwrap_or(default);
    let sgd = |lr, momentum| Sgd::new(model, SgdOptions { lr, momentum, ..SgdOptions::default() });
    Ok(match args.optimizer {
        OptimizerChoice::Adam => Box::new(Adam::new(model, AdamOptions { lr: lr(1e-3), ..AdamOptions::default() })?),
        OptimizerChoice::Adamw => {
            Box::new(AdamW::new(model, AdamWOptions { lr: lr(1e-3), ..AdamWOptions::default() })?)
        }
        OptimizerChoice::Sgd => Box::new(sgd(lr(0.1), Momentum::None)?),
        OptimizerChoice::Momentum => Box::new(sgd(lr(0.02), Momentum::HeavyBall(0.9))?),
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
