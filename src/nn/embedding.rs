//! Tables of vectors as a layer.

use super::ctx::Ctx;
use super::fits::{misfit, told};
use super::module::{Init, Layer, Module};
use super::parameter::Parameter;
use crate::dtype::DType;
use crate::ops::embedding::EmbeddingOptions;
use crate::tensor::Tensor;

/// A vector for each of a number of things, such as tokens or positions: [`Tensor::embedding`].
///
/// A table of many rows, of which a step takes few, is trained in the time that these few take if it is
/// [sparse](Embedding::sparse) and has an optimizer that knows of rows: [`SparseAdam`](crate::optim::SparseAdam),
/// [`Adagrad`](crate::optim::Adagrad), or [`Sgd`](crate::optim::Sgd) without momentum. Up to some thousand rows, and where a step
/// takes most of them, a whole gradient costs no more.
///
/// ```
/// use wgrad::Tensor;
/// use wgrad::nn::{Ctx, Embedding, Init, Layer, Linear, Module};
/// use wgrad::optim::{Adam, AdamOptions, Optimizer, SparseAdam, SparseAdamOptions, Split};
/// #[derive(Module)]
/// struct Model {
///     table: Embedding,
///     head: Linear,
/// }
/// let device = wgrad::Device::cpu();
/// let mut init = Init::new(0, &device);
/// let model = Model { table: Embedding::new(10_000, 8, &mut init).sparse(), head: Linear::new(8, 1, &mut init) };
/// // The rows have an optimizer, and all else has another.
/// let of_rows = |part: &dyn Module| SparseAdam::new(part, SparseAdamOptions::default());
/// let others = |part: &dyn Module| Adam::new(part, AdamOptions::default());
/// let mut optimizer = Split::new(&model, |path, _| path == "table.weight", of_rows, others)?;
/// let ids = Tensor::from_slice(&[17, 4_711, 17], [3], &device);
/// let loss = model.head.forward(&model.table.forward(&ids, &Ctx::train()), &Ctx::train()).square().mean();
/// optimizer.step(&loss.backward());
/// # Ok::<(), wgrad::Error>(())
/// ```
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
    /// The order of the norm that says how long a row is: 2 unless it is set.
    #[module(skip)]
    pub norm_type: f32,
    /// Whether the gradient of a row is divided by how often it was taken: PyTorch's `scale_grad_by_freq`.
    #[module(skip)]
    pub scale_grad_by_freq: bool,
    /// Whether its gradient is the rows that were taken, and no whole table: PyTorch's `sparse`.
    #[module(skip)]
    pub sparse: bool,
}

/// A layer around a table.
impl From<Parameter> for Embedding {
    fn from(weight: Parameter) -> Embedding {
        Embedding { weight, padding: None, max_norm: None, norm_type: 2.0, scale_grad_by_freq: false, sparse: false }
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
        // In place, so that a weight stays tied to others.
        weight.assign(&weight.masked_fill(&is_padding, 0.0));
        self.padding = Some(row as i32);
        self
    }

    /// The same with a gradient of [`Rows`](crate::autograd::Rows): as many as a pass takes, whatever the size of the table. Only some
    /// optimizers take one; it is whole where the table is read in another way too, and in
    /// [`DataParallel`](crate::parallel::DataParallel).
    #[must_use]
    pub fn sparse(self) -> Embedding {
        Embedding { sparse: true, ..self }
    }
}

impl Layer for Embedding {
    #[track_caller]
    fn call(&self, ids: &Tensor, ctx: &Ctx) -> Tensor {
        if let Some(most) = self.max_norm {
            self.weight.tensor().shorten_rows(ids, most, self.norm_type);
        }
        let (padding, sparse, scale_grad_by_freq) = (self.padding, self.sparse, self.scale_grad_by_freq);
        let options = EmbeddingOptions { padding, sparse, scale_grad_by_freq, ..EmbeddingOptions::default() };
        ctx.param(&self.weight).embedding_with(ids, &options)
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
