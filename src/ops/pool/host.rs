//! Pooling on the host: a row of outputs at a time, all channels of a pixel side by side.

use super::PoolParams;
use crate::dtype::{DType, Element};
use crate::kernel::{Call, parallel};

/// A row of pixels, [w, c].
#[derive(Clone, Copy)]
struct Row {
    first: usize,
    channel: usize,
    pixel: usize,
    pixels: usize,
    channels: usize,
}

impl Row {
    /// Elements of memory to turn it in; none where channels are neighbours already.
    fn turned(&self) -> usize {
        let is_there = (self.channel == 1 || self.channels == 1) && self.pixel == self.channels;
        if is_there { 0 } else { self.pixels * self.channels }
    }

    /// Its elements: as they lie, or turned in memory of that many.
    #[inline(always)]
    fn of<'a>(&self, x: &'a [f32], turned: &'a mut [f32]) -> &'a [f32] {
        let len = self.pixels * self.channels;
        if turned.is_empty() {
            return &x[self.first..][..len];
        }
        for c in 0..self.channels {
            let from = self.first + c * self.channel;
            for (w, to) in turned[c..].iter_mut().step_by(self.channels).enumerate() {
                *to = x[from + w * self.pixel];
            }
        }
        turned
    }
}

impl PoolParams {
    /// A row of the images.
    fn pixels(&self, n: usize, h: usize) -> Row {
        let [channel, pixel] = [self.x_c, self.x[1]].map(|step| step as usize);
        let [pixels, channels] = [self.size[1], self.channels].map(|size| size as usize);
        Row { first: self.input([n, h, 0, 0]), channel, pixel, pixels, channels }
    }

    /// A row of the results, which lie by `strides`.
    fn outputs(&self, strides: [u32; 4], n: usize, oh: usize) -> Row {
        let [channel, pixel] = [strides[1], strides[3]].map(|step| step as usize);
        let [pixels, channels] = [self.out[1], self.channels].map(|size| size as usize);
        Row { first: self.output_at(strides, n, oh, 0), channel, pixel, pixels, channels }
    }
}

/// How the place of a largest element in its window is kept; -1 is none.
trait Place: Element + PartialEq {
    fn kept(place: i32) -> Self;
    fn index(self) -> usize;
}

impl Place for u8 {
    #[inline(always)]
    fn kept(place: i32) -> u8 {
        place as u8
    }
    #[inline(always)]
    fn index(self) -> usize {
        self.into()
    }
}

impl Place for i32 {
    #[inline(always)]
    fn kept(place: i32) -> i32 {
        place
    }
    #[inline(always)]
    fn index(self) -> usize {
        self as usize
    }
}

pub fn max(call: &mut Call) {
    match call.dtype(2) {
        DType::U8 => max_placed::<u8>(call),
        _ => max_placed::<i32>(call),
    }
}

fn max_placed<P: Place>(call: &mut Call) {
    let (p, x, scratch) = (call.params::<PoolParams>(), call.read::<f32>(0), call.scratch());
    let (y, at) = (call.write::<f32>(1), call.write::<P>(2));
    let (channels, out_h, wide) = (p.channels as usize, p.out[0] as usize, p.kernel[1] as usize);
    if p.y[1] != 1 {
        // The results in another order: as images of channels, one image at a time.
        return max_elsewhere(&p, x, y, at);
    }
    let row = p.out[1] as usize * channels;
    parallel::chunks2(
        y,
        at,
        row,
        #[inline(always)]
        |row, y, at| {
            let (n, oh) = (row / out_h, row % out_h);
            // What a window gives that lies in the padding as a whole.
            y.fill(f32::NEG_INFINITY);
            scratch.with(
                p.pixels(n, 0).turned() + y.len(),
                #[inline(always)]
                |memory| {
                    let (places, turned) = memory.split_at_mut(y.len());
                    let places: &mut [i32] = bytemuck::cast_slice_mut(places);
                    places.fill(-1);
                    for (kh, h) in p.places(0, oh) {
                        let pixels = p.pixels(n, h).of(x, turned);
                        for (ow, (y, places)) in y.chunks_mut(channels).zip(places.chunks_mut(channels)).enumerate() {
                            for (kw, w) in p.places(1, ow) {
                                let place = (kh * wide + kw) as i32;
                                let pixel = &pixels[w * channels..][..channels];
                                for ((y, at), &value) in y.iter_mut().zip(&mut *places).zip(pixel) {
                                    let better = value > *y || value.is_nan() || *at < 0;
                                    (*y, *at) = if better { (value, place) } else { (*y, *at) };
                                }
                            }
                        }
                    }
                    at.iter_mut().zip(&*places).for_each(|(at, place)| *at = P::kept(*place));
                },
            );
        },
    );
}

/// The largest of each window to strides of its own; images lie one after another.
fn max_elsewhere<P: Place>(p: &PoolParams, x: &[f32], y: &mut [f32], at: &mut [P]) {
    let (channels, out_w, wide) = (p.channels as usize, p.out[1] as usize, p.kernel[1] as usize);
    parallel::chunks2(y, at, p.out[0] as usize * out_w * channels, |n, y, at| {
        for (i, at) in at.iter_mut().enumerate() {
            let (oh, ow, c) = (i / channels / out_w, i / channels % out_w, i % channels);
            let mut best = None;
            for (kh, h) in p.places(0, oh) {
                for (kw, w) in p.places(1, ow) {
                    let value = x[p.input([n, h, w, c])];
                    if best.is_none_or(|(best, _)| value > best || value.is_nan()) {
                        best = Some((value, (kh * wide + kw) as i32));
                    }
                }
            }
            let (value, place) = best.unwrap_or((f32::NEG_INFINITY, -1));
            (y[p.output_at(p.y, 0, oh, ow) + c * p.y[1] as usize], *at) = (value, P::kept(place));
        }
    });
}

/// What the gradient of pooling reads of a row of outputs, [w, c].
struct Flows<'a, P> {
    p: PoolParams,
    dy: &'a [f32],
    at: &'a [P],
    /// The results, where a relu stood before the pooling.
    y: Option<&'a [f32]>,
}

impl<P: Place> Flows<'_, P> {
    /// Elements of memory for a row.
    fn memory(&self) -> usize {
        let stopped = self.y.map_or(0, |_| self.p.outputs(self.p.y, 0, 0).turned() + self.len());
        self.p.outputs(self.p.dy, 0, 0).turned() + stopped
    }

    fn len(&self) -> usize {
        self.p.out[1] as usize * self.p.channels as usize
    }

    /// The gradients of a row's results, 0 where the relu lets nothing pass, and the places they go to.
    #[inline(always)]
    fn row<'a>(&'a self, n: usize, oh: usize, memory: &'a mut [f32]) -> (&'a [f32], &'a [P]) {
        let (of_dy, of_y) = (self.p.outputs(self.p.dy, n, oh), self.p.outputs(self.p.y, n, oh));
        let (turned, memory) = memory.split_at_mut(of_dy.turned());
        let dy = of_dy.of(self.dy, turned);
        let at = &self.at[(n * self.p.out[0] as usize + oh) * self.len()..][..self.len()];
        let Some(y) = self.y else { return (dy, at) };
        let (turned, passed) = memory.split_at_mut(of_y.turned());
        for ((to, dy), y) in passed.iter_mut().zip(dy).zip(of_y.of(y, turned)) {
            *to = if *y > 0.0 || y.is_nan() { *dy } else { 0.0 };
        }
        (passed, at)
    }
}

pub fn max_backward(call: &mut Call) {
    match call.dtype(1) {
        DType::U8 => max_backward_placed::<u8>(call),
        _ => max_backward_placed::<i32>(call),
    }
}

fn max_backward_placed<P: Place>(call: &mut Call) {
    let (p, scratch) = (call.params::<PoolParams>(), call.scratch());
    let y = (p.relu == 1).then(|| call.read::<f32>(2));
    let flows = Flows { p, dy: call.read(0), at: call.read::<P>(1), y };
    let dx = call.write::<f32>(if p.relu == 1 { 3 } else { 2 });
    let (channels, width, rows) = (p.channels as usize, p.size[1] as usize, p.out[0] as usize);
    if !p.windows_tile() {
        let (wide, none) = (p.kernel[1] as usize, P::kept(-1));
        // The way from a window's start to each of its places.
        let way = |place: usize| place / wide * p.dilation[0] as usize * width + place % wide * p.dilation[1] as usize;
        let ways: Vec<usize> = (0..p.kernel[0] as usize * wide).map(way).collect();
        return parallel::chunks(dx, p.size[0] as usize * width * channels, |n, dx| {
            dx.fill(0.0);
            scratch.with(flows.memory(), |memory| {
                for oh in 0..rows {
                    let (dy, at) = flows.row(n, oh, memory);
                    for (ow, (dy, at)) in dy.chunks(channels).zip(at.chunks(channels)).enumerate() {
                        let start = p.start(0, oh) * width as isize + p.start(1, ow);
                        for (c, (dy, at)) in dy.iter().zip(at).enumerate().filter(|(_, (_, at))| **at != none) {
                            dx[start.wrapping_add_unsigned(ways[at.index()]) as usize * channels + c] += dy;
                        }
                    }
                }
            });
        });
    }
    // Each pixel has one window: the rows of pixels of a row of outputs at a time.
    let [tall, wide] = p.kernel.map(|size| size as usize);
    parallel::chunks(
        dx,
        tall * width * channels,
        #[inline(always)]
        |row, dx| {
            let (n, oh) = (row / rows, row % rows);
            scratch.with(
                flows.memory(),
                #[inline(always)]
                |memory| {
                    let (dy, at) = flows.row(n, oh, memory);
                    for (i, dx) in dx.chunks_mut(channels).enumerate() {
                        let w = i % width;
                        let (from, place) = (w / wide * channels, P::kept((i / width * wide + w % wide) as i32));
                        for ((dx, dy), at) in dx.iter_mut().zip(&dy[from..]).zip(&at[from..]) {
                            *dx = if *at == place { 0.0 + dy } else { 0.0 };
                        }
                    }
                },
            );
        },
    );
}

pub fn avg(call: &mut Call) {
    let (p, x, scratch) = (call.params::<PoolParams>(), call.read::<f32>(0), call.scratch());
    let (channels, out) = (p.channels as usize, p.out.map(|size| size as usize));
    parallel::chunks(
        call.write::<f32>(1),
        out[1] * channels,
        #[inline(always)]
        |row, y| {
            let (n, oh) = (row / out[0], row % out[0]);
            let mut sums = vec![0.0f64; y.len()];
            scratch.with(
                p.pixels(n, 0).turned(),
                #[inline(always)]
                |turned| {
                    for h in p.taps(0, oh) {
                        let pixels = p.pixels(n, h).of(x, turned);
                        for (ow, sums) in sums.chunks_mut(channels).enumerate() {
                            for w in p.taps(1, ow) {
                                let pixel = &pixels[w * channels..][..channels];
                                sums.iter_mut().zip(pixel).for_each(|(sum, x)| *sum += f64::from(*x));
                            }
                        }
                    }
                },
            );
            for (ow, (y, sums)) in y.chunks_mut(channels).zip(sums.chunks(channels)).enumerate() {
                let divisor = p.divisor(oh, ow);
                y.iter_mut().zip(sums).for_each(|(y, sum)| *y = (sum / divisor) as f32);
            }
        },
    );
}

pub fn avg_backward(call: &mut Call) {
    let (p, dy) = (call.params::<PoolParams>(), call.read::<f32>(0));
    let (channels, width, out) = (p.channels as usize, p.size[1] as usize, p.out.map(|size| size as usize));
    let image = (p.size[0] * p.size[1]) as usize * channels;
    parallel::chunks(
        call.write::<f32>(1),
        image,
        #[inline(always)]
        |n, dx| {
            dx.fill(0.0);
            let dy = &dy[n * out[0] * out[1] * channels..][..out[0] * out[1] * channels];
            for (i, dy) in dy.chunks(channels).enumerate() {
                let (oh, ow) = (i / out[1], i % out[1]);
                let share = (1.0 / p.divisor(oh, ow)) as f32;
                for h in p.taps(0, oh) {
                    for w in p.taps(1, ow) {
                        let dx = &mut dx[(h * width + w) * channels..][..channels];
                        dx.iter_mut().zip(dy).for_each(|(dx, dy)| *dx += dy * share);
                    }
                }
            }
        },
    );
}
