//! Rewrites of lists of kernels: several dispatches that one dispatch does at once, with the same bits.
//!
//! A kernel names the rewrites that start at it, in its own file; a pass over plans tries them and checks what they
//! answer.

use super::{Access, Binding, BufferId, Dispatch};
use std::collections::HashSet;

/// A way to do the work of several dispatches by one.
pub struct Rewrite {
    /// For messages and tests.
    pub name: &'static str,
    /// The change where the dispatch at this index, of the kernel that names the rewrite, is met.
    pub apply: fn(&View, usize) -> Option<Change>,
}

/// Dispatches that go, and the one that does their work.
#[derive(Debug)]
pub struct Change {
    /// Their indices.
    pub replace: Vec<usize>,
    /// It writes what is still read of their results, and takes the place of the first of them, so that what it reads is
    /// soon free, or of the last where something in between stands in the way.
    pub by: Dispatch,
    /// Whether what comes behind the first of them only picks among its results, or puts 0 in their place: then it does not
    /// matter whether they are rounded to half their size before or after.
    pub picks: bool,
}

/// A list of dispatches as rewrites see it.
pub struct View<'a> {
    dispatches: &'a [Dispatch],
    inner: &'a HashSet<BufferId>,
}

impl<'a> View<'a> {
    /// `inner` are the buffers that nothing outside of the list sees; each is one value and not reused for another.
    pub fn new(dispatches: &'a [Dispatch], inner: &'a HashSet<BufferId>) -> View<'a> {
        View { dispatches, inner }
    }

    /// The dispatch at an index.
    pub fn dispatch(&self, at: usize) -> &'a Dispatch {
        &self.dispatches[at]
    }

    /// The one dispatch that writes a buffer of the list; none where several do, in place or by parts.
    pub fn writer(&self, buffer: BufferId) -> Option<usize> {
        self.only(buffer, |access| access != Access::Read)
    }

    /// The one dispatch that reads a buffer of the list, once; none where several do.
    pub fn reader(&self, buffer: BufferId) -> Option<usize> {
        self.only(buffer, |access| access != Access::Write)
    }

    /// Every dispatch that reads a buffer, in order.
    pub fn readers(&self, buffer: BufferId) -> impl Iterator<Item = usize> + '_ {
        self.bindings().filter(move |(_, b, access)| b.buffer == buffer && *access != Access::Write).map(|(at, ..)| at)
    }

    fn only(&self, buffer: BufferId, counts: impl Fn(Access) -> bool) -> Option<usize> {
        if !self.inner.contains(&buffer) {
            return None;
        }
        let mut found = self.bindings().filter(|(_, b, access)| b.buffer == buffer && counts(*access));
        let first = found.next()?.0;
        found.next().is_none().then_some(first)
    }

    fn bindings(&self) -> impl Iterator<Item = (usize, &'a Binding, Access)> + '_ {
        self.dispatches
            .iter()
            .enumerate()
            .flat_map(|(at, d)| d.bindings.iter().zip(d.kernel.access).map(move |(b, access)| (at, b, *access)))
    }
}
