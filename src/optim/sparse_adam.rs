//! Adam of rows of tables: `shaders/rows_adam.wgsl`.

use super::rows::{RowBucket, RowsPlace, Sparse, moved, rows_update};
use super::rule::{Now, Rule};
use super::{Stepper, at_least_0, decimal, rest, share, unbiased};
use crate::error::Result;
use crate::kernel::{Kernel, Uniform};
use crate::tensor::Tensor;
use bytemuck::{Pod, Zeroable};

/// PyTorch's arguments and defaults.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SparseAdamOptions {
    /// The learning rate.
    pub lr: f32,
    /// The parts of the two moments that a step keeps.
    pub betas: (f32, f32),
    /// Added to the root of the second moment.
    pub eps: f32,
}

impl Default for SparseAdamOptions {
    fn default() -> SparseAdamOptions {
        SparseAdamOptions { lr: 1e-3, betas: (0.9, 0.999), eps: 1e-8 }
    }
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Uniform)]
struct RowsParams {
    place: RowsPlace,
    beta2: f32,
    rest2: f32,
    eps: f32,
}

rows_update!(ROWS_ADAM, ROWS, "rows_adam", RowsParams, moments 2, flops 11, |call| {
    let p: RowsParams = call.params();
    moved(call, p.place, |[step_size, beta1, rest1, ..], g, [x, mut m, mut v]| {
        m = beta1 * m + rest1 * g;
        v = p.beta2 * v + p.rest2 * g * g;
        [x - step_size * m / (v.sqrt() + p.eps), m, v]
    });
});

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&ROWS_ADAM];

/// Adam for tables whose gradients are [rows](crate::autograd::Rows): it moves these rows and their moments alone, and leaves all
/// others and theirs as they are, so that a step's time does not depend on the size of the table. Its steps are lazy: a row that is
/// not taken does not move by its last gradients, as it would in [`Adam`](super::Adam), and its moments do not fade; what they are
/// divided by for having started at 0 goes by the steps of the whole table. `eps` is added to the root of the moment before that.
/// It is PyTorch's `SparseAdam`, and refuses whole gradients as that does: [`Split`](super::Split) gives a model's tables to it,
/// and all else to another.
///
/// ```
/// use wgrad::Tensor;
/// use wgrad::nn::{Ctx, Embedding, Init, Layer};
/// use wgrad::optim::{Optimizer, SparseAdam, SparseAdamOptions};
/// let device = wgrad::Device::cpu();
/// let table = Embedding::new(1_000, 4, &mut Init::new(0, &device)).sparse();
/// let before = table.weight.tensor().detach().copy();
/// let mut optimizer = SparseAdam::new(&table, SparseAdamOptions::default())?;
/// let ids = Tensor::from_slice(&[7, 500, 7], [3], &device);
/// optimizer.step(&table.forward(&ids, &Ctx::train()).square().sum().backward());
/// let moved = table.weight.tensor().detach().ne(&before).any_dims(&[1], wgrad::KeepDims::No).sum();
/// assert_eq!(moved.item()?, 2.0);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[doc(alias = "torch.optim.SparseAdam")]
pub type SparseAdam = Stepper<SparseAdamOptions>;

impl SparseAdamOptions {
    fn fused(&self, bucket: &RowBucket) {
        let beta2 = self.betas.1;
        bucket.run(&ROWS_ADAM, &RowsParams { place: bucket.place(), beta2, rest2: rest(beta2), eps: self.eps });
    }
}

impl Rule for SparseAdamOptions {
    const NAME: &'static str = "SparseAdam";
    const SKIPS: bool = true;
    const FUSED_ROWS: Option<fn(&Self, &RowBucket)> = Some(Self::fused);

    fn sparse(&self) -> Sparse {
        Sparse::Only
    }

    fn check(&self) -> Result<()> {
        share("beta1", self.betas.0)?;
        share("beta2", self.betas.1)?;
        at_least_0("eps", self.eps).map(drop)
    }

    fn lr(&self) -> f32 {
        self.lr
    }

    fn update(&self, x: &Tensor, gradient: &Tensor, moments: &mut [Tensor], numbers: &[Tensor]) -> Tensor {
        let beta2 = self.betas.1;
        moments[0] = &moments[0] * &numbers[1] + gradient * &numbers[2];
        moments[1] = &moments[1] * beta2 + gradient.square() * rest(beta2);
        x - &moments[0] * &numbers[0] / (moments[1].sqrt() + self.eps)
    }

    fn moments(&self) -> Vec<(&'static str, f32)> {
        vec![("exp_avg", 0.0), ("exp_avg_sq", 0.0)]
    }

    fn momentum(&self) -> Option<f32> {
        Some(self.betas.0)
    }

    fn takes_momentum(&self, momentum: f32) -> Result<()> {
        share("momentum", momentum).map(drop)
    }

    fn numbers(&self, Now { lr, momentum: beta1, steps }: Now) -> Vec<f32> {
        let step_size = decimal(lr) * unbiased(self.betas.1, steps).sqrt() / unbiased(beta1, steps);
        vec![step_size as f32, beta1, rest(beta1)]
    }
}
