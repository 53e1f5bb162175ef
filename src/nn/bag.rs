//! Bags of rows of a table, and products of two inputs, as layers.

use super::ctx::Ctx;
use super::fits::{misfit, refuse, told};
use super::module::{Init, Layer, Module};
use super::parameter::Parameter;
use crate::dtype::DType;
use crate::ops::bag::{BagMode, EmbeddingBagOptions};
use crate::tensor::Tensor;

/// A row for each bag of rows of a table: [`Tensor::embedding_bag`].
#[doc(alias = "nn.EmbeddingBag")]
#[derive(Debug, Module)]
pub struct EmbeddingBag {
    /// `[size, width]`, normally distributed at first.
    pub weight: Parameter,
    /// The row that a bag gives.
    #[module(skip)]
    pub mode: BagMode,
    /// The number of a row that counts nothing: PyTorch's `padding_idx`.
    #[module(skip)]
    pub padding: Option<i32>,
    /// Whether its gradient is the rows that were taken, and no whole table, as of an [`Embedding`](super::Embedding::sparse).
    #[module(skip)]
    pub sparse: bool,
    /// Whether offsets have an end behind the last bag.
    #[module(skip)]
    pub include_last_offset: bool,
    /// The longest that a row may be: those that a pass takes are brought to it in place before.
    #[module(skip)]
    pub max_norm: Option<f32>,
    /// The order of the norm that says how long a row is: 2 unless it is set.
    #[module(skip)]
    pub norm_type: f32,
    /// Whether the gradient of a row is divided by how often it was taken; for sums and means.
    #[module(skip)]
    pub scale_grad_by_freq: bool,
}

/// A layer around a table, which gives means.
impl From<Parameter> for EmbeddingBag {
    fn from(weight: Parameter) -> EmbeddingBag {
        EmbeddingBag {
            weight,
            mode: BagMode::Mean,
            padding: None,
            include_last_offset: false,
            max_norm: None,
            norm_type: 2.0,
            scale_grad_by_freq: false,
            sparse: false,
        }
    }
}

impl EmbeddingBag {
    /// `size` vectors of `width` elements.
    #[track_caller]
    pub fn new(size: usize, width: usize, mode: BagMode, init: &mut Init) -> EmbeddingBag {
        let weight = Tensor::normal([size, width], 0.0, 1.0, &mut init.rng, &init.device);
        EmbeddingBag { mode, ..Parameter::new(weight).into() }
    }

    /// Of indices `[items]` in bags that begin at `offsets`, `[bags]`, with a factor for each where there are weights. With
    /// `include_last_offset` there is one offset more, the number of items.
    ///
    /// # Panics
    /// As [`Tensor::embedding_bag`].
    #[track_caller]
    pub fn bags(&self, ids: &Tensor, offsets: &Tensor, weights: Option<&Tensor>, ctx: &Ctx) -> Tensor {
        refuse(self.misfit(ids, ctx));
        ctx.enter(self, || self.title());
        let ends = self.include_last_offset;
        assert!(!ends || offsets.numel() > 0, "EmbeddingBag: no offsets: expected the end behind the last bag");
        let offsets = if ends { &offsets.narrow(0, 0, offsets.numel() - 1) } else { offsets };
        let y = self.table(ids, ctx).embedding_bag(ids, Some(offsets), &self.options(weights));
        ctx.leave(&y);
        y
    }

    /// Of indices `[bags, items]`, with a factor for each.
    ///
    /// # Panics
    /// As [`Tensor::embedding_bag`].
    #[track_caller]
    pub fn weighed(&self, ids: &Tensor, weights: &Tensor, ctx: &Ctx) -> Tensor {
        refuse(self.misfit(ids, ctx));
        ctx.enter(self, || self.title());
        let y = self.table(ids, ctx).embedding_bag(ids, None, &self.options(Some(weights)));
        ctx.leave(&y);
        y
    }

    #[track_caller]
    fn table(&self, ids: &Tensor, ctx: &Ctx) -> Tensor {
        if let Some(most) = self.max_norm {
            self.weight.tensor().shorten_rows(ids, most, self.norm_type);
        }
        ctx.param(&self.weight)
    }

    fn options(&self, weights: Option<&Tensor>) -> EmbeddingBagOptions {
        EmbeddingBagOptions {
            mode: self.mode,
            per_sample_weights: weights.cloned(),
            padding: self.padding,
            sparse: self.sparse,
            scale_grad_by_freq: self.scale_grad_by_freq,
            ..EmbeddingBagOptions::default()
        }
    }
}

/// Of indices `[bags, items]`.
impl Layer for EmbeddingBag {
    #[track_caller]
    fn call(&self, ids: &Tensor, ctx: &Ctx) -> Tensor {
        self.table(ids, ctx).embedding_bag(ids, None, &self.options(None))
    }

    fn misfit(&self, ids: &Tensor, _ctx: &Ctx) -> Option<String> {
        let expected = || format!("expected indices of i32 or i64, got {}", ids.dtype());
        told(matches!(ids.dtype(), DType::I32 | DType::I64), "EmbeddingBag", ids, &self.weight.tensor(), expected)
    }

    fn title(&self) -> String {
        let table = self.weight.shape();
        format!("EmbeddingBag({}, {}, {:?})", table[0], table[1], self.mode)
    }
}

/// `y = a W b` for each output, of two inputs: [`Tensor::bilinear`].
#[doc(alias = "nn.Bilinear")]
#[derive(Debug, Module)]
pub struct Bilinear {
    /// `[out, in1, in2]`.
    pub weight: Parameter,
    /// `[out]`.
    pub bias: Option<Parameter>,
}

impl Bilinear {
    /// With a bias; weights and bias are uniform within 1 / sqrt(in1).
    #[track_caller]
    pub fn new(inputs: [usize; 2], outputs: usize, init: &mut Init) -> Bilinear {
        let weight = init.uniform([outputs, inputs[0], inputs[1]], inputs[0]);
        Bilinear { weight, bias: Some(init.uniform([outputs], inputs[0])) }
    }

    /// The same without the bias.
    pub fn without_bias(self) -> Bilinear {
        Bilinear { bias: None, ..self }
    }

    /// Of `a` `[.., in1]` and `b` `[.., in2]`, `[.., out]`.
    ///
    /// # Panics
    /// As [`Tensor::bilinear`].
    #[track_caller]
    pub fn forward(&self, a: &Tensor, b: &Tensor, ctx: &Ctx) -> Tensor {
        let weight = ctx.param(&self.weight);
        for (x, size) in [(a, weight.shape()[1]), (b, weight.shape()[2])] {
            refuse(misfit(x.shape().ends_with(&[size]), "Bilinear", x, &weight, || format!("expected rows of {size}")));
        }
        let bias = self.bias.as_ref().map(|bias| ctx.param(bias));
        let w = self.weight.shape();
        ctx.enter(self, || format!("Bilinear({}, {}, {})", w[1], w[2], w[0]));
        let y = a.bilinear(b, &weight, bias.as_ref());
        ctx.leave(&y);
        y
    }
}
