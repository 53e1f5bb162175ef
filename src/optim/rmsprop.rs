//! RMSprop (Hinton, 2012): `shaders/rmsprop.wgsl`, `shaders/rmsprop_momentum.wgsl`, `shaders/rmsprop_centered.wgsl`.

use super::bucket::{Bucket, Place};
use super::rule::{Now, Rule, decayed, uncounted, update, with_decay};
use super::{Stepper, at_least_0, rest};
use crate::error::Result;
use crate::kernel::Kernel;
use crate::kernel::Uniform;
use crate::tensor::Tensor;
use bytemuck::{Pod, Zeroable};

/// Whether the second moment is taken around the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Centering {
    /// Around 0.
    #[default]
    None,
    /// Around the mean of the gradients: PyTorch's `centered` (Graves, 2013).
    Mean,
}

/// PyTorch's arguments and defaults.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RmsPropOptions {
    /// The learning rate.
    pub lr: f32,
    /// The part of the second moment that a step keeps.
    pub alpha: f32,
    /// Added to the root of the second moment.
    pub eps: f32,
    /// The part of each weight that is added to its gradient.
    pub weight_decay: f32,
    /// The part of the last velocity that a step keeps.
    pub momentum: f32,
    /// Whether the second moment is taken around the first.
    pub centering: Centering,
}

impl Default for RmsPropOptions {
    fn default() -> RmsPropOptions {
        let (momentum, centering) = (0.0, Centering::None);
        RmsPropOptions { lr: 1e-2, alpha: 0.99, eps: 1e-8, weight_decay: 0.0, momentum, centering }
    }
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Uniform)]
struct RmspropParams {
    place: Place,
    alpha: f32,
    rest: f32,
    eps: f32,
    decay: f32,
}

update!(RMSPROP, PLAIN, "rmsprop", RmspropParams, moments 1, flops 8, |call| {
    let p: RmspropParams = call.params();
    uncounted(call, p.place, |now, g, [mut x, mut v]| {
        let slope = decayed(g, p.decay, x);
        v = p.alpha * v + p.rest * slope * slope;
        x -= now[0] * slope / (v.sqrt() + p.eps);
        [x, v]
    });
});

update!(RMSPROP_MOMENTUM, HEAVY, "rmsprop_momentum", RmspropParams, moments 2, flops 10, |call| {
    let p: RmspropParams = call.params();
    uncounted(call, p.place, |now, g, [mut x, mut v, mut u]| {
        let slope = decayed(g, p.decay, x);
        v = p.alpha * v + p.rest * slope * slope;
        u = now[1] * u + slope / (v.sqrt() + p.eps);
        x -= now[0] * u;
        [x, v, u]
    });
});

update!(RMSPROP_CENTERED, CENTERED, "rmsprop_centered", RmspropParams, moments 3, flops 14, |call| {
    let p: RmspropParams = call.params();
    uncounted(call, p.place, |now, g, [mut x, mut v, mut u, mut m]| {
        let slope = decayed(g, p.decay, x);
        v = p.alpha * v + p.rest * slope * slope;
        m += p.rest * (slope - m);
        u = now[1] * u + slope / ((v - m * m).sqrt() + p.eps);
        x -= now[0] * u;
        [x, v, u, m]
    });
});

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&RMSPROP, &RMSPROP_MOMENTUM, &RMSPROP_CENTERED];

/// RMSprop, with momentum and centred if its options say so.
pub type RmsProp = Stepper<RmsPropOptions>;

impl RmsPropOptions {
    fn fused(&self, bucket: &Bucket) {
        let RmsPropOptions { alpha, eps, weight_decay: decay, .. } = *self;
        let kernel = [&RMSPROP, &RMSPROP_MOMENTUM, &RMSPROP_CENTERED][self.moments().len() - 1];
        bucket.run(kernel, &RmspropParams { place: bucket.place(), alpha, rest: rest(alpha), eps, decay });
    }
}

impl Rule for RmsPropOptions {
    const NAME: &'static str = "RmsProp";
    const FUSED: Option<fn(&Self, &Bucket)> = Some(Self::fused);
    const SKIPS: bool = true;

    fn check(&self) -> Result<()> {
        at_least_0("alpha", self.alpha)?;
        at_least_0("eps", self.eps)?;
        at_least_0("weight decay", self.weight_decay)?;
        self.takes_momentum(self.momentum)
    }

    fn lr(&self) -> f32 {
        self.lr
    }

    fn update(&self, x: &Tensor, gradient: &Tensor, moments: &mut [Tensor], numbers: &[Tensor]) -> Tensor {
        let slope = with_decay(gradient, self.weight_decay, x);
        moments[0] = &moments[0] * self.alpha + slope.square() * rest(self.alpha);
        let mut square = moments[0].clone();
        if self.centering == Centering::Mean {
            moments[2] = &moments[2] + (&slope - &moments[2]) * rest(self.alpha);
            square -= moments[2].square();
        }
        let mut step = slope / (square.sqrt() + self.eps);
        if moments.len() > 1 {
            moments[1] = &moments[1] * &numbers[1] + step;
            step = moments[1].clone();
        }
        x - step * &numbers[0]
    }

    fn moments(&self) -> Vec<(&'static str, f32)> {
        match (self.centering, self.momentum) {
            (Centering::None, 0.0) => vec![("square_avg", 0.0)],
            (Centering::None, _) => vec![("square_avg", 0.0), ("momentum_buffer", 0.0)],
            (Centering::Mean, _) => vec![("square_avg", 0.0), ("momentum_buffer", 0.0), ("grad_avg", 0.0)],
        }
    }

    fn momentum(&self) -> Option<f32> {
        (self.moments().len() > 1).then_some(self.momentum)
    }

    fn numbers(&self, now: Now) -> Vec<f32> {
        vec![now.lr, now.momentum]
    }

    fn counts(&self) -> bool {
        false
    }
}
