//! Fetching data files over HTTP: resumed where a connection broke, checked before they count, kept for the next run.
//!
//! Behind the cargo feature `download`. An HTTP proxy is used where the system names one in the usual variables.

use std::fs::{self, File};
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};
use ureq::Agent;

use super::files;
use crate::error::{self, Error, Result};

/// The longest wait for a name, a connection, or the next bytes.
const PATIENCE: Duration = Duration::from_secs(30);
/// Times that one mirror is asked for the rest of a file.
const TRIES: usize = 5;

/// A file that mirrors hold, and how to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteFile<'a> {
    /// Its name, on the mirrors and on disk.
    pub name: &'a str,
    /// The addresses up to the name, with a slash at the end; tried in this order.
    pub mirrors: &'a [&'a str],
    /// The SHA-256 of its contents in hexadecimal, after unpacking where it is gzipped: mirrors compress differently.
    pub sha256: &'a str,
    /// Bytes of those contents; no mirror is let send more.
    pub size: u64,
}

/// The folder `wgrad/<name>` in the user's cache folder; it need not exist yet.
///
/// # Errors
/// [`Error::File`] if the system knows of no cache folder.
pub fn cache_folder(name: &str) -> Result<PathBuf> {
    let cache = dirs::cache_dir()
        .ok_or_else(|| Error::file("the cache folder", "this system names none: choose the folder for the data"))?;
    Ok(cache.join("wgrad").join(name))
}

/// Fetches a file into a folder and returns its path; a file that is there and right is not fetched again.
///
/// The bytes are gathered in `<name>.part`, which takes its name only when its checksum is right. A `.part` left from
/// before is continued; where a server cannot continue it, it starts anew. `progress` is told the bytes there are and
/// the bytes expected: the file's, or those of its unpacked contents where the server does not say. Two programs should not fetch one file into one folder at the same time.
///
/// # Errors
/// [`Error::Network`] if no mirror gave the right file, with each address and why; [`Error::File`] if the disk refuses.
pub fn fetch(file: &RemoteFile, folder: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<PathBuf> {
    fetch_within(PATIENCE, file, folder, progress)
}

fn fetch_within(
    patience: Duration,
    file: &RemoteFile,
    folder: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<PathBuf> {
    let path = folder.join(file.name);
    if digest(&path, file.size).is_ok_and(|digest| digest == file.sha256) {
        return Ok(path);
    }
    fs::create_dir_all(folder).map_err(|error| Error::file_because(folder, "cannot be made", error))?;
    let agent = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_resolve(Some(patience))
        .timeout_connect(Some(patience))
        .timeout_per_read(Some(patience))
        .build()
        .new_agent();
    let part = folder.join(format!("{}.part", file.name));
    let mut failures = Vec::new();
    for mirror in file.mirrors {
        let mut source =
            Source { agent: &agent, address: format!("{mirror}{}", file.name), file, part: &part, progress };
        match source.fetch() {
            Ok(()) => {
                return fs::rename(&part, &path)
                    .map(|()| path.clone())
                    .map_err(|error| Error::file_because(&path, "cannot be written", error));
            }
            Err(Error::Network { problem: why, .. }) => failures.push(format!("{} ({why})", source.address)),
            Err(disk) => return Err(disk),
        }
    }
    Err(Error::network(format!(
        "{}: no mirror gave it: {}: try again, or fetch it by other means into {}",
        file.name,
        if failures.is_empty() { "none is known".to_string() } else { failures.join(", ") },
        folder.display()
    )))
}

/// One mirror of a file, and where its bytes go.
struct Source<'a> {
    agent: &'a Agent,
    address: String,
    file: &'a RemoteFile<'a>,
    part: &'a Path,
    progress: &'a mut dyn FnMut(u64, u64),
}

impl Source<'_> {
    /// Fills the part file, rightly: asks for the rest as long as each answer brings more.
    fn fetch(&mut self) -> Result<()> {
        for _ in 1..TRIES {
            let before = self.length();
            match self.receive() {
                // What an earlier run or another mirror left may be of another file: once more from the start.
                Ok(start) => match self.check() {
                    Err(Error::Network { .. }) if start > 0 => {}
                    checked => return checked,
                },
                Err(Error::Network { .. }) if self.length() > before => {}
                Err(error) => return Err(error),
            }
        }
        self.receive()?;
        self.check()
    }

    /// Receives what is missing of the part file; returns where it went on.
    fn receive(&mut self) -> Result<u64> {
        let mut start = self.length();
        let mut response = self.request(start)?;
        let continues = response.status() == 206 && content_start(&response) == Some(start);
        if start > 0 && !continues && [206, 416].contains(&response.status().as_u16()) {
            response = self.request(0)?;
        }
        match response.status().as_u16() {
            200 => start = 0,
            206 if continues => {}
            status => return Err(Error::network(format!("HTTP status {status}"))),
        }
        let expected = response.body().content_length().map(|rest| start.saturating_add(rest));
        let total = expected.unwrap_or(self.file.size);
        // Bytes that do not compress grow by gzip's header and 5 bytes a block.
        let most = self.file.size.saturating_add(self.file.size / 1000 + 1024);
        let mut options = File::options();
        let mut part =
            options.create(true).write(true).truncate(start == 0).open(self.part).map_err(|e| self.disk(e))?;
        part.seek(SeekFrom::Start(start)).map_err(|error| self.disk(error))?;
        let mut body = response.into_body().into_reader();
        let mut buffer = vec![0; 1 << 16];
        let mut done = start;
        (self.progress)(done, total.max(done));
        loop {
            let count = match body.read(&mut buffer) {
                Ok(0) if expected.is_none_or(|expected| expected == done) => return Ok(start),
                Ok(0) => return Err(Error::network(format!("it stopped after {done} of {total} bytes"))),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => {
                    return Err(Error::Network {
                        problem: format!("it stopped after {done} of {total} bytes: {error}"),
                        source: Some(error::Source::new(error)),
                    });
                }
            };
            done += count as u64;
            if done > most {
                self.remove()?;
                return Err(Error::network(format!("it sends more than the {} bytes of this file", self.file.size)));
            }
            part.write_all(&buffer[..count]).map_err(|error| self.disk(error))?;
            (self.progress)(done, total.max(done));
        }
    }

    fn request(&self, start: u64) -> Result<ureq::http::Response<ureq::Body>> {
        let mut request = self.agent.get(&self.address).header("Accept-Encoding", "identity");
        if start > 0 {
            request = request.header("Range", format!("bytes={start}-"));
        }
        request
            .call()
            .map_err(|error| Error::Network { problem: error.to_string(), source: Some(error::Source::new(error)) })
    }

    /// Compares the part file with the checksum; a wrong one is removed.
    fn check(&self) -> Result<()> {
        let found = match digest(self.part, self.file.size) {
            Ok(digest) if digest == self.file.sha256 => return Ok(()),
            Ok(digest) => format!("its SHA-256 is {digest}, not {}", self.file.sha256),
            Err(error) => format!("it cannot be unpacked: {error}"),
        };
        self.remove()?;
        Err(Error::network(format!("{found}: what it sent was removed")))
    }

    fn length(&self) -> u64 {
        fs::metadata(self.part).map_or(0, |part| part.len())
    }

    fn remove(&self) -> Result<()> {
        fs::remove_file(self.part).map_err(|error| self.disk(error))
    }

    fn disk(&self, error: io::Error) -> Error {
        Error::file_because(self.part, "cannot be written", error)
    }
}

/// The place of a 206 answer's bytes in the file: `Content-Range: bytes 100-199/200`.
fn content_start(response: &ureq::http::Response<ureq::Body>) -> Option<u64> {
    let range = response.headers().get("Content-Range")?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}

/// The SHA-256 of a file's unpacked contents, of which no more than one byte beyond `size` is read.
fn digest(path: &Path, size: u64) -> io::Result<String> {
    let mut source = files::unpacked(BufReader::new(File::open(path)?))?.take(size.saturating_add(1));
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match source.read(&mut buffer) {
            Ok(0) => return Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            Ok(count) => hash.update(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_server_that_never_answers_is_left() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mirror = format!("http://{}/", listener.local_addr().unwrap());
        let file = RemoteFile { name: "silent", mirrors: &[&mirror], sha256: "", size: 1 };
        let folder = tempfile::tempdir().unwrap();
        let error = fetch_within(Duration::from_millis(100), &file, folder.path(), &mut |_, _| {}).unwrap_err();
        assert!(matches!(&error, Error::Network { problem, .. } if problem.contains("timeout")), "{error}");
    }
}
