//! One seed, one run: weights, order and masks have the same bits on every device.

use super::curves::{bits, first_difference};
use super::recipes::{BATCH_NORM, CNN, DROPOUT, SEED, loader};
use crate::devices::devices;
use wgrad::nn::{Ctx, Dropout, Init, Layer, StateDict, state};
use wgrad::{Device, Tensor};

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
