//! One case on one device: its inputs as tensors, and the judgement of what a runner makes of them.

use crate::attrs::Attrs;
use crate::case::Case;
use crate::guard::guarded;
use crate::judge::{Finding, judge, rounded};
use crate::kinds::Runner;
use crate::train;
use crate::ways::{Way, others, packed};
use std::cell::RefCell;
use std::collections::BTreeMap;
use wgrad::autograd::GradOptions;
use wgrad::nn::{Init, Module, Parameter, Visitor};
use wgrad::{DType, Device, KeepDims, Rng, Tensor};

/// What a runner sees: inputs that are tracked where the file holds their gradient, and the other arguments.
pub struct Trial<'a> {
    case: &'a Case,
    way: Way,
    device: &'a Device,
    inputs: BTreeMap<&'a str, Tensor>,
    /// Those of them whose gradient the file holds, from before anything was done to them.
    leaves: BTreeMap<&'a str, Tensor>,
    /// Inputs that became a layer's parameters: the gradient flows there.
    parameters: RefCell<BTreeMap<String, Tensor>>,
}

impl<'a> Trial<'a> {
    /// `inputs` are those of the file, in its order.
    pub fn new(case: &'a Case, way: Way, device: &'a Device, inputs: &[Tensor], hem: Hem) -> Trial<'a> {
        let (mut all, mut leaves) = (BTreeMap::new(), BTreeMap::new());
        for ((name, _), x) in case.under("in.").zip(inputs) {
            let mut x = x.clone();
            if case.tensors.contains_key(&format!("grad.{name}")) {
                x = x.requires_grad();
                leaves.insert(name, x.clone());
            }
            all.insert(name, hem(&x));
        }
        Trial { case, way, device, inputs: all, leaves, parameters: RefCell::default() }
    }

    /// How the steps of an optimizer run.
    pub fn way(&self) -> Way {
        self.way
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

    /// A size that the file must tell.
    pub fn size(&self, name: &str) -> usize {
        self.attrs().size(name).unwrap_or_else(|| panic!("`{name}` is due"))
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

    /// What draws the weights of a layer before the file's take their place: on a device of their own, since a step that
    /// is captured takes nothing from the host.
    pub fn init(&self) -> Init {
        Init::new(0, &Device::null())
    }

    /// An input as a layer holds it.
    pub fn parameter(&self, name: &str) -> Parameter {
        let parameter = Parameter::new(self.input(name).clone());
        self.parameters.borrow_mut().insert(name.to_string(), parameter.tensor());
        parameter
    }

    /// The same, where the file has it.
    pub fn given(&self, name: &str) -> Option<Parameter> {
        self.maybe(name).map(|_| self.parameter(name))
    }

    /// Refuses a layer whose parameters and buffers are not named as in the file.
    pub fn agree(&self, layer: &dyn Module) {
        let mut names = Vec::new();
        layer.visit(&mut Visitor::new(&mut |name, _| names.push(name.to_string())));
        let unknown: Vec<&String> = names.iter().filter(|name| self.maybe(name).is_none()).collect();
        let unseen: Vec<String> =
            self.parameters.borrow().keys().filter(|name| !names.contains(name)).cloned().collect();
        assert!(unknown.is_empty() && unseen.is_empty(), "the layer has {unknown:?}, and PyTorch's has {unseen:?}");
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

/// What is done to each input before, and to each result behind, what a case tests.
pub type Hem = fn(&Tensor) -> Tensor;

/// A kernel that changes nothing, for rewrites to join to its neighbours.
fn one_kernel(x: &Tensor) -> Tensor {
    // A sum with -0 keeps a zero's sign.
    if x.dtype() == DType::F32 { x.affine(1.0, -0.0) } else { x.clone() }
}

/// Everything that is wrong with a case.
pub fn run(case: &Case, runner: &Runner, way: Way, device: &Device) -> Vec<Finding> {
    let inputs: Vec<Tensor> = case.under("in.").map(|(_, value)| way.upload(value, device)).collect();
    let trial = || Trial::new(case, way, device, &inputs, Tensor::clone);
    let mut found = match (runner, way) {
        (Runner::Train(build), _) => train::run(case, *build, way, device),
        (Runner::Steps(steps), _) => judge_all(case, &steps(&trial())),
        (Runner::Op(_) | Runner::Several(_) | Runner::Host(_) | Runner::Hosts(_), Way::Eager | Way::Strided) => {
            let cotangents = cotangents(case, device);
            results(&trial(), runner, &cotangents, Tensor::clone)
                .map_or_else(|bad| vec![bad], |all| judge_all(case, &all))
        }
        (Runner::Op(_) | Runner::Several(_) | Runner::Host(_) | Runner::Hosts(_), Way::Replayed) => {
            let hems: [Hem; 2] = [Tensor::clone, one_kernel];
            hems.into_iter().flat_map(|hem| replayed(case, runner, device, &inputs, hem)).collect()
        }
    };
    found.extend(case.attrs.unread().iter().map(|name| Finding::new("attrs", format!("nothing here knows `{name}`"))));
    found
}

/// What is wrong with a case whose floats are of half size, beside the same numbers in f32.
pub fn halved(case: &Case, runner: &Runner, dtype: DType, device: &Device) -> Vec<Finding> {
    if case.under("grad2.").next().is_some() {
        // What is rounded once more has no bound of its own.
        return Vec::new();
    }
    let round = |x: Tensor| if x.dtype().is_float() { x.cast(dtype) } else { x };
    let wide = |x: &Tensor| if x.dtype().is_float() { x.cast(DType::F32) } else { x.clone() };
    let halves: Vec<Tensor> = case.under("in.").map(|(_, value)| round(packed(value, device))).collect();
    let floats: Vec<Tensor> = halves.iter().map(wide).collect();
    let cotangents: BTreeMap<String, Tensor> =
        cotangents(case, device).into_iter().map(|(name, c)| (name, wide(&round(c)))).collect();
    let all = |inputs: &[Tensor], way: Way| {
        results(&Trial::new(case, way, device, inputs, Tensor::clone), runner, &cotangents, Tensor::clone)
    };
    // What f32 is refused, or does wrong, is told where f32 is tried.
    let Ok(Ok(want)) = guarded(|| all(&floats, Way::Eager)) else { return Vec::new() };
    let got = match all(&halves, Way::Eager) {
        Ok(got) => got,
        Err(bad) => return vec![bad],
    };
    // What roundings on the way may do: as much as those of the inputs.
    let moved: Vec<Vec<(String, Tensor)>> = (0..3)
        .filter_map(|draw| {
            let inputs: Vec<Tensor> = floats.iter().map(|x| shaken(x, dtype, draw)).collect();
            guarded(|| all(&inputs, Way::Eager)).ok()?.ok()
        })
        .collect();
    let flow =
        |(_, c): (&String, &Tensor)| c.to_vec::<f32>().unwrap_or_default().iter().fold(0.0, |m: f32, v| m.max(v.abs()));
    let flow = cotangents.iter().map(flow).fold(0.0, f32::max);
    // Counts are of f32, whatever is counted: halves do not tell them apart beyond 2048, and PyTorch's are whole numbers.
    let is_float = halves.iter().any(|x| x.dtype().is_float()) && case.op != "count_nonzero";
    let judged = want.iter().zip(&got).enumerate().filter_map(|(at, ((name, want), (_, got)))| {
        let moved: Vec<&Tensor> = moved.iter().filter_map(|all| all.get(at)).map(|(_, y)| y).collect();
        // A gradient is rounded where it is still what flows in from above.
        let least = if name.starts_with("grad.") { flow } else { 0.0 };
        rounded(name, (got, want), &moved, if is_float { dtype } else { DType::F32 }, least)
    });
    let mut found: Vec<Finding> = judged.collect();
    let others: Vec<Tensor> = case.under("in.").map(|(_, value)| round(others(value, device))).collect();
    let captured = device.capture(&others[..], |own| {
        Ok(all(own, Way::Replayed).map_or_else(|_| Vec::new(), |all| all.into_iter().map(|(_, y)| y).collect()))
    });
    match captured.and_then(|step| step.run(&halves[..])) {
        Ok(replayed) => found.extend(got.iter().zip(&replayed).filter_map(|((name, eager), replayed)| {
            let same = text(eager) == text(replayed);
            (!same).then(|| Finding::new(name, "a replay gives other bits"))
        })),
        Err(error) => found.push(Finding::new("replay", error.to_string())),
    }
    found
}

/// Each element a half step of the type up or down.
fn shaken(x: &Tensor, dtype: DType, draw: u32) -> Tensor {
    if !x.dtype().is_float() {
        return x.clone();
    }
    let mut rng = Rng::stream(7, draw);
    let factors: Vec<f32> =
        (0..x.numel()).map(|_| 1.0 + dtype.epsilon() * if rng.below(2) == 0 { 0.5 } else { -0.5 }).collect();
    x.mul(&Tensor::from_vec(factors, x.shape(), x.device())).detach()
}

/// All elements, so that NaN is NaN.
fn text(x: &Tensor) -> Result<Vec<String>, String> {
    let wide = x.cast(DType::F32).to_vec::<f32>().map_err(|error| error.to_string())?;
    Ok(wide.iter().map(|v| format!("{v:e}")).collect())
}

fn judge_all(case: &Case, got: &[(String, Tensor)]) -> Vec<Finding> {
    got.iter().filter_map(|(name, got)| judge(name, got, case.value(name), case.tolerance)).collect()
}

/// The file's cotangents, by the names of the outputs.
fn cotangents(case: &Case, device: &Device) -> BTreeMap<String, Tensor> {
    case.under("cot").map(|(name, value)| (format!("out{name}"), packed(value, device))).collect()
}

/// The outputs of an operation and the gradients of its inputs, under the names that the file has for them.
fn results(
    trial: &Trial,
    runner: &Runner,
    cotangents: &BTreeMap<String, Tensor>,
    hem: Hem,
) -> Result<Vec<(String, Tensor)>, Finding> {
    let case = trial.case;
    let outputs = match runner {
        Runner::Op(op) | Runner::Host(op) => vec![("out".to_string(), op(trial))],
        // A list of one may be told as what is in it.
        Runner::Several(op) | Runner::Hosts(op) if case.tensors.contains_key("out") => {
            op(trial).into_iter().map(|got| ("out".to_string(), got)).collect()
        }
        Runner::Several(op) | Runner::Hosts(op) => (0..).map(|i: usize| format!("out.{i}")).zip(op(trial)).collect(),
        Runner::Steps(_) | Runner::Train(_) => panic!("its runner judges it"),
    };
    let mut all: Vec<(String, Tensor)> = outputs.into_iter().map(|(name, got)| (name, hem(&got))).collect();
    let wanted = case.tensors.keys().filter(|name| *name == "out" || name.starts_with("out.")).count();
    if all.len() != wanted {
        return Err(Finding::new("out", format!("got {} outputs, want {wanted}", all.len())));
    }
    let mut loss: Option<Tensor> = None;
    for (name, got) in &all {
        let Some(cotangent) = cotangents.get(name) else { continue };
        // A cotangent of another shape would panic and hide what is wrong with the output.
        if got.shape() != cotangent.shape() {
            return Ok(all);
        }
        if case.under("grad.").next().is_some() && !got.is_tracked() {
            return Err(Finding::new(name, "it has no history, so that no gradient flows back"));
        }
        let part = got.mul(cotangent).sum();
        loss = Some(loss.map_or(part.clone(), |loss| loss.add(&part)));
    }
    let Some(loss) = loss else { return Ok(all) };
    if case.under("grad2.").next().is_some() {
        all.extend(second(trial, &loss, cotangents));
        return Ok(all);
    }
    let grads = loss.backward();
    for (name, _) in case.under("grad.") {
        let (parameters, whole) = (trial.parameters.borrow(), format!("grad.{name}"));
        let leaf = trial.leaves.get(name).expect("a gradient is asked for an input");
        match grads.of(leaf).or_else(|| grads.of(parameters.get(name)?)) {
            Some(grad) => all.push((whole, grad.clone())),
            None => return Err(Finding::new(whole, "no gradient arrived")),
        }
    }
    Ok(all)
}

/// The gradients of the inputs, and those of the sum of these by the file's cotangents.
fn second(trial: &Trial, loss: &Tensor, cotangents: &BTreeMap<String, Tensor>) -> Vec<(String, Tensor)> {
    let parameters = trial.parameters.borrow();
    let names: Vec<&str> = trial.case.under("grad.").map(|(name, _)| name).collect();
    let leaf = |name: &&str| parameters.get(*name).or_else(|| trial.leaves.get(*name)).expect("it is an input").clone();
    let leaves: Vec<Tensor> = names.iter().map(leaf).collect();
    let options = GradOptions { materialize_grads: true, ..GradOptions::default() };
    let first = loss.grad_with(&leaves, &options);
    let parts =
        names.iter().zip(&first).map(|(name, gradient)| gradient.mul(&cotangents[&format!("out2.{name}")]).sum());
    let sum = parts.reduce(|a, b| a.add(&b)).expect("there is an input");
    let again = match sum.is_tracked() {
        true => sum.grad_with(&leaves, &options),
        false => leaves.iter().map(|leaf| leaf.zeros_like()).collect(),
    };
    let named = |prefix: &'static str| names.iter().map(move |name| format!("{prefix}{name}"));
    named("grad.").zip(first.iter().map(Tensor::detach)).chain(named("grad2.").zip(again)).collect()
}

/// The same, captured on other numbers and replayed on the case's.
fn replayed(case: &Case, runner: &Runner, device: &Device, inputs: &[Tensor], hem: Hem) -> Vec<Finding> {
    let others: Vec<Tensor> = case.under("in.").map(|(_, value)| others(value, device)).collect();
    let cotangents = cotangents(case, device);
    let mut told = Ok(Vec::new());
    let captured = device.capture(&others[..], |own| {
        let all = results(&Trial::new(case, Way::Replayed, device, own, hem), runner, &cotangents, hem);
        let (names, tensors) = all
            .map(|all| all.into_iter().unzip::<_, _, Vec<String>, Vec<Tensor>>())
            .map_or_else(|bad| (Err(bad), Vec::new()), |(names, tensors)| (Ok(names), tensors));
        told = names;
        Ok(tensors)
    });
    let names = match told {
        Ok(names) => names,
        Err(bad) => return vec![bad],
    };
    let captured = match captured {
        Ok(captured) => captured,
        Err(error) => return vec![Finding::new("capture", error.to_string())],
    };
    match captured.run(inputs) {
        Ok(got) => judge_all(case, &names.into_iter().zip(got).collect::<Vec<_>>()),
        Err(error) => vec![Finding::new("replay", error.to_string())],
    }
}
