//! Stochastic gradient descent: `shaders/sgd.wgsl`, `shaders/sgd_momentum.wgsl`.

use super::rule::{Place, Rule, Run, twin, update};
use super::{Fused, at_least_0, checked_lr};
use crate::error::Result;
use crate::kernel::Kernel;
use bytemuck::{Pod, Zeroable};

/// Whether steps keep some of the last ones' direction.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Momentum {
    /// They do not.
    #[default]
    None,
    /// By this part of the last velocity (Polyak, 1964), without dampening.
    HeavyBall(f32),
    /// Looking ahead along it (Nesterov, 1983; Sutskever et al., 2013).
    Nesterov(f32),
}

/// PyTorch's arguments and defaults.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SgdOptions {
    /// The learning rate.
    pub lr: f32,
    /// Whether steps keep some of the last ones' direction.
    pub momentum: Momentum,
    /// The part of each weight that is added to its gradient.
    pub weight_decay: f32,
}

impl Default for SgdOptions {
    fn default() -> SgdOptions {
        SgdOptions { lr: 1e-3, momentum: Momentum::None, weight_decay: 0.0 }
    }
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    place: Place,
    momentum: f32,
    nesterov: u32,
    decay: f32,
}

update!(SGD, PLAIN, "sgd", Params, moments 0, flops 4, |call| {
    let p: Params = call.params();
    twin(call, p.place, |now, g, [x]| [x - now[0] * (g + p.decay * x)]);
});

update!(SGD_MOMENTUM, HEAVY, "sgd_momentum", Params, moments 1, flops 8, |call| {
    let p: Params = call.params();
    twin(call, p.place, |now, g, [mut x, mut u]| {
        let slope = g + p.decay * x;
        u = p.momentum * u + slope;
        x -= now[0] * if p.nesterov == 1 { slope + p.momentum * u } else { u };
        [x, u]
    });
});

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&SGD, &SGD_MOMENTUM];

/// Stochastic gradient descent with optional momentum.
pub type Sgd = Fused<SgdOptions>;

impl Rule for SgdOptions {
    const NAME: &'static str = "Sgd";

    fn check(&self) -> Result<()> {
        checked_lr(self.lr)?;
        at_least_0("weight decay", self.weight_decay)?;
        if let Momentum::HeavyBall(momentum) | Momentum::Nesterov(momentum) = self.momentum {
            at_least_0("momentum", momentum)?;
        }
        Ok(())
    }

    fn lr(&self) -> f32 {
        self.lr
    }

    fn moments(&self) -> &'static [(&'static str, f32)] {
        if self.momentum == Momentum::None { &[] } else { &[("momentum_buffer", 0.0)] }
    }

    fn numbers(&self, lr: f32, _steps: u64) -> Vec<f32> {
        vec![lr]
    }

    fn step(&self, run: &Run) {
        let (kernel, momentum, nesterov) = match self.momentum {
            Momentum::None => (&SGD, 0.0, 0),
            Momentum::HeavyBall(momentum) => (&SGD_MOMENTUM, momentum, 0),
            Momentum::Nesterov(momentum) => (&SGD_MOMENTUM, momentum, 1),
        };
        run.update(kernel, &Params { place: run.place(), momentum, nesterov, decay: self.weight_decay });
    }
}
