//! The example that writes: as a program, and its cache beside the whole forward pass.

#[path = "../examples/char_gpt/model.rs"]
mod model;
#[path = "char_gpt/runs.rs"]
mod runs;
#[path = "../examples/char_gpt/writer.rs"]
mod writer;

use crate::devices::devices;
use model::{Gpt, Size};
use wgrad::nn::{Ctx, Init, Layer};
use wgrad::{Device, Rng, Tensor};
use writer::{Sampling, Writer};

const LETTERS: usize = 11;

fn gpt(layers: usize, context: usize, device: &Device) -> Gpt {
    let size = Size { letters: LETTERS, layers, width: 24, heads: 3, context, dropout: 0.5 };
    Gpt::new(size, &mut Init::new(5, device))
}

fn letters(count: usize) -> Vec<i32> {
    let mut rng = Rng::new(3);
    (0..count).map(|_| rng.below(LETTERS as u32) as i32).collect()
}

/// The logits of each character from the whole text.
fn whole(model: &Gpt, text: &[i32], device: &Device) -> Vec<Vec<f32>> {
    let ids = Tensor::from_slice(text, [1, text.len()], device);
    let logits = model.forward(&ids, &Ctx::eval()).to_vec::<f32>().expect("the device works");
    logits.chunks(LETTERS).map(<[f32]>::to_vec).collect()
}

#[track_caller]
fn alike(got: &[f32], want: &[f32], what: &str) {
    let near = got.len() == want.len() && got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-4);
    assert!(near, "{what}: {got:?}, not {want:?}");
}

#[test]
fn the_cache_gives_what_the_whole_pass_gives() {
    for (name, device) in devices() {
        let (context, text) = (12, letters(41));
        let model = gpt(2, context, &device);
        let mut writer = Writer::new(&model, &device);
        for (i, &letter) in text.iter().enumerate() {
            let got = writer.read(letter).expect("the device works");
            // From the first context on, a lane has begun at a multiple of half a context.
            let start = (i / 6).saturating_sub(1) * 6;
            let want = whole(&model, &text[start..=i], &device);
            alike(&got, &want[i - start], &format!("character {i} on {name}"));
        }
    }
}

/// Neither what runs nor the memory depends on how much was read.
#[test]
fn a_character_costs_the_same_at_any_place() {
    for (name, device) in devices() {
        let model = gpt(3, 8, &device);
        let mut writer = Writer::new(&model, &device);
        let cost = |letter: i32| {
            let before = device.counters();
            writer.read(letter).expect("the device works");
            let after = device.counters();
            (after.dispatches - before.dispatches, after.passes - before.passes, after.bytes)
        };
        let costs: Vec<(u64, u64, u64)> = letters(40).into_iter().map(cost).collect();
        // The first readings capture the step and fill the pool of buffers.
        let settled = &costs[4..];
        assert!(settled[0].0 > 0 && settled.iter().all(|cost| *cost == settled[0]), "{name}: {costs:?}");
    }
}

#[test]
fn what_is_chosen_follows_the_options() {
    let logits = [0.0, 3.0, -1.0, 2.0, 1.0];
    let counts = |temperature: f32, top_k: usize| {
        let (sampling, mut rng) = (Sampling { temperature, top_k }, Rng::new(9));
        let mut counts = [0; 5];
        (0..4000).for_each(|_| counts[sampling.choose(&logits, &mut rng) as usize] += 1);
        counts
    };
    assert_eq!(counts(0.0, 5), [0, 4000, 0, 0, 0]);
    assert_eq!(counts(1.0, 1), [0, 4000, 0, 0, 0]);
    let two = counts(1.0, 2);
    // The second is e times as seldom as the first.
    let share = f64::from(two[3]) / 4000.0;
    assert!(two[0] + two[2] + two[4] == 0 && (share - 1.0 / (1.0 + 1f64.exp())).abs() < 0.03, "{two:?}");
    let [daring, careful] = [counts(2.0, 5), counts(0.5, 5)];
    assert!(daring.iter().all(|count| *count > 100) && careful[1] > 3200 && daring[1] < 2200, "{daring:?} {careful:?}");
}
