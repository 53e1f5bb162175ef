//! Gradients of rows: as data, on their way to optimizers, and what is refused of them.

use super::rules::panics;
use crate::devices::devices;
use wgrad::autograd::{Grads, Rows};
use wgrad::nn::{Ctx, Embedding, EmbeddingBag, Init, Layer, Linear, Module, Parameter, Precision, StateDict, state};
use wgrad::optim::{
    Adafactor, AdafactorOptions, Adagrad, AdagradOptions, Adam, AdamOptions, Momentum, Optimizer, Rule, Sgd,
    SgdOptions, Sparse, SparseAdam, SparseAdamOptions, Split, Stepper,
};
use wgrad::parallel::{DataParallel, Threads};
use wgrad::plan::Replay;
use wgrad::train::{Outcome, Trainer};
use wgrad::{BagMode, DType, Device, EmbeddingBagOptions, EmbeddingOptions, Tensor};

const SPARSE: EmbeddingOptions =
    EmbeddingOptions { padding: None, max_norm: None, norm_type: 2.0, scale_grad_by_freq: false, sparse: true };

const LAZY: SparseAdamOptions = SparseAdamOptions { lr: 0.1, betas: (0.9, 0.999), eps: 1e-8 };

fn read(x: &Tensor) -> Vec<f32> {
    x.to_vec().expect("the device works")
}

fn whole_numbers(x: &Tensor) -> Vec<i32> {
    x.to_vec().expect("the device works")
}

fn table(size: usize, width: usize, device: &Device) -> Tensor {
    let values = (0..size * width).map(|i| (i as f32 * 1.7).sin()).collect();
    Tensor::from_vec(values, [size, width], device)
}

fn ids(values: &[i32], device: &Device) -> Tensor {
    Tensor::from_slice(values, [values.len()], device)
}

#[test]
fn gradients_of_rows_are_data() {
    for (name, device) in devices() {
        let x = table(5, 2, &device).requires_grad();
        let loss = |of: &[i32]| x.embedding_with(&ids(of, &device), &SPARSE).sum();
        let mut grads = loss(&[3, 1, 3]).backward();
        let rows = grads.rows(&x).expect("it was asked for");
        assert_eq!(whole_numbers(rows.indices()), [3, 1, 3], "on {name}");
        assert_eq!((rows.shape(), rows.values().shape()), ([5, 2].into(), [3, 2].into()));
        let once = rows.coalesce();
        assert_eq!(whole_numbers(once.indices()), [3, 1, -1], "on {name}");
        assert_eq!(read(once.values()), [2.0, 2.0, 1.0, 1.0, 0.0, 0.0], "on {name}");
        assert!(format!("{grads:?}").contains("Rows"), "{grads:?}");

        // Two of them stand behind one another, and are scaled as they are.
        grads += loss(&[0, 1]).backward();
        grads *= 0.5;
        grads *= &Tensor::scalar(4.0f32, &device);
        let rows = grads.rows(&x).expect("rows and rows are rows");
        assert_eq!(whole_numbers(rows.indices()), [3, 1, 3, 0, 1], "on {name}");
        let want = [2.0, 2.0, 4.0, 4.0, 0.0, 0.0, 4.0, 4.0, 0.0, 0.0];
        assert_eq!(read(grads.of(&x).expect("it has one")), want, "on {name}");
        assert_eq!(grads.iter().map(|(_, gradient)| read(gradient)).collect::<Vec<_>>(), [want], "on {name}");

        // With a whole one they are whole.
        grads += x.sum().backward();
        assert!(grads.rows(&x).is_none());
        assert_eq!(read(grads.of(&x).expect("it has one")), want.map(|g| g + 1.0), "on {name}");
        assert!(grads.remove(&x).is_some() && grads.is_empty());

        let mut built = Grads::new();
        built.set_rows(&x, Rows::new(ids(&[4], &device), Tensor::ones([1, 2], &device), [5, 2]));
        built += loss(&[4]).backward();
        assert_eq!(read(built.of(&x).expect("it was set"))[8..], [2.0, 2.0], "on {name}");
    }
}

#[test]
fn they_are_whole_where_a_table_is_read_otherwise() {
    for (name, device) in devices() {
        let x = table(5, 4, &device).requires_grad();
        let of = ids(&[3, 1, 3], &device);
        let want = (x.embedding(&of).square().sum() + x.square().sum()).backward();
        let got = (x.embedding_with(&of, &SPARSE).square().sum() + x.square().sum()).backward();
        assert!(got.rows(&x).is_none());
        assert_eq!(read(got.of(&x).expect("one")), read(want.of(&x).expect("one")), "on {name}");
        // A table that is made of another.
        let want = (&x * 3.0).embedding(&of).sum().backward();
        let got = (&x * 3.0).embedding_with(&of, &SPARSE).sum().backward();
        assert!(got.rows(&x).is_none());
        assert_eq!(read(got.of(&x).expect("one")), read(want.of(&x).expect("one")), "on {name}");
        // Gradients that are tracked, and their gradients.
        for width in [4, 3] {
            let x = table(5, width, &device).requires_grad();
            let curved = |options: &EmbeddingOptions| {
                let slope = x.embedding_with(&of, options).pow_scalar(3.0).sum().grad(&x);
                let again = slope.square().sum().backward();
                (read(&slope), read(again.of(&x).expect("it depends on x")))
            };
            assert_eq!(curved(&SPARSE), curved(&EmbeddingOptions::default()), "{width} on {name}");
        }
    }
}

#[test]
fn indices_of_all_kinds_name_rows() {
    for (name, device) in devices() {
        for width in [4, 3] {
            let x = table(4, width, &device).requires_grad();
            let wide = Tensor::from_slice(&[2i64, 0, 9, -1, i64::MAX, 2], [2, 3], &device);
            let y = x.embedding_with(
                &wide,
                &EmbeddingOptions { padding: Some(0), sparse: true, ..EmbeddingOptions::default() },
            );
            assert_eq!(read(&y)[..width], read(&x)[2 * width..3 * width], "on {name}");
            let grads = y.masked_fill(&y.detach().isnan(), 0.0).sum().backward();
            let once = grads.rows(&x).expect("rows").coalesce();
            assert_eq!(whole_numbers(once.indices()), [2, -1, -1, -1, -1, -1], "on {name}");
            assert_eq!(read(once.values()).iter().sum::<f32>(), 2.0 * width as f32, "on {name}");
            // None at all.
            let none = Tensor::from_slice::<i32>(&[], [0], &device);
            let grads = (x.embedding_with(&none, &SPARSE).sum() * 1.0).backward();
            let rows = grads.rows(&x).expect("rows");
            assert_eq!(rows.coalesce().indices().numel(), 0);
            assert_eq!(read(&rows.to_dense()), vec![0.0; 4 * width], "on {name}");
            let parameter = Parameter::new(table(4, width, &device));
            let mut adam = SparseAdam::new(&parameter, LAZY).expect("options");
            adam.step(&parameter.tensor().embedding_with(&none, &SPARSE).sum().backward());
            assert_eq!(read(&parameter.tensor()), read(&x), "on {name}");
        }
    }
}

#[test]
fn a_replayed_step_returns_them() {
    for (name, device) in devices() {
        let layer = Embedding::from(Parameter::new(table(6, 4, &device))).sparse();
        let weight = layer.weight.tensor();
        let step = device.capture(&ids(&[1, 1, 2], &device), |of| {
            let grads = layer.forward(of, &Ctx::train()).square().sum().backward();
            let rows = grads.rows(&weight).expect("rows").coalesce();
            Ok([rows.indices().clone(), rows.values().clone()])
        });
        let step = step.expect("it is captured");
        for of in [[5, 0, 5], [2, 3, 4]] {
            let [indices, values] = step.run(&ids(&of, &device)).expect("it runs");
            let mut grads = Grads::new();
            grads.set_rows(&weight, Rows::new(indices, values, weight.shape()));
            let want = layer.forward(&ids(&of, &device), &Ctx::train()).square().sum().backward();
            assert_eq!(read(grads.of(&weight).expect("set")), read(want.of(&weight).expect("one")), "on {name}");
        }
    }
}

/// Two tables and a layer, with an optimizer for the tables and another for all else.
#[derive(Module)]
struct Model {
    words: Embedding,
    places: Embedding,
    head: Linear,
}

impl Model {
    fn new(device: &Device, sparse: bool) -> Model {
        let mut init = Init::new(3, device);
        let [words, places] = [Embedding::new(50, 8, &mut init), Embedding::new(7, 5, &mut init).padding(1)];
        let head = Linear::new(13, 1, &mut init);
        match sparse {
            true => Model { words: words.sparse(), places: places.sparse(), head },
            false => Model { words, places, head },
        }
    }

    /// Of indices `[n, 2]`.
    fn loss(&self, of: &Tensor, ctx: &Ctx) -> Tensor {
        let [words, places] = [0, 1].map(|at| of.narrow(1, at, 1).squeeze(1).contiguous());
        let [words, places] = [self.words.forward(&words, ctx), self.places.forward(&places, ctx)];
        let y = self.head.forward(&Tensor::cat(&[&words, &places], 1), ctx).cast(DType::F32);
        (y - 1.0).square().mean()
    }
}

fn batch(step: usize, n: usize) -> Vec<i32> {
    (0..n).flat_map(|i| [(i * i * 3 + step * 7) as i32 % 50, (i + 2 * step) as i32 % 7]).collect()
}

fn split(model: &Model) -> Split<SparseAdam, Adam> {
    let tables = |part: &dyn Module| SparseAdam::new(part, LAZY)?.clip_grad_norm(0.3);
    let others = |part: &dyn Module| Adam::new(part, AdamOptions { lr: 0.05, ..AdamOptions::default() });
    Split::new(model, |path, _| !path.starts_with("head"), tables, others).expect("options")
}

fn weights(model: &dyn Module) -> StateDict {
    state(model).expect("the device works")
}

#[test]
fn replayed_steps_are_those_of_a_loop_and_of_a_resumed_one() {
    for (name, device) in devices() {
        let run = |replayed: bool, stop: Option<usize>| {
            let (mut model, mut replay) = (Model::new(&device, true), Replay::new());
            let mut optimizer = split(&model);
            let mut losses = Vec::new();
            for at in 0..8 {
                if stop == Some(at) {
                    // On with others of the same values.
                    let (saved, other) = (optimizer.state().expect("the device works"), Model::new(&device, true));
                    wgrad::nn::load_state(&other, &weights(&model), wgrad::nn::Strictness::Strict).expect("its own");
                    optimizer = split(&other);
                    optimizer.load_state(&saved).expect("its own");
                    assert!(saved.contains_key("first.exp_avg_sq.words.weight"), "{:?}", saved.keys());
                    (model, replay) = (other, Replay::new());
                }
                optimizer.set_lr(0.1 / (at + 1) as f32).expect("a rate");
                let of = Tensor::from_vec(batch(at, 30), [30, 2], &device);
                let step = |of: &Tensor, optimizer: &mut Split<SparseAdam, Adam>| {
                    let loss = model.loss(of, &Ctx::train());
                    optimizer.step(&loss.backward());
                    loss
                };
                losses.push(match replayed {
                    true => read(&replay.run([&of], |[of]| Ok(step(of, &mut optimizer))).expect("it is replayed")),
                    false => read(&step(&of, &mut optimizer)),
                });
            }
            (losses, weights(&model))
        };
        let eager = run(false, None);
        assert_eq!(eager, run(false, None), "on {name}: another run");
        assert_eq!(eager, run(true, None), "on {name}: replayed");
        assert_eq!(eager, run(true, Some(5)), "on {name}: resumed");
        assert!(eager.0[7][0] < 0.7 * eager.0[0][0], "on {name}: {:?}", eager.0);
    }
}

/// The bytes that the kernels of a replayed step move, as their costs tell.
fn moved_bytes(size: usize, dtype: DType, max_norm: Option<f32>) -> u64 {
    let device = Device::null();
    let mut table = Embedding::from(Parameter::new(Tensor::empty([size, 8], dtype, &device))).sparse();
    table.max_norm = max_norm;
    let mut optimizer = SparseAdam::new(&table, LAZY).and_then(|adam| adam.clip_grad_norm(1.0)).expect("options");
    let step = device.capture(&Tensor::empty([40], DType::I32, &device), |of| {
        let loss = table.forward(of, &Ctx::train()).square().sum();
        optimizer.step(&loss.backward());
        Ok(loss)
    });
    let step = step.expect("it is captured");
    step.plan().dispatches().iter().map(|d| (d.kernel.cost)(d).bytes).sum()
}

#[test]
fn a_step_costs_the_same_whatever_the_table() {
    for dtype in [DType::F32, DType::BF16] {
        for max_norm in [None, Some(1.0)] {
            let [few, many] = [1_000, 1_000_000].map(|size| moved_bytes(size, dtype, max_norm));
            assert_eq!(few, many, "{dtype} with {max_norm:?}");
        }
    }
}

#[test]
fn rows_are_shortened_alone_and_once() {
    for (name, device) in devices() {
        for dtype in [DType::F32, DType::F16, DType::BF16] {
            for width in [4, 3] {
                let x = table(9, width, &device).affine(2.0, 0.0).cast(dtype);
                let of = ids(&[7, 2, 7, 2, 2], &device);
                let options = EmbeddingOptions { max_norm: Some(0.5), ..EmbeddingOptions::default() };
                let before = read(&x.cast(DType::F32));
                let rows = read(&x.embedding_with(&of, &options).cast(DType::F32));
                let after = read(&x.cast(DType::F32));
                let length = |row: &[f32]| row.iter().map(|x| x * x).sum::<f32>().sqrt();
                for (at, (old, new)) in before.chunks(width).zip(after.chunks(width)).enumerate() {
                    let due = if [2, 7].contains(&at) { 0.5 / length(old) } else { 1.0 };
                    let near = old.iter().zip(new).all(|(old, new)| (old * due - new).abs() <= 4e-3 * new.abs());
                    assert!(near, "{dtype} row {at} on {name}: {old:?} became {new:?}");
                    assert!(due < 1.0 || old == new, "{dtype} row {at} on {name}");
                }
                assert_eq!(rows[..width], after[7 * width..8 * width], "{dtype} on {name}");
            }
        }
    }
}

#[test]
fn tables_of_halves_and_mixed_passes_have_rows() {
    for (name, device) in devices() {
        for half in [DType::F16, DType::BF16] {
            for width in [4, 3] {
                let of = ids(&[2, 7, 2, 7, 7, 5], &device);
                let moved = |values: Tensor, sparse: bool| {
                    let parameter = Parameter::new(values);
                    let mut sgd =
                        Sgd::new(&parameter, SgdOptions { lr: 0.25, ..SgdOptions::default() }).expect("options");
                    let rows = parameter.tensor().embedding_with(&of, &EmbeddingOptions { sparse, ..SPARSE });
                    let grads = rows.cast(DType::F32).square().sum().backward();
                    assert_eq!(grads.rows(&parameter.tensor()).is_some(), sparse);
                    sgd.step(&grads);
                    parameter.tensor().detach().copy()
                };
                let x = table(9, width, &device).cast(half);
                let (got, want) = (moved(x.copy(), true), moved(x.copy(), false));
                assert_eq!(got.dtype(), half);
                let far = read(&(got.cast(DType::F32) - want.cast(DType::F32)).abs().max()).remove(0);
                // A unit in the last place of what is rounded twice where it is whole.
                assert!(far <= 0.02, "{half} [9, {width}] on {name}: {far}");
                let others = |t: &Tensor| read(&t.cast(DType::F32).narrow(0, 0, 2));
                assert_eq!(others(&got), others(&x), "{half} on {name}");
            }
        }
        for precision in [Precision::Bf16Mixed, Precision::F16Mixed] {
            let [sparse, whole] = [true, false].map(|sparse| {
                let model = Model::new(&device, sparse);
                let of = Tensor::from_vec(batch(0, 30), [30, 2], &device);
                let grads = model.loss(&of, &Ctx::train().precision(precision)).backward();
                assert_eq!(grads.rows(&model.words.weight.tensor()).is_some(), sparse);
                let of = |table: &Embedding| grads.of(&table.weight.tensor()).expect("it has one").clone();
                [of(&model.words), of(&model.places)]
            });
            for (sparse, whole) in sparse.iter().zip(&whole) {
                assert_eq!(sparse.dtype(), DType::F32);
                let far = read(&(sparse - whole).abs().max()).remove(0);
                assert!(far < 1e-6, "{precision:?} on {name}: {far}");
            }
        }
    }
}

#[test]
fn bags_have_rows() {
    for (name, device) in devices() {
        let of = Tensor::from_slice(&[2, 7, 2, 1, 0, 1], [2, 3], &device);
        for mode in [BagMode::Sum, BagMode::Mean] {
            let [sparse, whole] = [true, false].map(|sparse| {
                let mut bag = EmbeddingBag::new(9, 4, mode, &mut Init::new(1, &device));
                (bag.sparse, bag.padding) = (sparse, Some(1));
                let grads = bag.forward(&of, &Ctx::train()).square().sum().backward();
                let rows = grads.rows(&bag.weight.tensor()).map(|rows| whole_numbers(rows.coalesce().indices()));
                assert_eq!(rows, sparse.then(|| vec![2, 7, -1, -1, 0, -1]), "on {name}");
                read(grads.of(&bag.weight.tensor()).expect("it has one"))
            });
            assert_eq!(sparse, whole, "{mode:?} on {name}");
        }
        let options = EmbeddingBagOptions { mode: BagMode::Max, sparse: true, ..EmbeddingBagOptions::default() };
        let text = panics(|| table(9, 4, &device).embedding_bag(&of, None, &options));
        assert_eq!(text, "embedding_bag: a sparse gradient is for sums and means, not for Max");
    }
}

#[test]
fn what_moves_all_of_a_table_refuses_them() {
    let device = Device::cpu();
    let layer = Embedding::from(Parameter::new(table(9, 4, &device))).sparse();
    let (of, weight) = (ids(&[1, 2], &device), layer.weight.tensor().shape());
    let grads = || layer.forward(&of, &Ctx::train()).sum().backward();
    fn refused<R: Rule>(options: R, layer: &Embedding, grads: &dyn Fn() -> Grads) -> String {
        let mut optimizer = Stepper::new(layer, options).expect("options");
        let before = read(&layer.weight.tensor());
        let text = panics(|| optimizer.step(&grads()));
        assert_eq!(read(&layer.weight.tensor()), before);
        text
    }
    let decayed = SgdOptions { weight_decay: 0.1, ..SgdOptions::default() };
    let texts = [
        ("Adam", refused(AdamOptions::default(), &layer, &grads)),
        ("Sgd", refused(decayed, &layer, &grads)),
        ("Adagrad", refused(AdagradOptions { weight_decay: 0.1, ..Default::default() }, &layer, &grads)),
    ];
    for (name, text) in texts {
        let start = format!("{name}: expected a whole gradient for weight, got one of rows (Embedding::sparse)");
        assert!(text.starts_with(&start), "{text}");
    }
    let mut sgd = Sgd::new(&layer, SgdOptions::default()).and_then(|sgd| sgd.l1_penalty(0.1)).expect("options");
    let text = panics(|| sgd.step(&grads()));
    assert!(text.contains("a penalty draws at all of a table"), "{text}");
    let mut adafactor = Adafactor::new(&layer, AdafactorOptions::default()).expect("options");
    let text = panics(|| adafactor.step(&grads()));
    assert!(text.starts_with("Adafactor: expected a whole gradient for weight, got one of rows"), "{text}");
    let mut lazy = SparseAdam::new(&layer, LAZY).expect("options");
    let text = panics(|| lazy.step(&layer.weight.tensor().sum().backward()));
    assert!(text.starts_with("SparseAdam: expected a gradient of rows (Embedding::sparse) for weight"), "{text}");

    let mut counted = Embedding::from(Parameter::new(table(9, 4, &device))).sparse();
    counted.scale_grad_by_freq = true;
    let text = panics(|| counted.forward(&of, &Ctx::train()));
    assert!(text.starts_with("embedding: scale_grad_by_freq"), "{text}");
    let text = panics(|| Rows::new(of.clone(), Tensor::ones([3, 4], &device), weight));
    assert!(text.starts_with("Rows: [2] x [3, 4] of [9, 4]: expected indices [n]"), "{text}");
    let text = panics(|| Rows::new(Tensor::ones([3], &device), Tensor::ones([3, 4], &device), weight));
    assert_eq!(text, "Rows: expected indices of i32 and values of floats, got f32 and f32");
    let rows = Rows::new(of.clone(), Tensor::ones([2, 3], &device), [9, 3]);
    let text = panics(|| Grads::new().set_rows(&layer.weight.tensor(), rows));
    assert!(text.starts_with("set_rows: expected rows of f32 [9, 4] for weight, got rows of f32 [9, 3]"), "{text}");
}

/// Moves by the rate against the sign of a gradient, and counts.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Signs(Sparse);

impl Rule for Signs {
    const NAME: &'static str = "Signs";

    fn lr(&self) -> f32 {
        0.5
    }

    fn sparse(&self) -> Sparse {
        self.0
    }

    fn moments(&self) -> Vec<(&'static str, f32)> {
        vec![("count", 0.0)]
    }

    fn update(&self, x: &Tensor, gradient: &Tensor, moments: &mut [Tensor], numbers: &[Tensor]) -> Tensor {
        moments[0] = &moments[0] + 1.0;
        x - gradient.sign() * &numbers[0]
    }
}

#[test]
fn a_rule_written_elsewhere_may_take_them() {
    for (name, device) in devices() {
        for (sparse, untouched) in [(Sparse::Taken, 0.0), (Sparse::Whole, 1.0)] {
            let layer = Embedding::from(Parameter::new(Tensor::zeros([4, 3], &device))).sparse();
            let mut optimizer = Stepper::new(&layer, Signs(sparse)).expect("options");
            optimizer.step(&(layer.forward(&ids(&[2, 0, 2], &device), &Ctx::train()).sum() * -3.0).backward());
            let want = [[0.5; 3], [0.0; 3], [0.5; 3], [0.0; 3]].concat();
            assert_eq!(read(&layer.weight.tensor()), want, "on {name}");
            let counts = optimizer.state().expect("the device works")["count.weight"].clone();
            let want = [[1.0; 3], [untouched; 3], [1.0; 3], [untouched; 3]].concat();
            assert_eq!(counts.values, wgrad::nn::Values::F32(want), "on {name}");
        }
    }
}

#[test]
fn a_trainer_adds_them_up_leaves_them_out_and_tells_their_norm() {
    for (name, device) in devices() {
        let run = |micro: usize, frozen: bool| {
            let model = Model::new(&device, true);
            let before = weights(&model);
            let items: Vec<(wgrad::data::Array, i32)> =
                (0..60).map(|i| (wgrad::data::Array::new(batch(i, 1), [2]), 0)).collect();
            let options = wgrad::data::LoaderOptions { batch_size: 20, ..Default::default() };
            let loader = wgrad::data::DataLoader::new(items, options).expect("items");
            let step = |[of, _]: [&Tensor; 2], ctx: &Ctx| Ok(Outcome::of(model.loss(of, ctx)));
            let mut trainer =
                Trainer::new(&device, &model, split(&model), step).epochs(4).micro_batches(micro).grad_norm();
            if frozen {
                trainer = trainer.freeze("words", usize::MAX);
            }
            let history = trainer.fit(&loader, None).expect("it runs");
            drop(trainer);
            let figures = &history.epochs.last().expect("an epoch").figures;
            let [loss, norm] = ["loss", "grad_norm"].map(|figure| figures.get(figure).expect("it is told"));
            (loss, norm, weights(&model)["words.weight"] == before["words.weight"])
        };
        let (whole, parts, frozen) = (run(1, false), run(4, false), run(1, true));
        assert!(whole.1 > 0.0 && !whole.2 && !parts.2, "on {name}: {whole:?}");
        let near = |a: f64, b: f64| (a - b).abs() < 1e-3 * a.abs();
        assert!(near(whole.0, parts.0) && near(whole.1, parts.1), "on {name}: {whole:?} {parts:?}");
        assert!(frozen.2, "on {name}: what was left out moved");
    }
}

#[test]
fn ranks_exchange_whole_gradients() {
    let device = Device::cpu();
    let run = |sparse: bool, lazy: bool| {
        let devices = vec![device.clone(); 2];
        Threads::run(&devices, |group, device| {
            let mut init = Init::new(2, device);
            let layer = Embedding::new(9, 4, &mut init);
            let layer = if sparse { layer.sparse() } else { layer };
            let rank = wgrad::parallel::Group::rank(&group) as i32;
            let parallel = DataParallel::new(&layer, group)?;
            let mut optimizer: Box<dyn Optimizer> = match lazy {
                true => Box::new(SparseAdam::new(&layer, LAZY)?),
                false => Box::new(Adagrad::new(&layer, AdagradOptions::default())?),
            };
            let loss = layer.forward(&ids(&[rank, 5], device), &Ctx::train()).square().sum();
            optimizer.step(&parallel.backward(&loss)?);
            state(&layer)
        })
    };
    assert_eq!(run(true, false).expect("they learn"), run(false, false).expect("they learn"));
    let text = panics(|| run(true, true));
    assert!(text.contains("DataParallel gives whole ones"), "{text}");
}

#[test]
fn momentum_takes_them_for_whole_ones() {
    for (name, device) in devices() {
        let run = |sparse: bool| {
            let model = Model::new(&device, sparse);
            let options = SgdOptions { lr: 0.1, momentum: Momentum::Nesterov(0.9), ..SgdOptions::default() };
            let mut sgd = Sgd::new(&model, options).expect("options");
            for at in 0..4 {
                let of = Tensor::from_vec(batch(at, 30), [30, 2], &device);
                sgd.step(&model.loss(&of, &Ctx::train()).backward());
            }
            weights(&model)
        };
        let (sparse, whole) = (run(true), run(false));
        for (path, value) in &sparse {
            let [a, b] = [value, &whole[path]].map(|value| match &value.values {
                wgrad::nn::Values::F32(values) => values.clone(),
                other => panic!("{path} is {other:?}"),
            });
            let far = a.iter().zip(&b).fold(0.0f32, |far, (a, b)| far.max((a - b).abs()));
            assert!(far < 1e-5, "{path} on {name}: {far}");
        }
    }
}
