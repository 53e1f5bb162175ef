//! Steps that are captured as they run, once for each set of layouts.

use super::capture::{Captured, Input};
use super::values::{Inputs, Outputs, given};
use crate::device::Device;
use crate::error::Result;
use crate::tensor::Tensor;

/// Captures that a replay keeps at once.
const MOST: usize = 8;
/// Layouts that ran without being captured and are remembered.
const SEEN: usize = 64;

/// The likeness of each input, and the first one in the same buffer.
type Layouts = Vec<(Device, Input, usize)>;

/// A step that is captured when it first runs, and replayed from then on: its kernels run again, its code does not. So
///
/// * numbers of the host (`x * weight_of(epoch)`) stay what they were: what changes goes in as a tensor, as an input;
/// * branches stay those of the first run: a step that has two ways is two `Replay`s;
/// * rates are set before or after [`run`](Replay::run), by a scheduler too: inside it that is an error;
/// * results are returned, not left in variables, and last until the next run: read them, or keep a
///   [`copy`](Tensor::copy).
///
/// Inputs of other shapes are captured apart when they come a second time: a last, smaller batch is replayed from the second
/// epoch on, and shapes that never come again cost no capture. Eight captures are kept, which share memory; a new one takes
/// the place of that which has not run for longest, if its own shapes have come twice since then. Where more shapes than
/// that take turns, eight of them are replayed, and the others run as they are written.
///
/// Where parameters or buffers that the step reads lie elsewhere since (an optimizer was made, or the model was cast, moved or
/// quantized), it is captured anew.
///
/// The second run of each capture asks the code once more, runs none of it, and answers with an error that names the kernel and
/// the number if anything is another; [`Replay::checked`] does so at every run.
///
/// ```
/// use wgrad::nn::{Ctx, Init, Layer, Linear};
/// use wgrad::optim::{Optimizer, Sgd, SgdOptions};
/// use wgrad::plan::Replay;
/// # fn main() -> wgrad::Result<()> {
/// let device = wgrad::Device::cpu();
/// let line = Linear::new(1, 1, &mut Init::new(0, &device));
/// let mut optimizer = Sgd::new(&line, SgdOptions { lr: 0.1, ..SgdOptions::default() })?;
/// let mut step = Replay::new();
/// for i in 0..200 {
///     let x = wgrad::Tensor::from_slice(&[-1.0, i as f32 % 3.0], [2, 1], &device);
///     let y = &x * 2.0 + 1.0;
///     let loss = step.run([&x, &y], |[x, y]| {
///         let loss = (line.forward(x, &Ctx::train()) - y).square().mean();
///         optimizer.step(&loss.backward());
///         Ok(loss)
///     })?;
///     assert!(loss.item()?.is_finite());
/// }
/// assert!((line.weight.tensor().item()? - 2.0).abs() < 1e-3);
/// # Ok(())
/// # }
/// ```
#[doc(alias("torch.compile", "CUDAGraph", "jit"))]
#[derive(Debug, Default)]
pub struct Replay {
    /// Each with the number of its last run, in the order of these.
    captures: Vec<Captured>,
    /// The number of the last run of each.
    last: Vec<u64>,
    /// Layouts that came once, in the order of those runs.
    seen: Vec<(Layouts, u64)>,
    runs: u64,
    /// Whether every run is compared with what was captured.
    checked: bool,
}

impl Replay {
    /// Nothing is captured yet. The second run of each capture is checked.
    pub fn new() -> Replay {
        Replay::default()
    }

    /// A replay whose every run records `work` once more, without running it, and refuses to go on if its kernels, their
    /// numbers or their tensors are not those that were captured. What `work` changes on the host it changes at each run
    /// then, but for steps of optimizers and draws of random numbers, which are counted once.
    pub fn checked() -> Replay {
        Replay { checked: true, ..Replay::default() }
    }

    /// Runs one step: the first run captures `work`, later ones replay it. It takes and gives tensors in arrays, in slices
    /// and a `Vec`, or one alone.
    ///
    /// The results are without history; the next run overwrites them.
    ///
    /// # Errors
    /// As [`Device::capture`] and [`Captured::run`]; [`Error::Capture`](crate::Error::Capture) where a run that is checked
    /// finds that `work` asks for something else than what was captured (then nothing has run), or where `work` gives another
    /// number of results than the step that was captured.
    ///
    /// # Panics
    /// If there are no inputs.
    #[track_caller]
    pub fn run<I: Inputs, O: Outputs>(&mut self, inputs: I, work: impl FnOnce(I) -> Result<O>) -> Result<O> {
        let all = inputs.refs();
        assert!(!all.is_empty(), "run: a replayed step takes at least one input");
        given(self.run_all(&all, || Ok(work(inputs)?.into_vec()))?)
    }

    #[track_caller]
    fn run_all(&mut self, inputs: &[&Tensor], work: impl FnOnce() -> Result<Vec<Tensor>>) -> Result<Vec<Tensor>> {
        self.runs += 1;
        if let Some(at) = self.captures.iter().position(|captured| captured.core.fits(inputs)) {
            if self.captures[at].core.is_past() {
                return self.capture(Some(at), inputs, work);
            }
            // What ran last stands last.
            self.captures[at..].rotate_left(1);
            self.last[at..].rotate_left(1);
            let (last, captured) = (self.last.len() - 1, self.captures.last_mut().expect("it is there"));
            self.last[last] = self.runs;
            // The code runs once more on the side, and may not ask for anything else than it did when it was captured.
            if captured.core.trace.is_some() {
                captured.core.compare(inputs, work)?;
                captured.core.trace.take_if(|_| !self.checked);
            }
            return captured.core.run(inputs);
        }
        if !self.is_worth_it(inputs) {
            return Ok(work()?.iter().map(Tensor::without_history).collect());
        }
        self.capture((self.captures.len() == MOST).then_some(0), inputs, work)
    }

    /// Captures and runs the step, in the place of another capture where one is named.
    #[track_caller]
    fn capture(
        &mut self,
        instead: Option<usize>,
        inputs: &[&Tensor],
        work: impl FnOnce() -> Result<Vec<Tensor>>,
    ) -> Result<Vec<Tensor>> {
        let device = inputs[0].device();
        let step = device.recorded_step(inputs, work)?;
        let captured = device.captured(step, true, &self.captures)?;
        // After the new one is there, so that a step that cannot be captured costs none of the others.
        if let Some(at) = instead {
            self.captures.remove(at);
            self.last.remove(at);
        }
        let results = captured.outputs();
        self.captures.push(captured.into());
        self.last.push(self.runs);
        Ok(results)
    }

    /// Whether a step on inputs of these layouts, of which there is no capture, is captured now: the first one is, others when
    /// they came before, and since the capture ran that would go.
    fn is_worth_it(&mut self, inputs: &[&Tensor]) -> bool {
        let Some(oldest) = self.last.first() else { return true };
        let since = if self.captures.len() < MOST { 0 } else { *oldest };
        // Two inputs in one buffer are another step than two in buffers of their own: a kernel binds a buffer in one way.
        let first = |input: &Tensor| inputs.iter().position(|other| other.buffer() == input.buffer()).unwrap_or(0);
        let layouts: Layouts = inputs.iter().map(|x| (x.device().clone(), Input::like(x), first(x))).collect();
        let before = self.seen.iter().position(|(other, _)| *other == layouts).map(|at| self.seen.remove(at).1);
        if before.is_some_and(|run| run > since) {
            return true;
        }
        if self.seen.len() == SEEN {
            self.seen.remove(0);
        }
        self.seen.push((layouts, self.runs));
        false
    }

    /// The captures, with that which ran last at the end.
    pub fn captures(&self) -> &[Captured] {
        &self.captures
    }
}
