//! Rows of tables: gradients that are as large as what was taken, added up, and the steps of optimizers that move these rows alone.

use super::optimizers::joined;
use super::{Case, Input, case, whole, x};
use crate::defined;
use wgrad::autograd::Rows;
use wgrad::nn::{Module, Parameter, Visitor};
use wgrad::optim::{
    Adagrad, AdagradOptions, GradScaler, Momentum, Optimizer, Rule, Sgd, SgdOptions, SparseAdamOptions, Stepper,
};
use wgrad::{DType, EmbeddingOptions, KeepDims, Tensor};

const SPARSE: EmbeddingOptions =
    EmbeddingOptions { padding: None, max_norm: None, norm_type: 2.0, scale_grad_by_freq: false, sparse: true };

/// A gradient of rows that is asked for as a whole.
fn taken() -> Vec<Case> {
    let embedding = |table, ids| {
        case("embedding embedding_backward with rows", [table, ids], |x| x[0].embedding_with(&x[1], &SPARSE))
            .defined(|x| defined::embedding(&x[0], &x[1]))
    };
    let padded = |table, ids| {
        case("embedding with rows and padding", [table, ids], |x| {
            x[0].embedding_with(&x[1], &EmbeddingOptions { padding: Some(2), ..SPARSE })
        })
        .defined(|x| x[0].embedding_with(&x[1], &EmbeddingOptions { padding: Some(2), ..EmbeddingOptions::default() }))
        // What does not flow back, differences see.
        .compared()
    };
    vec![
        embedding(x([10, 4]), whole([3, 5], 0, 10)),
        embedding(x([65, 64]), whole([257], 0, 65)),
        embedding(x([9, 5]), whole([7], 0, 9)),
        embedding(x([8, 9]).transposed(), whole([7], 0, 8).shifted()),
        embedding(x([9, 8]).narrowed(1), whole([2, 7], 0, 9).narrowed(1)),
        padded(x([5, 8]), whole([3, 7], 0, 5)),
        padded(x([5, 3]), whole([9], 0, 5)),
        case("embedding with rows, twice and whole", [x([5, 8]), whole([7], 0, 5), whole([6], 0, 5)], |x| {
            let [a, b] = [1, 2].map(|i| x[0].embedding_with(&x[i], &SPARSE).sum_dims(&[0], KeepDims::No));
            a + b * x[0].sum_dims(&[0], KeepDims::No)
        }),
        case("embedding with rows of indices outside", [x([9, 8]), whole([40], -3, 12)], |x| {
            x[0].embedding_with(&x[1], &SPARSE)
        })
        .compared(),
    ]
}

/// Values and indices of coalesced rows side by side.
fn coalesced(values: &Tensor, ids: &Tensor, size: usize) -> Tensor {
    let rows = Rows::new(ids.copy(), values.detach(), [size, values.size(1)]).coalesce();
    joined(&rows.values().detach(), rows.indices())
}

fn sums() -> Vec<Case> {
    let sums = |n: usize, width: usize, size: usize| {
        case(&format!("coalesce {size} rows:"), [x([n, width]), whole([n], -2, size as i32 + 1)], move |x| {
            coalesced(&x[0], &x[1], size)
        })
        .constant()
    };
    let defined = |n, width, size: usize| {
        sums(n, width, size).defined(move |x| {
            let (ids, n) = (&x[1], x[1].numel());
            let number = Tensor::arange(0, n as i32, ids.device());
            let is_inside = ids.ge(0) * ids.lt(Tensor::full([], size as i32, ids.device()));
            let same = ids.unsqueeze(1).eq(ids);
            let before = same.mul(&number.unsqueeze(1).gt(&number)).sum_dims(&[1], KeepDims::No);
            let first = before.eq(0.0) * is_inside;
            let sums = same.matmul(&x[0]) * first.unsqueeze(1);
            joined(&sums, &(ids.cast(DType::F32) * &first - (1.0 - &first)))
        })
    };
    vec![
        defined(1, 4, 3),
        defined(2, 1, 1),
        defined(7, 5, 4),
        defined(64, 8, 2),
        defined(129, 12, 1),
        defined(257, 3, 300),
        defined(700, 4, 2),
        defined(1000, 33, 90),
        // More than a loop may take in one go, in one row and in many.
        sums(70_003, 4, 1).tolerance(1e-4, 1e-3),
        sums(70_003, 1, 9000).tolerance(1e-4, 1e-4),
    ]
}

struct Tables {
    a: Parameter,
    b: Parameter,
    c: Parameter,
}

impl Module for Tables {
    fn visit(&self, visitor: &mut Visitor) {
        visitor.parameter("a", &self.a);
        visitor.parameter("b", &self.b);
        visitor.parameter("c", &self.c);
    }
}

const STEPS: usize = 4;

/// Two tables, indices of each for all steps, and a vector.
fn inputs() -> [Input; 5] {
    [x([9, 5]), x([301, 8]), whole([STEPS, 23], -1, 10), whole([STEPS, 70], 0, 301), x([7])]
}

/// Steps on the squares of the rows that are taken, of which some leave out a table; with a vector that has a whole gradient. The
/// gradient of step `STEPS - 2` is infinite where it is to be given up.
fn trained<O: Optimizer>(
    x: &[Tensor],
    sparse: bool,
    with_vector: bool,
    scaler: Option<&GradScaler>,
    optimizer: impl Fn(&dyn Module) -> wgrad::Result<O>,
) -> Tensor {
    let [a, b, c] = [0, 1, 4].map(|i| Parameter::new(x[i].copy()));
    let tables = Tables { a, b, c };
    let mut optimizer = optimizer(&tables).expect("the options are in range");
    let options = EmbeddingOptions { sparse, ..SPARSE };
    for step in 0..STEPS {
        let ids = |i: usize| x[i].narrow(0, step, 1).squeeze(0);
        // Indices outside would make the loss NaN, and have no gradient.
        let squares = |table: &Parameter, ids: Tensor| {
            let rows = table.tensor().embedding_with(&ids, &options);
            rows.masked_fill(&rows.detach().isnan(), 0.0).square().sum()
        };
        let of_a = (step != 1).then(|| squares(&tables.a, ids(2)));
        let of_b = (step != 0).then(|| squares(&tables.b, ids(3)));
        let of_c = with_vector.then(|| tables.c.tensor().square().sum());
        let losses = of_a.into_iter().chain(of_b).chain(of_c);
        let loss = losses.reduce(|a, b| a.add(&b)).expect("one of them has a gradient");
        match scaler {
            None => optimizer.step(&loss.backward()),
            Some(scaler) => {
                let loss = if step == STEPS - 2 { loss * f32::INFINITY } else { loss };
                scaler.step(&mut optimizer, &scaler.scale(&loss).backward());
                scaler.update();
            }
        }
    }
    let [a, b, c] = [&tables.a, &tables.b, &tables.c].map(|p| p.tensor().detach());
    joined(&joined(&a, &b), &c)
}

/// Steps of rows beside those of whole tables.
fn like_whole<R: Rule>(
    name: &str,
    options: R,
    change: impl Fn(Stepper<R>) -> wgrad::Result<Stepper<R>> + Copy + Send + Sync + 'static,
) -> Case {
    let make = move |model: &dyn Module| change(Stepper::new(model, options)?);
    case(&format!("{name}:"), inputs(), move |x| trained(x, true, true, None, make))
        .defined(move |x| trained(x, false, true, None, make))
        .constant()
        .tolerance(1e-4, 1e-5)
        .stepping()
}

/// Steps by the fused kernels beside those by the rule's definition, and the other way round.
fn rule<R: Rule>(name: &str, options: R, with_vector: bool) -> [Case; 2] {
    let run = move |x: &[Tensor], defined: bool| {
        let make = |model: &dyn Module| {
            let made = Stepper::new(model, options)?;
            Ok(if defined { made.by_definition() } else { made })
        };
        trained(x, true, with_vector, None, make)
    };
    [("beside its definition", false), ("and rows_put by definition", true)].map(|(title, defined)| {
        case(&format!("{name} {title}:"), inputs(), move |x| run(x, defined))
            .defined(move |x| run(x, !defined))
            .constant()
            .tolerance(1e-4, 1e-5)
            .stepping()
    })
}

/// Steps of which one is given up on the device, by the fused kernels, which know, and by the rule's definition, which is taken back.
fn given_up<R: Rule>(name: &str, options: R, with_vector: bool) -> Case {
    let run = move |x: &[Tensor], defined: bool| {
        let make = |model: &dyn Module| {
            let made = Stepper::new(model, options)?;
            Ok(if defined { made.by_definition() } else { made })
        };
        trained(x, true, with_vector, Some(&GradScaler::new(x[0].device())), make)
    };
    case(&format!("unscale {name} given up:"), inputs(), move |x| run(x, false))
        .defined(move |x| run(x, true))
        .constant()
        .tolerance(1e-4, 1e-5)
        .stepping()
}

pub fn cases() -> Vec<Case> {
    let slow = SgdOptions { lr: 0.1, ..SgdOptions::default() };
    let heavy = SgdOptions { momentum: Momentum::HeavyBall(0.9), ..slow };
    let quick = AdagradOptions { lr: 0.2, lr_decay: 0.3, initial_accumulator_value: 0.1, ..AdagradOptions::default() };
    let lazy = SparseAdamOptions { lr: 0.1, betas: (0.6, 0.8), ..SparseAdamOptions::default() };
    let steps = vec![
        like_whole("rows_sgd", slow, Ok),
        like_whole("rows_sgd against the gradient", slow, |sgd| Ok(sgd.maximize())),
        like_whole("rows_sgd square_sums clipped by norm", slow, |sgd| sgd.clip_grad_norm(2.0)),
        like_whole("rows_sgd clipped by value and norm", slow, |sgd| sgd.clip_grad_value(0.7)?.clip_grad_norm(5.0)),
        like_whole("sgd_momentum of rows", heavy, Ok),
        like_whole("rows_adagrad", quick, Ok),
        like_whole("rows_adagrad clipped by norm", quick, |adagrad: Adagrad| adagrad.clip_grad_norm(2.0)),
        given_up("rows_sgd", slow, true),
        given_up("rows_adagrad", quick, true),
        given_up("rows_adam", lazy, false),
        case("rows_sgd of many rows:", [x([70_003, 12]), whole([9000], 0, 70_003)], |x| {
            let table = Parameter::new(x[0].copy());
            let mut sgd = Sgd::new(&table, SgdOptions { lr: 0.25, ..SgdOptions::default() }).expect("in range");
            sgd.step(&table.tensor().embedding_with(&x[1], &SPARSE).square().sum().backward());
            table.tensor().detach().copy()
        })
        .defined(|x| {
            let counts =
                Tensor::zeros([70_003], x[0].device()).index_add(0, &x[1], &Tensor::ones([9000], x[0].device()));
            &x[0] - &x[0] * counts.unsqueeze(1) * 0.5
        })
        .constant(),
    ];
    let rules = [
        rule("rows_sgd", slow, true),
        rule("rows_adagrad", quick, true),
        rule("rows_adam", lazy, false),
        rule("rows_adam as it is by default", SparseAdamOptions::default(), false),
    ];
    [taken(), sums(), steps].into_iter().chain(rules.map(Vec::from)).flatten().collect()
}
