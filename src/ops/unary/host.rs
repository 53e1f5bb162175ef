//! The loops of functions and their gradients on the host.

use super::UnaryParams;
use crate::kernel::functions::fold;
use crate::kernel::{Call, parallel};
use bytemuck::Zeroable;

#[inline(always)]
pub(super) fn forward(call: &mut Call, f: impl Fn(f32, UnaryParams) -> f32 + Sync) {
    let (p, x) = (call.params::<UnaryParams>(), call.read::<f32>(0));
    parallel::map(
        &mut call.write::<f32>(1)[..p.n as usize],
        x,
        #[inline(always)]
        |x| f(x, p),
    );
}

#[inline(always)]
pub(super) fn backward(call: &mut Call, gradient: impl Fn(f32, UnaryParams, f32) -> f32 + Sync) {
    let (p, saved, dy) = (call.params::<UnaryParams>(), call.read::<f32>(0), call.read::<f32>(1));
    parallel::map2(
        &mut call.write::<f32>(2)[..p.n as usize],
        saved,
        dy,
        #[inline(always)]
        |saved, dy| gradient(saved, p, dy),
    );
}

/// The gradient of one element, of a function without arguments of its own.
pub(super) fn slope(dy: f32, saved: f32, gradient: impl Fn(f32, UnaryParams, f32) -> f32) -> f32 {
    gradient(saved, UnaryParams::zeroed(), dy)
}

#[inline(always)]
pub(super) fn pass(dy: &mut [f32], saved: &[f32], gradient: impl Fn(f32, UnaryParams, f32) -> f32 + Sync) {
    // On this thread: a part of a product is what one has.
    parallel::chunks(
        dy,
        usize::MAX,
        #[inline(always)]
        |_, dy| {
            for (dy, &saved) in dy.iter_mut().zip(saved) {
                *dy = gradient(saved, UnaryParams::zeroed(), *dy);
            }
        },
    );
}

/// [`forward`] by a form that is right of numbers whose size is below `bound`; a piece that holds others goes by the definition.
#[inline(always)]
pub(super) fn forward_below(
    call: &mut Call,
    bound: f32,
    near: impl Fn(f32) -> f32 + Sync,
    definition: impl Fn(f32, UnaryParams) -> f32 + Sync,
) {
    let (p, x) = (call.params::<UnaryParams>(), call.read::<f32>(0));
    parallel::chunks(
        &mut call.write::<f32>(1)[..p.n as usize],
        parallel::GRAIN,
        #[inline(always)]
        |piece, out| {
            let x = &x[piece * parallel::GRAIN..][..out.len()];
            if size(x) < bound {
                for (y, x) in out.iter_mut().zip(x) {
                    *y = near(*x);
                }
            } else {
                for (y, x) in out.iter_mut().zip(x) {
                    *y = definition(*x, p);
                }
            }
        },
    );
}

/// The same of a gradient.
#[inline(always)]
pub(super) fn backward_below(
    call: &mut Call,
    bound: f32,
    near: impl Fn(f32, f32) -> f32 + Sync,
    definition: impl Fn(f32, UnaryParams, f32) -> f32 + Sync,
) {
    let (p, saved, dy) = (call.params::<UnaryParams>(), call.read::<f32>(0), call.read::<f32>(1));
    parallel::chunks(
        &mut call.write::<f32>(2)[..p.n as usize],
        parallel::GRAIN,
        #[inline(always)]
        |piece, out| {
            let [saved, dy] = [saved, dy].map(|all| &all[piece * parallel::GRAIN..][..out.len()]);
            if size(saved) < bound {
                for ((dx, saved), dy) in out.iter_mut().zip(saved).zip(dy) {
                    *dx = near(*saved, *dy);
                }
            } else {
                for ((dx, saved), dy) in out.iter_mut().zip(saved).zip(dy) {
                    *dx = definition(*saved, p, *dy);
                }
            }
        },
    );
}

/// The largest size; NaN is none.
#[inline(always)]
fn size(x: &[f32]) -> f32 {
    fold(x, 0.0, |top: f32, x: f32| if x.abs() > top { x.abs() } else { top }, f32::max)
}
