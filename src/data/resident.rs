//! A set whose items lie in the memory of a device.

use super::dataset::Dataset;
use super::item::{Array, Item};
use crate::device::Device;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::tensor::{Tensor, apart};
use std::sync::Arc;

/// Bytes of a set that are made and uploaded at once, at most.
const PIECE: u64 = 256 << 20;

/// A set that lives on a device: all of it is uploaded when this is made, and batches are gathered there, so that a step sends
/// the numbers of its rows and nothing else.
///
/// ```
/// use wgrad::data::{DataLoader, LoaderOptions, Resident};
/// let device = wgrad::Device::best();
/// let set: Vec<([f32; 2], i32)> = (0..100).map(|at| ([at as f32, 1.0], at % 3)).collect();
/// let set = Resident::new(set, &device)?;
/// let loader = DataLoader::new(set, LoaderOptions { shuffle: Some(7), ..LoaderOptions::default() })?;
/// for batch in loader.epoch(0) {
///     let [x, labels] = batch?.to(&device);
///     assert_eq!(x.shape(), [labels.numel(), 2]);
/// }
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// Each item is read once: what its set draws anew at each reading stays as it was drawn. All items have one shape. A
/// [`subset`](Dataset::subset) of it gathers on the device too; [`map`](Dataset::map) and [`concat`](Dataset::concat) are for
/// the set that it is made of. The array of a batch has no values on the host.
///
/// Images take a quarter of the memory as [bytes](super::ImageSet::into_bytes).
#[derive(Debug)]
pub struct Resident<D, const N: usize> {
    set: D,
    columns: [Arc<Column>; N],
}

impl<D: Dataset, const N: usize> Resident<D, N>
where
    D::Item: Item<Columns = [Array; N]>,
{
    /// Uploads a set, which is kept for its items one by one.
    ///
    /// # Errors
    /// That of an item that cannot be read; [`Error::Data`] where the set is empty or shapes differ; the device's where its
    /// memory does not hold them.
    pub fn new(set: D, device: &Device) -> Result<Resident<D, N>> {
        Resident::in_pieces(set, device, PIECE.min(device.info().max_binding_bytes))
    }

    fn in_pieces(set: D, device: &Device, bytes: u64) -> Result<Resident<D, N>> {
        if set.is_empty() {
            return Err(Error::Data("the data set is empty: there is nothing to upload".into()));
        }
        let rows: Vec<usize> = (0..set.len()).collect();
        let most = set.batch(&rows[..1])?.iter().map(words).max().unwrap_or(1).max(1) as u64;
        let piece = rows.len().min((bytes / (4 * most)).max(1) as usize);
        let mut columns: [Option<Column>; N] = std::array::from_fn(|_| None);
        for rows in rows.chunks(piece) {
            for (column, array) in columns.iter_mut().zip(set.batch(rows)?) {
                let of = || Column {
                    pieces: Vec::new(),
                    rows: piece,
                    dtype: array.dtype(),
                    item: array.shape()[1..].to_vec(),
                };
                column.get_or_insert_with(of).push(array, device)?;
            }
        }
        device.submit();
        let columns = columns.map(|column| Arc::new(column.expect("a set has a piece, and a batch N columns")));
        Ok(Resident { set, columns })
    }

    /// The set that it was made of.
    pub fn set(&self) -> &D {
        &self.set
    }
}

impl<D: Dataset, const N: usize> Dataset for Resident<D, N>
where
    D::Item: Item<Columns = [Array; N]>,
{
    type Item = D::Item;

    fn len(&self) -> usize {
        self.set.len()
    }

    fn get(&self, row: usize) -> Result<D::Item> {
        self.set.get(row)
    }

    fn batch(&self, rows: &[usize]) -> Result<[Array; N]> {
        if let Some(row) = rows.iter().find(|row| **row >= self.len()) {
            return Err(Error::Data(format!("row {row} of a set of {} items", self.len())));
        }
        Ok(self.columns.each_ref().map(|column| Array::there(Rows { column: column.clone(), rows: rows.to_vec() })))
    }
}

/// One part of all items.
#[derive(Debug)]
struct Column {
    /// i32 [rows, words]: the bytes of the items, whatever they are.
    pieces: Vec<Tensor>,
    /// Rows of each piece but the last.
    rows: usize,
    dtype: DType,
    item: Vec<usize>,
}

/// The words of an item: of bytes that do not fill them, one for each.
fn words(array: &Array) -> usize {
    let each: usize = array.shape()[1..].iter().product();
    match array.dtype() {
        DType::U8 if each.is_multiple_of(4) => each / 4,
        DType::I64 => 2 * each,
        _ => each,
    }
}

impl Column {
    fn push(&mut self, array: Array, device: &Device) -> Result<()> {
        if array.shape()[1..] != self.item || array.dtype() != self.dtype {
            let (had, has) = (&self.item, &array.shape()[1..]);
            let text = format!(
                "items of {} {had:?} and of {} {has:?} cannot lie on the device together: make them alike, or leave them on the host",
                self.dtype,
                array.dtype()
            );
            return Err(Error::Data(text));
        }
        let (rows, words) = (array.shape()[0], words(&array));
        let is_loose = self.is_loose();
        let whole = array.to(device);
        let whole = if is_loose { whole.cast(DType::I32) } else { whole };
        self.pieces.push(whole.reread(DType::I32, [rows, words]));
        self.pieces.last().and_then(Tensor::lost).map_or(Ok(()), Err)
    }

    /// Whether each byte is kept as a word of its own.
    fn is_loose(&self) -> bool {
        self.dtype == DType::U8 && !self.item.iter().product::<usize>().is_multiple_of(4)
    }

    fn gathered(&self, rows: &[usize]) -> Tensor {
        let device = self.pieces[0].device();
        let index = |rows: &[i32]| Tensor::from_slice(rows, [rows.len()], device);
        // Piece by piece, and then in the order that was asked for.
        let (mut parts, mut places, mut met) = (Vec::new(), vec![0; rows.len()], 0);
        for (at, piece) in self.pieces.iter().enumerate() {
            let own: Vec<usize> = (0..rows.len()).filter(|&row| rows[row] / self.rows == at).collect();
            if own.is_empty() {
                continue;
            }
            own.iter().zip(met..).for_each(|(&row, place)| places[row] = place);
            met += own.len() as i32;
            let within: Vec<i32> = own.iter().map(|&row| (rows[row] % self.rows) as i32).collect();
            parts.push(piece.index_select(0, &index(&within)));
        }
        let words = match &parts[..] {
            [] => self.pieces[0].narrow(0, 0, 0).contiguous(),
            [one] => one.clone(),
            more => Tensor::cat(more, 0).index_select(0, &index(&places)),
        };
        let shape = [&[rows.len()], &self.item[..]].concat();
        if self.is_loose() { words.cast(DType::U8).reshape(&shape[..]) } else { words.reread(self.dtype, &shape[..]) }
    }
}

/// Some rows of a column: a batch that is made when it is asked for.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    column: Arc<Column>,
    rows: Vec<usize>,
}

impl PartialEq for Rows {
    fn eq(&self, other: &Rows) -> bool {
        Arc::ptr_eq(&self.column, &other.column) && self.rows == other.rows
    }
}

impl Rows {
    pub fn shape(&self) -> Vec<usize> {
        [&[self.rows.len()], &self.column.item[..]].concat()
    }

    pub fn dtype(&self) -> DType {
        self.column.dtype
    }

    pub fn part(&self, part: std::ops::Range<usize>) -> Rows {
        Rows { column: self.column.clone(), rows: self.rows[part].to_vec() }
    }

    #[track_caller]
    pub fn to(&self, device: &Device) -> Tensor {
        let own = self.column.pieces[0].device();
        assert!(own == device, "a batch of a set that lives on another device: {}", apart(own, device));
        self.column.gathered(&self.rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Columns;

    #[test]
    fn a_batch_is_the_same_from_any_number_of_pieces() {
        let device = Device::cpu();
        let item =
            |at: u8| (Array::new(vec![at, 2, 3, at], [2, 2]), Array::new(vec![at, 9, 8], [3]), i32::from(at) * 1000);
        let set: Vec<_> = (0..23).map(item).collect();
        let rows = [7, 22, 0, 7, 13];
        let want = set.batch(&rows).expect("items alike");
        for bytes in [1, 24, 100, PIECE] {
            let there = Resident::in_pieces(set.clone(), &device, bytes).expect("they can be uploaded");
            let got = there.batch(&rows).expect("rows of it");
            assert!(got.each_ref().map(Array::shape) == want.each_ref().map(Array::shape));
            let [got, want] = [got.to(&device), want.clone().to(&device)];
            for at in 0..2 {
                assert_eq!(got[at].to_vec::<u8>().unwrap(), want[at].to_vec::<u8>().unwrap(), "{bytes} bytes, {at}");
            }
            assert_eq!(got[2].to_vec::<i32>().unwrap(), want[2].to_vec::<i32>().unwrap(), "{bytes} bytes");
        }
    }
}
