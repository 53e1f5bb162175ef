//! Group normalisation on the host: row by row, several channels at a time, on all cores.

use super::GroupNormParams;
use crate::kernel::{Call, parallel};

/// Rows whose sums are of f32, before they are added to those of f64.
const BLOCK: usize = 64;

/// Adds up what `add` adds to a row of sums for each row.
#[inline(always)]
fn blocks(rows: usize, channels: usize, mut add: impl FnMut(usize, &mut [f32])) -> Vec<f64> {
    let mut total = vec![0.0f64; channels];
    let mut sums = vec![0.0f32; channels];
    for first in (0..rows).step_by(BLOCK) {
        sums.fill(0.0);
        (first..rows.min(first + BLOCK)).for_each(|row| add(row, &mut sums));
        total.iter_mut().zip(&sums).for_each(|(total, sum)| *total += f64::from(*sum));
    }
    total
}

pub fn stats(call: &mut Call) {
    let (p, x) = (call.params::<GroupNormParams>(), call.read::<f32>(0));
    let (rows, channels) = (p.positions as usize, p.channels as usize);
    let (means, variances) = call.write::<f32>(1).split_at_mut(p.batch as usize * channels);
    parallel::chunks2(
        means,
        variances,
        channels,
        #[inline(always)]
        |n, means, variances| {
            let row = |row: usize| &x[(n * rows + row) * channels..][..channels];
            let sums = blocks(rows, channels, |at, sums| sums.iter_mut().zip(row(at)).for_each(|(sum, x)| *sum += x));
            means.iter_mut().zip(p.means(&sums)).for_each(|(to, mean)| *to = mean as f32);
            let squares = blocks(rows, channels, |at, sums| {
                for ((sum, x), mean) in sums.iter_mut().zip(row(at)).zip(&*means) {
                    *sum += (x - mean) * (x - mean);
                }
            });
            variances.iter_mut().zip(p.means(&squares)).for_each(|(to, variance)| *to = variance as f32);
        },
    );
}

/// 1 / std of each image and channel.
fn scales(p: &GroupNormParams, stats: &[f32]) -> Vec<f32> {
    stats[(p.batch * p.channels) as usize..].iter().map(|variance| 1.0 / (variance + p.eps).sqrt()).collect()
}

/// Calls `each` for every row of `y`: with its number, its first channel among those of all images, and itself.
#[inline(always)]
fn each_row(p: &GroupNormParams, y: &mut [f32], each: impl Fn(usize, usize, &mut [f32]) + Sync) {
    let channels = p.channels as usize;
    let rows = (parallel::GRAIN / channels).max(1);
    parallel::chunks(
        y,
        rows * channels,
        #[inline(always)]
        |piece, y| {
            for (i, y) in y.chunks_mut(channels).enumerate() {
                let row = piece * rows + i;
                each(row, row / p.positions as usize * channels, y);
            }
        },
    );
}

pub fn apply(call: &mut Call) {
    let (p, x, stats) = (call.params::<GroupNormParams>(), call.read::<f32>(0), call.read::<f32>(1));
    let (w, b) = (call.read::<f32>(2), call.read::<f32>(3));
    let (channels, scales) = (p.channels as usize, scales(&p, stats));
    let len = (p.batch * p.positions) as usize * channels;
    each_row(
        &p,
        &mut call.write::<f32>(4)[..len],
        #[inline(always)]
        |row, first, y| {
            let (x, means, scales) = (&x[row * channels..][..channels], &stats[first..][..channels], &scales[first..]);
            for (((((y, x), mean), scale), w), b) in y.iter_mut().zip(x).zip(means).zip(scales).zip(w).zip(b) {
                *y = (x - mean) * scale * w + b;
            }
        },
    );
}

pub fn sums(call: &mut Call) {
    let p: GroupNormParams = call.params();
    let (x, dy, stats) = (call.read::<f32>(0), call.read::<f32>(1), call.read::<f32>(2));
    let (rows, channels, scales) = (p.positions as usize, p.channels as usize, scales(&p, stats));
    let (weighted, plain) = call.write::<f32>(3).split_at_mut(p.batch as usize * channels);
    parallel::chunks2(
        weighted,
        plain,
        channels,
        #[inline(always)]
        |n, weighted, plain| {
            let (means, scales) = (&stats[n * channels..][..channels], &scales[n * channels..][..channels]);
            let found = blocks(rows, channels, |at, sums| {
                let (x, dy) =
                    (&x[(n * rows + at) * channels..][..channels], &dy[(n * rows + at) * channels..][..channels]);
                for ((((sum, x), dy), mean), scale) in sums.iter_mut().zip(x).zip(dy).zip(means).zip(scales) {
                    *sum += dy * ((x - mean) * scale);
                }
            });
            weighted.iter_mut().zip(found).for_each(|(to, sum)| *to = sum as f32);
            let found = blocks(rows, channels, |at, sums| {
                let dy = &dy[(n * rows + at) * channels..][..channels];
                sums.iter_mut().zip(dy).for_each(|(sum, dy)| *sum += dy);
            });
            plain.iter_mut().zip(found).for_each(|(to, sum)| *to = sum as f32);
        },
    );
}

pub fn backward(call: &mut Call) {
    let p: GroupNormParams = call.params();
    let (x, dy, stats) = (call.read::<f32>(0), call.read::<f32>(1), call.read::<f32>(2));
    let (sums, w) = (call.read::<f32>(3), call.read::<f32>(4));
    let (channels, scales) = (p.channels as usize, scales(&p, stats));
    let means = |sums: &[f32]| -> Vec<f32> {
        let weighted = sums.iter().enumerate().map(|(c, sum)| f64::from(*sum) * f64::from(w[c % channels]));
        p.means(&weighted.collect::<Vec<_>>()).iter().map(|mean| *mean as f32).collect()
    };
    let (weighted, plain) = sums.split_at(p.batch as usize * channels);
    let (of_dyn, of_dy) = (means(weighted), means(plain));
    let len = (p.batch * p.positions) as usize * channels;
    each_row(
        &p,
        &mut call.write::<f32>(5)[..len],
        #[inline(always)]
        |row, first, dx| {
            let (x, dy) = (&x[row * channels..][..channels], &dy[row * channels..][..channels]);
            let (means, scales) = (&stats[first..][..channels], &scales[first..][..channels]);
            let (of_dyn, of_dy) = (&of_dyn[first..][..channels], &of_dy[first..][..channels]);
            let each = dx.iter_mut().zip(x).zip(dy).zip(w);
            for ((((((dx, x), dy), w), mean), scale), (of_dy, of_dyn)) in
                each.zip(means).zip(scales).zip(of_dy.iter().zip(of_dyn))
            {
                *dx = scale * (w * dy - of_dy - (x - mean) * scale * of_dyn);
            }
        },
    );
}
