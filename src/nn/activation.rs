//! Activations as layers.

use super::ctx::{Ctx, Mode};
use super::fits::{misfit, no_float};
use super::generator::Generator;
use super::module::{Init, Layer, Module, Path};
use super::parameter::Parameter;
use crate::tensor::Tensor;

/// Any function of a tensor as a layer without parameters.
#[derive(Debug, Clone, Module)]
pub struct Activation {
    /// Its name in a summary.
    #[module(skip)]
    pub name: &'static str,
    /// The function.
    #[module(skip)]
    pub function: fn(&Tensor) -> Tensor,
    path: Path,
}

impl Activation {
    /// `function` under a name.
    pub fn new(name: &'static str, function: fn(&Tensor) -> Tensor) -> Activation {
        Activation { name, function, path: Path::new() }
    }
}

impl Layer for Activation {
    #[track_caller]
    fn call(&self, x: &Tensor, _ctx: &Ctx) -> Tensor {
        (self.function)(&self.path.of(x))
    }

    fn misfit(&self, x: &Tensor, _ctx: &Ctx) -> Option<String> {
        no_float(&self.path, self.name, x)
    }

    fn title(&self) -> String {
        self.name.to_string()
    }
}

macro_rules! activations {
    ($($(#[$doc:meta])* $name:ident $(($($argument:ident: $type:ty),+))? => |$x:ident| $value:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Default, Module)]
        pub struct $name {
            $($(
                /// An argument of the function.
                #[module(skip)]
                pub $argument: $type,
            )+)?
            path: Path,
        }

        impl $name {
            /// With the function's arguments, where it has any.
            pub fn new($($($argument: $type),+)?) -> $name {
                $name { $($($argument,)+)? path: Path::new() }
            }
        }

        impl Layer for $name {
            #[track_caller]
            fn call(&self, $x: &Tensor, _ctx: &Ctx) -> Tensor {
                let $x = self.path.of($x);
                $($(let $argument = self.$argument;)+)?
                $value
            }

            fn misfit(&self, x: &Tensor, _ctx: &Ctx) -> Option<String> {
                no_float(&self.path, stringify!($name), x)
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
    /// [`Tensor::leaky_relu`] with its slope (0.01 in PyTorch).
    LeakyRelu(slope: f32) => |x| x.leaky_relu(slope);
    /// [`Tensor::elu`] with its alpha (1 in PyTorch).
    Elu(alpha: f32) => |x| x.elu(alpha);
    /// [`Tensor::gelu_tanh`].
    GeluTanh => |x| x.gelu_tanh();
    /// [`Tensor::hardtanh`] with its bounds (-1 and 1 in PyTorch).
    Hardtanh(min: f32, max: f32) => |x| x.hardtanh(min, max);
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
    Celu(alpha: f32) => |x| x.celu(alpha);
    /// [`Tensor::logsigmoid`].
    LogSigmoid => |x| x.logsigmoid();
    /// [`Tensor::threshold`] with its threshold and value.
    Threshold(threshold: f32, value: f32) => |x| x.threshold(threshold, value);
    /// [`Tensor::hardshrink`] with its lambda (0.5 in PyTorch).
    Hardshrink(lambda: f32) => |x| x.hardshrink(lambda);
    /// [`Tensor::softshrink`] with its lambda (0.5 in PyTorch).
    Softshrink(lambda: f32) => |x| x.softshrink(lambda);
    /// [`Tensor::tanhshrink`].
    Tanhshrink => |x| x.tanhshrink();
    /// [`Tensor::glu`] along a dimension (-1 in PyTorch).
    Glu(dim: isize) => |x| x.glu(dim);
    /// [`Tensor::softmax`] over a dimension.
    Softmax(dim: isize) => |x| x.softmax(dim);
    /// [`Tensor::log_softmax`] over a dimension.
    LogSoftmax(dim: isize) => |x| x.log_softmax(dim);
    /// [`Tensor::softmax`] of `-x` over a dimension.
    Softmin(dim: isize) => |x| x.neg().softmax(dim);
}

/// [`Tensor::softplus_with`] PyTorch's beta of 1 and threshold of 20, unless they are set.
#[doc(alias = "nn.Softplus")]
#[derive(Debug, Clone, PartialEq, Module)]
pub struct Softplus {
    /// The steepness.
    #[module(skip)]
    pub beta: f32,
    /// `beta x` from which on `x` is given as it is.
    #[module(skip)]
    pub threshold: f32,
    path: Path,
}

impl Default for Softplus {
    fn default() -> Softplus {
        Softplus::with(1.0, 20.0)
    }
}

impl Softplus {
    /// With PyTorch's defaults.
    pub fn new() -> Softplus {
        Softplus::default()
    }

    /// With another beta and threshold.
    pub fn with(beta: f32, threshold: f32) -> Softplus {
        Softplus { beta, threshold, path: Path::new() }
    }
}

impl Layer for Softplus {
    #[track_caller]
    fn call(&self, x: &Tensor, _ctx: &Ctx) -> Tensor {
        let x = self.path.of(x);
        // Above 20, log(1 + e^x) is x in f32: one kernel does it.
        if (self.beta, self.threshold) == (1.0, 20.0) {
            x.softplus()
        } else {
            x.softplus_with(self.beta, self.threshold)
        }
    }

    fn misfit(&self, x: &Tensor, _ctx: &Ctx) -> Option<String> {
        no_float(&self.path, "Softplus", x)
    }

    fn title(&self) -> String {
        format!("Softplus({}, {})", self.beta, self.threshold)
    }
}

/// [`Tensor::prelu`], whose slopes are learnt.
#[derive(Debug, Module)]
pub struct PRelu {
    /// `[1]`, or a slope for each channel.
    pub weight: Parameter,
}

impl PRelu {
    /// Slopes of 0.25, as in PyTorch: one, or one for each channel.
    #[track_caller]
    pub fn new(slopes: usize, init: &mut Init) -> PRelu {
        PRelu::with(slopes, 0.25, init)
    }

    /// Slopes of another first value: PyTorch's `init`.
    #[track_caller]
    pub fn with(slopes: usize, value: f32, init: &mut Init) -> PRelu {
        PRelu { weight: Parameter::new(Tensor::full([slopes], value, &init.device)) }
    }
}

impl Layer for PRelu {
    #[track_caller]
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        x.prelu(&ctx.param(&self.weight))
    }

    fn misfit(&self, x: &Tensor, _ctx: &Ctx) -> Option<String> {
        let weight = self.weight.tensor();
        let (slopes, channels) = (weight.numel(), if x.rank() > 1 { x.shape()[1] } else { 1 });
        let fits = slopes == 1 || slopes == channels;
        misfit(fits, "PRelu", x, &weight, || format!("expected a batch [n, {slopes}, ..]"))
    }

    fn title(&self) -> String {
        format!("PRelu({})", self.weight.shape().numel())
    }
}

/// [`Tensor::rrelu`] in training, by slopes that are drawn between 1/8 and 1/3 unless it is said otherwise; else
/// [`Tensor::leaky_relu`] by their mean.
#[doc(alias = "nn.RReLU")]
#[derive(Debug, Module)]
pub struct RRelu {
    /// The smallest slope.
    #[module(skip)]
    pub lower: f32,
    /// The largest slope.
    #[module(skip)]
    pub upper: f32,
    generator: Generator,
    path: Path,
}

impl RRelu {
    /// With PyTorch's slopes.
    pub fn new(init: &mut Init) -> RRelu {
        RRelu { lower: 1.0 / 8.0, upper: 1.0 / 3.0, generator: init.generator.clone(), path: Path::new() }
    }

    /// Between other slopes.
    ///
    /// # Panics
    /// If `lower` is above `upper`.
    #[track_caller]
    pub fn with(lower: f32, upper: f32, init: &mut Init) -> RRelu {
        assert!(lower <= upper, "RRelu: {lower}..{upper} is no range: give the lower end first");
        RRelu { lower, upper, ..RRelu::new(init) }
    }
}

impl Layer for RRelu {
    #[track_caller]
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let x = self.path.of(x);
        match ctx.mode() {
            Mode::Train => x.rrelu(self.lower, self.upper, &ctx.draw(&self.generator, x.device())),
            Mode::Eval => x.leaky_relu((self.lower + self.upper) / 2.0),
        }
    }

    fn misfit(&self, x: &Tensor, _ctx: &Ctx) -> Option<String> {
        no_float(&self.path, "RRelu", x)
    }

    fn title(&self) -> String {
        format!("RRelu({}, {})", self.lower, self.upper)
    }
}
