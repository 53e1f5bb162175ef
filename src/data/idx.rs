//! IDX, the file format of MNIST: a magic number, the sizes, then bytes. All integers are big-endian.
//!
//! Both functions take a file's whole contents, plain or gzipped, and the name that their errors start with.

use std::io::Read;

use super::files;
use crate::error::{Error, Result};

const IMAGES: u32 = 0x0000_0803;
const LABELS: u32 = 0x0000_0801;

/// The content of an IDX file of images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// The number of images.
    pub count: usize,
    /// Rows of each.
    pub height: usize,
    /// Columns of each.
    pub width: usize,
    /// The bytes, [count, height, width].
    pub pixels: Vec<u8>,
}

/// Reads a file of images (magic number 0x00000803: unsigned bytes in three dimensions).
///
/// # Errors
/// [`Error::File`] if the magic number is another, if the file is shorter or longer than its header promises, or if
/// its gzip data is damaged.
pub fn images(name: &str, file: &[u8]) -> Result<Images> {
    let ([count, height, width], pixels) =
        parse(name, file, IMAGES, |[count, height, width]| format!("{count} images of {height}x{width}"))?;
    if height == 0 || width == 0 {
        return Err(Error::file(name, format!("its images of {height}x{width} have no pixels: fetch it again")));
    }
    Ok(Images { count, height, width, pixels })
}

/// Reads a file of labels (magic number 0x00000801: unsigned bytes in one dimension).
///
/// # Errors
/// As [`images`].
pub fn labels(name: &str, file: &[u8]) -> Result<Vec<u8>> {
    Ok(parse(name, file, LABELS, |[count]| format!("{count} labels"))?.1)
}

/// The sizes and the bytes; `describe` puts the sizes into words.
fn parse<const N: usize>(
    name: &str,
    file: &[u8],
    magic: u32,
    describe: fn([usize; N]) -> String,
) -> Result<([usize; N], Vec<u8>)> {
    let damaged = |error| files::damaged(name, &error);
    let mut source = files::unpacked(file).map_err(damaged)?;
    let header_bytes = 4 * (N + 1);
    let mut header = Vec::new();
    (&mut source).take(header_bytes as u64).read_to_end(&mut header).map_err(damaged)?;
    let mut words = header.as_chunks::<4>().0.iter().map(|&word| u32::from_be_bytes(word));
    if let Some(found) = words.next().filter(|&found| found != magic) {
        return Err(Error::file(name, wrong_magic(found, magic)));
    }
    if header.len() < header_bytes {
        let found = header.len();
        let problem =
            format!("{found} bytes found, its header alone has {header_bytes}: the file is truncated, fetch it again");
        return Err(Error::file(name, problem));
    }
    let mut sizes = [0; N];
    for (size, word) in sizes.iter_mut().zip(words) {
        *size = word as usize;
    }
    let Some(total) = sizes.iter().try_fold(1, |product: usize, &size| product.checked_mul(size)) else {
        let problem = format!("its header promises {}, more than fit into memory: fetch it again", describe(sizes));
        return Err(Error::file(name, problem));
    };
    // A header may lie: memory is taken for the bytes that are there, never for the bytes that it promises.
    let mut bytes = Vec::with_capacity(total.min(file.len()));
    source.take((total as u64).saturating_add(1)).read_to_end(&mut bytes).map_err(damaged)?;
    let expected = total.saturating_add(header_bytes);
    let expected = format!("{expected} bytes expected from its header ({})", describe(sizes));
    if bytes.len() < total {
        let found = bytes.len() + header_bytes;
        let problem = format!("{expected}, {found} found: the file is truncated, fetch it again");
        return Err(Error::file(name, problem));
    }
    if bytes.len() > total {
        let problem = format!("{expected}, more found: the file is longer than it should be, fetch it again");
        return Err(Error::file(name, problem));
    }
    Ok((sizes, bytes))
}

fn wrong_magic(found: u32, expected: u32) -> String {
    let kind = |magic| if magic == IMAGES { "images" } else { "labels" };
    if found == IMAGES || found == LABELS {
        return format!("it holds {} where {} belong: are two files swapped?", kind(found), kind(expected));
    }
    format!(
        "it starts with 0x{found:08x}, not 0x{expected:08x}: it is not an IDX file of {}, fetch it again",
        kind(expected)
    )
}
