//! Convolution without the matrix of columns: `shaders/conv_rows.wgsl`, `shaders/conv_few.wgsl`,
//! `shaders/conv_taps.wgsl`, `shaders/conv_parts.wgsl`.
//!
//! The shaders look pixels up where a matrix product would read its columns. They want subgroups that fill a workgroup,
//! and channels as neighbours, four at a time, or few taps.

use super::ConvParams;
use super::lower::{Ends, ended, ended_weight, of_parts};
use crate::kernel::{Access, Constant, Dispatch, Info, Lowering, Pass, Shader, Slot, shader};

/// x, the weight, a bias, y, and where the largest of each window lies.
const FORWARD_ACCESS: &[Access] = &[Access::Read, Access::Read, Access::Read, Access::Write, Access::Write];

static ROWS: Shader =
    shader!("conv_rows", ["halves", "conv", "rows", "places", "positions", "conv_ends", "conv_look"], FORWARD_ACCESS);
static FEW_ROWS: Shader =
    shader!("conv_few", ["halves", "conv", "rows", "places", "positions", "conv_ends"], FORWARD_ACCESS);
static TAPS: Shader = shader!("conv_taps", ["halves", "conv", "rows"], &[Access::Read, Access::Read, Access::Write]);

/// The most parts of the positions.
const MAX_PARTS: u32 = 60_000;

pub(super) fn rows(info: &Info, p: &ConvParams, ends: &Ends, operands: [Slot; 2], out: &mut Lowering) -> Pass {
    let (lanes, wide, strips) = strips(info, p);
    // As many positions as their sums leave room for, and enough workgroups for any machine.
    let mut rows = if wide { 32 } else { 64 };
    while rows > 16 && p.computed().div_ceil(rows) * strips < 32 {
        rows /= 2;
    }
    let groups = u64::from(p.computed().div_ceil(rows)) * u64::from(strips);
    let pass = tiled(Pass::new(&ROWS, "conv_rows", groups), lanes, wide).constant("ROWS", Constant::U32(rows));
    ended(pass, p, ends, operands, out)
}

pub(super) fn few_forward(info: &Info, d: &Dispatch) -> Lowering {
    let (p, ends) = (d.params::<ConvParams>(), Ends::of(d));
    let (lanes, wide, strips) = strips(info, &p);
    let groups = u64::from(p.computed().div_ceil(32)) * u64::from(strips);
    let pass = tiled(Pass::new(&FEW_ROWS, "conv_few", groups), lanes, wide);
    let mut out = Lowering::default();
    let pass = ended(pass, &p, &ends, [Slot::Arg(0), Slot::Arg(1)], &mut out);
    out.passes.push(pass);
    out
}

pub(super) fn taps(info: &Info, p: ConvParams, slots: [Slot; 4], out: &mut Lowering) {
    parts(info, p, ("conv_taps", 32, 4), slots, out);
}

pub(super) fn few_weight(info: &Info, d: &Dispatch) -> Lowering {
    let p: ConvParams = d.params();
    let mut out = Lowering::default();
    let (_, db) = ended_weight(&p, &mut out);
    let slots = [Slot::Arg(0), Slot::Arg(1), Slot::Arg(2), db];
    parts(info, p, ("conv_few_taps", p.taps().min(32) as u32, p.out_w), slots, &mut out);
    out
}

/// Sums over parts of the positions by one of the two entry points, and the sum of these. The positions of a part come
/// by whole rows of `unit`.
fn parts(
    info: &Info,
    mut p: ConvParams,
    (entry, count, unit): (&'static str, u32, u32),
    slots: [Slot; 4],
    out: &mut Lowering,
) {
    let (lanes, wide, strips) = strips(info, &p);
    let tiles = (p.taps() as u32).div_ceil(count) * strips;
    // Sums of at most about 2,048 positions, and enough workgroups for any machine.
    let all = (p.batch * p.out_h * p.out_w).div_ceil(unit);
    let wanted = (all * unit).div_ceil(2048).max(64u32.div_ceil(tiles)).min(all).min(MAX_PARTS);
    let each = all.div_ceil(wanted);
    let splits = all.div_ceil(each);
    p.images = if entry == "conv_taps" { 4 * each } else { each };
    let pass = Pass::new(&TAPS, entry, u64::from(tiles) * u64::from(splits));
    of_parts(&p, splits, tiled(pass, lanes, wide).constant("COUNT", Constant::U32(count)), slots, out);
}

/// Lanes and width of the tiles, as the shaders' constants, and the strips that the output channels take.
fn strips(info: &Info, p: &ConvParams) -> (u32, bool, u32) {
    let lanes = info.subgroup.unwrap_or(8);
    // Eight channels a lane pay where they fill the lanes.
    let wide = p.out_channels > 4 * lanes;
    (lanes, wide, p.out_channels.div_ceil(lanes * if wide { 8 } else { 4 }))
}

fn tiled(pass: Pass, lanes: u32, wide: bool) -> Pass {
    pass.constant("LANES", Constant::U32(lanes)).constant("WIDE", Constant::Bool(wide))
}
