//! Weights in bytes, for inference: by channel and symmetric.

use super::module::{Module, distinct};
use super::parameter::Parameter;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::ops::reduce::KeepDims;
use crate::shape::Shape;
use crate::tensor::Tensor;

/// Steps from 0 to the largest value of a channel.
const STEPS: f32 = 127.0;
/// The byte of 0.
const ZERO: f32 = 128.0;

/// The sizes of what is one number for each channel of a weight.
fn by_channel(weight: &Tensor) -> Shape {
    let mut sizes = vec![1; weight.rank()];
    sizes[0] = weight.size(0);
    Shape::from(sizes)
}

/// Holds in bytes what a model's layers have said can be.
#[track_caller]
pub(super) fn quantize(module: &dyn Module) -> Result<()> {
    let all = distinct(module);
    let mut held = Vec::new();
    for (path, parameter) in &all {
        let own = parameter.tensor().detach();
        if !parameter.is_by_channel() || !own.dtype().is_float() || own.numel() == 0 {
            continue;
        }
        let x = own.cast(DType::F32);
        let dims: Vec<isize> = (1..x.rank() as isize).collect();
        let most = x.abs().amax(&dims, KeepDims::Yes);
        // As it is kept.
        let scale = most.affine(1.0 / STEPS, 0.0).cast(own.dtype()).cast(DType::F32);
        if !scale.to_vec::<f32>()?.iter().all(|scale| scale.is_finite()) {
            let text = format!("quantize_int8: {path} holds values that are no finite numbers");
            return Err(Error::Weights(text));
        }
        // A channel of zeros.
        let scale = Tensor::where_(&scale.eq(scale.zeros_like()), &Tensor::scalar(1.0f32, scale.device()), &scale);
        let bytes = (&x / &scale).round().clamp(-STEPS, STEPS).affine(1.0, ZERO).cast(DType::U8);
        held.push((parameter, bytes, scale.flatten(0).cast(own.dtype())));
    }
    for (parameter, bytes, scale) in held {
        parameter.hold(bytes, scale);
    }
    Ok(())
}

/// What a parameter stands for that is held in bytes.
pub(super) fn widened(parameter: &Parameter) -> Option<Tensor> {
    let scale = parameter.scale()?.tensor();
    let bytes = parameter.tensor();
    let name = bytes.name().map(str::to_string);
    let steps = bytes.cast(DType::F32).affine(1.0, -ZERO);
    let x = (steps * scale.cast(DType::F32).reshape_to(by_channel(&bytes))).cast(scale.dtype());
    Some(name.map_or(x.clone(), |name| x.named(name)))
}
