//! One seed, one run: weights, order and masks have the same bits on every device.

use super::curves::{bits, first_difference};
use super::recipes::{BATCH_NORM, CNN, DROPOUT, SEED, loader};
use crate::devices::devices;
use wgrad::nn::{Ctx, Dropout, Init, Layer, StateDict, state};
use wgrad::{Device, Draw, Rng, Tensor};

fn first_weights(seed: u64, device: &Device) -> StateDict {
    let models = [CNN, DROPOUT, BATCH_NORM].map(|recipe| (recipe.model)(&mut Init::new(seed, device)));
    let states = models.iter().map(|model| state(model).expect("the device works"));
    let named = |(i, state): (usize, StateDict)| state.into_iter().map(move |(name, t)| (format!("{i}.{name}"), t));
    states.enumerate().flat_map(named).collect()
}

#[test]
fn first_weights_follow_from_the_seed() {
    let reference = first_weights(SEED, &Device::cpu());
    for (name, device) in devices() {
        assert_eq!(first_difference(&reference, &first_weights(SEED, &device)), None, "on {name}");
        // The high half of a seed counts, too.
        for other in [SEED + 1, SEED ^ (1 << 40)] {
            let other = first_weights(other, &device);
            let drawn = |name: &str| name.starts_with("0.");
            let same: Vec<&str> = (bits(&reference).into_iter().zip(bits(&other)))
                .filter(|((name, a), (_, b))| drawn(name) && a == b)
                .map(|((name, _), _)| name)
                .collect();
            assert!(same.is_empty(), "on {name}, another seed draws the same {same:?}");
        }
    }
}

#[test]
fn batches_follow_from_the_seed() {
    let (one, again) = (loader(32), loader(32));
    for epoch in [0, 1, 7] {
        assert!(one.epoch(epoch).eq(again.epoch(epoch)), "epoch {epoch}");
        assert!(!one.order(epoch).is_sorted(), "epoch {epoch}");
    }
    assert_ne!(one.order(0), one.order(1));
}

/// What two dropout layers leave of ones, in two passes, from the draw of this number on.
fn masks(seed: u64, first: u64, device: &Device) -> Vec<Vec<u32>> {
    let mut init = Init::new(seed, device);
    init.generator.set_position(first);
    let layers = [Dropout::new(0.3, &mut init), Dropout::new(0.3, &mut init)];
    // No multiple of the four words that one draw gives.
    let x = Tensor::ones([7, 333], device);
    let pass = |ctx: Ctx| layers.each_ref().map(|layer| layer.forward(&x, &ctx).to_vec::<f32>().expect("it works"));
    let passes = [pass(Ctx::train()), pass(Ctx::train())];
    passes.into_iter().flatten().map(|mask| mask.into_iter().map(f32::to_bits).collect()).collect()
}

#[test]
fn dropout_masks_follow_from_the_seed() {
    for (seed, first) in [(SEED, 0), (SEED, 41), (SEED ^ (1 << 40), 0), (SEED, u64::from(u32::MAX))] {
        let reference = masks(seed, first, &Device::cpu());
        for (name, device) in devices() {
            let masks = masks(seed, first, &device);
            assert!(masks == reference, "seed {seed:x}, draw {first}: the masks on {name} are others");
        }
        for (i, mask) in reference.iter().enumerate() {
            let kept = mask.iter().filter(|&&y| y != 0).count() as f64 / mask.len() as f64;
            // Five deviations of 2,331 draws.
            assert!((kept - 0.7).abs() < 0.05, "{kept} of a mask is kept");
            let scaled = mask.iter().all(|&y| y == 0 || y == (1.0f32 / 0.7).to_bits());
            assert!(scaled, "kept elements are scaled by 1 / 0.7");
            assert!(reference[..i].iter().all(|other| other != mask), "layers and passes draw masks of their own");
        }
    }
    let cpu = Device::cpu();
    let two = |seed, first| masks(seed, first, &cpu);
    assert_eq!(two(SEED, 2)[..2], two(SEED, 0)[2..], "the second pass begins with the draw numbered 2");
    assert_ne!(two(SEED, 0)[0], two(SEED ^ (1 << 40), 0)[0]);
    assert_ne!(two(SEED, 0)[0], two(SEED, 1 << 32)[0]);
}

#[test]
fn crops_go_to_every_place_alike() {
    const IMAGES: usize = 400;
    let image: Vec<f32> = (1..=18).map(|pixel| pixel as f32).collect();
    // Two channels of 3 x 3 pixels, moved by up to one and mirrored.
    let moved = |down: i64, right: i64, is_mirrored: bool| -> Vec<f32> {
        let pixel = |at: i64| {
            let (channel, i, j) = (at / 9, at / 3 % 3, at % 3);
            let (row, column) = (i + down, if is_mirrored { 2 - j } else { j } + right);
            let is_inside = (0..3).contains(&row) && (0..3).contains(&column);
            if is_inside { image[(channel * 9 + row * 3 + column) as usize] } else { 0.0 }
        };
        (0..18).map(pixel).collect()
    };
    let places = (0..18).map(|at| moved(at / 6 - 1, at / 2 % 3 - 1, at % 2 == 1)).collect::<Vec<_>>();
    for (name, device) in devices() {
        let x = Tensor::from_vec(image.repeat(IMAGES), [IMAGES, 2, 3, 3], &device);
        let step = Tensor::from_slice(&[3, 0], [2], &device);
        let y = x.random_crop_flip(1, &Draw { seed: SEED, stream: 7, step, offset: 0 }).to_vec::<f32>();
        let y = y.expect("the device works");
        let count = |place: &Vec<f32>| y.chunks(18).filter(|image| image == place).count();
        let counts: Vec<usize> = places.iter().map(count).collect();
        // 22 of each on average.
        assert!(counts.iter().all(|n| (8..40).contains(n)), "on {name}: {counts:?}");
        assert_eq!(counts.iter().sum::<usize>(), IMAGES, "on {name}: all images are moved in one of these ways");
    }
}

#[test]
fn normal_numbers_have_the_mean_and_deviation_that_were_asked_for() {
    const MANY: usize = 10_000;
    let (mean, deviation) = (5.0, 0.5);
    for (name, device) in devices() {
        let x = Tensor::normal([MANY], mean, deviation, &mut Rng::new(SEED), &device);
        let of = |x: Tensor| x.item().expect("the device works");
        assert!((of(x.mean()) - mean).abs() < 0.02, "on {name}: {x:?}");
        assert!((of(x.var(1)).sqrt() - deviation).abs() < 0.02, "on {name}: {x:?}");
    }
}
