//! The command line.

use crate::run::RunArgs;
use clap::Parser;
use std::path::PathBuf;

/// Trains an LSTM, a GRU and a plain RNN on the adding problem: two marked numbers in a sequence, their sum to be told.
#[derive(Parser)]
pub struct Args {
    #[command(flatten)]
    pub run: RunArgs,
    /// Steps of each model, each on new sequences.
    #[arg(long, default_value_t = 2000, value_parser = between::<1, 1_000_000_000>)]
    pub steps: usize,
    /// Sequences of one step.
    #[arg(long, default_value_t = 64, value_parser = between::<1, 65_536>)]
    pub batch_size: usize,
    /// Numbers of one sequence.
    #[arg(long, default_value_t = 50, value_parser = between::<2, 65_536>)]
    pub length: usize,
    /// Units of each recurrent layer.
    #[arg(long, default_value_t = 64, value_parser = between::<1, 16_384>)]
    pub hidden: usize,
    /// The highest learning rate, which the first third of the steps rises to and the others fall from.
    #[arg(long, default_value_t = 5e-3)]
    pub lr: f64,
    /// Draws the three curves into this file.
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,
}

fn between<const LEAST: usize, const MOST: usize>(text: &str) -> Result<usize, String> {
    let expected = || format!("expected a whole number from {LEAST} to {MOST}");
    text.parse().ok().filter(|number| (LEAST..=MOST).contains(number)).ok_or_else(expected)
}
