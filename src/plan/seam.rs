//! Seams: places in a list of kernels where the host works.

use super::Plan;
use crate::backend::{List, Pending, Readback};
use crate::device::{Device, Part, Seam};
use crate::error::Result;
use crate::kernel::{Access, BufferId, Call, Dispatch, Kernel, Params, Tolerance};
use crate::tensor::{Tensor, apart};
use std::panic::Location;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

/// Tensors that the host reads, and that it writes, at most.
const MOST: usize = 8;

static ACCESS: [Access; 2 * MOST] = {
    let mut all = [Access::Read; 2 * MOST];
    let mut at = MOST;
    while at < 2 * MOST {
        all[at] = Access::ReadWrite;
        at += 1;
    }
    all
};

/// Seams as they stand in a list: by the numbers of tensors that they read and write, a dispatch of a kernel that no backend
/// runs, whose parameter is the number of the host's work.
static SEAMS: LazyLock<Vec<Kernel>> = LazyLock::new(|| {
    let seam = |at: usize| {
        Kernel::new("host", &ACCESS[MOST - at / (MOST + 1)..MOST + at % (MOST + 1)], |_| (), |d| d.cost(0))
            .tolerance(Tolerance::EXACT)
    };
    (0..(MOST + 1) * (MOST + 1)).map(seam).collect()
});

/// Whether it is work of the host.
pub(super) fn is_seam(dispatch: &Dispatch) -> bool {
    SEAMS.as_ptr_range().contains(&std::ptr::from_ref(dispatch.kernel))
}

impl Device {
    /// Has the host work in its place among the kernels: when all that was queued before has run, `work` gets the elements of
    /// `reads` and `writes`, numbered in this order, and what it leaves in the latter is stored. In a captured step it is a
    /// *seam*, at which each replay calls `work` again: a reduction between processes, for example.
    ///
    /// It waits for the device, so it costs a step what a read costs.
    ///
    /// ```
    /// use wgrad::{Device, Tensor, plan::Replay};
    /// let device = Device::cpu();
    /// let (x, mut step) = (Tensor::from_slice(&[1.0f32, 2.0], [2], &device), Replay::new());
    /// for _ in 0..3 {
    ///     let y = step.run(&x, |x| {
    ///         let y = x * 2.0;
    ///         x.device().host(&[], &[&y], |call| {
    ///             call.write::<f32>(0).reverse();
    ///             Ok(())
    ///         })?;
    ///         Ok(y + 1.0)
    ///     })?;
    ///     assert_eq!(y.to_vec::<f32>()?, [5.0, 3.0]);
    /// }
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// That of `work`; then nothing is stored. The device's first failure, or why the elements could not be computed. Where a
    /// step is replayed, its run gives the error, and the results of that run are lost.
    ///
    /// # Panics
    /// If there are more than 8 tensors to read or to write, one is not contiguous, starts within a word or lives elsewhere, or one that is written
    /// is there a second time.
    #[track_caller]
    pub fn host(
        &self,
        reads: &[&Tensor],
        writes: &[&Tensor],
        work: impl Fn(&mut Call) -> Result<()> + Send + Sync + 'static,
    ) -> Result<()> {
        let counts = [reads.len(), writes.len()];
        assert!(counts.iter().all(|count| *count <= MOST), "host: at most {MOST} tensors each, not {counts:?}");
        self.seam_of(reads, writes, Seam::Call(Arc::new(work)))
    }

    /// Hands the elements of a tensor of f32 to the host as they are here, on their way: nothing waits, and what is queued
    /// later runs meanwhile.
    #[track_caller]
    pub(crate) fn give(&self, from: &Tensor, to: impl Fn(Pending<Vec<f32>>) + Send + Sync + 'static) -> Result<()> {
        let floats = |words: Vec<u32>| bytemuck::cast_vec(words);
        self.seam_of(&[from], &[], Seam::Give(Arc::new(move |words: Readback| to(words.map(floats)))))
    }

    /// Has the host write all elements of a tensor of f32 here, which it waits for.
    #[track_caller]
    pub(crate) fn take(&self, to: &Tensor, from: impl Fn() -> Result<Vec<f32>> + Send + Sync + 'static) -> Result<()> {
        let words = move || from().map(bytemuck::cast_vec);
        self.seam_of(&[], &[to], Seam::Take(Arc::new(words)))
    }

    #[track_caller]
    fn seam_of(&self, reads: &[&Tensor], writes: &[&Tensor], work: Seam) -> Result<()> {
        let kernel = &SEAMS[reads.len() * (MOST + 1) + writes.len()];
        let all: Vec<&Tensor> = reads.iter().chain(writes).copied().collect();
        for tensor in &all {
            assert!(tensor.device() == self, "host: tensors {}", apart(self, tensor.device()));
            assert!(
                tensor.layout().is_contiguous(),
                "host: {} with strides {:?} is not contiguous: pass `contiguous()` of it",
                tensor.shape(),
                tensor.layout().strides()
            );
            assert!(
                (tensor.layout().offset * tensor.dtype().bytes()).is_multiple_of(4),
                "host: a view {} of {} starts within a word: pass a copy of it",
                tensor.shape(),
                tensor.dtype()
            );
            tensor.current("host")?;
        }
        for tensor in writes {
            let uses = all.iter().filter(|other| other.buffer() == tensor.buffer()).count();
            assert!(uses == 1, "host: a buffer is written and passed a second time");
            tensor.changed();
        }
        self.hold(all.iter().map(|tensor| tensor.handle()));
        let dispatch = |number: u32| Dispatch {
            kernel,
            bindings: all.iter().map(|tensor| tensor.elements()).collect(),
            params: Params::new(&number),
            label: all.iter().find_map(|tensor| tensor.name().map(Arc::from)),
        };
        self.seam(dispatch, work, Location::caller())
    }
}

impl Plan {
    /// Its kernels in lists that a backend runs, and the host's work between them.
    pub(super) fn cut(self, inputs: &[BufferId], seams: &[Seam]) -> Vec<Part> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let part = |dispatches: Vec<Dispatch>, host: Option<Seam>| {
            let id = NEXT.fetch_add(1, Ordering::Relaxed);
            Part { list: List { id, dispatches, inputs: inputs.to_vec() }, host }
        };
        let (mut parts, mut row) = (Vec::new(), Vec::new());
        for dispatch in self.dispatches {
            if !is_seam(&dispatch) {
                row.push(dispatch);
                continue;
            }
            parts.push(part(std::mem::take(&mut row), None));
            let work = seams[dispatch.params.read::<u32>() as usize].clone();
            parts.push(part(vec![dispatch], Some(work)));
        }
        parts.push(part(row, None));
        parts.retain(|part| !part.list.dispatches.is_empty());
        parts
    }
}
