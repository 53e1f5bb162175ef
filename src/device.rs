//! Devices: chosen at run time, cheap to clone, shared by the tensors that live on them.

mod beside;
mod failed;
mod recording;

pub(crate) use beside::Beside;
pub(crate) use recording::{Capture, Event, Guard, Handle, Hook, Moves, Part, Recording, Seam, Watched};

use crate::backend::{
    self, Adapter, Backend, Checked, Choices, Counters, Cpu, HostSpan, List, Null, Pending, Purpose, Readback, Span,
    Wgpu, WgpuOptions, edge,
};
use crate::error::{Error, Result, sizes};
use crate::kernel::scratch::Scratch;
use crate::kernel::{Access, Binding, BufferId, Class, Dispatch, Info, Slice};
use std::fmt;
use std::ops::Deref;
use std::panic::Location;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock};

/// A place where tensors live and kernels run.
///
/// ```
/// let device = wgrad::Device::cpu();
/// let x = wgrad::Tensor::from_vec(vec![1.0, 2.0], [2], &device);
/// assert_eq!((&x + &x).to_vec::<f32>()?, [2.0, 4.0]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone)]
pub struct Device(Arc<Chosen>);

/// A place, and why it was taken: two choices of one place are one device.
struct Chosen {
    place: Arc<Place>,
    why: String,
}

impl Deref for Chosen {
    type Target = Place;

    fn deref(&self) -> &Place {
        &self.place
    }
}

struct Place {
    backend: Box<dyn Backend>,
    failed: failed::Failed,
    /// Of each thread that records, its recording.
    recordings: Mutex<Vec<Recording>>,
    /// Whether there are any: a look that costs next to nothing.
    records: AtomicBool,
    beside: Beside,
}

impl Device {
    fn new(backend: Box<dyn Backend>, why: String) -> Device {
        let (failed, recordings, records) = (failed::Failed::default(), Mutex::default(), AtomicBool::new(false));
        let beside = Beside::default();
        Device::at(Arc::new(Place { backend, failed, recordings, records, beside }), why)
    }

    fn at(place: Arc<Place>, why: String) -> Device {
        Device(Arc::new(Chosen { place, why }))
    }

    /// A GPU, or the CPU backend where there is none. A software adapter is not taken: it is far slower than the CPU
    /// backend. [`Device::why`] tells what was found.
    ///
    /// In a browser, where nothing can be waited for, this is the CPU backend; see [`Device::open_best`].
    #[doc(alias("cuda", "is_available"))]
    pub fn best() -> Device {
        Device::best_of(&WgpuOptions::default())
    }

    /// [`Device::best`] among the adapters that `options` allow. An adapter that is named is taken whatever it is.
    pub fn best_of(options: &WgpuOptions) -> Device {
        let opened = edge::wait("best", async { Ok(Device::open_best(options).await) });
        opened.unwrap_or_else(|error| Device::instead(error.to_string()))
    }

    /// The adapter that `options` name, a software one too.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] where there is none or it gives no device. In a browser, where nothing can be waited for,
    /// always; see [`Device::open`].
    pub fn wgpu(options: &WgpuOptions) -> Result<Device> {
        edge::wait("wgpu", Device::open(options))
    }

    /// [`Device::wgpu`] for callers that may not block, as in a browser.
    ///
    /// ```
    /// # use wgrad::{Device, Tensor, backend::WgpuOptions};
    /// async fn sum() -> wgrad::Result<f32> {
    ///     let device = Device::open(&WgpuOptions::default()).await?;
    ///     Tensor::ones([2, 3], &device).sum().item_async().await
    /// }
    /// ```
    ///
    /// # Errors
    /// [`Error::NoAdapter`] where there is none or it gives no device.
    pub async fn open(options: &WgpuOptions) -> Result<Device> {
        let found = backend::wgpu::Found::by(options).await?;
        Ok(Device::on(Wgpu::open(found, options).await?, options))
    }

    /// [`Device::best_of`] for callers that may not block, as in a browser.
    pub async fn open_best(options: &WgpuOptions) -> Device {
        let named = options.adapter != backend::wgpu::AdapterChoice::Best;
        let adapters = match backend::wgpu::Found::by(options).await {
            Ok(found) => found,
            Err(error) => return Device::instead(error.to_string()),
        };
        let found = adapters.described(options);
        if !named && !found.iter().any(|a| a.info.class == Class::Gpu) {
            return Device::instead(match found.first() {
                None => "no GPU adapter was found".to_string(),
                Some(a) => format!("the only adapter, {}, is a software one, slower than the CPU backend", a.info.name),
            });
        }
        let opened = Wgpu::open(adapters, options).await.map(|backend| Device::on(backend, options));
        opened.unwrap_or_else(|error| Device::instead(error.to_string()))
    }

    /// The CPU backend, where a GPU was wanted.
    fn instead(why: String) -> Device {
        Device::at(Device::cpu().0.place.clone(), why)
    }

    fn on(backend: Wgpu, options: &WgpuOptions) -> Device {
        let why = match (&options.adapter, backend.info().class) {
            (backend::wgpu::AdapterChoice::Best, Class::Software) => "a GPU was asked for and this is all there is",
            (backend::wgpu::AdapterChoice::Best, _) => "the best adapter there is",
            _ => "the adapter that was asked for",
        };
        Device::new(Box::new(backend), why.into())
    }

    /// The CPU backend: the meaning of every kernel in plain Rust, and quick enough to train on. It is one device, however
    /// often it is asked for.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// assert_eq!(Device::cpu(), Device::cpu());
    /// let sum = &Tensor::ones([2], &Device::cpu()) + &Tensor::ones([2], &Device::cpu());
    /// assert_eq!(sum.to_vec::<f32>()?, [2.0, 2.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn cpu() -> Device {
        static SHARED: OnceLock<Device> = OnceLock::new();
        SHARED.get_or_init(Device::new_cpu).clone()
    }

    /// The CPU backend as a device of its own, with its own memory and [counters](Device::counters): for threads that are
    /// to work beside each other, since the kernels of one device run one after the other. Its tensors and those of
    /// [`Device::cpu`] do not mix.
    pub fn new_cpu() -> Device {
        Device::new(Box::new(Cpu::new()), "asked for".into())
    }

    /// A device that runs nothing and reads as zeros: for counting and planning.
    pub fn null() -> Device {
        Device::new(Box::new(Null::new()), "asked for".into())
    }

    /// A null device that counts and plans as for an adapter that need not be here: a captured step has the kernels that it
    /// would have there, and no memory is taken.
    ///
    /// ```
    /// use wgrad::kernel::{Class, Info};
    /// use wgrad::{Device, Tensor};
    /// let card = Info { class: Class::Gpu, subgroup: Some(32), ..Device::null().info().clone() };
    /// let device = Device::null_as(card);
    /// let x = Tensor::zeros([4096, 4096], &device);
    /// let step = device.capture([&x], |[x]| Ok(x.matmul(&x.t()).relu()))?;
    /// assert_eq!(step.plan().dispatches().len(), 1, "the product has its relu in it");
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn null_as(info: Info) -> Device {
        Device::new(Box::new(Null::with(info)), "asked for".into())
    }

    /// `device` with every kernel compared with its definition; the first difference is the error of the next read.
    /// Slow: for finding a fault, not for training.
    ///
    /// # Panics
    /// If tensors or clones of `device` are alive: they would not be checked.
    #[track_caller]
    pub fn checked(device: Device) -> Device {
        // The shared one is always in use elsewhere, and another CPU backend is as good.
        let device = if device == Device::cpu() { Device::new_cpu() } else { device };
        let chosen = Arc::into_inner(device.0).map(|Chosen { place, why }| (Arc::into_inner(place), why));
        let Some((Some(place), why)) = chosen else { panic!("checked: the device is in use elsewhere") };
        Device::new(Box::new(Checked::new(place.backend)), why)
    }

    /// The adapters that wgpu finds, the best first.
    ///
    /// # Errors
    /// [`Error::Option`] if `options` name no known API.
    pub fn adapters(options: &WgpuOptions) -> Result<Vec<Adapter>> {
        backend::wgpu::adapters(options)
    }

    /// The device's kind, name and limits.
    pub fn info(&self) -> &Info {
        self.0.backend.info()
    }

    /// Why this device was taken, as half a sentence.
    pub fn why(&self) -> &str {
        &self.0.why
    }

    /// Counts of the device's work so far.
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
    #[doc(alias = "synchronize")]
    pub fn wait(&self) -> Result<()> {
        self.done().wait()
    }

    /// Tells when all work is done that was queued so far: [`Device::wait`] for callers that may not block.
    pub fn done(&self) -> Pending<()> {
        let buffer = self.alloc(4, Purpose::Result);
        let done = self.read(buffer, 0, 4);
        self.free(buffer);
        done.map(drop)
    }

    pub(crate) fn start_profile(&self) {
        self.0.backend.start_profile();
        self.0.beside.start();
    }

    pub(crate) fn end_profile(&self) -> Result<(Vec<Span>, Vec<HostSpan>)> {
        let beside = self.0.beside.end();
        Ok((self.0.backend.end_profile()?, beside))
    }

    /// Where what the host does beside this device is noted, while a profile is taken.
    pub(crate) fn beside(&self) -> Beside {
        self.0.beside.clone()
    }

    /// Runs the parts of a step for the first time and makes them ready to be replayed; tells the bytes of scratch memory
    /// that they take.
    pub(crate) fn start(&self, parts: &[Part], inputs: &[BufferId]) -> Result<u64> {
        let mut bytes = 0;
        self.each_part(parts, inputs, |list| {
            bytes += edge::busy(|| self.0.backend.start(list))?;
            Ok(())
        })?;
        Ok(bytes)
    }

    /// Queues the parts of a step, with these buffers in the place of its inputs.
    pub(crate) fn replay(&self, parts: &[Part], inputs: &[BufferId]) -> Result<()> {
        self.each_part(parts, inputs, |list| self.0.backend.replay(list, inputs))
    }

    /// Runs kernels by `run`, and between them the host's work.
    fn each_part(&self, parts: &[Part], inputs: &[BufferId], mut run: impl FnMut(&List) -> Result<()>) -> Result<()> {
        self.aside_of_captures()?;
        self.0.failed.guard_parts(parts, inputs, || {
            parts.iter().try_for_each(|Part { list, host }| match host {
                None => run(list),
                Some(work) => list.with_inputs(inputs).try_for_each(|dispatch| self.run_host(&dispatch, work)),
            })
        })
    }

    pub(crate) fn forget(&self, parts: &[Part]) {
        parts.iter().for_each(|part| self.0.backend.forget(part.list.id));
    }

    /// Has the host work here: now, or in its place of the step that is being captured, under the number that `dispatch`
    /// gets.
    pub(crate) fn seam(
        &self,
        dispatch: impl Fn(u32) -> Dispatch,
        work: Seam,
        line: &'static Location<'static>,
    ) -> Result<()> {
        let number = self.capturing(|capture| {
            capture.seams.push(work.clone());
            capture.seams.len() - 1
        });
        let dispatch = dispatch(number.unwrap_or(0) as u32);
        if number.is_none() {
            dispatch.bindings.iter().try_for_each(|b| self.readable(b.buffer, b.offset, b.bytes))?;
            self.run_host(&dispatch, &work)?;
        }
        self.note(|| Event::Run(dispatch.clone(), line));
        Ok(())
    }

    /// Runs the host's work on what a dispatch binds, of which nothing is lost: who calls has asked.
    fn run_host(&self, dispatch: &Dispatch, work: &Seam) -> Result<()> {
        let work = match work {
            Seam::Call(work) => work,
            Seam::Give(give) => {
                dispatch.bindings.iter().for_each(|b| give(self.0.backend.read(b.buffer, b.offset, b.word_bytes())));
                return Ok(());
            }
            Seam::Take(take) => {
                let words = take()?;
                dispatch.bindings.iter().for_each(|b| self.write(b.buffer, b.offset, bytemuck::cast_slice(&words)));
                return Ok(());
            }
        };
        let read = |b: &Binding| self.0.backend.read(b.buffer, b.offset, b.word_bytes()).wait();
        let mut memory: Vec<Vec<u32>> = dispatch.bindings.iter().map(read).collect::<Result<_>>()?;
        let slices = memory.iter_mut().zip(dispatch.kernel.access).map(|(words, access)| match access {
            Access::Read => Slice::Read(words),
            Access::Write | Access::ReadWrite => Slice::Write(words),
        });
        dispatch.call(slices.collect(), &Scratch::default(), |call| work(call))?;
        let bound = dispatch.bindings.iter().zip(dispatch.kernel.access).zip(&memory);
        for ((b, _), words) in bound.filter(|((_, access), _)| **access != Access::Read) {
            self.write(b.buffer, b.offset, bytemuck::cast_slice(words));
        }
        Ok(())
    }

    /// Why a tensor's elements are lost; the tensor alone is, and what is made of it.
    pub(crate) fn lost(&self, binding: &Binding) -> Option<Error> {
        self.0.failed.why(binding)
    }

    /// Has the next read tell why elements were not changed in place.
    pub(crate) fn missed(&self, error: &Error) {
        self.0.failed.missed(error);
    }

    /// Fills memory with this word before anybody has it, scratch memory too. For tests: a kernel that reads what none
    /// wrote, or leaves an element that it is to write, gives another result.
    pub fn fill_fresh(&self, word: u32) {
        self.0.backend.fill_fresh(word);
    }

    /// Takes the variant of this name of every kernel that has one that fits, from now on; `None`: what suits the adapter. For tests:
    /// [`WgpuOptions::variant`] without a device for each. Steps that were captured before keep theirs.
    pub fn force_variant(&self, name: Option<&'static str>) {
        self.0.backend.force_variant(name);
    }

    pub(crate) fn alloc(&self, bytes: u64, purpose: Purpose) -> BufferId {
        let limit = self.info().max_binding_bytes;
        let made = if bytes > limit {
            let [size, most] = sizes([bytes, limit]);
            Err(Error::Limit(format!(
                "a tensor of {size} is over the {most} that {} binds at once: use a smaller batch{}",
                self.info().name,
                if self.info().class == Class::Host { "" } else { ", or the CPU backend" }
            )))
        } else if purpose == Purpose::Result && self.capturing(|capture| capture.estimates) == Some(true) {
            Ok(self.0.failed.promise())
        } else {
            self.0.backend.alloc(bytes, purpose)
        };
        match made {
            Ok(buffer) => {
                self.0.failed.made(buffer);
                self.note(|| Event::Alloc(buffer, bytes));
                buffer
            }
            Err(error) => {
                self.capturing(|capture| capture.refused(&error));
                self.0.failed.refuse(&error)
            }
        }
    }

    /// What lives on of an estimated step holds nothing.
    pub(crate) fn break_promises<'a>(&self, alive: impl Iterator<Item = &'a BufferId>) {
        let text = "a tensor was made while the memory of a step was estimated, and holds nothing";
        self.0.failed.broke(alive, &Error::Capture(text.into()));
    }

    pub(crate) fn free(&self, buffer: BufferId) {
        // First the note: the next owner of the buffer may be another thread.
        self.note(|| Event::Free(buffer));
        if self.0.failed.freed(buffer) {
            self.0.backend.free(buffer);
        }
    }

    pub(crate) fn write(&self, buffer: BufferId, offset: u64, data: &[u8]) {
        // What is done here is done; the step is told.
        let _ = self.aside_of_captures();
        if self.records() {
            for recording in self.recordings().iter_mut() {
                let is_own = recording.is_own();
                recording.capture.iter_mut().for_each(|capture| capture.wrote(buffer, is_own));
            }
        }
        if self.0.failed.writes(buffer, offset..offset + data.len() as u64) {
            self.0.backend.write(buffer, offset, data);
        }
    }

    pub(crate) fn read(&self, buffer: BufferId, offset: u64, bytes: u64) -> Readback {
        match self.readable(buffer, offset, bytes) {
            Ok(()) => self.0.backend.read(buffer, offset, bytes),
            Err(error) => Readback::ready(Err(error)),
        }
    }

    fn readable(&self, buffer: BufferId, offset: u64, bytes: u64) -> Result<()> {
        let refusal = |recording: &Recording| recording.capture.as_ref()?.refuse_read(buffer, recording.is_own());
        let refused = if self.records() { self.recordings().iter().find_map(refusal) } else { None };
        refused.map_or_else(|| self.aside_of_captures(), Err)?;
        self.0.failed.reads(buffer, offset..offset + bytes)
    }

    /// Takes a kernel for one that could not run.
    pub(crate) fn refuse(&self, dispatch: &Dispatch, error: Error) {
        self.capturing(|capture| capture.refused(&error));
        self.0.failed.guard(dispatch, || Err(error));
    }

    /// Queues a kernel for a line of code.
    pub(crate) fn dispatch(&self, dispatch: Dispatch, line: &'static Location<'static>) {
        edge::live();
        // What is done here is done; the step is told.
        let _ = self.aside_of_captures();
        // A step that is being captured runs when it is whole.
        if !self.is_capturing() {
            self.0.failed.guard(&dispatch, || self.0.backend.dispatch(&dispatch));
        }
        self.note(|| Event::Run(dispatch.clone(), line));
    }
}

impl PartialEq for Device {
    fn eq(&self, other: &Device) -> bool {
        Arc::ptr_eq(&self.0.place, &other.0.place)
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
