//! Parameters of a model side by side in memory, with their gradients and moments.

use crate::autograd::Grads;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::nn::{Module, Parameter, StateDict, StateTensor, Values, parameters};
use crate::shape::{Layout, Shape};
use crate::tensor::Tensor;
use std::sync::Arc;

/// Elements that each parameter starts on a multiple of: the 256 bytes that a binding starts on.
const ALIGN: usize = 64;

/// A parameter's place in its slab.
struct Entry {
    name: Arc<str>,
    parameter: Parameter,
    shape: Shape,
    offset: usize,
}

impl Entry {
    fn end(&self) -> usize {
        (self.offset + self.shape.numel()).next_multiple_of(ALIGN)
    }

    fn view(&self, slab: &Tensor) -> Tensor {
        slab.with_layout(Layout { offset: self.offset, ..Layout::contiguous(self.shape) })
    }
}

/// One stretch of memory for as many parameters as one binding holds.
pub struct Slab {
    entries: Vec<Entry>,
    /// The parameters' values, which the model reads in place.
    pub values: Tensor,
    /// The gradients of a step.
    pub gradients: Tensor,
    /// What the optimizer keeps for each value.
    pub moments: Vec<Tensor>,
}

impl Slab {
    /// Moves the parameters of `module` into slabs, each with `moments` more of its size.
    ///
    /// # Panics
    /// If there are no parameters or they live on several devices.
    #[track_caller]
    pub fn of(module: &dyn Module, moments: usize) -> Vec<Slab> {
        let mut named: Vec<(String, Parameter)> = Vec::new();
        for (name, parameter) in parameters(module) {
            if !named.iter().any(|(_, other)| other.is(&parameter)) {
                named.push((name, parameter));
            }
        }
        let device = named.first().expect("optimizer: the model has no parameters").1.tensor().device().clone();
        let most = (device.info().max_binding_bytes / 4) as usize;
        let mut slabs: Vec<Vec<Entry>> = vec![Vec::new()];
        let mut end = 0;
        for (name, parameter) in named {
            let tensor = parameter.tensor();
            assert!(*tensor.device() == device, "optimizer: {name} is on {}, not on {device}", tensor.device());
            let shape = tensor.shape();
            if end > 0 && end + shape.numel().next_multiple_of(ALIGN) > most {
                slabs.push(Vec::new());
                end = 0;
            }
            let entry = Entry { name: name.into(), parameter, shape, offset: end };
            end = entry.end();
            slabs.last_mut().expect("there is one").push(entry);
        }
        slabs.into_iter().map(|entries| Slab::fill(entries, moments, &device)).collect()
    }

    fn fill(entries: Vec<Entry>, moments: usize, device: &Device) -> Slab {
        let len = entries.last().map_or(0, Entry::end);
        let values = Tensor::zeros([len], device);
        for entry in &entries {
            let place = entry.view(&values);
            place.assign(&entry.parameter.tensor().detach());
            entry.parameter.move_to(place);
        }
        let zeros = || Tensor::zeros([len], device);
        Slab { entries, values, gradients: zeros(), moments: (0..moments).map(|_| zeros()).collect() }
    }

    /// Copies gradients into the slab, and tells the stretches (first element, elements) that have one.
    pub fn gather(&self, grads: &Grads) -> Vec<(u32, u32)> {
        let mut runs: Vec<(u32, u32)> = Vec::new();
        for entry in &self.entries {
            let Some(gradient) = grads.of(&entry.parameter.tensor()) else { continue };
            entry.view(&self.gradients).named(entry.name.clone()).assign(gradient);
            let (start, len) = (entry.offset as u32, (entry.end() - entry.offset) as u32);
            match runs.last_mut() {
                Some((first, run)) if *first + *run == start => *run += len,
                _ => runs.push((start, len)),
            }
        }
        runs
    }
}

/// Moments by the names of the parameters, under PyTorch's names for them.
pub fn state(slabs: &[Slab], moments: &[&str], steps: u64) -> Result<StateDict> {
    let mut out = StateDict::new();
    for slab in slabs {
        for (moment, tensor) in moments.iter().zip(&slab.moments) {
            for entry in &slab.entries {
                out.insert(format!("{moment}.{}", entry.name), StateTensor::of(&entry.view(tensor))?);
            }
        }
    }
    out.insert("step".into(), StateTensor { shape: vec![], values: Values::I64(vec![steps as i64]) });
    Ok(out)
}

/// Overwrites the moments, and tells the step count.
pub fn load_state(slabs: &[Slab], moments: &[&str], state: &StateDict) -> Result<u64> {
    let missing = |name: &str| Error::Weights(format!("the optimizer's state has no `{name}`"));
    let steps = match state.get("step").map(|t| &t.values) {
        Some(Values::I64(steps)) if steps.len() == 1 && steps[0] >= 0 => steps[0] as u64,
        _ => return Err(missing("step")),
    };
    let mut found = Vec::new();
    for slab in slabs {
        for (moment, tensor) in moments.iter().zip(&slab.moments) {
            for entry in &slab.entries {
                let name = format!("{moment}.{}", entry.name);
                let value = state.get(&name).ok_or_else(|| missing(&name))?;
                if value.shape != *entry.shape {
                    let (have, want) = (&value.shape, entry.shape);
                    return Err(Error::Weights(format!("the optimizer's state `{name}` is {have:?}, not {want}")));
                }
                found.push((entry.view(tensor), value));
            }
        }
    }
    for (view, value) in found {
        value.write_to(&view);
    }
    Ok(steps)
}
