//! Rewrites of convolutions: work that they do at once with that of the kernels behind them.

use super::{CONV2D_POOL, ConvParams};
use crate::kernel::rewrite::{Change, Rewrite};
use crate::kernel::{Dispatch, Params};
use crate::ops::pool;
use crate::ops::unary::RELU as FUNCTION;

pub(super) const RELU: Rewrite = Rewrite {
    name: "relu behind a convolution",
    apply: |view, at| {
        let convolution = view.dispatch(at);
        let (p, y) = (convolution.params::<ConvParams>(), *convolution.bindings.last()?);
        let reader = view.reader(y.buffer).filter(|_| p.relu == 0)?;
        let next = view.dispatch(reader);
        if !std::ptr::eq(next.kernel, &FUNCTION.forward) {
            return None;
        }
        let [x, to] = [next.bindings[0], next.bindings[1]];
        let mut by = Dispatch { params: Params::new(&ConvParams { relu: 1, ..p }), ..convolution.clone() };
        *by.bindings.last_mut()? = to;
        (x == y && to.bytes == y.bytes).then_some(Change { replace: vec![at, reader], by, picks: true })
    },
};

/// Windows of 2 x 2 side by side, right behind the convolution or its relu.
pub(super) const MAX_POOL: Rewrite = Rewrite {
    name: "pooling behind a convolution",
    apply: |view, at| {
        let convolution = view.dispatch(at);
        let (p, y) = (convolution.params::<ConvParams>(), *convolution.bindings.last()?);
        let reader = view.reader(y.buffer)?;
        let next = view.dispatch(reader);
        let ([pooled_h, pooled_w], strides) = pool::halves(next).filter(|_| next.bindings[0] == y)?;
        let params = Params::new(&ConvParams { pooled_h, pooled_w, y: strides, ..p });
        let mut bindings = convolution.bindings.clone();
        bindings.pop();
        bindings.extend(&next.bindings[1..]);
        let by = Dispatch { kernel: &CONV2D_POOL, bindings, params, label: convolution.label.clone() };
        // The kernel rounds before it picks.
        Some(Change { replace: vec![at, reader], by, picks: true })
    },
};
