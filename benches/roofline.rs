//! What a training step would take on cards that are not here, if bytes, operations and starts of passes were all that
//! counts: foretold from the plan of the step, so that the first measurement tests something.
//!
//!     cargo bench --bench roofline > docs/roofline.md      # the page
//!     cargo bench --bench roofline -- w1 gpt               # steps whose names hold one of these words
//!     cargo bench --bench roofline -- --json               # one JSON object for each step and card
//!
//! Nothing runs: a null device plans each step as for the card, without its memory.

#[path = "step/batches.rs"]
mod batches;
#[path = "roofline/cards.rs"]
mod cards;
#[path = "roofline/forecast.rs"]
mod forecast;
#[path = "step/gpt.rs"]
mod gpt;
#[path = "step/models.rs"]
mod models;
#[path = "step/networks.rs"]
mod networks;
#[path = "roofline/real.rs"]
mod real;
#[path = "step/workload.rs"]
mod workload;

use cards::{CARDS, Card};
use clap::{Parser, ValueEnum};
use forecast::{Forecast, Shares, Work};
use serde_json::json;
use std::fmt::Write;
use std::path::Path;
use wgrad::nn::Ctx;
use wgrad::{Device, Error, Reduction, Result};
use workload::{Training, Workload};

/// Foretells what training steps take on cards that are not here.
#[derive(Parser)]
struct Args {
    /// Parts of names, all where none is named
    words: Vec<String>,
    /// Prints one JSON object for each step and card
    #[arg(long)]
    json: bool,
    /// What cargo says
    #[arg(long, hide = true)]
    bench: bool,
}

const HEAD: &str = "\
# What steps should take on cards that are not here

The output of `cargo bench --bench roofline > docs/roofline.md`. **Nothing here was measured**: it is what a first
measurement is to be held against (`cargo bench --bench first_hour` prints both side by side). A step is planned as it would be
replayed on the card, and of each of its kernels is added up

* the fixed cost of its passes, each of which waits for the one before: assumed, see below;
* the longer of two times: its bytes (each binding touched once, scratch memory once a pass) over the card's bandwidth, and its
  operations over the card's f32 peak times the share of multiply-adds that a GPU's compiler left in the kernel's loop ([gpu.md](gpu.md),
  gfx1100 for all cards; half where there is no such loop). Where the workgroups are fewer than the card's units, or do not fill their last
  round, the peak is less by as much.

Caches, occupancy, bank conflicts, clocks that fall and the host's 0.4 us a kernel are left out: a measured step should take
longer, and one that takes less tells that something is wrong here. A step in which starts of passes are most of it, as in W1,
tells about the driver and not about kernels.

| card | GB/s | f32, TFLOP/s | units | a pass, us (assumed) | by |
|---|---|---|---|---|---|
";

/// What is foretold of one step.
struct Line {
    name: String,
    /// In the order of the cards.
    forecasts: Vec<Forecast>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/gpu.md");
    let shares = Shares::of(&std::fs::read_to_string(path).map_err(|error| Error::file(path, error))?);
    let is_asked = |name: &str| {
        let name = name.to_lowercase();
        args.words.is_empty() || args.words.iter().any(|word| name.contains(&word.to_lowercase()))
    };
    let mut lines = Vec::new();
    for (name, start) in steps().iter().filter(|(name, _)| is_asked(name)) {
        eprintln!("{name}");
        // Cards of one kind have one plan.
        let mut plans: Vec<(Option<u32>, Vec<Work>)> = Vec::new();
        for card in &CARDS {
            if !plans.iter().any(|(subgroup, _)| *subgroup == card.subgroup) {
                plans.push((card.subgroup, planned(card, start, &shares)?));
            }
        }
        let plan = |card: &Card| &plans.iter().find(|(subgroup, _)| *subgroup == card.subgroup).expect("just made").1;
        let forecasts = CARDS.iter().map(|card| Forecast::of(plan(card), card)).collect();
        lines.push(Line { name: name.clone(), forecasts });
    }
    if args.json {
        for line in &lines {
            for (card, forecast) in CARDS.iter().zip(&line.forecasts) {
                let Forecast { starts, bytes, flops, passes, cost, .. } = forecast;
                println!(
                    "{}",
                    json!({ "workload": line.name.to_lowercase(), "card": card.name, "adapter": card.adapter,
                        "ms": 1e3 * forecast.seconds(), "starts_ms": 1e3 * starts, "bytes_ms": 1e3 * bytes,
                        "flops_ms": 1e3 * flops, "passes": passes, "flops": cost.flops, "bytes": cost.bytes })
                );
            }
        }
    } else {
        print!("{}", page(&lines));
    }
    Ok(())
}

type Start = Box<dyn Fn(&Device) -> Result<Training>>;

/// Every step with its name.
fn steps() -> Vec<(String, Start)> {
    let mnist = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/mnist");
    let small = Workload::value_variants().iter().map(|&workload| {
        let start: Start = Box::new(move |device| workload.start(Path::new(mnist), device));
        (format!("{workload:?}"), start)
    });
    let real = real::REAL.into_iter().map(|(name, start)| (name.to_string(), Box::new(start) as Start));
    small.chain(real).collect()
}

/// The kernels of a step as it would be replayed on the card.
fn planned(card: &Card, start: &Start, shares: &Shares) -> Result<Vec<Work>> {
    let info = cards::info(card.subgroup);
    let device = Device::null_as(info.clone());
    let Training { model, mut optimizer, batches } = start(&device)?;
    let (x, target) = batches[0].to(&device);
    let step = device.capture([&x, &target], |[x, target]| {
        let y = model.forward(x, &Ctx::train());
        let loss = match target.dtype().is_float() {
            true => y.mse_loss(target, Reduction::Mean),
            false => y.cross_entropy(target),
        };
        optimizer.step(&loss.backward());
        Ok(loss)
    })?;
    Ok(step.plan().dispatches().iter().map(|dispatch| Work::of(dispatch, &info, shares)).collect())
}

fn page(lines: &[Line]) -> String {
    let mut text = HEAD.to_string();
    for Card { name, bytes, flops, units, pass, source, .. } in &CARDS {
        let (bytes, flops, pass) = (bytes / 1e9, flops / 1e12, pass * 1e6);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| {name} | {bytes:.0} | {flops:.1} | {units} | {pass:.0} | {source} |");
    }
    text += "\nMilliseconds of a step, and in brackets the parts of it in percent that starts of passes, bytes and operations take:\n\n";
    let names: Vec<&str> = CARDS.iter().map(|card| card.name).collect();
    let _ = writeln!(text, "| step | passes | MB | GFLOP | {} |", names.join(" | "));
    let _ = writeln!(text, "|---|---|---|---|{}", "---|".repeat(names.len()));
    for Line { name, forecasts } in lines {
        let first = &forecasts[0];
        let (mega, giga) = (first.cost.bytes as f64 / 1e6, first.cost.flops as f64 / 1e9);
        let cell = |of: &Forecast| {
            let percent = |part: f64| (100.0 * part / of.seconds()).round();
            let parts = [of.starts, of.bytes, of.flops].map(|part| percent(part).to_string());
            format!("{} ({})", figure(1e3 * of.seconds()), parts.join(", "))
        };
        let cells: Vec<String> = forecasts.iter().map(cell).collect();
        let _ = writeln!(text, "| {name} | {} | {mega:.1} | {giga:.2} | {} |", first.passes, cells.join(" | "));
    }
    let card = &CARDS[0];
    let _ = writeln!(
        text,
        "\nPasses, bytes and operations are those of the first card; others run variants of their own. Where the time goes on \
         that card, the {}, and what part of it is lost because some kernels have too few workgroups for all units:\n\n\
         | step | lost | the four kernels that take most |\n|---|---|---|",
        card.name
    );
    for Line { name, forecasts } in lines {
        let longest = forecasts[0].longest(4);
        let longest: Vec<String> =
            longest.iter().map(|(kernel, part)| format!("`{kernel}` {:.0}%", 100.0 * part)).collect();
        let lost = 100.0 * forecasts[0].idle / forecasts[0].seconds();
        let _ = writeln!(text, "| {name} | {lost:.0}% | {} |", longest.join(", "));
    }
    text
}

/// With three digits.
fn figure(ms: f64) -> String {
    let digits = if ms >= 100.0 {
        0
    } else if ms >= 10.0 {
        1
    } else if ms >= 1.0 {
        2
    } else {
        3
    };
    format!("{ms:.digits$}")
}
