//! What the pooling kernels mean, on the host.

use super::Params;
use crate::kernel::{Call, parallel};

pub fn max(call: &mut Call) {
    let (p, x) = (call.params::<Params>(), call.read::<f32>(0));
    let (y, at) = (call.write::<f32>(1), call.write::<i32>(2));
    let (channels, out_h) = (p.channels as usize, p.out[0] as usize);
    let take = |y: &mut f32, at: &mut i32, value: f32, place: i32| {
        let better = value > *y || value.is_nan();
        (*y, *at) = if better { (value, place) } else { (*y, *at) };
    };
    // One row of one image's output at a time.
    parallel::chunks2(y, at, p.out[1] as usize * channels, |row, y, at| {
        let (n, oh) = (row / out_h, row % out_h);
        for (ow, (y, at)) in y.chunks_mut(channels).zip(at.chunks_mut(channels)).enumerate() {
            let mut first = true;
            for h in p.taps(0, oh) {
                for w in p.taps(1, ow) {
                    let (start, place) = (p.input([n, h, w, 0]), (h * p.size[1] as usize + w) as i32);
                    let pixels = x[start..].iter().step_by(p.x_c.max(1) as usize);
                    match (first, p.x_c) {
                        (true, _) => {
                            at.fill(place);
                            y.iter_mut().zip(pixels).for_each(|(y, value)| *y = *value);
                        }
                        // Neighbours, several at a time.
                        (_, 1) => {
                            let pixels = &x[start..][..channels];
                            y.iter_mut().zip(&mut *at).zip(pixels).for_each(|((y, at), &v)| take(y, at, v, place));
                        }
                        _ => y.iter_mut().zip(&mut *at).zip(pixels).for_each(|((y, at), &v)| take(y, at, v, place)),
                    }
                    first = false;
                }
            }
        }
    });
}

pub fn max_backward(call: &mut Call) {
    let (p, dy, at) = (call.params::<Params>(), call.read::<f32>(0), call.read::<i32>(1));
    let (channels, width) = (p.channels as usize, p.size[1] as usize);
    let out = [p.out[0] as usize, p.out[1] as usize];
    if !p.windows_tile() {
        return parallel::chunks(call.write::<f32>(2), p.size[0] as usize * width * channels, |n, dx| {
            dx.fill(0.0);
            let image = n * out[0] * out[1] * channels..(n + 1) * out[0] * out[1] * channels;
            for (i, (dy, at)) in dy[image.clone()].iter().zip(&at[image]).enumerate() {
                dx[*at as usize * channels + i % channels] += dy;
            }
        });
    }
    // Each pixel has one window: a row of pixels at a time asks its windows.
    parallel::chunks(call.write::<f32>(2), width * channels, |row, dx| {
        let (n, h) = (row / p.size[0] as usize, row % p.size[0] as usize);
        let windows = (n * out[0] + h / p.kernel[0] as usize) * out[1] * channels;
        for (w, dx) in dx.chunks_mut(channels).enumerate() {
            let from = windows + w / p.kernel[1] as usize * channels;
            let place = (h * width + w) as i32;
            for ((dx, dy), at) in dx.iter_mut().zip(&dy[from..][..channels]).zip(&at[from..][..channels]) {
                *dx = if *at == place { 0.0 + dy } else { 0.0 };
            }
        }
    });
}

pub fn avg(call: &mut Call) {
    let (p, x) = (call.params::<Params>(), call.read::<f32>(0));
    parallel::fill(call.write::<f32>(1), |i| {
        let [n, oh, ow, c] = p.place(i, p.out);
        let row = |h| p.taps(1, ow).map(move |w| f64::from(x[p.input([n, h, w, c])])).sum::<f64>();
        (p.taps(0, oh).map(row).sum::<f64>() / p.divisor(oh, ow)) as f32
    });
}

pub fn avg_backward(call: &mut Call) {
    let (p, dy) = (call.params::<Params>(), call.read::<f32>(0));
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
