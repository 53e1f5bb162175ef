//! Windows that reach past the end, other divisors, and the places of the largest: made of padding and of plain pooling.

use super::{AvgPool2dOptions, MaxPool2dOptions, MaxPool3dOptions};
use crate::dtype::DType;
use crate::ops::reduce::KeepDims;
use crate::shape::{Layout, Shape, Windows};
use crate::tensor::Tensor;

/// The number of windows of which the last may reach past the end, if it begins before the padding behind; and how many
/// elements are missing for it.
#[track_caller]
fn reach(op: &str, shape: Shape, size: usize, walk: Windows) -> (usize, usize) {
    let Windows { taps, stride, padding, dilation } = walk;
    let (count, _) = walk.over(op, &shape, size);
    let (end, window) = (size + 2 * padding, dilation * (taps - 1) + 1);
    let more = (end - window) % stride > 0 && count * stride < size + padding;
    let count = count + usize::from(more);
    (count, ((count - 1) * stride + window).saturating_sub(end))
}

fn walk(taps: [usize; 2], stride: [usize; 2], padding: [usize; 2], dilation: [usize; 2]) -> [Windows; 2] {
    [0, 1].map(|d| Windows { taps: taps[d], stride: stride[d], padding: padding[d], dilation: dilation[d] })
}

impl Tensor {
    /// With what the last windows reach over, and the options without that.
    #[track_caller]
    pub(super) fn reaching(&self, op: &str, options: MaxPool2dOptions) -> (Tensor, MaxPool2dOptions) {
        let MaxPool2dOptions { kernel_size, stride, padding, dilation, .. } = options;
        let (shape, options) = (self.shape(), MaxPool2dOptions { ceil_mode: false, ..options });
        if shape.rank() != 4 {
            // It is refused there.
            return (self.clone(), options);
        }
        let walks = walk(kernel_size, stride, padding, dilation);
        let (_, down) = reach(op, shape, shape[2], walks[0]);
        let (_, right) = reach(op, shape, shape[3], walks[1]);
        let x =
            if [down, right] == [0, 0] { self.clone() } else { self.pad(&[(0, right), (0, down)], f32::NEG_INFINITY) };
        (x, options)
    }

    /// Sums over windows, each divided by a number of its own.
    #[track_caller]
    pub(super) fn averaged_by(&self, op: &'static str, options: AvgPool2dOptions) -> Tensor {
        let AvgPool2dOptions { kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override } = options;
        let shape = self.shape();
        assert!(divisor_override != Some(0), "{op}: a divisor of 0");
        let plain = AvgPool2dOptions { ceil_mode: false, count_include_pad: true, divisor_override: None, ..options };
        if shape.rank() != 4 {
            return self.avg_pooled(op, plain);
        }
        let walks = walk(kernel_size, stride, padding, [1, 1]);
        let counted = |d: usize| -> (Vec<f32>, usize) {
            let size = shape[2 + d];
            let (count, missing) = match ceil_mode {
                true => reach(op, shape, size, walks[d]),
                false => (walks[d].over(op, &shape, size).0, 0),
            };
            let of = |at: usize| {
                let start = (at * stride[d]) as isize - padding[d] as isize;
                let end = (start + kernel_size[d] as isize).min((size + padding[d]) as isize);
                let inside = end.min(size as isize) - start.max(0);
                (if count_include_pad { end - start } else { inside }) as f32
            };
            ((0..count).map(of).collect(), missing)
        };
        let ((rows, down), (columns, right)) = (counted(0), counted(1));
        let x = if [down, right] == [0, 0] { self.clone() } else { self.pad(&[(0, right), (0, down)], 0.0) };
        let window = (kernel_size[0] * kernel_size[1]) as f32;
        let share = |row: f32, column: f32| divisor_override.map_or(window / (row * column), |by| window / by as f32);
        let shares: Vec<f32> = rows.iter().flat_map(|row| columns.iter().map(|column| share(*row, *column))).collect();
        let shares = Tensor::constant(&shares, [rows.len(), columns.len()], self.device()).cast(self.dtype());
        x.avg_pooled(op, plain).mul(&shares)
    }
}

/// # Places of the largest
impl Tensor {
    /// [`Tensor::max_pool2d`], and the places of the largest in their images, `row * width + column` (i32): PyTorch's
    /// `return_indices`.
    ///
    /// # Panics
    /// As [`Tensor::max_pool2d`].
    #[track_caller]
    pub fn max_pool2d_indices(&self, options: MaxPool2dOptions) -> (Tensor, Tensor) {
        if let Some(batch) = self.batch_of_one(4) {
            let (values, index) = batch.max_pool2d_indices(options);
            return (values.squeeze(0), index.squeeze(0));
        }
        let values = self.max_pool2d(options);
        let (shape, out) = (self.shape(), values.shape());
        let (x, o) =
            if options.ceil_mode { self.detach().reaching("max_pool2d", options) } else { (self.detach(), options) };
        let [ph, pw] = o.padding;
        let x = if [ph, pw] == [0, 0] { x } else { x.pad(&[(pw, pw), (ph, ph)], f32::NEG_INFINITY) };
        let l = *x.layout();
        let windows = Layout {
            shape: Shape::from([out[0], out[1], out[2], out[3], o.kernel_size[0], o.kernel_size[1]]),
            strides: [
                l.strides[0],
                l.strides[1],
                o.stride[0] * l.strides[2],
                o.stride[1] * l.strides[3],
                o.dilation[0] * l.strides[2],
                o.dilation[1] * l.strides[3],
            ],
            offset: l.offset,
        };
        let each = o.kernel_size[0] * o.kernel_size[1];
        let lines = x.with_layout(windows).contiguous().reshape_to(Shape::from([out[0], out[1], out[2], out[3], each]));
        let tap = lines.argmax(-1);
        let width = Tensor::full([], o.kernel_size[1] as i32, self.device());
        let count = |n: usize| Tensor::arange(0, n as i32, self.device());
        let place = |tap: &Tensor, at: Tensor, d: usize| {
            tap * o.dilation[d] as i32 + at * o.stride[d] as i32 - o.padding[d] as i32
        };
        let row = place(&tap.floor_divide(&width), count(out[2]).unsqueeze(1), 0);
        let column = place(&tap.remainder(&width), count(out[3]), 1);
        (values, row * shape[3] as i32 + column)
    }

    /// [`Tensor::adaptive_max_pool2d`] with the place of each largest pixel (i32), `row * width + column`; of equal ones the
    /// first. It copies each window, and windows may overlap: for images that are small by then.
    ///
    /// # Panics
    /// If it is no batch of images, or a size is 0.
    #[track_caller]
    pub fn adaptive_max_pool2d_indices(&self, size: [usize; 2]) -> (Tensor, Tensor) {
        if let Some(batch) = self.batch_of_one(4) {
            let (y, index) = batch.adaptive_max_pool2d_indices(size);
            return (y.squeeze(0), index.squeeze(0));
        }
        let shape = self.shape();
        let fits = shape.rank() == 4 && !size.contains(&0) && shape[2] * shape[3] > 0;
        assert!(fits, "adaptive_max_pool2d: {shape} to {size:?}: expected images [n, c, h, w] and sizes above 0");
        let (mut taps, mut places, mut y) = ([0; 2], Vec::new(), self.clone());
        for d in 0..2 {
            let (n, out) = (shape[2 + d], size[d]);
            let ends = |at: usize| (at * n / out, ((at + 1) * n).div_ceil(out));
            taps[d] = (0..out).map(|at| ends(at).1 - ends(at).0).max().unwrap_or(1);
            // A window that is smaller sees its last line again.
            let line = |at: usize| (0..taps[d]).map(move |tap| (ends(at).0 + tap).min(ends(at).1 - 1) as i32);
            let seen: Vec<i32> = (0..out).flat_map(line).collect();
            let seen = Tensor::constant(&seen, [seen.len()], self.device());
            y = y.index_select(2 + d, &seen);
            places.push(seen);
        }
        let grid = Shape::from([1, 1, size[0], taps[0], size[1], taps[1]]);
        let windows = |x: &Tensor, n: usize, c: usize| {
            let each =
                x.reshape_to(Shape::from([n, c, grid[2], grid[3], grid[4], grid[5]])).permute(&[0, 1, 2, 4, 3, 5]);
            each.reshape_to(Shape::from([n, c, size[0], size[1], taps[0] * taps[1]]))
        };
        let place = places[0].unsqueeze(1) * shape[3] as i32 + &places[1];
        let (largest, tap) = windows(&y, shape[0], shape[1]).max_dim(-1, KeepDims::Yes);
        let all = windows(&place, 1, 1).expand([shape[0], shape[1], size[0], size[1], taps[0] * taps[1]]);
        (largest.squeeze(-1), all.gather(4, &tap).squeeze(-1))
    }

    /// [`Tensor::max_pool3d`] with the place of each largest element (i32), counted through depth, rows and columns; of equal
    /// ones the first.
    ///
    /// # Panics
    /// As [`Tensor::max_pool3d`].
    #[track_caller]
    pub fn max_pool3d_indices(&self, options: MaxPool3dOptions) -> (Tensor, Tensor) {
        let MaxPool3dOptions { kernel_size: k, stride, padding, dilation, ceil_mode } = options;
        let along = |a: [usize; 2], b: [usize; 2], c: [usize; 2], d: [usize; 2]| MaxPool2dOptions {
            kernel_size: a,
            stride: b,
            padding: c,
            dilation: d,
            ceil_mode,
        };
        let slice = along([k[1], k[2]], [stride[1], stride[2]], [padding[1], padding[2]], [dilation[1], dilation[2]]);
        let depth = along([k[0], 1], [stride[0], 1], [padding[0], 0], [dilation[0], 1]);
        self.in_two("max_pool3d", &|x| x.max_pool2d_indices(slice), &|x| x.max_pool2d_indices(depth))
    }

    /// [`Tensor::adaptive_max_pool3d`] with the place of each largest element (i32), counted through depth, rows and columns;
    /// of equal ones the first.
    ///
    /// # Panics
    /// As [`Tensor::adaptive_max_pool3d`].
    #[track_caller]
    pub fn adaptive_max_pool3d_indices(&self, size: [usize; 3]) -> (Tensor, Tensor) {
        let slice = |x: &Tensor| x.adaptive_max_pool2d_indices([size[1], size[2]]);
        let depth = |x: &Tensor| x.adaptive_max_pool2d_indices([size[0], x.size(-1)]);
        self.in_two("adaptive_max_pool3d", &slice, &depth)
    }

    /// Pools slices and then, where a slice is a row, the depth.
    #[track_caller]
    fn in_two(
        &self,
        op: &str,
        slice: &dyn Fn(&Tensor) -> (Tensor, Tensor),
        depth: &dyn Fn(&Tensor) -> (Tensor, Tensor),
    ) -> (Tensor, Tensor) {
        if let Some(batch) = self.batch_of_one(5) {
            let (y, index) = batch.in_two(op, slice, depth);
            return (y.squeeze(0), index.squeeze(0));
        }
        let s = self.shape();
        assert!(s.rank() == 5, "{op}: {s}: expected volumes [n, c, d, h, w] or [c, d, h, w]");
        let (slices, places) = slice(&self.reshape_to(Shape::from([s[0], s[1] * s[2], s[3], s[4]])));
        let [h, w] = [2, 3].map(|d| slices.shape()[d]);
        let rows = Shape::from([s[0], s[1], s[2], h * w]);
        let (y, index) = depth(&slices.reshape_to(rows));
        let count = y.shape()[2];
        let flat = Shape::from([s[0], s[1], count * h * w]);
        // A place in the depth of a row's column, and there the place in its slice.
        let inner = places.reshape_to(Shape::from([s[0], s[1], s[2] * h * w])).gather(2, &index.reshape_to(flat));
        let layer = index.reshape_to(flat).floor_divide(Tensor::scalar((h * w) as i32, self.device()));
        let place = layer * (s[3] * s[4]) as i32 + inner;
        let out = Shape::from([s[0], s[1], count, h, w]);
        (y.reshape_to(out), place.reshape_to(out))
    }

    /// Volumes of a size, `[n, c, d, h, w]`, that are 0 but at the places that [`Tensor::max_pool3d_indices`] told. Of several
    /// for one place the last counts.
    ///
    /// # Panics
    /// If the values and the places are no volumes of one shape, or the places are not i32 or i64.
    #[track_caller]
    pub fn max_unpool3d(&self, index: &Tensor, size: [usize; 3]) -> Tensor {
        let s = self.shape();
        let fits = (4..=5).contains(&s.rank()) && index.shape() == s;
        assert!(fits, "max_unpool3d: {s} x {}: expected volumes and as many places of i32 or i64", index.shape());
        let lead = s.rank() - 3;
        let flat = |t: &Tensor| t.reshape([s[..lead].iter().product(), s[lead], s[lead + 1] * s[lead + 2]]);
        let y = flat(self).max_unpool2d(&flat(index), [size[0], size[1] * size[2]]);
        y.reshape_to(Shape::from([&s[..lead], &size[..]].concat()))
    }

    /// Images of a size, `[n, c, h, w]`, that are 0 but at the places that [`Tensor::max_pool2d_indices`] told. Of several for one
    /// place the last counts.
    ///
    /// # Panics
    /// If the values and the places are no images of one shape, or the places are not i32 or i64.
    #[track_caller]
    pub fn max_unpool2d(&self, index: &Tensor, size: [usize; 2]) -> Tensor {
        if let (Some(values), Some(index)) = (self.batch_of_one(4), index.batch_of_one(4)) {
            return values.max_unpool2d(&index, size).squeeze(0);
        }
        let shape = self.shape();
        let is_place = matches!(index.dtype(), DType::I32 | DType::I64);
        let fits = shape.rank() == 4 && index.shape() == shape && is_place;
        assert!(fits, "max_unpool2d: {shape} x {}: expected images and as many places of i32 or i64", index.shape());
        let lines = Shape::from([shape[0], shape[1], shape[2] * shape[3]]);
        let y = self.new_zeros([shape[0], shape[1], size[0] * size[1]]);
        let y = y.scatter(2, &index.reshape_to(lines), &self.reshape_to(lines));
        y.reshape_to(Shape::from([shape[0], shape[1], size[0], size[1]]))
    }
}
