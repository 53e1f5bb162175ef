//! The definition of normalised rows.

use super::{Form, LayerNormParams};
use crate::kernel::Call;

/// The mean of a function of a row's columns.
fn mean(cols: usize, f: impl Fn(usize) -> f64) -> f64 {
    (0..cols).map(f).sum::<f64>() / cols as f64
}

/// y = (x - mean) / std * w + b, row by row. Without means and biases: y = x / rms * w.
pub fn forward(form: Form, call: &mut Call) {
    let (p, x, w) = (call.params::<LayerNormParams>(), call.read::<f32>(0), call.read::<f32>(1));
    let (rows, cols) = (p.rows as usize, p.cols as usize);
    let (b, at) = if form == Form::Layer { (call.read::<f32>(2), 3) } else { (&[][..], 2) };
    let (y, stats) = (call.write::<f32>(at), call.write::<f32>(at + 1));
    for row in 0..rows {
        let x = |c: usize| f64::from(x[row * cols + c]);
        let middle = if form == Form::Layer { mean(cols, x) } else { 0.0 };
        let scale = 1.0 / (mean(cols, |c| (x(c) - middle).powi(2)) + f64::from(p.eps)).sqrt();
        (stats[row], stats[rows + row]) = (middle as f32, scale as f32);
        for c in 0..cols {
            let b = b.get(c).copied().map_or(0.0, f64::from);
            y[row * cols + c] = ((x(c) - middle) * scale * f64::from(w[c]) + b) as f32;
        }
    }
}

/// With n = (x - mean) / std and g = dy w: dx = (g - mean(g) - n mean(g n)) / std, dw = sum(dy n) and db = sum(dy) over rows.
pub fn backward(form: Form, call: &mut Call) {
    let (p, x, dy) = (call.params::<LayerNormParams>(), call.read::<f32>(0), call.read::<f32>(1));
    let (w, stats, other) = (call.read::<f32>(2), call.read::<f32>(3), call.read::<f32>(4));
    let (rows, cols) = (p.rows as usize, p.cols as usize);
    let dx = call.write::<f32>(5);
    let (mut dw, mut db) = (vec![0.0f64; cols], vec![0.0f64; cols]);
    for row in 0..rows {
        let (middle, scale) = (f64::from(stats[row]), f64::from(stats[rows + row]));
        let dy = |c: usize| f64::from(dy[row * cols + c]);
        let n = |c: usize| (f64::from(x[row * cols + c]) - middle) * scale;
        let g = |c: usize| dy(c) * f64::from(w[c]);
        let of_g = if form == Form::Layer { mean(cols, g) } else { 0.0 };
        let of_gn = mean(cols, |c| g(c) * n(c));
        for c in 0..cols {
            let other = if p.add == 1 { f64::from(other[row * cols + c]) } else { 0.0 };
            dx[row * cols + c] = (scale * (g(c) - of_g - n(c) * of_gn) + other) as f32;
            dw[c] += dy(c) * n(c);
            db[c] += dy(c);
        }
    }
    call.write::<f32>(6).iter_mut().zip(dw).for_each(|(to, sum)| *to = sum as f32);
    if form == Form::Layer {
        call.write::<f32>(7).iter_mut().zip(db).for_each(|(to, sum)| *to = sum as f32);
    }
}
