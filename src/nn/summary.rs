//! A table of a model's layers.

use super::ctx::{Ctx, Entered, Trace};
use super::module::{Layer, parameters};
use super::parameter::Parameter;
use crate::shape::Shape;
use crate::tensor::Tensor;
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
}

fn elements(parameters: &[Parameter]) -> usize {
    let first = |at: &usize| !parameters[..*at].iter().any(|other| other.is(&parameters[*at]));
    (0..parameters.len()).filter(first).map(|at| parameters[at].shape().numel()).sum()
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
        rows.push(Row { path, layer: title, shape: Shape::from([]), parameters: elements(&parameters) });
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
}

impl Summary {
    /// Runs `model` on zeros of `shape` and notes what each layer gives.
    pub fn of(model: &impl Layer, shape: impl Into<Shape>, device: &crate::Device) -> Summary {
        // The visit tells the layers their paths.
        let all: Vec<Parameter> = parameters(model).into_iter().map(|(_, parameter)| parameter).collect();
        let rows = Arc::new(Rows::default());
        model.forward(&Tensor::zeros(shape, device), &Ctx::eval().traced(rows.clone()));
        let rows = std::mem::take(&mut rows.0.lock().unwrap_or_else(PoisonError::into_inner).rows);
        Summary { rows, parameters: elements(&all) }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cells = |row: &Row| {
            let count = if row.parameters == 0 { String::new() } else { row.parameters.to_string() };
            [row.path.clone(), row.layer.clone(), row.shape.to_string(), count]
        };
        let rows: Vec<[String; 4]> = self.rows.iter().map(cells).collect();
        let head = ["path", "layer", "output", "parameters"].map(String::from);
        let width = |c: usize| rows.iter().chain([&head]).map(|row| row[c].len()).max().unwrap_or(0);
        let widths: [usize; 4] = std::array::from_fn(width);
        let line = |f: &mut fmt::Formatter, row: &[String; 4]| {
            let [a, b, c, d] = widths;
            writeln!(f, "{:a$}  {:b$}  {:c$}  {:>d$}", row[0], row[1], row[2], row[3])
        };
        line(f, &head)?;
        for row in &rows {
            line(f, row)?;
        }
        write!(f, "{} parameters", self.parameters)
    }
}
