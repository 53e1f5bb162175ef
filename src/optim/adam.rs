//! Adam (Kingma and Ba, 2015) and AdamW (Loshchilov and Hutter, 2019): `shaders/adam.wgsl`,
//! `shaders/amsgrad.wgsl`.

use super::bucket::{Bucket, Place};
use super::rule::{NUMBERS, Now, Rule, counted, decayed, update, with_decay};
use super::{Stepper, at_least_0, decimal, rest, share};
use crate::error::Result;
use crate::kernel::Kernel;
use crate::kernel::Uniform;
use crate::tensor::Tensor;
use bytemuck::{Pod, Zeroable};

/// Which second moment a step is divided by the root of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SecondMoment {
    /// The current one.
    #[default]
    Last,
    /// The largest so far: PyTorch's `amsgrad` (Reddi et al., 2018).
    Largest,
}

/// Options of [`Adam`] and [`AdamW`], which differ in how weights are drawn towards 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamFamily<const DECOUPLED: bool> {
    /// The learning rate.
    pub lr: f32,
    /// The parts of the two moments that a step keeps.
    pub betas: (f32, f32),
    /// Added to the root of the second moment.
    pub eps: f32,
    /// The weight decay: a part of the gradient in `Adam`, apart from it in `AdamW`.
    pub weight_decay: f32,
    /// Which second moment a step is divided by the root of.
    pub second_moment: SecondMoment,
}

/// Options of [`Adam`]; by default no weight decay, as in PyTorch.
pub type AdamOptions = AdamFamily<false>;

/// Options of [`AdamW`]; by default a weight decay of 0.01, as in PyTorch.
pub type AdamWOptions = AdamFamily<true>;

impl<const DECOUPLED: bool> Default for AdamFamily<DECOUPLED> {
    fn default() -> Self {
        AdamFamily {
            lr: 1e-3,
            betas: (0.9, 0.999),
            eps: 1e-8,
            weight_decay: if DECOUPLED { 0.01 } else { 0.0 },
            second_moment: SecondMoment::Last,
        }
    }
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Uniform)]
struct AdamParams {
    place: Place,
    beta2: f32,
    rest2: f32,
    eps: f32,
    coupled: f32,
    decoupled: f32,
}

impl AdamParams {
    /// Moves a value and its moments as far as both kinds do alike.
    fn moments(&self, [lr, .., beta1, rest1]: [f32; NUMBERS], g: f32, [x, m, v]: [f32; 3]) -> [f32; 3] {
        let slope = decayed(g, self.coupled, x);
        let x = decayed(x, -lr * self.decoupled, x);
        [x, beta1 * m + rest1 * slope, self.beta2 * v + self.rest2 * slope * slope]
    }
}

update!(ADAM, PLAIN, "adam", AdamParams, moments 2, slots 1, flops 12, |call| {
    let p: AdamParams = call.params();
    counted(call, p.place, |now, g, [mut x, mut m, mut v]| {
        [x, m, v] = p.moments(now, g, [x, m, v]);
        x -= now[1] * m / (v.sqrt() / now[2] + p.eps);
        [x, m, v]
    });
});

update!(AMSGRAD, LARGEST, "amsgrad", AdamParams, moments 3, slots 1, flops 13, |call| {
    let p: AdamParams = call.params();
    counted(call, p.place, |now, g, [mut x, mut m, mut v, mut most]| {
        [x, m, v] = p.moments(now, g, [x, m, v]);
        most = if v > most || v.is_nan() { v } else { most };
        x -= now[1] * m / (most.sqrt() / now[2] + p.eps);
        [x, m, v, most]
    });
});

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&ADAM, &AMSGRAD];

/// Adam. A weight decay is a part of the gradient; [`AdamW`] keeps it apart.
///
/// ```
/// use wgrad::nn::{Ctx, Init, Layer, Linear};
/// use wgrad::optim::{Adam, AdamOptions, Optimizer};
/// let device = wgrad::Device::cpu();
/// let model = Linear::new(2, 1, &mut Init::new(0, &device));
/// let mut optimizer = Adam::new(&model, AdamOptions { lr: 0.1, ..AdamOptions::default() })?;
/// let x = wgrad::Tensor::ones([4, 2], &device);
/// let loss = || model.forward(&x, &Ctx::train()).square().mean();
/// let before = loss().item()?;
/// for _ in 0..10 {
///     optimizer.step(&loss().backward());
/// }
/// assert!(loss().item()? < before);
/// # Ok::<(), wgrad::Error>(())
/// ```
pub type Adam = Stepper<AdamOptions>;

/// Adam whose weight decay is apart from the gradient, and so from the moments.
pub type AdamW = Stepper<AdamWOptions>;

impl<const DECOUPLED: bool> AdamFamily<DECOUPLED> {
    /// The part of weights that is added to gradients, and that which is taken from them.
    fn decays(&self) -> [f32; 2] {
        if DECOUPLED { [0.0, self.weight_decay] } else { [self.weight_decay, 0.0] }
    }

    fn fused(&self, bucket: &Bucket) {
        let beta2 = self.betas.1;
        let [coupled, decoupled] = self.decays();
        let kernel = if self.second_moment == SecondMoment::Last { &ADAM } else { &AMSGRAD };
        let p = AdamParams { place: bucket.place(), beta2, rest2: rest(beta2), eps: self.eps, coupled, decoupled };
        bucket.run(kernel, &p);
    }
}

impl<const DECOUPLED: bool> Rule for AdamFamily<DECOUPLED> {
    const NAME: &'static str = if DECOUPLED { "AdamW" } else { "Adam" };
    const FUSED: Option<fn(&Self, &Bucket)> = Some(Self::fused);
    const SKIPS: bool = true;

    fn check(&self) -> Result<()> {
        share("beta1", self.betas.0)?;
        share("beta2", self.betas.1)?;
        at_least_0("eps", self.eps)?;
        at_least_0("weight decay", self.weight_decay).map(drop)
    }

    fn lr(&self) -> f32 {
        self.lr
    }

    fn update(&self, x: &Tensor, gradient: &Tensor, moments: &mut [Tensor], numbers: &[Tensor]) -> Tensor {
        let (beta2, [coupled, decoupled]) = (self.betas.1, self.decays());
        let slope = with_decay(gradient, coupled, x);
        moments[0] = &moments[0] * &numbers[3] + &slope * &numbers[4];
        moments[1] = &moments[1] * beta2 + slope.square() * rest(beta2);
        let mut square = &moments[1];
        if self.second_moment == SecondMoment::Largest {
            moments[2] = moments[2].maximum(square);
            square = &moments[2];
        }
        let step = &moments[0] * &numbers[1] / (square.sqrt() / &numbers[2] + self.eps);
        with_decay(x, -decoupled, &(x * &numbers[0])) - step
    }

    fn moments(&self) -> Vec<(&'static str, f32)> {
        match self.second_moment {
            SecondMoment::Last => vec![("exp_avg", 0.0), ("exp_avg_sq", 0.0)],
            SecondMoment::Largest => vec![("exp_avg", 0.0), ("exp_avg_sq", 0.0), ("max_exp_avg_sq", 0.0)],
        }
    }

    fn momentum(&self) -> Option<f32> {
        Some(self.betas.0)
    }

    fn numbers(&self, Now { lr, momentum: beta1, steps }: Now) -> Vec<f32> {
        // In f64: 1 - 0.999 would lose half its digits in f32.
        let unbiased = |beta: f32| 1.0 - decimal(beta).powf(steps as f64);
        let step_size = (decimal(lr) / unbiased(beta1)) as f32;
        vec![lr, step_size, unbiased(self.betas.1).sqrt() as f32, beta1, rest(beta1)]
    }
}
