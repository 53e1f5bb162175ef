//! Weights and training state in safetensors files, which Python's `safetensors` reads and writes too.

use crate::error::{Error, Result};
use crate::nn::{LoadReport, Module, StateDict, StateTensor, Strictness, Values, load_state, state};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Writes a module's parameters and buffers under their paths. An existing file is replaced only when the new one is
/// whole.
///
/// # Errors
/// [`Error::File`] if the file cannot be written; the device's first failure.
pub fn save(module: &dyn Module, path: impl AsRef<Path>) -> Result<()> {
    write(&state(module)?, path)
}

/// Overwrites a module's parameters and buffers from a file.
///
/// # Errors
/// [`Error::File`] if the file cannot be read or is no safetensors file, [`Error::Weights`] with the list of what does
/// not fit, if it has to; then nothing was changed.
pub fn load(module: &dyn Module, path: impl AsRef<Path>, strictness: Strictness) -> Result<LoadReport> {
    let path = path.as_ref();
    load_state(module, &read(path)?, strictness).map_err(|error| match error {
        Error::Weights(text) => Error::Weights(format!("{}: {text}", path.display())),
        other => other,
    })
}

/// Writes values under their names. An existing file is replaced only when the new one is whole.
///
/// # Errors
/// [`Error::File`] if the file cannot be written.
pub fn write(values: &StateDict, path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    let bytes: Vec<(&String, &StateTensor, Dtype, Vec<u8>)> = values
        .iter()
        .map(|(name, tensor)| match &tensor.values {
            Values::F32(v) => (name, tensor, Dtype::F32, v.iter().flat_map(|v| v.to_le_bytes()).collect()),
            Values::I64(v) => (name, tensor, Dtype::I64, v.iter().flat_map(|v| v.to_le_bytes()).collect()),
        })
        .collect();
    let views = bytes
        .iter()
        .map(|(name, tensor, dtype, bytes)| Ok((name.as_str(), TensorView::new(*dtype, tensor.shape.clone(), bytes)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
        .map_err(|error| Error::file(path, format!("the weights cannot be laid out: {error}")))?;
    let whole = safetensors::serialize(views, None)
        .map_err(|error| Error::file(path, format!("the weights cannot be laid out: {error}")))?;
    replace(path, &whole)
        .map_err(|error| Error::file(path, format!("cannot be written: {error}; an older file is as it was")))
}

/// The name that a file has until it is whole. What is there and is no file is refused: the rename would replace a
/// device or a pipe, too.
fn part_of(path: &Path) -> std::io::Result<PathBuf> {
    let wrong = |what| Err(std::io::Error::other(what));
    match path.metadata() {
        Ok(there) if there.is_dir() => return wrong("it is a folder; name a file in it"),
        Ok(there) if !there.is_file() => return wrong("it is no regular file"),
        _ => (),
    }
    // `new/` has the file name `new`, but no file can take it.
    let named = path.file_name().filter(|_| !path.to_string_lossy().ends_with(std::path::is_separator));
    let Some(name) = named else { return wrong("it names no file") };
    let mut part = name.to_os_string();
    part.push(format!(".{}.part", std::process::id()));
    Ok(path.with_file_name(part))
}

/// Writes beside the file and renames, so that a full disk or a break never costs what was there.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let part = part_of(path)?;
    let written = File::create(&part).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.and_then(|()| fs::rename(&part, path)).inspect_err(|_| {
        // Nothing else can be done about a part that cannot be removed.
        let _ = fs::remove_file(&part);
    })
}

/// The values of a file by name. F16, BF16 and F64 become f32, integers i64.
///
/// # Errors
/// [`Error::File`] if the file cannot be read, is no safetensors file or holds a type that has no place here.
pub fn read(path: impl AsRef<Path>) -> Result<StateDict> {
    let path = path.as_ref();
    let bytes = fs::read(path).map_err(|error| Error::file(path, format!("cannot be read: {error}")))?;
    let file = SafeTensors::deserialize(&bytes)
        .map_err(|error| Error::file(path, format!("is no whole safetensors file ({error})")))?;
    file.tensors()
        .into_iter()
        .map(|(name, view)| {
            let values = values(view.dtype(), view.data()).ok_or_else(|| {
                Error::file(path, format!("`{name}` holds {:?}, which is neither float nor integer", view.dtype()))
            })?;
            Ok((name, StateTensor { shape: view.shape().to_vec(), values }))
        })
        .collect()
}

fn values(dtype: Dtype, data: &[u8]) -> Option<Values> {
    fn each<const N: usize, T>(data: &[u8], convert: impl Fn([u8; N]) -> T) -> Vec<T> {
        data.as_chunks::<N>().0.iter().map(|bytes| convert(*bytes)).collect()
    }
    Some(match dtype {
        Dtype::F32 => Values::F32(each(data, f32::from_le_bytes)),
        Dtype::F64 => Values::F32(each(data, |b| f64::from_le_bytes(b) as f32)),
        Dtype::F16 => Values::F32(each(data, |b| half::f16::from_le_bytes(b).to_f32())),
        Dtype::BF16 => Values::F32(each(data, |b| half::bf16::from_le_bytes(b).to_f32())),
        Dtype::I64 => Values::I64(each(data, i64::from_le_bytes)),
        Dtype::I32 => Values::I64(each(data, |b| i32::from_le_bytes(b).into())),
        Dtype::I16 => Values::I64(each(data, |b| i16::from_le_bytes(b).into())),
        Dtype::U8 | Dtype::BOOL => Values::I64(data.iter().map(|&b| b.into()).collect()),
        _ => return None,
    })
}

/// Whether a file can be written at `path`, before the hours of work that it is to hold. What stands there stays.
///
/// # Errors
/// [`Error::File`] with what stands in the way.
pub fn check_writable(path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    part_of(path)
        .and_then(|part| File::create(&part).and_then(|_| fs::remove_file(&part)))
        .map_err(|error| Error::file(path, format!("cannot be written: {error}")))
}
