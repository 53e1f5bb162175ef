//! A training step on many ranks: measured on few, and on paper on as many as one likes.
//!
//!     cargo bench --bench scale                                  # on paper
//!     cargo bench --bench scale --features mpi -- --measure      # and held against runs of 1, 2 and 4 processes here
//!     cargo bench --bench scale --features mpi -- --measure --write docs    # as docs/scale.md and docs/scale.svg

#[path = "step/batches.rs"]
mod batches;
#[path = "step/gpt.rs"]
mod gpt;
#[cfg(feature = "mpi")]
#[path = "scale/measure.rs"]
mod measure;
#[path = "scale/model.rs"]
mod model;
#[path = "step/models.rs"]
mod models;
#[path = "step/networks.rs"]
mod networks;
#[path = "scale/page.rs"]
mod page;
#[path = "scale/rehearse.rs"]
mod rehearse;
#[path = "scale/step.rs"]
mod step;
#[path = "scale/trained.rs"]
mod trained;
#[path = "step/workload.rs"]
mod workload;

use clap::Parser;
use std::path::PathBuf;
use wgrad::{Error, Result};

/// Tells how training scales.
#[derive(Parser)]
struct Args {
    /// Holds the model against runs of 1, 2 and 4 processes of this machine, which needs the feature `mpi`
    #[arg(long)]
    measure: bool,
    /// Writes scale.md and scale.svg into a folder, instead of printing the page
    #[arg(long, value_name = "DIR")]
    write: Option<PathBuf>,
    /// How long each time is taken for
    #[cfg(feature = "mpi")]
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// Runs as a rank of a job
    #[cfg(feature = "mpi")]
    #[arg(long, hide = true)]
    rank: bool,
    /// Runs ranks whose kernels and links sleep
    #[arg(long, hide = true)]
    rehearse: bool,
    /// What cargo says
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    if args.rehearse {
        return rehearse::print();
    }
    #[cfg(feature = "mpi")]
    if args.rank {
        return measure::rank(args.seconds);
    }
    #[cfg(feature = "mpi")]
    let told = args.measure.then(|| [1, 2, 4].map(|ranks| Ok((ranks, measure::job(ranks, args.seconds)?))));
    #[cfg(not(feature = "mpi"))]
    let told = args.measure.then(|| [Err(Error::Option("--measure needs `--features mpi`".into()))]);
    let told = told.into_iter().flatten().collect::<Result<Vec<(usize, serde_json::Value)>>>()?;
    let (text, chart) = page::page(&told)?;
    let Some(folder) = &args.write else {
        println!("{text}");
        return Ok(());
    };
    for (name, text) in [("scale.md", &text), ("scale.svg", &chart)] {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(|error| Error::file_because(&path, "cannot be written", error))?;
    }
    Ok(())
}
