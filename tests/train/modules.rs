//! Modules as a user writes them: derived, visited, named, copied, moved, traced.

use super::rules::panics;
use crate::devices::devices;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use wgrad::autograd::Grads;
use wgrad::nn::{
    BatchNorm1d, Buffer, Ctx, Dropout, Entered, Generator, Init, Layer, Linear, MaxPool2d, Mode, Module, Parameter,
    Path, Relu, Sequential, Summary, Trace, parameters, state, trainable,
};
use wgrad::optim::{Adam, AdamOptions, Optimizer, Sgd, SgdOptions};
use wgrad::{DType, Device, Tensor};

fn paths(module: &dyn Module) -> Vec<String> {
    parameters(module).into_iter().map(|(path, _)| path).collect()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.to_vec().expect("the device works")
}

/// Noise on its input in training: a layer with chance, written outside of the crate.
#[derive(Module)]
struct Noise {
    generator: Generator,
    path: Path,
}

impl Layer for Noise {
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        if ctx.mode() == Mode::Eval {
            return x.clone();
        }
        let draw = ctx.draw(&self.generator, x.device());
        &self.path.of(x) + draw.normal(x.shape(), 0.0, 0.1)
    }
}

/// Fields of every kind.
#[derive(Module)]
struct Net<M> {
    fc1: Linear,
    #[module(name = "renamed")]
    fc2: Linear,
    #[module(name = "")]
    flat: Pair,
    r#type: M,
    noise: Noise,
    several: Vec<Linear>,
    none: Option<Linear>,
    count: Buffer,
    #[module(skip)]
    scale: f32,
}

#[derive(Module)]
struct Pair(Parameter, Parameter);

fn net(device: &Device) -> Net<Linear> {
    let init = &mut Init::new(3, device);
    let one = |init: &mut Init| init.uniform([2], 2);
    Net {
        fc1: Linear::new(2, 2, init),
        fc2: Linear::without_bias(2, 2, init),
        flat: Pair(one(init), one(init)),
        r#type: Linear::without_bias(2, 2, init),
        noise: Noise { generator: init.generator.clone(), path: Path::new() },
        several: vec![Linear::without_bias(2, 2, init), Linear::without_bias(2, 2, init)],
        none: None,
        count: Buffer::new(Tensor::full([], 5i32, device)),
        scale: 2.0,
    }
}

impl Layer for Net<Linear> {
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let x = self.noise.forward(&self.fc1.forward(x, ctx), ctx);
        let [a, b] = [&self.several[0], &self.several[1]].map(|layer| layer.forward(&x, ctx));
        self.fc2.forward(&(&a + &b), ctx) * self.scale
    }
}

#[test]
fn every_field_is_visited_under_its_name() {
    let net = net(&Device::cpu());
    let want =
        ["fc1.weight", "fc1.bias", "renamed.weight", "0", "1", "type.weight", "several.0.weight", "several.1.weight"];
    assert_eq!(paths(&net), want);
    assert_eq!(net.noise.path.get().as_deref(), Some("noise"));
    assert!(state(&net).expect("the device works").contains_key("count"));
}

#[test]
fn collections_of_modules_are_modules() {
    let device = Device::cpu();
    let mut init = Init::new(0, &device);
    let mut line = || Linear::without_bias(1, 1, &mut init);
    let (a, b) = (line(), line());
    assert_eq!(paths(&(&a, &b)), ["0.weight", "1.weight"]);
    assert_eq!(paths(&[&a, &b]), ["0.weight", "1.weight"]);
    assert_eq!(paths(&[&a as &dyn Module, &Sequential::new().push(line())]), ["0.weight", "1.0.weight"]);
    assert_eq!(paths(&Arc::new(line())), ["weight"]);
    assert_eq!(
        paths(&BTreeMap::from([("b".to_string(), line()), ("a".to_string(), line())])),
        ["a.weight", "b.weight"]
    );
    assert_eq!(paths(&HashMap::from([("y".to_string(), line()), ("x".to_string(), line())])), ["x.weight", "y.weight"]);
}

/// The whole model's path counts, also where a part was visited before.
#[test]
fn a_part_that_is_visited_first_learns_its_whole_path() {
    let net = net(&Device::cpu());
    paths(&net.fc2);
    paths(&net.noise);
    paths(&net);
    paths(&(&net.fc2, &net.fc1));
    assert_eq!(net.fc2.weight.tensor().name(), Some("renamed.weight"));
    assert_eq!(net.noise.path.get().as_deref(), Some("noise"));
}

/// A part of a model is what an optimizer is given: the rest stays.
#[test]
fn a_tuple_of_layers_is_trained_alone() {
    for (name, device) in devices() {
        let net = net(&device);
        let before = [&net.fc1, &net.fc2].map(|layer| values(&layer.weight.tensor()));
        let mut sgd = Sgd::new(&(&net.fc2, &net.several[0]), SgdOptions::default()).expect("good options");
        let loss = net.forward(&Tensor::ones([3, 2], &device), &Ctx::train()).square().sum();
        sgd.step(&loss.backward());
        let after = [&net.fc1, &net.fc2].map(|layer| values(&layer.weight.tensor()));
        assert_eq!(before[0], after[0], "on {name}");
        assert_ne!(before[1], after[1], "on {name}");
    }
}

#[test]
fn a_model_enters_a_thread() {
    let device = Device::cpu();
    let init = &mut Init::new(0, &device);
    let model = Sequential::new().push(Linear::new(2, 2, init)).push(Relu::new()).push(Dropout::new(0.5, init));
    let model: Arc<dyn Layer> = Arc::new(model);
    let (ctx, x) = (Ctx::eval(), Tensor::ones([1, 2], &device));
    let want = values(&model.forward(&x, &ctx));
    let got = std::thread::spawn(move || values(&model.forward(&x, &ctx))).join().expect("it ends");
    assert_eq!(got, want);
}

#[test]
fn a_model_is_copied_and_followed() {
    for (name, device) in devices() {
        let make = |seed| {
            let init = &mut Init::new(seed, &device);
            Sequential::new().push(Linear::new(2, 3, init)).push(BatchNorm1d::new(3, init))
        };
        let (online, target) = (make(1), make(2));
        online.forward(&Tensor::ones([4, 2], &device), &Ctx::train());
        let of = |model: &Sequential| values(&parameters(model)[0].1.tensor());
        let (from, to) = (of(&target), of(&online));
        target.lerp_from(&online, 0.25).expect("the names are the same");
        for ((got, from), to) in of(&target).into_iter().zip(from).zip(to) {
            assert!((got - (from + 0.25 * (to - from))).abs() < 1e-6, "on {name}");
        }
        target.copy_from(&online).expect("the names are the same");
        let all = |model: &Sequential| state(model).expect("the device works");
        assert_eq!(all(&target), all(&online), "on {name}");
        // One is not the other.
        parameters(&online)[0].1.tensor().assign(&Tensor::zeros([3, 2], &device));
        assert_ne!(of(&target), of(&online), "on {name}");
    }
    let device = Device::cpu();
    let [small, large] = [2, 3].map(|size| Linear::new(size, 2, &mut Init::new(0, &device)));
    let told = small.copy_from(&large).expect_err("the shapes differ").to_string();
    assert!(told.contains("`weight`: expected [2, 2], got [2, 3]"), "{told}");
    let told =
        small.copy_from(&Linear::without_bias(2, 2, &mut Init::new(0, &device))).expect_err("no bias").to_string();
    assert!(told.contains("the other model has no `bias`"), "{told}");
    let told = small.lerp_from(&small, 1.5).expect_err("out of range").to_string();
    assert!(told.contains("expected a tau in 0..=1, got 1.5"), "{told}");
}

#[test]
fn models_in_bytes_are_copied_and_not_mixed() -> wgrad::Result<()> {
    for (name, device) in devices() {
        let [own, other] = [1, 2].map(|seed| Linear::new(4, 3, &mut Init::new(seed, &device)));
        own.quantize_int8()?;
        other.quantize_int8()?;
        let x = Tensor::ones([2, 4], &device);
        let of = |model: &Linear| model.forward(&x, &Ctx::eval()).to_vec::<f32>();
        let before = of(&own)?;
        let told = own.lerp_from(&other, 0.25).expect_err("bytes have no mean").to_string();
        let due = "lerp_from: `weight` is held in int8, and there are no bytes between those of two models: expected a tau of 0 \
                   or 1, got 0.25";
        assert!(told.ends_with(due), "{told}");
        own.lerp_from(&other, 0.0)?;
        assert_eq!(of(&own)?, before, "on {name}");
        own.lerp_from(&other, 1.0)?;
        assert_eq!(of(&own)?, of(&other)?, "on {name}");
    }
    Ok(())
}

#[test]
fn a_model_moves_to_another_device() {
    for (name, device) in devices() {
        let host = Device::cpu();
        let net = net(&host);
        let want = values(&net.forward(&Tensor::ones([3, 2], &host), &Ctx::eval()));
        net.to(&device).expect("the host's device works");
        let got = values(&net.forward(&Tensor::ones([3, 2], &device), &Ctx::eval()));
        assert!(got.iter().zip(&want).all(|(a, b)| (a - b).abs() < 1e-5), "{got:?}, not {want:?}, on {name}");
        assert_eq!(net.count.tensor().to_vec::<i32>().expect("the device works"), [5]);
        // It trains there, under the names it had.
        let mut sgd = Sgd::new(&net, SgdOptions::default()).expect("good options");
        sgd.step(&net.forward(&Tensor::ones([3, 2], &device), &Ctx::train()).sum().backward());
        assert_eq!(net.fc1.weight.tensor().name(), Some("fc1.weight"));
    }
}

/// In parallel branches, too, kernels are named by the layer that runs them.
#[test]
fn kernels_are_named_by_their_layer() {
    let device = Device::null();
    let init = &mut Init::new(0, &device);
    let branches = (MaxPool2d::new(2), (Relu::new(), Noise { generator: init.generator.clone(), path: Path::new() }));
    paths(&branches);
    let x = Tensor::ones([1, 1, 4, 4], &device).requires_grad();
    let (_, plan) = device.record(|| {
        let ctx = Ctx::train();
        let [a, b] = [branches.0.forward(&x, &ctx), branches.1.0.forward(&x, &ctx)];
        (a.sum() + branches.1.1.forward(&b, &ctx).sum()).backward()
    });
    let text = plan.to_string();
    let names = ["max_pool2d (0.input)", "relu (1.0.input)", "add (1.1.input)", "max_pool2d_backward (0.input)"];
    assert!(names.iter().all(|name| text.contains(name)), "{text}");
}

/// Features from inside a model, as a forward hook would take them.
#[test]
fn a_trace_is_told_of_every_layer() {
    #[derive(Default)]
    struct Outputs {
        entered: Mutex<Vec<String>>,
        left: Mutex<Vec<(String, Tensor)>>,
    }
    impl Trace for Outputs {
        fn entered(&self, layer: Entered) {
            self.entered.lock().expect("no panic").push(format!("{} {}", layer.path, layer.title));
        }
        fn left(&self, output: &Tensor) {
            let name = self.entered.lock().expect("no panic").pop().expect("it was entered");
            self.left.lock().expect("no panic").push((name, output.clone()));
        }
    }
    let device = Device::cpu();
    let net = net(&device);
    paths(&net);
    let trace = Arc::new(Outputs::default());
    let y = net.forward(&Tensor::ones([3, 2], &device), &Ctx::eval().traced(trace.clone()));
    let seen = trace.left.lock().expect("no panic");
    let names: Vec<&str> = seen.iter().map(|(name, _)| name.as_str()).collect();
    let lines =
        ["fc1 Linear(2, 2)", "noise Noise", "several.0 Linear(2, 2)", "several.1 Linear(2, 2)", "renamed Linear(2, 2)"];
    assert_eq!(names, [&lines[..], &[" Net"]].concat());
    assert_eq!(values(&seen[5].1), values(&y));
    let summary = Summary::of(&net, [3, 2], &device);
    let rows: Vec<(&str, usize)> = summary.rows.iter().map(|row| (&*row.path, row.parameters)).collect();
    // The model's own are those of no layer that runs.
    assert_eq!(rows[0], ("", 8));
    assert_eq!(summary.rows.iter().map(|row| row.parameters).sum::<usize>(), summary.parameters);
}

/// One seed gives the same numbers on every device; each name has a sequence of its own.
#[test]
fn a_generator_has_streams() {
    let generator = Generator::new(7);
    let first = |name: &str| generator.stream(name).next_u32();
    assert_eq!(first("augment"), Generator::new(7).stream("augment").next_u32());
    assert_ne!(first("augment"), first("sample"));
    assert_ne!(first("augment"), Generator::new(8).stream("augment").next_u32());
    let want = values(&Generator::new(7).draw(&Device::cpu()).uniform([100], 0.0, 1.0));
    for (name, device) in devices() {
        let generator = Generator::new(7);
        let draw = generator.draw(&device);
        assert_eq!(values(&draw.uniform([100], 0.0, 1.0)), want, "on {name}");
        assert_eq!(generator.position(), 1);
        let normal = generator.draw(&device).normal([3, 10_000], 1.0, 2.0);
        assert_eq!((normal.dtype(), normal.is_tracked()), (DType::F32, false));
        let all = values(&normal);
        let mean = all.iter().sum::<f32>() / 30_000.0;
        let std = (all.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / 30_000.0).sqrt();
        // Five deviations of the mean and of the deviation.
        assert!((mean - 1.0).abs() < 0.06 && (std - 2.0).abs() < 0.05, "{mean} and {std} on {name}");
    }
}

#[test]
fn what_is_frozen_has_no_gradient_and_lets_gradients_through() {
    for (name, device) in devices() {
        let init = &mut Init::new(0, &device);
        let [first, adapter, last] = [(); 3].map(|()| Linear::new(2, 2, init));
        let model = (&first, &adapter, &last);
        let x = Tensor::ones([3, 2], &device);
        let loss = |x: &Tensor| {
            let ctx = Ctx::train();
            last.forward(&adapter.forward(&first.forward(x, &ctx).tanh(), &ctx).tanh(), &ctx).square().mean()
        };
        let has = |grads: &Grads| -> Vec<bool> {
            parameters(&model).iter().map(|(_, parameter)| grads.of(&parameter.tensor()).is_some()).collect()
        };
        let all = loss(&x).backward();
        let want = values(all.of(&first.weight.tensor()).expect("it has one"));
        last.set_requires_grad(false);
        first.bias.as_ref().expect("it has one").set_requires_grad(false);
        let grads = loss(&x).backward();
        assert_eq!(has(&grads), [true, false, true, true, false, false], "on {name}");
        assert_eq!(values(grads.of(&first.weight.tensor()).expect("it has one")), want, "on {name}");
        assert_eq!(paths(&trainable(&model)), ["0.weight", "1.weight", "1.bias"]);
        // An optimizer of the rest has its state alone, under its names; one of all leaves what is frozen where it is.
        let sgd = SgdOptions { lr: 0.5, ..SgdOptions::default() };
        let adam = Adam::new(&trainable(&model), AdamOptions::default()).expect("the options are in range");
        let kept = adam.state().expect("the device works");
        assert!(kept.contains_key("exp_avg.1.bias") && !kept.keys().any(|name| name.ends_with("2.weight")));
        let mut optimizer = Sgd::new(&model, sgd).expect("the options are in range");
        let moved = |optimizer: &mut Sgd| -> Vec<bool> {
            let now = || parameters(&model).iter().map(|(_, own)| values(&own.tensor())).collect::<Vec<_>>();
            let before = now();
            optimizer.step(&loss(&x).backward());
            before.iter().zip(now()).map(|(before, now)| *before != now).collect()
        };
        assert_eq!(moved(&mut optimizer), [true, false, true, true, false, false], "on {name}");
        let step = device.capture(&x, |x| {
            let loss = loss(x);
            optimizer.step(&loss.backward());
            Ok(loss)
        });
        let step = step.expect("it is captured");
        step.run(&x).expect("it runs");
        last.set_requires_grad(true);
        last.set_requires_grad(true);
        let text = panics(|| step.run(&x));
        assert!(
            text.ends_with("2.weight is trained since the step was captured, which goes on as before: capture it anew"),
            "{text}"
        );
        drop(step);
        assert_eq!(moved(&mut optimizer), [true, false, true, true, true, true], "on {name}");
        last.set_requires_grad(false);
        last.cast(DType::BF16);
        assert!(!last.weight.requires_grad() && last.weight.tensor().dtype() == DType::BF16);
    }
}
