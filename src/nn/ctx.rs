//! How a forward pass is run: training or not, tracked or not, and with which random numbers.

use super::module::{Module, Parameter, parameters};
use super::summary::Row;
use crate::device::{Device, moment};
use crate::dtype::DType;
use crate::fused::dropout::Draw;
use crate::tensor::Tensor;
use std::cell::{Cell, OnceCell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Whether layers behave as in training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Dropout drops, batch normalisation uses and gathers the batch's statistics.
    Train,
    /// Dropout passes through, batch normalisation uses its running statistics.
    Eval,
}

/// The random numbers of a run: each training pass gets the next step of one seed's sequence.
#[derive(Debug)]
pub struct Randomness {
    seed: u64,
    step: Arc<AtomicU64>,
}

impl Randomness {
    /// From the first step.
    pub fn new(seed: u64) -> Randomness {
        Randomness { seed, step: Arc::default() }
    }

    /// The number of the next pass: kept with a checkpoint, it lets a run go on with the numbers it would have drawn.
    pub fn step(&self) -> u64 {
        self.step.load(Ordering::Relaxed)
    }

    /// Goes on from a pass's number.
    pub fn set_step(&self, step: u64) {
        self.step.store(step, Ordering::Relaxed);
    }
}

/// What a forward pass needs to know beside its input.
#[derive(Debug)]
pub struct Ctx {
    mode: Mode,
    tracked: bool,
    seed: u64,
    /// Where the next pass's number comes from, in a training pass.
    next: Option<Arc<AtomicU64>>,
    /// When it was made.
    made: u64,
    /// The number of this pass, or of its current replay.
    step: Arc<AtomicU64>,
    /// Whether a device knows that replays of this pass count.
    counts: Cell<bool>,
    /// The step on the device, written when a layer first draws.
    on_device: OnceCell<Tensor>,
    rows: Option<RefCell<Vec<Row>>>,
    /// The last parameter that a layer asked for, which tells where the pass is.
    last: RefCell<Option<Parameter>>,
}

impl Ctx {
    fn new(mode: Mode, tracked: bool) -> Ctx {
        let (next, step, counts) = (None, Arc::default(), Cell::new(false));
        let (on_device, last) = (OnceCell::new(), RefCell::default());
        Ctx { mode, tracked, seed: 0, next, made: moment(), step, counts, on_device, rows: None, last }
    }

    /// A training pass with gradients and the next random numbers.
    pub fn train(randomness: &Randomness) -> Ctx {
        let step = randomness.step.fetch_add(1, Ordering::Relaxed);
        let (next, step) = (Some(randomness.step.clone()), Arc::new(AtomicU64::new(step)));
        Ctx { seed: randomness.seed, next, step, ..Ctx::new(Mode::Train, true) }
    }

    /// A pass without gradients and without chance.
    pub fn eval() -> Ctx {
        Ctx::new(Mode::Eval, false)
    }

    /// The same mode without gradients.
    pub fn untracked(self) -> Ctx {
        Ctx { tracked: false, ..self }
    }

    /// The same mode with gradients.
    pub fn tracked(self) -> Ctx {
        Ctx { tracked: true, ..self }
    }

    /// Whether layers behave as in training.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// A parameter's tensor: tracked where this pass is.
    pub fn param(&self, parameter: &Parameter) -> Tensor {
        let tensor = parameter.tensor();
        self.count(tensor.device());
        self.last.replace(Some(parameter.clone()));
        if self.tracked { tensor } else { tensor.detach() }
    }

    /// What a layer without parameters is called in messages: `MaxPool2d behind conv1`.
    pub(super) fn place(&self, layer: &str) -> String {
        let last = self.last.borrow().as_ref().map(Parameter::tensor);
        let path = last.as_ref().and_then(Tensor::name).and_then(|name| name.rsplit_once('.'));
        path.map_or(layer.to_string(), |(path, _)| format!("{layer} behind {path}"))
    }

    /// Each replay of this pass takes the next number too.
    fn count(&self, device: &Device) {
        let Some(next) = self.next.clone().filter(|_| !self.counts.replace(true)) else { return };
        let (step, counted) = (self.step.clone(), next.clone());
        device.if_capture_fails(move || {
            counted.fetch_sub(1, Ordering::Relaxed);
        });
        device.before_replays(move || step.store(next.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed));
    }

    /// The random numbers of a layer that draws from `stream`. Inside a step that is being captured, a training pass has to
    /// be one that was made there: another has its number already.
    pub fn draw(&self, stream: u32, device: &Device) -> Draw {
        if self.next.is_some() && device.is_capturing_since(self.made) {
            // The error is the capture's, which ends with it.
            let _ = device.refuse_in_capture(|| {
                "capture: random numbers were drawn inside the step by a Ctx from before it, whose numbers are those of one \
                 pass: make the Ctx inside the step, and only its Randomness outside"
                    .into()
            });
        }
        let make = || {
            self.count(device);
            let (tensor, step) = (Tensor::staged([2], DType::I32, device), self.step.clone());
            let target = tensor.clone();
            device.each_run(move || {
                let step = step.load(Ordering::Relaxed);
                target.upload(&[step as u32 as i32, (step >> 32) as i32]);
            });
            tensor
        };
        Draw { seed: self.seed, stream, step: self.on_device.get_or_init(make).clone() }
    }

    /// Notes each layer's output shape.
    pub(crate) fn watching() -> Ctx {
        Ctx { rows: Some(RefCell::default()), ..Ctx::eval() }
    }

    pub(crate) fn into_rows(self) -> Vec<Row> {
        self.rows.map_or_else(Vec::new, RefCell::into_inner)
    }

    /// Every layer hands its output through here, which is how a summary learns of it. `title` describes the layer.
    pub fn seen(&self, layer: &dyn Module, title: impl FnOnce() -> String, output: Tensor) -> Tensor {
        if let Some(rows) = &self.rows {
            let found = parameters(layer);
            let names: Vec<String> = found.iter().filter_map(|(_, p)| p.tensor().name().map(str::to_string)).collect();
            rows.borrow_mut().push(Row {
                path: path_of(&names),
                layer: title(),
                shape: output.shape(),
                parameters: found.iter().map(|(_, p)| p.shape().numel()).sum(),
            });
        }
        output
    }
}

/// The path of the layer that parameters of these names belong to: what all begin with, without any's own name.
fn path_of(names: &[String]) -> String {
    let mut paths = names.iter().map(|name| name.rsplit_once('.').map_or("", |(path, _)| path));
    let mut shared: Vec<&str> = paths.next().unwrap_or("").split('.').collect();
    for path in paths {
        let same = shared.iter().zip(path.split('.')).take_while(|(a, b)| **a == *b).count();
        shared.truncate(same);
    }
    shared.join(".")
}
