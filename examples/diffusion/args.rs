//! The command line.

use crate::ranks::Ranks;
use crate::run::RunArgs;
use clap::{Parser, value_parser};
use std::path::PathBuf;

/// Learns to take noise out of MNIST's digits, and draws digits by taking it out of nothing but noise.
#[derive(Parser)]
pub struct Args {
    #[command(flatten)]
    pub run: RunArgs,
    #[command(flatten)]
    pub ranks: Ranks,
    /// Walks over the training images; with 0, weights of --load only draw.
    #[arg(long, default_value_t = 30)]
    pub epochs: usize,
    /// Images of one step.
    #[arg(long, default_value_t = 128)]
    pub batch_size: usize,
    /// The highest learning rate: it rises to it, and falls to 0 by the last step.
    #[arg(long, default_value_t = 2e-3, allow_negative_numbers = true)]
    pub lr: f32,
    /// Channels where images are largest; twice as many where they are half as large.
    #[arg(long, default_value_t = 32, value_parser = eights)]
    pub width: usize,
    /// Steps from an image to noise, and as many to draw one.
    #[arg(long, default_value_t = 200, value_parser = value_parser!(u32).range(1..))]
    pub steps: u32,
    /// The part of the averaged weights that a step keeps.
    #[arg(long, default_value_t = 0.995, allow_negative_numbers = true)]
    pub decay: f32,
    /// A folder with MNIST's four files, gzipped or not; without it, 10,000 training images that come with wgrad.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Fetches all of MNIST (11 MB) into --data, or into the user's cache folder.
    #[arg(long)]
    pub download: bool,
    /// The picture of a hundred drawn digits.
    #[arg(long, value_name = "FILE", default_value = "target/diffusion.png")]
    pub out: PathBuf,
    /// Lets the network that the example mnist saved here tell what it takes 500 drawn digits for.
    #[arg(long, value_name = "FILE")]
    pub judge: Option<PathBuf>,
}

fn eights(text: &str) -> Result<usize, String> {
    let expected = || "expected a multiple of 8 from 8 on".to_string();
    text.parse().ok().filter(|n| *n >= 8 && n % 8 == 0).ok_or_else(expected)
}
