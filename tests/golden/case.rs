//! A case as it lies in its file: tensors, the operation's other arguments, and how near a result must come.

use crate::attrs::Attrs;
use safetensors::{Dtype, SafeTensors};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// The numbers of one tensor.
pub enum Data {
    Float(Vec<f32>),
    Int(Vec<i64>),
}

/// One tensor of a file.
pub struct Value {
    pub shape: Vec<usize>,
    pub data: Data,
}

/// How far a result may lie from what PyTorch computed.
#[derive(Clone, Copy)]
pub struct Tolerance {
    pub rtol: f64,
    pub atol: f64,
}

/// One file.
pub struct Case {
    /// What PyTorch calls it.
    pub op: String,
    pub attrs: Attrs,
    pub tolerance: Tolerance,
    /// How far training may drift, relative to the way that the parameters went.
    pub drift: Option<f64>,
    pub tensors: BTreeMap<String, Value>,
}

impl Case {
    pub fn load(path: &Path) -> Result<Case, String> {
        let bytes = std::fs::read(path).map_err(|e| e.to_string())?;
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| e.to_string())?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let file = SafeTensors::deserialize(&bytes).map_err(|e| e.to_string())?;
        let mut tensors = BTreeMap::new();
        for (name, view) in file.iter() {
            let data = match view.dtype() {
                Dtype::F32 => Data::Float(bytemuck::pod_collect_to_vec(view.data())),
                Dtype::I64 => Data::Int(bytemuck::pod_collect_to_vec(view.data())),
                other => return Err(format!("`{name}` holds {other:?}, not F32 or I64")),
            };
            tensors.insert(name.to_string(), Value { shape: view.shape().to_vec(), data });
        }
        Ok(Case {
            op: metadata.get("op").cloned().unwrap_or_default(),
            attrs: Attrs::parse(metadata.get("attrs").map_or("{}", String::as_str))?,
            tolerance: Tolerance { rtol: number(&metadata, "rtol")?, atol: number(&metadata, "atol")? },
            drift: metadata.contains_key("drift").then(|| number(&metadata, "drift")).transpose()?,
            tensors,
        })
    }

    /// A tensor that the file must hold.
    pub fn value(&self, name: &str) -> &Value {
        self.tensors.get(name).unwrap_or_else(|| panic!("the case holds no tensor `{name}`"))
    }

    /// The tensors under a prefix, by what follows it.
    pub fn under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a Value)> {
        self.tensors.iter().filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, value)))
    }
}

impl Value {
    pub fn floats(&self) -> &[f32] {
        match &self.data {
            Data::Float(data) => data,
            Data::Int(_) => panic!("a tensor of the case holds integers, expected F32"),
        }
    }

    /// Integers as the crate holds them.
    pub fn ints(&self) -> Vec<i32> {
        match &self.data {
            Data::Int(data) => data.iter().map(|&v| i32::try_from(v).expect("an index fits i32")).collect(),
            Data::Float(_) => panic!("a tensor of the case holds F32, expected integers"),
        }
    }
}

/// The folder that holds a kind's cases.
pub fn folder(kind: &str) -> &str {
    kind.split_once(':').map_or(kind, |(folder, _)| folder)
}

pub fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn number(metadata: &HashMap<String, String>, key: &str) -> Result<f64, String> {
    let text = metadata.get(key).ok_or_else(|| format!("the metadata has no `{key}`"))?;
    text.parse().map_err(|_| format!("the metadata's `{key}` is `{text}`, not a number"))
}
