//! Sums of whole numbers, which wrap around in 32 bits: `shaders/sum_i32.wgsl`.

use super::{KeepDims, ReduceParams, plan};
use crate::dtype::DType;
use crate::kernel::{Access, Kernel, Lowering, Pass, Shader, Slot, Tolerance, Variant, groups, shader};
use crate::tensor::Tensor;

static SHADER: Shader = shader!("sum_i32", ["reduce"], &[Access::Read, Access::Write]);

/// Elements of one invocation's loop.
const CHUNK: u32 = 1024;

static SUM: Kernel = Kernel::new(
    "sum_i32",
    SHADER.access,
    |call| super::definition::<i32>(call, |xs, _| xs.fold(0, i32::wrapping_add)),
    |d| d.cost(d.len(0) as u64),
)
.tolerance(Tolerance::EXACT)
.variants(&[Variant::new("threads", |_, d| stages(d.params()))]);

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&SUM];

/// Stages of one chunk each, until one result is left for every output.
fn stages(mut p: ReduceParams) -> Lowering {
    let (mut out, mut source) = (Lowering::default(), Slot::Arg(0));
    loop {
        p.chunk = CHUNK.min(p.count.max(1));
        p.chunks = p.count.div_ceil(p.chunk).max(1);
        let last = p.chunks == 1;
        let results = p.n as usize * p.chunks as usize;
        let target = if last { Slot::Arg(1) } else { out.scratch(results as u64 * 4) };
        out.passes.push(Pass::new(&SHADER, "sum_i32", groups(results, 256)).slots(&[source, target]).params(&p));
        if last {
            return out;
        }
        source = target;
        p = ReduceParams::stage(p.n, p.chunks, 1.0);
    }
}

impl Tensor {
    /// Whole numbers as their upper and their lower bits, which f32 holds, and whose order tells theirs.
    pub(in crate::ops) fn in_halves_of_bits(&self) -> [Tensor; 2] {
        let (x, bits) = (self.integers(), |bits: i32| Tensor::scalar(bits, self.device()));
        [x.bitwise_right_shift(&bits(16)), x.bitwise_and(&bits(0xffff))].map(|x| x.cast(DType::F32))
    }

    /// The lower bits of those whole numbers whose upper bits are the largest over some dimensions, and -1 elsewhere.
    #[track_caller]
    pub(super) fn lower_of_largest(&self, dims: &[isize]) -> Tensor {
        let [upper, lower] = self.in_halves_of_bits();
        Tensor::where_(&upper.eq(upper.amax(dims, KeepDims::Yes)), &lower, &Tensor::scalar(-1.0, self.device()))
    }

    /// The largest or the smallest of whole numbers over some dimensions, i32.
    #[track_caller]
    pub(super) fn extreme_of_integers(&self, dims: &[isize], keep: KeepDims, largest: bool) -> Tensor {
        if !largest {
            // The other way round, without overflow.
            return self.integers().bitwise_not().extreme_of_integers(dims, keep, true).bitwise_not();
        }
        let [upper, _] = self.in_halves_of_bits();
        let [upper, lower] = [upper, self.lower_of_largest(dims)].map(|x| x.amax(dims, keep).cast(DType::I32));
        upper * (1 << 16) + &lower
    }

    /// The sum over some dimensions of a tensor of i32.
    #[track_caller]
    pub(super) fn sum_of_integers(&self, dims: &[isize], keep: KeepDims) -> Tensor {
        let (reduced, _, shape) = plan("sum", self.shape(), dims, keep);
        let y = Tensor::empty(shape, DType::I32, self.device());
        Tensor::run(&SUM, &[self, &y], &ReduceParams::new(self, &reduced, 1.0));
        y.noted(|| super::reduction("sum", dims, keep), &[self])
    }
}
