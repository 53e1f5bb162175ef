//! Batches, all made before the clock starts.

use std::path::Path;
use wgrad::data::mnist;
use wgrad::{Device, Result, Shape, Tensor};

/// Rows of a batch of images.
const ROWS: usize = 64;
/// Batches that are made; step `i` takes number `i` modulo this.
const COUNT: usize = 32;

/// What one step reads, on the host.
pub struct Batch {
    pub x: Input,
    pub shape: Shape,
    /// A class for each row, or values of the shape of the input.
    pub target: Input,
}

/// The elements of a batch.
pub enum Input {
    Values(Vec<f32>),
    Tokens(Vec<i32>),
}

impl Batch {
    /// Input and target on a device.
    pub fn to(&self, device: &Device) -> (Tensor, Tensor) {
        let x = match &self.x {
            Input::Values(values) => Tensor::from_slice(values, self.shape, device),
            Input::Tokens(tokens) => Tensor::from_slice(tokens, self.shape, device),
        };
        let target = match &self.target {
            Input::Values(values) => Tensor::from_slice(values, self.shape, device),
            Input::Tokens(labels) => Tensor::from_slice(labels, [labels.len()], device),
        };
        (x, target)
    }
}

/// Uniform from 0 up to 1: 24 bits of a hash of the position and the seed (the finalizer of MurmurHash3).
pub fn uniform(seed: u32, position: usize) -> f32 {
    let mut hash = (position as u32).wrapping_mul(2_654_435_761).wrapping_add(seed.wrapping_mul(40_503));
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    ((hash ^ (hash >> 16)) >> 8) as f32 / (1 << 24) as f32
}

/// The first training images in the order of the file.
pub fn mnist(folder: &Path, shape: &[usize]) -> Result<Vec<Batch>> {
    let images = mnist::load(folder)?.train.take(COUNT * ROWS);
    let batch = |rows: std::ops::Range<usize>| Batch {
        x: Input::Values(
            images.pixels()[rows.start * 784..rows.end * 784].iter().map(|&p| f32::from(p) / 255.0).collect(),
        ),
        shape: Shape::new(&[&[ROWS], shape].concat()),
        target: Input::Tokens(images.labels()[rows].iter().map(|&label| i32::from(label)).collect()),
    };
    Ok((0..COUNT).map(|i| batch(i * ROWS..(i + 1) * ROWS)).collect())
}

/// Images [3, 32, 32] in 10 classes: noise around a mean image of the class.
pub fn noisy_classes() -> Vec<Batch> {
    const PIXELS: usize = 3 * 32 * 32;
    let batch = |i: usize| {
        let labels: Vec<i32> = (0..ROWS).map(|row| ((i * ROWS + row) * 7 % 10) as i32).collect();
        let value = |at: usize| {
            let mean = uniform(9, labels[at / PIXELS] as usize * PIXELS + at % PIXELS);
            (mean - 0.5) * 0.5 + (uniform(10 + i as u32, at) - 0.5) * 2.0
        };
        let x = Input::Values((0..ROWS * PIXELS).map(value).collect());
        Batch { x, shape: Shape::new(&[ROWS, 3, 32, 32]), target: Input::Tokens(labels) }
    };
    (0..COUNT).map(batch).collect()
}

/// Sequences of 128 tokens below 65, each with its successor as label: a chain that chance moves a little.
pub fn chains() -> Vec<Batch> {
    const SEQUENCES: usize = 8;
    const LENGTH: usize = 128;
    let batch = |i: usize| {
        let (mut tokens, mut labels) = (Vec::new(), Vec::new());
        for row in 0..SEQUENCES {
            let mut token = (i * 31 + row * 17) % 65;
            for at in 0..LENGTH {
                tokens.push(token as i32);
                let chance = (uniform(77, (i * SEQUENCES + row) * LENGTH + at) * 3.0) as usize;
                token = (token * 5 + 7 + chance) % 65;
                labels.push(token as i32);
            }
        }
        Batch { x: Input::Tokens(tokens), shape: Shape::new(&[SEQUENCES, LENGTH]), target: Input::Tokens(labels) }
    };
    (0..COUNT).map(batch).collect()
}

/// Rows of the table of the recommender.
pub const ITEMS: usize = 50_000;
/// Batches of the networks after the first four.
const FEW: usize = 8;

/// From -1 up to 1.
fn values(seed: u32, count: usize) -> Input {
    Input::Values((0..count).map(|at| uniform(seed, at) * 2.0 - 1.0).collect())
}

/// Whole numbers below `most`.
fn tokens(seed: u32, count: usize, most: usize) -> Input {
    Input::Tokens((0..count).map(|at| (uniform(seed, at) * most as f32) as i32).collect())
}

/// Values of a shape, and one of so many classes for each of its rows.
pub fn classified(shape: &[usize], classes: usize) -> Vec<Batch> {
    (0..FEW as u32).map(|i| classified_by(100 + 2 * i, shape, classes)).collect()
}

/// One such batch.
pub fn classified_by(seed: u32, shape: &[usize], classes: usize) -> Batch {
    let x = values(seed, shape.iter().product());
    Batch { x, shape: Shape::new(shape), target: tokens(seed + 1, shape[0], classes) }
}

/// Values of a shape, and others that they shall become.
pub fn mapped(shape: &[usize]) -> Vec<Batch> {
    (0..FEW as u32).map(|i| mapped_by(100 + 2 * i, shape)).collect()
}

/// One such batch.
pub fn mapped_by(seed: u32, shape: &[usize]) -> Batch {
    let count = shape.iter().product();
    Batch { x: values(seed, count), shape: Shape::new(shape), target: values(seed + 1, count) }
}

/// Tokens of a shape below `most`, and one of so many classes for each of `labels`.
pub fn tokens_of(shape: [usize; 2], most: usize, labels: usize, classes: usize) -> Vec<Batch> {
    let batch = |seed: u32| Batch {
        x: tokens(seed, shape[0] * shape[1], most),
        shape: Shape::new(&shape),
        target: tokens(seed + 1, labels, classes),
    };
    (0..FEW as u32).map(|i| batch(100 + 2 * i)).collect()
}
