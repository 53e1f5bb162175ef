//! Which inner buffers of a plan can share memory: those that are never in use at once.

use super::Plan;
use crate::kernel::{Access, BufferId};
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
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

/// Bytes in MiB.
pub(crate) fn mega(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

impl fmt::Display for StepMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
    /// The slot of each buffer, and its first byte there.
    pub of: HashMap<BufferId, (usize, u64)>,
}

/// A buffer that is to be placed.
#[derive(Clone, Copy)]
struct Part {
    id: BufferId,
    bytes: u64,
    /// The places in the list of the first kernel that uses it, and of the last.
    first: usize,
    last: usize,
}

/// What a slot holds, each part at its first byte.
#[derive(Default)]
struct Slot {
    parts: Vec<(Part, u64)>,
    end: u64,
}

/// The places in a list of the first kernel that uses a buffer, and of the last.
type Life = (usize, usize);

/// What comes first where it is larger.
type Order = fn(&Part) -> (u64, u64);

/// Pairs of buffers, both ways round.
type Pairs = HashMap<BufferId, HashSet<BufferId>>;

/// Where parts of a buffer may start on any adapter.
const ALIGNMENT: u64 = 256;

/// A slot ends here, unless one buffer is larger: the least that every adapter binds at once.
const MAX_SLOT: u64 = 128 << 20;

impl Part {
    fn new(id: BufferId, bytes: u64, (first, last): Life) -> Part {
        Part { id, bytes: bytes.next_multiple_of(ALIGNMENT), first, last }
    }

    /// The number of kernels from the first that uses it to the last.
    fn span(&self) -> u64 {
        (self.last - self.first) as u64 + 1
    }
}

impl Slot {
    /// The first byte of the smallest gap that has room for a part while it is in use, or of what lies behind all.
    fn gap(&self, part: &Part) -> u64 {
        let meets = |other: &Part| part.first <= other.last && other.first <= part.last;
        let met = self.parts.iter().filter(|(other, _)| meets(other));
        let mut taken: Vec<(u64, u64)> = met.map(|(other, start)| (*start, start + other.bytes)).collect();
        taken.sort_unstable();
        let (mut end, mut best) = (0, None);
        for (from, to) in taken {
            let room = from.saturating_sub(end);
            if room >= part.bytes && best.is_none_or(|(least, _)| room < least) {
                best = Some((room, end));
            }
            end = end.max(to);
        }
        best.map_or(end, |(_, start)| start)
    }
}

impl Slots {
    /// The parts in that order, each where a slot grows the least. Those of a pair in `apart` never share a slot.
    fn of(parts: &[Part], apart: &Pairs) -> Slots {
        let (mut slots, mut of) = (Vec::<Slot>::new(), HashMap::new());
        for part in parts {
            let others = apart.get(&part.id).into_iter().flatten();
            let barred: HashSet<usize> =
                others.filter_map(|other| of.get(other)).map(|(slot, _): &(usize, u64)| *slot).collect();
            let grown = |(at, slot): (usize, &Slot)| {
                let start = slot.gap(part);
                let end = slot.end.max(start + part.bytes);
                (end == slot.end || end <= MAX_SLOT).then(|| (end - slot.end, at, start))
            };
            let free = slots.iter().enumerate().filter(|(at, _)| !barred.contains(at));
            let (_, at, start) = free.filter_map(grown).min().unwrap_or((part.bytes, slots.len(), 0));
            if at == slots.len() {
                slots.push(Slot::default());
            }
            slots[at].parts.push((*part, start));
            slots[at].end = slots[at].end.max(start + part.bytes);
            of.insert(part.id, (at, start));
        }
        Slots { sizes: slots.iter().map(|slot| slot.end).collect(), of }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.sizes.iter().sum()
    }
}

impl Plan {
    /// The bytes that the inner buffers take where those share memory that are never in use at once.
    pub fn planned_bytes(&self) -> u64 {
        self.slots().bytes()
    }

    /// The most bytes of inner buffers that are in use at once: none can take less.
    pub fn least_bytes(&self) -> u64 {
        let mut changes = vec![[0u64; 2]; self.dispatches.len() + 1];
        for (id, (first, last)) in self.lives() {
            let bytes = self.inner[&id].next_multiple_of(ALIGNMENT);
            changes[first][0] += bytes;
            changes[last + 1][1] += bytes;
        }
        let mut used = 0;
        let after = changes.iter().map(|[more, less]| {
            used = used + more - less;
            used
        });
        after.max().unwrap_or(0)
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

    fn lives(&self) -> HashMap<BufferId, Life> {
        let mut lives: HashMap<BufferId, Life> = HashMap::new();
        for (at, dispatch) in self.dispatches.iter().enumerate() {
            for binding in dispatch.bindings.iter().filter(|b| self.inner.contains_key(&b.buffer)) {
                lives.entry(binding.buffer).or_insert((at, at)).1 = at;
            }
        }
        lives
    }

    /// Pairs of inner buffers of which some kernel reads one and writes the other: it cannot do both to one buffer.
    fn apart(&self) -> Pairs {
        let mut apart = Pairs::new();
        for dispatch in &self.dispatches {
            let bound = || dispatch.bindings.iter().map(|b| b.buffer).zip(dispatch.kernel.access);
            for (read, _) in bound().filter(|(_, access)| **access == Access::Read) {
                for (written, _) in bound().filter(|(_, access)| **access != Access::Read) {
                    apart.entry(read).or_default().insert(written);
                    apart.entry(written).or_default().insert(read);
                }
            }
        }
        apart
    }

    /// The best of four orders: by size, by how long buffers are in use, by both, and as they come.
    pub(crate) fn slots(&self) -> Slots {
        let (lives, apart) = (self.lives(), self.apart());
        let mut all: Vec<Part> = lives.iter().map(|(id, life)| Part::new(*id, self.inner[id], *life)).collect();
        all.sort_by_key(|part| part.id);
        let orders: [Order; 4] = [
            |part| (part.bytes, 0),
            |part| (part.bytes * part.span(), 0),
            |part| (part.span(), part.bytes),
            |part| (u64::MAX - part.first as u64, part.bytes),
        ];
        let placed = orders.map(|order| {
            all.sort_by_key(|part| (Reverse(order(part)), part.id));
            Slots::of(&all, &apart)
        });
        placed.into_iter().min_by_key(Slots::bytes).unwrap_or_default()
    }

    /// The same list with each inner buffer in its slot's place.
    pub(crate) fn placed(mut self, slots: &Slots, places: &[BufferId]) -> Plan {
        for binding in self.dispatches.iter_mut().flat_map(|dispatch| &mut dispatch.bindings) {
            if let Some((slot, start)) = slots.of.get(&binding.buffer) {
                (binding.buffer, binding.offset) = (places[*slot], binding.offset + start);
            }
        }
        self
    }
}
