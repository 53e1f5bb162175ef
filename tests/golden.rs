//! Operations, optimizers and whole training runs against the numbers that PyTorch computed: at once, by views, and
//! replayed.
//!
//! `WGRAD_GOLDEN` names another folder of cases, `WGRAD_CASE` a part of the names of those that run, `WGRAD_DEVICES`
//! (`cpu`, `gpu` or `cpu,gpu`) where; `cargo test --test golden -- --nocapture` shows the table.

#[path = "golden/attrs.rs"]
mod attrs;
#[path = "golden/case.rs"]
mod case;
#[path = "golden/gpt.rs"]
mod gpt;
#[path = "golden/guard.rs"]
mod guard;
#[path = "golden/images.rs"]
mod images;
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
#[path = "golden/ops.rs"]
mod ops;
#[path = "golden/optim.rs"]
mod optim;
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
#[path = "golden/ways.rs"]
mod ways;

use case::Case;
use judge::Finding;
use kinds::Runner;
use reasons::Reasons;
use report::{Line, Outcome, Report, table};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use ways::Way;
use wgrad::Device;
use wgrad::backend::WgpuOptions;
use wgrad::backend::wgpu::INSTALL_HINT;

/// A place to run, and how to open it afresh after a case has broken it.
struct Place {
    backend: &'static str,
    open: fn() -> Device,
}

fn open_gpu() -> Device {
    Device::wgpu(&WgpuOptions::from_env()).unwrap_or_else(|error| {
        let error = error.to_string();
        let hint = if error.contains(INSTALL_HINT) { String::new() } else { format!(": {INSTALL_HINT}") };
        panic!("{error}{hint}; or run `WGRAD_DEVICES=cpu cargo test`")
    })
}

fn places() -> Vec<Place> {
    let wanted = std::env::var("WGRAD_DEVICES").unwrap_or_else(|_| "cpu,gpu".into());
    let place = |name: &str| match name.trim() {
        "cpu" => Place { backend: "cpu", open: Device::cpu },
        "gpu" => Place { backend: "wgpu", open: open_gpu },
        other => panic!("WGRAD_DEVICES names `{other}`: `cpu`, `gpu` or `cpu,gpu` are known"),
    };
    wanted.split(',').map(place).collect()
}

/// The files of a folder with this ending, or its folders.
fn sorted(folder: &Path, fits: fn(&Path) -> bool) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|e| e.expect("the folder is readable").path()).collect();
    paths.retain(|path| fits(path));
    paths.sort();
    paths
}

/// Every file below the folder with what it is a case of.
fn files(root: &Path) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for folder in sorted(root, Path::is_dir) {
        let kind = case::stem(&folder);
        for path in sorted(&folder, |path| path.extension().is_some_and(|e| e == "safetensors")) {
            // A training run is a kind of its own: what it needs differs from model to model.
            let model = if kind == "train" { format!("train:{}", case::stem(&path)) } else { kind.clone() };
            found.push((model, path));
        }
    }
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

fn run_all(files: &[(String, PathBuf)], place: &Place, reasons: &Reasons) -> Report {
    let mut device = (place.open)();
    let mut lines: BTreeMap<String, Vec<Line>> = BTreeMap::new();
    for (kind, path) in files {
        let case = format!("{}/{}", case::folder(kind), case::stem(path));
        let mut outcomes = Vec::new();
        let runner = kinds::runner(kind);
        let ways = if matches!(runner, Some(Runner::Host(_))) { &[Way::Eager][..] } else { &Way::ALL };
        for &way in ways {
            let outcome = runner.map_or(Outcome::Unsupported, |runner| outcome(path, runner, way, &device));
            // A device's first failure sticks, and would fail all cases after it.
            if matches!(outcome, Outcome::Failed(_)) && device.wait().is_err() {
                device = (place.open)();
            }
            outcomes.push((way, reasons.weigh(place.backend, way, &case, outcome)));
        }
        lines.entry(kind.clone()).or_default().push(Line { case, outcomes });
    }
    Report { backend: place.backend, lines }
}

#[test]
fn cases_that_pytorch_computed() {
    let root = std::env::var_os("WGRAD_GOLDEN")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/cases"), PathBuf::from);
    let mut files = files(&root);
    if let Ok(part) = std::env::var("WGRAD_CASE") {
        files.retain(|(kind, path)| format!("{kind}/{}", case::stem(path)).contains(&part));
    }
    assert!(!files.is_empty(), "{}: there are no cases here", root.display());
    let reasons = Reasons::load();
    let reports: Vec<Report> = places().iter().map(|place| run_all(&files, place, &reasons)).collect();
    println!("{}\n", table(&reports));
    for report in &reports {
        print!("{}", report.failures());
    }
    for report in &reports {
        println!("{}", report.summary());
    }
    for report in &reports {
        assert!(report.ran() > 0, "golden {}: no case ran", report.backend);
        assert!(report.failed() == 0, "{}: each is named above", report.summary());
    }
}
