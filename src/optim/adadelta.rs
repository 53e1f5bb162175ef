//! Adadelta (Zeiler, 2012): `shaders/adadelta.wgsl`.

use super::rule::{Now, Place, Rule, Run, decayed, twin, update};
use super::{Fused, at_least_0, checked, checked_lr, rest};
use crate::error::Result;
use crate::kernel::Kernel;
use bytemuck::{Pod, Zeroable};

/// PyTorch's arguments and defaults.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdadeltaOptions {
    /// The learning rate.
    pub lr: f32,
    /// How slowly both moments forget.
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
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    place: Place,
    rho: f32,
    rest: f32,
    eps: f32,
    decay: f32,
}

update!(ADADELTA, SHADER, "adadelta", Params, moments 2, flops 15, |call| {
    let p: Params = call.params();
    twin(call, p.place, |now, g, [mut x, mut v, mut moved]| {
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
pub type Adadelta = Fused<AdadeltaOptions>;

impl Rule for AdadeltaOptions {
    const NAME: &'static str = "Adadelta";

    fn check(&self) -> Result<()> {
        checked_lr(self.lr)?;
        checked("rho", self.rho, |rho| (0.0..=1.0).contains(&rho), "in 0..=1")?;
        at_least_0("eps", self.eps)?;
        at_least_0("weight decay", self.weight_decay).map(drop)
    }

    fn lr(&self) -> f32 {
        self.lr
    }

    fn moments(&self) -> &'static [(&'static str, f32)] {
        &[("square_avg", 0.0), ("acc_delta", 0.0)]
    }

    fn numbers(&self, now: Now) -> Vec<f32> {
        vec![now.lr]
    }

    fn step(&self, run: &Run) {
        let AdadeltaOptions { rho, eps, weight_decay: decay, .. } = *self;
        run.update(&ADADELTA, &Params { place: run.place(), rho, rest: rest(rho), eps, decay });
    }
}
