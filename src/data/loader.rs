//! Batches of a data set, in an order that depends only on the seed and the number of the epoch.

use std::sync::Arc;

use super::ImageSet;
use crate::error::{Error, Result};
use crate::rng::{self, Rng, streams};

/// How a [`DataLoader`] cuts its set into batches.
#[derive(Debug, Clone, PartialEq)]
pub struct LoaderOptions {
    /// Images in a batch; 64.
    pub batch_size: usize,
    /// The seed that shuffles each epoch anew; `None`, the default, keeps the set's own order.
    pub shuffle: Option<u64>,
    /// What becomes of a last batch that is not full; it is kept.
    pub last: LastBatch,
    /// How pixels are normalised after they are scaled to 0..1; not at all.
    pub normalization: Option<Normalization>,
}

impl Default for LoaderOptions {
    fn default() -> LoaderOptions {
        LoaderOptions { batch_size: 64, shuffle: None, last: LastBatch::Keep, normalization: None }
    }
}

/// What becomes of a last batch that is not full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LastBatch {
    /// It is a smaller batch: every image is seen in every epoch.
    #[default]
    Keep,
    /// It is left out: every batch has the same shape.
    Drop,
}

/// Pixels become `(x - mean) / std` of their channel, where x is the byte over 255.
#[derive(Debug, Clone, PartialEq)]
pub struct Normalization {
    /// What is taken from each channel.
    pub mean: Vec<f32>,
    /// What each channel is then divided by: positive.
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

/// Some images and their labels, ready for a device.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// The pixels of `shape`, scaled to 0..1 and then normalised if the loader does.
    pub images: Vec<f32>,
    /// Batch, channels, height, width.
    pub shape: [usize; 4],
    /// One class for each image.
    pub labels: Vec<i32>,
}

/// Cuts a set into batches, epoch by epoch.
#[derive(Debug, Clone)]
pub struct DataLoader {
    set: Arc<ImageSet>,
    options: LoaderOptions,
    /// For each channel, what each of the 256 bytes becomes.
    values: Vec<[f32; 256]>,
}

impl DataLoader {
    /// A loader of a set, its own or shared with other loaders.
    ///
    /// # Errors
    /// [`Error::Data`] if the set is empty; [`Error::Option`] if the batch size is 0, if no batch would be left, or if
    /// the normalisation has not one finite mean and one positive deviation for each channel.
    pub fn new(set: impl Into<Arc<ImageSet>>, options: LoaderOptions) -> Result<DataLoader> {
        let set = set.into();
        let (len, channels) = (set.len(), set.shape()[0]);
        if len == 0 {
            return Err(Error::Data("the data set is empty: there is nothing to load".to_string()));
        }
        // The generator draws 32 bits for a place in the order.
        if u32::try_from(len).is_err() {
            return Err(Error::Data(format!(
                "a data set of {len} images is too large to shuffle: take at most 2^32 - 1"
            )));
        }
        if options.batch_size == 0 {
            return Err(Error::Option("the batch size is 0: choose at least 1".to_string()));
        }
        if options.last == LastBatch::Drop && len < options.batch_size {
            return Err(Error::Option(format!(
                "a data set of {len} images has no full batch of {}: choose a smaller batch size or keep the last batch",
                options.batch_size
            )));
        }
        if let Some(Normalization { mean, std }) = &options.normalization {
            let finite = |values: &[f32]| values.len() == channels && values.iter().all(|value| value.is_finite());
            if !finite(mean) || !finite(std) || std.iter().any(|&std| std <= 0.0) {
                return Err(Error::Option(format!(
                    "means {mean:?} and deviations {std:?} cannot normalise {channels} channels: give each one finite \
                     mean and one positive deviation"
                )));
            }
        }
        let values = (0..channels).map(|channel| values(channel, options.normalization.as_ref())).collect();
        Ok(DataLoader { set, options, values })
    }

    /// The set that the batches come from.
    pub fn set(&self) -> &ImageSet {
        &self.set
    }

    /// The number of batches in an epoch, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "a loader is never empty")]
    pub fn len(&self) -> usize {
        match self.options.last {
            LastBatch::Keep => self.set.len().div_ceil(self.options.batch_size),
            LastBatch::Drop => self.set.len() / self.options.batch_size,
        }
    }

    /// The rows of the set in the order of epoch `number`.
    ///
    /// It depends on nothing but the seed and the number: the first two words of the Philox block at (0, number low,
    /// number high, [`streams::SHUFFLE`]) under the seed are the seed of the epoch, whose stream
    /// [`streams::SHUFFLE`] shuffles the rows. Any epoch can be drawn without those before it.
    pub fn order(&self, number: u64) -> Vec<usize> {
        let mut rows: Vec<usize> = (0..self.set.len()).collect();
        if let Some(seed) = self.options.shuffle {
            let [low, high, ..] =
                rng::philox([0, number as u32, (number >> 32) as u32, streams::SHUFFLE], rng::key(seed));
            Rng::stream(u64::from(low) | u64::from(high) << 32, streams::SHUFFLE).shuffle(&mut rows);
        }
        rows
    }

    /// The batches of epoch `number`, in its [`order`](DataLoader::order).
    pub fn epoch(&self, number: u64) -> Epoch<'_> {
        Epoch { loader: self, order: self.order(number), next: 0 }
    }

    fn batch(&self, rows: &[usize]) -> Batch {
        let [channels, height, width] = self.set.shape();
        let mut images = Vec::with_capacity(rows.len() * channels * height * width);
        for &row in rows {
            for (plane, values) in self.set.image(row).chunks_exact(height * width).zip(&self.values) {
                images.extend(plane.iter().map(|&pixel| values[usize::from(pixel)]));
            }
        }
        let labels = rows.iter().map(|&row| i32::from(self.set.labels()[row])).collect();
        Batch { images, shape: [rows.len(), channels, height, width], labels }
    }
}

/// The batches of one epoch: see [`DataLoader::epoch`].
#[derive(Debug, Clone)]
pub struct Epoch<'a> {
    loader: &'a DataLoader,
    order: Vec<usize>,
    next: usize,
}

impl Iterator for Epoch<'_> {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        if self.next == self.loader.len() {
            return None;
        }
        let size = self.loader.options.batch_size;
        let rows = self.order.chunks(size).nth(self.next)?;
        self.next += 1;
        Some(self.loader.batch(rows))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.loader.len() - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Epoch<'_> {}

/// What each byte of a channel becomes: there are only 256, so each is computed once.
fn values(channel: usize, normalization: Option<&Normalization>) -> [f32; 256] {
    let (mean, std) = normalization.map_or((0.0, 1.0), |n| (n.mean[channel], n.std[channel]));
    std::array::from_fn(|pixel| (pixel as f32 / 255.0 - mean) / std)
}
