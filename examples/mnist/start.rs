//! How each example starts and ends, and what `--device` means.

use clap::ValueEnum;
use std::process::ExitCode;
use wgrad::backend::WgpuOptions;
use wgrad::{Device, Result};

#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub enum DeviceChoice {
    Auto,
    Gpu,
    Cpu,
}

impl DeviceChoice {
    /// Opens the device; variables of the environment choose among adapters.
    pub fn open(self) -> Result<Device> {
        Ok(match self {
            DeviceChoice::Auto => Device::best_of(&WgpuOptions::from_env()),
            DeviceChoice::Cpu => Device::cpu(),
            DeviceChoice::Gpu => Device::wgpu(&WgpuOptions::from_env())?,
        })
    }
}

/// Runs an example, whose failure is one sentence and an exit code.
pub fn start(run: impl FnOnce() -> Result<()>) -> ExitCode {
    // What Vulkan's loader says of missing drivers would drown the sentence that says what to do about it.
    let quiet = env_logger::Env::default().default_filter_or("error,wgpu_hal::vulkan::instance=off");
    env_logger::init_from_env(quiet);
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
