//! Queued work: dispatches gather in a list and go out as one compute pass and one submit.

use super::clock::Clock;
use super::pipelines::Pipeline;
use super::pool::Pool;
use crate::backend::{Counters, Title, edge};
use crate::error::{Error, Result};
use crate::kernel::BufferId;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

/// The bytes of one slot of a uniform buffer: every adapter takes offsets that are multiples of 256.
pub const SLOT: u64 = 256;
/// Passes that one submit may hold; also the slots of the uniform ring.
const MAX_PASSES: usize = 2048;
/// Operations that one submit may hold: a driver's watchdog resets a device that is silent for about two seconds.
pub const MAX_FLOPS: u64 = 400_000_000_000;
/// Submits that may be under way before the queue waits for the oldest.
const MAX_IN_FLIGHT: usize = 3;
/// The most bind groups that are kept.
const MAX_BIND_GROUPS: usize = 8192;

/// A range of a buffer as a bind group sees it: buffer, offset, length.
pub type Range = (BufferId, u64, u64);

/// A pass on its way into the list.
pub struct Run<'a> {
    pub pipeline: Arc<Pipeline>,
    pub ranges: Vec<Range>,
    pub params: &'a [u8],
    pub grid: [u32; 2],
    pub title: Option<Arc<Title>>,
}

/// A pass that is ready to be encoded.
#[derive(Clone)]
pub struct Command {
    pub pipeline: Arc<Pipeline>,
    pub bind_group: wgpu::BindGroup,
    /// The start of its parameters in the uniform buffer that the bind group holds.
    pub slot: u32,
    pub grid: [u32; 2],
    /// Its title; a pass that is queued by itself knows it only while a profile is taken.
    pub title: Option<Arc<Title>>,
}

/// Work that waits to be sent out.
enum Work {
    One(Command),
    /// This part of a list that is ready.
    Many(Arc<[Command]>, std::ops::Range<usize>),
}

impl Command {
    /// Encodes it into a pass whose pipeline is set.
    pub fn dispatch(&self, pass: &mut wgpu::ComputePass) {
        pass.set_bind_group(0, &self.bind_group, &[self.slot]);
        pass.dispatch_workgroups(self.grid[0], self.grid[1], 1);
    }
}

fn commands(pending: &[Work]) -> impl Iterator<Item = &Command> {
    pending.iter().flat_map(|work| match work {
        Work::One(command) => std::slice::from_ref(command),
        Work::Many(commands, part) => &commands[part.clone()],
    })
}

/// Values that were used lately, by their keys: at least half of the most it may hold, of those used last.
pub struct Cache<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    most: usize,
}

impl<K: std::hash::Hash + Eq, V: Clone> Cache<K, V> {
    pub fn new(most: usize) -> Cache<K, V> {
        Cache { young: HashMap::new(), old: HashMap::new(), most }
    }

    /// The value that is kept for the key, or that `make` gives.
    pub fn get(&mut self, key: K, make: impl FnOnce(&K) -> V) -> V {
        if let Some(value) = self.young.get(&key) {
            return value.clone();
        }
        if self.young.len() >= self.most / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        let value = self.old.remove(&key).unwrap_or_else(|| make(&key));
        self.young.insert(key, value.clone());
        value
    }

    /// Keeps only some.
    pub fn retain(&mut self, keep: impl Fn(&K) -> bool) {
        self.young.retain(|key, _| keep(key));
        self.old.retain(|key, _| keep(key));
    }
}

/// The pending list of a device and its caches.
pub struct Queue {
    pending: Vec<Work>,
    passes: usize,
    flops: u64,
    uniforms: Vec<u8>,
    ring: wgpu::Buffer,
    bind_groups: Cache<(u32, Vec<Range>), wgpu::BindGroup>,
    in_flight: VecDeque<wgpu::SubmissionIndex>,
    /// Times passes, where a profile is taken.
    pub clock: Option<Clock>,
    /// The number of the batch that is being queued.
    pub batch: u64,
}

impl Queue {
    pub fn new(device: &wgpu::Device) -> Queue {
        let ring = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("parameters"),
            size: SLOT * MAX_PASSES as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        Queue {
            pending: Vec::new(),
            passes: 0,
            flops: 0,
            uniforms: Vec::new(),
            ring,
            bind_groups: Cache::new(MAX_BIND_GROUPS),
            in_flight: VecDeque::new(),
            clock: None,
            batch: 1,
        }
    }

    /// Whether the next pass has to wait for a submit.
    pub fn is_full(&self) -> bool {
        self.passes >= MAX_PASSES || self.flops >= MAX_FLOPS
    }

    /// Counts a kernel's operations towards the bound of a submit.
    pub fn add_flops(&mut self, flops: u64) {
        self.flops = self.flops.saturating_add(flops);
    }

    /// Appends one pass.
    pub fn push(&mut self, device: &wgpu::Device, pool: &mut Pool, run: Run, counters: &mut Counters) {
        let Run { pipeline, ranges, params, grid, title } = run;
        // What the host writes reaches the device before the pending passes do: it may not be a buffer that these bind.
        for &(id, ..) in &ranges {
            pool.used(id, self.batch);
        }
        let slot = self.uniforms.len() as u32;
        self.uniforms.extend_from_slice(params);
        self.uniforms.resize(slot as usize + SLOT as usize, 0);
        // Steps repeat and buffers are given out in the same order, so that a step asks for the groups of the step before;
        // parameters change, and lie behind a dynamic offset.
        let key = (pipeline.layout.id, ranges);
        let bind_group = self.bind_groups.get(key, |(_, ranges)| {
            counters.bind_groups += 1;
            bind_group(device, pool, &pipeline, ranges, &self.ring)
        });
        counters.passes += 1;
        self.passes += 1;
        self.pending.push(Work::One(Command { pipeline, bind_group, slot, grid, title }));
    }

    /// Appends some of the passes that are ready, with their operations.
    pub fn push_ready(
        &mut self,
        commands: Arc<[Command]>,
        part: std::ops::Range<usize>,
        flops: u64,
        counters: &mut Counters,
    ) {
        counters.passes += part.len() as u64;
        self.passes += part.len();
        self.add_flops(flops);
        self.pending.push(Work::Many(commands, part));
    }

    /// Sends out what is pending, then `after` on the same encoder.
    pub fn submit(
        &mut self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        counters: &mut Counters,
        after: impl FnOnce(&mut wgpu::CommandEncoder),
    ) -> wgpu::SubmissionIndex {
        // One upload for all passes: wgpu orders it before the encoder that is submitted next.
        if !self.uniforms.is_empty() {
            queue.write_buffer(&self.ring, 0, &self.uniforms);
        }
        // While times are taken each pass is a submit of its own.
        if let Some(clock) = &mut self.clock {
            clock.run(device, queue, commands(&self.pending));
            self.pending.clear();
        }
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: None });
        if !self.pending.is_empty() {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            let mut current: Option<&Arc<Pipeline>> = None;
            for command in commands(&self.pending) {
                if current.is_none_or(|last| !Arc::ptr_eq(last, &command.pipeline)) {
                    pass.set_pipeline(&command.pipeline.pipeline);
                    current = Some(&command.pipeline);
                }
                command.dispatch(&mut pass);
            }
        }
        self.pending.clear();
        self.passes = 0;
        self.uniforms.clear();
        self.flops = 0;
        after(&mut encoder);
        let index = queue.submit([encoder.finish()]);
        counters.submits += 1;
        self.batch += 1;
        self.in_flight.push_back(index.clone());
        // A host that runs ahead would only fill memory: what is freed comes back when its batch has run.
        while self.in_flight.len() > MAX_IN_FLIGHT {
            let oldest = self.in_flight.pop_front();
            // A lost device reports itself through its callback.
            let _ = wait(device, oldest);
        }
        index
    }

    /// Drops the bind groups of these buffers, which are no more.
    pub fn forget(&mut self, buffers: &HashSet<BufferId>) {
        self.bind_groups.retain(|(_, ranges)| ranges.iter().all(|(id, ..)| !buffers.contains(id)));
    }

    /// Whether nothing is pending.
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }
}

/// Waits until a submit is done, or all of them are. In a browser, where nobody can wait, the device goes on by itself.
pub fn wait(device: &wgpu::Device, submission_index: Option<wgpu::SubmissionIndex>) -> Result<()> {
    if !edge::CAN_WAIT {
        return Err(edge::cannot_wait("a device's work"));
    }
    let waited = device.poll(wgpu::PollType::Wait { submission_index, timeout: None });
    waited.map(drop).map_err(|e| Error::Device(format!("the device does not answer: {e}")))
}

/// A pass's buffers, with its slot of `uniforms` as a dynamic offset.
pub fn bind_group(
    device: &wgpu::Device,
    pool: &Pool,
    pipeline: &Pipeline,
    ranges: &[Range],
    uniforms: &wgpu::Buffer,
) -> wgpu::BindGroup {
    let storage = ranges.iter().map(|&(id, offset, bytes)| {
        let (buffer, _) = pool.look(id, 0).expect("bound buffers are live");
        // Whole vec4s, which every size class and slab range has room for; a range may end behind its buffer.
        let size = bytes.next_multiple_of(16).min(buffer.size() - offset);
        wgpu::BufferBinding { buffer, offset, size: std::num::NonZeroU64::new(size) }
    });
    let uniform = wgpu::BufferBinding { buffer: uniforms, offset: 0, size: std::num::NonZeroU64::new(SLOT) };
    let entries: Vec<wgpu::BindGroupEntry> = storage
        .chain([uniform])
        .enumerate()
        .map(|(at, binding)| wgpu::BindGroupEntry {
            binding: at as u32,
            resource: wgpu::BindingResource::Buffer(binding),
        })
        .collect();
    device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &pipeline.layout.bindings,
        entries: &entries,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_keeps_what_was_used_lately() {
        let (mut cache, mut made) = (Cache::new(8), 0);
        for at in 0..10_000 {
            let mut asked = |key| cache.get(key, |key| (made += 1, *key).1);
            assert_eq!((asked(at + 1), asked(0)), (at + 1, 0), "one that comes once, one that comes again and again");
        }
        assert_eq!(made, 10_001);
        assert!(cache.young.len() + cache.old.len() <= 8);
        cache.retain(|key| *key == 0);
        assert_eq!(cache.young.len() + cache.old.len(), 1);
    }
}
