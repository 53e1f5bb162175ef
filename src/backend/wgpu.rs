//! Kernels as WGSL on any adapter that wgpu reaches.

mod clock;
mod context;
mod failure;
mod pipelines;
mod pool;
mod queue;
mod read;
mod ready;
mod squares;
mod tuning;

pub use ::wgpu::ExperimentalFeatures;
pub use context::{
    Adapter, AdapterChoice, Experimental, Features, Found, INSTALL_HINT, ShaderChecks, WgpuOptions, adapters,
};
#[doc(hidden)]
pub use squares::SQUARES;
pub use tuning::{Choices, Tuning};

use super::memory::size_class;
use super::{Backend, Counters, List, Purpose, Readback, Span, Title, edge};
use crate::error::{Error, Result};
use crate::kernel::{Binding, BufferId, Cost, Dispatch, Info, Lowering, Pass, Slot, Variant};
use std::collections::{HashMap, HashSet};
use std::iter::repeat;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// A device of wgpu with its queue of work.
pub struct Wgpu {
    info: Info,
    /// The variant that is taken where it fits.
    forced: RwLock<Option<&'static str>>,
    tuning: Tuning,
    /// The choices of tuning so far.
    choices: Mutex<Choices>,
    device: wgpu::Device,
    queue: wgpu::Queue,
    state: Mutex<State>,
    failure: Arc<failure::Failure>,
}

struct State {
    pool: pool::Pool,
    pipelines: pipelines::Pipelines,
    queue: queue::Queue,
    staging: read::Staging,
    /// Lists that are ready to be replayed, by number.
    ready: HashMap<u64, ready::Ready>,
    counters: Counters,
    /// The word that fills memory before anybody has it.
    fill: Option<u32>,
}

impl State {
    /// Drops bind groups of buffers that are no more, once they are worth a look at all.
    fn tidy(&mut self) {
        if let Some(dropped) = self.pool.dropped() {
            let dropped: HashSet<BufferId> = dropped.into_iter().collect();
            self.queue.forget(&dropped);
            self.ready.values_mut().for_each(|ready| ready.drop_inputs(&dropped));
        }
    }
}

impl Wgpu {
    /// Opens a device of one of the adapters that were found.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] where there is none of those that `options` name, or it gives no device.
    pub async fn open(found: Found, options: &WgpuOptions) -> Result<Wgpu> {
        let (device, queue, info) = context::open(found, options).await?;
        let failure = Arc::new(failure::Failure::default());
        let uncaptured = failure.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            uncaptured.set(match error {
                wgpu::Error::OutOfMemory { .. } => {
                    Error::OutOfMemory { bytes: None, problem: format!("the device has no memory left: {error}") }
                }
                _ => Error::Device(format!("the device reports: {error}")),
            });
        }));
        let lost = failure.clone();
        device.set_device_lost_callback(move |reason, text| {
            if reason != wgpu::DeviceLostReason::Destroyed {
                lost.set(Error::Device(format!(
                    "the device was lost ({text}): make a new one and load the last checkpoint"
                )));
            }
        });
        let state = State {
            pool: pool::Pool::default(),
            pipelines: pipelines::Pipelines::new(options.checks),
            queue: queue::Queue::new(&device),
            staging: read::Staging::default(),
            ready: HashMap::new(),
            counters: Counters::default(),
            fill: None,
        };
        let known = match &options.tuning {
            Tuning::Measured(known) | Tuning::Frozen(known) if known.is_for(&info) => known.clone(),
            _ => Choices::new(&info),
        };
        let (forced, tuning, choices) = (RwLock::new(options.variant), options.tuning.clone(), Mutex::new(known));
        Ok(Wgpu { info, forced, tuning, choices, device, queue, state: Mutex::new(state), failure })
    }

    fn choices_locked(&self) -> MutexGuard<'_, Choices> {
        self.choices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn variant(&self, dispatch: &Dispatch) -> Result<&'static Variant> {
        let variants = dispatch.kernel.variants;
        let fits = |v: &&Variant| (v.fits)(&self.info, dispatch);
        let forced = *self.forced.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(forced) = variants.iter().find(|v| Some(v.name) == forced && fits(v)) {
            return Ok(forced);
        }
        let suited = variants.iter().find(|v| fits(v) && (v.suits)(&self.info, dispatch));
        let table = suited.or_else(|| variants.iter().find(fits)).ok_or_else(|| {
            Error::Limit(format!(
                "{}: no shader of it fits {} with bindings of {:?} elements",
                dispatch.title(),
                self.info.name,
                dispatch.bindings.iter().map(Binding::numel).collect::<Vec<_>>()
            ))
        })?;
        self.tuned(dispatch, table)
    }

    fn grid(&self, groups: u64, title: &str) -> Result<[u32; 2]> {
        let max = u64::from(self.info.max_groups);
        let x = groups.min(max);
        let y = groups.div_ceil(x.max(1));
        if y > max {
            return Err(Error::Limit(format!("{title}: {groups} workgroups are over this adapter's {max} x {max}")));
        }
        Ok([x as u32, y as u32])
    }

    /// Queues the passes of one variant.
    fn run(&self, dispatch: &Dispatch, variant: &'static Variant) -> Result<()> {
        let title = dispatch.title();
        let Lowering { passes, scratch: sizes } = variant.lowered(&self.info, dispatch);
        let state = &mut *self.state();
        let mut scratch: Vec<(BufferId, u64)> = Vec::with_capacity(sizes.len());
        for bytes in sizes {
            match self.memory(state, bytes, Purpose::Result) {
                Ok(id) => scratch.push((id, bytes)),
                Err(error) => {
                    scratch.iter().for_each(|(id, _)| state.pool.free(*id, &mut state.counters));
                    return Err(error);
                }
            }
        }
        let State { pool, pipelines, queue, counters, .. } = state;
        counters.dispatches += 1;
        let mut queued = || -> Result<()> {
            for (at, pass) in passes.iter().enumerate() {
                let pipeline = pipelines.of((&self.device, &self.failure), pass, &title)?;
                let ranges = ranges(pass, dispatch, &scratch, self.info.max_binding_bytes);
                if queue.is_full() {
                    queue.submit(&self.device, &self.queue, counters, |_| ());
                }
                let grid = self.grid(pass.groups, &title)?;
                let params = pass.params.as_ref().unwrap_or(&dispatch.params);
                let title = queue.clock.is_some().then(|| told(dispatch, variant, pass, at));
                let run = queue::Run { pipeline, ranges, params: params.bytes(), grid, title };
                queue.push(&self.device, pool, run, counters);
            }
            Ok(())
        };
        let queued = queued();
        queue.add_flops((dispatch.kernel.cost)(dispatch).flops);
        counters.pipelines = pipelines.len() as u64;
        for (id, _) in scratch {
            pool.free(id, counters);
        }
        state.tidy();
        queued
    }

    /// A buffer; where there is no memory for it, what is free makes place.
    fn memory(&self, state: &mut State, bytes: u64, purpose: Purpose) -> Result<BufferId> {
        let first = state.pool.alloc(self.ask(&state.queue, state.fill), bytes, purpose, &mut state.counters);
        if !matches!(first, Err(Error::OutOfMemory { .. })) || !state.pool.drop_oldest(&mut state.counters) {
            return first;
        }
        while state.pool.drop_oldest(&mut state.counters) {}
        state.queue.submit(&self.device, &self.queue, &mut state.counters, |_| ());
        state.tidy();
        // A lost device reports itself through its callback.
        let _ = queue::wait(&self.device, None);
        state.pool.alloc(self.ask(&state.queue, state.fill), bytes, purpose, &mut state.counters)
    }

    fn ask(&self, queue: &queue::Queue, fill: Option<u32>) -> pool::Ask<'_> {
        pool::Ask { device: &self.device, queue: &self.queue, failure: &self.failure, batch: queue.batch, fill }
    }

    /// Lowers a list once and for all, and tells the bytes of its scratch memory.
    fn make_ready(&self, list: &List) -> Result<u64> {
        // Before the lock: tuning may run kernels.
        let variants = list.dispatches.iter().map(|d| self.variant(d)).collect::<Result<Vec<_>>>()?;
        let lowered =
            |(d, variant): (&Dispatch, &'static Variant)| (d.title(), variant, variant.lowered(&self.info, d));
        let lowered: Vec<_> = list.dispatches.iter().zip(variants).map(lowered).collect();
        let state = &mut *self.state();
        let ask = pool::Ask { batch: 0, ..self.ask(&state.queue, state.fill) };
        let State { pool, pipelines, counters, .. } = state;
        let passes = lowered.iter().flat_map(|(title, _, lowering)| lowering.passes.iter().zip(repeat(title.as_str())));
        pipelines.build((&self.device, &self.failure), &passes.collect::<Vec<_>>())?;
        let (mut steps, mut scratch) = (Vec::new(), ready::Scratch::default());
        let mut made = || -> Result<()> {
            for (dispatch, (title, variant, lowering)) in list.dispatches.iter().zip(&lowered) {
                let scratch = scratch.take(&lowering.scratch, pool, ask, counters)?;
                for (at, pass) in lowering.passes.iter().enumerate() {
                    let pipeline = pipelines.of((&self.device, &self.failure), pass, title)?;
                    let params = pass.params.as_ref().unwrap_or(&dispatch.params).bytes().to_vec();
                    let grid = self.grid(pass.groups, title)?;
                    let ranges = ranges(pass, dispatch, &scratch, self.info.max_binding_bytes);
                    let title = told(dispatch, variant, pass, at);
                    steps.push(ready::Step { pipeline, ranges, params, grid, title });
                }
            }
            Ok(())
        };
        if let Err(error) = made() {
            scratch.free(pool, counters);
            return Err(error);
        }
        counters.pipelines = pipelines.len() as u64;
        let ready = ready::Ready::new((&self.device, &self.queue), pool, steps, &list.inputs, scratch);
        let bytes = ready.scratch_bytes();
        state.ready.insert(list.id, ready);
        Ok(bytes)
    }
}

/// The title of the pass at this place among a variant's.
fn told(dispatch: &Dispatch, variant: &Variant, pass: &Pass, at: usize) -> Arc<Title> {
    let cost = if at == 0 { (dispatch.kernel.cost)(dispatch) } else { Cost::default() };
    let (kernel, label) = (dispatch.kernel.name, dispatch.label.clone());
    Arc::new(Title { kernel, variant: variant.name, entry: pass.entry, label, cost })
}

/// The range that each slot binds. A buffer that is bound once is bound up to the end of the size class: then shapes of
/// about one size share their bind groups.
fn ranges(pass: &Pass, dispatch: &Dispatch, scratch: &[(BufferId, u64)], limit: u64) -> Vec<queue::Range> {
    let range = |slot: &Slot| match *slot {
        Slot::Arg(at) => {
            let b = &dispatch.bindings[at];
            (b.buffer, b.offset, b.bytes)
        }
        Slot::Scratch(at) => (scratch[at].0, 0, scratch[at].1),
    };
    let mut all: Vec<queue::Range> = pass.slots.iter().map(range).collect();
    for at in 0..all.len() {
        let (id, offset, bytes) = all[at];
        if all.iter().filter(|(other, ..)| *other == id).count() == 1 {
            all[at] = (id, offset, size_class(bytes, limit));
        }
    }
    all
}

impl Backend for Wgpu {
    fn info(&self) -> &Info {
        &self.info
    }

    fn of_largest(&self, dispatch: &Dispatch) -> f32 {
        self.variant(dispatch).map_or(0.0, |variant| variant.of_largest)
    }

    fn alloc(&self, bytes: u64, purpose: Purpose) -> Result<BufferId> {
        self.memory(&mut self.state(), bytes, purpose)
    }

    fn fill_fresh(&self, word: u32) {
        self.state().fill = Some(word);
    }

    fn force_variant(&self, name: Option<&'static str>) {
        *self.forced.write().unwrap_or_else(PoisonError::into_inner) = name;
    }

    fn free(&self, buffer: BufferId) {
        let state = &mut *self.state();
        state.pool.free(buffer, &mut state.counters);
        state.tidy();
    }

    fn write(&self, buffer: BufferId, offset: u64, data: &[u8]) {
        let State { pool, queue, counters, .. } = &mut *self.state();
        let Some((target, pending)) = pool.look(buffer, queue.batch) else { return };
        if pending {
            // The copy would overtake the work that is queued but not submitted.
            queue.submit(&self.device, &self.queue, counters, |_| ());
        }
        self.queue.write_buffer(target, offset, data);
    }

    fn read(&self, buffer: BufferId, offset: u64, bytes: u64) -> Readback {
        self.start_read((buffer, offset, bytes)).unwrap_or_else(|error| Readback::ready(Err(error)))
    }

    fn dispatch(&self, dispatch: &Dispatch) -> Result<()> {
        if self.error().is_some() {
            return Ok(());
        }
        match self.variant(dispatch).and_then(|variant| self.run(dispatch, variant)) {
            Err(error @ (Error::Limit(_) | Error::OutOfMemory { .. })) => Err(error),
            Err(error) => {
                self.failure.set(error);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn start(&self, list: &List) -> Result<u64> {
        self.error().map_or(Ok(()), Err)?;
        if matches!(self.tuning, Tuning::Measured(_)) {
            // Variants are measured on what the kernels before them have computed.
            list.dispatches.iter().try_for_each(|dispatch| self.dispatch(dispatch))?;
            return self.make_ready(list);
        }
        let bytes = self.make_ready(list)?;
        self.replay(list, &list.inputs)?;
        Ok(bytes)
    }

    fn replay(&self, list: &List, inputs: &[BufferId]) -> Result<()> {
        if self.error().is_some() {
            return Ok(());
        }
        let State { pool, queue, ready, counters, .. } = &mut *self.state();
        let Some(ready) = ready.get_mut(&list.id) else { return Ok(()) };
        let commands = ready.bind(&self.device, pool, inputs, counters);
        counters.dispatches += list.dispatches.len() as u64;
        let mut first = 0;
        for &(end, flops) in &ready.parts {
            if queue.is_full() {
                queue.submit(&self.device, &self.queue, counters, |_| ());
            }
            ready.is_in(queue.batch, pool, inputs);
            queue.push_ready(commands.clone(), first..end, flops, counters);
            first = end;
        }
        Ok(())
    }

    fn forget(&self, list: u64) {
        let State { pool, ready, counters, .. } = &mut *self.state();
        if let Some(ready) = ready.remove(&list) {
            ready.free(pool, counters);
        }
    }

    fn start_profile(&self) {
        self.submit();
        if edge::CAN_WAIT {
            self.state().queue.clock = Some(clock::Clock::new(&self.device, &self.queue));
        }
    }

    fn end_profile(&self) -> Result<Vec<Span>> {
        self.submit();
        let clock = self.state().queue.clock.take();
        self.error().map_or(Ok(()), Err)?;
        match clock {
            Some(clock) => clock.finish(),
            None if edge::CAN_WAIT => Ok(Vec::new()),
            None => Err(edge::cannot_wait("profile")),
        }
    }

    fn submit(&self) {
        let State { queue, counters, .. } = &mut *self.state();
        if !queue.is_empty() {
            queue.submit(&self.device, &self.queue, counters, |_| ());
        }
    }

    fn counters(&self) -> Counters {
        self.state().counters
    }

    fn choices(&self) -> Choices {
        self.choices_locked().clone()
    }

    fn error(&self) -> Option<Error> {
        self.failure.first()
    }
}
