//! Batches of a data set, in an order that depends only on the seed and the number of the epoch.

use super::dataset::{Batch, Dataset};
use super::item::Item;
use crate::backend::edge;
use crate::error::{Error, Result};
use crate::rng::{Rng, streams};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

/// Options of a [`DataLoader`].
#[derive(Debug, Clone, PartialEq)]
pub struct LoaderOptions {
    /// Items in a batch; 64.
    pub batch_size: usize,
    /// The seed that shuffles each epoch anew; `None`, the default, keeps the set's own order.
    pub shuffle: Option<u64>,
    /// How likely each item is to come: an epoch then has as many items as the set, drawn anew each time, so that some come
    /// often and others not at all. It needs [`shuffle`](LoaderOptions::shuffle). [`balanced`] makes classes equally frequent.
    pub weights: Option<Arc<[f64]>>,
    /// The length of each item: batches are then made of items of like lengths, so that little is padded (see
    /// [`Padded`](super::Padded)). It needs [`shuffle`](LoaderOptions::shuffle).
    pub lengths: Option<Arc<[usize]>>,
    /// A last batch that is not full: it is kept.
    pub last: LastBatch,
    /// Threads that make batches ahead, each up to two of them; by default 0: each batch is made when it is asked for. The
    /// batches and their order do not depend on it. A browser has no threads.
    pub workers: usize,
}

impl Default for LoaderOptions {
    fn default() -> LoaderOptions {
        LoaderOptions { batch_size: 64, shuffle: None, weights: None, lengths: None, last: LastBatch::Keep, workers: 0 }
    }
}

/// Weights of items by which all classes come equally often, for [`LoaderOptions::weights`].
///
/// ```
/// assert_eq!(wgrad::data::balanced(&[0, 0, 0, 1])[..], [1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0, 1.0]);
/// ```
#[doc(alias = "WeightedRandomSampler")]
pub fn balanced(labels: &[i32]) -> Arc<[f64]> {
    let counts = counts(labels);
    labels.iter().map(|label| 1.0 / counts[label] as f64).collect()
}

/// Weights of classes for [`CrossEntropyOptions::weight`](crate::CrossEntropyOptions): a rare class weighs more, and the mean
/// over the rows is 1. A class without a row weighs 0.
///
/// ```
/// assert_eq!(wgrad::data::class_weights(&[0, 0, 0, 1], 2), [4.0 / 6.0, 2.0]);
/// ```
#[doc(alias("compute_class_weight", "class_weight"))]
pub fn class_weights(labels: &[i32], classes: usize) -> Vec<f32> {
    let counts = counts(labels);
    let weight = |count: &usize| labels.len() as f32 / (counts.len() * count) as f32;
    (0..classes as i32).map(|class| counts.get(&class).map_or(0.0, weight)).collect()
}

fn counts(labels: &[i32]) -> HashMap<i32, usize> {
    let mut counts = HashMap::new();
    labels.iter().for_each(|label| *counts.entry(*label).or_default() += 1);
    counts
}

/// The choice for a last batch that is not full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LastBatch {
    /// It is a smaller batch: every item is seen in every epoch.
    #[default]
    Keep,
    /// It is left out: every batch has the same shape.
    Drop,
}

/// Batches of a stretch that is sorted by length.
const BUCKETS: usize = 50;

/// Batches that a worker makes before the first of them is taken.
const AHEAD: usize = 2;

/// Cuts a set into batches, epoch by epoch.
#[derive(Debug)]
pub struct DataLoader<D> {
    set: Arc<D>,
    options: LoaderOptions,
    /// Which part of each batch it gives, and of how many.
    part: (usize, usize),
}

impl<D> Clone for DataLoader<D> {
    fn clone(&self) -> DataLoader<D> {
        DataLoader { set: self.set.clone(), options: self.options.clone(), part: self.part }
    }
}

type Columns<D> = <<D as Dataset>::Item as Item>::Columns;

impl<D: Dataset + 'static> DataLoader<D> {
    /// A loader of a set; an `Arc` of one is a set too, which loaders can share.
    ///
    /// # Errors
    /// [`Error::Data`] if the set is empty; [`Error::Option`] if the batch size is 0, or if no batch would be left.
    pub fn new(set: D, options: LoaderOptions) -> Result<DataLoader<D>> {
        let set = Arc::new(set);
        let len = set.len();
        if len == 0 {
            return Err(Error::Data("the data set is empty: there is nothing to load".to_string()));
        }
        // The generator draws 32 bits for a place in the order.
        if u32::try_from(len).is_err() {
            let text = format!("a data set of {len} items is too large to shuffle: take at most 2^32 - 1");
            return Err(Error::Data(text));
        }
        if options.batch_size == 0 {
            return Err(Error::Option("the batch size is 0: choose at least 1".to_string()));
        }
        if let Some(weights) = &options.weights {
            let fits = weights.len() == len && weights.iter().all(|weight| *weight >= 0.0 && weight.is_finite());
            if !fits || weights.iter().sum::<f64>() <= 0.0 || options.shuffle.is_none() {
                let count = weights.len();
                let text = format!(
                    "{count} weights of {len} items: expected one for each, from 0 up and not all 0, and a seed in `shuffle`"
                );
                return Err(Error::Option(text));
            }
        }
        if let Some(lengths) = options.lengths.as_ref().filter(|own| own.len() != len || options.shuffle.is_none()) {
            let count = lengths.len();
            let text = format!("{count} lengths of {len} items: expected one for each, and a seed in `shuffle`");
            return Err(Error::Option(text));
        }
        if options.last == LastBatch::Drop && len < options.batch_size {
            return Err(Error::Option(format!(
                "a data set of {len} items has no full batch of {}: choose a smaller batch size or keep the last batch",
                options.batch_size
            )));
        }
        Ok(DataLoader { set, options, part: (0, 1) })
    }

    /// Gives of each batch the part that is for one of several ranks, and makes no more of it: `batch_size` is that of all ranks
    /// together, and the order is what it was, so that every item comes once in an epoch whatever their number. Parts differ by at
    /// most one item. Where a last batch has fewer items than there are ranks, some get its first item in the place of none: their
    /// [`rows`](Batch::rows) are empty, and it counts for nothing.
    ///
    /// ```
    /// use wgrad::data::{DataLoader, LoaderOptions};
    /// let loader = DataLoader::new((0..10).collect::<Vec<i32>>(), LoaderOptions { batch_size: 6, ..LoaderOptions::default() })?;
    /// let rows = |rank| loader.clone().dealt(rank, 3).epoch(0).map(|batch| Ok(batch?.rows)).collect::<wgrad::Result<Vec<_>>>();
    /// assert_eq!(rows(0)?, [vec![0, 1], vec![6]]);
    /// assert_eq!(rows(2)?, [vec![4, 5], vec![8, 9]]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// If there is no such rank.
    #[doc(alias = "DistributedSampler")]
    #[must_use]
    #[track_caller]
    pub fn dealt(self, rank: usize, ranks: usize) -> DataLoader<D> {
        assert!(rank < ranks, "dealt: expected a rank below {ranks}, got {rank}");
        DataLoader { part: (rank, ranks), ..self }
    }

    /// The set that the batches come from.
    pub fn set(&self) -> &D {
        &self.set
    }

    /// Its options.
    pub fn options(&self) -> &LoaderOptions {
        &self.options
    }

    /// The number of batches in an epoch, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "a loader is never empty")]
    pub fn len(&self) -> usize {
        match self.options.last {
            LastBatch::Keep => self.set.len().div_ceil(self.options.batch_size),
            LastBatch::Drop => self.set.len() / self.options.batch_size,
        }
    }

    /// The rows of the set in the order of epoch `number`.
    ///
    /// It depends on nothing but the seed and the number: the first two words of the Philox block at (0, number low,
    /// number high, [`streams::SHUFFLE`]) under the seed are the seed of the epoch, whose stream
    /// [`streams::SHUFFLE`] shuffles the rows. Any epoch can be drawn without those before it.
    pub fn order(&self, number: u64) -> Vec<usize> {
        let mut rows: Vec<usize> = (0..self.set.len()).collect();
        if let Some(seed) = self.options.shuffle {
            let mut rng = Rng::numbered(seed, number, streams::SHUFFLE);
            match &self.options.weights {
                None => rng.shuffle(&mut rows),
                Some(weights) => {
                    let mut sum = 0.0;
                    let sums: Vec<f64> = weights
                        .iter()
                        .map(|weight| {
                            sum += weight;
                            sum
                        })
                        .collect();
                    let draw = |_| {
                        // 32 bits: with fewer, the last of many items would never come.
                        let at = f64::from(rng.next_u32()) / 4_294_967_296.0 * sum;
                        sums.partition_point(|own| *own <= at)
                    };
                    rows = (0..rows.len()).map(draw).map(|row| row.min(sums.len() - 1)).collect();
                }
            }
            if let Some(lengths) = &self.options.lengths {
                rows = self.by_length(rows, lengths, &mut rng);
            }
        }
        rows
    }

    /// The same rows in batches of like lengths: each stretch of many batches is sorted, and whole batches are shuffled. What is
    /// no whole batch is of like lengths too, from anywhere in the last stretch: else it would be the longest in every epoch.
    fn by_length(&self, mut rows: Vec<usize>, lengths: &[usize], rng: &mut Rng) -> Vec<usize> {
        let size = self.options.batch_size;
        rows.chunks_mut(size.saturating_mul(BUCKETS)).for_each(|stretch| stretch.sort_by_key(|row| lengths[*row]));
        let mut whole: Vec<usize> = (0..rows.len() / size).collect();
        rng.shuffle(&mut whole);
        let (left, last) = (rows.len() % size, rows.len() % size.saturating_mul(BUCKETS));
        if left > 0 {
            let place = rng.below((last - left + 1) as u32) as usize;
            let start = rows.len() - last + place;
            rows[start..].rotate_left(left);
        }
        let (batches, rest) = rows.split_at(whole.len() * size);
        whole.iter().flat_map(|at| &batches[at * size..][..size]).chain(rest).copied().collect()
    }

    /// The batches of epoch `number`, in its [`order`](DataLoader::order).
    pub fn epoch(&self, number: u64) -> Epoch<D> {
        self.epoch_from(number, 0)
    }

    /// The same from a batch on, without the work of those before it: for a run that goes on within an epoch.
    pub fn epoch_from(&self, number: u64, batch: usize) -> Epoch<D> {
        let (order, next) = (Arc::new(self.order(number)), batch.min(self.len()));
        let cut = Cut { set: self.set.clone(), order, size: self.options.batch_size, part: self.part };
        let workers = if edge::CAN_WAIT { self.options.workers.min(self.len() - next) } else { 0 };
        let workers = (0..workers).map(|at| cut.beside(next + at, self.len(), workers)).collect();
        Epoch { cut, len: self.len(), first: next, next, workers }
    }
}

/// The order of an epoch, and where its batches lie in it.
struct Cut<D> {
    set: Arc<D>,
    order: Arc<Vec<usize>>,
    size: usize,
    part: (usize, usize),
}

impl<D: Dataset + 'static> Cut<D> {
    fn batch(&self, at: usize) -> Result<Batch<Columns<D>>> {
        let all = &self.order[at * self.size..self.order.len().min((at + 1) * self.size)];
        let (rank, ranks) = self.part;
        let rows = &all[rank * all.len() / ranks..(rank + 1) * all.len() / ranks];
        let made = catch_unwind(AssertUnwindSafe(|| self.set.batch(if rows.is_empty() { &all[..1] } else { rows })));
        let columns = made.unwrap_or_else(|panic| {
            Err(Error::Data(format!("the items {rows:?}: making a batch of them panicked: {}", edge::message(&*panic))))
        });
        Ok(Batch { columns: columns?, rows: rows.to_vec() })
    }

    /// A thread that makes every `step`th batch, and waits where enough of them are not taken yet.
    fn beside(&self, first: usize, len: usize, step: usize) -> Receiver<Result<Batch<Columns<D>>>> {
        let (made, taken) = sync_channel(AHEAD);
        let cut = Cut { set: self.set.clone(), order: self.order.clone(), size: self.size, part: self.part };
        edge::beside(move || {
            for at in (first..len).step_by(step) {
                let batch = cut.batch(at);
                // Nobody takes what follows an error, or what an epoch that was dropped has left.
                let is_last = batch.is_err();
                if made.send(batch).is_err() || is_last {
                    return;
                }
            }
        });
        taken
    }
}

/// The batches of one epoch: see [`DataLoader::epoch`]. After an error there are no more.
pub struct Epoch<D: Dataset> {
    cut: Cut<D>,
    len: usize,
    first: usize,
    next: usize,
    workers: Vec<Receiver<Result<Batch<Columns<D>>>>>,
}

impl<D: Dataset + 'static> Iterator for Epoch<D> {
    type Item = Result<Batch<Columns<D>>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next == self.len {
            return None;
        }
        let batch = match self.workers.len() {
            0 => self.cut.batch(self.next),
            workers => self.workers[(self.next - self.first) % workers]
                .recv()
                .unwrap_or_else(|_| Err(Error::Data("a thread that makes batches ended too early".into()))),
        };
        self.next = if batch.is_err() { self.len } else { self.next + 1 };
        Some(batch)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.len - self.next;
        (left, Some(left))
    }
}

impl<D: Dataset + 'static> ExactSizeIterator for Epoch<D> {}
