//! The definition of attention and its gradient: for each query, the shares of the keys that it sees.

use super::AttentionParams;
use super::host::NONE;
use crate::kernel::Call;
use crate::kernel::functions::indices;

/// Some rows [batch, heads, rows, head_dim] of a binding.
#[derive(Clone, Copy)]
struct Rows<'a> {
    x: &'a [f32],
    place: [u32; 4],
    width: usize,
}

/// The first element of a row, by its place in vec4.
fn start(place: [u32; 4], [batch, head, row]: [usize; 3]) -> usize {
    let [first, of_batch, of_head, of_row] = place.map(|at| 4 * at as usize);
    first + batch * of_batch + head * of_head + row * of_row
}

impl<'a> Rows<'a> {
    fn row(&self, at: [usize; 3]) -> impl Iterator<Item = f64> + Clone + 'a {
        self.x[start(self.place, at)..][..self.width].iter().map(|x| f64::from(*x))
    }
}

/// A number of f32, where it may be infinite, or 0.
fn rounded(x: f64) -> f64 {
    f64::from(x as f32)
}

fn dot(a: impl Iterator<Item = f64>, b: impl Iterator<Item = f64>) -> f64 {
    rounded(a.zip(b).map(|(a, b)| a * b).sum())
}

impl AttentionParams {
    fn rows<'a>(&self, x: &'a [f32], place: [u32; 4]) -> Rows<'a> {
        Rows { x, place, width: 4 * self.quads as usize }
    }

    /// The scores of a query for each key that it sees: scale q k + mask.
    fn scores(&self, q: Rows, k: Rows, mask: &[f32], [batch, head, query]: [usize; 3]) -> Vec<f64> {
        let keys = if self.causal == 1 { self.keys.min(query as u32 + 1) } else { self.keys } as usize;
        let [first, of_batch, of_head, of_query] = self.mask.map(|step| step as usize);
        let score = |key: usize| {
            let at = first + batch * of_batch + head * of_head + query * of_query + key * self.mask_key as usize;
            let added = if self.masked == 1 { f64::from(mask[at]) } else { 0.0 };
            f64::from(self.scale) * dot(q.row([batch, head, query]), k.row([batch, head, key])) + added
        };
        (0..keys).map(score).collect()
    }

    /// The place of the logarithm of a query's sum.
    fn lse_at(&self, [batch, head, query]: [usize; 3]) -> usize {
        (batch * self.queries as usize + query) * self.heads as usize + head
    }
}

pub fn forward(call: &mut Call) {
    let p: AttentionParams = call.params();
    let [q, k, v] = [(0, p.q), (1, p.k), (2, p.v)].map(|(at, place)| p.rows(call.read(at), place));
    let (mask, y, lse) = (call.read::<f32>(3), call.write::<f32>(4), call.write::<f32>(5));
    for at @ [batch, head, _] in indices([p.batch, p.heads, p.queries]) {
        let scores = p.scores(q, k, mask, at);
        let top = scores.iter().fold(f64::NEG_INFINITY, |top, score| top.max(*score));
        let y = &mut y[start(p.y, at)..][..q.width];
        // A query that sees no key: all are hidden. A score that is no number hides none.
        if top == f64::NEG_INFINITY && !scores.iter().any(|score| score.is_nan()) {
            y.fill(0.0);
            lse[p.lse_at(at)] = NONE;
            continue;
        }
        let total: f64 = scores.iter().map(|score| (score - top).exp()).sum();
        let mut mixed = vec![0.0f64; y.len()];
        for (key, score) in scores.iter().enumerate() {
            let share = rounded((score - top).exp() / total);
            mixed.iter_mut().zip(v.row([batch, head, key])).for_each(|(mixed, v)| *mixed += share * v);
        }
        y.iter_mut().zip(mixed).for_each(|(y, mixed)| *y = mixed as f32);
        lse[p.lse_at(at)] = (top + total.ln()) as f32;
    }
}

/// The shares come again from the scores and the logarithm of their sum. Where a share moves by d, its score s does by
/// ds = share (dy v - dy y), and with it go the query and the key.
pub fn backward(call: &mut Call) {
    let p: AttentionParams = call.params();
    let (mask, lse) = (call.read::<f32>(3), call.read::<f32>(5));
    let [q, k, v, y, dy] =
        [(0, p.q), (1, p.k), (2, p.v), (4, p.y), (6, p.dy)].map(|(at, place)| p.rows(call.read(at), place));
    let grads = call.write::<f32>(7);
    let mut sums = vec![0.0f64; grads.len()];
    let mut add = |place: [u32; 4], at: [usize; 3], factor: f64, row: Rows, from: [usize; 3]| {
        let to = &mut sums[start(place, at)..][..row.width];
        to.iter_mut().zip(row.row(from)).for_each(|(to, x)| *to += factor * x);
    };
    for at @ [batch, head, _] in indices([p.batch, p.heads, p.queries]) {
        let delta = dot(y.row(at), dy.row(at));
        for (key, score) in p.scores(q, k, mask, at).into_iter().enumerate() {
            let seen = [batch, head, key];
            let share = rounded((score - f64::from(lse[p.lse_at(at)])).exp());
            let slope = f64::from(p.scale) * share * (dot(dy.row(at), v.row(seen)) - delta);
            add(p.dv, seen, share, dy, at);
            add(p.dq, at, slope, k, seen);
            add(p.dk, seen, slope, q, at);
        }
    }
    grads.iter_mut().zip(sums).for_each(|(to, sum)| *to = sum as f32);
}
