//! Optimizers that share parameters: each has moments of its own, and all move the same values.

use crate::devices::devices;
use wgrad::nn::{Ctx, Init, Layer, Linear, Module, state};
use wgrad::optim::{Adam, AdamOptions, Lamb, LambOptions, Optimizer, Sgd, SgdOptions};
use wgrad::plan::Replay;
use wgrad::{Device, Reduction, Result, Tensor};

/// An adversarial autoencoder: the encoder is in both optimizers.
struct Net {
    encoder: Linear,
    decoder: Linear,
    judge: Linear,
}

type Made = Result<(Box<dyn Optimizer>, Box<dyn Optimizer>)>;

impl Net {
    fn new(device: &Device) -> Net {
        let init = &mut Init::new(3, device);
        Net { encoder: Linear::new(6, 3, init), decoder: Linear::new(3, 6, init), judge: Linear::new(3, 1, init) }
    }

    fn made_again(&self, x: &Tensor) -> Tensor {
        let ctx = Ctx::train();
        self.decoder.forward(&self.encoder.forward(x, &ctx).tanh(), &ctx).mse_loss(x, Reduction::Mean)
    }

    fn judged(&self, x: &Tensor) -> Tensor {
        let ctx = Ctx::train();
        self.judge.forward(&self.encoder.forward(x, &ctx).tanh(), &ctx).square().mean()
    }
}

fn input(device: &Device) -> Tensor {
    Tensor::linspace(-1.0, 1.0, 24, device).reshape([4, 6])
}

/// Two optimizers of one encoder, and two of an encoder each, of which one is made like the other before each step.
fn agree(name: &str, device: &Device, make: impl Fn(&Net, &Net) -> Made) {
    let x = input(device);
    let [net, first, second] = [(); 3].map(|()| Net::new(device));
    let (mut of_all, mut of_encoder) = make(&net, &net).expect("the options are in range");
    let mut step = |x: &Tensor| {
        of_all.step(&net.made_again(x).backward());
        of_encoder.step(&net.judged(x).backward());
    };
    let (mut apart, mut other) = make(&first, &second).expect("the options are in range");
    let mut want = || {
        apart.step(&first.made_again(&x).backward());
        second.encoder.copy_from(&first.encoder).expect("they are alike");
        other.step(&second.judged(&x).backward());
        first.encoder.copy_from(&second.encoder).expect("they are alike");
    };
    let same = |text: &str| {
        let of = |module: &dyn Module| state(module).expect("the device works");
        assert_eq!(of(&net.encoder), of(&first.encoder), "{text} on {name}");
        assert_eq!(of(&net.decoder), of(&first.decoder), "{text} on {name}");
    };
    for _ in 0..3 {
        step(&x);
        want();
        same("eager");
    }
    let mut replay = Replay::new();
    for _ in 0..4 {
        let run = |x: &Tensor| {
            step(x);
            Ok(x.sum())
        };
        replay.run(&x, run).expect("it runs");
        want();
        same("replayed");
    }
}

#[test]
fn optimizers_that_share_a_parameter_all_move_it() {
    for (name, device) in devices() {
        let adam = |lr| AdamOptions { lr, ..AdamOptions::default() };
        agree(name, &device, |a, b| {
            Ok((
                Box::new(Adam::new(&(&a.encoder, &a.decoder), adam(0.02))?),
                Box::new(Adam::new(&b.encoder, adam(0.05))?),
            ))
        });
        // By the values themselves: their lengths, and penalties; and a step that is given up by a norm that is no number.
        agree(name, &device, |a, b| {
            let lamb = Lamb::new(&(&a.encoder, &a.decoder), LambOptions { lr: 0.02, ..LambOptions::default() })?;
            let sgd = Sgd::new(&b.encoder, SgdOptions { lr: 0.1, ..SgdOptions::default() })?;
            Ok((Box::new(lamb.clip_grad_norm(0.1)?), Box::new(sgd.l2_penalty(0.1)?.skip_nonfinite())))
        });
    }
}
