//! Adadelta (Zeiler, 2012): `shaders/adadelta.wgsl`.

use super::bucket::{Bucket, Place};
use super::rule::{Now, Rule, decayed, uncounted, update, with_decay};
use super::{Stepper, at_least_0, checked, rest};
use crate::error::Result;
use crate::kernel::Kernel;
use crate::kernel::Uniform;
use crate::tensor::Tensor;
use bytemuck::{Pod, Zeroable};

/// PyTorch's arguments and defaults.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdadeltaOptions {
    /// The learning rate.
    pub lr: f32,
    /// The part of both moments that a step keeps.
    pub rho: f32,
    /// Added to both moments before their roots are taken.
    pub eps: f32,
    /// The part of each weight that is added to its gradient.
    pub weight_decay: f32,
}

impl Default for AdadeltaOptions {
    fn default() -> AdadeltaOptions {
        AdadeltaOptions { lr: 1.0, rho: 0.9, eps: 1e-6, weight_decay: 0.0 }
    }
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Uniform)]
struct AdadeltaParams {
    place: Place,
    rho: f32,
    rest: f32,
    eps: f32,
    decay: f32,
}

update!(ADADELTA, SHADER, "adadelta", AdadeltaParams, moments 2, flops 15, |call| {
    let p: AdadeltaParams = call.params();
    uncounted(call, p.place, |now, g, [mut x, mut v, mut moved]| {
        let slope = decayed(g, p.decay, x);
        v = p.rho * v + p.rest * slope * slope;
        let by = (moved + p.eps).sqrt() / (v + p.eps).sqrt() * slope;
        moved = p.rho * moved + p.rest * by * by;
        x -= now[0] * by;
        [x, v, moved]
    });
});

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&ADADELTA];

/// Adadelta: steps are as large as past steps were for gradients of such size.
pub type Adadelta = Stepper<AdadeltaOptions>;

impl AdadeltaOptions {
    fn fused(&self, bucket: &Bucket) {
        let AdadeltaOptions { rho, eps, weight_decay: decay, .. } = *self;
        bucket.run(&ADADELTA, &AdadeltaParams { place: bucket.place(), rho, rest: rest(rho), eps, decay });
    }
}

impl Rule for AdadeltaOptions {
    const NAME: &'static str = "Adadelta";
    const FUSED: Option<fn(&Self, &Bucket)> = Some(Self::fused);
    const SKIPS: bool = true;

    fn check(&self) -> Result<()> {
        checked("rho", self.rho, |rho| (0.0..=1.0).contains(&rho), "in 0..=1")?;
        at_least_0("eps", self.eps)?;
        at_least_0("weight decay", self.weight_decay).map(drop)
    }

    fn lr(&self) -> f32 {
        self.lr
    }

    fn update(&self, x: &Tensor, gradient: &Tensor, moments: &mut [Tensor], numbers: &[Tensor]) -> Tensor {
        let slope = with_decay(gradient, self.weight_decay, x);
        moments[0] = &moments[0] * self.rho + slope.square() * rest(self.rho);
        let step = (&moments[1] + self.eps).sqrt() / (&moments[0] + self.eps).sqrt() * slope;
        moments[1] = &moments[1] * self.rho + step.square() * rest(self.rho);
        x - step * &numbers[0]
    }

    fn moments(&self) -> Vec<(&'static str, f32)> {
        vec![("square_avg", 0.0), ("acc_delta", 0.0)]
    }

    fn numbers(&self, now: Now) -> Vec<f32> {
        vec![now.lr]
    }

    fn counts(&self) -> bool {
        false
    }
}
