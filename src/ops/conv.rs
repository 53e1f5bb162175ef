//! Convolution: in `conv/columns.rs` by products with the matrix of columns that the kernel sees, without that matrix in
//! `conv/implicit.rs` for software adapters and in `conv/tiles.rs` for GPUs, which take others too as `conv/recast.rs` puts them;
//! depthwise in `conv/depthwise.rs`.
//! `conv/choose.rs` says which way one goes.
//!
//! Outputs lie channels last in memory, in the shape [n, c, h, w].

mod again;
mod choose;
mod columns;
mod conv1d;
mod conv3d;
mod definition;
pub mod depthwise;
mod fuse;
mod grouped;
mod host;
mod implicit;
mod lower;
mod recast;
mod tiles;
mod transpose;

pub use conv1d::{Conv1dOptions, ConvTranspose1dOptions};
pub use conv3d::{Conv3dOptions, ConvTranspose3dOptions};
pub use transpose::ConvTranspose2dOptions;

use crate::autograd::{Op, is_differentiated};
use crate::kernel::{Access, Cost, Dispatch, Kernel, Tolerance, Uniform};
use crate::ops::channels_last::{channels_last, image_strides};
use crate::shape::{Shape, Windows};
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

/// The struct `Conv` of `shaders/prelude/conv.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable, Uniform)]
struct ConvParams {
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
    /// 1: a bias is added.
    bias: u32,
    /// 1: a relu follows.
    relu: u32,
    /// Sizes of the results of a pooling of 2 x 2 behind; 0 without one.
    pooled_h: u32,
    pooled_w: u32,
    /// Their strides: image, channel, row, column.
    y: [u32; 4],
}

impl ConvParams {
    /// The convolution, by what a user asked for.
    fn op(&self, op: &'static str) -> Op {
        let op = Op::new(op).with("stride", [self.stride_h, self.stride_w]);
        let op =
            op.with("padding", [self.padding_h, self.padding_w]).with("dilation", [self.dilation_h, self.dilation_w]);
        op.with("groups", self.groups)
    }

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
}

fn cost(d: &Dispatch) -> Cost {
    d.cost(d.params::<ConvParams>().flops())
}

use Access::{Read, Write};

/// y [n, oh, ow, o] = x convolved with w [o, c / groups, kh, kw], and its relu where one follows.
static CONV2D: Kernel = Kernel::new("conv2d", &[Read, Read, Write], |call| definition::forward(call, 2), cost)
    .host(host::forward)
    .tolerance(Tolerance::SUMMED)
    .proportional_to(&[0, 1])
    .rewrites(&[fuse::RELU])
    .variants(choose::FORWARD);

/// The same with a bias [o].
static CONV2D_BIAS: Kernel =
    Kernel::new("conv2d_bias", &[Read, Read, Read, Write], |call| definition::forward(call, 3), cost)
        .host(host::forward)
        .tolerance(Tolerance::SUMMED)
        .proportional_to(&[0, 1])
        .rewrites(&[fuse::RELU, fuse::MAX_POOL])
        .variants(choose::FORWARD);

/// The same, and the largest of each 2 x 2 results, with its place.
static CONV2D_POOL: Kernel = Kernel::new("conv2d_pool", &[Read, Read, Read, Write, Write], definition::pooled, cost)
    .host(host::pooled)
    .tolerance(Tolerance::SUMMED)
    .proportional_to(&[0, 1])
    .variants(choose::FORWARD);

/// dw [o, c / groups, kh, kw] from x and dy [n, oh, ow, o].
static CONV2D_WEIGHT: Kernel =
    Kernel::new("conv2d_weight", &[Read, Read, Write], |call| definition::weight(call, false), cost)
        .host(host::weight)
        .tolerance(Tolerance::SUMMED)
        .proportional_to(&[0, 1])
        .variants(choose::WEIGHT);

/// The same, and db [o].
static CONV2D_WEIGHT_BIAS: Kernel =
    Kernel::new("conv2d_weight_bias", &[Read, Read, Write, Write], |call| definition::weight(call, true), cost)
        .host(host::weight)
        .tolerance(Tolerance::SUMMED)
        .proportional_to(&[0, 1])
        .variants(choose::WEIGHT);

/// dx [n, h, w, c] from dy [n, oh, ow, o] and w.
static CONV2D_INPUT: Kernel = Kernel::new("conv2d_input", &[Read, Read, Write], definition::input, cost)
    .host(host::input)
    .tolerance(Tolerance::SUMMED)
    .proportional_to(&[0, 1])
    .variants(choose::INPUT);

/// The kernels of this page.
pub static KERNELS: &[&Kernel] =
    &[&CONV2D, &CONV2D_BIAS, &CONV2D_POOL, &CONV2D_WEIGHT, &CONV2D_WEIGHT_BIAS, &CONV2D_INPUT];

/// What no images, no channels or no weights give: the bias alone.
#[track_caller]
fn of_bias(op: &'static str, shape: Shape, inputs: [&Tensor; 2], bias: Option<&Tensor>) -> Tensor {
    let y = Tensor::of_nothing(op, shape, &inputs);
    bias.map_or(y.clone(), |bias| y.add(&bias.reshape_to(Shape::from([shape[1], 1, 1]))))
}

/// # Convolution of images
impl Tensor {
    /// Convolution of images `[n, c, h, w]` with a weight `[o, c / groups, kh, kw]` and a bias `[o]`, to
    /// `[n, o, oh, ow]`. One image `[c, h, w]` gives `[o, oh, ow]`.
    ///
    /// # Panics
    /// If the shapes do not fit each other or the options.
    #[doc(alias = "convolution")]
    #[track_caller]
    pub fn conv2d(&self, weight: &Tensor, bias: Option<&Tensor>, options: Conv2dOptions) -> Tensor {
        self.convolution("conv2d", weight, bias, options)
    }

    /// [`Tensor::conv2d`] with as much padding as keeps height and width, in the place of that of the options: PyTorch's
    /// `padding="same"`. Of an odd number, the larger half is behind.
    ///
    /// # Panics
    /// If a stride is not 1, or as [`Tensor::conv2d`].
    #[track_caller]
    pub fn conv2d_same(&self, weight: &Tensor, bias: Option<&Tensor>, options: Conv2dOptions) -> Tensor {
        let w = weight.shape();
        assert!(w.rank() == 4, "conv2d: {} x {w}: expected weights [o, c, kh, kw]", self.shape());
        assert!(
            options.stride == [1, 1],
            "conv2d: padding that keeps the size takes strides of 1, got {:?}",
            options.stride
        );
        let total = [0, 1].map(|d| options.dilation[d] * w[2 + d].saturating_sub(1));
        let padding = total.map(|n| n / 2);
        let odd = total.map(|n| n % 2);
        let x = if odd == [0, 0] { self.clone() } else { self.pad(&[(0, odd[1]), (0, odd[0])], 0.0) };
        x.conv2d(weight, bias, Conv2dOptions { padding, ..options })
    }

    /// [`Tensor::conv2d`], whose sentences name `op`.
    #[track_caller]
    fn convolution(&self, op: &'static str, weight: &Tensor, bias: Option<&Tensor>, options: Conv2dOptions) -> Tensor {
        if let Some(batch) = self.batch_of_one(4) {
            return batch.convolution(op, weight, bias, options).squeeze(0);
        }
        let (x, w) = (self.shape(), weight.shape());
        let Conv2dOptions { stride, padding, dilation, groups } = options;
        assert!(
            x.rank() == 4 && w.rank() == 4,
            "{op}: {x} x {w}: expected images [n, c, h, w] and weights [o, c, kh, kw]"
        );
        for t in [self, weight] {
            assert!(t.dtype().is_float(), "{op}: {x} x {w}: expected tensors of floats, got {}", t.dtype());
        }
        let whole = groups > 0 && w[1].checked_mul(groups) == Some(x[1]) && w[0] % groups == 0;
        assert!(whole, "{op}: {x} x {w}: {} channels do not fit weights for {} in {groups} groups", x[1], w[1]);
        let shapes = format!("{x} x {w}");
        let walk = |d: usize| Windows { taps: w[2 + d], stride: stride[d], padding: padding[d], dilation: dilation[d] };
        let (out_h, down) = walk(0).over(op, &shapes, x[2]);
        let (out_w, right) = walk(1).over(op, &shapes, x[3]);
        let (input, kernel) = (self.detach(), weight.contiguous());
        let [x_n, x_c, x_h, x_w] = image_strides(&input);
        let p = ConvParams {
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
            stride_h: down.stride as u32,
            stride_w: right.stride as u32,
            padding_h: padding[0] as u32,
            padding_w: padding[1] as u32,
            dilation_h: down.dilation as u32,
            dilation_w: right.dilation as u32,
            x_base: input.base() as u32,
            x_n,
            x_c,
            x_h,
            x_w,
            image: 0,
            images: x[0] as u32,
            bias: 0,
            relu: 0,
            pooled_h: 0,
            pooled_w: 0,
            y: [0; 4],
        };
        if let Some(bias) = bias {
            let fits = *bias.shape() == w[..1] && bias.dtype().is_float();
            assert!(fits, "{op}: {w} x {}: expected a bias of floats for each output channel", bias.shape());
        }
        let all: Vec<&Tensor> = [Some(self), Some(weight), bias].into_iter().flatten().collect();
        let dtype = Tensor::promoted(op, &all);
        if [self, weight].iter().any(|t| t.dtype() != dtype) {
            // The bias is added before anything is rounded.
            return self.cast(dtype).convolution(op, &weight.cast(dtype), bias, options);
        }
        if x.contains(&0) || w.contains(&0) {
            return of_bias(op, Shape::from([x[0], w[0], out_h, out_w]), [self, weight], bias);
        }
        if choose::is_depthwise(&p) {
            return self.depthwise(weight, bias, p);
        }
        match bias {
            Some(bias) if groups == 1 => {
                self.convolved(&input, [weight, &kernel], Some(bias), ConvParams { bias: 1, ..p })
            }
            Some(bias) => {
                let y = self.convolved(&input, [weight, &kernel], None, p);
                y.add(&bias.reshape_to(Shape::from([w[0], 1, 1])))
            }
            None => self.convolved(&input, [weight, &kernel], None, p),
        }
    }

    #[track_caller]
    fn convolved(
        &self,
        input: &Tensor,
        [weight, kernel]: [&Tensor; 2],
        bias: Option<&Tensor>,
        p: ConvParams,
    ) -> Tensor {
        let (x, w) = (self.shape(), weight.shape());
        let sizes = [p.batch, p.out_channels, p.out_h, p.out_w].map(|size| size as usize);
        let y = channels_last(Shape::from(sizes), self);
        let saved = (input.saved_as(self), kernel.saved());
        let of_w = weight.gradient_dtype();
        let of_b = bias.map_or(of_w, Tensor::gradient_dtype);
        let backward = move |dy: &Tensor, needs: &[bool]| {
            if is_differentiated() {
                return again::gradients([&saved.0, &saved.1], dy, needs, &p);
            }
            let ((input, kernel), dy) = (&saved, dy.to_channels_last());
            let dx = || {
                let dx = channels_last(x, &dy);
                Tensor::run(&CONV2D_INPUT, &[&dy, kernel, &dx], &p);
                dx
            };
            let weights = || {
                let dw = Tensor::empty(w, of_w, dy.device());
                if !needs.get(2).is_some_and(|needed| *needed) {
                    Tensor::run(&CONV2D_WEIGHT, &[input, &dy, &dw], &ConvParams { bias: 0, ..p });
                    return (dw, None);
                }
                let db = Tensor::empty([w[0]], of_b, dy.device());
                Tensor::run(&CONV2D_WEIGHT_BIAS, &[input, &dy, &dw, &db], &p);
                (dw, Some(db))
            };
            let mut all = vec![needs[0].then(dx)];
            match (needs[1], needs.get(2)) {
                (true, third) => {
                    let (dw, db) = weights();
                    all.push(Some(dw));
                    all.extend(third.map(|_| db));
                }
                (false, third) => {
                    all.push(None);
                    all.extend(third.map(|needed| {
                        needed.then(|| dy.sum_to_as(Shape::from([w[0], 1, 1]), of_b).reshape_to(Shape::from([w[0]])))
                    }));
                }
            }
            all
        };
        match bias {
            Some(bias) => {
                let own = bias.contiguous().detach();
                Tensor::run(&CONV2D_BIAS, &[input, &kernel.detach(), &own, &y], &p);
                y.tracked(|| p.op("conv2d"), &[self, weight, bias], backward)
            }
            None => {
                Tensor::run(&CONV2D, &[input, &kernel.detach(), &y], &p);
                y.tracked(|| p.op("conv2d"), &[self, weight], backward)
            }
        }
    }
}
