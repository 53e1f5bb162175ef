//! Lists of kernels: what a piece of work ran, as data; how such a list is improved, and run again.
//!
//! [`Device::record`](crate::Device::record) gives a [`Plan`] to look at. [`Device::capture`](crate::Device::capture)
//! runs a step and gives a [`Captured`] step, whose improved plan replays without the code that made it; a [`Replay`]
//! does both by itself.

mod capture;
mod memory;
mod passes;
mod replay;
mod seam;
mod trace;
mod values;

pub use capture::Captured;
pub use memory::StepMemory;
pub(crate) use memory::mega;
pub use replay::Replay;
pub use values::{Inputs, Outputs};

use crate::device::Event;
use crate::kernel::{Access, BufferId, Cost, Dispatch};
use std::collections::HashMap;
use std::fmt;
use std::panic::Location;

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

/// A recording in which each buffer has a name of its own: memory that was used again counts as another buffer.
struct Named {
    kernels: Vec<(Dispatch, &'static Location<'static>)>,
    /// The buffers that were made, by name, with their bytes.
    made: HashMap<BufferId, u64>,
    /// The names of those that are alive.
    alive: HashMap<BufferId, BufferId>,
    /// Buffers from outside that were freed before the end.
    lost: Vec<BufferId>,
}

impl Named {
    fn of(events: Vec<Event>) -> Named {
        let mut out = Named { kernels: Vec::new(), made: HashMap::new(), alive: HashMap::new(), lost: Vec::new() };
        for event in events {
            match event {
                Event::Alloc(id, bytes) => {
                    let name = BufferId(FIRST_INNER + out.made.len() as u64);
                    out.made.insert(name, bytes);
                    out.alive.insert(id, name);
                }
                Event::Free(id) => {
                    let binds = |d: &Dispatch| d.bindings.iter().any(|b| b.buffer == id);
                    if out.alive.remove(&id).is_none() && out.kernels.iter().any(|(d, _)| binds(d)) {
                        out.lost.push(id);
                    }
                }
                Event::Run(mut dispatch, line) => {
                    rename(&mut dispatch, |id| out.alive.get(&id).copied().unwrap_or(id));
                    out.kernels.push((dispatch, line));
                }
            }
        }
        out
    }
}

fn rename(dispatch: &mut Dispatch, name: impl Fn(BufferId) -> BufferId) {
    for binding in &mut dispatch.bindings {
        binding.buffer = name(binding.buffer);
    }
}

fn access_of(dispatch: &Dispatch, binding: usize) -> Access {
    dispatch.kernel.access[binding]
}

impl Plan {
    pub(crate) fn of(events: Vec<Event>) -> Plan {
        Named::of(events).into()
    }

    /// The same list on other buffers.
    fn renamed(mut self, name: impl Fn(BufferId) -> BufferId) -> Plan {
        let mut dispatches = std::mem::take(&mut self.dispatches);
        for dispatch in &mut dispatches {
            rename(dispatch, &name);
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

impl From<Named> for Plan {
    fn from(named: Named) -> Plan {
        let Named { kernels, made, alive, lost } = named;
        // What is still alive has a life after the list, under its own name.
        let outside: HashMap<BufferId, BufferId> = alive.into_iter().map(|(id, name)| (name, id)).collect();
        let inner = made.into_iter().filter(|(name, _)| !outside.contains_key(name)).collect();
        let dispatches = kernels.into_iter().map(|(dispatch, _)| dispatch).collect();
        Plan { dispatches, inner, lost }.renamed(|id| outside.get(&id).copied().unwrap_or(id))
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for dispatch in &self.dispatches {
            let sizes: Vec<String> = dispatch.bindings.iter().map(|b| b.numel().to_string()).collect();
            writeln!(f, "{} [{}]", dispatch.title(), sizes.join(" "))?;
        }
        Ok(())
    }
}
