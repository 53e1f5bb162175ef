//! Adam (Kingma and Ba, 2015) and AdamW (Loshchilov and Hutter, 2019): `shaders/adam.wgsl`,
//! `shaders/amsgrad.wgsl`, `shaders/adam_bf16.wgsl`.

use super::bucket::{Bucket, Place};
use super::rule::{NUMBERS, Now, Rule, counted, counted_at, decayed, update, with_decay};
use super::{Stepper, at_least_0, decimal, rest, share, unbiased};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::kernel::{Call, Cost, Kernel, Pass, Shader, Uniform, Variant, groups, shader};
use crate::rng::{philox, streams};
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
    /// The type that both moments are kept in: f32, or bf16 in half the memory, rounded up or down by chance, so that they are right
    /// on average (stochastic rounding): to the nearest, a second moment that forgets little would stand still. The chance follows
    /// from names and steps, so that a run that goes on goes on to the bit.
    #[doc(alias("exp_avg_dtype", "bf16_optimizer_states", "stochastic rounding"))]
    pub state_dtype: DType,
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
            state_dtype: DType::F32,
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
    fn moments(&self, [lr, _, _, beta1, rest1, _]: [f32; NUMBERS], g: f32, [x, m, v]: [f32; 3]) -> [f32; 3] {
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

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Uniform)]
struct AdamBf16Params {
    adam: AdamParams,
    salt: u32,
}

static BF16: Shader = shader!("adam_bf16", ["halves"], PLAIN.access);

static ADAM_BF16: Kernel = Kernel::new("adam_bf16", PLAIN.access, bf16_definition, |d| {
    let n = u64::from(d.params::<AdamBf16Params>().adam.place.n);
    Cost { flops: 40 * n, bytes: (3 * 4 + 4 * 2) * n }
})
.variants(&[Variant::new("flat", |_, d| {
    let groups = groups(d.params::<AdamBf16Params>().adam.place.n as usize, 4 * 256);
    // The moments are what the kernel takes them for.
    Pass::new(&BF16, "adam_bf16", groups).elements(&["", "X", "M", "V"]).alone()
})]);

/// The bf16 that an f32 is rounded to by 16 random bits: up with the probability of the part that is cut off.
fn rounded(value: f32, draw: u32) -> f32 {
    if !value.is_finite() {
        return value;
    }
    f32::from_bits((value.to_bits() + draw) & 0xffff_0000)
}

fn bf16_definition(call: &mut Call) {
    let AdamBf16Params { adam: p, salt } = call.params();
    counted_at(call, p.place, |at, now, g, [mut x, mut m, mut v]| {
        [x, m, v] = p.moments(now, g, [x, m, v]);
        x -= now[1] * m / (v.sqrt() / now[2] + p.eps);
        let word = philox([at as u32 / 4, now[5] as u32, salt, streams::ROUNDING], [0; 2])[at % 4];
        [x, rounded(m, word & 0xffff), rounded(v, word >> 16)]
    });
}

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&ADAM, &AMSGRAD, &ADAM_BF16];

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
        let p = AdamParams { place: bucket.place(), beta2, rest2: rest(beta2), eps: self.eps, coupled, decoupled };
        match (self.second_moment, self.state_dtype) {
            (SecondMoment::Last, DType::BF16) => {
                bucket.run(&ADAM_BF16, &AdamBf16Params { adam: p, salt: bucket.salt() });
            }
            (SecondMoment::Last, _) => bucket.run(&ADAM, &p),
            (SecondMoment::Largest, _) => bucket.run(&AMSGRAD, &p),
        }
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
        match (self.state_dtype, self.second_moment) {
            (DType::F32, _) | (DType::BF16, SecondMoment::Last) => {}
            (DType::BF16, SecondMoment::Largest) => {
                let text =
                    "state_dtype: the largest second moment is kept in f32: expected SecondMoment::Last for bf16";
                return Err(Error::Option(text.into()));
            }
            (other, _) => return Err(Error::Option(format!("state_dtype: expected f32 or bf16, got {other}"))),
        }
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

    fn state_dtype(&self) -> DType {
        self.state_dtype
    }

    fn momentum(&self) -> Option<f32> {
        Some(self.betas.0)
    }

    fn takes_momentum(&self, momentum: f32) -> Result<()> {
        share("momentum", momentum).map(drop)
    }

    fn numbers(&self, Now { lr, momentum: beta1, steps }: Now) -> Vec<f32> {
        let step_size = (decimal(lr) / unbiased(beta1, steps)) as f32;
        let mut all = vec![lr, step_size, unbiased(self.betas.1, steps).sqrt() as f32, beta1, rest(beta1)];
        if self.state_dtype == DType::BF16 {
            // As many as an f32 counts.
            all.push((steps % (1 << 24)) as f32);
        }
        all
    }
}
