//! RMSprop (Hinton, 2012): `shaders/rmsprop.wgsl`, `shaders/rmsprop_momentum.wgsl`, `shaders/rmsprop_centered.wgsl`.

use super::rule::{Now, Place, Rule, Run, decayed, twin, update};
use super::{Fused, at_least_0, checked_lr, rest};
use crate::error::Result;
use crate::kernel::Kernel;
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
    /// How slowly the second moment forgets.
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
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    place: Place,
    alpha: f32,
    rest: f32,
    eps: f32,
    decay: f32,
}

update!(RMSPROP, PLAIN, "rmsprop", Params, moments 1, flops 8, |call| {
    let p: Params = call.params();
    twin(call, p.place, |now, g, [mut x, mut v]| {
        let slope = decayed(g, p.decay, x);
        v = p.alpha * v + p.rest * slope * slope;
        x -= now[0] * slope / (v.sqrt() + p.eps);
        [x, v]
    });
});

update!(RMSPROP_MOMENTUM, HEAVY, "rmsprop_momentum", Params, moments 2, flops 10, |call| {
    let p: Params = call.params();
    twin(call, p.place, |now, g, [mut x, mut v, mut u]| {
        let slope = decayed(g, p.decay, x);
        v = p.alpha * v + p.rest * slope * slope;
        u = now[1] * u + slope / (v.sqrt() + p.eps);
        x -= now[0] * u;
        [x, v, u]
    });
});

update!(RMSPROP_CENTERED, CENTERED, "rmsprop_centered", Params, moments 3, flops 14, |call| {
    let p: Params = call.params();
    twin(call, p.place, |now, g, [mut x, mut v, mut u, mut m]| {
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
pub type RmsProp = Fused<RmsPropOptions>;

impl Rule for RmsPropOptions {
    const NAME: &'static str = "RmsProp";

    fn check(&self) -> Result<()> {
        checked_lr(self.lr)?;
        at_least_0("alpha", self.alpha)?;
        at_least_0("eps", self.eps)?;
        at_least_0("weight decay", self.weight_decay)?;
        at_least_0("momentum", self.momentum).map(drop)
    }

    fn lr(&self) -> f32 {
        self.lr
    }

    fn moments(&self) -> &'static [(&'static str, f32)] {
        match (self.centering, self.momentum) {
            (Centering::None, 0.0) => &[("square_avg", 0.0)],
            (Centering::None, _) => &[("square_avg", 0.0), ("momentum_buffer", 0.0)],
            (Centering::Mean, _) => &[("square_avg", 0.0), ("momentum_buffer", 0.0), ("grad_avg", 0.0)],
        }
    }

    fn momentum(&self) -> Option<f32> {
        (self.moments().len() > 1).then_some(self.momentum)
    }

    fn numbers(&self, now: Now) -> Vec<f32> {
        vec![now.lr, now.momentum]
    }

    fn step(&self, run: &Run) {
        let RmsPropOptions { alpha, eps, weight_decay: decay, .. } = *self;
        let kernel = [&RMSPROP, &RMSPROP_MOMENTUM, &RMSPROP_CENTERED][self.moments().len() - 1];
        run.update(kernel, &Params { place: run.place(), alpha, rest: rest(alpha), eps, decay });
    }
}
