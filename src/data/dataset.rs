//! Sets of items of any structure, and sets made of others.

use super::item::{Columns, Field, Item};
use crate::backend::edge;
use crate::error::{Error, Result};
use crate::rng::{Rng, streams};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Items that can be fetched by number: what a [`DataLoader`](super::DataLoader) cuts into batches.
///
/// ```
/// use wgrad::data::{Array, DataLoader, Dataset, LoaderOptions};
/// /// Points of a line.
/// struct Line;
/// impl Dataset for Line {
///     type Item = ([f32; 1], f32);
///     fn len(&self) -> usize {
///         100
///     }
///     fn get(&self, row: usize) -> wgrad::Result<Self::Item> {
///         let x = row as f32 / 100.0;
///         Ok(([x], 2.0 * x + 1.0))
///     }
/// }
/// let device = wgrad::Device::cpu();
/// let loader = DataLoader::new(Line, LoaderOptions { batch_size: 32, shuffle: Some(7), ..Default::default() })?;
/// for batch in loader.epoch(0) {
///     let [x, y] = batch?.to(&device);
///     assert_eq!((x.shape()[1], y.rank()), (1, 1));
/// }
/// # Ok::<(), wgrad::Error>(())
/// ```
#[doc(alias("TensorDataset", "IterableDataset"))]
pub trait Dataset: Send + Sync {
    /// One item: a number, an array, or a tuple or struct of them.
    type Item: Item;

    /// The number of items.
    fn len(&self) -> usize;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The item of a row below [`len`](Dataset::len).
    ///
    /// # Errors
    /// Whatever stands in the way: a loader ends its epoch with this error and the row.
    fn get(&self, row: usize) -> Result<Self::Item>;

    /// Several items as columns, whose first dimension is the batch. A set whose items lie in memory already may do this at
    /// once.
    ///
    /// # Errors
    /// That of the first item that cannot be had, with its row, and [`Error::Data`] where shapes differ.
    fn batch(&self, rows: &[usize]) -> Result<<Self::Item as Item>::Columns> {
        let items: Vec<Self::Item> = rows.iter().map(|&row| item(self, row)).collect::<Result<_>>()?;
        Item::collate(items)
    }

    /// A set whose items are made of this set's by a function.
    fn map<T: Item, F: Fn(Self::Item) -> Result<T> + Send + Sync>(self, function: F) -> Map<Self, F>
    where
        Self: Sized,
    {
        Map { set: self, function }
    }

    /// The items of some rows, in their order.
    ///
    /// # Errors
    /// [`Error::Option`] if there is no such row.
    fn subset(self, rows: Vec<usize>) -> Result<Subset<Self>>
    where
        Self: Sized,
    {
        subset(Arc::new(self), rows)
    }

    /// The items of this set, and then those of another.
    fn concat<B: Dataset<Item = Self::Item>>(self, other: B) -> Concat<Self, B>
    where
        Self: Sized,
    {
        Concat { first: self, second: other }
    }

    /// Pairs of an item of this set and one of another of the same length, for sets whose items are single fields.
    ///
    /// ```
    /// use wgrad::data::Dataset;
    /// let pairs = vec![[0.5f32, 1.0], [2.0, 3.0]].zip(vec![0, 1])?;
    /// assert_eq!(pairs.get(1)?, ([2.0, 3.0], 1));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Option`] if the lengths differ.
    #[doc(alias = "StackDataset")]
    fn zip<B: Dataset>(self, other: B) -> Result<Zip<Self, B>>
    where
        Self: Sized,
        Self::Item: Field,
        B::Item: Field,
    {
        let (own, others) = (self.len(), other.len());
        if own != others {
            return Err(Error::Option(format!("zip: a set of {own} items and one of {others}: expected as many")));
        }
        Ok(Zip { first: self, second: other })
    }

    /// Sets of as many items as `sizes` say, dealt by chance: the same for the same seed.
    ///
    /// # Errors
    /// [`Error::Option`] if the sizes are more than there are items.
    fn random_split<const N: usize>(self, sizes: [usize; N], seed: u64) -> Result<[Subset<Self>; N]>
    where
        Self: Sized,
    {
        let (len, wanted) = (self.len(), sizes.iter().fold(0, |sum: usize, size| sum.saturating_add(*size)));
        if wanted > len {
            let text = format!("random_split: parts of {sizes:?} are {wanted} items, and the set has {len}");
            return Err(Error::Option(text));
        }
        let mut rows: Vec<usize> = (0..len).collect();
        Rng::stream(seed, streams::SPLIT).shuffle(&mut rows);
        let (set, mut rows) = (Arc::new(self), rows.into_iter());
        Ok(sizes.map(|size| Subset { set: set.clone(), rows: rows.by_ref().take(size).collect() }))
    }

    /// Sets of such shares, in which each class has its share: dealt by chance within the class, the same for the same seed.
    /// `labels` are those of the rows. Where a class is not divided without rest, chance says which of them give an item more, so
    /// that each set as a whole has its share, to the nearest item.
    ///
    /// ```
    /// use wgrad::data::Dataset;
    /// // One in ten is of class 1.
    /// let set: Vec<(f32, i32)> = (0..100).map(|i| (i as f32, i32::from(i % 10 == 0))).collect();
    /// let labels: Vec<i32> = set.iter().map(|(_, label)| *label).collect();
    /// let [train, test] = set.stratified_split([0.8, 0.2], &labels, 7)?;
    /// let of_one = |rows: &[usize]| rows.iter().filter(|row| *row % 10 == 0).count();
    /// assert_eq!((train.len(), of_one(train.rows()), test.len(), of_one(test.rows())), (80, 8, 20, 2));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Option`] if there is not a label for each item, or the shares are none.
    #[doc(alias("StratifiedShuffleSplit", "train_test_split"))]
    fn stratified_split<const N: usize>(self, shares: [f64; N], labels: &[i32], seed: u64) -> Result<[Subset<Self>; N]>
    where
        Self: Sized,
    {
        if labels.len() != self.len() {
            let (labels, len) = (labels.len(), self.len());
            return Err(Error::Option(format!(
                "stratified_split: {labels} labels of {len} items: expected one for each"
            )));
        }
        let sum: f64 = shares.iter().sum();
        if shares.iter().any(|share| !(0.0..=1.0).contains(share)) || sum > 1.0 + 1e-9 {
            return Err(Error::Option(format!("stratified_split: {shares:?} are no shares of a whole")));
        }
        let mut rows: Vec<usize> = (0..labels.len()).collect();
        let mut rng = Rng::stream(seed, streams::SPLIT);
        rng.shuffle(&mut rows);
        // Within a class in the order of chance, classes one after the other.
        rows.sort_by_key(|&row| labels[row]);
        let mut classes: Vec<&[usize]> = rows.chunk_by(|&a, &b| labels[a] == labels[b]).collect();
        rng.shuffle(&mut classes);
        let (mut parts, mut share, mut from) = ([(); N].map(|()| Vec::new()), 0.0, vec![0; classes.len()]);
        for (part, own) in parts.iter_mut().zip(shares) {
            share += own;
            let to = dealt(&classes, share, &from);
            for ((class, from), to) in classes.iter().zip(&from).zip(&to) {
                part.extend_from_slice(&class[*from..*to]);
            }
            from = to;
        }
        let set = Arc::new(self);
        Ok(parts.map(|mut rows| {
            rows.sort_unstable();
            Subset { set: set.clone(), rows }
        }))
    }

    /// For cross-validation: `k` pairs of a training and a validation set; every item is in one validation set.
    ///
    /// # Errors
    /// [`Error::Option`] if `k` is less than 2 or more than there are items.
    fn k_fold(self, k: usize, seed: u64) -> Result<Vec<(Subset<Self>, Subset<Self>)>>
    where
        Self: Sized,
    {
        let len = self.len();
        if k < 2 || k > len {
            return Err(Error::Option(format!(
                "k_fold: {k} folds of {len} items: choose from 2 to the number of items"
            )));
        }
        let mut rows: Vec<usize> = (0..len).collect();
        Rng::stream(seed, streams::SPLIT).shuffle(&mut rows);
        let set = Arc::new(self);
        let fold = |at: usize| {
            let held = at * len / k..(at + 1) * len / k;
            let rest = [&rows[..held.start], &rows[held.end..]].concat();
            Ok((subset(set.clone(), rest)?, subset(set.clone(), rows[held].to_vec())?))
        };
        (0..k).map(fold).collect()
    }
}

/// The ends of a share of classes, not before where they begin: those with the most left over have an item more, until all are as
/// many as the share of the whole.
fn dealt(classes: &[&[usize]], share: f64, from: &[usize]) -> Vec<usize> {
    let exact: Vec<f64> = classes.iter().map(|class| (share * class.len() as f64).min(class.len() as f64)).collect();
    let mut to: Vec<usize> = exact.iter().zip(from).map(|(exact, from)| (*exact as usize).max(*from)).collect();
    let whole = exact.iter().sum::<f64>().round() as usize;
    let mut order: Vec<usize> = (0..classes.len()).filter(|&at| to[at] < classes[at].len()).collect();
    let rest = |at: &usize| exact[*at] - to[*at] as f64;
    order.sort_by(|a, b| rest(b).total_cmp(&rest(a)));
    let more = whole.saturating_sub(to.iter().sum());
    order.into_iter().take(more).for_each(|at| to[at] += 1);
    to
}

/// An item, and a failure of any kind as an error that names its row.
pub(crate) fn item<D: Dataset + ?Sized>(set: &D, row: usize) -> Result<D::Item> {
    let told = |text: &str| Error::Data(format!("item {row}: {text}"));
    match catch_unwind(AssertUnwindSafe(|| set.get(row))) {
        Ok(Ok(item)) => Ok(item),
        Ok(Err(Error::Data(text))) => Err(told(&text)),
        Ok(Err(other)) => Err(other),
        Err(panic) => Err(told(&format!("it panicked: {}", edge::message(&*panic)))),
    }
}

macro_rules! through {
    ($($set:ty),*) => {$(
        impl<D: Dataset + ?Sized> Dataset for $set {
            type Item = D::Item;

            fn len(&self) -> usize {
                (**self).len()
            }

            fn get(&self, row: usize) -> Result<D::Item> {
                (**self).get(row)
            }

            fn batch(&self, rows: &[usize]) -> Result<<D::Item as Item>::Columns> {
                (**self).batch(rows)
            }
        }
    )*};
}

through!(&D, Arc<D>, Box<D>);

impl<T: Item + Clone + Sync> Dataset for Vec<T> {
    type Item = T;

    fn len(&self) -> usize {
        Vec::len(self)
    }

    fn get(&self, row: usize) -> Result<T> {
        Ok(self[row].clone())
    }
}

/// [`Dataset::map`].
#[derive(Debug, Clone)]
pub struct Map<D, F> {
    set: D,
    function: F,
}

impl<D: Dataset, T: Item, F: Fn(D::Item) -> Result<T> + Send + Sync> Dataset for Map<D, F> {
    type Item = T;

    fn len(&self) -> usize {
        self.set.len()
    }

    fn get(&self, row: usize) -> Result<T> {
        (self.function)(self.set.get(row)?)
    }
}

/// [`Dataset::subset`]: it shares the set that it is a part of.
#[derive(Debug)]
pub struct Subset<D> {
    set: Arc<D>,
    rows: Vec<usize>,
}

impl<D> Clone for Subset<D> {
    fn clone(&self) -> Subset<D> {
        Subset { set: self.set.clone(), rows: self.rows.clone() }
    }
}

impl<D> Subset<D> {
    /// The rows of the whole set.
    pub fn rows(&self) -> &[usize] {
        &self.rows
    }
}

fn subset<D: Dataset>(set: Arc<D>, rows: Vec<usize>) -> Result<Subset<D>> {
    let len = set.len();
    match rows.iter().find(|row| **row >= len) {
        Some(row) => Err(Error::Option(format!("subset: row {row} of a set of {len} items"))),
        None => Ok(Subset { set, rows }),
    }
}

impl<D: Dataset> Dataset for Subset<D> {
    type Item = D::Item;

    fn len(&self) -> usize {
        self.rows.len()
    }

    fn get(&self, row: usize) -> Result<D::Item> {
        self.set.get(self.rows[row])
    }

    fn batch(&self, rows: &[usize]) -> Result<<D::Item as Item>::Columns> {
        self.set.batch(&rows.iter().map(|&row| self.rows[row]).collect::<Vec<_>>())
    }
}

/// [`Dataset::concat`].
#[doc(alias = "ConcatDataset")]
#[derive(Debug, Clone)]
pub struct Concat<A, B> {
    first: A,
    second: B,
}

impl<A: Dataset, B: Dataset<Item = A::Item>> Dataset for Concat<A, B> {
    type Item = A::Item;

    fn len(&self) -> usize {
        self.first.len() + self.second.len()
    }

    fn get(&self, row: usize) -> Result<A::Item> {
        match row.checked_sub(self.first.len()) {
            None => self.first.get(row),
            Some(row) => self.second.get(row),
        }
    }
}

/// [`Dataset::zip`].
#[derive(Debug, Clone)]
pub struct Zip<A, B> {
    first: A,
    second: B,
}

impl<A: Dataset, B: Dataset> Dataset for Zip<A, B>
where
    A::Item: Field,
    B::Item: Field,
{
    type Item = (A::Item, B::Item);

    fn len(&self) -> usize {
        self.first.len()
    }

    fn get(&self, row: usize) -> Result<(A::Item, B::Item)> {
        Ok((self.first.get(row)?, self.second.get(row)?))
    }
}

/// Some items of a set, as columns on the host.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch<C> {
    /// The rows of the set that they come from.
    pub rows: Vec<usize>,
    /// One array for each part of an item, whose first dimension is the batch.
    pub columns: C,
}

impl<C: Columns> Batch<C> {
    /// The columns as tensors of a device: `let [x, labels] = batch.to(&device)`.
    pub fn to(self, device: &crate::Device) -> C::Tensors {
        self.columns.to(device)
    }
}
