//! Products of halves in the arithmetic of halves: `shaders/matmul_halves.wgsl`.
//!
//! GPUs that compute in f16 multiply and add two pairs of them in the time of one of f32. So where a user asks for it
//! (`WgpuOptions::fp16_accumulation`) and all that a product reads and
//! writes by rows and columns is f16, as in a pass of `Precision::F16Mixed`, tiles stay f16 in shared memory and in registers. A
//! sum of 32 k is f16, one rounding each step, and is then added to one of f32.
//!
//! Why of 32, measured with random normal and uniform numbers for k from 64 to 4,096: the error of a result, as a part of the
//! root of the mean square of all, is 2.0e-4 where each term is rounded and the sum is f32, 4.4e-4 with runs of 8, 6.0e-4 with 16,
//! 8.4e-4 with 32, and 1.2e-3 with 64. At worst it was 0.12 to 0.22 of what the cases of PyTorch allow halves (four roundings of
//! the largest result) of such sums, 0.28 with 16, 0.41 with 32 and 0.6 with 64. A rounding in each term, however short the
//! run, is more than [`Tolerance::SUMMED`] leaves to a result that is small beside its terms: so the variants say what they
//! may be off beyond it. On RADV, runs of 16 spend 72 to 82% of the vector instructions of the loop on packed multiply-adds, and
//! runs of 32 79 to 89% (`cargo bench --bench gpu`).
//!
//! What no length of a run helps: products below 6e-5 have fewer digits, those below 6e-8 none, and one above 65,504 is infinite.
//! Gradients are scaled against the first (`GradScaler`).

use super::tiles::{self, Operands, Tiling, fits_tiled, suits_large};
use super::{MatMul, cooperative, epilogue};
use crate::dtype::DType;
use crate::kernel::{Access, Class, Constant, Dispatch, Info, Pass, Shader, Slot, Variant, shader};

/// a, b, a bias for each column, a matrix of the shape of c, c.
const ACCESS: &[Access] = &[Access::Read, Access::Read, Access::Read, Access::Read, Access::Write];

/// With what is quickly compiled behind the product, and with every slope.
static HALVES: [Shader; 2] = [
    shader!("matmul_halves", ["halves", "fours", "half_tiles", "epilogue", "row_of_c"], ACCESS),
    shader!("matmul_halves", ["halves", "fours", "half_tiles", "epilogue_slopes", "row_of_c"], ACCESS),
];
/// The same by matrix units.
static SQUARES: [Shader; 2] = [
    shader!("matmul_halves", ["halves", "fours", "half_squares", "epilogue", "row_of_c"], ACCESS),
    shader!("matmul_halves", ["halves", "fours", "half_squares", "epilogue_slopes", "row_of_c"], ACCESS),
];

/// The part of a largest result that any of them may be off: four roundings.
pub(crate) const OFF: f32 = 4.0 / 1024.0;

pub(super) const LARGE: Variant = Variant::new("halves", |info, d| lower(info, Tiling::Halves, d))
    .fits(fits)
    .suits(|info, d| info.class == Class::Gpu && suits_large(info, &d.params()))
    .coarser(OFF);
pub(super) const SMALL: Variant = Variant::new("halves_small", |info, d| lower(info, Tiling::SmallHalves, d))
    .fits(fits)
    .suits(|info, _| info.class == Class::Gpu)
    .coarser(OFF);

fn lower(info: &Info, tiling: Tiling, d: &Dispatch) -> crate::kernel::Lowering {
    tiles::lower(info, tiling, d, epilogue::operands(d))
}

/// Whether the adapter computes in f16, and has the tiles.
fn fits(info: &Info, d: &Dispatch) -> bool {
    info.shader_f16 && fits_tiled(info) && info.max_shared_bytes >= 16 << 10 && reads_fit(d)
}

/// Whether whole vec4 of f16 are read and written.
pub(super) fn reads_fit(d: &Dispatch) -> bool {
    let p: MatMul = d.params();
    let [a, b, beside @ .., c] = &d.bindings[..] else { return false };
    let types = [a, b, c].iter().all(|x| x.dtype == DType::F16) && beside.iter().all(|x| x.dtype == DType::F32);
    let reads = tiles::Layouts::of(&p, false);
    types && reads.a_vec && reads.b_vec && reads.c_vec && p.k.is_multiple_of(4)
}

/// The pass for one product.
pub(super) fn pass(
    info: &Info,
    tiling: Tiling,
    p: &MatMul,
    operands: &Operands,
    constants: Vec<(&'static str, Constant)>,
    groups: u64,
) -> Pass {
    let flag = |name, value| (name, Constant::Bool(value));
    let reads = tiles::Layouts::of(p, false);
    let Operands { a, b, c, other, bias, epilogue, .. } = *operands;
    let slots: [Slot; 5] = [a, b, bias.unwrap_or(a), other.unwrap_or(a), c];
    let shaders = if tiling == Tiling::Cooperative { &SQUARES } else { &HALVES };
    let mut pass = Pass::new(&shaders[usize::from(epilogue.is_slope())], "matmul_halves", groups);
    pass.constants.extend(constants);
    match tiling {
        Tiling::Cooperative => pass.constants.extend(cooperative::constants(info)),
        _ => {
            pass.constants.push(("f16", Constant::Enable));
            pass.constants.extend([flag("LARGE", tiling == Tiling::Halves), flag("ROLLED", info.class != Class::Gpu)]);
        }
    }
    pass.constants.extend([flag("A_T", reads.a_t), flag("B_T", reads.b_t), flag("BIAS", bias.is_some())]);
    pass.constants.push(("EPILOGUE", Constant::U32(epilogue.0)));
    pass.slots(&slots).params(p)
}
