//! One case on one device: its inputs as tensors, and the judgement of what a runner makes of them.

use crate::attrs::Attrs;
use crate::case::{Case, Data, Value};
use crate::judge::{Finding, judge};
use crate::kinds::Runner;
use crate::train;
use std::cell::RefCell;
use std::collections::BTreeMap;
use wgrad::nn::Parameter;
use wgrad::{Device, KeepDims, Tensor};

/// What a runner sees: inputs that are tracked where the file holds their gradient, and the other arguments.
pub struct Trial<'a> {
    case: &'a Case,
    device: &'a Device,
    inputs: BTreeMap<&'a str, Tensor>,
    /// Inputs that became a layer's parameters: the gradient flows there.
    parameters: RefCell<BTreeMap<String, Tensor>>,
}

impl<'a> Trial<'a> {
    pub fn new(case: &'a Case, device: &'a Device) -> Trial<'a> {
        let inputs = case.under("in.").map(|(name, value)| {
            let x = upload(value, device);
            let tracked = case.tensors.contains_key(&format!("grad.{name}"));
            (name, if tracked { x.requires_grad() } else { x })
        });
        Trial { case, device, inputs: inputs.collect(), parameters: RefCell::default() }
    }

    pub fn attrs(&self) -> &Attrs {
        &self.case.attrs
    }

    pub fn op(&self) -> &str {
        &self.case.op
    }

    pub fn device(&self) -> &Device {
        self.device
    }

    /// How many elements the file's output has.
    pub fn wanted(&self) -> usize {
        self.case.value("out").shape.iter().product()
    }

    /// The argument that most operations have.
    pub fn x(&self) -> &Tensor {
        self.input("input")
    }

    /// The second operand.
    pub fn y(&self) -> &Tensor {
        self.input("other")
    }

    pub fn input(&self, name: &str) -> &Tensor {
        self.maybe(name).unwrap_or_else(|| panic!("the case holds no input `{name}`"))
    }

    pub fn maybe(&self, name: &str) -> Option<&Tensor> {
        self.inputs.get(name)
    }

    /// An input as a layer holds it.
    pub fn parameter(&self, name: &str) -> Parameter {
        let parameter = Parameter::new(self.input(name).clone());
        self.parameters.borrow_mut().insert(name.to_string(), parameter.tensor());
        parameter
    }

    /// The inputs `0`, `1` .. of an operation that takes a list.
    pub fn list(&self) -> Vec<&Tensor> {
        (0..).map_while(|i: usize| self.maybe(&i.to_string())).collect()
    }

    /// The dimensions to reduce over; all of them where the file names none.
    pub fn dims(&self) -> Vec<isize> {
        self.attrs().list("dim").unwrap_or_else(|| (0..self.x().rank() as isize).collect())
    }

    pub fn keep(&self) -> KeepDims {
        if self.attrs().flag("keepdim", false) { KeepDims::Yes } else { KeepDims::No }
    }
}

pub fn upload(value: &Value, device: &Device) -> Tensor {
    match &value.data {
        Data::Float(data) => Tensor::from_slice(data, &value.shape, device),
        Data::Int(_) => Tensor::from_vec(value.ints(), &value.shape, device),
    }
}

/// Everything that is wrong with a case.
pub fn run(case: &Case, runner: &Runner, device: &Device) -> Vec<Finding> {
    let mut found = match runner {
        Runner::Op(op) => {
            let trial = Trial::new(case, device);
            differentiate(&trial, &[("out", "cot", op(&trial))], device)
        }
        Runner::Several(op) => {
            let trial = Trial::new(case, device);
            let names = [("out.0", "cot.0"), ("out.1", "cot.1"), ("out.2", "cot.2")];
            let outputs: Vec<_> = names.into_iter().zip(op(&trial)).map(|((out, cot), got)| (out, cot, got)).collect();
            differentiate(&trial, &outputs, device)
        }
        Runner::Values(values) => {
            let got = values(&Trial::new(case, device));
            got.iter().filter_map(|(name, got)| judge(name, got, case.value(name), case.tolerance)).collect()
        }
        Runner::Train(build) => train::run(case, *build, device),
    };
    found.extend(case.attrs.unread().iter().map(|name| Finding::new("attrs", format!("nothing here knows `{name}`"))));
    found
}

/// The outputs of an operation and the gradients of its inputs under the file's cotangents.
fn differentiate(trial: &Trial, outputs: &[(&str, &str, Tensor)], device: &Device) -> Vec<Finding> {
    let case = trial.case;
    let judged = |(out, _, got): &(&str, &str, Tensor)| judge(out, got, case.value(out), case.tolerance);
    let mut found: Vec<Finding> = outputs.iter().filter_map(judged).collect();
    let mut loss: Option<Tensor> = None;
    for (out, cot, got) in outputs {
        let Some(cotangent) = case.tensors.get(*cot) else { continue };
        // A cotangent of another shape would panic and hide what is wrong with the output.
        if got.shape()[..] != cotangent.shape[..] {
            return found;
        }
        if case.under("grad.").next().is_some() && !got.is_tracked() {
            found.push(Finding::new(*out, "it has no history, so that no gradient flows back"));
            return found;
        }
        let part = got.mul(&upload(cotangent, device)).sum();
        loss = Some(loss.map_or(part.clone(), |loss| loss.add(&part)));
    }
    let Some(loss) = loss else { return found };
    let grads = loss.backward();
    for (name, want) in case.under("grad.") {
        let tensor = format!("grad.{name}");
        let parameters = trial.parameters.borrow();
        match grads.of(parameters.get(name).unwrap_or_else(|| trial.input(name))) {
            Some(got) => found.extend(judge(&tensor, got, want, case.tolerance)),
            None => found.push(Finding::new(tensor, "no gradient arrived")),
        }
    }
    found
}
