//! Passes over plans: each gives a shorter list with the same bits.

use super::Plan;
use super::seam::is_seam;
use crate::kernel::rewrite::{Change, View};
use crate::kernel::{Access, Binding, BufferId, Dispatch};
use std::collections::{HashMap, HashSet};

impl Plan {
    /// The list after every pass. A rewrite is taken where `runs` says that its kernel has a shader that suits.
    #[must_use]
    pub fn improved(self, runs: impl Fn(&Dispatch) -> bool) -> Plan {
        let mut plan = self.without_twins().without_dead();
        // One rewrite makes room for another: a relu is a part of its product before the pooling behind it can be.
        loop {
            let before = plan.dispatches.len();
            plan = plan.rewritten(&runs).without_dead();
            if plan.dispatches.len() == before {
                return plan;
            }
        }
    }

    /// With one dispatch of a kernel that is to run [once](crate::kernel::Kernel::once) where several do the same: a weight that a
    /// mixed pass reads at many places is rounded for all of them.
    #[must_use]
    fn without_twins(mut self) -> Plan {
        let mut writers: HashMap<BufferId, usize> = HashMap::new();
        for (b, _) in self.dispatches.iter().flat_map(writes) {
            *writers.entry(b.buffer).or_default() += 1;
        }
        let mut instead: HashMap<BufferId, BufferId> = HashMap::new();
        let mut kept: Vec<Dispatch> = Vec::with_capacity(self.dispatches.len());
        // Those whose operands are still what they were.
        let mut known: Vec<usize> = Vec::new();
        for mut dispatch in std::mem::take(&mut self.dispatches) {
            for b in &mut dispatch.bindings {
                b.buffer = *instead.get(&b.buffer).unwrap_or(&b.buffer);
            }
            // Nobody else writes its results, and nobody outside of the list sees them.
            let is_own = |(b, access): (&Binding, Access)| {
                access == Access::Write && self.inner.contains_key(&b.buffer) && writers[&b.buffer] == 1
            };
            let is_candidate = dispatch.kernel.once && writes(&dispatch).all(is_own);
            if is_candidate && let Some(&first) = known.iter().find(|at| self.are_twins(&kept[**at], &dispatch)) {
                let results = writes(&dispatch).zip(writes(&kept[first]));
                instead.extend(results.map(|((own, _), (first, _))| (own.buffer, first.buffer)));
                continue;
            }
            known.retain(|at| {
                let operands = accesses(&kept[*at]).filter(|(_, access)| *access == Access::Read);
                operands.into_iter().all(|(read, _)| writes(&dispatch).all(|(b, _)| !b.overlaps(read)))
            });
            if is_candidate {
                known.push(kept.len());
            }
            kept.push(dispatch);
        }
        self.dispatches = kept;
        self.forget_unbound()
    }

    /// Whether two dispatches do the same to the same, and their results are alike but for their buffers.
    fn are_twins(&self, a: &Dispatch, b: &Dispatch) -> bool {
        let is_same = |((x, access), (y, _)): ((&Binding, Access), (&Binding, Access))| {
            let moved = Binding { buffer: y.buffer, ..*x };
            moved == *y
                && (x.buffer == y.buffer || access == Access::Write && self.inner[&x.buffer] == self.inner[&y.buffer])
        };
        std::ptr::eq(a.kernel, b.kernel) && a.params == b.params && accesses(a).zip(accesses(b)).all(is_same)
    }

    /// Without the kernels whose results nobody reads.
    #[must_use]
    pub fn without_dead(mut self) -> Plan {
        let mut read: HashSet<BufferId> = HashSet::new();
        let mut kept = Vec::with_capacity(self.dispatches.len());
        // Backwards, so that all readers of a result are known when its writer is met.
        for dispatch in self.dispatches.into_iter().rev() {
            let is_seen = |b: &Binding| !self.inner.contains_key(&b.buffer) || read.contains(&b.buffer);
            // What the host does may be seen elsewhere.
            if !is_seam(&dispatch) && !accesses(&dispatch).any(|(b, access)| access != Access::Read && is_seen(b)) {
                continue;
            }
            // An access that reads and writes keeps alive who wrote before; one that only writes does not.
            read.extend(accesses(&dispatch).filter(|(_, access)| *access != Access::Write).map(|(b, _)| b.buffer));
            kept.push(dispatch);
        }
        kept.reverse();
        self.dispatches = kept;
        self.forget_unbound()
    }

    /// With the rewrites that the kernels name, wherever one applies.
    #[must_use]
    pub fn rewritten(mut self, runs: impl Fn(&Dispatch) -> bool) -> Plan {
        let inner: HashSet<BufferId> = self.inner.keys().copied().collect();
        let mut at = 0;
        while at < self.dispatches.len() {
            let view = View::new(&self.dispatches, &inner);
            let rewrites = self.dispatches[at].kernel.rewrites;
            let found = rewrites.iter().find_map(|rewrite| {
                let change =
                    (rewrite.apply)(&view, at).filter(|change| runs(&change.by) && self.is_unrounded(change))?;
                self.position(&change).map(|position| (change, position))
            });
            let Some((Change { mut replace, by, .. }, position)) = found else {
                at += 1;
                continue;
            };
            self.dispatches[position] = by;
            replace.sort_unstable();
            for gone in replace.iter().rev().filter(|gone| **gone != position) {
                self.dispatches.remove(*gone);
            }
            // What is now at this place, or before it, may start another.
            at = replace[0];
        }
        self.forget_unbound()
    }

    /// Whether no result of a change is stored in a type that the kernels do not compute in, unless that changes nothing: else it
    /// would be rounded once where eager work rounds twice.
    fn is_unrounded(&self, Change { replace, by, picks }: &Change) -> bool {
        let all = replace.iter().map(|at| &self.dispatches[*at]).chain([by]);
        *picks || all.flat_map(writes).all(|(b, _)| b.dtype.bytes() == 4)
    }

    /// The place of a change's new dispatch: that of the first or the last that it replaces. None where
    /// the change would lose a result that is read, write what was not written (the padding behind a result apart, which a
    /// kernel that writes all of a binding may overwrite), bind a buffer in two ways, or move an access across another that
    /// it must not pass.
    fn position(&self, Change { replace, by, .. }: &Change) -> Option<usize> {
        let (first, last) = (*replace.iter().min()?, *replace.iter().max()?);
        if first == last {
            // Nothing would be won, and the pass might never end.
            return None;
        }
        if binds_twice(by) {
            return None;
        }
        let stays = |at: &usize| !replace.contains(at);
        let written = |at: &usize| writes(&self.dispatches[*at]).map(|(b, _)| b);
        let is_new = |own: &Binding| !replace.iter().flat_map(written).any(|b| b.covers(own));
        // Nothing may be written that was not, and whole vec4 only where padding follows.
        if writes(by).any(|(own, access)| is_new(own) || access == Access::Write && !own.padded) {
            return None;
        }
        // No result may be lost that is seen outside of the list, or that one of the others reads.
        for &at in replace {
            for result in written(&at) {
                let is_read = || {
                    let others = (0..self.dispatches.len()).filter(stays);
                    others.flat_map(|at| accesses(&self.dispatches[at])).any(|(b, _)| b.overlaps(result))
                };
                let is_written = writes(by).any(|(own, _)| own.covers(result));
                if !is_written && (!self.inner.contains_key(&result.buffer) || is_read()) {
                    return None;
                }
            }
        }
        let passes = |position: usize| {
            (first..=last).filter(stays).all(|at| {
                // The work of those that stood on the other side of `at` passes it.
                let crosses = |from: &usize| (*from < at) != (position < at);
                let moved: Vec<BufferId> = replace
                    .iter()
                    .filter(|from| crosses(from))
                    .flat_map(|from| self.dispatches[*from].bindings.iter().map(|b| b.buffer))
                    .collect();
                accesses(by).filter(|(b, _)| moved.contains(&b.buffer)).all(|(own, access)| {
                    accesses(&self.dispatches[at])
                        .all(|(b, other)| access == Access::Read && other == Access::Read || !own.overlaps(b))
                })
            })
        };
        // The first place frees soonest what is read.
        [first, last].into_iter().find(|position| passes(*position))
    }

    /// Buffers from outside that the list writes.
    pub(crate) fn written(&self) -> HashSet<BufferId> {
        self.dispatches
            .iter()
            .flat_map(writes)
            .map(|(b, _)| b.buffer)
            .filter(|id| !self.inner.contains_key(id))
            .collect()
    }

    fn forget_unbound(mut self) -> Plan {
        let bound: HashSet<BufferId> =
            self.dispatches.iter().flat_map(|d| d.bindings.iter().map(|b| b.buffer)).collect();
        self.inner.retain(|id, _| bound.contains(id));
        self
    }
}

/// Whether a buffer is both read and written, or some bytes are written twice.
fn binds_twice(dispatch: &Dispatch) -> bool {
    let all: Vec<(&Binding, Access)> = accesses(dispatch).collect();
    all.iter().enumerate().any(|(i, (a, access))| {
        all[..i].iter().any(|(b, other)| match (*access, *other) {
            (Access::Read, Access::Read) => false,
            (Access::Read, _) | (_, Access::Read) => a.buffer == b.buffer,
            _ => a.overlaps(b),
        })
    })
}

fn writes(dispatch: &Dispatch) -> impl Iterator<Item = (&Binding, Access)> {
    accesses(dispatch).filter(|(_, access)| *access != Access::Read)
}

fn accesses(dispatch: &Dispatch) -> impl Iterator<Item = (&Binding, Access)> {
    dispatch.bindings.iter().zip(dispatch.kernel.access.iter().copied())
}
