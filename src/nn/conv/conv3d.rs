//! Convolution of volumes as layers.

use crate::nn::fits::misfit;
use crate::nn::{Ctx, Init, Layer, Module, Parameter};
use crate::ops::conv::{Conv3dOptions, ConvTranspose3dOptions};
use crate::shape::Shape;
use crate::tensor::Tensor;

macro_rules! layers {
    ($($(#[$doc:meta])* $name:ident($options:ty), $function:ident, $weight:literal,
        |$sizes:ident| $shape:expr, channels $channels:literal by groups $grouped:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Module)]
        pub struct $name {
            #[doc = $weight]
            pub weight: Parameter,
            /// `[out]`.
            pub bias: Option<Parameter>,
            /// The arguments of the function.
            #[module(skip)]
            pub options: $options,
        }

        impl $name {
            /// A cube as kernel, with a bias, stride 1 and no padding; weights and bias are uniform within one by the root of
            /// the product of the weight's sizes but the first, as in PyTorch.
            ///
            /// # Panics
            /// If the kernel's size is 0.
            #[track_caller]
            pub fn new(inputs: usize, outputs: usize, kernel_size: usize, init: &mut Init) -> $name {
                $name::with(inputs, outputs, [kernel_size; 3], <$options>::default(), init)
            }

            /// With all options.
            ///
            /// # Panics
            /// If the groups do not divide the channels, or a size of the kernel is 0.
            #[track_caller]
            pub fn with(
                inputs: usize,
                outputs: usize,
                kernel: [usize; 3],
                options: $options,
                init: &mut Init,
            ) -> $name {
                let (groups, name) = (options.groups, stringify!($name));
                let whole = groups > 0 && inputs.is_multiple_of(groups) && outputs.is_multiple_of(groups);
                assert!(whole, "{name}: {groups} groups do not divide {inputs} and {outputs} channels");
                assert!(!kernel.contains(&0), "{name}: a kernel of {kernel:?} sees nothing: take at least 1 x 1 x 1");
                let $sizes = [inputs, outputs, groups];
                let [first, second]: [usize; 2] = $shape;
                let shape = Shape::from([first, second, kernel[0], kernel[1], kernel[2]]);
                let fan_in = shape[1..].iter().product();
                let weight = init.uniform(shape, fan_in);
                $name { weight, bias: Some(init.uniform([outputs], fan_in)), options }
            }

            /// The same with another padding.
            pub fn padding(mut self, padding: usize) -> $name {
                self.options.padding = [padding; 3];
                self
            }

            /// The same with another stride.
            pub fn stride(mut self, stride: usize) -> $name {
                self.options.stride = [stride; 3];
                self
            }

            /// The same without the bias, as before batch normalisation.
            pub fn without_bias(mut self) -> $name {
                self.bias = None;
                self
            }
        }

        impl Layer for $name {
            #[track_caller]
            fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
                let weight = ctx.param(&self.weight);
                let bias = self.bias.as_ref().map(|bias| ctx.param(bias));
                x.$function(&weight, bias.as_ref(), self.options)
            }

            fn batched_rank(&self) -> Option<usize> {
                Some(5)
            }

            fn misfit(&self, x: &Tensor, _ctx: &Ctx) -> Option<String> {
                let weight = self.weight.tensor();
                let channels = weight.shape()[$channels] * if $grouped { self.options.groups } else { 1 };
                let fits = x.rank() == 5 && x.shape()[1] == channels;
                misfit(fits, stringify!($name), x, &weight, || format!("expected volumes [n, {channels}, d, h, w]"))
            }

            fn title(&self) -> String {
                let (w, groups) = (self.weight.shape(), self.options.groups);
                let [inputs, outputs] = if $grouped { [w[1] * groups, w[0]] } else { [w[0], w[1] * groups] };
                format!("{}({inputs}, {outputs}, {}x{}x{})", stringify!($name), w[2], w[3], w[4])
            }
        }
    )*};
}

layers! {
    /// Convolution of volumes `[n, in, d, h, w]`: [`Tensor::conv3d`].
    #[doc(alias = "nn.Conv3d")]
    Conv3d(Conv3dOptions), conv3d, "`[out, in / groups, kd, kh, kw]`.",
        |sizes| [sizes[1], sizes[0] / sizes[2]], channels 1 by groups true;
    /// Transposed convolution of volumes `[n, in, d, h, w]`: [`Tensor::conv_transpose3d`].
    #[doc(alias = "nn.ConvTranspose3d")]
    ConvTranspose3d(ConvTranspose3dOptions), conv_transpose3d, "`[in, out / groups, kd, kh, kw]`.",
        |sizes| [sizes[0], sizes[1] / sizes[2]], channels 0 by groups false;
}
