//! Each example's run goes on to the bit where it was stopped, in another process; and what else all of them take.

use crate::program::{Said, run};
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

/// The losses of a file by their curves' names.
fn losses(path: &Path) -> Vec<(String, String)> {
    let text = fs::read_to_string(path).expect("it was written");
    let pair = |line: &str| line.split_once(' ').map(|(name, loss)| (name.to_string(), loss.to_string()));
    text.lines().map(|line| pair(line).expect("a name and a loss")).collect()
}

#[track_caller]
fn judge(example: &str, stop: &str, args: &[&dyn AsRef<OsStr>]) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let [whole, first, second, kept] = ["whole", "first", "second", "kept"].map(|name| folder.path().join(name));
    let go = |losses: &Path, more: &[&dyn AsRef<OsStr>]| -> Said {
        let own: [&dyn AsRef<OsStr>; 3] = [&"--device=cpu", &"--losses", &losses];
        let said = run(example, &[], &[&own, args, more].concat());
        assert!(said.code == Some(0), "{example}: {said:#?}");
        said
    };
    go(&whole, &[]);
    let stopped = go(&first, &[&"--checkpoint", &kept, &stop]);
    assert!(stopped.err.contains("go on by: ") && stopped.err.contains(" --resume"), "{example}: {stopped:#?}");
    go(&second, &[&"--checkpoint", &kept, &"--resume"]);
    let mut parts = [losses(&first), losses(&second)].concat();
    // Of several models each went on by itself.
    let (mut want, by_curve) = (losses(&whole), |pair: &(String, String)| pair.0.clone());
    parts.sort_by_key(by_curve);
    want.sort_by_key(by_curve);
    assert!(parts == want, "{example}: {parts:?}, in one go {want:?}");

    let own: [&dyn AsRef<OsStr>; 3] = [&"--device=cpu", &"--checkpoint", &kept];
    let again = run(example, &[], &[&own, args].concat());
    again.refuses(&["a run is there already", "resume it, or choose another folder"]);
}

#[test]
fn sequences_of_three_models() {
    judge("lstm", "--max-steps=13", &[&"--steps=30", &"--hidden=8", &"--length=10"]);
}

#[test]
fn rows_of_a_table() {
    judge("tabular", "--max-steps=70", &[&"--epochs=3"]);
}

#[test]
fn pieces_of_a_text() {
    let small: [&dyn AsRef<OsStr>; 5] =
        [&"--layers=1", &"--width=16", &"--heads=2", &"--batch-size=4", &"--dropout=0.1"];
    judge("char_gpt", "--max-steps=11", &[&small[..], &[&"--steps=20", &"--length=0"]].concat());
}

#[test]
fn two_networks_and_their_noise() {
    let (data, out) = (crate::digits::small_mnist(), crate::digits::folder());
    let args: [&dyn AsRef<OsStr>; 7] =
        [&"--width=4", &"--epochs=2", &"--batch-size=60", &"--data", &data.path(), &"--out", &out.path()];
    judge("gan", "--max-steps=7", &args);
}

#[test]
fn noise_and_an_average_of_weights() {
    let (data, out) = (crate::digits::small_mnist(), crate::digits::folder());
    let picture = out.path().join("digits.png");
    let small: [&dyn AsRef<OsStr>; 4] = [&"--epochs=2", &"--batch-size=60", &"--width=8", &"--steps=4"];
    judge("diffusion", "--max-steps=7", &[&small[..], &[&"--data", &data.path(), &"--out", &picture]].concat());
}

#[test]
fn an_operation_of_ones_own() {
    judge("custom_kernel", "--max-steps=17", &[&"--steps=40"]);
}

#[test]
fn two_batches_of_everything_tell_whether_an_example_runs() {
    let out = crate::digits::folder();
    for example in ["char_gpt", "cifar10", "custom_kernel", "lstm", "mnist", "tabular"] {
        run(example, &[], &[&"--device=cpu", &"--fast-dev-run"]).ends("");
    }
    run("gan", &[], &[&"--device=cpu", &"--fast-dev-run", &"--out", &out.path()]).ends("");
    let (small, picture) = (&"--width=8", out.path().join("digits.png"));
    run("diffusion", &[], &[&"--device=cpu", &"--fast-dev-run", small, &"--steps=4", &"--out", &picture]).ends("");
}
