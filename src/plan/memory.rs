//! Which inner buffers of a plan can share memory: those that are never in use at once.

use super::Plan;
use crate::kernel::BufferId;
use std::collections::HashMap;
use std::fmt;

/// The memory of a step ([`Device::estimate`](crate::Device::estimate)), in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepMemory {
    /// Its inputs.
    pub inputs: u64,
    /// What is there before it or outlives it: weights, their gradients and moments, statistics, results.
    pub kept: u64,
    /// What it works in: activations and their gradients, where those share memory that are never in use at once. A GPU's
    /// kernels may need some more while they run.
    pub planned: u64,
}

impl StepMemory {
    /// All of it.
    pub fn total(&self) -> u64 {
        self.inputs + self.kept + self.planned
    }
}

impl fmt::Display for StepMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mega = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let [inputs, kept, planned] = [self.inputs, self.kept, self.planned].map(mega);
        let total = mega(self.total());
        write!(
            f,
            "{total:.1} MiB: {inputs:.1} of inputs, {kept:.1} of weights and what belongs to them, {planned:.1} of activations"
        )
    }
}

/// The memory that a plan's inner buffers take.
#[derive(Debug, Default)]
pub struct Slots {
    /// The bytes of each slot.
    pub sizes: Vec<u64>,
    /// The slot of each buffer.
    pub of: HashMap<BufferId, usize>,
}

impl Plan {
    /// The bytes that the inner buffers take where those share memory that are never in use at once.
    pub fn planned_bytes(&self) -> u64 {
        self.slots().sizes.iter().sum()
    }

    /// The bytes of what outlives the plan, without these.
    pub(super) fn kept_bytes(&self, without: &[BufferId]) -> u64 {
        let mut ends: HashMap<BufferId, u64> = HashMap::new();
        for binding in self.dispatches.iter().flat_map(|dispatch| &dispatch.bindings) {
            if !self.inner.contains_key(&binding.buffer) && !without.contains(&binding.buffer) {
                let end = ends.entry(binding.buffer).or_default();
                *end = (*end).max(binding.offset + binding.bytes);
            }
        }
        ends.into_values().sum()
    }

    /// The largest buffers first, each into the smallest slot that is free for as long as it is in use. A dispatch
    /// cannot read and write one buffer, so that what ends where another begins does not share with it.
    pub(crate) fn slots(&self) -> Slots {
        let mut lives: HashMap<BufferId, (usize, usize)> = HashMap::new();
        for (at, dispatch) in self.dispatches.iter().enumerate() {
            for binding in dispatch.bindings.iter().filter(|b| self.inner.contains_key(&b.buffer)) {
                lives.entry(binding.buffer).or_insert((at, at)).1 = at;
            }
        }
        let mut order: Vec<(u64, BufferId)> = lives.keys().map(|id| (self.inner[id], *id)).collect();
        order.sort_by_key(|&(bytes, id)| (std::cmp::Reverse(bytes), id));
        let mut slots = Slots::default();
        let mut taken: Vec<Vec<(usize, usize)>> = Vec::new();
        for (bytes, id) in order {
            let (first, last) = lives[&id];
            let is_free = |slot: &Vec<(usize, usize)>| slot.iter().all(|(from, to)| last < *from || *to < first);
            // Slots only get smaller, so that the last free one is the smallest.
            let slot = taken.iter().rposition(is_free).unwrap_or_else(|| {
                slots.sizes.push(bytes);
                taken.push(Vec::new());
                taken.len() - 1
            });
            taken[slot].push((first, last));
            slots.of.insert(id, slot);
        }
        slots
    }

    /// The same list with each inner buffer in its slot's place.
    pub(crate) fn placed(self, slots: &Slots, places: &[BufferId]) -> Plan {
        self.renamed(|id| slots.of.get(&id).map_or(id, |slot| places[*slot]))
    }
}
