//! Operations at the sizes of real training: what each variant of their kernels reaches, beside what the device can
//! do at most.
//!
//!     cargo bench --bench ops                        # everything on both backends
//!     cargo bench --bench ops -- gpu softmax sum     # operations whose names hold one of these words
//!     cargo bench --bench ops -- --json              # one JSON object a line
//!
//! Operations and bytes are those that the shapes imply, each binding touched once. An operation of several kernels
//! runs the variants of the costliest; `*` marks what is chosen where nothing is forced. Ceilings are a kernel that
//! copies and the best matrix product of the same run, or the CPU backend's GEMM crate alone.

#[path = "shared/ceilings.rs"]
mod ceilings;
#[path = "ops/list.rs"]
mod list;
#[path = "shared/timing.rs"]
mod timing;

use ceilings::{Ceilings, open};
use clap::Parser;
use list::Op;
use serde_json::json;
use std::time::{Duration, Instant};
use timing::{Timing, repeated};
use wgrad::backend::WgpuOptions;
use wgrad::kernel::{Cost, Dispatch, Info};
use wgrad::plan::Plan;
use wgrad::{Device, Result};

/// Times operations.
#[derive(Parser)]
struct Args {
    /// cpu or gpu, and parts of operations' names; all where none of a kind is named
    words: Vec<String>,
    /// Prints one JSON object a line
    #[arg(long)]
    json: bool,
    /// How long each line is timed for, in milliseconds
    #[arg(long, default_value_t = 200)]
    budget: u64,
    /// What cargo says
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let (backends, parts): (Vec<&String>, Vec<&String>) =
        args.words.iter().partition(|w| ["cpu", "gpu"].contains(&w.as_str()));
    for backend in ["cpu", "gpu"] {
        if !backends.is_empty() && !backends.iter().any(|named| *named == backend) {
            continue;
        }
        let device = open(backend)?;
        let ceilings = Ceilings::of(&device)?;
        let (info, flops, bytes) = (device.info().clone(), ceilings.flops / 1e9, ceilings.bytes / 1e9);
        drop(device);
        if !args.json {
            println!("{info}\nceilings: {flops:.1} GFLOP/s, {bytes:.1} GB/s");
            println!(
                "operation                shape                            kernel                variant         ms  GFLOP/s     GB/s  of ceiling"
            );
        }
        for op in list::all().iter().filter(|op| parts.is_empty() || parts.iter().any(|part| op.name.contains(*part))) {
            let plan = planned(op, backend)?;
            let Some(main) = costliest(&plan, &ceilings) else { continue };
            for variant in variants(main, &info, backend) {
                let timing = measured(op, backend, variant.name, Duration::from_millis(args.budget))?;
                Row { op, backend, kernel: main.kernel.name, variant, timing, cost: plan.cost() }
                    .print(&ceilings, args.json);
            }
        }
    }
    Ok(())
}

/// The kernels of one run.
fn planned(op: &Op, backend: &str) -> Result<Plan> {
    let device = open(backend)?;
    let mut run = (op.start)(&device)?;
    let ((), plan) = device.record(&mut run);
    device.wait()?;
    Ok(plan)
}

fn costliest<'a>(plan: &'a Plan, ceilings: &Ceilings) -> Option<&'a Dispatch> {
    let least = |d: &Dispatch| {
        let Cost { flops, bytes } = (d.kernel.cost)(d);
        (flops as f64 / ceilings.flops).max(bytes as f64 / ceilings.bytes)
    };
    plan.dispatches().iter().max_by(|a, b| least(a).total_cmp(&least(b)))
}

#[derive(Clone, Copy)]
struct Variant {
    name: &'static str,
    is_chosen: bool,
}

/// The variants that compute the right result here; the CPU backend has its own way alone.
fn variants(dispatch: &Dispatch, info: &Info, backend: &str) -> Vec<Variant> {
    if backend == "cpu" {
        return vec![Variant { name: "host", is_chosen: true }];
    }
    let fitting: Vec<_> = dispatch.kernel.variants.iter().filter(|v| (v.fits)(info, dispatch)).collect();
    let chosen = fitting.iter().position(|v| (v.suits)(info, dispatch)).unwrap_or(0);
    fitting.iter().enumerate().map(|(at, v)| Variant { name: v.name, is_chosen: at == chosen }).collect()
}

/// The time of one run, on a device of its own that runs the variant.
fn measured(op: &Op, backend: &str, variant: &'static str, budget: Duration) -> Result<Timing> {
    let options = WgpuOptions { variant: Some(variant), ..WgpuOptions::from_env() };
    let device = if backend == "cpu" { Device::cpu() } else { Device::wgpu(&options)? };
    let mut run = (op.start)(&device)?;
    let mut timed = |count: usize| -> Result<f64> {
        let start = Instant::now();
        (0..count).for_each(|_| run());
        device.wait()?;
        Ok(start.elapsed().as_secs_f64())
    };
    timed(1)?;
    // As many at a time as make the wait at their end small.
    let count = (0.005 / timed(1)?).clamp(1.0, 100.0) as usize;
    let block = repeated(budget, || timed(count).map(drop))?;
    Ok(Timing { median: block.median / count as f64, least: block.least / count as f64 })
}

struct Row<'a> {
    op: &'a Op,
    backend: &'a str,
    kernel: &'static str,
    variant: Variant,
    timing: Timing,
    cost: Cost,
}

impl Row<'_> {
    fn print(&self, ceilings: &Ceilings, as_json: bool) {
        let Row { op, backend, kernel, variant, timing, cost } = self;
        let (flops, bytes) = (cost.flops as f64 / timing.median, cost.bytes as f64 / timing.median);
        let (gflops, gbps, ms) = (flops / 1e9, bytes / 1e9, 1e3 * timing.median);
        // What bounds it at the ceilings is what it is held against.
        let share = (flops / ceilings.flops).max(bytes / ceilings.bytes);
        if as_json {
            let line = json!({ "op": op.name, "shape": op.shape, "kernel": kernel, "variant": variant.name,
                "chosen": variant.is_chosen, "backend": backend, "median_ms": ms, "min_ms": 1e3 * timing.least,
                "gflops": gflops, "gbps": gbps, "share": share,
                "ceiling_gflops": ceilings.flops / 1e9, "ceiling_gbps": ceilings.bytes / 1e9 });
            println!("{line}");
        } else {
            let variant = format!("{}{}", variant.name, if variant.is_chosen { " *" } else { "" });
            println!(
                "{:<24} {:<32} {kernel:<21} {variant:<13} {ms:8.3} {gflops:8.1} {gbps:8.2} {:9.0}%",
                op.name,
                op.shape,
                100.0 * share
            );
        }
    }
}
