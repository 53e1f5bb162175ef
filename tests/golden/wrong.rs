//! Calls that PyTorch itself tests for being refused, from `wrong.json`: each is refused here too, by a sentence that names
//! the operation and what it was given.
//!
//! The file has those of PyTorch's `error_inputs`, of operators and of modules, that can be written in Rust, each once. The others are wrong types: sizes
//! below 0, a reduction of another name, an `out` of another type or shape, a number where a tensor is expected.

use crate::attrs::Attrs;
use crate::case::{Case, Data, Tolerance, Value};
use crate::kinds::{self, Runner};
use crate::trial::Trial;
use crate::ways::Way;
use crate::{Place, guard};
use serde_json::Value as Json;
use std::path::Path;

/// One call.
pub struct Call {
    /// The kind of case whose runner makes it, and its number among all.
    pub name: String,
    pub kind: String,
    attrs: String,
    tensors: Vec<(String, Value)>,
    /// What PyTorch says.
    pytorch: String,
    /// The name in the refusal, where it is not the kind's: a module's.
    says: Option<String>,
    /// Why it is right that this call is taken here.
    pub taken: Option<String>,
}

/// All calls.
pub fn calls() -> Vec<Call> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/wrong.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let list: Vec<Json> = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    list.iter().enumerate().map(|(at, json)| Call::parse(at, json)).collect()
}

impl Call {
    fn parse(at: usize, json: &Json) -> Call {
        let text =
            |name: &str| json[name].as_str().unwrap_or_else(|| panic!("wrong.json: `{name}` is due")).to_string();
        let inputs = json["inputs"].as_object().expect("wrong.json: expected `inputs`");
        let tensors = inputs.iter().map(|(name, json)| (format!("in.{name}"), tensor(json))).collect();
        let taken = json.get("taken").map(|why| why.as_str().expect("wrong.json: expected a sentence").to_string());
        let says = json.get("says").map(|name| name.as_str().expect("wrong.json: expected a name").to_string());
        let kind = text("kind");
        Call {
            name: format!("{kind}_{at}"),
            attrs: json["attrs"].to_string(),
            tensors,
            pytorch: text("pytorch"),
            says,
            taken,
            kind,
        }
    }

    /// Fails if the call is not refused, or not by a sentence about it.
    pub fn judge(self, place: Place) -> Result<(), String> {
        let runner = kinds::runner(&self.kind).unwrap_or_else(|| panic!("wrong.json: no kind `{}`", self.kind));
        let case = Case {
            op: self.kind.clone(),
            attrs: Attrs::parse(&self.attrs)?,
            tolerance: Tolerance { rtol: 0.0, atol: 0.0 },
            drift: None,
            tensors: self.tensors.into_iter().collect(),
        };
        let device = place.device();
        let said = guard::guarded(|| {
            let inputs: Vec<_> = case.under("in.").map(|(_, value)| Way::Eager.upload(value, &device)).collect();
            let trial = Trial::new(&case, Way::Eager, &device, &inputs, wgrad::Tensor::clone);
            match runner {
                Runner::Op(op) => op(&trial).to_vec::<f32>().map(drop),
                Runner::Several(op) => op(&trial).iter().try_for_each(|y| y.to_vec::<f32>().map(drop)),
                _ => panic!("wrong.json: `{}` is no operation", self.kind),
            }
        });
        let said = match (said, &self.taken) {
            (Ok(_), Some(_)) => return Ok(()),
            (Ok(Ok(())), None) => return Err(format!("it is taken, where PyTorch says: {}", self.pytorch)),
            (Ok(Err(error)), None) => error.to_string(),
            (Err(said), None) => said,
            (Err(said), Some(why)) => return Err(format!("it is refused ({said}), and wrong.json says that {why}")),
        };
        if device.wait().is_ok() {
            place.give_back(device);
        }
        let raw = ["index out of bounds", "overflow", "unwrap", "capacity", "divide by zero", "out of range for slice"];
        let name = self.says.as_deref().unwrap_or(self.kind.trim_end_matches("_loss"));
        let shape = said.contains("shape [") && said.contains("over the highest");
        if let Some(raw) = raw.iter().find(|raw| said.contains(*raw)) {
            return Err(format!("`{raw}` is no sentence for a user: {said}"));
        }
        if !said.contains(name) && !shape {
            return Err(format!("it does not name `{name}`: {said}"));
        }
        Ok(())
    }
}

/// Floats are 0.5, -0.5, 0.5 ..; whole numbers are as PyTorch has them.
fn tensor(json: &Json) -> Value {
    let shape = json["shape"].as_array().expect("wrong.json: expected a shape");
    let shape: Vec<usize> = shape.iter().map(|n| n.as_u64().expect("wrong.json: expected a size") as usize).collect();
    let data = match json.get("data") {
        Some(data) => {
            let data = data.as_array().expect("wrong.json: expected a list");
            Data::Int(data.iter().map(|n| n.as_i64().expect("wrong.json: expected a whole number")).collect())
        }
        None => Data::Float(
            (0..shape.iter().product()).map(|i: usize| if i.is_multiple_of(2) { 0.5 } else { -0.5 }).collect(),
        ),
    };
    Value { shape, data }
}
