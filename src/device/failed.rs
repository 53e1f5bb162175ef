//! Tensors that could not be computed: their memory was refused, or their kernels could not run, or they follow from such.
//!
//! All else goes on: a tensor that exists stays readable, and a kernel that reads none of this runs.

use super::Part;
use crate::error::{Error, Result};
use crate::kernel::{Access, Binding, BufferId, Dispatch};
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Numbers of buffers that were refused start here: above those of backends, below those inside of a plan.
const FIRST: u64 = 1 << 62;

/// Which elements of a device are lost, and why.
#[derive(Default)]
pub(super) struct Failed {
    /// Whether any are: a look that costs next to nothing.
    any: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    lost: HashMap<BufferId, Vec<(Range<u64>, Error)>>,
    /// Buffers that were made while elements were lost: they hold nothing yet that is worth keeping.
    young: HashSet<BufferId>,
    /// Why elements that were to be changed in place are as they were; told once, by the next read.
    missed: Option<Error>,
    next: u64,
}

fn range(b: &Binding) -> Range<u64> {
    b.offset..b.offset + b.bytes
}

fn is_refused(id: BufferId) -> bool {
    (FIRST..2 * FIRST).contains(&id.0)
}

impl State {
    fn of(&self, id: BufferId, range: &Range<u64>) -> Option<&Error> {
        let lost = self.lost.get(&id)?;
        lost.iter().find(|(lost, _)| lost.start < range.end && range.start < lost.end).map(|(_, error)| error)
    }

    fn lose(&mut self, id: BufferId, range: Range<u64>, error: &Error) {
        if self.of(id, &range).is_none() {
            self.lost.entry(id).or_default().push((range, error.clone()));
        }
    }

    /// The elements are computed anew.
    fn found(&mut self, id: BufferId, range: &Range<u64>) {
        if is_refused(id) {
            return;
        }
        if let Some(lost) = self.lost.get_mut(&id) {
            lost.retain(|(lost, _)| lost.start < range.start || range.end < lost.end);
            if lost.is_empty() {
                self.lost.remove(&id);
            }
        }
    }

    /// A kernel did not run.
    fn skip(&mut self, dispatch: &Dispatch, error: &Error) {
        for (b, access) in dispatch.bindings.iter().zip(dispatch.kernel.access) {
            match access {
                Access::Read => {}
                Access::ReadWrite if !self.young.contains(&b.buffer) && !is_refused(b.buffer) => {
                    self.missed.get_or_insert_with(|| error.clone());
                }
                Access::Write | Access::ReadWrite => self.lose(b.buffer, range(b), error),
            }
        }
    }

    /// A kernel ran.
    fn ran(&mut self, dispatch: &Dispatch) {
        for (b, access) in dispatch.bindings.iter().zip(dispatch.kernel.access) {
            if *access == Access::Write {
                self.found(b.buffer, &range(b));
            }
        }
    }
}

impl Failed {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer of `each` about the state, where there may be anything in it.
    fn with<R>(&self, each: impl FnOnce(&mut State) -> R) -> Option<R> {
        if !self.any.load(Ordering::Relaxed) {
            return None;
        }
        let state = &mut *self.state();
        let result = each(state);
        if state.lost.is_empty() && state.missed.is_none() {
            state.young.clear();
            self.any.store(false, Ordering::Relaxed);
        }
        Some(result)
    }

    /// The same, of a state that is about to have something in it.
    fn note<R>(&self, each: impl FnOnce(&mut State) -> R) -> R {
        self.any.store(true, Ordering::Relaxed);
        each(&mut self.state())
    }

    /// A buffer that there is no memory for.
    pub fn refuse(&self, error: &Error) -> BufferId {
        self.note(|state| {
            let id = BufferId(FIRST + state.next);
            state.next += 1;
            state.lose(id, 0..u64::MAX, error);
            id
        })
    }

    /// A buffer that gets no memory, of a step that does not run.
    pub fn promise(&self) -> BufferId {
        let state = &mut *self.state();
        state.next += 1;
        BufferId(FIRST + state.next - 1)
    }

    /// Such buffers, as far as they live on, are lost.
    pub fn broke<'a>(&self, alive: impl Iterator<Item = &'a BufferId>, error: &Error) {
        let promised = alive.filter(|id| is_refused(**id));
        self.note(|state| promised.for_each(|id| state.lose(*id, 0..u64::MAX, error)));
    }

    /// A buffer was made.
    pub fn made(&self, id: BufferId) {
        self.with(|state| state.young.insert(id));
    }

    /// A buffer ends; whether the backend knows it.
    pub fn freed(&self, id: BufferId) -> bool {
        self.with(|state| (state.lost.remove(&id), state.young.remove(&id)));
        !is_refused(id)
    }

    /// The host writes a range; whether there is memory for it.
    pub fn writes(&self, id: BufferId, range: Range<u64>) -> bool {
        self.with(|state| state.found(id, &range));
        !is_refused(id)
    }

    /// Whether the host can read a range.
    pub fn reads(&self, id: BufferId, range: Range<u64>) -> Result<()> {
        let error = self.with(|state| {
            let told = state.of(id, &range).cloned();
            let missed = state.missed.take();
            told.or(missed)
        });
        error.flatten().map_or(Ok(()), Err)
    }

    /// An update in place that did not happen, told by the next read.
    pub fn missed(&self, error: &Error) {
        self.note(|state| state.missed.get_or_insert_with(|| error.clone()).clone());
    }

    /// Why a range is lost.
    pub fn why(&self, b: &Binding) -> Option<Error> {
        self.with(|state| state.of(b.buffer, &range(b)).cloned()).flatten()
    }

    /// Runs a kernel by `run`, unless what it reads is lost.
    pub fn guard(&self, dispatch: &Dispatch, run: impl FnOnce() -> Result<()>) {
        let lost = self.with(|state| {
            let of = |(b, access): (&Binding, &Access)| match access {
                Access::Write => state.of(b.buffer, &range(b)).filter(|_| is_refused(b.buffer)),
                Access::Read | Access::ReadWrite => state.of(b.buffer, &range(b)),
            };
            let error = dispatch.bindings.iter().zip(dispatch.kernel.access).find_map(of).cloned();
            error.inspect(|error| state.skip(dispatch, error))
        });
        if lost.flatten().is_some() {
            return;
        }
        match run() {
            Err(error) => self.note(|state| state.skip(dispatch, &error)),
            Ok(()) => drop(self.with(|state| state.ran(dispatch))),
        }
    }

    /// Runs the parts of a step on `inputs` by `run`.
    ///
    /// # Errors
    /// If what it reads from outside is lost, or one of its kernels could not run: its results are lost.
    pub fn guard_parts(&self, parts: &[Part], inputs: &[BufferId], run: impl FnOnce() -> Result<()>) -> Result<()> {
        let dispatches = || parts.iter().flat_map(|part| part.list.with_inputs(inputs));
        let whole = |state: &mut State, error: Option<&Error>| {
            for dispatch in dispatches() {
                let written =
                    dispatch.bindings.iter().zip(dispatch.kernel.access).filter(|(_, a)| **a == Access::Write);
                for (b, _) in written {
                    match error {
                        Some(error) => state.lose(b.buffer, range(b), error),
                        None => state.found(b.buffer, &range(b)),
                    }
                }
            }
        };
        let lost = self.with(|state| {
            let mut own = HashSet::new();
            let mut error = None;
            for dispatch in dispatches() {
                for (b, access) in dispatch.bindings.iter().zip(dispatch.kernel.access) {
                    let is_needed = is_refused(b.buffer) || *access != Access::Write && !own.contains(&b.buffer);
                    error = error.or_else(|| state.of(b.buffer, &range(b)).filter(|_| is_needed).cloned());
                }
                let written =
                    dispatch.bindings.iter().zip(dispatch.kernel.access).filter(|(_, a)| **a == Access::Write);
                own.extend(written.map(|(b, _)| b.buffer));
            }
            error.inspect(|error| whole(state, Some(error)))
        });
        if let Some(error) = lost.flatten() {
            return Err(error);
        }
        match run() {
            Err(error) => self.note(|state| {
                whole(state, Some(&error));
                Err(error)
            }),
            Ok(()) => {
                self.with(|state| whole(state, None));
                Ok(())
            }
        }
    }
}
