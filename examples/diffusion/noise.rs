//! From images to noise and back (DDPM; Ho, Jain and Abbeel, 2020).

use crate::model::UNet;
use std::f64::consts::FRAC_PI_2;
use wgrad::nn::{Ctx, Generator, Init, Module};
use wgrad::plan::Replay;
use wgrad::{Device, Reduction, Result, Tensor};

/// Waves of so many lengths tell a network which step it is at, as positions are told in a Transformer.
const WAVES: usize = 32;

/// A network with what it needs to be trained and to draw.
#[derive(Module)]
pub struct Diffusion {
    net: UNet,
    /// All chance of the training: kept with a run, it goes on where it was.
    chance: Generator,
    /// Steps from an image to noise, and from noise to an image.
    #[module(skip)]
    steps: usize,
    /// For each step the shares of the image and of the noise, then what `back` takes.
    #[module(skip)]
    shares: Tensor,
    #[module(skip)]
    waves: Tensor,
}

impl Diffusion {
    pub fn new(width: usize, steps: usize, init: &mut Init) -> Diffusion {
        // How much of the image's variance is left before step t: the cosine of Nichol and Dhariwal (2021), which leaves
        // digits readable for longer than a straight line does.
        let left = |t: usize| ((t as f64 / steps as f64 + 0.008) / 1.008 * FRAC_PI_2).cos().powi(2).max(1e-4);
        let row = |t: usize| {
            let (before, now) = (left(t) / left(0), left(t + 1) / left(0));
            let added = 1.0 - now / before;
            let [image, noisy] =
                [before.sqrt() * added, (now / before).sqrt() * (1.0 - before)].map(|v| v / (1.0 - now));
            let fresh = (added * (1.0 - before) / (1.0 - now)).sqrt();
            [now.sqrt(), (1.0 - now).sqrt(), image, noisy, fresh].map(|share| share as f32)
        };
        let shares: Vec<f32> = (0..steps).flat_map(row).collect();
        let wave = |t: usize, i: usize| t as f32 * 1e4f32.powf(-(i as f32) / WAVES as f32);
        let waves = (0..steps).flat_map(|t| (0..WAVES).flat_map(move |i| <[f32; 2]>::from(wave(t, i).sin_cos())));
        Diffusion {
            net: UNet::new(width, 2 * WAVES, init),
            chance: init.generator.clone(),
            steps,
            shares: Tensor::from_vec(shares, [steps, 5], &init.device),
            waves: Tensor::from_vec(waves.collect(), [steps, 2 * WAVES], &init.device),
        }
    }

    /// The shares of steps `[n]`, each to be multiplied by images.
    fn shares(&self, t: &Tensor) -> [Tensor; 5] {
        let rows = self.shares.index_select(0, t);
        std::array::from_fn(|at| rows.narrow(1, at, 1).reshape([-1, 1, 1, 1]))
    }

    fn noise_in(&self, x: &Tensor, t: &Tensor, ctx: &Ctx) -> Tensor {
        self.net.forward(x, &self.waves.index_select(0, t), ctx)
    }

    /// How well the network finds the noise that images `[n, 1, 28, 28]` in -1..1 are mixed with, each as far as chance has it.
    pub fn loss(&self, images: &Tensor, ctx: &Ctx) -> Tensor {
        let draw = || ctx.draw(&self.chance, images.device());
        let t = draw().randint([images.size(0)], 0, self.steps as i32);
        let noise = draw().normal(images.shape(), 0.0, 1.0);
        let [image, share, ..] = self.shares(&t);
        self.noise_in(&(images * image + &noise * share), &t, ctx).mse_loss(&noise, Reduction::Mean)
    }

    /// A step back: the image that the network sees through the noise, a little of it, and fresh noise.
    fn back(&self, x: &Tensor, t: &Tensor, chance: &Generator) -> Tensor {
        let ctx = Ctx::eval();
        let [image, share, take, keep, fresh] = self.shares(t);
        let seen = ((x - self.noise_in(x, t, &ctx) * share) / image).clamp(-1.0, 1.0);
        seen * take + x * keep + ctx.draw(chance, x.device()).normal(x.shape(), 0.0, 1.0) * fresh
    }

    /// Draws images `[count, 1, 28, 28]` in -1..1. All steps are one that is replayed: the noise is drawn on the device, and
    /// the number of the step goes in as a tensor.
    pub fn draw(&self, count: usize, chance: &Generator, device: &Device) -> Result<Tensor> {
        let mut x = chance.draw(device).normal([count, 1, 28, 28], 0.0, 1.0);
        let mut step = Replay::new();
        for t in (0..self.steps).rev() {
            let t = Tensor::full([count], t as i32, device);
            x = step.run([&x, &t], |[x, t]| Ok(self.back(x, t, chance)))?.copy();
        }
        Ok(x)
    }
}
