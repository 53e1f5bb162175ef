//! Batch normalisation on the host: in order of memory, on all cores.

use super::BatchNormParams;
use crate::kernel::functions::{fold2, held, sum};
use crate::kernel::{Call, parallel};

/// Channels that a thread of the host sums at a time: where they are neighbours, they are half a line of its cache.
const SIDE_BY_SIDE: usize = 8;

impl BatchNormParams {
    /// Calls `each` with the place of channel `first` in every position of every image.
    fn positions_of(&self, first: usize, mut each: impl FnMut(usize)) {
        let [n, ch, at] = self.strides.map(|s| s as usize);
        for image in 0..self.batch as usize {
            (0..self.positions as usize).for_each(|position| each(image * n + position * at + first * ch));
        }
    }

    /// Calls `each` with the places of a piece of the elements that begins at `start`, in stretches of channels that follow
    /// one another (a step of 1) or of one channel (a step of 0): the first place in the piece, how many, the first
    /// channel and the step.
    fn stretches(&self, start: usize, len: usize, mut each: impl FnMut(usize, usize, usize, usize)) {
        let (step, channels) = (self.step as usize, self.channels as usize);
        let mut at = 0;
        while at < len {
            let channel = (start + at) / step % channels;
            let (count, by) = if step == 1 { (channels - channel, 1) } else { (step - (start + at) % step, 0) };
            let count = count.min(len - at);
            each(at, count, channel, by);
            at += count;
        }
    }
}

/// 1 / std of each channel, times its weight.
fn scales(p: &BatchNormParams, variances: &[f32], w: &[f32]) -> Vec<f32> {
    variances.iter().zip(w).map(|(variance, w)| w / (variance + p.eps).sqrt()).collect()
}

impl BatchNormParams {
    /// Whether the positions of a channel are neighbours.
    fn is_by_channel(&self) -> bool {
        self.strides[2] == 1 && self.positions > 1
    }

    /// The positions of a channel, image by image.
    fn rows_of<'a>(&self, channel: usize, x: &'a [f32]) -> impl Iterator<Item = &'a [f32]> + use<'a> {
        let [n, ch, _] = self.strides.map(|s| s as usize);
        let (positions, first) = (self.positions as usize, channel * ch);
        (0..self.batch as usize).map(move |image| &x[image * n + first..][..positions])
    }
}

impl BatchNormParams {
    /// Whether the channels of a position are neighbours, and positions lie behind each other without gaps.
    fn is_by_row(&self) -> bool {
        let [n, channel, position] = self.strides;
        let follows = self.positions == 1 || position == self.channels;
        self.channels > 1 && channel == 1 && follows && (self.batch == 1 || n == self.positions * self.channels)
    }

    /// The sums over all positions that lie so, `N` of each channel: `each` adds a piece of some rows to sums of its own.
    #[inline(always)]
    fn sums_by_row<const N: usize>(&self, each: impl Fn(std::ops::Range<usize>, [&mut [f64]; N]) + Sync) -> Vec<f64> {
        let channels = self.channels as usize;
        // A number that no machine changes.
        let rows = (parallel::GRAIN / channels).max(1);
        let mut parts = vec![0.0f64; self.count().div_ceil(rows) * N * channels];
        parallel::chunks(
            &mut parts,
            N * channels,
            #[inline(always)]
            |part, sums| {
                let mut sums = sums.chunks_mut(channels);
                let sums = std::array::from_fn(|_| sums.next().unwrap_or_default());
                each(part * rows * channels..((part + 1) * rows).min(self.count()) * channels, sums);
            },
        );
        let mut totals = vec![0.0f64; N * channels];
        for part in parts.chunks(N * channels) {
            totals.iter_mut().zip(part).for_each(|(total, sum)| *total += sum);
        }
        totals
    }
}

pub fn stats(call: &mut Call) {
    let (p, x) = (call.params::<BatchNormParams>(), call.read::<f32>(0));
    let (means, variances) = call.write::<f32>(1).split_at_mut(p.channels as usize);
    let (count, apart) = (p.count() as f64, p.strides[1] as usize);
    if p.is_by_channel() {
        return parallel::chunks2(
            means,
            variances,
            1,
            #[inline(always)]
            |channel, means, variances| {
                let rows = || p.rows_of(channel, x);
                let mean = rows().map(|row| sum(row, f64::from)).sum::<f64>() / count;
                let square = |x| (f64::from(x) - mean) * (f64::from(x) - mean);
                let squares = rows().map(|row| sum(row, square)).sum::<f64>();
                (means[0], variances[0]) = (mean as f32, (squares / count) as f32);
            },
        );
    }
    if p.is_by_row() {
        let mut mean = p.sums_by_row(
            #[inline(always)]
            |rows, [sums]: [&mut [f64]; 1]| {
                for x in x[rows].chunks(sums.len()) {
                    sums.iter_mut().zip(x).for_each(|(sum, x)| *sum += f64::from(*x));
                }
            },
        );
        mean.iter_mut().for_each(|sum| *sum /= count);
        let squares = p.sums_by_row(
            #[inline(always)]
            |rows, [sums]: [&mut [f64]; 1]| {
                for x in x[rows].chunks(sums.len()) {
                    for ((sum, x), mean) in sums.iter_mut().zip(x).zip(&mean) {
                        *sum += (f64::from(*x) - mean) * (f64::from(*x) - mean);
                    }
                }
            },
        );
        means.iter_mut().zip(&mean).for_each(|(to, mean)| *to = *mean as f32);
        return variances.iter_mut().zip(squares).for_each(|(to, sum)| *to = (sum / count) as f32);
    }
    parallel::chunks2(
        means,
        variances,
        SIDE_BY_SIDE,
        #[inline(always)]
        |piece, means, variances| {
            let (first, width) = (piece * SIDE_BY_SIDE, means.len());
            let mut mean = [0.0f64; SIDE_BY_SIDE];
            p.positions_of(first, |at| {
                (0..width).for_each(|c| mean[c] += f64::from(x[at + c * apart]));
            });
            mean.iter_mut().for_each(|sum| *sum /= count);
            let mut square = [0.0f64; SIDE_BY_SIDE];
            p.positions_of(first, |at| {
                (0..width).for_each(|c| square[c] += (f64::from(x[at + c * apart]) - mean[c]).powi(2));
            });
            for c in 0..width {
                (means[c], variances[c]) = (mean[c] as f32, (square[c] / count) as f32);
            }
        },
    );
}

pub fn apply(call: &mut Call) {
    let (p, x, stats) = (call.params::<BatchNormParams>(), call.read::<f32>(0), call.read::<f32>(1));
    let (w, b) = (call.read::<f32>(2), call.read::<f32>(3));
    let (means, variances) = stats.split_at(p.channels as usize);
    let scales = scales(&p, variances, w);
    let last = call.bindings() - 1;
    let other = (last == 5).then(|| call.read::<f32>(4));
    let is_held = p.low > f32::NEG_INFINITY || p.high < f32::INFINITY;
    parallel::chunks(
        call.write::<f32>(last),
        parallel::GRAIN,
        #[inline(always)]
        |piece, y| {
            let start = piece * parallel::GRAIN;
            p.stretches(start, y.len(), |at, count, c, by| {
                let (y, x) = (&mut y[at..at + count], &x[start + at..][..count]);
                if by == 0 {
                    let (mean, scale, b) = (means[c], scales[c], b[c]);
                    return y.iter_mut().zip(x).for_each(|(y, x)| *y = (x - mean) * scale + b);
                }
                let parts = means[c..].iter().zip(&scales[c..]).zip(&b[c..]);
                for ((y, x), ((mean, scale), b)) in y.iter_mut().zip(x).zip(parts) {
                    *y = (x - mean) * scale + b;
                }
            });
            // The piece is in the cache still.
            if let Some(other) = other {
                y.iter_mut().zip(&other[start..]).for_each(|(y, other)| *y += other);
            }
            if is_held {
                y.iter_mut().for_each(|y| *y = held(*y, p.low, p.high));
            }
        },
    );
}

pub fn sums(call: &mut Call) {
    let (p, x, dy, stats) =
        (call.params::<BatchNormParams>(), call.read::<f32>(0), call.read::<f32>(1), call.read::<f32>(2));
    let channels = p.channels as usize;
    let (weighted, plain) = call.write::<f32>(3).split_at_mut(channels);
    let apart = p.strides[1] as usize;
    if p.is_by_channel() {
        return parallel::chunks2(
            weighted,
            plain,
            1,
            #[inline(always)]
            |channel, weighted, plain| {
                let mean = f64::from(stats[channel]);
                let scale = 1.0 / (f64::from(stats[channels + channel]) + f64::from(p.eps)).sqrt();
                let (mut by_value, mut alone) = (0.0, 0.0);
                for (x, dy) in p.rows_of(channel, x).zip(p.rows_of(channel, dy)) {
                    by_value +=
                        fold2(x, dy, 0.0, |sum, x, dy| sum + f64::from(dy) * (f64::from(x) - mean), |a, b| a + b);
                    alone += sum(dy, f64::from);
                }
                (weighted[0], plain[0]) = ((by_value * scale) as f32, alone as f32);
            },
        );
    }
    if p.is_by_row() {
        let (means, variances) = stats.split_at(channels);
        let totals = p.sums_by_row(
            #[inline(always)]
            |rows, [by_value, alone]: [&mut [f64]; 2]| {
                for (x, dy) in x[rows.clone()].chunks(channels).zip(dy[rows].chunks(channels)) {
                    let sums = by_value.iter_mut().zip(&mut *alone);
                    for ((((by_value, alone), x), dy), mean) in sums.zip(x).zip(dy).zip(means) {
                        *by_value += f64::from(*dy) * (f64::from(*x) - f64::from(*mean));
                        *alone += f64::from(*dy);
                    }
                }
            },
        );
        for (c, weighted) in weighted.iter_mut().enumerate() {
            *weighted = (totals[c] / (f64::from(variances[c]) + f64::from(p.eps)).sqrt()) as f32;
        }
        return plain.iter_mut().zip(&totals[channels..]).for_each(|(to, sum)| *to = *sum as f32);
    }
    parallel::chunks2(
        weighted,
        plain,
        SIDE_BY_SIDE,
        #[inline(always)]
        |piece, weighted, plain| {
            let (first, width) = (piece * SIDE_BY_SIDE, plain.len());
            let (mut mean, mut scale) = ([0.0f64; SIDE_BY_SIDE], [0.0f64; SIDE_BY_SIDE]);
            for c in 0..width {
                mean[c] = f64::from(stats[first + c]);
                scale[c] = 1.0 / (f64::from(stats[channels + first + c]) + f64::from(p.eps)).sqrt();
            }
            let (mut by_value, mut alone) = ([0.0f64; SIDE_BY_SIDE], [0.0f64; SIDE_BY_SIDE]);
            p.positions_of(first, |at| {
                for c in 0..width {
                    let (x, dy) = (f64::from(x[at + c * apart]), f64::from(dy[at + c * apart]));
                    by_value[c] += dy * (x - mean[c]) * scale[c];
                    alone[c] += dy;
                }
            });
            for c in 0..width {
                (weighted[c], plain[c]) = (by_value[c] as f32, alone[c] as f32);
            }
        },
    );
}

pub fn backward(call: &mut Call) {
    let (p, x, dy, stats) =
        (call.params::<BatchNormParams>(), call.read::<f32>(0), call.read::<f32>(1), call.read::<f32>(2));
    let (sums, w) = (call.read::<f32>(3), call.read::<f32>(4));
    let (channels, count) = (p.channels as usize, p.count() as f32);
    let ((means, variances), (weighted, plain)) = (stats.split_at(channels), sums.split_at(channels));
    let scales = scales(&p, variances, w);
    let of_value = |c: usize| weighted[c] / count / (variances[c] + p.eps).sqrt();
    let (of_value, of_one): (Vec<f32>, Vec<f32>) = (0..channels).map(|c| (of_value(c), plain[c] / count)).unzip();
    parallel::chunks(
        call.write::<f32>(5),
        parallel::GRAIN,
        #[inline(always)]
        |piece, dx| {
            let start = piece * parallel::GRAIN;
            p.stretches(start, dx.len(), |at, len, c, by| {
                let (x, dy) = (&x[start + at..][..len], &dy[start + at..][..len]);
                let each = dx[at..at + len].iter_mut().zip(x).zip(dy);
                if by == 0 {
                    let (scale, mean, of_value, of_one) = (scales[c], means[c], of_value[c], of_one[c]);
                    return each.for_each(|((dx, x), dy)| *dx = scale * (dy - of_one - (x - mean) * of_value));
                }
                let parts = scales[c..].iter().zip(&means[c..]).zip(&of_value[c..]).zip(&of_one[c..]);
                for (((dx, x), dy), (((scale, mean), of_value), of_one)) in each.zip(parts) {
                    *dx = scale * (dy - of_one - (x - mean) * of_value);
                }
            });
        },
    );
}
