//! Running sums along a dimension: `shaders/cumsum.wgsl`.

use crate::autograd::Op;
use crate::kernel::{
    Access, Call, Dispatch, Kernel, Lowering, Pass, Shader, Slot, Tolerance, Uniform, Variant, groups, parallel, shader,
};
use crate::shape::Int;
use crate::tensor::Tensor;
use bytemuck::{Pod, Zeroable};

static SHADER: Shader = shader!("cumsum", &[Access::Read, Access::ReadWrite, Access::ReadWrite]);

/// Lines of `n` elements that lie `inner` apart; each is cut into `chunks`, the last of which may be shorter.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Uniform)]
struct CumsumParams {
    outer: u32,
    n: u32,
    inner: u32,
    /// 1: from the end backwards.
    reverse: u32,
    chunk: u32,
    chunks: u32,
}

/// Elements that one invocation adds up in a row.
const CHUNK: u32 = 1024;

/// y[i] = x[0] + .. + x[i] along each line.
static CUMSUM: Kernel = Kernel::new("cumsum", &[Access::Read, Access::Write], definition, |d| d.cost(d.len(0) as u64))
    .tolerance(Tolerance::SUMMED)
    .proportional_to(&[0])
    .host(host)
    .variants(&[Variant::new("chunks", |_, d| passes(d)).fits(|_, d| d.params::<CumsumParams>().chunks < 60_000)]);

fn passes(d: &Dispatch) -> Lowering {
    let p: CumsumParams = d.params();
    let lines = p.outer as usize * p.inner as usize;
    let parts = lines * p.chunks as usize;
    let mut out = Lowering::default();
    let slots = [Slot::Arg(0), Slot::Arg(1), out.scratch(4 * parts as u64)];
    let pass = |entry, items| Pass::new(&SHADER, entry, groups(items, 64)).slots(&slots);
    out.passes.push(pass("cumsum_chunks", parts));
    if p.chunks > 1 {
        out.passes.extend([pass("cumsum_totals", lines), pass("cumsum_add", parts)]);
    }
    out
}

fn definition(call: &mut Call) {
    let (p, x) = (call.params::<CumsumParams>(), call.read::<f32>(0));
    let (n, inner) = (p.n as usize, p.inner as usize);
    parallel::chunks(call.write::<f32>(1), n * inner, |outer, y| {
        let x = &x[outer * n * inner..][..n * inner];
        let mut sums = vec![0.0f64; inner];
        for i in 0..n {
            let row = if p.reverse == 1 { n - 1 - i } else { i } * inner;
            for ((sum, x), y) in sums.iter_mut().zip(&x[row..]).zip(&mut y[row..]) {
                *sum += f64::from(*x);
                *y = *sum as f32;
            }
        }
    });
}

/// Lines that are added up side by side: each sum waits for the one before it.
const SIDE_BY_SIDE: usize = 8;

fn host(call: &mut Call) {
    let (p, x) = (call.params::<CumsumParams>(), call.read::<f32>(0));
    if p.inner != 1 {
        return definition(call);
    }
    let n = p.n as usize;
    let each = (parallel::GRAIN / 4 / n.max(1)).max(1).next_multiple_of(SIDE_BY_SIDE);
    parallel::chunks(
        call.write::<f32>(1),
        each * n,
        #[inline(always)]
        |piece, y| {
            let x = &x[piece * each * n..][..y.len()];
            for (y, x) in y.chunks_mut(SIDE_BY_SIDE * n).zip(x.chunks(SIDE_BY_SIDE * n)) {
                let mut sums = [0.0f64; SIDE_BY_SIDE];
                let mut step = |lines: usize, i: usize| {
                    let i = if p.reverse == 1 { n - 1 - i } else { i };
                    for (line, sum) in sums.iter_mut().enumerate().take(lines) {
                        *sum += f64::from(x[line * n + i]);
                        y[line * n + i] = *sum as f32;
                    }
                };
                match x.len() / n {
                    SIDE_BY_SIDE => (0..n).for_each(|i| step(SIDE_BY_SIDE, i)),
                    lines => (0..n).for_each(|i| step(lines, i)),
                }
            }
        },
    );
}

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&CUMSUM];

/// # Running sums
impl Tensor {
    /// The sum of the elements up to each one along a dimension, itself included; of whole numbers i32, which wraps around.
    ///
    /// # Panics
    /// If there is no such dimension.
    #[track_caller]
    pub fn cumsum(&self, dim: impl Int) -> Tensor {
        let dim = dim.int();
        let dim = self.shape().dim_or_scalar("cumsum", dim);
        if !self.dtype().is_float() {
            return self.integers().in_doublings(dim, Tensor::add);
        }
        if self.rank() == 0 {
            return self.clone();
        }
        self.running_sum(dim, 0)
    }

    /// Each element joined with all that were before it, in as many steps as doublings lead to the size.
    #[track_caller]
    pub(super) fn in_doublings(&self, dim: usize, join: fn(&Tensor, &Tensor) -> Tensor) -> Tensor {
        let (mut x, mut step, size) = (self.clone(), 1, self.shape().get(dim).copied().unwrap_or(1));
        while step < size {
            let later = join(&x.narrow(dim, step, size - step), &x.narrow(dim, 0, size - step));
            x = Tensor::cat(&[&x.narrow(dim, 0, step), &later], dim as isize);
            step *= 2;
        }
        x
    }

    /// Its gradient runs the other way.
    fn running_sum(&self, dim: usize, reverse: u32) -> Tensor {
        let (x, shape) = (self.detach().contiguous(), self.shape());
        let y = Tensor::empty(shape, self.result_dtype("cumsum"), self.device());
        let n = shape[dim] as u32;
        let [outer, inner] = [&shape[..dim], &shape[dim + 1..]].map(|sizes| sizes.iter().product::<usize>() as u32);
        let p = CumsumParams { outer, n, inner, reverse, chunk: CHUNK.min(n), chunks: n.div_ceil(CHUNK) };
        if y.numel() > 0 {
            Tensor::run(&CUMSUM, &[&x, &y], &p);
        }
        y.tracked(
            || Op::new("cumsum").with("dim", dim),
            &[self],
            move |dy, _| vec![Some(dy.running_sum(dim, 1 - reverse))],
        )
    }
}
