//! Runs nothing and counts: for tests and plans that need no numbers.

use super::{Backend, Counters, Purpose, Readback};
use crate::error::Result;
use crate::kernel::{BufferId, Class, Dispatch, Info};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Every buffer reads as zeros.
pub struct Null {
    info: Info,
    counters: Mutex<Counters>,
}

impl Null {
    /// With the limits that a browser guarantees.
    pub fn new() -> Null {
        let info = Info {
            name: "null device (runs nothing)".into(),
            api: "null".into(),
            driver: String::new(),
            class: Class::Null,
            subgroup: None,
            max_binding_bytes: 128 << 20,
            max_groups: 65_535,
            max_threads: 256,
            max_shared_bytes: 16 << 10,
            shader_f16: false,
            cooperative: None,
        };
        Null::with(info)
    }

    /// With the kind and the limits of an adapter that need not be here.
    pub fn with(info: Info) -> Null {
        Null { info, counters: Mutex::default() }
    }

    fn count(&self) -> MutexGuard<'_, Counters> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Null {
    fn default() -> Null {
        Null::new()
    }
}

impl Backend for Null {
    fn info(&self) -> &Info {
        &self.info
    }

    fn is_null(&self) -> bool {
        true
    }

    fn alloc(&self, bytes: u64, _purpose: Purpose) -> Result<BufferId> {
        let mut counters = self.count();
        counters.buffers += 1;
        counters.bytes += bytes;
        Ok(BufferId(counters.buffers))
    }

    fn free(&self, _buffer: BufferId) {}

    fn write(&self, _buffer: BufferId, _offset: u64, _data: &[u8]) {}

    fn read(&self, _buffer: BufferId, _offset: u64, bytes: u64) -> Readback {
        Readback::ready(Ok(vec![0; bytes as usize / 4]))
    }

    fn dispatch(&self, _dispatch: &Dispatch) -> Result<()> {
        let mut counters = self.count();
        counters.dispatches += 1;
        counters.passes += 1;
        Ok(())
    }

    fn counters(&self) -> Counters {
        *self.count()
    }
}
