//! Ranks that train by themselves and meet now and then.

use super::parallel::{Kind, apart, several};
use super::trainer::{loader, outcome};
use crate::devices::devices;
use std::path::Path;
use wgrad::nn::{BatchNorm1d, Ctx, Flatten, Init, Layer, Linear, Relu, Sequential, StateDict, Tanh, state};
use wgrad::optim::{Adam, AdamOptions, Optimizer, Sgd, SgdOptions};
use wgrad::parallel::{Alone, Compression, DataParallel, DiLoCo, DiLoCoOptions, Group, Threads};
use wgrad::plan::Replay;
use wgrad::train::{Checkpoints, Figures, Trainer};
use wgrad::{Device, Result, Tensor};

#[test]
fn an_outer_step_is_nesterovs_on_the_mean_of_all_ways() {
    let rank = |group: Threads, device: &Device| {
        let model = Linear::new(1, 1, &mut Init::new(0, device));
        let weight = model.weight.tensor().detach();
        weight.upload(&[1.0f32]);
        let diloco = DiLoCo::new(&model, group, DiLoCoOptions { every: 2, ..DiLoCoOptions::default() })?;
        let mut seen = Vec::new();
        for ways in [[2.0f32, 4.0], [1.0, 1.0], [-1.0, 0.0]] {
            let way = ways[diloco.group().rank()];
            assert!(!diloco.step()?);
            weight.assign(&(&weight + way));
            assert!(diloco.step()?);
            seen.push(weight.item()?);
        }
        diloco.sync()?;
        assert_eq!((diloco.exchanges(), weight.item()?), (3, seen[2]));
        Ok(seen)
    };
    let all = Threads::run(&several(&Device::cpu(), 2), rank).expect("nothing fails");
    let (mut shared, mut velocity) = (1.0f64, 0.0f64);
    for (at, mean) in [3.0f64, 1.0, -0.5].into_iter().enumerate() {
        let d = -mean;
        velocity = 0.9 * velocity + d;
        shared -= 0.7 * (d + 0.9 * velocity);
        assert!((f64::from(all[0][at]) - shared).abs() < 1e-5, "{all:?} and {shared}");
    }
    assert_eq!(all[0], all[1]);
}

/// A network taught by hand in replayed steps: its last loss over all items, the outer steps, and the steps.
fn taught(
    group: impl Group + 'static,
    device: &Device,
    (every, epochs): (usize, u64),
    compression: Compression,
    statistics: bool,
) -> Result<(f32, u64, u64)> {
    let init = &mut Init::new(5, device);
    let mut model = Sequential::new().push(Flatten::new()).push(Linear::new(64, 24, init));
    if statistics {
        model = model.push(BatchNorm1d::new(24, init));
    }
    let model = model.push(Tanh::new()).push(Linear::new(24, 4, init));
    let mut adam = Adam::new(&model, AdamOptions { lr: 0.003, ..AdamOptions::default() })?;
    let options = DiLoCoOptions { every, ..DiLoCoOptions::default() };
    let diloco = DiLoCo::new(&model, group, options)?.compress(compression);
    let (loader, mut step, mut steps) = (Kind::Mlp.loader(96, 16)?, Replay::new(), 0);
    for epoch in 0..epochs {
        for batch in diloco.epoch(&loader, epoch) {
            let [x, labels] = batch?.to(device);
            step.run([&x, &labels], |[x, labels]| {
                let loss = model.forward(x, &Ctx::train()).cross_entropy(labels);
                adam.step(&loss.backward());
                Ok(loss)
            })?;
            steps += 1;
            if diloco.step()? {
                // All hold the same.
                let own: Vec<u8> =
                    state(&model)?.values().flat_map(|value| format!("{value:?}").into_bytes()).collect();
                let all = diloco.group().all_gather(&own)?;
                assert!(all.iter().all(|other| *other == own), "behind an outer step ranks differ");
            }
        }
    }
    diloco.sync()?;
    let whole = Kind::Mlp.loader(96, 96)?;
    let [x, labels] = whole.epoch(0).next().expect("a batch")?.to(device);
    let loss = model.forward(&x, &Ctx::eval()).cross_entropy(&labels).item()?;
    Ok((loss, diloco.exchanges(), steps))
}

#[test]
fn ranks_that_meet_every_few_steps_learn_as_well_as_one() {
    for (name, device) in devices() {
        let run = |ranks: usize, times, compression, statistics: bool| {
            let work = |group, device: &Device| taught(group, device, times, compression, statistics);
            let all = Threads::run(&several(&device, ranks), work).expect("they learn");
            assert!(all.iter().all(|other| *other == all[0]), "{name}: {ranks} ranks came to differ");
            all[0]
        };
        let (start, ..) = run(1, (6, 0), Compression::None, false);
        let (alone, ..) = run(1, (6, 40), Compression::None, false);
        assert!(alone < 0.5 * start, "{name}: one has come from {start} to {alone}");
        for ranks in [2, 4] {
            for compression in [Compression::None, Compression::F16] {
                let (loss, exchanges, steps) = run(ranks, (6, 40), compression, false);
                println!("{name}: {ranks} ranks have the loss {loss}, one has {alone}, at the start it was {start}");
                assert_eq!((exchanges, steps), (40, 240), "{name}");
                // Of the way from the start nine tenths at least.
                assert!(start - loss > 0.9 * (start - alone), "{name}: {ranks} ranks have {loss}, one has {alone}");
            }
        }
        // Statistics are averaged, and so the same.
        assert_eq!(run(4, (4, 3), Compression::None, true).1, 5, "{name}");
    }
}

/// A run by the trainer whose inner steps keep no moments, so that what is saved is all.
fn run(
    group: Threads,
    device: &Device,
    folder: &Path,
    until: Option<u64>,
    change: impl FnOnce(Trainer<'_, 2>) -> Trainer<'_, 2>,
) -> Result<(Option<f64>, StateDict)> {
    let init = &mut Init::new(5, device);
    let model = Sequential::new().push(Linear::new(2, 32, init)).push(Relu::new()).push(Linear::new(32, 2, init));
    let sgd = Sgd::new(&model, SgdOptions { lr: 0.1, ..SgdOptions::default() })?;
    let step = |batch: [&Tensor; 2], ctx: &Ctx| Ok(outcome(&model, batch, ctx));
    let mut trainer = Trainer::new(device, &model, sgd, step)
        .epochs(4)
        .checkpoints(Checkpoints::in_folder(folder).every_steps(3).keep(100).resume())
        .parallel(group)
        .diloco(DiLoCoOptions { every: 4, ..DiLoCoOptions::default() });
    if let Some(until) = until {
        trainer = trainer.max_steps(until);
    }
    let history = change(trainer).fit(&loader(300, 1), Some(&loader(70, 0)))?;
    Ok((history.last("val_loss"), state(&model)?))
}

#[test]
fn a_run_of_local_steps_goes_on_with_its_outer_momentum() {
    for (name, device) in devices() {
        let part = |ranks: usize, folder: &Path, until: Option<u64>| {
            let work = |group, device: &Device| run(group, device, folder, until, |trainer| trainer);
            let mut all = Threads::run(&several(&device, ranks), work).expect("they learn");
            assert!(all.iter().all(|other| *other == all[0]), "{name}: ranks came to differ");
            all.swap_remove(0)
        };
        let folders = [(); 3].map(|()| tempfile::tempdir().expect("a folder"));
        let [whole, same, other] = folders.each_ref().map(|folder| folder.path());
        let (loss, weights) = part(2, whole, None);
        // Of an epoch of ten steps: those due at the 3rd and the 6th wait for the 4th and the 8th, and the last is of its end.
        let written = |step: u64| whole.join(format!("step-{step:09}.safetensors")).exists();
        assert!([4, 8, 10, 14, 18, 20, 40].into_iter().all(written), "{name}");
        assert!(![3, 6, 9, 12, 15].into_iter().any(written), "{name}");
        for stop in [8, 20, 34] {
            part(2, same, Some(stop));
        }
        let (_, own) = part(2, same, None);
        assert!(own == weights, "{name}: a run that was stopped at outer steps came to other weights");
        for (ranks, stop) in [(4, 7), (2, 21)] {
            part(ranks, other, Some(stop));
        }
        let (far, _) = part(3, other, None);
        let (far, loss) = (far.expect("it validates"), loss.expect("it validates"));
        assert!(far < 1.5 * loss + 0.05, "{name}: {far} and {loss}");
    }
}

#[test]
fn a_stop_on_one_rank_ends_all_at_an_outer_step() {
    let folder = tempfile::tempdir().expect("a folder");
    let ended = Threads::run(&several(&Device::cpu(), 2), |group, device| {
        let rank = group.rank();
        run(group, device, folder.path(), None, |trainer| {
            // It is seen in the midst of an epoch.
            if rank == 1 { trainer.callback(Stops(4)) } else { trainer }
        })
    });
    let ended = ended.expect("it ends");
    assert_eq!(ended[0].1, ended[1].1);
    assert!(folder.path().join("step-000000008.safetensors").exists());
    assert!(!folder.path().join("step-000000010.safetensors").exists());
}

/// Asks for an end behind a step.
struct Stops(u64);

impl wgrad::train::Callback for Stops {
    fn name(&self) -> &str {
        "stops"
    }

    fn on_every_rank(&self) -> bool {
        true
    }

    fn step(&mut self, run: &mut wgrad::train::Run) -> Result<()> {
        if run.step == self.0 {
            run.stop("that is enough");
        }
        Ok(())
    }
}

#[test]
fn what_needs_all_ranks_at_each_step_is_refused_beside_local_steps() {
    let refused = |work: &(dyn Fn(Threads, &Device) -> Result<Figures> + Sync)| {
        Threads::run(&several(&Device::cpu(), 2), work).expect_err("it is refused").to_string()
    };
    let step = |_: [&Tensor; 2], _: &Ctx| -> Result<wgrad::train::Outcome> { unreachable!("it is refused before") };
    let model = |device: &Device| Linear::new(2, 2, &mut Init::new(0, device));
    let sgd = |model: &Linear| Sgd::new(model, SgdOptions::default());
    let text = refused(&|group, device| {
        let model = model(device);
        let sgd = Sgd::sharded(&model, SgdOptions::default(), group.clone())?;
        let trainer = Trainer::new(device, &model, sgd, step).parallel(group);
        trainer.diloco(DiLoCoOptions::default()).evaluate(&loader(10, 0))
    });
    assert!(text.starts_with("diloco: the ranks take steps of their own, and a sharded optimizer gives"), "{text}");
    let text = refused(&|group, device| {
        let model = model(device);
        let trainer = Trainer::new(device, &model, sgd(&model)?, step).parallel(group).sync_batch_norm();
        trainer.diloco(DiLoCoOptions::default()).evaluate(&loader(10, 0))
    });
    assert!(text.contains("`sync_batch_norm` takes statistics of all ranks"), "{text}");
    let text = refused(&|group, device| {
        let (model, rank) = (model(device), group.rank());
        let trainer = Trainer::new(device, &model, sgd(&model)?, step).parallel(group);
        let options = DiLoCoOptions { every: 10 + rank, ..DiLoCoOptions::default() };
        trainer.diloco(options).evaluate(&loader(10, 0))
    });
    let due = "the ranks have other options: rank 0 has an outer step every 10 steps, of the rate 0.7 and the momentum 0.9, rank 1 \
               has an outer step every 11 steps";
    assert!(text.starts_with(due), "{text}");
    for (options, due) in [
        (DiLoCoOptions { every: 0, ..DiLoCoOptions::default() }, "every: expected a step"),
        (DiLoCoOptions { momentum: 1.0, ..DiLoCoOptions::default() }, "outer momentum: 1 is not in 0..1"),
        (DiLoCoOptions { lr: f32::NAN, ..DiLoCoOptions::default() }, "outer learning rate: NaN is not"),
    ] {
        let text = DiLoCo::new(&model(&Device::cpu()), Alone, options).expect_err("it is refused").to_string();
        assert!(text.starts_with(due), "{text}");
    }
}

#[test]
fn outer_momenta_are_saved_and_loaded_by_name() {
    let device = Device::cpu();
    let model = Linear::new(2, 1, &mut Init::new(0, &device));
    let diloco = DiLoCo::new(&model, Alone, DiLoCoOptions::default()).expect("it is made");
    let saved = diloco.state();
    assert_eq!(saved.keys().collect::<Vec<_>>(), ["exchanges", "momentum.bias", "momentum.weight"]);
    diloco.load_state(&saved).expect("it fits");
    let other = Linear::new(3, 1, &mut Init::new(0, &device));
    let other = DiLoCo::new(&other, Alone, DiLoCoOptions::default()).expect("it is made");
    let text = other.load_state(&saved).expect_err("it does not fit").to_string();
    assert_eq!(text, "DiLoCo's state `momentum.weight` is [1, 2], not [1, 3]");
    assert_eq!(apart(&state(&model).expect("it is read"), &state(&model).expect("it is read")), 0.0);
}

/// A network with batch normalisation taught by 4 ranks of 4 items each, with an exchange at each step or an outer step every six:
/// its loss over all items by running statistics, and by those of all items.
fn with_statistics(group: Threads, device: &Device, local: bool) -> Result<[f32; 2]> {
    let init = &mut Init::new(5, device);
    let model = Sequential::new().push(Flatten::new()).push(Linear::new(64, 24, init)).push(BatchNorm1d::new(24, init));
    let model = model.push(Tanh::new()).push(Linear::new(24, 4, init));
    let mut adam = Adam::new(&model, AdamOptions { lr: 0.003, ..AdamOptions::default() })?;
    let parallel = DataParallel::new(&model, group.clone())?;
    let diloco = DiLoCo::new(&model, group, DiLoCoOptions { every: 6, ..DiLoCoOptions::default() })?;
    let loader = Kind::Mlp.loader(96, 16)?;
    for epoch in 0..40 {
        for batch in parallel.epoch(&loader, epoch) {
            let [x, labels] = batch?.to(device);
            let loss = model.forward(&x, &Ctx::train()).cross_entropy(&labels);
            adam.step(&if local { loss.backward() } else { parallel.backward(&loss)? });
            if local {
                diloco.step()?;
            }
        }
    }
    diloco.sync()?;
    let whole = Kind::Mlp.loader(96, 96)?;
    let [x, labels] = whole.epoch(0).next().expect("a batch")?.to(device);
    let loss = |ctx: &Ctx| model.forward(&x, ctx).cross_entropy(&labels).item();
    Ok([loss(&Ctx::eval())?, loss(&Ctx::train())?])
}

#[test]
fn running_statistics_are_those_of_the_weights_that_local_steps_came_to() {
    let run = |local: bool| {
        let all = Threads::run(&several(&Device::cpu(), 4), |group, device| with_statistics(group, device, local));
        all.expect("they learn")[0]
    };
    let [loss, exact] = run(true);
    assert!((loss / exact - 1.0).abs() < 0.05, "the loss is {loss}, and {exact} by the statistics of all items");
    // What few items a rank cost, they cost with an exchange at each step as well.
    let [each_step, _] = run(false);
    println!("local steps have the loss {loss}, an exchange at each step {each_step}");
    assert!(loss < 1.1 * each_step, "local steps have the loss {loss}, an exchange at each step {each_step}");
}
