//! Running the example and reading what it says.

use crate::photographs;
use crate::places::devices;
use std::ffi::OsStr;
use std::fs;
use std::process::Command;
use tempfile::TempDir;

/// What a run came to.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

/// Runs the example, which lies beside the folder of this test's own.
fn cifar10(args: &[&dyn AsRef<OsStr>]) -> Said {
    let own = std::env::current_exe().expect("the test knows where it is");
    let name = format!("cifar10{}", std::env::consts::EXE_SUFFIX);
    let path = own.ancestors().nth(2).expect("it is in target/PROFILE/deps").join("examples").join(name);
    assert!(path.is_file(), "{}: there is none; `cargo build --example cifar10` makes it", path.display());
    let output = Command::new(path).env_remove("RUST_LOG").args(args).output().expect("the example starts");
    let text = |bytes| String::from_utf8(bytes).expect("the example says UTF-8");
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
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

impl Said {
    /// The run went through; the accuracy that its last line tells.
    #[track_caller]
    fn accuracy(&self) -> f64 {
        assert!(self.code == Some(0) && !self.err.contains("error"), "{self:#?}");
        let last = self.out.lines().last().expect("it says something");
        let number = last.strip_prefix("test accuracy ").and_then(|rest| rest.strip_suffix('%'));
        number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{last:?} tells no accuracy"))
    }

    /// The run ended with one sentence that holds all of `parts`.
    #[track_caller]
    fn refuses(&self, parts: &[&str]) {
        let lines: Vec<&str> = self.err.lines().filter(|line| !line.starts_with("device: ")).collect();
        assert!(self.code == Some(1) && lines.len() == 1 && lines[0].starts_with("error: "), "{parts:?}: {self:#?}");
        assert!(parts.iter().all(|part| lines[0].contains(part)), "{} lacks one of {parts:?}", lines[0]);
    }
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
            let reached = trained.accuracy();
            for part in ["48 training images, 24 test images", "epoch    loss", "true \\ predicted", "airplane "] {
                assert!(trained.out.contains(part), "{} lacks {part:?}", trained.out);
            }
            assert_eq!(with("0", "--load").accuracy(), reached, "{model} on {name}");
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
    with("64", "--seed=1").refuses(&["48 images has no full batch of 64", "smaller batch size"]);
    with("0", "--seed=1").refuses(&["batch size is 0"]);
    with("16", "--lr=-1").refuses(&["learning rate", "-1 is not"]);
    with("16", "--lr=1e30").refuses(&["the loss became", "in epoch 1", "smaller --lr"]);
    with("16", "--load=none.safetensors").refuses(&["none.safetensors: cannot be read"]);
    with("16", "--save=none/w.safetensors").refuses(&["none/w.safetensors: cannot be written"]);
    cifar10(&[&"--device=cpu", &"--data=nowhere"]).refuses(&["nowhere: there is no such folder", "CIFAR-10"]);
    fs::write(data.path().join("test_batch.bin"), [0; 3000]).expect("it can be written");
    with("16", "--seed=1").refuses(&["test_batch.bin", "truncated"]);
}
