//! The first look at a GPU: is the crate right on it, how fast is it, and does it choose its kernels well there?
//!
//!     cargo bench --bench first_hour                     # writes target/first_hour, in nine minutes at most
//!     cargo bench --bench first_hour -- DIR --minutes 5
//!
//! Runs parts of the tests and the other benches on the default adapter, each within its share of the time, and writes what they
//! print, JSON by the line where they have it, and `summary.md`: a table for docs/speed.md, and what failed. A part that is cut off
//! keeps the lines that it had.

use clap::Parser;
use serde_json::Value;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use wgrad::Device;
use wgrad::backend::WgpuOptions;

/// Looks at a GPU for the first time.
#[derive(Parser)]
struct Args {
    /// Where results are written
    #[arg(default_value = "target/first_hour")]
    folder: PathBuf,
    /// How long all parts may take once they are built
    #[arg(long, default_value_t = 9.0)]
    minutes: f64,
    /// What cargo says
    #[arg(long, hide = true)]
    bench: bool,
}

/// A test or bench with its arguments, the file that takes what it prints, and its share of the time in hundredths.
struct Part {
    file: &'static str,
    title: &'static str,
    share: u32,
    target: &'static str,
    arguments: &'static str,
}

const PARTS: &[Part] = &[
    Part { file: "golden.txt", title: "PyTorch's reference cases", share: 10, target: "golden", arguments: "gpu" },
    Part {
        file: "ops.txt",
        title: "each operation by each way to run it, held against its definition",
        share: 30,
        target: "ops",
        arguments: "ops::gpu",
    },
    Part {
        file: "step.jsonl",
        title: "training steps",
        share: 30,
        target: "step",
        arguments: "gpu --json --seconds 1.5",
    },
    Part { file: "kernels.jsonl", title: "kernels", share: 25, target: "ops", arguments: "gpu --json --budget 60" },
    Part { file: "overhead.jsonl", title: "the host's part", share: 3, target: "overhead", arguments: "--json" },
    Part {
        file: "roofline.jsonl",
        title: "what was foretold",
        share: 2,
        target: "roofline",
        arguments: "--json w1 w2 w3 w4 w5 w6 w7 w8 w9",
    },
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    let device = Device::wgpu(&WgpuOptions::default())?;
    let name = device.to_string();
    drop(device);
    eprintln!("{name}\nbuilding the tests and benches");
    fs::create_dir_all(&args.folder)?;
    let tests = built("test --release --no-run --test golden --test ops")?;
    let benches = built("bench --no-run --bench step --bench ops --bench overhead --bench roofline")?;
    let mut summary = format!("# {name}\n\n| part | result | seconds |\n|---|---|---|\n");
    let mut failed = String::new();
    for part in PARTS {
        let limit = Duration::from_secs_f64(args.minutes * 60.0 * f64::from(part.share) / 100.0);
        eprintln!("{} (at most {:.0} s)", part.title, limit.as_secs_f64());
        let (path, start) = (args.folder.join(part.file), Instant::now());
        let programs = if part.file.ends_with("txt") { &tests } else { &benches };
        let status = run(&programs[part.target], part, &path, limit)?;
        let result = match status {
            None => "cut off; what it had is kept".to_string(),
            Some(status) if status.success() && !end_of(&path)?.contains("running 0 tests") => "passed".to_string(),
            Some(status) => {
                write!(failed, "\n## {}\n\n```text\n{}\n```\n", part.title, end_of(&path)?)?;
                format!("failed, {status}")
            }
        };
        writeln!(summary, "| {} | {result} | {:.0} |", part.title, start.elapsed().as_secs_f64())?;
    }
    let foretold = lines(&args.folder.join("roofline.jsonl"))?;
    summary += &steps(&lines(&args.folder.join("step.jsonl"))?, &foretold, &name);
    summary += &kernels(&lines(&args.folder.join("kernels.jsonl"))?);
    summary += &failed;
    let path = args.folder.join("summary.md");
    fs::write(&path, &summary)?;
    println!("{summary}\nwritten to {}", path.display());
    Ok(())
}

/// The programs that cargo builds, by the names of their targets.
fn built(arguments: &str) -> Result<HashMap<String, PathBuf>, Box<dyn std::error::Error>> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(arguments.split(' ')).arg("--message-format=json-render-diagnostics");
    let output = cargo.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("cargo {arguments}: {}", output.status).into());
    }
    let messages = String::from_utf8(output.stdout)?;
    let programs = messages.lines().filter_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        Some((message["target"]["name"].as_str()?.to_string(), message["executable"].as_str()?.into()))
    });
    Ok(programs.collect())
}

/// Runs a part with what it prints going to a file; `None` where its time ended first.
fn run(program: &Path, part: &Part, path: &Path, limit: Duration) -> std::io::Result<Option<ExitStatus>> {
    let (out, side) = (File::create(path)?, File::create(path.with_extension("log"))?);
    let mut command = Command::new(program);
    command.args(part.arguments.split(' ')).env("WGRAD_DEVICES", "gpu");
    let mut child = command.stdout(out).stderr(side).stdin(Stdio::null()).spawn()?;
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if start.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn end_of(path: &Path) -> std::io::Result<String> {
    let text = fs::read_to_string(path)? + &fs::read_to_string(path.with_extension("log"))?;
    let lines: Vec<&str> = text.lines().filter(|line| !line.ends_with("... ok")).collect();
    Ok(lines[lines.len().saturating_sub(60)..].join("\n"))
}

/// The whole lines of a file that are JSON.
fn lines(path: &Path) -> std::io::Result<Vec<Value>> {
    Ok(fs::read_to_string(path)?.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

fn number(line: &Value, key: &str) -> f64 {
    line[key].as_f64().unwrap_or(f64::NAN)
}

fn text<'a>(line: &'a Value, key: &str) -> &'a str {
    line[key].as_str().unwrap_or("?")
}

/// What was measured, beside what `benches/roofline.rs` foretold for a replayed step of a card that the device's name ends with: one
/// for laptops is another.
fn steps(lines: &[Value], foretold: &[Value], device: &str) -> String {
    let mut table = "\n| workload | mode | ms a step | foretold | dispatches | GFLOP/s | of the best product | first step, s |\n|---|---|---|---|---|---|---|---|\n".to_string();
    for line in lines {
        let is_it = |other: &&Value| {
            text(other, "workload") == text(line, "workload")
                && device.contains(&format!("{} (", text(other, "adapter")))
        };
        let own = foretold.iter().find(is_it).filter(|_| text(line, "mode") == "replay");
        let own = own.map_or("-".to_string(), |own| format!("{:.3}", number(own, "ms")));
        // Writing to a string cannot fail.
        let _ = writeln!(
            table,
            "| {} | {} | {:.3} | {own} | {} | {:.0} | {:.0}% | {:.2} |",
            text(line, "workload"),
            text(line, "mode"),
            number(line, "median_ms"),
            line["dispatches"],
            number(line, "gflops"),
            100.0 * number(line, "gflops_share"),
            number(line, "first_step_s"),
        );
    }
    table
}

/// What was chosen beside the fastest, where that is more than a tenth faster; and how many were chosen well.
fn kernels(lines: &[Value]) -> String {
    let mut found: Vec<(String, Vec<&Value>)> = Vec::new();
    for line in lines {
        let name = format!("{} {}", text(line, "op"), text(line, "shape"));
        match found.last_mut() {
            Some((last, all)) if *last == name => all.push(line),
            _ => found.push((name, vec![line])),
        }
    }
    let mut table = "\n| operation | chosen | ms | fastest | ms |\n|---|---|---|---|---|\n".to_string();
    let mut well = 0;
    for (name, all) in &found {
        let ms = |line: &&&Value| number(line, "median_ms");
        let chosen = all.iter().find(|line| line["chosen"] == true);
        let fastest = all.iter().min_by(|a, b| ms(a).total_cmp(&ms(b)));
        let (Some(chosen), Some(fastest)) = (chosen, fastest) else { continue };
        if ms(&chosen) <= 1.1 * ms(&fastest) {
            well += 1;
            continue;
        }
        let [own, best] =
            [chosen, fastest].map(|line| format!("{} | {:.3}", text(line, "variant"), number(line, "median_ms")));
        let _ = writeln!(table, "| {name} | {own} | {best} |");
    }
    format!(
        "\nOf {} operations, {well} take the fastest way or one within a tenth of it; the others:\n{table}",
        found.len()
    )
}
