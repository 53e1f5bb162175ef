//! What a Transformer is made of: rows normalised, embeddings.

use super::{Case, case, whole, x};
use wgrad::Tensor;

pub fn cases() -> Vec<Case> {
    [norms(), embeddings()].into_iter().flatten().collect()
}

fn norms() -> Vec<Case> {
    let layer = |shape: &[usize]| {
        let cols = shape[shape.len() - 1];
        let inputs = [x(shape), x([cols]).within(0.5, 1.5), x([cols])];
        case("layer_norm layer_norm_backward", inputs, move |x| {
            x[0].layer_norm(&[cols], Some(&x[1]), Some(&x[2]), 1e-5)
        })
        .defined(|x| x[0].layer_norm_definition(&x[1], &x[2], 1e-5))
    };
    let rms = |shape: &[usize]| {
        let cols = shape[shape.len() - 1];
        case("rms_norm rms_norm_backward", [x(shape), x([cols]).within(0.5, 1.5)], move |x| {
            x[0].rms_norm(&[cols], Some(&x[1]), 1e-6)
        })
        .defined(|x| x[0].rms_norm_definition(&x[1], 1e-6))
    };
    let shapes: [&[usize]; 9] =
        [&[5, 7], &[3, 2, 8], &[65, 32], &[2, 63], &[2, 64], &[2, 65], &[3, 128], &[2, 1027], &[3, 1032]];
    let mut all: Vec<Case> = shapes.into_iter().flat_map(|shape| [layer(shape), rms(shape)]).collect();
    let plain = |input, sizes: &'static [usize]| {
        case("layer_norm without weights of", [input], move |x| x[0].layer_norm(sizes, None, None, 1e-5))
    };
    // Where the gradient meets another one, as around a residual block; a plan adds them in one kernel.
    let residual = |name: &str, norm: fn(&[Tensor]) -> Tensor| {
        case(name, [x([6, 12]), x([12]).within(0.5, 1.5), x([12])], move |x| x[0].add(&norm(x)).add(&x[2]))
    };
    all.extend([
        plain(x([4, 3, 5]), &[3, 5]),
        plain(x([9, 13]).transposed(), &[13]),
        plain(x([9, 12]).narrowed(1), &[12]),
        plain(x([9, 13]).shifted(), &[13]),
        case("layer_norm with an offset of 1,000", [x([4, 64]).within(999.0, 1001.0), x([64]), x([64])], |x| {
            x[0].layer_norm(&[64], Some(&x[1]), Some(&x[2]), 1e-5)
        })
        .compared(),
        // More rows than one part of the sums over rows takes, than workgroups in a row, than iterations of a loop.
        case("layer_norm of many rows", [x([70_003, 4]), x([4]), x([4])], |x| {
            x[0].layer_norm(&[4], Some(&x[1]), Some(&x[2]), 1e-5)
        })
        .compared(),
        case("rms_norm of many rows", [x([9001, 5]), x([5])], |x| x[0].rms_norm(&[5], Some(&x[1]), 1e-5)).compared(),
        case("layer_norm of a long row", [x([1, 70_003])], |x| x[0].layer_norm(&[70_003], None, None, 1e-5)).compared(),
        residual("layer_norm around", |x| x[0].layer_norm(&[12], Some(&x[1]), None, 1e-5)),
        residual("rms_norm around", |x| x[0].rms_norm(&[12], Some(&x[1]), 1e-5)),
        case("group_norm by layer_norm", [x([2, 6, 3, 3]), x([6]), x([6])], |x| {
            x[0].group_norm(2, Some(&x[1]), Some(&x[2]), 1e-5)
        }),
    ]);
    all
}

fn embeddings() -> Vec<Case> {
    let embedding = |table, ids| {
        case("embedding embedding_backward", [table, ids], |x| x[0].embedding(&x[1]))
            .defined(|x| x[0].embedding_definition(&x[1]))
    };
    vec![
        embedding(x([10, 4]), whole([3, 5], 0, 10)),
        embedding(x([5, 12]), whole([65], 0, 5)),
        embedding(x([65, 64]), whole([257], 0, 65)),
        embedding(x([1031, 36]), whole([64], 0, 1031)),
        embedding(x([9, 5]), whole([7], 0, 9)),
        embedding(x([8, 9]).transposed(), whole([7], 0, 9).shifted()),
        embedding(x([9, 8]).narrowed(1), whole([2, 7], 0, 9).narrowed(1)),
        case("embedding of indices outside", [x([9, 8]), whole([40], -3, 12)], |x| x[0].embedding(&x[1])).compared(),
        // More indices than a pass looks at, more rows than workgroups in a row.
        case("embedding of many indices", [x([5, 4]), whole([70_003], 0, 5)], |x| x[0].embedding(&x[1])).compared(),
        case("embedding of many rows", [x([70_003, 4]), whole([33], 0, 70_003)], |x| x[0].embedding(&x[1])).compared(),
    ]
}
