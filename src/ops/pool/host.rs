//! Pooling on the host: rows of pixels at a time, on all cores.

use super::PoolParams;
use crate::kernel::{Call, parallel};

pub fn max(call: &mut Call) {
    let (p, x) = (call.params::<PoolParams>(), call.read::<f32>(0));
    let (y, at) = (call.write::<f32>(1), call.write::<i32>(2));
    let (channels, out_h) = (p.channels as usize, p.out[0] as usize);
    let take = |y: &mut f32, at: &mut i32, value: f32, place: i32| {
        let better = value > *y || value.is_nan();
        (*y, *at) = if better { (value, place) } else { (*y, *at) };
    };
    if p.y[1] != 1 {
        // The results in another order: as images of channels, one image at a time.
        return max_elsewhere(&p, x, y, at);
    }
    // One row of one image's output at a time.
    parallel::chunks2(y, at, p.out[1] as usize * channels, |row, y, at| {
        let (n, oh) = (row / out_h, row % out_h);
        for (ow, (y, at)) in y.chunks_mut(channels).zip(at.chunks_mut(channels)).enumerate() {
            let mut first = true;
            // What a window gives that lies in the padding as a whole.
            y.fill(f32::NEG_INFINITY);
            at.fill(-1);
            for h in p.taps(0, oh) {
                for w in p.taps(1, ow) {
                    let (start, place) = (p.input([n, h, w, 0]), (h * p.size[1] as usize + w) as i32);
                    // Channels may be one that is repeated, by a step of 0.
                    let pixels = (0..channels).map(|c| x[start + c * p.x_c as usize]);
                    match (first, p.x_c) {
                        (true, _) => {
                            at.fill(place);
                            y.iter_mut().zip(pixels).for_each(|(y, value)| *y = value);
                        }
                        // Neighbours, several at a time.
                        (_, 1) => {
                            let pixels = &x[start..][..channels];
                            y.iter_mut().zip(&mut *at).zip(pixels).for_each(|((y, at), &v)| take(y, at, v, place));
                        }
                        _ => y.iter_mut().zip(&mut *at).zip(pixels).for_each(|((y, at), v)| take(y, at, v, place)),
                    }
                    first = false;
                }
            }
        }
    });
}

/// The largest of each window to strides of its own; images lie one after another.
fn max_elsewhere(p: &PoolParams, x: &[f32], y: &mut [f32], at: &mut [i32]) {
    let (channels, out_w) = (p.channels as usize, p.out[1] as usize);
    parallel::chunks2(y, at, p.out[0] as usize * out_w * channels, |n, y, at| {
        for (i, at) in at.iter_mut().enumerate() {
            let (oh, ow, c) = (i / channels / out_w, i / channels % out_w, i % channels);
            let mut best = None;
            for h in p.taps(0, oh) {
                for w in p.taps(1, ow) {
                    let value = x[p.input([n, h, w, c])];
                    if best.is_none_or(|(best, _)| value > best || value.is_nan()) {
                        best = Some((value, (h * p.size[1] as usize + w) as i32));
                    }
                }
            }
            let (value, place) = best.unwrap_or((f32::NEG_INFINITY, -1));
            (y[p.output_at(p.y, 0, oh, ow) + c * p.y[1] as usize], *at) = (value, place);
        }
    });
}

/// Whether a gradient passes a relu that gave y.
fn relu_passes(y: f32) -> bool {
    y > 0.0 || y.is_nan()
}

pub fn max_backward(call: &mut Call) {
    let (p, dy, at) = (call.params::<PoolParams>(), call.read::<f32>(0), call.read::<i32>(1));
    let is_relu = p.relu == 1;
    let y = if is_relu { call.read::<f32>(2) } else { &[] };
    let dx = call.write::<f32>(if is_relu { 3 } else { 2 });
    let (channels, width) = (p.channels as usize, p.size[1] as usize);
    let out = [p.out[0] as usize, p.out[1] as usize];
    // What flows to the largest of each channel of an output, and whether the relu there lets it pass.
    let flows = |n: usize, oh: usize, ow: usize| {
        let (from, to) = (p.output_at(p.dy, n, oh, ow), p.output_at(p.y, n, oh, ow));
        // Steps may be 0, where one value is that of all channels.
        let passes = move |c: usize| !is_relu || relu_passes(y[to + c * p.y[1] as usize]);
        (0..channels).map(move |c| (dy[from + c * p.dy[1] as usize], passes(c)))
    };
    if !p.windows_tile() {
        return parallel::chunks(dx, p.size[0] as usize * width * channels, |n, dx| {
            dx.fill(0.0);
            let image = n * out[0] * out[1] * channels..(n + 1) * out[0] * out[1] * channels;
            let outputs = || at[image.clone()].chunks(channels).enumerate().filter(|(_, at)| at[0] >= 0);
            for (i, at) in outputs() {
                let flows = flows(n, i / out[1], i % out[1]);
                at.iter().enumerate().zip(flows).for_each(|((c, at), (dy, _))| dx[*at as usize * channels + c] += dy);
            }
            for (i, at) in outputs().filter(|_| is_relu) {
                let flows = flows(n, i / out[1], i % out[1]);
                let stopped = at.iter().enumerate().zip(flows).filter(|(_, (_, passes))| !passes);
                stopped.for_each(|((c, at), _)| dx[*at as usize * channels + c] = 0.0);
            }
        });
    }
    // Each pixel has one window: a row of pixels at a time asks its windows.
    parallel::chunks(dx, width * channels, |row, dx| {
        let (n, h) = (row / p.size[0] as usize, row % p.size[0] as usize);
        let (oh, kernel) = (h / p.kernel[0] as usize, p.kernel[1] as usize);
        for (w, dx) in dx.chunks_mut(channels).enumerate() {
            let from = ((n * out[0] + oh) * out[1] + w / kernel) * channels;
            let place = (h * width + w) as i32;
            let each = dx.iter_mut().zip(flows(n, oh, w / kernel)).zip(&at[from..][..channels]);
            each.for_each(|((dx, (dy, passes)), at)| *dx = if *at == place && passes { 0.0 + dy } else { 0.0 });
        }
    });
}

pub fn avg(call: &mut Call) {
    let (p, x) = (call.params::<PoolParams>(), call.read::<f32>(0));
    parallel::fill(call.write::<f32>(1), |i| {
        let [n, oh, ow, c] = p.place(i, p.out);
        let row = |h| p.taps(1, ow).map(move |w| f64::from(x[p.input([n, h, w, c])])).sum::<f64>();
        (p.taps(0, oh).map(row).sum::<f64>() / p.divisor(oh, ow)) as f32
    });
}

pub fn avg_backward(call: &mut Call) {
    let (p, dy) = (call.params::<PoolParams>(), call.read::<f32>(0));
    let (channels, width) = (p.channels as usize, p.size[1] as usize);
    let outputs = (p.out[0] * p.out[1]) as usize * channels;
    parallel::chunks(call.write::<f32>(1), (p.size[0] * p.size[1]) as usize * channels, |n, dx| {
        dx.fill(0.0);
        for (i, dy) in dy[n * outputs..(n + 1) * outputs].iter().enumerate() {
            let [_, oh, ow, c] = p.place(i, p.out);
            let share = (f64::from(*dy) / p.divisor(oh, ow)) as f32;
            for h in p.taps(0, oh) {
                for w in p.taps(1, ow) {
                    dx[(h * width + w) * channels + c] += share;
                }
            }
        }
    });
}
