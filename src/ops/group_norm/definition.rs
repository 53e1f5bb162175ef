//! The definition of group normalisation.

use super::GroupNormParams;
use crate::kernel::Call;
use crate::kernel::functions::indices;

impl GroupNormParams {
    /// Every element of [n, positions, c]: its image and channel as one number, and where it lies.
    fn elements(&self) -> impl Iterator<Item = (usize, usize)> {
        let channels = self.channels as usize;
        let all = indices([self.batch, self.positions, self.channels]);
        all.enumerate().map(move |(at, [n, _, c])| (n * channels + c, at))
    }

    /// The sum over each image and channel of a function of that number and of where an element lies.
    fn sums(&self, f: impl Fn(usize, usize) -> f64) -> Vec<f64> {
        let mut sums = vec![0.0; (self.batch * self.channels) as usize];
        self.elements().for_each(|(c, at)| sums[c] += f(c, at));
        sums
    }

    /// The mean over each group of what is summed for its channels, for each channel of it.
    pub(super) fn means(&self, sums: &[f64]) -> Vec<f64> {
        let size = self.size() as usize;
        let groups = sums.chunks(size).map(|group| group.iter().sum::<f64>() / self.count());
        groups.flat_map(|mean| std::iter::repeat_n(mean, size)).collect()
    }
}

/// The mean and the standard deviation of a channel's group, from [2, n, c]: means and variances.
fn of_channel(p: &GroupNormParams, stats: &[f32], c: usize) -> (f64, f64) {
    let variance = f64::from(stats[(p.batch * p.channels) as usize + c]);
    (f64::from(stats[c]), (variance + f64::from(p.eps)).sqrt())
}

pub fn stats(call: &mut Call) {
    let (p, x) = (call.params::<GroupNormParams>(), call.read::<f32>(0));
    let means = p.means(&p.sums(|_, at| f64::from(x[at])));
    let variances = p.means(&p.sums(|c, at| (f64::from(x[at]) - means[c]).powi(2)));
    let all = means.iter().chain(&variances);
    call.write::<f32>(1).iter_mut().zip(all).for_each(|(to, found)| *to = *found as f32);
}

/// y = (x - mean) / std * w + b.
pub fn apply(call: &mut Call) {
    let (p, x, stats) = (call.params::<GroupNormParams>(), call.read::<f32>(0), call.read::<f32>(1));
    let (w, b, y) = (call.read::<f32>(2), call.read::<f32>(3), call.write::<f32>(4));
    for (c, at) in p.elements() {
        let (mean, deviation) = of_channel(&p, stats, c);
        let channel = c % p.channels as usize;
        y[at] = ((f64::from(x[at]) - mean) / deviation * f64::from(w[channel]) + f64::from(b[channel])) as f32;
    }
}

/// sum(dy (x - mean) / std) and sum(dy) of each image and channel.
pub fn sums(call: &mut Call) {
    let p: GroupNormParams = call.params();
    let (x, dy, stats) = (call.read::<f32>(0), call.read::<f32>(1), call.read::<f32>(2));
    let weighted = p.sums(|c, at| {
        let (mean, deviation) = of_channel(&p, stats, c);
        f64::from(dy[at]) * (f64::from(x[at]) - mean) / deviation
    });
    let plain = p.sums(|_, at| f64::from(dy[at]));
    let all = weighted.into_iter().chain(plain);
    call.write::<f32>(3).iter_mut().zip(all).for_each(|(to, sum)| *to = sum as f32);
}

/// dx = (w dy - mean(w dy) - n mean(w dy n)) / std with n = (x - mean) / std, the means over the group.
pub fn backward(call: &mut Call) {
    let p: GroupNormParams = call.params();
    let (x, dy, stats) = (call.read::<f32>(0), call.read::<f32>(1), call.read::<f32>(2));
    let (sums, w, dx) = (call.read::<f32>(3), call.read::<f32>(4), call.write::<f32>(5));
    let channels = p.channels as usize;
    let means = |sums: &[f32]| {
        let weighted = sums.iter().enumerate().map(|(c, sum)| f64::from(*sum) * f64::from(w[c % channels]));
        p.means(&weighted.collect::<Vec<_>>())
    };
    let (weighted, plain) = sums.split_at(p.batch as usize * channels);
    let (of_dyn, of_dy) = (means(weighted), means(plain));
    for (c, at) in p.elements() {
        let (mean, deviation) = of_channel(&p, stats, c);
        let n = (f64::from(x[at]) - mean) / deviation;
        let own = f64::from(w[c % channels]) * f64::from(dy[at]);
        dx[at] = ((own - of_dy[c] - n * of_dyn[c]) / deviation) as f32;
    }
}
