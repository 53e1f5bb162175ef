//! The command line.

use crate::ranks::Ranks;
use crate::run::RunArgs;
use clap::{Parser, ValueEnum};
use std::path::PathBuf;

/// Trains a network on MNIST and tells how many test images it reads right.
#[derive(Parser)]
pub struct Args {
    #[command(flatten)]
    pub run: RunArgs,
    #[command(flatten)]
    pub ranks: Ranks,
    /// Walks over the training images; with 0, weights of --load are only tested.
    #[arg(long, default_value_t = 8)]
    pub epochs: usize,
    /// Images of one step.
    #[arg(long, default_value_t = 64)]
    pub batch_size: usize,
    /// The learning rate at the start; it falls to 0 [default: 0.001 for adam and adamw, 0.1 for sgd, 0.02 for momentum].
    #[arg(long, allow_negative_numbers = true)]
    pub lr: Option<f32>,
    /// What moves the weights.
    #[arg(long, value_enum, default_value = "adam")]
    pub optimizer: OptimizerChoice,
    /// A convolutional network, or one hidden layer.
    #[arg(long, value_enum, default_value = "cnn")]
    pub model: ModelChoice,
    /// A folder with MNIST's four files, gzipped or not; without it, 10,000 training images that come with wgrad.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Fetches all of MNIST (11 MB) into --data, or into the user's cache folder.
    #[arg(long)]
    pub download: bool,
    /// Measures which shader of each kernel is the fastest on the GPU, and keeps the choices in this folder.
    #[arg(long, value_name = "DIR", conflicts_with = "parallel")]
    pub tune: Option<PathBuf>,
    /// Classifies this image with the weights of --load.
    #[arg(long, value_name = "FILE.png", requires = "load")]
    pub predict: Option<PathBuf>,
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
