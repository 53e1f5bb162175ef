//! Lines of a text.

use super::dataset::Dataset;
use super::item::Item;
use crate::error::{Error, Result};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// What some editors put before the text of a file.
const MARK: &[u8] = "\u{feff}".as_bytes();

/// The lines of a text file, each made an item by a function. The file may be larger than memory: where lines begin is noted when
/// it is opened, and a line is read when it is asked for. Lines of nothing but blanks are left out, and so is a byte order mark.
///
/// ```
/// use wgrad::data::{Dataset, TextLines};
/// # let path = std::env::temp_dir().join(format!("wgrad-lines-{}.txt", std::process::id()));
/// # std::fs::write(&path, "good\tfine\n\nbad\tpoor, really\r\n").map_err(|error| wgrad::Error::file(&path, error))?;
/// // Whether it is good, and the bytes of what was said, to be padded to the longest of a batch.
/// let reviews = TextLines::open(&path, |line: &str| {
///     let (label, text) = line.split_once('\t').ok_or_else(|| wgrad::Error::Data("expected a tab".into()))?;
///     Ok((text.bytes().map(i32::from).collect::<Vec<i32>>(), i32::from(label == "good")))
/// })?;
/// assert_eq!(reviews.len(), 2);
/// assert_eq!(reviews.get(0)?, (vec![102, 105, 110, 101], 1));
/// # std::fs::remove_file(&path).map_err(|error| wgrad::Error::file(&path, error))?;
/// # Ok::<(), wgrad::Error>(())
/// ```
#[doc(alias = "TextLineDataset")]
pub struct TextLines<F> {
    path: PathBuf,
    file: Mutex<File>,
    /// Where lines begin and end, and their numbers.
    lines: Vec<(u64, u64, usize)>,
    encode: F,
}

impl<T: Item, F: Fn(&str) -> Result<T> + Send + Sync> TextLines<F> {
    /// Of a file in UTF-8.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be read.
    pub fn open(path: impl AsRef<Path>, encode: F) -> Result<TextLines<F>> {
        let path = path.as_ref();
        let broken = |error| Error::file_because(path, "cannot be read", error);
        let file = File::open(path).map_err(broken)?;
        let (mut reader, mut lines, mut at) = (BufReader::new(&file), Vec::new(), 0);
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            let read = reader.read_until(b'\n', &mut line).map_err(broken)? as u64;
            if read == 0 {
                break;
            }
            let mark = if number == 1 && line.starts_with(MARK) { MARK.len() } else { 0 };
            if !line[mark..].iter().all(u8::is_ascii_whitespace) {
                lines.push((at + mark as u64, at + read, number));
            }
            at += read;
        }
        Ok(TextLines { path: path.into(), file: Mutex::new(file), lines, encode })
    }
}

impl<T: Item, F: Fn(&str) -> Result<T> + Send + Sync> Dataset for TextLines<F> {
    type Item = T;

    fn len(&self) -> usize {
        self.lines.len()
    }

    fn get(&self, row: usize) -> Result<T> {
        let Some((start, end, number)) = self.lines.get(row).copied() else {
            return Err(Error::Data(format!(
                "{}: there is no line {row} of {}",
                self.path.display(),
                self.lines.len()
            )));
        };
        let mut bytes = vec![0; (end - start) as usize];
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let read = file.seek(SeekFrom::Start(start)).and_then(|_| file.read_exact(&mut bytes));
        drop(file);
        let told = |problem: String| Error::file(&self.path, format!("line {number}: {problem}"));
        read.map_err(|error| told(format!("cannot be read any more: {error}")))?;
        let text = String::from_utf8(bytes).map_err(|_| told("it is no UTF-8".into()))?;
        (self.encode)(text.trim_end_matches(['\n', '\r'])).map_err(|error| told(error.to_string()))
    }
}
