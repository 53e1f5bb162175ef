//! Linear maps, tables, borders.

use super::{ctx, run};
use crate::familiar::crossed;
use crate::trial::Trial;
use wgrad::nn::{Bilinear, Embedding, EmbeddingBag, Layer, Linear, Pad};
use wgrad::{BagMode, MaxPool1dOptions, Padding, Tensor};

pub fn constant(t: &Trial) -> Padding {
    Padding::Constant(t.attrs().float("value", 0.0))
}

/// One width for all sides, or two for each dimension, the last first.
pub fn pad(t: &Trial, count: usize, mode: Padding) -> Tensor {
    let widths = t.attrs().list("padding").expect("expected `padding`");
    let at = |place: usize| widths[if widths.len() == 1 { 0 } else { place }];
    run(t, &Pad::new((0..count).map(|d| (at(2 * d), at(2 * d + 1))).collect::<Vec<_>>(), mode))
}

pub fn max_pool1d(t: &Trial) -> MaxPool1dOptions {
    let (kernel_size, one) = (t.size("kernel_size"), |name: &str, usual| t.attrs().size(name).unwrap_or(usual));
    MaxPool1dOptions {
        kernel_size,
        stride: one("stride", kernel_size),
        padding: one("padding", 0),
        dilation: one("dilation", 1),
        ceil_mode: t.attrs().flag("ceil_mode", false),
    }
}

pub fn linear(t: &Trial) -> Tensor {
    let (inputs, outputs) = (t.size("in_features"), t.size("out_features"));
    let mut layer = match t.attrs().flag("bias", true) {
        true => Linear::new(inputs, outputs, &mut t.init()),
        false => Linear::without_bias(inputs, outputs, &mut t.init()),
    };
    assert_eq!(layer.bias.is_some(), t.maybe("bias").is_some(), "the bias");
    (layer.weight, layer.bias) = (t.parameter("weight"), t.given("bias"));
    run(t, &layer)
}

pub fn bilinear(t: &Trial) -> Tensor {
    let inputs = [t.size("in1_features"), t.size("in2_features")];
    let layer = Bilinear::new(inputs, t.size("out_features"), &mut t.init());
    let mut layer = if t.attrs().flag("bias", true) { layer } else { layer.without_bias() };
    (layer.weight, layer.bias) = (t.parameter("weight"), t.given("bias"));
    t.agree(&layer);
    layer.forward(t.input("input1"), t.input("input2"), &ctx(t))
}

/// The table's sizes, which it tells too.
fn sizes(t: &Trial) {
    let told = ["num_embeddings", "embedding_dim"].map(|name| t.size(name));
    assert_eq!(t.input("weight").shape()[..], told, "the table's sizes");
}

pub fn embedding(t: &Trial) -> Tensor {
    sizes(t);
    let padding = t.attrs().size("padding_idx").map(|row| row as i32);
    let scale_grad_by_freq = t.attrs().flag("scale_grad_by_freq", false);
    run(t, &Embedding { padding, scale_grad_by_freq, ..t.parameter("weight").into() })
}

pub fn embedding_bag(t: &Trial) -> Tensor {
    sizes(t);
    let mut layer = EmbeddingBag::from(t.parameter("weight"));
    layer.mode = match &*t.attrs().text("mode", "mean") {
        "sum" => BagMode::Sum,
        "max" => BagMode::Max,
        _ => BagMode::Mean,
    };
    layer.include_last_offset = t.attrs().flag("include_last_offset", false);
    layer.scale_grad_by_freq = t.attrs().flag("scale_grad_by_freq", false);
    layer.padding = t.attrs().size("padding_idx").map(|row| row as i32);
    match (t.maybe("offsets"), t.maybe("per_sample_weights")) {
        (Some(offsets), weights) => layer.bags(t.x(), offsets, weights, &ctx(t)),
        (None, Some(weights)) => layer.weighed(t.x(), weights, &ctx(t)),
        (None, None) => run(t, &layer),
    }
}

/// A linear layer whose outputs are classes, or classes for each place of a shape.
pub fn linear_cross_entropy(t: &Trial) -> Tensor {
    let (classes, ctx) = (t.size("num_classes"), ctx(t));
    t.size("in_features");
    t.attrs().flag("bias", false);
    let layer = Linear { weight: t.parameter("linear.weight"), bias: t.given("linear.bias") };
    let logits = layer.forward(t.x(), &ctx);
    let places = t.attrs().list("out_features").unwrap_or_default();
    let logits = match places.len() {
        0 => logits,
        _ => {
            let shape = t.x().shape();
            let lead = shape[..shape.rank() - 1].iter().map(|&n| n as isize);
            logits.reshape(&lead.chain([classes as isize]).chain(places).collect::<Vec<_>>()[..])
        }
    };
    crossed(t, &logits)
}
