//! Two networks that learn from each other.

use crate::model::{Discriminator, Generator, NOISE};
use wgrad::nn::{self, Ctx, Layer, Module};
use wgrad::optim::{Adam, AdamOptions, Optimizer};
use wgrad::train::{Outcome, Task, Trained};
use wgrad::{Result, Tensor};

pub struct Gan<'a> {
    generator: &'a Generator,
    discriminator: &'a Discriminator,
    generates: Adam,
    discriminates: Adam,
    /// The noise that digits are drawn from in training: kept with a run, it goes on where it was.
    noise: nn::Generator,
}

impl<'a> Gan<'a> {
    pub fn new(
        generator: &'a Generator,
        discriminator: &'a Discriminator,
        lr: f32,
        noise: nn::Generator,
    ) -> Result<Gan<'a>> {
        // A beta1 of 0.9 goes on for ten steps in a direction that the other network has made wrong by then.
        let options = AdamOptions { lr, betas: (0.5, 0.999), ..AdamOptions::default() };
        let (generates, discriminates) = (Adam::new(generator, options)?, Adam::new(discriminator, options)?);
        Ok(Gan { generator, discriminator, generates, discriminates, noise })
    }

    /// As many digits as there are real ones.
    fn draw(&self, real: &Tensor, ctx: &Ctx) -> Tensor {
        let noise = ctx.draw(&self.noise, real.device()).normal([real.size(0), NOISE], 0.0, 1.0);
        self.generator.forward(&noise, ctx)
    }

    /// The discriminator's loss: -log p(real) - log(1 - p(drawn)), in logits so that neither overflows. Real and drawn images
    /// are batches apart: normalised together, each would show in the other's mean.
    fn tell_apart(&self, real: &Tensor, drawn: &Tensor, ctx: &Ctx) -> Outcome {
        let [says_real, says_drawn] = [real, drawn].map(|images| self.discriminator.forward(images, ctx));
        let loss = (-&says_real).softplus().mean() + says_drawn.softplus().mean();
        let [real, drawn] = [says_real, says_drawn].map(|says| says.detach().sigmoid().mean());
        Outcome::of(loss).and("real", &real).and("drawn", &drawn)
    }

    /// The generator's loss: -log p(drawn). The paper on GANs minimises log(1 - p(drawn)) first, whose slope vanishes where the
    /// discriminator is sure, that is, while the generator is bad and has most to learn.
    fn deceive(&self, drawn: &Tensor, ctx: Ctx) -> Tensor {
        (-self.discriminator.forward(drawn, &ctx)).softplus().mean()
    }
}

impl Trained for Gan<'_> {
    fn modules(&self) -> Vec<(&str, &dyn Module)> {
        vec![("generator", self.generator), ("discriminator", self.discriminator), ("noise", &self.noise)]
    }

    fn optimizers(&mut self) -> Vec<(&str, &mut dyn Optimizer)> {
        vec![("discriminator", &mut self.discriminates), ("generator", &mut self.generates)]
    }
}

impl Task<2> for Gan<'_> {
    fn train(&mut self, [real, _]: [&Tensor; 2]) -> Result<Outcome> {
        let ctx = Ctx::train();
        let drawn = self.draw(real, &ctx);
        // Drawn images are detached, since the generator is not to help.
        let outcome = self.tell_apart(real, &drawn.detach(), &ctx);
        self.discriminates.step(&outcome.loss.backward());
        // By the better discriminator. Untracked, it lets the gradient through to the images and gets none itself.
        let loss = self.deceive(&drawn, Ctx::train().untracked());
        self.generates.step(&loss.backward());
        Ok(outcome.and("generator", &loss))
    }

    fn evaluate(&mut self, [real, _]: [&Tensor; 2]) -> Result<Outcome> {
        let drawn = self.draw(real, &Ctx::eval());
        let loss = self.deceive(&drawn, Ctx::eval());
        Ok(self.tell_apart(real, &drawn, &Ctx::eval()).and("generator", &loss))
    }
}
