//! Memory that host paths use and leave.

use super::aligned::Aligned;
use crate::error::{Error, Result};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Free memory, kept from one call to the next: fresh pages cost more than what most kernels do with them.
#[derive(Default)]
pub struct Scratch(Mutex<State>);

#[derive(Default)]
struct State {
    /// Those that are free for longest first.
    free: Vec<Aligned<f32>>,
    /// Elements that are lent, and the most that were lately.
    lent: usize,
    peak: usize,
    /// The number that fills memory before a kernel has it.
    fill: Option<f32>,
}

/// The most pieces that are kept, and elements that may be kept in any case.
const KEPT: usize = 64;
const FLOOR: usize = 4 << 20;

impl Scratch {
    /// Calls `work` with `len` elements of any content. Where there is no memory for them, the kernel is left: see [`caught`].
    /// A loop over elements in it stays open to [`super::parallel`]'s vectors, which what is called once does not.
    #[inline(always)]
    pub fn with<R>(&self, len: usize, mut work: impl FnMut(&mut [f32]) -> R) -> R {
        let mut memory = self.take(len);
        let result = work(&mut memory[..len]);
        self.give(memory);
        result
    }

    /// Memory of `len` elements or more, to be given back.
    pub(super) fn take(&self, len: usize) -> Aligned<f32> {
        self.found(len).unwrap_or_else(|error| resume_unwind(Box::new(error)))
    }

    /// Takes memory back.
    pub(super) fn give(&self, memory: Aligned<f32>) {
        let mut state = self.state();
        state.lent -= memory.len();
        state.free.push(memory);
        while state.free.len() > KEPT || state.is_over() {
            state.free.remove(0);
        }
    }

    /// Fills memory with this word before a kernel has it.
    pub fn fill_fresh(&self, word: u32) {
        self.state().fill = Some(f32::from_bits(word));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The smallest piece that is long enough, of equals the one that was used last; none that is far too long.
    fn found(&self, len: usize) -> Result<Aligned<f32>> {
        let mut state = self.state();
        let rounded = len.max(64).next_multiple_of((len.next_power_of_two() / 8).max(64));
        let fits = |memory: &Aligned<f32>| (len..=4 * rounded).contains(&memory.len());
        let fitting = state.free.iter().enumerate().filter(|(_, memory)| fits(memory));
        let best = fitting.min_by_key(|(at, memory)| (memory.len(), usize::MAX - at)).map(|(at, _)| at);
        let mut memory = match best {
            Some(at) => state.free.remove(at),
            None => {
                let mut memory = Aligned::with_room(rounded).map_err(|_| Error::OutOfMemory {
                    bytes: Some(rounded as u64 * 4),
                    problem: format!(
                        "the host has no {} bytes for a kernel to work in: use a smaller batch or model",
                        rounded * 4
                    ),
                })?;
                memory.lengthen(rounded);
                memory
            }
        };
        state.lent += memory.len();
        // The peak fades, so that what was needed once is not kept for ever.
        state.peak = (state.peak - state.peak / 1024).max(state.lent);
        if let Some(word) = state.fill {
            memory.fill(word);
        }
        Ok(memory)
    }
}

impl State {
    /// Whether more is free than was lent at once lately.
    fn is_over(&self) -> bool {
        self.free.iter().map(|memory| memory.len()).sum::<usize>() > self.peak.max(FLOOR)
    }
}

/// Runs a kernel on the host.
///
/// # Errors
/// [`Error::OutOfMemory`] if it was left since there was no memory for it to work in.
pub fn caught(kernel: impl FnOnce()) -> Result<()> {
    catch_unwind(AssertUnwindSafe(kernel))
        .or_else(|panic| panic.downcast::<Error>().map_or_else(|p| resume_unwind(p), |e| Err(*e)))
}
