//! Parts by indices, what is put there, running products, and what others make up.

use super::{Case, Input, case, whole, x};
use wgrad::KeepDims::{No, Yes};
use wgrad::{DType, NewAxis, Rest, ScatterReduction, Tensor, step};

const INF: f32 = f32::INFINITY;
const NAN: f32 = f32::NAN;

fn both((values, index): (Tensor, Tensor)) -> Tensor {
    values.add(&index.cast(DType::F32))
}

/// Indices that are known.
fn at<const N: usize>(shape: [usize; N], places: &'static [f32]) -> Input
where
    wgrad::Shape: From<[usize; N]>,
{
    x(shape).listed(places).detached()
}

fn read() -> Vec<Case> {
    let i = |name: &str, shape: Input, f: fn(&Tensor) -> Tensor| {
        case(&format!("index {name}: copy_into"), [shape], move |x| f(&x[0]).square())
    };
    vec![
        i("of one", x([3, 5]), |x| x.i(-1)),
        i("of a place", x([3, 5]).transposed(), |x| x.i((2, 4))),
        i("of a range", x([3, 5, 2]), |x| x.i((.., 1..4))),
        i("of ends", x([9]), |x| x.i(..-2)),
        i("of steps", x([3, 9]), |x| x.i((step(.., 2), step(1..8, 3)))),
        i("of the rest", x([2, 3, 4]), |x| x.i((1.., Rest, 0))),
        i("with a new axis", x([3, 4]), |x| x.i((NewAxis, .., NewAxis, 1))),
        i("past the end", x([3, 4]).narrowed(0), |x| x.i((.., 2..99))),
        case("index of nothing", [x([3, 4])], |x| x[0].i((.., 3..3))).constant(),
        case("index by a tensor: gather", [x([5, 3]), whole([2, 4], -5, 4)], |x| x[0].i(&x[1]).square()),
        case("index by a tensor in the middle: gather", [x([2, 5, 3]), whole([4], 0, 4)], |x| x[0].i((.., &x[1], 1..)))
            .defined(|x| x[0].index_select(1, &x[1]).narrow(2, 1, 2)),
        case("index by two tensors: gather", [x([5, 3]), whole([4], -5, 4), whole([4], 0, 2)], |x| {
            x[0].i((&x[1], &x[2]))
        }),
        case("index by two tensors apart: gather", [x([5, 2, 3]), whole([4, 1], 0, 4), whole([3], -3, 2)], |x| {
            x[0].i((&x[1], .., &x[2]))
        }),
        case("index by a tensor outside", [x([2, 3]), at([3], &[1.0, 5.0, -3.0])], |x| {
            x[0].detach().i((&x[1].cast(DType::I32), 0)).isnan()
        })
        .constant()
        .gives(&[0.0, 1.0, 1.0]),
    ]
}

/// Indices of which one stands for many elements.
fn shared() -> Vec<Case> {
    let rows = |n: usize| whole([n, 1], -2, 6);
    vec![
        case("gather by rows, expanded", [x([6, 5]), rows(9)], |x| {
            x[0].gather(0, &x[1].expand([9, 5])).nan_to_num(0.5, 0.0, 0.0)
        })
        .compared(),
        case("gather by columns, expanded", [x([5, 6]), whole([1, 9], 0, 6)], |x| {
            x[0].gather(1, &x[1].expand([5, 9])).square()
        }),
        case("gather by rows of a batch, expanded", [x([2, 6, 8]), whole([2, 70, 1], 0, 6)], |x| {
            x[0].gather(1, &x[1].expand([2, 70, 8])).square()
        }),
        case("gather in a batch, channels expanded", [x([2, 5, 7]), whole([2, 1, 110], -2, 9)], |x| {
            x[0].gather(2, &x[1].expand([2, 5, 110])).nan_to_num(0.5, 0.0, 0.0)
        })
        .defined(|x| x[0].gather(2, &x[1].expand([2, 5, 110]).contiguous()).nan_to_num(0.5, 0.0, 0.0))
        .compared(),
        case("gather by two lines of four, long", [x([3, 4, 70]), whole([3, 1, 300], 0, 70)], |x| {
            x[0].gather(2, &x[1].expand([3, 4, 300])).square()
        })
        .compared(),
        case("scatter_add by rows, expanded: scatter", [x([6, 5]), rows(9), x([9, 5])], |x| {
            x[0].scatter_add(0, &x[1].expand([9, 5]), &x[2]).square()
        }),
        case(
            "scatter_add in a batch, expanded: scatter",
            [x([2, 6, 4]), whole([2, 140, 1], -2, 7), x([2, 140, 4])],
            |x| x[0].scatter_add(1, &x[1].expand([2, 140, 4]), &x[2]).square(),
        )
        .defined(|x| x[0].scatter_add(1, &x[1].expand([2, 140, 4]).contiguous(), &x[2]).square()),
        case(
            "scatter in a batch, channels expanded: scatter",
            [x([2, 5, 7]), whole([2, 1, 105], 0, 7), x([2, 5, 105])],
            |x| x[0].scatter(2, &x[1].expand([2, 5, 105]), &x[2]).square(),
        )
        .compared(),
        case("scatter_reduce by rows, expanded: scatter", [x([6, 5]).distinct(), rows(9), x([9, 5]).distinct()], |x| {
            x[0].scatter_reduce(0, &x[1].expand([9, 5]), &x[2], ScatterReduction::Amax, true)
        })
        .compared(),
        case(
            "scatter_reduce in a batch, expanded: scatter",
            [x([2, 6, 4]), whole([2, 135, 1], 0, 6), x([2, 135, 4])],
            |x| x[0].scatter_reduce(1, &x[1].expand([2, 135, 4]), &x[2], ScatterReduction::Mean, false).square(),
        )
        .compared(),
    ]
}

fn written() -> Vec<Case> {
    vec![
        case("index_put of a row: copy_into", [x([3, 5]), x([5])], |x| x[0].index_put(1, &x[1]).square()),
        case("index_put of steps: copy_into", [x([3, 8]).transposed(), x([])], |x| {
            x[0].index_put((step(1.., 3), ..-1), &x[1]).exp()
        }),
        case("index_put by a tensor: scatter", [x([5, 3]), x([4, 3]), whole([4], -5, 4)], |x| {
            x[0].index_put(&x[2], &x[1]).square()
        })
        .compared(),
        case(
            "index_put by tensors: scatter",
            [x([5, 2, 3]), x([2]), at([3], &[4.0, 0.0, -1.0]), at([3], &[0.0, 2.0, 1.0])],
            |x| {
                let [a, b] = [2, 3].map(|i| x[i].cast(DType::I32));
                x[0].index_put((&a, .., &b), &x[1]).square()
            },
        ),
        case("index_put_add of a column", [x([3, 5]), x([3])], |x| x[0].index_put_add((.., 2), &x[1]).square()),
        case("index_put_add by a tensor: scatter", [x([5, 3]), x([7, 3]), whole([7], -5, 4)], |x| {
            x[0].index_put_add(&x[2], &x[1]).square()
        }),
        case("index_add by scatter", [x([5, 3]), x([7, 3]), whole([7], 0, 5)], |x| {
            x[0].index_add(0, &x[2], &x[1]).square()
        }),
        case("index_copy by scatter", [x([5, 2]).transposed(), x([3, 2]), at([3], &[4.0, 1.0, 0.0])], |x| {
            x[0].index_copy(0, &x[2].cast(DType::I32), &x[1]).square()
        }),
        case("index_fill by scatter", [x([2, 5]), whole([3], 0, 4)], |x| x[0].index_fill(1, &x[1], 0.5).square()),
        case("scatter_add", [x([5, 3]), x([7, 3]), whole([7, 3], -1, 5)], |x| {
            // A place outside gets nothing, and has a gradient that is NaN.
            x[0].detach().scatter_add(0, &x[2], &x[1].detach())
        })
        .constant(),
        case("scatter_add", [x([5, 3]), x([7, 3]).narrowed(0), whole([7, 3], 0, 4)], |x| {
            x[0].scatter_add(0, &x[2], &x[1]).square()
        }),
        case("scatter_add to a part", [x([4, 5]), x([4, 6]), whole([2, 3], 0, 4)], |x| {
            x[0].scatter_add(1, &x[2], &x[1]).square()
        }),
        case("scatter", [x([4, 5]), x([4, 2]), at([4, 2], &[3.0, 0.0, 1.0, 4.0, 2.0, 0.0, 4.0, 1.0])], |x| {
            x[0].scatter(1, &x[2].cast(DType::I32), &x[1]).square()
        }),
        case("scatter of several for one place", [x([4]), x([5]), whole([5], 0, 2)], |x| {
            x[0].scatter(0, &x[2], &x[1]).square()
        })
        .compared(),
        case("scatter of a number", [x([4, 5]), whole([2, 5], 0, 3)], |x| x[0].scatter_value(0, &x[1], 0.7).square()),
        case("scatter_add of lines of many", [x([2, 9, 3]), x([2, 300, 3]), whole([2, 300, 3], 0, 9)], |x| {
            x[0].scatter_add(1, &x[2], &x[1])
        })
        .compared(),
        case("index_add of many", [x([300, 12]), x([1700, 12]), whole([1700], 0, 300)], |x| {
            x[0].index_add(0, &x[2], &x[1])
        })
        .compared(),
        case("index_copy of many", [x([3, 70, 2]), x([3, 700, 2]), whole([700], 0, 70)], |x| {
            x[0].index_copy(1, &x[2], &x[1])
        })
        .compared(),
        case("scatter past 32,768 indices", [x([3]), x([70_000]), whole([70_000], 0, 2)], |x| {
            x[0].scatter_add(0, &x[2], &x[1])
        })
        .compared(),
    ]
}

fn reduced() -> Vec<Case> {
    use ScatterReduction::{Amax, Amin, Mean, Prod, Sum};
    let mut all = Vec::new();
    for reduction in [Sum, Prod, Mean, Amax, Amin] {
        for include in [true, false] {
            let name = format!("scatter reduced by {reduction:?}, {include}:");
            // Differences of long products tell their slopes where the factors are near 1.
            let input = |sizes: [usize; 2]| match reduction {
                Prod => x(sizes).within(0.5, 1.5),
                _ => x(sizes).distinct(),
            };
            all.push(case(&name, [input([4, 3]), input([7, 3]), whole([7, 3], 0, 2)], move |x| {
                x[0].scatter_reduce(0, &x[2], &x[1], reduction, include)
            }));
        }
    }
    let factors = [x([2]).listed(&[0.0, 2.0]), x([4]).listed(&[3.0, 0.0, 5.0, 7.0]), at([4], &[0.0, 1.0, 1.0, 0.0])];
    all.push(
        case("scatter reduced to a product with zeros:", factors, |x| {
            x[0].scatter_reduce(0, &x[2].cast(DType::I32), &x[1], Prod, true)
        })
        .compared()
        .gives(&[0.0, 0.0])
        .sloped(0, &[21.0, 0.0])
        .sloped(1, &[0.0, 10.0, 0.0, 0.0]),
    );
    all.push(
        case(
            "scatter reduced to a largest of equals:",
            [x([1]).listed(&[2.0]), x([3]).listed(&[2.0, 1.0, 2.0])],
            |x| x[0].scatter_reduce(0, &Tensor::full([3], 0, x[0].device()), &x[1], Amax, true),
        )
        .compared()
        .gives(&[2.0])
        .sloped(0, &[1.0 / 3.0])
        .sloped(1, &[1.0 / 3.0, 0.0, 1.0 / 3.0]),
    );
    all
}

fn running() -> Vec<Case> {
    let factor = |x: Input| x.within(0.6, 1.4);
    vec![
        case("cumprod, and recurrence in its gradient", [factor(x([65]))], |x| x[0].cumprod(0)).once(),
        case("cumprod", [factor(x([3, 7, 5]).transposed())], |x| x[0].cumprod(1)),
        case("cumprod with zeros", [x([2, 4]).listed(&[2.0, 0.0, 3.0, 0.0, 1.5, 2.0, 0.0])], |x| x[0].cumprod(1)),
        case("cumprod of a line in parts", [x([9001]).within(0.999, 1.001)], |x| x[0].cumprod(0)).compared(),
        case("cumprod of nothing", [x([3, 0])], |x| x[0].cumprod(1)).constant(),
        case("prod by cumprod", [factor(x([3, 7]))], |x| x[0].prod_dim(-1, Yes)),
        case("prod of all by cumprod", [x([5]).listed(&[2.0, -3.0, 0.5])], |x| x[0].prod()),
        case("prod with a zero", [x([3]).listed(&[2.0, 0.0, 3.0])], |x| x[0].prod())
            .gives(&[0.0])
            .sloped(0, &[0.0, 6.0, 0.0]),
        case("prod of nothing", [x([2, 0])], |x| x[0].detach().prod_dim(1, No)).constant().gives(&[1.0; 2]),
        case("cummax", [x([5, 13]).distinct()], |x| both(x[0].cummax(1))),
        case("cummax of a line in parts", [x([5003]).steps(0.0)], |x| both(x[0].cummax(0))).compared(),
        case("cummin", [x([7, 5]).distinct().transposed()], |x| both(x[0].cummin(0))),
        case("cummax of NaN", [x([5]).listed(&[1.0, 1.0, NAN, 2.0, NAN])], |x| x[0].cummax(0).1.cast(DType::F32))
            .constant()
            .gives(&[0.0, 1.0, 2.0, 2.0, 4.0]),
    ]
}

fn made_up() -> Vec<Case> {
    vec![
        case("outer by mul", [x([5]), x([7])], |x| x[0].outer(&x[1])),
        case("addmm by matmul", [x([7]), x([5, 3]), x([3, 7])], |x| x[0].addmm(&x[1], &x[2], 0.5, 2.0)),
        case("addmm without itself", [x([1]).listed(&[NAN]).detached(), x([5, 3]), x([3, 7])], |x| {
            x[0].addmm(&x[1], &x[2], 0.0, 1.0)
        }),
        case("baddbmm by matmul", [x([2, 5, 7]), x([2, 5, 3]), x([2, 3, 7])], |x| x[0].baddbmm(&x[1], &x[2], 1.0, 1.0)),
        case("lerp", [x([65]), x([65])], |x| x[0].lerp(&x[1], 0.3).add(&x[0].lerp(&x[1], 0.8))),
        case("lerp_by", [x([5, 7]), x([7]), x([5, 1])], |x| x[0].lerp_by(&x[1], &x[2])),
        case("addcmul", [x([5, 7]), x([7]), x([5, 1])], |x| x[0].addcmul(&x[1], &x[2], 0.5)),
        case("addcdiv", [x([5, 7]), x([7]), x([5, 1]).within(0.5, 2.0)], |x| x[0].addcdiv(&x[1], &x[2], -0.5)),
        case("nan_to_num", [x([4]).listed(&[NAN, INF, -INF, 1.5])], |x| x[0].nan_to_num(0.5, 9.0, -9.0))
            .compared()
            .gives(&[0.5, 9.0, -9.0, 1.5])
            .sloped(0, &[0.0, 0.0, 0.0, 1.0]),
        case(
            "clamp_by",
            [
                x([5, 7]).listed(&[-1.9, 1.8, 0.0, 0.2, -1.4, 1.5]),
                x([7]).within(-1.0, -0.5),
                x([5, 1]).within(0.5, 1.0),
            ],
            |x| x[0].clamp_by(Some(&x[1]), Some(&x[2])),
        ),
        case("norm_of 3", [x([5, 7]).avoiding(&[0.0])], |x| x[0].norm_of(3.0, &[1], No)),
        case("norm_of 1.5", [x([5, 7]).avoiding(&[0.0])], |x| x[0].norm_of(1.5, &[-1, 0], Yes)),
        case("norm_of 1", [x([5, 7]).avoiding(&[0.0])], |x| x[0].norm_of(1.0, &[0], No)),
        case("norm_of infinity", [x([5, 7]).distinct()], |x| x[0].norm_of(INF, &[1], No)).compared(),
        case("norm_of 0", [x([3]).listed(&[0.0, 2.0, -1.0])], |x| x[0].norm_of(0.0, &[0], No)).compared().gives(&[2.0]),
        case("norm_of 3 of zeros", [x([3]).listed(&[0.0])], |x| x[0].norm_of(3.0, &[0], No))
            .compared()
            .gives(&[0.0])
            .sloped(0, &[0.0; 3]),
        case("normalize", [x([5, 7])], |x| x[0].normalize(2.0, 1, 1e-12)),
        case("cdist", [x([2, 4, 3]), x([5, 3]).within(2.5, 4.0)], |x| x[0].cdist(&x[1], 2.0)),
        case("cdist by matmul", [x([2, 4, 3]), x([27, 3]).within(2.5, 4.0)], |x| x[0].cdist(&x[1], 2.0)),
        case("cdist of equal rows", [x([2, 3]).listed(&[1.0]), x([1, 3]).listed(&[1.0])], |x| x[0].cdist(&x[1], 2.0))
            .compared()
            .gives(&[0.0; 2])
            .sloped(0, &[0.0; 6]),
        case("tensordot by matmul", [x([2, 3, 4]), x([3, 4, 5])], |x| x[0].tensordot(&x[1], 2)),
        case("kron by mul", [x([2, 3]), x([4])], |x| x[0].kron(&x[1])),
        case("trace", [x([4, 5])], |x| x[0].trace()),
        case("quantile by sort", [x([4, 7]).distinct()], |x| x[0].quantile(0.3, 1, No)),
        case("quantile of NaN", [x([3]).listed(&[1.0, NAN, 2.0])], |x| x[0].quantile(0.5, 0, Yes))
            .compared()
            .gives(&[NAN]),
    ]
}

fn composed() -> Vec<Case> {
    let odd = || [x([4]).listed(&[NAN, 1.0, INF, 0.0]).detached(), x([4]).listed(&[1.0, NAN, INF, 0.0]).detached()];
    vec![
        case("logaddexp by logaddexp_share", [x([5, 7]), x([7])], |x| x[0].logaddexp(&x[1])),
        case(
            "logaddexp by logaddexp_share far apart",
            [x([67]).within(-90.0, 90.0), x([67]).within(-90.0, 90.0)],
            |x| x[0].logaddexp(&x[1]),
        )
        .compared(),
        case(
            "logaddexp of one that is none",
            [x([3]).listed(&[-INF, 2.0, -INF]), x([3]).listed(&[1.0, -INF, -INF])],
            |x| x[0].logaddexp(&x[1]),
        )
        .compared()
        .gives(&[1.0, 2.0, -INF])
        .sloped(0, &[0.0, 1.0, 0.5]),
        case("logaddexp of what is no number", odd(), |x| x[0].logaddexp(&x[1])).constant().gives(&[
            NAN,
            NAN,
            INF,
            std::f32::consts::LN_2,
        ]),
        case("hypot", [x([5, 7]).within(0.3, 2.0), x([7])], |x| x[0].hypot(&x[1])),
        case("xlogy", [x([5, 7]), x([7]).within(0.3, 2.0)], |x| x[0].xlogy(&x[1])),
        case("xlogy of 0", [x([3]).listed(&[0.0]), x([3]).listed(&[0.0, -1.0, INF]).detached()], |x| x[0].xlogy(&x[1]))
            .compared()
            .gives(&[0.0; 3]),
        case("logit", [x([65]).within(0.1, 0.9)], |x| x[0].logit(0.0)),
        case("sinc", [x([5]).listed(&[0.0, 0.5, -1.5, 2.0, 0.25])], |x| x[0].sinc()).compared(),
        case("fmax", [x([65]).steps(0.0), x([65]).steps(0.05)], |x| x[0].fmax(&x[1])),
        case("fmax of NaN", odd(), |x| x[0].fmax(&x[1])).constant().gives(&[1.0, 1.0, INF, 0.0]),
        case("fmin", [x([65]).steps(0.0), x([65]).steps(0.05)], |x| x[0].fmin(&x[1])),
        case("isclose", odd(), |x| x[0].isclose(&x[1], 1e-5, 1e-8)).constant().gives(&[0.0, 0.0, 1.0, 1.0]),
        case("diff", [x([5, 7])], |x| x[0].diff(1).square()),
        case("dist", [x([5, 7]), x([7])], |x| x[0].dist(&x[1], 2.0)),
        case("nanmean", [x([2, 3]).listed(&[1.0, NAN, 3.0, NAN, NAN, NAN])], |x| x[0].nanmean(&[1], No))
            .compared()
            .gives(&[2.0, NAN]),
        case("aminmax", [x([5, 7]).distinct()], |x| {
            let (low, high) = x[0].aminmax(&[1], No);
            low.mul(&high)
        }),
        case("diag_embed", [x([3, 4])], |x| x[0].diag_embed().square()),
        case("rot90", [x([3, 4])], |x| x[0].rot90(1, 0, 1).mul(&x[0].rot90(-3, 0, 1))),
        case("take by gather", [x([3, 4]), whole([2, 5], 0, 11)], |x| x[0].take(&x[1]).square()),
        case("take_along_dim by gather", [x([3, 4]), whole([1, 2], 0, 3)], |x| x[0].take_along_dim(&x[1], 1).square()),
        case("tensor_split by narrow", [x([3, 7])], |x| x[0].tensor_split(3, 1)[0].square()),
        case("unflatten", [x([3, 8])], |x| x[0].unflatten(-1, [2, -1]).square()),
        case("cross by cat", [x([4, 3]), x([4, 3])], |x| x[0].cross(&x[1], 1)),
        case("cov by matmul", [x([3, 7])], |x| x[0].cov(1)),
        case("channel_shuffle", [x([2, 6, 3])], |x| x[0].channel_shuffle(3).square()),
    ]
}

pub fn cases() -> Vec<Case> {
    [read(), shared(), written(), reduced(), running(), made_up(), composed()].into_iter().flatten().collect()
}
