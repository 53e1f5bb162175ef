//! Optimizers whose moments are dealt out to the ranks of a group.

use super::Group;
use super::line::agree;
use crate::error::Result;
use crate::nn::Module;
use crate::optim::{Peers, Rule, Stepper};
use crate::shape::Shape;
use std::sync::Arc;

/// A group, as an optimizer sees it.
struct Ranks(Arc<dyn Group>);

impl Peers for Ranks {
    fn rank(&self) -> usize {
        self.0.rank()
    }

    fn size(&self) -> usize {
        self.0.size()
    }

    fn all_gather(&self, own: &[u8]) -> Result<Vec<Vec<u8>>> {
        self.0.all_gather(own)
    }

    fn gather(&self, own: Vec<u8>) -> Result<Vec<Vec<u8>>> {
        self.0.gather(0, own)
    }
}

impl<R: Rule> Stepper<R> {
    /// Like `new`, with the moments dealt out to the ranks of a group: each keeps those of a part of the parameters, as equal in
    /// bytes as whole parameters allow, moves these, and gives the others their new values. What an optimizer takes beside the
    /// model, 8 bytes a parameter of Adam's, is so divided by the number of ranks
    /// ([`state_bytes`](Stepper::state_bytes)): the first stage of ZeRO (Rajbhandari et al., 2020), PyTorch's
    /// `ZeroRedundancyOptimizer`.
    ///
    /// Gradients are means over the group before, by a [`DataParallel`](super::DataParallel) or
    /// [`Trainer::parallel`](crate::train::Trainer::parallel), and all ranks have the same. So clipping goes by the norm over all of
    /// them, a [`GradScaler`](crate::optim::GradScaler) looks at all of them, and weights are those of `new`, up to
    /// the rounding of a norm. A replayed step stays one.
    ///
    /// All ranks call [`state`](crate::optim::Optimizer::state) together: rank 0 gets that of the whole, as an optimizer of one
    /// rank has it, and the others their part of it. It loads into any number of ranks.
    ///
    /// ```
    /// use wgrad::Device;
    /// use wgrad::nn::{Ctx, Init, Layer, Linear};
    /// use wgrad::optim::{Adam, AdamOptions, Optimizer};
    /// use wgrad::parallel::{DataParallel, Threads};
    /// let bytes = Threads::run(&[Device::new_cpu(), Device::new_cpu()], |group, device| {
    ///     let model = Linear::new(64, 64, &mut Init::new(0, device));
    ///     let mut adam = Adam::sharded(&model, AdamOptions::default(), group.clone())?.clip_grad_norm(1.0)?;
    ///     let parallel = DataParallel::new(&model, group)?;
    ///     let loss = model.forward(&wgrad::Tensor::ones([4, 64], device), &Ctx::train()).square().mean();
    ///     adam.step(&parallel.backward(&loss)?);
    ///     Ok(adam.state_bytes())
    /// })?;
    /// // Two moments of 4 bytes: of the weight, and of the bias.
    /// assert_eq!(bytes, [8 * 64 * 64, 8 * 64]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// As `new`; [`Error::Option`](crate::Error::Option) if there are fewer parameters than ranks;
    /// [`Error::Group`](crate::Error::Group) if the ranks have other models or options, or one is gone.
    ///
    /// # Panics
    /// As `new`.
    #[doc(alias("ZeroRedundancyOptimizer", "ZeRO", "OSS"))]
    #[track_caller]
    pub fn sharded(model: &dyn Module, options: R, group: impl Group + 'static) -> Result<Self> {
        Stepper::sharded_grouped(model, |_, _| options, group)
    }

    /// The same with options for each parameter, as [`grouped`](Stepper::grouped) has them.
    ///
    /// # Errors
    /// As [`sharded`](Stepper::sharded).
    ///
    /// # Panics
    /// As `new`.
    #[track_caller]
    pub fn sharded_grouped(
        model: &dyn Module,
        options: impl Fn(&str, Shape) -> R,
        group: impl Group + 'static,
    ) -> Result<Self> {
        if group.size() == 1 {
            return Stepper::grouped(model, options);
        }
        let group: Arc<dyn Group> = Arc::new(group);
        let stepper = Stepper::of(model, options, Some(Arc::new(Ranks(group.clone()))))?;
        agree(&*group, "optimizers", &stepper.shares())?;
        Ok(stepper)
    }
}
