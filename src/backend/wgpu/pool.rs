//! Whole buffers by size class, reused for as long as the device lives.

use crate::backend::{Counters, Purpose};
use crate::error::{Error, Result};
use crate::kernel::BufferId;
use std::collections::{BTreeSet, HashMap};

/// A buffer and the last batch of work that binds it.
pub struct Entry {
    pub buffer: wgpu::Buffer,
    class: u64,
    last_batch: u64,
}

/// All buffers of a device.
#[derive(Default)]
pub struct Pool {
    entries: HashMap<BufferId, Entry>,
    /// Ordered, so that a step that asks for the same sizes in the same order gets the same buffers.
    free: HashMap<u64, BTreeSet<BufferId>>,
    next: u64,
}

impl Pool {
    /// A free buffer of the class, or a new one. `batch` is the number of the batch that is being queued.
    pub fn alloc(
        &mut self,
        device: &wgpu::Device,
        bytes: u64,
        purpose: Purpose,
        batch: u64,
        counters: &mut Counters,
    ) -> Result<BufferId> {
        let limit = device.limits().max_storage_buffer_binding_size.min(device.limits().max_buffer_size);
        let class = size_class(bytes, limit);
        let entries = &self.entries;
        let free = self.free.entry(class).or_default();
        let idle = |id: &&BufferId| purpose == Purpose::Result || entries[id].last_batch < batch;
        if let Some(id) = free.iter().find(idle).copied() {
            free.remove(&id);
            return Ok(id);
        }
        let scope = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let buffer = device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: class,
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        if let Some(error) = pollster::block_on(scope.pop()) {
            return Err(Error::OutOfMemory(format!(
                "a buffer of {} MiB does not fit beside the {} MiB in use; use a smaller batch or model ({error})",
                class >> 20,
                counters.bytes >> 20
            )));
        }
        counters.buffers += 1;
        counters.bytes += class;
        self.next += 1;
        let id = BufferId(self.next);
        self.entries.insert(id, Entry { buffer, class, last_batch: 0 });
        Ok(id)
    }

    /// Takes a buffer back.
    pub fn free(&mut self, id: BufferId) {
        if let Some(entry) = self.entries.get(&id) {
            self.free.entry(entry.class).or_default().insert(id);
        }
    }

    /// A buffer, noted as used by `batch`.
    pub fn used(&mut self, id: BufferId, batch: u64) -> Option<&wgpu::Buffer> {
        let entry = self.entries.get_mut(&id)?;
        entry.last_batch = batch;
        Some(&entry.buffer)
    }

    /// A buffer, and whether `batch` binds it.
    pub fn look(&self, id: BufferId, batch: u64) -> Option<(&wgpu::Buffer, bool)> {
        self.entries.get(&id).map(|entry| (&entry.buffer, entry.last_batch == batch))
    }
}

/// The size that `bytes` is rounded up to: a quarter of a power of two, so that at most a fifth is unused.
pub fn size_class(bytes: u64, limit: u64) -> u64 {
    let bytes = bytes.max(1).next_multiple_of(256);
    let quarter = (bytes.next_power_of_two() / 8).max(256);
    let class = bytes.next_multiple_of(quarter);
    if class <= limit { class } else { bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_hold_what_they_are_for() {
        for bytes in [1, 4, 255, 256, 257, 1000, 4096, 4097, 1 << 20, (1 << 20) + 4, 100_000_000] {
            let class = size_class(bytes, 128 << 20);
            assert!(class >= bytes && class.is_multiple_of(256), "{bytes} -> {class}");
            assert!(class < 1024 || class * 4 <= bytes.next_multiple_of(256) * 5, "{bytes} -> {class}");
            assert_eq!(class, size_class(class, 128 << 20));
        }
        assert_eq!(size_class((128 << 20) - 256, 128 << 20), 128 << 20);
    }
}
