//! Running the example and reading what it says.

use super::photographs;
use crate::devices::devices;
use crate::program::{Said, run};
use std::ffi::OsStr;
use std::fs;
use tempfile::TempDir;

fn cifar10(args: &[&dyn AsRef<OsStr>]) -> Said {
    run("cifar10", &[], args)
}

/// CIFAR-10's files with 48 training images and 24 test images.
fn small() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let set = photographs();
    let records = |rows: std::ops::Range<usize>| -> Vec<u8> {
        rows.flat_map(|row| [&set.labels()[row..=row], set.image(row)].concat()).collect()
    };
    fs::write(folder.path().join("data_batch_1.bin"), records(0..48)).expect("it can be written");
    fs::write(folder.path().join("test_batch.bin"), records(48..72)).expect("it can be written");
    folder
}

/// The accuracy that a run ends with.
#[track_caller]
fn accuracy(said: &Said) -> f64 {
    let number = said.ends("test accuracy ").strip_suffix('%').and_then(|number| number.parse().ok());
    number.unwrap_or_else(|| panic!("no accuracy at the end: {said:#?}"))
}

#[test]
fn networks_are_trained_saved_and_loaded() {
    let (data, place) = (small(), tempfile::tempdir().expect("a folder can be made"));
    for (name, _) in devices() {
        for model in ["resnet", "net"] {
            let weights = place.path().join(format!("{name}-{model}.safetensors"));
            let with = |epochs: &str, option: &str| {
                let [device, model, epochs] = [("device", name), ("model", model), ("epochs", epochs)]
                    .map(|(option, value)| format!("--{option}={value}"));
                cifar10(&[&device, &model, &epochs, &"--batch-size=16", &"--data", &data.path(), &option, &weights])
            };
            let trained = with("2", "--save");
            let reached = accuracy(&trained);
            for part in ["48 training images, 24 test images", "epoch       loss", "true \\ predicted", "airplane "] {
                assert!(trained.out.contains(part), "{} lacks {part:?}", trained.out);
            }
            assert_eq!(accuracy(&with("0", "--load")), reached, "{model} on {name}");
        }
    }
}

#[test]
fn mistakes_are_told_in_a_sentence() {
    let data = small();
    let with = |batch: &str, option: &str| {
        let batch = format!("--batch-size={batch}");
        cifar10(&[&"--device=cpu", &"--model=net", &"--epochs=1", &batch, &option, &"--data", &data.path()])
    };
    with("64", "--seed=1").refuses(&["48 items has no full batch of 64", "smaller batch size"]);
    with("0", "--seed=1").refuses(&["batch size is 0"]);
    with("16", "--lr=-1").refuses(&["learning rate", "-1 is not"]);
    with("16", "--lr=1e30").refuses(&["the loss became", "in epoch 1", "use a smaller learning rate"]);
    with("16", "--load=none.safetensors").refuses(&["none.safetensors: cannot be read"]);
    with("16", "--save=none/w.safetensors").refuses(&["none/w.safetensors: cannot be written"]);
    cifar10(&[&"--device=abacus"]).refuses_usage(&["--device", "abacus"]);
    cifar10(&[&"--device=cpu", &"--data=nowhere"]).refuses(&["nowhere: there is no such folder", "CIFAR-10"]);
    fs::write(data.path().join("test_batch.bin"), [0; 3000]).expect("it can be written");
    with("16", "--seed=1").refuses(&["test_batch.bin", "truncated"]);
}
