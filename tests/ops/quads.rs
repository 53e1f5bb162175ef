//! What element-wise kernels read by whole vec4 though it is not one run: rows, slices, broadcasts, steps back.

use super::{Case, Input, case, whole, x};
use wgrad::{DType, Tensor};

/// Operands of one shape, or of shapes that broadcast, whose last dimension is a multiple of 4.
fn pairs() -> [(Input, Input); 5] {
    [
        (x([5, 1, 8]), x([3, 8])),
        (x([6, 8]).narrowed(0), x([6, 8]).narrowed(0)),
        (x([3, 6, 4]).narrowed(1), x([3, 6, 4]).narrowed(1)),
        (x([3, 5, 4]).expanded(1), x([3, 5, 4])),
        (x([2, 1, 3, 1, 12]), x([1, 4, 1, 2, 12])),
    ]
}

pub fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    for (a, b) in pairs() {
        all.push(case("add by fours", [a, b], |x| x[0].add(&x[1])));
    }
    for (a, b) in pairs() {
        all.push(case("pow by fours", [a.within(0.5, 2.0), b.within(-2.0, 2.0)], |x| x[0].pow(&x[1])));
    }
    for (a, b) in pairs() {
        let run = |x: &[Tensor]| x[0].lt(&x[1]);
        all.push(case("lt by fours", [a.steps(0.0), b.steps(0.0)], run).constant());
    }
    for (a, b) in pairs() {
        let run = |x: &[Tensor]| x[0].cast(DType::I32).ge(x[1].cast(DType::I32));
        all.push(case("ge_i32 by fours", [a.within(-3.0, 3.0), b.within(-3.0, 3.0)], run).constant());
    }
    for (a, b) in pairs() {
        let run = |x: &[Tensor]| Tensor::where_(&x[0].detach().gt(x[1].detach()), &x[0], &x[1]);
        all.push(case("where by fours", [a.distinct(), b.distinct()], run).compared());
    }
    all.extend([
        case("copy by fours", [x([3, 5, 8])], |x| x[0].permute(&[1, 0, 2]).contiguous()),
        case("copy of a slice by fours", [x([9, 12])], |x| x[0].narrow(1, 4, 8).contiguous()),
        case("copy from a shift by fours", [x([9, 12])], |x| x[0].narrow(1, 3, 8).contiguous()),
        case("copy of a flip by fours", [x([5, 3, 8])], |x| x[0].flip(&[0, 1])),
        case("copy_into by fours", [x([5, 8]), x([3, 8])], |x| Tensor::cat(&[&x[0], &x[1]], 0)),
        case("copy_into columns by fours", [x([5, 8]), x([5, 4])], |x| Tensor::cat(&[&x[0], &x[1]], 1)),
        case("copy_into columns past fours", [x([5, 8]), x([5, 3])], |x| Tensor::cat(&[&x[0], &x[1]], 1)),
        case("copy_into an odd end", [x([3]), x([5]), x([4])], |x| Tensor::cat(&[&x[0], &x[1], &x[2]], 0)),
        case("index_select by fours", [x([5, 7, 8]), whole([4], 0, 7)], |x| x[0].index_select(1, &x[1])),
        case("matmul by fours in parts", [x([4, 1100]), x([1100, 12])], |x| x[0].matmul(&x[1])),
        case("linear by fours in parts", [x([4, 1100]), x([8, 1100]), x([8])], |x| x[0].linear(&x[1], Some(&x[2]))),
        case("accumulate by fours", [x([6, 8]), x([8, 6, 8])], |x| {
            let rows = x[0].unsqueeze(0).expand([8, 6, 8]);
            rows.mul(&x[1]).add(&rows.square().mul(&x[1]))
        }),
    ]);
    all
}
