//! Matrix products on the host.

use super::MatMul;
use crate::kernel::parallel;
use ndarray::{ArrayView2, ArrayViewMut2, ShapeBuilder, linalg::general_mat_mul};

/// The products of `p`; c is without gaps. `finish` gets each part of c, and where in c it starts, while it is still in
/// the cache.
pub(crate) fn product(p: &MatMul, a: &[f32], b: &[f32], c: &mut [f32], finish: &(dyn Fn(usize, &mut [f32]) + Sync)) {
    let [m, n, k] = [p.m, p.n, p.k].map(|s| s as usize);
    let starts = p.starts();
    // Rows of c that one task computes: enough tasks for any machine, each with some work to share b's packing.
    let rows = m.div_ceil(8).clamp(16, 256).min(m.max(1));
    let blocks = m.div_ceil(rows).max(1);
    if m * n == 0 {
        return;
    }
    let mut pieces: Vec<(usize, &mut [f32])> = Vec::with_capacity(starts.len() * blocks);
    for (batch, c) in c[..starts.len() * m * n].chunks_mut(m * n).enumerate() {
        pieces.extend(c.chunks_mut(rows * n).enumerate().map(|(block, c)| (batch * blocks + block, c)));
    }
    parallel::chunks(&mut pieces, if m * n * k < 1 << 16 { usize::MAX } else { 1 }, |_, pieces| {
        for (at, c) in pieces {
            let (batch, first) = (*at / blocks, (*at % blocks) * rows);
            let [a_start, b_start, _] = starts[batch];
            let a = &a[a_start + first * p.a_row as usize..];
            gemm([c.len() / n, n, k], a, [p.a_row, p.a_col], &b[b_start..], [p.b_row, p.b_col], c, 0.0);
            finish((batch * m + first) * n, c);
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
