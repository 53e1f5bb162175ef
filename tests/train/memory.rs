//! Memory and threads: what is kept, what happens where there is none, and work of several threads on one device.

use crate::devices::devices;
use std::sync::mpsc;
use std::time::Duration;
use wgrad::nn::{Ctx, Init, Layer, Linear, Relu, Sequential};

use wgrad::optim::{Adafactor, AdafactorOptions, Adam, AdamOptions, Lookahead, LookaheadOptions, Optimizer};
use wgrad::{Device, Error, MaxPool1dOptions, Tensor};

/// Runs `work` on a thread of its own.
///
/// # Panics
/// If it takes minutes, as where threads wait for one another.
fn in_time(what: &str, work: impl FnOnce() + Send + 'static) {
    let (done, waits) = mpsc::channel();
    let worker = std::thread::spawn(move || {
        work();
        let _ = done.send(());
    });
    match waits.recv_timeout(Duration::from_secs(120)) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{what}: the threads wait for one another"),
        // The thread's own panic is the test's.
        _ => worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
    }
}

/// A function of large enough matrices that its kernels are cut into pieces.
fn waves(x: &Tensor) -> Tensor {
    (0..8).fold(x.clone(), |y, _| (&y.sin() + &y.matmul(x)).affine(0.01, 0.0))
}

fn matrix(device: &Device) -> Tensor {
    let data: Vec<f32> = (0..192 * 192).map(|i| (i % 97) as f32 / 97.0).collect();
    Tensor::from_vec(data, [192, 192], device)
}

#[test]
fn threads_that_replay_on_one_device_do_not_wait_for_one_another() {
    for (name, device) in devices() {
        in_time(name, move || {
            let x = matrix(&device);
            let want = waves(&x).to_vec::<f32>().expect("the device works");
            let steps: Vec<_> =
                (0..2).map(|_| device.capture(&x, |x| Ok(waves(x))).expect("it can be captured")).collect();
            std::thread::scope(|scope| {
                for step in &steps {
                    scope.spawn(|| {
                        for _ in 0..50 {
                            let y = step.run(&x).expect("it can be replayed");
                            assert!(y.to_vec::<f32>().expect("the device works") == want);
                        }
                    });
                }
            });
        });
    }
}

#[test]
fn a_users_pool_of_threads_may_run_eager_work_and_replays() {
    for (name, device) in devices() {
        in_time(name, move || {
            let x = matrix(&device);
            let want = waves(&x).to_vec::<f32>().expect("the device works");
            let step = device.capture(&x, |x| Ok(waves(x))).expect("it can be captured");
            let eager = || assert!(waves(&x).to_vec::<f32>().expect("the device works") == want);
            rayon::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|_| eager());
                    scope.spawn(|_| drop(step.run(&x).expect("it can be replayed")));
                }
            });
        });
    }
}

#[test]
fn ten_thousand_shapes_take_no_more_memory_than_a_few() {
    for (name, device) in devices() {
        let (mut bytes, mut groups) = (Vec::new(), Vec::new());
        for i in 0..10_000usize {
            // Any order, so that the first quarter has large ones too.
            let n = 1 + i * 7919 % 10_000;
            let x = Tensor::full([4, n], 0.5, &device).requires_grad();
            let loss = (&x.square() + &x).sum();
            let _ = loss.backward();
            if i % 50 == 0 {
                assert_eq!(loss.item().expect("the device works"), 3.0 * n as f32, "{name}");
            }
            if i % 2500 == 2499 {
                bytes.push(device.counters().bytes);
                groups.push(device.counters().bind_groups);
            }
        }
        println!("{name}: {bytes:?} bytes, {groups:?} bind groups, {:?}", device.counters());
        assert!(groups[3] - groups[0] <= 1000, "{name}: {groups:?} bind groups");
        assert!(bytes.iter().all(|b| *b <= 24 << 20 && *b <= bytes[0] + bytes[0] / 4), "{name}: {bytes:?}");
    }
}

#[test]
fn memory_that_nobody_asked_for_lately_is_given_back() {
    for (name, device) in devices() {
        let large: Vec<Tensor> = (0..24).map(|_| Tensor::zeros([1 << 20], &device)).collect();
        drop(large);
        device.wait().expect("the device works");
        assert!(device.counters().bytes >= 90 << 20, "{name}: it is kept for the next step");
        for i in 0..70_000 {
            drop(Tensor::empty([64 + i % 2], wgrad::DType::F32, &device));
        }
        assert!(device.counters().bytes <= 72 << 20, "{name}: {:?}", device.counters());
    }
}

fn small(device: &Device) -> Tensor {
    Tensor::from_slice(&[1.0f32, 2.0], [2], device)
}

#[test]
fn a_tensor_that_is_too_large_fails_alone() {
    for (name, device) in devices() {
        let x = small(&device);
        let huge = Tensor::zeros([1 << 33], &device);
        // What was there, and what is made of it, goes on.
        assert_eq!((&x + &x).to_vec::<f32>(), Ok(vec![2.0, 4.0]), "{name}");
        let sum = huge.sum();
        let both = &x + &sum;
        for lost in [&sum, &both, &Tensor::cat(&[&x, &both], 0)] {
            assert!(matches!(lost.to_vec::<f32>(), Err(Error::Limit(_))), "{name}: {:?}", lost.to_vec::<f32>());
        }
        assert!(matches!(huge.narrow(0, 5, 2).to_vec::<f32>(), Err(Error::Limit(_))), "{name}");
        // It is told once that x did not change, and then what x is.
        x.assign(&both);
        assert!(matches!(device.wait(), Err(Error::Limit(_))), "{name}");
        assert_eq!(x.to_vec::<f32>(), Ok(vec![1.0, 2.0]), "{name}");
        drop((huge, sum, both));
        assert_eq!((&x * &x).to_vec::<f32>(), Ok(vec![1.0, 4.0]), "{name}");
    }
}

#[test]
fn a_step_without_memory_moves_no_weight_and_the_next_one_does() {
    let adam = |model: &Sequential| Adam::new(model, AdamOptions::default()).expect("good options");
    type Make<'a> = &'a dyn Fn(&Sequential) -> Box<dyn Optimizer>;
    let all: [Make; 3] = [
        &|model| Box::new(adam(model)),
        &|model| Box::new(Adafactor::new(model, AdafactorOptions::default()).expect("good options")),
        &|model| {
            let often = LookaheadOptions { k: 1, ..LookaheadOptions::default() };
            Box::new(Lookahead::new(model, adam(model), often).expect("good options"))
        },
    ];
    for (name, device, make) in
        devices().into_iter().flat_map(|(name, device)| all.map(|make| (name, device.clone(), make)))
    {
        let mut init = Init::new(1, &device);
        let model =
            Sequential::new().push(Linear::new(4, 8, &mut init)).push(Relu::new()).push(Linear::new(8, 2, &mut init));
        let mut optimizer = make(&model);
        let weights = |text: &str| {
            let read = |(_, p): (String, wgrad::nn::Parameter)| p.tensor().to_vec::<f32>().expect(text);
            wgrad::nn::parameters(&model).into_iter().map(read).collect::<Vec<_>>()
        };
        let before = weights("they are there");
        let mut step = |rows: usize| {
            let x = Tensor::full([1, 4], 0.5, &device).expand([rows, 4]);
            let loss = model.forward(&x, &Ctx::train()).square().mean();
            optimizer.step(&loss.backward());
            loss.item()
        };
        assert!(matches!(step(1 << 31), Err(Error::Limit(_))), "{name}");
        assert_eq!(weights("what exists stays readable"), before, "{name}");
        assert!(step(3).expect("there is room").is_finite(), "{name}");
        assert_ne!(weights("the device works"), before, "{name}");
    }
}

#[test]
fn a_captured_step_that_does_not_fit_is_refused_and_the_device_goes_on() {
    for (name, device) in devices() {
        let x = small(&device);
        let captured = device.capture(&x, |x| Ok(x.sum().expand([1 << 33]).square().sum()));
        assert!(matches!(captured, Err(Error::Limit(_))), "{name}");
        let step = device.capture(&x, |x| Ok(x.square())).expect("it fits");
        assert_eq!(step.run(&x).expect("it fits").to_vec::<f32>(), Ok(vec![1.0, 4.0]), "{name}");
        let lost = Tensor::zeros([1 << 33], &device).narrow(0, 0, 2);
        assert!(step.run(&lost).is_err(), "{name}: an input that there is no memory for");
        assert_eq!(step.run(&x).expect("it fits").to_vec::<f32>(), Ok(vec![1.0, 4.0]), "{name}");
    }
}

/// In a process that may have little memory.
#[cfg(target_os = "linux")]
fn take_all_the_memory_there_is() {
    let device = Device::cpu();
    let x = small(&device);
    let mut all = vec![Tensor::zeros([1 << 20], &device)];
    let refused = loop {
        all.push(Tensor::empty([1 << 24], wgrad::DType::F32, &device));
        if let Err(error) = all[all.len() - 1].narrow(0, 0, 1).to_vec::<f32>() {
            break error;
        }
    };
    assert!(matches!(refused, Error::OutOfMemory { .. }), "{refused}");
    assert_eq!(x.to_vec::<f32>(), Ok(vec![1.0, 2.0]), "what exists stays readable");
    all.truncate(1);
    assert_eq!((&all[0].sum() + &x).to_vec::<f32>(), Ok(vec![1.0, 2.0]));
    println!("refused: {refused}");
}

/// The test runs itself again, in a process of its own.
#[test]
#[cfg(target_os = "linux")]
fn memory_that_the_host_refuses_is_an_error_and_no_abort() {
    const LITTLE: &str = "WGRAD_TEST_HAS_LITTLE_MEMORY";
    if std::env::var_os(LITTLE).is_some() {
        return take_all_the_memory_there_is();
    }
    // Where a loader is called by name, as for other drivers, the current program is the loader.
    let program = std::env::args().next().expect("a test has a program");
    let name = "train::memory::memory_that_the_host_refuses_is_an_error_and_no_abort";
    let line = "ulimit -v 1200000 && exec \"$0\" --exact \"$1\" --nocapture";
    let mut shell = std::process::Command::new("sh");
    let run = shell.args(["-c", line]).arg(&program).arg(name).env(LITTLE, "1").output().expect("a shell");
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{said}\n{}", String::from_utf8_lossy(&run.stderr));
    assert!(said.contains("refused: the host has no"), "{said}");
}

#[test]
fn a_window_that_lies_in_the_padding_gives_minus_infinity_and_no_gradient() {
    for (name, device) in devices() {
        device.fill_fresh(77f32.to_bits());
        let x = Tensor::from_slice(&[5.0f32, 7.0, 9.0], [1, 1, 3], &device).requires_grad();
        let y = x.max_pool1d(MaxPool1dOptions { stride: 1, padding: 1, dilation: 4, ..MaxPool1dOptions::new(2) });
        assert_eq!(y.to_vec::<f32>(), Ok(vec![f32::NEG_INFINITY]), "{name}");
        let grads = y.sum().backward();
        assert_eq!(grads.of(&x).expect("it has one").to_vec::<f32>(), Ok(vec![0.0; 3]), "{name}");
    }
}
