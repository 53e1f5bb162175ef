//! Transposed convolution: the convolution that would give its input from its output, with the kernels exchanged.

use super::depthwise::{DEPTHWISE, DEPTHWISE_INPUT, DEPTHWISE_WEIGHT};
use super::{CONV2D, CONV2D_INPUT, CONV2D_WEIGHT, ConvParams, again, choose, of_bias};
use crate::autograd::is_differentiated;
use crate::ops::channels_last::channels_last;
use crate::shape::{MAX_EXTENT, Shape};
use crate::tensor::Tensor;

/// PyTorch's arguments of `conv_transpose2d`, and its defaults: height before width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvTranspose2dOptions {
    /// Distance between the results of neighbouring pixels.
    pub stride: [usize; 2],
    /// Rows and columns that are cut off around the result.
    pub padding: [usize; 2],
    /// Rows and columns more at the end: a stride leaves several sizes open.
    pub output_padding: [usize; 2],
    /// Distance between the kernel's taps.
    pub dilation: [usize; 2],
    /// Parts of the channels that do not see each other.
    pub groups: usize,
}

impl Default for ConvTranspose2dOptions {
    fn default() -> ConvTranspose2dOptions {
        ConvTranspose2dOptions { stride: [1; 2], padding: [0; 2], output_padding: [0; 2], dilation: [1; 2], groups: 1 }
    }
}

/// # Transposed convolution of images
impl Tensor {
    /// Transposed convolution of images `[n, c, h, w]` with a weight `[c, o / groups, kh, kw]` and a bias `[o]`, to
    /// `[n, o, oh, ow]` with `oh = (h - 1) stride - 2 padding + dilation (kh - 1) + output_padding + 1`. One image
    /// `[c, h, w]` gives `[o, oh, ow]`.
    ///
    /// # Panics
    /// If the shapes do not fit each other or the options.
    #[doc(alias = "deconvolution")]
    #[track_caller]
    pub fn conv_transpose2d(&self, weight: &Tensor, bias: Option<&Tensor>, options: ConvTranspose2dOptions) -> Tensor {
        self.transposed("conv_transpose2d", weight, bias, options)
    }

    /// [`Tensor::conv_transpose2d`], whose sentences name `op`.
    #[track_caller]
    pub(super) fn transposed(
        &self,
        op: &'static str,
        weight: &Tensor,
        bias: Option<&Tensor>,
        options: ConvTranspose2dOptions,
    ) -> Tensor {
        if let Some(batch) = self.batch_of_one(4) {
            return batch.transposed(op, weight, bias, options).squeeze(0);
        }
        let (x, w) = (self.shape(), weight.shape());
        let ConvTranspose2dOptions { stride, padding, output_padding, dilation, groups } = options;
        assert!(
            x.rank() == 4 && w.rank() == 4,
            "{op}: {x} x {w}: expected images [n, c, h, w] and weights [c, o, kh, kw]"
        );
        for t in [self, weight] {
            assert!(t.dtype().is_float(), "{op}: {x} x {w}: expected tensors of floats, got {}", t.dtype());
        }
        let all: Vec<&Tensor> = [Some(self), Some(weight), bias].into_iter().flatten().collect();
        let dtype = Tensor::promoted(op, &all);
        if [self, weight].iter().any(|t| t.dtype() != dtype) {
            return self.cast(dtype).transposed(op, &weight.cast(dtype), bias, options);
        }
        let whole = groups > 0 && x[1] == w[0] && w[0] % groups == 0;
        assert!(whole, "{op}: {x} x {w}: {} channels do not fit weights for {} in {groups} groups", x[1], w[0]);
        assert!(w[2] > 0 && w[3] > 0, "{op}: {x} x {w}: a window of no elements sees nothing: take at least 1");
        assert!([stride, dilation].as_flattened().iter().all(|n| *n > 0), "{op}: a stride or dilation is 0");
        // What is between the only pixels or taps that there are does not matter.
        let stride = [0, 1].map(|d| if x[2 + d] <= 1 { stride[d].min(MAX_EXTENT) } else { stride[d] });
        let dilation = [0, 1].map(|d| if w[2 + d] == 1 { dilation[d].min(MAX_EXTENT) } else { dilation[d] });
        let mut size = [0; 2];
        for d in 0..2 {
            let more = output_padding[d];
            let fits = more < stride[d].max(dilation[d]);
            assert!(fits, "{op}: an output padding of {more} is not less than the stride or dilation");
            let pixels = (x[2 + d].max(1) - 1).saturating_mul(stride[d]);
            let full = (w[2 + d] - 1).saturating_mul(dilation[d]).saturating_add(pixels).saturating_add(more + 1);
            let is_counted = full <= MAX_EXTENT;
            assert!(is_counted, "{op}: {x} x {w}: more than the {MAX_EXTENT} elements that a dimension may have");
            let is_left = padding[d].saturating_mul(2) < full;
            assert!(is_left, "{op}: {x} x {w}: a padding of {} cuts off everything", padding[d]);
            size[d] = full - 2 * padding[d];
        }
        let outputs = w[1].saturating_mul(groups);
        let shape = Shape::from([x[0], outputs, size[0], size[1]]);
        if let Some(b) = bias.map(Tensor::shape) {
            assert!(b[..] == [outputs], "{op}: {w} x {b}: expected a bias for each of {outputs} output channels");
        }
        if x.contains(&0) || w.contains(&0) {
            return of_bias(op, shape, [self, weight], bias);
        }
        let (input, kernel) = (self.to_channels_last(), weight.contiguous());
        let y = channels_last(shape, self);
        let strides: [u32; 4] = std::array::from_fn(|d| y.layout().strides[d] as u32);
        // A convolution of the result's shape to the input's.
        let p = ConvParams {
            batch: x[0] as u32,
            channels: outputs as u32,
            height: shape[2] as u32,
            width: shape[3] as u32,
            out_channels: x[1] as u32,
            out_h: x[2] as u32,
            out_w: x[3] as u32,
            groups: groups as u32,
            kernel_h: w[2] as u32,
            kernel_w: w[3] as u32,
            stride_h: stride[0] as u32,
            stride_w: stride[1] as u32,
            padding_h: padding[0] as u32,
            padding_w: padding[1] as u32,
            dilation_h: dilation[0] as u32,
            dilation_w: dilation[1] as u32,
            x_base: 0,
            x_n: strides[0],
            x_c: strides[1],
            x_h: strides[2],
            x_w: strides[3],
            image: 0,
            images: x[0] as u32,
            bias: 0,
            relu: 0,
            pooled_h: 0,
            pooled_w: 0,
            y: [0; 4],
        };
        let is_deep = choose::is_depthwise(&p);
        let forward = if is_deep { &DEPTHWISE_INPUT } else { &CONV2D_INPUT };
        Tensor::run(forward, &[&input.detach(), &kernel.detach(), &y], &p);
        let saved = (input.saved(), kernel.saved());
        let of_w = weight.gradient_dtype();
        let y = y.tracked(
            || p.op(op).with("output_padding", &output_padding[..]),
            &[&input, &kernel],
            move |dy, needs| {
                if is_differentiated() {
                    return again::transposed_gradients([&saved.0, &saved.1], dy, needs, &p);
                }
                let ((input, kernel), dy) = (&saved, dy.to_channels_last());
                let dx = || {
                    let dx = channels_last(x, &dy);
                    if is_deep {
                        Tensor::run(&DEPTHWISE, &[&dy, kernel, kernel, &dx], &p);
                    } else {
                        Tensor::run(&CONV2D, &[&dy, kernel, &dx], &p);
                    }
                    dx
                };
                let dw = || {
                    let dw = Tensor::empty(w, of_w, dy.device());
                    if is_deep {
                        // Beside it comes the sum of the input, which nobody asks for.
                        let sums = dy.new_empty([x[1]]);
                        Tensor::run(&DEPTHWISE_WEIGHT, &[&dy, input, &dw, &sums], &p);
                    } else {
                        Tensor::run(&CONV2D_WEIGHT, &[&dy, input, &dw], &p);
                    }
                    dw
                };
                vec![needs[0].then(dx), needs[1].then(dw)]
            },
        );
        let Some(bias) = bias else { return y };
        y.add(&bias.reshape_to(Shape::from([outputs, 1, 1])))
    }
}
