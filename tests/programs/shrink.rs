//! Makes a program that fails shorter and smaller, as long as it fails in the same way.

use super::judge::{Fault, Noise, guarded};
use super::op::Op;
use super::program::{Fill, Given, Item, Lies, Program};
use super::update::Update;
use std::time::{Duration, Instant};
use wgrad::{DType, Device, Tensor};

/// No failure is worth more time than this.
const LONGEST: Duration = Duration::from_secs(60);

/// Whether a program fails, and how.
pub type Judge<'a> = &'a mut dyn FnMut(&Program) -> Option<Fault>;

struct Shrinking<'a> {
    judge: Judge<'a>,
    fault: Fault,
    until: Instant,
    best: Program,
}

/// The shortest program that was found to fail as `program` does.
pub fn shrunk(program: &Program, fault: &Fault, judge: Judge) -> Program {
    let until = Instant::now() + LONGEST;
    let mut shrinking = Shrinking { judge, fault: fault.clone(), until, best: program.clone() };
    loop {
        let before = shrinking.best.clone();
        shrinking.results();
        shrinking.steps();
        shrinking.sizes();
        shrinking.givens();
        if shrinking.best == before || Instant::now() > shrinking.until {
            return shrinking.best;
        }
    }
}

impl Shrinking<'_> {
    /// Takes a program if it fails in the same way.
    fn take(&mut self, program: Program) -> bool {
        if Instant::now() > self.until || program == self.best || program.results.len() + program.losses.len() == 0 {
            return false;
        }
        // Shapes that do not fit any more say so before anything runs.
        let shapes = guarded(|| shapes(&program).map(drop));
        if self.fault.kind != "CPU" && shapes.is_err() {
            return false;
        }
        let fails = (self.judge)(&program).is_some_and(|fault| fault.is_like(&self.fault));
        if fails {
            self.best = program;
        }
        fails
    }

    fn results(&mut self) {
        // One value alone, the first that does, and how it is used.
        for at in 0..self.best.items.len() {
            let one = [(vec![at], Vec::new()), (Vec::new(), vec![at])];
            let with = |(results, losses)| Program { results, losses, ..self.best.clone() }.compact();
            let [as_result, as_loss] = one.map(with);
            let is_less = |program: &Program, best: &Program| weight(program) < weight(best);
            if is_less(&as_result, &self.best) && self.take(as_result)
                || is_less(&as_loss, &self.best) && self.take(as_loss)
            {
                break;
            }
        }
        for (update, gives_gradients) in [(Update::Nothing, true), (Update::Sgd, false), (self.best.update, false)] {
            let program = Program { update, gives_gradients, ..self.best.clone() };
            if self.best.update != Update::Nothing && self.take(program) {
                break;
            }
        }
        for at in (0..self.best.losses.len()).rev() {
            let mut program = self.best.clone();
            program.losses.remove(at);
            self.take(program.compact());
        }
        for at in (0..self.best.results.len()).rev() {
            let mut program = self.best.clone();
            program.results.remove(at);
            self.take(program.compact());
        }
    }

    /// Each step goes, from the last to the first: its value is one of its operands, or an input.
    fn steps(&mut self) {
        let mut at = self.best.items.len();
        while at > 0 {
            at -= 1;
            if at >= self.best.items.len() {
                continue;
            }
            let Item::Step { op, of } = self.best.items[at].clone() else { continue };
            let Ok(known) = guarded(|| shapes(&self.best)) else { return };
            let mut gone = false;
            for &operand in &of {
                let alike = known[operand] == known[at] || op == Op::Assign;
                // Another shape may do as well, where what follows takes any.
                if alike || operand == of[0] {
                    gone = gone || self.take(replaced(&self.best, at, operand).compact());
                }
            }
            if gone {
                continue;
            }
            let (shape, dtype) = &known[at];
            let fill = if *dtype == DType::F32 { Fill::Uniform } else { Fill::Whole(0, 3) };
            for tracked in [true, false] {
                let mut program = self.best.clone();
                let tracked = tracked && *dtype == DType::F32;
                program.items[at] = Item::Given(Given { tracked, ..Given::plain(shape, fill) });
                if self.take(program.compact()) {
                    break;
                }
            }
        }
    }

    /// Inputs and whatever names sizes get smaller.
    fn sizes(&mut self) {
        let mut at = 0;
        while at < self.best.items.len() {
            for smaller in smaller(&self.best.items[at]) {
                let mut program = self.best.clone();
                program.items[at] = smaller;
                if self.take(program) {
                    break;
                }
            }
            // All of one size at once, where several have to agree.
            at += 1;
        }
        let mut all: Vec<usize> = self.best.items.iter().flat_map(sizes_of).filter(|&size| size > 1).collect();
        all.sort_unstable();
        all.dedup();
        for size in all.into_iter().rev() {
            for new in [1, 2, size / 2, size - 1] {
                if new < size {
                    let mut program = self.best.clone();
                    program.items.iter_mut().for_each(|item| resize(item, size, new));
                    if self.take(program) {
                        break;
                    }
                }
            }
        }
    }

    /// Inputs become as plain as they can.
    fn givens(&mut self) {
        for at in 0..self.best.items.len() {
            let Item::Given(given) = self.best.items[at].clone() else { continue };
            let plainer = [
                Given { lies: Lies::Plain, ..given.clone() },
                Given { tracked: false, ..given.clone() },
                Given { outside: false, ..given },
            ];
            for given in plainer {
                let mut program = self.best.clone();
                program.items[at] = Item::Given(given);
                self.take(program);
            }
        }
    }
}

/// What is to be little, the first first.
fn weight(program: &Program) -> (usize, usize, usize) {
    let results = program.results.iter().chain(&program.losses);
    let inputs = results.clone().filter(|&&at| matches!(program.items[at], Item::Given(_))).count();
    (program.items.len(), results.count(), inputs)
}

/// The shapes and types of all values, by a device that runs nothing.
fn shapes(program: &Program) -> Result<Vec<(Vec<usize>, DType)>, String> {
    let null = Device::null();
    let given = |item: &Item| match item {
        Item::Given(given) => {
            let source = given.source();
            let base = Tensor::empty(source.input.base(), source.input.dtype(), &null);
            Some(source.leaf(&source.seen(&base)))
        }
        Item::Step { .. } => None,
    };
    let x: Vec<Tensor> = program.items.iter().filter_map(given).collect();
    let values = program.values(&x, &mut Noise::none());
    Ok(values.iter().map(|value| (value.shape().to_vec(), value.dtype())).collect())
}

/// With another item wherever one is used.
fn replaced(program: &Program, at: usize, by: usize) -> Program {
    let mut program = program.clone();
    let other = |used: &mut usize| {
        if *used == at {
            *used = by;
        }
    };
    for item in &mut program.items[at + 1..] {
        if let Item::Step { of, .. } = item {
            of.iter_mut().for_each(other);
        }
    }
    program.results.iter_mut().for_each(other);
    program.losses.iter_mut().for_each(other);
    // Nothing uses it any more; what writes in place would be kept.
    if let Item::Step { op, .. } = &mut program.items[at] {
        *op = Op::Detach;
    }
    program
}

/// The same with one size smaller.
fn smaller(item: &Item) -> Vec<Item> {
    let mut all = Vec::new();
    match item {
        Item::Given(given) if !matches!(given.fill, Fill::OfCase(..)) => {
            for dim in 0..given.shape.len() {
                for size in less(given.shape[dim]) {
                    let mut given = given.clone();
                    given.shape[dim] = size;
                    all.push(Item::Given(given));
                }
            }
        }
        Item::Given(_) => {}
        Item::Step { op, of } => {
            let mut with = |op: Op| all.push(Item::Step { op, of: of.clone() });
            match op {
                Op::Narrow(dim, start, len) => {
                    less(*start).for_each(|start| with(Op::Narrow(*dim, start, *len)));
                    less(*len).for_each(|len| with(Op::Narrow(*dim, *start, len)));
                }
                Op::Pad(widths, value) => {
                    for at in 0..widths.len() {
                        for (before, after) in
                            [(0, widths[at].1), (widths[at].0, 0), (widths[at].0.min(1), widths[at].1.min(1))]
                        {
                            let mut widths = widths.clone();
                            widths[at] = (before, after);
                            with(Op::Pad(widths, *value));
                        }
                    }
                    if widths.len() > 1 {
                        with(Op::Pad(widths[..widths.len() - 1].to_vec(), *value));
                    }
                }
                _ => {}
            }
        }
    }
    all
}

fn less(size: usize) -> impl Iterator<Item = usize> {
    [0, 1, 2, size / 2, size.saturating_sub(1)]
        .into_iter()
        .filter(move |&other| other < size && (other > 0 || size == 1))
}

fn sizes_of(item: &Item) -> Vec<usize> {
    match item {
        Item::Given(given) => given.shape.clone(),
        Item::Step { op: Op::Reshape(shape) | Op::Expand(shape), .. } => shape.clone(),
        Item::Step { .. } => Vec::new(),
    }
}

fn resize(item: &mut Item, from: usize, to: usize) {
    let (Item::Given(Given { shape, .. })
    | Item::Step { op: Op::Reshape(shape) | Op::Expand(shape) | Op::LayerNorm(shape) | Op::RmsNorm(shape), .. }) = item
    else {
        return;
    };
    shape.iter_mut().filter(|size| **size == from).for_each(|size| *size = to);
}
