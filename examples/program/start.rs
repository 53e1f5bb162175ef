//! How each example starts and ends, and what `--device` means.

use clap::ValueEnum;
use std::error::Error as _;
use std::fmt::Arguments;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;
use wgrad::backend::WgpuOptions;
use wgrad::{Device, Error, Result};

/// A line on standard output, where `println!` would panic if nobody reads on or the disk is full.
macro_rules! say {
    ($($text:tt)*) => { $crate::start::out(format_args!("{}\n", format_args!($($text)*))) };
}
pub(crate) use say;

/// A line on standard error, where a complaint cannot be complained about.
macro_rules! note {
    ($($text:tt)*) => { $crate::start::err(format_args!($($text)*)) };
}
pub(crate) use note;

/// Text on standard output, at once.
pub fn out(text: Arguments) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_fmt(text).and_then(|()| stdout.flush());
    written.map_err(|problem| Error::file_because("standard output", "cannot be written", problem))
}

/// A line on standard error.
pub fn err(text: Arguments) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

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

/// Whether nobody reads what is printed any more, as when `head` has seen enough.
fn is_closed(error: &Error) -> bool {
    let source = error.source().and_then(|source| source.downcast_ref::<std::io::Error>());
    source.is_some_and(|source| source.kind() == ErrorKind::BrokenPipe)
}

/// Runs an example, whose failure is one sentence and an exit code.
pub fn start(run: impl FnOnce() -> Result<()>) -> ExitCode {
    // What Vulkan's loader says of missing drivers would drown the sentence that says what to do about it.
    let quiet = env_logger::Env::default().default_filter_or("error,wgpu_hal::vulkan::instance=off");
    env_logger::init_from_env(quiet);
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_closed(&error) => ExitCode::SUCCESS,
        Err(error) => {
            note!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
