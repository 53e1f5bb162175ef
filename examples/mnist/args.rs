//! The command line.

use crate::run::RunArgs;
use crate::start::DeviceChoice;
use clap::{Parser, ValueEnum};
use std::path::PathBuf;

/// Trains a network on MNIST and tells how many test images it reads right.
#[derive(Parser)]
pub struct Args {
    /// Where to train: auto takes a GPU, else the CPU; gpu takes a software adapter too.
    #[arg(long, value_enum, default_value = "auto")]
    pub device: DeviceChoice,
    #[command(flatten)]
    pub run: RunArgs<8>,
    /// Images of one step.
    #[arg(long, default_value_t = 64)]
    pub batch_size: usize,
    /// The learning rate at the start; it falls to 0 [default: 0.001 for adam and adamw, 0.1 for sgd, 0.02 for momentum].
    #[arg(long, allow_negative_numbers = true)]
    lr: Option<f32>,
    /// What moves the weights.
    #[arg(long, value_enum, default_value = "adam")]
    pub optimizer: OptimizerChoice,
    /// A convolutional network, or one hidden layer.
    #[arg(long, value_enum, default_value = "cnn")]
    pub model: ModelChoice,
    /// First weights and the order of images follow from it.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// A folder with MNIST's four files, gzipped or not; without it, 10,000 training images that come with wgrad.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Fetches all of MNIST (11 MB) into --data, or into the user's cache folder.
    #[arg(long)]
    pub download: bool,
    /// Writes the weights there at the end, as safetensors.
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// Starts from these weights; with --epochs 0, only tests them.
    #[arg(long, value_name = "FILE")]
    pub load: Option<PathBuf>,
    /// Measures which shader of each kernel is the fastest on the GPU, and keeps the choices in this folder.
    #[arg(long, value_name = "DIR")]
    pub tune: Option<PathBuf>,
    /// Prints where the time of one step goes; with a file name, writes a trace that Perfetto opens.
    #[arg(long, value_name = "TRACE.json")]
    pub profile: Option<Option<PathBuf>>,
    /// Writes the loss of each step there in full digits, for comparing runs; slower, since each is waited for.
    #[arg(long, value_name = "FILE")]
    pub losses: Option<PathBuf>,
    /// Classifies this image with the weights of --load.
    #[arg(long, value_name = "FILE.png", requires = "load")]
    pub predict: Option<PathBuf>,
}

impl Args {
    /// The learning rate at the start.
    pub fn lr(&self) -> f32 {
        self.lr.unwrap_or(match self.optimizer {
            OptimizerChoice::Adam | OptimizerChoice::Adamw => 1e-3,
            OptimizerChoice::Sgd => 0.1,
            OptimizerChoice::Momentum => 0.02,
        })
    }
}

#[derive(Clone, Copy, ValueEnum)]
pub enum ModelChoice {
    Cnn,
    Mlp,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum OptimizerChoice {
    Adam,
    Adamw,
    Sgd,
    Momentum,
}
