//! What the peers in Rust share: first weights, batches, the order of the clock, and the line that is printed.
//!
//!     PROGRAM WORKLOAD SECONDS FOLDER     # FOLDER: what run.py makes of MNIST

use std::path::Path;
use std::time::Instant;

/// Rows of a batch of images, and classes.
pub const ROWS: usize = 64;
pub const CLASSES: usize = 10;
/// The model of tokens.
pub const SEQUENCES: usize = 8;
pub const LENGTH: usize = 128;
pub const VOCABULARY: usize = 65;
pub const WIDTH: usize = 128;
pub const HEADS: usize = 4;
pub const LAYERS: usize = 4;
/// Of every optimizer.
pub const RATE: f64 = 1e-3;

/// Batches that are made; step `i` takes number `i` modulo this.
const COUNT: usize = 32;
/// Steps whose losses are read before blocks are timed.
const READ: usize = 17;
const BLOCK: usize = 4;

/// From 0 up to 1: 24 bits of a hash of the position and the seed (the finalizer of MurmurHash3).
fn uniform(seed: u32, position: usize) -> f32 {
    let mixed = |hash: u32, shift: u32, factor: u32| (hash ^ (hash >> shift)).wrapping_mul(factor);
    let hash = (position as u32).wrapping_mul(2_654_435_761).wrapping_add(seed.wrapping_mul(40_503));
    let hash = mixed(mixed(hash, 16, 0x85eb_ca6b), 13, 0xc2b2_ae35);
    ((hash ^ (hash >> 16)) >> 8) as f32 / (1 << 24) as f32
}

/// First values of parameters, which are numbered from 1 in the order of PyTorch's `named_parameters`.
#[derive(Default)]
pub struct Weights {
    number: u32,
    fan_in: usize,
}

/// Weight `[outputs, ...]` and bias `[outputs]` of a layer.
pub struct Pair {
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
}

impl Weights {
    fn next(&mut self, count: usize) -> Vec<f32> {
        self.number += 1;
        let bound = 1.0 / (self.fan_in as f32).sqrt();
        (0..count).map(|at| (uniform(self.number, at) * 2.0 - 1.0) * bound).collect()
    }

    /// Of a linear layer or a convolution, uniform within 1 / sqrt(fan_in), in PyTorch's order.
    pub fn layer(&mut self, outputs: usize, fan_in: usize) -> Pair {
        self.fan_in = fan_in;
        Pair { weight: self.next(outputs * fan_in), bias: self.next(outputs) }
    }

    /// Of an embedding: normal, from pairs of the hash (Box and Muller).
    pub fn normal(&mut self, count: usize) -> Vec<f32> {
        self.number += 1;
        let draw = |at: usize| {
            let [u, v] = [2 * at, 2 * at + 1].map(|position| f64::from(uniform(self.number, position)));
            ((-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()) as f32
        };
        (0..count).map(draw).collect()
    }

    /// Leaves out a norm, whose weight is 1 and whose bias is 0.
    pub fn norm(&mut self) {
        self.number += 2;
    }
}

impl Pair {
    /// The weight `[outputs, inputs]` as `[inputs, outputs]`.
    pub fn transposed(&self) -> Vec<f32> {
        let (outputs, inputs) = (self.bias.len(), self.weight.len() / self.bias.len());
        (0..inputs * outputs).map(|at| self.weight[at % outputs * inputs + at / outputs]).collect()
    }

    /// Layers that stand one on the other in this one's outputs.
    pub fn split<const N: usize>(self) -> [Pair; N] {
        let (weights, biases) = (self.weight.len() / N, self.bias.len() / N);
        std::array::from_fn(|at| Pair {
            weight: self.weight[at * weights..(at + 1) * weights].to_vec(),
            bias: self.bias[at * biases..(at + 1) * biases].to_vec(),
        })
    }
}

/// What a step reads: images as values, or tokens; and what they are.
pub struct Batch {
    pub values: Vec<f32>,
    pub tokens: Vec<i32>,
    pub labels: Vec<i32>,
}

/// Of the workload, all made before the first step.
fn batches(workload: &str, folder: &Path) -> Vec<Batch> {
    match workload {
        "w1" | "w2" => mnist(folder),
        "w3" => (0..COUNT).map(noisy_classes).collect(),
        _ => (0..COUNT).map(chains).collect(),
    }
}

/// The first images in the order of the file.
fn mnist(folder: &Path) -> Vec<Batch> {
    let [pixels, labels] = ["pixels", "labels"]
        .map(|name| std::fs::read(folder.join(name)).unwrap_or_else(|e| panic!("{name}: {e}: run.py makes this file")));
    let images = pixels.chunks_exact(ROWS * 784).zip(labels.chunks_exact(ROWS)).take(COUNT);
    let batch = |(x, y): (&[u8], &[u8])| Batch {
        values: x.iter().map(|&pixel| f32::from(pixel) / 255.0).collect(),
        tokens: Vec::new(),
        labels: y.iter().map(|&label| i32::from(label)).collect(),
    };
    images.map(batch).collect()
}

/// Images [3, 32, 32] in 10 classes: noise around a mean image of the class.
fn noisy_classes(number: usize) -> Batch {
    const PIXELS: usize = 3 * 32 * 32;
    let labels: Vec<usize> = (0..ROWS).map(|row| (number * ROWS + row) * 7 % CLASSES).collect();
    let value = |at: usize| {
        let mean = (uniform(9, labels[at / PIXELS] * PIXELS + at % PIXELS) - 0.5) * 0.5;
        mean + (uniform(10 + number as u32, at) - 0.5) * 2.0
    };
    let values = (0..ROWS * PIXELS).map(value).collect();
    Batch { values, tokens: Vec::new(), labels: labels.into_iter().map(|label| label as i32).collect() }
}

/// Sequences of tokens, each with its successor as label: a chain that chance moves a little.
fn chains(number: usize) -> Batch {
    let mut batch = Batch { values: Vec::new(), tokens: Vec::new(), labels: Vec::new() };
    for row in 0..SEQUENCES {
        let mut token = (number * 31 + row * 17) % VOCABULARY;
        for at in 0..LENGTH {
            batch.tokens.push(token as i32);
            let chance = uniform(77, (number * SEQUENCES + row) * LENGTH + at) * 3.0;
            token = (token * 5 + 7 + chance as usize) % VOCABULARY;
            batch.labels.push(token as i32);
        }
    }
    batch
}

/// The command line.
pub struct Job {
    start: Instant,
    pub workload: String,
    seconds: f64,
    batches: Vec<Batch>,
}

impl Job {
    pub fn from_args() -> Job {
        let start = Instant::now();
        let args: Vec<String> = std::env::args().skip(1).collect();
        let [workload, seconds, folder] = args.as_slice() else {
            eprintln!("usage: PROGRAM w1|w2|w3|w4 SECONDS FOLDER (run.py calls it so)");
            std::process::exit(2);
        };
        let seconds = seconds.parse().expect("seconds as a number");
        Job { start, workload: workload.clone(), seconds, batches: batches(workload, Path::new(folder)) }
    }

    /// Trains: `step` takes a batch and whether its loss is to be read, which it then gives.
    pub fn train(self, mut step: impl FnMut(&Batch, bool) -> Option<f32>) {
        let mut batches = self.batches.iter().cycle();
        let mut next = |is_read: bool| step(batches.next().expect("a cycle"), is_read);
        let mut losses = vec![next(true).expect("a loss")];
        let first = self.start.elapsed().as_secs_f64();
        losses.extend((1..READ).map(|_| next(true).expect("a loss")));
        let mut times = Vec::new();
        let begin = Instant::now();
        // The first block is not counted.
        while times.len() < 8 || times.len() < 201 && begin.elapsed().as_secs_f64() < self.seconds {
            let now = Instant::now();
            for at in 1..=BLOCK {
                next(at == BLOCK);
            }
            times.push(now.elapsed().as_secs_f64() / BLOCK as f64 * 1e3);
        }
        let counted = &mut times[1..];
        counted.sort_by(f64::total_cmp);
        print!("{{\"median_ms\": {}, \"min_ms\": {}, ", counted[counted.len() / 2], counted[0]);
        print!("\"first_step_s\": {first}, \"peak_mb\": {}", peak_mb().map_or("null".into(), |mb| mb.to_string()));
        for at in [0, 10, 15] {
            let loss = if losses[at].is_finite() { losses[at].to_string() } else { "null".into() };
            print!(", \"loss{at}\": {loss}");
        }
        println!("}}");
    }
}

/// The most memory that the process has had, where the system tells.
fn peak_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<f64>().ok()? / 1024.0)
}
