//! Order, repetition, whole numbers, and questions with yes and no for an answer.

use super::{Case, Input, case, whole, x};
use wgrad::KeepDims::{No, Yes};
use wgrad::{DType, Order, Rounding, Tensor};

type Two = fn(&Tensor, &Tensor) -> Tensor;

const INF: f32 = f32::INFINITY;
const NAN: f32 = f32::NAN;

/// A value and its index in one; indices carry no gradient.
fn both((values, index): (Tensor, Tensor)) -> Tensor {
    values.add(&index.cast(DType::F32))
}

const WHOLE: &[(&str, Two)] = &[
    ("add_i32", Tensor::add),
    ("sub_i32", Tensor::sub),
    ("mul_i32", Tensor::mul),
    ("maximum_i32", |a, b| a.maximum(b)),
    ("minimum_i32", |a, b| a.minimum(b)),
    ("floor_divide_i32", |a, b| a.floor_divide(b)),
    ("trunc_divide_i32", |a, b| a.div_rounded(b, Rounding::Trunc)),
    ("remainder_i32", |a, b| a.remainder(b)),
    ("fmod_i32", |a, b| a.fmod(b)),
    ("bitwise_and_i32", Tensor::bitwise_and),
    ("bitwise_or_i32", Tensor::bitwise_or),
    ("bitwise_xor_i32", Tensor::bitwise_xor),
    ("left_shift_i32", Tensor::bitwise_left_shift),
    ("right_shift_i32", Tensor::bitwise_right_shift),
    ("gcd_i32", Tensor::gcd),
];

fn integers() -> Vec<Case> {
    let mut all = Vec::new();
    for &(name, f) in WHOLE {
        let pairs = [
            (whole([65], -9, 9), whole([65], -4, 4)),
            (whole([5, 1, 7], -99, 99), whole([3, 1], -7, 7)),
            (whole([6, 11], -9, 9).narrowed(1), whole([6, 11], -3, 3).transposed()),
            (whole([65], -1_000_000_000, 1_000_000_000), whole([65], -2, 2)),
        ];
        all.extend(pairs.map(|(a, b)| case(name, [a, b], move |x| f(&x[0], &x[1])).constant()));
    }
    let sums = [whole([5, 13], -99, 99).transposed(), whole([3, 4, 5], -1_000_000_000, 1_000_000_000).narrowed(1)];
    all.extend(sums.map(|v| case("sum_i32 of rows", [v], |x| x[0].sum_dims(&[-1], No)).constant()));
    all.extend([
        case("sum_i32 of all", [whole([3, 4099], -99, 99)], |x| x[0].sum()).constant(),
        case("sum_i32 of nothing", [whole([3, 0], 0, 1)], |x| x[0].sum_dims(&[1], Yes).cast(DType::F32))
            .constant()
            .gives(&[0.0; 3]),
        case("operators of whole numbers: add_i32 sub_i32 mul_i32", [whole([65], -9, 9)], |x| (&x[0] + 3) * 2 - &x[0])
            .constant(),
        case("div of whole numbers", [whole([65], -9, 9)], |x| &x[0] / 4).constant(),
        case("operators of whole numbers beside floats: affine", [x([65])], |x| (&x[0] + 3) * 2 / 4 - 1),
    ]);
    all
}

fn rebinding() -> Case {
    case("rebinding operators", [x([65]), x([65])], |x| {
        let mut y = x[0].exp();
        y += &x[1];
        y *= x[0].clone();
        y -= 0.5;
        y /= 2;
        y
    })
    .defined(|x| (x[0].exp() + &x[1]) * &x[0] * 0.5 - 0.25)
}

fn answers() -> Vec<Case> {
    let odd = || x([6]).listed(&[0.0, NAN, INF, -INF, -0.0, 2.5]);
    vec![
        case("isnan by ne", [odd()], |x| x[0].isnan()).constant().gives(&[0.0, 1.0, 0.0, 0.0, 0.0, 0.0]),
        case("isinf by eq", [odd()], |x| x[0].isinf()).constant().gives(&[0.0, 0.0, 1.0, 1.0, 0.0, 0.0]),
        case("isfinite by lt", [odd()], |x| x[0].isfinite()).constant().gives(&[1.0, 0.0, 0.0, 0.0, 1.0, 1.0]),
        case("logical_not by eq", [odd()], |x| x[0].logical_not()).constant().gives(&[1.0, 0.0, 0.0, 0.0, 1.0, 0.0]),
        case("sign of what is no number", [odd()], |x| x[0].sign()).compared().gives(&[0.0, 0.0, 1.0, -1.0, 0.0, 1.0]),
        case("logical_and", [whole([65], -1, 2), x([65]).steps(0.0)], |x| x[0].logical_and(&x[1])).constant(),
        case("logical_or", [whole([5, 1], -1, 2), x([1, 7]).steps(0.0)], |x| x[0].logical_or(&x[1])).constant(),
        case("logical_xor", [whole([65], -1, 2), x([65]).steps(0.0)], |x| x[0].logical_xor(&x[1])).constant(),
        case("any", [whole([5, 7], 0, 2)], |x| x[0].any_dims(&[1], No)).constant(),
        case("all", [whole([5, 3], 0, 9)], |x| x[0].all_dims(&[0], Yes)).constant(),
        case("any of nothing", [x([2, 0])], |x| x[0].any_dims(&[1], No)).constant().gives(&[0.0; 2]),
        case("all of nothing", [x([2, 0])], |x| x[0].all_dims(&[1], No)).constant().gives(&[1.0; 2]),
        case("any of NaN", [x([2]).listed(&[0.0, NAN])], |x| x[0].any()).constant().gives(&[1.0]),
        case("all of NaN", [x([2]).listed(&[1.0, NAN])], |x| x[0].all()).constant().gives(&[1.0]),
        case("count_nonzero", [whole([5, 7], 0, 2)], |x| x[0].count_nonzero(&[0], No)).constant(),
        case("comparisons with numbers", [x([65]).steps(0.0)], |x| {
            x[0].gt(0.15) + x[0].le(0) + x[0].ge(-1) + x[0].lt(0.5) + x[0].ne(1) + x[0].eq(0.2)
        })
        .constant(),
        case("comparisons with whole numbers", [whole([65], -2, 3)], |x| x[0].gt(0) + x[0].ne(1)).constant(),
    ]
}

fn rounded() -> Vec<Case> {
    let halves = || x([8]).listed(&[-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 0.49, 1e9]);
    let a = || x([8]).listed(&[7.0, -7.0, 7.0, -7.0, 1.0, 0.35, -5.0, 1e30]);
    let b = || x([8]).listed(&[3.0, 3.0, -3.0, -3.0, 0.1, 0.1, INF, 3.0]);
    vec![
        case("round of halves", [halves()], |x| x[0].round())
            .compared()
            .gives(&[-2.0, -2.0, 0.0, 0.0, 2.0, 2.0, 0.0, 1e9])
            .sloped(0, &[0.0; 8]),
        case("remainder of signs", [a().detached(), b().detached()], |x| x[0].remainder(&x[1])).constant().gives(&[
            1.0,
            2.0,
            -2.0,
            -1.0,
            0.099_999_99,
            0.049_999_99,
            INF,
            0.0,
        ]),
        case("fmod of signs", [a().detached(), b().detached()], |x| x[0].fmod(&x[1])).constant().gives(&[
            1.0,
            -1.0,
            1.0,
            -1.0,
            0.099_999_99,
            0.049_999_99,
            -5.0,
            0.0,
        ]),
        case("fmod by 0 and of infinity", [x([3]).listed(&[1.0, INF, NAN]), x([3]).listed(&[0.0, 2.0, 1.0])], |x| {
            x[0].fmod(&x[1])
        })
        .constant()
        .gives(&[NAN, NAN, NAN]),
        case("fmod of any", [x([4099]), x([4099]).avoiding(&[0.0])], |x| x[0].fmod(&x[1])).compared(),
        case("remainder of any", [x([33, 7]), x([7]).avoiding(&[0.0])], |x| x[0].remainder(&x[1])).compared(),
        case("fmod of far sizes", [x([65]).within(1e20, 1e30), x([65]).within(1e-10, 1e-5)], |x| x[0].fmod(&x[1]))
            .constant(),
        case("floor_divide of signs", [a().detached(), b().detached()], |x| x[0].floor_divide(&x[1]))
            .constant()
            .gives(&[2.0, -3.0, -3.0, 2.0, 9.0, 3.0, -1.0, 3.333_333_3e29]),
        case("div_rounded by where", [x([65]).steps(0.0), x([65]).steps(0.05)], |x| {
            x[0].div_rounded(&x[1], Rounding::Floor)
        })
        .compared(),
        case("div_rounded towards 0", [x([65]).steps(0.0), x([65]).steps(0.05)], |x| {
            x[0].div_rounded(&x[1], Rounding::Trunc)
        })
        .compared(),
        case(
            "atan2 at ends",
            [
                x([7]).listed(&[0.0, 0.0, -0.0, INF, 1.0, -INF, 0.0]),
                x([7]).listed(&[1.0, -1.0, -1.0, INF, 0.0, -INF, 0.0]),
            ],
            |x| x[0].atan2(&x[1]),
        )
        .compared()
        .gives(&[
            0.0,
            std::f32::consts::PI,
            -std::f32::consts::PI,
            std::f32::consts::FRAC_PI_4,
            std::f32::consts::FRAC_PI_2,
            -3.0 * std::f32::consts::FRAC_PI_4,
            0.0,
        ]),
    ]
}

fn sorted() -> Vec<Case> {
    let sort = |shape: Input, dim: isize, order: Order| {
        case(&format!("sort {order:?} along {dim} by topk of"), [shape], move |x| both(x[0].sort(dim, order)))
    };
    vec![
        sort(x([65]).distinct(), 0, Order::Ascending),
        sort(x([4, 9]).distinct().transposed(), 0, Order::Descending),
        sort(x([3, 2, 40]).distinct(), -1, Order::Ascending),
        sort(x([]), 0, Order::Ascending).constant(),
        sort(x([3, 0]), 1, Order::Descending).constant(),
        sort(x([5003]).steps(0.0), 0, Order::Descending).compared(),
        case("argsort by topk", [x([4, 9]).steps(0.0)], |x| x[0].argsort(1, Order::Descending)).constant(),
        case("argsort of NaN by topk", [x([5]).listed(&[1.0, NAN, -INF, NAN, INF])], |x| {
            x[0].argsort(0, Order::Ascending).cast(DType::F32)
        })
        .constant()
        .gives(&[2.0, 0.0, 4.0, 1.0, 3.0]),
        case("argmin by argmax", [x([5, 7]).steps(0.0)], |x| x[0].argmin(0)).constant(),
        case("argmin of NaN by argmax", [x([4]).listed(&[1.0, -INF, NAN, NAN])], |x| x[0].argmin(0).cast(DType::F32))
            .constant()
            .gives(&[2.0]),
        case("max_dim by argmax and gather", [x([5, 7]).distinct()], |x| both(x[0].max_dim(1, No))),
        case("max_dim by argmax and gather", [x([5, 7]).transposed().distinct()], |x| both(x[0].max_dim(0, Yes))),
        case("max_dim of equals", [x([3]).listed(&[1.0, 2.0, 2.0])], |x| x[0].max_dim(0, No).0)
            .compared()
            .gives(&[2.0])
            .sloped(0, &[0.0, 1.0, 0.0]),
        case("min_dim by argmax and gather", [x([3, 4, 5]).distinct()], |x| both(x[0].min_dim(-2, No))),
        case("min_dim of a scalar", [x([])], |x| both(x[0].min_dim(0, No))),
        case("kthvalue by topk", [x([5, 7]).distinct()], |x| both(x[0].kthvalue(3, 1, Yes))),
        case("median by topk", [x([5, 8]).distinct()], |x| both(x[0].median_dim(1, No))),
        case("median of all by topk", [x([5, 7]).distinct()], |x| x[0].median()),
        case("median of NaN", [x([3]).listed(&[1.0, NAN, 3.0])], |x| both(x[0].median_dim(0, No)))
            .compared()
            .gives(&[NAN]),
    ]
}

fn repeated() -> Vec<Case> {
    vec![
        case("repeat by copy", [x([3, 5])], |x| x[0].repeat([2, 3])),
        case("repeat by copy", [x([3, 5]).transposed()], |x| x[0].repeat((2, 1, 3)).square()),
        case("repeat by copy", [x([2, 1, 2, 1, 2, 2]).reversed()], |x| x[0].repeat([1, 2, 1, 2, 2, 1])),
        case("repeat to nothing", [x([3, 5])], |x| x[0].repeat([2, 0])).constant(),
        case("repeat of a scalar", [x([])], |x| x[0].repeat(3)),
        case("tile by copy", [x([3, 5])], |x| x[0].tile(2)),
        case("repeat of i32 by copy", [whole([7], 0, 9)], |x| x[0].repeat([2, 1])).constant(),
        case("repeat_interleave by copy", [x([3, 5])], |x| x[0].repeat_interleave(3, 1)),
        case("repeat_interleave by copy", [x([3, 5]).narrowed(0)], |x| x[0].repeat_interleave(2, 0)),
        case("repeat_interleave_each by gather", [x([3, 5])], |x| x[0].repeat_interleave_each(&[2, 0, 3], 0)),
        case("unbind by narrow", [x([3, 5])], |x| x[0].unbind(1)[3].mul(&x[0].unbind(-1)[0])),
        case("movedim by permute", [x([2, 3, 4])], |x| x[0].movedim(0, -1).square()),
        case("movedim of two by permute", [x([2, 3, 4, 5])], |x| x[0].movedim([0, 1], [-1, 0]).square())
            .defined(|x| x[0].permute(&[1, 2, 3, 0]).square()),
        case("roll by cat", [x([3, 5])], |x| x[0].roll(-2, 1).roll(4, 0)),
        case("linspace", [x([1])], |x| Tensor::linspace(-1.0, 3.0, 5, x[0].device()))
            .constant()
            .gives(&[-1.0, 0.0, 1.0, 2.0, 3.0]),
        case("eye", [x([1])], |x| Tensor::eye(2, 3, x[0].device())).constant().gives(&[1.0, 0.0, 0.0, 0.0, 1.0, 0.0]),
        case("meshgrid by expand", [x([3]), x([4])], |x| {
            let grid = Tensor::meshgrid(&[&x[0], &x[1]]);
            grid[0].mul(&grid[1])
        })
        .defined(|x| x[0].unsqueeze(1).mul(&x[1])),
        case("std", [x([5, 7])], |x| x[0].std_dims(&[1], 1, Yes)),
        case("std of all", [x([5, 7])], |x| x[0].std(0)),
        case("std of equals", [x([2, 2]).listed(&[2.0])], |x| x[0].std_dims(&[1], 1, No))
            .compared()
            .gives(&[0.0; 2])
            .sloped(0, &[0.0; 4]),
    ]
}

pub fn cases() -> Vec<Case> {
    let lists = [integers(), answers(), rounded(), sorted(), repeated(), vec![rebinding()]];
    lists.into_iter().flatten().collect()
}
