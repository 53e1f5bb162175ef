//! The numbers that change from step to step, in memory of the device: a captured step reads them there.

use super::rule::Now;
use crate::device::Device;
use crate::dtype::DType;
use crate::error::Result;
use crate::tensor::Tensor;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The numbers of a group.
pub type Numbers = Box<dyn Fn(Now) -> Vec<f32> + Send + Sync>;

/// Numbers that a kernel reads at once: those of each group start at a multiple.
pub const QUAD: usize = 4;

/// The start of the first group's numbers. Before them stand the factor that clipping gives to all gradients, their
/// norm, and 1 where parameters of one group have seen different numbers of gradients, so that each has numbers of its own.
pub const FIRST: usize = QUAD;

/// A group of parameters at its start.
pub struct Group {
    /// Its learning rate and momentum.
    pub now: Now,
    /// The numbers that its kernels read.
    pub numbers: Numbers,
    /// The count of its parameters.
    pub members: usize,
    /// Whether its numbers depend on how many gradients a parameter has seen.
    pub counts: bool,
}

/// The state of each group, and the number of gradients that each of its parameters has seen.
struct State {
    now: Vec<Now>,
    counts: Vec<Vec<u64>>,
    /// Whether the numbers of each parameter are told even where all are alike.
    apart: bool,
}

/// The numbers of a step, as an optimizer's kernels read them.
pub struct Hyper {
    /// The numbers of the current step: those of each group, and behind them those of each parameter.
    pub tensor: Tensor,
    /// The start of each group's numbers.
    pub starts: Vec<u32>,
    /// Their counts.
    pub counted: Vec<usize>,
    /// The start of the numbers of each group's first parameter, and their count for each, where they are told apart.
    pub own: Vec<Option<(usize, usize)>>,
    state: Arc<Mutex<State>>,
    groups: Arc<Vec<Group>>,
}

fn padded(mut numbers: Vec<f32>) -> Vec<f32> {
    numbers.resize(numbers.len().next_multiple_of(QUAD), 0.0);
    numbers
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The numbers of a step that moves these parameters, as far as its kernels read them.
fn numbers(state: &State, groups: &[Group], moved: &[Vec<usize>]) -> Vec<f32> {
    let mut all = vec![0.0; FIRST];
    // Gradients are taken as they are, unless a kernel says otherwise.
    all[0] = 1.0;
    let mut apart = state.apart;
    for (((group, now), counts), moved) in groups.iter().zip(&state.now).zip(&state.counts).zip(moved) {
        let steps = moved.first().map_or(1, |first| counts[*first]);
        apart |= group.counts && moved.iter().any(|at| counts[*at] != steps);
        all.extend(padded((group.numbers)(Now { steps, ..*now })));
    }
    if !apart {
        return all;
    }
    all[2] = 1.0;
    for ((group, now), counts) in groups.iter().zip(&state.now).zip(&state.counts).filter(|((g, _), _)| g.counts) {
        let mut last: (u64, Vec<f32>) = (u64::MAX, Vec::new());
        for &steps in counts {
            if last.0 != steps {
                last = (steps, padded((group.numbers)(Now { steps: steps.max(1), ..*now })));
            }
            all.extend(&last.1);
        }
    }
    all
}

impl Hyper {
    pub fn new(device: &Device, groups: Vec<Group>) -> Hyper {
        let counted: Vec<usize> = groups.iter().map(|group| (group.numbers)(group.now).len()).collect();
        let lens = counted.iter().map(|len| len.next_multiple_of(QUAD));
        let mut end = FIRST;
        let mut starts = Vec::with_capacity(groups.len());
        for len in lens.clone() {
            starts.push(end as u32);
            end += len;
        }
        let mut own = Vec::with_capacity(groups.len());
        for (group, len) in groups.iter().zip(lens) {
            own.push(group.counts.then_some((end, len)));
            end += if group.counts { len * group.members } else { 0 };
        }
        let tensor = Tensor::empty([end], DType::F32, device);
        let now = groups.iter().map(|group| group.now).collect();
        let counts = groups.iter().map(|group| vec![0; group.members]).collect();
        Hyper {
            tensor,
            starts,
            counted,
            own,
            state: Arc::new(Mutex::new(State { now, counts, apart: false })),
            groups: Arc::new(groups),
        }
    }

    /// Goes on to the next step, here and before each replay of a step that is being captured: it moves these parameters of
    /// each group.
    pub fn advance(&self, moved: Vec<Vec<usize>>) {
        let (tensor, state, groups) = (self.tensor.clone(), self.state.clone(), self.groups.clone());
        let moved = Arc::new(moved);
        let again = moved.clone();
        self.tensor.device().each_run(move || {
            let mut state = locked(&state);
            for (counts, moved) in state.counts.iter_mut().zip(&*moved) {
                moved.iter().for_each(|at| counts[*at] += 1);
            }
            let all = numbers(&state, &groups, &moved);
            tensor.narrow(0, 0, all.len()).upload(&all);
        });
        let state = self.state.clone();
        self.tensor.device().if_capture_fails(move || {
            for (counts, moved) in locked(&state).counts.iter_mut().zip(&*again) {
                moved.iter().for_each(|at| counts[*at] -= 1);
            }
        });
    }

    /// Tells the numbers of each parameter from now on, even where all are alike: definitions read no others.
    pub fn tell_apart(&self) {
        locked(&self.state).apart = true;
    }

    /// The state of each group.
    pub fn now(&self) -> Vec<Now> {
        locked(&self.state).now.clone()
    }

    /// Refuses to set what a step that is being captured has read: each replay would go on with what it is then.
    pub fn settable(&self, what: &str) -> Result<()> {
        self.tensor.device().refuse_in_capture(|| {
            format!(
                "{what}: an optimizer's {what} was set inside a step that is being captured, where no replay would set it \
                 again: set it before or after the step (before or after `Replay::run`)"
            )
        })
    }

    pub fn set_lrs(&self, lrs: &[f32]) {
        locked(&self.state).now.iter_mut().zip(lrs).for_each(|(now, lr)| now.lr = *lr);
    }

    pub fn set_momenta(&self, momenta: &[f32]) {
        locked(&self.state).now.iter_mut().zip(momenta).for_each(|(now, momentum)| now.momentum = *momentum);
    }

    /// The number of gradients that each parameter has seen, group by group.
    pub fn counts(&self) -> Vec<u64> {
        locked(&self.state).counts.concat()
    }

    pub fn set_counts(&self, all: &[u64]) {
        locked(&self.state).counts.iter_mut().flatten().zip(all).for_each(|(count, seen)| *count = *seen);
    }
}
