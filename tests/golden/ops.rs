//! Kinds whose arguments take more than a line to tell.

use crate::losses::reduction;
use crate::trial::Trial;
use wgrad::nn::{Ctx, Layer, Linear};
use wgrad::{CrossEntropyOptions, DType, Extreme, Tensor};

fn size(value: isize) -> usize {
    usize::try_from(value).expect("a size is not negative")
}

/// Without `dim`, PyTorch searches all elements.
pub fn argmax(t: &Trial) -> Tensor {
    let (x, dims) = (t.x(), t.attrs().list("dim"));
    let Some(dims) = dims else {
        t.attrs().only("keepdim", false);
        return x.reshape([-1]).argmax(0);
    };
    let (found, keep) = (x.argmax(dims[0]), t.attrs().flag("keepdim", false));
    // A scalar has no dimension to keep.
    if keep && x.rank() > 0 { found.unsqueeze(dims[0].rem_euclid(x.rank() as isize) as usize) } else { found }
}

/// Class numbers, or (of floats) a probability for each class.
pub fn cross_entropy(t: &Trial) -> Tensor {
    let (target, reduction) = (t.input("target"), reduction(t));
    let ignore_index = t.attrs().int("ignore_index", -100) as i32;
    let label_smoothing = t.attrs().float("label_smoothing", 0.0);
    let weight = t.maybe("weight").cloned();
    let options = CrossEntropyOptions { weight, ignore_index, label_smoothing, reduction };
    match target.dtype() {
        dtype if dtype.is_float() => t.x().cross_entropy_soft_with(target, &options),
        _ => t.x().cross_entropy_with(target, &options),
    }
}

/// A size of -1 stays as it is.
pub fn expand(t: &Trial) -> Tensor {
    let sizes = t.attrs().list("size").expect("expand: expected `size`");
    let lead = sizes.len() - t.x().rank();
    let kept = |(d, &n): (usize, &isize)| if n == -1 { t.x().shape()[d - lead] } else { size(n) };
    t.x().expand(sizes.iter().enumerate().map(kept).collect::<Vec<_>>())
}

pub fn gelu(t: &Trial) -> Tensor {
    match t.attrs().text("approximate", "none").as_str() {
        "none" => t.x().gelu(),
        "tanh" => t.x().gelu_tanh(),
        other => panic!("gelu: no approximation `{other}` is known"),
    }
}

/// A weight of one row without its dimension is a product with a vector, and no layer.
pub fn linear(t: &Trial) -> Tensor {
    if t.input("weight").rank() == 1 {
        let y = t.x().matmul(t.input("weight"));
        return t.maybe("bias").map_or(y.clone(), |bias| y.add(bias));
    }
    let layer = Linear { weight: t.parameter("weight"), bias: t.maybe("bias").map(|_| t.parameter("bias")) };
    layer.forward(t.x(), &Ctx::eval().tracked())
}

pub fn masked_fill(t: &Trial) -> Tensor {
    let mask = t.input("mask").cast(DType::F32);
    match t.maybe("value") {
        Some(value) => Tensor::where_(&mask, value, t.x()),
        None => t.x().masked_fill(&mask, t.attrs().float("value", f32::NAN)),
    }
}

pub fn narrow(t: &Trial) -> Tensor {
    let [dim, start, length] = ["dim", "start", "length"].map(|name| t.attrs().int(name, 0));
    let first = if start < 0 { start + t.x().size(dim) as isize } else { start };
    t.x().narrow(dim, size(first), size(length))
}

/// A number among the arguments; JSON has no words for some.
pub fn number_of(t: &Trial, name: &str, default: f32) -> f32 {
    match t.attrs().text("text", "").as_str() {
        "nan" => f32::NAN,
        "inf" => f32::INFINITY,
        "-inf" => f32::NEG_INFINITY,
        _ => t.attrs().float(name, default),
    }
}

/// The number beside the tensor.
pub fn number(t: &Trial) -> f32 {
    number_of(t, "other", f32::NAN)
}

pub fn permute(t: &Trial) -> Tensor {
    t.x().permute(&t.attrs().list("dims").expect("permute: expected `dims`"))
}

pub fn reshape(t: &Trial) -> Tensor {
    let sizes = t.attrs().list("shape").or_else(|| t.attrs().list("size")).expect("reshape: expected `shape`");
    t.x().reshape(&sizes[..])
}

pub fn chunk(t: &Trial) -> Vec<Tensor> {
    t.x().chunk(t.size("chunks"), t.attrs().int("dim", 0))
}

pub fn split(t: &Trial) -> Vec<Tensor> {
    t.x().split(t.size("split_size"), t.attrs().int("dim", 0))
}

pub fn split_sizes(t: &Trial) -> Vec<Tensor> {
    let sizes = t.attrs().list("split_sizes").expect("expected `split_sizes`");
    t.x().split_sizes(&sizes.into_iter().map(size).collect::<Vec<_>>(), t.attrs().int("dim", 0))
}

pub fn unsqueeze(t: &Trial) -> Tensor {
    t.x().unsqueeze(t.attrs().int("dim", 0).rem_euclid(t.x().rank() as isize + 1) as usize)
}

pub fn stack(t: &Trial) -> Tensor {
    let (tensors, dim) = (t.list(), t.attrs().int("dim", 0));
    Tensor::stack(&tensors, dim.rem_euclid(tensors[0].rank() as isize + 1) as usize)
}

pub fn select(t: &Trial) -> Tensor {
    Tensor::where_(&t.input("condition").cast(DType::F32), t.x(), t.y())
}

pub fn topk(t: &Trial) -> Vec<Tensor> {
    let a = t.attrs();
    a.only("sorted", true);
    let extreme = if a.flag("largest", true) { Extreme::Largest } else { Extreme::Smallest };
    let (values, index) = t.x().topk(size(a.int("k", 0)), a.int("dim", -1), extreme);
    vec![values, index]
}
