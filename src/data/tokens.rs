//! Texts as numbers, cut into pieces.

use super::dataset::Dataset;
use crate::error::{Error, Result};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Pieces of a text of tokens, each with what follows: an item is `context` tokens, and as many from one further on.
///
/// ```
/// use wgrad::data::{Dataset, TokenWindows};
/// let text = TokenWindows::new((0..10).collect(), 4, 3)?;
/// assert_eq!(text.get(1)?, (vec![3, 4, 5, 6], vec![4, 5, 6, 7]));
/// assert_eq!(text.len(), 2);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug)]
pub struct TokenWindows {
    source: Source,
    tokens: usize,
    context: usize,
    stride: usize,
}

/// Where tokens lie.
#[derive(Debug)]
enum Source {
    Memory(Vec<i32>),
    File { path: PathBuf, file: Mutex<File>, width: usize },
}

impl TokenWindows {
    /// Of tokens in memory, each piece `stride` after the one before.
    ///
    /// # Errors
    /// [`Error::Option`] if the context or the stride is 0; [`Error::Data`] if there is no whole piece.
    pub fn new(tokens: Vec<i32>, context: usize, stride: usize) -> Result<TokenWindows> {
        TokenWindows::of(tokens.len(), Source::Memory(tokens), context, stride)
    }

    /// Of a file of tokens one behind the other, each of 2 or 4 bytes, the low one first and without a sign: what
    /// `numpy.ndarray.tofile` writes. It may be larger than memory: a piece is read when it is asked for.
    ///
    /// # Errors
    /// [`Error::File`] if the file cannot be read, or is no whole number of tokens; as [`new`](TokenWindows::new).
    pub fn open(path: impl AsRef<Path>, bytes: usize, context: usize, stride: usize) -> Result<TokenWindows> {
        let path = path.as_ref();
        if !matches!(bytes, 2 | 4) {
            return Err(Error::Option(format!("TokenWindows: tokens of {bytes} bytes: expected 2 or 4")));
        }
        let broken = |error| Error::file_because(path, "cannot be read", error);
        let file = File::open(path).map_err(broken)?;
        let size = file.metadata().map_err(broken)?.len();
        if !size.is_multiple_of(bytes as u64) {
            let text = format!("has {size} bytes, which are no whole number of tokens of {bytes}");
            return Err(Error::file(path, text));
        }
        let source = Source::File { path: path.into(), file: Mutex::new(file), width: bytes };
        TokenWindows::of((size / bytes as u64) as usize, source, context, stride)
    }

    fn of(tokens: usize, source: Source, context: usize, stride: usize) -> Result<TokenWindows> {
        if context == 0 || stride == 0 {
            let text = format!("TokenWindows: a context of {context} and a stride of {stride}: choose at least 1");
            return Err(Error::Option(text));
        }
        if tokens <= context {
            let text = format!("{tokens} tokens have no piece of {context} and one after it: use a smaller context");
            return Err(Error::Data(text));
        }
        Ok(TokenWindows { source, tokens, context, stride })
    }

    /// The number of tokens.
    pub fn tokens(&self) -> usize {
        self.tokens
    }
}

impl Dataset for TokenWindows {
    type Item = (Vec<i32>, Vec<i32>);

    fn len(&self) -> usize {
        (self.tokens - self.context - 1) / self.stride + 1
    }

    fn get(&self, row: usize) -> Result<(Vec<i32>, Vec<i32>)> {
        let (start, count) = (row * self.stride, self.context + 1);
        let piece = match &self.source {
            Source::Memory(tokens) => tokens[start..][..count].to_vec(),
            Source::File { path, file, width } => {
                let mut bytes = vec![0; count * width];
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                file.seek(SeekFrom::Start((start * width) as u64))
                    .and_then(|_| file.read_exact(&mut bytes))
                    .map_err(|error| Error::file_because(path, "cannot be read", error))?;
                let token = |own: &[u8]| own.iter().rev().fold(0u32, |number, byte| number << 8 | u32::from(*byte));
                let too_large =
                    |number| Error::file(path, format!("has the token {number}, which is no number of i32"));
                let all = bytes.chunks_exact(*width).map(token);
                all.map(|number| i32::try_from(number).map_err(|_| too_large(number))).collect::<Result<_>>()?
            }
        };
        Ok((piece[..self.context].to_vec(), piece[1..].to_vec()))
    }
}
