//! Trains a residual network on photographs of CIFAR-10, on a GPU where there is one.
//!
//!     cargo run --release --example cifar10
//!
//! From the 2,000 images that come with it, on the CPU backend with two threads, it prints, between a summary of the model
//! and a confusion matrix:
//!
//!     epoch       loss   accuracy   val_loss  val_accuracy  items/s  seconds
//!     ..
//!        24     0.8763     0.6875     1.2403        0.5580  ..
//!        25     0.8769     0.6895     1.2308        0.5640  ..
//!     ..
//!     class       accuracy  most often taken for
//!     airplane      52.63%  ship (12)
//!     automobile    80.49%  truck (4)
//!     bird          43.14%  cat (8)
//!     cat           46.94%  dog (11)
//!     ..
//!     test accuracy 56.40%
//!
//! With `--download` it learns from all 50,000 images.

mod args;
mod classes;
mod download;
#[path = "../program/download_bar.rs"]
mod download_bar;
mod input;
#[path = "../program/losses.rs"]
mod losses;
mod model;
#[path = "../program/ranks.rs"]
mod ranks;
#[path = "../program/run.rs"]
mod run;
mod sheet;
#[path = "../program/start.rs"]
mod start;

use args::{Args, ModelChoice};
use clap::Parser;
use model::{Classifier, Net, ResNet};
use run::Look;
use start::{say, start};
use std::process::ExitCode;
use std::sync::Arc;
use wgrad::data::{DataLoader, LastBatch, LoaderOptions};
use wgrad::metrics::{Accuracy, ConfusionCounts, ConfusionMatrix};
use wgrad::nn::{Init, Layer, Summary};
use wgrad::optim::schedule::OneCycleLr;
use wgrad::optim::{Momentum, Sgd, SgdOptions};
use wgrad::parallel::Group;
use wgrad::train::{Outcome, Trainer};
use wgrad::{Device, Result};

fn main() -> ExitCode {
    start(|| {
        let args = Args::parse();
        args.ranks.run(args.run.device, |group, device| run(&args, group, device))
    })
}

fn run(args: &Args, group: Arc<dyn Group>, device: &Device) -> Result<()> {
    let tells = group.rank() == 0;
    let mut init = Init::new(args.run.seed, device);
    let model = match args.model {
        ModelChoice::Resnet => Classifier::new(ResNet::new(16, &mut init), &mut init),
        ModelChoice::Net => Classifier::new(Net::new(&mut init), &mut init),
    };
    args.run.begin(&model)?;

    let (train, test) = input::cifar10(args)?;
    let summary = Summary::of(&model, [1, 3, 32, 32], device);
    if tells {
        say!("{summary}")?;
        say!("{} training images, {} test images\n", train.len(), test.len())?;
    }
    let (shuffle, last) = (Some(args.run.seed), LastBatch::Drop);
    // All batches have one shape, so that each step is a replay of the first.
    let options = LoaderOptions { batch_size: args.batch_size, shuffle, last, ..LoaderOptions::default() };
    let train = DataLoader::new(train, options)?;
    let test = DataLoader::new(test, LoaderOptions { batch_size: 250, ..LoaderOptions::default() })?;

    let momentum = match args.model {
        ModelChoice::Resnet => Momentum::Nesterov(0.9),
        ModelChoice::Net => Momentum::HeavyBall(0.9),
    };
    let options = SgdOptions { lr: args.lr() as f32, momentum, weight_decay: 5e-4, ..SgdOptions::default() };
    // Crops and mirror images are drawn within the model, anew at each replay of the step.
    let trainer = Trainer::new(device, &model, Sgd::new(&model, options)?, |[x, labels], ctx| {
        let logits = model.forward(x, ctx);
        Ok(Outcome::of(logits.cross_entropy(labels)).judged(&logits, labels))
    });
    let steps = (train.len() * args.epochs).max(1) as u64;
    let rise_and_fall = OneCycleLr { momentum: None, ..OneCycleLr::new(args.lr(), steps) };
    let look = Look { summary: Some(&summary), classes: &classes::CLASSES, ..Look::default() };
    let mut trainer = args
        .run
        .apply(trainer, look)?
        .epochs(args.epochs)
        .metric(Accuracy::new())
        .schedule(rise_and_fall)
        .parallel(group);
    let history = trainer.fit(&train, Some(&test))?;
    let matrix = ConfusionMatrix::of_sums(&trainer.measure(ConfusionCounts::new(10), &test)?)?;
    if !tells {
        return Ok(());
    }
    args.run.finish(&history, &model)?;
    classes::print(&matrix)
}
