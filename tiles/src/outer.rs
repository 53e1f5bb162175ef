//! Sums of outer products, both sides where they lie.

use crate::panel::{LEAST, WIDEST, width};
use crate::{DEPTH, add, padded, put};
use multiversion::multiversion;
use multiversion::target::target_cfg_f;

/// Positions in lines: `count` in each, `step` elements from one to the next.
#[derive(Clone, Copy)]
pub struct Lines<'a> {
    /// What they are read from.
    pub of: &'a [f32],
    /// From one position to the next.
    pub step: usize,
}

/// c [rows, columns] += the sum over positions of a's elements there times b's: the lines begin at `starts`, of `a` and of
/// `b`, and `c` has its rows `pitch` apart.
#[multiversion(targets(
    "x86_64+avx+avx2+bmi1+bmi2+fma+avx512f+avx512bw+avx512dq+avx512vl",
    "x86_64+avx+avx2+bmi1+bmi2+fma"
))]
pub fn outer(
    a: Lines,
    b: Lines,
    starts: &[[usize; 2]],
    count: usize,
    [rows, columns, pitch]: [usize; 3],
    c: &mut [f32],
) {
    let is_fused = target_cfg_f!(any(target_feature = "fma", target_arch = "aarch64"));
    match (target_cfg_f!(target_feature = "avx512f"), is_fused) {
        (true, _) => tiles::<true, true>([a, b], starts, count, [rows, columns, pitch], c),
        (false, true) => tiles::<false, true>([a, b], starts, count, [rows, columns, pitch], c),
        (false, false) => tiles::<false, false>([a, b], starts, count, [rows, columns, pitch], c),
    }
}

#[inline(always)]
fn tiles<const WIDE: bool, const FUSED: bool>(
    [a, b]: [Lines; 2],
    starts: &[[usize; 2]],
    count: usize,
    [rows, columns, pitch]: [usize; 3],
    c: &mut [f32],
) {
    let mut column = 0;
    while column < columns {
        let width = width(columns - column, if WIDE { WIDEST } else { LEAST });
        let (mut row, wide) = (0, columns.min(column + width));
        while row < rows {
            let (at, size) = ([row, column], [rows, wide, pitch]);
            // Few rows by low tiles, and few columns too: what compilers make of high ones of 16 is slow.
            row += match (width, rows - row) {
                (64, 4..) if WIDE => tile::<6, 64, FUSED>([a, b], starts, count, at, size, c),
                (64, _) if WIDE => tile::<3, 64, FUSED>([a, b], starts, count, at, size, c),
                (32, 5..) if WIDE => tile::<12, 32, FUSED>([a, b], starts, count, at, size, c),
                (32, _) if WIDE => tile::<4, 32, FUSED>([a, b], starts, count, at, size, c),
                _ => tile::<4, 16, FUSED>([a, b], starts, count, at, size, c),
            };
        }
        column += width;
    }
}

/// A tile of the result, which ends at these rows and columns; how high it is.
#[inline(always)]
fn tile<const R: usize, const W: usize, const FUSED: bool>(
    [a, b]: [Lines; 2],
    starts: &[[usize; 2]],
    count: usize,
    [row, column]: [usize; 2],
    [rows, columns, pitch]: [usize; 3],
    c: &mut [f32],
) -> usize {
    let size = [rows.min(row + R) - row, columns - column, pitch];
    let (mut sums, mut terms) = ([[0.0; W]; R], 0);
    for [of_a, of_b] in starts {
        for first in (0..count).step_by(DEPTH) {
            let steps = (count - first).min(DEPTH);
            let (of_a, of_b) = (of_a + row + first * a.step, of_b + column + first * b.step);
            sums = line::<R, W, FUSED>([&a.of[of_a..], &b.of[of_b..]], [a.step, b.step], steps, sums);
            terms += steps;
            if terms >= DEPTH {
                join::<R, W>(&sums, [row, column], size, c);
                (sums, terms) = ([[0.0; W]; R], 0);
            }
        }
    }
    join::<R, W>(&sums, [row, column], size, c);
    R
}

/// Adds the sums of a tile to the result.
#[inline(always)]
fn join<const R: usize, const W: usize>(
    sums: &[[f32; W]; R],
    [row, column]: [usize; 2],
    [rows, columns, pitch]: [usize; 3],
    c: &mut [f32],
) {
    for (i, sums) in sums.iter().enumerate().take(rows) {
        put(&mut c[(row + i) * pitch + column..][..columns], sums, true);
    }
}

/// The sums of a line in registers.
#[inline(always)]
fn line<const R: usize, const W: usize, const FUSED: bool>(
    [a, b]: [&[f32]; 2],
    [a_step, b_step]: [usize; 2],
    count: usize,
    before: [[f32; W]; R],
) -> [[f32; W]; R] {
    let mut sums = before;
    let (mut a_end, mut b_end);
    for k in 0..count {
        let (a, b) = (&a[k * a_step..], &b[k * b_step..]);
        // Elements behind the last count for nothing.
        let a = match a.first_chunk::<R>() {
            Some(a) => a,
            None => {
                a_end = padded(a);
                &a_end
            }
        };
        let b = match b.first_chunk::<W>() {
            Some(b) => b,
            None => {
                b_end = padded(b);
                &b_end
            }
        };
        for i in 0..R {
            add::<W, FUSED>(a[i], b, &mut sums[i]);
        }
    }
    sums
}
