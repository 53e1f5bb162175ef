//! The definition of the pooling kernels.

use super::PoolParams;
use crate::dtype::DType;
use crate::kernel::Call;
use crate::kernel::functions::indices;

impl PoolParams {
    /// Every result, as image, row, column and channel.
    fn results(&self) -> impl Iterator<Item = [usize; 4]> {
        indices([self.batch, self.out[0], self.out[1], self.channels])
    }

    /// The pixels of a window, as rows and columns.
    fn window(&self, at: [usize; 4]) -> impl Iterator<Item = [usize; 2]> {
        self.placed(at).map(|(_, pixel)| pixel)
    }

    /// The same behind their places in the window.
    fn placed(&self, [_, oh, ow, _]: [usize; 4]) -> impl Iterator<Item = (usize, [usize; 2])> {
        let (columns, wide) = (self.places(1, ow), self.kernel[1] as usize);
        self.places(0, oh).flat_map(move |(kh, h)| columns.clone().map(move |(kw, w)| (kh * wide + kw, [h, w])))
    }

    /// The place of a result by `strides`.
    fn result_at(&self, strides: [u32; 4], [n, oh, ow, c]: [usize; 4]) -> usize {
        self.output_at(strides, n, oh, ow) + c * strides[1] as usize
    }

    /// The place of a pixel of the gradient [n, h, w, c].
    fn pixel_at(&self, [n, _, _, c]: [usize; 4], [h, w]: [usize; 2]) -> usize {
        ((n * self.size[0] as usize + h) * self.size[1] as usize + w) * self.channels as usize + c
    }
}

fn rounded(to: &mut [f32], sums: &[f64]) {
    to.iter_mut().zip(sums).for_each(|(to, sum)| *to = *sum as f32);
}

/// The places that a kernel reads.
fn kept(call: &Call, binding: usize) -> Vec<Option<usize>> {
    match call.dtype(binding) {
        DType::U8 => call.read::<u8>(binding).iter().map(|at| (*at < 255).then_some(usize::from(*at))).collect(),
        _ => call.read::<i32>(binding).iter().map(|at| usize::try_from(*at).ok()).collect(),
    }
}

/// Sets the places that a kernel writes.
fn keep(call: &mut Call, binding: usize, places: &[Option<usize>]) {
    match call.dtype(binding) {
        DType::U8 => {
            let bytes = call.write::<u8>(binding).iter_mut().zip(places);
            bytes.for_each(|(to, at)| *to = at.map_or(255, |at| at as u8));
        }
        _ => {
            let words = call.write::<i32>(binding).iter_mut().zip(places);
            words.for_each(|(to, at)| *to = at.map_or(-1, |at| at as i32));
        }
    }
}

/// The largest of each window and its place there, none where all of it is padding. Of equals the first wins, of NaN the last.
pub fn max(call: &mut Call) {
    let (p, x) = (call.params::<PoolParams>(), call.read::<f32>(0));
    let (y, mut places) = (call.write::<f32>(1), Vec::new());
    for at in p.results() {
        let [n, _, _, c] = at;
        let mut best = None;
        for (place, [h, w]) in p.placed(at) {
            let value = x[p.input([n, h, w, c])];
            if best.is_none_or(|(best, _)| value > best || value.is_nan()) {
                best = Some((value, place));
            }
        }
        y[p.result_at(p.y, at)] = best.map_or(f32::NEG_INFINITY, |(value, _)| value);
        places.push(best.map(|(_, place)| place));
    }
    keep(call, 2, &places);
}

/// A result's gradient goes to the largest of its window; with a relu before the pooling, where that lets it pass.
pub fn max_backward(call: &mut Call) {
    let (p, dy, places) = (call.params::<PoolParams>(), call.read::<f32>(0), kept(call, 1));
    let is_relu = p.relu == 1;
    let y = if is_relu { call.read::<f32>(2) } else { &[] };
    let dx = call.write::<f32>(if is_relu { 3 } else { 2 });
    let mut sums = vec![0.0f64; dx.len()];
    for (at, place) in p.results().zip(places) {
        let pixel = p.placed(at).find(|(at, _)| Some(*at) == place);
        let is_stopped = is_relu && y[p.result_at(p.y, at)] <= 0.0;
        if let Some((_, pixel)) = pixel.filter(|_| !is_stopped) {
            sums[p.pixel_at(at, pixel)] += f64::from(dy[p.result_at(p.dy, at)]);
        }
    }
    rounded(dx, &sums);
}

/// The mean of each window; what of it is padding counts as zeros.
pub fn avg(call: &mut Call) {
    let (p, x) = (call.params::<PoolParams>(), call.read::<f32>(0));
    for (at, y) in p.results().zip(call.write::<f32>(1)) {
        let [n, oh, ow, c] = at;
        let sum: f64 = p.window(at).map(|[h, w]| f64::from(x[p.input([n, h, w, c])])).sum();
        *y = (sum / p.divisor(oh, ow)) as f32;
    }
}

/// Each pixel of a window gets its share of the gradient.
pub fn avg_backward(call: &mut Call) {
    let (p, dy) = (call.params::<PoolParams>(), call.read::<f32>(0));
    let dx = call.write::<f32>(1);
    let mut sums = vec![0.0f64; dx.len()];
    for (at, dy) in p.results().zip(dy) {
        let share = f64::from(*dy) / p.divisor(at[1], at[2]);
        p.window(at).for_each(|pixel| sums[p.pixel_at(at, pixel)] += share);
    }
    rounded(dx, &sums);
}
