//! Rows normalised on the host: several elements at a time, on all cores.

use super::{Form, LayerNormParams};
use crate::kernel::functions::{sum, sum_by_few, sum_by_few2};
use crate::kernel::{Call, parallel};

/// Rows of one task, whose gradients of weights are summed apart: a number that no machine changes.
const ROWS: usize = 32;

/// A row's mean in two parts, so that no digit of what is near it is lost, and 1 / std.
#[inline(always)]
fn of_row(form: Form, x: &[f32], eps: f32) -> [f32; 3] {
    let count = x.len() as f64;
    // In f64, so that equal numbers have their own mean.
    let mean = if form == Form::Layer { sum(x, f64::from) / count } else { 0.0 };
    let (high, low) = (mean as f32, mean - f64::from(mean as f32));
    let mut variance = sum_by_few(x, |x| (x - high) * (x - high)) / count - low * low;
    if !(1e-30..1e30).contains(&variance) {
        // Squares that f32 has no numbers for.
        variance = sum(x, |x| (f64::from(x) - mean) * (f64::from(x) - mean)) / count;
    }
    [high, low as f32, (1.0 / (variance + f64::from(eps)).sqrt()) as f32]
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
    let many = (parallel::GRAIN / cols.max(1)).max(1);
    let outs = y.chunks_mut(many * cols).zip(means.chunks_mut(many)).zip(rstds.chunks_mut(many));
    let mut tasks: Vec<_> = outs.enumerate().collect();
    parallel::chunks(
        &mut tasks,
        1,
        #[inline(always)]
        |_, tasks| {
            for (task, ((y, means), rstds)) in tasks {
                for (i, y) in y.chunks_mut(cols).enumerate() {
                    let x = &x[(*task * many + i) * cols..][..cols];
                    let [high, low, rstd] = of_row(form, x, p.eps);
                    (means[i], rstds[i]) = (high, rstd);
                    match b {
                        Some(b) => {
                            for (((y, x), w), b) in y.iter_mut().zip(x).zip(w).zip(b) {
                                *y = ((x - high) - low) * rstd * w + b;
                            }
                        }
                        None => y.iter_mut().zip(x).zip(w).for_each(|((y, x), w)| *y = x * rstd * w),
                    }
                }
            }
        },
    );
}

pub fn backward(form: Form, call: &mut Call) {
    let (p, x, dy) = (call.params::<LayerNormParams>(), call.read::<f32>(0), call.read::<f32>(1));
    let (w, stats) = (call.read::<f32>(2), call.read::<f32>(3));
    let (rows, cols) = (p.rows as usize, p.cols as usize);
    let (other, dx) = (call.read::<f32>(4), &mut call.write::<f32>(5)[..rows * cols]);
    // Of each task its rows of dx, and its sums for the gradients of weight and bias.
    let mut sums = vec![0.0f32; rows.div_ceil(ROWS) * 2 * cols];
    let mut tasks: Vec<_> = dx.chunks_mut(ROWS * cols).zip(sums.chunks_mut(2 * cols)).enumerate().collect();
    parallel::chunks(
        &mut tasks,
        1,
        #[inline(always)]
        |_, tasks| {
            for (task, (dx, sums)) in tasks {
                let (weighted, plain) = sums.split_at_mut(cols);
                for (i, dx) in dx.chunks_mut(cols).enumerate() {
                    let row = *task * ROWS + i;
                    let (mean, rstd) = (stats[row], stats[rows + row]);
                    let (x, dy) = (&x[row * cols..][..cols], &dy[row * cols..][..cols]);
                    // The gradient of what is normalised, for a while where the result will be.
                    dx.iter_mut().zip(dy).zip(w).for_each(|((dx, dy), w)| *dx = dy * w);
                    let of_g = if form == Form::Layer { sum_by_few(dx, |g| g) / cols as f64 } else { 0.0 } as f32;
                    let of_gn = (sum_by_few2(dx, x, |g, x| g * ((x - mean) * rstd)) / cols as f64) as f32;
                    for (dx, x) in dx.iter_mut().zip(x) {
                        *dx = rstd * ((*dx - of_g) - (x - mean) * rstd * of_gn);
                    }
                    if p.add == 1 {
                        dx.iter_mut().zip(&other[row * cols..]).for_each(|(dx, other)| *dx += other);
                    }
                    for (((weighted, plain), x), dy) in weighted.iter_mut().zip(&mut *plain).zip(x).zip(dy) {
                        *weighted += dy * ((x - mean) * rstd);
                        *plain += dy;
                    }
                }
            }
        },
    );
    let mut totals = vec![0.0f64; 2 * cols];
    for sums in sums.chunks(2 * cols) {
        totals.iter_mut().zip(sums).for_each(|(total, sum)| *total += f64::from(*sum));
    }
    let (weighted, plain) = totals.split_at(cols);
    call.write::<f32>(6).iter_mut().zip(weighted).for_each(|(dw, sum)| *dw = *sum as f32);
    if form == Form::Layer {
        call.write::<f32>(7).iter_mut().zip(plain).for_each(|(db, sum)| *db = *sum as f32);
    }
}
