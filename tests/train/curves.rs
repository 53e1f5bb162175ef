//! Loss curves: the same on every device within rounding, and to the bit on one.

use super::recipes::{BATCH_NORM, CLIPPED, CNN, DROPOUT, MLP, RECURRENT, Recipe, Trainer};
use crate::devices::devices;
use wgrad::Device;
use wgrad::nn::{StateDict, Values};

/// How far two devices may lie apart, relative to the loss: Mesa's software adapter measures 2.3e-7 at most, and a GPU
/// rounds its exponentials and roots more freely.
const APART: f32 = 1e-5;
const STEPS: usize = 12;

fn run(recipe: &Recipe, device: &Device) -> (Vec<f32>, StateDict) {
    let mut trainer = Trainer::new(recipe, device);
    (trainer.steps(STEPS), trainer.weights())
}

/// The values of a state as bits, so that NaN would equal itself and -0 would not equal 0.
pub fn bits(state: &StateDict) -> Vec<(&str, Vec<u64>)> {
    let bits = |values: &Values| match values {
        Values::F32(v) => v.iter().map(|v| u64::from(v.to_bits())).collect(),
        Values::I64(v) => v.iter().map(|&v| v as u64).collect(),
        other => panic!("no model here holds {}", other.dtype()),
    };
    state.iter().map(|(name, tensor)| (name.as_str(), bits(&tensor.values))).collect()
}

/// The first name whose bits differ.
pub fn first_difference<'a>(a: &'a StateDict, b: &StateDict) -> Option<&'a str> {
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    bits(a).into_iter().zip(bits(b)).find(|(a, b)| a != b).map(|((name, _), _)| name)
}

fn apart(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs() / a.abs()).fold(0.0, |most, off| if off <= most { most } else { off })
}

fn judge(recipe: &Recipe) {
    let mut first: Option<(&str, Vec<f32>)> = None;
    for (name, device) in devices() {
        let (losses, weights) = run(recipe, &device);
        let (again, weights_again) = run(recipe, &device);
        let same = losses.iter().zip(&again).all(|(a, b)| a.to_bits() == b.to_bits());
        assert!(same, "{} on {name}, twice: {losses:?} and {again:?}", recipe.name);
        let differs = first_difference(&weights, &weights_again);
        assert_eq!(differs, None, "{} on {name}, twice: these weights differ", recipe.name);
        let learns = losses[STEPS - 1] < 0.95 * losses[0];
        assert!(learns, "{} on {name} does not learn: {losses:?}", recipe.name);
        match &first {
            None => first = Some((name, losses)),
            Some((other, reference)) => {
                let off = apart(reference, &losses);
                println!("{}: {other} and {name} are {off:.1e} apart, {:?}", recipe.name, losses);
                // Written so that NaN is apart.
                let near = off <= APART;
                assert!(near, "{}: {other} {reference:?}, {name} {losses:?}: {off:.1e} apart", recipe.name);
            }
        }
    }
}

#[test]
fn the_cnn_of_the_example_learns_alike_everywhere() {
    judge(&CNN);
}

#[test]
fn the_mlp_of_the_example_learns_alike_everywhere() {
    judge(&MLP);
}

#[test]
fn dropout_and_momentum_learn_alike_everywhere() {
    judge(&DROPOUT);
}

#[test]
fn batch_norm_and_decay_learn_alike_everywhere() {
    judge(&BATCH_NORM);
}

#[test]
fn clipped_groups_learn_alike_everywhere() {
    judge(&CLIPPED);
}

#[test]
fn recurrent_layers_learn_alike_everywhere() {
    judge(&RECURRENT);
}
