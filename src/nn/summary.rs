//! A table of a model's layers.

use super::ctx::Ctx;
use super::module::{Layer, parameters};
use crate::shape::Shape;
use crate::tensor::Tensor;
use std::fmt;

/// One layer of a summary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The layer's path, empty where it has no parameters.
    pub path: String,
    /// What it is.
    pub layer: String,
    /// The shape of its output.
    pub shape: Shape,
    /// The number of its parameters' elements.
    pub parameters: usize,
}

/// The layers of a model in the order they run, with output shapes and parameters; printed, a table.
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
        let named = parameters(model);
        let ctx = Ctx::watching();
        model.forward(&Tensor::zeros(shape, device), &ctx);
        let first = |i: &usize| !named[..*i].iter().any(|(_, other)| other.is(&named[*i].1));
        let parameters = (0..named.len()).filter(first).map(|i| named[i].1.shape().numel()).sum();
        Summary { rows: ctx.into_rows(), parameters }
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
