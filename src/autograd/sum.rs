//! Gradients on their way to a step: whole ones, and those of parts of it.

use super::accumulate;
use crate::shape::Shape;
use crate::tensor::Tensor;

/// A place along a dimension: its number, and the first index.
pub(super) type Place = (usize, usize);

/// What has come so far.
#[derive(Default)]
pub(super) struct Sum {
    whole: Option<Tensor>,
    /// Those of parts wait: where they lie side by side, no zeros are ever written around each.
    parts: Vec<(Place, Tensor)>,
}

impl Sum {
    pub fn of(gradient: Tensor) -> Sum {
        Sum { whole: Some(gradient), parts: Vec::new() }
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

    /// All of it, of the step's shape.
    #[track_caller]
    pub fn total(mut self, shape: Shape) -> Tensor {
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
                _ if covered == shape[dim] => Tensor::cat(&row.iter().map(|(_, part)| part).collect::<Vec<_>>(), dim),
                _ => {
                    let all = zeros.new_zeros(shape);
                    row.iter().for_each(|((_, start), part)| all.write_part(dim, *start, part));
                    all
                }
            };
            self.whole = Some(self.whole.map_or_else(|| joined.clone(), |sum| accumulate(&sum, &joined)));
        }
        self.whole.expect("a step that waits has got something")
    }
}
