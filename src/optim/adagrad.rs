//! Adagrad (Duchi et al., 2011): `shaders/adagrad.wgsl`, `shaders/rows_adagrad.wgsl`.

use super::bucket::{Bucket, Place};
use super::rows::{RowBucket, RowsPlace, Sparse, moved, rows_update};
use super::rule::{Now, Rule, counted, decayed, update, with_decay};
use super::{Stepper, at_least_0, decimal};
use crate::error::Result;
use crate::kernel::Kernel;
use crate::kernel::Uniform;
use crate::tensor::Tensor;
use bytemuck::{Pod, Zeroable};

/// PyTorch's arguments and defaults.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdagradOptions {
    /// The learning rate.
    pub lr: f32,
    /// The fall of the rate: in step t it is `lr / (1 + (t - 1) lr_decay)`.
    pub lr_decay: f32,
    /// The part of each weight that is added to its gradient.
    pub weight_decay: f32,
    /// The sum at the start.
    pub initial_accumulator_value: f32,
    /// Added to the root of the sum.
    pub eps: f32,
}

impl Default for AdagradOptions {
    fn default() -> AdagradOptions {
        AdagradOptions { lr: 1e-2, lr_decay: 0.0, weight_decay: 0.0, initial_accumulator_value: 0.0, eps: 1e-10 }
    }
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Uniform)]
struct AdagradParams {
    place: Place,
    eps: f32,
    decay: f32,
}

update!(ADAGRAD, SHADER, "adagrad", AdagradParams, moments 1, slots 1, flops 7, |call| {
    let p: AdagradParams = call.params();
    counted(call, p.place, |now, g, [mut x, mut sum]| {
        let slope = decayed(g, p.decay, x);
        sum += slope * slope;
        x -= now[0] * slope / (sum.sqrt() + p.eps);
        [x, sum]
    });
});

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Uniform)]
struct RowsParams {
    place: RowsPlace,
    eps: f32,
}

rows_update!(ROWS_ADAGRAD, ROWS, "rows_adagrad", RowsParams, moments 1, flops 6, |call| {
    let p: RowsParams = call.params();
    moved(call, p.place, |now, g, [x, mut sum]| {
        sum += g * g;
        [x - now[0] * g / (sum.sqrt() + p.eps), sum]
    });
});

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&ADAGRAD, &ROWS_ADAGRAD];

/// Adagrad: steps are divided by the root of the sum of all squared gradients so far. Of a gradient of
/// [rows](crate::autograd::Rows) it moves these alone, which gives what a whole one would; with a weight decay it refuses one.
pub type Adagrad = Stepper<AdagradOptions>;

impl AdagradOptions {
    fn fused(&self, bucket: &Bucket) {
        bucket.run(&ADAGRAD, &AdagradParams { place: bucket.place(), eps: self.eps, decay: self.weight_decay });
    }
}

impl Rule for AdagradOptions {
    const NAME: &'static str = "Adagrad";
    const FUSED: Option<fn(&Self, &Bucket)> = Some(Self::fused);
    const SKIPS: bool = true;
    const FUSED_ROWS: Option<fn(&Self, &RowBucket)> =
        Some(|own, bucket| bucket.run(&ROWS_ADAGRAD, &RowsParams { place: bucket.place(), eps: own.eps }));

    fn sparse(&self) -> Sparse {
        if self.weight_decay == 0.0 { Sparse::Taken } else { Sparse::Refused }
    }

    fn check(&self) -> Result<()> {
        at_least_0("decay of the learning rate", self.lr_decay)?;
        at_least_0("weight decay", self.weight_decay)?;
        at_least_0("initial accumulator value", self.initial_accumulator_value)?;
        at_least_0("eps", self.eps).map(drop)
    }

    fn lr(&self) -> f32 {
        self.lr
    }

    fn update(&self, x: &Tensor, gradient: &Tensor, moments: &mut [Tensor], numbers: &[Tensor]) -> Tensor {
        let slope = with_decay(gradient, self.weight_decay, x);
        moments[0] = &moments[0] + slope.square();
        x - slope / (moments[0].sqrt() + self.eps) * &numbers[0]
    }

    fn moments(&self) -> Vec<(&'static str, f32)> {
        vec![("sum", self.initial_accumulator_value)]
    }

    fn numbers(&self, Now { lr, steps, .. }: Now) -> Vec<f32> {
        vec![(decimal(lr) / (1.0 + (steps - 1) as f64 * decimal(self.lr_decay))) as f32]
    }
}
