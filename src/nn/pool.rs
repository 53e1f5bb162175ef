//! Pooling, and other ways to change the size of images, as layers.

use super::ctx::Ctx;
use super::fits::{misfit_at, refuse};
use super::generator::Generator;
use super::module::{Init, Layer, Module, Path};
use crate::dtype::DType;
use crate::ops::pool::{
    AvgPool1dOptions, AvgPool2dOptions, AvgPool3dOptions, LpPoolOptions, MaxPool1dOptions, MaxPool2dOptions,
    MaxPool3dOptions,
};
use crate::ops::upsample::Upsampling;
use crate::tensor::Tensor;

/// Layers without parameters of one rank: what holds their options, what is expected, the sizes that an input must have at
/// least, a title, and the function.
macro_rules! layers {
    ($($(#[$doc:meta])* $name:ident::$make:ident($options:ty): $rank:literal, $expected:literal,
        $least:expr, $title:expr, $function:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Module)]
        pub struct $name {
            /// The arguments of the function.
            #[module(skip)]
            pub options: $options,
            path: Path,
        }

        impl $name {
            /// By all that the function takes.
            pub fn $make(options: $options) -> $name {
                $name { options, path: Path::new() }
            }
        }

        impl Layer for $name {
            #[track_caller]
            fn call(&self, x: &Tensor, _ctx: &Ctx) -> Tensor {
                self.path.of(x).$function(self.options)
            }

            fn batched_rank(&self) -> Option<usize> {
                Some($rank)
            }

            fn misfit(&self, x: &Tensor, _ctx: &Ctx) -> Option<String> {
                let (path, name) = (&self.path, stringify!($name));
                misfit_at(path, x.rank() == $rank, name, x, || concat!("expected ", $expected).into()).or_else(|| {
                    let least = $least(&self.options);
                    let fits = x.shape()[2..].iter().zip(&least).all(|(size, least)| size >= least);
                    misfit_at(path, fits, name, x, || format!("expected at least {least:?} behind the channels"))
                })
            }

            fn title(&self) -> String {
                format!("{}({})", stringify!($name), $title(&self.options))
            }
        }
    )*};
}

/// The least size that has a window along one dimension.
fn least(kernel_size: usize, dilation: usize, padding: usize) -> usize {
    dilation.saturating_mul(kernel_size.max(1) - 1).saturating_add(1).saturating_sub(padding.saturating_mul(2))
}

layers! {
    /// The largest of each window of images [n, c, h, w].
    MaxPool2d::with(MaxPool2dOptions): 4, "images [n, c, h, w]",
        |o: &MaxPool2dOptions| [0, 1].map(|d| least(o.kernel_size[d], o.dilation[d], o.padding[d])),
        |o: &MaxPool2dOptions| format!("{}x{}", o.kernel_size[0], o.kernel_size[1]), max_pool2d;
    /// The mean of each window of images [n, c, h, w].
    AvgPool2d::with(AvgPool2dOptions): 4, "images [n, c, h, w]",
        |o: &AvgPool2dOptions| [0, 1].map(|d| least(o.kernel_size[d], 1, o.padding[d])),
        |o: &AvgPool2dOptions| format!("{}x{}", o.kernel_size[0], o.kernel_size[1]), avg_pool2d;
    /// The largest of each window of [n, c, length].
    MaxPool1d::with(MaxPool1dOptions): 3, "[n, c, length]",
        |o: &MaxPool1dOptions| [least(o.kernel_size, o.dilation, o.padding)],
        |o: &MaxPool1dOptions| o.kernel_size.to_string(), max_pool1d;
    /// The mean of each window of [n, c, length].
    AvgPool1d::with(AvgPool1dOptions): 3, "[n, c, length]",
        |o: &AvgPool1dOptions| [least(o.kernel_size, 1, o.padding)],
        |o: &AvgPool1dOptions| o.kernel_size.to_string(), avg_pool1d;
    /// The means of images [n, c, h, w] over windows that cut them into so many rows and columns.
    AdaptiveAvgPool2d::new([usize; 2]): 4, "images [n, c, h, w]",
        |_: &[usize; 2]| [1, 1], |o: &[usize; 2]| format!("{}x{}", o[0], o[1]), adaptive_avg_pool2d;
    /// The largest of images [n, c, h, w] in windows that cut them into so many rows and columns.
    AdaptiveMaxPool2d::new([usize; 2]): 4, "images [n, c, h, w]",
        |_: &[usize; 2]| [1, 1], |o: &[usize; 2]| format!("{}x{}", o[0], o[1]), adaptive_max_pool2d;
    /// The means of [n, c, length] over so many windows.
    AdaptiveAvgPool1d::new(usize): 3, "[n, c, length]", |_: &usize| [1], usize::to_string, adaptive_avg_pool1d;
    /// The largest of [n, c, length] in so many windows.
    AdaptiveMaxPool1d::new(usize): 3, "[n, c, length]", |_: &usize| [1], usize::to_string, adaptive_max_pool1d;
    /// The largest of each window of volumes [n, c, d, h, w].
    MaxPool3d::with(MaxPool3dOptions): 5, "volumes [n, c, d, h, w]",
        |o: &MaxPool3dOptions| [0, 1, 2].map(|d| least(o.kernel_size[d], o.dilation[d], o.padding[d])),
        |o: &MaxPool3dOptions| format!("{:?}", o.kernel_size), max_pool3d;
    /// The mean of each window of volumes [n, c, d, h, w].
    AvgPool3d::with(AvgPool3dOptions): 5, "volumes [n, c, d, h, w]",
        |o: &AvgPool3dOptions| [0, 1, 2].map(|d| least(o.kernel_size[d], 1, o.padding[d])),
        |o: &AvgPool3dOptions| format!("{:?}", o.kernel_size), avg_pool3d;
    /// The means of volumes [n, c, d, h, w] over so many windows along each dimension.
    AdaptiveAvgPool3d::new([usize; 3]): 5, "volumes [n, c, d, h, w]",
        |_: &[usize; 3]| [1, 1, 1], |o: &[usize; 3]| format!("{o:?}"), adaptive_avg_pool3d;
    /// The largest of volumes [n, c, d, h, w] in so many windows along each dimension.
    AdaptiveMaxPool3d::new([usize; 3]): 5, "volumes [n, c, d, h, w]",
        |_: &[usize; 3]| [1, 1, 1], |o: &[usize; 3]| format!("{o:?}"), adaptive_max_pool3d;
    /// The norm of each window of [n, c, length]: [`Tensor::lp_pool1d`].
    #[doc(alias = "LPPool1d")]
    LpPool1d::with(LpPoolOptions<1>): 3, "[n, c, length]", |o: &LpPoolOptions<1>| o.kernel_size, powered, lp_pool1d;
    /// The norm of each window of images [n, c, h, w]: [`Tensor::lp_pool2d`].
    LpPool2d::with(LpPoolOptions<2>): 4, "images [n, c, h, w]", |o: &LpPoolOptions<2>| o.kernel_size, powered, lp_pool2d;
    /// The norm of each window of volumes [n, c, d, h, w]: [`Tensor::lp_pool3d`].
    LpPool3d::with(LpPoolOptions<3>): 5, "volumes [n, c, d, h, w]", |o: &LpPoolOptions<3>| o.kernel_size, powered, lp_pool3d;
}

fn powered<const N: usize>(o: &LpPoolOptions<N>) -> String {
    format!("{}, {:?}", o.norm_type, o.kernel_size)
}

/// Runs a layer that gives two tensors, of a batch or of one item.
#[track_caller]
fn in_pairs(
    layer: &impl Layer,
    x: &Tensor,
    ctx: &Ctx,
    pool: impl FnOnce(&Tensor) -> (Tensor, Tensor),
) -> (Tensor, Tensor) {
    let single = layer.batched_rank().is_some_and(|rank| x.rank() + 1 == rank);
    let batch = if single { x.unsqueeze(0) } else { x.clone() };
    refuse(layer.misfit(&batch, ctx));
    ctx.enter(layer, || layer.title());
    let (y, index) = pool(&batch);
    let (y, index) = if single { (y.squeeze(0), index.squeeze(0)) } else { (y, index) };
    ctx.leave(&y);
    (y, index)
}

/// Layers that tell the places of the largest too.
macro_rules! with_indices {
    ($($name:ident: $function:ident, $doc:literal;)*) => {$(
        impl $name {
            /// What it gives, and the place of each largest (i32): PyTorch's `return_indices`.
            #[doc = $doc]
            ///
            /// # Panics
            /// If the shape does not fit.
            #[track_caller]
            pub fn forward_indices(&self, x: &Tensor, ctx: &Ctx) -> (Tensor, Tensor) {
                in_pairs(self, x, ctx, |x| self.path.of(x).$function(self.options))
            }
        }
    )*};
}

with_indices! {
    MaxPool1d: max_pool1d_indices, "[`MaxUnpool1d`] takes both.";
    MaxPool2d: max_pool2d_indices, "[`MaxUnpool2d`] takes both.";
    MaxPool3d: max_pool3d_indices, "[`MaxUnpool3d`] takes both.";
    AdaptiveMaxPool1d: adaptive_max_pool1d_indices, "It copies each window.";
    AdaptiveMaxPool2d: adaptive_max_pool2d_indices, "It copies each window.";
    AdaptiveMaxPool3d: adaptive_max_pool3d_indices, "It copies each window.";
}

/// What puts the largest back where they were.
macro_rules! unpools {
    ($($(#[$doc:meta])* $name:ident: $n:literal, $function:expr;)*) => {$(
        $(#[$doc])*
        ///
        /// ```
        #[doc = concat!("use wgrad::nn::{Ctx, MaxPool", $n, "d, MaxUnpool", $n, "d};")]
        /// let ctx = Ctx::train();
        #[doc = concat!("let x = wgrad::Tensor::ones([&[2, 3][..], &[4; ", $n, "]].concat(), &wgrad::Device::cpu());")]
        #[doc = concat!("let (y, index) = MaxPool", $n, "d::new(2).forward_indices(&x, &ctx);")]
        #[doc = concat!("assert_eq!(MaxUnpool", $n, "d::new(2).forward(&y, &index, &ctx).shape(), x.shape());")]
        /// ```
        #[derive(Debug, Clone, PartialEq, Module)]
        pub struct $name {
            /// The window of the pooling.
            #[module(skip)]
            pub kernel_size: [usize; $n],
            /// The distance between its windows.
            #[module(skip)]
            pub stride: [usize; $n],
            /// What was added at both ends.
            #[module(skip)]
            pub padding: [usize; $n],
            path: Path,
        }

        impl $name {
            /// Of windows of one size in all directions, side by side.
            pub fn new(kernel_size: usize) -> $name {
                $name::with([kernel_size; $n], [kernel_size; $n], [0; $n])
            }

            /// With all arguments of the pooling.
            pub fn with(kernel_size: [usize; $n], stride: [usize; $n], padding: [usize; $n]) -> $name {
                $name { kernel_size, stride, padding, path: Path::new() }
            }

            /// Of values and their places, in the least size that pools to theirs: `(n - 1) stride - 2 padding + kernel_size`.
            ///
            /// # Panics
            /// If the shapes differ or have another rank, or the places are not i32.
            #[track_caller]
            pub fn forward(&self, x: &Tensor, index: &Tensor, ctx: &Ctx) -> Tensor {
                let shape = x.shape();
                let sizes = if shape.rank() < $n { &[] } else { &shape[shape.rank() - $n..] };
                let least = |d: usize| {
                    let n = sizes.get(d).copied().unwrap_or(1).max(1);
                    ((n - 1) * self.stride[d] + self.kernel_size[d]).saturating_sub(2 * self.padding[d])
                };
                self.forward_to(x, index, std::array::from_fn(least), ctx)
            }

            /// The same in a size that is told, since several pool to the same: PyTorch's `output_size`.
            ///
            /// # Panics
            /// As [`Self::forward`].
            #[track_caller]
            pub fn forward_to(&self, x: &Tensor, index: &Tensor, size: [usize; $n], ctx: &Ctx) -> Tensor {
                let fits = x.shape() == index.shape() && [$n + 1, $n + 2].contains(&x.rank())
                    && matches!(index.dtype(), DType::I32 | DType::I64);
                refuse(misfit_at(&self.path, fits, stringify!($name), x, || {
                    let (i, dtype) = (index.shape(), index.dtype());
                    format!("expected [n, c] and {} sizes, and as many places of i32, got {dtype} {i}", $n)
                }));
                ctx.enter(self, || format!("{}({:?})", stringify!($name), self.kernel_size));
                let put: fn(&Tensor, &Tensor, [usize; $n]) -> Tensor = $function;
                let y = put(&self.path.of(x), index, size);
                ctx.leave(&y);
                y
            }
        }
    )*};
}

unpools! {
    /// Puts the largest of windows back where they were in `[n, c, length]`, with zeros elsewhere: [`Tensor::max_unpool1d`].
    MaxUnpool1d: 1, |x, index, [length]| x.max_unpool1d(index, length);
    /// Puts the largest of windows back where they were in images, with zeros elsewhere: [`Tensor::max_unpool2d`].
    MaxUnpool2d: 2, Tensor::max_unpool2d;
    /// Puts the largest of windows back where they were in volumes, with zeros elsewhere: [`Tensor::max_unpool3d`].
    MaxUnpool3d: 3, Tensor::max_unpool3d;
}

/// The size that a [`FractionalMaxPool2d`] or [`FractionalMaxPool3d`] gives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FractionalSize<const N: usize> {
    /// This: PyTorch's `output_size`.
    Fixed([usize; N]),
    /// These parts of the input's, rounded down: its `output_ratio`.
    Ratio([f32; N]),
}

/// Layers whose windows lie where chance says.
macro_rules! fractional {
    ($($(#[$doc:meta])* $name:ident: $n:literal, $function:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Module)]
        pub struct $name {
            /// The window.
            #[module(skip)]
            pub kernel_size: [usize; $n],
            /// The size of what comes.
            #[module(skip)]
            pub size: FractionalSize<$n>,
            generator: Generator,
            path: Path,
        }

        impl $name {
            /// Windows of one size in all directions.
            pub fn new(kernel_size: usize, size: FractionalSize<$n>, init: &mut Init) -> $name {
                $name::with([kernel_size; $n], size, init)
            }

            /// Windows of a size.
            pub fn with(kernel_size: [usize; $n], size: FractionalSize<$n>, init: &mut Init) -> $name {
                $name { kernel_size, size, generator: init.generator.clone(), path: Path::new() }
            }

            /// What it gives, and the place of each largest (i32): PyTorch's `return_indices`.
            ///
            /// # Panics
            /// If the shape does not fit.
            #[track_caller]
            pub fn forward_indices(&self, x: &Tensor, ctx: &Ctx) -> (Tensor, Tensor) {
                in_pairs(self, x, ctx, |x| self.pooled(x, ctx))
            }

            #[track_caller]
            fn pooled(&self, x: &Tensor, ctx: &Ctx) -> (Tensor, Tensor) {
                let samples = ctx.draw(&self.generator, x.device()).uniform([x.size(0), x.size(1), $n], 0.0, 1.0);
                self.path.of(x).$function(self.kernel_size, self.sizes(x), &samples)
            }

            fn sizes(&self, x: &Tensor) -> [usize; $n] {
                match self.size {
                    FractionalSize::Fixed(sizes) => sizes,
                    FractionalSize::Ratio(parts) => {
                        std::array::from_fn(|d| (f64::from(parts[d]) * x.shape()[d + 2] as f64) as usize)
                    }
                }
            }
        }

        impl Layer for $name {
            #[track_caller]
            fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
                self.pooled(x, ctx).0
            }

            fn batched_rank(&self) -> Option<usize> {
                Some($n + 2)
            }

            fn misfit(&self, x: &Tensor, _ctx: &Ctx) -> Option<String> {
                let expected = || format!("expected [n, c] and {} sizes", $n);
                misfit_at(&self.path, x.rank() == $n + 2, stringify!($name), x, expected).or_else(|| {
                    let sizes = self.sizes(x);
                    let fits = (0..$n).all(|d| sizes[d] > 0 && self.kernel_size[d] + sizes[d] <= x.shape()[d + 2] + 1);
                    let expected = || format!("expected room for {sizes:?} windows of {:?}", self.kernel_size);
                    misfit_at(&self.path, fits, stringify!($name), x, expected)
                })
            }

            fn title(&self) -> String {
                format!("{}({:?})", stringify!($name), self.kernel_size)
            }
        }
    )*};
}

fractional! {
    /// The largest of windows of images whose places chance decides, in training and in evaluation, as in PyTorch:
    /// [`Tensor::fractional_max_pool2d`].
    FractionalMaxPool2d: 2, fractional_max_pool2d_indices;
    /// The largest of windows of volumes whose places chance decides, in training and in evaluation, as in PyTorch:
    /// [`Tensor::fractional_max_pool3d`].
    FractionalMaxPool3d: 3, fractional_max_pool3d_indices;
}

/// Layers by what most say of them.
macro_rules! short {
    ($($doc:literal $Name:ident($($own:ident: $of:ty),*) $options:expr;)*) => {$(
        impl $Name {
            #[doc = $doc]
            pub fn new($($own: $of),*) -> $Name {
                $Name::with($options)
            }
        }
    )*};
}

short! {
    "Windows side by side." MaxPool1d(kernel_size: usize) MaxPool1dOptions::new(kernel_size);
    "Windows side by side." AvgPool1d(kernel_size: usize) AvgPool1dOptions::new(kernel_size);
    "Square windows side by side." MaxPool2d(kernel_size: usize) MaxPool2dOptions::new(kernel_size);
    "Square windows side by side." AvgPool2d(kernel_size: usize) AvgPool2dOptions::new(kernel_size);
    "Cubes side by side." MaxPool3d(kernel_size: usize) MaxPool3dOptions::new(kernel_size);
    "Cubes side by side." AvgPool3d(kernel_size: usize) AvgPool3dOptions::new(kernel_size);
    "Windows of one size in all directions, side by side."
        LpPool1d(norm_type: f32, kernel_size: usize) LpPoolOptions::new(norm_type, kernel_size);
    "Windows of one size in all directions, side by side."
        LpPool2d(norm_type: f32, kernel_size: usize) LpPoolOptions::new(norm_type, kernel_size);
    "Windows of one size in all directions, side by side."
        LpPool3d(norm_type: f32, kernel_size: usize) LpPoolOptions::new(norm_type, kernel_size);
}

/// Sequences `[n, c, l]`, images `[n, c, h, w]` or volumes `[n, c, d, h, w]` by a factor, [`Tensor::upsample`] and
/// [`Tensor::upsample_nd`], or at a size, [`Tensor::interpolate`] and [`Tensor::interpolate_nd`]; for linear and trilinear ways
/// the mode is [`Upsampling::Bilinear`] too.
#[derive(Debug, Clone, Module)]
pub struct Upsample {
    #[module(skip)]
    target: Target,
    /// By the nearest pixel or by lines.
    #[module(skip)]
    pub mode: Upsampling,
    path: Path,
}

/// What a tensor is resized to.
#[derive(Debug, Clone)]
enum Target {
    /// One factor for all directions.
    By(f32),
    /// A factor for each.
    ByEach(Vec<f32>),
    /// Sizes.
    To(Vec<usize>),
}

impl Upsample {
    /// The same factor in all directions.
    pub fn new(scale_factor: f32, mode: Upsampling) -> Upsample {
        Upsample { target: Target::By(scale_factor), mode, path: Path::new() }
    }

    /// A factor for each dimension behind the channels.
    pub fn with(scale_factor: impl Into<Vec<f32>>, mode: Upsampling) -> Upsample {
        Upsample { target: Target::ByEach(scale_factor.into()), mode, path: Path::new() }
    }

    /// To these sizes of the dimensions behind the channels: PyTorch's `size`.
    pub fn to_size(size: impl Into<Vec<usize>>, mode: Upsampling) -> Upsample {
        Upsample { target: Target::To(size.into()), mode, path: Path::new() }
    }
}

impl Layer for Upsample {
    #[track_caller]
    fn call(&self, x: &Tensor, _ctx: &Ctx) -> Tensor {
        let (x, mode) = (self.path.of(x), self.mode);
        let by = |factors: &[f32]| match factors {
            [h, w] => x.upsample([*h, *w], mode),
            _ => x.upsample_nd(factors, mode),
        };
        match &self.target {
            Target::By(factor) => by(&vec![*factor; x.rank() - 2]),
            Target::ByEach(factors) => by(factors),
            Target::To(sizes) => match sizes[..] {
                [h, w] => x.interpolate([h, w], mode),
                _ => x.interpolate_nd(sizes, mode),
            },
        }
    }

    fn misfit(&self, x: &Tensor, _ctx: &Ctx) -> Option<String> {
        let dims = match &self.target {
            Target::By(_) => x.rank().saturating_sub(2),
            Target::ByEach(factors) => factors.len(),
            Target::To(sizes) => sizes.len(),
        };
        let is_planar = self.mode.is_for_images();
        let fits = x.rank() == dims + 2 && if is_planar { dims == 2 } else { (1..=3).contains(&dims) };
        misfit_at(&self.path, fits, "Upsample", x, || match (&self.target, dims) {
            _ if is_planar => format!("expected images [n, c, h, w], which alone {:?} is for", self.mode),
            (Target::ByEach(_) | Target::To(_), 1) => "expected sequences [n, c, l]".into(),
            (Target::ByEach(_) | Target::To(_), 2) => "expected images [n, c, h, w]".into(),
            (Target::ByEach(_) | Target::To(_), 3) => "expected volumes [n, c, d, h, w]".into(),
            _ => "expected sequences [n, c, l], images [n, c, h, w] or volumes [n, c, d, h, w]".into(),
        })
    }

    fn title(&self) -> String {
        let all = match &self.target {
            Target::By(factor) => return format!("Upsample({factor}x)"),
            Target::ByEach(factors) => factors.iter().map(f32::to_string).collect::<Vec<_>>(),
            Target::To(sizes) => sizes.iter().map(usize::to_string).collect(),
        };
        format!("Upsample({})", all.join("x"))
    }
}
