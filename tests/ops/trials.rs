//! The cases as tests: one for each case and device, under the case's name.

use crate::cases::{self, Case, kernels};
use crate::devices::{has_cpu, has_gpu, open};
use crate::judge;
use libtest_mimic::{Failed, Trial};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use wgrad::backend::WgpuOptions;
use wgrad::backend::wgpu::Features;
use wgrad::kernel::{Dispatch, Info, Variant};
use wgrad::{DType, Device};

/// The cases on the devices that tests run on.
pub fn trials() -> Vec<Trial> {
    let all = cases::all().into_iter().map(Arc::new);
    let on = |case: &Arc<Case>, device: &str, judge: fn(&Case) -> Result<(), String>| {
        let own = case.clone();
        Trial::test(format!("ops::{device}::{}", case.name), move || judge(&own).map_err(Failed::from))
    };
    let mut trials = Vec::new();
    for case in all {
        if has_cpu() {
            trials.push(on(&case, "cpu", on_the_host));
        }
        if has_gpu() {
            trials.push(on(&case, "gpu", on_a_gpu));
        }
    }
    trials
}

/// What memory holds before a kernel writes it: not a number, and one that is larger than most. Results may not differ.
const OLD: [u32; 2] = [0x7FC0_DEAD, 0x4640_E600];

/// The gradient by differences, a replay, and each host path against its definition.
fn on_the_host(case: &Case) -> Result<(), String> {
    with("cpu", Device::cpu, |device| {
        judge::on_the_host(case, device)?;
        device.fill_fresh(OLD[0]);
        let first = case.outcome(device)?;
        device.fill_fresh(OLD[1]);
        judge::replayed(case, device, &first)
    })?;
    let has_host = |d: &Dispatch| d.kernel.host.is_some();
    if case.big || !case.dispatches().iter().any(has_host) {
        return Ok(());
    }
    with("host paths", || Device::checked(Device::cpu()), |device| run(case, device))
        .map_err(|what| format!("host paths: {what}"))
}

static BASE: LazyLock<WgpuOptions> = LazyLock::new(WgpuOptions::from_env);

/// The GPU against the CPU backend and against itself, and each kernel against its definition: as the adapter is, as a
/// browser would run it, and with every variant that fits and is not chosen by itself.
fn on_a_gpu(case: &Case) -> Result<(), String> {
    static INFO: LazyLock<Info> = LazyLock::new(|| open(&BASE).info().clone());
    with(
        "gpu",
        || open(&BASE),
        |device| {
            device.fill_fresh(OLD[0]);
            let first = case.outcome(device)?;
            judge::written(case, device)?;
            let want = with("cpu", Device::cpu, |cpu| case.outcome(cpu))?;
            judge::agreement(case, &first, &want)?;
            if judge::has_second(case) {
                with("cpu", Device::cpu, |cpu| judge::second_agreement(case, device, cpu))?;
            }
            device.fill_fresh(OLD[1]);
            judge::sameness(&first, &case.outcome(device)?)?;
            judge::replayed(case, device, &first)
        },
    )?;
    if case.big {
        return Ok(());
    }
    let as_a_browser = || open(&WgpuOptions { features: Features::Browser, ..BASE.clone() });
    with("browser", || Device::checked(as_a_browser()), |device| run(case, device))
        .map_err(|what| format!("as a browser: {what}"))?;
    let dispatches = case.dispatches();
    let changed = variant_names().into_iter().filter(|name| is_changed(&dispatches, name, &INFO));
    let variants: Vec<Option<&str>> = std::iter::once(None).chain(changed.map(Some)).collect();
    let halves: &[DType] =
        if dispatches.iter().any(|d| takes_halves(d, &INFO)) { &[DType::F16, DType::BF16] } else { &[] };
    for &variant in &variants {
        checked(variant, "", |device| run(case, device))?;
        for &dtype in halves {
            checked(variant, &format!(", of {dtype}"), |device| case.halved(dtype, device))?;
        }
    }
    Ok(())
}

/// Whether some way to run it reads or writes floats of half size as they are.
fn takes_halves(d: &Dispatch, info: &Info) -> bool {
    let fitting = d.kernel.variants.iter().filter(|variant| (variant.fits)(info, d));
    fitting.flat_map(|variant| (variant.lower)(info, d).passes).any(|pass| pass.typed || !pass.elements.is_empty())
}

/// Each kernel against its definition on the adapter, with this variant where it fits.
fn checked(
    variant: Option<&'static str>,
    title: &str,
    work: impl FnOnce(&Device) -> Result<(), String>,
) -> Result<(), String> {
    with(
        "checked",
        || Device::checked(open(&BASE)),
        |device| {
            device.force_variant(variant.or(BASE.variant));
            work(device)
        },
    )
    .map_err(|what| format!("{}{title}: {what}", variant.unwrap_or("kernel by kernel")))
}

/// Runs what a device checks.
fn run(case: &Case, device: &Device) -> Result<(), String> {
    if case.is_joined() { case.replayed(device).map(drop) } else { case.outcome(device).map(drop) }
}

fn variant_names() -> BTreeSet<&'static str> {
    kernels().flat_map(|kernel| kernel.variants).map(|variant| variant.name).collect()
}

/// Whether forcing the variant changes how some kernel runs on this adapter.
fn is_changed(dispatches: &[Dispatch], name: &str, info: &Info) -> bool {
    dispatches.iter().any(|d| {
        let fits = |v: &&Variant| (v.fits)(info, d);
        let chosen = d.kernel.variants.iter().find(|v| fits(v) && (v.suits)(info, d));
        let forced = d.kernel.variants.iter().find(|v| v.name == name && fits(v));
        forced.is_some_and(|forced| chosen.is_none_or(|chosen| chosen.name != forced.name))
    })
}

/// Pipelines that a device may hold: lavapipe keeps about a megabyte of each.
const PIPELINES: u64 = 1000;

/// Lends a device to `work`. Devices wait for the next case under their title; one that has failed is dropped, as a
/// failure sticks to its device.
fn with<R>(
    title: &'static str,
    open: impl FnOnce() -> Device,
    work: impl FnOnce(&Device) -> Result<R, String>,
) -> Result<R, String> {
    static IDLE: Mutex<BTreeMap<&str, Vec<Device>>> = Mutex::new(BTreeMap::new());
    let idle = || IDLE.lock().unwrap_or_else(PoisonError::into_inner);
    let found = idle().get_mut(title).and_then(Vec::pop);
    let device = found.unwrap_or_else(open);
    let result = work(&device)?;
    // A device keeps the memory that it once had, and all that it has compiled.
    let held = device.counters();
    if held.bytes < 32 << 20 && held.pipelines < PIPELINES {
        idle().entry(title).or_default().push(device);
    }
    Ok(result)
}
