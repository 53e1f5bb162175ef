//! What the crate implements: one line for each kind of case.

use crate::train::Build;
use crate::trial::Trial;
use crate::{gpt, images, losses, models, ops, optim, schedules, sequences};
use wgrad::Tensor;

/// How a kind of case is run.
pub enum Runner {
    /// A function of tensors, whose output and gradients are judged.
    Op(fn(&Trial) -> Tensor),
    /// Values that are judged by their names in the file; nothing is differentiated.
    Values(fn(&Trial) -> Vec<(String, Tensor)>),
    /// A model that is trained.
    Train(Build),
}

use Runner::{Op, Train, Values};

/// A kind that is not named here is one that the crate does not implement.
pub static KINDS: &[(&str, Runner)] = &[
    ("abs", Op(|t| t.x().abs())),
    ("adaptive_avg_pool2d", Op(images::adaptive_avg_pool2d)),
    ("add", Op(|t| t.x().add(t.y()))),
    ("amax", Op(|t| t.x().amax(&t.dims(), t.keep()))),
    ("amin", Op(|t| t.x().amin(&t.dims(), t.keep()))),
    ("argmax", Op(ops::argmax)),
    ("avg_pool2d", Op(images::avg_pool2d)),
    ("batch_norm", Op(images::batch_norm)),
    ("binary_cross_entropy", Op(losses::binary)),
    ("binary_cross_entropy_with_logits", Op(losses::binary_with_logits)),
    ("cat", Op(|t| Tensor::cat(&t.list(), t.attrs().int("dim", 0)))),
    ("clamp", Op(ops::clamp)),
    ("clip_grad_norm", Values(optim::clip_grad_norm)),
    ("conv2d", Op(images::conv2d)),
    ("cos", Op(|t| t.x().cos())),
    ("cosine_embedding_loss", Op(losses::cosine_embedding)),
    ("cross_entropy", Op(ops::cross_entropy)),
    ("div", Op(|t| t.x().div(t.y()))),
    ("elu", Op(|t| t.x().elu(t.attrs().float("alpha", 1.0)))),
    ("embedding", Op(|t| t.input("weight").embedding(t.x()))),
    ("erf", Op(|t| t.x().erf())),
    ("exp", Op(|t| t.x().exp())),
    ("expand", Op(ops::expand)),
    ("flip", Op(|t| t.x().flip(&t.attrs().list("dims").expect("flip: `dims` is due")))),
    ("gather", Op(|t| t.x().gather(t.attrs().int("dim", 0), t.input("index")))),
    ("gaussian_nll_loss", Op(losses::gaussian_nll)),
    ("gelu", Op(ops::gelu)),
    ("group_norm", Op(sequences::group_norm)),
    ("hinge_embedding_loss", Op(losses::hinge_embedding)),
    ("huber_loss", Op(losses::huber)),
    ("index_select", Op(|t| t.x().index_select(t.attrs().int("dim", 0), t.input("index")))),
    ("kl_div", Op(losses::kl_div)),
    ("l1_loss", Op(losses::l1)),
    ("layer_norm", Op(sequences::layer_norm)),
    ("leaky_relu", Op(|t| t.x().leaky_relu(t.attrs().float("negative_slope", 0.01)))),
    ("linear", Op(ops::linear)),
    ("log", Op(|t| t.x().log())),
    ("log_softmax", Op(|t| t.x().log_softmax(t.attrs().int("dim", -1)))),
    ("logsumexp", Op(|t| t.x().logsumexp(&t.dims(), t.keep()))),
    ("lr_scheduler", Op(schedules::rates)),
    ("margin_ranking_loss", Op(losses::margin_ranking)),
    ("matmul", Op(|t| t.x().matmul(t.y()))),
    ("max_pool2d", Op(images::max_pool2d)),
    ("maximum", Op(|t| t.x().maximum(t.y()))),
    ("mean", Op(|t| t.x().mean_dims(&t.dims(), t.keep()))),
    ("minimum", Op(|t| t.x().minimum(t.y()))),
    ("mse_loss", Op(losses::mse)),
    ("mul", Op(|t| t.x().mul(t.y()))),
    ("narrow", Op(ops::narrow)),
    ("neg", Op(|t| t.x().neg())),
    ("nll_loss", Op(losses::nll)),
    ("optim_adadelta", Op(optim::adadelta)),
    ("optim_adagrad", Op(optim::adagrad)),
    ("optim_adam", Op(optim::adam)),
    ("optim_adamw", Op(optim::adamw)),
    ("optim_rmsprop", Op(optim::rmsprop)),
    ("optim_sgd", Op(optim::sgd)),
    ("pad", Op(ops::pad)),
    ("permute", Op(ops::permute)),
    ("poisson_nll_loss", Op(losses::poisson_nll)),
    ("pow", Op(|t| t.x().pow(t.y()))),
    ("pow_scalar", Op(|t| t.x().pow_scalar(t.attrs().float("exponent", f32::NAN)))),
    ("reciprocal", Op(|t| t.x().reciprocal())),
    ("relu", Op(|t| t.x().relu())),
    ("reshape", Op(ops::reshape)),
    ("rms_norm", Op(sequences::rms_norm)),
    ("rsqrt", Op(|t| t.x().rsqrt())),
    ("scaled_dot_product_attention", Op(sequences::attention)),
    ("sigmoid", Op(|t| t.x().sigmoid())),
    ("silu", Op(|t| t.x().silu())),
    ("sin", Op(|t| t.x().sin())),
    ("smooth_l1_loss", Op(losses::smooth_l1)),
    ("soft_margin_loss", Op(losses::soft_margin)),
    ("softmax", Op(|t| t.x().softmax(t.attrs().int("dim", -1)))),
    ("softplus", Op(ops::softplus)),
    ("sqrt", Op(|t| t.x().sqrt())),
    ("square", Op(|t| t.x().square())),
    ("stack", Op(ops::stack)),
    ("sub", Op(|t| t.x().sub(t.y()))),
    ("sum", Op(|t| t.x().sum_dims(&t.dims(), t.keep()))),
    ("tanh", Op(|t| t.x().tanh())),
    ("train:bn_cnn_adamw", Train(models::normalized_cnn)),
    ("train:cifar_cnn_sgd_momentum", Train(models::cnn)),
    ("train:gpt_adamw", Train(gpt::gpt)),
    ("train:mlp3_adam", Train(models::mlp)),
    ("train:mlp_sgd", Train(models::mlp)),
    ("train:mnist_cnn_adam", Train(models::cnn)),
    ("triplet_margin_loss", Op(losses::triplet_margin)),
    ("var", Op(ops::var)),
    ("where", Op(ops::select)),
];

/// How a kind is run, if the crate implements it.
pub fn runner(kind: &str) -> Option<&'static Runner> {
    KINDS.iter().find(|(name, _)| *name == kind).map(|(_, runner)| runner)
}
