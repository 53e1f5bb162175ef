//! Failures outside the program's control, each as one sentence that says what to do about it.

use std::error::Error as StdError;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An error of the world outside: devices, limits, files, data, the network.
///
/// Its text is a whole sentence; what a program may act on is in fields, and an error of another library that lies behind
/// it is its [`source`](StdError::source). Mistakes in the code that calls the crate (shapes that do not fit, say) panic
/// instead, at the caller's line.
///
/// ```
/// use wgrad::{Device, Error};
/// let device = Device::cpu();
/// let model = wgrad::nn::Linear::new(2, 1, &mut wgrad::nn::Init::new(0, &device));
/// match wgrad::checkpoint::load(&model, "no/such.safetensors", wgrad::nn::Strictness::Strict) {
///     Err(Error::File { path, .. }) => println!("{} is not there yet: starting anew", path.display()),
///     other => drop(other?),
/// }
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// No adapter fits what was asked for.
    NoAdapter(String),
    /// The device was lost or reported an error; the kernel is named where it is known.
    Device(String),
    /// The device has no memory left, or a budget is spent.
    OutOfMemory {
        /// The bytes that were asked for, where they are known.
        bytes: Option<u64>,
        /// The refusal, and what to do.
        problem: String,
    },
    /// Something is larger than this adapter allows.
    Limit(String),
    /// A kernel's result differs from its definition (see [`Device::checked`](crate::Device::checked)), or a gradient from
    /// differences.
    Mismatch {
        /// The kernel, with its layer where that is known.
        kernel: String,
        /// The element and both values.
        problem: String,
    },
    /// A file cannot be read or written, or does not hold what it should.
    File {
        /// The file or folder.
        path: PathBuf,
        /// The fault.
        problem: String,
        /// The error that the system or a decoder gave.
        source: Option<Source>,
    },
    /// Data that cannot be trained on: a label out of range, rows that do not match.
    Data(String),
    /// Weights that do not fit the model.
    Weights(String),
    /// A download failed.
    Network {
        /// From where, and what happened.
        problem: String,
        /// The error that the system gave.
        source: Option<Source>,
    },
    /// An option has a value that makes no sense.
    Option(String),
    /// A step that is being captured did what cannot be replayed.
    Capture(String),
    /// A training run cannot go on: its loss is no number any more, say.
    Training(String),
    /// The ranks of a group cannot go on together: one is gone, stuck, or not like the others.
    Group(String),
}

/// An error of another library behind an [`Error`].
#[derive(Debug, Clone)]
pub struct Source(Arc<dyn StdError + Send + Sync>);

impl Source {
    /// Of any error.
    pub fn new(error: impl StdError + Send + Sync + 'static) -> Source {
        Source(Arc::new(error))
    }
}

impl PartialEq for Source {
    /// Errors can only be compared by what they say.
    fn eq(&self, other: &Source) -> bool {
        self.0.to_string() == other.0.to_string()
    }
}

impl Eq for Source {}

/// The crate's result type.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An [`Error::File`] that only the crate found.
    pub fn file(path: impl AsRef<Path>, problem: impl fmt::Display) -> Error {
        Error::File { path: path.as_ref().into(), problem: problem.to_string(), source: None }
    }

    /// An [`Error::File`] with an error behind it: `data/x: cannot be read: permission denied`.
    pub fn file_because(
        path: impl AsRef<Path>,
        problem: impl fmt::Display,
        error: impl StdError + Send + Sync + 'static,
    ) -> Error {
        let problem = format!("{problem}: {error}");
        Error::File { path: path.as_ref().into(), problem, source: Some(Source::new(error)) }
    }

    /// An [`Error::Network`] that only the crate found.
    #[cfg(feature = "download")]
    pub(crate) fn network(problem: impl fmt::Display) -> Error {
        Error::Network { problem: problem.to_string(), source: None }
    }
}

/// Numbers of bytes for a message: in MiB, or to the byte where MiB would not tell two of them apart.
pub(crate) fn sizes<const N: usize>(bytes: [u64; N]) -> [String; N] {
    let alike = |a: &u64, b: &u64| a != b && a >> 20 == b >> 20;
    let exact = bytes.iter().any(|a| *a < 1 << 20 || bytes.iter().any(|b| alike(a, b)));
    bytes.map(|n| if exact { format!("{n} bytes") } else { format!("{} MiB", n >> 20) })
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::File { path, problem, .. } => write!(f, "{}: {problem}", path.display()),
            Error::Mismatch { kernel, problem } => write!(f, "{kernel}: {problem}"),
            Error::NoAdapter(problem)
            | Error::Device(problem)
            | Error::OutOfMemory { problem, .. }
            | Error::Limit(problem)
            | Error::Data(problem)
            | Error::Weights(problem)
            | Error::Network { problem, .. }
            | Error::Option(problem)
            | Error::Capture(problem)
            | Error::Training(problem)
            | Error::Group(problem) => f.write_str(problem),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Error::File { source, .. } | Error::Network { source, .. } => source.as_ref().map(|source| &*source.0 as _),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_differ_look_different() {
        assert_eq!(sizes([3 << 20, 1 << 20]), ["3 MiB", "1 MiB"]);
        assert_eq!(sizes([(1 << 20) + 4, 1 << 20]), ["1048580 bytes", "1048576 bytes"]);
        assert_eq!(sizes([1 << 20, 1000]), ["1048576 bytes", "1000 bytes"]);
        assert_eq!(sizes([2 << 20, 2 << 20]), ["2 MiB", "2 MiB"]);
    }
}
