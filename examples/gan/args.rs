//! The command line.

use crate::run::RunArgs;
use clap::Parser;
use std::path::PathBuf;

/// Trains two networks on MNIST against each other until one of them draws digits.
#[derive(Parser)]
pub struct Args {
    #[command(flatten)]
    pub run: RunArgs,
    /// Walks over the training images; with 0, weights of --load only draw.
    #[arg(long, default_value_t = 20)]
    pub epochs: usize,
    /// Real images of one step, and as many drawn ones.
    #[arg(long, default_value_t = 64)]
    pub batch_size: usize,
    /// Both networks' learning rate.
    #[arg(long, default_value_t = 5e-4, allow_negative_numbers = true)]
    pub lr: f32,
    /// Channels where images are smallest; half as many where they are twice as large.
    #[arg(long, default_value_t = 64, value_parser = even)]
    pub width: usize,
    /// A folder with MNIST's four files, gzipped or not; without it, 10,000 training images that come with wgrad.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Fetches all of MNIST (11 MB) into --data, or into the user's cache folder.
    #[arg(long)]
    pub download: bool,
    /// The folder for a picture of drawn digits after each epoch.
    #[arg(long, value_name = "DIR", default_value = "target/gan")]
    pub out: PathBuf,
    /// Lets the network that the example mnist saved here tell what it takes 500 drawn digits for.
    #[arg(long, value_name = "FILE")]
    pub judge: Option<PathBuf>,
}

fn even(text: &str) -> Result<usize, String> {
    let expected = || "expected an even number from 2 on".to_string();
    text.parse().ok().filter(|n| *n >= 2 && n % 2 == 0).ok_or_else(expected)
}
