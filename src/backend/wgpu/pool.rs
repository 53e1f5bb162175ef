//! Whole buffers by size class. Those that are free are reused, and kept by how much was in use lately.

use super::failure::Failure;
use crate::backend::memory::{Usage, size_class};
use crate::backend::{Counters, Purpose};
use crate::error::{Error, Result, sizes};
use crate::kernel::BufferId;
use futures::FutureExt;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A buffer and the last batch of work that binds it.
struct Entry {
    buffer: wgpu::Buffer,
    class: u64,
    last_batch: u64,
    /// When it was freed, while it is free.
    freed: u64,
}

/// All buffers of a device.
#[derive(Default)]
pub struct Pool {
    entries: HashMap<BufferId, Entry>,
    /// Ordered, so that a step that asks for the same sizes in the same order gets the same buffers.
    free: HashMap<u64, BTreeSet<BufferId>>,
    /// The free ones, those that are free for longest first.
    oldest: BTreeMap<u64, BufferId>,
    usage: Usage,
    next: u64,
    clock: u64,
    /// Buffers that were dropped, whose memory bind groups may still keep, and their bytes.
    dropped: (Vec<BufferId>, u64),
}

/// The device for a new buffer, and the number of the batch that is being queued.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    pub device: &'a wgpu::Device,
    pub queue: &'a wgpu::Queue,
    pub failure: &'a Failure,
    pub batch: u64,
    /// The word that fills memory before anybody has it.
    pub fill: Option<u32>,
}

impl Pool {
    /// A free buffer of the class, or a new one.
    pub fn alloc(&mut self, ask: Ask, bytes: u64, purpose: Purpose, counters: &mut Counters) -> Result<BufferId> {
        // What is filled is written by the host first.
        let purpose = if ask.fill.is_some() { Purpose::Upload } else { purpose };
        let limits = ask.device.limits();
        let limit = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
        if bytes > limit {
            let [bytes, limit] = sizes([bytes, limit]);
            return Err(Error::Limit(format!("a buffer of {bytes} is over the {limit} that the adapter allows")));
        }
        let class = size_class(bytes, limit);
        let id = match self.take(class, purpose, ask.batch) {
            Some(id) => id,
            None => self.make(ask, class, counters)?,
        };
        if let Some(word) = ask.fill {
            let words = vec![word; (class / 4) as usize];
            ask.queue.write_buffer(&self.entries[&id].buffer, 0, bytemuck::cast_slice(&words));
        }
        Ok(id)
    }

    fn take(&mut self, class: u64, purpose: Purpose, batch: u64) -> Option<BufferId> {
        let free = self.free.get_mut(&class)?;
        let idle = |id: &&BufferId| purpose == Purpose::Result || self.entries[id].last_batch < batch;
        let id = free.iter().find(idle).copied()?;
        free.remove(&id);
        self.oldest.remove(&self.entries[&id].freed);
        self.usage.took(class, false);
        Some(id)
    }

    fn make(&mut self, ask: Ask, class: u64, counters: &mut Counters) -> Result<BufferId> {
        let scope = ask.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let buffer = ask.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: class,
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let used = counters.bytes;
        let refused = move |error: wgpu::Error| {
            let [asked, used] = sizes([class, used]);
            Error::OutOfMemory {
                bytes: Some(class),
                problem: format!(
                    "a buffer of {asked} does not fit beside the {used} in use; use a smaller batch or model ({error})"
                ),
            }
        };
        ask.failure.caught(scope.pop().map(move |caught| caught.map(refused)))?;
        counters.buffers += 1;
        counters.bytes += class;
        self.usage.took(class, true);
        self.next += 1;
        let id = BufferId(self.next);
        self.entries.insert(id, Entry { buffer, class, last_batch: 0, freed: 0 });
        Ok(id)
    }

    /// Takes a buffer back.
    pub fn free(&mut self, id: BufferId, counters: &mut Counters) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        self.clock += 1;
        entry.freed = self.clock;
        self.free.entry(entry.class).or_default().insert(id);
        self.oldest.insert(self.clock, id);
        self.usage.gave(entry.class);
        while self.usage.is_over() && self.drop_oldest(counters) {}
    }

    /// Drops the buffer that is free for longest, if there is one.
    pub fn drop_oldest(&mut self, counters: &mut Counters) -> bool {
        let Some((_, id)) = self.oldest.pop_first() else { return false };
        let entry = self.entries.remove(&id).expect("free buffers exist");
        if let Some(free) = self.free.get_mut(&entry.class) {
            free.remove(&id);
        }
        self.usage.dropped(entry.class);
        counters.bytes -= entry.class;
        self.dropped.0.push(id);
        self.dropped.1 += entry.class;
        true
    }

    /// The buffers that were dropped since the last call, once they are worth a look at all bind groups.
    pub fn dropped(&mut self) -> Option<Vec<BufferId>> {
        let (buffers, bytes) = &self.dropped;
        (buffers.len() >= 256 || *bytes > 16 << 20).then(|| std::mem::take(&mut self.dropped).0)
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
