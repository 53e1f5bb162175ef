//! The example as its user meets it.

use crate::devices::devices;
use crate::program::{Said, run};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use wgrad::nn::{Init, Linear};
use wgrad::{Device, checkpoint};

/// Runs a small model.
fn char_gpt(args: &[&dyn AsRef<OsStr>]) -> Said {
    let small: [&dyn AsRef<OsStr>; 4] = [&"--layers=2", &"--width=32", &"--heads=2", &"--batch-size=8"];
    run("char_gpt", &[], &[&small, args].concat())
}

impl Said {
    /// The training and the held-out losses of the table.
    fn table(&self) -> Vec<[f32; 2]> {
        assert!(self.code == Some(0) && !self.err.contains("error"), "{self:#?}");
        let rows = self.out.lines().skip_while(|line| !line.starts_with("epoch       loss   val_loss"));
        let row = |line: &str| {
            let cells: Vec<f32> = line.split_whitespace().map(|cell| cell.parse().expect("a number")).collect();
            [cells[1], cells[2]]
        };
        rows.skip(1).take_while(|line| !line.is_empty()).map(row).collect()
    }

    /// The last loss, and what was written.
    #[track_caller]
    fn end(&self) -> (f32, &str) {
        assert!(self.code == Some(0), "{self:#?}");
        let (_, rest) = self.out.split_once("\nheld-out loss ").expect("it tells the loss");
        let (loss, text) = rest.split_once(" nats a character\n\n").expect("and writes");
        (loss.parse().expect("a number"), text.strip_suffix('\n').expect("a whole line"))
    }
}

/// A text that is soon learned.
fn rhyme(folder: &Path) -> PathBuf {
    let path = folder.join("rhyme.txt");
    fs::write(&path, "To bed, to bed, says Sleepy-head; é!\n".repeat(60)).expect("it can be written");
    path
}

#[test]
fn it_learns_writes_saves_and_goes_on() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let (text, weights) = (rhyme(folder.path()), folder.path().join("w.safetensors"));
    let train = || {
        char_gpt(&[
            &"--device=cpu",
            &"--context=16",
            &"--steps=120",
            &"--lr=0.01",
            &"--dropout=0.1",
            &"--data",
            &text,
            &"--save",
            &weights,
            &"--prompt=To bed, ",
            &"--temperature=0",
            &"--length=70",
        ])
    };
    let said = train();
    let table = said.table();
    assert!(table.len() == 8 && table[0][0] > 1.5 && table[7][1] < 0.3, "{said:#?}");
    let (loss, written) = said.end();
    assert_eq!(loss, table[7][1]);
    assert_eq!(written.chars().count(), 78, "the prompt, and as much as was asked for");
    assert!(written.contains("says Sleepy-head; é!\nTo bed, "), "{written:?}");
    let again = train();
    assert_eq!((again.table(), again.end()), (table, said.end()), "one seed, one run");

    let ask = |more: &[&dyn AsRef<OsStr>]| {
        let mut args: Vec<&dyn AsRef<OsStr>> =
            vec![&"--device=cpu", &"--steps=0", &"--data", &text, &"--load", &weights];
        args.extend(more);
        char_gpt(&args)
    };
    let loaded = ask(&[&"--context=16", &"--prompt=To bed, ", &"--temperature=0", &"--length=70"]);
    assert_eq!(loaded.end(), (loss, written));
    ask(&[&"--context=17"]).refuses(&["the weights do not fit the model", "wpe.weight is [16, 32], not [17, 32]"]);
    ask(&[&"--context=16", &"--prompt=To bed, 7"]).refuses(&["the prompt has '7', which the model does not know"]);
    let other = folder.path().join("other.txt");
    fs::write(&other, "To bed. ".repeat(60)).expect("it can be written");
    ask(&[&"--context=16", &"--data", &other]).refuses(&["the text has '.', which the model does not know"]);
}

#[test]
fn it_learns_alike_everywhere() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let text = rhyme(folder.path());
    let runs: Vec<(&str, Vec<[f32; 2]>)> = devices()
        .iter()
        .map(|(name, _)| {
            let run = char_gpt(&[&"--device", name, &"--context=16", &"--steps=32", &"--data", &text, &"--length=20"]);
            assert_eq!(run.end().1.chars().count(), 21, "{run:#?}");
            (*name, run.table())
        })
        .collect();
    let (first, want) = &runs[0];
    for (name, got) in &runs {
        let near = |a: &f32, b: &f32| (a - b).abs() <= 1e-3 * b;
        assert!(got.len() == 8 && got[7][1] < got[0][1], "{name} {got:?}");
        assert!(
            got.iter().flatten().zip(want.iter().flatten()).all(|(a, b)| near(a, b)),
            "{name} {got:?}, {first} {want:?}"
        );
    }
}

#[test]
fn mistakes_are_told_in_a_sentence() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = folder.path().join("text.txt");
    let with =
        |option: &str, value: &str| char_gpt(&[&"--device=cpu", &"--steps=2", &"--data", &path, &option, &value]);
    with("--context", "8").refuses(&["text.txt: cannot be read"]);
    let write = |bytes: &[u8]| fs::write(&path, bytes).expect("it can be written");
    write(b"");
    with("--context", "8").refuses(&["text.txt: is empty"]);
    write(b"To bed\xFF to bed");
    with("--context", "8").refuses(&["text.txt: is no text in UTF-8: byte 6 is wrong"]);
    write("to bed, ".repeat(20).as_bytes());
    with("--context", "16").refuses(&[
        "last tenth",
        "16 characters, and a context of 16 takes 17",
        "smaller --context",
    ]);
    with("--prompt", "").refuses(&["the prompt is empty"]);
    with("--heads", "3").refuses(&["a width of 32 cannot be shared by 3 heads"]);
    with("--dropout", "1").refuses(&["--dropout 1 is not in 0..1"]);
    with("--temperature", "NaN").refuses(&["--temperature NaN is not a number from 0 up"]);
    let weights = folder.path().join("w.safetensors");
    let other = Linear::new(2, 2, &mut Init::new(0, &Device::cpu()));
    checkpoint::save(&other, &weights).expect("it can be saved");
    with("--load", weights.to_str().expect("UTF-8")).refuses(&["w.safetensors: holds no alphabet", "--save"]);
    with("--load", "none.safetensors").refuses(&["none.safetensors: cannot be read"]);
    with("--save", "none/w.safetensors").refuses(&["none/w.safetensors: cannot be written"]);
    let small = |option: &str, value: &str| {
        char_gpt(&[&"--device=cpu", &"--steps=30", &"--context=8", &"--data", &path, &option, &value])
    };
    small("--prompt", "to bed!").refuses(&["the prompt has '!', which the model does not know"]);
    small("--lr", "1e30").refuses(&["the loss became", "use a smaller learning rate"]);
    small("--lr", "-1").refuses(&["learning rate: -1 is not"]);
    small("--top-k", "0").refuses_usage(&["a whole number from 1 to "]);
}
