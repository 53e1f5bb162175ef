//! Convolution and its transpose.

use super::run;
use crate::images::{conv1d_options, conv2d_options, transpose1d_options, transpose2d_options};
use crate::trial::Trial;
use crate::volumes::{conv3d_options, three, transpose3d_options};
use wgrad::nn::{Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d, Init, Layer, Parameter};
use wgrad::{Padding, Tensor};

/// What all have: they are made by the file's arguments, and take its values.
pub trait Convolution: Layer {
    fn make(t: &Trial, channels: [usize; 2], init: &mut Init) -> Self;
    fn values(&mut self) -> (&mut Parameter, &mut Option<Parameter>);
}

macro_rules! convolutions {
    ($($name:ident: $kernel:expr, $options:expr, |$layer:ident, $t:ident| $more:expr;)*) => {$(
        impl Convolution for $name {
            fn make($t: &Trial, [inputs, outputs]: [usize; 2], init: &mut Init) -> $name {
                let $layer = $name::with(inputs, outputs, $kernel($t), $options($t), init);
                let layer = $more;
                if $t.attrs().flag("bias", true) { layer } else { layer.without_bias() }
            }

            fn values(&mut self) -> (&mut Parameter, &mut Option<Parameter>) {
                (&mut self.weight, &mut self.bias)
            }
        }
    )*};
}

/// Other elements around than zeros, and as many as keep the size.
macro_rules! around {
    ($layer:expr, $t:expr) => {{
        let layer = match &*$t.attrs().text("padding_mode", "zeros") {
            "zeros" => $layer,
            "reflect" => $layer.padding_mode(Padding::Reflect),
            "replicate" => $layer.padding_mode(Padding::Replicate),
            "circular" => $layer.padding_mode(Padding::Circular),
            other => panic!("no padding `{other}` is known"),
        };
        if $t.attrs().is_word("padding", "same") { layer.padding_same() } else { layer }
    }};
}

fn one(t: &Trial) -> usize {
    t.size("kernel_size")
}

fn two(t: &Trial) -> [usize; 2] {
    t.attrs().pair("kernel_size").expect("a kernel has a size")
}

fn cube(t: &Trial) -> [usize; 3] {
    three(t, "kernel_size").expect("a kernel has a size")
}

convolutions! {
    Conv1d: one, conv1d_options, |layer, t| around!(layer, t);
    Conv2d: two, conv2d_options, |layer, t| around!(layer, t);
    Conv3d: cube, conv3d_options, |layer, t| around!(layer, t);
    ConvTranspose1d: one, transpose1d_options, |layer, t| layer;
    ConvTranspose2d: two, transpose2d_options, |layer, t| layer;
    ConvTranspose3d: cube, transpose3d_options, |layer, t| layer;
}

pub fn conv<C: Convolution>(t: &Trial) -> Tensor {
    let mut layer = C::make(t, [t.size("in_channels"), t.size("out_channels")], &mut t.init());
    let (weight, bias) = layer.values();
    assert_eq!(weight.shape(), t.input("weight").shape(), "the weight's shape");
    assert_eq!(bias.is_some(), t.maybe("bias").is_some(), "whether there is a bias");
    (*weight, *bias) = (t.parameter("weight"), t.given("bias"));
    run(t, &layer)
}
