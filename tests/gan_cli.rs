//! The GAN example as its user meets it: small runs on every device, and one sentence for each mistake.

use crate::digits::{folder, small_mnist};
use crate::model;
use crate::program::{Said, run};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;
use wgrad::deploy::Description;
use wgrad::nn::{Ctx, Init, Layer};
use wgrad::{DType, Device, Tensor, checkpoint};

/// Runs small networks.
fn gan(args: &[&dyn AsRef<OsStr>]) -> Said {
    let small: [&dyn AsRef<OsStr>; 1] = [&"--width=8"];
    run("gan", &[], &[&small, args].concat())
}

/// The brightnesses of a picture of ten by ten digits.
pub fn picture(path: &Path) -> Vec<u8> {
    let file = BufReader::new(File::open(path).expect("it was written"));
    let mut reader = png::Decoder::new(file).read_info().expect("a PNG file");
    let mut pixels = vec![0; 298 * 298];
    let frame = reader.next_frame(&mut pixels).expect("a whole one");
    assert_eq!((frame.width, frame.height, frame.color_type), (298, 298, png::ColorType::Grayscale));
    pixels
}

/// A network that reads digits with its description, as the example mnist saves it.
pub fn save_judge(path: &Path) {
    let device = Device::cpu();
    let model = model::Mlp::new(&mut Init::new(0, &device));
    let picture = Tensor::full([1, 1, 28, 28], 0u8, &device);
    let pass =
        |[x]: [&Tensor; 1], ctx: &Ctx| model.forward(&x.cast(DType::F32).affine(1.0 / 255.0, 0.0), ctx).softmax(1);
    Description::of_pass(&model, [&picture], pass).and_then(|all| all.save(path)).expect("it can be saved");
}

#[test]
fn digits_are_drawn_saved_loaded_and_judged() {
    let (data, place) = (small_mnist(), folder());
    let [judge, weights] = ["judge.safetensors", "w.safetensors"].map(|name| place.path().join(name));
    save_judge(&judge);
    for (name, _) in crate::devices::devices() {
        let [first, second] = ["first", "second"].map(|part| place.path().join(format!("{name}/{part}")));
        let trained = gan(&[
            &"--device",
            &name,
            &"--epochs=2",
            &"--batch-size=50",
            &"--data",
            &data.path(),
            &"--out",
            &first,
            &"--save",
            &weights,
            &"--judge",
            &judge,
        ]);
        let verdict = trained.ends("100 real digits: mean confidence 0.").to_string();
        for part in [
            "600 training images",
            "epoch       loss       real      drawn  generator",
            "\n500 drawn digits: mean confidence 0.",
        ] {
            assert!(trained.out.contains(part), "{} lacks {part:?}", trained.out);
        }
        let [before, after] = ["epoch_01.png", "epoch_02.png"].map(|file| picture(&first.join(file)));
        assert!(before != after, "{name}: the second epoch changes nothing");
        assert!(picture(&first.join("digits.png")) == after, "{name}: the last picture is another");

        let load = |seed: &str| {
            let (load, judge) = ([&"--load" as &dyn AsRef<OsStr>, &weights], [&"--judge" as &dyn AsRef<OsStr>, &judge]);
            let rest: [&dyn AsRef<OsStr>; 5] = [&"--device", &name, &"--epochs=0", &seed, &"--out"];
            let data: [&dyn AsRef<OsStr>; 3] = [&second, &"--data", &data.path()];
            let said = gan(&[&rest[..], &data, &load, &judge].concat());
            (said.ends("100 real digits: mean confidence 0.").to_string(), picture(&second.join("digits.png")))
        };
        assert!(load("--seed=0") == (verdict, after.clone()), "{name}: loaded weights draw other digits");
        assert!(load("--seed=1").1 != after, "{name}: other noise draws the same digits");
    }
}

#[test]
fn mistakes_get_one_sentence() {
    let (data, place) = (small_mnist(), folder());
    let out = place.path().join("out");
    let with = |option: &str, value: &dyn AsRef<OsStr>| {
        gan(&[&"--device=cpu", &"--epochs=1", &"--data", &data.path(), &"--out", &out, &option, value])
    };
    gan(&[&"--device=tpu"]).refuses_usage(&["tpu", "--device"]);
    run("gan", &[], &[&"--width=3"]).refuses_usage(&["--width", "expected an even number from 2 on"]);
    gan(&[&"--device=cpu", &"--data=nowhere", &"--out", &out])
        .refuses(&["nowhere: there is no such folder", "four files"]);
    with("--batch-size", &"0").refuses(&["batch size is 0"]);
    with("--batch-size", &"601").refuses(&["600 items has no full batch of 601"]);
    with("--lr", &"-1").refuses(&["learning rate", "-1 is not"]);
    with("--lr", &"1e30").refuses(&["the loss became", "in epoch 1", "smaller learning rate"]);
    with("--save", &"none/w.safetensors").refuses(&["none/w.safetensors: cannot be written"]);
    with("--losses", &"none/losses").refuses(&["none/losses: cannot be written"]);
    with("--judge", &"none.safetensors").refuses(&["none.safetensors: cannot be read"]);
    let weights = place.path().join("mlp.safetensors");
    checkpoint::save(&model::Mlp::new(&mut Init::new(0, &Device::cpu())), &weights).expect("it can be saved");
    with("--judge", &weights).refuses(&["mlp.safetensors: holds weights and no description of a model"]);
    with("--load", &weights).refuses(&["mlp.safetensors: the weights do not fit", "missing: project.weight"]);
    fs::write(place.path().join("file"), "").expect("it can be written");
    gan(&[&"--device=cpu", &"--out", &place.path().join("file")]).refuses(&["file: cannot be made"]);
}
