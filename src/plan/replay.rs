//! Steps that are captured once and replayed: the code that queued their kernels does not run again.

use super::Plan;
use crate::backend::{List, Purpose};
use crate::device::{Device, Handle, Hook, Recording};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::kernel::{BufferId, Class, Dispatch};
use crate::shape::Layout;
use crate::tensor::Tensor;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A step whose kernels run again without the code that queued them.
///
/// It keeps alive what the step saw: tensors from before it, such as weights, and its results. Each run overwrites the
/// results of the run before.
pub struct Captured {
    device: Device,
    plan: Plan,
    list: List,
    inputs: Vec<(Layout, DType)>,
    outputs: Vec<Tensor>,
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

impl Device {
    /// Runs `work` on `inputs` and keeps the kernels that it asks for, improved by the passes over plans, to be run again
    /// on other inputs of the same shapes by [`Captured::run`]. They run for the first time when `work` is done.
    ///
    /// What changes from run to run has to be an input, or to lie in a tensor that code outside of the step writes; what
    /// an optimizer or dropout changes does so by itself.
    ///
    /// # Errors
    /// [`Error::Capture`] if `work` reads a value or writes elements from the host, if an optimizer steps twice, if
    /// another thread queues kernels
    /// meanwhile, if a tensor from before the step ends in it, or if the device is recording already; and whatever
    /// `work` answers. None of the step's kernels has run then, and no optimizer has counted a step.
    pub fn capture(&self, inputs: &[&Tensor], work: impl FnOnce(&[Tensor]) -> Result<Vec<Tensor>>) -> Result<Captured> {
        let own: Vec<Tensor> = inputs.iter().map(|input| (*input).clone()).collect();
        // Without its history, a result does not keep the whole step's memory alive.
        let detached = || work(&own).map(|results| results.iter().map(Tensor::detach).collect::<Vec<_>>());
        let (outputs, recording) = self.recorded(Recording::capture(), detached)?;
        self.captured(own, outputs?, recording)
    }

    /// The step of a recording, which runs here for the first time.
    fn captured(&self, own: Vec<Tensor>, outputs: Vec<Tensor>, mut recording: Recording) -> Result<Captured> {
        let mut capture = recording.capture.take().expect("the recording is a capture");
        capture.result()?;
        let plan = Plan::of(recording.events);
        if let Some(lost) = plan.dispatches.iter().find(|d| d.bindings.iter().any(|b| plan.lost.contains(&b.buffer))) {
            return Err(Error::Capture(format!(
                "capture: {} reads or writes a tensor from before the step that was dropped in it: \
                 keep it alive, or pass it as an input and return what replaces it",
                lost.title()
            )));
        }
        let plan = plan.improved(|dispatch| self.suits(dispatch));
        let sources: Vec<BufferId> = own.iter().map(Tensor::buffer).collect();
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
            inputs: own.iter().map(|input| (*input.layout(), input.dtype())).collect(),
            outputs,
            hooks: std::mem::take(&mut capture.hooks),
            written,
            changes,
            kept,
            memory,
        };
        captured.planned_bytes += self.start(&captured.list)?;
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

impl Captured {
    /// Runs the step on `inputs`; the results are in the same tensors each time.
    ///
    /// # Errors
    /// [`Error::Capture`] if the inputs do not have the captured layouts, if one of them is a result of the step
    /// itself, or while another step is being captured.
    pub fn run(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        if self.device.is_capturing() {
            return Err(Error::Capture("run: a captured step cannot run inside another that is being captured".into()));
        }
        if !self.fits(inputs) {
            let shapes = |all: &mut dyn Iterator<Item = String>| all.collect::<Vec<_>>().join(", ");
            return Err(Error::Capture(format!(
                "run: inputs of {} do not fit the captured step, which takes {}",
                shapes(&mut inputs.iter().map(|x| format!("{} {}", x.dtype(), x.shape()))),
                shapes(&mut self.inputs.iter().map(|(layout, dtype)| format!("{dtype} {}", layout.shape)))
            )));
        }
        let buffers: Vec<BufferId> = inputs.iter().map(|input| input.buffer()).collect();
        let is_own = |(own, new): (&BufferId, &BufferId)| self.written.contains(new) && own != new;
        if self.list.inputs.iter().zip(&buffers).any(is_own) {
            return Err(Error::Capture(
                "run: an input is a tensor that the step itself writes: pass a copy of it (Tensor::copy)".into(),
            ));
        }
        for hook in &self.hooks {
            hook();
        }
        self.device.replay(&self.list, &buffers);
        for handle in &self.changes {
            handle.changed();
        }
        Ok(self.outputs.clone())
    }

    /// Whether [`Captured::run`] takes these inputs: as many as were captured, each of the same shape, strides and type
    /// and on the same device.
    pub fn fits(&self, inputs: &[&Tensor]) -> bool {
        let is_alike = |(new, (layout, dtype)): (&&Tensor, &(Layout, DType))| {
            new.layout() == layout && new.dtype() == *dtype && *new.device() == self.device
        };
        // One buffer behind two inputs stays one.
        let shares = |a: usize, b: usize| {
            (inputs[a].buffer() == inputs[b].buffer()) == (self.list.inputs[a] == self.list.inputs[b])
        };
        inputs.len() == self.inputs.len()
            && inputs.iter().zip(&self.inputs).all(is_alike)
            && (0..inputs.len()).all(|a| (0..a).all(|b| shares(a, b)))
    }

    /// The results of the last run.
    pub fn outputs(&self) -> &[Tensor] {
        &self.outputs
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

/// A step that is captured when it first runs, and replayed from then on.
///
/// ```
/// use wgrad::nn::{Ctx, Init, Layer, Linear, Randomness};
/// use wgrad::optim::{Optimizer, Sgd, SgdOptions};
/// use wgrad::plan::Replay;
/// # fn main() -> wgrad::Result<()> {
/// let device = wgrad::Device::cpu();
/// let line = Linear::new(1, 1, &mut Init::new(0, &device));
/// let mut optimizer = Sgd::new(&line, SgdOptions { lr: 0.1, ..SgdOptions::default() })?;
/// let (randomness, mut step) = (Randomness::new(0), Replay::new());
/// for i in 0..200 {
///     let x = wgrad::Tensor::from_slice(&[-1.0, i as f32 % 3.0], [2, 1], &device);
///     let y = &x * 2.0 + 1.0;
///     step.run(&[&x, &y], |inputs| {
///         let error = line.forward(&inputs[0], &Ctx::train(&randomness)) - &inputs[1];
///         let loss = error.square().mean();
///         optimizer.step(&loss.backward());
///         Ok(vec![loss])
///     })?;
/// }
/// assert!((line.weight.tensor().item()? - 2.0).abs() < 1e-3);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
pub struct Replay {
    captured: Option<Captured>,
}

impl Replay {
    /// Nothing is captured yet.
    pub fn new() -> Replay {
        Replay::default()
    }

    /// Runs one step: the first run captures `work`, later ones replay it. Inputs of other shapes than the first run's,
    /// such as a last, smaller batch, go through `work` itself.
    ///
    /// The results are without history; the next run overwrites them.
    ///
    /// # Errors
    /// As [`Device::capture`] and [`Captured::run`].
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
        let captured = match &self.captured {
            Some(captured) if captured.fits(inputs) => return captured.run(inputs),
            Some(_) => {
                let own: Vec<Tensor> = inputs.iter().map(|input| (*input).clone()).collect();
                return Ok(work(&own)?.iter().map(Tensor::detach).collect());
            }
            None => inputs[0].device().capture(inputs, work)?,
        };
        Ok(self.captured.insert(captured).outputs.clone())
    }

    /// The captured step, after the first run.
    pub fn captured(&self) -> Option<&Captured> {
        self.captured.as_ref()
    }
}
