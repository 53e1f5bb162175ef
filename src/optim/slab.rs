//! Parameters of a model side by side in memory, with their gradients and moments.

use super::STATE;
use super::hyper::QUAD;
use super::norms::Table;
use crate::autograd::Grads;
use crate::device::Device;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::kernel::BufferId;
use crate::nn::{Parameter, StateDict, StateTensor, Values, fitting};
use crate::shape::{Layout, Shape};
use crate::tensor::{Tensor, apart};
use std::ops::Range;
use std::sync::Arc;

/// Elements with one slot, which each parameter starts on a multiple of.
const ALIGN: usize = 64;

/// The bytes that a binding starts on a multiple of.
const BINDING: usize = 256;

/// A parameter's place in its slab.
struct Entry {
    name: Arc<str>,
    parameter: Parameter,
    shape: Shape,
    offset: usize,
    /// The bytes of the smallest elements among values and moments.
    bytes: usize,
}

impl Entry {
    fn end(&self) -> usize {
        let align = ALIGN.max(BINDING / self.bytes);
        (self.offset + self.shape.numel()).next_multiple_of(align)
    }

    fn view(&self, slab: &Tensor) -> Tensor {
        slab.with_layout(Layout { offset: self.offset, ..Layout::contiguous(self.shape) }).padded_to(self.end())
    }
}

/// One stretch of memory for as many parameters of one type as one binding holds. Values are of that type: kernels widen them
/// and round what they make of them. Gradients are of f32, and so are moments, unless the rule keeps them in bf16.
pub struct Slab {
    entries: Vec<Entry>,
    /// Of several ranks that share an optimizer, the one that keeps the moments and moves the values.
    pub owner: usize,
    /// The parameters' values, which the model reads in place.
    pub values: Tensor,
    /// The gradients of a step.
    pub gradients: Tensor,
    /// The moments of each value; of another rank's slab there are none here.
    pub moments: Vec<Tensor>,
    /// The start of the first parameter's numbers, and their count for each.
    own: Option<(usize, usize)>,
    /// For each 64 elements, where the numbers of their parameter lie among those of a step, in fours: where these depend on
    /// how many gradients it has seen.
    pub slots: Option<Tensor>,
    /// The place of each parameter's length, if it is asked for.
    pub norms: Option<Table>,
}

/// Parameters and the buffers that they lie in.
pub struct Owned {
    named: Vec<(Arc<str>, Parameter, BufferId)>,
}

impl Owned {
    /// One parameter where it is.
    pub fn of(name: &str, parameter: &Parameter) -> Owned {
        Owned { named: vec![(name.into(), parameter.clone(), parameter.tensor().buffer())] }
    }

    /// # Panics
    /// If an optimizer that was made later has moved one of them elsewhere: what is written here, nobody reads.
    #[track_caller]
    pub fn check(&self) {
        if let Some(lost) = self.lost() {
            panic!("{lost}");
        }
    }

    /// The sentence about a parameter that is elsewhere.
    pub fn lost(&self) -> Option<String> {
        let (name, ..) = self.named.iter().find(|(_, parameter, buffer)| !parameter.lies_in(*buffer))?;
        Some(format!(
            "optimizer: {name} went over to an optimizer that was made later: make averages and sharded optimizers after \
             it, and capture replayed steps anew"
        ))
    }
}

/// A part of a slab without gaps, whose parameters all have a gradient.
pub struct Stretch {
    /// Its first element, and how many there are.
    pub first: u32,
    pub n: u32,
    /// Its parameters, by their number in the slab.
    pub entries: Range<usize>,
}

/// The device of all parameters.
///
/// # Panics
/// If there are none or they live on several.
#[track_caller]
pub fn device<'a>(mut named: impl Iterator<Item = &'a (String, Parameter)>) -> Device {
    let (first, parameter) = named.next().expect("optimizer: the model has no parameters");
    let device = parameter.tensor().device().clone();
    for (name, parameter) in named {
        let tensor = parameter.tensor();
        assert!(*tensor.device() == device, "optimizer: {name} and {first} {}", apart(tensor.device(), &device));
    }
    device
}

impl Slab {
    /// Moves parameters into slabs, each with moments of its size and these first values.
    pub fn of(mut named: Vec<(String, Parameter)>, moments: &[(&str, f32)], kept: DType, device: &Device) -> Vec<Slab> {
        // Types one after the other, f32 first.
        named.sort_by_key(|(_, parameter)| parameter.tensor().dtype());
        let most = (device.info().max_binding_bytes / 4) as usize;
        let mut slabs: Vec<Vec<Entry>> = vec![Vec::new()];
        let mut end = 0;
        for (name, parameter) in named {
            let (shape, dtype) = (parameter.shape(), parameter.tensor().dtype());
            let is_other = |last: &Entry| last.parameter.tensor().dtype() != dtype;
            let others = slabs.last().and_then(|entries| entries.last()).is_some_and(is_other);
            if end > 0 && (others || end + shape.numel().next_multiple_of(ALIGN) > most) {
                slabs.push(Vec::new());
                end = 0;
            }
            let entry =
                Entry { name: name.into(), parameter, shape, offset: end, bytes: dtype.bytes().min(kept.bytes()) };
            end = entry.end();
            slabs.last_mut().expect("there is one").push(entry);
        }
        slabs.into_iter().map(|entries| Slab::fill(entries, moments, kept, device)).collect()
    }

    fn fill(entries: Vec<Entry>, moments: &[(&str, f32)], kept: DType, device: &Device) -> Slab {
        let len = entries.last().map_or(0, Entry::end);
        let values =
            entries.first().map_or(Tensor::zeros([len], device), |entry| entry.parameter.tensor().new_zeros([len]));
        for entry in &entries {
            let place = entry.view(&values);
            place.assign(&entry.parameter.tensor().detach());
            entry.parameter.move_to(place);
        }
        let gradients = Tensor::zeros([len], device);
        let moments = moments.iter().map(|(_, first)| Tensor::full([len], *first, device).cast(kept)).collect();
        Slab { entries, owner: 0, values, gradients, moments, own: None, slots: None, norms: None }
    }

    /// The parameters whose values an optimizer that was made later has moved to a place of its own.
    fn away(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| !entry.parameter.lies_in(self.values.buffer()))
    }

    /// Takes in the values of parameters that lie elsewhere, to be moved here.
    ///
    /// # Panics
    /// If they are on another device or of another type.
    #[track_caller]
    pub fn fetch(&self) {
        for entry in self.away() {
            let (tensor, name) = (entry.parameter.tensor(), &entry.name);
            let [now, then] = [&tensor, &self.values].map(|x| (x.dtype(), x.device()));
            assert!(
                now == then,
                "optimizer: {name} was cast or moved to another device since the optimizer was made: make it after that"
            );
            entry.view(&self.values).assign(&tensor.detach());
        }
    }

    /// Gives what was fetched and moved back to where it lies.
    #[track_caller]
    pub fn give_back(&self) {
        for entry in self.away() {
            entry.parameter.tensor().detach().assign(&entry.view(&self.values));
        }
    }

    /// Tells kernels where the numbers of each parameter lie: from `first` on, as many for each.
    pub fn count(&mut self, first: usize, each: usize) {
        let mut slots = vec![0i32; self.values.numel().div_ceil(ALIGN)];
        for (at, entry) in self.entries.iter().enumerate() {
            slots[entry.offset / ALIGN..entry.end() / ALIGN].fill(((first + at * each) / QUAD) as i32);
        }
        self.own = Some((first, each));
        self.slots = Some(Tensor::constant(&slots, [slots.len()], self.values.device()));
    }

    /// The start of a parameter's own numbers, where there are such.
    pub fn own_numbers(&self, entry: usize) -> Option<usize> {
        self.own.map(|(first, each)| first + entry * each)
    }

    /// A parameter's part of a tensor that lies as the slab does, under the parameter's name.
    pub fn view(&self, entry: usize, slab: &Tensor) -> Tensor {
        self.entries[entry].view(slab).named(self.entries[entry].name.clone())
    }

    /// The gradients of a stretch, with zeros between those of its parameters.
    pub fn bucket(&self, stretch: &Stretch) -> Tensor {
        for entry in &self.entries[stretch.entries.clone()] {
            let end = entry.offset + entry.shape.numel();
            if end < entry.end() {
                let n = entry.end() - end;
                self.gradients.narrow(0, end, n).assign(&Tensor::zeros([n], self.gradients.device()));
            }
        }
        self.gradients.narrow(0, stretch.first as usize, stretch.n as usize).into_gradient()
    }

    /// The count of its parameters.
    pub fn members(&self) -> usize {
        self.entries.len()
    }

    /// The place of each parameter: its first element and their number.
    pub fn places(&self) -> impl Iterator<Item = (usize, usize)> {
        self.entries.iter().map(|entry| (entry.offset, entry.shape.numel()))
    }

    /// The name, the shape and the first element of each parameter.
    pub fn entries(&self) -> impl Iterator<Item = (&str, Shape, usize)> {
        self.entries.iter().map(|entry| (&*entry.name, entry.shape, entry.offset))
    }

    /// A watch that tells whether the parameters still lie here.
    pub fn owned(&self) -> Owned {
        let of = |entry: &Entry| (entry.name.clone(), entry.parameter.clone(), self.values.buffer());
        Owned { named: self.entries.iter().map(of).collect() }
    }

    /// The same of where they lie now.
    pub fn placed(&self) -> Owned {
        let of = |entry: &Entry| (entry.name.clone(), entry.parameter.clone(), entry.parameter.tensor().buffer());
        Owned { named: self.entries.iter().map(of).collect() }
    }

    /// The place and the name of each parameter.
    pub fn named(&self) -> impl Iterator<Item = (&str, Tensor)> {
        self.entries.iter().map(|entry| (&*entry.name, entry.view(&self.values)))
    }

    /// Copies gradients into the slab, and tells the stretches that have one; those that `is_apart` says stay where they are.
    #[track_caller]
    pub fn gather(&self, grads: &Grads, is_apart: impl Fn(&Tensor) -> bool) -> Vec<Stretch> {
        let mut stretches: Vec<Stretch> = Vec::new();
        for (at, entry) in self.entries.iter().enumerate() {
            let tensor = entry.parameter.tensor();
            if is_apart(&tensor) {
                continue;
            }
            let Some(gradient) = grads.of(&tensor) else { continue };
            self.view(at, &self.gradients).assign(&gradient.cast(DType::F32));
            let (start, len) = (entry.offset as u32, (entry.end() - entry.offset) as u32);
            match stretches.last_mut() {
                Some(Stretch { first, n, entries }) if *first + *n == start => {
                    *n += len;
                    entries.end += 1;
                }
                _ => stretches.push(Stretch { first: start, n: len, entries: at..at + 1 }),
            }
        }
        stretches
    }

    /// The path of a parameter.
    pub fn name(&self, entry: usize) -> &str {
        &self.entries[entry].name
    }

    /// The tensor of each parameter.
    pub fn tensors(&self) -> impl Iterator<Item = Tensor> {
        self.entries.iter().map(|entry| entry.parameter.tensor())
    }
}

/// A slab with what its moments are called.
type Named<'a> = (&'a Slab, Vec<&'static str>);

/// The name of the number of gradients that were seen, and all that stands before a dot in a state: no moment is
/// called so.
pub const COUNT: &str = "step";
pub const RESERVED: [&str; 2] = [COUNT, "rule"];

/// Moments by the names of the parameters, under PyTorch's names for them, and how many gradients each has seen: `step`,
/// and `step.<name>` where it is another number.
pub fn state<'a>(slabs: impl Iterator<Item = Named<'a>>, counts: &[u64]) -> Result<StateDict> {
    let count = |steps: u64| StateTensor { shape: vec![], values: Values::I64(vec![steps as i64]) };
    let most = counts.iter().copied().max().unwrap_or(0);
    let mut counts = counts.iter();
    let mut others = vec![("step".into(), count(most))];
    let mut all = Vec::new();
    for (slab, moments) in slabs {
        for (moment, tensor) in moments.iter().zip(&slab.moments) {
            all.extend(slab.entries.iter().map(|entry| (format!("{moment}.{}", entry.name), entry.view(tensor))));
        }
        let counted = slab.entries.iter().zip(&mut counts).filter(|(_, steps)| **steps != most);
        others.extend(counted.map(|(entry, &steps)| (format!("step.{}", entry.name), count(steps))));
    }
    let mut out = StateTensor::all(all)?;
    out.extend(others);
    Ok(out)
}

/// The values of a saved state for these slabs, checked as a whole.
pub struct Found<'a> {
    moments: Vec<(Tensor, &'a StateTensor)>,
    /// The number of gradients that each parameter has seen.
    pub counts: Vec<u64>,
}

impl Found<'_> {
    pub fn write(&self) {
        for (view, value) in &self.moments {
            value.write_to(view);
        }
    }
}

/// A saved number of each group; none in a state from before they were saved.
pub fn rates(saved: &StateDict, name: &str, groups: usize, fits: impl Fn(f32) -> bool) -> Result<Option<Vec<f32>>> {
    let Some(StateTensor { values, .. }) = saved.get(name) else { return Ok(None) };
    match values {
        Values::F32(rates) if rates.len() == groups && rates.iter().all(|rate| fits(*rate)) => Ok(Some(rates.clone())),
        other => Err(Error::Weights(format!(
            "the optimizer's state `{name}` is {other:?}, not one number for each of {groups} groups"
        ))),
    }
}

/// Steps given up as they are saved: one number where all parameters have the same.
pub fn told(skipped: &[u64]) -> StateTensor {
    let all: Vec<i64> = skipped.iter().map(|skipped| *skipped as i64).collect();
    match all.iter().all(|skipped| *skipped == all[0]) {
        true => StateTensor { shape: vec![], values: Values::I64(vec![all[0]]) },
        false => StateTensor { shape: vec![all.len()], values: Values::I64(all) },
    }
}

/// The same of so many parameters from a saved state; none given up where it tells nothing.
pub fn each(saved: Option<&StateTensor>, members: usize) -> Vec<u64> {
    let told = match saved.map(|saved| &saved.values) {
        Some(Values::I64(one)) if one.len() == 1 => vec![one[0]; members],
        Some(Values::I64(each)) if each.len() == members => each.clone(),
        _ => vec![0; members],
    };
    told.into_iter().map(|skipped| skipped.max(0) as u64).collect()
}

/// Finds what `rule` keeps in a saved state.
pub fn find<'s, 'a>(rule: &str, slabs: impl Iterator<Item = Named<'a>>, state: &'s StateDict) -> Result<Found<'s>> {
    let count = |name: &str| match state.get(name).map(|t| &t.values) {
        None => Ok(None),
        Some(Values::I64(steps)) if steps.len() == 1 && steps[0] >= 0 => Ok(Some(steps[0] as u64)),
        Some(_) => Err(Error::Weights(format!("the optimizer's state `{name}` is no number of steps"))),
    };
    let steps = count("step")?.ok_or_else(|| Error::Weights(format!("{STATE} has no `step`")))?;
    let mut found = Found { moments: Vec::new(), counts: Vec::new() };
    for (slab, moments) in slabs {
        let is_foreign = |name: &&String| {
            let Some((moment, of)) = name.split_once('.') else { return false };
            let is_known = RESERVED.contains(&moment) || moments.contains(&moment);
            !is_known && slab.entries.iter().any(|entry| *entry.name == *of)
        };
        if let Some(name) = state.keys().find(is_foreign) {
            return Err(Error::Weights(format!(
                "the optimizer's state has `{name}`, which {rule} does not keep with these options: it is another optimizer's"
            )));
        }
        for entry in &slab.entries {
            found.counts.push(count(&format!("{COUNT}.{}", entry.name))?.unwrap_or(steps));
        }
        for (moment, tensor) in moments.iter().zip(&slab.moments) {
            for entry in &slab.entries {
                let name = format!("{moment}.{}", entry.name);
                found.moments.push((entry.view(tensor), fitting(state, STATE, &name, entry.shape)?));
            }
        }
    }
    Ok(found)
}
