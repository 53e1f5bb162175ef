//! Elements around others: one value (`shaders/pad.wgsl`), or taken from these, as PyTorch's modes of `pad` say.

use crate::autograd::Op;
use crate::kernel::{
    Access, Call, Dispatch, Kernel, Lowering, Pass, Shader, Tolerance, Uniform, Variant, groups, parallel, shader,
};
use crate::shape::{Int, Layout, MAX_RANK};
use crate::tensor::Tensor;
use bytemuck::{Pod, Zeroable};

static SHADER: Shader = shader!("pad", ["halves"], &[Access::Read, Access::Write]);

/// A walk of a dense result, and the box in it that is another tensor.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Uniform)]
struct PadParams {
    /// Elements of the result.
    n: u32,
    rank: u32,
    /// The tensor's first element.
    base: u32,
    value: f32,
    /// Of each dimension of the result, its size, where the box begins and how long it is, and the tensor's step; the first
    /// varies fastest.
    dims: [[u32; 4]; MAX_RANK],
}

/// y = x in a box, and a value around it; y is dense.
static PAD: Kernel =
    Kernel::new("pad", SHADER.access, definition, |d| d.cost(0)).host(host).tolerance(Tolerance::EXACT).variants(&[
        Variant::new("quads", |_, d| {
            let p: PadParams = d.params();
            let p = p.quads().unwrap_or(p);
            lowering(Pass::new(&SHADER, "pad_quads", groups(p.n as usize, 256)).params(&p))
        })
        .fits(|_, d| d.params::<PadParams>().quads().is_some()),
        Variant::new("each", |_, d: &Dispatch| {
            lowering(Pass::new(&SHADER, "pad_each", groups(d.params::<PadParams>().n as usize, 4 * 256)))
        }),
    ]);

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&PAD];

fn lowering(pass: Pass) -> Lowering {
    pass.elements(&["X", "Y"]).alone()
}

impl PadParams {
    /// A result of this layout around `inner`, whose first element stands at `starts`.
    fn new(out: &Layout, inner: (&Layout, usize), starts: &[usize], value: f32) -> PadParams {
        let (layout, base) = inner;
        let mut dims: Vec<[u32; 4]> = Vec::new();
        for d in out.memory_order().into_iter().rev() {
            let dim = [out.shape[d], starts[d], layout.shape[d], layout.strides[d]].map(|n| n as u32);
            match dims.last_mut() {
                _ if dim[0] == 1 => (),
                // Rows that the box has whole lie behind one another: they are one longer row.
                Some(row) if row[0] == row[2] && dim[3] == row[0] * row[3] => {
                    *row = [row[0] * dim[0], row[0] * dim[1], row[0] * dim[2], row[3]];
                }
                _ => dims.push(dim),
            }
        }
        let mut all = [[1, 0, 1, 0]; MAX_RANK];
        all[..dims.len()].copy_from_slice(&dims);
        PadParams { n: out.shape.numel() as u32, rank: dims.len() as u32, base: base as u32, value, dims: all }
    }

    /// The same in whole vec4, where the box has them.
    fn quads(&self) -> Option<PadParams> {
        let mut out = *self;
        let whole = |words: &[u32]| words.iter().all(|word| word.is_multiple_of(4));
        let [row, outer @ ..] = &mut out.dims;
        let steps = outer.iter().all(|dim| dim[3].is_multiple_of(4));
        if self.rank == 0 || row[3] != 1 || !steps || !whole(&row[..3]) || !whole(&[self.base]) {
            return None;
        }
        *row = [row[0] / 4, row[1] / 4, row[2] / 4, 1];
        outer.iter_mut().for_each(|dim| dim[3] /= 4);
        (out.n, out.base) = (self.n / 4, self.base / 4);
        Some(out)
    }

    /// The tensor's place of an element, along dimensions from one on; none outside of the box.
    fn place(&self, from: usize, mut rest: usize) -> Option<usize> {
        let mut at = self.base as usize;
        for [size, start, len, step] in self.dims[from..].iter().map(|dim| dim.map(|n| n as usize)) {
            let inner = (rest % size).checked_sub(start).filter(|inner| *inner < len)?;
            at += inner * step;
            rest /= size;
        }
        Some(at)
    }
}

fn definition(call: &mut Call) {
    let (p, x) = (call.params::<PadParams>(), call.read::<f32>(0));
    for (i, y) in call.write::<f32>(1)[..p.n as usize].iter_mut().enumerate() {
        *y = p.place(0, i).map_or(p.value, |at| x[at]);
    }
}

/// The same by rows.
fn host(call: &mut Call) {
    let (p, x) = (call.params::<PadParams>(), call.read::<f32>(0));
    let [size, start, len, step] = p.dims[0].map(|n| n as usize);
    parallel::rows(
        &mut call.write::<f32>(1)[..p.n as usize],
        size,
        #[inline(always)]
        |row, y| {
            let Some(at) = p.place(1, row) else { return y.fill(p.value) };
            y[..start].fill(p.value);
            y[start + len..].fill(p.value);
            match step {
                1 => y[start..][..len].copy_from_slice(&x[at..][..len]),
                _ => (0..len).for_each(|i| y[start + i] = x[at + i * step]),
            }
        },
    );
}

/// What lies around: PyTorch's `mode` of `pad`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Padding {
    /// One value.
    Constant(f32),
    /// The elements next to the end, as in a mirror that stands on the last one.
    Reflect,
    /// The last element again and again.
    Replicate,
    /// The elements from the other end.
    Circular,
}

/// # Borders
impl Tensor {
    /// A tensor of other sizes in this one's memory order, which is this one from `starts` on and `value` elsewhere; without a
    /// history.
    #[track_caller]
    pub(crate) fn boxed(&self, sizes: &[usize], starts: &[usize], value: f32) -> Tensor {
        if self.numel() == 0 {
            return self.new_full(sizes, value);
        }
        let out = self.in_own_order(sizes, |stored| self.new_empty(stored));
        if !self.dtype().is_float() {
            // The kernel is for floats.
            out.assign(&self.new_full(sizes, value));
            let shape = self.shape();
            let place = starts.iter().zip(shape.iter()).enumerate();
            place.fold(out.clone(), |part, (d, (start, n))| part.narrow(d, *start, *n)).assign(&self.detach());
            return out;
        }
        let params = PadParams::new(out.layout(), (self.layout(), self.base()), starts, value);
        Tensor::run(&PAD, &[self, &out], &params);
        out
    }

    /// `value` around the elements: for the last dimension, then the one before, .. a pair of widths before and after. Of whole
    /// numbers and truth values it is one of theirs, towards zero.
    ///
    /// # Panics
    /// If there are more pairs than dimensions, or more elements than a machine can count.
    #[doc(alias("constant_pad", "F.pad"))]
    #[track_caller]
    pub fn pad(&self, widths: &[(usize, usize)], value: f32) -> Tensor {
        let rank = self.rank();
        assert!(widths.len() <= rank, "pad: {} pairs for {}", widths.len(), self.shape());
        let mut sizes = self.shape().to_vec();
        for (i, (before, after)) in widths.iter().enumerate() {
            let size = sizes[rank - 1 - i].checked_add(*before).and_then(|size| size.checked_add(*after));
            let Some(size) = size else {
                panic!("pad: {} by {before} and {after}: no machine can count so many elements", self.shape())
            };
            sizes[rank - 1 - i] = size;
        }
        let mut starts = vec![0; rank];
        widths.iter().enumerate().for_each(|(i, (before, _))| starts[rank - 1 - i] = *before);
        let out = self.boxed(&sizes, &starts, value);
        let (shape, kept) = (self.shape(), widths.to_vec());
        let flat = || widths.iter().flat_map(|(before, after)| [*before, *after]).collect::<Vec<_>>();
        let op = || Op::new("pad").with("widths", &flat()[..]).with("value", value);
        out.tracked(op, &[self], move |dy, _| {
            let cut = |dx: Tensor, (i, (before, _)): (usize, &(usize, usize))| {
                dx.narrow((rank - 1 - i) as isize, *before, shape[rank - 1 - i])
            };
            vec![Some(kept.iter().enumerate().fold(dy.clone(), cut))]
        })
    }

    /// Elements around others: for the last dimension, then the one before, .. a pair of widths before and after. A negative
    /// width cuts elements off.
    ///
    /// ```
    /// use wgrad::{Padding, Tensor};
    /// let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0], [3], &wgrad::Device::cpu());
    /// assert_eq!(x.pad_with(&[(2, 1)], Padding::Reflect).to_vec::<f32>()?, [3.0, 2.0, 1.0, 2.0, 3.0, 2.0]);
    /// assert_eq!(x.pad_with(&[(-1, 2)], Padding::Constant(0.0)).to_vec::<f32>()?, [2.0, 3.0, 0.0, 0.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Panics
    /// If there are more pairs than dimensions, a mirror or the other end has too few elements, or more are cut off than
    /// there are.
    #[track_caller]
    pub fn pad_with(&self, widths: &[(impl Int, impl Int)], mode: Padding) -> Tensor {
        let shape = self.shape();
        let widths: Vec<[isize; 2]> = widths.iter().map(|(before, after)| [before.int(), after.int()]).collect();
        assert!(widths.len() <= self.rank(), "pad: {} pairs for {shape}", widths.len());
        let mut y = self.clone();
        for (dim, [before, after]) in (0..self.rank()).rev().zip(&widths) {
            let cut = [before, after].map(|width| (-width).max(0) as usize);
            if cut == [0, 0] {
                continue;
            }
            let n = y.shape()[dim];
            assert!(
                cut[0] + cut[1] <= n,
                "pad: {shape} by {before} and {after}: dimension {dim} has no {} elements to cut off",
                cut[0] + cut[1]
            );
            y = y.narrow(dim, cut[0], n - cut[0] - cut[1]);
        }
        let more: Vec<[usize; 2]> = widths.iter().map(|pair| pair.map(|width| width.max(0) as usize)).collect();
        if let Padding::Constant(value) = mode {
            let pairs: Vec<(usize, usize)> = more.iter().map(|[before, after]| (*before, *after)).collect();
            return if more.iter().all(|pair| *pair == [0, 0]) { y } else { y.pad(&pairs, value) };
        }
        for (dim, [before, after]) in (0..self.rank()).rev().zip(more) {
            if [before, after] == [0, 0] {
                continue;
            }
            let n = y.shape()[dim];
            let most = match mode {
                Padding::Reflect => n.saturating_sub(1),
                Padding::Circular => n,
                Padding::Replicate | Padding::Constant(_) if n > 0 => usize::MAX,
                Padding::Replicate | Padding::Constant(_) => 0,
            };
            assert!(
                before.max(after) <= most,
                "pad: {shape} by {before} and {after}: {mode:?} has at most {most} elements to take along dimension {dim}"
            );
            let part = |start: usize, len: usize| y.narrow(dim, start, len);
            let again = |at: usize, times: usize| {
                let mut sizes = y.shape().to_vec();
                sizes[dim] = times;
                part(at, 1).expand(sizes)
            };
            let (left, right) = match mode {
                Padding::Reflect => (part(1, before).flip(&[dim]), part(n - 1 - after, after).flip(&[dim])),
                Padding::Circular => (part(n - before, before), part(0, after)),
                Padding::Replicate | Padding::Constant(_) => (again(0, before), again(n - 1, after)),
            };
            y = Tensor::cat(&[&left, &y, &right], dim);
        }
        y
    }
}
