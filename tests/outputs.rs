//! What all examples do where nobody reads their output, or it cannot be written, or a rate is none.

use crate::program::{Said, run, run_into};
use std::ffi::OsStr;
use std::fs::File;
use std::process::Stdio;

/// Each example, with what it needs to start at once.
fn each(mut check: impl FnMut(&str, &[&dyn AsRef<OsStr>])) {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["char_gpt", "cifar10", "custom_kernel", "lstm", "mnist", "tabular"] {
        check(name, &[&"--device=cpu"]);
    }
    check("gan", &[&"--device=cpu", &"--out", &folder.path()]);
    check("diffusion", &[&"--device=cpu", &"--width=8", &"--steps=4", &"--out", &folder.path().join("digits.png")]);
}

/// Nothing panicked.
#[track_caller]
fn is_calm(name: &str, said: &Said) {
    assert!(!said.err.contains("panicked"), "{name}: {said:#?}");
}

#[test]
fn an_output_that_nobody_reads_ends_an_example_without_a_word() {
    each(|name, args| {
        let said = run_into(name, args, Stdio::piped(), Stdio::piped());
        is_calm(name, &said);
        assert!(said.code == Some(0) && !said.err.contains("error: standard"), "{name}: {said:#?}");
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_output_is_one_sentence() {
    let full = || Stdio::from(File::create("/dev/full").expect("it is there"));
    each(|name, args| {
        let said = run_into(name, args, full(), Stdio::piped());
        is_calm(name, &said);
        said.refuses(&["standard output: cannot be written", "No space left"]);
    });
    // A complaint that cannot be written is none, and the code still tells.
    let said = run_into("mnist", &[&"--device=cpu", &"--load=none"], Stdio::piped(), full());
    assert_eq!(said.code, Some(1), "{said:#?}");
}

#[test]
fn an_infinite_rate_is_called_so() {
    each(|name, args| {
        let said = run(name, &[], &[args, &[&"--lr=inf"]].concat());
        is_calm(name, &said);
        let sentence = said.err.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
        assert!(said.code == Some(1) && sentence.contains("inf") && !sentence.contains("NaN"), "{name}: {said:#?}");
    });
}

/// The folder is refused before anything is trained, and a run that is over saves its weights first.
#[test]
fn gpu_tuning_that_cannot_be_kept_is_told_at_once() {
    if !crate::devices::has_gpu() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let blocked = folder.path().join("file");
    std::fs::write(&blocked, "").expect("it can be written");
    let save = folder.path().join("w.safetensors");
    for tune in [blocked.join("sub"), blocked.clone()] {
        let said = run("mnist", &[], &[&"--device=gpu", &"--tune", &tune, &"--save", &save]);
        said.refuses(&["file"]);
        assert!(said.out.is_empty(), "it had begun: {said:#?}");
    }
}
