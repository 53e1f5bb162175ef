//! A GPT on chains of tokens: alike on both backends, the same bits twice and replayed.

use crate::devices::devices;
use crate::gpt::{Gpt, Size};
use wgrad::nn::{Ctx, Init, Layer};
use wgrad::optim::{AdamW, AdamWOptions, Optimizer};
use wgrad::plan::Replay;
use wgrad::{Device, Rng, Tensor};

const STEPS: usize = 4;

/// Sequences whose next token follows from the last and a little chance, and the next tokens.
fn chain(step: usize, device: &Device) -> [Tensor; 2] {
    let mut rng = Rng::new(step as u64);
    let (mut tokens, mut labels) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        let mut token = rng.below(65) as i32;
        for _ in 0..48 {
            tokens.push(token);
            token = (token * 5 + 7 + rng.below(3) as i32) % 65;
            labels.push(token);
        }
    }
    [Tensor::from_vec(tokens, [2, 48], device), Tensor::from_vec(labels, [96], device)]
}

fn losses(device: &Device, mut replay: Option<Replay>) -> Vec<f32> {
    let model = Gpt::new(Size::W4, &mut Init::new(7, device));
    let mut adam = AdamW::new(&model, AdamWOptions::default()).expect("the options are in range");
    let step = |step| {
        let [tokens, labels] = chain(step, device);
        let mut work = |[tokens, labels]: [&Tensor; 2]| {
            let loss = model.forward(tokens, &Ctx::train()).cross_entropy(labels);
            adam.step(&loss.backward());
            Ok(loss)
        };
        let loss = match &mut replay {
            Some(replay) => replay.run([&tokens, &labels], work),
            None => work([&tokens, &labels]),
        };
        loss.expect("the step runs").item().expect("the device works")
    };
    (0..STEPS).map(step).collect()
}

#[test]
fn a_gpt_learns_alike_everywhere() {
    let all: Vec<(&str, Vec<f32>)> = devices()
        .into_iter()
        .map(|(name, device)| {
            let eager = losses(&device, None);
            let bits = |losses: &[f32]| losses.iter().map(|loss| loss.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&losses(&device, Some(Replay::new()))), bits(&eager), "replayed on {name}");
            (name, eager)
        })
        .collect();
    let (first, want) = &all[0];
    for (name, got) in &all[1..] {
        let near = got.iter().zip(want).all(|(got, want)| (got - want).abs() <= 1e-4 * want.abs());
        assert!(near, "{name} {got:?}, {first} {want:?}");
    }
}
