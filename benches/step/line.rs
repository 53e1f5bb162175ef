//! One line of the table: a workload on a backend.

use super::ceilings::{Ceilings, open};
use super::timing::{Timing, repeated};
use super::workload::{Training, Workload};
use serde_json::{Value, json};
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};
use wgrad::kernel::Cost;
use wgrad::nn::{Ctx, Layer, Precision};
use wgrad::optim::GradScaler;
use wgrad::plan::Replay;
use wgrad::profile::Profile;
use wgrad::{Device, Reduction, Result, Tensor};

/// Steps of a block, whose last loss is read.
pub const BLOCK: usize = 4;
/// Steps whose losses are shown.
const SHOWN: [usize; 3] = [0, 10, 15];
/// Steps that are profiled.
const PROFILED: usize = 10;

/// How the steps of a line run.
#[derive(Clone, Copy)]
pub struct Way {
    pub replayed: bool,
    pub precision: Precision,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = if self.replayed { "replay" } else { "eager" };
        match self.precision.half() {
            None => f.pad(mode),
            Some(half) => write!(f, "{mode} {half}"),
        }
    }
}

/// What was measured.
pub struct Line {
    workload: String,
    backend: String,
    mode: Way,
    device: String,
    /// Of a step.
    timing: Timing,
    /// Passes as the driver sees them.
    dispatches: u64,
    submits: u64,
    /// The peak of a step's own memory: intermediate results, and the kernels' scratch where it is replayed.
    planned_bytes: u64,
    /// The most that intermediate results take at once.
    least_bytes: u64,
    cost: Cost,
    ceilings: Ceilings,
    /// From the start of the process to the first loss.
    first: f64,
    peak_mb: Option<f64>,
    losses: [f32; 3],
    /// Of a step, each pass in its shortest time of several.
    pub profile: Option<Profile>,
}

impl Line {
    pub fn measure(
        workload: Workload,
        backend: &str,
        mode: Way,
        mnist: &Path,
        budget: Duration,
        start: Instant,
    ) -> Result<Line> {
        let device = open(backend)?;
        let training = workload.start(mnist, &device)?;
        let replay = mode.replayed.then(Replay::new);
        let scaler = (mode.precision == Precision::F16Mixed).then(|| GradScaler::new(&device));
        let ctx = Ctx::train().precision(mode.precision);
        let mut run = Run { training, replay, ctx, scaler, device: device.clone(), done: 0 };
        let mut losses = vec![run.step()?.item()?];
        let first = start.elapsed().as_secs_f64();
        for _ in 1..=SHOWN[2] {
            losses.push(run.step()?.item()?);
        }
        let before = device.counters();
        run.step()?.item()?;
        let after = device.counters();
        let block = repeated(budget, || {
            for _ in 1..BLOCK {
                run.step()?;
            }
            run.step()?.item().map(drop)
        })?;
        let peak_mb = peak_mb();
        let profile = run.profile()?;
        let (cost, [planned_bytes, least_bytes]) = run.planned()?;
        Ok(Line {
            workload: format!("{workload:?}").to_lowercase(),
            backend: backend.to_string(),
            mode,
            device: device.to_string(),
            timing: Timing { median: block.median / BLOCK as f64, least: block.least / BLOCK as f64 },
            dispatches: after.passes - before.passes,
            submits: after.submits - before.submits,
            planned_bytes,
            least_bytes,
            cost,
            ceilings: Ceilings::of(&device)?,
            first,
            peak_mb,
            losses: SHOWN.map(|at| losses[at]),
            profile: Some(profile),
        })
    }

    fn gflops(&self) -> f64 {
        self.cost.flops as f64 / self.timing.median / 1e9
    }

    fn gbps(&self) -> f64 {
        self.cost.bytes as f64 / self.timing.median / 1e9
    }

    pub fn json(&self) -> Value {
        let Line {
            workload,
            backend,
            mode,
            device,
            timing,
            dispatches,
            submits,
            planned_bytes,
            least_bytes,
            cost,
            ceilings,
            ..
        } = self;
        json!({
            "workload": workload,
            "backend": backend,
            "mode": if mode.replayed { "replay" } else { "eager" },
            "precision": mode.precision.half().map_or("f32".to_string(), |half| half.to_string()),
            "device": device,
            "median_ms": 1e3 * timing.median,
            "min_ms": 1e3 * timing.least,
            "dispatches": dispatches,
            "submits": submits,
            "planned_bytes": planned_bytes,
            "least_bytes": least_bytes,
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
pub const HEAD: &str = "step               ms     (min) passes submits  planned MB  (least)  MFLOP     MB  GFLOP/s of ceiling    GB/s of ceiling  first s  peak MB  loss at 0, 10, 15";

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Line { workload, backend, mode, timing, dispatches, submits, cost, ceilings, losses, .. } = self;
        write!(f, "{workload} {backend} {mode:<6} {:8.3} {:8.3}", 1e3 * timing.median, 1e3 * timing.least)?;
        let mega = |count: u64| count as f64 / 1e6;
        write!(f, " {dispatches:6} {submits:7} {:11.2} {:8.2}", mega(self.planned_bytes), mega(self.least_bytes))?;
        write!(f, " {:6.0} {:6.1}", mega(cost.flops), mega(cost.bytes))?;
        let share =
            |rate: f64, ceiling: f64| format!("{rate:7.1} {:4.0}% of {:<5.0}", 1e11 * rate / ceiling, ceiling / 1e9);
        write!(f, "  {} {}", share(self.gflops(), ceilings.flops), share(self.gbps(), ceilings.bytes))?;
        write!(f, " {:7.2} {:8.0}", self.first, self.peak_mb.unwrap_or(f64::NAN))?;
        write!(f, "  {:.4} {:.4} {:.4}", losses[0], losses[1], losses[2])
    }
}

/// A training under way.
struct Run {
    training: Training,
    replay: Option<Replay>,
    ctx: Ctx,
    /// Of a pass in f16.
    scaler: Option<GradScaler>,
    device: Device,
    done: usize,
}

impl Run {
    /// The loss of the next step.
    fn step(&mut self) -> Result<Tensor> {
        let Run { training: Training { model, optimizer, batches }, replay, ctx, scaler, device, done } = self;
        let (x, target) = batches[*done % batches.len()].to(device);
        *done += 1;
        let mut work = |[x, target]: [&Tensor; 2]| {
            let y = model.forward(x, ctx);
            let loss = match target.dtype().is_float() {
                true => y.mse_loss(target, Reduction::Mean),
                false => y.cross_entropy(target),
            };
            match scaler {
                None => optimizer.step(&loss.backward()),
                Some(scaler) => {
                    scaler.step(&mut **optimizer, &scaler.scale(&loss).backward());
                    scaler.update();
                }
            }
            Ok(loss)
        };
        match replay {
            Some(replay) => replay.run([&x, &target], work),
            None => work([&x, &target]),
        }
    }

    /// Where the time of a step goes. Others on the machine only ever make a pass longer.
    fn profile(&mut self) -> Result<Profile> {
        let device = self.device.clone();
        let mut all: Option<Profile> = None;
        for _ in 0..PROFILED {
            let (ran, found) = device.profile(|| self.step()?.item())?;
            ran?;
            match &mut all {
                Some(all) if all.spans.len() == found.spans.len() => {
                    all.spans.iter_mut().zip(&found.spans).for_each(|(span, found)| span.ns = span.ns.min(found.ns));
                }
                all => *all = Some(found),
            }
        }
        Ok(all.expect("there are steps"))
    }

    /// What a step's kernels imply, the memory of its intermediate results, and the most of it in use at once.
    fn planned(&mut self) -> Result<(Cost, [u64; 2])> {
        if let Some(captured) = self.replay.as_ref().and_then(|replay| replay.captures().last()) {
            return Ok((captured.plan().cost(), [captured.planned_bytes(), captured.plan().least_bytes()]));
        }
        let device = self.device.clone();
        let (loss, plan) = device.record(|| self.step());
        loss?.item()?;
        Ok((plan.cost(), [plan.planned_bytes(), plan.least_bytes()]))
    }
}

/// The most memory that the process has had, where the system tells.
fn peak_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(peak.trim().strip_suffix(" kB")?.parse::<f64>().ok()? / 1024.0)
}
