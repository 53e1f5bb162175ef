//! Numbers by chance on the device: how often each comes, the same on every device, and others at each replay.

use super::rules::panics;
use crate::devices::devices;
use wgrad::nn::{
    Ctx, DropPath, FeatureAlphaDropout, FractionalMaxPool2d, FractionalMaxPool3d, FractionalSize, Generator, Init,
    Layer, RRelu,
};
use wgrad::ops::attention::AttentionOptions;
use wgrad::{DType, Device, Draw, Tensor};

fn read(x: &Tensor) -> Vec<f32> {
    x.cast(DType::F32).to_vec().expect("the device works")
}

fn draw(device: &Device) -> Draw {
    Generator::new(7).draw(device)
}

fn near(what: &str, got: f32, want: f32, off: f32) {
    assert!((got - want).abs() <= off, "{what}: {got}, not {want}");
}

fn mean(values: &[f32]) -> f32 {
    values.iter().sum::<f32>() / values.len() as f32
}

/// Shares of what is drawn.
fn shares(values: &[f32], count: usize) -> Vec<f32> {
    (0..count).map(|i| values.iter().filter(|v| **v == i as f32).count() as f32 / values.len() as f32).collect()
}

/// By the distribution's mean and variance; the same numbers on every device.
#[test]
fn shares_of_a_beta_distribution_have_its_moments() {
    let mut first: Option<Vec<f32>> = None;
    for (name, device) in devices() {
        for (a, b) in [(0.2, 0.2), (1.0, 1.0), (0.5, 0.9), (0.05, 0.05)] {
            let values = read(&draw(&device).beta([100, 200], a, b));
            let sum = a + b;
            near(name, mean(&values), a / sum, 0.012);
            let squares: Vec<f32> = values.iter().map(|value| (value - a / sum).powi(2)).collect();
            near(name, mean(&squares), a * b / (sum * sum * (sum + 1.0)), 0.006);
            assert!(values.iter().all(|value| (0.0..=1.0).contains(value)), "on {name}");
            if a == 0.5 {
                let near = |first: &Vec<f32>| first.iter().zip(&values).all(|(a, b)| (a - b).abs() < 1e-4);
                assert!(
                    first.get_or_insert_with(|| values.clone()).len() == 20_000
                        && near(first.as_ref().expect("it is there"))
                );
            }
        }
        assert!(
            panics(|| draw(&device).beta([3], 1.5, 0.5))
                .contains("beta: 1.5 and 0.5: expected numbers above 0 and at most 1")
        );
        let x = Tensor::arange(0, 4, &device).cast(DType::F32).reshape([4, 1]);
        let labels = Tensor::arange(0, 4, &device);
        let [mixed, soft] = draw(&device).mixup_by(&x, &labels, 4, 0.2);
        let told = read(&soft.matmul(&x).flatten(0));
        assert!(read(&mixed).iter().zip(&told).all(|(a, b)| (a - b).abs() < 1e-5), "on {name}: {mixed} {soft}");
    }
}

#[test]
fn each_number_comes_as_often_as_it_should() {
    let mut first: Option<Vec<Vec<f32>>> = None;
    for (name, device) in devices() {
        let draw = draw(&device);
        let n = 20_000;
        let whole = draw.randint([n], -2, 3);
        assert!(whole.dtype() == DType::I32 && *whole.shape() == [n]);
        let shifted: Vec<f32> = read(&whole).iter().map(|v| v + 2.0).collect();
        shares(&shifted, 5).iter().for_each(|share| near("randint", *share, 0.2, 0.015));
        let p = Tensor::from_slice(&[0.0f32, 0.25, 1.0], [3, 1], &device).expand([3, n]);
        let ones = read(&draw.bernoulli(&p));
        for (row, p) in ones.chunks(n).zip([0.0, 0.25, 1.0]) {
            near("bernoulli", mean(row), p, 0.015);
        }
        let cut = read(&draw.truncated_normal([n], 1.0, 2.0, 0.0, 2.0));
        assert!(cut.iter().all(|v| (0.0..=2.0).contains(v)), "on {name}");
        near("truncated_normal", mean(&cut), 1.0, 0.02);
        // The variance between -1/2 and 1/2 of a deviation, 0.0805 of its square.
        near("its variance", mean(&cut.iter().map(|v| (v - 1.0) * (v - 1.0)).collect::<Vec<_>>()), 0.322, 0.01);
        let order = read(&draw.randperm(1000));
        let mut sorted = order.clone();
        sorted.sort_by(f32::total_cmp);
        assert!(sorted.iter().enumerate().all(|(i, v)| *v == i as f32) && sorted != order);
        let weights = Tensor::from_slice(&[1.0f32, 0.0, 3.0, 4.0], [4], &device);
        let many = read(&draw.multinomial(&weights, n, true));
        for (share, due) in shares(&many, 4).iter().zip([0.125, 0.0, 0.375, 0.5]) {
            near("multinomial", *share, due, 0.015);
        }
        let rows = weights.expand([n, 4]);
        let pairs = draw.multinomial(&rows, 2, false);
        assert_eq!(*pairs.shape(), [n, 2]);
        let both = read(&pairs);
        assert!(both.chunks(2).all(|pair| pair[0] != pair[1] && !pair.contains(&1.0)));
        let firsts: Vec<f32> = both.chunks(2).map(|pair| pair[0]).collect();
        near("the first of two", shares(&firsts, 4)[3], 0.5, 0.015);
        // Numbers that kernels of both backends take to be nearly the same may round to two sides.
        let all = vec![shifted, ones, order, firsts];
        let first = first.get_or_insert(all.clone());
        for (got, want) in all.iter().zip(first.iter()) {
            let off = got.iter().zip(want).filter(|(a, b)| a != b).count();
            assert!(off <= got.len() / 5_000, "{off} of {} are others on {name}", got.len());
        }
    }
}

#[test]
fn weights_that_are_none_are_never_drawn() {
    for (name, device) in devices() {
        let draw = draw(&device);
        let rows = [[0.0f32, 0.0, 0.0], [-1.0, f32::NAN, 2.0], [f32::NAN, -1.0, 0.0], [3.0, 0.0, -2.0]];
        let weights = Tensor::from_slice(&rows.concat(), [4, 3], &device);
        for replacement in [true, false] {
            let places = read(&draw.multinomial(&weights, 2, replacement));
            let firsts: Vec<f32> = places.chunks(2).map(|places| places[0]).collect();
            assert_eq!(firsts, [-1.0, 2.0, -1.0, 0.0], "on {name}");
            assert_eq!((places[1], places[5]), (-1.0, -1.0), "on {name}");
            assert!(!replacement || places[3] == 2.0 && places[7] == 0.0, "on {name}: {places:?}");
        }
        let none = Tensor::full([3], -1.0f32, &device);
        assert_eq!(read(&draw.multinomial(&none, 3, true)), [-1.0; 3], "on {name}");
    }
}

#[test]
fn a_replay_draws_what_eager_work_would() {
    for (name, device) in devices() {
        let weights = Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0], [4], &device);
        let work = |generator: &Generator, weights: &Tensor| {
            let draw = generator.draw(weights.device());
            [draw.randint([8], 0, 100), draw.multinomial(weights, 6, true), draw.randperm(16)]
        };
        let (eager, replayed) = (Generator::new(3), Generator::new(3));
        let step = device.capture(&weights, |weights| Ok(work(&replayed, weights))).expect("it can be captured");
        let mut seen = vec![step.outputs().map(|x| read(&x))];
        for _ in 0..3 {
            seen.push(step.run(&weights).expect("it runs").map(|x| read(&x)));
        }
        let want: Vec<_> = (0..4).map(|_| work(&eager, &weights).map(|x| read(&x))).collect();
        assert_eq!(seen, want, "on {name}");
        assert!(seen[0] != seen[1] && seen[1] != seen[2]);
    }
}

#[test]
fn gradients_flow_through_classes_that_are_drawn() {
    for (name, device) in devices() {
        let (n, draw) = (20_000, draw(&device));
        let shared = Tensor::from_slice(&[1.0f32, 2.0, 5.0], [3], &device).log();
        let logits = shared.expand([n, 3]).copy().requires_grad();
        let of = |hard| logits.gumbel_softmax(0.5, hard, -1, &draw);
        let (hard, soft) = (of(true), of(false));
        let classes = read(&soft.argmax(1));
        for (share, due) in shares(&classes, 3).iter().zip([0.125, 0.25, 0.625]) {
            near("gumbel_softmax", *share, due, 0.015);
        }
        for (row, class) in read(&hard).chunks(3).zip(&classes) {
            assert!((0..3).all(|at| (row[at] - f32::from(at as f32 == *class)).abs() < 1e-6), "{row:?} on {name}");
        }
        let slope = |y: &Tensor| read(y.mul(&shared).sum().backward().of(&logits).expect("it has one"));
        assert_eq!(slope(&hard), slope(&soft), "on {name}");
    }
}

#[test]
fn windows_lie_where_chance_says() {
    for (name, device) in devices() {
        let init = &mut Init::new(5, &device);
        let ratio = FractionalMaxPool2d::new(2, FractionalSize::Ratio([0.6, 0.75]), init);
        let x = Tensor::arange(0, 2 * 2 * 12 * 9, &device).cast(DType::F32).sin().reshape([2, 2, 12, 9]);
        let all = read(&x);
        let mut seen = Vec::new();
        for _ in 0..2 {
            let (y, index) = ratio.forward_indices(&x, &Ctx::train());
            assert_eq!(*y.shape(), [2, 2, 7, 6], "on {name}");
            let picked =
                read(&index).iter().enumerate().map(|(at, &i)| all[at / 42 * 108 + i as usize]).collect::<Vec<_>>();
            assert_eq!(read(&y), picked, "on {name}");
            seen.push(picked);
        }
        assert_ne!(seen[0], seen[1], "on {name}");
        assert_eq!(*ratio.forward(&x.i(0), &Ctx::eval()).shape(), [2, 7, 6], "one image on {name}");
        let fixed = FractionalMaxPool3d::new(2, FractionalSize::Fixed([1, 4, 3]), init);
        assert_eq!(*fixed.forward(&x.unsqueeze(2).expand([2, 2, 2, 12, 9]), &Ctx::train()).shape(), [2, 2, 1, 4, 3]);
        let said = panics(|| fixed.forward(&x.narrow(2, 0, 3).unsqueeze(0), &Ctx::train()));
        assert_eq!(said, "FractionalMaxPool3d: [1, 2, 2, 3, 9]: expected room for [1, 4, 3] windows of [2, 2, 2]");
    }
}

#[test]
fn samples_and_weights_are_dropped_as_wholes() {
    for (name, device) in devices() {
        let layer = DropPath::new(0.25, &mut Init::new(5, &device));
        let x = Tensor::ones([4000, 2, 3], &device);
        let y = read(&layer.forward(&x, &Ctx::train()));
        assert!(y.chunks(6).all(|sample| sample.iter().all(|v| *v == sample[0])), "on {name}");
        near("kept", mean(&y), 1.0, 0.05);
        assert_eq!(read(&layer.forward(&x, &Ctx::eval())), read(&x));
        let [q, k] = [(); 2].map(|()| Tensor::ones([1, 1, 4, 8], &device));
        let v = Tensor::ones([1, 1, 4, 8], &device).requires_grad();
        let options = AttentionOptions { dropout: Some((0.5, draw(&device))), ..AttentionOptions::default() };
        let y = q.scaled_dot_product_attention(&k, &v, &options);
        // Each of four weights of 1/4 is 0 or 1/2.
        assert!(read(&y).iter().all(|v| (v * 2.0).fract().abs() < 1e-5), "{:?}", read(&y));
        let grads = y.sum().backward();
        near("dv", mean(&read(grads.of(&v).expect("it has one"))), mean(&read(&y)), 1e-5);
    }
}

#[test]
fn slopes_and_channels_are_drawn_anew_at_each_replay() {
    for (name, device) in devices() {
        let init = &mut Init::new(5, &device);
        let (slopes, channels) = (RRelu::new(init), FeatureAlphaDropout::new(0.5, init));
        let x = Tensor::full([2, 5000, 3], -1.0f32, &device);
        let y = read(&slopes.forward(&x, &Ctx::train()));
        assert!(y.iter().all(|v| (-1.0 / 3.0..=-0.125).contains(v)), "on {name}");
        near("slopes", mean(&y), -11.0 / 48.0, 0.005);
        let y = read(&slopes.forward(&x, &Ctx::eval()));
        assert!(y.iter().all(|v| (v + 11.0 / 48.0).abs() < 1e-6), "on {name}: {}", y[0]);
        assert_eq!(read(&slopes.forward(&x.neg(), &Ctx::train())), read(&x.neg()), "on {name}");
        let y = read(&channels.forward(&x, &Ctx::train()));
        assert!(y.chunks(3).all(|channel| channel.iter().all(|v| *v == channel[0])), "on {name}");
        let kept = y.chunks(3).filter(|channel| channel[0] == y[0]).count() as f32 / 10_000.0;
        near("kept", kept, 0.5, 0.02);
        assert_eq!(read(&channels.forward(&x, &Ctx::eval())), read(&x));
        let step = |init: &mut Init| (RRelu::new(init), FeatureAlphaDropout::new(0.5, init));
        let (eager, replayed) = (step(&mut Init::new(9, &device)), step(&mut Init::new(9, &device)));
        let both =
            |(a, b): &(RRelu, FeatureAlphaDropout), x: &Tensor| b.forward(&a.forward(x, &Ctx::train()), &Ctx::train());
        let captured = device.capture(&x, |x| Ok(both(&replayed, x))).expect("it is captured");
        let mut seen = vec![read(&captured.outputs())];
        for _ in 0..2 {
            seen.push(read(&captured.run(&x).expect("it runs")));
        }
        let want: Vec<_> = (0..3).map(|_| read(&both(&eager, &x))).collect();
        assert!(seen == want, "replayed draws differ from eager ones on {name}");
        assert!(seen[0] != seen[1] && seen[1] != seen[2], "on {name}");
    }
}

#[test]
fn what_cannot_be_drawn_is_refused() {
    let device = Device::cpu();
    let draw = draw(&device);
    for (said, due) in [
        (panics(|| draw.randint([2], 3, 3)), "randint: 3..3 holds no numbers"),
        (panics(|| draw.randint([2], 0, i32::MAX)), "holds more than the 2^24 numbers"),
        (
            panics(|| draw.bernoulli(&Tensor::full([2], 1, &device))),
            "bernoulli: expected probabilities of floats, got i32",
        ),
        (panics(|| draw.truncated_normal([2], 0.0, 1.0, 2.0, 1.0)), "truncated_normal: 2..1 is no range"),
        (panics(|| draw.truncated_normal([2], 0.0, 0.0, 1.0, 2.0)), "expected a deviation above 0, got 0"),
        (panics(|| Tensor::ones([3], &device).rrelu(0.5, 0.25, &draw)), "rrelu: 0.5..0.25 is no range"),
        (
            panics(|| Tensor::ones([3], &device).feature_alpha_dropout(0.5, &draw)),
            "feature_alpha_dropout: [3]: expected a batch [n, c, ..]",
        ),
        (panics(|| draw.multinomial(&Tensor::ones([3], &device), 4, false)), "there are fewer than 4 places"),
        (panics(|| draw.multinomial(&Tensor::full([3], 1, &device), 1, true)), "multinomial: [3] of i32"),
    ] {
        assert!(said.contains(due), "`{said}`, not `{due}`");
    }
}
