//! Convolution as layers.

mod around;
mod built;
mod conv1d;
mod conv3d;
mod transpose;

pub use conv1d::Conv1d;
pub use conv3d::Conv3d;
pub use transpose::{ConvTranspose1d, ConvTranspose2d, ConvTranspose3d};

use self::around::{enough, surrounded};
use self::built::{builders, initial};
use super::ctx::Ctx;
use super::fits::misfit;
use super::module::{Init, Layer, Module, Visitor};
use super::parameter::Parameter;
use crate::ops::conv::Conv2dOptions;
use crate::ops::padding::Padding;
use crate::tensor::Tensor;

/// Convolution of `[n, in, h, w]` with weight `[out, in / groups, kh, kw]` and bias `[out]`.
#[doc(alias = "nn.Conv2d")]
#[derive(Debug)]
pub struct Conv2d {
    /// `[out, in / groups, kh, kw]`.
    pub weight: Parameter,
    /// `[out]`.
    pub bias: Option<Parameter>,
    /// Stride, padding, dilation, groups.
    pub options: Conv2dOptions,
    /// What lies around an input: zeros, unless it is set.
    pub padding_mode: Padding,
    /// Whether the size is kept, by as much padding as that takes.
    pub same: bool,
}

impl Conv2d {
    /// A square kernel with a bias, stride 1 and no padding; weights and bias are uniform within
    /// 1 / sqrt(in * kh * kw).
    ///
    /// # Panics
    /// If the kernel's size is 0.
    #[track_caller]
    pub fn new(inputs: usize, outputs: usize, kernel_size: usize, init: &mut Init) -> Conv2d {
        Conv2d::with(inputs, outputs, [kernel_size; 2], Conv2dOptions::default(), init)
    }

    /// With all options.
    ///
    /// # Panics
    /// If the groups do not divide the channels, or a size of the kernel is 0.
    #[track_caller]
    pub fn with(inputs: usize, outputs: usize, kernel: [usize; 2], options: Conv2dOptions, init: &mut Init) -> Conv2d {
        let [weight, bias] = initial("Conv2d", [inputs, outputs], &kernel, options.groups, init);
        let bias = Some(bias);
        Conv2d { weight, bias, options, padding_mode: Padding::Constant(0.0), same: false }
    }

    /// How far the taps reach.
    fn reach(&self) -> [usize; 2] {
        let w = self.weight.shape();
        [0, 1].map(|d| self.options.dilation[d] * (w[2 + d].max(1) - 1))
    }
}

builders!(Conv2d, "Conv2d", |n| [n; 2]);

impl Module for Conv2d {
    fn visit(&self, visitor: &mut Visitor) {
        visitor.weight("weight", &self.weight);
        visitor.child("bias", &self.bias);
    }
}

impl Layer for Conv2d {
    #[track_caller]
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let weight = ctx.param(&self.weight);
        let bias = self.bias.as_ref().map(|bias| ctx.param(bias));
        let (mode, same) = (self.padding_mode, self.same);
        if mode == Padding::Constant(0.0) {
            let function = if same { Tensor::conv2d_same } else { Tensor::conv2d };
            return function(x, &weight, bias.as_ref(), self.options);
        }
        let x = surrounded(x, mode, same, self.options.padding, self.reach());
        x.conv2d(&weight, bias.as_ref(), Conv2dOptions { padding: [0; 2], ..self.options })
    }

    fn batched_rank(&self) -> Option<usize> {
        Some(4)
    }

    fn misfit(&self, x: &Tensor, ctx: &Ctx) -> Option<String> {
        let weight = self.weight.tensor();
        let w = weight.shape();
        let channels = w[1] * self.options.groups;
        let fits = x.rank() == 4 && x.shape()[1] == channels;
        let sizes =
            misfit(fits, "Conv2d", x, &weight, || format!("expected images [n, {channels}, h, w]")).or_else(|| {
                let around = [self.options.padding, self.reach()];
                enough("Conv2d", x, &weight, self.padding_mode, around, self.same)
            });
        sizes.or_else(|| ctx.int8(&self.weight))
    }

    fn title(&self) -> String {
        let w = self.weight.shape();
        format!("Conv2d({}, {}, {}x{})", w[1] * self.options.groups, w[0], w[2], w[3])
    }
}
