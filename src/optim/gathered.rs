//! The gradients of a step, gathered.

use super::penalty::Penalty;
use super::rows::{RowBucket, Sparse};
use super::slab::{Slab, Stretch};
use crate::autograd::Grads;
use crate::tensor::Tensor;
use std::iter::once;

/// Each slab with its stretches that have gradients, and apart from them tables of which some rows have some.
#[derive(Default)]
pub struct Gathered<'a> {
    pub slabs: Vec<(&'a Slab, Vec<Stretch>)>,
    pub rows: Vec<RowBucket<'a>>,
}

impl Gathered<'_> {
    /// Whether no parameter has one.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.slabs.iter().all(|(_, stretches)| stretches.is_empty())
    }

    /// The gradients as tensors that may be changed in place.
    pub fn buckets(&self) -> Vec<Tensor> {
        let of = |(slab, stretches): &(&Slab, Vec<Stretch>)| -> Vec<Tensor> {
            stretches.iter().map(|stretch| slab.bucket(stretch)).collect()
        };
        let rows = self.rows.iter().filter(|bucket| !bucket.is_empty()).map(RowBucket::flat);
        self.slabs.iter().flat_map(of).chain(rows).collect()
    }

    /// Which parameters of a group it moves, counted through all its slabs, which are these; `group` is its number.
    pub fn moved<'s>(&self, group: usize, slabs: impl Iterator<Item = &'s Slab>) -> Vec<usize> {
        let (mut first, mut moved) = (0, Vec::new());
        for slab in slabs {
            let own = self.slabs.iter().filter(|(other, _)| std::ptr::eq(*other, slab));
            moved.extend(own.flat_map(|(_, stretches)| stretches).flat_map(|s| s.entries.clone()).map(|at| first + at));
            let rows = self.rows.iter().filter(|bucket| bucket.group == group && std::ptr::eq(bucket.slab, slab));
            moved.extend(rows.map(|bucket| first + bucket.entry));
            first += slab.members();
        }
        moved
    }

    /// What a step may change in those slabs, as it is now: each place with a copy.
    pub fn kept(&self, is_own: impl Fn(&Slab) -> bool) -> Vec<(Tensor, Tensor)> {
        let mut kept = Vec::new();
        for (slab, stretches) in self.slabs.iter().filter(|(slab, _)| is_own(slab)) {
            for tensor in once(&slab.values).chain(&slab.moments) {
                let places = stretches.iter().map(|s| tensor.narrow(0, s.first as usize, s.n as usize));
                kept.extend(places.map(|place| (place.copy(), place)));
            }
        }
        kept
    }
}

/// Refuses gradients of rows where a rule or a penalty moves whole tables, and whole gradients where a rule moves rows alone.
#[track_caller]
pub fn check(rule: &str, sparse: Sparse, penalty: &Penalty, slab: &Slab, grads: &Grads) {
    for (at, tensor) in slab.tensors().enumerate() {
        let name = slab.name(at);
        match (grads.rows(&tensor), sparse) {
            (Some(_), Sparse::Refused) => panic!(
                "{rule}: expected a whole gradient for {name}, got one of rows (Embedding::sparse), and its steps with these options \
                 move all of a table: take SparseAdam, Adagrad or Sgd without decay for it, or a layer that is not sparse"
            ),
            (Some(_), _) if penalty.l1 != 0.0 || penalty.l2 != 0.0 => panic!(
                "{rule}: expected a whole gradient for {name}, got one of rows (Embedding::sparse), and a penalty draws at all of a \
                 table: leave the penalty out, or take a layer that is not sparse"
            ),
            (None, Sparse::Only) if grads.of(&tensor).is_some() => panic!(
                "{rule}: expected a gradient of rows (Embedding::sparse) for {name}, got a whole one: take Adam for it; \
                 DataParallel gives whole ones"
            ),
            _ => (),
        }
    }
}
