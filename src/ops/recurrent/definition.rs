//! The definition of recurrent cells: for each step, sequence and unit the gates, and the state that they make.

use super::{Cell, NONE, RecurrentParams};
use crate::kernel::Call;
use crate::kernel::functions::indices;

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

pub fn forward(call: &mut Call) {
    let (p, inputs, w) = (call.params::<RecurrentParams>(), call.read::<f32>(0), call.read::<f32>(1));
    let (bias, lengths) = (call.read::<f32>(2), call.read::<i32>(3));
    let (states, keeps) = (call.write::<f32>(4), call.write::<f32>(5));
    let [batch, hidden, steps] = [p.batch, p.hidden, p.steps].map(|size| size as usize);
    let (cell, gates, kept) = (p.cell(), p.cell().gates(), p.kept());
    for step in (0..p.steps).map(|step| p.at(step)) {
        let [now, before, after] = [step.now, step.before, step.after].map(|time| time as usize);
        for [b, j] in indices([p.batch, p.hidden]) {
            let state = |part: usize, time: usize, j: usize| ((part * (steps + 1) + time) * batch + b) * hidden + j;
            let keep = |gate: usize| ((now * batch + b) * kept + gate) * hidden + j;
            if now as i32 >= lengths[b] {
                // Past its end a sequence stays as it is.
                (0..cell.parts()).for_each(|part| states[state(part, after, j)] = states[state(part, before, j)]);
                (0..kept).for_each(|gate| keeps[keep(gate)] = 0.0);
                continue;
            }
            // What a gate is given by the input, and by the state: W h + b.
            let input = |gate: usize| f64::from(inputs[((b * steps + now) * gates + gate) * hidden + j]);
            let own = |gate: usize| {
                let row = gate * hidden + j;
                let term = |k: usize| f64::from(w[row * hidden + k]) * f64::from(states[state(0, before, k)]);
                (0..hidden).map(term).sum::<f64>() + if p.biased == 1 { f64::from(bias[row]) } else { 0.0 }
            };
            let given = |gate: usize| input(gate) + own(gate);
            let [h, c] = [0, cell.parts() - 1].map(|part| f64::from(states[state(part, before, j)]));
            // The state after the step, its memory where it has one, and what the gradient will ask for.
            let (h, c, found) = match cell {
                Cell::Tanh => (given(0).tanh(), 0.0, vec![given(0).tanh()]),
                Cell::Relu => {
                    let y = if given(0) < 0.0 { 0.0 } else { given(0) };
                    (y, 0.0, vec![y])
                }
                Cell::Lstm => {
                    let [i, f, new, o] = [sigmoid(given(0)), sigmoid(given(1)), given(2).tanh(), sigmoid(given(3))];
                    let c = f * c + i * new;
                    (o * c.tanh(), c, vec![i, f, new, o])
                }
                Cell::Gru => {
                    let (reset, update) = (sigmoid(given(0)), sigmoid(given(1)));
                    let new = (input(2) + reset * own(2)).tanh();
                    ((1.0 - update) * new + update * h, 0.0, vec![reset, update, new, own(2)])
                }
            };
            states[state(0, after, j)] = h as f32;
            if cell == Cell::Lstm {
                states[state(1, after, j)] = c as f32;
            }
            found.into_iter().enumerate().for_each(|(gate, found)| keeps[keep(gate)] = found as f32);
        }
    }
}

/// Backwards from the last step: the gradient of a state is what comes from above, what the next step makes of it through W,
/// and what goes past its gates. `first` carries the last of these, and is the gradient of the first state in the end.
pub fn backward(call: &mut Call) {
    let (p, w, states) = (call.params::<RecurrentParams>(), call.read::<f32>(0), call.read::<f32>(1));
    let (keeps, dy, lengths) = (call.read::<f32>(2), call.read::<f32>(3), call.read::<i32>(4));
    let (sums, first) = (call.write::<f32>(5), call.write::<f32>(6));
    let [batch, hidden, steps] = [p.batch, p.hidden, p.steps].map(|size| size as usize);
    let (cell, kept) = (p.cell(), p.kept());
    // What a step adds up, by the rows of W that it comes from: a GRU's last gate keeps W h apart from the input.
    let rows: &[[usize; 2]] = match cell {
        Cell::Gru => &[[0, 0], [1, 1], [3, 2]],
        Cell::Lstm => &[[0, 0], [1, 1], [2, 2], [3, 3]],
        Cell::Tanh | Cell::Relu => &[[0, 0]],
    };
    first.fill(0.0);
    for step in (0..p.steps).rev().map(|step| p.at(step)).chain([p.start()]) {
        for [b, j] in indices([p.batch, p.hidden]) {
            let sum_at = |time: u32, gate: usize, j: usize| ((time as usize * batch + b) * kept + gate) * hidden + j;
            let state = |part: usize, time: u32| ((part * (steps + 1) + time as usize) * batch + b) * hidden + j;
            let counts = |time: u32| time != NONE && (time as i32) < lengths[b];
            let mut dh = f64::from(dy[state(0, step.after)]) + f64::from(first[b * hidden + j]);
            if counts(step.next) {
                for ([gate, row], i) in rows.iter().flat_map(|pair| (0..hidden).map(move |i| (*pair, i))) {
                    let weight = w[(row * hidden + i) * hidden + j];
                    dh += f64::from(sums[sum_at(step.next, gate, i)]) * f64::from(weight);
                }
            }
            let carried = (batch + b) * hidden + j;
            let is_lstm = cell == Cell::Lstm;
            let dc = if is_lstm { f64::from(dy[state(1, step.after)]) + f64::from(first[carried]) } else { 0.0 };
            if !counts(step.now) {
                first[b * hidden + j] = dh as f32;
                if is_lstm {
                    first[carried] = dc as f32;
                }
                if step.now != NONE {
                    (0..kept).for_each(|gate| sums[sum_at(step.now, gate, j)] = 0.0);
                }
                continue;
            }
            let keep = |gate: usize| f64::from(keeps[sum_at(step.now, gate, j)]);
            let before = |part: usize| f64::from(states[state(part, step.before)]);
            // What goes past the gates, of the state and of the memory; and the gradients of what was added up.
            let (past, past_memory, found) = match cell {
                Cell::Tanh => (0.0, 0.0, vec![dh * (1.0 - keep(0) * keep(0))]),
                Cell::Relu => (0.0, 0.0, vec![if keep(0) <= 0.0 { 0.0 } else { dh }]),
                Cell::Lstm => {
                    let [i, f, new, o] = [0, 1, 2, 3].map(keep);
                    let seen = f64::from(states[state(1, step.after)]).tanh();
                    let dc = dc + dh * o * (1.0 - seen * seen);
                    let [di, df] = [dc * new * i * (1.0 - i), dc * before(1) * f * (1.0 - f)];
                    (0.0, dc * f, vec![di, df, dc * i * (1.0 - new * new), dh * seen * o * (1.0 - o)])
                }
                Cell::Gru => {
                    let [reset, update, new, own] = [0, 1, 2, 3].map(keep);
                    let dn = dh * (1.0 - update) * (1.0 - new * new);
                    let du = dh * (before(0) - new) * update * (1.0 - update);
                    (dh * update, 0.0, vec![dn * own * reset * (1.0 - reset), du, dn, dn * reset])
                }
            };
            first[b * hidden + j] = past as f32;
            if is_lstm {
                first[carried] = past_memory as f32;
            }
            found.into_iter().enumerate().for_each(|(gate, d)| sums[sum_at(step.now, gate, j)] = d as f32);
        }
    }
}
