//! Arithmetic of whole numbers, i32, which wraps around in 32 bits: `shaders/integers.wgsl`.
//!
//! The methods are those of floats ([`Tensor::add`], [`Tensor::floor_divide`], [`Tensor::sum_dims`] ..), which come here
//! where elements are i32.
//!
//! [`Tensor::add`]: crate::Tensor::add
//! [`Tensor::floor_divide`]: crate::Tensor::floor_divide
//! [`Tensor::sum_dims`]: crate::Tensor::sum_dims

use crate::dtype::DType;
use crate::kernel::elementwise::{self, BINARY};
use crate::kernel::strided::Strided;
use crate::kernel::{Constant, Dispatch, Kernel, Lowering, Pass, Shader, Tolerance, Variant, groups, shader};
use crate::tensor::Tensor;

static SHADER: Shader = shader!("integers", BINARY);

/// A pass of an expression in `a` and `b`, each a vec4 of i32.
fn pass(entry: &'static str, wgsl: &'static str, y: &'static str, p: &Strided, is_one: [bool; 2]) -> Pass {
    let head = if y == "f32" {
        "f4(a: vec4<i32>, b: vec4<i32>) -> vec4<f32>"
    } else {
        "f4(a: vec4<i32>, b: vec4<i32>) -> vec4<i32>"
    };
    Pass::new(&SHADER, entry, groups(p.n as usize, 256))
        .constant(head, Constant::Function(wgsl))
        .constant("Y", Constant::Alias(y))
        .constant("four_a(at: u32) -> vec4<i32>", elementwise::by_fours(is_one[0], ["a4[at]", "vec4<i32>(a[at])"]))
        .constant("four_b(at: u32) -> vec4<i32>", elementwise::by_fours(is_one[1], ["b4[at]", "vec4<i32>(b[at])"]))
        .params(p)
}

fn quads(wgsl: &'static str, y: &'static str, d: &Dispatch) -> Lowering {
    let (p, is_one) = elementwise::spread::<2>(d);
    pass("integers_quads", wgsl, y, &p, is_one).alone()
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
            Variant::new("strided", |_, d| {
                pass("integers_strided", $wgsl, stringify!($y), &d.params(), [false; 2]).alone()
            }),
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
    AND: "bitwise_and_i32", i32, |a, b| a & b, "a & b";
    OR: "bitwise_or_i32", i32, |a, b| a | b, "a | b";
    XOR: "bitwise_xor_i32", i32, |a, b| a ^ b, "a ^ b";
    LEFT: "left_shift_i32", i32, |a: i32, b| u32::try_from(b).ok().and_then(|b| a.checked_shl(b)).unwrap_or(0), "left4(a, b)";
    RIGHT: "right_shift_i32", i32, |a: i32, b| a >> if (0..32).contains(&b) { b } else { 31 }, "right4(a, b)";
    GCD: "gcd_i32", i32, gcd, "gcd4(a, b)";
    EQ: "eq_i32", f32, |a, b| f32::from(a == b), "vec4<f32>(a == b)";
    NE: "ne_i32", f32, |a, b| f32::from(a != b), "vec4<f32>(a != b)";
    LT: "lt_i32", f32, |a, b| f32::from(a < b), "vec4<f32>(a < b)";
    LE: "le_i32", f32, |a, b| f32::from(a <= b), "vec4<f32>(a <= b)";
    GT: "gt_i32", f32, |a, b| f32::from(a > b), "vec4<f32>(a > b)";
    GE: "ge_i32", f32, |a, b| f32::from(a >= b), "vec4<f32>(a >= b)";
}

/// By Euclid's rule; of 0 and 0 it is 0.
fn gcd(a: i32, b: i32) -> i32 {
    let [mut a, mut b] = [a.wrapping_abs(), b.wrapping_abs()];
    while b != 0 {
        (a, b) = (b, a.wrapping_rem(b));
    }
    a
}

/// Of two tensors of truth values these, else i32.
#[track_caller]
fn bits(op: &str, kernel: &'static Kernel, a: &Tensor, b: &Tensor) -> Tensor {
    let types = [a.dtype(), b.dtype()];
    let fits = !types.iter().any(|dtype| dtype.is_float());
    assert!(fits, "{op}: {} x {}: expected whole numbers or truth values", types[0], types[1]);
    let y = super::run(kernel, &a.integers(), &b.integers(), DType::I32);
    if types == [DType::Bool; 2] { y.cast(DType::Bool) } else { y }
}

/// # Bits and divisors of whole numbers
impl Tensor {
    /// i32 held between bounds.
    #[track_caller]
    pub(in crate::ops) fn clamped(&self, min: f32, max: f32) -> Tensor {
        let is_whole = |end: f32| end.is_infinite() || end.fract() == 0.0;
        let fits = is_whole(min) && is_whole(max);
        assert!(
            fits,
            "clamp: {min}..{max} for whole numbers: expected whole bounds, or cast the tensor to floats first"
        );
        // An infinite bound is the end of the type.
        let end = |end: f32| Tensor::scalar(end as i32, self.device());
        self.maximum(end(min)).minimum(end(max))
    }

    /// The bits that both have, broadcast. Here and in [`Tensor::bitwise_or`], [`Tensor::bitwise_xor`] and [`Tensor::bitwise_not`]
    /// the result is i32, and of truth values these.
    ///
    /// ```
    /// let device = wgrad::Device::cpu();
    /// let [a, b] = [12, 10].map(|value| wgrad::Tensor::scalar(value, &device));
    /// let y = [a.bitwise_and(&b), a.bitwise_or(&b), a.bitwise_xor(&b)].map(|y| y.to_vec::<i32>().unwrap()[0]);
    /// assert_eq!(y, [8, 14, 6]);
    /// ```
    ///
    /// # Panics
    /// If the shapes do not broadcast, or one is of floats.
    #[track_caller]
    pub fn bitwise_and(&self, other: &Tensor) -> Tensor {
        bits("bitwise_and", &AND, self, other)
    }

    /// The bits that one of them has or both, broadcast.
    ///
    /// # Panics
    /// As [`Tensor::bitwise_and`].
    #[track_caller]
    pub fn bitwise_or(&self, other: &Tensor) -> Tensor {
        bits("bitwise_or", &OR, self, other)
    }

    /// The bits that one of them has, broadcast.
    ///
    /// # Panics
    /// As [`Tensor::bitwise_and`].
    #[track_caller]
    pub fn bitwise_xor(&self, other: &Tensor) -> Tensor {
        bits("bitwise_xor", &XOR, self, other)
    }

    /// The bits that it does not have: `-1 - x`.
    ///
    /// # Panics
    /// If it is of floats.
    #[track_caller]
    pub fn bitwise_not(&self) -> Tensor {
        let dtype = self.dtype();
        assert!(!dtype.is_float(), "bitwise_not: expected whole numbers or truth values, got {dtype}");
        match dtype {
            DType::Bool => self.eq(0).cast(DType::Bool),
            _ => bits("bitwise_not", &XOR, self, &Tensor::scalar(-1, self.device())),
        }
    }

    /// `self * 2^other` in 32 bits, broadcast: i32, and 0 where it is moved by less than 0 or by more than 31.
    ///
    /// # Panics
    /// As [`Tensor::bitwise_and`].
    #[track_caller]
    pub fn bitwise_left_shift(&self, other: &Tensor) -> Tensor {
        bits("bitwise_left_shift", &LEFT, self, other)
    }

    /// `self / 2^other` rounded down, broadcast: i32, and 0 or -1 where it is moved by less than 0 or by more than 31.
    ///
    /// # Panics
    /// As [`Tensor::bitwise_and`].
    #[track_caller]
    pub fn bitwise_right_shift(&self, other: &Tensor) -> Tensor {
        bits("bitwise_right_shift", &RIGHT, self, other)
    }

    /// The largest number that divides both, broadcast: i32 from 0 up.
    ///
    /// # Panics
    /// As [`Tensor::bitwise_and`].
    #[track_caller]
    pub fn gcd(&self, other: &Tensor) -> Tensor {
        bits("gcd", &GCD, self, other)
    }

    /// The smallest number from 0 up that both divide, broadcast: i32, and 0 where one is 0.
    ///
    /// # Panics
    /// As [`Tensor::bitwise_and`].
    #[track_caller]
    pub fn lcm(&self, other: &Tensor) -> Tensor {
        let (a, b) = (self.integers(), other.integers());
        let y = bits("lcm", &TRUNC_DIVIDE, &a, &a.gcd(&b)).mul(&b);
        y.maximum(Tensor::scalar(0, y.device()).sub(&y))
    }
}

/// Whether the quotient towards 0 is above the one that is rounded down.
fn is_above(a: i32, b: i32) -> bool {
    let left = a.wrapping_rem(b);
    left != 0 && (left < 0) != (b < 0)
}
