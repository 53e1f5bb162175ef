//! What a Transformer is made of.

use crate::trial::Trial;
use wgrad::nn::{
    Ctx, LayerNorm, Linear, MultiheadAttention, NormPlace, Path, Transformer, TransformerAttention,
    TransformerDecoderLayer, TransformerEncoderLayer, TransformerOptions,
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

fn linear(t: &Trial, path: &str) -> Linear {
    Linear { weight: t.parameter(&format!("{path}.weight")), bias: Some(t.parameter(&format!("{path}.bias"))) }
}

fn norm(t: &Trial, path: &str) -> LayerNorm {
    let [weight, bias] = ["weight", "bias"].map(|part| t.parameter(&format!("{path}.{part}")));
    LayerNorm { weight, bias: Some(bias), eps: 1e-5 }
}

/// `path` ends with a point, where there is one.
fn attention_layer(t: &Trial, path: &str, heads: usize) -> MultiheadAttention {
    MultiheadAttention {
        path: Path::new(),
        in_proj_weight: t.parameter(&format!("{path}in_proj_weight")),
        in_proj_bias: t.parameter(&format!("{path}in_proj_bias")),
        out_proj: linear(t, &format!("{path}out_proj")),
        heads,
    }
}

pub fn multihead_attention(t: &Trial) -> Tensor {
    let (heads, ctx, query) = (count(t, "num_heads"), Ctx::eval().tracked(), t.input("query"));
    let layer = attention_layer(t, "", heads);
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
    TransformerOptions { feedforward, dropout: 0.0, activation, norm }
}

/// The rows see those before them and themselves.
pub fn encoder_layer(t: &Trial) -> Tensor {
    let (x, heads) = (t.input("src"), count(t, "nhead"));
    let init = &mut t.init();
    let mut layer = TransformerEncoderLayer::new(x.size(-1), heads, transformer_options(t), init);
    layer.self_attn = attention_layer(t, "self_attn.", heads);
    [layer.linear1, layer.linear2] = ["linear1", "linear2"].map(|path| linear(t, path));
    [layer.norm1, layer.norm2] = ["norm1", "norm2"].map(|path| norm(t, path));
    layer.encode(x, &AttentionOptions::causal(), &Ctx::eval().tracked())
}

/// The rows see those before them and themselves, and all of the encoder's.
pub fn decoder_layer(t: &Trial) -> Tensor {
    let (x, heads) = (t.input("tgt"), count(t, "nhead"));
    let init = &mut t.init();
    let mut layer = TransformerDecoderLayer::new(x.size(-1), heads, transformer_options(t), init);
    [layer.self_attn, layer.multihead_attn] =
        ["self_attn.", "multihead_attn."].map(|path| attention_layer(t, path, heads));
    [layer.linear1, layer.linear2] = ["linear1", "linear2"].map(|path| linear(t, path));
    [layer.norm1, layer.norm2, layer.norm3] = ["norm1", "norm2", "norm3"].map(|path| norm(t, path));
    let options = [&AttentionOptions::causal(), &AttentionOptions::default()];
    layer.decode(x, t.input("memory"), options, &Ctx::eval().tracked())
}

/// Two encoder layers and one of a decoder, each with a norm behind.
pub fn transformer(t: &Trial) -> Tensor {
    let (source, target) = (t.input("src"), t.input("tgt"));
    let options = TransformerOptions { feedforward: 10, dropout: 0.0, ..TransformerOptions::default() };
    let mut model = Transformer::new(source.size(-1), 2, [2, 1], options, &mut t.init());
    for (at, layer) in model.encoder.layers.iter_mut().enumerate() {
        let path = |part: &str| format!("encoder.layers.{at}.{part}");
        layer.self_attn = attention_layer(t, &path("self_attn."), 2);
        [layer.linear1, layer.linear2] = ["linear1", "linear2"].map(|part| linear(t, &path(part)));
        [layer.norm1, layer.norm2] = ["norm1", "norm2"].map(|part| norm(t, &path(part)));
    }
    for (at, layer) in model.decoder.layers.iter_mut().enumerate() {
        let path = |part: &str| format!("decoder.layers.{at}.{part}");
        [layer.self_attn, layer.multihead_attn] =
            ["self_attn.", "multihead_attn."].map(|part| attention_layer(t, &path(part), 2));
        [layer.linear1, layer.linear2] = ["linear1", "linear2"].map(|part| linear(t, &path(part)));
        [layer.norm1, layer.norm2, layer.norm3] = ["norm1", "norm2", "norm3"].map(|part| norm(t, &path(part)));
    }
    (model.encoder.norm, model.decoder.norm) = (Some(norm(t, "encoder.norm")), Some(norm(t, "decoder.norm")));
    let attention = TransformerAttention { target: AttentionOptions::causal(), ..TransformerAttention::default() };
    model.transform(source, target, &attention, &Ctx::eval().tracked())
}
