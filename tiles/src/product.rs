//! Products of two matrices.

use crate::panel::{WIDEST, cut, lay_out, panels};
use crate::rows::{Left, STRIP, walk};
use crate::{DEPTH, Lines, NEAR, Rows};
use multiversion::multiversion;
use multiversion::target::target_cfg_f;
use std::cell::RefCell;

/// A matrix where it lies.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    /// From its first element on.
    pub of: &'a [f32],
    /// From one row to the next, and from one column to the next.
    pub strides: [usize; 2],
}

/// c = a b, or c + a b if it `adds`, of the rows of `c`, which are of one length, and matrices [rows of c, k] and [k, columns
/// of c].
pub fn product(k: usize, a: Matrix, b: Matrix, c: &mut [&mut [f32]], adds: bool) {
    thread_local! {
        /// A block of each side, laid out.
        static BLOCKS: RefCell<[Vec<f32>; 2]> = const { RefCell::new([Vec::new(), Vec::new()]) };
    }
    let n = c.first().map_or(0, |c| c.len());
    if k == 0 && !adds {
        c.iter_mut().for_each(|c| c.fill(0.0));
    }
    if k == 0 || n == 0 {
        return;
    }
    BLOCKS.with_borrow_mut(|[left, right]| {
        let columns = NEAR / DEPTH;
        right.resize(right.len().max(panels([k.min(DEPTH), n.min(columns)]) + LINE), 0.0);
        // A load of a register that begins with a line of the cache takes one of them.
        let aligned = right.as_ptr().align_offset(4 * LINE).min(LINE);
        let right = &mut right[aligned..];
        for (at, c) in c.chunks_mut(ROWS).enumerate() {
            let a = Matrix { of: &a.of[at * ROWS * a.strides[0]..], ..a };
            for first in (0..n).step_by(columns) {
                let mut c: Vec<&mut [f32]> = c.iter_mut().map(|c| &mut c[first..(first + columns).min(n)]).collect();
                let b = Matrix { of: &b.of[first * b.strides[1]..], ..b };
                block(k, a, b, &mut c, adds, left, right);
            }
        }
    });
}

/// Floats of a line of the cache.
const LINE: usize = 16;

/// Rows of a block, which is all that a thread ever lays out of the left side.
const ROWS: usize = 170 * STRIP;

/// A block of a product.
#[multiversion(targets(
    "x86_64+avx+avx2+bmi1+bmi2+fma+avx512f+avx512bw+avx512dq+avx512vl",
    "x86_64+avx+avx2+bmi1+bmi2+fma"
))]
fn block(k: usize, a: Matrix, b: Matrix, c: &mut [&mut [f32]], adds: bool, left: &mut Vec<f32>, right: &mut [f32]) {
    let (m, n, [row, column]) = (c.len(), c[0].len(), a.strides);
    let starts: Vec<usize> = (0..m).map(|i| i * row).collect();
    for from in (0..k).step_by(DEPTH) {
        let depth = DEPTH.min(k - from);
        let panels = &mut right[..panels([depth, n])];
        for panel in &mut cut(panels, [depth, n]) {
            lay_out(&b.of[from * b.strides[0]..], b.strides, panel);
        }
        let (of, whole) = (&a.of[from * column..], 0..depth);
        let a = match a.strides {
            [_, 1] => Left::Rows(Rows { of, starts: &starts, pieces: std::slice::from_ref(&whole) }),
            // What few panels read is not laid out first.
            [1, step] if n <= WIDEST => Left::Columns(Lines { of, step }),
            strides => {
                left.resize(left.len().max(m.next_multiple_of(STRIP) * depth), 0.0);
                in_strips(of, strides, [m, depth], left);
                Left::Strips(left)
            }
        };
        let adds = adds || from > 0;
        match (
            target_cfg_f!(target_feature = "avx512f"),
            target_cfg_f!(any(target_feature = "fma", target_arch = "aarch64")),
        ) {
            (true, _) => walk::<true, true>(a, [depth, 0, depth], panels, c, adds),
            (false, true) => walk::<false, true>(a, [depth, 0, depth], panels, c, adds),
            (false, false) => walk::<false, false>(a, [depth, 0, depth], panels, c, adds),
        }
    }
}

/// Lays out a left side whose rows are not in order.
#[inline(always)]
fn in_strips(a: &[f32], [row, column]: [usize; 2], [m, depth]: [usize; 2], to: &mut [f32]) {
    let to = &mut to.as_chunks_mut::<STRIP>().0[..m.div_ceil(STRIP) * depth];
    let whole = if row == 1 { m / STRIP } else { 0 };
    // Some strips at once, since neighbours lie in one line of the cache.
    for (at, to) in to[..whole * depth].chunks_mut(AT_ONCE * depth).enumerate() {
        for k in 0..depth {
            let a = a[k * column + at * AT_ONCE * STRIP..].as_chunks().0;
            to[k..].iter_mut().step_by(depth).zip(a).for_each(|(to, a)| *to = *a);
        }
    }
    for (at, to) in to.chunks_mut(depth).enumerate().skip(whole) {
        let (a, rows) = (&a[at * STRIP * row..], STRIP.min(m - at * STRIP));
        for (k, to) in to.iter_mut().enumerate() {
            to.iter_mut().take(rows).enumerate().for_each(|(i, to)| *to = a[i * row + k * column]);
        }
    }
}

/// Strips that are laid out at once.
const AT_ONCE: usize = 16;
