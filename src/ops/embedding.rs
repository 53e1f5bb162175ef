//! Rows of a table by their numbers: `shaders/embedding.wgsl`; their gradient by `order.rs`, and on software adapters by
//! `shaders/embedding_backward_subgroup.wgsl`.

use super::coalesce::items;
use super::gather::added;
use super::order::{Lines, PART};
use crate::autograd::{Op, is_differentiated};
use crate::dtype::DType;
use crate::kernel::convert::convert;
use crate::kernel::{
    Access, Call, Class, Constant, Cost, Dispatch, Info, Kernel, Lowering, Pass, Shader, Tolerance, Uniform, Variant,
    parallel, shader,
};
use crate::ops::reduce::KeepDims;
use crate::shape::Shape;
use crate::tensor::Tensor;
use bytemuck::{Pod, Zeroable};
use half::{bf16, f16};

const ACCESS: &[Access] = &[Access::Read, Access::Read, Access::Write];

static FORWARD: Shader = shader!("embedding", ["halves"], ACCESS);

static BACKWARD_SUBGROUP: Shader = shader!("embedding_backward_subgroup", ["halves"], ACCESS);

/// A table of `size` rows of `width` elements, or of as many vec4, and `length` numbers of rows.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Uniform)]
struct EmbeddingParams {
    size: u32,
    width: u32,
    length: u32,
}

/// Rows of `quads` vec4 of which a workgroup adds up `block`, and the part of the indices of a pass.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Uniform)]
struct BackwardParams {
    size: u32,
    quads: u32,
    length: u32,
    block: u32,
    first: u32,
    end: u32,
}

/// The rows of a table of this shape that an index tells.
fn lines(table: Shape, index: &Tensor) -> Lines {
    Lines::rows(table[0], table[1], index.numel())
}

static EMBEDDING: Kernel = Kernel::new("embedding", ACCESS, forward_definition, |d| Cost {
    flops: 0,
    bytes: 2 * d.bindings[2].bytes + d.bindings[1].bytes,
})
.host(forward_host)
.tolerance(Tolerance::EXACT)
.variants(&[Variant::new("items", |_, d| {
    let p: EmbeddingParams = d.params();
    let (pass, width) = items(Pass::new(&FORWARD, "embedding", 1), p.length, p.width, &["W", "", "Y"]);
    let missing = if width == p.width { "from_bits4(0x7fc00000u).x" } else { "from_bits4(0x7fc00000u)" };
    let pass = pass.constant("missing() -> ITEM", Constant::Function(missing));
    pass.params(&EmbeddingParams { width, ..p }).alone()
})]);

/// By bits where elements are of half size: a table that is widened as a whole takes longer than the rows.
fn forward_host(call: &mut Call) {
    let (from, to) = (call.dtype(0), call.dtype(2));
    if !from.is_half() {
        return forward_definition(call);
    }
    let (p, weight, index) = (call.params::<EmbeddingParams>(), call.read_bits::<u8>(0), call.read::<i32>(1));
    let width = p.width as usize;
    let (rows, bytes) = ((parallel::GRAIN / width).max(1), width * from.bytes());
    let count = p.length as usize * width * to.bytes();
    parallel::chunks(&mut call.write_bits::<u8>(2)[..count], rows * width * to.bytes(), |piece, y| {
        for (y, index) in y.chunks_mut(width * to.bytes()).zip(&index[piece * rows..]) {
            match usize::try_from(*index) {
                Ok(row) if row < p.size as usize => convert(&weight[row * bytes..][..bytes], from, y, to, width, false),
                _ => missing(to, y),
            }
        }
    });
}

/// NaN, in bits.
fn missing(dtype: DType, y: &mut [u8]) {
    match dtype {
        DType::F16 => bytemuck::cast_slice_mut(y).fill(f16::NAN),
        DType::BF16 => bytemuck::cast_slice_mut(y).fill(bf16::NAN),
        _ => bytemuck::cast_slice_mut(y).fill(f32::NAN),
    }
}

fn forward_definition(call: &mut Call) {
    let (p, weight, index) = (call.params::<EmbeddingParams>(), call.read::<f32>(0), call.read::<i32>(1));
    let width = p.width as usize;
    let rows = (parallel::GRAIN / width).max(1);
    parallel::chunks(call.write::<f32>(2), rows * width, |piece, y| {
        for (y, index) in y.chunks_mut(width).zip(&index[piece * rows..]) {
            match usize::try_from(*index) {
                Ok(row) if row < p.size as usize => y.copy_from_slice(&weight[row * width..][..width]),
                _ => y.fill(f32::NAN),
            }
        }
    });
}

static EMBEDDING_BACKWARD: Kernel =
    Kernel::new("embedding_backward", ACCESS, backward_definition, |d| d.cost(d.len(0) as u64))
        .host(|call| {
            let (p, dy, index) = (call.params::<Lines>(), call.read::<f32>(0), call.read::<i32>(1));
            let dw = call.write::<f32>(2);
            dw.fill(0.0);
            p.put(index, dy, dw, |to, value| *to += value);
        })
        .tolerance(Tolerance::SUMMED)
        .proportional_to(&[0])
        .variants(&[
            Variant::new("subgroup", by_subgroups)
                .fits(|info, d| matches!(info.subgroup, Some(8..=16)) && d.params::<Lines>().inner.is_multiple_of(4))
                .suits(|info, _| info.class != Class::Gpu),
            Variant::new("sorted", |_, d| added(d)).fits(|info, d| d.params::<Lines>().fits(info)),
        ]);

fn by_subgroups(info: &Info, d: &Dispatch) -> Lowering {
    let (Lines { size, inner, length, .. }, lanes) = (d.params::<Lines>(), info.subgroup.unwrap_or(8));
    let quads = inner / 4;
    // About 64 workgroups: each looks at every index.
    let across = u64::from(quads.div_ceil(lanes));
    let block = (u64::from(size) * across / 64).clamp(1, 4096) as u32;
    let pass = |first: u32| {
        let params = BackwardParams { size, quads, length, block, first, end: (first + PART).min(length) };
        let groups = u64::from(size.div_ceil(block)) * across;
        let pass = Pass::new(&BACKWARD_SUBGROUP, "embedding_backward_subgroup", groups).elements(&["DY"]);
        pass.constant("LANES", Constant::U32(lanes)).params(&params)
    };
    Lowering { passes: (0..length.max(1)).step_by(PART as usize).map(pass).collect(), scratch: Vec::new() }
}

fn backward_definition(call: &mut Call) {
    let (p, dy, index) = (call.params::<Lines>(), call.read::<f32>(0), call.read::<i32>(1));
    let (width, dw) = (p.inner as usize, call.write::<f32>(2));
    dw.fill(0.0);
    for (index, dy) in index.iter().zip(dy.chunks(width)) {
        match usize::try_from(*index) {
            Ok(row) if row < p.size as usize => {
                dw[row * width..][..width].iter_mut().zip(dy).for_each(|(dw, dy)| *dw += dy);
            }
            _ => (),
        }
    }
}

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&EMBEDDING, &EMBEDDING_BACKWARD];

/// PyTorch's arguments of `embedding`, and its defaults.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EmbeddingOptions {
    /// The number of a row that no gradient flows to: `padding_idx`.
    pub padding: Option<i32>,
    /// The longest that a row may be: those that are taken are brought to it before, in place, and no others are touched.
    pub max_norm: Option<f32>,
    /// The order of the norm that says how long a row is.
    pub norm_type: f32,
    /// Whether the gradient of a row is divided by how often it is taken; not with `sparse`.
    pub scale_grad_by_freq: bool,
    /// Whether the gradient of the table is [`Rows`](crate::autograd::Rows), as many as there are indices, and not a whole table.
    pub sparse: bool,
}

impl Default for EmbeddingOptions {
    fn default() -> EmbeddingOptions {
        EmbeddingOptions { padding: None, max_norm: None, norm_type: 2.0, scale_grad_by_freq: false, sparse: false }
    }
}

impl EmbeddingOptions {
    /// Where an index is that of the padding; one element for each row.
    fn is_padding(&self, indices: &Tensor) -> Option<Tensor> {
        self.padding.map(|row| indices.unsqueeze(indices.rank()).eq(Tensor::full([], row, indices.device())))
    }

    /// The same rows, but nothing flows back to that of the padding.
    #[track_caller]
    pub(crate) fn held(&self, rows: &Tensor, indices: &Tensor) -> Tensor {
        self.is_padding(indices).map_or(rows.clone(), |mask| Tensor::where_(&mask, &rows.detach(), rows))
    }
}

/// # Rows of a table
impl Tensor {
    /// The rows of this table, `[size, width]`, whose numbers are `indices`, i32 or i64 of any shape: `[.., width]`. An index
    /// outside gives NaN.
    ///
    /// # Panics
    /// If this is no table of floats, or the indices are not i32 or i64.
    #[track_caller]
    pub fn embedding(&self, indices: &Tensor) -> Tensor {
        let index = self.embedded_by(indices);
        let (shape, table) = (Shape::from([&index.shape()[..], &[self.size(1)]].concat()), self.shape());
        // Rows of a parameter are what a pass begins with.
        let dtype = self.pass_dtype();
        if shape.numel() == 0 {
            return self.entered().index_select(0, &index.reshape([-1])).reshape_to(shape).cast(dtype);
        }
        let (weight, index) = (self.contiguous().entered(), index.contiguous());
        let y = weight.picked_rows(&index, dtype);
        let saved = index.saved();
        let of_w = self.gradient_dtype();
        y.tracked(
            || Op::new("embedding").with("indices", &index),
            &[&weight],
            move |dy, _| {
                let dw = Tensor::empty(table, of_w, dy.device());
                Tensor::run(&EMBEDDING_BACKWARD, &[&dy.contiguous(), &saved, &dw], &lines(table, &saved));
                let index = saved.clone();
                let again = move |ddw: &Tensor, _: &[bool]| vec![Some(ddw.embedding(&index).reshape_to(shape))];
                vec![Some(dw.tracked("embedding_backward", &[dy], again))]
            },
        )
    }

    /// [`Tensor::embedding`] with a row that is not trained, rows that are no longer than so much, or a gradient that is as large as
    /// the result: PyTorch's `embedding(sparse=True)`. A sparse gradient is for optimizers that move the rows of a table alone; a table that something
    /// else reads as well, or that is no leaf, has a whole one. Gradients of [`Tensor::grad`] are whole.
    ///
    /// # Panics
    /// As [`Tensor::embedding`], and if `scale_grad_by_freq` meets `sparse`.
    #[track_caller]
    pub fn embedding_with(&self, indices: &Tensor, options: &EmbeddingOptions) -> Tensor {
        if let Some(most) = options.max_norm {
            self.shorten_rows(indices, most, options.norm_type);
        }
        if options.scale_grad_by_freq {
            assert!(
                !options.sparse,
                "embedding: scale_grad_by_freq counts all rows of the table, and is not for a sparse one"
            );
            return options.held(&self.by_frequency(indices), indices);
        }
        if !options.sparse {
            return options.held(&self.embedding(indices), indices);
        }
        let index = self.embedded_by(indices);
        let rows = self.detach().embedding(&index);
        if !self.is_tracked() {
            return rows;
        }
        let (table, flat) = (self.shape(), index.reshape_to(Shape::from([index.numel()])));
        // What stands for the padding stands for no row.
        let of_rows = options.is_padding(indices).map_or(flat.clone(), |mask| {
            let others = mask.reshape_to(flat.shape()).eq(0.0).cast(DType::I32);
            flat.mul(&others).add(&others).add(&Tensor::full([], -1, self.device()))
        });
        let (weight, saved, of_w) = (self.entered(), of_rows.saved(), self.gradient_dtype());
        rows.tracked_rows(
            || Op::new("embedding").with("indices", &index),
            &weight,
            of_rows.saved(),
            // Of a gradient that is differentiated itself.
            move |dy, _| vec![Some(dy.cast(of_w).reshape([saved.numel(), table[1]]).whole_table(&saved, table[0]))],
        )
    }

    /// Brings the rows of this table that are taken to the length that they may have, in place; others are not read.
    #[track_caller]
    pub(crate) fn shorten_rows(&self, indices: &Tensor, most: f32, norm_type: f32) {
        let table = self.detach();
        let index = self.embedded_by(indices);
        let index = index.reshape_to(Shape::from([index.numel()]));
        let rows = match table.size(1) > 0 && index.numel() > 0 {
            true => table.contiguous().picked_rows(&index, DType::F32),
            false => table.index_select(0, &index).cast(DType::F32),
        };
        let length = rows.norm_of(norm_type, &[1], KeepDims::Yes);
        let share = length.affine(1.0, 1e-7).reciprocal().affine(most, 0.0);
        let held = rows.mul(&Tensor::where_(&length.gt(most), &share, &share.new_full([], 1.0)));
        if table.layout().is_contiguous() {
            // Each row once: no two write the same place.
            let (places, _) = rows.coalesced(&index, table.size(0));
            table.put_rows(&places, &held);
        } else {
            table.assign(&table.index_copy(0, &index, &held.cast(table.dtype())));
        }
    }

    /// How often each row of this table is taken, `[size]`.
    #[track_caller]
    pub(crate) fn taken(&self, indices: &Tensor) -> Tensor {
        let flat = indices.reshape([-1]);
        Tensor::zeros([self.size(0)], flat.device()).index_add(0, &flat, &Tensor::ones(flat.shape(), flat.device()))
    }

    /// The rows, with a gradient that is divided by how often each is taken.
    #[track_caller]
    fn by_frequency(&self, indices: &Tensor) -> Tensor {
        let rows = self.embedding(indices);
        if !rows.is_tracked() {
            return rows;
        }
        let shares = self.taken(indices).index_select(0, &indices.reshape([-1])).reciprocal();
        let shares = shares.reshape_to(indices.shape()).unsqueeze(indices.rank()).cast(rows.dtype());
        // The same values; what flows back is scaled.
        let still = rows.detach();
        still.add(&rows.sub(&still).mul(&shares))
    }

    /// Indices of rows of this table, as i32.
    #[track_caller]
    fn embedded_by(&self, indices: &Tensor) -> Tensor {
        let (table, i) = (self.shape(), indices.shape());
        assert!(
            table.rank() == 2 && self.dtype().is_float(),
            "embedding: {table} x {i}: expected a table [size, width] of floats"
        );
        indices.indices("embedding", "indices")
    }

    /// The kernel, on tensors whose sizes are checked.
    #[track_caller]
    fn picked_rows(&self, index: &Tensor, dtype: DType) -> Tensor {
        let y = Tensor::empty(Shape::from([&index.shape()[..], &[self.size(1)]].concat()), dtype, self.device());
        let [size, width, length] = [self.size(0), self.size(1), index.numel()].map(|n| n as u32);
        Tensor::run(&EMBEDDING, &[&self.detach(), index, &y], &EmbeddingParams { size, width, length });
        y
    }

    /// The table of `size` rows that has these rows `[n, width]`, added up where `index` `[n]` says, and is 0 elsewhere.
    #[track_caller]
    pub(crate) fn whole_table(&self, index: &Tensor, size: usize) -> Tensor {
        let table = Shape::from([size, self.size(1)]);
        if self.numel() == 0 || size == 0 || is_differentiated() {
            return self.new_zeros(table).index_add(0, index, self);
        }
        let (index, whole) = (index.contiguous(), self.new_empty(table));
        Tensor::run(&EMBEDDING_BACKWARD, &[&self.contiguous(), &index, &whole], &lines(table, &index));
        whole
    }
}
