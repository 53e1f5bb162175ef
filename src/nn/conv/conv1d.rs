//! Convolution along one dimension as a layer.

use super::around::{enough, surrounded};
use super::built::{builders, initial};
use crate::nn::fits::misfit;
use crate::nn::{Ctx, Init, Layer, Module, Parameter};
use crate::ops::conv::Conv1dOptions;
use crate::ops::padding::Padding;
use crate::tensor::Tensor;

/// Convolution of `[n, in, length]` with weight `[out, in / groups, k]` and bias `[out]`.
#[derive(Debug, Module)]
pub struct Conv1d {
    /// `[out, in / groups, k]`.
    pub weight: Parameter,
    /// `[out]`.
    pub bias: Option<Parameter>,
    /// Stride, padding, dilation, groups.
    #[module(skip)]
    pub options: Conv1dOptions,
    /// What lies around an input: zeros, unless it is set.
    #[module(skip)]
    pub padding_mode: Padding,
    /// Whether the size is kept, by as much padding as that takes.
    #[module(skip)]
    pub same: bool,
}

impl Conv1d {
    /// With a bias, stride 1 and no padding; weights and bias are uniform within 1 / sqrt(in * k).
    #[track_caller]
    pub fn new(inputs: usize, outputs: usize, kernel_size: usize, init: &mut Init) -> Conv1d {
        Conv1d::with(inputs, outputs, kernel_size, Conv1dOptions::default(), init)
    }

    /// With all options.
    ///
    /// # Panics
    /// If the groups do not divide the channels, or the kernel's size is 0.
    #[track_caller]
    pub fn with(inputs: usize, outputs: usize, kernel_size: usize, options: Conv1dOptions, init: &mut Init) -> Conv1d {
        let [weight, bias] = initial("Conv1d", [inputs, outputs], &[kernel_size], options.groups, init);
        let bias = Some(bias);
        Conv1d { weight, bias, options, padding_mode: Padding::Constant(0.0), same: false }
    }

    /// How far the taps reach.
    fn reach(&self) -> [usize; 1] {
        [self.options.dilation * (self.weight.shape()[2].max(1) - 1)]
    }
}

builders!(Conv1d, "Conv1d", |n| n);

impl Layer for Conv1d {
    #[track_caller]
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let weight = ctx.param(&self.weight);
        let bias = self.bias.as_ref().map(|bias| ctx.param(bias));
        let (mode, same) = (self.padding_mode, self.same);
        if mode == Padding::Constant(0.0) {
            let function = if same { Tensor::conv1d_same } else { Tensor::conv1d };
            return function(x, &weight, bias.as_ref(), self.options);
        }
        let x = surrounded(x, mode, same, [self.options.padding], self.reach());
        x.conv1d(&weight, bias.as_ref(), Conv1dOptions { padding: 0, ..self.options })
    }

    fn batched_rank(&self) -> Option<usize> {
        Some(3)
    }

    fn misfit(&self, x: &Tensor, _ctx: &Ctx) -> Option<String> {
        let weight = self.weight.tensor();
        let w = weight.shape();
        let channels = w[1] * self.options.groups;
        let fits = x.rank() == 3 && x.shape()[1] == channels;
        misfit(fits, "Conv1d", x, &weight, || format!("expected [n, {channels}, length]")).or_else(|| {
            let around = [[self.options.padding], self.reach()];
            enough("Conv1d", x, &weight, self.padding_mode, around, self.same)
        })
    }

    fn title(&self) -> String {
        let w = self.weight.shape();
        format!("Conv1d({}, {}, {})", w[1] * self.options.groups, w[0], w[2])
    }
}
