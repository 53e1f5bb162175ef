//! How recurrent layers go through a batch of sequences.

use super::{Recurrent, RecurrentWeights, RnnStart, RnnState};
use crate::dtype::DType;
use crate::nn::{Ctx, Layer, Parameter};
use crate::ops::recurrent::{Cell, Direction, Recurrence};
use crate::shape::Shape;
use crate::tensor::Tensor;

/// What a layer gives in one direction: each step's output, the last one, and the memory after it.
struct Gone {
    outputs: Tensor,
    hidden: Tensor,
    memory: Option<Tensor>,
}

impl Recurrent {
    #[track_caller]
    pub(super) fn run(&self, x: &Tensor, start: &RnnStart, ctx: &Ctx) -> (Tensor, RnnState) {
        let ways = self.directions.each();
        let layers = self.weights.len() / ways.len();
        let mut output = x.clone();
        let (mut hidden, mut memory) = (Vec::new(), Vec::new());
        for layer in 0..layers {
            let mut sides = Vec::with_capacity(ways.len());
            for (way, direction) in ways.iter().enumerate() {
                let gone = self.run_layer(&output, layer * ways.len() + way, *direction, start, ctx);
                sides.push(gone.outputs);
                hidden.push(gone.hidden);
                memory.extend(gone.memory);
            }
            output = if sides.len() == 1 { sides.remove(0) } else { Tensor::cat(&sides, 2) };
            if let Some(lengths) = &start.lengths {
                let steps = Tensor::arange(0, x.shape()[1] as i32, x.device());
                output = output.mul(&steps.lt(lengths.unsqueeze(1)).unsqueeze(2).cast(output.dtype()));
            }
            if let Some(dropout) = self.dropout.get(layer) {
                output = dropout.forward(&output, ctx);
            }
        }
        let stacked = |parts: &[Tensor]| Tensor::stack(parts, 0);
        let cell = (!memory.is_empty()).then(|| stacked(&memory));
        (output, RnnState { hidden: stacked(&hidden), cell })
    }

    #[track_caller]
    fn run_layer(&self, x: &Tensor, at: usize, direction: Direction, start: &RnnStart, ctx: &Ctx) -> Gone {
        let RecurrentWeights { weight_ih, weight_hh, bias_ih, bias_hh, weight_hr } = &self.weights[at];
        let of = |bias: &Option<Parameter>| bias.as_ref().map(|bias| self.widened(&ctx.param(bias)));
        let (mut bias_ih, mut bias_hh) = (of(bias_ih), of(bias_hh));
        if self.cell != Cell::Gru {
            // Only a GRU tells the two apart.
            bias_ih = match (bias_ih, bias_hh.take()) {
                (Some(a), Some(b)) => Some(a.add(&b)),
                (a, b) => a.or(b),
            };
        }
        let inputs = x.linear(&self.widened(&ctx.param(weight_ih)), bias_ih.as_ref());
        let own = |state: &Option<Tensor>| state.as_ref().map(|state| state.narrow(0, at, 1).squeeze(0));
        let (hidden, memory) = (own(&start.hidden), own(&start.cell));
        let weight = ctx.param(weight_hh);
        let Some(weight_hr) = weight_hr.as_ref().map(|weight| ctx.param(weight)) else {
            return self.go([x, &inputs], &weight, bias_hh.as_ref(), [hidden, memory], direction, start);
        };
        // What is projected meets the next step's gates only in a product: both weights are one. The first step has no output
        // before it that was projected, but the one that is given.
        let inputs = match &hidden {
            Some(hidden) => {
                let given = hidden.linear(&self.widened(&weight), None).unsqueeze(1);
                inputs.add(&given.mul(&first_step(&inputs, direction, start)))
            }
            None => inputs,
        };
        let gone =
            self.go([x, &inputs], &weight.matmul(&weight_hr), bias_hh.as_ref(), [None, memory], direction, start);
        let projected = |x: &Tensor| x.linear(&weight_hr, None);
        let last = match (&hidden, &start.lengths) {
            // A sequence of no steps leaves its state as it is.
            (Some(hidden), Some(lengths)) => {
                Tensor::where_(&lengths.le(0).unsqueeze(1), hidden, &projected(&gone.hidden))
            }
            _ => projected(&gone.hidden),
        };
        Gone { outputs: projected(&gone.outputs), hidden: last, ..gone }
    }

    /// Through all steps, from what the inputs give to the gates.
    #[track_caller]
    fn go(
        &self,
        [x, inputs]: [&Tensor; 2],
        weight: &Tensor,
        bias: Option<&Tensor>,
        state: [Option<Tensor>; 2],
        direction: Direction,
        start: &RnnStart,
    ) -> Gone {
        let (wide, batch) = (self.hidden.next_multiple_of(4), inputs.shape()[0]);
        let own = |state: &Option<Tensor>| match state {
            Some(state) => state.pad(&[(0, wide - self.hidden)], 0.0),
            None => x.new_zeros([batch, wide]),
        };
        let initial = match (self.cell, &state) {
            (Cell::Lstm, [None, None]) => x.new_zeros([2, batch, wide]),
            (Cell::Lstm, [hidden, memory]) => Tensor::stack(&[&own(hidden), &own(memory)], 0),
            (_, [hidden, _]) => own(hidden).unsqueeze(0),
        };
        let weight = self.widened(weight);
        let weight = if wide == self.hidden { weight } else { weight.pad(&[(0, wide - self.hidden)], 0.0) };
        let lengths = start.lengths.as_ref();
        let states = inputs.recurrent(&Recurrence {
            cell: self.cell,
            weight: &weight,
            bias,
            initial: &initial,
            lengths,
            direction,
        });
        Gone {
            outputs: self.narrowed(states.outputs()),
            hidden: self.narrowed(states.last(0)),
            memory: (self.cell == Cell::Lstm).then(|| self.narrowed(states.last(1))),
        }
    }

    /// With units that stay 0, so that their number is a multiple of 4.
    fn widened(&self, weight: &Tensor) -> Tensor {
        let more = self.hidden.next_multiple_of(4) - self.hidden;
        if more == 0 {
            return weight.clone();
        }
        let (gates, inner) = (self.cell.gates(), weight.numel() / (self.cell.gates() * self.hidden));
        let wide = weight.reshape_to(Shape::from([gates, self.hidden, inner])).pad(&[(0, 0), (0, more)], 0.0);
        let rows = gates * (self.hidden + more);
        wide.reshape_to(if weight.rank() == 1 { Shape::from([rows]) } else { Shape::from([rows, inner]) })
    }

    /// Without them.
    fn narrowed(&self, x: Tensor) -> Tensor {
        if x.size(-1) == self.hidden { x } else { x.narrow(-1, 0, self.hidden) }
    }
}

/// 1 at the step that comes first of `[batch, steps, ..]`, `[1 or batch, steps, 1]`, and 0 elsewhere.
fn first_step(inputs: &Tensor, direction: Direction, start: &RnnStart) -> Tensor {
    let (steps, device) = (inputs.shape()[1] as i32, inputs.device());
    let each = Tensor::arange(0, steps, device);
    let first = match (direction, &start.lengths) {
        (Direction::Forward, _) => each.eq(0).unsqueeze(0),
        (Direction::Reverse, None) => each.eq(steps - 1).unsqueeze(0),
        (Direction::Reverse, Some(lengths)) => {
            let past = each.add(&Tensor::full([], 1i32, device));
            let last = lengths.cast(DType::I32).minimum(Tensor::full([], steps, device));
            past.eq(last.unsqueeze(1))
        }
    };
    first.unsqueeze(2).cast(inputs.dtype())
}
