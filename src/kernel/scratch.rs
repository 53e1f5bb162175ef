//! Memory that twins use and leave.

use std::sync::{Mutex, PoisonError};

/// Free memory, kept from one call to the next: fresh pages cost more than what most twins do with them.
#[derive(Default)]
pub struct Scratch(Mutex<Vec<Vec<f32>>>);

/// The most pieces that are kept.
const KEPT: usize = 64;

impl Scratch {
    /// Calls `work` with `len` elements of any content.
    pub fn with<R>(&self, len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
        let mut memory = self.take(len);
        let result = work(&mut memory[..len]);
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() == KEPT {
            free.remove(0);
        }
        free.push(memory);
        result
    }

    /// The smallest piece that is long enough, of equals the one that was used last.
    fn take(&self, len: usize) -> Vec<f32> {
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = free.iter().enumerate().filter(|(_, memory)| memory.len() >= len);
        let best = fits.min_by_key(|(at, memory)| (memory.len(), usize::MAX - at)).map(|(at, _)| at);
        best.map(|at| free.remove(at)).unwrap_or_else(|| vec![0.0; len])
    }
}
