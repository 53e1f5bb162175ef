//! The passes of a product: the shader, the tiles, and the number of parts that k is cut into.

use super::{Epilogue, MatMul, halves};
use crate::dtype::DType;
use crate::kernel::{
    Access, Class, Constant, Dispatch, Info, Lowering, Pass, Shader, Slot, Uniform, convert, groups, shader,
};
use bytemuck::{Pod, Zeroable};

/// a, b, a bias for each column, a matrix of the shape of c, c, and the sums of the rows of a.
const ACCESS: &[Access] = &[Access::Read, Access::Read, Access::Read, Access::Read, Access::Write, Access::Write];

macro_rules! products {
    ($($shader:ident: $name:literal behind [$($before:literal),*], $access:expr;)*) => {$(
        /// With what is quickly compiled behind the product, and with every slope.
        static $shader: [Shader; 2] = [
            shader!($name, ["halves", "epilogue" $(, $before)*], $access),
            shader!($name, ["halves", "epilogue_slopes" $(, $before)*], $access),
        ];
    )*};
}

products! {
    SUBGROUP: "matmul_subgroup" behind ["rows"], ACCESS;
    TILED: "matmul_tiled" behind ["tiles", "row_of_c"], ACCESS;
    PARTS: "matmul_parts" behind [], &[Access::Read, Access::Read, Access::Read, Access::Write];
}

/// The k of one invocation's loop: it keeps the iterations far under 65,535 and the rounding of the sum small.
const MAX_K: u32 = 8192;
/// The parts of k that one invocation adds up.
const MAX_PARTS: u32 = 60_000;

/// Which shader a pass uses, and with which tiles.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Tiling {
    Subgroup,
    /// 64 x 64 results a workgroup.
    Tiled,
    /// 32 x 32.
    Small,
    /// The same two of f16 in its own arithmetic (`halves.rs`).
    Halves,
    SmallHalves,
    /// 64 x 64 of f16 by matrix units (`cooperative.rs`).
    Cooperative,
}

impl Tiling {
    /// The same, with small tiles in shared memory where large ones do not suit the product.
    pub(crate) fn suited(self, info: &Info, p: &MatMul) -> Tiling {
        if self == Tiling::Tiled && !suits_large(info, p) { Tiling::Small } else { self }
    }
}

/// Lanes that the barrier-free shader is written for.
pub(crate) fn fits_subgroup(info: &Info) -> bool {
    matches!(info.subgroup, Some(8..=16))
}

/// Threads and shared memory that the tiles take.
pub(crate) fn fits_tiled(info: &Info) -> bool {
    info.max_threads >= 128 && info.max_shared_bytes >= 8 << 10
}

/// The shader that suits the adapter.
pub(crate) fn preferred(info: &Info) -> Tiling {
    // A software adapter runs a workgroup with barriers as coroutines, four to five times slower.
    if info.class != Class::Gpu && fits_subgroup(info) { Tiling::Subgroup } else { Tiling::Tiled }
}

/// Whether large tiles are worth their edges, and are enough to fill a GPU.
pub(crate) fn suits_large(info: &Info, p: &MatMul) -> bool {
    let groups = tiles(info, Tiling::Tiled, p) * u64::from(splits(info, Tiling::Tiled, p));
    p.m > 32 && p.n > 32 && (info.class != Class::Gpu || groups >= 64)
}

/// The number of parts that k is cut into: at most `MAX_K` each if `MAX_PARTS` are enough, and on a GPU enough to fill it.
fn splits(info: &Info, tiling: Tiling, p: &MatMul) -> u32 {
    let needed = p.k.div_ceil(MAX_K).clamp(1, MAX_PARTS);
    let tiles = tiles(info, tiling, p);
    let filling = match info.class {
        Class::Gpu => (256 / tiles.max(1)).min(u64::from(p.k / 256)),
        _ => (16 / tiles.max(1)).min(u64::from(p.k / 1024)),
    };
    needed.max(filling as u32)
}

fn tiles(info: &Info, tiling: Tiling, p: &MatMul) -> u64 {
    let (rows, columns) = match tiling {
        Tiling::Subgroup => subgroup_tile(info, p),
        Tiling::Tiled | Tiling::Halves | Tiling::Cooperative => (64, 64),
        Tiling::Small | Tiling::SmallHalves => (32, 32),
    };
    u64::from(p.m.div_ceil(rows)) * u64::from(p.n.div_ceil(columns)) * u64::from(p.batches)
}

/// Rows and columns of a tile without barriers: as large as the product, and as small as gives every thread of a machine
/// some.
fn subgroup_tile(info: &Info, p: &MatMul) -> (u32, u32) {
    let lanes = info.subgroup.unwrap_or(8);
    let columns = lanes * if p.n > 4 * lanes { 8 } else { 4 };
    let tall = u64::from(p.m.div_ceil(32)) * u64::from(p.n.div_ceil(columns)) * u64::from(p.batches);
    (if p.m > 16 && tall >= 16 { 32 } else { 16 }, columns)
}

/// The operands of a product.
#[derive(Clone, Copy)]
pub(crate) struct Operands {
    pub a: Slot,
    pub b: Slot,
    pub c: Slot,
    /// A bias for each column.
    pub bias: Option<Slot>,
    /// The epilogue in the same pass, and the matrix it reads.
    pub epilogue: Epilogue,
    pub other: Option<Slot>,
    /// The slot for the sums of the rows of a.
    pub sums: Option<Slot>,
    /// The types of a, b and c, as the passes meet them.
    pub types: [DType; 3],
}

impl Operands {
    /// A product with nothing behind it.
    pub const fn plain(a: Slot, b: Slot, c: Slot) -> Operands {
        let types = [DType::F32; 3];
        Operands { a, b, c, bias: None, epilogue: Epilogue::NOTHING, other: None, sums: None, types }
    }
}

/// The constants of an operand: what is read of it at once, how that becomes f32, and how one element is read.
type Reads = [(&'static str, Constant); 3];

/// By whole vec4, or one by one.
fn reads(heads: [&'static str; 3], texts: &[[&'static str; 3]; 6], dtype: DType, vec: bool) -> Reads {
    let kind = match dtype {
        DType::F16 => 2,
        DType::BF16 => 4,
        _ => 0,
    };
    let ([item, four, at], [of_item, of_four, of_at]) = (heads, texts[kind + usize::from(!vec)]);
    [(item, Constant::Alias(of_item)), (four, Constant::Function(of_four)), (at, Constant::Function(of_at))]
}

macro_rules! operand {
    ($name:ident, $item:literal, $x:literal) => {
        fn $name(dtype: DType, vec: bool) -> Reads {
            let heads =
                [$item, concat!("four_", $x, "(v: ", $item, ") -> vec4<f32>"), concat!($x, "_at(at: u32) -> f32")];
            let texts = [
                ["vec4<f32>", "v", concat!($x, "[at / 4u][at % 4u]")],
                ["f32", "vec4<f32>(v)", concat!($x, "[at]")],
                ["vec2<u32>", "f16_load4(v)", concat!("f16_load_of4(", $x, "[at / 4u], at)")],
                ["u32", "vec4<f32>(f16_load(v, 0u))", concat!("f16_load(", $x, "[at / 2u], at)")],
                ["vec2<u32>", "bf16_wide4(v)", concat!("bf16_pick_of4(", $x, "[at / 4u], at)")],
                ["u32", "vec4<f32>(bf16_pick(v, 0u))", concat!("bf16_pick(", $x, "[at / 2u], at)")],
            ];
            reads(heads, &texts, dtype, vec)
        }
    };
}

operand!(reads_a, "A", "a");
operand!(reads_b, "B", "b");

/// The constants of four results as they are stored.
fn kept(dtype: DType) -> [(&'static str, Constant); 2] {
    let (item, keep) = match dtype {
        DType::F16 => ("vec2<u32>", "f16_narrow4(v)"),
        DType::BF16 => ("vec2<u32>", "bf16_narrow4(v)"),
        _ => ("vec4<f32>", "v"),
    };
    [("C4", Constant::Alias(item)), ("kept_c(v: vec4<f32>) -> C4", Constant::Function(keep))]
}

/// How a product's matrices lie.
pub(super) struct Layouts {
    /// Whether the rows of a, and the k of b, are neighbours in memory, not the other way round.
    pub a_t: bool,
    pub b_t: bool,
    /// Whether whole vec4 can be read and written.
    pub a_vec: bool,
    pub b_vec: bool,
    pub c_vec: bool,
}

impl Layouts {
    pub fn of(p: &MatMul, sums: bool) -> Layouts {
        let a_t = p.a_row == 1 && (p.a_col != 1 || sums);
        let b_t = p.b_row == 1 && p.b_col != 1;
        let steps = |at: usize| p.batch.map(|dim| dim[at]);
        let (a_step, b_step) = (if a_t { p.a_col } else { p.a_row }, if b_t { p.b_col } else { p.b_row });
        // Along what is contiguous, whole vec4 must start on one and fit.
        let a_vec = if a_t { p.m.is_multiple_of(4) } else { p.a_col == 1 };
        let b_vec = b_t || p.b_col == 1 && p.n.is_multiple_of(4);
        Layouts {
            a_t,
            b_t,
            a_vec: a_vec && quads(&[p.a_base, a_step]) && quads(&steps(1)),
            b_vec: b_vec && quads(&[p.b_base, b_step]) && quads(&steps(2)),
            c_vec: quads(&[p.n, p.c_base, p.c_row, p.c_split]) && quads(&steps(3)),
        }
    }
}

fn quads(words: &[u32]) -> bool {
    words.iter().all(|word| word.is_multiple_of(4))
}

/// The pass for one product, `p.splits` parts of k side by side. `spare` is scratch of [`SPARE`] bytes, bound where
/// nothing is to be written.
pub(crate) fn pass(info: &Info, tiling: Tiling, p: &MatMul, operands: &Operands, spare: Slot) -> Pass {
    let Layouts { a_t, b_t, a_vec, b_vec, c_vec } = Layouts::of(p, operands.sums.is_some());
    let groups = tiles(info, tiling, p) * u64::from(p.splits);
    let flag = |name, value| (name, Constant::Bool(value));
    let (bias, epilogue) = if p.splits > 1 { (None, Epilogue::NOTHING) } else { (operands.bias, operands.epilogue) };
    if let Tiling::Halves | Tiling::SmallHalves | Tiling::Cooperative = tiling {
        let operands = Operands { bias, epilogue, ..*operands };
        return halves::pass(info, tiling, p, &operands, kept(operands.types[2]).to_vec(), groups);
    }
    let slopes = usize::from(epilogue.is_slope());
    let mut pass = match tiling {
        Tiling::Subgroup => {
            let (lanes, (rows, columns)) = (info.subgroup.unwrap_or(8), subgroup_tile(info, p));
            Pass::new(&SUBGROUP[slopes], "matmul_subgroup", groups)
                .constant("LANES", Constant::U32(lanes))
                .constant("TALL", Constant::Bool(rows == 32))
                .constant("TAIL", Constant::Bool(!quads(&[p.k])))
                .constant("FULL", Constant::Bool(quads(&[p.n])))
                .constant("WIDE", Constant::Bool(columns == 8 * lanes))
        }

        _ => Pass::new(&TILED[slopes], if c_vec { "matmul_tiled_quads" } else { "matmul_tiled" }, groups)
            .constant("LARGE", Constant::Bool(tiling == Tiling::Tiled))
            // A software adapter takes seconds to compile the loop unrolled: there, only the commonest layouts are.
            .constant("ROLLED", Constant::Bool(info.class != Class::Gpu && !(a_vec && b_vec && c_vec))),
    };
    // Without barriers, what is no vec4 is picked from one.
    let by_fours = tiling == Tiling::Subgroup;
    let [of_a, of_b, of_c] = operands.types;
    pass.constants.extend(reads_a(of_a, a_vec || by_fours));
    pass.constants.extend(reads_b(of_b, b_vec || by_fours));
    if !by_fours {
        pass.constants.extend(kept(of_c));
    }
    pass.constants.extend([flag("A_T", a_t), flag("B_T", b_t), flag("SUMS", operands.sums.is_some())]);
    pass.constants.extend([flag("A_VEC", a_vec), flag("B_VEC", b_vec)]);
    pass.constants.extend([flag("BIAS", bias.is_some()), ("EPILOGUE", Constant::U32(epilogue.0))]);
    let Operands { a, b, c, other, sums, .. } = *operands;
    pass.slots(&[a, b, bias.unwrap_or(a), other.unwrap_or(a), c, sums.unwrap_or(spare)]).params(p)
}

/// Bytes of scratch for [`pass`].
pub(crate) const SPARE: u64 = 16;

/// The passes of a product of c without gaps.
///
/// Operands of half size are read as they are. So is c written, where whole vec4 of it are: else it is rounded from scratch.
pub(crate) fn lower(info: &Info, tiling: Tiling, d: &Dispatch, operands: Operands) -> Lowering {
    let of = |slot: Slot| if let Slot::Arg(at) = slot { d.bindings[at].dtype } else { DType::F32 };
    let beside = [operands.bias, operands.other, operands.sums].into_iter().flatten();
    let types = [operands.a, operands.b, operands.c].map(of);
    if !types.iter().any(|dtype| dtype.is_half()) || beside.map(of).any(DType::is_half) {
        return passes(info, tiling, d, operands, Lowering::default());
    }
    let p = split(info, tiling, d.params());
    let by_fours = [p.n, p.c_base, p.c_row].iter().all(|w| w % 4 == 0) && p.batch.iter().all(|dim| dim[3] % 4 == 0);
    let (c, [of_a, of_b, of_c]) = (operands.c, types);
    if !of_c.is_half() || by_fours && (p.splits > 1 || tiling != Tiling::Subgroup) {
        return typed(passes(info, tiling, d, Operands { types, ..operands }, Lowering::default()));
    }
    let n = p.m * p.n * p.batches;
    let mut out = Lowering::default();
    let wide = out.scratch((u64::from(n) * 4).next_multiple_of(16));
    let mut own = passes(info, tiling, d, Operands { c: wide, types: [of_a, of_b, DType::F32], ..operands }, out);
    own.passes.push(convert::pass(DType::F32, of_c, n, false).slots(&[wide, c]));
    typed(own)
}

fn typed(mut lowering: Lowering) -> Lowering {
    lowering.passes.iter_mut().for_each(|pass| pass.typed = true);
    lowering
}

fn passes(info: &Info, tiling: Tiling, d: &Dispatch, operands: Operands, mut out: Lowering) -> Lowering {
    let p = split(info, tiling, d.params());
    let spare = out.scratch(SPARE);
    if p.splits == 1 {
        out.passes.push(pass(info, tiling, &p, &operands, spare));
        return out;
    }
    let bytes = |results: u32| u64::from(results) * u64::from(p.splits) * 4;
    let c = out.scratch(bytes(p.c_split));
    let sums = operands.sums.map(|_| out.scratch(bytes(p.m)));
    let [of_a, of_b, _] = operands.types;
    let parts = Operands { c, sums, types: [of_a, of_b, DType::F32], ..operands };
    out.passes.push(pass(info, tiling, &p, &parts, spare));
    out.passes.push(added_up(&p, p.c_split, &operands, c));
    if let (Some(from), Some(to)) = (sums, operands.sums) {
        out.passes.push(added_up(&p, p.m, &Operands::plain(from, from, to), from));
    }
    out
}

/// Results and columns in steps of an invocation, and the parts of each.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Uniform)]
struct PartsParams {
    n: u32,
    columns: u32,
    splits: u32,
}

/// The pass that adds up the parts of each of `results`, and does what follows a product.
fn added_up(p: &MatMul, results: u32, operands: &Operands, parts: Slot) -> Pass {
    let Operands { c, bias, epilogue, other, .. } = *operands;
    // With a bias, rows must be whole vec4 too.
    let (entry, width) = match results.is_multiple_of(4) && (bias.is_none() || p.n.is_multiple_of(4)) {
        true => ("matmul_parts_quads", 4),
        false => ("matmul_parts", 1),
    };
    let mut pass = Pass::new(&PARTS[usize::from(epilogue.is_slope())], entry, groups((results / width) as usize, 256))
        .constant("BIAS", Constant::Bool(bias.is_some()))
        .constant("EPILOGUE", Constant::U32(epilogue.0))
        .slots(&[parts, bias.unwrap_or(parts), other.unwrap_or(parts), c])
        .params(&PartsParams { n: results / width, columns: p.n / width, splits: p.splits });
    pass.constants.extend(kept(operands.types[2]));
    pass
}

/// The product with k cut into as many parts as it should be; they lie side by side in c.
pub(crate) fn split(info: &Info, tiling: Tiling, mut p: MatMul) -> MatMul {
    let parts = splits(info, tiling, &p);
    if parts > 1 {
        // A multiple of 16: the tile of k of one shader, whole vec4 of the other.
        p.k_split = p.k.div_ceil(parts).next_multiple_of(16);
        p.splits = p.k.div_ceil(p.k_split);
        p.c_split = p.m * p.n * p.batches;
    }
    p
}
