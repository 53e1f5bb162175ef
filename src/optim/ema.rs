//! An exponential moving average of weights: `shaders/ema.wgsl`.

use super::slab::{Owned, Slab};
use super::{checked, rest};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::kernel::{Access, Cost, Kernel, Pass, Shader, Uniform, Variant, groups, parallel, shader};
use crate::nn::{Module, Parameter, StateDict, StateTensor, distinct, fitting};
use crate::tensor::Tensor;
use bytemuck::{Pod, Zeroable};

static SHADER: Shader = shader!("ema", &[Access::Read, Access::ReadWrite]);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, Uniform)]
struct EmaParams {
    n: u32,
    rest: f32,
}

static EMA: Kernel = Kernel::new(
    "ema",
    SHADER.access,
    |call| {
        let (p, x) = (call.params::<EmaParams>(), call.read::<f32>(0));
        parallel::chunks(
            call.write::<f32>(1),
            parallel::GRAIN,
            #[inline(always)]
            |piece, mean| {
                for (mean, x) in mean.iter_mut().zip(&x[piece * parallel::GRAIN..]) {
                    *mean += p.rest * (x - *mean);
                }
            },
        );
    },
    |d| Cost { flops: 3 * d.len(0) as u64, bytes: 12 * d.len(0) as u64 },
)
.variants(&[Variant::new("flat", |_, d| {
    Pass::new(&SHADER, "ema", groups(d.params::<EmaParams>().n as usize, 4 * 256)).alone()
})]);

/// The kernels of this page.
pub static KERNELS: &[&Kernel] = &[&EMA];

/// An average of an optimizer's weights, in which each step's weigh `1 - decay`; it starts from the weights as they are
/// when it is made. Models are often better with it than with the last weights (Polyak and Juditsky, 1992).
///
/// ```
/// use wgrad::nn::{Ctx, Init, Layer, Linear};
/// use wgrad::optim::{Optimizer, Sgd, SgdOptions};
/// let device = wgrad::Device::cpu();
/// let model = Linear::new(2, 1, &mut Init::new(0, &device));
/// let mut optimizer = Sgd::new(&model, SgdOptions { lr: 0.1, ..SgdOptions::default() })?;
/// let mut ema = optimizer.ema(0.9)?;
/// let x = wgrad::Tensor::ones([4, 2], &device);
/// for _ in 0..10 {
///     let loss = model.forward(&x, &Ctx::train()).square().mean();
///     optimizer.step(&loss.backward());
///     ema.update();
/// }
/// // The model computes with the averages, and then again with the weights that training goes on from.
/// ema.swap();
/// let averaged = model.forward(&x, &Ctx::eval()).square().mean().item()?;
/// ema.swap();
/// assert!(averaged > model.forward(&x, &Ctx::eval()).square().mean().item()?);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[doc(alias("AveragedModel", "ExponentialMovingAverage"))]
pub struct Ema {
    decay: f32,
    /// How many times weights were taken in, where all of them weigh the same: on the device, so that a replayed step counts.
    count: Option<Tensor>,
    slabs: Vec<Averaged>,
}

/// The weights of a slab, their average, and where each is.
struct Averaged {
    values: Tensor,
    mean: Tensor,
    names: Vec<(String, Tensor)>,
    owned: Owned,
}

fn checked_decay(decay: f32) -> Result<f32> {
    checked("decay", decay, |decay| (0.0..=1.0).contains(&decay), "in 0..=1")
}

impl Ema {
    /// Of all parameters of a model, whatever moves them. Optimizers of this crate give one that goes by fewer kernels,
    /// [`Stepper::ema`](super::Stepper::ema).
    ///
    /// # Errors
    /// [`Error::Option`] if `decay` is not in 0..=1.
    pub fn new(model: &dyn Module, decay: f32) -> Result<Ema> {
        checked_decay(decay)?;
        let averaged = |(name, parameter): (String, Parameter)| {
            let (values, owned) = (parameter.tensor().detach(), Owned::of(&name, &parameter));
            let mean = values.copy().contiguous().cast(DType::F32);
            Averaged { names: vec![(name, mean.clone())], owned, values, mean }
        };
        Ok(Ema { decay, count: None, slabs: distinct(model).into_iter().map(averaged).collect() })
    }

    /// Of all parameters of a model, in which all weights that are taken in weigh the same: stochastic weight averaging
    /// (Izmailov et al., 2018), PyTorch's `AveragedModel` as it is by default. Take in the weights after each of the last epochs,
    /// trained with a rate that does not fall ([`SwaLr`](super::schedule::SwaLr)). Batch normalisation then wants its statistics
    /// anew, by the averages: [`update_bn`](crate::nn::update_bn).
    ///
    /// ```
    /// # use wgrad::nn::{Init, Linear};
    /// # use wgrad::optim::Ema;
    /// # let device = wgrad::Device::cpu();
    /// let model = Linear::new(1, 1, &mut Init::new(0, &device));
    /// let mut average = Ema::equal(&model)?;
    /// for value in [1.0f32, 2.0, 6.0] {
    ///     model.weight.tensor().detach().upload(&[value]);
    ///     average.update();
    /// }
    /// average.swap();
    /// assert_eq!(model.weight.tensor().item()?, 3.0);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Option`] if the model has no parameters.
    #[doc(alias("swa_utils", "AveragedModel", "SWA"))]
    pub fn equal(model: &dyn Module) -> Result<Ema> {
        let new = Ema::new(model, 0.0)?;
        let Some(first) = new.slabs.first() else {
            return Err(Error::Option("Ema::equal: the model has no parameters".into()));
        };
        let count = Some(Tensor::zeros([], first.mean.device()));
        Ok(Ema { count, ..new })
    }

    pub(super) fn of<'a>(slabs: impl Iterator<Item = &'a Slab>, decay: f32) -> Result<Ema> {
        checked_decay(decay)?;
        let averaged = |slab: &Slab| {
            let mean = slab.values.copy().cast(DType::F32);
            let names = slab.named().map(|(name, place)| (name.to_string(), mean.with_layout(*place.layout())));
            Averaged { values: slab.values.clone(), names: names.collect(), owned: slab.owned(), mean }
        };
        Ok(Ema { decay, count: None, slabs: slabs.map(averaged).collect() })
    }

    /// Takes in the weights as they are now: after each step, and while the model has its own weights.
    ///
    /// # Panics
    /// If an optimizer that was made later took the weights over.
    #[track_caller]
    pub fn update(&mut self) {
        if let Some(count) = &self.count {
            count.assign(&(count + 1.0));
            for Averaged { values, mean, owned, .. } in &self.slabs {
                owned.check();
                mean.assign(&(mean + (values.cast(DType::F32) - mean) / count));
            }
            return;
        }
        for Averaged { values, mean, owned, .. } in &self.slabs {
            owned.check();
            Tensor::run(
                &EMA,
                &[&values.contiguous(), mean],
                &EmaParams { n: values.numel() as u32, rest: rest(self.decay) },
            );
        }
    }

    /// Exchanges the model's weights and the averages.
    ///
    /// # Panics
    /// If an optimizer that was made later took the weights over.
    #[track_caller]
    pub fn swap(&mut self) {
        for Averaged { values, mean, owned, .. } in &self.slabs {
            owned.check();
            let weights = values.copy();
            values.assign(&mean.cast(values.dtype()));
            mean.assign(&weights.cast(DType::F32));
        }
    }

    /// The averages by the names of the parameters, to be saved or loaded into a model.
    ///
    /// # Errors
    /// The device's first failure.
    pub fn state(&self) -> Result<StateDict> {
        StateTensor::all(self.named().map(|(name, mean)| (name.into(), mean)))
    }

    /// Goes on from saved averages.
    ///
    /// # Errors
    /// [`Error::Weights`] if a name is missing or a shape differs; then nothing was changed.
    pub fn load_state(&mut self, state: &StateDict) -> Result<()> {
        for (name, mean) in self.named() {
            fitting(state, "the state of averages", name, mean.shape())?;
        }
        self.named().for_each(|(name, mean)| state[name].write_to(mean));
        Ok(())
    }

    /// All that is saved.
    fn named(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        let means = self.slabs.iter().flat_map(|slab| &slab.names).map(|(name, mean)| (name.as_str(), mean));
        means.chain(self.count.iter().map(|count| ("n_averaged", count)))
    }
}
