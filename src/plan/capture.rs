//! Steps that are captured once and replayed: the code that queued their kernels does not run again.

use super::memory::StepMemory;
use super::trace::Trace;
use super::values::{Inputs, Outputs, given};
use super::{Named, Plan};
use crate::backend::Purpose;
use crate::device::{Capture, Device, Guard, Handle, Hook, Part, Recording, Watched};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::kernel::{Access, BufferId, Class, Cost, Dispatch};
use crate::shape::Layout;
use crate::tensor::{Run, Tensor};
use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A step whose kernels run again without the code that queued them.
///
/// It keeps alive what the step saw: tensors from before it, such as weights, and its results. Each run overwrites the
/// results of the run before, which cannot be read from then on; a copy ([`Tensor::copy`]) can.
pub struct Captured<O = Vec<Tensor>> {
    pub(super) core: Core,
    gives: PhantomData<fn() -> O>,
}

/// A captured step, whatever the type of its results.
pub(super) struct Core {
    device: Device,
    plan: Plan,
    parts: Vec<Part>,
    /// The buffers of the inputs that it was captured on.
    sources: Vec<BufferId>,
    inputs: Vec<Input>,
    outputs: Vec<Output>,
    last: Mutex<Last>,
    /// The step as it was recorded, where it is to be compared.
    pub(super) trace: Option<Trace>,
    guards: Vec<Guard>,
    /// Parameters and buffers that it reads.
    watched: Vec<Watched>,
    hooks: Vec<Hook>,
    /// Buffers from outside that the step writes.
    written: HashSet<BufferId>,
    /// The tensors of those.
    changes: Vec<Arc<dyn Handle>>,
    /// The tensors that are only read.
    kept: Vec<Arc<dyn Handle>>,
    rooms: Vec<Arc<Room>>,
    planned_bytes: u64,
}

/// Memory of a step's inner buffers, which steps that never run at once share.
struct Room {
    device: Device,
    id: BufferId,
    bytes: u64,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.device.free(self.id);
    }
}

/// The likeness of an input: layout, type, padding.
#[derive(Debug, PartialEq)]
pub(super) struct Input {
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
    /// Runs `work` and keeps the list of kernels that it ran on this device from this thread.
    ///
    /// # Panics
    /// If this thread is recording on the device already.
    #[track_caller]
    pub fn record<R>(&self, work: impl FnOnce() -> R) -> (R, Plan) {
        let (result, recording) =
            self.recorded(Recording::new(), work).expect("record: this thread is not recording already");
        (result, Plan::of(recording.events))
    }

    /// Runs `work` on `inputs` and keeps the kernels that it asks for, improved by the passes over plans, to be run again
    /// on other inputs of the same shapes by [`Captured::run`]. They run for the first time when `work` is done.
    ///
    /// What changes from run to run has to be an input, or to lie in a tensor that code outside of the step writes; what
    /// an optimizer or dropout changes does so by itself.
    ///
    /// # Errors
    /// [`Error::Capture`] if `work` reads a value or writes elements from the host, if it sets an optimizer's rate or an
    /// optimizer steps twice, if a tensor from before the step ends in it, if it shares tensors with another thread that
    /// are made meanwhile, if it works on a second device too, or if this thread is capturing on the device already; and whatever
    /// `work` answers. None of the step's kernels has run then, and no optimizer has counted a step, but for what it did on a
    /// second device. What other threads do on tensors of their own
    /// goes on and is no part of the step.
    #[doc(alias("CUDAGraph", "jit"))]
    pub fn capture<I: Inputs, O: Outputs>(&self, inputs: I, work: impl FnOnce(I) -> Result<O>) -> Result<Captured<O>> {
        let step = self.recorded_step(&inputs.refs(), || Ok(work(inputs)?.into_vec()))?;
        Ok(Captured { core: self.captured(step, false, &[])?, gives: PhantomData })
    }

    /// The memory that such a step takes, told before it runs: nothing of it runs, nothing is allocated for it but what the host
    /// writes, and no optimizer or generator counts it. So a size of batch, a [precision](crate::nn::Precision), or [blocks that run again](crate::nn::Checkpoint) can be tried for the
    /// time of a recording.
    ///
    /// ```
    /// use wgrad::nn::{Ctx, Init, Layer, Linear};
    /// use wgrad::optim::{Adam, AdamOptions, Optimizer};
    /// let device = wgrad::Device::cpu();
    /// let model = Linear::new(64, 64, &mut Init::new(0, &device));
    /// let mut adam = Adam::new(&model, AdamOptions::default())?;
    /// let memory = device.estimate(&wgrad::Tensor::zeros([256, 64], &device), |x| {
    ///     let loss = model.forward(x, &Ctx::train()).gelu().square().mean();
    ///     adam.step(&loss.backward());
    ///     Ok(loss)
    /// })?;
    /// assert_eq!(memory.inputs, 256 * 64 * 4);
    /// // Weights and a bias with their gradients and two moments, and little more.
    /// assert!(memory.kept >= 4 * 65 * 64 * 4 && memory.kept < 5 * 65 * 64 * 4);
    /// println!("{memory}");
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`capture`](Device::capture).
    #[doc(alias("max_memory_allocated", "summary"))]
    pub fn estimate<I: Inputs, O: Outputs>(&self, inputs: I, work: impl FnOnce(I) -> Result<O>) -> Result<StepMemory> {
        Ok(self.estimated(inputs, work)?.0)
    }

    /// The same with what its kernels cost.
    pub(crate) fn estimated<I: Inputs, O: Outputs>(
        &self,
        inputs: I,
        work: impl FnOnce(I) -> Result<O>,
    ) -> Result<(StepMemory, Cost)> {
        let recording = Recording::estimate();
        let step = self.recorded_as(recording, &inputs.refs(), || Ok(work(inputs)?.into_vec()))?;
        let bytes = |x: &Tensor| (x.numel() * x.dtype().bytes()) as u64;
        let inputs = step.inputs.iter().map(bytes).sum();
        // What is dropped here takes back what the host has counted.
        let Step { sources, named, .. } = step;
        let plan = Plan::from(named).improved(|dispatch| self.suits(dispatch));
        let memory = StepMemory { inputs, kept: plan.kept_bytes(&sources), planned: plan.planned_bytes() };
        Ok((memory, plan.cost()))
    }

    pub(super) fn recorded_step(&self, inputs: &[&Tensor], work: impl FnOnce() -> Result<Vec<Tensor>>) -> Result<Step> {
        self.recorded_as(Recording::capture(), inputs, work)
    }

    fn recorded_as(
        &self,
        recording: Recording,
        inputs: &[&Tensor],
        work: impl FnOnce() -> Result<Vec<Tensor>>,
    ) -> Result<Step> {
        inputs.iter().try_for_each(|input| input.current("capture"))?;
        let inputs: Vec<Tensor> = inputs.iter().map(|input| (*input).clone()).collect();
        // Without its history, a result does not keep the whole step's memory alive.
        let detached = || work().map(|results| results.iter().map(Tensor::without_history).collect::<Vec<_>>());
        let (outputs, recording) = self.recorded(recording, detached)?;
        let Recording { events, capture, .. } = recording;
        let mut capture = capture.expect("the recording is a capture");
        let named = Named::of(events);
        if capture.estimates {
            self.break_promises(named.alive.keys());
        }
        let outputs = outputs?;
        capture.result()?;
        Ok(Step { sources: inputs.iter().map(Tensor::buffer).collect(), inputs, outputs, named, capture })
    }

    /// A recorded step, which runs here for the first time. It shares its memory, and the number of its last run, with those
    /// `beside` it.
    pub(super) fn captured(&self, step: Step, traced: bool, beside: &[Captured]) -> Result<Core> {
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
        let bound = plan.dispatches.iter().flat_map(|d| d.bindings.iter().map(|b| b.buffer));
        let read: HashSet<BufferId> = bound.chain(outputs.iter().map(|y| y.tensor.buffer())).collect();
        let watched = std::mem::take(&mut capture.watched).into_values();
        let watched = watched.filter(|values| read.contains(&values.buffer)).collect();
        let slots = plan.slots();
        let mut free: Vec<Arc<Room>> = beside.iter().flat_map(|other| other.core.rooms.iter().cloned()).collect();
        free.retain(|room| room.device == *self);
        let rooms: Vec<Arc<Room>> = slots.sizes.iter().map(|bytes| self.room(*bytes, &mut free)).collect();
        let places: Vec<BufferId> = rooms.iter().map(|room| room.id).collect();
        let parts = plan.clone().placed(&slots, &places).cut(&sources, &capture.seams);
        let run = beside.last().map_or_else(Run::first, |other| other.core.last().run.next());
        let mut captured = Core {
            device: self.clone(),
            planned_bytes: slots.bytes(),
            plan,
            parts,
            sources,
            inputs: own.iter().map(Input::like).collect(),
            last: Mutex::new(Last { run: run.clone(), results: Vec::new() }),
            outputs,
            trace,
            guards: std::mem::take(&mut capture.guards),
            watched,
            hooks: std::mem::take(&mut capture.hooks),
            written,
            changes,
            kept,
            rooms,
        };
        captured.planned_bytes += self.start(&captured.parts, &captured.sources)?;
        captured.give(run, &own.iter().collect::<Vec<_>>());
        capture.undo.clear();
        Ok(captured)
    }

    /// Memory of so many bytes: the smallest of those that are free, or a new one.
    fn room(&self, bytes: u64, free: &mut Vec<Arc<Room>>) -> Arc<Room> {
        let fits = free.iter().enumerate().filter(|(_, room)| room.bytes >= bytes);
        if let Some((at, _)) = fits.min_by_key(|(_, room)| (room.bytes, room.id)) {
            let room = free.remove(at);
            // Of one that several steps have there are several handles.
            free.retain(|other| other.id != room.id);
            return room;
        }
        Arc::new(Room { device: self.clone(), id: self.alloc(bytes, Purpose::Result), bytes })
    }

    /// Whether a rewrite's kernel has a shader that is made for this device.
    fn suits(&self, dispatch: &Dispatch) -> bool {
        let info = self.info();
        let made_for = |v: &crate::kernel::Variant| (v.fits)(info, dispatch) && (v.suits)(info, dispatch);
        matches!(info.class, Class::Host | Class::Null) || dispatch.kernel.variants.iter().any(made_for)
    }
}

/// The requests of a thread while it was recorded.
pub(super) struct Step {
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
    pub(super) fn like(tensor: &Tensor) -> Input {
        Input { layout: *tensor.layout(), dtype: tensor.dtype(), padded: tensor.is_padded() }
    }
}

impl<O: Outputs> Captured<O> {
    /// Runs the step on `inputs`, and answers with its results. They lie in the same memory each time: those of the runs
    /// before are overwritten. A result that is an input or a view of one is that of this run.
    ///
    /// # Errors
    /// [`Error::Capture`] if the inputs do not have the captured layouts, if one of them is a result of the step
    /// itself or one that was overwritten, if parameters or buffers that it reads lie elsewhere since (an optimizer was made, or
    /// the model was cast, moved or quantized), or while this thread captures another step.
    ///
    /// # Panics
    /// If an optimizer that steps within lost a parameter to one that was made later.
    #[track_caller]
    pub fn run(&self, inputs: impl Inputs) -> Result<O> {
        given(self.core.run(&inputs.refs())?)
    }

    /// The results of the last run.
    pub fn outputs(&self) -> O {
        O::from_vec(self.core.outputs()).expect("as many as were captured")
    }
}

impl<O> Captured<O> {
    /// Whether [`Captured::run`] takes these inputs: as many as were captured, each of the same shape, strides and type
    /// and on the same device.
    pub fn fits(&self, inputs: impl Inputs) -> bool {
        self.core.fits(&inputs.refs())
    }

    /// The list that runs, after all passes over it.
    pub fn plan(&self) -> &Plan {
        &self.core.plan
    }

    /// The bytes of the step's own memory: intermediate results, which share buffers where they are not needed at once,
    /// and the kernels' scratch.
    pub fn planned_bytes(&self) -> u64 {
        self.core.planned_bytes
    }
}

impl From<Core> for Captured {
    fn from(core: Core) -> Captured {
        Captured { core, gives: PhantomData }
    }
}

impl Core {
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
        if self.sources.iter().zip(&buffers).any(is_own) {
            return Err(Error::Capture(
                "run: an input is a tensor that the step itself writes: pass a copy of it (Tensor::copy)".into(),
            ));
        }
        self.guard();
        self.stays()?;
        for hook in &self.hooks {
            hook();
        }
        self.device.replay(&self.parts, &buffers)?;
        for handle in &self.changes {
            handle.changed();
        }
        for (input, own) in inputs.iter().zip(&self.sources) {
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

    /// Refuses to read values where they are no more.
    fn stays(&self) -> Result<()> {
        let left = self.watched.iter().filter(|values| values.is_left()).min_by(|a, b| a.name.cmp(&b.name));
        left.map_or(Ok(()), |values| {
            Err(Error::Capture(format!(
                "run: the values of {} lie elsewhere than when the step was captured, which would read the old ones: capture it \
                 anew after an optimizer was made or the model was cast, moved or quantized",
                values.name.as_deref().unwrap_or("a parameter")
            )))
        })
    }

    /// Whether the step reads or moves parameters where they are no more.
    pub fn is_past(&self) -> bool {
        self.watched.iter().any(Watched::is_left) || self.guards.iter().any(|guard| guard().is_some())
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
    pub fn compare(&self, inputs: &[&Tensor], work: impl FnOnce() -> Result<Vec<Tensor>>) -> Result<()> {
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

    /// Whether a run takes these inputs.
    pub fn fits(&self, inputs: &[&Tensor]) -> bool {
        let is_alike = |((new, own), id): ((&&Tensor, &Input), &BufferId)| {
            // What is written may be written with the padding behind it.
            let may_be_written = new.is_padded() || !own.padded || !self.written.contains(id);
            let alike = *new.layout() == own.layout && new.dtype() == own.dtype && may_be_written;
            alike && *new.device() == self.device
        };
        // One buffer behind two inputs stays one.
        let shares =
            |a: usize, b: usize| (inputs[a].buffer() == inputs[b].buffer()) == (self.sources[a] == self.sources[b]);
        inputs.len() == self.inputs.len()
            && inputs.iter().zip(&self.inputs).zip(&self.sources).all(is_alike)
            && (0..inputs.len()).all(|a| (0..a).all(|b| shares(a, b)))
    }

    /// The results of the last run.
    pub fn outputs(&self) -> Vec<Tensor> {
        self.last().results.clone()
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.device.forget(&self.parts);
    }
}

impl<O> fmt::Debug for Captured<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Core { plan, kept, changes, planned_bytes, .. } = &self.core;
        let (kernels, tensors) = (plan.dispatches.len(), kept.len() + changes.len());
        write!(f, "Captured({kernels} kernels, {planned_bytes} bytes, {tensors} tensors from outside)")
    }
}
