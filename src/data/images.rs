//! A labelled set of images, checked once when it is made.

use crate::error::{Error, Result};

/// Images of one size, a byte per channel and pixel, each with the number of its class.
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

    /// How many classes the labels tell apart.
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
