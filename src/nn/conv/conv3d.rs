//! Convolution of volumes as a layer.

use super::around::{enough, surrounded};
use super::built::{builders, initial};
use crate::nn::fits::misfit;
use crate::nn::{Ctx, Init, Layer, Module, Parameter};
use crate::ops::conv::Conv3dOptions;
use crate::ops::padding::Padding;
use crate::tensor::Tensor;

/// Convolution of `[n, in, d, h, w]` with weight `[out, in / groups, kd, kh, kw]` and bias `[out]`.
#[doc(alias = "nn.Conv3d")]
#[derive(Debug, Module)]
pub struct Conv3d {
    /// `[out, in / groups, kd, kh, kw]`.
    pub weight: Parameter,
    /// `[out]`.
    pub bias: Option<Parameter>,
    /// Stride, padding, dilation, groups.
    #[module(skip)]
    pub options: Conv3dOptions,
    /// What lies around an input: zeros, unless it is set.
    #[module(skip)]
    pub padding_mode: Padding,
    /// Whether the size is kept, by as much padding as that takes.
    #[module(skip)]
    pub same: bool,
}

impl Conv3d {
    /// A cube as kernel with a bias, stride 1 and no padding; weights and bias are uniform within
    /// 1 / sqrt(in * kd * kh * kw).
    ///
    /// # Panics
    /// If the kernel's size is 0.
    #[track_caller]
    pub fn new(inputs: usize, outputs: usize, kernel_size: usize, init: &mut Init) -> Conv3d {
        Conv3d::with(inputs, outputs, [kernel_size; 3], Conv3dOptions::default(), init)
    }

    /// With all options.
    ///
    /// # Panics
    /// If the groups do not divide the channels, or a size of the kernel is 0.
    #[track_caller]
    pub fn with(inputs: usize, outputs: usize, kernel: [usize; 3], options: Conv3dOptions, init: &mut Init) -> Conv3d {
        let [weight, bias] = initial("Conv3d", [inputs, outputs], &kernel, options.groups, init);
        let bias = Some(bias);
        Conv3d { weight, bias, options, padding_mode: Padding::Constant(0.0), same: false }
    }

    /// How far the taps reach.
    fn reach(&self) -> [usize; 3] {
        let w = self.weight.shape();
        [0, 1, 2].map(|d| self.options.dilation[d] * (w[2 + d].max(1) - 1))
    }
}

builders!(Conv3d, "Conv3d", |n| [n; 3]);

impl Layer for Conv3d {
    #[track_caller]
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let weight = ctx.param(&self.weight);
        let bias = self.bias.as_ref().map(|bias| ctx.param(bias));
        let (mode, same) = (self.padding_mode, self.same);
        if mode == Padding::Constant(0.0) {
            let function = if same { Tensor::conv3d_same } else { Tensor::conv3d };
            return function(x, &weight, bias.as_ref(), self.options);
        }
        let x = surrounded(x, mode, same, self.options.padding, self.reach());
        x.conv3d(&weight, bias.as_ref(), Conv3dOptions { padding: [0; 3], ..self.options })
    }

    fn batched_rank(&self) -> Option<usize> {
        Some(5)
    }

    fn misfit(&self, x: &Tensor, _ctx: &Ctx) -> Option<String> {
        let weight = self.weight.tensor();
        let w = weight.shape();
        let channels = w[1] * self.options.groups;
        let fits = x.rank() == 5 && x.shape()[1] == channels;
        misfit(fits, "Conv3d", x, &weight, || format!("expected volumes [n, {channels}, d, h, w]")).or_else(|| {
            let around = [self.options.padding, self.reach()];
            enough("Conv3d", x, &weight, self.padding_mode, around, self.same)
        })
    }

    fn title(&self) -> String {
        let w = self.weight.shape();
        format!("Conv3d({}, {}, {}x{}x{})", w[1] * self.options.groups, w[0], w[2], w[3], w[4])
    }
}
