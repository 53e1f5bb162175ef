//! Products of halves by matrix units: `shaders/prelude/half_squares.wgsl` in the place of `half_tiles.wgsl`.
//!
//! GPUs have units (tensor cores, matrix cores) that multiply small squares of halves and add the products up in f32, several times
//! as fast as all else they do. wgpu has them as an experiment, on Vulkan and Metal: so they are taken where a user agrees to that
//! (`WgpuOptions::experimental`), the adapter lists the square, and a first product came out right (`backend/wgpu/squares.rs`). Only
//! what is f16 already is multiplied so, as in a pass of `Precision::F16Mixed`.
//!
//! Tiles are filled as for products of halves without them, so that sizes, windows and edges are the same; no sum is of f16.

use super::tiles::{self, Tiling};
use super::{epilogue, halves};
use crate::kernel::{Constant, Info, Variant, squares};

/// Threads of a workgroup, and results in a row of its tile.
const THREADS: u32 = 128;
const ACROSS: u32 = 64;

pub(super) const VARIANT: Variant =
    Variant::new("cooperative", |info, d| tiles::lower(info, Tiling::Cooperative, d, epilogue::operands(d)))
        .fits(|info, d| fits(info) && halves::reads_fit(d));

/// Whether the adapter has the squares and shared memory for them, and its subgroups have whole blocks.
pub(crate) fn fits(info: &Info) -> bool {
    let (Some(side), Some(lanes)) = (info.cooperative, info.subgroup) else { return false };
    let blocks = (ACROSS / (2 * side)).pow(2);
    let subgroups = THREADS / lanes.clamp(1, THREADS);
    lanes <= THREADS
        && info.max_threads >= THREADS
        && info.max_shared_bytes >= 32 << 10
        && [1, 2, 4].iter().any(|each| each * subgroups == blocks)
}

/// What `half_squares.wgsl` wants to be set.
pub(crate) fn constants(info: &Info) -> [(&'static str, Constant); 7] {
    squares::constants(info.cooperative.unwrap_or(8), info.subgroup.unwrap_or(32))
}
