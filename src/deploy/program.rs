//! A description as data: operations, what they read, and their attributes, to and from JSON.

use super::apply::apply;
use crate::backend::edge;
use crate::checkpoint;
use crate::device::Device;
use crate::dtype::DType;
use crate::nn::StateDict;
use crate::shape::{MAX_RANK, Shape};
use crate::tensor::Tensor;
use serde_json::{Map, Value as Json, json};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The number of the form: files of a later one are refused.
const FORM: i64 = 1;

/// What a model takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// The sizes of an item: those behind the batch.
    pub item: Vec<usize>,
    /// The type of its elements.
    pub dtype: DType,
}

/// One value of a program.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// What the model is given.
    Input(usize),
    /// A parameter, by its path.
    Weight(String),
    /// What the model holds and does not train, by its path.
    Buffer(String),
    /// Values that are the same at each pass; a single one fills the shape, which may grow with the batch.
    Constant { values: Json, shape: Json, dtype: DType },
    /// What an operation makes of values before it.
    Op { name: String, reads: Vec<usize>, attributes: Map<String, Json> },
}

/// Values, each made of those before it; the last is the result.
#[derive(Debug, Clone)]
pub(super) struct Program {
    pub inputs: Vec<Input>,
    pub values: Vec<Source>,
    /// The last size of the result, if it is one of an item.
    pub last_size: Option<usize>,
}

/// A whole number that may grow with the batch.
pub(super) fn whole(value: &Json, batch: usize) -> Option<i64> {
    match value {
        Json::Object(size) => {
            let part = |name: &str| size.get(name).and_then(Json::as_i64);
            part("per")?.checked_mul(batch as i64)?.checked_add(part("at")?)
        }
        value => value.as_i64(),
    }
}

/// Sizes that may grow with the batch.
pub(super) fn sizes(value: &Json, batch: usize) -> Option<Vec<usize>> {
    let size = |value: &Json| whole(value, batch).and_then(|size| usize::try_from(size).ok());
    value.as_array()?.iter().map(size).collect()
}

/// A float of a description.
pub(super) fn float(value: &Json) -> Option<f32> {
    checkpoint::float(value).map(|value| value as f32)
}

fn dtype(text: &str) -> Option<DType> {
    DType::ALL.into_iter().find(|dtype| dtype.to_string() == text)
}

impl Program {
    pub fn to_json(&self, classes: &[String]) -> Json {
        let input = |input: &Input| json!({"item": input.item, "dtype": input.dtype.to_string()});
        let value = |source: &Source| match source {
            Source::Input(at) => json!({"input": at}),
            Source::Weight(path) => json!({"weight": path}),
            Source::Buffer(path) => json!({"buffer": path}),
            Source::Constant { values, shape, dtype } => {
                json!({"constant": values, "shape": shape, "dtype": dtype.to_string()})
            }
            Source::Op { name, reads, attributes } => {
                let mut all = attributes.clone();
                all.insert("op".into(), json!(name));
                all.insert("in".into(), json!(reads));
                Json::Object(all)
            }
        };
        json!({
            "form": FORM,
            "by": env!("CARGO_PKG_VERSION"),
            "inputs": self.inputs.iter().map(input).collect::<Vec<_>>(),
            "classes": classes,
            "values": self.values.iter().map(value).collect::<Vec<_>>(),
        })
    }

    /// A program and the names of classes, or what is wrong with the text.
    pub fn from_json(text: &str) -> Result<(Program, Vec<String>), String> {
        let damaged = |what: String| format!("the description of the model is damaged: {what}");
        let all: Json = serde_json::from_str(text).map_err(|error| damaged(error.to_string()))?;
        match all.get("form").and_then(Json::as_i64) {
            Some(form) if form == FORM => (),
            Some(form) if form > FORM => {
                let by = all.get("by").and_then(Json::as_str).unwrap_or("a later version");
                return Err(format!(
                    "its description is of form {form}, by wgrad {by}; this is {}, which reads form {FORM}: take a later one",
                    env!("CARGO_PKG_VERSION")
                ));
            }
            _ => return Err(damaged("it has no `form`".into())),
        }
        let list = |name: &str| {
            all.get(name).and_then(Json::as_array).ok_or_else(|| damaged(format!("it has no list of `{name}`")))
        };
        let input = |value: &Json| {
            let dtype = dtype(value.get("dtype")?.as_str()?)?;
            Some(Input { item: sizes(value.get("item")?, 0)?, dtype })
        };
        let inputs =
            list("inputs")?.iter().map(|value| input(value).ok_or_else(|| damaged(format!("an input is {value}"))));
        let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
        let mut values = Vec::new();
        for value in list("values")? {
            let source = Program::source(value, values.len(), inputs.len());
            values.push(source.ok_or_else(|| damaged(format!("value {} is {value}", values.len())))?);
        }
        let class = |name: &Json| name.as_str().map(String::from).ok_or_else(|| damaged(format!("a class is {name}")));
        let classes = list("classes")?.iter().map(class).collect::<Result<_, _>>()?;
        if values.is_empty() {
            return Err(damaged("it has no values".into()));
        }
        Ok((Program { inputs, values, last_size: None }, classes))
    }

    /// The value at place `at`: it reads only those before it.
    fn source(value: &Json, at: usize, inputs: usize) -> Option<Source> {
        if let Some(input) = value.get("input") {
            let input = input.as_u64()? as usize;
            return (input < inputs).then_some(Source::Input(input));
        }
        if let Some(path) = value.get("weight") {
            return Some(Source::Weight(path.as_str()?.into()));
        }
        if let Some(path) = value.get("buffer") {
            return Some(Source::Buffer(path.as_str()?.into()));
        }
        if let Some(values) = value.get("constant") {
            let shape = value.get("shape")?.clone();
            sizes(&shape, 1).filter(|shape| shape.len() <= MAX_RANK)?;
            let dtype = dtype(value.get("dtype")?.as_str()?)?;
            return Some(Source::Constant { values: values.clone(), shape, dtype });
        }
        let mut attributes = value.as_object()?.clone();
        let name = attributes.remove("op")?.as_str()?.to_string();
        let reads = attributes.remove("in")?;
        let reads =
            reads.as_array()?.iter().map(|read| read.as_u64().map(|read| read as usize).filter(|read| *read < at));
        Some(Source::Op { name, reads: reads.collect::<Option<_>>()?, attributes })
    }

    /// Runs it without a device, on weights of these shapes, to see that all of it fits.
    pub fn check(&self, weights: &StateDict, classes: &[String]) -> Result<(), String> {
        let device = Device::null();
        let inputs = self.inputs.iter().map(|input| {
            let shape: Vec<usize> = [1].iter().chain(&input.item).copied().collect();
            (shape.len() <= MAX_RANK).then(|| Tensor::zeros(shape, &device).cast(input.dtype))
        });
        let inputs = inputs.collect::<Option<Vec<_>>>().ok_or("an input has too many dimensions")?;
        let weight = |name: &str| weights.get(name).map(|value| value.to(&device));
        // Operations tell what does not fit by panics, since elsewhere it is the program's mistake.
        let result = catch_unwind(AssertUnwindSafe(|| self.values(&inputs, &weight, &device)));
        let result = result.map_err(|panic| edge::message(&*panic))??;
        let last = result.shape().last().copied();
        match classes.len() {
            0 => Ok(()),
            count if last == Some(count) => Ok(()),
            count => Err(format!("there are {count} classes for a result of {}", result.shape())),
        }
    }

    /// Whether it reads this as a parameter.
    pub fn trains(&self, path: &str) -> bool {
        self.values.iter().any(|value| matches!(value, Source::Weight(name) if name == path))
    }

    /// The number of operations.
    pub fn operations(&self) -> usize {
        self.values.iter().filter(|value| matches!(value, Source::Op { .. })).count()
    }

    /// What does not fit about inputs, if anything.
    pub fn misfit(&self, given: &[(Shape, DType)]) -> Option<String> {
        if given.len() != self.inputs.len() {
            let (wanted, s) = (self.inputs.len(), if self.inputs.len() == 1 { "" } else { "s" });
            return Some(format!("expected {wanted} input{s}, got {}", given.len()));
        }
        let batch = given.first().and_then(|(shape, _)| shape.first().copied());
        let misfit = |((shape, dtype), want): (&(Shape, DType), &Input)| {
            let fits =
                shape.first().copied() == batch && batch.is_some() && shape[1..] == want.item && *dtype == want.dtype;
            let sizes: Vec<String> = want.item.iter().map(usize::to_string).collect();
            let sizes = [vec!["batch".to_string()], sizes].concat().join(", ");
            (!fits).then(|| format!("expected [{sizes}] of {}, got {shape} of {dtype}", want.dtype))
        };
        given.iter().zip(&self.inputs).find_map(misfit)
    }

    /// Runs it.
    ///
    /// # Panics
    /// If an operation does not fit what it is given.
    #[track_caller]
    pub fn run(&self, inputs: &[Tensor], weight: &dyn Fn(&str) -> Option<Tensor>, device: &Device) -> Tensor {
        match self.values(inputs, weight, device) {
            Ok(result) => result,
            Err(problem) => panic!("{problem}"),
        }
    }

    #[track_caller]
    fn values(
        &self,
        inputs: &[Tensor],
        weight: &dyn Fn(&str) -> Option<Tensor>,
        device: &Device,
    ) -> Result<Tensor, String> {
        let batch = inputs.first().and_then(|x| x.shape().first().copied()).unwrap_or(1);
        // The place of the last reader, after which a value is given up.
        let mut last = vec![self.values.len(); self.values.len()];
        for (at, value) in self.values.iter().enumerate() {
            if let Source::Op { reads, .. } = value {
                reads.iter().for_each(|read| last[*read] = at);
            }
        }
        let mut made: Vec<Option<Tensor>> = Vec::with_capacity(self.values.len());
        for (at, value) in self.values.iter().enumerate() {
            let tensor = match value {
                Source::Input(input) => inputs[*input].clone(),
                Source::Weight(path) | Source::Buffer(path) => {
                    weight(path).ok_or_else(|| format!("there is no weight `{path}`"))?
                }
                Source::Constant { values, shape, dtype } => constant(values, shape, *dtype, batch, device)
                    .ok_or_else(|| format!("value {at} is no constant"))?,
                Source::Op { name, reads, attributes } => {
                    let args: Vec<&Tensor> = reads.iter().filter_map(|read| made[*read].as_ref()).collect();
                    apply(name, &args, attributes, batch)?
                }
            };
            made.push(Some(tensor));
            if let Source::Op { reads, .. } = value {
                reads.iter().filter(|read| last[**read] == at).for_each(|read| made[*read] = None);
            }
        }
        made.pop().flatten().ok_or_else(|| "there is no result".to_string())
    }
}

fn constant(values: &Json, shape: &Json, dtype: DType, batch: usize, device: &Device) -> Option<Tensor> {
    let (values, shape) = (values.as_array()?, Shape::from(sizes(shape, batch)?));
    let all: Tensor = match dtype.is_float() {
        true => Tensor::from_vec(values.iter().map(float).collect::<Option<Vec<f32>>>()?, [values.len()], device),
        false => {
            Tensor::from_vec(values.iter().map(Json::as_i64).collect::<Option<Vec<i64>>>()?, [values.len()], device)
        }
    };
    match values.len() {
        1 => Some(all.cast(dtype).reshape_to(Shape::from(vec![1; shape.rank()])).expand(shape)),
        count => (count == shape.numel()).then(|| all.cast(dtype).reshape_to(shape)),
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = |value: &Json| match value {
            Json::Object(size) => {
                let part = |name: &str| size.get(name).and_then(Json::as_i64).unwrap_or(0);
                match (part("at"), part("per")) {
                    (0, 1) => "batch".to_string(),
                    (0, per) => format!("{per} batch"),
                    (at, per) => format!("{per} batch + {at}"),
                }
            }
            Json::String(text) => text.clone(),
            other => other.to_string(),
        };
        let told = |value: &Json| match value {
            Json::Array(all) => format!("[{}]", all.iter().map(size).collect::<Vec<_>>().join(", ")),
            other => size(other),
        };
        for (at, value) in self.values.iter().enumerate() {
            match value {
                Source::Input(input) => {
                    let Input { item, dtype } = &self.inputs[*input];
                    let sizes: String = item.iter().map(|size| format!(", {size}")).collect();
                    writeln!(f, "%{at} = input {input}: [batch{sizes}] {dtype}")?;
                }
                Source::Weight(path) | Source::Buffer(path) => writeln!(f, "%{at} = {path}")?,
                Source::Constant { values, shape, dtype } => {
                    let one =
                        values.as_array().filter(|all| all.len() == 1).map(|all| format!(" of {}", size(&all[0])));
                    writeln!(f, "%{at} = constant{} {} {dtype}", one.unwrap_or_default(), told(shape))?;
                }
                Source::Op { name, reads, attributes } => {
                    let reads = reads.iter().map(|read| format!("%{read}"));
                    let named = attributes.iter().map(|(name, value)| format!("{name}={}", told(value)));
                    writeln!(f, "%{at} = {name}({})", reads.chain(named).collect::<Vec<_>>().join(", "))?;
                }
            }
        }
        Ok(())
    }
}
