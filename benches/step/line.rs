//! One line of the table: a workload on a backend.

use super::ceilings::{Ceilings, open};
use super::timing::{Timing, repeated};
use super::workload::{Training, Workload};
use serde_json::{Value, json};
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};
use wgrad::kernel::Cost;
use wgrad::nn::{Ctx, Layer, Randomness};
use wgrad::{Device, Result, Tensor};

/// Steps of a block, whose last loss is read.
pub const BLOCK: usize = 4;
/// Steps whose losses are shown.
const SHOWN: [usize; 3] = [0, 10, 15];

/// What was measured.
pub struct Line {
    workload: String,
    backend: String,
    mode: &'static str,
    device: String,
    /// Of a step.
    timing: Timing,
    /// Passes as the driver sees them.
    dispatches: u64,
    submits: u64,
    cost: Cost,
    ceilings: Ceilings,
    /// From the start of the process to the first loss.
    first: f64,
    peak_mb: Option<f64>,
    losses: [f32; 3],
}

impl Line {
    pub fn measure(workload: Workload, backend: &str, mnist: &Path, budget: Duration, start: Instant) -> Result<Line> {
        let device = open(backend)?;
        let mut training = workload.start(mnist, &device)?;
        let randomness = Randomness::new(0);
        let mut done = 0;
        let mut step = || {
            let loss = eager(&mut training, done, &randomness, &device);
            done += 1;
            loss
        };
        let mut losses = vec![step().item()?];
        let first = start.elapsed().as_secs_f64();
        for _ in 1..=SHOWN[2] {
            losses.push(step().item()?);
        }
        let before = device.counters();
        step().item()?;
        let after = device.counters();
        let block = repeated(budget, || {
            (1..BLOCK).for_each(|_| drop(step()));
            step().item().map(drop)
        })?;
        let peak_mb = peak_mb();
        let (loss, plan) = device.record(&mut step);
        loss.item()?;
        Ok(Line {
            workload: format!("{workload:?}").to_lowercase(),
            backend: backend.to_string(),
            mode: "eager",
            device: device.to_string(),
            timing: Timing { median: block.median / BLOCK as f64, least: block.least / BLOCK as f64 },
            dispatches: after.passes - before.passes,
            submits: after.submits - before.submits,
            cost: plan.cost(),
            ceilings: Ceilings::of(&device)?,
            first,
            peak_mb,
            losses: SHOWN.map(|at| losses[at]),
        })
    }

    fn gflops(&self) -> f64 {
        self.cost.flops as f64 / self.timing.median / 1e9
    }

    fn gbps(&self) -> f64 {
        self.cost.bytes as f64 / self.timing.median / 1e9
    }

    pub fn json(&self) -> Value {
        let Line { workload, backend, mode, device, timing, dispatches, submits, cost, ceilings, .. } = self;
        json!({
            "workload": workload,
            "backend": backend,
            "mode": mode,
            "device": device,
            "median_ms": 1e3 * timing.median,
            "min_ms": 1e3 * timing.least,
            "dispatches": dispatches,
            "submits": submits,
            "flops": cost.flops,
            "bytes": cost.bytes,
            "gflops": self.gflops(),
            "gbps": self.gbps(),
            "ceiling_gflops": ceilings.flops / 1e9,
            "ceiling_gbps": ceilings.bytes / 1e9,
            "gflops_share": self.gflops() * 1e9 / ceilings.flops,
            "gbps_share": self.gbps() * 1e9 / ceilings.bytes,
            "first_step_s": self.first,
            "peak_mb": self.peak_mb,
            "loss0": self.losses[0],
            "loss10": self.losses[1],
            "loss15": self.losses[2],
        })
    }
}

/// The columns of a line.
pub const HEAD: &str = "step               ms     (min) passes submits  MFLOP     MB  GFLOP/s of ceiling    GB/s of ceiling  first s  peak MB  loss at 0, 10, 15";

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Line { workload, backend, mode, timing, dispatches, submits, cost, ceilings, losses, .. } = self;
        write!(f, "{workload} {backend} {mode:<6} {:8.3} {:8.3}", 1e3 * timing.median, 1e3 * timing.least)?;
        write!(f, " {dispatches:6} {submits:7} {:6.0} {:6.1}", cost.flops as f64 / 1e6, cost.bytes as f64 / 1e6)?;
        let share =
            |rate: f64, ceiling: f64| format!("{rate:7.1} {:4.0}% of {:<5.0}", 1e11 * rate / ceiling, ceiling / 1e9);
        write!(f, "  {} {}", share(self.gflops(), ceilings.flops), share(self.gbps(), ceilings.bytes))?;
        write!(f, " {:7.2} {:8.0}", self.first, self.peak_mb.unwrap_or(f64::NAN))?;
        write!(f, "  {:.4} {:.4} {:.4}", losses[0], losses[1], losses[2])
    }
}

fn eager(training: &mut Training, step: usize, randomness: &Randomness, device: &Device) -> Tensor {
    let Training { model, optimizer, batches } = training;
    let (x, labels) = batches[step % batches.len()].to(device);
    let loss = model.forward(&x, &Ctx::train(randomness)).cross_entropy(&labels);
    optimizer.step(&loss.backward());
    loss
}

/// The most memory that the process has had, where the system tells.
fn peak_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(peak.trim().strip_suffix(" kB")?.parse::<f64>().ok()? / 1024.0)
}
