//! Mistakes: each ends with one sentence and a code that scripts notice.

use super::command::{mnist, mnist_under};
use crate::devices::has_gpu;
use crate::digits::{folder, small_mnist, write_images, write_labels};
use std::fs;
use wgrad::Device;
use wgrad::checkpoint;
use wgrad::nn::{Init, Linear, Module};

#[test]
fn data_that_is_missing_or_wrong() {
    let none = folder().path().join("none");
    mnist(&[&"--device=cpu", &"--data", &none]).refuses(&["none: there is no such folder", "four files"]);
    let empty = folder();
    mnist(&[&"--device=cpu", &"--data", &empty.path()]).refuses(&["train-images-idx3-ubyte", "none of"]);

    let broken = |breaks: &dyn Fn(&std::path::Path), parts: &[&str]| {
        let data = small_mnist();
        breaks(data.path());
        mnist(&[&"--device=cpu", &"--data", &data.path()]).refuses(parts);
    };
    let seven = vec![7; 2 * 784];
    broken(
        &|d| write_images(d, "train", 600, &seven),
        &["train-images-idx3-ubyte", "470416 bytes expected", "truncated"],
    );
    let four_billion = u32::MAX as usize;
    broken(&|d| write_images(d, "t10k", four_billion, &seven), &["t10k-images-idx3-ubyte", "truncated"]);
    broken(&|d| write_images(d, "t10k", 1, &seven), &["t10k-images-idx3-ubyte", "longer"]);
    broken(&|d| write_images(d, "t10k", 2, &seven), &["holds 2 images", "holds 100 labels"]);
    broken(&|d| fs::write(d.join("t10k-labels-idx1-ubyte"), [0, 0]).expect("it can be"), &["t10k-labels", "truncated"]);
    let labels = |wrong: u8| (0..100).map(|i| if i == 42 { wrong } else { 9 }).collect::<Vec<u8>>();
    broken(
        &|d| write_labels(d, "t10k", &labels(10)),
        &["t10k-labels-idx1-ubyte", "row 42", "label 10 is not in 0..10"],
    );
    let no_images = |d: &std::path::Path, half: &str| {
        write_images(d, half, 0, &[]);
        write_labels(d, half, &[]);
    };
    broken(&|d| no_images(d, "train"), &["data set is empty"]);
    broken(&|d| no_images(d, "t10k"), &["data set is empty"]);
}

#[test]
fn numbers_that_make_no_sense() {
    let data = small_mnist();
    let with = |option: &str, value: &str| mnist(&[&"--device=cpu", &"--data", &data.path(), &option, &value]);
    with("--lr", "nan").refuses(&["learning rate", "NaN is not"]);
    with("--lr", "inf").refuses(&["learning rate", "inf is not"]);
    with("--lr", "-1").refuses(&["learning rate", "-1 is not"]);
    with("--batch-size", "0").refuses(&["batch size is 0"]);
    with("--lr", "fast").refuses_usage(&["fast", "--lr"]);
    with("--epochs", "-3").refuses_usage(&["-3"]);
    with("--model", "gpt").refuses_usage(&["gpt", "cnn, mlp"]);
    // Weights that run away are told, not trained on.
    mnist(&[&"--device=cpu", &"--model=mlp", &"--optimizer=sgd", &"--lr=1e30", &"--data", &data.path()])
        .refuses(&["the loss became NaN in epoch 1", "use a smaller learning rate"]);
}

#[test]
fn places_where_nothing_can_be_saved() {
    let place = folder();
    // The data are missing, too: a wrong path is told before the work begins.
    let save = |path: &dyn AsRef<std::ffi::OsStr>| mnist(&[&"--device=cpu", &"--data=nowhere", &"--save", path]);
    save(&place.path().join("none/w.safetensors")).refuses(&["none/w.safetensors: cannot be written"]);
    save(&place.path()).refuses(&["it is a folder"]);
    save(&place.path().join("w.safetensors")).refuses(&["nowhere"]);
    assert_eq!(fs::read_dir(place.path()).expect("a folder").count(), 0, "nothing is left behind");
}

#[test]
fn weights_that_are_missing_or_of_another_model() {
    let place = folder();
    let path = place.path().join("w.safetensors");
    let load = || mnist(&[&"--device=cpu", &"--epochs=0", &"--load", &path]);
    load().refuses(&["w.safetensors: cannot be read"]);
    fs::write(&path, "no weights at all").expect("it can be written");
    load().refuses(&["w.safetensors: is no whole safetensors file"]);

    #[derive(Module)]
    struct Mlp {
        fc1: Linear,
        fc2: Linear,
    }
    let mut init = Init::new(0, &Device::cpu());
    let mlp = Mlp { fc1: Linear::new(784, 128, &mut init), fc2: Linear::new(128, 10, &mut init) };
    checkpoint::save(&mlp, &path).expect("it can be saved");
    let lists = ["missing: conv1.weight, conv1.bias", "of another shape: fc1.weight is [128, 784], not [128, 3136]"];
    load().refuses(&lists);
}

#[test]
fn pictures_that_are_none() {
    let place = folder();
    let (weights, picture) = (place.path().join("w.safetensors"), place.path().join("p.png"));
    mnist(&[&"--predict", &picture]).refuses_usage(&["--load"]);

    let data = small_mnist();
    mnist(&[&"--device=cpu", &"--epochs=0", &"--model=mlp", &"--data", &data.path(), &"--save", &weights]).ends("test");
    let predict = || mnist(&[&"--device=cpu", &"--model=mlp", &"--load", &weights, &"--predict", &picture]);
    predict().refuses(&["p.png: cannot be read"]);
    fs::write(&picture, "GIF89a").expect("it can be written");
    predict().refuses(&["p.png: is no whole PNG file"]);
    // A few bytes that promise more pixels than memory holds.
    let file = fs::File::create(&picture).expect("it can be made");
    let (width, height) = (1 << 20, i32::MAX as u32);
    let mut writer = png::Encoder::new(file, width, height).write_header().expect("it can be written");
    writer.write_chunk(png::chunk::IDAT, &[0x78, 0x9C]).expect("it can be written");
    drop(writer);
    predict().refuses(&["p.png: is too large a picture"]);
}

#[test]
fn gpu_an_adapter_that_is_not_there() {
    if !has_gpu() {
        return;
    }
    let named = [("WGPU_ADAPTER_NAME", "nonsense")];
    mnist_under(&named, &[&"--device=gpu"]).refuses(&["no adapter is named like `nonsense`; there are 0: "]);
    mnist_under(&[("WGPU_ADAPTER_NAME", "99")], &[&"--device=gpu"]).refuses(&["there is no adapter 99; there are 0: "]);
}

#[test]
fn an_api_that_is_unknown() {
    mnist_under(&[("WGPU_BACKEND", "glide")], &[&"--device=gpu"]).refuses(&["`glide`", "use vulkan, metal or dx12"]);
    mnist_under(&[("WGPU_BACKEND", "noop")], &[&"--device=gpu"])
        .refuses(&["noop runs nothing", "use vulkan, metal or dx12"]);
}

/// Vulkan's loader is told of a driver that is not there, which hides those that are.
#[cfg(target_os = "linux")]
#[test]
fn no_adapter_at_all() {
    let none = folder().path().join("none.json");
    let none = none.to_str().expect("UTF-8");
    let hidden = [("VK_ICD_FILENAMES", none), ("VK_DRIVER_FILES", none)];
    mnist_under(&hidden, &[&"--device=gpu"]).refuses(&["no GPU adapter was found", wgrad::backend::wgpu::INSTALL_HINT]);

    let data = small_mnist();
    let auto = mnist_under(&hidden, &[&"--device=auto", &"--epochs=1", &"--model=mlp", &"--data", &data.path()]);
    auto.ends("test accuracy ");
    let why = auto.err.lines().next().expect("it says where it trains");
    assert!(why.starts_with("device: CPU backend (") && why.ends_with(": no GPU adapter was found"), "{why}");
    assert_eq!(auto.err.lines().count(), 1, "{}", auto.err);
}
