//! Losses, with PyTorch's arguments and defaults.

use crate::trial::Trial;
use wgrad::loss::{BinaryOptions, KlTarget};
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
