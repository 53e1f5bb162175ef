//! Convolution on the host: products with windows of the images, which are read where they lie.

mod columns;
mod pass;
mod small;

use super::ConvParams;
use crate::kernel::functions::relu;
use crate::kernel::{Call, convert, parallel};
use crate::ops::matmul::tile::{Lines, outer};
use pass::{Images, Pass, Phase, Task, Weight};
use small::Small;

/// Parts of the batch whose weight gradients are summed apart: a number that no machine changes.
const WEIGHT_PARTS: usize = 8;

/// Positions of an image of which a part takes the windows at a time.
const BLOCK: usize = 256;

/// Elements of a window up to which the gradient of its weight is summed the other way round.
const TURNED: usize = 16;

impl ConvParams {
    /// Channels, results and taps of a group.
    fn group_sizes(&self) -> [usize; 3] {
        [self.channels / self.groups, self.out_channels / self.groups, self.kernel_h * self.kernel_w]
            .map(|n| n as usize)
    }
}

/// Runs `work` with a convolution and its weight in panels.
fn forward_pass(call: &mut Call, mut work: impl FnMut(&mut Call, &ConvParams, &Pass, &[f32])) {
    let (p, x, w, scratch) = (call.params::<ConvParams>(), call.read::<f32>(0), call.read::<f32>(1), call.scratch());
    let ([c, o, taps], phases) = (p.group_sizes(), [Phase::forward(&p)]);
    let size = [p.out_h as usize, p.out_w as usize];
    let pass = Pass { source: Images::of(&p, x), phases: &phases, groups: p.groups as usize, c, o, size, scratch };
    scratch.with(pass.panels(), |panels| {
        pass.lay_out(Weight { of: w, strides: [o * c * taps, taps, c * taps] }, panels);
        work(call, &p, &pass, panels);
    });
}

/// Adds the bias, and takes the relu where there is one.
fn finish(p: &ConvParams, bias: &[f32], y: &mut [f32]) {
    if !bias.is_empty() {
        for y in y.chunks_mut(bias.len()) {
            y.iter_mut().zip(bias).for_each(|(y, bias)| *y += bias);
        }
    }
    if p.relu == 1 {
        y.iter_mut().for_each(|y| *y = relu(*y));
    }
}

fn bias<'a>(call: &Call<'a>, p: &ConvParams) -> &'a [f32] {
    if p.bias == 1 { call.read::<f32>(2) } else { &[] }
}

/// y = the windows times w, and what follows.
pub fn forward(call: &mut Call) {
    if let Some(small) = Small::or_short(&call.params()) {
        return small.forward(call);
    }
    forward_pass(call, |call, p, pass, panels| {
        let (bias, y) = (bias(call, p), call.write::<f32>(2 + p.bias as usize));
        pass.run(panels, y, &|y| finish(p, bias, y));
    });
}

/// The same, and the largest of each 2 x 2 results, an image at a time.
pub fn pooled(call: &mut Call) {
    forward_pass(call, |call, p, pass, panels| {
        let (bias, dtype, scratch) = (bias(call, p), call.dtype(3), call.scratch());
        let (y, at) = (call.write::<f32>(3), call.write::<u8>(4));
        let (out, [height, width]) = (p.out_channels as usize, pass.size);
        let pooled = [p.pooled_h, p.pooled_w].map(|size| size as usize);
        let [_, step, row, column] = p.y.map(|step| step as usize);
        parallel::chunks2(y, at, pooled[0] * pooled[1] * out, |image, y, at| {
            scratch.with(height * width * out, |results| {
                pass.part(panels, image..image + 1, 0..height, results);
                finish(p, bias, results);
                if dtype.is_half() {
                    results.iter_mut().for_each(|value| *value = convert::rounded(dtype, *value));
                }
                for (i, at) in at.chunks_mut(out).enumerate() {
                    let (ph, pw) = (i / pooled[1], i % pooled[1]);
                    let first = 2 * ph * width + 2 * pw;
                    let y = &mut y[ph * row + pw * column..];
                    for (c, at) in at.iter_mut().enumerate() {
                        let (mut best, mut place) = (results[first * out + c], 0);
                        for (tap, next) in (1..).zip([first + 1, first + width, first + width + 1]) {
                            let value = results[next * out + c];
                            let wins = value > best || value.is_nan();
                            (best, place) = if wins { (value, tap) } else { (best, place) };
                        }
                        (y[c * step], *at) = (best, place);
                    }
                }
            });
        });
    });
}

/// dw = dy^T times the windows, summed over all positions, and db, the sums of dy.
pub fn weight(call: &mut Call) {
    if let Some(small) = Small::or_deep(&call.params()) {
        return small.weight(call);
    }
    let (p, x, dy) = (call.params::<ConvParams>(), call.read::<f32>(0), call.read::<f32>(1));
    let ([c, o, taps], phase, scratch) = (p.group_sizes(), Phase::forward(&p), call.scratch());
    let ([height, width], groups, out) = (phase.count, p.groups as usize, p.out_channels as usize);
    let source = Images::of(&p, x);
    let pass = Pass { source, phases: &[], groups, c, o, size: phase.count, scratch };
    let (q, dw) = (c * taps, call.write::<f32>(2));
    let db = if p.bias == 1 { call.write::<f32>(3) } else { &mut [] };
    let rows = (BLOCK / width.max(1)).clamp(1, height.max(1));
    let blocks = p.batch as usize * height.div_ceil(rows);
    let each = blocks.div_ceil(WEIGHT_PARTS).max(1);
    let (parts, len) = (blocks.div_ceil(each).max(1), dw.len());
    // The weight's gradient is one sum over all positions, which threads cannot share: each part has its own, and the parts
    // are added up in order. Behind the products of a part its sums of dy, each in two halves that keep the digits of f64.
    let whole = len + 2 * db.len();
    // Of short windows the sums are [q, o], since a tile is wide.
    let is_turned = q <= TURNED;
    scratch.with(parts * whole, |sums| {
        parallel::chunks(sums, whole, |part, sums| {
            let (dw, db) = sums.split_at_mut(len);
            dw.fill(0.0);
            let mut totals = vec![0.0f64; db.len() / 2];
            for at in part * each..((part + 1) * each).min(blocks) {
                let (image, first) = (at / height.div_ceil(rows), at % height.div_ceil(rows) * rows);
                let task = Task { phase: &phase, images: image..image + 1, rows: first..(first + rows).min(height) };
                let dy = &dy[(image * height + first) * width * out..][..task.rows.len() * width * out];
                for (group, dw) in dw.chunks_mut(o * q).enumerate() {
                    pass.windows(&task, group, |windows| {
                        let step = windows.starts.get(1).map_or(0, |next| next - windows.starts[0]);
                        let mut lines: Vec<[usize; 2]> = windows
                            .starts
                            .iter()
                            .step_by(width)
                            .zip(0..)
                            .map(|(start, row)| [row * width * out, *start])
                            .collect();
                        let (dy, mut from) = (Lines { of: &dy[group * o..], step: out }, 0);
                        if is_turned {
                            lines.iter_mut().for_each(|line| line.reverse());
                            return outer(Lines { of: windows.of, step }, dy, &lines, width, [q, o, o], dw);
                        }
                        for piece in windows.pieces {
                            let seen = Lines { of: &windows.of[piece.start..], step };
                            outer(dy, seen, &lines, width, [o, piece.len(), q], &mut dw[from..]);
                            from += piece.len();
                        }
                    });
                }
                if !totals.is_empty() {
                    for dy in dy.chunks(out) {
                        totals.iter_mut().zip(dy).for_each(|(sum, dy)| *sum += f64::from(*dy));
                    }
                }
            }
            for (halves, sum) in db.chunks_mut(2).zip(totals) {
                halves[0] = sum as f32;
                halves[1] = (sum - f64::from(halves[0])) as f32;
            }
        });
        let sums = &*sums;
        for (o, db) in db.iter_mut().enumerate() {
            let of = |part: usize| &sums[part * whole + len + 2 * o..][..2];
            *db = (0..parts).flat_map(of).map(|half| f64::from(*half)).sum::<f64>() as f32;
        }
        let rows = (parallel::GRAIN / 4 / q.max(1)).max(1);
        parallel::chunks(dw, rows * q.max(1), |piece, dw| {
            for (row, dw) in dw.chunks_mut(q).enumerate() {
                let (group, nth) = ((piece * rows + row) / o, (piece * rows + row) % o);
                let steps = if is_turned { [1, o] } else { [q, 1] };
                let first = group * o * q + nth * steps[0];
                for (at, dw) in dw.iter_mut().enumerate() {
                    let from = first + (at % taps * c + at / taps) * steps[1];
                    *dw = (0..parts).map(|part| sums[part * whole + from]).sum();
                }
            }
        });
    });
}

/// dx = the windows of dy times w: a pixel sees the results that saw it.
pub fn input(call: &mut Call) {
    if let Some(small) = Small::or_narrow(&call.params()) {
        return small.input(call);
    }
    let (p, dy, w, scratch) = (call.params::<ConvParams>(), call.read::<f32>(0), call.read::<f32>(1), call.scratch());
    let ([c, o, taps], phases) = (p.group_sizes(), Phase::input(&p));
    let (source, size) = (Images::results(&p, dy), [p.height as usize, p.width as usize]);
    let pass = Pass { source, phases: &phases, groups: p.groups as usize, c: o, o: c, size, scratch };
    scratch.with(pass.panels(), |panels| {
        pass.lay_out(Weight { of: w, strides: [o * c * taps, c * taps, taps] }, panels);
        pass.run(panels, call.write::<f32>(2), &|_| {});
    });
}
