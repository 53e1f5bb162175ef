//! Good runs, on few images.

use super::command::mnist;
use crate::devices::devices;
use crate::digits::{Style, digits, folder, small_mnist, write_png};
use crate::program::{Said, run_killed};
use std::time::{Duration, Instant};

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

/// A run that writes a checkpoint at every step is killed at random moments, within a write too, and goes on each time:
/// `WGRAD_KILLS` says how often.
#[test]
fn a_run_that_is_killed_goes_on_to_the_bit() {
    let kills: usize = std::env::var("WGRAD_KILLS").map_or(3, |text| text.parse().expect("WGRAD_KILLS is a number"));
    let mut random = wgrad::Rng::new(9);
    for (name, _) in devices() {
        let (data, place) = (small_mnist(), folder());
        let [whole, parts, run] = ["whole", "parts", "run"].map(|name| place.path().join(name));
        let train = |more: &[&dyn AsRef<std::ffi::OsStr>]| {
            let all: [&dyn AsRef<std::ffi::OsStr>; 8] = [
                &"--device",
                &name,
                &"--model=mlp",
                &"--epochs=3",
                &"--batch-size=32",
                &"--data",
                &data.path(),
                &"--checkpoint-every=0",
            ];
            [&all, more].concat().iter().map(|text| text.as_ref().to_os_string()).collect::<Vec<_>>()
        };
        fn refs(all: &[std::ffi::OsString]) -> Vec<&dyn AsRef<std::ffi::OsStr>> {
            all.iter().map(|text| text as &dyn AsRef<std::ffi::OsStr>).collect()
        }
        let (straight, start) =
            (train(&[&"--checkpoint", &place.path().join("first"), &"--save", &whole]), Instant::now());
        mnist(&refs(&straight)).ends("test accuracy ");
        let time = start.elapsed();
        let again = train(&[&"--checkpoint", &run, &"--resume", &"--save", &parts]);
        let (mut killed, mut runs) = (0, 0);
        while killed < kills {
            let after = Duration::from_secs_f32(time.as_secs_f32() * random.uniform());
            if run_killed("mnist", &refs(&again), after) {
                killed += 1;
            } else {
                // It came to its end: the next is killed on its way anew.
                std::fs::remove_dir_all(&run).expect("it is there");
            }
            runs += 1;
            assert!(runs < 20 * kills, "{name}: only {killed} of {runs} runs were killed");
        }
        mnist(&refs(&again)).ends("test accuracy ");
        let read = |path: &std::path::Path| std::fs::read(path).expect("it was saved");
        assert!(read(&whole) == read(&parts), "{name}: other weights than those of a run in one go");
    }
}
