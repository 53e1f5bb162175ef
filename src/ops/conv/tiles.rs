//! Convolution without the matrix of columns, for GPUs: `shaders/conv_tiles.wgsl`, `shaders/conv_tile_taps.wgsl`.
//!
//! Products of tiles in shared memory, as `ops/matmul/tiles.rs` runs them, that look pixels up as a tile is filled. They
//! want channels as neighbours, four at a time.

use super::implicit::{
    MAX_ITERATIONS, PARTS, SPARE, ended, forward_weight, input_weight, is_by_fours, is_turnable, lowered, positions,
    turned,
};
use super::{ConvParams, Ends};
use crate::kernel::{Access, Class, Constant, Dispatch, Info, Lowering, Pass, Shader, Slot, Variant, groups, shader};
use crate::ops::matmul::{self, Tiling};

static TILES: Shader = shader!(
    "conv_tiles",
    ["conv", "tiles", "positions"],
    &[Access::Read, Access::Read, Access::Read, Access::Write, Access::Write]
);
static TAPS: Shader = shader!("conv_tile_taps", ["conv", "tiles"], &[Access::Read, Access::Read, Access::Write]);

pub(super) const FORWARD: Variant = Variant::new("implicit_tiled", |info, d| forward(info, d, true))
    .fits(|info, d| fits(info, &d.params()))
    .suits(|info, d| suits(info) && is_large(info, &d.params()));

pub(super) const FORWARD_SMALL: Variant = Variant::new("implicit_tiled_small", |info, d| forward(info, d, false))
    .fits(|info, d| fits(info, &d.params()))
    .suits(|info, _| suits(info));

pub(super) const INPUT: Variant = Variant::new("implicit_tiled", |info, d| input(info, d, true))
    .fits(|info, d| is_turnable(&d.params()) && fits(info, &turned(&d.params())))
    .suits(|info, d| suits(info) && is_large(info, &turned(&d.params())));

pub(super) const INPUT_SMALL: Variant = Variant::new("implicit_tiled_small", |info, d| input(info, d, false))
    .fits(|info, d| is_turnable(&d.params()) && fits(info, &turned(&d.params())))
    .suits(|info, _| suits(info));

pub(super) const WEIGHT: Variant = Variant::new("implicit_tiled", |info, d| weight(info, d, true))
    .fits(|info, d| fits(info, &d.params()))
    .suits(|info, d| {
        let p: ConvParams = d.params();
        suits(info) && p.taps() > 32 && p.out_channels > 32
    });

pub(super) const WEIGHT_SMALL: Variant = Variant::new("implicit_tiled_small", |info, d| weight(info, d, false))
    .fits(|info, d| fits(info, &d.params()))
    .suits(|info, _| suits(info));

fn fits(info: &Info, p: &ConvParams) -> bool {
    matmul::fits_tiled(info) && is_by_fours(p) && p.taps() / 16 * 5 + 32 <= MAX_ITERATIONS
}

fn suits(info: &Info) -> bool {
    matmul::preferred(info) == Tiling::Tiled
}

/// Whether large tiles are worth their edges, and are enough to fill a GPU.
fn is_large(info: &Info, p: &ConvParams) -> bool {
    p.out_channels > 32 && (info.class != Class::Gpu || tiles(positions(p), p.out_channels, true) >= 64)
}

/// Tiles of so many rows and columns.
fn tiles(rows: u32, columns: u32, is_large: bool) -> u64 {
    let side = if is_large { 64 } else { 32 };
    u64::from(rows.div_ceil(side)) * u64::from(columns.div_ceil(side))
}

/// With the constants of `shaders/prelude/tiles.wgsl`.
fn tiled(info: &Info, pass: Pass, p: &ConvParams, is_large: bool, a_t: bool) -> Pass {
    // A software adapter takes seconds to compile the loop unrolled: there, only one form is.
    let rolled = info.class != Class::Gpu && !(is_large && p.bias == 0);
    let flags = [("LARGE", is_large), ("ROLLED", rolled), ("A_T", a_t), ("B_T", false)];
    flags.into_iter().fold(pass, |pass, (name, value)| pass.constant(name, Constant::Bool(value)))
}

fn rows(info: &Info, p: &ConvParams, ends: Ends, is_large: bool) -> Pass {
    let entry = if ends.at.is_some() { "conv_tiles_pool" } else { "conv_tiles" };
    let pass = Pass::new(&TILES, entry, tiles(positions(p), p.out_channels, is_large));
    let whole = Constant::Bool(p.channels.is_multiple_of(16));
    ended(tiled(info, pass, p, is_large, false).constant("WHOLE", whole), p, &ends, Slot::Scratch(1), Slot::Arg(0))
}

fn forward(info: &Info, d: &Dispatch, is_large: bool) -> Lowering {
    let p: ConvParams = d.params();
    lowered(&p, [forward_weight(&p), rows(info, &p, Ends::of(d), is_large)])
}

fn input(info: &Info, d: &Dispatch, is_large: bool) -> Lowering {
    let p: ConvParams = d.params();
    let ends = Ends { bias: None, y: Slot::Arg(2), at: None };
    lowered(&p, [input_weight(&p), rows(info, &turned(&p), ends, is_large)])
}

fn weight(info: &Info, d: &Dispatch, is_large: bool) -> Lowering {
    let mut p: ConvParams = d.params();
    let tiles = tiles(p.taps() as u32, p.out_channels, is_large);
    // Positions of one split: sums of at most 8,192, and enough workgroups for any GPU. Whole turns but in the last.
    let all = p.batch * p.positions() as u32;
    let wanted = (256 / tiles).min(u64::from(all / 256)).max(1) as u32;
    p.images = all.div_ceil(wanted).min(8192).next_multiple_of(64);
    let splits = all.div_ceil(p.images);
    let sums = Constant::Bool(p.bias == 1);
    let pass = Pass::new(&TAPS, "conv_tile_taps", tiles * u64::from(splits)).constant("SUMS", sums);
    let pass = tiled(info, pass, &p, is_large, true);
    let results = (p.taps() + 1) * p.out_channels as usize;
    let add = Pass::new(&PARTS, "conv_parts", groups(results / 4, 64)).constant("SUMS", sums);
    let db = if p.bias == 1 { Slot::Arg(3) } else { Slot::Scratch(0) };
    Lowering {
        passes: vec![
            pass.slots(&[Slot::Arg(0), Slot::Arg(1), Slot::Scratch(1)]).params(&p),
            add.slots(&[Slot::Scratch(1), Slot::Arg(2), db]).params(&ConvParams { images: splits, ..p }),
        ],
        scratch: vec![SPARE, results as u64 * 4 * u64::from(splits)],
    }
}
