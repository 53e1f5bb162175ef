//! The columns of images: what the kernel sees at each position, laid out. Taps lie before channels there, [kh, kw, c], so
//! that pixels move as runs of neighbours.

use super::ConvParams;
use std::ops::Range;

/// The sizes of a convolution, for indexing.
#[derive(Clone, Copy)]
pub struct Sizes {
    pub batch: usize,
    /// Channels of the images and of the results, of all groups.
    pub channels: [usize; 2],
    pub groups: usize,
    /// Of one group: channels, results, and taps times channels.
    pub c: usize,
    pub o: usize,
    pub q: usize,
    pub image: [usize; 2],
    pub out: [usize; 2],
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub padding: [usize; 2],
    pub dilation: [usize; 2],
    /// Of the part of an image, with the zeros around, that the kernel sees.
    pub seen: [usize; 2],
}

impl Sizes {
    pub fn new(p: &ConvParams) -> Sizes {
        let two = |h: u32, w: u32| [h as usize, w as usize];
        let [o, q] = p.group();
        let (out, kernel) = (two(p.out_h, p.out_w), two(p.kernel_h, p.kernel_w));
        let (stride, dilation) = (two(p.stride_h, p.stride_w), two(p.dilation_h, p.dilation_w));
        let seen = [0, 1].map(|d| out[d].saturating_sub(1) * stride[d] + dilation[d] * kernel[d].saturating_sub(1) + 1);
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
        }
    }

    pub fn positions(&self) -> usize {
        self.out[0] * self.out[1]
    }

    /// Elements of rows of what the kernel sees of one group of one image, where they are laid out.
    pub fn seen(&self, rows: usize) -> usize {
        if self.is_sparse() { 0 } else { rows * self.seen[1] * self.c }
    }

    /// Whether the taps lie so far apart that most of what is between them is never looked at.
    pub fn is_sparse(&self) -> bool {
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
pub fn columns(
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
pub fn fold(s: &Sizes, positions: Range<usize>, col: &[f32], seen: &mut [f32]) {
    let run = s.run();
    s.walk(positions, 0, |at, to| {
        for (to, from) in seen[to..][..run].iter_mut().zip(&col[at..][..run]) {
            *to += from;
        }
    });
}

/// The pixels of a group of an image from what the kernel saw of it, without the zeros around.
pub fn place(s: &Sizes, group: usize, seen: &[f32], dx: &mut [f32]) {
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
