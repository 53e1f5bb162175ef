//! What is written in place, and the histories that it would lose.

use super::rules::panics;
use crate::devices::devices;
use wgrad::nn::Parameter;
use wgrad::optim::{Optimizer, Sgd, SgdOptions};
use wgrad::{DType, Tensor};

fn read(x: &Tensor) -> Vec<f32> {
    x.cast(DType::F32).to_vec().expect("the device works")
}

#[test]
fn a_history_that_a_write_would_lose_is_refused() {
    for (name, device) in devices() {
        let w = Tensor::from_slice(&[2.0f32], [1], &device).requires_grad();
        let all = Tensor::zeros([3], &device);
        // As PyTorch's loops fill their outputs.
        for source in [&w * 3.0, w.clone(), w.unsqueeze(0).squeeze(0)] {
            let text = panics(|| all.i(0..1).assign(&source));
            assert!(text.contains("assign: the source has a history"), "{text}");
        }
        all.i(0..1).assign(&(&w * 3.0).detach());
        assert_eq!(read(&all), [6.0, 0.0, 0.0], "on {name}");
        // What it says to do instead.
        let parts: Vec<Tensor> = (1..4).map(|k| &w * k as f32).collect();
        let grads = (Tensor::cat(&parts, 0).sum() + &w * 0.1).backward();
        assert!((grads.of(&w).expect("it has one").item().expect("one") - 6.1).abs() < 1e-5, "on {name}");

        let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0], [3], &device).requires_grad();
        let y = &x * 2.0;
        for (op, text) in [
            ("assign", panics(|| y.i(0..1).assign(&Tensor::zeros([1], &device)))),
            ("assign", panics(|| y.assign(&y))),
            (
                "assign",
                panics(|| x.index_select(0, &Tensor::arange(0, 2, &device)).assign(&Tensor::zeros([2], &device))),
            ),
            ("assign", panics(|| (&x * 2.0).requires_grad().assign(&Tensor::zeros([3], &device)))),
            ("upload", panics(|| y.upload(&[0.0f32; 3]))),
        ] {
            assert!(text.starts_with(op) && text.contains("the target was computed and has a history"), "{text}");
        }
        let y = y.index_put(0..1, &Tensor::zeros([1], &device));
        assert_eq!(y.sum().backward().of(&x).map(read), Some(vec![0.0, 2.0, 2.0]), "on {name}");
    }
}

#[test]
fn starts_of_graphs_take_anything_as_without_gradients() {
    for (name, device) in devices() {
        let [a, b] = [1.0f32, 5.0].map(|x| Parameter::new(Tensor::full([2, 2], x, &device)).tensor());
        a.assign(&b);
        a.i(0).assign(&b.i(1).square());
        a.t().i(1).i(1..2).assign(&Tensor::zeros([1], &device));
        a.i((1, 0)).upload(&[7.0f32]);
        a.assign(&(&a - 1.0));
        assert_eq!(read(&a), [24.0, 24.0, 6.0, -1.0], "on {name}");
        a.detach().assign(&b.detach());
        assert_eq!(a.square().sum().backward().of(&a).map(read), Some(vec![10.0; 4]), "on {name}");
    }
}

#[test]
fn a_handle_from_before_an_optimizer_is_refused() {
    for (name, device) in devices() {
        let parameter = Parameter::new(Tensor::ones([1], &device));
        let old = parameter.tensor();
        let loss = old.square().sum();
        let options = SgdOptions { lr: 1.0, ..SgdOptions::default() };
        let mut sgd = Sgd::new(&vec![parameter.clone()], options).expect("good options");
        // What was computed before goes back as it did.
        sgd.step(&loss.backward());
        assert_eq!(read(&parameter.tensor()), [-1.0], "on {name}");
        for text in [panics(|| old.square()), panics(|| old.upload(&[0.0f32])), panics(|| old.assign(&old))] {
            assert!(text.contains("is from before an optimizer was made"), "{text}");
        }
        sgd.step(&parameter.tensor().square().sum().backward());
        assert_eq!(read(&parameter.tensor()), [1.0], "on {name}");
    }
}
