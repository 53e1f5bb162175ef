//! Operations on nothing, and what they refuse, in which words.

use super::rules::panics;
use crate::devices::devices;
use wgrad::loss::{GaussianConstant, KlTarget};
use wgrad::nn::{Conv2d, Ctx, Init, Layer, Linear, Module};
use wgrad::optim::{Optimizer, Sgd, SgdOptions};
use wgrad::plan::Replay;
use wgrad::{Conv2dOptions, ConvTranspose2dOptions, DType, Device, Extreme, KeepDims, Reduction, Shape, Tensor};

fn read(x: &Tensor) -> Vec<f32> {
    x.to_vec::<f32>().expect("the device works")
}

#[test]
fn a_batch_of_no_images_moves_no_weight() {
    for (name, device) in devices() {
        for groups in [1, 4] {
            let [x, w, b] =
                [&[0usize, 4, 5, 5][..], &[4, 4 / groups, 3, 3], &[4]].map(|sizes| Tensor::ones(sizes, &device));
            let (w, b) = (w.requires_grad(), b.requires_grad());
            let y = x.conv2d(&w, Some(&b), Conv2dOptions { groups, ..Default::default() }).relu();
            let wide = x.conv_transpose2d(&w.reshape([4, -1, 3, 3]), None, ConvTranspose2dOptions::default());
            for y in [y, wide] {
                let grads = y.sum().backward();
                let none = |t: &Tensor| grads.of(t).is_none_or(|dw| read(dw).iter().all(|v| *v == 0.0));
                assert!(grads.of(&w).is_some() && none(&w) && none(&b), "{groups} groups on {name}");
            }
        }
    }
}

#[test]
fn what_was_made_before_an_optimizer_is_made_anew() {
    for (name, device) in devices() {
        let model = Linear::new(3, 1, &mut Init::new(0, &device));
        let make = || Sgd::new(&model, SgdOptions::default()).expect("the options are in range");
        let (mut first, x) = (make(), Tensor::ones([2, 3], &device));
        let mut ema = first.ema(0.9).expect("the decay is in range");
        let loss = |x: &Tensor| model.forward(x, &Ctx::train()).square().mean();
        let step = device.capture(&x, |x| {
            let loss = loss(x);
            first.step(&loss.backward());
            Ok(loss)
        });
        let step = step.expect("the step is captured");
        ema.update();
        let mut second = make();
        second.step(&loss(&x).backward());
        let due = "optimizer: weight went over to an optimizer that was made later: make averages and sharded \
                   optimizers after it, and capture replayed steps anew";
        let said = [panics(|| step.run(&x)), panics(|| ema.update()), panics(|| ema.swap())];
        said.iter().for_each(|said| assert!(said.ends_with(due), "`{said}` on {name}"));
        // The first one itself fetches what it moves, unless that is of another kind.
        first.step(&loss(&x).backward());
        model.cast(DType::BF16);
        let said = panics(|| first.step(&loss(&x.cast(DType::BF16)).backward()));
        let due =
            "optimizer: weight was cast or moved to another device since the optimizer was made: make it after that";
        assert!(said.ends_with(due), "`{said}` on {name}");
    }
}

#[test]
fn nothing_gives_nothing() {
    for (name, device) in devices() {
        let x = Tensor::zeros([0, 3], &device).requires_grad();
        let none = Tensor::from_slice::<i32>(&[], [0], &device);
        let parts = |parts: Vec<Tensor>| parts.iter().map(|part| part.shape()[0]).collect::<Vec<_>>();
        assert_eq!((parts(x.split(2, 0)), parts(x.chunk(3, 0))), (vec![0], vec![0]), "on {name}");
        let empty: Vec<(&str, Tensor, &[usize])> = vec![
            ("flip", x.flip(&[0, 1]), &[0, 3]),
            ("cat", Tensor::cat(&[&x, &x], 0), &[0, 3]),
            ("stack", Tensor::stack(&[&x, &x], 1), &[0, 2, 3]),
            ("where", Tensor::where_(&x, &x, &x), &[0, 3]),
            ("gather", x.gather(1, &Tensor::from_slice::<i32>(&[], [0, 3], &device)), &[0, 3]),
            ("index_select", Tensor::ones([2, 3], &device).requires_grad().index_select(0, &none), &[0, 3]),
            ("embedding", Tensor::ones([2, 4], &device).requires_grad().embedding(&none), &[0, 4]),
            ("tril", Tensor::zeros([2, 0, 3], &device).requires_grad().tril(0), &[2, 0, 3]),
            ("pixel_shuffle", Tensor::zeros([0, 4, 2, 2], &device).requires_grad().pixel_shuffle(2), &[0, 1, 4, 4]),
            ("cumsum", x.cumsum(0), &[0, 3]),
            ("topk", x.topk(2, 1, Extreme::Largest).0, &[0, 2]),
            ("topk of none", Tensor::zeros([2, 3], &device).requires_grad().topk(0, 1, Extreme::Largest).0, &[2, 0]),
            ("einsum", Tensor::einsum("ij,kj->ik", &[&x, &x]), &[0, 0]),
            ("exp", x.exp(), &[0, 3]),
            ("add", x.add(&Tensor::ones([3], &device)), &[0, 3]),
            ("matmul", x.matmul(&Tensor::ones([3, 2], &device)), &[0, 2]),
            ("softmax", x.softmax(1), &[0, 3]),
            ("one_hot", none.one_hot(4), &[0, 4]),
        ];
        for (what, y, shape) in empty {
            assert_eq!(y.shape()[..], *shape, "{what} on {name}");
            assert!(read(&y).is_empty(), "{what} on {name}");
            if y.is_tracked() {
                y.sum().backward();
            }
        }
        // A sum of no terms is 0.
        for sum in [x.sum(), Tensor::einsum("ij->", &[&x]), x.sum_dims(&[0], KeepDims::No).sum()] {
            assert_eq!(read(&sum), [0.0], "on {name}");
        }
        let inner = Tensor::einsum("ij,ik->jk", &[&x, &x]);
        assert_eq!(read(&inner), [0.0; 9], "on {name}");
    }
}

/// A change of a matrix in place, and the digits that it makes of 0 to 8.
type Change = (fn(&Tensor), [u8; 9]);

#[test]
fn a_part_is_assigned_what_another_held_before() {
    let all: [Change; 6] = [
        (|a| a.i(1).assign(&a.i(0)), [0, 1, 2, 0, 1, 2, 6, 7, 8]),
        (|a| a.narrow(0, 1, 2).assign(&a.narrow(0, 0, 2)), [0, 1, 2, 0, 1, 2, 3, 4, 5]),
        (|a| a.narrow(1, 0, 2).assign(&a.narrow(1, 1, 2)), [1, 2, 2, 4, 5, 5, 7, 8, 8]),
        (|a| a.assign(&a.t()), [0, 3, 6, 1, 4, 7, 2, 5, 8]),
        (|a| a.assign(a), [0, 1, 2, 3, 4, 5, 6, 7, 8]),
        (|a| a.assign(&a.i(2).expand([3, 3])), [6, 7, 8, 6, 7, 8, 6, 7, 8]),
    ];
    for (name, device) in devices() {
        for (at, (change, want)) in all.iter().enumerate() {
            let [eager, replayed] = [(), ()].map(|()| {
                let digits: Vec<f32> = (0..9).map(|digit| digit as f32).collect();
                Tensor::from_vec(digits, [3, 3], &device)
            });
            let (mut replay, one) = (Replay::new(), Tensor::ones([], &device));
            for time in 0..3 {
                change(&eager);
                if time == 0 {
                    assert_eq!(read(&eager), want.map(f32::from), "{at} on {name}");
                }
                let change = |one: &Tensor| {
                    change(&replayed);
                    Ok(one.copy())
                };
                replay.run(&one, change).expect("it can be replayed");
                assert_eq!(read(&replayed), read(&eager), "{at} replayed on {name}");
            }
        }
    }
}

#[test]
fn indices_outside_give_nan_and_labels_outside_zeros() {
    for (name, device) in devices() {
        let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0], [2, 2], &device);
        let index = Tensor::from_slice(&[0, 2, -1, 1], [2, 2], &device);
        let y = read(&x.gather(1, &index));
        assert!(y[0] == 1.0 && y[1].is_nan() && y[2].is_nan() && y[3] == 4.0, "on {name}: {y:?}");
        assert_eq!(read(&Tensor::from_slice(&[1, 5, -1], [3], &device).one_hot(2)), [0.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
    }
}

/// What is no probability, no variance or no class is only found on the device, where it makes the loss and the gradient
/// of its element NaN, and leaves the others as they are.
#[test]
fn losses_of_what_is_out_of_range_are_nan() {
    for (name, device) in devices() {
        let tensor = |values: [f32; 4]| Tensor::from_slice(&values, [4], &device);
        let ok = tensor([0.2, 0.9, 0.0, 1.0]);
        let binary = |x: &Tensor| x.binary_cross_entropy(&ok, Reduction::None);
        let divergence = |t: &Tensor| ok.log().clamp(-9.0, 0.0).kl_div(t, KlTarget::Probabilities, Reduction::None);
        let log = ok.affine(0.5, 0.1).log();
        let kl_backwards =
            |x: &Tensor| x.kl_div(&tensor([0.5, -0.5, 0.0, 1.0]), KlTarget::Probabilities, Reduction::None);
        let gaussian =
            |v: &Tensor| ok.gaussian_nll_loss(&ok.zeros_like(), v, GaussianConstant::Out, 1e-6, Reduction::None);
        for what in [1.5, -0.1, f32::NAN] {
            let x = tensor([0.5, what, 0.0, 1.0]).requires_grad();
            let loss = binary(&x);
            let found = (read(&loss), read(loss.sum().backward().of(&x).expect("it has one")));
            for found in [found.0, found.1] {
                let nan: Vec<bool> = found.iter().map(|y| y.is_nan()).collect();
                assert_eq!(nan, [false, true, false, false], "binary_cross_entropy of {what} on {name}: {found:?}");
            }
        }
        for (what, y) in [
            ("kl_div of a negative target", divergence(&tensor([0.5, -0.5, 0.0, 1.0]))),
            ("kl_div beside a negative target", kl_backwards(&log)),
            ("gaussian_nll_loss of a negative variance", gaussian(&tensor([0.5, -0.5, 0.0, 1.0]))),
        ] {
            let nan: Vec<bool> = read(&y).iter().map(|y| y.is_nan()).collect();
            assert_eq!(nan, [false, true, false, false], "{what} on {name}: {:?}", read(&y));
        }
        let classes = Tensor::from_slice(&[0, 3, -1, 1], [4], &device);
        let y = Tensor::zeros([4, 3], &device).log_softmax(1).nll_loss(&classes);
        assert!(read(&y)[0].is_nan(), "nll_loss of no class on {name}");
    }
}

#[test]
fn wrong_use_is_told_in_one_sentence() {
    let device = Device::cpu();
    let zeros = |sizes: &[usize]| Tensor::zeros(sizes, &device);
    let x = zeros(&[2, 3]);
    let whole = |sizes: &[usize]| zeros(sizes).cast(wgrad::DType::I32);
    let table = [
        (panics(|| x.split(0, 1)), "split: [2, 3]: parts of 0 elements never end"),
        (panics(|| x.split(1, 2)), "[2, 3] has no dimension 2"),
        (panics(|| x.split_sizes(&[1, 1], 1)), "split_sizes: [2, 3]: parts of 2 elements do not fill the 3 along 1"),
        (panics(|| x.chunk(0, 1)), "chunk: [2, 3]: 0 parts hold nothing"),
        (
            panics(|| x.narrow(1, usize::MAX, 2)),
            "narrow: [2, 3]: 18446744073709551615..18446744073709551615 is outside dimension 1",
        ),
        (
            panics(|| Shape::new(&[1 << 40, 1 << 40])),
            "shape [1099511627776, 1099511627776]: no machine has memory for so many elements",
        ),
        (
            panics(|| Conv2d::new(2, 2, 0, &mut Init::new(0, &device))),
            "Conv2d: a kernel of [0, 0] sees nothing: take at least 1 x 1",
        ),
        (
            panics(|| Tensor::zeros([3], &device).expand([2, 3]).assign(&Tensor::ones([2, 3], &device))),
            "assign: [2, 3]: several of its elements are one, as `expand` makes them: assign to a copy",
        ),
        (panics(|| Tensor::stack(&[] as &[Tensor], 0)), "stack: expected at least one tensor"),
        (panics(|| Tensor::stack(&[&x, &zeros(&[3])], 0)), "stack: [2, 3] x [3]: expected tensors of one shape"),
        (panics(|| Tensor::stack(&[&x], 3)), "stack: [2, 3] has no place 3"),
        (panics(|| Tensor::cat(&[] as &[Tensor], 0)), "cat: expected at least one tensor"),
        (
            panics(|| Tensor::cat(&[&x, &zeros(&[2, 4])], 0)),
            "cat: f32 [2, 3] x f32 [2, 4]: only dimension 0 may differ",
        ),
        (
            panics(|| whole(&[1, 2, 4, 4]).conv2d(&zeros(&[2, 2, 3, 3]), None, Default::default())),
            "conv2d: [1, 2, 4, 4] x [2, 2, 3, 3]: expected tensors of floats, got i32",
        ),
        (
            panics(|| zeros(&[1, 2, 4, 4]).conv_transpose2d(&whole(&[2, 2, 3, 3]), None, Default::default())),
            "conv_transpose2d: [1, 2, 4, 4] x [2, 2, 3, 3]: expected tensors of floats, got i32",
        ),
        (
            panics(|| x.scaled_dot_product_attention(&x, &whole(&[2, 3]), &Default::default())),
            "scaled_dot_product_attention: values of i32: expected floats",
        ),
        (panics(|| x.flip(&[-3])), "flip: [2, 3] has no dimension -3"),
        (panics(|| x.flip(&[1, -1])), "flip: [2, 3]: each of the dimensions [1, 1] may be named once"),
        (panics(|| zeros(&[3]).tril(0)), "tril: [3]: expected at least two dimensions"),
        (panics(|| x.gather(0, &whole(&[2]))), "gather: [2, 3] x [2]: expected an index of 2 dimensions"),
        (
            panics(|| x.gather(0, &whole(&[2, 4]))),
            "gather: [2, 3] x [2, 4]: the index is larger than what it picks from",
        ),
        (panics(|| x.gather(0, &x)), "gather: expected indices of i32 or i64, got f32"),
        (panics(|| x.index_select(0, &whole(&[2, 2]))), "index_select: [2, 3] x [2, 2]: expected a vector of indices"),
        (panics(|| x.one_hot(3)), "one_hot: expected labels of i32 or i64, got f32"),
        (panics(|| x.topk(4, 1, Extreme::Largest)), "topk: [2, 3]: dimension 1 has no 4 elements"),
        (panics(|| x.diagonal(1, -1)), "diagonal: [2, 3]: 1 and -1 are no two dimensions"),
        (panics(|| Tensor::where_(&zeros(&[4]), &x, &x)), "where: [4] x [2, 3] x [2, 3]: the shapes do not broadcast"),
        (panics(|| Tensor::einsum("ij,jk", &[&x])), "einsum: ij,jk: 1 operands for 2 lists of letters"),
        (panics(|| Tensor::einsum("ijk->i", &[&x])), "einsum: ijk->i: 3 letters for [2, 3]"),
        (panics(|| Tensor::einsum("ij->k", &[&x])), "einsum: ij->k: no operand has `k`"),
        (panics(|| Tensor::einsum("ij->ii", &[&x])), "einsum: ij->ii: `i` is asked for twice"),
        (panics(|| Tensor::einsum("i1->i", &[&x])), "einsum: i1->i: expected letters, commas and one arrow"),
        (panics(|| Tensor::einsum("ii->i", &[&x])), "einsum: ii->i: `i` is 2 and 3 in [2, 3]"),
        (
            panics(|| Tensor::einsum("...j,...k->...jk", &[&x, &zeros(&[4, 3])])),
            "einsum: ...j,...k->...jk: `Z` is 2 in one place and 4 in another",
        ),
    ];
    for (said, due) in table {
        assert!(said.ends_with(due), "`{said}`, not `{due}`");
    }
}

/// A loss that reads a gradient would train as if that were a constant: it is refused, unless it says that it is one.
#[test]
fn a_gradient_inside_a_loss_is_refused() {
    for (_, device) in devices() {
        let x = Tensor::from_slice(&[1.0f32, 2.0], [2], &device).requires_grad();
        let score = || x.square().sum();
        let mut grads = score().backward();
        grads += score().backward();
        let dx = grads.of(&x).expect("the score depends on x");
        let penalty = (dx.norm(&[0], KeepDims::No) - 1.0).square().mean();
        let advice = "reads a gradient that is not tracked: take it by grad(), whose results are, or detach() it";
        let said = panics(|| (&score() + &penalty * 10.0).backward());
        assert!(said.contains(advice) && said.contains("add"), "{said}");
        let said = panics(|| penalty.backward());
        assert!(said.contains("the loss reads a gradient") && said.contains(advice), "{said}");
        for made in [dx.copy(), dx.reshape([1, 2]).narrow(1, 0, 1), Tensor::cat(&[dx, dx], 0), dx.matmul(&x)] {
            assert!(panics(|| (made.sum() * score()).backward()).contains(advice));
        }
        let other = Tensor::ones([2], &device).requires_grad();
        assert!(panics(|| dx.maximum(&other).sum().backward()).contains(advice));
        // Meant as a constant, as the start of another graph, or from above, it is none of this.
        let constant = (&score() + penalty.detach() * 10.0).backward();
        assert_eq!(read(constant.of(&x).expect("the loss depends on x")), [2.0, 4.0]);
        let start = (&x.detach() - dx * 0.5).requires_grad();
        assert_eq!(read(start.square().sum().backward().of(&start).expect("it starts there")), [-2.0, -4.0]);
        assert_eq!(read(x.square().backward_with(dx).of(&x).expect("the loss depends on x")), [8.0, 32.0]);
    }
}
