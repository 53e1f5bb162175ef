//! The host's processor: each kernel's host path, or its definition where it has none, run at once on the host's memory.

use super::edge::{self, Instant};
use super::memory::{Usage, size_class};
use super::{Backend, Counters, List, Purpose, Readback, Span, Title};
use crate::error::{Error, Result, sizes};
use crate::kernel::aligned::Aligned;
use crate::kernel::scratch::{self, Scratch};
use crate::kernel::{Access, Binding, BufferId, Class, Cost, Dispatch, Info, Slice, parallel};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Kernels run as plain Rust.
pub struct Cpu {
    info: Info,
    state: Mutex<State>,
    /// Held by who waits for the state, so that no thread takes it twice while another waits.
    next: Mutex<()>,
    scratch: Scratch,
}

#[derive(Default)]
struct State {
    next: u64,
    buffers: HashMap<BufferId, Memory>,
    free: Free,
    counters: Counters,
    /// The kernels so far, where they are timed, and when that began.
    profile: Option<(Instant, Vec<Span>)>,
    /// The word that fills memory before anybody has it.
    fill: Option<u32>,
}

/// A buffer's words, which has room for all of its size class.
struct Memory {
    class: usize,
    words: Aligned<u32>,
}

/// Freed memory by size class: a training step asks for the same sizes again.
#[derive(Default)]
struct Free {
    /// Each with when it was freed, the oldest first.
    classes: HashMap<usize, VecDeque<(u64, Memory)>>,
    /// The class of each, the oldest first.
    oldest: BTreeMap<u64, usize>,
    usage: Usage,
    clock: u64,
}

/// A kernel with less work than this is not cut into pieces for other threads, or hardly gains by it.
const SHORT: Cost = Cost { flops: 1 << 17, bytes: 256 << 10 };

impl Cpu {
    /// The host's processor.
    pub fn new() -> Cpu {
        let threads = edge::cores();
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
            shader_f16: false,
            cooperative: None,
        };
        Cpu { info, state: Mutex::default(), next: Mutex::default(), scratch: Scratch::default() }
    }

    /// Who calls holds the state until its kernels are done, and waits outside of the pool: the pool's threads, on which
    /// the kernels' pieces run, never ask for it.
    fn state(&self) -> MutexGuard<'_, State> {
        let _next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        // A kernel that panicked leaves whole buffers behind, so the state stays usable.
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

/// The words of the size class that a buffer of so many bytes is of.
fn class(bytes: u64) -> usize {
    words(size_class(bytes, u64::MAX))
}

impl Free {
    /// The one of the class that was used last.
    fn take(&mut self, class: usize) -> Option<Memory> {
        let (freed, memory) = self.classes.get_mut(&class)?.pop_back()?;
        self.oldest.remove(&freed);
        Some(memory)
    }

    fn put(&mut self, memory: Memory) {
        self.clock += 1;
        self.usage.gave(memory.class as u64 * 4);
        self.oldest.insert(self.clock, memory.class);
        self.classes.entry(memory.class).or_default().push_back((self.clock, memory));
    }

    /// Drops the one that is free for longest; its words.
    fn drop_oldest(&mut self) -> Option<usize> {
        let (_, class) = self.oldest.pop_first()?;
        self.classes.get_mut(&class)?.pop_front();
        self.usage.dropped(class as u64 * 4);
        Some(class)
    }
}

impl State {
    /// Memory of a class, with any content in the first `len` words.
    fn memory(&mut self, class: usize, len: usize) -> Result<Memory> {
        let old = self.free.take(class);
        let is_new = old.is_none();
        let mut memory = old.map_or_else(|| self.made(class), Ok)?;
        self.free.usage.took(class as u64 * 4, is_new);
        memory.words.lengthen(len);
        if let Some(word) = self.fill {
            memory.words.fill(word);
        }
        Ok(memory)
    }

    /// New memory; what is free makes place for it.
    fn made(&mut self, class: usize) -> Result<Memory> {
        let words = loop {
            if let Ok(words) = Aligned::with_room(class) {
                break words;
            }
            let Some(dropped) = self.free.drop_oldest() else {
                let [bytes, used] = sizes([class as u64 * 4, self.counters.bytes]);
                return Err(Error::OutOfMemory {
                    bytes: Some(class as u64 * 4),
                    problem: format!("the host has no {bytes} beside the {used} in use: use a smaller batch or model"),
                });
            };
            self.counters.bytes -= dropped as u64 * 4;
        };
        self.counters.buffers += 1;
        self.counters.bytes += class as u64 * 4;
        Ok(Memory { class, words })
    }

    fn copied(&self, buffer: BufferId, offset: u64, bytes: u64) -> Result<Vec<u32>> {
        let memory = self.buffers.get(&buffer).ok_or_else(|| Error::Device("a freed buffer was read".into()))?;
        let source = &memory.words[words(offset)..words(offset + bytes)];
        let mut read = Vec::new();
        read.try_reserve_exact(source.len()).map_err(|_| Error::OutOfMemory {
            bytes: Some(bytes),
            problem: format!("the host has no {} to read a tensor into", sizes([bytes])[0]),
        })?;
        read.extend_from_slice(source);
        Ok(read)
    }

    fn run(&mut self, dispatch: &Dispatch, scratch: &Scratch) -> Result<()> {
        self.counters.dispatches += 1;
        self.counters.passes += 1;
        let accesses = || dispatch.bindings.iter().zip(dispatch.kernel.access).enumerate();
        // What is written leaves the map while the kernel runs, so that the borrow checker sees it apart from what is read.
        let mut written: Vec<(BufferId, Memory)> = Vec::new();
        for (_, (b, access)) in accesses() {
            if *access != Access::Read && written.iter().all(|(id, _)| *id != b.buffer) {
                written.push((b.buffer, self.buffers.remove(&b.buffer).expect("written buffers are live")));
            }
        }
        let mut slices: Vec<(usize, Slice)> = Vec::with_capacity(dispatch.bindings.len());
        for (id, memory) in &mut written {
            // Parts of one buffer, such as places in a slab, in the order they lie.
            let own = accesses().filter(|(_, (b, access))| b.buffer == *id && **access != Access::Read);
            let mut parts: Vec<(usize, &Binding)> = own.map(|(at, (b, _))| (at, b)).collect();
            parts.sort_by_key(|(_, b)| b.offset);
            let (mut rest, mut done) = (&mut *memory.words, 0);
            for (at, b) in parts {
                let (part, after) = rest[words(b.offset) - done..].split_at_mut(words(b.bytes));
                slices.push((at, Slice::Write(part)));
                (rest, done) = (after, words(b.offset) + words(b.bytes));
            }
        }
        for (at, (b, _)) in accesses().filter(|(_, (_, access))| **access == Access::Read) {
            let memory = self.buffers.get(&b.buffer).expect("read buffers are live and not written by the same kernel");
            slices.push((at, Slice::Read(&memory.words[words(b.offset)..words(b.offset) + words(b.bytes)])));
        }
        slices.sort_by_key(|(at, _)| *at);
        let slices = slices.into_iter().map(|(_, slice)| slice).collect();
        let started = self.profile.as_ref().map(|(origin, _)| origin.elapsed());
        let done = catch_unwind(AssertUnwindSafe(|| {
            edge::live();
            scratch::caught(|| dispatch.call(slices, scratch, dispatch.kernel.on_host()))
        }));
        self.buffers.extend(written);
        done.unwrap_or_else(|panic| resume_unwind(panic))?;
        if let (Some(start), Some((origin, spans))) = (started, &mut self.profile) {
            let kernel = dispatch.kernel;
            let (label, cost) = (dispatch.label.clone(), (kernel.cost)(dispatch));
            let title = Arc::new(Title { kernel: kernel.name, variant: "", entry: kernel.name, label, cost });
            let ns = (origin.elapsed() - start).as_nanos() as u64;
            spans.push(Span { title, start_ns: start.as_nanos() as u64, ns });
        }
        Ok(())
    }
}

/// Whether no kernel of a list is much work: then other threads have nothing to do in it, however long it is, and handing it
/// to one of them is all that they would add.
fn is_short(list: &List) -> bool {
    list.dispatches.iter().all(|dispatch| {
        let Cost { flops, bytes } = (dispatch.kernel.cost)(dispatch);
        flops <= SHORT.flops && bytes <= SHORT.bytes
    })
}

impl Backend for Cpu {
    fn info(&self) -> &Info {
        &self.info
    }

    fn alloc(&self, bytes: u64, _purpose: Purpose) -> Result<BufferId> {
        let state = &mut *self.state();
        let memory = state.memory(class(bytes), words(bytes))?;
        state.next += 1;
        let id = BufferId(state.next);
        state.buffers.insert(id, memory);
        Ok(id)
    }

    fn fill_fresh(&self, word: u32) {
        self.state().fill = Some(word);
        self.scratch.fill_fresh(word);
    }

    fn free(&self, buffer: BufferId) {
        let state = &mut *self.state();
        let Some(memory) = state.buffers.remove(&buffer) else { return };
        state.free.put(memory);
        while state.free.usage.is_over() {
            let Some(dropped) = state.free.drop_oldest() else { break };
            state.counters.bytes -= dropped as u64 * 4;
        }
    }

    fn write(&self, buffer: BufferId, offset: u64, data: &[u8]) {
        let mut state = self.state();
        let memory = state.buffers.get_mut(&buffer).expect("a live buffer");
        let target: &mut [u8] = bytemuck::cast_slice_mut(&mut memory.words);
        target[offset as usize..offset as usize + data.len()].copy_from_slice(data);
    }

    fn read(&self, buffer: BufferId, offset: u64, bytes: u64) -> Readback {
        Readback::ready(self.state().copied(buffer, offset, bytes))
    }

    fn dispatch(&self, dispatch: &Dispatch) -> Result<()> {
        self.state().run(dispatch, &self.scratch)
    }

    fn replay(&self, list: &List, inputs: &[BufferId]) -> Result<()> {
        let state = &mut *self.state();
        let mut run = || list.with_inputs(inputs).try_for_each(|dispatch| state.run(&dispatch, &self.scratch));
        if is_short(list) { run() } else { parallel::inside(run) }
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
