//! Convolution without the matrix of columns: `shaders/conv_rows.wgsl`, `shaders/conv_taps.wgsl`.
//!
//! The shaders look pixels up where a matrix product would read its columns. They want channels as neighbours, four at
//! a time, and subgroups that fill a workgroup; everything else goes by columns.

use super::Params;
use crate::kernel::strided::Strided;
use crate::kernel::{Access, Class, Constant, Dispatch, Info, Lowering, Pass, Shader, Slot, groups};
use crate::ops::copy;
use crate::ops::matmul;
use crate::ops::reduce::sum_parts;

const ACCESS: &[Access] = &[Access::Read, Access::Read, Access::Write];

static ROWS: Shader =
    Shader { name: "conv_rows", source: include_str!("../../../shaders/conv_rows.wgsl"), access: ACCESS };
static TAPS: Shader =
    Shader { name: "conv_taps", source: include_str!("../../../shaders/conv_taps.wgsl"), access: ACCESS };

/// Iterations that one invocation may take.
const MAX_ITERATIONS: usize = 60_000;

fn quads(words: &[u32]) -> bool {
    words.iter().all(|w| w.is_multiple_of(4))
}

/// Whether the pixels of the convolution's input lie as the shaders read them.
fn reads(info: &Info, p: &Params) -> bool {
    matmul::fits_subgroup(info)
        && p.groups == 1
        && p.x_c == 1
        && quads(&[p.channels, p.out_channels, p.x_base, p.x_n, p.x_h, p.x_w])
        && p.taps() / 4 + (p.kernel_h * (p.kernel_w + 1)) as usize <= MAX_ITERATIONS
}

pub fn fits_forward(info: &Info, d: &Dispatch) -> bool {
    reads(info, &d.params())
}

pub fn fits_weight(info: &Info, d: &Dispatch) -> bool {
    let p: Params = d.params();
    reads(info, &p) && p.out_w as usize <= MAX_ITERATIONS
}

pub fn fits_input(info: &Info, d: &Dispatch) -> bool {
    let p: Params = d.params();
    let reach = |dilation: u32, kernel: u32, padding: u32| dilation * (kernel - 1) >= padding;
    p.stride_h == 1
        && p.stride_w == 1
        && reach(p.dilation_h, p.kernel_h, p.padding_h)
        && reach(p.dilation_w, p.kernel_w, p.padding_w)
        && reads(info, &turned(&p))
}

pub fn suits(info: &Info, _: &Dispatch) -> bool {
    info.class != Class::Gpu
}

/// The convolution of dy whose output is dx: the kernel turned around.
fn turned(p: &Params) -> Params {
    Params {
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
        ..*p
    }
}

/// Lanes and width of the tiles, as the shaders' constants, and the strips that the output channels take.
fn strips(info: &Info, p: &Params) -> (u32, bool, u32) {
    let lanes = info.subgroup.unwrap_or(8);
    // Eight channels a lane pay where they fill the lanes.
    let wide = p.out_channels > 4 * lanes;
    (lanes, wide, p.out_channels.div_ceil(lanes * if wide { 8 } else { 4 }))
}

fn tiled(pass: Pass, lanes: u32, wide: bool) -> Pass {
    pass.constant("LANES", Constant::U32(lanes)).constant("WIDE", Constant::Bool(wide))
}

/// The weight [o, c, kh, kw] as `steps` of (kernel_h, kernel_w, channels, out_channels) walk it.
fn reordered(p: &Params, base: u32, steps: [u32; 4], slots: [Slot; 2]) -> Pass {
    let walk = Strided::over([p.kernel_h, p.kernel_w, p.channels, p.out_channels], base, steps);
    Pass::new(&copy::SHADER, "copy_strided", groups(walk.n as usize, 256)).slots(&slots).params(&walk)
}

fn rows(info: &Info, p: &Params, x: Slot, y: Slot) -> Pass {
    let (lanes, wide, strips) = strips(info, p);
    let tiles = u64::from((p.batch * p.out_h * p.out_w).div_ceil(16));
    let pass = Pass::new(&ROWS, "conv_rows", tiles * u64::from(strips)).slots(&[x, Slot::Scratch(0), y]).params(p);
    tiled(pass, lanes, wide)
}

pub fn forward(info: &Info, d: &Dispatch) -> Lowering {
    let p: Params = d.params();
    let (area, kernel) = (p.kernel_h * p.kernel_w, p.taps() as u32);
    let weight = reordered(&p, 0, [p.kernel_w, 1, area, kernel], [Slot::Arg(1), Slot::Scratch(0)]);
    Lowering {
        passes: vec![weight, rows(info, &p, Slot::Arg(0), Slot::Arg(2))],
        scratch: vec![p.taps() as u64 * u64::from(p.out_channels) * 4],
    }
}

pub fn input(info: &Info, d: &Dispatch) -> Lowering {
    let (p, turned) = (d.params::<Params>(), turned(&d.params()));
    let (area, kernel) = (p.kernel_h * p.kernel_w, p.taps() as u32);
    // From the last tap backwards; steps wrap around in 32 bits.
    let steps = [p.kernel_w.wrapping_neg(), 1u32.wrapping_neg(), kernel, area];
    let weight = reordered(&turned, area - 1, steps, [Slot::Arg(1), Slot::Scratch(0)]);
    Lowering {
        passes: vec![weight, rows(info, &turned, Slot::Arg(0), Slot::Arg(2))],
        scratch: vec![p.taps() as u64 * u64::from(p.out_channels) * 4],
    }
}

pub fn weight(info: &Info, d: &Dispatch) -> Lowering {
    let mut p: Params = d.params();
    let (lanes, wide, strips) = strips(info, &p);
    let tiles = (p.taps() as u32).div_ceil(16) * strips;
    // Output rows of one split: sums of at most about 2,048 positions, and enough workgroups for any machine.
    let all = p.batch * p.out_h;
    let wanted = (all * p.out_w).div_ceil(2048).max(64u32.div_ceil(tiles)).min(all);
    p.images = all.div_ceil(wanted);
    let splits = all.div_ceil(p.images);
    let results = p.taps() * p.out_channels as usize;
    let pass = Pass::new(&TAPS, "conv_taps", u64::from(tiles) * u64::from(splits));
    let pass = pass.slots(&[Slot::Arg(0), Slot::Arg(1), Slot::Scratch(0)]).params(&p);
    let bytes = results as u64 * 4;
    let mut out = Lowering { passes: vec![tiled(pass, lanes, wide)], scratch: vec![bytes * u64::from(splits), bytes] };
    let sum = sum_parts(info, results, splits as usize, Slot::Scratch(0), Slot::Scratch(1), 2);
    out.passes.extend(sum.passes);
    out.scratch.extend(sum.scratch);
    // Back from [kh, kw, c, o] to [o, c, kh, kw].
    let o = p.out_channels;
    let walk =
        Strided::over([o, p.channels, p.kernel_h, p.kernel_w], 0, [1, o, p.kernel_w * p.channels * o, p.channels * o]);
    let back = Pass::new(&copy::SHADER, "copy_strided", groups(results, 256));
    out.passes.push(back.slots(&[Slot::Scratch(1), Slot::Arg(2)]).params(&walk));
    out
}
