//! The command line.

use crate::run::RunArgs;
use clap::Parser;

/// Adds an activation to the crate from outside, checks it, and trains networks with it and without it.
#[derive(Parser)]
pub struct Args {
    #[command(flatten)]
    pub run: RunArgs,
    /// Steps of training; 0 for the checks alone.
    #[arg(long, default_value_t = 3000)]
    pub steps: usize,
    /// The highest learning rate.
    #[arg(long, default_value_t = 1e-2)]
    pub lr: f64,
}
