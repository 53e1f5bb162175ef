//! Trains a convolutional network on MNIST, on a GPU where there is one.
//!
//!     cargo run --release --example mnist
//!
//! On the CPU backend with two threads it prints, between a summary of the model and a confusion matrix:
//!
//!     epoch       loss   accuracy   val_loss  val_accuracy  items/s  seconds
//!         1     0.5520     0.8315     0.2114        0.9375     2587      3.9
//!         2     0.1498     0.9551     0.1206        0.9625     3143      3.2
//!         3     0.0939     0.9723     0.0873        0.9665     3358      3.0
//!     ..
//!         8     0.0260     0.9938     0.0566        0.9795     3417      2.9
//!     test accuracy 97.95%

mod args;
#[path = "../program/download_bar.rs"]
mod download_bar;
mod input;
#[path = "../program/losses.rs"]
mod losses;
mod model;
mod picture;
#[path = "../program/ranks.rs"]
mod ranks;
#[path = "../program/run.rs"]
#[expect(dead_code, reason = "weights are saved with a description")]
mod run;
#[path = "../program/start.rs"]
mod start;

use args::{Args, ModelChoice, OptimizerChoice};
use clap::Parser;
use model::{Cnn, Mlp};
use run::Look;
use start::{DeviceChoice, note, say, start};
use std::process::ExitCode;
use std::sync::Arc;
use wgrad::backend::WgpuOptions;
use wgrad::data::{DataLoader, LoaderOptions};
use wgrad::deploy::Description;
use wgrad::metrics::{Accuracy, ConfusionCounts, ConfusionMatrix};
use wgrad::nn::{Ctx, Init, Layer, Summary};
use wgrad::optim::schedule::CosineAnnealingLr;
use wgrad::optim::{Adam, AdamOptions, AdamW, AdamWOptions, Momentum, Optimizer, Sgd, SgdOptions};
use wgrad::parallel::{Alone, Group};
use wgrad::train::{Outcome, Trainer};
use wgrad::{DType, Device, Error, Result, Tensor, tuning};

fn main() -> ExitCode {
    start(|| {
        let args = Args::parse();
        match &args.tune {
            None => args.ranks.run(args.run.device, |group, device| run(&args, group, device)),
            Some(_) if args.run.device == DeviceChoice::Cpu => {
                Err(Error::Option("--tune chooses among shaders, and --device cpu runs none".into()))
            }
            Some(folder) => {
                let device = tuning::open(&WgpuOptions::from_env(), folder)?;
                note!("device: {device}: {}", device.why());
                run(&args, Arc::new(Alone), &device)
            }
        }
    })
}

fn run(args: &Args, group: Arc<dyn Group>, device: &Device) -> Result<()> {
    let tells = group.rank() == 0;
    let mut init = Init::new(args.run.seed, device);
    let model: Box<dyn Layer> = match args.model {
        ModelChoice::Cnn => Box::new(Cnn::new(&mut init)),
        ModelChoice::Mlp => Box::new(Mlp::new(&mut init)),
    };
    args.run.begin(&model)?;
    if let Some(path) = &args.predict {
        return picture::predict(&model, path, device);
    }

    let (train, test) = input::mnist(args)?;
    let summary = Summary::of(&model, [1, 1, 28, 28], device);
    if tells {
        say!("{summary}")?;
        say!("{} training images, {} test images\n", train.len(), test.len())?;
    }
    let (batch_size, shuffle) = (args.batch_size, Some(args.run.seed));
    let train = DataLoader::new(train, LoaderOptions { batch_size, shuffle, ..LoaderOptions::default() })?;
    let test = DataLoader::new(test, LoaderOptions { batch_size: 500, ..LoaderOptions::default() })?;

    let trainer = Trainer::new(device, &model, optimizer(&model, args)?, |[x, labels], ctx| {
        let logits = model.forward(x, ctx);
        Ok(Outcome::of(logits.cross_entropy(labels)).judged(&logits, labels))
    });
    let digits = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    let look = Look { summary: Some(&summary), classes: &digits, ..Look::default() };
    // The rate falls to 0 along half a cosine, which ends on a better model than a constant one.
    let fall = CosineAnnealingLr { t_max: (train.len() * args.epochs).max(1) as u64, eta_min: 0.0 };
    let trainer = args.run.apply(trainer, look)?.epochs(args.epochs).metric(Accuracy::new()).schedule(fall);
    let mut trainer = trainer.parallel(group);
    let history = trainer.fit(&train, Some(&test))?;
    let matrix = ConfusionMatrix::of_sums(&trainer.measure(ConfusionCounts::new(10), &test)?)?;
    if !tells {
        return Ok(());
    }
    args.run.tell_how_to_go_on(&history);
    if let Some(path) = &args.run.save {
        // Weights with what is computed, from bytes to the share of each digit.
        let picture = Tensor::full([1, 1, 28, 28], 0u8, device);
        let pass =
            |[x]: [&Tensor; 1], ctx: &Ctx| model.forward(&x.cast(DType::F32).affine(1.0 / 255.0, 0.0), ctx).softmax(1);
        Description::of_pass(&model, [&picture], pass)?.classes(digits)?.save(path)?;
        note!("weights saved to {}", path.display());
    }
    if let Some(folder) = &args.tune {
        tuning::keep(device, folder)?;
    }
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
