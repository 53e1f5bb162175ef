//! Lengths of parameters and gradients, and the global norm that clips: `shaders/square_sums.wgsl`,
//! `shaders/clip_factor.wgsl`.

use super::gathered::Gathered;
use super::slab::{Slab, Stretch};
use crate::kernel::functions::total;
use crate::kernel::{
    Access, Call, Class, Cost, Dispatch, Kernel, Lowering, Pass, Shader, Slot, Tolerance, Uniform, Variant, groups,
    parallel, shader,
};
use crate::ops::reduce::KeepDims;
use crate::tensor::Tensor;
use bytemuck::{Pod, Zeroable};

use Access::{Read, ReadWrite};

static SUMS: Shader = shader!("square_sums", &[Read, Read, ReadWrite]);

static FACTOR: Shader = shader!("clip_factor", &[Read, ReadWrite]);

/// Elements of a parameter that are added up apart. A binding holds at most 8,192 times as many.
const CHUNK: usize = 4096;
/// Chunks of one parameter, which one invocation adds up: longer ones where these are not enough.
const MAX_CHUNKS: usize = 32_768;

/// Which chunks and which parameters of a table, and where the first sum goes.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Uniform)]
struct SquareSumsParams {
    chunk: u32,
    chunks: u32,
    entry: u32,
    entries: u32,
    to: u32,
}

/// sums[to + i] = the sum of the squares of parameter entry + i.
static SQUARE_SUMS: Kernel = Kernel::new("square_sums", &[Read, Read, Read, ReadWrite], sums_definition, |d| {
    let n = u64::from(d.params::<SquareSumsParams>().chunks) * CHUNK as u64;
    Cost { flops: 2 * n, bytes: 4 * n }
})
.tolerance(Tolerance::SUMMED)
.variants(&[
    Variant::new("tree", |_, d| sums_passes(d, "square_sums_tree", 1))
        .fits(|info, _| info.max_threads >= 256)
        .suits(|info, _| info.class == Class::Gpu),
    Variant::new("threads", |_, d| sums_passes(d, "square_sums_threads", 64)),
]);

fn sums_passes(d: &Dispatch, entry: &'static str, per_group: usize) -> Lowering {
    let p: SquareSumsParams = d.params();
    let first = Pass::new(&SUMS, entry, groups(p.chunks as usize, per_group));
    let second = Pass::new(&SUMS, "square_sums_join", groups(p.entries as usize, 64));
    let mut out = Lowering::default();
    let parts = out.scratch(u64::from(p.chunks) * 4);
    out.passes.push(first.slots(&[Slot::Arg(0), Slot::Arg(1), parts]));
    out.passes.push(second.slots(&[parts, Slot::Arg(2), Slot::Arg(3)]));
    out
}

fn sums_definition(call: &mut Call) {
    let (p, x) = (call.params::<SquareSumsParams>(), call.read::<f32>(0));
    let (chunks, entries) = (call.read::<i32>(1), call.read::<i32>(2));
    let sums = &mut call.write::<f32>(3)[p.to as usize..][..p.entries as usize];
    parallel::chunks(sums, 1, |at, sum| {
        let [first, count] = [0, 1].map(|i| entries[2 * (p.entry as usize + at) + i] as usize);
        let of = |chunk: usize| {
            let [start, n] = [0, 1].map(|i| chunks[2 * chunk + i] as usize);
            total(x[start..][..n].iter().map(|&x| f64::from(x) * f64::from(x)))
        };
        sum[0] = total((first..first + count).map(of)) as f32;
    });
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Uniform)]
struct ClipParams {
    n: u32,
    max_norm: f32,
}

/// The factor that holds the root of all sums under a bound, and that root.
static CLIP_FACTOR: Kernel = Kernel::new(
    "clip_factor",
    &[Read, ReadWrite],
    |call| {
        let (p, sums, numbers) = (call.params::<ClipParams>(), call.read::<f32>(0), call.write::<f32>(1));
        let norm = sums[..p.n as usize].iter().map(|&sum| f64::from(sum)).sum::<f64>().sqrt();
        let factor = f64::from(p.max_norm) / (norm + 1e-6);
        // Of a NaN, all become NaN.
        numbers[0] = if factor > 1.0 { 1.0 } else { factor as f32 };
        numbers[1] = norm as f32;
    },
    |d| d.cost(d.len(0) as u64),
)
.tolerance(Tolerance::SUMMED)
.variants(&[Variant::new("tree", |_, _| Pass::new(&FACTOR, "clip_factor", 1).alone())
    .fits(|_, d| d.params::<ClipParams>().n <= 15 << 20)]);

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&SQUARE_SUMS, &CLIP_FACTOR];

/// The places of one slab's parameters, for kernels.
pub struct Table {
    /// First element and number of elements of each chunk.
    chunks: Tensor,
    /// First chunk and number of chunks of each parameter.
    entries: Tensor,
    /// The same on the host.
    counts: Vec<(u32, u32)>,
    /// The number of the slab's first parameter among those of all slabs.
    pub first: u32,
    /// The parameter that each 64 elements belong to, counted in its slab.
    pub owners: Tensor,
    /// The sums of the squares of gradients, and of values: one for each parameter of all slabs.
    pub gradients: Tensor,
    pub values: Tensor,
}

/// The lengths of all parameters of an optimizer.
pub struct Norms {
    gradients: Tensor,
}

impl Norms {
    /// Gives each slab its table.
    pub fn new<'a>(slabs: impl Iterator<Item = &'a mut Slab>) -> Norms {
        let slabs: Vec<&mut Slab> = slabs.collect();
        let total: usize = slabs.iter().map(|slab| slab.places().count()).sum();
        let device = slabs[0].values.device().clone();
        let zeros = || Tensor::full([total], 0.0f32, &device);
        let (gradients, values) = (zeros(), zeros());
        let mut first = 0;
        for slab in slabs {
            let (mut chunks, mut counts) = (Vec::new(), Vec::new());
            let mut owners = vec![0i32; slab.values.numel().div_ceil(64)];
            for (at, (offset, n)) in slab.places().enumerate() {
                let start = chunks.len() as u32;
                let chunk = CHUNK.max(n.div_ceil(MAX_CHUNKS).next_multiple_of(4));
                let cut = |from: usize| [(offset + from) as i32, chunk.min(n - from) as i32];
                chunks.extend((0..n).step_by(chunk).map(cut));
                counts.push((start, chunks.len() as u32 - start));
                owners[offset / 64..(offset + n).div_ceil(64)].fill(at as i32);
            }
            let entries: Vec<[i32; 2]> = counts.iter().map(|&(start, n)| [start as i32, n as i32]).collect();
            // A table of nothing is still bound.
            chunks.resize(chunks.len().max(1), [0; 2]);
            let table = |data: &[[i32; 2]]| Tensor::constant(data.as_flattened(), [data.len(), 2], &device);
            let own = counts.len() as u32;
            slab.norms = Some(Table {
                chunks: table(&chunks),
                entries: table(&entries),
                counts,
                first,
                owners: Tensor::constant(&owners, [owners.len()], &device),
                gradients: gradients.clone(),
                values: values.clone(),
            });
            first += own;
        }
        Norms { gradients }
    }

    /// The norm of any order of all gradients, a scalar: PyTorch's norm of the parameters' norms.
    pub fn of_order(gathered: &Gathered, p: f32) -> Tensor {
        let length = |g: &Tensor| g.detach().reshape([-1]).norm_of(p, &[0], KeepDims::No);
        let mut lengths = Vec::new();
        for (slab, stretches) in &gathered.slabs {
            let entries = stretches.iter().flat_map(|stretch| stretch.entries.clone());
            lengths.extend(entries.map(|entry| length(&slab.view(entry, &slab.gradients))));
        }
        lengths.extend(gathered.rows.iter().filter(|bucket| !bucket.is_empty()).map(|b| length(b.gradients())));
        Tensor::stack(&lengths, 0).norm_of(p, &[0], KeepDims::No)
    }

    /// The factor and the norm, where the norm is there.
    pub fn clip_by(norm: &Tensor, numbers: &Tensor, max_norm: f32) {
        let factor = norm.affine(1.0, 1e-6).reciprocal().affine(max_norm, 0.0);
        for (at, number) in [factor.minimum(norm.new_full([], 1.0)), norm.clone()].iter().enumerate() {
            numbers.narrow(0, at, 1).assign(&number.reshape([1]));
        }
    }

    /// Sets the factor that all kernels multiply gradients by, and the norm beside it.
    pub fn clip(&self, gathered: &Gathered, numbers: &Tensor, max_norm: f32) {
        let n = self.gradients.numel() as u32;
        let found: usize = gathered.slabs.iter().flat_map(|(_, stretches)| stretches).map(|s| s.entries.len()).sum();
        if found < n as usize {
            // What has no gradient now must not count with its last one.
            self.gradients.assign(&Tensor::zeros(self.gradients.shape(), self.gradients.device()));
        }
        for (slab, stretches) in &gathered.slabs {
            for stretch in stretches {
                if let Some(table) = &slab.norms {
                    table.square_sums(&slab.gradients, stretch, &table.gradients);
                }
            }
        }
        for bucket in gathered.rows.iter().filter(|bucket| !bucket.is_empty()) {
            if let Some(table) = &bucket.slab.norms {
                let place = table.gradients.narrow(0, table.first as usize + bucket.entry, 1);
                place.assign(&bucket.gradients().square().sum().reshape([1]));
            }
        }
        Tensor::run(&CLIP_FACTOR, &[&self.gradients, numbers], &ClipParams { n, max_norm });
    }
}

impl Table {
    /// The sum of the squares of each parameter of a stretch.
    pub fn square_sums(&self, x: &Tensor, stretch: &Stretch, to: &Tensor) {
        let counts = &self.counts[stretch.entries.clone()];
        let p = SquareSumsParams {
            chunk: counts[0].0,
            chunks: counts.iter().map(|(_, n)| n).sum(),
            entry: stretch.entries.start as u32,
            entries: stretch.entries.len() as u32,
            to: self.first + stretch.entries.start as u32,
        };
        Tensor::run(&SQUARE_SUMS, &[x, &self.chunks, &self.entries, to], &p);
    }
}
