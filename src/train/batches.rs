//! Sources of batches for a run.

use crate::data::{Array, ArrayValues, DataLoader, Dataset, Item, LastBatch, item};
use crate::error::Result;
use crate::rng::{NO_HASH, Rng, hashed, streams};

/// Batches of N arrays, epoch by epoch: a [`DataLoader`], or something of one's own.
pub trait Batches<const N: usize> {
    /// Batches in an epoch.
    fn len(&self) -> usize;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Batches in one of them, where they differ; a set that does not know says [`usize::MAX`], and ends when it ends.
    fn len_of(&self, _epoch: u64) -> usize {
        self.len()
    }

    /// Those of an epoch from one on.
    fn epoch_from(&self, epoch: u64, batch: usize) -> Box<dyn Iterator<Item = Result<[Array; N]>> + '_>;

    /// The same for one of several ranks: of each batch its part, and how many items that counts for. A part is not empty: where
    /// a batch has fewer items than there are ranks, its first item comes in the place of none, and counts for 0.
    ///
    /// By default whole batches are made and cut.
    fn part_from(&self, epoch: u64, batch: usize, (rank, ranks): (usize, usize)) -> Parts<'_, N> {
        Box::new(self.epoch_from(epoch, batch).map(move |batch| {
            let batch = batch?;
            let all = batch.first().and_then(|array| array.shape().first().copied()).unwrap_or(0);
            let (from, to) = (rank * all / ranks, (rank + 1) * all / ranks);
            let rows = if from == to { 0..all.min(1) } else { from..to };
            Ok((batch.map(|array| array.rows(rows.clone())), to - from))
        }))
    }

    /// A few words that tell this data from other data: a resumed run compares them.
    fn fingerprint(&self) -> String;
}

/// Parts of batches, and how many items each counts for.
pub type Parts<'b, const N: usize> = Box<dyn Iterator<Item = Result<([Array; N], usize)>> + 'b>;

impl<D: Dataset + 'static, const N: usize> Batches<N> for DataLoader<D>
where
    D::Item: Item<Columns = [Array; N]>,
{
    fn len(&self) -> usize {
        DataLoader::len(self)
    }

    fn epoch_from(&self, epoch: u64, batch: usize) -> Box<dyn Iterator<Item = Result<[Array; N]>> + '_> {
        Box::new(DataLoader::epoch_from(self, epoch, batch).map(|batch| Ok(batch?.columns)))
    }

    fn part_from(&self, epoch: u64, batch: usize, (rank, ranks): (usize, usize)) -> Parts<'_, N> {
        let dealt = self.clone().dealt(rank, ranks);
        Box::new(DataLoader::epoch_from(&dealt, epoch, batch).map(|batch| {
            let batch = batch?;
            Ok((batch.columns, batch.rows.len()))
        }))
    }

    fn fingerprint(&self) -> String {
        let (options, items) = (self.options(), self.set().len());
        let order = options.shuffle.map_or_else(|| "in order".into(), |seed| format!("shuffled by {seed}"));
        let order = if options.weights.is_some() { format!("weighted, {order}") } else { order };
        let order = if options.lengths.is_some() { format!("by length, {order}") } else { order };
        let last = if options.last == LastBatch::Keep { "" } else { ", whole batches" };
        // The first, a middle and the last item: enough to tell other data from the same, in no time.
        // One by one, since a batch may lie on a device.
        let hashed = || {
            let some =
                [0, items / 2, items - 1].into_iter().map(|row| item(self.set(), row)).collect::<Result<Vec<_>>>();
            Ok(some.and_then(Item::collate)?.iter().fold(NO_HASH, hash))
        };
        // An item that fails is told with its number, once its batch is asked for.
        let first: Result<u64> = hashed();
        let varies = first.is_ok() && (1..READS).any(|_| hashed() != first);
        let hash = if varies { DRAWN_ANEW.to_string() } else { format!("{:016x}", first.unwrap_or_default()) };
        format!("{items} items, {} a batch, {order}{last}, {hash}", options.batch_size)
    }
}

/// How often an item is read to tell whether it is the same each time.
const READS: usize = 4;

/// What stands in the place of a hash where it is not: random changes of a picture, say.
const DRAWN_ANEW: &str = "items drawn anew";

/// Whether items of a set with such a fingerprint are others each time.
pub(super) fn varies(data: &str) -> bool {
    data.ends_with(DRAWN_ANEW)
}

/// A fingerprint that says nothing of what is in the items.
pub(super) fn without_items(data: &str) -> String {
    data.rsplit_once(", ").map_or_else(|| data.into(), |(rest, _)| format!("{rest}, {DRAWN_ANEW}"))
}

/// Whether fingerprints are of one set. Items that are drawn anew may have been the same each time by chance.
pub(super) fn is_same(a: &str, b: &str) -> bool {
    a == b || (varies(a) || varies(b)) && without_items(a) == without_items(b)
}

/// Batches that a function draws, each from a generator of its own: data that is made up as it goes, or pieces from anywhere
/// in a text. Any of them can be drawn without those before it, so that a run is resumed at no cost.
///
/// ```
/// use wgrad::data::Array;
/// use wgrad::train::{Batches, Drawn};
/// // A thousand steps on points of a line, looked at ten times.
/// let line = Drawn::new(1000, 7, |rng| {
///     let x: Vec<f32> = (0..32).map(|_| rng.uniform()).collect();
///     let y: Vec<f32> = x.iter().map(|x| 2.0 * x + 1.0).collect();
///     Ok([x, y].map(|column| Array::new(column, [32, 1])))
/// }).epochs(10);
/// assert_eq!((line.len(), line.epoch_from(3, 98).count()), (100, 2));
/// ```
#[derive(Debug, Clone)]
pub struct Drawn<F> {
    steps: u64,
    epochs: u64,
    seed: u64,
    draw: F,
}

impl<F> Drawn<F> {
    /// So many batches in all, from a seed.
    pub fn new<const N: usize>(steps: usize, seed: u64, draw: F) -> Drawn<F>
    where
        F: Fn(&mut Rng) -> Result<[Array; N]>,
    {
        Drawn { steps: steps as u64, epochs: 1, seed, draw }
    }

    /// In so many epochs, as equal as can be, but at most one for each batch; 1. A [`Trainer`](super::Trainer) is to be told
    /// of [as many](Drawn::in_epochs).
    #[must_use]
    pub fn epochs(self, epochs: usize) -> Drawn<F> {
        Drawn { epochs: (epochs as u64).clamp(1, self.steps.max(1)), ..self }
    }

    /// The number of epochs.
    pub fn in_epochs(&self) -> usize {
        self.epochs as usize
    }

    /// The number of an epoch's first step.
    fn start(&self, epoch: u64) -> u64 {
        epoch * self.steps / self.epochs
    }
}

impl<const N: usize, F: Fn(&mut Rng) -> Result<[Array; N]>> Batches<N> for Drawn<F> {
    fn len(&self) -> usize {
        self.steps.div_ceil(self.epochs) as usize
    }

    fn len_of(&self, epoch: u64) -> usize {
        (self.start(epoch + 1) - self.start(epoch)) as usize
    }

    fn epoch_from(&self, epoch: u64, batch: usize) -> Box<dyn Iterator<Item = Result<[Array; N]>> + '_> {
        let steps = self.start(epoch) + batch as u64..self.start(epoch + 1);
        Box::new(steps.map(|step| (self.draw)(&mut Rng::numbered(self.seed, step, streams::DRAWN))))
    }

    fn fingerprint(&self) -> String {
        let first = (self.draw)(&mut Rng::numbered(self.seed, 0, streams::DRAWN));
        let hash = first.map_or(0, |columns| columns.iter().fold(NO_HASH, hash));
        format!("{} batches in {} epochs, drawn from {}, {hash:016x}", self.steps, self.epochs, self.seed)
    }
}

/// Batches of items that come one after another, of a number that nobody knows before: lines of a socket, records of many
/// files. A run that is resumed within an epoch passes over what it has seen.
///
/// ```
/// use wgrad::train::{Batches, Streamed};
/// // Whatever gives items, from the start for each epoch.
/// let numbers = Streamed::new(4, |_epoch| Ok((0..10).map(|at| Ok(([at as f32], at % 3)))));
/// let sizes = numbers.epoch_from(0, 1).map(|batch| Ok(batch?[1].shape()[0])).collect::<wgrad::Result<Vec<_>>>();
/// assert_eq!(sizes?, [4, 2]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[doc(alias = "IterableDataset")]
#[derive(Debug, Clone)]
pub struct Streamed<F> {
    batch_size: usize,
    open: F,
}

impl<F> Streamed<F> {
    /// So many items in a batch, from what `open` gives for an epoch.
    ///
    /// # Panics
    /// If there is no item in a batch.
    #[track_caller]
    pub fn new<I>(batch_size: usize, open: F) -> Streamed<F>
    where
        F: Fn(u64) -> Result<I>,
    {
        assert!(batch_size > 0, "Streamed: a batch of no items: choose at least 1");
        Streamed { batch_size, open }
    }
}

impl<const N: usize, T: Item<Columns = [Array; N]>, I, F> Batches<N> for Streamed<F>
where
    F: Fn(u64) -> Result<I>,
    I: Iterator<Item = Result<T>> + 'static,
{
    fn len(&self) -> usize {
        usize::MAX
    }

    fn epoch_from(&self, epoch: u64, batch: usize) -> Box<dyn Iterator<Item = Result<[Array; N]>> + '_> {
        let mut items = match (self.open)(epoch) {
            Ok(items) => items.skip(batch.saturating_mul(self.batch_size)),
            Err(error) => return Box::new(std::iter::once(Err(error))),
        };
        let mut ended = false;
        Box::new(std::iter::from_fn(move || {
            let items: Result<Vec<T>> = items.by_ref().take(if ended { 0 } else { self.batch_size }).collect();
            ended = items.as_ref().map_or(true, |items| items.len() < self.batch_size);
            match items {
                Ok(items) if items.is_empty() => None,
                items => Some(items.and_then(T::collate)),
            }
        }))
    }

    fn fingerprint(&self) -> String {
        format!("a stream, {} a batch", self.batch_size)
    }
}

/// The hash with the elements of an array more.
fn hash(start: u64, array: &Array) -> u64 {
    let add = |hash: u64, word: u32| hashed(hash, word);
    match array.values() {
        ArrayValues::F32(values) => values.iter().map(|value| value.to_bits()).fold(start, add),
        ArrayValues::I32(values) => values.iter().map(|&value| value as u32).fold(start, add),
        ArrayValues::I64(values) => values.iter().map(|&value| value as u32).fold(start, add),
        ArrayValues::U8(values) => values.iter().map(|&value| u32::from(value)).fold(start, add),
    }
}
