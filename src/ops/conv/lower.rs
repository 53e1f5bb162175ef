//! The parts that all ways of a convolution share: places of operands, weights in another order, ends of sums, sums of parts.

use super::ConvParams;
use crate::kernel::strided::Strided;
use crate::kernel::{Access, Constant, Dispatch, Lowering, Pass, Shader, Slot, groups, shader};
use crate::ops::copy;

static PARTS: Shader = shader!("conv_parts", ["conv"], &[Access::Read, Access::Write, Access::Write]);

/// Bytes that are bound where nothing is to be written.
const SPARE: u64 = 16;

/// The slots of a forward kernel's operands: x and w come first, y and the places of the largest last.
pub struct Ends {
    pub bias: Option<Slot>,
    pub y: Slot,
    pub at: Option<Slot>,
}

impl Ends {
    pub fn of(d: &Dispatch) -> Ends {
        let p: ConvParams = d.params();
        let y = 2 + p.bias as usize;
        let at = (p.pooled_h > 0).then(|| Slot::Arg(y + 1));
        Ends { bias: (p.bias == 1).then_some(Slot::Arg(2)), y: Slot::Arg(y), at }
    }

    /// Results alone.
    pub fn plain(y: Slot) -> Ends {
        Ends { bias: None, y, at: None }
    }
}

impl ConvParams {
    /// Positions that are computed: with a pooling, those of its windows.
    pub fn computed(&self) -> u32 {
        self.batch * if self.pooled_h > 0 { 4 * self.pooled_h * self.pooled_w } else { self.out_h * self.out_w }
    }

    /// The convolution of dy whose output is dx: the kernel turned around.
    pub fn turned(&self) -> ConvParams {
        ConvParams {
            channels: self.out_channels,
            out_channels: self.channels,
            height: self.out_h,
            width: self.out_w,
            out_h: self.height,
            out_w: self.width,
            padding_h: self.dilation_h * (self.kernel_h - 1) - self.padding_h,
            padding_w: self.dilation_w * (self.kernel_w - 1) - self.padding_w,
            x_base: 0,
            x_n: self.out_h * self.out_w * self.out_channels,
            x_c: 1,
            x_h: self.out_w * self.out_channels,
            x_w: self.out_channels,
            bias: 0,
            relu: 0,
            pooled_h: 0,
            pooled_w: 0,
            ..*self
        }
    }

    /// The walk of the weight [o, c, kh, kw] as a forward product reads it.
    pub fn forward_walk(&self) -> Strided {
        let steps = [self.kernel_w, 1, self.kernel_h * self.kernel_w, self.taps() as u32];
        Strided::over([self.kernel_h, self.kernel_w, self.channels, self.out_channels], 0, steps)
    }

    /// The walk of the weight turned around, as the product of the input gradient reads it.
    pub fn input_walk(&self) -> Strided {
        let area = self.kernel_h * self.kernel_w;
        // From the last tap backwards; steps wrap around in 32 bits.
        let steps = [self.kernel_w.wrapping_neg(), 1u32.wrapping_neg(), self.taps() as u32, area];
        Strided::over([self.kernel_h, self.kernel_w, self.out_channels, self.channels], area - 1, steps)
    }
}

/// The weight as `walk` reads it, in scratch memory, and the pass that `product` makes for it there.
pub fn with_weight(walk: Strided, product: impl FnOnce(&mut Lowering, Slot) -> Pass) -> Lowering {
    let mut out = Lowering::default();
    let weight = out.scratch(u64::from(walk.n) * 4);
    let reorder = Pass::new(&copy::SHADER, "copy_strided", groups(walk.n as usize, 256));
    out.passes.push(reorder.slots(&[Slot::Arg(1), weight]).params(&walk));
    let product = product(&mut out, weight);
    out.passes.push(product);
    out
}

/// A pass of a lowering with what follows its sums, which reads x and the weight.
pub fn ended(pass: Pass, p: &ConvParams, ends: &Ends, [x, weight]: [Slot; 2], out: &mut Lowering) -> Pass {
    let at = ends.at.unwrap_or_else(|| out.scratch(SPARE));
    pass.constant("BIAS", Constant::Bool(ends.bias.is_some()))
        .constant("RELU", Constant::Bool(p.relu == 1))
        .constant("POOL", Constant::Bool(ends.at.is_some()))
        .slots(&[x, weight, ends.bias.unwrap_or(weight), ends.y, at])
        .params(p)
}

/// The gradient of the weight, and of the bias where it is asked for, by `splits` parts of the positions: `sums` makes those
/// of each.
pub fn of_parts(p: &ConvParams, splits: u32, sums: Pass) -> Lowering {
    let mut out = Lowering::default();
    let is_asked = Constant::Bool(p.bias == 1);
    let results = (p.taps() + 1) * p.out_channels as usize;
    let parts = out.scratch(results as u64 * 4 * u64::from(splits));
    let db = if p.bias == 1 { Slot::Arg(3) } else { out.scratch(SPARE) };
    let add = Pass::new(&PARTS, "conv_parts", groups(results / 4, 64)).constant("SUMS", is_asked);
    out.passes = vec![
        sums.constant("SUMS", is_asked).slots(&[Slot::Arg(0), Slot::Arg(1), parts]).params(p),
        add.slots(&[parts, Slot::Arg(2), db]).params(&ConvParams { images: splits, ..*p }),
    ];
    out
}
