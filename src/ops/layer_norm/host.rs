//! Rows normalised on the host: several elements at a time, on all cores.

use super::{Form, LayerNormParams};
use crate::kernel::functions::{fold2, sum};
use crate::kernel::{Call, parallel};

/// Rows whose gradients of weights are summed apart: a number that no machine changes.
const ROWS: usize = 128;

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
        let mean = if form == Form::Layer { sum(x, f64::from) / cols as f64 } else { 0.0 };
        let variance = sum(x, |x| (f64::from(x) - mean) * (f64::from(x) - mean)) / cols as f64;
        (mean, 1.0 / (variance + f64::from(p.eps)).sqrt())
    };
    let many = rows_of_task(cols);
    let outs = y.chunks_mut(many * cols).zip(means.chunks_mut(many)).zip(rstds.chunks_mut(many));
    let mut tasks: Vec<_> = outs.enumerate().collect();
    parallel::chunks(&mut tasks, 1, |_, tasks| {
        for (task, ((y, means), rstds)) in tasks {
            for (i, y) in y.chunks_mut(cols).enumerate() {
                let x = &x[(*task * many + i) * cols..][..cols];
                let (mean, rstd) = of_row(x);
                (means[i], rstds[i]) = (mean as f32, rstd as f32);
                for ((y, x), w) in y.iter_mut().zip(x).zip(w) {
                    *y = ((f64::from(*x) - mean) * rstd) as f32 * w;
                }
                if let Some(b) = b {
                    y.iter_mut().zip(b).for_each(|(y, b)| *y += b);
                }
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
            let normalised = |x: f32| ((f64::from(x) - mean) * rstd) as f32;
            // The gradient of what is normalised, for a while where the result will be.
            dx.iter_mut().zip(dy).zip(w).for_each(|((dx, dy), w)| *dx = dy * w);
            let of_g = if form == Form::Layer { sum(dx, f64::from) / cols as f64 } else { 0.0 };
            let add = |sum, g, x| sum + f64::from(g) * f64::from(normalised(x));
            let of_gn = fold2(dx, x, 0.0, add, |a, b| a + b) / cols as f64;
            for (dx, x) in dx.iter_mut().zip(x) {
                *dx = (rstd * (f64::from(*dx) - of_g - f64::from(normalised(*x)) * of_gn)) as f32;
            }
            if p.add == 1 {
                dx.iter_mut().zip(&other[row * cols..]).for_each(|(dx, other)| *dx += other);
            }
        }
    });
    // Sums of some rows each, in order of memory, and then of these.
    let parts = rows.div_ceil(ROWS);
    let mut sums = vec![0.0f64; parts * 2 * cols];
    parallel::chunks(&mut sums, 2 * cols, |part, sums| {
        let (weighted, plain) = sums.split_at_mut(cols);
        for row in part * ROWS..(part * ROWS + ROWS).min(rows) {
            let (mean, rstd) = (f64::from(stats[row]), f64::from(stats[rows + row]));
            let (x, dy) = (&x[row * cols..][..cols], &dy[row * cols..][..cols]);
            for ((sum, &x), &dy) in weighted.iter_mut().zip(x).zip(dy) {
                *sum += f64::from(dy) * ((f64::from(x) - mean) * rstd);
            }
            if form == Form::Layer {
                plain.iter_mut().zip(dy).for_each(|(sum, dy)| *sum += f64::from(*dy));
            }
        }
    });
    let total = |at: usize| sums.iter().skip(at).step_by(2 * cols).sum::<f64>() as f32;
    call.write::<f32>(6).iter_mut().enumerate().for_each(|(c, dw)| *dw = total(c));
    if form == Form::Layer {
        call.write::<f32>(7).iter_mut().enumerate().for_each(|(c, db)| *db = total(cols + c));
    }
}
