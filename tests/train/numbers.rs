//! Operations by a number, instance normalisation, statistics that are computed anew, and rates that go on from what there is.

use super::rules::panics;
use crate::devices::devices;
use wgrad::nn::{BatchNorm1d, Ctx, Init, InstanceNorm1d, Layer, Linear, Relu, Sequential, update_bn};
use wgrad::optim::schedule::{
    Annealing, CosineAnnealingLr, ExponentialLr, MultiplicativeLr, Schedule, Scheduler, SequentialLr, SwaLr,
};
use wgrad::optim::{Optimizer, Sgd, SgdOptions};
use wgrad::{DType, Device, KeepDims, Rng, Tensor};

#[test]
fn a_number_is_taken_where_a_tensor_is() {
    for (name, device) in devices() {
        let whole = Tensor::from_slice(&[7, -7, 6, 0], [4], &device);
        let all = |x: Tensor| x.to_vec::<i32>().expect("whole numbers");
        assert_eq!(all(whole.remainder(3)), [1, 2, 0, 0], "{name}");
        assert_eq!(all(whole.fmod(3)), [1, -1, 0, 0], "{name}");
        assert_eq!(all(whole.floor_divide(3)), [2, -3, 2, 0], "{name}");
        assert_eq!(all(whole.maximum(1)), [7, 1, 6, 1], "{name}");
        assert_eq!(all(whole.minimum(Tensor::scalar(1, &device))), [1, -7, 1, 0], "{name}");
        let x = Tensor::from_slice(&[3.5f32, -3.5], [2], &device).requires_grad();
        let floats = |x: Tensor| x.to_vec::<f32>().expect("floats");
        assert_eq!(floats(x.remainder(2.0)), [1.5, 0.5], "{name}");
        assert_eq!(floats(x.fmod(2)), [1.5, -1.5], "{name}");
        assert_eq!(floats(x.floor_divide(2.0)), [1.0, -2.0], "{name}");
        assert_eq!(floats(x.minimum(0.5)), [0.5, -3.5], "{name}");
        let grads = x.maximum(0.5).sum().backward();
        assert_eq!(floats(grads.of(&x).expect("a gradient").clone()), [1.0, 0.0], "{name}");
        assert_eq!(x.cast(DType::BF16).maximum(0.5).dtype(), DType::BF16);
    }
}

#[test]
fn instances_are_normalised_one_by_one() {
    for (name, device) in devices() {
        let x = Tensor::normal([2, 3, 5], 1.0, 2.0, &mut Rng::new(1), &device);
        let [weight, bias] = [2.0, -1.0].map(|value| Tensor::full([3], value, &device));
        let y = x.instance_norm(Some(&weight), Some(&bias), 1e-5);
        let centred = x.sub(&x.mean_dims(&[2], KeepDims::Yes));
        let scale = x.var_dims(&[2], 0, KeepDims::Yes).affine(1.0, 1e-5).rsqrt();
        let off = y.sub(&centred.mul(&scale).affine(2.0, -1.0)).abs().max().item().expect("a number");
        assert!(off < 1e-5, "{name}: {off}");
        let said = panics(|| x.narrow(2, 0, 1).instance_norm(None, None, 1e-5));
        assert_eq!(said, "instance_norm: [2, 3, 1]: expected [n, c, ..] with more than one value a channel");
    }
}

/// PyTorch's `update_bn`: from nothing, means over batches, whatever the momentum was, of layers that are seen through a box too;
/// those of instances go on by theirs.
#[test]
fn statistics_are_computed_anew() {
    for (name, device) in devices() {
        let mut init = Init::new(0, &device);
        let model = Sequential::new()
            .push(BatchNorm1d::new(3, &mut init).momentum(0.3))
            .push(InstanceNorm1d::new(3, &mut init).with_running_stats(&mut init))
            .push(Relu::new());
        let batch = |seed| Tensor::normal([4, 3, 5], seed as f32, 2.0, &mut Rng::new(seed), &device);
        for seed in 0..3 {
            model.forward(&batch(seed), &Ctx::train());
        }
        let instance = buffer(&model, "1.running_mean");
        update_bn(&model, 3..6, |seed, ctx| Ok(model.forward(&batch(seed), ctx))).expect("the device works");
        let batches: Vec<Tensor> = (3..6).map(batch).collect();
        let mean = |of: &dyn Fn(&Tensor) -> Tensor| {
            let all: Vec<Tensor> = batches.iter().map(of).collect();
            Tensor::stack(&all, 0).mean_dims(&[0], KeepDims::No).to_vec::<f32>().expect("means")
        };
        let near = |path: &str, want: Vec<f32>| {
            let got = buffer(&model, path);
            let fits = got.iter().zip(&want).all(|(a, b)| (a - b).abs() < 1e-5 * (1.0 + b.abs()));
            assert!(fits && got.len() == want.len(), "{name}: {path}: {got:?}, not {want:?}");
        };
        near("0.running_mean", mean(&|x| x.mean_dims(&[0, 2], KeepDims::No)));
        near("0.running_var", mean(&|x| x.var_dims(&[0, 2], 1, KeepDims::No)));
        near("0.num_batches_tracked", vec![3.0]);
        assert_ne!(buffer(&model, "1.running_mean"), instance, "{name}: instances go on");
        let plain = Sequential::new().push(Linear::new(3, 2, &mut init));
        update_bn(&plain, [0], |_, _| panic!("nothing is to be computed")).expect("nothing to do");
        // The momentum is the layer's own again.
        let before = buffer(&model, "0.running_mean");
        model.forward(&batch(9), &Ctx::train());
        let own = batch(9).mean_dims(&[0, 2], KeepDims::No).to_vec::<f32>().expect("means");
        near("0.running_mean", before.iter().zip(own).map(|(old, new)| 0.7 * old + 0.3 * new).collect());
    }
}

fn buffer(model: &Sequential, path: &str) -> Vec<f32> {
    let mut found = None;
    let mut each = |own: &str, entry: wgrad::nn::Entry| {
        if let (true, wgrad::nn::Entry::Buffer(buffer)) = (own == path, entry) {
            found = Some(buffer.tensor());
        }
    };
    wgrad::nn::Module::visit(model, &mut wgrad::nn::Visitor::new(&mut each));
    let found = found.unwrap_or_else(|| panic!("there is no {path}"));
    found.cast(DType::F32).to_vec().expect("the device works")
}

/// The rates of PyTorch 2.15, from a base of 0.02; at some step one is set by hand.
fn follows(schedule: impl Schedule + 'static, by_hand: Option<(usize, f32)>, want: &[f32]) {
    let model = Linear::new(2, 1, &mut Init::new(0, &Device::cpu()));
    let mut optimizer = Sgd::new(&model, SgdOptions { lr: 0.02, ..SgdOptions::default() }).expect("options");
    let mut scheduler = Scheduler::new(schedule, &mut optimizer).expect("its arguments fit");
    for (step, want) in want.iter().enumerate() {
        if let Some((_, rate)) = by_hand.filter(|(at, _)| *at == step) {
            optimizer.set_lr(rate).expect("a rate");
        }
        let got = optimizer.lr();
        assert!((got - want).abs() < 1e-7, "step {step}: {got}, not {want}");
        scheduler.step(&mut optimizer).expect("it gives rates");
    }
}

#[test]
fn rates_of_averages_go_on_from_what_there_is() {
    let linear = SwaLr { swa_lr: 0.005, anneal_steps: 4, annealing: Annealing::Linear };
    let cosine = SwaLr { annealing: Annealing::Cos, ..linear };
    follows(linear, None, &[0.02, 0.01625, 0.0125, 0.00875, 0.005, 0.005, 0.005]);
    follows(cosine, None, &[0.02, 0.017_803_3, 0.0125, 0.007_196_699, 0.005, 0.005]);
    follows(linear, Some((2, 0.05)), &[0.02, 0.01625, 0.05, 0.0275, 0.005, 0.005]);
    follows(cosine, Some((2, 0.05)), &[0.02, 0.017_803_3, 0.05, 0.018_180_195, 0.005, 0.005]);
    let short = SwaLr { anneal_steps: 2, ..linear };
    follows(short, Some((0, 0.0)), &[0.0, 0.0025, 0.005, 0.005]);
    follows(short, Some((5, 0.1)), &[0.02, 0.0125, 0.005, 0.005, 0.005, 0.1, 0.005, 0.005]);
    follows(SwaLr { anneal_steps: 0, ..cosine }, None, &[0.005, 0.005, 0.005]);

    let wave = CosineAnnealingLr { t_max: 6, eta_min: 0.0 };
    let behind = |schedule: SwaLr| SequentialLr::new().until(3, wave).then(schedule);
    let start = [0.02, 0.018_660_254, 0.015];
    follows(behind(linear), None, &[&start[..], &[0.015, 0.0125, 0.01, 0.0075, 0.005, 0.005]].concat());
    let down = [0.015, 0.013_535_534, 0.01, 0.006_464_466, 0.005, 0.005];
    follows(behind(cosine), None, &[&start[..], &down].concat());
    follows(behind(SwaLr { anneal_steps: 0, ..linear }), None, &[&start[..], &[0.005, 0.005]].concat());
    let first = SequentialLr::new().until(4, short).then(ExponentialLr { gamma: 0.5 });
    follows(first, None, &[0.02, 0.0125, 0.005, 0.005, 0.02, 0.01, 0.005]);

    let turns = MultiplicativeLr(|step: u64| if step.is_multiple_of(2) { 1.1 } else { 0.9 });
    let behind = SequentialLr::new().until(3, wave).then(turns);
    follows(behind, None, &[&start[..], &[0.0165, 0.014_85, 0.016_335, 0.014_701_5]].concat());
    let turns = MultiplicativeLr(|step: u64| if step.is_multiple_of(2) { 1.1 } else { 0.9 });
    let three = SequentialLr::new().until(2, MultiplicativeLr(|_| 0.8)).until(4, turns).then(cosine);
    follows(three, None, &[0.02, 0.016, 0.0176, 0.015_84, 0.015_84, 0.014_252_519, 0.010_42, 0.006_587_481, 0.005]);
}
