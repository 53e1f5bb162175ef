//! What the convolution kernels mean, on the host.

use super::Params;
use crate::kernel::{Call, parallel};
use crate::ops::matmul::gemm;

pub fn forward(call: &mut Call) {
    let (p, x, w) = (call.params::<Params>(), call.read::<f32>(0), call.read::<f32>(1));
    let (rows, out) = (p.positions(), p.out_channels as usize);
    let product = p.forward(rows);
    let [o, q] = p.group();
    parallel::chunks(call.write::<f32>(2), rows * out, |image, y| {
        let col = host_columns(&p, image, x);
        for g in 0..p.groups as usize {
            let w = &w[g * o * q..];
            let mut part = vec![0.0; rows * o];
            gemm([rows, o, q], &col[g * q..], [product.a_row, 1], w, [1, product.b_col], &mut part, 0.0);
            for (y, part) in y.chunks_mut(out).zip(part.chunks(o)) {
                y[g * o..][..o].copy_from_slice(part);
            }
        }
    });
}

/// The columns of one image, [positions, taps].
fn host_columns(p: &Params, image: usize, x: &[f32]) -> Vec<f32> {
    let mut col = vec![0.0; p.positions() * p.taps()];
    let x = &x[p.x_base as usize + image * p.x_n as usize..];
    let (kh, kw) = (p.kernel_h as usize, p.kernel_w as usize);
    for (r, row) in col.chunks_mut(p.taps()).enumerate() {
        let at = [r / p.out_w as usize, r % p.out_w as usize];
        for h in 0..kh {
            for w in 0..kw {
                let Some([y, z]) = p.pixel(at, [h, w]) else { continue };
                let from = y * p.x_h as usize + z * p.x_w as usize;
                for c in 0..p.channels as usize {
                    row[(c * kh + h) * kw + w] = x[from + c * p.x_c as usize];
                }
            }
        }
    }
    col
}

/// Parts of the batch whose weight gradients are summed apart: a number that no machine changes.
const WEIGHT_PARTS: usize = 8;

pub fn weight(call: &mut Call) {
    let (p, x, dy) = (call.params::<Params>(), call.read::<f32>(0), call.read::<f32>(1));
    let (rows, out, batch) = (p.positions(), p.out_channels as usize, p.batch as usize);
    let ([o, q], dw) = (p.group(), call.write::<f32>(2));
    let each = batch.div_ceil(WEIGHT_PARTS).max(1);
    let mut parts = vec![0.0; batch.div_ceil(each).max(1) * dw.len()];
    parallel::chunks(&mut parts, dw.len(), |part, dw| {
        for image in part * each..((part + 1) * each).min(batch) {
            let col = host_columns(&p, image, x);
            for (g, dw) in dw.chunks_mut(o * q).enumerate() {
                let dy = &dy[image * rows * out + g * o..];
                gemm([o, q, rows], dy, [1, p.out_channels], &col[g * q..], [p.taps() as u32, 1], dw, 1.0);
            }
        }
    });
    for (i, dw) in dw.iter_mut().enumerate() {
        *dw = parts.iter().skip(i).step_by(o * q * p.groups as usize).sum();
    }
}

pub fn input(call: &mut Call) {
    let (p, dy, w) = (call.params::<Params>(), call.read::<f32>(0), call.read::<f32>(1));
    let (rows, out) = (p.positions(), p.out_channels as usize);
    let [o, q] = p.group();
    let (kh, kw, channels) = (p.kernel_h as usize, p.kernel_w as usize, p.channels as usize);
    parallel::chunks(call.write::<f32>(2), p.pixels(), |image, dx| {
        dx.fill(0.0);
        let mut dcol = vec![0.0; rows * q];
        for g in 0..p.groups as usize {
            let dy = &dy[image * rows * out + g * o..];
            gemm([rows, q, o], dy, [p.out_channels, 1], &w[g * o * q..], [q as u32, 1], &mut dcol, 0.0);
            for (r, row) in dcol.chunks(q).enumerate() {
                let at = [r / p.out_w as usize, r % p.out_w as usize];
                for h in 0..kh {
                    for w in 0..kw {
                        let Some([y, z]) = p.pixel(at, [h, w]) else { continue };
                        let to = (y * p.width as usize + z) * channels + g * (q / (kh * kw));
                        for (c, dx) in dx[to..][..q / (kh * kw)].iter_mut().enumerate() {
                            *dx += row[(c * kh + h) * kw + w];
                        }
                    }
                }
            }
        }
    });
}
