//! Places where kernels run: few, fixed, and ignorant of what the kernels do.

pub mod checked;
pub mod cpu;
pub mod null;
pub mod wgpu;

pub use self::checked::Checked;
pub use self::cpu::Cpu;
pub use self::null::Null;
pub use self::wgpu::{Adapter, Wgpu, WgpuOptions};

use crate::error::Result;
use crate::kernel::{BufferId, Dispatch, Info};

/// What a backend has done so far; steady training adds to `dispatches` and `submits` alone.
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

/// What a fresh buffer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A kernel writes it first.
    Result,
    /// The host writes it first: a buffer that queued work still reads would make that write wait.
    Upload,
}

/// Bytes on their way from a device.
pub type Readback = std::pin::Pin<Box<dyn Future<Output = Result<Vec<u8>>> + Send>>;

/// A place where kernels run. Calls take effect in the order they are made, and `read` waits for what came before it.
///
/// Nothing but reading answers with an error: the first failure sticks, later work is dropped, and every read
/// returns that failure.
pub trait Backend: Send + Sync {
    /// What it is and what it offers.
    fn info(&self) -> &Info;
    /// A buffer of at least `bytes` bytes with any content.
    fn alloc(&self, bytes: u64, purpose: Purpose) -> BufferId;
    /// Gives a buffer back; queued work may still use it.
    fn free(&self, buffer: BufferId);
    /// Overwrites a range. `offset` and the length are multiples of 4.
    fn write(&self, buffer: BufferId, offset: u64, data: &[u8]);
    /// A range's content after everything queued before. `offset` and `bytes` are multiples of 4.
    fn read(&self, buffer: BufferId, offset: u64, bytes: u64) -> Result<Vec<u8>>;
    /// The same for callers that may not block: the work is submitted now, the bytes arrive later.
    fn read_async(&self, buffer: BufferId, offset: u64, bytes: u64) -> Readback {
        let result = self.read(buffer, offset, bytes);
        Box::pin(std::future::ready(result))
    }
    /// Queues one kernel.
    fn dispatch(&self, dispatch: &Dispatch);
    /// Queues a list of kernels again.
    fn replay(&self, dispatches: &[Dispatch]) {
        for dispatch in dispatches {
            self.dispatch(dispatch);
        }
    }
    /// Starts the queued work without waiting for it.
    fn submit(&self) {}
    /// What it has done so far.
    fn counters(&self) -> Counters;
    /// The first failure, if there was one.
    fn error(&self) -> Option<crate::Error> {
        None
    }
}
