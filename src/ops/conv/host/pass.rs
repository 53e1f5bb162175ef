//! A pass over images on the host: each pixel of the target is a sum over a window of the source. Windows are rows of a
//! product, read where they lie; the weight is its right side, in panels.

use super::super::ConvParams;
use crate::kernel::parallel;
use crate::kernel::scratch::Scratch;
use crate::ops::matmul::tile::{Panel, Rows, by_panels, cut, panels, pieces};
use std::ops::Range;

/// Pixels of the target that a task computes, and elements of the source that it looks at: they stay in a cache.
const PIXELS: usize = 512;
const SEEN: usize = 96 << 10;

/// Elements of a piece of a window below which the windows are laid out.
const SHORT: usize = 24;

/// Images [n, h, w, c] by their strides.
#[derive(Clone, Copy)]
pub struct Images<'a> {
    pub of: &'a [f32],
    pub base: usize,
    /// Image, channel, row, column.
    pub strides: [usize; 4],
    pub size: [usize; 2],
}

impl<'a> Images<'a> {
    /// Those of a convolution.
    pub fn of(p: &ConvParams, x: &'a [f32]) -> Images<'a> {
        Images {
            of: x,
            base: p.x_base as usize,
            strides: [p.x_n, p.x_c, p.x_h, p.x_w].map(|step| step as usize),
            size: [p.height as usize, p.width as usize],
        }
    }

    /// Its results [n, oh, ow, o].
    pub fn results(p: &ConvParams, y: &'a [f32]) -> Images<'a> {
        let [o, h, w] = [p.out_channels, p.out_h, p.out_w].map(|size| size as usize);
        Images { of: y, base: 0, strides: [h * w * o, 1, w * o, o], size: [h, w] }
    }
}

/// The pixels of the target whose windows have the same taps, every `apart`-th from `first` on.
#[derive(Debug)]
pub struct Phase {
    pub first: [usize; 2],
    pub apart: [usize; 2],
    pub count: [usize; 2],
    /// The first pixel of the first window; below 0 in the padding.
    pub origin: [isize; 2],
    /// From one window to the next.
    pub step: [usize; 2],
    /// The place of each tap in a window, and in the kernel.
    pub taps: Vec<([usize; 2], usize)>,
    /// Pixels of a window.
    pub window: [usize; 2],
}

impl Phase {
    /// The one of a convolution.
    pub fn forward(p: &ConvParams) -> Phase {
        let [kernel, dilation] =
            [[p.kernel_h, p.kernel_w], [p.dilation_h, p.dilation_w]].map(|d| d.map(|d| d as usize));
        let places = (0..kernel[0]).flat_map(|h| (0..kernel[1]).map(move |w| [h, w]));
        let taps = places.enumerate().map(|(tap, at)| ([at[0] * dilation[0], at[1] * dilation[1]], tap)).collect();
        Phase {
            first: [0, 0],
            apart: [1, 1],
            count: [p.out_h as usize, p.out_w as usize],
            origin: [-(p.padding_h as isize), -(p.padding_w as isize)],
            step: [p.stride_h as usize, p.stride_w as usize],
            taps,
            window: [0, 1].map(|d| dilation[d] * kernel[d].saturating_sub(1) + 1),
        }
    }

    /// Those of the gradient of its images: a pixel that lies `stride` further sees the results by the same taps.
    pub fn input(p: &ConvParams) -> Vec<Phase> {
        let sizes = |d: usize| {
            let h = [p.height, p.kernel_h, p.stride_h, p.padding_h, p.dilation_h];
            [h, [p.width, p.kernel_w, p.stride_w, p.padding_w, p.dilation_w]][d].map(|size| size as isize)
        };
        // Along one dimension, of pixels from `first` on: the result that the first sees by each tap, in the results' order.
        let along = |d: usize, first: isize| {
            let [_, kernel, stride, padding, dilation] = sizes(d);
            let seen = (0..kernel).rev().map(move |tap| (first + padding - tap * dilation, tap as usize));
            seen.filter(move |(at, _)| at.rem_euclid(stride) == 0).map(move |(at, tap)| (at / stride, tap)).collect()
        };
        let of = |[top, left]: [isize; 2]| {
            let [rows, columns]: [Vec<(isize, usize)>; 2] = [along(0, top), along(1, left)];
            let end = |taps: &[(isize, usize)], at: usize| taps.get(at).map_or(0, |(at, _)| *at);
            let origin = [end(&rows, 0), end(&columns, 0)];
            let taps = rows.iter().flat_map(|row| columns.iter().map(move |column| [*row, *column]));
            let taps = taps.map(|[(h, row), (w, column)]| {
                ([(h - origin[0]) as usize, (w - origin[1]) as usize], row * p.kernel_w as usize + column)
            });
            let window = [&rows, &columns].map(|taps| (end(taps, taps.len().max(1) - 1) - end(taps, 0)) as usize + 1);
            let counted = |d: usize, first: isize| (sizes(d)[0] - first).max(0) as usize;
            let apart = [p.stride_h as usize, p.stride_w as usize];
            Phase {
                first: [top as usize, left as usize],
                apart,
                count: [counted(0, top).div_ceil(apart[0]), counted(1, left).div_ceil(apart[1])],
                origin,
                step: [1, 1],
                taps: taps.collect(),
                window,
            }
        };
        let firsts = |d: usize| 0..sizes(d)[2].min(sizes(d)[0]);
        firsts(0).flat_map(|top| firsts(1).map(move |left| [top, left])).map(of).collect()
    }

    /// Where the windows lie within the images, they are read there.
    fn is_inside(&self, images: &Images) -> bool {
        (0..2).all(|d| {
            let end = self.origin[d] + ((self.count[d].max(1) - 1) * self.step[d] + self.window[d]) as isize;
            self.origin[d] >= 0 && end <= images.size[d] as isize
        })
    }

    /// The rows of the phase among some rows of the target.
    fn rows(&self, rows: &Range<usize>) -> Range<usize> {
        let before = |row: usize| row.saturating_sub(self.first[0]).div_ceil(self.apart[0]).min(self.count[0]);
        before(rows.start)..before(rows.end)
    }

    /// Rows and columns of the source under so many rows of windows.
    fn seen(&self, rows: usize) -> [usize; 2] {
        [(rows.max(1) - 1) * self.step[0] + self.window[0], (self.count[1].max(1) - 1) * self.step[1] + self.window[1]]
    }

    /// Whether the taps lie so far apart that most of what is between them is never looked at.
    fn is_sparse(&self, images: &Images) -> bool {
        let [h, w] = self.seen(self.count[0]);
        let met = images.size[0] * images.size[1] + self.count[0] * self.count[1] * self.taps.len();
        h.saturating_mul(w) > 4 * met
    }
}

/// The weight's side of a pass: where an element of the weight lies, by group, channel of the source, channel of the
/// target and tap.
#[derive(Clone, Copy)]
pub struct Weight<'a> {
    pub of: &'a [f32],
    pub strides: [usize; 3],
}

/// A pass from images to others [n, h, w, channels].
pub struct Pass<'a> {
    pub source: Images<'a>,
    pub phases: &'a [Phase],
    pub groups: usize,
    /// Of a group: channels of the source and of the target.
    pub c: usize,
    pub o: usize,
    /// Of the target.
    pub size: [usize; 2],
    pub scratch: &'a Scratch,
}

/// The windows of a task: of some images, the rows of a phase.
pub struct Task<'a> {
    pub phase: &'a Phase,
    pub images: Range<usize>,
    pub rows: Range<usize>,
}

impl Pass<'_> {
    /// Elements of the panels of a phase's weight, of all groups.
    fn panels_of(&self, phase: &Phase) -> usize {
        self.groups * panels([phase.taps.len() * self.c, self.o])
    }

    /// Elements of the panels of all phases.
    pub fn panels(&self) -> usize {
        self.phases.iter().map(|phase| self.panels_of(phase)).sum()
    }

    /// Lays out the weight.
    pub fn lay_out(&self, w: Weight, mut to: &mut [f32]) {
        let mut all: Vec<(&Phase, usize, Panel)> = Vec::new();
        for phase in self.phases {
            let (now, later) = to.split_at_mut(self.panels_of(phase));
            to = later;
            let size = [phase.taps.len() * self.c, self.o];
            let groups = now.chunks_exact_mut(panels(size).max(1)).enumerate();
            all.extend(
                groups.flat_map(|(group, of)| cut(of, size).into_iter().map(move |panel| (phase, group, panel))),
            );
        }
        let [of_group, of_c, of_o] = w.strides;
        parallel::chunks(&mut all, 1, |_, all| {
            for (phase, group, panel) in all {
                let start = *group * of_group + panel.first * of_o;
                for c in 0..self.c {
                    for (t, (_, tap)) in phase.taps.iter().enumerate() {
                        let (row, from) = (t * self.c + c, &w.of[start + c * of_c + tap..]);
                        let (row, rest) = panel.of[row * panel.width..][..panel.width].split_at_mut(panel.columns);
                        row.iter_mut().zip(from.iter().step_by(of_o.max(1))).for_each(|(to, from)| *to = *from);
                        rest.fill(0.0);
                    }
                }
            }
        });
    }

    /// Rows of the target that a task takes, a whole number of every phase's; or several images of few pixels.
    pub fn rows(&self, batch: usize) -> usize {
        let apart = self.phases.first().map_or(1, |phase| phase.apart[0]);
        let (wide, source) = (self.size[1].max(1), self.source.size[1].max(1) * self.c.max(1));
        let rows = (PIXELS / wide).min(SEEN / source).max(1);
        // Enough tasks for every thread.
        let shared = (batch * self.size[0]).div_ceil(4 * parallel::threads()).max(64 / wide + 1);
        let rows = rows.min(shared).next_multiple_of(apart);
        if rows < self.size[0] { rows } else { rows / self.size[0].max(1) * self.size[0].max(1) }
    }

    /// Computes all of the target; `finish` gets each part that is done.
    pub fn run(&self, panels: &[f32], target: &mut [f32], finish: &(dyn Fn(&mut [f32]) + Sync)) {
        if target.is_empty() {
            return;
        }
        let channels = self.groups * self.o;
        let [height, width] = self.size;
        let image = height * width * channels;
        let batch = target.len() / image;
        let rows = self.rows(batch);
        let mut tasks: Vec<(Range<usize>, Range<usize>, &mut [f32])> = Vec::new();
        if rows >= height {
            let many = rows / height;
            let groups = target.chunks_mut(many * image).enumerate();
            tasks.extend(groups.map(|(at, part)| (at * many..at * many + part.len() / image, 0..height, part)));
        } else {
            for (n, target) in target.chunks_mut(image).enumerate() {
                let parts = target.chunks_mut(rows * width * channels).enumerate();
                tasks.extend(parts.map(|(at, part)| {
                    let first = at * rows;
                    (n..n + 1, first..first + part.len() / (width * channels), part)
                }));
            }
        }
        parallel::chunks(&mut tasks, 1, |_, tasks| {
            for (images, rows, part) in tasks {
                self.part(panels, images.clone(), rows.clone(), part);
                finish(part);
            }
        });
    }

    /// Computes some rows of some images.
    pub fn part(&self, mut panels: &[f32], images: Range<usize>, rows: Range<usize>, target: &mut [f32]) {
        let channels = self.groups * self.o;
        for phase in self.phases {
            let (now, later) = panels.split_at(self.panels_of(phase));
            panels = later;
            let task = Task { phase, images: images.clone(), rows: phase.rows(&rows) };
            let skipped = phase.first[0] + task.rows.start * phase.apart[0] - rows.start;
            let k = phase.taps.len() * self.c;
            for group in 0..self.groups {
                let mut pixels: Vec<&mut [f32]> = Vec::new();
                for image in target.chunks_mut(rows.len() * self.size[1] * channels) {
                    let of_image = image.chunks_mut(self.size[1] * channels).skip(skipped).step_by(phase.apart[0]);
                    for row in of_image.take(task.rows.len()) {
                        let of_row = row.chunks_mut(channels).skip(phase.first[1]).step_by(phase.apart[1]);
                        pixels.extend(of_row.map(|pixel| &mut pixel[group * self.o..][..self.o]));
                    }
                }
                if k == 0 {
                    pixels.iter_mut().for_each(|pixel| pixel.fill(0.0));
                    continue;
                }
                let panels = &now[group * now.len() / self.groups..][..now.len() / self.groups];
                self.windows(&task, group, |windows| by_panels(windows, k, panels, &mut pixels, false));
            }
        }
    }

    /// Calls `work` with the windows of a task, a row each.
    pub fn windows(&self, task: &Task, group: usize, mut work: impl FnMut(Rows)) {
        let (phase, source) = (task.phase, &self.source);
        let [_, of_c, of_h, of_w] = source.strides;
        if phase.is_sparse(source) {
            return self.gathered(task, group, work);
        }
        if of_c == 1 && phase.is_inside(source) {
            let first = phase.origin.map(|at| at as usize);
            let start = |image: usize| source.base + image * source.strides[0] + group * self.c;
            let of = |image, row| start(image) + (first[0] + row * phase.step[0]) * of_h + first[1] * of_w;
            let starts = self.starts(task, phase.step[1] * of_w, of);
            let pieces = pieces(phase.taps.iter().map(|([h, w], _)| h * of_h + w * of_w).map(|at| at..at + self.c));
            return self.joined(Rows { of: source.of, starts: &starts, pieces: &pieces }, &mut work);
        }
        let [height, width] = phase.seen(task.rows.len());
        let image = height * width * self.c;
        self.scratch.with(task.images.len() * image, |seen| {
            for (n, seen) in task.images.clone().zip(seen.chunks_exact_mut(image.max(1))) {
                let top = phase.origin[0] + (task.rows.start * phase.step[0]) as isize;
                look(source, [n, group * self.c], [top, phase.origin[1]], [width, self.c], seen);
            }
            let pitch = width * self.c;
            let of = |n, row| (n - task.images.start) * image + (row - task.rows.start) * phase.step[0] * pitch;
            let starts = self.starts(task, phase.step[1] * self.c, of);
            let places = phase.taps.iter().map(|([h, w], _)| h * pitch + w * self.c);
            let pieces = pieces(places.map(|at| at..at + self.c));
            self.joined(Rows { of: seen, starts: &starts, pieces: &pieces }, &mut work);
        });
    }

    /// Windows of short pieces are laid out: each piece has its costs of beginning.
    fn joined(&self, windows: Rows, work: &mut dyn FnMut(Rows)) {
        if windows.pieces.len() < 2 || windows.pieces[0].len() >= SHORT {
            return work(windows);
        }
        let q = windows.pieces.iter().map(|piece| piece.len()).sum::<usize>();
        self.scratch.with(windows.starts.len() * q, |joined| {
            for (start, mut to) in windows.starts.iter().zip(joined.chunks_exact_mut(q)) {
                for piece in windows.pieces {
                    let (now, later) = to.split_at_mut(piece.len());
                    let from = &windows.of[start + piece.start..];
                    match now.len() {
                        // A copy of unknown length costs more than so few elements do.
                        3 => now[..3].copy_from_slice(&from[..3]),
                        9 => now[..9].copy_from_slice(&from[..9]),
                        len => now.copy_from_slice(&from[..len]),
                    }
                    to = later;
                }
            }
            let starts: Vec<usize> = (0..windows.starts.len()).map(|row| row * q).collect();
            work(Rows { of: joined, starts: &starts, pieces: &pieces(Some(0..q)) });
        });
    }

    /// Where each window starts, by where those of a row of them do.
    fn starts(&self, task: &Task, step: usize, of: impl Fn(usize, usize) -> usize) -> Vec<usize> {
        let rows = task.images.clone().flat_map(|image| task.rows.clone().map(move |row| (image, row)));
        let of = &of;
        rows.flat_map(|(image, row)| (0..task.phase.count[1]).map(move |at| of(image, row) + at * step)).collect()
    }

    /// [`Pass::windows`] of taps that lie far apart, which are laid out.
    fn gathered(&self, task: &Task, group: usize, mut work: impl FnMut(Rows)) {
        let (phase, source) = (task.phase, &self.source);
        let [of_n, of_c, of_h, of_w] = source.strides;
        let (q, count) = (phase.taps.len() * self.c, task.images.len() * task.rows.len() * phase.count[1]);
        self.scratch.with(count * q, |windows| {
            let mut to = windows.chunks_exact_mut(self.c);
            for image in task.images.clone() {
                for (row, column) in task.rows.clone().flat_map(|row| (0..phase.count[1]).map(move |c| (row, c))) {
                    for ((at, _), to) in phase.taps.iter().zip(&mut to) {
                        let place = |d: usize, nth: usize| phase.origin[d] + (nth * phase.step[d] + at[d]) as isize;
                        let inside = |d: usize, at: isize| usize::try_from(at).ok().filter(|at| *at < source.size[d]);
                        match (inside(0, place(0, row)), inside(1, place(1, column))) {
                            (Some(h), Some(w)) => {
                                let from = source.base + image * of_n + group * self.c * of_c + h * of_h + w * of_w;
                                to.iter_mut().enumerate().for_each(|(c, to)| *to = source.of[from + c * of_c]);
                            }
                            _ => to.fill(0.0),
                        }
                    }
                }
            }
            let starts: Vec<usize> = (0..count).map(|row| row * q).collect();
            work(Rows { of: windows, starts: &starts, pieces: &pieces(Some(0..q)) });
        });
    }
}

/// Some rows of some channels of an image, [h, w, c], from a pixel on that may lie in the padding: zeros there.
pub fn look(
    source: &Images,
    [image, channel]: [usize; 2],
    [top, left]: [isize; 2],
    [width, channels]: [usize; 2],
    seen: &mut [f32],
) {
    let [of_n, of_c, of_h, of_w] = source.strides;
    let x = &source.of[source.base + image * of_n + channel * of_c..];
    // Columns of the image among those that are seen.
    let before = usize::try_from(-left).unwrap_or(0).min(width);
    let first = usize::try_from(left).unwrap_or(0);
    let pixels = source.size[1].saturating_sub(first).min(width - before);
    for (row, seen) in (top..).zip(seen.chunks_exact_mut(width * channels)) {
        let Some(h) = usize::try_from(row).ok().filter(|h| *h < source.size[0] && pixels > 0) else {
            seen.fill(0.0);
            continue;
        };
        seen[..before * channels].fill(0.0);
        seen[(before + pixels) * channels..].fill(0.0);
        let (x, seen) = (&x[h * of_h + first * of_w..], &mut seen[before * channels..][..pixels * channels]);
        if of_w == channels && (of_c == 1 || channels == 1) {
            seen.copy_from_slice(&x[..pixels * channels]);
        } else if of_c == 1 {
            for (pixel, to) in seen.chunks_exact_mut(channels).enumerate() {
                to.copy_from_slice(&x[pixel * of_w..][..channels]);
            }
        } else {
            turn(x, [of_c, of_w], [pixels, channels], seen);
        }
    }
}

/// [pixels, channels] from channels that lie apart.
fn turn(x: &[f32], [of_c, of_w]: [usize; 2], [pixels, channels]: [usize; 2], to: &mut [f32]) {
    let mut c = 0;
    while c < channels {
        if of_w == 1 && channels - c >= 4 {
            let planes = [0, 1, 2, 3].map(|i| &x[(c + i) * of_c..][..pixels]);
            for (pixel, to) in to.chunks_exact_mut(channels).enumerate() {
                for (to, plane) in to[c..][..4].iter_mut().zip(planes) {
                    *to = plane[pixel];
                }
            }
            c += 4;
            continue;
        }
        for (pixel, to) in to.chunks_exact_mut(channels).enumerate() {
            to[c] = x[c * of_c + pixel * of_w];
        }
        c += 1;
    }
}
