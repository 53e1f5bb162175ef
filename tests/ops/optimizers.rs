//! Optimizers: a few steps of two parameters, beside the same steps in primitives.

use super::{Case, case, x};
use wgrad::Tensor;
use wgrad::nn::{Module, Parameter, Visitor};
use wgrad::optim::{Adam, AdamOptions, Momentum, Optimizer, Sgd, SgdOptions, WeightDecay};

struct Pair {
    a: Parameter,
    b: Parameter,
}

impl Module for Pair {
    fn visit(&self, visitor: &mut Visitor) {
        visitor.parameter("a", &self.a);
        visitor.parameter("b", &self.b);
    }
}

const STEPS: usize = 4;

/// A step in which b has no gradient, so that nothing of it may move.
const WITHOUT_B: usize = 2;

fn joined(a: &Tensor, b: &Tensor) -> Tensor {
    Tensor::cat(&[&a.flatten(0), &b.flatten(0)], 0)
}

/// Steps of an optimizer on the loss sum(a t) + sum(b²) / 2; x is a, b and t.
fn trained<O: Optimizer>(x: &[Tensor], optimizer: impl Fn(&Pair) -> wgrad::Result<O>) -> Tensor {
    let pair = Pair { a: Parameter::new(x[0].copy()), b: Parameter::new(x[1].copy()) };
    let mut optimizer = optimizer(&pair).expect("the options are in range");
    for step in 0..STEPS {
        let mut loss = pair.a.tensor().mul(&x[2]).sum();
        if step != WITHOUT_B {
            loss = loss.add(&(pair.b.tensor().square().sum() * 0.5));
        }
        optimizer.step(&loss.backward());
    }
    joined(&pair.a.tensor().detach(), &pair.b.tensor().detach())
}

/// The same steps by a rule in primitives: it moves a value by its gradient and what it keeps of it, in the how-manieth step.
fn defined(x: &[Tensor], rule: impl Fn(&Tensor, &Tensor, &mut [Tensor; 2], i32) -> Tensor) -> Tensor {
    let (mut a, mut b) = (x[0].copy(), x[1].copy());
    let mut kept = [&a, &b].map(|t| [t.zeros_like(), t.zeros_like()]);
    for step in 0..STEPS {
        a = rule(&a, &x[2], &mut kept[0], step as i32 + 1);
        if step != WITHOUT_B {
            b = rule(&b, &b, &mut kept[1], step as i32 + 1);
        }
    }
    joined(&a, &b)
}

fn sgd(name: &str, options: SgdOptions) -> Case {
    let inputs = [x([67]), x([3, 43]), x([67])];
    case(&format!("{name}:"), inputs, move |x| trained(x, |pair| Sgd::new(pair, options)))
        .defined(move |x| {
            defined(x, |value, gradient, kept, _| {
                let slope = gradient.add(&(value * options.weight_decay));
                let (momentum, ahead) = match options.momentum {
                    Momentum::None => (0.0, false),
                    Momentum::HeavyBall(momentum) => (momentum, false),
                    Momentum::Nesterov(momentum) => (momentum, true),
                };
                kept[0] = &kept[0] * momentum + &slope;
                let by = if ahead { slope.add(&(&kept[0] * momentum)) } else { kept[0].clone() };
                value.sub(&(by * options.lr))
            })
        })
        .constant()
}

fn adam(name: &str, options: AdamOptions) -> Case {
    let inputs = [x([67]), x([3, 43]), x([67])];
    case(&format!("{name}:"), inputs, move |x| trained(x, |pair| Adam::new(pair, options)))
        .defined(move |x| {
            defined(x, |value, gradient, kept, step| {
                let AdamOptions { lr, betas, eps, weight_decay } = options;
                let (coupled, apart) = match weight_decay {
                    WeightDecay::None => (0.0, 0.0),
                    WeightDecay::Coupled(decay) => (decay, 0.0),
                    WeightDecay::Decoupled(decay) => (0.0, decay),
                };
                let slope = gradient.add(&(value * coupled));
                kept[0] = &kept[0] * betas.0 + &slope * (1.0 - betas.0);
                kept[1] = &kept[1] * betas.1 + slope.square() * (1.0 - betas.1);
                let unbiased = |beta: f32| 1.0 - f64::from(beta).powi(step);
                let root = (&kept[1] * (1.0 / unbiased(betas.1)) as f32).sqrt() + eps;
                let mean = &kept[0] * (1.0 / unbiased(betas.0)) as f32;
                (value * (1.0 - lr * apart)).sub(&(mean.div(&root) * lr))
            })
        })
        .constant()
        .tolerance(1e-4, 1e-5)
        .going_on()
}

pub fn cases() -> Vec<Case> {
    let slow = SgdOptions { lr: 0.1, ..SgdOptions::default() };
    let quick = AdamOptions { lr: 0.05, ..AdamOptions::default() };
    vec![
        sgd("sgd", slow),
        sgd("sgd with decay", SgdOptions { weight_decay: 0.2, ..slow }),
        sgd("sgd_momentum", SgdOptions { momentum: Momentum::HeavyBall(0.9), weight_decay: 0.1, ..slow }),
        sgd("sgd_momentum of Nesterov", SgdOptions { momentum: Momentum::Nesterov(0.8), ..slow }),
        adam("adam", quick),
        adam("adam with other betas", AdamOptions { betas: (0.5, 0.7), eps: 1e-3, ..quick }),
        adam("adam with coupled decay", AdamOptions { weight_decay: WeightDecay::Coupled(0.2), ..quick }),
        adam("adam with decoupled decay", AdamOptions { weight_decay: WeightDecay::Decoupled(0.2), ..quick }),
    ]
}
