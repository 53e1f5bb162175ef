//! Gradients on their way to a step: whole ones, and those of parts of it.

use super::accumulate;
use super::rows::{Gradient, Rows};
use crate::shape::Shape;
use crate::tensor::Tensor;

/// A place along a dimension: its number, and the first index.
pub(super) type Place = (usize, usize);

/// Where a step's input has its result as a part.
pub(super) enum Part {
    Along(Place),
    /// In the rows of these numbers.
    Rows(Tensor),
}

/// What has come so far.
#[derive(Default)]
pub(super) struct Sum {
    whole: Option<Tensor>,
    /// Those of parts wait: where they lie side by side, no zeros are ever written around each.
    parts: Vec<(Place, Tensor)>,
    /// Those of rows of a table stay what they are where nothing else comes.
    rows: Vec<Rows>,
}

impl Sum {
    pub fn of(gradient: Tensor) -> Sum {
        Sum { whole: Some(gradient), ..Sum::default() }
    }

    #[track_caller]
    pub fn add(&mut self, gradient: Tensor) {
        self.whole = Some(match self.whole.take() {
            Some(sum) => accumulate(&sum, &gradient),
            None => gradient.as_sent(),
        });
    }

    pub fn add_part(&mut self, place: Place, gradient: Tensor) {
        self.parts.push((place, gradient));
    }

    pub fn add_rows(&mut self, rows: Rows) {
        self.rows.push(rows);
    }

    /// All of it: rows where there are no others.
    #[track_caller]
    pub fn found(mut self, shape: Shape) -> Gradient {
        let rows = Rows::joined(&std::mem::take(&mut self.rows));
        match rows {
            Some(rows) if self.whole.is_none() && self.parts.is_empty() => Gradient::Rows(rows.into()),
            Some(rows) => {
                self.add(rows.to_dense());
                Gradient::Whole(self.total(shape).into_gradient())
            }
            None => Gradient::Whole(self.total(shape).into_gradient()),
        }
    }

    /// All of it, of the step's shape.
    #[track_caller]
    pub fn total(mut self, shape: Shape) -> Tensor {
        if !self.rows.is_empty() {
            return self.found(shape).whole();
        }
        while let Some(((dim, _), first)) = self.parts.first() {
            let (dim, zeros) = (*dim, first.clone());
            // Of the parts along one dimension, in order, those that do not overlap are one tensor.
            self.parts.sort_by_key(|((along, start), _)| (*along != dim, *start));
            let mut end = 0;
            let (row, rest): (Vec<_>, Vec<_>) = self.parts.into_iter().partition(|((along, start), part)| {
                let fits = *along == dim && *start >= end;
                end = if fits { start + part.shape()[dim] } else { end };
                fits
            });
            self.parts = rest;
            let covered: usize = row.iter().map(|(_, part)| part.shape()[dim]).sum();
            let joined = match &row[..] {
                [(_, part)] if covered == shape[dim] => part.clone(),
                [((_, start), part)] => {
                    let mut starts = vec![0; shape.rank()];
                    starts[dim] = *start;
                    part.boxed(&shape, &starts, 0.0)
                }
                _ if covered == shape[dim] => Tensor::cat(&row.iter().map(|(_, part)| part).collect::<Vec<_>>(), dim),
                _ => {
                    let all = zeros.in_own_order(&shape, |stored| zeros.new_zeros(stored));
                    row.iter().for_each(|((_, start), part)| all.write_part(dim, *start, part));
                    all
                }
            };
            self.whole = Some(self.whole.map_or_else(|| joined.clone(), |sum| accumulate(&sum, &joined)));
        }
        self.whole.expect("a step that waits has got something")
    }
}
