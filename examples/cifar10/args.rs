//! The command line.

use crate::run::RunArgs;
use crate::start::DeviceChoice;
use clap::{Parser, ValueEnum};
use std::path::PathBuf;

/// Trains a network on the photographs of CIFAR-10 and tells how many test images of each class it names right.
#[derive(Parser)]
pub struct Args {
    /// Where to train: auto takes a GPU, else the CPU; gpu takes a software adapter too.
    #[arg(long, value_enum, default_value = "auto")]
    pub device: DeviceChoice,
    #[command(flatten)]
    pub run: RunArgs<25>,
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
    /// First weights, the order of images and how they are cropped and mirrored follow from it.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// A folder with CIFAR-10's binary files, gzipped or not; without it, 2,000 training images that come with wgrad.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Fetches all of CIFAR-10 (139 MB) into --data, or into the user's cache folder.
    #[arg(long)]
    pub download: bool,
    /// Writes the weights there at the end, as safetensors.
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// Starts from these weights; with --epochs 0, only tests them.
    #[arg(long, value_name = "FILE")]
    pub load: Option<PathBuf>,
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
