//! Convolution on the host: products with the columns that the kernel sees.
//!
//! A block of positions at a time, whose columns stay in a processor's cache. Taps lie before channels there, [kh, kw, c],
//! so that pixels move as runs of neighbours; weights are turned to that order first.

mod small;

use super::ConvParams;
use crate::kernel::functions::relu;
use crate::kernel::scratch::Scratch;
use crate::kernel::{Call, convert, parallel};
use crate::ops::matmul::gemm;
use small::Small;
use std::ops::Range;

/// The most elements of columns at a time.
const BLOCK: usize = 96 << 10;

/// Parts of the batch whose weight gradients are summed apart: a number that no machine changes.
const WEIGHT_PARTS: usize = 8;

/// The sizes of a convolution, for indexing.
#[derive(Clone, Copy)]
struct Sizes {
    batch: usize,
    /// Channels of the images and of the results, of all groups.
    channels: [usize; 2],
    groups: usize,
    /// Of one group: channels, results, and taps times channels.
    c: usize,
    o: usize,
    q: usize,
    image: [usize; 2],
    out: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
    dilation: [usize; 2],
    /// Of the part of an image, with the zeros around, that the kernel sees.
    seen: [usize; 2],
    /// Positions of a block; each image has as many blocks.
    block: usize,
    blocks: usize,
}

impl Sizes {
    fn new(p: &ConvParams) -> Sizes {
        let two = |h: u32, w: u32| [h as usize, w as usize];
        let [o, q] = p.group();
        let (out, kernel) = (two(p.out_h, p.out_w), two(p.kernel_h, p.kernel_w));
        let (stride, dilation) = (two(p.stride_h, p.stride_w), two(p.dilation_h, p.dilation_w));
        let seen = [0, 1].map(|d| out[d].saturating_sub(1) * stride[d] + dilation[d] * kernel[d].saturating_sub(1) + 1);
        let positions = p.positions();
        // Blocks of about the same size, so that no thread waits for a large last one.
        let blocks = (positions * q).div_ceil(BLOCK).clamp(1, positions.max(1));
        let block = positions.div_ceil(blocks).max(1);
        Sizes {
            batch: p.batch as usize,
            channels: two(p.channels, p.out_channels),
            groups: p.groups as usize,
            c: (p.channels / p.groups) as usize,
            o,
            q,
            image: two(p.height, p.width),
            out,
            kernel,
            stride,
            padding: two(p.padding_h, p.padding_w),
            dilation,
            seen,
            block,
            blocks: positions.div_ceil(block),
        }
    }

    fn positions(&self) -> usize {
        self.out[0] * self.out[1]
    }

    /// Elements of rows of what the kernel sees of one group of one image, where they are laid out.
    fn seen(&self, rows: usize) -> usize {
        if self.is_sparse() { 0 } else { rows * self.seen[1] * self.c }
    }

    /// Whether the taps lie so far apart that most of what is between them is never looked at.
    fn is_sparse(&self) -> bool {
        let met = self.image[0] * self.image[1] + self.positions() * self.kernel[0] * self.kernel[1];
        self.seen[0].saturating_mul(self.seen[1]) > 4 * met
    }

    /// The place in the image, [h, w], of each tap at some positions; none outside.
    fn places(&self, positions: Range<usize>) -> impl Iterator<Item = Option<[usize; 2]>> + '_ {
        let inside = |d: usize, at: usize| at.checked_sub(self.padding[d]).filter(|at| *at < self.image[d]);
        positions.flat_map(move |r| {
            let at = [r / self.out[1] * self.stride[0], r % self.out[1] * self.stride[1]];
            (0..self.kernel[0] * self.kernel[1]).map(move |tap| {
                let tap = [tap / self.kernel[1] * self.dilation[0], tap % self.kernel[1] * self.dilation[1]];
                Some([inside(0, at[0] + tap[0])?, inside(1, at[1] + tap[1])?])
            })
        })
    }

    /// The positions of a block.
    fn block(&self, block: usize) -> Range<usize> {
        block * self.block..((block + 1) * self.block).min(self.positions())
    }

    /// The rows of what the kernel sees that some positions look at.
    fn rows(&self, positions: &Range<usize>) -> Range<usize> {
        let [first, last] = [positions.start, positions.end - 1].map(|r| r / self.out[1] * self.stride[0]);
        first..last + self.dilation[0] * (self.kernel[0] - 1) + 1
    }

    /// Calls `each` with a row of `col` [positions, kh, kw, c] and the place in `seen`, for each run of neighbours of
    /// `self.run()` elements: the start of the run in both. `first` is the first row in `seen`.
    fn walk(&self, positions: Range<usize>, first: usize, mut each: impl FnMut(usize, usize)) {
        let ([kh, kw], [sh, sw], [dh, dw]) = (self.kernel, self.stride, self.dilation);
        let pitch = self.seen[1] * self.c;
        let run = self.run();
        let mut to = 0;
        for r in positions {
            let (y, x) = (r / self.out[1] * sh - first, r % self.out[1] * sw);
            for h in 0..kh {
                let from = (y + h * dh) * pitch + x * self.c;
                for w in 0..kw * self.c / run {
                    each(to, from + w * dw * self.c);
                    to += run;
                }
            }
        }
    }

    /// Elements that are neighbours both in the columns and in the image.
    fn run(&self) -> usize {
        if self.dilation[1] == 1 { self.kernel[1] * self.c } else { self.c }
    }
}

/// Some rows of what the kernel sees of a group of an image, [h, w, c].
fn look(p: &ConvParams, s: &Sizes, [image, group]: [usize; 2], rows: Range<usize>, x: &[f32], seen: &mut [f32]) {
    let [x_n, x_c, x_h, x_w] = [p.x_n, p.x_c, p.x_h, p.x_w].map(|step| step as usize);
    let x = &x[p.x_base as usize + image * x_n + group * s.c * x_c..];
    let left = s.padding[1].min(s.seen[1]);
    let pixels = s.image[1].min(s.seen[1] - left);
    for (row, seen) in rows.zip(seen.chunks_exact_mut(s.seen[1] * s.c)) {
        let Some(h) = row.checked_sub(s.padding[0]).filter(|&h| h < s.image[0]) else {
            seen.fill(0.0);
            continue;
        };
        seen[..left * s.c].fill(0.0);
        seen[(left + pixels) * s.c..].fill(0.0);
        let (x, seen) = (&x[h * x_h..], &mut seen[left * s.c..][..pixels * s.c]);
        if x_w == s.c && (x_c == 1 || s.c == 1) {
            seen.copy_from_slice(&x[..pixels * s.c]);
            continue;
        }
        for c in 0..s.c {
            let from = x[c * x_c..].iter().step_by(x_w.max(1));
            if x_w == 0 {
                seen.iter_mut().skip(c).step_by(s.c).for_each(|to| *to = x[c * x_c]);
            } else {
                seen.iter_mut().skip(c).step_by(s.c).zip(from).for_each(|(to, from)| *to = *from);
            }
        }
    }
}

/// The columns of some positions of a group of an image; `seen` is for what they look at.
fn columns(
    p: &ConvParams,
    s: &Sizes,
    at: [usize; 2],
    positions: Range<usize>,
    x: &[f32],
    seen: &mut [f32],
    col: &mut [f32],
) {
    if !s.is_sparse() {
        let rows = s.rows(&positions);
        look(p, s, at, rows.clone(), x, seen);
        return unfold(s, positions, rows.start, seen, col);
    }
    let [x_n, x_c, x_h, x_w] = [p.x_n, p.x_c, p.x_h, p.x_w].map(|step| step as usize);
    let start = p.x_base as usize + at[0] * x_n + at[1] * s.c * x_c;
    for (col, place) in col.chunks_exact_mut(s.c).zip(s.places(positions)) {
        match place {
            None => col.fill(0.0),
            Some([h, w]) => {
                let pixel = start + h * x_h + w * x_w;
                col.iter_mut().enumerate().for_each(|(c, to)| *to = x[pixel + c * x_c]);
            }
        }
    }
}

/// The columns of some positions, [positions, kh, kw, c], from the rows that they look at.
fn unfold(s: &Sizes, positions: Range<usize>, first: usize, seen: &[f32], col: &mut [f32]) {
    let run = s.run();
    match run {
        // A copy of unknown length costs more than so few elements do.
        3 => s.walk(positions, first, |to, from| col[to..][..3].copy_from_slice(&seen[from..][..3])),
        9 => s.walk(positions, first, |to, from| col[to..][..9].copy_from_slice(&seen[from..][..9])),
        _ => s.walk(positions, first, |to, from| col[to..][..run].copy_from_slice(&seen[from..][..run])),
    }
}

/// Adds columns to the rows that they came from.
fn fold(s: &Sizes, positions: Range<usize>, col: &[f32], seen: &mut [f32]) {
    let run = s.run();
    s.walk(positions, 0, |at, to| {
        for (to, from) in seen[to..][..run].iter_mut().zip(&col[at..][..run]) {
            *to += from;
        }
    });
}

/// A convolution as blocks of positions compute it: the weight turned to [groups, kh, kw, c, o].
struct Forward<'a> {
    p: ConvParams,
    s: Sizes,
    x: &'a [f32],
    w: &'a [f32],
    /// Empty where there is none.
    bias: &'a [f32],
    scratch: &'a Scratch,
}

impl Forward<'_> {
    /// Runs `work` with the convolution of a call.
    fn of(call: &mut Call, mut work: impl FnMut(&mut Call, &Forward)) {
        let (p, x, w) = (call.params::<ConvParams>(), call.read::<f32>(0), call.read::<f32>(1));
        let (s, scratch) = (Sizes::new(&p), call.scratch());
        let bias = if p.bias == 1 { call.read::<f32>(2) } else { &[] };
        let taps = s.kernel[0] * s.kernel[1];
        scratch.with(w.len(), |turned| {
            for (at, &w) in w.iter().enumerate() {
                let (o, c, tap) = (at / s.q, at % s.q / taps, at % taps);
                turned[(o / s.o * s.q + tap * s.c + c) * s.o + o % s.o] = w;
            }
            work(call, &Forward { p, s, x, w: turned, bias, scratch });
        });
    }

    /// y = col w for one block of an image's positions, and what follows.
    fn block(&self, image: usize, block: usize, y: &mut [f32]) {
        let (s, out) = (&self.s, self.s.channels[1]);
        let positions = s.block(block);
        let (rows, n) = (s.rows(&positions), positions.len());
        let seen = s.seen(rows.len());
        // First the rows that the block sees with their padding, then its columns: so the inner loop asks for no border.
        self.scratch.with(seen + n * (s.q + s.o), |memory| {
            let (seen, memory) = memory.split_at_mut(seen);
            let (col, part) = memory.split_at_mut(n * s.q);
            for g in 0..s.groups {
                columns(&self.p, s, [image, g], positions.clone(), self.x, seen, col);
                let w = &self.w[g * s.q * s.o..];
                let strides = [[s.q as u32, 1], [s.o as u32, 1]];
                if s.groups == 1 {
                    gemm([n, s.o, s.q], col, strides[0], w, strides[1], y, 0.0);
                    continue;
                }
                gemm([n, s.o, s.q], col, strides[0], w, strides[1], part, 0.0);
                for (y, part) in y.chunks_mut(out).zip(part.chunks(s.o)) {
                    y[g * s.o..][..s.o].copy_from_slice(part);
                }
            }
        });
        if !self.bias.is_empty() {
            for y in y.chunks_mut(out) {
                y.iter_mut().zip(self.bias).for_each(|(y, bias)| *y += bias);
            }
        }
        if self.p.relu == 1 {
            y.iter_mut().for_each(|y| *y = relu(*y));
        }
    }
}

/// y = col w, and what follows.
pub fn forward(call: &mut Call) {
    if let Some(small) = Small::of(&call.params()) {
        return small.forward(call);
    }
    Forward::of(call, |call, f| {
        let (s, out) = (&f.s, f.s.channels[1]);
        let y = call.write::<f32>(2 + f.p.bias as usize);
        // Blocks of all images in one list: one image of many blocks keeps all threads busy, as many images do.
        let mut blocks: Vec<(usize, &mut [f32])> = Vec::with_capacity(s.batch * s.blocks);
        for (image, y) in y.chunks_mut(s.positions() * out).enumerate() {
            let pieces = y.chunks_mut(s.block * out).enumerate();
            blocks.extend(pieces.map(|(block, y)| (image * s.blocks + block, y)));
        }
        parallel::chunks(&mut blocks, 1, |_, blocks| {
            blocks.iter_mut().for_each(|(at, y)| f.block(*at / s.blocks, *at % s.blocks, y));
        });
    });
}

/// The same, and the largest of each 2 x 2 results, an image at a time.
pub fn pooled(call: &mut Call) {
    Forward::of(call, |call, f| {
        let (s, out) = (&f.s, f.s.channels[1]);
        let dtype = call.dtype(3);
        let (y, at) = (call.write::<f32>(3), call.write::<u8>(4));
        let pooled = [f.p.pooled_h, f.p.pooled_w].map(|size| size as usize);
        let [_, step, row, column] = f.p.y.map(|step| step as usize);
        parallel::chunks2(y, at, pooled[0] * pooled[1] * out, |image, y, at| {
            f.scratch.with(s.positions() * out, |results| {
                for (block, results) in results.chunks_mut(s.block * out).enumerate() {
                    f.block(image, block, results);
                }
                if dtype.is_half() {
                    results.iter_mut().for_each(|value| *value = convert::rounded(dtype, *value));
                }
                for (i, at) in at.chunks_mut(out).enumerate() {
                    let (ph, pw) = (i / pooled[1], i % pooled[1]);
                    let first = 2 * ph * s.out[1] + 2 * pw;
                    let y = &mut y[ph * row + pw * column..];
                    for (c, at) in at.iter_mut().enumerate() {
                        let (mut best, mut place) = (results[first * out + c], 0);
                        for (tap, next) in (1..).zip([first + 1, first + s.out[1], first + s.out[1] + 1]) {
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

/// dw = dy^T col, summed over all blocks, and db, the sums of dy.
pub fn weight(call: &mut Call) {
    if let Some(small) = Small::of(&call.params()) {
        return small.weight(call);
    }
    let (p, x, dy) = (call.params::<ConvParams>(), call.read::<f32>(0), call.read::<f32>(1));
    let (s, scratch, dw) = (Sizes::new(&p), call.scratch(), call.write::<f32>(2));
    let (len, out) = (dw.len(), s.channels[1]);
    let db = if p.bias == 1 { call.write::<f32>(3) } else { &mut [] };
    let blocks = s.batch * s.blocks;
    let each = blocks.div_ceil(WEIGHT_PARTS).max(1);
    let parts = blocks.div_ceil(each).max(1);
    // The weight's gradient is one sum over all positions, which threads cannot share: each part has its own, and the parts
    // are added up in order. Behind the products of a part its sums of dy, each in two halves that keep the digits of f64.
    let whole = len + 2 * db.len();
    scratch.with(parts * whole, |sums| {
        parallel::chunks(sums, whole, |part, sums| {
            let (dw, db) = sums.split_at_mut(len);
            dw.fill(0.0);
            let mut totals = vec![0.0f64; db.len() / 2];
            for at in part * each..((part + 1) * each).min(blocks) {
                let (image, positions) = (at / s.blocks, s.block(at % s.blocks));
                let (rows, n) = (s.rows(&positions), positions.len());
                let seen = s.seen(rows.len());
                let dy = &dy[(image * s.positions() + positions.start) * out..][..n * out];
                scratch.with(seen + n * s.q, |memory| {
                    let (seen, col) = memory.split_at_mut(seen);
                    for (g, dw) in dw.chunks_mut(s.o * s.q).enumerate() {
                        columns(&p, &s, [image, g], positions.clone(), x, seen, col);
                        let dy = &dy[g * s.o..];
                        gemm([s.o, s.q, n], dy, [1, out as u32], col, [s.q as u32, 1], dw, 1.0);
                    }
                });
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
        let taps = s.kernel[0] * s.kernel[1];
        let rows = (parallel::GRAIN / 4 / s.q.max(1)).max(1);
        parallel::chunks(dw, rows * s.q.max(1), |piece, dw| {
            for (o, dw) in dw.chunks_mut(s.q).enumerate() {
                let row = (piece * rows + o) * s.q;
                for (at, dw) in dw.iter_mut().enumerate() {
                    let from = row + at % taps * s.c + at / taps;
                    *dw = (0..parts).map(|part| sums[part * whole + from]).sum();
                }
            }
        });
    });
}

/// dx = the columns dy w, each added where it came from.
pub fn input(call: &mut Call) {
    if let Some(small) = Small::of(&call.params()) {
        return small.input(call);
    }
    let (p, dy, w) = (call.params::<ConvParams>(), call.read::<f32>(0), call.read::<f32>(1));
    let (s, scratch, dx) = (Sizes::new(&p), call.scratch(), call.write::<f32>(2));
    let (channels, out) = (s.channels[0], s.channels[1]);
    let taps = s.kernel[0] * s.kernel[1];
    scratch.with(w.len(), |turned| {
        // [groups, o, kh, kw, c]
        for (w, turned) in w.chunks(s.q.max(1)).zip(turned.chunks_mut(s.q.max(1))) {
            for (at, &w) in w.iter().enumerate() {
                turned[at % taps * s.c + at / taps] = w;
            }
        }
        let turned = &*turned;
        parallel::chunks(dx, s.image[0] * s.image[1] * channels, |image, dx| {
            let len = s.seen(s.seen[0]);
            scratch.with(len + s.block * s.q, |memory| {
                let (seen, col) = memory.split_at_mut(len);
                if s.is_sparse() {
                    dx.fill(0.0);
                }
                // Windows overlap, so that one thread has a whole image: two would add to the same pixels.
                for g in 0..s.groups {
                    seen.fill(0.0);
                    for positions in (0..s.blocks).map(|block| s.block(block)) {
                        let n = positions.len();
                        let dy = &dy[(image * s.positions() + positions.start) * out + g * s.o..];
                        let (w, col) = (&turned[g * s.o * s.q..], &mut col[..n * s.q]);
                        gemm([n, s.q, s.o], dy, [out as u32, 1], w, [s.q as u32, 1], col, 0.0);
                        if !s.is_sparse() {
                            fold(&s, positions, col, seen);
                            continue;
                        }
                        for (col, place) in col.chunks_exact(s.c).zip(s.places(positions)) {
                            let Some([h, w]) = place else { continue };
                            let pixel = &mut dx[(h * s.image[1] + w) * channels + g * s.c..][..s.c];
                            pixel.iter_mut().zip(col).for_each(|(to, from)| *to += from);
                        }
                    }
                    if s.is_sparse() {
                        continue;
                    }
                    place(&s, g, seen, dx);
                }
            });
        });
    });
}

/// The pixels of a group of an image from what the kernel saw of it, without the zeros around.
fn place(s: &Sizes, group: usize, seen: &[f32], dx: &mut [f32]) {
    let channels = s.channels[0];
    for (h, dx) in dx.chunks_mut(s.image[1] * channels).enumerate() {
        let (row, left) = (h + s.padding[0], s.padding[1].min(s.seen[1]));
        let seen = seen.get(row * s.seen[1] * s.c..(row + 1) * s.seen[1] * s.c);
        // Pixels past the last position are seen by no tap.
        let mut pixels = seen.map_or(&[][..], |row| &row[left * s.c..]).chunks_exact(s.c);
        for dx in dx.chunks_mut(channels) {
            let dx = &mut dx[group * s.c..][..s.c];
            match pixels.next() {
                Some(pixel) => dx.copy_from_slice(pixel),
                None => dx.fill(0.0),
            }
        }
    }
}
