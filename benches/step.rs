//! How long a training step of the MNIST example's network takes, and what bounds it.
//!
//!     cargo bench --bench step            # both backends
//!     cargo bench --bench step -- cpu     # one of them: cpu or gpu
//!
//! Each figure is the median of its runs; compare only figures of one run on an idle machine.

use std::time::Instant;
use wgrad::backend::{Counters, WgpuOptions};
use wgrad::nn::{Conv2d, Ctx, Flatten, Init, Layer, Linear, MaxPool2d, Randomness, Relu, Sequential};
use wgrad::optim::{Adam, AdamOptions, Optimizer};
use wgrad::{Device, Result, Rng, Tensor};

fn main() -> Result<()> {
    let start = Instant::now();
    let wanted = |name: &str| {
        let mut named = std::env::args().filter(|arg| arg == "cpu" || arg == "gpu").peekable();
        named.peek().is_none() || named.any(|arg| arg == name)
    };
    if wanted("cpu") {
        measure(&Device::cpu(), start)?;
    }
    if wanted("gpu") {
        // Where both are measured, the first step of the second has waited for the first.
        let start = if wanted("cpu") { Instant::now() } else { start };
        measure(&Device::wgpu(&WgpuOptions::from_env())?, start)?;
    }
    Ok(())
}

fn measure(device: &Device, start: Instant) -> Result<()> {
    println!("{device}");
    step(device, start)?;
    for size in [512, 1024] {
        let mut rng = Rng::new(0);
        let a = Tensor::normal([size, size], 0.0, 1.0, &mut rng, device);
        let seconds = median(9, || {
            let c = a.matmul(&a);
            device.wait().map(|()| drop(c))
        })?;
        println!("  matmul {size}: {:.1} GFLOP/s", 2.0 * (size as f64).powi(3) / seconds / 1e9);
    }
    let n = 16 << 20;
    let ones = Tensor::ones([n], device);
    let seconds = median(5, || ones.sum().item().map(|sum| assert!(sum == n as f32, "the sum of {n} ones is {sum}")))?;
    println!("  sum of 16M: right, {:.1} GB/s", 4.0 * n as f64 / seconds / 1e9);
    Ok(())
}

/// The network of the MNIST example, batches of 64, Adam, the loss read at each step.
fn step(device: &Device, start: Instant) -> Result<()> {
    let mut init = Init::new(0, device);
    let model = Sequential::new()
        .push(Conv2d::new(1, 32, 3, &mut init).padding(1))
        .push(Relu)
        .push(MaxPool2d::new(2))
        .push(Conv2d::new(32, 64, 3, &mut init).padding(1))
        .push(Relu)
        .push(MaxPool2d::new(2))
        .push(Flatten)
        .push(Linear::new(3136, 128, &mut init))
        .push(Relu)
        .push(Linear::new(128, 10, &mut init));
    let mut optimizer = Adam::new(&model, AdamOptions::default())?;
    let randomness = Randomness::new(0);
    let mut rng = Rng::new(1);
    let images: Vec<f32> = (0..64 * 784).map(|_| rng.uniform()).collect();
    let labels: Vec<i32> = (0..64).map(|_| rng.below(10) as i32).collect();
    let mut run = || {
        let x = Tensor::from_slice(&images, [64, 1, 28, 28], device);
        let y = Tensor::from_slice(&labels, [64], device);
        let loss = model.forward(&x, &Ctx::train(&randomness)).cross_entropy(&y);
        optimizer.step(&loss.backward());
        loss.item().map(drop)
    };
    run()?;
    let first = start.elapsed().as_secs_f64();
    for _ in 0..5 {
        run()?;
    }
    let before = device.counters();
    run()?;
    let Counters { passes, submits, .. } = device.counters();
    let seconds = median(30, run)?;
    println!(
        "  MNIST CNN, batch 64: {:.1} ms a step, {} dispatches, {} submits, {first:.2} s from the start to the first step{}",
        1e3 * seconds,
        passes - before.passes,
        submits - before.submits,
        peak_memory()
    );
    Ok(())
}

/// The most memory that the process has had, where the system tells.
fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.map_or(String::new(), |peak| format!(", peak memory {}", peak.trim()))
}

fn median(runs: usize, mut run: impl FnMut() -> Result<()>) -> Result<f64> {
    run()?;
    let mut seconds = Vec::with_capacity(runs);
    for _ in 0..runs {
        let start = Instant::now();
        run()?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    Ok(seconds[runs / 2])
}
