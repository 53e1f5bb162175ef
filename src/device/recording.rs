//! Notes of a device while a thread's work is recorded.

use super::Device;
use crate::backend::{List, Readback};
use crate::error::{Error, Result};
use crate::kernel::{BufferId, Call, Dispatch};
use std::collections::{HashMap, HashSet};
use std::panic::Location;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::ThreadId;

/// The threads that capture, and the devices that they do it on.
static CAPTURES: Mutex<Vec<(ThreadId, Device)>> = Mutex::new(Vec::new());
/// Their number: a look that costs next to nothing.
static CAPTURING: AtomicUsize = AtomicUsize::new(0);

fn captures<R>(each: impl FnOnce(&mut Vec<(ThreadId, Device)>) -> R) -> R {
    let mut all = CAPTURES.lock().unwrap_or_else(PoisonError::into_inner);
    let result = each(&mut all);
    CAPTURING.store(all.len(), Ordering::Relaxed);
    result
}

/// Something that a device was asked for.
#[expect(clippy::large_enum_variant, reason = "a recording is short, and a third of it are kernels")]
pub(crate) enum Event {
    /// A buffer of so many bytes.
    Alloc(BufferId, u64),
    /// An end of a buffer.
    Free(BufferId),
    /// A kernel, and the line that asked for it.
    Run(Dispatch, &'static Location<'static>),
}

/// A handle that keeps a buffer alive.
pub(crate) trait Handle: Send + Sync {
    /// Notes that the elements are others now.
    fn changed(&self);
}

/// A condition of each run of a captured step: it answers with what is wrong.
pub(crate) type Guard = Box<dyn Fn() -> Option<String> + Send + Sync>;

/// How often values that others read by a name were put elsewhere.
#[derive(Clone, Default)]
pub(crate) struct Moves(Arc<AtomicU64>);

impl Moves {
    /// They are elsewhere now.
    pub fn moved(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How often so far.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Values that a captured step reads where they were.
pub(crate) struct Watched {
    pub buffer: BufferId,
    pub name: Option<Arc<str>>,
    moves: Moves,
    /// How often they had moved by then.
    then: u64,
}

impl Watched {
    /// Whether they are elsewhere now.
    pub fn is_left(&self) -> bool {
        self.moves.count() != self.then
    }
}

/// What sees the tensors that it reads and writes as a kernel's definition does.
type Sees = dyn Fn(&mut Call) -> Result<()> + Send + Sync;

/// Work of the host among the kernels.
#[derive(Clone)]
pub(crate) enum Seam {
    /// It sees all tensors at once.
    Call(Arc<Sees>),
    /// It gets the bytes of one, which are on their way: nothing waits for them here.
    Give(Arc<dyn Fn(Readback) + Send + Sync>),
    /// It has the bytes of one.
    Take(Arc<dyn Fn() -> Result<Vec<u32>> + Send + Sync>),
}

/// A part of a captured step: kernels in a row, or one dispatch that is work of the host.
pub(crate) struct Part {
    pub list: List,
    pub host: Option<Seam>,
}

/// Work of the host before each run of a captured step.
pub(crate) type Hook = Box<dyn Fn() + Send + Sync>;

fn is_here(thread: ThreadId) -> bool {
    thread == std::thread::current().id()
}

/// A number that is larger than all that were given before.
pub(crate) fn moment() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The events of a thread so far and, where they are to be replayed, what that takes.
pub(crate) struct Recording {
    thread: ThreadId,
    /// The moment when it began.
    pub began: u64,
    pub events: Vec<Event>,
    pub capture: Option<Capture>,
}

/// A step that is being captured.
#[derive(Default)]
pub(crate) struct Capture {
    /// Buffers that the step has made, and that other threads have made since it began, as far as they live.
    own: HashSet<BufferId>,
    foreign: HashSet<BufferId>,
    /// Whether the host writes what it will write again before each run.
    aside: bool,
    /// The buffers that it has written so.
    rewritten: HashSet<BufferId>,
    pub guards: Vec<Guard>,
    /// What may move between two runs, by the address of its count.
    pub watched: HashMap<usize, Watched>,
    pub hooks: Vec<Hook>,
    /// Work of the host among the kernels, by number.
    pub seams: Vec<Seam>,
    /// Work that takes back the host's counts, should the capture fail.
    pub undo: Vec<Hook>,
    pub handles: HashMap<BufferId, Weak<dyn Handle>>,
    /// Constants, which live as long as the plan, and what they hold.
    pub kept: Vec<Arc<dyn Handle>>,
    pub constants: HashMap<BufferId, Vec<u8>>,
    /// Whether the step is only asked what it would take: what kernels write gets no memory then.
    pub estimates: bool,
    failure: Option<Error>,
}

impl Recording {
    /// Of this thread's work.
    pub fn new() -> Recording {
        Recording { thread: std::thread::current().id(), began: moment(), events: Vec::new(), capture: None }
    }

    /// Of a step of this thread, which is to be replayed.
    pub fn capture() -> Recording {
        Recording { capture: Some(Capture::default()), ..Recording::new() }
    }

    /// Of a step that is only asked what it would take.
    pub fn estimate() -> Recording {
        let mut capture = Capture::default();
        capture.estimates = true;
        Recording { capture: Some(capture), ..Recording::new() }
    }

    /// Whether it is this thread's.
    pub fn is_own(&self) -> bool {
        is_here(self.thread)
    }

    /// Notes an event of any thread.
    pub fn note(&mut self, event: &dyn Fn() -> Event) {
        let (is_own, event) = (self.is_own(), event());
        match (&event, &mut self.capture) {
            (Event::Free(id), capture) => {
                if let Some(capture) = capture {
                    capture.own.remove(id);
                    capture.foreign.remove(id);
                }
            }
            (Event::Alloc(id, _), Some(capture)) => {
                let made = if is_own { &mut capture.own } else { &mut capture.foreign };
                made.insert(*id);
            }
            (Event::Run(dispatch, _), Some(capture)) => capture.ran(dispatch, is_own),
            (_, None) => {}
        }
        // An end of what the step uses counts whoever brings it about.
        if is_own || matches!(event, Event::Free(_)) {
            self.events.push(event);
        }
    }
}

impl Drop for Capture {
    /// A capture that succeeded has emptied the list.
    fn drop(&mut self) {
        self.undo.iter().rev().for_each(|undo| undo());
    }
}

impl Capture {
    pub fn fail(&mut self, text: String) {
        self.failure.get_or_insert(Error::Capture(text));
    }

    /// Memory for the step was refused.
    pub fn refused(&mut self, error: &Error) {
        self.failure.get_or_insert_with(|| error.clone());
    }

    /// A kernel was queued, by the step or by another thread.
    fn ran(&mut self, dispatch: &Dispatch, is_own: bool) {
        let binds = |all: &HashSet<BufferId>| dispatch.bindings.iter().any(|b| all.contains(&b.buffer));
        if is_own && binds(&self.foreign) {
            self.fail(format!(
                "capture: {} reads or writes a tensor that another thread made while the step was captured, and each replay \
                 would see the same one: only what the capturing thread runs can be replayed",
                dispatch.title()
            ));
        }
        if !is_own && binds(&self.own) {
            self.fail(format!(
                "capture: another thread ran {} on a tensor of the step, which has no values before the step is captured: \
                 let the capturing thread run it, or hand over results after the step",
                dispatch.title()
            ));
        }
    }

    /// The host wrote into a buffer, in the step or on another thread.
    pub fn wrote(&mut self, buffer: BufferId, is_own: bool) {
        if !is_own {
            // What other threads upload is theirs, unless the step would write over it when it runs.
            if self.own.contains(&buffer) {
                self.fail(
                    "capture: another thread wrote elements into a tensor of the step, before the step ran".into(),
                );
            }
            return;
        }
        if self.aside && !self.rewritten.insert(buffer) {
            self.fail(
                "capture: the numbers of an optimizer's step were written twice inside the step, and all its kernels would \
                 see the last: let each captured step call each optimizer once"
                    .into(),
            );
        }
        if !self.aside {
            self.fail(
                "capture: elements were written from the host inside the step, and each replay would see the same ones: \
                 make the tensor before the step, or pass it as an input"
                    .into(),
            );
        }
    }

    /// The refusal of a read, in the step or on another thread.
    pub fn refuse_read(&self, buffer: BufferId, is_own: bool) -> Option<Error> {
        let text = match is_own {
            true => {
                "capture: a value was read inside the step, which a replay cannot do: return the tensor and read it \
                 afterwards"
            }
            false if self.own.contains(&buffer) => {
                "read: the tensor belongs to a step that another thread is capturing, and has no values before that has \
                 ended: wait for it"
            }
            false => return None,
        };
        Some(Error::Capture(text.into()))
    }

    /// The first thing that cannot be replayed.
    pub fn result(&mut self) -> Result<()> {
        self.failure.take().map_or(Ok(()), Err)
    }

    /// Marks the host's writes as such that are repeated or constant.
    pub fn set_aside(&mut self, aside: bool) {
        self.aside = aside;
    }
}

impl Device {
    /// Runs `work` and notes what it asks of this device. Other threads go on meanwhile: their work is no part of it.
    pub(crate) fn recorded<R>(&self, fresh: Recording, work: impl FnOnce() -> R) -> Result<(R, Recording)> {
        /// Ends the recording, also where `work` panics.
        struct End<'a>(&'a Device);
        impl End<'_> {
            fn take(&self) -> Option<Recording> {
                let mut all = self.0.recordings();
                let own = all.iter().position(Recording::is_own).map(|at| all.swap_remove(at));
                self.0.0.records.store(!all.is_empty(), Ordering::Relaxed);
                if own.as_ref().is_some_and(|own| own.capture.is_some()) {
                    let is_this = |(thread, device): &(ThreadId, Device)| is_here(*thread) && device == self.0;
                    drop(captures(|all| all.iter().position(is_this).map(|at| all.swap_remove(at))));
                }
                own
            }
        }
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.take();
            }
        }
        if fresh.capture.is_some() {
            self.aside_of_captures()?;
        }
        {
            let mut all = self.recordings();
            if all.iter().any(Recording::is_own) {
                let text = "capture: this thread is recording on the device already; captures do not nest";
                return Err(Error::Capture(text.into()));
            }
            if fresh.capture.is_some() {
                captures(|all| all.push((fresh.thread, self.clone())));
            }
            all.push(fresh);
            self.0.records.store(true, Ordering::Relaxed);
        }
        let end = End(self);
        let result = work();
        let recording = end.take().expect("only this function ends a recording");
        Ok((result, recording))
    }

    pub(super) fn recordings(&self) -> MutexGuard<'_, Vec<Recording>> {
        self.0.recordings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn records(&self) -> bool {
        self.0.records.load(Ordering::Relaxed)
    }

    /// The answer of `each` about the step that this thread is capturing, where there is one.
    pub(super) fn capturing<R>(&self, each: impl FnOnce(&mut Capture) -> R) -> Option<R> {
        let (mut each, mut answer) = (Some(each), None);
        self.in_capture(&mut |capture| answer = each.take().map(|each| each(capture)));
        answer
    }

    fn in_capture(&self, each: &mut dyn FnMut(&mut Capture)) {
        if self.records() {
            let mut all = self.recordings();
            if let Some(capture) =
                all.iter_mut().find(|recording| recording.is_own()).and_then(|own| own.capture.as_mut())
            {
                each(capture);
            }
        }
    }

    /// Has the step fail that this thread is capturing on another device, where there is one: no replay would work here. On a null
    /// device none has to.
    pub(super) fn aside_of_captures(&self) -> Result<()> {
        if CAPTURING.load(Ordering::Relaxed) == 0 || self.0.backend.is_null() {
            return Ok(());
        }
        let is_other = |(thread, device): &&(ThreadId, Device)| is_here(*thread) && device != self;
        let Some((_, other)) = captures(|all| all.iter().find(is_other).cloned()) else { return Ok(()) };
        let text = format!(
            "capture: a step on {other} works on a second device too, {self}, and no replay would do that again: do it before \
             or after the step"
        );
        other.capturing(|capture| capture.fail(text.clone()));
        Err(Error::Capture(text))
    }

    /// Tells all recordings of an event.
    pub(super) fn note(&self, event: impl Fn() -> Event) {
        if self.records() {
            self.recordings().iter_mut().for_each(|recording| recording.note(&event));
        }
    }

    /// Whether this thread is capturing a step to be replayed.
    pub(crate) fn is_capturing(&self) -> bool {
        self.capturing(|_| ()).is_some()
    }

    /// Refuses what a replay cannot do, where this thread is capturing a step: the capture fails with this sentence, even if
    /// nobody looks at the error.
    pub(crate) fn refuse_in_capture(&self, text: impl FnOnce() -> String) -> Result<()> {
        let refusal = |capture: &mut Capture| {
            let text = text();
            capture.fail(text.clone());
            Err(Error::Capture(text))
        };
        self.capturing(refusal).unwrap_or(Ok(()))
    }

    /// When the step began that this thread is capturing, which no other step shares.
    pub(crate) fn capturing_since(&self) -> Option<u64> {
        if !self.records() {
            return None;
        }
        self.recordings().iter().find(|all| all.is_own() && all.capture.is_some()).map(|own| own.began)
    }

    /// Runs `hook` now and, where a step is being captured, before each replay of it: for what the host writes anew at
    /// each step, such as the size of an optimizer's step.
    pub(crate) fn each_run(&self, hook: impl Fn() + Send + Sync + 'static) {
        self.aside(&hook);
        self.before_replays(hook);
    }

    /// Asks `guard` before each replay of the step that is being captured; what it finds wrong is a panic there.
    pub(crate) fn guard_replays(&self, guard: impl Fn() -> Option<String> + Send + Sync + 'static) {
        self.capturing(|capture| capture.guards.push(Box::new(guard)));
    }

    /// Notes that the step that is being captured may read values which had moved `then` times when they lay in `buffer`.
    pub(crate) fn watch(&self, buffer: BufferId, name: Option<&str>, moves: &Moves, then: u64) {
        let fresh = || Watched { buffer, name: name.map(Arc::from), moves: moves.clone(), then };
        let key = Arc::as_ptr(&moves.0) as usize;
        self.capturing(|capture| _ = capture.watched.entry(key).or_insert_with(fresh));
    }

    /// Runs `hook` before each replay of the step that is being captured.
    pub(crate) fn before_replays(&self, hook: impl Fn() + Send + Sync + 'static) {
        self.capturing(|capture| capture.hooks.push(Box::new(hook)));
    }

    /// Runs `undo` if the step that is being captured turns out to be none.
    pub(crate) fn if_capture_fails(&self, undo: impl Fn() + Send + Sync + 'static) {
        self.capturing(|capture| capture.undo.push(Box::new(undo)));
    }

    /// Runs `work`, whose writes a captured step may rely on.
    pub(crate) fn aside<R>(&self, work: impl FnOnce() -> R) -> R {
        let set = |to| self.capturing(|capture| capture.set_aside(to));
        set(true);
        let result = work();
        set(false);
        result
    }

    /// Keeps a constant of these bytes alive for as long as the plan that is being captured.
    pub(crate) fn keep(&self, buffer: BufferId, bytes: &[u8], handle: impl FnOnce() -> Arc<dyn Handle>) {
        self.capturing(|capture| {
            capture.kept.push(handle());
            capture.constants.insert(buffer, bytes.to_vec());
        });
    }

    /// Notes what keeps the buffers of the next dispatch alive, where a step is being captured.
    pub(crate) fn hold(&self, handles: impl Iterator<Item = (BufferId, Weak<dyn Handle>)>) {
        self.capturing(|capture| capture.handles.extend(handles));
    }
}
