//! Operators that few programs use, some of them a line of others.

use crate::familiar;
use crate::trial::Trial;
use wgrad::nn::{Ctx, Layer, LpPool1d, LpPool2d, LpPool3d};
use wgrad::{EmbeddingOptions, LpPoolOptions, Tensor};

/// One value everywhere, from a number, a truth value or a scalar.
pub fn fill(t: &Trial) -> Tensor {
    let everywhere = Tensor::ones(t.x().shape(), t.device());
    match t.maybe("value") {
        Some(value) => Tensor::where_(&everywhere, &value.cast(t.x().dtype()), t.x()),
        None if t.attrs().is_truth("value") => t.x().masked_fill(&everywhere, 1.0),
        None => t.x().masked_fill(&everywhere, t.attrs().float("value", 0.0)),
    }
}

/// Vectors by their numbers, or one.
pub fn cartesian_prod(t: &Trial) -> Tensor {
    let mut list = t.list();
    list.splice(0..0, t.maybe("tensors"));
    Tensor::cartesian_prod(&list)
}

pub fn isin(t: &Trial) -> Tensor {
    t.attrs().flag("assume_unique", false);
    let found = t.input("elements").isin(t.input("test_elements"));
    if t.attrs().flag("invert", false) { found.logical_not() } else { found }
}

fn end(t: &Trial, name: &str) -> Tensor {
    let number = || Tensor::full([], t.attrs().float(name, 0.0), t.device());
    t.maybe(name).map_or_else(number, |end| end.cast(wgrad::DType::F32))
}

/// Between scalars on the device: the way from one to the other, part by part.
pub fn linspace(t: &Trial) -> Tensor {
    let (start, steps) = (end(t, "start"), t.size("steps"));
    let parts = Tensor::linspace(0.0, 1.0, steps, t.device());
    start.add(&end(t, "end").sub(&start).mul(&parts))
}

pub fn logspace(t: &Trial) -> Tensor {
    Tensor::full([], t.attrs().float("base", 10.0), t.device()).pow(&linspace(t))
}

/// Counts between edges, and the edges: those of the file, or as many equal steps as it says.
pub fn histogram(t: &Trial) -> Vec<Tensor> {
    let edges = t.maybe("bins").cloned().unwrap_or_else(|| {
        let (bins, x) = (t.attrs().size("bins").unwrap_or(100), t.x().detach());
        let [low, high] = match t.attrs().numbers("range") {
            Some(range) => [range[0], range[1]].map(|at| Tensor::full([], at, t.device())),
            None if x.numel() == 0 => [0.0, 1.0].map(|at: f32| Tensor::full([], at, t.device())),
            None => [x.min(), x.max()],
        };
        let parts = Tensor::linspace(0.0, 1.0, bins + 1, t.device());
        let edges = low.mul(&parts.affine(-1.0, 1.0)).add(&high.mul(&parts));
        // A single value lies in the middle.
        Tensor::where_(&low.eq(&high), &low.add(&parts.affine(1.0, -0.5)), &edges)
    });
    let counts = t.x().histogram(&edges, t.maybe("weight"));
    if !t.attrs().flag("density", false) {
        return vec![counts, edges];
    }
    let n = edges.numel();
    let widths = edges.narrow(0, 1, n - 1).sub(&edges.narrow(0, 0, n - 1));
    vec![counts.div(&counts.sum()).div(&widths), edges]
}

/// So many rows of places, cut off or filled up.
pub fn nonzero_static(t: &Trial) -> Tensor {
    let (rows, size) = (t.x().nonzero().expect("the device works"), t.size("size"));
    let fill = t.attrs().int("fill_value", -1) as i32;
    let more = size.saturating_sub(rows.size(0));
    let filler = Tensor::full([more, rows.size(1)], fill, t.device());
    Tensor::cat(&[&rows.narrow(0, 0, rows.size(0).min(size)), &filler], 0)
}

/// Without those that are equal to the one before, with what else is asked for.
pub fn unique_consecutive(t: &Trial) -> Vec<Tensor> {
    let a = t.attrs();
    let all = match a.is_told("dim") {
        true => t.x().unique_consecutive_dim(a.int("dim", 0)),
        false => t.x().unique_consecutive(),
    };
    let all = all.expect("the device works");
    let inverse = a.flag("return_inverse", false).then_some(all.inverse);
    [Some(all.values), inverse, a.flag("return_counts", false).then_some(all.counts)].into_iter().flatten().collect()
}

/// Slices in order, each once, with what else is asked for.
pub fn unique_dim(t: &Trial) -> Vec<Tensor> {
    let all = t.x().unique_dim(t.attrs().int("dim", 0)).expect("the device works");
    vec![all.values, all.inverse, all.counts]
}

pub fn bincount(t: &Trial) -> Tensor {
    let least = t.attrs().size("minlength").unwrap_or(0);
    let counts = match t.maybe("weights") {
        Some(weights) => t.x().bincount_weighed(weights, least),
        None => t.x().bincount(least),
    };
    counts.expect("the device works")
}

/// Along the dimensions that are told, or all, by a distance for each or for all, or at places along one.
pub fn gradient(t: &Trial) -> Vec<Tensor> {
    let (a, x) = (t.attrs(), t.x());
    let dims = match (a.list("dim"), a.is_told("dim")) {
        (Some(dims), _) => dims,
        (None, true) => vec![a.int("dim", 0)],
        (None, false) => (0..x.rank() as isize).collect(),
    };
    let order = a.size("edge_order").unwrap_or(1);
    // Places for all dimensions, or for each.
    let (by_dim, each) = (a.numbers("spacing"), t.list());
    let along = |(at, &dim): (usize, &isize)| match (t.maybe("spacing").or(each.get(at).copied()), &by_dim) {
        (Some(places), _) => x.gradient(places, dim, order),
        (None, Some(distances)) => x.gradient(distances[at], dim, order),
        (None, None) => x.gradient(a.float("spacing", 1.0), dim, order),
    };
    dims.iter().enumerate().map(along).collect()
}

fn windows<const N: usize>(t: &Trial) -> LpPoolOptions<N> {
    // One number for all, or a list.
    let of = |name: &str| match t.attrs().numbers(name) {
        Some(list) => Some(list.iter().map(|&n| n as usize).collect()),
        None => t.attrs().size(name).map(|n| vec![n]),
    };
    let each = |list: Vec<usize>| std::array::from_fn(|d| list[d.min(list.len() - 1)]);
    let kernel_size = each(of("kernel_size").expect("expected `kernel_size`"));
    let stride = of("stride").map_or(kernel_size, each);
    let (norm_type, ceil_mode) = (t.attrs().float("norm_type", 2.0), t.attrs().flag("ceil_mode", false));
    LpPoolOptions { norm_type, kernel_size, stride, ceil_mode }
}

pub fn lp_pool1d(t: &Trial) -> Tensor {
    t.x().lp_pool1d(windows(t))
}

pub fn lp_pool2d(t: &Trial) -> Tensor {
    t.x().lp_pool2d(windows(t))
}

pub fn lp_pool3d(t: &Trial) -> Tensor {
    t.x().lp_pool3d(windows(t))
}

/// The layers by which the functions are seen.
pub fn lp_layer(t: &Trial, dims: usize) -> Tensor {
    let x = t.maybe("input").unwrap_or_else(|| t.input("x"));
    let ctx = Ctx::eval().tracked();
    t.attrs().flag("training", false);
    match dims {
        1 => LpPool1d::with(windows(t)).forward(x, &ctx),
        2 => LpPool2d::with(windows(t)).forward(x, &ctx),
        _ => LpPool3d::with(windows(t)).forward(x, &ctx),
    }
}

fn sized<const N: usize>(t: &Trial, name: &str) -> [usize; N] {
    let list = t.attrs().list(name).unwrap_or_else(|| panic!("expected `{name}`"));
    std::array::from_fn(|d| list[d.min(list.len() - 1)].unsigned_abs())
}

pub fn fractional_max_pool2d(t: &Trial) -> Vec<Tensor> {
    let samples = t.input("samples");
    let (y, index) = t.x().fractional_max_pool2d_indices(sized(t, "kernel_size"), sized(t, "output_size"), samples);
    vec![y, index]
}

pub fn fractional_max_pool3d(t: &Trial) -> Vec<Tensor> {
    let samples = t.input("samples");
    let (y, index) = t.x().fractional_max_pool3d_indices(sized(t, "kernel_size"), sized(t, "output_size"), samples);
    vec![y, index]
}

pub fn embedding(t: &Trial) -> Tensor {
    let (a, weight) = (t.attrs(), t.input("weight"));
    let max_norm = a.is_told("max_norm").then(|| a.float("max_norm", 0.0));
    let options = EmbeddingOptions {
        padding: a.size("padding_idx").map(|row| row as i32),
        max_norm,
        norm_type: a.float("norm_type", 2.0),
        scale_grad_by_freq: a.flag("scale_grad_by_freq", false),
        sparse: false,
    };
    // Rows are shortened in place, and the file's stay.
    let weight = if max_norm.is_some() { &weight.copy() } else { weight };
    weight.embedding_with(t.x(), &options)
}

pub fn affine_grid(t: &Trial) -> Tensor {
    let size: Vec<usize> = t.attrs().list("size").expect("expected `size`").iter().map(|n| n.unsigned_abs()).collect();
    t.input("theta").affine_grid(&size[2..], t.attrs().flag("align_corners", false))
}

/// Classes first, then the dimensions that each class is told for.
pub fn linear_cross_entropy(t: &Trial) -> Tensor {
    let (weight, x) = (t.input("linear_weight"), t.x());
    let sizes = weight.shape();
    let rows = sizes[..sizes.rank() - 1].to_vec();
    let flat = |w: &Tensor, last: Option<usize>| {
        let sizes: Vec<isize> = [-1].into_iter().chain(last.map(|n| n as isize)).collect();
        w.reshape(&sizes[..])
    };
    let bias = t.maybe("linear_bias").map(|bias| flat(bias, None));
    let logits = x.linear(&flat(weight, Some(x.size(-1))), bias.as_ref());
    let lead = x.shape()[..x.rank() - 1].to_vec();
    let sizes: Vec<isize> = lead.into_iter().chain(rows).map(|n| n as isize).collect();
    familiar::crossed(t, &logits.reshape(&sizes[..]))
}
