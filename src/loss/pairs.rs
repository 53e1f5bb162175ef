//! Losses of pairs, what a model says and what is wanted, element by element: `shaders/pair_loss.wgsl`,
//! `shaders/pair_loss_backward.wgsl`.
//!
//! A loss is one row of the table below, one line in each WGSL file, and its method. It takes two kernels, the values and
//! their sum, and its gradient one.

use super::{batch, reduced};
use crate::autograd::{Op, composed};
use crate::kernel::functions::relu;
use crate::kernel::{
    Access, Call, Cost, Dispatch, Kernel, Lowering, Pass, Shader, Uniform, Variant, groups, parallel, shader,
};
use crate::ops::reduction::Reduction;
use crate::ops::unary::{sigmoid, softplus};
use crate::tensor::Tensor;
use bytemuck::{Pod, Zeroable};

use Access::{Read, Write};

static VALUE: Shader = shader!("pair_loss", &[Read, Read, Write]);

static SLOPE: Shader = shader!("pair_loss_backward", &[Read, Read, Read, Write]);

/// Elements, the loss's own argument, and how the gradient from above reaches each pair.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Uniform)]
struct PairParams {
    n: u32,
    a: f32,
    scale: f32,
    each: u32,
}

fn n(d: &Dispatch) -> usize {
    d.params::<PairParams>().n as usize
}

fn flat(shader: &'static Shader, entry: &'static str, d: &Dispatch) -> Lowering {
    Pass::new(shader, entry, groups(n(d), 4 * 256)).alone()
}

fn cost(d: &Dispatch) -> Cost {
    d.cost(4 * n(d) as u64)
}

fn value_definition(call: &mut Call, value: impl Fn(f32, f32, f32) -> f32 + Sync) {
    let (p, x, t) = (call.params::<PairParams>(), call.read::<f32>(0), call.read::<f32>(1));
    parallel::map2(&mut call.write::<f32>(2)[..p.n as usize], x, t, |x, t| value(x, t, p.a));
}

fn slope_definition(call: &mut Call, slope: impl Fn(f32, f32, f32) -> f32 + Sync) {
    let (p, x, t, dy) = (call.params::<PairParams>(), call.read::<f32>(0), call.read::<f32>(1), call.read::<f32>(2));
    let dx = &mut call.write::<f32>(3)[..p.n as usize];
    if p.each == 0 {
        let all = p.scale * dy[0];
        return parallel::map2(dx, x, t, |x, t| all * slope(x, t, p.a));
    }
    parallel::chunks(dx, parallel::GRAIN, |piece, dx| {
        let from = piece * parallel::GRAIN..;
        for (((dx, &x), &t), dy) in dx.iter_mut().zip(&x[from.clone()]).zip(&t[from.clone()]).zip(&dy[from]) {
            *dx = dy * slope(x, t, p.a);
        }
    });
}

/// A row of the table.
struct Loss {
    name: &'static str,
    value: Kernel,
    slope: Kernel,
    target: Target,
    /// The losses in operations, whose gradients are known.
    again: fn(&Tensor, &Tensor, f32) -> Tensor,
}

/// The gradient of the target.
enum Target {
    /// That of the other of the pair with another sign.
    Opposite,
    /// The one from above times this function of the pair.
    Times(fn(&Tensor, &Tensor) -> Tensor),
    /// There is none.
    Fixed,
}

macro_rules! losses {
    ($($constant:ident: $name:literal, $value:expr, $slope:expr, $target:expr, $again:expr;)*) => {
        $(static $constant: Loss = Loss {
            name: $name,
            value: Kernel::new($name, VALUE.access, |call| value_definition(call, $value), cost)
                .variants(&[Variant::new("flat", |_, d| flat(&VALUE, concat!($name, "_value"), d))]),
            slope: Kernel::new(concat!($name, "_backward"), SLOPE.access, |call| slope_definition(call, $slope), cost)
                .proportional_to(&[2])
                .variants(&[Variant::new("flat", |_, d| flat(&SLOPE, concat!($name, "_slope"), d))]),
            target: $target,
            again: $again,
        };)*

        /// The kernels of this page.
        pub static KERNELS: &[&Kernel] = &[$(&$constant.value, &$constant.slope),*];
    };
}

// Each row: the loss of x where t is wanted, its slope along x, the gradient of t, and the loss
// again of tensors; a is its own argument.
losses! {
    MSE: "mse_loss", |x, t, _| (x - t) * (x - t), |x, t, _| 2.0 * (x - t), Target::Opposite,
        |x, t, _| x.sub(t).square();
    L1: "l1_loss", |x, t, _| (x - t).abs(), |x, t, _| slope_of_abs(x - t), Target::Opposite,
        |x, t, _| x.sub(t).abs();
    SMOOTH_L1: "smooth_l1_loss",
        |x, t, a| if (x - t).abs() < a { 0.5 * (x - t) * (x - t) / a } else { (x - t).abs() - 0.5 * a },
        |x, t, a| if (x - t).abs() < a { (x - t) / a } else { sign(x - t) },
        Target::Opposite,
        smooth;
    HUBER: "huber_loss",
        |x, t, a| if (x - t).abs() < a { 0.5 * (x - t) * (x - t) } else { a * ((x - t).abs() - 0.5 * a) },
        |x, t, a| if (x - t).abs() < a { x - t } else { a * sign(x - t) },
        Target::Opposite,
        |x, t, a| smooth(x, t, a).affine(a, 0.0);
    BINARY: "binary_cross_entropy",
        |x, t, _| if is_probability(x) { -(t * held(x.ln()) + (1.0 - t) * held((-x).ln_1p())) } else { f32::NAN },
        |x, t, _| if is_probability(x) { (x - t) / ((1.0 - x) * x).max(1e-12) } else { f32::NAN },
        Target::Times(|x, _| {
            let held = |log: Tensor| log.clamp(-100.0, f32::INFINITY);
            held(x.affine(-1.0, 1.0).log()).sub(&held(x.log()))
        }),
        binary;
    BINARY_LOGITS: "binary_cross_entropy_with_logits",
        |x, t, _| (1.0 - t) * x + softplus(-x), |x, t, _| sigmoid(x) - t, Target::Times(|x, _| x.neg()),
        |x, t, _| t.affine(-1.0, 1.0).mul(x).add(&x.neg().softplus());
    KL_DIV: "kl_div",
        |x, t, _| if t == 0.0 { t * -x } else { t * (t.ln() - x) }, |_, t, _| -t,
        Target::Times(|x, t| t.log().sub(x).affine(1.0, 1.0)),
        |x, t, _| t.mul(&t.masked_fill(&t.eq(0.0), 1.0).log().sub(x));
    KL_DIV_LOG: "kl_div_log",
        |x, t, _| t.exp() * (t - x), |_, t, _| -t.exp(), Target::Times(|x, t| t.sub(x).affine(1.0, 1.0).mul(&t.exp())),
        |x, t, _| t.exp().mul(&t.sub(x));
    SOFT_MARGIN: "soft_margin_loss", |x, t, _| softplus(-t * x), |x, t, _| -t * sigmoid(-t * x), Target::Fixed,
        |x, t, _| t.mul(x).neg().softplus();
    HINGE_EMBEDDING: "hinge_embedding_loss",
        |x, t, a| if t == 1.0 { x } else { relu(a - x) + if t == -1.0 { 0.0 } else { x } },
        |x, t, a| f32::from(t != -1.0) - f32::from(t != 1.0 && x < a),
        Target::Fixed,
        hinge;
}

/// The smooth loss of tensors; of a width of 0 it is the distance.
fn smooth(x: &Tensor, t: &Tensor, a: f32) -> Tensor {
    let off = x.sub(t);
    let far = off.abs().affine(1.0, -0.5 * a);
    if a == 0.0 { far } else { Tensor::where_(&off.abs().lt(a), &off.square().affine(0.5 / a, 0.0), &far) }
}

fn binary(x: &Tensor, t: &Tensor, _: f32) -> Tensor {
    let held = |x: &Tensor| x.log().clamp(-100.0, f32::INFINITY);
    let rest = x.affine(-1.0, 1.0);
    t.mul(&held(x)).add(&t.affine(-1.0, 1.0).mul(&held(&rest))).neg()
}

fn hinge(x: &Tensor, t: &Tensor, a: f32) -> Tensor {
    let apart = x.affine(-1.0, a).relu().add(&x.masked_fill(&t.eq(-1.0), 0.0));
    Tensor::where_(&t.eq(1.0), x, &apart)
}

fn sign(x: f32) -> f32 {
    if x == 0.0 { 0.0 } else { x.signum() }
}

/// 0 of NaN too.
fn slope_of_abs(x: f32) -> f32 {
    if x.is_nan() { 0.0 } else { sign(x) }
}

fn is_probability(x: f32) -> bool {
    (0.0..=1.0).contains(&x)
}

/// PyTorch holds logarithms of probabilities above -100.
fn held(log: f32) -> f32 {
    log.max(-100.0)
}

/// The content of the target of [`Tensor::kl_div`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KlTarget {
    /// Probabilities.
    #[default]
    Probabilities,
    /// Their logarithms: PyTorch's `log_target`.
    Logarithms,
}

/// # Losses of pairs
impl Tensor {
    #[track_caller]
    fn pair_loss(&self, loss: &'static Loss, target: &Tensor, a: f32, reduction: Reduction) -> Tensor {
        let (op, shape) = (loss.name, self.shape());
        assert!(shape == target.shape(), "{op}: {shape} x {}: expected two tensors of one shape", target.shape());
        for (what, x) in [("input", self), ("target", target)] {
            assert!(x.dtype().is_float(), "{op}: expected an {what} of floats, got {}", x.dtype());
        }
        let is_fixed = matches!(loss.target, Target::Fixed);
        assert!(!is_fixed || !target.is_tracked(), "{op}: the target has no gradient: detach it");
        // In the memory order of the input, where it has one without gaps.
        let x = self.dense();
        let t = target.in_layout_of(&x);
        let scale = match reduction {
            Reduction::Mean => 1.0 / x.numel() as f32,
            Reduction::BatchMean => 1.0 / batch(&x) as f32,
            Reduction::Sum | Reduction::None => 1.0,
        };
        let p = PairParams { n: x.numel() as u32, a, scale, each: u32::from(reduction == Reduction::None) };
        let losses = Tensor::empty_like(x.layout(), Tensor::promoted(op, &[&x, &t]), x.device());
        Tensor::run(&loss.value, &[&x.detach(), &t.detach(), &losses], &p);
        let y = reduced(&losses, reduction);
        let (saved_x, saved_t) = (x.saved(), t.saved());
        y.tracked(
            || Op::new(op).with("reduction", format!("{reduction:?}")),
            &[&x, &t],
            move |dy, needs| {
                let (x, t) = (&saved_x, &saved_t);
                let again = |all: &[Tensor]| reduced(&(loss.again)(&all[0], &all[1], a), reduction);
                if let Some(gradients) = composed(dy, needs, &[x, t], again) {
                    return gradients;
                }
                let dy = if p.each == 1 { dy.in_layout_of(x) } else { dy.contiguous() };
                let along_x = || {
                    let dx = x.new_like();
                    Tensor::run(&loss.slope, &[x, t, &dy, &dx], &p);
                    dx
                };
                let dx = (needs[0] || matches!(loss.target, Target::Opposite)).then(along_x);
                let dt = needs[1].then(|| match loss.target {
                    Target::Opposite => dx.as_ref().map(Tensor::neg),
                    Target::Times(slope) => Some(dy.affine(p.scale, 0.0).mul(&slope(x, t))),
                    Target::Fixed => None,
                });
                vec![dx.filter(|_| needs[0]), dt.flatten()]
            },
        )
    }

    /// The squared differences `(x - t)^2`.
    ///
    /// # Panics
    /// If the shapes differ or the elements are not f32, here as in the losses below.
    #[doc(alias("MSELoss", "mean_squared_error"))]
    #[track_caller]
    pub fn mse_loss(&self, target: &Tensor, reduction: Reduction) -> Tensor {
        self.pair_loss(&MSE, target, 0.0, reduction)
    }

    /// The absolute differences `|x - t|`; the gradient where they are equal is 0.
    #[doc(alias("L1Loss", "mean_absolute_error"))]
    #[track_caller]
    pub fn l1_loss(&self, target: &Tensor, reduction: Reduction) -> Tensor {
        self.pair_loss(&L1, target, 0.0, reduction)
    }

    /// `(x - t)^2 / (2 beta)` where the difference is less than `beta` (PyTorch's default is 1), else `|x - t| - beta / 2`.
    ///
    /// # Panics
    /// If `beta` is negative.
    #[doc(alias = "SmoothL1Loss")]
    #[track_caller]
    pub fn smooth_l1_loss(&self, target: &Tensor, beta: f32, reduction: Reduction) -> Tensor {
        assert!(beta >= 0.0, "smooth_l1_loss: a beta of {beta}: expected a number from 0 up");
        self.pair_loss(&SMOOTH_L1, target, beta, reduction)
    }

    /// `(x - t)^2 / 2` where the difference is less than `delta` (PyTorch's default is 1), else
    /// `delta * (|x - t| - delta / 2)` (Huber, 1964).
    ///
    /// # Panics
    /// If `delta` is not positive.
    #[doc(alias = "HuberLoss")]
    #[track_caller]
    pub fn huber_loss(&self, target: &Tensor, delta: f32, reduction: Reduction) -> Tensor {
        assert!(delta > 0.0, "huber_loss: a delta of {delta}: expected a number above 0");
        self.pair_loss(&HUBER, target, delta, reduction)
    }

    /// `-(t log x + (1 - t) log(1 - x))` of probabilities x, with logarithms held above -100 as in PyTorch; NaN where x is
    /// no probability. From logits, [`Tensor::binary_cross_entropy_with_logits`] keeps more digits.
    #[doc(alias = "BCELoss")]
    #[track_caller]
    pub fn binary_cross_entropy(&self, target: &Tensor, reduction: Reduction) -> Tensor {
        self.pair_loss(&BINARY, target, 0.0, reduction)
    }

    /// The binary cross-entropy of logits x, `(1 - t) x + log(1 + e^-x)`, without overflow; near the target no digits are lost.
    #[doc(alias = "BCEWithLogitsLoss")]
    #[track_caller]
    pub fn binary_cross_entropy_with_logits(&self, target: &Tensor, reduction: Reduction) -> Tensor {
        self.pair_loss(&BINARY_LOGITS, target, 0.0, reduction)
    }

    /// The divergence of Kullback and Leibler, `t (log t - x)`, of log-probabilities x; `Reduction::BatchMean` divides as
    /// the mathematics do. NaN where a target is a negative probability.
    #[doc(alias = "KLDivLoss")]
    #[track_caller]
    pub fn kl_div(&self, target: &Tensor, kind: KlTarget, reduction: Reduction) -> Tensor {
        let loss = if kind == KlTarget::Logarithms { &KL_DIV_LOG } else { &KL_DIV };
        self.pair_loss(loss, target, 0.0, reduction)
    }

    /// `log(1 + e^(-t x))` for targets of 1 and -1.
    #[doc(alias = "SoftMarginLoss")]
    #[track_caller]
    pub fn soft_margin_loss(&self, target: &Tensor, reduction: Reduction) -> Tensor {
        self.pair_loss(&SOFT_MARGIN, target, 0.0, reduction)
    }

    /// `x` where the target is 1, `max(0, margin - x)` where it is -1 (PyTorch's default margin is 1), and elsewhere the sum
    /// of both.
    #[doc(alias = "HingeEmbeddingLoss")]
    #[track_caller]
    pub fn hinge_embedding_loss(&self, target: &Tensor, margin: f32, reduction: Reduction) -> Tensor {
        self.pair_loss(&HINGE_EMBEDDING, target, margin, reduction)
    }
}
