//! Infinities, NaN, kinks and infinite gradients: what PyTorch gives there is written out, and is due on every device.

use super::{Case, Input, case, whole, x};
use std::f32::consts::{FRAC_2_SQRT_PI, LN_2};
use wgrad::KeepDims::No;
use wgrad::ops::recurrent::{Cell, Direction, Recurrence};
use wgrad::{
    AttentionOptions, Conv2dOptions, CrossEntropyOptions, DType, Extreme, MaxPool2dOptions, Reduction, Shape, Tensor,
    Upsampling,
};

type One = fn(&Tensor) -> Tensor;
type Two = fn(&Tensor, &Tensor) -> Tensor;
type Loss = fn(&Tensor, &Tensor, Reduction) -> Tensor;
type Five = [f32; 5];

const INF: f32 = f32::INFINITY;
const LARGER: fn(&Tensor, &Tensor) -> Tensor = |a, b| a.maximum(b);
const SMALLER: fn(&Tensor, &Tensor) -> Tensor = |a, b| a.minimum(b);
const NAN: f32 = f32::NAN;

/// Where functions are asked for what they have far out.
const FAR: &[f32] = &[INF, -INF, 0.0, 1e30, -1e30];

/// Each function with its values and slopes there. Of NaN all make NaN, but for the last; `slopes_of_nan` has the slopes.
const FUNCTIONS: &[(&str, One, Five, Five)] = &[
    ("affine", |x| x.affine(-1.5, 0.25), [-INF, INF, 0.25, -1.5e30, 1.5e30], [-1.5; 5]),
    ("exp", Tensor::exp, [INF, 0.0, 1.0, INF, 0.0], [INF, 0.0, 1.0, INF, 0.0]),
    ("log", Tensor::log, [INF, NAN, -INF, 69.077_55, NAN], [0.0, 0.0, INF, 1e-30, -1e-30]),
    ("sqrt", Tensor::sqrt, [INF, NAN, 0.0, 1e15, NAN], [0.0, NAN, INF, 5e-16, NAN]),
    ("rsqrt", Tensor::rsqrt, [0.0, NAN, INF, 1e-15, NAN], [0.0, NAN, -INF, 0.0, NAN]),
    ("reciprocal", Tensor::reciprocal, [0.0, 0.0, INF, 1e-30, -1e-30], [0.0, 0.0, -INF, 0.0, 0.0]),
    ("abs", Tensor::abs, [INF, INF, 0.0, 1e30, 1e30], [1.0, -1.0, 0.0, 1.0, -1.0]),
    ("sin", Tensor::sin, [NAN, NAN, 0.0, -0.791_163_44, 0.791_163_44], [NAN, NAN, 1.0, -0.611_604_8, -0.611_604_8]),
    ("cos", Tensor::cos, [NAN, NAN, 1.0, -0.611_604_8, -0.611_604_8], [NAN, NAN, 0.0, 0.791_163_44, -0.791_163_44]),
    ("tanh", Tensor::tanh, [1.0, -1.0, 0.0, 1.0, -1.0], [0.0, 0.0, 1.0, 0.0, 0.0]),
    ("sigmoid", Tensor::sigmoid, [1.0, 0.0, 0.5, 1.0, 0.0], [0.0, 0.0, 0.25, 0.0, 0.0]),
    ("relu", Tensor::relu, [INF, 0.0, 0.0, 1e30, 0.0], [1.0, 0.0, 0.0, 1.0, 0.0]),
    ("leaky_relu", |x| x.leaky_relu(0.1), [INF, -INF, 0.0, 1e30, -1e29], [1.0, 0.1, 0.1, 1.0, 0.1]),
    ("elu", |x| x.elu(0.7), [INF, -0.7, 0.0, 1e30, -0.7], [1.0, 0.0, 0.7, 1.0, 0.0]),
    ("gelu", Tensor::gelu, [INF, NAN, 0.0, 1e30, 0.0], [NAN, NAN, 0.5, 1.0, 0.0]),
    ("gelu_tanh", Tensor::gelu_tanh, [INF, NAN, 0.0, 1e30, 0.0], [NAN, NAN, 0.5, NAN, NAN]),
    ("silu", Tensor::silu, [INF, NAN, 0.0, 1e30, 0.0], [NAN, NAN, 0.5, 1.0, 0.0]),
    ("softplus", Tensor::softplus, [INF, 0.0, LN_2, 1e30, 0.0], [1.0, 0.0, 0.5, 1.0, 0.0]),
    ("square", Tensor::square, [INF, INF, 0.0, INF, INF], [INF, -INF, 0.0, 2e30, -2e30]),
    ("clamp", |x| x.clamp(-0.5, 1.0), [1.0, -0.5, 0.0, 1.0, -0.5], [0.0, 0.0, 1.0, 0.0, 0.0]),
    ("clamp below", |x| x.clamp(-INF, 1.0), [1.0, -INF, 0.0, 1.0, -1e30], [0.0, 1.0, 1.0, 0.0, 1.0]),
    ("erf", Tensor::erf, [1.0, -1.0, 0.0, 1.0, -1.0], [0.0, 0.0, FRAC_2_SQRT_PI, 0.0, 0.0]),
    ("hardtanh", |x| x.hardtanh(-0.5, 1.0), [1.0, -0.5, 0.0, 1.0, -0.5], [0.0, 0.0, 1.0, 0.0, 0.0]),
    ("relu6", Tensor::relu6, [6.0, 0.0, 0.0, 6.0, 0.0], [0.0; 5]),
    ("hardswish", Tensor::hardswish, [INF, NAN, 0.0, 1e30, 0.0], [1.0, 0.0, 0.5, 1.0, 0.0]),
    ("hardsigmoid", Tensor::hardsigmoid, [1.0, 0.0, 0.5, 1.0, 0.0], [0.0, 0.0, 1.0 / 6.0, 0.0, 0.0]),
    ("softsign", Tensor::softsign, [NAN, NAN, 0.0, 1.0, -1.0], [NAN, NAN, 1.0, 0.0, 0.0]),
    ("mish", Tensor::mish, [INF, NAN, 0.0, 1e30, 0.0], [NAN, NAN, 0.6, 1.0, 0.0]),
    (
        "selu",
        Tensor::selu,
        [INF, -1.758_099_3, 0.0, 1.050_701e30, -1.758_099_3],
        [1.050_701, 0.0, 1.758_099_3, 1.050_701, 0.0],
    ),
    ("celu", |x| x.celu(0.7), [INF, -0.7, 0.0, 1e30, -0.7], [1.0, 0.0, 1.0, 1.0, 0.0]),
    ("logsigmoid", Tensor::logsigmoid, [0.0, -INF, -LN_2, 0.0, -1e30], [0.0, 1.0, 0.5, 0.0, 1.0]),
    ("threshold", |x| x.threshold(0.3, -2.0), [INF, -2.0, -2.0, 1e30, -2.0], [1.0, 0.0, 0.0, 1.0, 0.0]),
    ("hardshrink", |x| x.hardshrink(0.6), [INF, -INF, 0.0, 1e30, -1e30], [1.0, 1.0, 0.0, 1.0, 1.0]),
    ("softshrink", |x| x.softshrink(0.6), [INF, -INF, 0.0, 1e30, -1e30], [1.0, 1.0, 0.0, 1.0, 1.0]),
    ("tanhshrink", Tensor::tanhshrink, [INF, -INF, 0.0, 1e30, -1e30], [1.0, 1.0, 0.0, 1.0, 1.0]),
    (
        "prelu",
        |x| x.prelu(&Tensor::full([1], 0.25f32, x.device())),
        [INF, -INF, 0.0, 1e30, -2.5e29],
        [1.0, 0.25, 0.25, 1.0, 0.25],
    ),
    ("pow_scalar by 1/2:", |x| x.pow_scalar(0.5), [INF, NAN, 0.0, 1e15, NAN], [0.0, NAN, INF, 5e-16, NAN]),
    ("pow_scalar by -1/2:", |x| x.pow_scalar(-0.5), [0.0, NAN, INF, 1e-15, NAN], [0.0, 0.0, -INF, 0.0, NAN]),
    ("pow_scalar by -1:", |x| x.pow_scalar(-1.0), [0.0, 0.0, INF, 1e-30, -1e-30], [0.0, 0.0, -INF, 0.0, 0.0]),
    ("pow_scalar by 2:", |x| x.pow_scalar(2.0), [INF, INF, 0.0, INF, INF], [INF, -INF, 0.0, 2e30, -2e30]),
    ("pow_scalar by 3:", |x| x.pow_scalar(3.0), [INF, -INF, 0.0, INF, -INF], [INF, INF, 0.0, INF, INF]),
    ("pow_scalar by 0:", |x| x.pow_scalar(0.0), [1.0; 5], [0.0; 5]),
];

/// NaN, unless the function compares: then PyTorch has one number or, depending on how many elements there are, one of two.
fn slopes_of_nan(name: &str) -> &'static [f32] {
    match name {
        "affine" => &[-1.5; 7],
        "abs" | "clamp" | "clamp below" | "hardtanh" | "relu6" | "hardsigmoid" | "pow_scalar by 0:" => &[0.0; 7],
        "relu" | "threshold" | "hardshrink" | "softshrink" => &[1.0; 7],
        "leaky_relu" => &[0.1; 7],
        "prelu" => &[0.25; 7],
        _ => &[NAN; 7],
    }
}

/// Functions at their kinks, with values and slopes.
type AtKink = (&'static str, &'static [f32], One, &'static [f32], &'static [f32]);
const KINKS: &[AtKink] = &[
    ("clamp at its bounds", &[-0.5, 0.5], |x| x.clamp(-0.5, 0.5), &[-0.5, 0.5], &[0.0, 0.0]),
    ("clamp between bounds that cross", &[-3.0, 0.0, 3.0], |x| x.clamp(2.0, -2.0), &[-2.0; 3], &[0.0; 3]),
    ("hardtanh at its bounds", &[-0.5, 0.5], |x| x.hardtanh(-0.5, 0.5), &[-0.5, 0.5], &[0.0, 0.0]),
    ("hardtanh of one bound", &[-1.0, 0.5, 1.0], |x| x.hardtanh(0.5, 0.5), &[0.5; 3], &[0.0; 3]),
    ("relu6 at its bounds", &[0.0, 6.0], Tensor::relu6, &[0.0, 6.0], &[0.0, 0.0]),
    (
        "batch_norm_eval and relu, which a replay joins",
        &[-1.0, f32::NAN, 2.0, f32::INFINITY, f32::NEG_INFINITY],
        |x| {
            let [zero, one] = [0.0f32, 1.0].map(|value| Tensor::full([1], value, x.device()));
            x.unsqueeze(-1).batch_norm_eval(&zero, &one, None, None, 0.0).relu().squeeze(-1)
        },
        &[0.0, f32::NAN, 2.0, f32::INFINITY, 0.0],
        &[0.0, 1.0, 1.0, 1.0, 0.0],
    ),
    ("hardswish at its kinks", &[-3.0, 3.0], Tensor::hardswish, &[0.0, 3.0], &[0.0, 1.0]),
    ("hardsigmoid at its kinks", &[-3.0, 3.0], Tensor::hardsigmoid, &[0.0, 1.0], &[0.0, 0.0]),
    ("hardshrink at its kinks", &[-0.6, 0.6], |x| x.hardshrink(0.6), &[0.0, 0.0], &[0.0, 0.0]),
    ("softshrink at its kinks", &[-0.6, 0.6], |x| x.softshrink(0.6), &[0.0, 0.0], &[0.0, 0.0]),
    ("threshold at its kink", &[0.25], |x| x.threshold(0.25, 7.0), &[7.0], &[0.0]),
    ("log of a subnormal number", &[1e-40], |x| x.log(), &[-92.103_41], &[INF]),
    ("pow_scalar of a subnormal number", &[1e-40], |x| x.pow_scalar(-0.25), &[1e10], &[-INF]),
    ("elu at 0", &[0.0], |x| x.elu(0.7), &[0.0], &[0.7]),
    (
        "exp at the ends",
        &[-87.3, -104.0, 88.7, 88.8],
        |x| x.exp(),
        &[1.218_76e-38, 0.0, 3.3259768e+38, INF],
        &[1.218_76e-38, 0.0, 3.3259768e+38, INF],
    ),
    (
        "sin far from 0",
        &[4095.5, 4097.0, 12_345.678, 1e6, 16_777_216.0, 3.4e38, -1e9, 0.001],
        |x| x.sin(),
        &[
            -0.907_301_1,
            0.355_248_34,
            -0.704_269_9,
            -0.349_993_5,
            -0.779_563_67,
            -0.244_084_87,
            -0.545_843_4,
            0.000_999_999_8,
        ],
        &[0.420_481_6, 0.934_771_96, 0.709_932_3, 0.936_752_14, 0.626_323, 0.969_753_87, 0.837_887_2, 0.999_999_5],
    ),
];

/// What is flat before what is infinitely steep: nothing passes. The last two are not flat but multiply by a slope of 0.
const FLAT: &[AtKink] = &[
    ("relu before sqrt", &[-1.0, 0.0, 4.0], |x| x.relu().sqrt(), &[0.0, 0.0, 2.0], &[0.0, 0.0, 0.25]),
    ("relu before log", &[-1.0, 0.0, 4.0], |x| x.relu().log(), &[-INF, -INF, 1.386_294_4], &[0.0, 0.0, 0.25]),
    ("clamp before sqrt", &[-1.0, 0.0, 4.0], |x| x.clamp(0.0, 9.0).sqrt(), &[0.0, 0.0, 2.0], &[0.0, 0.0, 0.25]),
    ("hardtanh before sqrt", &[-1.0, 0.0, 4.0], |x| x.hardtanh(0.0, 9.0).sqrt(), &[0.0, 0.0, 2.0], &[0.0, 0.0, 0.25]),
    ("relu6 before sqrt", &[-1.0, 0.0, 4.0], |x| x.relu6().sqrt(), &[0.0, 0.0, 2.0], &[0.0, 0.0, 0.25]),
    ("threshold before sqrt", &[-1.0, 0.0, 4.0], |x| x.threshold(0.0, 0.0).sqrt(), &[0.0, 0.0, 2.0], &[0.0, 0.0, 0.25]),
    ("hardshrink before sqrt", &[-1.0, 0.0, 4.0], |x| x.hardshrink(2.0).sqrt(), &[0.0, 0.0, 2.0], &[0.0, 0.0, 0.25]),
    ("softshrink before sqrt", &[-1.0, 0.0, 4.0], |x| x.softshrink(3.0).sqrt(), &[0.0, 0.0, 1.0], &[0.0, 0.0, 0.5]),
    (
        "hardsigmoid before log",
        &[-4.0, -3.0, 0.0],
        |x| x.hardsigmoid().log(),
        &[-INF, -INF, -LN_2],
        &[0.0, 0.0, 1.0 / 3.0],
    ),
    (
        "hardswish before sqrt",
        &[-4.0, -3.0, 3.0],
        |x| x.hardswish().sqrt(),
        &[0.0, 0.0, 1.732_050_8],
        &[0.0, 0.0, 0.288_675_13],
    ),
    ("maximum before sqrt", &[-1.0, 4.0], |x| x.maximum(x.zeros_like()).sqrt(), &[0.0, 2.0], &[0.0, 0.25]),
    ("max before log", &[-1.0, 0.0, -2.0], |x| x.max().log(), &[-INF], &[0.0, INF, 0.0]),
    ("min before log", &[1.0, 0.0, 2.0], |x| x.min().log(), &[-INF], &[0.0, INF, 0.0]),
    ("abs before sqrt", &[0.0], |x| x.abs().sqrt(), &[0.0], &[NAN]),
    ("leaky_relu before sqrt", &[-1.0, 4.0], |x| x.leaky_relu(0.0).sqrt(), &[0.0, 2.0], &[NAN, 0.25]),
];

/// Pairs, and what is due of them and of their gradients. NaN meets 0 last, without a gradient.
type OfPairs = (&'static str, &'static [f32], &'static [f32], Two, &'static [f32], [&'static [f32]; 2]);
const PAIRS: &[OfPairs] = &[
    (
        "maximum of infinities",
        &[INF, -INF, 1.0],
        &[0.0, 0.0, INF],
        LARGER,
        &[INF, 0.0, INF],
        [&[1.0, 0.0, 0.0], &[0.0, 1.0, 1.0]],
    ),
    (
        "minimum of infinities",
        &[INF, -INF, 1.0],
        &[0.0, 0.0, INF],
        SMALLER,
        &[0.0, -INF, 1.0],
        [&[0.0, 1.0, 1.0], &[1.0, 0.0, 0.0]],
    ),
    (
        "pow of 0",
        &[0.0; 4],
        &[0.0, 2.0, -1.0, 1.0],
        Tensor::pow,
        &[1.0, 0.0, INF, 0.0],
        [&[0.0, 0.0, -INF, 1.0], &[0.0, 0.0, -INF, 0.0]],
    ),
    ("pow by 0", &[2.0, -2.0, INF], &[0.0; 3], Tensor::pow, &[1.0; 3], [&[0.0; 3], &[LN_2, NAN, INF]]),
    (
        "pow at the ends",
        &[2.0, 2.0, 10.0, 1.5],
        &[127.5, -130.0, 38.0, INF],
        Tensor::pow,
        &[2.406_159_7e38, 0.0, 1e38, INF],
        [&[INF, 0.0, INF, INF], &[1.667_822_8e38, 0.0, 2.302_585e38, INF]],
    ),
    ("div by 0", &[1.0, 0.0, -1.0], &[0.0; 3], Tensor::div, &[INF, NAN, -INF], [&[INF; 3], &[-INF, NAN, INF]]),
    ("mul of infinities", &[INF, 0.0], &[0.0, 2.0], Tensor::mul, &[NAN, 0.0], [&[0.0, 2.0], &[INF, 0.0]]),
    (
        "pow of NaN",
        &[NAN, NAN, 1.0, 2.0, NAN],
        &[0.0, 1.0, NAN, NAN, NAN],
        Tensor::pow,
        &[1.0, NAN, 1.0, NAN, NAN],
        [&[]; 2],
    ),
    ("maximum of NaN", &[NAN, 0.0, NAN, 1.0], &[0.0, NAN, NAN, 0.0], LARGER, &[NAN, NAN, NAN, 1.0], [&[]; 2]),
    ("minimum of NaN", &[NAN, 0.0, NAN, 1.0], &[0.0, NAN, NAN, 0.0], SMALLER, &[NAN, NAN, NAN, 0.0], [&[]; 2]),
    ("add of NaN", &[NAN, INF], &[0.0, -INF], Tensor::add, &[NAN, NAN], [&[]; 2]),
    ("eq of NaN", &[NAN, 0.0, NAN, INF], &[0.0, NAN, NAN, INF], |a, b| a.eq(b), &[0.0, 0.0, 0.0, 1.0], [&[]; 2]),
    ("ne of NaN", &[NAN, 0.0, NAN, INF], &[0.0, NAN, NAN, INF], |a, b| a.ne(b), &[1.0, 1.0, 1.0, 0.0], [&[]; 2]),
    ("lt of NaN", &[NAN, 0.0, NAN, -INF], &[0.0, NAN, NAN, INF], |a, b| a.lt(b), &[0.0, 0.0, 0.0, 1.0], [&[]; 2]),
    ("le of NaN", &[NAN, 0.0, NAN, INF], &[0.0, NAN, NAN, INF], |a, b| a.le(b), &[0.0, 0.0, 0.0, 1.0], [&[]; 2]),
    ("gt of NaN", &[NAN, 0.0, NAN, INF], &[0.0, NAN, NAN, -INF], |a, b| a.gt(b), &[0.0, 0.0, 0.0, 1.0], [&[]; 2]),
    ("ge of NaN", &[NAN, 0.0, NAN, INF], &[0.0, NAN, NAN, INF], |a, b| a.ge(b), &[0.0, 0.0, 0.0, 1.0], [&[]; 2]),
    ("where of NaN", &[NAN, 0.0], &[1.0, 2.0], |a, b| Tensor::where_(a, b, &b.zeros_like()), &[1.0, 0.0], [&[]; 2]),
];

/// What is made of [1 NaN 3], row by row.
const ROWS: &[(&str, One, &[f32])] = &[
    ("max", |x| x.amax(&[1], No), &[NAN]),
    ("min", |x| x.amin(&[1], No), &[NAN]),
    ("sum", |x| x.sum_dims(&[1], No), &[NAN]),
    ("mean", |x| x.mean_dims(&[1], No), &[NAN]),
    ("var", |x| x.var_dims(&[1], 1, No), &[NAN]),
    ("norm", |x| x.norm(&[1], No), &[NAN]),
    ("logsumexp", |x| x.logsumexp(&[1], No), &[NAN]),
    ("cumsum", |x| x.cumsum(1), &[1.0, NAN, NAN]),
    ("softmax", |x| x.softmax(1), &[NAN; 3]),
    ("log_softmax", |x| x.log_softmax(1), &[NAN; 3]),
    ("layer_norm", |x| x.layer_norm(&[3], None, None, 1e-5), &[NAN; 3]),
    ("rms_norm", |x| x.rms_norm(&[3], None, 1e-5), &[NAN; 3]),
    ("argmax", |x| x.argmax(1).cast(DType::F32), &[1.0]),
    ("topk", |x| x.topk(2, 1, Extreme::Largest).0, &[NAN, 3.0]),
    ("the least of topk", |x| x.topk(2, 1, Extreme::Smallest).0, &[1.0, 3.0]),
];

const LOSSES: &[(&str, Loss)] = &[
    ("mse_loss", Tensor::mse_loss),
    ("l1_loss", Tensor::l1_loss),
    ("smooth_l1_loss", |x, t, r| x.smooth_l1_loss(t, 0.7, r)),
    ("huber_loss", |x, t, r| x.huber_loss(t, 0.7, r)),
    ("binary_cross_entropy", Tensor::binary_cross_entropy),
    ("binary_cross_entropy_with_logits", Tensor::binary_cross_entropy_with_logits),
    ("soft_margin_loss", Tensor::soft_margin_loss),
    ("hinge_embedding_loss", |x, t, r| x.hinge_embedding_loss(&t.neg(), 1.0, r)),
];

fn of(values: &'static [f32]) -> Input {
    x([values.len()]).listed(values)
}

fn ones(shape: impl Into<Shape>) -> Input {
    x(shape).listed(&[1.0]).detached()
}

pub fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    for &(name, f, ref values, ref slopes) in FUNCTIONS {
        let shape = if name == "prelu" { x([5, 1]).listed(FAR) } else { of(FAR) };
        all.push(
            case(&format!("{name} far out and at 0"), [shape], move |x| f(&x[0]))
                .compared()
                .gives(values)
                .sloped(0, slopes),
        );
        let due: &[f32] = if name == "pow_scalar by 0:" { &[1.0; 7] } else { &[NAN; 7] };
        let nan = case(&format!("{name} of NaN"), [x([7]).listed(&[NAN])], move |x| f(&x[0]));
        all.push(nan.compared().gives(due).sloped(0, slopes_of_nan(name)));
    }
    let kinks = KINKS.iter().chain(FLAT);
    all.extend(kinks.map(|&(name, at, f, values, slopes)| {
        case(name, [of(at)], move |x| f(&x[0])).compared().gives(values).sloped(0, slopes)
    }));
    for &(name, a, b, f, values, [da, db]) in PAIRS {
        let pair = case(name, [of(a), of(b)], move |x| f(&x[0], &x[1])).gives(values);
        all.push(if da.is_empty() { pair.constant() } else { pair.compared().sloped(0, da).sloped(1, db) });
    }
    for &(name, f, values) in ROWS {
        let row = x([1, 3]).listed(&[1.0, NAN, 3.0]);
        all.push(case(&format!("{name} of a row with NaN"), [row], move |x| f(&x[0])).constant().gives(values));
    }
    // Every variant: a NaN in some rows and columns and not in others.
    const SOME: &[f32] = &[1.0, -2.0, NAN, 0.5, INF, 3.0, -INF, 2.0, 0.0, -1.0, 4.0];
    for shape in [[7, 64], [64, 7], [3, 1028], [1028, 4], [5, 9]] {
        for dim in [0, 1] {
            let some = || [x(shape).listed(SOME)];
            all.push(
                case(&format!("amax over {dim} of some NaN in"), some(), move |x| x[0].amax(&[dim], No)).constant(),
            );
            all.push(
                case(&format!("amin over {dim} of some NaN in"), some(), move |x| x[0].amin(&[dim], No)).constant(),
            );
            all.push(case(&format!("argmax over {dim} of some NaN in"), some(), move |x| x[0].argmax(dim)).constant());
            all.push(
                case(&format!("softmax over {dim} of some NaN in"), some(), move |x| x[0].softmax(dim)).constant(),
            );
        }
    }
    for &(name, f) in LOSSES {
        let pair = [x([2]).listed(&[NAN]), x([2]).listed(&[1.0, 1.0]).detached()];
        let loss = case(&format!("{name} of NaN"), pair, move |x| f(&x[0], &x[1], Reduction::None));
        all.push(loss.constant().gives(&[NAN, NAN]));
    }
    all.extend(attended());
    all.extend(hidden());
    all.extend(losses());
    all.extend(pooled());
    all.extend(joined());
    // A part of 0 of an infinite gradient is NaN.
    const FIRST: &[f32] = &[INF, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0];
    let steep = |name: &str, from: usize, to: usize, slopes| {
        let inputs = [x([1, 1, from, from]), x([1, 1, to, to]).listed(FIRST).detached()];
        let run = move |x: &[Tensor]| x[0].interpolate([to, to], Upsampling::Bilinear).mul(&x[1]);
        case(name, inputs, run).compared().sloped(0, slopes)
    };
    all.push(steep("upsample_backward of inf", 2, 4, &[INF, NAN, NAN, NAN]));
    all.push(steep("upsample_backward of inf to one pixel", 1, 2, &[NAN]));
    all.extend(stepped());
    all
}

/// Recurrent cells: NaN goes on, and a step that does not count takes no part, be the weight infinite.
fn stepped() -> Vec<Case> {
    const WEIGHT: &[f32] = &[INF, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5];
    let made = |name: &str, weight: &'static [f32], inputs: &'static [f32], lengths: i32| {
        let all = [x([1, 3, 4]).listed(inputs), x([4, 4]).listed(weight).detached(), x([1, 1, 4]).listed(&[1.0])];
        case(name, all, move |x| {
            let lengths = Tensor::full([1], lengths, x[0].device());
            let recurrence = Recurrence {
                cell: Cell::Relu,
                weight: &x[1],
                bias: None,
                initial: &x[2],
                lengths: Some(&lengths),
                direction: Direction::Forward,
            };
            x[0].recurrent(&recurrence).outputs()
        })
        .compared()
    };
    vec![
        made("recurrent Relu of NaN", &[0.5], &[NAN], 3).gives(&[NAN; 12]),
        made("recurrent Relu past its length", WEIGHT, &[0.5], 1)
            .gives(&[INF, 2.5, 2.5, 2.5, INF, 2.5, 2.5, 2.5, INF, 2.5, 2.5, 2.5])
            .sloped(2, &[INF, 6.0, 6.0, 6.0]),
    ]
}

/// Two queries, keys and values of one element, what the result is multiplied by, a mask, the result and the gradients.
type Attended = (&'static str, [&'static [f32]; 4], &'static [f32], &'static [f32], [&'static [f32]; 3]);
const ATTENDED: &[Attended] = &[
    (
        "a query of NaN",
        [&[NAN, 1.0], &[1.0, 2.0], &[1.0, 2.0], &[1.0; 2]],
        &[],
        &[NAN, 1.731_058_6],
        [&[NAN, 0.196_611_93], &[NAN; 2], &[NAN; 2]],
    ),
    (
        "a query of inf",
        [&[INF, 1.0], &[1.0, 2.0], &[1.0, 2.0], &[1.0; 2]],
        &[],
        &[NAN, 1.731_058_6],
        [&[NAN, 0.196_611_93], &[NAN; 2], &[NAN; 2]],
    ),
    (
        "a query of -inf",
        [&[-INF, 1.0], &[1.0, 2.0], &[1.0, 2.0], &[1.0; 2]],
        &[],
        &[0.0, 1.731_058_6],
        [&[0.0, 0.196_611_93], &[NAN; 2], &[0.268_941_43, 0.731_058_6]],
    ),
    ("a key of inf", [&[1.0; 2], &[1.0, INF], &[1.0, 2.0], &[1.0; 2]], &[], &[NAN; 2], [&[NAN; 2]; 3]),
    ("a key of NaN", [&[1.0; 2], &[1.0, NAN], &[1.0, 2.0], &[1.0; 2]], &[], &[NAN; 2], [&[NAN; 2]; 3]),
    (
        "a key of -inf",
        [&[1.0; 2], &[1.0, -INF], &[1.0, 2.0], &[1.0; 2]],
        &[],
        &[1.0; 2],
        [&[NAN; 2], &[0.0; 2], &[2.0, 0.0]],
    ),
    (
        "keys of -inf",
        [&[1.0; 2], &[-INF; 2], &[1.0, 2.0], &[1.0; 2]],
        &[],
        &[0.0; 2],
        [&[NAN; 2], &[0.0; 2], &[0.0; 2]],
    ),
    (
        "a value of inf",
        [&[1.0; 2], &[1.0, 2.0], &[1.0, INF], &[1.0; 2]],
        &[],
        &[INF; 2],
        [&[NAN; 2], &[-INF, NAN], &[0.537_882_9, 1.462_117_1]],
    ),
    (
        "a value of inf without a weight",
        [&[1.0; 2], &[0.0, -1000.0], &[1.0, INF], &[1.0; 2]],
        &[],
        &[NAN; 2],
        [&[NAN; 2], &[NAN; 2], &[2.0, 0.0]],
    ),
    (
        "a value of NaN",
        [&[1.0; 2], &[1.0, 2.0], &[1.0, NAN], &[1.0; 2]],
        &[],
        &[NAN; 2],
        [&[NAN; 2], &[NAN; 2], &[0.537_882_9, 1.462_117_1]],
    ),
    (
        "a gradient of inf",
        [&[1.0; 2], &[1.0, 2.0], &[1.0, 2.0], &[1.0, INF]],
        &[],
        &[1.731_058_6, INF],
        [&[0.196_611_93, NAN], &[NAN; 2], &[INF; 2]],
    ),
    (
        "a masked key of NaN",
        [&[1.0; 2], &[1.0, NAN], &[1.0, 2.0], &[1.0; 2]],
        &[0.0, -INF, 0.0, 0.0],
        &[NAN; 2],
        [&[NAN; 2]; 3],
    ),
    (
        "a masked value of NaN",
        [&[1.0; 2], &[1.0, 2.0], &[1.0, NAN], &[1.0; 2]],
        &[0.0, -INF, 0.0, 0.0],
        &[NAN; 2],
        [&[NAN; 2], &[NAN; 2], &[1.268_941_4, 0.731_058_6]],
    ),
    (
        "a key of -inf beside a masked one",
        [&[1.0; 2], &[-INF, 2.0], &[1.0, 2.0], &[1.0; 2]],
        &[0.0, -INF, 0.0, 0.0],
        &[0.0, 2.0],
        [&[NAN; 2], &[0.0; 2], &[0.0, 1.0]],
    ),
];

fn attended() -> Vec<Case> {
    let run = |x: &[Tensor], mask| {
        let options = AttentionOptions { mask, ..AttentionOptions::default() };
        x[0].scaled_dot_product_attention(&x[1], &x[2], &options).mul(&x[3])
    };
    let made = |&(name, inputs, mask, values, slopes): &Attended| {
        let name = format!("attention of {name}");
        let [q, k, v, factors] = inputs.map(|all| x([1, 1, 2, 1]).listed(all));
        let factors = factors.detached();
        let made = match mask {
            [] => case(&name, [q, k, v, factors], move |x| run(x, None)),
            _ => {
                case(&name, [q, k, v, factors, x([2, 2]).listed(mask).detached()], move |x| run(x, Some(x[4].clone())))
            }
        };
        (0..3).fold(made.compared().gives(values), |made, at| made.sloped(at, slopes[at]))
    };
    ATTENDED.iter().map(made).collect()
}

/// Keys that a mask hides, with values that would show a weight that is not quite 0.
fn hidden() -> Vec<Case> {
    const VALUES: &[f32] = &[1.0, 1.0, 1.0, 1.0, 3e38, 3e38, 3e38, 3e38, 3.0, 3.0, 3.0, 3.0];
    const BY_INFINITY: &[f32] = &[0.0, -INF, 0.0];
    const BY_MUCH: &[f32] = &[0.0, -200.0, 0.0];
    let names = [("attention of a key hidden by -inf", BY_INFINITY), ("attention of a key hidden by -200", BY_MUCH)];
    let made = |(name, mask): (&str, &'static [f32])| {
        let keys = x([1, 1, 3, 4]).listed(&[0.5]).detached();
        let inputs =
            [x([1, 1, 2, 4]).listed(&[0.0]), keys, x([1, 1, 3, 4]).listed(VALUES), x([3]).listed(mask).detached()];
        let run = |x: &[Tensor]| {
            let options = AttentionOptions { mask: Some(x[3].clone()), ..AttentionOptions::default() };
            x[0].scaled_dot_product_attention(&x[1], &x[2], &options)
        };
        let each: &[f32] = &[1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0];
        case(name, inputs, run).compared().gives(&[2.0; 8]).sloped(2, each)
    };
    names.map(made).into()
}

fn losses() -> Vec<Case> {
    let logits = |at: &'static [f32], wanted: &'static [f32]| [of(at), of(wanted).detached()];
    let binary = |x: &[Tensor]| x[0].binary_cross_entropy_with_logits(&x[1], Reduction::None);
    let row = || x([1, 3]).listed(&[1.0, -INF, 2.0]);
    vec![
        case("binary_cross_entropy_with_logits near the target", logits(&[12.0, 16.0, 30.0], &[1.0; 3]), binary)
            .compared()
            .gives(&[6.144_193_5e-6, 1.125_351_6e-7, 9.357_623e-14])
            .sloped(0, &[-6.144_174_6e-6, -1.125_351_6e-7, 0.0]),
        case("binary_cross_entropy_with_logits of infinities", logits(&[INF, 200.0, -200.0], &[0.0, 0.0, 1.0]), binary)
            .compared()
            .gives(&[INF, 200.0, 200.0])
            .sloped(0, &[1.0, 1.0, -1.0]),
        case("l1_loss of NaN and its slope", logits(&[NAN, INF, -INF, 0.0], &[0.0; 4]), |x| {
            x[0].l1_loss(&x[1], Reduction::None)
        })
        .compared()
        .gives(&[NAN, INF, INF, 0.0])
        .sloped(0, &[0.0, 1.0, -1.0, 0.0]),
        case("cross_entropy of -inf", [row(), whole([1], 0, 1)], |x| x[0].cross_entropy(&x[1]))
            .compared()
            .gives(&[1.313_261_7])
            .sloped(0, &[-0.731_058_6, 0.0, 0.731_058_6]),
        case("cross_entropy of -inf with the label there", [row(), whole([1], 1, 2)], |x| x[0].cross_entropy(&x[1]))
            .compared()
            .gives(&[INF])
            .sloped(0, &[0.268_941_43, -1.0, 0.731_058_6]),
        case("cross_entropy of -inf, smoothed", [row(), whole([1], 0, 1)], |x| {
            let options = CrossEntropyOptions { label_smoothing: 0.1, ..CrossEntropyOptions::default() };
            x[0].cross_entropy_with(&x[1], &options)
        })
        .compared()
        .gives(&[INF]),
        case("nll_loss of -inf", [row(), whole([1], 0, 1)], |x| x[0].nll_loss(&x[1]))
            .compared()
            .gives(&[-1.0])
            .sloped(0, &[-1.0, 0.0, 0.0]),
        case("cross_entropy of NaN", [x([1, 3]).listed(&[1.0, NAN, 2.0]), whole([1], 0, 1)], |x| {
            x[0].cross_entropy(&x[1])
        })
        .constant()
        .gives(&[NAN]),
    ]
}

fn pooled() -> Vec<Case> {
    const PIXELS: &[f32] = &[1.0, NAN, 2.0, 3.0];
    let mut all = Vec::new();
    for channels in [1, 4] {
        let pixels = || x([channels, 2, 2]).listed(PIXELS);
        let whole = |x: &Tensor| x.unsqueeze(0).max_pool2d(MaxPool2dOptions::new(2));
        let due: &'static [f32] = &[NAN; 4][..channels];
        all.push(case("max_pool2d of NaN", [pixels()], move |x| whole(&x[0])).constant().gives(due));
        all.push(
            case("adaptive_max_pool2d of NaN", [pixels()], |x| x[0].unsqueeze(0).adaptive_max_pool2d([1, 1]))
                .constant()
                .gives(due),
        );
        all.push(
            case("avg_pool of NaN", [pixels()], |x| x[0].unsqueeze(0).adaptive_avg_pool2d([1, 1]))
                .constant()
                .gives(due),
        );
    }
    all
}

/// Behind products and poolings, and in the forms that a captured step has.
fn joined() -> Vec<Case> {
    let rows = || x([3, 4]).listed(&[-1.0, -2.0, -0.5, -3.0, 1.0, 2.0, 0.5, 3.0]);
    let mut all = vec![
        case("relu before a product of 0 and sqrt", [rows(), ones([4, 4])], |x| x[0].relu().matmul(&x[1]).sqrt())
            .compared()
            .sloped(0, &[0.0, 0.0, 0.0, 0.0, 0.784_464_5, 0.784_464_5, 0.784_464_5, 0.784_464_5, 0.0, 0.0, 0.0, 0.0]),
        case("relu behind a product with NaN", [x([2, 4]).listed(&[NAN, 1.0, 2.0]), ones([4, 4])], |x| {
            x[0].matmul(&x[1]).relu()
        })
        .constant()
        .gives(&[NAN; 8]),
    ];
    for (size, stride) in [(4, 2), (5, 1)] {
        let pixels = || x([1, 4, size, size]).listed(&[-1.0, -0.5, -2.0]);
        let name = format!("max_pool2d of relu before sqrt, by {stride}");
        let run = move |x: &[Tensor]| {
            let options = MaxPool2dOptions { stride: [stride; 2], ..MaxPool2dOptions::new(2) };
            x[0].relu().max_pool2d(options).sqrt()
        };
        const ZEROS: &[f32] = &[0.0; 100];
        all.push(case(&name, [pixels()], run).compared().sloped(0, &ZEROS[..4 * size * size]));
        all.push(
            case("relu of a convolution before sqrt", [pixels(), ones([4, 4, 3, 3])], |x| {
                x[0].conv2d(&x[1], None, Conv2dOptions::default()).relu().sqrt()
            })
            .compared()
            .sloped(0, &ZEROS[..4 * size * size]),
        );
    }
    all
}
