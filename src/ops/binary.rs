//! Element-wise functions of two tensors, with broadcasting.
//!
//! A function is one row of a table below and its method: what it means in Rust, and the same in WGSL.

pub mod integers;

use crate::autograd::{composed, result_of};
use crate::dtype::DType;
use crate::kernel::elementwise::{self, BINARY, binary_variants};
use crate::kernel::strided::Strided;
use crate::kernel::{Dispatch, Kernel, Tolerance};
use crate::shape::Shape;
use crate::tensor::Tensor;
use std::cmp::Ordering;

pub(super) fn flops(d: &Dispatch) -> crate::kernel::Cost {
    d.cost(elementwise::count(d) as u64)
}

macro_rules! functions {
    ($($constant:ident: $name:literal, $value:expr, $wgsl:literal;)*) => {
        $(pub(crate) static $constant: Kernel =
            Kernel::new($name, BINARY, |call| elementwise::definition::<f32, f32>(call, $value), flops)
                .host(|call| elementwise::host::<f32, f32>(call, $value))
                .variants(binary_variants!($wgsl));)*
    };
}

functions! {
    ADD: "add", |a, b| a + b, "a + b";
    SUB: "sub", |a, b| a - b, "a - b";
    MUL: "mul", |a, b| a * b, "a * b";
    DIV: "div", |a, b| a / b, "a / b";
    MAXIMUM: "maximum", |a, b| if a.is_nan() || b.is_nan() { f32::NAN } else { a.max(b) }, "larger4(a, b)";
    MINIMUM: "minimum", |a, b| if a.is_nan() || b.is_nan() { f32::NAN } else { a.min(b) }, "smaller4(a, b)";
    POW: "pow", f32::powf, "power4(a, b)";
    FMOD: "fmod", |a, b| a % b, "fmod4(a, b)";
    REMAINDER: "remainder", |a, b| { let left = a % b; if left != 0.0 && (left < 0.0) != (b < 0.0) { left + b } else { left } },
        "remainder4(a, b)";
    ATAN2: "atan2", f32::atan2, "atan2_4(a, b)";
    LOGADDEXP: "logaddexp", log_add_exp, "larger4(a, b) + log1p4(exp(-select(abs(a - b), vec4<f32>(), a == b)))";
    LOGADDEXP_SHARE: "logaddexp_share", |a, b| 1.0 / (1.0 + (-apart(a, b)).exp()),
        "sigmoid4(select(a - b, vec4<f32>(), a == b))";
}

/// Equal ones, which may be infinite, are no distance apart.
fn apart(a: f32, b: f32) -> f32 {
    if a == b { 0.0 } else { a - b }
}

fn log_add_exp(a: f32, b: f32) -> f32 {
    let larger = if a.is_nan() || b.is_nan() { f32::NAN } else { a.max(b) };
    larger + (-apart(a, b).abs()).exp().ln_1p()
}

static NEXT_AFTER: Kernel =
    Kernel::new("nextafter", BINARY, |call| elementwise::definition::<f32, f32>(call, next_after), flops)
        .host(|call| elementwise::host::<f32, f32>(call, next_after))
        .tolerance(Tolerance::EXACT)
        .variants(binary_variants!("next_after4(a, b)"));

fn next_after(a: f32, b: f32) -> f32 {
    match a.partial_cmp(&b) {
        None => f32::NAN,
        Some(Ordering::Less) => a.next_up(),
        Some(Ordering::Equal) => b,
        Some(Ordering::Greater) => a.next_down(),
    }
}

/// 1 where the relation holds, else 0.
macro_rules! relations {
    ($($constant:ident: $name:literal, $operator:tt, $wgsl:literal;)*) => {
        $(static $constant: Kernel = Kernel::new(
            $name,
            BINARY,
            |call| elementwise::definition::<f32, f32>(call, |a, b| f32::from(a $operator b)),
            flops,
        )
        .host(|call| elementwise::host::<f32, f32>(call, |a, b| f32::from(a $operator b)))
        .tolerance(Tolerance::EXACT)
        .variants(binary_variants!($wgsl));)*
    };
}

// A comparison of NaN may be taken for anything: what is not known is told apart.
relations! {
    EQ: "eq", ==, "vec4<f32>(a == b) * both_known4(a, b)";
    NE: "ne", !=, "1.0 - vec4<f32>(a == b) * both_known4(a, b)";
    LT: "lt", <, "vec4<f32>(a < b) * both_known4(a, b)";
    LE: "le", <=, "vec4<f32>(a <= b) * both_known4(a, b)";
    GT: "gt", >, "vec4<f32>(a > b) * both_known4(a, b)";
    GE: "ge", >=, "vec4<f32>(a >= b) * both_known4(a, b)";
}

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[
    &ADD,
    &SUB,
    &MUL,
    &DIV,
    &MAXIMUM,
    &MINIMUM,
    &POW,
    &FMOD,
    &LOGADDEXP,
    &LOGADDEXP_SHARE,
    &REMAINDER,
    &ATAN2,
    &NEXT_AFTER,
    &EQ,
    &NE,
    &LT,
    &LE,
    &GT,
    &GE,
];

/// `a` and `b` as the shape they broadcast to, without history, and a tensor of that shape for the result, in the
/// memory order of the first that is dense in it.
#[track_caller]
fn broadcast(op: &str, a: &Tensor, b: &Tensor, dtype: DType) -> (Tensor, Tensor, Tensor) {
    let Some(shape) = a.shape().broadcast(&b.shape()) else {
        panic!("{op}: {} x {}: the shapes do not broadcast", a.shape(), b.shape())
    };
    let (a, b) = (a.detach().expand(shape), b.detach().expand(shape));
    let y = Tensor::empty_like(a.layout().leading(b.layout()), dtype, a.device());
    (a, b, y)
}

#[track_caller]
fn run(kernel: &'static Kernel, a: &Tensor, b: &Tensor, dtype: DType) -> Tensor {
    let (wide_a, wide_b, y) = broadcast(kernel.name, a, b, dtype);
    let params = Strided::new(y.layout(), [(wide_a.layout(), wide_a.base()), (wide_b.layout(), wide_b.base())]);
    Tensor::run(kernel, &[&wide_a, &wide_b, &y], &params);
    y
}

/// By one kernel for whole numbers, by another where there are floats.
#[track_caller]
pub(super) fn arithmetic(kernels: [&'static Kernel; 2], a: &Tensor, b: &Tensor) -> Tensor {
    match [a.dtype(), b.dtype()].map(DType::is_float) {
        [false, false] => run(kernels[1], &a.integers(), &b.integers(), DType::I32),
        _ => floating(kernels[0], a, b),
    }
}

#[track_caller]
pub(super) fn floating(kernel: &'static Kernel, a: &Tensor, b: &Tensor) -> Tensor {
    if let Some([a, b]) = Tensor::beside_floats(kernel.name, [a, b]) {
        return floating(kernel, &a, &b);
    }
    // Both are widened as they are read, so that neither is cast before.
    run(kernel, a, b, Tensor::promoted(kernel.name, &[a, b]))
}

#[track_caller]
fn relation(kernels: [&'static Kernel; 2], a: &Tensor, b: impl Comparand) -> Tensor {
    let b = b.beside(a);
    let y = match [a.dtype(), b.dtype()].map(DType::is_float) {
        [true, true] => run(kernels[0], a, &b, Tensor::promoted(kernels[0].name, &[a, &b])),
        [false, false] => run(kernels[1], &a.integers(), &b.integers(), DType::F32),
        // Whole numbers are compared with floats as floats.
        [true, false] => return relation(kernels, a, b.cast(a.dtype())),
        [false, true] => return relation(kernels, &a.cast(b.dtype()), b),
    };
    y.noted(kernels[0].name, &[a, &b])
}

/// What a tensor is compared with, or held or divided by: another one, or a number, `x.gt(&y)` or `x.gt(0.5)`.
pub trait Comparand {
    /// The same as a tensor, on the device of the one that it is compared with, and of its type where it is a whole number.
    fn beside(self, other: &Tensor) -> Tensor;
}

impl Comparand for &Tensor {
    fn beside(self, _: &Tensor) -> Tensor {
        self.clone()
    }
}

impl Comparand for Tensor {
    fn beside(self, _: &Tensor) -> Tensor {
        self
    }
}

impl Comparand for f32 {
    #[track_caller]
    fn beside(self, other: &Tensor) -> Tensor {
        if other.dtype().is_float() { other.new_full([], self) } else { Tensor::full([], self, other.device()) }
    }
}

impl Comparand for i32 {
    #[track_caller]
    fn beside(self, other: &Tensor) -> Tensor {
        if other.dtype().is_float() { (self as f32).beside(other) } else { Tensor::full([], self, other.device()) }
    }
}

/// # Arithmetic and comparisons
impl Tensor {
    /// The sum over what broadcasting to `self` repeated: back to `shape`.
    #[track_caller]
    pub(crate) fn sum_to(&self, shape: Shape) -> Tensor {
        self.sum_to_as(shape, self.dtype())
    }

    /// The same as a tensor of this type, unless there is nothing to sum.
    #[track_caller]
    pub(crate) fn sum_to_as(&self, shape: Shape, dtype: DType) -> Tensor {
        if self.shape() == shape {
            return self.clone();
        }
        let lead = self.rank() - shape.rank();
        let repeated = |d: &usize| *d < lead || shape[d - lead] == 1 && self.shape()[*d] != 1;
        let dims: Vec<isize> = (0..self.rank()).filter(repeated).map(|d| d as isize).collect();
        let summed =
            if dims.is_empty() { self.clone() } else { self.sum_as(&dims, super::reduce::KeepDims::Yes, dtype) };
        summed.reshape_to(shape)
    }

    /// A gradient for one of two: nothing where the other was taken, half where both were.
    fn shared(&self, lost: &Tensor, equal: &Tensor) -> Tensor {
        Tensor::where_(lost, &self.new_zeros([]), &self.mul(&equal.affine(-0.5, 1.0)))
    }

    /// `self + other`, broadcast. Here and in [`Tensor::sub`], [`Tensor::mul`], [`Tensor::maximum`] and [`Tensor::minimum`] whole
    /// numbers and truth values become floats beside floats, of their type. Two of them count as i32: that wraps around and has no
    /// gradient, and an i64 that is none is the nearest.
    #[track_caller]
    pub fn add(&self, other: &Tensor) -> Tensor {
        let [a, b] = [self, other].map(|x| (x.shape(), x.gradient_dtype()));
        arithmetic([&ADD, &integers::ADD], self, other).tracked("add", &[self, other], move |dy, needs| {
            let part = |(shape, dtype)| dy.sum_to_as(shape, dtype);
            vec![needs[0].then(|| part(a)), needs[1].then(|| part(b))]
        })
    }

    /// `self - other`, broadcast.
    #[track_caller]
    pub fn sub(&self, other: &Tensor) -> Tensor {
        let [a, b] = [self, other].map(|x| (x.shape(), x.gradient_dtype()));
        arithmetic([&SUB, &integers::SUB], self, other).tracked("sub", &[self, other], move |dy, needs| {
            vec![needs[0].then(|| dy.sum_to_as(a.0, a.1)), needs[1].then(|| dy.neg().sum_to_as(b.0, b.1))]
        })
    }

    /// `self * other` element by element, broadcast.
    #[track_caller]
    pub fn mul(&self, other: &Tensor) -> Tensor {
        let (a, b) = (self.saved(), other.saved());
        let [of_a, of_b] = [self, other].map(Tensor::gradient_dtype);
        arithmetic([&MUL, &integers::MUL], self, other).tracked("mul", &[self, other], move |dy, needs| {
            let part = |factor: &Tensor, to: &Tensor, dtype| dy.mul(factor).sum_to_as(to.shape(), dtype);
            vec![needs[0].then(|| part(&b, &a, of_a)), needs[1].then(|| part(&a, &b, of_b))]
        })
    }

    /// `self / other` element by element, broadcast; of whole numbers too it is f32, as in PyTorch ([`Tensor::floor_divide`]
    /// gives i32).
    #[track_caller]
    pub fn div(&self, other: &Tensor) -> Tensor {
        if !self.dtype().is_float() && !other.dtype().is_float() {
            return self.cast(DType::F32).div(&other.cast(DType::F32));
        }
        let (a, b) = (self.saved(), other.saved());
        floating(&DIV, self, other).tracked("div", &[self, other], move |dy, needs| {
            let da = dy.div(&b);
            let db = || da.mul(&a).div(&b).neg().sum_to(b.shape());
            vec![needs[0].then(|| da.sum_to(a.shape())), needs[1].then(db)]
        })
    }

    /// `self` to the power of `other` element by element, broadcast; NaN for a negative base unless the exponent is whole.
    #[track_caller]
    pub fn pow(&self, other: &Tensor) -> Tensor {
        if let Some([a, b]) = Tensor::beside_floats("pow", [self, other]) {
            return a.pow(&b);
        }
        if self.dtype().is_half() || other.dtype().is_half() {
            return Tensor::in_f32("pow", [self, other], |[x, y]| x.pow(y));
        }
        let y = floating(&POW, self, other);
        let (a, b, power) = (self.saved(), other.saved(), y.saved());
        y.tracked("pow", &[self, other], move |dy, needs| {
            let zero = Tensor::zeros([], a.device());
            let power = result_of(&power);
            // Nothing depends on the base where the exponent is 0, nor on an exponent from 0 up where the base is 0.
            let da = || {
                let slope = dy.mul(&b.mul(&a.pow(&b.affine(1.0, -1.0))));
                Tensor::where_(&b.eq(&zero), &zero, &slope).sum_to(a.shape())
            };
            let db = || {
                let still = a.eq(&zero).mul(&b.ge(&zero));
                dy.mul(&Tensor::where_(&still, &zero, &power.mul(&a.log()))).sum_to(b.shape())
            };
            vec![needs[0].then(da), needs[1].then(db)]
        })
    }

    /// `log(e^a + e^b)` without overflow, broadcast.
    #[track_caller]
    pub fn logaddexp(&self, other: &Tensor) -> Tensor {
        if let Some([a, b]) = Tensor::beside_floats("logaddexp", [self, other]) {
            return a.logaddexp(&b);
        }
        let (a, b) = (self.saved(), other.saved());
        floating(&LOGADDEXP, self, other).tracked("logaddexp", &[self, other], move |dy, needs| {
            let again = |all: &[Tensor]| all[0].logaddexp_by_primitives(&all[1]);
            if let Some(gradients) = composed(dy, needs, &[&a, &b], again) {
                return gradients;
            }
            let share = floating(&LOGADDEXP_SHARE, &a.detach(), &b.detach());
            vec![
                needs[0].then(|| dy.mul(&share).sum_to(a.shape())),
                needs[1].then(|| dy.mul(&share.affine(-1.0, 1.0)).sum_to(b.shape())),
            ]
        })
    }

    #[track_caller]
    fn logaddexp_by_primitives(&self, other: &Tensor) -> Tensor {
        let apart = self.sub(other).masked_fill(&self.eq(other), 0.0).abs();
        self.maximum(other).add(&apart.neg().exp().log1p())
    }

    /// The larger of the two element by element, broadcast; equal ones share the gradient. The other may be a number.
    #[track_caller]
    pub fn maximum(&self, other: impl Comparand) -> Tensor {
        let other = &other.beside(self);
        let (a, b) = (self.saved(), other.saved());
        arithmetic([&MAXIMUM, &integers::MAXIMUM], self, other).tracked("maximum", &[self, other], move |dy, needs| {
            let part = |x: &Tensor, other: &Tensor| dy.shared(&x.lt(other), &x.eq(other)).sum_to(x.shape());
            vec![needs[0].then(|| part(&a, &b)), needs[1].then(|| part(&b, &a))]
        })
    }

    /// The smaller of the two element by element, broadcast; equal ones share the gradient. The other may be a number.
    #[track_caller]
    pub fn minimum(&self, other: impl Comparand) -> Tensor {
        let other = &other.beside(self);
        let (a, b) = (self.saved(), other.saved());
        arithmetic([&MINIMUM, &integers::MINIMUM], self, other).tracked("minimum", &[self, other], move |dy, needs| {
            let part = |x: &Tensor, other: &Tensor| dy.shared(&x.gt(other), &x.eq(other)).sum_to(x.shape());
            vec![needs[0].then(|| part(&a, &b)), needs[1].then(|| part(&b, &a))]
        })
    }

    /// The next number of f32 on the way to `other`, broadcast, and that where they are equal. The gradient passes where they
    /// differ; that of `other` is 0.
    ///
    /// # Panics
    /// If the shapes do not broadcast, or one is not of f32.
    #[track_caller]
    pub fn nextafter(&self, other: &Tensor) -> Tensor {
        let types = [self.dtype(), other.dtype()];
        assert!(types == [DType::F32; 2], "nextafter: {} x {}: expected numbers of f32", types[0], types[1]);
        let (a, b) = (self.saved(), other.saved());
        run(&NEXT_AFTER, self, other, DType::F32).tracked("nextafter", &[self, other], move |dy, needs| {
            let passed = || Tensor::where_(&a.ne(&b), dy, &dy.new_full([], 0.0)).sum_to(a.shape());
            vec![needs[0].then(passed), needs[1].then(|| b.new_full(b.shape(), 0.0))]
        })
    }

    /// 1 where equal, else 0; broadcast. Here and in all comparisons, the other may be a number: `x.eq(0.5)`. Whole numbers are
    /// compared as i32, an i64 that is none as the nearest.
    #[track_caller]
    pub fn eq(&self, other: impl Comparand) -> Tensor {
        relation([&EQ, &integers::EQ], self, other)
    }

    /// 1 where different, else 0; broadcast.
    #[track_caller]
    pub fn ne(&self, other: impl Comparand) -> Tensor {
        relation([&NE, &integers::NE], self, other)
    }

    /// 1 where less, else 0; broadcast.
    #[track_caller]
    pub fn lt(&self, other: impl Comparand) -> Tensor {
        relation([&LT, &integers::LT], self, other)
    }

    /// 1 where less or equal, else 0; broadcast.
    #[track_caller]
    pub fn le(&self, other: impl Comparand) -> Tensor {
        relation([&LE, &integers::LE], self, other)
    }

    /// 1 where greater, else 0; broadcast.
    #[track_caller]
    pub fn gt(&self, other: impl Comparand) -> Tensor {
        relation([&GT, &integers::GT], self, other)
    }

    /// 1 where greater or equal, else 0; broadcast.
    #[track_caller]
    pub fn ge(&self, other: impl Comparand) -> Tensor {
        relation([&GE, &integers::GE], self, other)
    }

    /// 1 where equal to a number, else 0.
    #[track_caller]
    pub fn eq_scalar(&self, value: f32) -> Tensor {
        self.eq(value)
    }
}
