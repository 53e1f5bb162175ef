//! Every operation, judged by its cases: the gradient by differences, one device by another, each kernel by its
//! definition, every variant of every kernel in turn.
//!
//! `WGRAD_DEVICES=cpu` judges without a GPU, `WGRAD_CASE=matmul` only cases whose name holds this.

#[path = "ops/cases.rs"]
mod cases;
#[path = "ops/devices.rs"]
mod devices;
#[path = "ops/judge.rs"]
mod judge;

use cases::{Case, Outcome, case, kernels, x};
use devices::{Asked, gpu, say};
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use wgrad::autograd::gradient_check;
use wgrad::backend::WgpuOptions;
use wgrad::backend::wgpu::Features;
use wgrad::kernel::{Info, Tolerance, Variant};
use wgrad::{Device, Tensor};

/// Failures of all judges, each with its case.
#[derive(Default)]
struct Failures(Mutex<Vec<String>>);

impl Failures {
    fn add(&self, place: &str, case: &Case, what: &str) {
        let text = format!("{}, {place}: {what}", case.name);
        say(&format!("FAILED {text}"));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }
}

#[test]
fn every_case() {
    let asked = Asked::from_env();
    let part = std::env::var("WGRAD_CASE").unwrap_or_default();
    let all: Vec<Case> = cases::all().into_iter().filter(|case| case.name.contains(&part)).collect();
    assert!(!all.is_empty(), "no case's name holds `{part}`");
    let failures = Failures::default();
    let base = WgpuOptions::from_env();
    type Job<'a> = Box<dyn FnOnce() -> String + Send + 'a>;
    let mut jobs: Vec<Job> = Vec::new();
    if asked.gpu {
        let info = gpu(&base).info().clone();
        say(&format!("ops: the GPU is {info}"));
        jobs.push(Box::new(|| checked("as a browser", &all, &failures, &browser(&base))));
        jobs.push(Box::new(|| checked("kernel by kernel", &all, &failures, &base)));
        for name in variant_names() {
            let concerned: Vec<&Case> = all.iter().filter(|case| !case.big && is_changed(case, name, &info)).collect();
            if concerned.is_empty() {
                // It runs where it runs without being forced.
                continue;
            }
            let options = WgpuOptions { variant: Some(name), ..base.clone() };
            let failures = &failures;
            jobs.push(Box::new(move || checked(&format!("variant {name}"), concerned, failures, &options)));
        }
        jobs.push(Box::new(|| compared(&all, &failures, &base)));
    }
    if asked.cpu {
        jobs.push(Box::new(|| on_the_host(&all, &failures)));
    }
    let jobs = Mutex::new(jobs.into_iter());
    let next = || jobs.lock().unwrap_or_else(PoisonError::into_inner).next();
    let workers = std::thread::available_parallelism().map_or(1, |n| n.get()).clamp(1, 4);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(job) = next() {
                    let started = Instant::now();
                    say(&format!("ops: {} in {:.1} s", job(), started.elapsed().as_secs_f32()));
                }
            });
        }
    });
    if !asked.gpu {
        say("ops: no GPU was judged, as WGRAD_DEVICES says");
    }
    drop(jobs);
    let failures = failures.0.into_inner().unwrap_or_else(PoisonError::into_inner);
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// Gradients by differences.
fn on_the_host(all: &[Case], failures: &Failures) -> String {
    let all_and_again = |case: &Case, device: &Device| {
        judge::on_the_host(case, device)?;
        replayed(case, device, &case.outcome(device)?)
    };
    each(all, "CPU", failures, Device::cpu, all_and_again);
    let sloped = all.iter().filter(|case| case.gradient == cases::Gradient::Checked).count();
    format!("{} cases on the CPU, {sloped} gradients by differences", all.len())
}

/// The GPU against the CPU, and against itself.
fn compared(all: &[Case], failures: &Failures, options: &WgpuOptions) -> String {
    let cpu = Device::cpu();
    let both = |case: &Case, device: &Device| -> Result<(), String> {
        let first: Outcome = case.outcome(device)?;
        judge::agreement(case, &first, &case.outcome(&cpu)?)?;
        judge::sameness(&first, &case.outcome(device)?)?;
        replayed(case, device, &first)
    };
    each(all, "GPU and CPU", failures, || gpu(options), both);
    format!("{} cases on the GPU and the CPU, once more and replayed for the same bits", all.len())
}

/// A captured step gives the bits that its kernels gave one by one, and so does its replay.
fn replayed(case: &Case, device: &Device, want: &Outcome) -> Result<(), String> {
    if case.steps {
        return match case.replayed(device) {
            Err(what) if what.contains("call each optimizer once") => Ok(()),
            Err(what) => Err(what),
            Ok(_) => Err("a captured step that calls an optimizer twice was not refused".into()),
        };
    }
    let [captured, replayed] = case.replayed(device)?;
    judge::sameness(want, &captured).map_err(|what| format!("captured: {what}"))?;
    judge::sameness(want, &replayed).map_err(|what| format!("replayed: {what}"))
}

/// Each kernel against its definition, on a device made by `options`.
fn checked<'a>(
    title: &str,
    all: impl IntoIterator<Item = &'a Case>,
    failures: &Failures,
    options: &WgpuOptions,
) -> String {
    let small = all.into_iter().filter(|case| !case.big);
    let open = || Device::checked(gpu(options));
    let count = each(small, title, failures, open, |case, device| {
        if case.is_joined() { case.replayed(device).map(drop) } else { case.outcome(device).map(drop) }
    });
    format!("{count} cases {title}, each kernel against its definition")
}

/// Judges every case on one device; a failure sticks to its device, so the next case gets a new one.
fn each<'a>(
    all: impl IntoIterator<Item = &'a Case>,
    title: &str,
    failures: &Failures,
    open: impl Fn() -> Device,
    judge: impl Fn(&Case, &Device) -> Result<(), String>,
) -> usize {
    let mut device = None;
    let mut count = 0;
    let mut slowest = (Duration::ZERO, "");
    for case in all {
        count += 1;
        let started = Instant::now();
        if let Err(what) = judge(case, device.get_or_insert_with(&open)) {
            failures.add(title, case, &what);
            device = None;
        }
        slowest = slowest.max((started.elapsed(), &case.name));
    }
    say(&format!("ops: {title}: the slowest case is {} with {:.1} s", slowest.1, slowest.0.as_secs_f32()));
    count
}

fn browser(base: &WgpuOptions) -> WgpuOptions {
    WgpuOptions { features: Features::Browser, ..base.clone() }
}

fn variant_names() -> BTreeSet<&'static str> {
    kernels().flat_map(|kernel| kernel.variants).map(|variant| variant.name).collect()
}

/// Whether forcing the variant changes how some kernel of the case runs on this adapter.
fn is_changed(case: &Case, name: &str, info: &Info) -> bool {
    case.dispatches().iter().any(|d| {
        let fits = |v: &&Variant| (v.fits)(info, d);
        let chosen = d.kernel.variants.iter().find(|v| fits(v) && (v.suits)(info, d));
        let forced = d.kernel.variants.iter().find(|v| v.name == name && fits(v));
        forced.is_some_and(|forced| chosen.is_none_or(|chosen| chosen.name != forced.name))
    })
}

#[test]
fn names_are_unique() {
    let mut seen = BTreeSet::new();
    let twice: Vec<String> =
        cases::all().into_iter().map(|c| c.name).filter(|name| !seen.insert(name.clone())).collect();
    assert!(twice.is_empty(), "{twice:?}");
}

/// x², with a gradient that is off by a factor.
fn square_with(factor: f32) -> Case {
    case("a wrong square", [x([65])], move |x| {
        let inner = x[0].detach();
        inner.square().tracked("wrong", &[&x[0]], move |dy, _| vec![Some(dy.mul(&inner).affine(2.0 * factor, 0.0))])
    })
}

#[test]
fn a_gradient_off_by_a_hundredth_is_caught() {
    let cpu = Device::cpu();
    assert_eq!(judge::gradient(&square_with(1.0), &cpu), Ok(()));
    for factor in [1.01, 0.99, 0.0, -1.0] {
        assert!(judge::gradient(&square_with(factor), &cpu).is_err(), "{factor}");
    }
}

#[test]
fn a_gradient_of_one_wrong_element_is_caught() {
    let wrong = case("a wrong sum", [x([65])], |x| {
        let mut slopes = vec![1.0f32; 65];
        slopes[17] = 1.5;
        let slopes = Tensor::from_vec(slopes, [65], x[0].device());
        x[0].detach().sum().tracked("wrong", &[&x[0]], move |dy, _| vec![Some(dy.mul(&slopes))])
    });
    assert!(judge::gradient(&wrong, &Device::cpu()).is_err());
}

#[test]
fn a_gradient_that_is_forgotten_is_caught() {
    let forgotten = case("a forgotten gradient", [x([5])], |x| x[0].detach().square());
    assert!(judge::gradient(&forgotten, &Device::cpu()).is_err());
    // Forgotten for one input of two.
    let half = |x: &[Tensor]| x[0].mul(&x[1].detach());
    let x = Tensor::full([5], 0.5f32, &Device::cpu()).requires_grad();
    let said = gradient_check(half, &[x.clone(), x.clone()]).expect_err("one is forgotten").to_string();
    assert!(said.contains("along the gradient of input 1"), "{said}");
    assert_eq!(gradient_check(half, &[x.clone(), x.detach()]), Ok(()));
    let said = gradient_check(|x| x[0].detach(), &[x]).expect_err("all is forgotten").to_string();
    assert!(said.contains("no history"), "{said}");
}

#[test]
fn a_result_that_is_off_is_caught() {
    let near = |got: &[f32], want: &[f32]| judge::near("it", got, want, Tolerance { relative: 1e-5, absolute: 1e-6 });
    assert_eq!(near(&[1.0, f32::NAN, f32::INFINITY], &[1.000001, f32::NAN, f32::INFINITY]), Ok(()));
    for (got, want) in [(1.0, 1.001), (f32::NAN, 1.0), (1.0, f32::NAN), (f32::INFINITY, 1.0), (0.0, 1e-3)] {
        assert!(near(&[got], &[want]).is_err(), "{got} {want}");
    }
    assert!(near(&[1.0], &[1.0, 1.0]).is_err());
    let bits = |y: f32| Outcome { y: cases::Data::F32(vec![y]), gradients: Vec::new() };
    assert_eq!(judge::sameness(&bits(0.0), &bits(0.0)), Ok(()));
    assert!(judge::sameness(&bits(0.0), &bits(-0.0)).is_err());
}
