//! A network that was trained to read digits says what it takes drawn ones for.

use crate::mnist::Cnn;
use crate::start::say;
use std::path::Path;
use wgrad::nn::{Ctx, Init, Layer, Strictness};
use wgrad::{Device, KeepDims, Result, Tensor, checkpoint};

pub struct Judge(Cnn);

impl Judge {
    /// The convolutional network that `cargo run --example mnist -- --save FILE` trained.
    pub fn load(path: &Path, device: &Device) -> Result<Judge> {
        let cnn = Cnn::new(&mut Init::new(0, device));
        checkpoint::load(&cnn, path, Strictness::Strict)?;
        Ok(Judge(cnn))
    }

    /// Prints what it takes images `[n, 1, 28, 28]` in 0..1 for, and how sure it is.
    pub fn tell(&self, name: &str, images: &Tensor) -> Result<()> {
        let probabilities = self.0.forward(images, &Ctx::eval()).softmax(1);
        let confidence = probabilities.amax(&[1], KeepDims::No).mean().item()?;
        let mut counts = [0; 10];
        probabilities.argmax(1).to_vec::<i32>()?.iter().for_each(|&digit| counts[digit as usize] += 1);
        let found = counts.iter().filter(|count| **count > 0).count();
        let counts = counts.map(|count| format!("{count:>3}")).join(" ");
        let images = images.size(0);
        say!("{images} {name} digits: mean confidence {confidence:.3}, {found} classes: {counts}")
    }
}
