//! Values from one model to another, and models from one device to another.

use super::module::{Module, Visitor};
use super::parameter::Entry;
use crate::device::Device;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::tensor::Tensor;
use std::collections::BTreeMap;

/// What a model holds, and whether it is held in int8: bytes, whose steps lie beside.
fn tensors(module: &dyn Module) -> BTreeMap<String, (Tensor, bool)> {
    let mut found = BTreeMap::new();
    let mut each = |path: &str, entry: Entry| {
        let in_bytes = matches!(entry, Entry::Parameter(parameter) if parameter.scale().is_some());
        found.insert(path.to_string(), (entry.tensor().detach(), in_bytes));
    };
    module.visit(&mut Visitor::new(&mut each));
    found
}

/// Moves the values of `own` the part `tau` of the way to those of `other`.
pub(super) fn lerp(own: &dyn Module, other: &dyn Module, tau: f32) -> Result<()> {
    if !(0.0..=1.0).contains(&tau) {
        return Err(Error::Option(format!("lerp_from: expected a tau in 0..=1, got {tau}")));
    }
    let (own, other) = (tensors(own), tensors(other));
    let is_whole = tau == 0.0 || tau == 1.0;
    for (name, (x, in_bytes)) in &own {
        let text = match other.get(name).map(|(y, _)| y) {
            None => format!("copy: the other model has no `{name}`"),
            Some(y) if y.shape() != x.shape() => {
                format!("copy: `{name}`: expected {}, got {} of the other model", x.shape(), y.shape())
            }
            Some(y) if y.dtype().is_float() != x.dtype().is_float() => {
                format!("copy: `{name}`: expected {}, got {} of the other model", x.dtype(), y.dtype())
            }
            Some(_) if *in_bytes && !is_whole => format!(
                "lerp_from: `{name}` is held in int8, and there are no bytes between those of two models: expected a tau of 0 or 1, \
                 got {tau}"
            ),
            Some(_) => continue,
        };
        return Err(Error::Weights(text));
    }
    if let Some(name) = other.keys().find(|name| !own.contains_key(*name)) {
        return Err(Error::Weights(format!("copy: this model has no `{name}`, which the other has")));
    }
    // Bytes stay beside the steps that they are of.
    for (name, (x, _)) in own.into_iter().filter(|(_, (_, in_bytes))| !in_bytes || tau == 1.0) {
        let y = other[&name].0.to(x.device())?;
        let is_copied = tau == 1.0 || !x.dtype().is_float();
        let new = if is_copied { y } else { x.add(&y.sub(&x).affine(tau, 0.0)) };
        x.assign(&new.cast(x.dtype()));
    }
    Ok(())
}

/// Makes all floats of a model ones of another type; what several of its layers share is cast once.
#[track_caller]
pub(super) fn cast(module: &dyn Module, dtype: DType) {
    assert!(dtype.is_float(), "cast: expected a type of floats, got {dtype}");
    let mut each = |_: &str, entry: Entry| {
        let own = entry.tensor().dtype();
        if own.is_float() && own != dtype {
            entry.cast(dtype);
        }
    };
    module.visit(&mut Visitor::new(&mut each));
}

/// Moves all that a model holds; what several of its layers share is moved once.
pub(super) fn to(module: &dyn Module, device: &Device) -> Result<()> {
    let mut failed = Ok(());
    let mut each = |_: &str, entry: Entry| {
        if failed.is_ok() && entry.tensor().device() != device {
            failed = entry.move_to(device);
        }
    };
    module.visit(&mut Visitor::new(&mut each));
    failed
}
