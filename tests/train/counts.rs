//! Each parameter goes by the gradients that it has seen itself, whatever the others have seen.

use crate::devices::devices;
use wgrad::nn::{Module, Parameter, StateTensor, Values, Visitor};
use wgrad::optim::{
    Adagrad, AdagradOptions, Adam, AdamOptions, AdamW, AdamWOptions, Lamb, LambOptions, Lion, LionOptions, Momentum,
    Optimizer, SecondMoment, Sgd, SgdOptions,
};
use wgrad::{Device, Error, Tensor};

/// Makes an optimizer.
type Making<'a> = &'a dyn Fn(&Three) -> Box<dyn Optimizer>;
/// A step on an input.
type Stepping<'a> = &'a dyn Fn(&Tensor) -> wgrad::Result<Tensor>;

/// Three parameters in a row, of which the middle one is often left out.
struct Three {
    all: [Parameter; 3],
}

impl Module for Three {
    fn visit(&self, visitor: &mut Visitor) {
        for (name, parameter) in ["a", "b", "c"].iter().zip(&self.all) {
            visitor.parameter(name, parameter);
        }
    }
}

impl Three {
    fn new(device: &Device) -> Three {
        Three { all: [0; 3].map(|_| Parameter::new(Tensor::zeros([3], device))) }
    }

    /// The sum of these parameters, whose gradient is 1 everywhere, times a factor.
    fn loss(&self, which: &[usize], factor: &Tensor) -> Tensor {
        let mut sum = Tensor::zeros([], factor.device());
        for at in which {
            sum = sum.add(&self.all[*at].tensor().sum());
        }
        sum.mul(factor)
    }

    fn first(&self, at: usize) -> f32 {
        self.all[at].tensor().to_vec::<f32>().expect("the device works")[0]
    }
}

/// Where b is after each of two steps, when it is first seen at step `from`.
fn seen_late(device: &Device, from: usize, optimizer: &dyn Fn(&Three) -> Box<dyn Optimizer>) -> [f32; 2] {
    let three = Three::new(device);
    let one = Tensor::ones([], device);
    let mut optimizer = optimizer(&three);
    for _ in 1..from {
        optimizer.step(&three.loss(&[0, 2], &one).backward());
    }
    [(); 2].map(|()| {
        optimizer.step(&three.loss(&[0, 1, 2], &one).backward());
        three.first(1)
    })
}

#[test]
fn a_parameter_that_is_seen_late_starts_as_at_the_first_step() {
    let near = |got: [f32; 2], want: [f32; 2], what: &str| {
        assert!(got.iter().zip(want).all(|(got, want)| (got - want).abs() < 1e-5), "{what}: {got:?}, not {want:?}");
    };
    for (name, device) in devices() {
        let adam = AdamOptions { lr: 0.1, ..AdamOptions::default() };
        let dampened =
            SgdOptions { lr: 1.0, momentum: Momentum::HeavyBall(0.9), dampening: 0.5, ..SgdOptions::default() };
        let of = |from: usize, optimizer: Making| seen_late(&device, from, optimizer);
        near(of(10, &|m| Box::new(Adam::new(m, adam).expect("fits"))), [-0.1, -0.2], &format!("Adam on {name}"));
        near(of(2, &|m| Box::new(Sgd::new(m, dampened).expect("fits"))), [-1.0, -2.4], &format!("SGD on {name}"));
        let table: [(&str, Making); 6] = [
            ("Adam", &|m| Box::new(Adam::new(m, adam).expect("fits"))),
            ("AdamW", &|m| {
                let options = AdamWOptions { lr: 0.1, weight_decay: 0.1, ..AdamWOptions::default() };
                Box::new(AdamW::new(m, options).expect("fits"))
            }),
            ("AMSGrad", &|m| {
                Box::new(Adam::new(m, AdamOptions { second_moment: SecondMoment::Largest, ..adam }).expect("fits"))
            }),
            ("Lamb", &|m| Box::new(Lamb::new(m, LambOptions { lr: 0.1, ..LambOptions::default() }).expect("fits"))),
            ("Adagrad", &|m| {
                let options = AdagradOptions { lr: 0.1, lr_decay: 0.5, ..AdagradOptions::default() };
                Box::new(Adagrad::new(m, options).expect("fits"))
            }),
            ("SGD", &|m| Box::new(Sgd::new(m, dampened).expect("fits"))),
        ];
        for (rule, optimizer) in table {
            assert_eq!(of(7, optimizer), of(1, optimizer), "{rule} on {name}");
        }
    }
}

/// Two captured steps of one optimizer, one of which leaves b out, in turn; their numbers differ from the captures'.
#[test]
fn replayed_steps_count_for_each_parameter() {
    for (name, device) in devices() {
        let run = |replayed: bool| {
            let three = Three::new(&device);
            let options = AdamOptions { lr: 0.1, ..AdamOptions::default() };
            let optimizer = std::cell::RefCell::new(Adam::new(&three, options).expect("the options are in range"));
            let step = |which: &'static [usize]| {
                let (three, optimizer) = (&three, &optimizer);
                move |factor: &Tensor| {
                    let loss = three.loss(which, factor);
                    optimizer.borrow_mut().step(&loss.backward());
                    Ok(loss)
                }
            };
            let (all, without) = (step(&[0, 1, 2]), step(&[0, 2]));
            let one = Tensor::ones([], &device);
            let factor = |at: usize| Tensor::scalar(1.0 + at as f32, &device);
            // Both captures run once as they are made, when all counts are equal.
            let (mut long, mut short) = (None, None);
            if replayed {
                long = Some(device.capture(&one, all).expect("it can be captured"));
                short = Some(device.capture(&one, without).expect("it can be captured"));
            } else {
                all(&one).expect("it runs");
                without(&one).expect("it runs");
            }
            for at in 0..8 {
                let (captured, eager): (_, Stepping) =
                    if at % 3 == 2 { (&mut long, &all) } else { (&mut short, &without) };
                match captured {
                    Some(captured) => drop(captured.run(&factor(at)).expect("it runs")),
                    None => drop(eager(&factor(at)).expect("it runs")),
                }
            }
            let state = optimizer.borrow().state().expect("the device works");
            ([0, 1, 2].map(|at| three.first(at)), state)
        };
        let (eager, replayed) = (run(false), run(true));
        assert_eq!(eager, replayed, "on {name}");
        assert_eq!(eager.1["step"].values, Values::I64(vec![10]));
        assert_eq!(eager.1["step.b"].values, Values::I64(vec![3]));
    }
}

#[test]
fn counts_rates_and_the_rule_are_saved() {
    for (name, device) in devices() {
        let one = Tensor::ones([], &device);
        let adam = |lr: f32| {
            let three = Three::new(&device);
            let options = AdamOptions { lr, ..AdamOptions::default() };
            let optimizer = Adam::new(&three, options).expect("the options are in range");
            (three, optimizer)
        };
        let (three, mut optimizer) = adam(0.5);
        for which in [&[0, 2][..], &[0, 1, 2], &[0]] {
            optimizer.step(&three.loss(which, &one).backward());
        }
        optimizer.set_lr(0.1).expect("a rate");
        optimizer.set_momentum(0.8).expect("a momentum");
        let state = optimizer.state().expect("the device works");
        let (other, mut loaded) = adam(0.5);
        for (to, from) in other.all.iter().zip(&three.all) {
            to.tensor().assign(&from.tensor().detach());
        }
        loaded.load_state(&state).expect("it fits");
        assert_eq!((loaded.lr(), loaded.momentum(), loaded.base_lrs()), (0.1, Some(0.8), vec![0.5]), "on {name}");
        assert_eq!(loaded.state().as_ref(), Ok(&state), "on {name}");
        for (three, optimizer) in [(&three, &mut optimizer), (&other, &mut loaded)] {
            optimizer.step(&three.loss(&[0, 1, 2], &one).backward());
        }
        assert_eq!([0, 1, 2].map(|at| three.first(at)), [0, 1, 2].map(|at| other.first(at)), "on {name}");

        // A state from before all this: one count for all, and no rates.
        let mut old = state.clone();
        old.retain(|name, _| {
            !name.starts_with("step.") && !name.starts_with("rule") && name != "lr" && name != "momentum"
        });
        let (_, mut loaded) = adam(0.5);
        loaded.load_state(&old).expect("old files load");
        assert_eq!((loaded.lr(), loaded.momentum()), (0.5, Some(0.9)), "on {name}");
        assert!(loaded.state().expect("the device works").keys().all(|name| !name.starts_with("step.")));

        let mut lion = Lion::new(&three, LionOptions::default()).expect("the options are in range");
        let refused = |lion: &mut Lion, state| match lion.load_state(state) {
            Err(Error::Weights(text)) => text,
            other => panic!("{other:?}"),
        };
        let text = refused(&mut lion, &state);
        assert_eq!(text, "the optimizer's state is Adam's, not Lion's");
        let text = refused(&mut lion, &old);
        assert!(text.contains("exp_avg_sq.a") && text.contains("Lion does not keep"), "{text}");
        let two = StateTensor { shape: vec![2], values: Values::F32(vec![0.1, 0.2]) };
        let mut grouped = state.clone();
        grouped.insert("lr".into(), two);
        let (_, mut loaded) = adam(0.5);
        assert!(matches!(loaded.load_state(&grouped), Err(Error::Weights(text)) if text.contains("1 groups")));
        assert_eq!(loaded.lr(), 0.5);
    }
}
