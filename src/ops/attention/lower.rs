//! The passes of attention.

use super::{AttentionParams, BACKWARD_ACCESS, FORWARD_ACCESS};
use crate::dtype::DType;
use crate::kernel::{Access, Class, Constant, Dispatch, Info, Lowering, Pass, Shader, Slot, groups, shader};
use crate::ops::matmul;

use Access::{Read, Write};

static FORWARD: Shader =
    shader!("attention", ["halves", "attention", "attention_rows", "attention_tiles"], FORWARD_ACCESS);
static FORWARD_SQUARES: Shader =
    shader!("attention", ["halves", "attention", "attention_rows", "attention_squares"], FORWARD_ACCESS);
static FORWARD_SUBGROUP: Shader = shader!("attention_subgroup", ["halves", "attention"], FORWARD_ACCESS);

static DELTA: Shader = shader!("attention_delta", ["halves", "attention"], &[Read, Read, Write]);
static BACKWARD: Shader =
    shader!("attention_backward", ["halves", "attention", "attention_rows", "attention_tiles"], BACKWARD_ACCESS);
static BACKWARD_SQUARES: Shader =
    shader!("attention_backward", ["halves", "attention", "attention_rows", "attention_squares"], BACKWARD_ACCESS);
static BACKWARD_SUBGROUP: Shader = shader!("attention_backward_subgroup", ["halves", "attention"], BACKWARD_ACCESS);

pub fn fits_subgroup(info: &Info, d: &Dispatch) -> bool {
    // Longer rows, unrolled, keep a software adapter's compiler busy for half a minute.
    matches!(info.subgroup, Some(8 | 16)) && d.params::<AttentionParams>().quads <= 16
}

pub fn suits_subgroup(info: &Info, _: &Dispatch) -> bool {
    info.class != Class::Gpu
}

pub fn fits_tiles(info: &Info, _: &Dispatch) -> bool {
    info.max_threads >= 256 && info.max_shared_bytes >= 16 << 10
}

/// Whether the adapter has matrix units, and all rows are f16: those of the bindings given.
fn fits_squares(info: &Info, d: &Dispatch, rows: &[usize]) -> bool {
    let are_halves = rows.iter().all(|at| d.bindings[*at].dtype == DType::F16);
    fits_tiles(info, d) && matmul::fits_cooperative(info) && are_halves
}

pub fn fits_forward_squares(info: &Info, d: &Dispatch) -> bool {
    fits_squares(info, d, &[0, 1, 2])
}

pub fn fits_backward_squares(info: &Info, d: &Dispatch) -> bool {
    fits_squares(info, d, &[0, 1, 2, 6])
}

fn groups_of(p: &AttentionParams, rows: u32, per_group: u32) -> u64 {
    u64::from(rows.div_ceil(per_group)) * u64::from(p.heads) * u64::from(p.batch)
}

/// A pass for each part of the `others` rows that all own rows meet, of `part` at most.
fn parts<'a>(
    p: &AttentionParams,
    others: u32,
    part: u32,
    pass: impl Fn(&AttentionParams) -> Pass + 'a,
) -> impl Iterator<Item = Pass> + 'a {
    let p = *p;
    (0..others)
        .step_by(part as usize)
        .map(move |first| pass(&AttentionParams { first, end: (first + part).min(others), ..p }))
}

/// The other rows of a pass by lanes. With its loops over vec4, which compilers may or may not unroll, and over lanes,
/// an invocation walks less than 3 D4 + 5 iterations for each.
fn lane_part(p: &AttentionParams) -> u32 {
    60_000 / (3 * p.quads + 5) / 64 * 64
}

/// The other rows of a pass by tiles, which take at most 2 iterations for each.
const TILE_PART: u32 = 60_000 / 2 / 64 * 64;

/// The same by matrix units, at most 8 iterations for each.
const SQUARE_PART: u32 = 60_000 / 8 / 64 * 64;

fn lanes(pass: Pass, p: &AttentionParams) -> Pass {
    pass.constant("LANES", Constant::U32(p.lanes))
        .constant("D4", Constant::U32(p.quads))
        .constant("MASKED", Constant::Bool(p.masked == 1))
        .constant("PADDED", Constant::Bool(p.masked == 1 && p.mask[3] == 0))
        .params(p)
}

fn tiles(pass: Pass, p: &AttentionParams) -> Pass {
    pass.constant("X", Constant::U32(p.across())).constant("MASKED", Constant::Bool(p.masked == 1)).params(p)
}

fn squares(info: &Info, pass: Pass, p: &AttentionParams) -> Pass {
    let mut pass = tiles(pass, p);
    pass.constants.extend(matmul::cooperative_constants(info));
    pass
}

/// The types of operands and of a result, which is f32 where further passes go on from it.
fn forward_types(pass: Pass, p: &AttentionParams) -> Pass {
    match p.first == 0 && p.end == p.keys {
        true => pass.elements(&["Q", "K", "V", "MASK", "OUT"]),
        false => pass.elements(&["Q", "K", "V", "MASK"]).constant("OUT", Constant::Element(DType::F32)),
    }
}

/// The same of gradients, by `others` rows.
fn backward_types(pass: Pass, p: &AttentionParams, others: u32) -> Pass {
    match p.first == 0 && p.end == others {
        true => pass.elements(&["OWN_A", "OWN_B", "OTHER_A", "OTHER_B", "MASK", "", "", "G"]),
        false => pass
            .elements(&["OWN_A", "OWN_B", "OTHER_A", "OTHER_B", "MASK"])
            .constant("G", Constant::Element(DType::F32)),
    }
}

pub fn forward_subgroup(info: &Info, d: &Dispatch) -> Lowering {
    let p = AttentionParams { lanes: info.subgroup.unwrap_or(8), ..d.params() };
    let pass = |p: &AttentionParams| {
        let pass = Pass::new(&FORWARD_SUBGROUP, "attention_subgroup", groups_of(p, p.queries, 2 * p.lanes));
        lanes(forward_types(pass, p), p)
    };
    Lowering { passes: parts(&p, p.keys, lane_part(&p), pass).collect(), scratch: Vec::new() }
}

pub fn forward_tiles(_: &Info, d: &Dispatch) -> Lowering {
    let p: AttentionParams = d.params();
    let pass = |p: &AttentionParams| {
        tiles(forward_types(Pass::new(&FORWARD, "attention", groups_of(p, p.queries, p.own_rows())), p), p)
    };
    Lowering { passes: parts(&p, p.keys, TILE_PART, pass).collect(), scratch: Vec::new() }
}

pub fn forward_squares(info: &Info, d: &Dispatch) -> Lowering {
    let p: AttentionParams = d.params();
    let pass = |p: &AttentionParams| {
        let pass = Pass::new(&FORWARD_SQUARES, "attention", groups_of(p, p.queries, p.own_rows()));
        squares(info, forward_types(pass, p), p)
    };
    Lowering { passes: parts(&p, p.keys, SQUARE_PART, pass).collect(), scratch: Vec::new() }
}

/// The pass for the sums of dy y, then those for dq, then those for dk and dv, of `part` other rows at most. A pass is
/// made of its parameters and own rows.
fn backward(
    p: &AttentionParams,
    part: u32,
    of_queries: impl Fn(&AttentionParams, u32) -> Pass,
    of_keys: impl Fn(&AttentionParams, u32) -> Pass,
) -> Lowering {
    let [q, k, v, mask, y, lse, dy, grads] = std::array::from_fn(Slot::Arg);
    let mut out = Lowering::default();
    let delta = out.scratch(p.lse() as u64 * 4);
    let sums = Pass::new(&DELTA, "attention_delta", groups(p.lse(), 256)).elements(&["Y", "DY"]);
    let own_queries = |p: &AttentionParams| {
        backward_types(of_queries(p, p.queries), p, p.keys).slots(&[q, dy, k, v, mask, lse, delta, grads])
    };
    let own_keys = |p: &AttentionParams| {
        backward_types(of_keys(p, p.keys), p, p.queries).slots(&[k, v, q, dy, mask, lse, delta, grads])
    };
    out.passes.push(sums.slots(&[y, dy, delta]).params(p));
    out.passes.extend(parts(p, p.keys, part, own_queries).chain(parts(p, p.queries, part, own_keys)));
    out
}

pub fn backward_subgroup(info: &Info, d: &Dispatch) -> Lowering {
    let p = AttentionParams { lanes: info.subgroup.unwrap_or(8), ..d.params() };
    let pass = |entry| {
        move |p: &AttentionParams, rows| lanes(Pass::new(&BACKWARD_SUBGROUP, entry, groups_of(p, rows, 2 * p.lanes)), p)
    };
    let (of_queries, of_keys) = ("attention_backward_queries_subgroup", "attention_backward_keys_subgroup");
    backward(&p, lane_part(&p), pass(of_queries), pass(of_keys))
}

pub fn backward_tiles(_: &Info, d: &Dispatch) -> Lowering {
    let pass = |entry| {
        move |p: &AttentionParams, rows| tiles(Pass::new(&BACKWARD, entry, groups_of(p, rows, p.own_rows())), p)
    };
    backward(&d.params(), TILE_PART, pass("attention_backward_queries"), pass("attention_backward_keys"))
}

pub fn backward_squares(info: &Info, d: &Dispatch) -> Lowering {
    let pass = |entry| {
        move |p: &AttentionParams, rows| {
            squares(info, Pass::new(&BACKWARD_SQUARES, entry, groups_of(p, rows, p.own_rows())), p)
        }
    };
    backward(&d.params(), SQUARE_PART, pass("attention_backward_queries"), pass("attention_backward_keys"))
}
