//! Where PyTorch's conventions decide: scalars along a dimension, sizes of 0, broadcasting, and what bounds hold.

use super::rules::panics;
use crate::defined;
use crate::devices::devices;
use wgrad::loss::GaussianConstant;
use wgrad::nn::{
    Ctx, Directions, Gru, Init, Layer, Lstm, Parameter, Precision, Recurrent, RecurrentOptions, Rnn, RnnStart, init,
    parameters,
};
use wgrad::optim::{Adadelta, AdadeltaOptions, Optimizer, RmsProp, RmsPropOptions, Sgd, SgdOptions};
use wgrad::{
    AttentionOptions, Conv2dOptions, ConvTranspose2dOptions, DType, Device, Draw, Extreme, KeepDims, Reduction, Rng,
    Tensor, Upsampling,
};

fn read(x: &Tensor) -> Vec<f32> {
    x.to_vec::<f32>().expect("the device works")
}

#[track_caller]
fn near(what: &str, got: &Tensor, want: &[f32]) {
    let got = read(got);
    let fits = |(got, want): (&f32, &f32)| {
        got == want || got.is_nan() && want.is_nan() || (got - want).abs() <= 1e-5 * want.abs() + 1e-12
    };
    assert!(got.len() == want.len() && got.iter().zip(want).all(fits), "{what}: {got:?}, not {want:?}");
}

/// The gradient of the sum of `f` at x.
fn slope(x: &Tensor, f: impl Fn(&Tensor) -> Tensor) -> Tensor {
    let x = x.detach().requires_grad();
    let grads = f(&x).sum().backward();
    grads.of(&x).expect("it has a gradient").clone()
}

/// A function along a dimension, and what it makes of a scalar 2.5.
type Along = (&'static str, fn(&Tensor, isize) -> Tensor, f32);

#[test]
fn a_scalar_counts_as_a_vector_of_one_along_a_dimension() {
    let all: [Along; 16] = [
        ("sum", |x, d| x.sum_dims(&[d], KeepDims::No), 2.5),
        ("mean", |x, d| x.mean_dims(&[d], KeepDims::Yes), 2.5),
        ("var", |x, d| x.var_dims(&[d], 0, KeepDims::No), 0.0),
        ("amax", |x, d| x.amax(&[d], KeepDims::No), 2.5),
        ("amin", |x, d| x.amin(&[d], KeepDims::No), 2.5),
        ("norm", |x, d| x.norm(&[d], KeepDims::No), 2.5),
        ("logsumexp", |x, d| x.logsumexp(&[d], KeepDims::No), 2.5),
        ("softmax", Tensor::softmax, 1.0),
        ("log_softmax", Tensor::log_softmax, 0.0),
        ("cumsum", Tensor::cumsum, 2.5),
        ("squeeze", Tensor::squeeze, 2.5),
        ("transpose", |x, d| x.transpose(d, d), 2.5),
        ("flip", |x, d| x.flip(&[d]), 2.5),
        ("topk", |x, d| x.topk(1, d, Extreme::Largest).0, 2.5),
        ("gather", |x, d| x.gather(d, &Tensor::scalar(0i32, x.device())), 2.5),
        ("index_select", |x, d| x.index_select(d, &Tensor::from_vec(vec![0i32], [1], x.device())), 2.5),
    ];
    for (name, device) in devices() {
        let x = Tensor::scalar(2.5f32, &device);
        for (op, f, want) in all {
            for dim in [0, -1] {
                let y = f(&x, dim);
                assert_eq!(y.rank(), 0, "{op} on {name}");
                near(op, &y, &[want]);
                near(op, &slope(&x, |x| f(x, dim)), &[if want == 2.5 { 1.0 } else { 0.0 }]);
            }
            let said = panics(|| f(&x, 1));
            assert!(said.contains("[] has no dimension 1"), "{op} on {name}: {said}");
        }
        assert_eq!(x.flatten(0).shape()[..], [1]);
        assert_eq!(x.argmax(-1).to_vec::<i32>().expect("the device works"), [0]);
        for (op, said) in [
            ("size", panics(|| x.size(0))),
            ("narrow", panics(|| x.narrow(0, 0, 1))),
            ("cat", panics(|| Tensor::cat(&[&x, &x], 0))),
        ] {
            assert!(said.contains(&format!("{op}: a scalar has no dimension 0")), "{name}: {said}");
        }
    }
}

/// An operation, the sizes of its operands, and those of its result.
type Product = (&'static str, &'static [usize], &'static [usize], &'static [usize]);

#[test]
fn products_over_nothing_are_zeros_with_history() {
    for (name, device) in devices() {
        let zeros = |sizes: &[usize]| Tensor::zeros(sizes, &device).requires_grad();
        let products: [Product; 5] = [
            ("matmul", &[2, 2, 0], &[0, 3], &[2, 2, 3]),
            ("matmul", &[2, 0], &[0], &[2]),
            ("matmul", &[0], &[0], &[]),
            ("matmul", &[4, 2, 0], &[4, 0, 3], &[4, 2, 3]),
            ("linear", &[3, 0], &[4, 0], &[3, 4]),
        ];
        for (op, a, b, want) in products {
            let (a, b) = (zeros(a), zeros(b));
            let y = if op == "linear" { a.linear(&b, None) } else { a.matmul(&b) };
            assert_eq!(y.shape()[..], *want, "{op} on {name}");
            assert!(read(&y).iter().all(|v| *v == 0.0) && y.is_tracked());
            let grads = y.sum().backward();
            assert_eq!([grads.of(&a), grads.of(&b)].map(|g| g.map(Tensor::numel)), [Some(0); 2]);
        }
        let bias = Tensor::from_vec(vec![1.0f32, 2.0], [2], &device).requires_grad();
        let y = zeros(&[3, 0]).linear(&zeros(&[2, 0]), Some(&bias));
        near("a bias on nothing", &y, &[1.0, 2.0, 1.0, 2.0, 1.0, 2.0]);
        near("its gradient", y.sum().backward().of(&bias).expect("there is one"), &[3.0, 3.0]);

        let (w, b) = (Tensor::ones([4], &device).requires_grad(), Tensor::ones([4], &device).requires_grad());
        let grads = zeros(&[0, 4]).layer_norm(&[4], Some(&w), Some(&b), 1e-5).sum().backward();
        for part in [&w, &b] {
            near("layer_norm of no rows", grads.of(part).expect("there is one"), &[0.0; 4]);
        }
        let grads = zeros(&[0, 4]).rms_norm(&[4], Some(&w), 1e-5).sum().backward();
        near("rms_norm of no rows", grads.of(&w).expect("there is one"), &[0.0; 4]);
    }
}

#[test]
fn variances_of_few_elements() {
    const INF: f32 = f32::INFINITY;
    for (_, device) in devices() {
        let x = Tensor::from_vec(vec![1.0f32, 2.0], [2], &device);
        near("var(3)", &x.var(3), &[INF]);
        near("var(2)", &x.var(2), &[INF]);
        near("var(1) of one", &x.narrow(0, 0, 1).var(1), &[f32::NAN]);
        near("var of nothing", &x.narrow(0, 0, 0).var(1), &[f32::NAN]);
        near("the gradient of var(2)", &slope(&x, |x| x.var(2)), &[INF, INF]);
        near("along a dimension", &slope(&x, |x| x.var_dims(&[0], 2, KeepDims::No)), &[-INF, INF]);
        near("the gradient of var(1)", &slope(&x, |x| x.var(1)), &[-1.0, 1.0]);
    }
}

#[test]
fn similarities_and_their_eps() {
    for (_, device) in devices() {
        let of = |data: &[f32], sizes: &[usize]| Tensor::from_slice(data, sizes, &device);
        let row = |x: f32| of(&[x, 0.0], &[1, 2]);
        near("large rows", &row(1e10).cosine_similarity(&row(1e10), 1, 1e-8), &[1.0]);
        near("small rows", &row(1e-10).cosine_similarity(&row(1e-10), 1, 1e-8), &[1e-4]);
        let a = of(&[1.0, 0.0, 0.0, 1.0], &[1, 2, 2]);
        let b = of(&[1.0, 0.0, 1.0, 0.0], &[2, 1, 2]);
        let r = 0.5f32.sqrt();
        near("broadcast along the dimension", &a.cosine_similarity(&b, -2, 1e-8), &[r, 0.0, r, 0.0]);
        let (zero, other) = (row(0.0), of(&[1.0, 2.0], &[1, 2]));
        let loss = |x: &Tensor| x.cosine_embedding_loss(&other, &Tensor::ones([1], &device), 0.0, Reduction::Sum);
        near("a zero row", &slope(&zero, loss), &[-447_213.6, -894_427.2]);
        let variance = of(&[1e-9], &[1]);
        let gaussian = |v: &Tensor| {
            of(&[1.0], &[1]).gaussian_nll_loss(&of(&[0.0], &[1]), v, GaussianConstant::Out, 1e-6, Reduction::Sum)
        };
        near("a variance below eps", &slope(&variance, gaussian), &[-4.999_995e11]);
    }
}

#[test]
fn the_length_of_two_sides_holds_what_its_squares_would_not() {
    let (inf, nan, root) = (f32::INFINITY, f32::NAN, std::f32::consts::SQRT_2);
    for (name, device) in devices() {
        let tensor = |values: &[f32]| Tensor::from_slice(values, [values.len()], &device);
        let a = tensor(&[1e30, 1e-30, inf, nan, 0.0, 3.0, nan, 2e38, -1e30, 1e18]);
        let b = tensor(&[1e30, 1e-30, nan, -inf, 0.0, -4.0, 1.0, 2e38, 1.0, 1e18]);
        let want = [1e30 * root, 1e-30 * root, inf, inf, 0.0, 5.0, nan, 2e38 * root, 1e30, 1e18 * root];
        near(name, &a.hypot(&b), &want);
        near(name, &(a.hypot(&b).narrow(0, 1, 1) * 1e30), &[root]);
        let half = root / 2.0;
        near(name, &slope(&a, |a| a.hypot(&b)), &[half, half, nan, nan, nan, 0.6, nan, half, -1.0, half]);
        // Twice, of sizes on both sides of the bounds.
        let (a, b) = (tensor(&[3e20, 3.0, 3e-20]).requires_grad(), tensor(&[4e20, 4.0, 4e-20]));
        near(name, &a.hypot(&b).sum().grad(&a).sum().grad(&a), &[1.28e-21, 0.128, 1.28e19]);
        let half = tensor(&[300.0, 3e-5]).cast(wgrad::DType::F16);
        let length = half.hypot(&half).cast(wgrad::DType::F32);
        let got = read(&length);
        assert!((got[0] - 424.26).abs() < 0.3 && (got[1] - 4.24e-5).abs() < 1e-7, "on {name}: {got:?}");
    }
}

#[test]
fn einsum_and_attention_broadcast() {
    for (name, device) in devices() {
        let mut rng = Rng::new(3);
        let mut normal = |sizes: &[usize]| Tensor::normal(sizes, 0.0, 1.0, &mut rng, &device).requires_grad();
        let (a, b) = (normal(&[2, 1]), normal(&[3, 4]));
        let y = Tensor::einsum("ij,jk->ik", &[&a, &b]);
        let want = a.expand([2, 3]).matmul(&b);
        near("einsum", &y, &read(&want));
        let [got, want] = [y, want].map(|y| y.square().sum().backward());
        for x in [&a, &b] {
            near("its gradient", got.of(x).expect("there is one"), &read(want.of(x).expect("there is one")));
        }
        assert!(panics(|| Tensor::einsum("ii", &[&a])).contains("`i` is 2 and 1 in [2, 1]"));

        let (q, k, v) = (normal(&[1, 2, 5, 8]), normal(&[3, 2, 4, 8]), normal(&[3, 2, 4, 6]));
        let options = AttentionOptions::default();
        let y = q.scaled_dot_product_attention(&k, &v, &options);
        let want = defined::attention(&q.expand([3, 2, 5, 8]), &k, &v, &options);
        assert_eq!(y.shape()[..], [3, 2, 5, 6], "{name}");
        let alike = |what: &str, a: &Tensor, b: &Tensor| {
            let apart = read(&a.sub(b).abs().max())[0];
            assert!(apart < 1e-5, "{what} on {name}: apart by {apart}");
        };
        alike("attention", &y, &want);
        let [got, want] = [y, want].map(|y| y.square().sum().backward());
        for x in [&q, &k, &v] {
            alike("its gradient", got.of(x).expect("there is one"), want.of(x).expect("there is one"));
        }
    }
}

#[test]
fn arguments_at_their_ends() {
    for (name, device) in devices() {
        let x = Tensor::from_vec(vec![-1.0f32, 0.5, 2.0], [3], &device);
        near("hardtanh", &x.hardtanh(0.25, 0.25), &[0.25; 3]);
        let weight = || Parameter::new(Tensor::ones([3], &device));
        let stepped = |optimizer: &mut dyn Optimizer, weight: &Parameter| {
            optimizer.step(&weight.tensor().mul(&x).sum().backward());
            read(&weight.tensor())
        };
        let w = weight();
        let mut none = Sgd::new(&w, SgdOptions { lr: 1.0, ..SgdOptions::default() })
            .and_then(|sgd| sgd.clip_grad_norm(0.0))
            .expect("a bound of 0");
        assert_eq!(stepped(&mut none, &w), [1.0; 3], "{name}");
        let w = weight();
        let options = SgdOptions { lr: 1.0, ..SgdOptions::default() };
        let mut clipped = Sgd::new(&w, options).and_then(|sgd| sgd.clip_grad_norm(1.0)).expect("a bound");
        let lost = Tensor::from_vec(vec![1.0, f32::NAN, 1.0], [3], &device);
        clipped.step(&w.tensor().mul(&lost).sum().backward());
        assert!(read(&w.tensor()).iter().all(|w| w.is_nan()), "one NaN makes all NaN on {name}");
        let w = weight();
        let mut rms = RmsProp::new(&w, RmsPropOptions { alpha: 1.0, ..RmsPropOptions::default() }).expect("alpha 1");
        assert!(stepped(&mut rms, &w).iter().all(|w| w.is_finite()));
        let w = weight();
        let mut ada = Adadelta::new(&w, AdadeltaOptions { rho: 1.0, ..AdadeltaOptions::default() }).expect("rho 1");
        assert!(stepped(&mut ada, &w).iter().all(|w| w.is_finite()));
    }
}

#[test]
fn sizes_by_factors_are_those_of_decimals() {
    for (_, device) in devices() {
        for (size, factor, want) in [(100, 0.29, 28), (50, 0.58, 28), (25, 1.16, 28), (10, 0.7, 7), (10, 1.1, 11)] {
            let x = Tensor::zeros([1, 1, size, 1], &device);
            assert_eq!(x.upsample([factor, 1.0], Upsampling::Nearest).size(2), want, "{size} x {factor}");
        }
        let x = Tensor::from_vec(vec![f32::INFINITY, 1.0], [1, 1, 1, 2], &device);
        near(
            "an infinite pixel",
            &x.upsample([1.0, 2.0], Upsampling::Nearest),
            &[f32::INFINITY, f32::INFINITY, 1.0, 1.0],
        );
    }
}

#[test]
fn uniform_numbers_stay_below_their_bound() {
    let device = Device::cpu();
    let mut rng = Rng::new(1);
    let drawn = Tensor::uniform([64], 16_777_216.0, 16_777_218.0, &mut rng, &device);
    assert_eq!(read(&drawn), [16_777_216.0; 64]);
    assert!(panics(|| Tensor::uniform([1], 1.0, 0.0, &mut Rng::new(1), &device)).contains("uniform: the lower bound"));
}

#[test]
fn results_without_elements_need_no_extremes_and_sums_of_nothing_are_0() {
    const LEAST: f32 = f32::NEG_INFINITY;
    for (name, device) in devices() {
        let none = |sizes: &[usize]| Tensor::zeros(sizes, &device).requires_grad();
        let wide = none(&[0, 3]);
        for (y, want) in [
            (wide.amax(&[1], KeepDims::No), &[0][..]),
            (wide.amin(&[-1], KeepDims::Yes), &[0, 1]),
            (none(&[2, 0, 3]).amax(&[0, 2], KeepDims::No), &[0]),
            (wide.argmax(1), &[0]),
            (wide.logsumexp(&[1], KeepDims::No), &[0]),
        ] {
            assert_eq!(y.shape()[..], *want, "{name}");
            assert!(!y.is_tracked() || y.backward_with(&y.detach()).of(&wide).is_none_or(|dx| dx.numel() == 0));
        }
        near("logsumexp over nothing", &wide.logsumexp(&[0], KeepDims::No), &[LEAST; 3]);
        near("logsumexp of nothing", &none(&[0]).logsumexp(&[0], KeepDims::Yes), &[LEAST]);
        for (op, said) in [
            ("amax", panics(|| wide.amax(&[0], KeepDims::No))),
            ("amin", panics(|| wide.amin(&[0, 1], KeepDims::No))),
            ("max", panics(|| wide.max())),
            ("min", panics(|| wide.detach().cast(DType::I32).min())),
            ("argmax", panics(|| wide.argmax(0))),
        ] {
            assert!(said.contains(&format!("{op}: [0, 3] has no elements along")), "{name}: {said}");
        }
        // Queries without keys are answered by 0, with a mask too.
        let (q, k) = (none(&[1, 2, 4]), none(&[1, 0, 4]));
        let options = AttentionOptions { mask: Some(none(&[2, 0]).detach()), ..AttentionOptions::default() };
        near("attention without keys", &q.scaled_dot_product_attention(&k, &k, &options), &[0.0; 8]);
    }
}

#[test]
fn a_batch_of_nothing_moves_no_statistics_and_no_weights() {
    for (name, device) in devices() {
        let (w, b) = (Tensor::ones([3], &device).requires_grad(), Tensor::ones([3], &device).requires_grad());
        for sizes in [&[0, 3][..], &[0, 3, 2, 2], &[2, 3, 0]] {
            let x = Tensor::zeros(sizes, &device).requires_grad();
            let normalised = x.batch_norm(Some(&w), Some(&b), 1e-5);
            assert_eq!(normalised.output.shape(), x.shape(), "{name}");
            let grads = normalised.output.sum().backward();
            for part in [&w, &b] {
                near("its gradient", grads.of(part).expect("there is one"), &[0.0; 3]);
            }
            let (mean, variance) = (Tensor::full([3], 2.0f32, &device), Tensor::full([3], 3.0f32, &device));
            let batches = Tensor::full([], 4i32, &device);
            normalised.update_running(&mean, &variance, &batches, 0.5);
            near("the mean", &mean, &[2.0; 3]);
            near("the variance", &variance, &[3.0; 3]);
            assert_eq!(batches.item().expect("the device works"), 5.0);
        }
    }
}

#[test]
fn recurrent_layers_take_a_batch_of_nothing() {
    for (name, device) in devices() {
        let init = &mut Init::new(0, &device);
        let both = RecurrentOptions { layers: 2, directions: Directions::Both, ..RecurrentOptions::default() };
        let lstm = RecurrentOptions { proj_size: 2, ..both };
        let all: [(&str, Recurrent); 4] = [
            ("Lstm", Lstm::with(4, 3, both, init).0),
            ("Lstm that projects", Lstm::with(4, 3, lstm, init).0),
            ("Gru", Gru::with(4, 3, both, init).0),
            ("Rnn", Rnn::new(4, 4, init).0),
        ];
        for (kind, layer) in &all {
            let x = Tensor::zeros([0, 5, 4], &device).requires_grad();
            let all = [Ctx::train(), Ctx::train().precision(Precision::Bf16Mixed), Ctx::eval()];
            for (ctx, is_trained) in all.into_iter().zip([true, true, false]) {
                let (y, state) = layer.forward_from(&x, RnnStart::default(), &ctx);
                assert_eq!((y.size(0), y.size(1)), (0, 5), "{kind} on {name}");
                assert_eq!(state.hidden.size(1), 0, "{kind} on {name}");
                if !is_trained {
                    continue;
                }
                let grads = y.sum().backward();
                for (path, parameter) in parameters(layer) {
                    let gradient = grads.of(&parameter.tensor()).unwrap_or_else(|| panic!("{kind}: {path} has none"));
                    assert!(read(gradient).iter().all(|v| *v == 0.0), "{kind}: {path} on {name}");
                }
            }
            let none = panics(|| layer.forward(&Tensor::zeros([2, 0, 4], &device), &Ctx::eval()));
            assert!(none.contains("expected sequences [batch, steps, 4]"), "{none}");
        }
    }
}

#[test]
fn convolutions_of_nothing_are_their_bias() {
    for (name, device) in devices() {
        let zeros = |sizes: &[usize]| Tensor::zeros(sizes, &device).requires_grad();
        let bias = Tensor::from_slice(&[1.0f32, 2.0], [2], &device).requires_grad();
        for (x, w) in [(zeros(&[2, 0, 2, 1]), zeros(&[2, 0, 1, 1])), (zeros(&[0, 3, 2, 1]), zeros(&[2, 3, 1, 1]))] {
            let turned = w.permute(&[1, 0, 2, 3]);
            for y in [
                x.conv2d(&w, Some(&bias), Conv2dOptions::default()),
                x.conv_transpose2d(&turned, Some(&bias), ConvTranspose2dOptions::default()),
            ] {
                let n = x.size(0);
                assert_eq!(y.shape()[..], [n, 2, 2, 1], "{name}");
                near("conv", &y, &[1.0, 1.0, 2.0, 2.0].repeat(n));
                let grads = y.sum().backward();
                near("the bias", grads.of(&bias).expect("there is one"), &[2.0 * n as f32; 2]);
                for part in [&x, &w] {
                    near("the rest", grads.of(part).expect("there is one"), &vec![0.0; part.numel()]);
                }
            }
        }
    }
}

#[test]
fn a_vector_of_nothing_stands_among_tensors_of_any_rank() {
    for (_, device) in devices() {
        let (none, x) = (Tensor::zeros([0], &device).requires_grad(), Tensor::ones([2, 1], &device).requires_grad());
        let y = Tensor::cat(&[&none, &x, &x, &none], -1);
        assert_eq!(y.shape()[..], [2, 2]);
        let grads = y.sum().backward();
        near("its gradient", grads.of(&none).expect("there is one"), &[]);
        near("the others'", grads.of(&x).expect("there is one"), &[2.0; 2]);
        assert_eq!(Tensor::cat(&[&none, &none], 0).shape()[..], [0]);
    }
}

#[test]
fn a_factor_that_leaves_or_doubles_a_size_copies_pixels() {
    for (_, device) in devices() {
        let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0], [1, 1, 1, 4], &device);
        let twice = [1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0];
        near("1.05, nearest", &x.upsample([1.0, 1.05], Upsampling::Nearest), &[1.0, 2.0, 3.0, 4.0]);
        near("2.05, nearest", &x.upsample([1.0, 2.05], Upsampling::Nearest), &twice);
        near("1.05, bilinear", &x.upsample([1.0, 1.05], Upsampling::Bilinear), &[1.0, 2.0, 3.0, 4.0]);
        near(
            "1.3, bilinear",
            &x.upsample([1.0, 1.3], Upsampling::Bilinear),
            &[1.0, 1.653_846, 2.423_077, 3.192_308, 3.961_538],
        );
    }
}

#[test]
fn losses_of_rows_and_of_other_targets() {
    for (_, device) in devices() {
        let of = |data: &[f32], sizes: &[usize]| Tensor::from_slice(data, sizes, &device);
        let (x, t) = (of(&[1.0, 2.0, 3.0, 4.0], &[2, 2]), of(&[0.0; 4], &[2, 2]));
        let gaussian =
            |v: &Tensor| x.gaussian_nll_loss(&t, v, GaussianConstant::Out, 1e-6, Reduction::None).affine(2.0, 0.0);
        let log = [1.0f32, 4.0].map(f32::ln);
        let want = [log[0] + 1.0, log[0] + 4.0, log[1] + 2.25, log[1] + 4.0];
        near("variances of rows", &gaussian(&of(&[1.0, 4.0], &[2])), &want);
        near("variances of columns", &gaussian(&of(&[1.0, 4.0], &[1, 2])), &[1.0, log[1] + 1.0, 9.0, log[1] + 4.0]);
        let x = of(&[0.25, 2.0, 0.25, 2.0, 0.25, 2.0], &[6]);
        let t = of(&[1.0, 1.0, -1.0, -1.0, 0.0, 0.0], &[6]);
        near("hinge", &x.hinge_embedding_loss(&t, 1.0, Reduction::None), &[0.25, 2.0, 0.75, 0.0, 1.0, 2.0]);
        let hinge = |x: &Tensor| x.hinge_embedding_loss(&t, 1.0, Reduction::None);
        near("its slope", &slope(&x, hinge), &[1.0, 1.0, -1.0, 0.0, 0.0, 1.0]);
    }
}

#[test]
fn dropout_of_all_and_ranges_that_are_none() {
    for (_, device) in devices() {
        let draw = Draw { seed: 1, stream: 0, step: Tensor::from_slice(&[1i32, 0], [2], &device), offset: 0 };
        let x = Tensor::ones([5], &device);
        near("dropout of all", &x.dropout(1.0, &draw), &[0.0; 5]);
        near("its gradient", &slope(&x, |x| x.dropout(1.0, &draw)), &[0.0; 5]);
        assert!(panics(|| x.dropout(1.5, &draw)).contains("dropout: a probability of 1.5 is not in 0..=1"));
    }
    let parameter = Parameter::new(Tensor::ones([1], &Device::cpu()));
    for (low, high, due) in [(1.0, 0.0, "is above the upper"), (f32::MIN, f32::MAX, "is wider than the largest f32")] {
        assert!(panics(|| Tensor::uniform([1], low, high, &mut Rng::new(1), &Device::cpu())).contains(due));
        assert!(panics(|| init::uniform(&parameter, low, high, &mut Rng::new(1))).contains(due));
    }
}

/// Sizes and dimensions need no cast, whichever type a caller has them in.
#[test]
fn whole_numbers_of_any_type_are_sizes_and_dimensions() {
    for (_, device) in devices() {
        let x = Tensor::ones([2, 3, 4], &device);
        let (rows, dims) = (x.size(0usize), [0usize, 2]);
        assert_eq!(*x.reshape([rows, 12]).shape(), [2, 12]);
        assert_eq!(*x.reshape([-1, 6]).shape(), [4, 6]);
        assert_eq!(*x.reshape((rows, 3, -1)).shape(), [2, 3, 4]);
        assert_eq!(*x.sum_dims(&dims, KeepDims::No).shape(), [3]);
        assert_eq!(*x.mean_dims(&[-1], KeepDims::Yes).shape(), [2, 3, 1]);
        assert_eq!(*x.permute(&[-1, 0, 1]).shape(), [4, 2, 3]);
        assert_eq!(*x.narrow(2u32, 1, 2).softmax(1usize).transpose(0, -1).shape(), [2, 3, 2]);
        assert_eq!(x.sum_dims(&[0, 1, 2], KeepDims::Yes).reshape(()).rank(), 0);
        assert!(panics(|| x.permute(&[-4, 0, 1])).contains("permute"));
    }
}
