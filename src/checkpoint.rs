//! Weights and training state in safetensors files, which Python's `safetensors` reads and writes too. What PyTorch's
//! `torch.save` wrote of a `state_dict()` (`.pt`, `.pth`) is read as well: no code in it is run.

mod torch;

use crate::backend::whole::{self, replace, with_part};
use crate::dtype::DType;
use crate::error::{Error, Result, Source};
use crate::nn::{LoadReport, Module, StateDict, StateTensor, Strictness, Values, load_read, state};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::path::Path;

/// Writes a module's parameters and buffers under their paths, as [`write()`] does.
///
/// # Errors
/// [`Error::File`] if the file cannot be written; the device's first failure.
#[doc(alias("torch.save", "save_file", "safetensors"))]
pub fn save(module: &dyn Module, path: impl AsRef<Path>) -> Result<()> {
    write(&state(module)?, path)
}

/// Overwrites a module's parameters and buffers from a file.
///
/// # Errors
/// [`Error::File`] if the file cannot be read or is no safetensors file, [`Error::Weights`] with the list of what does
/// not fit, if it has to, or with a tied weight that has two values; then nothing was changed.
#[doc(alias("torch.load", "load_file"))]
pub fn load(module: &dyn Module, path: impl AsRef<Path>, strictness: Strictness) -> Result<LoadReport> {
    let path = path.as_ref();
    let (values, unread) = read_all(path)?;
    loaded(module, path, &values, &unread, strictness)
}

/// [`load`] of a file with other names: `rename` gives that of the model for each of the file, or `None` for values that are left
/// out.
///
/// ```
/// # use wgrad::{checkpoint, nn};
/// # let device = wgrad::Device::cpu();
/// # let model = nn::Linear::new(2, 3, &mut nn::Init::new(0, &device));
/// # let path = std::env::temp_dir().join(format!("wgrad-renamed-{}.safetensors", std::process::id()));
/// # checkpoint::save(&std::collections::BTreeMap::from([("model".to_string(), &model)]), &path)?;
/// // `model.weight` in the file is `weight` here; what is of the optimizer stays there.
/// let rename = |name: &str| name.strip_prefix("model.").map(String::from);
/// checkpoint::load_renamed(&model, &path, nn::Strictness::Strict, rename)?;
/// # std::fs::remove_file(&path).map_err(|error| wgrad::Error::file(&path, error))?;
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// As [`load`], and [`Error::Weights`] if two values get one name.
pub fn load_renamed(
    module: &dyn Module,
    path: impl AsRef<Path>,
    strictness: Strictness,
    rename: impl Fn(&str) -> Option<String>,
) -> Result<LoadReport> {
    let path = path.as_ref();
    let (values, unread) = read_all(path)?;
    let mut renamed = StateDict::new();
    for (name, value) in values {
        let Some(new) = rename(&name) else { continue };
        if renamed.insert(new.clone(), value).is_some() {
            let problem = format!("{}: `{name}` and another name of the file both became `{new}`", path.display());
            return Err(Error::Weights(problem));
        }
    }
    let unread: Vec<_> = unread.into_iter().filter_map(|(name, dtype)| Some((rename(&name)?, dtype))).collect();
    loaded(module, path, &renamed, &unread, strictness)
}

fn loaded(
    module: &dyn Module,
    path: &Path,
    values: &StateDict,
    unread: &[(String, String)],
    strictness: Strictness,
) -> Result<LoadReport> {
    load_read(module, values, unread, strictness).map_err(|error| match error {
        Error::Weights(text) => {
            let sides = "missing and extra in the file; of two shapes, its own stands first and the model's last";
            Error::Weights(format!("{}: {text} ({sides})", path.display()))
        }
        other => other,
    })
}

/// Writes values under their names. An existing file is replaced only when the new one is whole, and keeps its mode; behind a
/// link it is the file that the link names. What killed runs left of the same file is removed.
///
/// # Errors
/// [`Error::File`] if the file cannot be written.
pub fn write(values: &StateDict, path: impl AsRef<Path>) -> Result<()> {
    write_with_notes(values, &Notes::new(), path)
}

/// The values of several parts as one: each under the name of its part and a dot, as [`part`] finds them.
///
/// ```
/// # use wgrad::nn::{Init, Linear, StateTensor, Strictness, load_state, state};
/// # use wgrad::optim::{Adam, AdamOptions, Optimizer};
/// # use wgrad::checkpoint;
/// # let model = Linear::new(4, 2, &mut Init::new(0, &wgrad::Device::cpu()));
/// # let mut optimizer = Adam::new(&model, AdamOptions::default())?;
/// # let path = std::env::temp_dir().join(format!("wgrad-join-{}", std::process::id()));
/// let count = |step| [("step".to_string(), StateTensor::count(step))].into();
/// let parts = [("model", state(&model)?), ("optimizer", optimizer.state()?), ("run", count(100))];
/// checkpoint::write(&checkpoint::join(parts), &path)?;
///
/// let all = checkpoint::read(&path)?;
/// load_state(&model, &checkpoint::part(&all, "model"), Strictness::Strict)?;
/// optimizer.load_state(&checkpoint::part(&all, "optimizer"))?;
/// assert_eq!(all["run.step"].as_count(), Some(100));
/// # std::fs::remove_file(path).unwrap();
/// # Ok::<(), wgrad::Error>(())
/// ```
pub fn join<'p>(parts: impl IntoIterator<Item = (&'p str, StateDict)>) -> StateDict {
    let named = |(part, values): (&str, StateDict)| {
        values.into_iter().map(|(name, value)| (format!("{part}.{name}"), value)).collect::<Vec<_>>()
    };
    parts.into_iter().flat_map(named).collect()
}

/// A number for JSON, which has none that are NaN or infinite: those are words.
pub(crate) fn number(value: f64) -> Json {
    if value.is_finite() { json!(value) } else { json!(value.to_string()) }
}

/// What [`number`] wrote.
pub(crate) fn float(value: &Json) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.parse().ok())
}

/// The values of a part, without its name.
pub fn part(values: &StateDict, name: &str) -> StateDict {
    let own = |(path, value): (&String, &StateTensor)| {
        let rest = path.strip_prefix(name)?.strip_prefix('.')?;
        Some((rest.to_string(), value.clone()))
    };
    values.iter().filter_map(own).collect()
}

/// Texts beside the values of a file: safetensors' own metadata.
pub type Notes = BTreeMap<String, String>;

/// [`write()`] with texts beside the values.
///
/// # Errors
/// [`Error::File`] if the file cannot be written.
pub fn write_with_notes(values: &StateDict, notes: &Notes, path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    let whole = bytes_of(values, notes).map_err(|error| Error::file(path, error))?;
    replace(path, &whole).map_err(|error| {
        let problem = format!("cannot be written: {error}; an older file is as it was");
        Error::File { path: path.into(), problem, source: Some(Source::new(error)) }
    })
}

/// Values under their names as a safetensors file holds them: for where there are no files, as in a browser.
///
/// ```
/// # use wgrad::{checkpoint, nn};
/// # let device = wgrad::Device::cpu();
/// # let model = nn::Linear::new(2, 3, &mut nn::Init::new(0, &device));
/// let file = checkpoint::to_bytes(&nn::state(&model)?)?;
/// nn::load_state(&model, &checkpoint::from_bytes(&file)?, nn::Strictness::Strict)?;
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// [`Error::Weights`] where a shape does not fit its values.
pub fn to_bytes(values: &StateDict) -> Result<Vec<u8>> {
    bytes_of(values, &Notes::new())
}

pub(crate) fn bytes_of(values: &StateDict, notes: &Notes) -> Result<Vec<u8>> {
    // Little-endian, as the file is and every host that this crate is built for.
    let views = values
        .iter()
        .map(|(name, tensor)| {
            let dtype = match tensor.values.dtype() {
                DType::F32 => Dtype::F32,
                DType::F16 => Dtype::F16,
                DType::BF16 => Dtype::BF16,
                DType::I64 => Dtype::I64,
                DType::I32 => Dtype::I32,
                DType::U8 => Dtype::U8,
                DType::Bool => Dtype::BOOL,
            };
            Ok((name.as_str(), TensorView::new(dtype, tensor.shape.clone(), tensor.values.bytes())?))
        })
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>();
    let notes = (!notes.is_empty()).then(|| notes.clone().into_iter().collect());
    let whole = views.and_then(|views| safetensors::serialize(views, notes));
    whole.map_err(|error| Error::Weights(format!("the weights cannot be laid out: {error}")))
}

/// The values of a safetensors file's bytes by name. Floats of 64 bits become f32, integers i64 but for bytes; what is of
/// another type is left out, with a warning in the log.
///
/// # Errors
/// [`Error::File`] if it is no safetensors file.
pub fn from_bytes(file: &[u8]) -> Result<StateDict> {
    let name = Path::new("the bytes");
    Ok(without_unread(name, parsed(name, file)?))
}

/// The values of a file by name. Floats of 64 bits become f32, integers i64 but for bytes; what is of another type is left
/// out, with a warning in the log.
///
/// # Errors
/// [`Error::File`] if the file cannot be read or is no safetensors file.
pub fn read(path: impl AsRef<Path>) -> Result<StateDict> {
    let path = path.as_ref();
    Ok(without_unread(path, read_all(path)?))
}

/// [`read()`], with the texts beside the values.
///
/// # Errors
/// As [`read()`].
pub fn read_with_notes(path: impl AsRef<Path>) -> Result<(StateDict, Notes)> {
    let path = path.as_ref();
    parsed_with_notes(path, &whole::read(path)?)
}

pub(crate) fn parsed_with_notes(path: &Path, bytes: &[u8]) -> Result<(StateDict, Notes)> {
    let values = without_unread(path, parsed(path, bytes)?);
    if torch::is_archive(bytes) {
        return Ok((values, Notes::new()));
    }
    let header = SafeTensors::read_metadata(bytes).map_err(|error| Error::file(path, no_safetensors(bytes, &error)))?.1;
    Ok((values, header.metadata().clone().unwrap_or_default().into_iter().collect()))
}

/// The values, and a warning for each name that has none.
fn without_unread(path: &Path, (values, unread): Read) -> StateDict {
    for (name, dtype) in unread {
        let path = path.display();
        log::warn!("{path}: `{name}` holds {dtype}, which is neither float nor integer here, and is left out");
    }
    values
}

/// The values of a file, and the names and types of those that have no place here.
type Read = (StateDict, Vec<(String, String)>);

fn read_all(path: &Path) -> Result<Read> {
    parsed(path, &whole::read(path)?)
}

fn parsed(path: &Path, bytes: &[u8]) -> Result<Read> {
    if torch::is_archive(bytes) {
        return torch::parsed(bytes).map_err(|problem| {
            let form = "a ZIP archive, as torch.save writes";
            Error::file(path, format!("is {form}, that cannot be read here: {problem}: {}", converted()))
        });
    }
    if torch::is_legacy(bytes) {
        return torch::parsed_legacy(bytes).map_err(|problem| {
            let form = "in the form of torch.save before its version 1.6";
            Error::file(path, format!("is {form}, and cannot be read here: {problem}: {}", converted()))
        });
    }
    let file = SafeTensors::deserialize(bytes).map_err(|error| Error::file(path, no_safetensors(bytes, &error)))?;
    let (mut found, mut unread) = (StateDict::new(), Vec::new());
    for (name, view) in file.tensors() {
        match values(view.dtype(), view.data()) {
            Some(values) => drop(found.insert(name, StateTensor { shape: view.shape().to_vec(), values })),
            None => unread.push((name, format!("{:?}", view.dtype()))),
        }
    }
    unread.sort();
    Ok((found, unread))
}

/// What to do about a file of PyTorch's that is not read.
fn converted() -> &'static str {
    "convert it in Python by `safetensors.torch.save_file(torch.load(\"FILE.pt\"), \"FILE.safetensors\")`; of a whole \
     model, save its state_dict()"
}

/// The kind of a file, as far as its first bytes tell.
fn no_safetensors(bytes: &[u8], error: &safetensors::SafeTensorError) -> String {
    let kind = match bytes {
        [0x80, 2..=5, ..] => {
            return format!(
                "is no whole safetensors file but a pickle of something else than torch.save writes: {}",
                converted()
            );
        }
        _ if bytes.starts_with(b"\x89HDF") => "an HDF5 file",
        _ if bytes.starts_with(b"\x93NUMPY") => "an array of NumPy",
        _ if bytes.starts_with(b"GGUF") => "a GGUF file",
        _ => return format!("is no whole safetensors file ({error})"),
    };
    format!("is no whole safetensors file but {kind}: save it by the package `safetensors`")
}

fn values(dtype: Dtype, data: &[u8]) -> Option<Values> {
    fn each<const N: usize, T>(data: &[u8], convert: impl Fn([u8; N]) -> T) -> Vec<T> {
        data.as_chunks::<N>().0.iter().map(|bytes| convert(*bytes)).collect()
    }
    Some(match dtype {
        Dtype::F32 => Values::F32(each(data, f32::from_le_bytes)),
        Dtype::F64 => Values::F32(each(data, |b| f64::from_le_bytes(b) as f32)),
        Dtype::F16 => Values::F16(each(data, half::f16::from_le_bytes)),
        Dtype::BF16 => Values::BF16(each(data, half::bf16::from_le_bytes)),
        Dtype::I64 => Values::I64(each(data, i64::from_le_bytes)),
        Dtype::I32 => Values::I64(each(data, |b| i32::from_le_bytes(b).into())),
        Dtype::I16 => Values::I64(each(data, |b| i16::from_le_bytes(b).into())),
        Dtype::I8 => Values::I64(each(data, |b| i8::from_le_bytes(b).into())),
        Dtype::U16 => Values::I64(each(data, |b| u16::from_le_bytes(b).into())),
        Dtype::U32 => Values::I64(each(data, |b| u32::from_le_bytes(b).into())),
        Dtype::U64 => {
            Values::I64(each(data, u64::from_le_bytes).into_iter().map(i64::try_from).collect::<Result<_, _>>().ok()?)
        }
        Dtype::U8 => Values::U8(data.to_vec()),
        Dtype::BOOL => Values::Bool(data.iter().map(|&b| b != 0).collect()),
        _ => return None,
    })
}

/// Whether a file can be written at `path`, before the hours of work that it is to hold. What stands there stays.
///
/// # Errors
/// [`Error::File`] with what stands in the way.
pub fn check_writable(path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    with_part(path, |_| Ok(None)).map_err(|error| Error::file_because(path, "cannot be written", error))
}
