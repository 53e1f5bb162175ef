//! Convolution without the matrix of columns: `shaders/conv_rows.wgsl`, `shaders/conv_few.wgsl`,
//! `shaders/conv_taps.wgsl`, `shaders/conv_parts.wgsl`.
//!
//! The shaders look pixels up where a matrix product would read its columns. They want subgroups that fill a workgroup,
//! and channels as neighbours, four at a time, or few taps; everything else goes by columns.

use super::{ConvParams, Ends};
use crate::kernel::strided::Strided;
use crate::kernel::{Access, Class, Constant, Dispatch, Info, Lowering, Pass, Shader, Slot, Variant, groups, shader};
use crate::ops::copy;
use crate::ops::matmul;

/// x, the weight, a bias, y, and where the largest of each window lies.
const FORWARD_ACCESS: &[Access] = &[Access::Read, Access::Read, Access::Read, Access::Write, Access::Write];

static ROWS: Shader = shader!("conv_rows", ["conv", "rows", "positions", "conv_ends"], FORWARD_ACCESS);
static FEW_ROWS: Shader = shader!("conv_few", ["conv", "rows", "positions", "conv_ends"], FORWARD_ACCESS);
static TAPS: Shader = shader!("conv_taps", ["conv", "rows"], &[Access::Read, Access::Read, Access::Write]);
pub(super) static PARTS: Shader = shader!("conv_parts", ["conv"], &[Access::Read, Access::Write, Access::Write]);

pub(super) const FORWARD: Variant = Variant::new("implicit", |info, d| {
    let p: ConvParams = d.params();
    lowered(&p, [forward_weight(&p), rows(info, &p, Ends::of(d))])
})
.fits(|info, d| reads(info, &d.params()))
.suits(|info, _| info.class != Class::Gpu);

pub(super) const INPUT: Variant = Variant::new("implicit", |info, d| {
    let p: ConvParams = d.params();
    let ends = Ends { bias: None, y: Slot::Arg(2), at: None };
    lowered(&p, [input_weight(&p), rows(info, &turned(&p), ends)])
})
.fits(|info, d| is_turnable(&d.params()) && reads(info, &turned(&d.params())))
.suits(|info, _| info.class != Class::Gpu);

pub(super) const WEIGHT: Variant = Variant::new("implicit", |info, d| taps(info, d, "conv_taps", 32, 4))
    .fits(|info, d| {
        let p: ConvParams = d.params();
        reads(info, &p) && rows_fit(&p)
    })
    .suits(|info, _| info.class != Class::Gpu);

/// For so few taps that the columns of a position are a few numbers.
pub(super) const FEW_FORWARD: Variant = Variant::new("few", |info, d| {
    let (p, ends) = (d.params::<ConvParams>(), Ends::of(d));
    let (lanes, wide, strips) = strips(info, &p);
    let pass = Pass::new(&FEW_ROWS, "conv_few", u64::from(positions(&p).div_ceil(32)) * u64::from(strips));
    let pass = ended(tiled(pass, lanes, wide), &p, &ends, Slot::Arg(1), Slot::Arg(0));
    Lowering { passes: vec![pass], scratch: vec![SPARE] }
})
.fits(|info, d| few_fit(info, &d.params()))
.suits(|info, d| info.class != Class::Gpu && d.params::<ConvParams>().taps() <= FEW);

pub(super) const FEW_WEIGHT: Variant = Variant::new("few", |info, d| {
    let p: ConvParams = d.params();
    taps(info, d, "conv_few_taps", p.taps().min(32) as u32, p.out_w)
})
.fits(|info, d| few_fit(info, &d.params()) && rows_fit(&d.params()))
.suits(|info, d| info.class != Class::Gpu && d.params::<ConvParams>().taps() <= FEW);

/// Up to so many taps no matrix of columns pays.
const FEW: usize = 128;

/// Bytes that are bound where nothing is to be written.
pub(super) const SPARE: u64 = 16;

/// Iterations that one invocation may take.
pub(super) const MAX_ITERATIONS: usize = 60_000;

fn quads(words: &[u32]) -> bool {
    words.iter().all(|w| w.is_multiple_of(4))
}

/// Whether channels are neighbours, and by fours.
pub(super) fn is_by_fours(p: &ConvParams) -> bool {
    p.groups == 1 && p.x_c == 1 && quads(&[p.channels, p.out_channels, p.x_base, p.x_n, p.x_h, p.x_w])
}

/// Whether the pixels of the convolution's input lie as the shaders read them.
fn reads(info: &Info, p: &ConvParams) -> bool {
    matmul::fits_subgroup(info)
        && is_by_fours(p)
        && p.taps() / 4 + (p.kernel_h * (p.kernel_w + 1)) as usize <= MAX_ITERATIONS
}

/// Whether one split of the weight gradient stays within the iterations.
fn rows_fit(p: &ConvParams) -> bool {
    p.out_w as usize / 4 < MAX_ITERATIONS
}

fn few_fit(info: &Info, p: &ConvParams) -> bool {
    matmul::fits_subgroup(info) && p.groups == 1 && quads(&[p.out_channels]) && 3 * p.taps() <= MAX_ITERATIONS
}

/// Whether the input gradient is a convolution of dy.
pub(super) fn is_turnable(p: &ConvParams) -> bool {
    let reach = |dilation: u32, kernel: u32, padding: u32| dilation * (kernel - 1) >= padding;
    p.stride_h == 1
        && p.stride_w == 1
        && reach(p.dilation_h, p.kernel_h, p.padding_h)
        && reach(p.dilation_w, p.kernel_w, p.padding_w)
}

/// The convolution of dy whose output is dx: the kernel turned around.
pub(super) fn turned(p: &ConvParams) -> ConvParams {
    ConvParams {
        channels: p.out_channels,
        out_channels: p.channels,
        height: p.out_h,
        width: p.out_w,
        out_h: p.height,
        out_w: p.width,
        padding_h: p.dilation_h * (p.kernel_h - 1) - p.padding_h,
        padding_w: p.dilation_w * (p.kernel_w - 1) - p.padding_w,
        x_base: 0,
        x_n: p.out_h * p.out_w * p.out_channels,
        x_c: 1,
        x_h: p.out_w * p.out_channels,
        x_w: p.out_channels,
        bias: 0,
        relu: 0,
        pooled_h: 0,
        pooled_w: 0,
        ..*p
    }
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

/// Positions that are computed: with a pooling, those of its windows.
pub(super) fn positions(p: &ConvParams) -> u32 {
    p.batch * if p.pooled_h > 0 { 4 * p.pooled_h * p.pooled_w } else { p.out_h * p.out_w }
}

/// The weight as the forward product reads it, in scratch memory.
pub(super) fn forward_weight(p: &ConvParams) -> Pass {
    let (area, kernel) = (p.kernel_h * p.kernel_w, p.taps() as u32);
    reordered(p, 0, [p.kernel_w, 1, area, kernel])
}

/// The weight turned around, as the product of the input gradient reads it, in scratch memory.
pub(super) fn input_weight(p: &ConvParams) -> Pass {
    let (area, kernel) = (p.kernel_h * p.kernel_w, p.taps() as u32);
    // From the last tap backwards; steps wrap around in 32 bits.
    reordered(&turned(p), area - 1, [p.kernel_w.wrapping_neg(), 1u32.wrapping_neg(), kernel, area])
}

/// The weight [o, c, kh, kw] as `steps` of (kernel_h, kernel_w, channels, out_channels) walk it, in scratch memory.
fn reordered(p: &ConvParams, base: u32, steps: [u32; 4]) -> Pass {
    let walk = Strided::over([p.kernel_h, p.kernel_w, p.channels, p.out_channels], base, steps);
    let slots = [Slot::Arg(1), Slot::Scratch(1)];
    Pass::new(&copy::SHADER, "copy_strided", groups(walk.n as usize, 256)).slots(&slots).params(&walk)
}

pub(super) fn lowered<const N: usize>(p: &ConvParams, passes: [Pass; N]) -> Lowering {
    let weight = p.taps() as u64 * u64::from(p.out_channels) * 4;
    Lowering { passes: passes.into(), scratch: vec![SPARE, weight] }
}

/// With what follows the sums.
pub(super) fn ended(pass: Pass, p: &ConvParams, ends: &Ends, weight: Slot, x: Slot) -> Pass {
    pass.constant("BIAS", Constant::Bool(ends.bias.is_some()))
        .constant("RELU", Constant::Bool(p.relu == 1))
        .constant("POOL", Constant::Bool(ends.at.is_some()))
        .slots(&[x, weight, ends.bias.unwrap_or(weight), ends.y, ends.at.unwrap_or(Slot::Scratch(0))])
        .params(p)
}

fn rows(info: &Info, p: &ConvParams, ends: Ends) -> Pass {
    let (lanes, wide, strips) = strips(info, p);
    // As many positions as their sums leave room for, and enough workgroups for any machine.
    let mut rows = if wide { 32 } else { 64 };
    while rows > 16 && positions(p).div_ceil(rows) * strips < 32 {
        rows /= 2;
    }
    let groups = u64::from(positions(p).div_ceil(rows)) * u64::from(strips);
    let pass = tiled(Pass::new(&ROWS, "conv_rows", groups), lanes, wide).constant("ROWS", Constant::U32(rows));
    ended(pass, p, &ends, Slot::Scratch(1), Slot::Arg(0))
}

/// Sums over parts of the positions by one of the two entry points, and the sum of these. The positions of a part come
/// by whole rows of `unit`.
fn taps(info: &Info, d: &Dispatch, entry: &'static str, count: u32, unit: u32) -> Lowering {
    let mut p: ConvParams = d.params();
    let (lanes, wide, strips) = strips(info, &p);
    let tiles = (p.taps() as u32).div_ceil(count) * strips;
    // Sums of at most about 2,048 positions, and enough workgroups for any machine.
    let all = (p.batch * p.out_h * p.out_w).div_ceil(unit);
    let wanted = (all * unit).div_ceil(2048).max(64u32.div_ceil(tiles)).min(all).min(MAX_ITERATIONS as u32);
    let each = all.div_ceil(wanted);
    let splits = all.div_ceil(each);
    p.images = if entry == "conv_taps" { 4 * each } else { each };
    let sums = ("SUMS", Constant::Bool(p.bias == 1));
    let pass = Pass::new(&TAPS, entry, u64::from(tiles) * u64::from(splits));
    let pass = tiled(pass, lanes, wide).constant("COUNT", Constant::U32(count)).constant(sums.0, sums.1);
    let results = (p.taps() + 1) * p.out_channels as usize;
    let add = Pass::new(&PARTS, "conv_parts", groups(results / 4, 64)).constant(sums.0, sums.1);
    let db = if p.bias == 1 { Slot::Arg(3) } else { Slot::Scratch(0) };
    Lowering {
        passes: vec![
            pass.slots(&[Slot::Arg(0), Slot::Arg(1), Slot::Scratch(1)]).params(&p),
            add.slots(&[Slot::Scratch(1), Slot::Arg(2), db]).params(&ConvParams { images: splits, ..p }),
        ],
        scratch: vec![SPARE, results as u64 * 4 * u64::from(splits)],
    }
}
