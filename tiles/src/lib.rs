//! The innermost loops of wgrad's products on the host: a tile of the result stays in the processor's registers. A crate of
//! their own, since compilers make vectors of them only where they optimise in full, which is long for all of wgrad in a
//! build for tests.
//!
//! The left side is read where it lies. Its rows may begin anywhere and be of several pieces, so that the windows of a
//! convolution are rows of a matrix that is never laid out. An element's terms are added in the order of k, whatever the
//! tile, in chains of [`DEPTH`].

use multiversion::multiversion;
use multiversion::target::target_cfg_f;
use std::ops::Range;

/// Columns of a panel, in which the right side is laid out: `[n / PANEL][k][PANEL]`, with zeros behind the last column.
pub const PANEL: usize = 32;

/// Steps of k after which the sums join the result: so many of a panel stay in the nearest cache.
const DEPTH: usize = 256;

/// Elements that the second cache of a core holds beside others.
const NEAR: usize = 64 << 10;

/// Elements of panels of a matrix [k, n].
pub fn panels([k, n]: [usize; 2]) -> usize {
    k * n.next_multiple_of(PANEL)
}

/// Lays out some columns, at most as many as a panel has, of a matrix with these strides of rows and columns.
#[multiversion(targets(
    "x86_64+avx+avx2+bmi1+bmi2+fma+avx512f+avx512bw+avx512dq+avx512vl",
    "x86_64+avx+avx2+bmi1+bmi2+fma"
))]
pub fn lay_out(b: &[f32], [row, column]: [usize; 2], width: usize, panel: &mut [f32]) {
    let to = panel.as_chunks_mut::<PANEL>().0;
    if width < PANEL {
        to.iter_mut().for_each(|to| to[width..].fill(0.0));
    }
    if column == 1 {
        return to.iter_mut().enumerate().for_each(|(k, to)| to[..width].copy_from_slice(&b[k * row..][..width]));
    }
    let whole = if row == 1 { width / FOUR * FOUR } else { 0 };
    for at in (0..whole).step_by(FOUR) {
        weave([0, 1, 2, 3].map(|i| &b[(at + i) * column..][..to.len()]), to, at);
    }
    for at in whole..width {
        to.iter_mut().enumerate().for_each(|(k, to)| to[at] = b[at * column + k * row]);
    }
}

/// Columns that are laid out at once, and steps of k: what compilers do with vectors.
const FOUR: usize = 4;
const STEPS: usize = 32;

/// Puts columns side by side.
#[inline(always)]
fn weave(columns: [&[f32]; FOUR], to: &mut [[f32; PANEL]], at: usize) {
    let mut woven = [[0.0; FOUR]; STEPS];
    let (blocks, rest) = to.as_chunks_mut::<STEPS>();
    let first = blocks.len() * STEPS;
    for (block, to) in blocks.iter_mut().enumerate() {
        let columns = columns.map(|column| column[block * STEPS..].first_chunk::<STEPS>().expect("a whole block"));
        for k in 0..STEPS {
            for i in 0..FOUR {
                woven[k][i] = columns[i][k];
            }
        }
        to.iter_mut().zip(&woven).for_each(|(to, woven)| to[at..][..FOUR].copy_from_slice(woven));
    }
    for (k, to) in rest.iter_mut().enumerate() {
        (0..FOUR).for_each(|i| to[at + i] = columns[i][first + k]);
    }
}

/// The left side of a product: row r is made of these pieces behind `starts[r]`, none longer than [`DEPTH`] after
/// [`pieces`].
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
    // A tile of 12 x 32 takes 24 of the 32 registers of AVX-512, one of 4 x 16 takes 8 of AVX2's 16.
    let is_fused = target_cfg_f!(any(target_feature = "fma", target_arch = "aarch64"));
    match (target_cfg_f!(target_feature = "avx512f"), is_fused) {
        (true, _) => by_depth::<12, 32, true>(a, k, b, c, adds),
        (false, true) => by_depth::<4, 16, true>(a, k, b, c, adds),
        (false, false) => by_depth::<4, 16, false>(a, k, b, c, adds),
    }
}

#[inline(always)]
fn by_depth<const R: usize, const W: usize, const FUSED: bool>(
    a: Rows,
    k: usize,
    b: &[f32],
    c: &mut [&mut [f32]],
    mut adds: bool,
) {
    let (mut from, mut rest) = (0, a.pieces);
    while !rest.is_empty() {
        let (mut depth, mut count) = (rest[0].len(), 1);
        while count < rest.len() && depth + rest[count].len() <= DEPTH {
            depth += rest[count].len();
            count += 1;
        }
        let (pieces, later) = rest.split_at(count);
        let a = Rows { pieces, ..a };
        // Where a nearby cache holds all of the panels, each strip takes them one after another, and its results are written
        // in order; else each panel takes all strips, and is read once.
        let high = if b.len() / k * depth <= NEAR { R } else { c.len() };
        for (at, c) in c.chunks_mut(high).enumerate() {
            let starts = &a.starts[at * high..];
            for (panel, b) in b.chunks_exact(k * PANEL).enumerate() {
                let b = &b.as_chunks::<PANEL>().0[from..][..depth];
                for part in 0..PANEL / W {
                    strips::<R, W, FUSED>(Rows { starts, ..a }, b, [panel * PANEL, part], c, adds);
                }
            }
        }
        (adds, from, rest) = (true, from + depth, later);
    }
}

#[inline(always)]
fn strips<const R: usize, const W: usize, const FUSED: bool>(
    a: Rows,
    b: &[[f32; PANEL]],
    [panel, part]: [usize; 2],
    c: &mut [&mut [f32]],
    adds: bool,
) {
    let column = panel + part * W;
    let left = c.first().map_or(0, |row| row.len().saturating_sub(column));
    if left == 0 {
        return;
    }
    for (at, c) in c.chunks_mut(R).enumerate() {
        let starts = &a.starts[at * R..][..c.len()];
        // Narrow results take half a panel, few rows a lower tile.
        match (W > 16 && left <= 16, c.len()) {
            (false, 9..) => tile::<R, W, FUSED>(a, starts, b, part, column, c, adds),
            (false, 5..) => tile::<8, W, FUSED>(a, starts, b, part, column, c, adds),
            (false, _) => tile::<4, W, FUSED>(a, starts, b, part, column, c, adds),
            (true, 9..) => tile::<R, 16, FUSED>(a, starts, b, 0, column, c, adds),
            (true, 5..) => tile::<8, 16, FUSED>(a, starts, b, 0, column, c, adds),
            (true, _) => tile::<4, 16, FUSED>(a, starts, b, 0, column, c, adds),
        }
    }
}

/// Some rows of `c` from `column` on; where they are fewer than `R`, the last is computed again.
#[inline(always)]
fn tile<const R: usize, const W: usize, const FUSED: bool>(
    a: Rows,
    starts: &[usize],
    b: &[[f32; PANEL]],
    part: usize,
    column: usize,
    c: &mut [&mut [f32]],
    adds: bool,
) {
    let (mut sums, mut from) = ([[0.0; W]; R], 0);
    for piece in a.pieces {
        let b = &b[from..][..piece.len()];
        let mut rows = [&a.of[..0]; R];
        // A loop, since a closure of an array's method would not be compiled for wide vectors.
        for i in 0..R {
            rows[i] = &a.of[starts[i.min(starts.len() - 1)] + piece.start..][..b.len()];
        }
        sums = products::<R, W, FUSED>(rows, b, part, sums);
        from += piece.len();
    }
    for (c, sums) in c.iter_mut().zip(&sums) {
        put(&mut c[column..], sums, adds);
    }
}

/// Sums of products in registers: `rows` are as long as `b`.
#[inline(always)]
fn products<const R: usize, const W: usize, const FUSED: bool>(
    rows: [&[f32]; R],
    b: &[[f32; PANEL]],
    part: usize,
    before: [[f32; W]; R],
) -> [[f32; W]; R] {
    // A copy whose place nobody else knows stays in registers; the checks spare those of each element.
    let mut sums = before;
    assert!(part < PANEL / W);
    for row in rows {
        assert!(row.len() == b.len());
    }
    for (k, b) in b.iter().enumerate() {
        let b = &b.as_chunks::<W>().0[part];
        for i in 0..R {
            add::<W, FUSED>(rows[i][k], b, &mut sums[i]);
        }
    }
    sums
}

#[inline(always)]
fn add<const W: usize, const FUSED: bool>(a: f32, b: &[f32; W], sums: &mut [f32; W]) {
    for j in 0..W {
        sums[j] = if FUSED { a.mul_add(b[j], sums[j]) } else { a * b[j] + sums[j] };
    }
}

/// As many of the sums as `c` takes.
#[inline(always)]
fn put<const W: usize>(c: &mut [f32], sums: &[f32; W], adds: bool) {
    match (c.first_chunk_mut::<W>(), adds) {
        (Some(c), false) => *c = *sums,
        (Some(c), true) => {
            for j in 0..W {
                c[j] += sums[j];
            }
        }
        (None, false) => c.iter_mut().zip(sums).for_each(|(c, sum)| *c = *sum),
        (None, true) => c.iter_mut().zip(sums).for_each(|(c, sum)| *c += sum),
    }
}

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
        (true, _) => tiles::<12, 32, true>(a, b, starts, count, [rows, columns, pitch], c),
        (false, true) => tiles::<4, 16, true>(a, b, starts, count, [rows, columns, pitch], c),
        (false, false) => tiles::<4, 16, false>(a, b, starts, count, [rows, columns, pitch], c),
    }
}

#[inline(always)]
fn tiles<const R: usize, const W: usize, const FUSED: bool>(
    a: Lines,
    b: Lines,
    starts: &[[usize; 2]],
    count: usize,
    [rows, columns, pitch]: [usize; 3],
    c: &mut [f32],
) {
    for column in (0..columns).step_by(W) {
        let width = (columns - column).min(W);
        let mut row = 0;
        while row < rows {
            // Few columns by low tiles: what compilers make of high ones of 16 is slow.
            let is_narrow = W > 16 && width <= 16;
            let high = if is_narrow || rows - row <= 4 { 4 } else { R };
            let (at, size) = ([row, column], [(rows - row).min(high), width, pitch]);
            match (high == R, is_narrow) {
                (true, _) => outer_tile::<R, W, FUSED>([a, b], starts, count, at, size, c),
                (false, false) => outer_tile::<4, W, FUSED>([a, b], starts, count, at, size, c),
                (false, true) => outer_tile::<4, 16, FUSED>([a, b], starts, count, at, size, c),
            }
            row += high;
        }
    }
}

#[inline(always)]
fn outer_tile<const R: usize, const W: usize, const FUSED: bool>(
    [a, b]: [Lines; 2],
    starts: &[[usize; 2]],
    count: usize,
    [row, column]: [usize; 2],
    [rows, columns, pitch]: [usize; 3],
    c: &mut [f32],
) {
    let (mut sums, mut terms) = ([[0.0; W]; R], 0);
    for [of_a, of_b] in starts {
        for first in (0..count).step_by(DEPTH) {
            let steps = (count - first).min(DEPTH);
            let (of_a, of_b) = (of_a + row + first * a.step, of_b + column + first * b.step);
            sums = line::<R, W, FUSED>([&a.of[of_a..], &b.of[of_b..]], [a.step, b.step], steps, sums);
            terms += steps;
            if terms >= DEPTH {
                join::<R, W>(&sums, [row, column], [rows, columns, pitch], c);
                (sums, terms) = ([[0.0; W]; R], 0);
            }
        }
    }
    join::<R, W>(&sums, [row, column], [rows, columns, pitch], c);
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

#[cold]
fn padded<const N: usize>(rest: &[f32]) -> [f32; N] {
    let mut whole = [0.0; N];
    whole[..rest.len()].copy_from_slice(rest);
    whole
}
