//! Convolution without the matrix of columns: `shaders/conv_rows.wgsl`, `shaders/conv_spans.wgsl`, `shaders/conv_few.wgsl`,
//! `shaders/conv_taps.wgsl`, `shaders/conv_span_taps.wgsl`, `shaders/conv_parts.wgsl`.
//!
//! The shaders look pixels up where a matrix product would read its columns. They want subgroups that fill a workgroup,
//! and channels as neighbours, four at a time, or few taps.

use super::ConvParams;
use super::lower::{Ends, ended, ended_weight, of_parts};
use crate::kernel::{Access, Constant, Dispatch, Info, Lowering, Pass, Shader, Slot, shader};

/// x, the weight, a bias, y, and where the largest of each window lies.
const FORWARD_ACCESS: &[Access] = &[Access::Read, Access::Read, Access::Read, Access::Write, Access::Write];

/// x, dy, and the sums of parts of the positions.
const WEIGHT_ACCESS: &[Access] = &[Access::Read, Access::Read, Access::Write];

static ROWS: Shader =
    shader!("conv_rows", ["halves", "conv", "rows", "places", "positions", "conv_ends", "conv_look"], FORWARD_ACCESS);
static SPANS: Shader =
    shader!("conv_spans", ["halves", "conv", "rows", "quads", "places", "positions", "spans"], FORWARD_ACCESS);
static FEW_ROWS: Shader =
    shader!("conv_few", ["halves", "conv", "rows", "places", "positions", "conv_ends"], FORWARD_ACCESS);
static TAPS: Shader = shader!("conv_taps", ["halves", "conv", "rows"], WEIGHT_ACCESS);
static SPAN_TAPS: Shader = shader!("conv_span_taps", ["halves", "conv", "rows", "quads"], WEIGHT_ACCESS);

/// Output channels up to which one lane takes all of them.
const FEW: u32 = 16;

/// The most parts of the positions.
const MAX_PARTS: u32 = 60_000;

pub(super) fn rows(info: &Info, p: &ConvParams, ends: &Ends, operands: [Slot; 2], out: &mut Lowering) -> Pass {
    if p.has_spans() {
        return spans(info, p, ends, operands, out);
    }
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

impl ConvParams {
    /// Columns of the positions that are computed.
    fn columns(&self) -> u32 {
        if self.pooled_h > 0 { 2 * self.pooled_w } else { self.out_w }
    }

    /// Spans of four neighbouring positions.
    fn spans(&self) -> u32 {
        self.computed() / self.columns().max(1) * self.columns().div_ceil(4)
    }

    /// Whether one lane takes all output channels of spans: there are few, spans are full with a pooling behind or without, and loops
    /// over them are short enough.
    pub(super) fn has_spans(&self) -> bool {
        self.out_channels <= FEW && self.out_w > 3 && self.taps() < 1 << 16
    }
}

fn spans(info: &Info, p: &ConvParams, ends: &Ends, operands: [Slot; 2], out: &mut Lowering) -> Pass {
    let lanes = info.subgroup.unwrap_or(8);
    // Each lane takes two.
    let pass = Pass::new(&SPANS, "conv_spans", u64::from(p.spans().div_ceil(2 * lanes)))
        .constant("LANES", Constant::U32(lanes))
        .constant("QUADS", Constant::U32(p.out_channels / 4))
        .constant("SLIDES", Constant::Bool(p.stride_w == p.dilation_w));
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
    if p.has_spans() {
        span_taps(info, p, slots, out);
    } else {
        parts(info, p, ("conv_taps", 32, 4), slots, out);
    }
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
    let [each, splits] = split(&p, tiles, unit);
    p.images = if entry == "conv_taps" { 4 * each } else { each };
    let pass = Pass::new(&TAPS, entry, u64::from(tiles) * u64::from(splits));
    of_parts(&p, splits, tiled(pass, lanes, wide).constant("COUNT", Constant::U32(count)), slots, out);
}

/// The same of few output channels, by lanes that take all of them.
fn span_taps(info: &Info, p: ConvParams, slots: [Slot; 4], out: &mut Lowering) {
    let lanes = info.subgroup.unwrap_or(8);
    let blocks = p.kernel_w.div_ceil(4);
    let taps = p.kernel_w.div_ceil(blocks);
    let tiles = (p.kernel_h * blocks * (p.channels / 4)).div_ceil(lanes);
    let [each, splits] = split(&p, tiles, p.out_w);
    let pass = Pass::new(&SPAN_TAPS, "conv_span_taps", u64::from(tiles) * u64::from(splits))
        .constant("LANES", Constant::U32(lanes))
        .constant("QUADS", Constant::U32(p.out_channels / 4))
        .constant("TAPS", Constant::U32(taps))
        .constant("SLIDES", Constant::Bool(p.stride_w == p.dilation_w))
        .constant("TAIL", Constant::Bool(!p.out_w.is_multiple_of(4)));
    of_parts(&ConvParams { images: each, ..p }, splits, pass, slots, out);
}

/// Units of positions in a part, and parts, where each has so many tiles: sums of at most about 2,048 positions, and enough
/// workgroups for any machine.
fn split(p: &ConvParams, tiles: u32, unit: u32) -> [u32; 2] {
    let all = (p.batch * p.out_h * p.out_w).div_ceil(unit);
    let wanted = (all * unit).div_ceil(2048).max(64u32.div_ceil(tiles)).min(all).min(MAX_PARTS);
    let each = all.div_ceil(wanted);
    [each, all.div_ceil(each)]
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
