//! The command line.

use crate::start::DeviceChoice;
use clap::Parser;
use std::path::PathBuf;

/// Trains two networks on MNIST against each other until one of them draws digits.
#[derive(Parser)]
pub struct Args {
    /// Where to train: auto takes a GPU, else the CPU; gpu takes a software adapter too.
    #[arg(long, value_enum, default_value = "auto")]
    pub device: DeviceChoice,
    /// Walks over the training images.
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
    /// First weights, the order of images and all noise follow from it.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// A folder with MNIST's four files, gzipped or not; without it, 10,000 training images that come with wgrad.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Fetches all of MNIST (11 MB) into --data, or into the user's cache folder.
    #[arg(long)]
    pub download: bool,
    /// The folder for a picture of drawn digits after each epoch.
    #[arg(long, value_name = "DIR", default_value = "target/gan")]
    pub out: PathBuf,
    /// Writes the generator's weights there at the end, as safetensors.
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// Starts from these weights of a generator; with --epochs 0, only draws.
    #[arg(long, value_name = "FILE")]
    pub load: Option<PathBuf>,
    /// Lets the network that the example mnist saved here tell what it takes 500 drawn digits for.
    #[arg(long, value_name = "FILE")]
    pub judge: Option<PathBuf>,
    /// Writes the loss of each step there in full digits, for comparing runs; slower, since each is waited for.
    #[arg(long, value_name = "FILE")]
    pub losses: Option<PathBuf>,
    /// Prints where the time of one step goes.
    #[arg(long)]
    pub profile: bool,
}

fn even(text: &str) -> Result<usize, String> {
    let expected = || "expected an even number from 2 on".to_string();
    text.parse().ok().filter(|n| *n >= 2 && n % 2 == 0).ok_or_else(expected)
}
