//! A network that was trained to read digits says what it takes drawn ones for.

use crate::mnist::Cnn;
use std::path::Path;
use wgrad::nn::{Ctx, Init, Layer, Strictness};
use wgrad::{Device, KeepDims, Result, Tensor, checkpoint};

pub struct Judge(Cnn);

/// What was made of some images.
pub struct Verdict {
    /// The mean of the probabilities of what each image was taken for.
    pub confidence: f32,
    /// How many were taken for each digit.
    pub counts: [usize; 10],
}

impl Judge {
    /// The convolutional network that `cargo run --example mnist -- --save FILE` trained.
    pub fn load(path: &Path, device: &Device) -> Result<Judge> {
        let cnn = Cnn::new(&mut Init::new(0, device));
        checkpoint::load(&cnn, path, Strictness::Strict)?;
        Ok(Judge(cnn))
    }

    /// What it takes images `[n, 1, 28, 28]` in 0..1 for.
    pub fn of(&self, images: &Tensor) -> Result<Verdict> {
        let probabilities = self.0.forward(images, &Ctx::eval()).softmax(1);
        let confidence = probabilities.amax(&[1], KeepDims::No).mean().item()?;
        let mut counts = [0; 10];
        probabilities.argmax(1).to_vec::<i32>()?.iter().for_each(|&digit| counts[digit as usize] += 1);
        Ok(Verdict { confidence, counts })
    }
}
