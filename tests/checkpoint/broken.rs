//! Files that are missing, damaged, or of another model: one sentence each, and the model is as it was.

use super::round_trip::{file_of, model, values};
use safetensors::tensor::Dtype;
use std::fs;
use std::path::Path;
use wgrad::nn::{Module, StateTensor, Strictness, Values};
use wgrad::{Device, Error, checkpoint};

/// Loads a file that must be refused with all of `parts` in one sentence after its path.
#[track_caller]
fn refused(module: &dyn Module, path: &Path, parts: &[&str]) {
    let before = values(module);
    let (Err(Error::File(text)) | Err(Error::Weights(text))) = checkpoint::load(module, path, Strictness::Strict)
    else {
        panic!("{} was loaded, or failed otherwise", path.display())
    };
    assert!(text.starts_with(&format!("{}: ", path.display())) && !text.contains('\n'), "{text}");
    assert!(parts.iter().all(|part| text.contains(part)), "{text} lacks one of {parts:?}");
    assert_eq!(values(module), before, "{text}: the model was changed");
}

#[test]
fn files_that_are_none_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let module = model(1, &Device::cpu());
    let path = folder.path().join("w.safetensors");
    refused(&module, &path, &["cannot be read"]);
    refused(&module, folder.path(), &["cannot be read"]);
    checkpoint::save(&module, &path).expect("it can be saved");
    let whole = fs::read(&path).expect("it is there");
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().expect("8 bytes")) as usize;
    let no_file = ["is no whole safetensors file"];
    for length in [0, 1, 7, 8, 9, header - 1, header, header + 1, whole.len() - 1] {
        fs::write(&path, &whole[..length]).expect("it can be written");
        refused(&module, &path, &no_file);
    }
    fs::write(&path, [&whole[..], &[0]].concat()).expect("it can be written");
    refused(&module, &path, &no_file);
    let lying = |length: u64, json: &str| [&length.to_le_bytes()[..], json.as_bytes()].concat();
    let json = |entry: &str| lying(entry.len() as u64, entry);
    for bytes in [
        b"\x80\x02}q\x00(X\x05\x00\x00\x00fc1.w a pickle".to_vec(),
        lying(u64::MAX, "{}"),
        lying(3, "{}"),
        json("not json"),
        json(r#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#),
        json(r#"{"w":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}"#),
        json(r#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[9,5]}}"#),
    ] {
        fs::write(&path, bytes).expect("it can be written");
        refused(&module, &path, &no_file);
    }
}

#[test]
fn types_without_a_place_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("w.safetensors");
    file_of(&path, "w", Dtype::F8_E4M3, &[2], &[0, 1]);
    refused(&model(1, &Device::cpu()), &path, &["`w` holds F8_E4M3"]);
}

#[test]
fn what_does_not_fit_is_listed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("w.safetensors");
    let module = model(1, &Device::cpu());
    let mut other = values(&module);
    let halves =
        |shape: &[usize]| StateTensor { shape: shape.to_vec(), values: Values::F32(vec![0.5; shape.iter().product()]) };
    other.insert("0.bias".into(), halves(&[2]));
    other.insert("1.running_mean".into(), halves(&[3]));
    other.remove("3.bias");
    other.insert("4.weight".into(), halves(&[1]));
    checkpoint::write(&other, &path).expect("it can be written");
    let lists = ["missing: 3.bias", "extra: 4.weight", "of another shape: 1.running_mean is [3], not [2]"];
    refused(&module, &path, &lists);

    let before = values(&module);
    let report = checkpoint::load(&module, &path, Strictness::Partial).expect("what fits is loaded");
    assert_eq!((report.missing, report.extra), (vec!["3.bias".to_string()], vec!["4.weight".to_string()]));
    assert_eq!(report.misshapen, [("1.running_mean".to_string(), vec![2], vec![3])]);
    let mut want = before;
    want.insert("0.bias".into(), halves(&[2]));
    assert_eq!(values(&module), want);
}
