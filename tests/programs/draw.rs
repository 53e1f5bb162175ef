//! Draws a program from a seed. Each operation runs on the CPU as it is drawn, so that shapes are known and values stay
//! in a range where results can be compared.

use super::judge::{Noise, Work, guarded};
use super::op::{CASES, ONES, Op, POSITIVE, REDUCTIONS, TWOS};
use super::program::{Fill, Given, Item, Lies, Program, largest, rng};
use super::update::{UPDATES, Update};
use std::sync::LazyLock;
use wgrad::autograd::Grads;
use wgrad::{DType, Device, Extreme, KeepDims, Rng, Shape, Tensor};

/// Sizes around what kernels treat apart: nothing, one, vec4, subgroups, tiles, workgroups.
const SIZES: &[usize] =
    &[0, 1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257];

/// No value has more elements.
const MOST: usize = 6_000;

/// Inputs of cases that lie further out are not drawn: sums and squares of them end at other places on each backend.
const FAR: f32 = 100.0;

/// Whether a number is so small that slopes at it are as far out.
fn has_minute(value: &Tensor) -> bool {
    value.dtype() == DType::F32 && value.to_vec::<f32>().is_ok_and(|all| all.iter().any(|x| x.is_subnormal()))
}

/// No input of a case that is used has more.
const MOST_OF_CASE: usize = 3_000;

/// The cases that can be steps.
static USABLE: LazyLock<Vec<usize>> = LazyLock::new(|| {
    let is_small = |case: &super::cases::Case| case.inputs.iter().all(|input| input.base().numel() <= MOST_OF_CASE);
    (0..CASES.len()).filter(|&at| !CASES[at].big && !CASES[at].steps && is_small(&CASES[at])).collect()
});

pub struct Drawing {
    pub rng: Rng,
    pub program: Program,
    pub values: Vec<Tensor>,
    /// Tensors of the program's own that may be written in place.
    pub own: Vec<usize>,
    cpu: Device,
    /// A panic that is no refusal.
    broken: bool,
    /// Infinities and NaN may be among the inputs, and so among all values.
    special: bool,
}

/// Programs of seeds below this have no infinities and no NaN: those of a test run.
const PLAIN: u64 = 2_000;

/// The program of a seed.
pub fn program(seed: u64, cpu: &Device) -> Program {
    let drawing = Drawing {
        rng: Rng::stream(seed, 7),
        program: Program {
            seed,
            items: Vec::new(),
            results: Vec::new(),
            losses: Vec::new(),
            update: Update::Nothing,
            gives_gradients: true,
        },
        values: Vec::new(),
        own: Vec::new(),
        cpu: cpu.clone(),
        broken: false,
        special: seed >= PLAIN && seed % 8 == 7,
    };
    drawing.all()
}

/// Whether a panic is one of Rust's own, and no sentence that refuses.
pub fn is_raw(panic: &str) -> bool {
    let raw = [
        "index out of bounds",
        "out of range",
        "attempt to",
        "overflow",
        "divide by zero",
        "`Option::unwrap",
        "`Result::unwrap",
        "mid > len",
        "slice index",
        "assertion `",
    ];
    raw.iter().any(|part| panic.contains(part))
}

/// Whether neither PyTorch nor this crate says what infinities and NaN give here (docs/programs.md): as whole numbers, beside
/// a convolution's padding, and behind a causal mask.
fn is_open(op: &Op) -> bool {
    match op {
        Op::Cast(dtype) => *dtype == DType::I32,
        Op::Conv2d(_) | Op::ConvTranspose2d(_) | Op::Attention(true) => true,
        Op::Case(number) => {
            let open =
                ["cast", "_i32", "conv", "depthwise", "causal", "see no key", "of large values", "self_attention"];
            open.iter().any(|word| CASES[*number].name.contains(word))
        }
        _ => false,
    }
}

impl Drawing {
    fn all(mut self) -> Program {
        let steps = 5 + self.below(36);
        for _ in 0..1 + self.below(3) {
            self.fresh();
        }
        let mut tries = 0;
        while self.program.steps().count() < steps && tries < 20 * steps && !self.broken {
            tries += 1;
            self.step();
        }
        self.finish();
        self.program
    }

    pub fn below(&mut self, bound: usize) -> usize {
        self.rng.below(bound.max(1) as u32) as usize
    }

    pub fn chance(&mut self, of_100: usize) -> bool {
        self.below(100) < of_100
    }

    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    pub fn tensor(&self, at: usize) -> &Tensor {
        &self.values[at]
    }

    pub fn shape(&self, at: usize) -> Vec<usize> {
        self.values[at].shape().to_vec()
    }

    /// A size: small ones are likelier.
    pub fn size(&mut self) -> usize {
        match self.below(100) {
            0..3 => 0,
            3..15 => 1,
            15..65 => 2 + self.below(8),
            65..75 => 4 * (1 + self.below(6)),
            _ => self.pick(SIZES),
        }
    }

    /// A size that is not 0, and not large.
    pub fn small(&mut self) -> usize {
        if self.chance(15) { 1 } else { 2 + self.below(8) }
    }

    pub fn sizes(&mut self) -> Vec<usize> {
        if self.chance(4) {
            return vec![self.pick(&[511, 1023, 1024, 1025, 1027, 1028, 2047, 2049, 4095, 4096, 4097])];
        }
        let rank = self.pick(&[0, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 4, 4, 5]);
        let mut sizes: Vec<usize> = (0..rank).map(|_| self.size()).collect();
        while sizes.iter().product::<usize>() > MOST / 4 {
            let at = self.below(rank);
            sizes[at] = self.small();
        }
        sizes
    }

    /// Another input.
    pub fn given(&mut self, given: Given) -> usize {
        let at = self.program.givens().count();
        let source = given.source();
        let data = source.input.data(&mut rng(self.program.seed, at, 0));
        let base = data.tensor(source.input.base(), &self.cpu);
        self.values.push(source.leaf(&source.seen(&base)));
        if given.outside && !given.tracked && !matches!(given.lies, Lies::Expanded(_)) {
            self.own.push(self.program.items.len());
        }
        self.program.items.push(Item::Given(given));
        self.values.len() - 1
    }

    fn fresh(&mut self) -> usize {
        let shape = self.sizes();
        let rank = shape.len();
        let lies = match self.below(20) {
            0 | 1 if rank >= 2 => Lies::Transposed,
            2 => Lies::Shifted,
            3 if rank >= 1 => Lies::Narrowed(self.below(rank)),
            4 if rank >= 1 => Lies::Expanded(self.below(rank)),
            5 if rank >= 3 => Lies::Reversed,
            _ => Lies::Plain,
        };
        let (tracked, outside) = (self.chance(75), self.chance(25));
        let fill = if self.special && self.chance(40) { Fill::Special } else { Fill::Uniform };
        self.given(Given { lies, tracked, outside, ..Given::plain(&shape, fill) })
    }

    /// A weight of this shape: often held, and tracked.
    pub fn weight(&mut self, shape: &[usize]) -> usize {
        let (tracked, outside) = (self.chance(85), self.chance(60));
        let size = if shape.len() > 1 { Fill::Within(-0.5, 0.5) } else { Fill::Uniform };
        self.given(Given { tracked, outside, ..Given::plain(shape, size) })
    }

    pub fn whole(&mut self, shape: &[usize], below: usize) -> usize {
        self.given(Given::plain(shape, Fill::Whole(0, below.max(1) as i32)))
    }

    /// Another step, if it can be taken.
    pub fn push(&mut self, op: Op, of: &[usize]) -> Option<usize> {
        if self.special && is_open(&op) {
            return None;
        }
        let made = guarded(|| {
            let operands: Vec<&Tensor> = of.iter().map(|&at| &self.values[at]).collect();
            Ok(op.apply(&operands))
        });
        let value = match made {
            Ok(value) => value,
            Err(panic) => {
                if is_raw(&panic) {
                    self.broken = true;
                    self.program.items.push(Item::Step { op, of: of.to_vec() });
                    self.program.results.push(self.program.items.len() - 1);
                }
                return None;
            }
        };
        let most = largest(&value, self.special)?;
        if value.numel() > MOST {
            return None;
        }
        self.program.items.push(Item::Step { op, of: of.to_vec() });
        self.values.push(value);
        let at = self.values.len() - 1;
        if most > 8.0 {
            let scale = 2f32.powi(-(most.log2().ceil() as i32)) * 2.0;
            return self.push(Op::Affine(scale, 0.0), &[at]);
        }
        Some(at)
    }

    /// A value of f32, recent ones more likely.
    pub fn operand(&mut self) -> usize {
        for _ in 0..50 {
            let n = self.values.len();
            let back = if self.chance(60) { self.below(4.min(n)) } else { self.below(n) };
            if self.values[n - 1 - back].dtype() == DType::F32 {
                return n - 1 - back;
            }
        }
        self.fresh()
    }

    /// Steps that bring a value to a shape; another input where it is far from it.
    pub fn fit(&mut self, at: usize, shape: &[usize]) -> Option<usize> {
        let from = self.shape(at);
        let (have, want) = (from.iter().product::<usize>(), shape.iter().product::<usize>());
        if from == shape {
            return Some(at);
        }
        if self.tensor(at).shape().broadcast(&Shape::new(shape)) == Some(Shape::new(shape)) {
            return self.push(Op::Expand(shape.to_vec()), &[at]);
        }
        if have == want {
            return self.push(Op::Reshape(shape.to_vec()), &[at]);
        }
        if want > 40 * have.max(4) {
            return Some(self.weight(shape));
        }
        let flat = if from.len() == 1 { at } else { self.push(Op::Reshape(vec![have]), &[at])? };
        let line = if have > want {
            let start = self.below(have - want + 1);
            self.push(Op::Narrow(0, start, want), &[flat])?
        } else {
            let before = self.below(want - have + 1);
            let value = self.pick(&[0.0, 0.5]);
            self.push(Op::Pad(vec![(before, want - have - before)], value), &[flat])?
        };
        if shape.len() == 1 { Some(line) } else { self.push(Op::Reshape(shape.to_vec()), &[line]) }
    }

    /// A value of this shape.
    pub fn of_shape(&mut self, shape: &[usize]) -> Option<usize> {
        let at = self.operand();
        self.fit(at, shape)
    }

    /// A value above 0.
    pub fn positive(&mut self, at: usize) -> Option<usize> {
        let abs = ONES.iter().position(|(text, _)| *text == "x.abs()").expect("abs is in the table");
        let sigmoid = ONES.iter().position(|(text, _)| *text == "x.sigmoid()").expect("sigmoid is in the table");
        let how = self.pick(&[abs, sigmoid]);
        let at = self.push(Op::One(how), &[at])?;
        self.push(Op::Affine(1.0, 0.5), &[at])
    }

    /// A dimension, counted from either end.
    pub fn dim(&mut self, rank: usize) -> Option<isize> {
        if rank == 0 {
            return None;
        }
        let dim = self.below(rank) as isize;
        Some(if self.chance(30) { dim - rank as isize } else { dim })
    }

    fn step(&mut self) -> Option<usize> {
        match self.below(100) {
            0..14 => self.one(),
            14..25 => self.two(),
            25..33 => self.reduction(),
            33..50 => self.view(),
            50..55 => self.several(),
            55..60 => self.in_place(),
            60..63 => self.gradient(),
            63..81 => self.layer(),
            _ => self.case(),
        }
    }

    fn one(&mut self) -> Option<usize> {
        let x = self.operand();
        if self.chance(12) {
            let op = Op::One(ONES.len() + self.below(POSITIVE.len()));
            let x = self.positive(x)?;
            return self.push(op, &[x]);
        }
        let op = match self.below(20) {
            0 => Op::Detach,
            1 => Op::Affine(self.pick(&[-1.0, 0.5, 2.0]), self.pick(&[0.0, 0.25])),
            _ => Op::One(self.below(ONES.len())),
        };
        self.push(op, &[x])
    }

    fn two(&mut self) -> Option<usize> {
        let a = self.operand();
        let b = if self.chance(30) { a } else { self.operand() };
        let alike = self.tensor(a).shape().broadcast(&self.tensor(b).shape());
        let b = if alike.is_some_and(|shape| shape.numel() <= MOST) { b } else { self.beside(a)? };
        let (a, b) = if self.chance(30) { (b, a) } else { (a, b) };
        let op = self.below(TWOS.len());
        let (a, b) = match TWOS[op].0 {
            "a.div(b)" => (a, self.positive(b)?),
            "a.pow(b)" => (self.positive(a)?, b),
            _ => (a, b),
        };
        self.push(Op::Two(op), &[a, b])
    }

    /// Something that broadcasts with a value.
    pub fn beside(&mut self, at: usize) -> Option<usize> {
        let mut shape = self.shape(at);
        for size in &mut shape {
            if self.chance(30) {
                *size = 1;
            }
        }
        let cut = if self.chance(30) { self.below(shape.len() + 1) } else { 0 };
        let shape = shape[cut..].to_vec();
        if self.chance(50) { Some(self.weight(&shape)) } else { self.of_shape(&shape) }
    }

    fn reduction(&mut self) -> Option<usize> {
        let x = self.operand();
        let rank = self.shape(x).len();
        if self.chance(35) {
            let (kind, dim) = (self.below(super::op::ALONG.len()), self.dim(rank)?);
            let y = self.push(Op::Along(kind, dim), &[x])?;
            return self.floats(y);
        }
        if self.chance(12) {
            let dim = self.dim(rank)?;
            let n = self.tensor(x).size(dim);
            let k = self.below(n + 1);
            let extreme = self.pick(&[Extreme::Largest, Extreme::Smallest]);
            return self.push(Op::TopK(k, dim, extreme), &[x]);
        }
        let mut dims: Vec<isize> = Vec::new();
        for dim in 0..rank {
            if self.chance(45) {
                dims.push(if self.chance(25) { dim as isize - rank as isize } else { dim as isize });
            }
        }
        if dims.is_empty() {
            dims.push(self.dim(rank)?);
        }
        let keep = self.pick(&[KeepDims::Yes, KeepDims::No]);
        let kind = self.below(REDUCTIONS.len());
        self.push(Op::Reduce(kind, dims, keep), &[x])
    }

    /// Whole numbers as floats.
    fn floats(&mut self, at: usize) -> Option<usize> {
        if self.tensor(at).dtype() == DType::I32 { self.push(Op::Cast(DType::F32), &[at]) } else { Some(at) }
    }

    fn case(&mut self) -> Option<usize> {
        let number = self.pick(&USABLE);
        let case = &CASES[number];
        let mut of = Vec::new();
        for (at, input) in case.inputs.iter().enumerate() {
            let base = input.base().to_vec();
            let bounds = input.bounds();
            of.push(match bounds {
                Some((low, high)) if self.chance(85) => {
                    let mut x = self.of_shape(&base)?;
                    if (low, high) != (-2.0, 2.0) {
                        let sigmoid = ONES.iter().position(|(text, _)| *text == "x.sigmoid()").expect("it is there");
                        let within = self.push(Op::One(sigmoid), &[x])?;
                        x = self.push(Op::Affine(high - low, low), &[within])?;
                    }
                    if !input.tracked || case.gradient == super::cases::Gradient::Absent {
                        x = self.push(Op::Detach, &[x])?;
                    }
                    x
                }
                _ => {
                    let tracked = input.tracked && case.gradient != super::cases::Gradient::Absent;
                    let own = self.given(Given { tracked, ..Given::plain(&base, Fill::OfCase(number, at)) });
                    let is_far = largest(&self.values[own], self.special).is_none_or(|most| most > FAR);
                    if is_far || has_minute(&self.values[own]) {
                        // Nothing else may use it either.
                        self.program.items.pop();
                        self.values.pop();
                        return None;
                    }
                    own
                }
            });
        }
        let y = self.push(Op::Case(number), &of)?;
        self.floats(y)
    }

    /// What is returned, and what gradients are taken of.
    fn finish(&mut self) {
        if self.broken {
            return;
        }
        let n = self.values.len();
        // Ends of what was made, of which most count, and some that are used as well.
        let mut is_used = vec![false; n];
        self.program.steps().for_each(|(_, _, of)| of.iter().for_each(|&at| is_used[at] = true));
        let ends: Vec<usize> = (0..n).filter(|&at| !is_used[at]).collect();
        let mut results = vec![n - 1];
        for &end in &ends {
            if self.chance(70) {
                results.push(end);
            }
        }
        for _ in 0..1 + self.below(3) {
            results.push(self.below(n));
        }
        results.sort_unstable();
        results.dedup();
        let tracked: Vec<usize> = (0..n).filter(|&at| self.values[at].is_tracked()).collect();
        let mut losses: Vec<usize> = Vec::new();
        if !tracked.is_empty() {
            losses.extend(tracked.last());
            for &end in ends.iter().filter(|&&end| self.values[end].is_tracked()).collect::<Vec<_>>() {
                if self.chance(50) {
                    losses.push(end);
                }
            }
            for _ in 0..self.below(3) {
                losses.push(self.pick(&tracked));
            }
            losses.sort_unstable();
            losses.dedup();
            for loss in &mut losses {
                // Slopes of many sizes, and not 1 everywhere.
                let shape = self.shape(*loss);
                if self.chance(70) {
                    let factor = self.given(Given::plain(&shape, Fill::Uniform));
                    let mul = TWOS.iter().position(|(text, _)| *text == "a.mul(b)").expect("it is there");
                    *loss = self.push(Op::Two(mul), &[*loss, factor]).unwrap_or(*loss);
                }
            }
        }
        (self.program.results, self.program.losses) = (results, losses);
        // A tensor that was written after a gradient saved it is refused, as it should be.
        let mut learns = false;
        let ran = guarded(|| {
            let x: Vec<Tensor> = self.program.items.iter().zip(&self.values).filter_map(given_value).collect();
            let weights = self
                .program
                .givens()
                .zip(&x)
                .filter(|(given, _)| given.outside && given.tracked)
                .filter(|(_, x)| x.numel() > 0);
            let weights: Vec<&Tensor> = weights.map(|(_, x)| x).collect();
            let mut step = |grads: &Grads| learns = weights.iter().any(|weight| grads.of(weight).is_some());
            Ok(self.program.run(&x, &mut Noise::none(), &mut step))
        });
        if ran.is_err_and(|what| what.contains("changed in place since") || what.contains("had changed")) {
            for item in &mut self.program.items {
                if let Item::Step { op, of } = item
                    && *op == Op::Assign
                {
                    (*op, *of) = (Op::Detach, vec![of[0]]);
                }
            }
        }
        if learns && self.chance(50) {
            (self.program.update, self.program.gives_gradients) = (self.pick(UPDATES), self.chance(40));
            let has_rows = self.program.steps().any(|(_, op, _)| op.has_rows());
            if has_rows && !self.program.update.takes_rows() {
                self.program.update = Update::Adagrad;
            }
        }
        self.program = self.program.compact();
    }
}

fn given_value((item, value): (&Item, &Tensor)) -> Option<Tensor> {
    matches!(item, Item::Given(_)).then(|| value.clone())
}
