//! Arithmetic of whole numbers, i32, which wraps around in 32 bits: `shaders/integers.wgsl`.
//!
//! The methods are those of floats ([`Tensor::add`], [`Tensor::floor_divide`], [`Tensor::sum_dims`] ..), which come here
//! where elements are i32.
//!
//! [`Tensor::add`]: crate::Tensor::add
//! [`Tensor::floor_divide`]: crate::Tensor::floor_divide
//! [`Tensor::sum_dims`]: crate::Tensor::sum_dims

use crate::kernel::strided::Strided;
use crate::kernel::{Access, Dispatch, Kernel, Pass, Shader, Tolerance, Variant, groups, shader};

static SHADER: Shader = shader!("integers", &[Access::Read, Access::Read, Access::Write]);

fn n(d: &Dispatch) -> usize {
    d.params::<Strided>().n as usize
}

macro_rules! functions {
    ($($constant:ident: $name:literal, $value:expr;)*) => {
        $(pub(in crate::ops) static $constant: Kernel =
            Kernel::new($name, SHADER.access, |call| super::definition::<i32, i32>(call, $value), |d| d.cost(n(d) as u64))
                .tolerance(Tolerance::EXACT)
                .variants(&[Variant::new("strided", |_, d| Pass::new(&SHADER, $name, groups(n(d), 256)).alone())]);)*

        /// The kernels of this page.
        pub static KERNELS: &[&Kernel] = &[$(&$constant),*];
    };
}

functions! {
    ADD: "add_i32", i32::wrapping_add;
    SUB: "sub_i32", i32::wrapping_sub;
    MUL: "mul_i32", i32::wrapping_mul;
    MAXIMUM: "maximum_i32", i32::max;
    MINIMUM: "minimum_i32", i32::min;
    FLOOR_DIVIDE: "floor_divide_i32", |a, b| if b == 0 { 0 } else { a.wrapping_div(b).wrapping_sub(i32::from(is_above(a, b))) };
    TRUNC_DIVIDE: "trunc_divide_i32", |a, b| if b == 0 { 0 } else { a.wrapping_div(b) };
    REMAINDER: "remainder_i32", |a, b| if b == 0 { 0 } else { a.wrapping_rem(b) + if is_above(a, b) { b } else { 0 } };
    FMOD: "fmod_i32", |a, b| if b == 0 { 0 } else { a.wrapping_rem(b) };
}

/// Whether the quotient towards 0 is above the one that is rounded down.
fn is_above(a: i32, b: i32) -> bool {
    let left = a.wrapping_rem(b);
    left != 0 && (left < 0) != (b < 0)
}
