//! Places where kernels run: few, fixed, and ignorant of what the kernels do.

pub mod checked;
pub mod cpu;
pub(crate) mod edge;
mod memory;
pub mod null;
mod pending;
pub mod wgpu;
pub(crate) mod whole;

pub use self::checked::Checked;
pub use self::cpu::Cpu;
pub use self::null::Null;
pub use self::pending::Pending;
pub use self::wgpu::{Adapter, Choices, Experimental, ExperimentalFeatures, Tuning, Wgpu, WgpuOptions};

use crate::error::Result;
use crate::kernel::{BufferId, Cost, Dispatch, Info};
use std::borrow::Cow;
use std::sync::Arc;

/// Counts of a backend's work so far; steady training adds to `dispatches` and `submits` alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Kernels asked for.
    pub dispatches: u64,
    /// Entry points run: a kernel can take several.
    pub passes: u64,
    /// Command buffers handed to the driver.
    pub submits: u64,
    /// Buffers made, pooled ones not counted again.
    pub buffers: u64,
    /// Bind groups made, cached ones not counted again.
    pub bind_groups: u64,
    /// Pipelines built.
    pub pipelines: u64,
    /// Bytes of all buffers that exist.
    pub bytes: u64,
}

/// The use of a fresh buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A kernel writes it first.
    Result,
    /// The host writes it first: a buffer that queued work still reads would make that write wait.
    Upload,
}

/// A list of kernels that is run again and again.
#[derive(Debug)]
pub struct List {
    /// Unique among all lists.
    pub id: u64,
    /// In the order they run.
    pub dispatches: Vec<Dispatch>,
    /// Buffers that each run may replace by others.
    pub inputs: Vec<BufferId>,
}

impl List {
    /// The dispatches with `inputs` in the place of the list's own.
    pub fn with_inputs<'a>(&'a self, inputs: &'a [BufferId]) -> impl Iterator<Item = Cow<'a, Dispatch>> {
        let swapped = |id: BufferId| self.inputs.iter().position(|own| *own == id).map(|at| inputs[at]);
        self.dispatches.iter().map(move |dispatch| {
            if dispatch.bindings.iter().all(|b| swapped(b.buffer).is_none_or(|to| to == b.buffer)) {
                return Cow::Borrowed(dispatch);
            }
            let mut dispatch = dispatch.clone();
            for binding in &mut dispatch.bindings {
                binding.buffer = swapped(binding.buffer).unwrap_or(binding.buffer);
            }
            Cow::Owned(dispatch)
        })
    }
}

/// The kernel, variant and layer that a pass works for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Title {
    /// The kernel.
    pub kernel: &'static str,
    /// The variant that was chosen for it; empty where there is only one way.
    pub variant: &'static str,
    /// The entry point that ran.
    pub entry: &'static str,
    /// The path of the parameter that it works for, where it reads one.
    pub label: Option<Arc<str>>,
    /// Operations and bytes of the whole kernel; of several passes the first has them.
    pub cost: Cost,
}

/// A pass's time on the device's clock.
#[derive(Debug, Clone)]
pub struct Span {
    /// The pass.
    pub title: Arc<Title>,
    /// When it started, in nanoseconds since the profile began.
    pub start_ns: u64,
    /// Its time in nanoseconds.
    pub ns: u64,
}

/// What the host did beside a device: an exchange between ranks.
#[derive(Debug, Clone)]
pub struct HostSpan {
    /// What it is.
    pub name: &'static str,
    /// Of what, line by line.
    pub what: Arc<str>,
    /// The bytes of its values.
    pub bytes: u64,
    /// When it started, in nanoseconds since the profile began.
    pub start_ns: u64,
    /// Its time in nanoseconds.
    pub ns: u64,
}

/// Words of memory on their way from a device.
pub type Readback = Pending<Vec<u32>>;

/// A place where kernels run. Calls take effect in the order they are made, and none waits: what `read` gives arrives
/// later.
///
/// Where memory or a shader is refused, that buffer or that kernel alone has failed, and the backend goes on. Any other
/// failure shows in reading: the first sticks, later work is dropped, and every read returns it.
pub trait Backend: Send + Sync {
    /// The device and its limits.
    fn info(&self) -> &Info;

    /// Whether it runs nothing, so that no one sees what is done on it.
    fn is_null(&self) -> bool {
        false
    }

    /// A buffer of at least `bytes` bytes with any content.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory) or [`Error::Limit`](crate::Error::Limit); all else goes on.
    fn alloc(&self, bytes: u64, purpose: Purpose) -> Result<BufferId>;
    /// Fills memory with this word before anybody has it, scratch memory too: for finding kernels that read what nobody
    /// wrote, and elements that none writes.
    fn fill_fresh(&self, _word: u32) {}
    /// Takes this variant of a kernel where it has one that fits, from now on; `None`: what suits. For comparing variants without
    /// building all pipelines anew.
    fn force_variant(&self, _name: Option<&'static str>) {}
    /// Gives a buffer back; queued work may still use it.
    fn free(&self, buffer: BufferId);
    /// Overwrites a range. `offset` and the length are multiples of 4.
    fn write(&self, buffer: BufferId, offset: u64, data: &[u8]);
    /// A range's content after everything queued before, which is submitted now. `offset` and `bytes` are multiples of 4.
    fn read(&self, buffer: BufferId, offset: u64, bytes: u64) -> Readback;
    /// Queues one kernel.
    ///
    /// # Errors
    /// If nothing of it ran, since no shader fits or there is no memory for it; all else goes on.
    fn dispatch(&self, dispatch: &Dispatch) -> Result<()>;
    /// Runs a list for the first time and makes it ready to be replayed; tells the bytes of scratch memory that it takes.
    fn start(&self, list: &List) -> Result<u64> {
        self.replay(list, &list.inputs)?;
        Ok(0)
    }
    /// Queues a list of kernels, with these buffers in the place of its inputs.
    ///
    /// # Errors
    /// That of the first kernel that did not run; none behind it ran.
    fn replay(&self, list: &List, inputs: &[BufferId]) -> Result<()> {
        list.with_inputs(inputs).try_for_each(|dispatch| self.dispatch(&dispatch))
    }
    /// Drops what was made ready for a list.
    fn forget(&self, _list: u64) {}
    /// Starts the queued work without waiting for it.
    fn submit(&self) {}
    /// Times each pass from now on. Work is waited for, so that everything takes longer.
    fn start_profile(&self) {}
    /// The passes since the start, in the order they ran; from now on none is timed.
    fn end_profile(&self) -> Result<Vec<Span>> {
        Ok(Vec::new())
    }
    /// The variants that measuring has chosen so far.
    fn choices(&self) -> Choices {
        Choices::default()
    }
    /// The part of its largest result that a kernel may be off beyond its tolerance, by the variant that runs it here.
    fn of_largest(&self, _dispatch: &Dispatch) -> f32 {
        0.0
    }
    /// Counts of its work so far.
    fn counters(&self) -> Counters;
    /// The first failure, if there was one.
    fn error(&self) -> Option<crate::Error> {
        None
    }
}
