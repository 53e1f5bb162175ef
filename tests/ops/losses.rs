//! Losses of pairs, each beside its definition in primitives, and those that are made of others.

use super::{Case, Input, case, whole, x};
use wgrad::loss::{BinaryOptions, CtcOptions, GaussianConstant, KlTarget};
use wgrad::{CrossEntropyOptions, DType, Reduction, Tensor};

use Reduction::{BatchMean, Mean, None, Sum};

type Loss = fn(&Tensor, &Tensor, Reduction) -> Tensor;
type Two = fn(&Tensor, &Tensor) -> Tensor;
type Smooth = fn(Input) -> Input;

/// A loss with where x and t are such that it is smooth, and each pair's value in primitives.
const PAIRS: &[(&str, Smooth, Smooth, Loss, Two)] = &[
    ("mse_loss", |x| x, |t| t, Tensor::mse_loss, |x, t| (x - t).square()),
    ("l1_loss", |x| x.steps(0.0), |t| t.steps(0.1), Tensor::l1_loss, |x, t| (x - t).abs()),
    (
        "smooth_l1_loss",
        |x| x.steps(0.0),
        |t| t.steps(0.1),
        |x, t, r| x.smooth_l1_loss(t, 0.6, r),
        |x, t| pieces(&(x - t), 0.6, |d| d.square() * (0.5 / 0.6), |d| d.abs() - 0.3),
    ),
    (
        "huber_loss",
        |x| x.steps(0.0),
        |t| t.steps(0.1),
        |x, t, r| x.huber_loss(t, 0.8, r),
        |x, t| pieces(&(x - t), 0.8, |d| d.square() * 0.5, |d| (d.abs() - 0.4) * 0.8),
    ),
    (
        "binary_cross_entropy",
        |x| x.within(0.1, 0.9),
        |t| t.within(0.0, 1.0),
        Tensor::binary_cross_entropy,
        |x, t| -(t * x.log() + (1.0 - t) * (1.0 - x).log()),
    ),
    (
        "binary_cross_entropy_with_logits",
        |x| x,
        |t| t.within(0.0, 1.0),
        Tensor::binary_cross_entropy_with_logits,
        |x, t| x.exp().affine(1.0, 1.0).log() - t * x,
    ),
    (
        "kl_div",
        |x| x,
        |t| t.within(0.2, 1.0),
        |x, t, r| x.kl_div(t, KlTarget::Probabilities, r),
        |x, t| t * (t.log() - x),
    ),
    ("kl_div_log", |x| x, |t| t, |x, t, r| x.kl_div(t, KlTarget::Logarithms, r), |x, t| t.exp() * (t - x)),
];

/// Losses whose targets have no gradient.
const SIGNED: &[(&str, Smooth, Smooth, Loss, Two)] = &[
    ("soft_margin_loss", |x| x, signs, Tensor::soft_margin_loss, |x, t| (-(t * x)).exp().affine(1.0, 1.0).log()),
    (
        "hinge_embedding_loss",
        |x| x.avoiding(&[0.7]),
        signs,
        |x, t, r| x.hinge_embedding_loss(t, 0.7, r),
        |x, t| Tensor::where_(&t.eq_scalar(1.0), x, &(0.7 - x).relu()),
    ),
];

fn signs(t: Input) -> Input {
    t.listed(&[1.0, -1.0, -1.0, 1.0, 1.0]).detached()
}

/// `inner` of differences under a bound, `outer` of the others.
fn pieces(d: &Tensor, bound: f32, inner: fn(&Tensor) -> Tensor, outer: fn(&Tensor) -> Tensor) -> Tensor {
    let bound = Tensor::full([], bound, d.device());
    Tensor::where_(&d.detach().abs().lt(&bound), &inner(d), &outer(d))
}

fn defined(losses: &Tensor, reduction: Reduction) -> Tensor {
    match reduction {
        Mean => losses.mean(),
        Sum => losses.sum(),
        BatchMean => losses.sum() / losses.shape()[0] as f32,
        None => losses.clone(),
    }
}

pub fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    for &(name, left, right, f, definition) in PAIRS.iter().chain(SIGNED) {
        let shapes = [
            (x([65]), x([65]), Mean),
            (x([3, 43]), x([3, 43]), BatchMean),
            (x([5, 13]).transposed(), x([5, 13]), Sum),
            (x([67]).shifted(), x([67]), None),
            (x([3, 4, 5]).narrowed(1), x([3, 4, 5]).reversed(), None),
        ];
        all.extend(shapes.map(|(a, b, reduction)| {
            case(&format!("{name} {reduction:?} of"), [left(a), right(b)], move |x| f(&x[0], &x[1], reduction))
                .defined(move |x| defined(&definition(&x[0], &x[1]), reduction))
        }));
        all.push(
            case(&format!("{name} of many"), [left(x([70_003])), right(x([70_003]))], move |x| f(&x[0], &x[1], Mean))
                .compared(),
        );
    }
    all.extend([
        case(
            "binary_cross_entropy at the ends",
            [
                x([8]).listed(&[0.0, 1.0, 1e-30, 1e-7, 0.02, -0.5, 1.5, 0.999]),
                x([8]).listed(&[0.0, 1.0, 1.0, 0.0, 0.5, 0.5, 0.5, 1.0]).detached(),
            ],
            |x| x[0].binary_cross_entropy(&x[1], None),
        )
        .compared(),
        case(
            "binary_cross_entropy_with_logits of large values",
            [x([6]).listed(&[100.0, -100.0, 1e4, -1e4, 30.0, -30.0]), x([6]).listed(&[0.0, 1.0, 1.0, 0.0, 0.5, 0.5])],
            |x| x[0].binary_cross_entropy_with_logits(&x[1], None),
        )
        .compared(),
        case("kl_div where a target is 0 or less", [x([4]), x([4]).listed(&[0.0, 0.5, -0.5, 1.0]).detached()], |x| {
            x[0].kl_div(&x[1], KlTarget::Probabilities, None)
        })
        .compared(),
        case("smooth_l1_loss with a beta of 0", [x([65]).steps(0.0), x([65]).steps(0.1)], |x| {
            x[0].smooth_l1_loss(&x[1], 0.0, Mean)
        }),
        case(
            "binary_cross_entropy weighted",
            [x([4, 5]).within(0.1, 0.9), x([4, 5]).within(0.0, 1.0), x([5]).detached()],
            |x| {
                let weight = Some(x[2].clone());
                x[0].binary_cross_entropy_with(&x[1], &BinaryOptions { weight, ..BinaryOptions::default() })
            },
        ),
        case(
            "binary_cross_entropy_with_logits weighted",
            [x([4, 5]), x([4, 5]).within(0.0, 1.0), x([5]).within(0.5, 2.0).detached()],
            |x| {
                let [weight, pos_weight] = [&x[2], &x[2]].map(|w| Some(w.clone()));
                x[0].binary_cross_entropy_with_logits_with(&x[1], &BinaryOptions { weight, pos_weight, reduction: Sum })
            },
        )
        .defined(|x| {
            let p = x[0].sigmoid();
            let losses = -(&x[2] * &x[1] * p.log() + (1.0 - &x[1]) * (1.0 - &p).log());
            (losses * &x[2]).sum()
        }),
        case("cosine_embedding_loss", [x([10, 7]), x([10, 7]), signs(x([10]))], |x| {
            x[0].cosine_embedding_loss(&x[1], &x[2], -1.0, Mean)
        }),
        case("cosine_similarity of nothing", [x([2, 3]).listed(&[0.0]).detached(), x([2, 3])], |x| {
            x[0].cosine_similarity(&x[1], 1, 1e-8)
        }),
        case("margin_ranking_loss", [x([65]).steps(0.0), x([65]).steps(0.1), signs(x([65]))], |x| {
            x[0].margin_ranking_loss(&x[1], &x[2], 0.0, Mean)
        }),
        case("triplet_margin_loss", [x([10, 7]), x([10, 7]), x([10, 7])], |x| {
            x[0].triplet_margin_loss(&x[1], &x[2], 9.0, Sum)
        }),
        case("poisson_nll_loss", [x([65]), x([65])], |x| x[0].poisson_nll_loss(&x[1], Mean)),
        case("gaussian_nll_loss", [x([4, 5]), x([4, 5]), x([5]).within(0.3, 2.0)], |x| {
            x[0].gaussian_nll_loss(&x[1], &x[2], GaussianConstant::Full, 1e-6, Mean)
        }),
        case("nll_loss by cross_entropy", [x([65, 11]), whole([65], 0, 11)], |x| x[0].nll_loss(&x[1]))
            .defined(|x| x[0].gather(1, &x[1].unsqueeze(1)).mean().neg()),
        case(
            "nll_loss by cross_entropy, weighted, ignoring 3, apart",
            [x([65, 11]), whole([65], 0, 11), x([11]).within(0.5, 2.0).detached()],
            |x| {
                let weight = Some(x[2].clone());
                let options =
                    CrossEntropyOptions { weight, ignore_index: 3, reduction: None, ..CrossEntropyOptions::default() };
                x[0].nll_loss_with(&x[1], &options)
            },
        ),
        case("cross_entropy of images", [x([2, 5, 3, 4]), whole([2, 3, 4], 0, 5)], |x| x[0].cross_entropy(&x[1])),
        case("cross_entropy of images, apart", [x([2, 5, 3]), whole([2, 3], 0, 5)], |x| {
            let options = CrossEntropyOptions { reduction: None, ..CrossEntropyOptions::default() };
            x[0].cross_entropy_with(&x[1], &options)
        })
        .defined(|x| x[0].log_softmax(1).gather(1, &x[1].unsqueeze(1)).squeeze(1).neg()),
        case("cross_entropy of one row", [x([5]), whole([], 0, 5)], |x| x[0].cross_entropy(&x[1])),
        case("cross_entropy by batches", [x([6, 5, 3]), whole([6, 3], 0, 5)], |x| {
            let options = CrossEntropyOptions { reduction: BatchMean, ..CrossEntropyOptions::default() };
            x[0].cross_entropy_with(&x[1], &options)
        })
        .defined(|x| x[0].log_softmax(1).gather(1, &x[1].unsqueeze(1)).sum().affine(-1.0 / 6.0, 0.0)),
        case(
            "cross_entropy_soft of images, weighted, smoothed",
            [x([2, 5, 3]), x([2, 5, 3]).within(0.0, 1.0), x([5]).within(0.5, 2.0).detached()],
            |x| {
                let weight = Some(x[2].clone());
                let options = CrossEntropyOptions { weight, label_smoothing: 0.2, ..CrossEntropyOptions::default() };
                x[0].cross_entropy_soft_with(&x[1], &options)
            },
        )
        .defined(|x| {
            let target = x[1].affine(0.8, 0.2 / 5.0).mul(&x[2].unsqueeze(1));
            x[0].log_softmax(1).mul(&target).sum().affine(-1.0 / 6.0, 0.0)
        }),
    ]);
    all.extend(alignments());
    all
}

/// Label sequences without alignment: log-probabilities, labels, and the numbers of steps and labels that count.
fn alignments() -> Vec<Case> {
    let listed = |shape: &[usize], values| x(shape).listed(values).detached();
    let ctc = |x: &[Tensor], options: CtcOptions| {
        let [labels, steps, counts] = [1, 2, 3].map(|at: usize| x[at].cast(DType::I32));
        x[0].log_softmax(-1).ctc_loss(&labels, &steps, &counts, options)
    };
    let apart = CtcOptions { reduction: None, ..CtcOptions::default() };
    let plain = CtcOptions::default();
    vec![
        case(
            "ctc_loss of one label",
            [x([3, 2, 4]), listed(&[2, 1], &[1.0]), listed(&[2], &[3.0]), listed(&[2], &[1.0])],
            move |x| ctc(x, apart),
        )
        .defined(|x| {
            // The label from a step to another one, blanks before and behind.
            let p = x[0].softmax(-1);
            let at = |class: usize, t: usize| p.narrow(0, t, 1).narrow(2, class, 1).flatten(0);
            let way = |first: usize, last: usize| {
                let each = (0..3).map(|t| at(usize::from((first..=last).contains(&t)), t));
                each.reduce(|a, b| a * b).unwrap()
            };
            let ways = (0..3).flat_map(|first| (first..3).map(move |last| (first, last)));
            ways.map(|(first, last)| way(first, last)).reduce(|a, b| a + b).unwrap().log().neg()
        }),
        case(
            "ctc_loss of sequences of all lengths",
            [
                x([12, 5, 4]),
                whole([5, 3], 1, 4),
                listed(&[5], &[12.0, 9.0, 1.0, 7.0, 8.0]),
                listed(&[5], &[3.0, 2.0, 1.0, 0.0, 3.0]),
            ],
            move |x| ctc(x, plain),
        ),
        case(
            "ctc_loss of labels twice in a row",
            [
                x([9, 2, 3]),
                listed(&[2, 3], &[1.0, 1.0, 2.0, 2.0, 2.0, 1.0]),
                listed(&[2], &[9.0, 8.0]),
                listed(&[2], &[3.0]),
            ],
            move |x| ctc(x, CtcOptions { reduction: Sum, ..plain }),
        ),
        case(
            "ctc_loss of what cannot be",
            [
                x([3, 3, 4]),
                listed(&[3, 3], &[1.0, 1.0, 1.0, 1.0, 2.0, 3.0, 1.0, 0.0, 0.0]),
                listed(&[3], &[3.0, 2.0, 3.0]),
                listed(&[3], &[3.0, 3.0, 1.0]),
            ],
            move |x| ctc(x, CtcOptions { zero_infinity: true, ..plain }),
        ),
        // A padded label is no class.
        case(
            "ctc_loss of padded labels, blank 2",
            [
                x([6, 2, 4]),
                listed(&[2, 3], &[1.0, 3.0, -1.0, 0.0, -1.0, -1.0]),
                listed(&[2], &[6.0, 5.0]),
                listed(&[2], &[2.0, 1.0]),
            ],
            move |x| ctc(x, CtcOptions { blank: 2, ..apart }),
        ),
        case(
            "ctc_loss of many labels",
            [x([90, 2, 6]), whole([2, 40], 1, 6), listed(&[2], &[90.0, 88.0]), listed(&[2], &[40.0, 33.0])],
            move |x| ctc(x, plain),
        )
        .compared(),
    ]
}
