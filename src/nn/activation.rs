//! Activations as layers.

use super::ctx::Ctx;
use super::module::{Layer, Module, Visitor};
use crate::tensor::Tensor;

/// Any function of a tensor as a layer without parameters.
#[derive(Debug, Clone, Copy)]
pub struct Activation {
    /// What a summary calls it.
    pub name: &'static str,
    /// The function.
    pub function: fn(&Tensor) -> Tensor,
}

impl Module for Activation {
    fn visit(&self, _visitor: &mut Visitor) {}
}

impl Layer for Activation {
    #[track_caller]
    fn forward(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        ctx.seen(self, || self.name.to_string(), (self.function)(x))
    }
}

macro_rules! activations {
    ($($(#[$doc:meta])* $name:ident $(($argument:ident))? => |$x:ident $(, $field:ident)?| $value:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default)]
        pub struct $name $((
            /// The function's argument.
            pub $argument
        ))?;

        impl Module for $name {
            fn visit(&self, _visitor: &mut Visitor) {}
        }

        impl Layer for $name {
            #[track_caller]
            fn forward(&self, $x: &Tensor, ctx: &Ctx) -> Tensor {
                $(let $field = self.0;)?
                ctx.seen(self, || stringify!($name).to_string(), $value)
            }
        }
    )*};
}

activations! {
    /// [`Tensor::relu`].
    Relu => |x| x.relu();
    /// [`Tensor::gelu`].
    Gelu => |x| x.gelu();
    /// [`Tensor::silu`].
    Silu => |x| x.silu();
    /// [`Tensor::tanh`].
    Tanh => |x| x.tanh();
    /// [`Tensor::sigmoid`].
    Sigmoid => |x| x.sigmoid();
    /// [`Tensor::softplus`].
    Softplus => |x| x.softplus();
    /// [`Tensor::leaky_relu`] with its slope (0.01 in PyTorch).
    LeakyRelu(f32) => |x, slope| x.leaky_relu(slope);
    /// [`Tensor::elu`] with its alpha (1 in PyTorch).
    Elu(f32) => |x, alpha| x.elu(alpha);
}
