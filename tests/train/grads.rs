//! Gradients as data, and when each of them is told.

use super::rules::panics;
use crate::devices::devices;
use wgrad::autograd::Grads;
use wgrad::nn::{Ctx, Init, Layer, Linear, Parameter, Relu, Sequential, parameters};
use wgrad::optim::{Optimizer, Sgd, SgdOptions};
use wgrad::plan::Replay;
use wgrad::{DType, Device, Tensor};

fn read(x: &Tensor) -> Vec<f32> {
    x.to_vec().expect("the device works")
}

fn leaf(values: &[f32], device: &Device) -> Tensor {
    Tensor::from_slice(values, [values.len()], device).requires_grad()
}

#[test]
fn gradients_are_iterated_replaced_scaled_and_built() {
    for (name, device) in devices() {
        let [a, b, c] = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]].map(|values| leaf(&values, &device));
        // Used in another order than that of the leaves.
        let loss = (&c * &a + b.square()).sum();
        let mut grads = loss.backward();
        let all = |grads: &Grads| -> Vec<[Vec<f32>; 2]> { grads.iter().map(|(x, g)| [read(&x), read(g)]).collect() };
        let want =
            [[vec![1.0, 2.0], vec![5.0, 6.0]], [vec![3.0, 4.0], vec![6.0, 8.0]], [vec![5.0, 6.0], vec![1.0, 2.0]]];
        assert_eq!(all(&grads), want, "on {name}");
        assert_eq!(grads.len(), 3);
        assert!(format!("{grads:?}").contains("a tensor of [2]"), "{grads:?}");

        grads *= 0.5;
        grads *= &Tensor::scalar(4.0f32, &device);
        assert_eq!(read(grads.of(&b).expect("it has one")), [12.0, 16.0], "on {name}");
        grads.set(&b, Tensor::from_slice(&[7.0, 8.0], [2], &device));
        grads.map(|x, gradient| gradient + x.detach());
        assert_eq!(
            grads.to_vec(&[c.clone(), b.clone()]).iter().map(read).collect::<Vec<_>>(),
            [[7.0, 10.0], [10.0, 12.0]]
        );
        assert_eq!(grads.remove(&a).as_ref().map(read), Some(vec![11.0, 14.0]));
        assert!(grads.of(&a).is_none() && grads.len() == 2 && !grads.is_empty() && Grads::new().is_empty());

        // By hand, and from what was iterated.
        let built: Grads = grads.iter().map(|(x, gradient)| (x, gradient.copy())).collect();
        assert_eq!(all(&built), all(&grads), "on {name}");
        let mut sum = Grads::new();
        sum.set(&a, Tensor::ones([2], &device));
        sum += built;
        assert_eq!(
            sum.to_vec(&[a.clone(), b.clone()]).iter().map(read).collect::<Vec<_>>(),
            [[1.0, 1.0], [10.0, 12.0]]
        );
        // What was set is a gradient, as what was computed is.
        let text = panics(|| (sum.of(&a).expect("it was set") * &b).sum().backward());
        assert!(text.contains("mul reads a gradient"), "{text}");
    }
}

#[test]
fn what_is_no_gradient_is_refused() {
    for (_, device) in devices() {
        let x = leaf(&[1.0, 2.0], &device);
        let mut grads = Grads::new();
        let text = panics(|| grads.set(&x, Tensor::ones([3], &device)));
        assert!(text.contains("expected a gradient of f32 [2]") && text.contains("got f32 [3]"), "{text}");
        let text = panics(|| grads.set(&x, Tensor::full([2], 1, &device)));
        assert!(text.contains("got i32 [2]"), "{text}");
        let text = panics(|| grads.set(&x, Tensor::ones([2], &Device::null())));
        assert!(text.contains("a tensor of [2] and its gradient"), "{text}");
        // Neither a constant nor what is made of a leaf.
        for other in [x.detach(), x.square()] {
            let text = panics(|| grads.set(&other.named("y"), Tensor::ones([2], &device)));
            assert!(text.starts_with("set: y requires no gradient"), "{text}");
        }
        let text = panics(|| grads.to_vec(std::slice::from_ref(&x)));
        assert!(text.starts_with("to_vec: there is no gradient for a tensor of [2]"), "{text}");
    }
}

fn two_layers(device: &Device) -> Sequential {
    let init = &mut Init::new(3, device);
    Sequential::new().push(Linear::new(4, 8, init)).push(Relu::new()).push(Linear::new(8, 2, init))
}

fn input(step: usize, device: &Device) -> Tensor {
    Tensor::from_vec((0..12).map(|i| ((i * 5 + step * 7) % 11) as f32 / 11.0).collect(), [3, 4], device)
}

/// The gradients of one replayed step, changed outside of it, move the model as those of an eager step do.
#[test]
fn gradients_come_out_of_a_replayed_step() {
    for (name, device) in devices() {
        let run = |replayed: bool| {
            let model = two_layers(&device);
            let options = SgdOptions { lr: 0.1, ..SgdOptions::default() };
            let mut sgd = Sgd::new(&model, options).expect("the options are in range");
            let leaves: Vec<Tensor> = parameters(&model).iter().map(|(_, parameter)| parameter.tensor()).collect();
            let mut replay = Replay::new();
            for step in 0..5 {
                let work = |x: &Tensor| {
                    let loss = model.forward(x, &Ctx::train()).square().mean();
                    Ok(loss.backward().to_vec(&leaves))
                };
                let x = input(step, &device);
                let gradients = if replayed { replay.run(&x, work) } else { work(&x) }.expect("it can be replayed");
                let mut grads: Grads = leaves.iter().zip(gradients).collect();
                grads *= 2.0;
                sgd.step(&grads);
                let text = panics(|| (grads.of(&leaves[0]).expect("it has one") * &leaves[0]).sum().backward());
                assert!(text.contains("reads a gradient"), "{text}");
            }
            leaves.iter().map(read).collect::<Vec<_>>()
        };
        assert_eq!(run(true), run(false), "on {name}");
    }
}

/// What a replayed step returns is still a gradient, in the first run and in those of other shapes.
#[test]
fn results_of_a_replayed_step_that_are_gradients_stay_such() {
    let device = Device::cpu();
    let mut replay = Replay::new();
    for rows in [2, 2, 3] {
        let x = Tensor::ones([rows], &device);
        let results = replay.run(&x, |x| {
            let x = x.clone().requires_grad();
            let grads = x.square().sum().backward();
            Ok([grads.of(&x).expect("it has one") * 2.0, x.exp()])
        });
        let results = results.expect("it can be replayed");
        let y = Tensor::ones([rows], &device).requires_grad();
        let text = panics(|| (&results[0] * &y).sum().backward());
        assert!(text.contains("reads a gradient"), "{text}");
        (&results[1] * &y).sum().backward();
        (&results[0].detach() * &y).sum().backward();
    }
}

#[test]
fn a_late_layer_is_told_before_an_early_one_is_computed() {
    let device = Device::null();
    let model = two_layers(&device);
    let names = parameters(&model);
    let x = Tensor::empty([3, 4], DType::F32, &device);
    let loss = || model.forward(&x, &Ctx::train()).square().mean();
    let (loss_a, loss_b) = (loss(), loss());
    let mut told = Vec::new();
    let ((), listened) = device.record(|| {
        let before = device.counters().dispatches;
        loss_a.backward_each(|tensor, gradient| {
            assert_eq!(gradient.shape(), tensor.shape());
            told.push((tensor.name().expect("it is a parameter").to_string(), device.counters().dispatches - before));
        });
    });
    // The same kernels in the same order as those of `backward`.
    let (grads, plain) = device.record(|| loss_b.backward());
    let kernels = |plan: &wgrad::plan::Plan| plan.dispatches().iter().map(|d| d.kernel.name).collect::<Vec<_>>();
    assert_eq!(kernels(&listened), kernels(&plain));
    assert_eq!(grads.len(), names.len());
    let all = plain.dispatches().len() as u64;
    let at = |name: &str| told.iter().find(|(other, _)| other == name).expect("it is told").1;
    assert!(at("2.weight") < at("0.weight") && at("2.bias") < at("0.bias"), "{told:?}");
    assert!(at("2.weight") <= all - 2, "{told:?} of {all} kernels: nothing ran between");
}

#[test]
fn a_gradient_is_told_once_when_its_last_part_is_there() {
    for (name, device) in devices() {
        let (x, y) = (leaf(&[2.0], &device), leaf(&[3.0], &device));
        let unused = |t: &Tensor| {
            // An operation that has no gradient for what it reads: what lies behind it is not waited for.
            let out = t.detach().square();
            out.tracked("unused", &[&t.square()], |_, _| vec![None])
        };
        let loss = (x.exp() * &y + x.square() * 2.0 + unused(&y) + unused(&x)).sum() + x.sum();
        let mut told: Vec<(f32, f32)> = Vec::new();
        loss.backward_each(|leaf, gradient| told.push((read(leaf)[0], read(&gradient)[0])));
        told.sort_by(|a, b| a.0.total_cmp(&b.0));
        let e = 2f32.exp();
        let want = [(2.0, 3.0 * e + 8.0 + 1.0), (3.0, e)];
        let near = |(got, want): (&(f32, f32), &(f32, f32))| got.0 == want.0 && (got.1 - want.1).abs() < 1e-4;
        assert!(told.len() == 2 && told.iter().zip(&want).all(near), "{told:?} on {name}");
        // A leaf of its own.
        let alone = leaf(&[5.0], &device).reshape(());
        let alone = alone.detach().requires_grad();
        let mut told = 0;
        alone.backward_each(|leaf, gradient| {
            assert_eq!((read(leaf), read(&gradient)), (vec![5.0], vec![1.0]), "on {name}");
            told += 1;
        });
        assert_eq!(told, 1);
    }
}

/// A parameter that an optimizer moved is told where it is, under its name.
#[test]
fn a_parameter_that_moved_is_told_where_it_lies() {
    for (name, device) in devices() {
        let weight = Parameter::new(Tensor::from_slice(&[1.0f32, 2.0], [2], &device));
        let loss = weight.tensor().square().sum();
        let mut sgd = Sgd::new(&weight, SgdOptions { lr: 0.5, ..SgdOptions::default() }).expect("in range");
        let grads = loss.backward();
        sgd.step(&grads);
        let all: Vec<(Tensor, &Tensor)> = grads.iter().collect();
        assert_eq!(read(&all[0].0), read(&weight.tensor()), "on {name}");
        assert_eq!(all[0].0.name(), weight.tensor().name());
    }
}

/// As PyTorch's `requires_grad_` and `retain_grad` of what was computed.
#[test]
fn what_was_computed_tells_its_gradient_and_passes_it_on() {
    for (name, device) in devices() {
        let x = leaf(&[2.0], &device);
        let y = (&x * 3.0).requires_grad();
        let loss = (y.square() + &y * &x).sum();
        let mut told = Vec::new();
        loss.backward_each(|tensor, gradient| told.push((read(tensor), read(&gradient))));
        // 2y + x, and 3 times that beside y.
        assert_eq!(told, [(vec![6.0], vec![14.0]), (vec![2.0], vec![48.0])], "on {name}");
        let grads = loss.backward();
        assert_eq!([&y, &x].map(|of| grads.of(of).map(read)), [Some(vec![14.0]), Some(vec![48.0])], "on {name}");
        let [dy, dx] = loss.grad(&[&y, &x]);
        assert_eq!([&dy, &dx].map(read), [[14.0], [48.0]], "on {name}");
        // The loss is 9x^2 + 3x^2.
        assert_eq!(read(&dx.grad(&x)), [24.0], "on {name}");
        // A start of a graph is one already.
        let same = x.clone().requires_grad();
        assert_eq!(same.square().sum().backward().of(&x).map(read), Some(vec![4.0]), "on {name}");
        let own = y.clone().requires_grad();
        assert_eq!(own.sum().backward().of(&y).map(read), Some(vec![1.0]), "on {name}");
    }
}
