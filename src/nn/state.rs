//! A module's values by name, to be saved and loaded.

use super::module::{Module, Visitor};
use super::parameter::Entry;
use crate::backend::Pending;
use crate::device::Device;
use crate::dtype::{Convert, DType, Element};
use crate::error::{Error, Result};
use crate::tensor::Tensor;
use half::{bf16, f16};
use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;

/// Values on the host.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Weights and statistics.
    F32(Vec<f32>),
    /// Weights of half size.
    F16(Vec<f16>),
    /// Weights of half size.
    BF16(Vec<bf16>),
    /// Counts and indices, of i32 as well.
    I64(Vec<i64>),
    /// Bytes.
    U8(Vec<u8>),
    /// Masks.
    Bool(Vec<bool>),
}

/// Calls an expression with the elements of values.
macro_rules! each {
    ($values:expr, $v:ident => $body:expr) => {
        match $values {
            Values::F32($v) => $body,
            Values::F16($v) => $body,
            Values::BF16($v) => $body,
            Values::I64($v) => $body,
            Values::U8($v) => $body,
            Values::Bool($v) => $body,
        }
    };
}

impl Values {
    /// The elements' type.
    pub fn dtype(&self) -> DType {
        fn of<T: Element>(_: &[T]) -> DType {
            T::DTYPE
        }
        each!(self, v => of(v))
    }

    /// The elements as they lie in memory.
    pub(crate) fn bytes(&self) -> &[u8] {
        each!(self, v => bytemuck::cast_slice(v))
    }
}

/// Bytes of a state that are read at once.
const UNDER_WAY: usize = 64 << 20;

/// Waits for values.
fn arrived(reads: impl Iterator<Item = (String, Pending<StateTensor>)>, all: &mut StateDict) -> Result<()> {
    for (name, value) in reads {
        all.insert(name, value.wait()?);
    }
    Ok(())
}

/// A tensor on the host.
#[derive(Debug, Clone, PartialEq)]
pub struct StateTensor {
    /// The sizes.
    pub shape: Vec<usize>,
    /// The elements in row-major order.
    pub values: Values,
}

impl StateTensor {
    /// A copy of a device's tensor.
    ///
    /// # Errors
    /// The device's first failure.
    pub fn of(tensor: &Tensor) -> Result<StateTensor> {
        StateTensor::read(tensor).wait()
    }

    /// A copy of a device's tensor, which arrives later.
    pub fn read(tensor: &Tensor) -> Pending<StateTensor> {
        let shape = tensor.shape().to_vec();
        let told = move |values| StateTensor { shape, values };
        match tensor.dtype() {
            DType::F32 => tensor.read().map(Values::F32).map(told),
            DType::F16 => tensor.read().map(Values::F16).map(told),
            DType::BF16 => tensor.read().map(Values::BF16).map(told),
            DType::I64 => tensor.read().map(Values::I64).map(told),
            DType::I32 => tensor.read::<i32>().map(|v| told(Values::I64(v.into_iter().map(i64::from).collect()))),
            DType::U8 => tensor.read().map(Values::U8).map(told),
            DType::Bool => tensor.read().map(Values::Bool).map(told),
        }
    }

    /// Copies of tensors by their names, which may be those of a whole model: small ones come together, and no more is on its way at
    /// once than [`UNDER_WAY`].
    pub(crate) fn all<T: Borrow<Tensor>>(named: impl IntoIterator<Item = (String, T)>) -> Result<StateDict> {
        let (mut all, mut reads, mut bytes) = (StateDict::new(), Vec::new(), 0);
        for (name, tensor) in named {
            let tensor = tensor.borrow();
            bytes += tensor.numel() * tensor.dtype().bytes();
            reads.push((name, StateTensor::read(tensor)));
            if bytes >= UNDER_WAY {
                arrived(reads.drain(..), &mut all)?;
                bytes = 0;
            }
        }
        arrived(reads.drain(..), &mut all)?;
        Ok(all)
    }

    /// Whether both are the same to the bit, floats and integers converted.
    fn is_equal(&self, other: &StateTensor) -> bool {
        let bits = |values: &Values| -> Vec<u32> {
            each!(values, v => v.iter().map(|v| f32::of(v.number()).to_bits()).collect())
        };
        match (&self.values, &other.values) {
            (Values::I64(a), Values::I64(b)) => a == b,
            (a, b) => bits(a) == bits(b),
        }
    }

    /// Whether no element is NaN or infinite.
    pub(crate) fn is_finite(&self) -> bool {
        each!(&self.values, v => v.iter().all(|v| f32::of(v.number()).is_finite()))
    }

    /// The elements of floats as f32.
    pub(crate) fn floats(&self) -> Option<Vec<f32>> {
        let all = || each!(&self.values, v => v.iter().map(|v| f32::of(v.number())).collect());
        self.values.dtype().is_float().then(all)
    }

    /// A tensor of a device.
    pub fn to(&self, device: &Device) -> Tensor {
        let shape = crate::Shape::new(&self.shape);
        each!(&self.values, v => Tensor::from_slice(v, shape, device))
    }

    /// A count of something, such as a run's steps: one whole number.
    pub fn count(count: u64) -> StateTensor {
        StateTensor { shape: Vec::new(), values: Values::I64(vec![count as i64]) }
    }

    /// The count that this is, if it is one.
    pub fn as_count(&self) -> Option<u64> {
        match self.values {
            Values::I64(ref values) if values.len() == 1 => u64::try_from(values[0]).ok(),
            _ => None,
        }
    }

    /// Overwrites a tensor of the same shape; types are converted as [`Tensor::cast`] does.
    pub(crate) fn write_to(&self, tensor: &Tensor) {
        tensor.assign(&self.to(tensor.device()).cast(tensor.dtype()));
    }
}

/// Values by path, as PyTorch's `state_dict`.
pub type StateDict = BTreeMap<String, StateTensor>;

/// The value of a name in `what` was saved, if it is of this shape.
pub(crate) fn fitting<'a>(
    state: &'a StateDict,
    what: &str,
    name: &str,
    shape: crate::Shape,
) -> Result<&'a StateTensor> {
    match state.get(name) {
        Some(value) if value.shape == *shape => Ok(value),
        Some(value) => Err(Error::Weights(format!("{what} `{name}` is {:?}, not {shape}", value.shape))),
        None => Err(Error::Weights(format!("{what} has no `{name}`"))),
    }
}

/// The treatment of names and shapes that do not match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// Nothing is loaded unless everything fits.
    Strict,
    /// Values that fit are loaded, the rest stays as it is.
    Partial,
}

/// The findings of a load.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Names of the model that have no values.
    pub missing: Vec<String>,
    /// Names with values that the model does not have.
    pub extra: Vec<String>,
    /// Names whose shape differs: of the model, and of the values.
    pub misshapen: Vec<(String, Vec<usize>, Vec<usize>)>,
    /// Names that there are values for of a type that has no place here, and the type; they are neither missing nor extra.
    pub unread: Vec<(String, String)>,
}

impl LoadReport {
    /// Whether everything fitted.
    pub fn is_clean(&self) -> bool {
        *self == LoadReport::default()
    }

    /// What stands before all missing names in those of the values, where one thing does.
    fn prefix(&self) -> Option<&str> {
        let first = self.missing.first()?;
        let behind =
            |name: &'_ String, prefix: &str| self.extra.iter().any(|extra| extra.strip_prefix(prefix) == Some(name));
        let prefixes = self.extra.iter().filter_map(|extra| extra.strip_suffix(first.as_str()));
        let mut whole = prefixes.filter(|prefix| prefix.ends_with('.'));
        whole.find(|prefix| self.missing.iter().all(|name| behind(name, prefix)))
    }
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shapes = |(name, want, got): &(String, Vec<usize>, Vec<usize>)| format!("{name} is {got:?}, not {want:?}");
        let types = |(name, dtype): &(String, String)| format!("`{name}` holds {dtype}");
        let lists = [
            ("missing", self.missing.join(", ")),
            ("extra", self.extra.join(", ")),
            ("of another shape", self.misshapen.iter().map(shapes).collect::<Vec<_>>().join(", ")),
            ("of a type that has no place here", self.unread.iter().map(types).collect::<Vec<_>>().join(", ")),
        ];
        let parts: Vec<String> =
            lists.iter().filter(|(_, list)| !list.is_empty()).map(|(what, list)| format!("{what}: {list}")).collect();
        f.write_str(if parts.is_empty() { "everything fits" } else { "" })?;
        f.write_str(&parts.join("; "))?;
        match self.prefix() {
            Some(prefix) => write!(
                f,
                "; all that is missing is there behind `{prefix}`, which checkpoint::load_renamed takes off by |name| \
                 name.strip_prefix(\"{prefix}\").map(str::to_string)"
            ),
            None => Ok(()),
        }
    }
}

/// The parameters and buffers of a module.
///
/// # Errors
/// The device's first failure.
#[doc(alias = "state_dict")]
pub fn state(module: &dyn Module) -> Result<StateDict> {
    let mut tensors = Vec::new();
    collect(module, &mut tensors);
    StateTensor::all(tensors.into_iter().map(|(path, tensor, _)| (path, tensor)))
}

/// [`state()`] for callers that go on meanwhile or may not block: the values are those of now, whatever is queued later. All
/// of them are under way at once, and take as much memory again.
pub fn read_state(module: &dyn Module) -> Pending<StateDict> {
    let mut tensors = Vec::new();
    collect(module, &mut tensors);
    let (paths, tensors): (Vec<String>, Vec<Tensor>) = tensors.into_iter().map(|(path, x, _)| (path, x)).unzip();
    Pending::all(tensors.iter().map(StateTensor::read)).map(|values| paths.into_iter().zip(values).collect())
}

/// Paths, what lies there, and whether it is a parameter.
fn collect(module: &dyn Module, tensors: &mut Vec<(String, Tensor, bool)>) {
    let mut each = |path: &str, entry: Entry| {
        tensors.push((path.to_string(), entry.tensor(), matches!(entry, Entry::Parameter(_))));
    };
    module.visit(&mut Visitor::new(&mut each));
}

/// Overwrites a module's parameters and buffers in place. A tied weight needs one of its names. Types are converted as
/// [`Tensor::cast`] does, but for a parameter in int8, which takes bytes alone, as they take no other: bytes are steps of a scale.
///
/// # Errors
/// [`Error::Weights`] with the list of what does not fit, if it has to, or if there are two values for one tied weight; then
/// nothing was changed.
#[doc(alias = "load_state_dict")]
pub fn load_state(module: &dyn Module, values: &StateDict, strictness: Strictness) -> Result<LoadReport> {
    load_read(module, values, &[], strictness)
}

/// The same, where a file holds more that cannot be read: names and types.
pub(crate) fn load_read(
    module: &dyn Module,
    values: &StateDict,
    unread: &[(String, String)],
    strictness: Strictness,
) -> Result<LoadReport> {
    let mut tensors = Vec::new();
    collect(module, &mut tensors);
    let mut report = LoadReport { unread: unread.to_vec(), ..LoadReport::default() };
    // A weight in int8: its bytes are no numbers without their scale.
    let is_held = |dtype: DType| dtype == DType::U8;
    let is_unread = |path: &str| unread.iter().any(|(name, _)| name == path);
    let mut fitting: Vec<(&str, &Tensor, &StateTensor)> = Vec::new();
    for (path, tensor, is_parameter) in &tensors {
        match values.get(path) {
            // PyTorch's own rule: files older than the count go without it.
            None if path.ends_with("num_batches_tracked") => (),
            None if is_unread(path) => (),
            // Under another name it is there.
            None if tensors.iter().any(|(other, same, _)| same.is_at(tensor) && values.contains_key(other)) => (),
            None => report.missing.push(path.clone()),
            Some(found) if found.shape != *tensor.shape() => {
                report.misshapen.push((path.clone(), tensor.shape().to_vec(), found.shape.clone()));
            }
            Some(found) if *is_parameter && is_held(tensor.dtype()) != is_held(found.values.dtype()) => {
                report.unread.push((path.clone(), format!("{}, not {}", found.values.dtype(), tensor.dtype())));
            }
            Some(found) => fitting.push((path, tensor, found)),
        }
    }
    report.extra = values.keys().filter(|name| !tensors.iter().any(|(path, ..)| path == *name)).cloned().collect();
    if fitting.is_empty() && strictness == Strictness::Partial && !report.is_clean() {
        log::warn!("none of the values fits the model: {report}");
    }
    if strictness == Strictness::Strict && !report.is_clean() {
        return Err(Error::Weights(format!("the weights do not fit the model: {report}")));
    }
    for (at, (path, tensor, found)) in fitting.iter().enumerate() {
        let same = fitting[..at].iter().find(|(_, other, _)| other.is_at(tensor));
        if let Some((other, ..)) = same.filter(|(_, _, value)| !value.is_equal(found)) {
            let text = format!("`{other}` and `{path}` are one weight of the model, and there are two values for it");
            return Err(Error::Weights(text));
        }
    }
    for (_, tensor, found) in fitting {
        found.write_to(tensor);
    }
    Ok(report)
}
