//! Lion (Chen et al., 2023): `shaders/lion.wgsl`.

use super::bucket::{Bucket, Place};
use super::rule::{Now, Rule, decayed, uncounted, update, with_decay};
use super::{Stepper, at_least_0, rest, share};
use crate::error::Result;
use crate::kernel::Kernel;
use crate::kernel::Uniform;
use crate::tensor::Tensor;
use bytemuck::{Pod, Zeroable};

/// The paper's arguments and defaults.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LionOptions {
    /// The learning rate: a third to a tenth of AdamW's.
    pub lr: f32,
    /// The part of the moment in a step's direction, and the part of the moment that a step keeps.
    pub betas: (f32, f32),
    /// The part of each weight that a step takes, times the rate: three to ten times AdamW's.
    pub weight_decay: f32,
}

impl Default for LionOptions {
    fn default() -> LionOptions {
        LionOptions { lr: 1e-4, betas: (0.9, 0.99), weight_decay: 0.0 }
    }
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Uniform)]
struct LionParams {
    place: Place,
    beta1: f32,
    beta2: f32,
    rest1: f32,
    rest2: f32,
    decay: f32,
}

update!(LION, SHADER, "lion", LionParams, moments 1, flops 10, |call| {
    let p: LionParams = call.params();
    uncounted(call, p.place, |now, g, [mut x, mut m]| {
        let ahead = p.beta1 * m + p.rest1 * g;
        let sign = if ahead == 0.0 { 0.0 } else { ahead.signum() };
        x -= now[0] * decayed(sign, p.decay, x);
        m = p.beta2 * m + p.rest2 * g;
        [x, m]
    });
});

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&LION];

/// Lion: every weight moves by the rate, along the sign of a moment.
pub type Lion = Stepper<LionOptions>;

impl LionOptions {
    fn fused(&self, bucket: &Bucket) {
        let (beta1, beta2) = self.betas;
        let (rest1, rest2) = (rest(beta1), rest(beta2));
        bucket.run(&LION, &LionParams { place: bucket.place(), beta1, beta2, rest1, rest2, decay: self.weight_decay });
    }
}

impl Rule for LionOptions {
    const NAME: &'static str = "Lion";
    const FUSED: Option<fn(&Self, &Bucket)> = Some(Self::fused);
    const SKIPS: bool = true;

    fn check(&self) -> Result<()> {
        share("beta1", self.betas.0)?;
        share("beta2", self.betas.1)?;
        at_least_0("weight decay", self.weight_decay).map(drop)
    }

    fn lr(&self) -> f32 {
        self.lr
    }

    fn update(&self, x: &Tensor, gradient: &Tensor, moments: &mut [Tensor], numbers: &[Tensor]) -> Tensor {
        let ahead = &moments[0] * self.betas.0 + gradient * rest(self.betas.0);
        moments[0] = &moments[0] * self.betas.1 + gradient * rest(self.betas.1);
        let zero = Tensor::scalar(0.0f32, x.device());
        let sign = ahead.gt(&zero) - ahead.lt(&zero);
        x - with_decay(&sign, self.weight_decay, x) * &numbers[0]
    }

    fn moments(&self) -> Vec<(&'static str, f32)> {
        vec![("exp_avg", 0.0)]
    }

    fn numbers(&self, now: Now) -> Vec<f32> {
        vec![now.lr]
    }

    fn counts(&self) -> bool {
        false
    }
}
