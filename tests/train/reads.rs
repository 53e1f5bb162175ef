//! Values that arrive later: when they are of, who may wait for them, and what they tell where something failed.

use crate::devices::{devices, gpu};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use wgrad::backend::WgpuOptions;
use wgrad::nn::{self, Init, Linear};
use wgrad::{Device, Error, Pending, Tensor, checkpoint};

fn blocked<T>(future: impl Future<Output = T>) -> T {
    pollster::block_on(future)
}

#[test]
fn a_read_is_of_the_moment_when_it_was_asked_for() {
    for (name, device) in devices() {
        let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0], [2, 3], &device);
        let (whole, turned, sum) = (x.read::<f32>(), x.t().read::<f32>(), x.sum().item_async());
        drop(x.read::<f32>());
        let large = Tensor::full([40_000], 1.5f32, &device).read::<f32>();
        x.upload(&[0.0f32; 6]);
        // In any order, waited for or awaited.
        assert_eq!(sum.wait(), Ok(21.0), "{name}");
        assert_eq!(blocked(turned), Ok(vec![1.0, 4.0, 2.0, 5.0, 3.0, 6.0]), "{name}");
        assert_eq!(large.wait().map(|all| all.iter().sum::<f32>()), Ok(60_000.0), "{name}");
        assert_eq!(whole.wait(), Ok(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), "{name}");
        assert_eq!(x.to_vec::<f32>(), Ok(vec![0.0; 6]), "{name}");
        assert_eq!(Tensor::zeros([0, 3], &device).read::<f32>().wait(), Ok(vec![]), "{name}");
        assert_eq!(Tensor::arange(3, 4, &device).item_async().wait(), Ok(3.0), "{name}");
        assert_eq!(blocked(device.done()), Ok(()), "{name}");
    }
}

#[test]
fn a_future_that_waits_is_not_polled_in_a_loop() {
    for (name, device) in devices() {
        let x = Tensor::full([256, 256], 0.001f32, &device);
        let y = (0..40).fold(x.clone(), |y, _| y.matmul(&x));
        let (polls, mut read) = (AtomicUsize::new(0), pin!(y.sum().item_async()));
        let value = blocked(std::future::poll_fn(|context: &mut Context<'_>| {
            polls.fetch_add(1, Ordering::Relaxed);
            read.as_mut().poll(context)
        }));
        assert!(value.is_ok(), "{name}: {value:?}");
        assert!(polls.load(Ordering::Relaxed) <= 2, "{name}: {polls:?} polls");
    }
}

#[test]
fn many_reads_at_once_and_reads_of_threads_are_each_their_own() {
    for (name, device) in devices() {
        let asked = |device: &Device, at: usize| Tensor::full([3], at as f32, device).read::<f32>();
        let all: Vec<Pending<Vec<f32>>> = (0..20).map(|at| asked(&device, at)).collect();
        for (at, read) in all.into_iter().enumerate().rev() {
            assert_eq!(if at % 2 == 0 { read.wait() } else { blocked(read) }, Ok(vec![at as f32; 3]), "{name}");
        }
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let device = &device;
                scope.spawn(move || {
                    for at in 0..25 {
                        let at = 100 * thread + at;
                        assert_eq!(asked(device, at).wait(), Ok(vec![at as f32; 3]), "{name}");
                    }
                });
            }
        });
    }
}

#[test]
fn what_could_not_be_computed_is_told_by_its_read_alone() {
    for (name, device) in devices() {
        let (fine, lost) = (Tensor::ones([2], &device), Tensor::zeros([1 << 33], &device));
        let (fine, sum) = (fine.read::<f32>(), lost.sum());
        let told = [sum.item(), sum.item_async().wait(), blocked(sum.item_async())];
        assert!(matches!(told[0], Err(Error::Limit(_) | Error::OutOfMemory { .. })), "{name}: {told:?}");
        assert!(told.iter().all(|error| *error == told[0]), "{name}: {told:?}");
        assert_eq!(fine.wait(), Ok(vec![1.0; 2]), "{name}");
    }
}

#[test]
fn a_state_that_is_read_is_that_of_the_moment_and_of_its_file() {
    for (name, device) in devices() {
        let model = Linear::new(3, 2, &mut Init::new(0, &device));
        let (now, later) = (nn::state(&model).expect("the device works"), nn::read_state(&model));
        model.weight.tensor().upload(&[0.0f32; 6]);
        assert_eq!(later.wait(), Ok(now.clone()), "{name}");

        let folder = tempfile::tempdir().expect("a folder can be made");
        let path = folder.path().join("linear.safetensors");
        checkpoint::write(&now, &path).expect("the file can be written");
        let bytes = checkpoint::to_bytes(&now).expect("it can be laid out");
        assert!(std::fs::read(&path).expect("the file can be read") == bytes);
        assert_eq!(checkpoint::from_bytes(&bytes), Ok(now));
        let error = checkpoint::from_bytes(&bytes[..9]).expect_err("it is cut off").to_string();
        assert!(error.contains("is no whole safetensors file"), "{error}");
    }
}

/// Fails to compile where a future cannot move to another thread, as in `tokio::spawn`.
fn sent<T: Send>(value: T) -> T {
    value
}

#[test]
fn gpu_devices_are_opened_without_blocking() {
    let Some(blocking) = gpu() else { return };
    let options = WgpuOptions::from_env();
    let device = blocked(sent(Device::open(&options))).expect("it was opened before");
    assert_eq!((device.info(), device.why()), (blocking.info(), blocking.why()));
    let ready = sent(Tensor::ones([2], &device).sum().item_async());
    assert_eq!(blocked(ready), Ok(2.0));
    let best = [Device::best_of(&options), blocked(sent(Device::open_best(&options)))];
    assert_eq!((best[0].info(), best[0].why()), (best[1].info(), best[1].why()));
    let none = WgpuOptions { backends: Some("no such".into()), ..options };
    assert!(matches!(blocked(Device::open(&none)), Err(Error::Option(_))));
    let cpu = blocked(Device::open_best(&none));
    assert_eq!((cpu.info(), cpu.why()), (Device::cpu().info(), Device::best_of(&none).why()));
    let mut pending = pin!(device.done());
    let first = pending.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop()));
    assert!(matches!(first, Poll::Pending | Poll::Ready(Ok(()))));
}
