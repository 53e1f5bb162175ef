//! Group normalisation (Wu and He, 2018): `shaders/group_stats.wgsl`, `shaders/group_norm.wgsl`, `shaders/group_norm_sums.wgsl`,
//! `shaders/group_means.wgsl`, `shaders/group_norm_backward.wgsl`.
//!
//! Images lie channels last, as convolutions leave and take them.

mod definition;
mod host;

use crate::autograd::{Op, composed};
use crate::dtype::DType;
use crate::kernel::{
    Access, Class, Constant, Cost, Dispatch, Info, Kernel, Lowering, Pass, Shader, Slot, Tolerance, Uniform, Variant,
    groups, shader,
};
use crate::ops::reduce::sum_parts;
use crate::shape::Shape;
use crate::tensor::Tensor;
use bytemuck::{Pod, Zeroable};

use Access::{Read, Write};

static STATS: Shader = shader!("group_stats", ["halves", "groups"], &[Read, Write, Write]);
static APPLY: Shader = shader!("group_norm", ["halves", "groups"], &[Read, Read, Read, Read, Write]);
static SUMS: Shader = shader!("group_norm_sums", ["halves", "groups"], &[Read, Read, Read, Write]);
static MEANS: Shader = shader!("group_means", ["groups"], &[Read, Read, Write]);
static BACKWARD: Shader = shader!("group_norm_backward", ["halves", "groups"], &[Read, Read, Read, Read, Read, Write]);

/// The struct `Groups` of `shaders/prelude/groups.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable, Uniform)]
struct GroupNormParams {
    batch: u32,
    positions: u32,
    channels: u32,
    groups: u32,
    chunk: u32,
    chunks: u32,
    eps: f32,
}

/// The most positions of a chunk, the most iterations of the invocation that joins a group's chunks, and the positions that one
/// invocation normalises.
const CHUNK: u32 = 1024;
const MAX_ITERATIONS: u32 = 60_000;
const ROWS: u32 = 8;

impl GroupNormParams {
    fn new([batch, positions, channels]: [usize; 3], groups: usize, eps: f32) -> GroupNormParams {
        let [batch, positions, channels, groups] = [batch, positions, channels, groups].map(|size| size as u32);
        // So short that they fill a GPU.
        let rows = batch.saturating_mul(channels.div_ceil(4)).max(1);
        let chunk = (positions / (4096 / rows).max(1)).clamp(64, CHUNK).min(positions);
        GroupNormParams { batch, positions, channels, groups, chunk, chunks: positions.div_ceil(chunk), eps }
    }

    /// With chunks so short that they fill the machine: a GPU wants many more invocations than the cores of a host, but one of them
    /// joins a group's chunks.
    fn filling(self, info: &Info) -> GroupNormParams {
        if info.class != Class::Gpu {
            return self;
        }
        let rows = self.batch.saturating_mul(self.channels.div_ceil(4)).max(1);
        let most = (MAX_ITERATIONS / self.size().max(1)).saturating_sub(1).clamp(1, 128);
        let wanted = (self.positions / (65_536 / rows).max(1)).clamp(16, CHUNK);
        let chunk = wanted.max(self.positions.div_ceil(most)).min(self.positions);
        GroupNormParams { chunk, chunks: self.positions.div_ceil(chunk), ..self }
    }

    fn size(&self) -> u32 {
        self.channels / self.groups
    }

    /// Elements of one group.
    fn count(&self) -> f64 {
        f64::from(self.positions) * f64::from(self.size())
    }

    fn width(&self) -> u32 {
        if self.channels.is_multiple_of(4) { 4 } else { 1 }
    }
}

fn cost(d: &Dispatch) -> Cost {
    d.cost(6 * d.len(0) as u64)
}

/// The types of what is as large as the images.
fn types(shader: &'static Shader) -> &'static [&'static str] {
    match shader.name {
        "group_stats" => &["X"],
        "group_norm" => &["X", "", "", "", "Y"],
        "group_norm_sums" => &["X", "DY"],
        _ => &["X", "DY", "", "", "", "DX"],
    }
}

/// With the constants of the files, for so many invocations of a channel, or of four.
fn wide(shader: &'static Shader, entry: &'static str, p: &GroupNormParams, each: u32) -> Pass {
    let invocations = u64::from(each) * u64::from(p.channels / p.width());
    Pass::new(shader, entry, groups(invocations as usize, 256)).items(p.width() as usize, types(shader))
}

/// With the constants of the files, for one invocation of each group.
fn joined(shader: &'static Shader, entry: &'static str, p: &GroupNormParams) -> Pass {
    Pass::new(shader, entry, groups((p.batch * p.groups) as usize, 256)).items(p.width() as usize, types(shader))
}

fn in_strips(shader: &'static Shader, p: &GroupNormParams) -> Pass {
    let strips = p.positions.div_ceil(ROWS) * p.batch;
    wide(shader, shader.name, p, strips).constant("ROWS", Constant::U32(ROWS))
}

/// stats [2, n, c]: of each channel's group, the mean, and the variance divided by the number of elements.
static GROUP_STATS: Kernel = Kernel::new("group_stats", &[Read, Write], definition::stats, cost)
    .host(host::stats)
    .variants(&[Variant::new("chunks", |info, d| stats_passes(&d.params::<GroupNormParams>().filling(info)))]);

fn stats_passes(p: &GroupNormParams) -> Lowering {
    let mut out = Lowering::default();
    let parts = u64::from(p.batch * p.chunks) * 2 * u64::from(p.channels);
    let slots = [Slot::Arg(0), out.scratch(parts * 4), Slot::Arg(1)];
    let chunks = wide(&STATS, "group_chunks", p, p.batch * p.chunks);
    out.passes = vec![chunks.slots(&slots), joined(&STATS, "group_join", p).slots(&slots)];
    out
}

static GROUP_NORM: Kernel = Kernel::new("group_norm", APPLY.access, definition::apply, cost)
    .host(host::apply)
    .variants(&[Variant::new("strips", |_, d| in_strips(&APPLY, &d.params()).alone())]);

/// sums [2, n, c] over the positions: of dy times the normalised x, and of dy.
static GROUP_NORM_SUMS: Kernel = Kernel::new("group_norm_sums", &[Read, Read, Read, Write], definition::sums, cost)
    .host(host::sums)
    .tolerance(Tolerance::SUMMED)
    .proportional_to(&[1])
    .variants(&[Variant::new("chunks", |info, d| sums_passes(info, &d.params::<GroupNormParams>().filling(info)))]);

fn sums_passes(info: &Info, p: &GroupNormParams) -> Lowering {
    let mut out = Lowering::default();
    let results = 2 * p.batch as usize * p.channels as usize;
    let target = if p.chunks == 1 { Slot::Arg(3) } else { out.scratch(results as u64 * u64::from(p.chunks) * 4) };
    let first = wide(&SUMS, "group_norm_sums", p, p.batch * p.chunks);
    out.passes.push(first.slots(&[Slot::Arg(0), Slot::Arg(1), Slot::Arg(2), target]));
    if p.chunks > 1 {
        sum_parts(&mut out, info, [results, p.chunks as usize], target, Slot::Arg(3));
    }
    out
}

static GROUP_NORM_BACKWARD: Kernel = Kernel::new("group_norm_backward", BACKWARD.access, definition::backward, cost)
    .host(host::backward)
    .proportional_to(&[1])
    .tolerance(Tolerance::SUMMED)
    .variants(&[Variant::new("strips", |_, d| backward_passes(&d.params()))]);

fn backward_passes(p: &GroupNormParams) -> Lowering {
    let mut out = Lowering::default();
    let means = out.scratch(2 * u64::from(p.batch * p.channels) * 4);
    let join = Pass::new(&MEANS, "group_means", groups((p.batch * p.groups) as usize, 256));
    let [x, dy, stats, sums, weight, dx] = [0, 1, 2, 3, 4, 5].map(Slot::Arg);
    out.passes =
        vec![join.slots(&[sums, weight, means]), in_strips(&BACKWARD, p).slots(&[x, dy, stats, means, weight, dx])];
    out
}

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&GROUP_STATS, &GROUP_NORM, &GROUP_NORM_SUMS, &GROUP_NORM_BACKWARD];

/// # Group normalisation
impl Tensor {
    /// Normalises each channel of each item of `[n, c, ..]` by its own mean and variance, then scales and shifts by `weight` and
    /// `bias`, `[c]` (Ulyanov et al., 2016): PyTorch's `instance_norm`, whose eps is 1e-5, by the statistics of its input.
    ///
    /// # Panics
    /// If there are no places behind the channels or one alone, or an argument is not `[c]`.
    #[track_caller]
    pub fn instance_norm(&self, weight: Option<&Tensor>, bias: Option<&Tensor>, eps: f32) -> Tensor {
        let shape = self.shape();
        let fits = shape.rank() >= 3 && shape[1] > 0 && shape[2..].iter().product::<usize>() != 1;
        assert!(fits, "instance_norm: {shape}: expected [n, c, ..] with more than one value a channel");
        self.group_norm(shape[1], weight, bias, eps)
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
        assert!(fits, "group_norm: {shape}: expected a batch [n, c, ..] whose c is a multiple of {groups}");
        for part in [weight, bias].into_iter().flatten() {
            assert!(*part.shape() == shape[1..2], "group_norm: {shape} x {}: expected [c]", part.shape());
        }
        let (batch, channels) = (shape[0], shape[1]);
        let positions = shape[2..].iter().product::<usize>();
        if shape.numel() == 0 {
            return self.group_norm_by_rows(groups, weight, bias, eps);
        }
        let p = GroupNormParams::new([batch, positions, channels], groups, eps);
        if p.size().saturating_mul(p.chunks + 1) > MAX_ITERATIONS {
            return self.group_norm_by_rows(groups, weight, bias, eps);
        }
        // [n, c, ..] as [n, .., c]: where convolutions made it so, nothing moves.
        let last: Vec<usize> = [0].into_iter().chain(2..shape.rank()).chain([1]).collect();
        let first: Vec<usize> = [0, shape.rank() - 1].into_iter().chain(1..shape.rank() - 1).collect();
        let x = self.permute(&last).contiguous();
        let constant = |part: Option<&Tensor>, value| {
            part.map_or_else(|| Tensor::full([channels], value, self.device()), Tensor::contiguous)
        };
        let (w, b) = (constant(weight, 1.0f32), constant(bias, 0.0));
        let of_channels = || Tensor::empty([2, batch, channels], DType::F32, self.device());
        let stats = of_channels();
        Tensor::run(&GROUP_STATS, &[&x.detach(), &stats], &p);
        let y = x.new_like();
        Tensor::run(&GROUP_NORM, &[&x.detach(), &stats, &w.detach(), &b.detach(), &y], &p);
        let (saved, saved_stats, saved_w) = (x.saved(), stats.saved(), w.saved());
        let back = first.clone();
        let y = y.tracked(
            || Op::new("group_norm").with("groups", groups).with("eps", eps),
            &[&x, &w, &b],
            move |dy, needs| {
                let again = |all: &[Tensor]| {
                    // No gradient depends on the bias.
                    let [x, weight] = [&all[0], &all[1]];
                    x.permute(&back).group_norm_by_rows(groups, Some(weight), Some(&all[2]), eps).permute(&last)
                };
                if let Some(gradients) = composed(dy, needs, &[&saved, &saved_w, &saved_w], again) {
                    return gradients;
                }
                let dy = dy.contiguous();
                let sums = Tensor::empty([2, batch, channels], DType::F32, dy.device());
                Tensor::run(&GROUP_NORM_SUMS, &[&saved, &dy, &saved_stats, &sums], &p);
                let dx = || {
                    let dx = saved.new_like();
                    Tensor::run(&GROUP_NORM_BACKWARD, &[&saved, &dy, &saved_stats, &sums, &saved_w, &dx], &p);
                    dx
                };
                let row = |at: usize| sums.narrow(0, at, 1).squeeze(0).sum_to(Shape::from([channels]));
                vec![needs[0].then(dx), needs[1].then(|| row(0)), needs[2].then(|| row(1))]
            },
        );
        y.permute(&first)
    }

    /// The same by rows of whole groups, which lie side by side in the order of the shape.
    #[track_caller]
    fn group_norm_by_rows(&self, groups: usize, weight: Option<&Tensor>, bias: Option<&Tensor>, eps: f32) -> Tensor {
        let shape = self.shape();
        if self.dtype().is_half() {
            // Of several roundings one is left.
            let [weight, bias] = [weight, bias].map(|part| part.map(|part| part.cast(DType::F32)));
            let wide = self.cast(DType::F32);
            return wide.group_norm_by_rows(groups, weight.as_ref(), bias.as_ref(), eps).cast(self.dtype());
        }
        let size = shape.numel() / (shape[0] * groups).max(1);
        let y = self.reshape_to(Shape::from([shape[0], groups, size])).layer_norm(&[size], None, None, eps);
        let mut sizes = vec![1; shape.rank() - 1];
        sizes[0] = shape[1];
        let column = |part: &Tensor| part.reshape_to(Shape::from(sizes.clone()));
        let mut y = y.reshape_to(shape);
        if let Some(weight) = weight {
            y = y.mul(&column(weight));
        }
        if let Some(bias) = bias {
            y = y.add(&column(bias));
        }
        y
    }
}
