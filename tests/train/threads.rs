//! Other threads go on while one captures a step.

use crate::devices::devices;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Barrier, Mutex, mpsc};
use wgrad::nn::{Ctx, Init, Layer, Linear, Sequential, StateDict, Tanh, state};
use wgrad::optim::{Adam, AdamOptions, Decision, Momentum, Optimizer, Sgd, SgdOptions};
use wgrad::plan::Replay;
use wgrad::{Device, Error, Result, Tensor};

/// What a thread does over and over beside one that trains.
type Beside = fn(&Device, &Tensor) -> Result<()>;

fn uploads(device: &Device, _: &Tensor) -> Result<()> {
    drop(Tensor::from_vec(vec![0.5f32; 64], [64], device));
    Ok(())
}

fn runs(_: &Device, x: &Tensor) -> Result<()> {
    drop((x * 2.0).exp());
    Ok(())
}

fn reads(_: &Device, x: &Tensor) -> Result<()> {
    let sum = (x * 2.0).sum().item()?;
    assert_eq!(sum, 128.0);
    Ok(())
}

fn captures(_: &Device, x: &Tensor) -> Result<()> {
    let mut step = Replay::checked();
    for _ in 0..2 {
        let sum = step.run(x, |x| Ok((x * 3.0).sum()))?.item()?;
        assert_eq!(sum, 192.0);
    }
    Ok(())
}

/// The losses of three steps, captured, checked and replayed.
fn trained(device: &Device) -> Vec<f32> {
    let init = &mut Init::new(0, device);
    let mut model = Sequential::new();
    for _ in 0..8 {
        model = model.push(Linear::new(16, 16, init)).push(Tanh::new());
    }
    let mut adam = Adam::new(&model, AdamOptions::default()).expect("the options are in range");
    let (mut step, x) = (Replay::new(), Tensor::ones([4, 16], device));
    let mut losses = Vec::new();
    for _ in 0..3 {
        let loss = step.run(&x, |x| {
            let loss = model.forward(x, &Ctx::train()).square().mean();
            adam.step(&loss.backward());
            Ok(loss)
        });
        losses.push(loss.expect("it can be replayed").item().expect("the device works"));
    }
    losses
}

#[test]
fn other_threads_go_on_while_a_step_is_captured() {
    let works: [(&str, Beside); 4] = [("uploads", uploads), ("runs", runs), ("reads", reads), ("captures", captures)];
    for (name, device) in devices() {
        let want = trained(&device);
        for (what, work) in works {
            let (stop, rounds) = (AtomicBool::new(false), AtomicU64::new(0));
            let served = Tensor::ones([64], &device);
            std::thread::scope(|scope| {
                let other = scope.spawn(|| {
                    let mut result = Ok(());
                    while !stop.load(Ordering::Relaxed) && result.is_ok() {
                        result = work(&device, &served);
                        rounds.fetch_add(1, Ordering::Relaxed);
                    }
                    result
                });
                // On a busy machine the other thread may be late.
                let mut times = 0;
                while times < 6 || rounds.load(Ordering::Relaxed) == 0 {
                    assert_eq!(trained(&device), want, "a thread that {what}, on {name}");
                    times += 1;
                }
                stop.store(true, Ordering::Relaxed);
                let result = other.join().expect("no panic");
                assert!(result.is_ok(), "a thread that {what}, on {name}: {result:?}");
            });
        }
    }
}

/// A tensor of a step that is being captured has no values, and a thread that asks for them is told so.
#[test]
fn a_tensor_of_a_captured_step_is_no_use_to_other_threads() {
    for (_, device) in devices() {
        let x = Tensor::ones([2], &device);
        let beside = |y: Tensor, work: fn(&Tensor) -> Result<()>| {
            std::thread::scope(|scope| scope.spawn(move || work(&y)).join()).expect("no panic")
        };
        let mut said = Ok(());
        let read = device.capture(&x, |x| {
            let y = x.exp();
            said = beside(y.clone(), |y| y.to_vec::<f32>().map(drop));
            Ok(y)
        });
        assert!(matches!(&said, Err(Error::Capture(text)) if text.contains("another thread is capturing")), "{said:?}");
        assert!(read.is_ok());
        let ran = device.capture(&x, |x| {
            let y = x.exp();
            beside(y.clone(), |y| {
                drop(y + 1.0);
                Ok(())
            })?;
            Ok(y)
        });
        let text = ran.map(drop).expect_err("the other thread saw no values").to_string();
        assert!(text.contains("another thread ran affine on a tensor of the step"), "{text}");
    }
}

/// The last handle of a tensor that a step reads may end on another thread while the step is captured.
#[test]
fn an_end_on_another_thread_counts() {
    for (_, device) in devices() {
        let x = Tensor::ones([2], &device);
        let ended = device.capture(&x, |x| {
            let before = std::thread::scope(|scope| {
                let (sender, receiver) = mpsc::channel::<Tensor>();
                let ended = scope.spawn(move || receiver.recv().map(drop));
                let y = Tensor::ones([2], &device);
                let sum = x + &y;
                sender.send(y).expect("it is waited for");
                ended.join().expect("no panic").expect("it was sent");
                sum
            });
            // This may take the memory of the one that has ended.
            let other = x.exp();
            Ok([before, other])
        });
        let step = ended.expect("it can be captured");
        let [sum, _] = step.run(&(&x * 2.0)).expect("the shapes fit");
        assert_eq!(sum.to_vec::<f32>().expect("the device works"), [3.0, 3.0]);
    }
}

/// What a run leaves after steps on some rows of each batch, in which `reduce` sees the gradients.
fn taught(device: &Device, rows: std::ops::Range<usize>, reduce: &dyn Fn(&[Tensor])) -> StateDict {
    let init = &mut Init::new(5, device);
    let model = Sequential::new().push(Linear::new(3, 5, init)).push(Tanh::new()).push(Linear::new(5, 1, init));
    let options = SgdOptions { lr: 0.1, momentum: Momentum::HeavyBall(0.9), ..SgdOptions::default() };
    let sgd = Sgd::new(&model, options).and_then(|sgd| sgd.clip_grad_norm(0.5));
    let mut sgd = sgd.expect("the options are in range");
    for step in 0..10 {
        let batch: Vec<f32> = (0..24).map(|i| ((i * 7 + step * 5) % 13) as f32 / 13.0).collect();
        let x = Tensor::from_slice(&batch[3 * rows.start..3 * rows.end], [rows.len(), 3], device);
        let loss = (model.forward(&x, &Ctx::train()) - 1.0).square().mean();
        sgd.step_with(&loss.backward(), &mut |buckets| {
            reduce(buckets);
            Decision::Update
        });
    }
    state(&model).expect("the device works")
}

/// Two devices with a half of each batch take the mean of their gradients before they clip them and step.
#[test]
fn devices_that_exchange_gradients_learn_as_one() {
    for (name, device) in devices() {
        let whole = taught(&device, 0..8, &|_| ());
        let (shared, both) = (Mutex::new([Vec::new(), Vec::new()]), Barrier::new(2));
        let part = |rank: usize, device: &Device| {
            taught(device, 4 * rank..4 * rank + 4, &|buckets| {
                for bucket in buckets {
                    shared.lock().expect("no thread fails")[rank] = bucket.to_vec::<f32>().expect("the device works");
                    both.wait();
                    let [a, b] = shared.lock().expect("no thread fails").clone();
                    both.wait();
                    bucket.upload(&a.iter().zip(b).map(|(a, b)| (a + b) / 2.0).collect::<Vec<f32>>());
                }
            })
        };
        let [first, second] = std::thread::scope(|scope| {
            let second = scope.spawn(|| part(1, &Device::new_cpu()));
            [part(0, &Device::new_cpu()), second.join().expect("it ends well")]
        });
        assert_eq!(first, second);
        for (path, value) in &whole {
            let near = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-4;
            let (wgrad::nn::Values::F32(a), wgrad::nn::Values::F32(b)) = (&value.values, &first[path].values) else {
                panic!("{path} is of f32")
            };
            assert!(a.iter().zip(b).all(near), "{path} on {name}: {a:?}, not {b:?}");
        }
    }
}

#[test]
fn gradients_flow_from_one_device_to_another() {
    let other = Device::new_cpu();
    for (name, device) in devices() {
        let (below, above) =
            (Linear::new(4, 4, &mut Init::new(1, &device)), Linear::new(4, 2, &mut Init::new(2, &other)));
        let ctx = Ctx::train();
        let x = Tensor::from_slice(&[0.5f32, -1.0, 2.0, 0.25], [1, 4], &device);
        let y = above.forward(&below.forward(&x, &ctx).to(&other).unwrap(), &ctx);
        let grads = y.square().mean().backward();
        assert_eq!(grads.len(), 4, "{name}");
        let weight = below.weight.tensor();
        let got = grads.of(&weight).expect("it has one");
        assert_eq!(got.device(), &device);
        // The same on one device.
        let same = Linear::new(4, 4, &mut Init::new(1, &other));
        let x = x.to(&other).unwrap();
        let want = above.forward(&same.forward(&x, &ctx), &ctx).square().mean().backward();
        let want = want.of(&same.weight.tensor()).expect("it has one").to_vec::<f32>().unwrap();
        for (got, want) in got.to_vec::<f32>().unwrap().iter().zip(want) {
            assert!((got - want).abs() < 1e-5, "{name}: {got} is not {want}");
        }
    }
}
