//! The numbers that change from step to step, in memory of the device: a captured step reads them there.

use crate::device::Device;
use crate::dtype::DType;
use crate::tensor::Tensor;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What an optimizer's kernels read of a step: a function of the learning rate and the number of steps so far.
pub struct Hyper {
    /// The numbers of the current step.
    pub tensor: Tensor,
    now: Arc<Mutex<Now>>,
    numbers: Arc<dyn Fn(Now) -> Vec<f32> + Send + Sync>,
}

/// Where an optimizer is.
#[derive(Clone, Copy)]
pub struct Now {
    pub lr: f32,
    /// Steps so far, the current one counted.
    pub steps: u64,
}

fn locked(now: &Mutex<Now>) -> MutexGuard<'_, Now> {
    now.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hyper {
    /// `len` numbers a step, told by `numbers`.
    pub fn new(
        device: &Device,
        lr: f32,
        len: usize,
        numbers: impl Fn(Now) -> Vec<f32> + Send + Sync + 'static,
    ) -> Hyper {
        let now = Arc::new(Mutex::new(Now { lr, steps: 0 }));
        Hyper { tensor: Tensor::empty([len], DType::F32, device), now, numbers: Arc::new(numbers) }
    }

    /// Goes on to the next step, here and before each replay of a step that is being captured.
    pub fn advance(&self) {
        let (tensor, now, numbers) = (self.tensor.clone(), self.now.clone(), self.numbers.clone());
        self.tensor.device().each_run(move || {
            let mut now = locked(&now);
            now.steps += 1;
            tensor.upload(&numbers(*now));
        });
    }

    pub fn lr(&self) -> f32 {
        locked(&self.now).lr
    }

    pub fn set_lr(&self, lr: f32) {
        locked(&self.now).lr = lr;
    }

    pub fn steps(&self) -> u64 {
        locked(&self.now).steps
    }

    pub fn set_steps(&self, steps: u64) {
        locked(&self.now).steps = steps;
    }
}
