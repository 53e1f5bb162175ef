//! Convolution as a matrix product: `shaders/im2col.wgsl`, `shaders/col2im.wgsl` and those of the matmul; in
//! `conv/implicit.rs`, without the matrix of columns.
//!
//! The columns that the kernel sees become a matrix in scratch memory, a slice of the batch at a time; forward, weight
//! gradient and input gradient are products with it. Outputs lie channels last in memory, in the shape [n, c, h, w].

mod implicit;
mod twin;

use crate::dtype::DType;
use crate::kernel::{Access, Cost, Dispatch, Info, Kernel, Lowering, Pass, Shader, Slot, Tolerance, Variant, groups};
use crate::ops::matmul::{self, MatMul, Operands, Tiling};
use crate::ops::reduce::sum_parts;
use crate::shape::Shape;
use crate::tensor::Tensor;
use bytemuck::{Pod, Zeroable};

/// PyTorch's arguments of `conv2d`, and its defaults: height before width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv2dOptions {
    /// Distance between positions of the kernel.
    pub stride: [usize; 2],
    /// Zeros around the image.
    pub padding: [usize; 2],
    /// Distance between the kernel's taps.
    pub dilation: [usize; 2],
    /// Parts of the channels that do not see each other.
    pub groups: usize,
}

impl Default for Conv2dOptions {
    fn default() -> Conv2dOptions {
        Conv2dOptions { stride: [1, 1], padding: [0, 0], dilation: [1, 1], groups: 1 }
    }
}

static IM2COL: Shader = Shader {
    name: "im2col",
    source: include_str!("../../shaders/im2col.wgsl"),
    access: &[Access::Read, Access::Write],
};

static COL2IM: Shader = Shader {
    name: "col2im",
    source: include_str!("../../shaders/col2im.wgsl"),
    access: &[Access::Read, Access::Write],
};

/// The struct `Conv` of the prelude.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
struct Params {
    batch: u32,
    channels: u32,
    height: u32,
    width: u32,
    out_channels: u32,
    out_h: u32,
    out_w: u32,
    groups: u32,
    kernel_h: u32,
    kernel_w: u32,
    stride_h: u32,
    stride_w: u32,
    padding_h: u32,
    padding_w: u32,
    dilation_h: u32,
    dilation_w: u32,
    x_base: u32,
    x_n: u32,
    x_c: u32,
    x_h: u32,
    x_w: u32,
    image: u32,
    images: u32,
}

impl Params {
    /// Output positions of one image.
    fn positions(&self) -> usize {
        (self.out_h * self.out_w) as usize
    }

    /// Taps of all groups.
    fn taps(&self) -> usize {
        (self.channels * self.kernel_h * self.kernel_w) as usize
    }

    fn pixels(&self) -> usize {
        (self.channels * self.height * self.width) as usize
    }

    fn flops(&self) -> u64 {
        let products = self.batch as usize * self.positions() * self.out_channels as usize * self.taps();
        2 * products as u64 / u64::from(self.groups)
    }

    /// [output channels, taps] of one group.
    fn group(&self) -> [usize; 2] {
        [(self.out_channels / self.groups) as usize, self.taps() / self.groups as usize]
    }

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

fn fits_subgroup(info: &Info, d: &Dispatch) -> bool {
    fits(info, d) && matmul::fits_subgroup(info)
}

fn fits_tiled(info: &Info, d: &Dispatch) -> bool {
    fits(info, d) && matmul::fits_tiled(info)
}

fn suits_subgroup(info: &Info, _: &Dispatch) -> bool {
    matmul::preferred(info) == Tiling::Subgroup
}

fn columns(p: &Params) -> Pass {
    let each = p.images as usize * p.positions() * p.channels as usize;
    Pass::new(&IM2COL, "im2col", groups(each, 256)).slots(&[Slot::Arg(0), Slot::Scratch(0)]).params(p)
}

fn column_bytes(p: &Params, slices: &[(u32, u32)]) -> u64 {
    slices.first().map_or(0, |s| s.1 as usize * p.positions() * p.taps()) as u64 * 4
}

fn lower_forward(info: &Info, tiling: Tiling, d: &Dispatch) -> Lowering {
    let whole: Params = d.params();
    let slices = slices(info, &whole);
    let mut out = Lowering { passes: Vec::new(), scratch: vec![column_bytes(&whole, &slices), matmul::SPARE] };
    for (image, images) in slices {
        let p = Params { image, images, ..whole };
        out.passes.push(columns(&p));
        let mut product = p.forward(images as usize * p.positions());
        product.c_base = image * p.positions() as u32 * p.out_channels;
        let operands = Operands::plain(Slot::Scratch(0), Slot::Arg(1), Slot::Arg(2));
        out.passes.push(matmul::pass(info, tiling, &product, &operands, Slot::Scratch(1)));
    }
    out
}

/// y [n, oh, ow, o] = x convolved with w [o, c / groups, kh, kw].
static CONV2D: Kernel = Kernel {
    name: "conv2d",
    access: &[Access::Read, Access::Read, Access::Write],
    twin: twin::forward,
    cost: |d| Cost { flops: d.params::<Params>().flops(), bytes: d.bytes() },
    tolerance: Tolerance::SUMMED,
    rewrites: &[],
    variants: &[
        Variant { name: "implicit", fits: implicit::fits_forward, suits: implicit::suits, lower: implicit::forward },
        Variant {
            name: "subgroup",
            fits: fits_subgroup,
            suits: suits_subgroup,
            lower: |info, d| lower_forward(info, Tiling::Subgroup, d),
        },
        Variant {
            name: "tiled",
            fits: fits_tiled,
            suits: |_, _| true,
            lower: |info, d| lower_forward(info, Tiling::Tiled, d),
        },
    ],
};

fn lower_weight(info: &Info, tiling: Tiling, d: &Dispatch) -> Lowering {
    let whole: Params = d.params();
    let slices = slices(info, &whole);
    let results = whole.out_channels as usize * whole.group()[1];
    // Every slice's product is cut along its positions; all parts lie side by side and are added up at the end.
    let parts: Vec<MatMul> = slices
        .iter()
        .map(|&(_, images)| matmul::split(info, tiling, whole.weight(images as usize * whole.positions())))
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
        out.passes.push(matmul::pass(info, tiling, &product, &operands, Slot::Scratch(1)));
    }
    if total > 1 {
        out.scratch.push(u64::from(total) * results as u64 * 4);
        let sum = sum_parts(info, results, total as usize, Slot::Scratch(2), Slot::Arg(2), 3);
        out.passes.extend(sum.passes);
        out.scratch.extend(sum.scratch);
    }
    out
}

/// dw [o, c / groups, kh, kw] from x and dy [n, oh, ow, o].
static CONV2D_WEIGHT: Kernel = Kernel {
    name: "conv2d_weight",
    access: &[Access::Read, Access::Read, Access::Write],
    twin: twin::weight,
    cost: |d| Cost { flops: d.params::<Params>().flops(), bytes: d.bytes() },
    tolerance: Tolerance::SUMMED,
    rewrites: &[],
    variants: &[
        Variant { name: "implicit", fits: implicit::fits_weight, suits: implicit::suits, lower: implicit::weight },
        Variant {
            name: "subgroup",
            fits: fits_subgroup,
            suits: suits_subgroup,
            lower: |info, d| lower_weight(info, Tiling::Subgroup, d),
        },
        Variant {
            name: "tiled",
            fits: fits_tiled,
            suits: |_, _| true,
            lower: |info, d| lower_weight(info, Tiling::Tiled, d),
        },
    ],
};

fn lower_input(info: &Info, tiling: Tiling, d: &Dispatch) -> Lowering {
    let whole: Params = d.params();
    let slices = slices(info, &whole);
    let mut out = Lowering { passes: Vec::new(), scratch: vec![column_bytes(&whole, &slices), matmul::SPARE] };
    for (image, images) in slices {
        let p = Params { image, images, ..whole };
        let mut product = p.input(images as usize * p.positions());
        product.a_base = image * p.positions() as u32 * p.out_channels;
        let operands = Operands::plain(Slot::Arg(0), Slot::Arg(1), Slot::Scratch(0));
        out.passes.push(matmul::pass(info, tiling, &product, &operands, Slot::Scratch(1)));
        let gather = Pass::new(&COL2IM, "col2im", groups(images as usize * p.pixels(), 256));
        out.passes.push(gather.slots(&[Slot::Scratch(0), Slot::Arg(2)]).params(&p));
    }
    out
}

/// dx [n, h, w, c] from dy [n, oh, ow, o] and w.
static CONV2D_INPUT: Kernel = Kernel {
    name: "conv2d_input",
    access: &[Access::Read, Access::Read, Access::Write],
    twin: twin::input,
    cost: |d| Cost { flops: d.params::<Params>().flops(), bytes: d.bytes() },
    tolerance: Tolerance::SUMMED,
    rewrites: &[],
    variants: &[
        Variant { name: "implicit", fits: implicit::fits_input, suits: implicit::suits, lower: implicit::input },
        Variant {
            name: "subgroup",
            fits: fits_subgroup,
            suits: suits_subgroup,
            lower: |info, d| lower_input(info, Tiling::Subgroup, d),
        },
        Variant {
            name: "tiled",
            fits: fits_tiled,
            suits: |_, _| true,
            lower: |info, d| lower_input(info, Tiling::Tiled, d),
        },
    ],
};

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&CONV2D, &CONV2D_WEIGHT, &CONV2D_INPUT];

/// A fresh tensor [n, c, h, w] whose channels are neighbours in memory.
pub(crate) fn channels_last(shape: Shape, like: &Tensor) -> Tensor {
    let [n, c, h, w] = [shape[0], shape[1], shape[2], shape[3]];
    Tensor::empty([n, h, w, c], DType::F32, like.device()).permute(&[0, 3, 1, 2])
}

impl Tensor {
    /// The same elements with the channels of [n, c, h, w] as neighbours in memory.
    pub(crate) fn to_channels_last(&self) -> Tensor {
        self.permute(&[0, 2, 3, 1]).contiguous().permute(&[0, 3, 1, 2])
    }

    /// Convolution of images `[n, c, h, w]` with a weight `[o, c / groups, kh, kw]` and a bias `[o]`, to
    /// `[n, o, oh, ow]`.
    ///
    /// # Panics
    /// If the shapes do not fit each other or the options.
    #[track_caller]
    pub fn conv2d(&self, weight: &Tensor, bias: Option<&Tensor>, options: Conv2dOptions) -> Tensor {
        let (x, w) = (self.shape(), weight.shape());
        let Conv2dOptions { stride, padding, dilation, groups } = options;
        assert!(
            x.rank() == 4 && w.rank() == 4,
            "conv2d: {x} x {w}: images [n, c, h, w] and weights [o, c, kh, kw] are due"
        );
        let whole = groups > 0 && x[1] == w[1] * groups && w[0] % groups == 0;
        assert!(whole, "conv2d: {x} x {w}: {} channels do not fit weights for {} in {groups} groups", x[1], w[1]);
        assert!(stride[0] * stride[1] * dilation[0] * dilation[1] > 0, "conv2d: a stride or dilation is 0");
        let size = |d: usize| {
            let reach = dilation[d] * (w[2 + d].max(1) - 1) + 1;
            let padded = x[2 + d] + 2 * padding[d];
            assert!(
                padded >= reach,
                "conv2d: {x} x {w}: the kernel reaches over {reach} pixels, the image has {padded}"
            );
            (padded - reach) / stride[d] + 1
        };
        let (out_h, out_w) = (size(0), size(1));
        let (input, kernel) = (self.detach(), weight.contiguous());
        let [x_n, x_c, x_h, x_w] = [0, 1, 2, 3].map(|d| input.layout().strides[d] as u32);
        let p = Params {
            batch: x[0] as u32,
            channels: x[1] as u32,
            height: x[2] as u32,
            width: x[3] as u32,
            out_channels: w[0] as u32,
            out_h: out_h as u32,
            out_w: out_w as u32,
            groups: groups as u32,
            kernel_h: w[2] as u32,
            kernel_w: w[3] as u32,
            stride_h: stride[0] as u32,
            stride_w: stride[1] as u32,
            padding_h: padding[0] as u32,
            padding_w: padding[1] as u32,
            dilation_h: dilation[0] as u32,
            dilation_w: dilation[1] as u32,
            x_base: input.base() as u32,
            x_n,
            x_c,
            x_h,
            x_w,
            image: 0,
            images: x[0] as u32,
        };
        let y = channels_last(Shape::from([x[0], w[0], out_h, out_w]), self);
        Tensor::run(&CONV2D, &[&input, &kernel.detach(), &y], &p);
        let (input, kernel) = (self.saved(), kernel.saved());
        let y = y.tracked("conv2d", &[self, weight], move |dy, needs| {
            let dy = dy.to_channels_last();
            let dx = || {
                let dx = channels_last(x, &dy);
                Tensor::run(&CONV2D_INPUT, &[&dy, &kernel, &dx], &p);
                dx
            };
            let dw = || {
                let dw = Tensor::empty(w, DType::F32, dy.device());
                Tensor::run(&CONV2D_WEIGHT, &[&input, &dy, &dw], &p);
                dw
            };
            vec![needs[0].then(dx), needs[1].then(dw)]
        });
        match bias {
            None => y,
            Some(bias) => {
                assert!(
                    *bias.shape() == w[..1],
                    "conv2d: {w} x {}: a bias for each output channel is due",
                    bias.shape()
                );
                y.add(&bias.reshape_to(Shape::from([w[0], 1, 1])))
            }
        }
    }
}
