//! Layers that bring elements to other places: pixels among channels, channels among groups, windows among columns.

use super::ctx::Ctx;
use super::fits::misfit_at;
use super::module::{Layer, Module, Path};
use crate::ops::conv::Conv2dOptions;
use crate::tensor::Tensor;

macro_rules! layers {
    ($($(#[$doc:meta])* $name:ident {
        $(#[$about:meta])* $first:ident: $type:ty,
        $($(#[$more_about:meta])* $more:ident: $more_type:ty,)*
    } $rank:literal, |$layer:ident, $x:ident| $fits:expr, $expected:expr, $run:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Module)]
        pub struct $name {
            $(#[$about])*
            #[module(skip)]
            pub $first: $type,
            $($(#[$more_about])*
            #[module(skip)]
            pub $more: $more_type,)*
            path: Path,
        }

        impl $name {
            /// With all options.
            pub fn new($first: $type $(, $more: $more_type)*) -> $name {
                $name { $first, $($more,)* path: Path::new() }
            }
        }

        impl Layer for $name {
            #[track_caller]
            fn call(&self, x: &Tensor, _ctx: &Ctx) -> Tensor {
                let ($layer, $x) = (self, self.path.of(x));
                $run
            }

            fn batched_rank(&self) -> Option<usize> {
                Some($rank)
            }

            fn misfit(&self, $x: &Tensor, _ctx: &Ctx) -> Option<String> {
                let $layer = self;
                let fits = $x.rank() == $rank && $fits;
                misfit_at(&self.path, fits, stringify!($name), $x, || $expected)
            }

            fn title(&self) -> String {
                format!("{}({:?})", stringify!($name), self.$first)
            }
        }
    )*};
}

/// Whether `n` is some whole times `each`.
fn whole(n: usize, each: usize) -> bool {
    each > 0 && n.is_multiple_of(each)
}

layers! {
    /// [`Tensor::pixel_shuffle`] by a factor.
    PixelShuffle {
        /// The factor by which images grow in both directions.
        factor: usize,
    } 4, |layer, x| whole(x.shape()[1], layer.factor * layer.factor),
        format!("expected images [n, c, h, w] of a multiple of {} channels", layer.factor * layer.factor),
        x.pixel_shuffle(layer.factor);

    /// [`Tensor::pixel_unshuffle`] by a factor.
    PixelUnshuffle {
        /// The factor by which images shrink in both directions.
        factor: usize,
    } 4, |layer, x| whole(x.shape()[2], layer.factor) && whole(x.shape()[3], layer.factor),
        format!("expected images [n, c, h, w] of a multiple of {} pixels", layer.factor),
        x.pixel_unshuffle(layer.factor);

    /// [`Tensor::channel_shuffle`] of images by groups.
    ChannelShuffle {
        /// Groups of channels.
        groups: usize,
    } 4, |layer, x| whole(x.shape()[1], layer.groups),
        format!("expected images [n, c, h, w] with channels for {} groups", layer.groups),
        x.channel_shuffle(layer.groups);

    /// [`Tensor::unfold`]: windows of images as columns.
    Unfold {
        /// Rows and columns of a window.
        kernel_size: [usize; 2],
        /// Stride, padding and dilation.
        options: Conv2dOptions,
    } 4, |layer, x| true,
        format!("expected images [n, c, h, w] for windows of {:?}", layer.kernel_size),
        x.unfold(layer.kernel_size, layer.options);

    /// [`Tensor::fold`]: columns added up as images.
    Fold {
        /// Height and width of the images.
        output_size: [usize; 2],
        /// Rows and columns of a window.
        kernel_size: [usize; 2],
        /// Stride, padding and dilation.
        options: Conv2dOptions,
    } 3, |layer, x| whole(x.shape()[1], layer.kernel_size[0] * layer.kernel_size[1]),
        format!("expected columns [n, c * {} * {}, windows]", layer.kernel_size[0], layer.kernel_size[1]),
        x.fold(layer.output_size, layer.kernel_size, layer.options);
}
