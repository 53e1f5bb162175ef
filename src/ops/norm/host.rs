//! Batch normalisation on the host: in order of memory, on all cores.

use super::BatchNormParams;
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

pub fn stats(call: &mut Call) {
    let (p, x) = (call.params::<BatchNormParams>(), call.read::<f32>(0));
    let (means, variances) = call.write::<f32>(1).split_at_mut(p.channels as usize);
    let (count, apart) = (p.count() as f64, p.strides[1] as usize);
    parallel::chunks2(means, variances, SIDE_BY_SIDE, |piece, means, variances| {
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
    });
}

pub fn apply(call: &mut Call) {
    let (p, x, stats) = (call.params::<BatchNormParams>(), call.read::<f32>(0), call.read::<f32>(1));
    let (w, b) = (call.read::<f32>(2), call.read::<f32>(3));
    let (means, variances) = stats.split_at(p.channels as usize);
    parallel::chunks(call.write::<f32>(4), parallel::GRAIN, |piece, y| {
        let start = piece * parallel::GRAIN;
        p.stretches(start, y.len(), |at, count, channel, by| {
            for (k, (y, x)) in y[at..at + count].iter_mut().zip(&x[start + at..]).enumerate() {
                let c = channel + k * by;
                *y = (x - means[c]) / (variances[c] + p.eps).sqrt() * w[c] + b[c];
            }
        });
    });
}

pub fn sums(call: &mut Call) {
    let (p, x, dy, stats) =
        (call.params::<BatchNormParams>(), call.read::<f32>(0), call.read::<f32>(1), call.read::<f32>(2));
    let channels = p.channels as usize;
    let (weighted, plain) = call.write::<f32>(3).split_at_mut(channels);
    let apart = p.strides[1] as usize;
    parallel::chunks2(weighted, plain, SIDE_BY_SIDE, |piece, weighted, plain| {
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
    });
}

pub fn backward(call: &mut Call) {
    let (p, x, dy, stats) =
        (call.params::<BatchNormParams>(), call.read::<f32>(0), call.read::<f32>(1), call.read::<f32>(2));
    let (sums, w) = (call.read::<f32>(3), call.read::<f32>(4));
    let (channels, count) = (p.channels as usize, p.count() as f32);
    let ((means, variances), (weighted, plain)) = (stats.split_at(channels), sums.split_at(channels));
    parallel::chunks(call.write::<f32>(5), parallel::GRAIN, |piece, dx| {
        let start = piece * parallel::GRAIN;
        p.stretches(start, dx.len(), |at, len, channel, by| {
            let (x, dy) = (&x[start + at..][..len], &dy[start + at..][..len]);
            for (k, dx) in dx[at..at + len].iter_mut().enumerate() {
                let c = channel + k * by;
                let scale = 1.0 / (variances[c] + p.eps).sqrt();
                let normalised = (x[k] - means[c]) * scale;
                *dx = w[c] * scale * (dy[k] - plain[c] / count - normalised * weighted[c] / count);
            }
        });
    });
}
