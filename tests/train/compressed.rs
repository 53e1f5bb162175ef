//! Gradients of half size between ranks.

use super::parallel::{Kind, apart, several};
use crate::devices::devices;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use wgrad::autograd::Grads;
use wgrad::nn::{BatchNorm1d, Ctx, Flatten, Init, Layer, Linear, Sequential, StateDict, state};
use wgrad::optim::{GradScaler, Momentum, Optimizer, Sgd, SgdOptions};
use wgrad::parallel::{Compression, DataParallel, Group, Threads};
use wgrad::plan::Replay;
use wgrad::train::{Outcome, Trainer};
use wgrad::{Device, Result, Tensor};

/// A replayed loop by hand over 96 items, in six batches: the weights and the last loss over all.
fn taught(group: impl Group + 'static, device: &Device, compression: Compression) -> Result<(StateDict, f32)> {
    let init = &mut Init::new(5, device);
    // Statistics are not compressed: 1e6 is beyond f16.
    let model = Sequential::new().push(Flatten::new()).push(Linear::new(64, 24, init)).push(BatchNorm1d::new(24, init));
    let model = model.push(Linear::new(24, 4, init));
    let sgd = SgdOptions { lr: 0.05, momentum: Momentum::HeavyBall(0.9), ..SgdOptions::default() };
    let mut optimizer = Sgd::new(&model, sgd)?.clip_grad_norm(1.0)?;
    let parallel = DataParallel::new(&model, group)?.bucket_bytes(1000).compress(compression);
    let (loader, mut step) = (Kind::Mlp.loader(96, 16)?, Replay::new());
    for epoch in 0..6 {
        for batch in parallel.epoch(&loader, epoch) {
            let [x, labels] = batch?.to(device);
            step.run([&x, &labels], |[x, labels]| {
                let loss = model.forward(&(x * 1e3), &Ctx::train()).cross_entropy(labels);
                optimizer.step(&parallel.backward(&loss)?);
                Ok(loss)
            })?;
        }
    }
    let whole = Kind::Mlp.loader(96, 96)?;
    let [x, labels] = whole.epoch(0).next().expect("a batch")?.to(device);
    let loss = model.forward(&(x * 1e3), &Ctx::eval()).cross_entropy(&labels).item()?;
    Ok((state(&model)?, loss))
}

#[test]
fn compressed_gradients_teach_nearly_the_same_to_the_same_bits_each_time() {
    for (name, device) in devices() {
        for ranks in [2, 3] {
            let run = |compression| {
                let run = |group, device: &Device| taught(group, device, compression);
                Threads::run(&several(&device, ranks), run).expect("they learn")
            };
            let plain = run(Compression::None).swap_remove(0);
            for (compression, most, loss) in [(Compression::F16, 0.01, 0.002), (Compression::BF16, 0.06, 0.02)] {
                let all = run(compression);
                assert!(all.iter().all(|other| *other == all[0]), "{name}: {ranks} ranks came to differ");
                assert!(run(compression) == all, "{name}: other bits the second time");
                let far = apart(&all[0].0, &plain.0);
                println!("{name}, {ranks} ranks, {compression:?}: weights {far} and loss {} of {}", all[0].1, plain.1);
                assert!(far > 0.0 && far < most, "{name}: {ranks} ranks by {compression:?} are {far} from f32");
                let near = (all[0].1 - plain.1).abs() < loss * plain.1;
                assert!(near, "{name}: {ranks} ranks by {compression:?} have the loss {}, not {}", all[0].1, plain.1);
            }
        }
    }
}

/// A group that counts the bytes of gradients that it sends.
struct Counts(Threads, Arc<AtomicUsize>);

impl Group for Counts {
    fn rank(&self) -> usize {
        self.0.rank()
    }

    fn size(&self) -> usize {
        self.0.size()
    }

    fn all_gather(&self, own: &[u8]) -> Result<Vec<Vec<u8>>> {
        self.1.fetch_add(own.len(), Ordering::Relaxed);
        self.0.all_gather(own)
    }

    fn all_to_all(&self, parts: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>> {
        self.1.fetch_add(parts.iter().map(Vec::len).sum(), Ordering::Relaxed);
        self.0.all_to_all(parts)
    }

    fn all_reduce(&self, values: &mut [f32]) -> Result<()> {
        // All go out, and a part of the sums.
        self.1.fetch_add(size_of_val(values) * (1 + self.size()) / self.size(), Ordering::Relaxed);
        self.0.all_reduce(values)
    }
}

/// A gradient of 1,000 equal values, averaged over two ranks where this one weighs so much; its first element, and the bytes sent.
fn averaged(
    group: Threads,
    device: &Device,
    compression: Compression,
    value: f32,
    weight: usize,
) -> Result<(f32, usize)> {
    let sent = Arc::new(AtomicUsize::new(0));
    let model = Linear::new(1000, 1, &mut Init::new(0, device));
    let parallel = DataParallel::new(&model, Counts(group, sent.clone()))?.compress(compression);
    let weights = model.weight.tensor();
    let grads = || -> Grads { [(&weights, Tensor::full(weights.shape(), value, device))].into_iter().collect() };
    parallel.weigh(weight);
    // The first time layouts are compared too.
    parallel.average(grads())?;
    sent.store(0, Ordering::Relaxed);
    let means = parallel.average(grads())?;
    let mean = means.of(&weights).expect("it was given").to_vec::<f32>()?[0];
    Ok((mean, sent.load(Ordering::Relaxed)))
}

#[test]
fn a_mean_of_nothing_is_refused() {
    for compression in [Compression::None, Compression::F16] {
        let run = |weight: usize| {
            Threads::run(&several(&Device::cpu(), 2), |group, device| {
                let weight = weight * group.rank();
                averaged(group, device, compression, 3.0, weight)
            })
        };
        assert_eq!(run(5).expect("one has items")[0].0, 3.0);
        let told = run(0).expect_err("none has").to_string();
        assert!(told.contains("no rank has an item (DataParallel::weigh), and there is no mean of nothing"), "{told}");
    }
}

#[test]
fn halves_are_half_the_bytes_and_overflow_as_halves_do() {
    let two = several(&Device::cpu(), 2);
    let run = |compression: Compression, value: f32| {
        let all = Threads::run(&two, |group, device| {
            let weight = 64 * (1 + group.rank());
            averaged(group, device, compression, value, weight)
        });
        let all = all.expect("nothing fails");
        assert_eq!((all[0].0.to_bits(), all[0].1), (all[1].0.to_bits(), all[1].1));
        all[0]
    };
    let (plain, bytes) = run(Compression::None, 60_000.0);
    let (mean, half) = run(Compression::F16, 60_000.0);
    assert!((plain - 60_000.0).abs() < 1.0 && (mean - 60_000.0).abs() < 32.0, "weights take no room: {mean}");
    assert!(half * 19 < bytes * 10, "{half} bytes of {bytes}");
    assert_eq!(run(Compression::F16, 1e5).0, f32::INFINITY);
    assert!((run(Compression::BF16, 1e5).0 - 1e5).abs() < 400.0);
    assert!(run(Compression::F16, f32::NAN).0.is_nan());
    assert_eq!(run(Compression::F16, 1e-8).0, 0.0);
}

#[test]
fn a_step_beyond_f16_is_left_out_or_ends_the_run() {
    let two = several(&Device::cpu(), 2);
    let skipped = Threads::run(&two, |group, device| {
        let model = Linear::new(2, 1, &mut Init::new(0, device));
        let before = state(&model)?;
        let (mut sgd, scaler) = (Sgd::new(&model, SgdOptions::default())?, GradScaler::new(device));
        let parallel = DataParallel::new(&model, group)?.compress(Compression::F16);
        // One rank alone goes beyond.
        let by = if parallel.is_first() { 1e6 } else { 1.0 };
        let loss = model.forward(&(Tensor::ones([4, 2], device) * by), &Ctx::train()).mean();
        scaler.step(&mut sgd, &parallel.backward(&scaler.scale(&loss))?);
        scaler.update();
        Ok((scaler.skipped()?, scaler.current_scale()?, state(&model)? == before))
    });
    assert_eq!(skipped.expect("nothing fails"), [(1, 32768.0, true); 2]);
    let ended = Threads::run(&two, |group, device| {
        let model = Linear::new(1, 1, &mut Init::new(0, device));
        let set = wgrad::data::DataLoader::new(vec![([1e6f32], 0.0f32); 8], wgrad::data::LoaderOptions::default())?;
        let sgd = Sgd::new(&model, SgdOptions { lr: 1e-9, ..SgdOptions::default() })?;
        let step = |[x, _y]: [&Tensor; 2], ctx: &Ctx| Ok(Outcome::of(model.forward(x, ctx).abs().mean()));
        Trainer::new(device, &model, sgd, step)
            .epochs(2)
            .parallel(group)
            .compress(Compression::F16)
            .fit(&set, None)
            .map(drop)
    });
    let text = ended.expect_err("it ends").to_string();
    assert!(text.starts_with("the loss became inf in epoch 2"), "{text}");
}

#[test]
fn ranks_that_compress_in_other_ways_are_refused() {
    let two = several(&Device::cpu(), 2);
    let own = |group: &Threads| if group.rank() == 0 { Compression::F16 } else { Compression::None };
    let text =
        Threads::run(&two, |group, device| averaged(group.clone(), device, own(&group), 1.0, 1)).expect_err("it is");
    let due = "rank 0 has gradients sent as f16, rank 1 has gradients sent as f32";
    assert_eq!(text.to_string(), format!("the ranks have other gradients: {due}"));
    let text = Threads::run(&two, |group, device| {
        let (model, compression) = (Linear::new(1, 1, &mut Init::new(0, device)), own(&group));
        let set = wgrad::data::DataLoader::new(vec![([1.0f32], 0.0f32); 8], wgrad::data::LoaderOptions::default())?;
        let sgd = Sgd::new(&model, SgdOptions::default())?;
        let step = |[x, _y]: [&Tensor; 2], ctx: &Ctx| Ok(Outcome::of(model.forward(x, ctx).mean()));
        Trainer::new(device, &model, sgd, step).parallel(group).compress(compression).fit(&set, None).map(drop)
    });
    assert_eq!(text.expect_err("it is").to_string(), format!("the ranks have other options: {due}"));
}
