//! Element-wise kernels of two operands: how they walk, `shaders/binary.wgsl`, apart from what they compute, which is one line of
//! WGSL in the row of its kernel.

use super::strided::Strided;
use super::{Access, Call, Class, Constant, Dispatch, Info, Lowering, Pass, Shader, groups, shader};
use crate::dtype::{DType, Element};

/// Two operands and a result.
pub const BINARY: &[Access] = &[Access::Read, Access::Read, Access::Write];

static SHADER: Shader = shader!("binary", ["power", "angles", "rest", "halves"], BINARY);
static GAMMA: Shader = shader!("binary", ["gamma", "halves"], BINARY);

/// The ways to compute an expression in `a` and `b`, each a vec4 of f32, the preferred first.
macro_rules! binary_variants {
    ($wgsl:expr) => {
        $crate::kernel::elementwise::binary_variants!($wgsl, std::convert::identity)
    };
    ($wgsl:expr, $with:expr) => {{
        use $crate::kernel::{Variant, elementwise};
        &[
            Variant::new("flat", |_, d| $with(elementwise::flat($wgsl, d))).fits(elementwise::is_flat),
            Variant::new("row", |_, d| $with(elementwise::row($wgsl, d))).fits(elementwise::is_row),
            Variant::new("quads", |_, d| $with(elementwise::quads($wgsl, d))).fits(elementwise::has_quads),
            Variant::new("strided", |_, d| $with(elementwise::strided($wgsl, d)))
                .fits(elementwise::is_f32)
                .suits(elementwise::is_gpu),
            Variant::new("packed", |_, d| $with(elementwise::packed($wgsl, d))),
        ]
    }};
}
pub(crate) use binary_variants;

/// With the incomplete gamma functions before the file, which other expressions need not be compiled with.
pub fn with_gamma(mut lowering: Lowering) -> Lowering {
    lowering.passes.iter_mut().for_each(|pass| pass.shader = &GAMMA);
    lowering
}

/// The elements of the result.
pub fn count(d: &Dispatch) -> usize {
    d.params::<Strided>().n as usize
}

pub fn is_flat(_: &Info, d: &Dispatch) -> bool {
    d.params::<Strided>().is_flat(2)
}

pub fn is_row(_: &Info, d: &Dispatch) -> bool {
    d.params::<Strided>().is_row()
}

pub fn has_quads(_: &Info, d: &Dispatch) -> bool {
    d.params::<Strided>().spread::<2>().is_some()
}

pub fn is_f32(_: &Info, d: &Dispatch) -> bool {
    d.bindings.iter().all(|binding| binding.dtype == DType::F32)
}

/// Neighbours share a load on a GPU; on a processor four elements at once take a third of the time of four invocations.
pub fn is_gpu(info: &Info, _: &Dispatch) -> bool {
    info.class == Class::Gpu
}

/// `is_one` says which operands have one element for four.
fn pass(entry: &'static str, wgsl: &'static str, invocations: usize, is_one: [bool; 2]) -> Pass {
    let four_a = by_fours(is_one[0], ["wide_A(a4[at])", "vec4<f32>(pick_A(a_words[at / EACH_A], at))"]);
    let four_b = by_fours(is_one[1], ["wide_B(b4[at])", "vec4<f32>(pick_B(b_words[at / EACH_B], at))"]);
    Pass::new(&SHADER, entry, groups(invocations, 256))
        .constant("f4(a: vec4<f32>, b: vec4<f32>) -> vec4<f32>", Constant::Function(wgsl))
        .constant("four_a(at: u32) -> vec4<f32>", four_a)
        .constant("four_b(at: u32) -> vec4<f32>", four_b)
        .elements(&["A", "B", "Y"])
}

/// Four neighbours at a time.
pub fn flat(wgsl: &'static str, d: &Dispatch) -> Lowering {
    pass("binary_flat", wgsl, count(d).div_ceil(4), [false; 2]).alone()
}

/// Four columns of four rows at a time.
pub fn row(wgsl: &'static str, d: &Dispatch) -> Lowering {
    let [[columns, ..], [rows, ..], ..] = d.params::<Strided>().dims;
    pass("binary_row", wgsl, (rows.div_ceil(4) * (columns / 4)) as usize, [false; 2]).alone()
}

/// By whole vec4, which [`has_quads`] has found.
pub fn quads(wgsl: &'static str, d: &Dispatch) -> Lowering {
    let (p, is_one) = spread::<2>(d);
    pass("binary_quads", wgsl, p.n as usize, is_one).params(&p).alone()
}

/// What is read of an operand: four elements, or one for all four.
pub fn by_fours(is_one: bool, [four, one]: [&'static str; 2]) -> Constant {
    Constant::Function(if is_one { one } else { four })
}

/// The walk by whole vec4, and which operands repeat one element in them.
pub fn spread<const N: usize>(d: &Dispatch) -> (Strided, [bool; N]) {
    let p: Strided = d.params();
    p.spread().unwrap_or((p, [false; N]))
}

/// One element at a time.
pub fn strided(wgsl: &'static str, d: &Dispatch) -> Lowering {
    pass("binary_strided", wgsl, count(d), [false; 2]).alone()
}

/// One element after the other of four, which are whole words in any type.
pub fn packed(wgsl: &'static str, d: &Dispatch) -> Lowering {
    pass("binary_packed", wgsl, count(d).div_ceil(4), [false; 2]).alone()
}

/// Each element of the result from those of the operands.
pub fn definition<X: Element, Y: Element>(call: &mut Call, f: impl Fn(X, X) -> Y) {
    let p: Strided = call.params();
    p.each2(&mut call.write::<Y>(2)[..p.n as usize], call.read::<X>(0), call.read::<X>(1), f);
}

/// The same on all cores.
#[inline(always)]
pub fn host<X: Element, Y: Element>(call: &mut Call, f: impl Fn(X, X) -> Y + Sync) {
    let p: Strided = call.params();
    p.map2(&mut call.write::<Y>(2)[..p.n as usize], call.read::<X>(0), call.read::<X>(1), f);
}
