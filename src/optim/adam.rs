//! Adam (Kingma and Ba, 2015) and AdamW (Loshchilov and Hutter, 2019): `shaders/adam.wgsl`.

use super::hyper::{Hyper, Now};
use super::slab::{Slab, load_state, state};
use super::{Optimizer, checked, checked_lr};
use crate::autograd::Grads;
use crate::error::Result;
use crate::kernel::{Access, Call, Cost, Kernel, Pass, Shader, Tolerance, Variant, groups, parallel};
use crate::nn::{Module, StateDict};
use crate::tensor::Tensor;
use bytemuck::{Pod, Zeroable};

/// How weights are drawn towards 0.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum WeightDecay {
    /// Not at all.
    #[default]
    None,
    /// As a part of the gradient: PyTorch's `Adam`.
    Coupled(f32),
    /// Apart from the gradient: PyTorch's `AdamW`, whose default is 0.01.
    Decoupled(f32),
}

/// PyTorch's arguments and defaults.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamOptions {
    /// The learning rate.
    pub lr: f32,
    /// How slowly the two moments forget.
    pub betas: (f32, f32),
    /// Added to the root of the second moment.
    pub eps: f32,
    /// How weights are drawn towards 0.
    pub weight_decay: WeightDecay,
}

impl Default for AdamOptions {
    fn default() -> AdamOptions {
        AdamOptions { lr: 1e-3, betas: (0.9, 0.999), eps: 1e-8, weight_decay: WeightDecay::None }
    }
}

static SHADER: Shader = Shader {
    name: "adam",
    source: include_str!("../../shaders/adam.wgsl"),
    access: &[Access::Read, Access::ReadWrite, Access::ReadWrite, Access::ReadWrite, Access::Read],
};

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    first: u32,
    n: u32,
    beta1: f32,
    beta2: f32,
    rest1: f32,
    rest2: f32,
    eps: f32,
    coupled: f32,
    decoupled: f32,
}

static ADAM: Kernel = Kernel {
    name: "adam",
    access: SHADER.access,
    twin,
    cost: |d| {
        let n = u64::from(d.params::<Params>().n);
        Cost { flops: 12 * n, bytes: 7 * 4 * n }
    },
    tolerance: Tolerance::ROUNDED,
    rewrites: &[],
    variants: &[Variant {
        name: "flat",
        fits: |_, _| true,
        suits: |_, _| true,
        lower: |_, d| Pass::new(&SHADER, "adam", groups(d.params::<Params>().n as usize, 4 * 256)).alone(),
    }],
};

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&ADAM];

fn twin(call: &mut Call) {
    let (p, g, hyper) = (call.params::<Params>(), call.read::<f32>(0), call.read::<f32>(4));
    let (x, m, v) = (call.write::<f32>(1), call.write::<f32>(2), call.write::<f32>(3));
    let (lr, step_size, root) = (hyper[0], hyper[1], hyper[2]);
    let run = p.first as usize..(p.first + p.n) as usize;
    let g = &g[run.clone()];
    let moved = [&mut x[run.clone()], &mut m[run.clone()], &mut v[run]];
    parallel::chunks_of(moved, parallel::GRAIN, |piece, [x, m, v]| {
        for (((x, m), v), g) in x.iter_mut().zip(m).zip(v).zip(&g[piece * parallel::GRAIN..]) {
            let slope = g + p.coupled * *x;
            *x -= lr * p.decoupled * *x;
            *m = p.beta1 * *m + p.rest1 * slope;
            *v = p.beta2 * *v + p.rest2 * slope * slope;
            *x -= step_size * *m / (v.sqrt() / root + p.eps);
        }
    });
}

/// Adam, and AdamW by its weight decay.
///
/// ```
/// use wgrad::nn::{Ctx, Init, Layer, Linear, Randomness};
/// use wgrad::optim::{Adam, AdamOptions, Optimizer};
/// let device = wgrad::Device::cpu();
/// let model = Linear::new(2, 1, &mut Init::new(0, &device));
/// let mut optimizer = Adam::new(&model, AdamOptions { lr: 0.1, ..AdamOptions::default() })?;
/// let randomness = Randomness::new(0);
/// let x = wgrad::Tensor::ones([4, 2], &device);
/// let loss = || model.forward(&x, &Ctx::train(&randomness)).square().mean();
/// let before = loss().item()?;
/// for _ in 0..10 {
///     optimizer.step(&loss().backward());
/// }
/// assert!(loss().item()? < before);
/// # Ok::<(), wgrad::Error>(())
/// ```
pub struct Adam {
    options: AdamOptions,
    slabs: Vec<Slab>,
    hyper: Hyper,
}

/// PyTorch's names of the moments.
const MOMENTS: [&str; 2] = ["exp_avg", "exp_avg_sq"];

impl Adam {
    /// Takes over the parameters of `model`, which goes on to read them in place.
    ///
    /// # Errors
    /// [`Error::Option`](crate::Error::Option) if an option is out of range.
    ///
    /// # Panics
    /// If the model has no parameters or they live on several devices.
    #[track_caller]
    pub fn new(model: &dyn Module, options: AdamOptions) -> Result<Adam> {
        let unit = |beta: f32| (0.0..1.0).contains(&beta);
        let positive = |value: f32| value.is_finite() && value >= 0.0;
        checked_lr(options.lr)?;
        checked("beta1", options.betas.0, unit, "in 0..1")?;
        checked("beta2", options.betas.1, unit, "in 0..1")?;
        checked("eps", options.eps, positive, "a number from 0 up")?;
        if let WeightDecay::Coupled(decay) | WeightDecay::Decoupled(decay) = options.weight_decay {
            checked("weight decay", decay, positive, "a number from 0 up")?;
        }
        let slabs = Slab::of(model, MOMENTS.len());
        let (beta1, beta2) = options.betas;
        let numbers = move |Now { lr, steps }| {
            // In f64: 1 - 0.999 would lose half its digits in f32.
            let unbiased = |beta: f32| 1.0 - decimal(beta).powf(steps as f64);
            vec![lr, (decimal(lr) / unbiased(beta1)) as f32, unbiased(beta2).sqrt() as f32]
        };
        let hyper = Hyper::new(slabs[0].values.device(), options.lr, 3, numbers);
        Ok(Adam { options, slabs, hyper })
    }
}

impl Optimizer for Adam {
    #[track_caller]
    fn step(&mut self, grads: &Grads) {
        self.hyper.advance();
        let AdamOptions { betas, eps, weight_decay, .. } = self.options;
        let (coupled, decoupled) = match weight_decay {
            WeightDecay::None => (0.0, 0.0),
            WeightDecay::Coupled(decay) => (decay, 0.0),
            WeightDecay::Decoupled(decay) => (0.0, decay),
        };
        let mut moved = false;
        for slab in &self.slabs {
            for (first, n) in slab.gather(grads) {
                let (beta1, beta2) = betas;
                let p =
                    Params { first, n, beta1, beta2, rest1: rest(beta1), rest2: rest(beta2), eps, coupled, decoupled };
                let Slab { values, gradients, moments, .. } = slab;
                Tensor::run(&ADAM, &[gradients, values, &moments[0], &moments[1], &self.hyper.tensor], &p);
                moved = true;
            }
        }
        assert!(moved, "Adam: there is no gradient for any of its parameters");
    }

    fn lr(&self) -> f32 {
        self.hyper.lr()
    }

    fn set_lr(&mut self, lr: f32) -> Result<()> {
        self.hyper.set_lr(checked_lr(lr)?);
        Ok(())
    }

    fn state(&self) -> Result<StateDict> {
        state(&self.slabs, &MOMENTS, self.hyper.steps())
    }

    fn load_state(&mut self, saved: &StateDict) -> Result<()> {
        self.hyper.set_steps(load_state(&self.slabs, &MOMENTS, saved)?);
        Ok(())
    }
}

/// `1 - beta` to the last bit: in f32, 1 - 0.999 is off by 1e-5 of itself, and so would every step be.
fn rest(beta: f32) -> f32 {
    (1.0 - decimal(beta)) as f32
}

/// The decimal number that an f32 was written as: 0.999 and not 0.99900001287.
fn decimal(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}
