//! What `torch.save` wrote is read without Python: the files of tests/checkpoint/torch, which tests/checkpoint/more.py made.

use super::round_trip::{model, values};
use std::path::{Path, PathBuf};
use wgrad::nn::{Strictness, Values};
use wgrad::{Device, Error, bf16, checkpoint, f16};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/checkpoint/torch").join(name)
}

fn numbers(count: usize) -> Vec<f32> {
    (0..count).map(|at| at as f32 * 0.25 - 1.0).collect()
}

#[test]
fn a_state_dict_loads() {
    let model = model(1, &Device::cpu());
    let report = checkpoint::load(&model, file("state.pt"), Strictness::Strict).expect("it fits");
    assert!(report.is_clean(), "{report}");
    let all = values(&model);
    assert_eq!(
        (&all["0.weight"].values, &all["3.weight"].values),
        (&Values::F32(numbers(18)), &Values::F32(numbers(24)))
    );
    assert_eq!(all["1.running_var"].values, Values::F32(vec![1.0; 2]));
}

#[test]
fn a_checkpoint_loads_under_other_names() {
    let model = model(1, &Device::cpu());
    let rename = |name: &str| name.strip_prefix("model.").map(String::from);
    let report = checkpoint::load_renamed(&model, file("run.pt"), Strictness::Strict, rename).expect("it fits");
    assert!(report.is_clean(), "{report}");
    assert_eq!(values(&model)["0.weight"].values, Values::F32(numbers(18)));
    let all = checkpoint::read(file("run.pt")).expect("it can be read");
    assert_eq!(all["optimizer.state.0.exp_avg"].shape, [2, 1, 3, 3]);
    let error = checkpoint::load_renamed(&model, file("run.pt"), Strictness::Partial, |_| Some("0.bias".into()));
    let text = error.expect_err("one name for all").to_string();
    assert!(text.contains("both became `0.bias`"), "{text}");
}

#[test]
fn each_type_and_each_view_is_read() {
    for archive in ["kinds.pt", "legacy.pt"] {
        holds_each_type(archive);
    }
}

fn holds_each_type(archive: &str) {
    let all = checkpoint::read(file(archive)).expect("it can be read");
    let wide = numbers(12);
    let transposed: Vec<f32> = (0..12).map(|at| wide[at % 3 * 4 + at / 3]).collect();
    let two = [-1.0f32, -0.75];
    for (name, shape, want) in [
        ("transposed", &[4, 3][..], Values::F32(transposed)),
        ("part", &[2, 2], Values::F32(vec![wide[5], wide[6], wide[9], wide[10]])),
        ("expanded", &[2, 2], Values::F32(vec![-1.0; 4])),
        ("f64", &[2], Values::F32(two.to_vec())),
        ("f16", &[2], Values::F16(two.map(f16::from_f32).to_vec())),
        ("bf16", &[2], Values::BF16(two.map(bf16::from_f32).to_vec())),
        ("i64", &[2], Values::I64(vec![-(1 << 40), 7])),
        ("i32", &[2], Values::I64(vec![-3, 4])),
        ("i16", &[2], Values::I64(vec![-3, 4])),
        ("i8", &[2], Values::I64(vec![-3, 4])),
        ("u8", &[2], Values::U8(vec![0, 255])),
        ("bool", &[2], Values::Bool(vec![true, false])),
        ("scalar", &[], Values::F32(vec![2.5])),
        ("empty", &[0, 3], Values::F32(vec![])),
        ("parameter", &[2], Values::F32(two.to_vec())),
        ("list.0", &[1], Values::F32(vec![-1.0])),
        ("list.1", &[2], Values::F32(two.to_vec())),
    ] {
        let found = all.get(name).unwrap_or_else(|| panic!("{name} is there"));
        assert_eq!((&found.shape[..], &found.values), (shape, &want), "{name} of {archive}");
    }
    // Complex numbers have no place here, and cost nothing else.
    assert!(!all.contains_key("complex"));
    let model = model(1, &Device::cpu());
    let report = checkpoint::load(&model, file(archive), Strictness::Partial).expect("nothing fits");
    assert_eq!(report.unread, [("complex".to_string(), "ComplexFloatStorage".to_string())]);
}

#[test]
fn what_is_no_state_dict_is_refused_by_a_sentence() {
    let text = checkpoint::read(file("module.pt")).expect_err("a whole model").to_string();
    assert!(text.contains("Sequential") && text.contains("save its state_dict()"), "{text}");
}

#[test]
fn a_damaged_archive_is_refused() {
    for archive in ["run.pt", "legacy.pt"] {
        is_refused_when_damaged(archive);
    }
}

fn is_refused_when_damaged(archive: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("cut.pt");
    let whole = std::fs::read(file(archive)).expect("it is there");
    // Cut off anywhere, and with each byte of its pickle and of its directory changed in turn: never a panic.
    for length in (4..whole.len()).step_by(97) {
        std::fs::write(&path, &whole[..length]).expect("it can be written");
        let error = checkpoint::read(&path).expect_err("a part of a file");
        assert!(matches!(error, Error::File { .. }), "{error}");
    }
    for at in (0..whole.len()).step_by(7) {
        let mut changed = whole.clone();
        changed[at] ^= 0x55;
        std::fs::write(&path, changed).expect("it can be written");
        drop(checkpoint::read(&path));
    }
}
