//! Drawn digits as one picture.

use std::fs::File;
use std::path::Path;
use wgrad::{Error, Result, Tensor};

/// Digits from left to right, and rows from the top down.
pub const SIDE: usize = 10;

/// Dark pixels between digits.
const GAP: usize = 2;

/// Writes `SIDE * SIDE` images `[n, 1, 28, 28]` in -1..1 as a PNG file.
pub fn write(path: &Path, images: &Tensor) -> Result<()> {
    let pixels = images.to_vec::<f32>()?;
    let side = SIDE * (28 + GAP) - GAP;
    let mut picture = vec![0u8; side * side];
    for (i, digit) in pixels.chunks(784).enumerate() {
        let (left, top) = (i % SIDE * (28 + GAP), i / SIDE * (28 + GAP));
        for (y, row) in digit.chunks(28).enumerate() {
            for (x, value) in row.iter().enumerate() {
                picture[(top + y) * side + left + x] = (127.5 * (value + 1.0)).round() as u8;
            }
        }
    }
    let broken = |problem: String| Error::file(path, format!("cannot be written: {problem}"));
    let file = File::create(path).map_err(|problem| broken(problem.to_string()))?;
    let mut encoder = png::Encoder::new(file, side as u32, side as u32);
    encoder.set_color(png::ColorType::Grayscale);
    let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(&picture));
    written.map_err(|problem| broken(problem.to_string()))
}
