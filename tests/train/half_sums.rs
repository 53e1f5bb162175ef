//! Layers that compute in f16 where the adapter does: how near their definitions they stay.

use crate::devices::{has_gpu, open, say};
use half::f16;
use wgrad::backend::WgpuOptions;
use wgrad::nn::{Conv2d, Ctx, Init, Layer, Linear, Precision};
use wgrad::{DType, Device, Rng, Tensor};

/// On an adapter that computes in f16, layers of halves do, and each kernel stays as near its definition as such may.
#[test]
fn gpu_products_of_halves_are_near_their_definition() {
    for [rows, inputs, outputs] in [[4, 4, 4], [64, 64, 64], [33, 132, 20], [70, 36, 132], [8, 16_420, 8]] {
        near_by_halves(&format!("{rows} x {inputs} x {outputs}"), 2, &[rows, inputs], |device| {
            Box::new(Linear::new(inputs, outputs, &mut Init::new(1, device)))
        });
    }
}

/// In all three directions, with and without tiles of one tap, of several images and workgroups, and by strides.
#[test]
fn gpu_convolutions_of_halves_are_near_their_definition() {
    for (shape, outputs, kernel, options) in [
        ([1, 4, 3, 3], 4, 1, [1, 0, 1]),
        ([2, 32, 9, 7], 64, 3, [1, 1, 1]),
        ([3, 12, 11, 13], 36, 5, [1, 2, 1]),
        ([2, 64, 8, 8], 132, 3, [1, 2, 2]),
        ([5, 8, 17, 19], 20, 3, [2, 1, 1]),
        ([40, 20, 15, 14], 8, 3, [1, 1, 1]),
    ] {
        let [stride, padding, dilation] = options;
        // The gradient of images by strides goes by columns.
        let least = if stride == 1 { 3 } else { 2 };
        near_by_halves(&format!("{shape:?} to {outputs}, {kernel}x{kernel}, {options:?}"), least, &shape, |device| {
            let layer = Conv2d::new(shape[1], outputs, kernel, &mut Init::new(1, device));
            Box::new(layer.stride(stride).padding(padding).dilation(dilation))
        });
    }
}

/// A layer forward and backward in `F16Mixed`, with each of the variants that compute in f16 wherever it fits: `least` times.
fn near_by_halves(what: &str, least: usize, shape: &[usize], layer: impl Fn(&Device) -> Box<dyn Layer>) {
    if !has_gpu() {
        return;
    }
    for variant in ["halves", "halves_small"] {
        let options = WgpuOptions { variant: Some(variant), fp16_accumulation: true, ..WgpuOptions::from_env() };
        let device = open(&options);
        if !device.info().shader_f16 {
            say("not tested: products in the arithmetic of f16, which this adapter has not");
            return;
        }
        let step = |device: &Device| {
            // Channels as neighbours, as layers leave them.
            let is_image = shape.len() == 4;
            let stored = if is_image { [0, 2, 3, 1].map(|dim| shape[dim]).to_vec() } else { shape.to_vec() };
            let x = Tensor::normal(&*stored, 0.0, 1.0, &mut Rng::new(2), device).requires_grad();
            let input = if is_image { x.permute(&[0, 3, 1, 2]) } else { x.clone() };
            let y = layer(device).forward(&input, &Ctx::train().precision(Precision::F16Mixed)).relu();
            assert_eq!(y.dtype(), DType::F16);
            let grads = y.square().sum().backward();
            y.to_vec::<f16>().map_err(|error| error.to_string())?;
            let dx = grads.of(&x).expect("x has a gradient");
            dx.to_vec::<f32>().map(drop).map_err(|error| error.to_string())
        };
        let (done, profile) = device.profile(|| step(&device)).expect("the device works");
        assert_eq!(done, Ok(()), "{what}");
        let took = profile.spans.iter().filter(|span| span.title.variant == variant).count();
        let all: Vec<String> =
            profile.spans.iter().map(|span| format!("{} {}", span.title.kernel, span.title.variant)).collect();
        assert!(took >= least, "{variant}: forward and backward of {what}: {all:?}");
        assert_eq!(step(&Device::checked(open(&options))), Ok(()), "{variant}: {what}");
    }
}
