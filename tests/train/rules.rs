//! What training refuses, and in which words.

use super::recipes::{BATCH_NORM, CNN, DROPOUT, Trainer};
use crate::devices::devices;
use std::panic::{AssertUnwindSafe, catch_unwind};
use wgrad::nn::{BatchNorm2d, Conv2d, Ctx, Init, Layer, Linear, Mode, Sequential, parameters};
use wgrad::{Device, Tensor};

/// The message that `work` panics with.
#[track_caller]
pub fn panics<R>(work: impl FnOnce() -> R) -> String {
    let Err(payload) = catch_unwind(AssertUnwindSafe(work)) else { panic!("it went through") };
    let text = payload.downcast_ref::<String>().cloned();
    text.or_else(|| payload.downcast_ref::<&str>().map(|text| text.to_string())).expect("a message")
}

fn images(shape: [usize; 4], device: &Device) -> Tensor {
    let pixels = (0..shape.iter().product()).map(|i| (i * 37 % 101) as f32 / 101.0).collect();
    Tensor::from_vec(pixels, shape, device)
}

#[test]
fn evaluation_builds_no_graph_and_changes_nothing() {
    for (name, device) in devices() {
        for recipe in [CNN, DROPOUT, BATCH_NORM] {
            let trainer = Trainer::new(&recipe, &device);
            let x = images([4, 1, 28, 28], &device);
            let eval = || trainer.model.forward(&x, &Ctx::eval());
            let before = trainer.weights();
            let (y, again) = (eval(), eval());
            assert!(!y.is_tracked(), "{} on {name}", recipe.name);
            assert_eq!(y.to_vec::<f32>(), again.to_vec::<f32>(), "{} on {name}: evaluation is by chance", recipe.name);
            assert_eq!(trainer.weights(), before, "{} on {name}: evaluation changed the state", recipe.name);
            let text = panics(|| y.sum().backward());
            assert!(text.contains("was the forward pass run with Ctx::eval"), "{text}");

            let train = || Ctx::train();
            assert!(trainer.model.forward(&x, &train()).is_tracked(), "{} on {name}", recipe.name);
            assert!(!trainer.model.forward(&x, &train().untracked()).is_tracked(), "{} on {name}", recipe.name);
            assert!(trainer.model.forward(&x, &Ctx::eval().tracked()).is_tracked(), "{} on {name}", recipe.name);
            assert_eq!((Ctx::eval().mode(), train().mode()), (Mode::Eval, Mode::Train));
        }
    }
}

#[test]
fn a_saved_tensor_that_changed_is_named_with_its_op() {
    for (_, device) in devices() {
        let changed = "that was saved for this gradient was changed in place since";
        let x = Tensor::from_vec(vec![1.0, 2.0], [2], &device).requires_grad();
        let y = x.exp().sum();
        let z = x.mul(&x).sum();
        x.upload(&[3.0f32, 4.0]);
        let text = panics(|| z.backward());
        assert!(text.starts_with("mul") && text.contains(changed), "{text}");
        // An exponential saves its result, which is as it was.
        let dx = y.backward().of(&x).expect("it requires one").to_vec::<f32>().expect("the device works");
        assert!((dx[0] - 1f32.exp()).abs() < 1e-5, "{dx:?}");
    }
}

#[test]
fn a_graph_older_than_the_last_step_is_refused() {
    for (_, device) in devices() {
        let mut trainer = Trainer::new(&CNN, &device);
        let (x, labels) = (images([2, 1, 28, 28], &device), Tensor::from_vec(vec![3, 4], [2], &device));
        let loss = || trainer.model.forward(&x, &Ctx::train()).cross_entropy(&labels);
        let (one, two) = (loss(), loss());
        trainer.optimizer.step(&one.backward());
        let text = panics(|| two.backward());
        assert!(text.starts_with("matmul: a tensor (fc2.weight) that was saved for this gradient"), "{text}");
    }
}

#[test]
fn labels_out_of_range_give_nan() {
    for (name, device) in devices() {
        let logits = images([4, 1, 1, 3], &device).reshape([4, 3]).requires_grad();
        let loss = |labels: [i32; 4]| {
            let loss = logits.cross_entropy(&Tensor::from_slice(&labels, [4], &device));
            let gradient = loss.backward().of(&logits).expect("it requires one").to_vec::<f32>();
            (loss.item().expect("the device works"), gradient.expect("the device works"))
        };
        assert!(loss([0, 1, 2, 0]).0.is_finite(), "on {name}");
        for wrong in [3, -1, -99, i32::MAX, i32::MIN] {
            let (loss, gradient) = loss([0, wrong, 2, 0]);
            assert!(loss.is_nan(), "label {wrong} of 3 classes on {name}: {loss}");
            assert!(gradient[3..6].iter().all(|g| g.is_nan()), "label {wrong} on {name}: {gradient:?}");
        }
        let (ignored, gradient) = loss([0, -100, 2, 0]);
        assert!(ignored.is_finite() && gradient[3..6] == [0.0; 3], "-100 on {name}: {ignored}, {gradient:?}");
    }
}

#[test]
fn shapes_that_do_not_fit_are_told_with_the_layer_and_both_shapes() {
    for (_, device) in devices() {
        let cnn = Trainer::new(&CNN, &device);
        let eval = |model: &dyn Layer, x: &Tensor| panics(|| model.forward(x, &Ctx::eval()));
        let text = eval(&cnn.model, &images([2, 3, 28, 28], &device));
        assert!(text.starts_with("conv1: [2, 3, 28, 28] x [32, 1, 3, 3]: "), "{text}");
        let text = eval(&cnn.model, &images([2, 1, 28, 28], &device).reshape([2, 784]));
        assert!(text.starts_with("conv1: [2, 784] x [32, 1, 3, 3]: "), "{text}");
        let text = eval(&cnn.model, &images([2, 1, 32, 32], &device));
        assert!(text.starts_with("fc1: [2, 4096] x [128, 3136]: "), "{text}");

        let init = &mut Init::new(0, &device);
        let nested = Sequential::new().push(Conv2d::new(1, 4, 3, init)).push(BatchNorm2d::new(5, init));
        let model = Sequential::new().push(nested).push(Linear::new(4, 2, init));
        parameters(&model);
        let text = panics(|| model.forward(&images([2, 1, 8, 8], &device), &Ctx::train()));
        assert!(text.starts_with("0.1: [2, 4, 6, 6] x [5]: "), "{text}");

        let (logits, labels) = (Tensor::zeros([4, 10], &device), Tensor::from_vec(vec![1, 2, 3], [3], &device));
        let text = panics(|| logits.cross_entropy(&labels));
        assert!(text.starts_with("cross_entropy: [4, 10] x [3]: "), "{text}");
        let text = panics(|| Tensor::zeros([2, 3], &device).matmul(&Tensor::zeros([4, 5], &device)));
        assert!(text.starts_with("matmul: [2, 3] x [4, 5]: "), "{text}");
    }
}
