//! Rows normalised on the host: several elements at a time, on all cores.

use super::{Form, LayerNormParams};
use crate::kernel::{Call, parallel};

/// The sum of `f` over a row, several elements at a time.
fn sum(cols: usize, f: impl Fn(usize) -> f64) -> f64 {
    const AT_ONCE: usize = 8;
    let mut sums = [0.0; AT_ONCE];
    let whole = cols / AT_ONCE * AT_ONCE;
    for first in (0..whole).step_by(AT_ONCE) {
        for (i, sum) in sums.iter_mut().enumerate() {
            *sum += f(first + i);
        }
    }
    sums.iter().sum::<f64>() + (whole..cols).map(f).sum::<f64>()
}

/// Rows that one task takes.
fn rows_of_task(cols: usize) -> usize {
    (parallel::GRAIN / cols.max(1)).max(1)
}

pub fn forward(form: Form, call: &mut Call) {
    let (p, x, w) = (call.params::<LayerNormParams>(), call.read::<f32>(0), call.read::<f32>(1));
    let (rows, cols) = (p.rows as usize, p.cols as usize);
    let (b, y) = match form {
        Form::Layer => (Some(call.read::<f32>(2)), 3),
        Form::Rms => (None, 2),
    };
    let (y, stats) = (call.write::<f32>(y), call.write::<f32>(y + 1));
    let (means, rstds) = stats.split_at_mut(rows);
    // The mean and 1 / std of a row.
    let of_row = |x: &[f32]| {
        let mean = if form == Form::Layer { sum(cols, |c| f64::from(x[c])) / cols as f64 } else { 0.0 };
        let variance = sum(cols, |c| (f64::from(x[c]) - mean).powi(2)) / cols as f64;
        (mean, 1.0 / (variance + f64::from(p.eps)).sqrt())
    };
    parallel::chunks2(means, rstds, rows_of_task(cols), |task, means, rstds| {
        for (i, (mean, rstd)) in means.iter_mut().zip(rstds).enumerate() {
            let found = of_row(&x[(task * rows_of_task(cols) + i) * cols..][..cols]);
            (*mean, *rstd) = (found.0 as f32, found.1 as f32);
        }
    });
    parallel::chunks(y, rows_of_task(cols) * cols, |task, y| {
        for (i, y) in y.chunks_mut(cols).enumerate() {
            let x = &x[(task * rows_of_task(cols) + i) * cols..][..cols];
            let (mean, rstd) = of_row(x);
            for ((y, x), w) in y.iter_mut().zip(x).zip(w) {
                *y = ((f64::from(*x) - mean) * rstd) as f32 * w;
            }
            if let Some(b) = b {
                y.iter_mut().zip(b).for_each(|(y, b)| *y += b);
            }
        }
    });
}

pub fn backward(form: Form, call: &mut Call) {
    let (p, x, dy) = (call.params::<LayerNormParams>(), call.read::<f32>(0), call.read::<f32>(1));
    let (w, stats) = (call.read::<f32>(2), call.read::<f32>(3));
    let (rows, cols) = (p.rows as usize, p.cols as usize);
    let other = call.read::<f32>(4);
    let dx = call.write::<f32>(5);
    parallel::chunks(dx, rows_of_task(cols) * cols, |task, dx| {
        for (i, dx) in dx.chunks_mut(cols).enumerate() {
            let row = task * rows_of_task(cols) + i;
            let (mean, rstd) = (f64::from(stats[row]), f64::from(stats[rows + row]));
            let (x, dy) = (&x[row * cols..][..cols], &dy[row * cols..][..cols]);
            let normalised = |c: usize| (f64::from(x[c]) - mean) * rstd;
            let gradient = |c: usize| f64::from(dy[c]) * f64::from(w[c]);
            let of_g = if form == Form::Layer { sum(cols, gradient) / cols as f64 } else { 0.0 };
            let of_gn = sum(cols, |c| gradient(c) * normalised(c)) / cols as f64;
            for (c, dx) in dx.iter_mut().enumerate() {
                *dx = (rstd * (gradient(c) - of_g - normalised(c) * of_gn)) as f32;
            }
            if p.add == 1 {
                dx.iter_mut().zip(&other[row * cols..]).for_each(|(dx, other)| *dx += other);
            }
        }
    });
    // A block of columns at a time, row by row, in order of memory.
    const COLUMNS: usize = 64;
    parallel::chunks(call.write::<f32>(6), COLUMNS, |block, dw| {
        let mut sums = [0.0f64; COLUMNS];
        for row in 0..rows {
            let (mean, rstd) = (f64::from(stats[row]), f64::from(stats[rows + row]));
            let first = row * cols + block * COLUMNS;
            for ((sum, &x), &dy) in sums.iter_mut().zip(&x[first..][..dw.len()]).zip(&dy[first..][..dw.len()]) {
                *sum += f64::from(dy) * (f64::from(x) - mean) * rstd;
            }
        }
        dw.iter_mut().zip(sums).for_each(|(dw, sum)| *dw = sum as f32);
    });
    if form == Form::Rms {
        return;
    }
    parallel::chunks(call.write::<f32>(7), COLUMNS, |block, db| {
        let mut sums = [0.0f64; COLUMNS];
        for dy in dy.chunks(cols) {
            sums.iter_mut().zip(&dy[block * COLUMNS..][..db.len()]).for_each(|(sum, &dy)| *sum += f64::from(dy));
        }
        db.iter_mut().zip(sums).for_each(|(db, sum)| *db = sum as f32);
    });
}
