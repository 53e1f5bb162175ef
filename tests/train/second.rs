//! Gradients of gradients: programs that PyTorch ran too, what `grad` promises, and what it refuses.

use super::rules::panics;
use crate::devices::devices;
use wgrad::autograd::GradOptions;
use wgrad::nn::{Ctx, Init, Layer, LeakyRelu, Linear, Module, Sequential, Tanh, parameters};
use wgrad::ops::conv::ConvTranspose2dOptions;
use wgrad::optim::{Adam, AdamOptions, Optimizer};
use wgrad::plan::Replay;
use wgrad::{Device, KeepDims, Tensor};

fn read(x: &Tensor) -> Vec<f32> {
    x.to_vec().expect("the device works")
}

fn leaf(values: &[f32], device: &Device) -> Tensor {
    Tensor::from_slice(values, [values.len()], device).requires_grad()
}

/// Numbers that PyTorch's program has too.
fn waves(count: usize, seed: f64, scale: f64) -> Vec<f32> {
    (0..count).map(|i| ((1.3 * i as f64 + seed).sin() * scale) as f32).collect()
}

fn linear(inputs: usize, outputs: usize, seed: f64, device: &Device) -> Linear {
    let layer = Linear::new(inputs, outputs, &mut Init::new(0, device));
    layer.weight.tensor().upload(&waves(inputs * outputs, seed, 1.0 / (inputs as f64).sqrt()));
    layer.bias.as_ref().expect("it has one").tensor().upload(&waves(outputs, seed + 0.5, 0.1));
    layer
}

fn near(what: &str, got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len());
    for (step, (got, want)) in got.iter().zip(want).enumerate() {
        assert!((got - want).abs() <= 1e-4 * want.abs().max(1.0), "{what}: step {step} is {got}, not {want}");
    }
}

/// The losses of PyTorch 2.15 in float64.
const PHYSICS: [f32; 30] = [
    46.45132, 40.9968, 36.78492, 33.74005, 31.72152, 30.5617, 30.07383, 29.98879, 29.96689, 29.74419, 29.22948,
    28.48796, 27.67281, 26.94923, 26.43286, 26.15356, 26.05336, 26.01931, 25.93804, 25.74121, 25.41983, 25.0113,
    24.57471, 24.16614, 23.82013, 23.54042, 23.30139, 23.0599, 22.77362, 22.41852,
];

/// A network whose second derivative is in the loss: the curve that PyTorch has, replayed to the bit.
#[test]
fn a_physics_informed_network_learns_as_in_pytorch() {
    use std::f32::consts::PI;
    for (name, device) in devices() {
        let run = |replayed: bool| -> Vec<f32> {
            let net = Sequential::new()
                .push(linear(1, 16, 1.0, &device))
                .push(Tanh::new())
                .push(linear(16, 16, 2.0, &device))
                .push(Tanh::new())
                .push(linear(16, 1, 3.0, &device));
            let options = AdamOptions { lr: 0.01, ..AdamOptions::default() };
            let mut optimizer = Adam::new(&net, options).expect("good options");
            let points: Vec<f32> = (0..32).map(|i| (-1.0 + 2.0 * f64::from(i) / 31.0) as f32).collect();
            let points = Tensor::from_vec(points, [32, 1], &device);
            let ends = Tensor::from_slice(&[-1.0f32, 1.0], [2, 1], &device);
            let (mut replay, ctx) = (Replay::new(), Ctx::train());
            let mut step = || {
                let mut work = |points: &Tensor| {
                    let x = points.clone().requires_grad();
                    let slope = net.forward(&x, &ctx).sum().grad(&x);
                    let [curvature] = slope.sum().grad(&[&x]);
                    let residual = curvature + (points * PI).sin() * (PI * PI);
                    let loss = residual.square().mean() + net.forward(&ends, &ctx).square().mean() * 10.0;
                    optimizer.step(&loss.backward());
                    Ok(loss.detach())
                };
                let loss = if replayed { replay.run(&points, work) } else { work(&points) };
                loss.and_then(|loss| loss.item()).expect("it runs")
            };
            (0..30).map(|_| step()).collect()
        };
        let eager = run(false);
        near(name, &eager, &PHYSICS);
        assert_eq!(run(true), eager, "on {name}");
    }
}

const CRITIC: [f32; 30] = [
    8.98664, 8.165935, 7.228709, 6.532434, 5.213822, 4.733394, 3.759738, 3.085763, 2.463154, 2.392345, 1.920989,
    1.844901, 1.807972, 2.075799, 2.237453, 3.092401, 2.419988, 2.601076, 3.054201, 3.077554, 3.57129, 3.970216,
    3.713815, 3.570653, 3.937489, 3.884482, 4.194534, 4.238623, 3.867484, 4.264929,
];

const GENERATOR: [f32; 30] = [
    -0.046091,
    -0.0635511,
    -0.09435827,
    -0.1378769,
    -0.1968648,
    -0.2687431,
    -0.3645557,
    -0.4892142,
    -0.6437334,
    -0.8294871,
    -1.04505,
    -1.275594,
    -1.508573,
    -1.741374,
    -1.944427,
    -2.131525,
    -2.29085,
    -2.414755,
    -2.540679,
    -2.654543,
    -2.760767,
    -2.897876,
    -3.01833,
    -3.072406,
    -3.155794,
    -3.172911,
    -3.180854,
    -3.175805,
    -3.097436,
    -3.015175,
];

/// A critic whose slope is held at 1: both curves are PyTorch's.
#[test]
fn a_wgan_with_gradient_penalty_learns_as_in_pytorch() {
    for (name, device) in devices() {
        let generator = Sequential::new()
            .push(linear(4, 16, 1.0, &device))
            .push(LeakyRelu::new(0.2))
            .push(linear(16, 2, 2.0, &device));
        let critic = Sequential::new()
            .push(linear(2, 16, 3.0, &device))
            .push(LeakyRelu::new(0.2))
            .push(linear(16, 16, 4.0, &device))
            .push(LeakyRelu::new(0.2))
            .push(linear(16, 1, 5.0, &device));
        let options = AdamOptions { lr: 0.01, betas: (0.5, 0.9), ..AdamOptions::default() };
        let [mut of_generator, mut of_critic] =
            [&generator, &critic].map(|net| Adam::new(net, options).expect("good options"));
        let ctx = Ctx::train();
        let shift = Tensor::from_slice(&[1.0f32, -0.5], [2], &device);
        let (mut replay, mut losses) = (Replay::new(), [Vec::new(), Vec::new()]);
        for step in 0..30 {
            let at = f64::from(step);
            let real = Tensor::from_vec(waves(64, at * 0.7, 1.0), [32, 2], &device) + &shift;
            let noise = Tensor::from_vec(waves(128, at * 0.3 + 0.1, 1.0), [32, 4], &device);
            let shares = Tensor::from_vec(waves(32, at * 0.9 + 0.2, 0.5), [32, 1], &device) + 0.5;
            let both = replay.run([&real, &noise, &shares], |[real, noise, shares]| {
                let made = generator.forward(noise, &ctx).detach();
                let between = (real * shares + &made * (1.0 - shares)).requires_grad();
                let slope = critic.forward(&between, &ctx).sum().grad(&between);
                let penalty = (slope.norm(&[1], KeepDims::No) - 1.0).square().mean();
                let apart = critic.forward(&made, &ctx).mean() - critic.forward(real, &ctx).mean();
                let loss = apart + penalty * 10.0;
                of_critic.step(&loss.backward());
                let against = -critic.forward(&generator.forward(noise, &ctx), &ctx).mean();
                of_generator.step(&against.backward());
                Ok([loss.detach(), against.detach()])
            });
            for (all, loss) in losses.iter_mut().zip(both.expect("it runs")) {
                all.push(loss.item().expect("it runs"));
            }
        }
        near(name, &losses[0], &CRITIC);
        near(name, &losses[1], &GENERATOR);
    }
}

/// The gradient after a step along the gradient, as meta-learning takes it: of x (w - r dL/dw) and so on.
#[test]
fn a_step_of_a_model_is_differentiated() {
    for (name, device) in devices() {
        let w = leaf(&[0.5, -1.0], &device);
        let [x, t] = [[1.0f32, 2.0], [0.5, -0.5]].map(|v| Tensor::from_slice(&v, [2], &device));
        let loss = |w: &Tensor| (w * &x - &t).square().sum();
        let moved = &w - loss(&w).grad(&w) * 0.1;
        let found = read(&loss(&moved).grad(&w));
        // dL/dw = 2 x (x w - t), and the step's own slope is 1 - 0.2 x^2.
        let want: Vec<f32> = [(0.5f32, 1.0f32, 0.5f32), (-1.0, 2.0, -0.5)]
            .map(|(w, x, t)| {
                let moved = w - 0.1 * 2.0 * x * (x * w - t);
                2.0 * x * (x * moved - t) * (1.0 - 0.2 * x * x)
            })
            .to_vec();
        near(name, &found, &want);
    }
}

#[test]
fn gradients_have_the_form_and_the_place_that_is_asked_for() {
    for (name, device) in devices() {
        let (x, y) = (leaf(&[1.0, 2.0], &device), leaf(&[3.0, -1.0], &device));
        let product = &x * &y;
        let loss = product.square().sum();
        // One, an array, a slice, a Vec; in the middle of the graph too, and behind it.
        let by_product = loss.grad(&product);
        assert_eq!(read(&by_product), [6.0, -4.0], "on {name}");
        let [by_y, by_middle, by_x] = loss.grad([&y, &product, &x]);
        assert_eq!([&by_y, &by_middle, &by_x].map(read), [[6.0, -8.0], [6.0, -4.0], [18.0, 4.0]]);
        let all = vec![x.clone(), y.clone()];
        assert_eq!(
            loss.grad(&all).iter().map(read).collect::<Vec<_>>(),
            loss.grad(&all[..]).iter().map(read).collect::<Vec<_>>()
        );
        // They are tracked, to any order: x^3 y^3.
        let cube = (&product.square() * &product).sum();
        let third = cube.grad(&x).sum().grad(&x).sum().grad(&x);
        assert_eq!(read(&third), [162.0, -6.0]);
        let grads = by_x.sum().backward();
        assert_eq!(read(grads.of(&y).expect("it depends on y")), [12.0, -8.0]);

        // Constants, gradients from above, and zeros where they are asked for.
        let constants = GradOptions { create_graph: false, ..GradOptions::default() };
        let constant = loss.grad_with(&x, &constants);
        assert_eq!(read(&constant), [18.0, 4.0]);
        assert!(panics(|| constant.sum().backward()).contains("reads a gradient that is not tracked"));
        let above = leaf(&[2.0, 0.5], &device);
        let options = GradOptions { upstream: Some(above.clone()), ..GradOptions::default() };
        let weighed = product.grad_with(&x, &options);
        assert_eq!(read(&weighed), [6.0, -0.5]);
        assert_eq!(read(&weighed.sum().grad(&above)), [3.0, -1.0]);
        let zeros = GradOptions { materialize_grads: true, ..GradOptions::default() };
        assert_eq!(read(&loss.grad_with(&above, &zeros)), [0.0, 0.0]);
        assert_eq!(read(&product.jvp(&[&x, &y], &[&x.detach(), &y.detach()])), [6.0, -4.0]);
        for (said, due) in [
            (panics(|| product.grad(&x)), "grad: [2] is no scalar"),
            (panics(|| loss.grad(&above)), "grad: the result does not depend on input 0, f32 [2]"),
            (panics(|| loss.grad(&x.detach())), "grad: input 0, f32 [2], requires no gradient"),
            (panics(|| loss.detach().grad(&x)), "grad: nothing here requires a gradient"),
            (panics(|| product.jvp(&[&x], &[&loss])), "jvp: expected directions of the inputs' shapes"),
        ] {
            assert!(said.contains(due), "`{said}`, not `{due}`");
        }
    }
}

/// What is changed in place after the first gradient is noticed by the second.
#[test]
fn a_tensor_that_changes_between_two_gradients_is_noticed() {
    for (_, device) in devices() {
        let x = leaf(&[1.0, 2.0], &device);
        let slope = x.pow_scalar(3.0).sum().grad(&x);
        x.assign(&Tensor::ones([2], &device));
        let said = panics(|| slope.sum().grad(&x));
        assert!(said.contains("was changed in place since"), "{said}");
    }
}

/// A step that goes back once is the same beside a gradient of a gradient: nothing of the one stays for the other.
#[test]
fn first_gradients_stay_as_they_are() {
    let device = Device::cpu();
    let net = Sequential::new().push(linear(2, 16, 1.0, &device)).push(Tanh::new()).push(linear(16, 1, 2.0, &device));
    let leaves: Vec<Tensor> = parameters(&net).iter().map(|(_, parameter)| parameter.tensor()).collect();
    let x = leaf(&waves(8, 0.0, 1.0), &device).reshape([4, 2]);
    let once = || net.forward(&x, &Ctx::train()).square().mean().backward().to_vec(&leaves);
    let kernels = || {
        let names =
            |plan: wgrad::plan::Plan| -> Vec<&str> { plan.dispatches().iter().map(|d| d.kernel.name).collect() };
        names(device.record(once).1)
    };
    let (before, bits) = (kernels(), once().iter().map(read).collect::<Vec<_>>());
    let slope = net.forward(&x, &Ctx::train()).sum().grad(&x);
    slope.square().sum().backward();
    assert_eq!(kernels(), before);
    assert_eq!(once().iter().map(read).collect::<Vec<_>>(), bits);
    assert!(before.contains(&"tanh_backward") && before.contains(&"linear_weight"));
}

/// A graph of many steps is dropped without recursion, tracked gradients and all.
#[test]
fn a_long_graph_of_gradients_is_dropped_step_by_step() {
    let device = Device::cpu();
    let x = leaf(&[0.5], &device);
    let y = (0..20_000).fold(x.clone(), |y, _| y.mul(&x).affine(1.0, 0.25));
    let slope = y.sum().grad(&x);
    assert!(slope.item().expect("it runs").is_finite());
    drop((slope, y));
}

/// Of a quadratic, so that the second gradient along a direction is the first one there.
#[test]
fn transposed_convolutions_with_wide_output_padding_have_second_gradients() {
    for (name, device) in devices() {
        for (dilation, output_padding, groups) in [([2, 3], [1, 2], 2), ([1, 2], [0, 1], 1)] {
            let options =
                ConvTranspose2dOptions { dilation, output_padding, groups, ..ConvTranspose2dOptions::default() };
            let part = |n: usize, at: f64, shape: &[usize]| Tensor::from_vec(waves(n, at, 1.0), shape, &device);
            let weight = part(4 * 2 * 3, 0.3, &[2, 2, 3, 2]).requires_grad();
            let loss = |x: &Tensor| x.conv_transpose2d(&weight, None, options).square().sum();
            let [x, along] = [0.0, 0.7].map(|at| part(2 * 2 * 3 * 4, at, &[2, 2, 3, 4]).requires_grad());
            let slope = loss(&x).grad(&x);
            let grads = (slope.mul(&along.detach())).sum().backward();
            let first = loss(&along).backward();
            let got = grads.of(&x).expect("it has one");
            near(name, &read(got), &read(first.of(&along).expect("it has one")));
            assert!(grads.of(&weight).is_some(), "on {name}");
        }
    }
}

#[test]
fn a_model_runs_with_other_weights() {
    for (name, device) in devices() {
        let [first, second] = [linear(3, 4, 0.3, &device), linear(4, 2, 0.7, &device)];
        let model = Sequential::new().push(first).push(Tanh::new()).push(second);
        let x = Tensor::from_slice(&waves(12, 0.1, 1.0), [4, 3], &device);
        let y = Tensor::from_slice(&waves(8, 0.9, 1.0), [4, 2], &device);
        let square = |y_: Tensor, y: &Tensor| (y_ - y).square().mean();
        // By hand, and by the layers: the same kernels.
        let hand = |w: &[Tensor], x: &Tensor| x.linear(&w[0], Some(&w[1])).tanh().linear(&w[2], Some(&w[3]));
        let after = |w: &[Tensor], slopes: Vec<Tensor>| -> Vec<Tensor> {
            w.iter().zip(&slopes).map(|(w, slope)| w - slope * 0.5).collect()
        };
        let of = |w: &[Tensor]| parameters(&model).into_iter().map(|(_, own)| own).zip(w.to_vec()).collect::<Vec<_>>();
        let w = model.tensors();
        let slow = after(&w, square(hand(&w, &x), &y).grad(&w.iter().collect::<Vec<_>>()[..]));
        let want = square(hand(&slow, &x), &y).backward();
        let want: Vec<Vec<f32>> = w.iter().map(|w| read(want.of(w).expect("it has one"))).collect();
        let inner = |ctx: &Ctx, x: &Tensor, y: &Tensor| {
            let w = model.tensors();
            let fast = after(&w, square(model.forward(x, ctx), y).grad(&w.iter().collect::<Vec<_>>()[..]));
            let grads = square(model.forward(x, &ctx.clone().with_weights(of(&fast))), y).backward();
            w.iter().map(|w| grads.of(w).expect("it has one").clone()).collect::<Vec<_>>()
        };
        let got: Vec<Vec<f32>> = inner(&Ctx::train(), &x, &y).iter().map(read).collect();
        assert_eq!(got, want, "on {name}");
        let mut replay = Replay::new();
        for _ in 0..3 {
            let got = replay.run([&x, &y], |[x, y]| Ok(inner(&Ctx::train(), x, y))).expect("it runs");
            assert_eq!(got.iter().map(read).collect::<Vec<_>>(), want, "replayed on {name}");
        }
        // What is not told stays, what is told anew counts, and a pass without gradients has none of them.
        let zero = |at: usize| (parameters(&model)[at].1.clone(), w[at].zeros_like());
        let ctx = Ctx::train().with_weights([zero(2)]).with_weights(of(&slow)).with_weights([zero(3)]);
        assert_eq!(read(&model.forward(&x, &ctx)), read(&hand(&[&slow[..3], &[w[3].zeros_like()]].concat(), &x)));
        assert!(!model.forward(&x, &ctx.untracked()).is_tracked());
        let none = model.forward(&x, &Ctx::eval().with_weights([zero(2), zero(3)]));
        assert_eq!(read(&none), [0.0; 8], "on {name}");
        let text = panics(|| Ctx::eval().with_weights([(parameters(&model)[0].1.clone(), y.clone())]));
        assert!(text.ends_with("with_weights: 0.weight: expected [4, 3], got [4, 2]"), "{text}");
    }
}
