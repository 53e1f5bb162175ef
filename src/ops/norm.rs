//! Batch normalisation (Ioffe and Szegedy, 2015): `shaders/channel_stats.wgsl`, `shaders/batch_norm.wgsl`,
//! `shaders/batch_norm_added.wgsl`, `shaders/batch_norm_sums.wgsl`, `shaders/batch_norm_backward.wgsl`, `shaders/running_stats.wgsl`.

mod definition;
mod fuse;
mod host;

use crate::autograd::{Op, composed};
use crate::dtype::DType;
use crate::kernel::{
    Access, Call, Class, Constant, Cost, Dispatch, Info, Kernel, Lowering, Pass, Shader, Slot, Tolerance, Uniform,
    Variant, groups, shader,
};
use crate::ops::reduce::{KeepDims, sum_parts};
use crate::shape::{Layout, Shape};
use crate::tensor::Tensor;
use bytemuck::{Pod, Zeroable};

use Access::{Read, ReadWrite, Write};

static STATS: Shader = shader!("channel_stats", ["halves"], &[Read, Write, Write]);
static APPLY: Shader = shader!("batch_norm", ["halves", "held"], &[Read, Read, Read, Read, Write]);
static ADDED: Shader = shader!("batch_norm_added", ["halves", "held"], &[Read, Read, Read, Read, Read, Write]);
static SUMS: Shader = shader!("batch_norm_sums", ["halves"], &[Read, Read, Read, Write]);
static BACKWARD: Shader = shader!("batch_norm_backward", ["halves"], &[Read, Read, Read, Read, Read, Write]);
static RUNNING: Shader = shader!("running_stats", &[Read, ReadWrite, ReadWrite, ReadWrite]);

/// The struct `Channels` of the prelude.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable, Uniform)]
struct BatchNormParams {
    batch: u32,
    channels: u32,
    positions: u32,
    strides: [u32; 3],
    chunk: u32,
    chunks: u32,
    step: u32,
    eps: f32,
    /// What is normalised is held between these: at first no numbers.
    low: f32,
    high: f32,
}

/// Elements of one invocation's loop, and chunks of another's.
const CHUNK: u32 = 1024;
const MAX_CHUNKS: u32 = 32_768;

impl BatchNormParams {
    /// Of a dense [n, c, ..] whose positions lie behind each other.
    fn new(x: &Tensor, eps: f32) -> BatchNormParams {
        let (shape, strides) = (x.shape(), &x.layout().strides);
        let positions: usize = shape[2..].iter().product();
        // A dimension of size 1 may have any stride.
        let last = (2..shape.rank()).rev().find(|&d| shape[d] > 1).map_or(1, |d| strides[d]);
        let step = if shape[1] > 1 { strides[1] } else { positions };
        let count = (shape[0] * positions) as u32;
        BatchNormParams {
            batch: shape[0] as u32,
            channels: shape[1] as u32,
            positions: positions as u32,
            strides: [strides[0] as u32, strides[1] as u32, last as u32],
            chunk: CHUNK.min(count),
            chunks: count.div_ceil(CHUNK),
            step: step as u32,
            eps,
            low: f32::NEG_INFINITY,
            high: f32::INFINITY,
        }
    }

    fn count(&self) -> usize {
        (self.batch * self.positions) as usize
    }
}

fn fits(_: &Info, d: &Dispatch) -> bool {
    d.params::<BatchNormParams>().chunks <= MAX_CHUNKS
}

/// Whether the channels are neighbours, four at a time, in memory without gaps.
fn is_by_fours(p: &BatchNormParams) -> bool {
    let [n, channel, position] = p.strides;
    let steps = channel == 1 && (p.positions == 1 || position == p.channels) && n == p.positions * p.channels;
    steps && p.channels.is_multiple_of(4)
}

fn fits_quads(info: &Info, d: &Dispatch) -> bool {
    is_by_fours(&d.params()) && fits(info, d)
}

/// Positions of four channels that one invocation takes: the channels' numbers are read once for all.
const ROWS: u32 = 8;

/// The types of what is as large as the batch.
fn types(shader: &'static Shader) -> &'static [&'static str] {
    match shader.name {
        "batch_norm" => &["X", "", "", "", "Y"],
        "batch_norm_added" => &["X", "", "", "", "OTHER", "Y"],
        _ => &["X", "DY", "", "", "", "DX"],
    }
}

/// A shader's pass with its variant's types.
fn typed(shader: &'static Shader, groups: u64, width: usize) -> Pass {
    let pass = Pass::new(shader, shader.name, groups).items(width, types(shader));
    pass.constant("BITS", Constant::Alias(if width == 4 { "vec4<u32>" } else { "u32" }))
}

/// Four channels at a time.
fn strips(shader: &'static Shader, d: &Dispatch) -> Lowering {
    let p: BatchNormParams = d.params();
    let strips = p.count().div_ceil(ROWS as usize) * (p.channels / 4) as usize;
    typed(shader, groups(strips, 256), 4).constant("ROWS", Constant::U32(ROWS)).alone()
}

/// One element at a time.
fn each(shader: &'static Shader, d: &Dispatch) -> Lowering {
    typed(shader, groups(d.len(0), 256), 1).constant("ROWS", Constant::U32(1)).alone()
}

/// With chunks so short that they fill a machine: a GPU wants many more invocations than the cores of a host.
fn filling(info: &Info, p: BatchNormParams) -> BatchNormParams {
    let (wanted, least) = if info.class == Class::Gpu { (65_536, 16) } else { (4096, 64) };
    let count = p.count() as u32;
    let chunk = (count / (wanted / (p.channels / 4)).max(1)).clamp(least, CHUNK).min(count);
    BatchNormParams { chunk, chunks: count.div_ceil(chunk), ..p }
}

fn cost(d: &Dispatch) -> Cost {
    d.cost(6 * d.len(0) as u64)
}

/// stats [2, channels]: the means, and the variances divided by the number of elements.
static CHANNEL_STATS: Kernel =
    Kernel::new("channel_stats", &[Read, Write], definition::stats, cost).host(host::stats).variants(&[
        // A software adapter runs barriers as coroutines, and has fewer chunks.
        Variant::new("quads_joined_wide", |info, d| stats_passes(filling(info, d.params()), 4, true))
            .fits(fits_quads)
            .suits(|info, _| info.class == Class::Gpu),
        Variant::new("quads", |info, d| stats_passes(filling(info, d.params()), 4, false)).fits(fits_quads),
        Variant::new("chunks", |_, d| stats_passes(d.params(), 1, false)).fits(fits),
    ]);

fn stats_passes(p: BatchNormParams, width: usize, is_wide: bool) -> Lowering {
    let mut out = Lowering::default();
    let parts = p.channels as usize * p.chunks as usize;
    let slots = [Slot::Arg(0), out.scratch(parts as u64 * 8), Slot::Arg(1)];
    let pass = |entry, groups: u64| Pass::new(&STATS, entry, groups).items(width, &["X"]).slots(&slots).params(&p);
    let channels = p.channels as usize / width;
    let join = match is_wide {
        true => pass("stats_join_wide", channels as u64),
        false => pass("stats_join", groups(channels, 256)),
    };
    out.passes = vec![pass("stats_chunks", groups(parts / width, 256)), join];
    out
}

static BATCH_NORM: Kernel = Kernel::new("batch_norm", APPLY.access, definition::apply, cost)
    .host(host::apply)
    .rewrites(&[fuse::HELD, fuse::SUM])
    .variants(&[
        Variant::new("quads", |_, d| strips(&APPLY, d)).fits(|_, d| is_by_fours(&d.params())),
        Variant::new("each", |_, d| each(&APPLY, d)),
    ]);

/// With another tensor added, which the way around a residual block is.
static BATCH_NORM_ADDED: Kernel = Kernel::new("batch_norm_added", ADDED.access, definition::apply, cost)
    .host(host::apply)
    .rewrites(&[fuse::HELD])
    .variants(&[
        Variant::new("quads", |_, d| strips(&ADDED, d)).fits(|_, d| is_by_fours(&d.params())),
        Variant::new("each", |_, d| each(&ADDED, d)),
    ]);

/// sums [2, channels]: the gradients of weight and bias.
static BATCH_NORM_SUMS: Kernel = Kernel::new("batch_norm_sums", &[Read, Read, Read, Write], definition::sums, cost)
    .host(host::sums)
    .tolerance(Tolerance::SUMMED)
    .proportional_to(&[1])
    .variants(&[
        Variant::new("quads", |info, d| sums_passes(info, filling(info, d.params()), 4)).fits(fits_quads),
        Variant::new("chunks", |info, d| sums_passes(info, d.params(), 1)),
    ]);

fn sums_passes(info: &Info, p: BatchNormParams, width: usize) -> Lowering {
    let parts = p.channels as usize * p.chunks as usize;
    let mut out = Lowering::default();
    let target = if p.chunks == 1 { Slot::Arg(3) } else { out.scratch(parts as u64 * 8) };
    let first = Pass::new(&SUMS, "batch_norm_sums", groups(parts / width, 256)).items(width, &["X", "DY"]).params(&p);
    out.passes.push(first.slots(&[Slot::Arg(0), Slot::Arg(1), Slot::Arg(2), target]));
    if p.chunks > 1 {
        sum_parts(&mut out, info, [2 * p.channels as usize, p.chunks as usize], target, Slot::Arg(3));
    }
    out
}

static BATCH_NORM_BACKWARD: Kernel = Kernel::new("batch_norm_backward", BACKWARD.access, definition::backward, cost)
    .host(host::backward)
    .proportional_to(&[1])
    .tolerance(Tolerance::SUMMED)
    .variants(&[
        Variant::new("quads", |_, d| strips(&BACKWARD, d)).fits(|_, d| is_by_fours(&d.params())),
        Variant::new("each", |_, d| each(&BACKWARD, d)),
    ]);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Uniform)]
struct RunningParams {
    channels: u32,
    momentum: f32,
    unbias: f32,
}

static RUNNING_STATS: Kernel =
    Kernel::new("running_stats", RUNNING.access, running_definition, cost).variants(&[Variant::new("each", |_, d| {
        Pass::new(&RUNNING, "running_stats", groups(d.params::<RunningParams>().channels as usize, 256)).alone()
    })]);

fn running_definition(call: &mut Call) {
    let (p, stats) = (call.params::<RunningParams>(), call.read::<f32>(0));
    let (mean, variance, batches) = (call.write::<f32>(1), call.write::<f32>(2), call.write::<i32>(3));
    for c in 0..p.channels as usize {
        mean[c] = (1.0 - p.momentum) * mean[c] + p.momentum * stats[c];
        variance[c] = (1.0 - p.momentum) * variance[c] + p.momentum * stats[p.channels as usize + c] * p.unbias;
    }
    batches[0] += 1;
}

/// The kernels of this page.
pub static KERNELS: &[&Kernel] =
    &[&CHANNEL_STATS, &BATCH_NORM, &BATCH_NORM_ADDED, &BATCH_NORM_SUMS, &BATCH_NORM_BACKWARD, &RUNNING_STATS];

/// A normalised batch, and the statistics that it was normalised by.
#[derive(Debug, Clone)]
pub struct BatchNormOutput {
    /// Of the input's shape.
    pub output: Tensor,
    /// [2, channels]: means, and variances divided by the number of elements; without history.
    pub stats: Tensor,
}

impl BatchNormOutput {
    /// Moves running statistics towards those of this batch, in place: means and unbiased variances `[channels]`, and
    /// the number of batches, i32 [].
    ///
    /// # Panics
    /// If a shape does not fit.
    #[track_caller]
    pub fn update_running(&self, mean: &Tensor, variance: &Tensor, batches: &Tensor, momentum: f32) {
        let channels = self.stats.shape()[1];
        let fits = *mean.shape() == [channels] && *variance.shape() == [channels];
        assert!(
            fits,
            "batch_norm: {channels} channels x {} x {}: expected statistics [channels]",
            mean.shape(),
            variance.shape()
        );
        let count = (self.output.numel() / channels.max(1)) as f32;
        // Nothing moves them, but it counts as a batch.
        let (momentum, unbias) = if count == 0.0 { (0.0, 1.0) } else { (momentum, count / (count - 1.0)) };
        let p = RunningParams { channels: channels as u32, momentum, unbias };
        Tensor::run(&RUNNING_STATS, &[&self.stats, mean, variance, batches], &p);
    }
}

/// One value for each channel, beside [n, c, ..].
fn column(t: &Tensor, rank: usize) -> Tensor {
    let mut sizes = vec![1; rank - 1];
    sizes[0] = t.numel();
    t.reshape_to(Shape::from(sizes))
}

/// The output of x, a weight and a bias, by given means and variances.
fn by_statistics(all: &[Tensor], stats: [&Tensor; 2], eps: f32) -> Tensor {
    // Of several roundings of half types one is left.
    let [mean, variance, weight, bias] =
        [stats[0], stats[1], &all[1], &all[2]].map(|t| column(&t.cast(DType::F32), all[0].rank()));
    let scale = variance.affine(1.0, eps).rsqrt().mul(&weight);
    Tensor::in_f32("batch_norm", [&all[0]], |[x]| x.sub(&mean).mul(&scale).add(&bias))
}

/// The output of x, a weight and a bias.
fn by_primitives(all: &[Tensor], eps: f32) -> Tensor {
    let x = &all[0];
    let dims: Vec<isize> = (0..x.rank() as isize).filter(|d| *d != 1).collect();
    let [weight, bias] = [1, 2].map(|part: usize| column(&all[part], x.rank()));
    let centred = x.sub(&x.mean_dims(&dims, KeepDims::Yes));
    let scale = centred.square().mean_dims(&dims, KeepDims::Yes).affine(1.0, eps).rsqrt();
    centred.mul(&scale).mul(&weight).add(&bias)
}

/// # Batch normalisation
impl Tensor {
    #[track_caller]
    fn channel_check(&self, op: &str, parts: &[Option<&Tensor>]) {
        let shape = self.shape();
        assert!(shape.rank() >= 2 && self.dtype().is_float(), "{op}: {shape}: expected a batch [n, c, ..] of floats");
        for part in parts.iter().flatten() {
            assert!(
                *part.shape() == shape[1..2],
                "{op}: {shape} x {}: expected one value for each channel",
                part.shape()
            );
        }
    }

    /// The same elements with the positions of [n, c, ..] as one run, which they are in both usual memory orders.
    fn with_runs(&self) -> Tensor {
        let channels_last: Vec<usize> = [0].into_iter().chain(2..self.rank()).chain([1]).collect();
        let has_runs = |layout: &Layout| layout.is_contiguous() || layout.permute(&channels_last).is_contiguous();
        match self.layout() {
            layout if has_runs(layout) && self.base() == 0 => self.clone(),
            layout if has_runs(&layout.dense_like()) => self.copy(),
            _ => self.contiguous(),
        }
    }

    /// Normalises each channel of [n, c, ..] by its mean and variance over this batch, then scales and shifts. A batch of
    /// nothing gives nothing, gradients of 0 and statistics of 0.
    ///
    /// # Panics
    /// If a channel has one element, or weight or bias is not `[c]`.
    #[track_caller]
    pub fn batch_norm(&self, weight: Option<&Tensor>, bias: Option<&Tensor>, eps: f32) -> BatchNormOutput {
        self.channel_check("batch_norm", &[weight, bias]);
        let (shape, device) = (self.shape(), self.device());
        let channels = shape[1];
        assert!(
            shape.numel() / channels.max(1) != 1,
            "batch_norm: {shape}: in training, expected more than one value for each channel"
        );
        if shape.numel() == 0 {
            let inputs: Vec<&Tensor> = [Some(self), weight, bias].into_iter().flatten().collect();
            let stats = Tensor::zeros([2, channels], device);
            return BatchNormOutput { output: Tensor::of_nothing("batch_norm", shape, &inputs), stats };
        }
        let x = self.with_runs();
        let p = BatchNormParams::new(&x, eps);
        let constant =
            |t: Option<&Tensor>, value| t.map_or_else(|| Tensor::full([channels], value, device), Tensor::contiguous);
        let (w, b) = (constant(weight, 1.0f32), constant(bias, 0.0));
        let stats = Tensor::empty([2, channels], DType::F32, device);
        Tensor::run(&CHANNEL_STATS, &[&x.detach(), &stats], &p);
        let y = x.new_like();
        Tensor::run(&BATCH_NORM, &[&x.detach(), &stats, &w.detach(), &b.detach(), &y], &p);
        let (saved, saved_stats, saved_w) = (x.saved(), stats.saved(), w.saved());
        let output = y.tracked(
            || Op::new("batch_norm").with("eps", eps),
            &[&x, &w, &b],
            move |dy, needs| {
                // No gradient depends on the bias.
                let inputs = [&saved, &saved_w, &saved_w];
                if let Some(gradients) = composed(dy, needs, &inputs, |all| by_primitives(all, eps)) {
                    return gradients;
                }
                let dy = dy.in_layout_of(&saved);
                let sums = Tensor::empty([2, channels], DType::F32, dy.device());
                Tensor::run(&BATCH_NORM_SUMS, &[&saved, &dy, &saved_stats, &sums], &p);
                let dx = || {
                    let dx = saved.new_like();
                    Tensor::run(&BATCH_NORM_BACKWARD, &[&saved, &dy, &saved_stats, &sums, &saved_w, &dx], &p);
                    dx
                };
                let row = |at| sums.narrow(0, at, 1).squeeze(0);
                vec![needs[0].then(dx), needs[1].then(|| row(0)), needs[2].then(|| row(1))]
            },
        );
        BatchNormOutput { output, stats }
    }

    /// Normalises each channel of `[n, c, ..]` by given statistics `[c]`, then scales and shifts: batch normalisation
    /// outside of training.
    ///
    /// # Panics
    /// If an argument is not `[c]`.
    #[track_caller]
    pub fn batch_norm_eval(
        &self,
        mean: &Tensor,
        variance: &Tensor,
        weight: Option<&Tensor>,
        bias: Option<&Tensor>,
        eps: f32,
    ) -> Tensor {
        self.channel_check("batch_norm", &[Some(mean), Some(variance), weight, bias]);
        let (x, device) = (self.with_runs(), self.device());
        let [w, b] = [(weight, 1.0f32), (bias, 0.0)]
            .map(|(t, value)| t.map_or_else(|| Tensor::full(mean.shape(), value, device), Tensor::contiguous));
        let stats = [mean, variance];
        if stats.iter().any(|t| t.is_tracked() || t.is_gradient()) {
            return by_statistics(&[x, w, b], stats, eps);
        }
        let p = BatchNormParams::new(&x, eps);
        let stats = Tensor::stack(&stats.map(|t| t.cast(DType::F32)).each_ref(), 0);
        let y = x.new_like();
        Tensor::run(&BATCH_NORM, &[&x.detach(), &stats, &w.detach(), &b.detach(), &y], &p);
        let (saved, saved_stats, saved_w) = (x.saved(), stats.saved(), w.saved());
        y.tracked(
            || Op::new("batch_norm_eval").with("mean", mean).with("variance", variance).with("eps", eps),
            &[&x, &w, &b],
            move |dy, needs| {
                let row = |of: &Tensor, at| of.narrow(0, at, 1).squeeze(0);
                let stats = [0, 1].map(|at| row(&saved_stats, at));
                // No gradient depends on the bias.
                let inputs = [&saved, &saved_w, &saved_w];
                if let Some(gradients) = composed(dy, needs, &inputs, |all| by_statistics(all, stats.each_ref(), eps)) {
                    return gradients;
                }
                let dy = dy.in_layout_of(&saved);
                let dx = || {
                    let scale = stats[1].affine(1.0, eps).rsqrt().mul(&saved_w.cast(DType::F32));
                    Tensor::in_f32("batch_norm", [&dy], |[dy]| dy.mul(&column(&scale, dy.rank())))
                };
                let sums = (needs[1] || needs[2]).then(|| {
                    let sums = Tensor::empty(saved_stats.shape(), DType::F32, dy.device());
                    Tensor::run(&BATCH_NORM_SUMS, &[&saved, &dy, &saved_stats, &sums], &p);
                    sums
                });
                let sum = |at: usize| sums.as_ref().filter(|_| needs[at + 1]).map(|sums| row(sums, at));
                vec![needs[0].then(dx), sum(0), sum(1)]
            },
        )
    }
}
