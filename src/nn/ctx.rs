//! Contexts of forward passes: training or not, tracked or not, and who follows.

use super::generator::Generator;
use super::module::{Module, Visitor};
use super::parameter::{Entry, Parameter};
use crate::device::Device;
use crate::ops::random::Draw;
use crate::tensor::Tensor;
use std::fmt;
use std::sync::Arc;

/// Whether layers behave as in training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Dropout drops, batch normalisation uses and gathers the batch's statistics.
    Train,
    /// Dropout passes through, batch normalisation uses its running statistics.
    Eval,
}

/// The context of a forward pass, beside its input. It holds nothing of the pass itself: one can serve a whole run, and
/// several threads.
#[doc(alias("no_grad", "is_grad_enabled", "inference_mode"))]
#[derive(Clone)]
pub struct Ctx {
    mode: Mode,
    tracked: bool,
    trace: Option<Arc<dyn Trace>>,
}

impl Ctx {
    /// Training, with gradients.
    pub fn train() -> Ctx {
        Ctx { mode: Mode::Train, tracked: true, trace: None }
    }

    /// A pass without gradients and without chance.
    #[doc(alias("no_grad", "inference_mode"))]
    pub fn eval() -> Ctx {
        Ctx { mode: Mode::Eval, tracked: false, trace: None }
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

    /// Has `trace` told of each layer that runs.
    pub fn traced(self, trace: Arc<dyn Trace>) -> Ctx {
        Ctx { trace: Some(trace), ..self }
    }

    /// Whether layers behave as in training.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// A parameter's tensor: tracked where this pass is.
    pub fn param(&self, parameter: &Parameter) -> Tensor {
        let tensor = parameter.tensor();
        if self.tracked { tensor } else { tensor.detach() }
    }

    /// The next random numbers of a layer's generator, for work on `device`.
    pub fn draw(&self, generator: &Generator, device: &Device) -> Draw {
        generator.draw(device)
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
        let (mode, tracked, traced) = (self.mode, self.tracked, self.trace.is_some());
        f.debug_struct("Ctx").field("mode", &mode).field("tracked", &tracked).field("traced", &traced).finish()
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
