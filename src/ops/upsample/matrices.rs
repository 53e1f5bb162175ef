//! Modes that are products with matrices of weights, one for rows and one for columns, made on the host.

use super::Upsampling;
use crate::shape::Shape;
use crate::tensor::Tensor;

/// The cubic convolution of Keys (1981).
fn cubic(x: f64, a: f64) -> f64 {
    let x = x.abs();
    match x {
        _ if x <= 1.0 => ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0,
        _ if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * a,
        _ => 0.0,
    }
}

/// What each of `to` results takes of `from` elements: [to, from].
fn weights(mode: Upsampling, from: usize, to: usize, scale: f64) -> Vec<f32> {
    let mut all = vec![0.0f64; to * from];
    for (at, row) in all.chunks_mut(from).enumerate() {
        match mode {
            Upsampling::NearestExact => {
                let nearest = ((at as f64 + 0.5) * f64::from(scale as f32)) as usize;
                row[nearest.min(from - 1)] = 1.0;
            }
            Upsampling::BilinearAntialiased | Upsampling::BicubicAntialiased => {
                let reach = if mode == Upsampling::BicubicAntialiased { 2.0 } else { 1.0 };
                let stretch = scale.max(1.0);
                let (center, support) = (scale * (at as f64 + 0.5), reach * stretch);
                let first = (center - support + 0.5).max(0.0) as usize;
                let end = ((center + support + 0.5) as usize).min(from);
                for (i, weight) in row.iter_mut().enumerate().take(end).skip(first) {
                    let x = (i as f64 - center + 0.5) / stretch;
                    *weight = match mode {
                        Upsampling::BicubicAntialiased => cubic(x, -0.5),
                        _ => (1.0 - x.abs()).max(0.0),
                    };
                }
                let sum: f64 = row.iter().sum();
                row.iter_mut().for_each(|weight| *weight /= sum);
            }
            _ => {
                let place = match mode {
                    Upsampling::BicubicAligned => scale * at as f64,
                    _ => scale * (at as f64 + 0.5) - 0.5,
                };
                let first = place.floor();
                for tap in -1..3 {
                    let i = (first as isize + tap).clamp(0, from as isize - 1) as usize;
                    row[i] += cubic(place - first - tap as f64, -0.75);
                }
            }
        }
    }
    all.into_iter().map(|weight| weight as f32).collect()
}

impl Tensor {
    /// Images by products with weights.
    #[track_caller]
    pub(super) fn weighed(&self, [out_h, out_w]: [usize; 2], scale: [f32; 2], mode: Upsampling) -> Tensor {
        let shape = self.shape();
        let matrix = |d: usize, to: usize| {
            let from = shape[2 + d];
            let scale = if to == from { 1.0 } else { f64::from(scale[d]) };
            Tensor::constant(&weights(mode, from, to, scale), [to, from], self.device()).cast(self.dtype())
        };
        let wide = self.reshape_to(Shape::from([shape[0] * shape[1], shape[2], shape[3]]));
        let rows = matrix(0, out_h).matmul(&wide);
        rows.matmul(&matrix(1, out_w).t()).reshape_to(Shape::from([shape[0], shape[1], out_h, out_w]))
    }
}
