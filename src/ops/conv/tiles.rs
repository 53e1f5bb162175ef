//! Convolution without the matrix of columns, for GPUs: `shaders/conv_tiles.wgsl`, `shaders/conv_tile_taps.wgsl`.
//!
//! Products of tiles in shared memory, as `ops/matmul/tiles.rs` runs them, that look pixels up as a tile is filled. They
//! want channels as neighbours, four at a time.
//!
//! Images and results of f16 may stay so in tiles and in registers (`shaders/conv_halves.wgsl`, `shaders/conv_half_taps.wgsl`), where
//! a user asks for it: `ops/matmul/halves.rs` says how sums go then, and how far off they may be.

use super::ConvParams;
use super::lower::{Ends, ended, of_parts};
use crate::dtype::DType;
use crate::kernel::{Access, Class, Constant, Dispatch, Info, Lowering, Pass, Shader, Slot, shader};
use crate::ops::matmul;

/// Tiles in one arithmetic.
struct Tiles {
    /// Rows of positions: the file, and its entry without and, where there is one, with a pooling behind.
    rows: Shader,
    entries: &'static [&'static str],
    /// The gradient of the weight.
    taps: Shader,
    entry: &'static str,
    /// The k of a tile.
    k: u32,
    arithmetic: Arithmetic,
}

/// How a tile is multiplied.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Arithmetic {
    F32,
    /// In f16, and by matrix units.
    Halves,
    Squares,
}

const ROWS_ACCESS: &[Access] = &[Access::Read, Access::Read, Access::Read, Access::Write, Access::Write];
const TAPS_ACCESS: &[Access] = &[Access::Read, Access::Read, Access::Write];

static TILES: Tiles = Tiles {
    rows: shader!("conv_tiles", ["halves", "conv", "tiles", "places", "positions", "conv_spots"], ROWS_ACCESS),
    entries: &["conv_tiles", "conv_tiles_pool"],
    taps: shader!("conv_tile_taps", ["halves", "conv", "tiles", "conv_ways"], TAPS_ACCESS),
    entry: "conv_tile_taps",
    k: 16,
    arithmetic: Arithmetic::F32,
};
static HALVES: Tiles = Tiles {
    rows: shader!(
        "conv_halves",
        ["halves", "conv", "fours", "half_tiles", "places", "positions", "conv_spots"],
        ROWS_ACCESS
    ),
    entries: &["conv_halves"],
    taps: shader!("conv_half_taps", ["halves", "conv", "fours", "half_tiles", "conv_ways"], TAPS_ACCESS),
    entry: "conv_half_taps",
    k: 32,
    arithmetic: Arithmetic::Halves,
};
static SQUARES: Tiles = Tiles {
    rows: shader!(
        "conv_halves",
        ["halves", "conv", "fours", "half_squares", "places", "positions", "conv_spots"],
        ROWS_ACCESS
    ),
    taps: shader!("conv_half_taps", ["halves", "conv", "fours", "half_squares", "conv_ways"], TAPS_ACCESS),
    arithmetic: Arithmetic::Squares,
    ..HALVES
};

/// Whether large tiles are worth their edges, and are enough to fill a GPU.
pub(super) fn is_large(info: &Info, p: &ConvParams) -> bool {
    p.out_channels > 32 && (info.class != Class::Gpu || tiles(p.computed(), p.out_channels, true) >= 64)
}

/// The same of the gradient of the images.
pub(super) fn is_large_input(info: &Info, p: &ConvParams) -> bool {
    p.channels > 32 && (info.class != Class::Gpu || tiles(p.batch * p.height * p.width, p.channels, true) >= 64)
}

/// Whether these bindings are f16 and nothing is pooled: which of a window's results is the largest would often be another than
/// by sums in f32.
pub(super) fn fits_halves(bindings: &[usize], d: &Dispatch) -> bool {
    let is_pooled = d.params::<ConvParams>().pooled_h > 0;
    bindings.iter().all(|at| d.bindings[*at].dtype == DType::F16) && !is_pooled
}

/// Tiles of so many rows and columns.
fn tiles(rows: u32, columns: u32, is_large: bool) -> u64 {
    let side = if is_large { 64 } else { 32 };
    u64::from(rows.div_ceil(side)) * u64::from(columns.div_ceil(side))
}

impl Tiles {
    /// With the constants of `shaders/prelude/tiles.wgsl`.
    fn constants(&self, info: &Info, mut pass: Pass, p: &ConvParams, is_large: bool, a_t: bool) -> Pass {
        // A software adapter takes seconds to compile the loop unrolled: there, only one form is.
        let is_half = self.arithmetic != Arithmetic::F32;
        let rolled = info.class != Class::Gpu && (is_half || !(is_large && p.bias == 0));
        let flag = |name, value| (name, Constant::Bool(value));
        pass.constants.extend([flag("A_T", a_t), flag("B_T", false)]);
        match self.arithmetic {
            Arithmetic::Squares => pass.constants.extend(matmul::cooperative_constants(info)),
            Arithmetic::Halves => pass.constants.push(("f16", Constant::Enable)),
            Arithmetic::F32 => {}
        }
        if self.arithmetic != Arithmetic::Squares {
            pass.constants.extend([flag("LARGE", is_large), flag("ROLLED", rolled)]);
        }
        pass
    }

    fn rows(
        &'static self,
        is_large: bool,
        info: &Info,
        (p, ends): (&ConvParams, &Ends),
        operands: [Slot; 2],
        out: &mut Lowering,
    ) -> Pass {
        let entry = self.entries[usize::from(ends.at.is_some())];
        let pass = Pass::new(&self.rows, entry, tiles(p.computed(), p.out_channels, is_large));
        let whole = Constant::Bool(p.channels.is_multiple_of(self.k));
        let pass = self.constants(info, pass, p, is_large, false).constant("WHOLE", whole);
        ended(pass, p, ends, operands, out)
    }

    fn taps(&'static self, is_large: bool, info: &Info, mut p: ConvParams, slots: [Slot; 4], out: &mut Lowering) {
        let tiles = tiles(p.taps() as u32, p.out_channels, is_large);
        // Positions of one split: sums of at most 8,192, and enough workgroups for any GPU. Whole turns but in the last.
        let all = p.batch * p.positions() as u32;
        let wanted = (256 / tiles).min(u64::from(all / 256)).max(1) as u32;
        p.images = all.div_ceil(wanted).min(8192).next_multiple_of(64);
        let splits = all.div_ceil(p.images);
        let pass = Pass::new(&self.taps, self.entry, tiles * u64::from(splits));
        of_parts(&p, splits, self.constants(info, pass, &p, is_large, true), slots, out);
    }
}

macro_rules! sizes {
    ($($rows:ident $taps:ident $tiles:ident $is_large:literal;)*) => {$(
        pub(super) fn $rows(info: &Info, p: &ConvParams, ends: &Ends, of: [Slot; 2], out: &mut Lowering) -> Pass {
            $tiles.rows($is_large, info, (p, ends), of, out)
        }

        pub(super) fn $taps(info: &Info, p: ConvParams, slots: [Slot; 4], out: &mut Lowering) {
            $tiles.taps($is_large, info, p, slots, out);
        }
    )*};
}

sizes! {
    large_rows large_taps TILES true;
    small_rows small_taps TILES false;
    large_half_rows large_half_taps HALVES true;
    small_half_rows small_half_taps HALVES false;
    square_rows square_taps SQUARES true;
}
