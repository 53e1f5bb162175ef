//! Recurrent cells on the host: a product for each step, and the cell on its rows.

use super::{Cell, NONE, RecurrentParams};
use crate::kernel::functions::{relu, sigmoid, tanh};
use crate::kernel::{Call, parallel};
use crate::ops::matmul::tile::{Rows, by_panels, lay_out, panels, pieces};

/// The most rows of a batch that one thread takes.
const ROWS: usize = 48;

impl RecurrentParams {
    fn sizes(&self) -> [usize; 3] {
        [self.batch as usize, self.hidden as usize, self.steps as usize]
    }

    /// Rows of a task.
    fn rows(&self) -> usize {
        let [batch, hidden, _] = self.sizes();
        if batch * hidden * hidden < 1 << 14 {
            return batch.max(1);
        }
        batch.div_ceil(parallel::threads()).next_multiple_of(4).min(ROWS)
    }
}

/// The pieces `from`, to be read, and `to`, to be written, of those of `len` elements.
fn apart(all: &mut [f32], len: usize, from: usize, to: usize) -> (&[f32], &mut [f32]) {
    let (low, high) = all.split_at_mut(from.max(to) * len);
    if from < to { (&low[from * len..][..len], &mut high[..len]) } else { (&high[..len], &mut low[to * len..][..len]) }
}

/// Rows of some elements, as many as there are of others; where there are no elements, of none.
fn rows_of(all: &mut [f32], len: usize, count: usize) -> Vec<&mut [f32]> {
    let mut rows: Vec<&mut [f32]> = all.chunks_mut(len.max(1)).collect();
    rows.resize_with(count, Default::default);
    rows
}

#[inline(always)]
fn map(to: &mut [f32], from: &[f32], f: impl Fn(f32) -> f32) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = f(*from));
}

/// One row of a step: what its gates are given, and by the input alone; the state before, and what is found.
#[inline(always)]
fn step(cell: Cell, given: &[f32], x: &[f32], [h, c]: [&[f32]; 2], keeps: &mut [f32], found: [&mut [f32]; 2]) {
    let hidden = h.len();
    let [h_after, c_after] = found;
    match cell {
        Cell::Tanh => map(keeps, given, tanh),
        Cell::Relu => map(keeps, given, relu),
        Cell::Lstm => {
            map(&mut keeps[..2 * hidden], given, sigmoid);
            map(&mut keeps[2 * hidden..3 * hidden], &given[2 * hidden..], tanh);
            map(&mut keeps[3 * hidden..], &given[3 * hidden..], sigmoid);
            let (input, rest) = keeps.split_at(hidden);
            let (forget, rest) = rest.split_at(hidden);
            let (new, output) = rest.split_at(hidden);
            for ((((after, c), input), forget), new) in c_after.iter_mut().zip(c).zip(input).zip(forget).zip(new) {
                *after = forget * c + input * new;
            }
            h_after.iter_mut().zip(output).zip(c_after).for_each(|((h, output), c)| *h = output * tanh(*c));
            return;
        }
        Cell::Gru => {
            map(&mut keeps[..2 * hidden], given, sigmoid);
            let (gates, rest) = keeps.split_at_mut(2 * hidden);
            let (new, own) = rest.split_at_mut(hidden);
            own.copy_from_slice(&given[2 * hidden..]);
            for (((new, x), reset), own) in new.iter_mut().zip(&x[2 * hidden..]).zip(&*gates).zip(&*own) {
                *new = tanh(x + reset * own);
            }
            for (((after, h), update), new) in h_after.iter_mut().zip(h).zip(&gates[hidden..]).zip(new) {
                *after = (1.0 - update) * *new + update * h;
            }
            return;
        }
    }
    h_after.copy_from_slice(keeps);
}

pub fn forward(call: &mut Call) {
    let (p, w, scratch) = (call.params::<RecurrentParams>(), call.read::<f32>(1), call.scratch());
    let ([_, hidden, _], width) = (p.sizes(), p.cell().gates() * p.hidden as usize);
    // Laid out once for all steps.
    scratch.with(panels([hidden, width]), |panels| {
        lay_out([hidden, width], w, [1, hidden], panels);
        steps(call, p, panels);
    });
}

/// The steps in time, each after the one before: with the weight in panels.
fn steps(call: &mut Call, p: RecurrentParams, w: &[f32]) {
    let inputs = call.read::<f32>(0);
    let (bias, lengths) = (call.read::<f32>(2), call.read::<i32>(3));
    let [batch, hidden, steps] = p.sizes();
    let (cell, width, kept) = (p.cell(), p.cell().gates() * hidden, p.kept() * hidden);
    // A GRU's last gate sees the input apart from the state.
    let joined = if cell == Cell::Gru { 2 * hidden } else { width };
    let (h, c) = call.write::<f32>(4).split_at_mut((steps + 1) * batch * hidden);
    let (keeps, scratch, rows) = (call.write::<f32>(5), call.scratch(), p.rows());
    let (starts, pieces) = ((0..rows).map(|row| row * hidden).collect::<Vec<usize>>(), pieces(Some(0..hidden)));
    for RecurrentParams { now, before, after, .. } in (0..p.steps).map(|step| p.at(step)) {
        let [now, before, after] = [now, before, after].map(|time| time as usize);
        let (h_before, h_after) = apart(h, batch * hidden, before, after);
        let memory = (cell == Cell::Lstm).then(|| apart(c, batch * hidden, before, after));
        let (c_before, c_after) = memory.unwrap_or((&[], &mut []));
        let keeps = keeps[now * batch * kept..][..batch * kept].chunks_mut(rows * kept);
        let c_after = rows_of(c_after, rows * hidden, keeps.len());
        let mut tasks: Vec<_> = keeps.zip(h_after.chunks_mut(rows * hidden)).zip(c_after).enumerate().collect();
        parallel::chunks(
            &mut tasks,
            1,
            #[inline(always)]
            |_, tasks| {
                let (task, ((keeps, h_after), c_after)) = &mut tasks[0];
                let (first, count) = (*task * rows, keeps.len() / kept);
                let h = &h_before[first * hidden..][..count * hidden];
                scratch.with(
                    count * width,
                    #[inline(always)]
                    |given| {
                        let states = Rows { of: h, starts: &starts, pieces: &pieces };
                        by_panels(states, hidden, w, &mut given.chunks_mut(width).collect::<Vec<_>>(), false);
                        for row in 0..count {
                            let given = &mut given[row * width..][..width];
                            let x = &inputs[((first + row) * steps + now) * width..][..width];
                            if p.biased == 1 {
                                given.iter_mut().zip(bias).for_each(|(given, bias)| *given += bias);
                            }
                            given[..joined].iter_mut().zip(x).for_each(|(given, x)| *given += x);
                            let of_row = row * hidden..(row + 1) * hidden;
                            let place = (first + row) * hidden..(first + row + 1) * hidden;
                            let keeps = &mut keeps[row * kept..][..kept];
                            let (h, h_after) = (&h_before[place.clone()], &mut h_after[of_row.clone()]);
                            let (c, c_after) = match cell {
                                Cell::Lstm => (&c_before[place], &mut c_after[of_row]),
                                _ => (&[][..], &mut [][..]),
                            };
                            if now as i32 >= lengths[first + row] {
                                keeps.fill(0.0);
                                h_after.copy_from_slice(h);
                                c_after.copy_from_slice(c);
                                continue;
                            }
                            step(cell, given, x, [h, c], keeps, [h_after, c_after]);
                        }
                    },
                );
            },
        );
    }
}

/// One row of a step's gradient: of the state's parts it takes what comes from after and leaves what goes past the gates.
#[inline(always)]
fn step_back(cell: Cell, keeps: &[f32], [before, after]: [&[f32]; 2], dh: &mut [f32], dc: &mut [f32], d: &mut [f32]) {
    let hidden = dh.len();
    match cell {
        Cell::Tanh => {
            d.iter_mut().zip(&*dh).zip(keeps).for_each(|((d, dh), y)| *d = dh * (1.0 - y * y));
            dh.fill(0.0);
        }
        Cell::Relu => {
            d.iter_mut().zip(&*dh).zip(keeps).for_each(|((d, dh), y)| *d = if *y <= 0.0 { 0.0 } else { *dh });
            dh.fill(0.0);
        }
        Cell::Lstm => {
            let [input, forget, new, output] = [0, 1, 2, 3].map(|gate| &keeps[gate * hidden..][..hidden]);
            let (of_input, rest) = d.split_at_mut(hidden);
            let (of_forget, rest) = rest.split_at_mut(hidden);
            let (of_new, of_output) = rest.split_at_mut(hidden);
            let (before, after) = (&before[..hidden], &after[..hidden]);
            let (of_output, dc) = (&mut of_output[..hidden], &mut dc[..hidden]);
            for j in 0..hidden {
                let seen = tanh(after[j]);
                let all = dc[j] + dh[j] * output[j] * (1.0 - seen * seen);
                dc[j] = all * forget[j];
                of_input[j] = all * new[j] * input[j] * (1.0 - input[j]);
                of_forget[j] = all * before[j] * forget[j] * (1.0 - forget[j]);
                of_new[j] = all * input[j] * (1.0 - new[j] * new[j]);
                of_output[j] = dh[j] * seen * output[j] * (1.0 - output[j]);
            }
            dh.fill(0.0);
        }
        Cell::Gru => {
            let [reset, update, new, own] = [0, 1, 2, 3].map(|gate| &keeps[gate * hidden..][..hidden]);
            let (of_reset, rest) = d.split_at_mut(hidden);
            let (of_update, rest) = rest.split_at_mut(hidden);
            let (of_new, of_own) = rest.split_at_mut(hidden);
            let (before, of_own) = (&before[..hidden], &mut of_own[..hidden]);
            for j in 0..hidden {
                let dn = dh[j] * (1.0 - update[j]) * (1.0 - new[j] * new[j]);
                of_reset[j] = dn * own[j] * reset[j] * (1.0 - reset[j]);
                of_update[j] = dh[j] * (before[j] - new[j]) * update[j] * (1.0 - update[j]);
                of_new[j] = dn;
                of_own[j] = dn * reset[j];
                dh[j] *= update[j];
            }
        }
    }
}

pub fn backward(call: &mut Call) {
    let (p, w, scratch) = (call.params::<RecurrentParams>(), call.read::<f32>(0), call.scratch());
    let size = [p.cell().gates() * p.hidden as usize, p.hidden as usize];
    scratch.with(panels(size), |panels| {
        lay_out(size, w, [size[1], 1], panels);
        steps_back(call, p, panels);
    });
}

/// The steps back in time, with the weight in panels.
fn steps_back(call: &mut Call, p: RecurrentParams, w: &[f32]) {
    let states = call.read::<f32>(1);
    let (keeps, dy, lengths) = (call.read::<f32>(2), call.read::<f32>(3), call.read::<i32>(4));
    let [batch, hidden, steps] = p.sizes();
    let (cell, kept, rows) = (p.cell(), p.kept() * hidden, p.rows());
    let part = (steps + 1) * batch * hidden;
    let sums = call.write::<f32>(5);
    let carried = call.write::<f32>(6);
    carried.fill(0.0);
    let (carried_h, carried_c) = carried.split_at_mut(batch * hidden);
    let scratch = call.scratch();
    let (width, starts) = (cell.gates() * hidden, (0..rows).map(|row| row * kept).collect::<Vec<usize>>());
    // A GRU keeps the sums of its last gate by the input alone before those by the state.
    let gates = match cell {
        Cell::Gru => pieces([0..2 * hidden, 3 * hidden..4 * hidden]),
        _ => pieces(Some(0..width)),
    };
    let order = (0..p.steps).rev().map(|step| p.at(step)).chain([p.start()]);
    for RecurrentParams { now, next, before, after, .. } in order {
        let step = batch * kept;
        // The sums of the step after, and those of this one where there is one.
        let (d_next, d_now): (&[f32], &mut [f32]) = match (next, now) {
            (NONE, NONE) => (&[], &mut []),
            (NONE, now) => (&[], &mut sums[now as usize * step..][..step]),
            (next, NONE) => (&sums[next as usize * step..][..step], &mut []),
            (next, now) => apart(sums, step, next as usize, now as usize),
        };
        let [before, after] = [before, after].map(|time| time as usize * batch * hidden);
        let carried_h = carried_h.chunks_mut(rows * hidden);
        let count = carried_h.len();
        let carried_c = rows_of(carried_c, rows * hidden, count);
        let mut tasks: Vec<_> = carried_h.zip(carried_c).zip(rows_of(d_now, rows * kept, count)).enumerate().collect();
        parallel::chunks(
            &mut tasks,
            1,
            #[inline(always)]
            |_, tasks| {
                let (task, ((carried_h, carried_c), d_now)) = &mut tasks[0];
                let (first, count) = (*task * rows, carried_h.len() / hidden);
                scratch.with(
                    count * hidden,
                    #[inline(always)]
                    |through| {
                        if next != NONE {
                            let sums = Rows { of: &d_next[first * kept..], starts: &starts, pieces: &gates };
                            by_panels(sums, width, w, &mut through.chunks_mut(hidden).collect::<Vec<_>>(), false);
                        }
                        for row in 0..count {
                            let (b, of_row) = (first + row, row * hidden..(row + 1) * hidden);
                            let (at, length) = (b * hidden, lengths[b]);
                            let dh = &mut carried_h[of_row.clone()];
                            dh.iter_mut().zip(&dy[after + at..]).for_each(|(dh, dy)| *dh += dy);
                            // Nothing comes through W from a step that did not count, be W infinite.
                            if next != NONE && (next as i32) < length {
                                dh.iter_mut().zip(&through[of_row.clone()]).for_each(|(dh, through)| *dh += through);
                            }
                            let (dc, seen) = match cell {
                                Cell::Lstm => (&mut carried_c[of_row], [part + before + at, part + after + at]),
                                _ => (&mut [][..], [before + at; 2]),
                            };
                            dc.iter_mut().zip(&dy[seen[1]..]).for_each(|(dc, dy)| *dc += dy);
                            if now == NONE {
                                continue;
                            }
                            let d = &mut d_now[row * kept..][..kept];
                            if now as i32 >= length {
                                d.fill(0.0);
                                continue;
                            }
                            let keeps = &keeps[(now as usize * batch + b) * kept..][..kept];
                            step_back(cell, keeps, seen.map(|at| &states[at..]), dh, dc, d);
                        }
                    },
                );
            },
        );
    }
}
