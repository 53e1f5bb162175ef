//! Depthwise convolution, in which each channel is seen by results of its own alone: `shaders/depthwise.wgsl`,
//! `shaders/depthwise_input.wgsl`, `shaders/depthwise_weight.wgsl`, `shaders/depthwise_parts.wgsl`.
//!
//! A product with so few terms is no matrix product: what counts is how often a pixel is read. Images and results lie
//! channels last, so that four channels are one load. Transposed, the same kernels change places.

mod host;

use super::choose::is_turnable;
use super::lower::{parts_of_rows, with_weight};
use super::{ConvParams, again, cost, definition, fuse};
use crate::autograd::is_differentiated;
use crate::kernel::strided::Strided;
use crate::kernel::{
    Access, Constant, Dispatch, Info, Kernel, Lowering, Pass, Shader, Slot, Tolerance, Variant, groups, shader,
};
use crate::ops::channels_last::channels_last;
use crate::shape::Shape;
use crate::tensor::Tensor;
use Access::{Read, Write};

static FORWARD: Shader = shader!("depthwise", ["halves", "conv"], &[Read, Read, Read, Write]);
static INPUT: Shader = shader!("depthwise_input", ["halves", "conv"], &[Read, Read, Write]);
static WEIGHT: Shader = shader!("depthwise_weight", ["halves", "conv"], &[Read, Read, Write]);
static PARTS: Shader = shader!("depthwise_parts", ["conv"], &[Read, Write, Write]);

/// y [n, oh, ow, o] from x [n, h, w, c], w [o, 1, kh, kw] and a bias [o]; w stands in for a bias that is none.
pub(super) static DEPTHWISE: Kernel =
    Kernel::new("depthwise", FORWARD.access, |call| definition::forward(call, 3), cost)
        .host(host::forward)
        .tolerance(Tolerance::SUMMED)
        .proportional_to(&[0, 1])
        .rewrites(&[fuse::RELU])
        .variants(&[
            Variant::new("quads", |_, d| {
                let p: ConvParams = d.params();
                forward(d, &p, p.walk_of_weight(), true, ends(&p))
            })
            .fits(|_, d| is_by_fours(&d.params())),
            Variant::new("each", |_, d| {
                let p: ConvParams = d.params();
                forward(d, &p, p.walk_of_weight(), false, ends(&p))
            }),
        ]);

/// dx [n, h, w, c] from dy [n, oh, ow, o] and w.
pub(super) static DEPTHWISE_INPUT: Kernel = Kernel::new("depthwise_input", INPUT.access, definition::input, cost)
    .host(host::input)
    .tolerance(Tolerance::SUMMED)
    .proportional_to(&[0, 1])
    .variants(&[
        // A convolution of dy by the kernel turned around.
        Variant::new("turned", |_, d| {
            let p: ConvParams = d.params();
            let (area, back) = (p.kernel_h * p.kernel_w, 1u32.wrapping_neg());
            let walk = Strided::over([area, p.out_channels], area - 1, [back, area]);
            forward(d, &p.turned(), walk, true, [Slot::Arg(1), Slot::Arg(2)])
        })
        .fits(|_, d| {
            let p: ConvParams = d.params();
            is_by_fours(&p) && is_turnable(&p)
        }),
        Variant::new("quads", |_, d| input(d, true)).fits(|_, d| is_by_fours(&d.params())),
        Variant::new("each", |_, d| input(d, false)),
    ]);

/// dw [o, 1, kh, kw] and db [o] from x and dy.
pub(super) static DEPTHWISE_WEIGHT: Kernel =
    Kernel::new("depthwise_weight", &[Read, Read, Write, Write], |call| definition::weight(call, true), cost)
        .host(host::weight)
        .tolerance(Tolerance::SUMMED)
        .proportional_to(&[0, 1])
        .variants(&[
            Variant::new("quads", |info, d| weight(info, d, true)).fits(|_, d| is_by_fours(&d.params())),
            Variant::new("each", |info, d| weight(info, d, false)),
        ]);

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&DEPTHWISE, &DEPTHWISE_INPUT, &DEPTHWISE_WEIGHT];

/// Whether four channels are seen by four results.
fn is_by_fours(p: &ConvParams) -> bool {
    p.channels == p.out_channels && p.channels.is_multiple_of(4)
}

impl ConvParams {
    /// The weight [o, kh, kw] walked as [kh, kw, o].
    fn walk_of_weight(&self) -> Strided {
        let area = self.kernel_h * self.kernel_w;
        Strided::over([area, self.out_channels], 0, [1, area])
    }

    /// The channels that shaders take at a time, and the parameters in steps of as many.
    fn items(self, quads: bool) -> (usize, ConvParams) {
        if quads {
            (4, ConvParams { channels: self.channels / 4, out_channels: self.out_channels / 4, ..self })
        } else {
            (1, self)
        }
    }
}

/// The slots of the bias and of the results.
fn ends(p: &ConvParams) -> [Slot; 2] {
    [Slot::Arg(if p.bias == 1 { 2 } else { 1 }), Slot::Arg(3)]
}

/// The weight as `walk` reads it, into scratch memory, and the convolution of the first argument with it.
fn forward(d: &Dispatch, p: &ConvParams, walk: Strided, quads: bool, [bias, y]: [Slot; 2]) -> Lowering {
    let (width, p) = p.items(quads);
    let known = if p.kernel_w <= 7 { p.kernel_w } else { 0 };
    let items = (p.batch * p.out_h * p.out_w.div_ceil(4) * p.out_channels) as usize;
    let pass = Pass::new(&FORWARD, "depthwise", groups(items, 64))
        .items(width, &["X", "", "", "Y"])
        .constant("BITS", Constant::Alias(if quads { "vec4<u32>" } else { "u32" }))
        .constant("MULTIPLE", Constant::Bool(p.channels != p.out_channels))
        .constant("SLIDES", Constant::Bool(p.stride_w == p.dilation_w))
        .constant("KERNEL_W", Constant::U32(known));
    with_weight(d, &walk, |_, weight| pass.slots(&[Slot::Arg(0), weight, bias, y]).params(&p))
}

fn input(d: &Dispatch, quads: bool) -> Lowering {
    let whole: ConvParams = d.params();
    let (width, p) = whole.items(quads);
    let pass = Pass::new(&INPUT, "depthwise_input", groups(p.pixels() * p.batch as usize, 64));
    let pass = pass.items(width, &["DY", "", "DX"]).params(&p);
    with_weight(d, &whole.walk_of_weight(), |_, weight| pass.slots(&[Slot::Arg(0), weight, Slot::Arg(2)]))
}

/// Sums over parts of the rows of all images, and the sum of these.
fn weight(info: &Info, d: &Dispatch, quads: bool) -> Lowering {
    let whole: ConvParams = d.params();
    let (width, p) = whole.items(quads);
    let tiles = p.out_channels * p.kernel_h * p.kernel_w.div_ceil(4);
    let [each, splits] = parts_of_rows(info, &p, tiles);
    let results = (whole.kernel_h * whole.kernel_w + 1) as usize * whole.out_channels as usize;
    let sum = Pass::new(&WEIGHT, "depthwise_weight", groups((tiles * splits) as usize, 64))
        .items(width, &["X", "DY"])
        .constant("MULTIPLE", Constant::Bool(p.channels != p.out_channels))
        .constant("SLIDES", Constant::Bool(p.stride_w == p.dilation_w));
    let add = Pass::new(&PARTS, "depthwise_parts", groups(results, 64));
    let mut out = Lowering::default();
    let parts = out.scratch(results as u64 * 4 * u64::from(splits));
    out.passes = vec![
        sum.slots(&[Slot::Arg(0), Slot::Arg(1), parts]).params(&ConvParams { images: each, ..p }),
        add.slots(&[parts, Slot::Arg(2), Slot::Arg(3)]).params(&ConvParams { images: splits, ..whole }),
    ];
    out
}

impl Tensor {
    /// [`Tensor::conv2d`] where each channel has results of its own.
    #[track_caller]
    pub(super) fn depthwise(&self, weight: &Tensor, bias: Option<&Tensor>, p: ConvParams) -> Tensor {
        let (x, w) = (self.to_channels_last(), weight.shape());
        let (input, kernel, shape) = (x.detach(), weight.contiguous(), x.shape());
        let [c, h, w_] = [p.channels, p.height, p.width];
        let lies = ConvParams { x_base: 0, x_n: h * w_ * c, x_c: 1, x_h: w_ * c, x_w: c, ..p };
        let p = ConvParams { bias: u32::from(bias.is_some()), ..lies };
        let y = channels_last(Shape::from([p.batch, p.out_channels, p.out_h, p.out_w].map(|s| s as usize)), self);
        let own = bias.map_or(kernel.clone(), Tensor::contiguous).detach();
        Tensor::run(&DEPTHWISE, &[&input, &kernel.detach(), &own, &y], &p);
        let saved = (x.saved(), kernel.saved());
        let of_w = weight.gradient_dtype();
        let of_b = bias.map_or(of_w, Tensor::gradient_dtype);
        let backward = move |dy: &Tensor, needs: &[bool]| {
            if is_differentiated() {
                return again::gradients([&saved.0, &saved.1], dy, needs, &p);
            }
            let ((input, kernel), dy) = (&saved, dy.to_channels_last());
            let dx = needs[0].then(|| {
                let dx = channels_last(shape, &dy);
                Tensor::run(&DEPTHWISE_INPUT, &[&dy, kernel, &dx], &p);
                dx
            });
            let third = needs.get(2).copied();
            if !needs[1] && third != Some(true) {
                return [Some(dx), Some(None), third.map(|_| None)].into_iter().flatten().collect();
            }
            let [dw, db] = [(w, of_w), (Shape::from([w[0]]), of_b)].map(|(s, of)| Tensor::empty(s, of, dy.device()));
            Tensor::run(&DEPTHWISE_WEIGHT, &[input, &dy, &dw, &db], &p);
            let of = |needed: bool, gradient: Tensor| needed.then_some(gradient);
            [Some(dx), Some(of(needs[1], dw)), third.map(|needed| of(needed, db))].into_iter().flatten().collect()
        };
        let inputs: Vec<&Tensor> = [&x, weight].into_iter().chain(bias).collect();
        y.tracked(|| p.op("conv2d"), &inputs, backward)
    }
}
