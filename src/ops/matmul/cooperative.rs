//! Products of halves by matrix units: `shaders/matmul_cooperative.wgsl`.
//!
//! GPUs have units that multiply small matrices of halves and add the products up in f32, several times as fast as all else they do.
//! wgpu knows them as an experiment on Vulkan and Metal, so that they are taken where a user asks for it
//! (`WgpuOptions::cooperative_matrix`), the adapter lists the square, and a first product came out right
//! (`backend/wgpu/squares.rs`). Only what is f16 already is multiplied so, as in a pass of `Precision::F16Mixed`.
//!
//! Squares come straight from memory, and lie in no shared tile: a GPU's caches hold what the subgroups beside one another read.

use super::tiles::{self, Layouts, Operands, Tiling};
use super::{MatMul, epilogue};
use crate::dtype::DType;
use crate::kernel::{Access, Constant, Dispatch, Info, Pass, Shader, Slot, Variant, shader};

/// a, b, a bias for each column, a matrix of the shape of c, c.
const ACCESS: &[Access] = &[Access::Read, Access::Read, Access::Read, Access::Read, Access::Write];

/// With what is quickly compiled behind the product, and with every slope.
static COOPERATIVE: [Shader; 2] = [
    shader!("matmul_cooperative", ["halves", "epilogue", "row_of_c"], ACCESS),
    shader!("matmul_cooperative", ["halves", "epilogue_slopes", "row_of_c"], ACCESS),
];

pub(super) const VARIANT: Variant =
    Variant::new("cooperative", |info, d| tiles::lower(info, Tiling::Cooperative, d, epilogue::operands(d)))
        .fits(fits)
        .suits(|_, _| true);

/// Whether the adapter has squares that the product is made of, and they start on whole 16 bytes, as Vulkan asks of them.
fn fits(info: &Info, d: &Dispatch) -> bool {
    let p: MatMul = d.params();
    let [a, b, beside @ .., c] = &d.bindings[..] else { return false };
    let Some(side) = info.cooperative else { return false };
    let types = [a, b, c].iter().all(|x| x.dtype == DType::F16) && beside.iter().all(|x| x.dtype == DType::F32);
    let reads = Layouts::of(&p, false);
    let steps = |at: usize| p.batch.map(|dim| dim[at]);
    let (a_step, b_step) = (if reads.a_t { p.a_col } else { p.a_row }, if reads.b_t { p.b_col } else { p.b_row });
    let is_whole = |words: &[u32]| words.iter().all(|word| word.is_multiple_of(8));
    info.subgroup.is_some_and(|lanes| lanes <= info.max_threads)
        && types
        && [p.m, p.n, p.k].iter().all(|size| size.is_multiple_of(side))
        && (reads.a_vec && reads.b_vec && reads.c_vec)
        && is_whole(&[p.a_base, p.b_base, a_step, b_step])
        && is_whole(&steps(1))
        && is_whole(&steps(2))
}

/// The side of the results of a workgroup.
pub(super) fn across(info: &Info) -> u32 {
    2 * info.cooperative.unwrap_or(8)
}

/// The pass for one product.
pub(super) fn pass(
    info: &Info,
    p: &MatMul,
    operands: &Operands,
    constants: Vec<(&'static str, Constant)>,
    groups: u64,
) -> Pass {
    let flag = |name, value| (name, Constant::Bool(value));
    let reads = Layouts::of(p, false);
    let Operands { a, b, c, other, bias, epilogue, .. } = *operands;
    let slots: [Slot; 5] = [a, b, bias.unwrap_or(a), other.unwrap_or(a), c];
    let mut pass = Pass::new(&COOPERATIVE[usize::from(epilogue.is_slope())], "matmul_cooperative", groups);
    let (side, [left, right, sum]) = match info.cooperative {
        Some(16) => (16, ["coop_mat16x16<f16, A>", "coop_mat16x16<f16, B>", "coop_mat16x16<f32, C>"]),
        _ => (8, ["coop_mat8x8<f16, A>", "coop_mat8x8<f16, B>", "coop_mat8x8<f32, C>"]),
    };
    pass.constants.extend([("f16", Constant::Enable), ("wgpu_cooperative_matrix", Constant::Enable)]);
    pass.constants.extend(constants);
    let types = [("LEFT", left), ("RIGHT", right), ("SUM", sum)];
    pass.constants.extend(types.map(|(name, of)| (name, Constant::Alias(of))));
    pass.constants.extend([
        ("SIDE", Constant::U32(side)),
        ("LANES", Constant::U32(info.subgroup.unwrap_or(32))),
        ("EPILOGUE", Constant::U32(epilogue.0)),
    ]);
    pass.constants.extend([flag("A_T", reads.a_t), flag("B_T", reads.b_t), flag("BIAS", bias.is_some())]);
    pass.slots(&slots).params(p)
}
