//! Stochastic gradient descent: `shaders/sgd.wgsl`, `shaders/sgd_momentum.wgsl`, `shaders/rows_sgd.wgsl`.

use super::bucket::{Bucket, Place};
use super::rows::{RowBucket, RowsPlace, Sparse, moved, rows_update};
use super::rule::{Now, Rule, counted, decayed, uncounted, update, with_decay};
use super::{Stepper, at_least_0, checked, rest};
use crate::error::Result;
use crate::kernel::Kernel;
use crate::kernel::Uniform;
use crate::tensor::Tensor;
use bytemuck::{Pod, Zeroable};

/// Whether steps keep some of the last ones' direction.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Momentum {
    /// They do not.
    #[default]
    None,
    /// By this part of the last velocity (Polyak, 1964).
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
    /// The part of each gradient that does not enter the velocity, from the second step on; not with Nesterov's.
    pub dampening: f32,
    /// The part of each weight that is added to its gradient.
    pub weight_decay: f32,
}

impl Default for SgdOptions {
    fn default() -> SgdOptions {
        SgdOptions { lr: 1e-3, momentum: Momentum::None, dampening: 0.0, weight_decay: 0.0 }
    }
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Uniform)]
struct SgdParams {
    place: Place,
    nesterov: u32,
    decay: f32,
}

update!(SGD, PLAIN, "sgd", SgdParams, moments 0, flops 4, |call| {
    let p: SgdParams = call.params();
    uncounted(call, p.place, |now, g, [x]| [x - now[0] * decayed(g, p.decay, x)]);
});

update!(SGD_MOMENTUM, HEAVY, "sgd_momentum", SgdParams, moments 1, slots 1, flops 8, |call| {
    let p: SgdParams = call.params();
    counted(call, p.place, |now, g, [mut x, mut u]| {
        let slope = decayed(g, p.decay, x);
        u = now[1] * u + now[2] * slope;
        x -= now[0] * if p.nesterov == 1 { slope + now[1] * u } else { u };
        [x, u]
    });
});

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Uniform)]
struct RowsParams {
    place: RowsPlace,
}

rows_update!(ROWS_SGD, ROWS, "rows_sgd", RowsParams, moments 0, flops 2, |call| {
    let p: RowsParams = call.params();
    moved(call, p.place, |now, g, [x]| [x - now[0] * g]);
});

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&SGD, &SGD_MOMENTUM, &ROWS_SGD];

/// Stochastic gradient descent with optional momentum. Of a gradient of [rows](crate::autograd::Rows) it moves these alone; with
/// momentum, by which all rows go on moving, it takes a whole one in its place, and with a weight decay it refuses one.
pub type Sgd = Stepper<SgdOptions>;

impl SgdOptions {
    fn fused(&self, bucket: &Bucket) {
        let (kernel, nesterov) = match self.momentum {
            Momentum::None => (&SGD, 0),
            Momentum::HeavyBall(_) => (&SGD_MOMENTUM, 0),
            Momentum::Nesterov(_) => (&SGD_MOMENTUM, 1),
        };
        bucket.run(kernel, &SgdParams { place: bucket.place(), nesterov, decay: self.weight_decay });
    }
}

impl Rule for SgdOptions {
    const NAME: &'static str = "Sgd";
    const FUSED: Option<fn(&Self, &Bucket)> = Some(Self::fused);
    const SKIPS: bool = true;
    const FUSED_ROWS: Option<fn(&Self, &RowBucket)> =
        Some(|_, bucket| bucket.run(&ROWS_SGD, &RowsParams { place: bucket.place() }));

    fn sparse(&self) -> Sparse {
        match self.momentum {
            _ if self.weight_decay != 0.0 => Sparse::Refused,
            Momentum::None => Sparse::Taken,
            _ => Sparse::Whole,
        }
    }

    fn check(&self) -> Result<()> {
        at_least_0("weight decay", self.weight_decay)?;
        if let Momentum::HeavyBall(momentum) | Momentum::Nesterov(momentum) = self.momentum {
            self.takes_momentum(momentum)?;
        }
        let range = if matches!(self.momentum, Momentum::Nesterov(_)) { 0.0..=0.0 } else { 0.0..=1.0 };
        let text = format!("in {}..={}, as this momentum takes it", range.start(), range.end());
        checked("dampening", self.dampening, |value| range.contains(&value), &text).map(drop)
    }

    fn lr(&self) -> f32 {
        self.lr
    }

    fn update(&self, x: &Tensor, gradient: &Tensor, moments: &mut [Tensor], numbers: &[Tensor]) -> Tensor {
        let slope = with_decay(gradient, self.weight_decay, x);
        if self.momentum == Momentum::None {
            return x - slope * &numbers[0];
        }
        moments[0] = &moments[0] * &numbers[1] + &slope * &numbers[2];
        let is_ahead = matches!(self.momentum, Momentum::Nesterov(_));
        x - if is_ahead { slope + &moments[0] * &numbers[1] } else { moments[0].clone() } * &numbers[0]
    }

    fn moments(&self) -> Vec<(&'static str, f32)> {
        if self.momentum == Momentum::None { vec![] } else { vec![("momentum_buffer", 0.0)] }
    }

    fn momentum(&self) -> Option<f32> {
        match self.momentum {
            Momentum::None => None,
            Momentum::HeavyBall(momentum) | Momentum::Nesterov(momentum) => Some(momentum),
        }
    }

    fn numbers(&self, now: Now) -> Vec<f32> {
        match self.momentum {
            Momentum::None => vec![now.lr],
            // The first velocity is the gradient itself.
            _ => vec![now.lr, now.momentum, if now.steps <= 1 { 1.0 } else { rest(self.dampening) }],
        }
    }

    fn counts(&self) -> bool {
        self.momentum != Momentum::None
    }
}
