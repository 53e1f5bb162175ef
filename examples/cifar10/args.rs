//! The command line.

use crate::ranks::Ranks;
use crate::run::RunArgs;
use clap::{Parser, ValueEnum};
use std::path::PathBuf;

/// Trains a network on the photographs of CIFAR-10 and tells how many test images of each class it names right.
#[derive(Parser)]
pub struct Args {
    #[command(flatten)]
    pub run: RunArgs,
    #[command(flatten)]
    pub ranks: Ranks,
    /// Walks over the training images; with 0, weights of --load are only tested.
    #[arg(long, default_value_t = 25)]
    pub epochs: usize,
    /// Images of one step.
    #[arg(long, default_value_t = 64)]
    pub batch_size: usize,
    /// The highest learning rate, which the first third of the steps rises to and the others fall from [default: 0.1
    /// for resnet, 0.02 for net].
    #[arg(long, allow_negative_numbers = true)]
    lr: Option<f64>,
    /// A residual network with batch normalisation, or the two convolutions of PyTorch's tutorials.
    #[arg(long, value_enum, default_value = "resnet")]
    pub model: ModelChoice,
    /// A folder with CIFAR-10's binary files, gzipped or not; without it, 2,000 training images that come with wgrad.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Fetches all of CIFAR-10 (139 MB) into --data, or into the user's cache folder.
    #[arg(long)]
    pub download: bool,
}

impl Args {
    /// The highest learning rate.
    pub fn lr(&self) -> f64 {
        self.lr.unwrap_or(match self.model {
            ModelChoice::Resnet => 0.1,
            ModelChoice::Net => 0.02,
        })
    }
}

#[derive(Clone, Copy, ValueEnum)]
pub enum ModelChoice {
    Resnet,
    Net,
}
