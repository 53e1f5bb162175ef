//! Rewrites of pooling: work that it does at once with that of its neighbours.

use super::{MAX_POOL, MAX_POOL_RELU_BACKWARD, PoolParams};
use crate::kernel::rewrite::{Change, Rewrite};
use crate::kernel::strided::Strided;
use crate::kernel::{Dispatch, Kernel, Params};
use crate::ops::copy::COPY;
use crate::ops::unary::RELU as FUNCTION;
use crate::shape::Layout;

fn is(dispatch: &Dispatch, kernel: &'static Kernel) -> bool {
    std::ptr::eq(dispatch.kernel, kernel)
}

/// A result that is only copied to row-major order, as `flatten` does, is written there at once.
pub(super) const COPIED: Rewrite = Rewrite {
    name: "pooled into another order",
    apply: |view, at| {
        let pooling = view.dispatch(at);
        let (p, y) = (pooling.params::<PoolParams>(), pooling.bindings[1]);
        let reader = view.reader(y.buffer)?;
        let copy = view.dispatch(reader);
        let rows = Layout::contiguous(p.output());
        let mut steps = rows;
        steps.strides[..4].copy_from_slice(&p.y.map(|step| step as usize));
        let fits = is(copy, &COPY) && copy.bindings[0] == y && copy.bindings[1].bytes == y.bytes && p.y[1] == 1;
        if !fits || copy.params::<Strided>() != Strided::new(&rows, [(&steps, 0)]) {
            return None;
        }
        let order = [0, 1, 2, 3].map(|d| rows.strides[d] as u32);
        let mut by = Dispatch { params: Params::new(&PoolParams { y: order, ..p }), ..pooling.clone() };
        by.bindings[1] = copy.bindings[1];
        Some(Change { replace: vec![at, reader], by, picks: true })
    },
};

/// The gradient of a relu before the pooling: where the largest of a window is not above 0, neither is the relu there.
pub(super) const RELU: Rewrite = Rewrite {
    name: "slope of a relu before the pooling",
    apply: |view, at| {
        let pooling = view.dispatch(at);
        let [dy, places, dx] = pooling.bindings[..] else { return None };
        let reader = view.reader(dx.buffer)?;
        let next = view.dispatch(reader);
        let forward = view.dispatch(view.writer(places.buffer)?);
        if !is(next, &FUNCTION.backward) || !is(forward, &MAX_POOL) {
            return None;
        }
        let ([saved, slope, to], [x, y, own]) = (&next.bindings[..], &forward.bindings[..]) else { return None };
        let (p, q): (PoolParams, PoolParams) = (pooling.params(), forward.params());
        // The relu's result, all of it, as the pooling's gradient lies.
        let is_whole = p.x_base == 0 && p.is_dense();
        let fits = *slope == dx && saved == x && *own == places && to.bytes == dx.bytes && is_whole;
        if !fits || view.writer(y.buffer).is_none() {
            return None;
        }
        let params = Params::new(&PoolParams { y: q.y, relu: 1, ..p });
        let bindings = vec![dy, places, *y, *to];
        let by = Dispatch { kernel: &MAX_POOL_RELU_BACKWARD, bindings, params, label: pooling.label.clone() };
        Some(Change { replace: vec![at, reader], by, picks: true })
    },
};
