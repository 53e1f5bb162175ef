//! What a Transformer is made of.

use crate::trial::Trial;
use wgrad::nn::{
    Ctx, LayerNorm, Linear, MultiheadAttention, NormPlace, Transformer, TransformerAttention, TransformerDecoderLayer,
    TransformerEncoderLayer, TransformerOptions,
};
use wgrad::{AttentionOptions, Tensor};

fn sizes(t: &Trial) -> Vec<usize> {
    let sizes = t.attrs().list("normalized_shape").expect("expected `normalized_shape`");
    sizes.into_iter().map(|size| usize::try_from(size).expect("a size is not negative")).collect()
}

pub fn layer_norm(t: &Trial) -> Tensor {
    t.x().layer_norm(&sizes(t), t.maybe("weight"), t.maybe("bias"), t.attrs().float("eps", 1e-5))
}

pub fn rms_norm(t: &Trial) -> Tensor {
    t.x().rms_norm(&sizes(t), t.maybe("weight"), t.attrs().float("eps", f32::EPSILON))
}

pub fn group_norm(t: &Trial) -> Tensor {
    let groups = usize::try_from(t.attrs().int("num_groups", 1)).expect("`num_groups` is not negative");
    t.x().group_norm(groups, t.maybe("weight"), t.maybe("bias"), t.attrs().float("eps", 1e-5))
}

pub fn attention(t: &Trial) -> Tensor {
    t.attrs().only("dropout_p", 0.0);
    let options = AttentionOptions {
        is_causal: t.attrs().flag("is_causal", false),
        mask: t.maybe("attn_mask").cloned(),
        scale: Some(t.attrs().float("scale", f32::NAN)).filter(|scale| !scale.is_nan()),
        enable_gqa: t.attrs().flag("enable_gqa", false),
        ..AttentionOptions::default()
    };
    t.input("query").scaled_dot_product_attention(t.input("key"), t.input("value"), &options)
}

fn count(t: &Trial, name: &str) -> usize {
    usize::try_from(t.attrs().int(name, 1)).expect("a number is not negative")
}

pub fn linear(t: &Trial, path: &str) -> Linear {
    Linear { weight: t.parameter(&format!("{path}.weight")), bias: t.given(&format!("{path}.bias")) }
}

/// A norm as it is made, with the file's values.
pub fn norm(t: &Trial, norm: &mut LayerNorm, path: &str) {
    norm.weight = t.given(&format!("{path}weight"));
    norm.bias = t.given(&format!("{path}bias"));
}

/// `path` ends with a point, where there is one.
pub fn attention_layer(t: &Trial, layer: &mut MultiheadAttention, path: &str) {
    let of = |name: &str| t.given(&format!("{path}{name}"));
    [layer.in_proj_weight, layer.in_proj_bias, layer.bias_k, layer.bias_v] =
        ["in_proj_weight", "in_proj_bias", "bias_k", "bias_v"].map(&of);
    [layer.q_proj_weight, layer.k_proj_weight, layer.v_proj_weight] =
        ["q_proj_weight", "k_proj_weight", "v_proj_weight"].map(&of);
    layer.out_proj = linear(t, &format!("{path}out_proj"));
}

pub fn encoder_values(t: &Trial, layer: &mut TransformerEncoderLayer, path: &str) {
    let of = |part: &str| format!("{path}{part}");
    attention_layer(t, &mut layer.self_attn, &of("self_attn."));
    [layer.linear1, layer.linear2] = ["linear1", "linear2"].map(|part| linear(t, &of(part)));
    norm(t, &mut layer.norm1, &of("norm1."));
    norm(t, &mut layer.norm2, &of("norm2."));
}

pub fn decoder_values(t: &Trial, layer: &mut TransformerDecoderLayer, path: &str) {
    let of = |part: &str| format!("{path}{part}");
    attention_layer(t, &mut layer.self_attn, &of("self_attn."));
    attention_layer(t, &mut layer.multihead_attn, &of("multihead_attn."));
    [layer.linear1, layer.linear2] = ["linear1", "linear2"].map(|part| linear(t, &of(part)));
    for (at, own) in [(1, &mut layer.norm1), (2, &mut layer.norm2), (3, &mut layer.norm3)] {
        norm(t, own, &of(&format!("norm{at}.")));
    }
}

pub fn transformer_values(t: &Trial, model: &mut Transformer) {
    for (at, layer) in model.encoder.layers.iter_mut().enumerate() {
        encoder_values(t, layer, &format!("encoder.layers.{at}."));
    }
    for (at, layer) in model.decoder.layers.iter_mut().enumerate() {
        decoder_values(t, layer, &format!("decoder.layers.{at}."));
    }
    norm(t, model.encoder.norm.as_mut().expect("it has a norm"), "encoder.norm.");
    norm(t, model.decoder.norm.as_mut().expect("it has a norm"), "decoder.norm.");
}

pub fn multihead_attention(t: &Trial) -> Tensor {
    let (heads, ctx, query) = (count(t, "num_heads"), Ctx::eval().tracked(), t.input("query"));
    let mut layer = MultiheadAttention::new(query.size(-1), heads, &mut t.init());
    attention_layer(t, &mut layer, "");
    let padding = t.maybe("key_padding_mask").map(|mask| mask.unsqueeze(1).unsqueeze(1));
    // One for all, or one for each head of each sequence.
    let scores = t.maybe("attn_mask").map(|mask| match mask.shape()[..] {
        [_, rows, keys] => mask.reshape([-1, heads as isize, rows as isize, keys as isize]),
        _ => mask.clone(),
    });
    let mask = match (padding, scores) {
        (Some(padding), Some(scores)) => Some(padding.add(&scores)),
        (padding, scores) => padding.or(scores),
    };
    let options = AttentionOptions { mask, ..AttentionOptions::default() };
    match t.maybe("key") {
        Some(key) => layer.attend(query, key, t.input("value"), &options, &ctx),
        None => layer.attend_self(query, &options, &ctx),
    }
}

fn transformer_options(t: &Trial) -> TransformerOptions {
    let activation = match t.attrs().text("activation", "relu").as_str() {
        "relu" => Tensor::relu,
        "gelu" => Tensor::gelu,
        other => panic!("no activation `{other}` is known"),
    };
    let norm = if t.attrs().flag("norm_first", false) { NormPlace::Before } else { NormPlace::After };
    let feedforward = t.input("linear1.weight").size(0);
    TransformerOptions { feedforward, dropout: 0.0, activation, norm, ..TransformerOptions::default() }
}

/// The rows see those before them and themselves.
pub fn encoder_layer(t: &Trial) -> Tensor {
    let (x, heads) = (t.input("src"), count(t, "nhead"));
    let init = &mut t.init();
    let mut layer = TransformerEncoderLayer::new(x.size(-1), heads, transformer_options(t), init);
    encoder_values(t, &mut layer, "");
    layer.encode(x, &AttentionOptions::causal(), &Ctx::eval().tracked())
}

/// The rows see those before them and themselves, and all of the encoder's.
pub fn decoder_layer(t: &Trial) -> Tensor {
    let (x, heads) = (t.input("tgt"), count(t, "nhead"));
    let init = &mut t.init();
    let mut layer = TransformerDecoderLayer::new(x.size(-1), heads, transformer_options(t), init);
    decoder_values(t, &mut layer, "");
    let options = [&AttentionOptions::causal(), &AttentionOptions::default()];
    layer.decode(x, t.input("memory"), options, &Ctx::eval().tracked())
}

/// Two encoder layers and one of a decoder, each with a norm behind.
pub fn transformer(t: &Trial) -> Tensor {
    let (source, target) = (t.input("src"), t.input("tgt"));
    let options = TransformerOptions { feedforward: 10, dropout: 0.0, ..TransformerOptions::default() };
    let mut model = Transformer::new(source.size(-1), 2, [2, 1], options, &mut t.init());
    transformer_values(t, &mut model);
    let attention = TransformerAttention { target: AttentionOptions::causal(), ..TransformerAttention::default() };
    model.transform(source, target, &attention, &Ctx::eval().tracked())
}
