//! A network that was trained to read digits says what it takes drawn ones for.

use crate::start::say;
use std::path::Path;
use wgrad::deploy::{Model, load_on};
use wgrad::{DType, Device, KeepDims, Result, Tensor};

pub struct Judge(Model);

impl Judge {
    /// What `cargo run --example mnist -- --save FILE` trained, with its description.
    pub fn load(path: &Path, device: &Device) -> Result<Judge> {
        load_on(path, device).map(Judge)
    }

    /// Prints what it takes images `[n, 1, 28, 28]` in 0..1 for, and how sure it is.
    pub fn tell(&self, name: &str, images: &Tensor) -> Result<()> {
        let bytes = images.affine(255.0, 0.0).round().clamp(0.0, 255.0).cast(DType::U8);
        let probabilities = self.0.predict(&bytes)?;
        let confidence = probabilities.amax(&[1], KeepDims::No).mean().item()?;
        let mut counts = [0; 10];
        probabilities.argmax(1).to_vec::<i32>()?.iter().for_each(|&digit| counts[digit as usize] += 1);
        let found = counts.iter().filter(|count| **count > 0).count();
        let counts = counts.map(|count| format!("{count:>3}")).join(" ");
        let images = images.size(0);
        say!("{images} {name} digits: mean confidence {confidence:.3}, {found} classes: {counts}")
    }
}
