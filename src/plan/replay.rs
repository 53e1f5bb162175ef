//! Steps that are captured once and replayed: the code that queued their kernels does not run again.

use super::trace::Trace;
use super::{Named, Plan};
use crate::backend::{List, Purpose};
use crate::device::{Capture, Device, Guard, Handle, Hook, Recording};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::kernel::{Access, BufferId, Class, Dispatch};
use crate::shape::Layout;
use crate::tensor::{Run, Tensor};
use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A step whose kernels run again without the code that queued them.
///
/// It keeps alive what the step saw: tensors from before it, such as weights, and its results. Each run overwrites the
/// results of the run before, which cannot be read from then on; a copy ([`Tensor::copy`]) can.
pub struct Captured {
    device: Device,
    plan: Plan,
    list: List,
    inputs: Vec<Input>,
    outputs: Vec<Output>,
    last: Mutex<Last>,
    /// What was asked for, where it is to be compared.
    trace: Option<Trace>,
    guards: Vec<Guard>,
    hooks: Vec<Hook>,
    /// Buffers from outside that the step writes.
    written: HashSet<BufferId>,
    /// The tensors of those.
    changes: Vec<Arc<dyn Handle>>,
    /// The tensors that are only read.
    kept: Vec<Arc<dyn Handle>>,
    memory: Vec<BufferId>,
    planned_bytes: u64,
}

/// What an input has to be like.
struct Input {
    layout: Layout,
    dtype: DType,
    /// Whether the step may overwrite the padding behind it.
    padded: bool,
}

/// A result as the step gave it.
struct Output {
    tensor: Tensor,
    origin: Origin,
}

#[derive(Clone, Copy)]
enum Origin {
    /// An input, or a view of it.
    Input(usize),
    /// The step made it, and each run overwrites it.
    Step,
    /// It is from before the step.
    Before,
}

/// The last run and its results.
struct Last {
    run: Run,
    results: Vec<Tensor>,
}

impl Device {
    /// Runs `work` on `inputs` and keeps the kernels that it asks for, improved by the passes over plans, to be run again
    /// on other inputs of the same shapes by [`Captured::run`]. They run for the first time when `work` is done.
    ///
    /// What changes from run to run has to be an input, or to lie in a tensor that code outside of the step writes; what
    /// an optimizer or dropout changes does so by itself.
    ///
    /// # Errors
    /// [`Error::Capture`] if `work` reads a value or writes elements from the host, if it sets an optimizer's rate or an
    /// optimizer steps twice, if a tensor from before the step ends in it, if it shares tensors with another thread that
    /// are made meanwhile, or if this thread is capturing on the device already; and whatever `work` answers. None of the
    /// step's kernels has run then, and no optimizer has counted a step. What other threads do on tensors of their own
    /// goes on and is no part of the step.
    pub fn capture(&self, inputs: &[&Tensor], work: impl FnOnce(&[Tensor]) -> Result<Vec<Tensor>>) -> Result<Captured> {
        let step = self.recorded_step(inputs, work)?;
        self.captured(step, false)
    }

    fn recorded_step(&self, inputs: &[&Tensor], work: impl FnOnce(&[Tensor]) -> Result<Vec<Tensor>>) -> Result<Step> {
        inputs.iter().try_for_each(|input| input.current("capture"))?;
        let inputs: Vec<Tensor> = inputs.iter().map(|input| (*input).clone()).collect();
        // Without its history, a result does not keep the whole step's memory alive.
        let detached = || work(&inputs).map(|results| results.iter().map(Tensor::without_history).collect::<Vec<_>>());
        let (outputs, recording) = self.recorded(Recording::capture(), detached)?;
        let Recording { events, capture, .. } = recording;
        let mut capture = capture.expect("the recording is a capture");
        let outputs = outputs?;
        capture.result()?;
        Ok(Step {
            sources: inputs.iter().map(Tensor::buffer).collect(),
            inputs,
            outputs,
            named: Named::of(events),
            capture,
        })
    }

    /// A recorded step, which runs here for the first time.
    fn captured(&self, step: Step, traced: bool) -> Result<Captured> {
        let trace = traced.then(|| step.trace());
        let Step { inputs: own, sources, outputs, named, mut capture } = step;
        let origin = |y: &Tensor| match sources.iter().position(|id| *id == y.buffer()) {
            Some(at) => Origin::Input(at),
            None if named.alive.contains_key(&y.buffer()) => Origin::Step,
            None => Origin::Before,
        };
        let outputs: Vec<Output> =
            outputs.into_iter().map(|tensor| Output { origin: origin(&tensor), tensor }).collect();
        let plan = Plan::from(named);
        if let Some(lost) = plan.dispatches.iter().find(|d| d.bindings.iter().any(|b| plan.lost.contains(&b.buffer))) {
            return Err(Error::Capture(format!(
                "capture: {} reads or writes a tensor from before the step that was dropped in it: \
                 keep it alive, or pass it as an input and return what replaces it",
                lost.title()
            )));
        }
        let plan = plan.improved(|dispatch| self.suits(dispatch));
        let written = plan.written();
        let (mut changes, mut kept) = (Vec::new(), std::mem::take(&mut capture.kept));
        for id in plan.dispatches.iter().flat_map(|d| &d.bindings).map(|b| b.buffer) {
            // Inputs come anew with each run; inner buffers are gone; of several uses the first finds the handle.
            let handle = capture.handles.remove(&id).filter(|_| !sources.contains(&id));
            if let Some(handle) = handle.and_then(|handle| handle.upgrade()) {
                if written.contains(&id) { changes.push(handle) } else { kept.push(handle) }
            }
        }
        let slots = plan.slots();
        let memory: Vec<BufferId> = slots.sizes.iter().map(|bytes| self.alloc(*bytes, Purpose::Result)).collect();
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let dispatches = plan.clone().placed(&slots, &memory).dispatches;
        let list = List { id: NEXT.fetch_add(1, Ordering::Relaxed), dispatches, inputs: sources };
        let mut captured = Captured {
            device: self.clone(),
            planned_bytes: slots.sizes.iter().sum(),
            plan,
            list,
            inputs: own.iter().map(Input::like).collect(),
            last: Mutex::new(Last { run: Run::first(), results: Vec::new() }),
            outputs,
            trace,
            guards: std::mem::take(&mut capture.guards),
            hooks: std::mem::take(&mut capture.hooks),
            written,
            changes,
            kept,
            memory,
        };
        captured.planned_bytes += self.start(&captured.list)?;
        captured.give(Run::first(), &own.iter().collect::<Vec<_>>());
        capture.undo.clear();
        Ok(captured)
    }

    /// Whether a rewrite's kernel has a shader that is made for this device.
    fn suits(&self, dispatch: &Dispatch) -> bool {
        let info = self.info();
        let made_for = |v: &crate::kernel::Variant| (v.fits)(info, dispatch) && (v.suits)(info, dispatch);
        matches!(info.class, Class::Host | Class::Null) || dispatch.kernel.variants.iter().any(made_for)
    }
}

/// What a thread asked for while it was recorded.
struct Step {
    inputs: Vec<Tensor>,
    /// Their buffers.
    sources: Vec<BufferId>,
    outputs: Vec<Tensor>,
    named: Named,
    /// Unless its list of them is emptied, its end takes back what the host counted.
    capture: Capture,
}

impl Step {
    fn trace(&self) -> Trace {
        Trace::of(&self.named, &self.sources, &self.outputs, &self.capture.constants)
    }

    /// A kernel whose result outlives the step without being one of the step's.
    fn leaves(self) -> Option<String> {
        let Step { inputs, outputs, named, mut capture, .. } = self;
        let handles = std::mem::take(&mut capture.handles);
        drop((inputs, outputs, capture));
        let is_left =
            |(id, _): &(&BufferId, &BufferId)| handles.get(id).is_some_and(|handle| handle.strong_count() > 0);
        let left: HashSet<BufferId> = named.alive.iter().filter(is_left).map(|(_, name)| *name).collect();
        let writer = named.kernels.iter().find(|(kernel, _)| {
            let mut bound = kernel.bindings.iter().zip(kernel.kernel.access);
            bound.any(|(b, access)| *access != Access::Read && left.contains(&b.buffer))
        });
        writer.map(|(kernel, _)| kernel.title())
    }
}

impl Input {
    fn like(tensor: &Tensor) -> Input {
        Input { layout: *tensor.layout(), dtype: tensor.dtype(), padded: tensor.is_padded() }
    }
}

impl Captured {
    /// Runs the step on `inputs`, and answers with its results. They lie in the same memory each time: those of the runs
    /// before are overwritten. A result that is an input or a view of one is that of this run.
    ///
    /// # Errors
    /// [`Error::Capture`] if the inputs do not have the captured layouts, if one of them is a result of the step
    /// itself or one that was overwritten, or while this thread captures another step.
    ///
    /// # Panics
    /// If an optimizer that steps within lost a parameter to one that was made later.
    #[track_caller]
    pub fn run(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        if self.device.is_capturing() {
            return Err(Error::Capture("run: a captured step cannot run inside another that is being captured".into()));
        }
        if !self.fits(inputs) {
            let shapes = |all: &mut dyn Iterator<Item = String>| all.collect::<Vec<_>>().join(", ");
            return Err(Error::Capture(format!(
                "run: inputs of {} do not fit the captured step, which takes {}",
                shapes(&mut inputs.iter().map(|x| format!("{} {}", x.dtype(), x.shape()))),
                shapes(&mut self.inputs.iter().map(|own| format!("{} {}", own.dtype, own.layout.shape)))
            )));
        }
        inputs.iter().try_for_each(|input| input.current("run"))?;
        let buffers: Vec<BufferId> = inputs.iter().map(|input| input.buffer()).collect();
        let is_own = |(own, new): (&BufferId, &BufferId)| self.written.contains(new) && own != new;
        if self.list.inputs.iter().zip(&buffers).any(is_own) {
            return Err(Error::Capture(
                "run: an input is a tensor that the step itself writes: pass a copy of it (Tensor::copy)".into(),
            ));
        }
        self.guard();
        for hook in &self.hooks {
            hook();
        }
        self.device.replay(&self.list, &buffers)?;
        for handle in &self.changes {
            handle.changed();
        }
        for (input, own) in inputs.iter().zip(&self.list.inputs) {
            if self.written.contains(own) {
                input.changed();
            }
        }
        let run = self.last().run.next();
        Ok(self.give(run, inputs))
    }

    #[track_caller]
    fn guard(&self) {
        if let Some(wrong) = self.guards.iter().find_map(|guard| guard()) {
            panic!("{wrong}");
        }
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The results of a run on these inputs, which are the last ones now.
    fn give(&self, run: Run, inputs: &[&Tensor]) -> Vec<Tensor> {
        let result = |Output { tensor, origin }: &Output| match *origin {
            Origin::Input(at) => tensor.placed_in(inputs[at]),
            Origin::Step => tensor.result_of(&run),
            Origin::Before => tensor.clone(),
        };
        let results: Vec<Tensor> = self.outputs.iter().map(result).collect();
        *self.last() = Last { results: results.clone(), run };
        results
    }

    /// Whether `work` still asks for what was captured.
    #[track_caller]
    fn compare(&self, inputs: &[&Tensor], work: impl FnOnce(&[Tensor]) -> Result<Vec<Tensor>>) -> Result<()> {
        let Some(trace) = &self.trace else { return Ok(()) };
        self.guard();
        // The recording ends here, and takes back what the host has counted.
        let step = self.device.recorded_step(inputs, work)?;
        if let Some(what) = trace.difference(&step.trace()) {
            let text = format!("run: the step is not what it was when it was captured: {what}");
            return Err(Error::Capture(text));
        }
        step.leaves().map_or(Ok(()), |kernel| {
            Err(Error::Capture(format!(
                "run: the step leaves what {kernel} gives in a variable outside of it, which no replay sets anew: return the \
                 tensor from the step"
            )))
        })
    }

    /// Whether [`Captured::run`] takes these inputs: as many as were captured, each of the same shape, strides and type
    /// and on the same device.
    pub fn fits(&self, inputs: &[&Tensor]) -> bool {
        let is_alike = |((new, own), id): ((&&Tensor, &Input), &BufferId)| {
            // What is written may be written with the padding behind it.
            let may_be_written = new.is_padded() || !own.padded || !self.written.contains(id);
            let alike = *new.layout() == own.layout && new.dtype() == own.dtype && may_be_written;
            alike && *new.device() == self.device
        };
        // One buffer behind two inputs stays one.
        let shares = |a: usize, b: usize| {
            (inputs[a].buffer() == inputs[b].buffer()) == (self.list.inputs[a] == self.list.inputs[b])
        };
        inputs.len() == self.inputs.len()
            && inputs.iter().zip(&self.inputs).zip(&self.list.inputs).all(is_alike)
            && (0..inputs.len()).all(|a| (0..a).all(|b| shares(a, b)))
    }

    /// The results of the last run.
    pub fn outputs(&self) -> Vec<Tensor> {
        self.last().results.clone()
    }

    /// What runs, after all passes over it.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The bytes of the step's own memory: intermediate results, which share buffers where they are not needed at once,
    /// and the kernels' scratch.
    pub fn planned_bytes(&self) -> u64 {
        self.planned_bytes
    }
}

impl Drop for Captured {
    fn drop(&mut self) {
        self.device.forget(self.list.id);
        for buffer in &self.memory {
            self.device.free(*buffer);
        }
    }
}

impl fmt::Debug for Captured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kernels, tensors) = (self.plan.dispatches.len(), self.kept.len() + self.changes.len());
        write!(f, "Captured({kernels} kernels, {} bytes, {tensors} tensors from outside)", self.planned_bytes)
    }
}

/// A step that is captured when it first runs, and replayed from then on: its kernels run again, its code does not. So
///
/// * numbers of the host (`x * weight_of(epoch)`) stay what they were: what changes goes in as a tensor, as an input;
/// * branches stay those of the first run: a step that has two ways is two `Replay`s;
/// * rates are set before or after [`run`](Replay::run), by a scheduler too: inside it that is an error;
/// * results are returned, not left in variables, and last until the next run: read them, or keep a
///   [`copy`](Tensor::copy).
///
/// In debug builds the second run asks the code once more, runs none of it, and answers with an error that names the kernel
/// and the number if anything is another; [`Replay::checked`] does so at every run.
///
/// ```
/// use wgrad::nn::{Ctx, Init, Layer, Linear};
/// use wgrad::optim::{Optimizer, Sgd, SgdOptions};
/// use wgrad::plan::Replay;
/// # fn main() -> wgrad::Result<()> {
/// let device = wgrad::Device::cpu();
/// let line = Linear::new(1, 1, &mut Init::new(0, &device));
/// let mut optimizer = Sgd::new(&line, SgdOptions { lr: 0.1, ..SgdOptions::default() })?;
/// let mut step = Replay::new();
/// for i in 0..200 {
///     let x = wgrad::Tensor::from_slice(&[-1.0, i as f32 % 3.0], [2, 1], &device);
///     let y = &x * 2.0 + 1.0;
///     step.run(&[&x, &y], |inputs| {
///         let error = line.forward(&inputs[0], &Ctx::train()) - &inputs[1];
///         let loss = error.square().mean();
///         optimizer.step(&loss.backward());
///         Ok(vec![loss])
///     })?;
/// }
/// assert!((line.weight.tensor().item()? - 2.0).abs() < 1e-3);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Replay {
    captured: Option<Captured>,
    checks: Checks,
}

/// Which runs compare the step with what was captured.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Checks {
    None,
    /// The next one.
    One,
    All,
}

impl Default for Replay {
    fn default() -> Replay {
        Replay::new()
    }
}

impl Replay {
    /// Nothing is captured yet. In debug builds the second run is checked.
    pub fn new() -> Replay {
        Replay { captured: None, checks: if cfg!(debug_assertions) { Checks::One } else { Checks::None } }
    }

    /// A replay whose every run records `work` once more, without running it, and refuses to go on if its kernels, their
    /// numbers or their tensors are not those that were captured. What `work` changes on the host it changes at each run
    /// then, but for steps of optimizers and draws of random numbers, which are counted once.
    pub fn checked() -> Replay {
        Replay { captured: None, checks: Checks::All }
    }

    /// Runs one step: the first run captures `work`, later ones replay it. Inputs of other shapes than the first run's,
    /// such as a last, smaller batch, go through `work` itself.
    ///
    /// The results are without history; the next run overwrites them.
    ///
    /// # Errors
    /// As [`Device::capture`] and [`Captured::run`]; and [`Error::Capture`] where a run that is checked finds that `work`
    /// asks for something else than what was captured. Then nothing has run.
    ///
    /// # Panics
    /// If there are no inputs.
    #[track_caller]
    pub fn run(
        &mut self,
        inputs: &[&Tensor],
        work: impl FnOnce(&[Tensor]) -> Result<Vec<Tensor>>,
    ) -> Result<Vec<Tensor>> {
        assert!(!inputs.is_empty(), "run: a replayed step takes at least one input");
        let captured = match &mut self.captured {
            Some(captured) if captured.fits(inputs) => {
                if self.checks != Checks::None {
                    captured.compare(inputs, work)?;
                    if self.checks == Checks::One {
                        (self.checks, captured.trace) = (Checks::None, None);
                    }
                }
                return captured.run(inputs);
            }
            Some(_) => {
                let own: Vec<Tensor> = inputs.iter().map(|input| (*input).clone()).collect();
                return Ok(work(&own)?.iter().map(Tensor::without_history).collect());
            }
            None => {
                let device = inputs[0].device();
                device.captured(device.recorded_step(inputs, work)?, self.checks != Checks::None)?
            }
        };
        Ok(self.captured.insert(captured).outputs())
    }

    /// The captured step, after the first run.
    pub fn captured(&self) -> Option<&Captured> {
        self.captured.as_ref()
    }
}
