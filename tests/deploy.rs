//! Models saved with their description give the same elsewhere, and what cannot be described is told where it is saved.

use crate::devices::devices;
use wgrad::deploy::{Description, Model, load_on};
use wgrad::nn::{
    AvgPool2d, BatchNorm2d, Conv2d, Conv3d, ConvTranspose2d, ConvTranspose3d, Ctx, Directions, Dropout, Embedding,
    Flatten, Gelu, GroupNorm, Init, Layer, LayerNorm, Linear, LpPool2d, Lstm, MaxPool2d, MaxPool3d, Module,
    MultiheadAttention, Normalize, RandomAffine, RandomResizedCrop, RecurrentOptions, Relu, RmsNorm, Sequential,
    Strictness, TransformerEncoderLayer, TransformerOptions, Upsample, state,
};
use wgrad::optim::{Optimizer, Sgd, SgdOptions};
use wgrad::{AttentionOptions, Conv3dOptions, DType, Device, Error, KeepDims, Rng, Tensor, Upsampling, checkpoint};

/// Two ways that meet again, as the crate's own layers do not.
#[derive(Module)]
struct Residual {
    inner: Sequential,
    norm: GroupNorm,
    head: Linear,
}

impl Layer for Residual {
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let y = self.norm.forward(&(x + self.inner.forward(x, ctx)), ctx).silu();
        let halves = y.i((.., .., wgrad::step(.., 2)));
        let flat = halves.amax(&[2, 3], KeepDims::No).requires_grad();
        let share = flat.softmax(-1).mul(&y.mean_dims(&[2, 3], KeepDims::No));
        self.head.forward(&share.clamp(-2.0, f32::INFINITY), ctx)
    }
}

fn residual(device: &Device) -> Residual {
    let mut init = Init::new(3, device);
    let inner = Sequential::new()
        .push(Conv2d::new(4, 8, 3, &mut init).padding(1))
        .push(BatchNorm2d::new(8, &mut init))
        .push(Relu::new())
        .push(Dropout::new(0.5, &mut init))
        .push(Conv2d::new(8, 4, 1, &mut init));
    Residual { inner, norm: GroupNorm::new(2, 4, &mut init), head: Linear::new(4, 3, &mut init) }
}

fn images(count: usize, device: &Device) -> Tensor {
    Tensor::normal([count, 4, 6, 6], 0.0, 1.0, &mut Rng::new(count as u64), device)
}

/// Saves and loads, and holds both against each other on batches of other sizes.
fn comes_back(name: &str, model: &impl Layer, input: impl Fn(usize) -> Tensor, device: &Device) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model");
    let description = Description::of(model, &input(2)).unwrap_or_else(|error| panic!("{name}: {error}"));
    description.save(&path).expect("it can be saved");
    let loaded = load_on(&path, device).unwrap_or_else(|error| panic!("{name}: {error}"));
    for count in [1, 2, 7] {
        let x = input(count);
        let want = model.forward(&x, &Ctx::eval()).cast(DType::F32);
        let got = loaded.predict(&x).unwrap_or_else(|error| panic!("{name}: {error}")).cast(DType::F32);
        assert_eq!(want.shape(), got.shape(), "{name}");
        let [want, got] = [want, got].map(|y| y.to_vec::<f32>().expect("the device works"));
        assert_eq!(want, got, "{name} of {count}:\n{loaded}");
    }
    // The file is one of weights, too.
    checkpoint::load(model, &path, Strictness::Strict).unwrap_or_else(|error| panic!("{name}: {error}"));
}

#[test]
fn weights_in_bytes_come_back_without_being_quantized_anew() {
    for (name, device) in devices() {
        let model = residual(&device);
        model.quantize_int8().expect("it can be held");
        comes_back(name, &model, |count| images(count, &device), &device);
    }
}

#[test]
fn a_model_that_takes_bytes_comes_back() {
    for (name, device) in devices() {
        let mut init = Init::new(3, &device);
        let first = Normalize::new(&[0.5, 0.4], &[0.25, 0.2], &init);
        let model = Sequential::new().push(first).push(Conv2d::new(2, 3, 3, &mut init));
        let pixels = |count: usize| (0..count * 2 * 16).map(|at| (at * 37 % 256) as u8).collect::<Vec<_>>();
        comes_back(name, &model, |count| Tensor::from_vec(pixels(count), [count, 2, 4, 4], &device), &device);
    }
}

#[test]
fn a_model_of_any_struct_comes_back() {
    for (_, device) in devices() {
        comes_back("residual", &residual(&device), |count| images(count, &device), &device);
    }
}

#[test]
fn layers_of_images_come_back() {
    for (_, device) in devices() {
        let mut init = Init::new(1, &device);
        let model = Sequential::new()
            .push(Conv2d::new(4, 8, 3, &mut init).padding(1))
            .push(MaxPool2d::new(2))
            .push(Gelu::new())
            .push(ConvTranspose2d::new(8, 4, 3, &mut init))
            .push(Upsample::new(2.0, Upsampling::Bilinear))
            .push(AvgPool2d::new(2))
            .push(Flatten::new())
            .push(RmsNorm::new([100], &mut init))
            .push(Linear::new(100, 5, &mut init))
            .push(LayerNorm::new([5], &mut init));
        comes_back("images", &model, |count| images(count, &device), &device);
    }
}

#[test]
fn layers_of_volumes_and_images_by_chance_come_back() {
    for (_, device) in devices() {
        let mut init = Init::new(1, &device);
        let model = Sequential::new()
            .push(RandomAffine::new([-9.0, 9.0], [0.1, 0.1], [0.9, 1.1], &mut init))
            .push(RandomResizedCrop::new([8, 4], [0.3, 1.0], [0.75, 1.5], &mut init))
            .push(Conv2d::new(4, 3, 3, &mut init))
            .push(LpPool2d::new(2.0, 2));
        comes_back("images by chance", &model, |count| images(count, &device), &device);
        let model = Sequential::new()
            .push(Conv3d::with(1, 2, [2, 3, 3], Conv3dOptions { stride: [2, 1, 1], ..Default::default() }, &mut init))
            .push(Relu::new())
            .push(ConvTranspose3d::new(2, 3, 2, &mut init))
            .push(MaxPool3d::new(2))
            .push(Flatten::new());
        let volumes = |count| images(count, &device).unsqueeze(1);
        comes_back("volumes", &model, volumes, &device);
    }
}

/// Tokens through an LSTM and attention to one class.
#[derive(Module)]
struct Sentences {
    table: Embedding,
    lstm: Lstm,
    block: TransformerEncoderLayer,
    pool: MultiheadAttention,
    head: Linear,
}

impl Layer for Sentences {
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let x = self.table.forward(x, ctx);
        let (x, _) = self.lstm.forward_from(&x, None, ctx);
        let x = self.block.encode(&x, &AttentionOptions::causal(), ctx);
        let x = self.pool.attend_self(&x, &AttentionOptions::default(), ctx);
        self.head.forward(&x.i((.., -1)), ctx)
    }
}

#[test]
fn models_of_tokens_come_back() {
    for (_, device) in devices() {
        let mut init = Init::new(1, &device);
        let options = TransformerOptions { feedforward: 32, ..TransformerOptions::default() };
        let model = Sentences {
            table: Embedding::new(20, 8, &mut init),
            lstm: Lstm::with(
                8,
                8,
                RecurrentOptions { directions: Directions::Both, ..RecurrentOptions::default() },
                &mut init,
            ),
            block: TransformerEncoderLayer::new(16, 4, options, &mut init),
            pool: MultiheadAttention::new(16, 4, &mut init),
            head: Linear::new(16, 3, &mut init),
        };
        let tokens = |count: usize| {
            let all: Vec<i32> = (0..count * 6).map(|at| (at * 7 % 20) as i32).collect();
            Tensor::from_vec(all, [count, 6], &device)
        };
        comes_back("tokens", &model, tokens, &device);
    }
}

#[test]
fn classes_and_what_comes_before_are_a_part_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, device) in devices() {
        let path = folder.path().join(name);
        let model = Linear::new(4, 2, &mut Init::new(0, &device));
        let pixels = Tensor::from_slice(&[0u8, 255, 3, 9], [1, 4], &device);
        let pass = |[x]: [&Tensor; 1], ctx: &Ctx| {
            model.forward(&x.cast(DType::F32).affine(1.0 / 255.0, -0.5), ctx).softmax(-1)
        };
        let description = Description::of_pass(&model, [&pixels], pass).expect("it can be described");
        let error = description.clone().classes(["one"]).expect_err("one name for two");
        assert_eq!(error.to_string(), "classes: got 1 name; the model gives 2 for each item");
        description.classes(["cat", "dog"]).expect("two names").save(&path).expect("it can be saved");
        let pets = load_on(&path, &device).expect("it can be loaded");
        assert_eq!(pets.classes(), ["cat", "dog"]);
        let x = Tensor::from_vec((0..12).map(|at| at * 20).collect::<Vec<u8>>(), [3, 4], &device);
        let want = pass([&x], &Ctx::eval()).to_vec::<f32>().expect("the device works");
        for (row, (class, share)) in want.chunks(2).zip(pets.classify(&x).expect("it fits")) {
            let best = usize::from(row[1] > row[0]);
            assert_eq!((class.as_str(), share), (["cat", "dog"][best], row[best]));
        }
        for (wrong, text) in [
            (Tensor::zeros([3, 4], &device), "predict: expected [batch, 4] of u8, got [3, 4] of f32"),
            (Tensor::zeros([4], &device).cast(DType::U8), "predict: expected [batch, 4] of u8, got [4] of u8"),
        ] {
            assert_eq!(pets.predict(&wrong).expect_err("it does not fit").to_string(), text);
        }
        let told = pets.predict_from(&[&x, &x]).expect_err("it takes one").to_string();
        assert_eq!(told, "predict: expected 1 input, got 2");
    }
}

#[test]
fn a_loaded_model_can_be_trained_on() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, device) in devices() {
        let path = folder.path().join(name);
        let first = residual(&device);
        Description::of(&first, &images(2, &device))
            .and_then(|description| description.classes(["class a", "class b", "class c"]))
            .expect("it can be described")
            .save(&path)
            .expect("it can be saved");
        let loaded = load_on(&path, &device).expect("it can be loaded");
        let (x, labels) = (images(4, &device), Tensor::from_slice(&[0, 1, 2, 0], [4], &device));
        let step = |model: &dyn Layer| {
            let mut sgd = Sgd::new(model, SgdOptions { lr: 0.1, ..SgdOptions::default() }).expect("options");
            let loss = model.forward(&x, &Ctx::eval().tracked()).cross_entropy(&labels);
            sgd.step(&loss.backward());
            state(model).expect("the device works")
        };
        assert_eq!(step(&loaded), step(&first), "on {name}");
        loaded.save(&path).expect("it can be saved");
        let again = load_on(&path, &device).expect("it can be loaded");
        let given = |model: &Model| model.classify(&x).expect("the device works");
        assert!(given(&again) == given(&loaded) && given(&again)[0].0.starts_with("class "), "on {name}");
    }
}

/// A model whose pass reads a value on the host.
#[derive(Module)]
struct Peeks {
    head: Linear,
}

impl Layer for Peeks {
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        let scale = x.sum().item().expect("the device works");
        self.head.forward(x, ctx).affine(scale, 0.0)
    }
}

#[test]
fn what_cannot_be_described_is_told() {
    let device = Device::cpu();
    let x = Tensor::ones([2, 4], &device);
    let head = Linear::new(4, 2, &mut Init::new(0, &device));
    let told = |error: Error| error.to_string();
    let text = told(Description::of(&Peeks { head }, &x).expect_err("it reads on the host"));
    assert!(text.starts_with("Description: ") && text.contains("host") || text.contains("for two items"), "{text}");
    let drawn = Sequential::new().push(Dropout::new(0.5, &mut Init::new(0, &device)));
    let text =
        told(Description::of_pass(&drawn, [&x], |[x], _| drawn.forward(x, &Ctx::train())).expect_err("it draws"));
    assert!(text.contains("dropout"), "{text}");
    let nothing = Tensor::zeros([0, 4], &device);
    let text = told(Description::of(&drawn, &nothing).expect_err("no item"));
    assert_eq!(text, "Description: expected an example [batch, ..] of at least one item, got [0, 4]");
}

#[test]
fn files_that_hold_no_model_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model");
    let device = Device::cpu();
    let model = Linear::new(4, 2, &mut Init::new(0, &device));
    checkpoint::save(&model, &path).expect("it can be saved");
    let refused = || load_on(&path, &device).expect_err("no model").to_string();
    assert!(refused().contains("holds weights and no description of a model"), "{}", refused());
    Description::of(&model, &Tensor::ones([1, 4], &device)).expect("a model").save(&path).expect("it can be saved");
    let (values, notes) = checkpoint::read_with_notes(&path).expect("it can be read");
    let note = notes["wgrad.model"].clone();
    for (from, to, part) in [
        ("\"form\":1", "\"form\":2", "its description is of form 2"),
        ("\"linear\"", "\"liner\"", "this version has no operation `liner`"),
        ("\"in\":[1,2,3]", "\"in\":[1,2,9]", "is damaged: value 4"),
        ("\"in\":[1,2,3]", "\"in\":[1,3,2]", "does not fit its weights"),
        ("{", "[", "is damaged"),
        ("\"weight\":\"bias\"", "\"weight\":\"base\"", "there is no weight `base`"),
    ] {
        assert!(note.contains(from), "{note}");
        let changed = checkpoint::Notes::from([("wgrad.model".to_string(), note.replace(from, to))]);
        checkpoint::write_with_notes(&values, &changed, &path).expect("it can be written");
        assert!(refused().contains(part), "{from}: {}", refused());
    }
}
