//! Files that are missing, damaged, or of another model: one sentence each, and the model is as it was.

use super::round_trip::{file_of, model, values};
use safetensors::tensor::{Dtype, TensorView};
use std::fs;
use std::path::Path;
use wgrad::nn::{Embedding, Init, Linear, Module, StateDict, StateTensor, Strictness, Values};
use wgrad::{Device, Error, checkpoint};

/// Loads a file that must be refused with all of `parts` in one sentence after its path.
#[track_caller]
fn refused(module: &dyn Module, path: &Path, parts: &[&str]) {
    let before = values(module);
    let Err(error @ (Error::File { .. } | Error::Weights(_))) = checkpoint::load(module, path, Strictness::Strict)
    else {
        panic!("{} was loaded, or failed otherwise", path.display())
    };
    let text = error.to_string();
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
fn files_of_other_kinds_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("w.pt");
    let module = model(1, &Device::cpu());
    for (bytes, parts) in [
        (&b"PK\x03\x04\0\0 archive/data.pkl"[..], ["a ZIP archive", "torch.save", "save_file(torch.load("]),
        (b"\x80\x02}q\0.", ["a pickle", "torch.save", "save_file(torch.load("]),
        (b"\x89HDF\r\n\x1a\n", ["is no whole safetensors file", "an HDF5 file", "safetensors"]),
        (b"GGUF\x03\0\0\0", ["is no whole safetensors file", "a GGUF file", "safetensors"]),
    ] {
        fs::write(&path, bytes).expect("it can be written");
        refused(&module, &path, &parts);
    }
}

/// One tensor of a type that has no place here costs that tensor, and not the file.
#[test]
fn types_without_a_place_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("w.safetensors");
    file_of(&path, "w", Dtype::F8_E4M3, &[2], &[0, 1]);
    let module = model(1, &Device::cpu());
    refused(&module, &path, &["`w` holds F8_E4M3"]);
    let halves = [0.5f32; 2].map(f32::to_le_bytes).concat();
    let two = [
        ("0.bias", TensorView::new(Dtype::F32, vec![2], &halves).expect("the bytes fill the shape")),
        ("0.weight", TensorView::new(Dtype::F8_E5M2, vec![18], &[0; 18]).expect("the bytes fill the shape")),
    ];
    fs::write(&path, safetensors::serialize(two, None).expect("a file")).expect("it can be written");
    refused(&module, &path, &["missing: 1.weight", "`0.weight` holds F8_E5M2"]);
    let before = values(&module);
    let report = checkpoint::load(&module, &path, Strictness::Partial).expect("what fits is loaded");
    assert_eq!(report.unread, [("0.weight".to_string(), "F8_E5M2".to_string())]);
    assert!(!report.missing.contains(&"0.weight".to_string()) && report.extra.is_empty(), "{report}");
    let after = values(&module);
    assert_eq!(after["0.bias"].values, Values::F32(vec![0.5; 2]));
    assert_eq!(after["0.weight"], before["0.weight"]);
    assert_eq!(checkpoint::read(&path).expect("it can be read").into_keys().collect::<Vec<_>>(), ["0.bias"]);
}

/// An embedding whose weight is the output's, too.
#[derive(Module)]
struct Tied {
    embedding: Embedding,
    head: Linear,
}

#[test]
fn a_tied_weight_needs_one_name_and_one_value() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("w.safetensors");
    let init = &mut Init::new(0, &Device::cpu());
    let embedding = Embedding::new(3, 2, init);
    let module = Tied { head: Linear { weight: embedding.weight.clone(), bias: None }, embedding };
    let full = |value: f32| StateTensor { shape: vec![3, 2], values: Values::F32(vec![value; 6]) };
    for names in [&["embedding.weight"][..], &["head.weight"], &["embedding.weight", "head.weight"]] {
        for value in [names.len() as f32, f32::NAN] {
            let file: StateDict = names.iter().map(|name| (name.to_string(), full(value))).collect();
            checkpoint::write(&file, &path).expect("it can be written");
            let report = checkpoint::load(&module, &path, Strictness::Strict).expect("one name is enough");
            assert!(report.is_clean(), "{report}");
            let Values::F32(loaded) = &values(&module)["head.weight"].values else { panic!("floats") };
            assert!(loaded.iter().all(|loaded| loaded.to_bits() == value.to_bits()), "{loaded:?}");
        }
    }
    checkpoint::write(&StateDict::from([("head.weight".into(), full(1.0))]), &path).expect("it can be written");
    checkpoint::load(&module, &path, Strictness::Strict).expect("it fits");
    let unequal = StateDict::from([("embedding.weight".into(), full(2.0)), ("head.weight".into(), full(3.0))]);
    checkpoint::write(&unequal, &path).expect("it can be written");
    refused(&module, &path, &["`embedding.weight` and `head.weight` are one weight of the model", "two values"]);
    assert!(checkpoint::load(&module, &path, Strictness::Partial).is_err());
    checkpoint::write(&StateDict::new(), &path).expect("it can be written");
    refused(&module, &path, &["missing: embedding.weight, head.weight"]);
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
    refused(&module, &path, &["missing and extra in the file; of two shapes, its own stands first"]);

    let part = checkpoint::join([("model", values(&module)), ("other", other.clone())]);
    checkpoint::write(&part, folder.path().join("best")).expect("it can be written");
    let told = "all that is missing is there behind `model.`, which checkpoint::load_renamed takes off";
    refused(&module, &folder.path().join("best"), &["missing: 0.weight", told]);

    let before = values(&module);
    let report = checkpoint::load(&module, &path, Strictness::Partial).expect("what fits is loaded");
    assert_eq!((report.missing, report.extra), (vec!["3.bias".to_string()], vec!["4.weight".to_string()]));
    assert_eq!(report.misshapen, [("1.running_mean".to_string(), vec![2], vec![3])]);
    let mut want = before;
    want.insert("0.bias".into(), halves(&[2]));
    assert_eq!(values(&module), want);
}

#[test]
fn names_behind_one_prefix_are_told_a_way_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("w.safetensors");
    let module = model(1, &Device::cpu());
    let own = values(&module);
    let behind =
        |prefix: &str| own.iter().map(|(name, x)| (format!("{prefix}{name}"), x.clone())).collect::<StateDict>();
    let mut nested = behind("state_dict.");
    nested.insert("epoch".into(), StateTensor { shape: vec![], values: Values::I64(vec![3]) });
    checkpoint::write(&nested, &path).expect("it can be written");
    refused(&module, &path, &["all that is missing is there behind `state_dict.`", "load_renamed"]);
    let rename = |name: &str| name.strip_prefix("state_dict.").map(str::to_string);
    assert!(checkpoint::load_renamed(&module, &path, Strictness::Strict, rename).is_ok());
    // Not where something is missing all the same.
    nested.remove("state_dict.3.bias");
    checkpoint::write(&nested, &path).expect("it can be written");
    let error = checkpoint::load(&module, &path, Strictness::Strict).expect_err("it does not fit").to_string();
    assert!(!error.contains("load_renamed"), "{error}");
}
