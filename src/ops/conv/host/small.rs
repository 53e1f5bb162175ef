//! Convolution of small images on the host: the columns of several images are one product, so that weights are packed once
//! for all of them.

use super::ConvParams;
use super::columns::{Sizes, columns, fold, place};
use crate::kernel::functions::relu;
use crate::kernel::scratch::Scratch;
use crate::kernel::{Call, parallel};
use crate::ops::matmul::{gemm, shared};
use std::ops::Range;

/// Positions of an image from which on it keeps the product busy by itself.
const ENOUGH: usize = 64;

/// Elements of a row of a window below which windows are laid out, and of all windows of an image that stay in a cache.
const SHORT: u32 = 24;
const NEAR: usize = 128 << 10;

/// Positions of all images for each of their results below which their number is small.
const DEEP: usize = 32;

/// Channels of images from which on they are columns of a product.
const NARROW: u32 = 16;

/// Rows of one task's product, and rows in all that give every thread a task.
const ROWS: usize = 256;
const MANY: usize = 768;

/// The most elements of columns at a time.
const COLUMNS: usize = 2 << 20;

/// A convolution with the taps alone that meet some pixel: of images of one pixel, one tap.
pub struct Small {
    p: ConvParams,
    s: Sizes,
    taps: [Range<usize>; 2],
    /// Of the whole kernel.
    kernel: [usize; 2],
}

impl Small {
    /// Where images are that small, or all of them.
    pub fn of(p: &ConvParams) -> Option<Small> {
        let positions = p.positions();
        let is_small = positions < ENOUGH || p.batch as usize * positions < MANY;
        if is_small { Small::by_columns(p) } else { None }
    }

    /// Where the pieces of a window are short, too.
    pub fn or_short(p: &ConvParams) -> Option<Small> {
        let is_short = p.channels * p.kernel_w < SHORT && p.positions() * p.taps() <= NEAR;
        Small::of(p).or_else(|| if is_short { Small::by_columns(p) } else { None })
    }

    /// Where there are few positions for as many weights: their sums by parts of the batch would take longer.
    pub fn or_deep(p: &ConvParams) -> Option<Small> {
        let is_deep = p.batch as usize * p.positions() < DEEP * p.out_channels as usize;
        Small::of(p).or_else(|| if is_deep { Small::by_columns(p) } else { None })
    }

    /// Where images have too few channels for the columns of a product, too.
    pub fn or_narrow(p: &ConvParams) -> Option<Small> {
        let is_narrow = p.channels < NARROW && p.kernel_h * p.kernel_w > 1;
        Small::of(p).or_else(|| if is_narrow { Small::by_columns(p) } else { None })
    }

    fn by_columns(p: &ConvParams) -> Option<Small> {
        let s = Sizes::new(p);
        if s.groups != 1 || s.batch * s.positions() * s.o * s.q == 0 {
            return None;
        }
        let meets = |d: usize, tap: &usize| {
            let image = s.padding[d]..s.padding[d] + s.image[d];
            (0..s.out[d]).any(|at| image.contains(&(at * s.stride[d] + tap * s.dilation[d])))
        };
        let met = |d| Some((0..s.kernel[d]).find(|t| meets(d, t))?..(0..s.kernel[d]).rfind(|t| meets(d, t))? + 1);
        let (h, w) = (met(0)?, met(1)?);
        let p = ConvParams {
            kernel_h: h.len() as u32,
            kernel_w: w.len() as u32,
            padding_h: p.padding_h.checked_sub(h.start as u32 * p.dilation_h)?,
            padding_w: p.padding_w.checked_sub(w.start as u32 * p.dilation_w)?,
            ..*p
        };
        let (kernel, s) = (s.kernel, Sizes::new(&p));
        (!s.is_sparse() && s.positions() * s.q <= COLUMNS).then_some(Small { p, s, taps: [h, w], kernel })
    }

    /// Calls `each` with the place of every tap that is met, in order, and its place in the whole kernel.
    fn taps(&self, mut each: impl FnMut(usize, usize)) {
        let places = self.taps[0].clone().flat_map(|h| self.taps[1].clone().map(move |w| h * self.kernel[1] + w));
        places.enumerate().for_each(|(to, from)| each(to, from));
    }

    /// Runs `work` with the weights as [o, kh, kw, c].
    fn turned(&self, w: &[f32], scratch: &Scratch, mut work: impl FnMut(&[f32])) {
        let (c, whole) = (self.s.c, self.kernel[0] * self.kernel[1]);
        if whole == 1 {
            return work(w);
        }
        scratch.with(self.s.o * self.s.q, |turned| {
            parallel::rows(turned, self.s.q, |o, turned| {
                let w = &w[o * c * whole..][..c * whole];
                self.taps(|to, from| {
                    let taps = w[from..].iter().step_by(whole);
                    turned[to * c..][..c].iter_mut().zip(taps).for_each(|(to, from)| *to = *from);
                });
            });
            work(turned);
        });
    }

    /// The columns of images from `first` on, as many as `col` holds.
    fn columns(&self, first: usize, x: &[f32], scratch: &Scratch, col: &mut [f32]) {
        let s = &self.s;
        scratch.with(s.seen(s.seen[0]), |seen| {
            for (image, col) in col.chunks_mut(s.positions() * s.q).enumerate() {
                columns(&self.p, s, [first + image, 0], 0..s.positions(), x, seen, col);
            }
        });
    }

    /// Images of a task where there are enough for all threads.
    fn images_of_task(&self) -> Option<usize> {
        let positions = self.s.positions();
        (self.s.batch * positions >= MANY).then(|| (ROWS / positions).max(1))
    }

    /// Images whose columns there are at a time where threads share one product.
    fn images_at_once(&self) -> usize {
        (COLUMNS / (self.s.positions() * self.s.q)).clamp(1, self.s.batch)
    }

    /// What follows a product.
    fn finish(&self, bias: &[f32], y: &mut [f32]) {
        for y in y.chunks_mut(self.s.o) {
            y.iter_mut().zip(bias).for_each(|(y, bias)| *y += bias);
        }
        if self.p.relu == 1 {
            y.iter_mut().for_each(|y| *y = relu(*y));
        }
    }

    pub fn forward(&self, call: &mut Call) {
        let (p, s, scratch) = (&self.p, &self.s, call.scratch());
        let (x, w) = (call.read::<f32>(0), call.read::<f32>(1));
        let bias = if p.bias == 1 { call.read::<f32>(2) } else { &[] };
        let y = &mut call.write::<f32>(2 + p.bias as usize)[..s.batch * s.positions() * s.o];
        let (image, strides) = (s.positions() * s.q, [[s.q as u32, 1], [1, s.q as u32]]);
        self.turned(w, scratch, |w| {
            if let Some(images) = self.images_of_task() {
                return parallel::chunks(y, images * s.positions() * s.o, |task, y| {
                    let rows = y.len() / s.o;
                    scratch.with(rows * s.q, |col| {
                        self.columns(task * images, x, scratch, col);
                        gemm([rows, s.o, s.q], col, strides[0], w, strides[1], y, false);
                    });
                    self.finish(bias, y);
                });
            }
            let images = self.images_at_once();
            for (group, y) in y.chunks_mut(images * s.positions() * s.o).enumerate() {
                let rows = y.len() / s.o;
                scratch.with(rows * s.q, |col| {
                    parallel::chunks(col, image, |i, col| self.columns(group * images + i, x, scratch, col));
                    shared([rows, s.o, s.q], [col, w], strides, y, false);
                });
                self.finish(bias, y);
            }
        });
    }

    pub fn input(&self, call: &mut Call) {
        let (s, scratch) = (&self.s, call.scratch());
        let (dy, w, dx) = (call.read::<f32>(0), call.read::<f32>(1), call.write::<f32>(2));
        let (image, strides) = (s.positions() * s.q, [[s.o as u32, 1], [s.q as u32, 1]]);
        let pixels = s.image[0] * s.image[1] * s.c;
        let put = |col: &[f32], dx: &mut [f32]| {
            scratch.with(s.seen(s.seen[0]), |seen| {
                seen.fill(0.0);
                fold(s, 0..s.positions(), col, seen);
                place(s, 0, seen, dx);
            });
        };
        self.turned(w, scratch, |w| {
            let (images, is_shared) = self.images_of_task().map_or((self.images_at_once(), true), |n| (n, false));
            let of_group = |group: usize, dx: &mut [f32]| {
                let rows = dx.len() / pixels * s.positions();
                let dy = &dy[group * images * s.positions() * s.o..][..rows * s.o];
                scratch.with(rows * s.q, |col| {
                    if is_shared {
                        shared([rows, s.q, s.o], [dy, w], strides, col, false);
                        return parallel::chunks(dx, pixels, |i, dx| put(&col[i * image..][..image], dx));
                    }
                    gemm([rows, s.q, s.o], dy, strides[0], w, strides[1], col, false);
                    col.chunks(image).zip(dx.chunks_mut(pixels)).for_each(|(col, dx)| put(col, dx));
                });
            };
            match is_shared {
                true => dx.chunks_mut(images * pixels).enumerate().for_each(|(group, dx)| of_group(group, dx)),
                false => parallel::chunks(dx, images * pixels, of_group),
            }
        });
    }

    pub fn weight(&self, call: &mut Call) {
        let (s, scratch) = (&self.s, call.scratch());
        let (x, dy, dw) = (call.read::<f32>(0), call.read::<f32>(1), call.write::<f32>(2));
        let (image, images) = (s.positions() * s.q, self.images_at_once());
        let whole = self.kernel[0] * self.kernel[1];
        scratch.with(s.o * s.q, |sums| {
            for first in (0..s.batch).step_by(images) {
                let images = images.min(s.batch - first);
                let n = images * s.positions();
                let dy = &dy[first * s.positions() * s.o..][..n * s.o];
                scratch.with(images * image, |col| {
                    parallel::chunks(col, image, |i, col| self.columns(first + i, x, scratch, col));
                    let strides = [[1, s.o as u32], [s.q as u32, 1]];
                    shared([s.o, s.q, n], [dy, col], strides, sums, first > 0);
                });
            }
            let sums = &*sums;
            parallel::rows(dw, s.c * whole, |o, dw| {
                // Taps that meet no pixel.
                dw.fill(0.0);
                self.taps(|from, to| {
                    let sums = &sums[o * s.q + from * s.c..][..s.c];
                    dw[to..].iter_mut().step_by(whole).zip(sums).for_each(|(to, from)| *to = *from);
                });
            });
        });
        if self.p.bias == 1 {
            let dy = &dy[..s.batch * s.positions() * s.o];
            // A number of rows that no machine changes.
            let rows = (parallel::GRAIN / s.o).max(1);
            let mut parts = vec![0.0f64; dy.len().div_ceil(rows * s.o) * s.o];
            parallel::chunks(
                &mut parts,
                s.o,
                #[inline(always)]
                |part, sums| {
                    for dy in dy[part * rows * s.o..].chunks(s.o).take(rows) {
                        sums.iter_mut().zip(dy).for_each(|(sum, dy)| *sum += f64::from(*dy));
                    }
                },
            );
            for (o, db) in call.write::<f32>(3).iter_mut().enumerate() {
                *db = parts.iter().skip(o).step_by(s.o).sum::<f64>() as f32;
            }
        }
    }
}
