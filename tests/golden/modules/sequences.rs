//! Recurrent layers and Transformers, with PyTorch's defaults.

use super::ctx;
use crate::recurrent::{self, cell};
use crate::sequences::{attention_layer, decoder_values, encoder_values, transformer_values};
use crate::trial::Trial;
use wgrad::nn::{
    GruCell, Init, LstmCell, MultiheadAttention, MultiheadAttentionOptions, NormPlace, Recurrent, RecurrentOptions,
    Rnn, RnnCell, RnnStart, Transformer, TransformerAttention, TransformerDecoderLayer, TransformerEncoder,
    TransformerEncoderLayer, TransformerOptions,
};
use wgrad::{AttentionOptions, KeepDims, Tensor};

/// Outputs and states.
pub fn recurrent(t: &Trial, make: fn(usize, usize, RecurrentOptions, &mut Init) -> Recurrent) -> Vec<Tensor> {
    t.size("input_size");
    t.attrs().flag("bias", true);
    let layer = recurrent::layer(t, make, false);
    t.agree(&layer);
    let [hidden, cell] = ["hx.0", "hx.1"].map(|name| t.maybe(name).cloned());
    let start = RnnStart { hidden: hidden.or_else(|| t.maybe("hx").cloned()), cell, lengths: None };
    let (output, state) = layer.forward_from(t.x(), start, &ctx(t));
    [output, state.hidden].into_iter().chain(state.cell).collect()
}

pub fn rnn(t: &Trial) -> Vec<Tensor> {
    match &*t.attrs().text("nonlinearity", "tanh") {
        "relu" => recurrent(t, |i, h, o, init| Rnn::relu(i, h, o, init).0),
        _ => recurrent(t, |i, h, o, init| Rnn::with(i, h, o, init).0),
    }
}

/// The sizes, which the weights tell too.
fn sizes(t: &Trial) {
    let told = ["input_size", "hidden_size"].map(|name| t.size(name));
    t.attrs().flag("bias", true);
    assert_eq!([t.input("weight_ih").size(1), t.input("weight_hh").size(1)], told, "the weights' sizes");
}

pub fn rnn_cell(t: &Trial) -> Tensor {
    sizes(t);
    let cell = cell!(t, RnnCell);
    let cell = if t.attrs().text("nonlinearity", "tanh") == "relu" { cell.relu() } else { cell };
    t.agree(&cell);
    cell.forward(t.x(), t.maybe("hx"), &ctx(t))
}

pub fn gru_cell(t: &Trial) -> Tensor {
    sizes(t);
    let cell = cell!(t, GruCell);
    t.agree(&cell);
    cell.forward(t.x(), t.maybe("hx"), &ctx(t))
}

pub fn lstm_cell(t: &Trial) -> Vec<Tensor> {
    sizes(t);
    let cell = cell!(t, LstmCell);
    t.agree(&cell);
    let state = t.maybe("hx.0").map(|hidden| [hidden.clone(), t.input("hx.1").clone()]);
    cell.forward(t.x(), state.as_ref(), &ctx(t)).into()
}

/// What is added to the scores, from masks of truth values that are true where a key is hidden: one of padding `[keys]` or
/// `[batch, keys]`, and one of scores `[rows, keys]`, or `[batch * heads, rows, keys]`.
fn mask(t: &Trial, padding: &str, scores: &str, heads: usize) -> Option<Tensor> {
    let added = |mask: &Tensor| {
        if mask.dtype().is_float() {
            return mask.clone();
        }
        Tensor::zeros([], t.device()).masked_fill(mask, f32::NEG_INFINITY)
    };
    let padding = t.maybe(padding).map(|mask| {
        let mask = added(mask);
        if mask.rank() == 1 { mask } else { mask.unsqueeze(1).unsqueeze(1) }
    });
    let scores = t.maybe(scores).map(|mask| match mask.shape()[..] {
        [_, rows, keys] => added(mask).reshape([-1, heads as isize, rows as isize, keys as isize]),
        _ => added(mask),
    });
    match (padding, scores) {
        (Some(padding), Some(scores)) => Some(padding.add(&scores)),
        (padding, scores) => padding.or(scores),
    }
}

fn seen(t: &Trial, padding: &str, scores: &str, heads: usize) -> AttentionOptions {
    AttentionOptions { mask: mask(t, padding, scores, heads), ..AttentionOptions::default() }
}

/// What the heads give, and the mean of their weights.
pub fn multihead_attention(t: &Trial) -> Vec<Tensor> {
    let (a, heads) = (t.attrs(), t.size("num_heads"));
    let options = MultiheadAttentionOptions {
        bias: a.flag("bias", true),
        add_bias_kv: a.flag("add_bias_kv", false),
        add_zero_attn: a.flag("add_zero_attn", false),
        kdim: a.size("kdim"),
        vdim: a.size("vdim"),
        batch_first: a.flag("batch_first", false),
        ..MultiheadAttentionOptions::default()
    };
    let mut layer = MultiheadAttention::with(t.size("embed_dim"), heads, options, &mut t.init());
    attention_layer(t, &mut layer, "");
    t.agree(&layer);
    let ([query, key, value], ctx) = (["query", "key", "value"].map(|name| t.input(name)), ctx(t));
    let options = seen(t, "key_padding_mask", "attn_mask", heads);
    let y = layer.attend(query, key, value, &options, &ctx);
    let weights = layer.weights(query, key, &options, &ctx);
    vec![y, weights.mean_dims(&[if query.rank() == 2 { 0 } else { 1 }], KeepDims::No)]
}

fn options(t: &Trial) -> TransformerOptions {
    let a = t.attrs();
    let activation = match &*a.text("activation", "relu") {
        "gelu" => Tensor::gelu,
        _ => Tensor::relu,
    };
    a.only("dropout", 0.0);
    TransformerOptions {
        feedforward: a.size("dim_feedforward").unwrap_or(2048),
        dropout: 0.0,
        activation,
        norm: if a.flag("norm_first", false) { NormPlace::Before } else { NormPlace::After },
        layer_norm_eps: a.float("layer_norm_eps", 1e-5),
        bias: a.flag("bias", true),
        batch_first: a.flag("batch_first", false),
        attention_dropout: 0.0,
    }
}

pub fn encoder_layer(t: &Trial) -> Tensor {
    let heads = t.size("nhead");
    let mut layer = TransformerEncoderLayer::new(t.size("d_model"), heads, options(t), &mut t.init());
    encoder_values(t, &mut layer, "");
    t.agree(&layer);
    layer.encode(t.input("src"), &seen(t, "src_key_padding_mask", "src_mask", heads), &ctx(t))
}

pub fn encoder(t: &Trial) -> Tensor {
    let (heads, width) = (t.size("nhead"), t.input("src").size(-1));
    let feedforward = t.input("layers.0.linear1.weight").size(0);
    let options = TransformerOptions { feedforward, ..options(t) };
    let mut encoder = TransformerEncoder::new(width, heads, t.size("num_layers"), options, &mut t.init());
    for (at, layer) in encoder.layers.iter_mut().enumerate() {
        encoder_values(t, layer, &format!("layers.{at}."));
    }
    t.agree(&encoder);
    encoder.encode(t.input("src"), &seen(t, "src_key_padding_mask", "mask", heads), &ctx(t))
}

pub fn decoder_layer(t: &Trial) -> Tensor {
    let heads = t.size("nhead");
    let mut layer = TransformerDecoderLayer::new(t.size("d_model"), heads, options(t), &mut t.init());
    decoder_values(t, &mut layer, "");
    t.agree(&layer);
    let own = seen(t, "tgt_key_padding_mask", "tgt_mask", heads);
    let memory = seen(t, "memory_key_padding_mask", "memory_mask", heads);
    layer.decode(t.input("tgt"), t.input("memory"), [&own, &memory], &ctx(t))
}

pub fn transformer(t: &Trial) -> Tensor {
    let (a, heads) = (t.attrs(), t.size("nhead"));
    let layers = ["num_encoder_layers", "num_decoder_layers"].map(|name| a.size(name).unwrap_or(6));
    let mut model = Transformer::new(t.size("d_model"), heads, layers, options(t), &mut t.init());
    transformer_values(t, &mut model);
    t.agree(&model);
    let attention = TransformerAttention {
        source: seen(t, "src_key_padding_mask", "src_mask", heads),
        target: seen(t, "tgt_key_padding_mask", "tgt_mask", heads),
        memory: seen(t, "memory_key_padding_mask", "memory_mask", heads),
    };
    model.transform(t.input("src"), t.input("tgt"), &attention, &ctx(t))
}
