//! Finding data files in folders, and reading through their gzip.

use std::io::{self, BufRead, ErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The first of `names` that is a file in `folder`; `remedy` ends the error's sentence.
pub(super) fn find(folder: &Path, names: &[String], remedy: &str) -> Result<PathBuf> {
    match names.iter().map(|name| folder.join(name)).find(|path| path.is_file()) {
        Some(path) => Ok(path),
        None if !folder.is_dir() => Err(Error::file(folder, format!("there is no such folder: {remedy}"))),
        None => Err(Error::file(folder, format!("none of {} is there: {remedy}", names.join(", ")))),
    }
}

/// The content of `source`, unpacked where it starts as gzip does.
pub(super) fn unpacked<'a>(mut source: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    if source.fill_buf()?.starts_with(&[0x1f, 0x8b]) {
        // Reads on to the last byte, so that garbage after the gzip data is an error, too.
        Ok(Box::new(flate2::bufread::MultiGzDecoder::new(source)))
    } else {
        Ok(Box::new(source))
    }
}

/// The error for a file that stopped unpacking.
pub(super) fn damaged(name: &str, error: &io::Error) -> Error {
    match error.kind() {
        ErrorKind::UnexpectedEof => {
            Error::file(name, "its gzip data ends too early: the file is truncated, fetch it again")
        }
        _ => Error::file(name, format!("its gzip data is damaged ({error}): fetch it again")),
    }
}
