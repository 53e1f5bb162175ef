//! The definition of batch normalisation.

use super::BatchNormParams;
use crate::kernel::Call;
use crate::kernel::functions::{held, indices};

impl BatchNormParams {
    /// Every element of [n, c, ..]: its channel, and where it lies.
    fn elements(&self) -> impl Iterator<Item = (usize, usize)> {
        let [of_n, of_c, of_position] = self.strides.map(|step| step as usize);
        let all = indices([self.batch, self.channels, self.positions]);
        all.map(move |[n, c, position]| (c, n * of_n + c * of_c + position * of_position))
    }

    /// The sum over each channel of a function of the channel and of where an element lies.
    fn sums(&self, f: impl Fn(usize, usize) -> f64) -> Vec<f64> {
        let mut sums = vec![0.0; self.channels as usize];
        self.elements().for_each(|(c, at)| sums[c] += f(c, at));
        sums
    }
}

/// The mean and the standard deviation of a channel, from [2, channels]: means and variances.
fn of_channel(p: &BatchNormParams, stats: &[f32], c: usize) -> (f64, f64) {
    let variance = f64::from(stats[p.channels as usize + c]);
    (f64::from(stats[c]), (variance + f64::from(p.eps)).sqrt())
}

pub fn stats(call: &mut Call) {
    let (p, x) = (call.params::<BatchNormParams>(), call.read::<f32>(0));
    let count = p.count() as f64;
    let means: Vec<f64> = p.sums(|_, at| f64::from(x[at])).iter().map(|sum| sum / count).collect();
    let squares = p.sums(|c, at| (f64::from(x[at]) - means[c]).powi(2));
    let all = means.iter().copied().chain(squares.iter().map(|sum| sum / count));
    call.write::<f32>(1).iter_mut().zip(all).for_each(|(to, found)| *to = found as f32);
}

/// y = (x - mean) / std * w + b, plus another where there is one, held between two numbers.
pub fn apply(call: &mut Call) {
    let (p, x, stats) = (call.params::<BatchNormParams>(), call.read::<f32>(0), call.read::<f32>(1));
    let (w, b) = (call.read::<f32>(2), call.read::<f32>(3));
    let other = (call.bindings() == 6).then(|| call.read::<f32>(4));
    let y = call.write::<f32>(call.bindings() - 1);
    for (c, at) in p.elements() {
        let (mean, deviation) = of_channel(&p, stats, c);
        let normal = (f64::from(x[at]) - mean) / deviation * f64::from(w[c]) + f64::from(b[c]);
        let sum = other.map_or(normal, |other| normal + f64::from(other[at])) as f32;
        y[at] = held(sum, p.low, p.high);
    }
}

/// dw = sum(dy (x - mean) / std) and db = sum(dy) of each channel.
pub fn sums(call: &mut Call) {
    let p: BatchNormParams = call.params();
    let (x, dy, stats) = (call.read::<f32>(0), call.read::<f32>(1), call.read::<f32>(2));
    let weighted = p.sums(|c, at| {
        let (mean, deviation) = of_channel(&p, stats, c);
        f64::from(dy[at]) * (f64::from(x[at]) - mean) / deviation
    });
    let plain = p.sums(|_, at| f64::from(dy[at]));
    let all = weighted.into_iter().chain(plain);
    call.write::<f32>(3).iter_mut().zip(all).for_each(|(to, sum)| *to = sum as f32);
}

/// dx = w / std (dy - mean(dy) - n mean(dy n)) with n = (x - mean) / std.
pub fn backward(call: &mut Call) {
    let p: BatchNormParams = call.params();
    let (x, dy, stats) = (call.read::<f32>(0), call.read::<f32>(1), call.read::<f32>(2));
    let (sums, w, dx) = (call.read::<f32>(3), call.read::<f32>(4), call.write::<f32>(5));
    let (weighted, plain) = sums.split_at(p.channels as usize);
    for (c, at) in p.elements() {
        let (mean, deviation) = of_channel(&p, stats, c);
        let [of_dyn, of_dy] = [weighted[c], plain[c]].map(|sum| f64::from(sum) / p.count() as f64);
        let n = (f64::from(x[at]) - mean) / deviation;
        dx[at] = (f64::from(w[c]) / deviation * (f64::from(dy[at]) - of_dy - n * of_dyn)) as f32;
    }
}
