//! The numbers that change from step to step, in memory of the device: a captured step reads them there.

use crate::device::Device;
use crate::dtype::DType;
use crate::tensor::Tensor;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The numbers of a group: a function of its learning rate and the number of steps so far.
pub type Numbers = Box<dyn Fn(f32, u64) -> Vec<f32> + Send + Sync>;

/// Where the numbers of the first group start: before them stand the factor that clipping gives to all gradients, and
/// their norm.
pub const FIRST: usize = 2;

/// What an optimizer's kernels read of a step.
pub struct Hyper {
    /// The numbers of the current step.
    pub tensor: Tensor,
    /// Where each group's numbers start.
    pub starts: Vec<u32>,
    now: Arc<Mutex<Now>>,
    groups: Arc<Vec<Numbers>>,
}

/// Where an optimizer is.
struct Now {
    lrs: Vec<f32>,
    /// Steps so far, the current one counted.
    steps: u64,
}

impl Now {
    fn numbers(&self, groups: &[Numbers]) -> Vec<Vec<f32>> {
        groups.iter().zip(&self.lrs).map(|(numbers, lr)| numbers(*lr, self.steps)).collect()
    }
}

fn locked(now: &Mutex<Now>) -> MutexGuard<'_, Now> {
    now.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hyper {
    /// For groups with these rates.
    pub fn new(device: &Device, lrs: Vec<f32>, groups: Vec<Numbers>) -> Hyper {
        let mut len = FIRST;
        let mut starts = Vec::with_capacity(groups.len());
        for numbers in (Now { lrs: lrs.clone(), steps: 1 }).numbers(&groups) {
            starts.push(len as u32);
            len += numbers.len();
        }
        let now = Arc::new(Mutex::new(Now { lrs, steps: 0 }));
        Hyper { tensor: Tensor::empty([len], DType::F32, device), starts, now, groups: Arc::new(groups) }
    }

    /// Goes on to the next step, here and before each replay of a step that is being captured.
    pub fn advance(&self) {
        let (tensor, now, groups) = (self.tensor.clone(), self.now.clone(), self.groups.clone());
        self.tensor.device().each_run(move || {
            let mut now = locked(&now);
            now.steps += 1;
            // Gradients are taken as they are, unless a kernel says otherwise.
            let mut all = vec![1.0, 0.0];
            all.extend(now.numbers(&groups).concat());
            tensor.upload(&all);
        });
    }

    pub fn lrs(&self) -> Vec<f32> {
        locked(&self.now).lrs.clone()
    }

    pub fn set_lrs(&self, lrs: &[f32]) {
        locked(&self.now).lrs = lrs.to_vec();
    }

    pub fn steps(&self) -> u64 {
        locked(&self.now).steps
    }

    pub fn set_steps(&self, steps: u64) {
        locked(&self.now).steps = steps;
    }
}
