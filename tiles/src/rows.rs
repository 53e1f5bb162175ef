//! Products of a left side that is read where it lies.

use crate::panel::{LEAST, WIDEST, width};
use crate::{DEPTH, Lines, NEAR, add, padded, put};
use multiversion::multiversion;
use multiversion::target::target_cfg_f;
use std::ops::Range;

/// The left side of a product: row r is made of these pieces behind `starts[r]`, none longer than [`DEPTH`] after
/// [`pieces`]. Its rows may begin anywhere, so that the windows of a convolution are rows of a matrix that is never laid out.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    /// What they are read from.
    pub of: &'a [f32],
    /// One for each row.
    pub starts: &'a [usize],
    /// Of every row.
    pub pieces: &'a [Range<usize>],
}

/// Pieces of a row, cut and joined so that a tile takes them at its pace.
pub fn pieces(of: impl IntoIterator<Item = Range<usize>>) -> Vec<Range<usize>> {
    let mut joined: Vec<Range<usize>> = Vec::new();
    for piece in of {
        match joined.last_mut() {
            Some(last) if last.end == piece.start => last.end = piece.end,
            _ => joined.push(piece),
        }
    }
    let cut = |piece: Range<usize>| piece.clone().step_by(DEPTH).map(move |at| at..(at + DEPTH).min(piece.end));
    joined.into_iter().flat_map(cut).collect()
}

/// c = a b, or c + a b if it `adds`, of the rows of `c` and a right side in panels of depth `k`.
#[multiversion(targets(
    "x86_64+avx+avx2+bmi1+bmi2+fma+avx512f+avx512bw+avx512dq+avx512vl",
    "x86_64+avx+avx2+bmi1+bmi2+fma"
))]
pub fn by_panels(a: Rows, k: usize, b: &[f32], c: &mut [&mut [f32]], adds: bool) {
    match (
        target_cfg_f!(target_feature = "avx512f"),
        target_cfg_f!(any(target_feature = "fma", target_arch = "aarch64")),
    ) {
        (true, _) => by_depth::<true, true>(a, k, b, c, adds),
        (false, true) => by_depth::<false, true>(a, k, b, c, adds),
        (false, false) => by_depth::<false, false>(a, k, b, c, adds),
    }
}

#[inline(always)]
fn by_depth<const WIDE: bool, const FUSED: bool>(a: Rows, k: usize, b: &[f32], c: &mut [&mut [f32]], mut adds: bool) {
    let (mut from, mut rest) = (0, a.pieces);
    while !rest.is_empty() {
        let (mut depth, mut count) = (rest[0].len(), 1);
        while count < rest.len() && depth + rest[count].len() <= DEPTH {
            depth += rest[count].len();
            count += 1;
        }
        let (pieces, later) = rest.split_at(count);
        walk::<WIDE, FUSED>(Left::Rows(Rows { pieces, ..a }), [k, from, depth], b, c, adds);
        (adds, from, rest) = (true, from + depth, later);
    }
}

/// The left side of some steps of k.
#[derive(Clone, Copy)]
pub(crate) enum Left<'a> {
    Rows(Rows<'a>),
    /// Rows side by side: those of a step of k are neighbours.
    Columns(Lines<'a>),
    /// Laid out: [rows / STRIP][depth][STRIP].
    Strips(&'a [f32]),
}

/// Rows of a strip.
pub(crate) const STRIP: usize = 6;

/// The products of `depth` steps of k from one on, with panels of depth `k`.
#[inline(always)]
pub(crate) fn walk<const WIDE: bool, const FUSED: bool>(
    a: Left,
    [k, from, depth]: [usize; 3],
    b: &[f32],
    c: &mut [&mut [f32]],
    adds: bool,
) {
    let n = c.first().map_or(0, |c| c.len());
    // Where a nearby cache holds all of the panels, each strip takes them one after another, and its results are written in
    // order; else each panel takes all strips, and is read once.
    let high = if b.len() / k * depth <= NEAR { 2 * STRIP } else { c.len() };
    for (at, c) in c.chunks_mut(high).enumerate() {
        let first = at * high;
        let mut column = 0;
        while column < n {
            let width = width(n - column, if WIDE { WIDEST } else { LEAST });
            let panel = &b[k * column + from * width..][..depth * width];
            match (width, a) {
                (64, _) if WIDE => strips::<STRIP, 3, 64, FUSED>(a, first, panel, column, c, adds),
                (32, Left::Strips(_)) if WIDE => strips::<STRIP, 3, 32, FUSED>(a, first, panel, column, c, adds),
                (32, _) if WIDE => strips::<12, 4, 32, FUSED>(a, first, panel, column, c, adds),
                (_, Left::Rows(_)) if WIDE => strips::<12, 4, 16, FUSED>(a, first, panel, column, c, adds),
                _ => strips::<STRIP, 3, 16, FUSED>(a, first, panel, column, c, adds),
            }
            column += width;
        }
    }
}

/// All rows of `c` by one panel, `R` at a time; the last of them by a tile of `L` rows where those are enough.
#[inline(always)]
fn strips<const R: usize, const L: usize, const W: usize, const FUSED: bool>(
    a: Left,
    first: usize,
    b: &[f32],
    column: usize,
    c: &mut [&mut [f32]],
    adds: bool,
) {
    let b = b.as_chunks::<W>().0;
    for (at, c) in c.chunks_mut(R).enumerate() {
        let row = first + at * R;
        match c.len() {
            1 => tile::<1, W, FUSED>(a, row, b, column, c, adds),
            len if len <= L => tile::<L, W, FUSED>(a, row, b, column, c, adds),
            _ => tile::<R, W, FUSED>(a, row, b, column, c, adds),
        }
    }
}

/// Some rows of `c` from `column` on; where they are fewer than `R`, others are computed that nothing keeps.
#[inline(always)]
fn tile<const R: usize, const W: usize, const FUSED: bool>(
    a: Left,
    row: usize,
    b: &[[f32; W]],
    column: usize,
    c: &mut [&mut [f32]],
    adds: bool,
) {
    let mut sums = [[0.0; W]; R];
    match a {
        Left::Rows(a) => {
            let (starts, mut from) = (&a.starts[row..][..c.len()], 0);
            for piece in a.pieces {
                let b = &b[from..][..piece.len()];
                let mut rows = [&a.of[..0]; R];
                // A loop, since a closure of an array's method would not be compiled for wide vectors.
                for i in 0..R {
                    rows[i] = &a.of[starts[i.min(starts.len() - 1)] + piece.start..][..b.len()];
                }
                sums = of_rows::<R, W, FUSED>(rows, b, sums);
                from += piece.len();
            }
        }
        Left::Columns(Lines { of, step }) => sums = of_columns::<R, W, FUSED>(&of[row..], step, b, sums),
        Left::Strips(of) => {
            let strip = of[row * b.len()..][..STRIP * b.len()].as_chunks().0;
            sums = of_strip::<R, W, FUSED>(strip, b, sums);
        }
    }
    for (c, sums) in c.iter_mut().zip(&sums) {
        put(&mut c[column..], sums, adds);
    }
}

/// Sums of products in registers: `rows` are as long as `b`.
#[inline(always)]
fn of_rows<const R: usize, const W: usize, const FUSED: bool>(
    rows: [&[f32]; R],
    b: &[[f32; W]],
    before: [[f32; W]; R],
) -> [[f32; W]; R] {
    // A copy whose place nobody else knows stays in registers; the checks spare those of each element.
    let mut sums = before;
    for row in rows {
        assert!(row.len() == b.len());
    }
    for (k, b) in b.iter().enumerate() {
        for i in 0..R {
            add::<W, FUSED>(rows[i][k], b, &mut sums[i]);
        }
    }
    sums
}

/// The same of rows side by side.
#[inline(always)]
fn of_columns<const R: usize, const W: usize, const FUSED: bool>(
    a: &[f32],
    step: usize,
    b: &[[f32; W]],
    before: [[f32; W]; R],
) -> [[f32; W]; R] {
    let mut sums = before;
    let mut end;
    for (k, b) in b.iter().enumerate() {
        let a = &a[k * step..];
        // Elements behind the last count for nothing.
        let a = match a.first_chunk::<R>() {
            Some(a) => a,
            None => {
                end = padded(a);
                &end
            }
        };
        for i in 0..R {
            add::<W, FUSED>(a[i], b, &mut sums[i]);
        }
    }
    sums
}

/// The same of the first rows of a strip.
#[inline(always)]
fn of_strip<const R: usize, const W: usize, const FUSED: bool>(
    strip: &[[f32; STRIP]],
    b: &[[f32; W]],
    before: [[f32; W]; R],
) -> [[f32; W]; R] {
    let mut sums = before;
    for (a, b) in strip.iter().zip(b) {
        for i in 0..R {
            add::<W, FUSED>(a[i.min(STRIP - 1)], b, &mut sums[i]);
        }
    }
    sums
}
