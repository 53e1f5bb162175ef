//! The command line.

use crate::start::DeviceChoice;
use clap::Parser;
use std::path::PathBuf;

/// Adds an activation to the crate from outside, checks it, and trains networks with it and without it.
#[derive(Parser)]
pub struct Args {
    /// Where to run: auto takes a GPU, else the CPU; gpu takes a software adapter too.
    #[arg(long, value_enum, default_value = "auto")]
    pub device: DeviceChoice,
    /// Steps of training; 0 for the checks alone.
    #[arg(long, default_value_t = 3000)]
    pub steps: u64,
    /// The highest learning rate.
    #[arg(long, default_value_t = 1e-2)]
    pub lr: f64,
    /// First weights follow from it.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Writes the loss of each step there in full digits, for comparing runs; slower, since each is waited for.
    #[arg(long, value_name = "FILE")]
    pub losses: Option<PathBuf>,
}
