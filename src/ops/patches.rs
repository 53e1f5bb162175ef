//! Windows of images as columns, and columns put together as images.

use super::conv::Conv2dOptions;
use crate::shape::{Layout, Shape, Windows};
use crate::tensor::Tensor;

/// The number of windows along both dimensions.
#[track_caller]
fn windows(op: &str, shape: Shape, size: [usize; 2], kernel: [usize; 2], options: Conv2dOptions) -> [usize; 2] {
    let mut out = [0; 2];
    for d in 0..2 {
        let (stride, padding, dilation) = (options.stride[d], options.padding[d], options.dilation[d]);
        out[d] = Windows { taps: kernel[d], stride, padding, dilation }.over(op, &shape, size[d]).0;
    }
    out
}

/// Each pixel of each window of padded images [n, c, h, w]: [n, c, kernel.., windows..].
fn taps(layout: &Layout, kernel: [usize; 2], out: [usize; 2], options: Conv2dOptions) -> Layout {
    let [sn, sc, sh, sw] = [layout.strides[0], layout.strides[1], layout.strides[2], layout.strides[3]];
    let ([dh, dw], [th, tw]) = (options.dilation, options.stride);
    Layout {
        shape: Shape::from([layout.shape[0], layout.shape[1], kernel[0], kernel[1], out[0], out[1]]),
        strides: [sn, sc, dh * sh, dw * sw, th * sh, tw * sw],
        offset: layout.offset,
    }
}

/// # Windows as columns
impl Tensor {
    /// The windows of images `[n, c, h, w]` as columns, `[n, c * kernel.., windows]`: `torch.nn.functional.unfold`.
    ///
    /// # Panics
    /// If it is no batch of images, or a window is larger than they are.
    #[track_caller]
    #[doc(alias = "im2col")]
    pub fn unfold(&self, kernel: [usize; 2], options: Conv2dOptions) -> Tensor {
        if let Some(batch) = self.batch_of_one(4) {
            return batch.unfold(kernel, options).squeeze(0);
        }
        let shape = self.shape();
        assert!(shape.rank() == 4, "unfold: {shape}: expected images [n, c, h, w]");
        let out = windows("unfold", shape, [shape[2], shape[3]], kernel, options);
        let [ph, pw] = options.padding;
        let x = self.detach();
        let x = if [ph, pw] == [0, 0] { x } else { x.pad(&[(pw, pw), (ph, ph)], 0.0) };
        let columns = Shape::from([shape[0], shape[1] * kernel[0] * kernel[1], out[0] * out[1]]);
        let y = x.with_layout(taps(x.layout(), kernel, out, options)).copy().reshape_to(columns);
        y.tracked("unfold", &[self], move |dy, _| vec![Some(dy.fold([shape[2], shape[3]], kernel, options))])
    }

    /// Columns `[n, c * kernel.., windows]` put together as images of a size, `[n, c, h, w]`, where windows meet their sum:
    /// `torch.nn.functional.fold`, and the gradient of [`Tensor::unfold`]. Each pixel of the window is a kernel of its own.
    ///
    /// # Panics
    /// If these are not the columns of such images.
    #[track_caller]
    #[doc(alias = "col2im")]
    pub fn fold(&self, size: [usize; 2], kernel: [usize; 2], options: Conv2dOptions) -> Tensor {
        if let Some(batch) = self.batch_of_one(3) {
            return batch.fold(size, kernel, options).squeeze(0);
        }
        let shape = self.shape();
        let out = windows("fold", shape, size, kernel, options);
        let each = kernel[0] * kernel[1];
        let fits = shape.rank() == 3 && shape[1].is_multiple_of(each) && shape[2] == out[0] * out[1];
        assert!(fits, "fold: {shape}: expected [n, c * {each}, {}] for images of {size:?}", out[0] * out[1]);
        let (n, c) = (shape[0], shape[1] / each);
        let x = self.detach().reshape_to(Shape::from([n, c, kernel[0], kernel[1], out[0], out[1]]));
        let [ph, pw] = options.padding;
        // In f32, where the pixels of several patches meet.
        let sum = Tensor::zeros([n, c, size[0] + 2 * ph, size[1] + 2 * pw], self.device());
        let all = taps(sum.layout(), kernel, out, options);
        for tap in 0..each {
            let (i, j) = (tap / kernel[1], tap % kernel[1]);
            let place = Layout {
                shape: Shape::from([n, c, out[0], out[1]]),
                strides: [all.strides[0], all.strides[1], all.strides[4], all.strides[5], 0, 0],
                offset: all.offset + i * all.strides[2] + j * all.strides[3],
            };
            let place = sum.with_layout(place);
            place.assign(&place.add(&x.narrow(2, i, 1).narrow(3, j, 1).squeeze(2).squeeze(2)));
        }
        let y = sum.narrow(2, ph, size[0]).narrow(3, pw, size[1]).cast(self.dtype());
        y.tracked("fold", &[self], move |dy, _| vec![Some(dy.unfold(kernel, options))])
    }

    /// Images `[n, c, h r, w r]` whose pixels become channels, `[n, c r^2, h, w]`: what [`Tensor::pixel_shuffle`] undoes.
    ///
    /// # Panics
    /// If it is no batch of images whose height and width are multiples of the factor.
    #[track_caller]
    pub fn pixel_unshuffle(&self, factor: usize) -> Tensor {
        if let Some(batch) = self.batch_of_one(4) {
            return batch.pixel_unshuffle(factor).squeeze(0);
        }
        let shape = self.shape();
        let whole = |n: usize| factor > 0 && n.is_multiple_of(factor);
        let fits = shape.rank() == 4 && whole(shape[2]) && whole(shape[3]);
        assert!(fits, "pixel_unshuffle: {shape}: expected images [n, c, h, w] of a multiple of {factor} pixels");
        let [n, c, h, w] = [shape[0], shape[1], shape[2] / factor, shape[3] / factor];
        let parts = self.reshape_to(Shape::from([n, c, h, factor, w, factor])).permute(&[0, 1, 3, 5, 2, 4]);
        parts.reshape_to(Shape::from([n, c * factor * factor, h, w]))
    }
}
