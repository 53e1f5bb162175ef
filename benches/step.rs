//! How long a training step takes, and what bounds it.
//!
//!     cargo bench --bench step                        # all workloads on both backends, eager and replayed
//!     cargo bench --bench step -- w2 gpu --json       # a part of them, one JSON object a line
//!     cargo bench --bench step -- w5 gpu replay f32 bf16     # in f32 and in mixed precision
//!
//! Each line is a process of its own, so that its first step and its peak memory are its own, too. Times are those of
//! blocks of steps with one read of the loss at their end; compare only figures of one run on an idle machine.

#[path = "step/batches.rs"]
mod batches;
#[path = "shared/ceilings.rs"]
mod ceilings;
#[path = "step/gpt.rs"]
mod gpt;
#[path = "step/line.rs"]
mod line;
#[path = "step/models.rs"]
mod models;
#[path = "step/networks.rs"]
mod networks;
#[path = "shared/timing.rs"]
mod timing;
#[path = "step/workload.rs"]
mod workload;

use clap::{Parser, ValueEnum};
use line::{Line, Way};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};
use wgrad::nn::Precision;
use wgrad::{Error, Result};
use workload::Workload;

/// Times training steps.
#[derive(Parser)]
struct Args {
    /// Which to run, all where none of a kind is named
    words: Vec<Word>,
    /// Prints one JSON object a line
    #[arg(long)]
    json: bool,
    /// MNIST's files, plain or gzipped [default: the part in examples/data, which holds the same first images]
    #[arg(long, value_name = "DIR")]
    mnist: Option<PathBuf>,
    /// How long each line is timed for
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Prints on the side where a step's time goes, by kernel and by layer
    #[arg(long)]
    profile: bool,
    /// Prints its one line in this process
    #[arg(long, hide = true)]
    here: bool,
    /// What cargo says
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Word {
    W1,
    W2,
    W3,
    W4,
    W5,
    W6,
    W7,
    W8,
    W9,
    W10,
    W11,
    Cpu,
    Gpu,
    Eager,
    Replay,
    F32,
    F16,
    Bf16,
}

/// In the order they are run.
const WORKLOADS: [Word; 11] =
    [Word::W1, Word::W2, Word::W3, Word::W4, Word::W5, Word::W6, Word::W7, Word::W8, Word::W9, Word::W10, Word::W11];

/// Of passes.
const PRECISIONS: [Word; 3] = [Word::F32, Word::F16, Word::Bf16];

impl Word {
    fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

fn main() -> Result<()> {
    let start = Instant::now();
    let args = Args::parse();
    // The words of a kind that are named, or all of it.
    let chosen = |kind: &[Word]| -> Vec<Word> {
        let named: Vec<Word> = kind.iter().filter(|word| args.words.contains(word)).copied().collect();
        if named.is_empty() { kind.to_vec() } else { named }
    };
    let folder = args
        .mnist
        .clone()
        .unwrap_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/mnist")));
    if !args.here {
        let which = if args.mnist.is_some() { "the files named" } else { "the part that comes with the example" };
        eprintln!("MNIST: {which}; blocks of {} steps, {} s a line", line::BLOCK, args.seconds);
        if !args.json {
            println!("{}", line::HEAD);
        }
    }
    // In f32 where nothing else is named.
    let halves: Vec<Word> = args.words.iter().copied().filter(|word| PRECISIONS.contains(word)).collect();
    let precisions = if halves.is_empty() { &[Word::F32][..] } else { &halves };
    for workload in chosen(&WORKLOADS) {
        for backend in chosen(&[Word::Cpu, Word::Gpu]) {
            for mode in chosen(&[Word::Eager, Word::Replay]) {
                for &half in precisions {
                    if !args.here {
                        in_its_own_process([workload, backend, mode, half])?;
                        continue;
                    }
                    let budget = Duration::from_secs_f64(args.seconds);
                    let workload = Workload::from_str(&workload.name(), true).expect("each workload is a word");
                    let precision = match half {
                        Word::F16 => Precision::F16Mixed,
                        Word::Bf16 => Precision::Bf16Mixed,
                        _ => Precision::F32,
                    };
                    let way = Way { replayed: mode == Word::Replay, precision };
                    let mut line = Line::measure(workload, &backend.name(), way, &folder, budget, start)?;
                    if let Some(profile) = line.profile.take().filter(|_| args.profile) {
                        eprintln!("{profile}");
                    }
                    println!("{}", if args.json { line.json().to_string() } else { line.to_string() });
                }
            }
        }
    }
    Ok(())
}

/// Runs this program again with the same options for one line.
fn in_its_own_process(words: [Word; 4]) -> Result<()> {
    let failed = |what: String| Error::Option(format!("{}: {what}", words.map(Word::name).join(" ")));
    let program = std::env::current_exe().map_err(|e| failed(e.to_string()))?;
    let is_word = |arg: &String| Word::from_str(arg, true).is_ok();
    let options = std::env::args().skip(1).filter(|arg| !is_word(arg));
    let mut command = Command::new(program);
    command.arg("--here").args(words.map(Word::name)).args(options);
    let status = command.status().map_err(|e| failed(e.to_string()))?;
    if status.success() { Ok(()) } else { Err(failed(status.to_string())) }
}
