//! Rows that stand for the same row of a table, added up, and rows put into a table: `order.rs`,
//! `shaders/coalesce.wgsl`, `shaders/rows_put.wgsl`.

use super::order::Lines;
use crate::dtype::DType;
use crate::kernel::convert::convert;
use crate::kernel::{
    Access, Call, Cost, Dispatch, Kernel, Lowering, Pass, Shader, Slot, Tolerance, Uniform, Variant, groups, parallel,
    shader,
};
use crate::tensor::Tensor;
use bytemuck::{Pod, Zeroable};
use std::collections::HashMap;
use std::ops::Range;

use Access::{Read, ReadWrite, Write};

static PUT: Shader = shader!("rows_put", ["halves"], &[Read, Read, ReadWrite]);

static SUMS: Shader = shader!("coalesce", &[Read, Read, Read, ReadWrite, Write]);

/// `n` entries of `width` elements, or of as many vec4, for a table of `size` rows.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Uniform)]
struct CoalesceParams {
    n: u32,
    width: u32,
    size: u32,
}

/// Sorted entries of which one invocation adds up those of one row.
const PART: u64 = 64;

/// [index, values, rows, sums]: where an index stands for the first time, it and the sum of all of its values; elsewhere -1 and 0.
static COALESCE: Kernel = Kernel::new("coalesce", &[Read, Read, Write, Write], definition, |d| {
    let n = u64::from(d.params::<CoalesceParams>().n);
    d.cost(d.len(1) as u64 + n * u64::from(n.max(2).ilog2()))
})
.host(host)
.tolerance(Tolerance::SUMMED)
.variants(&[
    Variant::new("sorted", |_, d| sorted(d)).fits(|_, d| d.params::<CoalesceParams>().n as u64 <= PART * 65_535)
]);

fn sorted(d: &Dispatch) -> Lowering {
    let mut p: CoalesceParams = d.params();
    let mut out = Lowering::default();
    let parts = out.scratch((4 * d.len(1) as u64).next_multiple_of(16));
    let lines = Lines::rows(p.size as usize, p.width as usize, p.n as usize);
    let order = lines.sorted(Slot::Arg(0), &mut out);
    let each = if p.width.is_multiple_of(4) { 4 } else { 1 };
    p.width /= each;
    let sum = |entry, from, to| {
        Pass::new(&SUMS, entry, groups(d.len(1) / each as usize, 256))
            .slots(&[Slot::Arg(0), order, from, Slot::Arg(2), to])
            .items(each as usize, &[])
            .params(&p)
    };
    out.passes.push(sum("coalesce_parts", Slot::Arg(1), parts));
    out.passes.push(sum("coalesce", parts, Slot::Arg(3)));
    out
}

fn definition(call: &mut Call) {
    let (p, index, values) = (call.params::<CoalesceParams>(), call.read::<i32>(0), call.read::<f32>(1));
    let (width, mut first) = (p.width as usize, HashMap::new());
    let (rows, mut sums) = (call.write::<i32>(2), vec![0.0f64; values.len()]);
    for (entry, (index, row)) in index.iter().zip(rows.iter_mut()).enumerate() {
        *row = -1;
        if !usize::try_from(*index).is_ok_and(|row| row < p.size as usize) {
            continue;
        }
        let to = *first.entry(*index).or_insert(entry);
        if to == entry {
            *row = *index;
        }
        for at in 0..width {
            sums[to * width + at] += f64::from(values[entry * width + at]);
        }
    }
    call.write::<f32>(3).iter_mut().zip(sums).for_each(|(to, sum)| *to = sum as f32);
}

/// By sorting: equal rows then lie side by side.
fn host(call: &mut Call) {
    let (p, index, values) = (call.params::<CoalesceParams>(), call.read::<i32>(0), call.read::<f32>(1));
    let (rows, sums, width) = (call.write::<i32>(2), call.write::<f32>(3), p.width as usize);
    let entry = |(at, index): (usize, &i32)| {
        usize::try_from(*index).ok().filter(|row| *row < p.size as usize).map(|row| (row as u64) << 32 | at as u64)
    };
    let mut order: Vec<u64> = index.iter().enumerate().filter_map(entry).collect();
    order.sort_unstable();
    // The place in that order of all entries of a row, where its first one is.
    let mut all: Vec<Range<usize>> = vec![0..0; index.len()];
    rows.fill(-1);
    let mut end = 0;
    for run in order.chunk_by(|a, b| a >> 32 == b >> 32) {
        let first = run[0] as u32 as usize;
        rows[first] = (run[0] >> 32) as i32;
        all[first] = end..end + run.len();
        end += run.len();
    }
    let row_of = |entry: u64| &values[entry as u32 as usize * width..][..width];
    parallel::rows(
        sums,
        width,
        #[inline(always)]
        |at, sum| match &order[all[at].clone()] {
            [] => sum.fill(0.0),
            [one] => sum.copy_from_slice(row_of(*one)),
            many => {
                for (c, sum) in sum.iter_mut().enumerate() {
                    *sum = many.iter().map(|entry| f64::from(row_of(*entry)[c])).sum::<f64>() as f32;
                }
            }
        },
    );
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Uniform)]
struct PutParams {
    n: u32,
    width: u32,
}

/// table[rows[i]] = values[i], where rows[i] is not -1 and stands there once.
static ROWS_PUT: Kernel = Kernel::new(
    "rows_put",
    PUT.access,
    |call| {
        let (values, rows, p) = (call.read::<f32>(0), call.read::<i32>(1), call.params::<PutParams>());
        let (table, width) = (call.write::<f32>(2), p.width as usize);
        for (row, values) in rows.iter().zip(values.chunks(width)) {
            if let Ok(row) = usize::try_from(*row) {
                table[row * width..][..width].copy_from_slice(values);
            }
        }
    },
    |d| Cost { flops: 0, bytes: 2 * d.bindings[0].bytes + d.bindings[1].bytes },
)
.host(put_host)
.tolerance(Tolerance::EXACT)
.variants(&[Variant::new("flat", |_, d| {
    let p: PutParams = d.params();
    let (pass, width) = items(Pass::new(&PUT, "rows_put", 1), p.n, p.width, &["VALUES", "", "TABLE"]);
    pass.params(&PutParams { width, ..p }).alone()
})]);

/// The same without a look at what stays, which a table of half size is widened for.
fn put_host(call: &mut Call) {
    let (values, rows, p) = (call.read::<f32>(0), call.read::<i32>(1), call.params::<PutParams>());
    let (width, dtype) = (p.width as usize, call.dtype(2));
    let bytes = width * dtype.bytes();
    let table = call.write_bits::<u8>(2);
    for (row, values) in rows.iter().zip(values.chunks(width)) {
        if let Ok(row) = usize::try_from(*row) {
            let place = &mut table[row * bytes..][..bytes];
            convert(bytemuck::cast_slice(values), DType::F32, place, dtype, width, false);
        }
    }
}

/// A pass of an invocation for each element of `n` rows, or for each vec4 where a row is of whole ones, and the items of a row.
/// `names` are those of [`Pass::items`].
pub fn items(pass: Pass, n: u32, width: u32, names: &'static [&'static str]) -> (Pass, u32) {
    let each = if width.is_multiple_of(4) { 4 } else { 1 };
    let pass = pass.items(each as usize, names);
    (Pass { groups: groups(n as usize * (width / each) as usize, 256), ..pass }, width / each)
}

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&COALESCE, &ROWS_PUT];

impl Tensor {
    /// These values `[n, width]` of rows `index` `[n]` of a table of so many rows, added up where a row first stands, in f32; the
    /// others are of row -1, and 0.
    #[track_caller]
    pub(crate) fn coalesced(&self, index: &Tensor, size: usize) -> (Tensor, Tensor) {
        let (index, values) = (index.contiguous(), self.contiguous());
        let shape = values.shape();
        let rows = Tensor::empty([shape[0]], DType::I32, self.device());
        let sums = Tensor::empty(shape, DType::F32, self.device());
        let p = CoalesceParams { n: shape[0] as u32, width: shape[1] as u32, size: size as u32 };
        if values.numel() == 0 {
            return (Tensor::full([shape[0]], -1, self.device()), sums);
        }
        Tensor::run(&COALESCE, &[&index, &values, &rows, &sums], &p);
        (rows, sums)
    }

    /// Writes rows `[n, width]` into this table, in place, where `rows` `[n]` says; a row is named once at most, and -1 is none.
    #[track_caller]
    pub(crate) fn put_rows(&self, rows: &Tensor, values: &Tensor) {
        let p = PutParams { n: rows.numel() as u32, width: self.size(1) as u32 };
        if values.numel() > 0 {
            Tensor::run(&ROWS_PUT, &[&values.contiguous(), rows, self], &p);
        }
    }
}
