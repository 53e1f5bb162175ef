//! CIFAR-10 and CIFAR-100: 60,000 photographs of 32x32 in ten classes or a hundred (Krizhevsky, 2009), in their binary form.
//!
//! A file is a row of records: a label byte, or two of which the second is the finer, then 3,072 bytes, the red, green and blue
//! planes of one image.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::{ImageSet, files};
use crate::backend::whole;
use crate::error::{Error, Result};

const PIXELS: usize = 3 * 32 * 32;

/// What tells one set from the other.
struct Kind {
    name: &'static str,
    classes: u8,
    /// Bytes before the pixels, the last of which is the label.
    labels: usize,
}

const TEN: Kind = Kind { name: "CIFAR-10", classes: 10, labels: 1 };
const HUNDRED: Kind = Kind { name: "CIFAR-100", classes: 100, labels: 2 };

/// The two halves of CIFAR-10 or CIFAR-100, images of [3, 32, 32].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cifar {
    /// Images to learn from: 50,000 in the original.
    pub train: ImageSet,
    /// Images to judge by: 10,000 in the original.
    pub test: ImageSet,
}

/// Loads CIFAR-10's binary files from a folder, or from a folder `cifar-10-batches-bin` in it.
///
/// `data_batch_1.bin` and `test_batch.bin` must be there, `data_batch_2.bin` to `data_batch_5.bin` may, without gaps;
/// each may be gzipped, with `.gz` after its name.
///
/// # Errors
/// [`Error::File`] if a file is missing, truncated or damaged; [`Error::Data`] if a label is not in 0..10.
pub fn load(folder: impl AsRef<Path>) -> Result<Cifar> {
    let inner = folder.as_ref().join("cifar-10-batches-bin");
    let folder = if inner.is_dir() { &inner } else { folder.as_ref() };
    let find = |stem: &str| -> Result<PathBuf> {
        let names = [format!("{stem}.bin"), format!("{stem}.bin.gz")];
        files::find(
            folder,
            &names,
            "put the files of CIFAR-10's binary version there (cifar-10-binary.tar.gz, unpacked)",
        )
    };
    let batch = |number| find(&format!("data_batch_{number}"));
    // A gap is a copy that went wrong, not a smaller data set.
    let last = (1..=5).rev().find(|&number| batch(number).is_ok()).unwrap_or(1);
    let train = (1..=last).map(batch).collect::<Result<Vec<_>>>()?;
    let test = find("test_batch")?;
    Ok(Cifar { train: set(&TEN, &train)?, test: set(&TEN, &[test])? })
}

/// Loads CIFAR-100's `train.bin` and `test.bin` from a folder, or from a folder `cifar-100-binary` in it, gzipped or not, with
/// their 100 fine labels.
///
/// # Errors
/// [`Error::File`] if a file is missing, truncated or damaged; [`Error::Data`] if a label is not in 0..100.
#[doc(alias = "CIFAR100")]
pub fn load_100(folder: impl AsRef<Path>) -> Result<Cifar> {
    let inner = folder.as_ref().join("cifar-100-binary");
    let folder = if inner.is_dir() { &inner } else { folder.as_ref() };
    let half = |stem: &str| {
        let names = [format!("{stem}.bin"), format!("{stem}.bin.gz")];
        let remedy = "put the files of CIFAR-100's binary version there (cifar-100-binary.tar.gz, unpacked)";
        set(&HUNDRED, &[files::find(folder, &names, remedy)?])
    };
    Ok(Cifar { train: half("train")?, test: half("test")? })
}

/// Images and labels from the contents of one binary file of CIFAR-10, plain or gzipped: an embedded one, say.
///
/// # Errors
/// As [`load`].
pub fn from_bytes(file: &[u8]) -> Result<ImageSet> {
    let mut records = Records::new(&TEN);
    records.append("CIFAR-10 records", file)?;
    records.finish()
}

fn set(kind: &'static Kind, paths: &[PathBuf]) -> Result<ImageSet> {
    let mut records = Records::new(kind);
    for path in paths {
        records.append(&path.display().to_string(), &whole::read(path)?)?;
    }
    records.finish()
}

struct Records {
    kind: &'static Kind,
    labels: Vec<u8>,
    pixels: Vec<u8>,
}

impl Records {
    fn new(kind: &'static Kind) -> Records {
        Records { kind, labels: Vec::new(), pixels: Vec::new() }
    }

    fn append(&mut self, name: &str, file: &[u8]) -> Result<()> {
        let mut bytes = Vec::with_capacity(file.len());
        files::unpacked(file)
            .and_then(|mut source| source.read_to_end(&mut bytes))
            .map_err(|error| files::damaged(name, &error))?;
        let Kind { name: set, classes, labels } = *self.kind;
        let size = labels + PIXELS;
        if bytes.is_empty() || !bytes.len().is_multiple_of(size) {
            return Err(Error::file(
                name,
                format!(
                    "its {} bytes are not a whole number of records of {size}: the file is truncated or not {set}'s \
                     binary version, fetch it again",
                    bytes.len()
                ),
            ));
        }
        for (number, record) in bytes.chunks_exact(size).enumerate() {
            let (label, pixels) = (record[labels - 1], &record[labels..]);
            if label >= classes {
                return Err(Error::Data(format!("{name}: record {number}: label {label} is not in 0..{classes}")));
            }
            self.labels.push(label);
            self.pixels.extend_from_slice(pixels);
        }
        Ok(())
    }

    fn finish(self) -> Result<ImageSet> {
        ImageSet::new([3, 32, 32], self.kind.classes.into(), self.pixels, self.labels)
    }
}
