//! Convolution in groups without the matrix of columns: `shaders/conv_grouped.wgsl`, `shaders/conv_grouped_taps.wgsl`.
//!
//! The product of one group is too small for tiles; what counts is how often a pixel is read. Channels lie as neighbours, by
//! fours within each group.

use super::ConvParams;
use super::lower::{Ends, ended, parts_of_rows};
use crate::kernel::{Access, Constant, Info, Lowering, Pass, Shader, Slot, groups, shader};

static ROWS: Shader = shader!(
    "conv_grouped",
    ["halves", "conv", "places", "positions", "conv_look"],
    &[Access::Read, Access::Read, Access::Read, Access::Write, Access::Write]
);
static TAPS: Shader = shader!("conv_grouped_taps", ["halves", "conv"], &[Access::Read, Access::Read, Access::Write]);
static PARTS: Shader = shader!("conv_parts", ["conv"], &[Access::Read, Access::Write, Access::Write]);

/// Positions of one invocation, as the shader has them.
const POSITIONS: u32 = 8;

impl ConvParams {
    /// The convolution of one group's channels, to all results.
    fn of_group(&self) -> ConvParams {
        ConvParams { channels: self.channels / self.groups, groups: 1, ..*self }
    }
}

pub(super) fn rows(_: &Info, p: &ConvParams, ends: &Ends, operands: [Slot; 2], out: &mut Lowering) -> Pass {
    let items = p.computed().div_ceil(POSITIONS) * (p.out_channels / 4);
    ended(Pass::new(&ROWS, "conv_grouped", groups(items as usize, 64)), p, ends, operands, out)
}

/// Sums over parts of the rows of all images, and the sum of these.
pub(super) fn taps(info: &Info, p: ConvParams, [x, dy, dw, db]: [Slot; 4], out: &mut Lowering) {
    let one = p.of_group();
    let tiles = p.out_channels / 4 * one.channels / 4 * p.kernel_h * p.kernel_w.div_ceil(4);
    let [each, splits] = parts_of_rows(info, &p, tiles);
    let results = (one.taps() + 1) * p.out_channels as usize;
    let parts = out.scratch(results as u64 * 4 * u64::from(splits));
    let asked = Constant::Bool(p.bias == 1);
    let sum = Pass::new(&TAPS, "conv_grouped_taps", groups((tiles * splits) as usize, 64))
        .constant("TAPS", Constant::U32(p.kernel_w.min(4)))
        .constant("SLIDES", Constant::Bool(p.stride_w == p.dilation_w))
        .constant("SUMS", asked);
    let add = Pass::new(&PARTS, "conv_parts", groups(results / 4, 64)).constant("SUMS", asked);
    out.passes.push(sum.elements(&["IN", "DY"]).slots(&[x, dy, parts]).params(&ConvParams { images: each, ..p }));
    out.passes.push(add.slots(&[parts, dw, db]).params(&ConvParams { images: splits, ..one }));
}
