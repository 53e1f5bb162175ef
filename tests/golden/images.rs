//! Convolution, pooling and batch normalization.

use crate::indices::both;
use crate::trial::Trial;
use wgrad::{
    AvgPool1dOptions, AvgPool2dOptions, Conv1dOptions, Conv2dOptions, ConvTranspose1dOptions, ConvTranspose2dOptions,
    MaxPool1dOptions, MaxPool2dOptions, Tensor, Upsampling,
};

pub fn conv2d(t: &Trial) -> Tensor {
    t.attrs().only("padding_mode", "zeros");
    let (options, same) = (conv2d_options(t), t.attrs().is_word("padding", "same"));
    let function = if same { Tensor::conv2d_same } else { Tensor::conv2d };
    function(t.x(), t.input("weight"), t.maybe("bias"), options)
}

/// Without the padding that a word stands for.
pub fn conv2d_options(t: &Trial) -> Conv2dOptions {
    let (a, word) = (t.attrs(), is_word(t));
    Conv2dOptions {
        stride: a.pair("stride").unwrap_or([1; 2]),
        padding: if word { [0; 2] } else { a.pair("padding").unwrap_or([0; 2]) },
        dilation: a.pair("dilation").unwrap_or([1; 2]),
        groups: a.int("groups", 1).unsigned_abs(),
    }
}

/// Whether the padding is told by a word.
pub fn is_word(t: &Trial) -> bool {
    t.attrs().is_word("padding", "same") || t.attrs().is_word("padding", "valid")
}

fn one(t: &Trial, name: &str, default: usize) -> usize {
    t.attrs().size(name).unwrap_or(default)
}

pub fn conv1d(t: &Trial) -> Tensor {
    t.attrs().only("padding_mode", "zeros");
    let (options, same) = (conv1d_options(t), t.attrs().is_word("padding", "same"));
    let function = if same { Tensor::conv1d_same } else { Tensor::conv1d };
    function(t.x(), t.input("weight"), t.maybe("bias"), options)
}

/// Without the padding that a word stands for.
pub fn conv1d_options(t: &Trial) -> Conv1dOptions {
    Conv1dOptions {
        stride: one(t, "stride", 1),
        padding: if is_word(t) { 0 } else { one(t, "padding", 0) },
        dilation: one(t, "dilation", 1),
        groups: one(t, "groups", 1),
    }
}

pub fn conv_transpose1d(t: &Trial) -> Tensor {
    t.x().conv_transpose1d(t.input("weight"), t.maybe("bias"), transpose1d_options(t))
}

pub fn transpose1d_options(t: &Trial) -> ConvTranspose1dOptions {
    ConvTranspose1dOptions {
        stride: one(t, "stride", 1),
        padding: one(t, "padding", 0),
        output_padding: one(t, "output_padding", 0),
        dilation: one(t, "dilation", 1),
        groups: one(t, "groups", 1),
    }
}

pub fn conv_transpose2d(t: &Trial) -> Tensor {
    t.x().conv_transpose2d(t.input("weight"), t.maybe("bias"), transpose2d_options(t))
}

pub fn transpose2d_options(t: &Trial) -> ConvTranspose2dOptions {
    let a = t.attrs();
    ConvTranspose2dOptions {
        stride: a.pair("stride").unwrap_or([1; 2]),
        padding: a.pair("padding").unwrap_or([0; 2]),
        output_padding: a.pair("output_padding").unwrap_or([0; 2]),
        dilation: a.pair("dilation").unwrap_or([1; 2]),
        groups: one(t, "groups", 1),
    }
}

pub fn interpolate(t: &Trial) -> Tensor {
    let a = t.attrs();
    a.flag("recompute_scale_factor", false);
    let of = (a.text("mode", "nearest"), a.flag("align_corners", false), a.flag("antialias", false));
    let mode = match (of.0.as_str(), of.1, of.2) {
        ("nearest", ..) => Upsampling::Nearest,
        ("nearest-exact", ..) => Upsampling::NearestExact,
        ("area", ..) => Upsampling::Area,
        ("linear" | "trilinear", false, _) => Upsampling::Bilinear,
        ("linear" | "trilinear", true, _) => Upsampling::BilinearAligned,
        ("bilinear", _, true) => Upsampling::BilinearAntialiased,
        ("bilinear", false, _) => Upsampling::Bilinear,
        ("bilinear", true, _) => Upsampling::BilinearAligned,
        ("bicubic", _, true) => Upsampling::BicubicAntialiased,
        ("bicubic", false, _) => Upsampling::Bicubic,
        ("bicubic", true, _) => Upsampling::BicubicAligned,
        (other, ..) => panic!("interpolate: no mode `{other}` is known"),
    };
    resized(t, mode)
}

pub fn upsample_by_name(t: &Trial, mode: Upsampling) -> Tensor {
    resized(t, mode)
}

/// One size or factor stands for all dimensions.
fn resized(t: &Trial, mode: Upsampling) -> Tensor {
    let (a, x) = (t.attrs(), t.x());
    let count = x.rank().saturating_sub(2);
    if let Some(sizes) = a.list("size") {
        let sizes: Vec<usize> = (0..count).map(|d| sizes[d.min(sizes.len() - 1)].unsigned_abs()).collect();
        return if count == 2 { x.interpolate([sizes[0], sizes[1]], mode) } else { x.interpolate_nd(&sizes, mode) };
    }
    let factors = a.factors("scale_factor", count).unwrap_or_else(|| vec![1.0; count]);
    if a.flag("recompute_scale_factor", false) {
        let sizes: Vec<usize> =
            (0..count).map(|d| (x.shape()[2 + d] as f64 * f64::from(factors[d])) as usize).collect();
        return if count == 2 { x.interpolate([sizes[0], sizes[1]], mode) } else { x.interpolate_nd(&sizes, mode) };
    }
    if count == 2 { x.upsample([factors[0], factors[1]], mode) } else { x.upsample_nd(&factors, mode) }
}

/// A stride that is not told is the kernel's size.
pub fn max_pool2d(t: &Trial) -> Tensor {
    t.attrs().only("return_indices", false);
    t.x().max_pool2d(max_pool2d_options(t))
}

pub fn max_pool2d_options(t: &Trial) -> MaxPool2dOptions {
    let a = t.attrs();
    let kernel_size = a.pair("kernel_size").expect("max_pool2d: expected `kernel_size`");
    MaxPool2dOptions {
        kernel_size,
        stride: a.pair("stride").unwrap_or(kernel_size),
        padding: a.pair("padding").unwrap_or([0; 2]),
        dilation: a.pair("dilation").unwrap_or([1; 2]),
        ceil_mode: a.flag("ceil_mode", false),
    }
}

pub fn avg_pool2d(t: &Trial) -> Tensor {
    t.x().avg_pool2d(avg_pool2d_options(t))
}

pub fn avg_pool2d_options(t: &Trial) -> AvgPool2dOptions {
    let a = t.attrs();
    let kernel_size = a.pair("kernel_size").expect("avg_pool2d: expected `kernel_size`");
    AvgPool2dOptions {
        kernel_size,
        stride: a.pair("stride").unwrap_or(kernel_size),
        padding: a.pair("padding").unwrap_or([0; 2]),
        ceil_mode: a.flag("ceil_mode", false),
        count_include_pad: a.flag("count_include_pad", true),
        divisor_override: a.size("divisor_override"),
    }
}

pub fn max_pool1d(t: &Trial) -> Vec<Tensor> {
    let kernel_size = t.size("kernel_size");
    let (stride, padding) = (kept(t, "stride").unwrap_or(kernel_size), one(t, "padding", 0));
    let (dilation, ceil_mode) = (one(t, "dilation", 1), t.attrs().flag("ceil_mode", false));
    if !t.attrs().flag("return_indices", false) {
        return vec![t.x().max_pool1d(MaxPool1dOptions { kernel_size, stride, padding, dilation, ceil_mode })];
    }
    let (y, index) = t.x().unsqueeze(t.x().rank() - 1).max_pool2d_indices(MaxPool2dOptions {
        kernel_size: [1, kernel_size],
        stride: [1, stride],
        padding: [0, padding],
        dilation: [1, dilation],
        ceil_mode,
    });
    both((y.squeeze(-2), index.squeeze(-2)))
}

/// An empty list is none.
fn kept(t: &Trial, name: &str) -> Option<usize> {
    t.attrs().list(name).filter(|list| !list.is_empty()).map(|list| list[0].unsigned_abs())
}

pub fn avg_pool1d(t: &Trial) -> Tensor {
    t.x().avg_pool1d(avg_pool1d_options(t))
}

pub fn avg_pool1d_options(t: &Trial) -> AvgPool1dOptions {
    let kernel_size = t.size("kernel_size");
    AvgPool1dOptions {
        kernel_size,
        stride: one(t, "stride", kernel_size),
        padding: one(t, "padding", 0),
        ceil_mode: t.attrs().flag("ceil_mode", false),
        count_include_pad: t.attrs().flag("count_include_pad", true),
    }
}

/// Sizes of the result, of which those that are not told stay; one stands for all.
pub fn kept_sizes<const N: usize>(t: &Trial) -> [usize; N] {
    let sizes = t.attrs().sizes("output_size").expect("expected `output_size`");
    let own = &t.x().shape()[t.x().rank() - N..];
    std::array::from_fn(|d| sizes[d.min(sizes.len() - 1)].unwrap_or(own[d]))
}

pub fn adaptive_max_pool2d(t: &Trial) -> Vec<Tensor> {
    match t.attrs().flag("return_indices", false) {
        true => both(t.x().adaptive_max_pool2d_indices(kept_sizes(t))),
        false => vec![t.x().adaptive_max_pool2d(kept_sizes(t))],
    }
}

/// As an image of one row.
pub fn adaptive_max_pool1d(t: &Trial) -> Vec<Tensor> {
    let [size] = kept_sizes(t);
    if !t.attrs().flag("return_indices", false) {
        return vec![t.x().adaptive_max_pool1d(size)];
    }
    let (y, index) = t.x().unsqueeze(t.x().rank() - 1).adaptive_max_pool2d_indices([1, size]);
    both((y.squeeze(-2), index.squeeze(-2)))
}

pub fn pixel_shuffle(t: &Trial) -> Tensor {
    t.x().pixel_shuffle(t.attrs().int("upscale_factor", 1).unsigned_abs())
}

pub fn adaptive_avg_pool2d(t: &Trial) -> Tensor {
    t.x().adaptive_avg_pool2d(kept_sizes(t))
}

/// In training by the batch's own statistics, else by running ones; PyTorch's default is not training.
pub fn batch_norm(t: &Trial) -> Tensor {
    let (a, weight, bias) = (t.attrs(), t.maybe("weight"), t.maybe("bias"));
    let eps = a.float("eps", 1e-5);
    // The momentum moves the running statistics, which no case of this kind holds afterwards.
    a.float("momentum", 0.1);
    if a.flag("training", false) {
        return t.x().batch_norm(weight, bias, eps).output;
    }
    t.x().batch_norm_eval(t.input("running_mean"), t.input("running_var"), weight, bias, eps)
}
