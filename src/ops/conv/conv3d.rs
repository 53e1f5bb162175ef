//! Convolution of volumes: that of images whose channels are the slices that a tap in depth sees, each beside the others.

use super::{Conv2dOptions, ConvTranspose2dOptions};
use crate::shape::{Shape, Windows};
use crate::tensor::Tensor;

/// PyTorch's arguments of `conv3d`, and its defaults: depth, height, width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv3dOptions {
    /// Distance between positions of the kernel.
    pub stride: [usize; 3],
    /// Zeros around the volume.
    pub padding: [usize; 3],
    /// Distance between the kernel's taps.
    pub dilation: [usize; 3],
    /// Parts of the channels that do not see each other.
    pub groups: usize,
}

impl Default for Conv3dOptions {
    fn default() -> Conv3dOptions {
        Conv3dOptions { stride: [1; 3], padding: [0; 3], dilation: [1; 3], groups: 1 }
    }
}

/// PyTorch's arguments of `conv_transpose3d`, and its defaults: depth, height, width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvTranspose3dOptions {
    /// Distance between the results of neighbours.
    pub stride: [usize; 3],
    /// Elements that are cut off around the result.
    pub padding: [usize; 3],
    /// Elements more at the end.
    pub output_padding: [usize; 3],
    /// Distance between the kernel's taps.
    pub dilation: [usize; 3],
    /// Parts of the channels that do not see each other.
    pub groups: usize,
}

impl Default for ConvTranspose3dOptions {
    fn default() -> ConvTranspose3dOptions {
        ConvTranspose3dOptions { stride: [1; 3], padding: [0; 3], output_padding: [0; 3], dilation: [1; 3], groups: 1 }
    }
}

/// Height and width of options.
fn plane(all: [usize; 3]) -> [usize; 2] {
    [all[1], all[2]]
}

/// # Convolution of volumes
impl Tensor {
    /// [`Tensor::conv3d`] with as much padding as keeps depth, height and width, in the place of that of the options: PyTorch's
    /// `padding="same"`. Of an odd number, the larger half is behind.
    ///
    /// # Panics
    /// If a stride is not 1, or as [`Tensor::conv3d`].
    #[track_caller]
    pub fn conv3d_same(&self, weight: &Tensor, bias: Option<&Tensor>, options: Conv3dOptions) -> Tensor {
        let (w, stride) = (weight.shape(), options.stride);
        assert!(w.rank() == 5, "conv3d: {} x {w}: expected weights [o, c / groups, kd, kh, kw]", self.shape());
        assert!(stride == [1; 3], "conv3d: padding that keeps the size takes strides of 1, got {stride:?}");
        let total = [0, 1, 2].map(|d| options.dilation[d] * w[2 + d].saturating_sub(1));
        let odd = total.map(|n| (0, n % 2));
        let x = if odd == [(0, 0); 3] { self.clone() } else { self.pad(&[odd[2], odd[1], odd[0]], 0.0) };
        x.conv3d(weight, bias, Conv3dOptions { padding: total.map(|n| n / 2), ..options })
    }

    /// Convolution of volumes `[n, c, d, h, w]` with a weight `[o, c / groups, kd, kh, kw]` and a bias `[o]`, to
    /// `[n, o, od, oh, ow]`. One volume `[c, d, h, w]` gives `[o, od, oh, ow]`.
    ///
    /// # Panics
    /// If the shapes do not fit each other or the options.
    #[track_caller]
    pub fn conv3d(&self, weight: &Tensor, bias: Option<&Tensor>, options: Conv3dOptions) -> Tensor {
        if let Some(batch) = self.batch_of_one(5) {
            return batch.conv3d(weight, bias, options).squeeze(0);
        }
        let (x, w) = (self.shape(), weight.shape());
        let Conv3dOptions { stride, padding, dilation, groups } = options;
        let fits = x.rank() == 5 && w.rank() == 5 && w[2] > 0 && groups > 0 && x[1] == w[1] * groups;
        assert!(fits, "conv3d: {x} x {w}: expected volumes [n, c, d, h, w] and weights [o, c / {groups}, kd, kh, kw]");
        let (n, c, taps) = (x[0], x[1], w[2]);
        let walk = Windows { taps, stride: stride[0], padding: padding[0], dilation: dilation[0] };
        let (depth, _) = walk.over("conv3d", &x, x[2]);
        let padded =
            if padding[0] == 0 { self.clone() } else { self.pad(&[(0, 0), (0, 0), (padding[0], padding[0])], 0.0) };
        // The slices that each position in depth sees, one behind the other.
        let slices = match (taps, stride[0]) {
            (1, 1) => padded,
            _ => {
                let at = |position: usize| (0..taps).map(move |tap| (position * stride[0] + tap * dilation[0]) as i32);
                let seen: Vec<i32> = (0..depth).flat_map(at).collect();
                padded.index_select(2, &Tensor::constant(&seen, [depth * taps], self.device()))
            }
        };
        let slices = slices.reshape_to(Shape::from([n, c, depth, taps, x[3], x[4]])).permute(&[0, 2, 1, 3, 4, 5]);
        let images = slices.reshape_to(Shape::from([n * depth, c * taps, x[3], x[4]]));
        let kernel = weight.reshape_to(Shape::from([w[0], w[1] * taps, w[3], w[4]]));
        let options =
            Conv2dOptions { stride: plane(stride), padding: plane(padding), dilation: plane(dilation), groups };
        let y = images.convolution("conv3d", &kernel, bias, options);
        let (h, w) = (y.shape()[2], y.shape()[3]);
        let o = y.shape()[1];
        y.reshape_to(Shape::from([n, depth, o, h, w])).permute(&[0, 2, 1, 3, 4])
    }

    /// Transposed convolution of volumes `[n, c, d, h, w]` with a weight `[c, o / groups, kd, kh, kw]` and a bias `[o]`. One
    /// volume `[c, d, h, w]` gives `[o, od, oh, ow]`.
    ///
    /// # Panics
    /// If the shapes do not fit each other or the options.
    #[track_caller]
    pub fn conv_transpose3d(&self, weight: &Tensor, bias: Option<&Tensor>, options: ConvTranspose3dOptions) -> Tensor {
        if let Some(batch) = self.batch_of_one(5) {
            return batch.conv_transpose3d(weight, bias, options).squeeze(0);
        }
        let (op, x, w) = ("conv_transpose3d", self.shape(), weight.shape());
        let ConvTranspose3dOptions { stride, padding, output_padding, dilation, groups } = options;
        let fits = x.rank() == 5 && w.rank() == 5 && w[2] > 0 && x[1] == w[0];
        assert!(fits, "{op}: {x} x {w}: expected volumes [n, c, d, h, w] and weights [c, o / {groups}, kd, kh, kw]");
        let more = output_padding[0];
        assert!(
            more < stride[0].max(dilation[0]),
            "{op}: an output padding of {more} is not less than the stride or dilation"
        );
        let (n, depth, taps) = (x[0], x[2], w[2]);
        let whole = (depth.max(1) - 1) * stride[0] + dilation[0] * (taps - 1) + 1 + more;
        let cut = 2 * padding[0];
        assert!(cut < whole, "{op}: {x} x {w}: a padding of {} cuts off everything", padding[0]);
        // Each slice gives a result for each tap in depth, as channels.
        let images = self.permute(&[0, 2, 1, 3, 4]).reshape_to(Shape::from([n * depth, x[1], x[3], x[4]]));
        let kernel = weight.reshape_to(Shape::from([w[0], w[1] * taps, w[3], w[4]]));
        let options = ConvTranspose2dOptions {
            stride: plane(stride),
            padding: plane(padding),
            output_padding: plane(output_padding),
            dilation: plane(dilation),
            groups,
        };
        let y = images.transposed(op, &kernel, None, options);
        let (o, h, w) = (w[1] * groups, y.shape()[2], y.shape()[3]);
        let parts = y.reshape_to(Shape::from([n, depth, o, taps, h * w])).permute(&[0, 2, 1, 3, 4]);
        let parts = parts.reshape_to(Shape::from([n, o, depth * taps, h * w]));
        // They meet where they belong.
        let at = |slice: usize| (0..taps).map(move |tap| (slice * stride[0] + tap * dilation[0]) as i32);
        let places: Vec<i32> = (0..depth).flat_map(at).collect();
        let places = Tensor::constant(&places, [depth * taps], self.device());
        let sums = parts.new_zeros([n, o, whole, h * w]).index_add(2, &places, &parts);
        let y = sums.narrow(2, padding[0], whole - cut).reshape_to(Shape::from([n, o, whole - cut, h, w]));
        match bias {
            Some(bias) => {
                let b = bias.shape();
                assert!(b[..] == [o], "{op}: {x} x {b}: expected a bias for each of {o} output channels");
                y.add(&bias.reshape_to(Shape::from([o, 1, 1, 1])))
            }
            None => y,
        }
    }
}
