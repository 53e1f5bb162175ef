//! The gradient of recurrent cells in operations, to be differentiated again.
//!
//! Gates have the values that were kept, and a history that says what they were made of. Neither inputs nor bias are kept: their
//! elements are in no gradient, and what stands for them here has no more than a shape and a history.

use super::{Cell, RecurrentParams};
use crate::KeepDims;
use crate::autograd::{Node, result_of};
use crate::shape::Shape;
use crate::tensor::Tensor;
use std::sync::Arc;

/// What a gradient is made of.
pub struct Kept<'a> {
    /// [gates * hidden, hidden].
    pub weight: &'a Tensor,
    /// [parts, steps + 1, batch, hidden], with its history.
    pub states: Tensor,
    /// [steps, batch, kept * hidden].
    pub keeps: &'a Tensor,
    pub lengths: &'a Tensor,
    /// What the inputs [batch, steps, gates * hidden] and the bias were made by.
    pub nodes: [Option<&'a Arc<Node>>; 2],
}

/// What a gate is given: the gradient is known, the elements are not.
fn given(x: Option<&Tensor>, before: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
    let (h, w) = (before.saved(), weight.saved());
    let inputs: Vec<&Tensor> = [Some(before), Some(weight), x, bias].into_iter().flatten().collect();
    let (has_x, has_bias) = (x.is_some(), bias.is_some());
    before.detach().tracked("gate", &inputs, move |d, needs| {
        let rows = |t: &Tensor| t.reshape([t.numel() / t.size(-1), t.size(-1)]);
        let mut all = vec![needs[0].then(|| d.matmul(&w)), needs[1].then(|| rows(d).t().matmul(&rows(&h)))];
        all.extend(has_x.then(|| Some(d.clone())));
        all.extend(has_bias.then(|| Some(d.sum_dims(&[0, 1], KeepDims::No))));
        all
    })
}

/// A gate of known elements, which are a function of what it is given, with the slope that these tell.
fn gate(value: &Tensor, given: &Tensor, slope: fn(&Tensor) -> Tensor) -> Tensor {
    let saved = value.detach().saved();
    value.detach().tracked("gate", &[given], move |d, _| vec![Some(d.mul(&slope(&result_of(&saved))))])
}

fn of_sigmoid(y: &Tensor) -> Tensor {
    y.mul(&y.affine(-1.0, 1.0))
}

fn of_tanh(y: &Tensor) -> Tensor {
    y.square().affine(-1.0, 1.0)
}

/// Those of inputs, weight, first state and, where there is one, bias.
pub fn gradients(kept: &Kept, dy: &Tensor, p: &RecurrentParams) -> Vec<Option<Tensor>> {
    let (cell, states) = (p.cell(), &kept.states);
    let [batch, hidden, steps] = [p.batch, p.hidden, p.steps].map(|size| size as usize);
    let rows = cell.gates();
    let nothing = Tensor::zeros([], dy.device());
    // Saved, for it lies elsewhere than a leaf does.
    let stand_in = |shape: Shape, node: &Arc<Node>| nothing.expand(shape).saved().with_node(Some(node.clone()));
    let x = kept.nodes[0].map(|node| stand_in(Shape::from([batch, steps, rows * hidden]), node).permute(&[1, 0, 2]));
    let bias = kept.nodes[1].map(|node| stand_in(Shape::from([rows * hidden]), node));
    let part = |at: usize, first: u32| states.narrow(0, at, 1).squeeze(0).narrow(0, first as usize, steps);
    let (before, after) = (part(0, p.reverse), part(0, 1 - p.reverse));
    let of_gate = |t: &Tensor, at: usize| t.narrow(-1, at * hidden, hidden);
    let value = |at: usize| of_gate(kept.keeps, at);
    let own = |at: usize, with_x: bool| {
        let x = x.as_ref().filter(|_| with_x).map(|x| of_gate(x, at));
        let bias = bias.as_ref().map(|bias| of_gate(bias, at));
        given(x.as_ref(), &before, &kept.weight.narrow(0, at * hidden, hidden), bias.as_ref())
    };
    // [steps, batch, hidden] each, and the memory before and after where there is one.
    let gates = match cell {
        Cell::Tanh | Cell::Relu => vec![after],
        Cell::Lstm => {
            let slopes = [of_sigmoid, of_sigmoid, of_tanh, of_sigmoid];
            let mut all: Vec<Tensor> = (0..4).map(|at| gate(&value(at), &own(at, true), slopes[at])).collect();
            all.extend([part(1, p.reverse), part(1, 1 - p.reverse)]);
            all
        }
        Cell::Gru => {
            let [reset, update] = [0, 1].map(|at| gate(&value(at), &own(at, true), of_sigmoid));
            let of_state = gate(&value(3), &own(2, false), |y| y.zeros_like().affine(1.0, 1.0));
            let (r, q) = (reset.saved(), of_state.saved());
            let mut inputs = vec![&reset, &of_state];
            let x = x.as_ref().map(|x| of_gate(x, 2));
            inputs.extend(&x);
            let has_x = x.is_some();
            let sum = value(2).detach().tracked("gate", &inputs, move |d, _| {
                let mut all = vec![Some(d.mul(&q)), Some(d.mul(&r))];
                all.extend(has_x.then(|| Some(d.clone())));
                all
            });
            vec![reset, update, gate(&value(2), &sum, of_tanh), of_state, before.clone()]
        }
    };
    let [mut carried, mut carried_memory] = [(); 2].map(|()| Tensor::zeros([batch, hidden], dy.device()));
    let from_above = |at: usize, time: u32| dy.narrow(0, at, 1).squeeze(0).narrow(0, time as usize, 1).squeeze(0);
    // By time: what the inputs get, and what the products with states get, which differ in a GRU's last gate.
    let mut found: Vec<Option<[Tensor; 2]>> = vec![None; steps];
    for step in (0..p.steps).rev().map(|step| p.at(step)) {
        let now = step.now as usize;
        let g: Vec<Tensor> = gates.iter().map(|gate| gate.narrow(0, now, 1).squeeze(0)).collect();
        let dh = carried.add(&from_above(0, step.after));
        let mut dc = None;
        let (past, past_memory, sums, own) = match cell {
            Cell::Tanh => {
                let d = dh.mul(&of_tanh(&g[0]));
                (None, None, d.clone(), d)
            }
            Cell::Relu => {
                let d = dh.masked_fill(&g[0].le(0.0), 0.0);
                (None, None, d.clone(), d)
            }
            Cell::Lstm => {
                let [i, f, new, o, c_before, c_after] = [0, 1, 2, 3, 4, 5].map(|at| &g[at]);
                let above = carried_memory.add(&from_above(1, step.after));
                let seen = c_after.tanh();
                let all = above.add(&dh.mul(o).mul(&of_tanh(&seen)));
                let d = [
                    all.mul(new).mul(&of_sigmoid(i)),
                    all.mul(c_before).mul(&of_sigmoid(f)),
                    all.mul(i).mul(&of_tanh(new)),
                    dh.mul(&seen).mul(&of_sigmoid(o)),
                ];
                let d = Tensor::cat(&d.each_ref(), 1);
                dc = Some(above);
                (None, Some(all.mul(f)), d.clone(), d)
            }
            Cell::Gru => {
                let [reset, update, new, of_state, h_before] = [0, 1, 2, 3, 4].map(|at| &g[at]);
                let dn = dh.mul(&update.affine(-1.0, 1.0)).mul(&of_tanh(new));
                let du = dh.mul(&h_before.sub(new)).mul(&of_sigmoid(update));
                let dr = dn.mul(of_state).mul(&of_sigmoid(reset));
                let own = Tensor::cat(&[&dr, &du, &dn.mul(reset)], 1);
                (Some(dh.mul(update)), None, Tensor::cat(&[&dr, &du, &dn], 1), own)
            }
        };
        // Past its end a sequence stays as it is.
        let ended = kept.lengths.le(now as i32).unsqueeze(1);
        let [sums, own] = [sums, own].map(|d| d.masked_fill(&ended, 0.0));
        let through = own.matmul(kept.weight);
        let through = past.map_or(through.clone(), |past| through.add(&past));
        carried = Tensor::where_(&ended, &dh, &through);
        if let (Some(past), Some(above)) = (past_memory, dc) {
            carried_memory = Tensor::where_(&ended, &above, &past);
        }
        found[now] = Some([sums, own]);
    }
    let first = p.at(0).before;
    let mut start = vec![carried.add(&from_above(0, first))];
    if cell == Cell::Lstm {
        start.push(carried_memory.add(&from_above(1, first)));
    }
    let found: Vec<[Tensor; 2]> = found.into_iter().flatten().collect();
    let all = |at: usize, dim: usize| Tensor::stack(&found.iter().map(|pair| &pair[at]).collect::<Vec<_>>(), dim);
    let flat = |t: &Tensor| t.reshape_to(Shape::from([steps * batch, t.size(-1)]));
    let own = flat(&all(1, 0));
    vec![
        Some(all(0, 1)),
        Some(own.t().matmul(&flat(&before))),
        Some(Tensor::stack(&start, 0)),
        Some(own.sum_dims(&[0], KeepDims::No)),
    ]
}
