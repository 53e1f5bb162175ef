//! The diffusion example as its user meets it: small runs on every device, and one sentence for each mistake.

use crate::digits::{folder, small_mnist};
use crate::gan_cli::{picture, save_judge};
use crate::model;
use crate::program::{Said, run};
use std::ffi::OsStr;
use wgrad::nn::Init;
use wgrad::{Device, checkpoint};

/// Runs a small network of few steps.
fn diffusion(args: &[&dyn AsRef<OsStr>]) -> Said {
    let small: [&dyn AsRef<OsStr>; 2] = [&"--width=8", &"--steps=4"];
    run("diffusion", &[], &[&small, args].concat())
}

#[test]
fn digits_are_drawn_saved_loaded_and_judged() {
    let (data, place) = (small_mnist(), folder());
    let [judge, weights] = ["judge.safetensors", "w.safetensors"].map(|name| place.path().join(name));
    save_judge(&judge);
    for (name, _) in crate::devices::devices() {
        let [first, second] = ["first", "second"].map(|part| place.path().join(format!("{name}/{part}.png")));
        let with = |out: &dyn AsRef<OsStr>, more: &[&dyn AsRef<OsStr>]| {
            let data: [&dyn AsRef<OsStr>; 8] =
                [&"--device", &name, &"--data", &data.path(), &"--judge", &judge, &"--out", out];
            diffusion(&[&data, more].concat())
        };
        let trained = with(&first, &[&"--epochs=2", &"--batch-size=50", &"--save", &weights]);
        let verdict = trained.ends("100 real digits: mean confidence 0.").to_string();
        for part in ["600 training images", "epoch       loss", "\n500 drawn digits: mean confidence 0."] {
            assert!(trained.out.contains(part), "{} lacks {part:?}", trained.out);
        }

        // What is saved are the weights that drew.
        let load = |seed: &str| {
            let said = with(&second, &[&"--epochs=0", &"--load", &weights, &seed]);
            (said.ends("100 real digits: mean confidence 0.").to_string(), picture(&second))
        };
        assert!(load("--seed=0") == (verdict, picture(&first)), "{name}: loaded weights draw other digits");
        assert!(load("--seed=1").1 != picture(&first), "{name}: other noise draws the same digits");
    }
}

#[test]
fn mistakes_get_one_sentence() {
    let (data, place) = (small_mnist(), folder());
    let out = place.path().join("digits.png");
    let with = |option: &str, value: &dyn AsRef<OsStr>| {
        diffusion(&[&"--device=cpu", &"--epochs=1", &"--data", &data.path(), &"--out", &out, &option, value])
    };
    run("diffusion", &[], &[&"--width=12"]).refuses_usage(&["--width", "expected a multiple of 8 from 8 on"]);
    run("diffusion", &[], &[&"--steps=0"]).refuses_usage(&["--steps"]);
    with("--batch-size", &"601").refuses(&["600 items has no full batch of 601"]);
    with("--lr", &"-1").refuses(&["learning rate", "-1 is not"]);
    with("--decay", &"2").refuses(&["decay", "2 is not in 0..=1"]);
    with("--judge", &"none.safetensors").refuses(&["none.safetensors: cannot be read"]);
    let weights = place.path().join("mlp.safetensors");
    checkpoint::save(&model::Mlp::new(&mut Init::new(0, &Device::cpu())), &weights).expect("it can be saved");
    with("--load", &weights).refuses(&["mlp.safetensors: the weights do not fit", "missing: net."]);
    std::fs::write(place.path().join("file"), "").expect("it can be written");
    diffusion(&[&"--device=cpu", &"--out", &place.path().join("file/digits.png")]).refuses(&["file: cannot be made"]);
}
