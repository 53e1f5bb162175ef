//! Whole runs by the trainer: what it learns, how it goes on where it was stopped, and what it says where it cannot.

use crate::devices::devices;
use std::path::Path;
use wgrad::data::{DataLoader, LoaderOptions};
use wgrad::metrics::Accuracy;
use wgrad::nn::{BatchNorm1d, Dropout, Init, Layer, Linear, Module, Relu, Sequential, StateDict, state};
use wgrad::optim::schedule::{Better, OneCycleLr, ReduceLrOnPlateau};
use wgrad::optim::{Adam, AdamOptions, Ema, Optimizer, Sgd, SgdOptions};
use wgrad::train::{
    Batches, Checkpoints, EarlyStopping, History, LrRange, Outcome, Stop, Streamed, Task, Trained, Trainer,
};
use wgrad::{Device, Error, Tensor};

type Points = Vec<([f32; 2], i32)>;

/// Points of a plane, and whether both coordinates have one sign.
fn points(count: usize) -> Points {
    let point = |i: usize| {
        let (y, x) = (i as f32 * 2.4).sin_cos();
        ([x, y], i32::from(x * y > 0.0))
    };
    (0..count).map(point).collect()
}

pub fn loader(count: usize, workers: usize) -> DataLoader<Points> {
    let options = LoaderOptions { batch_size: 32, shuffle: Some(7), workers, ..LoaderOptions::default() };
    DataLoader::new(points(count), options).expect("points")
}

pub fn network(device: &Device) -> Sequential {
    let init = &mut Init::new(5, device);
    let first = Sequential::new().push(Linear::new(2, 32, init)).push(BatchNorm1d::new(32, init)).push(Relu::new());
    first.push(Dropout::new(0.1, init)).push(Linear::new(32, 2, init))
}

pub fn outcome(model: &impl Layer, [x, labels]: [&Tensor; 2], ctx: &wgrad::nn::Ctx) -> Outcome {
    let logits = model.forward(x, ctx);
    Outcome::of(logits.cross_entropy(labels)).judged(&logits, labels).and("size", &logits.square().mean())
}

/// A run with all that has a state, up to a step; its history and what it has learned.
fn run(device: &Device, folder: &Path, until: Option<u64>, workers: usize) -> (History, StateDict) {
    let model = network(device);
    let adam = AdamOptions { lr: 0.03, ..AdamOptions::default() };
    let optimizer = Adam::new(&model, adam).and_then(|adam| adam.clip_grad_norm(1.0)).expect("good options");
    let average = optimizer.ema(0.9).expect("a good decay");
    let step = |batch: [&Tensor; 2], ctx: &wgrad::nn::Ctx| Ok(outcome(&model, batch, ctx));
    let mut trainer = Trainer::averaged(device, &model, optimizer, average, step)
        .epochs(5)
        .metric(Accuracy::new())
        .schedule(OneCycleLr { momentum: None, ..OneCycleLr::new(0.03, 5 * 10) })
        .callback(EarlyStopping::new("val_loss", 4).restore_best())
        .checkpoints(Checkpoints::in_folder(folder).every_steps(3).best("val_accuracy").resume());
    if let Some(until) = until {
        trainer = trainer.max_steps(until);
    }
    let history = trainer.fit(&loader(300, workers), Some(&loader(70, 0))).expect("the run goes on");
    drop(trainer);
    (history, state(&model).expect("the device works"))
}

/// Epoch, step, rate, and the bits of figures by name.
type Figured = (usize, u64, f32, Vec<(String, u64)>);

/// What of a history is the same wherever it is computed again.
fn figures(history: &History) -> Vec<Figured> {
    let bits = |record: &wgrad::train::Record| {
        let figures = record.figures.iter().map(|(name, value)| (name.to_string(), value.to_bits())).collect();
        (record.epoch, record.step, record.lr, figures)
    };
    history.epochs.iter().map(bits).collect()
}

#[test]
fn a_run_that_is_stopped_goes_on_to_the_bit() {
    for (name, device) in devices() {
        let whole = tempfile::tempdir().expect("a folder");
        let (history, weights) = run(&device, whole.path(), None, 0);
        assert_eq!((history.epochs.len(), history.epochs[4].step), (5, 50), "{name}: {history}");
        assert!(history.last("val_accuracy") > Some(0.8), "{name}: {history}");
        assert!(history.of("loss").windows(2).all(|pair| pair[1] < pair[0] + 0.1), "{name}: {history}");
        // Within an epoch, at its end, right after one; twice; with threads that make batches.
        for (stops, workers) in [(&[1][..], 0), (&[10], 1), (&[7, 31], 2), (&[49, 50], 3)] {
            let folder = tempfile::tempdir().expect("a folder");
            for &stop in stops {
                let (part, _) = run(&device, folder.path(), Some(stop), workers);
                assert_eq!(part.stopped, Some(format!("{stop} steps are done")), "{name}");
            }
            let (resumed, found) = run(&device, folder.path(), None, workers);
            assert_eq!(figures(&resumed), figures(&history), "{name}, stopped at {stops:?}");
            assert!(found == weights, "{name}, stopped at {stops:?}: other weights");
            let best = |folder: &Path| std::fs::read(folder.join("best.safetensors")).expect("it was kept");
            assert!(best(folder.path()) == best(whole.path()), "{name}, stopped at {stops:?}: another best");
        }
    }
}

pub fn plain<'a>(device: &Device, model: &'a Sequential, lr: f32) -> Trainer<'a, 2> {
    let optimizer = Sgd::new(model, SgdOptions { lr, ..SgdOptions::default() }).expect("a rate");
    Trainer::new(device, model, optimizer, |batch, ctx| Ok(outcome(model, batch, ctx)))
}

fn error(trainer: &mut Trainer<2>, train: &DataLoader<Points>) -> String {
    trainer.fit(train, None).expect_err("it cannot go on").to_string()
}

#[test]
fn checkpoints_that_do_not_fit_are_refused_and_the_one_before_still_loads() {
    let device = Device::cpu();
    let folder = tempfile::tempdir().expect("a folder");
    let checkpoints = || Checkpoints::in_folder(folder.path()).keep(3);
    let model = network(&device);
    let trainer = || plain(&device, &model, 0.1).epochs(3);
    trainer().checkpoints(checkpoints()).fit(&loader(300, 0), None).expect("it trains");
    let again = error(&mut trainer().checkpoints(checkpoints()), &loader(300, 0));
    assert!(again.contains("a run is there already, up to step-000000030"), "{again}");
    let other = error(&mut trainer().checkpoints(checkpoints().resume()), &loader(200, 0));
    assert!(other.contains("on other data: 300 items, 32 a batch, shuffled by 7"), "{other}");

    // Cut off, as a disk that failed later may leave it: the one before is taken.
    let last = folder.path().join("step-000000030.safetensors");
    let whole = std::fs::read(&last).expect("it is there");
    std::fs::write(&last, &whole[..whole.len() / 2]).expect("it can be written");
    let history = trainer().checkpoints(checkpoints().resume()).fit(&loader(300, 0), None).expect("it goes on");
    assert_eq!(history.epochs.iter().map(|record| record.step).collect::<Vec<_>>(), [10, 20, 30]);
    assert!(std::fs::read(&last).expect("it is there") == whole || history.epochs.len() == 3);

    for old in std::fs::read_dir(folder.path()).expect("a folder").flatten() {
        std::fs::remove_file(old.path()).expect("it can be removed");
    }
    wgrad::checkpoint::save(&model, &last).expect("it can be written");
    let foreign = error(&mut trainer().checkpoints(checkpoints().resume()), &loader(300, 0));
    assert!(foreign.contains("is no checkpoint of a run"), "{foreign}");

    let held = trainer().checkpoints(Checkpoints::in_folder(folder.path().join("held")));
    let inner = std::cell::RefCell::new(None);
    struct Second<'a>(&'a Path, &'a std::cell::RefCell<Option<String>>);
    impl wgrad::train::Callback for Second<'_> {
        fn name(&self) -> &str {
            "second"
        }

        fn started(&mut self, _run: &mut wgrad::train::Run) -> wgrad::Result<()> {
            let (device, model) = (Device::cpu(), network(&Device::cpu()));
            let mut second = plain(&device, &model, 0.1).checkpoints(Checkpoints::in_folder(self.0).resume());
            *self.1.borrow_mut() = Some(error(&mut second, &loader(300, 0)));
            Ok(())
        }
    }
    held.callback(Second(&folder.path().join("held"), &inner)).fit(&loader(300, 0), None).expect("it trains");
    let told = inner.into_inner().expect("it was asked");
    assert!(told.contains("another run writes its checkpoints here"), "{told}");
}

#[test]
fn runs_end_when_they_should() {
    let device = Device::cpu();
    let model = network(&device);
    let mut wild = plain(&device, &model, 1e30).epochs(9);
    let told = error(&mut wild, &loader(300, 0));
    assert!(told.starts_with("the loss became") && told.contains("smaller learning rate"), "{told}");

    let model = network(&device);
    let history = plain(&device, &model, 0.0)
        .epochs(50)
        .callback(EarlyStopping::new("val_size", 3).by(Better::Larger))
        .fit(&loader(64, 0), Some(&loader(64, 0)))
        .expect("it trains");
    assert!(history.epochs.len() < 50 && history.stopped.is_some(), "{history}");
    let unknown = plain(&device, &model, 0.1).callback(EarlyStopping::new("losses", 3)).fit(&loader(64, 0), None);
    assert!(unknown.expect_err("no such figure").to_string().contains("choose among loss, size"));

    let stopped = plain(&device, &model, 0.1).epochs(9);
    let stop: Stop = stopped.stop_handle();
    stop.stop();
    let mut stopped = stopped;
    assert_eq!(stopped.fit(&loader(64, 0), None).expect("it ends").epochs.len(), 0);

    let history = plain(&device, &model, 0.1)
        .epochs(6)
        .plateau(
            "loss",
            ReduceLrOnPlateau {
                patience: 0,
                threshold: wgrad::optim::schedule::Threshold::Absolute(9.0),
                ..ReduceLrOnPlateau::default()
            },
        )
        .fit(&loader(64, 0), None)
        .expect("it trains");
    assert!(history.epochs[5].lr < 1e-4, "{history}");

    let no_judge = |batch: [&Tensor; 2], ctx: &wgrad::nn::Ctx| Ok(Outcome::of(outcome(&model, batch, ctx).loss));
    let sgd = Sgd::new(&model, SgdOptions::default()).expect("a rate");
    let mut trainer = Trainer::new(&device, &model, sgd, no_judge).metric(Accuracy::new());
    assert!(error(&mut trainer, &loader(64, 0)).contains("the metric `accuracy` has nothing to judge"));
}

/// What a run has come to: its figures and its weights.
fn learned(make: impl for<'a> Fn(Trainer<'a, 2>) -> Trainer<'a, 2>, device: &Device) -> (History, StateDict) {
    let init = &mut Init::new(5, device);
    let model = Sequential::new().push(Linear::new(2, 8, init)).push(Relu::new()).push(Linear::new(8, 2, init));
    let mut trainer = make(plain(device, &model, 0.1).epochs(2).metric(Accuracy::new()));
    let history = trainer.fit(&loader(300, 0), Some(&loader(70, 0))).expect("it trains");
    drop(trainer);
    (history, state(&model).expect("the device works"))
}

#[test]
fn parts_of_a_batch_are_the_whole_batch() {
    for (name, device) in devices() {
        let (whole, weights) = learned(|trainer| trainer.grad_norm(), &device);
        // The last batch has 12 items, which are no whole parts of 5.
        let (parts, same) = learned(|trainer| trainer.grad_norm().micro_batches(5), &device);
        for figure in whole.epochs[1].figures.names() {
            let (a, b) = (whole.last(figure).expect("told"), parts.last(figure).expect("told"));
            assert!((a - b).abs() < 1e-4 * (1.0 + a.abs()), "{name}: {figure} {a} {b}");
        }
        assert!(whole.last("grad_norm") > Some(1e-3), "{name}: {whole}");
        for (path, value) in &weights {
            let numbers = |value: &wgrad::nn::StateTensor| match &value.values {
                wgrad::nn::Values::F32(values) => values.clone(),
                other => panic!("{other:?}"),
            };
            let near = numbers(value).iter().zip(numbers(&same[path])).all(|(a, b)| (a - b).abs() < 1e-5);
            assert!(near, "{name}: {path}");
        }
    }
}

#[test]
fn frozen_layers_move_when_their_time_has_come() {
    for (name, device) in devices() {
        let before = learned(|trainer| trainer.epochs(0), &device).1;
        let moved = |epochs: usize, until: usize| {
            let after = learned(|trainer| trainer.epochs(epochs).freeze("0", until), &device).1;
            ["0.weight", "2.weight"].map(|path| before[path] != after[path])
        };
        assert_eq!(
            (moved(2, usize::MAX), moved(2, 2), moved(2, 1)),
            ([false, true], [false, true], [true, true]),
            "{name}"
        );
    }
    let (device, wrong) = (Device::cpu(), "the model has no parameter at head");
    let model = network(&device);
    assert!(error(&mut plain(&device, &model, 0.1).freeze("head", 1), &loader(64, 0)).contains(wrong));
    let pair = Pair::new(&device);
    let mut trainer = Trainer::of(&device, pair).micro_batches(2);
    let set: Vec<[f32; 3]> = vec![[1.0, 2.0, 3.0]; 8];
    let told = trainer.fit(&DataLoader::new(set, LoaderOptions::default()).expect("a set"), None).expect_err("refused");
    assert!(told.to_string().contains("`micro_batches` is for a trainer of a model"), "{told}");
}

#[test]
fn a_few_batches_tell_whether_a_run_can_learn() {
    let device = Device::cpu();
    let folder = tempfile::tempdir().expect("a folder");
    let checkpoints = || Checkpoints::in_folder(folder.path().join("run"));
    let (fast, _) = learned(|trainer| trainer.epochs(9).fast_dev_run(true).checkpoints(checkpoints()), &device);
    assert_eq!((fast.epochs.len(), fast.epochs[0].step), (1, 2));
    assert!(!folder.path().join("run").exists(), "it kept a checkpoint");
    let (by_heart, _) = learned(|trainer| trainer.epochs(200).overfit_batches(1), &device);
    assert_eq!(by_heart.epochs[199].step, 200);
    assert!(by_heart.last("accuracy") > Some(0.95) && by_heart.last("loss") < Some(0.35), "{:?}", by_heart.epochs[199]);

    // A fault in validation is told before the first step.
    let model = network(&device);
    let steps = std::cell::Cell::new(0);
    let sgd = Sgd::new(&model, SgdOptions::default()).expect("a rate");
    let mut trainer = Trainer::new(&device, &model, sgd, |batch, ctx| match ctx.mode() {
        wgrad::nn::Mode::Eval => Err(wgrad::Error::Data("no validation today".into())),
        wgrad::nn::Mode::Train => {
            steps.set(steps.get() + 1);
            Ok(outcome(&model, batch, ctx))
        }
    });
    trainer = trainer.sanity_batches(1);
    let told = trainer.fit(&loader(64, 0), Some(&loader(64, 0))).expect_err("it is refused").to_string();
    assert!(told.contains("no validation today") && steps.get() == 0, "{told}");
}

/// Batches that end before they said so, as a stream may.
struct Stream(usize);

impl wgrad::train::Batches<2> for Stream {
    fn len(&self) -> usize {
        usize::MAX
    }

    fn epoch_from(
        &self,
        epoch: u64,
        batch: usize,
    ) -> Box<dyn Iterator<Item = wgrad::Result<[wgrad::data::Array; 2]>> + '_> {
        let all = loader(32 * self.0.max(1), 0).epoch(epoch).map(|batch| Ok(batch?.columns)).collect::<Vec<_>>();
        Box::new(all.into_iter().take(self.0).skip(batch))
    }

    fn fingerprint(&self) -> String {
        "a stream".into()
    }
}

#[test]
fn a_set_of_unknown_length_ends_its_epoch_where_it_ends() {
    let device = Device::cpu();
    let model = network(&device);
    let history = plain(&device, &model, 0.1).epochs(3).fit(&Stream(4), None).expect("it trains");
    assert_eq!(history.epochs.iter().map(|epoch| epoch.step).collect::<Vec<_>>(), [4, 8, 12]);
    let empty = plain(&device, &model, 0.1).fit(&Stream(0), None).expect_err("no batch").to_string();
    assert!(empty.contains("epoch 1 has no batch"), "{empty}");
}

/// Two models that learn from each other.
struct Pair {
    models: [Linear; 2],
    optimizers: [Sgd; 2],
}

impl Trained for Pair {
    fn modules(&self) -> Vec<(&str, &dyn Module)> {
        vec![("a", &self.models[0]), ("b", &self.models[1])]
    }

    fn optimizers(&mut self) -> Vec<(&str, &mut dyn Optimizer)> {
        let [a, b] = &mut self.optimizers;
        vec![("a", a), ("b", b)]
    }
}

impl Pair {
    fn new(device: &Device) -> Pair {
        let init = &mut Init::new(1, device);
        let models = [Linear::new(3, 2, init), Linear::new(3, 2, init)];
        let sgd = |model: &Linear| Sgd::new(model, SgdOptions { lr: 0.1, ..SgdOptions::default() }).expect("a rate");
        let optimizers = [sgd(&models[0]), sgd(&models[1])];
        Pair { models, optimizers }
    }

    fn apart(&self, x: &Tensor, ctx: &wgrad::nn::Ctx) -> Tensor {
        (self.models[0].forward(x, ctx) - self.models[1].forward(x, ctx)).square().mean()
    }
}

impl Task<1> for Pair {
    fn train(&mut self, [x]: [&Tensor; 1]) -> wgrad::Result<Outcome> {
        let loss = self.apart(x, &wgrad::nn::Ctx::train());
        let grads = loss.backward();
        self.optimizers.iter_mut().for_each(|optimizer| optimizer.step(&grads));
        Ok(Outcome::of(loss))
    }

    fn evaluate(&mut self, [x]: [&Tensor; 1]) -> wgrad::Result<Outcome> {
        Ok(self.apart(x, &wgrad::nn::Ctx::eval()).into())
    }
}

#[test]
fn a_task_of_ones_own_is_trained_too() {
    for (name, device) in devices() {
        let set: Vec<[f32; 3]> = (0..64).map(|i| [(i as f32).sin(), (i as f32).cos(), 1.0]).collect();
        let train = DataLoader::new(set, LoaderOptions { batch_size: 16, ..LoaderOptions::default() }).expect("a set");
        let mut trainer = Trainer::of(&device, Pair::new(&device)).epochs(10);
        let history = trainer.fit(&train, Some(&train)).expect("it trains");
        assert!(history.last("val_loss") < Some(1e-2), "{name}: {history}");
        let again = trainer.evaluate(&train).expect("it can");
        assert_eq!(again.get("loss"), history.last("val_loss"), "{name}");
    }
}

#[test]
fn an_average_is_what_is_evaluated() {
    let device = Device::cpu();
    let model = network(&device);
    let sgd = Sgd::new(&model, SgdOptions { lr: 0.5, ..SgdOptions::default() }).expect("a rate");
    // It never moves from the first weights.
    let average = Ema::new(&model, 1.0).expect("a good decay");
    let before = plain(&device, &network(&device), 0.1).evaluate(&loader(64, 0)).expect("it can");
    let step = |batch: [&Tensor; 2], ctx: &wgrad::nn::Ctx| Ok(outcome(&model, batch, ctx));
    let mut trainer = Trainer::averaged(&device, &model, sgd, average, step).epochs(1);
    let history = trainer.fit(&loader(64, 0), Some(&loader(64, 0))).expect("it trains");
    // Statistics of normalisation are no weights, and have moved.
    let (had, has) = (before.get("size").expect("told"), history.last("val_size").expect("told"));
    assert!((had - has).abs() < 0.5 * had, "{had} {has}");
}

#[test]
fn a_search_for_the_rate_leaves_everything_as_it_was() {
    for (name, device) in devices() {
        let model = network(&device);
        let before = state(&model).expect("the device works");
        let mut trainer = plain(&device, &model, 0.1).epochs(2);
        let range = LrRange { low: 1e-5, high: 1e4, steps: 80 };
        let found = trainer.find_lr(&loader(300, 0), range).expect("it searches");
        let rate = found.suggestion().expect("the loss falls somewhere");
        assert!((1e-3..10.0).contains(&rate) && found.rates.len() < 80, "{name}: {found:?}");
        assert!(found.chart().to_svg().contains("learning rate"));
        assert!(state(&model).expect("the device works") == before, "{name}: the weights have moved");
        let history = trainer.fit(&loader(300, 0), None).expect("it trains");
        let other = network(&device);
        let plain = plain(&device, &other, 0.1).epochs(2).fit(&loader(300, 0), None).expect("it trains");
        assert_eq!(figures(&history), figures(&plain), "{name}: the run is another");
        let wrong = trainer.find_lr(&loader(300, 0), LrRange { low: 1.0, high: 0.1, steps: 80 });
        assert!(wrong.expect_err("it falls").to_string().contains("80 steps from 1 to 0.1"));
    }
}

#[test]
fn a_stream_of_unknown_length_is_learned_from_and_resumed() {
    for (name, device) in devices() {
        let folder = tempfile::tempdir().expect("a folder");
        // Another order in each epoch.
        let stream =
            Streamed::new(32, |epoch| Ok((0..300).map(move |at| Ok(points(300)[(at * 7 + epoch as usize) % 300]))));
        let fit = |folder: &Path, steps: u64| {
            let model = network(&device);
            let adam = Adam::new(&model, AdamOptions::default()).expect("good options");
            let step = |batch: [&Tensor; 2], ctx: &wgrad::nn::Ctx| Ok(outcome(&model, batch, ctx));
            let checkpoints = Checkpoints::in_folder(folder).every_steps(4).resume();
            let mut trainer =
                Trainer::new(&device, &model, adam, step).epochs(2).max_steps(steps).checkpoints(checkpoints);
            let history = trainer.fit(&stream, None).expect("the run goes on");
            assert!(history.epochs.iter().all(|epoch| epoch.figures.get("size").is_some()), "on {name}: {history:?}");
            drop(trainer);
            (history.epochs.last().map_or(0, |epoch| epoch.step), state(&model).expect("the device works"))
        };
        let whole = fit(&folder.path().join("whole"), u64::MAX);
        assert_eq!(whole.0, 20, "on {name}");
        fit(&folder.path().join("parts"), 14);
        assert!(fit(&folder.path().join("parts"), u64::MAX) == whole, "on {name}");
        // Where an epoch ends no step is left to name what it tells.
        fit(&folder.path().join("end"), 10);
        assert!(fit(&folder.path().join("end"), u64::MAX) == whole, "on {name}");
        let broken =
            Streamed::new(
                2,
                |_| Ok((0..3).map(|at| if at < 2 { Ok(1.0f32) } else { Err(Error::Data("lost".into())) })),
            );
        let batches: Vec<_> = broken.epoch_from(0, 0).map(|batch| batch.is_ok()).collect();
        assert_eq!(batches, [true, false]);
    }
}

#[test]
fn what_stops_being_finite_is_named() {
    for (name, device) in devices() {
        let told = |data: Points, factor: f32, step: &dyn Fn(&Tensor) -> Tensor| {
            let model = network(&device);
            let last = wgrad::nn::parameters(&model).into_iter().find(|(path, _)| path == "4.bias").expect("a bias").1;
            last.tensor().assign(&last.tensor().affine(1.0, 1.0).affine(factor, 0.0));
            let adam = Adam::new(&model, AdamOptions::default()).expect("good options");
            let mut trainer = Trainer::new(&device, &model, adam, |[x, _]: [&Tensor; 2], ctx| {
                Ok(Outcome::of(step(&model.forward(x, ctx))))
            })
            .detect_anomaly(true);
            let options = LoaderOptions { batch_size: 8, ..LoaderOptions::default() };
            let loader = DataLoader::new(data, options).expect("points");
            trainer.fit(&loader, None).map(drop).map_err(|error| error.to_string())
        };
        let mean = |y: &Tensor| y.square().mean();
        assert_eq!(told(points(16), 1.0, &mean), Ok(()), "on {name}");
        let text = told(vec![([1.0, f32::NAN], 0); 8], 1.0, &mean).expect_err("the data");
        assert!(text.contains("array 0 of the batch, [8, 2], has a number that is not finite"), "on {name}: {text}");
        let text = told(points(16), f32::INFINITY, &mean).expect_err("a weight");
        assert!(
            text.contains("the first layer whose output is not finite is `4 (Linear(32, 2))`"),
            "on {name}: {text}"
        );
        let text = told(points(16), 1.0, &|y| y.relu().sum().affine(-1.0, -1.0).log()).expect_err("the loss");
        assert!(text.contains("all layers gave finite numbers: look at the loss itself"), "on {name}: {text}");
        let text = told(points(16), 1.0, &|y| y.affine(0.0, 0.0).abs().sqrt().sum()).expect_err("a gradient");
        assert!(text.contains("the gradient of `4.bias` is not"), "on {name}: {text}");
    }
}
