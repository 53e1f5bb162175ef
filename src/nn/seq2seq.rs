//! A whole Transformer (Vaswani et al., 2017): PyTorch's `nn.Transformer`.

use super::ctx::Ctx;
use super::init;
use super::layer_norm::LayerNorm;
use super::module::{Init, Layer, Module, parameters};
use super::transformer::{TransformerDecoderLayer, TransformerEncoderLayer, TransformerOptions};
use crate::ops::attention::AttentionOptions;
use crate::tensor::Tensor;

/// Encoder layers one after another, and a norm at the end where there is one: PyTorch's `nn.TransformerEncoder`.
#[derive(Debug, Module)]
pub struct TransformerEncoder {
    /// The layers.
    pub layers: Vec<TransformerEncoderLayer>,
    /// Of what they give.
    pub norm: Option<LayerNorm>,
    #[module(skip)]
    options: TransformerOptions,
}

impl TransformerEncoder {
    /// `count` layers on rows of `width` elements, without a norm at the end.
    ///
    /// # Panics
    /// If the width is no multiple of the heads.
    #[track_caller]
    pub fn new(
        width: usize,
        heads: usize,
        count: usize,
        options: TransformerOptions,
        init: &mut Init,
    ) -> TransformerEncoder {
        let mut layers = Vec::with_capacity(count);
        for _ in 0..count {
            layers.push(TransformerEncoderLayer::new(width, heads, options, init));
        }
        TransformerEncoder { layers, norm: None, options }
    }

    /// The same with a norm of what the last layer gives, as layers want it that normalise before their blocks.
    pub fn normed(mut self, width: usize, init: &mut Init) -> TransformerEncoder {
        self.norm = Some(self.options.layer_norm(width, init));
        self
    }

    /// On `[batch, rows, width]`, by options for each layer's attention.
    ///
    /// # Panics
    /// If a shape does not fit.
    #[track_caller]
    pub fn encode(&self, x: &Tensor, attention: &AttentionOptions, ctx: &Ctx) -> Tensor {
        ctx.enter(self, || self.title());
        let y = self.encoded(x, attention, ctx);
        ctx.leave(&y);
        y
    }

    #[track_caller]
    fn encoded(&self, x: &Tensor, attention: &AttentionOptions, ctx: &Ctx) -> Tensor {
        let mut x = x.clone();
        for layer in &self.layers {
            x = layer.encode(&x, attention, ctx);
        }
        match &self.norm {
            Some(norm) => norm.forward(&x, ctx),
            None => x,
        }
    }
}

/// Every row sees all.
impl Layer for TransformerEncoder {
    #[track_caller]
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        self.encoded(x, &AttentionOptions::default(), ctx)
    }

    fn misfit(&self, x: &Tensor, ctx: &Ctx) -> Option<String> {
        self.layers.first().and_then(|layer| layer.misfit(x, ctx))
    }

    fn title(&self) -> String {
        format!("TransformerEncoder of {} layers", self.layers.len())
    }
}

/// Decoder layers one after another, and a norm at the end where there is one: PyTorch's `nn.TransformerDecoder`.
#[derive(Debug, Module)]
pub struct TransformerDecoder {
    /// The layers.
    pub layers: Vec<TransformerDecoderLayer>,
    /// Of what they give.
    pub norm: Option<LayerNorm>,
    #[module(skip)]
    options: TransformerOptions,
}

impl TransformerDecoder {
    /// `count` layers on rows of `width` elements, without a norm at the end.
    ///
    /// # Panics
    /// If the width is no multiple of the heads.
    #[track_caller]
    pub fn new(
        width: usize,
        heads: usize,
        count: usize,
        options: TransformerOptions,
        init: &mut Init,
    ) -> TransformerDecoder {
        let mut layers = Vec::with_capacity(count);
        for _ in 0..count {
            layers.push(TransformerDecoderLayer::new(width, heads, options, init));
        }
        TransformerDecoder { layers, norm: None, options }
    }

    /// The same with a norm of what the last layer gives.
    pub fn normed(mut self, width: usize, init: &mut Init) -> TransformerDecoder {
        self.norm = Some(self.options.layer_norm(width, init));
        self
    }

    /// On `[batch, rows, width]` beside an encoder's rows `[batch, keys, width]`: see [`TransformerDecoderLayer::decode`].
    ///
    /// # Panics
    /// If a shape does not fit.
    #[track_caller]
    pub fn decode(&self, x: &Tensor, memory: &Tensor, attention: [&AttentionOptions; 2], ctx: &Ctx) -> Tensor {
        ctx.enter(self, || format!("TransformerDecoder of {} layers", self.layers.len()));
        let mut x = x.clone();
        for layer in &self.layers {
            x = layer.decode(&x, memory, attention, ctx);
        }
        let y = match &self.norm {
            Some(norm) => norm.forward(&x, ctx),
            None => x,
        };
        ctx.leave(&y);
        y
    }
}

/// The attention of a [`Transformer`]: of sources to themselves, of targets to themselves, and of targets to sources.
#[derive(Debug, Clone, Default)]
pub struct TransformerAttention {
    /// PyTorch's `src_mask` and `src_key_padding_mask`.
    pub source: AttentionOptions,
    /// PyTorch's `tgt_mask` and `tgt_key_padding_mask`: usually [`AttentionOptions::causal`].
    pub target: AttentionOptions,
    /// PyTorch's `memory_mask` and `memory_key_padding_mask`.
    pub memory: AttentionOptions,
}

/// An encoder of sources and a decoder of targets beside it, both with a norm at the end.
///
/// ```
/// use wgrad::nn::{Ctx, Init, Transformer, TransformerAttention, TransformerOptions};
/// use wgrad::{AttentionOptions, Tensor};
/// let device = wgrad::Device::cpu();
/// let options = TransformerOptions { feedforward: 32, ..TransformerOptions::default() };
/// let model = Transformer::new(16, 4, [2, 2], options, &mut Init::new(0, &device));
/// let (source, target) = (Tensor::ones([3, 7, 16], &device), Tensor::ones([3, 5, 16], &device));
/// let attention = TransformerAttention { target: AttentionOptions::causal(), ..Default::default() };
/// assert_eq!(*model.transform(&source, &target, &attention, &Ctx::eval()).shape(), [3, 5, 16]);
/// ```
#[doc(alias = "nn.Transformer")]
#[derive(Debug, Module)]
pub struct Transformer {
    /// Of sources.
    pub encoder: TransformerEncoder,
    /// Of targets.
    pub decoder: TransformerDecoder,
}

impl Transformer {
    /// So many layers of each on rows of `width` elements; matrices are drawn by `xavier_uniform`, as in PyTorch. Its defaults
    /// are a width of 512, 8 heads, and 6 layers of each.
    ///
    /// # Panics
    /// If the width is no multiple of the heads.
    #[track_caller]
    pub fn new(
        width: usize,
        heads: usize,
        layers: [usize; 2],
        options: TransformerOptions,
        init: &mut Init,
    ) -> Transformer {
        let encoder = TransformerEncoder::new(width, heads, layers[0], options, init).normed(width, init);
        let decoder = TransformerDecoder::new(width, heads, layers[1], options, init).normed(width, init);
        let model = Transformer { encoder, decoder };
        for (_, parameter) in parameters(&model) {
            if parameter.shape().rank() > 1 {
                init::xavier_uniform(&parameter, 1.0, &mut init.rng);
            }
        }
        model
    }

    /// Of sources `[batch, rows, width]` and targets `[batch, rows, width]`, rows like the targets.
    ///
    /// # Panics
    /// If a shape does not fit.
    #[track_caller]
    pub fn transform(&self, source: &Tensor, target: &Tensor, attention: &TransformerAttention, ctx: &Ctx) -> Tensor {
        let TransformerAttention { source: own, target: others, memory } = attention;
        let rows = self.encoder.encode(source, own, ctx);
        self.decoder.decode(target, &rows, [others, memory], ctx)
    }
}
