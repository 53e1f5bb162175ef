//! Matrix products on the host.

use super::MatMul;
use crate::kernel::parallel;
use crate::kernel::scratch::Scratch;
use ndarray::{ArrayView2, ArrayViewMut2, ShapeBuilder, linalg::general_mat_mul};

/// The products of `p`; c is without gaps. `finish` gets each part of c, some whole rows, and where in c it starts.
pub(crate) fn product(
    p: &MatMul,
    [a, b]: [&[f32]; 2],
    c: &mut [f32],
    scratch: &Scratch,
    finish: &(dyn Fn(usize, &mut [f32]) + Sync),
) {
    let [m, n, k] = [p.m, p.n, p.k].map(|s| s as usize);
    let starts = p.starts();
    // Rows of c that one task computes: enough tasks for any machine, each with some work to share b's packing.
    let rows = m.div_ceil(8).clamp(16, 256).min(m.max(1));
    let blocks = m.div_ceil(rows).max(1);
    if m * n == 0 {
        return;
    }
    let is_short = m * n * k < 1 << 16;
    if let ([[a_start, b_start, _]], false) = (&starts[..], is_short)
        && is_wide([m, n, k], blocks)
    {
        let c = &mut c[..m * n];
        let strides = [[p.a_row, p.a_col], [p.b_row, p.b_col]];
        by_columns([m, n, k], [&a[*a_start..], &b[*b_start..]], strides, c, scratch);
        return parallel::chunks(c, rows * n, |piece, c| finish(piece * rows * n, c));
    }
    let mut pieces: Vec<(usize, &mut [f32])> = Vec::with_capacity(starts.len() * blocks);
    for (batch, c) in c[..starts.len() * m * n].chunks_mut(m * n).enumerate() {
        pieces.extend(c.chunks_mut(rows * n).enumerate().map(|(block, c)| (batch * blocks + block, c)));
    }
    parallel::chunks(&mut pieces, if is_short { usize::MAX } else { 1 }, |_, pieces| {
        for (at, c) in pieces {
            let (batch, first) = (*at / blocks, (*at % blocks) * rows);
            let [a_start, b_start, _] = starts[batch];
            let a = &a[a_start + first * p.a_row as usize..];
            gemm([c.len() / n, n, k], a, [p.a_row, p.a_col], &b[b_start..], [p.b_row, p.b_col], c, 0.0);
            finish((batch * m + first) * n, c);
        }
    });
}

/// Columns of a task where c is cut along them.
fn columns(n: usize) -> usize {
    n.div_ceil(8).next_multiple_of(16)
}

/// Whether it is better to cut c along its columns than into so many blocks of rows: each task packs all of the other matrix,
/// and few tasks leave threads without work.
fn is_wide([m, n, k]: [usize; 3], blocks: usize) -> bool {
    let parts = n.div_ceil(columns(n));
    let shared = |work: usize, tasks: usize| work / tasks.min(4);
    let by_rows = shared(blocks * n * k + m * k, blocks);
    let by_columns = shared(parts * m * k + n * k + 4 * m * n, parts);
    by_columns + by_columns / 4 < by_rows
}

/// `c = a b` for one matrix without gaps: a task has some columns of it, so that each part of b is packed once.
pub(crate) fn by_columns(
    [m, n, k]: [usize; 3],
    [a, b]: [&[f32]; 2],
    [sa, sb]: [[u32; 2]; 2],
    c: &mut [f32],
    scratch: &Scratch,
) {
    scratch.with(m * n, |parts| {
        add_columns([m, n, k], [a, b], [sa, sb], parts, 0.0);
        join_columns([m, n], parts, c);
    });
}

/// `parts = a b + beta parts`, some columns of it after the others.
pub(crate) fn add_columns(
    [m, n, k]: [usize; 3],
    [a, b]: [&[f32]; 2],
    [sa, sb]: [[u32; 2]; 2],
    parts: &mut [f32],
    beta: f32,
) {
    let width = columns(n);
    parallel::chunks(&mut parts[..m * n], m * width, |at, part| {
        gemm([m, part.len() / m, k], a, sa, &b[at * width * sb[1] as usize..], sb, part, beta);
    });
}

/// The rows of what [`add_columns`] made.
pub(crate) fn join_columns([m, n]: [usize; 2], parts: &[f32], c: &mut [f32]) {
    let width = columns(n);
    parallel::rows(&mut c[..m * n], n, |row, c| {
        for (at, c) in c.chunks_mut(width).enumerate() {
            c.copy_from_slice(&parts[at * m * width + row * c.len()..][..c.len()]);
        }
    });
}

/// `c = a b + beta c` for one matrix on this thread; c is without gaps.
pub(crate) fn gemm([m, n, k]: [usize; 3], a: &[f32], sa: [u32; 2], b: &[f32], sb: [u32; 2], c: &mut [f32], beta: f32) {
    let strides = |s: [u32; 2]| (s[0] as usize, s[1] as usize);
    let a = ArrayView2::from_shape((m, k).strides(strides(sa)), a).expect("a lies in its slice");
    let b = ArrayView2::from_shape((k, n).strides(strides(sb)), b).expect("b lies in its slice");
    let mut c = ArrayViewMut2::from_shape((m, n), c).expect("c fills its slice");
    general_mat_mul(1.0, &a, &b, beta, &mut c);
}
