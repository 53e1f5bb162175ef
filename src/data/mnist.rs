//! MNIST: 70,000 handwritten digits of 28x28 (LeCun, Cortes and Burges), and the sets that share its files' form.

use std::path::Path;

use super::{ImageSet, files, idx};
use crate::error::{Error, Result};

/// The two halves of MNIST, images of [1, 28, 28] in 10 classes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mnist {
    /// What a model learns from: 60,000 images in the original.
    pub train: ImageSet,
    /// What it is judged by: 10,000 images in the original.
    pub test: ImageSet,
}

/// Loads MNIST's four IDX files from a folder.
///
/// Each is looked for under its usual names, `train-images-idx3-ubyte` or `train-images.idx3-ubyte`, with or without
/// `.gz`.
///
/// # Errors
/// [`Error::File`] if a file is missing or does not hold what it should; [`Error::Data`] if images and labels do not
/// fit each other, the images are not 28x28, or a label is not a digit.
pub fn load(folder: impl AsRef<Path>) -> Result<Mnist> {
    let folder = folder.as_ref();
    Ok(Mnist { train: half(folder, "train")?, test: half(folder, "t10k")? })
}

/// Images and labels from the contents of two IDX files, plain or gzipped: embedded ones, say.
///
/// # Errors
/// As [`load`].
pub fn from_bytes(images: &[u8], labels: &[u8]) -> Result<ImageSet> {
    parse(("MNIST images", images), ("MNIST labels", labels))
}

fn half(folder: &Path, half: &str) -> Result<ImageSet> {
    let read = |kind: &str, form: &str| {
        let names = ["-", "."].map(|dash| format!("{half}-{kind}{dash}{form}-ubyte"));
        let names = names.map(|name| [name.clone(), format!("{name}.gz")]).concat();
        let remedy = "put MNIST's four files there";
        let path = files::find(folder, &names, remedy)?;
        let contents = files::read(&path)?;
        Ok((path.display().to_string(), contents))
    };
    let (images, labels) = (read("images", "idx3")?, read("labels", "idx1")?);
    parse((&images.0, &images.1), (&labels.0, &labels.1))
}

/// Images and labels from two files, each with the name that errors about it start with.
fn parse(images: (&str, &[u8]), labels: (&str, &[u8])) -> Result<ImageSet> {
    let (images_name, labels_name) = (images.0, labels.0);
    let images = idx::images(images_name, images.1)?;
    let labels = idx::labels(labels_name, labels.1)?;
    if images.count != labels.len() {
        let (count, label_count) = (images.count, labels.len());
        return Err(Error::Data(format!(
            "{images_name} holds {count} images but {labels_name} holds {label_count} labels: fetch both from one place"
        )));
    }
    if (images.height, images.width) != (28, 28) {
        let (height, width) = (images.height, images.width);
        return Err(Error::Data(format!("{images_name}: its images are {height}x{width}, MNIST's are 28x28")));
    }
    ImageSet::new([1, 28, 28], 10, images.pixels, labels)
        .map_err(|error| Error::Data(format!("{labels_name}: {error}")))
}
