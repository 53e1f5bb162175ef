//! Activations as layers.

use super::ctx::Ctx;
use super::fits::{misfit, no_float, refuse};
use super::module::{Init, Layer, Module, Parameter, Visitor};
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
        refuse(self.misfit(x, ctx));
        ctx.seen(self, || self.name.to_string(), (self.function)(x))
    }

    fn misfit(&self, x: &Tensor, ctx: &Ctx) -> Option<String> {
        no_float(self.name, x, ctx)
    }
}

macro_rules! activations {
    ($($(#[$doc:meta])* $name:ident $(($($argument:ident),+))? => |$x:ident $(, $field:pat_param)?| $value:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default)]
        pub struct $name $(($(
            /// An argument of the function.
            pub $argument
        ),+))?;

        impl Module for $name {
            fn visit(&self, _visitor: &mut Visitor) {}
        }

        impl Layer for $name {
            #[track_caller]
            fn forward(&self, $x: &Tensor, ctx: &Ctx) -> Tensor {
                refuse(self.misfit($x, ctx));
                $(let $field = *self;)?
                ctx.seen(self, || stringify!($name).to_string(), $value)
            }

            fn misfit(&self, x: &Tensor, ctx: &Ctx) -> Option<String> {
                no_float(stringify!($name), x, ctx)
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
    LeakyRelu(f32) => |x, LeakyRelu(slope)| x.leaky_relu(slope);
    /// [`Tensor::elu`] with its alpha (1 in PyTorch).
    Elu(f32) => |x, Elu(alpha)| x.elu(alpha);
    /// [`Tensor::gelu_tanh`].
    GeluTanh => |x| x.gelu_tanh();
    /// [`Tensor::hardtanh`] with its bounds (-1 and 1 in PyTorch).
    Hardtanh(f32, f32) => |x, Hardtanh(min, max)| x.hardtanh(min, max);
    /// [`Tensor::relu6`].
    Relu6 => |x| x.relu6();
    /// [`Tensor::hardswish`].
    Hardswish => |x| x.hardswish();
    /// [`Tensor::hardsigmoid`].
    Hardsigmoid => |x| x.hardsigmoid();
    /// [`Tensor::softsign`].
    Softsign => |x| x.softsign();
    /// [`Tensor::mish`].
    Mish => |x| x.mish();
    /// [`Tensor::selu`].
    Selu => |x| x.selu();
    /// [`Tensor::celu`] with its alpha (1 in PyTorch).
    Celu(f32) => |x, Celu(alpha)| x.celu(alpha);
    /// [`Tensor::logsigmoid`].
    LogSigmoid => |x| x.logsigmoid();
    /// [`Tensor::threshold`] with its threshold and value.
    Threshold(f32, f32) => |x, Threshold(threshold, value)| x.threshold(threshold, value);
    /// [`Tensor::hardshrink`] with its lambda (0.5 in PyTorch).
    Hardshrink(f32) => |x, Hardshrink(lambda)| x.hardshrink(lambda);
    /// [`Tensor::softshrink`] with its lambda (0.5 in PyTorch).
    Softshrink(f32) => |x, Softshrink(lambda)| x.softshrink(lambda);
    /// [`Tensor::tanhshrink`].
    Tanhshrink => |x| x.tanhshrink();
    /// [`Tensor::glu`] along a dimension (-1 in PyTorch).
    Glu(isize) => |x, Glu(dim)| x.glu(dim);
    /// [`Tensor::softmax`] over a dimension.
    Softmax(isize) => |x, Softmax(dim)| x.softmax(dim);
    /// [`Tensor::log_softmax`] over a dimension.
    LogSoftmax(isize) => |x, LogSoftmax(dim)| x.log_softmax(dim);
    /// [`Tensor::softmax`] of `-x` over a dimension.
    Softmin(isize) => |x, Softmin(dim)| x.neg().softmax(dim);
}

/// [`Tensor::prelu`], whose slopes are learnt.
#[derive(Debug)]
pub struct PRelu {
    /// `[1]`, or a slope for each channel.
    pub weight: Parameter,
}

impl PRelu {
    /// Slopes of 0.25, as in PyTorch: one, or one for each channel.
    #[track_caller]
    pub fn new(slopes: usize, init: &mut Init) -> PRelu {
        PRelu { weight: Parameter::new(Tensor::full([slopes], 0.25f32, &init.device)) }
    }
}

impl Module for PRelu {
    fn visit(&self, visitor: &mut Visitor) {
        visitor.child("weight", &self.weight);
    }
}

impl Layer for PRelu {
    #[track_caller]
    fn forward(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        refuse(self.misfit(x, ctx));
        let weight = ctx.param(&self.weight);
        ctx.seen(self, || format!("PRelu({})", weight.numel()), x.prelu(&weight))
    }

    fn misfit(&self, x: &Tensor, _ctx: &Ctx) -> Option<String> {
        let weight = self.weight.tensor();
        let (slopes, channels) = (weight.numel(), if x.rank() > 1 { x.shape()[1] } else { 1 });
        let fits = slopes == 1 || slopes == channels;
        misfit(fits, "PRelu", x, &weight, || format!("a batch [n, {slopes}, ..] is due"))
    }
}
