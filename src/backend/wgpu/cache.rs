//! What a driver has compiled, in a file from one start to the next.

use super::pipelines::driver_cache;
use super::tuning::machine_in_files;
use crate::backend::edge;
use crate::backend::whole::replace;
use crate::kernel::Info;
use std::fs;
use std::path::{Path, PathBuf};

/// Where the pipelines that a driver has compiled are kept, so that the next start of a program compiles nothing.
///
/// Vulkan gives them out; elsewhere this has no meaning, since the system keeps them by itself. There is a file for each adapter,
/// driver and version of this crate, written when the device goes and when a captured step first runs. One that is torn,
/// foreign or of an older driver is dropped, and where none can be read or written all goes on without: a start is
/// slower then, and nothing else changes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum PipelineCache {
    /// The folder `wgrad/pipelines` in the user's cache folder; nowhere if the system names none.
    #[default]
    User,
    /// This folder, which is made if it is missing. A driver runs what it reads: only the user may be able to write there.
    Folder(PathBuf),
    /// Nowhere.
    Off,
}

/// How a file begins.
const HEAD: [u8; 16] = *b"wgrad pipelines\n";
/// The most bytes that are kept: what other programs and earlier versions of kernels left grows without an end otherwise.
const MOST: usize = 256 << 20;

/// A driver's cache and the file that holds it.
pub struct Kept {
    cache: wgpu::PipelineCache,
    path: PathBuf,
    key: String,
    /// The bytes that the file holds of it.
    bytes: usize,
}

impl Kept {
    /// With what the file holds. `key` is wgpu's name for the adapters that take each other's pipelines.
    pub fn open(device: &wgpu::Device, key: &str, info: &Info, choice: &PipelineCache) -> Option<Kept> {
        let folder = match choice {
            PipelineCache::User => dirs::cache_dir()?.join("wgrad").join("pipelines"),
            PipelineCache::Folder(folder) => folder.clone(),
            PipelineCache::Off => return None,
        };
        let path = folder.join(format!("{key}-{}.bin", machine_in_files(info)));
        let file = read(&path);
        let data = file.as_deref().and_then(|file| unpacked(file, key));
        let cache = driver_cache(device, data)?;
        Some(Kept { cache, path, key: key.into(), bytes: data.map_or(0, <[u8]>::len) })
    }

    /// The driver's part.
    pub fn cache(&self) -> &wgpu::PipelineCache {
        &self.cache
    }

    /// Writes what the driver has now, if that is more than the file holds. Of two programs at once the later one's stays; what it lacks is
    /// compiled again and added the next time.
    pub fn keep(&mut self) {
        // Drivers only add: as long as before, nothing is new.
        let Some(data) = self.cache.get_data().filter(|data| data.len() != self.bytes) else { return };
        self.bytes = data.len();
        if data.len() > MOST {
            log::debug!("{}: {} MB of pipelines are too many to keep", self.path.display(), data.len() >> 20);
            return;
        }
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let written =
            edge::busy(|| fs::create_dir_all(folder).and_then(|()| replace(&self.path, &packed(&data, &self.key))));
        if let Err(problem) = written {
            log::debug!("{}: pipelines are not kept: {problem}", self.path.display());
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.keep();
    }
}

/// A file's bytes, where there is one of a size that is kept.
fn read(path: &Path) -> Option<Vec<u8>> {
    let bytes = fs::metadata(path).ok()?.len();
    (bytes <= (MOST + 2 * HEAD.len()) as u64).then(|| fs::read(path).ok()).flatten()
}

/// The checksum of data under a key.
fn sum(data: &[u8], key: &str) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(key.as_bytes());
    crc.update(data);
    crc.sum()
}

/// A file's bytes: head, length, checksum, data.
fn packed(data: &[u8], key: &str) -> Vec<u8> {
    let (length, sum) = ((data.len() as u64).to_le_bytes(), sum(data, key).to_le_bytes());
    [&HEAD[..], &length, &sum, data].concat()
}

/// The data of a file that is whole and was written under this key.
fn unpacked<'a>(file: &'a [u8], key: &str) -> Option<&'a [u8]> {
    let (length, rest) = file.strip_prefix(&HEAD)?.split_first_chunk()?;
    let (checksum, data) = rest.split_first_chunk()?;
    let is_whole = u64::from_le_bytes(*length) == data.len() as u64 && u32::from_le_bytes(*checksum) == sum(data, key);
    is_whole.then_some(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_file_of_the_same_key_is_taken() {
        let data: Vec<u8> = (0..1000).map(|at| (at * 7 % 251) as u8).collect();
        let file = packed(&data, "one");
        assert_eq!(unpacked(&file, "one"), Some(&data[..]));
        assert_eq!(unpacked(&packed(&[], "one"), "one"), Some(&[][..]));
        assert_eq!(unpacked(&file, "two"), None, "another adapter's");
        for end in 0..file.len() {
            assert_eq!(unpacked(&file[..end], "one"), None, "torn at {end}");
        }
        assert_eq!(unpacked(&[&file[..], &[0]].concat(), "one"), None, "longer");
        for at in 0..file.len() {
            let mut other = file.clone();
            other[at] ^= 1;
            assert_eq!(unpacked(&other, "one"), None, "another byte at {at}");
        }
    }
}
