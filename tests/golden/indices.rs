//! Order, indices, and what else takes more than a line.

use crate::familiar::variance;
use crate::ops::number_of;
use crate::trial::Trial;
use wgrad::{
    GridMode, GridSampleOptions, KeepDims, MaxPool2dOptions, Order, Outside, Padding, Rounding, ScatterReduction,
    Tensor,
};

fn size(value: isize) -> usize {
    usize::try_from(value).expect("a size is not negative")
}

fn order(t: &Trial) -> Order {
    t.attrs().flag("stable", true);
    if t.attrs().flag("descending", false) { Order::Descending } else { Order::Ascending }
}

pub fn both((values, index): (Tensor, Tensor)) -> Vec<Tensor> {
    vec![values, index]
}

pub fn sort(t: &Trial) -> Vec<Tensor> {
    both(t.x().sort(t.attrs().int("dim", -1), order(t)))
}

pub fn argsort(t: &Trial) -> Tensor {
    t.x().argsort(t.attrs().int("dim", -1), order(t))
}

pub fn argmin(t: &Trial) -> Tensor {
    let (x, keep) = (t.x(), t.attrs().flag("keepdim", false));
    let Some(dims) = t.attrs().list("dim") else { return x.reshape(-1).argmin(0) };
    let found = x.argmin(dims[0]);
    if keep && x.rank() > 0 { found.unsqueeze(dims[0].rem_euclid(x.rank() as isize) as usize) } else { found }
}

/// A value along a dimension with its index.
pub fn along(t: &Trial, f: fn(&Tensor, isize, KeepDims) -> (Tensor, Tensor)) -> Vec<Tensor> {
    both(f(t.x(), t.attrs().int("dim", -1), t.keep()))
}

pub fn kthvalue(t: &Trial) -> Vec<Tensor> {
    both(t.x().kthvalue(t.size("k"), t.attrs().int("dim", -1), t.keep()))
}

pub fn prod(t: &Trial) -> Tensor {
    match t.attrs().list("dim") {
        Some(dims) => t.x().prod_dim(dims[0], t.keep()),
        None => t.x().prod(),
    }
}

pub fn std(t: &Trial) -> Tensor {
    let whole = t.attrs().float("correction", 1.0);
    if whole < 0.0 || whole.fract() != 0.0 {
        return variance(t).sqrt();
    }
    // An older word for a correction of 1.
    let correction = t.attrs().int("correction", isize::from(t.attrs().flag("unbiased", true)));
    t.x().std_dims(&t.dims(), size(correction), t.keep())
}

/// Without a dimension, among all elements.
pub fn take_along_dim(t: &Trial) -> Tensor {
    match t.attrs().list("dim") {
        Some(dims) => t.x().take_along_dim(t.input("indices"), dims[0]),
        None => t.x().reshape(-1).take_along_dim(&t.input("indices").reshape(-1), 0),
    }
}

pub fn div(t: &Trial) -> Tensor {
    match t.attrs().text("rounding_mode", "").as_str() {
        "floor" => t.x().div_rounded(t.y(), Rounding::Floor),
        "trunc" => t.x().div_rounded(t.y(), Rounding::Trunc),
        _ => t.x().div(t.y()),
    }
}

pub fn scatter(t: &Trial) -> Tensor {
    let dim = t.attrs().int("dim", 0);
    match t.maybe("src") {
        Some(src) => t.x().scatter(dim, t.input("index"), src),
        None => t.x().scatter_value(dim, t.input("index"), t.attrs().float("value", f32::NAN)),
    }
}

pub fn joined(t: &Trial) -> ScatterReduction {
    match t.attrs().text("reduce", "").as_str() {
        "sum" => ScatterReduction::Sum,
        "prod" => ScatterReduction::Prod,
        "mean" => ScatterReduction::Mean,
        "amax" => ScatterReduction::Amax,
        "amin" => ScatterReduction::Amin,
        other => panic!("scatter_reduce: no reduction `{other}` is known"),
    }
}

pub fn scatter_reduce(t: &Trial) -> Tensor {
    let include = t.attrs().flag("include_self", true);
    t.x().scatter_reduce(t.attrs().int("dim", 0), t.input("index"), t.input("src"), joined(t), include)
}

pub fn index_add(t: &Trial) -> Tensor {
    let alpha = t.attrs().float("alpha", 1.0);
    let source = t.input("source");
    let source = if alpha == 1.0 { source.clone() } else { source * alpha };
    t.x().index_add(t.attrs().int("dim", 0), t.input("index"), &source)
}

/// The indices of the first dimensions.
pub fn index_put(t: &Trial) -> Tensor {
    let at: Vec<_> = t.list().into_iter().map(|index| wgrad::ops::index::Index::Tensor(index.clone())).collect();
    match t.attrs().flag("accumulate", false) {
        true => t.x().index_put_add(at, t.input("values")),
        false => t.x().index_put(at, t.input("values")),
    }
}

pub fn repeat(t: &Trial) -> Tensor {
    t.x().repeat(&t.attrs().list("repeats").expect("repeat: expected `repeats`")[..])
}

pub fn tile(t: &Trial) -> Tensor {
    t.x().tile(&t.attrs().list("dims").expect("tile: expected `dims`")[..])
}

pub fn roll(t: &Trial) -> Tensor {
    let shifts = t.attrs().list("shifts").expect("roll: expected `shifts`");
    t.x().roll(&shifts[..], &t.attrs().list("dims").unwrap_or_default()[..])
}

pub fn movedim(t: &Trial) -> Tensor {
    let list = |name| t.attrs().list(name).expect("movedim: expected two lists");
    t.x().movedim(&list("source")[..], &list("destination")[..])
}

pub fn nan_to_num(t: &Trial) -> Tensor {
    let a = t.attrs();
    t.x().nan_to_num(a.float("nan", 0.0), a.float("posinf", f32::MAX), a.float("neginf", f32::MIN))
}

pub fn addmm(t: &Trial, a: &str, b: &str) -> Tensor {
    t.x().addmm(t.input(a), t.input(b), t.attrs().float("beta", 1.0), t.attrs().float("alpha", 1.0))
}

pub fn lerp(t: &Trial) -> Tensor {
    match t.maybe("weight") {
        Some(weight) => t.x().lerp_by(t.input("end"), weight),
        None => t.x().lerp(t.input("end"), t.attrs().float("weight", f32::NAN)),
    }
}

pub fn clamp(t: &Trial) -> Tensor {
    if t.maybe("min").is_none() && t.maybe("max").is_none() {
        return t.x().clamp(t.attrs().float("min", f32::NEG_INFINITY), t.attrs().float("max", f32::INFINITY));
    }
    t.x().clamp_by(t.maybe("min"), t.maybe("max"))
}

/// JSON has no word for the order of infinity.
pub fn norm(t: &Trial) -> Tensor {
    if t.attrs().is_word("p", "fro") {
        return t.x().norm(&t.dims(), t.keep());
    }
    let p = number_of(t, "p", 2.0);
    t.x().norm_of(p, &t.dims(), t.keep())
}

pub fn normalize(t: &Trial) -> Tensor {
    let a = t.attrs();
    t.x().normalize(a.float("p", 2.0), a.int("dim", 1), a.float("eps", 1e-12))
}

pub fn pad(t: &Trial) -> Tensor {
    let value = t.attrs().float("value", 0.0);
    let mode = match t.attrs().text("mode", "constant").as_str() {
        "constant" => Padding::Constant(value),
        "reflect" => Padding::Reflect,
        "replicate" => Padding::Replicate,
        "circular" => Padding::Circular,
        other => panic!("pad: no mode `{other}` is known"),
    };
    let widths = t.attrs().list("pad").expect("pad: expected `pad`");
    let pairs: Vec<_> = widths.chunks(2).map(|pair| (pair[0], pair[1])).collect();
    t.x().pad_with(&pairs, mode)
}

pub fn flatten(t: &Trial) -> Tensor {
    let (start, end) = (t.attrs().int("start_dim", 0), t.attrs().int("end_dim", -1));
    if end == -1 { t.x().flatten(start) } else { t.x().flatten(start..=end) }
}

pub fn squeeze(t: &Trial) -> Tensor {
    let x = t.x();
    let Some(mut dims) = t.attrs().list("dim") else { return x.squeeze_all() };
    if let [dim] = dims[..] {
        return x.squeeze(dim);
    }
    dims.iter_mut().for_each(|dim| *dim = dim.rem_euclid(x.rank().max(1) as isize));
    dims.sort_unstable();
    let gone = |x: Tensor, dim: &isize| if x.rank() > 0 && x.size(*dim) == 1 { x.squeeze(*dim) } else { x };
    dims.iter().rev().fold(x.clone(), gone)
}

pub fn diagonal(t: &Trial) -> Tensor {
    let a = t.attrs();
    t.x().diagonal_at(a.int("offset", 0), a.int("dim1", 0), a.int("dim2", 1))
}

pub fn softplus(t: &Trial) -> Tensor {
    let (beta, threshold) = (t.attrs().float("beta", 1.0), t.attrs().float("threshold", 20.0));
    if (beta, threshold) == (1.0, 20.0) { t.x().softplus() } else { t.x().softplus_with(beta, threshold) }
}

pub fn max_pool2d_indices(t: &Trial) -> Vec<Tensor> {
    let a = t.attrs();
    let kernel_size = a.pair("kernel_size").expect("max_pool2d: expected `kernel_size`");
    both(t.x().max_pool2d_indices(MaxPool2dOptions {
        kernel_size,
        stride: a.pair("stride").unwrap_or(kernel_size),
        padding: a.pair("padding").unwrap_or([0; 2]),
        dilation: a.pair("dilation").unwrap_or([1; 2]),
        ceil_mode: a.flag("ceil_mode", false),
    }))
}

fn windows(t: &Trial) -> ([usize; 2], wgrad::Conv2dOptions) {
    let a = t.attrs();
    let kernel = a.pair("kernel_size").expect("expected `kernel_size`");
    let [stride, dilation] = ["stride", "dilation"].map(|name| a.pair(name).unwrap_or([1; 2]));
    (kernel, wgrad::Conv2dOptions { stride, padding: a.pair("padding").unwrap_or([0; 2]), dilation, groups: 1 })
}

pub fn unfold(t: &Trial) -> Tensor {
    let (kernel, options) = windows(t);
    t.x().unfold(kernel, options)
}

pub fn fold(t: &Trial) -> Tensor {
    let (kernel, options) = windows(t);
    t.x().fold(t.attrs().pair("output_size").expect("fold: expected `output_size`"), kernel, options)
}

pub fn grid_sample(t: &Trial) -> Tensor {
    let a = t.attrs();
    let padding_mode = match a.text("padding_mode", "zeros").as_str() {
        "zeros" => Outside::Zeros,
        "border" => Outside::Border,
        "reflection" => Outside::Reflection,
        other => panic!("grid_sample: no padding `{other}` is known"),
    };
    let mode = match a.text("mode", "bilinear").as_str() {
        "bilinear" => GridMode::Bilinear,
        "nearest" => GridMode::Nearest,
        "bicubic" => GridMode::Bicubic,
        other => panic!("grid_sample: no mode `{other}` is known"),
    };
    let options = GridSampleOptions { mode, padding_mode, align_corners: a.flag("align_corners", false) };
    t.x().grid_sample(t.input("grid"), options)
}

pub fn rot90(t: &Trial) -> Tensor {
    let dims = t.attrs().list("dims").unwrap_or(vec![0, 1]);
    t.x().rot90(t.attrs().int("k", 1), dims[0], dims[1])
}

pub fn unflatten(t: &Trial) -> Tensor {
    t.x().unflatten(t.attrs().int("dim", 0), &t.attrs().list("sizes").expect("unflatten: expected `sizes`")[..])
}

/// The way it is computed does not matter.
pub fn cdist(t: &Trial) -> Tensor {
    t.attrs().text("compute_mode", "");
    t.x().cdist(t.y(), number_of(t, "p", 2.0))
}
