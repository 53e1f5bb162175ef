//! Transposed convolution as a layer.

use crate::nn::fits::misfit;
use crate::nn::{Ctx, Init, Layer, Module, Parameter};
use crate::ops::conv::ConvTranspose2dOptions;
use crate::tensor::Tensor;

/// Transposed convolution of `[n, in, h, w]` with weight `[in, out / groups, kh, kw]` and bias `[out]`.
#[derive(Debug, Module)]
pub struct ConvTranspose2d {
    /// `[in, out / groups, kh, kw]`.
    pub weight: Parameter,
    /// `[out]`.
    pub bias: Option<Parameter>,
    /// Stride, padding, output padding, dilation, groups.
    #[module(skip)]
    pub options: ConvTranspose2dOptions,
}

impl ConvTranspose2d {
    /// A square kernel with a bias, stride 1 and no padding; weights and bias are uniform within
    /// 1 / sqrt(out * kh * kw), as in PyTorch.
    #[track_caller]
    pub fn new(inputs: usize, outputs: usize, kernel_size: usize, init: &mut Init) -> ConvTranspose2d {
        ConvTranspose2d::with(inputs, outputs, [kernel_size; 2], ConvTranspose2dOptions::default(), init)
    }

    /// With all options.
    ///
    /// # Panics
    /// If the groups do not divide the channels.
    #[track_caller]
    pub fn with(
        inputs: usize,
        outputs: usize,
        kernel: [usize; 2],
        options: ConvTranspose2dOptions,
        init: &mut Init,
    ) -> ConvTranspose2d {
        let groups = options.groups;
        let whole = groups > 0 && inputs.is_multiple_of(groups) && outputs.is_multiple_of(groups);
        assert!(whole, "ConvTranspose2d: {groups} groups do not divide {inputs} and {outputs} channels");
        let fan_in = outputs / groups * kernel[0] * kernel[1];
        let weight = init.uniform([inputs, outputs / groups, kernel[0], kernel[1]], fan_in);
        ConvTranspose2d { weight, bias: Some(init.uniform([outputs], fan_in)), options }
    }

    /// The same with rows and columns cut off around the result.
    pub fn padding(mut self, padding: usize) -> ConvTranspose2d {
        self.options.padding = [padding; 2];
        self
    }

    /// The same with another distance between the results of neighbouring pixels.
    pub fn stride(mut self, stride: usize) -> ConvTranspose2d {
        self.options.stride = [stride; 2];
        self
    }

    /// The same with rows and columns more at the end.
    pub fn output_padding(mut self, output_padding: usize) -> ConvTranspose2d {
        self.options.output_padding = [output_padding; 2];
        self
    }

    /// The same without the bias, as before batch normalisation.
    pub fn without_bias(mut self) -> ConvTranspose2d {
        self.bias = None;
        self
    }
}

impl Layer for ConvTranspose2d {
    #[track_caller]
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let weight = ctx.param(&self.weight);
        let bias = self.bias.as_ref().map(|bias| ctx.param(bias));
        x.conv_transpose2d(&weight, bias.as_ref(), self.options)
    }

    fn batched_rank(&self) -> Option<usize> {
        Some(4)
    }

    fn misfit(&self, x: &Tensor, _ctx: &Ctx) -> Option<String> {
        let weight = self.weight.tensor();
        let inputs = weight.shape()[0];
        let fits = x.rank() == 4 && x.shape()[1] == inputs;
        misfit(fits, "ConvTranspose2d", x, &weight, || format!("expected images [n, {inputs}, h, w]"))
    }

    fn title(&self) -> String {
        let w = self.weight.shape();
        format!("ConvTranspose2d({}, {}, {}x{})", w[0], w[1] * self.options.groups, w[2], w[3])
    }
}
