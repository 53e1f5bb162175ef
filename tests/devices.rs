//! Where tests run. `WGRAD_DEVICES` names `cpu`, `gpu` or both; where it is not set, tests run on the CPU backend, and on
//! a GPU or a software adapter if there is one.

use std::io::Write;
use std::sync::LazyLock;
use wgrad::Device;
use wgrad::backend::WgpuOptions;
use wgrad::backend::wgpu::{INSTALL_HINT, adapters};

/// Which devices are asked for.
struct Asked {
    cpu: bool,
    gpu: bool,
    /// Why the adapter that a machine should have is left out, if nobody said so.
    missing: Option<String>,
}

static ASKED: LazyLock<Asked> = LazyLock::new(|| {
    let Ok(list) = std::env::var("WGRAD_DEVICES") else {
        let missing = match adapters(&WgpuOptions::from_env()) {
            Ok(found) if found.is_empty() => Some("no adapter was found".to_string()),
            Ok(_) => None,
            Err(error) => Some(error.to_string()),
        };
        return Asked { cpu: true, gpu: missing.is_none(), missing };
    };
    let names: Vec<String> = list.split(',').map(|name| name.trim().to_lowercase()).collect();
    let known = names.iter().all(|name| name == "cpu" || name == "gpu");
    assert!(known, "WGRAD_DEVICES={list}: expected `cpu`, `gpu` or `cpu,gpu`");
    let has = |name: &str| names.iter().any(|n| n == name);
    Asked { cpu: has("cpu"), gpu: has("gpu"), missing: None }
});

/// Whether tests run on the CPU backend.
pub fn has_cpu() -> bool {
    ASKED.cpu
}

/// Whether tests run on a GPU or a software adapter.
pub fn has_gpu() -> bool {
    ASKED.gpu
}

/// The devices that tests run on, each with its name, the CPU backend first.
///
/// # Panics
/// If a GPU was asked for by name and there is none: a test that cannot run has failed.
pub fn devices() -> Vec<(&'static str, Device)> {
    let mut found = Vec::new();
    if has_cpu() {
        found.push(("cpu", Device::new_cpu()));
    }
    found.extend(gpu().map(|device| ("gpu", device)));
    found
}

/// The GPU for a test whose name says that it needs one; none where tests run without.
pub fn gpu() -> Option<Device> {
    has_gpu().then(|| open(&WgpuOptions::from_env()))
}

/// A GPU or a software adapter.
///
/// # Panics
/// If there is none.
pub fn open(options: &WgpuOptions) -> Device {
    Device::wgpu(options).unwrap_or_else(|error| {
        let error = error.to_string();
        let hint = if error.contains(INSTALL_HINT) { "" } else { INSTALL_HINT };
        panic!(
            "WGRAD_DEVICES asks for a GPU or a software adapter: {error}\n{hint}\n\
             `WGRAD_DEVICES=cpu cargo test` tests what can be tested without one"
        )
    })
}

/// Says what did not run because there is no adapter, and what to do about it.
pub fn say_what_is_missing() {
    if let Some(why) = &ASKED.missing {
        say(&format!(
            "\n\
             !! NOT TESTED: everything that runs on a GPU ({why}).\n\
             !! All tests ran on the CPU backend alone; no shader was run.\n\
             !! To test the rest, {INSTALL_HINT}.\n\
             !! `WGRAD_DEVICES=cpu,gpu cargo test` makes a missing adapter an error.\n"
        ));
    }
}

/// Says something that is seen even when the test passes.
pub fn say(text: &str) {
    // A closed stream only loses the message.
    let _ = writeln!(std::io::stderr(), "{text}");
}
