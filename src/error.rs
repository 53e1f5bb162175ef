//! What can go wrong outside the program's control, as one sentence that says what to do about it.

use std::fmt;
use std::path::Path;

/// An error of the world outside: devices, limits, files, data, the network.
///
/// Mistakes in the code that calls the crate (shapes that do not fit, say) panic instead, at the caller's line.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// No adapter fits what was asked for.
    NoAdapter(String),
    /// The device was lost or reported an error; the kernel is named where it is known.
    Device(String),
    /// The device has no memory left, or a budget is spent.
    OutOfMemory(String),
    /// Something is larger than this adapter allows.
    Limit(String),
    /// A kernel's result differs from its definition (see [`Device::checked`](crate::Device::checked)).
    Mismatch(String),
    /// A file cannot be read or written, or does not hold what it should.
    File(String),
    /// Data that cannot be trained on: a label out of range, rows that do not match.
    Data(String),
    /// Weights that do not fit the model.
    Weights(String),
    /// A download failed.
    Network(String),
    /// An option has a value that makes no sense.
    Option(String),
    /// A step that is being captured did what cannot be replayed.
    Capture(String),
}

/// The crate's result type.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A [`Error::File`] that starts with the path.
    pub fn file(path: impl AsRef<Path>, problem: impl fmt::Display) -> Error {
        Error::File(format!("{}: {problem}", path.as_ref().display()))
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
        let (Error::NoAdapter(text)
        | Error::Device(text)
        | Error::OutOfMemory(text)
        | Error::Limit(text)
        | Error::Mismatch(text)
        | Error::File(text)
        | Error::Data(text)
        | Error::Weights(text)
        | Error::Network(text)
        | Error::Option(text)
        | Error::Capture(text)) = self;
        f.write_str(text)
    }
}

impl std::error::Error for Error {}

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
