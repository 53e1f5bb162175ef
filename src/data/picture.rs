//! Images as PNG files: to see what a transform does to a batch, or what a model draws.

use crate::backend::whole;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::tensor::Tensor;
use std::cmp::Ordering;
use std::io::Write;
use std::path::Path;

/// Dark pixels between images.
const GAP: usize = 2;

/// Writes images `[n, channels, height, width]` as one PNG file, `columns` of them side by side, from the top down. Floats from
/// `low` to `high` become bytes, and bytes stay what they are; there are one, three or four channels (grey, colours, colours
/// with opacity).
///
/// ```
/// # let folder = std::env::temp_dir().join("wgrad-save-images");
/// # std::fs::create_dir_all(&folder).unwrap();
/// use wgrad::nn::{Ctx, Init, Layer, RandomCropFlip};
/// # let device = wgrad::Device::cpu();
/// let x = wgrad::Tensor::zeros([16, 3, 32, 32], &device);
/// // What a model would see of the batch.
/// let changed = RandomCropFlip::new(4, &mut Init::new(0, &device)).forward(&x, &Ctx::train());
/// wgrad::data::save_images(folder.join("preview.png"), &changed, 4, [0.0, 1.0])?;
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// [`Error::Option`] where these are no images; [`Error::File`] if the file cannot be written; the device's first failure.
#[doc(alias("make_grid", "save_image"))]
pub fn save_images(path: impl AsRef<Path>, images: &Tensor, columns: usize, [low, high]: [f32; 2]) -> Result<()> {
    let shape = images.shape();
    let [count, channels @ (1 | 3 | 4), height, width] = shape[..] else {
        let text =
            format!("save_images: {shape}: expected [n, channels, height, width], of one, three or four channels");
        return Err(Error::Option(text));
    };
    if shape.contains(&0) || columns == 0 || low.partial_cmp(&high) != Some(Ordering::Less) {
        let text = format!("save_images: {shape} in {columns} columns, from {low} to {high}: there is nothing to see");
        return Err(Error::Option(text));
    }
    let bytes: Vec<u8> = match images.dtype() {
        DType::U8 => images.to_vec()?,
        _ => {
            let values: Vec<f32> = images.cast(DType::F32).to_vec()?;
            values.iter().map(|value| ((value - low) / (high - low) * 255.0).round() as u8).collect()
        }
    };
    let across = columns.min(count);
    let [wide, high] = [(across, width), (count.div_ceil(across), height)].map(|(n, size)| n * (size + GAP) - GAP);
    let mut picture = vec![0; wide * high * channels];
    for (image, pixels) in bytes.chunks(channels * height * width).enumerate() {
        let (left, top) = (image % across * (width + GAP), image / across * (height + GAP));
        for (at, value) in pixels.iter().enumerate() {
            let (channel, y, x) = (at / (height * width), at / width % height, at % width);
            picture[((top + y) * wide + left + x) * channels + channel] = *value;
        }
    }
    let (path, file) = (path.as_ref(), png(wide, high, &picture)?);
    whole::write(path, file)
}

/// A PNG file of pixels with one, three or four bytes.
pub(crate) fn png(width: usize, height: usize, pixels: &[u8]) -> Result<Vec<u8>> {
    // The number of channels, and how PNG calls pixels of as many.
    let kinds = [(1, 0), (3, 2), (4, 6)];
    let found = kinds.into_iter().find(|(channels, _)| width * height > 0 && pixels.len() == width * height * channels);
    let Some((channels, kind)) = found else {
        let (got, all) = (pixels.len(), width * height);
        let text =
            format!("image: {got} bytes for {width} x {height} pixels: expected {all}, three or four times as many");
        return Err(Error::Option(text));
    };
    let broken = |error: std::io::Error| Error::Option(format!("image: {error}"));
    // Each row has a byte before it, which says that its bytes are as they are.
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    for row in pixels.chunks(width * channels) {
        packed.write_all(&[0]).and_then(|()| packed.write_all(row)).map_err(broken)?;
    }
    let head = [&(width as u32).to_be_bytes()[..], &(height as u32).to_be_bytes(), &[8, kind, 0, 0, 0]].concat();
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, content) in [(b"IHDR", head), (b"IDAT", packed.finish().map_err(broken)?), (b"IEND", Vec::new())] {
        let mut crc = flate2::Crc::new();
        crc.update(name);
        crc.update(&content);
        file.extend([&(content.len() as u32).to_be_bytes()[..], name, &content, &crc.sum().to_be_bytes()].concat());
    }
    Ok(file)
}
