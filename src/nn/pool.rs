//! Pooling, and other ways to change the size of images, as layers.

use super::ctx::Ctx;
use super::fits::misfit_at;
use super::module::{Layer, Module, Path};
use crate::ops::pool::{
    AvgPool1dOptions, AvgPool2dOptions, AvgPool3dOptions, MaxPool1dOptions, MaxPool2dOptions, MaxPool3dOptions,
};
use crate::ops::upsample::Upsampling;
use crate::tensor::Tensor;

/// Layers without parameters of one rank: what holds their options, what is expected, the sizes that an input must have at
/// least, a title, and the function.
macro_rules! layers {
    ($($(#[$doc:meta])* $name:ident($options:ty): $rank:literal, $expected:literal,
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
            /// With all options.
            pub fn with(options: $options) -> $name {
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
    MaxPool2d(MaxPool2dOptions): 4, "images [n, c, h, w]",
        |o: &MaxPool2dOptions| [0, 1].map(|d| least(o.kernel_size[d], o.dilation[d], o.padding[d])),
        |o: &MaxPool2dOptions| format!("{}x{}", o.kernel_size[0], o.kernel_size[1]), max_pool2d;
    /// The mean of each window of images [n, c, h, w].
    AvgPool2d(AvgPool2dOptions): 4, "images [n, c, h, w]",
        |o: &AvgPool2dOptions| [0, 1].map(|d| least(o.kernel_size[d], 1, o.padding[d])),
        |o: &AvgPool2dOptions| format!("{}x{}", o.kernel_size[0], o.kernel_size[1]), avg_pool2d;
    /// The largest of each window of [n, c, length].
    MaxPool1d(MaxPool1dOptions): 3, "[n, c, length]",
        |o: &MaxPool1dOptions| [least(o.kernel_size, o.dilation, o.padding)],
        |o: &MaxPool1dOptions| o.kernel_size.to_string(), max_pool1d;
    /// The mean of each window of [n, c, length].
    AvgPool1d(AvgPool1dOptions): 3, "[n, c, length]",
        |o: &AvgPool1dOptions| [least(o.kernel_size, 1, o.padding)],
        |o: &AvgPool1dOptions| o.kernel_size.to_string(), avg_pool1d;
    /// The means of images [n, c, h, w] over windows that cut them into so many rows and columns.
    AdaptiveAvgPool2d([usize; 2]): 4, "images [n, c, h, w]",
        |_: &[usize; 2]| [1, 1], |o: &[usize; 2]| format!("{}x{}", o[0], o[1]), adaptive_avg_pool2d;
    /// The largest of images [n, c, h, w] in windows that cut them into so many rows and columns.
    AdaptiveMaxPool2d([usize; 2]): 4, "images [n, c, h, w]",
        |_: &[usize; 2]| [1, 1], |o: &[usize; 2]| format!("{}x{}", o[0], o[1]), adaptive_max_pool2d;
    /// The means of [n, c, length] over so many windows.
    AdaptiveAvgPool1d(usize): 3, "[n, c, length]", |_: &usize| [1], usize::to_string, adaptive_avg_pool1d;
    /// The largest of [n, c, length] in so many windows.
    AdaptiveMaxPool1d(usize): 3, "[n, c, length]", |_: &usize| [1], usize::to_string, adaptive_max_pool1d;
    /// The largest of each window of volumes [n, c, d, h, w].
    MaxPool3d(MaxPool3dOptions): 5, "volumes [n, c, d, h, w]",
        |o: &MaxPool3dOptions| [0, 1, 2].map(|d| least(o.kernel_size[d], o.dilation[d], o.padding[d])),
        |o: &MaxPool3dOptions| format!("{:?}", o.kernel_size), max_pool3d;
    /// The mean of each window of volumes [n, c, d, h, w].
    AvgPool3d(AvgPool3dOptions): 5, "volumes [n, c, d, h, w]",
        |o: &AvgPool3dOptions| [0, 1, 2].map(|d| least(o.kernel_size[d], 1, o.padding[d])),
        |o: &AvgPool3dOptions| format!("{:?}", o.kernel_size), avg_pool3d;
    /// The means of volumes [n, c, d, h, w] over so many windows along each dimension.
    AdaptiveAvgPool3d([usize; 3]): 5, "volumes [n, c, d, h, w]",
        |_: &[usize; 3]| [1, 1, 1], |o: &[usize; 3]| format!("{o:?}"), adaptive_avg_pool3d;
    /// The largest of volumes [n, c, d, h, w] in so many windows along each dimension.
    AdaptiveMaxPool3d([usize; 3]): 5, "volumes [n, c, d, h, w]",
        |_: &[usize; 3]| [1, 1, 1], |o: &[usize; 3]| format!("{o:?}"), adaptive_max_pool3d;
}

impl MaxPool2d {
    /// Square windows side by side.
    pub fn new(kernel_size: usize) -> MaxPool2d {
        MaxPool2d::with(MaxPool2dOptions::new(kernel_size))
    }
}

impl AvgPool2d {
    /// Square windows side by side.
    pub fn new(kernel_size: usize) -> AvgPool2d {
        AvgPool2d::with(AvgPool2dOptions::new(kernel_size))
    }
}

impl MaxPool3d {
    /// Cubes side by side.
    pub fn new(kernel_size: usize) -> MaxPool3d {
        MaxPool3d::with(MaxPool3dOptions::new(kernel_size))
    }
}

impl AvgPool3d {
    /// Cubes side by side.
    pub fn new(kernel_size: usize) -> AvgPool3d {
        AvgPool3d::with(AvgPool3dOptions::new(kernel_size))
    }
}

impl MaxPool1d {
    /// Windows side by side.
    pub fn new(kernel_size: usize) -> MaxPool1d {
        MaxPool1d::with(MaxPool1dOptions::new(kernel_size))
    }
}

impl AvgPool1d {
    /// Windows side by side.
    pub fn new(kernel_size: usize) -> AvgPool1d {
        AvgPool1d::with(AvgPool1dOptions::new(kernel_size))
    }
}

impl AdaptiveAvgPool2d {
    /// So many rows and columns.
    pub fn new(output_size: [usize; 2]) -> AdaptiveAvgPool2d {
        AdaptiveAvgPool2d::with(output_size)
    }
}

impl AdaptiveMaxPool2d {
    /// So many rows and columns.
    pub fn new(output_size: [usize; 2]) -> AdaptiveMaxPool2d {
        AdaptiveMaxPool2d::with(output_size)
    }
}

impl AdaptiveAvgPool1d {
    /// So many windows.
    pub fn new(output_size: usize) -> AdaptiveAvgPool1d {
        AdaptiveAvgPool1d::with(output_size)
    }
}

impl AdaptiveMaxPool1d {
    /// So many windows.
    pub fn new(output_size: usize) -> AdaptiveMaxPool1d {
        AdaptiveMaxPool1d::with(output_size)
    }
}

/// [`Tensor::upsample`] by a factor.
#[derive(Debug, Clone, Module)]
pub struct Upsample {
    /// The factors of height and width.
    #[module(skip)]
    pub scale_factor: [f32; 2],
    /// By the nearest pixel or by lines.
    #[module(skip)]
    pub mode: Upsampling,
    path: Path,
}

impl Upsample {
    /// The same factor in both directions.
    pub fn new(scale_factor: f32, mode: Upsampling) -> Upsample {
        Upsample::with([scale_factor; 2], mode)
    }

    /// A factor for the height and one for the width.
    pub fn with(scale_factor: [f32; 2], mode: Upsampling) -> Upsample {
        Upsample { scale_factor, mode, path: Path::new() }
    }
}

impl Layer for Upsample {
    #[track_caller]
    fn call(&self, x: &Tensor, _ctx: &Ctx) -> Tensor {
        self.path.of(x).upsample(self.scale_factor, self.mode)
    }

    fn misfit(&self, x: &Tensor, _ctx: &Ctx) -> Option<String> {
        misfit_at(&self.path, x.rank() == 4, "Upsample", x, || "expected images [n, c, h, w]".into())
    }

    fn title(&self) -> String {
        let [h, w] = self.scale_factor;
        format!("Upsample({h}x{w})")
    }
}

/// [`Tensor::pixel_shuffle`] by a factor.
#[derive(Debug, Clone, Module)]
pub struct PixelShuffle {
    /// The factor by which images grow in both directions.
    #[module(skip)]
    pub factor: usize,
    path: Path,
}

impl PixelShuffle {
    /// Images that are so much larger.
    pub fn new(factor: usize) -> PixelShuffle {
        PixelShuffle { factor, path: Path::new() }
    }
}

impl Layer for PixelShuffle {
    #[track_caller]
    fn call(&self, x: &Tensor, _ctx: &Ctx) -> Tensor {
        self.path.of(x).pixel_shuffle(self.factor)
    }

    fn batched_rank(&self) -> Option<usize> {
        Some(4)
    }

    fn misfit(&self, x: &Tensor, _ctx: &Ctx) -> Option<String> {
        let each = self.factor * self.factor;
        let fits = x.rank() == 4 && each > 0 && x.shape()[1].is_multiple_of(each);
        let expected = || format!("expected images [n, c, h, w] of a multiple of {each} channels");
        misfit_at(&self.path, fits, "PixelShuffle", x, expected)
    }

    fn title(&self) -> String {
        format!("PixelShuffle({})", self.factor)
    }
}
