//! MNIST: 70,000 handwritten digits of 28x28 (LeCun, Cortes and Burges), and the sets that share its files' form.

use std::path::Path;

use super::{ImageSet, files, idx};
use crate::backend::whole;
use crate::error::{Error, Result};

#[cfg(feature = "download")]
pub use fetching::{FILES, download};

/// The two halves of MNIST, images of [1, 28, 28] in 10 classes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mnist {
    /// Images to learn from: 60,000 in the original.
    pub train: ImageSet,
    /// Images to judge by: 10,000 in the original.
    pub test: ImageSet,
}

/// Loads MNIST's four IDX files from a folder.
///
/// Each is looked for under its usual names, `train-images-idx3-ubyte` or `train-images.idx3-ubyte`, with or without
/// `.gz`. Fashion-MNIST and other sets of ten classes in such files are read, too.
///
/// # Errors
/// [`Error::File`] if a file is missing or does not hold what it should; [`Error::Data`] if images and labels do not
/// fit each other, the images are not 28x28, or a label is not a digit.
#[doc(alias = "FashionMNIST")]
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
        let remedy = "put MNIST's four files there, or fetch them (the example's `--download`, `data::mnist::download` in a program)";
        let path = files::find(folder, &names, remedy)?;
        let contents = whole::read(&path)?;
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

#[cfg(feature = "download")]
mod fetching {
    use std::path::{Path, PathBuf};

    use super::super::download::{RemoteFile, cache_folder, fetch};
    use crate::error::Result;

    const MIRRORS: &[&str] =
        &["https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"];

    /// MNIST's files as its public mirrors hold them.
    pub const FILES: [RemoteFile<'static>; 4] = [
        RemoteFile {
            name: "train-images-idx3-ubyte.gz",
            mirrors: MIRRORS,
            sha256: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            size: 47_040_016,
        },
        RemoteFile {
            name: "train-labels-idx1-ubyte.gz",
            mirrors: MIRRORS,
            sha256: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            size: 60_008,
        },
        RemoteFile {
            name: "t10k-images-idx3-ubyte.gz",
            mirrors: MIRRORS,
            sha256: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            size: 7_840_016,
        },
        RemoteFile {
            name: "t10k-labels-idx1-ubyte.gz",
            mirrors: MIRRORS,
            sha256: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            size: 10_008,
        },
    ];

    /// Fetches what is missing of MNIST into a folder, by default `wgrad/mnist` in the user's cache folder, and returns
    /// that folder for [`load`](super::load).
    ///
    /// `progress` is told the bytes there are and the bytes expected of one file after the other.
    ///
    /// # Errors
    /// As [`fetch`].
    pub fn download(folder: Option<&Path>, progress: &mut dyn FnMut(u64, u64)) -> Result<PathBuf> {
        let folder = folder.map_or_else(|| cache_folder("mnist"), |folder| Ok(folder.to_path_buf()))?;
        for file in &FILES {
            fetch(file, &folder, progress)?;
        }
        Ok(folder)
    }
}
