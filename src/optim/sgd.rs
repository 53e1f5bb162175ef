//! Stochastic gradient descent: `shaders/sgd.wgsl`, `shaders/sgd_momentum.wgsl`.

use super::hyper::Hyper;
use super::slab::{Slab, load_state, state};
use super::{Optimizer, checked, checked_lr};
use crate::autograd::Grads;
use crate::error::Result;
use crate::kernel::{Access, Call, Cost, Dispatch, Kernel, Pass, Shader, Tolerance, Variant, groups, parallel};
use crate::nn::{Module, StateDict};
use crate::tensor::Tensor;
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

use Access::{Read, ReadWrite};

static PLAIN: Shader =
    Shader { name: "sgd", source: include_str!("../../shaders/sgd.wgsl"), access: &[Read, ReadWrite, Read] };
static HEAVY: Shader = Shader {
    name: "sgd_momentum",
    source: include_str!("../../shaders/sgd_momentum.wgsl"),
    access: &[Read, ReadWrite, ReadWrite, Read],
};

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    first: u32,
    n: u32,
    momentum: f32,
    nesterov: u32,
    decay: f32,
}

impl Params {
    fn run(&self) -> std::ops::Range<usize> {
        self.first as usize..(self.first + self.n) as usize
    }
}

fn n(d: &Dispatch) -> usize {
    d.params::<Params>().n as usize
}

static SGD: Kernel = Kernel {
    name: "sgd",
    access: PLAIN.access,
    twin: |call| {
        let (p, g, hyper) = (call.params::<Params>(), call.read::<f32>(0), call.read::<f32>(2));
        let (g, lr) = (&g[p.run()], hyper[0]);
        parallel::chunks(&mut call.write::<f32>(1)[p.run()], parallel::GRAIN, |piece, x| {
            for (x, g) in x.iter_mut().zip(&g[piece * parallel::GRAIN..]) {
                *x -= lr * (g + p.decay * *x);
            }
        });
    },
    cost: |d| Cost { flops: 4 * n(d) as u64, bytes: 12 * n(d) as u64 },
    tolerance: Tolerance::ROUNDED,
    rewrites: &[],
    variants: &[Variant {
        name: "flat",
        fits: |_, _| true,
        suits: |_, _| true,
        lower: |_, d| Pass::new(&PLAIN, "sgd", groups(n(d), 4 * 256)).alone(),
    }],
};

static SGD_MOMENTUM: Kernel = Kernel {
    name: "sgd_momentum",
    access: HEAVY.access,
    twin: heavy_twin,
    cost: |d| Cost { flops: 8 * n(d) as u64, bytes: 20 * n(d) as u64 },
    tolerance: Tolerance::ROUNDED,
    rewrites: &[],
    variants: &[Variant {
        name: "flat",
        fits: |_, _| true,
        suits: |_, _| true,
        lower: |_, d| Pass::new(&HEAVY, "sgd_momentum", groups(n(d), 4 * 256)).alone(),
    }],
};

fn heavy_twin(call: &mut Call) {
    let (p, g, hyper) = (call.params::<Params>(), call.read::<f32>(0), call.read::<f32>(3));
    let (x, u) = (call.write::<f32>(1), call.write::<f32>(2));
    let (g, lr) = (&g[p.run()], hyper[0]);
    parallel::chunks_of([&mut x[p.run()], &mut u[p.run()]], parallel::GRAIN, |piece, [x, u]| {
        for ((x, u), g) in x.iter_mut().zip(u).zip(&g[piece * parallel::GRAIN..]) {
            let slope = g + p.decay * *x;
            *u = p.momentum * *u + slope;
            *x -= lr * if p.nesterov == 1 { slope + p.momentum * *u } else { *u };
        }
    });
}

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&SGD, &SGD_MOMENTUM];

/// Stochastic gradient descent with optional momentum.
pub struct Sgd {
    options: SgdOptions,
    slabs: Vec<Slab>,
    hyper: Hyper,
}

impl Sgd {
    /// Takes over the parameters of `model`, which goes on to read them in place.
    ///
    /// # Errors
    /// [`Error::Option`](crate::Error::Option) if an option is out of range.
    ///
    /// # Panics
    /// If the model has no parameters or they live on several devices.
    #[track_caller]
    pub fn new(model: &dyn Module, options: SgdOptions) -> Result<Sgd> {
        let positive = |value: f32| value.is_finite() && value >= 0.0;
        checked_lr(options.lr)?;
        checked("weight decay", options.weight_decay, positive, "a number from 0 up")?;
        if let Momentum::HeavyBall(momentum) | Momentum::Nesterov(momentum) = options.momentum {
            checked("momentum", momentum, positive, "a number from 0 up")?;
        }
        let slabs = Slab::of(model, if options.momentum == Momentum::None { 0 } else { 1 });
        let hyper = Hyper::new(slabs[0].values.device(), options.lr, 1, |now| vec![now.lr]);
        Ok(Sgd { options, slabs, hyper })
    }
}

/// PyTorch's name of the velocity.
const MOMENTS: [&str; 1] = ["momentum_buffer"];

impl Optimizer for Sgd {
    #[track_caller]
    fn step(&mut self, grads: &Grads) {
        self.hyper.advance();
        let SgdOptions { momentum, weight_decay, .. } = self.options;
        let (momentum, nesterov) = match momentum {
            Momentum::None => (0.0, 0),
            Momentum::HeavyBall(momentum) => (momentum, 0),
            Momentum::Nesterov(momentum) => (momentum, 1),
        };
        let mut moved = false;
        for slab in &self.slabs {
            for (first, n) in slab.gather(grads) {
                let p = Params { first, n, momentum, nesterov, decay: weight_decay };
                let Slab { values, gradients, moments, .. } = slab;
                match moments.first() {
                    Some(velocity) => {
                        Tensor::run(&SGD_MOMENTUM, &[gradients, values, velocity, &self.hyper.tensor], &p)
                    }
                    None => Tensor::run(&SGD, &[gradients, values, &self.hyper.tensor], &p),
                }
                moved = true;
            }
        }
        assert!(moved, "Sgd: there is no gradient for any of its parameters");
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
        let moments = &MOMENTS[..self.slabs[0].moments.len()];
        self.hyper.set_steps(load_state(&self.slabs, moments, saved)?);
        Ok(())
    }
}
