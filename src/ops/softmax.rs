//! Softmax and its logarithm: `shaders/softmax.wgsl`, `shaders/softmax_backward.wgsl`.

use crate::autograd::{Op, is_differentiated, result_of};
use crate::kernel::functions::{exp, largest, sum, sum_by_few, sum_by_few2};
use crate::kernel::{
    Access, Call, Class, Constant, Dispatch, Info, Kernel, Lowering, Pass, Shader, Uniform, Variant, groups, parallel,
    shader,
};
use crate::ops::reduce::KeepDims;
use crate::shape::Int;
use crate::tensor::Tensor;
use bytemuck::{Pod, Zeroable};

static FORWARD: Shader = shader!("softmax", ["halves"], &[Access::Read, Access::Write]);

static BACKWARD: Shader = shader!("softmax_backward", ["halves"], &[Access::Read, Access::Read, Access::Write]);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Uniform)]
struct SoftmaxParams {
    rows: u32,
    cols: u32,
}

/// Columns that one invocation may walk several times without passing 65,535 iterations.
const THREAD_COLS: u32 = 16_384;

fn fits_thread(_: &Info, d: &Dispatch) -> bool {
    d.params::<SoftmaxParams>().cols <= THREAD_COLS
}

fn suits_group(info: &Info, d: &Dispatch) -> bool {
    info.class == Class::Gpu && d.params::<SoftmaxParams>().cols >= 64
}

/// Columns that the invocations of a workgroup walk three times within 65,535 iterations.
fn fits_group(info: &Info, d: &Dispatch) -> bool {
    let cols = d.params::<SoftmaxParams>().cols;
    info.max_threads >= 256 && 3 * (cols / width(cols) / 256 + 1) <= 60_000
}

/// Columns that the shaders take at a time.
fn width(cols: u32) -> u32 {
    if cols.is_multiple_of(4) { 4 } else { 1 }
}

/// With the constants of both files: whole vec4 where rows are made of them.
fn pass(shader: &'static Shader, entry: &'static str, log: bool, d: &Dispatch, count: u64) -> Pass {
    let cols = d.params::<SoftmaxParams>().cols;
    let width = width(cols);
    let bits = if width == 4 { "vec4<u32>" } else { "u32" };
    let types: &[&str] = if shader.access.len() == 2 { &["X", "Y"] } else { &["Y", "DY", "DX"] };
    let threads = if cols / width > 64 { 256 } else { 64 };
    Pass::new(shader, entry, count)
        .constant("LOG", Constant::Bool(log))
        .items(width as usize, types)
        .constant("BITS", Constant::Alias(bits))
        .constant("THREADS", Constant::U32(threads))
}

fn group(shader: &'static Shader, entry: &'static str, log: bool, d: &Dispatch) -> Lowering {
    pass(shader, entry, log, d, u64::from(d.params::<SoftmaxParams>().rows)).alone()
}

fn thread(shader: &'static Shader, entry: &'static str, log: bool, d: &Dispatch) -> Lowering {
    pass(shader, entry, log, d, groups(d.params::<SoftmaxParams>().rows as usize, 256)).alone()
}

macro_rules! kernels {
    ($($forward:ident $forward_name:literal $backward:ident $backward_name:literal $log:literal;)*) => {$(
        static $forward: Kernel = Kernel::new($forward_name, &[Access::Read, Access::Write], |call| forward_definition(call, $log), |d| d.cost(4 * d.len(0) as u64))
            .host(|call| forward_host(call, $log))
            .variants(&[
                Variant::new("group", |_, d| group(&FORWARD, "softmax_group", $log, d))
                    .fits(fits_group)
                    .suits(suits_group),
                Variant::new("thread", |_, d| thread(&FORWARD, "softmax_thread", $log, d)).fits(fits_thread),
            ]);
        static $backward: Kernel = Kernel::new($backward_name, &[Access::Read, Access::Read, Access::Write], |call| backward_definition(call, $log), |d| d.cost(4 * d.len(0) as u64))
            .host(|call| backward_host(call, $log))
            .proportional_to(&[1])
            .variants(&[
                Variant::new("group", |_, d| group(&BACKWARD, "softmax_backward_group", $log, d))
                    .fits(fits_group)
                    .suits(suits_group),
                Variant::new("thread", |_, d| thread(&BACKWARD, "softmax_backward_thread", $log, d))
                    .fits(fits_thread),
            ]);
    )*};
}

kernels! {
    SOFTMAX "softmax" SOFTMAX_BACKWARD "softmax_backward" false;
    LOG_SOFTMAX "log_softmax" LOG_SOFTMAX_BACKWARD "log_softmax_backward" true;
}

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&SOFTMAX, &SOFTMAX_BACKWARD, &LOG_SOFTMAX, &LOG_SOFTMAX_BACKWARD];

fn forward_definition(call: &mut Call, log: bool) {
    let (p, x) = (call.params::<SoftmaxParams>(), call.read::<f32>(0));
    let cols = p.cols as usize;
    parallel::rows(call.write::<f32>(1), cols, |row, y| {
        let x = &x[row * cols..][..cols];
        let top = x.iter().fold(f32::NEG_INFINITY, |top, &x| top.max(x));
        let sum: f64 = x.iter().map(|&x| f64::from(x - top).exp()).sum();
        for (y, &x) in y.iter_mut().zip(x) {
            let shifted = f64::from(x - top);
            *y = if log { shifted - sum.ln() } else { shifted.exp() / sum } as f32;
        }
    });
}

fn backward_definition(call: &mut Call, log: bool) {
    let (p, y, dy) = (call.params::<SoftmaxParams>(), call.read::<f32>(0), call.read::<f32>(1));
    let cols = p.cols as usize;
    parallel::rows(call.write::<f32>(2), cols, |row, dx| {
        let (y, dy) = (&y[row * cols..][..cols], &dy[row * cols..][..cols]);
        let sum: f64 = y.iter().zip(dy).map(|(&y, &dy)| f64::from(dy) * if log { 1.0 } else { f64::from(y) }).sum();
        for ((dx, &y), &dy) in dx.iter_mut().zip(y).zip(dy) {
            let (y, dy) = (f64::from(y), f64::from(dy));
            *dx = if log { dy - y.exp() * sum } else { y * (dy - sum) } as f32;
        }
    });
}

/// The exponentials are there once, in f32.
fn forward_host(call: &mut Call, log: bool) {
    let (p, x) = (call.params::<SoftmaxParams>(), call.read::<f32>(0));
    let cols = p.cols as usize;
    parallel::rows(
        call.write::<f32>(1),
        cols,
        #[inline(always)]
        |row, y| {
            let x = &x[row * cols..][..cols];
            let top = largest(x);
            if log {
                let sum = sum_by_few(x, |x| exp(x - top)).ln() as f32;
                y.iter_mut().zip(x).for_each(|(y, x)| *y = (x - top) - sum);
                return;
            }
            y.iter_mut().zip(x).for_each(|(y, x)| *y = exp(x - top));
            let share = (1.0 / sum_by_few(y, |y| y)) as f32;
            y.iter_mut().for_each(|y| *y *= share);
        },
    );
}

fn backward_host(call: &mut Call, log: bool) {
    let (p, y, dy) = (call.params::<SoftmaxParams>(), call.read::<f32>(0), call.read::<f32>(1));
    let cols = p.cols as usize;
    parallel::rows(
        call.write::<f32>(2),
        cols,
        #[inline(always)]
        |row, dx| {
            let (y, dy) = (&y[row * cols..][..cols], &dy[row * cols..][..cols]);
            if log {
                let sum = sum(dy, f64::from) as f32;
                dx.iter_mut().zip(y).zip(dy).for_each(|((dx, y), dy)| *dx = dy - exp(*y) * sum);
                return;
            }
            let sum = sum_by_few2(y, dy, |y, dy| y * dy) as f32;
            dx.iter_mut().zip(y).zip(dy).for_each(|((dx, y), dy)| *dx = y * (dy - sum));
        },
    );
}

/// # Softmax
impl Tensor {
    /// `e^x / sum(e^x)` along a dimension.
    ///
    /// # Panics
    /// If there is no such dimension.
    #[track_caller]
    pub fn softmax(&self, dim: impl Int) -> Tensor {
        let dim = dim.int();
        self.normalized_exp(&SOFTMAX, &SOFTMAX_BACKWARD, dim)
    }

    /// `x - log(sum(e^x))` along a dimension.
    ///
    /// # Panics
    /// If there is no such dimension.
    #[track_caller]
    pub fn log_softmax(&self, dim: impl Int) -> Tensor {
        let dim = dim.int();
        self.normalized_exp(&LOG_SOFTMAX, &LOG_SOFTMAX_BACKWARD, dim)
    }

    #[track_caller]
    fn normalized_exp(&self, forward: &'static Kernel, backward: &'static Kernel, dim: isize) -> Tensor {
        assert!(
            self.dtype().is_float(),
            "{}: expected a tensor of floats, got {}: cast it first",
            forward.name,
            self.dtype()
        );
        let dim = self.shape().dim_or_scalar(forward.name, dim);
        if self.rank() > 0 && (dim + 1 != self.rank() || !self.layout().is_contiguous()) {
            // Rows are what the kernels walk: those of channels that are neighbours lie so already.
            let order: Vec<_> = self.layout().own_order().into_iter().filter(|d| *d != dim).chain([dim]).collect();
            if !order.is_sorted() {
                return self.permute(&order).normalized_exp(forward, backward, -1).permuted_back(&order);
            }
        }
        let x = self.contiguous();
        let cols = x.shape().last().copied().unwrap_or(1);
        let y = Tensor::empty(x.shape(), x.result_dtype(forward.name), x.device());
        let p = SoftmaxParams { rows: (x.numel() / cols.max(1)) as u32, cols: cols as u32 };
        if x.numel() > 0 {
            Tensor::run(forward, &[&x, &y], &p);
        }
        let (saved, is_log, rank) = (y.saved(), std::ptr::eq(forward, &LOG_SOFTMAX), y.rank());
        y.tracked(
            || Op::new(forward.name).with("dim", dim),
            &[&x],
            move |dy, _| {
                if is_differentiated() {
                    let y = result_of(&saved);
                    let along = if is_log { dy.clone() } else { dy.mul(&y) };
                    let sum = if rank == 0 { along.clone() } else { along.sum_dims(&[-1], KeepDims::Yes) };
                    return vec![Some(if is_log { dy.sub(&y.exp().mul(&sum)) } else { y.mul(&dy.sub(&sum)) })];
                }
                let dx = saved.new_empty(saved.shape());
                Tensor::run(backward, &[&saved, &dy.contiguous(), &dx], &p);
                vec![Some(dx)]
            },
        )
    }
}
