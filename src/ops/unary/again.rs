//! Parts of gradients in operations, where a row of the table has no room for them.

use super::{GELU_CURVE, UnaryParams};
use crate::tensor::Tensor;
use std::f64::consts::PI;

/// Nothing above 0, where another branch counts.
pub fn below(x: &Tensor) -> Tensor {
    x.clamp(f32::NEG_INFINITY, 0.0)
}

/// The density of the normal distribution.
pub fn density(x: &Tensor) -> Tensor {
    x.square().affine(-0.5, 0.0).exp().affine((2.0 * PI).sqrt().recip() as f32, 0.0)
}

pub fn gelu_tanh_slope(x: &Tensor) -> Tensor {
    let [curve, cube] = GELU_CURVE;
    let t = x.square().affine(curve * cube, curve).mul(x).tanh();
    let inner = x.square().affine(3.0 * curve * cube, curve);
    t.affine(0.5, 0.5).add(&x.mul(&t.square().affine(-0.5, 0.5)).mul(&inner))
}

pub fn mish_slope(x: &Tensor) -> Tensor {
    let t = x.softplus().tanh();
    t.add(&x.mul(&x.sigmoid()).mul(&t.square().affine(-1.0, 1.0)))
}

/// What passes between two bounds, without the bounds themselves; an infinite one is none. Of NaN nothing does.
pub fn within(x: &Tensor, p: UnaryParams, dy: &Tensor) -> Tensor {
    let above = if p.a == f32::NEG_INFINITY { x.ge(p.a) } else { x.gt(p.a) };
    let below = if p.b == f32::INFINITY { x.le(p.b) } else { x.lt(p.b) };
    Tensor::where_(&above.mul(&below), dy, &dy.new_zeros([]))
}
