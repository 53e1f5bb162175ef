//! The numbers that change from step to step, in memory of the device: a captured step reads them there.

use super::rule::Now;
use crate::device::Device;
use crate::dtype::DType;
use crate::tensor::Tensor;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The numbers of a group.
pub type Numbers = Box<dyn Fn(Now) -> Vec<f32> + Send + Sync>;

/// Numbers that a kernel reads at once: those of each group start at a multiple.
const QUAD: usize = 4;

/// Where the numbers of the first group start: before them stand the factor that clipping gives to all gradients, and
/// their norm.
pub const FIRST: usize = QUAD;

/// What an optimizer's kernels read of a step.
pub struct Hyper {
    /// The numbers of the current step.
    pub tensor: Tensor,
    /// Where each group's numbers start.
    pub starts: Vec<u32>,
    now: Arc<Mutex<Vec<Now>>>,
    groups: Arc<Vec<Numbers>>,
}

fn numbers(now: &[Now], groups: &[Numbers]) -> Vec<Vec<f32>> {
    let padded = |mut numbers: Vec<f32>| {
        numbers.resize(numbers.len().next_multiple_of(QUAD), 0.0);
        numbers
    };
    groups.iter().zip(now).map(|(numbers, now)| padded(numbers(*now))).collect()
}

fn locked(now: &Mutex<Vec<Now>>) -> MutexGuard<'_, Vec<Now>> {
    now.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hyper {
    /// For groups that start so.
    pub fn new(device: &Device, now: Vec<Now>, groups: Vec<Numbers>) -> Hyper {
        let mut len = FIRST;
        let mut starts = Vec::with_capacity(groups.len());
        for numbers in numbers(&now, &groups) {
            starts.push(len as u32);
            len += numbers.len();
        }
        let tensor = Tensor::empty([len], DType::F32, device);
        Hyper { tensor, starts, now: Arc::new(Mutex::new(now)), groups: Arc::new(groups) }
    }

    /// Goes on to the next step, here and before each replay of a step that is being captured.
    pub fn advance(&self) {
        let (tensor, now, groups) = (self.tensor.clone(), self.now.clone(), self.groups.clone());
        self.tensor.device().each_run(move || {
            let mut now = locked(&now);
            now.iter_mut().for_each(|now| now.steps += 1);
            // Gradients are taken as they are, unless a kernel says otherwise.
            let mut all = vec![0.0; FIRST];
            all[0] = 1.0;
            all.extend(numbers(&now, &groups).concat());
            tensor.upload(&all);
        });
        let now = self.now.clone();
        self.tensor.device().if_capture_fails(move || locked(&now).iter_mut().for_each(|now| now.steps -= 1));
    }

    /// Where each group is.
    pub fn now(&self) -> Vec<Now> {
        locked(&self.now).clone()
    }

    pub fn set_lrs(&self, lrs: &[f32]) {
        locked(&self.now).iter_mut().zip(lrs).for_each(|(now, lr)| now.lr = *lr);
    }

    pub fn set_momentum(&self, momentum: f32) {
        locked(&self.now).iter_mut().for_each(|now| now.momentum = momentum);
    }

    pub fn steps(&self) -> u64 {
        locked(&self.now).first().map_or(0, |now| now.steps)
    }

    pub fn set_steps(&self, steps: u64) {
        locked(&self.now).iter_mut().for_each(|now| now.steps = steps);
    }
}
