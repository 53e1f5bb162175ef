//! Element-wise functions of one tensor: `shaders/unary.wgsl`, `shaders/unary_backward.wgsl`.
//!
//! A function is one row of the table below and its method: what it means in Rust, and the same in WGSL.

mod activations;
mod again;
mod host;
pub mod rounding;

use crate::autograd::{Op, is_differentiated, result_of};
use crate::kernel::functions::{self as fast, ANGLES, erf, exp, exp_m1, held, ln, normal, normal_cdf, relu, tanh};
use crate::kernel::{
    Access, Constant, Cost, Dispatch, Kernel, Lowering, Pass, Shader, Uniform, Variant, groups, shader,
};
use crate::tensor::Tensor;
use bytemuck::{Pod, Zeroable};
use host::{backward, backward_below, forward, forward_below, pass, slope};
use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, PI};

static FORWARD: Shader = shader!("unary", ["circle", "power", "exponents", "halves"], &[Access::Read, Access::Write]);

static BACKWARD: Shader = shader!(
    "unary_backward",
    ["circle", "power", "hyperbolic", "halves"],
    &[Access::Read, Access::Read, Access::Write]
);

/// Elements, and the function's own arguments.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Uniform)]
pub(super) struct UnaryParams {
    n: u32,
    pub a: f32,
    pub b: f32,
}

fn cost(d: &Dispatch) -> Cost {
    d.cost(u64::from(d.params::<UnaryParams>().n))
}

/// y = f(x), an expression in `x`.
fn flat(shader: &'static Shader, wgsl: &'static str, d: &Dispatch) -> Lowering {
    pass_of(shader, d).constant("f4(x: vec4<f32>) -> vec4<f32>", Constant::Function(wgsl)).elements(&["X", "Y"]).alone()
}

/// dx from an expression in `dy` and what was saved.
fn flat_backward(shader: &'static Shader, head: &'static str, wgsl: &'static str, d: &Dispatch) -> Lowering {
    pass_of(shader, d).constant(head, Constant::Function(wgsl)).elements(&["X", "DY", "DX"]).alone()
}

fn pass_of(shader: &'static Shader, d: &Dispatch) -> Pass {
    Pass::new(shader, shader.name, groups(d.params::<UnaryParams>().n as usize, 4 * 256))
}

/// The tensor that the gradient of a function needs.
enum Saves {
    X,
    Y,
}

/// A row of the table.
pub(crate) struct Function {
    name: &'static str,
    pub forward: Kernel,
    pub backward: Kernel,
    saves: Saves,
    /// The gradient in operations, to be differentiated again: from what was saved, the arguments and the one from above.
    again: fn(&Tensor, UnaryParams, &Tensor) -> Tensor,
    /// The part of a gradient that passes the function, from what was saved; for functions without arguments of their own.
    pub slope: fn(f32, f32) -> f32,
    /// The same of many, on the host.
    pub pass: fn(&mut [f32], &[f32]),
}

/// [`pass`] by the function that the host runs: the faster form where there is one.
macro_rules! passed {
    ($dy:ident, $saved:ident, $definition:expr) => {
        pass($dy, $saved, $definition)
    };
    ($dy:ident, $saved:ident, $definition:expr, $fast:expr) => {
        pass(
            $dy,
            $saved,
            #[inline(always)]
            $fast,
        )
    };
}

/// The head of a gradient's function.
macro_rules! head {
    (X) => {
        "f4(x: vec4<f32>, dy: vec4<f32>) -> vec4<f32>"
    };
    (Y) => {
        "f4(y: vec4<f32>, dy: vec4<f32>) -> vec4<f32>"
    };
}

macro_rules! functions {
    ($($constant:ident: $name:literal, $value:expr, $wgsl:literal,
        saves $saves:ident, $gradient:expr, $wgsl_gradient:literal,
        again $again:expr $(, host $fast:expr $(, $fast_gradient:expr)?)?
        $(, below $bound:expr, $near:expr, $near_gradient:expr)?;)*) => {
        $(pub(crate) static $constant: Function = Function {
            name: $name,
            saves: Saves::$saves,
            again: $again,
            slope: |dy, saved| slope(dy, saved, $gradient),
            pass: |dy, saved| passed!(dy, saved, $gradient $($(, $fast_gradient)?)?),
            forward: Kernel::new($name, FORWARD.access, |call| forward(call, $value), cost)
                $(.host(|call| forward(call, #[inline(always)] $fast)))?
                $(.host(|call| forward_below(call, $bound, $near, $value)))?
                .variants(&[Variant::new("flat", |_, d| flat(&FORWARD, $wgsl, d))]),
            backward: Kernel::new(concat!($name, "_backward"), BACKWARD.access, |call| backward(call, $gradient), cost)
                $($(.host(|call| backward(call, #[inline(always)] $fast_gradient)))?)?
                $(.host(|call| backward_below(call, $bound, #[inline(always)] $near_gradient, $gradient)))?
                .proportional_to(&[1])
                .variants(&[Variant::new("flat", |_, d| flat_backward(&BACKWARD, head!($saves), $wgsl_gradient, d))]),
        };)*

        /// The kernels of this page's table.
        pub static TABLE: &[&Kernel] = &[$(&$constant.forward, &$constant.backward),*];
    };
}

pub mod functions;

// Each row: the value at x, what is saved, and the gradient from what was saved and the one from above, each in Rust and in
// WGSL, and that gradient again in operations. As in PyTorch, where a function is flat nothing of an infinite gradient passes, and at the kinks the slope is the one
// that is written here.
functions! {
    EXP: "exp", |x, _| x.exp(), "exp4(x)",
        saves Y, |y, _, dy| dy * y, "dy * y",
        again |y, _, dy| dy.mul(y),
        host |x, _| exp(x);
    LOG: "log", |x, _| x.ln(), "log4(x)",
        saves X, |x, _, dy| dy / x, "dy / x",
        again |x, _, dy| dy.div(x),
        host |x, _| ln(x);
    SQRT: "sqrt", |x, _| x.sqrt(), "sqrt(x)",
        saves Y, |y, _, dy| dy * 0.5 / y, "dy * 0.5 / y",
        again |y, _, dy| dy.div(y).affine(0.5, 0.0);
    RSQRT: "rsqrt", |x, _| 1.0 / x.sqrt(), "inverseSqrt(x)",
        saves Y, |y, _, dy| dy * (-0.5 * y * y * y), "dy * -0.5 * y * y * y",
        again |y, _, dy| dy.mul(&y.square().mul(y)).affine(-0.5, 0.0);
    RECIPROCAL: "reciprocal", |x, _| 1.0 / x, "1.0 / x",
        saves Y, |y, _, dy| dy * (-y * y), "dy * -y * y",
        again |y, _, dy| dy.mul(&y.square()).neg();
    ABS: "abs", |x, _| x.abs(), "abs(x)",
        saves X, |x, _, dy| dy * sign(x), "dy * slope_of_abs4(x)",
        again |x, _, dy| dy.mul(&x.sign());
    SIN: "sin", |x, _| x.sin(), "sin4(x)",
        saves X, |x, _, dy| dy * x.cos(), "dy * cos4(x)",
        again |x, _, dy| dy.mul(&x.cos()),
        below ANGLES, fast::sin, |x, dy| dy * fast::cos(x);
    COS: "cos", |x, _| x.cos(), "cos4(x)",
        saves X, |x, _, dy| dy * -x.sin(), "dy * -sin4(x)",
        again |x, _, dy| dy.mul(&x.sin()).neg(),
        below ANGLES, fast::cos, |x, dy| -dy * fast::sin(x);
    TANH: "tanh", |x, _| x.tanh(), "tanh4(x)",
        saves Y, |y, _, dy| dy * (1.0 - y * y), "dy * tanh_slope4(y)",
        again |y, _, dy| dy.mul(&y.square().affine(-1.0, 1.0)),
        host |x, _| tanh(x);
    SIGMOID: "sigmoid", |x, _| sigmoid(x), "sigmoid4(x)",
        saves Y, |y, _, dy| dy * (y * (1.0 - y)), "dy * sigmoid_slope4(y)",
        again |y, _, dy| dy.mul(&y.mul(&y.affine(-1.0, 1.0))),
        host |x, _| fast::sigmoid(x);
    RELU: "relu", |x, _| relu(x), "relu4(x)",
        saves Y, |y, _, dy| if y <= 0.0 { 0.0 } else { dy }, "past_relu4(dy, y)",
        again |y, _, dy| dy.masked_fill(&y.le(0.0), 0.0);
    LEAKY_RELU: "leaky_relu", |x, p| if x > 0.0 { x } else { p.a * x }, "select(p.a * x, x, x > vec4<f32>())",
        saves X, |x, p, dy| if x > 0.0 { dy } else { dy * p.a }, "dy * select(vec4<f32>(p.a), vec4<f32>(1.0), x > vec4<f32>())",
        again |x, p, dy| Tensor::where_(&x.gt(0.0), dy, &dy.affine(p.a, 0.0));
    ELU: "elu", |x, p| if x > 0.0 { x } else { p.a * x.exp_m1() }, "select(p.a * expm1_4(x), x, x > vec4<f32>())",
        saves X, |x, p, dy| if x > 0.0 { dy } else { dy * (p.a * x.exp()) }, "dy * select(p.a * exp_seen4(x), vec4<f32>(1.0), x > vec4<f32>())",
        again |x, p, dy| Tensor::where_(&x.gt(0.0), dy, &dy.mul(&again::below(x).exp()).affine(p.a, 0.0)),
        host |x, p| if x > 0.0 { x } else { p.a * exp_m1(x) }, |x, p, dy| if x > 0.0 { dy } else { dy * (p.a * exp(x)) };
    GELU: "gelu", |x, _| gelu(x)[0], "x * normal_cdf4(x)",
        saves X, |x, _, dy| dy * gelu(x)[1], "dy * gelu_slope4(x)",
        again |x, _, dy| dy.mul(&x.affine(FRAC_1_SQRT_2 as f32, 0.0).erf().affine(0.5, 0.5).add(&x.mul(&again::density(x)))),
        host |x, _| x * normal_cdf(x), |x, _, dy| dy * gelu_slope(x);
    GELU_TANH: "gelu_tanh", |x, _| gelu_tanh(x)[0], "0.5 * x * (1.0 + tanh4(gelu_inner(x)))",
        saves X, |x, _, dy| dy * gelu_tanh(x)[1], "dy * gelu_tanh_slope4(x)",
        again |x, _, dy| dy.mul(&again::gelu_tanh_slope(x)),
        host |x, _| x * gelu_tanh_share(x), |x, _, dy| dy * gelu_tanh_slope(x);
    SILU: "silu", |x, _| x * sigmoid(x), "x * sigmoid4(x)",
        saves X, |x, _, dy| dy * (sigmoid(x) * (1.0 + x * (1.0 - sigmoid(x)))), "dy * silu_slope4(x)",
        again |x, _, dy| dy.mul(&x.sigmoid().mul(&x.mul(&x.neg().sigmoid()).affine(1.0, 1.0))),
        host |x, _| x * fast::sigmoid(x), |x, _, dy| dy * silu_slope(x);
    SOFTPLUS: "softplus", |x, _| softplus(x), "softplus4(x)",
        saves X, |x, _, dy| dy * sigmoid(x), "dy * sigmoid4(x)",
        again |x, _, dy| dy.mul(&x.sigmoid()),
        host |x, _| fast::softplus(x), |x, _, dy| dy * fast::sigmoid(x);
    SQUARE: "square", |x, _| x * x, "x * x",
        saves X, |x, _, dy| dy * (2.0 * x), "dy * 2.0 * x",
        again |x, _, dy| dy.mul(x).affine(2.0, 0.0);
    CLAMP: "clamp", |x, p| if p.a.is_nan() || p.b.is_nan() { f32::NAN } else { held(x, p.a, p.b) }, "clamp4(x)",
        saves X, inside, "unless4(outside4(x), dy)",
        again again::within;
    ERF: "erf", |x, _| libm::erf(x.into()) as f32, "erf4(x)",
        saves X, |x, _, dy| dy * (FRAC_2_SQRT_PI * (-f64::from(x) * f64::from(x)).exp()) as f32, "dy * 1.1283792 * exp_seen4(-x * x)",
        again |x, _, dy| dy.mul(&x.square().neg().exp()).affine(FRAC_2_SQRT_PI as f32, 0.0),
        host |x, _| erf(x), |x, _, dy| dy * (FRAC_2_SQRT_PI as f32 * exp(-x * x));
    HARDTANH: "hardtanh", |x, p| held(x, p.a, p.b), "clamp4(x)",
        saves Y, inside, "unless4(outside4(y), dy)",
        again again::within;
    HARDSWISH: "hardswish", |x, _| x * held(x / 6.0 + 0.5, 0.0, 1.0), "x * hardsigmoid4(x)",
        saves X, |x, _, dy| if x <= -3.0 { 0.0 } else if x >= 3.0 { dy } else { dy * (x / 3.0 + 0.5) }, "hardswish_gradient4(x, dy)",
        again |x, _, dy| Tensor::where_(&x.ge(3.0), dy, &dy.mul(&x.affine(1.0 / 3.0, 0.5))).masked_fill(&x.le(-3.0), 0.0);
    HARDSIGMOID: "hardsigmoid", |x, _| held(x / 6.0 + 0.5, 0.0, 1.0), "hardsigmoid4(x)",
        saves X, |x, _, dy| if x.abs() < 3.0 { dy / 6.0 } else { 0.0 }, "unless4(is_nan4(x) | (abs(x) >= vec4<f32>(3.0)), dy / 6.0)",
        again |x, _, dy| dy.affine(1.0 / 6.0, 0.0).masked_fill(&x.abs().ge(3.0), 0.0);
    SOFTSIGN: "softsign", |x, _| x / (1.0 + x.abs()), "x / (1.0 + abs(x))",
        saves X, |x, _, dy| dy * softsign_slope(x), "softsign_gradient4(x, dy)",
        again |x, _, dy| dy.div(&x.abs().affine(1.0, 1.0).square());
    MISH: "mish", |x, _| x * softplus(x).tanh(), "x * tanh4(softplus4(x))",
        saves X, |x, _, dy| dy * mish_slope(x), "dy * mish_slope4(x)",
        again |x, _, dy| dy.mul(&again::mish_slope(x)),
        host |x, _| x * tanh(fast::softplus(x)), |x, _, dy| dy * fast_mish_slope(x);
    SELU: "selu", |x, _| SCALE * if x > 0.0 { x } else { ALPHA * x.exp_m1() }, "1.050701 * select(1.6732632 * expm1_4(x), x, x > vec4<f32>())",
        saves X, |x, _, dy| dy * (SCALE * if x > 0.0 { 1.0 } else { ALPHA * x.exp() }), "dy * 1.050701 * select(1.6732632 * exp_seen4(x), vec4<f32>(1.0), x > vec4<f32>())",
        again |x, _, dy| Tensor::where_(&x.gt(0.0), dy, &dy.mul(&again::below(x).exp()).affine(ALPHA, 0.0)).affine(SCALE, 0.0),
        host |x, _| SCALE * if x > 0.0 { x } else { ALPHA * exp_m1(x) }, |x, _, dy| dy * (SCALE * if x > 0.0 { 1.0 } else { ALPHA * exp(x) });
    CELU: "celu", |x, p| if x > 0.0 { x } else { p.a * (x / p.a).exp_m1() }, "select(p.a * expm1_4(x / p.a), x, x > vec4<f32>())",
        saves X, |x, p, dy| if x > 0.0 { dy } else { dy * (x / p.a).exp() }, "dy * select(exp_seen4(x / p.a), vec4<f32>(1.0), x > vec4<f32>())",
        again |x, p, dy| Tensor::where_(&x.gt(0.0), dy, &dy.mul(&again::below(x).affine(1.0 / p.a, 0.0).exp())),
        host |x, p| if x > 0.0 { x } else { p.a * exp_m1(x / p.a) }, |x, p, dy| if x > 0.0 { dy } else { dy * exp(x / p.a) };
    LOGSIGMOID: "logsigmoid", |x, _| -softplus(-x), "-softplus4(-x)",
        saves X, |x, _, dy| dy * sigmoid(-x), "dy * sigmoid4(-x)",
        again |x, _, dy| dy.mul(&x.neg().sigmoid()),
        host |x, _| -fast::softplus(-x), |x, _, dy| dy * fast::sigmoid(-x);
    THRESHOLD: "threshold", |x, p| if x <= p.a { p.b } else { x }, "threshold4(x)",
        saves X, |x, p, dy| if x <= p.a { 0.0 } else { dy }, "unless4(x <= vec4<f32>(p.a), dy)",
        again |x, p, dy| dy.masked_fill(&x.le(p.a), 0.0);
    HARDSHRINK: "hardshrink", |x, p| if x.abs() <= p.a { 0.0 } else { x }, "hardshrink4(x)",
        saves X, |x, p, dy| if x.abs() <= p.a { 0.0 } else { dy }, "unless4(abs(x) <= vec4<f32>(p.a), dy)",
        again |x, p, dy| dy.masked_fill(&x.abs().le(p.a), 0.0);
    SOFTSHRINK: "softshrink", |x, p| if x.abs() <= p.a { 0.0 } else if x < 0.0 { x + p.a } else { x - p.a }, "softshrink4(x)",
        saves X, |x, p, dy| if x.abs() <= p.a { 0.0 } else { dy }, "unless4(abs(x) <= vec4<f32>(p.a), dy)",
        again |x, p, dy| dy.masked_fill(&x.abs().le(p.a), 0.0);
    POW_SCALAR: "pow_scalar", |x, p| power(x, p.a), "power_of4(x, p.a)",
        saves X, |x, p, dy| if p.a == 0.0 { 0.0 } else { dy * (p.a * power(x, p.a - 1.0)) }, "power_gradient4(x, dy)",
        again |x, p, dy| if p.a == 0.0 { dy.zeros_like() } else { dy.mul(&x.pow_scalar(p.a - 1.0)).affine(p.a, 0.0) };
}

/// The kernels of this page that are in no table.
pub static KERNELS: &[&Kernel] = &[&AFFINE];

/// y = a x + b: negation, and arithmetic with a number.
static AFFINE: Kernel = Kernel::new("affine", FORWARD.access, |call| forward(call, |x, p| p.a * x + p.b), cost)
    .variants(&[Variant::new("flat", |_, d| flat(&FORWARD, "p.a * x + p.b", d))]);

/// A root where the exponent is one half, as in PyTorch: it is NaN of -infinity, and of -0 it has a sign.
fn power(x: f32, exponent: f32) -> f32 {
    match exponent {
        0.5 => x.sqrt(),
        -0.5 => 1.0 / x.sqrt(),
        _ => x.powf(exponent),
    }
}

/// The slope of `x / (1 + |x|)`, which is NaN of infinity.
fn softsign_slope(x: f32) -> f32 {
    let size = 1.0 + x.abs();
    if x.is_infinite() { f32::NAN } else { 1.0 / (size * size) }
}

/// 1, -1, or 0 of 0 and of NaN.
fn sign(x: f32) -> f32 {
    if x == 0.0 || x.is_nan() { 0.0 } else { x.signum() }
}

/// The gradient between two bounds, without the bounds themselves; an infinite one is none. Of NaN nothing passes.
fn inside(x: f32, p: UnaryParams, dy: f32) -> f32 {
    let is_out = x.is_nan() || x <= p.a && p.a > f32::NEG_INFINITY || x >= p.b && p.b < f32::INFINITY;
    if is_out { 0.0 } else { dy }
}

pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

pub(crate) fn softplus(x: f32) -> f32 {
    relu(x) + (-x.abs()).exp().ln_1p()
}

fn mish_slope(x: f32) -> f32 {
    let t = softplus(x).tanh();
    t + x * sigmoid(x) * (1.0 - t * t)
}

/// The two numbers of the scaled exponential unit, which keep mean 0 and variance 1.
const ALPHA: f32 = 1.673_263_2;
const SCALE: f32 = 1.050_701;

/// x Phi(x) and its slope, Phi the distribution function of the normal distribution.
fn gelu(x: f32) -> [f32; 2] {
    let x = f64::from(x);
    let phi = 0.5 * libm::erfc(-x * FRAC_1_SQRT_2);
    let density = (-0.5 * x * x).exp() / (2.0 * PI).sqrt();
    [x * phi, phi + x * density].map(|y| y as f32)
}

/// x (1 + tanh(u)) / 2 and its slope, with u = sqrt(2 / pi) (x + 0.044715 x^3). The square is one of f32, as PyTorch's: where
/// it is infinite the slope is NaN.
fn gelu_tanh(x: f32) -> [f32; 2] {
    let (x, square) = (f64::from(x), f64::from(x * x));
    let curve = (2.0 / PI).sqrt();
    let t = (curve * (x + 0.044715 * x * square)).tanh();
    let slope = curve * (1.0 + 3.0 * 0.044715 * square);
    [0.5 * x * (1.0 + t), 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * slope].map(|y| y as f32)
}

#[inline(always)]
fn silu_slope(x: f32) -> f32 {
    let share = fast::sigmoid(x);
    share * (1.0 + x * (1.0 - share))
}

#[inline(always)]
fn fast_mish_slope(x: f32) -> f32 {
    let t = tanh(fast::softplus(x));
    t + x * fast::sigmoid(x) * (1.0 - t * t)
}

#[inline(always)]
fn gelu_slope(x: f32) -> f32 {
    let [share, bell] = normal(x);
    // The density is 1 / sqrt(2 pi) of the bell.
    share + x * 0.398_942_3 * bell
}

/// sqrt(2 / pi) and the weight of the cube.
const GELU_CURVE: [f32; 2] = [0.797_884_6, 0.044_715];

/// (1 + tanh(u)) / 2 as 1 / (1 + e^(-2 u)), u the argument of the approximate GELU.
#[inline(always)]
fn gelu_tanh_share(x: f32) -> f32 {
    1.0 / (1.0 + exp(-2.0 * GELU_CURVE[0] * (x + GELU_CURVE[1] * x * x * x)))
}

#[inline(always)]
fn gelu_tanh_slope(x: f32) -> f32 {
    let share = gelu_tanh_share(x);
    share + 2.0 * x * share * (1.0 - share) * GELU_CURVE[0] * (1.0 + 3.0 * GELU_CURVE[1] * x * x)
}

/// PyTorch's names of a function's numbers.
fn numbers(function: &str) -> &'static [&'static str] {
    match function {
        "leaky_relu" => &["negative_slope"],
        "elu" | "celu" => &["alpha"],
        "clamp" => &["min", "max"],
        "hardtanh" => &["min_val", "max_val"],
        "threshold" => &["threshold", "value"],
        "hardshrink" | "softshrink" => &["lambd"],
        "pow_scalar" => &["exponent"],
        _ => &[],
    }
}

/// # Functions of each element
impl Tensor {
    /// [`Tensor::dense`] floats.
    #[track_caller]
    pub(super) fn packed(&self, op: &str) -> Tensor {
        assert!(self.dtype().is_float(), "{op}: expected a tensor of floats, got {}: cast it first", self.dtype());
        self.dense()
    }

    #[track_caller]
    fn function(&self, function: &'static Function, a: f32, b: f32) -> Tensor {
        let x = self.packed(function.name);
        let params = UnaryParams { n: x.numel() as u32, a, b };
        let y = Tensor::empty_like(x.layout(), x.result_dtype(function.name), x.device());
        Tensor::run(&function.forward, &[&x, &y], &params);
        let saved = match function.saves {
            Saves::X => x.saved(),
            Saves::Y => y.saved(),
        };
        let op = || {
            numbers(function.name)
                .iter()
                .zip([a, b])
                .fold(Op::new(function.name), |op, (name, value)| op.with(name, value))
        };
        y.tracked(op, &[&x], move |dy, _| {
            if is_differentiated() {
                let saved = if matches!(function.saves, Saves::Y) { result_of(&saved) } else { saved.clone() };
                return vec![Some((function.again)(&saved, params, dy))];
            }
            let dy = dy.in_layout_of(&saved);
            let dx = saved.new_like();
            Tensor::run(&function.backward, &[&saved, &dy, &dx], &params);
            vec![Some(dx)]
        })
    }

    /// `scale * x + shift`.
    #[track_caller]
    pub fn affine(&self, scale: f32, shift: f32) -> Tensor {
        let x = self.packed("affine");
        let y = x.new_like();
        Tensor::run(&AFFINE, &[&x, &y], &UnaryParams { n: x.numel() as u32, a: scale, b: shift });
        y.tracked(
            || Op::new("affine").with("scale", scale).with("shift", shift),
            &[&x],
            move |dy, _| vec![Some(if scale == 1.0 { dy.clone() } else { dy.affine(scale, 0.0) })],
        )
    }

    /// `-x`; of whole numbers i32, which wraps around.
    #[track_caller]
    pub fn neg(&self) -> Tensor {
        match self.dtype().is_float() {
            true => self.affine(-1.0, 0.0),
            false => Tensor::full([], 0i32, self.device()).sub(self),
        }
    }

    /// e to the power of x.
    #[track_caller]
    pub fn exp(&self) -> Tensor {
        self.function(&EXP, 0.0, 0.0)
    }

    /// The natural logarithm.
    #[track_caller]
    pub fn log(&self) -> Tensor {
        self.function(&LOG, 0.0, 0.0)
    }

    /// The square root.
    #[track_caller]
    pub fn sqrt(&self) -> Tensor {
        self.function(&SQRT, 0.0, 0.0)
    }

    /// `1 / sqrt(x)`.
    #[track_caller]
    pub fn rsqrt(&self) -> Tensor {
        self.function(&RSQRT, 0.0, 0.0)
    }

    /// `1 / x`.
    #[track_caller]
    pub fn reciprocal(&self) -> Tensor {
        self.function(&RECIPROCAL, 0.0, 0.0)
    }

    /// The absolute value; its gradient at 0 is 0. Of whole numbers it is i32.
    #[track_caller]
    pub fn abs(&self) -> Tensor {
        match self.dtype().is_float() {
            true => self.function(&ABS, 0.0, 0.0),
            false => self.maximum(self.neg()),
        }
    }

    /// The sine.
    #[track_caller]
    pub fn sin(&self) -> Tensor {
        self.function(&SIN, 0.0, 0.0)
    }

    /// The cosine.
    #[track_caller]
    pub fn cos(&self) -> Tensor {
        self.function(&COS, 0.0, 0.0)
    }

    /// The hyperbolic tangent.
    #[track_caller]
    pub fn tanh(&self) -> Tensor {
        self.function(&TANH, 0.0, 0.0)
    }

    /// `1 / (1 + e^-x)`.
    #[doc(alias = "expit")]
    #[track_caller]
    pub fn sigmoid(&self) -> Tensor {
        self.function(&SIGMOID, 0.0, 0.0)
    }

    /// `max(x, 0)`; its gradient at 0 is 0.
    #[track_caller]
    pub fn relu(&self) -> Tensor {
        self.function(&RELU, 0.0, 0.0)
    }

    /// `x` where positive, else `slope * x` (PyTorch's default slope is 0.01).
    #[track_caller]
    pub fn leaky_relu(&self, slope: f32) -> Tensor {
        self.function(&LEAKY_RELU, slope, 0.0)
    }

    /// `x` where positive, else `alpha * (e^x - 1)` (PyTorch's default alpha is 1).
    #[track_caller]
    pub fn elu(&self, alpha: f32) -> Tensor {
        self.function(&ELU, alpha, 0.0)
    }

    /// `x * Phi(x)` with the distribution function of the normal distribution (Hendrycks and Gimpel, 2016).
    #[track_caller]
    pub fn gelu(&self) -> Tensor {
        self.function(&GELU, 0.0, 0.0)
    }

    /// The approximation of [`Tensor::gelu`] by tanh.
    #[track_caller]
    pub fn gelu_tanh(&self) -> Tensor {
        self.function(&GELU_TANH, 0.0, 0.0)
    }

    /// `x * sigmoid(x)`.
    #[doc(alias = "swish")]
    #[track_caller]
    pub fn silu(&self) -> Tensor {
        self.function(&SILU, 0.0, 0.0)
    }

    /// `log(1 + e^x)`.
    #[track_caller]
    pub fn softplus(&self) -> Tensor {
        self.function(&SOFTPLUS, 0.0, 0.0)
    }

    /// `x * x`.
    #[track_caller]
    pub fn square(&self) -> Tensor {
        self.function(&SQUARE, 0.0, 0.0)
    }

    /// `x` held above `min` and then below `max`; the gradient is 0 at the bounds and outside. An infinite bound is none. Of
    /// whole numbers it is i32, and so are the bounds.
    #[doc(alias = "clip")]
    #[track_caller]
    pub fn clamp(&self, min: f32, max: f32) -> Tensor {
        match self.dtype().is_float() {
            true => self.function(&CLAMP, min, max),
            false => self.integers().clamped(min, max),
        }
    }

    /// The error function.
    #[track_caller]
    pub fn erf(&self) -> Tensor {
        self.function(&ERF, 0.0, 0.0)
    }

    /// `x` to the power of a number; NaN for a negative `x` unless the exponent is whole. To the power of 0 all is 1, and the
    /// gradient 0.
    #[doc(alias = "powf")]
    #[track_caller]
    pub fn pow_scalar(&self, exponent: f32) -> Tensor {
        if exponent == 2.0 { self.square() } else { self.function(&POW_SCALAR, exponent, 0.0) }
    }
}
