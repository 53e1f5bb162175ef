//! Elements between a tensor and the host.

use super::Tensor;
use crate::backend::Pending;
use crate::device::Device;
use crate::dtype::{Convert, Element, Number, by_dtype};
use crate::error::Result;
use crate::shape::Layout;
use std::any::Any;

/// The elements in words of memory; f32 needs no copy.
fn elements<T: Element>(words: Vec<u32>) -> Vec<T> {
    let mut floats: Option<Vec<f32>> = Some(bytemuck::cast_vec(words));
    if let Some(own) = (&mut floats as &mut dyn Any).downcast_mut::<Option<Vec<T>>>() {
        return own.take().unwrap_or_default();
    }
    let bytes: &[u8] = bytemuck::cast_slice(floats.as_deref().unwrap_or_default());
    if let Ok(all) = bytemuck::checked::try_cast_slice(bytes) {
        return all.to_vec();
    }
    // Any byte but 0 is true.
    let one = |bytes| bytemuck::checked::try_pod_read_unaligned(bytes).unwrap_or_else(|_| T::of(Number::Whole(1)));
    bytes.chunks_exact(size_of::<T>()).map(one).collect()
}

/// # To the host
impl Tensor {
    /// A copy on another device, by way of the host; the same tensor where it lives there already. Gradients flow back the same way.
    ///
    /// # Errors
    /// The first failure of the device it leaves.
    #[track_caller]
    pub fn to(&self, device: &Device) -> Result<Tensor> {
        if device == self.device() {
            return Ok(self.clone());
        }
        let (own, shape) = (self.device().clone(), self.shape());
        let copy = by_dtype!(self.dtype, T => Tensor::from_vec(self.to_vec::<T>()?, shape, device));
        Ok(copy.tracked("to", &[self], move |dy, _| {
            // What a broken device lost is told at the next read there.
            vec![Some(dy.to(&own).unwrap_or_else(|error| {
                own.missed(&error);
                Tensor::full(dy.shape(), f32::NAN, &own).cast(dy.dtype())
            }))]
        }))
    }

    /// The values in row-major order, after all work queued before: [`Tensor::read`], waited for.
    ///
    /// # Errors
    /// The device's first failure.
    ///
    /// # Panics
    /// If the elements are of another type.
    #[doc(alias("tolist", "numpy"))]
    #[track_caller]
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        self.reading("to_vec").wait()
    }

    /// The values in row-major order, after all work queued before, which is submitted now: they arrive later, for a
    /// caller that goes on meanwhile, or may not block.
    ///
    /// # Errors
    /// When they arrive, the device's first failure.
    ///
    /// # Panics
    /// If the elements are of another type.
    #[doc(alias("cpu", "to_vec_async"))]
    #[track_caller]
    pub fn read<T: Element>(&self) -> Pending<Vec<T>> {
        self.reading("read")
    }

    #[track_caller]
    fn reading<T: Element>(&self, op: &str) -> Pending<Vec<T>> {
        assert!(T::DTYPE == self.dtype, "{op}: the tensor holds {}, not {}", self.dtype, T::DTYPE);
        if let Err(error) = self.current(op) {
            return Pending::ready(Err(error));
        }
        let layout = self.layout;
        if self.numel() == 0 {
            // Where a view of nothing starts there may be no memory, but a failure is told.
            return self.device().read(self.buffer.id, 0, 4).map(|_| Vec::new());
        }
        let (span, each) = (layout.span(), self.dtype.bytes());
        // Whole words, of which the first and the last may hold other elements.
        let start = span.start * each / 4 * 4;
        let end = (span.end * each).next_multiple_of(4);
        let words = self.device().read(self.buffer.id, start as u64, (end - start) as u64);
        let first = span.start - start / each;
        words.map(move |words| {
            let memory = elements::<T>(words);
            if layout.is_contiguous() && first == 0 && memory.len() == layout.shape.numel() {
                return memory;
            }
            layout.offsets().map(|at| memory[at - span.start + first]).collect()
        })
    }

    /// The value of a tensor with one element, after all work queued before.
    ///
    /// # Errors
    /// The device's first failure.
    ///
    /// # Panics
    /// If there is more than one element.
    #[track_caller]
    pub fn item(&self) -> Result<f32> {
        self.item_as()
    }

    /// The same as another type, such as the i32 that `argmax` gives.
    ///
    /// ```
    /// # use wgrad::Tensor;
    /// let x = Tensor::from_slice(&[1.0f32, 3.0, 2.0], [3], &wgrad::Device::cpu());
    /// assert_eq!(x.argmax(0).item_as::<i32>()?, 1);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Tensor::item`].
    ///
    /// # Panics
    /// If there is more than one element.
    #[track_caller]
    pub fn item_as<R: Element>(&self) -> Result<R> {
        self.only("item").wait()
    }

    /// [`Tensor::item`] for callers that go on meanwhile or may not block, as [`Tensor::read`] is to [`Tensor::to_vec`].
    ///
    /// # Panics
    /// If there is more than one element.
    #[track_caller]
    pub fn item_async(&self) -> Pending<f32> {
        self.only("item_async")
    }

    #[track_caller]
    fn only<R: Element>(&self, op: &str) -> Pending<R> {
        assert!(self.numel() == 1, "{op}: {} has {} elements, not one", self.shape(), self.numel());
        by_dtype!(self.dtype, T => self.reading::<T>(op).map(|values| R::of(values[0].number())))
    }
}

impl Tensor {
    /// Whether its first element starts a word and none but padding shares the word of its last.
    pub(crate) fn fills_words(&self) -> bool {
        let Layout { offset, .. } = self.layout;
        let ends = [offset, offset + self.numel()].map(|at| (at * self.dtype.bytes()).is_multiple_of(4));
        ends[0] && (ends[1] || self.is_padded())
    }

    /// Overwrites the elements of a contiguous tensor that [fills words](Tensor::fills_words).
    pub(crate) fn store<T: Element>(&self, data: &[T]) {
        self.changed();
        let (offset, bytes) = ((self.layout.offset * self.dtype.bytes()) as u64, bytemuck::cast_slice::<T, u8>(data));
        match bytes.len() % 4 {
            0 => self.device().write(self.buffer.id, offset, bytes),
            rest => self.device().write(self.buffer.id, offset, &[bytes, &[0; 4][rest..]].concat()),
        }
    }
}
