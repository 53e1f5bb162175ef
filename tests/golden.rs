//! Operations, optimizers and whole training runs against the numbers that PyTorch computed: at once, by views, and
//! replayed. A test is a kind of case on one backend.
//!
//! `WGRAD_GOLDEN` names another folder of cases, `WGRAD_CASE` a part of the names of those that run, `WGRAD_DEVICES`
//! (`cpu`, `gpu` or `cpu,gpu`) where, `WGRAD_PAGE` a file for the page of what passed (`WGRAD_SAMPLES` of PyTorch's samples); `cargo test --test golden --
//! --nocapture` shows the table.

#[path = "golden/attrs.rs"]
mod attrs;
#[path = "golden/case.rs"]
mod case;
#[expect(dead_code, reason = "a trial takes a device that waits for it")]
mod devices;
#[path = "golden/familiar.rs"]
mod familiar;
#[path = "golden/gpt.rs"]
mod gpt;
#[path = "golden/guard.rs"]
mod guard;
#[path = "golden/images.rs"]
mod images;
#[path = "golden/indices.rs"]
mod indices;
#[path = "golden/judge.rs"]
mod judge;
#[path = "golden/kinds.rs"]
mod kinds;
#[path = "golden/layers.rs"]
mod layers;
#[path = "golden/losses.rs"]
mod losses;
#[path = "golden/models.rs"]
mod models;
#[path = "golden/modules.rs"]
mod modules;
#[path = "golden/ops.rs"]
mod ops;
#[path = "golden/optim.rs"]
mod optim;
#[path = "golden/page.rs"]
mod page;
#[path = "golden/rarer.rs"]
mod rarer;
#[path = "golden/reasons.rs"]
mod reasons;
#[path = "golden/recurrent.rs"]
mod recurrent;
#[path = "golden/report.rs"]
mod report;
#[path = "golden/schedules.rs"]
mod schedules;
#[path = "golden/sequences.rs"]
mod sequences;
#[path = "golden/train.rs"]
mod train;
#[path = "golden/trial.rs"]
mod trial;
#[path = "golden/volumes.rs"]
mod volumes;
#[path = "golden/ways.rs"]
mod ways;
#[path = "golden/wrong.rs"]
mod wrong;

use case::Case;
use devices::{has_cpu, has_gpu};
use judge::Finding;
use kinds::Runner;
use libtest_mimic::{Arguments, Failed, Trial};
use reasons::Reasons;
use report::{Line, Outcome, Report};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use ways::Way;
use wgrad::backend::WgpuOptions;
use wgrad::{DType, Device};

/// A backend, and how a device of it is opened.
#[derive(Clone, Copy)]
struct Place {
    backend: &'static str,
    open: fn() -> Device,
}

fn places() -> Vec<Place> {
    let cpu = has_cpu().then_some(Place { backend: "cpu", open: Device::cpu });
    let gpu = Place { backend: "wgpu", open: || devices::open(&WgpuOptions::from_env()) };
    cpu.into_iter().chain(has_gpu().then_some(gpu)).collect()
}

impl Place {
    /// A device that has not failed: one that waits, or a new one.
    fn device(self) -> Device {
        IDLE.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_mut(self.backend)
            .and_then(Vec::pop)
            .unwrap_or_else(self.open)
    }

    fn give_back(self, device: Device) {
        IDLE.lock().unwrap_or_else(PoisonError::into_inner).entry(self.backend).or_default().push(device);
    }
}

static IDLE: Mutex<BTreeMap<&str, Vec<Device>>> = Mutex::new(BTreeMap::new());

/// The files of a folder with this ending, or its folders.
fn sorted(folder: &Path, fits: fn(&Path) -> bool) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|e| e.expect("the folder is readable").path()).collect();
    paths.retain(|path| fits(path));
    paths.sort();
    paths
}

/// Every file below the folder, by what it is a case of.
fn files(root: &Path) -> BTreeMap<String, Vec<PathBuf>> {
    let part = std::env::var("WGRAD_CASE").unwrap_or_default();
    let mut found: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for folder in sorted(root, Path::is_dir) {
        let kind = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for path in sorted(&folder, |path| path.extension().is_some_and(|e| e == "safetensors")) {
            // A training run is a kind of its own: what it needs differs from model to model.
            let model = if kind == "train" { format!("train:{}", case::stem(&path)) } else { kind.clone() };
            if format!("{kind}/{}", case::stem(&path)).contains(&part) {
                found.entry(model).or_default().push(path);
            }
        }
    }
    assert!(!found.is_empty(), "{}: there are no cases here", root.display());
    found
}

fn outcome(path: &Path, runner: &Runner, way: Way, device: &Device) -> Outcome {
    let found = match Case::load(path) {
        Err(problem) => vec![Finding::new("file", problem)],
        Ok(case) => guard::guarded(|| trial::run(&case, runner, way, device))
            .unwrap_or_else(|message| vec![Finding::new("run", message)]),
    };
    if found.is_empty() { Outcome::Passed } else { Outcome::Failed(found) }
}

/// The cases of one kind on one backend.
fn lines(kind: &str, paths: &[PathBuf], place: Place, reasons: &Reasons) -> Vec<Line> {
    let (mut device, runner) = (place.device(), kinds::runner(kind));
    let ways = if matches!(runner, Some(Runner::Host(_) | Runner::Hosts(_))) { &[Way::Eager][..] } else { &Way::ALL };
    let line = |path: &PathBuf| {
        let case = format!("{}/{}", case::folder(kind), case::stem(path));
        let one = |&way: &Way| {
            let outcome = runner.map_or(Outcome::Unsupported, |runner| outcome(path, runner, way, &device));
            // A device's first failure sticks, and would fail all cases after it.
            if matches!(outcome, Outcome::Failed(_)) && device.wait().is_err() {
                device = (place.open)();
            }
            (way, reasons.weigh(place.backend, way, &case, outcome))
        };
        let outcomes = ways.iter().map(one).collect();
        Line { case, outcomes }
    };
    let lines = paths.iter().map(line).collect();
    place.give_back(device);
    lines
}

/// A test for each kind and backend, which leaves what came of it in a report.
fn trials(reports: &Arc<Vec<Mutex<Report>>>) -> Vec<Trial> {
    let root = std::env::var_os("WGRAD_GOLDEN")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/cases"), PathBuf::from);
    let reasons = Arc::new(Reasons::load());
    let mut trials = Vec::new();
    for (kind, paths) in files(&root) {
        for (at, place) in places().into_iter().enumerate() {
            let (own, kind, paths, reasons) = (reports.clone(), kind.clone(), paths.clone(), reasons.clone());
            trials.push(Trial::test(format!("golden::{}::{kind}", place.backend), move || {
                let lines = lines(&kind, &paths, place, &reasons);
                let failures = report::failures(&lines);
                own[at].lock().unwrap_or_else(PoisonError::into_inner).lines.insert(kind, lines);
                if failures.is_empty() { Ok(()) } else { Err(Failed::from(failures)) }
            }));
        }
    }
    trials
}

/// A test for each kind and backend, whose cases run with floats of half size.
fn halves() -> Vec<Trial> {
    let root = std::env::var_os("WGRAD_GOLDEN")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/cases"), PathBuf::from);
    let mut trials = Vec::new();
    for (kind, paths) in files(&root) {
        let Some(runner @ (Runner::Op(_) | Runner::Several(_))) = kinds::runner(&kind) else { continue };
        // Of several layers upon one another, roundings have no bound that tells a fault.
        // These give f32 whatever they count, or lie between.
        let is_wide = ["histogram", "linspace", "logspace"].contains(&kind.as_str());
        if kind.starts_with("nn.Transformer") || is_wide {
            continue;
        }
        for place in places() {
            let (paths, kind) = (paths.clone(), kind.clone());
            let name = format!("golden::{}::halves::{kind}", place.backend);
            trials.push(Trial::test(name, move || {
                let (mut device, reasons) = (place.device(), Reasons::load());
                let mut failures = Vec::new();
                for path in &paths {
                    // What is refused or differs does so in every type.
                    if reasons.of(place.backend, Way::Eager, &format!("{kind}/{}", case::stem(path))).is_some() {
                        continue;
                    }
                    let case = Case::load(path)?;
                    for dtype in [DType::F16, DType::BF16] {
                        let found = guard::guarded(|| trial::halved(&case, runner, dtype, &device))
                            .unwrap_or_else(|message| vec![Finding::new("run", message)]);
                        if !found.is_empty() && device.wait().is_err() {
                            device = (place.open)();
                        }
                        failures.extend(found.iter().map(|bad| format!("{} in {dtype}: {bad}", case::stem(path))));
                    }
                }
                place.give_back(device);
                if failures.is_empty() { Ok(()) } else { Err(Failed::from(failures.join("\n"))) }
            }));
        }
    }
    trials
}

/// A test for each call that PyTorch refuses, on each backend.
fn refusals() -> Vec<Trial> {
    let on = |place: Place| {
        let trial = move |call: wrong::Call| {
            let name = format!("golden::{}::refused::{}", place.backend, call.name);
            Trial::test(name, move || call.judge(place).map_err(Failed::from))
        };
        wrong::calls().into_iter().map(trial)
    };
    places().into_iter().flat_map(on).collect()
}

fn main() {
    let arguments = Arguments::from_args();
    let new = |place: &Place| Mutex::new(Report { backend: place.backend, lines: BTreeMap::new() });
    let reports = Arc::new(places().iter().map(new).collect::<Vec<_>>());
    let pages = [("judge", judge::TESTS), ("reasons", reasons::TESTS)];
    let named = pages.into_iter().flat_map(|(page, tests)| {
        tests.iter().map(move |&(name, test)| {
            Trial::test(format!("golden::{page}::{name}"), move || {
                test();
                Ok(())
            })
        })
    });
    let conclusion =
        libtest_mimic::run(&arguments, named.chain(refusals()).chain(halves()).chain(trials(&reports)).collect());
    let reports: Vec<_> = reports.iter().map(|r| r.lock().unwrap_or_else(PoisonError::into_inner)).collect();
    let reports: Vec<&Report> =
        reports.iter().map(|report| &**report).filter(|report| !report.lines.is_empty()).collect();
    if arguments.nocapture {
        println!("{}\n", report::table(&reports));
    }
    for report in &reports {
        println!("{}", report.summary());
    }
    let pages: [(&str, &dyn Fn() -> String); 2] =
        [("WGRAD_PAGE", &|| page::page(&reports, &Reasons::load())), ("WGRAD_SAMPLES", &|| page::samples(&reports))];
    for (name, page) in pages {
        if let Some(path) = std::env::var_os(name) {
            std::fs::write(&path, page()).unwrap_or_else(|e| panic!("{}: {e}", Path::new(&path).display()));
        }
    }
    devices::say_what_is_missing();
    conclusion.exit();
}
