//! Rows of a table by their numbers: `shaders/embedding.wgsl`, `shaders/embedding_backward.wgsl`,
//! `shaders/embedding_backward_subgroup.wgsl`.

use crate::autograd::Op;
use crate::kernel::{
    Access, Call, Class, Constant, Cost, Dispatch, Info, Kernel, Lowering, Pass, Shader, Tolerance, Uniform, Variant,
    groups, parallel, shader,
};
use crate::shape::Shape;
use crate::tensor::Tensor;
use bytemuck::{Pod, Zeroable};

const ACCESS: &[Access] = &[Access::Read, Access::Read, Access::Write];

static FORWARD: Shader = shader!("embedding", ACCESS);

static BACKWARD: Shader = shader!("embedding_backward", ACCESS);

static BACKWARD_SUBGROUP: Shader = shader!("embedding_backward_subgroup", ACCESS);

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

static EMBEDDING: Kernel = Kernel::new("embedding", ACCESS, forward_definition, |d| Cost {
    flops: 0,
    bytes: 2 * d.bindings[2].bytes + d.bindings[1].bytes,
})
.tolerance(Tolerance::EXACT)
.variants(&[Variant::new("quads", |_, d| Pass::new(&FORWARD, "embedding", groups(d.len(2) / 4, 256)).alone())]);

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
        pass(u64::from(p.size.div_ceil(block))).params(&params)
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

/// # Rows of a table
impl Tensor {
    /// The rows of this table, `[size, width]`, whose numbers are `indices`, i32 or i64 of any shape: `[.., width]`. An index
    /// outside gives NaN.
    ///
    /// # Panics
    /// If this is no table of floats, or the indices are not i32 or i64.
    #[track_caller]
    pub fn embedding(&self, indices: &Tensor) -> Tensor {
        let (table, i) = (self.shape(), indices.shape());
        assert!(
            table.rank() == 2 && self.dtype().is_float(),
            "embedding: {table} x {i}: expected a table [size, width] of floats"
        );
        let indices = &indices.indices("embedding", "indices");
        let width = table[1];
        let shape = Shape::from([&i[..], &[width]].concat());
        // Rows of a parameter are what a pass begins with.
        let dtype = self.pass_dtype();
        if !width.is_multiple_of(4) || shape.numel() == 0 {
            return self.entered().embedding_by_primitives(indices).cast(dtype);
        }
        let (weight, index) = (self.contiguous().entered(), indices.contiguous());
        let length = i.numel() as u32;
        let p =
            EmbeddingParams { size: table[0] as u32, quads: width as u32 / 4, length, block: 1, first: 0, end: length };
        let y = Tensor::empty(shape, dtype, self.device());
        Tensor::run(&EMBEDDING, &[&weight.detach(), &index, &y], &p);
        let saved = index.saved();
        let of_w = self.gradient_dtype();
        y.tracked(
            || Op::new("embedding").with("indices", indices),
            &[&weight],
            move |dy, _| {
                let dw = Tensor::empty(table, of_w, dy.device());
                Tensor::run(&EMBEDDING_BACKWARD, &[&dy.contiguous(), &saved, &dw], &p);
                let index = saved.clone();
                let again = move |ddw: &Tensor, _: &[bool]| vec![Some(ddw.embedding(&index).reshape_to(shape))];
                vec![Some(dw.tracked("embedding_backward", &[dy], again))]
            },
        )
    }

    /// [`Tensor::embedding`] of a table that the kernels do not take.
    #[track_caller]
    fn embedding_by_primitives(&self, indices: &Tensor) -> Tensor {
        let shape = Shape::from([&indices.shape()[..], &self.shape()[1..]].concat());
        self.index_select(0, &indices.reshape([-1])).reshape_to(shape)
    }
}
