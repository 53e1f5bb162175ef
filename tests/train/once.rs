//! Functions that are made of others: halves are rounded once, behind the last of them, and counts are never rounded; long lines
//! have a mean; elements of halves are found.

use super::rules::panics;
use crate::devices::devices;
use wgrad::{DType, Device, Extreme, KeepDims, MaxPool2dOptions, Order, Padding, Tensor, bf16, f16};

const HALVES: [DType; 2] = [DType::F16, DType::BF16];

type Function = fn(&[Tensor]) -> Tensor;

fn vector(values: &[f32], device: &Device) -> Tensor {
    Tensor::from_slice(values, [values.len()], device)
}

fn floats(x: &Tensor) -> Vec<f32> {
    x.cast(DType::F32).to_vec().expect("the device works")
}

/// Whether two lists agree to a unit in the last place of halves.
fn alike(what: &str, got: &[f32], want: &[f32], dtype: DType) {
    assert_eq!(got.len(), want.len(), "{what}");
    let (unit, least) = if dtype == DType::F16 { (1.5e-3, 1e-7) } else { (1.2e-2, 1e-7) };
    let near = |(a, b): (&f32, &f32)| a == b || (a - b).abs() <= unit * b.abs() + least;
    assert!(got.iter().zip(want).all(near), "{what} of {dtype}: {got:?}, expected {want:?}");
}

/// What a function gives, and the gradients of its sum.
fn slopes(f: Function, all: &[Tensor]) -> (Tensor, Vec<Tensor>) {
    let leaves: Vec<Tensor> = all.iter().map(|x| x.detach().requires_grad()).collect();
    let y = f(&leaves);
    let grads = y.sum().backward();
    (y, leaves.iter().map(|x| grads.of(x).expect("a gradient").clone()).collect())
}

/// Each gives in halves what it gives in f32, rounded; so do its gradients.
#[test]
fn what_is_made_of_several_rounds_once() {
    const LARGE: [f32; 4] = [300.0, 400.0, -500.0, 20.0];
    const SMALL: [f32; 4] = [1e-4, 2e-4, 3e-4, 5e-4];
    let one: [(&str, Function); 15] = [
        ("std", |x| x[0].std(1)),
        ("std_dims", |x| x[0].std_dims(&[0], 1, KeepDims::Yes)),
        ("std_mean", |x| x[0].std_mean(&[0], 1, KeepDims::No).0),
        ("norm_of 3", |x| x[0].norm_of(3.0, &[0], KeepDims::No)),
        ("norm_of 1.5", |x| x[0].norm_of(1.5, &[0], KeepDims::No)),
        ("norm", |x| x[0].norm(&[0], KeepDims::No)),
        ("normalize", |x| x[0].normalize(3.0, 0, 1e-12)),
        ("renorm", |x| x[0].unsqueeze(0).renorm(3.0, 0, 1.0)),
        ("pdist", |x| x[0].reshape([2, 2]).pdist(3.0)),
        ("logit", |x| x[0].logit(0.2)),
        ("sinc", |x| x[0].sinc()),
        ("logcumsumexp", |x| x[0].logcumsumexp(0)),
        ("local_response_norm", |x| x[0].reshape([1, 4]).local_response_norm(3, 1e-4, 0.75, 1.0)),
        ("lp_pool1d", |x| x[0].abs().reshape([1, 1, 4]).lp_pool1d(wgrad::LpPoolOptions::new(3.0, 2))),
        ("softplus_with", |x| x[0].softplus_with(0.01, 20.0)),
    ];
    let two: [(&str, Function); 9] = [
        ("dist", |x| x[0].dist(&x[1], 3.0)),
        ("pairwise_distance", |x| x[0].pairwise_distance(&x[1], 3.0, 1e-6, KeepDims::No)),
        ("cdist 3", |x| x[0].unsqueeze(0).cdist(&x[1].unsqueeze(0), 3.0)),
        ("cdist 2", |x| x[0].reshape([4, 1]).cdist(&x[1].reshape([4, 1]), 2.0)),
        ("cdist by product", |x| x[0].unsqueeze(0).repeat([26, 1]).cdist(&x[1].unsqueeze(0), 2.0)),
        ("logaddexp", |x| x[0].logaddexp(&x[1])),
        ("logaddexp2", |x| x[0].logaddexp2(&x[1])),
        ("addcmul", |x| x[0].addcmul(&x[1], &x[1], 0.01)),
        ("lerp", |x| x[0].lerp(&x[1], 0.3)),
    ];
    for (name, device) in devices() {
        for dtype in HALVES {
            for values in [LARGE, SMALL] {
                let x = vector(&values, &device).cast(dtype);
                let turned = x.flip(&[0]).affine(1.5, 0.0).contiguous();
                let check = |op: &str, f: Function, all: &[Tensor]| {
                    let what = format!("{op} of {values:?} on {name}");
                    let (y, dx) = slopes(f, all);
                    assert_eq!(y.dtype(), dtype, "{what}");
                    let (want, slope) = slopes(f, &all.iter().map(|x| x.cast(DType::F32)).collect::<Vec<_>>());
                    alike(&what, &floats(&y), &floats(&want.cast(dtype)), dtype);
                    for (dx, slope) in dx.iter().zip(&slope) {
                        assert_eq!(dx.dtype(), dtype, "{what}");
                        alike(&format!("the gradient of {what}"), &floats(dx), &floats(&slope.cast(dtype)), dtype);
                    }
                };
                one.iter().for_each(|(op, f)| check(op, *f, std::slice::from_ref(&x)));
                two.iter().for_each(|(op, f)| check(op, *f, &[x.clone(), turned.clone()]));
            }
        }
    }
}

/// The numbers of PyTorch 2.15.
#[test]
fn halves_give_the_numbers_of_pytorch() {
    // Its name, the inputs, the function, the result, and the gradient of the first.
    type Case = (&'static str, &'static [&'static [f32]], Function, &'static [f32], &'static [f32]);
    let cases: [Case; 11] = [
        ("std", &[&[300.0, 400.0, -500.0, 20.0]], |x| x[0].std(1), &[403.5], &[404.0]),
        ("std", &[&[1e-4, 2e-4, 3e-4, 5e-4]], |x| x[0].std(1), &[1.708_27e-4], &[1.707_08e-4]),
        ("norm_of", &[&[300.0, 400.0, -500.0, 20.0]], |x| x[0].norm_of(3.0, &[0], KeepDims::No), &[600.0], &[600.0]),
        (
            "normalize",
            &[&[300.0, 400.0, -500.0, 20.0]],
            |x| x[0].normalize(3.0, 0, 1e-12),
            &[0.5, 0.666_503_9, -0.833_496_1, 0.033_325_195],
            &[0.5, 0.667_968_75, -0.832_031_25, 0.033_447_266],
        ),
        (
            "sinc",
            &[&[-2.0, 20.0, 0.1, 0.0]],
            |x| x[0].sinc(),
            &[0.0, 0.0, 0.983_398_4, 1.0],
            &[0.0, 0.0, 0.984_375, 1.0],
        ),
        ("exp2", &[&[3.0, 10.0, 15.0]], |x| x[0].exp2(), &[8.0, 1024.0, 32768.0], &[8.0, 1024.0, 32768.0]),
        (
            "addmm",
            &[&[3.0], &[200.0, 300.0], &[400.0, 500.0]],
            |x| x[0].reshape([1, 1]).addmm(&x[1].reshape([1, 2]), &x[2].reshape([2, 1]), 1.0, 0.001),
            &[233.0],
            &[233.0],
        ),
        ("addcmul", &[&[300.0], &[300.0]], |x| x[0].addcmul(&x[1], &x[1], 0.01), &[1200.0], &[1200.0]),
        ("addcdiv", &[&[1.0], &[30000.0], &[0.1]], |x| x[0].addcdiv(&x[1], &x[2], 0.001), &[301.0], &[300.0]),
        ("logaddexp", &[&[10.0, -3.0], &[10.5, 4.0]], |x| x[0].logaddexp(&x[1]), &[10.976_563, 4.0], &[11.0, 4.0]),
        (
            "xlogy",
            &[&[300.0, 3.0], &[0.001, 4.0]],
            |x| x[0].xlogy(&x[1]),
            &[-2072.0, 4.160_156_3],
            &[-2064.0, 4.156_25],
        ),
    ];
    for (name, device) in devices() {
        for (op, inputs, f, as_f16, as_bf16) in cases {
            for (dtype, want) in HALVES.into_iter().zip([as_f16, as_bf16]) {
                let x: Vec<Tensor> = inputs.iter().map(|values| vector(values, &device).cast(dtype)).collect();
                let y = f(&x);
                assert_eq!(y.dtype(), dtype, "{op}");
                alike(&format!("{op} on {name}"), &floats(&y), want, dtype);
            }
        }
        // By a scalar of halves, too.
        let [x, y] = [vector(&[1.0], &device), Tensor::scalar(4.0, &device)].map(|x| x.cast(DType::F16));
        assert_eq!(x.xlogy(&y).dtype(), DType::F16);
        let whole = [-30.0, 20.0, 50.0, 100.0, 127.0];
        let want = whole.map(f32::exp2);
        alike("powers of 2", &floats(&vector(&whole, &device).cast(DType::BF16).exp2()), &want, DType::BF16);
        let got = floats(&vector(&whole, &device).exp2());
        let off = got.iter().zip(want).map(|(got, want)| (got / want - 1.0).abs()).fold(0.0, f32::max);
        assert!(off < 3e-7, "{name}: powers of 2 are {got:?}");
    }
}

#[test]
fn counts_of_halves_are_exact() {
    for (name, device) in devices() {
        for dtype in HALVES {
            for n in [3001usize, 70_000] {
                let ones = Tensor::ones([n], &device).cast(dtype);
                let count = ones.count_nonzero(&[0], KeepDims::No);
                assert_eq!((count.dtype(), count.item().expect("a count")), (DType::F32, n as f32), "{name}");
                let rows = ones.unsqueeze(0).expand([2, n]).count_nonzero(&[1], KeepDims::Yes);
                assert_eq!(rows.to_vec::<f32>().expect("counts"), [n as f32; 2], "{name}");
            }
            let any = Tensor::ones([70_000], &device).cast(dtype);
            assert_eq!((any.any().item().expect("one"), any.all().item().expect("all")), (1.0, 1.0));
            // Half of 5,001, of which one is no number: the place of the middle is counted.
            let line: Vec<f32> = (0..5001).map(|at| if at == 7 { f32::NAN } else { at as f32 / 8192.0 }).collect();
            let x = vector(&line, &device).cast(dtype);
            let wide = x.cast(DType::F32);
            let both = [&x, &wide].map(|x| x.nanmedian_dim(0, KeepDims::No).0.item().expect("a number"));
            assert_eq!(both[0], both[1], "{name}");
            let linear = wgrad::Interpolation::Lower;
            let both = [&x, &wide].map(|x| x.nanquantile(0.7, 0, KeepDims::No, linear).item().expect("a number"));
            assert_eq!(both[0], both[1], "{name}");
            let mean = Tensor::ones([5001], &device).cast(dtype).nanmean(&[0], KeepDims::No);
            assert_eq!(mean.item().expect("a number"), 1.0, "{name}");
        }
    }
}

#[test]
fn elements_of_halves_are_found() {
    for (_, device) in devices() {
        let x = Tensor::from_slice(&[0.0f32, 2.0, -1.0, 0.0], [2, 2], &device);
        for dtype in HALVES {
            let half = x.cast(dtype);
            assert_eq!(half.nonzero().expect("places").to_vec::<i32>().expect("places"), [0, 1, 1, 0]);
            let picked = half.masked_select(&half.gt(0.0)).expect("elements");
            assert_eq!((picked.dtype(), floats(&picked)), (dtype, vec![2.0]));
            let picked = x.masked_select(&half).expect("elements");
            assert_eq!(floats(&picked), [2.0, -1.0]);
        }
        for dtype in [DType::Bool, DType::U8, DType::I32, DType::I64] {
            let mask = x.ne(0.0).cast(dtype);
            assert_eq!(mask.nonzero().expect("places").to_vec::<i32>().expect("places"), [0, 1, 1, 0]);
            assert_eq!(floats(&x.masked_select(&mask).expect("elements")), [2.0, -1.0]);
        }
        let halves = x.cast(DType::F16).masked_select(&x.ne(0.0)).expect("elements");
        assert_eq!(halves.to_vec::<f16>().expect("elements"), [2.0, -1.0].map(f16::from_f32));
        let halves = x.cast(DType::BF16).masked_select(&x.ne(0.0)).expect("elements");
        assert_eq!(halves.to_vec::<bf16>().expect("elements"), [2.0, -1.0].map(bf16::from_f32));
    }
}

/// The gradients of PyTorch.
#[test]
fn equal_elements_share_the_gradient_of_a_median() {
    const NAN: f32 = f32::NAN;
    const THIRD: f32 = 1.0 / 3.0;
    type Case = (&'static [f32], [f32; 2], &'static [f32], &'static [f32]);
    let cases: [Case; 3] = [
        (&[1.0, 2.0, 2.0, 2.0, 5.0], [2.0; 2], &[0.0, THIRD, THIRD, THIRD, 0.0], &[0.0, THIRD, THIRD, THIRD, 0.0]),
        (
            &[1.0, 2.0, 2.0, NAN, 2.0, 5.0],
            [NAN, 2.0],
            &[0.0, 0.0, 0.0, 1.0, 0.0, 0.0],
            &[0.0, THIRD, THIRD, 0.0, THIRD, 0.0],
        ),
        (&[NAN, NAN, 1.0], [NAN, 1.0], &[0.5, 0.5, 0.0], &[0.0, 0.0, 1.0]),
    ];
    for (name, device) in devices() {
        for (values, found, plain, without) in cases {
            let medians: [(Function, f32, &[f32]); 2] =
                [(|x| x[0].median(), found[0], plain), (|x| x[0].nanmedian(), found[1], without)];
            for (f, found, slope) in medians {
                let (y, dx) = slopes(f, &[vector(values, &device)]);
                let y = y.item().expect("a number");
                assert!(y == found || y.is_nan() && found.is_nan(), "{name}: {values:?}: {y}");
                assert_eq!(floats(&dx[0]), slope, "{name}: {values:?}");
            }
        }
        let x = Tensor::from_slice(&[1.0f32, 2.0, 2.0, 2.0], [2, 2], &device).cast(DType::BF16).requires_grad();
        let grads = x.median().affine(3.0, 0.0).backward();
        assert_eq!(floats(grads.of(&x).expect("a gradient")), [0.0, 1.0, 1.0, 1.0], "{name}");
    }
}

/// What one invocation cannot walk goes by the means of parts.
#[test]
fn long_lines_have_a_mean() {
    for (name, device) in devices() {
        // Of a whole number of elements for each part, and not; of rows, columns and both; more than windows can be counted.
        for (shape, to) in [
            (&[1usize, 1, 1, 20_000][..], [1usize, 1]),
            (&[1, 2, 1, 46_341], [1, 1]),
            (&[1, 1, 3, 40_000], [1, 1]),
            (&[1, 1, 3, 50_001], [2, 2]),
            (&[1, 1, 60_000, 1], [3, 1]),
            (&[1, 1, 2, 100_003], [1, 50_000]),
            (&[2, 1, 200, 210], [1, 1]),
        ] {
            let n: usize = shape.iter().product();
            let values: Vec<f32> = (0..n).map(|at| (at * 7 % 1013) as f32 / 512.0 - 0.7).collect();
            let (h, w) = (shape[2], shape[3]);
            if to[1] == 50_000 {
                let said = panics(|| Tensor::from_slice(&values, shape, &device).adaptive_avg_pool2d(to));
                assert!(said.starts_with("adaptive_avg_pool2d: "), "{name}: {said}");
                continue;
            }
            let ends = |d: usize, at: usize| {
                let size = shape[2 + d];
                at * size / to[d]..((at + 1) * size).div_ceil(to[d])
            };
            let (mut want, mut slope) = (Vec::new(), vec![0.0f64; n]);
            for image in 0..shape[0] * shape[1] {
                for (row, column) in (0..to[0]).flat_map(|row| (0..to[1]).map(move |column| (row, column))) {
                    let at = |y: usize, x: usize| (image * h + y) * w + x;
                    let all: Vec<usize> = ends(0, row).flat_map(|y| ends(1, column).map(move |x| at(y, x))).collect();
                    want.push((all.iter().map(|&at| f64::from(values[at])).sum::<f64>() / all.len() as f64) as f32);
                    all.iter().for_each(|&at| slope[at] += 1.0 / all.len() as f64);
                }
            }
            let x = Tensor::from_slice(&values, shape, &device).requires_grad();
            let y = x.adaptive_avg_pool2d(to);
            assert_eq!(y.shape()[..], [shape[0], shape[1], to[0], to[1]]);
            let near = |a: &f32, b: f64| (f64::from(*a) - b).abs() <= 1e-6 + 1e-5 * b.abs();
            let got = floats(&y);
            assert!(got.iter().zip(&want).all(|(a, b)| near(a, f64::from(*b))), "{name}: {shape:?}: {got:?} {want:?}");
            let grads = y.sum().backward();
            let dx = floats(grads.of(&x).expect("a gradient"));
            assert!(dx.iter().zip(slope).all(|(a, b)| near(a, b)), "{name}: the gradient of {shape:?}");
        }
        let line = Tensor::ones([1, 1, 20_000], &device);
        assert_eq!(floats(&line.adaptive_avg_pool1d(1)), [1.0]);
        let half = line.cast(DType::F16).adaptive_avg_pool1d(3);
        assert_eq!((half.dtype(), floats(&half)), (DType::F16, vec![1.0; 3]));
        assert_eq!(floats(&line.reshape([1, 1, 1, 1, 20_000]).adaptive_avg_pool3d([1, 1, 1])), [1.0]);
    }
}

/// Against the differences, and 0 where rows are equal.
#[test]
fn distances_by_a_product_are_those_of_differences() {
    let rows =
        |n: usize, seed: u64, device: &Device| Tensor::normal([n, 5], 0.0, 1.0, &mut wgrad::Rng::new(seed), device);
    for (name, device) in devices() {
        let (x, y) = (rows(40, 1, &device), rows(3, 2, &device));
        let (got, slope) = slopes(|x| x[0].cdist(&x[1], 2.0).square(), &[x.clone(), y.clone()]);
        let by_differences: Function = |x| x[0].unsqueeze(1).sub(&x[1]).norm(&[-1], KeepDims::No).square();
        let (want, expected) = slopes(by_differences, &[x.clone(), y.clone()]);
        let near = |what: &str, a: &Tensor, b: &Tensor| {
            let (a, b) = (floats(a), floats(b));
            let off = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(a.len() == b.len() && off < 1e-4, "{name}: {what} is off by {off}");
        };
        near("a distance", &got, &want);
        slope.iter().zip(&expected).for_each(|(a, b)| near("a gradient", a, b));
        // Batches broadcast, and the gradients of gradients are there.
        let batches = x.reshape([2, 20, 5]).cdist(&rows(30, 3, &device), 2.0);
        near("a batch", &batches.reshape([40, 30]), &x.cdist(&rows(30, 3, &device), 2.0));
        let x = x.requires_grad();
        let first = x.cdist(&y, 2.0).square().sum().grad(&x);
        let second = first.square().sum().backward();
        near("a second gradient", second.of(&x).expect("a gradient"), &first.detach().affine(4.0 * 3.0, 0.0));
        let same = Tensor::ones([30, 4], &device).requires_grad();
        let distances = same.cdist(&Tensor::ones([2, 4], &device), 2.0);
        assert_eq!(floats(&distances), [0.0; 60], "{name}");
        let grads = distances.sum().backward();
        assert_eq!(floats(grads.of(&same).expect("a gradient")), [0.0; 120], "{name}");
    }
}

/// The numbers of PyTorch, as i32: whole numbers that f32 cannot tell apart, too.
#[test]
fn whole_numbers_are_ordered_summed_and_put_exactly() {
    const MANY: [i32; 8] = [16_777_217, -3, 16_777_216, i32::MIN, i32::MAX, -3, 70_000, i32::MAX - 1];
    for (name, device) in devices() {
        let all = |x: &Tensor| x.to_vec::<i32>().expect("whole numbers");
        let x = Tensor::from_slice(&MANY, [2, 4], &device);
        for x in [x.clone(), x.cast(DType::I64)] {
            let flat = x.reshape([8]);
            let (sorted, order) = flat.sort(0, Order::Ascending);
            assert_eq!(all(&order), [3, 1, 5, 6, 2, 0, 7, 4], "{name}");
            let mut want = MANY;
            want.sort_unstable();
            assert_eq!(all(&sorted), want, "{name}");
            assert_eq!(all(&flat.argsort(0, Order::Descending)), [4, 7, 0, 2, 6, 1, 5, 3], "{name}");
            let (largest, places) = flat.topk(3, 0, Extreme::Largest);
            assert_eq!((all(&largest), all(&places)), (vec![i32::MAX, i32::MAX - 1, 16_777_217], vec![4, 7, 0]));
            assert_eq!([x.max(), x.min(), x.median()].map(|x| all(&x)[0]), [i32::MAX, i32::MIN, 70_000], "{name}");
            assert_eq!(all(&x.amax(&[0], KeepDims::No)), [i32::MAX, -3, 16_777_216, i32::MAX - 1], "{name}");
            assert_eq!(all(&x.amin(&[1], KeepDims::Yes)), [i32::MIN, -3], "{name}");
            assert_eq!([all(&x.argmax(1)), all(&x.argmin(1))], [[0, 0], [3, 1]], "{name}");
            let (values, places) = x.max_dim(0, KeepDims::No);
            assert_eq!((all(&values), all(&places)), (vec![i32::MAX, -3, 16_777_216, i32::MAX - 1], vec![1, 0, 0, 1]));
            let mut sum = 0i32;
            let sums = MANY.map(|value| {
                sum = sum.wrapping_add(value);
                sum
            });
            assert_eq!(all(&flat.cumsum(0)), sums, "{name}");
            assert_eq!(all(&x.clamp(-2.0, 70_000.0)), MANY.map(|value| value.clamp(-2, 70_000)), "{name}");
            assert_eq!(all(&x.clamp(f32::NEG_INFINITY, 7.0)), MANY.map(|value| value.min(7)), "{name}");
            assert_eq!(all(&x.narrow(0, 1, 1).prod())[0], MANY[4..].iter().fold(1, |a: i32, b| a.wrapping_mul(*b)));
            let index = Tensor::from_slice(&[1i64, 1, 0, 1], [1, 4], &device);
            let put = x.scatter(0, &index, &x.narrow(0, 0, 1));
            let mut want = MANY;
            (want[4], want[5], want[7]) = (MANY[0], MANY[1], MANY[3]);
            assert_eq!(all(&put), want, "{name}");
            let filled = flat.index_fill(0, &Tensor::from_slice(&[6, 1], [2], &device), 9.0);
            let mut want = MANY;
            (want[1], want[6]) = (9, 9);
            assert_eq!(all(&filled), want, "{name}");
            let rows = x.i(..).index_copy(0, &Tensor::from_slice(&[1], [1], &device), &x.narrow(0, 0, 1));
            assert_eq!(all(&rows), [&MANY[..4], &MANY[..4]].concat(), "{name}");
        }
        assert!(panics(|| x.clamp(0.5, 2.0)).starts_with("clamp: 0.5..2 for whole numbers: "));
        let mask = Tensor::from_slice(&[true, false, true], [3], &device);
        assert_eq!((all(&mask.cumsum(0)), all(&mask.max())), (vec![1, 1, 2], vec![1]), "{name}");
        let put = mask.index_fill(0, &Tensor::from_slice(&[1], [1], &device), 1.0);
        assert_eq!(put.to_vec::<bool>().expect("truth values"), [true; 3], "{name}");
    }
}

/// PyTorch's `F.pad`, whose value is one of the type; views and places in front too.
#[test]
fn whole_numbers_are_padded_and_unpooled() {
    for (name, device) in devices() {
        let x = Tensor::from_slice(&[1i32, 2, 3, 4, 5, 6], [2, 3], &device);
        let padded = x.t().pad(&[(1, 0), (0, 2)], -1.7);
        assert_eq!(padded.shape()[..], [5, 3]);
        let want = [-1, 1, 4, -1, 2, 5, -1, 3, 6, -1, -1, -1, -1, -1, -1];
        assert_eq!(padded.to_vec::<i32>().expect("whole numbers"), want, "{name}");
        let long = Tensor::from_slice(&[1i64 << 40, -7], [2], &device).pad(&[(1, 1)], 2.0);
        assert_eq!(long.to_vec::<i64>().expect("whole numbers"), [2, 1 << 40, -7, 2], "{name}");
        let bytes = Tensor::from_slice(&[200u8, 3, 4], [3], &device);
        assert_eq!(bytes.pad(&[(1, 2)], 2.5).to_vec::<u8>().expect("bytes"), [2, 200, 3, 4, 2, 2], "{name}");
        assert_eq!(bytes.pad_with(&[(2, 1)], Padding::Reflect).to_vec::<u8>().expect("bytes"), [4, 3, 200, 3, 4, 3]);
        let cut = bytes.pad_with(&[(-1, 1)], Padding::Constant(9.0));
        assert_eq!(cut.to_vec::<u8>().expect("bytes"), [3, 4, 9], "{name}");
        let truth = Tensor::from_slice(&[true, false], [2], &device).pad(&[(1, 1)], 2.5);
        assert_eq!(truth.to_vec::<bool>().expect("truth values"), [true, true, false, true], "{name}");
        let nothing = Tensor::from_slice(&[0i32; 0], [0, 2], &device).pad(&[(0, 0), (1, 0)], 3.0);
        assert_eq!(nothing.to_vec::<i32>().expect("whole numbers"), [3, 3], "{name}");

        let image = Tensor::arange(0, 16, &device).cast(DType::F32).reshape([1, 1, 4, 4]);
        let (values, index) = image.max_pool2d_indices(MaxPool2dOptions::new(2));
        let want = values.max_unpool2d(&index, [4, 4]);
        assert_eq!(floats(&values.max_unpool2d(&index.cast(DType::I64), [4, 4])), floats(&want), "{name}");
        let ctx = wgrad::nn::Ctx::eval();
        let by_layer = wgrad::nn::MaxUnpool2d::new(2).forward(&values, &index.cast(DType::I64), &ctx);
        assert_eq!(floats(&by_layer), floats(&want), "{name}");
        let (row, places) = (values.reshape([1, 1, 4]), Tensor::from_slice(&[1i64, 3, 5, 7], [1, 1, 4], &device));
        assert_eq!(floats(&row.max_unpool1d(&places, 8)), [0.0, 5.0, 0.0, 7.0, 0.0, 13.0, 0.0, 15.0], "{name}");
        let volume = row.reshape([1, 1, 1, 1, 4]).max_unpool3d(&places.reshape([1, 1, 1, 1, 4]), [1, 1, 8]);
        assert_eq!(floats(&volume), [0.0, 5.0, 0.0, 7.0, 0.0, 13.0, 0.0, 15.0], "{name}");
    }
}

/// Values by Python's `math.lgamma` of the f32: at 1 and 2 it is 0, and beside them small.
#[test]
fn lgamma_is_near_beside_its_zeros() {
    let wanted: [(f32, f64); 17] = [
        (0.5, 0.572364943),
        (0.6, 0.398233821),
        (0.9, 0.0663762577),
        (0.999, 0.00057803108),
        (1.0, 0.0),
        (1.001, -0.000576420495),
        (1.1, -0.0498724514),
        (1.4, -0.119612913),
        (1.5, -0.120782238),
        (1.9, -0.0389842844),
        (1.999, -0.000422481527),
        (2.0, 0.0),
        (2.001, 0.000423076045),
        (2.1, 0.0454376923),
        (2.4, 0.216859385),
        (-0.9, 2.35807295),
        (-0.4, 1.31452458),
    ];
    let x: Vec<f32> = wanted.iter().map(|(x, _)| *x).collect();
    for (name, device) in devices() {
        let found = Tensor::from_slice(&x, [x.len()], &device).lgamma().to_vec::<f32>().expect("the device works");
        for ((x, want), found) in wanted.iter().zip(found) {
            assert!(
                (f64::from(found) - want).abs() <= 1e-6 * want.abs(),
                "lgamma({x}) on {name}: {found}, expected {want}"
            );
        }
    }
}
