//! Matrix products: `shaders/matmul_subgroup.wgsl`, `shaders/matmul_tiled.wgsl`, `shaders/matmul_halves.wgsl`,
//! `shaders/matmul_parts.wgsl`.

mod cooperative;
mod epilogue;
mod fuse;
mod halves;
mod host;
pub mod linear;
mod tiles;

pub(crate) use cooperative::{constants as cooperative_constants, fits as fits_cooperative};
pub(crate) use epilogue::Epilogue;
pub(crate) use halves::OFF as HALVES_OFF;
pub(crate) use host::{gemm, product, shared, tile};
pub(crate) use tiles::{
    Operands, SPARE, Tiling, fits_subgroup, fits_tiled, lower, pass, preferred, split, suits_large,
};

use crate::dtype::DType;
use crate::kernel::functions::indices;
use crate::kernel::{Access, Cost, Dispatch, Kernel, Tolerance, Uniform, Variant};
use crate::ops::reduce::KeepDims;
use crate::shape::{Shape, collapse};
use crate::tensor::Tensor;
use bytemuck::{Pod, Zeroable};

/// The struct `MatMul` of the prelude. The columns of c are neighbours.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable, Uniform)]
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
    /// 1: a bias for each column is added.
    pub bias: u32,
    /// The code of the [`Epilogue`].
    pub epilogue: u32,
    pad: [u32; 2],
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
            bias: 0,
            epilogue: Epilogue::NOTHING.0,
            pad: [0; 2],
            batch: [[1, 0, 0, 0]; 4],
        }
    }

    /// A single product of two matrices.
    fn of(sizes: [usize; 3], a: &Tensor, b: &Tensor) -> MatMul {
        let strides = |x: &Tensor| [0, 1].map(|d| x.layout().strides[x.rank() - 2 + d]);
        let mut p = MatMul::new(sizes, strides(a), strides(b));
        (p.a_base, p.b_base) = (a.base() as u32, b.base() as u32);
        p
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

    /// The elements of c in order: sums of products along a row of a and a column of b.
    fn sums<'a>(&self, a: &'a [f32], b: &'a [f32]) -> impl Iterator<Item = f64> + use<'a> {
        let (p, starts) = (*self, self.starts());
        let element = |x: &[f32], at: usize, steps: [(usize, u32); 2]| {
            f64::from(x[at + steps.map(|(index, step)| index * step as usize).iter().sum::<usize>()])
        };
        indices([starts.len() as u32, p.m, p.n]).map(move |[batch, row, column]| {
            let [of_a, of_b, _] = starts[batch];
            let term = |k| {
                let a = element(a, of_a, [(row, p.a_row), (k, p.a_col)]);
                a * element(b, of_b, [(k, p.b_row), (column, p.b_col)])
            };
            (0..p.k as usize).map(term).sum()
        })
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

/// From so many terms on, a product of a row and a column is a sum of products: of a tile, one result would be used.
const DOT: usize = 512;

/// The most products that are kept to be added up.
const MOST_OF_DOTS: usize = 1 << 24;

/// c = a b, batched.
static MATMUL: Kernel = Kernel::new("matmul", &[Access::Read, Access::Read, Access::Write], epilogue::definition, cost)
    .host(epilogue::host)
    .tolerance(Tolerance::SUMMED)
    .proportional_to(&[0, 1])
    .rewrites(fuse::REWRITES)
    .variants(VARIANTS);

fn cost(d: &Dispatch) -> Cost {
    d.cost(d.params::<MatMul>().flops())
}

/// c = a b, and what follows it with a matrix of the same shape.
static MATMUL_WITH: Kernel =
    Kernel::new("matmul_with", &[Access::Read, Access::Read, Access::Read, Access::Write], epilogue::definition, cost)
        .host(epilogue::host)
        .tolerance(Tolerance::SUMMED)
        .proportional_to(&[0, 1])
        .variants(VARIANTS);

/// The ways to run every product whose bindings are a, b, what follows, c.
const VARIANTS: &[Variant] = &[
    cooperative::VARIANT,
    halves::LARGE,
    halves::SMALL,
    Variant::new("subgroup", |info, d| lower(info, Tiling::Subgroup, d, epilogue::operands(d)))
        .fits(|info, _| fits_subgroup(info))
        .suits(|info, _| preferred(info) == Tiling::Subgroup),
    Variant::new("tiled", |info, d| lower(info, Tiling::Tiled, d, epilogue::operands(d)))
        .fits(|info, _| fits_tiled(info))
        .suits(|info, d| suits_large(info, &d.params())),
    Variant::new("tiled_small", |info, d| lower(info, Tiling::Small, d, epilogue::operands(d)))
        .fits(|info, _| fits_tiled(info)),
];

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&MATMUL, &MATMUL_WITH];

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

/// The same elements as the kernels can walk them, without history.
fn walkable(x: &Tensor) -> Tensor {
    if is_matrix(x) { x.detach() } else { x.detach().contiguous() }
}

/// # Matrix products
impl Tensor {
    /// The matrix product by PyTorch's rules: the last two dimensions are matrices, those before broadcast; a 1-D
    /// operand is a row on the left, a column on the right, and loses that dimension in the result.
    ///
    /// # Panics
    /// If the inner sizes differ, the batches do not broadcast, or an operand is a scalar or not of floats.
    #[doc(alias("bmm", "mm", "dot"))]
    #[track_caller]
    pub fn matmul(&self, other: &Tensor) -> Tensor {
        let (a, b) = (self.shape(), other.shape());
        assert!(a.rank() > 0 && b.rank() > 0, "matmul: {a} x {b}: a scalar is no matrix; use mul");
        let dtype = Tensor::promoted("matmul", &[self, other]);
        if [self, other].iter().any(|x| x.dtype() != dtype) {
            return self.cast(dtype).matmul_to(&other.cast(dtype), dtype);
        }
        self.matmul_to(other, dtype)
    }

    /// The same as a tensor of this type.
    #[track_caller]
    pub(crate) fn matmul_to(&self, other: &Tensor, dtype: DType) -> Tensor {
        let (a, b) = (self.shape(), other.shape());
        let (inner_a, inner_b) = (a[a.rank() - 1], b[b.rank().saturating_sub(2)]);
        assert!(inner_a == inner_b, "matmul: {a} x {b}: inner sizes {inner_a} and {inner_b} differ");
        if a.rank() == 1 {
            let y = self.unsqueeze(0).matmul_to(other, dtype);
            return y.squeeze(if b.rank() == 1 { 0 } else { -2 });
        }
        if b.rank() == 1 {
            return self.matmul_to(&other.unsqueeze(1), dtype).squeeze(-1);
        }
        if a.rank() > 2 && b.rank() == 2 {
            // One tall product, whose weight gradient is one product too.
            let mut sizes = a.to_vec();
            sizes[a.rank() - 1] = b[1];
            let rows = a[..a.rank() - 1].iter().product();
            let flat = self.reshape_to(Shape::from([rows, inner_a]));
            return flat.matmul_to(other, dtype).reshape_to(Shape::from(sizes));
        }
        self.product(other, dtype)
    }

    #[track_caller]
    fn product(&self, other: &Tensor, dtype: DType) -> Tensor {
        let (a_shape, b_shape) = (self.shape(), other.shape());
        let (a_rank, b_rank) = (a_shape.rank(), b_shape.rank());
        let [m, k] = [a_shape[a_rank - 2], a_shape[a_rank - 1]];
        let n = b_shape[b_rank - 1];
        let Some(batch) = Shape::new(&a_shape[..a_rank - 2]).broadcast(&Shape::new(&b_shape[..b_rank - 2])) else {
            panic!("matmul: {a_shape} x {b_shape}: the batches do not broadcast")
        };
        let with = |rows: usize, columns: usize| {
            let mut sizes = batch.to_vec();
            sizes.extend([rows, columns]);
            Shape::from(sizes)
        };
        let (a, b) = (walkable(self).expand(with(m, k)), walkable(other).expand(with(k, n)));
        let c = if k > 0 {
            Tensor::empty(with(m, n), dtype, self.device())
        } else {
            self.new_zeros(with(m, n)).cast(dtype)
        };
        let rank = c.rank();
        let mut p = MatMul::of([m, n, k], &a, &b);
        let outer = |x: &Tensor| x.layout().strides[..rank - 2].to_vec();
        for (size, steps) in collapse::<3>(&batch, [&outer(&a), &outer(&b), &outer(&c)]) {
            p = p.batched(size, steps);
        }
        let is_dot = m * n == 1 && k >= DOT && c.numel().saturating_mul(k) <= MOST_OF_DOTS;
        let c = if is_dot && [self.dtype(), other.dtype(), dtype] == [DType::F32; 3] {
            a.detach().mul(&b.detach().transpose(-2, -1)).sum_dims(&[-1], KeepDims::Yes)
        } else {
            if c.numel() * k > 0 {
                Tensor::run(&MATMUL, &[&a, &b, &c], &p);
            }
            c
        };
        let (a, b) = (self.saved(), other.saved());
        let [of_a, of_b] = [self, other].map(Tensor::gradient_dtype);
        c.tracked("matmul", &[self, other], move |dy, needs| {
            // A transposed operand gets its gradient in its own memory order.
            let flipped = |x: &Tensor| x.layout().strides[x.rank() - 2] == 1 && x.shape()[x.rank() - 1] > 1;
            let da = || {
                let da = if flipped(&a) {
                    b.matmul_to(&dy.transpose(-2, -1), of_a).transpose(-2, -1)
                } else {
                    dy.matmul_to(&b.transpose(-2, -1), of_a)
                };
                da.sum_to(a.shape())
            };
            let db = || {
                let db = if flipped(&b) {
                    dy.transpose(-2, -1).matmul_to(&a, of_b).transpose(-2, -1)
                } else {
                    a.transpose(-2, -1).matmul_to(dy, of_b)
                };
                db.sum_to(b.shape())
            };
            vec![needs[0].then(da), needs[1].then(db)]
        })
    }
}
