//! Results on their way to the host.

use super::queue::{self, Range};
use super::{State, Wgpu};
use crate::backend::{Backend, Pending, Readback};
use crate::error::{Error, Result};
use futures::channel::oneshot;
use std::sync::{Arc, Mutex, PoisonError};

/// The buffers that small reads come through; others get one of their own.
#[derive(Clone, Default)]
pub struct Staging(Arc<Mutex<Vec<wgpu::Buffer>>>);

const SMALL: u64 = 64 << 10;

/// Buffers that are kept: as many reads are seldom on their way at once.
const KEPT: usize = 4;

impl Staging {
    fn kept(&self) -> std::sync::MutexGuard<'_, Vec<wgpu::Buffer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, device: &wgpu::Device, bytes: u64) -> wgpu::Buffer {
        let kept = if bytes <= SMALL { self.kept().pop() } else { None };
        kept.unwrap_or_else(|| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("readback"),
                size: bytes.max(SMALL),
                usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
                mapped_at_creation: false,
            })
        })
    }

    fn give(&self, buffer: wgpu::Buffer) {
        let mut kept = self.kept();
        if buffer.size() == SMALL && kept.len() < KEPT {
            kept.push(buffer);
        }
    }
}

/// Tells once whether a buffer is mapped: the first who knows does.
#[derive(Clone)]
struct Mapped(Arc<Mutex<Option<oneshot::Sender<Result<()>>>>>);

impl Mapped {
    fn tell(&self, result: Result<()>) {
        if let Some(sender) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // A receiver that is gone asked for nothing.
            let _ = sender.send(result);
        }
    }
}

fn gone() -> Error {
    Error::Device("a result cannot be mapped: the device is gone".into())
}

impl Wgpu {
    /// Submits everything with a copy of the range, which arrives later.
    pub(super) fn start_read(&self, (buffer, offset, bytes): Range) -> Result<Readback> {
        self.error().map_or(Ok(()), Err)?;
        if bytes == 0 {
            return Ok(Pending::ready(Ok(Vec::new())));
        }
        let State { pool, queue, counters, staging, .. } = &mut *self.state();
        let (source, _) = pool.look(buffer, 0).ok_or_else(|| Error::Device("a freed buffer was read".into()))?;
        let (all, target) = (staging.clone(), staging.take(&self.device, bytes));
        let index = queue.submit(&self.device, &self.queue, counters, |encoder| {
            encoder.copy_buffer_to_buffer(source, offset, &target, 0, bytes);
        });
        let (sender, arrives) = oneshot::channel();
        let mapped = Mapped(Arc::new(Mutex::new(Some(sender))));
        let done = mapped.clone();
        target.slice(..bytes).map_async(wgpu::MapMode::Read, move |result| done.tell(result.map_err(|_| gone())));
        let (device, failure) = (self.device.clone(), self.failure.clone());
        let wait = move || {
            if let Err(error) = queue::wait(&device, Some(index)) {
                mapped.tell(Err(error));
            }
        };
        let value = async move {
            let mapped = arrives.await;
            failure.told().await?;
            mapped.unwrap_or_else(|_| Err(gone()))?;
            let words = take_mapped(&target, bytes)?;
            all.give(target);
            Ok(words)
        };
        Ok(Pending::new(value, wait))
    }
}

/// The mapped words; the buffer is free again.
pub fn take_mapped(staging: &wgpu::Buffer, bytes: u64) -> Result<Vec<u32>> {
    let range = staging.slice(..bytes).get_mapped_range();
    let words = range.map(|view| bytemuck::pod_collect_to_vec(&view[..]));
    let words = words.map_err(|e| Error::Device(format!("a result cannot be mapped: {e}")))?;
    staging.unmap();
    Ok(words)
}
