//! Writing, a character at a time.

use super::model::{Cache, Gpt};
use wgrad::plan::Replay;
use wgrad::{Device, Result, Rng, Tensor};

/// How the next character is chosen.
#[derive(Clone, Copy)]
pub struct Sampling {
    /// Logits are divided by it; 0 takes the largest.
    pub temperature: f32,
    /// So many of the likeliest take part.
    pub top_k: usize,
}

impl Sampling {
    pub fn choose(&self, logits: &[f32], rng: &mut Rng) -> i32 {
        let mut order: Vec<usize> = (0..logits.len()).collect();
        order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
        if self.temperature == 0.0 {
            return order[0] as i32;
        }
        order.truncate(self.top_k);
        let weight = |at: usize| ((logits[at] - logits[order[0]]) / self.temperature).exp();
        let mut left = rng.uniform() * order.iter().map(|&at| weight(at)).sum::<f32>();
        let past = |at: &&usize| {
            left -= weight(**at);
            left < 0.0
        };
        // Rounding may leave a rest after the last.
        *order.iter().find(past).unwrap_or(&order[0]) as i32
    }
}

/// A text that grows, and what the model keeps of it.
///
/// Positions end with the context, the text does not. So two lanes read the same text, half a context apart: while one
/// tells what comes next, the other catches up, and takes over when the first is full. Each character costs the same,
/// and at least half a context stands before it.
pub struct Writer<'a> {
    model: &'a Gpt,
    cache: Cache,
    step: Replay,
    device: Device,
    read: usize,
}

impl<'a> Writer<'a> {
    pub fn new(model: &'a Gpt, device: &Device) -> Writer<'a> {
        let cache = Cache::new(&model.size, 2, device);
        Writer { model, cache, step: Replay::new(), device: device.clone(), read: 0 }
    }

    /// Reads one more character and tells the logits of the next.
    pub fn read(&mut self, number: i32) -> Result<Vec<f32>> {
        let half = self.model.size.context / 2;
        // In each half the lanes change places; in the first one both start.
        let (turn, young) = (self.read / half, (self.read % half) as i32);
        let old = if turn == 0 { young } else { young + half as i32 };
        let (first, teller) = if turn % 2 == 1 { ([old, young], 0) } else { ([young, old], 1) };
        self.read += 1;
        let [ids, positions] = [[number; 2], first].map(|lanes| Tensor::from_slice(&lanes, [2, 1], &self.device));
        let (model, cache) = (self.model, &self.cache);
        let logits = self.step.run([&ids, &positions], |[ids, positions]| Ok(model.step(ids, positions, cache)))?;
        let letters = model.size.letters;
        Ok(logits.to_vec::<f32>()?[teller * letters..][..letters].to_vec())
    }
}
