//! Lists of kernels: what a piece of work ran, as data; how such a list is improved, and run again.
//!
//! [`Device::record`](crate::Device::record) gives a [`Plan`] to look at. [`Device::capture`](crate::Device::capture)
//! runs a step and gives a [`Captured`] step, whose improved plan replays without the code that made it; a [`Replay`]
//! does both by itself.

mod memory;
mod passes;
mod replay;

pub use replay::{Captured, Replay};

use crate::device::Event;
use crate::kernel::{BufferId, Cost, Dispatch};
use std::collections::HashMap;
use std::fmt;

/// The kernels of a piece of work in the order they ran. Printed, one line a kernel.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    dispatches: Vec<Dispatch>,
    /// The bytes of each buffer that nothing outside of the list sees. Each holds one value: memory that was used again
    /// counts as another buffer.
    inner: HashMap<BufferId, u64>,
    /// Buffers from outside that were freed before the end.
    lost: Vec<BufferId>,
}

/// Numbers of inner buffers start here, far from those of a backend.
const FIRST_INNER: u64 = 1 << 63;

impl Plan {
    pub(crate) fn of(events: Vec<Event>) -> Plan {
        let mut plan = Plan { dispatches: Vec::new(), inner: HashMap::new(), lost: Vec::new() };
        let mut names: HashMap<BufferId, (BufferId, u64)> = HashMap::new();
        let mut next = FIRST_INNER;
        for event in events {
            match event {
                Event::Alloc(id, bytes) => {
                    names.insert(id, (BufferId(next), bytes));
                    next += 1;
                }
                Event::Free(id) => match names.remove(&id) {
                    Some((name, bytes)) => drop(plan.inner.insert(name, bytes)),
                    None if plan.dispatches.iter().any(|d| d.bindings.iter().any(|b| b.buffer == id)) => {
                        plan.lost.push(id);
                    }
                    None => {}
                },
                Event::Run(mut dispatch) => {
                    plan.rename(&mut dispatch, &|id| names.get(&id).map_or(id, |(name, _)| *name));
                    plan.dispatches.push(dispatch);
                }
            }
        }
        // What is still alive has a life after the list, under its own name.
        let alive: HashMap<BufferId, BufferId> = names.into_iter().map(|(id, (name, _))| (name, id)).collect();
        plan.renamed(|id| alive.get(&id).copied().unwrap_or(id))
    }

    fn rename(&self, dispatch: &mut Dispatch, name: &impl Fn(BufferId) -> BufferId) {
        for binding in &mut dispatch.bindings {
            binding.buffer = name(binding.buffer);
        }
    }

    /// The same list on other buffers.
    fn renamed(mut self, name: impl Fn(BufferId) -> BufferId) -> Plan {
        let mut dispatches = std::mem::take(&mut self.dispatches);
        for dispatch in &mut dispatches {
            self.rename(dispatch, &name);
        }
        Plan { dispatches, ..self }
    }

    /// The kernels.
    pub fn dispatches(&self) -> &[Dispatch] {
        &self.dispatches
    }

    /// Operations and bytes of all kernels together.
    pub fn cost(&self) -> Cost {
        self.dispatches.iter().fold(Cost::default(), |sum, d| {
            let cost = (d.kernel.cost)(d);
            Cost { flops: sum.flops + cost.flops, bytes: sum.bytes + cost.bytes }
        })
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for dispatch in &self.dispatches {
            let sizes: Vec<String> = dispatch.bindings.iter().map(|b| (b.bytes / 4).to_string()).collect();
            writeln!(f, "{} [{}]", dispatch.title(), sizes.join(" "))?;
        }
        Ok(())
    }
}
