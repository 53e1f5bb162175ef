//! A digit from a picture.

use crate::start::{note, say};
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use wgrad::nn::{Ctx, Layer};
use wgrad::{Device, Error, Result, Tensor};

/// A picture's 28 x 28 brightnesses in 0..1, with a light digit on a dark ground as in MNIST.
pub fn png(path: &Path) -> Result<Vec<f32>> {
    let file = File::open(path).map_err(|error| Error::file_because(path, "cannot be read", error))?;
    let broken = |error: png::DecodingError| Error::file_because(path, "is no whole PNG file", error);
    let mut decoder = png::Decoder::new(BufReader::new(file));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(broken)?;
    // A few bytes may promise more pixels than there is memory.
    let fits = |size: &usize| *size <= 256 << 20;
    let size = reader.output_buffer_size().filter(fits).ok_or_else(|| Error::file(path, "is too large a picture"))?;
    let mut bytes = vec![0; size];
    let frame = reader.next_frame(&mut bytes).map_err(broken)?;
    let (width, height, channels) = (frame.width as usize, frame.height as usize, frame.color_type.samples());
    // The last of 2 or 4 channels is opacity.
    let colours = channels - usize::from(channels % 2 == 0);
    let brightness = |x: usize, y: usize| {
        let pixel = &bytes[y * frame.line_size + x * channels..][..colours];
        pixel.iter().map(|&b| f32::from(b)).sum::<f32>() / (255.0 * colours as f32)
    };
    let mut pixels: Vec<f32> = (0..784)
        .map(|i| {
            // The mean of the part of the picture that this pixel covers.
            let span = |at: usize, size: usize| at * size / 28..((at + 1) * size).div_ceil(28);
            let (rows, columns) = (span(i / 28, height), span(i % 28, width));
            let count = (rows.len() * columns.len()) as f32;
            rows.flat_map(|y| columns.clone().map(move |x| (x, y))).map(|(x, y)| brightness(x, y)).sum::<f32>() / count
        })
        .collect();
    if (0..28).map(|i| pixels[i] + pixels[756 + i]).sum::<f32>() > 28.0 {
        note!("{}: dark on light, so it is inverted: MNIST's digits are light on dark", path.display());
        pixels.iter_mut().for_each(|p| *p = 1.0 - *p);
    }
    Ok(pixels)
}

/// Tells the classes of a picture by probability.
pub fn predict(model: &impl Layer, path: &Path, device: &Device) -> Result<()> {
    let x = Tensor::from_vec(png(path)?, [1, 1, 28, 28], device);
    let probabilities = model.forward(&x, &Ctx::eval()).softmax(1).to_vec::<f32>()?;
    let mut order: Vec<usize> = (0..probabilities.len()).collect();
    order.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
    for &class in &order {
        let part = probabilities[class];
        say!("{class}  {:>6.2}%  {}", 100.0 * part, "█".repeat((part * 40.0).round() as usize))?;
    }
    say!("prediction {}", order[0])
}
