//! The devices that cases are judged on: those that `WGRAD_DEVICES` names, `cpu`, `gpu` or both, which is the default.

use std::io::Write;
use wgrad::Device;
use wgrad::backend::WgpuOptions;
use wgrad::backend::wgpu::INSTALL_HINT;

/// Which devices are asked for.
pub struct Asked {
    pub cpu: bool,
    pub gpu: bool,
}

impl Asked {
    /// # Panics
    /// If the variable names anything else, or nothing.
    pub fn from_env() -> Asked {
        let list = std::env::var("WGRAD_DEVICES").unwrap_or_else(|_| "cpu,gpu".into());
        let names: Vec<String> = list.split(',').map(|name| name.trim().to_lowercase()).collect();
        let known = names.iter().all(|name| name == "cpu" || name == "gpu");
        assert!(known, "WGRAD_DEVICES={list}: `cpu`, `gpu` or `cpu,gpu` is due");
        let has = |name: &str| names.iter().any(|n| n == name);
        Asked { cpu: has("cpu"), gpu: has("gpu") }
    }
}

/// A GPU or a software adapter.
///
/// # Panics
/// If there is none: a test that was asked for and cannot run has failed.
pub fn gpu(options: &WgpuOptions) -> Device {
    Device::wgpu(options).unwrap_or_else(|error| {
        let error = error.to_string();
        let hint = if error.contains(INSTALL_HINT) { "" } else { INSTALL_HINT };
        panic!(
            "these tests need a GPU or a software adapter: {error}\n{hint}\n\
             without one, `WGRAD_DEVICES=cpu cargo test` tests what can be tested there"
        )
    })
}

/// Says something that is seen even when the test passes.
pub fn say(text: &str) {
    // A closed stream only loses the message.
    let _ = writeln!(std::io::stderr(), "{text}");
}
