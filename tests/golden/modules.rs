//! Layers as PyTorch makes and calls its modules: by the constructor's arguments, with the values that its `state_dict` names, in
//! training and in evaluation. The kinds are named as the modules; losses are functions here.

#[path = "modules/convolutions.rs"]
mod convolutions;
#[path = "modules/norms.rs"]
mod norms;
#[path = "modules/sequences.rs"]
mod sequences;
#[path = "modules/simple.rs"]
mod simple;

use crate::kinds::Runner;
use crate::trial::Trial;
use crate::{familiar, images, indices, losses, ops, rarer, volumes};
use wgrad::Padding;
use wgrad::Tensor;
use wgrad::nn::{
    AdaptiveAvgPool1d, AdaptiveAvgPool2d, AdaptiveAvgPool3d, AdaptiveMaxPool1d, AdaptiveMaxPool2d, AdaptiveMaxPool3d,
    AvgPool1d, AvgPool2d, AvgPool3d, BatchNorm1d, BatchNorm2d, BatchNorm3d, Celu, Conv1d, Conv2d, Conv3d,
    ConvTranspose1d, ConvTranspose2d, ConvTranspose3d, Ctx, Elu, Gelu, GeluTanh, Glu, Gru, Hardshrink, Hardswish,
    Hardtanh, InstanceNorm1d, InstanceNorm2d, InstanceNorm3d, Layer, LeakyRelu, LocalResponseNorm, LogSigmoid,
    LogSoftmax, Lstm, MaxPool2d, MaxPool3d, Mish, PRelu, Relu, Relu6, Selu, Sigmoid, Silu, Softmax, Softmin, Softplus,
    Softshrink, Softsign, Tanh, Tanhshrink, Threshold,
};

use Runner::{Op, Several};

/// A pass in the mode that the file tells, with gradients.
fn ctx(t: &Trial) -> Ctx {
    if t.attrs().flag("training", false) { Ctx::train() } else { Ctx::eval().tracked() }
}

/// What a layer gives, whose parameters and buffers are named as PyTorch's.
fn run(t: &Trial, layer: &dyn Layer) -> Tensor {
    t.agree(&layer);
    layer.forward(t.maybe("input").unwrap_or_else(|| t.input("x")), &ctx(t))
}

/// A function in the place of a module.
macro_rules! function {
    ($function:expr) => {
        Op(|t| {
            ctx(t);
            $function(t)
        })
    };
}

pub static MODULES: &[(&str, Runner)] = &[
    ("nn.AdaptiveAvgPool1d", Op(|t| run(t, &AdaptiveAvgPool1d::new(images::kept_sizes::<1>(t)[0])))),
    ("nn.AdaptiveAvgPool2d", Op(|t| run(t, &AdaptiveAvgPool2d::new(images::kept_sizes(t))))),
    ("nn.AdaptiveAvgPool3d", Op(|t| run(t, &AdaptiveAvgPool3d::new(images::kept_sizes(t))))),
    ("nn.AdaptiveMaxPool1d", Op(|t| run(t, &AdaptiveMaxPool1d::new(images::kept_sizes::<1>(t)[0])))),
    ("nn.AdaptiveMaxPool2d", Op(|t| run(t, &AdaptiveMaxPool2d::new(images::kept_sizes(t))))),
    ("nn.AdaptiveMaxPool3d", Op(|t| run(t, &AdaptiveMaxPool3d::new(images::kept_sizes(t))))),
    ("nn.AvgPool1d", Op(|t| run(t, &AvgPool1d::with(images::avg_pool1d_options(t))))),
    ("nn.AvgPool2d", Op(|t| run(t, &AvgPool2d::with(images::avg_pool2d_options(t))))),
    ("nn.AvgPool3d", Op(|t| run(t, &AvgPool3d::with(volumes::avg_pool3d_options(t))))),
    ("nn.BCELoss", function!(losses::binary)),
    ("nn.BCEWithLogitsLoss", function!(losses::binary_with_logits)),
    ("nn.BatchNorm1d", Several(norms::batch::<BatchNorm1d>)),
    ("nn.BatchNorm2d", Several(norms::batch::<BatchNorm2d>)),
    ("nn.BatchNorm3d", Several(norms::batch::<BatchNorm3d>)),
    ("nn.Bilinear", Op(simple::bilinear)),
    ("nn.CELU", Op(|t| run(t, &Celu::new(t.attrs().float("alpha", 1.0))))),
    ("nn.CTCLoss", function!(losses::ctc)),
    ("nn.CircularPad1d", Op(|t| simple::pad(t, 1, Padding::Circular))),
    ("nn.CircularPad2d", Op(|t| simple::pad(t, 2, Padding::Circular))),
    ("nn.CircularPad3d", Op(|t| simple::pad(t, 3, Padding::Circular))),
    ("nn.ConstantPad1d", Op(|t| simple::pad(t, 1, simple::constant(t)))),
    ("nn.ConstantPad2d", Op(|t| simple::pad(t, 2, simple::constant(t)))),
    ("nn.ConstantPad3d", Op(|t| simple::pad(t, 3, simple::constant(t)))),
    ("nn.Conv1d", Op(convolutions::conv::<Conv1d>)),
    ("nn.Conv2d", Op(convolutions::conv::<Conv2d>)),
    ("nn.Conv3d", Op(convolutions::conv::<Conv3d>)),
    ("nn.ConvTranspose1d", Op(convolutions::conv::<ConvTranspose1d>)),
    ("nn.ConvTranspose2d", Op(convolutions::conv::<ConvTranspose2d>)),
    ("nn.ConvTranspose3d", Op(convolutions::conv::<ConvTranspose3d>)),
    ("nn.CosineEmbeddingLoss", function!(losses::cosine_embedding)),
    ("nn.CrossEntropyLoss", function!(ops::cross_entropy)),
    ("nn.ELU", Op(|t| run(t, &Elu::new(t.attrs().float("alpha", 1.0))))),
    ("nn.Embedding", Op(simple::embedding)),
    ("nn.EmbeddingBag", Op(simple::embedding_bag)),
    (
        "nn.GELU",
        Op(|t| match &*t.attrs().text("approximate", "none") {
            "tanh" => run(t, &GeluTanh::new()),
            _ => run(t, &Gelu::new()),
        }),
    ),
    ("nn.GLU", Op(|t| run(t, &Glu::new(t.attrs().int("dim", -1))))),
    ("nn.GRU", Several(|t| sequences::recurrent(t, |i, h, o, init| Gru::with(i, h, o, init).0))),
    ("nn.GRUCell", Op(sequences::gru_cell)),
    ("nn.GaussianNLLLoss", function!(losses::gaussian_nll)),
    ("nn.GroupNorm", Op(norms::group)),
    ("nn.Hardshrink", Op(|t| run(t, &Hardshrink::new(t.attrs().float("lambd", 0.5))))),
    ("nn.Hardswish", Op(|t| run(t, &Hardswish::new()))),
    ("nn.Hardtanh", Op(|t| run(t, &Hardtanh::new(t.attrs().float("min_val", -1.0), t.attrs().float("max_val", 1.0))))),
    ("nn.HingeEmbeddingLoss", function!(losses::hinge_embedding)),
    ("nn.HuberLoss", function!(losses::huber)),
    ("nn.InstanceNorm1d", Several(norms::batch::<InstanceNorm1d>)),
    ("nn.InstanceNorm2d", Several(norms::batch::<InstanceNorm2d>)),
    ("nn.InstanceNorm3d", Several(norms::batch::<InstanceNorm3d>)),
    ("nn.KLDivLoss", function!(losses::kl_div)),
    ("nn.L1Loss", function!(losses::l1)),
    ("nn.LSTM", Several(|t| sequences::recurrent(t, |i, h, o, init| Lstm::with(i, h, o, init).0))),
    ("nn.LSTMCell", Several(sequences::lstm_cell)),
    ("nn.LayerNorm", Op(norms::layer)),
    ("nn.LeakyReLU", Op(|t| run(t, &LeakyRelu::new(t.attrs().float("negative_slope", 0.01))))),
    ("nn.Linear", Op(simple::linear)),
    ("nn.LinearCrossEntropyLoss", Op(simple::linear_cross_entropy)),
    ("nn.LPPool1d", Op(|t| rarer::lp_layer(t, 1))),
    ("nn.LPPool2d", Op(|t| rarer::lp_layer(t, 2))),
    ("nn.LPPool3d", Op(|t| rarer::lp_layer(t, 3))),
    (
        "nn.LocalResponseNorm",
        Op(|t| {
            let (a, mut layer) = (t.attrs(), LocalResponseNorm::new(t.size("size")));
            (layer.alpha, layer.beta, layer.k) = (a.float("alpha", 1e-4), a.float("beta", 0.75), a.float("k", 1.0));
            run(t, &layer)
        }),
    ),
    ("nn.LogSigmoid", Op(|t| run(t, &LogSigmoid::new()))),
    ("nn.LogSoftmax", Op(|t| run(t, &LogSoftmax::new(t.attrs().int("dim", -1))))),
    ("nn.MSELoss", function!(losses::mse)),
    ("nn.MarginRankingLoss", function!(losses::margin_ranking)),
    (
        "nn.MaxPool1d",
        Several(|t| {
            ctx(t);
            match t.attrs().flag("return_indices", false) {
                true => images::max_pool1d(t),
                false => vec![run(t, &wgrad::nn::MaxPool1d::with(simple::max_pool1d(t)))],
            }
        }),
    ),
    (
        "nn.MaxPool2d",
        Several(|t| {
            ctx(t);
            match t.attrs().flag("return_indices", false) {
                true => indices::max_pool2d_indices(t),
                false => vec![run(t, &MaxPool2d::with(images::max_pool2d_options(t)))],
            }
        }),
    ),
    (
        "nn.MaxPool3d",
        Several(|t| {
            ctx(t);
            match t.attrs().flag("return_indices", false) {
                true => volumes::max_pool3d(t),
                false => vec![run(t, &MaxPool3d::with(volumes::max_pool3d_options(t)))],
            }
        }),
    ),
    ("nn.Mish", Op(|t| run(t, &Mish::new()))),
    (
        "nn.MultiLabelMarginLoss",
        function!(|t: &Trial| { t.x().multilabel_margin_loss(t.input("target"), losses::reduction(t)) }),
    ),
    ("nn.MultiLabelSoftMarginLoss", function!(losses::multilabel_soft_margin)),
    ("nn.MultiMarginLoss", function!(losses::multi_margin)),
    ("nn.MultiheadAttention", Several(sequences::multihead_attention)),
    ("nn.NLLLoss", function!(losses::nll)),
    (
        "nn.PReLU",
        Op(|t| {
            let (slopes, value) = (t.attrs().size("num_parameters").unwrap_or(1), t.attrs().float("init", 0.25));
            let mut layer = PRelu::with(slopes, value, &mut t.init());
            layer.weight = t.parameter("weight");
            run(t, &layer)
        }),
    ),
    ("nn.PoissonNLLLoss", function!(familiar::poisson_nll)),
    ("nn.RMSNorm", Op(norms::rms)),
    ("nn.RNN", Several(sequences::rnn)),
    ("nn.RNNCell", Op(sequences::rnn_cell)),
    ("nn.ReLU", Op(|t| run(t, &Relu::new()))),
    ("nn.ReLU6", Op(|t| run(t, &Relu6::new()))),
    ("nn.ReflectionPad1d", Op(|t| simple::pad(t, 1, Padding::Reflect))),
    ("nn.ReflectionPad2d", Op(|t| simple::pad(t, 2, Padding::Reflect))),
    ("nn.ReflectionPad3d", Op(|t| simple::pad(t, 3, Padding::Reflect))),
    ("nn.ReplicationPad1d", Op(|t| simple::pad(t, 1, Padding::Replicate))),
    ("nn.ReplicationPad2d", Op(|t| simple::pad(t, 2, Padding::Replicate))),
    ("nn.ReplicationPad3d", Op(|t| simple::pad(t, 3, Padding::Replicate))),
    ("nn.SELU", Op(|t| run(t, &Selu::new()))),
    ("nn.SiLU", Op(|t| run(t, &Silu::new()))),
    ("nn.Sigmoid", Op(|t| run(t, &Sigmoid::new()))),
    ("nn.SmoothL1Loss", function!(losses::smooth_l1)),
    ("nn.SoftMarginLoss", function!(losses::soft_margin)),
    ("nn.Softmax", Op(|t| run(t, &Softmax::new(t.attrs().int("dim", -1))))),
    ("nn.Softmax2d", Op(|t| run(t, &Softmax::new(-3)))),
    ("nn.Softmin", Op(|t| run(t, &Softmin::new(t.attrs().int("dim", -1))))),
    ("nn.Softplus", Op(|t| run(t, &Softplus::with(t.attrs().float("beta", 1.0), t.attrs().float("threshold", 20.0))))),
    ("nn.Softshrink", Op(|t| run(t, &Softshrink::new(t.attrs().float("lambd", 0.5))))),
    ("nn.Softsign", Op(|t| run(t, &Softsign::new()))),
    ("nn.Tanh", Op(|t| run(t, &Tanh::new()))),
    ("nn.Tanhshrink", Op(|t| run(t, &Tanhshrink::new()))),
    ("nn.Threshold", Op(|t| run(t, &Threshold::new(t.attrs().float("threshold", 0.0), t.attrs().float("value", 0.0))))),
    ("nn.Transformer", Op(sequences::transformer)),
    ("nn.TransformerDecoderLayer", Op(sequences::decoder_layer)),
    ("nn.TransformerEncoder", Op(sequences::encoder)),
    ("nn.TransformerEncoderLayer", Op(sequences::encoder_layer)),
    ("nn.ZeroPad1d", Op(|t| simple::pad(t, 1, Padding::Constant(0.0)))),
    ("nn.ZeroPad2d", Op(|t| simple::pad(t, 2, Padding::Constant(0.0)))),
    ("nn.ZeroPad3d", Op(|t| simple::pad(t, 3, Padding::Constant(0.0)))),
];
