//! What a Transformer is made of: rows normalised, embeddings, attention.

use super::{Case, Input, case, whole, x};
use crate::defined;
use wgrad::{AttentionOptions, Tensor};

pub fn cases() -> Vec<Case> {
    [norms(), embeddings(), attentions(), masks()].into_iter().flatten().collect()
}

fn norms() -> Vec<Case> {
    let layer = |shape: &[usize]| {
        let cols = shape[shape.len() - 1];
        let inputs = [x(shape), x([cols]).within(0.5, 1.5), x([cols])];
        case("layer_norm layer_norm_backward", inputs, move |x| {
            x[0].layer_norm(&[cols], Some(&x[1]), Some(&x[2]), 1e-5)
        })
        .defined(|x| defined::layer_norm(&x[0], &x[1], &x[2], 1e-5))
    };
    let rms = |shape: &[usize]| {
        let cols = shape[shape.len() - 1];
        case("rms_norm rms_norm_backward", [x(shape), x([cols]).within(0.5, 1.5)], move |x| {
            x[0].rms_norm(&[cols], Some(&x[1]), 1e-6)
        })
        .defined(|x| defined::rms_norm(&x[0], &x[1], 1e-6))
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
    ]);
    let groups = |groups: usize, channels: usize, input: Input| {
        let name = format!("group_norm group_stats group_norm_sums group_norm_backward by {groups}:");
        case(&name, [input, x([channels]), x([channels])], move |x| {
            x[0].group_norm(groups, Some(&x[1]), Some(&x[2]), 1e-5)
        })
    };
    all.extend([
        groups(2, 6, x([2, 6, 3, 3])),
        groups(1, 8, x([3, 8, 5, 4])),
        groups(4, 8, x([2, 8, 5, 4])),
        groups(8, 8, x([2, 8, 33])),
        groups(2, 12, x([5, 12])),
        groups(3, 12, x([2, 12, 7, 10]).reversed()),
        groups(2, 8, x([1, 8, 50, 61]).within(3.0, 4.0)),
        case("instance_norm by group_norm", [x([2, 3, 5]), x([3])], |x| x[0].instance_norm(Some(&x[1]), None, 1e-5)),
        case("group_norm of channels last", [x([2, 5, 7, 8]), x([8])], |x| {
            x[0].permute(&[0, 3, 1, 2]).group_norm(2, Some(&x[1]), None, 1e-5)
        }),
        case("group_norm of one long group by rows", [x([1, 2100, 5, 7])], |x| x[0].group_norm(1, None, None, 1e-5))
            .big(),
    ]);
    all
}

fn embeddings() -> Vec<Case> {
    let embedding = |table, ids| {
        case("embedding embedding_backward", [table, ids], |x| x[0].embedding(&x[1]))
            .defined(|x| defined::embedding(&x[0], &x[1]))
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

fn plain() -> AttentionOptions {
    AttentionOptions::default()
}

/// q, k and v of these sizes; the options get them too.
fn attention(name: &str, inputs: [Input; 3], options: fn(&[Tensor]) -> AttentionOptions) -> Case {
    let name = format!("attention attention_backward {name} of");
    case(&name, inputs, move |x| x[0].scaled_dot_product_attention(&x[1], &x[2], &options(x)))
        .defined(move |x| defined::attention(&x[0], &x[1], &x[2], &options(x)))
}

/// q, k, v and a mask of these sizes.
fn masked(name: &str, inputs: [Input; 4], is_causal: bool) -> Case {
    let options = move |x: &[Tensor]| AttentionOptions { is_causal, mask: Some(x[3].clone()), ..plain() };
    let name = format!("attention attention_backward {name} of");
    case(&name, inputs, move |x| x[0].scaled_dot_product_attention(&x[1], &x[2], &options(x)))
        .defined(move |x| defined::attention(&x[0], &x[1], &x[2], &options(x)))
}

/// Only the last 30 keys are seen.
fn late(x: &[Tensor]) -> AttentionOptions {
    let keys = x[1].size(-2);
    let hidden = Tensor::arange(0, keys as i32, x[0].device()).lt(Tensor::full([], keys as i32 - 30, x[0].device()));
    AttentionOptions { mask: Some(Tensor::zeros([], x[0].device()).masked_fill(&hidden, f32::NEG_INFINITY)), ..plain() }
}

fn masks() -> Vec<Case> {
    const SOME: &[f32] = &[0.3, -0.5, f32::NEG_INFINITY, 1.0, 0.0, -2.0, 0.7];
    // Every row of 5, 9 or 40 keys has some, the second of three has none.
    const ROWS: &[f32] = &[0.1, f32::NEG_INFINITY, -0.4];
    let added = |shape: &[usize]| x(shape).listed(SOME).detached();
    let crossed = |q: &[usize], k: &[usize], mask: Input| [x(q), x(k), x(k), mask];
    let four = |mask: Input| crossed(&[2, 3, 6, 8], &[2, 3, 9, 8], mask);
    let mut all: Vec<Case> = Vec::new();
    let shapes: [&[usize]; 7] = [&[9], &[6, 9], &[3, 6, 9], &[2, 3, 6, 9], &[2, 1, 1, 9], &[1, 3, 1, 9], &[2, 1, 6, 1]];
    for shape in shapes {
        all.push(masked("masked", four(added(shape)), false));
    }
    let padded = |x: &[Tensor]| AttentionOptions::causal().padded(&x[1], x[0].size(1));
    all.extend([
        masked("masked", four(added(&[6, 9]).transposed()), false),
        masked("masked", four(added(&[2, 1, 6, 9]).narrowed(3)), false),
        masked("masked", four(added(&[2, 3, 6, 9]).expanded(1)), false),
        masked("masked", four(added(&[6, 9]).shifted()), false),
        masked("causal and masked", four(added(&[2, 1, 1, 9])), true),
        masked("causal and masked", crossed(&[1, 2, 40, 32], &[1, 2, 40, 32], added(&[40, 40])), true),
        masked("masked", crossed(&[1, 2, 70, 36], &[1, 2, 65, 36], added(&[1, 2, 70, 65])), false),
        masked("causal and masked", crossed(&[1, 1, 33, 128], &[1, 1, 70, 128], added(&[33, 70])), true),
        masked("masked", crossed(&[1, 2, 6, 20], &[1, 2, 9, 20], added(&[6, 9])), false),
        masked("causal and masked", crossed(&[1, 2, 9, 5], &[1, 2, 9, 5], added(&[9])), true),
        masked("masked", crossed(&[3, 6, 12], &[3, 9, 12], added(&[3, 1, 9])), false),
        masked("masked", crossed(&[6, 12], &[9, 12], added(&[6, 9])), false),
        masked("masked", crossed(&[2, 3, 2, 6, 8], &[2, 3, 2, 9, 8], added(&[3, 1, 6, 9])), false),
        masked(
            "with rows that see no key",
            crossed(&[2, 2, 3, 8], &[2, 2, 40, 8], x([3, 1]).listed(ROWS).detached()),
            false,
        ),
        masked(
            "with rows that see no key",
            crossed(&[1, 2, 3, 5], &[1, 2, 9, 5], x([3, 1]).listed(ROWS).detached()),
            true,
        ),
        // In primitives, since the mask asks for its gradient.
        masked("by softmax, its mask learned,", four(x([3, 6, 9])), true),
        attention(
            "of long rows that see no key at first",
            [x([1, 1, 3, 32]), x([1, 1, 2100, 32]), x([1, 1, 2100, 32])],
            late,
        )
        .compared(),
        attention(
            "of longer rows that see no key at first",
            [x([1, 1, 3, 4]), x([1, 1, 30_100, 4]), x([1, 1, 30_100, 4])],
            late,
        )
        .compared(),
        case(
            "attention by attention, padded to 5 keys, of",
            [x([1, 2, 9, 8]), x([1, 2, 9, 8]), whole([1], 5, 6)],
            |x| {
                let options = AttentionOptions::default().padded(&x[2], 9);
                x[0].scaled_dot_product_attention(&x[1], &x[1], &options)
            },
        )
        .defined(|x| {
            let seen = x[1].narrow(2, 0, 5);
            defined::attention(&x[0], &seen, &seen, &plain())
        }),
        case("self_attention by attention, padded, of", [x([3, 9, 48]), whole([3], 2, 9)], move |x| {
            x[0].self_attention(2, &padded(x))
        }),
        case("self_attention by attention, padded to nothing, of", [x([2, 9, 48]), whole([2], 0, 1)], move |x| {
            x[0].self_attention(2, &AttentionOptions::default().padded(&x[1], 9))
        }),
        case("self_attention by attention, padded, with heads of 6, of", [x([3, 9, 36]), whole([3], 2, 9)], move |x| {
            x[0].self_attention(2, &padded(x))
        }),
    ]);
    all
}

fn attentions() -> Vec<Case> {
    let (free, causal) = (|_: &[Tensor]| plain(), |_: &[Tensor]| AttentionOptions::causal());
    let same = |shape: &[usize]| [x(shape), x(shape), x(shape)];
    let crossed = |q: &[usize], k: &[usize]| [x(q), x(k), x(k)];
    let mut all = Vec::new();
    for (name, options) in [("free", free as fn(&[Tensor]) -> AttentionOptions), ("causal", causal)] {
        all.extend([
            attention(name, same(&[1, 1, 1, 4]), options),
            attention(name, same(&[2, 3, 5, 8]), options),
            attention(name, same(&[1, 2, 33, 32]), options),
            attention(name, same(&[1, 2, 65, 16]), options),
            attention(name, same(&[1, 1, 70, 64]), options),
            attention(name, same(&[1, 1, 9, 128]), options),
            attention(name, same(&[3, 17, 12]), options),
            attention(name, same(&[7, 20]), options),
            attention(name, same(&[2, 1, 2, 9, 8]), options),
            attention(name, crossed(&[1, 2, 5, 8], &[1, 2, 19, 8]), options),
            attention(name, crossed(&[1, 2, 40, 8], &[1, 2, 11, 8]), options),
            // Rows that are no whole vec4 are copied, and so are views that are not; longer rows go by primitives.
            attention(name, same(&[1, 2, 6, 5]), options),
            attention(name, same(&[2, 1, 7, 18]), options),
            attention(name, same(&[1, 1, 3, 132]), options),
            attention(
                name,
                [x([1, 2, 9, 8]).transposed(), x([1, 2, 9, 8]).narrowed(3), x([1, 2, 9, 8]).shifted()],
                options,
            ),
            attention(
                name,
                [x([1, 2, 9, 8]).narrowed(2), x([1, 2, 9, 8]).expanded(1), x([1, 2, 9, 8]).reversed()],
                options,
            ),
        ]);
    }
    let packed = |shape: &[usize], heads: usize, options: fn() -> AttentionOptions| {
        let head_dim = shape[2] / 3 / heads;
        let split = move |qkv: &Tensor| {
            let [batch, rows] = [qkv.size(0), qkv.size(1)];
            [0, 1, 2].map(|part| {
                let part = qkv.narrow(2, part * heads * head_dim, heads * head_dim);
                part.reshape_to([batch, rows, heads, head_dim].into()).permute(&[0, 2, 1, 3])
            })
        };
        case("self_attention by attention", [x(shape)], move |x| x[0].self_attention(heads, &options())).defined(
            move |x| {
                let [q, k, v] = split(&x[0]);
                let y = defined::attention(&q, &k, &v, &options()).permute(&[0, 2, 1, 3]);
                y.reshape_to([x[0].size(0), x[0].size(1), heads * head_dim].into())
            },
        )
    };
    all.extend([
        packed(&[2, 17, 48], 2, plain),
        packed(&[2, 34, 96], 4, AttentionOptions::causal),
        packed(&[1, 5, 18], 2, AttentionOptions::causal),
        case("rotary by cat", [x([2, 5, 6])], |x| x[0].rotary(3, 100.0)).defined(|x| {
            let angle = |at: usize| (3 + at / 6) as f32 / 100f32.powf((at % 3) as f32 / 3.0);
            let table =
                |f: fn(f32) -> f32| Tensor::from_vec((0..30).map(|at| f(angle(at))).collect(), [5, 6], x[0].device());
            let quarter = Tensor::cat(&[&x[0].narrow(2, 3, 3).neg(), &x[0].narrow(2, 0, 3)], 2);
            x[0].mul(&table(f32::cos)).add(&quarter.mul(&table(f32::sin)))
        }),
        attention("of many small heads", same(&[1, 5, 4, 3]), free),
        attention(
            "of large values and a scale below 0",
            [x([1, 2, 20, 8]).within(-30.0, 30.0), x([1, 2, 20, 8]), x([1, 2, 20, 8])],
            |_| AttentionOptions { scale: Some(-1.5), ..plain() },
        )
        .compared(),
        attention("scaled", same(&[1, 2, 6, 8]), |_| AttentionOptions { scale: Some(-0.3), ..plain() }),
        attention(
            "of large values",
            [x([1, 2, 20, 8]).within(-30.0, 30.0), x([1, 2, 20, 8]), x([1, 2, 20, 8])],
            causal,
        )
        .compared(),
        // In primitives its scores, its weights and their gradients would take over 1 GiB.
        case("self_attention by attention over 4,096 rows of", [x([1, 4096, 192])], |x| {
            x[0].self_attention(4, &AttentionOptions::causal())
        })
        .compared()
        .big(),
        attention("of many heads", same(&[4003, 17, 1, 4]), free).compared().big(),
        // More iterations than 65,535, if the loops over a row's vec4 were not unrolled.
        attention("of long rows", crossed(&[1, 1, 3, 32], &[1, 1, 30_100, 32]), free).compared(),
        attention("of many queries", crossed(&[1, 1, 30_100, 32], &[1, 1, 3, 32]), free).compared(),
    ]);
    all
}
