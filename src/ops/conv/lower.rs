//! The parts that all ways of a convolution share: places of operands, weights in another order, ends of sums, sums of parts.

use super::ConvParams;
use crate::dtype::DType;
use crate::kernel::strided::Strided;
use crate::kernel::{Access, Class, Constant, Dispatch, Info, Lowering, Pass, Shader, Slot, groups, shader};
use crate::ops::copy;

static PARTS: Shader = shader!("conv_parts", ["conv"], &[Access::Read, Access::Write, Access::Write]);
static RECAST: Shader = shader!("recast", ["halves"], &[Access::Read, Access::Write]);

/// The pass of a way by rows of positions, which reads images and weights at two slots.
pub type Rows = fn(&Info, &ConvParams, &Ends, [Slot; 2], &mut Lowering) -> Pass;

/// The passes of a way to the weight's gradient, which reads images and dy and writes it, and that of the bias.
pub type Taps = fn(&Info, ConvParams, [Slot; 4], &mut Lowering);

/// Sizes of a weight's dimensions as a product reads them, its first element, and steps.
pub type Places = ([u32; 4], u32, [u32; 4]);

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
            height: self.out_h,
            width: self.out_w,
            out_h: self.height,
            out_w: self.width,
            padding_h: self.dilation_h * (self.kernel_h - 1) - self.padding_h,
            padding_w: self.dilation_w * (self.kernel_w - 1) - self.padding_w,
            ..self.over_slopes()
        }
    }

    /// A convolution of dy, whose sizes and paddings are to be set.
    pub fn over_slopes(&self) -> ConvParams {
        ConvParams {
            channels: self.out_channels,
            out_channels: self.channels,
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

    /// The weight [o, c, kh, kw] as a forward product reads it.
    pub fn forward_taps(&self) -> Places {
        let steps = [self.kernel_w, 1, self.kernel_h * self.kernel_w, self.group()[1] as u32];
        ([self.kernel_h, self.kernel_w, self.channels, self.out_channels], 0, steps)
    }

    /// The same turned around, as the product of the input gradient reads it.
    pub fn input_taps(&self) -> Places {
        let area = self.kernel_h * self.kernel_w;
        // From the last tap backwards; steps wrap around in 32 bits.
        let steps = [self.kernel_w.wrapping_neg(), 1u32.wrapping_neg(), self.group()[1] as u32, area];
        ([self.kernel_h, self.kernel_w, self.out_channels, self.channels], area - 1, steps)
    }
}

/// A dispatch's weight as `walk` reads it, of f32 in scratch memory: weights are few beside what they meet, and are widened but
/// once.
pub fn reordered(d: &Dispatch, walk: &Strided, out: &mut Lowering) -> Slot {
    let weight = out.scratch(u64::from(walk.n) * 4);
    let groups = groups(walk.n as usize, 256);
    let pass = match d.bindings[1].dtype {
        DType::F32 => Pass::new(&copy::SHADER, "copy_strided", groups),
        _ => Pass::new(&RECAST, "widen_strided", groups).elements(&["X", "Y"]),
    };
    out.passes.push(pass.slots(&[Slot::Arg(1), weight]).params(walk));
    weight
}

/// The pass that puts whole vec4 of f32 into places of a binding of any floats; steps are those of vec4.
pub fn placed(d: &Dispatch, walk: &Strided, [from, to]: [Slot; 2]) -> Pass {
    let groups = groups(walk.n as usize, 256);
    let is_wide = |slot| !matches!(slot, Slot::Arg(at) if d.bindings[at].dtype.is_half());
    let pass = match is_wide(to) {
        true => Pass::new(&copy::SHADER, "copy_into_quads", groups),
        false => Pass::new(&RECAST, "narrow_into_quads", groups).elements(&["X", "Y"]),
    };
    pass.slots(&[from, to]).params(walk)
}

/// The weight as `walk` reads it, and the pass that `product` makes for it.
pub fn with_weight(d: &Dispatch, walk: &Strided, product: impl FnOnce(&mut Lowering, Slot) -> Pass) -> Lowering {
    let mut out = Lowering::default();
    let weight = reordered(d, walk, &mut out);
    let product = product(&mut out, weight);
    out.passes.push(product);
    out
}

/// A pass of a lowering with what follows its sums, which reads x and the weight.
pub fn ended(pass: Pass, p: &ConvParams, ends: &Ends, [x, weight]: [Slot; 2], out: &mut Lowering) -> Pass {
    let at = ends.at.unwrap_or_else(|| out.scratch(SPARE));
    pass.elements(&["IN", "W", "E", "OUT"])
        .constant("BIAS", Constant::Bool(ends.bias.is_some()))
        .constant("RELU", Constant::Bool(p.relu == 1))
        .constant("POOL", Constant::Bool(ends.at.is_some()))
        .slots(&[x, weight, ends.bias.unwrap_or(weight), ends.y, at])
        .params(p)
}

/// Whether the gradient of the bias is asked for, and the place of it.
pub fn ended_weight(p: &ConvParams, out: &mut Lowering) -> (bool, Slot) {
    if p.bias == 1 { (true, Slot::Arg(3)) } else { (false, out.scratch(SPARE)) }
}

/// The gradient of the weight, and of the bias where it is asked for, by `splits` parts of the positions: `sums` makes those
/// of each.
pub fn of_parts(p: &ConvParams, splits: u32, sums: Pass, [x, dy, dw, db]: [Slot; 4], out: &mut Lowering) {
    let is_asked = Constant::Bool(p.bias == 1);
    let results = (p.taps() + 1) * p.out_channels as usize;
    let parts = out.scratch(results as u64 * 4 * u64::from(splits));
    let add = Pass::new(&PARTS, "conv_parts", groups(results / 4, 64)).constant("SUMS", is_asked);
    out.passes.push(sums.constant("SUMS", is_asked).elements(&["IN", "DY"]).slots(&[x, dy, parts]).params(p));
    out.passes.push(add.slots(&[parts, dw, db]).params(&ConvParams { images: splits, ..*p }));
}

/// Rows of results of one part of a sum over all positions, where so many tiles each take part of the rows; and the parts.
pub fn parts_of_rows(info: &Info, p: &ConvParams, tiles: u32) -> [u32; 2] {
    let rows = p.batch * p.out_h;
    // Sums of at most about 2,048 positions, and enough invocations for the machine.
    let wanted = if info.class == Class::Gpu { 65_536 } else { 4_096 };
    let parts = (rows * p.out_w).div_ceil(2048).max(wanted / tiles).clamp(1, rows.min(MAX_PARTS));
    let each = rows.div_ceil(parts);
    [each, rows.div_ceil(each)]
}

/// The most parts of the rows.
const MAX_PARTS: u32 = 16_384;

/// The passes of a way by rows, for operands that it takes as they are.
pub fn forward(info: &Info, d: &Dispatch, rows: Rows) -> Lowering {
    let (p, ends) = (d.params::<ConvParams>(), Ends::of(d));
    let (sizes, base, steps) = p.forward_taps();
    with_weight(d, &Strided::over(sizes, base, steps), |out, weight| rows(info, &p, &ends, [Slot::Arg(0), weight], out))
}

/// The gradient of the images by such a way, as a convolution of dy.
pub fn input(info: &Info, d: &Dispatch, rows: Rows) -> Lowering {
    let p: ConvParams = d.params();
    let (sizes, base, steps) = p.input_taps();
    let ends = Ends::plain(Slot::Arg(2));
    with_weight(d, &Strided::over(sizes, base, steps), |out, weight| {
        rows(info, &p.turned(), &ends, [Slot::Arg(0), weight], out)
    })
}

/// The gradient of the weight, and of the bias where it is asked for.
pub fn weight(info: &Info, d: &Dispatch, taps: Taps) -> Lowering {
    let p: ConvParams = d.params();
    let mut out = Lowering::default();
    let (_, db) = ended_weight(&p, &mut out);
    taps(info, p, [Slot::Arg(0), Slot::Arg(1), Slot::Arg(2), db], &mut out);
    out
}
