//! Rewrites of products: they do at once the work of the element-wise kernel behind them, so that the result is written once
//! and not read again.

use super::epilogue::{Epilogue, SLOPES};
use super::linear::{LINEAR, LINEAR_WITH};
use super::{MATMUL_WITH, MatMul};
use crate::autograd::ACCUMULATE;
use crate::kernel::rewrite::{Change, Rewrite, View};
use crate::kernel::strided::Strided;
use crate::kernel::{Binding, Dispatch, Kernel, Params};
use crate::ops::binary::ADD;
use crate::ops::unary::RELU;

/// For products with nothing behind them yet.
pub(super) static REWRITES: &[Rewrite] = &[
    Rewrite { name: "relu behind a product", apply: relu },
    Rewrite { name: "sum behind a product", apply: sum },
    Rewrite { name: "slope behind a product", apply: slope },
];

/// The product at `at` with the one kernel that reads its result, where that reads all of it.
fn behind<'a>(view: &View<'a>, at: usize) -> Option<(&'a Dispatch, Binding, usize, &'a Dispatch)> {
    let product = view.dispatch(at);
    let p: MatMul = product.params();
    let c = *product.bindings.last()?;
    let elements = u64::from(p.m) * u64::from(p.n) * u64::from(p.batches);
    let is_whole = p.epilogue == Epilogue::NOTHING.0 && c.bytes == elements * c.dtype.bytes() as u64;
    let reader = view.reader(c.buffer).filter(|_| is_whole)?;
    Some((product, c, reader, view.dispatch(reader)))
}

/// The product that does `after` with `other`, and writes `to`.
fn with(product: &Dispatch, epilogue: Epilogue, other: Option<Binding>, to: Binding) -> Dispatch {
    let mut p: MatMul = product.params();
    p.epilogue = epilogue.0;
    let mut by = Dispatch { params: Params::new(&p), ..product.clone() };
    by.bindings.pop();
    if let Some(other) = other {
        by.bindings.push(other);
        by.kernel = if is(product, &LINEAR) { &LINEAR_WITH } else { &MATMUL_WITH };
    }
    by.bindings.push(to);
    by
}

fn is(dispatch: &Dispatch, kernel: &'static Kernel) -> bool {
    std::ptr::eq(dispatch.kernel, kernel)
}

fn relu(view: &View, at: usize) -> Option<Change> {
    let (product, c, reader, next) = behind(view, at)?;
    let fits = is(next, &RELU.forward) && next.bindings[0] == c && next.bindings[1].bytes == c.bytes;
    let by = || with(product, Epilogue::RELU, None, next.bindings[1]);
    fits.then(|| Change { replace: vec![at, reader], by: by(), picks: true })
}

fn sum(view: &View, at: usize) -> Option<Change> {
    let (product, c, reader, next) = behind(view, at)?;
    if !is(next, &ADD) && !is(next, &ACCUMULATE) || !next.params::<Strided>().is_flat(2) {
        return None;
    }
    let other = next.bindings[..2].iter().find(|b| b.buffer != c.buffer)?;
    let fits = next.bindings.iter().all(|b| b.bytes == c.bytes) && next.bindings[..2].contains(&c);
    let by = || with(product, Epilogue::ADD, Some(*other), next.bindings[2]);
    fits.then(|| Change { replace: vec![at, reader], by: by(), picks: false })
}

fn slope(view: &View, at: usize) -> Option<Change> {
    let (product, c, reader, next) = behind(view, at)?;
    let code = SLOPES.iter().position(|function| is(next, &function.backward))? as u32;
    let [saved, dy, to] = next.bindings[..] else { return None };
    let fits = dy == c && saved.bytes == c.bytes && to.bytes == c.bytes;
    let by = || with(product, Epilogue(3 + code), Some(saved), to);
    // That of a relu passes or does not.
    fits.then(|| Change { replace: vec![at, reader], by: by(), picks: code == 0 })
}
