//! Small runs on real digits: a model, an optimizer, and batches in an order that follows from the seed.

use super::model::{Cnn, Mlp};
use wgrad::data::{Array, Batch, DataLoader, ImageSet, LoaderOptions, mnist};
use wgrad::nn::{
    BatchNorm2d, Conv2d, Ctx, Directions, Dropout, Flatten, Generator, Gru, Init, Layer, Linear, Lstm, MaxPool2d,
    Module, RecurrentOptions, Relu, Sequential, StateDict, state,
};
use wgrad::optim::{Adam, AdamOptions, AdamW, AdamWOptions, Lamb, LambOptions, Momentum, Optimizer, Sgd, SgdOptions};
use wgrad::{Device, Tensor};

pub const SEED: u64 = 0x5EED_0000_0007;

/// What is trained, and by what.
pub struct Recipe {
    pub name: &'static str,
    pub model: fn(&mut Init) -> Box<dyn Layer>,
    pub optimizer: fn(&dyn Module) -> wgrad::Result<Box<dyn Optimizer>>,
}

fn adam(model: &dyn Module, options: AdamOptions) -> wgrad::Result<Box<dyn Optimizer>> {
    Ok(Box::new(Adam::new(model, options)?))
}

fn momentum(model: &dyn Module) -> wgrad::Result<Box<dyn Optimizer>> {
    let options = SgdOptions { lr: 0.05, momentum: Momentum::HeavyBall(0.9), ..SgdOptions::default() };
    Ok(Box::new(Sgd::new(model, options)?))
}

/// The network of the MNIST example as the example trains it.
pub const CNN: Recipe = Recipe {
    name: "the example's CNN, Adam",
    model: |init| Box::new(Cnn::new(init)),
    optimizer: |model| adam(model, AdamOptions::default()),
};

/// The example's other network.
pub const MLP: Recipe =
    Recipe { name: "the example's MLP, momentum", model: |init| Box::new(Mlp::new(init)), optimizer: momentum };

/// Two groups of parameters, lengths of each, and gradients that are clipped.
pub const CLIPPED: Recipe = Recipe {
    name: "an MLP, LAMB of two groups, clipped",
    model: |init| {
        let layers = Sequential::new().push(Flatten::new()).push(Linear::new(784, 48, init));
        Box::new(layers.push(Relu::new()).push(Linear::new(48, 10, init)))
    },
    optimizer: |model| {
        let of = |weight_decay| LambOptions { lr: 0.05, weight_decay, ..LambOptions::default() };
        let lamb = Lamb::grouped(model, |_, shape| of(if shape.rank() > 1 { 0.1 } else { 0.0 }))?;
        Ok(Box::new(lamb.l1_penalty(1e-4)?.clip_grad_value(0.02)?.clip_grad_norm(0.1)?))
    },
};

/// An image as a sequence of its rows, read by an LSTM in both directions and then by a GRU.
#[derive(Module)]
struct Rows {
    lstm: Lstm,
    gru: Gru,
    fc: Linear,
}

impl Layer for Rows {
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let outputs = self.gru.forward(&self.lstm.forward(&x.squeeze(1), ctx), ctx);
        self.fc.forward(&outputs.narrow(1, outputs.size(1) - 1, 1).squeeze(1), ctx)
    }
}

/// Sequences, whose steps are many passes of one kernel.
pub const RECURRENT: Recipe = Recipe {
    name: "an LSTM and a GRU, Adam",
    model: |init| {
        let both = RecurrentOptions { directions: Directions::Both, ..RecurrentOptions::default() };
        // 14 units are no multiple of 4.
        let (lstm, gru) = (Lstm::with(28, 14, both, init), Gru::new(28, 32, init));
        Box::new(Rows { lstm, gru, fc: Linear::new(32, 10, init) })
    },
    optimizer: |model| adam(model, AdamOptions { lr: 0.015, ..AdamOptions::default() }),
};

/// Random masks in training.
pub const DROPOUT: Recipe = Recipe {
    name: "an MLP with dropout, momentum",
    model: |init| {
        let layers =
            Sequential::new().push(Flatten::new()).push(Dropout::new(0.1, init)).push(Linear::new(784, 48, init));
        Box::new(layers.push(Relu::new()).push(Dropout::new(0.3, init)).push(Linear::new(48, 10, init)))
    },
    optimizer: momentum,
};

/// Running statistics, and weights that decay.
pub const BATCH_NORM: Recipe = Recipe {
    name: "a CNN with batch norm, AdamW",
    model: |init| {
        let first = Conv2d::new(1, 8, 3, init).padding(1).without_bias();
        let layers =
            Sequential::new().push(first).push(BatchNorm2d::new(8, init)).push(Relu::new()).push(MaxPool2d::new(2));
        let second = Conv2d::new(8, 16, 3, init).stride(2).without_bias();
        let layers = layers.push(second).push(BatchNorm2d::new(16, init)).push(Relu::new()).push(Flatten::new());
        Box::new(layers.push(Linear::new(16 * 6 * 6, 10, init)))
    },
    optimizer: |model| Ok(Box::new(AdamW::new(model, AdamWOptions { lr: 2e-3, ..AdamWOptions::default() })?)),
};

/// A run under way.
pub struct Trainer {
    pub model: Box<dyn Layer>,
    pub optimizer: Box<dyn Optimizer>,
    pub generator: Generator,
    loader: DataLoader<ImageSet>,
    device: Device,
    /// The number of the next step.
    pub step: usize,
}

/// The first digits that come with the example.
pub fn digits(count: usize) -> wgrad::data::ImageSet {
    macro_rules! embedded {
        ($kind:literal) => {
            include_bytes!(concat!("../../examples/data/mnist/t10k-", $kind, "-ubyte.gz"))
        };
    }
    mnist::from_bytes(embedded!("images-idx3"), embedded!("labels-idx1")).expect("the example's data").take(count)
}

pub fn loader(batch_size: usize) -> DataLoader<ImageSet> {
    let options = LoaderOptions { batch_size, shuffle: Some(SEED), ..LoaderOptions::default() };
    DataLoader::new(digits(384), options).expect("good options")
}

impl Trainer {
    pub fn new(recipe: &Recipe, device: &Device) -> Trainer {
        let mut init = Init::new(SEED, device);
        let model = (recipe.model)(&mut init);
        let optimizer = (recipe.optimizer)(&model).expect("good options");
        Trainer { model, optimizer, generator: init.generator, loader: loader(32), device: device.clone(), step: 0 }
    }

    fn batch(&self, step: usize) -> Batch<[Array; 2]> {
        let (epoch, at) = (step / self.loader.len(), step % self.loader.len());
        let batch = self.loader.epoch_from(epoch as u64, at).next().expect("the epoch has it");
        batch.expect("images in memory")
    }

    /// The next step's images and labels.
    pub fn next(&mut self) -> [Tensor; 2] {
        let batch = self.batch(self.step);
        self.step += 1;
        batch.to(&self.device)
    }

    /// What is done with them, as the example does it; the loss is on the device.
    pub fn train(&mut self, x: &Tensor, labels: &Tensor) -> Tensor {
        let loss = self.model.forward(x, &Ctx::train()).cross_entropy(labels);
        self.optimizer.step(&loss.backward());
        loss.detach()
    }

    /// One step as the example takes it; the loss is on the device.
    pub fn step(&mut self) -> Tensor {
        let [x, labels] = self.next();
        self.train(&x, &labels)
    }

    /// The losses of some steps.
    pub fn steps(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.step().item().expect("the device works")).collect()
    }

    pub fn device(&self) -> &Device {
        &self.device
    }

    pub fn weights(&self) -> StateDict {
        state(&self.model).expect("the device works")
    }
}
