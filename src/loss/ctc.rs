//! Connectionist temporal classification: `shaders/ctc_loss.wgsl`, `shaders/ctc_loss_backward.wgsl`.
//!
//! A path is the labels of a sequence with a blank before and behind each. The kernels walk its places, whose log-probabilities
//! are gathered before.

use super::reduced;
use crate::autograd::composed;
use crate::dtype::DType;
use crate::kernel::functions::{exp, ln};
use crate::kernel::{
    Access, Call, Constant, Cost, Dispatch, Info, Kernel, Lowering, Pass, Shader, Slot, Tolerance, Uniform, Variant,
    parallel, shader,
};
use crate::ops::reduce::KeepDims;
use crate::ops::reduction::Reduction;
use crate::tensor::Tensor;
use bytemuck::{Pod, Zeroable};

use Access::{Read, ReadWrite, Write};

static FORWARD: Shader = shader!("ctc_loss", ["ctc"], &[Read, Read, Read, Read, ReadWrite, Write]);

static BACKWARD: Shader =
    shader!("ctc_loss_backward", ["ctc"], &[Read, Read, Read, Read, Read, Read, Write, ReadWrite]);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Uniform)]
struct CtcParams {
    batch: u32,
    steps: u32,
    /// Of a path: two for each label, and one.
    places: u32,
    blank: i32,
    /// Of a pass: its steps.
    start: u32,
    end: u32,
}

impl CtcParams {
    /// Invocations of a workgroup.
    fn threads(&self) -> u32 {
        if self.places > 64 { 256 } else { 64 }
    }

    /// Steps that an invocation may walk in 60,000 iterations.
    fn steps_at_once(&self) -> u32 {
        60_000 / (1 + self.places.div_ceil(self.threads()))
    }

    /// Whether an alignment may go from the place two before to `place` of a path.
    fn leaps(&self, path: &[i32], place: usize) -> bool {
        place > 1 && path[place] != self.blank && path[place] != path[place - 2]
    }

    /// Steps of a sequence that count, at least one, and the place of its path that comes last.
    fn ends(&self, steps: i32, labels: i32) -> [usize; 2] {
        [steps.clamp(1, self.steps as i32) as usize, 2 * labels.max(0) as usize]
    }
}

fn cost(d: &Dispatch) -> Cost {
    d.cost(8 * d.len(0) as u64)
}

/// A pass for as many steps as an invocation may walk.
fn passes(d: &Dispatch, shader: &'static Shader, entry: &'static str, slots: &[Slot]) -> Vec<Pass> {
    let p: CtcParams = d.params();
    let parts = (0..p.steps).step_by(p.steps_at_once() as usize);
    parts
        .map(|start| {
            let end = (start + p.steps_at_once()).min(p.steps);
            Pass::new(shader, entry, u64::from(p.batch))
                .constant("THREADS", Constant::U32(p.threads()))
                .slots(slots)
                .params(&CtcParams { start, end, ..p })
        })
        .collect()
}

fn forward(_: &Info, d: &Dispatch) -> Lowering {
    let slots = [0, 1, 2, 3, 4, 5].map(Slot::Arg);
    Lowering { passes: passes(d, &FORWARD, "ctc_loss", &slots), scratch: Vec::new() }
}

fn backward(_: &Info, d: &Dispatch) -> Lowering {
    let p: CtcParams = d.params();
    let mut out = Lowering::default();
    let later = out.scratch(8 * u64::from(p.batch) * u64::from(p.places));
    let [seen, path, steps, labels, reached, dy, dx] = [0, 1, 2, 3, 4, 5, 6].map(Slot::Arg);
    let slots = [seen, path, steps, labels, reached, dy, dx, later];
    out.passes = passes(d, &BACKWARD, "ctc_loss_backward", &slots);
    out
}

fn fits(info: &Info, d: &Dispatch) -> bool {
    let p: CtcParams = d.params();
    info.max_threads >= p.threads() && p.steps_at_once() > 0
}

/// Of all ways to each place at each step [batch, steps, places] and losses [batch], from the places' log-probabilities, paths and
/// numbers of steps and labels.
static CTC_LOSS: Kernel = Kernel::new("ctc_loss", &[Read, Read, Read, Read, Write, Write], forward_definition, cost)
    .host(forward_host)
    .tolerance(Tolerance::SUMMED)
    .variants(&[Variant::new("group", forward).fits(fits)]);

/// The gradient of the places' log-probabilities, from those, paths, numbers of steps and labels, what was reached, and dy.
static CTC_LOSS_BACKWARD: Kernel =
    Kernel::new("ctc_loss_backward", &[Read, Read, Read, Read, Read, Read, Write], backward_definition, cost)
        .host(backward_host)
        .tolerance(Tolerance::SUMMED)
        .proportional_to(&[5])
        .variants(&[Variant::new("group", backward).fits(fits)]);

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&CTC_LOSS, &CTC_LOSS_BACKWARD];

/// `log(e^a + e^b + e^c)`
fn joined(ways: [f64; 3]) -> f64 {
    if ways.iter().any(|way| way.is_nan()) {
        return f64::NAN;
    }
    let top = ways.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if top.is_infinite() {
        return top;
    }
    top + ways.iter().map(|way| (way - top).exp()).sum::<f64>().ln()
}

/// The loss of a path, of which these were reached at its last step.
fn loss(reached: &[f32], end: usize) -> f64 {
    let way = |place: Option<usize>| place.map_or(f64::NEG_INFINITY, |place| f64::from(reached[place]));
    if end < reached.len() { -joined([way(Some(end)), way(end.checked_sub(1)), way(None)]) } else { f64::NAN }
}

fn forward_definition(call: &mut Call) {
    let (p, seen, path) = (call.params::<CtcParams>(), call.read::<f32>(0), call.read::<i32>(1));
    let (steps, labels) = (call.read::<i32>(2), call.read::<i32>(3));
    let places = p.places as usize;
    let each = p.steps as usize * places;
    let path = |b: usize| &path[b * places..][..places];
    let (reached, losses) = (call.write::<f32>(4), call.write::<f32>(5));
    parallel::chunks(reached, each, |b, reached| {
        let (path, [count, end]) = (path(b), p.ends(steps[b], labels[b]));
        reached.fill(f32::NEG_INFINITY);
        for t in 0..count {
            let (before, reached) = reached.split_at_mut(t * places);
            for s in 0..places.min(end + 1) {
                let from = |back: usize, is_open: bool| match t {
                    _ if !is_open => f64::NEG_INFINITY,
                    0 => {
                        if s < 2 && back == 0 {
                            0.0
                        } else {
                            f64::NEG_INFINITY
                        }
                    }
                    _ => f64::from(before[(t - 1) * places + s - back]),
                };
                let ways = [from(0, true), from(1, s > 0), from(2, p.leaps(path, s))];
                reached[s] = (joined(ways) + f64::from(seen[b * each + t * places + s])) as f32;
            }
        }
    });
    for (b, y) in losses.iter_mut().enumerate() {
        let [count, end] = p.ends(steps[b], labels[b]);
        *y = loss(&reached[b * each + (count - 1) * places..][..places], end) as f32;
    }
}

fn backward_definition(call: &mut Call) {
    let (p, seen, path) = (call.params::<CtcParams>(), call.read::<f32>(0), call.read::<i32>(1));
    let (steps, labels) = (call.read::<i32>(2), call.read::<i32>(3));
    let (reached, dy) = (call.read::<f32>(4), call.read::<f32>(5));
    let places = p.places as usize;
    let each = p.steps as usize * places;
    parallel::chunks(call.write::<f32>(6), each, |b, dx| {
        let (path, [count, end]) = (&path[b * places..][..places], p.ends(steps[b], labels[b]));
        let (seen, reached) = (&seen[b * each..][..each], &reached[b * each..][..each]);
        dx.fill(0.0);
        if dy[b] == 0.0 {
            return;
        }
        let loss = loss(&reached[(count - 1) * places..][..places], end);
        let end = end.min(places - 1);
        // Of all ways on from each place, and, of the step after, with its own log-probability.
        let mut later = vec![f64::NEG_INFINITY; places];
        for t in (0..count).rev() {
            let on: Vec<f64> = match seen.get((t + 1) * places..(t + 2) * places) {
                Some(seen) => later.iter().zip(seen).map(|(later, seen)| later + f64::from(*seen)).collect(),
                None => later.clone(),
            };
            for s in 0..places.min(end + 1) {
                let to = |place: usize, is_open: bool| if is_open { on[place] } else { f64::NEG_INFINITY };
                later[s] = if t + 1 < count {
                    joined([to(s, true), to(s + 1, s < end), to(s + 2, s + 2 <= end && p.leaps(path, s + 2))])
                } else if s == end || s + 1 == end {
                    0.0
                } else {
                    f64::NEG_INFINITY
                };
                let share = ((f64::from(reached[t * places + s]) + loss) + later[s]).exp();
                dx[t * places + s] = (-f64::from(dy[b]) * share) as f32;
            }
        }
    });
}

/// [`joined`], in f32.
#[inline(always)]
fn joined_f32(a: f32, b: f32, c: f32) -> f32 {
    let top = a.max(b).max(c);
    let sum = exp(a - top) + exp(b - top) + exp(c - top);
    // Nothing leads here, or something that is no number.
    if top == f32::NEG_INFINITY { a + b + c } else { top + ln(sum) }
}

impl CtcParams {
    /// What a way to each place of a path from the one two before adds: nothing, or that there is none. The second place is
    /// one to begin at. Two more are behind.
    fn gates(&self, path: &[i32]) -> Vec<f32> {
        let gate = |s| if s == 1 || s < path.len() && self.leaps(path, s) { 0.0 } else { f32::NEG_INFINITY };
        (0..path.len() + 2).map(gate).collect()
    }
}

/// All places of a step side by side.
fn forward_host(call: &mut Call) {
    let (p, seen, path) = (call.params::<CtcParams>(), call.read::<f32>(0), call.read::<i32>(1));
    let (steps, labels) = (call.read::<i32>(2), call.read::<i32>(3));
    let places = p.places as usize;
    let each = p.steps as usize * places;
    let (reached, losses) = (call.write::<f32>(4), call.write::<f32>(5));
    parallel::chunks(
        reached,
        each,
        #[inline(always)]
        |b, reached| {
            let [count, end] = p.ends(steps[b], labels[b]);
            let (gates, live) = (p.gates(&path[b * places..][..places]), places.min(end + 1));
            reached.fill(f32::NEG_INFINITY);
            // Two places before the first, which nothing reaches.
            let mut before = vec![f32::NEG_INFINITY; live + 2];
            before[1] = 0.0;
            for (reached, seen) in reached.chunks_mut(places).zip(seen[b * each..].chunks(places)).take(count) {
                let ways = before[2..].iter().zip(&before[1..]).zip(&before).zip(&gates);
                for ((y, seen), (((here, one), two), gate)) in reached[..live].iter_mut().zip(seen).zip(ways) {
                    *y = joined_f32(*here, *one, two + gate) + seen;
                }
                before[1] = f32::NEG_INFINITY;
                before[2..].copy_from_slice(&reached[..live]);
            }
        },
    );
    for (b, y) in losses.iter_mut().enumerate() {
        let [count, end] = p.ends(steps[b], labels[b]);
        *y = loss(&reached[b * each + (count - 1) * places..][..places], end) as f32;
    }
}

/// Likewise.
fn backward_host(call: &mut Call) {
    let (p, seen, path) = (call.params::<CtcParams>(), call.read::<f32>(0), call.read::<i32>(1));
    let (steps, labels) = (call.read::<i32>(2), call.read::<i32>(3));
    let (reached, dy) = (call.read::<f32>(4), call.read::<f32>(5));
    let places = p.places as usize;
    let each = p.steps as usize * places;
    parallel::chunks(
        call.write::<f32>(6),
        each,
        #[inline(always)]
        |b, dx| {
            dx.fill(0.0);
            if dy[b] == 0.0 {
                return;
            }
            let [count, end] = p.ends(steps[b], labels[b]);
            let (gates, live) = (p.gates(&path[b * places..][..places]), places.min(end + 1));
            let (seen, reached) = (&seen[b * each..][..each], &reached[b * each..][..each]);
            let loss = loss(&reached[(count - 1) * places..][..places], end) as f32;
            let mut later = vec![f32::NEG_INFINITY; live];
            later[live.saturating_sub(2)..].fill(0.0);
            // Two places behind the last, to which nothing leads.
            let mut on = vec![f32::NEG_INFINITY; live + 2];
            for t in (0..count).rev() {
                if t + 1 < count {
                    let next = later.iter().zip(&seen[(t + 1) * places..]);
                    on.iter_mut().zip(next).for_each(|(on, (later, seen))| *on = later + seen);
                    let ways = on.iter().zip(&on[1..]).zip(&on[2..]).zip(&gates[2..]);
                    for (later, (((here, one), two), gate)) in later.iter_mut().zip(ways) {
                        *later = joined_f32(*here, *one, two + gate);
                    }
                }
                let row = dx[t * places..][..live].iter_mut().zip(&reached[t * places..]).zip(&later);
                row.for_each(|((dx, reached), later)| *dx = -dy[b] * exp((reached + loss) + later));
            }
        },
    );
}

/// What a loss is made of but the log-probabilities `[batch, steps, places]`.
#[derive(Clone)]
struct Paths {
    /// Classes, i32 `[batch, places]`.
    path: Tensor,
    /// Numbers of steps and of labels, i32 `[batch]`.
    steps: Tensor,
    labels: Tensor,
    blank: i32,
}

impl Paths {
    /// The losses `[batch]`.
    #[track_caller]
    fn losses(&self, seen: &Tensor) -> Tensor {
        let (shape, device) = (seen.shape(), seen.device());
        let [batch, steps, places] = [shape[0], shape[1], shape[2]].map(|size| size as u32);
        let p = CtcParams { batch, steps, places, blank: self.blank, start: 0, end: 0 };
        let (x, reached) = (seen.contiguous(), Tensor::empty(shape, DType::F32, device));
        let losses = Tensor::empty([shape[0]], DType::F32, device);
        if batch > 0 {
            let args = [&x.detach(), &self.path, &self.steps, &self.labels, &reached, &losses];
            Tensor::run(&CTC_LOSS, &args, &p);
        }
        let (x, reached, own) = (x.saved(), reached.saved(), self.clone());
        losses.tracked("ctc_loss", &[seen], move |dy, needs| {
            if let Some(gradients) = composed(dy, needs, &[&x], |x| own.losses_by_steps(&x[0])) {
                return gradients;
            }
            let dx = Tensor::empty(x.shape(), DType::F32, dy.device());
            if batch > 0 {
                let args = [&x.detach(), &own.path, &own.steps, &own.labels, &reached, &dy.contiguous(), &dx];
                Tensor::run(&CTC_LOSS_BACKWARD, &args, &p);
            }
            vec![Some(dx)]
        })
    }

    /// The same in operations, to be differentiated again.
    #[track_caller]
    fn losses_by_steps(&self, seen: &Tensor) -> Tensor {
        let Paths { path, steps, labels, blank } = self;
        let (shape, none) = (seen.shape(), f32::NEG_INFINITY);
        let (batch, time, length) = (shape[0], shape[1], shape[2]);
        let late = |x: &Tensor, by: usize| x.narrow(1, 0, length.saturating_sub(by)).pad(&[(by.min(length), 0)], none);
        // Two places on leads from a label to another one.
        let far = length.saturating_sub(2);
        let leaps = path
            .narrow(1, length - far, far)
            .ne(path.narrow(1, 0, far))
            .mul(&path.narrow(1, length - far, far).ne(*blank));
        let stays = leaps.pad(&[(length - far, 0)], 0.0).eq(0.0);
        let places = Tensor::arange(0, length as i32, seen.device());
        let at = |t: usize| seen.narrow(1, t, 1).squeeze(1);
        let mut reached = at(0).masked_fill(&places.gt(1).expand([batch, length]), none);
        for t in 1..time {
            let leapt = late(&reached, 2).masked_fill(&stays, none);
            let next = reached.logaddexp(&late(&reached, 1)).logaddexp(&leapt).add(&at(t));
            reached = Tensor::where_(&steps.gt(t as i32).unsqueeze(1), &next, &reached);
        }
        let last = labels.add(labels).unsqueeze(1);
        let [whole, open] = [0, 1].map(|back: i32| {
            let place = last.sub(&Tensor::scalar(back, seen.device())).maximum(0);
            reached.gather(1, &place).squeeze(1)
        });
        whole.logaddexp(&open.masked_fill(&labels.eq(0), none)).neg()
    }
}

/// PyTorch's arguments of `ctc_loss`, and its defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CtcOptions {
    /// The class that stands for no label.
    pub blank: i32,
    /// The reduction; a mean divides each loss by its labels first.
    pub reduction: Reduction,
    /// Whether sequences too short for their labels count nothing; else their loss is infinite.
    pub zero_infinity: bool,
}

impl Default for CtcOptions {
    fn default() -> CtcOptions {
        CtcOptions { blank: 0, reduction: Reduction::Mean, zero_infinity: false }
    }
}

/// # Sequences without alignment
impl Tensor {
    /// Connectionist temporal classification (Graves et al., 2006): minus the logarithm of the probability of label sequences
    /// in all their alignments. These are log-probabilities `[steps, batch, classes]`, as [`Tensor::log_softmax`] gives them, with
    /// labels (i32) `[batch, labels]` and the numbers (i32) `[batch]` of steps and of labels that count in each. The labels of all
    /// sequences may stand behind one another too, `[sum of the numbers]`. As in PyTorch, the gradient supposes that these are
    /// log-probabilities. The alignments take one kernel, and one for the gradient.
    ///
    /// # Panics
    /// If the shapes do not fit, or labels or numbers are not i32.
    #[doc(alias = "CTCLoss")]
    #[track_caller]
    pub fn ctc_loss(&self, labels: &Tensor, steps: &Tensor, counts: &Tensor, options: CtcOptions) -> Tensor {
        let op = "ctc_loss";
        if self.rank() == 2 && labels.rank() == 1 && steps.numel() == 1 && counts.numel() == 1 {
            // One sequence.
            let [steps, counts] = [steps, counts].map(|n| n.reshape([1]));
            let loss = self.unsqueeze(1).ctc_loss(&labels.unsqueeze(0), &steps, &counts, options);
            return loss.reshape(());
        }
        if self.rank() == 3 && labels.rank() == 1 && counts.rank() == 1 {
            // What has more labels than steps cannot be reached, however many more they are.
            let most = labels.numel().min(self.size(0) + 1);
            let counts = counts.indices(op, "numbers of labels").cast(DType::F32);
            let starts = counts.cumsum(0).sub(&counts).unsqueeze(1);
            let places = starts.add(&Tensor::arange(0, most as i32, self.device()).cast(DType::F32));
            let places = places.clamp(0.0, labels.numel().saturating_sub(1) as f32).cast(DType::I32).flatten(0);
            let rows = labels.indices(op, "labels").index_select(0, &places).reshape([counts.numel(), most]);
            return self.ctc_loss(&rows, steps, &counts.clamp(0.0, most as f32).cast(DType::I32), options);
        }
        let [x, l, s, c] = [self, labels, steps, counts].map(Tensor::shape);
        let fits = x.rank() == 3 && x[0] > 0 && l.rank() == 2 && l[0] == x[1] && s[..] == x[1..2] && c[..] == x[1..2];
        assert!(
            fits,
            "{op}: {x} x {l} x {s} x {c}: expected [steps, batch, classes], labels [batch, labels] or \
             [sum of numbers], and two numbers [batch]"
        );
        assert!(self.dtype().is_float(), "{op}: expected log-probabilities of floats, got {}", self.dtype());
        if self.dtype().is_half() {
            return Tensor::in_f32(op, [self], |[x]| x.ctc_loss(labels, steps, counts, options));
        }
        let [labels, steps, counts] = [(labels, "labels"), (steps, "numbers of steps"), (counts, "numbers of labels")]
            .map(|(x, what)| x.indices(op, what));
        let (time, batch, device) = (x[0], x[1], self.device());
        // A blank before and behind each label.
        let blank = Tensor::full([batch, l[1], 1], options.blank, device);
        let pairs = Tensor::cat(&[&blank, &labels.unsqueeze(2)], 2).reshape([batch, 2 * l[1]]);
        let path = Tensor::cat(&[&pairs, &Tensor::full([batch, 1], options.blank, device)], 1);
        let length = 2 * l[1] + 1;
        // Labels that do not count may be of no class.
        let behind = Tensor::arange(0, length as i32, device).gt(counts.add(&counts).unsqueeze(1));
        let path = Tensor::where_(&behind, &path.new_full([], options.blank as f32), &path);
        // As PyTorch's, the gradient is one that the logarithm of a softmax before it leaves as it is.
        let saved = self.saved();
        let x = self.detach().tracked("log_probabilities", &[self], move |dy, _| {
            vec![Some(dy.sub(&saved.exp().mul(&dy.sum_dims(&[-1], KeepDims::Yes))))]
        });
        let seen = x.permute(&[1, 0, 2]).gather(2, &path.unsqueeze(1).expand([batch, time, length]));
        let paths = Paths {
            path: path.contiguous(),
            steps: steps.contiguous(),
            labels: counts.contiguous(),
            blank: options.blank,
        };
        let losses = paths.losses(&seen);
        let losses = match options.zero_infinity {
            true => losses.masked_fill(&losses.detach().eq(f32::INFINITY), 0.0),
            false => losses,
        };
        match options.reduction {
            Reduction::Mean => losses.div(&counts.cast(DType::F32).clamp(1.0, f32::INFINITY)).mean(),
            reduction => reduced(&losses, reduction),
        }
    }
}
