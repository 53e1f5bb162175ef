//! Recurrent cells over whole sequences: `shaders/recurrent.wgsl`, `shaders/recurrent_backward.wgsl`.
//!
//! What the inputs give is one matrix product for all steps, which comes before; a step is one pass or two, and so is its
//! gradient. The gradient of the weights is one product over all steps.

mod again;
mod definition;
mod host;

use crate::autograd::{Op, is_differentiated, result_of};
use crate::dtype::DType;
use crate::kernel::{
    Access, Class, Constant, Cost, Dispatch, Info, Kernel, Lowering, Pass, Shader, Slot, Tolerance, Uniform, Variant,
    groups, shader,
};
use crate::ops::matmul::{self, MatMul, Operands, Tiling};
use crate::shape::{Layout, Shape};
use crate::tensor::Tensor;
use bytemuck::{Pod, Zeroable};

use Access::{Read, ReadWrite, Write};

/// The function of a step, from the state and the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell {
    /// `h = tanh(x + W h)` (Elman, 1990).
    Tanh,
    /// `h = relu(x + W h)`.
    Relu,
    /// Long short-term memory (Hochreiter and Schmidhuber, 1997), gates in PyTorch's order: input, forget, cell, output.
    Lstm,
    /// The gated recurrent unit (Cho et al., 2014), gates in PyTorch's order: reset, update, new.
    Gru,
}

impl Cell {
    /// Rows of the weight, in numbers of units.
    pub fn gates(self) -> usize {
        match self {
            Cell::Tanh | Cell::Relu => 1,
            Cell::Gru => 3,
            Cell::Lstm => 4,
        }
    }

    /// The parts of a state: the output, and a cell's own memory.
    pub fn parts(self) -> usize {
        if self == Cell::Lstm { 2 } else { 1 }
    }
}

/// Which end of a sequence comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// The start.
    #[default]
    Forward,
    /// The end.
    Reverse,
}

/// A cell with its weights.
pub struct Recurrence<'a> {
    /// The function of a step.
    pub cell: Cell,
    /// `[gates * hidden, hidden]`.
    pub weight: &'a Tensor,
    /// `[gates * hidden]`.
    pub bias: Option<&'a Tensor>,
    /// The state before the first step, `[parts, batch, hidden]`.
    pub initial: &'a Tensor,
    /// The number of steps that count of each sequence (i32), `[batch]`: all where there is none. Later ones leave the state
    /// as it is.
    pub lengths: Option<&'a Tensor>,
    /// Which end comes first.
    pub direction: Direction,
}

static FORWARD: Shader = shader!("recurrent", &[Read, Read, Read, Read, ReadWrite, Write]);

static BACKWARD: Shader = shader!("recurrent_backward", &[Read, Read, Read, Read, Read, ReadWrite, ReadWrite]);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Uniform)]
struct RecurrentParams {
    batch: u32,
    hidden: u32,
    steps: u32,
    cell: u32,
    reverse: u32,
    biased: u32,
    /// Of a pass: the time of its step, that of the step after it, and where the states before and after it lie.
    now: u32,
    next: u32,
    before: u32,
    after: u32,
}

/// No step comes after.
const NONE: u32 = u32::MAX;

impl RecurrentParams {
    fn cell(&self) -> Cell {
        [Cell::Tanh, Cell::Relu, Cell::Lstm, Cell::Gru][self.cell as usize]
    }

    /// Numbers that a step keeps for its gradient, for each unit.
    fn kept(&self) -> usize {
        kept(self.cell())
    }

    /// Of the step that comes as number `step`.
    fn at(&self, step: u32) -> RecurrentParams {
        let time = |step: u32| if self.reverse == 1 { self.steps - 1 - step } else { step };
        let next = if step + 1 < self.steps { time(step + 1) } else { NONE };
        let (before, after) = if self.reverse == 1 { (time(step) + 1, time(step)) } else { (step, step + 1) };
        RecurrentParams { now: time(step), next, before, after, ..*self }
    }

    /// Before the first step, for what its gradient leaves.
    fn start(&self) -> RecurrentParams {
        let first = self.at(0);
        RecurrentParams { now: NONE, next: first.now, after: first.before, ..first }
    }
}

fn kept(cell: Cell) -> usize {
    match cell {
        Cell::Tanh | Cell::Relu => 1,
        Cell::Lstm | Cell::Gru => 4,
    }
}

fn cost(d: &Dispatch) -> Cost {
    let p: RecurrentParams = d.params();
    let [batch, hidden, steps] = [p.batch, p.hidden, p.steps].map(u64::from);
    d.cost(2 * steps * batch * hidden * hidden * p.cell().gates() as u64)
}

fn pass(shader: &'static Shader, entry: &'static str, p: &RecurrentParams) -> Pass {
    let units = p.batch as usize * p.hidden as usize / 4;
    let pass = Pass::new(shader, entry, groups(units, 64)).params(p);
    pass.constant("CELL", Constant::U32(p.cell)).constant("BIASED", Constant::Bool(p.biased == 1))
}

/// A pass for each step: fewer of them, each with loops.
fn forward_steps(d: &Dispatch) -> Lowering {
    let p: RecurrentParams = d.params();
    let passes = (0..p.steps).map(|step| pass(&FORWARD, "recurrent_step", &p.at(step))).collect();
    Lowering { passes, scratch: Vec::new() }
}

fn backward_steps(d: &Dispatch) -> Lowering {
    let p: RecurrentParams = d.params();
    let steps = (0..p.steps).rev().map(|step| pass(&BACKWARD, "recurrent_step_backward", &p.at(step)));
    let start = pass(&BACKWARD, "recurrent_start_backward", &p.start());
    Lowering { passes: steps.chain([start]).collect(), scratch: Vec::new() }
}

/// Two passes for each step, a matrix product and the cell.
fn forward_products(info: &Info, d: &Dispatch) -> Lowering {
    let p: RecurrentParams = d.params();
    let [batch, hidden, rows] = [p.batch, p.hidden, p.cell().gates() as u32 * p.hidden].map(|size| size as usize);
    let mut out = Lowering::default();
    let (sums, spare) = (out.scratch((batch * rows * 4) as u64), out.scratch(matmul::SPARE));
    let slots = [Slot::Arg(0), sums, Slot::Arg(2), Slot::Arg(3), Slot::Arg(4), Slot::Arg(5)];
    out.passes.extend((0..p.steps).flat_map(|step| {
        let p = p.at(step);
        let mut product = MatMul::new([batch, rows, hidden], [hidden, 1], [1, hidden]);
        product.a_base = p.before * p.batch * p.hidden;
        let operands = Operands::plain(Slot::Arg(4), Slot::Arg(1), sums);
        let product = matmul::pass(info, matmul::preferred(info), &product, &operands, spare);
        [product, pass(&FORWARD, "recurrent_cell", &p).slots(&slots)]
    }));
    out
}

fn backward_products(info: &Info, d: &Dispatch) -> Lowering {
    let p: RecurrentParams = d.params();
    let [batch, hidden, kept] = [p.batch, p.hidden, p.kept() as u32 * p.hidden].map(|size| size as usize);
    // Of what each product takes: gates, the first of those that are kept, the first row of W, in numbers of units.
    let parts: &[[usize; 3]] = match p.cell() {
        Cell::Gru => &[[2, 0, 0], [1, 3, 2]],
        Cell::Lstm => &[[4, 0, 0]],
        Cell::Tanh | Cell::Relu => &[[1, 0, 0]],
    };
    let mut out = Lowering::default();
    let (through, spare) = (out.scratch((parts.len() * batch * hidden * 4) as u64), out.scratch(matmul::SPARE));
    let slots = [through, Slot::Arg(1), Slot::Arg(2), Slot::Arg(3), Slot::Arg(4), Slot::Arg(5), Slot::Arg(6)];
    let order = (0..p.steps).rev().map(|step| (p.at(step), "recurrent_cell_backward"));
    for (p, entry) in order.chain([(p.start(), "recurrent_begin_backward")]) {
        for (at, &[gates, first, row]) in parts.iter().enumerate().filter(|_| p.next != NONE) {
            let mut product = MatMul::new([batch, hidden, gates * hidden], [kept, 1], [hidden, 1]);
            product.a_base = p.next * (batch * kept) as u32 + (first * hidden) as u32;
            product.b_base = (row * hidden * hidden) as u32;
            product.c_base = (at * batch * hidden) as u32;
            let operands = Operands::plain(Slot::Arg(5), Slot::Arg(0), through);
            out.passes.push(matmul::pass(info, matmul::preferred(info), &product, &operands, spare));
        }
        out.passes.push(pass(&BACKWARD, entry, &p).slots(&slots));
    }
    out
}

/// Whether the sums of a product need no parts.
fn fits_products(info: &Info, d: &Dispatch) -> bool {
    let p: RecurrentParams = d.params();
    let fits = if matmul::preferred(info) == Tiling::Subgroup { matmul::fits_subgroup } else { matmul::fits_tiled };
    fits(info) && p.hidden as usize * p.cell().gates() <= 8192
}

/// Products pay where they are large, and on software adapters, whose loads in a loop cost more than a pass.
fn suits_products(info: &Info, d: &Dispatch) -> bool {
    info.class != Class::Gpu || d.params::<RecurrentParams>().hidden > 256
}

/// states [parts, steps + 1, batch, hidden] and what each step keeps [steps, batch, kept, hidden], from inputs
/// [batch, steps, gates, hidden], weight, bias and lengths.
static RECURRENT: Kernel = Kernel::new("recurrent", FORWARD.access, definition::forward, cost)
    .host(host::forward)
    .tolerance(Tolerance::SUMMED)
    .variants(&[
        Variant::new("products", forward_products).fits(fits_products).suits(suits_products),
        Variant::new("steps", |_, d| forward_steps(d)),
    ]);

/// The gradients of what each step adds up [steps, batch, kept, hidden] and of the first state [parts, batch, hidden], from
/// weight, states, what was kept, the gradients of the states, and lengths.
static RECURRENT_BACKWARD: Kernel =
    Kernel::new("recurrent_backward", &[Read, Read, Read, Read, Read, Write, Write], definition::backward, cost)
        .host(host::backward)
        .tolerance(Tolerance::SUMMED)
        .proportional_to(&[3])
        .variants(&[
            Variant::new("products", backward_products).fits(fits_products).suits(suits_products),
            Variant::new("steps", |_, d| backward_steps(d)),
        ]);

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&RECURRENT, &RECURRENT_BACKWARD];

/// The states of a recurrent layer, from before the first step to after the last.
pub struct States {
    /// `[parts, steps + 1, batch, hidden]`, in the order of time.
    all: Tensor,
    direction: Direction,
}

/// Some of the states, which lie one after another from the start of their memory.
fn seen(all: &Tensor, (op, part, direction): (&'static str, usize, Direction), layout: Layout) -> Tensor {
    let shape = all.shape();
    all.with_layout(layout).tracked(
        || Op::new(op).with("part", part).with("direction", format!("{direction:?}")),
        &[all],
        move |dy, _| {
            let dx = dy.new_zeros(shape);
            dx.with_layout(layout).overwrite(dy);
            let as_here = (op, part, direction);
            let again = move |ddx: &Tensor, _: &[bool]| vec![Some(seen(&ddx.copy().contiguous(), as_here, layout))];
            vec![Some(dx.tracked("states_backward", &[dy], again))]
        },
    )
}

impl States {
    /// From all states, as [`States::all`] tells them.
    pub(crate) fn of(all: Tensor, direction: Direction) -> States {
        States { all, direction }
    }

    /// All states.
    pub(crate) fn all(&self) -> &Tensor {
        &self.all
    }

    fn seen(&self, op: &'static str, part: usize, layout: Layout) -> Tensor {
        seen(&self.all, (op, part, self.direction), layout)
    }

    /// The output of each step, `[batch, steps, hidden]`.
    pub fn outputs(&self) -> Tensor {
        let (shape, strides) = (self.all.shape(), self.all.layout().strides);
        let whole = Layout::contiguous(Shape::from([shape[1] - 1, shape[2], shape[3]])).permute(&[1, 0, 2]);
        let first = usize::from(self.direction == Direction::Forward);
        self.seen("outputs", 0, Layout { offset: first * strides[1], ..whole })
    }

    /// A part of the state after the last step, `[batch, hidden]`: 0 is the output, 1 a cell's own memory.
    ///
    /// # Panics
    /// If the cell has no such part.
    #[track_caller]
    pub fn last(&self, part: usize) -> Tensor {
        let parts = self.all.shape()[0];
        assert!(part < parts, "last: a state of {parts} parts has no part {part}");
        let (shape, strides) = (self.all.shape(), self.all.layout().strides);
        let step = if self.direction == Direction::Forward { shape[1] - 1 } else { 0 };
        let offset = part * strides[0] + step * strides[1];
        self.seen("last", part, Layout { offset, ..Layout::contiguous(Shape::from([shape[2], shape[3]])) })
    }
}

/// # Recurrence
impl Tensor {
    /// The states of a cell over sequences, from what the inputs give to each gate: `[batch, steps, gates * hidden]`. Of a batch of
    /// nothing they are empty, and the gradients of weights 0.
    ///
    /// # Panics
    /// If the shapes do not fit, there are no steps, or the hidden units are no multiple of 4.
    #[track_caller]
    pub fn recurrent(&self, recurrence: &Recurrence) -> States {
        let Recurrence { cell, weight, bias, initial, lengths, direction } = *recurrence;
        let (op, x, w, s) = ("recurrent", self.shape(), weight.shape(), initial.shape());
        let (rows, parts) = (cell.gates(), cell.parts());
        assert!(x.rank() == 3 && w.rank() == 2, "{op}: {x} x {w}: expected [batch, steps, gates] and a matrix");
        let (batch, steps, hidden) = (x[0], x[1], w[1]);
        assert!(w[0] == rows * hidden && x[2] == w[0], "{op}: {x} x {w}: expected {rows} gates of {hidden} units");
        assert!(s[..] == [parts, batch, hidden], "{op}: {x} x {s}: expected a state [{parts}, {batch}, {hidden}]");
        assert!(hidden.is_multiple_of(4), "{op}: {w}: {hidden} units are no multiple of 4");
        assert!(steps * hidden > 0, "{op}: {x}: there are no steps to walk");
        if let Some(bias) = bias {
            let b = bias.shape();
            assert!(b[..] == [w[0]], "{op}: {w} x {b}: expected a bias for each row");
        }
        let (device, dtype) = (self.device(), Tensor::promoted(op, &[self, weight, initial]));
        let given = lengths.cloned();
        let lengths = match lengths {
            Some(lengths) => {
                let fits = lengths.shape()[..] == [batch];
                assert!(fits, "{op}: {x} x {}: expected a length (i32) for each sequence", lengths.shape());
                lengths.indices(op, "lengths").contiguous()
            }
            None => Tensor::full([batch], steps as i32, device),
        };
        let p = RecurrentParams {
            batch: batch as u32,
            hidden: hidden as u32,
            steps: steps as u32,
            cell: cell as u32,
            reverse: u32::from(direction == Direction::Reverse),
            biased: u32::from(bias.is_some()),
            now: 0,
            next: 0,
            before: 0,
            after: 0,
        };
        // In a mixed pass all that is kept of a step is of the half type.
        let ruled = Tensor::ruled(op, &[self, weight, initial]);
        let wide = |x: &Tensor| ruled.map_or_else(|| x.contiguous(), |half| x.cast(half).contiguous());
        let (inputs, weight) = (wide(self), wide(weight));
        let all = Tensor::empty([parts, steps + 1, batch, hidden], dtype, device);
        all.write_part(1, p.at(0).before as usize, &initial.detach().cast(dtype).unsqueeze(1));
        let keeps = Tensor::empty([steps, batch, p.kept() * hidden], ruled.unwrap_or(DType::F32), device);
        // Where there is no bias, something else is bound in its place.
        let own = bias.map_or(weight.detach(), |bias| bias.detach().contiguous());
        Tensor::run(&RECURRENT, &[&inputs.detach(), &weight.detach(), &own, &lengths, &all, &keeps], &p);
        let (w, states, keeps, lengths) = (weight.saved(), all.saved(), keeps.saved(), lengths.saved());
        let nodes = [inputs.node().cloned(), bias.and_then(|bias| bias.node().cloned())];
        let backward = move |dy: &Tensor, needs: &[bool]| {
            if is_differentiated() {
                let nodes = nodes.each_ref().map(Option::as_ref);
                let states = result_of(&states);
                let kept = again::Kept { weight: &w, states, keeps: &keeps, lengths: &lengths, nodes };
                let all = again::gradients(&kept, dy, &p);
                return all.into_iter().zip(needs).map(|(gradient, needed)| gradient.filter(|_| *needed)).collect();
            }
            let sums = Tensor::empty(keeps.shape(), DType::F32, dy.device());
            let first = Tensor::empty([parts, batch, hidden], DType::F32, dy.device());
            let args = [&w, &states, &keeps, &dy.contiguous(), &lengths, &sums, &first];
            Tensor::run(&RECURRENT_BACKWARD, &args, &p);
            let (all, cut) = (sums.reshape_to(Shape::from([steps * batch, p.kept() * hidden])), (rows - 1) * hidden);
            // The last gate of a GRU adds up inputs and states apart: the gradient of the former lies before that of the latter.
            let split = cell == Cell::Gru;
            let dx = || {
                let dx = if split { sums.narrow(2, 0, rows * hidden) } else { sums.clone() };
                dx.permute(&[1, 0, 2])
            };
            let by_rows = |each: &dyn Fn(&Tensor) -> Tensor| match split {
                false => each(&all),
                true => Tensor::cat(&[&each(&all.narrow(1, 0, cut)), &each(&all.narrow(1, rows * hidden, hidden))], 0),
            };
            let before = states.narrow(0, 0, 1).squeeze(0).narrow(0, p.reverse as usize, steps);
            let before = before.reshape_to(Shape::from([steps * batch, hidden]));
            let mut gradients = vec![
                needs[0].then(dx),
                needs[1].then(|| by_rows(&|sums| sums.t().matmul(&before))),
                needs[2].then_some(first),
            ];
            if let Some(needed) = needs.get(3) {
                gradients.push(needed.then(|| by_rows(&|sums| sums.sum_dims(&[0], crate::KeepDims::No))));
            }
            gradients
        };
        let mut from = vec![&inputs, &weight, initial];
        from.extend(bias);
        States {
            all: all.tracked(
                move || {
                    let op = Op::new(op).with("cell", format!("{cell:?}")).with("direction", format!("{direction:?}"));
                    given.iter().fold(op, |op, lengths| op.with("lengths", lengths))
                },
                &from,
                backward,
            ),
            direction,
        }
    }
}
