//! The right side of a product, laid out so that tiles read it in order.

use multiversion::multiversion;
use multiversion::target::target_cfg_f;

/// Columns that no panel has more of: 64 results are four registers of AVX-512, 16 are two of AVX2.
pub(crate) const WIDEST: usize = 64;

/// Columns of the widest panel of this processor.
#[multiversion(targets(
    "x86_64+avx+avx2+bmi1+bmi2+fma+avx512f+avx512bw+avx512dq+avx512vl",
    "x86_64+avx+avx2+bmi1+bmi2+fma"
))]
fn widest() -> usize {
    if target_cfg_f!(target_feature = "avx512f") { WIDEST } else { LEAST }
}

/// Columns of the narrowest panel.
pub(crate) const LEAST: usize = 16;

/// Columns of the panel that begins where so many are left.
pub(crate) fn width(left: usize, widest: usize) -> usize {
    match left {
        49.. => widest,
        17.. => widest.min(32),
        _ => LEAST,
    }
}

/// Elements of the panels of a matrix [k, n].
pub fn panels([k, n]: [usize; 2]) -> usize {
    k * n.next_multiple_of(LEAST)
}

/// A panel, [k, width]: some columns of a matrix, with zeros behind the last.
pub struct Panel<'a> {
    /// Its first column.
    pub first: usize,
    /// The columns that it takes from the matrix.
    pub columns: usize,
    /// Those that it has.
    pub width: usize,
    /// Its elements.
    pub of: &'a mut [f32],
}

/// The panels of a matrix [k, n].
pub fn cut(mut of: &mut [f32], [k, n]: [usize; 2]) -> Vec<Panel<'_>> {
    let (mut panels, mut first, widest) = (Vec::new(), 0, widest());
    while first < n {
        let width = width(n - first, widest);
        let (panel, later) = of.split_at_mut(k * width);
        panels.push(Panel { first, columns: width.min(n - first), width, of: panel });
        (of, first) = (later, first + width);
    }
    panels
}

/// Lays out the columns of a panel of a matrix with these strides of rows and columns.
#[multiversion(targets(
    "x86_64+avx+avx2+bmi1+bmi2+fma+avx512f+avx512bw+avx512dq+avx512vl",
    "x86_64+avx+avx2+bmi1+bmi2+fma"
))]
pub fn lay_out(b: &[f32], strides: [usize; 2], panel: &mut Panel) {
    let b = &b[(panel.first * strides[1]).min(b.len())..];
    match panel.width {
        64 => rows::<64>(b, strides, panel.columns, panel.of.as_chunks_mut().0),
        32 => rows::<32>(b, strides, panel.columns, panel.of.as_chunks_mut().0),
        _ => rows::<LEAST>(b, strides, panel.columns, panel.of.as_chunks_mut().0),
    }
}

#[inline(always)]
fn rows<const W: usize>(b: &[f32], [row, column]: [usize; 2], columns: usize, to: &mut [[f32; W]]) {
    if row == 1 && column != 1 {
        for at in (0..W).step_by(AT_ONCE) {
            weave(b.get(at * column..).unwrap_or_default(), column, columns.saturating_sub(at).min(AT_ONCE), to, at);
        }
        return;
    }
    if column == 1 && columns == W {
        // A copy of known length is a few moves.
        return to.iter_mut().enumerate().for_each(|(k, to)| to.copy_from_slice(&b[k * row..][..W]));
    }
    for (k, to) in to.iter_mut().enumerate() {
        let (from, (to, rest)) = (&b[k * row..], to.split_at_mut(columns));
        match column {
            1 => to.copy_from_slice(&from[..columns]),
            _ => to.iter_mut().enumerate().for_each(|(at, to)| *to = from[at * column]),
        }
        rest.fill(0.0);
    }
}

/// Columns that are laid out at once, and steps of k.
const AT_ONCE: usize = 16;
const STEPS: usize = 32;

/// Steps of columns, which begin with a line of the cache.
#[repr(align(64))]
struct Woven([f32; AT_ONCE * STEPS]);

/// Puts `count` columns side by side, with zeros behind them.
#[inline(always)]
fn weave<const W: usize>(b: &[f32], column: usize, count: usize, to: &mut [[f32; W]], at: usize) {
    let (mut x, mut y) = (Woven([0.0; AT_ONCE * STEPS]), Woven([0.0; AT_ONCE * STEPS]));
    for (block, to) in to.chunks_mut(STEPS).enumerate() {
        let columns = x.0.as_chunks_mut::<STEPS>().0;
        for (i, elements) in columns.iter_mut().enumerate() {
            if i >= count {
                *elements = [0.0; STEPS];
                continue;
            }
            let from = &b[i * column + block * STEPS..];
            match from.first_chunk::<STEPS>() {
                Some(from) if to.len() == STEPS => *elements = *from,
                _ => elements[..to.len()].copy_from_slice(&from[..to.len()]),
            }
        }
        // [16][32] becomes [32][16] as cards do that are riffled four times.
        for _ in 0..AT_ONCE.ilog2() / 2 {
            riffle(&x.0, &mut y.0);
            riffle(&y.0, &mut x.0);
        }
        to.iter_mut().zip(x.0.as_chunks::<AT_ONCE>().0).for_each(|(to, x)| to[at..][..AT_ONCE].copy_from_slice(x));
    }
}

/// Elements of both halves by turns.
#[inline(always)]
fn riffle(x: &[f32], y: &mut [f32]) {
    let (low, high) = x.split_at(x.len() / 2);
    for ((y, low), high) in y.as_chunks_mut::<2>().0.iter_mut().zip(low).zip(high) {
        *y = [*low, *high];
    }
}
