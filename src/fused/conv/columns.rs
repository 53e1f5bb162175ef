//! Convolution by products with the matrix of columns: `shaders/im2col.wgsl`, `shaders/col2im.wgsl`.
//!
//! The columns that the kernel sees become a matrix in scratch memory, a slice of the batch at a time; forward, weight
//! gradient and input gradient are products with it.

use super::{Ends, Params};
use crate::fused::pool;
use crate::kernel::{Access, Dispatch, Info, Lowering, Pass, Shader, Slot, Variant, groups};
use crate::ops::matmul::{self, After, MatMul, Operands, Tiling};
use crate::ops::reduce::sum_parts;

static IM2COL: Shader = Shader {
    name: "im2col",
    source: concat!(include_str!("../../../shaders/prelude/conv.wgsl"), include_str!("../../../shaders/im2col.wgsl")),
    access: &[Access::Read, Access::Write],
};

static COL2IM: Shader = Shader {
    name: "col2im",
    source: concat!(include_str!("../../../shaders/prelude/conv.wgsl"), include_str!("../../../shaders/col2im.wgsl")),
    access: &[Access::Read, Access::Write],
};

impl Params {
    /// y[rows, o] = col w^T for `rows` positions, group by group.
    fn forward(&self, rows: usize) -> MatMul {
        let ([o, q], out) = (self.group(), self.out_channels as usize);
        let mut p = MatMul::new([rows, o, q], [self.taps(), 1], [1, q]);
        p.c_row = out as u32;
        p.batched(self.groups as usize, [q, o * q, o])
    }

    /// dw[o, q] = dy^T col over `rows` positions, group by group.
    fn weight(&self, rows: usize) -> MatMul {
        let ([o, q], out) = (self.group(), self.out_channels as usize);
        MatMul::new([o, q, rows], [1, out], [self.taps(), 1]).batched(self.groups as usize, [o, q, o * q])
    }

    /// dcol[rows, q] = dy w, group by group.
    fn input(&self, rows: usize) -> MatMul {
        let ([o, q], out) = (self.group(), self.out_channels as usize);
        let mut p = MatMul::new([rows, q, o], [out, 1], [q, 1]);
        p.c_row = self.taps() as u32;
        p.batched(self.groups as usize, [o, o * q, q])
    }
}

/// The most bytes of columns at a time: larger batches go in slices.
const MAX_COLUMNS: u64 = 64 << 20;

/// Slices of the batch: (first image, images).
fn slices(info: &Info, p: &Params) -> Vec<(u32, u32)> {
    let image = (p.positions() * p.taps()) as u64 * 4;
    let each = (MAX_COLUMNS.min(info.max_binding_bytes) / image.max(1)).clamp(1, u64::from(p.batch)) as u32;
    (0..p.batch).step_by(each as usize).map(|first| (first, each.min(p.batch - first))).collect()
}

fn fits(info: &Info, d: &Dispatch) -> bool {
    let p: Params = d.params();
    (p.positions() * p.taps()) as u64 * 4 <= info.max_binding_bytes
}

macro_rules! variants {
    ($($subgroup:ident $tiled:ident $lower:ident;)*) => {$(
        pub(super) const $subgroup: Variant = Variant {
            name: "subgroup",
            fits: |info, d| fits(info, d) && matmul::fits_subgroup(info),
            suits: |info, _| matmul::preferred(info) == Tiling::Subgroup,
            lower: |info, d| $lower(info, Tiling::Subgroup, d),
        };
        pub(super) const $tiled: Variant = Variant {
            name: "tiled",
            fits: |info, d| fits(info, d) && matmul::fits_tiled(info),
            suits: |_, _| true,
            lower: |info, d| $lower(info, Tiling::Tiled, d),
        };
    )*};
}

variants! {
    FORWARD_SUBGROUP FORWARD_TILED forward;
    WEIGHT_SUBGROUP WEIGHT_TILED weight;
    INPUT_SUBGROUP INPUT_TILED input;
}

fn columns(p: &Params) -> Pass {
    let each = p.images as usize * p.positions() * p.channels as usize;
    Pass::new(&IM2COL, "im2col", groups(each, 256)).slots(&[Slot::Arg(0), Slot::Scratch(0)]).params(p)
}

fn column_bytes(p: &Params, slices: &[(u32, u32)]) -> u64 {
    slices.first().map_or(0, |s| s.1 as usize * p.positions() * p.taps()) as u64 * 4
}

fn forward(info: &Info, tiling: Tiling, d: &Dispatch) -> Lowering {
    let (whole, ends) = (d.params::<Params>(), Ends::of(d));
    let slices = slices(info, &whole);
    let mut out = Lowering { passes: Vec::new(), scratch: vec![column_bytes(&whole, &slices), matmul::SPARE] };
    let y = if ends.at.is_some() { Slot::Scratch(2) } else { ends.y };
    for (image, images) in slices {
        let p = Params { image, images, ..whole };
        out.passes.push(columns(&p));
        let mut product = p.forward(images as usize * p.positions());
        product.c_base = image * p.positions() as u32 * p.out_channels;
        let after = if p.relu == 1 { After::RELU } else { After::NOTHING };
        let operands = Operands { bias: ends.bias, after, ..Operands::plain(Slot::Scratch(0), Slot::Arg(1), y) };
        out.passes.push(matmul::pass(info, tiling.suited(info, &product), &product, &operands, Slot::Scratch(1)));
    }
    if let Some(at) = ends.at {
        out.scratch.push(u64::from(whole.batch) * (whole.positions() * whole.out_channels as usize) as u64 * 4);
        let (images, out_sizes) =
            ([whole.batch, whole.out_h, whole.out_w, whole.out_channels], [whole.pooled_h, whole.pooled_w]);
        out.passes.push(pool::pass_of_halves(images, out_sizes, whole.y, [y, ends.y, at]));
    }
    out
}

fn weight(info: &Info, tiling: Tiling, d: &Dispatch) -> Lowering {
    let whole: Params = d.params();
    let slices = slices(info, &whole);
    let results = whole.out_channels as usize * whole.group()[1];
    // Every slice's product is cut along its positions; all parts lie side by side and are added up at the end.
    let parts: Vec<MatMul> = slices
        .iter()
        .map(|&(_, images)| whole.weight(images as usize * whole.positions()))
        .map(|product| matmul::split(info, tiling.suited(info, &product), product))
        .collect();
    let total: u32 = parts.iter().map(|p| p.splits).sum();
    let mut out = Lowering { passes: Vec::new(), scratch: vec![column_bytes(&whole, &slices), matmul::SPARE] };
    let target = if total == 1 { Slot::Arg(2) } else { Slot::Scratch(2) };
    let mut done = 0;
    for (&(image, images), product) in slices.iter().zip(parts) {
        let p = Params { image, images, ..whole };
        out.passes.push(columns(&p));
        let mut product = product;
        product.a_base = image * p.positions() as u32 * p.out_channels;
        product.c_base = done * results as u32;
        done += product.splits;
        let operands = Operands::plain(Slot::Arg(1), Slot::Scratch(0), target);
        out.passes.push(matmul::pass(info, tiling.suited(info, &product), &product, &operands, Slot::Scratch(1)));
    }
    if total > 1 {
        out.scratch.push(u64::from(total) * results as u64 * 4);
        let sum = sum_parts(info, results, total as usize, Slot::Scratch(2), Slot::Arg(2), 3);
        out.passes.extend(sum.passes);
        out.scratch.extend(sum.scratch);
    }
    if whole.bias == 1 {
        let (channels, positions) = (whole.out_channels as usize, whole.batch as usize * whole.positions());
        let sum = sum_parts(info, channels, positions, Slot::Arg(1), Slot::Arg(3), out.scratch.len());
        out.passes.extend(sum.passes);
        out.scratch.extend(sum.scratch);
    }
    out
}

fn input(info: &Info, tiling: Tiling, d: &Dispatch) -> Lowering {
    let whole: Params = d.params();
    let slices = slices(info, &whole);
    let mut out = Lowering { passes: Vec::new(), scratch: vec![column_bytes(&whole, &slices), matmul::SPARE] };
    for (image, images) in slices {
        let p = Params { image, images, ..whole };
        let mut product = p.input(images as usize * p.positions());
        product.a_base = image * p.positions() as u32 * p.out_channels;
        let operands = Operands::plain(Slot::Arg(0), Slot::Arg(1), Slot::Scratch(0));
        out.passes.push(matmul::pass(info, tiling.suited(info, &product), &product, &operands, Slot::Scratch(1)));
        let gather = Pass::new(&COL2IM, "col2im", groups(images as usize * p.pixels(), 256));
        out.passes.push(gather.slots(&[Slot::Scratch(0), Slot::Arg(2)]).params(&p));
    }
    out
}
