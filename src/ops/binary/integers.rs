//! Arithmetic of whole numbers, i32, which wraps around in 32 bits: `shaders/integers.wgsl`.
//!
//! The methods are those of floats ([`Tensor::add`], [`Tensor::floor_divide`], [`Tensor::sum_dims`] ..), which come here
//! where elements are i32.
//!
//! [`Tensor::add`]: crate::Tensor::add
//! [`Tensor::floor_divide`]: crate::Tensor::floor_divide
//! [`Tensor::sum_dims`]: crate::Tensor::sum_dims

use crate::kernel::elementwise::{self, BINARY};
use crate::kernel::strided::Strided;
use crate::kernel::{Constant, Dispatch, Kernel, Lowering, Pass, Shader, Tolerance, Variant, groups, shader};

static SHADER: Shader = shader!("integers", BINARY);

/// A pass of an expression in `a` and `b`, each a vec4 of i32.
fn pass(entry: &'static str, wgsl: &'static str, y: &'static str, p: &Strided) -> Lowering {
    let head = if y == "f32" {
        "f4(a: vec4<i32>, b: vec4<i32>) -> vec4<f32>"
    } else {
        "f4(a: vec4<i32>, b: vec4<i32>) -> vec4<i32>"
    };
    Pass::new(&SHADER, entry, groups(p.n as usize, 256))
        .constant(head, Constant::Function(wgsl))
        .constant("Y", Constant::Alias(y))
        .params(p)
        .alone()
}

fn quads(wgsl: &'static str, y: &'static str, d: &Dispatch) -> Lowering {
    let p: Strided = d.params();
    pass("integers_quads", wgsl, y, &p.quads(2).unwrap_or(p))
}

macro_rules! functions {
    ($($constant:ident: $name:literal, $y:ident, $value:expr, $wgsl:literal;)*) => {
        $(pub(in crate::ops) static $constant: Kernel = Kernel::new(
            $name,
            BINARY,
            |call| elementwise::definition::<i32, $y>(call, $value),
            |d| d.cost(elementwise::count(d) as u64),
        )
        .host(|call| elementwise::host::<i32, $y>(call, $value))
        .tolerance(Tolerance::EXACT)
        .variants(&[
            Variant::new("quads", |_, d| quads($wgsl, stringify!($y), d)).fits(elementwise::has_quads),
            Variant::new("strided", |_, d| pass("integers_strided", $wgsl, stringify!($y), &d.params())),
        ]);)*

        /// The kernels of this page.
        pub static KERNELS: &[&Kernel] = &[$(&$constant),*];
    };
}

functions! {
    ADD: "add_i32", i32, i32::wrapping_add, "a + b";
    SUB: "sub_i32", i32, i32::wrapping_sub, "a - b";
    MUL: "mul_i32", i32, i32::wrapping_mul, "a * b";
    MAXIMUM: "maximum_i32", i32, i32::max, "max(a, b)";
    MINIMUM: "minimum_i32", i32, i32::min, "min(a, b)";
    FLOOR_DIVIDE: "floor_divide_i32", i32, |a, b| if b == 0 { 0 } else { a.wrapping_div(b).wrapping_sub(i32::from(is_above(a, b))) },
        "quotient4(a, b) - vec4<i32>(is_above4(a, b))";
    TRUNC_DIVIDE: "trunc_divide_i32", i32, |a, b| if b == 0 { 0 } else { a.wrapping_div(b) }, "quotient4(a, b)";
    REMAINDER: "remainder_i32", i32, |a, b| if b == 0 { 0 } else { a.wrapping_rem(b) + if is_above(a, b) { b } else { 0 } },
        "rest4(a, b) + select(vec4<i32>(), b, is_above4(a, b))";
    FMOD: "fmod_i32", i32, |a, b| if b == 0 { 0 } else { a.wrapping_rem(b) }, "rest4(a, b)";
    EQ: "eq_i32", f32, |a, b| f32::from(a == b), "vec4<f32>(a == b)";
    NE: "ne_i32", f32, |a, b| f32::from(a != b), "vec4<f32>(a != b)";
    LT: "lt_i32", f32, |a, b| f32::from(a < b), "vec4<f32>(a < b)";
    LE: "le_i32", f32, |a, b| f32::from(a <= b), "vec4<f32>(a <= b)";
    GT: "gt_i32", f32, |a, b| f32::from(a > b), "vec4<f32>(a > b)";
    GE: "ge_i32", f32, |a, b| f32::from(a >= b), "vec4<f32>(a >= b)";
}

/// Whether the quotient towards 0 is above the one that is rounded down.
fn is_above(a: i32, b: i32) -> bool {
    let left = a.wrapping_rem(b);
    left != 0 && (left < 0) != (b < 0)
}
