//! Elements picked by index: `shaders/gather.wgsl`; their gradient by `shaders/gather_backward.wgsl` for few indices, `order.rs` for
//! many.

use super::fill;
use super::order::{Join, Lines, PART};
use super::shared::Shared;
use crate::autograd::Op;
use crate::dtype::{DType, Element};
use crate::kernel::{
    Access, Call, Constant, Cost, Dispatch, Info, Kernel, Lowering, Pass, Shader, Slot, Tolerance, Variant, groups,
    parallel, shader,
};
use crate::shape::{Int, Shape};
use crate::tensor::Tensor;

const ACCESS: &[Access] = &[Access::Read, Access::Read, Access::Write];

static FORWARD: Shader = shader!("gather", ["lines"], ACCESS);

static BACKWARD: Shader = shader!("gather_backward", ["lines"], ACCESS);

impl Lines {
    /// Whose element `at` of the result is, and where its index lies.
    fn place(&self, at: usize) -> (usize, usize, usize) {
        let (inner, length) = (self.inner as usize, self.length as usize);
        let l = at / inner % length;
        (at / (inner * length), if self.each == 1 { at } else { l }, at % inner)
    }
}

static GATHER: Kernel = Kernel::new("gather", ACCESS, gather_definition, |d| Cost {
    flops: 0,
    bytes: 2 * d.bindings[2].bytes + d.bindings[1].bytes,
})
.host(gather_host)
.tolerance(Tolerance::EXACT)
.variants(&[
    Variant::new("quads", |_, d| {
        let p: Lines = d.params();
        gather_pass(&Lines { inner: p.inner / 4, ..p }, "vec4<u32>", d.len(2) / 4)
    })
    .fits(|_, d| d.params::<Lines>().each == 0 && d.params::<Lines>().inner.is_multiple_of(4)),
    Variant::new("flat", |_, d| gather_pass(&d.params(), "u32", d.len(2))),
]);

fn gather_pass(p: &Lines, item: &'static str, items: usize) -> Lowering {
    Pass::new(&FORWARD, "gather", groups(items, 256)).params(p).constant("ITEM", Constant::Alias(item)).alone()
}

fn gather_definition(call: &mut Call) {
    let missing = call.params::<Lines>().missing;
    match call.dtype(0) {
        DType::I32 => gathered(call, missing as i32),
        _ => gathered(call, f32::from_bits(missing)),
    }
}

fn gather_host(call: &mut Call) {
    let missing = call.params::<Lines>().missing;
    match call.dtype(0) {
        DType::I32 => picked_host(call, missing as i32),
        _ => picked_host(call, f32::from_bits(missing)),
    }
}

/// Rows of fewer elements are not worth a call of their own on the host.
const SHORT: usize = 8;

/// The same by rows, without a division for each element.
fn picked_host<T: Element>(call: &mut Call, missing: T) {
    let (p, x, index) = (call.params::<Lines>(), call.read::<T>(0), call.read::<i32>(1));
    let [size, inner, length] = [p.size, p.inner, p.length].map(|n| n as usize);
    let place = |index: i32| usize::try_from(index).ok().filter(|d| *d < size);
    if inner < SHORT {
        return parallel::chunks(
            call.write::<T>(2),
            parallel::GRAIN,
            #[inline(always)]
            |piece, y| {
                let first = piece * parallel::GRAIN;
                let (mut o, mut from, mut i) = p.place(first);
                let mut l = first / inner % length;
                for y in y {
                    *y = place(index[from]).map_or(missing, |d| x[(o * size + d) * inner + i]);
                    // The next element, without a division.
                    (i, from) = (i + 1, from + p.each as usize);
                    if i == inner {
                        (i, l) = (0, l + 1);
                        (o, l) = if l == length { (o + 1, 0) } else { (o, l) };
                        from = if p.each == 1 { from } else { l };
                    }
                }
            },
        );
    }
    parallel::rows(
        call.write::<T>(2),
        inner,
        #[inline(always)]
        |row, y| {
            let (o, l) = (row / length, row % length);
            let x = &x[o * size * inner..][..size * inner];
            if p.each == 0 {
                match place(index[l]) {
                    Some(d) => y.copy_from_slice(&x[d * inner..][..inner]),
                    None => y.fill(missing),
                }
                return;
            }
            for (i, (y, index)) in y.iter_mut().zip(&index[row * inner..]).enumerate() {
                *y = place(*index).map_or(missing, |d| x[d * inner + i]);
            }
        },
    );
}

/// `missing` stands for what lies nowhere.
fn gathered<T: Element>(call: &mut Call, missing: T) {
    let (p, x, index) = (call.params::<Lines>(), call.read::<T>(0), call.read::<i32>(1));
    parallel::fill(call.write::<T>(2), |at| {
        let (o, from, i) = p.place(at);
        match usize::try_from(index[from]) {
            Ok(d) if d < p.size as usize => x[(o * p.size as usize + d) * p.inner as usize + i],
            _ => missing,
        }
    });
}

static GATHER_BACKWARD: Kernel =
    Kernel::new("gather_backward", ACCESS, gather_backward_definition, |d| d.cost(d.len(0) as u64))
        .tolerance(Tolerance::SUMMED)
        .proportional_to(&[0])
        .host(|call| {
            let (p, dy, index) = (call.params::<Lines>(), call.read::<f32>(0), call.read::<i32>(1));
            let dx = call.write::<f32>(2);
            dx.fill(0.0);
            p.put(index, dy, dx, |to, value| *to += value);
        })
        .variants(&[
            Variant::new("sorted", |_, d| added(d))
                .fits(|info, d| d.params::<Lines>().fits(info))
                .suits(|_, d| d.params::<Lines>().is_long()),
            Variant::new("flat", parts),
        ]);

/// Zeros, and what is added to them: bindings of dy, the indices and dx.
pub(super) fn added(d: &Dispatch) -> Lowering {
    let mut out = Lowering::default();
    out.passes.push(fill::zeros(Slot::Arg(2), d.len(2) as u32));
    d.params::<Lines>().joined(Join::Sum, [Slot::Arg(1), Slot::Arg(0), Slot::Arg(2)], &mut out);
    out
}

fn parts(_: &Info, d: &Dispatch) -> Lowering {
    let p: Lines = d.params();
    let pass = |first: u32| {
        let params = Lines { first, end: (first + PART).min(p.length), ..p };
        Pass::new(&BACKWARD, "gather_backward", groups(d.len(2), 256)).params(&params)
    };
    Lowering { passes: (0..p.length.max(1)).step_by(PART as usize).map(pass).collect(), scratch: Vec::new() }
}

fn gather_backward_definition(call: &mut Call) {
    let (p, dy, index) = (call.params::<Lines>(), call.read::<f32>(0), call.read::<i32>(1));
    let dx = call.write::<f32>(2);
    dx.fill(0.0);
    for (at, dy) in dy.iter().enumerate().take((p.outer * p.length * p.inner) as usize) {
        let (o, from, i) = p.place(at);
        match usize::try_from(index[from]) {
            Ok(d) if d < p.size as usize => dx[(o * p.size as usize + d) * p.inner as usize + i] += dy,
            _ => (),
        }
    }
}

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&GATHER, &GATHER_BACKWARD];

/// The bits of what an index outside picks: NaN, which tells it, or 0, the gradient of what went nowhere.
#[derive(Clone, Copy)]
pub(super) enum Outside {
    Nan = 0x7fc0_0000,
    Zero = 0,
}

/// # Picking by indices
impl Tensor {
    /// Picks along a dimension: `out[.., j, ..] = self[.., index[j], ..]` for a vector of indices. An index outside
    /// gives NaN. The rows of a table by their numbers, as an embedding does, are `table.index_select(0, ids)`. A scalar is
    /// picked from as a vector of one element, by one index.
    ///
    /// # Panics
    /// If there is no such dimension, or `index` is not a vector of i32 or i64 or one of its elements.
    #[doc(alias("take", "index"))]
    #[track_caller]
    pub fn index_select(&self, dim: impl Int, index: &Tensor) -> Tensor {
        let dim = dim.int();
        let (x, i) = (self.shape(), index.shape());
        assert!(i.rank() <= 1, "index_select: {x} x {i}: expected a vector of indices");
        let dim = x.dim_or_scalar("index_select", dim);
        if x.rank() == 0 {
            assert!(i.numel() == 1, "index_select: {x} x {i}: a scalar is picked from by one index");
            return self.unsqueeze(0).index_select(0, index).squeeze(0);
        }
        let index = &index.reshape_to(Shape::from([i.numel()]));
        self.picked("index_select", dim, index, 0, Outside::Nan)
    }

    /// Picks along a dimension by an index for every element: `out[i, j] = self[index[i, j], j]` for the first of two
    /// dimensions. `index` is as large as `self` or smaller in the other dimensions. An index outside gives NaN.
    ///
    /// # Panics
    /// If the ranks differ, `index` is larger in another dimension, or it is not of i32 or i64.
    #[doc(alias = "take_along_dim")]
    #[track_caller]
    pub fn gather(&self, dim: impl Int, index: &Tensor) -> Tensor {
        let dim = dim.int();
        let dim = self.shape().dim_or_scalar("gather", dim);
        let (x, i) = (self.shape(), index.shape());
        if x.rank().max(i.rank()) <= 1 && x.rank().min(i.rank()) == 0 {
            // A scalar counts as a vector of one element on either side.
            let vector = |t: &Tensor| t.reshape_to(Shape::from([t.numel()]));
            return vector(self).gather(0, &vector(index)).reshape_to(i);
        }
        assert!(x.rank() == i.rank(), "gather: {x} x {i}: expected an index of {} dimensions", x.rank());
        let fits = (0..x.rank()).all(|d| d == dim || i[d] <= x[d]);
        assert!(fits, "gather: {x} x {i}: the index is larger than what it picks from");
        let cut = |t: Tensor, d: usize| if d == dim || i[d] == x[d] { t } else { t.narrow(d as isize, 0, i[d]) };
        (0..x.rank()).fold(self.clone(), cut).picked("gather", dim, index, 1, Outside::Nan)
    }

    #[track_caller]
    pub(super) fn picked(&self, op: &'static str, dim: usize, index: &Tensor, each: u32, outside: Outside) -> Tensor {
        let (given, index) = (index, &index.indices(op, "indices"));
        match self.dtype() {
            DType::U8 | DType::Bool => {
                return self.cast(DType::I32).picked(op, dim, index, each, outside).cast(self.dtype());
            }
            DType::I64 => {
                // Pairs of words move as they are.
                let pairs = |shape: Shape| Shape::from([&shape[..], &[2]].concat());
                let words = self.copy().contiguous().reread(DType::I32, pairs(self.shape()));
                let index = if each == 1 { index.unsqueeze(-1).expand(pairs(index.shape())) } else { index.clone() };
                let picked = words.picked(op, dim, &index, each, outside);
                let shape = picked.shape();
                return picked.contiguous().reread(DType::I64, &shape[..shape.rank() - 1]);
            }
            _ => {}
        }
        let way = (each == 1).then(|| Shared::of(given, dim, self.shape()[dim])).flatten();
        let y = match &way {
            None => self.lines_at(dim, index, each, outside),
            Some(way) => {
                let (rows, along) = way.rows(&self.detach());
                way.restored(&rows.lines_at(along, &way.index, 0, outside), index.shape())
            }
        };
        let (shape, saved) = (self.shape(), index.saved());
        y.tracked(
            || Op::new(op).with("dim", dim).with("index", index),
            &[self],
            move |dy, _| {
                let dx = match &way {
                    None => dy.lines_put(shape, dim, &saved, each),
                    Some(way) => {
                        let (rows, along) = way.rows(&dy.detach());
                        way.restored(&rows.lines_put(way.shape(shape), along, &way.index, 0), shape)
                    }
                };
                let index = saved.clone();
                let again = move |ddx: &Tensor, _: &[bool]| vec![Some(ddx.picked(op, dim, &index, each, outside))];
                vec![Some(dx.tracked("gather_backward", &[dy], again))]
            },
        )
    }

    /// The kernel, without history.
    #[track_caller]
    fn lines_at(&self, dim: usize, index: &Tensor, each: u32, outside: Outside) -> Tensor {
        let (x, index) = (self.detach().contiguous(), index.contiguous());
        let length = index.shape()[if each == 1 { dim } else { 0 }];
        let mut sizes = x.shape().to_vec();
        sizes[dim] = length;
        let y = Tensor::empty(Shape::from(sizes), x.dtype(), x.device());
        if y.numel() > 0 {
            let p = Lines { missing: outside as u32, ..Lines::along(&x.shape(), dim, length, each) };
            Tensor::run(&GATHER, &[&x, &index, &y], &p);
        }
        y
    }

    /// Its gradient, of a tensor of this shape.
    #[track_caller]
    fn lines_put(&self, shape: Shape, dim: usize, index: &Tensor, each: u32) -> Tensor {
        let dx = self.new_empty(shape);
        let p = Lines::along(&shape, dim, self.shape()[dim], each);
        Tensor::run(&GATHER_BACKWARD, &[&self.detach().contiguous(), &index.contiguous(), &dx], &p);
        dx
    }
}
