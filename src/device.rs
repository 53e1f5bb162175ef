//! Devices: chosen at run time, cheap to clone, shared by the tensors that live on them.

mod recording;

pub(crate) use recording::{Event, Handle, Hook, Recording};

use crate::backend::{
    self, Adapter, Backend, Checked, Choices, Counters, Cpu, List, Null, Purpose, Readback, Span, Wgpu, WgpuOptions,
};
use crate::error::{Error, Result};
use crate::kernel::{BufferId, Class, Dispatch, Info};
use crate::plan::Plan;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// A place where tensors live and kernels run.
///
/// ```
/// let device = wgrad::Device::cpu();
/// let x = wgrad::Tensor::from_vec(vec![1.0, 2.0], [2], &device);
/// assert_eq!((&x + &x).to_vec::<f32>()?, [2.0, 4.0]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone)]
pub struct Device(Arc<Inner>);

struct Inner {
    backend: Box<dyn Backend>,
    why: String,
    failure: Mutex<Option<Error>>,
    recording: Mutex<Option<Recording>>,
    /// Whether there is a recording: a look that costs next to nothing.
    records: AtomicBool,
}

impl Device {
    fn new(backend: Box<dyn Backend>, why: String) -> Device {
        let (failure, recording, records) = (Mutex::default(), Mutex::default(), AtomicBool::new(false));
        Device(Arc::new(Inner { backend, why, failure, recording, records }))
    }

    /// A GPU, or the CPU backend where there is none. A software adapter is not taken: it is far slower than the CPU
    /// backend. [`Device::why`] tells what was found.
    pub fn best() -> Device {
        Device::best_of(&WgpuOptions::default())
    }

    /// [`Device::best`] among the adapters that `options` allow. An adapter that is named is taken whatever it is.
    pub fn best_of(options: &WgpuOptions) -> Device {
        let named = options.adapter != backend::wgpu::AdapterChoice::Best;
        let found = match backend::wgpu::adapters(options) {
            Ok(found) => found,
            Err(error) => return Device::new(Box::new(Cpu::new()), error.to_string()),
        };
        if !named && !found.iter().any(|a| a.info.class == Class::Gpu) {
            let why = match found.first() {
                None => "no GPU adapter was found".to_string(),
                Some(a) => format!("the only adapter, {}, is a software one, slower than the CPU backend", a.info.name),
            };
            return Device::new(Box::new(Cpu::new()), why);
        }
        Device::wgpu(options).unwrap_or_else(|error| Device::new(Box::new(Cpu::new()), error.to_string()))
    }

    /// The adapter that `options` name, a software one too.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] where there is none or it gives no device.
    pub fn wgpu(options: &WgpuOptions) -> Result<Device> {
        let backend = Wgpu::new(options)?;
        let why = match (&options.adapter, backend.info().class) {
            (backend::wgpu::AdapterChoice::Best, Class::Software) => "a GPU was asked for and this is all there is",
            (backend::wgpu::AdapterChoice::Best, _) => "the best adapter there is",
            _ => "the adapter that was asked for",
        };
        Ok(Device::new(Box::new(backend), why.into()))
    }

    /// The CPU backend: the meaning of every kernel in plain Rust, and quick enough to train on.
    pub fn cpu() -> Device {
        Device::new(Box::new(Cpu::new()), "asked for".into())
    }

    /// A device that runs nothing and reads as zeros: for counting and planning.
    pub fn null() -> Device {
        Device::new(Box::new(Null::new()), "asked for".into())
    }

    /// `device` with every kernel compared with its definition; the first difference is the error of the next read.
    /// Slow: for finding a fault, not for training.
    ///
    /// # Panics
    /// If tensors or clones of `device` are alive: they would not be checked.
    #[track_caller]
    pub fn checked(device: Device) -> Device {
        let inner = Arc::into_inner(device.0).expect("checked: the device is in use elsewhere");
        Device::new(Box::new(Checked::new(inner.backend)), inner.why)
    }

    /// The adapters that wgpu finds, the best first.
    ///
    /// # Errors
    /// [`Error::Option`] if `options` name no known API.
    pub fn adapters(options: &WgpuOptions) -> Result<Vec<Adapter>> {
        backend::wgpu::adapters(options)
    }

    /// What the device is and what it offers.
    pub fn info(&self) -> &Info {
        self.0.backend.info()
    }

    /// Why this device was taken, as half a sentence.
    pub fn why(&self) -> &str {
        &self.0.why
    }

    /// What the device has done so far.
    pub fn counters(&self) -> Counters {
        self.0.backend.counters()
    }

    /// The variants that measuring has chosen so far (see [`Tuning`](crate::backend::Tuning)).
    pub fn choices(&self) -> Choices {
        self.0.backend.choices()
    }

    /// Starts queued work without waiting for it. Reading does this by itself.
    pub fn submit(&self) {
        self.0.backend.submit();
    }

    /// Waits until all queued work is done.
    ///
    /// # Errors
    /// The first failure since the device was made.
    pub fn wait(&self) -> Result<()> {
        let buffer = self.alloc(4, Purpose::Result);
        let done = self.read(buffer, 0, 4);
        self.free(buffer);
        done.map(drop)
    }

    /// Runs `work` and keeps the list of kernels that it ran on this device.
    ///
    /// # Panics
    /// If the device is recording already.
    #[track_caller]
    pub fn record<R>(&self, work: impl FnOnce() -> R) -> (R, Plan) {
        let (result, recording) =
            self.recorded(Recording::default(), work).expect("record: the device is not recording already");
        (result, Plan::of(recording.events))
    }

    /// Runs `work` and notes what it asks of this device.
    pub(crate) fn recorded<R>(&self, fresh: Recording, work: impl FnOnce() -> R) -> Result<(R, Recording)> {
        /// Ends the recording, also where `work` panics.
        struct End<'a>(&'a Device);
        impl End<'_> {
            fn take(&self) -> Option<Recording> {
                self.0.0.records.store(false, Ordering::Relaxed);
                self.0.recording().take()
            }
        }
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.take();
            }
        }
        {
            let mut recording = self.recording();
            if recording.is_some() {
                return Err(Error::Capture("capture: the device is recording already; captures do not nest".into()));
            }
            *recording = Some(fresh);
        }
        self.0.records.store(true, Ordering::Relaxed);
        let end = End(self);
        let result = work();
        let recording = end.take().expect("only this function ends a recording");
        Ok((result, recording))
    }

    fn recording(&self) -> MutexGuard<'_, Option<Recording>> {
        self.0.recording.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What `each` makes of the recording, where there is one.
    fn noting<R>(&self, each: impl FnOnce(&mut Recording) -> R) -> Option<R> {
        if !self.0.records.load(Ordering::Relaxed) {
            return None;
        }
        self.recording().as_mut().map(each)
    }

    /// Whether a step is being captured to be replayed.
    pub(crate) fn is_capturing(&self) -> bool {
        self.noting(|recording| recording.capture.is_some()).unwrap_or(false)
    }

    /// Runs `hook` now and, where a step is being captured, before each replay of it: for what the host writes anew at
    /// each step, such as the size of an optimizer's step.
    pub(crate) fn each_run(&self, hook: impl Fn() + Send + Sync + 'static) {
        self.aside(&hook);
        self.before_replays(hook);
    }

    /// Runs `hook` before each replay of the step that is being captured.
    pub(crate) fn before_replays(&self, hook: impl Fn() + Send + Sync + 'static) {
        self.noting(|recording| recording.capture.as_mut().map(|capture| capture.hooks.push(Box::new(hook))));
    }

    /// Runs `undo` if the step that is being captured turns out to be none.
    pub(crate) fn if_capture_fails(&self, undo: impl Fn() + Send + Sync + 'static) {
        self.noting(|recording| recording.capture.as_mut().map(|capture| capture.undo.push(Box::new(undo))));
    }

    /// Runs `work`, whose writes a captured step may rely on.
    pub(crate) fn aside<R>(&self, work: impl FnOnce() -> R) -> R {
        let set = |to| self.noting(|recording| recording.capture.as_mut().map(|capture| capture.set_aside(to)));
        set(true);
        let result = work();
        set(false);
        result
    }

    /// Keeps a constant alive for as long as the plan that is being captured.
    pub(crate) fn keep(&self, handle: impl FnOnce() -> Arc<dyn Handle>) {
        self.noting(|recording| recording.capture.as_mut().map(|capture| capture.kept.push(handle())));
    }

    /// Notes what keeps the buffers of the next dispatch alive, where a step is being captured.
    pub(crate) fn hold(&self, handles: impl Iterator<Item = (BufferId, Weak<dyn Handle>)>) {
        self.noting(|recording| recording.capture.as_mut().map(|capture| capture.handles.extend(handles)));
    }

    pub(crate) fn start_profile(&self) {
        self.0.backend.start_profile();
    }

    pub(crate) fn end_profile(&self) -> Result<Vec<Span>> {
        self.0.backend.end_profile()
    }

    /// Runs a list for the first time and makes it ready to be replayed; tells the bytes of scratch memory that it takes.
    pub(crate) fn start(&self, list: &List) -> Result<u64> {
        self.failure().map_or_else(|| self.0.backend.start(list), Err)
    }

    /// Queues a list of kernels, with these buffers in the place of its inputs.
    pub(crate) fn replay(&self, list: &List, inputs: &[BufferId]) {
        if self.failure().is_none() {
            self.0.backend.replay(list, inputs);
        }
    }

    pub(crate) fn forget(&self, list: u64) {
        self.0.backend.forget(list);
    }

    fn failure(&self) -> Option<Error> {
        self.0.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn alloc(&self, bytes: u64, purpose: Purpose) -> BufferId {
        let limit = self.info().max_binding_bytes;
        if bytes > limit {
            let text = format!(
                "a tensor of {} MiB is over the {} MiB that {} binds at once: use a smaller batch{}",
                bytes >> 20,
                limit >> 20,
                self.info().name,
                if self.info().class == Class::Host { "" } else { ", or the CPU backend" }
            );
            self.0.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(Error::Limit(text));
            return self.0.backend.alloc(4, purpose);
        }
        let buffer = self.0.backend.alloc(bytes, purpose);
        self.noting(|recording| recording.note(Event::Alloc(buffer, bytes)));
        buffer
    }

    pub(crate) fn free(&self, buffer: BufferId) {
        // First the note: the next owner of the buffer may be another thread.
        self.noting(|recording| recording.note(Event::Free(buffer)));
        self.0.backend.free(buffer);
    }

    pub(crate) fn write(&self, buffer: BufferId, offset: u64, data: &[u8]) {
        self.noting(|recording| recording.capture.as_mut().map(|capture| capture.wrote(buffer)));
        if self.failure().is_none() {
            self.0.backend.write(buffer, offset, data);
        }
    }

    pub(crate) fn read(&self, buffer: BufferId, offset: u64, bytes: u64) -> Result<Vec<u8>> {
        self.readable()?;
        self.0.backend.read(buffer, offset, bytes)
    }

    fn readable(&self) -> Result<()> {
        let refused = self.noting(|recording| recording.capture.as_ref().map(|capture| capture.refuse_read()));
        self.failure().or(refused.flatten()).map_or(Ok(()), Err)
    }

    pub(crate) fn read_async(&self, buffer: BufferId, offset: u64, bytes: u64) -> Readback {
        match self.readable() {
            Err(error) => Box::pin(std::future::ready(Err(error))),
            Ok(()) => self.0.backend.read_async(buffer, offset, bytes),
        }
    }

    pub(crate) fn dispatch(&self, dispatch: Dispatch) {
        if self.failure().is_some() {
            return;
        }
        // A step that is being captured runs when it is whole.
        if !self.noting(|recording| recording.waits()).unwrap_or(false) {
            self.0.backend.dispatch(&dispatch);
        }
        self.noting(|recording| recording.note(Event::Run(dispatch)));
    }
}

impl PartialEq for Device {
    fn eq(&self, other: &Device) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({})", self.info())
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.info())
    }
}
