//! Images changed by chance: what must stay, what labels become, and the same everywhere.

use crate::devices::devices;
use wgrad::nn::{
    ColorJitter, Ctx, GaussianBlur, Generator, Init, Layer, RandAugment, RandomAffine, RandomErasing, RandomGrayscale,
    RandomHue, RandomResizedCrop, Summary,
};
use wgrad::nn::{Embedding, Linear, Sequential};
use wgrad::{Device, KeepDims, Tensor};

fn images(n: usize, [h, w]: [usize; 2], device: &Device) -> Tensor {
    let pixel = |at: usize| ((at * 37 % 101) as f32) / 101.0;
    Tensor::from_vec((0..n * 3 * h * w).map(pixel).collect(), [n, 3, h, w], device)
}

fn values(x: &Tensor) -> Vec<f32> {
    x.to_vec::<f32>().expect("the device works")
}

fn near(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4)
}

#[test]
fn turns_and_cuts_that_are_nothing_change_nothing_and_others_what_they_say() {
    let train = Ctx::train();
    for (name, device) in devices() {
        let x = images(2, [4, 6], &device);
        let init = &mut Init::new(3, &device);
        let still = RandomAffine::new([0.0, 0.0], [0.0, 0.0], [1.0, 1.0], init);
        assert!(near(&values(&still.forward(&x, &train)), &values(&x)), "{name}");
        let whole = RandomResizedCrop::new([4, 6], [1.0, 1.0], [1.5, 1.5], init);
        let half = RandomResizedCrop::new([2, 3], [1.0, 1.0], [1.5, 1.5], init);
        assert!(near(&values(&whole.forward(&x, &Ctx::eval())), &values(&x)), "{name}");
        assert_eq!(half.forward(&x, &Ctx::eval()).shape(), [2, 3, 2, 3]);

        // A white column in eight, brought to an eighth, and to a third, is as bright as it was, trained on or not.
        let stripes: Vec<f32> = (0..48 * 48).map(|at| if at % 8 == 3 { 1.0 } else { 0.0 }).collect();
        let stripes = Tensor::from_vec(stripes, [1, 1, 48, 48], &device);
        for (size, apart) in [([6, 6], 1e-3), ([16, 6], 1e-3), ([6, 16], 0.4)] {
            let small = RandomResizedCrop::new(size, [1.0, 1.0], [1.0, 1.0], init);
            for y in [small.forward(&stripes, &Ctx::eval()), small.forward(&stripes, &train)].map(|y| values(&y)) {
                let mean = y.iter().sum::<f32>() / y.len() as f32;
                assert!((mean - 0.125).abs() < 0.01, "{name}: {size:?} {mean}");
                assert!(y.iter().all(|y| (y - 0.125).abs() < apart), "{name}: {size:?} {y:?}");
            }
        }

        // A quarter turn counterclockwise: the last column becomes the first row.
        let square = images(1, [4, 4], &device);
        let turn = RandomAffine::new([90.0, 90.0], [0.0, 0.0], [1.0, 1.0], init);
        let (was, is) = (values(&square), values(&turn.forward(&square, &train)));
        for (row, column) in (0..4).flat_map(|row| (0..4).map(move |column| (row, column))) {
            let (got, want) = (is[row * 4 + column], was[column * 4 + 3 - row]);
            assert!((got - want).abs() < 1e-3, "{name}: {row} {column} {got} {want}");
        }
        // Half the size: what is outside comes in as zeros around the middle.
        let smaller = RandomAffine::new([0.0, 0.0], [0.0, 0.0], [0.5, 0.5], init);
        let small = values(&smaller.forward(&square, &train));
        let middle = (was[0] + was[1] + was[4] + was[5]) / 4.0;
        assert!(small[0].abs() < 1e-6 && (small[5] - middle).abs() < 1e-4, "{name}: {small:?}");

        let (jitter, eraser) =
            (ColorJitter::new(0.4, 0.4, 0.4, init), RandomErasing::new(1.0, [0.2, 0.3], [0.5, 2.0], -1.0, init));
        let changed = values(&jitter.forward(&x, &train));
        assert!(changed.iter().all(|value| (0.0..=1.0).contains(value)) && !near(&changed, &values(&x)), "{name}");
        assert!(near(&values(&ColorJitter::new(0.0, 0.0, 0.0, init).forward(&x, &train)), &values(&x)), "{name}");
        let large = images(8, [20, 30], &device);
        let erased = values(&eraser.forward(&large, &train));
        for image in erased.chunks(3 * 600) {
            let gone = image.iter().filter(|value| **value == -1.0).count();
            assert!((3 * 80..3 * 220).contains(&gone) && gone % 3 == 0, "{name}: {gone}");
        }
        assert!(near(&values(&eraser.forward(&large, &Ctx::eval())), &values(&large)), "{name}");
        let wrong = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            jitter.forward(&Tensor::zeros([3, 4, 4], &device), &train)
        }));
        let told = wrong.expect_err("these are no images");
        let told = told.downcast_ref::<String>().cloned().unwrap_or_default();
        assert!(told.contains("ColorJitter") && told.contains("expected images [n, c, h, w]"), "{told}");
    }
}

#[test]
fn what_is_erased_has_its_ratio_in_pixels() {
    for (name, device) in devices() {
        for ([h, w], ratio) in [([32, 128], 1.0f32), ([120, 40], 1.0), ([40, 60], 2.0), ([48, 48], 0.5)] {
            let eraser = RandomErasing::new(1.0, [0.1, 0.1], [ratio, ratio], 0.0, &mut Init::new(0, &device));
            let gone = eraser.forward(&Tensor::ones([6, 1, h, w], &device), &Ctx::train()).eq(0.0);
            let side = |other: isize| {
                let gone = gone.amax(&[1, other], KeepDims::No).sum_dims(&[1], KeepDims::No);
                values(&gone)
            };
            let high = (0.1 * (h * w) as f32 / ratio).sqrt();
            for (wide, tall) in side(2).into_iter().zip(side(3)) {
                let near = (wide - high * ratio).abs() <= 1.0 && (tall - high).abs() <= 1.0;
                assert!(near, "{name}: {wide} by {tall} of {w} by {h}, for a ratio of {ratio}");
            }
        }
    }
}

#[test]
fn mixed_images_are_what_their_labels_say() {
    for (name, device) in devices() {
        // Each image holds ones in the channel of its class.
        let classes = 3;
        let labels = Tensor::from_slice(&[2, 0, 1, 0, 2], [5], &device);
        let ones = Tensor::ones([1, 1, 16, 16], &device);
        let x = labels.one_hot(classes).reshape([5, classes, 1, 1]) * &ones;
        let init = Init::new(3, &device);
        for mix in [wgrad::Draw::mixup, wgrad::Draw::cutmix] {
            let [mixed, shares] = mix(&Ctx::train().draw(&init.generator, &device), &x, &labels, classes);
            let means = mixed.reshape([5, classes, 256]).mean_dims(&[2], wgrad::KeepDims::No);
            assert!(near(&values(&means), &values(&shares)), "{name}: {means} {shares}");
            let own = values(&shares);
            assert!(own.iter().any(|share| (0.05..0.95).contains(share)), "{name}: {shares}");
            let loss = Tensor::zeros([5, classes], &device).cross_entropy_soft(&shares).item().expect("a number");
            assert!((loss - 3f32.ln()).abs() < 1e-5, "{name}: {loss}");
        }
    }
}

/// The same numbers on every device, and others at each replay.
#[test]
fn chance_is_the_same_everywhere_and_new_at_each_replay() {
    let mut first: Option<Vec<Vec<f32>>> = None;
    for (name, device) in devices() {
        let init = &mut Init::new(9, &device);
        let net = Sequential::new()
            .push(RandomResizedCrop::new([8, 8], [0.3, 1.0], [0.75, 4.0 / 3.0], init))
            .push(RandomAffine::new([-20.0, 20.0], [0.1, 0.1], [0.9, 1.1], init))
            .push(ColorJitter::new(0.3, 0.3, 0.3, init))
            .push(RandomErasing::new(0.5, [0.1, 0.3], [0.3, 3.3], 0.0, init));
        let mut step = wgrad::plan::Replay::new();
        let x = images(4, [12, 10], &device);
        let runs: Vec<Vec<f32>> =
            (0..4).map(|_| values(&step.run(&x, |x| Ok(net.forward(x, &Ctx::train()))).expect("it runs"))).collect();
        assert!(runs.windows(2).all(|pair| !near(&pair[0], &pair[1])), "{name}: a replay drew the same again");
        let want = first.get_or_insert_with(|| runs.clone());
        for (got, want) in runs.iter().zip(want) {
            let apart = got.iter().zip(want).filter(|(a, b)| (**a - **b).abs() > 1e-3).count();
            assert!(apart * 100 <= got.len(), "{name}: {apart} of {} pixels are apart", got.len());
        }
    }
}

#[test]
fn a_summary_takes_whole_numbers_and_tells_memory_and_work() {
    let device = Device::cpu();
    let init = &mut Init::new(0, &device);
    let model = Sequential::new().push(Embedding::new(100, 8, init)).push(Linear::new(8, 2, init));
    let summary = Summary::of_input(&model, &Tensor::from_slice(&[1, 2, 3, 4], [2, 2], &device));
    let shapes: Vec<String> = summary.rows.iter().map(|row| row.shape.to_string()).collect();
    assert_eq!(shapes, ["[2, 2, 2]", "[2, 2, 8]", "[2, 2, 2]"]);
    assert_eq!((summary.parameters, summary.bytes, summary.activations), (818, 818 * 4, (32 + 8) * 4));
    // Four rows of two outputs, each of eight products and sums, and a bias.
    assert!((128..200).contains(&summary.operations), "{summary}");
    assert_eq!(summary.rows.iter().map(|row| row.operations).sum::<u64>(), summary.operations, "{summary}");
    let text = summary.to_string();
    assert!(text.contains("818 parameters of 3272 B") && text.contains("operations"), "{text}");
}

#[test]
fn colours_turn_fade_and_blur_as_they_say() {
    let train = Ctx::train();
    for (name, device) in devices() {
        let init = &mut Init::new(5, &device);
        // Red, green, blue and grey, one pixel each.
        let x =
            Tensor::from_slice(&[1.0f32, 0.0, 0.0, 0.4, 0.0, 1.0, 0.0, 0.4, 0.0, 0.0, 1.0, 0.4], [1, 3, 1, 4], &device);
        // Half a circle either way makes the opposite colour; grey has no hue.
        let turned = RandomHue::new(0.0, init).forward(&x, &train);
        assert!(near(&values(&turned), &values(&x)), "{name}: {turned:?}");
        let many = x.expand([64, 3, 1, 4]).contiguous();
        let turned = RandomHue::new(0.5, init).forward(&many, &train);
        let (most, least) = (turned.amax(&[1], KeepDims::No), turned.amin(&[1], KeepDims::No));
        for (at, (most, least)) in values(&most).into_iter().zip(values(&least)).enumerate() {
            let want = if at % 4 == 3 { (0.4, 0.4) } else { (1.0, 0.0) };
            assert!((most - want.0).abs() < 1e-5 && (least - want.1).abs() < 1e-5, "{name}: {at} {most} {least}");
        }
        assert!(!near(&values(&turned), &values(&many)));
        let grey = values(&RandomGrayscale::new(1.0, init).forward(&x, &train));
        let want = [0.299, 0.587, 0.114, 0.4];
        assert!(near(&grey, &[want, want, want].concat()), "{name}: {grey:?}");
        assert!(near(&values(&RandomGrayscale::new(0.0, init).forward(&x, &train)), &values(&x)), "{name}");

        // A point becomes a bell; an even image stays.
        let mut point = vec![0.0f32; 49];
        point[24] = 1.0;
        let point = Tensor::from_vec(point, [1, 1, 7, 7], &device);
        let bell = values(&GaussianBlur::new([5, 5], [1.0, 1.0], init).forward(&point, &train));
        let one: Vec<f64> = (0..5).map(|at| (-0.5 * (f64::from(at) - 2.0).powi(2)).exp()).collect();
        let sum: f64 = one.iter().sum();
        for (row, column) in (0..7).flat_map(|row| (0..7).map(move |column| (row, column))) {
            let along = |at: usize| if (1..6).contains(&at) { one[at - 1] / sum } else { 0.0 };
            let want = (along(row) * along(column)) as f32;
            assert!((bell[row * 7 + column] - want).abs() < 1e-5, "{name}: {row} {column}");
        }
        let even = Tensor::ones([2, 3, 8, 8], &device);
        let blurred = GaussianBlur::new([3, 5], [0.1, 2.0], init).forward(&even, &train);
        assert!(near(&values(&blurred), &values(&even)), "{name}");
    }
}

#[test]
fn rand_augment_changes_images_alike_everywhere() {
    let mut all = Vec::new();
    for (name, device) in devices() {
        let x = images(24, [12, 9], &device);
        let layer = RandAugment::new(2, 0.3, &mut Init::new(11, &device));
        let changed = values(&layer.forward(&x, &Ctx::train()));
        assert!(changed.iter().all(|value| (-1e-4..=1.0001).contains(value)), "{name}");
        let was = values(&x);
        let size = 3 * 12 * 9;
        let same = changed.chunks(size).zip(was.chunks(size)).filter(|(a, b)| near(a, b)).count();
        assert!(same < 8, "{name}: {same} of 24 are as they were");
        assert!(near(&values(&layer.forward(&x, &Ctx::eval())), &was), "{name}");
        let still = RandAugment::new(2, 0.0, &mut Init::new(11, &device)).forward(&x, &Ctx::train());
        let still = values(&still);
        let kept = still
            .chunks(size)
            .zip(was.chunks(size))
            .filter(|(a, b)| a.iter().zip(*b).all(|(a, b)| (a - b).abs() < 0.01));
        assert!(kept.count() > 12, "{name}: of no strength, few changes are left");
        all.push(changed);
    }
    // Images stand where they fall between two levels, or at an edge.
    let apart = |other: &Vec<f32>| other.iter().zip(&all[0]).filter(|(a, b)| (**a - **b).abs() > 1e-3).count();
    assert!(all.iter().all(|other| apart(other) * 200 < other.len()));
}

#[test]
fn a_label_of_no_class_is_not_lost_in_a_mixture() {
    for (name, device) in devices() {
        let labels = Tensor::from_slice(&[0, 7, -100, 1], [4], &device);
        let draw = Ctx::train().draw(&Generator::new(0), &device);
        let [_, soft] = draw.mixup(&Tensor::ones([4, 1, 2, 2], &device), &labels, 3);
        let sums = soft.sum_dims(&[1], KeepDims::No).to_vec::<f32>().expect("the device works");
        // Each is mixed with the next, the last with the first.
        assert!(sums[..3].iter().all(|sum| sum.is_nan()) && (sums[3] - 1.0).abs() < 1e-6, "{sums:?} on {name}");
    }
}
