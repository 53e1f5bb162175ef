//! Devices: chosen at run time, cheap to clone, shared by the tensors that live on them.

use crate::backend::{self, Adapter, Backend, Checked, Counters, Cpu, Null, Purpose, Readback, Wgpu, WgpuOptions};
use crate::error::{Error, Result};
use crate::kernel::{BufferId, Class, Dispatch, Info};
use crate::plan::Plan;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
    recording: Mutex<Option<Vec<Dispatch>>>,
}

impl Device {
    fn new(backend: Box<dyn Backend>, why: String) -> Device {
        Device(Arc::new(Inner { backend, why, failure: Mutex::default(), recording: Mutex::default() }))
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
    pub fn record<R>(&self, work: impl FnOnce() -> R) -> (R, Plan) {
        let before = self.recording().replace(Vec::new());
        assert!(before.is_none(), "record: the device is recording already");
        let result = work();
        let dispatches = self.recording().take().unwrap_or_default();
        (result, Plan::new(dispatches))
    }

    fn recording(&self) -> MutexGuard<'_, Option<Vec<Dispatch>>> {
        self.0.recording.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failure(&self) -> Option<Error> {
        self.0.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn alloc(&self, bytes: u64, purpose: Purpose) -> BufferId {
        let limit = self.info().max_binding_bytes;
        if bytes > limit {
            let text = format!(
                "a tensor of {} MiB is over the {} MiB that {} binds at once: use a smaller batch, or the CPU backend",
                bytes >> 20,
                limit >> 20,
                self.info().name
            );
            self.0.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(Error::Limit(text));
            return self.0.backend.alloc(4, purpose);
        }
        self.0.backend.alloc(bytes, purpose)
    }

    pub(crate) fn free(&self, buffer: BufferId) {
        self.0.backend.free(buffer);
    }

    pub(crate) fn write(&self, buffer: BufferId, offset: u64, data: &[u8]) {
        if self.failure().is_none() {
            self.0.backend.write(buffer, offset, data);
        }
    }

    pub(crate) fn read(&self, buffer: BufferId, offset: u64, bytes: u64) -> Result<Vec<u8>> {
        self.failure().map_or_else(|| self.0.backend.read(buffer, offset, bytes), Err)
    }

    pub(crate) fn read_async(&self, buffer: BufferId, offset: u64, bytes: u64) -> Readback {
        match self.failure() {
            Some(error) => Box::pin(std::future::ready(Err(error))),
            None => self.0.backend.read_async(buffer, offset, bytes),
        }
    }

    pub(crate) fn dispatch(&self, dispatch: Dispatch) {
        if self.failure().is_some() {
            return;
        }
        self.0.backend.dispatch(&dispatch);
        if let Some(list) = self.recording().as_mut() {
            list.push(dispatch);
        }
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
