//! From passes to a program: what differs between a batch of two and one of three grows with the batch.

use super::program::{Input, Program, Source};
use crate::autograd::{Attribute, Graph, Value, trace};
use crate::checkpoint::number;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::nn::{Ctx, Entry, Module, StateTensor, Values, Visitor};
use crate::tensor::Tensor;
use serde_json::{Map, Value as Json, json};

/// The most elements of a constant that are written down one by one.
const MOST: usize = 1 << 22;

fn refused(what: String) -> Error {
    Error::Option(format!("Description: {what}"))
}

/// A batch of so many items of an example, which come again and again, from the item `first` on.
fn batch(x: &Tensor, first: usize, count: usize) -> Tensor {
    let rows: Vec<Tensor> = (0..count).map(|at| x.narrow(0, (first + at) % x.size(0), 1)).collect();
    Tensor::cat(&rows, 0)
}

#[track_caller]
pub(super) fn program<const N: usize>(
    model: &dyn Module,
    example: [&Tensor; N],
    pass: impl Fn([&Tensor; N], &Ctx) -> Tensor,
) -> Result<Program> {
    for x in example {
        if x.rank() == 0 || x.size(0) == 0 {
            return Err(refused(format!("expected an example [batch, ..] of at least one item, got {}", x.shape())));
        }
    }
    let run = |inputs: &[Tensor; N]| pass(inputs.each_ref(), &Ctx::eval());
    let traced = |count: usize| {
        let inputs = example.map(|x| batch(&x.detach(), 0, count).detach());
        let graph = trace(|| run(&inputs)).graph();
        (graph, inputs)
    };
    let ((two, inputs), (three, _)) = (traced(2), traced(3));
    let weights = weights(model);
    let values = written(&two, &three, &inputs, &weights)?;
    let inputs = example.map(|x| Input { item: x.shape()[1..].to_vec(), dtype: x.dtype() }).to_vec();
    let shape = two.values().last().map(|value| value.shape);
    let last_size = shape.filter(|shape| shape.rank() > 1).and_then(|shape| shape.last().copied());
    let program = Program { inputs, values, last_size };

    // Other items, and more of them.
    let other = example.map(|x| {
        let x = batch(&x.detach(), 1, 5);
        if x.dtype().is_float() { x.affine(0.5, 0.25) } else { x }.detach()
    });
    let weight = |name: &str| weights.iter().find(|(path, ..)| path == name).map(|(_, tensor, _)| tensor.detach());
    let device = example.first().map(|x| x.device().clone());
    let device = device.ok_or_else(|| refused("expected at least one input".into()))?;
    let want = run(&other);
    let got = program.run(&other, &weight, &device);
    let values = |x: &Tensor| x.cast(DType::F32).to_vec::<f32>();
    let near = |(a, b): (f32, f32)| a == b || (a - b).abs() <= 1e-5 * a.abs().max(1.0) || a.is_nan() && b.is_nan();
    if want.shape() != got.shape() || !values(&want)?.into_iter().zip(values(&got)?).all(near) {
        return Err(refused(
            "for other items the model gives something else than its description: it computes with values on the host, or \
             with an operation that leaves no trace"
                .into(),
        ));
    }
    Ok(program)
}

/// A path, what lies there, and whether it is trained.
type Weight = (String, Tensor, bool);

fn weights(model: &dyn Module) -> Vec<Weight> {
    let mut found = Vec::new();
    let mut each = |path: &str, entry: Entry| {
        let tensor = entry.tensor();
        // What is held in bytes is trained no more.
        let is_trained = matches!(entry, Entry::Parameter(_)) && tensor.dtype().is_float();
        found.push((path.to_string(), tensor, is_trained));
    };
    model.visit(&mut Visitor::new(&mut each));
    found
}

/// The values of a program, from the graphs of two passes.
fn written(two: &Graph, three: &Graph, inputs: &[Tensor], weights: &[Weight]) -> Result<Vec<Source>> {
    let (two, three) = (two.values(), three.values());
    let same = |(a, b): (&Value, &Value)| {
        a.op.as_ref().map(|op| op.name()) == b.op.as_ref().map(|op| op.name()) && a.inputs == b.inputs
    };
    if two.len() != three.len() || !two.iter().zip(three).all(same) {
        return Err(refused("it runs other operations for three items than for two".into()));
    }
    let mut all = Vec::new();
    for (a, b) in two.iter().zip(three) {
        all.push(match &a.op {
            None => start(a, b, inputs, weights)?,
            Some(op) => {
                let reads = a.inputs.iter().copied().collect::<Option<Vec<_>>>();
                let reads =
                    reads.ok_or_else(|| refused(format!("`{}` reads what was made before the pass", op.name())))?;
                let name = op.name().to_string();
                let mut attributes = Map::new();
                let others = b.op.iter().flat_map(|op| op.attributes());
                for ((name, a), (_, b)) in op.attributes().iter().zip(others) {
                    let value = attribute(a, b).map_err(|problem| refused(format!("{op}: {problem}")))?;
                    attributes.extend(value.map(|value| (name.to_string(), value)));
                }
                if !super::apply::knows(&name) {
                    return Err(refused(format!("the operation `{op}` has no description")));
                }
                Source::Op { name, reads, attributes }
            }
        });
    }
    Ok(all)
}

/// A whole number of a batch of two and of three items.
fn size(a: i64, b: i64) -> Json {
    if a == b { json!(a) } else { json!({"at": a - 2 * (b - a), "per": b - a}) }
}

/// An attribute as JSON; a tensor is read like an input and has none.
fn attribute(a: &Attribute, b: &Attribute) -> std::result::Result<Option<Json>, String> {
    Ok(Some(match (a, b) {
        (Attribute::Tensor(_), Attribute::Tensor(_)) => return Ok(None),
        (Attribute::Int(a), Attribute::Int(b)) => size(*a, *b),
        (Attribute::Ints(a), Attribute::Ints(b)) if a.len() == b.len() => {
            a.iter().zip(b).map(|(a, b)| size(*a, *b)).collect()
        }
        (Attribute::Bool(a), Attribute::Bool(b)) if a == b => json!(a),
        (Attribute::Text(a), Attribute::Text(b)) if a == b => json!(a),
        (Attribute::Float(a), Attribute::Float(b)) if a.to_bits() == b.to_bits() => number((*a).into()),
        (a, b) => return Err(format!("{a} for two items and {b} for three")),
    }))
}

/// What a pass starts from: an input, a weight, or a constant.
fn start(a: &Value, b: &Value, inputs: &[Tensor], weights: &[Weight]) -> Result<Source> {
    let (Some(tensor), Some(other)) = (&a.tensor, &b.tensor) else {
        return Err(refused("it reads a tensor that is not known".into()));
    };
    if let Some(at) = inputs.iter().position(|input| input.is_at(tensor)) {
        return Ok(Source::Input(at));
    }
    if let Some((path, _, is_trained)) = weights.iter().find(|(_, weight, _)| weight.is_at(tensor)) {
        return Ok(if *is_trained { Source::Weight(path.clone()) } else { Source::Buffer(path.clone()) });
    }
    let dtype = tensor.dtype();
    let elements = |x: &Tensor| -> Result<Vec<Json>> {
        Ok(match StateTensor::of(&if x.dtype().is_float() { x.cast(DType::F32) } else { x.cast(DType::I64) })?.values {
            Values::F32(values) => values.into_iter().map(|value| number(value.into())).collect(),
            Values::I64(values) => values.into_iter().map(|value| json!(value)).collect(),
            _ => Vec::new(),
        })
    };
    let (mine, others) = (elements(tensor)?, elements(other)?);
    let is_one = |all: &[Json]| all.iter().all(|value| *value == mine[0]);
    let rank = (tensor.rank() == other.rank()).then_some(());
    let shape: Json =
        tensor.shape().iter().zip(other.shape().iter()).map(|(a, b)| size(*a as i64, *b as i64)).collect();
    if rank.is_some() && !mine.is_empty() && is_one(&mine) && is_one(&others) {
        return Ok(Source::Constant { values: json!([mine[0]]), shape, dtype });
    }
    if tensor.shape() != other.shape() || mine != others {
        return Err(refused(format!(
            "a constant of {} for two items is another for three: an operation leaves no trace, or the host makes it from the \
             input",
            tensor.shape()
        )));
    }
    if mine.len() > MOST {
        return Err(refused(format!(
            "a constant of {} is too large to be written down: make it a Buffer",
            tensor.shape()
        )));
    }
    Ok(Source::Constant { values: json!(mine), shape, dtype })
}
