//! A mistake is told with the line of the program that made it, whatever lies between.

use super::rules::panics;
use crate::devices::devices;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, Once, PoisonError};
use std::thread::{self, ThreadId};
use wgrad::loss::{BinaryOptions, KlTarget};
use wgrad::nn::init::xavier_uniform;
use wgrad::nn::{
    AdaptiveAvgPool2d, AvgPool2d, BatchNorm1d, BatchNorm2d, BatchNorm3d, Conv1d, Conv2d, Conv3d, ConvTranspose2d, Ctx,
    Dropout, Embedding, Flatten, GroupNorm, Init, Layer, LayerNorm, Linear, LocalResponseNorm, Lstm, MaxPool2d,
    MaxPool3d, MultiheadAttention, PRelu, Pad, Parameter, Relu, RmsNorm, Sequential, TransformerDecoderLayer,
    TransformerEncoderLayer, TransformerOptions, Unflatten, Upsample,
};
use wgrad::optim::{Optimizer, Sgd, SgdOptions};
use wgrad::{
    AttentionOptions, AvgPool2dOptions, AvgPool3dOptions, Conv1dOptions, Conv2dOptions, Conv3dOptions,
    ConvTranspose2dOptions, ConvTranspose3dOptions, CrossEntropyOptions, DType, Device, EmbeddingBagOptions, Extreme,
    KeepDims, MaxPool2dOptions, MaxPool3dOptions, Padding, Reduction, Rng, Tensor, Upsampling,
};

/// The file in which `work` panics, as the panic tells it.
fn told(name: &str, work: impl FnOnce()) -> String {
    static FILES: Mutex<Option<HashMap<ThreadId, String>>> = Mutex::new(None);
    static ONCE: Once = Once::new();
    let files = || FILES.lock().unwrap_or_else(PoisonError::into_inner);
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let file = info.location().map(|at| format!("{}:{}", at.file(), at.line())).unwrap_or_default();
            let mut files = FILES.lock().unwrap_or_else(PoisonError::into_inner);
            files.get_or_insert_default().insert(thread::current().id(), file);
            drop(files);
            usual(info);
        }));
    });
    let went_through = catch_unwind(AssertUnwindSafe(work)).is_ok();
    assert!(!went_through, "{name}: it went through");
    files().as_mut().and_then(|files| files.remove(&thread::current().id())).expect("the hook was called")
}

/// Each of these is a mistake, and is told with a line of this file.
macro_rules! lines {
    ($($mistake:expr;)*) => {{
        let mut wrong = Vec::new();
        $(
            let file = told(stringify!($mistake), || {
                let _ = $mistake;
            });
            if !file.starts_with(file!()) {
                wrong.push(format!("{} -> {file}", stringify!($mistake)));
            }
        )*
        assert!(wrong.is_empty(), "told with another line than the caller's:\n{}", wrong.join("\n"));
    }};
}

/// Two tensors whose shapes do not broadcast, one of integers, and one of another device of the same kind.
struct Wrong {
    a: Tensor,
    b: Tensor,
    int: Tensor,
    far: Tensor,
}

impl Wrong {
    fn new(device: &Device) -> Wrong {
        Wrong {
            a: Tensor::ones([2, 3], device),
            b: Tensor::ones([2, 4], device),
            int: Tensor::arange(0, 6, device).reshape([2, 3]),
            far: Tensor::ones([2, 3], &Device::cpu()),
        }
    }
}

#[test]
fn operators_tell_the_line() {
    for (_, device) in devices() {
        let Wrong { a, b, int, far } = Wrong::new(&device);
        lines! {
            &a + &b; &a - &b; &a * &b; &a / &b;
            a.clone() + &b; a.clone() - &b; a.clone() * &b; a.clone() / &b;
            &a + b.clone(); &a - b.clone(); &a * b.clone(); &a / b.clone();
            a.clone() + b.clone(); a.clone() - b.clone(); a.clone() * b.clone(); a.clone() / b.clone();
            &int + 1.0; &int - 1.0; &int * 2.0; &int / 2.0;
            int.clone() + 1.0; int.clone() - 1.0; int.clone() * 2.0; int.clone() / 2.0;
            1.0 + &int; 1.0 - &int; 2.0 * &int; 2.0 / &int;
            1.0 + int.clone(); 1.0 - int.clone(); 2.0 * int.clone(); 2.0 / int.clone();
            &a + &far; &a - &far; &a * &far; &a / &far; a.clone() + far.clone();
        }
    }
}

#[test]
fn functions_tell_the_line() {
    for (_, device) in devices() {
        let Wrong { a, b, int, far } = Wrong::new(&device);
        lines! {
            a.add(&b); a.sub(&b); a.mul(&b); a.div(&b); a.pow(&b); a.maximum(&b); a.minimum(&b);
            a.eq(&b); a.ne(&b); a.lt(&b); a.le(&b); a.gt(&b); a.ge(&b);
            int.affine(1.0, 1.0); int.exp(); int.log(); int.sqrt(); int.rsqrt(); int.reciprocal();
            int.sin(); int.cos(); int.tanh(); int.sigmoid(); int.relu(); int.leaky_relu(0.1); int.elu(1.0); int.gelu();
            int.gelu_tanh(); int.silu(); int.softplus(); int.square(); int.erf();
            int.pow_scalar(3.0); int.hardtanh(0.0, 1.0); int.relu6(); int.hardswish(); int.hardsigmoid();
            int.softsign(); int.mish(); int.selu(); int.celu(1.0); int.logsigmoid(); int.threshold(0.0, 1.0);
            int.hardshrink(0.5); int.softshrink(0.5); int.tanhshrink(); a.prelu(&b); a.glu(1); a.celu(0.0);
            Tensor::where_(&a, &a, &b); Tensor::where_(&far, &a, &a);
            a.matmul(&b); a.matmul(&int); a.matmul(&far.t()); Tensor::ones([2, 2, 3], &device).matmul(&Tensor::ones([3, 3, 3], &device));
            a.linear(&b, None); a.linear(&a, Some(&b)); a.linear(&far, None);
            Tensor::einsum("ij,jk->ik", &[&a, &b]); Tensor::einsum("ij->k", &[&a]); Tensor::einsum("ij", &[&a, &b]);
            Tensor::einsum("ij,kj->ik", &[&a, &far]); Tensor::einsum("ij,kj->ik", &[&a, &int]);
            int.mean(); a.sum_dims(&[2], KeepDims::No); a.sum_dims(&[0, 0], KeepDims::No);
            a.mean_dims(&[-3], KeepDims::Yes); a.var_dims(&[5], 1, KeepDims::No); int.var(1);
            a.amax(&[2], KeepDims::No); a.amin(&[0, 0], KeepDims::No); a.argmax(2); a.norm(&[3], KeepDims::No);
            a.logsumexp(&[3], KeepDims::No); int.logsumexp(&[0], KeepDims::No); a.cumsum(4); a.topk(9, 0, Extreme::Largest);
            a.topk(1, 7, Extreme::Smallest); a.softmax(3); a.log_softmax(-4); int.softmax(0); int.log_softmax(0);
            a.index_select(3, &int); a.index_select(0, &a); a.gather(0, &a); a.gather(3, &int); a.embedding(&a);
            a.one_hot(3); a.masked_fill(&b, 0.0); Tensor::ones([3], &device).tril(0); Tensor::ones([3], &device).triu(0);
            a.layer_norm(&[4], None, None, 1e-5); a.layer_norm(&[3], Some(&b), None, 1e-5); a.rms_norm(&[4], None, 1e-5);
            a.layer_norm(&[3], Some(&Tensor::ones([3], far.device())), None, 1e-5);
            a.group_norm(2, None, None, 1e-5); a.group_norm(3, Some(&b), None, 1e-5); a.group_norm(3, None, Some(&b), 1e-5);
            a.group_norm(3, Some(&Tensor::ones([3], far.device())), None, 1e-5);
            a.batch_norm(Some(&b), None, 1e-5); a.batch_norm_eval(&b, &b, None, None, 1e-5);
            a.mse_loss(&b, Reduction::Mean); a.l1_loss(&b, Reduction::Sum); a.smooth_l1_loss(&b, 1.0, Reduction::None);
            a.huber_loss(&b, 1.0, Reduction::Mean); a.binary_cross_entropy(&b, Reduction::Mean);
            a.binary_cross_entropy_with_logits(&b, Reduction::Mean); a.kl_div(&b, KlTarget::Probabilities, Reduction::Mean);
            a.soft_margin_loss(&b, Reduction::Mean); a.hinge_embedding_loss(&b, 1.0, Reduction::Mean);
            a.binary_cross_entropy_with(&a, &BinaryOptions { weight: Some(b.clone()), ..BinaryOptions::default() });
            a.binary_cross_entropy_with_logits_with(&a, &BinaryOptions { weight: Some(b.clone()), ..BinaryOptions::default() });
            a.binary_cross_entropy_with_logits_with(&a, &BinaryOptions { pos_weight: Some(b.clone()), ..BinaryOptions::default() });
            a.cosine_similarity(&b, 1, 1e-8); a.cosine_embedding_loss(&b, &a, 0.0, Reduction::Mean);
            a.margin_ranking_loss(&b, &a, 0.0, Reduction::Mean); a.poisson_nll_loss(&b, Reduction::Mean);
            a.cross_entropy(&a); a.cross_entropy(&int); a.nll_loss(&a); a.cross_entropy_soft(&b);
            a.cross_entropy_with(&Tensor::arange(0, 2, &device), &CrossEntropyOptions { weight: Some(b.clone()), ..CrossEntropyOptions::default() });
            a.cross_entropy_soft_with(&a, &CrossEntropyOptions { weight: Some(Tensor::ones([3], far.device())), ..CrossEntropyOptions::default() });
        }
    }
}

#[test]
fn shapes_and_images_tell_the_line() {
    for (_, device) in devices() {
        let Wrong { a, b, int, far } = Wrong::new(&device);
        let image = Tensor::ones([1, 2, 4, 4], &device);
        let heads = Tensor::ones([1, 2, 4, 8], &device);
        let hidden = AttentionOptions { mask: Some(b.clone()), ..AttentionOptions::default() };
        let none: [Tensor; 0] = [];
        lines! {
            a.reshape([5]); a.reshape([-1, -1]); a.flatten(3); a.permute(&[0, 0]); a.permute(&[0]); a.transpose(0, 2);
            image.t(); a.expand([3, 3]); a.narrow(0, 1, 2); a.narrow(3, 0, 1); a.unsqueeze(4); a.squeeze(4); a.size(2);
            Tensor::cat(&none, 0); Tensor::cat(&[&a, &b], 0); Tensor::cat(&[&a, &a], 2);
            Tensor::cat(&[&a, &far], 0); Tensor::stack(&none, 0); Tensor::stack(&[&a, &b], 0); Tensor::stack(&[&a], 4);
            Tensor::stack(&[&a, &far], 0); a.pad(&[(0, 0); 3], 0.0); a.flip(&[2]); a.flip(&[0, 0]);
            a.split(0, 0); a.split(1, 2); a.split_sizes(&[1, 1], 1); a.chunk(0, 0); image.pixel_shuffle(2); a.diagonal(0, 2);
            a.assign(&b); a.assign(&far); a.upload(&[1.0f32]); a.upload(&[1i32; 6]); a.item(); a.to_vec::<i32>();
            Tensor::from_slice(&[1.0f32], [2], &device); Tensor::from_vec(vec![1.0f32], [2], &device);
            Tensor::zeros([1; 7].as_slice(), &device); Tensor::ones([usize::MAX, 2], &device);
            Tensor::full([usize::MAX, 2], 1i32, &device); Tensor::empty([usize::MAX, 2], DType::F32, &device);
            int.clone().requires_grad(); a.backward(); a.sum().backward(); a.clone().requires_grad().backward();
            a.clone().requires_grad().backward_with(&b); a.clone().requires_grad().backward_with(&far);
            a.clone().requires_grad().backward_with(&int);
            image.conv2d(&a, None, Conv2dOptions::default()); a.conv1d(&a, None, Conv1dOptions::default());
            image.conv2d(&Tensor::ones([2, 2, 3, 3], far.device()), None, Conv2dOptions::default());
            image.conv2d(&Tensor::ones([2, 2, 9, 9], &device), None, Conv2dOptions::default());
            image.conv_transpose2d(&Tensor::ones([2, 2, 1, 1], &device), None, ConvTranspose2dOptions { padding: [9; 2], ..ConvTranspose2dOptions::default() });
            image.conv_transpose2d(&a, None, ConvTranspose2dOptions::default());
            a.max_pool2d(MaxPool2dOptions::new(2)); a.avg_pool2d(AvgPool2dOptions::new(2)); image.max_pool2d(MaxPool2dOptions::new(9));
            a.adaptive_avg_pool2d([1, 1]); a.adaptive_max_pool2d([1, 1]); a.interpolate([2, 2], Upsampling::Nearest);
            a.upsample([2.0, 2.0], Upsampling::Nearest); Tensor::ones([3], &device).rotary(0, 1e4);
            heads.scaled_dot_product_attention(&heads, &a, &AttentionOptions::default());
            heads.scaled_dot_product_attention(&heads, &heads, &hidden);
            a.self_attention(5, &AttentionOptions::default()); AttentionOptions::default().padded(&a, 3);
            AttentionOptions { mask: Some(b.clone()), ..AttentionOptions::default() }.padded(&Tensor::arange(0, 2, &device), 3);
        }
    }
}

#[test]
fn layers_and_optimizers_tell_the_line() {
    for (_, device) in devices() {
        let Wrong { a, int, far, .. } = Wrong::new(&device);
        let image = Tensor::ones([1, 2, 4, 4], &device);
        let init = &mut Init::new(0, &device);
        let eval = Ctx::eval();
        let train = Ctx::train();
        let small = TransformerOptions { feedforward: 8, ..TransformerOptions::default() };
        let (rows, plain) = (Tensor::ones([1, 2, 4], &device), AttentionOptions::default());
        let layer = Linear::new(3, 1, init);
        let mut first = Sgd::new(&layer, SgdOptions::default()).expect("the options fit");
        let step = |x: &Tensor, first: &mut Sgd| {
            first.step(&layer.forward(x, &Ctx::train()).sum().backward());
            Ok(())
        };
        let captured = device.capture(&a, |x| step(x, &mut first)).expect("it can be captured");
        let dynamic: Vec<Box<dyn Layer>> = vec![
            Box::new(Conv2d::new(3, 1, 3, init)),
            Box::new(MaxPool2d::new(2)),
            Box::new(Lstm::new(4, 2, init)),
            Box::new(BatchNorm2d::new(3, init)),
            Box::new(GroupNorm::new(1, 4, init)),
            Box::new(MultiheadAttention::new(4, 2, init)),
        ];
        let _second = Sgd::new(&layer, SgdOptions::default()).expect("the options fit");
        let other = Linear::new(3, 1, init);
        let mut own = Sgd::new(&other, SgdOptions::default()).expect("the options fit");
        let boxed: Box<Linear> = Box::new(Linear::new(4, 1, init));
        lines! {
            Linear::new(4, 1, init).forward(&a, &eval); boxed.forward(&a, &eval);
            Conv2d::new(3, 1, 3, init).forward(&image, &eval); Conv1d::new(3, 1, 3, init).forward(&image, &eval);
            ConvTranspose2d::new(3, 1, 3, init).forward(&image, &eval); BatchNorm1d::new(4, init).forward(&a, &eval);
            BatchNorm2d::new(3, init).forward(&image, &train); GroupNorm::new(1, 4, init).forward(&a, &eval);
            LayerNorm::new([4], init).forward(&a, &eval); RmsNorm::new([4], init).forward(&a, &eval);
            Embedding::new(4, 2, init).forward(&a, &eval); PRelu::new(4, init).forward(&a, &eval); Relu::new().forward(&int, &eval);
            MaxPool2d::new(2).forward(&a, &eval); AvgPool2d::new(2).forward(&a, &eval); Flatten::new().forward(&Tensor::ones([], &device), &eval);
            AdaptiveAvgPool2d::new([1, 1]).forward(&a, &eval); Unflatten::new(1, [2, 2]).forward(&a, &eval);
            Dropout::new(0.5, init).forward(&int, &train); Upsample::new(2.0, Upsampling::Nearest).forward(&a, &eval);
            MultiheadAttention::new(4, 2, init).forward(&a, &eval); Lstm::new(4, 2, init).forward(&a, &eval);
            Lstm::new(3, 2, init).forward_from(&Tensor::ones([2, 2, 4], &device), None, &eval);
            TransformerEncoderLayer::new(4, 2, small, init).forward(&a, &eval);
            TransformerDecoderLayer::new(4, 2, small, init).decode(&rows, &a, [&plain; 2], &eval);
            Sequential::new().push(Linear::new(3, 4, init)).push(Linear::new(5, 1, init)).forward(&a, &eval);
            Sequential::new().push(Sequential::new().push(Relu::new())).forward(&int, &eval);
            dynamic[0].forward(&a, &eval); dynamic[1].forward(&a, &eval); dynamic[2].forward(&a, &eval);
            dynamic[3].forward(&a, &train); dynamic[4].forward(&a, &eval); dynamic[5].forward(&a, &eval);
            Parameter::new(int.clone()); Linear::new(usize::MAX, 2, init); Linear::without_bias(usize::MAX, 2, init);
            Embedding::new(usize::MAX, 2, init); BatchNorm1d::new(usize::MAX, init); LayerNorm::new([usize::MAX], init);
            RmsNorm::new([usize::MAX], init); PRelu::new(usize::MAX, init); Dropout::new(2.0, init);
            xavier_uniform(other.bias.as_ref().expect("it has one"), 1.0, &mut Rng::new(0)); Rng::new(0).below(0);
            Conv2d::with(3, 2, [1, 1], Conv2dOptions { groups: 2, ..Conv2dOptions::default() }, init);
            layer.forward(&far, &eval); captured.run(&a);
            own.step(&layer.forward(&a, &train).sum().backward());
        }
    }
}

#[test]
fn what_a_gradient_finds_changed_is_told_with_the_line_of_backward() {
    for (_, device) in devices() {
        let weight = Tensor::ones([4, 3], &device).requires_grad();
        let bias = Tensor::ones([4], &device).requires_grad();
        let changed = |forward: &dyn Fn(&Tensor) -> Tensor| {
            let x = Tensor::ones([2, 3], &device);
            let loss = forward(&x).sum();
            x.assign(&Tensor::zeros([2, 3], &device));
            loss
        };
        lines! {
            changed(&|x| x.linear(&weight, Some(&bias))).backward(); changed(&|x| x.matmul(&weight.t())).backward();
            changed(&|x| x.mul(&weight.narrow(0, 0, 2))).backward(); changed(&|x| weight.narrow(0, 0, 2).div(x)).backward();
        }
        // The device is as it was.
        let grads = Tensor::ones([2, 3], &device).linear(&weight, Some(&bias)).sum().backward();
        let of_bias = grads.of(&bias).expect("it depends on it").to_vec::<f32>();
        assert_eq!(of_bias.expect("the device works"), [2.0; 4]);
    }
}

#[test]
fn two_devices_of_one_kind_are_told_apart() {
    let [first, second] = [Device::new_cpu(), Device::new_cpu()];
    let text = panics(|| Tensor::ones([2], &first) + Tensor::ones([2], &second));
    assert!(
        text.starts_with("add: tensors on two devices of one kind, ") && text.ends_with("clone the first"),
        "{text}"
    );
    let both = vec![Linear::new(1, 1, &mut Init::new(0, &first)), Linear::new(1, 1, &mut Init::new(0, &second))];
    let text = panics(|| Sgd::new(&both, SgdOptions::default()));
    assert!(text.contains("1.weight and 0.weight on two devices of one kind"), "{text}");
    for (name, device) in devices().into_iter().filter(|(name, _)| !name.to_lowercase().contains("cpu")) {
        let text = panics(|| Tensor::ones([2], &first) + Tensor::ones([2], &device));
        assert!(text.starts_with("add: tensors on CPU") && text.contains(" and on "), "{name}: {text}");
    }
}

#[test]
fn volumes_bags_and_maps_tell_the_line() {
    for (_, device) in devices() {
        let Wrong { a, b, int, .. } = Wrong::new(&device);
        let volume = Tensor::ones([1, 2, 4, 4, 4], &device);
        let (weight, large) = (Tensor::ones([3, 2, 2, 2, 2], &device), Tensor::ones([3, 2, 5, 2, 2], &device));
        let weights = Some(b.clone());
        let weighted = EmbeddingBagOptions { per_sample_weights: weights, ..EmbeddingBagOptions::default() };
        let grouped = AttentionOptions { enable_gqa: true, ..AttentionOptions::default() };
        let [three, two] = [3, 2].map(|heads| Tensor::ones([1, heads, 4, 8], &device));
        lines! {
            a.conv3d(&weight, None, Conv3dOptions::default()); volume.conv3d(&a, None, Conv3dOptions::default());
            volume.conv3d(&large, None, Conv3dOptions::default()); volume.conv3d(&weight, Some(&b), Conv3dOptions::default());
            a.conv_transpose3d(&weight, None, ConvTranspose3dOptions::default());
            volume.conv_transpose3d(&weight.transpose(0, 1), Some(&b), ConvTranspose3dOptions::default());
            a.max_pool3d(MaxPool3dOptions::new(2)); volume.max_pool3d(MaxPool3dOptions::new(9));
            a.avg_pool3d(AvgPool3dOptions::new(2)); volume.avg_pool3d(AvgPool3dOptions::new(9));
            volume.avg_pool3d(AvgPool3dOptions { kernel_size: [9, 1, 1], ..AvgPool3dOptions::new(1) });
            a.adaptive_avg_pool3d([1, 1, 1]); volume.adaptive_max_pool3d([0, 1, 1]); volume.adaptive_avg_pool3d([1, 0, 1]);
            a.bilinear(&a, &b, None); a.bilinear(&a, &Tensor::ones([2, 3, 3], &device), Some(&b));
            a.embedding_bag(&a, None, &EmbeddingBagOptions::default()); a.embedding_bag(&int, Some(&int), &EmbeddingBagOptions::default());
            a.embedding_bag(&int, None, &weighted); Tensor::ones([3], &device).local_response_norm(3, 1e-4, 0.75, 1.0);
            a.logcumsumexp(5); Tensor::arange_step(0.0, 1.0, -0.5, &device); Tensor::arange_step(0.0, 1.0, 0.0, &device);
            three.scaled_dot_product_attention(&two, &two, &grouped);
            Pad::new([(1, 1); 3], Padding::Reflect).forward(&a, &Ctx::eval()); LocalResponseNorm::new(0);
            BatchNorm3d::new(3, &mut Init::new(0, &device)).forward(&volume, &Ctx::eval());
            Conv3d::new(3, 2, 1, &mut Init::new(0, &device)).forward(&volume, &Ctx::eval());
            MaxPool3d::new(2).forward(&a, &Ctx::eval()); MaxPool3d::new(5).forward(&volume, &Ctx::eval());
        }
    }
}
