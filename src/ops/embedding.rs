//! Rows of a table by their numbers: `shaders/embedding.wgsl`, `shaders/embedding_backward.wgsl`,
//! `shaders/embedding_backward_subgroup.wgsl`.

use crate::autograd::{Op, is_differentiated};
use crate::dtype::DType;
use crate::kernel::convert::convert;
use crate::kernel::{
    Access, Call, Class, Constant, Cost, Dispatch, Info, Kernel, Lowering, Pass, Shader, Tolerance, Uniform, Variant,
    groups, parallel, shader,
};
use crate::ops::reduce::KeepDims;
use crate::shape::Shape;
use crate::tensor::Tensor;
use bytemuck::{Pod, Zeroable};
use half::{bf16, f16};

const ACCESS: &[Access] = &[Access::Read, Access::Read, Access::Write];

static FORWARD: Shader = shader!("embedding", ["halves"], ACCESS);

static BACKWARD: Shader = shader!("embedding_backward", ["halves"], ACCESS);

static BACKWARD_SUBGROUP: Shader = shader!("embedding_backward_subgroup", ["halves"], ACCESS);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Uniform)]
struct EmbeddingParams {
    size: u32,
    quads: u32,
    length: u32,
    block: u32,
    first: u32,
    end: u32,
}

impl EmbeddingParams {
    /// Of a table of this shape.
    fn of(table: Shape, index: &Tensor) -> EmbeddingParams {
        let length = index.numel() as u32;
        EmbeddingParams { size: table[0] as u32, quads: table[1] as u32 / 4, length, block: 1, first: 0, end: length }
    }
}

static EMBEDDING: Kernel = Kernel::new("embedding", ACCESS, forward_definition, |d| Cost {
    flops: 0,
    bytes: 2 * d.bindings[2].bytes + d.bindings[1].bytes,
})
.host(forward_host)
.tolerance(Tolerance::EXACT)
.variants(&[Variant::new("quads", |_, d| {
    Pass::new(&FORWARD, "embedding", groups(d.len(2) / 4, 256)).elements(&["W", "", "Y"]).alone()
})]);

/// By bits where elements are of half size: a table that is widened as a whole takes longer than the rows.
fn forward_host(call: &mut Call) {
    let (from, to) = (call.dtype(0), call.dtype(2));
    if !from.is_half() {
        return forward_definition(call);
    }
    let (p, weight, index) = (call.params::<EmbeddingParams>(), call.read_bits::<u8>(0), call.read::<i32>(1));
    let width = 4 * p.quads as usize;
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
    let width = 4 * p.quads as usize;
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
        .tolerance(Tolerance::SUMMED)
        .variants(&[
            Variant::new("subgroup", by_subgroups)
                .fits(|info, _| matches!(info.subgroup, Some(8..=16)))
                .suits(|info, _| info.class != Class::Gpu),
            Variant::new("columns", by_columns),
        ]);

/// Indices that one pass looks at.
const PART: u32 = 32_768;

/// A pass for each part of the indices; `groups` tells the workgroups of one for a number of blocks.
fn parts(d: &Dispatch, block: u32, pass: impl Fn(u64) -> Pass) -> Lowering {
    let p: EmbeddingParams = d.params();
    let of = |first: u32| {
        let params = EmbeddingParams { block, first, end: (first + PART).min(p.length), ..p };
        pass(u64::from(p.size.div_ceil(block))).elements(&["DY"]).params(&params)
    };
    Lowering { passes: (0..p.length.max(1)).step_by(PART as usize).map(of).collect(), scratch: Vec::new() }
}

fn by_subgroups(info: &Info, d: &Dispatch) -> Lowering {
    let (p, lanes) = (d.params::<EmbeddingParams>(), info.subgroup.unwrap_or(8));
    // About 64 workgroups: each looks at every index.
    let across = u64::from(p.quads.div_ceil(lanes));
    let block = (u64::from(p.size) * across / 64).clamp(1, 4096) as u32;
    parts(d, block, |blocks| {
        let pass = Pass::new(&BACKWARD_SUBGROUP, "embedding_backward_subgroup", blocks * across);
        pass.constant("LANES", Constant::U32(lanes))
    })
}

fn by_columns(_: &Info, d: &Dispatch) -> Lowering {
    let p: EmbeddingParams = d.params();
    let block = p.size.div_ceil(1024).clamp(1, 256);
    parts(d, block, |blocks| {
        Pass::new(&BACKWARD, "embedding_backward", (blocks * u64::from(p.quads)).div_ceil(64).max(1))
    })
}

fn backward_definition(call: &mut Call) {
    let (p, dy, index) = (call.params::<EmbeddingParams>(), call.read::<f32>(0), call.read::<i32>(1));
    let width = 4 * p.quads as usize;
    // Each task looks at all indices for its rows.
    let rows = (p.size as usize).div_ceil(16).max(1);
    parallel::chunks(call.write::<f32>(2), rows * width, |piece, dw| {
        dw.fill(0.0);
        let first = piece * rows;
        let end = first + dw.len() / width;
        for (index, dy) in index.iter().zip(dy.chunks(width)) {
            match usize::try_from(*index) {
                Ok(row) if (first..end).contains(&row) => {
                    dw[(row - first) * width..][..width].iter_mut().zip(dy).for_each(|(dw, dy)| *dw += dy);
                }
                _ => (),
            }
        }
    });
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
        let (shape, table, width) =
            (Shape::from([&index.shape()[..], &[self.size(1)]].concat()), self.shape(), self.size(1));
        // Rows of a parameter are what a pass begins with.
        let dtype = self.pass_dtype();
        if !width.is_multiple_of(4) || shape.numel() == 0 {
            return self.entered().embedding_by_primitives(&index).cast(dtype);
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
                Tensor::run(&EMBEDDING_BACKWARD, &[&dy.contiguous(), &saved, &dw], &EmbeddingParams::of(table, &saved));
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
        let rows = match table.size(1).is_multiple_of(4) && index.numel() > 0 {
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
        Tensor::run(&EMBEDDING, &[&self.detach(), index, &y], &EmbeddingParams::of(self.shape(), index));
        y
    }

    /// [`Tensor::embedding`] of a table that the kernels do not take.
    #[track_caller]
    fn embedding_by_primitives(&self, indices: &Tensor) -> Tensor {
        let shape = Shape::from([&indices.shape()[..], &self.shape()[1..]].concat());
        self.index_select(0, &indices.reshape([-1])).reshape_to(shape)
    }

    /// The table of `size` rows that has these rows `[n, width]`, added up where `index` `[n]` says, and is 0 elsewhere.
    #[track_caller]
    pub(crate) fn whole_table(&self, index: &Tensor, size: usize) -> Tensor {
        let table = Shape::from([size, self.size(1)]);
        if !self.size(1).is_multiple_of(4) || self.numel() == 0 || size == 0 || is_differentiated() {
            return self.new_zeros(table).index_add(0, index, self);
        }
        let (index, whole) = (index.contiguous(), self.new_empty(table));
        Tensor::run(&EMBEDDING_BACKWARD, &[&self.contiguous(), &index, &whole], &EmbeddingParams::of(table, &index));
        whole
    }
}
