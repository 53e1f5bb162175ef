//! Exchanges in a profile: they lie under backward.

use crate::devices::devices;
use wgrad::nn::{Ctx, Init, Layer, Linear, Relu, Sequential};
use wgrad::optim::{Optimizer, Sgd, SgdOptions};
use wgrad::parallel::{DataParallel, Threads};
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
