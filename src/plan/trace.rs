//! Recordings of a step, held against the one that was captured.

use super::{Named, access_of};
use crate::dtype::DType;
use crate::kernel::{Access, BufferId, Dispatch};
use crate::shape::Layout;
use crate::tensor::Tensor;
use std::collections::{HashMap, HashSet};
use std::panic::Location;

/// A step as it was recorded, before any pass over it.
pub(super) struct Trace {
    kernels: Vec<(Dispatch, &'static Location<'static>)>,
    /// The buffers of the step's inputs.
    inputs: Vec<BufferId>,
    /// Of each result, the buffer and how it lies there.
    outputs: Vec<(BufferId, Layout, DType)>,
    /// The buffers that the step made.
    made: HashSet<BufferId>,
    /// Those of them that are alive, under the names that they have outside.
    outside: HashMap<BufferId, BufferId>,
    /// The content of the constants among them.
    constants: HashMap<BufferId, Vec<u8>>,
}

/// Which tensor a buffer is.
enum Place {
    Input(usize),
    Made,
    Before,
}

impl Trace {
    pub fn of(named: &Named, inputs: &[BufferId], outputs: &[Tensor], constants: &HashMap<BufferId, Vec<u8>>) -> Trace {
        let name = |id: BufferId| named.alive.get(&id).copied().unwrap_or(id);
        Trace {
            kernels: named.kernels.clone(),
            inputs: inputs.to_vec(),
            outputs: outputs.iter().map(|y| (name(y.buffer()), *y.layout(), y.dtype())).collect(),
            made: named.made.keys().copied().collect(),
            outside: named.alive.iter().map(|(id, name)| (*name, *id)).collect(),
            constants: constants.iter().map(|(id, bytes)| (name(*id), bytes.clone())).collect(),
        }
    }

    fn place(&self, id: BufferId) -> Place {
        match self.inputs.iter().position(|input| *input == id) {
            Some(at) => Place::Input(at),
            None if self.made.contains(&id) => Place::Made,
            None => Place::Before,
        }
    }

    /// The first difference of `now`, in a sentence for whoever wrote the step.
    pub fn difference(&self, now: &Trace) -> Option<String> {
        let mut pairs = Pairs { was: self, now, of: HashMap::new(), taken: HashMap::new() };
        for (at, ((was, line), (is, _))) in self.kernels.iter().zip(&now.kernels).enumerate() {
            if let Some(what) = pairs.kernels(was, is) {
                let file = line.file();
                // A line of this crate tells a user nothing.
                let line = match file.starts_with(file!().trim_end_matches("plan/trace.rs")) {
                    true => String::new(),
                    false => format!(", {file}:{}", line.line()),
                };
                let count = self.kernels.len();
                return Some(format!("{} (kernel {} of {count}{line}): {what}", was.title(), at + 1));
            }
        }
        let counts = [self, now].map(|trace| trace.kernels.len());
        if counts[0] != counts[1] {
            return Some(format!("it asked for {} kernels then and for {} now: {BRANCH}", counts[0], counts[1]));
        }
        let counts = [self, now].map(|trace| trace.outputs.len());
        if counts[0] != counts[1] {
            return Some(format!("it gave {} results then and gives {} now: {BRANCH}", counts[0], counts[1]));
        }
        let mut results = self.outputs.iter().zip(&now.outputs).enumerate();
        results.find_map(|(at, (was, is))| {
            let what = match was.1 == is.1 && was.2 == is.2 {
                true => pairs.buffers(was.0, is.0, was.2)?,
                false => format!("it was {} {} and is {} {}: {NUMBER}", was.2, was.1.shape, is.2, is.1.shape),
            };
            Some(format!("result {at}: {what}"))
        })
    }
}

const BRANCH: &str = "a branch went another way, but a replay runs the same kernels each time";
const NUMBER: &str = "a number of the host changed, but a replay has the captured one: pass it in a tensor";
const REPLACED: &str = "a replay has the captured one: write the new elements into it (Tensor::assign), or pass the tensor as \
                        an input";

/// Two recordings, and which buffer of one is which of the other.
struct Pairs<'a> {
    was: &'a Trace,
    now: &'a Trace,
    of: HashMap<BufferId, BufferId>,
    taken: HashMap<BufferId, BufferId>,
}

impl Pairs<'_> {
    fn kernels(&mut self, was: &Dispatch, is: &Dispatch) -> Option<String> {
        if !std::ptr::eq(was.kernel, is.kernel) {
            return Some(format!("it is {} now: {BRANCH}", is.title()));
        }
        if let Some((before, after)) = changed_number(was.params.bytes(), is.params.bytes(), None) {
            return Some(format!("a number was {before} and is {after}: {NUMBER}"));
        }
        for (at, (a, b)) in was.bindings.iter().zip(&is.bindings).enumerate() {
            if (a.offset, a.bytes, a.dtype) != (b.offset, b.bytes, b.dtype) {
                let shown =
                    |b: &crate::kernel::Binding| format!("{} elements from {} on", b.numel(), b.dtype.count(b.offset));
                return Some(format!("its binding {at} was {} and is {}: {NUMBER}", shown(a), shown(b)));
            }
            if let Some(what) = self.buffers(a.buffer, b.buffer, a.dtype) {
                let role = if access_of(was, at) == Access::Read { "reads" } else { "writes" };
                return Some(format!("what it {role} in binding {at}: {what}"));
            }
        }
        None
    }

    fn buffers(&mut self, was: BufferId, is: BufferId, dtype: DType) -> Option<String> {
        if self.of.get(&was) == Some(&is) && self.taken.get(&is) == Some(&was) {
            return None;
        }
        let is_known = self.of.contains_key(&was) || self.taken.contains_key(&is);
        let what = match (self.was.place(was), self.now.place(is)) {
            (Place::Input(a), Place::Input(b)) if a == b => None,
            (Place::Before, Place::Before) if was == is => None,
            (Place::Made, Place::Made) if !is_known => self.constants(was, is, dtype),
            // A constant that was made once and kept.
            (Place::Made, Place::Before) if self.is_kept(was, is) => None,
            (Place::Made, Place::Before) => Some(format!(
                "a tensor was made in the step and is now one that was kept from an earlier run; {REPLACED}"
            )),
            (Place::Before, Place::Before) => {
                Some(format!("a tensor from outside of the step was replaced by another; {REPLACED}"))
            }
            _ => Some(format!("it is another tensor now; {REPLACED}")),
        };
        if what.is_none() {
            self.of.insert(was, is);
            self.taken.insert(is, was);
        }
        what
    }

    fn is_kept(&self, was: BufferId, is: BufferId) -> bool {
        self.was.constants.contains_key(&was) && self.was.outside.get(&was) == Some(&is)
    }

    /// Whether two tensors that the step made hold other numbers of the host.
    fn constants(&self, was: BufferId, is: BufferId, dtype: DType) -> Option<String> {
        match (self.was.constants.get(&was), self.now.constants.get(&is)) {
            (Some(was), Some(is)) => {
                let (before, after) = changed_number(was, is, Some(dtype))?;
                Some(format!("an element of a tensor that the step makes was {before} and is {after}: {NUMBER}"))
            }
            (None, None) => None,
            _ => Some(format!("it is a constant in one of the two: {BRANCH}")),
        }
    }
}

/// The first number that differs, as it was and as it is.
fn changed_number(was: &[u8], is: &[u8], dtype: Option<DType>) -> Option<(String, String)> {
    let each = dtype.map_or(4, DType::bytes);
    let (a, b) = was.chunks_exact(each).zip(is.chunks_exact(each)).find(|(a, b)| a != b)?;
    // Parameters do not say what they are: whole numbers are far below the bits of usual fractions.
    let is_fraction = |word: &[u8]| {
        let value = DType::F32.float(word);
        value == 0.0 || (1e-20..1e20).contains(&value.abs())
    };
    let guessed = if is_fraction(a) && is_fraction(b) { DType::F32 } else { DType::I32 };
    let dtype = dtype.unwrap_or(guessed);
    Some((dtype.text(a), dtype.text(b)))
}
