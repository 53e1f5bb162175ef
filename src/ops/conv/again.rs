//! The gradients of convolutions as convolutions, to be differentiated again.

use super::{Conv2dOptions, ConvParams, ConvTranspose2dOptions};
use crate::shape::Shape;
use crate::tensor::Tensor;

fn options(p: &ConvParams) -> Conv2dOptions {
    let [stride, padding, dilation] =
        [[p.stride_h, p.stride_w], [p.padding_h, p.padding_w], [p.dilation_h, p.dilation_w]]
            .map(|pair| pair.map(|n| n as usize));
    Conv2dOptions { stride, padding, dilation, groups: p.groups as usize }
}

/// The gradient by the images: a transposed convolution of that of the results.
fn by_images(dy: &Tensor, kernel: &Tensor, p: &ConvParams) -> Tensor {
    let Conv2dOptions { stride, padding, dilation, groups } = options(p);
    let (size, taps, out) = ([p.height, p.width], [p.kernel_h, p.kernel_w], [p.out_h, p.out_w]);
    // What the stride left over at the end.
    let output_padding = [0, 1].map(|d| {
        let seen = (out[d] as usize - 1) * stride[d] + dilation[d] * (taps[d] as usize - 1) + 1;
        size[d] as usize + 2 * padding[d] - seen
    });
    let options = ConvTranspose2dOptions { stride, padding, output_padding, dilation, groups };
    dy.conv_transpose2d(kernel, None, options)
}

/// The gradient by the weight: a convolution of the images with that of the results, over images in the place of channels.
fn by_weight(images: &Tensor, dy: &Tensor, p: &ConvParams) -> Tensor {
    let Conv2dOptions { stride, padding, dilation, groups } = options(p);
    let [n, c, h, w] = [p.batch, p.channels, p.height, p.width].map(|size| size as usize);
    let x = images.reshape_to(Shape::from([n, groups, c / groups, h, w])).permute(&[2, 1, 0, 3, 4]);
    let x = x.reshape_to(Shape::from([c / groups, groups * n, h, w]));
    let swapped = Conv2dOptions { stride: dilation, padding, dilation: stride, groups };
    let dw = x.conv2d(&dy.transpose(0, 1), None, swapped);
    let dw = dw.narrow(2, 0, p.kernel_h as usize).narrow(3, 0, p.kernel_w as usize);
    dw.transpose(0, 1)
}

/// Those of images, weight and, where there is one, bias.
pub fn gradients([images, kernel]: [&Tensor; 2], dy: &Tensor, needs: &[bool], p: &ConvParams) -> Vec<Option<Tensor>> {
    let bias = needs.get(2).map(|needed| {
        let channels = Shape::from([p.out_channels as usize, 1, 1]);
        needed.then(|| dy.sum_to(channels).reshape_to(Shape::from([p.out_channels as usize])))
    });
    let mut all = vec![needs[0].then(|| by_images(dy, kernel, p)), needs[1].then(|| by_weight(images, dy, p))];
    all.extend(bias);
    all
}

/// Those of the images and the weight of a transposed convolution, whose results `p` takes for images.
pub fn transposed_gradients(
    [images, kernel]: [&Tensor; 2],
    dy: &Tensor,
    needs: &[bool],
    p: &ConvParams,
) -> Vec<Option<Tensor>> {
    // Where the output's padding is as wide as the stride there is more than the images had.
    let by_images =
        || dy.conv2d(kernel, None, options(p)).narrow(2, 0, p.out_h as usize).narrow(3, 0, p.out_w as usize);
    vec![needs[0].then(by_images), needs[1].then(|| by_weight(dy, images, p))]
}
