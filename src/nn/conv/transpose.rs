//! Transposed convolution as layers.

use crate::nn::fits::{misfit, path};
use crate::nn::{Ctx, Init, Layer, Module, Parameter};
use crate::ops::conv::{ConvTranspose1dOptions, ConvTranspose2dOptions, ConvTranspose3dOptions};
use crate::shape::Shape;
use crate::tensor::Tensor;

/// A layer for each number of dimensions; of an option with one number for each of them, `$wide` is one for all, and `$read`
/// and `$write` tell and take an array.
macro_rules! layers {
    ($($(#[$doc:meta])* $name:ident($options:ident, $sizes:ty, $count:literal): $function:ident, $weight:literal, $kind:literal,
        |$n:ident| $wide:expr, $read:expr, $write:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Module)]
        pub struct $name {
            #[doc = $weight]
            pub weight: Parameter,
            /// `[out]`.
            pub bias: Option<Parameter>,
            /// Stride, padding, output padding, dilation, groups.
            #[module(skip)]
            pub options: $options,
        }

        impl $name {
            /// The same kernel size in all directions, with a bias, stride 1 and no padding; weights and bias are uniform within one by
            /// the root of the product of the weight's sizes but the first, as in PyTorch.
            ///
            /// # Panics
            /// If the kernel's size is 0.
            #[track_caller]
            pub fn new(inputs: usize, outputs: usize, kernel_size: usize, init: &mut Init) -> $name {
                let $n = kernel_size;
                $name::with(inputs, outputs, $wide, $options::default(), init)
            }

            /// With all options.
            ///
            /// # Panics
            /// If the groups do not divide the channels, or a size of the kernel is 0.
            #[track_caller]
            pub fn with(inputs: usize, outputs: usize, kernel: $sizes, options: $options, init: &mut Init) -> $name {
                let (groups, name) = (options.groups, stringify!($name));
                let whole = groups > 0 && inputs.is_multiple_of(groups) && outputs.is_multiple_of(groups);
                assert!(whole, "{name}: {groups} groups do not divide {inputs} and {outputs} channels");
                let read: fn($sizes) -> [usize; $count] = $read;
                let kernel = read(kernel);
                assert!(!kernel.contains(&0), "{name}: a kernel of {kernel:?} sees nothing: take at least 1 in each direction");
                let shape = Shape::from([&[inputs, outputs / groups], &kernel[..]].concat());
                let fan_in = shape[1..].iter().product();
                let weight = init.uniform(shape, fan_in);
                $name { weight, bias: Some(init.uniform([outputs], fan_in)), options }
            }

            /// The same with so much cut off around the result.
            pub fn padding(mut self, $n: usize) -> $name {
                self.options.padding = $wide;
                self
            }

            /// The same with another distance between the results of neighbours.
            pub fn stride(mut self, $n: usize) -> $name {
                self.options.stride = $wide;
                self
            }

            /// The same with so much more at the end of each dimension.
            pub fn output_padding(mut self, $n: usize) -> $name {
                self.options.output_padding = $wide;
                self
            }

            /// The same with another distance between taps.
            pub fn dilation(mut self, $n: usize) -> $name {
                self.options.dilation = $wide;
                self
            }

            /// The same without the bias, as before batch normalisation.
            pub fn without_bias(mut self) -> $name {
                self.bias = None;
                self
            }

            /// An output of these sizes, by as much output padding as that takes: PyTorch's `output_size`.
            ///
            /// # Panics
            /// If `x` does not fit, or no output padding below the stride gives such sizes.
            #[track_caller]
            pub fn forward_to(&self, x: &Tensor, sizes: [usize; $count], ctx: &Ctx) -> Tensor {
                let (weight, o) = (ctx.param(&self.weight), self.options);
                let (read, write): (fn($sizes) -> [usize; $count], fn([usize; $count]) -> $sizes) = ($read, $write);
                let (stride, dilation, padding) = (read(o.stride), read(o.dilation), read(o.padding));
                let own = x.shape()[x.rank().saturating_sub($count)..].to_vec();
                let least: Vec<usize> = (own.iter().zip(&weight.shape()[2..]).enumerate())
                    .map(|(d, (size, taps))| {
                        let whole = (size.max(&1) - 1) * stride[d] + dilation[d] * (taps - 1) + 1;
                        whole.saturating_sub(2 * padding[d])
                    })
                    .collect();
                let fits = least.len() == $count && (0..$count).all(|d| (least[d]..least[d] + stride[d]).contains(&sizes[d]));
                let place = path(&weight, stringify!($name));
                assert!(fits, "{place}: {} to {sizes:?}: expected {least:?}, or less than a stride of {stride:?} more", x.shape());
                let more = std::array::from_fn(|d| sizes[d] - least[d]);
                let bias = self.bias.as_ref().map(|bias| ctx.param(bias));
                ctx.enter(self, || self.title());
                let y = x.$function(&weight, bias.as_ref(), $options { output_padding: write(more), ..o });
                ctx.leave(&y);
                y
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
                Some($count + 2)
            }

            fn misfit(&self, x: &Tensor, _ctx: &Ctx) -> Option<String> {
                let weight = self.weight.tensor();
                let inputs = weight.shape()[0];
                let fits = x.rank() == $count + 2 && x.shape()[1] == inputs;
                misfit(fits, stringify!($name), x, &weight, || format!($kind, inputs))
            }

            fn title(&self) -> String {
                let w = self.weight.shape();
                let sizes: Vec<String> = w[2..].iter().map(|size| size.to_string()).collect();
                format!("{}({}, {}, {})", stringify!($name), w[0], w[1] * self.options.groups, sizes.join("x"))
            }
        }
    )*};
}

layers! {
    /// Transposed convolution of `[n, in, length]`: [`Tensor::conv_transpose1d`].
    #[doc(alias = "nn.ConvTranspose1d")]
    ConvTranspose1d(ConvTranspose1dOptions, usize, 1): conv_transpose1d, "`[in, out / groups, k]`.",
        "expected [n, {}, length]", |n| n, |n| [n], |[n]| n;
    /// Transposed convolution of images `[n, in, h, w]`: [`Tensor::conv_transpose2d`].
    #[doc(alias = "nn.ConvTranspose2d")]
    ConvTranspose2d(ConvTranspose2dOptions, [usize; 2], 2): conv_transpose2d, "`[in, out / groups, kh, kw]`.",
        "expected images [n, {}, h, w]", |n| [n; 2], |n| n, |n| n;
    /// Transposed convolution of volumes `[n, in, d, h, w]`: [`Tensor::conv_transpose3d`].
    #[doc(alias = "nn.ConvTranspose3d")]
    ConvTranspose3d(ConvTranspose3dOptions, [usize; 3], 3): conv_transpose3d, "`[in, out / groups, kd, kh, kw]`.",
        "expected volumes [n, {}, d, h, w]", |n| [n; 3], |n| n, |n| n;
}
