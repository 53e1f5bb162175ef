//! Tables of vectors as a layer.

use super::ctx::Ctx;
use super::fits::{misfit, told};
use super::module::{Init, Layer, Module};
use super::parameter::Parameter;
use crate::dtype::DType;
use crate::ops::reduce::KeepDims;
use crate::tensor::Tensor;

/// A vector for each of a number of things, such as tokens or positions: [`Tensor::embedding`].
#[doc(alias = "nn.Embedding")]
#[derive(Debug, Module)]
pub struct Embedding {
    /// `[size, width]`, normally distributed at first.
    pub weight: Parameter,
    /// The number of a row that is not trained, which stands for nothing: PyTorch's `padding_idx`.
    #[module(skip)]
    pub padding: Option<i32>,
    /// The longest that a row may be: those that a pass takes are brought to it in place before, PyTorch's `max_norm`.
    #[module(skip)]
    pub max_norm: Option<f32>,
    /// Whether the gradient of a row is divided by how often it was taken: PyTorch's `scale_grad_by_freq`.
    #[module(skip)]
    pub scale_grad_by_freq: bool,
}

/// A layer around a table.
impl From<Parameter> for Embedding {
    fn from(weight: Parameter) -> Embedding {
        Embedding { weight, padding: None, max_norm: None, scale_grad_by_freq: false }
    }
}

impl Embedding {
    /// `size` vectors of `width` elements.
    #[track_caller]
    pub fn new(size: usize, width: usize, init: &mut Init) -> Embedding {
        let weight = Tensor::normal([size, width], 0.0, 1.0, &mut init.rng, &init.device);
        Parameter::new(weight).into()
    }

    /// The same with a row of zeros that is not trained.
    ///
    /// # Panics
    /// If there is no such row.
    #[track_caller]
    pub fn padding(mut self, row: usize) -> Embedding {
        let weight = self.weight.tensor().detach();
        let size = weight.shape()[0];
        assert!(row < size, "Embedding: there is no row {row} of {size} to pad with");
        let rows = Tensor::arange(0, size as i32, weight.device()).unsqueeze(1);
        let is_padding = rows.eq(Tensor::full([], row as i32, weight.device()));
        self.weight = Parameter::new(weight.masked_fill(&is_padding, 0.0));
        self.padding = Some(row as i32);
        self
    }
}

impl Embedding {
    /// Brings the rows that are taken to the length that they may have.
    #[track_caller]
    fn shorten(&self, ids: &Tensor, most: f32) {
        let weight = self.weight.tensor().detach();
        let flat = ids.reshape([-1]);
        let rows = weight.index_select(0, &flat);
        let length = rows.norm(&[1], KeepDims::Yes);
        let share = length.affine(1.0, 1e-7).reciprocal().affine(most, 0.0);
        let held = Tensor::where_(&length.gt(most), &share, &share.new_full([], 1.0));
        weight.assign(&weight.index_copy(0, &flat, &rows.mul(&held)));
    }

    /// One by the number of times that each row is taken, in the place of each index.
    fn shares(&self, ids: &Tensor) -> Tensor {
        let flat = ids.reshape([-1]);
        let size = self.weight.shape()[0];
        let counts = Tensor::zeros([size], ids.device()).index_add(0, &flat, &Tensor::ones(flat.shape(), ids.device()));
        counts.index_select(0, &flat).reciprocal().reshape_to(ids.shape()).unsqueeze(ids.rank())
    }
}

impl Layer for Embedding {
    #[track_caller]
    fn call(&self, ids: &Tensor, ctx: &Ctx) -> Tensor {
        if let Some(most) = self.max_norm {
            self.shorten(ids, most);
        }
        let weight = ctx.param(&self.weight);
        let mut rows = weight.embedding(ids);
        if self.scale_grad_by_freq && rows.is_tracked() {
            // The same values; what flows back is scaled.
            let still = rows.detach();
            rows = &still + (&rows - &still) * self.shares(ids).cast(rows.dtype());
        }
        match self.padding {
            // The same values, but nothing flows back to the row.
            Some(padding) => {
                let is_padding = ids.unsqueeze(ids.rank()).eq(Tensor::full([], padding, ids.device()));
                Tensor::where_(&is_padding, &rows.detach(), &rows)
            }
            None => rows,
        }
    }

    fn misfit(&self, ids: &Tensor, _ctx: &Ctx) -> Option<String> {
        let expected = || format!("expected indices of i32 or i64, got {}", ids.dtype());
        told(matches!(ids.dtype(), DType::I32 | DType::I64), "Embedding", ids, &self.weight.tensor(), expected)
    }

    fn title(&self) -> String {
        let table = self.weight.shape();
        format!("Embedding({}, {})", table[0], table[1])
    }
}

/// Learned positions: adds the first rows of a table to rows that have no order of their own. Its parameter is that of an
/// [`Embedding`] of the numbers 0, 1, .., which it stands for.
#[derive(Debug, Module)]
pub struct Positions {
    /// `[rows, width]`, normally distributed at first.
    pub weight: Parameter,
}

impl Positions {
    /// For up to `rows` rows of `width` elements.
    #[track_caller]
    pub fn new(rows: usize, width: usize, init: &mut Init) -> Positions {
        Positions { weight: Embedding::new(rows, width, init).weight }
    }
}

impl Layer for Positions {
    #[track_caller]
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let weight = ctx.param(&self.weight);
        x.add(&weight.narrow(0, 0, x.size(-2)))
    }

    fn misfit(&self, x: &Tensor, _ctx: &Ctx) -> Option<String> {
        let weight = self.weight.tensor();
        let (shape, [rows, width]) = (x.shape(), [0, 1].map(|d| weight.shape()[d]));
        let fits = shape.rank() >= 2 && shape.ends_with(&[width]) && shape[shape.rank() - 2] <= rows;
        misfit(fits, "Positions", x, &weight, || format!("expected [.., up to {rows} rows, {width}]"))
    }

    fn title(&self) -> String {
        let table = self.weight.shape();
        format!("Positions({}, {})", table[0], table[1])
    }
}
