//! What optimizers, losses and recurrent layers refuse, in which words, and averages that are kept.

use super::rules::panics;
use crate::devices::devices;
use wgrad::nn::{Ctx, Gru, Init, Layer, Linear, Lstm, RnnStart, StateDict, Values, state};
use wgrad::optim::schedule::{ExponentialLr, OneCycleLr, Scheduler};
use wgrad::optim::{Adam, AdamOptions, Lion, LionOptions, Momentum, Optimizer, Sgd, SgdOptions};
use wgrad::plan::Replay;
use wgrad::{Device, Error, Reduction, Tensor};

fn line(device: &Device) -> Linear {
    Linear::new(3, 2, &mut Init::new(0, device))
}

#[track_caller]
fn refused<T>(result: wgrad::Result<T>, text: &str) {
    match result {
        Err(Error::Option(said)) => assert_eq!(said, text),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("`{text}` went through"),
    }
}

#[test]
fn options_out_of_range_are_refused() {
    let model = line(&Device::cpu());
    let adam = |options| Adam::new(&model, options);
    refused(adam(AdamOptions { betas: (0.9, 1.0), ..AdamOptions::default() }), "beta2: 1 is not in 0..1");
    refused(
        Lion::new(&model, LionOptions { lr: -1.0, ..LionOptions::default() }),
        "learning rate: -1 is not a number from 0 up",
    );
    let sgd = || Sgd::new(&model, SgdOptions::default()).expect("these are in range");
    refused(sgd().clip_grad_norm(-1.0), "max norm: -1 is not a number from 0 up");
    refused(sgd().clip_grad_norm_of(1.0, -2.0), "norm type: -2 is not a number from 0 up");
    refused(sgd().clip_grad_value(f32::NAN), "clip value: NaN is not a number from 0 up");
    refused(sgd().l1_penalty(-0.5), "L1 penalty: -0.5 is not a number from 0 up");
    refused(sgd().ema(1.5), "decay: 1.5 is not in 0..=1");
    refused(sgd().set_lrs(&[0.1, 0.2]), "2 learning rates for 1 groups: expected one for each group");
    let heavy = SgdOptions { momentum: Momentum::HeavyBall(-0.5), ..SgdOptions::default() };
    refused(Sgd::new(&model, heavy), "momentum: -0.5 is not a number from 0 up");
    let nesterov = SgdOptions { momentum: Momentum::Nesterov(0.9), dampening: 0.1, ..SgdOptions::default() };
    refused(Sgd::new(&model, nesterov), "dampening: 0.1 is not in 0..=0, as this momentum takes it");
    // As PyTorch has it: directions add up, as of 1, and may grow.
    let heavy = |momentum| {
        Sgd::new(&model, SgdOptions { momentum: Momentum::HeavyBall(momentum), ..SgdOptions::default() })
            .expect("a momentum from 0 up is in range")
    };
    let mut growing = heavy(0.5);
    growing.set_momentum(1.5).expect("this is in range");
    let mut other = heavy(1.0);
    other.load_state(&growing.state().expect("a state")).expect("what could be set can be loaded");
    assert_eq!(other.momentum(), Some(1.5));
    refused(sgd().set_momentum(0.9), "momentum: Sgd has none here, so 0.9 cannot be set");
    refused(adam(AdamOptions::default()).and_then(|mut adam| adam.set_momentum(1.0)), "momentum: 1 is not in 0..1");
    // A cycle of momenta where there is none.
    let cycle = OneCycleLr::new(0.1, 10);
    refused(Scheduler::new(cycle, &mut sgd()), "momentum: Sgd has none here, so 0.95 cannot be set");
    // A schedule that leaves the numbers.
    let mut optimizer = sgd();
    let mut scheduler = Scheduler::new(ExponentialLr { gamma: -1.0 }, &mut optimizer).expect("the first rate is one");
    refused(scheduler.step(&mut optimizer), "learning rate: -0.001 is not a number from 0 up");
}

/// Steps of which the second has gradients that are no numbers: what the weights are after each, and the norms.
fn guarded(device: &Device, replayed: bool, change: fn(Adam) -> wgrad::Result<Adam>) -> Vec<(Vec<f32>, f32)> {
    let model = line(device);
    let options = AdamOptions { lr: 0.1, ..AdamOptions::default() };
    let mut adam = Adam::new(&model, options).and_then(change).expect("the options are in range");
    let mut step = Replay::new();
    let mut found = Vec::new();
    for factor in [1.0, f32::INFINITY, f32::NAN, 2.0] {
        let x = Tensor::from_vec(vec![factor, 1.0, -0.5], [1, 3], device);
        let norm = {
            let mut work = |x: &Tensor| {
                let loss = model.forward(x, &Ctx::train()).sum();
                adam.step(&loss.backward());
                Ok(adam.grad_norm().expect("it is measured"))
            };
            if replayed { step.run(&x, work) } else { work(&x) }
        };
        let norm = norm.and_then(|norm| norm.item()).expect("the device works");
        found.push((model.weight.tensor().to_vec().expect("the device works"), norm));
    }
    let skipped = adam.state().expect("the device works");
    assert_eq!(skipped["skipped"].values, Values::I64(vec![2]));
    found
}

#[test]
fn a_step_whose_norm_is_no_number_may_move_nothing() {
    for (name, device) in devices() {
        let ways: [fn(Adam) -> wgrad::Result<Adam>; 3] = [
            |adam| Ok(adam.skip_nonfinite()),
            |adam| Ok(adam.clip_grad_norm(0.5)?.skip_nonfinite()),
            |adam| Ok(adam.clip_grad_norm_of(0.5, f32::INFINITY)?.skip_nonfinite()),
        ];
        for way in ways {
            let found = guarded(&device, false, way);
            assert!(found.iter().all(|(values, _)| values.iter().all(|v| v.is_finite())), "{found:?} on {name}");
            assert!(found[0].0 == found[1].0 && found[0].0 == found[2].0, "{found:?} on {name}");
            assert!(found[2].0 != found[3].0 && found[1].1.is_infinite() && found[2].1.is_nan(), "{found:?} on {name}");
            let replayed = guarded(&device, true, way);
            assert!(replayed.iter().zip(&found).all(|(a, b)| a.0 == b.0), "{replayed:?} for {found:?} on {name}");
        }
    }
}

#[test]
fn shapes_that_do_not_fit_a_loss_or_a_sequence_are_told() {
    let device = Device::cpu();
    let tensor = |sizes: &[usize]| Tensor::zeros(sizes, &device);
    let text = panics(|| tensor(&[2, 3]).mse_loss(&tensor(&[3]), Reduction::Mean));
    assert_eq!(text, "mse_loss: [2, 3] x [3]: expected two tensors of one shape");
    let text = panics(|| tensor(&[2]).soft_margin_loss(&tensor(&[2]).requires_grad(), Reduction::Mean));
    assert_eq!(text, "soft_margin_loss: the target has no gradient: detach it");
    let text = panics(|| Tensor::einsum("ij,jk->ik", &[&tensor(&[2, 3]), &tensor(&[4, 5])]));
    assert_eq!(text, "einsum: ij,jk->ik: `j` is 3 in one place and 4 in another");
    let mut init = Init::new(0, &device);
    let (lstm, gru) = (Lstm::new(4, 8, &mut init), Gru::new(4, 8, &mut init));
    let text = panics(|| lstm.forward_from(&tensor(&[2, 5, 3]), None, &Ctx::eval()));
    assert_eq!(text, "Lstm: [2, 5, 3] x [32, 4]: expected sequences [batch, steps, 4]");
    let start = RnnStart { cell: Some(tensor(&[1, 5, 8])), ..RnnStart::default() };
    let text = panics(|| gru.forward_from(&tensor(&[5, 3, 4]), start.clone(), &Ctx::eval()));
    assert!(text.ends_with("only an LSTM has a memory to start from"), "{text}");
}

#[test]
fn averages_are_kept_and_loaded() {
    for (name, device) in devices() {
        let model = line(&device);
        let mut sgd = Sgd::new(&model, SgdOptions { lr: 0.5, ..SgdOptions::default() }).expect("in range");
        let mut ema = sgd.ema(0.5).expect("in range");
        sgd.step(&model.weight.tensor().square().sum().backward());
        ema.update();
        let averages: StateDict = ema.state().expect("the device works");
        let weights = state(&model).expect("the device works");
        ema.swap();
        assert_eq!(state(&model).expect("the device works"), averages, "on {name}");
        ema.swap();
        assert_eq!(state(&model).expect("the device works"), weights, "on {name}");
        let mut other = sgd.ema(0.5).expect("in range");
        other.load_state(&averages).expect("they fit");
        assert_eq!(other.state().expect("the device works"), averages, "on {name}");
        let missing = other.load_state(&StateDict::new());
        assert!(matches!(missing, Err(Error::Weights(text)) if text == "the state of averages has no `weight`"));
    }
}
