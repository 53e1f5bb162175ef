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

/// The steps given up that numbers are made for, and one more: so many are left out of what is counted for a parameter.
const SKIPS: usize = 64;

static SHADER: Shader = shader!("step_numbers", &[Access::Read, Access::Read, Access::ReadWrite, Access::ReadWrite]);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Uniform)]
struct StepNumbersParams {
    rows: u32,
    most: u32,
    members: u32,
}

/// The numbers of a step, each from the row of a table that the steps given up so far tell for its parameter; and whether the step
/// is given up too, for the parameters that it would have moved.
static STEP_NUMBERS: Kernel = Kernel::new("step_numbers", SHADER.access, pick_definition, |d| {
    d.cost(u64::from(d.params::<StepNumbersParams>().most))
})
.tolerance(Tolerance::EXACT)
.variants(&[Variant::new("alone", |_, _| Pass::new(&SHADER, "step_numbers", 1).alone())
    .fits(|_, d| d.params::<StepNumbersParams>().most <= 15 << 20)]);

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&STEP_NUMBERS];

fn pick_definition(call: &mut Call) {
    let StepNumbersParams { rows, most, members } = call.params();
    let (table, flag) = (call.read::<f32>(0), call.read::<f32>(1)[0]);
    let n = (table[0] as usize).min(most as usize);
    let (skipped, numbers) = (call.write::<f32>(2), call.write::<f32>(3));
    let (moved, table) = table[QUAD..].split_at(members as usize);
    let (whose, table) = table.split_at(n);
    for (i, (number, whose)) in numbers.iter_mut().zip(whose).enumerate() {
        let row = (skipped[*whose as usize] as u32).min(rows - 1) as usize;
        *number = table[row * n + i];
    }
    if flag == 0.0 {
        numbers[3] = 1.0;
        skipped.iter_mut().zip(moved).for_each(|(skipped, moved)| *skipped += moved);
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
    /// Of each parameter, a mark of the steps with a flag that would have moved it. Equal ones have lost the same steps.
    marks: Vec<Vec<u64>>,
    /// Steps with a flag.
    flagged: u64,
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
    /// The number of steps that the device has given up, of each parameter.
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

/// Whether parameters of one group have seen different numbers of gradients.
fn are_apart(state: &State, groups: &[Group], moved: &[Vec<usize>]) -> bool {
    let seen = |at: usize, member: usize| (state.counts[at][member], state.marks[at][member]);
    let differ = |(at, group): (usize, &Group)| {
        group.counts && moved[at].iter().any(|&member| seen(at, member) != seen(at, moved[at][0]))
    };
    state.apart || groups.iter().enumerate().any(differ)
}

/// The numbers of a step that moves these parameters, as far as its kernels read them, where so many before were given up.
fn numbers(state: &State, groups: &[Group], moved: &[Vec<usize>], skipped: u64) -> Vec<f32> {
    let mut all = vec![0.0; FIRST];
    // Gradients are taken as they are, unless a kernel says otherwise.
    all[0] = 1.0;
    let of = |(group, now): (&Group, &Now), steps: u64| {
        padded((group.numbers)(Now { steps: steps.saturating_sub(skipped).max(1), ..*now }))
    };
    for ((group, counts), moved) in groups.iter().zip(&state.now).zip(&state.counts).zip(moved) {
        all.extend(of(group, moved.first().map_or(1, |first| counts[*first])));
    }
    if !are_apart(state, groups, moved) {
        return all;
    }
    all[2] = 1.0;
    for (group, counts) in groups.iter().zip(&state.now).zip(&state.counts).filter(|((g, _), _)| g.counts) {
        let mut last: (u64, Vec<f32>) = (u64::MAX, Vec::new());
        for &steps in counts {
            if last.0 != steps {
                last = (steps, of(group, steps));
            }
            all.extend(&last.1);
        }
    }
    all
}

/// Of each of so many [`numbers`], the parameter that it counts the steps of.
fn whose(state: &State, groups: &[Group], counted: &[usize], moved: &[Vec<usize>], n: usize) -> Vec<f32> {
    let mut all = vec![0.0; FIRST];
    let starts = state.counts.iter().scan(0, |end, counts| {
        *end += counts.len();
        Some(*end - counts.len())
    });
    let starts: Vec<usize> = starts.collect();
    let lens = counted.iter().map(|len| len.next_multiple_of(QUAD));
    for ((start, len), moved) in starts.iter().zip(lens.clone()).zip(moved) {
        all.extend(vec![(start + moved.first().unwrap_or(&0)) as f32; len]);
    }
    for ((start, len), group) in starts.iter().zip(lens).zip(groups).filter(|(_, group)| group.counts) {
        all.extend((0..group.members).flat_map(|at| vec![(start + at) as f32; len]));
    }
    all.truncate(n);
    all
}

/// Refuses to set what a step that is being captured has read: each replay would go on with what it is then.
pub fn settable(device: &Device, what: &str) -> Result<()> {
    device.refuse_in_capture(|| {
        format!(
            "{what}: an optimizer's {what} was set inside a step that is being captured, where no replay would set it \
             again: set it before or after the step (before or after `Replay::run`)"
        )
    })
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
        let counts: Vec<Vec<u64>> = groups.iter().map(|group| vec![0; group.members]).collect();
        Hyper {
            tensor,
            starts,
            counted,
            own,
            skipped: Tensor::full([counts.iter().map(Vec::len).sum()], 0.0f32, device),
            state: Arc::new(Mutex::new(State { now, marks: counts.clone(), counts, flagged: 0, apart: false })),
            groups: Arc::new(groups),
        }
    }

    /// Goes on to the next step, here and before each replay of a step that is being captured: it moves these parameters of
    /// each group, unless a flag on the device gives it up.
    pub fn advance(&self, moved: Vec<Vec<usize>>, flag: Option<&Tensor>) {
        let (state, groups, counted) = (self.state.clone(), self.groups.clone(), self.counted.clone());
        let (rows, members, is_flagged) =
            (if flag.is_some() { SKIPS } else { 1 }, self.skipped.numel(), flag.is_some());
        let tensor = match flag {
            Some(_) => {
                let words = QUAD + members + (1 + rows) * self.tensor.numel();
                Tensor::staged([words], DType::F32, self.tensor.device())
            }
            None => self.tensor.clone(),
        };
        let (moved, table, own) = (Arc::new(moved), tensor.clone(), flag.map(|_| self.tensor.clone()));
        let again = moved.clone();
        self.tensor.device().each_run(move || {
            let mut state = locked(&state);
            state.count(&moved, is_flagged, true);
            let of = |row: usize| numbers(&state, &groups, &moved, row as u64);
            let mut all: Vec<f32> = (0..rows).flat_map(of).collect();
            if let Some(own) = &own {
                // A captured step that writes this twice is refused, with a table as without.
                own.narrow(0, 0, 1).upload(&[1.0f32]);
                // The length of a row goes before them, then which parameters are moved, and whose each number of a row is.
                let n = all.len() / rows;
                let mut head = vec![n as f32, 0.0, 0.0, 0.0];
                for (counts, moved) in state.counts.iter().zip(&*moved) {
                    let start = head.len();
                    head.resize(start + counts.len(), 0.0);
                    moved.iter().for_each(|at| head[start + at] = 1.0);
                }
                head.extend(whose(&state, &groups, &counted, &moved, n));
                all.splice(0..0, head);
            }
            tensor.narrow(0, 0, all.len()).upload(&all);
        });
        if let Some(flag) = flag {
            let p = StepNumbersParams { rows: rows as u32, most: self.tensor.numel() as u32, members: members as u32 };
            let flag = flag.detach().cast(DType::F32).contiguous();
            Tensor::run(&STEP_NUMBERS, &[&table, &flag, &self.skipped, &self.tensor], &p);
        }
        let state = self.state.clone();
        self.tensor.device().if_capture_fails(move || locked(&state).count(&again, is_flagged, false));
    }

    /// See [`settable`].
    pub fn settable(&self, what: &str) -> Result<()> {
        settable(self.tensor.device(), what)
    }

    /// Tells the numbers of each parameter from now on, even where all are alike: definitions read no others.
    pub fn tell_apart(&self) {
        locked(&self.state).apart = true;
    }

    /// The state of each group.
    pub fn now(&self) -> Vec<Now> {
        locked(&self.state).now.clone()
    }

    pub fn set_lrs(&self, lrs: &[f32]) {
        locked(&self.state).now.iter_mut().zip(lrs).for_each(|(now, lr)| now.lr = *lr);
    }

    pub fn set_momenta(&self, momenta: &[f32]) {
        locked(&self.state).now.iter_mut().zip(momenta).for_each(|(now, momentum)| now.momentum = *momentum);
    }

    /// Whether the last step was made: 1 or 0.
    pub fn made(&self) -> Tensor {
        self.tensor.narrow(0, 3, 1).squeeze(0).affine(-1.0, 1.0)
    }

    /// The number of steps that the device has given up, of each parameter.
    pub fn skipped(&self) -> Result<Vec<u64>> {
        Ok(self.skipped.to_vec::<f32>()?.into_iter().map(|skipped| skipped as u64).collect())
    }

    /// The number of gradients that have moved each parameter, group by group, where so many steps of it were given up.
    pub fn counts(&self, skipped: &[u64]) -> Vec<u64> {
        let all = locked(&self.state).counts.concat();
        all.into_iter().zip(skipped).map(|(count, skipped)| count.saturating_sub(left_out(*skipped))).collect()
    }

    pub fn set_counts(&self, all: &[u64], skipped: &[u64]) {
        let mut guard = locked(&self.state);
        let state = &mut *guard;
        let places = state.counts.iter_mut().flatten().zip(state.marks.iter_mut().flatten());
        for ((count, mark), (seen, skipped)) in places.zip(all.iter().zip(skipped)) {
            (*count, *mark) = (*seen + left_out(*skipped), *skipped);
        }
        self.skipped.upload(&skipped.iter().map(|skipped| *skipped as f32).collect::<Vec<_>>());
    }
}

/// Of the steps of a parameter that were given up, those that its count leaves out.
fn left_out(skipped: u64) -> u64 {
    skipped.min(SKIPS as u64 - 1)
}

impl State {
    /// Counts a step that moves these parameters, or takes it back.
    fn count(&mut self, moved: &[Vec<usize>], is_flagged: bool, is_made: bool) {
        // One more before it is used, one less after.
        self.flagged += u64::from(is_flagged && is_made);
        let mark = if is_flagged { mixed(self.flagged) } else { 0 };
        for ((counts, marks), moved) in self.counts.iter_mut().zip(&mut self.marks).zip(moved) {
            for &at in moved {
                counts[at] = if is_made { counts[at] + 1 } else { counts[at] - 1 };
                marks[at] ^= mark;
            }
        }
        self.flagged -= u64::from(is_flagged && !is_made);
    }
}

/// The bits of a number mixed, so that sums of two sets of them are hardly ever equal (SplitMix64).
fn mixed(number: u64) -> u64 {
    let z = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
