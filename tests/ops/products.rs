//! Matrix products.

use super::{Case, Input, case, x};
use wgrad::Shape;

fn product(a: Input, b: Input) -> Case {
    case("matmul", [a, b], |x| x[0].matmul(&x[1]))
}

/// Long sums of small values: what rounding leaves stays small, and a part that is lost shows.
fn small(shape: impl Into<Shape>) -> Input {
    x(shape).within(-0.5, 0.5)
}

pub fn cases() -> Vec<Case> {
    // [m, n, k] around the tiles of 16, 64 and 128, and where vec4 loads do and do not fit.
    let sizes = [
        [1, 1, 1],
        [2, 3, 1],
        [1, 65, 63],
        [65, 1, 64],
        [16, 64, 16],
        [15, 63, 17],
        [17, 65, 15],
        [63, 64, 65],
        [64, 65, 63],
        [65, 63, 64],
        [64, 64, 64],
        [4, 4, 4],
        [8, 8, 6],
        [5, 12, 8],
        [12, 5, 7],
        [31, 130, 20],
        [130, 31, 36],
        [3, 5, 257],
        [7, 11, 1030],
    ];
    let mut all = Vec::new();
    for [m, n, k] in sizes {
        let (a, b) = (|| x([m, k]), || x([k, n]));
        all.extend([
            product(a(), b()),
            product(a().transposed(), b()),
            product(a(), b().transposed()),
            product(a().transposed(), b().transposed()),
        ]);
    }
    all.extend([
        product(x([3, 5, 7]), x([3, 7, 9])),
        product(x([3, 5, 7]), x([7, 9])),
        product(x([5, 7]), x([3, 7, 9])),
        product(x([2, 1, 4, 6]), x([3, 6, 5])),
        product(x([2, 3, 17, 8]), x([1, 3, 8, 20])),
        product(x([2, 3, 20, 8]).transposed(), x([2, 3, 8, 36]).transposed()),
        product(x([2, 3, 20, 8]).reversed(), x([2, 3, 8, 36]).reversed()),
        product(x([3, 5, 7]).expanded(0), x([3, 7, 9])),
        product(x([5, 7]).expanded(0), x([7, 9])),
        product(x([7]), x([7])),
        product(x([7]), x([7, 5])),
        product(x([5, 7]), x([7])),
        product(x([3, 5, 7]), x([7])),
        product(x([7]), x([3, 7, 5])),
        product(x([9, 12]).narrowed(1), x([12, 8])),
        product(x([9, 12]).narrowed(0), x([12, 8]).narrowed(1)),
        product(x([9, 12]).shifted(), x([12, 8]).shifted()),
        product(x([4, 9, 12]).narrowed(1), x([4, 12, 8]).narrowed(2)),
        // The heads of attention: a view with another order of rows and batches.
        case("matmul by heads", [x([2, 9, 3, 8]), x([2, 9, 3, 8])], |x| {
            let heads = |t: &wgrad::Tensor| t.permute(&[0, 2, 1, 3]);
            heads(&x[0]).matmul(&heads(&x[1]).transpose(-2, -1))
        }),
        case("matmul by itself", [x([9, 9])], |x| x[0].matmul(&x[0].t())),
        case("matmul without k", [x([5, 3]), x([3, 4])], |x| x[0].narrow(1, 0, 0).matmul(&x[1].narrow(0, 0, 0)))
            .constant(),
        // k past 65,535 loop iterations: cut into parts, which a second pass adds up.
        product(small([3, 70_003]), small([70_003, 5])).compared(),
        product(small([3, 70_000]).transposed(), small([70_000, 4])).compared(),
        product(small([8, 70_000]), small([70_000, 4]).transposed()).compared(),
        // Past 65,535 workgroups, of one product each.
        product(x([66_003, 2, 3]), x([66_003, 3, 2])).compared().big(),
        product(x([150, 200]), x([200, 170])),
    ]);
    all
}
