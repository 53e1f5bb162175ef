//! Names that PyTorch has for what a line or two of the crate's operations make up.

use crate::ops::number_of;
use crate::trial::Trial;
use wgrad::loss::{PoissonNllOptions, TripletMarginOptions};
use wgrad::ops::index::{Index, Subscript, step};
use wgrad::{CrossEntropyOptions, DType, GridMode, GridSampleOptions, Interpolation, KeepDims, Order, Outside, Tensor};

fn dims(t: &Trial, name: &str) -> Vec<isize> {
    t.attrs().list(name).unwrap_or_else(|| panic!("expected `{name}`"))
}

/// `alpha` of a sum.
pub fn scaled(t: &Trial, y: &Tensor) -> Tensor {
    let alpha = t.attrs().float("alpha", 1.0);
    if alpha == 1.0 { y.clone() } else { y * alpha }
}

pub fn addbmm(t: &Trial) -> Tensor {
    let product = t.input("batch1").matmul(t.input("batch2")).sum_dims(&[0], KeepDims::No);
    weighed(t, &product)
}

pub fn addr(t: &Trial) -> Tensor {
    weighed(t, &t.input("vec1").outer(t.input("vec2")))
}

/// `beta input + alpha product`; an input of 0 is not read.
fn weighed(t: &Trial, product: &Tensor) -> Tensor {
    let [beta, alpha] = ["beta", "alpha"].map(|name| t.attrs().float(name, 1.0));
    let product = product * alpha;
    if beta == 0.0 {
        product.add(&t.x().masked_fill(&Tensor::ones([], t.device()), 0.0))
    } else {
        t.x() * beta + product
    }
}

/// A matrix of a vector, or a matrix's diagonal.
pub fn diag(t: &Trial) -> Tensor {
    let at = t.attrs().int("diagonal", 0);
    if t.x().rank() == 1 { t.x().diag_embed_at(at, 0, 1) } else { t.x().diagonal_at(at, 0, 1) }
}

pub fn diagflat(t: &Trial) -> Tensor {
    t.x().reshape(-1).diag_embed_at(t.attrs().int("offset", 0), 0, 1)
}

pub fn diag_embed(t: &Trial) -> Tensor {
    let a = t.attrs();
    t.x().diag_embed_at(a.int("offset", 0), a.int("dim1", -2), a.int("dim2", -1))
}

/// What stands on a diagonal, taken out and put back in.
pub fn diagonal_scatter(t: &Trial) -> Tensor {
    let a = t.attrs();
    let of = |x: &Tensor| x.diagonal_at(a.int("offset", 0), a.int("dim1", 0), a.int("dim2", 1));
    let n = t.x().numel() as i32;
    let index = Tensor::arange(0, n, t.device()).reshape_to(t.x().shape()).cast(DType::F32);
    let places = of(&index).cast(DType::I32).reshape(-1);
    t.x().reshape(-1).index_copy(0, &places, &t.input("src").reshape(-1)).reshape_to(t.x().shape())
}

fn at(dim: isize, index: impl Subscript, rank: usize) -> Vec<Index> {
    let dim = dim.rem_euclid(rank as isize) as usize;
    (0..dim).map(|_| (..).index()).chain([index.index()]).collect()
}

pub fn select(t: &Trial) -> Tensor {
    t.x().i(at(t.attrs().int("dim", 0), t.attrs().int("index", 0), t.x().rank()))
}

pub fn select_scatter(t: &Trial) -> Tensor {
    t.x().index_put(at(t.attrs().int("dim", 0), t.attrs().int("index", 0), t.x().rank()), t.input("src"))
}

fn part(t: &Trial) -> Vec<Index> {
    let (a, x) = (t.attrs(), t.x());
    let dim = a.int("dim", 0);
    let n = x.size(dim) as isize;
    let held = |name: &str, usual: isize| {
        let at = a.int(name, usual);
        (if at < 0 { at + n } else { at }).clamp(0, n)
    };
    let (start, end) = (held("start", 0), held("end", n));
    at(dim, step(start..end.max(start), a.size("step").unwrap_or(1)), x.rank())
}

pub fn slice(t: &Trial) -> Tensor {
    t.x().i(part(t))
}

pub fn slice_scatter(t: &Trial) -> Tensor {
    t.x().index_put(part(t), t.input("src"))
}

pub fn atleast(t: &Trial, rank: usize) -> Vec<Tensor> {
    let list = t.list();
    let all = if list.is_empty() { vec![t.x()] } else { list };
    let wide = |x: &Tensor| match (x.rank(), rank) {
        (0, _) => x.reshape(&vec![1isize; rank][..]),
        (1, 2) => x.unsqueeze(0),
        (1, 3) => x.unsqueeze(0).unsqueeze(2),
        (2, 3) => x.unsqueeze(2),
        _ => x.clone(),
    };
    all.into_iter().map(wide).collect()
}

/// Parts at `indices`, or so many.
pub fn tensor_split(t: &Trial, dim: isize) -> Vec<Tensor> {
    let x = t.x();
    let told = t.maybe("indices").filter(|at| at.rank() == 1).map(|at| at.to_vec::<i32>().expect("the device works"));
    let cuts = t.attrs().list("indices").or_else(|| told.map(|all| all.into_iter().map(|at| at as isize).collect()));
    let Some(cuts) = cuts else {
        let sections =
            t.maybe("indices").map(|n| n.to_vec::<i32>().expect("the device works")[0].unsigned_abs() as usize);
        return x.tensor_split(t.attrs().size("sections").or(sections).expect("expected `sections`"), dim);
    };
    let n = x.size(dim) as isize;
    let ends: Vec<isize> = cuts.iter().map(|at| at.clamp(&0, &n).to_owned()).chain([n]).collect();
    let starts = [0].into_iter().chain(ends.clone());
    ends.iter().zip(starts).map(|(end, start)| x.narrow(dim, start as usize, (end - start).max(0) as usize)).collect()
}

pub fn trapezoid(t: &Trial) -> Tensor {
    let (y, dim) = (t.input("y"), t.attrs().int("dim", -1));
    match t.maybe("x") {
        None => y.trapezoid(t.attrs().float("dx", 1.0), dim),
        Some(x) if x.rank() == 1 => y.trapezoid(x, dim),
        Some(_) => areas(t, y, dim).sum_dims(&[dim], KeepDims::No),
    }
}

pub fn cumulative_trapezoid(t: &Trial) -> Tensor {
    let (y, dim) = (t.input("y"), t.attrs().int("dim", -1));
    match t.maybe("x") {
        None => y.cumulative_trapezoid(t.attrs().float("dx", 1.0), dim),
        Some(x) if x.rank() == 1 => y.cumulative_trapezoid(x, dim),
        Some(_) => areas(t, y, dim).cumsum(dim),
    }
}

/// Between places that differ from row to row.
fn areas(t: &Trial, y: &Tensor, dim: isize) -> Tensor {
    let n = y.size(dim);
    let both = y.narrow(dim, 1, n - 1).add(&y.narrow(dim, 0, n - 1));
    both.mul(&t.input("x").diff(dim)) * 0.5
}

pub fn diff(t: &Trial) -> Tensor {
    let dim = t.attrs().int("dim", -1);
    let mut parts = vec![t.x()];
    parts.splice(0..0, t.maybe("prepend"));
    parts.extend(t.maybe("append"));
    let x = if parts.len() > 1 { Tensor::cat(&parts, dim) } else { t.x().clone() };
    let times = t.attrs().int("n", 1);
    if times == 0 {
        return t.x().clone();
    }
    (0..times).fold(x, |x, _| x.diff(dim))
}

pub fn round(t: &Trial) -> Tensor {
    match t.attrs().int("decimals", 0) as i32 {
        0 => t.x().round(),
        decimals => t.x().round_to(decimals),
    }
}

pub fn bucketize(t: &Trial) -> Tensor {
    t.attrs().flag("out_int32", false);
    t.x().bucketize(t.input("boundaries"), t.attrs().flag("right", false))
}

pub fn searchsorted(t: &Trial) -> Tensor {
    let (a, mut all) = (t.attrs(), t.input("sorted_sequence").clone());
    a.flag("out_int32", false);
    let right = a.flag("right", false) || a.text("side", "left") == "right";
    if let Some(order) = t.maybe("sorter") {
        all = all.take_along_dim(order, -1);
    }
    let x = t.maybe("input").cloned().unwrap_or_else(|| Tensor::scalar(a.float("input", f32::NAN), t.device()));
    all.searchsorted(&x, right)
}

pub fn histc(t: &Trial) -> Tensor {
    let (a, x) = (t.attrs(), t.x());
    let (mut min, mut max) = (a.float("min", 0.0), a.float("max", 0.0));
    if min == max && x.numel() > 0 {
        let end = |x: Tensor| x.item().expect("the device works");
        (min, max) = (end(x.min()), end(x.max()));
    }
    // Of equal ends PyTorch moves both by 1.
    if min == max {
        (min, max) = (min - 1.0, max + 1.0);
    }
    x.histc(a.size("bins").unwrap_or(100), min, max)
}

fn interpolation(t: &Trial) -> Interpolation {
    match t.attrs().text("interpolation", "linear").as_str() {
        "linear" => Interpolation::Linear,
        "lower" => Interpolation::Lower,
        "higher" => Interpolation::Higher,
        "midpoint" => Interpolation::Midpoint,
        "nearest" => Interpolation::Nearest,
        other => panic!("quantile: no interpolation `{other}` is known"),
    }
}

/// Shares, one or several, which come first in the result.
pub fn quantile(t: &Trial, nan: bool) -> Tensor {
    let (x, dim, keep) = (t.x(), t.attrs().list("dim"), t.keep());
    let (line, place) = match &dim {
        Some(dims) => (x.clone(), dims[0]),
        None => (x.reshape(-1), 0),
    };
    let by = interpolation(t);
    let of = |q: f32| {
        let y = if nan { line.nanquantile(q, place, keep, by) } else { line.quantile_by(q, place, keep, by) };
        if dim.is_none() && keep == KeepDims::Yes { y.reshape(&vec![1isize; x.rank()][..]) } else { y }
    };
    if let Some(all) = t.attrs().numbers("q") {
        let all: Vec<Tensor> = all.into_iter().map(of).collect();
        return Tensor::stack(&all.iter().collect::<Vec<_>>(), 0);
    }
    of(t.attrs().float("q", f32::NAN))
}

pub fn repeat_interleave(t: &Trial) -> Tensor {
    t.attrs().size("output_size");
    let (x, dim) = match t.attrs().list("dim") {
        Some(dims) => (t.x().clone(), dims[0]),
        None => (t.x().reshape(-1), 0),
    };
    match &dims(t, "repeats")[..] {
        [times] => x.repeat_interleave(times.unsigned_abs(), dim),
        times => x.repeat_interleave_each(&times.iter().map(|n| n.unsigned_abs()).collect::<Vec<_>>(), dim),
    }
}

/// Variances by a correction that is no whole number, or negative, too.
pub fn variance(t: &Trial) -> Tensor {
    let usual = if t.attrs().flag("unbiased", true) { 1.0 } else { 0.0 };
    let correction = t.attrs().float("correction", usual);
    if correction >= 0.0 && correction.fract() == 0.0 {
        return t.x().var_dims(&t.dims(), correction as usize, t.keep());
    }
    let dims = t.dims();
    let n: usize = dims.iter().map(|&dim| if t.x().rank() == 0 { 1 } else { t.x().size(dim) }).product();
    t.x().var_dims(&dims, 0, t.keep()) * (n as f32 / (n as f32 - correction).max(0.0))
}

pub fn spread_and_mean(t: &Trial, root: bool) -> Vec<Tensor> {
    let correction = t.attrs().float("correction", f32::NAN);
    if correction >= 0.0 && correction.fract() == 0.0 {
        let pair = if root { Tensor::std_mean } else { Tensor::var_mean };
        let (spread, mean) = pair(t.x(), &t.dims(), correction as usize, t.keep());
        return vec![spread, mean];
    }
    let spread = variance(t);
    vec![if root { spread.sqrt() } else { spread }, t.x().mean_dims(&t.dims(), t.keep())]
}

pub fn cov(t: &Trial) -> Tensor {
    let correction = t.attrs().size("correction").unwrap_or(1);
    t.x().cov_weighed(correction, t.maybe("fweights"), t.maybe("aweights"))
}

pub fn float_power(t: &Trial) -> Tensor {
    t.x().pow(t.input("exponent"))
}

pub fn isclose(t: &Trial) -> Tensor {
    let near = t.x().isclose(t.y(), t.attrs().float("rtol", 1e-5), t.attrs().float("atol", 1e-8));
    match t.attrs().flag("equal_nan", false) {
        true => near.maximum(t.x().isnan().mul(&t.y().isnan())),
        false => near,
    }
}

pub fn put(t: &Trial) -> Tensor {
    let x = t.x().reshape(-1);
    let n = Tensor::scalar(x.numel() as i32, t.device());
    let index = t.input("index").reshape(-1);
    let index = index.add(&index.lt(0).cast(DType::I32).mul(&n));
    let source = t.input("source").reshape(-1);
    let y = if t.attrs().flag("accumulate", false) {
        x.index_add(0, &index, &source)
    } else {
        x.index_copy(0, &index, &source)
    };
    y.reshape_to(t.x().shape())
}

/// Without the dimensions that stretched.
pub fn sum_to_size(t: &Trial) -> Tensor {
    let (x, sizes) = (t.x(), t.attrs().list("size").unwrap_or_default());
    let lead = x.rank() - sizes.len();
    let gone = |d: usize| d < lead || sizes[d - lead] == 1 && x.shape()[d] != 1;
    let dims: Vec<usize> = (0..x.rank()).filter(|&d| gone(d)).collect();
    let y = if dims.is_empty() { x.clone() } else { x.sum_dims(&dims, KeepDims::Yes) };
    y.reshape(&sizes[..])
}

pub fn pdist(t: &Trial) -> Tensor {
    t.x().pdist(number_of(t, "p", 2.0))
}

pub fn pairwise_distance(t: &Trial) -> Tensor {
    let a = t.attrs();
    t.input("x1").pairwise_distance(t.input("x2"), a.float("p", 2.0), a.float("eps", 1e-6), t.keep())
}

pub fn renorm(t: &Trial) -> Tensor {
    t.x().renorm(number_of(t, "p", 2.0), t.attrs().int("dim", 0), t.attrs().float("maxnorm", f32::NAN))
}

pub fn instance_norm(t: &Trial) -> Tensor {
    let a = t.attrs();
    a.only("use_input_stats", true);
    // It moves running statistics, which no case holds afterwards.
    a.float("momentum", 0.1);
    t.x().group_norm(t.x().size(1), t.maybe("weight"), t.maybe("bias"), a.float("eps", 1e-5))
}

/// The loss of these logits, with the file's options.
pub fn crossed(t: &Trial, logits: &Tensor) -> Tensor {
    let options = CrossEntropyOptions {
        weight: t.maybe("weight").cloned(),
        ignore_index: t.attrs().int("ignore_index", -100) as i32,
        label_smoothing: t.attrs().float("label_smoothing", 0.0),
        reduction: crate::losses::reduction(t),
    };
    match t.input("target").dtype() {
        dtype if dtype.is_float() => logits.cross_entropy_soft_with(t.input("target"), &options),
        _ => logits.cross_entropy_with(t.input("target"), &options),
    }
}

pub fn grid_sampler(t: &Trial) -> Tensor {
    let a = t.attrs();
    let mode = [GridMode::Bilinear, GridMode::Nearest, GridMode::Bicubic][a.size("interpolation_mode").unwrap_or(0)];
    let padding_mode = [Outside::Zeros, Outside::Border, Outside::Reflection][a.size("padding_mode").unwrap_or(0)];
    let options = GridSampleOptions { mode, padding_mode, align_corners: a.flag("align_corners", false) };
    t.x().grid_sample(t.input("grid"), options)
}

pub fn triplet_margin(t: &Trial) -> Tensor {
    let a = t.attrs();
    let options = TripletMarginOptions {
        margin: a.float("margin", 1.0),
        p: a.float("p", 2.0),
        swap: a.flag("swap", false),
        eps: a.float("eps", 1e-6),
        reduction: crate::losses::reduction(t),
    };
    t.input("anchor").triplet_margin_loss_with(t.input("positive"), t.input("negative"), &options)
}

pub fn poisson_nll(t: &Trial) -> Tensor {
    let (a, x) = (t.attrs(), t.maybe("input").unwrap_or_else(|| t.input("log_input")));
    let options = PoissonNllOptions {
        log_input: a.flag("log_input", true),
        full: a.flag("full", false),
        eps: a.float("eps", 1e-8),
        reduction: crate::losses::reduction(t),
    };
    x.poisson_nll_loss_with(t.input("target"), &options)
}

pub fn meshgrid(t: &Trial) -> Vec<Tensor> {
    let mut list = t.list();
    list.splice(0..0, t.maybe("tensors"));
    let vectors: Vec<Tensor> = list.iter().map(|x| x.reshape(-1)).collect();
    let all = Tensor::meshgrid(&vectors.iter().collect::<Vec<_>>());
    let turned = t.attrs().text("indexing", "ij") == "xy" && all.len() > 1;
    if turned { all.iter().map(|x| x.transpose(0, 1)).collect() } else { all }
}

pub fn sorted_rows(t: &Trial) -> Tensor {
    t.x().sort(0, Order::Ascending).0
}

pub fn max_unpool1d(t: &Trial) -> Tensor {
    t.x().max_unpool1d(t.input("indices"), unpooled(t, t.x().size(-1)))
}

fn unpooled(t: &Trial, n: usize) -> usize {
    let kernel = t.size("kernel_size");
    let (stride, padding) = (t.attrs().size("stride").unwrap_or(kernel), t.attrs().size("padding").unwrap_or(0));
    match t.attrs().list("output_size") {
        Some(sizes) => sizes.last().expect("it has a length").unsigned_abs(),
        None => (n - 1) * stride + kernel - 2 * padding,
    }
}

pub fn max_unpool2d(t: &Trial) -> Tensor {
    let (a, x) = (t.attrs(), t.x());
    let kernel = a.pair("kernel_size").expect("expected `kernel_size`");
    let (stride, padding) = (a.pair("stride").unwrap_or(kernel), a.pair("padding").unwrap_or([0; 2]));
    let usual = [0, 1].map(|d| (x.size(d as isize - 2) - 1) * stride[d] + kernel[d] - 2 * padding[d]);
    let size = match a.list("output_size") {
        Some(sizes) => [2, 1].map(|at| sizes[sizes.len() - at].unsigned_abs()),
        None => usual,
    };
    x.max_unpool2d(t.input("indices"), size)
}

pub fn masked_select(t: &Trial) -> Tensor {
    t.x().masked_select(t.input("mask")).expect("the device works")
}

pub fn max_unpool3d(t: &Trial) -> Tensor {
    let (x, list) = (t.x(), |name: &str| t.attrs().list(name).filter(|list| !list.is_empty()));
    let of = |name: &str, d: usize| list(name).map(|all| all[d.min(all.len() - 1)].unsigned_abs());
    let size = |d: usize| {
        let kernel = of("kernel_size", d).expect("expected `kernel_size`");
        let (stride, padding) = (of("stride", d).unwrap_or(kernel), of("padding", d).unwrap_or(0));
        if let Some(sizes) = list("output_size") {
            return sizes[sizes.len() - 3 + d].unsigned_abs();
        }
        (x.size(d as isize - 3) - 1) * stride + kernel - 2 * padding
    };
    x.max_unpool3d(t.input("indices"), [size(0), size(1), size(2)])
}

/// Sums of products along the last dimensions.
pub fn inner(t: &Trial) -> Tensor {
    if t.x().rank() == 0 || t.y().rank() == 0 {
        return t.x().mul(t.y());
    }
    t.x().tensordot(&t.y().movedim(-1, 0), 1)
}

/// Over these dimensions of each, or the last and first so many.
pub fn tensordot(t: &Trial) -> Tensor {
    match t.attrs().lists("dims") {
        Some(pair) => t.x().tensordot(t.y(), (&pair[0][..], &pair[1][..])),
        None => t.x().tensordot(t.y(), t.size("dims")),
    }
}

pub fn index_fill(t: &Trial) -> Tensor {
    let (x, dim, index) = (t.x(), t.attrs().int("dim", 0), t.input("index"));
    let Some(value) = t.maybe("value") else { return x.index_fill(dim, index, t.attrs().float("value", 0.0)) };
    let mut sizes = x.shape().to_vec();
    if !sizes.is_empty() {
        sizes[dim.rem_euclid(x.rank() as isize) as usize] = index.numel();
    }
    x.index_copy(dim, index, &value.expand(sizes))
}

pub fn index_reduce(t: &Trial) -> Tensor {
    let (x, dim, index, source) = (t.x(), t.attrs().int("dim", 0), t.input("index"), t.input("source"));
    let mut sizes = vec![1isize; source.rank()];
    if !sizes.is_empty() {
        sizes[dim.rem_euclid(x.rank() as isize) as usize] = index.numel() as isize;
    }
    let index = index.reshape(&sizes[..]).expand(source.shape());
    let include = t.attrs().flag("include_self", true);
    x.scatter_reduce(dim, &index, source, crate::indices::joined(t), include)
}

pub fn mvlgamma(t: &Trial) -> Tensor {
    let p = t.size("p");
    let shift = (p * (p - 1)) as f32 / 4.0 * std::f32::consts::PI.ln();
    let parts = (0..p).map(|j| (t.x() - j as f32 / 2.0).lgamma());
    parts.reduce(|sum, part| sum + part).expect("a dimension") + shift
}

pub fn combinations(t: &Trial) -> Tensor {
    t.x().combinations(t.attrs().size("r").unwrap_or(2), t.attrs().flag("with_replacement", false))
}

/// The slopes of PyTorch's training are drawn; those of evaluation are the mean.
pub fn rrelu(t: &Trial) -> Tensor {
    t.attrs().only("training", false);
    let ends = [("lower", 1.0 / 8.0), ("upper", 1.0 / 3.0)].map(|(name, usual)| t.attrs().float(name, usual));
    let layer = wgrad::nn::RRelu::with(ends[0], ends[1], &mut t.init());
    wgrad::nn::Layer::forward(&layer, t.x(), &wgrad::nn::Ctx::eval().tracked())
}

/// Numbers of rows and columns, for which the file has a tensor of nothing.
pub fn places(t: &Trial, of: fn(usize, usize, isize, &wgrad::Device) -> Tensor) -> Tensor {
    of(t.size("row"), t.size("col"), t.attrs().int("offset", 0), t.device())
}

fn filled(t: &Trial, value: f32) -> Tensor {
    let sizes = t.attrs().list("size").map(|all| all.iter().map(|n| n.unsigned_abs()).collect::<Vec<_>>());
    t.x().new_full(sizes.unwrap_or(t.x().shape().to_vec()), value)
}

pub fn full(t: &Trial) -> Tensor {
    filled(t, number_of(t, "fill_value", f32::NAN))
}

pub fn constant(t: &Trial, value: f32) -> Tensor {
    filled(t, value)
}
