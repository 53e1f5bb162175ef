//! A program: inputs and operations in one list, what it returns, and what its gradients are taken of.

use super::cases::{Input, whole, x};
use super::judge::{Noise, Source, Work};
use super::op::{CASES, Op};
use super::update::{Step, Update, moved, returned};
use std::fmt;
use wgrad::{DType, Rng, Tensor};

#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    pub seed: u64,
    pub items: Vec<Item>,
    /// What is returned, by numbers of items: inputs and views of inputs too.
    pub results: Vec<usize>,
    /// The gradients of the sums of these are added up.
    pub losses: Vec<usize>,
    /// What moves the weights by them.
    pub update: Update,
    /// Whether they are returned as well.
    pub gives_gradients: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    Given(Given),
    Step { op: Op, of: Vec<usize> },
}

/// A tensor from outside of the program.
#[derive(Debug, Clone, PartialEq)]
pub struct Given {
    pub shape: Vec<usize>,
    pub fill: Fill,
    pub lies: Lies,
    pub tracked: bool,
    /// A tensor that the program holds, such as a weight, and not one that is passed to it.
    pub outside: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fill {
    /// In -2..2.
    Uniform,
    Within(f32, f32),
    /// With zeros of both signs, infinities and NaN among them.
    Special,
    Whole(i32, i32),
    /// As an input of a case before it is viewed.
    OfCase(usize, usize),
}

const INF: f32 = f32::INFINITY;

/// A third of these are not what most tests have.
pub const SPECIAL: &[f32] = &[
    0.5,
    -1.25,
    0.0,
    2.0,
    -0.75,
    1.5,
    INF,
    0.25,
    -2.0,
    1.0,
    -0.0,
    -0.5,
    1.75,
    f32::NAN,
    -1.0,
    0.125,
    -INF,
    0.75,
    -1.5,
];

/// How it lies in memory.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Lies {
    Plain,
    Transposed,
    Reversed,
    Shifted,
    Narrowed(usize),
    Expanded(usize),
}

impl Given {
    pub fn plain(shape: &[usize], fill: Fill) -> Given {
        Given { shape: shape.to_vec(), fill, lies: Lies::Plain, tracked: false, outside: false }
    }

    /// As the cases make their inputs.
    pub fn input(&self) -> Input {
        let input = match self.fill {
            Fill::Uniform => x(self.shape.as_slice()),
            Fill::Within(low, high) => x(self.shape.as_slice()).within(low, high),
            Fill::Special => x(self.shape.as_slice()).listed(SPECIAL),
            Fill::Whole(low, high) => whole(self.shape.as_slice(), low, high),
            Fill::OfCase(case, at) => CASES[case].inputs[at].clone(),
        };
        let input = if self.tracked { input } else { input.detached() };
        match self.lies {
            Lies::Plain => input,
            Lies::Transposed => input.transposed(),
            Lies::Reversed => input.reversed(),
            Lies::Shifted => input.shifted(),
            Lies::Narrowed(dim) => input.narrowed(dim),
            Lies::Expanded(dim) => input.expanded(dim),
        }
    }

    pub fn source(&self) -> Source {
        Source { input: self.input(), is_base: matches!(self.fill, Fill::OfCase(..)), outside: self.outside }
    }

    fn code(&self) -> String {
        let made = match self.fill {
            Fill::Uniform => format!("x({:?})", self.shape),
            Fill::Within(low, high) => format!("x({:?}).within({low:?}, {high:?})", self.shape),
            Fill::Special => format!("x({:?}).listed(SPECIAL)", self.shape),
            Fill::Whole(low, high) => format!("whole({:?}, {low}, {high})", self.shape),
            Fill::OfCase(case, at) => format!("of_case({:?}, {at})", CASES[case].name),
        };
        let view = match self.lies {
            Lies::Plain => String::new(),
            Lies::Narrowed(dim) => format!(".narrowed({dim})"),
            Lies::Expanded(dim) => format!(".expanded({dim})"),
            other => format!(".{}()", format!("{other:?}").to_lowercase()),
        };
        let detached = if self.tracked || matches!(self.fill, Fill::Whole(..)) { "" } else { ".detached()" };
        let place = match (self.outside, self.fill) {
            (true, _) => "outside",
            (false, Fill::OfCase(..)) => "base",
            (false, _) => "passed",
        };
        format!("{place}({made}{view}{detached})")
    }
}

impl Program {
    pub fn steps(&self) -> impl DoubleEndedIterator<Item = (usize, &Op, &[usize])> {
        self.items.iter().enumerate().filter_map(|(at, item)| match item {
            Item::Given(_) => None,
            Item::Step { op, of } => Some((at, op, of.as_slice())),
        })
    }

    pub fn givens(&self) -> impl Iterator<Item = &Given> {
        self.items.iter().filter_map(|item| if let Item::Given(given) = item { Some(given) } else { None })
    }

    /// The values of all items, with noise on what is computed.
    pub fn values(&self, x: &[Tensor], noise: &mut Noise) -> Vec<Tensor> {
        let mut given = x.iter();
        let mut values: Vec<Tensor> = Vec::with_capacity(self.items.len());
        for item in &self.items {
            values.push(match item {
                Item::Given(_) => given.next().expect("a tensor for each input").clone(),
                Item::Step { op, of } if op.is_exact() => {
                    op.apply(&of.iter().map(|&at| &values[at]).collect::<Vec<_>>())
                }
                Item::Step { op, of } => {
                    // On both sides: results are rounded, and so is what is added up inside.
                    let operands: Vec<Tensor> = of.iter().map(|&at| noise.on(values[at].clone())).collect();
                    noise.on(op.apply(&operands.iter().collect::<Vec<_>>()))
                }
            });
        }
        values
    }

    /// Without what neither a result nor a loss is made of.
    pub fn compact(&self) -> Program {
        let mut needed = vec![false; self.items.len()];
        for &at in self.results.iter().chain(&self.losses) {
            needed[at] = true;
        }
        // What is written in place may be seen through any other view.
        for (at, op, _) in self.steps() {
            needed[at] |= *op == Op::Assign;
        }
        for (at, item) in self.items.iter().enumerate().rev() {
            if let (true, Item::Step { of, .. }) = (needed[at], item) {
                of.iter().for_each(|&of| needed[of] = true);
            }
        }
        let places: Vec<usize> = needed
            .iter()
            .scan(0, |next, &kept| {
                *next += usize::from(kept);
                Some(*next - usize::from(kept))
            })
            .collect();
        let moved = |all: &[usize]| all.iter().map(|&at| places[at]).collect::<Vec<_>>();
        let items = self.items.iter().zip(&needed).filter(|(_, kept)| **kept).map(|(item, _)| match item {
            Item::Given(given) => Item::Given(given.clone()),
            Item::Step { op, of } => Item::Step { op: op.clone(), of: moved(of) },
        });
        Program { items: items.collect(), results: moved(&self.results), losses: moved(&self.losses), ..*self }
    }
}

impl Work for Program {
    fn sources(&self) -> Vec<Source> {
        self.givens().map(Given::source).collect()
    }

    fn seed(&self) -> u64 {
        self.seed
    }

    fn writes(&self) -> bool {
        self.steps().any(|(_, op, _)| *op == Op::Assign)
    }

    fn update(&self) -> Update {
        self.update
    }

    fn run(&self, x: &[Tensor], noise: &mut Noise, step: Step) -> Vec<Tensor> {
        let values = self.values(x, noise);
        let all = |of: &[usize]| of.iter().map(|&at| &values[at]).collect::<Vec<_>>();
        let (results, losses) = (all(&self.results), all(&self.losses));
        if self.gives_gradients { returned(&results, &losses, x, step) } else { moved(&results, &losses, step) }
    }
}

/// A test to paste into `tests/programs/found.rs`.
impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names: Vec<String> = Vec::new();
        let mut givens = 0;
        for (at, item) in self.items.iter().enumerate() {
            names.push(if matches!(item, Item::Given(_)) { format!("x[{givens}]") } else { format!("v{at}") });
            givens += usize::from(matches!(item, Item::Given(_)));
        }
        writeln!(f, "pub fn seed_{}() {{", self.seed)?;
        let given: Vec<String> = self.givens().map(Given::code).collect();
        writeln!(f, "    alike({}, Update::{:?}, &[{}], |x, step| {{", self.seed, self.update, given.join(", "))?;
        for (at, op, of) in self.steps() {
            let of: Vec<String> = of.iter().map(|&at| names[at].clone()).collect();
            writeln!(f, "        let v{at} = {};", op.code(&of))?;
        }
        let all = |of: &[usize]| of.iter().map(|&at| format!("&{}", names[at])).collect::<Vec<_>>().join(", ");
        let (results, losses) = (all(&self.results), all(&self.losses));
        let last = if self.gives_gradients {
            format!("returned(&[{results}], &[{losses}], x, step)")
        } else {
            format!("moved(&[{results}], &[{losses}], step)")
        };
        writeln!(f, "        {last}\n    }});\n}}")
    }
}

/// The values of an input in a round.
pub fn rng(seed: u64, at: usize, round: u32) -> Rng {
    Rng::stream(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(at as u64), round)
}

/// The largest finite element of a tensor of f32; none where others are among them, unless these are expected.
pub fn largest(value: &Tensor, special: bool) -> Option<f32> {
    if value.dtype() != DType::F32 {
        return Some(0.0);
    }
    let all = value.to_vec::<f32>().ok()?;
    let finite = all.iter().filter(|v| v.is_finite());
    let most = finite.clone().fold(0.0f32, |most, v| v.abs().max(most));
    (special || finite.count() == all.len()).then_some(most)
}
