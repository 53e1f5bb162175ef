//! The networks whose step is timed, with their first weights, batches and optimizers.
//!
//! Weights and batches are hashes of their position and of a seed, so that other programs can make the same ones
//! (`benches/peers`) and arrive at the same losses.

use super::batches::{self, Batch};
use super::gpt::Gpt;
use super::models;
use clap::ValueEnum;
use std::path::Path;
use wgrad::nn::{self, Init, Layer, Module, StateDict, StateTensor, Strictness, Values};
use wgrad::optim::{Adam, AdamOptions, AdamW, AdamWOptions, Momentum, Optimizer, Sgd, SgdOptions};
use wgrad::{Device, Result};

/// What is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Workload {
    /// Fully connected layers 784-128-10 with ReLU on MNIST; Adam.
    W1,
    /// Two 3x3 convolutions (32, 64), each with ReLU and pooling, and layers of 128 and 10, on MNIST; Adam.
    W2,
    /// The same on images of three channels and 32x32; SGD with momentum.
    W3,
    /// A causal GPT: vocabulary 65, width 128, 4 layers, 4 heads, 8 x 128 tokens; AdamW.
    W4,
}

/// A network in training.
pub struct Training {
    pub model: Box<dyn Layer>,
    pub optimizer: Box<dyn Optimizer>,
    pub batches: Vec<Batch>,
}

impl Workload {
    /// As it is before the first step.
    pub fn start(self, mnist: &Path, device: &Device) -> Result<Training> {
        let init = &mut Init::new(0, device);
        match self {
            Workload::W1 => {
                let model = models::mlp(init);
                hash_weights(&model)?;
                let optimizer = Box::new(Adam::new(&model, AdamOptions::default())?);
                Ok(Training { model: Box::new(model), optimizer, batches: batches::mnist(mnist, &[784])? })
            }
            Workload::W2 => {
                let model = models::convolutional(1, 28, init);
                hash_weights(&model)?;
                let optimizer = Box::new(Adam::new(&model, AdamOptions::default())?);
                Ok(Training { model: Box::new(model), optimizer, batches: batches::mnist(mnist, &[1, 28, 28])? })
            }
            Workload::W3 => {
                let model = models::convolutional(3, 32, init);
                hash_weights(&model)?;
                let options = SgdOptions { momentum: Momentum::HeavyBall(0.9), ..SgdOptions::default() };
                let optimizer = Box::new(Sgd::new(&model, options)?);
                Ok(Training { model: Box::new(model), optimizer, batches: batches::noisy_classes() })
            }
            Workload::W4 => {
                let model = Gpt::new(init);
                hash_weights(&model)?;
                let optimizer = Box::new(AdamW::new(&model, AdamWOptions::default())?);
                Ok(Training { model: Box::new(model), optimizer, batches: batches::chains() })
            }
        }
    }
}

/// Numbers the parameters from 1: each is uniform within 1 / sqrt(inputs of its layer) by the hash of its number. Norms
/// start with 1 and 0, embeddings with normal values from pairs of the hash (Box and Muller).
fn hash_weights(model: &dyn Module) -> Result<()> {
    let mut state = StateDict::new();
    let mut fan_in = 1;
    for (at, (name, parameter)) in nn::parameters(model).into_iter().enumerate() {
        let (shape, seed) = (parameter.shape(), at as u32 + 1);
        if shape.rank() > 1 {
            fan_in = shape.numel() / shape[0];
        }
        let bound = 1.0 / (fan_in as f32).sqrt();
        let normal = |i: usize| {
            let [u, v] = [0, 1].map(|part| f64::from(batches::uniform(seed, 2 * i + part)));
            ((-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()) as f32
        };
        let value = |i: usize| match name.as_str() {
            "wte.weight" | "wpe.weight" => normal(i),
            name if name.contains("ln_") => f32::from(u8::from(name.ends_with("weight"))),
            _ => (batches::uniform(seed, i) * 2.0 - 1.0) * bound,
        };
        let values = (0..shape.numel()).map(value).collect();
        state.insert(name.clone(), StateTensor { shape: shape.to_vec(), values: Values::F32(values) });
    }
    nn::load_state(model, &state, Strictness::Strict).map(drop)
}
