//! Positions that turn queries and keys.

use crate::tensor::Tensor;

/// # Rotary positions
impl Tensor {
    /// Queries or keys `[.., rows, head_dim]` turned by their positions, from `first` on, so that products of two tell
    /// their distance (Su et al., 2021): the halves of a row are the two parts of each point, turned by
    /// row / base^(2 i / head_dim). `base` is usually 10,000.
    ///
    /// # Panics
    /// If the last size is odd.
    #[doc(alias = "rope")]
    #[track_caller]
    pub fn rotary(&self, first: usize, base: f32) -> Tensor {
        let shape = self.shape();
        let fits = shape.rank() >= 2 && shape[shape.rank() - 1].is_multiple_of(2);
        assert!(fits, "rotary: {shape}: expected rows [.., rows, head_dim] of an even head_dim");
        let (rows, half) = (shape[shape.rank() - 2], shape[shape.rank() - 1] / 2);
        let angle =
            |at: usize| (first as f64 + (at / half) as f64) / f64::from(base).powf((at % half) as f64 / half as f64);
        let table = |f: fn(f64) -> f64| {
            let values: Vec<f32> = (0..rows * half).map(|at| f(angle(at)) as f32).collect();
            Tensor::constant(&values, [rows, half], self.device())
        };
        let (cos, sin) = (table(f64::cos), table(f64::sin));
        let (a, b) = (self.narrow(-1, 0, half), self.narrow(-1, half, half));
        Tensor::cat(&[&a.mul(&cos).sub(&b.mul(&sin)), &b.mul(&cos).add(&a.mul(&sin))], -1)
    }
}

#[cfg(test)]
mod tests {
    use crate::{Device, Tensor};

    #[test]
    fn products_tell_the_distance() {
        let device = Device::cpu();
        let row = |values: [f32; 4]| Tensor::from_slice(&values, [1, 4], &device);
        let (q, k) = (row([0.3, -1.2, 0.7, 2.0]), row([1.1, 0.4, -0.6, 0.9]));
        let product = |at: usize, to: usize| {
            q.rotary(at, 10_000.0).mul(&k.rotary(to, 10_000.0)).sum().item().expect("the CPU works")
        };
        assert!((product(7, 4) - product(3, 0)).abs() < 1e-5);
        assert!((product(7, 4) - product(7, 5)).abs() > 1e-2);
    }
}
