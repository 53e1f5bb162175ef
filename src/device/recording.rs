//! What a device notes while work is recorded.

use crate::error::{Error, Result};
use crate::kernel::{BufferId, Dispatch};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::thread::ThreadId;

/// Something that a device was asked for.
#[expect(clippy::large_enum_variant, reason = "a recording is short, and a third of it are kernels")]
pub(crate) enum Event {
    /// A buffer of so many bytes.
    Alloc(BufferId, u64),
    /// An end of a buffer.
    Free(BufferId),
    /// A kernel.
    Run(Dispatch),
}

/// What keeps a buffer alive.
pub(crate) trait Handle: Send + Sync {
    /// Notes that the elements are others now.
    fn changed(&self);
}

/// What the host does before each run of a captured step.
pub(crate) type Hook = Box<dyn Fn() + Send + Sync>;

/// The events so far and, where they are to be replayed, what that takes.
#[derive(Default)]
pub(crate) struct Recording {
    pub events: Vec<Event>,
    pub capture: Option<Capture>,
}

/// A step that is being captured.
pub(crate) struct Capture {
    thread: ThreadId,
    /// Whether the host writes what it will write again before each run.
    aside: bool,
    /// What it has written so.
    rewritten: HashSet<BufferId>,
    pub hooks: Vec<Hook>,
    /// What takes back what the host counted, should the capture fail.
    pub undo: Vec<Hook>,
    pub handles: HashMap<BufferId, Weak<dyn Handle>>,
    /// Constants, which live as long as the plan.
    pub kept: Vec<Arc<dyn Handle>>,
    failure: Option<Error>,
}

impl Recording {
    /// For a step that is to be replayed, on this thread.
    pub fn capture() -> Recording {
        let capture = Capture {
            thread: std::thread::current().id(),
            aside: false,
            rewritten: HashSet::new(),
            hooks: Vec::new(),
            undo: Vec::new(),
            handles: HashMap::new(),
            kept: Vec::new(),
            failure: None,
        };
        Recording { events: Vec::new(), capture: Some(capture) }
    }

    /// Whether what this thread queues is part of a step that is being captured.
    pub fn waits(&self) -> bool {
        self.capture.as_ref().is_some_and(|capture| capture.thread == std::thread::current().id())
    }

    /// Notes an event; while a step is captured, only its own thread has events.
    pub fn note(&mut self, event: Event) {
        if let Some(capture) = &mut self.capture {
            let is_own = capture.thread == std::thread::current().id();
            match &event {
                Event::Run(dispatch) if !is_own => {
                    return capture.fail(format!(
                        "capture: {} was queued by another thread: only what the capturing thread runs can be replayed",
                        dispatch.title()
                    ));
                }
                Event::Alloc(..) if !is_own => return,
                _ => {}
            }
        }
        self.events.push(event);
    }
}

impl Drop for Capture {
    /// A capture that succeeded has emptied the list.
    fn drop(&mut self) {
        self.undo.iter().rev().for_each(|undo| undo());
    }
}

impl Capture {
    fn fail(&mut self, text: String) {
        self.failure.get_or_insert(Error::Capture(text));
    }

    /// The host wrote into a buffer.
    pub fn wrote(&mut self, buffer: BufferId) {
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

    /// What a read answers.
    pub fn refuse_read(&self) -> Error {
        Error::Capture(
            "capture: a value was read inside the step, which a replay cannot do: return the tensor and read it afterwards"
                .into(),
        )
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
