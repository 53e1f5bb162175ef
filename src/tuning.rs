//! Choices of shaders that outlive the program: measured once, kept in a file for each adapter, driver and version.
//!
//! ```no_run
//! use wgrad::{backend::WgpuOptions, tuning};
//! # fn main() -> wgrad::Result<()> {
//! let folder = std::path::Path::new("tuning");
//! let device = tuning::open(&WgpuOptions::from_env(), folder)?;
//! // .. train ..
//! tuning::keep(&device, folder)?;
//! # Ok(())
//! # }
//! ```

use crate::backend::whole::replace;
use crate::backend::{Choices, Tuning, WgpuOptions};
use crate::device::Device;
use crate::error::{Error, Result};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

fn path(folder: &Path, device: &Device) -> PathBuf {
    folder.join(Choices::file_name(device.info()))
}

/// Opens the adapter that `options` name, to measure which variants are the fastest there, from what the folder's file
/// for that adapter tells already.
///
/// # Errors
/// [`Error::NoAdapter`] where there is none, [`Error::File`] if the file cannot be read or is not what [`keep`] wrote.
pub fn open(options: &WgpuOptions, folder: &Path) -> Result<Device> {
    // Only an open device tells which adapter was taken.
    let path = path(folder, &Device::wgpu(options)?);
    let known = match std::fs::read_to_string(&path) {
        Ok(text) => text.parse().map_err(|problem: Error| Error::file(&path, problem))?,
        Err(problem) if problem.kind() == ErrorKind::NotFound => Choices::default(),
        Err(problem) => return Err(Error::file(&path, problem)),
    };
    Device::wgpu(&WgpuOptions { tuning: Tuning::Measured(known), ..options.clone() })
}

/// Writes what the device has chosen into the folder, which is made where it is missing.
///
/// # Errors
/// [`Error::File`] if it cannot be written.
pub fn keep(device: &Device, folder: &Path) -> Result<()> {
    let path = path(folder, device);
    let written =
        std::fs::create_dir_all(folder).and_then(|()| replace(&path, device.choices().to_string().as_bytes()));
    written.map_err(|problem| Error::file(&path, problem))
}
