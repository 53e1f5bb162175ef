//! Convolution and pooling of volumes, products of two inputs, and bags of rows.

use crate::images::{is_word, kept_sizes};
use crate::indices::both;
use crate::trial::Trial;
use wgrad::nn::{Ctx, Embedding, Layer, Parameter};
use wgrad::{
    AttentionOptions, AvgPool3dOptions, BagMode, Conv3dOptions, ConvTranspose3dOptions, EmbeddingBagOptions,
    MaxPool3dOptions, Tensor,
};

/// Numbers for depth, rows and columns, or one for all.
pub fn three(t: &Trial, name: &str) -> Option<[usize; 3]> {
    let list = t.attrs().list(name).filter(|list| !list.is_empty())?;
    let size = |at: usize| list[at.min(list.len() - 1)].unsigned_abs();
    Some([size(0), size(1), size(2)])
}

fn groups(t: &Trial) -> usize {
    t.attrs().size("groups").unwrap_or(1)
}

pub fn conv3d(t: &Trial) -> Tensor {
    let (options, same) = (conv3d_options(t), t.attrs().is_word("padding", "same"));
    let function = if same { Tensor::conv3d_same } else { Tensor::conv3d };
    function(t.x(), t.input("weight"), t.maybe("bias"), options)
}

/// Without the padding that a word stands for.
pub fn conv3d_options(t: &Trial) -> Conv3dOptions {
    let of = |name: &str, usual: usize| three(t, name).unwrap_or([usual; 3]);
    let padding = if is_word(t) { [0; 3] } else { of("padding", 0) };
    Conv3dOptions { stride: of("stride", 1), padding, dilation: of("dilation", 1), groups: groups(t) }
}

pub fn conv_transpose3d(t: &Trial) -> Tensor {
    t.x().conv_transpose3d(t.input("weight"), t.maybe("bias"), transpose3d_options(t))
}

pub fn transpose3d_options(t: &Trial) -> ConvTranspose3dOptions {
    let of = |name: &str, usual: usize| three(t, name).unwrap_or([usual; 3]);
    let (stride, padding, dilation) = (of("stride", 1), of("padding", 0), of("dilation", 1));
    ConvTranspose3dOptions { stride, padding, output_padding: of("output_padding", 0), dilation, groups: groups(t) }
}

/// With places where they are asked for.
pub fn max_pool3d(t: &Trial) -> Vec<Tensor> {
    let options = max_pool3d_options(t);
    match t.attrs().flag("return_indices", false) {
        true => both(t.x().max_pool3d_indices(options)),
        false => vec![t.x().max_pool3d(options)],
    }
}

pub fn max_pool3d_options(t: &Trial) -> MaxPool3dOptions {
    let kernel_size = three(t, "kernel_size").expect("max_pool3d: expected `kernel_size`");
    MaxPool3dOptions {
        kernel_size,
        stride: three(t, "stride").unwrap_or(kernel_size),
        padding: three(t, "padding").unwrap_or([0; 3]),
        dilation: three(t, "dilation").unwrap_or([1; 3]),
        ceil_mode: t.attrs().flag("ceil_mode", false),
    }
}

pub fn avg_pool3d(t: &Trial) -> Tensor {
    t.x().avg_pool3d(avg_pool3d_options(t))
}

pub fn avg_pool3d_options(t: &Trial) -> AvgPool3dOptions {
    let kernel_size = three(t, "kernel_size").expect("avg_pool3d: expected `kernel_size`");
    AvgPool3dOptions {
        kernel_size,
        stride: three(t, "stride").unwrap_or(kernel_size),
        padding: three(t, "padding").unwrap_or([0; 3]),
        ceil_mode: t.attrs().flag("ceil_mode", false),
        count_include_pad: t.attrs().flag("count_include_pad", true),
        divisor_override: t.attrs().size("divisor_override"),
    }
}

pub fn adaptive_avg_pool3d(t: &Trial) -> Tensor {
    t.x().adaptive_avg_pool3d(kept_sizes(t))
}

pub fn adaptive_max_pool3d(t: &Trial) -> Vec<Tensor> {
    match t.attrs().flag("return_indices", false) {
        true => both(t.x().adaptive_max_pool3d_indices(kept_sizes(t))),
        false => vec![t.x().adaptive_max_pool3d(kept_sizes(t))],
    }
}

pub fn local_response_norm(t: &Trial) -> Tensor {
    let a = t.attrs();
    t.x().local_response_norm(t.size("size"), a.float("alpha", 1e-4), a.float("beta", 0.75), a.float("k", 1.0))
}

pub fn embedding_bag(t: &Trial) -> Tensor {
    let a = t.attrs();
    let mode = match &*a.text("mode", "mean") {
        "sum" => BagMode::Sum,
        "max" => BagMode::Max,
        _ => BagMode::Mean,
    };
    let rows = t.input("weight").size(0) as isize;
    let padding = a.list("padding_idx").map(|row| row[0].rem_euclid(rows) as i32);
    let options = EmbeddingBagOptions {
        mode,
        per_sample_weights: t.maybe("per_sample_weights").cloned(),
        padding,
        ..EmbeddingBagOptions::default()
    };
    // An end behind the last bag.
    let ends = a.flag("include_last_offset", false);
    let offsets = t.maybe("offsets").map(|at| if ends { at.narrow(0, 0, at.numel() - 1) } else { at.clone() });
    t.input("weight").embedding_bag(t.x(), offsets.as_ref(), &options)
}

/// A table whose rows are shortened is a copy: they are shortened in place.
pub fn embedding_options(t: &Trial) -> Tensor {
    let shortened = t.attrs().flag("shortened", false);
    let mut layer = Embedding::from(match shortened {
        true => Parameter::new(t.input("weight").copy()),
        false => t.parameter("weight"),
    });
    layer.max_norm = shortened.then(|| t.attrs().float("max_norm", 1.0));
    layer.scale_grad_by_freq = t.attrs().flag("scale_grad_by_freq", false);
    layer.forward(t.x(), &Ctx::eval().tracked())
}

pub fn grouped_attention(t: &Trial) -> Tensor {
    let options = AttentionOptions {
        is_causal: t.attrs().flag("is_causal", false),
        enable_gqa: true,
        ..AttentionOptions::default()
    };
    t.input("query").scaled_dot_product_attention(t.input("key"), t.input("value"), &options)
}
