//! Sources of batches for a run.

use crate::data::{Array, ArrayValues, DataLoader, Dataset, Item, LastBatch};
use crate::error::Result;

/// Batches of N arrays, epoch by epoch: a [`DataLoader`], or something of one's own.
pub trait Batches<const N: usize> {
    /// Batches in an epoch.
    fn len(&self) -> usize;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Those of an epoch from one on.
    fn epoch_from(&self, epoch: u64, batch: usize) -> Box<dyn Iterator<Item = Result<[Array; N]>> + '_>;

    /// A few words that tell this data from other data: a resumed run compares them.
    fn fingerprint(&self) -> String;
}

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

    fn fingerprint(&self) -> String {
        let (options, items) = (self.options(), self.set().len());
        let order = options.shuffle.map_or_else(|| "in order".into(), |seed| format!("shuffled by {seed}"));
        let last = if options.last == LastBatch::Keep { "" } else { ", whole batches" };
        // The first, a middle and the last item: enough to tell other data from the same, in no time.
        let some = self.set().batch(&[0, items / 2, items - 1]);
        let hash = some.map_or(0, |columns| columns.iter().fold(0xcbf2_9ce4_8422_2325, hash));
        format!("{items} items, {} a batch, {order}{last}, {hash:016x}", options.batch_size)
    }
}

/// FNV-1a (Fowler, Noll, Vo) over the elements of an array.
fn hash(start: u64, array: &Array) -> u64 {
    let add = |hash: u64, word: u32| (hash ^ u64::from(word)).wrapping_mul(0x0100_0000_01b3);
    match array.values() {
        ArrayValues::F32(values) => values.iter().map(|value| value.to_bits()).fold(start, add),
        ArrayValues::I32(values) => values.iter().map(|&value| value as u32).fold(start, add),
        ArrayValues::I64(values) => values.iter().map(|&value| value as u32).fold(start, add),
        ArrayValues::U8(values) => values.iter().map(|&value| u32::from(value)).fold(start, add),
    }
}
