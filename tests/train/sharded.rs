//! Optimizers whose moments are dealt out to the ranks: the same weights as one rank comes to, in a part of the memory.

use super::parallel::{Kind, apart, several};
use super::trainer::{loader, outcome};
use crate::devices::devices;
use std::path::Path;
use wgrad::autograd::Grads;
use wgrad::nn::{Ctx, Init, Layer, Linear, Module, Relu, Sequential, StateDict, StateTensor, Values, state};
use wgrad::optim::{
    Adam, AdamOptions, AdamW, AdamWOptions, GradScaler, LambOptions, MuonOptions, Optimizer, Rule, Sgd, SgdOptions,
    Stepper,
};
use wgrad::parallel::{Alone, DataParallel, Group, Threads};
use wgrad::plan::Replay;
use wgrad::train::{Checkpoints, History, Trainer};
use wgrad::{DType, Device, Result, Tensor};

/// What a rank comes to: the weights, the state of its optimizer, and the bytes of that.
struct Came {
    weights: StateDict,
    state: StateDict,
    bytes: u64,
}

/// Options by path and shape.
type Rules<'a, R> = &'a (dyn Fn(&str, wgrad::Shape) -> R + Sync);

/// A loop by hand with clipping, replayed or eager.
fn taught<R: Rule>(
    (group, device): (Threads, &Device),
    rules: Rules<R>,
    (dtype, replayed): (DType, bool),
    change: fn(Stepper<R>) -> Stepper<R>,
) -> Result<Came> {
    let model = Kind::Mlp.model(&mut Init::new(5, device));
    model.cast(dtype);
    let parallel = DataParallel::new(&model, group.clone())?.bucket_bytes(1000);
    let mut optimizer = change(Stepper::sharded_grouped(&model, rules, group)?.clip_grad_norm(0.5)?);
    let (loader, mut step) = (Kind::Mlp.loader(98, 16)?, Replay::new());
    for epoch in 0..4 {
        for batch in parallel.epoch(&loader, epoch) {
            let [x, labels] = batch?.to(device);
            let mut once = |[x, labels]: [&Tensor; 2]| -> Result<Tensor> {
                let loss = model.forward(&x.cast(dtype), &Ctx::train()).cast(DType::F32).cross_entropy(labels);
                optimizer.step(&parallel.backward(&loss)?);
                Ok(loss)
            };
            if replayed {
                step.run([&x, &labels], once)?
            } else {
                once([&x, &labels])?
            };
        }
    }
    Ok(Came { weights: state(&model)?, state: optimizer.state()?, bytes: optimizer.state_bytes() })
}

/// The largest difference of the floats of two states, and whether all else is the same.
fn states_apart(a: &StateDict, b: &StateDict) -> f32 {
    let floats = |all: &StateDict| -> StateDict {
        all.iter()
            .filter(|(_, value)| matches!(value.values, Values::F32(_)))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect()
    };
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    let rest = a.iter().filter(|(_, value)| !matches!(value.values, Values::F32(_)));
    rest.for_each(|(name, value)| assert_eq!(value, &b[name], "{name}"));
    apart(&floats(a), &floats(b))
}

/// Weights of any floats as f32.
fn in_f32(weights: &StateDict) -> StateDict {
    let wide = |value: &StateTensor| match &value.values {
        Values::BF16(halves) => Values::F32(halves.iter().map(|half| half.to_f32()).collect()),
        other => other.clone(),
    };
    let each = weights.iter();
    each.map(|(name, own)| (name.clone(), StateTensor { shape: own.shape.clone(), values: wide(own) })).collect()
}

fn check<R: Rule>(rules: Rules<R>, dtype: DType, most: f32, change: fn(Stepper<R>) -> Stepper<R>) {
    let rule = R::NAME;
    for (name, device) in devices() {
        let run = |ranks: usize, replayed: bool| {
            let work = |group, device: &Device| taught((group, device), rules, (dtype, replayed), change);
            Threads::run(&several(&device, ranks), work).expect("they learn")
        };
        let alone = run(1, true).swap_remove(0);
        for ranks in [2, 3] {
            let all = run(ranks, true);
            assert!(all.iter().all(|other| other.weights == all[0].weights), "{rule} on {name}: ranks came to differ");
            let far = apart(&in_f32(&all[0].weights), &in_f32(&alone.weights));
            println!("{rule} of {dtype} on {name}: {ranks} ranks are {far} from one");
            assert!(far < most, "{rule} of {dtype} on {name}: {ranks} ranks are {far} from one");
            let far = states_apart(&all[0].state, &alone.state);
            assert!(far < 50.0 * most, "{rule} on {name}: the state of {ranks} ranks is {far} from that of one");
            assert_eq!(all.iter().map(|own| own.bytes).sum::<u64>(), alone.bytes);
            assert!(all.iter().all(|own| alone.bytes == 0 || own.bytes < alone.bytes));
            let eager = run(ranks, false);
            let same = eager.iter().zip(&all).all(|(a, b)| a.weights == b.weights && a.state == b.state);
            assert!(same, "{rule} on {name}: a replayed step has other bits");
        }
    }
}

#[test]
fn sharded_optimizers_learn_what_one_does() {
    let adam = AdamOptions { lr: 0.01, ..AdamOptions::default() };
    check(&|_, _| adam, DType::F32, 1e-3, |own| own);
    check(&|_, _| adam, DType::F32, 1e-3, Stepper::by_definition);
    // Groups with rates of their own, of which a rank may have no member.
    let groups = |_: &str, shape: wgrad::Shape| match shape.rank() {
        1 => AdamWOptions { lr: 0.02, weight_decay: 0.0, ..AdamWOptions::default() },
        _ => AdamWOptions { lr: 0.01, ..AdamWOptions::default() },
    };
    check(&groups, DType::F32, 1e-3, |own| own);
    check(&|_, _| SgdOptions { lr: 0.05, ..SgdOptions::default() }, DType::F32, 1e-3, |own| own);
    check(&|_, _| SgdOptions { lr: 0.05, ..SgdOptions::default() }, DType::BF16, 0.02, |own| own);
}

#[test]
fn rules_that_look_at_whole_parameters_are_sharded_too() {
    check(&|_, _| LambOptions { lr: 0.01, ..LambOptions::default() }, DType::F32, 1e-3, |own| own);
    let matrices = |_: &str, _| MuonOptions { lr: 0.01, ..MuonOptions::default() };
    for (name, device) in devices() {
        let run = |ranks: usize| {
            Threads::run(&several(&device, ranks), |group, device| {
                let init = &mut Init::new(1, device);
                let model =
                    Sequential::new().push(Linear::without_bias(6, 5, init)).push(Linear::without_bias(5, 4, init));
                let mut muon = Stepper::sharded_grouped(&model, matrices, group.clone())?;
                let parallel = DataParallel::new(&model, group)?;
                for _ in 0..3 {
                    let loss = model.forward(&Tensor::ones([3, 6], device), &Ctx::train()).square().mean();
                    muon.step(&parallel.backward(&loss)?);
                }
                state(&model)
            })
            .expect("they learn")
        };
        let (one, two) = (run(1), run(2));
        assert!(two[0] == two[1] && apart(&one[0], &two[0]) < 1e-3, "{name}");
    }
}

#[test]
fn a_step_that_one_part_gives_up_is_given_up_by_all() {
    for (name, device) in devices() {
        let all = Threads::run(&several(&device, 2), |group, device| {
            let model = Linear::new(8, 3, &mut Init::new(0, device));
            let mut adam = Adam::sharded(&model, AdamOptions::default(), group.clone())?;
            let (scaler, weight) = (GradScaler::new(device), model.weight.tensor());
            let bias = model.bias.as_ref().expect("it has one").tensor();
            let before = state(&model)?;
            // The weight is rank 0's, the bias rank 1's: this is the larger.
            let mut grads: Grads = [(&weight, Tensor::ones(weight.shape(), device))].into_iter().collect();
            grads.set(&bias, Tensor::full(bias.shape(), f32::INFINITY, device));
            scaler.step(&mut adam, &grads);
            scaler.update();
            let kept = state(&model)? == before;
            grads.set(&bias, Tensor::ones(bias.shape(), device));
            scaler.step(&mut adam, &grads);
            scaler.update();
            Ok((kept, scaler.skipped()?, state(&model)?, before))
        });
        let all = all.expect("nothing fails");
        assert!(all[0] == all[1] && all[0].0 && all[0].1 == 1, "{name}");
        assert!(all[0].2 != all[0].3, "{name}");
    }
}

/// A run by the trainer: its history and weights.
fn run(group: Threads, device: &Device, folder: &Path, until: Option<u64>) -> Result<(History, StateDict)> {
    let init = &mut Init::new(5, device);
    let model = Sequential::new().push(Linear::new(2, 32, init)).push(Relu::new()).push(Linear::new(32, 2, init));
    let options = AdamWOptions { lr: 0.02, ..AdamWOptions::default() };
    let adam = AdamW::sharded(&model, options, group.clone())?.clip_grad_norm(1.0)?;
    let average = adam.ema(0.9)?;
    let step = |batch: [&Tensor; 2], ctx: &Ctx| Ok(outcome(&model, batch, ctx));
    let mut trainer = Trainer::averaged(device, &model, adam, average, step)
        .epochs(4)
        .checkpoints(Checkpoints::in_folder(folder).every_steps(3).best("val_loss").resume())
        .parallel(group);
    if let Some(until) = until {
        trainer = trainer.max_steps(until);
    }
    let history = trainer.fit(&loader(300, 1), Some(&loader(70, 0)))?;
    drop(trainer);
    Ok((history, state(&model)?))
}

#[test]
fn a_sharded_run_goes_on_with_another_number_of_ranks() {
    for (name, device) in devices() {
        let part = |ranks: usize, folder: &Path, until: Option<u64>| {
            let all = Threads::run(&several(&device, ranks), |group, device| run(group, device, folder, until));
            let mut all = all.expect("they learn");
            assert!(all.iter().all(|other| other.1 == all[0].1), "{name}: ranks came to differ");
            all.swap_remove(0)
        };
        let folders = [(); 3].map(|()| tempfile::tempdir().expect("a folder"));
        let [whole, same, other] = folders.each_ref().map(|folder| folder.path());
        let (_, weights) = part(2, whole, None);
        part(2, same, Some(7));
        assert!(part(2, same, None).1 == weights, "{name}: a run that was stopped came to other weights");
        for (ranks, stop) in [(3, 7), (1, 11), (2, 20)] {
            part(ranks, other, Some(stop));
        }
        let (history, own) = part(3, other, None);
        assert!(apart(&own, &weights) < 2e-2, "{name}");
        assert_eq!(history.epochs.len(), 4, "{name}");
    }
}

#[test]
fn what_cannot_be_dealt_out_is_refused() {
    let refused = |work: &(dyn Fn(Threads, &Device) -> Result<()> + Sync)| {
        Threads::run(&several(&Device::cpu(), 3), work).expect_err("it is refused").to_string()
    };
    let model = |device: &Device| Linear::new(2, 1, &mut Init::new(0, device));
    let text = refused(&|group, device| Adam::sharded(&model(device), AdamOptions::default(), group).map(drop));
    assert_eq!(text, "Adam: 2 parameters cannot be dealt out to 3 ranks: expected one for each at least");
    let text = refused(&|group, device| {
        let width = 1 + group.rank() / 2;
        let init = &mut Init::new(0, device);
        let model = Sequential::new().push(Linear::new(2, width, init)).push(Linear::new(width, 1, init));
        Sgd::sharded(&model, SgdOptions::default(), group).map(drop)
    });
    assert!(
        text.starts_with("the ranks have other optimizers: rank 0 has Sgd of 0.weight [1, 2] in group 0"),
        "{text}"
    );
    // A group of one has all of it.
    let device = Device::cpu();
    let alone = Adam::sharded(&model(&device), AdamOptions::default(), Alone).expect("it is one");
    assert!(!alone.is_sharded() && alone.state_bytes() > 0);
}
