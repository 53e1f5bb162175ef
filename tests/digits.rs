//! Folders as MNIST's, and pictures, made for a test.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use wgrad::data::{ImageSet, mnist};

/// A folder that goes away with this value.
pub fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder can be made")
}

/// The digits that come with the example.
pub fn digits() -> ImageSet {
    macro_rules! embedded {
        ($kind:literal) => {
            include_bytes!(concat!("../examples/data/mnist/t10k-", $kind, "-ubyte.gz"))
        };
    }
    mnist::from_bytes(embedded!("images-idx3"), embedded!("labels-idx1")).expect("the example's data")
}

/// An IDX file: its header's words, big-endian, then bytes.
fn idx(path: PathBuf, header: &[u32], bytes: &[u8]) {
    let header: Vec<u8> = header.iter().flat_map(|word| word.to_be_bytes()).collect();
    fs::write(path, [&header, bytes].concat()).expect("it can be written");
}

/// Writes images whose header promises `promised` of them.
pub fn write_images(folder: &Path, half: &str, promised: usize, pixels: &[u8]) {
    idx(folder.join(format!("{half}-images-idx3-ubyte")), &[0x803, promised as u32, 28, 28], pixels);
}

pub fn write_labels(folder: &Path, half: &str, labels: &[u8]) {
    idx(folder.join(format!("{half}-labels-idx1-ubyte")), &[0x801, labels.len() as u32], labels);
}

/// MNIST's four files with 600 training and 100 test images.
pub fn small_mnist() -> TempDir {
    let folder = folder();
    let (train, rest) = digits().split(600).expect("there are as many");
    for (half, set) in [("train", train), ("t10k", rest.take(100))] {
        write_images(folder.path(), half, set.len(), set.pixels());
        write_labels(folder.path(), half, set.labels());
    }
    folder
}

/// How a picture is written.
#[derive(Clone, Copy, PartialEq)]
pub enum Style {
    /// 28 x 28, as in MNIST.
    LightOnDark,
    /// Three times the size, in colours, dark on light, half covered by an opacity channel.
    LargeDarkOnLight,
}

pub fn write_png(path: &Path, digit: &[u8], style: Style) {
    let file = File::create(path).expect("it can be made");
    let (size, bytes) = match style {
        Style::LightOnDark => (28, digit.to_vec()),
        Style::LargeDarkOnLight => {
            let pixel = |i: usize| 255 - digit[i / 84 / 3 * 28 + i % 84 / 3];
            (84, (0..84 * 84).flat_map(|i| [pixel(i), pixel(i), pixel(i), (i % 2 * 255) as u8]).collect())
        }
    };
    let mut encoder = png::Encoder::new(file, size, size);
    encoder.set_color(if style == Style::LightOnDark { png::ColorType::Grayscale } else { png::ColorType::Rgba });
    encoder.write_header().and_then(|mut w| w.write_image_data(&bytes)).expect("it can be written");
}
