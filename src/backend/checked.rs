//! Runs every kernel twice: on the device under test, and its definition on the inputs as they were before.

use super::{Backend, Choices, Counters, Purpose, Readback, Span};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::kernel::scratch::{self, Scratch};
use crate::kernel::{Access, Binding, BufferId, Dispatch, Info, Slice, Tolerance};
use std::sync::{Mutex, PoisonError};

/// The content of a result before the device writes it, and before its definition does: numbers that no kernel gives. The
/// halves of both differ, which are elements too.
const UNWRITTEN: [u32; 2] = [0x7e5a_7ee7, 0xfe5a_fee7];

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

    /// What the bindings hold, but for those of one access: these are left empty.
    fn contents(&self, dispatch: &Dispatch, but: Access) -> Result<Vec<Vec<u32>>> {
        let bound = dispatch.bindings.iter().zip(dispatch.kernel.access);
        let read = |b: &Binding| self.inner.read(b.buffer, b.offset, b.word_bytes());
        // All are on their way before the first is waited for.
        let reads: Vec<_> = bound.map(|(b, access)| (*access != but).then(|| read(b))).collect();
        reads.into_iter().map(|read| read.map_or(Ok(Vec::new()), Readback::wait)).collect()
    }

    fn check(&self, dispatch: &Dispatch) -> Result<()> {
        let mut want = self.contents(dispatch, Access::Write)?;
        let bound = dispatch.bindings.iter().zip(dispatch.kernel.access).zip(&mut want);
        for ((b, _), memory) in bound.filter(|((_, access), _)| **access == Access::Write) {
            *memory = vec![UNWRITTEN[0]; b.word_bytes() as usize / 4];
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
        scratch::caught(|| dispatch.call(slices, &self.scratch, dispatch.kernel.definition))?;
        self.inner.dispatch(dispatch)?;
        let got = self.contents(dispatch, Access::Read)?;
        // Where they are equal to the bit, all is written and right.
        let differ = |at: &usize| dispatch.kernel.access[*at] != Access::Read && got[*at] != want[*at];
        for (at, binding) in dispatch.bindings.iter().enumerate().filter(|(at, _)| differ(at)) {
            let bytes = binding.dtype.bytes();
            let mut pairs = elements(&got[at], bytes).zip(elements(&want[at], bytes)).take(binding.numel());
            let unwritten = UNWRITTEN.map(|word| bytemuck::cast::<[u32; 2], [u8; 8]>([word; 2]));
            // Of bytes both may well be what is due.
            let is_unwritten =
                |(got, want): (&[u8], &[u8])| bytes > 1 && [got, want] == [0, 1].map(|at| &unwritten[at][..bytes]);
            if let Some(i) = pairs.position(is_unwritten) {
                let title = dispatch.title();
                return Err(Error::Mismatch {
                    kernel: title,
                    problem: format!("element {i} of binding {at} is not written"),
                });
            }
            let of_largest = self.inner.of_largest(dispatch);
            compare(dispatch, (at, binding.dtype), &got[at], &want[at], (of_largest, times(dispatch, &want)))?;
        }
        Ok(())
    }
}

/// The bytes of each element in words.
fn elements(words: &[u32], bytes: usize) -> impl Iterator<Item = &[u8]> {
    bytemuck::cast_slice::<u32, u8>(words).chunks_exact(bytes)
}

/// The largest of so many floats, by size.
fn largest(dtype: DType, words: &[u32], len: usize) -> f32 {
    let values = elements(words, dtype.bytes()).take(len).map(|bytes| dtype.float(bytes).abs());
    values.filter(|value| value.is_finite()).fold(0.0, f32::max)
}

/// How many times a kernel's absolute tolerance is allowed: as often as what it is proportional to is large.
pub(super) fn times(dispatch: &Dispatch, contents: &[Vec<u32>]) -> f32 {
    let of = |at: usize| largest(dispatch.bindings[at].dtype, &contents[at], dispatch.len(at));
    dispatch.kernel.proportional.iter().map(|at| of(*at).max(1.0)).product()
}

/// Whether a result, of this binding and type, lies within the kernel's tolerance of what is due, so many times the absolute one, and
/// a part of the largest that is; the first element that does not is the error.
pub(super) fn compare(
    dispatch: &Dispatch,
    (at, dtype): (usize, DType),
    got: &[u32],
    want: &[u32],
    (of_largest, times): (f32, f32),
) -> Result<()> {
    let tolerance = dispatch.kernel.tolerance;
    // Two numbers that are near each other may be rounded apart.
    let step = if dtype == DType::F32 || tolerance == Tolerance::EXACT { 0.0 } else { dtype.epsilon() };
    let (relative, absolute) = (tolerance.relative + step, tolerance.absolute * times + step * dtype.smallest());
    let absolute = absolute + if of_largest > 0.0 { of_largest * largest(dtype, want, dispatch.len(at)) } else { 0.0 };
    let pairs = elements(got, dtype.bytes()).zip(elements(want, dtype.bytes())).take(dispatch.len(at));
    for (i, (got, want)) in pairs.enumerate().filter(|(_, (got, want))| got != want) {
        let near = dtype.is_float() && {
            let [got, want] = [got, want].map(|bytes| dtype.float(bytes));
            want.is_finite() && (got - want).abs() <= relative * want.abs() + absolute
                || got.is_nan() && want.is_nan()
                || got == want
        };
        if !near {
            let sizes: Vec<usize> = dispatch.bindings.iter().map(Binding::numel).collect();
            return Err(Error::Mismatch {
                kernel: dispatch.title(),
                problem: format!(
                    "element {i} of binding {at} is {} where its definition gives {} (elements of the bindings {sizes:?}, parameters {:?})",
                    dtype.text(got),
                    dtype.text(want),
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

    fn force_variant(&self, name: Option<&'static str>) {
        self.inner.force_variant(name);
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
