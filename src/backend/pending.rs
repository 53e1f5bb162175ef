//! Values on their way from a device.

use super::edge;
use crate::error::Result;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Waits until a device has done what a value is made of.
type Wait = Box<dyn FnOnce() + Send>;

/// A value on its way from a device: a future, which natively can be waited for, too.
///
/// The work that it takes is submitted already, and the value is that of the moment when it was asked for, whatever is
/// queued later. No executor is needed, and any will do: nothing is polled in a loop.
///
/// ```
/// # let device = wgrad::Device::cpu();
/// let x = wgrad::Tensor::from_slice(&[1.0f32, 2.0], [2], &device);
/// let doubled = (&x + &x).read::<f32>();
/// // .. other work, while the device is busy ..
/// assert_eq!(doubled.wait()?, [2.0, 4.0]);
///
/// async fn in_a_browser(x: &wgrad::Tensor) -> wgrad::Result<f32> {
///     Ok(x.square().read::<f32>().await?[1])
/// }
/// # assert_eq!(pollster::block_on(in_a_browser(&x))?, 4.0);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[must_use = "a value that is neither awaited nor waited for tells no error"]
pub struct Pending<T> {
    value: Pin<Box<dyn Future<Output = Result<T>> + Send>>,
    waits: Vec<Wait>,
}

impl<T: Send + 'static> Pending<T> {
    /// A value that is there.
    pub fn ready(value: Result<T>) -> Pending<T> {
        Pending { value: Box::pin(std::future::ready(value)), waits: Vec::new() }
    }

    /// A value that arrives when `wait`, which blocks, has ended, if not before.
    pub(crate) fn new(
        value: impl Future<Output = Result<T>> + Send + 'static,
        wait: impl FnOnce() + Send + 'static,
    ) -> Pending<T> {
        Pending { value: Box::pin(value), waits: if edge::CAN_WAIT { vec![Box::new(wait)] } else { Vec::new() } }
    }

    /// The value as `then` changes it.
    pub(crate) fn map<U: Send + 'static>(self, then: impl FnOnce(T) -> U + Send + 'static) -> Pending<U> {
        let Pending { value, waits } = self;
        Pending { value: Box::pin(async move { value.await.map(then) }), waits }
    }

    /// All of them, or the first error.
    pub(crate) fn all(all: impl IntoIterator<Item = Pending<T>>) -> Pending<Vec<T>> {
        let (values, waits): (Vec<_>, Vec<_>) = all.into_iter().map(|one| (one.value, one.waits)).unzip();
        let value = async move {
            let mut all = Vec::with_capacity(values.len());
            for value in values {
                all.push(value.await?);
            }
            Ok(all)
        };
        Pending { value: Box::pin(value), waits: waits.into_iter().flatten().collect() }
    }
}

impl<T> Pending<T> {
    /// Blocks until the value is there.
    ///
    /// # Errors
    /// The device's first failure. In a browser, which cannot wait, [`Error::Device`](crate::Error::Device) unless the
    /// value is there at once, as the CPU backend's are.
    pub fn wait(self) -> Result<T> {
        edge::busy(|| {
            self.waits.into_iter().for_each(|wait| wait());
            edge::wait("wait", self.value)
        })
    }
}

impl<T> Future for Pending<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        let polled = self.value.as_mut().poll(context);
        if polled.is_pending() && !self.waits.is_empty() {
            // Natively a device tells nothing unless somebody waits for it.
            let waits = std::mem::take(&mut self.waits);
            edge::beside(|| waits.into_iter().for_each(|wait| wait()));
        }
        polled
    }
}

impl<T> fmt::Debug for Pending<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pending")
    }
}
