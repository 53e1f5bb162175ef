//! Which way a convolution goes, and why.
//!
//! Where each channel has results of its own it is depthwise, with kernels of its own. All else is a matrix product of the
//! columns that the kernel sees, [positions, taps], with the weight. Four ways look the columns' pixels up as they go, and want
//! channels by fours; what has none is recast for them (`recast.rs`). Groups of few channels have a way of their own, several at a
//! time where one is no four; the last two make the matrix and can do everything.

use super::{ConvParams, columns, grouped, implicit, lower, recast, tiles};
use crate::kernel::{Class, Dispatch, Info, Variant};
use crate::ops::matmul::{self, Tiling};

/// Iterations that one invocation may take.
const MAX_ITERATIONS: u64 = 60_000;

/// Up to so many taps no matrix of columns pays.
const FEW: usize = 128;

/// The tensor that is asked for: results, or the gradient of the weight or of the images.
#[derive(Clone, Copy, PartialEq)]
enum Direction {
    Forward,
    Weight,
    Input,
}

/// A way to compute it.
#[derive(Clone, Copy)]
enum Way {
    /// Rows of positions by the lanes of a subgroup, without barriers (`implicit.rs`).
    Rows,
    /// The same one tap at a time, for few of them and channels of any number.
    Few,
    /// Tiles of 64 x 64 results in shared memory, and of 32 x 32 (`tiles.rs`).
    Tiles,
    SmallTiles,
    /// The same in the arithmetic of halves.
    Halves,
    SmallHalves,
    /// The same by matrix units.
    Squares,
    /// Rows and tiles for images that are recast.
    RecastRows,
    RecastTiles,
    RecastSmallTiles,
    /// Groups of channels, a few results of several positions at a time (`grouped.rs`).
    Grouped,
    /// The matrix of columns in scratch memory, and products with it (`columns.rs`).
    Columns(Tiling),
}

/// Whether a way gives the right result there.
fn fits(way: Way, direction: Direction, info: &Info, d: &Dispatch) -> bool {
    let asked: ConvParams = d.params();
    if !holds_pooled(way, &asked, d) {
        return false;
    }
    let recast = match way {
        Way::RecastRows => Some(Way::Rows),
        Way::RecastTiles => Some(Way::Tiles),
        Way::RecastSmallTiles => Some(Way::SmallTiles),
        _ => None,
    };
    // Between strides, taps that lie apart fall where they will.
    let is_phased = asked.dilation_h == 1 && asked.dilation_w == 1;
    // What is pooled lies by fours at once. Tiles would be recast for what a pass of pooling does as well.
    let can_pool = matches!(way, Way::RecastRows) && asked.out_channels.is_multiple_of(4);
    let can_recast = (direction != Direction::Input || is_turnable(&asked) || is_phased)
        && (asked.pooled_h == 0 || can_pool)
        && asked.arranged_bytes().iter().all(|bytes| *bytes <= info.max_binding_bytes);
    if let Some(way) = recast {
        let p = asked.by_fours();
        let p = if direction == Direction::Input { p.over_slopes() } else { p };
        return can_recast && asked.groups == 1 && takes(way, direction, info, &p);
    }
    if let Way::Grouped = way {
        return can_recast && asked.groups > 1 && takes(way, direction, info, &asked.joined());
    }
    let is_looked_up = !matches!(way, Way::Columns(_));
    if direction == Direction::Input && is_looked_up && !is_turnable(&asked) {
        return false;
    }
    let must_be_halves = match way {
        Way::Halves | Way::SmallHalves => &ends(direction, d)[..],
        // A weight of f32 would be rounded.
        Way::Squares => &[0, 1, ends(direction, d)[1]],
        _ => &[],
    };
    if !must_be_halves.is_empty() && !tiles::fits_halves(must_be_halves, d) {
        return false;
    }
    // The gradient of the images is then a convolution of dy.
    let p = if direction == Direction::Input && is_looked_up { asked.turned() } else { asked };
    takes(way, direction, info, &p)
}

/// The bindings that are read and written at each position: images and results, or one and the gradient of the other.
fn ends(direction: Direction, d: &Dispatch) -> [usize; 2] {
    match direction {
        Direction::Forward => [0, 2 + d.params::<ConvParams>().bias as usize],
        Direction::Weight => [0, 1],
        Direction::Input => [0, 2],
    }
}

/// Whether the largest of windows, if they are asked for, can be put where they are to lie. Halves share words, so that channels
/// must be neighbours; and they are rounded before one is picked, which a pass of pooling behind columns of f32 does not.
fn holds_pooled(way: Way, p: &ConvParams, d: &Dispatch) -> bool {
    let [n, channel, rows @ ..] = p.y;
    let is_paired = channel == 1 && [n].iter().chain(&rows).all(|step| step.is_multiple_of(2));
    let is_half = p.pooled_h > 0 && d.bindings[3].dtype.is_half();
    !is_half || is_paired && !matches!(way, Way::Columns(_))
}

/// Whether a way takes a convolution, and no invocation loops too long.
fn takes(way: Way, direction: Direction, info: &Info, p: &ConvParams) -> bool {
    let taps = p.taps() as u64;
    let [kernel_h, kernel_w, out_w] = [p.kernel_h, p.kernel_w, p.out_w].map(u64::from);
    // A part of the weight's gradient takes whole rows of positions.
    let has_short_rows = direction != Direction::Weight || out_w / 4 < MAX_ITERATIONS;
    match way {
        Way::Rows => {
            let iterations = taps / 4 + kernel_h * (kernel_w + 1);
            matmul::fits_subgroup(info) && is_by_fours(p) && iterations <= MAX_ITERATIONS && has_short_rows
        }
        Way::Few => {
            let is_whole = p.groups == 1 && p.out_channels.is_multiple_of(4);
            matmul::fits_subgroup(info) && is_whole && 3 * taps <= MAX_ITERATIONS && has_short_rows
        }
        Way::Tiles | Way::SmallTiles => {
            matmul::fits_tiled(info) && is_by_fours(p) && taps / 16 * 5 + 32 <= MAX_ITERATIONS
        }
        Way::Halves | Way::SmallHalves | Way::Squares => {
            let has_it = match way {
                Way::Squares => matmul::fits_cooperative(info),
                _ => info.shader_f16 && info.max_shared_bytes >= 16 << 10 && matmul::fits_tiled(info),
            };
            has_it && is_by_fours(p) && taps + taps / 32 + 40 <= MAX_ITERATIONS
        }
        Way::Columns(tiling) => {
            // The taps of a position can be bound, and one invocation walks those of a channel.
            let fits = if tiling == Tiling::Subgroup { matmul::fits_subgroup } else { matmul::fits_tiled };
            let most = info.max_binding_bytes.min(columns::MAX_COLUMNS);
            fits(info) && taps * 4 <= most && kernel_h * (kernel_w + 1) <= MAX_ITERATIONS
        }
        Way::Grouped => {
            let by_fours = [p.channels, p.out_channels].iter().all(|n| (n / p.groups).is_multiple_of(4));
            by_fours && taps / u64::from(p.groups) <= MAX_ITERATIONS && out_w < MAX_ITERATIONS
        }
        Way::RecastRows | Way::RecastTiles | Way::RecastSmallTiles => false,
    }
}

/// Whether it is worth choosing there, where none before it is.
fn suits(way: Way, direction: Direction, info: &Info, d: &Dispatch) -> bool {
    let p: ConvParams = d.params();
    match way {
        // Columns of few channels are short, where a recast image has four times the channels, or strides of zeros between.
        Way::RecastRows if direction == Direction::Input && p.channels < 4 && p.kernel_h * p.kernel_w > 1 => {
            info.class != Class::Gpu && p.channels > 1 && p.stride_h == 1 && p.stride_w == 1
        }
        // A software adapter runs barriers as coroutines, and has subgroups that go without.
        Way::Rows | Way::RecastRows => info.class != Class::Gpu,
        // Spans are better, where not most products are with zeros; with a pooling behind too, since sums in another order would
        // give other bits.
        Way::Few => info.class != Class::Gpu && p.taps() <= FEW && (p.channels == 1 || !p.has_spans()),
        Way::Halves | Way::SmallHalves if info.class != Class::Gpu => false,
        Way::Tiles | Way::SmallTiles | Way::RecastTiles | Way::RecastSmallTiles
            if matmul::preferred(info) != Tiling::Tiled =>
        {
            false
        }
        // Of one channel, three in four products would be with zeros.
        Way::RecastTiles | Way::RecastSmallTiles if p.channels == 1 && direction != Direction::Input => false,
        // Large tiles are worth their edges where they are many enough to fill a GPU.
        Way::Tiles | Way::RecastTiles | Way::Halves => match direction {
            Direction::Weight => p.taps() > 32 && p.out_channels > 32,
            Direction::Forward => tiles::is_large(info, &p),
            Direction::Input => tiles::is_large_input(info, &p),
        },
        Way::SmallTiles | Way::RecastSmallTiles | Way::SmallHalves | Way::Squares => true,
        // Groups of many channels fill tiles. Of groups that go together, most products are with zeros.
        Way::Grouped => {
            let joined = p.joined();
            let most = match direction {
                _ if joined.groups == p.groups => 32,
                Direction::Weight => 16,
                Direction::Forward | Direction::Input => 8,
            };
            joined.channels / joined.groups <= most
        }
        // By columns, a pooling behind is a pass of its own, and nothing is gained.
        Way::Columns(_) if p.pooled_h > 0 => false,
        Way::Columns(Tiling::Subgroup) => matmul::preferred(info) == Tiling::Subgroup,
        Way::Columns(_) => true,
    }
}

/// The part of a largest result that any of them may be off, beyond the tolerance of all.
const fn off(way: Way) -> f32 {
    if let Way::Halves | Way::SmallHalves = way { matmul::HALVES_OFF } else { 0.0 }
}

macro_rules! ways {
    ($($list:ident $direction:ident: $($name:literal $way:expr, $lower:expr;)*)*) => {$(
        /// The ways in this direction, the preferred first.
        pub(super) const $list: &[Variant] = &[$(
            Variant::new($name, $lower)
                .fits(|info, d| fits($way, Direction::$direction, info, d))
                .suits(|info, d| suits($way, Direction::$direction, info, d))
                .coarser(off($way)),
        )*];
    )*};
}

ways! {
    FORWARD Forward:
        "implicit" Way::Rows, |info, d| lower::forward(info, d, implicit::rows);
        "few" Way::Few, implicit::few_forward;
        "cooperative" Way::Squares, |info, d| lower::forward(info, d, tiles::square_rows);
        "halves" Way::Halves, |info, d| lower::forward(info, d, tiles::large_half_rows);
        "halves_small" Way::SmallHalves, |info, d| lower::forward(info, d, tiles::small_half_rows);
        "implicit_tiled" Way::Tiles, |info, d| lower::forward(info, d, tiles::large_rows);
        "implicit_tiled_small" Way::SmallTiles, |info, d| lower::forward(info, d, tiles::small_rows);
        "recast" Way::RecastRows, |info, d| recast::forward(info, d, implicit::rows);
        "recast_tiled" Way::RecastTiles, |info, d| recast::forward(info, d, tiles::large_rows);
        "recast_tiled_small" Way::RecastSmallTiles, |info, d| recast::forward(info, d, tiles::small_rows);
        "grouped" Way::Grouped, |info, d| recast::forward(info, d, grouped::rows);
        "subgroup" Way::Columns(Tiling::Subgroup), |info, d| columns::forward(info, Tiling::Subgroup, d);
        "tiled" Way::Columns(Tiling::Tiled), |info, d| columns::forward(info, Tiling::Tiled, d);
    WEIGHT Weight:
        "implicit" Way::Rows, |info, d| lower::weight(info, d, implicit::taps);
        "few" Way::Few, implicit::few_weight;
        "cooperative" Way::Squares, |info, d| lower::weight(info, d, tiles::square_taps);
        "halves" Way::Halves, |info, d| lower::weight(info, d, tiles::large_half_taps);
        "halves_small" Way::SmallHalves, |info, d| lower::weight(info, d, tiles::small_half_taps);
        "implicit_tiled" Way::Tiles, |info, d| lower::weight(info, d, tiles::large_taps);
        "implicit_tiled_small" Way::SmallTiles, |info, d| lower::weight(info, d, tiles::small_taps);
        "recast" Way::RecastRows, |info, d| recast::weight(info, d, implicit::taps);
        "recast_tiled" Way::RecastTiles, |info, d| recast::weight(info, d, tiles::large_taps);
        "recast_tiled_small" Way::RecastSmallTiles, |info, d| recast::weight(info, d, tiles::small_taps);
        "grouped" Way::Grouped, |info, d| recast::weight(info, d, grouped::taps);
        "subgroup" Way::Columns(Tiling::Subgroup), |info, d| columns::weight(info, Tiling::Subgroup, d);
        "tiled" Way::Columns(Tiling::Tiled), |info, d| columns::weight(info, Tiling::Tiled, d);
    INPUT Input:
        "implicit" Way::Rows, |info, d| lower::input(info, d, implicit::rows);
        "cooperative" Way::Squares, |info, d| lower::input(info, d, tiles::square_rows);
        "halves" Way::Halves, |info, d| lower::input(info, d, tiles::large_half_rows);
        "halves_small" Way::SmallHalves, |info, d| lower::input(info, d, tiles::small_half_rows);
        "implicit_tiled" Way::Tiles, |info, d| lower::input(info, d, tiles::large_rows);
        "implicit_tiled_small" Way::SmallTiles, |info, d| lower::input(info, d, tiles::small_rows);
        "recast" Way::RecastRows, |info, d| recast::input(info, d, implicit::rows);
        "recast_tiled" Way::RecastTiles, |info, d| recast::input(info, d, tiles::large_rows);
        "recast_tiled_small" Way::RecastSmallTiles, |info, d| recast::input(info, d, tiles::small_rows);
        "grouped" Way::Grouped, |info, d| recast::input(info, d, grouped::rows);
        "subgroup" Way::Columns(Tiling::Subgroup), |info, d| columns::input(info, Tiling::Subgroup, d);
        "tiled" Way::Columns(Tiling::Tiled), |info, d| columns::input(info, Tiling::Tiled, d);
}

/// Whether channels are neighbours, and by fours.
fn is_by_fours(p: &ConvParams) -> bool {
    p.groups == 1 && p.out_channels.is_multiple_of(4) && p.has_quads()
}

/// Whether the input gradient is a convolution of dy.
pub(super) fn is_turnable(p: &ConvParams) -> bool {
    let reach = |dilation: u32, kernel: u32, padding: u32| dilation * (kernel - 1) >= padding;
    p.stride_h == 1
        && p.stride_w == 1
        && reach(p.dilation_h, p.kernel_h, p.padding_h)
        && reach(p.dilation_w, p.kernel_w, p.padding_w)
}

/// Whether each channel has results of its own, and no invocation loops too long.
pub(super) fn is_depthwise(p: &ConvParams) -> bool {
    let [results, kernel_h, kernel_w] = [p.out_channels / p.channels.max(1), p.kernel_h, p.kernel_w].map(u64::from);
    // Results along one dimension that a pixel's gradient asks, most of them in vain where taps lie far apart.
    let asked = |taps: u64, dilation: u32, stride: u32, out: u32| {
        ((taps.saturating_sub(1)).saturating_mul(dilation.into()) / u64::from(stride) + 2).min(out.into())
    };
    let rows = asked(kernel_h, p.dilation_h, p.stride_h, p.out_h);
    let columns = asked(kernel_w, p.dilation_w, p.stride_w, p.out_w);
    p.groups > 1
        && p.groups == p.channels
        && kernel_h * (kernel_w + 2) * (results + 1) < MAX_ITERATIONS
        && rows + kernel_h * (columns + kernel_w * results) < MAX_ITERATIONS
        && u64::from(p.out_w + 1) < MAX_ITERATIONS
}
