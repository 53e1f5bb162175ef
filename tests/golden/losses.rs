//! Losses, with PyTorch's arguments and defaults.

use crate::trial::Trial;
use wgrad::loss::{BinaryOptions, CtcOptions, GaussianConstant, KlTarget, MultiMarginOptions};
use wgrad::{CrossEntropyOptions, Reduction, Tensor};

pub fn reduction(t: &Trial) -> Reduction {
    match t.attrs().text("reduction", "mean").as_str() {
        "mean" => Reduction::Mean,
        "sum" => Reduction::Sum,
        "batchmean" => Reduction::BatchMean,
        "none" => Reduction::None,
        other => panic!("no reduction `{other}` is known"),
    }
}

fn target<'a>(t: &'a Trial) -> &'a Tensor {
    t.input("target")
}

pub fn mse(t: &Trial) -> Tensor {
    t.x().mse_loss(target(t), reduction(t))
}

pub fn l1(t: &Trial) -> Tensor {
    t.x().l1_loss(target(t), reduction(t))
}

pub fn smooth_l1(t: &Trial) -> Tensor {
    t.x().smooth_l1_loss(target(t), t.attrs().float("beta", 1.0), reduction(t))
}

pub fn huber(t: &Trial) -> Tensor {
    t.x().huber_loss(target(t), t.attrs().float("delta", 1.0), reduction(t))
}

fn binary_options(t: &Trial) -> BinaryOptions {
    let [weight, pos_weight] = ["weight", "pos_weight"].map(|name| t.maybe(name).cloned());
    BinaryOptions { weight, pos_weight, reduction: reduction(t) }
}

pub fn binary(t: &Trial) -> Tensor {
    t.x().binary_cross_entropy_with(target(t), &binary_options(t))
}

pub fn binary_with_logits(t: &Trial) -> Tensor {
    t.x().binary_cross_entropy_with_logits_with(target(t), &binary_options(t))
}

pub fn kl_div(t: &Trial) -> Tensor {
    let logged = t.attrs().flag("log_target", false);
    t.x().kl_div(target(t), if logged { KlTarget::Logarithms } else { KlTarget::Probabilities }, reduction(t))
}

pub fn nll(t: &Trial) -> Tensor {
    let (weight, ignore_index) = (t.maybe("weight").cloned(), t.attrs().int("ignore_index", -100) as i32);
    let options = CrossEntropyOptions { weight, ignore_index, label_smoothing: 0.0, reduction: reduction(t) };
    t.x().nll_loss_with(target(t), &options)
}

pub fn soft_margin(t: &Trial) -> Tensor {
    t.x().soft_margin_loss(target(t), reduction(t))
}

pub fn hinge_embedding(t: &Trial) -> Tensor {
    t.x().hinge_embedding_loss(target(t), t.attrs().float("margin", 1.0), reduction(t))
}

pub fn cosine_embedding(t: &Trial) -> Tensor {
    let margin = t.attrs().float("margin", 0.0);
    t.input("input1").cosine_embedding_loss(t.input("input2"), target(t), margin, reduction(t))
}

pub fn cosine_similarity(t: &Trial) -> Tensor {
    let (dim, eps) = (t.attrs().int("dim", 1), t.attrs().float("eps", 1e-8));
    t.input("input1").cosine_similarity(t.input("input2"), dim, eps)
}

/// Whole numbers as floats of the other side's type, which losses of pairs take.
fn floats(t: &Trial, beside: &Tensor) -> Tensor {
    if target(t).dtype().is_float() { target(t).clone() } else { target(t).cast(beside.dtype()) }
}

pub fn margin_ranking(t: &Trial) -> Tensor {
    let margin = t.attrs().float("margin", 0.0);
    t.input("input1").margin_ranking_loss(t.input("input2"), &floats(t, t.input("input1")), margin, reduction(t))
}

pub fn gaussian_nll(t: &Trial) -> Tensor {
    let constant = if t.attrs().flag("full", false) { GaussianConstant::Full } else { GaussianConstant::Out };
    t.x().gaussian_nll_loss(target(t), t.input("var"), constant, t.attrs().float("eps", 1e-6), reduction(t))
}

pub fn multi_margin(t: &Trial) -> Tensor {
    let [p, margin] = ["p", "margin"].map(|name| t.attrs().float(name, 1.0));
    let options = MultiMarginOptions { p, margin, weight: t.maybe("weight").cloned(), reduction: reduction(t) };
    t.x().multi_margin_loss(target(t), &options)
}

pub fn multilabel_soft_margin(t: &Trial) -> Tensor {
    t.x().multilabel_soft_margin_loss(&floats(t, t.x()), t.maybe("weight"), reduction(t))
}

pub fn ctc(t: &Trial) -> Tensor {
    let (blank, zero_infinity) = (t.attrs().int("blank", 0) as i32, t.attrs().flag("zero_infinity", false));
    let options = CtcOptions { blank, reduction: reduction(t), zero_infinity };
    // Lengths are lists, too.
    let lengths = |name: &str| {
        t.maybe(name).cloned().unwrap_or_else(|| {
            let each = |n: isize| Tensor::full([1], n as i32, t.device());
            let all: Vec<Tensor> = t.attrs().list(name).expect("expected lengths").into_iter().map(each).collect();
            Tensor::cat(&all.iter().collect::<Vec<_>>(), 0)
        })
    };
    let scores = t.maybe("log_probs").unwrap_or_else(|| t.x());
    scores.ctc_loss(t.input("targets"), &lengths("input_lengths"), &lengths("target_lengths"), options)
}
