//! Convolution by products with the matrix of columns: `shaders/im2col.wgsl`, `shaders/col2im.wgsl`.
//!
//! The columns that the kernel sees become a matrix in scratch memory, a slice of the batch at a time, or a part of an
//! image whose columns are too many to be bound; forward, weight gradient and input gradient are products with it.

use super::ConvParams;
use super::lower::Ends;
use crate::kernel::{Access, Constant, Dispatch, Info, Lowering, Pass, Shader, Slot, groups, shader};
use crate::ops::matmul::{self, Epilogue, MatMul, Operands, Tiling};
use crate::ops::pool;
use crate::ops::reduce::sum_parts;

static IM2COL: Shader = shader!("im2col", ["conv"], &[Access::Read, Access::Write]);

static COL2IM: Shader = shader!("col2im", ["conv"], &[Access::Read, Access::Write]);

impl ConvParams {
    /// y[rows, o] = col w^T for `rows` positions, group by group.
    fn forward(&self, rows: usize) -> MatMul {
        let ([o, q], out) = (self.group(), self.out_channels as usize);
        let mut p = MatMul::new([rows, o, q], [self.taps(), 1], [1, q]);
        p.c_row = out as u32;
        p.batched(self.groups as usize, [q, o * q, o])
    }

    /// dw[o, q] = dy^T col over `rows` positions, group by group.
    fn weight(&self, rows: usize) -> MatMul {
        let ([o, q], out) = (self.group(), self.out_channels as usize);
        MatMul::new([o, q, rows], [1, out], [self.taps(), 1]).batched(self.groups as usize, [o, q, o * q])
    }

    /// dcol[rows, q] = dy w, group by group.
    fn input(&self, rows: usize) -> MatMul {
        let ([o, q], out) = (self.group(), self.out_channels as usize);
        let mut p = MatMul::new([rows, q, o], [out, 1], [q, 1]);
        p.c_row = self.taps() as u32;
        p.batched(self.groups as usize, [o, o * q, q])
    }
}

/// The most bytes of columns at a time: larger batches go in slices.
pub(super) const MAX_COLUMNS: u64 = 64 << 20;

/// Output positions whose columns are there at once: whole images, or some rows of one, or some positions of one row.
#[derive(Debug, Clone, Copy)]
struct Slice {
    image: u32,
    images: u32,
    row: u32,
    rows: u32,
    column: u32,
    columns: u32,
}

impl Slice {
    /// The convolution that has these positions alone: paddings may wrap around below 0.
    fn of(&self, p: &ConvParams) -> ConvParams {
        ConvParams {
            image: self.image,
            images: self.images,
            out_h: self.rows,
            out_w: self.columns,
            padding_h: p.padding_h.wrapping_sub(self.row * p.stride_h),
            padding_w: p.padding_w.wrapping_sub(self.column * p.stride_w),
            ..*p
        }
    }

    /// The number of its first position.
    fn first(&self, p: &ConvParams) -> u32 {
        (self.image * p.out_h + self.row) * p.out_w + self.column
    }

    fn positions(&self) -> usize {
        self.images as usize * self.rows as usize * self.columns as usize
    }

    /// Whether an image's other positions come in slices before it.
    fn goes_on(&self) -> bool {
        self.row + self.column > 0
    }
}

/// All positions, in slices whose columns can be bound: images are cut where one alone is too large.
fn slices(info: &Info, p: &ConvParams) -> Vec<Slice> {
    let most = info.max_binding_bytes;
    let each = |bytes: u64, most: u64, of: u32| (most / bytes.max(1)).clamp(1, u64::from(of).max(1)) as u32;
    let column = p.taps() as u64 * 4;
    let (row, image) = (column * u64::from(p.out_w), column * p.positions() as u64);
    let whole = Slice { image: 0, images: p.batch, row: 0, rows: p.out_h, column: 0, columns: p.out_w };
    let parts = |of: u32, each: u32| (0..of).step_by(each as usize).map(move |first| (first, each.min(of - first)));
    if image <= most {
        let images = parts(p.batch, each(image, most.min(MAX_COLUMNS), p.batch));
        return images.map(|(image, images)| Slice { image, images, ..whole }).collect();
    }
    let rows = each(row, most.min(MAX_COLUMNS), p.out_h);
    let columns = if row <= most { p.out_w } else { each(column, most.min(MAX_COLUMNS), p.out_w) };
    let of_image = |image| {
        parts(p.out_h, rows).flat_map(move |(row, rows)| {
            let one = Slice { image, images: 1, row, rows, ..whole };
            parts(p.out_w, columns).map(move |(column, columns)| Slice { column, columns, ..one })
        })
    };
    (0..p.batch).flat_map(of_image).collect()
}

fn columns(p: &ConvParams, col: Slot) -> Pass {
    let each = p.images as usize * p.positions() * p.channels as usize;
    Pass::new(&IM2COL, "im2col", groups(each, 256)).slots(&[Slot::Arg(0), col]).params(p)
}

/// Scratch memory for the columns of a slice, and what products bind where nothing is to be written.
fn scratch(out: &mut Lowering, p: &ConvParams, slices: &[Slice]) -> [Slot; 2] {
    let columns = slices.iter().map(|slice| slice.positions() * p.taps()).max().unwrap_or(0);
    [out.scratch(columns as u64 * 4), out.scratch(matmul::SPARE)]
}

/// The pass for one product.
fn product(info: &Info, tiling: Tiling, p: &MatMul, operands: &Operands, spare: Slot) -> Pass {
    matmul::pass(info, tiling.suited(info, p), p, operands, spare)
}

pub(super) fn forward(info: &Info, tiling: Tiling, d: &Dispatch) -> Lowering {
    let (whole, ends) = (d.params::<ConvParams>(), Ends::of(d));
    let slices = slices(info, &whole);
    let mut out = Lowering::default();
    let [col, spare] = scratch(&mut out, &whole, &slices);
    let results = u64::from(whole.batch) * (whole.positions() * whole.out_channels as usize) as u64;
    let y = if ends.at.is_some() { out.scratch(results * 4) } else { ends.y };
    for slice in slices {
        out.passes.push(columns(&slice.of(&whole), col));
        let mut p = whole.forward(slice.positions());
        p.c_base = slice.first(&whole) * whole.out_channels;
        let epilogue = if whole.relu == 1 { Epilogue::RELU } else { Epilogue::NOTHING };
        let operands = Operands { bias: ends.bias, epilogue, ..Operands::plain(col, Slot::Arg(1), y) };
        out.passes.push(product(info, tiling, &p, &operands, spare));
    }
    if let Some(at) = ends.at {
        let (images, out_sizes) =
            ([whole.batch, whole.out_h, whole.out_w, whole.out_channels], [whole.pooled_h, whole.pooled_w]);
        out.passes.push(pool::pass_of_halves(images, out_sizes, whole.y, [y, ends.y, at]));
    }
    out
}

pub(super) fn weight(info: &Info, tiling: Tiling, d: &Dispatch) -> Lowering {
    let whole: ConvParams = d.params();
    let slices = slices(info, &whole);
    let results = whole.out_channels as usize * whole.group()[1];
    // Every slice's product is cut along its positions; all parts lie side by side and are added up at the end.
    let parts: Vec<MatMul> = slices
        .iter()
        .map(|slice| whole.weight(slice.positions()))
        .map(|product| matmul::split(info, tiling.suited(info, &product), product))
        .collect();
    let total: u32 = parts.iter().map(|p| p.splits).sum();
    let mut out = Lowering::default();
    let [col, spare] = scratch(&mut out, &whole, &slices);
    let bytes = u64::from(total) * results as u64 * 4;
    let target = if total == 1 { Slot::Arg(2) } else { out.scratch(bytes) };
    let mut done = 0;
    for (slice, mut p) in slices.iter().zip(parts) {
        out.passes.push(columns(&slice.of(&whole), col));
        p.a_base = slice.first(&whole) * whole.out_channels;
        p.c_base = done * results as u32;
        done += p.splits;
        let operands = Operands::plain(Slot::Arg(1), col, target);
        out.passes.push(product(info, tiling, &p, &operands, spare));
    }
    if total > 1 {
        sum_parts(&mut out, info, [results, total as usize], target, Slot::Arg(2));
    }
    if whole.bias == 1 {
        let (channels, positions) = (whole.out_channels as usize, whole.batch as usize * whole.positions());
        sum_parts(&mut out, info, [channels, positions], Slot::Arg(1), Slot::Arg(3));
    }
    out
}

pub(super) fn input(info: &Info, tiling: Tiling, d: &Dispatch) -> Lowering {
    let whole: ConvParams = d.params();
    let slices = slices(info, &whole);
    let mut out = Lowering::default();
    let [col, spare] = scratch(&mut out, &whole, &slices);
    for slice in slices {
        let part = slice.of(&whole);
        let mut p = whole.input(slice.positions());
        p.a_base = slice.first(&whole) * whole.out_channels;
        let operands = Operands::plain(Slot::Arg(0), Slot::Arg(1), col);
        out.passes.push(product(info, tiling, &p, &operands, spare));
        let gather = Pass::new(&COL2IM, "col2im", groups(slice.images as usize * part.pixels(), 256));
        let gather = gather.constant("ADD", Constant::Bool(slice.goes_on()));
        out.passes.push(gather.slots(&[col, Slot::Arg(2)]).params(&part));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Class;

    #[test]
    fn slices_have_each_position_once_and_fit_their_binding() {
        let p = |batch, [channels, out_h, out_w]: [u32; 3]| ConvParams {
            batch,
            channels,
            out_h,
            out_w,
            groups: 1,
            kernel_h: 3,
            kernel_w: 3,
            stride_h: 2,
            stride_w: 1,
            ..bytemuck::Zeroable::zeroed()
        };
        let info = |max_binding_bytes| Info {
            name: String::new(),
            api: String::new(),
            driver: String::new(),
            class: Class::Gpu,
            subgroup: None,
            max_binding_bytes,
            max_groups: 65_535,
            max_threads: 256,
            max_shared_bytes: 16 << 10,
            shader_f16: false,
            cooperative: None,
        };
        for (p, bytes) in [(p(5, [3, 8, 9]), 20_000), (p(5, [3, 8, 9]), 3000), (p(2, [3, 1, 90]), 1000)] {
            let mut next = 0;
            for slice in slices(&info(bytes), &p) {
                let own = slice.of(&p);
                assert_eq!(slice.first(&p), next, "in order");
                assert!(slice.positions() * p.taps() * 4 <= bytes as usize, "{slice:?}");
                assert!(own.positions() * slice.images as usize == slice.positions(), "{own:?}");
                assert_eq!(slice.goes_on(), next % (p.out_h * p.out_w) > 0);
                next += slice.positions() as u32;
            }
            assert_eq!(next, p.batch * p.out_h * p.out_w);
        }
    }
}
