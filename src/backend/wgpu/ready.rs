//! Lists that are lowered once: pipelines, bind groups and grids in the order they are encoded.

use super::pipelines::Pipeline;
use super::pool::{Ask, Pool};
use super::queue::{Command, MAX_FLOPS, Range, SLOT, bind_group};
use crate::backend::{Counters, Purpose, Title};
use crate::error::Result;
use crate::kernel::BufferId;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Sets of inputs whose commands are kept.
const MAX_INPUTS: usize = 16;

/// A list of kernels, ready to be encoded.
pub struct Ready {
    commands: Vec<Command>,
    /// The commands that bind an input, with what they bind.
    open: Vec<(usize, Vec<Range>)>,
    inputs: Vec<BufferId>,
    /// The commands for each set of inputs so far.
    bound: HashMap<Vec<BufferId>, Arc<[Command]>>,
    /// Every buffer that is bound, inputs left out.
    buffers: Vec<BufferId>,
    uniforms: wgpu::Buffer,
    scratch: Scratch,
    /// Parts that go out together: the end of each, and its operations.
    pub parts: Vec<(usize, u64)>,
}

/// A pass of the list.
pub struct Step {
    pub pipeline: Arc<Pipeline>,
    pub ranges: Vec<Range>,
    pub params: Vec<u8>,
    pub grid: [u32; 2],
    pub title: Arc<Title>,
}

impl Ready {
    pub fn new(
        (device, queue): (&wgpu::Device, &wgpu::Queue),
        pool: &Pool,
        steps: Vec<Step>,
        inputs: &[BufferId],
        scratch: Scratch,
    ) -> Ready {
        let parts = parts(steps.iter().map(|step| step.title.cost.flops));
        let uniforms = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("parameters of a list"),
            size: SLOT * steps.len().max(1) as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut bytes = Vec::with_capacity(SLOT as usize * steps.len());
        let (mut commands, mut open, mut buffers) = (Vec::with_capacity(steps.len()), Vec::new(), Vec::new());
        for (at, Step { pipeline, ranges, params, grid, title }) in steps.into_iter().enumerate() {
            bytes.extend_from_slice(&params);
            bytes.resize(SLOT as usize * (at + 1), 0);
            let bind_group = bind_group(device, pool, &pipeline, &ranges, &uniforms);
            let (slot, title) = ((SLOT as usize * at) as u32, Some(title));
            commands.push(Command { pipeline, bind_group, slot, grid, title });
            buffers.extend(ranges.iter().map(|(id, ..)| *id).filter(|id| !inputs.contains(id)));
            if ranges.iter().any(|(id, ..)| inputs.contains(id)) {
                open.push((at, ranges));
            }
        }
        queue.write_buffer(&uniforms, 0, &bytes);
        buffers.sort_unstable();
        buffers.dedup();
        let (inputs, bound) = (inputs.to_vec(), HashMap::new());
        Ready { commands, open, inputs, bound, buffers, uniforms, scratch, parts }
    }

    /// The commands with `inputs` in the place of the list's own.
    pub fn bind(
        &mut self,
        device: &wgpu::Device,
        pool: &Pool,
        inputs: &[BufferId],
        counters: &mut Counters,
    ) -> Arc<[Command]> {
        if let Some(commands) = self.bound.get(inputs) {
            return commands.clone();
        }
        if self.bound.len() >= MAX_INPUTS {
            self.bound.clear();
        }
        let swapped = |id: BufferId| self.inputs.iter().position(|own| *own == id).map_or(id, |at| inputs[at]);
        let mut commands = self.commands.clone();
        for (at, ranges) in &self.open {
            let ranges: Vec<Range> = ranges.iter().map(|&(id, from, bytes)| (swapped(id), from, bytes)).collect();
            commands[*at].bind_group = bind_group(device, pool, &commands[*at].pipeline, &ranges, &self.uniforms);
            counters.bind_groups += 1;
        }
        let commands: Arc<[Command]> = commands.into();
        self.bound.insert(inputs.to_vec(), commands.clone());
        commands
    }

    /// Tells the pool that the list is in this batch, with `inputs`.
    pub fn is_in(&self, batch: u64, pool: &mut Pool, inputs: &[BufferId]) {
        for id in self.buffers.iter().chain(inputs) {
            pool.used(*id, batch);
        }
    }

    /// The bytes of its scratch memory.
    pub fn scratch_bytes(&self) -> u64 {
        self.scratch.all.iter().map(|(_, bytes)| bytes).sum()
    }

    /// Drops the commands for inputs that are no more.
    pub fn drop_inputs(&mut self, buffers: &HashSet<BufferId>) {
        self.bound.retain(|inputs, _| inputs.iter().all(|id| !buffers.contains(id)));
    }

    /// Gives its memory back.
    pub fn free(self, pool: &mut Pool, counters: &mut Counters) {
        self.scratch.free(pool, counters);
    }
}

/// Cuts a list so that no submit holds many more operations than [`MAX_FLOPS`], as those of work that is queued.
fn parts(flops: impl ExactSizeIterator<Item = u64>) -> Vec<(usize, u64)> {
    let (count, mut parts, mut sum) = (flops.len(), Vec::new(), 0u64);
    for (at, flops) in flops.enumerate() {
        sum = sum.saturating_add(flops);
        if sum >= MAX_FLOPS || at + 1 == count {
            parts.push((at + 1, std::mem::take(&mut sum)));
        }
    }
    parts
}

/// Scratch buffers of a list: each kernel takes what it needs, and the next takes the same again.
#[derive(Default)]
pub struct Scratch {
    all: Vec<(BufferId, u64)>,
}

impl Scratch {
    /// Buffers of these sizes, all different.
    pub fn take(
        &mut self,
        sizes: &[u64],
        pool: &mut Pool,
        ask: Ask,
        counters: &mut Counters,
    ) -> Result<Vec<(BufferId, u64)>> {
        let mut taken: Vec<(BufferId, u64)> = Vec::with_capacity(sizes.len());
        for &bytes in sizes {
            let is_free = |(id, size): &&(BufferId, u64)| *size >= bytes && taken.iter().all(|(other, _)| other != id);
            let id = match self.all.iter().filter(is_free).min_by_key(|(_, size)| *size) {
                Some((id, _)) => *id,
                None => {
                    let id = pool.alloc(ask, bytes, Purpose::Result, counters)?;
                    self.all.push((id, bytes));
                    id
                }
            };
            taken.push((id, bytes));
        }
        Ok(taken)
    }

    /// Gives all of it back.
    pub fn free(self, pool: &mut Pool, counters: &mut Counters) {
        for (id, _) in self.all {
            pool.free(id, counters);
        }
    }
}
