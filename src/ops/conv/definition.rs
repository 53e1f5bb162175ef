//! The definition of the convolution kernels: a pixel times a weight, for every tap of every result.

use super::ConvParams;
use crate::kernel::functions::{indices, relu};
use crate::kernel::{Call, convert};

/// One product of a convolution, by where its three parts lie.
struct Product {
    /// Image, row, column and channel of the pixel.
    pixel: [usize; 4],
    /// In the weight [o, c / groups, kh, kw].
    w: usize,
    /// In the results [n, oh, ow, o].
    y: usize,
}

impl ConvParams {
    /// Calls `each` with every product. Taps in the padding have none.
    fn products(&self, mut each: impl FnMut(Product)) {
        let ConvParams { batch, out_h, out_w, out_channels, groups, kernel_h, kernel_w, .. } = *self;
        let channels = self.channels / groups;
        let weights = indices([out_channels, channels, kernel_h, kernel_w]);
        for (w, [o, c, kh, kw]) in weights.enumerate() {
            let group = o / (out_channels / groups) as usize;
            for [n, oh, ow] in indices([batch, out_h, out_w]) {
                let row = seen([oh, kh], [self.stride_h, self.dilation_h, self.padding_h, self.height]);
                let column = seen([ow, kw], [self.stride_w, self.dilation_w, self.padding_w, self.width]);
                if let (Some(h), Some(at)) = (row, column) {
                    let y = ((n * out_h as usize + oh) * out_w as usize + ow) * out_channels as usize + o;
                    each(Product { pixel: [n, h, at, group * channels as usize + c], w, y });
                }
            }
        }
    }

    /// The place of a pixel of the images.
    fn at(&self, [n, h, w, c]: [usize; 4]) -> usize {
        let [base, x_n, x_h, x_w, x_c] =
            [self.x_base, self.x_n, self.x_h, self.x_w, self.x_c].map(|step| step as usize);
        base + n * x_n + h * x_h + w * x_w + c * x_c
    }
}

/// The pixel that a result sees by a tap along one dimension.
fn seen([result, tap]: [usize; 2], sizes: [u32; 4]) -> Option<usize> {
    let [stride, dilation, padding, pixels] = sizes.map(|size| size as usize);
    (result * stride + tap * dilation).checked_sub(padding).filter(|at| *at < pixels)
}

fn rounded(to: &mut [f32], sums: &[f64]) {
    to.iter_mut().zip(sums).for_each(|(to, sum)| *to = *sum as f32);
}

/// The results: sums of products, a bias where there is one, and the relu of both where it follows.
fn results(call: &Call) -> Vec<f32> {
    let (p, x, w) = (call.params::<ConvParams>(), call.read::<f32>(0), call.read::<f32>(1));
    let channels = p.out_channels as usize;
    let mut sums = vec![0.0f64; p.batch as usize * p.positions() * channels];
    p.products(|product| sums[product.y] += f64::from(x[p.at(product.pixel)]) * f64::from(w[product.w]));
    let finished = |(at, sum): (usize, &f64)| {
        let bias = if p.bias == 1 { call.read::<f32>(2)[at % channels] } else { 0.0 };
        let y = (sum + f64::from(bias)) as f32;
        if p.relu == 1 { relu(y) } else { y }
    };
    sums.iter().enumerate().map(finished).collect()
}

/// The results, as binding `y`.
pub fn forward(call: &mut Call, y: usize) {
    let results = results(call);
    call.write(y).copy_from_slice(&results);
}

/// The largest of each 2 x 2 results as y holds them, and its place among the four; of equals the first, and a NaN before all.
pub fn pooled(call: &mut Call) {
    let (p, dtype) = (call.params::<ConvParams>(), call.dtype(3));
    let results: Vec<f32> = results(call).into_iter().map(|value| convert::rounded(dtype, value)).collect();
    let (y, place) = (call.write::<f32>(3), call.write::<u8>(4));
    let [width, channels] = [p.out_w, p.out_channels].map(|size| size as usize);
    let windows = indices([p.batch, p.pooled_h, p.pooled_w, p.out_channels]);
    for ([n, h, w, c], place) in windows.zip(place) {
        let to = [n, c, h, w].iter().zip(p.y).map(|(at, step)| at * step as usize).sum::<usize>();
        let first = 2 * h * width + 2 * w;
        (y[to], *place) = (f32::NEG_INFINITY, 0);
        for (tap, position) in (0..).zip([first, first + 1, first + width, first + width + 1]) {
            let value = results[(n * p.positions() + position) * channels + c];
            if value > y[to] || value.is_nan() {
                (y[to], *place) = (value, tap);
            }
        }
    }
}

/// The gradient of the weight, and with `bias` that of the bias.
pub fn weight(call: &mut Call, bias: bool) {
    let (p, x, dy) = (call.params::<ConvParams>(), call.read::<f32>(0), call.read::<f32>(1));
    let dw = call.write::<f32>(2);
    let mut sums = vec![0.0f64; dw.len()];
    p.products(|product| sums[product.w] += f64::from(x[p.at(product.pixel)]) * f64::from(dy[product.y]));
    rounded(dw, &sums);
    if bias {
        let mut sums = vec![0.0f64; p.out_channels as usize];
        dy.iter().enumerate().for_each(|(at, dy)| sums[at % p.out_channels as usize] += f64::from(*dy));
        rounded(call.write(3), &sums);
    }
}

/// The gradient of the images, [n, h, w, c].
pub fn input(call: &mut Call) {
    let (p, dy, w) = (call.params::<ConvParams>(), call.read::<f32>(0), call.read::<f32>(1));
    let dx = call.write::<f32>(2);
    let mut sums = vec![0.0f64; dx.len()];
    p.products(|Product { pixel: [n, row, column, c], w: tap, y }| {
        let at = ((n * p.height as usize + row) * p.width as usize + column) * p.channels as usize + c;
        sums[at] += f64::from(dy[y]) * f64::from(w[tap]);
    });
    rounded(dx, &sums);
}
