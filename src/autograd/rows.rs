//! Gradients of tables that are 0 but for some rows.

use crate::dtype::DType;
use crate::shape::Shape;
use crate::tensor::{Tensor, apart};

/// The gradient of a table `[size, width]` of which only some rows are not 0: their numbers, and a row of values for each.
/// Where a number stands there several times, the row is the sum; one outside of the table counts nothing. PyTorch's sparse
/// gradients, whose numbers are `indices` as well.
///
/// [`Embedding::sparse`](crate::nn::Embedding::sparse) makes such gradients, and [`Grads::rows`](super::Grads::rows) tells them.
/// They are as large as what a step took from the table, whatever the table's size.
///
/// ```
/// use wgrad::{EmbeddingOptions, Tensor};
/// let device = wgrad::Device::cpu();
/// let table = Tensor::ones([4, 2], &device).requires_grad();
/// let ids = Tensor::from_slice(&[3, 1, 3], [3], &device);
/// let sparse = EmbeddingOptions { sparse: true, ..EmbeddingOptions::default() };
/// let grads = table.embedding_with(&ids, &sparse).sum().backward();
/// let rows = grads.rows(&table).expect("it was asked to be sparse");
/// assert_eq!(rows.indices().to_vec::<i32>()?, [3, 1, 3]);
/// assert_eq!(rows.coalesce().indices().to_vec::<i32>()?, [3, 1, -1]);
/// assert_eq!(rows.to_dense().to_vec::<f32>()?, [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 2.0, 2.0]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[doc(alias("sparse_coo_tensor", "is_sparse"))]
#[derive(Debug, Clone)]
pub struct Rows {
    indices: Tensor,
    values: Tensor,
    shape: Shape,
}

impl Rows {
    /// Of a table of this shape, `[size, width]`: `indices` `[n]` of i32, and `values` `[n, width]`.
    ///
    /// # Panics
    /// If a shape or a type is another, or they live on two devices.
    #[track_caller]
    pub fn new(indices: Tensor, values: Tensor, shape: impl Into<Shape>) -> Rows {
        let (shape, i, v) = (shape.into(), indices.shape(), values.shape());
        let fits = shape.rank() == 2 && i.rank() == 1 && v.rank() == 2 && v[0] == i[0] && v[1] == shape[1];
        assert!(
            fits,
            "Rows: {i} x {v} of {shape}: expected indices [n] and values [n, width] of a table [size, width]"
        );
        let types = [indices.dtype(), values.dtype()];
        assert!(
            types[0] == DType::I32 && types[1].is_float(),
            "Rows: expected indices of i32 and values of floats, got {} and {}",
            types[0],
            types[1]
        );
        let (device, other) = (indices.device(), values.device());
        assert!(device == other, "Rows: indices and values {}", apart(device, other));
        let (indices, values) = (indices.without_history(), values.without_history().into_gradient());
        Rows { indices, values, shape }
    }

    /// The numbers of the rows, `[n]`.
    pub fn indices(&self) -> &Tensor {
        &self.indices
    }

    /// A row for each of them, `[n, width]`.
    pub fn values(&self) -> &Tensor {
        &self.values
    }

    /// The table's.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The whole gradient, with its zeros.
    #[track_caller]
    pub fn to_dense(&self) -> Tensor {
        self.values.detach().whole_table(&self.indices, self.shape[0]).into_gradient()
    }

    /// The same gradient with each row there once: where a number stands for the first time is the sum of all of its rows; the
    /// others get the number -1, and values of 0. So there are as many rows as before, and nothing is read. Sums are of f32, in an
    /// order that the numbers tell: the same bits at each run.
    #[track_caller]
    pub fn coalesce(&self) -> Rows {
        let (indices, values) = self.values.detach().coalesced(&self.indices, self.shape[0]);
        Rows { indices, values: values.cast(self.values.dtype()).into_gradient(), shape: self.shape }
    }

    /// Those of several gradients of one table, whose sum they are together.
    #[track_caller]
    pub(super) fn joined(all: &[Rows]) -> Option<Rows> {
        let [first, _, ..] = all else { return all.first().cloned() };
        let cat = |of: fn(&Rows) -> &Tensor| Tensor::cat(&all.iter().map(of).collect::<Vec<_>>(), 0);
        let (indices, values) = (cat(Rows::indices).detach(), cat(Rows::values).detach().into_gradient());
        Some(Rows { indices, values, shape: first.shape })
    }

    /// The same rows with other values.
    #[track_caller]
    pub(super) fn map(&self, values: impl FnOnce(&Tensor) -> Tensor) -> Rows {
        let values = values(&self.values).without_history().into_gradient();
        Rows { indices: self.indices.clone(), values, shape: self.shape }
    }

    /// Why they could not be computed.
    pub(super) fn lost(&self) -> Option<crate::Error> {
        self.indices.lost().or_else(|| self.values.lost())
    }
}

/// A gradient that a backward pass has found.
pub(super) enum Gradient {
    Whole(Tensor),
    Rows(Box<Rows>),
}

impl Gradient {
    /// All of it.
    #[track_caller]
    pub fn whole(self) -> Tensor {
        match self {
            Gradient::Whole(gradient) => gradient,
            Gradient::Rows(rows) => rows.to_dense(),
        }
    }
}
