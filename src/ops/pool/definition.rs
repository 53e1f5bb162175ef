//! The definition of the pooling kernels.

use super::PoolParams;
use crate::kernel::Call;
use crate::kernel::functions::indices;

impl PoolParams {
    /// Every result, as image, row, column and channel.
    fn results(&self) -> impl Iterator<Item = [usize; 4]> {
        indices([self.batch, self.out[0], self.out[1], self.channels])
    }

    /// The pixels of a window, as rows and columns.
    fn window(&self, [_, oh, ow, _]: [usize; 4]) -> impl Iterator<Item = [usize; 2]> {
        let columns = self.taps(1, ow);
        self.taps(0, oh).flat_map(move |h| columns.clone().map(move |w| [h, w]))
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

/// The largest of each window and its place in the image, -1 where all of it is padding. Of equals the first wins, of NaN the
/// last.
pub fn max(call: &mut Call) {
    let (p, x) = (call.params::<PoolParams>(), call.read::<f32>(0));
    let (y, places) = (call.write::<f32>(1), call.write::<i32>(2));
    for (at, place) in p.results().zip(places) {
        let [n, _, _, c] = at;
        let mut best = None;
        for [h, w] in p.window(at) {
            let value = x[p.input([n, h, w, c])];
            if best.is_none_or(|(best, _)| value > best || value.is_nan()) {
                best = Some((value, (h * p.size[1] as usize + w) as i32));
            }
        }
        (y[p.result_at(p.y, at)], *place) = best.unwrap_or((f32::NEG_INFINITY, -1));
    }
}

/// A result's gradient goes to the largest of its window; with a relu before the pooling, where that lets it pass.
pub fn max_backward(call: &mut Call) {
    let (p, dy, places) = (call.params::<PoolParams>(), call.read::<f32>(0), call.read::<i32>(1));
    let is_relu = p.relu == 1;
    let y = if is_relu { call.read::<f32>(2) } else { &[] };
    let dx = call.write::<f32>(if is_relu { 3 } else { 2 });
    let width = p.size[1] as usize;
    let mut sums = vec![0.0f64; dx.len()];
    for (at, &place) in p.results().zip(places).filter(|(_, place)| **place >= 0) {
        let is_stopped = is_relu && y[p.result_at(p.y, at)] <= 0.0;
        if !is_stopped {
            let place = place as usize;
            sums[p.pixel_at(at, [place / width, place % width])] += f64::from(dy[p.result_at(p.dy, at)]);
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
