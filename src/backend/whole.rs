//! Files that are written whole or not at all.

use super::edge;
use crate::error::{Error, Result};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The file that a path means in the end, behind links: a link stays what it is. What is there and is no file is refused:
/// the rename would replace a device or a pipe, too.
fn target(path: &Path) -> std::io::Result<PathBuf> {
    let wrong = |what| Err(std::io::Error::other(what));
    match path.metadata() {
        Ok(there) if there.is_dir() => return wrong("it is a folder; name a file in it"),
        Ok(there) if !there.is_file() => return wrong("it is no regular file"),
        _ => (),
    }
    let mut path = path.to_path_buf();
    // A path with more links than this is refused by systems, too.
    for _ in 0..40 {
        if !path.is_symlink() {
            break;
        }
        path = path.with_file_name("").join(fs::read_link(&path)?);
    }
    if path.is_symlink() {
        return wrong("its links go round");
    }
    // `new/` has the file name `new`, but no file can take it.
    match path.file_name() {
        Some(_) if !path.to_string_lossy().ends_with(std::path::is_separator) => Ok(path),
        _ => wrong("it names no file"),
    }
}

/// The name that a file has until it is whole.
fn part_of(path: &Path) -> PathBuf {
    let mut part = path.file_name().unwrap_or_default().to_os_string();
    part.push(format!(".{}.part", edge::process()));
    path.with_file_name(part)
}

/// Held while a part is there: the name is this process's.
static WRITING: Mutex<()> = Mutex::new(());

/// Gives `write` the part of a file, which takes the file's name and mode then; `None` where it is to go again.
pub fn with_part(path: &Path, write: impl FnOnce(&mut File) -> std::io::Result<Option<()>>) -> std::io::Result<()> {
    let path = target(path)?;
    let part = part_of(&path);
    let _alone = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    remove_left_parts(&path, &part);
    let mut file = held(&part)?;
    let written = like(&path, &file).and_then(|()| write(&mut file)).and_then(|keep| match keep {
        Some(()) => fs::rename(&part, &path).map(|()| true),
        None => Ok(false),
    });
    if !matches!(written, Ok(true)) {
        // Nothing else can be done about a part that cannot be removed.
        let _ = fs::remove_file(&part);
    }
    written.map(drop)
}

/// A new part, locked so that others see that somebody writes it.
fn held(part: &Path) -> std::io::Result<File> {
    loop {
        let file = File::create(part)?;
        // Where files have no locks, nobody takes one for left.
        let _ = file.lock();
        if part.symlink_metadata().is_ok() {
            return Ok(file);
        }
    }
}

/// Gives a part the mode of the file that it replaces.
fn like(path: &Path, part: &File) -> std::io::Result<()> {
    match path.metadata() {
        Ok(there) if cfg!(unix) && part.metadata()?.is_file() => part.set_permissions(there.permissions()),
        _ => Ok(()),
    }
}

/// Removes the parts of a file that runs left which were killed: nobody holds their locks.
fn remove_left_parts(path: &Path, own: &Path) {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else { return };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let found = entry.file_name();
        let process =
            found.to_str().and_then(|found| found.strip_prefix(name)?.strip_prefix('.')?.strip_suffix(".part"));
        let is_part = process.is_some_and(|id| !id.is_empty() && id.bytes().all(|digit| digit.is_ascii_digit()));
        let part = entry.path();
        if !is_part || part.file_name() == own.file_name() || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        if File::open(&part).is_ok_and(|file| file.try_lock().is_ok()) {
            // It may be another's, who is the one to remove it then.
            let _ = fs::remove_file(&part);
        }
    }
}

/// A whole file.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| Error::file_because(path, "cannot be read", error))
}

/// [`replace`], with the error of a file.
pub fn write(path: &Path, bytes: impl AsRef<[u8]>) -> Result<()> {
    replace(path, bytes.as_ref()).map_err(|error| Error::file_because(path, "cannot be written", error))
}

/// Writes beside the file and renames, so that a full disk or a break never costs what was there.
pub fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    with_part(path, |file| {
        file.write_all(bytes)?;
        file.sync_all().map(Some)
    })
}
