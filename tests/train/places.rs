//! Where these tests run: what `WGRAD_DEVICES` names, `cpu`, `gpu` or both, which is the default.

use wgrad::Device;
use wgrad::backend::WgpuOptions;
use wgrad::backend::wgpu::INSTALL_HINT;

/// The devices that were asked for, each with its name, the CPU first.
///
/// # Panics
/// If the variable names anything else, or there is no adapter: a test that cannot run has failed.
pub fn devices() -> Vec<(&'static str, Device)> {
    let list = std::env::var("WGRAD_DEVICES").unwrap_or_else(|_| "cpu,gpu".into());
    let mut names: Vec<&str> = list.split(',').map(str::trim).collect();
    names.sort_unstable();
    let open = |name| match name {
        "cpu" => ("cpu", Device::cpu()),
        "gpu" => ("gpu", open_gpu()),
        _ => panic!("WGRAD_DEVICES={list}: `cpu`, `gpu` or `cpu,gpu` is due"),
    };
    names.into_iter().map(open).collect()
}

fn open_gpu() -> Device {
    Device::wgpu(&WgpuOptions::from_env()).unwrap_or_else(|error| {
        panic!(
            "these tests need a GPU or a software adapter: {error}\n{INSTALL_HINT}\n\
             without one, `WGRAD_DEVICES=cpu cargo test` tests what can be tested there"
        )
    })
}
