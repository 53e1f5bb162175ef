//! A table of a model's layers.

use super::ctx::{Ctx, Entered, Trace};
use super::module::{Layer, Module, distinct};
use super::parameter::Parameter;
use crate::device::Device;
use crate::shape::Shape;
use crate::tensor::Tensor;
use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// One layer of a summary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The layer's path; empty for the whole model.
    pub path: String,
    /// The layer's title.
    pub layer: String,
    /// The shape of its output.
    pub shape: Shape,
    /// The number of elements of the parameters that are its own, and of no layer within it that has a row.
    pub parameters: usize,
    /// Operations of its kernels, a multiplication and an addition being two. A layer without parameters counts to the one that
    /// made its input.
    pub operations: u64,
}

fn elements(parameters: &[Parameter]) -> usize {
    let mut seen = HashSet::new();
    parameters.iter().filter(|own| seen.insert(own.key())).map(|own| own.shape().numel()).sum()
}

/// A summary in the making.
#[derive(Default)]
struct Rows(Mutex<Made>);

#[derive(Default)]
struct Made {
    rows: Vec<Row>,
    /// The places of the rows whose layers run, each with the elements within that are not its own.
    open: Vec<(usize, usize)>,
}

impl Trace for Rows {
    fn entered(&self, Entered { path, title, parameters }: Entered) {
        let Made { rows, open } = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.push((rows.len(), 0));
        let (shape, parameters) = (Shape::from([]), elements(&parameters));
        rows.push(Row { path, layer: title, shape, parameters, operations: 0 });
    }

    fn left(&self, output: &Tensor) {
        let Made { rows, open } = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((at, within)) = open.pop() else { return };
        if let Some((_, around)) = open.last_mut() {
            *around += rows[at].parameters;
        }
        rows[at].shape = output.shape();
        rows[at].parameters = rows[at].parameters.saturating_sub(within);
    }
}

/// The layers of a model in the order they run, with output shapes and parameters; printed, a table.
#[doc(alias("torchinfo", "torchsummary"))]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The layers that ran.
    pub rows: Vec<Row>,
    /// Elements of all parameters, shared ones counted once.
    pub parameters: usize,
    /// Bytes of all parameters; gradients take as many.
    pub bytes: u64,
    /// Operations of the whole pass.
    pub operations: u64,
    /// Bytes of all that layers gave which hold no others: about what a step keeps for its gradients.
    pub activations: u64,
}

impl Summary {
    /// Runs `model` on zeros of `shape` and notes what each layer gives. A model that takes whole numbers or several inputs is
    /// for [`of_input`](Summary::of_input) and [`of_pass`](Summary::of_pass).
    ///
    /// # Panics
    /// If the model does not take floats of this shape.
    #[track_caller]
    pub fn of(model: &impl Layer, shape: impl Into<Shape>, device: &Device) -> Summary {
        Summary::of_input(model, &Tensor::zeros(shape, device))
    }

    /// The same of an input of any type: the numbers of tokens, say.
    ///
    /// ```
    /// use wgrad::nn::{Embedding, Init, Linear, Sequential, Summary};
    /// let device = wgrad::Device::cpu();
    /// let mut init = Init::new(0, &device);
    /// let model = Sequential::new().push(Embedding::new(100, 8, &mut init)).push(Linear::new(8, 2, &mut init));
    /// let tokens = wgrad::Tensor::from_slice(&[1, 2, 3], [1, 3], &device);
    /// let summary = Summary::of_input(&model, &tokens);
    /// assert_eq!((summary.parameters, summary.rows[2].shape.to_string()), (818, "[1, 3, 2]".to_string()));
    /// ```
    ///
    /// # Panics
    /// If the model does not take it.
    #[track_caller]
    pub fn of_input(model: &impl Layer, input: &Tensor) -> Summary {
        Summary::of_pass(model, input.device(), |ctx| {
            model.forward(input, ctx);
        })
    }

    /// The same of a pass of any kind: a model with several inputs.
    ///
    /// # Panics
    /// If the pass does.
    #[track_caller]
    pub fn of_pass(model: &dyn Module, device: &Device, pass: impl FnOnce(&Ctx)) -> Summary {
        // The visit tells the layers their paths.
        let all: Vec<Parameter> = distinct(model).into_iter().map(|(_, parameter)| parameter).collect();
        let traced = Arc::new(Rows::default());
        let ctx = Ctx::eval().traced(traced.clone());
        // A device that failed tells it elsewhere; here it only leaves no times.
        let spans = device.profile(|| pass(&ctx)).map_or_else(|_| Vec::new(), |((), profile)| profile.spans);
        let mut rows = std::mem::take(&mut traced.0.lock().unwrap_or_else(PoisonError::into_inner).rows);
        for span in &spans {
            let label = span.title.label.as_deref().unwrap_or("");
            let within = |path: &str| path.is_empty() || label == path || label.starts_with(&format!("{path}."));
            // The innermost layer that it works for.
            let row = rows.iter_mut().filter(|row| within(&row.path)).max_by_key(|row| row.path.len());
            row.into_iter().for_each(|row| row.operations += span.title.cost.flops);
        }
        let holds_none = |row: &&Row| {
            let inner = |other: &Row| row.path.is_empty() || other.path.starts_with(&format!("{}.", row.path));
            !rows.iter().any(|other| other.path != row.path && inner(other))
        };
        let activations = rows.iter().filter(holds_none).map(|row| row.shape.numel() as u64 * 4).sum();
        let bytes = all.iter().map(Parameter::bytes).sum();
        let operations = spans.iter().map(|span| span.title.cost.flops).sum();
        Summary { parameters: elements(&all), rows, bytes, operations, activations }
    }
}

/// A count in few digits.
fn short(count: u64) -> String {
    match count as f64 {
        count @ 1e9.. => format!("{:.2} G", count / 1e9),
        count @ 1e6.. => format!("{:.2} M", count / 1e6),
        count @ 1e4.. => format!("{:.1} k", count / 1e3),
        count => format!("{count} "),
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cells = |row: &Row| {
            let count = if row.parameters == 0 { String::new() } else { row.parameters.to_string() };
            let operations =
                if row.operations == 0 { String::new() } else { short(row.operations).trim_end().to_string() };
            [row.path.clone(), row.layer.clone(), row.shape.to_string(), count, operations]
        };
        let rows: Vec<[String; 5]> = self.rows.iter().map(cells).collect();
        let head = ["path", "layer", "output", "parameters", "operations"].map(String::from);
        let width = |c: usize| rows.iter().chain([&head]).map(|row| row[c].len()).max().unwrap_or(0);
        let widths: [usize; 5] = std::array::from_fn(width);
        let line = |f: &mut fmt::Formatter, row: &[String; 5]| {
            let [a, b, c, d, e] = widths;
            writeln!(f, "{:a$}  {:b$}  {:c$}  {:>d$}  {:>e$}", row[0], row[1], row[2], row[3], row[4])
        };
        line(f, &head)?;
        for row in &rows {
            line(f, row)?;
        }
        let [bytes, activations, operations] = [self.bytes, self.activations, self.operations].map(short);
        let operations = operations.trim_end();
        write!(f, "{} parameters of {bytes}B, outputs of {activations}B, {operations} operations", self.parameters)
    }
}
