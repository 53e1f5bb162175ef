//! What a model gives for a set.

use super::batches::Batches;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::nn::{Ctx, Layer};
use crate::plan::Replay;
use crate::tensor::Tensor;

/// The outputs of a model, batch by batch as they are asked for: of the first array of each batch, in evaluation. They come in
/// the order of the set where its loader does not shuffle. Of one input it is `model.forward(&x, &Ctx::eval())`.
///
/// ```
/// use wgrad::data::{DataLoader, LoaderOptions};
/// use wgrad::nn::{Init, Linear};
/// # let device = wgrad::Device::cpu();
/// # let model = Linear::new(2, 3, &mut Init::new(0, &device));
/// let set: Vec<[f32; 2]> = (0..100).map(|at| [at as f32, 1.0]).collect();
/// let loader = DataLoader::new(set, LoaderOptions::default())?;
/// let outputs = wgrad::train::predict(&model, &loader, &device).collect::<wgrad::Result<Vec<_>>>()?;
/// assert_eq!((outputs.len(), outputs[1].shape()), (2, [36, 3].into()));
/// # Ok::<(), wgrad::Error>(())
/// ```
pub fn predict<'p, const N: usize>(
    model: &'p (impl Layer + ?Sized),
    set: &'p dyn Batches<N>,
    device: &'p Device,
) -> impl Iterator<Item = Result<Tensor>> + 'p {
    let (ctx, mut replay) = (Ctx::eval(), Replay::new());
    set.epoch_from(0, 0).map(move |batch| {
        let input = batch?.into_iter().next();
        let x = input.ok_or_else(|| Error::Data("predict: a batch of no arrays".into()))?.to(device);
        // A later run would overwrite what this one gives.
        replay.run(&x, |x| Ok(model.forward(x, &ctx))).map(|y| y.copy())
    })
}
