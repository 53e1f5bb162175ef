//! Rows of a table that a step moves alone.

use super::hyper::Hyper;
use super::penalty::Penalty;
use super::rule::{NUMBERS, Rule, own};
use super::slab::Slab;
use crate::autograd::Rows;
use crate::dtype::DType;
use crate::kernel::{Call, Kernel, Uniform, parallel};
use crate::tensor::Tensor;
use bytemuck::{Pod, Zeroable};

/// What a rule does with a gradient of [`Rows`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sparse {
    /// It refuses one: its steps move all of a table.
    #[default]
    Refused,
    /// It takes one for a whole gradient, with zeros elsewhere.
    Whole,
    /// It moves these rows alone, and all of a table by a whole gradient.
    Taken,
    /// It moves these rows alone, and refuses a whole gradient.
    Only,
}

/// The place of rows in a step: the first words of the parameters of a kernel that moves them.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable, Uniform)]
pub struct RowsPlace {
    /// The number of rows.
    pub n: u32,
    /// The elements of each; as the kernel's passes see it, the vec4 where these are whole.
    pub width: u32,
    /// The start of the group's [numbers](RowBucket::numbers).
    pub at: u32,
    /// The start of the parameter's own numbers, where `numbers[2]` is 1.
    pub own: u32,
}

/// A table of which a step moves some rows: each is there once, with the sum of its gradients, and other rows are of number -1.
pub struct RowBucket<'a> {
    pub(super) slab: &'a Slab,
    /// The number of its parameter in the slab.
    pub(super) entry: usize,
    /// The number of its group.
    pub(super) group: usize,
    hyper: &'a Hyper,
    rows: Tensor,
    sums: Tensor,
}

impl<'a> RowBucket<'a> {
    /// Of a gradient.
    #[track_caller]
    pub(super) fn new(
        slab: &'a Slab,
        (group, entry): (usize, usize),
        hyper: &'a Hyper,
        gradient: &Rows,
    ) -> RowBucket<'a> {
        let (rows, sums) = gradient.values().detach().coalesced(gradient.indices(), gradient.shape()[0]);
        RowBucket { slab, entry, group, hyper, rows, sums }
    }

    /// The numbers of the rows, `[n]`.
    pub fn rows(&self) -> &Tensor {
        &self.rows
    }

    /// Their gradients, `[n, width]`, before the factor that clips: `numbers[0]`.
    pub fn gradients(&self) -> &Tensor {
        &self.sums
    }

    /// The table, `[size, width]`.
    pub fn values(&self) -> Tensor {
        self.slab.view(self.entry, &self.slab.values)
    }

    /// The moments of the rule, each as large as the table.
    pub fn moments(&self) -> Vec<Tensor> {
        self.slab.moments.iter().map(|moment| self.slab.view(self.entry, moment)).collect()
    }

    /// The numbers of the step, as those of a [`Bucket`](super::Bucket::numbers); [`RowBucket::place`] tells where its own are.
    pub fn numbers(&self) -> &Tensor {
        &self.hyper.tensor
    }

    /// The place of its rows.
    pub fn place(&self) -> RowsPlace {
        let [n, width] = [0, 1].map(|dim| self.sums.size(dim) as u32);
        let at = self.hyper.starts[self.group];
        RowsPlace { n, width, at, own: self.slab.own_numbers(self.entry).map_or(at, |own| own as u32) }
    }

    /// Whether there is nothing to move.
    pub(super) fn is_empty(&self) -> bool {
        self.sums.numel() == 0
    }

    /// The same elements as [`RowBucket::gradients`], in one dimension.
    pub(super) fn flat(&self) -> Tensor {
        self.sums.reshape([self.sums.numel()]).into_gradient()
    }

    /// Runs a kernel of [gradients, rows, values, moments .., numbers].
    pub(super) fn run<P: Uniform>(&self, kernel: &'static Kernel, params: &P) {
        let (values, moments) = (self.values(), self.moments());
        if !values.dtype().is_half() {
            let args = [&self.sums, &self.rows, &values].into_iter().chain(&moments).chain([self.numbers()]);
            return Tensor::run(kernel, &args.collect::<Vec<_>>(), params);
        }
        // A table of half size would be widened as a whole: its rows go by themselves, and come back.
        let own = Tensor::arange(0, self.sums.size(0) as i32, self.sums.device());
        let own = Tensor::where_(&self.rows.ge(0), &own, &self.rows);
        let all: Vec<Tensor> = self.now().iter().map(|rows| rows.cast(DType::F32).contiguous()).collect();
        let args = [&self.sums, &own].into_iter().chain(&all).chain([self.numbers()]);
        Tensor::run(kernel, &args.collect::<Vec<_>>(), params);
        self.put(all);
    }

    /// Changes the gradients as penalties do that draw at no values.
    pub(super) fn penalize(&self, penalty: &Penalty) {
        let &Penalty { factor, bound, .. } = penalty;
        if factor != 1.0 || bound != f32::MAX {
            self.sums.assign(&self.sums.affine(factor, 0.0).clamp(-bound, bound));
        }
    }

    /// Its rows of the table and of the moments, as they are now.
    pub(super) fn now(&self) -> Vec<Tensor> {
        [self.values()].iter().chain(&self.moments()).map(|table| table.detach().embedding(&self.rows)).collect()
    }

    /// Puts other rows in their place.
    pub(super) fn put(&self, all: Vec<Tensor>) {
        for (table, rows) in [self.values()].iter().chain(&self.moments()).zip(all) {
            table.put_rows(&self.rows, &rows);
        }
    }

    /// Moves it by the rule's definition; whether gradients are clipped by their norm.
    #[track_caller]
    pub(super) fn define<R: Rule>(&self, rule: &R, clips: bool) {
        let number = |at: usize| self.numbers().narrow(0, at, 1).squeeze(0);
        let gradient = if clips { self.sums.mul(&number(0)) } else { self.sums.clone() };
        let first = self.place().own as usize;
        let numbers: Vec<Tensor> = (0..self.hyper.counted[self.group]).map(|at| number(first + at)).collect();
        let mut moments = self.now();
        let x = moments.remove(0).cast(DType::F32);
        let value = rule.update(&x, &gradient, &mut moments, &numbers);
        let (due, name) = (x.shape(), R::NAME);
        for new in [&value].into_iter().chain(&moments) {
            assert!(new.shape() == due, "{name}: expected values and moments of {due}, got {}", new.shape());
        }
        self.put([value].into_iter().chain(moments).collect());
    }
}

/// Tasks that a table is cut into where there is work enough.
const TASKS: usize = 16;

/// The definition of a kernel of [gradients, rows, values, moments .., numbers] with N - 1 moments: `each` gets the numbers of the
/// step, a gradient after clipping, and the value with its moments, and tells what these are now.
pub fn moved<const N: usize>(
    call: &mut Call,
    place: RowsPlace,
    each: impl Fn([f32; NUMBERS], f32, [f32; N]) -> [f32; N] + Sync,
) {
    let (gradients, rows, numbers) = (call.read::<f32>(0), call.read::<i32>(1), call.read::<f32>(2 + N));
    let [factor, _, apart, given_up, ..] = *numbers else { return };
    if given_up == 1.0 {
        return;
    }
    let numbers = own(numbers, if apart == 1.0 { place.own } else { place.at } as usize);
    let width = place.width as usize;
    let tables: [&mut [f32]; N] = std::array::from_fn(|i| call.write::<f32>(2 + i));
    let size = tables[0].len() / width.max(1);
    // Each task looks at all rows for its own.
    let part = if gradients.len() <= parallel::GRAIN { size } else { size.div_ceil(TASKS) }.max(1);
    parallel::chunks_of(
        tables,
        part * width,
        #[inline(always)]
        |piece, mut tables| {
            let (first, count) = (piece * part, tables[0].len() / width);
            for (row, gradients) in rows.iter().zip(gradients.chunks(width)) {
                let Some(row) = usize::try_from(*row).ok().and_then(|row| row.checked_sub(first)) else { continue };
                if row >= count {
                    continue;
                }
                let mut own = tables.each_mut().map(|table| &mut table[row * width..][..width]);
                for (c, g) in gradients.iter().enumerate() {
                    let after = each(numbers, factor * g, std::array::from_fn(|i| own[i][c]));
                    for (own, after) in own.iter_mut().zip(after) {
                        own[c] = after;
                    }
                }
            }
        },
    );
}

/// The kernel and the shader of a rule's update of rows: [gradients, rows, values, moments .., numbers]; a pass of one
/// invocation for each element or vec4.
macro_rules! rows_update {
    ($kernel:ident, $shader:ident, $name:literal, $params:ty, moments $moments:literal, flops $flops:literal, $definition:expr) => {
        static $shader: $crate::kernel::Shader = $crate::kernel::shader!($name, ["row_places"], {
            use $crate::kernel::Access::{Read, ReadWrite};
            const ACCESS: [$crate::kernel::Access; $moments + 4] = {
                let mut access = [ReadWrite; $moments + 4];
                access[0] = Read;
                access[1] = Read;
                access[$moments + 3] = Read;
                access
            };
            &ACCESS
        });

        static $kernel: $crate::kernel::Kernel = $crate::kernel::Kernel::new($name, $shader.access, $definition, |d| {
            let place = d.params::<$params>().place;
            let n = u64::from(place.n) * u64::from(place.width);
            $crate::kernel::Cost { flops: $flops * n, bytes: (3 + 2 * $moments) * 4 * n }
        })
        .variants(&[$crate::kernel::Variant::new("flat", |_, d| {
            let mut p: $params = d.params();
            let pass = $crate::kernel::Pass::new(&$shader, $name, 1);
            let (pass, width) = $crate::ops::coalesce::items(pass, p.place.n, p.place.width, &[]);
            p.place.width = width;
            pass.params(&p).alone()
        })]);
    };
}
pub(super) use rows_update;
