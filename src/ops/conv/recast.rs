//! Convolutions that the ways without columns do not take, recast as ones that they do: `shaders/arrange.wgsl`.
//!
//! Channels become neighbours, padded with zeros to a multiple of 4, and what is computed of the padding is left out. The gradient
//! of the images of a convolution by strides is, for each place of a pixel between strides, a convolution of dy without one: by
//! the taps that fall there. Groups whose channels are no multiple of 4 go several together, with weights of 0 between them.

use super::ConvParams;
use super::lower::{Ends, Places, Rows, Taps, ended_weight, placed, reordered};
use crate::kernel::strided::Strided;
use crate::kernel::{Access, Dispatch, Info, Lowering, Pass, Shader, Slot, Uniform, groups, shader};
use crate::ops::{copy, fill};
use bytemuck::{Pod, Zeroable};

static ARRANGE: Shader = shader!("arrange", ["halves"], &[Access::Read, Access::Write]);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Uniform)]
struct ArrangeParams {
    n: u32,
    /// All sizes but the first.
    size: [u32; 3],
    limit: [u32; 4],
    base: u32,
    step: [u32; 4],
}

/// A tensor of four dimensions that is read by steps.
struct Source {
    slot: Slot,
    sizes: [u32; 4],
    base: u32,
    steps: [u32; 4],
}

impl Source {
    /// Its elements in scratch memory, in dimensions of `sizes`, with zeros where these are larger.
    fn arranged(&self, sizes: [u32; 4], out: &mut Lowering) -> Slot {
        let n = sizes.iter().product::<u32>();
        let place = out.scratch(u64::from(n) * 4);
        let [_, rest @ ..] = sizes;
        let params = ArrangeParams { n: n / 4, size: rest, limit: self.sizes, base: self.base, step: self.steps };
        let pass = Pass::new(&ARRANGE, "arrange", groups(n as usize / 4, 256));
        out.passes.push(pass.elements(&["X"]).slots(&[self.slot, place]).params(&params));
        place
    }
}

/// Rows of `wide` elements, of which the first `width` go to dense rows.
fn cut(out: &mut Lowering, [from, to]: [Slot; 2], rows: u32, [wide, width]: [u32; 2]) {
    let walk = Strided::over([rows, width], 0, [wide, 1]);
    let pass = Pass::new(&copy::SHADER, "copy_strided", groups(walk.n as usize, 256));
    out.passes.push(pass.slots(&[from, to]).params(&walk));
}

/// A dispatch's weight, walked from `base`, in memory of `n` elements that are else 0.
fn spread(d: &Dispatch, [sizes, from, to]: [[u32; 6]; 3], base: u32, n: u32, out: &mut Lowering) -> Slot {
    let dense = reordered(d, &Strided::over(sizes, base, from), out);
    let place = out.scratch(u64::from(n) * 4);
    out.passes.push(fill::zeros(place, n));
    let mut walk = Strided::over(sizes, 0, [0; 6]);
    let mut step = 1;
    for (dim, to) in walk.dims.iter_mut().zip(to.into_iter().rev()) {
        (dim[1], dim[2]) = (step, to);
        step *= dim[0];
    }
    let pass = Pass::new(&copy::SHADER, "copy_into", groups(walk.n as usize, 256));
    out.passes.push(pass.slots(&[dense, place]).params(&walk));
    place
}

fn fours(n: u32) -> u32 {
    n.next_multiple_of(4)
}

impl ConvParams {
    /// The same with channels as neighbours, by fours.
    pub(super) fn by_fours(&self) -> ConvParams {
        let [channels, out_channels] = [self.channels, self.out_channels].map(fours);
        let p = ConvParams { channels, out_channels, ..*self };
        if channels == self.channels && self.has_quads() {
            return p;
        }
        let [row, image] = [self.width, self.width * self.height].map(|pixels| pixels * channels);
        ConvParams { x_base: 0, x_n: image, x_c: 1, x_h: row, x_w: channels, ..p }
    }

    /// The same in groups of which each is so many that its channels and results come by fours; as it is where no number does.
    pub(super) fn joined(&self) -> ConvParams {
        let [inputs, results] = [self.channels, self.out_channels].map(|n| n / self.groups);
        let is_whole = |n: &u32| [self.groups, inputs * n, results * n].iter().zip([*n, 4, 4]).all(|(a, b)| a % b == 0);
        let together = [1, 2, 4].into_iter().find(is_whole).unwrap_or(1);
        ConvParams { groups: self.groups / together, ..*self }
    }

    /// Whether the channels of a pixel are neighbours in whole vec4.
    pub(super) fn has_quads(&self) -> bool {
        let words = [self.channels, self.x_base, self.x_n, self.x_h, self.x_w];
        self.x_c == 1 && words.iter().all(|word| word.is_multiple_of(4))
    }

    /// The images as `by_fours` reads them.
    fn images(&self, out: &mut Lowering) -> Slot {
        if self.has_quads() {
            return Slot::Arg(0);
        }
        let (sizes, steps) =
            ([self.batch, self.height, self.width, self.channels], [self.x_n, self.x_h, self.x_w, self.x_c]);
        let source = Source { slot: Slot::Arg(0), sizes, base: self.x_base, steps };
        source.arranged([self.batch, self.height, self.width, fours(self.channels)], out)
    }

    /// The gradient of the results, in `slot`, by fours.
    fn slopes(&self, slot: Slot, out: &mut Lowering) -> Slot {
        let (positions, wide) = (self.batch * self.positions() as u32, fours(self.out_channels));
        if wide == self.out_channels {
            return slot;
        }
        let sizes = [1, 1, positions, self.out_channels];
        Source { slot, sizes, base: 0, steps: [0, 0, self.out_channels, 1] }.arranged([1, 1, positions, wide], out)
    }

    /// Taps of the weight [o, c, kh, kw] as [kh, kw, inputs, results], by fours; of several groups as [kh, kw, inputs of a joined
    /// group, results].
    fn taps_of(&self, d: &Dispatch, (sizes, base, steps): Places, out: &mut Lowering) -> Slot {
        let [kernel_h, kernel_w, inputs, results] = sizes;
        if self.groups > 1 {
            let [down, right, input, result] = steps;
            let [inputs, results] = [inputs, results].map(|n| n / self.groups);
            // Behind a group's results are those of the next.
            let group = if result > input { result * results } else { input * inputs };
            let together = self.groups / self.joined().groups;
            if together > 1 {
                let row = self.groups * results;
                let tap = together * inputs * row;
                let sizes = [kernel_h, kernel_w, inputs, self.groups / together, together, results];
                let from = [down, right, input, together * group, group, result];
                let to = [kernel_w * tap, tap, row, together * results, inputs * row + results, 1];
                return spread(d, [sizes, from, to], base, kernel_h * kernel_w * tap, out);
            }
            let sizes = [kernel_h, kernel_w, inputs, self.groups, results];
            let walk = Strided::over(sizes, base, [down, right, input, group, result]);
            return reordered(d, &walk, out);
        }
        Source { slot: Slot::Arg(1), sizes, base, steps }
            .arranged([kernel_h, kernel_w, fours(inputs), fours(results)], out)
    }

    /// Memory for results by fours: `slot` itself where they are.
    fn results(&self, slot: Slot, rows: u32, width: u32, out: &mut Lowering) -> Slot {
        if width.is_multiple_of(4) { slot } else { out.scratch(u64::from(rows) * u64::from(fours(width)) * 4) }
    }

    /// The bytes of each tensor in its arranged form.
    pub(super) fn arranged_bytes(&self) -> [u64; 3] {
        let [channels, out_channels] = [self.channels, self.out_channels].map(|n| u64::from(fours(n)));
        let [pixels, positions] =
            [self.height * self.width, self.out_h * self.out_w].map(|n| u64::from(n) * u64::from(self.batch));
        let taps = u64::from(self.kernel_h * self.kernel_w);
        [pixels * channels * 4, positions * out_channels * 4, taps * channels * out_channels * 4]
    }
}

pub(super) fn forward(info: &Info, d: &Dispatch, rows: Rows) -> Lowering {
    let (own, mut ends) = (d.params::<ConvParams>(), Ends::of(d));
    let p = own.by_fours().joined();
    let mut out = Lowering::default();
    let x = own.images(&mut out);
    let weight = own.taps_of(d, own.forward_taps(), &mut out);
    if let Some(bias) = ends.bias.filter(|_| p.out_channels != own.out_channels) {
        let source = Source { slot: bias, sizes: [1, 1, 1, own.out_channels], base: 0, steps: [0, 0, 0, 1] };
        ends.bias = Some(source.arranged([1, 1, 1, p.out_channels], &mut out));
    }
    let (y, positions) = (ends.y, own.batch * own.positions() as u32);
    ends.y = own.results(y, positions, own.out_channels, &mut out);
    let pass = rows(info, &p, &ends, [x, weight], &mut out);
    out.passes.push(pass);
    if ends.y != y {
        cut(&mut out, [ends.y, y], positions, [p.out_channels, own.out_channels]);
    }
    out
}

pub(super) fn weight(info: &Info, d: &Dispatch, taps: Taps) -> Lowering {
    let own: ConvParams = d.params();
    let p = own.by_fours().joined();
    let mut out = Lowering::default();
    let (x, dy) = (own.images(&mut out), own.slopes(Slot::Arg(1), &mut out));
    let is_whole = [p.channels, p.out_channels] == [own.channels, own.out_channels];
    let (asked, db) = ended_weight(&own, &mut out);
    let area = own.kernel_h * own.kernel_w;
    let together = own.groups / p.groups;
    if together > 1 {
        // What two groups have of each other is left out.
        let [results, width] = [own.out_channels / own.groups, own.channels / own.groups * area];
        let row = together * width;
        let wide = out.scratch(u64::from(own.out_channels * row) * 4);
        taps(info, p, [x, dy, wide, db], &mut out);
        let steps = [together * results * row, results * row + width, row, 1];
        let walk = Strided::over([p.groups, together, results, width], 0, steps);
        let pass = Pass::new(&copy::SHADER, "copy_strided", groups(walk.n as usize, 256));
        out.passes.push(pass.slots(&[wide, Slot::Arg(2)]).params(&walk));
        return out;
    }
    if is_whole {
        taps(info, p, [x, dy, Slot::Arg(2), db], &mut out);
        return out;
    }
    let wide = out.scratch(u64::from(p.out_channels * p.channels * area) * 4);
    let wide_db = if asked { out.scratch(u64::from(p.out_channels) * 4) } else { db };
    taps(info, p, [x, dy, wide, wide_db], &mut out);
    cut(&mut out, [wide, Slot::Arg(2)], own.out_channels, [p.channels * area, own.channels * area]);
    if asked {
        cut(&mut out, [wide_db, db], 1, [p.out_channels, own.out_channels]);
    }
    out
}

pub(super) fn input(info: &Info, d: &Dispatch, rows: Rows) -> Lowering {
    let own: ConvParams = d.params();
    let p = own.by_fours().joined();
    let mut out = Lowering::default();
    let dy = own.slopes(Slot::Arg(0), &mut out);
    let pixels = own.batch * own.height * own.width;
    let dx = own.results(Slot::Arg(2), pixels, own.channels, &mut out);
    if super::choose::is_turnable(&own) {
        let weight = own.taps_of(d, own.input_taps(), &mut out);
        let pass = rows(info, &p.turned(), &Ends::plain(dx), [dy, weight], &mut out);
        out.passes.push(pass);
    } else {
        phases(info, d, rows, [dy, dx], &mut out);
    }
    if dx != Slot::Arg(2) {
        cut(&mut out, [dx, Slot::Arg(2)], pixels, [p.channels, own.channels]);
    }
    out
}

/// Along one dimension, the pixels at one place between strides: the first of the taps that fall there, how many these are,
/// the position that the last of them meets at the first pixel, below 0 as a wrapped number, and the number of pixels.
struct Phase {
    place: u32,
    tap: u32,
    taps: u32,
    padding: u32,
    pixels: u32,
}

impl Phase {
    fn all(kernel: u32, stride: u32, padding: u32, size: u32) -> impl Iterator<Item = Phase> {
        (0..stride.min(size)).map(move |place| {
            let tap = (place + padding) % stride;
            let taps = kernel.saturating_sub(tap).div_ceil(stride);
            let first = (place + padding) / stride;
            Phase { place, tap, taps, padding: taps.wrapping_sub(1 + first), pixels: (size - place).div_ceil(stride) }
        })
    }
}

fn phases(info: &Info, d: &Dispatch, rows: Rows, [dy, dx]: [Slot; 2], out: &mut Lowering) {
    let own: ConvParams = d.params();
    let p = own.by_fours().joined();
    let of_rows = || Phase::all(own.kernel_h, own.stride_h, own.padding_h, own.height);
    let of_columns = || Phase::all(own.kernel_w, own.stride_w, own.padding_w, own.width);
    if of_rows().chain(of_columns()).any(|phase| phase.taps == 0) {
        let half = matches!(dx, Slot::Arg(at) if d.bindings[at].dtype.is_half());
        let words = own.batch * own.height * own.width * p.channels / if half { 2 } else { 1 };
        out.passes.push(fill::zeros(dx, words).typed());
    }
    let most = of_rows().map(|phase| phase.pixels).max().unwrap_or(0)
        * of_columns().map(|phase| phase.pixels).max().unwrap_or(0);
    let part = out.scratch(u64::from(own.batch * most * p.channels) * 4);
    let area = own.kernel_h * own.kernel_w;
    for down in of_rows().filter(|phase| phase.taps > 0) {
        for right in of_columns().filter(|phase| phase.taps > 0) {
            // From the last tap backwards; steps wrap around in 32 bits.
            let [last_h, last_w] =
                [down.tap + own.stride_h * (down.taps - 1), right.tap + own.stride_w * (right.taps - 1)];
            let steps = [
                (own.stride_h * own.kernel_w).wrapping_neg(),
                own.stride_w.wrapping_neg(),
                own.group()[1] as u32,
                area,
            ];
            let sizes = [down.taps, right.taps, own.out_channels, own.channels];
            let weight = own.taps_of(d, (sizes, last_h * own.kernel_w + last_w, steps), out);
            let of_phase = ConvParams {
                height: p.out_h,
                width: p.out_w,
                out_h: down.pixels,
                out_w: right.pixels,
                kernel_h: down.taps,
                kernel_w: right.taps,
                stride_h: 1,
                stride_w: 1,
                padding_h: down.padding,
                padding_w: right.padding,
                ..p.over_slopes()
            };
            let pass = rows(info, &of_phase, &Ends::plain(part), [dy, weight], out);
            out.passes.push(pass);
            out.passes.push(placed(d, &walk_of(&p, &down, &right), [part, dx]));
        }
    }
}

/// Pixels of a phase into the places between strides.
fn walk_of(p: &ConvParams, down: &Phase, right: &Phase) -> Strided {
    let quads = p.channels / 4;
    let from = [1, quads, quads * right.pixels, quads * right.pixels * down.pixels];
    let row = p.width * quads;
    let to = [1, quads * p.stride_w, row * p.stride_h, row * p.height];
    let sizes = [quads, right.pixels, down.pixels, p.batch];
    let mut walk = Strided::over(sizes, 0, [0; 4]);
    walk.base[1] = down.place * row + right.place * quads;
    for (at, dim) in walk.dims[..4].iter_mut().enumerate() {
        *dim = [sizes[at], from[at], to[at], 0];
    }
    walk
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each pixel meets, by the phases and by the definition.
    #[test]
    fn phases_meet_the_taps_of_each_pixel() {
        for (kernel, stride, padding, size) in
            [(3, 2, 1, 7), (2, 2, 0, 6), (1, 2, 0, 5), (5, 3, 2, 11), (3, 1, 4, 3), (3, 5, 0, 9)]
        {
            let positions = (size + 2 * padding - kernel) / stride + 1;
            let mut met = Vec::new();
            for phase in Phase::all(kernel, stride, padding, size) {
                for i in 0..phase.pixels {
                    for t in 0..phase.taps {
                        let position = (i + t).wrapping_sub(phase.padding);
                        if position < positions {
                            met.push((phase.place + i * stride, position, phase.tap + stride * (phase.taps - 1 - t)));
                        }
                    }
                }
            }
            met.sort_unstable();
            let mut wanted = Vec::new();
            for position in 0..positions {
                for tap in 0..kernel {
                    let pixel = (position * stride + tap).wrapping_sub(padding);
                    if pixel < size {
                        wanted.push((pixel, position, tap));
                    }
                }
            }
            wanted.sort_unstable();
            assert_eq!(met, wanted, "kernel {kernel}, stride {stride}, padding {padding}, size {size}");
        }
    }
}
