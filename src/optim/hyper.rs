//! The numbers that change from step to step, in memory of the device: a captured step reads them there.

//! `shaders/step_numbers.wgsl` takes those of a step that may be given up.

use super::rule::Now;
use crate::device::Device;
use crate::dtype::DType;
use crate::error::Result;
use crate::kernel::{Access, Call, Kernel, Pass, Shader, Tolerance, Uniform, Variant, shader};
use crate::tensor::Tensor;
use bytemuck::{Pod, Zeroable};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The numbers of a group.
pub type Numbers = Box<dyn Fn(Now) -> Vec<f32> + Send + Sync>;

/// Numbers that a kernel reads at once: those of each group start at a multiple.
pub const QUAD: usize = 4;

/// The start of the first group's numbers. Before them stand the factor that clipping gives to all gradients, their
/// norm, 1 where parameters of one group have seen different numbers of gradients, so that each has numbers of its own, and 1
/// where the step is given up.
pub const FIRST: usize = QUAD;

/// The steps given up that numbers are made for: so many are left out of what is counted. Later ones are far from the start,
/// where numbers depend on the count.
const SKIPS: usize = 16;

static SHADER: Shader = shader!("step_numbers", &[Access::Read, Access::Read, Access::ReadWrite, Access::ReadWrite]);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Uniform)]
struct StepNumbersParams {
    rows: u32,
    most: u32,
}

/// The numbers of a step, from the row of a table that the steps given up so far tell; and whether it is given up too.
static STEP_NUMBERS: Kernel = Kernel::new("step_numbers", SHADER.access, pick_definition, |d| {
    d.cost(u64::from(d.params::<StepNumbersParams>().most))
})
.tolerance(Tolerance::EXACT)
.variants(&[Variant::new("alone", |_, _| Pass::new(&SHADER, "step_numbers", 1).alone())
    .fits(|_, d| d.params::<StepNumbersParams>().most <= 15 << 20)]);

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&STEP_NUMBERS];

fn pick_definition(call: &mut Call) {
    let StepNumbersParams { rows, most } = call.params();
    let (table, flag) = (call.read::<f32>(0), call.read::<f32>(1)[0]);
    let n = (table[0] as usize).min(most as usize);
    let (skipped, numbers) = (call.write::<f32>(2), call.write::<f32>(3));
    let row = (skipped[0] as u32).min(rows - 1) as usize;
    numbers[..n].copy_from_slice(&table[QUAD + row * n..][..n]);
    if flag == 0.0 {
        numbers[3] = 1.0;
        skipped[0] += 1.0;
    }
}

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
    /// The number of steps that the device has given up.
    skipped: Tensor,
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

/// The numbers of a step that moves these parameters, as far as its kernels read them, where so many before were given up.
fn numbers(state: &State, groups: &[Group], moved: &[Vec<usize>], skipped: u64) -> Vec<f32> {
    let mut all = vec![0.0; FIRST];
    // Gradients are taken as they are, unless a kernel says otherwise.
    all[0] = 1.0;
    let mut apart = state.apart;
    for (((group, now), counts), moved) in groups.iter().zip(&state.now).zip(&state.counts).zip(moved) {
        let steps = moved.first().map_or(1, |first| counts[*first]);
        apart |= group.counts && moved.iter().any(|at| counts[*at] != steps);
        all.extend(padded((group.numbers)(Now { steps: steps.saturating_sub(skipped).max(1), ..*now })));
    }
    if !apart {
        return all;
    }
    all[2] = 1.0;
    for ((group, now), counts) in groups.iter().zip(&state.now).zip(&state.counts).filter(|((g, _), _)| g.counts) {
        let mut last: (u64, Vec<f32>) = (u64::MAX, Vec::new());
        for &steps in counts {
            if last.0 != steps {
                last = (steps, padded((group.numbers)(Now { steps: steps.saturating_sub(skipped).max(1), ..*now })));
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
            skipped: Tensor::full([1], 0.0f32, device),
            state: Arc::new(Mutex::new(State { now, counts, apart: false })),
            groups: Arc::new(groups),
        }
    }

    /// Goes on to the next step, here and before each replay of a step that is being captured: it moves these parameters of
    /// each group, unless a flag on the device gives it up.
    pub fn advance(&self, moved: Vec<Vec<usize>>, flag: Option<&Tensor>) {
        let (state, groups) = (self.state.clone(), self.groups.clone());
        let rows = if flag.is_some() { SKIPS } else { 1 };
        let tensor = match flag {
            Some(_) => Tensor::staged([QUAD + rows * self.tensor.numel()], DType::F32, self.tensor.device()),
            None => self.tensor.clone(),
        };
        let (moved, table, own) = (Arc::new(moved), tensor.clone(), flag.map(|_| self.tensor.clone()));
        let again = moved.clone();
        self.tensor.device().each_run(move || {
            let mut state = locked(&state);
            for (counts, moved) in state.counts.iter_mut().zip(&*moved) {
                moved.iter().for_each(|at| counts[*at] += 1);
            }
            let of = |row: usize| numbers(&state, &groups, &moved, row as u64);
            let mut all: Vec<f32> = (0..rows).flat_map(of).collect();
            if let Some(own) = &own {
                // A captured step that writes this twice is refused, with a table as without.
                own.narrow(0, 0, 1).upload(&[1.0f32]);
                // The length of a row goes before them.
                all.splice(0..0, [(all.len() / rows) as f32, 0.0, 0.0, 0.0]);
            }
            tensor.narrow(0, 0, all.len()).upload(&all);
        });
        if let Some(flag) = flag {
            let p = StepNumbersParams { rows: rows as u32, most: self.tensor.numel() as u32 };
            let flag = flag.detach().cast(DType::F32).contiguous();
            Tensor::run(&STEP_NUMBERS, &[&table, &flag, &self.skipped, &self.tensor], &p);
        }
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

    /// The number of steps that the device has given up.
    pub fn skipped(&self) -> Result<u64> {
        Ok(self.skipped.to_vec::<f32>()?[0] as u64)
    }

    /// The number of gradients that have moved each parameter, group by group, where so many steps were given up.
    pub fn counts(&self, skipped: u64) -> Vec<u64> {
        let all = locked(&self.state).counts.concat();
        all.into_iter().map(|count| count.saturating_sub(skipped.min(SKIPS as u64 - 1))).collect()
    }

    pub fn set_counts(&self, all: &[u64], skipped: u64) {
        let left_out = skipped.min(SKIPS as u64 - 1);
        let mut state = locked(&self.state);
        state.counts.iter_mut().flatten().zip(all).for_each(|(count, seen)| *count = *seen + left_out);
        self.skipped.upload(&[skipped as f32]);
    }
}
