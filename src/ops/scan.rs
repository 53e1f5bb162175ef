//! Running products and extremes along a dimension: `shaders/scan.wgsl`, `shaders/recurrence.wgsl`.

use super::reduce::KeepDims;
use crate::autograd::{Op, result_of};
use crate::dtype::DType;
use crate::kernel::{
    Access, Call, Constant, Dispatch, Kernel, Lowering, Pass, Shader, Slot, Tolerance, Uniform, Variant, groups,
    parallel, shader,
};
use crate::shape::Int;
use crate::tensor::Tensor;
use bytemuck::{Pod, Zeroable};

static SHADER: Shader = shader!("scan", &[Access::Read, Access::ReadWrite, Access::ReadWrite]);

/// Lines of `n` elements that lie `inner` apart; each is cut into `chunks`, the last of which may be shorter.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Uniform)]
struct ScanParams {
    outer: u32,
    n: u32,
    inner: u32,
    chunk: u32,
    chunks: u32,
}

/// Elements that one invocation joins in a row.
const CHUNK: u32 = 1024;

macro_rules! scans {
    ($($constant:ident: $name:literal, $kind:literal, $tolerance:expr, $start:expr, $join:expr;)*) => {
        $(static $constant: Kernel = Kernel::new(
            $name,
            &[Access::Read, Access::Write],
            |call| definition(call, $start, $join),
            |d| d.cost(d.len(0) as u64),
        )
        .tolerance($tolerance)
        .variants(&[
            Variant::new("chunks", |_, d| passes(d, $kind)).fits(|_, d| d.params::<ScanParams>().chunks < 60_000)
        ]);)*
    };
}

scans! {
    CUMPROD: "cumprod", 0, Tolerance::SUMMED, 1.0, |a, b| a * f64::from(b);
    CUMMAX: "cummax", 1, Tolerance::EXACT, f64::NEG_INFINITY, |a, b| if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b.into()) };
    CUMMIN: "cummin", 2, Tolerance::EXACT, f64::INFINITY, |a, b| if a.is_nan() || b.is_nan() { f64::NAN } else { a.min(b.into()) };
}

fn passes(d: &Dispatch, kind: u32) -> Lowering {
    let p: ScanParams = d.params();
    let lines = p.outer as usize * p.inner as usize;
    let parts = lines * p.chunks as usize;
    let mut out = Lowering::default();
    let slots = [Slot::Arg(0), Slot::Arg(1), out.scratch(4 * parts as u64)];
    let pass =
        |entry, items| Pass::new(&SHADER, entry, groups(items, 64)).slots(&slots).constant("KIND", Constant::U32(kind));
    out.passes.push(pass("scan_chunks", parts));
    if p.chunks > 1 {
        out.passes.extend([pass("scan_totals", lines), pass("scan_apply", parts)]);
    }
    out
}

fn definition(call: &mut Call, start: f64, join: fn(f64, f32) -> f64) {
    let (p, x) = (call.params::<ScanParams>(), call.read::<f32>(0));
    let (n, inner) = (p.n as usize, p.inner as usize);
    parallel::chunks(call.write::<f32>(1), n * inner, |outer, y| {
        let x = &x[outer * n * inner..][..n * inner];
        let mut all = vec![start; inner];
        for (x, y) in x.chunks(inner).zip(y.chunks_mut(inner)) {
            for ((all, x), y) in all.iter_mut().zip(x).zip(y) {
                *all = join(*all, *x);
                *y = *all as f32;
            }
        }
    });
}

static RECURRENCE_SHADER: Shader = shader!("recurrence", &[Access::Read, Access::Read, Access::ReadWrite]);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Uniform)]
struct RecurrenceParams {
    outer: u32,
    n: u32,
    inner: u32,
    first: u32,
    end: u32,
}

/// Elements of a line that one pass takes.
const PART: u32 = 4096;

static RECURRENCE: Kernel = Kernel::new(
    "recurrence",
    &[Access::Read, Access::Read, Access::Write],
    |call| {
        let p: RecurrenceParams = call.params();
        let (a, b) = (call.read::<f32>(0), call.read::<f32>(1));
        let (n, inner) = (p.n as usize, p.inner as usize);
        parallel::chunks(call.write::<f32>(2), n * inner, |outer, y| {
            let (a, b) = (&a[outer * n * inner..], &b[outer * n * inner..]);
            let mut all = vec![0.0f64; inner];
            for i in (0..n).rev() {
                for (k, all) in all.iter_mut().enumerate() {
                    let behind = if i + 1 < n { f64::from(b[(i + 1) * inner + k]) * *all } else { 0.0 };
                    *all = f64::from(a[i * inner + k]) + behind;
                    y[i * inner + k] = *all as f32;
                }
            }
        });
    },
    |d| d.cost(2 * d.len(0) as u64),
)
.tolerance(Tolerance::SUMMED)
.variants(&[Variant::new("lines", |_, d| parts(d.params()))]);

fn parts(p: RecurrenceParams) -> Lowering {
    let pass = |first: u32| {
        let params = RecurrenceParams { first, end: (first + PART).min(p.n), ..p };
        Pass::new(&RECURRENCE_SHADER, "recurrence", groups((p.outer * p.inner) as usize, 64)).params(&params)
    };
    Lowering { passes: (0..p.n.max(1)).step_by(PART as usize).map(pass).collect(), ..Lowering::default() }
}

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&CUMPROD, &CUMMAX, &CUMMIN, &RECURRENCE];

/// # Running products and extremes
impl Tensor {
    #[track_caller]
    fn scanned(&self, kernel: &'static Kernel, dim: usize) -> Tensor {
        let (x, shape) = (self.detach().contiguous(), self.shape());
        let y = Tensor::empty(shape, self.dtype(), self.device());
        let n = shape[dim] as u32;
        let [outer, inner] = [&shape[..dim], &shape[dim + 1..]].map(|sizes| sizes.iter().product::<usize>() as u32);
        if y.numel() > 0 {
            let p = ScanParams { outer, n, inner, chunk: CHUNK.min(n), chunks: n.div_ceil(CHUNK) };
            Tensor::run(kernel, &[&x, &y], &p);
        }
        y
    }

    /// The product of the elements up to each one along a dimension, itself included; of whole numbers i32, which wraps around.
    ///
    /// # Panics
    /// If there is no such dimension.
    #[track_caller]
    pub fn cumprod(&self, dim: impl Int) -> Tensor {
        let dim = self.shape().dim_or_scalar("cumprod", dim.int());
        if self.dtype().is_half() {
            return Tensor::in_f32("cumprod", [self], |[x]| x.cumprod(dim));
        }
        if !self.dtype().is_float() {
            return self.integers().in_doublings(dim, Tensor::mul);
        }
        if self.rank() == 0 {
            return self.clone();
        }
        let y = self.scanned(&CUMPROD, dim);
        let (x, products) = (self.saved(), y.saved());
        y.tracked(
            || Op::new("cumprod").with("dim", dim),
            &[self],
            move |dy, _| {
                if x.numel() == 0 {
                    return vec![Some(dy.clone())];
                }
                // What an element is multiplied with before it, and a sum over what it is multiplied with behind it.
                let n = x.size(dim);
                let first = x.narrow(dim, 0, 1).zeros_like().affine(1.0, 1.0);
                let before = Tensor::cat(&[&first, &result_of(&products).narrow(dim, 0, n - 1)], dim);
                vec![Some(before.mul(&dy.recurrence(&x, dim)))]
            },
        )
    }

    /// `y[i] = self[i] + factors[i + 1] y[i + 1]` along a dimension.
    fn recurrence(&self, factors: &Tensor, dim: usize) -> Tensor {
        let (shape, n) = (self.shape(), self.size(dim));
        let y = Tensor::empty(shape, self.dtype(), self.device());
        let [outer, inner] = [&shape[..dim], &shape[dim + 1..]].map(|sizes| sizes.iter().product::<usize>() as u32);
        let p = RecurrenceParams { outer, n: n as u32, inner, first: 0, end: 0 };
        Tensor::run(&RECURRENCE, &[&self.contiguous(), &factors.contiguous(), &y], &p);
        let (factors, sums) = (factors.saved(), y.saved());
        y.tracked("recurrence", &[self, &factors.clone()], move |dy, needs| {
            // The same from the other end, whose factors lie one place on.
            let turned = factors.flip(&[dim]);
            let shifted = Tensor::cat(&[&turned.narrow(dim, 0, 1), &turned.narrow(dim, 0, n - 1)], dim);
            let slope = dy.flip(&[dim]).recurrence(&shifted, dim).flip(&[dim]);
            let of_factors = || {
                let later = result_of(&sums).narrow(dim, 1, n - 1).mul(&slope.narrow(dim, 0, n - 1));
                Tensor::cat(&[&slope.narrow(dim, 0, 1).zeros_like(), &later], dim)
            };
            vec![needs[0].then(|| slope.clone()), needs[1].then(of_factors)]
        })
    }

    /// The product along a dimension; 1 of nothing. Of whole numbers it is i32, which wraps around.
    ///
    /// # Panics
    /// If there is no such dimension.
    #[track_caller]
    pub fn prod_dim(&self, dim: impl Int, keep: KeepDims) -> Tensor {
        let dim = self.shape().dim_or_scalar("prod", dim.int());
        if self.rank() == 0 {
            return if self.dtype().is_float() { self.clone() } else { self.integers() };
        }
        let n = self.shape()[dim];
        let y = match n {
            0 if self.dtype().is_float() => self.sum_dims(&[dim], KeepDims::Yes).affine(0.0, 1.0),
            0 => self.sum_dims(&[dim], KeepDims::Yes).eq(0).cast(DType::I32),
            _ => self.cumprod(dim).narrow(dim, n - 1, 1),
        };
        if keep == KeepDims::Yes { y } else { y.squeeze(dim) }
    }

    /// The product of all elements; 1 of nothing.
    #[track_caller]
    pub fn prod(&self) -> Tensor {
        self.reshape([self.numel()]).prod_dim(0, KeepDims::No)
    }

    /// The largest element up to each one along a dimension, and its index (i32), the last of equals; from a NaN on all are.
    ///
    /// # Panics
    /// If there is no such dimension or the elements are not f32.
    #[track_caller]
    pub fn cummax(&self, dim: impl Int) -> (Tensor, Tensor) {
        let dim = self.shape().dim_or_scalar("cummax", dim.int());
        self.running_extreme("cummax", &CUMMAX, dim)
    }

    /// The smallest element up to each one along a dimension, and its index (i32), as [`Tensor::cummax`].
    ///
    /// # Panics
    /// If there is no such dimension or the elements are not f32.
    #[track_caller]
    pub fn cummin(&self, dim: impl Int) -> (Tensor, Tensor) {
        let dim = self.shape().dim_or_scalar("cummin", dim.int());
        self.running_extreme("cummin", &CUMMIN, dim)
    }

    #[track_caller]
    fn running_extreme(&self, op: &str, kernel: &'static Kernel, dim: usize) -> (Tensor, Tensor) {
        assert!(self.dtype().is_float(), "{op}: expected a tensor of floats, got {}: cast it first", self.dtype());
        if self.rank() == 0 {
            return (self.clone(), Tensor::full([], 0i32, self.device()));
        }
        let x = self.detach();
        let best = x.scanned(kernel, dim);
        // The places where the extreme was met, and of these the last before each element.
        let met = x.eq(&best).maximum(x.isnan());
        let mut line = vec![1; self.rank()];
        line[dim] = self.shape()[dim];
        let places = Tensor::arange(0, line[dim] as i32, self.device()).cast(DType::F32).reshape_to((&line).into());
        let index = met.mul(&places).scanned(&CUMMAX, dim).cast(DType::I32);
        (self.gather(dim, &index), index)
    }
}
