//! Indices by what they name: `shaders/order.wgsl` sorts them, `shaders/runs.wgsl` joins what goes to one place.
//!
//! An invocation for each place that looks at all indices makes places times indices steps; sorted, equal ones lie side by side,
//! in the order in which they came, so that the sums are the same to the bit.

use crate::kernel::{Access, Constant, Info, Lowering, Pass, Shader, Slot, Uniform, groups, parallel, shader};
use crate::shape::Shape;
use bytemuck::{Pod, Zeroable};

use Access::{Read, ReadWrite, Write};

static ORDER: Shader = shader!("order", ["lines"], &[Read, Read, Write]);
static RUNS: Shader = shader!("runs", ["halves", "lines"], &[Read, Read, Read, ReadWrite]);

/// Lines of `length` indices, which name one of `size` places each: the struct of the same name in `shaders/prelude/lines.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Uniform)]
pub struct Lines {
    pub outer: u32,
    pub size: u32,
    pub inner: u32,
    pub length: u32,
    /// 1 where each element has an index of its own, 0 where one stands for all of `outer` and `inner`.
    pub each: u32,
    /// The part that a pass works on.
    pub first: u32,
    pub end: u32,
    /// How a definition joins what meets.
    pub join: u32,
    /// Entries that a pass sorts at a time, a power of two.
    pub chunk: u32,
    /// The bits of what is picked by an index outside.
    pub missing: u32,
}

/// Those of NaN.
const NAN: u32 = 0x7fc0_0000;

/// How elements are joined: the shader's numbers.
#[derive(Clone, Copy, PartialEq)]
pub enum Join {
    Set = 0,
    Sum = 1,
    Prod = 2,
    Max = 3,
    Min = 4,
}

impl Join {
    /// By its number.
    pub fn of(number: u32) -> Join {
        match number {
            0 => Join::Set,
            1 => Join::Sum,
            2 => Join::Prod,
            3 => Join::Max,
            _ => Join::Min,
        }
    }
}

/// Entries that are compared with one another before sorted ones are merged.
const FIRST: u32 = 128;

/// Places of the order, or indices, that one pass looks at.
pub const PART: u32 = 32_768;

impl Lines {
    /// One index for each row of a table of `size` rows of `inner` elements.
    pub fn rows(size: usize, inner: usize, length: usize) -> Lines {
        let [size, inner, length] = [size, inner, length].map(|n| n as u32);
        let join = Join::Sum as u32;
        Lines { outer: 1, size, inner, length, each: 0, first: 0, end: length, join, chunk: 0, missing: NAN }
    }

    /// Lines along a dimension, with an index for each element (1) or for each line (0).
    pub fn along(shape: &Shape, dim: usize, length: usize, each: u32) -> Lines {
        let count = |sizes: &[usize]| sizes.iter().product::<usize>();
        let mut lines = Lines::rows(shape[dim], count(&shape[dim + 1..]), length);
        (lines.outer, lines.each) = (count(&shape[..dim]) as u32, each);
        lines
    }

    fn lines(&self) -> u64 {
        if self.each == 1 { u64::from(self.outer) * u64::from(self.inner) } else { 1 }
    }

    /// Indices of all lines.
    fn entries(&self) -> u64 {
        self.lines() * u64::from(self.length)
    }

    /// Merges until a line is sorted.
    fn merges(&self) -> u64 {
        u64::from(self.length.div_ceil(FIRST).max(1).next_power_of_two().ilog2())
    }

    /// Whether sorting is less work than a look at every index for every place.
    pub fn is_long(&self) -> bool {
        let [of_outer, size, of_inner, length] = [self.outer, self.size, self.inner, self.length].map(u64::from);
        let around = of_outer * of_inner;
        let sorting = self.entries() * (length.min(FIRST.into()) + 40 * self.merges()) + 4 * around * (size + length);
        around.saturating_mul(size).saturating_mul(length) > sorting
    }

    /// Whether the order can be bound.
    pub fn fits(&self, info: &Info) -> bool {
        4 * self.entries() <= info.max_binding_bytes
    }

    /// The passes that leave the entries of each line in scratch memory, by what they name, and the place of it.
    pub fn sorted(&self, index: Slot, out: &mut Lowering) -> Slot {
        let bytes = (4 * self.entries()).next_multiple_of(16);
        let [mut order, mut free] = [out.scratch(bytes), out.scratch(bytes)];
        let sort = |entry, p: &Lines, from, to| {
            Pass::new(&ORDER, entry, groups(p.entries() as usize, 64)).slots(&[index, from, to]).params(p)
        };
        let mut p = Lines { chunk: FIRST, ..*self };
        out.passes.push(sort("order", &p, free, order));
        for _ in 0..self.merges() {
            p.chunk *= 2;
            out.passes.push(sort("order_merge", &p, order, free));
            std::mem::swap(&mut order, &mut free);
        }
        order
    }

    /// The passes that join elements of `src` to those of `y`, which has a start, where their indices say.
    pub fn joined(&self, join: Join, [index, src, y]: [Slot; 3], out: &mut Lowering) {
        let order = self.sorted(index, out);
        let width = if self.each == 0 && self.inner.is_multiple_of(4) { 4 } else { 1 };
        let inner = self.inner / width;
        let [larger, smaller] = match width {
            4 => ["larger4(a, b)", "smaller4(a, b)"],
            _ => ["larger4(vec4<f32>(a), vec4<f32>(b)).x", "smaller4(vec4<f32>(a), vec4<f32>(b)).x"],
        };
        for first in (0..self.length).step_by(PART as usize) {
            let p = Lines { inner, first, end: (first + PART).min(self.length), ..*self };
            let items = u64::from(self.outer) * u64::from(p.end - first) * u64::from(inner);
            let pass = Pass::new(&RUNS, "runs", groups(items as usize, 256))
                .slots(&[index, order, src, y])
                .items(width as usize, &["", "", "SRC"])
                .constant("JOIN", Constant::U32(join as u32))
                .constant("larger(a: ITEM, b: ITEM) -> ITEM", Constant::Function(larger))
                .constant("smaller(a: ITEM, b: ITEM) -> ITEM", Constant::Function(smaller));
            out.passes.push(pass.params(&p));
        }
    }

    /// Puts each element of `src` where its index says, on all cores: in the order of the source.
    #[inline(always)]
    pub fn put(&self, index: &[i32], src: &[f32], y: &mut [f32], put: impl Fn(&mut f32, f32) + Sync) {
        let [size, inner, length] = [self.size, self.inner, self.length].map(|n| n as usize);
        if size * inner == 0 || length == 0 {
            return;
        }
        // A task has whole blocks of `outer`, or some rows of the only one, for which it looks at all indices: no more than run at
        // once, each with some work.
        let tasks = parallel::threads().min(length * inner / (parallel::GRAIN / 4)).max(1);
        let rows = if self.outer > 1 { size } else { size.div_ceil(tasks) };
        let blocks = (parallel::GRAIN / (size * inner)).max(1);
        let chunk = if self.outer > 1 { blocks * size * inner } else { rows * inner };
        parallel::chunks(
            y,
            chunk,
            #[inline(always)]
            |piece, y| {
                let row = piece * chunk / inner;
                let first = row % size;
                for (at, y) in y.chunks_mut(rows * inner).enumerate() {
                    let (o, rows) = (row / size + at, 0..y.len() / inner);
                    let src = &src[o * length * inner..][..length * inner];
                    let place = |index: i32| usize::try_from(index).ok().and_then(|d| d.checked_sub(first));
                    for (l, src) in src.chunks(inner).enumerate() {
                        if self.each == 0 {
                            if let Some(d) = place(index[l]).filter(|d| rows.contains(d)) {
                                y[d * inner..][..inner].iter_mut().zip(src).for_each(|(y, x)| put(y, *x));
                            }
                            continue;
                        }
                        let index = &index[(o * length + l) * inner..][..inner];
                        for (i, (x, index)) in src.iter().zip(index).enumerate() {
                            if let Some(d) = place(*index).filter(|d| rows.contains(d)) {
                                put(&mut y[d * inner + i], *x);
                            }
                        }
                    }
                }
            },
        );
    }
}
