//! Augmentation as a layer.

use super::ctx::{Ctx, Mode};
use super::fits::misfit_at;
use super::generator::Generator;
use super::module::{Init, Layer, Module, Path};
use crate::tensor::Tensor;

/// In training, moves and mirrors each image at random ([`Tensor::random_crop_flip`]); else passes through.
#[derive(Debug, Module)]
pub struct RandomCropFlip {
    /// Pixels that an image is moved by at most.
    #[module(skip)]
    pub padding: usize,
    generator: Generator,
    path: Path,
}

impl RandomCropFlip {
    /// Draws from the generator of `init`.
    #[track_caller]
    pub fn new(padding: usize, init: &mut Init) -> RandomCropFlip {
        RandomCropFlip { padding, generator: init.generator.clone(), path: Path::new() }
    }
}

impl Layer for RandomCropFlip {
    #[track_caller]
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        match ctx.mode() {
            Mode::Train => self.path.of(x).random_crop_flip(self.padding, &ctx.draw(&self.generator, x.device())),
            Mode::Eval => x.clone(),
        }
    }

    fn misfit(&self, x: &Tensor, _ctx: &Ctx) -> Option<String> {
        misfit_at(&self.path, x.rank() == 4, "RandomCropFlip", x, || "expected images [n, c, h, w]".into())
    }

    fn title(&self) -> String {
        format!("RandomCropFlip({})", self.padding)
    }
}

/// A layer that changes images `[n, c, h, w]` by chance in training; its options are fields, and it draws from a generator.
macro_rules! random {
    (
        $(#[$doc:meta])*
        pub struct $Name:ident { $($(#[$of:meta])* $field:ident: $type:ty,)* }
        change($this:ident, $x:ident, $draw:ident) $change:block
        $(else $still:block)?
    ) => {
        $(#[$doc])*
        #[derive(Debug, Module)]
        pub struct $Name {
            $($(#[$of])* #[module(skip)] pub $field: $type,)*
            generator: Generator,
            path: Path,
        }

        impl $Name {
            /// Draws from the generator of `init`.
            #[track_caller]
            pub fn new($($field: $type,)* init: &mut Init) -> $Name {
                $Name { $($field,)* generator: init.generator.clone(), path: Path::new() }
            }

            fn changed(&$this, $x: &Tensor, $draw: &Draw) -> Tensor $change

            fn still(&$this, $x: &Tensor) -> Tensor {
                random!(@still $x $($still)?)
            }
        }

        impl Layer for $Name {
            #[track_caller]
            fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
                match ctx.mode() {
                    Mode::Train => self.changed(&self.path.of(x), &ctx.draw(&self.generator, x.device())),
                    Mode::Eval => self.still(x),
                }
            }

            fn misfit(&self, x: &Tensor, _ctx: &Ctx) -> Option<String> {
                let fits = x.rank() == 4 && x.numel() > 0;
                misfit_at(&self.path, fits, stringify!($Name), x, || "expected images [n, c, h, w]".into())
            }

            fn title(&self) -> String {
                stringify!($Name).into()
            }
        }
    };
    (@still $x:ident) => { $x.clone() };
    (@still $x:ident $still:block) => { $still };
}
pub(super) use random;
