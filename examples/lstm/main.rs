//! Trains an LSTM, a GRU and a plain RNN of 64 units on the adding problem (Hochreiter and Schmidhuber, 1997): in a
//! sequence of 50 numbers two are marked, and their sum is to be told at the end.
//!
//!     cargo run --release --example lstm -- --plot curves.svg
//!
//! Each step is on new sequences. On the CPU backend with two threads it prints:
//!
//!     always answering 1 has a mean squared error of 0.1667
//!     model  parameters  last 100 steps  fresh sequences  seconds
//!     LSTM        17473          0.0018           0.0017  ..
//!     GRU         13121          0.0003           0.0003  ..
//!     RNN          4417          0.1658           0.1621  ..
//!
//! The plain RNN forgets what it saw in the first half; `docs/lstm.svg` shows the three curves.

mod args;
#[path = "../program/losses.rs"]
mod losses;
#[path = "../program/run.rs"]
mod run;
#[path = "../program/start.rs"]
mod start;

use args::Args;
use clap::Parser;
use run::Look;
use start::{note, say, start};
use std::process::ExitCode;
use wgrad::data::Array;
use wgrad::nn::{Ctx, Gru, Init, Layer, Linear, Lstm, Module, Rnn};
use wgrad::optim::schedule::OneCycleLr;
use wgrad::optim::{Adam, AdamOptions};
use wgrad::train::{Chart, Drawn, History, Outcome, Progress, Trainer};
use wgrad::{Device, Reduction, Result, Rng, Tensor, nn};

/// Sequences that judge a model; their random numbers are a stream of their own.
const FRESH: usize = 1000;

/// Steps of an epoch: each gives a point of the curves.
const EPOCH: usize = 20;

/// A recurrent layer, and a linear one on its last output.
#[derive(Module)]
struct Adder {
    rnn: Box<dyn Layer>,
    fc: Linear,
}

impl Layer for Adder {
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let outputs = self.rnn.forward(x, ctx);
        self.fc.forward(&outputs.narrow(1, outputs.size(1) - 1, 1).squeeze(1), ctx).squeeze(1)
    }
}

/// The three that are compared.
#[derive(Module)]
struct Adders {
    lstm: Adder,
    gru: Adder,
    rnn: Adder,
}

impl Adders {
    fn new(args: &Args, device: &Device) -> Adders {
        let adder = |make: fn(usize, &mut Init) -> Box<dyn Layer>| {
            let mut init = Init::new(args.run.seed, device);
            Adder { rnn: make(args.hidden, &mut init), fc: Linear::new(args.hidden, 1, &mut init) }
        };
        Adders {
            lstm: adder(|hidden, init| Box::new(Lstm::new(2, hidden, init))),
            gru: adder(|hidden, init| Box::new(Gru::new(2, hidden, init))),
            rnn: adder(|hidden, init| Box::new(Rnn::new(2, hidden, init))),
        }
    }
}

fn main() -> ExitCode {
    start(|| run(&Args::parse()))
}

fn run(args: &Args) -> Result<()> {
    let device = args.run.device.open()?;
    note!("device: {device}: {}", device.why());
    let models = Adders::new(args, &device);
    args.run.begin(&models)?;
    say!("always answering 1 has a mean squared error of 0.1667")?;
    say!("model  parameters  last 100 steps  fresh sequences  seconds")?;
    let mut chart = Chart::new("mean squared error").log();
    let mut history = History::default();
    for (name, model) in [("LSTM", &models.lstm), ("GRU", &models.gru), ("RNN", &models.rnn)] {
        history = train(name, model, args, &device)?;
        let points = history.epochs.iter().zip(history.of("loss")).map(|(epoch, loss)| (epoch.step as f64, loss));
        chart = chart.curve(name, points);
    }
    if let Some(path) = &args.plot {
        chart.save(path)?;
        note!("curves written to {}", path.display());
    }
    args.run.finish(&history, &models)
}

/// Trains a model, and prints its row.
fn train(name: &str, model: &Adder, args: &Args, device: &Device) -> Result<History> {
    // Long sequences give seldom a gradient that is far too long.
    let optimizer = Adam::new(model, AdamOptions::default())?.clip_grad_norm(1.0)?;
    let trainer = Trainer::new(device, model, optimizer, |[x, sums], ctx| {
        Ok(Outcome::of(model.forward(x, ctx).mse_loss(sums, Reduction::Mean)))
    });
    let draw = |rng: &mut Rng| sequences(args.batch_size, args.length, rng);
    let train = Drawn::new(args.steps, args.run.seed, draw).epochs(args.steps.div_ceil(EPOCH));
    let progress = Progress::without_table(name);
    let look = Look { progress, part: Some(name), curves: &[name], ..Look::default() };
    let rise_and_fall = OneCycleLr { momentum: None, ..OneCycleLr::new(args.lr, args.steps as u64) };
    let mut trainer = args.run.apply(trainer, look)?.epochs(train.in_epochs()).schedule(rise_and_fall);
    let history = trainer.fit(&train, None)?;

    let losses = history.of("loss");
    let last = &losses[losses.len().saturating_sub(100 / EPOCH)..];
    let mean = last.iter().sum::<f64>() / last.len().max(1) as f64;
    let [x, sums] = sequences(FRESH, args.length, &mut Rng::stream(args.run.seed, 2))?.map(|array| array.to(device));
    let fresh = model.forward(&x, &Ctx::eval()).mse_loss(&sums, Reduction::Mean).item()?;
    let parameters: usize = nn::parameters(model).iter().map(|(_, parameter)| parameter.shape().numel()).sum();
    let seconds: f64 = history.epochs.iter().map(|epoch| epoch.seconds).sum();
    say!("{name:<5}  {parameters:>10}  {mean:>14.4}  {fresh:>15.4}  {seconds:>7.1}")?;
    Ok(history)
}

/// Numbers in 0..1, each with a mark beside it: two are marked, one in each half, and the answer is their sum.
fn sequences(count: usize, length: usize, draw: &mut Rng) -> Result<[Array; 2]> {
    let mut x = vec![0.0f32; count * length * 2];
    let mut sums = vec![0.0f32; count];
    for (sequence, sum) in x.chunks_mut(length * 2).zip(&mut sums) {
        sequence.iter_mut().step_by(2).for_each(|number| *number = draw.uniform());
        let half = (length / 2) as u32;
        for marked in [draw.below(half) as usize, (half + draw.below(length as u32 - half)) as usize] {
            sequence[2 * marked + 1] = 1.0;
            *sum += sequence[2 * marked];
        }
    }
    Ok([Array::new(x, [count, length, 2]), Array::new(sums, [count])])
}
