//! Windows that reach past the end, other divisors, and the places of the largest: made of padding and of plain pooling.

use super::{AvgPool2dOptions, MaxPool2dOptions};
use crate::dtype::DType;
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

    /// Images of a size, `[n, c, h, w]`, that are 0 but at the places that [`Tensor::max_pool2d_indices`] told. Of several for one
    /// place the last counts.
    ///
    /// # Panics
    /// If the values and the places are no images of one shape, or the places are not i32.
    #[track_caller]
    pub fn max_unpool2d(&self, index: &Tensor, size: [usize; 2]) -> Tensor {
        if let (Some(values), Some(index)) = (self.batch_of_one(4), index.batch_of_one(4)) {
            return values.max_unpool2d(&index, size).squeeze(0);
        }
        let shape = self.shape();
        let fits = shape.rank() == 4 && index.shape() == shape && index.dtype() == DType::I32;
        assert!(fits, "max_unpool2d: {shape} x {}: expected images and as many places of i32", index.shape());
        let lines = Shape::from([shape[0], shape[1], shape[2] * shape[3]]);
        let y = Tensor::zeros([shape[0], shape[1], size[0] * size[1]], self.device());
        let y = y.scatter(2, &index.reshape_to(lines), &self.reshape_to(lines));
        y.reshape_to(Shape::from([shape[0], shape[1], size[0], size[1]]))
    }
}
