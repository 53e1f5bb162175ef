//! Programs that once failed, as they were printed.

use super::cases::Input;
use super::cases::x;
use super::devices::has_gpu;
use super::judge::{Bench, Noise, Source, Work};
use super::op::{CASES, attention, case};
use super::program::SPECIAL;
use super::update::{Step, Update, moved, returned};
use wgrad::{MaxPool2dOptions, Shape, Tensor, Upsampling};

/// A program as a closure.
struct Pasted<'a> {
    seed: u64,
    sources: &'a [Source],
    update: Update,
    run: &'a dyn Fn(&[Tensor], Step) -> Vec<Tensor>,
}

impl Work for Pasted<'_> {
    fn sources(&self) -> Vec<Source> {
        self.sources.to_vec()
    }

    fn seed(&self) -> u64 {
        self.seed
    }

    fn writes(&self) -> bool {
        true
    }

    fn update(&self) -> Update {
        self.update
    }

    fn run(&self, x: &[Tensor], _: &mut Noise, step: Step) -> Vec<Tensor> {
        (self.run)(x, step)
    }
}

/// An input that is passed.
fn passed(input: Input) -> Source {
    Source { input, is_base: false, outside: false }
}

/// The tensor of which an input is a view.
fn base(input: Input) -> Source {
    Source { is_base: true, ..passed(input) }
}

/// A tensor that the program holds.
fn outside(input: Input) -> Source {
    Source { outside: true, ..passed(input) }
}

/// An input of a case.
fn of_case(name: &str, at: usize) -> Input {
    let case = CASES.iter().find(|case| case.name == name).unwrap_or_else(|| panic!("there is no case `{name}`"));
    case.inputs[at].clone()
}

#[track_caller]
fn alike(seed: u64, update: Update, sources: &[Source], run: impl Fn(&[Tensor], Step) -> Vec<Tensor>) {
    let found = Bench::new(has_gpu()).judge(&Pasted { seed, sources, update, run: &run });
    if let Err(fault) = found {
        panic!("{}: {}", fault.kind, fault.text);
    }
}

pub fn what_lies_behind_a_view() {
    alike(1, Update::Nothing, &[passed(x([3]))], |x, step| {
        let v1 = x[0].exp();
        let v2 = v1.pad(&[(0, 1)], 0.0);
        returned(&[&v2], &[&v2], x, step)
    });
    alike(2, Update::Nothing, &[passed(x([3, 1]))], |x, step| {
        let v1 = x[0].diagonal(0, 1);
        returned(&[], &[&v1], x, step)
    });
    alike(3, Update::Nothing, &[passed(x([3]).detached()), passed(x([4]).detached())], |x, step| {
        let v2 = x[1].copy();
        v2.narrow(0, 0, 3).assign(&x[0].square());
        returned(&[&v2], &[], x, step)
    });
}

pub fn inputs_that_are_returned() {
    alike(4, Update::Nothing, &[passed(x([2]))], |x, step| {
        let v1 = x[0].reshape_to(Shape::from([2, 1]));
        returned(&[&x[0], &v1], &[], x, step)
    });
}

pub fn gradients_that_are_one_repeated_number() {
    alike(191, Update::Nothing, &[passed(x([1, 4, 1, 1]).detached()), passed(x([1, 1])), passed(x([1]))], |x, step| {
        let v3 = x[0].linear(&x[1], Some(&x[2]));
        returned(&[], &[&v3], x, step)
    });
    alike(62, Update::Nothing, &[passed(x([1, 2, 2, 1]))], |x, step| {
        let options = MaxPool2dOptions {
            kernel_size: [2, 1],
            stride: [3, 1],
            padding: [0, 0],
            dilation: [1, 1],
            ceil_mode: false,
        };
        let v1 = x[0].max_pool2d(options);
        returned(&[], &[&v1], x, step)
    });
}

pub fn views_of_nothing() {
    alike(1780, Update::Nothing, &[passed(x([0, 0, 0, 0, 8]).narrowed(3))], |x, step| returned(&[], &[&x[0]], x, step));
    alike(1988, Update::Nothing, &[passed(x([23, 0, 0, 0]).reversed())], |x, step| {
        let v1 = x[0].narrow(-4, 23, 0);
        returned(&[], &[&v1], x, step)
    });
}

pub fn numbers_that_are_none() {
    alike(
        20023,
        Update::Nothing,
        &[passed(x([2, 1, 4, 12]).listed(SPECIAL)), passed(x([1, 1, 1, 12]).detached())],
        |x, step| {
            let keys = x[1].expand([2, 1, 4, 12]);
            let v2 = x[1].expand([2, 1, 1, 12]).scaled_dot_product_attention(&keys, &x[0], &attention(false));
            returned(&[&v2], &[], x, step)
        },
    );
    let name = "attention attention_backward masked of [2, 3, 6, 8] x [2, 3, 9, 8] x [2, 3, 9, 8] x [3, 6, 9]";
    let inputs = [passed(x([2, 3, 6, 8]).listed(SPECIAL)), passed(x([2, 3, 9, 8])), base(of_case(name, 2))];
    let mask = base(of_case(name, 3));
    alike(20911, Update::Nothing, &[inputs.as_slice(), &[mask]].concat(), |x, step| {
        let v4 = case(name, &[&x[0], &x[1], &x[2], &x[3]]);
        returned(&[&v4], &[], x, step)
    });
}

pub fn numbers_that_are_none_and_their_gradients() {
    // A slope at NaN.
    alike(109815, Update::Nothing, &[passed(x([1, 4, 2, 2]).listed(SPECIAL).reversed())], |x, step| {
        let v1 = x[0].hardswish();
        returned(&[], &[&v1], x, step)
    });
    // Scores that are all -inf, and keys past the last.
    let inputs =
        [passed(x([8, 7, 5, 2, 2]).listed(SPECIAL).shifted()), passed(x([1, 1, 2, 1])), passed(x([1, 1, 1, 1]))];
    alike(104007, Update::Nothing, &inputs, |x, step| {
        let v2 = x[0].reshape_to(Shape::from([1120]));
        let v3 = v2.narrow(0, 1, 6);
        let v4 = v3.reshape_to(Shape::from([2, 3, 1, 1]));
        let v6 = x[1].scaled_dot_product_attention(&v4, &x[2], &attention(false));
        returned(&[&v6], &[], x, step)
    });
    // A part of 0 of an infinite gradient.
    alike(112903, Update::Nothing, &[passed(x([4, 9]).listed(SPECIAL)), passed(x([1, 6, 1, 1]))], |x, step| {
        let v2 = x[1].interpolate([7, 4], Upsampling::Bilinear);
        let v3 = x[0].reshape_to(Shape::from([36]));
        let v4 = v3.pad(&[(9, 20)], 0.5);
        let v5 = v2.reshape_to(Shape::from([168]));
        let v6 = v5.narrow(0, 93, 65);
        let v7 = case("kl_div_log Mean of [65] x [65]", &[&v4, &v6]);
        returned(&[], &[&v7], x, step)
    });
    // A relu inside of a recurrent cell.
    let name = "recurrent recurrent_backward Relu Forward: [3, 5, 8] x [8, 8] x [8] x [1, 3, 8] x [3] of 1..7";
    let inputs = [
        passed(x([64]).listed(SPECIAL)),
        base(of_case(name, 0)),
        base(of_case(name, 2)),
        passed(x([1, 3, 8])),
        base(of_case(name, 4).detached()),
    ];
    alike(129775, Update::Nothing, &inputs, |x, step| {
        let v2 = x[0].reshape_to(Shape::from([8, 8]));
        let v6 = case(name, &[&x[1], &v2, &x[2], &x[3], &x[4]]);
        returned(&[&v6], &[], x, step)
    });
}

pub fn weights_that_are_held() {
    let sources = [passed(x([5, 3]).detached()), outside(x([1, 3])), outside(x([1]))];
    alike(5, Update::AdamW, &sources, |x, step| {
        let v3 = x[0].linear(&x[1], Some(&x[2]));
        moved(&[&v3], &[&v3], step)
    });
}
