//! Failures: told by callbacks, or caught by error scopes, whose answers natively are known at once, and in a
//! browser come later.

use crate::backend::edge;
use crate::error::{Error, Result};
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The first thing that went wrong, which later ones follow from, and what is not known yet.
#[derive(Default)]
pub struct Failure {
    first: Mutex<Option<Error>>,
    /// The scopes whose answers are still to come.
    open: Mutex<Vec<Shared<BoxFuture<'static, Option<Error>>>>>,
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Failure {
    pub fn set(&self, error: Error) {
        locked(&self.first).get_or_insert(error);
    }

    pub fn first(&self) -> Option<Error> {
        locked(&self.first).clone()
    }

    /// The error that a scope has caught. Where that is not known yet, it is taken for none, and what it turns out to be is the
    /// device's failure at the next read: by then, other work was built on it.
    pub fn caught(&self, scope: impl Future<Output = Option<Error>> + Send + 'static) -> Result<()> {
        let mut scope = scope.boxed();
        match edge::at_once(scope.as_mut()) {
            Some(caught) => caught.map_or(Ok(()), Err),
            None => {
                locked(&self.open).push(scope.shared());
                Ok(())
            }
        }
    }

    /// The first failure, once all scopes have answered that were opened so far.
    pub async fn told(&self) -> Result<()> {
        let open = locked(&self.open).clone();
        for scope in &open {
            if let Some(cause) = scope.clone().await {
                // What was reported meanwhile follows from it.
                *locked(&self.first) = Some(cause);
                break;
            }
        }
        locked(&self.open).retain(|scope| scope.peek().is_none());
        self.first().map_or(Ok(()), Err)
    }
}

/// Both error scopes, for memory and for all else.
pub struct Scopes(wgpu::ErrorScopeGuard, wgpu::ErrorScopeGuard);

impl Scopes {
    /// Catches what this thread's calls do wrong from now on.
    pub fn open(device: &wgpu::Device) -> Scopes {
        let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
        Scopes(validation, device.push_error_scope(wgpu::ErrorFilter::Internal))
    }

    pub fn close(self) -> impl Future<Output = Option<wgpu::Error>> + Send + 'static {
        let (internal, validation) = (self.1.pop(), self.0.pop());
        async move { internal.await.or(validation.await) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::channel::oneshot;

    #[test]
    fn what_a_scope_tells_later_is_the_failure_of_the_next_read() {
        let failure = Failure::default();
        let refused = || Error::OutOfMemory { bytes: None, problem: "refused".into() };
        assert_eq!(failure.caught(std::future::ready(Some(refused()))), Err(refused()), "known at once: no failure");
        assert_eq!(edge::wait("told", failure.told()), Ok(()));

        let (fine, first) = oneshot::channel::<Option<Error>>();
        let (late, second) = oneshot::channel();
        for scope in [first, second] {
            assert_eq!(failure.caught(async { scope.await.ok().flatten() }), Ok(()), "not known yet");
        }
        let mut reads = [Box::pin(failure.told()), Box::pin(failure.told())];
        assert!(reads.iter_mut().all(|read| edge::at_once(read.as_mut()).is_none()), "both wait for the scopes");
        failure.set(Error::Device("a buffer is invalid".into()));
        fine.send(None).expect("somebody waits");
        late.send(Some(refused())).expect("somebody waits");
        for read in reads {
            assert_eq!(edge::wait("told", read), Err(refused()), "the cause and not what follows from it");
        }
        assert!(locked(&failure.open).is_empty());
        assert_eq!(edge::wait("told", failure.told()), Err(refused()), "it sticks");
    }
}
