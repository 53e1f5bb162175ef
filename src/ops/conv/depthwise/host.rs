//! Depthwise convolution on the host: rows of results on all cores, with the channels as neighbours.

use super::ConvParams;
use crate::kernel::functions::relu;
use crate::kernel::{Call, parallel};

/// The sizes along one dimension, for the host path.
#[derive(Clone, Copy)]
struct Line {
    pixels: usize,
    results: usize,
    taps: usize,
    stride: usize,
    padding: usize,
    dilation: usize,
}

impl Line {
    fn of(p: &ConvParams) -> [Line; 2] {
        let line = |words: [u32; 6]| {
            let [pixels, results, taps, stride, padding, dilation] = words.map(|word| word as usize);
            Line { pixels, results, taps, stride, padding, dilation }
        };
        [
            line([p.height, p.out_h, p.kernel_h, p.stride_h, p.padding_h, p.dilation_h]),
            line([p.width, p.out_w, p.kernel_w, p.stride_w, p.padding_w, p.dilation_w]),
        ]
    }

    /// The pixel that a result sees by a tap.
    fn pixel(&self, result: usize, tap: usize) -> Option<usize> {
        (result * self.stride + tap * self.dilation).checked_sub(self.padding).filter(|&at| at < self.pixels)
    }

    /// The result that sees a pixel by a tap.
    fn result(&self, pixel: usize, tap: usize) -> Option<usize> {
        let from = (pixel + self.padding).checked_sub(tap * self.dilation)?;
        (from.is_multiple_of(self.stride) && from / self.stride < self.results).then(|| from / self.stride)
    }

    /// The results that see a pixel by a tap, each with its pixel.
    fn pairs(self, tap: usize) -> impl Iterator<Item = (usize, usize)> {
        (0..self.results).filter_map(move |result| self.pixel(result, tap).map(|pixel| (result, pixel)))
    }
}

/// Channels whose sums stay in registers.
const LANES: usize = 32;

/// What meets at one place: rows and columns, each as a tap and a place on the other side.
#[derive(Clone, Copy)]
struct Met<'a> {
    rows: &'a [(usize, usize)],
    columns: &'a [(usize, usize)],
    /// Taps of a row of the kernel, and places of a row of the other side.
    wide: [usize; 2],
}

impl Met<'_> {
    /// Adds x[place] * w[tap], over channels, for all taps in order. The sums stay in registers.
    #[inline(always)]
    fn add_up(self, sums: &mut [f32], x: &[f32], w: &[f32]) {
        let c = sums.len();
        let mut blocks = sums.chunks_exact_mut(LANES);
        for (at, sums) in blocks.by_ref().enumerate() {
            let mut own = [0.0f32; LANES];
            own.copy_from_slice(sums);
            for (kh, line) in self.rows {
                let (x, w) = (&x[line * self.wide[1] * c..], &w[kh * self.wide[0] * c..]);
                for (kw, place) in self.columns {
                    let (x, w) = (&x[place * c + at * LANES..][..LANES], &w[kw * c + at * LANES..][..LANES]);
                    for ((own, x), w) in own.iter_mut().zip(x).zip(w) {
                        *own += x * w;
                    }
                }
            }
            sums.copy_from_slice(&own);
        }
        let rest = blocks.into_remainder();
        if rest.is_empty() {
            return;
        }
        for (kh, line) in self.rows {
            for (kw, place) in self.columns {
                let x = &x[(line * self.wide[1] + place + 1) * c - rest.len()..];
                let w = &w[(kh * self.wide[0] + kw + 1) * c - rest.len()..];
                rest.iter_mut().zip(x).zip(w).for_each(|((sum, x), w)| *sum += x * w);
            }
        }
    }

    /// The elements of each tap and of the place that it meets, in units of a pixel.
    #[inline(always)]
    fn pairs(self) -> impl Iterator<Item = (usize, usize)> {
        self.rows.iter().flat_map(move |(kh, line)| {
            self.columns.iter().map(move |(kw, place)| (kh * self.wide[0] + kw, line * self.wide[1] + place))
        })
    }
}

/// For each of `places`, which `met` asks about, the taps of a line that meet another place, with that place.
fn meetings(places: usize, taps: usize, met: impl Fn(usize, usize) -> Option<usize>) -> Vec<Vec<(usize, usize)>> {
    let of = |place: usize| (0..taps).filter_map(|tap| met(place, tap).map(|at| (tap, at))).collect();
    (0..places).map(of).collect()
}

/// The weight [o, taps] as [taps, o].
fn turn(w: &[f32], taps: usize, turned: &mut [f32]) {
    let out = w.len() / taps.max(1);
    for (o, w) in w.chunks_exact(taps).enumerate() {
        w.iter().enumerate().for_each(|(tap, w)| turned[tap * out + o] = *w);
    }
}

pub fn forward(call: &mut Call) {
    let (p, x, w) = (call.params::<ConvParams>(), call.read::<f32>(0), call.read::<f32>(1));
    let ([down, right], c, out) = (Line::of(&p), p.channels as usize, p.out_channels as usize);
    let (scratch, bias) = (call.scratch(), call.read::<f32>(2));
    let y = call.write::<f32>(3);
    scratch.with(w.len(), |turned| {
        turn(w, down.taps * right.taps, turned);
        let turned = &*turned;
        let columns = meetings(right.results, right.taps, |ow, kw| right.pixel(ow, kw));
        let rows = meetings(down.results, down.taps, |oh, kh| down.pixel(oh, kh));
        parallel::chunks(
            y,
            right.results * out,
            #[inline(always)]
            |row, y| {
                for y in y.chunks_exact_mut(out) {
                    if p.bias == 1 { y.copy_from_slice(bias) } else { y.fill(0.0) }
                }
                let (n, oh) = (row / down.results, row % down.results);
                let x = &x[n * down.pixels * right.pixels * c..];
                for (columns, y) in columns.iter().zip(y.chunks_exact_mut(out)) {
                    let met = Met { rows: &rows[oh], columns, wide: [right.taps, right.pixels] };
                    if c == out {
                        met.add_up(y, x, turned);
                        continue;
                    }
                    let each = out / c;
                    for (tap, pixel) in met.pairs() {
                        let (x, w) = (&x[pixel * c..][..c], &turned[tap * out..][..out]);
                        for ((y, x), w) in y.chunks_exact_mut(each).zip(x).zip(w.chunks_exact(each)) {
                            y.iter_mut().zip(w).for_each(|(y, w)| *y += x * w);
                        }
                    }
                }
                if p.relu == 1 {
                    y.iter_mut().for_each(|y| *y = relu(*y));
                }
            },
        );
    });
}

pub fn input(call: &mut Call) {
    let (p, dy, w) = (call.params::<ConvParams>(), call.read::<f32>(0), call.read::<f32>(1));
    let ([down, right], c, out) = (Line::of(&p), p.channels as usize, p.out_channels as usize);
    let scratch = call.scratch();
    let dx = call.write::<f32>(2);
    scratch.with(w.len(), |turned| {
        turn(w, down.taps * right.taps, turned);
        let turned = &*turned;
        let columns = meetings(right.pixels, right.taps, |column, kw| right.result(column, kw));
        let rows = meetings(down.pixels, down.taps, |h, kh| down.result(h, kh));
        parallel::chunks(
            dx,
            right.pixels * c,
            #[inline(always)]
            |row, dx| {
                dx.fill(0.0);
                let (n, h) = (row / down.pixels, row % down.pixels);
                let dy = &dy[n * down.results * right.results * out..];
                for (columns, dx) in columns.iter().zip(dx.chunks_exact_mut(c)) {
                    let met = Met { rows: &rows[h], columns, wide: [right.taps, right.results] };
                    if c == out {
                        met.add_up(dx, dy, turned);
                        continue;
                    }
                    let each = out / c;
                    for (tap, result) in met.pairs() {
                        let (dy, w) = (&dy[result * out..][..out], &turned[tap * out..][..out]);
                        for ((dx, dy), w) in dx.iter_mut().zip(dy.chunks_exact(each)).zip(w.chunks_exact(each)) {
                            *dx += dy.iter().zip(w).map(|(dy, w)| dy * w).sum::<f32>();
                        }
                    }
                }
            },
        );
    });
}

/// Parts of the rows of all images whose sums are taken apart: a number that no machine changes.
const PART_COUNT: usize = 8;

pub fn weight(call: &mut Call) {
    let (p, x, dy) = (call.params::<ConvParams>(), call.read::<f32>(0), call.read::<f32>(1));
    let ([down, right], c, out) = (Line::of(&p), p.channels as usize, p.out_channels as usize);
    let (scratch, dw, db) = (call.scratch(), call.write::<f32>(2), call.write::<f32>(3));
    let (taps, rows) = (down.taps * right.taps, p.batch as usize * down.results);
    let (each, whole) = (rows.div_ceil(PART_COUNT).max(1), (taps + 1) * out);
    let parts = rows.div_ceil(each).max(1);
    // The sums of a part, [taps + 1, o], in two halves that keep the digits of f64.
    scratch.with(parts * 2 * whole, |sums| {
        parallel::chunks(sums, 2 * whole, |part, sums| {
            sums.fill(0.0);
            let (high, low) = sums.split_at_mut(whole);
            scratch.with(out, |row_sum| {
                for row in part * each..((part + 1) * each).min(rows) {
                    let (n, oh) = (row / down.results, row % down.results);
                    let dy = &dy[row * right.results * out..][..right.results * out];
                    let mut keep = |tap: usize, sum: &[f32]| {
                        let (high, low) = (&mut high[tap * out..][..out], &mut low[tap * out..][..out]);
                        for ((high, low), sum) in high.iter_mut().zip(low).zip(sum) {
                            let total = f64::from(*high) + f64::from(*low) + f64::from(*sum);
                            *high = total as f32;
                            *low = (total - f64::from(*high)) as f32;
                        }
                    };
                    row_sum.fill(0.0);
                    for dy in dy.chunks_exact(out) {
                        row_sum.iter_mut().zip(dy).for_each(|(sum, dy)| *sum += dy);
                    }
                    keep(taps, row_sum);
                    for tap in 0..taps {
                        let Some(h) = down.pixel(oh, tap / right.taps) else { continue };
                        row_sum.fill(0.0);
                        for (ow, column) in right.pairs(tap % right.taps) {
                            let x = &x[((n * down.pixels + h) * right.pixels + column) * c..][..c];
                            let dy = &dy[ow * out..][..out];
                            if c == out {
                                row_sum.iter_mut().zip(dy).zip(x).for_each(|((sum, dy), x)| *sum += dy * x);
                                continue;
                            }
                            let multiple = out / c;
                            let results = row_sum.chunks_exact_mut(multiple).zip(dy.chunks_exact(multiple));
                            for ((sum, dy), x) in results.zip(x) {
                                sum.iter_mut().zip(dy).for_each(|(sum, dy)| *sum += dy * x);
                            }
                        }
                        keep(tap, row_sum);
                    }
                }
            });
        });
        let sums = &*sums;
        let total = |at: usize| {
            let halves = (0..parts).flat_map(|part| [0, whole].map(|half| sums[part * 2 * whole + half + at]));
            halves.map(f64::from).sum::<f64>() as f32
        };
        dw.iter_mut().enumerate().for_each(|(at, dw)| *dw = total(at % taps * out + at / taps));
        db.iter_mut().enumerate().for_each(|(o, db)| *db = total(taps * out + o));
    });
}
