//! The command line.

use crate::ranks::Ranks;
use crate::run::RunArgs;
use clap::Parser;
use std::path::PathBuf;

/// Trains a Transformer to tell the next character of a text, then lets it write.
#[derive(Parser)]
#[command(args_override_self = true)]
pub struct Args {
    #[command(flatten)]
    pub run: RunArgs,
    #[command(flatten)]
    pub ranks: Ranks,
    /// The text, in UTF-8; without it, the play that comes with wgrad. Its last tenth is held out.
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
    /// Blocks of attention and a hidden layer.
    #[arg(long, default_value_t = 4, value_parser = between::<1, 1_024>)]
    pub layers: usize,
    /// Elements of the vector that stands for a character; a multiple of the heads.
    #[arg(long, default_value_t = 128, value_parser = between::<1, 16_384>)]
    pub width: usize,
    /// Heads of each attention.
    #[arg(long, default_value_t = 4, value_parser = between::<1, 1_024>)]
    pub heads: usize,
    /// Characters that the model sees at once.
    #[arg(long, default_value_t = 64, value_parser = between::<2, 65_536>)]
    pub context: usize,
    /// Pieces of text in one step.
    #[arg(long, default_value_t = 12, value_parser = between::<1, 65_536>)]
    pub batch_size: usize,
    /// Training steps; with 0, the model only writes.
    #[arg(long, default_value_t = 1500)]
    pub steps: usize,
    /// The highest learning rate: the first tenth of the steps rises to it, the others fall along half a cosine.
    #[arg(long, default_value_t = 2e-3, allow_negative_numbers = true)]
    pub lr: f32,
    /// How many of the values that blocks add are dropped in training.
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true)]
    pub dropout: f32,
    /// What the written text goes on from [default: a new line, or where the text has but one, its first character].
    #[arg(long, value_name = "TEXT")]
    pub prompt: Option<String>,
    /// Characters to write.
    #[arg(long, default_value_t = 500)]
    pub length: usize,
    /// How daring the writing is: 0 takes the likeliest character, 1 draws as the model learned.
    #[arg(long, default_value_t = 0.8, allow_negative_numbers = true)]
    pub temperature: f32,
    /// Draws among so many of the likeliest characters.
    #[arg(long, default_value_t = 20, value_parser = between::<1, 1_000_000>)]
    pub top_k: usize,
}

fn between<const LEAST: usize, const MOST: usize>(text: &str) -> Result<usize, String> {
    let expected = || format!("expected a whole number from {LEAST} to {MOST}");
    text.parse().ok().filter(|number| (LEAST..=MOST).contains(number)).ok_or_else(expected)
}
