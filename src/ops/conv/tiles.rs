//! Convolution without the matrix of columns, for GPUs: `shaders/conv_tiles.wgsl`, `shaders/conv_tile_taps.wgsl`.
//!
//! Products of tiles in shared memory, as `ops/matmul/tiles.rs` runs them, that look pixels up as a tile is filled. They
//! want channels as neighbours, four at a time.

use super::ConvParams;
use super::lower::{Ends, ended, of_parts};
use crate::kernel::{Access, Class, Constant, Info, Lowering, Pass, Shader, Slot, shader};

static TILES: Shader = shader!(
    "conv_tiles",
    ["halves", "conv", "tiles", "places", "positions"],
    &[Access::Read, Access::Read, Access::Read, Access::Write, Access::Write]
);
static TAPS: Shader =
    shader!("conv_tile_taps", ["halves", "conv", "tiles"], &[Access::Read, Access::Read, Access::Write]);

/// Whether large tiles are worth their edges, and are enough to fill a GPU.
pub(super) fn is_large(info: &Info, p: &ConvParams) -> bool {
    p.out_channels > 32 && (info.class != Class::Gpu || tiles(p.computed(), p.out_channels, true) >= 64)
}

/// The same of the gradient of the images.
pub(super) fn is_large_input(info: &Info, p: &ConvParams) -> bool {
    p.channels > 32 && (info.class != Class::Gpu || tiles(p.batch * p.height * p.width, p.channels, true) >= 64)
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

fn rows(info: &Info, p: &ConvParams, ends: &Ends, operands: [Slot; 2], out: &mut Lowering, is_large: bool) -> Pass {
    let entry = if ends.at.is_some() { "conv_tiles_pool" } else { "conv_tiles" };
    let pass = Pass::new(&TILES, entry, tiles(p.computed(), p.out_channels, is_large));
    let whole = Constant::Bool(p.channels.is_multiple_of(16));
    let pass = tiled(info, pass, p, is_large, false).constant("WHOLE", whole);
    ended(pass, p, ends, operands, out)
}

pub(super) fn large_rows(info: &Info, p: &ConvParams, ends: &Ends, of: [Slot; 2], out: &mut Lowering) -> Pass {
    rows(info, p, ends, of, out, true)
}

pub(super) fn small_rows(info: &Info, p: &ConvParams, ends: &Ends, of: [Slot; 2], out: &mut Lowering) -> Pass {
    rows(info, p, ends, of, out, false)
}

fn taps(info: &Info, mut p: ConvParams, slots: [Slot; 4], out: &mut Lowering, is_large: bool) {
    let tiles = tiles(p.taps() as u32, p.out_channels, is_large);
    // Positions of one split: sums of at most 8,192, and enough workgroups for any GPU. Whole turns but in the last.
    let all = p.batch * p.positions() as u32;
    let wanted = (256 / tiles).min(u64::from(all / 256)).max(1) as u32;
    p.images = all.div_ceil(wanted).min(8192).next_multiple_of(64);
    let splits = all.div_ceil(p.images);
    let pass = Pass::new(&TAPS, "conv_tile_taps", tiles * u64::from(splits));
    of_parts(&p, splits, tiled(info, pass, &p, is_large, true), slots, out);
}

pub(super) fn large_taps(info: &Info, p: ConvParams, slots: [Slot; 4], out: &mut Lowering) {
    taps(info, p, slots, out, true);
}

pub(super) fn small_taps(info: &Info, p: ConvParams, slots: [Slot; 4], out: &mut Lowering) {
    taps(info, p, slots, out, false);
}
