//! Reductions on the host, in the order of memory: runs of neighbours that one output joins, or rows of neighbours that each
//! join another output. What has neither is left to the definition.

use super::ReduceParams;
use crate::kernel::functions::fold;
use crate::kernel::{Call, parallel};

/// Elements that are joined apart: a number that no machine changes.
const PART: usize = 64 << 10;

pub fn sum(call: &mut Call) -> bool {
    let scale = f64::from(call.params::<ReduceParams>().scale);
    let add = |sum: f64, x: f32| sum + f64::from(x);
    reduce(call, 0.0, add, |a, b| a + b, |sum| (sum * scale) as f32)
}

pub fn amax(call: &mut Call) -> bool {
    let take = |top: f32, x: f32| if x > top || x.is_nan() { x } else { top };
    reduce(call, f32::NEG_INFINITY, take, take, |top| top)
}

pub fn amin(call: &mut Call) -> bool {
    let take = |top: f32, x: f32| if x < top || x.is_nan() { x } else { top };
    reduce(call, f32::INFINITY, take, take, |top| top)
}

/// One side of a reduction: the offsets of all but the dimension that varies fastest, and that dimension's size.
struct Side {
    outer: Vec<usize>,
    inner: usize,
    is_dense: bool,
}

impl ReduceParams {
    fn side(&self, side: usize, rank: u32) -> Side {
        match rank.checked_sub(1) {
            None => Side { outer: vec![0], inner: 1, is_dense: false },
            Some(outer) => {
                let [size, step] = [side, side + 1].map(|word| self.dims[outer as usize][word] as usize);
                Side { outer: self.walk(side, outer), inner: size, is_dense: step == 1 && size > 1 }
            }
        }
    }
}

/// Joins the elements of each output from `start` on; whether it could.
#[inline(always)]
fn reduce<A: Copy + Send + Sync>(
    call: &mut Call,
    start: A,
    each: impl Fn(A, f32) -> A + Copy + Sync,
    both: impl Fn(A, A) -> A + Copy + Sync,
    finish: impl Fn(A) -> f32,
) -> bool {
    let p: ReduceParams = call.params();
    let (kept, reduced) = (p.side(0, p.kept_rank), p.side(2, p.reduced_rank));
    let base = p.base as usize;
    if p.count == 0 || p.n == 0 {
        return false;
    }
    if reduced.is_dense {
        let x = call.read::<f32>(0);
        let starts = p.walk(0, p.kept_rank);
        // A part is a piece of a long run, or some short runs.
        let (pieces, runs) = (reduced.inner.div_ceil(PART), (PART / reduced.inner).max(1));
        let parts = reduced.outer.len().div_ceil(runs) * pieces;
        let mut joined = vec![start; parts * starts.len()];
        let at_once = (parallel::GRAIN * parts / p.count as usize).max(1);
        parallel::chunks(
            &mut joined,
            at_once,
            #[inline(always)]
            |chunk, joined| {
                for (at, joined) in (chunk * at_once..).zip(joined) {
                    let (first, part) = (base + starts[at / parts], at % parts);
                    let run = part % pieces * PART..(part % pieces * PART + PART).min(reduced.inner);
                    for outer in reduced.outer.iter().skip(part / pieces * runs).take(runs) {
                        *joined = both(*joined, fold(&x[first + outer..][run.clone()], start, each, both));
                    }
                }
            },
        );
        for (y, joined) in call.write::<f32>(1).iter_mut().zip(joined.chunks(parts)) {
            *y = finish(joined.iter().copied().reduce(both).unwrap_or(start));
        }
        return true;
    }
    if !kept.is_dense {
        return false;
    }
    let (x, width) = (call.read::<f32>(0), kept.inner);
    let steps = p.walk(2, p.reduced_rank);
    let rows = (PART / width).clamp(16, 4096);
    let parts = steps.len().div_ceil(rows);
    let mut joined = vec![start; kept.outer.len() * parts * width];
    let at_once = (parallel::GRAIN / (width * steps.len().min(rows))).max(1);
    parallel::chunks(
        &mut joined,
        at_once * width,
        #[inline(always)]
        |chunk, joined| {
            for (at, joined) in (chunk * at_once..).zip(joined.chunks_mut(width)) {
                let first = base + kept.outer[at / parts];
                for step in steps.iter().skip(at % parts * rows).take(rows) {
                    let row = &x[first + step..][..width];
                    joined.iter_mut().zip(row).for_each(|(joined, x)| *joined = each(*joined, *x));
                }
            }
        },
    );
    for (y, joined) in call.write::<f32>(1).chunks_mut(width).zip(joined.chunks(parts * width)) {
        for (i, y) in y.iter_mut().enumerate() {
            *y = finish(joined.iter().skip(i).step_by(width).copied().reduce(both).unwrap_or(start));
        }
    }
    true
}

/// The first of the largest in each row, or the first NaN.
pub fn argmax(call: &mut Call) -> bool {
    let p: ReduceParams = call.params();
    let (starts, reduced) = (p.walk(0, p.kept_rank), p.side(2, p.reduced_rank));
    if p.reduced_rank != 1 || !reduced.is_dense {
        return false;
    }
    let x = call.read::<f32>(0);
    let at_once = (parallel::GRAIN / reduced.inner).max(1);
    parallel::chunks(
        &mut call.write::<i32>(1)[..starts.len()],
        at_once,
        #[inline(always)]
        |chunk, y| {
            for (y, start) in y.iter_mut().zip(&starts[chunk * at_once..]) {
                let row = &x[p.base as usize + start..][..reduced.inner];
                let take = |top: f32, x: f32| if x > top || x.is_nan() { x } else { top };
                let top = fold(row, f32::NEG_INFINITY, take, take);
                let place = row.iter().position(|&x| x == top || top.is_nan() && x.is_nan());
                *y = place.unwrap_or(0) as i32;
            }
        },
    );
    true
}
