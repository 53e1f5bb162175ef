//! Parameters of pooling's kernels: sizes, windows and strides.

use crate::autograd::Op;
use crate::dtype::DType;
use crate::kernel::Uniform;
use crate::ops::channels_last::image_strides;
use crate::shape::{MAX_EXTENT, Shape, Windows};
use crate::tensor::Tensor;
use bytemuck::{Pod, Zeroable};

/// The struct `Pool` of `shaders/prelude/pool.wgsl`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable, Uniform)]
pub struct PoolParams {
    pub batch: u32,
    pub channels: u32,
    pub size: [u32; 2],
    pub out: [u32; 2],
    /// The window; where it is adaptive, the largest there is.
    pub kernel: [u32; 2],
    pub stride: [u32; 2],
    pub padding: [u32; 2],
    pub dilation: [u32; 2],
    pub adaptive: u32,
    pub x_base: u32,
    pub x_n: u32,
    pub x_c: u32,
    pub x: [u32; 2],
    /// Strides of the results: image, channel, row, column.
    pub y: [u32; 4],
    /// Strides of their gradient.
    pub dy: [u32; 4],
    /// 1: the slope of a relu before the pooling is taken too.
    pub relu: u32,
}

impl PoolParams {
    /// The pooling, by what a user asked for.
    pub fn op(&self, op: &'static str) -> Op {
        if self.adaptive == 1 {
            return Op::new(op).with("output_size", self.out);
        }
        let op = Op::new(op).with("kernel_size", self.kernel).with("stride", self.stride);
        op.with("padding", self.padding).with("dilation", self.dilation)
    }

    #[track_caller]
    pub fn new(
        op: &str,
        x: &Tensor,
        kernel: [usize; 2],
        stride: [usize; 2],
        padding: [usize; 2],
        dilation: [usize; 2],
    ) -> PoolParams {
        let shape = x.shape();
        assert!(x.dtype().is_float() && shape.rank() == 4, "{op}: {shape}: expected images [n, c, h, w] of floats");
        let size = [shape[2], shape[3]];
        let mut walks = [(0, Windows { taps: 1, stride: 1, padding: 0, dilation: 1 }); 2];
        for d in 0..2 {
            let (taps, padding) = (kernel[d], padding[d]);
            assert!(taps == 0 || padding <= taps / 2, "{op}: the padding {padding} is over half the window {taps}");
            walks[d] = Windows { taps, stride: stride[d], padding, dilation: dilation[d] }.over(op, &shape, size[d]);
        }
        let words = |each: fn(&(usize, Windows)) -> usize| walks.each_ref().map(|walk| each(walk) as u32);
        let (stride, dilation) = (words(|(_, walk)| walk.stride), words(|(_, walk)| walk.dilation));
        PoolParams::over(
            x,
            words(|(out, _)| *out),
            words(|(_, w)| w.taps),
            stride,
            words(|(_, w)| w.padding),
            dilation,
            0,
        )
    }

    /// Refuses what windows cannot cut into `size` parts.
    #[track_caller]
    pub fn cuts(op: &str, x: &Tensor, size: [usize; 2]) {
        let shape = x.shape();
        let fits = x.dtype().is_float() && shape.rank() == 4 && shape[2] > 0 && shape[3] > 0;
        assert!(fits, "{op}: {shape}: expected images [n, c, h, w] of floats");
        assert!(size[0] > 0 && size[1] > 0, "{op}: an output of {size:?} is empty");
    }

    /// Whether the starts of such windows can be counted: multiples of the image's size, divided by the output's.
    pub fn counts(x: &Tensor, size: [usize; 2]) -> bool {
        (0..2).all(|d| size[d].checked_mul(x.shape()[2 + d]).is_some_and(|n| n <= MAX_EXTENT))
    }

    /// Windows that cut the images into `size` parts.
    #[track_caller]
    pub fn adaptive(op: &str, x: &Tensor, size: [usize; 2]) -> PoolParams {
        PoolParams::cuts(op, x, size);
        let shape = x.shape();
        assert!(
            PoolParams::counts(x, size),
            "{op}: {shape}: {size:?} windows are too many: a size times its windows is at most {MAX_EXTENT}"
        );
        let out = size.map(|s| s as u32);
        let most = |d: usize| (shape[2 + d].div_ceil(size[d]) + 1).min(shape[2 + d]) as u32;
        PoolParams::over(x, out, [most(0), most(1)], [1; 2], [0; 2], [1; 2], 1)
    }

    pub fn over(
        x: &Tensor,
        out: [u32; 2],
        kernel: [u32; 2],
        stride: [u32; 2],
        padding: [u32; 2],
        dilation: [u32; 2],
        adaptive: u32,
    ) -> PoolParams {
        let [n, c, h, w] = [0, 1, 2, 3].map(|d| x.shape()[d] as u32);
        let [x_n, x_c, x_h, x_w] = image_strides(x);
        let x_base = x.base() as u32;
        // Of results that are too many to be, no number matters.
        let row = out[1].wrapping_mul(c);
        let last = [out[0].wrapping_mul(row), 1, row, c];
        PoolParams {
            batch: n,
            channels: c,
            size: [h, w],
            out,
            kernel,
            stride,
            padding,
            dilation,
            adaptive,
            x_base,
            x_n,
            x_c,
            x: [x_h, x_w],
            y: last,
            dy: last,
            relu: 0,
        }
    }

    /// The same over other images of this shape.
    pub fn over_images(self, x: &Tensor) -> PoolParams {
        PoolParams::over(x, self.out, self.kernel, self.stride, self.padding, self.dilation, self.adaptive)
    }

    /// With a gradient of these strides.
    pub fn given(self, dy: &Tensor) -> PoolParams {
        PoolParams { dy: image_strides(dy), ..self }
    }

    pub fn output(&self) -> Shape {
        Shape::from([self.batch, self.channels, self.out[0], self.out[1]].map(|s| s as usize))
    }

    pub fn input(&self, [n, h, w, c]: [usize; 4]) -> usize {
        self.x_base as usize
            + n * self.x_n as usize
            + c * self.x_c as usize
            + h * self.x[0] as usize
            + w * self.x[1] as usize
    }

    /// The pixels of output `o`'s window along dimension `d`, inside the image.
    pub fn taps(&self, d: usize, o: usize) -> impl Iterator<Item = usize> + Clone {
        self.places(d, o).map(|(_, pixel)| pixel)
    }

    /// The same behind their places in the window.
    pub fn places(&self, d: usize, o: usize) -> impl Iterator<Item = (usize, usize)> + Clone {
        let (start, padding) = (o * self.stride[d] as usize, self.padding[d] as usize);
        let (size, dilation) = (self.size[d] as usize, self.dilation[d] as usize);
        let (start, kernel, padding, dilation) = if self.adaptive == 1 {
            let out = self.out[d] as usize;
            let first = o * size / out;
            (first, ((o + 1) * size).div_ceil(out) - first, 0, 1)
        } else {
            (start, self.kernel[d] as usize, padding, dilation)
        };
        (0..kernel).filter_map(move |k| {
            let pixel = (start + k * dilation).checked_sub(padding).filter(|&at| at < size);
            pixel.map(|pixel| (k, pixel))
        })
    }

    /// The first element of a position's channels, where they lie by `strides`.
    pub fn output_at(&self, strides: [u32; 4], n: usize, oh: usize, ow: usize) -> usize {
        n * strides[0] as usize + oh * strides[2] as usize + ow * strides[3] as usize
    }

    /// Whether the images lie channels last and without gaps.
    pub fn is_dense(&self) -> bool {
        let ([h, w], c) = (self.size, self.channels);
        [self.x_n, self.x_c, self.x[0], self.x[1]] == [h * w * c, 1, w * c, c]
    }

    /// The same in steps of four channels.
    pub fn by_fours(&self) -> PoolParams {
        let quarter = |words: [u32; 2]| words.map(|word| word / 4);
        let (channels, x_base, x_n) = (self.channels / 4, self.x_base / 4, self.x_n / 4);
        PoolParams { channels, x_base, x_n, x: quarter(self.x), ..*self }
    }

    /// Whether windows lie side by side and cover the image, so that each pixel has one.
    pub fn windows_tile(&self) -> bool {
        let covered = |d: usize| self.size[d] == self.out[d] * self.kernel[d];
        self.adaptive == 0
            && self.kernel == self.stride
            && self.padding == [0; 2]
            && self.dilation == [1; 2]
            && covered(0)
            && covered(1)
    }

    /// The most pixels of a window along one dimension.
    pub fn reach(&self, d: usize) -> u64 {
        u64::from(self.kernel[d])
    }

    /// The type of the places in windows that are kept: bytes where 255 are enough, and one more that stands for none.
    pub fn place_type(&self) -> DType {
        if self.reach(0) * self.reach(1) <= 255 { DType::U8 } else { DType::I32 }
    }

    /// Where output `o`'s window starts along dimension `d`, be that before the image.
    pub fn start(&self, d: usize, o: usize) -> isize {
        match self.adaptive {
            1 => (o * self.size[d] as usize / self.out[d] as usize) as isize,
            _ => (o * self.stride[d] as usize) as isize - self.padding[d] as isize,
        }
    }

    /// The most outputs along one dimension whose windows may hold a pixel.
    pub fn views(&self, d: usize) -> u64 {
        u64::from(match self.adaptive {
            1 => self.out[d].div_ceil(self.size[d]).saturating_add(1).min(self.out[d]),
            // Taps that lie apart are asked one by one.
            _ if self.dilation[d] > 1 => self.kernel[d],
            _ => self.kernel[d].div_ceil(self.stride[d]),
        })
    }

    /// The divisor of the mean of output (oh, ow).
    pub fn divisor(&self, oh: usize, ow: usize) -> f64 {
        if self.adaptive == 1 {
            (self.taps(0, oh).count() * self.taps(1, ow).count()) as f64
        } else {
            f64::from(self.kernel[0]) * f64::from(self.kernel[1])
        }
    }
}
