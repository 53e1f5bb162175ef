//! Copies and views.

use super::{Case, Input, case, whole, x};
use wgrad::{Extreme, Shape, Tensor};

fn topk(shape: Input, k: usize, dim: isize, extreme: Extreme) -> Case {
    case(&format!("topk of {k} {extreme:?} along {dim} of"), [shape], move |x| {
        let (values, index) = x[0].topk(k, dim, extreme);
        // Values and places in one, where places carry no gradient.
        values.add(&index.cast(wgrad::DType::F32))
    })
}

pub fn cases() -> Vec<Case> {
    let views = || {
        [
            x([1]),
            x([67]).shifted(),
            x([5, 13]).transposed(),
            x([63, 65]).transposed(),
            x([3, 4, 5]).narrowed(1),
            x([6, 7]).expanded(0),
            x([2, 3, 4, 5, 2, 3]).reversed(),
        ]
    };
    let each = |name: &'static str, f: fn(&Tensor) -> Tensor| views().map(move |v| case(name, [v], move |x| f(&x[0])));
    let flipped = |shape: Input, dims: &'static [isize]| case("flip by copy", [shape], move |x| x[0].flip(dims));
    let mut all = Vec::new();
    all.extend(each("copy", Tensor::copy));
    all.extend(each("contiguous by copy", |x| x.contiguous().square()));
    all.extend(each("flatten by copy", |x| x.flatten(0)));
    all.extend(each("reshape", |x| x.reshape([1, -1, 1])));
    all.extend([
        // Blocks of 4 x 4 are turned where all lies by fours; not where a size or the start does not.
        case("copy by blocks", [x([12, 8]).transposed()], |x| x[0].contiguous()).constant(),
        case("copy by blocks", [x([3, 8, 5, 12])], |x| x[0].permute(&[0, 3, 2, 1]).contiguous()),
        case("copy by blocks", [x([4, 3, 8, 2])], |x| x[0].permute(&[3, 2, 1, 0]).contiguous()),
        case("copy by blocks", [x([2, 24, 20])], |x| {
            x[0].narrow(1, 8, 12).narrow(2, 4, 8).transpose(1, 2).contiguous()
        }),
        case("copy by blocks, not from there", [x([2, 24, 20])], |x| x[0].narrow(2, 3, 8).transpose(1, 2).contiguous()),
        case("copy by blocks of what is repeated", [x([8, 4])], |x| {
            x[0].t().unsqueeze(1).expand([4, 3, 8]).contiguous()
        }),
        case("copy of i32", [whole([7, 9], -99, 99).transposed()], |x| x[0].contiguous()).constant(),
        // Gradients of parts: side by side, with gaps, over one another, along two dimensions, and beside that of the whole.
        case("copy_into of parts that fill the whole", [x([4, 7])], |x| {
            let [a, b, c] = [(3, 4), (0, 1), (1, 2)].map(|(start, len)| x[0].narrow(1, start, len));
            Tensor::cat(&[&a.square(), &b.exp(), &c.sin()], 1)
        }),
        case("accumulate of parts in all places", [x([4, 7])], |x| {
            let [a, b, c] = [(0, 3), (2, 3), (5, 1)].map(|(start, len)| x[0].narrow(1, start, len));
            let rows = x[0].narrow(0, 1, 2).sum().add(&x[0].narrow(0, 0, 4).mean());
            a.mul(&b).add(&c).add(&rows).add(&x[0].narrow(1, 4, 3).mul(&x[0].sum()))
        }),
        case(
            "copy past 65,535 groups",
            [x([4099, 4099]).listed(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).transposed()],
            |x| x[0].contiguous(),
        )
        .constant()
        .big(),
        case("narrow to nothing, beside others", [x([6, 4, 2]), x([6, 4, 2])], |x| {
            Tensor::cat(&[&x[0], &x[1].narrow(1, 4, 0)], 1).square()
        }),
        case("sum of nothing at the end of a buffer", [x([64])], |x| {
            x[0].narrow(0, 64, 0).sum() + x[0].narrow(0, 0, 1)
        }),
        case("permute", [x([3, 4, 5])], |x| x[0].permute(&[2, 0, 1]).square()),
        case("transpose", [x([3, 4, 5]).narrowed(2)], |x| x[0].transpose(0, -1)),
        case("t", [x([5, 13])], |x| x[0].t().contiguous().exp()),
        case("expand", [x([3, 1, 5])], |x| x[0].expand([2, 3, 4, 5]).square()),
        case("expand a scalar", [x([])], |x| x[0].expand([65])),
        case("unsqueeze and squeeze", [x([5, 7])], |x| x[0].unsqueeze(1).square().squeeze(-2)),
        case("pad by narrow", [x([9])], |x| x[0].narrow(0, 2, 5)),
        case("pad by narrow", [x([5, 9, 3])], |x| x[0].narrow(1, 3, 5).square()),
        case("pad by narrow twice", [x([9, 7]).transposed()], |x| x[0].narrow(1, 1, 5).narrow(0, 3, 4)),
        case("pad by narrow to nothing but one", [x([67])], |x| x[0].narrow(0, 66, 1)),
        case("copy_into by cat", [x([3, 4]), x([3, 1]), x([3, 6])], |x| Tensor::cat(&[&x[0], &x[1], &x[2]], 1)),
        case("copy_into by cat", [x([3, 4]).transposed(), x([5, 4]).narrowed(1)], |x| Tensor::cat(&[&x[0], &x[1]], 0)),
        case("copy_into by cat", [x([2, 3]).expanded(0), x([67, 3]).shifted()], |x| Tensor::cat(&[&x[0], &x[1]], -2)),
        case("copy_into by cat of i32", [whole([3], 0, 9), whole([4], 0, 9)], |x| Tensor::cat(&[&x[0], &x[1]], 0))
            .constant(),
        case("copy_into by cat of one twice", [x([5])], |x| Tensor::cat(&[&x[0], &x[0]], 0)),
        case("copy_into by stack", [x([5, 7]), x([5, 7]).transposed()], |x| Tensor::stack(&[&x[0], &x[1]], 1)),
        case("pad", [x([3, 5])], |x| x[0].pad(&[(1, 2)], 0.5)),
        case("pad by fours", [x([3, 8])], |x| x[0].pad(&[(4, 8), (1, 1)], 0.5)),
        case("pad by fours, rows whole", [x([3, 2, 4])], |x| x[0].pad(&[(0, 0), (0, 0), (2, 1)], -0.5)),
        case("pad by fours of images, channels last", [x([2, 6, 5, 4])], |x| {
            x[0].permute(&[0, 3, 1, 2]).pad(&[(1, 2), (3, 0)], 0.0)
        }),
        case("pad of images, channels last", [x([2, 5, 4, 3])], |x| {
            x[0].permute(&[0, 3, 1, 2]).pad(&[(1, 0), (0, 2)], 0.0)
        }),
        case("pad of single elements", [x([2, 1, 3, 1])], |x| x[0].pad(&[(2, 1), (1, 0), (0, 1), (1, 2)], 1.5)),
        case("pad of a part, transposed", [x([6, 7]).transposed()], |x| {
            x[0].narrow(0, 1, 4).pad(&[(3, 2), (0, 5)], 0.0)
        }),
        case("pad of what is expanded", [x([3, 1])], |x| x[0].expand([2, 3, 4]).pad(&[(1, 3), (1, 1), (0, 1)], 0.0)),
        case("pad in six dimensions", [x([2, 1, 2, 3, 2, 3])], |x| {
            x[0].pad(&[(1, 0), (0, 1), (2, 0), (0, 0), (1, 1), (0, 1)], 0.0)
        }),
        case("pad of a scalar's row", [x([1])], |x| x[0].pad(&[(0, 66)], 2.0)),
        case("pad, many", [x([260, 259])], |x| x[0].pad(&[(3, 2), (1, 4)], 0.25)).big(),
        case("narrow_backward: pad", [x([4, 8])], |x| x[0].narrow(1, 4, 4).square()),
        case("narrow_backward: pad", [x([2, 9, 3]).reversed()], |x| x[0].narrow(1, 2, 5).square()),
        case("pad", [x([2, 3, 5]).reversed()], |x| x[0].pad(&[(1, 0), (0, 3), (2, 2)], -1.0)),
        case("pad behind a function", [x([3])], |x| x[0].exp().pad(&[(0, 1)], 0.0)).constant(),
        case("pad behind a function", [x([67])], |x| x[0].exp().pad(&[(64, 2)], 0.0)),
        case("pad behind a product", [x([3, 2]), x([2, 3])], |x| x[0].matmul(&x[1]).pad(&[(0, 0), (0, 2)], 0.5)),
        case("pad by the gradient of narrow", [x([7, 3])], |x| x[0].narrow(0, 0, 3).exp()),
        case("copy_into by the gradient of diagonal", [x([5, 1])], |x| x[0].exp().diagonal(0, 1).square()),
        case("copy_into by the gradient of diagonal", [x([1, 6])], |x| x[0].diagonal(0, 1).exp()),
        case("copy_into by cat behind functions", [x([3]), x([66])], |x| {
            Tensor::cat(&[&x[0].exp(), &x[1].square(), &x[0].square()], 0)
        }),
        case("copy_into by assign of a function to a view", [x([3]), x([7])], |x| {
            let y = x[1].copy();
            y.narrow(0, 0, 3).assign(&x[0].square());
            y
        })
        .constant(),
        case("copy_into by assign of a sum to a row", [x([5, 9]), x([3, 9])], |x| {
            let y = x[1].exp();
            y.narrow(0, 0, 1).squeeze(0).assign(&x[0].sum_dims(&[0], wgrad::ops::reduce::KeepDims::No));
            y
        })
        .constant(),
        case("copy_into by assign", [x([5, 7]), x([5, 7]).transposed()], |x| {
            let y = x[0].copy();
            y.assign(&x[1]);
            y
        })
        .constant(),
        case("copy_into by assign to a view", [x([9, 7]), x([3, 9])], |x| {
            let y = x[0].copy();
            y.narrow(1, 3, 3).t().assign(&x[1]);
            y
        })
        .constant(),
        case("tril by where", [x([5, 7])], |x| x[0].tril(0)),
        case("tril by where", [x([2, 7, 5]).transposed()], |x| x[0].tril(-2)),
        case("triu by where", [x([5, 7])], |x| x[0].triu(1)),
        case("triu by where", [x([2, 7, 5]).narrowed(1)], |x| x[0].triu(-1)),
        case("tril and triu are all", [x([5, 7])], |x| x[0].tril(1).add(&x[0].triu(2))).defined(|x| x[0].copy()),
        case("one_hot by eq_i32", [whole([3, 5], -1, 9)], |x| x[0].one_hot(8)).constant(),
        case("masked_fill by where", [x([5, 7]), whole([7], 0, 2)], |x| {
            x[0].masked_fill(&x[1].cast(wgrad::DType::F32), -9.0)
        }),
        case("split by narrow", [x([3, 7])], |x| {
            let parts = x[0].split(3, 1);
            assert_eq!(parts.iter().map(|p| p.size(1)).collect::<Vec<_>>(), [3, 3, 1]);
            Tensor::cat(&[&parts[2], &parts[0].square()], 1)
        }),
        case("split_sizes by narrow", [x([7, 3])], |x| x[0].split_sizes(&[2, 0, 5], 0)[2].exp()),
        case("chunk by narrow", [x([7])], |x| {
            let parts = x[0].chunk(4, 0);
            assert_eq!(parts.iter().map(|p| p.size(0)).collect::<Vec<_>>(), [2, 2, 2, 1]);
            parts[1].mul(&parts[3])
        }),
        topk(x([65]).distinct(), 1, 0, Extreme::Largest),
        topk(x([4, 9]).distinct(), 9, 1, Extreme::Largest),
        topk(x([3, 64]).distinct(), 5, -1, Extreme::Smallest),
        topk(x([9, 13, 2]).distinct().transposed(), 4, 1, Extreme::Largest),
        topk(x([5, 70]).steps(0.0), 20, 1, Extreme::Largest).compared(),
        topk(x([70, 3]).narrowed(0), 7, 0, Extreme::Smallest).compared(),
        // More than one stage, with chunks that are not full; as many asked for as a stage compares.
        topk(x([2, 5003]), 3, 1, Extreme::Largest).compared(),
        topk(x([2, 9001]).steps(0.0), 100, 1, Extreme::Smallest).compared(),
        topk(x([3003]), 1100, 0, Extreme::Smallest).compared(),
        topk(x([66_000, 3]), 2, 1, Extreme::Largest).compared(),
        // Sorted in chunks that are merged: an odd number of them, equal elements, and more than are compared at once.
        topk(x([2, 1025]), 1025, 1, Extreme::Largest).compared(),
        topk(x([2, 3, 5003]).steps(0.0), 1700, 2, Extreme::Smallest).compared(),
        case("topk of 40,000 in", [x([70_001])], |x| x[0].topk(40_000, 0, Extreme::Largest).1).constant(),
        case("topk of all", [x([66_000]).steps(0.0)], |x| x[0].topk(66_000, 0, Extreme::Smallest).1).constant(),
        case(
            "topk of what is no number",
            [x([1, 8]).listed(&[0.0, f32::NAN, -0.0, f32::INFINITY, -1.0, -f32::INFINITY])],
            |x| x[0].topk(8, 1, Extreme::Largest).1,
        )
        .constant(),
        flipped(x([65]), &[0]),
        flipped(x([5, 7]), &[1]),
        flipped(x([5, 7]).transposed(), &[0, -1]),
        flipped(x([3, 4, 5]).narrowed(2), &[2, 0]),
        flipped(x([67, 3]).shifted(), &[0]),
        case("reshape a view that keeps its strides", [x([4, 6]).narrowed(1)], |x| x[0].reshape([2, 2, 3, 2])),
        case("reshape_to", [x([4, 6]).transposed()], |x| x[0].reshape_to(Shape::from([3, 8]))),
    ]);
    all
}
