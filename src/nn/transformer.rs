//! Layers of Transformers (Vaswani et al., 2017).

use super::attention::{MultiheadAttention, MultiheadAttentionOptions};
use super::ctx::Ctx;
use super::dropout::Dropout;
use super::layer_norm::LayerNorm;
use super::linear::Linear;
use super::module::{Init, Layer, Module};
use crate::ops::attention::AttentionOptions;
use crate::tensor::Tensor;

/// The place of a layer's normalisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NormPlace {
    /// The sum of what came in and what a block gives.
    #[default]
    After,
    /// Before each block: PyTorch's `norm_first`.
    Before,
}

/// PyTorch's arguments of its Transformer layers and, but for `batch_first` and `attention_dropout`, its defaults.
#[doc(alias("norm_first", "dim_feedforward", "layer_norm_eps"))]
#[derive(Debug, Clone, Copy)]
pub struct TransformerOptions {
    /// The width of the hidden rows.
    pub feedforward: usize,
    /// The chance that an element of what a block gives is 0, in training.
    pub dropout: f32,
    /// Between the two linear layers.
    pub activation: fn(&Tensor) -> Tensor,
    /// The place of a layer's normalisation.
    pub norm: NormPlace,
    /// Added to the variance by the layer's norms: 1e-5.
    pub layer_norm_eps: f32,
    /// Whether linear layers, attention and norms add something that is learnt.
    pub bias: bool,
    /// Whether inputs and outputs are `[batch, rows, width]`, as here they are unless it is set; else `[rows, batch, width]`,
    /// PyTorch's default.
    pub batch_first: bool,
    /// The chance that an attention's weight of a key is 0, in training: 0 unless it is set, since it takes the memory of all
    /// weights. PyTorch takes `dropout` for it.
    pub attention_dropout: f32,
}

impl Default for TransformerOptions {
    fn default() -> TransformerOptions {
        TransformerOptions {
            feedforward: 2048,
            dropout: 0.1,
            activation: Tensor::relu,
            norm: NormPlace::After,
            layer_norm_eps: 1e-5,
            bias: true,
            batch_first: true,
            attention_dropout: 0.0,
        }
    }
}

impl TransformerOptions {
    /// Attention of a layer on rows of `width` elements.
    #[track_caller]
    fn attention(&self, width: usize, heads: usize, init: &mut Init) -> MultiheadAttention {
        let (dropout, bias, batch_first) = (self.attention_dropout, self.bias, self.batch_first);
        let options = MultiheadAttentionOptions { dropout, bias, batch_first, ..MultiheadAttentionOptions::default() };
        MultiheadAttention::with(width, heads, options, init)
    }

    #[track_caller]
    fn linear(&self, inputs: usize, outputs: usize, init: &mut Init) -> Linear {
        match self.bias {
            true => Linear::new(inputs, outputs, init),
            false => Linear::without_bias(inputs, outputs, init),
        }
    }

    /// A norm of rows of `width` elements.
    #[track_caller]
    pub(super) fn layer_norm(&self, width: usize, init: &mut Init) -> LayerNorm {
        let norm = LayerNorm::new([width], init).eps(self.layer_norm_eps);
        if self.bias { norm } else { norm.without_bias() }
    }
}

/// The input of a block, from the way around it.
#[track_caller]
fn entered(x: &Tensor, norm: &LayerNorm, place: NormPlace, ctx: &Ctx) -> Tensor {
    match place {
        NormPlace::Before => norm.forward(x, ctx),
        NormPlace::After => x.clone(),
    }
}

/// The way around a block, and what the block gave.
#[track_caller]
fn left(x: &Tensor, y: &Tensor, norm: &LayerNorm, dropout: &Dropout, place: NormPlace, ctx: &Ctx) -> Tensor {
    let y = ctx.cast(x).add(&dropout.forward(y, ctx));
    match place {
        NormPlace::Before => y,
        NormPlace::After => norm.forward(&y, ctx),
    }
}

/// Attention to itself and two linear layers: PyTorch's `nn.TransformerEncoderLayer`.
#[derive(Debug, Module)]
pub struct TransformerEncoderLayer {
    /// Attention to itself.
    pub self_attn: MultiheadAttention,
    /// To the hidden rows.
    pub linear1: Linear,
    /// Back from them.
    pub linear2: Linear,
    /// Of the attention.
    pub norm1: LayerNorm,
    /// Of the linear layers.
    pub norm2: LayerNorm,
    /// One behind the attention, one behind the hidden rows, one behind the linear layers.
    dropouts: [Dropout; 3],
    #[module(skip)]
    options: TransformerOptions,
}

impl TransformerEncoderLayer {
    /// On rows of `width` elements.
    ///
    /// # Panics
    /// If the width is no multiple of the heads.
    #[track_caller]
    pub fn new(width: usize, heads: usize, options: TransformerOptions, init: &mut Init) -> TransformerEncoderLayer {
        TransformerEncoderLayer {
            self_attn: options.attention(width, heads, init),
            linear1: options.linear(width, options.feedforward, init),
            linear2: options.linear(options.feedforward, width, init),
            norm1: options.layer_norm(width, init),
            norm2: options.layer_norm(width, init),
            dropouts: [0, 1, 2].map(|_| Dropout::new(options.dropout, init)),
            options,
        }
    }

    /// On `[batch, rows, width]`; the options tell which rows see which: PyTorch's `src_mask` by
    /// [`AttentionOptions::hidden`] where it is of truth values, and `src_key_padding_mask` by [`AttentionOptions::key_padding`].
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
        let ([first, hidden, last], place) = (&self.dropouts, self.options.norm);
        let y = self.self_attn.attend_self(&entered(x, &self.norm1, place, ctx), attention, ctx);
        let x = left(x, &y, &self.norm1, first, place, ctx);
        let y = (self.options.activation)(&self.linear1.forward(&entered(&x, &self.norm2, place, ctx), ctx));
        let y = self.linear2.forward(&hidden.forward(&y, ctx), ctx);
        left(&x, &y, &self.norm2, last, place, ctx)
    }
}

/// Every row sees all.
impl Layer for TransformerEncoderLayer {
    #[track_caller]
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        self.encoded(x, &AttentionOptions::default(), ctx)
    }

    fn misfit(&self, x: &Tensor, ctx: &Ctx) -> Option<String> {
        self.self_attn.misfit(x, ctx)
    }

    fn title(&self) -> String {
        format!("TransformerEncoderLayer({})", self.linear1.weight.shape()[1])
    }
}

/// Attention to itself, attention to an encoder's rows, and two linear layers: PyTorch's `nn.TransformerDecoderLayer`.
#[derive(Debug, Module)]
pub struct TransformerDecoderLayer {
    /// Attention to itself.
    pub self_attn: MultiheadAttention,
    /// Attention to the encoder's rows.
    pub multihead_attn: MultiheadAttention,
    /// To the hidden rows.
    pub linear1: Linear,
    /// Back from them.
    pub linear2: Linear,
    /// Of the attention to itself.
    pub norm1: LayerNorm,
    /// Of the attention to the encoder's rows.
    pub norm2: LayerNorm,
    /// Of the linear layers.
    pub norm3: LayerNorm,
    /// One behind each attention, one behind the hidden rows, one behind the linear layers.
    dropouts: [Dropout; 4],
    #[module(skip)]
    options: TransformerOptions,
}

impl TransformerDecoderLayer {
    /// On rows of `width` elements.
    ///
    /// # Panics
    /// If the width is no multiple of the heads.
    #[track_caller]
    pub fn new(width: usize, heads: usize, options: TransformerOptions, init: &mut Init) -> TransformerDecoderLayer {
        TransformerDecoderLayer {
            self_attn: options.attention(width, heads, init),
            multihead_attn: options.attention(width, heads, init),
            linear1: options.linear(width, options.feedforward, init),
            linear2: options.linear(options.feedforward, width, init),
            norm1: options.layer_norm(width, init),
            norm2: options.layer_norm(width, init),
            norm3: options.layer_norm(width, init),
            dropouts: [0, 1, 2, 3].map(|_| Dropout::new(options.dropout, init)),
            options,
        }
    }

    /// On `[batch, rows, width]`, or `[rows, width]`, beside an encoder's rows `[batch, keys, width]`; each attention has its options, the
    /// first usually [`AttentionOptions::causal`], the second with the encoder's padding, if it has any.
    ///
    /// # Panics
    /// If a shape does not fit.
    #[track_caller]
    pub fn decode(&self, x: &Tensor, memory: &Tensor, attention: [&AttentionOptions; 2], ctx: &Ctx) -> Tensor {
        ctx.enter(self, || format!("TransformerDecoderLayer({})", self.linear1.weight.shape()[1]));
        let y = self.decoded(x, memory, attention, ctx);
        ctx.leave(&y);
        y
    }

    #[track_caller]
    fn decoded(&self, x: &Tensor, memory: &Tensor, attention: [&AttentionOptions; 2], ctx: &Ctx) -> Tensor {
        let ([first, second, hidden, last], place) = (&self.dropouts, self.options.norm);
        let y = self.self_attn.attend_self(&entered(x, &self.norm1, place, ctx), attention[0], ctx);
        let x = left(x, &y, &self.norm1, first, place, ctx);
        let y = entered(&x, &self.norm2, place, ctx);
        let y = self.multihead_attn.attend(&y, memory, memory, attention[1], ctx);
        let x = left(&x, &y, &self.norm2, second, place, ctx);
        let y = (self.options.activation)(&self.linear1.forward(&entered(&x, &self.norm3, place, ctx), ctx));
        let y = self.linear2.forward(&hidden.forward(&y, ctx), ctx);
        left(&x, &y, &self.norm3, last, place, ctx)
    }
}
