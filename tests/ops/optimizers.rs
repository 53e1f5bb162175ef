//! Optimizers: a few steps of two parameters, beside the same steps by the rule's definition.

use super::{Case, Input, case, x};
use wgrad::nn::{Module, Parameter, Visitor};
use wgrad::optim::{
    Adadelta, AdadeltaOptions, Adagrad, AdagradOptions, Adam, AdamOptions, AdamWOptions, Adamax, AdamaxOptions,
    Centering, GradScaler, Lamb, LambOptions, Lion, LionOptions, Momentum, NAdam, NAdamOptions, Optimizer, RAdam,
    RAdamOptions, RmsProp, RmsPropOptions, Rule, SecondMoment, Sgd, SgdOptions, Stepper,
};
use wgrad::{DType, Tensor};

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

const STEPS: usize = 5;

/// Steps in which a parameter has no gradient, so that nothing of it may move, nor count.
const WITHOUT_A: [usize; 1] = [2];
const WITHOUT_B: [usize; 2] = [0, 3];

/// a, b and t; b is more than a definition takes at a time.
fn inputs() -> [Input; 3] {
    [x([67]), x([3, 8197]), x([67])]
}

/// The elements of both side by side, in the type of the first.
pub fn joined(a: &Tensor, b: &Tensor) -> Tensor {
    Tensor::cat(&[&a.flatten(0), &b.flatten(0).cast(a.dtype())], 0)
}

/// Steps of an optimizer on the loss sum(a t) + sum(b²) / 2; x is a, b and t.
fn trained<O: Optimizer>(x: &[Tensor], optimizer: impl Fn(&Pair) -> wgrad::Result<O>) -> Tensor {
    let pair = Pair { a: Parameter::new(x[0].copy()), b: Parameter::new(x[1].copy()) };
    let mut optimizer = optimizer(&pair).expect("the options are in range");
    for step in 0..STEPS {
        let of_a = (!WITHOUT_A.contains(&step)).then(|| pair.a.tensor().mul(&x[2]).sum());
        let of_b = (!WITHOUT_B.contains(&step)).then(|| pair.b.tensor().square().sum() * 0.5);
        let loss = of_a.into_iter().chain(of_b).reduce(|a, b| a.add(&b)).expect("one of them has a gradient");
        optimizer.step(&loss.backward());
    }
    joined(&pair.a.tensor().detach(), &pair.b.tensor().detach())
}

/// Without weight decay a parameter that is infinite stays what it is, and is not lost in 0 times infinity.
fn infinite<O: Optimizer + 'static>(name: &str, optimizer: fn(&Pair) -> wgrad::Result<O>) -> Case {
    const ENDS: &[f32] = &[f32::INFINITY, f32::NEG_INFINITY];
    let run = move |x: &[Tensor]| trained(x, optimizer).narrow(0, 0, 2);
    case(&format!("{name} of an infinite parameter:"), [x([2]).listed(ENDS), x([2]), x([2])], run)
        .constant()
        .gives(ENDS)
}

/// The same steps by the fused kernels and by the rule's definition.
fn rule<R: Rule>(name: &str, options: R) -> Case {
    grouped(name, move |_| options)
}

/// The same with options for each of the two.
fn grouped<R: Rule>(name: &str, options: impl Fn(&str) -> R + Copy + Send + Sync + 'static) -> Case {
    let make = move |pair: &Pair| Stepper::grouped(pair, |path, _| options(path));
    case(&format!("{name}:"), inputs(), move |x| trained(x, make))
        .defined(move |x| trained(x, |pair| Ok(make(pair)?.by_definition())))
        .constant()
        .tolerance(1e-4, 1e-5)
}

/// Steps of a scaled loss, of which the second overflows, beside the same steps by the rule's definition without that one.
fn given_up<R: Rule>(name: &str, options: R) -> Case {
    const OVERFLOW: usize = 1;
    let run = move |x: &[Tensor], defined: bool| {
        let pair = Pair { a: Parameter::new(x[0].copy()), b: Parameter::new(x[1].copy()) };
        let optimizer = Stepper::new(&pair, options).expect("the options are in range");
        let mut optimizer = if defined { optimizer.by_definition() } else { optimizer };
        let scaler = GradScaler::new(x[0].device());
        for step in (0..STEPS).filter(|step| !defined || *step != OVERFLOW) {
            let of_a = (!WITHOUT_A.contains(&step)).then(|| pair.a.tensor().mul(&x[2]).sum());
            let of_b = (!WITHOUT_B.contains(&step)).then(|| pair.b.tensor().square().sum() * 0.5);
            let loss = of_a.into_iter().chain(of_b).reduce(|a, b| a.add(&b)).expect("one of them has a gradient");
            if defined {
                optimizer.step(&loss.backward());
                continue;
            }
            let loss = if step == OVERFLOW { loss * f32::INFINITY } else { loss };
            scaler.step(&mut optimizer, &scaler.scale(&loss).backward());
            scaler.update();
        }
        let scale = if defined {
            Tensor::full([], 1.0, x[0].device())
        } else {
            scaler.scale(&Tensor::ones([], x[0].device())) * (1.0 / 32768.0)
        };
        joined(&joined(&pair.a.tensor().detach(), &pair.b.tensor().detach()), &scale)
    };
    case(&format!("unscale loss_scale step_numbers for {name}:"), inputs(), move |x| run(x, false))
        .defined(move |x| run(x, true))
        .constant()
        .tolerance(1e-4, 1e-5)
}

/// -1, 0 or 1.
fn sign(x: &Tensor) -> Tensor {
    let zero = Tensor::zeros([], x.device());
    x.gt(&zero) - x.lt(&zero)
}

/// Steps of SGD with a rate of 1, so that what was done to the gradients is seen: first those of sum(a t) + sum(b u), then
/// those of sum(a t) alone; behind the values stands the last norm. The definition tells the gradients as they are taken,
/// and their norm, from values, gradients and a mask of what has one.
fn prepared(
    name: &str,
    change: fn(Sgd) -> wgrad::Result<Sgd>,
    definition: fn(&Tensor, &Tensor, &Tensor) -> [Tensor; 2],
) -> Case {
    let inputs = [x([67]), x([3, 8197]), x([67]), x([3, 8197])];
    case(&format!("{name}:"), inputs, move |x| {
        let pair = Pair { a: Parameter::new(x[0].copy()), b: Parameter::new(x[1].copy()) };
        let sgd = Sgd::new(&pair, SgdOptions { lr: 1.0, ..SgdOptions::default() });
        let mut sgd = sgd.and_then(change).expect("the options are in range");
        for b_too in [true, false] {
            let loss = pair.a.tensor().mul(&x[2]).sum();
            let loss = if b_too { loss.add(&pair.b.tensor().mul(&x[3]).sum()) } else { loss };
            sgd.step(&loss.backward());
        }
        let norm = sgd.grad_norm().unwrap_or(Tensor::zeros([], x[0].device()));
        let values = joined(&pair.a.tensor().detach(), &pair.b.tensor().detach());
        joined(&values, &norm)
    })
    .defined(move |x| {
        let (values, gradients) = (joined(&x[0], &x[1]), joined(&x[2], &x[3]));
        let mask = joined(&Tensor::ones([67], x[0].device()), &x[1].zeros_like());
        let once = &values - &definition(&values, &gradients, &Tensor::ones([], x[0].device()))[0];
        let [last, norm] = definition(&once, &gradients.mul(&mask), &mask);
        joined(&(&once - &last), &norm)
    })
    .constant()
}

/// An average over a few steps, exchanged with the weights and back.
fn ema() -> Case {
    case("ema:", inputs(), |x| {
        let pair = Pair { a: Parameter::new(x[0].copy()), b: Parameter::new(x[1].copy()) };
        let mut sgd = Sgd::new(&pair, SgdOptions { lr: 0.5, ..SgdOptions::default() }).expect("in range");
        let mut ema = sgd.ema(0.75).expect("in range");
        for _ in 0..STEPS {
            sgd.step(&pair.a.tensor().mul(&x[2]).sum().backward());
            ema.update();
        }
        let now = || joined(&pair.a.tensor().detach(), &pair.b.tensor().detach());
        ema.swap();
        let averages = now();
        ema.swap();
        joined(&averages, &now())
    })
    .defined(|x| {
        let (mut a, mut mean) = (x[0].clone(), x[0].clone());
        for _ in 0..STEPS {
            a = &a - &x[2] * 0.5;
            mean = &mean * 0.75 + &a * 0.25;
        }
        joined(&joined(&mean, &x[1]), &joined(&a, &x[1]))
    })
    .constant()
}

/// The first step is as long as the rate says, since the parameter is 0; without a slope there is none.
fn lamb_of_zeros() -> Case {
    let inputs = [x([2]).listed(&[0.0, 0.0]), x([3]), x([2]).within(0.5, 1.5)];
    case("lamb of zeros and without a slope:", inputs, |x| {
        let pair = Pair { a: Parameter::new(x[0].copy()), b: Parameter::new(x[1].copy()) };
        let options = LambOptions { lr: 0.25, weight_decay: 0.0, ..LambOptions::default() };
        let mut lamb = Lamb::new(&pair, options).expect("the options are in range");
        for _ in 0..2 {
            lamb.step(&pair.a.tensor().mul(&x[2]).sum().add(&(pair.b.tensor().sum() * 0.0)).backward());
        }
        joined(&pair.a.tensor().detach(), &pair.b.tensor().detach())
    })
    .defined(|x| joined(&(Tensor::ones([2], x[0].device()) * (-0.25 - 0.25 * 0.25)), &x[1]))
    .constant()
    .tolerance(1e-4, 1e-5)
}

/// The gradients of two batches, added up.
fn summed() -> Case {
    case("accumulate the gradients of batches:", [x([67]), x([3, 43]), x([67])], |x| {
        let pair = Pair { a: Parameter::new(x[0].copy()), b: Parameter::new(x[1].copy()) };
        let mut sgd = Sgd::new(&pair, SgdOptions { lr: 0.5, ..SgdOptions::default() }).expect("in range");
        let mut grads = pair.a.tensor().mul(&x[2]).sum().backward();
        grads += pair.a.tensor().square().sum().add(&pair.b.tensor().square().sum()).backward();
        sgd.step(&grads);
        joined(&pair.a.tensor().detach(), &pair.b.tensor().detach())
    })
    .defined(|x| joined(&(&x[0] - (&x[2] + &x[0] * 2.0) * 0.5), &x[1].zeros_like()))
    .constant()
}

fn none(x: &Tensor) -> Tensor {
    Tensor::zeros([], x.device())
}

fn scaled(gradient: &Tensor, most: f32) -> [Tensor; 2] {
    let norm = gradient.square().sum().sqrt();
    let one = Tensor::ones([], gradient.device());
    [gradient.mul(&(most / (&norm + 1e-6)).minimum(&one)), norm]
}

pub fn cases() -> Vec<Case> {
    let slow = SgdOptions { lr: 0.1, ..SgdOptions::default() };
    let quick = AdamOptions { lr: 0.05, ..AdamOptions::default() };
    let lamb = LambOptions { lr: 0.1, eps: 0.1, weight_decay: 0.2, ..LambOptions::default() };
    let all = vec![
        infinite("sgd", |pair| Sgd::new(pair, SgdOptions::default())),
        infinite("sgd_momentum", |pair| {
            Sgd::new(pair, SgdOptions { momentum: Momentum::HeavyBall(0.9), ..SgdOptions::default() })
        }),
        infinite("adam", |pair| Adam::new(pair, AdamOptions::default())),
        infinite("amsgrad", |pair| {
            Adam::new(pair, AdamOptions { second_moment: SecondMoment::Largest, ..AdamOptions::default() })
        }),
        infinite("rmsprop", |pair| RmsProp::new(pair, RmsPropOptions::default())),
        infinite("rmsprop_momentum", |pair| RmsProp::new(pair, RmsPropOptions { momentum: 0.8, ..Default::default() })),
        infinite("adagrad", |pair| Adagrad::new(pair, AdagradOptions::default())),
        infinite("adadelta", |pair| Adadelta::new(pair, AdadeltaOptions::default())),
        infinite("nadam", |pair| NAdam::new(pair, NAdamOptions::default())),
        infinite("radam", |pair| RAdam::new(pair, RAdamOptions::default())),
        infinite("adamax", |pair| Adamax::new(pair, AdamaxOptions::default())),
        infinite("lion", |pair| Lion::new(pair, LionOptions { weight_decay: 0.0, ..LionOptions::default() })),
        rule("sgd", slow),
        rule("sgd with decay", SgdOptions { weight_decay: 0.2, ..slow }),
        rule("sgd_momentum", SgdOptions { momentum: Momentum::HeavyBall(0.9), weight_decay: 0.1, ..slow }),
        rule("sgd_momentum with dampening", SgdOptions { momentum: Momentum::HeavyBall(0.9), dampening: 0.3, ..slow }),
        rule("sgd_momentum of Nesterov", SgdOptions { momentum: Momentum::Nesterov(0.8), ..slow }),
        rule("adam", quick),
        rule("adam with other betas", AdamOptions { betas: (0.5, 0.7), eps: 1e-3, ..quick }),
        rule("adam with coupled decay", AdamOptions { weight_decay: 0.2, ..quick }),
        rule("adam with decoupled decay", AdamWOptions { lr: 0.05, weight_decay: 0.2, ..AdamWOptions::default() }),
        // Moments that are rounded by chance are within a digit of those that are rounded to the nearest.
        rule("adam_bf16", AdamOptions { lr: 1e-4, state_dtype: DType::BF16, ..quick }),
        rule(
            "adam_bf16 with decay",
            AdamWOptions { lr: 1e-4, weight_decay: 0.2, state_dtype: DType::BF16, ..Default::default() },
        ),
        rule("amsgrad", AdamOptions { second_moment: SecondMoment::Largest, betas: (0.5, 0.6), ..quick }),
        rule("rmsprop", RmsPropOptions { weight_decay: 0.1, ..RmsPropOptions::default() }),
        rule("rmsprop_momentum", RmsPropOptions { momentum: 0.8, ..RmsPropOptions::default() }),
        rule(
            "rmsprop_centered",
            RmsPropOptions { alpha: 0.6, eps: 0.01, centering: Centering::Mean, ..RmsPropOptions::default() },
        ),
        rule("adagrad", AdagradOptions { lr: 0.1, lr_decay: 0.2, weight_decay: 0.1, ..AdagradOptions::default() }),
        rule("adadelta", AdadeltaOptions { lr: 3.0, rho: 0.8, eps: 1e-3, weight_decay: 0.1 }),
        rule("nadam", NAdamOptions { lr: 0.05, weight_decay: 0.1, ..NAdamOptions::default() }),
        rule(
            "nadam with decoupled decay",
            NAdamOptions {
                betas: (0.5, 0.7),
                weight_decay: 0.2,
                decoupled_weight_decay: true,
                ..NAdamOptions::default()
            },
        ),
        // With short memories the second moment counts from the first steps on.
        rule("radam", RAdamOptions { lr: 0.05, betas: (0.5, 0.7), weight_decay: 0.1, ..RAdamOptions::default() }),
        rule(
            "radam with decoupled decay",
            RAdamOptions { weight_decay: 0.2, decoupled_weight_decay: true, ..RAdamOptions::default() },
        ),
        rule("adamax", AdamaxOptions { lr: 0.05, weight_decay: 0.1, ..AdamaxOptions::default() }),
        grouped("nadam of two groups", |path| match path {
            "a" => NAdamOptions { lr: 0.3, ..NAdamOptions::default() },
            _ => NAdamOptions { weight_decay: 0.1, decoupled_weight_decay: true, ..NAdamOptions::default() },
        }),
        rule("lion", LionOptions { lr: 0.05, weight_decay: 0.3, betas: (0.5, 0.7) }),
        rule("lamb lamb_apply square_sums", lamb),
        grouped("lamb of two groups", move |path| LambOptions { lr: if path == "a" { 0.2 } else { 0.1 }, ..lamb }),
        lamb_of_zeros(),
        grouped("sgd of two groups", |path| match path {
            "a" => SgdOptions { lr: 0.3, weight_decay: 0.5, ..SgdOptions::default() },
            _ => SgdOptions { lr: 0.2, ..SgdOptions::default() },
        }),
        grouped("adam of two groups", |path| match path {
            "a" => AdamWOptions { lr: 0.3, weight_decay: 0.0, ..AdamWOptions::default() },
            _ => AdamWOptions { weight_decay: 0.1, ..AdamWOptions::default() },
        }),
        given_up("sgd", slow),
        given_up("sgd with momentum", SgdOptions { momentum: Momentum::HeavyBall(0.9), ..slow }),
        given_up("adam", quick),
        given_up("amsgrad", AdamOptions { second_moment: SecondMoment::Largest, ..quick }),
        given_up("rmsprop", RmsPropOptions::default()),
        given_up("centered rmsprop", RmsPropOptions { centering: Centering::Mean, ..RmsPropOptions::default() }),
        given_up("rmsprop with momentum", RmsPropOptions { momentum: 0.5, ..RmsPropOptions::default() }),
        given_up("adagrad", AdagradOptions::default()),
        given_up("adadelta", AdadeltaOptions::default()),
        given_up("nadam", NAdamOptions::default()),
        given_up("radam", RAdamOptions::default()),
        given_up("adamax", AdamaxOptions::default()),
        given_up("lion", LionOptions::default()),
        given_up("lamb", lamb),
        ema(),
        prepared("clip_factor square_sums", |sgd| sgd.clip_grad_norm(9.0), |_, g, _| scaled(g, 9.0)),
        prepared("clip_factor of what is small", |sgd| sgd.clip_grad_norm(9e9), |_, g, _| scaled(g, 9e9)),
        prepared("penalty of L1", |sgd| sgd.l1_penalty(0.3), |v, g, has| [g + sign(v) * 0.3 * has, none(v)]),
        prepared("penalty of L2", |sgd| sgd.l2_penalty(0.3), |v, g, has| [g + v * 0.6 * has, none(v)]),
        prepared("penalty by clipping values", |sgd| sgd.clip_grad_value(0.7), |_, g, _| [g.clamp(-0.7, 0.7), none(g)]),
        prepared(
            "penalty, clipped by values and norm",
            |sgd| sgd.l1_penalty(0.3)?.clip_grad_value(0.7)?.clip_grad_norm(5.0),
            |v, g, has| scaled(&(g + sign(v) * 0.3 * has).clamp(-0.7, 0.7), 5.0),
        ),
    ];
    all.into_iter().map(Case::stepping).chain([summed()]).collect()
}
