//! The examples' losses over the first 30 steps: with one seed, the same on every device within a thousandth. Those
//! of `cifar10` stand in its own test.
//!
//! `cargo test --test commands curves -- --nocapture` tells how near the curves are.

use std::ffi::OsStr;
use std::fs;

const STEPS: usize = 30;

/// How far two devices may lie apart, relative to the loss.
const APART: f64 = 1e-3;

/// The losses of an example's first steps, by the curve's name.
fn losses(example: &str, device: &str, curves: &[&str], args: &[&dyn AsRef<OsStr>]) -> Vec<Vec<f64>> {
    let place = crate::digits::folder();
    let file = place.path().join("losses");
    let own: [&dyn AsRef<OsStr>; 4] = [&"--device", &device, &"--losses", &file];
    crate::program::run(example, &[], &[&own, args].concat()).ends("");
    let text = fs::read_to_string(&file).expect("it was written");
    let lines: Vec<(&str, f64)> = text
        .lines()
        .map(|line| line.split_once(' ').expect("a name and a loss"))
        .map(|(name, loss)| (name, loss.parse().expect("a number")))
        .collect();
    assert!(lines.iter().all(|(name, _)| curves.contains(name)), "{example}: {text}");
    let curve = |curve: &&str| -> Vec<f64> {
        lines.iter().filter(|(name, _)| name == curve).map(|(_, loss)| *loss).take(STEPS).collect()
    };
    curves.iter().map(curve).collect()
}

#[track_caller]
fn judge(example: &str, curves: &[&str], args: &[&dyn AsRef<OsStr>]) {
    let mut first: Option<Vec<Vec<f64>>> = None;
    for (device, _) in crate::devices::devices() {
        let losses = losses(example, device, curves, args);
        let reference = first.get_or_insert_with(|| losses.clone());
        for ((name, got), want) in curves.iter().zip(&losses).zip(reference) {
            let apart: Vec<f64> = want.iter().zip(got).map(|(a, b)| (a - b).abs() / a.abs()).collect();
            let most = apart.iter().fold(0.0, |most, off| if *off <= most { most } else { *off });
            println!("{example}, {name} on {device}, apart by at most {most:.1e}: {got:?}");
            let moves = got.len() == STEPS && got.windows(2).all(|pair| pair[0] != pair[1]);
            assert!(moves, "{example}, {name} on {device} stands still: {got:?}");
            // Written so that NaN is apart.
            let near = most <= APART;
            assert!(near, "{example}, {name} on {device}: {got:?}, elsewhere {want:?}: apart by {apart:?}");
        }
    }
}

#[test]
fn mnist_by_convolutions() {
    // Ten steps an epoch, the last of them smaller.
    judge("mnist", &["loss"], &[&"--epochs=3", &"--data", &crate::digits::small_mnist().path()]);
}

#[test]
fn mnist_by_one_hidden_layer() {
    judge("mnist", &["loss"], &[&"--model=mlp", &"--epochs=3", &"--data", &crate::digits::small_mnist().path()]);
}

#[test]
fn lstm_gru_and_rnn() {
    judge("lstm", &["LSTM", "GRU", "RNN"], &[&"--steps=30"]);
}

#[test]
fn numbers_of_a_table() {
    judge("tabular", &["loss"], &[&"--epochs=1"]);
}

#[test]
fn classes_of_a_table() {
    judge("tabular", &["loss"], &[&"--epochs=1", &"--target=demand"]);
}

#[test]
fn both_networks_of_the_gan() {
    let (data, out) = (crate::digits::small_mnist(), crate::digits::folder());
    // Every step is on a full batch.
    let args: [&dyn AsRef<OsStr>; 6] =
        [&"--epochs=3", &"--batch-size=60", &"--data", &data.path(), &"--out", &out.path()];
    judge("gan", &["discriminator", "generator"], &args);
}

/// With noise that is drawn on the device.
#[test]
fn a_diffusion() {
    let (data, out) = (crate::digits::small_mnist(), crate::digits::folder());
    let picture = out.path().join("digits.png");
    let small: [&dyn AsRef<OsStr>; 4] = [&"--epochs=3", &"--batch-size=60", &"--width=8", &"--steps=8"];
    judge("diffusion", &["loss"], &[&small[..], &[&"--data", &data.path(), &"--out", &picture]].concat());
}

/// With masks of dropout, on a text so short that what is held out costs nothing.
#[test]
fn a_transformer() {
    let place = crate::digits::folder();
    let text = place.path().join("text.txt");
    let words = include_str!("../examples/data/text/hamlet.txt");
    fs::write(&text, &words[..8000]).expect("it can be written");
    let steps: [&dyn AsRef<OsStr>; 4] = [&"--steps=30", &"--layers=2", &"--dropout=0.1", &"--length=0"];
    let args: [&dyn AsRef<OsStr>; 2] = [&"--data", &text];
    judge("char_gpt", &["loss"], &[&steps[..], &args].concat());
}

#[test]
fn an_operation_of_ones_own() {
    judge("custom_kernel", &["relu", "tanh", "snake"], &[&"--steps=30"]);
}
