//! What the host does beside a device while a profile is taken.

use crate::backend::HostSpan;
use crate::backend::edge::Instant;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// When the profile began, and the spans so far.
type Noted = (Instant, Vec<HostSpan>);

/// What is noted; nothing where no profile is taken. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Beside(Arc<Mutex<Option<Noted>>>);

impl Beside {
    fn locked(&self) -> MutexGuard<'_, Option<Noted>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn start(&self) {
        *self.locked() = Some((Instant::now(), Vec::new()));
    }

    pub(super) fn end(&self) -> Vec<HostSpan> {
        self.locked().take().map_or_else(Vec::new, |(_, spans)| spans)
    }

    /// Notes work that began then and is done now, if a profile is taken all the while.
    pub(crate) fn note(&self, name: &'static str, what: &Arc<str>, bytes: u64, began: Instant) {
        if let Some((origin, spans)) = &mut *self.locked()
            && began >= *origin
        {
            let [start_ns, ns] = [began - *origin, began.elapsed()].map(|time| time.as_nanos() as u64);
            spans.push(HostSpan { name, what: what.clone(), bytes, start_ns, ns });
        }
    }
}
