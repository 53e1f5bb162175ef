//! Runs every kernel twice: on the device under test, and its definition on the inputs as they were before.

use super::{Backend, Choices, Counters, Purpose, Readback, Span};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::kernel::scratch::{self, Scratch};
use crate::kernel::{Access, BufferId, Call, Dispatch, Info, Slice};
use std::sync::{Mutex, PoisonError};

/// The content of a result before the device writes it, and before its definition does: numbers that no kernel gives.
const UNWRITTEN: [u32; 2] = [0x7e5a_a5e7, 0xfe5a_a5e7];

/// A backend whose every kernel is compared with its definition, and has to write every element that it is said to write.
/// It is slow: each kernel is waited for and read back.
pub struct Checked {
    inner: Box<dyn Backend>,
    failure: Mutex<Option<Error>>,
    scratch: Scratch,
}

impl Checked {
    /// Checks `inner`.
    pub fn new(inner: Box<dyn Backend>) -> Checked {
        Checked { inner, failure: Mutex::default(), scratch: Scratch::default() }
    }

    fn contents(&self, dispatch: &Dispatch) -> Result<Vec<Vec<u32>>> {
        let read = |b: &crate::kernel::Binding| {
            Ok(bytemuck::pod_collect_to_vec(&self.inner.read(b.buffer, b.offset, b.bytes).wait()?))
        };
        dispatch.bindings.iter().map(read).collect()
    }

    fn check(&self, dispatch: &Dispatch) -> Result<()> {
        let mut want = self.contents(dispatch)?;
        let bound = dispatch.bindings.iter().zip(dispatch.kernel.access).zip(&mut want);
        for ((b, _), memory) in bound.filter(|((_, access), _)| **access == Access::Write) {
            memory.fill(UNWRITTEN[0]);
            self.inner.write(b.buffer, b.offset, bytemuck::cast_slice(memory));
            memory.fill(UNWRITTEN[1]);
        }
        let slices = want
            .iter_mut()
            .zip(dispatch.kernel.access)
            .map(|(words, access)| match access {
                Access::Read => Slice::Read(words),
                Access::Write | Access::ReadWrite => Slice::Write(words),
            })
            .collect();
        scratch::caught(|| (dispatch.kernel.definition)(&mut Call::new(slices, &dispatch.params, &self.scratch)))?;
        self.inner.dispatch(dispatch)?;
        let got = self.contents(dispatch)?;
        for (at, binding) in
            dispatch.bindings.iter().enumerate().filter(|(at, _)| dispatch.kernel.access[*at] != Access::Read)
        {
            if let Some(i) = got[at].iter().zip(&want[at]).position(|(got, want)| [*got, *want] == UNWRITTEN) {
                let title = dispatch.title();
                return Err(Error::Mismatch {
                    kernel: title,
                    problem: format!("element {i} of binding {at} is not written"),
                });
            }
            compare(dispatch, at, binding.dtype, &got[at], &want[at])?;
        }
        Ok(())
    }
}

/// Whether a result lies within the kernel's tolerance of what is due; the first element that does not is the error.
pub(super) fn compare(dispatch: &Dispatch, at: usize, dtype: DType, got: &[u32], want: &[u32]) -> Result<()> {
    let tolerance = dispatch.kernel.tolerance;
    for (i, (&got, &want)) in got.iter().zip(want).enumerate().filter(|(_, (got, want))| got != want) {
        let near = match dtype {
            DType::I32 => false,
            DType::F32 => {
                let (got, want) = (f32::from_bits(got), f32::from_bits(want));
                want.is_finite() && (got - want).abs() <= tolerance.relative * want.abs() + tolerance.absolute
                    || got.is_nan() && want.is_nan()
                    || got == want
            }
        };
        if !near {
            let shown = |bits: u32| match dtype {
                DType::F32 => f32::from_bits(bits).to_string(),
                DType::I32 => (bits as i32).to_string(),
            };
            let sizes: Vec<u64> = dispatch.bindings.iter().map(|b| b.bytes / 4).collect();
            return Err(Error::Mismatch {
                kernel: dispatch.title(),
                problem: format!(
                    "element {i} of binding {at} is {} where its definition gives {} (elements of the bindings {sizes:?}, parameters {:?})",
                    shown(got),
                    shown(want),
                    dispatch.params
                ),
            });
        }
    }
    Ok(())
}

impl Backend for Checked {
    fn info(&self) -> &Info {
        self.inner.info()
    }

    fn alloc(&self, bytes: u64, purpose: Purpose) -> Result<BufferId> {
        self.inner.alloc(bytes, purpose)
    }

    fn fill_fresh(&self, word: u32) {
        self.inner.fill_fresh(word);
        self.scratch.fill_fresh(word);
    }

    fn free(&self, buffer: BufferId) {
        self.inner.free(buffer);
    }

    fn write(&self, buffer: BufferId, offset: u64, data: &[u8]) {
        self.inner.write(buffer, offset, data);
    }

    fn read(&self, buffer: BufferId, offset: u64, bytes: u64) -> Readback {
        let failed = self.error().map(|error| Readback::ready(Err(error)));
        failed.unwrap_or_else(|| self.inner.read(buffer, offset, bytes))
    }

    fn dispatch(&self, dispatch: &Dispatch) -> Result<()> {
        if self.error().is_some() {
            return Ok(());
        }
        match self.check(dispatch) {
            Err(error @ (Error::Limit(_) | Error::OutOfMemory { .. })) => return Err(error),
            Err(error) => {
                self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
            Ok(()) => {}
        }
        Ok(())
    }

    fn start_profile(&self) {
        self.inner.start_profile();
    }

    fn end_profile(&self) -> Result<Vec<Span>> {
        self.inner.end_profile()
    }

    fn choices(&self) -> Choices {
        self.inner.choices()
    }

    fn counters(&self) -> Counters {
        self.inner.counters()
    }

    fn error(&self) -> Option<Error> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone().or_else(|| self.inner.error())
    }
}
