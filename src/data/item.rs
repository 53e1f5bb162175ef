//! Items of data sets, and batches of them as arrays.

use super::resident::Rows;
use crate::device::Device;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// Numbers with a shape, in row-major order: on the host, or, of a batch of a [`Resident`](super::Resident) set, on its device.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    shape: Vec<usize>,
    values: Held,
}

#[derive(Debug, Clone, PartialEq)]
enum Held {
    Here(ArrayValues),
    There(Rows),
}

macro_rules! values {
    ($($(#[$doc:meta])* $variant:ident($type:ty), $slice:ident;)*) => {
        /// The elements of an [`Array`].
        #[derive(Debug, Clone, PartialEq)]
        #[non_exhaustive]
        pub enum ArrayValues {
            $($(#[$doc])* $variant(Vec<$type>),)*
        }

        $(impl From<Vec<$type>> for ArrayValues {
            fn from(values: Vec<$type>) -> ArrayValues {
                ArrayValues::$variant(values)
            }
        })*

        impl ArrayValues {
            fn len(&self) -> usize {
                match self {
                    $(ArrayValues::$variant(values) => values.len(),)*
                }
            }

            /// Some in a row.
            fn part(&self, part: std::ops::Range<usize>) -> ArrayValues {
                match self {
                    $(ArrayValues::$variant(values) => ArrayValues::$variant(values[part].to_vec()),)*
                }
            }

            /// Several after one another; `None` where they are of several types.
            fn joined<'a>(all: impl Iterator<Item = &'a ArrayValues> + Clone) -> Option<ArrayValues> {
                match all.clone().next()? {
                    $(ArrayValues::$variant(_) => {
                        let mut joined = Vec::new();
                        for values in all {
                            let ArrayValues::$variant(values) = values else { return None };
                            joined.extend_from_slice(values);
                        }
                        Some(ArrayValues::$variant(joined))
                    })*
                }
            }
        }

        impl Array {
            /// The type of the elements.
            pub fn dtype(&self) -> DType {
                match &self.values {
                    $(Held::Here(ArrayValues::$variant(_)) => DType::$variant,)*
                    Held::There(rows) => rows.dtype(),
                }
            }

            /// A tensor of a device.
            ///
            /// # Panics
            /// If it is of a set that lives on another.
            #[track_caller]
            pub fn to(self, device: &Device) -> Tensor {
                match self.values {
                    $(Held::Here(ArrayValues::$variant(values)) => Tensor::from_vec(values, &self.shape[..], device),)*
                    Held::There(rows) => rows.to(device),
                }
            }

            $(
                /// The elements as this type.
                ///
                /// # Panics
                /// If they are of another, or lie on a device.
                #[track_caller]
                pub fn $slice(&self) -> &[$type] {
                    match self.values() {
                        ArrayValues::$variant(values) => values,
                        _ => panic!(
                            "{}: expected an array of {}, got {:?} of {}",
                            stringify!($slice),
                            DType::$variant,
                            self.shape,
                            self.dtype()
                        ),
                    }
                }
            )*
        }
    };
}

values! {
    /// Inputs and targets.
    F32(f32), f32s;
    /// Labels, tokens and other indices.
    I32(i32), i32s;
    /// The same as PyTorch has them.
    I64(i64), i64s;
    /// Pixels.
    U8(u8), u8s;
}

impl Array {
    /// Of a `Vec` of f32, i32, i64 or u8.
    ///
    /// # Panics
    /// If the shape has another number of elements.
    #[track_caller]
    pub fn new(values: impl Into<ArrayValues>, shape: impl Into<Vec<usize>>) -> Array {
        let (values, shape) = (values.into(), shape.into());
        let (have, want) = (values.len(), shape.iter().product::<usize>());
        assert!(have == want, "Array: {have} values for a shape {shape:?}, which has {want}");
        Array { shape, values: Held::Here(values) }
    }

    /// Of what lies on a device.
    pub(super) fn there(rows: Rows) -> Array {
        Array { shape: rows.shape(), values: Held::There(rows) }
    }

    /// The sizes.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Some items of a batch.
    pub(crate) fn rows(&self, rows: std::ops::Range<usize>) -> Array {
        let Some((_, item)) = self.shape.split_first() else { return self.clone() };
        let each: usize = item.iter().product();
        let shape = [&[rows.len()][..], item].concat();
        let values = match &self.values {
            Held::Here(values) => Held::Here(values.part(rows.start * each..rows.end * each)),
            Held::There(all) => Held::There(all.part(rows)),
        };
        Array { shape, values }
    }

    /// The elements.
    ///
    /// # Panics
    /// If they lie on a device.
    #[track_caller]
    pub fn values(&self) -> &ArrayValues {
        match &self.values {
            Held::Here(values) => values,
            Held::There(_) => panic!(
                "values: an array {:?} of a set that lives on a device has none on the host: take the tensor, by `to`",
                self.shape
            ),
        }
    }
}

/// A part of an item: a number, an array of numbers, an [`Array`]. Whole numbers become i32, `bool` and `f64` f32; an [`Array`]
/// stays what it is.
pub trait Field: Send + Sized + 'static {
    /// One array of several, with the batch as its first dimension.
    ///
    /// # Errors
    /// [`Error::Data`] if their shapes or types differ.
    fn stack(fields: Vec<Self>) -> Result<Array>;
}

/// Numbers in a row, which are padded to the longest of their batch.
///
/// ```
/// use wgrad::data::{DataLoader, LoaderOptions, Padded};
/// let words = vec![Padded::new(vec![5, 7, 2], 0), Padded::new(vec![4], 0)];
/// let batch = DataLoader::new(words, LoaderOptions::default())?.epoch(0).next();
/// # let batch = batch.unwrap()?;
/// assert_eq!((batch.columns[0].shape(), batch.columns[0].i32s()), (&[2, 3][..], &[5, 7, 2, 4, 0, 0][..]));
/// assert_eq!(wgrad::data::Item::collate(vec![Padded::new(vec![4, 5, 6], 0).multiple_of(8)])?[0].shape(), [1, 8]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[doc(alias("pad_sequence"))]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Padded<T> {
    values: Vec<T>,
    with: T,
    multiple: usize,
}

impl<T> Padded<T> {
    /// Padded at its end.
    pub fn new(values: Vec<T>, with: T) -> Padded<T> {
        Padded { values, with, multiple: 1 }
    }

    /// To a multiple of this length, so that batches are of few lengths, each of which is replayed.
    #[must_use]
    pub fn multiple_of(self, multiple: usize) -> Padded<T> {
        Padded { multiple: multiple.max(1), ..self }
    }
}

macro_rules! numbers {
    ($($from:ty => $to:ty: $value:expr;)*) => {$(
        impl Field for $from {
            fn stack(fields: Vec<$from>) -> Result<Array> {
                let rows = fields.len();
                Ok(Array::new(fields.into_iter().map($value).collect::<Result<Vec<$to>>>()?, [rows]))
            }
        }

        impl Field for Vec<$from> {
            fn stack(fields: Vec<Vec<$from>>) -> Result<Array> {
                let (rows, width) = (fields.len(), fields.first().map_or(0, Vec::len));
                if let Some(other) = fields.iter().find(|field| field.len() != width) {
                    return Err(unlike(&[width], &[other.len()]));
                }
                Ok(Array::new(fields.into_iter().flatten().map($value).collect::<Result<Vec<$to>>>()?, [rows, width]))
            }
        }

        impl Field for Padded<$from> {
            fn stack(fields: Vec<Padded<$from>>) -> Result<Array> {
                let width = fields.iter().map(|field| field.values.len().next_multiple_of(field.multiple)).max().unwrap_or(0);
                let padded = |mut field: Padded<$from>| {
                    field.values.resize(width, field.with);
                    field.values
                };
                Field::stack(fields.into_iter().map(padded).collect())
            }
        }

        impl<const N: usize> Field for [$from; N] {
            fn stack(fields: Vec<[$from; N]>) -> Result<Array> {
                let rows = fields.len();
                Ok(Array::new(fields.into_iter().flatten().map($value).collect::<Result<Vec<$to>>>()?, [rows, N]))
            }
        }
    )*};
}

numbers! {
    f32 => f32: Ok;
    f64 => f32: |x| Ok(x as f32);
    bool => f32: |x| Ok(f32::from(u8::from(x)));
    i32 => i32: Ok;
    u8 => i32: |x| Ok(i32::from(x));
    i64 => i32: |x| i32::try_from(x).map_err(|_| Error::Data(format!("{x} is no number of i32")));
    usize => i32: |x| i32::try_from(x).map_err(|_| Error::Data(format!("{x} is no number of i32")));
}

fn unlike(first: &[usize], other: &[usize]) -> Error {
    Error::Data(format!(
        "a batch of items of shapes {first:?} and {other:?}: make them alike, by padding or by cutting"
    ))
}

impl Field for Array {
    fn stack(fields: Vec<Array>) -> Result<Array> {
        let Some(first) = fields.first() else { return Ok(Array::new(Vec::<f32>::new(), [0])) };
        let (inner, dtype) = (&first.shape, first.dtype());
        if let Some(other) = fields.iter().find(|other| other.shape != *inner) {
            return Err(unlike(inner, &other.shape));
        }
        let Some(values) = ArrayValues::joined(fields.iter().map(Array::values)) else {
            let other = fields.iter().map(Array::dtype).find(|other| *other != dtype).unwrap_or(dtype);
            return Err(Error::Data(format!("a batch of items of {dtype} and of {other}: make them alike")));
        };
        Ok(Array::new(values, [&[fields.len()], &inner[..]].concat()))
    }
}

/// One item of a [`Dataset`](super::Dataset): a [`Field`], or a tuple of up to six.
pub trait Item: Send + Sized + 'static {
    /// A batch of them: one array for each field.
    type Columns: Columns;

    /// Several items as a batch.
    ///
    /// # Errors
    /// [`Error::Data`] if their shapes differ.
    #[doc(alias = "collate_fn")]
    fn collate(items: Vec<Self>) -> Result<Self::Columns>;
}

impl<F: Field> Item for F {
    type Columns = [Array; 1];

    fn collate(items: Vec<F>) -> Result<[Array; 1]> {
        Ok([F::stack(items)?])
    }
}

macro_rules! tuples {
    ($($count:literal: $($field:ident $at:tt),*;)*) => {$(
        impl<$($field: Field),*> Item for ($($field,)*) {
            type Columns = [Array; $count];

            fn collate(items: Vec<Self>) -> Result<[Array; $count]> {
                let mut columns = ($(Vec::<$field>::with_capacity(items.len()),)*);
                for item in items {
                    $(columns.$at.push(item.$at);)*
                }
                Ok([$($field::stack(columns.$at)?),*])
            }
        }
    )*};
}

tuples! {
    1: A 0;
    2: A 0, B 1;
    3: A 0, B 1, C 2;
    4: A 0, B 1, C 2, D 3;
    5: A 0, B 1, C 2, D 3, E 4;
    6: A 0, B 1, C 2, D 3, E 4, F 5;
}

/// The columns of a batch: `[Array; N]`.
pub trait Columns: Send + 'static {
    /// The same on a device: `[Tensor; N]`.
    type Tensors;

    /// Uploads all of them.
    fn to(self, device: &Device) -> Self::Tensors;
}

impl<const N: usize> Columns for [Array; N] {
    type Tensors = [Tensor; N];

    fn to(self, device: &Device) -> [Tensor; N] {
        self.map(|array| array.to(device))
    }
}
