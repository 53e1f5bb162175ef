//! CIFAR-10: 60,000 photographs of 32x32 in ten classes (Krizhevsky, 2009), in its binary form.
//!
//! A file is a row of records: a label byte, then 3,072 bytes, the red, green and blue planes of one image.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::{ImageSet, files};
use crate::error::{Error, Result};

const PIXELS: usize = 3 * 32 * 32;
const RECORD: usize = 1 + PIXELS;
const CLASSES: u8 = 10;

/// The two halves of CIFAR-10, images of [3, 32, 32] in 10 classes.
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
    Ok(Cifar { train: set(&train)?, test: set(&[test])? })
}

/// Images and labels from the contents of one binary file, plain or gzipped: an embedded one, say.
///
/// # Errors
/// As [`load`].
pub fn from_bytes(file: &[u8]) -> Result<ImageSet> {
    let mut records = Records::default();
    records.append("CIFAR-10 records", file)?;
    records.finish()
}

fn set(paths: &[PathBuf]) -> Result<ImageSet> {
    let mut records = Records::default();
    for path in paths {
        records.append(&path.display().to_string(), &files::read(path)?)?;
    }
    records.finish()
}

#[derive(Default)]
struct Records {
    labels: Vec<u8>,
    pixels: Vec<u8>,
}

impl Records {
    fn append(&mut self, name: &str, file: &[u8]) -> Result<()> {
        let mut bytes = Vec::with_capacity(file.len());
        files::unpacked(file)
            .and_then(|mut source| source.read_to_end(&mut bytes))
            .map_err(|error| files::damaged(name, &error))?;
        let (records, rest) = bytes.as_chunks::<RECORD>();
        if records.is_empty() || !rest.is_empty() {
            return Err(Error::file(
                name,
                format!(
                    "its {} bytes are not a whole number of records of {RECORD}: the file is truncated or not CIFAR-10's \
                     binary version, fetch it again",
                    bytes.len()
                ),
            ));
        }
        for (number, [label, pixels @ ..]) in records.iter().enumerate() {
            if *label >= CLASSES {
                return Err(Error::Data(format!("{name}: record {number}: label {label} is not in 0..{CLASSES}")));
            }
            self.labels.push(*label);
            self.pixels.extend_from_slice(pixels);
        }
        Ok(())
    }

    fn finish(self) -> Result<ImageSet> {
        ImageSet::new([3, 32, 32], CLASSES.into(), self.pixels, self.labels)
    }
}
