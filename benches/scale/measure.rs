//! What is measured here: ranks that are processes of an MPI job, each with the CPU backend on one core.

use super::step::{Paper, Recorded};
use super::trained::Network;
use serde_json::{Value, json};
use std::process::Command;
use std::time::{Duration, Instant};
use wgrad::parallel::{Alone, Group, Mpi, MpiDevice, MpiOptions};
use wgrad::{Device, Error, Result, Tensor};

/// Values of an exchange whose time is taken.
const SIZES: [usize; 6] = [1 << 8, 1 << 12, 1 << 16, 1 << 18, 1 << 20, 1 << 22];

/// Measures as this rank, and prints what rank 0 has seen.
pub fn rank(seconds: f64) -> Result<()> {
    // Making weights and batches is no sign of life.
    let timeout = Duration::from_secs(300);
    Mpi::run(&MpiOptions { device: MpiDevice::Cpu, timeout, ..MpiOptions::default() }, |group, device| {
        let mut told = json!({});
        let exchanges = SIZES.iter().map(|&n| Ok(json!([4 * n, exchange(&group, device, n, seconds)?])));
        told["exchanges"] = Value::Array(exchanges.collect::<Result<Vec<_>>>()?);
        for network in Network::MEASURED {
            told[network.name()] = measured(network, &group, device, seconds)?;
        }
        let (training, batch) = Network::W8.start(device)?;
        let recorded = Recorded::of(training, batch, group.clone(), device)?;
        told["whole"] = json!(shortest(&group, seconds, || recorded.run().map(drop))?);
        if group.rank() == 0 {
            println!("{told}");
        }
        Ok(())
    })
}

/// What a job of so many ranks tells.
pub fn job(ranks: usize, seconds: f64) -> Result<Value> {
    let failed = |text: String| Error::Group(format!("mpirun of {ranks} ranks: {text}"));
    let own = std::env::current_exe().map_err(|error| failed(error.to_string()))?;
    let mut command = Command::new("mpirun");
    command.args(["--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-n", &ranks.to_string()]);
    command.arg(own).args(["--rank", "--seconds", &seconds.to_string()]).env("RAYON_NUM_THREADS", "1");
    let output = command.output().map_err(|error| failed(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find(|line| line.starts_with('{'));
    let told = line.and_then(|line| serde_json::from_str(line).ok());
    told.ok_or_else(|| failed(String::from_utf8_lossy(&output.stderr).into_owned()))
}

/// The shortest time in which values get from a device to all ranks and their means back.
fn exchange(group: &Mpi, device: &Device, n: usize, seconds: f64) -> Result<f64> {
    let x = Tensor::ones([n], device);
    let share = 1.0 / group.size() as f32;
    shortest(group, seconds / 4.0, || {
        let mut values = x.read::<f32>().wait()?;
        values.iter_mut().for_each(|value| *value *= share);
        let mut values = group.sum(values)?;
        values.iter_mut().for_each(|value| *value /= 1.0);
        x.upload(&values);
        Ok(())
    })
}

fn measured(network: Network, group: &Mpi, device: &Device, seconds: f64) -> Result<Value> {
    let (training, batch) = network.small(device)?;
    let recorded = Recorded::of(training, batch, group.clone(), device)?;
    let step = shortest(group, seconds, || recorded.run().map(drop))?;
    // All ranks compute at once, and exchange nothing.
    let (training, batch) = network.small(device)?;
    let own = Recorded::of(training, batch, Alone, device)?;
    let apart = shortest(group, seconds, || own.run().map(drop))?;
    if group.size() > 1 {
        return Ok(json!({ "step": step, "apart": apart }));
    }
    let profiled = |recorded: &Recorded| -> Result<Vec<u64>> {
        let mut least: Vec<u64> = Vec::new();
        let start = Instant::now();
        while least.is_empty() || start.elapsed().as_secs_f64() < seconds {
            let (ran, profile) = device.profile(|| recorded.run())?;
            ran?;
            let now = profile.spans.iter().map(|span| span.ns);
            least = if least.is_empty() {
                now.collect()
            } else {
                least.iter().copied().zip(now).map(|(a, b)| a.min(b)).collect()
            };
        }
        Ok(least)
    };
    let alone = profiled(&own)?;
    let (training, batch) = network.small(device)?;
    let paper = profiled(&Recorded::of(training, batch, Paper(2), device)?)?;
    Ok(json!({ "step": step, "apart": apart, "alone": alone, "paper": paper }))
}

/// The shortest of at least seven times; all ranks run it as often.
fn shortest(group: &Mpi, seconds: f64, mut run: impl FnMut() -> Result<()>) -> Result<f64> {
    run()?;
    let (start, mut least, mut count) = (Instant::now(), f64::INFINITY, 0);
    loop {
        let begun = Instant::now();
        run()?;
        least = least.min(begun.elapsed().as_secs_f64());
        count += 1;
        let ends = count >= 7 && start.elapsed().as_secs_f64() > seconds;
        // Rank 0 says when it is enough.
        if group.broadcast(0, vec![u8::from(ends)])? == [1] {
            return Ok(least);
        }
    }
}
