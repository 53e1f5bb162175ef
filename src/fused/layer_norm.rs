//! Layer normalisation (Ba, Kiros and Hinton, 2016) and its form without means (Zhang and Sennrich, 2019):
//! `shaders/layer_norm.wgsl`, `shaders/layer_norm_subgroup.wgsl`, `shaders/layer_norm_backward.wgsl`,
//! `shaders/layer_norm_backward_subgroup.wgsl`, `shaders/layer_norm_columns.wgsl`.

use crate::autograd;
use crate::dtype::DType;
use crate::kernel::rewrite::{Change, Rewrite, View};
use crate::kernel::strided::Strided;
use crate::kernel::{
    self, Access, Call, Class, Constant, Cost, Dispatch, Info, Kernel, Lowering, Pass, Shader, Slot, Tolerance,
    Variant, groups, parallel,
};
use crate::ops::reduce::KeepDims;
use crate::shape::Shape;
use crate::tensor::Tensor;
use bytemuck::{Pod, Zeroable};

use Access::{Read, Write};

static FORWARD: Shader = Shader {
    name: "layer_norm",
    source: include_str!("../../shaders/layer_norm.wgsl"),
    access: &[Read, Read, Read, Write, Write],
};
static FORWARD_SUBGROUP: Shader = Shader {
    name: "layer_norm_subgroup",
    source: include_str!("../../shaders/layer_norm_subgroup.wgsl"),
    access: FORWARD.access,
};
static BACKWARD: Shader = Shader {
    name: "layer_norm_backward",
    source: include_str!("../../shaders/layer_norm_backward.wgsl"),
    access: &[Read, Read, Read, Read, Read, Write],
};
static BACKWARD_SUBGROUP: Shader = Shader {
    name: "layer_norm_backward_subgroup",
    source: include_str!("../../shaders/layer_norm_backward_subgroup.wgsl"),
    access: BACKWARD.access,
};
static COLUMNS: Shader = Shader {
    name: "layer_norm_columns",
    source: include_str!("../../shaders/layer_norm_columns.wgsl"),
    access: &[Read, Read, Read, Write, Write],
};

/// The struct `Norm` of the shaders.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    cols: u32,
    chunk: u32,
    parts: u32,
    eps: f32,
    /// 1: another gradient is added to that of x. Where not, something else is bound in its place.
    add: u32,
}

/// Which of the two kernels: the one with means and biases or the one without.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    Layer,
    Rms,
}

/// Columns that even 8 lanes walk three times within 65,535 iterations, one at a time.
const MAX_COLS: u32 = 170_000;
/// Rows of one invocation's loop, and parts of another's.
const MAX_CHUNK: u32 = 8192;

fn fits_subgroup(info: &Info, d: &Dispatch) -> bool {
    matches!(info.subgroup, Some(8..=16)) && fits_group(info, d)
}

fn suits_subgroup(info: &Info, _: &Dispatch) -> bool {
    info.class != Class::Gpu
}

fn fits_group(info: &Info, d: &Dispatch) -> bool {
    let p: Params = d.params();
    info.max_threads >= 256 && p.cols <= MAX_COLS && p.rows <= MAX_CHUNK * MAX_CHUNK
}

fn any(_: &Info, _: &Dispatch) -> bool {
    true
}

/// Invocations that share a row.
fn threads(p: &Params) -> u32 {
    if p.cols <= 256 * width(p) { 64 } else { 256 }
}

/// Columns that the shaders take at a time.
fn width(p: &Params) -> u32 {
    if p.cols.is_multiple_of(4) { 4 } else { 1 }
}

fn constants(pass: Pass, form: Form, p: &Params) -> Pass {
    let width = width(p);
    pass.constant("ITEM", Constant::Alias(if width == 4 { "vec4<f32>" } else { "f32" }))
        .constant("WIDTH", Constant::U32(width))
        .constant("RMS", Constant::Bool(form == Form::Rms))
}

fn forward_pass(form: Form, d: &Dispatch, shader: &'static Shader, entry: &'static str) -> Pass {
    let p: Params = d.params();
    let pass = constants(Pass::new(shader, entry, u64::from(p.rows)), form, &p);
    match form {
        Form::Layer => pass,
        Form::Rms => pass.slots(&[Slot::Arg(0), Slot::Arg(1), Slot::Arg(1), Slot::Arg(2), Slot::Arg(3)]),
    }
}

fn forward_group(form: Form, d: &Dispatch) -> Lowering {
    let threads = threads(&d.params());
    forward_pass(form, d, &FORWARD, "layer_norm_group").constant("THREADS", Constant::U32(threads)).alone()
}

fn forward_subgroup(form: Form, info: &Info, d: &Dispatch) -> Lowering {
    let lanes = Constant::U32(info.subgroup.unwrap_or(8));
    forward_pass(form, d, &FORWARD_SUBGROUP, "layer_norm_subgroup").constant("LANES", lanes).alone()
}

/// The pass for dx, and those for dw and db: one where one part of the rows is enough.
fn backward(form: Form, info: &Info, d: &Dispatch, dx: Pass) -> Lowering {
    let mut p: Params = d.params();
    let dx = constants(dx, form, &p).constant("ADD", Constant::Bool(p.add == 1));
    // A software adapter has few threads to fill; more parts would only be one more pass.
    let (chunk, threads) = if info.class == Class::Gpu { (64, 64) } else { (2048, info.subgroup.unwrap_or(8)) };
    p.chunk = chunk.max(p.rows.div_ceil(MAX_CHUNK));
    p.parts = p.rows.div_ceil(p.chunk);
    let mut out = Lowering { passes: vec![dx], scratch: Vec::new() };
    let mut scratch = |bytes: u64| {
        out.scratch.push(bytes);
        Slot::Scratch(out.scratch.len() - 1)
    };
    let results = [Slot::Arg(6), if form == Form::Layer { Slot::Arg(7) } else { scratch(16) }];
    let sums = match p.parts {
        1 => results,
        parts => {
            let bytes = u64::from(parts) * u64::from(p.cols) * 4;
            [scratch(bytes), if form == Form::Rms { results[1] } else { scratch(bytes) }]
        }
    };
    let items = (p.cols / width(&p)) as usize;
    let pass = |entry, invocations, slots: [Slot; 5]| {
        let pass = Pass::new(&COLUMNS, entry, groups(invocations, threads as usize));
        constants(pass, form, &p).constant("THREADS", Constant::U32(threads)).slots(&slots).params(&p)
    };
    let [dw, db] = sums;
    let columns = [Slot::Arg(0), Slot::Arg(1), Slot::Arg(3), dw, db];
    out.passes.push(pass("layer_norm_columns", items * p.parts as usize, columns));
    if p.parts > 1 {
        // Without db, dw stands for what is not read.
        let db = if form == Form::Rms { dw } else { db };
        out.passes.push(pass("layer_norm_join", items, [dw, db, Slot::Arg(3), results[0], results[1]]));
    }
    out
}

fn backward_group(form: Form, info: &Info, d: &Dispatch) -> Lowering {
    let p: Params = d.params();
    let pass = Pass::new(&BACKWARD, "layer_norm_backward_group", u64::from(p.rows));
    backward(form, info, d, pass.constant("THREADS", Constant::U32(threads(&p))))
}

fn backward_subgroup(form: Form, info: &Info, d: &Dispatch) -> Lowering {
    let p: Params = d.params();
    let pass = Pass::new(&BACKWARD_SUBGROUP, "layer_norm_backward_subgroup", u64::from(p.rows));
    backward(form, info, d, pass.constant("LANES", Constant::U32(info.subgroup.unwrap_or(8))))
}

/// An offset of all values leaves few digits to what is normalised.
const TOLERANCE: Tolerance = Tolerance { relative: 1e-4, absolute: 1e-5 };

macro_rules! kernels {
    ($($form:expr, $forward:ident $forward_name:literal $inputs:expr,
        $backward:ident $backward_name:literal $outputs:expr;)*) => {$(
        static $forward: Kernel = Kernel {
            name: $forward_name,
            access: $inputs,
            twin: |call| forward_twin($form, call),
            cost: |d| Cost { flops: 8 * d.len(0) as u64, bytes: d.bytes() },
            tolerance: TOLERANCE,
            rewrites: &[],
            variants: &[
                Variant {
                    name: "subgroup",
                    fits: fits_subgroup,
                    suits: suits_subgroup,
                    lower: |info, d| forward_subgroup($form, info, d),
                },
                Variant { name: "group", fits: fits_group, suits: any, lower: |_, d| forward_group($form, d) },
            ],
        };
        static $backward: Kernel = Kernel {
            name: $backward_name,
            access: $outputs,
            twin: |call| backward_twin($form, call),
            cost: |d| Cost { flops: 14 * d.len(0) as u64, bytes: d.bytes() },
            tolerance: Tolerance::SUMMED,
            rewrites: &[Rewrite { name: "added to another gradient", apply: added }],
            variants: &[
                Variant {
                    name: "subgroup",
                    fits: fits_subgroup,
                    suits: suits_subgroup,
                    lower: |info, d| backward_subgroup($form, info, d),
                },
                Variant {
                    name: "group",
                    fits: fits_group,
                    suits: any,
                    lower: |info, d| backward_group($form, info, d),
                },
            ],
        };
    )*};
}

kernels! {
    Form::Layer, LAYER_NORM "layer_norm" &[Read, Read, Read, Write, Write],
        LAYER_NORM_BACKWARD "layer_norm_backward" &[Read, Read, Read, Read, Read, Write, Write, Write];
    Form::Rms, RMS_NORM "rms_norm" &[Read, Read, Write, Write],
        RMS_NORM_BACKWARD "rms_norm_backward" &[Read, Read, Read, Read, Read, Write, Write];
}

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&LAYER_NORM, &LAYER_NORM_BACKWARD, &RMS_NORM, &RMS_NORM_BACKWARD];

/// Where dx meets the gradient that came by another way, as around every residual block, it is added here.
fn added(view: &View, at: usize) -> Option<Change> {
    let norm = view.dispatch(at);
    let p: Params = norm.params();
    let dx = norm.bindings[5];
    let meets = view.reader(dx.buffer)?;
    let sum = view.dispatch(meets);
    let is_sum = std::ptr::eq(sum.kernel, &autograd::ACCUMULATE) && sum.params::<Strided>().is_flat(2);
    if !is_sum || p.add == 1 {
        return None;
    }
    let other = if sum.bindings[0] == dx { sum.bindings[1] } else { sum.bindings[0] };
    if other.bytes != dx.bytes || sum.bindings[2].bytes != dx.bytes {
        return None;
    }
    let mut by = norm.clone();
    by.params = kernel::Params::new(&Params { add: 1, ..p });
    (by.bindings[4], by.bindings[5]) = (other, sum.bindings[2]);
    Some(Change { replace: vec![at, meets], by })
}

/// The sum of `f` over a row, several elements at a time.
fn sum(cols: usize, f: impl Fn(usize) -> f64) -> f64 {
    const AT_ONCE: usize = 8;
    let mut sums = [0.0; AT_ONCE];
    let whole = cols / AT_ONCE * AT_ONCE;
    for first in (0..whole).step_by(AT_ONCE) {
        for (i, sum) in sums.iter_mut().enumerate() {
            *sum += f(first + i);
        }
    }
    sums.iter().sum::<f64>() + (whole..cols).map(f).sum::<f64>()
}

/// Rows that one task takes.
fn rows_of_task(cols: usize) -> usize {
    (parallel::GRAIN / cols.max(1)).max(1)
}

fn forward_twin(form: Form, call: &mut Call) {
    let (p, x, w) = (call.params::<Params>(), call.read::<f32>(0), call.read::<f32>(1));
    let (rows, cols) = (p.rows as usize, p.cols as usize);
    let (b, y) = match form {
        Form::Layer => (Some(call.read::<f32>(2)), 3),
        Form::Rms => (None, 2),
    };
    let (y, stats) = (call.write::<f32>(y), call.write::<f32>(y + 1));
    let (means, rstds) = stats.split_at_mut(rows);
    // The mean and 1 / std of a row.
    let of_row = |x: &[f32]| {
        let mean = if form == Form::Layer { sum(cols, |c| f64::from(x[c])) / cols as f64 } else { 0.0 };
        let variance = sum(cols, |c| (f64::from(x[c]) - mean).powi(2)) / cols as f64;
        (mean, 1.0 / (variance + f64::from(p.eps)).sqrt())
    };
    parallel::chunks2(means, rstds, rows_of_task(cols), |task, means, rstds| {
        for (i, (mean, rstd)) in means.iter_mut().zip(rstds).enumerate() {
            let found = of_row(&x[(task * rows_of_task(cols) + i) * cols..][..cols]);
            (*mean, *rstd) = (found.0 as f32, found.1 as f32);
        }
    });
    parallel::chunks(y, rows_of_task(cols) * cols, |task, y| {
        for (i, y) in y.chunks_mut(cols).enumerate() {
            let x = &x[(task * rows_of_task(cols) + i) * cols..][..cols];
            let (mean, rstd) = of_row(x);
            for ((y, x), w) in y.iter_mut().zip(x).zip(w) {
                *y = ((f64::from(*x) - mean) * rstd) as f32 * w;
            }
            if let Some(b) = b {
                y.iter_mut().zip(b).for_each(|(y, b)| *y += b);
            }
        }
    });
}

fn backward_twin(form: Form, call: &mut Call) {
    let (p, x, dy) = (call.params::<Params>(), call.read::<f32>(0), call.read::<f32>(1));
    let (w, stats) = (call.read::<f32>(2), call.read::<f32>(3));
    let (rows, cols) = (p.rows as usize, p.cols as usize);
    let other = call.read::<f32>(4);
    let dx = call.write::<f32>(5);
    parallel::chunks(dx, rows_of_task(cols) * cols, |task, dx| {
        for (i, dx) in dx.chunks_mut(cols).enumerate() {
            let row = task * rows_of_task(cols) + i;
            let (mean, rstd) = (f64::from(stats[row]), f64::from(stats[rows + row]));
            let (x, dy) = (&x[row * cols..][..cols], &dy[row * cols..][..cols]);
            let normalised = |c: usize| (f64::from(x[c]) - mean) * rstd;
            let gradient = |c: usize| f64::from(dy[c]) * f64::from(w[c]);
            let of_g = if form == Form::Layer { sum(cols, gradient) / cols as f64 } else { 0.0 };
            let of_gn = sum(cols, |c| gradient(c) * normalised(c)) / cols as f64;
            for (c, dx) in dx.iter_mut().enumerate() {
                *dx = (rstd * (gradient(c) - of_g - normalised(c) * of_gn)) as f32;
            }
            if p.add == 1 {
                dx.iter_mut().zip(&other[row * cols..]).for_each(|(dx, other)| *dx += other);
            }
        }
    });
    // A block of columns at a time, row by row, in order of memory.
    const COLUMNS: usize = 64;
    let columns = |out: &mut [f32], term: &(dyn Fn(usize, usize) -> f64 + Sync)| {
        parallel::chunks(out, COLUMNS, |block, out| {
            let mut sums = [0.0f64; COLUMNS];
            for row in 0..rows {
                let first = block * COLUMNS;
                sums[..out.len()].iter_mut().enumerate().for_each(|(i, sum)| *sum += term(row, first + i));
            }
            out.iter_mut().zip(sums).for_each(|(out, sum)| *out = sum as f32);
        });
    };
    let dw = call.write::<f32>(6);
    columns(dw, &|row, c| {
        let normalised = (f64::from(x[row * cols + c]) - f64::from(stats[row])) * f64::from(stats[rows + row]);
        f64::from(dy[row * cols + c]) * normalised
    });
    if form == Form::Layer {
        columns(call.write::<f32>(7), &|row, c| f64::from(dy[row * cols + c]));
    }
}

impl Tensor {
    /// The number of values that are normalised together.
    #[track_caller]
    fn normalised_size(&self, op: &str, sizes: &[usize], parts: &[Option<&Tensor>]) -> usize {
        let shape = self.shape();
        let fits = shape.ends_with(sizes) && !sizes.is_empty() && self.dtype() == DType::F32;
        assert!(fits, "{op}: {shape} x {sizes:?}: a tensor of f32 whose last sizes are these is due");
        for part in parts.iter().flatten() {
            let got = part.shape();
            assert!(got[..] == *sizes, "{op}: {shape} x {got}: one value for each of {sizes:?} is due");
        }
        sizes.iter().product()
    }

    /// Normalises over the last dimensions, of `sizes`, by their mean and variance, then scales by `weight` and shifts
    /// by `bias`, both of `sizes`: PyTorch's `layer_norm`, whose eps is 1e-5.
    ///
    /// # Panics
    /// If the last dimensions, `weight` or `bias` are not of `sizes`.
    #[track_caller]
    pub fn layer_norm(&self, sizes: &[usize], weight: Option<&Tensor>, bias: Option<&Tensor>, eps: f32) -> Tensor {
        let cols = self.normalised_size("layer_norm", sizes, &[weight, bias]);
        self.normalised(Form::Layer, "layer_norm", cols, [weight, bias], eps)
    }

    /// Divides by the root of the mean square over the last dimensions, of `sizes`, then scales by `weight`: PyTorch's
    /// `rms_norm`, whose eps is that of f32.
    ///
    /// # Panics
    /// If the last dimensions or `weight` are not of `sizes`.
    #[track_caller]
    pub fn rms_norm(&self, sizes: &[usize], weight: Option<&Tensor>, eps: f32) -> Tensor {
        let cols = self.normalised_size("rms_norm", sizes, &[weight]);
        self.normalised(Form::Rms, "rms_norm", cols, [weight, None], eps)
    }

    /// Normalises each of `groups` groups of neighbouring channels of `[n, c, ..]`, then scales and shifts each channel
    /// by `weight` and `bias`, `[c]`: PyTorch's `group_norm`, whose eps is 1e-5.
    ///
    /// # Panics
    /// If the channels are no multiple of the groups, or an argument is not `[c]`.
    #[track_caller]
    pub fn group_norm(&self, groups: usize, weight: Option<&Tensor>, bias: Option<&Tensor>, eps: f32) -> Tensor {
        let shape = self.shape();
        let fits = shape.rank() >= 2 && groups > 0 && shape[1].is_multiple_of(groups);
        assert!(fits, "group_norm: {shape}: a batch [n, c, ..] whose c is a multiple of {groups} is due");
        let size = shape.numel() / (shape[0] * groups).max(1);
        let y = self.reshape_to(Shape::from([shape[0], groups, size])).layer_norm(&[size], None, None, eps);
        let mut sizes = vec![1; shape.rank() - 1];
        sizes[0] = shape[1];
        let column = |part: &Tensor| {
            assert!(*part.shape() == shape[1..2], "group_norm: {shape} x {}: [c] is due", part.shape());
            part.reshape_to(Shape::from(sizes.clone()))
        };
        let y = y.reshape_to(shape);
        let y = weight.map_or(y.clone(), |weight| y.mul(&column(weight)));
        bias.map_or(y.clone(), |bias| y.add(&column(bias)))
    }

    #[track_caller]
    fn normalised(&self, form: Form, op: &'static str, cols: usize, parts: [Option<&Tensor>; 2], eps: f32) -> Tensor {
        let (x, device) = (self.contiguous(), self.device());
        let rows = x.numel() / cols.max(1);
        let constant = |part: Option<&Tensor>, value| {
            part.map_or_else(
                || Tensor::full([cols], value, device),
                |part| part.reshape_to(Shape::from([cols])).contiguous(),
            )
        };
        let w = constant(parts[0], 1.0f32);
        let b = (form == Form::Layer).then(|| constant(parts[1], 0.0f32));
        let y = Tensor::empty(x.shape(), DType::F32, device);
        if x.numel() == 0 {
            return self.mul(&y);
        }
        if cols > MAX_COLS as usize {
            let flat = x.reshape_to(Shape::from([rows, cols]));
            let y = b
                .as_ref()
                .map_or_else(|| flat.rms_norm_definition(&w, eps), |b| flat.layer_norm_definition(&w, b, eps));
            return y.reshape_to(x.shape());
        }
        let stats = Tensor::empty([2, rows], DType::F32, device);
        let p = Params { rows: rows as u32, cols: cols as u32, chunk: 0, parts: 0, eps, add: 0 };
        let (kernel, backward) = match form {
            Form::Layer => (&LAYER_NORM, &LAYER_NORM_BACKWARD),
            Form::Rms => (&RMS_NORM, &RMS_NORM_BACKWARD),
        };
        let (plain_x, plain_w, plain_b) = (x.detach(), w.detach(), b.as_ref().map(Tensor::detach));
        let inputs = [Some(&plain_x), Some(&plain_w), plain_b.as_ref(), Some(&y), Some(&stats)];
        Tensor::run(kernel, &inputs.into_iter().flatten().collect::<Vec<_>>(), &p);
        let (saved, saved_w, saved_stats) = (x.saved(), w.saved(), stats.saved());
        let inputs = [Some(&x), Some(&w), b.as_ref()];
        y.tracked(op, &inputs.into_iter().flatten().collect::<Vec<_>>(), move |dy, needs| {
            let dy = dy.contiguous();
            let like = |t: &Tensor| Tensor::empty(t.shape(), DType::F32, dy.device());
            let (dx, dw) = (like(&saved), like(&saved_w));
            let db = (form == Form::Layer).then(|| like(&saved_w));
            let args = [&saved, &dy, &saved_w, &saved_stats, &saved_w, &dx, &dw];
            Tensor::run(backward, &args.into_iter().chain(&db).collect::<Vec<_>>(), &p);
            [Some(dx), Some(dw), db]
                .into_iter()
                .zip(needs)
                .map(|(gradient, needed)| gradient.filter(|_| *needed))
                .collect()
        })
    }

    /// The definition of [`Tensor::layer_norm`] over the last dimension in primitives.
    #[track_caller]
    pub fn layer_norm_definition(&self, weight: &Tensor, bias: &Tensor, eps: f32) -> Tensor {
        let centred = self.sub(&self.mean_dims(&[-1], KeepDims::Yes));
        let scale = self.var_dims(&[-1], 0, KeepDims::Yes).affine(1.0, eps).rsqrt();
        centred.mul(&scale).mul(weight).add(bias)
    }

    /// The definition of [`Tensor::rms_norm`] over the last dimension in primitives.
    #[track_caller]
    pub fn rms_norm_definition(&self, weight: &Tensor, eps: f32) -> Tensor {
        let scale = self.square().mean_dims(&[-1], KeepDims::Yes).affine(1.0, eps).rsqrt();
        self.mul(&scale).mul(weight)
    }
}
