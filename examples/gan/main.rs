//! Trains two networks on MNIST against each other (DCGAN; Radford, Metz and Chintala, 2015): one draws digits from noise,
//! the other tells them from real ones, and each learns from what the other does.
//!
//!     cargo run --release --example mnist -- --save mnist.safetensors
//!     cargo run --release --example gan -- --judge mnist.safetensors
//!
//! The second takes 80 seconds on the CPU backend with two threads and prints, after a summary of both networks:
//!
//!     epoch  discriminator  generator  real taken for real  drawn taken for real  seconds
//!         1         0.4250     2.5618                81.1%                 14.6%      4.3
//!         2         0.6580     2.2332                77.0%                 22.0%      4.3
//!         3         0.9951     1.3207                64.6%                 35.1%      4.3
//!     ..
//!        19         0.9114     1.4149                67.3%                 32.8%      3.8
//!        20         0.8670     1.4598                68.4%                 31.6%      3.8
//!     500 drawn digits: mean confidence 0.847, 10 classes:  58  44  47  65  35  43  29  71  38  70
//!     500 real digits: mean confidence 0.975, 10 classes:  42  65  52  55  64  49  37  58  40  38
//!
//! The losses do not tell how good the digits are: each is measured against a network that gets better, too. So the
//! network of the example `mnist` reads them, and tells how sure it is and how often it found each digit; without it, the
//! first line is not needed. `docs/gan.png` is the picture after the last epoch.

mod args;
#[path = "../program/download_bar.rs"]
mod download_bar;
mod grid;
#[path = "../mnist/input.rs"]
mod input;
mod judge;
#[path = "../program/losses.rs"]
mod losses;
#[path = "../mnist/model.rs"]
#[expect(dead_code, reason = "the judge is one of the two networks there")]
mod mnist;
mod model;
mod report;
#[path = "../program/start.rs"]
mod start;

use args::Args;
use clap::Parser;
use judge::Judge;
use losses::Losses;
use model::{Discriminator, Generator, NOISE};
use report::Means;
use start::{note, say, start};
use std::fs;
use std::process::ExitCode;
use wgrad::data::{DataLoader, ImageSet, LastBatch, LoaderOptions, Normalization};
use wgrad::nn::{Ctx, Init, Layer, Strictness, Summary};
use wgrad::optim::schedule::{LinearLr, Scheduler};
use wgrad::optim::{Adam, AdamOptions, Optimizer};
use wgrad::plan::Replay;
use wgrad::{Device, Error, Result, Rng, Tensor, checkpoint};

/// Steps in which the learning rate rises to what the command line says.
const WARM_UP: u64 = 300;

/// Steps from one look at the losses to the next.
const READ_EVERY: usize = 10;

/// The step that `--profile` times: everything that the first ones make is there.
const PROFILED: usize = 5;

/// Digits that `--judge` sees.
const JUDGED: usize = 500;

fn main() -> ExitCode {
    start(|| run(&Args::parse()))
}

fn run(args: &Args) -> Result<()> {
    let device = args.device.open()?;
    note!("device: {device}: {}", device.why());

    let mut init = Init::new(args.seed, &device);
    let generator = Generator::new(args.width, &mut init);
    let discriminator = Discriminator::new(args.width, &mut init);
    if let Some(path) = &args.load {
        checkpoint::load(&generator, path, Strictness::Strict)?;
    }
    let judge = args.judge.as_ref().map(|path| Judge::load(path, &device)).transpose()?;
    // Better to hear of a wrong path now than after the last epoch.
    if let Some(path) = &args.save {
        checkpoint::check_writable(path)?;
    }
    fs::create_dir_all(&args.out).map_err(|problem| Error::file_because(&args.out, "cannot be made", problem))?;

    let (train, test) = input::mnist(args)?;
    say!("{}", Summary::of(&generator, [1, NOISE], &device))?;
    say!("{}", Summary::of(&discriminator, [1, 1, 28, 28], &device))?;
    say!("{} training images\n", train.len())?;
    // The same noise for the picture of each epoch, so that one sees a digit become one.
    let noise = noise(grid::SIDE * grid::SIDE, &mut Rng::stream(args.seed, 2), &device);
    let draw = |name: &str| {
        let path = args.out.join(name);
        grid::write(&path, &generator.forward(&noise, &Ctx::eval())).map(|()| path)
    };
    if args.epochs > 0 {
        learn(&generator, &discriminator, train, args, &device, |epoch| {
            draw(&format!("epoch_{epoch:02}.png")).map(drop)
        })?;
    }
    if let Some(path) = &args.save {
        checkpoint::save(&generator, path)?;
        note!("weights saved to {}", path.display());
    }
    note!("digits drawn into {}", draw("digits.png")?.display());
    if let Some(judge) = judge {
        let noise = self::noise(JUDGED, &mut Rng::stream(args.seed, 3), &device);
        let images = generator.forward(&noise, &Ctx::eval()).affine(0.5, 0.5);
        report::verdict("drawn", JUDGED, &judge.of(&images)?)?;
        let real = test.take(JUDGED);
        let pixels = real.pixels().iter().map(|&pixel| f32::from(pixel) / 255.0).collect();
        let images = Tensor::from_vec(pixels, [real.len(), 1, 28, 28], &device);
        report::verdict("real", real.len(), &judge.of(&images)?)?;
    }
    Ok(())
}

/// Normally distributed numbers for some images.
fn noise(images: usize, rng: &mut Rng, device: &Device) -> Tensor {
    Tensor::normal([images, NOISE], 0.0, 1.0, rng, device)
}

/// Trains both networks, and calls `after` with each epoch's number.
fn learn(
    generator: &Generator,
    discriminator: &Discriminator,
    images: ImageSet,
    args: &Args,
    device: &Device,
    mut after: impl FnMut(usize) -> Result<()>,
) -> Result<()> {
    // Pixels in -1..1, where the generator's tanh ends. All batches have one shape, so that each step is a replay.
    let images = images.normalized(&Normalization { mean: vec![0.5], std: vec![0.5] })?;
    let (batch_size, shuffle, last) = (args.batch_size, Some(args.seed), LastBatch::Drop);
    let loader = DataLoader::new(images, LoaderOptions { batch_size, shuffle, last, ..LoaderOptions::default() })?;
    // A beta1 of 0.9 goes on for ten steps in a direction that the other network has made wrong by then.
    let options = AdamOptions { lr: args.lr, betas: (0.5, 0.999), ..AdamOptions::default() };
    let (mut discriminates, mut generates) = (Adam::new(discriminator, options)?, Adam::new(generator, options)?);
    // At the full rate from the start, the discriminator, whose task is the easier one, would be sure of all it sees after
    // ten steps. Both would then swing so wildly that a difference in the last bit of the weights is one of 30% of the
    // losses after 30 steps; with a rate that rises, it is one of a hundred-thousandth.
    let warm_up = LinearLr { start_factor: 1.0 / WARM_UP as f64, end_factor: 1.0, total_iters: WARM_UP };
    let mut schedulers = [Scheduler::new(warm_up, &mut discriminates)?, Scheduler::new(warm_up, &mut generates)?];
    let mut file = Losses::new(args.losses.as_deref())?;
    let mut rng = Rng::stream(args.seed, 1);

    let mut epochs = report::Epochs::new(args.epochs, loader.len())?;
    // Both networks' step is one: captured when it first runs, and replayed from then on.
    let mut step = Replay::new();
    // The sums of what is told at the end of an epoch, on the device: reading them is what waits for it.
    let totals = Tensor::zeros([4], device);
    for epoch in 0..args.epochs {
        epochs.start(epoch);
        totals.upload(&[0.0f32; 4]);
        for (i, batch) in loader.epoch(epoch as u64).enumerate() {
            let [real, _] = batch?.to(device);
            let noise = noise(args.batch_size, &mut rng, device);
            let mut run = || {
                step.run([&real, &noise], |[real, noise]| {
                    let ctx = Ctx::train();
                    let drawn = generator.forward(noise, &ctx);

                    // The discriminator: -log p(real) - log(1 - p(drawn)), in logits so that neither overflows. Drawn
                    // images are detached, since the generator is not to help. Real and drawn images are batches apart:
                    // normalised together, each would show in the other's mean.
                    let says_real = discriminator.forward(real, &ctx);
                    let says_drawn = discriminator.forward(&drawn.detach(), &ctx);
                    let loss = (-&says_real).softplus().mean() + says_drawn.softplus().mean();
                    discriminates.step(&loss.backward());

                    // The generator: -log p(drawn) by the better discriminator. The paper on GANs minimises
                    // log(1 - p(drawn)) first, whose slope vanishes where the discriminator is sure, that is, while the
                    // generator is bad and has most to learn. An untracked discriminator lets the gradient through to
                    // the images and gets none itself.
                    let says = discriminator.forward(&drawn, &Ctx::train().untracked());
                    let generator_loss = (-says).softplus().mean();
                    generates.step(&generator_loss.backward());

                    let real = says_real.detach().sigmoid().mean();
                    let drawn = says_drawn.detach().sigmoid().mean();
                    let new = Tensor::stack(&[&loss.detach(), &generator_loss.detach(), &real, &drawn], 0);
                    totals.assign(&(&totals + new));
                    Ok([loss, generator_loss])
                })
            };
            let losses = if args.profile && epoch == 0 && i + 1 == PROFILED {
                let (ran, profile) = device.profile(run)?;
                epochs.print(&format!("{profile}\n"))?;
                ran?
            } else {
                run()?
            };
            schedulers[0].step(&mut discriminates)?;
            schedulers[1].step(&mut generates)?;
            for (name, loss) in ["discriminator", "generator"].iter().zip(&losses) {
                file.add(name, loss)?;
            }
            if (i + 1).is_multiple_of(READ_EVERY) || i + 1 == loader.len() {
                let means: Vec<f32> = totals.to_vec::<f32>()?.iter().map(|sum| sum / (i + 1) as f32).collect();
                let means = Means { losses: [means[0], means[1]], real: means[2], drawn: means[3] };
                if let Some(loss) = means.losses.iter().find(|loss| !loss.is_finite()) {
                    let text = format!("a loss became {loss} in epoch {}: use a smaller --lr", epoch + 1);
                    return Err(Error::Option(text));
                }
                epochs.show(i + 1, &means);
                if i + 1 == loader.len() {
                    epochs.add(epoch, &means)?;
                }
            } else {
                // The device works on this step while the host draws the next noise.
                device.submit();
            }
        }
        after(epoch + 1)?;
    }
    epochs.finish();
    Ok(())
}
