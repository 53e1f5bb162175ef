//! Operators that few programs use, some of them a line of others.

use crate::familiar;
use crate::trial::Trial;
use wgrad::Tensor;

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
    assert!(!a.is_told("dim"), "the crate has no `dim` of unique_consecutive");
    let all = t.x().unique_consecutive().expect("the device works");
    let inverse = a.flag("return_inverse", false).then_some(all.inverse);
    [Some(all.values), inverse, a.flag("return_counts", false).then_some(all.counts)].into_iter().flatten().collect()
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
