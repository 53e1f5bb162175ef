//! A labelled set of images, checked once when it is made.

use super::dataset::Dataset;
use super::item::Array;
use crate::error::{Error, Result};
use std::sync::Arc;

/// Images of one size, a byte per channel and pixel, each with the number of its class.
#[doc(alias = "ImageFolder")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSet {
    shape: [usize; 3],
    classes: usize,
    pixels: Vec<u8>,
    labels: Vec<u8>,
}

impl ImageSet {
    /// A set of `labels.len()` images of `shape` (channels, height, width), whose `pixels` lie in NCHW order.
    ///
    /// # Errors
    /// [`Error::Data`] if a size is 0, if the lengths of `pixels` and `labels` do not fit each other, or if a label is
    /// not below `classes`.
    pub fn new(shape: [usize; 3], classes: usize, pixels: Vec<u8>, labels: Vec<u8>) -> Result<ImageSet> {
        let [channels, height, width] = shape;
        if shape.contains(&0) || !(1..=256).contains(&classes) {
            return Err(Error::Data(format!(
                "images of {channels}x{height}x{width} in {classes} classes: every size must be at least 1, and byte \
                 labels tell at most 256 classes apart"
            )));
        }
        let expected = shape.iter().try_fold(labels.len(), |product, &size| product.checked_mul(size));
        if expected != Some(pixels.len()) {
            return Err(Error::Data(format!(
                "{} pixel bytes do not make {} images of {channels}x{height}x{width}, one for each label",
                pixels.len(),
                labels.len()
            )));
        }
        if let Some(row) = labels.iter().position(|&label| usize::from(label) >= classes) {
            return Err(Error::Data(format!("row {row}: label {} is not in 0..{classes}", labels[row])));
        }
        Ok(ImageSet { shape, classes, pixels, labels })
    }

    /// Channels, height and width of every image.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether the set holds no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// All pixels, [len, channels, height, width].
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// All labels, each below [`classes`](ImageSet::classes).
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    /// The pixels of one image, [channels, height, width].
    ///
    /// # Panics
    /// If `row` is not below [`len`](ImageSet::len).
    #[track_caller]
    pub fn image(&self, row: usize) -> &[u8] {
        assert!(row < self.len(), "image: row {row} of a set of {}", self.len());
        let size = self.image_bytes();
        &self.pixels[row * size..][..size]
    }

    /// The first `count` images, or all where there are fewer.
    pub fn take(&self, count: usize) -> ImageSet {
        let count = count.min(self.len());
        ImageSet {
            pixels: self.pixels[..count * self.image_bytes()].to_vec(),
            labels: self.labels[..count].to_vec(),
            ..*self
        }
    }

    /// The first `count` images, and the rest: training and validation, say.
    ///
    /// # Errors
    /// [`Error::Option`] if there are fewer than `count`.
    pub fn split(mut self, count: usize) -> Result<(ImageSet, ImageSet)> {
        if count > self.len() {
            let len = self.len();
            return Err(Error::Option(format!(
                "a set of {len} images cannot be split after {count}: choose at most {len}"
            )));
        }
        let rest = ImageSet {
            pixels: self.pixels.split_off(count * self.image_bytes()),
            labels: self.labels.split_off(count),
            ..self
        };
        Ok((self, rest))
    }

    fn image_bytes(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Pixels become `(x - mean) / std` of their channel, where x is the byte over 255.
#[derive(Debug, Clone, PartialEq)]
pub struct Normalization {
    /// The number that is taken from each channel.
    pub mean: Vec<f32>,
    /// The number that each channel is then divided by: positive.
    pub std: Vec<f32>,
}

impl Normalization {
    /// Mean and standard deviation of each channel of a set; test data is normalised as the training data was.
    ///
    /// A channel without variation (or an empty set) gets a deviation of 1, so that it can be divided by.
    pub fn of(set: &ImageSet) -> Normalization {
        let [channels, height, width] = set.shape();
        let mut counts = vec![[0u64; 256]; channels];
        for (plane, pixels) in set.pixels().chunks_exact(height * width).enumerate() {
            for &pixel in pixels {
                counts[plane % channels][usize::from(pixel)] += 1;
            }
        }
        let moments = counts.iter().map(|counts| {
            // Whole numbers until the last division: the deviation of equal pixels is exactly 0.
            let sum_of = |power| -> u128 {
                counts.iter().zip(0u128..).map(|(&n, pixel)| u128::from(n) * pixel.pow(power)).sum()
            };
            let (count, sum, squares) = (sum_of(0), sum_of(1), sum_of(2));
            let scale = 255.0 * count.max(1) as f64;
            let std = ((count * squares - sum * sum) as f64).sqrt() / scale;
            ((sum as f64 / scale) as f32, if std > 0.0 { std as f32 } else { 1.0 })
        });
        let (mean, std) = moments.unzip();
        Normalization { mean, std }
    }
}

/// The value of each byte of a channel: there are only 256, so each is computed once.
fn values(channel: usize, normalization: Option<&Normalization>) -> [f32; 256] {
    let (mean, std) = normalization.map_or((0.0, 1.0), |n| (n.mean[channel], n.std[channel]));
    std::array::from_fn(|pixel| (pixel as f32 / 255.0 - mean) / std)
}

impl ImageSet {
    /// The same images with pixels normalised by channel; of a set that is shared, [`NormalizedImages::new`].
    ///
    /// # Errors
    /// [`Error::Option`] if there is not one finite mean and one positive deviation for each channel.
    pub fn normalized(self, normalization: &Normalization) -> Result<NormalizedImages> {
        NormalizedImages::new(self, normalization)
    }

    /// The same images as a set of bytes, which take a quarter of the memory and of the way to a device:
    /// [`nn::Normalize`](crate::nn::Normalize) makes numbers of them there.
    pub fn into_bytes(self) -> ImageBytes {
        ImageBytes { set: Arc::new(self) }
    }

    fn columns(&self, rows: &[usize], values: &[[f32; 256]]) -> [Array; 2] {
        let [channels, height, width] = self.shape;
        let mut images = Vec::with_capacity(rows.len() * channels * height * width);
        for &row in rows {
            for (plane, values) in self.image(row).chunks_exact(height * width).zip(values) {
                images.extend(plane.iter().map(|&pixel| values[usize::from(pixel)]));
            }
        }
        [Array::new(images, [rows.len(), channels, height, width]), self.labels_of(rows)]
    }

    fn labels_of(&self, rows: &[usize]) -> Array {
        Array::new(rows.iter().map(|&row| i32::from(self.labels[row])).collect::<Vec<_>>(), [rows.len()])
    }

    fn item(&self, row: usize, values: &[[f32; 256]]) -> (Array, i32) {
        let [image, _] = self.columns(&[row], values);
        let pixels = image.f32s().to_vec();
        (Array::new(pixels, self.shape), i32::from(self.labels[row]))
    }
}

/// The images scaled to 0..1, `[n, channels, height, width]`, and their labels `[n]`.
impl Dataset for ImageSet {
    type Item = (Array, i32);

    fn len(&self) -> usize {
        self.labels.len()
    }

    fn get(&self, row: usize) -> Result<(Array, i32)> {
        Ok(self.item(row, &vec![values(0, None); self.shape[0]]))
    }

    fn batch(&self, rows: &[usize]) -> Result<[Array; 2]> {
        Ok(self.columns(rows, &vec![values(0, None); self.shape[0]]))
    }
}

/// An [`ImageSet`] whose pixels are normalised by channel.
#[derive(Debug, Clone)]
pub struct NormalizedImages {
    set: Arc<ImageSet>,
    values: Vec<[f32; 256]>,
}

impl NormalizedImages {
    /// Of a set, its own or shared with others.
    ///
    /// # Errors
    /// [`Error::Option`] if there is not one finite mean and one positive deviation for each channel.
    pub fn new(set: impl Into<Arc<ImageSet>>, normalization: &Normalization) -> Result<NormalizedImages> {
        let set = set.into();
        let (channels, Normalization { mean, std }) = (set.shape[0], normalization);
        let finite = |values: &[f32]| values.len() == channels && values.iter().all(|value| value.is_finite());
        if !finite(mean) || !finite(std) || std.iter().any(|&std| std <= 0.0) {
            return Err(Error::Option(format!(
                "means {mean:?} and deviations {std:?} cannot normalise {channels} channels: give each one finite mean \
                 and one positive deviation"
            )));
        }
        let values = (0..channels).map(|channel| values(channel, Some(normalization))).collect();
        Ok(NormalizedImages { set, values })
    }

    /// The images.
    pub fn images(&self) -> &ImageSet {
        &self.set
    }
}

/// The images as they are normalised, `[n, channels, height, width]`, and their labels `[n]`.
impl Dataset for NormalizedImages {
    type Item = (Array, i32);

    fn len(&self) -> usize {
        self.set.labels.len()
    }

    fn get(&self, row: usize) -> Result<(Array, i32)> {
        Ok(self.set.item(row, &self.values))
    }

    fn batch(&self, rows: &[usize]) -> Result<[Array; 2]> {
        Ok(self.set.columns(rows, &self.values))
    }
}

/// An [`ImageSet`] whose pixels stay bytes.
#[derive(Debug, Clone)]
pub struct ImageBytes {
    set: Arc<ImageSet>,
}

/// The images as u8, `[n, channels, height, width]`, and their labels `[n]`.
impl Dataset for ImageBytes {
    type Item = (Array, i32);

    fn len(&self) -> usize {
        self.set.len()
    }

    fn get(&self, row: usize) -> Result<(Array, i32)> {
        Ok((Array::new(self.set.image(row).to_vec(), self.set.shape), i32::from(self.set.labels[row])))
    }

    fn batch(&self, rows: &[usize]) -> Result<[Array; 2]> {
        let [channels, height, width] = self.set.shape;
        let pixels: Vec<u8> = rows.iter().flat_map(|&row| self.set.image(row)).copied().collect();
        Ok([Array::new(pixels, [rows.len(), channels, height, width]), self.set.labels_of(rows)])
    }
}
