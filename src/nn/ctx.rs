//! Contexts of forward passes: training or not, tracked or not, and who follows.

use super::fits::refuse;
use super::generator::Generator;
use super::int8::widened;
use super::module::{Module, Visitor};
use super::parameter::{Entry, Parameter};
use crate::autograd::checkpoint;
use crate::device::Device;
use crate::dtype::DType;
use crate::ops::random::Draw;
use crate::tensor::Tensor;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Whether layers behave as in training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Dropout drops, batch normalisation uses and gathers the batch's statistics.
    Train,
    /// Dropout passes through, batch normalisation uses its running statistics.
    Eval,
}

/// The types that a pass computes in, by PyTorch's rules for `autocast`: [the guide](crate::guide::mixed_precision) lists them.
#[doc(alias("autocast", "amp", "mixed_precision"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// All of it in f32.
    #[default]
    F32,
    /// Products and what lies between them in f16, which a [`GradScaler`](crate::optim::GradScaler) keeps in its range.
    F16Mixed,
    /// Products and what lies between them in bf16, which has f32's range and fewer digits.
    Bf16Mixed,
}

impl Precision {
    /// The half type, where it is a mixed one.
    pub fn half(self) -> Option<DType> {
        match self {
            Precision::F32 => None,
            Precision::F16Mixed => Some(DType::F16),
            Precision::Bf16Mixed => Some(DType::BF16),
        }
    }
}

/// What runs a second time for its gradient, where a [pass asks for it](Ctx::recompute).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recompute {
    /// Each layer by itself: of layers that are made of others, such as blocks of a Transformer.
    Layers,
    /// About as many segments as there are layers in each (Chen et al., 2016): of layers that each keep little.
    Segments,
}

/// The context of a forward pass, beside its input. It holds nothing of the pass itself: one can serve a whole run, and
/// several threads.
#[doc(alias("no_grad", "is_grad_enabled", "inference_mode"))]
#[derive(Clone)]
pub struct Ctx {
    mode: Mode,
    tracked: bool,
    precision: Precision,
    recompute: Option<(Recompute, u8)>,
    trace: Option<Arc<dyn Trace>>,
    /// The part that is run again, where this is one.
    part: Option<Arc<Part>>,
    /// Adds up statistics over several ranks.
    sum: Option<Arc<Sum>>,
    /// Whether running statistics are the means of those of all batches.
    averages: bool,
    /// What layers compute with in the place of parameters.
    weights: Option<Arc<[(Parameter, Tensor)]>>,
}

/// A part of a pass that is run a second time for its gradient, with the numbers that it has drawn.
struct Part {
    outer: Ctx,
    draws: Arc<Mutex<Vec<Draw>>>,
    /// The number of the next draw, where this is the second time.
    next: Option<AtomicUsize>,
}

impl Part {
    /// Refuses a second run that has drawn less than the first.
    fn check(&self) {
        let Some(drawn) = self.next.as_ref().map(|next| next.load(Ordering::Relaxed)) else { return };
        let first = self.draws.lock().unwrap_or_else(PoisonError::into_inner).len();
        if drawn < first {
            crate::autograd::refuse(format!(
                "checkpoint: the second run draws fewer numbers than the {first} of the first: both runs have to do the same"
            ));
        }
    }
}

/// The sum of a tensor over several ranks, through which gradients flow.
type Sum = dyn Fn(&Tensor) -> Tensor + Send + Sync;

impl Ctx {
    /// Training, with gradients.
    pub fn train() -> Ctx {
        Ctx {
            mode: Mode::Train,
            tracked: true,
            precision: Precision::F32,
            recompute: None,
            trace: None,
            part: None,
            sum: None,
            averages: false,
            weights: None,
        }
    }

    /// A pass without gradients and without chance.
    #[doc(alias("no_grad", "inference_mode"))]
    pub fn eval() -> Ctx {
        Ctx { mode: Mode::Eval, tracked: false, ..Ctx::train() }
    }

    /// The same mode without gradients.
    #[doc(alias("no_grad", "set_grad_enabled"))]
    pub fn untracked(self) -> Ctx {
        Ctx { tracked: false, ..self }
    }

    /// The same mode with gradients.
    pub fn tracked(self) -> Ctx {
        Ctx { tracked: true, ..self }
    }

    /// The same in another precision: weights stay f32, and so do their gradients; what lies between is of the half type.
    ///
    /// ```
    /// use wgrad::nn::{Ctx, Init, Layer, Linear, Precision};
    /// use wgrad::{DType, Device, Tensor};
    /// let device = Device::cpu();
    /// let model = Linear::new(3, 2, &mut Init::new(0, &device));
    /// let ctx = Ctx::train().precision(Precision::Bf16Mixed);
    /// let y = model.forward(&Tensor::ones([4, 3], &device), &ctx);
    /// assert_eq!(y.dtype(), DType::BF16);
    /// let grads = y.square().mean().backward();
    /// assert_eq!(grads.of(&model.weight.tensor()).expect("it has one").dtype(), DType::F32);
    /// ```
    #[doc(alias("autocast", "amp"))]
    pub fn precision(self, precision: Precision) -> Ctx {
        Ctx { precision, ..self }
    }

    /// Has batch normalisation take its statistics over the parts of a batch that several ranks have: `sum` adds a tensor up over
    /// them, and is tracked. [`DataParallel::synced`](crate::parallel::DataParallel::synced) is such a pass.
    #[doc(alias = "SyncBatchNorm")]
    pub fn synced(self, sum: impl Fn(&Tensor) -> Tensor + Send + Sync + 'static) -> Ctx {
        Ctx { sum: Some(Arc::new(sum)), ..self }
    }

    /// The sum over ranks, where statistics are to be taken so.
    pub(super) fn sum(&self) -> Option<&Sum> {
        self.sum.as_deref()
    }

    /// Has running statistics of batch normalisation become the means of those of all batches.
    pub(super) fn averaging(self) -> Ctx {
        Ctx { averages: true, ..self }
    }

    /// Whether they become so, whatever a layer's momentum is.
    pub(super) fn averages(&self) -> bool {
        self.averages
    }

    /// Has layers compute with these tensors in the place of their parameters; the others stay. Gradients flow to what they were made
    /// of, so that a model can be run with weights after a step that is itself differentiated, or that another network gives.
    /// PyTorch's `torch.func.functional_call`. Buffers stay the model's: batch normalisation gathers its statistics as before.
    ///
    /// ```
    /// use wgrad::nn::{Ctx, Init, Layer, Linear, Module, parameters};
    /// let device = wgrad::Device::cpu();
    /// let model = Linear::new(2, 1, &mut Init::new(0, &device));
    /// let (x, ctx) = (wgrad::Tensor::ones([4, 2], &device), Ctx::train());
    /// let loss = |ctx: &Ctx| model.forward(&x, ctx).square().mean();
    /// // The loss after a step of gradient descent, and how it depends on the weights before it: MAML.
    /// let own = model.tensors();
    /// let slopes = loss(&ctx).grad(&own.iter().collect::<Vec<_>>()[..]);
    /// let fast = parameters(&model).into_iter().zip(own.iter().zip(&slopes)).map(|((_, at), (x, slope))| (at, x - slope * 0.1));
    /// let grads = loss(&ctx.with_weights(fast)).backward();
    /// assert!(grads.of(&model.weight.tensor()).is_some());
    /// ```
    ///
    /// # Panics
    /// If a tensor has not the shape of its parameter.
    #[doc(alias("functional_call", "stateless"))]
    #[track_caller]
    pub fn with_weights(self, weights: impl IntoIterator<Item = (Parameter, Tensor)>) -> Ctx {
        let mut all = Vec::new();
        for (parameter, tensor) in weights {
            let (own, given, at) = (parameter.shape(), tensor.shape(), parameter.tensor());
            let name = at.name().unwrap_or("a parameter");
            assert!(own == given, "with_weights: {name}: expected {own}, got {given}");
            all.push((parameter, tensor));
        }
        // What was told before counts where nothing else is told.
        all.extend(self.weights.iter().flat_map(|before| before.iter().cloned()));
        Ctx { weights: Some(all.into()), ..self }
    }

    /// Has `trace` told of each layer that runs.
    pub fn traced(self, trace: Arc<dyn Trace>) -> Ctx {
        Ctx { trace: Some(trace), ..self }
    }

    /// Whether layers behave as in training.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// A parameter's tensor: tracked where this pass is and it is not [frozen](Parameter::set_requires_grad). In a mixed pass products take it in the half type, and elsewhere it
    /// changes the type of nothing that it meets. One that is held in bytes is widened.
    ///
    /// # Panics
    /// If it is held in bytes ([`quantize_int8`](method@Module::quantize_int8)) and the pass is tracked.
    #[track_caller]
    pub fn param(&self, parameter: &Parameter) -> Tensor {
        let other = self.weights.iter().flat_map(|all| all.iter()).find(|(own, _)| own.is(parameter));
        refuse(self.int8(parameter).filter(|_| other.is_none()));
        let tensor = match other.map(|(_, tensor)| tensor.clone()).or_else(|| widened(parameter)) {
            Some(tensor) if self.tracked => tensor,
            Some(tensor) => tensor.detach(),
            None if self.tracked => {
                let (tensor, own) = (parameter.tensor(), parameter.clone());
                let is_trained = tensor.is_tracked();
                tensor.device().guard_replays(move || (own.requires_grad() != is_trained).then(|| own.frozen_since()));
                tensor
            }
            None => parameter.tensor().detach(),
        };
        self.precision.half().map_or(tensor.clone(), |half| tensor.of_pass(half))
    }

    /// What is wrong with a parameter that is held in bytes, in a pass with gradients.
    pub(super) fn int8(&self, parameter: &Parameter) -> Option<String> {
        parameter.scale().filter(|_| self.tracked)?;
        let tensor = parameter.tensor();
        let name = tensor.name().unwrap_or("a weight");
        Some(format!(
            "{name} is held in int8, which has no gradient: expected a pass without (`Ctx::eval()`, `untracked()`), got one with"
        ))
    }

    /// Floats in the type that this pass keeps between its layers: for what a model adds that is no parameter, such as
    /// positions that are computed. A pass in f32 leaves them what they are, and takes what a mixed pass has made out of it: in f32, for
    /// operations in f32.
    ///
    /// ```
    /// use wgrad::nn::{Ctx, Precision, sinusoidal_positions};
    /// use wgrad::{DType, Device};
    /// let positions = sinusoidal_positions(8, 4, &Device::cpu());
    /// assert_eq!(Ctx::eval().precision(Precision::F16Mixed).cast(&positions).dtype(), DType::F16);
    /// assert_eq!(Ctx::eval().cast(&positions).dtype(), DType::F32);
    /// ```
    pub fn cast(&self, x: &Tensor) -> Tensor {
        self.precision.half().map_or_else(|| x.left(), |half| x.cast(half).of_pass(half).entered())
    }

    pub(super) fn is_mixed(&self) -> bool {
        self.precision.half().is_some()
    }

    /// The next random numbers of a layer's generator, for work on `device`. Where a part of the pass is run again
    /// ([`Ctx::checkpoint`]), they are those of the first time.
    ///
    /// # Panics
    /// If a part draws more the second time than the first.
    #[track_caller]
    pub fn draw(&self, generator: &Generator, device: &Device) -> Draw {
        let Some(part) = &self.part else { return generator.draw(device) };
        let logged = || part.draws.lock().unwrap_or_else(PoisonError::into_inner);
        match &part.next {
            None => {
                let draw = part.outer.draw(generator, device);
                logged().push(draw.clone());
                draw
            }
            Some(next) => {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let draw = logged().get(at).cloned();
                assert!(draw.is_some(), "checkpoint: the second run draws more numbers than the {at} of the first");
                draw.unwrap_or_else(|| generator.draw(device))
            }
        }
    }

    /// What `work` makes of `inputs`, without what its gradient needs: that is computed again when the gradient is due. The
    /// memory of a part's activations is then needed for that part alone, for a second forward pass of it. Masks are those of
    /// the first time, running statistics move once, and no bit changes. PyTorch's `torch.utils.checkpoint`;
    /// [`Checkpoint`](super::Checkpoint) is a layer of it.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use wgrad::nn::{Ctx, Init, Layer, Linear};
    /// let device = wgrad::Device::cpu();
    /// let block = Arc::new(Linear::new(3, 3, &mut Init::new(0, &device)));
    /// let x = wgrad::Tensor::ones([2, 3], &device);
    /// let own = block.clone();
    /// let y = Ctx::train().checkpoint([&x], move |[x], ctx| own.forward(x, ctx).gelu());
    /// assert_eq!(y.sum().backward().len(), 2);
    /// ```
    #[doc(alias("torch.utils.checkpoint", "gradient checkpointing", "remat"))]
    #[track_caller]
    pub fn checkpoint<const N: usize>(
        &self,
        inputs: [&Tensor; N],
        work: impl Fn([&Tensor; N], &Ctx) -> Tensor + Send + Sync + 'static,
    ) -> Tensor {
        if !self.tracked {
            return work(inputs, self);
        }
        let (outer, draws) = (self.clone(), Arc::<Mutex<Vec<Draw>>>::default());
        checkpoint(&inputs, move |inputs, again| {
            let part = Part { outer: outer.clone(), draws: draws.clone(), next: again.then(AtomicUsize::default) };
            let (trace, part) = (outer.trace.clone().filter(|_| !again), Arc::new(part));
            let ctx = Ctx { trace, part: Some(part.clone()), ..outer.clone() };
            let y = work(std::array::from_fn(|at| &inputs[at]), &ctx);
            part.check();
            y
        })
    }

    /// Has parts of a model keep no activations, and run a second time for their gradients: layers in
    /// [`Checkpoint::where_asked`](super::Checkpoint::where_asked), and the layers of a [`Sequential`](super::Sequential). `within`
    /// tells which: 0 the outermost, 1 those that are layers of it, and so on. No bit changes: see
    /// [`checkpoint`](Ctx::checkpoint). [`Trainer::max_memory`](crate::train::Trainer::max_memory) asks for it where a step would
    /// not fit.
    ///
    /// ```
    /// use wgrad::nn::{Ctx, Gelu, Init, Layer, Linear, Recompute, Sequential};
    /// let device = wgrad::Device::cpu();
    /// let init = &mut Init::new(0, &device);
    /// let model = (0..9).fold(Sequential::new(), |all, _| all.push(Linear::new(8, 8, init)).push(Gelu::new()));
    /// let planned = |ctx: &Ctx| {
    ///     let step = |x: &wgrad::Tensor| Ok(model.forward(x, ctx).square().mean().backward().iter().map(|(_, gradient)| gradient.clone()).collect::<Vec<_>>());
    ///     device.estimate(&wgrad::Tensor::ones([512, 8], &device), step).map(|memory| memory.planned)
    /// };
    /// assert!(2 * planned(&Ctx::train().recompute(Recompute::Segments, 0))? < planned(&Ctx::train())?);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[doc(alias("checkpoint_sequential", "gradient_checkpointing_enable"))]
    pub fn recompute(self, parts: Recompute, within: u8) -> Ctx {
        Ctx { recompute: Some((parts, within)), ..self }
    }

    /// What is to run again here, where anything is.
    pub(super) fn recomputes(&self) -> Option<(Recompute, u8)> {
        self.recompute.filter(|_| self.tracked)
    }

    /// The same pass within a container.
    pub(super) fn within(&self, recompute: Option<(Recompute, u8)>) -> Ctx {
        Ctx { recompute, ..self.clone() }
    }

    /// Whether a part of the pass is being run a second time for its gradient ([`Ctx::checkpoint`]): what a layer changes by
    /// itself, it has changed before.
    pub fn runs_again(&self) -> bool {
        self.part.as_ref().is_some_and(|part| part.next.is_some() || part.outer.runs_again())
    }

    /// Tells the trace, where there is one, that a module begins. [`Layer::forward`](super::Layer::forward) does so by itself;
    /// a module of several inputs does it in its own forward.
    pub fn enter<M: Module + ?Sized>(&self, module: &M, title: impl FnOnce() -> String) {
        let Some(trace) = &self.trace else { return };
        let mut parameters = Vec::new();
        let mut each = |_: &str, entry: Entry| {
            if let Entry::Parameter(parameter) = entry {
                parameters.push(parameter.clone());
            }
        };
        let path = Visitor::walk(module, &mut each);
        trace.entered(Entered { path, title: title(), parameters });
    }

    /// Tells the trace what the module gave that was entered last.
    pub fn leave(&self, output: &Tensor) {
        if let Some(trace) = &self.trace {
            trace.left(output);
        }
    }
}

impl fmt::Debug for Ctx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mode, tracked, precision) = (self.mode, self.tracked, self.precision);
        let mut all = f.debug_struct("Ctx");
        all.field("mode", &mode).field("tracked", &tracked).field("precision", &precision);
        all.field("traced", &self.trace.is_some()).finish()
    }
}

/// Follows a pass layer by layer ([`Ctx::traced`]), as PyTorch's forward hooks do: for summaries, statistics of
/// activations, and features from inside a model.
#[doc(alias = "register_forward_hook")]
pub trait Trace: Send + Sync {
    /// A layer is about to run, within those that were entered and not left.
    fn entered(&self, layer: Entered);

    /// The layer that was entered last gave this.
    fn left(&self, output: &Tensor);
}

/// A layer that runs.
#[derive(Debug, Clone)]
pub struct Entered {
    /// Its path in the model, empty where nothing in it knows one.
    pub path: String,
    /// Its title: `Linear(8, 2)`.
    pub title: String,
    /// Its parameters, those of the layers within too.
    pub parameters: Vec<Parameter>,
}
