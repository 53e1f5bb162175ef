//! Exchanges lie under backward: by the clock of a group, and in a profile.

use super::parallel::several;
use crate::devices::devices;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use wgrad::autograd::Grads;
use wgrad::nn::{Ctx, Init, Layer, Linear, Relu, Sequential, Tanh};
use wgrad::optim::{Optimizer, Sgd, SgdOptions};
use wgrad::parallel::{DataParallel, Group, Threads};
use wgrad::plan::Replay;
use wgrad::profile::Profile;
use wgrad::{Device, Result, Tensor};

/// Layers whose backward takes long enough for an exchange to begin in it on any machine.
const WIDTH: usize = 512;
const LAYERS: usize = 6;

/// Where others use the machine too, the thread of the exchanges may come late in one step, but not in all.
const STEPS: usize = 10;

/// The profiles of replayed steps on this rank.
fn profiled(group: Threads, device: &Device) -> Result<Vec<Profile>> {
    let init = &mut Init::new(0, device);
    let model = (0..LAYERS)
        .fold(Sequential::new(), |model, _| model.push(Linear::without_bias(WIDTH, WIDTH, init)).push(Relu::new()));
    let mut sgd = Sgd::new(&model, SgdOptions::default())?;
    // A bucket for each weight.
    let parallel = DataParallel::new(&model, group)?.bucket_bytes(1 << 20);
    let (x, mut replay) = (Tensor::ones([256, WIDTH], device), Replay::new());
    let mut step = || {
        replay.run(&x, |x| {
            let loss = model.forward(x, &Ctx::train()).square().mean();
            sgd.step(&parallel.backward(&loss)?);
            Ok(loss)
        })
    };
    step()?.item()?;
    let mut profiles = Vec::new();
    for _ in 0..STEPS {
        let (loss, profile) = device.profile(|| step()?.item())?;
        loss?;
        profiles.push(profile);
    }
    Ok(profiles)
}

/// Checks the form of a profile; the milliseconds of its exchanges that lie under passes, or 0 where the first exchange begins
/// after the last pass of backward.
fn hidden_ms(name: &str, profile: &Profile) -> f64 {
    assert_eq!(profile.beside.len(), LAYERS, "{name}: {:?}", profile.beside);
    let weight = |at: usize| format!("{}.weight", 2 * at);
    for (at, own) in profile.beside.iter().enumerate() {
        // Late layers first.
        let label = weight(LAYERS - 1 - at);
        assert!(own.what.contains(&format!("gradients of {label}")), "{name}: {own:?}");
        assert_eq!((own.name, own.bytes as usize), ("exchange", 4 * WIDTH * WIDTH));
    }
    let trace: serde_json::Value = serde_json::from_str(&profile.trace()).expect("it is JSON");
    let events = trace["traceEvents"].as_array().expect("a list");
    let rows = |tid: u64| events.iter().filter(|event| event["tid"] == tid && event["ph"] == "X").count();
    assert_eq!((rows(1), rows(2)), (profile.spans.len(), LAYERS), "{name}");

    let of_first_layer = profile.spans.iter().filter(|span| span.title.label.as_deref() == Some(&weight(0)));
    let last = of_first_layer.map(|span| span.start_ns).max().expect("the first layer has kernels");
    let (exchanged, hidden) = profile.exchanged_ms();
    assert!(hidden <= exchanged, "{name}: {hidden} of {exchanged} ms are hidden");
    if profile.beside[0].start_ns < last { hidden } else { 0.0 }
}

#[test]
fn exchanges_stand_in_a_profile_and_lie_under_backward() {
    for (name, device) in devices() {
        // Rank 0 is profiled on its own device.
        let other = Device::new_cpu();
        let all = Threads::run(&[device, other], profiled).expect("they learn").swap_remove(0);
        let hidden: Vec<f64> = all.iter().map(|profile| hidden_ms(name, profile)).collect();
        println!("{name}: {}", all[0].to_string().lines().last().unwrap_or_default());
        assert!(hidden.iter().any(|ms| *ms > 0.0), "{name}: no exchange lies under backward in {STEPS} steps");
    }
}

/// A group that notes when each sum begins and ends.
struct Noted(Threads, Arc<Mutex<Vec<[Instant; 2]>>>);

impl Group for Noted {
    fn rank(&self) -> usize {
        self.0.rank()
    }

    fn size(&self) -> usize {
        self.0.size()
    }

    fn all_gather(&self, own: &[u8]) -> Result<Vec<Vec<u8>>> {
        self.0.all_gather(own)
    }

    fn all_reduce(&self, values: &mut [f32]) -> Result<()> {
        let begins = Instant::now();
        self.0.all_reduce(values)?;
        self.1.lock().expect("no panic").push([begins, Instant::now()]);
        Ok(())
    }
}

#[test]
fn exchanges_lie_under_backward() {
    for (name, device) in devices() {
        let shares = Threads::run(&several(&device, 2), |group, device| {
            let (init, layers) = (&mut Init::new(0, device), 8);
            let mut model = Sequential::new();
            for _ in 0..layers {
                model = model.push(Linear::new(256, 256, init)).push(Tanh::new());
            }
            let sums = Arc::new(Mutex::new(Vec::new()));
            let parallel = DataParallel::new(&model, Noted(group, sums.clone()))?.bucket_bytes(4 * 256 * 256);
            let x = Tensor::ones([128, 256], device).requires_grad();
            let (ended, mut steps) = (Arc::new(Mutex::new(Instant::now())), [Vec::new(), Vec::new()]);
            for step in 0..40 {
                // In every second step it is the last of two parts of a batch.
                let parts = step % 2;
                let whole = model.forward(&x.detach(), &Ctx::train()).square().mean();
                let earlier = if parts == 1 { whole.backward() } else { Grads::new() };
                sums.lock().expect("no panic").clear();
                let told = ended.clone();
                // The gradient of the input is the last that backward computes.
                let first = x.detach().copy().tracked("end_of_backward", &[&x], move |dy, _| {
                    let told = told.clone();
                    let note = dy.device().host(&[&dy.contiguous()], &[], move |_| {
                        *told.lock().expect("no panic") = Instant::now();
                        Ok(())
                    });
                    note.expect("the device works");
                    vec![Some(dy.clone())]
                });
                parallel.backward_after(earlier, &model.forward(&first, &Ctx::train()).square().mean())?;
                let (sums, ended) = (sums.lock().expect("no panic"), *ended.lock().expect("no panic"));
                // One more for the input.
                assert_eq!(sums.len(), layers + 1, "{name}");
                let under = |at: usize| sums.iter().filter(|times| times[at] < ended).count();
                steps[parts].push([under(0), under(1)]);
            }
            Ok(steps)
        });
        let shares = shares.expect("they learn");
        println!("{name}: of 9 exchanges, so many began and ended under backward: {shares:?}");
        // On a machine that others use too, a thread may come late in one step, but not in all.
        let is_seen = |steps: &Vec<[usize; 2]>| steps.iter().any(|[began, _]| *began >= 2);
        assert!(shares.iter().flatten().all(is_seen), "{name}: {shares:?}");
    }
}

#[test]
fn a_last_part_carries_the_gradients_of_those_before_it() {
    for (name, device) in devices() {
        Threads::run(&several(&device, 2), |group, device| {
            let init = &mut Init::new(0, device);
            let [first, second] = [(); 2].map(|()| Linear::new(3, 3, init));
            let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0], [1, 3], device) * (group.rank() as f32 + 1.0);
            let model = Sequential::new().push(first).push(second);
            let parallel = DataParallel::new(&model, group)?;
            // The last part depends on half of the model.
            let both = || model.forward(&x, &Ctx::train()).square().mean();
            let half = || model[0].forward(&x, &Ctx::train()).square().mean();
            let mut sums = both().backward();
            sums += half().backward();
            let (due, found) = (parallel.average(sums)?, parallel.backward_after(both().backward(), &half())?);
            assert_eq!(found.len(), 4, "{name}");
            for (tensor, gradient) in due.iter() {
                let found = found.of(&tensor).expect("there is one");
                assert_eq!(found.to_vec::<f32>()?, gradient.to_vec::<f32>()?, "{name}: {:?}", tensor.name());
            }
            Ok(())
        })
        .expect("they agree");
    }
}
