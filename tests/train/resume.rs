//! Runs that are saved and go on elsewhere, and states that do not fit.

use super::curves::first_difference;
use super::recipes::{BATCH_NORM, CLIPPED, CNN, DROPOUT, MLP, Recipe, Trainer};
use crate::devices::devices;
use wgrad::nn::{StateDict, StateTensor, Strictness, Values, load_state};
use wgrad::{Device, Error, checkpoint};

/// All that a run needs to go on.
struct Saved {
    weights: StateDict,
    optimizer: StateDict,
    pass: u64,
    step: usize,
}

/// Three steps, then the state by way of files.
fn saved(trainer: &mut Trainer) -> Saved {
    trainer.steps(3);
    let folder = tempfile::tempdir().expect("a folder");
    let by_file = |name: &str, state: &StateDict| {
        let path = folder.path().join(name);
        checkpoint::write(state, &path).expect("it can be written");
        checkpoint::read(&path).expect("it can be read")
    };
    let optimizer = trainer.optimizer.state().expect("the device works");
    Saved {
        weights: by_file("weights.safetensors", &trainer.weights()),
        optimizer: by_file("optimizer.safetensors", &optimizer),
        pass: trainer.generator.position(),
        step: trainer.step,
    }
}

fn go_on(recipe: &Recipe, saved: &Saved, optimizer: Option<&StateDict>, device: &Device) -> Trainer {
    let mut trainer = Trainer::new(recipe, device);
    // Away from the seed's first weights and the optimizer's first state.
    trainer.steps(1);
    load_state(&trainer.model, &saved.weights, Strictness::Strict).expect("the weights fit");
    if let Some(state) = optimizer {
        trainer.optimizer.load_state(state).expect("the state fits");
    }
    trainer.generator.set_position(saved.pass);
    trainer.step = saved.step;
    trainer
}

#[test]
fn a_saved_run_goes_on_to_the_bit() {
    for (name, device) in devices() {
        for recipe in [DROPOUT, BATCH_NORM, CLIPPED] {
            let mut whole = Trainer::new(&recipe, &device);
            let saved = saved(&mut whole);
            let mut resumed = go_on(&recipe, &saved, Some(&saved.optimizer), &device);
            let mut forgetful = go_on(&recipe, &saved, None, &device);
            let (want, got) = (whole.steps(3), resumed.steps(3));
            assert_eq!(got, want, "{} on {name}", recipe.name);
            assert_eq!(first_difference(&resumed.weights(), &whole.weights()), None, "{} on {name}", recipe.name);
            let state = |trainer: &Trainer| trainer.optimizer.state().expect("the device works");
            assert_eq!(first_difference(&state(&resumed), &state(&whole)), None, "{} on {name}", recipe.name);
            assert_ne!(forgetful.steps(3), want, "{} on {name} does not need its optimizer's state", recipe.name);
        }
    }
}

fn floats(shape: &[usize], value: f32) -> StateTensor {
    StateTensor { shape: shape.to_vec(), values: Values::F32(vec![value; shape.iter().product()]) }
}

#[test]
fn an_optimizer_refuses_a_state_that_does_not_fit_and_keeps_its_own() {
    for (_, device) in devices() {
        let mut trainer = Trainer::new(&MLP, &device);
        trainer.steps(2);
        let good = trainer.optimizer.state().expect("the device works");
        assert_eq!(good["step"].values, Values::I64(vec![2]));
        let mut refused = |change: &dyn Fn(&mut StateDict), parts: &[&str]| {
            let mut state = good.clone();
            // What comes first by name fits and differs, so that a half-done load would show.
            state.insert("momentum_buffer.fc1.bias".into(), floats(&[128], 7.0));
            change(&mut state);
            let Err(Error::Weights(text)) = trainer.optimizer.load_state(&state) else { panic!("{parts:?} went in") };
            assert!(parts.iter().all(|part| text.contains(part)), "{text} lacks one of {parts:?}");
            assert_eq!(trainer.optimizer.state().as_ref(), Ok(&good), "{text}");
        };
        refused(&|s| drop(s.remove("step")), &["no `step`"]);
        refused(&|s| drop(s.remove("momentum_buffer.fc2.weight")), &["no `momentum_buffer.fc2.weight`"]);
        let misshapen =
            |s: &mut StateDict| drop(s.insert("momentum_buffer.fc2.weight".into(), floats(&[10, 127], 0.0)));
        refused(&misshapen, &["momentum_buffer.fc2.weight", "[10, 127]", "[10, 128]"]);
        let negative = StateTensor { shape: vec![], values: Values::I64(vec![-1]) };
        refused(&|s| drop(s.insert("step".into(), negative.clone())), &["step"]);
        let adam = (CNN.optimizer)(&(CNN.model)(&mut wgrad::nn::Init::new(0, &device))).expect("good options").state();
        refused(&|s| *s = adam.clone().expect("the device works"), &["Adam's, not Sgd's"]);
    }
}

#[test]
fn strict_loads_change_nothing_and_partial_ones_what_fits() {
    for (name, device) in devices() {
        let trainer = Trainer::new(&MLP, &device);
        let before = trainer.weights();
        let mut values = before.clone();
        values.insert("fc1.weight".into(), floats(&[128, 784], 0.5));
        values.insert("fc1.bias".into(), floats(&[127], 0.5));
        values.remove("fc2.bias");
        values.insert("fc3.bias".into(), floats(&[10], 0.5));

        let strict = load_state(&trainer.model, &values, Strictness::Strict);
        let parts = ["missing: fc2.bias", "extra: fc3.bias", "of another shape: fc1.bias is [127], not [128]"];
        let Err(Error::Weights(text)) = strict else { panic!("{strict:?}") };
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
        assert_eq!(trainer.weights(), before, "a refused load changed the model on {name}");

        let report = load_state(&trainer.model, &values, Strictness::Partial).expect("partial loads go through");
        assert_eq!(report.missing, ["fc2.bias"]);
        assert_eq!(report.extra, ["fc3.bias"]);
        assert_eq!(report.misshapen, [("fc1.bias".to_string(), vec![128], vec![127])]);
        assert!(!report.is_clean());
        let mut want = before.clone();
        want.insert("fc1.weight".into(), floats(&[128, 784], 0.5));
        assert_eq!(trainer.weights(), want, "on {name}");

        let report = load_state(&trainer.model, &before, Strictness::Strict).expect("its own state fits");
        assert!(report.is_clean() && report.to_string() == "everything fits", "{report}");
        assert_eq!(trainer.weights(), before, "on {name}");
    }
}

#[test]
fn a_file_older_than_the_count_of_batches_fits() {
    for (name, device) in devices() {
        let mut trainer = Trainer::new(&BATCH_NORM, &device);
        trainer.steps(2);
        let state = trainer.weights();
        assert_eq!(state["1.num_batches_tracked"], StateTensor { shape: vec![], values: Values::I64(vec![2]) });
        let mut older = state.clone();
        older.retain(|path, _| !path.ends_with("num_batches_tracked"));
        let report = load_state(&trainer.model, &older, Strictness::Strict).expect("it fits");
        assert!(report.is_clean(), "{report}");
        assert_eq!(trainer.weights(), state, "on {name}");
    }
}
