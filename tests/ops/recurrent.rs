//! Recurrent cells, beside the same steps in primitives.

use super::{Case, Input, case, whole, x};
use wgrad::Tensor;
use wgrad::ops::recurrent::{Cell, Direction, Recurrence};

use Direction::{Forward, Reverse};

/// A step in primitives: the next state, part by part, from what the input gives, what the state gives, and the state.
fn stepped(cell: Cell, x: &Tensor, own: &Tensor, state: &[Tensor]) -> Vec<Tensor> {
    let hidden = state[0].size(1);
    let gate = |of: &Tensor, at: usize| of.narrow(1, at * hidden, hidden);
    let sum = |at: usize| gate(x, at) + gate(own, at);
    match cell {
        Cell::Tanh => vec![sum(0).tanh()],
        Cell::Relu => vec![sum(0).relu()],
        Cell::Lstm => {
            let c = sum(1).sigmoid() * &state[1] + sum(0).sigmoid() * sum(2).tanh();
            vec![sum(3).sigmoid() * c.tanh(), c]
        }
        Cell::Gru => {
            let new = (gate(x, 2) + sum(0).sigmoid() * gate(own, 2)).tanh();
            vec![&new + sum(1).sigmoid() * (&state[0] - &new)]
        }
    }
}

/// The outputs of all steps and, behind them, the last state of each part, in one row for each sequence.
fn joined(outputs: &Tensor, last: &[Tensor]) -> Tensor {
    let mut all = vec![outputs.flatten(1)];
    all.extend(last.iter().cloned());
    Tensor::cat(&all.iter().collect::<Vec<_>>(), 1)
}

fn defined(cell: Cell, direction: Direction, x: &[Tensor]) -> Tensor {
    let [inputs, weight, bias, initial, lengths] = x else { panic!("there are five inputs") };
    let steps = inputs.size(1);
    let mut state: Vec<Tensor> = (0..cell.parts()).map(|part| initial.narrow(0, part, 1).squeeze(0)).collect();
    let mut outputs = vec![state[0].clone(); steps];
    for step in 0..steps {
        let now = if direction == Forward { step } else { steps - 1 - step };
        let own = state[0].matmul(&weight.t()).add(bias);
        let next = stepped(cell, &inputs.narrow(1, now, 1).squeeze(1), &own, &state);
        let goes_on = Tensor::full([1], now as i32, inputs.device()).lt(lengths).unsqueeze(1);
        state = next.iter().zip(&state).map(|(next, last)| Tensor::where_(&goes_on, next, last)).collect();
        outputs[now] = state[0].clone();
    }
    joined(&Tensor::stack(&outputs.iter().collect::<Vec<_>>(), 1), &state)
}

/// Sequences of some steps, of which a part may count.
fn recurrent(cell: Cell, [batch, steps, hidden]: [usize; 3], direction: Direction) -> Case {
    let rows = cell.gates() * hidden;
    // What is learnt is small, so that no gate is shut.
    let small = |input: Input| input.within(-0.5, 0.5);
    let inputs = [
        x([batch, steps, rows]),
        small(x([rows, hidden])),
        small(x([rows])),
        x([cell.parts(), batch, hidden]),
        whole([batch], 1, steps as i32 + 2),
    ];
    let name = format!("recurrent recurrent_backward {cell:?} {direction:?}:");
    let made = case(&name, inputs, move |x| {
        let recurrence =
            Recurrence { cell, weight: &x[1], bias: Some(&x[2]), initial: &x[3], lengths: Some(&x[4]), direction };
        let states = x[0].recurrent(&recurrence);
        let last: Vec<Tensor> = (0..cell.parts()).map(|part| states.last(part)).collect();
        joined(&states.outputs(), &last)
    })
    .defined(move |x| defined(cell, direction, x));
    // With many units the judge's steps add up to what is no straight line any more; the definition's gradients are there.
    if hidden > 8 { made.compared() } else { made }
}

pub fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    for cell in [Cell::Tanh, Cell::Lstm, Cell::Gru] {
        all.extend([
            recurrent(cell, [1, 1, 4], Forward),
            recurrent(cell, [3, 5, 8], Forward),
            recurrent(cell, [3, 5, 8], Reverse),
            recurrent(cell, [17, 3, 36], Forward),
            recurrent(cell, [5, 9, 64], Reverse),
        ]);
        all.push(case(
            &format!("recurrent {cell:?} of all steps, without bias:"),
            [x([2, 7, cell.gates() * 12]).transposed(), x([cell.gates() * 12, 12]).within(-0.5, 0.5).transposed()],
            move |x| {
                let initial = Tensor::zeros([cell.parts(), 2, 12], x[0].device());
                let direction = Forward;
                let recurrence =
                    Recurrence { cell, weight: &x[1], bias: None, initial: &initial, lengths: None, direction };
                x[0].recurrent(&recurrence).outputs()
            },
        ));
    }
    // Differences meet kinks.
    all.push(recurrent(Cell::Relu, [3, 5, 8], Forward).compared());
    all.push(case("recurrent over no step that counts:", [x([2, 3, 4]), x([4, 4]), x([1, 2, 4])], |x| {
        let lengths = Tensor::full([2], 0i32, x[0].device());
        let recurrence = Recurrence {
            cell: Cell::Tanh,
            weight: &x[1],
            bias: None,
            initial: &x[2],
            lengths: Some(&lengths),
            direction: Forward,
        };
        let outputs = x[0].recurrent(&recurrence).outputs();
        assert_eq!(outputs.dtype(), x[0].dtype());
        outputs
    }));
    all
}
