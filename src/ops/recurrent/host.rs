//! Recurrent cells on the host: a product for each step, and the cell on its rows.

use super::{Cell, NONE, RecurrentParams};
use crate::kernel::functions::{relu, sigmoid, tanh};
use crate::kernel::{Call, parallel};
use crate::ops::matmul::gemm;

/// Rows of a batch that one thread takes, where the product is worth it.
const ROWS: usize = 16;

impl RecurrentParams {
    fn sizes(&self) -> [usize; 3] {
        [self.batch as usize, self.hidden as usize, self.steps as usize]
    }

    /// Elements of the pieces that a slice of so many for each row is cut into.
    fn piece(&self, width: usize) -> usize {
        let work = self.batch as usize * self.hidden as usize * self.hidden as usize;
        if work < 1 << 14 { usize::MAX } else { ROWS * width }
    }
}

/// The pieces `from`, to be read, and `to`, to be written, of those of `len` elements.
fn apart(all: &mut [f32], len: usize, from: usize, to: usize) -> (&[f32], &mut [f32]) {
    let (low, high) = all.split_at_mut(from.max(to) * len);
    if from < to { (&low[from * len..][..len], &mut high[..len]) } else { (&high[..len], &mut low[to * len..][..len]) }
}

pub fn forward(call: &mut Call) {
    let (p, inputs, w) = (call.params::<RecurrentParams>(), call.read::<f32>(0), call.read::<f32>(1));
    let (bias, lengths) = (call.read::<f32>(2), call.read::<i32>(3));
    let [batch, hidden, steps] = p.sizes();
    let (cell, rows, kept) = (p.cell(), p.cell().gates() * hidden, p.kept() * hidden);
    let bias = |at: usize| if p.biased == 1 { bias[at] } else { 0.0 };
    let (h, c) = call.write::<f32>(4).split_at_mut((steps + 1) * batch * hidden);
    let (keeps, scratch) = (call.write::<f32>(5), call.scratch());
    for step in 0..p.steps {
        let RecurrentParams { now, before, after, .. } = p.at(step);
        let (now, before, after) = (now as usize, before as usize, after as usize);
        let (h_before, h_after) = apart(h, batch * hidden, before, after);
        let keeps = &mut keeps[now * batch * kept..][..batch * kept];
        parallel::chunks(keeps, p.piece(kept), |piece, keeps| {
            let first = piece * ROWS;
            let count = keeps.len() / kept;
            let h = &h_before[first * hidden..][..count * hidden];
            scratch.with(count * rows, |sums| {
                gemm([count, rows, hidden], h, [hidden as u32, 1], w, [1, hidden as u32], sums, 0.0);
                for (row, (keeps, sums)) in keeps.chunks_mut(kept).zip(sums.chunks(rows)).enumerate() {
                    if now as i32 >= lengths[first + row] {
                        keeps.fill(0.0);
                        continue;
                    }
                    let x = &inputs[((first + row) * steps + now) * rows..][..rows];
                    let sum = |gate: usize, j: usize| sums[gate * hidden + j] + bias(gate * hidden + j);
                    let given = |gate: usize, j: usize| x[gate * hidden + j] + sum(gate, j);
                    for j in 0..hidden {
                        match cell {
                            Cell::Tanh => keeps[j] = tanh(given(0, j)),
                            Cell::Relu => keeps[j] = relu(given(0, j)),
                            Cell::Lstm => {
                                for gate in [0, 1, 3] {
                                    keeps[gate * hidden + j] = sigmoid(given(gate, j));
                                }
                                keeps[2 * hidden + j] = tanh(given(2, j));
                            }
                            Cell::Gru => {
                                let (reset, own) = (sigmoid(given(0, j)), sum(2, j));
                                keeps[j] = reset;
                                keeps[hidden + j] = sigmoid(given(1, j));
                                keeps[2 * hidden + j] = tanh(x[2 * hidden + j] + reset * own);
                                keeps[3 * hidden + j] = own;
                            }
                        }
                    }
                }
            });
        });
        let memory = (cell == Cell::Lstm).then(|| apart(c, batch * hidden, before, after));
        let (c_before, c_after) = memory.unwrap_or((&[], &mut []));
        for b in 0..batch {
            for j in 0..hidden {
                let (at, keep) = (b * hidden + j, |gate: usize| keeps[b * kept + gate * hidden + j]);
                let stays = now as i32 >= lengths[b];
                if cell == Cell::Lstm {
                    c_after[at] = if stays { c_before[at] } else { keep(1) * c_before[at] + keep(0) * keep(2) };
                }
                h_after[at] = match cell {
                    _ if stays => h_before[at],
                    Cell::Tanh | Cell::Relu => keep(0),
                    Cell::Lstm => keep(3) * tanh(c_after[at]),
                    Cell::Gru => (1.0 - keep(1)) * keep(2) + keep(1) * h_before[at],
                };
            }
        }
    }
}

pub fn backward(call: &mut Call) {
    let (p, w, states) = (call.params::<RecurrentParams>(), call.read::<f32>(0), call.read::<f32>(1));
    let (keeps, dy, lengths) = (call.read::<f32>(2), call.read::<f32>(3), call.read::<i32>(4));
    let [batch, hidden, steps] = p.sizes();
    let (cell, kept) = (p.cell(), p.kept() * hidden);
    let part = (steps + 1) * batch * hidden;
    let sums = call.write::<f32>(5);
    let carried = call.write::<f32>(6);
    carried.fill(0.0);
    let (carried_h, carried_c) = carried.split_at_mut(batch * hidden);
    let scratch = call.scratch();
    let order = (0..p.steps).rev().map(|step| p.at(step)).chain([p.start()]);
    for RecurrentParams { now, next, before, after, .. } in order {
        scratch.with(batch * hidden, |through| {
            through.fill(0.0);
            if next != NONE {
                let d = &sums[next as usize * batch * kept..][..batch * kept];
                parallel::chunks(through, p.piece(hidden), |piece, through| {
                    let d = &d[piece * ROWS * kept..];
                    let count = through.len() / hidden;
                    let mut add = |gates: usize, from: usize, row: usize| {
                        let k = gates * hidden;
                        let w = &w[row * hidden * hidden..];
                        gemm(
                            [count, hidden, k],
                            &d[from * hidden..],
                            [kept as u32, 1],
                            w,
                            [hidden as u32, 1],
                            through,
                            1.0,
                        );
                    };
                    match cell {
                        Cell::Gru => {
                            add(2, 0, 0);
                            add(1, 3, 2);
                        }
                        _ => add(cell.gates(), 0, 0),
                    }
                });
            }
            let after = after as usize * batch * hidden;
            for at in 0..batch * hidden {
                let (b, j) = (at / hidden, at % hidden);
                // Nothing comes through W from a step that did not count, be W infinite.
                let through = if next == NONE || next as i32 >= lengths[b] { 0.0 } else { through[at] };
                let dh = dy[after + at] + through + carried_h[at];
                let dc = if cell == Cell::Lstm { dy[part + after + at] + carried_c[at] } else { 0.0 };
                if now == NONE || now as i32 >= lengths[b] {
                    carried_h[at] = dh;
                    if cell == Cell::Lstm {
                        carried_c[at] = dc;
                    }
                    if now != NONE {
                        let sums = &mut sums[(now as usize * batch + b) * kept..][..kept];
                        sums.iter_mut().skip(j).step_by(hidden).for_each(|sum| *sum = 0.0);
                    }
                    continue;
                }
                let row = (now as usize * batch + b) * kept;
                let (keep, sums) = (|gate: usize| keeps[row + gate * hidden + j], &mut sums[row..][..kept]);
                let before = before as usize * batch * hidden + at;
                carried_h[at] = 0.0;
                match cell {
                    Cell::Tanh => sums[j] = dh * (1.0 - keep(0) * keep(0)),
                    Cell::Relu => sums[j] = if keep(0) <= 0.0 { 0.0 } else { dh },
                    Cell::Lstm => {
                        let (input, forget, new, output) = (keep(0), keep(1), keep(2), keep(3));
                        let seen = tanh(states[part + after + at]);
                        let dc = dc + dh * output * (1.0 - seen * seen);
                        carried_c[at] = dc * forget;
                        sums[j] = dc * new * input * (1.0 - input);
                        sums[hidden + j] = dc * states[part + before] * forget * (1.0 - forget);
                        sums[2 * hidden + j] = dc * input * (1.0 - new * new);
                        sums[3 * hidden + j] = dh * seen * output * (1.0 - output);
                    }
                    Cell::Gru => {
                        let (reset, update, new, own) = (keep(0), keep(1), keep(2), keep(3));
                        carried_h[at] = dh * update;
                        let dn = dh * (1.0 - update) * (1.0 - new * new);
                        sums[j] = dn * own * reset * (1.0 - reset);
                        sums[hidden + j] = dh * (states[before] - new) * update * (1.0 - update);
                        sums[2 * hidden + j] = dn;
                        sums[3 * hidden + j] = dn * reset;
                    }
                }
            }
        });
    }
}
