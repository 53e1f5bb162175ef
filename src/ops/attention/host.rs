//! Attention and its gradient on the host: blocks of rows by matrix products.

use super::AttentionParams;
use crate::kernel::functions::exp;
use crate::kernel::{Call, parallel};
use crate::ops::matmul::gemm;

/// Queries of one block: their scores stay in the cache.
const BLOCK: usize = 32;

/// lse of a query whose scores are all -inf.
pub(super) const NONE: f32 = f32::MAX;

/// A place in elements: the first, and the strides of batch, head and row.
fn elements(place: [u32; 4]) -> [usize; 4] {
    place.map(|at| 4 * at as usize)
}

/// The rows of one head from `row` on.
fn rows_of(x: &[f32], place: [u32; 4], batch: usize, head: usize, row: usize) -> &[f32] {
    let [first, of_batch, of_head, of_row] = elements(place);
    &x[first + batch * of_batch + head * of_head + row * of_row..]
}

fn step(place: [u32; 4]) -> u32 {
    4 * place[3]
}

/// The keys that a query sees.
fn seen(p: &AttentionParams, query: usize) -> usize {
    if p.causal == 1 { p.keys.min(query as u32 + 1) as usize } else { p.keys as usize }
}

/// Scores scaled, and the mask of their query added, whose keys are `step` apart.
fn add_mask(scores: &mut [f32], scale: f32, mask: &[f32], step: usize) {
    match step {
        1 => scores.iter_mut().zip(mask).for_each(|(s, m)| *s = scale * *s + m),
        _ => scores.iter_mut().enumerate().for_each(|(j, s)| *s = scale * *s + mask[j * step]),
    }
}

/// The mask from the start of one query's.
fn masked<'a>(mask: &'a [f32], p: &AttentionParams, [batch, head, query]: [usize; 3]) -> &'a [f32] {
    let [first, of_batch, of_head, of_row] = p.mask.map(|at| at as usize);
    &mask[first + batch * of_batch + head * of_head + query * of_row..]
}

/// e^x, and 0 where products with it would be subnormal numbers, which are slow.
#[inline(always)]
fn weight(x: f32) -> f32 {
    if x < -60.0 { 0.0 } else { exp(x) }
}

/// The sum of a row, several elements at a time.
fn sum(row: &[f32]) -> f64 {
    let mut sums = [0.0f64; 8];
    let whole = row.chunks_exact(8);
    let rest = whole.remainder().iter().map(|&x| f64::from(x)).sum::<f64>();
    for eight in whole {
        sums.iter_mut().zip(eight).for_each(|(sum, &x)| *sum += f64::from(x));
    }
    sums.iter().sum::<f64>() + rest
}

fn largest(row: &[f32]) -> f32 {
    let mut tops = [f32::NEG_INFINITY; 8];
    let whole = row.chunks_exact(8);
    let rest = whole.remainder().iter().fold(f32::NEG_INFINITY, |top, &x| top.max(x));
    for eight in whole {
        tops.iter_mut().zip(eight).for_each(|(top, &x)| *top = if x > *top { x } else { *top });
    }
    tops.iter().fold(rest, |top, &x| top.max(x))
}

/// Of each block of queries: its number, and what it writes.
type Piece<'a> = (usize, &'a mut [f32], &'a mut [f32]);

pub fn forward(call: &mut Call) {
    let (p, q, k, v) =
        (call.params::<AttentionParams>(), call.read::<f32>(0), call.read::<f32>(1), call.read::<f32>(2));
    let (mask, y, lse) = (call.read::<f32>(3), call.write::<f32>(4), call.write::<f32>(5));
    let scratch = call.scratch();
    let [queries, keys, heads, d] = [p.queries, p.keys, p.heads, 4 * p.quads].map(|n| n as usize);
    let blocks = queries.div_ceil(BLOCK);
    let mut pieces: Vec<Piece> = Vec::with_capacity(blocks * p.batch as usize);
    for (batch, (y, lse)) in y.chunks_mut(queries * heads * d).zip(lse.chunks_mut(queries * heads)).enumerate() {
        let both = y.chunks_mut(BLOCK * heads * d).zip(lse.chunks_mut(BLOCK * heads)).enumerate();
        pieces.extend(both.map(|(block, (y, lse))| (batch * blocks + block, y, lse)));
    }
    parallel::chunks(
        &mut pieces,
        1,
        #[inline(always)]
        |_, pieces| {
            let (at, y, lse) = &mut pieces[0];
            let (batch, first) = (*at / blocks, *at % blocks * BLOCK);
            let rows = lse.len() / heads;
            let end = seen(&p, first + rows - 1);
            scratch.with(rows * (keys + d), |memory| {
                let (scores, mixed) = memory.split_at_mut(rows * keys);
                let (scores, mixed) = (&mut scores[..rows * end], &mut mixed[..rows * d]);
                for head in 0..heads {
                    let (q, k) = (rows_of(q, p.q, batch, head, first), rows_of(k, p.k, batch, head, 0));
                    gemm([rows, end, d], q, [step(p.q), 1], k, [1, step(p.k)], scores, false);
                    for (i, row) in scores.chunks_mut(end).enumerate() {
                        let (row, hidden) = row.split_at_mut(seen(&p, first + i));
                        hidden.fill(0.0);
                        let (scale, top) = if p.masked == 1 {
                            let mask = masked(mask, &p, [batch, head, first + i]);
                            add_mask(row, p.scale, mask, p.mask_key as usize);
                            (1.0, largest(row))
                        } else {
                            (p.scale, p.scale * if p.scale < 0.0 { -largest_of_negated(row) } else { largest(row) })
                        };
                        // A score that is no number hides no key.
                        if top == f32::NEG_INFINITY && !row.iter().any(|s| s.is_nan()) {
                            row.fill(0.0);
                            lse[i * heads + head] = NONE;
                            continue;
                        }
                        row.iter_mut().for_each(|s| *s = weight(scale * *s - top));
                        let total = sum(row);
                        let share = (1.0 / total) as f32;
                        row.iter_mut().for_each(|s| *s *= share);
                        lse[i * heads + head] = (f64::from(top) + total.ln()) as f32;
                    }
                    let v = rows_of(v, p.v, batch, head, 0);
                    gemm([rows, d, end], scores, [end as u32, 1], v, [step(p.v), 1], mixed, false);
                    for (i, mixed) in mixed.chunks(d).enumerate() {
                        y[(i * heads + head) * d..][..d].copy_from_slice(mixed);
                    }
                }
            });
        },
    );
}

fn largest_of_negated(row: &[f32]) -> f32 {
    row.iter().fold(f32::NEG_INFINITY, |top, &x| top.max(-x))
}

pub fn backward(call: &mut Call) {
    let (p, q, k, v) =
        (call.params::<AttentionParams>(), call.read::<f32>(0), call.read::<f32>(1), call.read::<f32>(2));
    let (mask, y, lse) = (call.read::<f32>(3), call.read::<f32>(4), call.read::<f32>(5));
    let (dy, grads, scratch) = (call.read::<f32>(6), call.write::<f32>(7), call.scratch());
    let [queries, keys, heads, d] = [p.queries, p.keys, p.heads, 4 * p.quads].map(|n| n as usize);
    let (of_q, of_k) = (queries * d, keys * d);
    // The gradients of each head side by side, then all of them at their places.
    let each = of_q + 2 * of_k;
    scratch.with(p.batch as usize * heads * each, |all| {
        parallel::chunks(
            all,
            each,
            #[inline(always)]
            |both, grads| {
                let (batch, head) = (both / heads, both % heads);
                let (dq, rest) = grads.split_at_mut(of_q);
                let (dk, dv) = rest.split_at_mut(of_k);
                dk.fill(0.0);
                dv.fill(0.0);
                scratch.with(2 * BLOCK * keys, |memory| {
                    let (weights, slopes) = memory.split_at_mut(BLOCK * keys);
                    for (block, dq) in dq.chunks_mut(BLOCK * d).enumerate() {
                        let (first, rows) = (block * BLOCK, dq.len() / d);
                        let end = seen(&p, first + rows - 1);
                        let (weights, slopes) = (&mut weights[..rows * end], &mut slopes[..rows * end]);
                        let row = |x, place, row| rows_of(x, place, batch, head, row);
                        let (q, k, v) = (row(q, p.q, first), row(k, p.k, 0), row(v, p.v, 0));
                        let (y, dy) = (row(y, p.y, first), row(dy, p.dy, first));
                        gemm([rows, end, d], q, [step(p.q), 1], k, [1, step(p.k)], weights, false);
                        gemm([rows, end, d], dy, [step(p.dy), 1], v, [1, step(p.v)], slopes, false);
                        for (i, (weights, slopes)) in weights.chunks_mut(end).zip(slopes.chunks_mut(end)).enumerate() {
                            let lse = lse[(batch * queries + first + i) * heads + head];
                            let (y, dy) = (&y[i * step(p.y) as usize..][..d], &dy[i * step(p.dy) as usize..][..d]);
                            let delta =
                                y.iter().zip(dy).map(|(&y, &dy)| f64::from(y) * f64::from(dy)).sum::<f64>() as f32;
                            let (weights, hidden) = weights.split_at_mut(seen(&p, first + i));
                            hidden.fill(0.0);
                            let (slopes, hidden) = slopes.split_at_mut(weights.len());
                            hidden.fill(0.0);
                            let mut scale = p.scale;
                            if p.masked == 1 {
                                let mask = masked(mask, &p, [batch, head, first + i]);
                                add_mask(weights, scale, mask, p.mask_key as usize);
                                scale = 1.0;
                            }
                            for (weight, slope) in weights.iter_mut().zip(slopes) {
                                *weight = self::weight(scale * *weight - lse);
                                *slope = *weight * (*slope - delta) * p.scale;
                            }
                        }
                        let turned = [1, end as u32];
                        gemm([end, d, rows], weights, turned, dy, [step(p.dy), 1], &mut dv[..end * d], true);
                        gemm([end, d, rows], slopes, turned, q, [step(p.q), 1], &mut dk[..end * d], true);
                        gemm([rows, d, end], slopes, [end as u32, 1], k, [step(p.k), 1], dq, false);
                    }
                });
            },
        );
        for (at, from) in all.chunks(each).enumerate() {
            let (batch, head) = (at / heads, at % heads);
            let parts = [(p.dq, &from[..of_q]), (p.dk, &from[of_q..of_q + of_k]), (p.dv, &from[of_q + of_k..])];
            for (place, from) in parts {
                let [first, of_batch, of_head, of_row] = elements(place);
                for (row, from) in from.chunks(d).enumerate() {
                    grads[first + batch * of_batch + head * of_head + row * of_row..][..d].copy_from_slice(from);
                }
            }
        }
    });
}
