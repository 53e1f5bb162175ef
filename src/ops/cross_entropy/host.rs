//! The loss of a classifier on the host: rows on all cores, exponentials several at a time.

use super::{CrossEntropyParams, Target, target};
use crate::kernel::functions::{exp, largest, sum, sum_by_few};
use crate::kernel::{Call, parallel};

/// The logarithm of the sum of exponentials: what log-probabilities have lost already.
#[inline(always)]
fn log_sum_exp(x: &[f32], p: &CrossEntropyParams) -> f64 {
    if p.logged == 1 {
        return 0.0;
    }
    let top = largest(x);
    f64::from(top) + sum_by_few(x, |x| exp(x - top)).ln()
}

/// The weight of each class, and the share of the target that all of them get.
struct Classes<'a> {
    weights: Option<&'a [f32]>,
    own: f64,
    share: f64,
}

impl<'a> Classes<'a> {
    fn new(p: &CrossEntropyParams, weights: &'a [f32]) -> Classes<'a> {
        let smoothing = f64::from(p.smoothing);
        let weights = (p.weighted == 1).then_some(&weights[..weights.len().min(p.classes as usize)]);
        Classes { weights, own: 1.0 - smoothing, share: smoothing / f64::from(p.classes) }
    }

    fn weight(&self, class: usize) -> f64 {
        self.weights.map_or(1.0, |weights| f64::from(weights[class]))
    }
}

pub fn forward(call: &mut Call) {
    let (p, x, labels) = (call.params::<CrossEntropyParams>(), call.read::<f32>(0), call.read::<i32>(1));
    let all = Classes::new(&p, call.read::<f32>(2));
    let (rows, classes) = (p.rows as usize, p.classes as usize);
    let (losses, weights) = call.write::<f32>(3).split_at_mut(rows);
    let piece = (parallel::GRAIN / 4 / classes.max(1)).max(1);
    let weights = &mut weights[..rows];
    parallel::chunks2(
        losses,
        weights,
        piece,
        #[inline(always)]
        |at, losses, weights| {
            for (row, (loss, weight)) in (at * piece..).zip(losses.iter_mut().zip(weights)) {
                let x = &x[row * classes..][..classes];
                (*loss, *weight) = match target(labels[row], &p) {
                    Target::Ignored => (0.0, 0.0),
                    Target::Outside => (f32::NAN, f32::NAN),
                    Target::Class(c) => {
                        let lse = log_sum_exp(x, &p);
                        let own = all.own * (all.weight(c) * (lse - f64::from(x[c])));
                        // Without smoothing the others are no part of it: their terms may be infinite.
                        let others = match all.weights {
                            _ if all.share == 0.0 => 0.0,
                            None => sum(x, |x| lse - f64::from(x)),
                            Some(_) => x.iter().enumerate().map(|(c, &x)| all.weight(c) * (lse - f64::from(x))).sum(),
                        };
                        ((own + all.share * others) as f32, all.weight(c) as f32)
                    }
                };
            }
        },
    );
    let total = if p.mean == 1 { sum(weights, f64::from) } else { 1.0 };
    call.write::<f32>(4).copy_from_slice(&[(sum(losses, f64::from) / total) as f32, total as f32]);
}

pub fn backward(call: &mut Call) {
    let (p, x, labels) = (call.params::<CrossEntropyParams>(), call.read::<f32>(0), call.read::<i32>(1));
    let all = Classes::new(&p, call.read::<f32>(2));
    let (result, dy) = (call.read::<f32>(3), call.read::<f32>(4));
    let classes = p.classes as usize;
    let shared = (0..classes).map(|c| all.share * all.weight(c)).sum::<f64>();
    parallel::rows(
        call.write::<f32>(5),
        classes,
        #[inline(always)]
        |row, dx| {
            let x = &x[row * classes..][..classes];
            let class = match target(labels[row], &p) {
                Target::Ignored => return dx.fill(0.0),
                Target::Outside => return dx.fill(f32::NAN),
                Target::Class(class) => class,
            };
            let scale = if p.each == 1 { f64::from(dy[row]) } else { f64::from(dy[0]) / f64::from(result[1]) };
            let own = all.own * all.weight(class);
            if p.logged == 1 {
                // Log-probabilities move nothing but the loss's own terms.
                dx.fill(0.0);
            } else {
                let lse = log_sum_exp(x, &p);
                // In two parts, so that no digit of x is lost.
                let (high, low) = (lse as f32, (lse - f64::from(lse as f32)) as f32);
                dx.iter_mut().zip(x).for_each(|(dx, x)| *dx = exp((x - high) - low));
            }
            let softmax = (own + shared) * f64::from(dx[class]);
            let one = (scale * (softmax - own - all.share * all.weight(class))) as f32;
            let by = (scale * (own + shared)) as f32;
            dx.iter_mut().for_each(|dx| *dx *= by);
            if all.share > 0.0 {
                let each = (scale * all.share) as f32;
                match all.weights {
                    Some(weights) => dx.iter_mut().zip(weights).for_each(|(dx, w)| *dx -= each * w),
                    None => dx.iter_mut().for_each(|dx| *dx -= each),
                }
            }
            dx[class] = one;
        },
    );
}
