//! Convolution along one dimension as a layer.

use crate::nn::fits::misfit;
use crate::nn::{Ctx, Init, Layer, Module, Parameter};
use crate::ops::conv::{Conv1dOptions, ConvTranspose1dOptions};
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
    /// If the groups do not divide the channels.
    #[track_caller]
    pub fn with(inputs: usize, outputs: usize, kernel_size: usize, options: Conv1dOptions, init: &mut Init) -> Conv1d {
        let groups = options.groups;
        let whole = groups > 0 && inputs.is_multiple_of(groups) && outputs.is_multiple_of(groups);
        assert!(whole, "Conv1d: {groups} groups do not divide {inputs} and {outputs} channels");
        let fan_in = inputs / groups * kernel_size;
        let weight = init.uniform([outputs, inputs / groups, kernel_size], fan_in);
        Conv1d { weight, bias: Some(init.uniform([outputs], fan_in)), options }
    }

    /// The same with zeros at both ends.
    pub fn padding(mut self, padding: usize) -> Conv1d {
        self.options.padding = padding;
        self
    }

    /// The same with another distance between positions.
    pub fn stride(mut self, stride: usize) -> Conv1d {
        self.options.stride = stride;
        self
    }

    /// The same with another distance between taps.
    pub fn dilation(mut self, dilation: usize) -> Conv1d {
        self.options.dilation = dilation;
        self
    }

    /// The same without the bias, as before batch normalisation.
    pub fn without_bias(mut self) -> Conv1d {
        self.bias = None;
        self
    }
}

impl Layer for Conv1d {
    #[track_caller]
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let weight = ctx.param(&self.weight);
        let bias = self.bias.as_ref().map(|bias| ctx.param(bias));
        x.conv1d(&weight, bias.as_ref(), self.options)
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
            let Conv1dOptions { padding, dilation, .. } = self.options;
            let least = (dilation * (w[2].max(1) - 1) + 1).saturating_sub(2 * padding);
            misfit(x.shape()[2] >= least, "Conv1d", x, &weight, || format!("expected a length of at least {least}"))
        })
    }

    fn title(&self) -> String {
        let w = self.weight.shape();
        format!("Conv1d({}, {}, {})", w[1] * self.options.groups, w[0], w[2])
    }
}

/// Transposed convolution of `[n, in, length]` with weight `[in, out / groups, k]` and bias `[out]`.
#[derive(Debug, Module)]
pub struct ConvTranspose1d {
    /// `[in, out / groups, k]`.
    pub weight: Parameter,
    /// `[out]`.
    pub bias: Option<Parameter>,
    /// Stride, padding, output padding, dilation, groups.
    #[module(skip)]
    pub options: ConvTranspose1dOptions,
}

impl ConvTranspose1d {
    /// With a bias, stride 1 and no padding; weights and bias are uniform within 1 / sqrt(out * k), as in PyTorch.
    #[track_caller]
    pub fn new(inputs: usize, outputs: usize, kernel_size: usize, init: &mut Init) -> ConvTranspose1d {
        ConvTranspose1d::with(inputs, outputs, kernel_size, ConvTranspose1dOptions::default(), init)
    }

    /// With all options.
    ///
    /// # Panics
    /// If the groups do not divide the channels.
    #[track_caller]
    pub fn with(
        inputs: usize,
        outputs: usize,
        kernel_size: usize,
        options: ConvTranspose1dOptions,
        init: &mut Init,
    ) -> ConvTranspose1d {
        let groups = options.groups;
        let whole = groups > 0 && inputs.is_multiple_of(groups) && outputs.is_multiple_of(groups);
        assert!(whole, "ConvTranspose1d: {groups} groups do not divide {inputs} and {outputs} channels");
        let fan_in = outputs / groups * kernel_size;
        let weight = init.uniform([inputs, outputs / groups, kernel_size], fan_in);
        ConvTranspose1d { weight, bias: Some(init.uniform([outputs], fan_in)), options }
    }

    /// The same without the bias, as before batch normalisation.
    pub fn without_bias(mut self) -> ConvTranspose1d {
        self.bias = None;
        self
    }
}

impl Layer for ConvTranspose1d {
    #[track_caller]
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let weight = ctx.param(&self.weight);
        let bias = self.bias.as_ref().map(|bias| ctx.param(bias));
        x.conv_transpose1d(&weight, bias.as_ref(), self.options)
    }

    fn batched_rank(&self) -> Option<usize> {
        Some(3)
    }

    fn misfit(&self, x: &Tensor, _ctx: &Ctx) -> Option<String> {
        let weight = self.weight.tensor();
        let inputs = weight.shape()[0];
        let fits = x.rank() == 3 && x.shape()[1] == inputs;
        misfit(fits, "ConvTranspose1d", x, &weight, || format!("expected [n, {inputs}, length]"))
    }

    fn title(&self) -> String {
        let w = self.weight.shape();
        format!("ConvTranspose1d({}, {}, {})", w[0], w[1] * self.options.groups, w[2])
    }
}
