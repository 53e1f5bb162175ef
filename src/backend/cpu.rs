//! The reference: each kernel's twin, run at once on the host's memory.

use super::{Backend, Counters, List, Purpose, Span, Title};
use crate::error::{Error, Result};
use crate::kernel::scratch::Scratch;
use crate::kernel::{Access, Binding, BufferId, Call, Class, Dispatch, Info, Slice, parallel};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Kernels run as plain Rust.
pub struct Cpu {
    info: Info,
    state: Mutex<State>,
    scratch: Scratch,
}

#[derive(Default)]
struct State {
    next: u64,
    buffers: HashMap<BufferId, Vec<u32>>,
    /// Freed memory by length: a training step asks for the same sizes again.
    pool: HashMap<usize, Vec<Vec<u32>>>,
    counters: Counters,
    /// The kernels so far, where they are timed, and when that began.
    profile: Option<(Instant, Vec<Span>)>,
}

impl Cpu {
    /// The host's processor.
    pub fn new() -> Cpu {
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
        let info = Info {
            name: format!("CPU backend ({threads} threads)"),
            api: "cpu".into(),
            driver: String::new(),
            class: Class::Host,
            subgroup: None,
            max_binding_bytes: u64::from(u32::MAX) * 4,
            max_groups: u32::MAX,
            max_threads: 1,
            max_shared_bytes: 0,
        };
        Cpu { info, state: Mutex::default(), scratch: Scratch::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A twin that panicked leaves whole buffers behind, so the state stays usable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Cpu {
    fn default() -> Cpu {
        Cpu::new()
    }
}

fn words(bytes: u64) -> usize {
    bytes.div_ceil(4) as usize
}

impl Backend for Cpu {
    fn info(&self) -> &Info {
        &self.info
    }

    fn alloc(&self, bytes: u64, _purpose: Purpose) -> BufferId {
        let mut state = self.state();
        state.next += 1;
        let id = BufferId(state.next);
        let len = words(bytes);
        let memory = state.pool.get_mut(&len).and_then(Vec::pop).unwrap_or_else(|| {
            state.counters.buffers += 1;
            state.counters.bytes += len as u64 * 4;
            vec![0; len]
        });
        state.buffers.insert(id, memory);
        id
    }

    fn free(&self, buffer: BufferId) {
        let mut state = self.state();
        if let Some(memory) = state.buffers.remove(&buffer) {
            state.pool.entry(memory.len()).or_default().push(memory);
        }
    }

    fn write(&self, buffer: BufferId, offset: u64, data: &[u8]) {
        let mut state = self.state();
        let memory = state.buffers.get_mut(&buffer).expect("a live buffer");
        let target: &mut [u8] = bytemuck::cast_slice_mut(memory);
        target[offset as usize..offset as usize + data.len()].copy_from_slice(data);
    }

    fn read(&self, buffer: BufferId, offset: u64, bytes: u64) -> Result<Vec<u8>> {
        let state = self.state();
        let memory = state.buffers.get(&buffer).ok_or_else(|| Error::Device("a freed buffer was read".into()))?;
        let source: &[u8] = bytemuck::cast_slice(memory);
        Ok(source[offset as usize..(offset + bytes) as usize].to_vec())
    }

    fn dispatch(&self, dispatch: &Dispatch) {
        let state = &mut *self.state();
        state.counters.dispatches += 1;
        state.counters.passes += 1;
        let accesses = || dispatch.bindings.iter().zip(dispatch.kernel.access).enumerate();
        // What is written leaves the map while the twin runs, so that the borrow checker sees it apart from what is read.
        let mut written: Vec<(BufferId, Vec<u32>)> = Vec::new();
        for (_, (b, access)) in accesses() {
            if *access != Access::Read && written.iter().all(|(id, _)| *id != b.buffer) {
                written.push((b.buffer, state.buffers.remove(&b.buffer).expect("written buffers are live")));
            }
        }
        let mut slices: Vec<(usize, Slice)> = Vec::with_capacity(dispatch.bindings.len());
        for (id, memory) in &mut written {
            // Parts of one buffer, such as places in a slab, in the order they lie.
            let own = accesses().filter(|(_, (b, access))| b.buffer == *id && **access != Access::Read);
            let mut parts: Vec<(usize, &Binding)> = own.map(|(at, (b, _))| (at, b)).collect();
            parts.sort_by_key(|(_, b)| b.offset);
            let (mut rest, mut done) = (memory.as_mut_slice(), 0);
            for (at, b) in parts {
                let (part, after) = rest[words(b.offset) - done..].split_at_mut(words(b.bytes));
                slices.push((at, Slice::Write(part)));
                (rest, done) = (after, words(b.offset) + words(b.bytes));
            }
        }
        for (at, (b, _)) in accesses().filter(|(_, (_, access))| **access == Access::Read) {
            let memory =
                state.buffers.get(&b.buffer).expect("read buffers are live and not written by the same kernel");
            slices.push((at, Slice::Read(&memory[words(b.offset)..words(b.offset) + words(b.bytes)])));
        }
        slices.sort_by_key(|(at, _)| *at);
        let slices = slices.into_iter().map(|(_, slice)| slice).collect();
        let started = state.profile.as_ref().map(|(origin, _)| origin.elapsed());
        (dispatch.kernel.twin)(&mut Call::new(slices, &dispatch.params, &self.scratch));
        if let (Some(start), Some((origin, spans))) = (started, &mut state.profile) {
            let kernel = dispatch.kernel;
            let (label, cost) = (dispatch.label.clone(), (kernel.cost)(dispatch));
            let title = Arc::new(Title { kernel: kernel.name, variant: "", entry: kernel.name, label, cost });
            let ns = (origin.elapsed() - start).as_nanos() as u64;
            spans.push(Span { title, start_ns: start.as_nanos() as u64, ns });
        }
        state.buffers.extend(written);
    }

    fn replay(&self, list: &List, inputs: &[BufferId]) {
        parallel::inside(|| list.with_inputs(inputs).for_each(|dispatch| self.dispatch(&dispatch)));
    }

    fn start_profile(&self) {
        self.state().profile = Some((Instant::now(), Vec::new()));
    }

    fn end_profile(&self) -> Result<Vec<Span>> {
        Ok(self.state().profile.take().map_or_else(Vec::new, |(_, spans)| spans))
    }

    fn counters(&self) -> Counters {
        self.state().counters
    }
}
