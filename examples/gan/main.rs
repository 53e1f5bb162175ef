//! Trains two networks on MNIST against each other (DCGAN; Radford, Metz and Chintala, 2015): one draws digits from noise,
//! the other tells them from real ones, and each learns from what the other does.
//!
//!     cargo run --release --example mnist -- --save mnist.safetensors
//!     cargo run --release --example gan -- --judge mnist.safetensors
//!
//! The second takes less than two minutes on the CPU backend with two threads. It prints a row for each epoch: the loss of the
//! discriminator and that of the generator, and how real the former takes real and drawn images to be, about 0.68 and 0.32 at
//! last. Then the network of the first tells what it reads:
//!
//!     epoch       loss       real      drawn  generator  items/s  seconds
//!     ..
//!     500 drawn digits: mean confidence 0.847, 10 classes:  58  44  47  65  35  43  29  71  38  70
//!     500 real digits: mean confidence 0.975, 10 classes:  42  65  52  55  64  49  37  58  40  38
//!
//! The losses do not tell how good the digits are: each is measured against a network that gets better, too. So the
//! network of the example `mnist` reads them, and tells how sure it is and how often it found each digit; without it, the
//! first line is not needed. `docs/gan.png` is the picture after the last epoch.

mod args;
#[path = "../program/download_bar.rs"]
mod download_bar;
#[path = "../mnist/input.rs"]
mod input;
mod judge;
#[path = "../program/losses.rs"]
mod losses;
mod model;
#[path = "../program/run.rs"]
mod run;
#[path = "../program/start.rs"]
mod start;
mod task;

use args::Args;
use clap::Parser;
use judge::Judge;
use model::{Discriminator, Generator, NOISE};
use run::Look;
use start::{note, say, start};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use task::Gan;
use wgrad::data::{DataLoader, LastBatch, LoaderOptions, Normalization, save_images};
use wgrad::nn::{Ctx, Init, Layer, Summary};
use wgrad::optim::schedule::LinearLr;
use wgrad::train::{Callback, Run, Trainer};
use wgrad::{Device, Error, Result, Rng, Tensor};

/// Steps in which the learning rate rises to what the command line says.
const WARM_UP: u64 = 300;

/// Digits from left to right in a picture, and rows of them.
const SIDE: usize = 10;

/// Digits that `--judge` sees.
const JUDGED: usize = 500;

fn main() -> ExitCode {
    start(|| run(&Args::parse()))
}

fn run(args: &Args) -> Result<()> {
    let device = args.run.device.open()?;
    note!("device: {device}: {}", device.why());

    let mut init = Init::new(args.run.seed, &device);
    let generator = Generator::new(args.width, &mut init);
    let discriminator = Discriminator::new(args.width, &mut init);
    args.run.begin(&generator)?;
    let judge = args.judge.as_ref().map(|path| Judge::load(path, &device)).transpose()?;
    fs::create_dir_all(&args.out).map_err(|problem| Error::file_because(&args.out, "cannot be made", problem))?;

    let (train, test) = input::mnist(args)?;
    say!("{}", Summary::of(&generator, [1, NOISE], &device))?;
    say!("{}", Summary::of(&discriminator, [1, 1, 28, 28], &device))?;
    say!("{} training images\n", train.len())?;
    // Pixels in -1..1, where the generator's tanh ends. All batches have one shape, so that each step is a replay.
    let train = train.normalized(&Normalization { mean: vec![0.5], std: vec![0.5] })?;
    let (shuffle, last) = (Some(args.run.seed), LastBatch::Drop);
    let options = LoaderOptions { batch_size: args.batch_size, shuffle, last, ..LoaderOptions::default() };
    let train = DataLoader::new(train, options)?;

    let artist = Artist {
        generator: &generator,
        // The same noise for the picture of each epoch, so that one sees a digit become one.
        noise: noise(SIDE * SIDE, &mut Rng::stream(args.run.seed, 2), &device),
        folder: args.out.clone(),
    };
    let digits = args.out.join("digits.png");
    // At the full rate from the start, the discriminator, whose task is the easier one, would be sure of all it sees after
    // ten steps. Both would then swing so wildly that a difference in the last bit of the weights is one of 30% of the
    // losses after 30 steps; with a rate that rises, it is one of a hundred-thousandth.
    let warm_up = LinearLr { start_factor: 1.0 / WARM_UP as f64, end_factor: 1.0, total_iters: WARM_UP };
    let gan = Gan::new(&generator, &discriminator, args.lr, init.generator.clone())?;
    let trainer = Trainer::of(&device, gan);
    let mut trainer = args
        .run
        .apply(trainer, Look { curves: &["discriminator", "generator"], ..Look::default() })?
        .epochs(args.epochs)
        .schedule_of("discriminator", warm_up)
        .schedule_of("generator", warm_up)
        .callback(&artist);
    let history = trainer.fit(&train, None)?;
    drop(trainer);
    args.run.finish(&history, &generator)?;
    artist.draw(&digits)?;
    note!("digits drawn into {}", digits.display());
    if let Some(judge) = judge {
        let noise = noise(JUDGED, &mut Rng::stream(args.run.seed, 3), &device);
        judge.tell("drawn", &generator.forward(&noise, &Ctx::eval()).affine(0.5, 0.5))?;
        let real = test.take(JUDGED);
        let pixels = real.pixels().iter().map(|&pixel| f32::from(pixel) / 255.0).collect();
        judge.tell("real", &Tensor::from_vec(pixels, [real.len(), 1, 28, 28], &device))?;
    }
    Ok(())
}

/// Normally distributed numbers for some images.
fn noise(images: usize, rng: &mut Rng, device: &Device) -> Tensor {
    Tensor::normal([images, NOISE], 0.0, 1.0, rng, device)
}

/// Draws a picture after each epoch.
struct Artist<'a> {
    generator: &'a Generator,
    noise: Tensor,
    folder: PathBuf,
}

impl Artist<'_> {
    fn draw(&self, path: &Path) -> Result<()> {
        save_images(path, &self.generator.forward(&self.noise, &Ctx::eval()), SIDE, [-1.0, 1.0])
    }
}

impl Callback for &Artist<'_> {
    fn name(&self) -> &str {
        "artist"
    }

    fn on_every_rank(&self) -> bool {
        false
    }

    fn epoch(&mut self, run: &mut Run) -> Result<()> {
        self.draw(&self.folder.join(format!("epoch_{:02}.png", run.epoch + 1)))
    }
}
