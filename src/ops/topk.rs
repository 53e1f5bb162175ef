//! The largest or smallest elements of rows: `shaders/topk.wgsl`.

use crate::autograd::Op;
use crate::dtype::DType;
use crate::kernel::{
    Access, Call, Dispatch, Kernel, Lowering, Pass, Shader, Slot, Tolerance, Uniform, Variant, groups, parallel, shader,
};
use crate::shape::Int;
use crate::tensor::Tensor;
use bytemuck::{Pod, Zeroable};
use std::cmp::Ordering;

static SHADER: Shader = shader!("topk", &[Access::Read, Access::Read, Access::Write]);

/// Rows of `n` elements, of which each stage sees `count` candidates in `chunks`, and keeps `keep` of each.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Uniform)]
struct TopkParams {
    rows: u32,
    n: u32,
    k: u32,
    /// 1: the largest, 0: the smallest.
    largest: u32,
    count: u32,
    chunk: u32,
    chunks: u32,
    keep: u32,
    /// 1: the candidates are the elements themselves.
    first: u32,
}

/// Candidates that are compared with one another, and the most of which the largest are found without sorting.
const CHUNK: u32 = 1024;
const MOST: u32 = 16_384;
/// Candidates that are compared before sorted ones are merged.
const FIRST: u32 = 32;

/// The places of the k first elements of each row in order, [rows, k].
static TOPK: Kernel = Kernel::new("topk", &[Access::Read, Access::Write], definition, |d| {
    let chunk = CHUNK.max(2 * d.params::<TopkParams>().k);
    d.cost(d.len(0) as u64 * u64::from(chunk))
})
.tolerance(Tolerance::EXACT)
.host(host)
.variants(&[
    Variant::new("stages", |_, d| stages(d))
        .fits(|_, d| d.params::<TopkParams>().k <= MOST || d.params::<TopkParams>().n <= 2 * MOST)
        // With more, comparing all in a chunk costs more than sorting them.
        .suits(|_, d| d.params::<TopkParams>().k <= CHUNK / 2 && d.params::<TopkParams>().n <= 4 * CHUNK),
    Variant::new("merges", |_, d| merges(d)),
]);

/// Chunks that are sorted each, and then two by two made one.
fn merges(d: &Dispatch) -> Lowering {
    let mut p: TopkParams = d.params();
    p.chunk = FIRST.min(p.n);
    let mut out = Lowering::default();
    // Each pass reads what the one before it wrote. Two chunks become one, and an odd one counts as two.
    let most = 4 * u64::from(p.rows) * u64::from(p.n.div_ceil(p.chunk).next_power_of_two() * p.k.min(p.chunk));
    let mut turns = [out.scratch(most), out.scratch(most)];
    let (mut entry, mut source) = ("topk", Slot::Arg(0));
    loop {
        p.chunks = p.count.div_ceil(p.chunk);
        p.keep = p.k.min(p.chunk);
        let last = p.chunks == 1;
        let target = if last { Slot::Arg(1) } else { turns[0] };
        let work = p.rows as usize * p.chunks as usize * p.chunk as usize;
        out.passes.push(Pass::new(&SHADER, entry, groups(work, 64)).slots(&[Slot::Arg(0), source, target]).params(&p));
        if last {
            return out;
        }
        p.count = p.chunks * p.keep;
        (p.first, p.chunk, entry, source) = (0, 2 * p.keep, "topk_merge", target);
        turns.reverse();
    }
}

fn stages(d: &Dispatch) -> Lowering {
    let mut p: TopkParams = d.params();
    let mut out = Lowering::default();
    let mut source = Slot::Arg(0);
    loop {
        // Twice k, so that each stage leaves at most half of the candidates.
        p.chunk = CHUNK.max(2 * p.k).min(p.count);
        p.chunks = p.count.div_ceil(p.chunk);
        p.keep = p.k.min(p.chunk);
        let last = p.chunks == 1;
        let left = 4 * u64::from(p.rows) * u64::from(p.chunks * p.keep);
        let target = if last { Slot::Arg(1) } else { out.scratch(left) };
        let work = p.rows as usize * p.chunks as usize * p.chunk as usize;
        out.passes.push(Pass::new(&SHADER, "topk", groups(work, 64)).slots(&[Slot::Arg(0), source, target]).params(&p));
        if last {
            return out;
        }
        p.count = p.chunks * p.keep;
        p.first = 0;
        source = target;
    }
}

fn definition(call: &mut Call) {
    let (p, x) = (call.params::<TopkParams>(), call.read::<f32>(0));
    let n = p.n as usize;
    parallel::chunks(call.write::<i32>(1), p.k as usize, |row, out| {
        let x = &x[row * n..][..n];
        // NaN counts as larger than all else; equal ones stay in order.
        let larger = |a: usize, b: usize| match (x[a].is_nan(), x[b].is_nan()) {
            (false, false) => x[b].partial_cmp(&x[a]).unwrap_or(Ordering::Equal),
            (a, b) => b.cmp(&a),
        };
        let order = |a: &usize, b: &usize| if p.largest == 1 { larger(*a, *b) } else { larger(*b, *a) }.then(a.cmp(b));
        let mut places: Vec<usize> = (0..n).collect();
        if out.len() < n {
            places.select_nth_unstable_by(out.len(), order);
            places.truncate(out.len());
        }
        places.sort_unstable_by(order);
        out.iter_mut().zip(places).for_each(|(out, place)| *out = place as i32);
    });
}

/// Elements as whole numbers that are in order as these are: NaN above all else, both zeros the same.
#[inline(always)]
fn key(x: f32) -> i32 {
    let bits = x.to_bits() as i32;
    let key = if bits < 0 { i32::MIN.wrapping_sub(bits) } else { bits };
    if x.is_nan() { i32::MAX } else { key }
}

/// The most elements that are kept in order while a row is read.
const FEW: usize = 32;

/// Few are kept in order, and most elements compared with the last of them alone; of many, keys and places are sorted as one
/// number.
fn host(call: &mut Call) {
    let (p, x) = (call.params::<TopkParams>(), call.read::<f32>(0));
    let (n, k) = (p.n as usize, p.k as usize);
    // The smallest are the largest with all bits turned.
    let turn = if p.largest == 1 { 0 } else { -1 };
    let each = (parallel::GRAIN / 4 / n.max(1)).max(1);
    parallel::chunks(
        call.write::<i32>(1),
        each * k,
        #[inline(always)]
        |piece, out| {
            for (at, out) in out.chunks_mut(k).enumerate() {
                let x = &x[(piece * each + at) * n..][..n];
                if k > FEW {
                    let number =
                        |(at, x): (usize, &f32)| u64::from((key(*x) ^ turn) as u32 ^ i32::MAX as u32) << 32 | at as u64;
                    let mut numbers: Vec<u64> = x.iter().enumerate().map(number).collect();
                    if k < n {
                        numbers.select_nth_unstable(k);
                        numbers.truncate(k);
                    }
                    numbers.sort_unstable();
                    out.iter_mut().zip(numbers).for_each(|(out, number)| *out = number as u32 as i32);
                    continue;
                }
                let mut best = [0i32; FEW];
                let mut put = |count: usize, place: usize, new: i32| {
                    let mut to = count;
                    while to > 0 && best[to - 1] < new {
                        if to < k {
                            (best[to], out[to]) = (best[to - 1], out[to - 1]);
                        }
                        to -= 1;
                    }
                    if to < k {
                        (best[to], out[to]) = (new, place as i32);
                    }
                    best[k - 1]
                };
                let mut last = i32::MIN;
                for (place, x) in x[..k].iter().enumerate() {
                    last = put(place, place, key(*x) ^ turn);
                }
                for (place, x) in x.iter().enumerate().skip(k) {
                    let new = key(*x) ^ turn;
                    if new > last {
                        last = put(k, place, new);
                    }
                }
            }
        },
    );
}

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&TOPK];

/// Which elements [`Tensor::topk`] finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Extreme {
    /// The largest first.
    #[default]
    Largest,
    /// The smallest first.
    Smallest,
}

/// # The largest
impl Tensor {
    /// The `k` largest or smallest elements along a dimension, in order, and their indices (i32). NaN counts as larger than
    /// all else; of equal ones the first comes first.
    ///
    /// # Panics
    /// If there is no such dimension, or it has fewer than `k` elements.
    #[doc(alias("sort", "kthvalue"))]
    #[track_caller]
    pub fn topk(&self, k: usize, dim: impl Int, extreme: Extreme) -> (Tensor, Tensor) {
        let dim = dim.int();
        let axis = self.shape().dim_or_scalar("topk", dim);
        if self.rank() == 0 {
            assert!(k == 1, "topk: a scalar has one element, not {k}");
            let (values, index) = self.unsqueeze(0).topk(1, 0, extreme);
            return (values.squeeze(0), index.squeeze(0));
        }
        let n = self.shape()[axis];
        assert!(k <= n, "topk: {}: dimension {axis} has no {k} elements", self.shape());
        if !self.dtype().is_float() {
            // By the lower bits, and then by the upper ones.
            let [upper, lower] = self.in_halves_of_bits();
            let first = lower.topk(n, axis, extreme).1;
            let index = first.gather(axis, &upper.gather(axis, &first).topk(k, axis, extreme).1);
            return (self.integers().gather(axis, &index), index);
        }
        let turned = self.detach().transpose(axis as isize, -1).contiguous();
        let mut sizes = turned.shape().to_vec();
        let last = sizes.len() - 1;
        sizes[last] = k;
        let found = Tensor::empty(sizes, DType::I32, self.device());
        if found.numel() > 0 {
            let p = TopkParams {
                rows: (turned.numel() / n) as u32,
                n: n as u32,
                k: k as u32,
                largest: u32::from(extreme == Extreme::Largest),
                count: n as u32,
                chunk: 0,
                chunks: 0,
                keep: 0,
                first: 1,
            };
            Tensor::run(&TOPK, &[&turned, &found], &p);
        }
        let index = found.transpose(axis as isize, -1).contiguous();
        let largest = extreme == Extreme::Largest;
        let op = || Op::new("topk_indices").with("k", k).with("dim", dim).with("largest", largest);
        let index = index.noted(op, &[self]);
        (self.gather(axis as isize, &index), index)
    }
}
