//! What a dispatch costs the host: training steps on wgpu's adapter that runs nothing, so that all time is spent on
//! tensors, gradients, the queue and wgpu itself. Then what a trainer and a
//! loader add to steps on the CPU backend.
//!
//!     cargo bench --bench overhead              # a table
//!     cargo bench --bench overhead -- --json    # one JSON object a line

#[path = "overhead/bare.rs"]
mod bare;
#[path = "shared/timing.rs"]
mod timing;
#[path = "overhead/trainer.rs"]
mod trainer;

use clap::Parser;
use serde_json::json;
use std::time::Duration;
use timing::{Timing, repeated};
use wgrad::backend::WgpuOptions;
use wgrad::nn::{Conv2d, Ctx, Flatten, Init, Layer, Linear, MaxPool2d, Relu, Sequential};
use wgrad::optim::{Adam, AdamOptions, Optimizer};
use wgrad::plan::Replay;
use wgrad::{Device, Result, Tensor};

/// Times the host's part of training steps.
#[derive(Parser)]
struct Args {
    /// Prints one JSON object a line
    #[arg(long)]
    json: bool,
    /// What cargo says
    #[arg(long, hide = true)]
    bench: bool,
}

/// Steps between two looks at the clock.
const STEPS: usize = 20;
const BUDGET: Duration = Duration::from_millis(1500);

fn main() -> Result<()> {
    let args = Args::parse();
    let say = |work: &str, mode: &str, dispatches: usize, timing: Timing| {
        let (median, least) = (1e6 * timing.median / dispatches as f64, 1e6 * timing.least / dispatches as f64);
        let line = json!({ "work": work, "mode": mode, "dispatches": dispatches,
            "us_per_dispatch": median, "us_per_dispatch_min": least, "us": 1e6 * timing.median });
        if args.json {
            println!("{line}");
        } else {
            println!(
                "{work:<6} {mode:<7} {median:7.2} us a dispatch (least {least:.2}), {dispatches} of them in {:.0} us",
                1e6 * timing.median
            );
        }
    };
    let timing = bare::pass(BUDGET)?;
    say("none", "wgpu", bare::DISPATCHES, timing);
    let device = Device::wgpu(&WgpuOptions { backends: Some("noop".into()), ..WgpuOptions::default() })?;
    let init = &mut Init::new(0, &device);
    let mlp = (0..8).fold(Sequential::new(), |model, _| model.push(Linear::new(32, 32, init)).push(Relu::new()));
    let cnn = Sequential::new()
        .push(Conv2d::new(1, 32, 3, init).padding(1))
        .push(Relu::new())
        .push(MaxPool2d::new(2))
        .push(Conv2d::new(32, 64, 3, init).padding(1))
        .push(Relu::new())
        .push(MaxPool2d::new(2))
        .push(Flatten::new())
        .push(Linear::new(3136, 128, init))
        .push(Relu::new())
        .push(Linear::new(128, 10, init));
    for (name, model, x) in
        [("mlp", mlp, Tensor::zeros([8, 32], &device)), ("cnn", cnn, Tensor::zeros([8, 1, 28, 28], &device))]
    {
        for mode in ["eager", "replay"] {
            let (dispatches, timing) = step(&model, &x, mode)?;
            say(name, mode, dispatches, timing);
        }
    }
    let [by_hand, by_trainer] = trainer::steps(&Device::new_cpu())?.map(|seconds| 1e6 * seconds);
    match args.json {
        true => println!("{}", json!({ "work": "w1", "us_by_hand": by_hand, "us_by_trainer": by_trainer })),
        false => println!(
            "w1 on the CPU backend: {by_hand:.0} us a step by hand, {by_trainer:.0} us by a trainer ({:.2})",
            by_trainer / by_hand
        ),
    }
    let [there, loaded, resident] = trainer::loaded(&Device::new_cpu())?.map(|seconds| 1e3 * seconds);
    match args.json {
        true => println!(
            "{}",
            json!({ "work": "resnet", "ms_on_the_device": there, "ms_loaded": loaded, "ms_resident": resident })
        ),
        false => println!(
            "resnet on the CPU backend: {there:.1} ms a step on batches of the device, {loaded:.1} ms from a loader ({:.2}), \
             {resident:.1} ms from a set that lives there ({:.2})",
            loaded / there,
            resident / there
        ),
    }
    Ok(())
}

/// A step's passes and what it takes, with gradients and the optimizer, each in a submit of its own.
fn step(model: &Sequential, x: &Tensor, mode: &str) -> Result<(usize, Timing)> {
    let device = x.device();
    let mut optimizer = Adam::new(model, AdamOptions::default())?;
    let labels = Tensor::full([x.size(0)], 0, device);
    let mut work = |[x, labels]: [&Tensor; 2]| {
        let loss = model.forward(x, &Ctx::train()).cross_entropy(labels);
        optimizer.step(&loss.backward());
        Ok(loss)
    };
    let mut replay = Replay::new();
    timed(device, || {
        let inputs = [x, &labels];
        if mode == "replay" { replay.run(inputs, &mut work) } else { work(inputs) }.map(drop)
    })
}

fn timed(device: &Device, mut step: impl FnMut() -> Result<()>) -> Result<(usize, Timing)> {
    let mut submitted = || {
        step()?;
        device.submit();
        Ok(())
    };
    (0..STEPS).try_for_each(|_| submitted())?;
    let before = device.counters().passes;
    submitted()?;
    let passes = device.counters().passes - before;
    let block = repeated(BUDGET, || (0..STEPS).try_for_each(|_| submitted()))?;
    device.wait()?;
    let steps = STEPS as f64;
    Ok((passes as usize, Timing { median: block.median / steps, least: block.least / steps }))
}
