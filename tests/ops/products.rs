//! Matrix products.

use super::{Case, Input, case, x};
use wgrad::{DType, KeepDims, Shape, Tensor};

fn product(a: Input, b: Input) -> Case {
    case("matmul", [a, b], |x| x[0].matmul(&x[1]))
}

fn linear(x: Input, weight: Input, bias: Input) -> Case {
    case("linear linear_weight", [x, weight, bias], |x| x[0].linear(&x[1], Some(&x[2])))
        .defined(|x| x[0].matmul(&x[1].t()).add(&x[2]))
}

/// Long sums of small values: what rounding leaves stays small, and a part that is lost shows.
fn small(shape: impl Into<Shape>) -> Input {
    x(shape).within(-0.5, 0.5)
}

fn einsum(equation: &'static str, inputs: [Input; 2]) -> Case {
    case(&format!("einsum {equation} by matmul of"), inputs, move |x| Tensor::einsum(equation, &[&x[0], &x[1]]))
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
        einsum("ij,jk->ik", [x([5, 7]), x([7, 4])]).defined(|x| x[0].matmul(&x[1])),
        einsum("ij,kj->ki", [x([5, 7]), x([4, 7])]).defined(|x| x[1].matmul(&x[0].t())),
        einsum("bij,bjk->bik", [x([3, 5, 7]), x([3, 7, 4])]).defined(|x| x[0].matmul(&x[1])),
        einsum("bhid,bhjd->bhij", [x([2, 3, 5, 8]), x([2, 3, 4, 8])]).defined(|x| x[0].matmul(&x[1].transpose(-1, -2))),
        einsum("bqhd,bkhd->bhqk", [x([2, 5, 3, 8]), x([2, 4, 3, 8]).transposed()]),
        einsum("...ij,...jk->...ik", [x([2, 3, 5, 7]), x([2, 3, 7, 4])]).defined(|x| x[0].matmul(&x[1])),
        einsum("b...,...->b", [x([4, 3, 5]), x([3, 5])]).defined(|x| x[0].mul(&x[1]).sum_dims(&[1, 2], KeepDims::No)),
        einsum("...i,i...", [x([3, 5]), x([5, 3])]).defined(|x| x[0].mul(&x[1].t()).sum_dims(&[1], KeepDims::No)),
        einsum("ii,ij->j", [x([5, 5]), x([5, 4])])
            .defined(|x| x[0].diagonal(0, 1).unsqueeze(1).mul(&x[1]).sum_dims(&[0], KeepDims::No)),
        einsum("bii,->b", [x([3, 4, 4]).transposed(), x([])])
            .defined(|x| x[0].diagonal(1, 2).sum_dims(&[1], KeepDims::No).mul(&x[1])),
        einsum("i,j", [x([5]), x([7])]).defined(|x| x[0].unsqueeze(1).mul(&x[1])),
        einsum("i,i->", [x([65]), x([65])]).defined(|x| x[0].mul(&x[1]).sum()),
        einsum("ij,ij->i", [x([5, 7]), x([5, 7])]).defined(|x| x[0].mul(&x[1]).sum_dims(&[1], KeepDims::No)),
        einsum("ijk,l->lj", [x([3, 5, 7]), x([2])]),
        case("einsum ij->ji", [x([5, 7])], |x| Tensor::einsum("ij->ji", &[&x[0]])).defined(|x| x[0].t()),
        case("einsum ijk->k by sum", [x([3, 5, 7])], |x| Tensor::einsum("ijk -> k", &[&x[0]])),
        case("einsum of three by matmul", [x([3, 5]), x([5, 7]), x([7, 2])], |x| {
            Tensor::einsum("ij,jk,kl->il", &[&x[0], &x[1], &x[2]])
        })
        .defined(|x| x[0].matmul(&x[1]).matmul(&x[2])),
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
            let heads = |t: &Tensor| t.permute(&[0, 2, 1, 3]);
            heads(&x[0]).matmul(&heads(&x[1]).transpose(-2, -1))
        }),
        // Its gradient is one number, repeated.
        case("linear linear_weight of one column, added up", [x([9, 3]), x([1, 3]), x([1])], |x| {
            x[0].linear(&x[1], Some(&x[2])).sum()
        }),
        case("matmul of long vectors: mul", [x([1030]), x([1030])], |x| x[0].matmul(&x[1])),
        case("matmul of long rows and columns: mul", [x([3, 1, 700]), x([700, 1])], |x| x[0].matmul(&x[1]).square())
            .compared(),
        case("matmul of long rows and columns: mul", [x([2, 513]).transposed(), x([2, 513, 1])], |x| {
            x[0].unsqueeze(1).matmul(&x[1])
        })
        .compared(),
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
    all.extend(linears());
    all.extend(joined());
    all
}

/// Products with what a captured step joins to them.
fn joined() -> Vec<Case> {
    let mut all = Vec::new();
    for [rows, inputs, out] in [[1, 1, 1], [17, 12, 33], [33, 20, 36], [64, 64, 64], [5, 1300, 12]] {
        let weight = || x([out, inputs]).within(-0.05, 0.05);
        let two = || [x([rows, inputs]), weight(), x([out]), x([9, out]), x([9])];
        let (xs, w, other) = (x([rows, inputs]), x([inputs, out]), x([rows, out]));
        all.extend([
            case("linear behind relu", two(), |x| x[0].linear(&x[1], Some(&x[2])).relu().linear(&x[3], Some(&x[4])))
                .compared(),
            case("linear behind tanh", two(), |x| x[0].linear(&x[1], Some(&x[2])).tanh().linear(&x[3], Some(&x[4])))
                .compared(),
            case("linear_with a sum", [xs, x([out, inputs]), x([out]), other], |x| {
                x[3].add(&x[0].linear(&x[1], Some(&x[2])))
            }),
            case("matmul_with a sum", [x([rows, inputs]), w, x([rows, out])], |x| {
                x[0].matmul(&x[1]).add(&x[2]).square()
            }),
        ]);
    }
    type Activation = fn(&Tensor) -> Tensor;
    let activations: [(&str, Activation); 5] = [
        ("sigmoid", Tensor::sigmoid),
        ("gelu", Tensor::gelu),
        ("gelu_tanh", Tensor::gelu_tanh),
        ("silu", Tensor::silu),
        ("square", Tensor::square),
    ];
    for (name, f) in activations {
        all.push(case(&format!("matmul behind {name}"), [small([17, 12]), small([12, 20]), x([20, 9])], move |x| {
            f(&x[0].matmul(&x[1])).matmul(&x[2])
        }));
    }
    all.extend([
        case("matmul of batches behind tanh", [x([3, 17, 12]), x([3, 12, 20]), x([3, 20, 9])], |x| {
            x[0].matmul(&x[1]).tanh().matmul(&x[2])
        }),
        case("matmul and its relu both read", [x([17, 12]), x([12, 20])], |x| {
            let y = x[0].matmul(&x[1]);
            y.relu().mul(&y)
        })
        .once(),
        case("matmul added to itself", [x([17, 12]), x([12, 20])], |x| {
            let y = x[0].matmul(&x[1]);
            y.add(&y)
        }),
        case("matmul added to another", [x([17, 12]), x([12, 20])], |x| {
            x[0].matmul(&x[1]).add(&x[0].square().matmul(&x[1]))
        }),
        case("matmul added to its transpose", [x([17, 17]), x([17, 17])], |x| x[0].matmul(&x[1]).add(&x[1].t())),
        case("matmul and a row", [x([17, 12]), x([12, 20]), x([20])], |x| x[0].matmul(&x[1]).add(&x[2])),
    ]);
    all
}

fn linears() -> Vec<Case> {
    // [rows, in, out] around the tiles of 16, 32 and 64, and where vec4 loads do and do not fit.
    let sizes = [
        [1, 1, 1],
        [1, 7, 8],
        [7, 8, 1],
        [8, 9, 7],
        [9, 15, 16],
        [16, 17, 15],
        [17, 16, 31],
        [31, 32, 33],
        [32, 31, 32],
        [33, 33, 63],
        [63, 64, 65],
        [64, 65, 64],
        [65, 63, 17],
        [20, 1300, 12],
        [1300, 20, 12],
        [64, 784, 128],
    ];
    let mut all: Vec<Case> =
        sizes.map(|[rows, inputs, out]| linear(x([rows, inputs]), x([out, inputs]), x([out]))).into();
    all.extend([
        linear(x([7]), x([5, 7]), x([5])),
        linear(x([3, 5, 7]), x([9, 7]), x([9])),
        linear(x([2, 3, 4, 12]), x([20, 12]), x([20])),
        linear(x([9, 12]).transposed(), x([8, 12]), x([8])),
        linear(x([9, 12]), x([8, 12]).transposed(), x([8])),
        linear(x([9, 12]).transposed(), x([8, 12]).transposed(), x([8]).narrowed(0)),
        linear(x([9, 12]).narrowed(1), x([8, 12]).narrowed(0), x([8]).shifted()),
        linear(x([9, 12]).shifted(), x([8, 12]).shifted(), x([8]).shifted()),
        linear(x([9, 12]).expanded(0), x([8, 12]), x([8]).expanded(0)),
        case("linear without bias", [x([17, 12]), x([33, 12])], |x| x[0].linear(&x[1], None)),
        case("linear with a fixed weight", [x([17, 12]), x([33, 12]).detached(), x([33])], |x| {
            x[0].linear(&x[1], Some(&x[2]))
        }),
        case("linear with a fixed bias", [x([17, 12]), x([33, 12]), x([33]).detached()], |x| {
            x[0].linear(&x[1], Some(&x[2]))
        }),
        case("linear with a gradient of other strides", [x([17, 12]), x([36, 12]), x([36])], |x| {
            x[0].linear(&x[1], Some(&x[2])).t().mul(&Tensor::arange(0, 17, x[0].device()).cast(DType::F32))
        }),
        // k past 65,535 loop iterations, forward and in the weight's gradient.
        linear(small([3, 70_003]), small([5, 70_003]), x([5])).compared(),
        linear(small([70_003, 3]), small([5, 3]), x([5])).compared(),
        linear(small([70_000, 4]), small([8, 4]), x([8])).compared(),
    ]);
    all
}
