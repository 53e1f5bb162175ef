//! Functions of single elements, comparisons and choices.

use super::{Case, Input, case, whole, x};
use wgrad::{DType, Tensor};

type Smooth = fn(Input) -> Input;
type One = fn(&Tensor) -> Tensor;
type Two = fn(&Tensor, &Tensor) -> Tensor;

/// Each function with where it is smooth.
const FUNCTIONS: &[(&str, Smooth, One)] = &[
    ("affine", |x| x, |x| x.affine(-1.5, 0.25)),
    ("exp", |x| x, Tensor::exp),
    ("log", positive, Tensor::log),
    ("sqrt", positive, Tensor::sqrt),
    ("rsqrt", positive, Tensor::rsqrt),
    ("reciprocal", |x| x.avoiding(&[0.0, 0.1, -0.1, 0.2, -0.2, 0.3, -0.3]), Tensor::reciprocal),
    ("abs", away, Tensor::abs),
    ("sin", |x| x, Tensor::sin),
    ("cos", |x| x, Tensor::cos),
    ("tanh", |x| x, Tensor::tanh),
    ("sigmoid", |x| x, Tensor::sigmoid),
    ("relu", away, Tensor::relu),
    ("leaky_relu", away, |x| x.leaky_relu(0.1)),
    ("elu", away, |x| x.elu(0.7)),
    ("gelu", |x| x, Tensor::gelu),
    ("gelu_tanh", |x| x, Tensor::gelu_tanh),
    ("silu", |x| x, Tensor::silu),
    ("softplus", |x| x, Tensor::softplus),
    ("square", |x| x, Tensor::square),
    ("clamp", |x| x.avoiding(&[-0.5, 1.0]), |x| x.clamp(-0.5, 1.0)),
    ("erf", |x| x, Tensor::erf),
    ("hardtanh", |x| x.avoiding(&[-0.5, 1.0]), |x| x.hardtanh(-0.5, 1.0)),
    ("hardtanh by relu6", away, Tensor::relu6),
    ("hardswish", |x| x.avoiding(&[-1.5, 1.5]), |x| x.affine(2.0, 0.0).hardswish()),
    ("hardsigmoid", |x| x.avoiding(&[-1.5, 1.5]), |x| x.affine(2.0, 0.0).hardsigmoid()),
    ("softsign", away, Tensor::softsign),
    ("mish", |x| x, Tensor::mish),
    ("selu", away, Tensor::selu),
    ("celu", away, |x| x.celu(0.7)),
    ("logsigmoid", |x| x, Tensor::logsigmoid),
    ("threshold", |x| x.avoiding(&[0.3]), |x| x.threshold(0.3, -2.0)),
    ("hardshrink", |x| x.avoiding(&[-0.6, 0.6]), |x| x.hardshrink(0.6)),
    ("softshrink", |x| x.avoiding(&[-0.6, 0.6]), |x| x.softshrink(0.6)),
    ("tanhshrink by tanh and sub", |x| x.within(1.0, 2.0), Tensor::tanhshrink),
    ("pow_scalar", positive, |x| x.pow_scalar(2.5)),
    ("pow_scalar by -1:", positive, |x| x.pow_scalar(-1.0)),
    ("pow_scalar by 3:", away, |x| x.pow_scalar(3.0)),
    ("log1p", |x| x.within(-0.8, 3.0), Tensor::log1p),
    ("expm1", |x| x, Tensor::expm1),
    ("log2", positive, Tensor::log2),
    ("log10", positive, Tensor::log10),
    ("tan", |x| x.within(-1.2, 1.2), Tensor::tan),
    ("asin", |x| x.within(-0.9, 0.9), Tensor::asin),
    ("acos", |x| x.within(-0.9, 0.9), Tensor::acos),
    ("atan", |x| x, Tensor::atan),
    ("sinh", |x| x, Tensor::sinh),
    ("cosh", |x| x, Tensor::cosh),
    ("asinh", |x| x, Tensor::asinh),
    ("acosh", |x| x.within(1.2, 4.0), Tensor::acosh),
    ("atanh", |x| x.within(-0.9, 0.9), Tensor::atanh),
    ("erfinv", |x| x.within(-0.9, 0.9), Tensor::erfinv),
    ("frac by trunc", |x| x.within(0.1, 0.9), Tensor::frac),
    ("sign", away, Tensor::sign),
    ("round", |x| x.within(0.6, 1.4), Tensor::round),
    ("floor", |x| x.within(1.1, 1.9), Tensor::floor),
    ("ceil", |x| x.within(1.1, 1.9), Tensor::ceil),
    ("trunc", |x| x.within(1.1, 1.9), Tensor::trunc),
];

fn positive(x: Input) -> Input {
    x.within(0.4, 3.0)
}

fn away(x: Input) -> Input {
    x.avoiding(&[0.0])
}

/// What overflows, what vanishes, and what a careless formula turns into NaN.
const EXTREMES: &[f32] = &[0.0, 1e-30, -1e-30, 1e-6, -1e-6, 1e-3, -1e-3, 0.25, 9.5, -9.5, 30.0, -30.0, 80.0, -80.0];
const FAR: &[f32] = &[100.0, -100.0, 1e4, -1e4, 1e30, -1e30];

const SATURATING: &[(&str, One)] = &[
    ("tanh", Tensor::tanh),
    ("sigmoid", Tensor::sigmoid),
    ("relu", Tensor::relu),
    ("elu", |x| x.elu(1.0)),
    ("gelu", Tensor::gelu),
    ("silu", Tensor::silu),
    ("softplus", Tensor::softplus),
    ("mish", Tensor::mish),
    ("selu", Tensor::selu),
    ("celu", |x| x.celu(0.7)),
    ("logsigmoid", Tensor::logsigmoid),
    ("hardswish", Tensor::hardswish),
    ("softsign", Tensor::softsign),
    ("erf", Tensor::erf),
    ("abs", Tensor::abs),
    ("clamp", |x| x.clamp(-1e-3, f32::INFINITY)),
    ("log1p", Tensor::log1p),
    ("expm1", Tensor::expm1),
    ("atan", Tensor::atan),
    ("asin", Tensor::asin),
    ("acos", Tensor::acos),
    ("sinh", Tensor::sinh),
    ("cosh", Tensor::cosh),
    ("asinh", Tensor::asinh),
    ("acosh", Tensor::acosh),
    ("atanh", Tensor::atanh),
    ("erfinv", Tensor::erfinv),
    ("round", Tensor::round),
    ("floor", Tensor::floor),
];

/// Each function of two with where it is smooth.
const PAIRS: &[(&str, Smooth, Smooth, Two)] = &[
    ("add", |a| a, |b| b, Tensor::add),
    ("sub", |a| a, |b| b, Tensor::sub),
    ("mul", |a| a, |b| b, Tensor::mul),
    ("div", |a| a, positive, Tensor::div),
    ("maximum", |a| a.steps(0.0), |b| b.steps(0.1), |a, b| a.maximum(b)),
    ("minimum", |a| a.steps(0.0), |b| b.steps(0.1), |a, b| a.minimum(b)),
    ("pow", positive, |b| b, Tensor::pow),
    ("fmod", |a| a.within(1.4, 1.6), |b| b.within(0.97, 1.03), |a, b| a.fmod(b)),
    ("remainder", |a| a.within(1.4, 1.6), |b| b.within(0.97, 1.03), |a, b| a.remainder(b)),
    ("atan2", |a| a.within(0.3, 2.0), |b| b, Tensor::atan2),
];

const RELATIONS: &[(&str, Two)] = &[
    ("eq", |a, b| a.eq(b)),
    ("ne", |a, b| a.ne(b)),
    ("lt", |a, b| a.lt(b)),
    ("le", |a, b| a.le(b)),
    ("gt", |a, b| a.gt(b)),
    ("ge", |a, b| a.ge(b)),
];

pub fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    for &(name, smooth, f) in FUNCTIONS {
        let shapes = [
            x([1]),
            x([]),
            x([65]),
            x([4099]),
            x([5, 13]).transposed(),
            x([67]).shifted(),
            x([3, 4, 5]).narrowed(1),
            x([6, 7]).expanded(0),
            x([2, 3, 4, 5, 2, 3]).reversed(),
        ];
        all.extend(shapes.map(|shape| case(name, [smooth(shape)], move |x| f(&x[0]))));
    }
    for &(name, f) in SATURATING {
        all.push(case(&format!("{name} at extremes"), [x([14]).listed(EXTREMES)], move |x| f(&x[0])).compared());
        all.push(case(&format!("{name} far out"), [x([6]).listed(FAR)], move |x| f(&x[0])).constant());
    }
    for &(name, left, right, f) in PAIRS {
        let shapes = [
            (x([1]), x([1])),
            (x([65]), x([65])),
            (x([4099]), x([4099])),
            (x([5, 1, 7]), x([3, 1])),
            (x([4, 33]), x([])),
            (x([]), x([4, 33])),
            (x([9, 7]).transposed(), x([9, 7])),
            (x([9, 7]), x([9, 7]).transposed()),
            (x([9, 7]).transposed(), x([9, 7]).transposed()),
            (x([6, 11]).narrowed(1), x([6, 11]).shifted()),
            (x([3, 5, 4]).expanded(1), x([3, 5, 4]).reversed()),
            (x([2, 3, 2, 3, 2, 3]).reversed(), x([2, 1, 2, 1, 2, 1]).narrowed(2)),
        ];
        all.extend(shapes.map(|(a, b)| case(name, [left(a), right(b)], move |x| f(&x[0], &x[1]))));
    }
    for &(name, f) in RELATIONS {
        let same = [(x([65]), x([65])), (x([5, 1, 7]), x([3, 1])), (x([6, 11]).narrowed(1), x([6, 11]).transposed())];
        all.extend(same.map(|(a, b)| case(name, [a.steps(0.0), b.steps(0.0)], move |x| f(&x[0], &x[1])).constant()));
        let pairs = [
            (whole([65], -3, 3), whole([65], -3, 3)),
            (whole([5, 1, 7], -3, 3), whole([3, 1], -3, 3)),
            (whole([6, 11], -3, 3).narrowed(1), whole([6, 11], -3, 3).transposed()),
        ];
        all.extend(pairs.map(|(a, b)| case(&format!("{name}_i32"), [a, b], move |x| f(&x[0], &x[1])).constant()));
    }
    all.extend([
        // Equal ones share the gradient, as differences on both sides confirm for a pair.
        case("maximum of equals", [x([130]).steps(0.0), x([130]).steps(0.0)], |x| x[0].maximum(&x[1])).once(),
        case("minimum of equals", [x([130]).steps(0.0), x([130]).steps(0.0)], |x| x[0].minimum(&x[1])).once(),
        case("pow of a base of 0", [x([3]).listed(&[0.0, 1.5, 2.0]), x([3]).listed(&[2.0, 1.0, 3.0])], |x| {
            x[0].pow(&x[1])
        })
        .compared(),
        case("pow of negative bases", [x([5]).listed(&[-2.0, -1.5, -0.5, 2.0, -3.0])], |x| x[0].pow_scalar(3.0)),
        case("eq_scalar by eq", [x([65]).steps(0.0)], |x| x[0].eq_scalar(0.2)).constant(),
        case("where", [x([65]).detached(), x([65]), x([65])], choose),
        case("where", [x([4, 1]).detached(), x([3, 4, 5]), x([5])], choose),
        case("where", [x([6, 7]).transposed().detached(), x([6, 7]).narrowed(0), x([6, 7]).shifted()], choose),
        case("where", [x([]).detached(), x([4099]), x([])], choose),
        case("cast_i32", [x([67]).within(-9.0, 9.0)], |x| x[0].cast(DType::I32)).constant(),
        case("cast_i32", [x([5, 13]).within(-9.0, 9.0).transposed()], |x| x[0].cast(DType::I32)).constant(),
        case("cast", [x([67]).within(-9.0, 9.0)], |x| x[0].cast(DType::BF16).cast(DType::F32)).constant(),
        case("cast", [x([5, 13]).within(-300.0, 300.0).narrowed(1)], |x| {
            let all = DType::ALL.iter().map(|dtype| x[0].cast(*dtype).t().copy().cast(DType::F32));
            Tensor::stack(&all.collect::<Vec<_>>().iter().collect::<Vec<_>>(), 0)
        })
        .constant(),
        case("cast", [x([2, 31]), x([62])], |x| {
            let all = DType::ALL.iter().map(|dtype| {
                let target = x[0].cast(*dtype).copy();
                target.narrow(1, 3, 17).assign(&x[1].cast(*dtype).narrow(0, 5, 34).reshape([2, 17]));
                target.cast(DType::F32)
            });
            Tensor::stack(&all.collect::<Vec<_>>().iter().collect::<Vec<_>>(), 0)
        })
        .constant(),
        case("cast_index", [x([3, 7]), whole([2], 0, 3)], |x| x[0].index_select(0, &x[1].cast(DType::I64))),
        case("cast_f32", [whole([67], -1000, 1000)], |x| x[0].cast(DType::F32)).constant(),
        case("cast_f32", [whole([5, 13], -1000, 1000).narrowed(1)], |x| x[0].cast(DType::F32)).constant(),
        case("fill by zeros", [x([3])], |x| Tensor::zeros([65, 3], x[0].device())).constant(),
        case("fill by full", [x([3])], |x| Tensor::full([4099], 2.5f32, x[0].device())).constant(),
        case("fill of i32", [x([3])], |x| Tensor::full([63], -100i32, x[0].device())).constant(),
        case("prelu prelu_slope prelu_rest", [x([2, 3, 5]).avoiding(&[0.0]), x([3])], |x| x[0].prelu(&x[1])),
        case("prelu of one slope", [x([65]).avoiding(&[0.0]), x([1])], |x| x[0].prelu(&x[1])),
        case("glu by sigmoid", [x([3, 8, 5]).transposed()], |x| x[0].glu(1)),
        case("operators: add sub mul div affine", [x([65]), positive(x([65]))], |x| {
            -((&x[0] + &x[1]) * &x[0] - &x[1] / 2.0 + 1.0) / &x[1] * 0.5 - 3.0
        }),
        case("operators of a number and a tensor: affine reciprocal", [positive(x([65]))], |x| {
            2.0 / (1.0 + &x[0]) - (3.0 - 0.5 * &x[0]) * 2.0
        }),
        // More than 65,535 workgroups of 256 invocations.
        case("lt past 65,535 groups", [x([16_777_300]).listed(EXTREMES), x([1])], |x| x[0].lt(&x[1])).constant().big(),
        case("relu of many", [x([16_777_301]).listed(EXTREMES)], |x| x[0].relu()).constant().big(),
        case("accumulate two gradients", [x([65])], |x| x[0].exp().mul(&x[0].sin())),
        case("accumulate three gradients", [x([5, 13])], |x| x[0].add(&x[0].square()).mul(&x[0])),
        case("accumulate gradients in two orders", [x([6, 7])], |x| x[0].add(&x[0].copy().t().contiguous().t())),
        case("accumulate a repeated gradient", [x([6, 7])], |x| x[0].sum().add(&x[0].square())),
        case("accumulate many", [x([4099])], |x| x[0].exp().add(&x[0].sum())),
    ]);
    all
}

fn choose(x: &[Tensor]) -> Tensor {
    let zero = Tensor::zeros([], x[0].device());
    Tensor::where_(&x[0].detach().gt(&zero), &x[1], &x[2])
}
