//! Good runs, on few images.

use super::command::mnist;
use crate::devices::devices;
use crate::digits::{Style, digits, folder, small_mnist, write_png};
use crate::program::Said;

/// The accuracy of the last line, `test accuracy NN.NN%`.
#[track_caller]
fn accuracy(said: &Said) -> f64 {
    let number = said.ends("test accuracy ").strip_suffix('%').expect("a percentage");
    let (whole, decimals) = number.split_once('.').expect("decimals");
    assert!(!whole.is_empty() && decimals.len() == 2, "{number}");
    number.parse().expect("a number")
}

#[test]
fn a_model_is_trained_saved_loaded_and_asked() {
    let (data, place) = (small_mnist(), folder());
    let weights = place.path().join("w.safetensors");
    let train = || {
        let arguments: [&dyn AsRef<std::ffi::OsStr>; 9] = [
            &"--device=cpu",
            &"--epochs=2",
            &"--batch-size=32",
            &"--seed=3",
            &"--lr=0.003",
            &"--data",
            &data.path(),
            &"--save",
            &weights,
        ];
        mnist(&arguments)
    };
    let trained = train();
    let reached = accuracy(&trained);
    assert!(reached > 60.0, "{trained:#?}");
    for part in
        ["conv1  Conv2d(1, 32, 3x3)", "421642 parameters", "600 training images, 100 test images", "epoch       loss"]
    {
        assert!(trained.out.contains(part), "{} lacks {part:?}", trained.out);
    }
    assert!(trained.err.contains("weights saved to"), "{}", trained.err);
    assert_eq!(accuracy(&train()), reached, "one seed, one run");

    let tested = mnist(&[&"--device=cpu", &"--epochs=0", &"--data", &data.path(), &"--load", &weights]);
    assert_eq!(accuracy(&tested), reached);
    let afresh = mnist(&[&"--device=cpu", &"--epochs=0", &"--data", &data.path()]);
    assert!(accuracy(&afresh) < 40.0, "{afresh:#?}");

    let (picture, digits) = (place.path().join("p.png"), digits());
    let predict = |row: usize, style: Style| {
        write_png(&picture, digits.image(row), style);
        mnist(&[&"--device=cpu", &"--load", &weights, &"--predict", &picture])
    };
    // Images that neither half of the data holds.
    let right = (1000..1006).filter(|&row| {
        let said = predict(row, Style::LightOnDark);
        assert_eq!(said.out.lines().count(), 11, "{said:#?}");
        said.ends("prediction ") == digits.labels()[row].to_string()
    });
    let right = right.count();
    assert!(right >= 3, "{right} of 6 pictures are read right by a model with an accuracy of {reached}%");
    let (plain, inverted) = (predict(1000, Style::LightOnDark), predict(1000, Style::LargeDarkOnLight));
    assert_eq!(plain.out, inverted.out, "the same digit in another style");
    assert!(inverted.err.contains("it is inverted") && !plain.err.contains("inverted"), "{}", inverted.err);
}

#[test]
fn every_optimizer_trains_on_every_device() {
    let data = small_mnist();
    for (name, _) in devices() {
        for optimizer in ["adam", "adamw", "sgd", "momentum"] {
            let arguments = [name, optimizer];
            let said = mnist(&[
                &"--model=mlp",
                &"--epochs=1",
                &"--batch-size=32",
                &"--data",
                &data.path(),
                &"--device",
                &arguments[0],
                &"--optimizer",
                &arguments[1],
            ]);
            assert!(accuracy(&said) > 30.0, "{optimizer} on {name}: {said:#?}");
            assert!(said.err.starts_with("device: "), "{}", said.err);
        }
    }
}

#[test]
fn a_run_is_stopped_and_goes_on() {
    let (data, place) = (small_mnist(), folder());
    let [whole, parts, run] = ["whole", "parts", "run"].map(|name| place.path().join(name));
    let train = |more: &[&dyn AsRef<std::ffi::OsStr>]| {
        let all: [&dyn AsRef<std::ffi::OsStr>; 6] =
            [&"--device=cpu", &"--model=mlp", &"--epochs=3", &"--batch-size=32", &"--data", &data.path()];
        mnist(&[&all, more].concat())
    };
    let straight = train(&[&"--save", &whole]);
    let stopped = train(&[&"--checkpoint", &run, &"--max-steps=25"]);
    assert!(stopped.out.contains("stopped: 25 steps are done"), "{stopped:#?}");
    assert!(stopped.err.contains("go on by: ") && stopped.err.contains("--resume"), "{stopped:#?}");
    train(&[&"--checkpoint", &run]).refuses(&["run: a run is there already, up to step-000000025.safetensors"]);
    let resumed = train(&[&"--checkpoint", &run, &"--resume", &"--save", &parts]);
    assert_eq!(accuracy(&resumed), accuracy(&straight));
    let read = |path: &std::path::Path| std::fs::read(path).expect("it was saved");
    assert!(read(&whole) == read(&parts), "other weights than those of a run in one go");
}
