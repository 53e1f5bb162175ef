//! Picking by index, and what has a definition in primitives: softmax, cross-entropy, dropout.

use super::{Case, case, whole, x};
use crate::defined;
use wgrad::KeepDims::Yes;
use wgrad::{CrossEntropyOptions, Draw, Reduction, Tensor};

fn plain() -> CrossEntropyOptions {
    CrossEntropyOptions::default()
}

/// Cross-entropy of 65 rows; the third input is a weight for each class.
fn options(name: &str, options: fn(&[Tensor]) -> CrossEntropyOptions) -> Case {
    let inputs = [x([65, 11]), whole([65], 0, 11), x([11]).within(0.5, 2.0).detached()];
    case(&format!("cross_entropy {name}"), inputs, move |x| x[0].cross_entropy_with(&x[1], &options(x)))
}

pub fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    let rows = || {
        [
            (x([1]), 0),
            (x([65]), 0),
            (x([5, 7]), 1),
            (x([5, 7]), 0),
            (x([2, 3, 5]), 1),
            (x([3, 63]), -1),
            (x([3, 64]), -1),
            (x([3, 65]), -1),
            (x([2, 1031]), 1),
            (x([300, 3]), 1),
            (x([9, 13]).transposed(), 1),
            (x([9, 13]).narrowed(1), 1),
            (x([9, 13]).expanded(0), 1),
            (x([9, 13]).shifted(), 0),
        ]
    };
    all.extend(rows().map(|(shape, dim)| {
        let name = format!("softmax softmax_backward over {dim} of");
        case(&name, [shape], move |x| x[0].softmax(dim)).defined(move |x| {
            let e = x[0].exp();
            e.div(&e.sum_dims(&[dim], Yes))
        })
    }));
    all.extend(rows().map(|(shape, dim)| {
        let name = format!("log_softmax log_softmax_backward over {dim} of");
        case(&name, [shape], move |x| x[0].log_softmax(dim)).defined(move |x| defined::log_softmax(&x[0], dim))
    }));
    all.extend([
        case("softmax of large values", [x([5, 70]).within(-90.0, 90.0)], |x| x[0].softmax(1)).compared(),
        case("log_softmax of large values", [x([5, 70]).within(-90.0, 90.0)], |x| x[0].log_softmax(1)).compared(),
        case("softmax of very large values", [x([3, 5]).within(1e4, 2e4)], |x| x[0].softmax(1)).compared(),
        // More columns than one invocation walks; more rows than workgroups in a row.
        case("softmax of long rows", [x([2, 70_003])], |x| x[0].softmax(1)).compared(),
        case("log_softmax of long rows", [x([2, 20_000])], |x| x[0].log_softmax(1)).compared(),
        case("softmax of many rows", [x([66_003, 2])], |x| x[0].softmax(1)).compared(),
    ]);
    for [count, classes] in [[1, 2], [5, 10], [64, 63], [65, 65], [3, 1031], [1027, 3]] {
        let inputs = || [x([count, classes]), whole([count], 0, classes as i32)];
        all.push(
            case("cross_entropy cross_entropy_backward", inputs(), |x| x[0].cross_entropy(&x[1]))
                .defined(|x| defined::cross_entropy(&x[0], &x[1])),
        );
    }
    all.extend([
        options("as a sum", |_| CrossEntropyOptions { reduction: Reduction::Sum, ..plain() }),
        options("apart", |_| CrossEntropyOptions { reduction: Reduction::None, ..plain() }),
        options("ignoring 3", |_| CrossEntropyOptions { ignore_index: 3, ..plain() }),
        options("smoothed", |_| CrossEntropyOptions { label_smoothing: 0.2, ..plain() }),
        options("weighted", |x| CrossEntropyOptions { weight: Some(x[2].clone()), ..plain() }),
        options("weighted, smoothed, ignoring 3", |x| CrossEntropyOptions {
            weight: Some(x[2].clone()),
            label_smoothing: 0.1,
            ignore_index: 3,
            ..plain()
        }),
        options("weighted, smoothed, ignoring 3, apart", |x| CrossEntropyOptions {
            weight: Some(x[2].clone()),
            label_smoothing: 0.1,
            ignore_index: 3,
            reduction: Reduction::None,
        }),
        options("weighted, as a sum", |x| CrossEntropyOptions {
            weight: Some(x[2].clone()),
            reduction: Reduction::Sum,
            ..plain()
        }),
        case("cross_entropy of views", [x([9, 13]).transposed(), whole([9], 0, 13).shifted()], |x| {
            x[0].cross_entropy(&x[1])
        }),
        case("cross_entropy of no class", [x([9, 3]), whole([9], 0, 5)], |x| {
            x[0].cross_entropy_with(&x[1], &CrossEntropyOptions { reduction: Reduction::None, ..plain() })
        })
        .compared(),
        case("cross_entropy of large values", [x([9, 70]).within(-90.0, 90.0), whole([9], 0, 70)], |x| {
            x[0].cross_entropy(&x[1])
        })
        .compared(),
        case("cross_entropy of many rows", [x([70_003, 3]), whole([70_003], 0, 3)], |x| x[0].cross_entropy(&x[1]))
            .compared(),
        case("cross_entropy of many classes", [x([2, 16_383]), whole([2], 0, 16_383)], |x| x[0].cross_entropy(&x[1]))
            .compared(),
        case("cross_entropy_soft by log_softmax", [x([5, 7]), x([5, 7]).within(0.0, 1.0)], |x| {
            x[0].cross_entropy_soft(&x[1])
        }),
    ]);
    let select = |table, index, dim| {
        case(&format!("index_select by gather gather_backward of {dim}"), [table, index], move |x| {
            x[0].index_select(dim, &x[1])
        })
    };
    let gather = |table, index, dim| {
        case(&format!("gather gather_backward of {dim}"), [table, index], move |x| x[0].gather(dim, &x[1]))
    };
    all.extend([
        select(x([9, 5]), whole([7], 0, 9), 0),
        select(x([9, 5]), whole([65], 0, 5), 1),
        select(x([3, 9, 4]), whole([1], 0, 9), -2),
        select(x([9]), whole([300], 0, 9), 0),
        select(x([500, 15]), whole([900], 0, 500), 0).compared(),
        gather(x([2, 700, 3]), whole([2, 900, 3], 0, 700), 1).compared(),
        select(x([9, 5]).transposed(), whole([7], 0, 9).shifted(), 0),
        select(x([9, 5]).narrowed(1), whole([7], 0, 5).narrowed(0), 1),
        select(x([9, 5]), whole([7], -2, 11), 0).compared(),
        select(whole([9, 5], -99, 99), whole([7], 0, 9), 0).constant(),
        select(x([5, 2]), whole([70_003], 0, 5), 0).compared(),
        select(x([1031, 64]), whole([257], 0, 1031), 0),
        gather(x([5, 7]), whole([5, 4], 0, 7), 1),
        gather(x([5, 7]), whole([9, 7], 0, 5), 0),
        gather(x([5, 7]), whole([3, 4], 0, 7), 1),
        gather(x([3, 4, 5]), whole([3, 6, 5], 0, 4), 1),
        gather(x([3, 4, 5]).reversed(), whole([3, 4, 2], 0, 5).transposed(), -1),
        gather(x([65]).shifted(), whole([130], 0, 65), 0),
        gather(x([2, 3]), whole([2, 70_003], 0, 3), 1).compared(),
        gather(x([5, 7]), whole([5, 4], -1, 8), 1).compared(),
    ]);
    let dropout = |shape, p| {
        case(&format!("dropout at {p} of"), [shape, whole([2], 0, 9)], move |x| {
            x[0].dropout(p, &Draw { seed: 0x0123_4567_89AB_CDEF, stream: 65_539, step: x[1].clone(), offset: 0 })
        })
    };
    let uniform = |n: usize, offset| {
        let draw =
            move |step: &Tensor| Draw { seed: 0x0123_4567_89AB_CDEF, stream: 65_541, step: step.clone(), offset };
        case(&format!("uniform at {offset} of {n}"), [whole([2], -1, 9)], move |x| draw(&x[0]).uniform([n], -0.5, 1.5))
            .constant()
    };
    all.extend([uniform(1, 0), uniform(130, 7), uniform(4099, u32::MAX)]);
    all.extend([
        dropout(x([1]), 0.5),
        dropout(x([65]), 0.5),
        dropout(x([4099]), 0.1),
        dropout(x([130]), 0.9),
        dropout(x([67]), 0.0),
        dropout(x([9, 13]).transposed(), 0.5),
        dropout(x([9, 13]).narrowed(1), 0.3),
    ]);
    all
}
