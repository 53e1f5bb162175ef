//! Sums, extremes and what is made of them.

use super::{Case, Input, case, x};
use wgrad::KeepDims::{No, Yes};
use wgrad::{KeepDims, Tensor};

type Smooth = fn(Input) -> Input;
type Reduce = fn(&Tensor, &[isize], KeepDims) -> Tensor;

/// Each with values where it is smooth.
const KINDS: &[(&str, Smooth, Reduce)] = &[
    ("sum", |x| x, Tensor::sum_dims),
    ("mean by sum", |x| x, Tensor::mean_dims),
    ("amax", Input::distinct, Tensor::amax),
    ("amin", Input::distinct, Tensor::amin),
    ("var by sum", |x| x, |x, dims, keep| x.var_dims(dims, 0, keep)),
    ("logsumexp by amax", |x| x, Tensor::logsumexp),
];

fn cumsum(shape: Input, dim: isize) -> Case {
    case(&format!("cumsum along {dim} of"), [shape], move |x| x[0].cumsum(dim))
}

pub fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    for &(name, smooth, f) in KINDS {
        let shapes: [(Input, &'static [isize], KeepDims); 16] = [
            (x([1]), &[0], No),
            (x([65]), &[0], Yes),
            (x([64, 63]), &[0], No),
            (x([63, 64]), &[1], Yes),
            (x([3, 257]), &[1], No),
            (x([257, 3]), &[0], No),
            (x([2, 1031]), &[-1], No),
            (x([2, 3, 5, 7]), &[1, 3], No),
            (x([2, 3, 5, 7]), &[0, 2], Yes),
            (x([2, 3, 5, 7]), &[0, 1, 2, 3], No),
            (x([9, 13]).transposed(), &[0], No),
            (x([9, 13]).narrowed(1), &[1], No),
            (x([67]).shifted(), &[0], No),
            (x([3, 4, 5]).reversed(), &[2, 0], No),
            (x([2, 3, 2, 3, 2, 3]).reversed(), &[0, 2, 4], Yes),
            (x([5, 1, 7]), &[1], No),
        ];
        for (shape, dims, keep) in shapes {
            all.push(case(&format!("{name} over {dims:?} of"), [smooth(shape)], move |x| f(&x[0], dims, keep)));
        }
    }
    all.extend(by_fours());
    // Past 65,535 loop iterations, past a stage of 1,024 x 1,024, and past 65,535 workgroups of one result each.
    let long = |f: Reduce, name: &'static str, shape: Input, dims: &'static [isize]| {
        case(&format!("{name} over {dims:?} of"), [shape], move |x| f(&x[0], dims, No)).compared()
    };
    all.push(long(Tensor::sum_dims, "sum", x([70_001]), &[0]));
    all.push(long(Tensor::amax, "amax", x([70_001]).distinct(), &[0]));
    all.push(long(Tensor::sum_dims, "sum", x([3, 70_001]).transposed(), &[1]));
    all.push(long(Tensor::amax, "amax", x([3, 70_001]).distinct(), &[1]));
    all.push(long(Tensor::sum_dims, "sum", x([66_003, 3]), &[1]));
    all.push(long(Tensor::sum_dims, "sum", x([70_001, 3]), &[0]));
    all.push(long(Tensor::amin, "amin", x([70_001, 3]).distinct(), &[0]));
    all.push(long(Tensor::logsumexp, "logsumexp by amax", x([3, 70_001]), &[1]));
    all.extend([
        case("sum of", [x([(1 << 20) + 7])], |x| x[0].sum()).compared(),
        case("sum over [0] of", [x([(1 << 20) + 7, 2])], |x| x[0].sum_dims(&[0], No)).compared(),
        case("amax of", [x([(1 << 20) + 7]).distinct()], |x| x[0].max()).compared(),
        case("amin of", [x([(1 << 20) + 7]).distinct()], |x| x[0].min()).compared(),
        case("mean of all by sum", [x([65, 3]).expanded(0)], |x| x[0].mean()),
        case("sum of none", [x([65, 3])], |x| x[0].sum_dims(&[0isize; 0], No)),
        case("sum of a repeated", [x([6, 7]).expanded(1)], |x| x[0].sum_dims(&[1], No)),
        case("sum over a size of 0", [x([3, 4])], |x| x[0].narrow(1, 2, 0).sum_dims(&[1], No)).constant(),
        case("sum of nothing behind an odd number of elements", [x([3, 5])], |x| {
            x[0].narrow(0, 3, 0).sum_dims(&[0], No) + x[0].narrow(0, 2, 1).narrow(1, 5, 0).sum()
        }),
        case("sum of nothing past the end of a buffer", [x([3, 5])], |x| {
            // A view of nothing starts where a copy of it has no memory.
            let none = x[0].narrow(0, 2, 0).copy();
            none.narrow(1, 4, 1).sum() + x[0].sum()
        }),
        case("amax of equals", [x([5, 70]).steps(0.0)], |x| x[0].amax(&[1], No)).compared(),
        case("amin of equals", [x([70, 5]).steps(0.0)], |x| x[0].amin(&[0], No)).compared(),
        case("amax of a pair of equals", [x([1, 2]).listed(&[0.5])], |x| x[0].amax(&[1], No)).once(),
        case("var of all by sum", [x([67])], |x| x[0].var(1)),
        cumsum(x([1]), 0),
        cumsum(x([5, 7]), 1),
        cumsum(x([5, 7]), 0),
        cumsum(x([3, 4, 5]).reversed(), -2),
        cumsum(x([2, 1025]).narrowed(1), 1),
        cumsum(x([2049, 3]), 0).compared(),
        cumsum(x([70_001]), 0).compared(),
        cumsum(x([70_001, 2]), 0).compared(),
        case("norm by sum", [x([5, 7]).narrowed(1)], |x| x[0].norm(&[1], Yes)),
        case("norm of nothing by sum", [x([2, 3]).listed(&[0.0])], |x| x[0].norm(&[0, 1], No)).compared(),
        case("logsumexp of large values", [x([3, 5]).within(95.0, 120.0)], |x| x[0].logsumexp(&[1], No)),
        case("argmax of", [x([1]).distinct()], |x| x[0].argmax(0)).constant(),
        case("argmax of", [x([65, 7]).distinct()], |x| x[0].argmax(0)).constant(),
        case("argmax of", [x([7, 65]).distinct()], |x| x[0].argmax(-1)).constant(),
        case("argmax of", [x([7, 65]).distinct().transposed()], |x| x[0].argmax(1)).constant(),
        case("argmax of", [x([3, 4, 5]).distinct().narrowed(1)], |x| x[0].argmax(1)).constant(),
        case("argmax of equals", [x([9, 1031]).steps(0.0)], |x| x[0].argmax(1)).constant(),
        case("argmax of", [x([200_003]).distinct()], |x| x[0].argmax(0)).constant(),
        case("argmax of", [x([200_003, 2]).distinct()], |x| x[0].argmax(0)).constant(),
        case("argmax of equals, many", [x([200_003]).steps(0.0)], |x| x[0].argmax(0)).constant(),
        case("argmax of", [x([66_003, 3]).distinct()], |x| x[0].argmax(1)).constant(),
    ]);
    all
}

/// Where whole vec4 of outputs or of reduced elements are read.
fn by_fours() -> Vec<Case> {
    let mut all = Vec::new();
    for (name, smooth, f) in [KINDS[0], KINDS[2], KINDS[3]] {
        let shapes: [(Input, &'static [isize]); 15] = [
            (x([4]), &[0]),
            (x([260]), &[0]),
            (x([65, 64]), &[0]),
            (x([65, 64]), &[1]),
            (x([3, 1028]), &[1]),
            (x([1031, 4]), &[0]),
            (x([3, 5, 8]), &[1]),
            (x([3, 5, 8]), &[0, 1]),
            (x([3, 5, 8]), &[0, 2]),
            (x([2, 4, 3, 8]), &[1, 3]),
            (x([2, 4, 3, 8]), &[0, 2]),
            (x([2, 3, 2, 3, 8]), &[0, 2, 4]),
            (x([8, 12]).transposed(), &[0]),
            (x([12, 12]).narrowed(0), &[1]),
            (x([12, 12]).narrowed(1), &[0]),
        ];
        for (shape, dims) in shapes {
            all.push(case(&format!("{name} by fours over {dims:?} of"), [smooth(shape)], move |x| f(&x[0], dims, No)));
        }
        let long: [(Input, &'static [isize]); 3] =
            [(x([70_004]), &[0]), (x([3, 70_004]), &[1]), (x([70_001, 4]), &[0])];
        for (shape, dims) in long {
            let run = move |x: &[Tensor]| f(&x[0], dims, No);
            all.push(case(&format!("{name} by fours over {dims:?} of"), [smooth(shape)], run).compared());
        }
    }
    for (shape, dim) in [([65, 8], 0), ([7, 64], 1), ([70_001, 4], 0), ([3, 70_004], 1)] {
        all.push(case("argmax by fours of", [x(shape).distinct()], move |x| x[0].argmax(dim)).constant());
        all.push(case("argmax of equals by fours of", [x(shape).steps(0.0)], move |x| x[0].argmax(dim)).constant());
    }
    let three = |shape: [usize; 3]| x(shape).distinct();
    all.push(case("argmax by fours inside of", [three([5, 7, 8])], |x| x[0].argmax(1)).constant());
    all.push(case("argmax by fours across", [three([5, 7, 8]).reversed()], |x| x[0].argmax(2)).constant());
    // Past 65,535 workgroups of one result each.
    all.push(case("sum by fours over [1] of", [x([66_003, 4])], |x| x[0].sum_dims(&[1], No)).compared());
    all
}
