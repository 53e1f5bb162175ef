//! The command line.

use crate::run::RunArgs;
use clap::Parser;
use std::path::PathBuf;

/// Learns one column of a CSV file from the others: a number (regression) or a category (classification).
#[derive(Parser)]
pub struct Args {
    /// A CSV file with a header; made-up flats where there is none.
    #[arg(long, value_name = "FILE.csv", requires = "target")]
    pub data: Option<PathBuf>,
    /// The column to be learned; `rent` or `demand` for the flats.
    #[arg(long, value_name = "COLUMN")]
    pub target: Option<String>,
    /// Columns that are left out, such as numbers of rows and what is known only afterwards.
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub ignore: Vec<String>,
    /// Columns whose numbers are names of categories.
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub categories: Vec<String>,
    /// A CSV file with the same columns, the target left out, whose rows are answered after training.
    #[arg(long, value_name = "FILE.csv")]
    pub predict: Option<PathBuf>,
    #[command(flatten)]
    pub run: RunArgs,
    /// The most passes over the training rows.
    #[arg(long, default_value_t = 200)]
    pub epochs: usize,
    /// Training stops after as many epochs without a better validation loss.
    #[arg(long, default_value_t = 20)]
    pub patience: usize,
    /// Rows of one step.
    #[arg(long, default_value_t = 32, value_parser = at_least_1)]
    pub batch_size: usize,
    /// The learning rate of Adam.
    #[arg(long, default_value_t = 1e-3)]
    pub lr: f32,
    /// Writes the made-up flats into this file and ends.
    #[arg(long, value_name = "FILE.csv")]
    pub make: Option<PathBuf>,
}

fn at_least_1(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "expected a whole number from 1 on".into())
}
