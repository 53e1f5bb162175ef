//! Convolution and pooling layers.

mod line;
mod transpose;

pub use line::Conv1d;
pub use transpose::ConvTranspose2d;

use super::ctx::Ctx;
use super::module::{Init, Layer, Module, Parameter, Visitor};
use crate::fused::conv::Conv2dOptions;
use crate::fused::pool::{AvgPool2dOptions, MaxPool2dOptions};
use crate::fused::upsample::Upsampling;
use crate::tensor::Tensor;

/// Convolution of `[n, in, h, w]` with weight `[out, in / groups, kh, kw]` and bias `[out]`.
#[derive(Debug)]
pub struct Conv2d {
    /// `[out, in / groups, kh, kw]`.
    pub weight: Parameter,
    /// `[out]`.
    pub bias: Option<Parameter>,
    /// Stride, padding, dilation, groups.
    pub options: Conv2dOptions,
}

impl Conv2d {
    /// A square kernel with a bias, stride 1 and no padding; weights and bias are uniform within
    /// 1 / sqrt(in * kh * kw).
    pub fn new(inputs: usize, outputs: usize, kernel_size: usize, init: &mut Init) -> Conv2d {
        Conv2d::with(inputs, outputs, [kernel_size; 2], Conv2dOptions::default(), init)
    }

    /// With all options.
    ///
    /// # Panics
    /// If the groups do not divide the channels.
    #[track_caller]
    pub fn with(inputs: usize, outputs: usize, kernel: [usize; 2], options: Conv2dOptions, init: &mut Init) -> Conv2d {
        let groups = options.groups;
        let whole = groups > 0 && inputs.is_multiple_of(groups) && outputs.is_multiple_of(groups);
        assert!(whole, "Conv2d: {groups} groups do not divide {inputs} and {outputs} channels");
        let fan_in = inputs / groups * kernel[0] * kernel[1];
        let weight = init.uniform([outputs, inputs / groups, kernel[0], kernel[1]], fan_in);
        Conv2d { weight, bias: Some(init.uniform([outputs], fan_in)), options }
    }

    /// The same with zeros around the image.
    pub fn padding(mut self, padding: usize) -> Conv2d {
        self.options.padding = [padding; 2];
        self
    }

    /// The same with another distance between positions.
    pub fn stride(mut self, stride: usize) -> Conv2d {
        self.options.stride = [stride; 2];
        self
    }

    /// The same with another distance between taps.
    pub fn dilation(mut self, dilation: usize) -> Conv2d {
        self.options.dilation = [dilation; 2];
        self
    }

    /// The same without the bias, as before batch normalisation.
    pub fn without_bias(mut self) -> Conv2d {
        self.bias = None;
        self
    }
}

impl Module for Conv2d {
    fn visit(&self, visitor: &mut Visitor) {
        visitor.child("weight", &self.weight);
        visitor.child("bias", &self.bias);
    }
}

impl Layer for Conv2d {
    #[track_caller]
    fn forward(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let weight = ctx.param(&self.weight);
        let w = weight.shape();
        let channels = w[1] * self.options.groups;
        let path = weight.name().unwrap_or("conv2d");
        let fits = x.rank() == 4 && x.shape()[1] == channels;
        assert!(fits, "{path}: {} x {w}: images [n, {channels}, h, w] are due", x.shape());
        let bias = self.bias.as_ref().map(|bias| ctx.param(bias));
        let y = x.conv2d(&weight, bias.as_ref(), self.options);
        ctx.seen(self, || format!("Conv2d({channels}, {}, {}x{})", w[0], w[2], w[3]), y)
    }
}

/// The largest of each window of [n, c, h, w].
#[derive(Debug, Clone)]
pub struct MaxPool2d(pub MaxPool2dOptions);

impl MaxPool2d {
    /// Square windows side by side.
    pub fn new(kernel_size: usize) -> MaxPool2d {
        MaxPool2d(MaxPool2dOptions::new(kernel_size))
    }
}

impl Module for MaxPool2d {
    fn visit(&self, _visitor: &mut Visitor) {}
}

impl Layer for MaxPool2d {
    #[track_caller]
    fn forward(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let [h, w] = self.0.kernel_size;
        ctx.seen(self, || format!("MaxPool2d({h}x{w})"), x.max_pool2d(self.0))
    }
}

/// The mean of each window of [n, c, h, w].
#[derive(Debug, Clone)]
pub struct AvgPool2d(pub AvgPool2dOptions);

impl AvgPool2d {
    /// Square windows side by side.
    pub fn new(kernel_size: usize) -> AvgPool2d {
        AvgPool2d(AvgPool2dOptions::new(kernel_size))
    }
}

impl Module for AvgPool2d {
    fn visit(&self, _visitor: &mut Visitor) {}
}

impl Layer for AvgPool2d {
    #[track_caller]
    fn forward(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let [h, w] = self.0.kernel_size;
        ctx.seen(self, || format!("AvgPool2d({h}x{w})"), x.avg_pool2d(self.0))
    }
}

/// [`Tensor::upsample`] by a factor.
#[derive(Debug, Clone, Copy)]
pub struct Upsample {
    /// The factors of height and width.
    pub scale_factor: [f32; 2],
    /// By the nearest pixel or by lines.
    pub mode: Upsampling,
}

impl Upsample {
    /// The same factor in both directions.
    pub fn new(scale_factor: f32, mode: Upsampling) -> Upsample {
        Upsample { scale_factor: [scale_factor; 2], mode }
    }
}

impl Module for Upsample {
    fn visit(&self, _visitor: &mut Visitor) {}
}

impl Layer for Upsample {
    #[track_caller]
    fn forward(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let [h, w] = self.scale_factor;
        ctx.seen(self, || format!("Upsample({h}x{w})"), x.upsample(self.scale_factor, self.mode))
    }
}
