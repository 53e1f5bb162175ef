//! Matrix products: `shaders/matmul_subgroup.wgsl`, `shaders/matmul_tiled.wgsl`.

use super::reduce::sum_parts;
use crate::dtype::DType;
use crate::kernel::{
    Access, Class, Constant, Cost, Dispatch, Info, Kernel, Lowering, Pass, Shader, Slot, Tolerance, Variant, parallel,
};
use crate::shape::{Shape, collapse};
use crate::tensor::Tensor;
use bytemuck::{Pod, Zeroable};
use ndarray::{ArrayView2, ArrayViewMut2, ShapeBuilder, linalg::general_mat_mul};

const ACCESS: &[Access] = &[Access::Read, Access::Read, Access::Write];

static SUBGROUP: Shader =
    Shader { name: "matmul_subgroup", source: include_str!("../../shaders/matmul_subgroup.wgsl"), access: ACCESS };

static TILED: Shader =
    Shader { name: "matmul_tiled", source: include_str!("../../shaders/matmul_tiled.wgsl"), access: ACCESS };

/// The struct `MatMul` of the prelude. The columns of c are neighbours.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(crate) struct MatMul {
    pub m: u32,
    pub n: u32,
    pub k: u32,
    pub batches: u32,
    pub a_base: u32,
    pub b_base: u32,
    pub c_base: u32,
    pub c_row: u32,
    pub a_row: u32,
    pub a_col: u32,
    pub b_row: u32,
    pub b_col: u32,
    pub batch_rank: u32,
    pub k_split: u32,
    pub splits: u32,
    pub c_split: u32,
    /// Size and stride in a, b and c.
    pub batch: [[u32; 4]; 4],
}

impl MatMul {
    /// A single product whose c has rows of `n`.
    pub fn new([m, n, k]: [usize; 3], a: [usize; 2], b: [usize; 2]) -> MatMul {
        MatMul {
            m: m as u32,
            n: n as u32,
            k: k as u32,
            batches: 1,
            a_base: 0,
            b_base: 0,
            c_base: 0,
            c_row: n as u32,
            a_row: a[0] as u32,
            a_col: a[1] as u32,
            b_row: b[0] as u32,
            b_col: b[1] as u32,
            batch_rank: 0,
            k_split: k as u32,
            splits: 1,
            c_split: 0,
            batch: [[1, 0, 0, 0]; 4],
        }
    }

    /// Repeated `count` times, with these distances in a, b and c.
    pub fn batched(mut self, count: usize, steps: [usize; 3]) -> MatMul {
        self.batches *= count as u32;
        self.batch[self.batch_rank as usize] = [count as u32, steps[0] as u32, steps[1] as u32, steps[2] as u32];
        self.batch_rank += 1;
        self
    }

    fn flops(&self) -> u64 {
        2 * [self.m, self.n, self.k, self.batches].into_iter().map(u64::from).product::<u64>()
    }

    /// The bases of a, b and c in each batch.
    fn starts(&self) -> Vec<[usize; 3]> {
        let mut starts = vec![[self.a_base as usize, self.b_base as usize, self.c_base as usize]];
        for dim in &self.batch[..self.batch_rank as usize] {
            let step = |at: &[usize; 3], i: usize| std::array::from_fn(|o| at[o] + i * dim[o + 1] as usize);
            starts = starts.iter().flat_map(|at| (0..dim[0] as usize).map(move |i| step(at, i))).collect();
        }
        starts
    }
}

/// The k of one invocation's loop: it keeps the iterations far under 65,535 and the rounding of the sum small.
const MAX_K: u32 = 8192;

/// Which of the two shaders a pass uses.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Tiling {
    Subgroup,
    Tiled,
}

/// Lanes that the barrier-free shader is written for.
pub(crate) fn fits_subgroup(info: &Info) -> bool {
    matches!(info.subgroup, Some(8..=16))
}

/// Threads and shared memory that the tiles take.
pub(crate) fn fits_tiled(info: &Info) -> bool {
    info.max_threads >= 256 && info.max_shared_bytes >= 9 << 10
}

/// The shader that suits the adapter.
pub(crate) fn preferred(info: &Info) -> Tiling {
    // A software adapter runs a workgroup with barriers as coroutines, four to five times slower.
    if info.class != Class::Gpu && fits_subgroup(info) { Tiling::Subgroup } else { Tiling::Tiled }
}

/// How many parts k is cut into: at most `MAX_K` each, and on a GPU enough workgroups to fill it.
fn splits(info: &Info, tiling: Tiling, p: &MatMul) -> u32 {
    let needed = p.k.div_ceil(MAX_K).max(1);
    let tiles = tiles(info, tiling, p);
    let filling = match info.class {
        Class::Gpu => (256 / tiles.max(1)).min(u64::from(p.k / 256)),
        _ => (16 / tiles.max(1)).min(u64::from(p.k / 1024)),
    };
    needed.max(filling as u32)
}

fn tiles(info: &Info, tiling: Tiling, p: &MatMul) -> u64 {
    let (rows, columns) = match tiling {
        Tiling::Subgroup => (16, info.subgroup.unwrap_or(8) * 8),
        Tiling::Tiled => (64, 64),
    };
    u64::from(p.m.div_ceil(rows)) * u64::from(p.n.div_ceil(columns)) * u64::from(p.batches)
}

/// The pass for one product, `p.splits` parts of k side by side.
pub(crate) fn pass(info: &Info, tiling: Tiling, p: &MatMul, slots: [Slot; 3]) -> Pass {
    let (a_t, b_t) = (p.a_row == 1 && p.a_col != 1, p.b_row == 1 && p.b_col != 1);
    let groups = tiles(info, tiling, p) * u64::from(p.splits);
    let flag = |name, value| (name, Constant::Bool(value));
    let mut pass = match tiling {
        Tiling::Subgroup => Pass::new(&SUBGROUP, "matmul_subgroup", groups),
        Tiling::Tiled => Pass::new(&TILED, "matmul_tiled", groups),
    };
    pass.constants.extend([flag("A_T", a_t), flag("B_T", b_t)]);
    if tiling == Tiling::Subgroup {
        let quads = |words: &[u32]| words.iter().all(|w| w % 4 == 0);
        let steps = |at: usize| p.batch.map(|dim| dim[at]);
        let (a_step, b_step) = (if a_t { p.a_col } else { p.a_row }, if b_t { p.b_col } else { p.b_row });
        // Along what is contiguous, whole vec4 must start on one and fit.
        let a_vec = if a_t { p.m.is_multiple_of(4) } else { p.a_col == 1 };
        let b_vec = b_t || p.b_col == 1 && p.n.is_multiple_of(4);
        pass.constants.extend([
            ("LANES", Constant::U32(info.subgroup.unwrap_or(8))),
            flag("A_VEC", a_vec && quads(&[p.a_base, a_step]) && quads(&steps(1))),
            flag("B_VEC", b_vec && quads(&[p.b_base, b_step]) && quads(&steps(2))),
        ]);
    }
    pass.slots(&slots).params(p)
}

fn lower(info: &Info, tiling: Tiling, d: &Dispatch) -> Lowering {
    let p = split(info, tiling, d.params());
    let args = [Slot::Arg(0), Slot::Arg(1), Slot::Arg(2)];
    if p.splits == 1 {
        return pass(info, tiling, &p, args).alone();
    }
    let results = p.c_split as usize;
    let product = pass(info, tiling, &p, [args[0], args[1], Slot::Scratch(0)]);
    let sum = sum_parts(info, results, p.splits as usize, Slot::Scratch(0), args[2], 1);
    let mut out = Lowering { passes: vec![product], scratch: vec![results as u64 * 4 * u64::from(p.splits)] };
    out.passes.extend(sum.passes);
    out.scratch.extend(sum.scratch);
    out
}

/// The product with k cut into as many parts as it should be; they lie side by side in c.
pub(crate) fn split(info: &Info, tiling: Tiling, mut p: MatMul) -> MatMul {
    let parts = splits(info, tiling, &p);
    if parts > 1 {
        // A multiple of 16: the tile of k of one shader, whole vec4 of the other.
        p.k_split = p.k.div_ceil(parts).next_multiple_of(16);
        p.splits = p.k.div_ceil(p.k_split);
        p.c_split = p.m * p.n * p.batches;
    }
    p
}

/// c = a b, batched.
static MATMUL: Kernel = Kernel {
    name: "matmul",
    access: ACCESS,
    twin: |call| {
        let (p, a, b) = (call.params::<MatMul>(), call.read(0), call.read(1));
        product(&p, a, b, call.write(2));
    },
    cost: |d| Cost { flops: d.params::<MatMul>().flops(), bytes: d.bytes() },
    tolerance: Tolerance::SUMMED,
    rewrites: &[],
    variants: &[
        Variant {
            name: "subgroup",
            fits: |info, _| fits_subgroup(info),
            suits: |info, _| preferred(info) == Tiling::Subgroup,
            lower: |info, d| lower(info, Tiling::Subgroup, d),
        },
        Variant {
            name: "tiled",
            fits: |info, _| fits_tiled(info),
            suits: |_, _| true,
            lower: |info, d| lower(info, Tiling::Tiled, d),
        },
    ],
};

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&MATMUL];

/// The products of `p` on the host; c is without gaps.
pub(crate) fn product(p: &MatMul, a: &[f32], b: &[f32], c: &mut [f32]) {
    let [m, n, k] = [p.m, p.n, p.k].map(|s| s as usize);
    let starts = p.starts();
    // Rows of c that one task computes: enough tasks for any machine, each with some work to share b's packing.
    let rows = m.div_ceil(8).clamp(16, 256).min(m.max(1));
    let blocks = m.div_ceil(rows).max(1);
    if m * n == 0 {
        return;
    }
    let mut pieces: Vec<(usize, &mut [f32])> = Vec::with_capacity(starts.len() * blocks);
    for (batch, c) in c[..starts.len() * m * n].chunks_mut(m * n).enumerate() {
        pieces.extend(c.chunks_mut(rows * n).enumerate().map(|(block, c)| (batch * blocks + block, c)));
    }
    parallel::chunks(&mut pieces, if m * n * k < 1 << 16 { usize::MAX } else { 1 }, |_, pieces| {
        for (at, c) in pieces {
            let [a_start, b_start, _] = starts[*at / blocks];
            let first = (*at % blocks) * rows;
            let a = &a[a_start + first * p.a_row as usize..];
            gemm([c.len() / n, n, k], a, [p.a_row, p.a_col], &b[b_start..], [p.b_row, p.b_col], c, 0.0);
        }
    });
}

/// `c = a b + beta c` for one matrix on this thread; c is without gaps.
pub(crate) fn gemm([m, n, k]: [usize; 3], a: &[f32], sa: [u32; 2], b: &[f32], sb: [u32; 2], c: &mut [f32], beta: f32) {
    let strides = |s: [u32; 2]| (s[0] as usize, s[1] as usize);
    let a = ArrayView2::from_shape((m, k).strides(strides(sa)), a).expect("a lies in its slice");
    let b = ArrayView2::from_shape((k, n).strides(strides(sb)), b).expect("b lies in its slice");
    let mut c = ArrayViewMut2::from_shape((m, n), c).expect("c fills its slice");
    general_mat_mul(1.0, &a, &b, beta, &mut c);
}

/// Whether the last two dimensions can be walked by the kernels: one of them by steps of 1, neither by 0.
fn is_matrix(x: &Tensor) -> bool {
    let (rank, layout) = (x.rank(), x.layout());
    let part = |d: usize| (layout.shape[d], layout.strides[d]);
    let ((rows, row), (columns, column)) = (part(rank - 2), part(rank - 1));
    // Sizes of 1 have no step to speak of, but the kernels see their strides.
    let steps = [(rows, row), (columns, column)];
    steps.iter().all(|&(size, step)| step > 0 && (size > 1 || step >= 1))
        && (column == 1 && row >= columns.max(1) || row == 1 && column >= rows.max(1))
}

impl Tensor {
    /// The matrix product by PyTorch's rules: the last two dimensions are matrices, those before broadcast; a 1-D
    /// operand is a row on the left, a column on the right, and loses that dimension in the result.
    ///
    /// # Panics
    /// If the inner sizes differ, the batches do not broadcast, or an operand is a scalar or not of f32.
    #[track_caller]
    pub fn matmul(&self, other: &Tensor) -> Tensor {
        let (a, b) = (self.shape(), other.shape());
        assert!(a.rank() > 0 && b.rank() > 0, "matmul: {a} x {b}: a scalar is no matrix; use mul");
        let dtypes = (self.dtype(), other.dtype());
        assert!(
            dtypes == (DType::F32, DType::F32),
            "matmul: tensors of f32 are due, not {} and {}",
            dtypes.0,
            dtypes.1
        );
        let (inner_a, inner_b) = (a[a.rank() - 1], b[b.rank().saturating_sub(2)]);
        assert!(inner_a == inner_b, "matmul: {a} x {b}: inner sizes {inner_a} and {inner_b} differ");
        if a.rank() == 1 {
            let y = self.unsqueeze(0).matmul(other);
            return y.squeeze(if b.rank() == 1 { 0 } else { -2 });
        }
        if b.rank() == 1 {
            return self.matmul(&other.unsqueeze(1)).squeeze(-1);
        }
        if a.rank() > 2 && b.rank() == 2 {
            // One tall product, whose weight gradient is one product too.
            let mut sizes = a.to_vec();
            sizes[a.rank() - 1] = b[1];
            let rows = a.numel() / inner_a.max(1);
            return self.reshape_to(Shape::from([rows, inner_a])).matmul(other).reshape_to(Shape::from(sizes));
        }
        self.product(other)
    }

    #[track_caller]
    fn product(&self, other: &Tensor) -> Tensor {
        let (a_shape, b_shape) = (self.shape(), other.shape());
        let (a_rank, b_rank) = (a_shape.rank(), b_shape.rank());
        let [m, k] = [a_shape[a_rank - 2], a_shape[a_rank - 1]];
        let n = b_shape[b_rank - 1];
        let batch = Shape::new(&a_shape[..a_rank - 2]).broadcast(&Shape::new(&b_shape[..b_rank - 2]));
        let batch = batch.unwrap_or_else(|| panic!("matmul: {a_shape} x {b_shape}: the batches do not broadcast"));
        let with = |rows: usize, columns: usize| {
            let mut sizes = batch.to_vec();
            sizes.extend([rows, columns]);
            Shape::from(sizes)
        };
        let walkable = |x: &Tensor| if is_matrix(x) { x.detach() } else { x.detach().contiguous() };
        let (a, b) = (walkable(self).expand(with(m, k)), walkable(other).expand(with(k, n)));
        let c = Tensor::empty(with(m, n), DType::F32, self.device());
        let rank = c.rank();
        let strides = |x: &Tensor| [x.layout().strides[rank - 2], x.layout().strides[rank - 1]];
        let mut p = MatMul::new([m, n, k], strides(&a), strides(&b));
        p.a_base = a.base() as u32;
        p.b_base = b.base() as u32;
        let outer = |x: &Tensor| x.layout().strides[..rank - 2].to_vec();
        for (size, steps) in collapse::<3>(&batch, [&outer(&a), &outer(&b), &outer(&c)]) {
            p = p.batched(size, steps);
        }
        if c.numel() > 0 && k == 0 {
            return Tensor::zeros(c.shape(), c.device());
        }
        if c.numel() > 0 {
            Tensor::run(&MATMUL, &[&a, &b, &c], &p);
        }
        let (a, b) = (self.saved(), other.saved());
        c.tracked("matmul", &[self, other], move |dy, needs| {
            // A transposed operand gets its gradient in its own memory order.
            let flipped = |x: &Tensor| x.layout().strides[x.rank() - 2] == 1 && x.shape()[x.rank() - 1] > 1;
            let da = || {
                let da = if flipped(&a) {
                    b.matmul(&dy.transpose(-2, -1)).transpose(-2, -1)
                } else {
                    dy.matmul(&b.transpose(-2, -1))
                };
                da.sum_to(a.shape())
            };
            let db = || {
                let db = if flipped(&b) {
                    dy.transpose(-2, -1).matmul(&a).transpose(-2, -1)
                } else {
                    a.transpose(-2, -1).matmul(dy)
                };
                db.sum_to(b.shape())
            };
            vec![needs[0].then(da), needs[1].then(db)]
        })
    }
}
