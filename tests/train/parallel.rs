//! Several ranks on one machine: they learn what one would, to the same bits each time, and end together.

use super::trainer::{loader, network, outcome};
use crate::devices::devices;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use wgrad::data::{Array, DataLoader, LoaderOptions};
use wgrad::metrics::{Accuracy, ConfusionCounts, LogLoss};
use wgrad::nn::{
    BatchNorm1d, BatchNorm2d, Conv2d, Ctx, Embedding, Flatten, Init, Layer, LayerNorm, Linear, Module,
    MultiheadAttention, Relu, Sequential, StateDict, Tanh, Values, state,
};
use wgrad::optim::{Adam, AdamOptions, Momentum, Optimizer, Sgd, SgdOptions};
use wgrad::parallel::{Alone, DataParallel, Group, Threads};
use wgrad::plan::Replay;
use wgrad::train::{Callback, Checkpoints, EarlyStopping, History, Outcome, Run, Trainer};
use wgrad::{AttentionOptions, Device, Error, Result, Tensor};

/// So many handles of a device.
pub fn several(device: &Device, ranks: usize) -> Vec<Device> {
    vec![device.clone(); ranks]
}

/// The largest difference of two models' values, beside the largest value.
pub fn apart(a: &StateDict, b: &StateDict) -> f32 {
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    let each = a.iter().map(|(path, value)| match (&value.values, &b[path].values) {
        (Values::F32(a), Values::F32(b)) => {
            let most = a.iter().fold(1e-3f32, |most, x| most.max(x.abs()));
            a.iter().zip(b).fold(0.0f32, |far, (a, b)| far.max((a - b).abs() / most))
        }
        (a, b) => f32::from(u8::from(a != b)),
    });
    each.fold(0.0, f32::max)
}

/// Networks of several kinds, and what they learn from: inputs `[n, 1, 8, 8]`, or characters `[n, 8]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Mlp,
    Cnn,
    Gpt,
}

/// A Transformer of one block.
#[derive(Module)]
struct Gpt {
    letters: Embedding,
    norm: LayerNorm,
    attention: MultiheadAttention,
    head: Linear,
}

impl Layer for Gpt {
    fn call(&self, ids: &Tensor, ctx: &Ctx) -> Tensor {
        let x = self.letters.forward(ids, ctx);
        let y = self.attention.attend_self(&self.norm.forward(&x, ctx), &AttentionOptions::causal(), ctx);
        self.head.forward(&x.add(&y), ctx).narrow(1, 7, 1).squeeze(1)
    }
}

impl Kind {
    pub fn model(self, init: &mut Init) -> Box<dyn Layer> {
        match self {
            Kind::Mlp => Box::new(
                Sequential::new()
                    .push(Flatten::new())
                    .push(Linear::new(64, 24, init))
                    .push(Tanh::new())
                    .push(Linear::new(24, 4, init)),
            ),
            Kind::Cnn => Box::new(
                Sequential::new()
                    .push(Conv2d::new(1, 6, 3, init).padding(1))
                    .push(Tanh::new())
                    .push(Flatten::new())
                    .push(Linear::new(384, 4, init)),
            ),
            Kind::Gpt => Box::new(Gpt {
                letters: Embedding::new(11, 16, init),
                norm: LayerNorm::new([16], init),
                attention: MultiheadAttention::new(16, 2, init),
                head: Linear::new(16, 4, init),
            }),
        }
    }

    /// An item's class is that of its first part.
    pub fn loader(self, count: usize, batch_size: usize) -> Result<DataLoader<Vec<(Array, i32)>>> {
        let item = |i: usize| match self {
            Kind::Gpt => {
                let letters: Vec<i32> = (0..8).map(|at| ((i * 7 + at * 5 + i * at) % 11) as i32).collect();
                (Array::new(letters.clone(), [8]), letters[0] % 4)
            }
            _ => {
                let pixels: Vec<f32> = (0..64).map(|at| ((i * 13 + at * 7) as f32).sin()).collect();
                let class = (pixels[0] * 1.99 + 2.0) as i32;
                (Array::new(pixels, [1, 8, 8]), class)
            }
        };
        let options = LoaderOptions { batch_size, shuffle: Some(3), ..LoaderOptions::default() };
        DataLoader::new((0..count).map(item).collect(), options)
    }
}

/// A loop by hand over so many epochs, as a rank of a group; what the model has become.
fn taught(kind: Kind, group: impl Group + 'static, device: &Device, count: usize, epochs: u64) -> Result<StateDict> {
    // The seed of a rank is another: all begin with the weights of rank 0.
    let model = kind.model(&mut Init::new(5 + group.rank() as u64, device));
    let sgd = SgdOptions { lr: 0.05, momentum: Momentum::HeavyBall(0.9), ..SgdOptions::default() };
    let mut optimizer = Sgd::new(&model, sgd)?.clip_grad_norm(1.0)?;
    let parallel = DataParallel::new(&model, group)?.bucket_bytes(1000);
    let (loader, mut step) = (kind.loader(count, 16)?, Replay::new());
    for epoch in 0..epochs {
        for batch in parallel.epoch(&loader, epoch) {
            let [x, labels] = batch?.to(device);
            step.run([&x, &labels], |[x, labels]| {
                let loss = model.forward(x, &Ctx::train()).cross_entropy(labels);
                optimizer.step(&parallel.backward(&loss)?);
                Ok(loss)
            })?;
        }
    }
    state(&model)
}

#[test]
fn several_ranks_learn_what_one_does_to_the_same_bits_each_time() {
    for (name, device) in devices() {
        for kind in [Kind::Mlp, Kind::Cnn, Kind::Gpt] {
            // Seven batches: the last one is of two items, fewer than four ranks.
            let alone = taught(kind, Alone, &device, 98, 7).expect("it learns");
            let start = taught(kind, Alone, &device, 98, 0).expect("it is made");
            assert!(apart(&alone, &start) > 0.1, "{kind:?} on {name} has not moved");
            for ranks in [2, 4] {
                let run = || Threads::run(&several(&device, ranks), |group, device| taught(kind, group, device, 98, 7));
                let all = run().expect("they learn");
                assert!(all.iter().all(|other| *other == all[0]), "{kind:?} on {name}: {ranks} ranks came to differ");
                let far = apart(&all[0], &alone);
                assert!(far < 2e-4, "{kind:?} on {name}: {ranks} ranks are {far} from one");
                assert!(run().expect("they learn") == all, "{kind:?} on {name}: other bits the second time");
            }
        }
    }
}

#[test]
fn unlike_devices_learn_together() {
    let Some(gpu) = crate::devices::gpu() else { return };
    let all = Threads::run(&[Device::cpu(), gpu], |group, device| taught(Kind::Cnn, group, device, 98, 3));
    let all = all.expect("they learn");
    assert!(apart(&all[0], &all[1]) < 1e-3);
}

/// A run by the trainer as a rank of a group: its history and weights.
struct Asked<'a> {
    folder: Option<&'a Path>,
    until: Option<u64>,
    micro: usize,
}

const PLAIN: Asked = Asked { folder: None, until: None, micro: 1 };

fn run(group: impl Group + 'static, device: &Device, asked: &Asked) -> Result<(History, StateDict, Vec<f64>)> {
    let init = &mut Init::new(5, device);
    let model = Sequential::new().push(Linear::new(2, 32, init)).push(Relu::new()).push(Linear::new(32, 2, init));
    let adam = Adam::new(&model, AdamOptions { lr: 0.02, ..AdamOptions::default() })?.clip_grad_norm(1.0)?;
    let average = adam.ema(0.9)?;
    let step = |batch: [&Tensor; 2], ctx: &Ctx| Ok(outcome(&model, batch, ctx));
    let mut trainer = Trainer::averaged(device, &model, adam, average, step)
        .epochs(4)
        .metric(Accuracy::new())
        .metric(LogLoss::new())
        .micro_batches(asked.micro)
        .callback(EarlyStopping::new("val_loss", 4).restore_best())
        .parallel(group);
    if let Some(folder) = asked.folder {
        trainer = trainer.checkpoints(Checkpoints::in_folder(folder).every_steps(3).best("val_accuracy").resume());
    }
    if let Some(until) = asked.until {
        trainer = trainer.max_steps(until);
    }
    // The last batches have 12 and 6 items.
    let history = trainer.fit(&loader(300, 1), Some(&loader(70, 0)))?;
    let counts = trainer.measure(ConfusionCounts::new(2), &loader(70, 0))?;
    drop(trainer);
    Ok((history, state(&model)?, counts))
}

/// The figures of all epochs, one after the other.
fn figures(history: &History) -> Vec<(String, f64)> {
    let all =
        history.epochs.iter().flat_map(|record| record.figures.iter().map(|(name, value)| (name.to_string(), value)));
    all.chain(history.epochs.iter().map(|record| ("step".to_string(), record.step as f64))).collect()
}

#[track_caller]
fn near(a: &History, b: &History) {
    let (a, b) = (figures(a), figures(b));
    assert_eq!(a.len(), b.len(), "{a:?} {b:?}");
    for ((name, a), (other, b)) in a.iter().zip(&b) {
        assert!(name == other && (a - b).abs() < 2e-3 * b.abs().max(1.0), "{name} is {a}, not {b}");
    }
}

#[test]
fn a_run_of_the_trainer_has_the_figures_of_one_rank() {
    for (name, device) in devices() {
        for micro in [1, 3] {
            let asked = Asked { micro, ..PLAIN };
            let (alone, weights, counts) = run(Alone, &device, &asked).expect("it learns");
            assert!(alone.last("val_accuracy") > Some(0.8), "{name}: {alone}");
            for ranks in [2, 4] {
                let all = Threads::run(&several(&device, ranks), |group, device| run(group, device, &asked));
                let all = all.expect("they learn");
                for (history, own, own_counts) in &all {
                    near(history, &alone);
                    assert_eq!(own, &all[0].1, "{name}: {ranks} ranks came to differ");
                    assert_eq!(own_counts.iter().sum::<f64>(), counts.iter().sum::<f64>(), "{name}");
                }
                let far = apart(&all[0].1, &weights);
                assert!(far < 2e-2, "{name}: {ranks} ranks are {far} from one");
            }
        }
    }
}

#[test]
fn a_run_goes_on_with_another_number_of_ranks() {
    for (name, device) in devices() {
        let part = |ranks: usize, folder: &Path, until: Option<u64>| {
            let asked = Asked { folder: Some(folder), until, micro: 1 };
            let mut all =
                Threads::run(&several(&device, ranks), |group, device| run(group, device, &asked)).expect("they learn");
            assert!(all.iter().all(|other| other.1 == all[0].1), "{name}: ranks came to differ");
            all.swap_remove(0)
        };
        let folders = [(); 4].map(|()| tempfile::tempdir().expect("a folder"));
        let [one, two, same, other] = folders.each_ref().map(|folder| folder.path());
        let (alone, ..) = part(1, one, None);
        let (whole, weights, _) = part(2, two, None);
        near(&whole, &alone);
        // Within an epoch, and at its end.
        for stop in [7, 20] {
            part(2, same, Some(stop));
        }
        let (resumed, own, _) = part(2, same, None);
        near(&resumed, &whole);
        assert!(own == weights, "{name}: a run that was stopped came to other weights");
        for (stop, ranks) in [(7, 4), (11, 1), (20, 2)] {
            part(ranks, other, Some(stop));
        }
        let (resumed, own, _) = part(4, other, None);
        near(&resumed, &whole);
        assert!(apart(&own, &weights) < 2e-2, "{name}");
        assert!(other.join("best.safetensors").exists());
    }
}

#[test]
fn batch_normalisation_and_dropout_are_the_same_bits_each_time() {
    for (name, device) in devices() {
        let run = || {
            Threads::run(&several(&device, 2), |group, device| {
                let model = network(device);
                let sgd = Sgd::new(&model, SgdOptions { lr: 0.1, ..SgdOptions::default() })?;
                let mut trainer = Trainer::new(device, &model, sgd, |batch, ctx| Ok(outcome(&model, batch, ctx)));
                trainer = trainer.epochs(4).metric(Accuracy::new()).parallel(group);
                let history = trainer.fit(&loader(301, 0), Some(&loader(64, 0)))?;
                drop(trainer);
                Ok((history.last("val_loss"), history.last("val_accuracy"), state(&model)?))
            })
        };
        let all = run().expect("they learn");
        assert!(all[0] == all[1], "{name}: ranks came to differ");
        assert!(all[0].1 > Some(0.7), "{name}: {:?}", all[0].1);
        assert!(run().expect("they learn") == all, "{name}: other bits the second time");
    }
}

#[test]
fn statistics_over_the_group_are_those_of_one_rank() {
    for (name, device) in devices() {
        let run = |group: Arc<dyn Group>, device: &Device| {
            let init = &mut Init::new(5, device);
            let model =
                Sequential::new().push(Conv2d::new(1, 4, 3, init)).push(BatchNorm2d::new(4, init)).push(Tanh::new());
            let model = model.push(Flatten::new()).push(Linear::new(144, 6, init)).push(BatchNorm1d::new(6, init));
            let sgd = Sgd::new(&model, SgdOptions { lr: 0.1, ..SgdOptions::default() })?;
            let step =
                |[x, labels]: [&Tensor; 2], ctx: &Ctx| Ok(Outcome::of(model.forward(x, ctx).cross_entropy(labels)));
            let mut trainer = Trainer::new(device, &model, sgd, step).epochs(4).sync_batch_norm().parallel(group);
            // The last batch has two items, which four ranks share.
            let history = trainer.fit(&Kind::Cnn.loader(50, 16)?, None)?;
            drop(trainer);
            Ok((history, state(&model)?))
        };
        let (alone, weights) = run(Arc::new(Alone), &device).expect("it learns");
        for ranks in [2, 4] {
            let all = Threads::run(&several(&device, ranks), |group, device| run(Arc::new(group), device))
                .expect("they learn");
            assert!(all.iter().all(|other| other.1 == all[0].1), "{name}: {ranks} ranks came to differ");
            near(&all[0].0, &alone);
            let far = apart(&all[0].1, &weights);
            assert!(far < 2e-3, "{name}: {ranks} ranks are {far} from one");
        }
    }
}

/// A group that says nothing but how values are gathered.
struct Own(Threads);

impl Group for Own {
    fn rank(&self) -> usize {
        self.0.rank()
    }

    fn size(&self) -> usize {
        self.0.size()
    }

    fn all_gather(&self, own: &[u8]) -> Result<Vec<Vec<u8>>> {
        self.0.all_gather(own)
    }
}

#[test]
fn a_group_of_ones_own_says_one_method() {
    let three = several(&Device::cpu(), 3);
    let values = |rank: usize| (0..10).map(|i| ((rank * 10 + i) as f32).sin() * 1e3).collect::<Vec<f32>>();
    let all = Threads::run(&three, |group, _| {
        let (mut sums, mut own) = (values(group.rank()), values(group.rank()));
        group.all_reduce(&mut sums)?;
        Own(group.clone()).all_reduce(&mut own)?;
        assert_eq!(
            sums.iter().map(|x| x.to_bits()).collect::<Vec<_>>(),
            own.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
        );
        group.barrier()?;
        let parts: Vec<Vec<u8>> = (0..3).map(|to| vec![group.rank() as u8; 2 * to + group.rank()]).collect();
        let dealt = group.all_to_all(parts.clone())?;
        let due: Vec<Vec<u8>> = (0..3).map(|from| vec![from as u8; 2 * group.rank() + from]).collect();
        assert_eq!((&dealt, Own(group.clone()).all_to_all(parts)?), (&due, due.clone()));
        let gathered = group.gather(1, vec![7; group.rank()])?;
        let due = if group.rank() == 1 { vec![vec![], vec![7], vec![7; 2]] } else { Vec::new() };
        assert_eq!((&gathered, Own(group.clone()).gather(1, vec![7; group.rank()])?), (&due, due.clone()));
        let told = group.broadcast(1, vec![group.rank() as u8; 3 + group.rank()])?;
        Ok((sums, told))
    });
    let all = all.expect("nothing fails");
    for (sums, told) in &all {
        assert_eq!((sums, told), (&all[0].0, &vec![1; 4]));
        let due = |i: usize| (values(0)[i] + values(1)[i]) + values(2)[i];
        assert!(sums.iter().enumerate().all(|(i, sum)| *sum == due(i)), "not in the order of ranks");
    }
    let own = Threads::run(&three, |group, device| taught(Kind::Mlp, Own(group), device, 40, 2)).expect("they learn");
    let threads = Threads::run(&three, |group, device| taught(Kind::Mlp, group, device, 40, 2)).expect("they learn");
    assert!(own == threads);
}

#[test]
fn where_a_rank_fails_all_end_with_its_sentence() {
    let full = || Error::Data("the disk is full".into());
    let others = Mutex::new(Vec::new());
    let failed = |how: &(dyn Fn() -> Result<()> + Sync)| {
        Threads::run(&several(&Device::cpu(), 3), |group, device| {
            let rank = group.rank();
            let ended = (|| {
                let model = Kind::Mlp.model(&mut Init::new(0, device));
                let parallel = DataParallel::new(&model, group)?;
                let x = Tensor::ones([2, 1, 8, 8], device);
                for step in 0..10 {
                    if rank == 1 && step == 3 {
                        how()?;
                    }
                    parallel.backward(&model.forward(&x, &Ctx::train()).square().mean())?;
                }
                Ok(())
            })();
            if let Err(error) = &ended {
                others.lock().expect("no panic").push((rank, Error::to_string(error)));
            }
            ended
        })
    };
    assert_eq!(failed(&|| Err(full())).expect_err("it fails"), full());
    for rank in [0, 2] {
        let due = (rank, "rank 1 of 3 has ended: the disk is full".to_string());
        assert!(others.lock().expect("no panic").contains(&due), "{others:?}");
    }
    others.lock().expect("no panic").clear();
    let panics = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| failed(&|| panic!("by chance"))));
    assert_eq!(panics.expect_err("it panics").downcast_ref::<&str>(), Some(&"by chance"));
    assert!(
        others.lock().expect("no panic").iter().all(|(_, text)| text.ends_with("it panicked: by chance")),
        "{others:?}"
    );
}

#[test]
fn ranks_that_are_not_alike_are_refused() {
    let device = Device::cpu();
    let refused = |work: &(dyn Fn(Threads, &Device) -> Result<()> + Sync)| {
        Threads::run(&several(&device, 2), work).expect_err("it is refused").to_string()
    };
    let model = |device: &Device, width| Linear::new(2, width, &mut Init::new(0, device));
    let text = refused(&|group, device| DataParallel::new(&model(device, 1 + group.rank()), group).map(drop));
    assert!(
        text.starts_with(
            "the ranks have other models: rank 0 has model.weight of f32 [1, 2], rank 1 has model.weight of f32 [2, 2]"
        ),
        "{text}"
    );
    let fit = |rows: &dyn Fn(usize) -> usize, change: &dyn Fn(usize, &Linear), group: Threads, device: &Device| {
        let (rank, model) = (group.rank(), model(device, 1));
        let set = DataLoader::new(vec![([1.0f32; 2], 1.0f32); rows(rank)], LoaderOptions::default())?;
        let sgd = Sgd::new(&model, SgdOptions::default())?;
        let step = |[x, _y]: [&Tensor; 2], ctx: &Ctx| {
            change(rank, &model);
            Ok(Outcome::of(model.forward(x, ctx).square().mean()))
        };
        Trainer::new(device, &model, sgd, step).parallel(group).fit(&set, None).map(drop)
    };
    let text = refused(&|group, device| fit(&|rank| 4 + rank, &|_, _| (), group, device));
    assert!(text.starts_with("the ranks have other data: rank 0 has 4 items"), "{text}");
    let moved = |rank: usize, model: &Linear| {
        if rank == 1 {
            model.bias.iter().for_each(|bias| bias.tensor().assign(&(bias.tensor().detach() + 1.0)));
        }
    };
    let text = refused(&|group, device| fit(&|_| 4, &moved, group, device));
    assert!(text.starts_with("the ranks have other weights: rank 0 has model.bias"), "{text}");
    let text = refused(&|group, device| {
        let (rank, model) = (group.rank(), model(device, 1));
        let parallel = DataParallel::new(&model, group)?;
        let y = model.forward(&Tensor::ones([4, 2], device), &Ctx::train());
        let loss = if rank == 1 { y.square().mean() } else { model.weight.tensor().square().mean() };
        parallel.backward(&loss).map(drop)
    });
    assert!(text.starts_with("the ranks have other gradients: rank 0 has"), "{text}");
    let text = refused(&|group, _| if group.rank() == 0 { group.barrier() } else { group.all_reduce(&mut [1.0]) });
    assert!(text.contains("the ranks call different methods"), "{text}");
    let text = refused(&|group, _| group.all_to_all(vec![Vec::new(); 3]).map(drop));
    assert!(text.starts_with("all_to_all: expected a part for each of 2 ranks, got 3"), "{text}");
    let text = refused(&|group, _| group.all_reduce(&mut vec![1.0; 3 + group.rank()]));
    assert!(text.starts_with("all_reduce: rank 1 has 4 values where rank 0 has 3"), "{text}");
}

/// Counts what it is told.
struct Counts<'a> {
    steps: &'a AtomicUsize,
    everywhere: bool,
}

impl Callback for Counts<'_> {
    fn name(&self) -> &str {
        "counts"
    }

    fn on_every_rank(&self) -> bool {
        self.everywhere
    }

    fn step(&mut self, run: &mut Run) -> Result<()> {
        self.steps.fetch_add(1, Ordering::Relaxed);
        if self.everywhere || run.step < 4 {
            return Ok(());
        }
        run.stop("that is enough");
        Ok(())
    }
}

#[test]
fn one_rank_tells_and_a_stop_on_one_is_that_of_all() {
    let device = Device::cpu();
    let (told, everywhere) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let stopped = Threads::run(&several(&device, 2), |group, device| {
        let model = network(device);
        let mut trainer = super::trainer::plain(device, &model, 0.1)
            .epochs(9)
            .callback(Counts { steps: &told, everywhere: false })
            .callback(Counts { steps: &everywhere, everywhere: true })
            .parallel(group);
        let history = trainer.fit(&loader(300, 0), None)?;
        Ok(history.stopped)
    });
    assert!(stopped.expect("it ends").iter().all(Option::is_some));
    let told = told.into_inner();
    assert!((4..7).contains(&told), "{told} steps");
    assert_eq!(everywhere.into_inner(), 2 * told);
}

#[test]
fn buckets_leave_while_backward_goes_on() {
    for (name, device) in devices() {
        let places = Threads::run(&several(&device, 2), |group, device| {
            let model = Kind::Mlp.model(&mut Init::new(0, device));
            let mut sgd = Sgd::new(&model, SgdOptions::default())?;
            let parallel = DataParallel::new(&model, group)?.bucket_bytes(64);
            let step = device.capture(&Tensor::ones([4, 1, 8, 8], device), |x| {
                let loss = model.forward(x, &Ctx::train()).square().mean();
                sgd.step(&parallel.backward(&loss)?);
                Ok(loss)
            })?;
            Ok(step.plan().dispatches().iter().map(|d| d.kernel.name).collect::<Vec<_>>())
        });
        for kernels in places.expect("they can be captured") {
            let seams: Vec<usize> = (0..kernels.len()).filter(|at| kernels[*at] == "host").collect();
            // Three buckets go and come.
            assert_eq!(seams.len(), 6, "{name}: {kernels:?}");
            let last = kernels.iter().rposition(|kernel| kernel.contains("linear")).expect("a product");
            assert!(seams[0] < last && last < seams[3], "{name}: {kernels:?}");
        }
    }
}
