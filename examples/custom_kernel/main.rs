//! Adds an operation of one's own (WGSL, definition, gradient: the page `snake.rs`) from outside the crate, checks it, and
//! trains networks with it: on x / 2 + sin(2 x) between -6 and 6, asked between 6 and 12.
//!
//!     cargo run --release --example custom_kernel
//!
//! On the CPU backend it prints:
//!
//!     the gradient agrees with differences of the function
//!     each kernel agrees with its definition
//!     activation  error from -6 to 6  from 6 to 12
//!     relu                    0.0292       23.6213
//!     tanh                    0.0103        5.3795
//!     snake                   0.0000        0.0088

mod args;
#[path = "../program/losses.rs"]
mod losses;
#[path = "../program/run.rs"]
mod run;
mod snake;
#[path = "../program/start.rs"]
mod start;

use args::Args;
use clap::Parser;
use run::Look;
use start::{note, say, start};
use std::process::ExitCode;
use wgrad::autograd::gradient_check;
use wgrad::data::Array;
use wgrad::nn::{Ctx, Init, Layer, Linear, Module, Parameter, Relu, Sequential, Tanh};
use wgrad::optim::schedule::OneCycleLr;
use wgrad::optim::{Adam, AdamOptions};
use wgrad::train::{Drawn, History, Outcome, Progress, Trainer};
use wgrad::{Device, Error, Reduction, Result, Rng, Tensor};

/// Units of the hidden layer.
const HIDDEN: usize = 64;

/// The operation as a layer: its a is a parameter, and optimizers, checkpoints and summaries find it.
#[derive(Module)]
struct Snake {
    a: Parameter,
}
impl Layer for Snake {
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        snake::snake(x, &ctx.param(&self.a))
    }
}

fn main() -> ExitCode {
    start(|| run(&Args::parse()))
}

fn run(args: &Args) -> Result<()> {
    // The definitions on the CPU: is the gradient that of the function?
    let on_cpu = inputs([7, 5], &Device::cpu());
    gradient_check(|x| snake::snake(&x[0], &x[1]), &on_cpu)?;
    say!("the gradient agrees with differences of the function")?;

    // The shaders on the device: does each do what its definition does? More elements than one workgroup has threads.
    let device = Device::checked(args.run.device.open()?);
    let on_device = inputs([77, 5], &device);
    let y = snake::snake(&on_device[0], &on_device[1]);
    let grads = y.square().mean().backward();
    for x in &on_device {
        grads
            .of(x)
            .ok_or_else(|| Error::Mismatch { kernel: "snake".into(), problem: "an input has no gradient".into() })?
            .to_vec::<f32>()?;
    }
    say!("each kernel agrees with its definition")?;

    let device = args.run.device.open()?;
    note!("device: {device}: {}", device.why());
    let models = ["relu", "tanh", "snake"].map(|name| (name, network(name, args, &device)));
    let all: Vec<&Sequential> = models.iter().map(|(_, model)| model).collect();
    args.run.begin(&all)?;
    if args.steps == 0 {
        return Ok(());
    }
    say!("activation  error from -6 to 6  from 6 to 12")?;
    let mut history = History::default();
    for (name, model) in &models {
        history = train(name, model, args, &device)?;
        let error = |points: [Array; 2]| {
            let [x, y] = points.map(|column| column.to(&device));
            model.forward(&x, &Ctx::eval()).mse_loss(&y, Reduction::Mean).item()
        };
        say!("{name:<10}  {:>18.4}  {:>12.4}", error(points(-6.0, 6.0))?, error(points(6.0, 12.0))?)?;
    }
    args.run.finish(&history, &all)
}

/// Values of some columns, and an a for each column, which is not near 0.
fn inputs([rows, columns]: [usize; 2], device: &Device) -> Vec<Tensor> {
    let mut rng = Rng::new(1);
    let x = Tensor::uniform([rows, columns], -2.0, 2.0, &mut rng, device).requires_grad();
    let a = Tensor::uniform([columns], 0.5, 1.5, &mut rng, device).requires_grad();
    vec![x, a]
}

/// x, and x / 2 + sin(2 x), as columns.
fn points(from: f32, to: f32) -> [Array; 2] {
    let x: Vec<f32> = (0..256).map(|i| from + (to - from) * i as f32 / 255.0).collect();
    let y = x.iter().map(|x| 0.5 * x + (2.0 * x).sin()).collect();
    [x, y].map(|column: Vec<f32>| Array::new(column, [256, 1]))
}

/// A network of one hidden layer with an activation.
fn network(activation: &str, args: &Args, device: &Device) -> Sequential {
    let mut init = Init::new(args.run.seed, device);
    let model = Sequential::new().push(Linear::new(1, HIDDEN, &mut init));
    let model = match activation {
        "relu" => model.push(Relu::new()),
        "tanh" => model.push(Tanh::new()),
        _ => model.push(Snake { a: Parameter::new(Tensor::ones([HIDDEN], device)) }),
    };
    model.push(Linear::new(HIDDEN, 1, &mut init))
}

/// Trains it, at each step on all points.
fn train(name: &str, model: &Sequential, args: &Args, device: &Device) -> Result<History> {
    let optimizer = Adam::new(model, AdamOptions::default())?;
    let trainer = Trainer::new(device, model, optimizer, |[x, y], ctx| {
        Ok(Outcome::of(model.forward(x, ctx).mse_loss(y, Reduction::Mean)))
    });
    let train = Drawn::new(args.steps, args.run.seed, |_| Ok(points(-6.0, 6.0)));
    let progress = Progress::without_table(name);
    let look = Look { progress, part: Some(name), curves: &[name], ..Look::default() };
    let rise_and_fall = OneCycleLr { momentum: None, ..OneCycleLr::new(args.lr, args.steps as u64) };
    args.run.apply(trainer, look)?.schedule(rise_and_fall).fit(&train, None)
}
