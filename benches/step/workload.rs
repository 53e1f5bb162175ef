//! The networks whose step is timed, with their first weights, batches and optimizers.
//!
//! Weights and batches are hashes of their position and of a seed, so that other programs can make the same ones
//! (`benches/peers`) and arrive at the same losses.

use super::batches::{self, Batch, ITEMS};
use super::gpt::{Gpt, Size};
use super::models;
use super::networks::{self, Mobilenet, Recommender, Resnet, Sequences, Unet};
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
    /// Three residual blocks of convolutions with batch normalisation, on images of three channels; SGD with Nesterov's momentum.
    W5,
    /// Depthwise and pointwise convolutions with batch normalisation and ReLU6, on the same; Adam.
    W6,
    /// Two layers of LSTM of 128 units on 64 sequences of 50 steps; Adam.
    W7,
    /// A causal GPT: vocabulary 1,000, width 256, 4 layers, 8 heads, 4 x 256 tokens; AdamW with clipped gradients.
    W8,
    /// A U-Net with group normalisation, SiLU, strided and transposed convolutions on 32 images of 28x28; Adam.
    W9,
    /// Eight rows of a table of 50,000 x 32 for each of 512 items, and fully connected layers; Adam.
    W10,
    /// Fully connected layers 3072-1024-256-1024-3072 on 256 rows; Adam.
    W11,
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
            Workload::W1 => training(models::mlp(init), adam, batches::mnist(mnist, &[784])?),
            Workload::W2 => training(models::convolutional(1, 28, init), adam, batches::mnist(mnist, &[1, 28, 28])?),
            Workload::W3 => training(
                models::convolutional(3, 32, init),
                |model| sgd(model, SgdOptions { momentum: Momentum::HeavyBall(0.9), ..SgdOptions::default() }),
                batches::noisy_classes(),
            ),
            Workload::W4 => training(Gpt::new(Size::W4, init), adam_w, batches::chains()),
            Workload::W5 => training(
                Resnet::new(init),
                |model| sgd(model, SgdOptions { lr: 0.05, momentum: Momentum::Nesterov(0.9), ..SgdOptions::default() }),
                batches::noisy_classes(),
            ),
            Workload::W6 => training(Mobilenet::new(init), adam, batches::noisy_classes()),
            Workload::W7 => training(Sequences::new(init), adam, batches::classified(&[64, 50, 64], 10)),
            Workload::W8 => training(
                Gpt::new(Size { vocabulary: 1000, width: 256, heads: 8, context: 256, ..Size::W4 }, init),
                |model| Ok(Box::new(AdamW::new(model, AdamWOptions::default())?.clip_grad_norm(1.0)?)),
                batches::tokens_of([4, 256], 1000, 4 * 256, 1000),
            ),
            Workload::W9 => training(Unet::new(init), adam, batches::mapped(&[32, 1, 28, 28])),
            Workload::W10 => training(Recommender::new(init), adam, batches::tokens_of([512, 8], ITEMS, 512, 2)),
            Workload::W11 => {
                training(networks::dense(&[3072, 1024, 256, 1024, 3072], init), adam, batches::mapped(&[256, 3072]))
            }
        }
    }
}

/// With hashed weights and the optimizer that `optimizer` makes.
fn training<M: Layer + 'static>(
    model: M,
    optimizer: impl Fn(&M) -> Result<Box<dyn Optimizer>>,
    batches: Vec<Batch>,
) -> Result<Training> {
    hash_weights(&model)?;
    Ok(Training { optimizer: optimizer(&model)?, model: Box::new(model), batches })
}

fn adam<M: Module>(model: &M) -> Result<Box<dyn Optimizer>> {
    Ok(Box::new(Adam::new(model, AdamOptions::default())?))
}

fn adam_w<M: Module>(model: &M) -> Result<Box<dyn Optimizer>> {
    Ok(Box::new(AdamW::new(model, AdamWOptions::default())?))
}

fn sgd<M: Module>(model: &M, options: SgdOptions) -> Result<Box<dyn Optimizer>> {
    Ok(Box::new(Sgd::new(model, options)?))
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
            name if name.contains("ln_") || name.contains("norm") => f32::from(u8::from(name.ends_with("weight"))),
            _ => (batches::uniform(seed, i) * 2.0 - 1.0) * bound,
        };
        let values = (0..shape.numel()).map(value).collect();
        state.insert(name.clone(), StateTensor { shape: shape.to_vec(), values: Values::F32(values) });
    }
    // Running statistics are no parameters.
    nn::load_state(model, &state, Strictness::Partial).map(drop)
}
