//! Depthwise convolution, in which each channel is seen by results of its own alone: `shaders/depthwise.wgsl`,
//! `shaders/depthwise_input.wgsl`, `shaders/depthwise_weight.wgsl`, `shaders/depthwise_parts.wgsl`.
//!
//! A product with so few terms is no matrix product: what counts is how often a pixel is read. Images and results lie
//! channels last, so that four channels are one load. Transposed, the same kernels change places.

use super::implicit::{MAX_ITERATIONS, is_turnable, turned};
use super::{ConvParams, channels_last, cost, definition, fuse};
use crate::dtype::DType;
use crate::kernel::functions::relu;
use crate::kernel::strided::Strided;
use crate::kernel::{
    Access, Call, Class, Constant, Dispatch, Info, Kernel, Lowering, Pass, Shader, Slot, Tolerance, Variant, groups,
    parallel, shader,
};
use crate::ops::copy;
use crate::shape::Shape;
use crate::tensor::Tensor;
use Access::{Read, Write};

static FORWARD: Shader = shader!("depthwise", ["conv"], &[Read, Read, Read, Write]);
static INPUT: Shader = shader!("depthwise_input", ["conv"], &[Read, Read, Write]);
static WEIGHT: Shader = shader!("depthwise_weight", ["conv"], &[Read, Read, Write]);
static PARTS: Shader = shader!("depthwise_parts", ["conv"], &[Read, Write, Write]);

/// y [n, oh, ow, o] from x [n, h, w, c], w [o, 1, kh, kw] and a bias [o]; w stands in for a bias that is none.
pub(super) static DEPTHWISE: Kernel =
    Kernel::new("depthwise", FORWARD.access, |call| definition::forward(call, 3), cost)
        .host(forward_host)
        .tolerance(Tolerance::SUMMED)
        .rewrites(&[fuse::RELU])
        .variants(&[
            Variant::new("quads", |_, d| {
                let p: ConvParams = d.params();
                forward(&p, p.walk_of_weight(), true, ends(&p))
            })
            .fits(|_, d| is_by_fours(&d.params())),
            Variant::new("each", |_, d| {
                let p: ConvParams = d.params();
                forward(&p, p.walk_of_weight(), false, ends(&p))
            }),
        ]);

/// dx [n, h, w, c] from dy [n, oh, ow, o] and w.
pub(super) static DEPTHWISE_INPUT: Kernel = Kernel::new("depthwise_input", INPUT.access, definition::input, cost)
    .host(input_host)
    .tolerance(Tolerance::SUMMED)
    .variants(&[
        // A convolution of dy by the kernel turned around.
        Variant::new("turned", |_, d| {
            let p: ConvParams = d.params();
            let (area, back) = (p.kernel_h * p.kernel_w, 1u32.wrapping_neg());
            let walk = Strided::over([area, p.out_channels], area - 1, [back, area]);
            forward(&turned(&p), walk, true, [Slot::Arg(1), Slot::Arg(2)])
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
        .host(weight_host)
        .tolerance(Tolerance::SUMMED)
        .variants(&[
            Variant::new("quads", |info, d| weight(info, d, true)).fits(|_, d| is_by_fours(&d.params())),
            Variant::new("each", |info, d| weight(info, d, false)),
        ]);

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&DEPTHWISE, &DEPTHWISE_INPUT, &DEPTHWISE_WEIGHT];

/// Whether each channel has results of its own, and no invocation loops too long.
pub(super) fn fits(p: &ConvParams) -> bool {
    let [results, kernel_h, kernel_w] = [p.out_channels / p.channels.max(1), p.kernel_h, p.kernel_w].map(u64::from);
    // Results along one dimension that a pixel's gradient asks, most of them in vain where taps lie far apart.
    let asked = |taps: u64, dilation: u32, stride: u32, out: u32| {
        ((taps.saturating_sub(1)).saturating_mul(dilation.into()) / u64::from(stride) + 2).min(out.into())
    };
    let rows = asked(kernel_h, p.dilation_h, p.stride_h, p.out_h);
    let columns = asked(kernel_w, p.dilation_w, p.stride_w, p.out_w);
    p.groups > 1
        && p.groups == p.channels
        && kernel_h * (kernel_w + 2) * (results + 1) < MAX_ITERATIONS as u64
        && rows + kernel_h * (columns + kernel_w * results) < MAX_ITERATIONS as u64
        && ((p.out_w + 1) as usize) < MAX_ITERATIONS
}

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

    /// What shaders count channels by, and the same in steps of it.
    fn items(self, quads: bool) -> (&'static str, ConvParams) {
        if quads {
            ("vec4<f32>", ConvParams { channels: self.channels / 4, out_channels: self.out_channels / 4, ..self })
        } else {
            ("f32", self)
        }
    }
}

/// Where the bias and the results are.
fn ends(p: &ConvParams) -> [Slot; 2] {
    [Slot::Arg(if p.bias == 1 { 2 } else { 1 }), Slot::Arg(3)]
}

/// The weight as `walk` reads it, into scratch memory, and the convolution of the first argument with it.
fn forward(p: &ConvParams, walk: Strided, quads: bool, [bias, y]: [Slot; 2]) -> Lowering {
    let reorder = Pass::new(&copy::SHADER, "copy_strided", groups(walk.n as usize, 256));
    let (item, p) = p.items(quads);
    let known = if p.kernel_w <= 7 { p.kernel_w } else { 0 };
    let items = (p.batch * p.out_h * p.out_w.div_ceil(4) * p.out_channels) as usize;
    let pass = Pass::new(&FORWARD, "depthwise", groups(items, 64))
        .constant("ITEM", Constant::Alias(item))
        .constant("BITS", Constant::Alias(if quads { "vec4<u32>" } else { "u32" }))
        .constant("MULTIPLE", Constant::Bool(p.channels != p.out_channels))
        .constant("SLIDES", Constant::Bool(p.stride_w == p.dilation_w))
        .constant("KERNEL_W", Constant::U32(known));
    Lowering {
        passes: vec![
            reorder.slots(&[Slot::Arg(1), Slot::Scratch(0)]).params(&walk),
            pass.slots(&[Slot::Arg(0), Slot::Scratch(0), bias, y]).params(&p),
        ],
        scratch: vec![u64::from(walk.n) * 4],
    }
}

fn input(d: &Dispatch, quads: bool) -> Lowering {
    let whole: ConvParams = d.params();
    let walk = whole.walk_of_weight();
    let reorder = Pass::new(&copy::SHADER, "copy_strided", groups(walk.n as usize, 256));
    let (item, p) = whole.items(quads);
    let pass = Pass::new(&INPUT, "depthwise_input", groups(p.pixels() * p.batch as usize, 64));
    Lowering {
        passes: vec![
            reorder.slots(&[Slot::Arg(1), Slot::Scratch(0)]).params(&walk),
            pass.constant("ITEM", Constant::Alias(item))
                .slots(&[Slot::Arg(0), Slot::Scratch(0), Slot::Arg(2)])
                .params(&p),
        ],
        scratch: vec![u64::from(walk.n) * 4],
    }
}

/// Sums over parts of the rows of all images, and the sum of these.
fn weight(info: &Info, d: &Dispatch, quads: bool) -> Lowering {
    let whole: ConvParams = d.params();
    let (item, p) = whole.items(quads);
    let tiles = p.out_channels * p.kernel_h * p.kernel_w.div_ceil(4);
    let rows = p.batch * p.out_h;
    // Sums of at most about 2,048 positions, and enough invocations for the machine.
    let wanted = if info.class == Class::Gpu { 65_536 } else { 4_096 };
    let splits = (rows * p.out_w).div_ceil(2048).max(wanted / tiles).clamp(1, rows.min(MAX_SPLITS));
    let each = rows.div_ceil(splits);
    let splits = rows.div_ceil(each);
    let results = (whole.kernel_h * whole.kernel_w + 1) as usize * whole.out_channels as usize;
    let sum = Pass::new(&WEIGHT, "depthwise_weight", groups((tiles * splits) as usize, 64))
        .constant("ITEM", Constant::Alias(item))
        .constant("MULTIPLE", Constant::Bool(p.channels != p.out_channels))
        .constant("SLIDES", Constant::Bool(p.stride_w == p.dilation_w));
    let add = Pass::new(&PARTS, "depthwise_parts", groups(results, 64));
    Lowering {
        passes: vec![
            sum.slots(&[Slot::Arg(0), Slot::Arg(1), Slot::Scratch(0)]).params(&ConvParams { images: each, ..p }),
            add.slots(&[Slot::Scratch(0), Slot::Arg(2), Slot::Arg(3)]).params(&ConvParams { images: splits, ..whole }),
        ],
        scratch: vec![results as u64 * 4 * u64::from(splits)],
    }
}

/// The most parts of the rows.
const MAX_SPLITS: u32 = 16_384;

/// The sizes along one dimension, for the host path.
#[derive(Clone, Copy)]
struct Line {
    pixels: usize,
    results: usize,
    taps: usize,
    stride: usize,
    padding: usize,
    dilation: usize,
}

impl Line {
    fn of(p: &ConvParams) -> [Line; 2] {
        let line = |words: [u32; 6]| {
            let [pixels, results, taps, stride, padding, dilation] = words.map(|word| word as usize);
            Line { pixels, results, taps, stride, padding, dilation }
        };
        [
            line([p.height, p.out_h, p.kernel_h, p.stride_h, p.padding_h, p.dilation_h]),
            line([p.width, p.out_w, p.kernel_w, p.stride_w, p.padding_w, p.dilation_w]),
        ]
    }

    /// The pixel that a result sees by a tap.
    fn pixel(&self, result: usize, tap: usize) -> Option<usize> {
        (result * self.stride + tap * self.dilation).checked_sub(self.padding).filter(|&at| at < self.pixels)
    }

    /// The result that sees a pixel by a tap.
    fn result(&self, pixel: usize, tap: usize) -> Option<usize> {
        let from = (pixel + self.padding).checked_sub(tap * self.dilation)?;
        (from.is_multiple_of(self.stride) && from / self.stride < self.results).then(|| from / self.stride)
    }

    /// The results that see a pixel by a tap, each with its pixel.
    fn pairs(self, tap: usize) -> impl Iterator<Item = (usize, usize)> {
        (0..self.results).filter_map(move |result| self.pixel(result, tap).map(|pixel| (result, pixel)))
    }
}

/// The weight [o, taps] as [taps, o].
fn turn(w: &[f32], taps: usize, turned: &mut [f32]) {
    let out = w.len() / taps.max(1);
    for (o, w) in w.chunks_exact(taps).enumerate() {
        w.iter().enumerate().for_each(|(tap, w)| turned[tap * out + o] = *w);
    }
}

fn forward_host(call: &mut Call) {
    let (p, x, w) = (call.params::<ConvParams>(), call.read::<f32>(0), call.read::<f32>(1));
    let ([down, right], c, out) = (Line::of(&p), p.channels as usize, p.out_channels as usize);
    let (scratch, bias) = (call.scratch(), call.read::<f32>(2));
    let y = call.write::<f32>(3);
    scratch.with(w.len(), |turned| {
        turn(w, down.taps * right.taps, turned);
        let turned = &*turned;
        parallel::chunks(y, right.results * out, |row, y| {
            for y in y.chunks_exact_mut(out) {
                if p.bias == 1 { y.copy_from_slice(bias) } else { y.fill(0.0) }
            }
            let (n, oh) = (row / down.results, row % down.results);
            for kh in 0..down.taps {
                let Some(h) = down.pixel(oh, kh) else { continue };
                for kw in 0..right.taps {
                    let w = &turned[(kh * right.taps + kw) * out..][..out];
                    for (ow, column) in right.pairs(kw) {
                        let x = &x[((n * down.pixels + h) * right.pixels + column) * c..][..c];
                        let y = &mut y[ow * out..][..out];
                        if c == out {
                            y.iter_mut().zip(x).zip(w).for_each(|((y, x), w)| *y += x * w);
                            continue;
                        }
                        let each = out / c;
                        for ((y, x), w) in y.chunks_exact_mut(each).zip(x).zip(w.chunks_exact(each)) {
                            y.iter_mut().zip(w).for_each(|(y, w)| *y += x * w);
                        }
                    }
                }
            }
            if p.relu == 1 {
                y.iter_mut().for_each(|y| *y = relu(*y));
            }
        });
    });
}

fn input_host(call: &mut Call) {
    let (p, dy, w) = (call.params::<ConvParams>(), call.read::<f32>(0), call.read::<f32>(1));
    let ([down, right], c, out) = (Line::of(&p), p.channels as usize, p.out_channels as usize);
    let scratch = call.scratch();
    let dx = call.write::<f32>(2);
    scratch.with(w.len(), |turned| {
        turn(w, down.taps * right.taps, turned);
        let turned = &*turned;
        parallel::chunks(dx, right.pixels * c, |row, dx| {
            dx.fill(0.0);
            let (n, h) = (row / down.pixels, row % down.pixels);
            for kh in 0..down.taps {
                let Some(oh) = down.result(h, kh) else { continue };
                for kw in 0..right.taps {
                    let w = &turned[(kh * right.taps + kw) * out..][..out];
                    for (ow, column) in right.pairs(kw) {
                        let dy = &dy[((n * down.results + oh) * right.results + ow) * out..][..out];
                        let dx = &mut dx[column * c..][..c];
                        if c == out {
                            dx.iter_mut().zip(dy).zip(w).for_each(|((dx, dy), w)| *dx += dy * w);
                            continue;
                        }
                        let each = out / c;
                        for ((dx, dy), w) in dx.iter_mut().zip(dy.chunks_exact(each)).zip(w.chunks_exact(each)) {
                            *dx += dy.iter().zip(w).map(|(dy, w)| dy * w).sum::<f32>();
                        }
                    }
                }
            }
        });
    });
}

/// Parts of the rows of all images whose sums are taken apart: a number that no machine changes.
const PART_COUNT: usize = 8;

fn weight_host(call: &mut Call) {
    let (p, x, dy) = (call.params::<ConvParams>(), call.read::<f32>(0), call.read::<f32>(1));
    let ([down, right], c, out) = (Line::of(&p), p.channels as usize, p.out_channels as usize);
    let (scratch, dw, db) = (call.scratch(), call.write::<f32>(2), call.write::<f32>(3));
    let (taps, rows) = (down.taps * right.taps, p.batch as usize * down.results);
    let (each, whole) = (rows.div_ceil(PART_COUNT).max(1), (taps + 1) * out);
    let parts = rows.div_ceil(each).max(1);
    // The sums of a part, [taps + 1, o], in two halves that keep the digits of f64.
    scratch.with(parts * 2 * whole, |sums| {
        parallel::chunks(sums, 2 * whole, |part, sums| {
            sums.fill(0.0);
            let (high, low) = sums.split_at_mut(whole);
            scratch.with(out, |row_sum| {
                for row in part * each..((part + 1) * each).min(rows) {
                    let (n, oh) = (row / down.results, row % down.results);
                    let dy = &dy[row * right.results * out..][..right.results * out];
                    let mut keep = |tap: usize, sum: &[f32]| {
                        let (high, low) = (&mut high[tap * out..][..out], &mut low[tap * out..][..out]);
                        for ((high, low), sum) in high.iter_mut().zip(low).zip(sum) {
                            let total = f64::from(*high) + f64::from(*low) + f64::from(*sum);
                            *high = total as f32;
                            *low = (total - f64::from(*high)) as f32;
                        }
                    };
                    row_sum.fill(0.0);
                    for dy in dy.chunks_exact(out) {
                        row_sum.iter_mut().zip(dy).for_each(|(sum, dy)| *sum += dy);
                    }
                    keep(taps, row_sum);
                    for tap in 0..taps {
                        let Some(h) = down.pixel(oh, tap / right.taps) else { continue };
                        row_sum.fill(0.0);
                        for (ow, column) in right.pairs(tap % right.taps) {
                            let x = &x[((n * down.pixels + h) * right.pixels + column) * c..][..c];
                            let dy = &dy[ow * out..][..out];
                            if c == out {
                                row_sum.iter_mut().zip(dy).zip(x).for_each(|((sum, dy), x)| *sum += dy * x);
                                continue;
                            }
                            let multiple = out / c;
                            let results = row_sum.chunks_exact_mut(multiple).zip(dy.chunks_exact(multiple));
                            for ((sum, dy), x) in results.zip(x) {
                                sum.iter_mut().zip(dy).for_each(|(sum, dy)| *sum += dy * x);
                            }
                        }
                        keep(tap, row_sum);
                    }
                }
            });
        });
        let sums = &*sums;
        let total = |at: usize| {
            let halves = (0..parts).flat_map(|part| [0, whole].map(|half| sums[part * 2 * whole + half + at]));
            halves.map(f64::from).sum::<f64>() as f32
        };
        dw.iter_mut().enumerate().for_each(|(at, dw)| *dw = total(at % taps * out + at / taps));
        db.iter_mut().enumerate().for_each(|(o, db)| *db = total(taps * out + o));
    });
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
        let saved = (input.saved(), kernel.saved());
        let backward = move |dy: &Tensor, needs: &[bool]| {
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
            let (dw, db) = (Tensor::empty(w, DType::F32, dy.device()), Tensor::empty([w[0]], DType::F32, dy.device()));
            Tensor::run(&DEPTHWISE_WEIGHT, &[input, &dy, &dw, &db], &p);
            let of = |needed: bool, gradient: Tensor| needed.then_some(gradient);
            [Some(dx), Some(of(needs[1], dw)), third.map(|needed| of(needed, db))].into_iter().flatten().collect()
        };
        let inputs: Vec<&Tensor> = [&x, weight].into_iter().chain(bias).collect();
        y.tracked(|| p.op("conv2d"), &inputs, backward)
    }
}
