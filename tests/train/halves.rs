//! Checks that ask for several things at once: what breaks one of them and no other is refused by the check, and not by
//! what comes after it.

use super::rules::panics;
use std::sync::LazyLock;
use wgrad::nn::{Ctx, Gru, Init, Linear, RnnStart};
use wgrad::optim::schedule::{ConstantLr, ExponentialLr, LinearLr, Schedule, Scheduler};
use wgrad::optim::{
    Adadelta, AdadeltaOptions, Adagrad, AdagradOptions, Adam, AdamOptions, Lamb, LambOptions, Lion, LionOptions,
    Optimizer, RmsProp, RmsPropOptions, Sgd, SgdOptions,
};
use wgrad::{
    AttentionOptions, Conv1dOptions, Conv2dOptions, ConvTranspose1dOptions, ConvTranspose2dOptions,
    CrossEntropyOptions, Device, Error, Tensor, Upsampling,
};

static DEVICE: LazyLock<Device> = LazyLock::new(Device::cpu);

fn ones(sizes: &[usize]) -> Tensor {
    Tensor::ones(sizes, &DEVICE)
}

fn whole(sizes: &[usize]) -> Tensor {
    Tensor::full(sizes, 1i32, &DEVICE)
}

/// Each call is refused in these words, or by a sentence that starts so.
macro_rules! refused {
    ($($call:expr => $text:expr;)*) => {{
        let mut wrong = Vec::new();
        $(
            let said = panics(|| $call);
            if !said.starts_with($text) {
                wrong.push(format!("{}\n  says {said}\n  not  {}", stringify!($call), $text));
            }
        )*
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }};
}

#[test]
fn of_attention() {
    let (plain, q) = (AttentionOptions::default(), ones(&[1, 2, 4, 8]));
    let attended = |q: &Tensor, k: &[usize], v: &[usize]| q.scaled_dot_product_attention(&ones(k), &ones(v), &plain);
    let masked = |mask| {
        q.scaled_dot_product_attention(&q, &q, &AttentionOptions { mask: Some(mask), ..AttentionOptions::default() })
    };
    refused! {
        AttentionOptions::default().padded(&ones(&[2]), 3) => "padded: expected lengths of i32 or i64, got f32";
        AttentionOptions::default().padded(&whole(&[1, 2]), 3) => "padded: [1, 2]: expected lengths [batch] of i32";
        masked(whole(&[4, 4])) => "scaled_dot_product_attention: a mask [4, 4] of i32: expected floats that broadcast to [1, 2, 4, 4]";
        masked(ones(&[3, 4])) => "scaled_dot_product_attention: a mask [3, 4] of f32: expected floats that broadcast to [1, 2, 4, 4]";
        attended(&ones(&[8]), &[4, 8], &[4, 8]) => "scaled_dot_product_attention: [8] x [4, 8] x [4, 8]: expected queries, keys";
        attended(&ones(&[2, 8]), &[4, 4], &[4, 8]) => "scaled_dot_product_attention: [2, 8] x [4, 4] x [4, 8]: expected queries, keys";
        attended(&ones(&[2, 8]), &[4, 8], &[3, 8]) => "scaled_dot_product_attention: [2, 8] x [4, 8] x [3, 8]: expected queries, keys";
        ones(&[4, 24]).self_attention(2, &plain) => "self_attention: [4, 24]: expected [batch, rows, 3 * width]";
        ones(&[1, 4, 0]).self_attention(0, &plain) => "self_attention: [1, 4, 0]: expected [batch, rows, 3 * width]";
        ones(&[1, 4, 25]).self_attention(2, &plain) => "self_attention: [1, 4, 25]: expected [batch, rows, 3 * width]";
        ones(&[4]).rotary(0, 1e4) => "rotary: [4]: expected rows [.., rows, head_dim] of an even head_dim";
        ones(&[2, 3]).rotary(0, 1e4) => "rotary: [2, 3]: expected rows [.., rows, head_dim] of an even head_dim";
    }
}

#[test]
fn of_convolutions() {
    let conv = |x: &[usize], w: &[usize], groups, bias: Option<Tensor>| {
        ones(x).conv2d(&ones(w), bias.as_ref(), Conv2dOptions { groups, ..Conv2dOptions::default() })
    };
    let plain = ConvTranspose2dOptions::default();
    let turned = |x: &[usize], w: &[usize], options| ones(x).conv_transpose2d(&ones(w), None, options);
    let grouped = |x: &[usize], w: &[usize], groups| turned(x, w, ConvTranspose2dOptions { groups, ..plain });
    let line = |x: &[usize], w: &[usize]| ones(x).conv1d(&ones(w), None, Conv1dOptions::default());
    let turned_line =
        |x: &[usize], w: &[usize]| ones(x).conv_transpose1d(&ones(w), None, ConvTranspose1dOptions::default());
    refused! {
        conv(&[1, 0, 5, 5], &[2, 2, 3, 3], 0, None) =>
            "conv2d: [1, 0, 5, 5] x [2, 2, 3, 3]: 0 channels do not fit weights for 2 in 0 groups";
        conv(&[1, 4, 5, 5], &[2, 3, 3, 3], 2, None) =>
            "conv2d: [1, 4, 5, 5] x [2, 3, 3, 3]: 4 channels do not fit weights for 3 in 2 groups";
        conv(&[1, 4, 5, 5], &[3, 2, 3, 3], 2, None) =>
            "conv2d: [1, 4, 5, 5] x [3, 2, 3, 3]: 4 channels do not fit weights for 2 in 2 groups";
        conv(&[1, 2, 5, 5], &[2, 2, 3, 3], 1, Some(whole(&[2]))) =>
            "conv2d: [2, 2, 3, 3] x [2]: expected a bias of floats for each output channel";
        conv(&[1, 2, 5, 5], &[2, 2, 3, 3], 1, Some(ones(&[3]))) =>
            "conv2d: [2, 2, 3, 3] x [3]: expected a bias of floats for each output channel";
        line(&[1, 2, 5], &[2, 2]) => "conv1d: [1, 2, 5] x [2, 2]: expected [n, c, length] and weights [o, c, k]";
        line(&[1, 1, 2, 5], &[2, 2, 3]) => "conv1d: [1, 1, 2, 5] x [2, 2, 3]: expected [n, c, length]";
        turned_line(&[1, 2, 5], &[2, 2]) => "conv_transpose1d: [1, 2, 5] x [2, 2]: expected [n, c, length]";
        turned_line(&[1, 1, 2, 5], &[2, 2, 3]) => "conv_transpose1d: [1, 1, 2, 5] x [2, 2, 3]: expected [n, c, length]";
        grouped(&[1, 4, 3, 3], &[4, 2, 3, 3], 0) =>
            "conv_transpose2d: [1, 4, 3, 3] x [4, 2, 3, 3]: 4 channels do not fit weights for 4 in 0 groups";
        grouped(&[1, 4, 3, 3], &[2, 2, 3, 3], 2) =>
            "conv_transpose2d: [1, 4, 3, 3] x [2, 2, 3, 3]: 4 channels do not fit weights for 2 in 2 groups";
        grouped(&[1, 3, 3, 3], &[3, 2, 3, 3], 2) =>
            "conv_transpose2d: [1, 3, 3, 3] x [3, 2, 3, 3]: 3 channels do not fit weights for 3 in 2 groups";
        turned(&[1, 1, 2, 2], &[1, 1, 2, 2], ConvTranspose2dOptions { output_padding: [0, 1], ..plain }) =>
            "conv_transpose2d: an output padding of 1 is not less than the stride or dilation";
        turned(&[1, 1, 1, 1], &[1, 1, 2, 2], ConvTranspose2dOptions { padding: [0, 1], ..plain }) =>
            "conv_transpose2d: [1, 1, 1, 1] x [1, 1, 2, 2]: a padding of 1 cuts off everything";
    }
}

#[test]
fn of_images_and_norms() {
    let image = ones(&[2, 2, 3, 3]);
    let batch = |mean: &Tensor, variance: &Tensor| {
        image.batch_norm(None, None, 1e-5).update_running(mean, variance, &whole(&[1]), 0.1)
    };
    refused! {
        ones(&[1, 1, 0, 4]).adaptive_avg_pool2d([1, 1]) => "adaptive_avg_pool2d: [1, 1, 0, 4]: expected images [n, c, h, w]";
        ones(&[1, 1, 4, 0]).adaptive_avg_pool2d([1, 1]) => "adaptive_avg_pool2d: [1, 1, 4, 0]: expected images [n, c, h, w]";
        ones(&[2, 4, 4]).interpolate([2, 2], Upsampling::Nearest) => "interpolate: [2, 4, 4] to 2 x 2: expected images";
        image.interpolate([2, 0], Upsampling::Nearest) => "interpolate: [2, 2, 3, 3] to 2 x 0: expected images";
        ones(&[3, 2, 2]).pixel_shuffle(2) => "pixel_shuffle: [1, 3, 2, 2]: expected images [n, c, h, w]";
        ones(&[1, 0, 2, 2]).pixel_shuffle(0) => "pixel_shuffle: [1, 0, 2, 2]: expected images [n, c, h, w]";
        ones(&[1, 3, 2, 2]).pixel_shuffle(2) => "pixel_shuffle: [1, 3, 2, 2]: expected images [n, c, h, w]";
        ones(&[2]).group_norm(1, None, None, 1e-5) => "group_norm: [2]: expected a batch [n, c, ..]";
        ones(&[2, 0, 3]).group_norm(0, None, None, 1e-5) => "group_norm: [2, 0, 3]: expected a batch [n, c, ..]";
        ones(&[2, 3]).group_norm(2, None, None, 1e-5) => "group_norm: [2, 3]: expected a batch [n, c, ..]";
        whole(&[2, 3]).layer_norm(&[3], None, None, 1e-5) => "layer_norm: [2, 3] x [3]: expected a tensor of floats";
        ones(&[2, 3]).layer_norm(&[], None, None, 1e-5) => "layer_norm: [2, 3] x []: expected a tensor of floats";
        batch(&ones(&[2]), &ones(&[3])) => "batch_norm: 2 channels x [2] x [3]: expected statistics [channels]";
        batch(&ones(&[3]), &ones(&[2])) => "batch_norm: 2 channels x [3] x [2]: expected statistics [channels]";
    }
}

#[test]
fn of_losses_shapes_and_lengths() {
    let weighted = CrossEntropyOptions { weight: Some(ones(&[2])), ..CrossEntropyOptions::default() };
    let gru = Gru::new(4, 8, &mut Init::new(0, &DEVICE));
    let walk = |lengths| {
        let start = RnnStart { lengths: Some(lengths), ..RnnStart::default() };
        let told = panics(|| gru.forward_from(&ones(&[2, 3, 4]), start.clone(), &Ctx::eval()));
        assert!(told.ends_with("expected a length (i32) for each sequence"), "{told}");
    };
    walk(ones(&[2]));
    walk(whole(&[3]));
    refused! {
        ones(&[]).cross_entropy(&whole(&[])) => "cross_entropy: [] x []: expected logits [rows, classes] and labels [rows]";
        ones(&[2, 3]).cross_entropy(&whole(&[4])) => "cross_entropy: [2, 3] x [4]: expected logits [rows, classes]";
        ones(&[2, 0]).cross_entropy(&whole(&[2])) => "cross_entropy: [2, 0] x [2]: expected logits [rows, classes]";
        ones(&[2, 3]).cross_entropy_with(&whole(&[2]), &weighted) =>
            "cross_entropy: [2, 3] x [2]: expected a weight for each of 3 classes";
        ones(&[2, 3]).reshape([-1, -1]) => "reshape: [-1, -1]: one size may be -1, the others are 0 or more";
        ones(&[2, 3]).reshape([-2, 3]) => "reshape: [-2, 3]: one size may be -1, the others are 0 or more";
        ones(&[2, 0]).reshape([0, -1]) => "reshape: [2, 0] x [0, -1]: beside a size of 0";
    }
    assert_eq!(ones(&[0, 3]).reshape([0, 0]).shape()[..], [0, 0]);
}

#[test]
fn of_optimizers_and_schedules() {
    let line = Linear::new(2, 1, &mut Init::new(0, &DEVICE));
    let told = |result: wgrad::Result<()>, text: &str| match result {
        Err(Error::Option(said)) => assert_eq!(said, text),
        other => panic!("{text}: {other:?}"),
    };
    let adam = AdamOptions::default();
    for lr in [-1.0, f32::INFINITY] {
        let text = format!("learning rate: {lr} is not a number from 0 up");
        told(Sgd::new(&line, SgdOptions { lr, ..Default::default() }).map(drop), &text);
        told(Adam::new(&line, AdamOptions { lr, ..adam }).map(drop), &text);
        told(RmsProp::new(&line, RmsPropOptions { lr, ..Default::default() }).map(drop), &text);
        told(Adagrad::new(&line, AdagradOptions { lr, ..Default::default() }).map(drop), &text);
        told(Adadelta::new(&line, AdadeltaOptions { lr, ..Default::default() }).map(drop), &text);
        told(Lamb::new(&line, LambOptions { lr, ..Default::default() }).map(drop), &text);
        told(Lion::new(&line, LionOptions { lr, ..Default::default() }).map(drop), &text);
    }
    let text = "weight decay: -1 is not a number from 0 up";
    told(Adam::new(&line, AdamOptions { weight_decay: -1.0, ..adam }).map(drop), text);
    let mut sgd = Sgd::new(&line, SgdOptions::default()).expect("the options are in range");
    let mut check = |schedule: Box<dyn Schedule>, text| told(Scheduler::new(schedule, &mut sgd).map(drop), text);
    let line = LinearLr { start_factor: 0.5, end_factor: 1.0, total_iters: 2 };
    check(
        Box::new(LinearLr { end_factor: f64::INFINITY, ..line }),
        "LinearLr: end_factor: inf is not a number from 0 up",
    );
    check(Box::new(ExponentialLr { gamma: f64::NAN }), "ExponentialLr: gamma: NaN is not a number");
    check(
        Box::new(ConstantLr { factor: f64::NAN, total_iters: 1 }),
        "ConstantLr: factor: NaN is not a number from 0 up",
    );
    assert_eq!(sgd.momentum(), None, "this one has no momentum");
}
