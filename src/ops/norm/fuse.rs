//! Rewrites of batch normalisation: it does at once what stands behind it in a residual block, a sum and a relu.

use super::{BATCH_NORM, BATCH_NORM_ADDED, BatchNormParams};
use crate::kernel::rewrite::{Change, Rewrite, View};
use crate::kernel::strided::Strided;
use crate::kernel::{Binding, Dispatch, Kernel, Params};
use crate::ops::binary::ADD;
use crate::ops::unary::{HARDTANH, RELU, UnaryParams};

fn is(dispatch: &Dispatch, kernel: &'static Kernel) -> bool {
    std::ptr::eq(dispatch.kernel, kernel)
}

/// The normalisation at `at` with nothing behind it yet: its result, and the one kernel that reads it.
fn behind<'a>(view: &View<'a>, at: usize) -> Option<(&'a Dispatch, Binding, usize, &'a Dispatch)> {
    let own = view.dispatch(at);
    let (p, y) = (own.params::<BatchNormParams>(), *own.bindings.last()?);
    let reader = view.reader(y.buffer).filter(|_| p.low == f32::NEG_INFINITY && p.high == f32::INFINITY)?;
    Some((own, y, reader, view.dispatch(reader)))
}

/// A relu, or another function that holds a number between two, and needs its result alone to go back.
pub(super) const HELD: Rewrite = Rewrite {
    name: "relu behind batch normalisation",
    apply: |view, at| {
        let (own, y, reader, next) = behind(view, at)?;
        let (low, high) = match next.kernel {
            kernel if std::ptr::eq(kernel, &RELU.forward) => (0.0, f32::INFINITY),
            kernel if std::ptr::eq(kernel, &HARDTANH.forward) => {
                let p: UnaryParams = next.params();
                (p.a, p.b)
            }
            _ => return None,
        };
        let to = next.bindings[1];
        let fits = next.bindings[0] == y && to.bytes == y.bytes && to.dtype == y.dtype;
        let params = Params::new(&BatchNormParams { low, high, ..own.params() });
        let mut by = Dispatch { params, ..own.clone() };
        *by.bindings.last_mut()? = to;
        // A bound rounds to what a number beyond it rounds to.
        fits.then_some(Change { replace: vec![at, reader], by, picks: true })
    },
};

pub(super) const SUM: Rewrite = Rewrite {
    name: "sum behind batch normalisation",
    apply: |view, at| {
        let (own, y, reader, next) = behind(view, at)?;
        if !is(own, &BATCH_NORM) || !is(next, &ADD) || !next.params::<Strided>().is_flat(2) {
            return None;
        }
        let other = *next.bindings[..2].iter().find(|b| b.buffer != y.buffer)?;
        let fits = next.bindings.iter().all(|b| b.bytes == y.bytes) && next.bindings[..2].contains(&y);
        let mut bindings = own.bindings.clone();
        bindings.pop();
        bindings.extend([other, next.bindings[2]]);
        let by = Dispatch { kernel: &BATCH_NORM_ADDED, bindings, ..own.clone() };
        fits.then_some(Change { replace: vec![at, reader], by, picks: false })
    },
};
